//! `export`: a whole collection as the user sees it, to standard output, with flat memory.

use std::{io::Write, time::Duration};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{
    DONE, Outcome,
    output::Data,
    records,
    report::Failure,
    rows::is_guarded,
    world::{self, World},
};
use crate::{
    model::{
        ids::{CollectionKey, RecordId},
        query::{Anchor, Filter, ListQuery, Sort},
    },
    store::Reader,
};

/// Write a collection to standard output, with your pending edits in it
#[derive(Debug, Args)]
#[command(after_long_help = FORMATS)]
pub(super) struct ExportArgs {
    /// The collection, or source/collection
    #[arg(value_name = "C")]
    collection: String,
    #[arg(long, value_enum, default_value_t = Format::Ndjson)]
    format: Format,
    /// Only what matches, as in `list`
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Ndjson,
    Json,
    Csv,
}

const FORMATS: &str = "\
Formats:
  ndjson  one {\"id\": ID, \"value\": RECORD} a line
  json    one object: records by id
  csv     a column `id` (`_id` where records have another field of that name), and one for each
          top-level field; nested values as JSON. A text that a spreadsheet would take for a formula
          (it begins with = + - @, a tab or a line end) gets a ' before it
`ebbtide import` reads the first two back as they are. From a csv it takes each such ' away again; with
--id id the records keep their ids, and every cell is a text.";

const PAGE: usize = 500;

pub(super) fn run(world: &World, args: &ExportArgs) -> Outcome {
    let config = world.config()?;
    let target = world::find(&config, &args.collection)?;
    let mut reader = world.reader()?;
    records::never_read(&mut reader, &target)?;
    let walk = Walk { collection: target.key(), filter: Filter(args.filter.clone()) };
    let mut data = Data::new();
    match args.format {
        Format::Ndjson => {
            walk.each(&mut reader, |id, value| data.exact(&json!({"id": id, "value": value}).to_string()))?
        }
        Format::Json => {
            let mut separator = "{\n";
            walk.each(&mut reader, |id, value| {
                write!(data.stream(), "{separator}{}: {value}", Value::from(id.as_str()))?;
                separator = ",\n";
                Ok(())
            })?;
            data.exact(if separator == "{\n" { "{}" } else { "\n}" })?;
        }
        Format::Csv => csv(&walk, &mut reader, &mut data)?,
    }
    data.finish()?;
    Ok(DONE)
}

/// A walk over a collection in pages, each after the last id of the one before. No page's transaction is open while its
/// rows are written out: a pager that stands still for hours must not hold the files' logs.
struct Walk {
    collection: CollectionKey,
    filter: Filter,
}

impl Walk {
    fn each(
        &self,
        reader: &mut Reader,
        mut take: impl FnMut(&RecordId, &Value) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        let query = ListQuery {
            collection: self.collection.clone(),
            columns: Vec::new(),
            filter: self.filter.clone(),
            sort: Sort::default(),
        };
        let mut anchor = Anchor::First;
        loop {
            let window = reader.window(&query, &anchor, PAGE, Duration::from_secs(600))?;
            for row in &window.rows {
                if let Some(value) = reader.shown(&self.collection.record(row.id.clone()))?.local {
                    take(&row.id, &value)?;
                }
            }
            match window.rows.last() {
                Some(last) if !window.at_end => anchor = Anchor::After(last.id.clone()),
                _ if window.partial => {
                    return Err(Failure::failed("the export took too long and was ended")
                        .hint("try again with a simpler --filter, or without one"));
                }
                _ => return Ok(()),
            }
        }
    }
}

/// Twice over the collection: the columns first, then the rows.
fn csv(walk: &Walk, reader: &mut Reader, data: &mut Data) -> Result<(), Failure> {
    let mut columns: Vec<String> = Vec::new();
    let mut has_scalars = false;
    // Records may keep their id in a field of their own: then one column says both.
    let mut keeps_id = true;
    walk.each(reader, |id, value| {
        keeps_id &= value.get("id").and_then(Value::as_str) == Some(id.as_str());
        match value {
            Value::Object(members) => {
                for name in members.keys() {
                    if !columns.contains(name) {
                        columns.push(name.clone());
                    }
                }
            }
            _ => has_scalars = true,
        }
        Ok(())
    })?;
    if keeps_id {
        columns.retain(|name| name != "id");
    }
    let free = |name: &str| -> String {
        let mut name = name.to_owned();
        while columns.contains(&name) {
            name.insert(0, '_');
        }
        name
    };
    let (id, value) = (free("id"), has_scalars.then(|| free("value")));
    let mut writer = csv::Writer::from_writer(data.stream());
    let headings = std::iter::once(&id).chain(&columns).chain(&value).map(|name| guard(name));
    writer.write_record(headings).map_err(csv_error)?;
    walk.each(reader, |id, value| {
        let mut row = vec![guard(id.as_str())];
        row.extend(columns.iter().map(|name| value.get(name).map(cell).unwrap_or_default()));
        if has_scalars {
            row.push(if value.is_object() { String::new() } else { cell(value) });
        }
        writer.write_record(row).map_err(csv_error)
    })?;
    writer.flush()?;
    Ok(())
}

fn csv_error(error: csv::Error) -> std::io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        kind => std::io::Error::other(format!("{kind:?}")),
    }
}

/// Texts are guarded; numbers and booleans are what they are, also negative ones.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => guard(text),
        other => other.to_string(),
    }
}

/// Keeps spreadsheets from running a text as a formula.
fn guard(text: &str) -> String {
    if is_guarded(text) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreadsheet_runs_no_text_of_ours() {
        assert_eq!(cell(&json!("=HYPERLINK(\"x\")")), "'=HYPERLINK(\"x\")");
        assert_eq!(cell(&json!("@x")), "'@x");
        assert_eq!(cell(&json!(-5.25)), "-5.25");
        assert_eq!(cell(&json!("plain")), "plain");
        assert_eq!(cell(&json!({"a": 1})), "{\"a\":1}");
    }
}
