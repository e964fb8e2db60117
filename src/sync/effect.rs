//! What the machine wants done. Plain data; every effect with a ticket is answered by exactly one event with it.

use std::{collections::HashSet, sync::Arc};

use serde_json::Value;

pub use crate::model::outcome::{Decided, Outcome};
use crate::model::{
    activity::Activity,
    ids::{CollectionKey, RecordId, RecordKey, Revision, Seq, SourceName},
    json::Pointer,
    op::LateOriginal,
    spend::SpentRow,
    sync_status::SourceStatus,
    time::Timestamp,
    window::KeyWindow,
    wire::{PushRequest, RemoteChange, Stamps},
};

/// Names one asked effect, so that a late answer is told from the one waited for. Unique within a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    // --- outbox -------------------------------------------------------------------------------------------------
    /// Read the records whose oldest op may go. Answer: [`super::Event::OutboxRead`].
    ReadOutbox {
        ticket: Ticket,
        source: SourceName,
        now: Timestamp,
        exclude: Vec<RecordKey>,
        limit: usize,
    },
    /// Answer: [`super::Event::Fetched`].
    Fetch {
        ticket: Ticket,
        record: RecordKey,
    },
    /// Take an op for sending, durably, before its first byte. Answer: [`super::Event::Claimed`].
    Claim {
        ticket: Ticket,
        claim: ClaimOp,
    },
    /// Send it, once. Answer: [`super::Event::Pushed`].
    Push {
        ticket: Ticket,
        request: Arc<PushRequest>,
    },
    /// Write a new base durably. Answer: [`super::Event::BaseStored`].
    StoreBase {
        ticket: Ticket,
        base: Arc<BaseWrite>,
    },
    /// Record outcomes, in this order. Answer: [`super::Event::Settled`], after the last.
    Settle {
        ticket: Ticket,
        record: RecordKey,
        settles: Vec<SettleOp>,
        /// Kept in the transaction of the settle: the op was in doubt, and is no more.
        guard: Option<LateOriginal>,
    },
    /// The record was read after its time of guarding: the guards that end until then are over.
    EndGuards {
        record: RecordKey,
        until: Timestamp,
    },
    /// `auth` ops become `queued` again. Answer: [`super::Event::AuthReleased`].
    ReleaseAuth {
        ticket: Ticket,
        source: SourceName,
    },
    /// Keep a conflict for a record that vanished there while edits are pending here.
    KeepConflict {
        record: RecordKey,
        at: Timestamp,
    },

    // --- pulling ------------------------------------------------------------------------------------------------
    /// Answer: [`super::Event::CheckpointRead`].
    ReadCheckpoint {
        ticket: Ticket,
        collection: CollectionKey,
    },
    /// Every key of the collection. Answer: [`super::Event::KeysRead`].
    ReadKeys {
        ticket: Ticket,
        collection: CollectionKey,
    },
    /// Answer: [`super::Event::PageRead`].
    ReadPage {
        ticket: Ticket,
        collection: CollectionKey,
        after: Option<RecordId>,
        limit: usize,
    },
    /// Answer: [`super::Event::PageRead`].
    ReadDelta {
        ticket: Ticket,
        collection: CollectionKey,
        since: String,
        limit: usize,
    },
    /// The record with the newest stamp, alone; numbers above `until` do not count. Answer: [`super::Event::PageRead`].
    ReadNewest {
        ticket: Ticket,
        collection: CollectionKey,
        until: Timestamp,
    },
    /// Rows, tombstones and checkpoint in one transaction. Answer: [`super::Event::PageApplied`].
    ApplyPage {
        ticket: Ticket,
        page: PageWrite,
    },
    /// A reading of the whole collection begins: what is here by now and is not met by it is missing at its end.
    BeginSweep {
        collection: CollectionKey,
        sweep: i64,
    },
    /// Answer: [`super::Event::MissingRead`].
    ReadMissing {
        ticket: Ticket,
        collection: CollectionKey,
        sweep: i64,
    },
    /// Delete what the sweep did not see, except `keep` and what has pending ops. Answer:
    /// [`super::Event::PageApplied`].
    FinishSweep {
        ticket: Ticket,
        collection: CollectionKey,
        sweep: i64,
        keep: HashSet<RecordId>,
        at: Timestamp,
    },
    /// Delete rows that are gone on the server and were kept for ops that are not pending any more. Answer:
    /// [`super::Event::Buried`].
    BuryVanished {
        ticket: Ticket,
        collection: CollectionKey,
        /// Where to go on, and how many were deleted before that.
        from: i64,
        deleted: u64,
        at: Timestamp,
    },
    /// Write a checkpoint alone; no rows were pulled by it. Answer: [`super::Event::PageApplied`].
    KeepCheckpoint {
        ticket: Ticket,
        collection: CollectionKey,
        checkpoint: String,
    },
    /// Look how the mirror differs from a window; changes nothing. Answer: [`super::Event::WindowCompared`].
    CompareWindow {
        ticket: Ticket,
        window: KeyWindow,
    },
    /// Answer: [`super::Event::FeedOpened`].
    OpenFeed {
        ticket: Ticket,
        collection: CollectionKey,
        since: Option<String>,
    },
    /// Ask the open feed for its next event. Answer: [`super::Event::FeedMoved`], unless the feed is closed before.
    NextOfFeed {
        ticket: Ticket,
        collection: CollectionKey,
    },
    CloseFeed {
        ticket: Ticket,
        collection: CollectionKey,
    },
    /// Queue a create for every row here that is not there and, where a stamp is named, an update for every one that
    /// is older there. Answer: [`super::Event::Reuploaded`].
    Reupload {
        ticket: Ticket,
        collection: CollectionKey,
        stamp: Option<Pointer>,
    },

    // --- the lane -----------------------------------------------------------------------------------------------
    /// Answer: [`super::Event::Probed`].
    Probe {
        ticket: Ticket,
        source: SourceName,
    },
    /// Read the credentials anew with the next request.
    ForgetCredentials {
        source: SourceName,
    },

    /// Add these to what the journal counts. Nobody waits for it.
    SaveSpent(Vec<SpentRow>),

    // --- telling people -----------------------------------------------------------------------------------------
    Log(Activity),
    /// At most twice a second, at once where a connectivity state changed, and only where something differs.
    Publish(Vec<SourceStatus>),
    /// Nothing is left that can be done now. Once per transition into that state.
    Idle,
}

