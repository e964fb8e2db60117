//! Readings: journal first, then mirror, in one transaction over attached files, so that an acknowledgement between the
//! two can never show an old base without its pending op.

use std::time::Duration;

use crate::{
    model::{
        activity::Activity,
        conflict::Conflict,
        draft::Draft,
        ids::{CollectionKey, RecordId, RecordKey, Seq, SessionName, SourceName},
        op::{Op, OpState, OutboxCounts},
        query::{Anchor, CollectionOverview, ListQuery, Window},
        record::RecordView,
        session::{SavedSession, SessionInfo},
        sync_status::SourceStatus,
        time::Timestamp,
    },
    store::StoreError,
};

/// Synchronous questions on connections of the reader's own. One per thread.
pub struct Reader {/* connection */}

/// A record's pending ops, oldest first, with what the engine must know to send the head.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    pub record: RecordKey,
    pub ops: Vec<Op>,
    /// The mirror's present base of the record.
    pub base: Option<crate::model::record::Base>,
}

impl Reader {
    /// A window of a list, overlaid with pending edits: creates stand at their place, deletes keep their row with its
    /// mark. Ends after `deadline` with `partial` set.
    pub fn window(
        &mut self,
        query: &ListQuery,
        anchor: &Anchor,
        limit: usize,
        deadline: Duration,
    ) -> Result<Window, StoreError> {
        let _ = (query, anchor, limit, deadline);
        todo!()
    }

    /// How many rows come before `id` in the list, and how many match in all. Counts; may take tens of milliseconds on
    /// a million rows, so it runs after the frame.
    pub fn rank(
        &mut self,
        query: &ListQuery,
        id: &RecordId,
        deadline: Duration,
    ) -> Result<(Option<u64>, Option<u64>), StoreError> {
        let _ = (query, id, deadline);
        todo!()
    }

    pub fn record(&mut self, key: &RecordKey) -> Result<RecordView, StoreError> {
        let _ = key;
        todo!()
    }

    /// Pending ops in the order they will be sent; then, for `history > 0`, that many settled ones, newest first.
    /// A keyset page: `after` is the last number already had.
    pub fn outbox(&mut self, states: &[OpState], after: Option<Seq>, limit: usize) -> Result<Vec<Op>, StoreError> {
        let _ = (states, after, limit);
        todo!()
    }

    pub fn op(&mut self, seq: Seq) -> Result<Option<Op>, StoreError> {
        let _ = seq;
        todo!()
    }

    pub fn counts(&mut self) -> Result<OutboxCounts, StoreError> {
        todo!()
    }

    /// Open conflicts, oldest first; `resolved` adds the settled ones.
    pub fn conflicts(&mut self, resolved: bool) -> Result<Vec<Conflict>, StoreError> {
        let _ = resolved;
        todo!()
    }

    pub fn conflict(&mut self, id: i64) -> Result<Option<Conflict>, StoreError> {
        let _ = id;
        todo!()
    }

    pub fn drafts(&mut self) -> Result<Vec<Draft>, StoreError> {
        todo!()
    }

    pub fn overview(&mut self, keys: &[CollectionKey]) -> Result<Vec<CollectionOverview>, StoreError> {
        let _ = keys;
        todo!()
    }

    /// The newest rows, newest first, before `before`.
    pub fn activity(&mut self, before: Option<i64>, limit: usize) -> Result<Vec<(i64, Activity)>, StoreError> {
        let _ = (before, limit);
        todo!()
    }

    pub fn session(&mut self, name: &SessionName) -> Result<SavedSession, StoreError> {
        let _ = name;
        todo!()
    }

    pub fn sessions(&mut self) -> Result<Vec<SessionInfo>, StoreError> {
        todo!()
    }

    pub fn statuses(&mut self) -> Result<Vec<SourceStatus>, StoreError> {
        todo!()
    }

    pub fn checkpoint(&mut self, collection: &CollectionKey) -> Result<Option<String>, StoreError> {
        let _ = collection;
        todo!()
    }

    /// Records whose oldest op may go now (`queued` or `in_doubt`, its time come), in order of that op, with their whole
    /// chains. `exclude` are records already being worked on.
    pub fn ready(
        &mut self,
        source: &SourceName,
        now: Timestamp,
        exclude: &[RecordKey],
        limit: usize,
    ) -> Result<Vec<Chain>, StoreError> {
        let _ = (source, now, exclude, limit);
        todo!()
    }

    /// The earliest time at which an op that waits may go; `None` where none waits for a time.
    pub fn next_attempt(&mut self, source: &SourceName) -> Result<Option<Timestamp>, StoreError> {
        let _ = source;
        todo!()
    }

    /// Ids with pending ops or drafts: a pull never deletes them.
    pub fn protected(&mut self, collection: &CollectionKey) -> Result<std::collections::HashSet<RecordId>, StoreError> {
        let _ = collection;
        todo!()
    }

    /// Full-text search over one or all collections: ids with a snippet, best or newest first, within the deadline.
    pub fn search(
        &mut self,
        collections: &[CollectionKey],
        text: &str,
        limit: usize,
        deadline: Duration,
    ) -> Result<Vec<(RecordKey, String)>, StoreError> {
        let _ = (collections, text, limit, deadline);
        todo!()
    }

    /// Changes whenever any process wrote to the journal or the mirror: a cheap question for watchers.
    pub fn data_version(&mut self) -> Result<(i64, i64), StoreError> {
        todo!()
    }

    /// Interrupts whatever the reader is doing, from another thread.
    pub fn interrupt(&self) -> rusqlite::InterruptHandle {
        todo!()
    }
}
