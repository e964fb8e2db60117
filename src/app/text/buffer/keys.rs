//! What keys do in a buffer. Modeless: arrows move, shift selects, everything else is text.
//!
//! Keys that belong to the pane (leave, queue, find, next problem) are not handled here; they come back unused.

use keybinds::{Key, KeyInput, Mods};

use super::{
    Caret, Pos, Step, TextBuffer,
    edit::{Change, Typing},
};
use crate::{
    app::text::cells::{self, Kind},
    model::time::At,
};

/// What tab inserts and newline deepens by.
const INDENT: &str = "  ";

/// What came of a key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Handled {
    /// False where the key means nothing to a text.
    pub used: bool,
    /// The change, to be appended to the draft.
    pub step: Option<Step>,
    /// Text for the clipboard of the terminal.
    pub copied: Option<String>,
}

impl Handled {
    fn moved() -> Self {
        Self { used: true, ..Self::default() }
    }

    fn changed(step: Option<Step>) -> Self {
        Self { used: true, step, copied: None }
    }
}

impl TextBuffer {
    pub fn handle(&mut self, at: &At, key: &KeyInput) -> Handled {
        let (mods, extend) = (key.mods() - Mods::SHIFT, key.mods().contains(Mods::SHIFT));
        let jump = mods == Mods::CTRL || mods == Mods::ALT;
        if (mods.is_empty() || jump)
            && let Some(to) = self.target(key.key(), jump)
        {
            return self.go(key.key(), to, extend);
        }
        match key.key() {
            Key::Char(c) if mods.is_empty() => Handled::changed(self.type_character(at, c)),
            Key::Enter if mods.is_empty() || mods == Mods::ALT => Handled::changed(self.newline()),
            Key::Tab if mods.is_empty() => Handled::changed(self.tab(extend)),
            Key::Backspace => Handled::changed(self.backspace(at, jump)),
            Key::Delete if extend => self.cut(),
            Key::Delete => Handled::changed(self.delete(at, jump)),
            Key::Insert if mods == Mods::CTRL => self.copy(),
            Key::Insert if extend => Handled::changed(self.paste_own()),
            Key::Copy => self.copy(),
            Key::Cut => self.cut(),
            Key::Paste => Handled::changed(self.paste_own()),
            Key::Undo => Handled::changed(self.undo()),
            Key::Redo => Handled::changed(self.redo()),
            Key::Char(c) if mods == Mods::CTRL => self.control(at, c),
            Key::Char('d') if mods == Mods::ALT => Handled::changed(self.delete(at, true)),
            Key::Char('w') if mods == Mods::ALT => self.copy(),
            _ => Handled::default(),
        }
    }

