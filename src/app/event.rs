//! What happened: every input, every answer to an effect, every change of the world the app must know.

use std::sync::Arc;

use crate::{
    app::{
        effect::{Rule, Subject, Ticket},
        panes::drafts::DraftRow,
    },
    model::{
        activity::Activity,
        conflict::Conflict,
        draft::Draft,
        ids::{OpId, Seq, SessionName},
        op::{Op, OutboxCounts},
        plan::PlanStep,
        query::{CollectionOverview, Window},
        record::RecordView,
        session::{Moment, SessionInfo},
        sync_status::{Leadership, SourceStatus},
        vault::{KeptVersion, VaultEntry},
    },
};

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Key(keybinds::KeyInput),
    Mouse(Mouse),
    /// Text pasted as a whole (bracketed paste): runs no keys.
    Pasted(String),
    Resized {
        columns: u16,
        rows: u16,
    },
    FocusGained,
    FocusLost,
    /// The answer to [`crate::app::effect::Effect::Load`].
    Loaded {
        ticket: Ticket,
        found: Found,
    },
    LoadFailed {
        ticket: Ticket,
        message: String,
    },
    /// The commit before the paint failed: what is on the screen stays, and the header says so.
    CommitFailed {
        message: String,
        emergency_file: Option<String>,
    },
    /// The journal would not take the commit as it was: another window ended a draft or typed in it. It goes again, with
    /// the whole text.
    CommitRefused {
        message: String,
    },
    /// Commits work again.
    CommitRecovered,
    /// The journal has been locked by another program for 250 ms (true) / is free again (false).
    JournalLocked(bool),
    /// An edit is durable.
    Queued {
        op_id: OpId,
        seq: Seq,
    },
    QueueFailed {
        op_id: OpId,
        message: String,
        hint: Option<String>,
    },
    /// What was asked for was carried out / refused. The topic is where the log files it.
    Done {
        topic: &'static str,
        text: String,
    },
    /// The answer to a conflict is queued; what is to be said of it, now and once it was sent.
    Answered {
        seq: Seq,
        queued: String,
        sent: String,
    },
    /// The same, of what the journal has a row in the log of already.
    Told(Activity),
    Refused {
        topic: &'static str,
        text: String,
        hint: Option<String>,
    },
    /// The rule holds from now on; `place` says where it is kept.
    RuleKept {
        rule: Box<Rule>,
        place: String,
    },
    /// Local data changed under the panes (a pull, an acknowledgement, another process): reload what is visible.
    Changed(Changed),
    Status {
        sources: Vec<SourceStatus>,
        leadership: Leadership,
    },
    Noticed(Activity),
    /// This session has another name from now on.
    SessionRenamed {
        to: SessionName,
    },
    /// `$EDITOR` ended, or left something that is found only now.
    EditorReturned(Edited),
    /// The state of the demo's network switch.
    DemoNetwork {
        cut: bool,
    },
    Tick,
}

/// What `$EDITOR` left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    pub subject: Subject,
    /// The text as it is on disk, or why there is none.
    pub text: Result<String, NoText>,
    /// The file that holds it, until [`crate::app::effect::Effect::EditedFile`] says what becomes of it.
    pub file: Option<String>,
    /// Not what the editor ended with just now: found by a later start, or saved after the editor had seemed to be done.
    pub late: bool,
}

/// Why `$EDITOR` left nothing that can be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{}", .kept.as_ref().map(|file| format!("; what it left is kept in `{file}`")).unwrap_or_default())]
pub struct NoText {
    pub reason: String,
    /// The file that is kept of it.
    pub kept: Option<String>,
}

impl NoText {
    /// For the message row: what becomes of what there was.
    pub fn hint(&self) -> String {
        match &self.kept {
            Some(file) => format!("kept: {file}"),
            None => "the text here is as it was".to_owned(),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    pub records: bool,
    pub outbox: bool,
    pub activity: bool,
    pub drafts: bool,
}

/// Mouse input that panes act on, in cells from the top left corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mouse {
    pub column: u16,
    pub row: u16,
    pub kind: MouseKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MouseKind {
    Press,
    Drag,
    Release,
    ScrollUp,
    ScrollDown,
}

/// What a load brought. One variant per [`Need`](crate::app::effect::Need).
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    Window(Box<Window>),
    /// (rows before the asked record, rows that match)
    Rank(Option<u64>, Option<u64>),
    Record(Arc<RecordView>),
    Overview(Vec<CollectionOverview>),
    Outbox {
        ops: Vec<Op>,
        history: Vec<Op>,
        counts: OutboxCounts,
    },
    Op(Option<Box<Op>>),
    Plan(Option<Box<PlanStep>>),
    Conflicts(Vec<Conflict>),
    Vault(Vec<VaultEntry>),
    KeptVersion(Option<Box<KeptVersion>>),
    Drafts(Vec<DraftRow>, u64),
    Activity(Vec<(i64, Activity)>),
    Sessions(Vec<SessionInfo>),
    /// The moments, and the drafts that their screens are built with.
    Moments(Vec<Moment>, Vec<Draft>),
}
