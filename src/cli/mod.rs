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

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory, Parser, error::ErrorKind};

use args::{Cli, Command};
use report::Failure;
use world::World;

/// What a command that did its work ends with.
pub(crate) type Outcome = Result<ExitCode, Failure>;

pub(crate) const DONE: ExitCode = ExitCode::SUCCESS;

pub fn main() -> ExitCode {
    let cli = match parse(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let json = cli.globals.json;
    match run(cli) {
        Ok(code) => code,
        Err(failure) => failure.report(json),
    }
}

/// Lists and messages name a record `C/ID`. Where a command that takes both misses a word, one that is so made is taken
/// for the two.
fn parse(words: Vec<OsString>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(&words).or_else(|error| {
        let apart = (error.kind() == ErrorKind::MissingRequiredArgument).then(|| with_id_apart(words)).flatten();
        apart.and_then(|words| Cli::try_parse_from(words).ok()).ok_or(error)
    })
}

fn with_id_apart(mut words: Vec<OsString>) -> Option<Vec<OsString>> {
    let is = |word: &OsString, names: &[&str]| word.to_str().is_some_and(|word| names.contains(&word));
    let command = words.iter().position(|word| is(word, &["get", "put", "patch", "delete"]))?;
    let is_value = |at: usize| is(&words[at - 1], &["--config", "--data-dir"]);
    let at = (command + 1..words.len()).find(|at| {
        let word = words[*at].to_str().unwrap_or_default();
        !is_value(*at) && !word.starts_with('-') && word.contains('/')
    })?;
    let (collection, id) = words[at].to_str()?.rsplit_once('/')?;
    let (collection, id) = (OsString::from(collection), OsString::from(id));
    words.splice(at..=at, [collection, id]);
    Some(words)
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
    fn a_record_may_be_named_as_lists_name_it() {
        let parsed = |words: &[&str]| parse(words.iter().map(OsString::from).collect()).map(|cli| format!("{cli:?}"));
        for (one, two) in [
            ("get tasks/t1", "get tasks t1"),
            ("get office/tasks/t1", "get office/tasks t1"),
            ("delete --config /etc/e.toml tasks/t1 --json", "delete --config /etc/e.toml tasks t1 --json"),
            ("put tasks/t1 {\"a\":\"b/c\"}", "put tasks t1 {\"a\":\"b/c\"}"),
            ("patch tasks/t1 @/tmp/p.json", "patch tasks t1 @/tmp/p.json"),
        ] {
            let words = |line: &'static str| -> Vec<&str> { ["ebbtide"].into_iter().chain(line.split(' ')).collect() };
            assert_eq!(parsed(&words(one)).unwrap(), parsed(&words(two)).unwrap());
        }
        for unclear in [&["ebbtide", "get", "tasks"][..], &["ebbtide", "put", "tasks", "t1"]] {
            assert_eq!(parsed(unclear).unwrap_err().kind(), ErrorKind::MissingRequiredArgument);
        }
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for words in [["ebbtide", "--json", "status"], ["ebbtide", "status", "--json"]] {
            assert!(Cli::try_parse_from(words).unwrap().globals.json);
        }
    }
}
