//! What every pane is: a small state machine with a name, a version, a session to be restored from, loads it needs,
//! and commands it answers to.
//!
//! A pane never talks to another pane. It answers with an [`Outcome`]: effects for the shell, draft writes for the
//! commit before the paint, notices for the user, and requests the app carries out between panes.

use keybinds::KeyInput;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    app::{
        Setup,
        action::Action,
        effect::{Effect, Need},
        event::Found,
        world::World,
    },
    model::{
        activity::Severity,
        draft::{Draft, DraftKey, DraftTarget, DraftText, DraftWrite},
        ids::{CollectionKey, RecordKey, Seq},
        json::Pointer,
        op::NewOp,
        time::At,
    },
};

/// Every pane and overlay. The text of [`PaneName::slice`] is stable for ever: session rows carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaneName {
    Collections,
    Records,
    Record,
    Outbox,
    Connectivity,
    Sync,
    Conflicts,
    Editor,
    Log,
    Help,
    Palette,
    Goto,
    Sessions,
    Vault,
    Drafts,
    Welcome,
    History,
    Recovery,
}

impl PaneName {
    pub const ALL: [PaneName; 18] = [
        Self::Collections,
        Self::Records,
        Self::Record,
        Self::Outbox,
        Self::Connectivity,
        Self::Sync,
        Self::Conflicts,
        Self::Editor,
        Self::Log,
        Self::Help,
        Self::Palette,
        Self::Goto,
        Self::Sessions,
        Self::Vault,
        Self::Drafts,
        Self::Welcome,
        Self::History,
        Self::Recovery,
    ];

    /// The name of the pane's session row.
    pub fn slice(self) -> &'static str {
        match self {
            Self::Collections => "collections",
            Self::Records => "records",
            Self::Record => "record",
            Self::Outbox => "outbox",
            Self::Connectivity => "connectivity",
            Self::Sync => "sync",
            Self::Conflicts => "conflicts",
            Self::Editor => "editor",
            Self::Log => "log",
            Self::Help => "help",
            Self::Palette => "palette",
            Self::Goto => "goto",
            Self::Sessions => "sessions",
            Self::Vault => "vault",
            Self::Drafts => "drafts",
            Self::Welcome => "welcome",
            Self::History => "history",
            Self::Recovery => "recovery",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Collections => "Collections",
            Self::Records => "Records",
            Self::Record => "Record",
            Self::Outbox => "Outbox",
            Self::Connectivity => "Connectivity",
            Self::Sync => "Sync",
            Self::Conflicts => "Conflicts",
            Self::Editor => "Editor",
            Self::Log => "Log",
            Self::Help => "Help",
            Self::Palette => "Commands",
            Self::Goto => "Go to",
            Self::Sessions => "Sessions",
            Self::Vault => "Vault",
            Self::Drafts => "Drafts",
            Self::Welcome => "Welcome",
            Self::History => "History",
            Self::Recovery => "Recovery",
        }
    }
}

/// What a pane may look at while it acts. Read only: change travels in the [`Outcome`].
#[derive(Clone, Copy)]
pub struct Cx<'a> {
    pub at: &'a At,
    pub setup: &'a Setup,
    pub world: &'a World,
    /// The cells inside the pane's border at this terminal size: (columns, rows). Zero while it is not on screen.
    pub room: (u16, u16),
    /// The pane has the whole body.
    pub full: bool,
}

/// What a pane is restored with besides its own session.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    pub at: &'a At,
    pub setup: &'a Setup,
    /// All drafts of the journal, as they were before the paint that the session belongs to.
    pub drafts: &'a [Draft],
}

pub trait Pane: Sized {
    const NAME: PaneName;
    /// Rows of another version fall back to the default, alone; the raw row is kept aside.
    const VERSION: u16;
    /// A mirror type, not the pane: ids, pointers, texts, cursors, folds. Never data rows, indexes or secrets.
    type Session: Serialize + DeserializeOwned + Default + PartialEq + std::fmt::Debug;

    fn session(&self) -> Self::Session;

