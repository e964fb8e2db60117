//! One line of typed text with its cursor, selection and undo list.
//!
//! The keys are those of shells and of everything else at once: arrows and Home/End, `ctrl-a e w u k`, word motion with
//! ctrl or alt. Whatever is not for typing (Enter, Esc, Tab, up, down) is left to the owner.

use keybinds::{Key, KeyInput, Mods};
use serde::{Deserialize, Serialize};

use super::cells::{self, Kind};

/// A line longer than this is not a line any more; what is pasted beyond is not taken.
pub const LONGEST: usize = 64 * 1024;

/// Undo steps kept.
const HISTORY: usize = 100;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TextInput {
    text: String,
    /// Byte offset. **Invariant:** `cursor` and `anchor` are grapheme boundaries of `text`.
    cursor: usize,
    /// Where the selection begins, when there is one; its other end is the cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    anchor: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    undo: Vec<Edit>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    redo: Vec<Edit>,
    /// False once the cursor was moved: the next character begins an undo step of its own.
    joins: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Edit {
    at: usize,
    removed: String,
    inserted: String,
    /// The cursor before the edit.
    cursor: usize,
}

impl TextInput {
    /// An input holding `text`, with the cursor at its end.
    pub fn new(text: &str) -> Self {
        let text = one_line(text);
        Self { cursor: text.len(), text, ..Self::default() }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Byte offset of the cursor in [`TextInput::text`].
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// The cursor's place in terminal cells from the beginning of the text.
    pub fn cursor_column(&self) -> usize {
        cells::column_of(&self.text, self.cursor)
    }

    /// Byte offsets of the selected text, when some is selected.
    pub fn selection(&self) -> Option<(usize, usize)> {
        let anchor = self.anchor.filter(|anchor| *anchor != self.cursor)?;
        Some((anchor.min(self.cursor), anchor.max(self.cursor)))
    }

    /// The part of the text that fits `width` cells with the cursor in sight: (byte offset to draw from, cursor cell
    /// within the part).
    pub fn window(&self, width: usize) -> (usize, usize) {
        let column = self.cursor_column();
        if column < width.max(1) {
            return (0, column);
        }
        let (mut from, mut begins) = cells::offset_at(&self.text, column + 1 - width.max(1));
        if column - begins >= width.max(1) {
            from = cells::next_boundary(&self.text, from);
            begins = cells::column_of(&self.text, from);
        }
        (from, column - begins)
    }

    /// Replaces the text, as one step that can be undone.
    pub fn set(&mut self, text: &str) {
        let text = one_line(text);
        if text != self.text {
            self.joins = false;
            self.replace(0, self.text.len(), &text);
            self.joins = false;
        }
        self.cursor = self.text.len();
        self.anchor = None;
    }

    /// Empties the input and forgets its history.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub fn select_all(&mut self) {
        self.anchor = Some(0);
        self.cursor = self.text.len();
        self.joins = false;
    }

    /// Puts the cursor at a cell of the text (a mouse click); with `extend` the selection grows to it.
    pub fn click(&mut self, column: usize, extend: bool) {
        self.move_to(cells::offset_at(&self.text, column).0, extend);
    }

    /// Inserts pasted text as one step. Line ends become spaces.
    pub fn paste(&mut self, text: &str) {
        self.joins = false;
        self.insert(&one_line(text));
        self.joins = false;
    }

    /// Acts on a key; false where the key is not for typing and nothing happened.
    pub fn handle(&mut self, key: &KeyInput) -> bool {
        let (mods, extend) = (key.mods() - Mods::SHIFT, key.mods().contains(Mods::SHIFT));
        let word = mods == Mods::CTRL || mods == Mods::ALT;
        let plain = mods.is_empty();
        match key.key() {
            Key::Char(c) if plain => self.type_character(c),
            Key::Left if word => self.move_to(cells::previous_word(&self.text, self.cursor), extend),
            Key::Right if word => self.move_to(cells::next_word(&self.text, self.cursor), extend),
            Key::Left if plain => self.left(extend),
            Key::Right if plain => self.right(extend),
            Key::Home if plain || word => self.move_to(0, extend),
            Key::End if plain || word => self.move_to(self.text.len(), extend),
            Key::Backspace if word => self.delete_to(cells::previous_word(&self.text, self.cursor)),
            Key::Delete if word => self.delete_to(cells::next_word(&self.text, self.cursor)),
            Key::Backspace => self.delete_to(cells::previous_boundary(&self.text, self.cursor)),
            Key::Delete if plain => self.delete_to(cells::next_boundary(&self.text, self.cursor)),
            Key::Undo => self.undo(),
            Key::Redo => self.redo(),
            Key::Char(c) if mods == Mods::CTRL => return self.control(c),
            Key::Char(c) if mods == Mods::ALT => return self.meta(c),
            _ => return false,
        }
        true
    }

    fn control(&mut self, c: char) -> bool {
        match c {
            'a' => self.move_to(0, false),
            'e' => self.move_to(self.text.len(), false),
            'w' => self.delete_to(cells::previous_word(&self.text, self.cursor)),
            'u' => self.delete_to(0),
            'k' => self.delete_to(self.text.len()),
            'h' => self.delete_to(cells::previous_boundary(&self.text, self.cursor)),
            'z' | '_' | '/' => self.undo(),
            'y' => self.redo(),
            _ => return false,
        }
        true
    }

    fn meta(&mut self, c: char) -> bool {
        match c {
            'b' => self.move_to(cells::previous_word(&self.text, self.cursor), false),
            'f' => self.move_to(cells::next_word(&self.text, self.cursor), false),
            'd' => self.delete_to(cells::next_word(&self.text, self.cursor)),
            'a' => self.select_all(),
            _ => return false,
        }
        true
    }

    fn left(&mut self, extend: bool) {
        match self.selection() {
            Some((begin, _)) if !extend => self.move_to(begin, false),
            _ => self.move_to(cells::previous_boundary(&self.text, self.cursor), extend),
        }
    }

    fn right(&mut self, extend: bool) {
        match self.selection() {
            Some((_, end)) if !extend => self.move_to(end, false),
            _ => self.move_to(cells::next_boundary(&self.text, self.cursor), extend),
        }
    }

    fn move_to(&mut self, offset: usize, extend: bool) {
        self.anchor = match (extend, self.anchor) {
            (true, None) => Some(self.cursor),
            (true, anchor) => anchor,
            (false, _) => None,
        };
        self.cursor = cells::floor_boundary(&self.text, offset);
        self.joins = false;
    }

    fn type_character(&mut self, c: char) {
        let before = self.text[..self.cursor].chars().next_back();
        let begins_word = before.is_some_and(|b| Kind::of(b) == Kind::Space) && Kind::of(c) != Kind::Space;
        self.joins &= !begins_word && self.selection().is_none();
        self.insert(c.encode_utf8(&mut [0; 4]));
        self.joins = true;
    }

    fn insert(&mut self, text: &str) {
        let (begin, end) = self.selection().unwrap_or((self.cursor, self.cursor));
        let room = LONGEST.saturating_sub(self.text.len() - (end - begin));
        let taken = &text[..cells::floor_boundary(text, room)];
        self.replace(begin, end, taken);
    }

    /// Removes the selection, or the text between the cursor and `offset`.
    fn delete_to(&mut self, offset: usize) {
        let (begin, end) = self.selection().unwrap_or((self.cursor.min(offset), self.cursor.max(offset)));
        self.joins = false;
        self.replace(begin, end, "");
        self.joins = false;
    }

    fn replace(&mut self, begin: usize, end: usize, inserted: &str) {
        self.anchor = None;
        if begin == end && inserted.is_empty() {
            return;
        }
        let removed = self.text[begin..end].to_owned();
        self.text.replace_range(begin..end, inserted);
        self.redo.clear();
        match self.undo.last_mut() {
            Some(last) if self.joins && removed.is_empty() && last.at + last.inserted.len() == begin => {
                last.inserted.push_str(inserted);
            }
            _ => {
                self.undo.push(Edit { at: begin, removed, inserted: inserted.to_owned(), cursor: self.cursor });
                let surplus = self.undo.len().saturating_sub(HISTORY);
                self.undo.drain(..surplus);
            }
        }
        // An inserted mark may join what follows: stand behind the whole of it.
        self.cursor = ceil_boundary(&self.text, begin + inserted.len());
    }

    fn undo(&mut self) {
        let Some(edit) = self.undo.pop() else { return };
        self.text.replace_range(edit.at..edit.at + edit.inserted.len(), &edit.removed);
        self.cursor = cells::floor_boundary(&self.text, edit.cursor);
        self.anchor = None;
        self.joins = false;
        self.redo.push(edit);
    }

    fn redo(&mut self) {
        let Some(edit) = self.redo.pop() else { return };
        self.text.replace_range(edit.at..edit.at + edit.removed.len(), &edit.inserted);
        self.cursor = ceil_boundary(&self.text, edit.at + edit.inserted.len());
        self.anchor = None;
        self.joins = false;
        self.undo.push(edit);
    }
}

fn ceil_boundary(text: &str, at: usize) -> usize {
    let floor = cells::floor_boundary(text, at);
    if floor < at { cells::next_boundary(text, floor) } else { at }
}

/// Line ends become spaces; nothing else is changed.
fn one_line(text: &str) -> String {
    text.replace("\r\n", " ").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn press(input: &mut TextInput, keys: &str) {
        for key in keys.split_whitespace() {
            input.handle(&key.parse().unwrap());
        }
    }

    #[test]
    fn the_cursor_moves_by_grapheme_and_counts_cells() {
        let mut input = TextInput::new("a田👩‍👩‍👧e\u{301}");
        press(&mut input, "Left");
        assert_eq!(input.cursor_column(), 5);
        press(&mut input, "Left Left Backspace");
        assert_eq!(input.text(), "田👩‍👩‍👧e\u{301}");
    }

    #[test]
    fn shell_keys_delete_words_and_line_ends() {
        let mut input = TextInput::new("role:admin name:bo rest");
        press(&mut input, "Ctrl+w");
        assert_eq!(input.text(), "role:admin name:bo ");
        press(&mut input, "Ctrl+a Ctrl+Right Ctrl+k");
        assert_eq!(input.text(), "role");
        press(&mut input, "Ctrl+u");
        assert_eq!(input.text(), "");
        press(&mut input, "Ctrl+z Ctrl+z Ctrl+z");
        assert_eq!(input.text(), "role:admin name:bo rest");
    }

    #[test]
    fn undo_takes_a_word_back_not_a_letter() {
        let mut input = TextInput::default();
        press(&mut input, "o n e Space t w o Ctrl+z");
        assert_eq!(input.text(), "one ");
        press(&mut input, "Ctrl+z Ctrl+y Ctrl+y");
        assert_eq!(input.text(), "one two");
    }

    #[test]
    fn typing_replaces_the_selection_and_enter_is_left_to_the_owner() {
        let mut input = TextInput::new("old words");
        press(&mut input, "Shift+Ctrl+Left x");
        assert_eq!(input.text(), "old x");
        assert!(!input.handle(&Key::Enter.into()) && !input.handle(&Key::Up.into()) && !input.handle(&Key::Esc.into()));
        input.select_all();
        input.paste("two\r\nlines");
        assert_eq!(input.text(), "two lines");
    }

    #[test]
    fn a_narrow_window_keeps_the_cursor_in_sight() {
        let input = TextInput::new("田田田田");
        let (from, cell) = input.window(5);
        assert!(cell < 5, "{from} {cell}");
        assert_eq!(&input.text()[from..], "田田");
    }

    #[test]
    fn what_was_saved_comes_back_with_its_undo_list() {
        let mut input = TextInput::default();
        press(&mut input, "a b Space c Left");
        let saved = serde_json::to_string(&input).unwrap();
        let mut restored: TextInput = serde_json::from_str(&saved).unwrap();
        assert_eq!(restored, input);
        press(&mut restored, "Ctrl+z");
        assert_eq!(restored.text(), "ab ");
    }

    proptest! {
        #[test]
        fn any_keys_leave_the_cursor_on_a_boundary(keys in prop::collection::vec(0..16_usize, 0..60), pasted in "[a田\u{301}\u{200d}👩\n ]{0,4}") {
            let names = ["a", "田", "Left", "Right", "Shift+Left", "Ctrl+Left", "Shift+Ctrl+Right", "Backspace", "Delete",
                "Ctrl+w", "Ctrl+z", "Ctrl+y", "Home", "Space", "Alt+d", "\u{301}"];
            let mut input = TextInput::default();
            for (index, key) in keys.iter().enumerate() {
                if index % 7 == 3 {
                    input.paste(&pasted);
                }
                input.handle(&names[*key].parse::<KeyInput>().unwrap());
                prop_assert_eq!(cells::floor_boundary(input.text(), input.cursor), input.cursor);
                let (_, cell) = input.window(7);
                prop_assert!(cell < 7);
            }
            while !input.undo.is_empty() { input.undo(); }
            prop_assert_eq!(input.text(), "");
        }
    }
}
