//! The saved screens by name: switch to one, begin another, rename, copy, delete. All of them look at the same data.

use serde::{Deserialize, Serialize};

use crate::{
    app::{
        action::Action,
        effect::{Effect, Need},
        event::{Found, MouseKind},
        list,
        pane::{Cx, Outcome, Pane, PaneName, Question, Request, Seen},
        text::TextInput,
    },
    model::{activity::Severity, ids::SessionName, session::SessionInfo},
};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sessions {
    session: SessionsSession,
    sessions: Vec<SessionInfo>,
    loaded: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionsSession {
    cursor: Option<SessionName>,
    /// A name is being typed.
    #[serde(skip_serializing_if = "Option::is_none")]
    naming: Option<Naming>,
}

/// A name half typed, and what it is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Naming {
    pub purpose: Purpose,
    pub text: TextInput,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    New,
    Rename(SessionName),
    Copy(SessionName),
}

impl Purpose {
    /// What the input is labelled with.
    pub fn label(&self) -> String {
        match self {
            Self::New => "Name of the new session".to_owned(),
            Self::Rename(from) => format!("New name of `{from}`"),
            Self::Copy(from) => format!("Name of the copy of `{from}`"),
        }
    }
}

impl Sessions {
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    pub fn rows(&self) -> &[SessionInfo] {
        &self.sessions
    }

    pub fn naming(&self) -> Option<&Naming> {
        self.session.naming.as_ref()
    }

    pub fn index(&self) -> usize {
        let Some(cursor) = &self.session.cursor else { return 0 };
        self.sessions.iter().position(|info| info.name == *cursor).unwrap_or(0)
    }

    fn selected(&self) -> Option<&SessionInfo> {
        self.sessions.get(self.index())
    }

    fn name(&mut self, purpose: Purpose) -> Outcome {
        let text = match &purpose {
            Purpose::New => TextInput::default(),
            Purpose::Rename(from) => proposal(from.as_str()),
            Purpose::Copy(from) => proposal(&format!("{from}-copy")),
        };
        self.session.naming = Some(Naming { purpose, text });
        Outcome::used()
    }

    /// Takes the typed name; one that cannot be taken stays in the input.
    fn take_name(&mut self) -> Outcome {
        let Some(naming) = &self.session.naming else { return Outcome::used() };
        let text = naming.text.text().trim();
        let refuse =
            |text: String, hint: &str| Outcome::used().notice(Severity::Warning, "session", text).hint(hint.to_owned());
        let Some(name) = SessionName::parse(text) else {
            return refuse(format!("`{text}` cannot be the name of a session"), SessionName::FORM);
        };
        let is_itself = naming.purpose == Purpose::Rename(name.clone());
        if !is_itself && self.sessions.iter().any(|info| info.name == name) {
            return refuse(format!("There is a session `{name}` already"), "type another name");
        }
        let effect = match naming.purpose.clone() {
            _ if is_itself => None,
            Purpose::New => {
                self.session.naming = None;
                return switch_to(name);
            }
            Purpose::Rename(from) => {
                // The old name is gone from here on: a key that comes before the list is read again must not open it.
                self.sessions.iter_mut().filter(|info| info.name == from).for_each(|info| info.name = name.clone());
                self.sessions.sort_by(|a, b| a.name.cmp(&b.name));
                Some(Effect::RenameSession { from, to: name.clone() })
            }
            Purpose::Copy(from) => Some(Effect::CopySession { from, to: name.clone() }),
        };
        self.session.naming = None;
        self.session.cursor = Some(name);
        effect.into_iter().fold(Outcome::used(), Outcome::effect)
    }

    fn switch(&self, cx: &Cx<'_>) -> Outcome {
        let Some(info) = self.selected() else { return Outcome::used() };
        if info.name == cx.setup.session {
            return Outcome::used().request(Request::Close);
        }
        if info.open {
            return Outcome::used()
                .notice(Severity::Info, "session", format!("Session `{}` is open in another window", info.name))
                .hint("`c` copies it");
        }
        switch_to(info.name.clone())
    }

    fn delete(&self, cx: &Cx<'_>) -> Outcome {
        let Some(info) = self.selected() else {
            return Outcome::used().notice(Severity::Info, "session", "Choose the session to delete in this list");
        };
        if info.open || info.name == cx.setup.session {
            return Outcome::used().notice(Severity::Info, "session", format!("Session `{}` is open", info.name));
        }
        Outcome::used().request(Request::Confirm(Box::new(Question {
            title: format!("Delete session `{}`?", info.name),
            lines: vec!["Its saved screen and its history are forgotten; drafts and the outbox stay".to_owned()],
            yes: "delete it".to_owned(),
            then: Outcome::used().effect(Effect::DeleteSession { name: info.name.clone() }),
        })))
    }

