//! The rows of a file to import, one at a time: a file of any size is read with flat memory.

use std::{
    cell::Cell,
    io::{self, BufRead, Read},
    rc::Rc,
};

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, value::RawValue};

use super::report::Failure;
use crate::model::json::{self, Invalid, Limits};

/// One record of the file.
pub(super) struct Row {
    /// The line it begins on.
    pub line: u64,
    /// Its id, where the form of the file says it (an object keyed by id).
    pub key: Option<String>,
    pub document: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Ndjson,
    Json,
    Csv,
}

type Take<'t> = &'t mut dyn FnMut(Row) -> Result<(), Failure>;

pub(super) fn each(input: impl BufRead, format: Format, take: Take<'_>) -> Result<(), Failure> {
    match format {
        Format::Ndjson => ndjson(input, take),
        Format::Json => json_file(input, take),
        Format::Csv => csv_file(input, take),
    }
}

fn ndjson(mut input: impl BufRead, take: Take<'_>) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let limit = Limits::default().bytes as u64 + 2;
        let read = input.by_ref().take(limit).read_until(b'\n', &mut bytes);
        if read.map_err(|error| Failure::io("could not read the file", &error))? == 0 {
            break;
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| bad(line, 1, "the line is not UTF-8"))?;
        let text = text.trim_start_matches('\u{feff}').trim_end();
        if !text.is_empty() {
            let document = json::parse(text, Limits::default()).map_err(|invalid| placed(line, &invalid))?;
            take(Row { line, key: None, document })?;
        }
    }
    Ok(())
}

/// One array of records, or one object of records by id.
fn json_file(mut input: impl BufRead, take: Take<'_>) -> Result<(), Failure> {
    let start = input.fill_buf().map_err(|error| Failure::io("could not read the file", &error))?;
    if start.starts_with("\u{feff}".as_bytes()) {
        input.consume(3);
    }
    let line = Rc::new(Cell::new(1));
    let counted = CountLines { inner: input, line: line.clone() };
    let mut failure = None;
    let mut deserializer = serde_json::Deserializer::from_reader(counted);
    let seed = Rows { take, line, failure: &mut failure };
    let read = seed.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    match (failure, read) {
        (Some(failure), _) => Err(failure),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) if error.is_io() => {
            Err(Failure::failed("could not read the file").because(error.to_string()))
        }
        (None, Err(error)) => {
            let text = error.to_string();
            let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
            Err(bad(error.line() as u64, error.column() as u64, reason))
        }
    }
}

fn csv_file(input: impl BufRead, take: Take<'_>) -> Result<(), Failure> {
    // A quote that is never closed, in a file that was cut off for one, swallows what comes behind it, which the reader does
    // not mind. So a row of ours comes last.
    let input = input.chain(io::Cursor::new(format!("\n{LAST_CELL}\n")));
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(input);
    let broken = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        bad(line, 1, &error.to_string())
    };
    let headings: Vec<String> = reader.headers().map_err(broken)?.iter().map(bare).collect();
    if headings == [LAST_CELL] {
        return Ok(()); // Nothing at all is in the file.
    }
    if let Some(twice) = headings.iter().enumerate().find(|(at, name)| headings[..*at].contains(name)) {
        return Err(bad(1, 1, &format!("two columns are named `{}`", twice.1)));
    }
    for row in reader.records() {
        let row = row.map_err(broken)?;
        let line = row.position().map_or(0, csv::Position::line);
        if row.len() == 1 && &row[0] == LAST_CELL {
            return Ok(());
        }
        if row.iter().any(|cell| cell.contains(LAST_CELL)) {
            return Err(bad(line, 1, "a quote is opened in this row and never closed"));
        }
        if row.len() != headings.len() {
            let reason = format!("{} cells, where the heading has {}", row.len(), headings.len());
            return Err(bad(line, 1, &reason));
        }
        let cells = headings.iter().zip(&row).filter(|(_, cell)| !cell.is_empty());
        let document: Map<String, Value> = cells.map(|(name, cell)| (name.clone(), Value::from(bare(cell)))).collect();
        take(Row { line, key: None, document: Value::Object(document) })?;
    }
    Err(bad(1, 1, "a quote is opened in the heading and never closed"))
}

/// Not looked for in a file: control characters stand around it, which no program writes into a table.
const LAST_CELL: &str = "\u{0}the last row\u{0}";

/// A cell without the `'` that `export` puts before what a spreadsheet would take for a formula.
fn bare(cell: &str) -> String {
    let quoted = cell.strip_prefix('\'').filter(|rest| is_guarded(rest));
    quoted.unwrap_or(cell).to_owned()
}

/// Whether a text gets a `'` before it in a CSV file: a spreadsheet would take it for a formula, or import would take its
/// own `'` away.
pub(super) fn is_guarded(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r', '\n'])
}

