//! The find line of the editor: searches as one types, from where one was.

use serde::{Deserialize, Serialize};

use crate::app::text::{
    TextBuffer, TextInput,
    buffer::{Pos, View},
};

/// Hits are counted up to here.
const MOST: usize = 999;

/// Larger texts are searched, but their hits are not counted at every key.
const COUNTED: usize = 1 << 20;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Find {
    pub needle: TextInput,
    /// Where the search began: typing searches from there, and an empty needle goes back.
    pub origin: View,
    /// True where the needle is nowhere.
    #[serde(default)]
    pub missing: bool,
}

impl Find {
    /// Begins with what is selected, when that is within one line.
    pub fn begin(buffer: &TextBuffer) -> Self {
        let selected = buffer.selected_text().filter(|text| !text.contains('\n')).unwrap_or_default();
        let mut needle = TextInput::new(&selected);
        needle.select_all();
        Self { needle, origin: buffer.view(), missing: false }
    }

    /// The needle changed: the first hit from the origin on.
    pub fn search(&mut self, buffer: &mut TextBuffer) {
        let from = buffer.clamp(self.origin.caret.anchor.unwrap_or(self.origin.caret.cursor));
        let hit = buffer.find(self.needle.text(), from, true);
        self.missing = hit.is_none() && !self.needle.is_empty();
        match hit {
            Some(hit) => buffer.select(hit),
            None => buffer.set_view(self.origin),
        }
    }

    /// The next or the previous hit.
    pub fn step(&mut self, buffer: &mut TextBuffer, forward: bool) {
        let (begin, end) = buffer.selection().unwrap_or((buffer.cursor(), buffer.cursor()));
        let hit = buffer.find(self.needle.text(), if forward { end } else { begin }, forward);
        self.missing = hit.is_none() && !self.needle.is_empty();
        if let Some(hit) = hit {
            buffer.select(hit);
        }
    }

    /// `3 of 17`, `nothing found`.
    pub fn count(&self, buffer: &TextBuffer) -> String {
        if self.needle.is_empty() {
            return String::new();
        }
        if self.missing {
            return "nothing found".to_owned();
        }
        if buffer.len() > COUNTED {
            return String::new();
        }
        let until = buffer.selection().map_or(Pos::default(), |(_, end)| end);
        match buffer.count(self.needle.text(), until, MOST) {
            (_, 0) => "nothing found".to_owned(),
            (before, MOST) => format!("{before} of {MOST} or more"),
            (before, all) => format!("{before} of {all}"),
        }
    }
}
