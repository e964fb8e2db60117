//! From the outbox to the wire: what is read, what is looked up first, what is claimed, and who gets a request slot.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::{AHEAD, BEHIND, Job, LEAST_AHEAD, Loading, MOST_AHEAD, Push, Stage, Told, retry_after};
use crate::{
    model::{
        activity::Severity,
        ids::{RecordKey, Revision, Seq},
        op::{Claimed, OpError, OpState},
        time::Timestamp,
        wire::{Current, Exchange, Link, PushRequest, ReadError},
    },
    sync::{
        backoff,
        connectivity::Break,
        effect::{ClaimOp, Effect, Outcome, SettleOp, Ticket},
        event::{Chain, OutboxSlice, StoreResult},
        lane::{Cx, Signal},
        late,
        plan::{self, Next},
        policy,
    },
};

impl Push {
    /// Claims that are asked for together share a commit: the stock of them is filled up when half of it is gone.
    pub(super) fn may_prepare(&mut self, now: Duration) -> bool {
        let mut unsent = 0;
        let mut sending = 0;
        for job in self.jobs.values() {
            match job.stage {
                Stage::WantsFetch | Stage::Fetching(_) | Stage::Claiming(..) | Stage::WantsSend(_) => unsent += 1,
                Stage::Sending(..) => sending += 1,
                _ => {}
            }
        }
        match self.parallel {
            1 => self.jobs.is_empty(),
            lanes => {
                let sent = self.rate.per_second(now).unwrap_or_default() * AHEAD.as_secs_f64();
                let stock = (sent as usize).clamp(lanes * LEAST_AHEAD, lanes * MOST_AHEAD);
                self.filling = unsent < stock && (self.filling || unsent <= stock / 2);
                self.filling && unsent + sending < stock + lanes && self.jobs.len() < lanes * BEHIND
            }
        }
    }

    pub(super) fn free_slots(&self) -> usize {
        let taken = |job: &&Job| matches!(job.stage, Stage::Fetching(_) | Stage::Sending(..));
        self.parallel.saturating_sub(self.jobs.values().filter(taken).count())
    }

    /// Gives free request slots to whoever waits for one, oldest op first, sends before fetches.
    pub(super) fn fill_slots(&mut self, cx: &mut Cx<'_>) {
        for _ in 0..self.free_slots() {
            let waiting = self.jobs.iter().filter_map(|(record, job)| {
                let is_fetch = match job.stage {
                    Stage::WantsSend(_) => false,
                    Stage::WantsFetch => true,
                    _ => return None,
                };
                Some(((is_fetch, job.ops.first()?.seq), record))
            });
            let Some((_, record)) = waiting.min() else { return };
            let record = record.clone();
            let Some(job) = self.jobs.get_mut(&record) else { return };
            let ticket = cx.ticket();
            match std::mem::replace(&mut job.stage, Stage::WantsFetch) {
                Stage::WantsSend(request) => {
                    cx.out.push(Effect::Push { ticket, request: request.clone() });
                    job.stage = Stage::Sending(ticket, request);
                }
                _ => {
                    job.stage = Stage::Fetching(ticket);
                    cx.out.push(Effect::Fetch { ticket, record });
                }
            }
        }
    }

    /// Reads the outbox where something may wait there.
    pub(super) fn look(&mut self, cx: &mut Cx<'_>) {
        if self.loading.is_some()
            || !self.ready.is_empty()
            || !(self.dirty || self.peek)
            || !self.may_prepare(cx.at.mono)
        {
            return;
        }
        let mut exclude: Vec<RecordKey> = self.jobs.keys().cloned().collect();
        let generous = std::mem::take(&mut self.generous);
        let left_alone = self.not_before.iter().filter(|(_, wait)| generous || !wait.at_op);
        exclude.extend(left_alone.map(|(record, _)| record.clone()));
        exclude.extend(self.late.held().cloned());
        for job in self.jobs.values_mut() {
            job.shadowed = true;
        }
        let ticket = cx.ticket();
        let limit = (self.parallel * MOST_AHEAD).clamp(8, 64);
        self.loading = Some(Loading { ticket, limit, counts: self.dirty, generous });
        (self.dirty, self.peek) = (false, false);
        self.last_look = cx.at.mono;
        let now = if generous { Timestamp(i64::MAX) } else { cx.at.wall };
        cx.out.push(Effect::ReadOutbox { ticket, source: self.source.clone(), now, exclude, limit });
    }

