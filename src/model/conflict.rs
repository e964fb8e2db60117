//! A conflict: the server moved, and the merge needs a person.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{
    ids::{RecordKey, Revision, Seq},
    time::Timestamp,
};

/// One unresolved (or resolved, kept as history) conflict. Its id is the journal's row number, shown as `c12`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    pub id: i64,
    pub record: RecordKey,
    /// The op that met the server's change; the record's later ops are blocked behind it.
    pub seq: Seq,
    pub detected_at: Timestamp,
    /// The document both sides started from; `None` for a create.
    pub base: Option<Value>,
    /// What the user wants: the op's document; `None` for a delete.
    pub mine: Option<Value>,
    /// What the server holds; `None` where it was deleted there.
    pub theirs: Option<Value>,
    pub theirs_revision: Option<Revision>,
    /// True where the op may have been applied before the server moved on.
    pub was_in_doubt: bool,
    pub resolved_at: Option<Timestamp>,
    pub resolution: Option<Take>,
}

/// How a conflict is resolved for the whole record. The loser goes to the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Take {
    Mine,
    Theirs,
    Base,
    /// A document made by hand or by merge.
    Merged,
}

impl Take {
    pub fn word(self) -> &'static str {
        match self {
            Self::Mine => "mine",
            Self::Theirs => "theirs",
            Self::Base => "base",
            Self::Merged => "merged",
        }
    }
}

/// How a collection settles what both sides changed and no field rule settles (page 3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictPolicy {
    /// Asks.
    #[default]
    Manual,
    /// Merges texts of several lines by itself; asks for the rest.
    Merge,
    /// The side written last, by the server's stamp and our measured offset to its clock; asks where that is uncertain.
    LastWriteWins,
    LocalWins,
    RemoteWins,
    /// The server's version stays; mine becomes a record of its own.
    KeepBoth,
}

impl ConflictPolicy {
    pub const ALL: [ConflictPolicy; 6] =
        [Self::Manual, Self::Merge, Self::LastWriteWins, Self::LocalWins, Self::RemoteWins, Self::KeepBoth];

    /// The word of the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Merge => "merge",
            Self::LastWriteWins => "last-write-wins",
            Self::LocalWins => "local-wins",
            Self::RemoteWins => "remote-wins",
            Self::KeepBoth => "keep-both",
        }
    }

    /// True where an edit against a deletion is settled without a person. A deletion carries no stamp, so the last
    /// write cannot be told.
    pub fn settles_deletions(self) -> bool {
        matches!(self, Self::LocalWins | Self::RemoteWins | Self::KeepBoth)
    }
}

/// One of the two sides of a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Mine,
    Theirs,
}

/// A version that a policy or a rule decided against; it goes to the vault.
#[derive(Debug, Clone, PartialEq)]
pub struct Lost {
    pub side: Side,
    pub document: Value,
    pub revision: Option<Revision>,
}
