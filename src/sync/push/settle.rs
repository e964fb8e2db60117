//! After the answer: the new base first, then the op's outcome, and the guard against a late original.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::{Push, Stage};
use crate::{
    model::{
        ids::{RecordKey, Revision, Seq},
        op::LateOriginal,
    },
    sync::{
        effect::{BaseWrite, Effect, Outcome, SettleOp, Ticket},
        event::StoreResult,
        lane::{Cx, Signal},
        late,
    },
};

impl Push {
    /// Applied: the new base first, durably, then the settle.
    pub(super) fn acknowledge(
        &mut self,
        cx: &mut Cx<'_>,
        record: &RecordKey,
        document: Option<Value>,
        revision: Option<Revision>,
    ) {
        let Some(job) = self.jobs.get(record) else { return };
        let (Some(seq), doubted) = (job.ops.first().map(|op| op.seq), job.doubted) else { return };
        if doubted {
            self.guard(cx, record);
        }
        self.note_acked(cx, record, seq);
        let base = BaseWrite { record: record.clone(), document, revision, found: false, at: cx.at.wall };
        let settle = SettleOp::of(seq, Outcome::Acked, cx.at.wall);
        self.finish(cx, record, Some(Arc::new(base)), vec![settle]);
    }

    pub(super) fn note_acked(&mut self, cx: &Cx<'_>, record: &RecordKey, seq: Seq) {
        self.suspects.remove(&seq);
        self.odd.remove(&seq);
        self.races.remove(record);
        self.done += 1;
        self.total_done += 1;
        self.to_go = self.to_go.saturating_sub(1);
        self.rate.note(cx.at.mono, self.total_done);
        self.last_success = Some(cx.at.wall);
    }

    /// The op left the outbox without having been applied.
    pub(super) fn note_given_up(&mut self, record: &RecordKey, seq: Seq) {
        self.suspects.remove(&seq);
        self.odd.remove(&seq);
        self.races.remove(record);
        self.to_go = self.to_go.saturating_sub(1);
    }

    /// An episode in doubt ends: for a while nothing may bring back what its precondition stands for.
    pub(super) fn guard(&mut self, cx: &Cx<'_>, record: &RecordKey) {
        let Some(job) = self.jobs.get_mut(record) else { return };
        let Some(guard) = job.ops.first().and_then(|head| late::feared(head, cx.at.wall)) else { return };
        self.late.fear(cx.at, &guard);
        job.guard = Some(guard);
    }

    /// Takes up what the leaders before were guarding.
    pub(in crate::sync) fn remember_guards(&mut self, cx: &Cx<'_>, guards: &[LateOriginal]) {
        for guard in guards.iter().filter(|guard| guard.record.collection.source == self.source) {
            self.late.fear_still(cx.at, guard);
        }
    }

    /// The record was read: where its guards ended before, there is nothing left to fear.
    pub(in crate::sync) fn record_seen(&mut self, cx: &mut Cx<'_>, record: &RecordKey) {
        if let Some(until) = self.late.look_done(record) {
            cx.out.push(Effect::EndGuards { record: record.clone(), until });
        }
    }

    /// Writes what is to be written for the record, in order: base, then settle.
    pub(super) fn finish(
        &mut self,
        cx: &mut Cx<'_>,
        record: &RecordKey,
        base: Option<Arc<BaseWrite>>,
        settles: Vec<SettleOp>,
    ) {
        let Some(job) = self.jobs.get_mut(record) else { return };
        let ticket = cx.ticket();
        job.stage = match base {
            Some(base) => {
                // Said before it is written: an older reading may be on its way to the same writer already.
                cx.signals.push(Signal::Wrote(base.clone()));
                cx.out.push(Effect::StoreBase { ticket, base: base.clone() });
                Stage::StoringBase { ticket, base, settles }
            }
            None => {
                let (record, guard) = (record.clone(), job.guard.clone());
                cx.out.push(Effect::Settle { ticket, record, settles: settles.clone(), guard });
                Stage::Settling { ticket, settles }
            }
        };
    }

    pub(in crate::sync) fn base_stored(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        record: &RecordKey,
        result: StoreResult<()>,
    ) {
        let Some(job) = self.jobs.get_mut(record) else { return };
        if !matches!(&job.stage, Stage::StoringBase { ticket: expected, .. } if *expected == ticket) {
            return;
        }
        let Stage::StoringBase { base, settles, .. } = std::mem::replace(&mut job.stage, Stage::WantsFetch) else {
            return;
        };
        match result {
            Ok(()) => self.finish(cx, record, None, settles),
            Err(message) => {
                let at = cx.at.mono + Duration::from_secs(1);
                job.stage = Stage::Again { at, base: Some(base), settles };
                self.store_failed(cx, &message);
            }
        }
    }

    pub(in crate::sync) fn settled(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        record: &RecordKey,
        result: StoreResult<()>,
    ) {
        let Some(job) = self.jobs.get_mut(record) else { return };
        let Stage::Settling { ticket: expected, settles } = &job.stage else { return };
        if *expected != ticket {
            return;
        }
        match result {
            Ok(()) => {
                self.store_failures = 0;
                let stay =
                    |settle: &SettleOp| matches!(settle.outcome, Outcome::InDoubt { .. } | Outcome::Queued { .. });
                if !settles.iter().all(|settle| settle.outcome == Outcome::Acked || stay(settle)) {
                    cx.signals.push(Signal::Ended(record.clone()));
                }
                let more = job.ops.len() > settles.len();
                let again = settles
                    .iter()
                    .any(|settle| matches!(settle.outcome, Outcome::Rebased { .. } | Outcome::Decided(_)));
                self.dirty |= more || again || self.not_before.contains_key(record);
                self.drop_job(record);
            }
            Err(message) => {
                let settles = settles.clone();
                job.stage = Stage::Again { at: cx.at.mono + Duration::from_secs(1), base: None, settles };
                self.store_failed(cx, &message);
            }
        }
    }
}