    /// **Invariant:** `restore(p.session()).session() == p.session()`.
    fn restore(session: Self::Session, seen: &Seen<'_>) -> Self;

    /// The loads that make the pane whole in its present state. Asked after every event: a need that differs from
    /// what was last asked is loaded.
    fn needs(&self, cx: &Cx<'_>) -> Vec<Need> {
        let _ = cx;
        Vec::new()
    }

    /// The answer to one of [`Pane::needs`], never one that a newer question replaced.
    fn load(&mut self, need: &Need, found: &Found, cx: &Cx<'_>) -> Outcome {
        let _ = (need, found, cx);
        Outcome::default()
    }

    /// Carries out what the user meant. `Outcome::ignored()` where the action is not this pane's.
    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome;

    /// True while letters are text: keys then go to [`Pane::input`] before they are looked up as commands, except
    /// the bindings of the pane's own scope (`esc`, `F2`, `ctrl-s`).
    fn takes_text(&self) -> bool {
        false
    }

    /// A key while [`Pane::takes_text`]. `Outcome::ignored()` where it is not text.
    fn input(&mut self, key: &KeyInput, cx: &Cx<'_>) -> Outcome {
        let _ = (key, cx);
        Outcome::ignored()
    }

    /// Text pasted as a whole.
    fn paste(&mut self, text: &str, cx: &Cx<'_>) -> Outcome {
        let _ = (text, cx);
        Outcome::ignored()
    }

    /// A press, drag or scroll at a cell inside the border, from the pane's top left inner cell.
    fn mouse(&mut self, column: u16, row: u16, kind: crate::app::event::MouseKind, cx: &Cx<'_>) -> Outcome {
        let _ = (column, row, kind, cx);
        Outcome::ignored()
    }

    /// The actions that mean something here and now, most useful first. Hints, help and palette are made from them.
    fn commands(&self) -> Vec<Action>;
}

/// What came of handling something.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// False where the pane had no use for it: the next scope is asked.
    pub used: bool,
    pub effects: Vec<Effect>,
    /// Travel in the commit before the next paint.
    pub drafts: Vec<DraftWrite>,
    pub notices: Vec<Notice>,
    pub requests: Vec<Request>,
}

impl Outcome {
    pub fn ignored() -> Self {
        Self::default()
    }

    pub fn used() -> Self {
        Self { used: true, ..Self::default() }
    }

    pub fn effect(mut self, effect: Effect) -> Self {
        self.used = true;
        self.effects.push(effect);
        self
    }

    pub fn draft(mut self, write: DraftWrite) -> Self {
        self.used = true;
        self.drafts.push(write);
        self
    }

    pub fn request(mut self, request: Request) -> Self {
        self.used = true;
        self.requests.push(request);
        self
    }

    pub fn notice(mut self, severity: Severity, topic: &'static str, text: impl Into<String>) -> Self {
        self.used = true;
        self.notices.push(Notice { severity, topic, text: text.into(), hint: None });
        self
    }

    /// Adds a hint to the notice given last.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(notice) = self.notices.last_mut() {
            notice.hint = Some(hint.into());
        }
        self
    }

    pub fn and(mut self, other: Outcome) -> Self {
        self.used |= other.used;
        self.effects.extend(other.effects);
        self.drafts.extend(other.drafts);
        self.notices.extend(other.notices);
        self.requests.extend(other.requests);
        self
    }
}

/// One message to the user; also becomes a row of the activity log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub severity: Severity,
    pub topic: &'static str,
    pub text: String,
    pub hint: Option<String>,
}

/// What a pane asks the app to do with the rest of the screen.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    Focus(PaneName),
    /// Close the overlay or full screen pane that asks (the editor, help, palette …).
    Close,
    OpenCollection(CollectionKey),
    /// Show the record in the records and record panes.
    OpenRecord(RecordKey),
    /// The record pane follows the cursor of the records pane.
    ShowRecord(Option<RecordKey>),
    /// Open the editor on the record.
    Edit {
        record: RecordKey,
        target: DraftTarget,
    },
    /// Delete the records; what they hold is looked up first.
    Delete(Vec<RecordKey>),
    DeleteField {
        record: RecordKey,
        pointer: Pointer,
    },
    /// Queue a draft as its editor would; where that cannot be, the editor opens and says why.
    QueueDraft(DraftKey),
    /// Put a draft of the vault back; one that is there goes into the vault for it.
    RestoreDraft(Box<Draft>),
    OpenConflict(i64),
    OpenOp(Seq),
    /// Ask before doing it; never restored.
    Confirm(Box<Question>),
    /// Queue an edit: the app commits the draft's request before painting `saving`, then queues it.
    /// `draft` names the draft it came from, if any; the draft leaves the journal with the op's commit.
    Queue {
        op: Box<NewOp>,
        draft: Option<DraftText>,
    },
    /// Bring the earlier screen back that is chosen in the pane that asks.
    StepBack,
    /// Run the first command that help lists.
    RunListed,
    /// Run another action as if it had been chosen, with its argument.
    Run(Action, Option<String>),
}

/// A question before something that cannot simply be taken back.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    pub title: String,
    /// What is about to happen, one line each.
    pub lines: Vec<String>,
    /// The words of the confirming choice, e.g. `discard it`.
    pub yes: String,
    pub then: Outcome,
}
