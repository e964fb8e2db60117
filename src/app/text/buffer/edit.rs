//! Changes of the text: steps, undo groups, and the one function that splices lines.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Caret, Pos, Scroll, TextBuffer, cells};

/// Undo groups kept (R19 asks for 50), and the bytes their texts may take together.
const GROUPS: usize = 200;
const GROUP_BYTES: usize = 64 << 20;

/// Typing after this pause begins an undo group of its own.
const PAUSE: Duration = Duration::from_secs(2);

/// One change of the buffer, as it is appended to a draft. Field names are short: there is one for every key typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Text between two places was replaced.
    #[serde(rename = "r")]
    Replace {
        #[serde(rename = "a")]
        from: Pos,
        /// `None`: nothing was removed.
        #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
        to: Option<Pos>,
        #[serde(rename = "t", default, skip_serializing_if = "String::is_empty")]
        text: String,
        /// The change belongs to the undo group before it.
        #[serde(rename = "j", default, skip_serializing_if = "std::ops::Not::not")]
        joins: bool,
        /// The caret before, where it was not simply at the end of the removed text.
        #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
        before: Option<Caret>,
        /// The caret after, where it is not simply behind the inserted text.
        #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
        after: Option<Caret>,
        #[serde(rename = "s", default, skip_serializing_if = "is_top")]
        scroll: Scroll,
    },
    #[serde(rename = "u")]
    Undo {
        #[serde(rename = "s", default, skip_serializing_if = "is_top")]
        scroll: Scroll,
    },
    #[serde(rename = "d")]
    Redo {
        #[serde(rename = "s", default, skip_serializing_if = "is_top")]
        scroll: Scroll,
    },
}

impl Step {
    /// The text appended to a draft.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are always JSON")
    }
}

fn is_top(scroll: &Scroll) -> bool {
    *scroll == Scroll::default()
}

/// What one undo takes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Group {
    #[serde(rename = "p")]
    patches: Vec<Patch>,
    #[serde(rename = "o")]
    before: Caret,
    #[serde(rename = "n")]
    after: Caret,
}

impl Group {
    fn bytes(&self) -> usize {
        self.patches.iter().map(|patch| patch.removed.len() + patch.inserted.len()).sum()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Patch {
    #[serde(rename = "a")]
    at: Pos,
    #[serde(rename = "r", default, skip_serializing_if = "String::is_empty")]
    removed: String,
    #[serde(rename = "i", default, skip_serializing_if = "String::is_empty")]
    inserted: String,
}

impl Patch {
    /// Takes a directly following patch in where both are one run of typing or deleting.
    fn absorb(&mut self, next: &Patch) -> bool {
        if next.removed.is_empty() && end_of(self.at, &self.inserted) == next.at {
            self.inserted.push_str(&next.inserted);
            return true;
        }
        if self.inserted.is_empty() && next.inserted.is_empty() {
            if end_of(next.at, &next.removed) == self.at {
                self.removed.insert_str(0, &next.removed);
                self.at = next.at;
                return true;
            }
            if next.at == self.at {
                self.removed.push_str(&next.removed);
                return true;
            }
        }
        false
    }
}

/// What kind of key may join the undo group of the key before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Typing {
    Letters,
    Backspace,
    Delete,
}

/// A change about to be made.
pub(super) struct Change {
    pub from: Pos,
    pub to: Pos,
    pub text: String,
    /// `None`: behind the inserted text.
    pub after: Option<Caret>,
}

impl Change {
    pub(super) fn new(from: Pos, to: Pos, text: impl Into<String>) -> Self {
        Self { from, to, text: text.into(), after: None }
    }
}

/// Where a text ends that begins at `at`.
pub(super) fn end_of(at: Pos, text: &str) -> Pos {
    match text.rfind('\n') {
        None => Pos::new(at.line, at.at + text.len()),
        Some(last) => Pos::new(at.line + text.bytes().filter(|byte| *byte == b'\n').count(), text.len() - last - 1),
    }
}

impl TextBuffer {
    /// Makes a change of its own undo group. `None` where nothing would change.
    pub(super) fn change(&mut self, change: Change) -> Option<Step> {
        self.typing = None;
        self.make(change, false)
    }

    /// Makes a change that joins the group before it, when that was the same kind of typing a moment ago.
    pub(super) fn change_typing(&mut self, at: Duration, kind: Typing, breaks: bool, change: Change) -> Option<Step> {
        let joins = !breaks
            && self.selection().is_none()
            && self.redo.is_empty()
            && self.typing.is_some_and(|(last, when)| last == kind && at.saturating_sub(when) < PAUSE);
        let step = self.make(change, joins);
        self.typing = step.as_ref().map(|_| (kind, at));
        step
    }

