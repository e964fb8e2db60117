//! Records whose server stamp went back, as a server restored from a backup shows them: a whole reading leaves them out
//! and decides at its end. Few are written then; many stop the collection before anything is overwritten.
//!
//! Only a field the server stamps (`updated_at`) tells. A content ETag says that two contents differ, not which came
//! first: a collection without such a field takes whatever a restored server shows.

use std::time::Duration;

use super::{Pull, Stage};
use crate::{
    model::{
        ids::RecordId,
        sync_status::{GuardFound, GuardReason},
        wire::{RemoteChange, RemoteRecord, Stamps},
    },
    sync::{effect::Ticket, event::AppliedPage, lane::Cx, policy},
};

/// More than these are only counted, and asked about.
const KEPT: usize = 10_000;
const NAMED: usize = 25;

#[derive(Default)]
pub(super) struct Held {
    sweep: i64,
    /// When the oldest of them was read, at the latest.
    since: Option<Duration>,
    records: Vec<RemoteRecord>,
    count: u64,
    sample: Vec<RecordId>,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The record was read by itself meanwhile: that is newer.
    pub(super) fn forget(&mut self, id: &RecordId) {
        if let Some(at) = self.records.iter().position(|record| record.id == *id) {
            self.records.remove(at);
            self.count -= 1;
        }
    }

    pub(super) fn since(&self) -> Option<Duration> {
        self.since
    }
}

impl Pull {
    /// How a page treats records whose stamp went back: only whole readings look.
    pub(super) fn stamps(&self, ticket: Ticket, sweep: Option<i64>) -> Option<Stamps> {
        let sets_back = self.ending.as_ref().is_some_and(|ending| ending.sets_back(ticket));
        let field = self.spec.updated_at.clone().filter(|_| sets_back || sweep.is_some())?;
        Some(Stamps { field, hold: !sets_back && self.checkpoint.accepted_older.is_none_or(|left| left == 0) })
    }

    /// A page is in the mirror: what it left out waits for the end of the reading.
    pub(super) fn hold_back(&mut self, cx: &Cx<'_>, ticket: Ticket, page: &AppliedPage) {
        if !self.waits_for_apply(ticket) {
            return;
        }
        if let Some(left) = &mut self.checkpoint.accepted_older {
            *left = left.saturating_sub(page.set_back);
        }
        if page.held.is_empty() {
            return;
        }
        let began = self.reading_since.unwrap_or(cx.at.mono);
        let held = &mut self.held;
        held.sweep = self.checkpoint.sweep;
        held.since.get_or_insert(began);
        held.count += page.held.len() as u64;
        let named = NAMED.saturating_sub(held.sample.len());
        held.sample.extend(page.held.iter().take(named).map(|record| record.id.clone()));
        let room = KEPT.saturating_sub(held.records.len());
        held.records.extend(page.held.iter().take(room).cloned());
        self.checkpoint.holds = true;
    }

    pub(super) fn forget_held(&mut self) {
        self.held = Held::default();
        self.checkpoint.holds = false;
    }

    /// Whether a reading that broke off can go on: what it left out is still here.
    pub(super) fn has_all_held(&self) -> bool {
        !self.checkpoint.holds || (!self.held.is_empty() && self.held.sweep == self.checkpoint.sweep)
    }

    /// Whether what was left out may be written without asking; stops where not.
    pub(super) fn may_set_back(&mut self, cx: &mut Cx<'_>, rows: u64) -> bool {
        let count = self.held.count;
        let is_complete = self.held.records.len() as u64 == count;
        if is_complete && !policy::is_many(count, rows) {
            return true;
        }
        let found = GuardFound {
            reason: GuardReason::OlderRecords,
            text: policy::older_text(&self.key.to_string(), count, rows),
            affected: count,
            rows,
            sample: std::mem::take(&mut self.held.sample),
            since: cx.at.wall,
        };
        self.stop(cx, found);
        false
    }

    /// What was left out, unless an edit of ours came between.
    pub(super) fn take_held(&mut self) -> Vec<RemoteChange> {
        let held = std::mem::take(&mut self.held);
        let began = held.since.unwrap_or_default();
        self.echoes.correct(held.records.into_iter().map(RemoteChange::Upsert), began, &mut self.touched)
    }

    /// Edits made from what is here wait until the server's versions are in the mirror beside them.
    pub(in crate::sync) fn is_reuploading(&self) -> bool {
        matches!(self.stage, Stage::Reuploading(_))
    }
}