    /// Inserts pasted text as one step. Line ends of other systems become `\n`.
    pub fn paste(&mut self, text: &str) -> Option<Step> {
        let text = if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.to_owned() };
        let (from, to) = self.selection().unwrap_or((self.cursor(), self.cursor()));
        self.change(Change::new(from, to, text))
    }

    /// Replaces the whole text as one step. What is the same at both ends stays untouched, and with it the undo list
    /// stays small; the cursor stays on its line.
    pub fn replace_text(&mut self, text: &str) -> Option<Step> {
        let old = self.text();
        if old == text {
            return None;
        }
        let from = common(old.bytes().zip(text.bytes()));
        let from = (0..=from).rev().find(|at| old.is_char_boundary(*at) && text.is_char_boundary(*at)).unwrap_or(0);
        let (old_rest, new_rest) = (&old[from..], &text[from..]);
        let tail = common(old_rest.bytes().rev().zip(new_rest.bytes().rev()));
        let fits = |tail: &usize| {
            old_rest.is_char_boundary(old_rest.len() - tail) && new_rest.is_char_boundary(new_rest.len() - tail)
        };
        let tail = (0..=tail).rev().find(fits).unwrap_or(0);
        let begin = super::edit::end_of(Pos::default(), &old[..from]);
        let end = super::edit::end_of(begin, &old_rest[..old_rest.len() - tail]);
        let inserted = &new_rest[..new_rest.len() - tail];
        // Places must be grapheme boundaries; where the seam is not, the whole text is replaced.
        if self.clamp(begin) != begin || self.clamp(end) != end {
            let change = Change { after: Some(self.cursor_in(text)), ..Change::new(Pos::default(), self.end(), text) };
            return self.change(change);
        }
        let after = Some(self.cursor_in(text));
        self.change(Change { after, ..Change::new(begin, end, inserted) })
    }

    fn cursor_in(&self, text: &str) -> Caret {
        let cursor = self.cursor();
        match text.split('\n').nth(cursor.line) {
            Some(line) => Caret::at(Pos::new(cursor.line, cells::floor_boundary(line, cursor.at))),
            None => Caret::at(super::edit::end_of(Pos::default(), text)),
        }
    }

    /// Puts the cursor at a row and column of the drawn text (a mouse click); with `extend` the selection grows to it.
    pub fn click(&mut self, row: usize, column: usize, extend: bool) {
        let scroll = self.scroll_in(self.room.0, self.room.1);
        let line = (scroll.line + row).min(self.lines.len() - 1);
        let at = cells::offset_at(&self.lines[line], scroll.column + column).0;
        self.scroll = scroll;
        self.move_to(Pos::new(line, at), extend);
    }

    /// Scrolls without moving the cursor.
    pub fn wheel(&mut self, lines: isize) {
        let scroll = self.scroll_in(self.room.0, self.room.1);
        let last = self.lines.len().saturating_sub(self.room.0.min(self.lines.len() - 1).max(1));
        self.scroll = super::Scroll { line: scroll.line.saturating_add_signed(lines).min(last), ..scroll };
        self.away = true;
    }

    pub fn select_all(&mut self) {
        self.caret = Caret { cursor: self.end(), anchor: Some(Pos::default()) };
        self.typing = None;
        self.goal = None;
    }

    /// Puts the cursor at the nearest place there is.
    pub fn move_to(&mut self, pos: Pos, extend: bool) {
        let anchor = self.caret.anchor.unwrap_or(self.caret.cursor);
        self.caret = Caret { cursor: self.clamp(pos), anchor: extend.then_some(anchor) };
        self.goal = None;
        self.typing = None;
        self.show_cursor();
    }

    /// Puts the cursor at a line and character column, both counted from 1 as people and parsers count.
    pub fn go_to_line(&mut self, line: usize, column: usize) {
        let line = line.saturating_sub(1).min(self.lines.len() - 1);
        let text = &self.lines[line];
        let at = text.char_indices().nth(column.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
        self.move_to(Pos::new(line, at), false);
    }

    fn go(&mut self, key: Key, to: Pos, extend: bool) -> Handled {
        // An arrow without shift leaves a selection at the end it points to.
        let to = match (key, self.selection()) {
            (Key::Left, Some((from, _))) if !extend => from,
            (Key::Right, Some((_, end))) if !extend => end,
            _ => to,
        };
        let goal = matches!(key, Key::Up | Key::Down | Key::PageUp | Key::PageDown)
            .then(|| self.goal.unwrap_or_else(|| self.cursor_column()));
        self.move_to(to, extend);
        self.goal = goal;
        Handled::moved()
    }

    /// Where a moving key leads; `None` where the key does not move.
    fn target(&self, key: Key, jump: bool) -> Option<Pos> {
        let Pos { line, at } = self.cursor();
        let text = &self.lines[line];
        let page = self.room.0.saturating_sub(1).max(1);
        Some(match key {
            Key::Left if at == 0 => match line.checked_sub(1) {
                Some(above) => Pos::new(above, self.lines[above].len()),
                None => Pos::default(),
            },
            Key::Left if jump => Pos::new(line, cells::previous_word(text, at)),
            Key::Left => Pos::new(line, cells::previous_boundary(text, at)),
            Key::Right if at == text.len() => {
                if line + 1 < self.lines.len() {
                    Pos::new(line + 1, 0)
                } else {
                    self.end()
                }
            }
            Key::Right if jump => Pos::new(line, cells::next_word(text, at)),
            Key::Right => Pos::new(line, cells::next_boundary(text, at)),
            Key::Home if jump => Pos::default(),
            Key::End if jump => self.end(),
            Key::Home => {
                let indent = text.len() - text.trim_start().len();
                Pos::new(line, if at == indent { 0 } else { indent })
            }
            Key::End => Pos::new(line, text.len()),
            Key::Up => self.vertical(line.checked_sub(1)),
            Key::Down => self.vertical(Some(line + 1)),
            Key::PageUp if line > 0 => self.vertical(Some(line.saturating_sub(page))),
            Key::PageUp => Pos::default(),
            Key::PageDown if line + 1 < self.lines.len() => {
                self.vertical(Some((line + page).min(self.lines.len() - 1)))
            }
            Key::PageDown => self.end(),
            _ => return None,
        })
    }

    fn vertical(&self, line: Option<usize>) -> Pos {
        match line {
            None => Pos::default(),
            Some(line) if line >= self.lines.len() => self.end(),
            Some(line) => {
                let column = self.goal.unwrap_or_else(|| self.cursor_column());
                Pos::new(line, cells::offset_at(&self.lines[line], column).0)
            }
        }
    }

    fn control(&mut self, at: &At, c: char) -> Handled {
        let Pos { line, at: offset } = self.cursor();
        match c {
            'a' => {
                self.select_all();
                Handled::moved()
            }
            'c' if self.selection().is_some() => self.copy(),
            'x' => self.cut(),
            'v' => Handled::changed(self.paste_own()),
            'z' => Handled::changed(self.undo()),
            'y' | 'r' => Handled::changed(self.redo()),
            'w' => Handled::changed(self.backspace(at, true)),
            'h' => Handled::changed(self.backspace(at, false)),
            'd' => Handled::changed(self.delete(at, false)),
            'e' => self.go(Key::End, Pos::new(line, self.lines[line].len()), false),
            'u' => {
                let to = if offset == 0 { Pos::new(line, 0) } else { self.cursor() };
                Handled::changed(self.change(Change::new(Pos::new(line, 0), to, "")))
            }
            'k' => {
                let end = match self.lines[line].len() {
                    length if offset < length => Pos::new(line, length),
                    _ if line + 1 < self.lines.len() => Pos::new(line + 1, 0),
                    length => Pos::new(line, length),
                };
                Handled::changed(self.change(Change::new(self.cursor(), end, "")))
            }
            _ => Handled::default(),
        }
    }

    fn type_character(&mut self, at: &At, c: char) -> Option<Step> {
        let Pos { line, at: offset } = self.cursor();
        let (from, to) = self.selection().unwrap_or((self.cursor(), self.cursor()));
        let before = &self.lines[line][..offset];
        let begins_word = before.chars().next_back().is_some_and(char::is_whitespace) && Kind::of(c) != Kind::Space;
        // A closing bracket on a blank line steps out by one indent.
        if matches!(c, '}' | ']') && from == to && before.ends_with(INDENT) && before.trim().is_empty() {
            return self.change(Change::new(Pos::new(line, offset - INDENT.len()), to, c));
        }
        self.change_typing(at.mono, Typing::Letters, begins_word, Change::new(from, to, c))
    }

    fn newline(&mut self) -> Option<Step> {
        let (from, to) = self.selection().unwrap_or((self.cursor(), self.cursor()));
        let before = &self.lines[from.line][..from.at];
        let after = self.lines[to.line][to.at..].trim_start();
        let indent = &before[..before.len() - before.trim_start().len()];
        let opens = before.trim_end().chars().next_back().filter(|c| matches!(c, '{' | '['));
        let Some(open) = opens else {
            let text = format!("\n{indent}");
            return self.change(Change::new(from, to, text));
        };
        let inner = format!("\n{indent}{INDENT}");
        let closes = after.starts_with(if open == '{' { '}' } else { ']' });
        if !closes {
            return self.change(Change::new(from, to, inner));
        }
        let to = Pos::new(to.line, self.lines[to.line].len() - after.len());
        let after = Some(Caret::at(Pos::new(from.line + 1, inner.len() - 1)));
        let text = format!("{inner}\n{indent}");
        self.change(Change { after, ..Change::new(from, to, text) })
    }

    /// Two spaces, or the selected lines moved in (or out, with shift).
    fn tab(&mut self, out: bool) -> Option<Step> {
        match self.selection() {
            Some((from, to)) if from.line < to.line => self.shift_lines(from.line, to.line, out),
            _ if out => self.shift_lines(self.cursor().line, self.cursor().line, true),
            selection => {
                let (from, to) = selection.unwrap_or((self.cursor(), self.cursor()));
                self.change(Change::new(from, to, INDENT))
            }
        }
    }

    fn shift_lines(&mut self, first: usize, last: usize, out: bool) -> Option<Step> {
        let shift = |line: &String| match out {
            true => line.strip_prefix(INDENT).or(line.strip_prefix(' ')).unwrap_or(line).to_owned(),
            false if line.is_empty() => String::new(),
            false => format!("{INDENT}{line}"),
        };
        let shifted: Vec<String> = self.lines[first..=last].iter().map(shift).collect();
        if shifted == self.lines[first..=last] {
            return None;
        }
        let place = |pos: Pos| {
            let (old, new) = (&self.lines[pos.line], &shifted[pos.line - first]);
            Pos::new(pos.line, (pos.at + new.len()).saturating_sub(old.len()).min(new.len()))
        };
        let after = Caret { cursor: place(self.caret.cursor), anchor: self.caret.anchor.map(place) };
        let (from, to) = (Pos::new(first, 0), Pos::new(last, self.lines[last].len()));
        self.change(Change { after: Some(after), ..Change::new(from, to, shifted.join("\n")) })
    }

    fn backspace(&mut self, at: &At, word: bool) -> Option<Step> {
        if let Some((from, to)) = self.selection() {
            return self.change(Change::new(from, to, ""));
        }
        let cursor = self.cursor();
        let from = self.target(Key::Left, word)?;
        let before = &self.lines[cursor.line][..cursor.at];
        // Within an indent, one step of it goes.
        let indented = !word && before.ends_with(INDENT) && before.trim().is_empty() && before.len().is_multiple_of(2);
        let from = if indented { Pos::new(cursor.line, cursor.at - INDENT.len()) } else { from };
        let breaks = word || from.line < cursor.line;
        self.change_typing(at.mono, Typing::Backspace, breaks, Change::new(from, cursor, ""))
    }

    fn delete(&mut self, at: &At, word: bool) -> Option<Step> {
        if let Some((from, to)) = self.selection() {
            return self.change(Change::new(from, to, ""));
        }
        let to = self.target(Key::Right, word)?;
        let breaks = word || to.line > self.cursor().line;
        self.change_typing(at.mono, Typing::Delete, breaks, Change::new(self.cursor(), to, ""))
    }

    /// The selection, or without one the whole line.
    fn to_copy(&self) -> (Pos, Pos, String) {
        if let Some((from, to)) = self.selection() {
            return (from, to, self.range(from, to));
        }
        let line = self.cursor().line;
        let (from, to) = (Pos::new(line, 0), Pos::new(line, self.lines[line].len()));
        let text = format!("{}\n", self.lines[line]);
        if line + 1 < self.lines.len() { (from, Pos::new(line + 1, 0), text) } else { (from, to, text) }
    }

    fn copy(&mut self) -> Handled {
        self.clipboard = self.to_copy().2;
        Handled { copied: Some(self.clipboard.clone()), ..Handled::moved() }
    }

    fn cut(&mut self) -> Handled {
        let (from, to, text) = self.to_copy();
        self.clipboard = text;
        let step = self.change(Change::new(from, to, ""));
        Handled { used: true, step, copied: Some(self.clipboard.clone()) }
    }

    fn paste_own(&mut self) -> Option<Step> {
        let text = std::mem::take(&mut self.clipboard);
        let step = self.paste(&text);
        self.clipboard = text;
        step
    }
}

fn common(pairs: impl Iterator<Item = (u8, u8)>) -> usize {
    pairs.take_while(|(a, b)| a == b).count()
}