/// A claim: the request exactly as it will be sent, and the ops it stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimOp {
    pub head: Seq,
    /// Coalesced into the head, oldest first.
    pub absorbs: Vec<Seq>,
    /// What the head was made on when it was read.
    pub base_revision: Option<Revision>,
    /// The very value that is sent after it.
    pub request: Arc<PushRequest>,
    pub at: Timestamp,
}

/// What the server holds now, as far as we know.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseWrite {
    pub record: RecordKey,
    /// `None`: gone there.
    pub document: Option<Value>,
    pub revision: Option<Revision>,
    /// Found there, not written by us: a copy that goes with it is kept.
    pub found: bool,
    pub at: Timestamp,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SettleOp {
    pub seq: Seq,
    /// Ops behind it that were judged together with it: they become one with it first ([`crate::store::Settle::joins`]).
    pub joins: Vec<Seq>,
    pub outcome: Outcome,
    pub at: Timestamp,
}

impl SettleOp {
    /// The outcome of one op alone.
    pub fn of(seq: Seq, outcome: Outcome, at: Timestamp) -> Self {
        Self { seq, joins: Vec::new(), outcome, at }
    }
}

/// A page to be applied.
#[derive(Debug, Clone, PartialEq)]
pub struct PageWrite {
    pub collection: CollectionKey,
    pub changes: Vec<RemoteChange>,
    /// Covers exactly these changes; `None` leaves the stored one.
    pub checkpoint: Option<String>,
    pub sweep: Option<i64>,
    pub stamps: Option<Stamps>,
    pub at: Timestamp,
}
