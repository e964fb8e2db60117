//! What the machine is told: answers to its effects, wishes, and the passing of time.

use crate::{
    model::{
        ids::{CollectionKey, RecordId, RecordKey, SourceName},
        op::{Claimed, LateOriginal, Op, OpKind},
        record::{Base, Buried},
        spend::SpentRow,
        sync_status::{LinkFact, SyncRequest},
        time::Timestamp,
        window::WindowDifference,
        wire::{Answer, Current, Exchange, ReadError, RemoteChange, RemoteRecord},
    },
    sync::effect::Ticket,
};

/// The store could not do it; the text says why. The machine tries again by itself.
pub type StoreResult<T> = Result<T, String>;

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// This process leads, and `in_flight` ops of a dead leader are `in_doubt` now. Nothing happens before.
    Started {
        /// What leaders before this one were guarding; those whose time is over were not looked at since.
        guards: Vec<LateOriginal>,
    },
    /// What the journal knows of the bytes of today; told once, after the start.
    SpentRead(Vec<SpentRow>),
    /// The time of [`super::Machine::wake_at`] has come.
    Tick,
    /// The operating system says that addresses or links of this computer changed. A hint to look, no evidence.
    NetworkChanged,
    /// The journal was written by somebody: there may be something to send. Not work in itself (see `Effect::Idle`).
    JournalMoved,
    Request(SyncRequest),

    OutboxRead {
        ticket: Ticket,
        source: SourceName,
        result: StoreResult<OutboxSlice>,
    },
    Fetched {
        ticket: Ticket,
        record: RecordKey,
        result: Result<Current, ReadError>,
        exchange: Exchange,
    },
    /// `None`: the op is not what was read any more.
    Claimed {
        ticket: Ticket,
        record: RecordKey,
        result: StoreResult<Option<Claimed>>,
    },
    Pushed {
        ticket: Ticket,
        record: RecordKey,
        answer: Answer,
        exchange: Exchange,
    },
    BaseStored {
        ticket: Ticket,
        record: RecordKey,
        result: StoreResult<()>,
    },
    Settled {
        ticket: Ticket,
        record: RecordKey,
        result: StoreResult<()>,
    },
    AuthReleased {
        ticket: Ticket,
        source: SourceName,
        result: StoreResult<u64>,
    },

    CheckpointRead {
        ticket: Ticket,
        collection: CollectionKey,
        result: StoreResult<Option<String>>,
    },
    KeysRead {
        ticket: Ticket,
        collection: CollectionKey,
        result: Result<Vec<RecordId>, ReadError>,
        exchange: Exchange,
    },
    PageRead {
        ticket: Ticket,
        collection: CollectionKey,
        result: Result<PageData, ReadError>,
        exchange: Exchange,
    },
    PageApplied {
        ticket: Ticket,
        collection: CollectionKey,
        result: StoreResult<AppliedPage>,
    },
    MissingRead {
        ticket: Ticket,
        collection: CollectionKey,
        result: StoreResult<MissingRows>,
    },
    Buried {
        ticket: Ticket,
        collection: CollectionKey,
        result: StoreResult<Buried>,
    },
    WindowCompared {
        ticket: Ticket,
        collection: CollectionKey,
        result: StoreResult<WindowDifference>,
    },
    FeedOpened {
        ticket: Ticket,
        collection: CollectionKey,
        result: Result<(), ReadError>,
        exchange: Exchange,
    },
    /// `Err`: the feed is over.
    FeedMoved {
        ticket: Ticket,
        collection: CollectionKey,
        result: Result<FeedNews, ReadError>,
        /// Received by this feed so far.
        bytes: u64,
    },
    Reuploaded {
        ticket: Ticket,
        collection: CollectionKey,
        result: StoreResult<u64>,
    },

    Probed {
        ticket: Ticket,
        source: SourceName,
        result: Result<(), ReadError>,
        chain: Vec<LinkFact>,
        exchange: Exchange,
    },
}

/// A record's pending ops, oldest first, and the mirror's base.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    pub record: RecordKey,
    pub ops: Vec<Op>,
    pub base: Option<Base>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct OutboxSlice {
    pub chains: Vec<Chain>,
    /// The earliest time at which an op that waits may go.
    pub next_attempt: Option<Timestamp>,
    /// Ops of the source that go by themselves (queued, in flight, in doubt).
    pub to_go: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PageData {
    pub records: Vec<RemoteRecord>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<RecordId>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct AppliedPage {
    pub inserted: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub deleted: u64,
    /// The first records that changed by it.
    pub changed: Vec<RecordId>,
    /// Gone there, kept here because of pending ops; with the kind of the oldest.
    pub vanished: Vec<(RecordKey, OpKind)>,
    /// Rows stay that are gone there, those included whose ops ended meanwhile.
    pub stays: bool,
    /// Left out: their stamp went back.
    pub held: Vec<RemoteRecord>,
    /// Written although their stamp went back.
    pub set_back: u64,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct MissingRows {
    pub missing: u64,
    pub rows: u64,
    pub sample: Vec<RecordId>,
    /// What is missing is not known.
    pub is_unproved: bool,
}

/// One event of a live feed.
#[derive(Debug, Clone, PartialEq)]
pub enum FeedNews {
    /// The whole collection as it is now.
    Everything(Vec<RemoteRecord>),
    Changes(Vec<RemoteChange>),
    /// Changed, the text is not known: fetch these.
    Touched(Vec<RecordId>),
    KeepAlive,
    Cancelled(String),
    Unauthorized,
}
