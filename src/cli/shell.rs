//! `paths`, `completions`, `man`: for the shell and its user.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value};

use super::{
    DONE, Outcome,
    output::{self, Data, table, talk},
    report::Failure,
    world::World,
};

pub(super) const PATHS_SHAPE: &str = "\
JSON:
  {\"config\", \"data_dir\", \"journal\", \"mirror\", \"search\", \"backups\", \"log\", \"emergency\", \"demo\"}
  What is listed need not be there yet.";

pub(super) fn paths(world: &World) -> Outcome {
    let all = world.paths.all();
    if world.json {
        let members = all.iter().map(|(what, path)| ((*what).to_owned(), Value::from(path.to_string_lossy())));
        output::json(&Value::Object(Map::from_iter(members)))?;
        return Ok(DONE);
    }
    let rows: Vec<Vec<String>> =
        all.iter().map(|(what, path)| vec![what.replace('_', " "), path.display().to_string()]).collect();
    let mut data = Data::new();
    for line in table(&["WHAT", "WHERE"], &rows, 4_000) {
        data.exact(&line)?;
    }
    data.finish()?;
    Ok(DONE)
}

/// Print the completions of a shell
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    #[arg(value_name = "SHELL", value_enum)]
    shell: clap_complete::Shell,
}

pub(super) fn completions(args: &CompletionsArgs, mut command: clap::Command) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "ebbtide", &mut text);
    print(&text)
}

/// Print the manual page, or write the pages of all commands
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Write a page for each command into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn man(args: &ManArgs, command: clap::Command) -> Outcome {
    let Some(dir) = &args.dir else {
        let mut text = Vec::new();
        clap_mangen::Man::new(command).render(&mut text)?;
        return print(&text);
    };
    let trouble = |error: std::io::Error| Failure::io(format!("could not write to `{}`", dir.display()), &error);
    std::fs::create_dir_all(dir).map_err(trouble)?;
    clap_mangen::generate_to(command, dir).map_err(trouble)?;
    talk(&format!("wrote the pages to `{}`", dir.display()));
    Ok(DONE)
}

fn print(text: &[u8]) -> Outcome {
    use std::io::Write;
    let mut data = Data::new();
    data.stream().write_all(text)?;
    data.finish()?;
    Ok(DONE)
}