    pub(in crate::sync) fn outbox_read(&mut self, cx: &mut Cx<'_>, ticket: Ticket, result: StoreResult<OutboxSlice>) {
        let Some(loading) = self.loading.take_if(|loading| loading.ticket == ticket) else { return };
        let slice = match result {
            Ok(slice) => slice,
            Err(message) => {
                self.generous |= loading.generous;
                return self.store_failed(cx, &message);
            }
        };
        if self.to_go == 0 && slice.to_go > 0 && self.jobs.is_empty() {
            self.done = 0;
            self.rate.reset();
        }
        self.to_go = slice.to_go;
        if slice.chains.len() >= loading.limit {
            self.dirty = true;
            self.generous |= loading.generous;
        } else {
            self.next_attempt =
                slice.next_attempt.map(|due| cx.at.mono + due.since(cx.at.wall).max(Duration::from_millis(20)));
        }
        if !loading.generous {
            // Found although it waited: the user ended that.
            let found = |record: &RecordKey| slice.chains.iter().any(|chain| chain.record == *record);
            self.not_before.retain(|record, wait| !(wait.at_op && found(record)));
        }
        // What may already be applied is settled first.
        let (doubted, fresh): (Vec<Chain>, Vec<Chain>) = slice
            .chains
            .into_iter()
            .filter(|chain| !self.jobs.contains_key(&chain.record) && !self.not_before.contains_key(&chain.record))
            .filter(|chain| !self.late.is_held(&chain.record))
            .partition(|chain| chain.ops.first().is_some_and(|op| op.state == OpState::InDoubt));
        self.ready.extend(doubted);
        self.ready.extend(fresh);
    }

    pub(super) fn begin(&mut self, cx: &mut Cx<'_>, chain: Chain) {
        let Some(head) = chain.ops.first() else { return };
        let record = chain.record.clone();
        let doubted = plan::is_doubted(head);
        let (stage, guard) = (Stage::WantsFetch, None);
        let job = Job { ops: chain.ops, base: chain.base, joins: Vec::new(), doubted, guard, stage, shadowed: false };
        let Some(next) = plan::next(self.kind, &self.settling(&record).rules, &job.ops, job.base.as_ref()) else {
            return;
        };
        self.jobs.insert(record.clone(), job);
        let guarded = match &next {
            Next::Claim(write, _) | Next::Lookup(write) | Next::Moved { write, .. } => Some(write.document.as_ref()),
            Next::Drop { .. } | Next::Repeat(_) | Next::Unversioned => None,
        };
        if guarded.is_some_and(|document| self.is_guarded(cx, &record, document)) {
            return;
        }
        match next {
            // Stays `WantsFetch`.
            Next::Lookup(_) => {}
            next => self.go_on(cx, &record, next, Told::ByMirror),
        }
    }

