//! `import`: many records from a file into the outbox, in chunks, with flat memory.
//!
//! A file is read twice: once to check every row, so that a bad one queues nothing, and once to queue. Rows that are
//! there already are left alone, so an interrupted import is finished by running it again.

use std::{
    collections::HashSet,
    fs::File,
    io::{BufReader, IsTerminal, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use super::{
    DONE, Outcome, check,
    edit::{author, new_op, wake},
    output::{self, count, talk},
    report::Failure,
    rows::{self, Format, Row},
    world::{self, Target, World},
};
use crate::{
    model::{
        ids::RecordId,
        json::Pointer,
        op::{NewOp, OpKind},
        query::{Anchor, Filter, ListQuery, Sort},
        rtdb,
    },
    store::{Reader, Store},
};

/// Queue the records of a file
///
/// The file is checked as a whole before anything is queued. Records that are the same here already are left alone.
#[derive(Debug, Args)]
#[command(after_long_help = FORMS)]
pub(super) struct ImportArgs {
    /// The collection, or source/collection
    #[arg(value_name = "C")]
    collection: String,
    /// The file, or `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where a record keeps its id: a JSON pointer, or the name of a top-level field
    #[arg(long, value_name = "POINTER", conflicts_with = "new_ids")]
    id: Option<String>,
    /// Make a new id for each record; importing the file twice makes two copies
    #[arg(long)]
    new_ids: bool,
    /// Leave records alone that exist here, even where the file has another version
    #[arg(long)]
    skip_existing: bool,
    /// The form of the file [default: by its ending; else ndjson]
    #[arg(long, value_enum)]
    format: Option<Format>,
}

const FORMS: &str = "\
Forms:
  ndjson  one record a line; without --id, each line is {\"id\": ID, \"value\": RECORD}
  json    an array of records (like the lines of ndjson), or one object of records by id
  csv     a heading and rows; an empty cell is no field. Others are numbers, true, false, lists or objects where the
          field is so here (in the record, or in all records looked at, 200 at most), else texts; an unchanged
          export changes nothing. The column `id` in front is no field, as export has it, unless --id names it;
          without it --id or --new-ids is needed

JSON:
  {\"source\", \"collection\", \"read\": rows, \"created\", \"updated\", \"unchanged\", \"skipped\"}";

const CHUNK: usize = 500;
/// Records that tell of what kind the fields of new ones are, and how long they are looked for.
const LOOKED_AT: usize = 200;
const LOOK_FOR: Duration = Duration::from_secs(2);

pub(super) fn run(world: &World, args: &ImportArgs) -> Outcome {
    let config = world.config()?;
    let target = world::find(&config, &args.collection)?;
    target.check_writable()?;
    let format = args.format.unwrap_or_else(|| by_ending(&args.file));
    let rule = IdRule::new(args, format)?;
    let is_stdin = args.file.as_os_str() == "-";
    if !is_stdin {
        let input = open(&args.file)?;
        rows::each(BufReader::new(input), format, &mut |row| {
            let line = row.line;
            let (id, document) = rule.split(world, row)?;
            checked(&target, &id, &document).map(drop).map_err(|failure| failure.because(format!("line {line}")))
        })
        .map_err(|failure| failure.because("nothing was queued"))?;
    }
    let store = world.store()?;
    let mut reader = store.reader()?;
    let table = if format == Format::Csv { Some(kinds(&mut reader, &target)?) } else { None };
    let mut importer = Importer {
        world,
        reader,
        store,
        author: author(target.source),
        target,
        skip_existing: args.skip_existing,
        table,
        chunk: Vec::new(),
        in_chunk: HashSet::new(),
        tally: Tally::default(),
    };
    let bar = progress(&args.file, is_stdin);
    let input: Box<dyn Read> = if is_stdin { Box::new(std::io::stdin().lock()) } else { Box::new(open(&args.file)?) };
    let input = BufReader::with_capacity(1 << 16, bar.wrap_read(input));
    let read = rows::each(input, format, &mut |row| {
        let line = row.line;
        let (id, document) = rule.split(world, row)?;
        importer.take(id, document).map_err(|failure| failure.because(format!("line {line}")))
    });
    let flushed = importer.flush();
    bar.finish_and_clear();
    wake(&importer.store, world)?;
    let tally = importer.tally;
    read.and(flushed).map_err(|failure| {
        let before = format!("{} before it are queued", count(tally.created + tally.updated, "record"));
        failure.because(before).hint("correct it and import again: records that are there already are left alone")
    })?;
    tally.report(world, &target)
}

fn by_ending(file: &Path) -> Format {
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("json") => Format::Json,
        Some("csv") => Format::Csv,
        _ => Format::Ndjson,
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| Failure::io(format!("could not read `{}`", path.display()), &error))
}

fn progress(path: &Path, is_stdin: bool) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let length = if is_stdin { None } else { std::fs::metadata(path).ok().map(|metadata| metadata.len()) };
    let bar = match length {
        Some(length) => ProgressBar::new(length),
        None => ProgressBar::new_spinner(),
    };
    let style = "{bar:30} {bytes} of {total_bytes}, {eta} left";
    bar.with_style(ProgressStyle::with_template(style).expect("the template is sound"))
}

/// Where the id of a row comes from.
enum IdRule {
    Pointer(Pointer),
    New,
    /// The key of the object, or the member `id` beside `value`.
    FromForm,
    /// The column that export writes, which is no field.
    Column,
}

impl IdRule {
    fn new(args: &ImportArgs, format: Format) -> Result<Self, Failure> {
        match &args.id {
            Some(pointer) => Ok(Self::Pointer(Pointer::parse(pointer))),
            None if args.new_ids => Ok(Self::New),
            None if format == Format::Csv => Ok(Self::Column),
            None => Ok(Self::FromForm),
        }
    }

    fn split(&self, world: &World, row: Row) -> Result<(String, Value), Failure> {
        let at = |reason: &str, hint: &str| {
            Failure::usage(reason).because(format!("line {}", row.line)).hint(hint.to_owned())
        };
        match (self, row.key) {
            (Self::Pointer(_) | Self::New | Self::Column, Some(_)) => {
                Err(at("the file is an object of records by id", "leave --id and --new-ids out: its keys are the ids"))
            }
            (Self::FromForm, Some(key)) => Ok((key, row.document)),
            (Self::New, None) => Ok((rtdb::push_id(&world.at()), row.document)),
            (Self::Pointer(pointer), None) => match pointer.get(&row.document) {
                Some(Value::String(id)) => Ok((id.clone(), row.document)),
                Some(Value::Number(id)) => Ok((id.to_string(), row.document)),
                _ => Err(at(&format!("the record has no id at `{pointer}`"), "name another field with --id")),
            },
            (Self::Column, None) => {
                let Value::Object(mut members) = row.document else { unreachable!("a row of cells") };
                // Where records have a field of that name, export calls its column `_id`.
                let first = members.keys().next().filter(|name| name.trim_start_matches('_') == "id").cloned();
                match first.and_then(|name| members.shift_remove(&name)) {
                    Some(Value::String(id)) => Ok((id, Value::Object(members))),
                    _ => Err(at(
                        "the id of the row is not known: its first column is not `id`, or empty",
                        "name the column with --id COLUMN, or make new ids with --new-ids",
                    )),
                }
            }
            (Self::FromForm, None) => match row.document {
                Value::Object(mut members)
                    if members.len() == 2 && members.contains_key("value") && members["id"].is_string() =>
                {
                    let Some(Value::String(id)) = members.shift_remove("id") else { unreachable!("just looked") };
                    Ok((id, members.shift_remove("value").unwrap_or(Value::Null)))
                }
                _ => Err(at(
                    "the ids of the records are not known",
                    "name the field that holds them with --id POINTER, or make new ids with --new-ids",
                )),
            },
        }
    }
}

fn checked(target: &Target<'_>, id: &str, document: &Value) -> Result<Value, Failure> {
    check::id(id)?;
    check::document(target, id, document)
}

/// A table knows texts only. Where there is a value of a field, its cell is meant as one of that kind.
fn as_kinds(row: &mut Map<String, Value>, there: &Map<String, Value>) {
    for (name, cell) in row {
        let (Some(value), Value::String(text)) = (there.get(name), &*cell) else { continue };
        let is_text = value.is_string() || value.is_null();
        let meant = serde_json::from_str::<Value>(text).ok().filter(|meant| !is_text && is_alike(meant, value));
        if let Some(meant) = meant {
            *cell = meant;
        }
    }
}

/// The record with the cells of its row, as far as a table can say them.
fn as_there(id: &str, there: &Value, row: Value) -> Value {
    let Some(there) = there.as_object() else { return row };
    let Value::Object(mut row) = row else { return row };
    as_kinds(&mut row, there);
    // None of them has a cell of its own: nothing, an empty text, and an id that the record keeps in itself too.
    let is_unsaid = |name: &str, value: &Value| value.is_null() || value == "" || (name == "id" && value == id);
    for (name, value) in there.iter().filter(|(name, value)| is_unsaid(name, value)) {
        row.entry(name.clone()).or_insert_with(|| value.clone());
    }
    Value::Object(row)
}

/// An example of each field of a collection that is of one kind in all records looked at.
fn kinds(reader: &mut Reader, target: &Target<'_>) -> Result<Map<String, Value>, Failure> {
    let query =
        ListQuery { collection: target.key(), columns: Vec::new(), filter: Filter::default(), sort: Sort::default() };
    let window = reader.window(&query, &Anchor::First, LOOKED_AT, LOOK_FOR)?;
    let mut kinds: Map<String, Value> = Map::new();
    for row in window.rows {
        let shown = reader.shown(&target.key().record(row.id))?;
        let Some(Value::Object(members)) = shown.local.as_deref() else { continue };
        for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
            let known = kinds.entry(name.clone()).or_insert_with(|| value.clone());
            if !is_alike(known, value) {
                // A text, to leave it at that.
                *known = Value::String(String::new());
            }
        }
    }
    Ok(kinds)
}

fn is_alike(one: &Value, other: &Value) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

#[derive(Default, Clone, Copy)]
struct Tally {
    created: u64,
    updated: u64,
    unchanged: u64,
    skipped: u64,
}

struct Importer<'w> {
    world: &'w World,
    store: Store,
    reader: Reader,
    target: Target<'w>,
    author: String,
    skip_existing: bool,
    /// The values are cells; what new records are meant by.
    table: Option<Map<String, Value>>,
    chunk: Vec<NewOp>,
    in_chunk: HashSet<RecordId>,
    tally: Tally,
}

