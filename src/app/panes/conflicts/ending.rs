//! Ending a conflict: the result is queued, or the change is dropped.

use super::{Conflicts, name, place_name};
use crate::{
    app::{
        effect::Effect,
        pane::{Cx, Outcome, Question, Request},
        panes::outbox::describe,
        words,
    },
    merge::taken,
    model::{activity::Severity, conflict::Take, edit, ids::OpId, json::Pointer, rtdb},
};

impl Conflicts {
    pub(super) fn queue(&mut self, cx: &Cx<'_>) -> Outcome {
        let Some(merged) = self.merged.as_ref().filter(|_| self.selected().is_some()) else {
            return Outcome::used().notice(Severity::Info, "conflicts", "Nothing is in conflict");
        };
        let document = match merged.document(&self.picks()) {
            Ok(document) => document,
            Err(open) => return still_open(&open),
        };
        if let Some(outcome) = self.not_taken() {
            return outcome;
        }
        let Some(conflict) = self.selected() else { return Outcome::used() };
        if let Some(document) = &document {
            let levels = cx.setup.levels(&conflict.record.collection);
            if let Err(error) = rtdb::check_document_below(levels, document) {
                return Outcome::used()
                    .notice(Severity::Warning, "conflicts", format!("The result cannot be saved: {error}"))
                    .hint("change that place with `e`, or the whole with `E`");
            }
        }
        let take = taken(conflict, document.as_ref());
        let (conflict, seen, op_id) = (conflict.id, conflict.detected_at, OpId::new(cx.at));
        self.answered.push(conflict);
        self.dropping = None;
        let outcome = Outcome::used().effect(Effect::Resolve { conflict, take, document, seen, op_id });
        match self.offer(cx) {
            Some(question) => outcome.request(Request::Confirm(Box::new(question))),
            None => outcome,
        }
    }

    /// Text that would be gone with the conflict.
    fn not_taken(&mut self) -> Option<Outcome> {
        let half = self.fields.iter().find(|field| self.is_half_typed(field)).cloned();
        let (text, hint) = match half {
            Some(field) => {
                self.move_to(field.pointer.clone());
                let text = format!("The value you typed for {} is not taken yet", name(&field));
                (text, "`e` goes on with it; `m`, `t` or `b` puts it aside")
            }
            None if self.work().is_some_and(|work| work.text.is_some()) => {
                let text = "What your editor left is not taken yet".to_owned();
                (text, "`E` goes on with it; `a` puts it aside with the choices")
            }
            None => return None,
        };
        Some(Outcome::used().notice(Severity::Warning, "conflicts", text).hint(hint))
    }

    pub(super) fn drop_mine(&mut self, cx: &Cx<'_>) -> Outcome {
        let Some(conflict) = self.selected().cloned() else { return Outcome::used() };
        self.dropping = Some(conflict.id);
        let changes = edit::diff(conflict.base.as_ref(), conflict.mine.as_ref());
        let mut lines = vec![format!("The server's version of {} stays as it is", conflict.record)];
        lines.extend(changes.iter().take(6).map(describe));
        if changes.len() > 6 {
            lines.push(format!("and {} more", changes.len() - 6));
        }
        lines.push("The version you made is kept in the vault".to_owned());
        let op_id = OpId::new(cx.at);
        let (conflict, seq, seen) = (conflict.id, conflict.seq, conflict.detected_at);
        let drop = Effect::Resolve { conflict, take: Take::Theirs, document: None, seen, op_id };
        Outcome::used().request(Request::Confirm(Box::new(Question {
            title: format!("Drop your change (op {seq})?"),
            lines,
            yes: "drop it".to_owned(),
            then: Outcome::used().effect(drop),
        })))
    }
}

fn still_open(open: &[Pointer]) -> Outcome {
    let names: Vec<String> = open.iter().take(5).map(place_name).collect();
    let more = if open.len() > 5 { format!(" and {} more", open.len() - 5) } else { String::new() };
    let count = words::count(open.len() as u64, "field still needs", "fields still need");
    Outcome::used()
        .notice(Severity::Warning, "conflicts", format!("{count} a decision: {}{more}", names.join(", ")))
        .hint("`n` goes to the next one")
}
