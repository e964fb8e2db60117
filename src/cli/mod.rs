//! The command line: a contract that scripts rely on.
//!
//! stdout is data, stderr is talk. With `--json` there is one JSON document on stdout, and an error is one on stderr.
//! Exit codes: 0 done, 1 failed, 2 usage, configuration or data error; only `sync` and `status` also give 3 (work is
//! still pending), 4 (unresolved conflicts) and 5 (rejected edits), the highest that applies.
//!
//! Each command group is a file of its own with its arguments and its `run`; this file only joins them.

mod args;
mod check;
mod conflicts;
mod dashboard;
mod doctor;
mod draft;
mod edit;
mod export;
mod guard;
mod import;
mod init;
mod journal;
mod logging;
mod outbox;
mod output;
mod plan;
mod records;
mod report;
mod rows;
mod serve;
mod session;
mod shapes;
mod shell;
mod signals;
mod status;
mod sync;
mod vault;
mod world;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, error::ErrorKind};

use args::{Cli, Command};
use report::Failure;
use world::World;

/// What a command that did its work ends with.
pub(crate) type Outcome = Result<ExitCode, Failure>;

pub(crate) const DONE: ExitCode = ExitCode::SUCCESS;

pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let json = cli.globals.json;
    match run(cli) {
        Ok(code) => code,
        Err(failure) => failure.report(json),
    }
}

fn run(cli: Cli) -> Outcome {
    if cli.command.is_some() && (cli.dashboard.session.is_some() || cli.dashboard.fresh) {
        return Err(Failure::usage("`--session` and `--fresh` belong after the command, or to no command")
            .hint("`ebbtide --session NAME` opens the dashboard, `ebbtide demo --session NAME` the demo"));
    }
    if let Some(Command::Completions(args)) = &cli.command {
        return shell::completions(args, Cli::command());
    }
    if let Some(Command::Man(args)) = &cli.command {
        return shell::man(args, Cli::command());
    }
    // Before the first file is opened: everything made from here on is the user's own (0600, 0700).
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let world = World::new(&cli.globals)?;
    if let Some(Command::Paths) = &cli.command {
        return shell::paths(&world);
    }
    let is_quiet = world.json || matches!(cli.command, None | Some(Command::Demo(_)));
    logging::start(&world.paths, is_quiet, world.is_read_only());
    match cli.command {
        None => dashboard::run(&world, &cli.dashboard),
        Some(Command::Demo(args)) => dashboard::demo(&world, &args),
        Some(Command::Serve(args)) => serve::run(&world, &args),
        Some(Command::Init(args)) => init::run(&world, &args),
        Some(Command::Sync(args)) => sync::run(&world, &args),
        Some(Command::Status) => status::run(&world),
        Some(Command::List(args)) => records::list(&world, &args),
        Some(Command::Get(args)) => records::get(&world, &args),
        Some(Command::Search(args)) => records::search(&world, &args),
        Some(Command::Put(args)) => edit::put(&world, &args),
        Some(Command::Patch(args)) => edit::patch(&world, &args),
        Some(Command::Delete(args)) => edit::delete(&world, &args),
        Some(Command::Import(args)) => import::run(&world, &args),
        Some(Command::Export(args)) => export::run(&world, &args),
        Some(Command::Outbox(args)) => outbox::run(&world, &args.command),
        Some(Command::Conflicts(args)) => conflicts::run(&world, &args.command),
        Some(Command::Draft(args)) => draft::run(&world, &args.command),
        Some(Command::Vault(args)) => vault::run(&world, &args.command),
        Some(Command::Guard(args)) => guard::run(&world, &args.command),
        Some(Command::Session(args)) => session::run(&world, &args.command),
        Some(Command::Journal(args)) => journal::run(&world, &args.command),
        Some(Command::Doctor(args)) => doctor::run(&world, &args),
        Some(Command::Paths | Command::Completions(_) | Command::Man(_)) => unreachable!("answered above"),
    }
}

/// Help and version go to stdout and are no failure. A usage error is clap's own text, or JSON where that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return DONE;
    }
    if std::env::args_os().any(|argument| argument == "--json") {
        return Failure::from_clap(error).report(true);
    }
    let _ = error.print();
    ExitCode::from(report::USAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for words in [["ebbtide", "--json", "status"], ["ebbtide", "status", "--json"]] {
            assert!(Cli::try_parse_from(words).unwrap().globals.json);
        }
    }
}
