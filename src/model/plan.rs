//! What will be sent: the requests of the outbox in the order they will go, with what they wait for.
//!
//! The sender carries out the same values; a plan is made of them, never told beside them.

use serde::{Deserialize, Serialize};

use crate::model::{
    display,
    ids::{RecordKey, Seq},
    json::Pointer,
    op::OpKind,
    time::Timestamp,
    wire::WireRequest,
};

/// One step of a record's ops: at most one write, and the reading before it where its precondition is not known yet.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanStep {
    pub record: RecordKey,
    /// Oldest first. More than one become one write.
    pub ops: Vec<Seq>,
    pub act: PlanAct,
    /// `None`: it goes as soon as the source can be reached and a slot is free.
    pub waits: Option<Wait>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum PlanAct {
    /// Made and deleted again before anything was sent: nothing is sent.
    Nothing,
    /// The server has it already: the op is settled without a write.
    Done,
    /// A rule or a policy leaves it to the server's version: the op is settled without a write.
    Yields,
    Write(Box<PlannedWrite>),
    /// The server moved too, at these places: a person is asked, nothing is sent.
    Conflict {
        places: Vec<Pointer>,
    },
    /// Cannot be sent as configured, in words.
    Impossible {
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct PlannedWrite {
    pub kind: OpKind,
    /// The record is read first, to compare and to learn its revision.
    pub lookup: Option<WireRequest>,
    /// Where the precondition is not known yet its value is [`UNKNOWN_REVISION`].
    pub request: WireRequest,
    pub precondition: PreconditionFrom,
    /// The server moved at other places: this is the merge of both.
    pub merged: bool,
    /// Sent before, no answer came: the identical request again.
    pub repeat: bool,
}

/// Where the revision of a precondition comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PreconditionFrom {
    /// It is known, the request is complete.
    Known,
    /// From the reading just before.
    Lookup,
    /// From the answer to this op's write.
    Answer(Seq),
}

/// Stands in a planned request for a revision only the server can tell.
pub const UNKNOWN_REVISION: &str = "$REVISION";

/// Why a step does not go at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// An earlier step of the record goes first.
    After(Seq),
    Until {
        at: Timestamp,
        why: Option<String>,
    },
    OnTheWire,
    Held,
    Credentials,
    Conflict,
    Rejected {
        why: Option<String>,
    },
}

impl Wait {
    /// A word for `--json`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::After(_) => "after",
            Self::Until { .. } => "until",
            Self::OnTheWire => "in_flight",
            Self::Held => "held",
            Self::Credentials => "auth",
            Self::Conflict => "conflict",
            Self::Rejected { .. } => "rejected",
        }
    }

    /// True where only a person can make it go.
    pub fn needs_a_person(&self) -> bool {
        matches!(self, Self::Held | Self::Credentials | Self::Conflict | Self::Rejected { .. })
    }
}

impl PlanStep {
    pub fn write(&self) -> Option<&PlannedWrite> {
        match &self.act {
            PlanAct::Write(write) => Some(write),
            _ => None,
        }
    }

    /// Shell commands that do what is planned, with the credentials taken from the environment; `None` where nothing is
    /// sent.
    pub fn as_curl(&self) -> Option<String> {
        let write = self.write()?;
        let numbers: Vec<String> = self.ops.iter().map(Seq::to_string).collect();
        let mut lines = vec![format!("# {} {} (op {})", write.kind.word(), one_line(&self.record), numbers.join(", "))];
        if let Some(token) = &write.request.token {
            lines.push(format!("# takes the token from ${}", token.variable));
        }
        match (write.precondition, &write.lookup) {
            (PreconditionFrom::Answer(seq), _) => {
                lines.push(format!("# set REVISION to the `etag` of the answer to op {seq} first"));
            }
            (_, Some(lookup)) => lines.push(lookup.as_curl_for_revision()),
            (_, None) => {}
        }
        lines.push(write.request.as_curl());
        Some(lines.join("\n"))
    }

    /// Bytes of the body.
    pub fn bytes(&self) -> usize {
        self.write().and_then(|write| write.request.body.as_ref()).map_or(0, String::len)
    }

    /// What is worth knowing besides the request, one sentence each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.ops.len() > 1 {
            let numbers: Vec<String> = self.ops.iter().map(Seq::to_string).collect();
            notes.push(format!("ops {} become one write", numbers.join(", ")));
        }
        match &self.act {
            PlanAct::Nothing => notes.push("made and deleted again here: nothing is sent".to_owned()),
            PlanAct::Done => notes.push("the server has it already: nothing is sent".to_owned()),
            PlanAct::Yields => notes.push("your rules leave it to the server's version: nothing is sent".to_owned()),
            PlanAct::Impossible { reason } => notes.push(reason.clone()),
            PlanAct::Conflict { places } => notes.push(conflict(places, self.waits == Some(Wait::Conflict))),
            PlanAct::Write(write) => notes.extend(write.notes()),
        }
        notes
    }
}

impl PlannedWrite {
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.repeat {
            notes.push("sent before, no answer came: the identical request again".to_owned());
        }
        if self.merged {
            notes.push("the server's copy moved elsewhere: this is the merge of both".to_owned());
        }
        match self.precondition {
            PreconditionFrom::Known => {}
            PreconditionFrom::Lookup => {
                notes.push(
                    "the revision is looked up first; if the record moved, it is merged or you are asked".to_owned(),
                );
            }
            PreconditionFrom::Answer(seq) => {
                notes.push(format!("the revision comes with the answer to op {seq}"));
            }
        }
        notes
    }
}

/// A comment must not end early: ids may hold anything.
fn one_line(record: &RecordKey) -> String {
    display::line(&record.to_string()).into_owned()
}

/// What a conflict that is there, or is foreseen, is about.
fn conflict(places: &[Pointer], is_there: bool) -> String {
    let word = if is_there { "in conflict" } else { "conflict predicted" };
    let then = if is_there { "it waits for your decision" } else { "you will be asked" };
    if places.is_empty() || places.iter().any(Pointer::is_root) {
        return format!("{word}: the server's copy moved; {then}");
    }
    let places: Vec<String> = places.iter().map(Pointer::to_string).collect();
    format!("{word} at {}: the server's copy moved there too; {then}", places.join(", "))
}