fn placed(line: u64, invalid: &Invalid) -> Failure {
    bad(line + invalid.line as u64 - 1, invalid.column as u64, &invalid.reason)
}

fn bad(line: u64, column: u64, reason: &str) -> Failure {
    Failure::usage("the file is no acceptable input")
        .because(format!("line {line}, column {column}: {reason}"))
        .hint("correct that line, or name the form of the file with --format ndjson, json or csv")
}

/// Counts line ends as they are read, byte by byte, by serde_json.
struct CountLines<R> {
    inner: R,
    line: Rc<Cell<u64>>,
}

impl<R: Read> Read for CountLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let ends = buffer[..count].iter().filter(|byte| **byte == b'\n').count();
        self.line.set(self.line.get() + ends as u64);
        Ok(count)
    }
}

/// Hands each member to `take` as soon as it is read. A failure of `take` ends the reading and is kept.
struct Rows<'a, 't> {
    take: Take<'t>,
    line: Rc<Cell<u64>>,
    failure: &'a mut Option<Failure>,
}

impl Rows<'_, '_> {
    fn row<E: serde::de::Error>(&mut self, key: Option<String>, raw: &RawValue) -> Result<(), E> {
        let ends = raw.get().bytes().filter(|byte| *byte == b'\n').count() as u64;
        let line = (self.line.get() - ends.min(self.line.get() - 1)).max(1);
        let taken = json::parse(raw.get(), Limits::default())
            .map_err(|invalid| placed(line, &invalid))
            .and_then(|document| (self.take)(Row { line, key, document }));
        taken.map_err(|failure| {
            *self.failure = Some(failure);
            E::custom("ended")
        })
    }
}

impl<'de> DeserializeSeed<'de> for Rows<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of records, or an object of records by id")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while let Some(raw) = items.next_element::<Box<RawValue>>()? {
            self.row(None, &raw)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(key) = members.next_key::<String>()? {
            let raw = members.next_value::<Box<RawValue>>()?;
            self.row(Some(key), &raw)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, format: Format) -> Result<Vec<(u64, Option<String>, String)>, Failure> {
        let mut rows = Vec::new();
        each(text.as_bytes(), format, &mut |row| {
            rows.push((row.line, row.key, row.document.to_string()));
            Ok(())
        })?;
        Ok(rows)
    }

    #[test]
    fn each_form_gives_its_rows_with_their_lines() {
        let rows = read("{\"a\":1}\n\n{\"a\":2}\n", Format::Ndjson).unwrap();
        assert_eq!(rows[1], (3, None, "{\"a\":2}".to_owned()));
        let rows = read("[\n{\"a\":1},\n{\"a\":\n2}]", Format::Json).unwrap();
        assert_eq!((rows[0].0, rows[1].0), (2, 3));
        let rows = read("{\"x\": {\"a\":1}}", Format::Json).unwrap();
        assert_eq!(rows, [(1, Some("x".to_owned()), "{\"a\":1}".to_owned())]);
        let rows = read("id,n\nx,1\ny,\n", Format::Csv).unwrap();
        assert_eq!(rows[0].2, "{\"id\":\"x\",\"n\":\"1\"}");
        assert_eq!(rows[1], (3, None, "{\"id\":\"y\"}".to_owned()));
        let rows = read("id,t\n'-Nx,'=1\nx,''@\ny,'s\n", Format::Csv).unwrap();
        let texts: Vec<&str> = rows.iter().map(|row| row.2.as_str()).collect();
        assert_eq!(texts, [r#"{"id":"-Nx","t":"=1"}"#, r#"{"id":"x","t":"'@"}"#, r#"{"id":"y","t":"'s"}"#]);
        assert!(read("id,t\n", Format::Csv).unwrap().is_empty());
        assert!(read("", Format::Csv).unwrap().is_empty() && read("\n\n", Format::Csv).unwrap().is_empty());
    }

    #[test]
    fn trouble_is_named_with_its_line() {
        for (text, format) in [
            ("{\"a\":1}\n{\"a\":}\n", Format::Ndjson),
            ("[{\"a\":1},\n{\"a\":1,\"a\":2}]", Format::Json),
            ("[{\"a\":1},\n nonsense]", Format::Json),
            ("a,b\n1,2,3\n", Format::Csv),
            ("a,b\n1,\"cut off he", Format::Csv),
            ("a,b\n1,\"never closed\n2,3\n", Format::Csv),
        ] {
            let failure = read(text, format).unwrap_err();
            assert!(format!("{failure:?}").contains("line 2"), "{failure:?}");
        }
    }

    #[test]
    fn numbers_keep_their_digits() {
        let rows = read("[12345678901234567890123]", Format::Json).unwrap();
        assert_eq!(rows[0].2, "12345678901234567890123");
    }
}
