//! An op: one committed edit on its way to the server.
//!
//! ```text
//!            hold                 claim                  answer: applied
//!   held <---------> queued ----------------> in_flight ---------------> acked
//!                    ^ |  ^                    |  |  |
//!          solved    | |  | not applied        |  |  +-- refused for good -> rejected
//!   blocked ---------+ |  +--------------------+  +----- precondition ----> conflict
//!      ^               |                       | lost answer, crash
//!      +-- predecessor |                       v
//!          in trouble  +-- coalesced --> superseded    in_doubt -- repeat --> acked | conflict | queued
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{
    edit::Change,
    ids::{OpId, RecordKey, Revision, Seq},
    time::Timestamp,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpKind {
    Create,
    Update,
    Delete,
}

impl OpKind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// Where an op stands. The words are the contract of `--json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpState {
    Held,
    Queued,
    Blocked,
    InFlight,
    InDoubt,
    Auth,
    Conflict,
    Rejected,
    Acked,
    Superseded,
    Discarded,
}

impl OpState {
    pub const ALL: [OpState; 11] = [
        Self::Held,
        Self::Queued,
        Self::Blocked,
        Self::InFlight,
        Self::InDoubt,
        Self::Auth,
        Self::Conflict,
        Self::Rejected,
        Self::Acked,
        Self::Superseded,
        Self::Discarded,
    ];

    /// Pending ops are part of what the user sees; the three terminal states are history.
    pub fn is_pending(self) -> bool {
        !matches!(self, Self::Acked | Self::Superseded | Self::Discarded)
    }

    /// True where bytes may be on the wire or may have been: the op may not be changed or withdrawn.
    pub fn may_be_applied(self) -> bool {
        matches!(self, Self::InFlight | Self::InDoubt)
    }

    /// The word of `--json` and of the database (`in_flight`).
    pub fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Queued => "queued",
            Self::Blocked => "blocked",
            Self::InFlight => "in_flight",
            Self::InDoubt => "in_doubt",
            Self::Auth => "auth",
            Self::Conflict => "conflict",
            Self::Rejected => "rejected",
            Self::Acked => "acked",
            Self::Superseded => "superseded",
            Self::Discarded => "discarded",
        }
    }

    /// The word of the screen (`sending`).
    pub fn label(self) -> &'static str {
        match self {
            Self::InFlight => "sending",
            Self::InDoubt => "in doubt",
            Self::Acked => "synced",
            other => other.word(),
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// The mark of the outbox list (page 5).
    pub fn symbol(self) -> char {
        match self {
            Self::Held => 'h',
            Self::Queued => '.',
            Self::Blocked => 'b',
            Self::InFlight => '>',
            Self::InDoubt => '?',
            Self::Auth => 'a',
            Self::Conflict => '!',
            Self::Rejected => 'x',
            Self::Acked => '=',
            Self::Superseded => 'm',
            Self::Discarded => 'd',
        }
    }
}

/// What makes a write conditional, exactly as it was committed with the claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precondition {
    /// The record must not exist (`if-match: null_etag`, `If-None-Match: *`).
    Absent,
    /// The record must have this revision (`if-match: <etag>`).
    Revision(Revision),
}

/// The last failure of an op, in the server's words where it spoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpError {
    pub at: Timestamp,
    /// HTTP status, where there was an answer.
    pub status: Option<u16>,
    pub message: String,
}

/// What is added to the words where the trouble is the op's own.
const OWN: &str = "; other changes go through";

impl OpError {
    /// The same, of an op that fails while others of its source do not.
    pub fn own(self) -> Self {
        Self { message: format!("{}{OWN}", self.message), ..self }
    }

    /// The words as they were given, and whether only this op meets them.
    pub fn words(&self) -> (&str, bool) {
        self.message.strip_suffix(OWN).map_or((self.message.as_str(), false), |words| (words, true))
    }
}

/// What an original that got no answer may still find: the state its precondition stands for. Until then nothing may
/// bring that state back.
#[derive(Debug, Clone, PartialEq)]
pub struct LateOriginal {
    pub record: RecordKey,
    pub precondition: Precondition,
    /// The document the precondition stands for; `None`: no record.
    pub content: Option<Value>,
    pub until: Timestamp,
}

