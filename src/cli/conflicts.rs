//! `conflicts`: records the server changed while an edit of ours was waiting.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{
    DONE, Outcome, check,
    edit::{author, wake},
    output::{self, Data, table, talk},
    report::Failure,
    shapes,
    world::{self, Target, World},
};
use crate::{
    model::{
        conflict::{Conflict, Take},
        edit,
        ids::OpId,
        time,
    },
    store::{Reader, Resolve},
};

#[derive(Debug, Subcommand)]
pub(super) enum ConflictsCommand {
    List(ListArgs),
    Show(ShowArgs),
    Resolve(ResolveArgs),
}

/// List the conflicts that need you, the oldest first
#[derive(Debug, Args)]
#[command(after_long_help = LIST_SHAPE)]
pub(super) struct ListArgs {
    /// Also those that are resolved
    #[arg(long)]
    resolved: bool,
}

const LIST_SHAPE: &str = "\
JSON:
  [{\"conflict\": its number, \"source\", \"collection\", \"id\": the record, \"seq\": the edit, \"detected_at\",
    \"was_in_doubt\", \"base\", \"mine\", \"theirs\": the three versions or null, \"theirs_revision\",
    \"resolved_at\", \"resolution\": mine|theirs|base|merged or null}]";

/// Show the three versions of one conflict
#[derive(Debug, Args)]
#[command(after_long_help = SHOW_SHAPE)]
pub(super) struct ShowArgs {
    /// Its number, as `conflicts list` shows it (12 or c12)
    #[arg(value_name = "ID", value_parser = parse_number)]
    conflict: i64,
}

const SHOW_SHAPE: &str = "\
JSON:
  one object, as in `conflicts list`";

/// Settle a conflict for the whole record; the version that loses is kept in the vault
#[derive(Debug, Args)]
#[command(after_long_help = RESOLVE_SHAPE)]
pub(super) struct ResolveArgs {
    /// Its number, as `conflicts list` shows it (12 or c12)
    #[arg(value_name = "ID", value_parser = parse_number)]
    conflict: i64,
    /// Whose version to keep
    #[arg(long, value_enum, required_unless_present = "merged", conflicts_with = "merged")]
    take: Option<Side>,
    /// A version of your own: JSON, `-` for standard input, or @FILE
    #[arg(long, value_name = "JSON|-|@FILE")]
    merged: Option<String>,
}

const RESOLVE_SHAPE: &str = "\
JSON:
  {\"conflict\", \"resolution\": mine|theirs|base|merged, \"seq\": the new edit, or null where there
   is nothing to send}";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Side {
    /// Your edit, on top of the server's version
    Mine,
    /// The server's version; the edit is dropped
    Theirs,
    /// What both sides started from
    Base,
}

fn parse_number(text: &str) -> Result<i64, String> {
    text.strip_prefix('c').unwrap_or(text).parse().map_err(|_| "a number such as 12 or c12".to_owned())
}

pub(super) fn run(world: &World, command: &ConflictsCommand) -> Outcome {
    match command {
        ConflictsCommand::List(args) => list(world, args),
        ConflictsCommand::Show(args) => show(world, args.conflict),
        ConflictsCommand::Resolve(args) => resolve(world, args),
    }
}

fn list(world: &World, args: &ListArgs) -> Outcome {
    let conflicts = world.reader()?.conflicts(args.resolved)?;
    if world.json {
        output::json(&conflicts.iter().map(shapes::conflict).collect::<Vec<Value>>())?;
        return Ok(DONE);
    }
    if conflicts.is_empty() {
        talk("no conflicts");
        return Ok(DONE);
    }
    let now = world.now();
    let row = |conflict: &Conflict| {
        let state = conflict.resolution.map_or("open", |take| take.word());
        let age = time::age(now.since(conflict.detected_at));
        vec![format!("c{}", conflict.id), state.to_owned(), conflict.record.to_string(), age, what(conflict)]
    };
    let rows: Vec<Vec<String>> = conflicts.iter().map(row).collect();
    let mut data = Data::new();
    for line in table(&["ID", "STATE", "RECORD", "AGE", "WHAT"], &rows, 60) {
        data.exact(&line)?;
    }
    data.finish()?;
    Ok(DONE)
}

/// Both sides in a few words.
fn what(conflict: &Conflict) -> String {
    let side = |value: &Option<Value>| {
        let changes = edit::diff(conflict.base.as_ref(), value.as_ref());
        match (value, changes.as_slice()) {
            (None, _) => "deleted".to_owned(),
            (_, [only]) if !only.pointer.is_root() => only.pointer.to_string(),
            (_, changes) => output::count(changes.len() as u64, "change"),
        }
    };
    format!("mine: {}; theirs: {}", side(&conflict.mine), side(&conflict.theirs))
}

fn load(reader: &mut Reader, number: i64) -> Result<Conflict, Failure> {
    reader.conflict(number)?.ok_or_else(|| {
        Failure::failed(format!("there is no conflict c{number}"))
            .hint("`ebbtide conflicts list` shows those that are open")
    })
}

fn show(world: &World, number: i64) -> Outcome {
    let conflict = load(&mut world.reader()?, number)?;
    if world.json {
        output::json(&shapes::conflict(&conflict))?;
        return Ok(DONE);
    }
    let mut data = Data::new();
    data.line(&format!("c{} {}", conflict.id, conflict.record))?;
    data.line(&format!("found     {}", conflict.detected_at.to_rfc3339()))?;
    if conflict.was_in_doubt {
        data.line("the edit may have been applied before the server moved on")?;
    }
    if let Some(take) = conflict.resolution {
        data.line(&format!("resolved  {}", take.word()))?;
    }
    for (name, side) in [("base", &conflict.base), ("mine", &conflict.mine), ("theirs", &conflict.theirs)] {
        data.line(name)?;
        match side {
            None => data.line("  (no such record)")?,
            Some(value) => {
                for line in serde_json::to_string_pretty(value).expect("a value is JSON").lines() {
                    data.line(&format!("  {line}"))?;
                }
            }
        }
    }
    data.finish()?;
    Ok(DONE)
}

fn resolve(world: &World, args: &ResolveArgs) -> Outcome {
    let merged = args.merged.as_deref().map(check::read_argument).transpose()?;
    let config = world.config()?;
    let store = world.store()?;
    let conflict = load(&mut store.reader()?, args.conflict)?;
    let key = &conflict.record.collection;
    let source = world::find_source(&config, &key.source);
    let target = source.and_then(|source| Some(Target { source, collection: source.collection(&key.collection)? }));
    let (take, document) = match (args.take, merged) {
        (_, Some(document)) => {
            let Some(target) = &target else {
                return Err(Failure::usage(format!("the collection `{key}` is not configured any more"))
                    .hint("configure it again, or resolve with --take"));
            };
            (Take::Merged, Some(check::document(target, conflict.record.id.as_str(), &document)?))
        }
        (Some(Side::Theirs), None) => (Take::Theirs, None),
        (Some(Side::Base), None) => (Take::Base, conflict.base.clone()),
        (Some(Side::Mine) | None, None) => (Take::Mine, conflict.mine.clone()),
    };
    let at = world.at();
    let author = source.map(author).unwrap_or_default();
    let resolve = Resolve { conflict: conflict.id, take, document, op_id: OpId::new(&at), at: at.wall, author };
    let seq = store.resolve(resolve).wait().map_err(|error| {
        Failure::store("the conflict was not resolved", error)
            .or_hint("`ebbtide conflicts list` shows those that are open")
    })?;
    wake(&store, world)?;
    if world.json {
        output::json(&json!({"conflict": conflict.id, "resolution": take.word(), "seq": seq}))?;
    }
    match seq {
        Some(seq) => talk(&format!("c{} resolved as {}: queued as {seq}", conflict.id, take.word())),
        None => talk(&format!("c{} resolved as {}: nothing to send", conflict.id, take.word())),
    }
    Ok(DONE)
}
