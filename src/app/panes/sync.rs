//! The sync pane: how far each collection is, with true denominators, and what a stopped one asks.

use serde::{Deserialize, Serialize};

use crate::{
    app::{
        action::Action,
        effect::Effect,
        event::MouseKind,
        list,
        pane::{Cx, Outcome, Pane, PaneName, Question, Request, Seen},
    },
    model::{
        activity::Severity,
        ids::CollectionKey,
        sync_status::{GuardAnswer, GuardReason, PullPhase, SyncRequest},
    },
};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sync {
    session: SyncSession,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncSession {
    cursor: Option<CollectionKey>,
    scroll: u16,
}

impl Sync {
    /// All collections, those that need a person first, then those at work, then the rest, each in configured order.
    pub fn order(cx: &Cx<'_>) -> Vec<CollectionKey> {
        let mut keys: Vec<CollectionKey> = cx.setup.sources.iter().flat_map(|source| source.keys()).collect();
        let urgency = |key: &CollectionKey| match cx.world.collection_status(key).map(|status| &status.phase) {
            Some(PullPhase::Stopped(_)) => 0,
            Some(PullPhase::Detached) => 1,
            Some(PullPhase::Backfill | PullPhase::Stalled) => 2,
            _ => 3,
        };
        keys.sort_by_key(urgency);
        keys
    }

    pub fn selected(&self, cx: &Cx<'_>) -> Option<CollectionKey> {
        let order = Self::order(cx);
        let cursor = self.session.cursor.as_ref();
        cursor.filter(|key| order.contains(key)).cloned().or_else(|| order.first().cloned())
    }

    pub fn scroll(&self) -> u16 {
        self.session.scroll
    }

    fn stopped(&self, cx: &Cx<'_>) -> Option<(CollectionKey, String)> {
        let is_stopped = |key: &CollectionKey| match &cx.world.collection_status(key)?.phase {
            PullPhase::Stopped(found) => Some(found.clone()),
            _ => None,
        };
        let selected = self.selected(cx).filter(|key| is_stopped(key).is_some());
        let key = selected.or_else(|| Self::order(cx).into_iter().find(|key| is_stopped(key).is_some()))?;
        let found = is_stopped(&key)?;
        Some((key, found))
    }

    /// The selected collection, where it is detached.
    fn detached(&self, cx: &Cx<'_>) -> Option<CollectionKey> {
        let key = self.selected(cx)?;
        let status = cx.world.collection_status(&key)?;
        (status.phase == PullPhase::Detached).then_some(key)
    }

    /// What there is to do now: the answers only where something asks.
    pub fn offers(&self, cx: &Cx<'_>) -> Vec<Action> {
        let (asks, detached) = (self.stopped(cx).is_some(), self.detached(cx).is_some());
        let fits = |action: &Action| match action {
            Action::AcceptDeletion | Action::Reupload => asks,
            Action::Detach => asks || detached,
            _ => true,
        };
        let (answers, rest): (Vec<Action>, Vec<Action>) =
            self.commands().into_iter().filter(fits).partition(|action| is_answer(*action));
        // What asks for a person comes before all else.
        if asks { answers.into_iter().chain(rest).collect() } else { rest.into_iter().chain(answers).collect() }
    }

    fn answer(&self, answer: GuardAnswer, cx: &Cx<'_>) -> Outcome {
        if let (GuardAnswer::Detach, Some(collection)) = (answer, self.detached(cx)) {
            let answer = GuardAnswer::Attach;
            return Outcome::used().effect(Effect::Sync(SyncRequest::AnswerGuard { collection, answer }));
        }
        let Some((key, found)) = self.stopped(cx) else {
            return Outcome::used().notice(Severity::Info, "sync", "No collection has stopped to ask");
        };
        let effect = Effect::Sync(SyncRequest::AnswerGuard { collection: key.clone(), answer });
        let guard = cx.world.collection_status(&key).and_then(|status| status.guard.clone());
        let (title, kept, yes) = match guard.map(|guard| guard.reason) {
            // It is left as it is, and attached again by the same key.
            _ if answer == GuardAnswer::Detach => return Outcome::used().effect(effect),
            reason if answer == GuardAnswer::Reupload => (
                format!("Upload the records of {key} again?"),
                match reason {
                    Some(GuardReason::OlderRecords) => "What is here and older there is queued as new edits, and sent",
                    _ => "What is here and gone there is queued as new edits, and sent",
                },
                "upload them",
            ),
            Some(GuardReason::OtherServer) => (
                format!("Go on with the other server for {key}?"),
                "Edits that wait are sent to it; before much is deleted here you are asked again",
                "go on with it",
            ),
            Some(GuardReason::OlderRecords) => (
                format!("Take the older versions of {key}?"),
                "What they replace here is kept in the vault",
                "take them",
            ),
            Some(GuardReason::MassDeletion) | None => (
                format!("Delete here what is gone in {key}?"),
                "What is deleted here is kept in the vault",
                "delete it here",
            ),
        };
        Outcome::used().request(Request::Confirm(Box::new(Question {
            title,
            lines: vec![found, kept.to_owned()],
            yes: yes.to_owned(),
            then: Outcome::used().effect(effect),
        })))
    }
}

fn is_answer(action: Action) -> bool {
    matches!(action, Action::AcceptDeletion | Action::Reupload | Action::Detach)
}

impl Pane for Sync {
    const NAME: PaneName = PaneName::Sync;
    const VERSION: u16 = 1;
    type Session = SyncSession;

    fn session(&self) -> SyncSession {
        self.session.clone()
    }

    fn restore(session: SyncSession, _seen: &Seen<'_>) -> Self {
        Self { session }
    }

    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        let order = Self::order(cx);
        let at = self.selected(cx).and_then(|key| order.iter().position(|other| *other == key)).unwrap_or(0);
        if let Some(index) = list::step(*action, at, order.len(), usize::from(cx.room.1)) {
            self.session.cursor = order.get(index).cloned();
            return Outcome::used();
        }
        match action {
            Action::AcceptDeletion => self.answer(GuardAnswer::Accept, cx),
            Action::Reupload => self.answer(GuardAnswer::Reupload, cx),
            Action::Detach => self.answer(GuardAnswer::Detach, cx),
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
            Action::SyncNow,
            Action::PauseSync,
            Action::AcceptDeletion,
            Action::Reupload,
            Action::Detach,
        ]
    }
}
