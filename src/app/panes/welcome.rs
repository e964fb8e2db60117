//! The first start: what this is, how to begin, where things are kept.

use serde::{Deserialize, Serialize};

use crate::{
    app::{
        action::Action,
        effect::Effect,
        event::MouseKind,
        list,
        pane::{Cx, Outcome, Pane, PaneName, Request, Seen},
    },
    model::activity::Severity,
};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Welcome {
    session: WelcomeSession,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WelcomeSession {
    choice: Choice,
    /// The user left it for an empty workspace.
    skipped: bool,
    /// It opened by itself, because nothing was configured.
    offered: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    #[default]
    Demo,
    Connect,
    Import,
}

impl Choice {
    pub const ALL: [Choice; 3] = [Self::Demo, Self::Connect, Self::Import];

    pub fn title(self) -> &'static str {
        match self {
            Self::Demo => "Try it with sample data",
            Self::Connect => "Connect to a server",
            Self::Import => "Bring a JSON or NDJSON file",
        }
    }

    pub fn help(self) -> &'static str {
        match self {
            Self::Demo => "nothing to set up",
            Self::Connect => "Firebase Realtime Database",
            Self::Import => "into a collection you connected",
        }
    }

    /// What to run in the shell for it.
    pub fn line(self) -> &'static str {
        match self {
            Self::Demo => "ebbtide demo",
            Self::Connect => "ebbtide init URL --kind firebase",
            Self::Import => "ebbtide import COLLECTION FILE",
        }
    }
}

impl Welcome {
    pub fn choice(&self) -> Choice {
        self.session.choice
    }

    pub fn is_skipped(&self) -> bool {
        self.session.skipped
    }

    /// Notes that it opens by itself (true) or that there is no reason any more (false); tells what was noted before.
    pub fn offer(&mut self, offered: bool) -> bool {
        std::mem::replace(&mut self.session.offered, offered)
    }

    fn index(&self) -> usize {
        Choice::ALL.iter().position(|choice| *choice == self.session.choice).unwrap_or(0)
    }

    fn tell(&self) -> Outcome {
        let line = self.session.choice.line();
        Outcome::used().effect(Effect::Copy { text: line.to_owned(), what: format!("`{line}`") }).notice(
            Severity::Info,
            "session",
            format!("Quit with `q`, then run `{line}` in the shell"),
        )
    }
}

impl Pane for Welcome {
    const NAME: PaneName = PaneName::Welcome;
    const VERSION: u16 = 1;
    type Session = WelcomeSession;

    fn session(&self) -> WelcomeSession {
        self.session.clone()
    }

    fn restore(session: WelcomeSession, _seen: &Seen<'_>) -> Self {
        Self { session }
    }

    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        if let Some(index) = list::step(*action, self.index(), Choice::ALL.len(), usize::from(cx.room.1)) {
            self.session.choice = Choice::ALL[index];
            return Outcome::used();
        }
        match action {
            Action::FocusCollections | Action::FocusRecords | Action::FocusRecord => {
                self.session.choice = match action {
                    Action::FocusCollections => Choice::Demo,
                    Action::FocusRecords => Choice::Connect,
                    _ => Choice::Import,
                };
                self.tell()
            }
            Action::Open => self.tell(),
            Action::Back => {
                self.session.skipped = true;
                Outcome::used().request(Request::Close)
            }
            _ => Outcome::ignored(),
        }
    }

    fn mouse(&mut self, _column: u16, _row: u16, kind: MouseKind, cx: &Cx<'_>) -> Outcome {
        match kind {
            MouseKind::ScrollDown => self.handle(&Action::MoveDown, cx),
            MouseKind::ScrollUp => self.handle(&Action::MoveUp, cx),
            _ => Outcome::ignored(),
        }
    }

    fn commands(&self) -> Vec<Action> {
        vec![Action::MoveDown, Action::Open, Action::Back]
    }
}
