//! A stretch of a collection, compared with the server by content: what the background audit asks, and what it is told.

use crate::model::{
    ids::{CollectionKey, RecordId},
    json::Pointer,
    wire::RemoteRecord,
};

/// Ids of each kind named at most; what is beyond is found by the next comparison.
pub const NAMED: usize = 1_000;

/// A stretch of a collection as the server has it.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyWindow {
    pub collection: CollectionKey,
    /// Behind the first key, up to the other, that one included.
    pub after: Option<RecordId>,
    pub until: Option<RecordId>,
    pub records: Vec<RemoteRecord>,
    /// The field the server stamps.
    pub stamp: Option<Pointer>,
    /// How much the next window may be at most.
    pub next: WindowSize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WindowSize {
    pub rows: usize,
    pub bytes: u64,
}

/// How the mirror differs from a window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WindowDifference {
    /// Here and there, with other content.
    pub differing: Vec<RecordId>,
    /// There and not here.
    pub missing: Vec<RecordId>,
    /// Here and not there, and how many that are.
    pub extra: Vec<RecordId>,
    pub extra_count: u64,
    /// How many of the differing ones are older there by their stamp.
    pub older_count: u64,
    /// Rows of the whole collection here.
    pub rows: u64,
    /// What the next window holds by what is here.
    pub next: WindowSize,
}

impl WindowDifference {
    pub fn is_none(&self) -> bool {
        self.differing.is_empty() && self.missing.is_empty() && self.extra.is_empty()
    }
}
