//! SQLite: the journal (what exists only here), the mirror (copies) and the search index (derived).
//!
//! Writers are one thread and one connection per file and process, driven by [`Store`]; readings are synchronous on a
//! [`Reader`] of the caller's own.
//!
//! ```text
//!  Store ── journal.db  writer thread   NORMAL: screen and drafts · FULL: ops, claims, settles, resolutions
//!        ├─ mirror.db   writer thread   NORMAL: pages and checkpoints · FULL: acknowledgements
//!        └─ search.db   feeding thread  after the others' commits; thrown away and made again at will
//!  Reader   one connection, the three files attached, one `BEGIN`: search, journal, mirror, in that order
//! ```
//!
//! Opening (`prepare`) makes what is missing, migrates what is old (`schema`), reads a damaged journal row by row into a new
//! one (`salvage`) and sets aside what can be made again; `backup` copies the journal and puts a copy in its place.
//!
//! An edit exists if and only if it is in the journal; what is shown is the mirror's base with the journal's pending ops
//! applied. The order of reading matters: journal before mirror, or an acknowledgement between the two shows an old base
//! without its op; search before both, or a row that moved looks unindexed and unread.

mod backup;
pub mod error;
mod files;
mod journal;
mod keys;
mod mirror;
mod open;
mod prepare;
pub mod reader;
mod salvage;
mod schema;
mod search;
mod writer;

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use serde_json::Value;

pub use backup::{BackupFile, Restored, hold_alone};
pub use error::StoreError;
pub use files::Lock;
pub use journal::mend::Mended;
pub use open::Store;
pub use reader::Reader;
pub use salvage::{Salvage, Saved};

use crate::model::{
    activity::Activity,
    conflict::Take,
    ids::{CollectionKey, OpId, RecordId, RecordKey, Revision, Seq, SessionName},
    op::{NewOp, OpState, Precondition},
    session::UiCommit,
    time::Timestamp,
    wire::{RemoteChange, RemoteRecord, Stamps},
};
pub use crate::model::{
    outcome::{Decided, Outcome},
    vault::{VaultEntry, VaultReason},
};

/// The answer of a writer thread: await it, or [`Reply::wait`] for it outside of async code.
#[derive(Debug)]
pub struct Reply<T>(tokio::sync::oneshot::Receiver<Result<T, StoreError>>);

impl<T> Reply<T> {
    fn ready(answer: Result<T, StoreError>) -> Self {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let _ = sender.send(answer);
        Self(receiver)
    }

    /// Blocks the calling thread until the answer is there.
    pub fn wait(self) -> Result<T, StoreError> {
        self.0.blocking_recv().unwrap_or(Err(StoreError::Closed))
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|got| got.unwrap_or(Err(StoreError::Closed)))
    }
}

/// How to open a data dir.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    ReadWrite,
    /// Copies the journal and its WAL to a private temporary directory and reads the copy; nothing in the data dir is
    /// touched. Every writing method answers [`StoreError::ReadOnly`].
    ReadOnly,
}

/// A queued edit: the op, and what travels with it in the same transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueEdit {
    pub op: NewOp,
    /// The draft it came from, removed with it; one in which somebody typed since stays. A draft of an op puts the edit in
    /// that op's place.
    pub draft: Option<crate::model::draft::DraftText>,
    pub session: Option<(SessionName, UiCommit)>,
    pub activity: Option<Activity>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queued {
    pub seq: Seq,
    pub op_id: OpId,
}

/// Takes an op for sending, write-ahead. Refused (`None` answered) unless `head` is still the oldest pending op of its
/// record, in `queued` or `in_doubt`, and every one of `absorbs` is untouched and directly behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    pub head: Seq,
    /// Ops coalesced into the head: they become `superseded` in the same transaction, and the head takes over
    /// `kind`/`sent_document` of the whole chain.
    pub absorbs: Vec<Seq>,
    /// The caller knows the op as it is where it is still made on this revision, and what is sent is its own document;
    /// it need not be read a second time then. `None`: it wants the whole op.
    pub known: Option<Known>,
    pub kind: crate::model::op::OpKind,
    pub sent_document: Option<Value>,
    pub precondition: Precondition,
    pub request_hash: String,
    pub at: Timestamp,
}

/// By what the row of an op is known again.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    pub base_revision: Option<Revision>,
}

/// The recorded outcome of an op.
#[derive(Debug, Clone, PartialEq)]
pub struct Settle {
    pub seq: Seq,
    /// Ops directly behind it that were judged together with it: they become `superseded`, and it takes over what they
    /// say, as by [`Claim::absorbs`], before the outcome is recorded. Refused where they are not untouched any more.
    pub joins: Vec<Seq>,
    pub outcome: Outcome,
    pub at: Timestamp,
}

