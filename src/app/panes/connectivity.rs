//! The connectivity pane: what our own requests proved about each source, with the evidence.
//!
//! Nothing is claimed that was not met since the start: after a restart a source is `UNKNOWN`, and what it was before
//! is said as what it was.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    app::{
        action::Action,
        effect::Effect,
        event::MouseKind,
        list,
        pane::{Cx, Outcome, Pane, PaneName, Request, Seen},
        world::World,
    },
    model::{
        ids::SourceName,
        sync_status::{ConnectivityState, SyncRequest},
        time::Timestamp,
    },
};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Connectivity {
    session: ConnectivitySession,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectivitySession {
    cursor: Option<SourceName>,
    /// Lines scrolled away.
    scroll: u16,
    /// What each source was when last known: shown after a restart until something is known again.
    last: BTreeMap<SourceName, Known>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub state: ConnectivityState,
    pub since: Option<Timestamp>,
}

impl Connectivity {
    pub fn cursor(&self) -> Option<&SourceName> {
        self.session.cursor.as_ref()
    }

    pub fn scroll(&self) -> u16 {
        self.session.scroll
    }

    pub fn last_known(&self, source: &SourceName) -> Option<Known> {
        self.session.last.get(source).copied()
    }

    /// Writes down what is known now.
    pub fn remember(&mut self, world: &World) {
        for status in &world.sources {
            let Known { state, since } = Known { state: status.connectivity.state, since: status.connectivity.since };
            if state != ConnectivityState::Unknown {
                self.session.last.insert(status.source.clone(), Known { state, since });
            }
        }
    }

    /// The source commands are about.
    pub fn selected(&self, cx: &Cx<'_>) -> Option<SourceName> {
        let known = |name: &&SourceName| cx.setup.sources.iter().any(|source| source.name == **name);
        let first = || cx.setup.sources.first().map(|source| source.name.clone());
        self.session.cursor.as_ref().filter(known).cloned().or_else(first)
    }
}

impl Pane for Connectivity {
    const NAME: PaneName = PaneName::Connectivity;
    const VERSION: u16 = 1;
    type Session = ConnectivitySession;

    fn session(&self) -> ConnectivitySession {
        self.session.clone()
    }

    fn restore(session: ConnectivitySession, _seen: &Seen<'_>) -> Self {
        Self { session }
    }

    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        let selected = self.selected(cx);
        let names: Vec<&SourceName> = cx.setup.sources.iter().map(|source| &source.name).collect();
        let at = names.iter().position(|name| Some(*name) == selected.as_ref()).unwrap_or(0);
        if let Some(index) = list::step(*action, at, names.len(), usize::from(cx.room.1)) {
            self.session.cursor = names.get(index).map(|name| (*name).clone());
            return Outcome::used();
        }
        match action {
            Action::Probe => Outcome::used().effect(Effect::Sync(SyncRequest::Probe { source: selected })),
            Action::Open | Action::Expand => Outcome::used().request(Request::Run(Action::Zoom, Some("on".to_owned()))),
            Action::Back | Action::Collapse => Outcome::used().request(Request::Focus(PaneName::Records)),
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
        vec![
            Action::MoveDown,
            Action::Probe,
            Action::PauseSync,
            Action::ForceOffline,
            Action::SyncNow,
            Action::ConfirmAuthor,
        ]
    }
}