/// An op as the journal holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Op {
    pub seq: Seq,
    pub op_id: OpId,
    pub record: RecordKey,
    pub kind: OpKind,
    pub state: OpState,
    pub changes: Vec<Change>,
    /// The intended document; `None` for a delete.
    pub document: Option<Value>,
    /// The document the edit was made on (the record's local value then); `None` for a create.
    pub base: Option<Value>,
    /// The revision of the mirror's base when the edit was made, where one was known. Of a create: there was a record already
    /// when it was sent first, or an earlier edit's request to make it might still arrive, so that what is there later proves
    /// nothing.
    pub base_revision: Option<Revision>,
    /// The previous pending op of the record when this one was made.
    pub after: Option<Seq>,
    /// How often it was claimed. An op with attempts is immutable.
    pub attempts: u32,
    pub created_at: Timestamp,
    pub next_attempt_at: Option<Timestamp>,
    pub sent_at: Option<Timestamp>,
    pub settled_at: Option<Timestamp>,
    /// Hex SHA-256 over method, path and body of the claimed request.
    pub request_hash: Option<String>,
    pub precondition: Option<Precondition>,
    /// The document actually sent (the merged one where the claim coalesced several ops).
    pub sent_document: Option<Value>,
    pub last_error: Option<OpError>,
    /// Who made it: the principal of the source's credentials, or empty.
    pub author: String,
    /// True once the op was in doubt; shown with a conflict that follows.
    pub was_in_doubt: bool,
}

/// A pending op older than this is called old; it is never dropped.
pub const OLD: Duration = Duration::from_secs(24 * 3_600);

impl Op {
    /// True where it waits for longer than [`OLD`].
    pub fn is_old(&self, now: Timestamp) -> bool {
        self.state.is_pending() && now.since(self.created_at) > OLD
    }

    /// As [`OpState::may_be_applied`], also while it waits for something else: credentials, another account.
    pub fn may_be_applied(&self) -> bool {
        let waits = matches!(self.state, OpState::Auth | OpState::Queued | OpState::Held | OpState::Blocked);
        self.state.may_be_applied() || (waits && self.was_in_doubt && self.attempts > 0)
    }

    /// True for ops a claim may merge with their neighbours: never attempted, waiting.
    pub fn is_untouched(&self) -> bool {
        self.attempts == 0 && self.state == OpState::Queued
    }
}

/// What a claim found in the row of its op, and left there.
#[derive(Debug, Clone, PartialEq)]
pub enum Claimed {
    /// What its reader knows, but for this.
    AsRead { attempts: u32, sent_at: Timestamp, base_revision: Option<Revision> },
    /// Something else, or other ops became part of it: the whole op as it is now.
    Anew(Box<Op>),
}

/// An edit as the user saved it, before the journal gave it a number. Queueing the same `op_id` twice is one op.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewOp {
    pub op_id: OpId,
    pub record: RecordKey,
    pub kind: OpKind,
    pub changes: Vec<Change>,
    pub document: Option<Value>,
    pub base: Option<Value>,
    pub base_revision: Option<Revision>,
    pub created_at: Timestamp,
    pub author: String,
}

/// What the user may do to an op. Each leaves an activity row; `Discard` keeps the op's document in the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpCommand {
    Hold,
    Release,
    /// Clears the wait of a queued or rejected op: it may go at once.
    Retry,
    /// Clears every wait, a hold and a refusal too, and goes before all others, with the record's ops before it.
    Send,
    /// Takes the op and the ops of the record after it out of the outbox. Refused while it may be applied.
    Discard,
}

impl OpCommand {
    /// The verb of the command line and of the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Retry => "retry",
            Self::Send => "send",
            Self::Discard => "discard",
        }
    }
}

/// How many ops are in each state. `pending()` is the header's "7 queued".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxCounts {
    pub queued: u64,
    pub held: u64,
    pub blocked: u64,
    pub in_flight: u64,
    pub in_doubt: u64,
    pub auth: u64,
    pub conflict: u64,
    pub rejected: u64,
}

impl OutboxCounts {
    pub fn pending(&self) -> u64 {
        self.queued
            + self.held
            + self.blocked
            + self.in_flight
            + self.in_doubt
            + self.auth
            + self.conflict
            + self.rejected
    }
}
