//! What became of an op: decided by `sync`, recorded by `store`.

use serde_json::Value;

use crate::model::{
    conflict::Lost,
    ids::{Revision, Seq},
    op::{NewOp, OpError},
    time::Timestamp,
};

/// The outcome of an op. `Acked`, `Conflict`, `Rebased`, `Decided` and `Discarded` may also meet an op that was never
/// claimed: comparing before the claim can settle it without a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Applied; the new base is already durable in the mirror.
    Acked,
    /// Back to `queued`; `counts` false gives the attempt back: nothing was sent.
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
    /// Keeps the conflict; the record's later ops become `blocked`.
    Conflict {
        theirs: Option<Value>,
        theirs_revision: Option<Revision>,
        base: Option<Value>,
        /// Why it asks, where the versions alone do not tell.
        note: Option<OpError>,
    },
    /// Fits the server's copy: this op takes its place in the record's order, on the new base, and the op is
    /// `superseded`. Later ops follow, up to the first that changes what the server changed: that one is judged by itself.
    Rebased {
        op: Box<NewOp>,
    },
    Decided(Box<Decided>),
    /// The op and those behind it, in order, write nothing together (create + delete, never sent). Refused where the
    /// record's chain does not begin with exactly them, untouched, any more.
    Discarded {
        with: Vec<Seq>,
    },
}

/// A field rule or the collection's policy gave one side right: the op gives way to `op`, or to the server's copy, on
/// which the later ops stand then, as with [`Outcome::Rebased`].
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// Takes the op's place; `None`: the server's copy stays as it is.
    pub op: Option<Box<NewOp>>,
    /// The op's version as a record of its own.
    pub copy: Option<Box<NewOp>>,
    pub theirs: Option<Value>,
    pub theirs_revision: Option<Revision>,
    /// Goes to the vault.
    pub lost: Vec<Lost>,
}
