//! SQLite: the journal (what exists only here), the mirror (copies) and the search index (derived).
//!
//! Writers are one thread and one connection per file and process, driven by [`Store`]; readings are synchronous on a
//! [`Reader`] of the caller's own.

mod check;
pub mod error;
pub mod reader;

use std::{
    collections::HashSet,
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use serde_json::Value;

pub use check::{FileCheck, check_files};
pub use error::StoreError;
pub use reader::Reader;

use crate::model::{
    activity::Activity,
    conflict::Take,
    ids::{CollectionKey, OpId, RecordId, RecordKey, Revision, Seq, SessionName},
    op::{NewOp, OpCommand, OpError, OpState, Precondition},
    session::{SavedSession, UiCommit},
    sync_status::{SourceStatus, SyncRequest},
    time::{Clock, Timestamp},
    wire::RemoteChange,
};

/// The answer of a writer thread: await it, or [`Reply::wait`] for it outside of async code.
#[derive(Debug)]
pub struct Reply<T>(tokio::sync::oneshot::Receiver<Result<T, StoreError>>);

impl<T> Reply<T> {
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

/// A handle to the writer threads of one data dir; cheap to clone. The threads end when the last handle is dropped.
#[derive(Clone)]
pub struct Store {/* data dir, senders to the writer threads */}

/// A queued edit: the op, and what travels with it in the same transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueEdit {
    pub op: NewOp,
    /// The draft it came from, removed with it.
    pub draft: Option<crate::model::draft::DraftKey>,
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
    pub kind: crate::model::op::OpKind,
    pub sent_document: Option<Value>,
    pub precondition: Precondition,
    pub request_hash: String,
    pub at: Timestamp,
}

/// The recorded outcome of a claimed op.
#[derive(Debug, Clone, PartialEq)]
pub struct Settle {
    pub seq: Seq,
    pub outcome: Outcome,
    pub at: Timestamp,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The new base is already durable in the mirror.
    Acked,
    /// Back to `queued`; `counts` false gives the attempt back (nothing was sent).
    Queued {
        error: Option<OpError>,
        next_attempt_at: Option<Timestamp>,
        counts: bool,
    },
    InDoubt {
        error: OpError,
        next_attempt_at: Option<Timestamp>,
    },
    Auth {
        error: OpError,
    },
    Rejected {
        error: OpError,
    },
    /// Keeps the conflict row; the record's later ops become `blocked`.
    Conflict {
        theirs: Option<Value>,
        theirs_revision: Option<Revision>,
        base: Option<Value>,
    },
    /// The op did not fit any more and a merged op takes its place on the new base: the old one becomes `superseded`,
    /// the new one stands at its place in the record's order, later ops stay behind it.
    Rebased {
        op: Box<NewOp>,
    },
    /// Coalesced to nothing (create + delete, both unsent).
    Discarded,
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
    /// Tombstones of these records are not applied (they have pending ops or a draft); they are answered in
    /// [`Applied::protected`].
    pub protected: HashSet<RecordId>,
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
    pub protected: Vec<RecordId>,
}

/// What a complete sweep did not see.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Missing {
    pub missing: u64,
    /// Rows of the collection, seen and missing.
    pub rows: u64,
    /// The first 25 missing ids, to show.
    pub sample: Vec<RecordId>,
}

/// A new base after an acknowledgement. Written durably (`FULL`) before the op is settled.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBase {
    pub record: RecordKey,
    /// `None`: the record is gone on the server.
    pub document: Option<Value>,
    pub revision: Option<Revision>,
    pub at: Timestamp,
}

/// The user's answer to a conflict, with the id of the op it makes where it makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolve {
    pub conflict: i64,
    pub take: Take,
    /// The document to send for `Mine`, `Base` and `Merged` (`None`: delete).
    pub document: Option<Value>,
    pub op_id: OpId,
    pub at: Timestamp,
    pub author: String,
}

impl Store {
    /// Opens or creates the files of a data dir (0700/0600), copying before a migration. `clock` stamps what the store
    /// itself notes (generations, backups).
    pub fn open(dir: &Path, mode: OpenMode, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let _ = (dir, mode, clock);
        todo!()
    }

    pub fn dir(&self) -> PathBuf {
        todo!()
    }

    /// A reader of its own connections (journal first, mirror and search attached).
    pub fn reader(&self) -> Result<Reader, StoreError> {
        todo!()
    }

    // --- journal: screen state -----------------------------------------------------------------------------------

    /// The commit before a paint (`NORMAL`). Rows are upserted; an older generation of another writer never wins.
    pub fn commit_ui(&self, session: &SessionName, commit: UiCommit) -> Reply<()> {
        let _ = (session, commit);
        todo!()
    }

    /// Opens a session for writing: what was saved, and its generation raised. `fresh` ignores the saved slices.
    pub fn begin_session(&self, session: &SessionName, fresh: bool) -> Reply<SavedSession> {
        let _ = (session, fresh);
        todo!()
    }

    /// Says goodbye: the next start knows the run ended by itself. Checkpoints the WAL.
    pub fn end_session(&self, session: &SessionName) -> Reply<()> {
        let _ = session;
        todo!()
    }

    pub fn delete_session(&self, session: &SessionName) -> Reply<bool> {
        let _ = session;
        todo!()
    }