impl Importer<'_> {
    fn take(&mut self, id: String, document: Value) -> Result<(), Failure> {
        let key = self.target.key().record(id.clone());
        if self.chunk.len() >= CHUNK || self.in_chunk.contains(&key.id) {
            self.flush()?;
        }
        let view = self.reader.shown(&key)?;
        let document = match (&self.table, view.local.as_deref(), document) {
            (Some(_), Some(there), row) => as_there(&id, there, row),
            (Some(kinds), None, Value::Object(mut row)) => {
                as_kinds(&mut row, kinds);
                Value::Object(row)
            }
            (_, _, document) => document,
        };
        let document = checked(&self.target, &id, &document)?;
        if self.skip_existing && view.local.is_some() {
            self.tally.skipped += 1;
            return Ok(());
        }
        match new_op(&self.world.at(), view, Some(document), self.author.clone()) {
            None => self.tally.unchanged += 1,
            Some(op) => {
                match op.kind {
                    OpKind::Create => self.tally.created += 1,
                    OpKind::Update | OpKind::Delete => self.tally.updated += 1,
                }
                self.in_chunk.insert(key.id);
                self.chunk.push(op);
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.in_chunk.clear();
        let chunk = std::mem::take(&mut self.chunk);
        if chunk.is_empty() {
            return Ok(());
        }
        let queued = self.store.queue_many(chunk).wait();
        queued.map(drop).map_err(|error| Failure::store("not all records were queued", error))
    }
}

impl Tally {
    fn report(self, world: &World, target: &Target<'_>) -> Outcome {
        let Self { created, updated, unchanged, skipped } = self;
        let read = created + updated + unchanged + skipped;
        if world.json {
            output::json(&json!({
                "source": target.source.name,
                "collection": target.collection.name,
                "read": read,
                "created": created,
                "updated": updated,
                "unchanged": unchanged,
                "skipped": skipped,
            }))?;
        }
        let mut parts = vec![format!("{created} created"), format!("{updated} updated")];
        if unchanged > 0 {
            parts.push(format!("{unchanged} unchanged"));
        }
        if skipped > 0 {
            parts.push(format!("{skipped} skipped"));
        }
        talk(&format!("queued {}: {}", count(created + updated, "edit"), parts.join(", ")));
        Ok(DONE)
    }
}
