//! Ending a conflict: the result is queued, or the change is dropped.

use super::{Conflicts, place_name};
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
        let (Some(conflict), Some(merged)) = (self.selected(), &self.merged) else {
            return Outcome::used().notice(Severity::Info, "conflicts", "Nothing is in conflict");
        };
        let document = match merged.document(&self.picks()) {
            Ok(document) => document,
            Err(open) => return still_open(&open),
        };
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
