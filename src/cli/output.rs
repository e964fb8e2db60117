//! stdout for data, stderr for talk. Text for people passes the display gate; `--json` is exact.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use serde::Serialize;
use unicode_width::UnicodeWidthStr;

pub(super) use crate::model::numbers::grouped;
use crate::model::{display, numbers};

/// stdout, buffered. Flush it at the end with [`Data::finish`].
pub(super) struct Data {
    out: BufWriter<StdoutLock<'static>>,
}

impl Data {
    pub fn new() -> Self {
        Self { out: BufWriter::new(io::stdout().lock()) }
    }

    /// One line for people.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", display::line(text))
    }

    /// Exactly these bytes and a line end.
    pub fn exact(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// The raw stream, for writers of formats.
    pub fn stream(&mut self) -> &mut impl Write {
        &mut self.out
    }

    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Prints the one JSON document of a command.
pub(super) fn json(document: &impl Serialize) -> io::Result<()> {
    let mut data = Data::new();
    if io::stdout().is_terminal() {
        serde_json::to_writer_pretty(data.stream(), document)?;
    } else {
        serde_json::to_writer(data.stream(), document)?;
    }
    data.exact("")?;
    data.finish()
}

/// A JSON array written item by item, so that a long one needs no memory.
pub(super) struct JsonArray {
    data: Data,
    is_empty: bool,
}

impl JsonArray {
    pub fn begin() -> io::Result<Self> {
        let mut data = Data::new();
        data.stream().write_all(b"[")?;
        Ok(Self { data, is_empty: true })
    }

    pub fn push(&mut self, item: &impl Serialize) -> io::Result<()> {
        if !self.is_empty {
            self.data.stream().write_all(b",\n")?;
        }
        self.is_empty = false;
        Ok(serde_json::to_writer(self.data.stream(), item)?)
    }

    pub fn finish(mut self) -> io::Result<()> {
        self.data.exact("]")?;
        self.data.finish()
    }
}

/// Says something to the person at the terminal. A closed stderr is no trouble.
pub(super) fn talk(text: &str) {
    let _ = writeln!(io::stderr(), "{}", display::line(text));
}

/// Rows of cells as aligned lines. The last column is not padded. On a terminal long cells are cut at `widest`; another
/// program gets them whole, and they stand out of their column.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>], widest: usize) -> Vec<String> {
    table_for(headings, rows, widest, io::stdout().is_terminal())
}

fn table_for(headings: &[&str], rows: &[Vec<String>], widest: usize, is_terminal: bool) -> Vec<String> {
    let gated = |cell: &str| match is_terminal {
        true => cut(&display::line(cell), widest),
        false => display::line(cell).into_owned(),
    };
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| gated(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width().min(widest));
        cells.chain([headings[column].width()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let headings = headings.iter().map(|heading| (*heading).to_owned()).collect();
    std::iter::once(&headings).chain(&rows).map(|row| padded(row, &widths)).collect()
}

fn padded(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width()) + 2));
    }
    line.trim_end().to_owned()
}

/// At most `widest` columns, with an ellipsis where something was cut.
pub(super) fn cut(text: &str, widest: usize) -> String {
    use unicode_segmentation::UnicodeSegmentation;
    if text.width() <= widest {
        return text.to_owned();
    }
    let mut kept = String::new();
    for grapheme in text.graphemes(true) {
        if kept.width() + grapheme.width() + 1 > widest {
            break;
        }
        kept.push_str(grapheme);
    }
    kept.push('…');
    kept
}

/// `1 edit`, `1,204 edits`
pub(super) fn count(number: u64, thing: &str) -> String {
    numbers::count(number, thing, &format!("{thing}s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_by_the_width_of_the_terminal() {
        let rows = [vec!["田中".to_owned(), "x".to_owned()], vec!["ann".to_owned(), "y\u{1b}[2J".to_owned()]];
        assert_eq!(table(&["NAME", "V"], &rows, 40), ["NAME  V", "田中  x", "ann   y␛[2J"]);
        let rows = [vec!["a-long-id".to_owned(), "1".to_owned()], vec!["b".to_owned(), "2".to_owned()]];
        assert_eq!(table_for(&["ID", "N"], &rows, 4, true), ["ID    N", "a-l…  1", "b     2"]);
        assert_eq!(table_for(&["ID", "N"], &rows, 4, false), ["ID    N", "a-long-id  1", "b     2"]);
    }

    #[test]
    fn long_cells_are_cut_between_characters() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("田中太郎", 5), "田中…");
    }
}