/// A page of a pull: rows, tombstones and the checkpoint that covers exactly them, in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct PullPage {
    pub collection: CollectionKey,
    pub changes: Vec<RemoteChange>,
    /// `None` leaves the checkpoint as it is.
    pub checkpoint: Option<String>,
    /// Marks every upserted row as seen by this sweep (see [`Store::finish_sweep`]).
    pub sweep: Option<i64>,
    /// How records whose stamp went back are told and treated; `None`: like any other.
    pub stamps: Option<Stamps>,
    pub at: Timestamp,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Applied {
    pub inserted: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub deleted: u64,
    /// Records of the page that changed (at most 1,000 are named; `None`: more than that).
    pub changed: Option<Vec<RecordId>>,
    /// Gone there, and still here because they have pending ops: see [`Store::bury_vanished`].
    pub protected: Vec<RecordId>,
    /// Left out: their stamp went back.
    pub held: Vec<RemoteRecord>,
    /// Written although their stamp went back.
    pub set_back: u64,
}

/// What a complete sweep did not see.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Missing {
    pub missing: u64,
    /// Rows of the collection, seen and missing.
    pub rows: u64,
    /// The first 25 missing ids, to show.
    pub sample: Vec<RecordId>,
    /// Another sweep began since, or the beginning of this one was not noted: what is missing is not known.
    pub is_unproved: bool,
}

/// A new base after an acknowledgement. Written durably (`FULL`) before the op is settled.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBase {
    pub record: RecordKey,
    /// `None`: the record is gone on the server.
    pub document: Option<Value>,
    pub revision: Option<Revision>,
    /// Somebody else's doing that was found there: the copy of a record that is gone is kept in the vault.
    pub found: bool,
    pub at: Timestamp,
}

/// The user's answer to a conflict, with the id of the op it makes where it makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolve {
    pub conflict: i64,
    pub take: Take,
    /// The document to send for `Mine`, `Base` and `Merged` (`None`: delete).
    pub document: Option<Value>,
    /// [`Conflict::detected_at`](crate::model::conflict::Conflict) of what the user looked at: refused where the server's
    /// version is another by now. `None`: whatever it is.
    pub seen: Option<Timestamp>,
    pub op_id: OpId,
    pub at: Timestamp,
    pub author: String,
}

/// What was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// An edit that was not sent: it is out of the outbox, the vault keeps it.
    Edit(Seq, RecordKey),
    /// An edit that may have been sent: its reverse is queued as this op.
    Reversed { seq: Seq, by: Seq },
    /// A step of the user's on the queue (`hold`, `edit`, `split` …).
    Step { what: String, seqs: Vec<Seq> },
    /// Nothing was taken back: the newest edit is on the server. `before`: what would be taken back instead.
    Sent { seq: Seq, before: Option<String> },
    /// The newest step cannot be taken back any more, and is not tried again.
    TooLate { what: String, seqs: Vec<Seq>, why: String },
}

/// `op 7`, `ops 7, 9`, `312 ops (600 to 911)`.
pub(crate) fn numbers(seqs: &[Seq]) -> String {
    match seqs {
        [only] => format!("op {only}"),
        [first, .., last] if seqs.len() > 4 => format!("{} ops ({first} to {last})", seqs.len()),
        few => format!("ops {}", few.iter().map(Seq::to_string).collect::<Vec<_>>().join(", ")),
    }
}

impl Undone {
    /// A sentence without its stop. An error for what came too late.
    pub fn in_words(&self) -> Result<String, StoreError> {
        match self {
            Self::Edit(seq, record) => Ok(format!("Took back op {seq} of {record}")),
            Self::Reversed { seq, by } => Ok(format!("Op {seq} may have been sent: its reverse is queued as op {by}")),
            Self::Step { what, seqs } => Ok(format!("Took back: {what} of {}", numbers(seqs))),
            Self::Sent { seq, before: Some(before) } => {
                Ok(format!("Op {seq} is on the server already; once more takes back {before}"))
            }
            Self::Sent { seq, before: None } => Ok(format!("Op {seq} is on the server already; nothing else waits")),
            Self::TooLate { what, seqs, why } => {
                Err(StoreError::Refused(format!("too late to take back: {what} of {}: {why}", numbers(seqs))))
            }
        }
    }
}

/// What taking a resolution back came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unresolved {
    /// The conflict is open again, as it was.
    Open,
    /// The resolution may have been sent: this edit reverses it.
    Reversed(Seq),
}

/// Names the states in which an op of `--json` `outbox.pending` is counted; here so that SQL and Rust agree.
pub(crate) fn pending_states() -> impl Iterator<Item = &'static str> {
    OpState::ALL.into_iter().filter(|state| state.is_pending()).map(OpState::word)
}

/// A number of bytes as SQL takes it.
fn sql_bytes(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A number of rows as SQL takes it.
fn sql(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
