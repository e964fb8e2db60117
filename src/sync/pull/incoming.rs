//! What comes in by itself: records that are fetched one by one, and all that is on its way into the mirror.

use std::collections::BTreeSet;

use super::{Pull, Stage};
use crate::{
    model::{
        ids::RecordId,
        op::OpKind,
        wire::{Current, Exchange, ReadError, RemoteChange, RemoteRecord},
    },
    sync::{
        effect::{Effect, PageWrite, Ticket},
        event::{AppliedPage, StoreResult},
        lane::{Cx, Signal},
        policy,
        push::Push,
    },
};

/// Records fetched one by one at the same time.
const MAX_TOUCHES: usize = 4;

impl Pull {
    // --- single records ---------------------------------------------------------------------------------------------

    pub(super) fn start_touches(&mut self, cx: &mut Cx<'_>, push: &Push) {
        while self.touching.len() < MAX_TOUCHES {
            // One reading of a record at a time: answers may overtake each other.
            let is_read = |id: &RecordId| self.touching.values().any(|(touched, _)| touched == id);
            let free = |id: &&RecordId| !is_read(id) && !push.is_working_on(&self.key.record((*id).clone()));
            let Some(id) = self.touched.iter().find(free).cloned() else { return };
            self.touched.remove(&id);
            let ticket = cx.ticket();
            cx.out.push(Effect::Fetch { ticket, record: self.key.record(id.clone()) });
            self.touching.insert(ticket, (id, cx.at.mono));
        }
    }

    /// These are in a reading that arrived just now. Where the record is being sent or read by itself, that answer is still to
    /// come, may be older than the reading, and would be written behind it: it is asked for once more then.
    pub(super) fn doubt<'r>(&mut self, read: impl Iterator<Item = &'r RecordId>, push: &Push) {
        let asked: BTreeSet<&RecordId> = self.touching.values().map(|(id, _)| id).collect();
        let is_awaited = |id: &RecordId| asked.contains(id) || push.is_working_on(&self.key.record(id.clone()));
        let doubtful: Vec<RecordId> = read.filter(|id| is_awaited(id)).cloned().collect();
        self.touched.extend(doubtful);
    }

    /// False where the answer was not asked for here.
    pub(in crate::sync) fn fetched(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        result: Result<Current, ReadError>,
        exchange: &Exchange,
    ) -> bool {
        let Some((id, began)) = self.touching.remove(&ticket) else { return false };
        self.shown.bytes += exchange.bytes_down;
        match result {
            Ok(current) => {
                cx.signals.push(Signal::Good(exchange.clone()));
                cx.signals.push(Signal::Seen(self.key.record(id.clone())));
                self.held.forget(&id);
                let change = match current.value {
                    Some(value) => RemoteChange::Upsert(RemoteRecord {
                        id: id.clone(),
                        revision: current.revision,
                        text: value.to_string(),
                    }),
                    None => RemoteChange::Tombstone { id: id.clone() },
                };
                let is_gone = matches!(change, RemoteChange::Tombstone { .. });
                let changes = self.echoes.correct([change], began, &mut self.touched);
                self.suspect_fetched(&id, changes.first().map(|_| is_gone), exchange);
                self.incoming.extend(changes);
                self.flush_incoming(cx);
                self.end_touching(cx);
            }
            Err(error) => {
                self.suspect_not_fetched(cx, &id, &error, exchange);
                if policy::broken_by(&error).is_some() {
                    self.touched.insert(id);
                }
                self.report(cx, &error, exchange);
            }
        }
        true
    }

    // --- the mirror -------------------------------------------------------------------------------------------------

    /// Live changes and fetched records go in together, one transaction at a time.
    pub(super) fn flush_incoming(&mut self, cx: &mut Cx<'_>) {
        if self.applying.is_some() || self.incoming.is_empty() {
            return;
        }
        let changes = std::mem::take(&mut self.incoming);
        self.audit.hand_over();
        let ticket = cx.ticket();
        self.applying = Some((ticket, changes.len()));
        self.write_page(cx, ticket, changes, None, None);
    }

    pub(super) fn write_page(
        &self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        changes: Vec<RemoteChange>,
        checkpoint: Option<String>,
        sweep: Option<i64>,
    ) {
        let (stamps, at) = (self.stamps(ticket, sweep), cx.at.wall);
        let page = PageWrite { collection: self.key.clone(), changes, checkpoint, sweep, stamps, at };
        cx.out.push(Effect::ApplyPage { ticket, page });
    }

    pub(in crate::sync) fn page_applied(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        result: StoreResult<AppliedPage>,
        push: &Push,
    ) {
        if self.noting == Some(ticket) {
            self.noting = None;
        }
        if self.audit.notes(ticket) {
            return self.audit_noted(cx, &result);
        }
        let applied = match result {
            Ok(applied) => applied,
            Err(message) => {
                let ours = self.applying.is_some_and(|(expected, _)| expected == ticket);
                if ours || self.waits_for_apply(ticket) {
                    self.applying = None;
                    // Live changes were lost with the page: only a new snapshot or sweep repairs that.
                    self.fail_locally(cx, &message);
                }
                return;
            }
        };
        if applied.stays {
            self.vanished.kept();
        }
        self.tally(ticket, &applied);
        self.hold_back(cx, ticket, &applied);
        for (record, kind) in &applied.vanished {
            if *kind == OpKind::Update && !push.is_working_on(record) {
                match self.spec.conflicts.policy.settles_deletions() {
                    // The sender meets the deletion, and the policy decides.
                    true => cx.signals.push(Signal::OutboxChanged),
                    false => cx.out.push(Effect::KeepConflict { record: record.clone(), at: cx.at.wall }),
                }
            }
        }
        if self.applying.is_some_and(|(expected, _)| expected == ticket) {
            self.applying = None;
            self.rows = (self.rows + applied.inserted).saturating_sub(applied.deleted);
            if self.is_followed() {
                (self.shown.done, self.shown.total) = (self.rows, Some(self.rows));
            }
            self.shown.last_pull = Some(cx.at.wall);
            self.suspects_applied(cx, &applied);
            return self.flush_incoming(cx);
        }
        self.sweep_page_applied(cx, ticket);
    }

    /// What was written here since the reading that comes to its end began.
    pub(super) fn written_meanwhile(&self) -> impl Iterator<Item = &RecordId> {
        self.echoes.written_since(self.reading_since.unwrap_or_default())
    }

    pub(super) fn waits_for_apply(&self, ticket: Ticket) -> bool {
        let sweeps = match &self.stage {
            Stage::Sweep(sweep) => sweep.applies(ticket),
            Stage::Feed(feed) => feed.applies(ticket),
            Stage::Delta(delta) => delta.applies(ticket),
            _ => false,
        };
        sweeps || self.ending.as_ref().is_some_and(|ending| ending.is_write(ticket))
    }
}
