//! Session rows: the saved state of the screen, one slice per pane, each with its own name and version.

use serde::{Deserialize, Serialize};

use crate::model::{activity::Activity, draft::DraftWrite, ids::SessionName, time::Timestamp};

/// One pane's saved state. `name` is a written constant, stable for ever; `body` is the JSON of the pane's own
/// session type of that `version`. Holds ids, pointers, texts, cursors; never data rows, indexes or secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    pub name: String,
    pub version: u16,
    pub body: String,
}

/// Everything the next paint depends on, committed in one transaction before it (P1).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UiCommit {
    /// The slices that differ from what was saved.
    pub slices: Vec<Slice>,
    pub drafts: Vec<DraftWrite>,
    pub activity: Vec<Activity>,
}

impl UiCommit {
    pub fn is_empty(&self) -> bool {
        self.slices.is_empty() && self.drafts.is_empty() && self.activity.is_empty()
    }
}

/// A saved session as `session list` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionInfo {
    pub name: SessionName,
    pub saved_at: Timestamp,
    pub slices: usize,
    /// True while a process holds the session's lock.
    pub open: bool,
}

/// What a start finds of a session.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SavedSession {
    pub slices: Vec<Slice>,
    pub saved_at: Option<Timestamp>,
    /// False when the last run of the session did not say goodbye.
    pub closed_cleanly: bool,
}
