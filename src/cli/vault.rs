//! `vault`: versions that lost, to look at and to bring back.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    DONE, Outcome, check, edit,
    output::{self, Data, table, talk},
    report::Failure,
    shapes,
    world::{self, Target, World},
};
use crate::{
    app::panes::editor::text_of,
    model::{
        draft::Draft,
        edit::{Change, diff},
        numbers::grouped,
        time,
        vault::{Kept, KeptVersion, VaultEntry, VaultQuery},
    },
    store::{QueueEdit, Reader, Store},
};

#[derive(Debug, Subcommand)]
pub(super) enum VaultCommand {
    List(ListArgs),
    Show(ShowArgs),
    Restore(RestoreArgs),
}

/// List the kept versions, the newest first
#[derive(Debug, Args)]
#[command(after_long_help = LIST_SHAPE)]
pub(super) struct ListArgs {
    /// Only those of this collection, or source/collection
    #[arg(long, value_name = "C")]
    collection: Option<String>,
    /// Only those of this record
    #[arg(long, value_name = "ID", requires = "collection")]
    id: Option<String>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

const LIST_SHAPE: &str = "\
Reasons:
  discarded          an edit was taken out of the outbox
  undone             an edit was taken back
  local_overwritten  a conflict was settled against your version
  remote_overwritten a conflict was settled against the server's version
  removed_by_pull    the record was gone on the server
  draft_discarded    a draft was discarded
  draft_replaced     two windows typed in one draft at once; the other's text is the draft

JSON:
  [{\"number\", \"source\", \"collection\", \"id\": the record, \"reason\", \"at\", \"revision\": the server's or
    null, \"hash\": SHA-256 of the text in hex, \"size\": its bytes}]";

/// Show a kept version
#[derive(Debug, Args)]
#[command(after_long_help = SHOW_SHAPE)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    which: Which,
    /// Show what restoring it would change in the record as it is now
    #[arg(long)]
    diff: bool,
}

const SHOW_SHAPE: &str = "\
JSON:
  one object, as in `vault list`, with \"document\": the version, \"local\": the record as it is now or null, and
  \"changes\": what restoring would change, [{\"pointer\", \"from\", \"to\"}]
  a discarded draft has \"document\": null, no changes, and \"text\": what was typed,
  \"what\": document|new|field|op";

/// Bring a kept version back, as an ordinary edit; a discarded draft as a draft
///
/// The edit is queued on disk and sent when the server can be reached; the record is made anew where it is gone.
#[derive(Debug, Args)]
#[command(after_long_help = RESTORE_SHAPE)]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    which: Which,
}

const RESTORE_SHAPE: &str = "\
JSON:
  {\"seq\", \"op_id\", \"source\", \"collection\", \"id\", \"kind\": create|update|delete, \"state\": \"queued\"}
  or {\"source\", \"collection\", \"id\", \"state\": \"unchanged\"} where the record is as asked already
  or {\"source\", \"collection\", \"id\", \"state\": \"draft\", \"kept\": where the vault has the draft
  that was there, or null} for a discarded draft";

#[derive(Debug, Args)]
struct Which {
    /// Its number, as `vault list` shows it
    #[arg(value_name = "N")]
    number: i64,
}

pub(super) fn run(world: &World, command: &VaultCommand) -> Outcome {
    match command {
        VaultCommand::List(args) => list(world, args),
        VaultCommand::Show(args) => show(world, args),
        VaultCommand::Restore(args) => restore(world, args.which.number),
    }
}

fn list(world: &World, args: &ListArgs) -> Outcome {
    let collection = match &args.collection {
        Some(name) => Some(world::find(&world.config()?, name)?.key()),
        None => None,
    };
    let query = VaultQuery { collection, id: args.id.as_deref().map(Into::into), text: String::new() };
    let limit = args.limit as usize;
    let mut entries = world.reader()?.vault_search(&query, None, limit + 1)?;
    let is_cut = entries.len() > limit;
    entries.truncate(limit);
    if is_cut {
        talk(&format!("the newest {} only; more with --limit", grouped(limit as u64)));
    }
    if world.json {
        output::json(&entries.iter().map(shapes::version).collect::<Vec<Value>>())?;
        return Ok(DONE);
    }
    if entries.is_empty() {
        talk("the vault keeps nothing of that");
        return Ok(DONE);
    }
    let now = world.now();
    let row = |entry: &VaultEntry| {
        let age = time::age(now.since(entry.at));
        let record = entry.record.to_string();
        vec![entry.id.to_string(), record, entry.reason.label().to_owned(), age, entry.size.to_string()]
    };
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    let mut data = Data::new();
    for line in table(&["N", "RECORD", "WHY", "AGE", "BYTES"], &rows, 60) {
        data.exact(&line)?;
    }
    data.finish()?;
    Ok(DONE)
}

fn load(reader: &mut Reader, number: i64) -> Result<KeptVersion, Failure> {
    reader.kept_version(number)?.ok_or_else(|| {
        Failure::failed(format!("the vault has no version {number}"))
            .hint("`ebbtide vault list` shows those it keeps; how long it does is `[vault]` of the configuration")
    })
}

fn show(world: &World, args: &ShowArgs) -> Outcome {
    let kept = load(&mut world.reader()?, args.which.number)?;
    let document = match &kept.kept {
        Kept::Document(document) => document,
        Kept::Draft(draft) => return show_draft(world, &kept, draft),
    };
    let changes = diff(kept.local.as_ref(), Some(document));
    if world.json {
        let mut shape = shapes::version(&kept.entry);
        let more = json!({"document": document, "local": kept.local, "changes": changes});
        if let (Value::Object(shape), Value::Object(more)) = (&mut shape, more) {
            shape.extend(more);
        }
        output::json(&shape)?;
        return Ok(DONE);
    }
    let entry = &kept.entry;
    talk(&format!("{} of {}, {}", entry.record, entry.at.to_rfc3339(), entry.reason.label()));
    let mut data = Data::new();
    if args.diff {
        if changes.is_empty() {
            talk("the record is that already");
        }
        for change in &changes {
            data.line(&line(change))?;
        }
    } else {
        for line in serde_json::to_string_pretty(document).expect("a value is JSON").lines() {
            data.line(line)?;
        }
    }
    data.finish()?;
    Ok(DONE)
}

fn show_draft(world: &World, kept: &KeptVersion, draft: &Draft) -> Outcome {
    let text = text_of(draft);
    if world.json {
        let mut shape = shapes::version(&kept.entry);
        let more = json!({"document": null, "local": kept.local, "changes": [], "text": text,
            "what": shapes::what(&draft.key.target)});
        if let (Value::Object(shape), Value::Object(more)) = (&mut shape, more) {
            shape.extend(more);
        }
        output::json(&shape)?;
        return Ok(DONE);
    }
    let entry = &kept.entry;
    talk(&format!("{} of {}, {}", entry.record, entry.at.to_rfc3339(), entry.reason.label()));
    let mut data = Data::new();
    for line in text.split('\n') {
        data.line(line)?;
    }
    data.finish()?;
    Ok(DONE)
}

/// `/price: 13 -> 12.5`
fn line(change: &Change) -> String {
    let show = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
    let place = if change.pointer.is_root() { "the record".to_owned() } else { change.pointer.to_string() };
    format!("{place}: {} -> {}", show(&change.from), show(&change.to))
}

fn restore(world: &World, number: i64) -> Outcome {
    let config = world.config()?;
    let store = world.store()?;
    let mut reader = store.reader()?;
    let kept = load(&mut reader, number)?;
    let record = &kept.entry.record;
    let document = match &kept.kept {
        Kept::Document(document) => document,
        Kept::Draft(draft) => return restore_draft(world, &store, draft),
    };
    let source = world::find_source(&config, &record.collection.source);
    let target = source
        .and_then(|source| Some(Target { source, collection: source.collection(&record.collection.collection)? }));
    let Some(target) = target else {
        return Err(Failure::usage(format!("the collection `{}` is not configured any more", record.collection))
            .hint(format!("configure it again, or look at it with `ebbtide vault show {number}`")));
    };
    target.check_writable()?;
    let document = check::document(&target, record.id.as_str(), document)?;
    let view = reader.shown(record)?;
    let Some(op) = edit::new_op(&world.at(), view, Some(document), edit::author(target.source)) else {
        if world.json {
            let key = &record.collection;
            let state = "unchanged";
            output::json(
                &json!({"source": key.source, "collection": key.collection, "id": record.id, "state": state}),
            )?;
        }
        talk(&format!("{record} is that already; nothing was queued"));
        return Ok(DONE);
    };
    let kind = op.kind;
    let queued = store
        .queue(QueueEdit { op, draft: None, session: None, activity: None })
        .wait()
        .map_err(|error| Failure::store("the version was not restored", error))?;
    edit::wake(&store, world)?;
    if world.json {
        output::json(&shapes::queued(record, kind, queued.seq, queued.op_id))?;
    }
    talk(&format!("queued as {}: {} {record} as it was kept", queued.seq, kind.word()));
    Ok(DONE)
}

fn restore_draft(world: &World, store: &Store, draft: &Draft) -> Outcome {
    let kept = store
        .restore_draft(draft.clone(), world.now())
        .wait()
        .map_err(|error| Failure::store("the draft was not restored", error))?;
    edit::wake(store, world)?;
    let record = &draft.key.record;
    if world.json {
        let (source, collection) = (&record.collection.source, &record.collection.collection);
        output::json(
            &json!({"source": source, "collection": collection, "id": record.id, "state": "draft", "kept": kept}),
        )?;
    }
    let instead = kept.map(|number| format!("; the one that was there is version {number} of the vault"));
    talk(&format!("{record} has its draft again{}", instead.unwrap_or_default()));
    Ok(DONE)
}
