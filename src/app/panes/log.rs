//! The activity log: what happened, newest first, whether or not anybody was looking.

use serde::{Deserialize, Serialize};

use crate::{
    app::{
        action::Action,
        effect::Need,
        event::{Found, MouseKind},
        list,
        pane::{Cx, Outcome, Pane, PaneName, Request, Seen},
    },
    model::activity::Activity,
};

const PAGE: usize = 200;

#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    session: LogSession,
    rows: Vec<(i64, Activity)>,
    loaded: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogSession {
    /// The row at the cursor; `None` follows the newest.
    cursor: Option<i64>,
    top: Option<i64>,
    limit: usize,
}

impl Default for LogSession {
    fn default() -> Self {
        Self { cursor: None, top: None, limit: PAGE }
    }
}

impl Log {
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Newest first.
    pub fn rows(&self) -> &[(i64, Activity)] {
        &self.rows
    }

    fn index(&self) -> usize {
        let Some(cursor) = self.session.cursor else { return 0 };
        self.rows.iter().position(|(id, _)| *id <= cursor).unwrap_or(0)
    }

    /// (first row drawn, row of the cursor)
    pub fn window(&self, height: usize) -> (usize, usize) {
        let top = self.session.top.and_then(|top| self.rows.iter().position(|(id, _)| *id <= top)).unwrap_or(0);
        (list::view(top, self.index(), height, self.rows.len()), self.index())
    }

    pub fn selected(&self) -> Option<&Activity> {
        self.rows.get(self.index()).map(|(_, activity)| activity)
    }

    fn page(cx: &Cx<'_>) -> usize {
        usize::from(cx.room.1).saturating_sub(3).max(1)
    }
}

impl Pane for Log {
    const NAME: PaneName = PaneName::Log;
    const VERSION: u16 = 1;
    type Session = LogSession;

    fn session(&self) -> LogSession {
        self.session.clone()
    }

    fn restore(mut session: LogSession, _seen: &Seen<'_>) -> Self {
        session.limit = session.limit.max(PAGE);
        Self { session, rows: Vec::new(), loaded: false }
    }

    fn needs(&self, _cx: &Cx<'_>) -> Vec<Need> {
        vec![Need::Activity { before: None, limit: self.session.limit }]
    }

    fn load(&mut self, _need: &Need, found: &Found, _cx: &Cx<'_>) -> Outcome {
        let Found::Activity(rows) = found else { return Outcome::ignored() };
        self.rows.clone_from(rows);
        self.rows.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
        self.loaded = true;
        Outcome::used()
    }

    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        if let Some(index) = list::step(*action, self.index(), self.rows.len(), Self::page(cx)) {
            self.session.cursor = self.rows.get(index).map(|(id, _)| *id).filter(|_| index > 0);
            let (top, _) = self.window(Self::page(cx));
            self.session.top = self.rows.get(top).map(|(id, _)| *id).filter(|_| top > 0);
            if index + 50 > self.session.limit {
                self.session.limit += PAGE;
            }
            return Outcome::used();
        }
        match action {
            Action::Back | Action::Collapse | Action::OpenLog => Outcome::used().request(Request::Close),
            Action::Open | Action::Expand => Outcome::used(),
            _ => Outcome::ignored(),
        }
    }

    fn mouse(&mut self, _column: u16, row: u16, kind: MouseKind, cx: &Cx<'_>) -> Outcome {
        match kind {
            MouseKind::ScrollDown => self.handle(&Action::MoveDown, cx),
            MouseKind::ScrollUp => self.handle(&Action::MoveUp, cx),
            MouseKind::Press => {
                let index = self.window(Self::page(cx)).0 + usize::from(row);
                if let Some((id, _)) = self.rows.get(index) {
                    self.session.cursor = Some(*id);
                }
                Outcome::used()
            }
            _ => Outcome::ignored(),
        }
    }

    fn commands(&self) -> Vec<Action> {
        vec![Action::MoveDown, Action::First, Action::Last, Action::Back]
    }
}
