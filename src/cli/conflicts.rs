//! `conflicts`: records the server changed while an edit of ours was waiting.

mod marks;
mod resolve;
mod teach;

use clap::{Args, Subcommand};
use resolve::{ResolveArgs, UndoArgs};
use serde_json::{Value, json};
use teach::TeachArgs;

use super::{
    DONE, Outcome,
    output::{self, Data, table, talk},
    report::Failure,
    shapes,
    world::World,
};
use crate::{
    merge::{self, Field, How},
    model::{
        conflict::{Conflict, Take},
        edit, time,
    },
    store::Reader,
};

#[derive(Debug, Subcommand)]
pub(super) enum ConflictsCommand {
    List(ListArgs),
    Show(ShowArgs),
    Resolve(ResolveArgs),
    Undo(UndoArgs),
    Teach(TeachArgs),
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
  one object, as in `conflicts list`, with \"fields\": [{\"pointer\", \"base\", \"mine\", \"theirs\": null where
  absent, \"how\": only_mine|only_theirs|same|merged|undecided or {\"rule\": its name}, \"result\"}]:
  every place that differs, those that need you first";

fn parse_number(text: &str) -> Result<i64, String> {
    text.strip_prefix('c').unwrap_or(text).parse().map_err(|_| "a number such as 12 or c12".to_owned())
}

pub(super) fn run(world: &World, command: &ConflictsCommand) -> Outcome {
    match command {
        ConflictsCommand::List(args) => list(world, args),
        ConflictsCommand::Show(args) => show(world, args.conflict),
        ConflictsCommand::Resolve(args) => resolve::resolve(world, args),
        ConflictsCommand::Undo(args) => resolve::undo(world, args),
        ConflictsCommand::Teach(args) => teach::run(world, args),
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
    let merged = merge::merge_conflict(&conflict, &resolve::rules_of(&world.config()?, &conflict));
    if world.json {
        let mut shape = shapes::conflict(&conflict);
        shape["fields"] = merged.fields.iter().map(field).collect();
        output::json(&shape)?;
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
    let rows: Vec<Vec<String>> = merged.fields.iter().map(|field| row(field, conflict.resolution)).collect();
    for line in table(&["PLACE", "BASE", "MINE", "THEIRS", "RESULT", "HOW"], &rows, 24) {
        data.exact(&line)?;
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

fn field(field: &Field) -> Value {
    json!({
        "pointer": field.pointer,
        "base": field.base,
        "mine": field.mine,
        "theirs": field.theirs,
        "how": field.how,
        "result": field.result.clone().flatten(),
    })
}

fn row(field: &Field, resolution: Option<Take>) -> Vec<String> {
    let side = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
    let how = match field.how {
        How::Unchanged => "unchanged".to_owned(),
        How::OnlyMine => "only mine changed".to_owned(),
        How::OnlyTheirs => "only theirs changed".to_owned(),
        How::Same => "same on both sides".to_owned(),
        How::Rule(rule) => format!("rule `{}`", rule.word()),
        How::Merged => "merged".to_owned(),
        How::Undecided => resolution.map_or("needs you".to_owned(), |take| format!("you took {}", take.word())),
    };
    let place = if field.pointer.is_root() { "(the record)".to_owned() } else { field.pointer.to_string() };
    let result = match (&field.result, resolution) {
        (Some(result), _) => side(result),
        (None, Some(Take::Mine)) => side(&field.mine),
        (None, Some(Take::Theirs)) => side(&field.theirs),
        (None, Some(Take::Base)) => side(&field.base),
        (None, Some(Take::Merged) | None) => "?".to_owned(),
    };
    vec![place, side(&field.base), side(&field.mine), side(&field.theirs), result, how]
}
