//! Choosing the fields of an op that shall wait while the rest goes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    app::{
        action::Action,
        effect::Effect,
        pane::{Cx, Outcome},
    },
    merge,
    model::{
        activity::Severity,
        ids::{OpId, Seq},
        json::Pointer,
        op::{Op, OpKind},
        time::At,
    },
};

/// A choice half made; it is restored like typed text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Splitting {
    pub seq: Seq,
    pub cursor: Pointer,
    pub chosen: Vec<Pointer>,
}

impl Splitting {
    /// Begins with the first place; the reason where there is nothing to choose from.
    pub fn begin(op: &Op) -> Result<Self, String> {
        if op.state.may_be_applied() {
            return Err(format!("Op {} is {}: it may already be applied", op.seq, op.state.label()));
        }
        let mut places = places(op);
        if places.len() < 2 {
            return Err(format!("Op {} has only one part; hold it instead", op.seq));
        }
        Ok(Self { seq: op.seq, cursor: places.swap_remove(0), chosen: Vec::new() })
    }

    /// `None` where the action is none of the choice's. True in the outcome's place: the choice is over.
    pub fn handle(&mut self, op: &Op, action: Action, cx: &Cx<'_>) -> Option<(Outcome, bool)> {
        let places = places(op);
        let at = places.iter().position(|place| *place == self.cursor).unwrap_or(0);
        let go = |at: usize| places.get(at).cloned();
        match action {
            Action::MoveDown => self.cursor = go(at + 1).unwrap_or_else(|| self.cursor.clone()),
            Action::MoveUp => self.cursor = go(at.saturating_sub(1)).unwrap_or_else(|| self.cursor.clone()),
            Action::First => self.cursor = go(0)?,
            Action::Last => self.cursor = go(places.len().checked_sub(1)?)?,
            Action::Mark => match self.chosen.iter().position(|chosen| *chosen == self.cursor) {
                Some(index) => drop(self.chosen.remove(index)),
                None => self.chosen.push(self.cursor.clone()),
            },
            Action::Back => return Some((Outcome::used(), true)),
            Action::Open => return Some(self.split(&places, cx)),
            _ => return None,
        }
        Some((Outcome::used(), false))
    }

    fn split(&self, places: &[Pointer], cx: &Cx<'_>) -> (Outcome, bool) {
        let chosen = if self.chosen.is_empty() { vec![self.cursor.clone()] } else { self.chosen.clone() };
        if places.iter().all(|place| chosen.contains(place)) {
            let outcome = Outcome::used()
                .notice(Severity::Info, "outbox", "Nothing would be left to go")
                .hint("leave one place unmarked, or hold the whole op with `h`");
            return (outcome, false);
        }
        let second = At { entropy: cx.at.entropy.map(|byte| !byte), ..*cx.at };
        let op_ids = [OpId::new(cx.at), OpId::new(&second)];
        (Outcome::used().effect(Effect::Split { seq: self.seq, places: chosen, op_ids }), true)
    }
}

/// The places an op may be split at: what it changes, or the members of a new record.
pub fn places(op: &Op) -> Vec<Pointer> {
    match (op.kind, merge::intended(op)) {
        (OpKind::Delete, _) => Vec::new(),
        (OpKind::Create, Some(Value::Object(members))) => {
            members.keys().map(|name| Pointer::root().child(name)).collect()
        }
        (OpKind::Create, _) => Vec::new(),
        (OpKind::Update, _) => {
            op.changes.iter().map(|change| change.pointer.clone()).filter(|place| !place.is_root()).collect()
        }
    }
}
