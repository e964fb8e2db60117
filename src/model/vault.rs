//! The vault: versions that lost, kept so that they can be looked at and brought back.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{
    draft::Draft,
    ids::{CollectionKey, RecordId, RecordKey, Revision},
    time::Timestamp,
};

/// Why a version lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VaultReason {
    /// An op was taken out of the outbox.
    Discarded,
    /// An edit was taken back.
    Undone,
    /// A conflict was resolved against the local version.
    LocalOverwritten,
    /// A conflict was resolved against the server's version.
    RemoteOverwritten,
    /// The record was gone on the server.
    RemovedByPull,
    /// A draft was discarded. Its text is kept as it was typed, with all that makes it a draft again.
    DraftDiscarded,
    /// Two windows typed in the same draft at once: the text that the other one's took the place of.
    DraftReplaced,
}

impl VaultReason {
    pub const ALL: [VaultReason; 7] = [
        Self::Discarded,
        Self::Undone,
        Self::LocalOverwritten,
        Self::RemoteOverwritten,
        Self::RemovedByPull,
        Self::DraftDiscarded,
        Self::DraftReplaced,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::Discarded => "discarded",
            Self::Undone => "undone",
            Self::LocalOverwritten => "local_overwritten",
            Self::RemoteOverwritten => "remote_overwritten",
            Self::RemovedByPull => "removed_by_pull",
            Self::DraftDiscarded => "draft_discarded",
            Self::DraftReplaced => "draft_replaced",
        }
    }

    /// The words people read.
    pub fn label(self) -> &'static str {
        match self {
            Self::Discarded => "edit discarded",
            Self::Undone => "edit taken back",
            Self::LocalOverwritten => "mine, overwritten",
            Self::RemoteOverwritten => "theirs, overwritten",
            Self::RemovedByPull => "gone on the server",
            Self::DraftDiscarded => "draft discarded",
            Self::DraftReplaced => "draft, other window",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.word() == word)
    }
}

/// One kept version. Its text is read by `store::Reader::vault_text`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VaultEntry {
    pub id: i64,
    pub record: RecordKey,
    pub reason: VaultReason,
    pub at: Timestamp,
    pub revision: Option<Revision>,
    /// Hex SHA-256 of the text.
    pub hash: String,
    /// Bytes of the text.
    pub size: u64,
}

/// Which kept versions are asked for; what is left out does not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VaultQuery {
    pub collection: Option<CollectionKey>,
    pub id: Option<RecordId>,
    /// A part of `source/collection/id`, in any case.
    pub text: String,
}

/// What a kept version is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kept {
    Document(Value),
    /// Typed and never queued; its text need not be JSON.
    Draft(Box<Draft>),
}

/// One kept version with what there is of its record now.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptVersion {
    pub entry: VaultEntry,
    pub kept: Kept,
    /// What the user sees of the record; `None` where it does not exist.
    pub local: Option<Value>,
    /// The server's revision the local value stands on.
    pub revision: Option<Revision>,
}