    /// Does what was found to be next.
    pub(super) fn go_on(&mut self, cx: &mut Cx<'_>, record: &RecordKey, next: Next, told: Told) {
        let Some(head) = self.jobs.get(record).and_then(|job| job.ops.first()) else { return self.drop_job(record) };
        match next {
            Next::Drop { ops } => {
                let [seq, with @ ..] = ops.as_slice() else { return self.drop_job(record) };
                let outcome = Outcome::Discarded { with: with.to_vec() };
                let settle = SettleOp::of(*seq, outcome, cx.at.wall);
                self.finish(cx, record, None, vec![settle]);
            }
            Next::Repeat(request) => self.claim(cx, record, Vec::new(), request),
            Next::Claim(mut write, precondition) => {
                let absorbs = std::mem::take(&mut write.absorbs);
                let request = plan::request(head, write, precondition);
                self.claim(cx, record, absorbs, request);
            }
            Next::Moved { there, revision, .. } => {
                self.join(record);
                self.judge(cx, record, there, revision, told);
            }
            Next::Unversioned => {
                let message = "the server gives no version of the record: it cannot be changed safely".to_owned();
                let error = OpError { at: cx.at.wall, status: None, message };
                let settle = SettleOp::of(head.seq, Outcome::Rejected { error }, cx.at.wall);
                self.finish(cx, record, None, vec![settle]);
            }
            Next::Lookup(_) => self.drop_job(record),
        }
    }

    /// The head takes over the ops that are judged with it.
    fn join(&mut self, record: &RecordKey) {
        let Some(job) = self.jobs.get_mut(record) else { return };
        let Some((head, joins)) = plan::judged(self.kind, &job.ops) else { return };
        job.ops.splice(..=joins.len(), [head]);
        job.joins = joins;
    }

    /// Holds back what would restore the state a late original waits for, and says so at the op.
    pub(super) fn is_guarded(&mut self, cx: &mut Cx<'_>, record: &RecordKey, document: Option<&Value>) -> bool {
        let Some(until) = self.late.hold(self.kind, record, document) else { return false };
        let Some(head) = self.jobs.get(record).and_then(|job| job.ops.first()) else { return false };
        if head.next_attempt_at == Some(until) {
            self.drop_job(record);
            return true;
        }
        let error = OpError { at: cx.at.wall, status: None, message: late::REASON.to_owned() };
        let outcome = Outcome::Queued { error: Some(error), next_attempt_at: Some(until), counts: true };
        let settle = SettleOp::of(head.seq, outcome, cx.at.wall);
        self.finish(cx, record, None, vec![settle]);
        true
    }

    pub(super) fn claim(&mut self, cx: &mut Cx<'_>, record: &RecordKey, absorbs: Vec<Seq>, request: PushRequest) {
        let Some(job) = self.jobs.get_mut(record) else { return };
        let Some(head) = job.ops.first() else { return };
        let (head, base_revision) = (head.seq, head.base_revision.clone());
        let ticket = cx.ticket();
        let request = Arc::new(request);
        let claim = ClaimOp { head, absorbs, base_revision, request: request.clone(), at: cx.at.wall };
        cx.out.push(Effect::Claim { ticket, claim });
        job.stage = Stage::Claiming(ticket, request);
    }

    pub(in crate::sync) fn fetched(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        record: &RecordKey,
        result: Result<Current, ReadError>,
        exchange: &Exchange,
    ) -> bool {
        let Some(job) = self.jobs.get_mut(record) else { return false };
        if !matches!(job.stage, Stage::Fetching(expected) if expected == ticket) {
            return false;
        }
        match result {
            Ok(current) => {
                self.unread.remove(record);
                cx.signals.push(Signal::Good(exchange.clone()));
                self.compare(cx, record, current.value, current.revision);
            }
            Err(error) => {
                let seq = job.ops.first().map(|op| op.seq);
                self.drop_job(record);
                match policy::broken_by(&error) {
                    Some(broken) if seq.is_some_and(|seq| self.is_own_reading_trouble(cx, record, seq, &broken)) => {
                        cx.signals.push(Signal::Odd(exchange.clone()));
                        self.wait_unread(cx, record, &error);
                    }
                    Some(broken) => {
                        let after = retry_after(&error);
                        cx.signals.push(Signal::Bad { broken, exchange: exchange.clone(), after });
                        self.dirty = true;
                    }
                    // The backend will not let this one record be read: it waits alone.
                    None => {
                        cx.signals.push(Signal::Good(exchange.clone()));
                        let wait = backoff::jitter_above(cx.at, 3, 5, Duration::from_secs(5), backoff::CAP);
                        self.leave_alone(cx, record, wait);
                        let text = format!("`{record}` cannot be sent: {}", policy::words(&error));
                        cx.log(Severity::Warning, "outbox", text, None);
                    }
                }
            }
        }
        true
    }

