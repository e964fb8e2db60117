//! A buffer as text and back: the snapshot of a draft, and the replay of what was typed after it.

use serde::{Deserialize, Serialize};

use super::{Caret, Scroll, Step, TextBuffer, edit::Group};

const VERSION: u32 = 1;

/// A snapshot as it was read.
#[derive(Serialize, Deserialize)]
pub struct Snapshot {
    version: u32,
    text: String,
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
    /// The buffer as far as it could be rebuilt; the raw snapshot as plain text where not even that could be read.
    pub text: Box<TextBuffer>,
}

impl TextBuffer {
    /// Everything that must come back, as JSON.
    pub fn snapshot(&self) -> String {
        let saved = Snapshot {
            version: VERSION,
            text: self.text(),
            caret: self.caret,
            scroll: self.scroll,
            undo: self.undo.clone(),
            redo: self.redo.clone(),
        };
        serde_json::to_string(&saved).expect("strings and numbers are always JSON")
    }

    /// The buffer a snapshot was made of, with the steps appended since made again.
    pub fn from_snapshot(snapshot: &str, steps: &[String]) -> Result<Self, Damaged> {
        let unreadable = |reason: String| Damaged { step: None, reason, text: Box::new(Self::new(snapshot)) };
        let saved: Snapshot = serde_json::from_str(snapshot).map_err(|error| unreadable(error.to_string()))?;
        if saved.is_newer() {
            return Err(unreadable(format!("version {} is newer than this program's {VERSION}", saved.version)));
        }
        Self::replayed(saved, steps)
    }

    /// The buffer of a snapshot that is not [newer](Snapshot::is_newer), with the steps made again.
    pub fn replayed(saved: Snapshot, steps: &[String]) -> Result<Self, Damaged> {
        let mut buffer = Self::new(&saved.text);
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
