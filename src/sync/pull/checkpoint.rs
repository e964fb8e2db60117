//! Our position in a collection, as the text the mirror keeps beside the rows it covers.

use serde::{Deserialize, Serialize};

use super::{Origin, audit::Auditing};
use crate::model::{
    ids::RecordId,
    sync_status::{GuardFound, Verified},
};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    #[default]
    Never,
    /// A sweep by key windows is under way: `after` is the last key applied.
    Backfill,
    /// At least one whole sweep was carried out, deletions included.
    Complete,
    /// The user answered a stopped deletion with "leave both as they are".
    Detached,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    Stream,
    Delta,
    Windows,
}

/// Written with every page. Unknown text is a collection never pulled: pulling it again is always safe.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    pub(super) phase: Phase,
    /// The number of the last sweep begun. Numbers are never reused, so that a row marked by a sweep that died is
    /// not taken for seen.
    pub(super) sweep: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mode: Option<Mode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<RecordId>,
    /// Rows of the sweep applied so far, and how many there were to be.
    #[serde(default)]
    pub(super) done: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) total: Option<u64>,
    /// The newest server stamp seen (JSON text), under `pull = "delta"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<String>,
    /// When the last whole sweep ended, in milliseconds by our clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) swept_at: Option<i64>,
    /// True once a sweep was carried out to its end, even while the next one runs.
    #[serde(default)]
    pub(super) whole: bool,
    /// Where the copies came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<Origin>,
    /// What a guard stopped for, until it is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stopped: Option<GuardFound>,
    /// So many deletions the user accepted, until a sweep is carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) accepted: Option<u64>,
    /// So many records whose stamp went back the user accepted, until a sweep is carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) accepted_older: Option<u64>,
    /// The reading that goes on left records out that are kept in memory only: another process reads from the
    /// beginning.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) holds: bool,
    /// What a comparison that goes on has found so far, and what the last one found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) verifying: Option<Verified>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) verified: Option<Verified>,
    /// How far a comparison in the background is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) auditing: Option<Auditing>,
}

/// What a stored checkpoint says to people.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Position {
    /// A guard stopped the collection and asks; also while it is detached.
    pub guard: Option<GuardFound>,
    /// Not pulled any more, by the user's choice.
    pub is_detached: bool,
    /// The last comparison with the server.
    pub verified: Option<Verified>,
}

/// Reads a checkpoint as the mirror keeps it, for those who show it without a running sync.
pub fn position(checkpoint: Option<&str>) -> Position {
    let checkpoint = Checkpoint::read(checkpoint);
    let is_detached = checkpoint.phase == Phase::Detached;
    Position { guard: checkpoint.stopped, is_detached, verified: checkpoint.verified }
}

impl Checkpoint {
    pub(super) fn read(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    pub(super) fn write(&self) -> String {
        serde_json::to_string(self).expect("a checkpoint holds only texts and numbers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_survives_its_text_and_foreign_text_means_never_pulled() {
        let checkpoint = Checkpoint {
            phase: Phase::Backfill,
            sweep: 7,
            mode: Some(Mode::Windows),
            after: Some("key".into()),
            done: 3,
            total: Some(9),
            ..Checkpoint::default()
        };
        assert_eq!(Checkpoint::read(Some(&checkpoint.write())), checkpoint);
        assert_eq!(Checkpoint::read(Some("seq:12-abc")).phase, Phase::Never);
        assert_eq!(Checkpoint::read(None), Checkpoint::default());
    }
}