    /// The record as it is just now, before the claim.
    pub(super) fn compare(
        &mut self,
        cx: &mut Cx<'_>,
        record: &RecordKey,
        current: Option<Value>,
        revision: Option<Revision>,
    ) {
        let Some(job) = self.jobs.get(record) else { return };
        match plan::after_lookup(self.kind, &self.settling(record).rules, &job.ops, current, revision) {
            Some(next) => self.go_on(cx, record, next, Told::ByServer),
            None => self.drop_job(record),
        }
    }

    pub(in crate::sync) fn claimed(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        record: &RecordKey,
        result: StoreResult<Option<Claimed>>,
    ) {
        let Some(job) = self.jobs.get_mut(record) else { return };
        let Stage::Claiming(expected, request) = &job.stage else { return };
        if *expected != ticket {
            return;
        }
        let request = request.clone();
        match result {
            Ok(Some(Claimed::AsRead { attempts, sent_at, base_revision })) => {
                self.store_failures = 0;
                if let Some(head) = job.ops.first_mut() {
                    head.state = OpState::InFlight;
                    head.kind = request.kind;
                    head.attempts = attempts;
                    head.base_revision = base_revision;
                    head.sent_at = Some(sent_at);
                    head.next_attempt_at = None;
                    head.precondition = Some(request.precondition.clone());
                    head.sent_document.clone_from(&request.document);
                }
                job.stage = Stage::WantsSend(request);
            }
            Ok(Some(Claimed::Anew(op))) => {
                self.store_failures = 0;
                // What took the place of another has a greater number than what stands behind it.
                job.ops.retain(|known| known.seq != op.seq);
                job.ops.insert(0, *op);
                job.stage = Stage::WantsSend(request);
            }
            Ok(None) => {
                // Held, discarded, or changed meanwhile: read it again, but not at once, should the store insist.
                self.leave_alone(cx, record, Duration::from_millis(500));
                self.drop_job(record);
            }
            Err(message) => {
                self.drop_job(record);
                self.store_failed(cx, &message);
            }
        }
    }

    /// The same for the reading before a claim; once found, it stays the record's own until it can be read: where nothing
    /// else is to be sent, no other success would tell. What says that nothing can be reached, or that nobody is signed
    /// in, is never one record's own.
    pub(super) fn is_own_reading_trouble(&mut self, cx: &Cx<'_>, record: &RecordKey, seq: Seq, broken: &Break) -> bool {
        let is_lanes = match broken {
            Break::Link(trouble) => matches!(trouble.link, Link::Dns | Link::Tcp | Link::Tls | Link::Auth),
            Break::Unauthorized { .. } => true,
            Break::Later { .. } | Break::Portal(_) => false,
        };
        !is_lanes && (self.unread.contains_key(record) || self.is_own_trouble(cx, seq))
    }

    /// The record is left alone for a while, longer each time; said with the first.
    pub(super) fn wait_unread(&mut self, cx: &mut Cx<'_>, record: &RecordKey, error: &ReadError) {
        let failures = self.unread.entry(record.clone()).or_default();
        let asked = retry_after(error).unwrap_or_default().min(policy::MAX_RETRY_AFTER);
        let wait = asked + backoff::jitter_above(cx.at, 11, *failures, Duration::from_millis(250), backoff::CAP);
        *failures = failures.saturating_add(1);
        if *failures == 1 {
            let text = format!("`{record}` cannot be sent, because it cannot be read: {}", policy::words(error));
            cx.log(Severity::Warning, "outbox", text, Some("it is tried again by itself; nothing else waits for it"));
        }
        self.leave_alone(cx, record, wait);
    }
}