    fn make(&mut self, change: Change, joins: bool) -> Option<Step> {
        let Change { from, to, text, after } = change;
        if from == to && text.is_empty() {
            return None;
        }
        let joins = joins && !self.undo.is_empty();
        let before = Some(self.caret).filter(|caret| *caret != Caret::at(to));
        self.replace(from, to, &text, joins, self.caret, after);
        self.show_cursor();
        let scroll = self.scroll;
        Some(Step::Replace { from, to: Some(to).filter(|to| *to != from), text, joins, before, after, scroll })
    }

    pub fn undo(&mut self) -> Option<Step> {
        self.undo_one()?;
        self.show_cursor();
        Some(Step::Undo { scroll: self.scroll })
    }

    pub fn redo(&mut self) -> Option<Step> {
        self.redo_one()?;
        self.show_cursor();
        Some(Step::Redo { scroll: self.scroll })
    }

    /// Makes a saved step again. Says why it cannot, and changes nothing then.
    pub(super) fn replay(&mut self, step: Step) -> Result<(), &'static str> {
        let scroll = match step {
            Step::Replace { from, to, text, joins, before, after, scroll } => {
                let to = to.unwrap_or(from);
                if from > to || self.clamp(from) != from || self.clamp(to) != to {
                    return Err("it changes a place that is not there");
                }
                self.replace(from, to, &text, joins, before.unwrap_or(Caret::at(to)), after);
                scroll
            }
            Step::Undo { scroll } => self.undo_one().map(|()| scroll).ok_or("there is nothing to undo")?,
            Step::Redo { scroll } => self.redo_one().map(|()| scroll).ok_or("there is nothing to redo")?,
        };
        self.scroll = scroll;
        self.typing = None;
        Ok(())
    }

    fn replace(&mut self, from: Pos, to: Pos, text: &str, joins: bool, before: Caret, after: Option<Caret>) {
        let (removed, end) = self.splice(from, to, text);
        let patch = Patch { at: from, removed, inserted: text.to_owned() };
        self.caret = match after {
            Some(caret) => self.clamp_caret(caret),
            None => Caret::at(self.stand_behind(end)),
        };
        self.redo.clear();
        match self.undo.last_mut() {
            Some(group) if joins => {
                let absorbed = group.patches.last_mut().is_some_and(|last| last.absorb(&patch));
                if !absorbed {
                    group.patches.push(patch);
                }
                group.after = self.caret;
            }
            _ => self.undo.push(Group { patches: vec![patch], before, after: self.caret }),
        }
        self.forget_old_groups();
    }

    fn undo_one(&mut self) -> Option<()> {
        let group = self.undo.pop()?;
        for patch in group.patches.iter().rev() {
            self.splice(patch.at, end_of(patch.at, &patch.inserted), &patch.removed);
        }
        self.caret = self.clamp_caret(group.before);
        self.redo.push(group);
        self.typing = None;
        Some(())
    }

    fn redo_one(&mut self) -> Option<()> {
        let group = self.redo.pop()?;
        for patch in &group.patches {
            self.splice(patch.at, end_of(patch.at, &patch.removed), &patch.inserted);
        }
        self.caret = self.clamp_caret(group.after);
        self.undo.push(group);
        self.typing = None;
        Some(())
    }

    fn forget_old_groups(&mut self) {
        let mut kept_bytes = 0;
        let kept = self
            .undo
            .iter()
            .rev()
            .take(GROUPS)
            .take_while(|group| {
                kept_bytes += group.bytes();
                kept_bytes <= GROUP_BYTES
            })
            .count()
            .max(1);
        let surplus = self.undo.len().saturating_sub(kept);
        self.undo.drain(..surplus);
    }

    /// Replaces the text between two places; gives what was there and where the new text ends.
    fn splice(&mut self, from: Pos, to: Pos, text: &str) -> (String, Pos) {
        let removed = self.range(from, to);
        let end = end_of(from, text);
        if from.line == to.line && end.line == from.line {
            self.lines[from.line].replace_range(from.at..to.at, text);
        } else {
            let tail = self.lines[to.line].split_off(to.at);
            let mut parts = text.split('\n');
            let first = &mut self.lines[from.line];
            first.truncate(from.at);
            first.push_str(parts.next().unwrap_or(""));
            self.lines.splice(from.line + 1..to.line + 1, parts.map(str::to_owned));
            self.lines[end.line].push_str(&tail);
        }
        self.bytes = self.bytes - removed.len() + text.len();
        self.goal = None;
        self.generation += 1;
        (removed, end)
    }

    /// A place behind an inserted text: its last mark may have joined what follows.
    fn stand_behind(&self, pos: Pos) -> Pos {
        let line = &self.lines[pos.line];
        let floor = cells::floor_boundary(line, pos.at);
        if floor < pos.at { Pos::new(pos.line, cells::next_boundary(line, floor)) } else { pos }
    }

    fn clamp_caret(&self, caret: Caret) -> Caret {
        Caret { cursor: self.clamp(caret.cursor), anchor: caret.anchor.map(|anchor| self.clamp(anchor)) }
    }
}
