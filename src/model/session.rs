//! Session rows: the saved state of the screen, one slice per pane, each with its own name and version; and earlier
//! moments of a session, each a whole.

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
#[derive(Debug, Clone, Default, PartialEq)]
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
    /// Earlier moments kept of it.
    pub moments: usize,
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
    /// The slices are left out: starts with them kept ending before they showed anything.
    pub aside: Option<Aside>,
}

/// Screen state that is not used any more, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aside {
    /// How many starts in a row ended.
    pub starts: usize,
    /// The moment that keeps it; `None` where there was nothing to keep.
    pub moment: Option<i64>,
}

/// An earlier state of a session's whole screen.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    pub id: i64,
    pub kind: MomentKind,
    /// When it was kept.
    pub at: Timestamp,
    /// When the screen last changed before that.
    pub saved_at: Option<Timestamp>,
    pub slices: Vec<Slice>,
}

impl Moment {
    /// The instant a person would look for it by.
    pub fn when(&self) -> Timestamp {
        self.saved_at.unwrap_or(self.at)
    }
}

/// Why a moment was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MomentKind {
    /// What the run before a start had left.
    Start,
    /// The screen was left alone for a while after it.
    Pause,
    /// Some time had passed in use.
    Use,
    /// What was on the screen before an earlier moment was brought back.
    Left,
    /// Starts with it kept failing.
    Aside,
}

impl MomentKind {
    pub const ALL: [Self; 5] = [Self::Start, Self::Pause, Self::Use, Self::Left, Self::Aside];

    /// As the journal and `--json` write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Use => "use",
            Self::Left => "left",
            Self::Aside => "aside",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// As a person reads it beside the time.
    pub fn label(self) -> &'static str {
        match self {
            Self::Start => "when a run ended",
            Self::Pause => "before a pause",
            Self::Use => "while in use",
            Self::Left => "before stepping back",
            Self::Aside => "set aside: starts with it failed",
        }
    }
}
