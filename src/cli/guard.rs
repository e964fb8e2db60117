//! `guard`: collections that stopped before a commit and ask, and the user's answers.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{
    DONE, Outcome,
    output::{self, Data, grouped, talk},
    report::Failure,
    shapes, sync,
    world::{self, World},
};
use crate::{
    model::{
        ids::CollectionKey,
        source::SourceSpec,
        sync_status::{GuardAnswer, PullPhase, SyncRequest},
    },
    store::Reader,
    sync::{Position, position},
};

#[derive(Debug, Subcommand)]
pub(super) enum GuardCommand {
    /// List the collections that stopped and ask, and those that are detached
    #[command(after_long_help = LIST_SHAPE)]
    List,
    Answer(AnswerArgs),
}

const LIST_SHAPE: &str = "\
JSON:
  [{\"source\", \"collection\", \"state\": stopped|detached,
    \"reason\": mass_deletion|other_server|older_records or null, \"text\": what was found,
    \"affected\": records that going on would delete or set back here, \"rows\": records here,
    \"sample\": [the first of their ids], \"since\"}]

A collection stops before many records (more than 25, and more than a tenth) are deleted or set
back here, and where another server answers. Older records are told by the field the server
stamps (`updated_at`); without one they are taken as they come: an ETag of a content says that
two contents differ, not which of them is older.";

/// Answer a collection that stopped; nothing is deleted here before
#[derive(Debug, Args)]
#[command(after_long_help = ANSWER_SHAPE)]
pub(super) struct AnswerArgs {
    #[arg(value_name = "C")]
    collection: String,
    #[arg(value_enum)]
    answer: Answer,
}

const ANSWER_SHAPE: &str = "\
Exit codes: 0 the answer was carried out, 1 the collection still asks.

JSON:
  one object as in `guard list`, with the state after the answer, which may also be pulling";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Answer {
    /// Go on: delete here what is gone there, or take the older versions (the vault keeps what was here)
    Accept,
    /// Put back there, as new edits, what is here and gone or older there
    Reupload,
    /// Leave both sides as they are and pull the collection no more; edits are still sent, except to another server
    Detach,
    /// Pull a detached collection again
    Attach,
}

pub(super) fn run(world: &World, command: &GuardCommand) -> Outcome {
    match command {
        GuardCommand::List => list(world),
        GuardCommand::Answer(args) => answer(world, args),
    }
}

fn positions(reader: &mut Reader, keys: &[CollectionKey]) -> Result<Vec<(CollectionKey, Position)>, Failure> {
    let overviews = reader.overview(keys)?;
    Ok(overviews.into_iter().map(|it| (it.key, position(it.checkpoint.as_deref()))).collect())
}

fn list(world: &World) -> Outcome {
    let config = world.config()?;
    let keys: Vec<CollectionKey> = config.sources.iter().flat_map(SourceSpec::keys).collect();
    let asking: Vec<_> = positions(&mut world.reader()?, &keys)?
        .into_iter()
        .filter(|(_, position)| position.guard.is_some() || position.is_detached)
        .collect();
    if world.json {
        let shown: Vec<Value> = asking.iter().map(|(key, position)| shape(key, position)).collect();
        output::json(&shown)?;
        return Ok(DONE);
    }
    if asking.is_empty() {
        talk("no collection has stopped");
        return Ok(DONE);
    }
    let mut data = Data::new();
    for (key, position) in &asking {
        let state = if position.is_detached { "detached" } else { "stopped" };
        let text = position.guard.as_ref().map_or("left as it is, by your choice", |found| found.text.as_str());
        data.line(&format!("{key}  {state}  {text}"))?;
        let Some(found) = &position.guard else { continue };
        if !found.sample.is_empty() {
            let named: Vec<&str> = found.sample.iter().take(8).map(|id| id.0.as_str()).collect();
            let more = found.affected.saturating_sub(named.len() as u64);
            let more = if more > 0 { format!(" and {} more", grouped(more)) } else { String::new() };
            data.line(&format!("  {}{more}", named.join(", ")))?;
        }
    }
    data.finish()?;
    let first = &asking[0].0;
    talk(&format!("hint: `ebbtide guard answer {first} accept`, `reupload`, `detach` or `attach`"));
    Ok(DONE)
}

fn shape(key: &CollectionKey, position: &Position) -> Value {
    let state = match (position.is_detached, &position.guard) {
        (true, _) => "detached",
        (false, Some(_)) => "stopped",
        (false, None) => "pulling",
    };
    let found = position.guard.as_ref();
    json!({
        "source": key.source,
        "collection": key.collection,
        "state": state,
        "reason": found.map(|found| found.reason.word()),
        "text": found.map(|found| &found.text),
        "affected": found.map(|found| found.affected),
        "rows": found.map(|found| found.rows),
        "sample": found.map(|found| &found.sample),
        "since": shapes::maybe_time(found.map(|found| found.since)),
    })
}

fn answer(world: &World, args: &AnswerArgs) -> Outcome {
    let config = world.config()?;
    let key = world::find(&config, &args.collection)?.key();
    let store = world.store()?;
    let mut reader = store.reader()?;
    let keys = [key.clone()];
    let (_, before) = positions(&mut reader, &keys)?.remove(0);
    let (answer, fits) = match args.answer {
        Answer::Accept => (GuardAnswer::Accept, before.guard.is_some()),
        Answer::Reupload => (GuardAnswer::Reupload, before.guard.is_some()),
        Answer::Detach => (GuardAnswer::Detach, !before.is_detached),
        Answer::Attach => (GuardAnswer::Attach, before.is_detached),
    };
    if !fits {
        let hint = "`ebbtide guard list` shows what asks";
        return Err(Failure::usage(format!("`{key}` does not wait for this answer")).hint(hint));
    }
    let request = SyncRequest::AnswerGuard { collection: key.clone(), answer };
    let statuses = sync::carry_out(world, &config, &store, request)?;
    let (_, after) = positions(&mut reader, &keys)?.remove(0);
    let stopped = statuses
        .iter()
        .flat_map(|status| &status.collections)
        .any(|status| status.key == key && matches!(status.phase, PullPhase::Stopped(_)));
    if world.json {
        output::json(&shape(&key, &after))?;
    } else {
        talk(&match (&after.guard, after.is_detached) {
            (_, true) => format!("`{key}` is detached: nothing is pulled any more"),
            (Some(found), _) => format!("`{key}` asks: {}", found.text),
            (None, _) => format!("`{key}` goes on"),
        });
    }
    let asks = stopped || (after.guard.is_some() && !after.is_detached);
    Ok(if asks { ExitCode::FAILURE } else { DONE })
}
