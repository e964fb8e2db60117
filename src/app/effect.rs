//! What the shell must do for the app. Plain data: no closures, no senders.

use crate::{
    merge::Lesson,
    model::{
        conflict::Take,
        draft::{DraftKey, DraftText},
        ids::{CollectionKey, OpId, RecordId, RecordKey, Seq, SessionName},
        json::Pointer,
        op::{NewOp, OpCommand},
        query::{Anchor, ListQuery},
        session::{MomentKind, Slice},
        sync_status::SyncRequest,
        time::Timestamp,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Names one load; its answer carries it back, so that late answers to old questions can be told and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Load {
        ticket: Ticket,
        need: Need,
    },
    /// Queue an edit durably; answered by `Queued` or `QueueFailed`. The draft goes in the same transaction.
    Queue {
        op: Box<NewOp>,
        draft: Option<DraftText>,
    },
    /// Paint every cell anew: something else wrote to the terminal.
    Repaint,
    Outbox {
        seqs: Vec<Seq>,
        command: OpCommand,
    },
    /// Take places out of an op into one of their own, held.
    Split {
        seq: Seq,
        places: Vec<Pointer>,
        op_ids: [OpId; 2],
    },
    /// Take the newest pending edit or step on the queue back.
    Undo {
        op_id: OpId,
    },
    Resolve {
        conflict: i64,
        take: Take,
        document: Option<Value>,
        /// When what was looked at was found.
        seen: Timestamp,
        op_id: OpId,
    },
    /// Put the rule into the configuration; answered by `RuleKept` or `Refused`.
    KeepRule(Box<Rule>),
    /// Give the answers that a new rule gives, one op each; `text` says what the rule is.
    SettleAll {
        answers: Vec<Answer>,
        text: String,
    },
    Sync(SyncRequest),
    /// Put text on the clipboard (OSC 52), after a key press of the user's only.
    Copy {
        text: String,
        what: String,
    },
    /// Run `$VISUAL`/`$EDITOR` on a private file with this text; answered by `EditorReturned`.
    OpenEditor {
        subject: Subject,
        text: String,
        suffix: &'static str,
    },
    /// What an editor's file held is in the app's own state (true: the file goes as soon as that is committed), or has no
    /// place there (false: the file stays, and the user was told).
    EditedFile {
        file: String,
        taken: bool,
    },
    Demo(DemoCommand),
    /// Show another session from now on, made where there is none of the name.
    SwitchSession {
        name: SessionName,
    },
    RenameSession {
        from: SessionName,
        to: SessionName,
    },
    CopySession {
        from: SessionName,
        to: SessionName,
    },
    DeleteSession {
        name: SessionName,
    },
    /// Keep a screen that is about to be replaced as an earlier moment.
    KeepMoment {
        kind: MomentKind,
        slices: Vec<Slice>,
    },
    Suspend,
    Quit,
}

/// Whose text `$EDITOR` has. Written beside its file, so that a later start knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    Draft(DraftKey),
    /// What a conflict's record will be.
    Merge(i64),
}

/// A rule for a place of a collection, as it stands in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub collection: CollectionKey,
    pub lesson: Lesson,
}

/// What becomes of one conflict.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub conflict: i64,
    pub take: Take,
    pub document: Option<Value>,
    /// When what the rule was tried on was found.
    pub seen: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemoCommand {
    CutNetwork,
    RestoreNetwork,
    /// Another client changes a few records on the server, some of them ones with pending edits here.
    SomebodyEdits,
}

/// A question about local data; answered within a few milliseconds, off the UI loop.
#[derive(Debug, Clone, PartialEq)]
pub enum Need {
    Window {
        query: ListQuery,
        anchor: Anchor,
        limit: usize,
    },
    Rank {
        query: ListQuery,
        id: RecordId,
    },
    /// A record with all that is kept of it.
    Record(RecordKey),
    /// The same without the texts of large drafts, which may be longer than the record.
    Shown(RecordKey),
    Overview,
    /// The first `limit` pending ops from `after`, and `history` settled ones.
    Outbox {
        after: Option<Seq>,
        limit: usize,
        history: usize,
    },
    Op(Seq),
    /// What will be sent for an op.
    Plan(Seq),
    Conflicts,
    /// The newest `limit` kept versions whose record's name holds `text`.
    Vault {
        text: String,
        limit: usize,
    },
    KeptVersion(i64),
    /// The `limit` drafts begun last, each beside its record.
    Drafts {
        limit: usize,
    },
    Activity {
        before: Option<i64>,
        limit: usize,
    },
    Sessions,
    /// The earlier moments of a session, newest first.
    Moments(SessionName),
}
