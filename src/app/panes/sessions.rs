//! The saved screens by name. One is chosen at the start with `--session NAME`.

use serde::{Deserialize, Serialize};

use crate::{
    app::{
        action::Action,
        effect::{Effect, Need},
        event::Found,
        list,
        pane::{Cx, Outcome, Pane, PaneName, Question, Request, Seen},
    },
    model::{activity::Severity, ids::SessionName, session::SessionInfo},
};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sessions {
    cursor: Option<SessionName>,
    sessions: Vec<SessionInfo>,
    loaded: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionsSession {
    cursor: Option<SessionName>,
}

impl Sessions {
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    pub fn rows(&self) -> &[SessionInfo] {
        &self.sessions
    }

    pub fn index(&self) -> usize {
        let Some(cursor) = &self.cursor else { return 0 };
        self.sessions.iter().position(|info| info.name == *cursor).unwrap_or(0)
    }

    fn delete(&self, cx: &Cx<'_>) -> Outcome {
        let Some(info) = self.sessions.get(self.index()) else { return Outcome::used() };
        if info.open || info.name == cx.setup.session {
            return Outcome::used().notice(Severity::Info, "session", format!("Session `{}` is open", info.name));
        }
        Outcome::used().request(Request::Confirm(Box::new(Question {
            title: format!("Delete session `{}`?", info.name),
            lines: vec!["Its saved screen is forgotten; drafts and the outbox stay".to_owned()],
            yes: "delete it".to_owned(),
            then: Outcome::used().effect(Effect::DeleteSession { name: info.name.clone() }),
        })))
    }
}

impl Pane for Sessions {
    const NAME: PaneName = PaneName::Sessions;
    const VERSION: u16 = 1;
    type Session = SessionsSession;

    fn session(&self) -> SessionsSession {
        SessionsSession { cursor: self.cursor.clone() }
    }

    fn restore(session: SessionsSession, _seen: &Seen<'_>) -> Self {
        Self { cursor: session.cursor, ..Self::default() }
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
        if let Some(index) = list::step(*action, self.index(), self.sessions.len(), usize::from(cx.room.1)) {
            self.cursor = self.sessions.get(index).map(|info| info.name.clone());
            return Outcome::used();
        }
        match action {
            Action::DeleteSession => self.delete(cx),
            Action::Open => match self.sessions.get(self.index()) {
                Some(info) => Outcome::used()
                    .notice(Severity::Info, "session", format!("Session `{}` is opened at the start", info.name))
                    .hint(format!("ebbtide --session {}", info.name)),
                None => Outcome::used(),
            },
            Action::Back | Action::Collapse => Outcome::used().request(Request::Close),
            _ => Outcome::ignored(),
        }
    }

    fn commands(&self) -> Vec<Action> {
        vec![Action::MoveDown, Action::Open, Action::DeleteSession, Action::Back]
    }
}
