//! Questions about the local data and the answers panes are drawn from.

use serde::{Deserialize, Serialize};

use crate::model::{
    ids::{CollectionKey, RecordId},
    json::Pointer,
    record::RecordMark,
    time::Timestamp,
};

/// What the user typed into a filter: words and `field:value` terms, all of which must match.
/// `role:admin anna "exact phrase" id:u_0 is:conflict`. Empty text means no filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Filter(pub String);

impl Filter {
    pub fn is_empty(&self) -> bool {
        self.0.trim().is_empty()
    }
}

/// What `is:` may ask for.
pub const MARKS: [&str; 7] = ["changed", "new", "deleted", "draft", "held", "conflict", "rejected"];

/// What a filter that was typed is good for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FilterUse {
    #[default]
    Narrows,
    /// There is nothing in it to look for, so that every record matches: `---`.
    NothingToFind,
    /// No record has such a mark: `is:bogus`.
    UnknownMark(String),
}

/// The order of a list. Ids are ordered as the backend orders its keys (see `model::rtdb::key_order`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sort {
    /// `None`: by id.
    pub by: Option<Pointer>,
    pub descending: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListQuery {
    pub collection: CollectionKey,
    pub columns: Vec<Pointer>,
    pub filter: Filter,
    pub sort: Sort,
}

/// Where a window begins. Every form is a keyset seek, never an offset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Anchor {
    First,
    Last,
    /// The window whose first row is this record, or the next one in order where it is gone. Where fewer than
    /// `limit` rows follow, rows before it fill the window up.
    At(RecordId),
    /// The rows right after / right before this record, which need not exist.
    After(RecordId),
    Before(RecordId),
}

/// One row of a list. Cells are display-ready only after `model::display`; they hold at most 200 characters each.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub id: RecordId,
    /// One per asked column; `None` where the record has no such field. Strings bare, everything else as JSON.
    pub cells: Vec<Option<String>>,
    pub mark: RecordMark,
    /// When the record last changed here (received or edited).
    pub changed_at: Option<Timestamp>,
}

/// A stretch of a list in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Window {
    pub rows: Vec<Row>,
    /// How many rows come before the first one, where that is known cheaply.
    pub rank: Option<u64>,
    /// Rows that match the filter; `None` while that is not known.
    pub matching: Option<u64>,
    /// Rows of the collection without a filter.
    pub total: u64,
    /// True where no row comes before / after the window.
    pub at_start: bool,
    pub at_end: bool,
    /// True where the deadline ended the search before all rows were looked at.
    pub partial: bool,
    pub filter: FilterUse,
}

/// One collection as the collections pane and `status` show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CollectionOverview {
    pub key: CollectionKey,
    /// Records shown: mirror rows, plus creates, minus deletes that are pending.
    pub records: u64,
    pub pending: u64,
    /// Records with edits that wait.
    pub changed: u64,
    pub held: u64,
    pub drafts: u64,
    pub conflicts: u64,
    pub rejected: u64,
    pub last_pull: Option<Timestamp>,
    pub checkpoint: Option<String>,
    /// A guard stopped it and nobody answered yet. Said by the checkpoint, which the store does not understand: false until
    /// somebody who does has looked at it.
    pub asks: bool,
}
