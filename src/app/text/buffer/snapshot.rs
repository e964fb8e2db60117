//! A buffer as text and back: the snapshot of a draft, and the replay of what was typed after it.
//!
//! ```text
//! {"version":2,"caret":…,"scroll":…,"undo":…}     one line of JSON, which may have more beside
//! the text, as it is typed                        a megabyte of it is not to be read character by character
//! ```
//!
//! Version 1 had its text in the JSON, and nothing behind it.

use serde::{Deserialize, Serialize};

use super::{Caret, Scroll, Step, TextBuffer, edit::Group};

const VERSION: u32 = 2;

/// A snapshot as it was read, without the text behind it.
#[derive(Serialize, Deserialize)]
pub struct Snapshot {
    version: u32,
    /// Of version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    caret: Caret,
    scroll: Scroll,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    undo: Vec<Group>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    redo: Vec<Group>,
}

impl Snapshot {
    /// Written by a newer program: not to be understood by this one.
    pub fn is_newer(&self) -> bool {
        self.version > VERSION
    }
}

/// A draft that could not be read to its end. Nothing typed is thrown away: `text` is what could be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}: {reason}", match .step { None => "the snapshot".to_owned(), Some(step) => format!("edit {}", step + 1) })]
pub struct Damaged {
    /// The edit that could not be replayed; `None` where the snapshot itself is unreadable.
    pub step: Option<usize>,
    pub reason: String,
    /// The buffer as far as it could be rebuilt: what stands behind an unreadable line, or that line as plain text.
    pub text: Box<TextBuffer>,
}

impl TextBuffer {
    /// Everything that must come back, but the text.
    pub fn saved(&self) -> Snapshot {
        Snapshot {
            version: VERSION,
            text: None,
            caret: self.caret,
            scroll: self.scroll,
            undo: self.undo.clone(),
            redo: self.redo.clone(),
        }
    }

    /// The snapshot with its first line, which holds [`TextBuffer::saved`].
    pub fn snapshot(&self, line: &impl Serialize) -> String {
        let line = serde_json::to_string(line).expect("strings and numbers are always JSON");
        let mut snapshot = String::with_capacity(line.len() + 1 + self.len());
        snapshot.push_str(&line);
        for line in self.lines() {
            snapshot.push('\n');
            snapshot.push_str(line);
        }
        snapshot
    }

    /// The JSON of a snapshot and the text behind it.
    pub fn split(snapshot: &str) -> (&str, Option<&str>) {
        snapshot.split_once('\n').map_or((snapshot, None), |(line, text)| (line, Some(text)))
    }

    /// The buffer of a snapshot of which only this is sure: its JSON is in `line`, its text perhaps behind it.
    pub fn rescued(line: &str, text: Option<&str>, steps: &[String]) -> Result<Self, Damaged> {
        let unreadable =
            |reason: String| Damaged { step: None, reason, text: Box::new(Self::new(text.unwrap_or(line))) };
        let saved: Snapshot = serde_json::from_str(line).map_err(|error| unreadable(error.to_string()))?;
        if saved.is_newer() {
            return Err(unreadable(format!("version {} is newer than this program's {VERSION}", saved.version)));
        }
        Self::replayed(saved, text, steps)
    }

    /// The buffer of a snapshot that is not [newer](Snapshot::is_newer), with the steps made again.
    pub fn replayed(saved: Snapshot, text: Option<&str>, steps: &[String]) -> Result<Self, Damaged> {
        let Some(text) = saved.text.as_deref().or(text) else {
            let reason = "its text is missing".to_owned();
            return Err(Damaged { step: None, reason, text: Box::default() });
        };
        let mut buffer = Self::new(text);
        buffer.undo = saved.undo;
        buffer.redo = saved.redo;
        buffer.caret = Caret {
            cursor: buffer.clamp(saved.caret.cursor),
            anchor: saved.caret.anchor.map(|anchor| buffer.clamp(anchor)),
        };
        buffer.scroll = saved.scroll;
        for (number, step) in steps.iter().enumerate() {
            let read = serde_json::from_str::<Step>(step).map_err(|error| error.to_string());
            if let Err(reason) = read.and_then(|step| buffer.replay(step).map_err(str::to_owned)) {
                return Err(Damaged { step: Some(number), reason, text: Box::new(buffer) });
            }
        }
        Ok(buffer)
    }
}
