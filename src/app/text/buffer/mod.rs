//! Many lines of typed text: cursor, selection, scroll, bounded undo, and a log of steps to bring all of it back.
//!
//! Every change is a [`Step`], a few bytes for a typed character. A draft is a snapshot of the buffer plus the steps
//! since. **Invariant:** [`TextBuffer::replayed`] of a snapshot and the steps after it equals the live buffer with
//! its undo list. Moving the cursor is no step: a [`View`] travels in the session row of the same commit instead.
//!
//! ## Why lines in a `Vec` and no rope
//!
//! A record is at most 16 MiB. Moving the tail of a line or of the list of lines costs less than a millisecond at that
//! size, and the lines are what drawing, searching and measuring want.

mod edit;
mod find;
mod keys;
mod snapshot;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use edit::Step;
pub use find::Found;
pub use keys::Handled;
pub use snapshot::{Damaged, Snapshot};

use super::cells;
use edit::{Group, Typing};

/// A place between two graphemes. `at` is a byte offset in the line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "(usize, usize)", into = "(usize, usize)")]
pub struct Pos {
    pub line: usize,
    pub at: usize,
}

impl Pos {
    pub fn new(line: usize, at: usize) -> Self {
        Self { line, at }
    }
}

impl From<(usize, usize)> for Pos {
    fn from((line, at): (usize, usize)) -> Self {
        Self { line, at }
    }
}

impl From<Pos> for (usize, usize) {
    fn from(pos: Pos) -> Self {
        (pos.line, pos.at)
    }
}

/// The cursor and the other end of the selection, where there is one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caret {
    #[serde(rename = "c")]
    pub cursor: Pos,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Pos>,
}

impl Caret {
    pub fn at(cursor: Pos) -> Self {
        Self { cursor, anchor: None }
    }
}

/// The first line and the first cell that are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(usize, usize)", into = "(usize, usize)")]
pub struct Scroll {
    pub line: usize,
    pub column: usize,
}

impl From<(usize, usize)> for Scroll {
    fn from((line, column): (usize, usize)) -> Self {
        Self { line, column }
    }
}

impl From<Scroll> for (usize, usize) {
    fn from(scroll: Scroll) -> Self {
        (scroll.line, scroll.column)
    }
}

/// What moves without a change of the text: the part of the buffer that a session row carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    #[serde(flatten)]
    pub caret: Caret,
    #[serde(default)]
    pub scroll: Scroll,
    /// The user scrolled away from the cursor with the wheel; typing comes back to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub away: bool,
    /// The column up and down aim for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<usize>,
}

#[derive(Debug, Clone)]
pub struct TextBuffer {
    /// **Invariant:** never empty; no line holds a `\n`.
    lines: Vec<String>,
    /// Length of the text with its line ends.
    bytes: usize,
    /// **Invariant:** cursor and anchor stand on grapheme boundaries of existing lines.
    caret: Caret,
    scroll: Scroll,
    away: bool,
    goal: Option<usize>,
    undo: Vec<Group>,
    redo: Vec<Group>,
    /// What the last key typed and when, while the next may join its undo group. Not saved: a restart ends a group.
    typing: Option<(Typing, Duration)>,
    /// Rows and columns the text is shown in; 0 while unknown.
    room: (usize, usize),
    clipboard: String,
    /// Counts changes of the text, for caches. Not saved.
    generation: u64,
    /// A view that waits for its text.
    held: Option<View>,
}

/// Equal where a restored buffer must equal the live one; the size of the screen and the clipboard are not part of it.
impl PartialEq for TextBuffer {
    fn eq(&self, other: &Self) -> bool {
        self.lines == other.lines
            && self.caret == other.caret
            && self.scroll == other.scroll
            && self.undo == other.undo
            && self.redo == other.redo
    }
}

impl Default for TextBuffer {
    fn default() -> Self {
        Self::new("")
    }
}

/// As a split gives them, for a megabyte.
fn lines_of(text: &str) -> Vec<String> {
    let mut from = 0;
    let ends = memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]);
    ends.map(|end| text[std::mem::replace(&mut from, end + 1)..end].to_owned()).collect()
}

impl TextBuffer {
    /// A buffer with the cursor at the beginning and nothing to undo.
    pub fn new(text: &str) -> Self {
        Self {
            lines: lines_of(text),
            bytes: text.len(),
            caret: Caret::default(),
            scroll: Scroll::default(),
            away: false,
            goal: None,
            undo: Vec::new(),
            redo: Vec::new(),
            typing: None,
            room: (0, 0),
            clipboard: String::new(),
            generation: 0,
            held: None,
        }
    }