    fn rename(&mut self, cx: &Cx<'_>) -> Outcome {
        match self.selected() {
            Some(info) if info.open && info.name != cx.setup.session => {
                let text = format!("Session `{}` is open in another window", info.name);
                Outcome::used().notice(Severity::Info, "session", text).hint("rename it there")
            }
            Some(info) => self.name(Purpose::Rename(info.name.clone())),
            // The palette opens the list and asks at once, before it is read: that is about the session in this window.
            None => self.name(Purpose::Rename(cx.setup.session.clone())),
        }
    }
}

/// A name that the first letter typed replaces.
fn proposal(name: &str) -> TextInput {
    let mut text = TextInput::new(name);
    text.select_all();
    text
}

/// The list is closed first: it is not where this session is come back to.
fn switch_to(name: SessionName) -> Outcome {
    Outcome::used().request(Request::Close).effect(Effect::SwitchSession { name })
}

impl Pane for Sessions {
    const NAME: PaneName = PaneName::Sessions;
    const VERSION: u16 = 1;
    type Session = SessionsSession;

    fn session(&self) -> SessionsSession {
        self.session.clone()
    }

    fn restore(session: SessionsSession, _seen: &Seen<'_>) -> Self {
        Self { session, ..Self::default() }
    }

    fn needs(&self, _cx: &Cx<'_>) -> Vec<Need> {
        vec![Need::Sessions]
    }

    fn load(&mut self, _need: &Need, found: &Found, _cx: &Cx<'_>) -> Outcome {
        let Found::Sessions(sessions) = found else { return Outcome::ignored() };
        self.sessions.clone_from(sessions);
        self.loaded = true;
        Outcome::used()
    }

    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        if self.session.naming.is_some() {
            match action {
                Action::Open => return self.take_name(),
                Action::Back => self.session.naming = None,
                _ => return Outcome::ignored(),
            }
            return Outcome::used();
        }
        if let Some(index) = list::step(*action, self.index(), self.sessions.len(), usize::from(cx.room.1)) {
            self.session.cursor = self.sessions.get(index).map(|info| info.name.clone());
            return Outcome::used();
        }
        match action {
            Action::Open => self.switch(cx),
            Action::NewSession => self.name(Purpose::New),
            Action::RenameSession => self.rename(cx),
            Action::CopySession => match self.selected() {
                Some(info) => {
                    let from = info.name.clone();
                    self.name(Purpose::Copy(from))
                }
                None => self.name(Purpose::Copy(cx.setup.session.clone())),
            },
            Action::DeleteSession => self.delete(cx),
            Action::Back | Action::Collapse => Outcome::used().request(Request::Close),
            _ => Outcome::ignored(),
        }
    }

    fn takes_text(&self) -> bool {
        self.session.naming.is_some()
    }

    fn input(&mut self, key: &keybinds::KeyInput, _cx: &Cx<'_>) -> Outcome {
        let taken = self.session.naming.as_mut().is_some_and(|naming| naming.text.handle(key));
        if taken { Outcome::used() } else { Outcome::ignored() }
    }

    fn paste(&mut self, text: &str, _cx: &Cx<'_>) -> Outcome {
        if let Some(naming) = &mut self.session.naming {
            naming.text.paste(text);
        }
        Outcome::used()
    }

    fn mouse(&mut self, _column: u16, row: u16, kind: MouseKind, cx: &Cx<'_>) -> Outcome {
        match kind {
            MouseKind::ScrollDown => self.handle(&Action::MoveDown, cx),
            MouseKind::ScrollUp => self.handle(&Action::MoveUp, cx),
            // The heading is the first row.
            MouseKind::Press => {
                let clicked = usize::from(row).checked_sub(1).and_then(|index| self.sessions.get(index));
                if let Some(info) = clicked {
                    self.session.cursor = Some(info.name.clone());
                }
                Outcome::used()
            }
            _ => Outcome::ignored(),
        }
    }

    fn commands(&self) -> Vec<Action> {
        if self.session.naming.is_some() {
            return vec![Action::Open, Action::Back];
        }
        vec![
            Action::MoveDown,
            Action::Open,
            Action::NewSession,
            Action::RenameSession,
            Action::CopySession,
            Action::DeleteSession,
            Action::Back,
        ]
    }
}
