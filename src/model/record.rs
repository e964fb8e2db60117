//! A record as it stands: the server's last known copy, what the user made of it, and why they differ.

use serde::{Deserialize, Serialize};

use crate::model::{
    conflict::Conflict,
    document::Document,
    draft::{Draft, DraftHead},
    ids::{RecordKey, Revision},
    op::Op,
    time::Timestamp,
};

/// The last acknowledged server copy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Base {
    pub document: Document,
    /// `None` where the backend's collection reads carry no revision.
    pub revision: Option<Revision>,
    /// When this copy was received.
    pub received_at: Timestamp,
}

/// The one mark a row carries, the most urgent fact first (`Conflict` beats `Draft` beats `Changed`, …).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordMark {
    /// Shown as it is on the server.
    #[default]
    Synced,
    Changed,
    Created,
    Held,
    Draft,
    Deleted,
    Rejected,
    Conflict,
}

impl RecordMark {
    /// The character of the mark column (page 5, colour and marks).
    pub fn symbol(self) -> char {
        match self {
            Self::Synced => ' ',
            Self::Changed => 'M',
            Self::Created => '+',
            Self::Deleted => '-',
            Self::Held => 'h',
            Self::Draft => '~',
            Self::Rejected => 'x',
            Self::Conflict => '!',
        }
    }

    /// The word shown in `--json` and on screen.
    pub fn word(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Changed => "changed",
            Self::Created => "new",
            Self::Deleted => "delete",
            Self::Held => "held",
            Self::Draft => "draft",
            Self::Rejected => "rejected",
            Self::Conflict => "conflict",
        }
    }
}

/// One record, read in one consistent look at journal and mirror.
///
/// **Invariant:** `local` is `base` with `ops` applied in order; `None` means it does not exist (any more).
#[derive(Debug, Clone, PartialEq)]
pub struct RecordView {
    pub key: RecordKey,
    pub base: Option<Base>,
    /// Where no op is pending this is the document of `base` itself.
    pub local: Option<Document>,
    pub mark: RecordMark,
    /// The pending ops of the record, oldest first.
    pub ops: Vec<Op>,
    /// What there are drafts of.
    pub heads: Vec<DraftHead>,
    /// The drafts with their texts. Where the record is only to be shown, large ones are left out.
    pub drafts: Vec<Draft>,
    pub conflict: Option<Conflict>,
}

impl RecordView {
    /// A draft with more bytes, its base included, is read only where its text is wanted.
    pub const SMALL_DRAFT: usize = 64 * 1024;

    /// True where the text of every draft is here.
    pub fn is_whole(&self) -> bool {
        self.drafts.len() == self.heads.len()
    }
}

/// What became of rows that are gone on the server and were kept for pending ops.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Buried {
    pub deleted: u64,
    /// Some are still kept.
    pub stays: bool,
    /// Where to go on: not all were looked through.
    pub next: Option<i64>,
    /// They are so many that somebody has to be asked; none was deleted now.
    pub many: bool,
}
