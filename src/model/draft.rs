//! Drafts: what was typed and not committed. A draft is a snapshot plus the edits appended since.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{
    document::Document,
    ids::{OpId, RecordKey, Revision, Seq},
    json::Pointer,
    time::{At, Timestamp},
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

/// Which text of a draft this is: every write names the one it was made on and the one it makes. Two windows can have the
/// same draft open; a step that was not made on what the journal holds would be typed into another text.
///
/// Later texts have greater numbers: milliseconds of the clock, then twenty bits of chance, for windows that write in the
/// same millisecond.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DraftVersion(pub i64);

impl DraftVersion {
    /// There is no draft.
    pub const NONE: Self = Self(0);

    /// The version of a text written at this moment.
    pub fn at(at: &At) -> Self {
        let chance = u32::from_be_bytes([0, at.entropy[13] & 0x0f, at.entropy[14], at.entropy[15]]);
        Self(at.wall.0.saturating_mul(1 << 20).saturating_add(i64::from(chance)))
    }

    /// The last version that a text written until this moment can have.
    pub fn until(wall: Timestamp) -> Self {
        Self(wall.0.saturating_add(1).saturating_mul(1 << 20).saturating_sub(1))
    }

    /// True where this is an earlier version than one written in the same moment. Not where the clock was set back since:
    /// what is typed then must not be refused until it has caught up.
    pub fn is_overtaken_by(self, other: Self) -> bool {
        const MOMENT: i64 = 2_000 << 20;
        other.0 > self.0 && other.0 - self.0 < MOMENT
    }

    /// The version after this one: `now`, unless the clock stands behind it.
    pub fn next(self, now: Self) -> Self {
        now.max(Self(self.0.saturating_add(1)))
    }
}

/// A draft as loaded: replay `edits` on `snapshot` to get what was on the screen. Both are the editor's own JSON;
/// the journal does not look into them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    pub key: DraftKey,
    pub snapshot: String,
    pub edits: Vec<String>,
    /// The document the draft was begun on; `None` for a new record. See [`Draft::base`].
    pub base: Option<Document>,
    pub base_revision: Option<Revision>,
    /// Of `snapshot` with all its `edits`.
    #[serde(default)]
    pub version: DraftVersion,
    /// Set by the commit that precedes painting `saving`: a start that finds it queues the op again, idempotently.
    pub commit_requested: Option<OpId>,
    pub updated_at: Timestamp,
}

/// What there is to know of a draft beside its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftHead {
    pub key: DraftKey,
    pub version: DraftVersion,
    /// It was asked to become an edit, and that was not done (yet).
    pub is_requested: bool,
}

impl Draft {
    pub fn head(&self) -> DraftHead {
        DraftHead { key: self.key.clone(), version: self.version, is_requested: self.commit_requested.is_some() }
    }

    /// This text of it.
    pub fn text(&self) -> DraftText {
        DraftText { key: self.key.clone(), version: self.version }
    }

    /// The document the draft was begun on.
    pub fn base(&self) -> Option<&Value> {
        self.base.as_deref()
    }
}

/// One text of a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftText {
    pub key: DraftKey,
    pub version: DraftVersion,
}

/// The text a write was made on, and the one it makes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    pub from: DraftVersion,
    pub to: DraftVersion,
}

impl Versions {
    pub const fn new(from: i64, to: i64) -> Self {
        Self { from: DraftVersion(from), to: DraftVersion(to) }
    }
}

/// A change of the drafts table, part of the commit before a paint.
#[derive(Debug, Clone, PartialEq)]
pub enum DraftWrite {
    /// Begins a draft or compacts it: the snapshot replaces what was there. Where that is not what it was made on, the
    /// vault keeps it: another window wrote it.
    Snapshot {
        key: DraftKey,
        snapshot: String,
        base: Option<Value>,
        base_revision: Option<Revision>,
        versions: Versions,
    },
    /// Appends one editor step (a few bytes) to the draft it was made on; refused where the journal holds another text.
    Append { key: DraftKey, edit: String, versions: Versions },
    /// The user asked to queue it: `saving` may be painted after this commit.
    RequestCommit { key: DraftKey, op: Box<crate::model::op::NewOp> },
    /// Ends a draft that holds nothing any more: nothing in it differs from the record. What another window typed in it
    /// after this version goes into the vault.
    Remove { key: DraftKey, version: DraftVersion },
    /// Ends a draft; the vault keeps it, whatever was typed.
    Discard { key: DraftKey },
}

impl DraftWrite {
    pub fn key(&self) -> &DraftKey {
        match self {
            Self::Snapshot { key, .. }
            | Self::Append { key, .. }
            | Self::RequestCommit { key, .. }
            | Self::Remove { key, .. }
            | Self::Discard { key } => key,
        }
    }
}
