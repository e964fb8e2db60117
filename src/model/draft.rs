//! Drafts: what was typed and not committed. A draft is a snapshot plus the edits appended since.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{
    ids::{OpId, RecordKey, Revision, Seq},
    json::Pointer,
    lazy::LazyDocument,
    time::Timestamp,
};

/// What is being typed. One draft per target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DraftTarget {
    /// The whole record as JSON text.
    Document,
    /// A record that does not exist yet.
    New,
    /// One field in place.
    Field(Pointer),
    /// What a queued op shall send instead; queueing it puts it in the op's place.
    Op(Seq),
}

impl DraftTarget {
    /// The stable text of the journal's key column: `document`, `new`, `field:/a/b`, `op:12`.
    pub fn to_key(&self) -> String {
        match self {
            Self::Document => "document".to_owned(),
            Self::New => "new".to_owned(),
            Self::Field(pointer) => format!("field:{pointer}"),
            Self::Op(seq) => format!("op:{seq}"),
        }
    }

    pub fn from_key(key: &str) -> Option<Self> {
        match key {
            "document" => Some(Self::Document),
            "new" => Some(Self::New),
            _ => match key.split_once(':')? {
                ("field", pointer) => Some(Self::Field(Pointer::parse(pointer))),
                ("op", seq) => seq.parse().ok().map(|seq| Self::Op(Seq(seq))),
                _ => None,
            },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DraftKey {
    pub record: RecordKey,
    pub target: DraftTarget,
}

/// A draft as loaded: replay `edits` on `snapshot` to get what was on the screen. Both are the editor's own JSON;
/// the journal does not look into them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    pub key: DraftKey,
    pub snapshot: String,
    pub edits: Vec<String>,
    /// The document the draft was begun on; `None` for a new record. See [`Draft::base`].
    pub base: Option<LazyDocument>,
    pub base_revision: Option<Revision>,
    /// Set by the commit that precedes painting `saving`: a start that finds it queues the op again, idempotently.
    pub commit_requested: Option<OpId>,
    pub updated_at: Timestamp,
}

impl Draft {
    /// The document the draft was begun on.
    pub fn base(&self) -> Option<&Value> {
        self.base.as_ref().and_then(LazyDocument::value)
    }
}

/// A change of the drafts table, part of the commit before a paint.
#[derive(Debug, Clone, PartialEq)]
pub enum DraftWrite {
    /// Begins a draft or compacts it: the snapshot replaces whatever was there.
    Snapshot { key: DraftKey, snapshot: String, base: Option<Value>, base_revision: Option<Revision> },
    /// Appends one editor step (a few bytes) to an existing draft.
    Append { key: DraftKey, edit: String },
    /// The user asked to queue it: `saving` may be painted after this commit.
    RequestCommit { key: DraftKey, op: Box<crate::model::op::NewOp> },
    /// Ends a draft that holds nothing any more: it was queued, or nothing in it differs from the record.
    Remove { key: DraftKey },
    /// Ends a draft; the vault keeps it, whatever was typed.
    Discard { key: DraftKey },
}

impl DraftWrite {
    pub fn key(&self) -> &DraftKey {
        match self {
            Self::Snapshot { key, .. }
            | Self::Append { key, .. }
            | Self::RequestCommit { key, .. }
            | Self::Remove { key }
            | Self::Discard { key } => key,
        }
    }
}
