//! `draft`: what was typed and not queued, also where its record is gone.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    DONE, Outcome, edit,
    output::{self, Data, table, talk},
    report::Failure,
    shapes, world,
    world::World,
};
use crate::{
    app::panes::{
        drafts::{DraftRow, sheet_of, what},
        editor::{check::Terms, merging::Standing, text_of},
    },
    config::Config,
    model::{
        draft::{Draft, DraftKey, DraftTarget},
        edit::Change,
        record::RecordView,
        time,
    },
    store::{QueueEdit, Reader},
};

#[derive(Debug, Subcommand)]
pub(super) enum DraftCommand {
    List(ListArgs),
    Show(ShowArgs),
    Discard(DiscardArgs),
    Queue(QueueArgs),
}

/// List the drafts, the one begun last first
#[derive(Debug, Args)]
#[command(after_long_help = LIST_SHAPE)]
pub(super) struct ListArgs {
    /// Only those of this collection, or source/collection
    #[arg(long, value_name = "C")]
    collection: Option<String>,
}

const LIST_SHAPE: &str = "\
States:
  steady        the record is what the draft was begun on
  base_changed  the record has other values now; `fields_changed` counts them
  gone          there is no such record any more; queueing makes it anew

JSON:
  [{\"number\", \"source\", \"collection\", \"id\", \"what\": document|new|field|op,
    \"field\": its pointer or null, \"op\": its number or null, \"updated_at\",
    \"bytes\": of its text, \"state\", \"fields_changed\", \"valid\": whether it could be queued,
    \"problem\": why not, or null, \"first_change\": the first line that differs}]";

/// Show a draft: its text, as it was typed
#[derive(Debug, Args)]
#[command(after_long_help = SHOW_SHAPE)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    which: Which,
    /// Show what it would change in the record it was begun on
    #[arg(long)]
    diff: bool,
}

const SHOW_SHAPE: &str = "\
JSON:
  one object, as in `draft list`, with \"text\": what was typed, \"base\": the record it was
  begun on or null, \"local\": the record as it is now or null, and \"changes\": what it would
  change, [{\"pointer\", \"from\", \"to\"}]";

/// End a draft without queueing it; the vault keeps it
#[derive(Debug, Args)]
#[command(after_long_help = DISCARD_SHAPE)]
pub(super) struct DiscardArgs {
    #[command(flatten)]
    which: Which,
}

const DISCARD_SHAPE: &str = "\
JSON:
  {\"number\", \"source\", \"collection\", \"id\", \"state\": \"discarded\",
   \"kept\": its number in the vault}
`ebbtide vault restore N` brings it back as a draft.";

/// Queue a draft, as its editor would
///
/// What changed in the record meanwhile is merged with it. A draft that changes what others changed too is not queued:
/// open it on the screen (`g d`) and choose.
#[derive(Debug, Args)]
#[command(after_long_help = edit::QUEUED_SHAPE)]
pub(super) struct QueueArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct Which {
    /// Its number, as `draft list` shows it
    #[arg(value_name = "N")]
    number: i64,
}

pub(super) fn run(world: &World, command: &DraftCommand) -> Outcome {
    match command {
        DraftCommand::List(args) => list(world, args),
        DraftCommand::Show(args) => show(world, args),
        DraftCommand::Discard(args) => discard(world, args.which.number),
        DraftCommand::Queue(args) => queue(world, args.which.number),
    }
}

/// One draft beside its record.
struct Found {
    number: i64,
    draft: Draft,
    view: RecordView,
    terms: Terms,
}

impl Found {
    fn row(&self) -> DraftRow {
        DraftRow::of(self.number, &self.draft, &self.view, &self.terms)
    }

    fn is_configured(&self) -> bool {
        self.terms.kind.is_some()
    }

    fn name(&self) -> String {
        format!("the draft of {} ({})", self.draft.key.record, what(&self.draft.key.target))
    }
}

fn read(reader: &mut Reader, config: &Config, number: i64, key: &DraftKey) -> Result<Option<Found>, Failure> {
    let view = reader.record(&key.record)?;
    let collection = &key.record.collection;
    let source = world::find_source(config, &collection.source);
    let source = source.filter(|source| source.collection(&collection.collection).is_some());
    let terms = Terms::of(source, collection);
    let draft = view.drafts.iter().find(|draft| draft.key == *key).cloned();
    Ok(draft.map(|draft| Found { number, draft, view, terms }))
}

fn find(reader: &mut Reader, config: &Config, number: i64) -> Result<Found, Failure> {
    let (listed, _) = reader.draft_list(usize::MAX)?;
    let found = match listed.iter().find(|(other, _)| *other == number) {
        Some((_, key)) => read(reader, config, number, key)?,
        None => None,
    };
    found.ok_or_else(|| {
        Failure::failed(format!("there is no draft {number}"))
            .hint("`ebbtide draft list` shows them; a discarded one is in the vault: `ebbtide vault list`")
    })
}

fn list(world: &World, args: &ListArgs) -> Outcome {
    let config = world.config()?;
    let wanted = match &args.collection {
        Some(name) => Some(world::find(&config, name)?.key()),
        None => None,
    };
    let mut reader = world.reader()?;
    let (listed, _) = reader.draft_list(usize::MAX)?;
    let mut found = Vec::new();
    for (number, key) in listed {
        if wanted.as_ref().is_none_or(|wanted| *wanted == key.record.collection) {
            // Not kept all at once: the texts may be large.
            let read = read(&mut reader, &config, number, &key)?;
            found.extend(read.map(|read| (read.row(), read.is_configured())));
        }
    }
    if world.json {
        output::json(&found.iter().map(|(row, _)| shape(row)).collect::<Vec<Value>>())?;
        return Ok(DONE);
    }
    if found.is_empty() {
        talk("there is no draft");
        return Ok(DONE);
    }
    let now = world.now();
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|(row, is_configured)| {
            vec![
                row.number.to_string(),
                row.key.record.to_string(),
                what(&row.key.target),
                time::age(now.since(row.updated_at)),
                row.bytes.to_string(),
                row.state(*is_configured),
                row.first.clone(),
            ]
        })
        .collect();
    let mut data = Data::new();
    for line in table(&["N", "RECORD", "WHAT", "AGE", "BYTES", "STATE", "FIRST CHANGE"], &rows, 40) {
        data.exact(&line)?;
    }
    data.finish()?;
    Ok(DONE)
}

fn shape(row: &DraftRow) -> Value {
    let (state, fields) = match row.standing {
        Standing::Steady => ("steady", 0),
        Standing::Moved(fields) => ("base_changed", fields),
        Standing::Gone => ("gone", 0),
    };
    let (field, op) = match &row.key.target {
        DraftTarget::Field(pointer) => (Some(pointer.to_string()), None),
        DraftTarget::Op(seq) => (None, Some(*seq)),
        _ => (None, None),
    };
    json!({
        "number": row.number,
        "source": row.key.record.collection.source,
        "collection": row.key.record.collection.collection,
        "id": row.key.record.id,
        "what": shapes::what(&row.key.target),
        "field": field,
        "op": op,
        "updated_at": shapes::time(row.updated_at),
        "bytes": row.bytes,
        "state": state,
        "fields_changed": fields,
        "valid": row.problem.is_none(),
        "problem": row.problem,
        "first_change": row.first,
    })
}

fn show(world: &World, args: &ShowArgs) -> Outcome {
    let found = find(&mut world.reader()?, &world.config()?, args.which.number)?;
    let sheet = sheet_of(&found.draft, &found.view, &found.terms);
    let text = text_of(&found.draft);
    if world.json {
        let mut shape = shape(&found.row());
        let more = json!({"text": text, "base": found.draft.base(), "local": found.view.local,
            "changes": sheet.check.changes});
        if let (Value::Object(shape), Value::Object(more)) = (&mut shape, more) {
            shape.extend(more);
        }
        output::json(&shape)?;
        return Ok(DONE);
    }
    let row = found.row();
    talk(&format!("{}, typed {}: {}", found.name(), row.updated_at.to_rfc3339(), row.state(found.is_configured())));
    if let Some(problem) = &row.problem {
        talk(&format!("it cannot be queued yet: {problem}"));
    }
    let mut data = Data::new();
    if args.diff {
        for change in &sheet.check.changes {
            data.line(&line(change))?;
        }
    } else {
        for line in text.split('\n') {
            data.line(line)?;
        }
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

fn discard(world: &World, number: i64) -> Outcome {
    let store = world.store()?;
    let found = find(&mut store.reader()?, &world.config()?, number)?;
    let key = &found.draft.key;
    let kept = store
        .discard_draft(key.clone(), world.now())
        .wait()
        .map_err(|error| Failure::store("the draft was not discarded", error))?
        .ok_or_else(|| Failure::failed(format!("there is no draft {number} any more")))?;
    edit::wake(&store, world)?;
    if world.json {
        let (source, collection) = (&key.record.collection.source, &key.record.collection.collection);
        output::json(&json!({"number": number, "source": source, "collection": collection, "id": key.record.id,
            "state": "discarded", "kept": kept}))?;
    }
    talk(&format!("discarded {}; `ebbtide vault restore {kept}` brings it back", found.name()));
    Ok(DONE)
}

fn queue(world: &World, number: i64) -> Outcome {
    let config = world.config()?;
    let store = world.store()?;
    let found = find(&mut store.reader()?, &config, number)?;
    let key = &found.draft.key;
    let refuse = |why: String| Failure::failed(format!("{} was not queued", found.name())).because(why);
    let source = world::find_source(&config, &key.record.collection.source);
    let Some(source) = source.filter(|_| found.is_configured()) else {
        return Err(Failure::usage(format!("the collection `{}` is not configured any more", key.record.collection))
            .hint(format!("configure it again, or copy the text: `ebbtide draft show {number}`")));
    };
    if source.read_only {
        return Err(Failure::usage(format!("the source `{}` is read-only", source.name))
            .hint("remove `read_only = true` from its configuration to edit it"));
    }
    if found.row().op_is_gone {
        return Err(refuse("its op does not wait any more".to_owned())
            .hint("open it on the screen (`g d`): there it becomes a draft of the whole record"));
    }
    let mut sheet = sheet_of(&found.draft, &found.view, &found.terms);
    if let Some(problem) = sheet.check.problems.first() {
        return Err(Failure::usage(format!("{} cannot be queued as it is", found.name()))
            .because(problem.to_string())
            .hint("open it on the screen (`g d`) and put it right; the text is kept as it is"));
    }
    sheet.merge_choices(&found.terms).map_err(|open| {
        refuse(format!("both sides changed {}", open.join(", ")))
            .hint("open it on the screen (`g d`); F6 lets you choose field by field")
    })?;
    if sheet.check.changes.is_empty() && sheet.standing() != Standing::Gone {
        return Err(refuse("it changes nothing".to_owned()).hint(format!("`ebbtide draft discard {number}` ends it")));
    }
    let Some(mut op) = sheet.op(&world.at()) else { return Err(refuse("its text cannot be read".to_owned())) };
    op.author = edit::author(source);
    let (record, kind) = (op.record.clone(), op.kind);
    let queued = store
        .queue(QueueEdit { op, draft: Some(found.draft.text()), session: None, activity: None })
        .wait()
        .map_err(|error| Failure::store("the draft was not queued", error))?;
    edit::wake(&store, world)?;
    if world.json {
        output::json(&shapes::queued(&record, kind, queued.seq, queued.op_id))?;
    }
    talk(&format!("queued as {}: {} {record}", queued.seq, kind.word()));
    Ok(DONE)
}