    pub fn text(&self) -> String {
        self.lines.join("\n")
    }

    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Length of the text in bytes, line ends included.
    pub fn len(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Changes whenever the text does.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn cursor(&self) -> Pos {
        self.caret.cursor
    }

    /// The cursor's cell in its line.
    pub fn cursor_column(&self) -> usize {
        cells::column_of(&self.lines[self.caret.cursor.line], self.caret.cursor.at)
    }

    /// The ends of the selection in text order, when something is selected.
    pub fn selection(&self) -> Option<(Pos, Pos)> {
        let Caret { cursor, anchor } = self.caret;
        let anchor = anchor.filter(|anchor| *anchor != cursor)?;
        Some((anchor.min(cursor), anchor.max(cursor)))
    }

    pub fn selected_text(&self) -> Option<String> {
        self.selection().map(|(from, to)| self.range(from, to))
    }

    /// How many groups of changes can be taken back, and put back.
    pub fn history(&self) -> (usize, usize) {
        (self.undo.len(), self.redo.len())
    }

    /// Makes the text as it is the oldest that undo leads to.
    pub fn forget_history(&mut self) {
        self.undo.clear();
        self.redo.clear();
        self.typing = None;
    }

    /// The text between two places.
    pub fn range(&self, from: Pos, to: Pos) -> String {
        if from.line == to.line {
            return self.lines[from.line][from.at..to.at].to_owned();
        }
        let mut text = self.lines[from.line][from.at..].to_owned();
        for line in &self.lines[from.line + 1..to.line] {
            text.push('\n');
            text.push_str(line);
        }
        text.push('\n');
        text.push_str(&self.lines[to.line][..to.at]);
        text
    }

    pub fn end(&self) -> Pos {
        let line = self.lines.len() - 1;
        Pos::new(line, self.lines[line].len())
    }

    /// The nearest place a cursor may stand.
    pub fn clamp(&self, pos: Pos) -> Pos {
        if pos.line >= self.lines.len() {
            return self.end();
        }
        Pos::new(pos.line, cells::floor_boundary(&self.lines[pos.line], pos.at))
    }

    pub fn view(&self) -> View {
        if let Some(held) = self.held {
            return held;
        }
        View { caret: self.caret, scroll: self.scroll, away: self.away, goal: self.goal }
    }

    /// Takes a saved view over, as far as the text still has its places.
    pub fn set_view(&mut self, view: View) {
        self.caret =
            Caret { cursor: self.clamp(view.caret.cursor), anchor: view.caret.anchor.map(|anchor| self.clamp(anchor)) };
        self.scroll = Scroll { line: view.scroll.line.min(self.lines.len() - 1), ..view.scroll };
        self.away = view.away;
        self.goal = view.goal;
        self.typing = None;
        self.held = None;
    }

    /// Keeps a saved view for a text that is not here yet: it is given back unchanged by [`TextBuffer::view`] and must be
    /// set again once the text is.
    pub fn hold_view(&mut self, view: View) {
        self.held = Some(view);
    }

    pub fn held_view(&self) -> Option<View> {
        self.held
    }

    /// Tells the buffer how many rows and columns of text are shown. Nothing moves by it, so that a window made small
    /// and large again shows what it did (R15).
    pub fn set_room(&mut self, rows: usize, columns: usize) {
        self.room = (rows, columns);
    }

    /// The scroll to draw with in a room of this size: the saved one, moved as little as needed to show the cursor.
    pub fn scroll_in(&self, rows: usize, columns: usize) -> Scroll {
        if self.away || rows == 0 || columns == 0 {
            return Scroll { line: self.scroll.line.min(self.lines.len() - 1), ..self.scroll };
        }
        let line = self.caret.cursor.line;
        let column = self.cursor_column();
        let mut scroll = self.scroll;
        if line < scroll.line {
            scroll.line = line;
        } else if line >= scroll.line + rows {
            scroll.line = line + 1 - rows;
        }
        // Sideways in leaps: a line that slides under every key is hard to read.
        if column < scroll.column {
            scroll.column = column.saturating_sub(columns / 4);
        } else if column >= scroll.column + columns {
            scroll.column = (column + 1 + columns / 4).saturating_sub(columns);
        }
        scroll
    }

    fn show_cursor(&mut self) {
        self.away = false;
        self.scroll = self.scroll_in(self.room.0, self.room.1);
    }
}

#[cfg(test)]
mod tests;