    pub fn log(&self, activity: Vec<Activity>) -> Reply<()> {
        let _ = activity;
        todo!()
    }

    // --- journal: ops (all `FULL`, group-committed) --------------------------------------------------------------

    /// Puts an edit into the outbox. The same `op_id` again answers the op that is there.
    pub fn queue(&self, edit: QueueEdit) -> Reply<Queued> {
        let _ = edit;
        todo!()
    }

    /// Many edits in transactions of at most 100 rows (`import`).
    pub fn queue_many(&self, edits: Vec<NewOp>) -> Reply<Vec<Queued>> {
        let _ = edits;
        todo!()
    }

    /// Hold, release, retry, discard. Answers the ops it changed; an op the command does not fit is an error that says
    /// why and changes nothing.
    pub fn command(&self, seqs: Vec<Seq>, command: OpCommand, at: Timestamp) -> Reply<Vec<Seq>> {
        let _ = (seqs, command, at);
        todo!()
    }

    /// Takes back the newest pending edit: an untouched op is discarded (vault keeps it), one that was attempted gets
    /// an inverse edit queued behind it under `op_id`. `None`: nothing to undo.
    pub fn undo(&self, op_id: OpId, at: Timestamp) -> Reply<Option<Seq>> {
        let _ = (op_id, at);
        todo!()
    }

    pub fn claim(&self, claim: Claim) -> Reply<Option<crate::model::op::Op>> {
        let _ = claim;
        todo!()
    }

    pub fn settle(&self, settle: Settle) -> Reply<()> {
        let _ = settle;
        todo!()
    }

    /// On becoming leader: every `in_flight` of these sources becomes `in_doubt`.
    pub fn recover_in_flight(&self, at: Timestamp) -> Reply<u64> {
        let _ = at;
        todo!()
    }

    /// `auth` ops of a source become `queued` again (new credentials).
    pub fn release_auth(&self, source: crate::model::ids::SourceName) -> Reply<u64> {
        let _ = source;
        todo!()
    }

    /// Resolves a conflict: the op is superseded (or dropped for `Theirs`), the loser goes to the vault, a new op on the
    /// remote revision takes its place, blocked ops behind it are released. Answers the new op's number.
    pub fn resolve(&self, resolve: Resolve) -> Reply<Option<Seq>> {
        let _ = resolve;
        todo!()
    }

    /// Keeps a conflict for a record whose server copy is gone while edits are pending (a pull, not an answer).
    pub fn conflict_from_pull(
        &self,
        record: RecordKey,
        theirs: Option<Value>,
        revision: Option<Revision>,
        at: Timestamp,
    ) -> Reply<()> {
        let _ = (record, theirs, revision, at);
        todo!()
    }

    /// A wish to the sync leader, wherever it runs.
    pub fn request(&self, request: SyncRequest, at: Timestamp) -> Reply<()> {
        let _ = (request, at);
        todo!()
    }

    /// Takes all waiting wishes (leader only), oldest first.
    pub fn take_requests(&self) -> Reply<Vec<SyncRequest>> {
        todo!()
    }

    /// Removes settled ops, resolved conflicts, vault entries and activity older than `before`.
    pub fn prune(&self, before: Timestamp) -> Reply<()> {
        let _ = before;
        todo!()
    }

    // --- mirror ----------------------------------------------------------------------------------------------------

    /// One page with its checkpoint (`NORMAL`). Idempotent by revision, else by fingerprint of the text.
    pub fn apply_page(&self, page: PullPage) -> Reply<Applied> {
        let _ = page;
        todo!()
    }

    /// What the sweep did not see. Deletes nothing.
    pub fn missing(&self, collection: CollectionKey, sweep: i64) -> Reply<Missing> {
        let _ = (collection, sweep);
        todo!()
    }

    /// Deletes what the sweep did not see, except `protected` (answered); every deleted body goes to the vault first.
    pub fn finish_sweep(
        &self,
        collection: CollectionKey,
        sweep: i64,
        protected: HashSet<RecordId>,
        at: Timestamp,
    ) -> Reply<Applied> {
        let _ = (collection, sweep, protected, at);
        todo!()
    }

    /// Acknowledgements (`FULL`, grouped): the reply comes when they are durable.
    pub fn acknowledge(&self, bases: Vec<NewBase>) -> Reply<()> {
        let _ = bases;
        todo!()
    }

    /// Publishes the leader's status rows (at most 2 a second).
    pub fn publish_status(&self, status: Vec<SourceStatus>) -> Reply<()> {
        let _ = status;
        todo!()
    }

    /// Forgets a collection's rows and checkpoint, so that it is pulled again.
    pub fn forget(&self, collection: CollectionKey) -> Reply<()> {
        let _ = collection;
        todo!()
    }

    /// Whether new rows wait for the search index, and a nudge to feed it (on idle).
    pub fn feed_search(&self) -> Reply<bool> {
        todo!()
    }
}

/// Names the states in which an op of `--json` `outbox.pending` is counted; here so that SQL and Rust agree.
pub(crate) fn pending_states() -> impl Iterator<Item = &'static str> {
    OpState::ALL.into_iter().filter(|state| state.is_pending()).map(OpState::word)
}
