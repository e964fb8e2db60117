//! The sending side of a lane: outbox → (fetch) → claim → send → new base → settle, several records at once, one op
//! of a record at a time.
//!
//! ```text
//!            revision unknown              precondition known
//!   chain -------------------> Fetch ---------------+
//!     |                          | moved, gone      v
//!     +--------------------------|--------------> Claim --> Send --> StoreBase --> Settle
//!                                v                                      ^
//!                              judge ---------------------------------- +
//! ```
//!
//! A request slot is taken by a fetch or a send only: claims run ahead of free slots, and acknowledgements are written
//! behind them, so that a commit never keeps the wire idle. **Invariant:** a record has at most one job, and a job
//! works on the oldest pending op of its record.
//!
//! ## Why the outbox is read again and again
//!
//! Other processes edit it too. What is read here is a hint; the claim is the decision, and a refused claim costs
//! nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;

use crate::{
    merge,
    model::{
        activity::Severity,
        ids::{CollectionName, RecordKey, Revision, Seq, SourceName},
        json::Pointer,
        op::{LateOriginal, Op, OpError, OpKind, OpState},
        record::Base,
        rules::{FieldRule, Pattern},
        source::{CollectionSpec, SourceKind, SourceSpec},
        sync_status::PushStatus,
        time::Timestamp,
        wire::{Answer, Current, Exchange, Link, PushRequest, ReadError},
    },
    sync::{
        backoff,
        connectivity::Break,
        effect::{BaseWrite, ClaimOp, Decided, Effect, Outcome, SettleOp, Ticket},
        event::{Chain, OutboxSlice, StoreResult},
        judge::{self, Judgement, Meeting, Settling},
        lane::{Cx, Signal},
        late::{self, Late},
        plan::{self, Next},
        policy::{self, Meaning},
        progress::Rate,
    },
};

/// An op overtaken by the server this often in a row is shown to a person.
const MAX_REBASES: u32 = 3;
/// Per lane: claims that run ahead of it, and records at any stage, acknowledgements being written among them. A commit
/// is shared by all who wait for it, so it costs least where many do.
const AHEAD: usize = 4;
const BEHIND: usize = 16;
/// A look at the outbox that nobody asked for, while something should be going.
const SAFETY: Duration = Duration::from_secs(60);

pub(super) struct Push {
    source: SourceName,
    kind: SourceKind,
    parallel: usize,
    jobs: BTreeMap<RecordKey, Job>,
    ready: VecDeque<Chain>,
    loading: Option<Loading>,
    /// Something may wait that was not read yet; counts as work.
    dirty: bool,
    /// Somebody wrote to the journal; look, without calling it work.
    peek: bool,
    /// Read ops whose time has not come too: the user or a recovered link said so.
    generous: bool,
    /// Records left alone for a while.
    not_before: HashMap<RecordKey, Wait>,
    /// When an op that waits may go (monotonic).
    next_attempt: Option<Duration>,
    /// The store is in trouble: nothing new until then.
    store_hold: Option<Duration>,
    store_failures: u32,
    late: Late,
    races: HashMap<RecordKey, Race>,
    settling: HashMap<CollectionName, Settling>,
    /// Ops that met a lane-level failure, with the lane's successes then.
    suspects: HashMap<Seq, u64>,
    /// Of these, the ones whose trouble is their own; said once.
    odd: HashSet<Seq>,
    /// How often the reading of a record before its claim failed in a row, while the rest of the lane worked.
    unread: HashMap<RecordKey, u32>,
    last_look: Duration,
    /// The stock of claims is being filled up.
    filling: bool,
    to_go: u64,
    done: u64,
    rate: Rate,
    total_done: u64,
    last_success: Option<Timestamp>,
}

/// Until when a record is left alone.
#[derive(Clone, Copy)]
struct Wait {
    /// Monotonic.
    until: Duration,
    /// Written at the op too: a reading leaves it out by itself, and finds it as soon as the user ends the wait there.
    at_op: bool,
}

/// A record that moves on the server each time its op is about to be sent.
#[derive(Default)]
struct Race {
    rounds: u32,
    /// Rounds in which only places moved that the server owns.
    owned_rounds: u32,
    /// What moved in every round.
    places: Option<BTreeSet<Pointer>>,
}

impl Race {
    fn meet(&mut self, moved: Vec<Pointer>) {
        self.rounds += 1;
        let moved: BTreeSet<Pointer> = moved.into_iter().collect();
        let each = self.places.take().map(|places| places.intersection(&moved).cloned().collect::<BTreeSet<_>>());
        self.places = Some(each.filter(|each| !each.is_empty()).unwrap_or(moved));
    }

    fn words(&self, collection: &CollectionName) -> String {
        let places: Vec<String> = self.places.iter().flatten().take(5).map(|place| format!("`{place}`")).collect();
        let first = self.places.iter().flatten().next().map(ToString::to_string).unwrap_or_default();
        format!(
            "the server changed {} each of {} times the edit was about to be sent; if it writes that by itself, \
             `ebbtide conflicts teach {collection} {first} server-owned --apply` leaves it to the server",
            places.join(", "),
            self.rounds,
        )
    }
}

struct Loading {
    ticket: Ticket,
    limit: usize,
    counts: bool,
    generous: bool,
}

struct Job {
    /// The record's chain as read; the head is the op worked on.
    ops: Vec<Op>,
    base: Option<Base>,
    /// An earlier request of the head may have been applied.
    doubted: bool,
    /// To be kept with the settle that ends the doubt.
    guard: Option<LateOriginal>,
    stage: Stage,
    /// The outbox was read while this record was left out.
    shadowed: bool,
}

enum Stage {
    WantsFetch,
    Fetching(Ticket),
    Claiming(Ticket, Arc<PushRequest>),
    WantsSend(Arc<PushRequest>),
    Sending(Ticket, Arc<PushRequest>),
    StoringBase {
        ticket: Ticket,
        base: Arc<BaseWrite>,
        settles: Vec<SettleOp>,
    },
    Settling {
        ticket: Ticket,
        settles: Vec<SettleOp>,
    },
    /// The store failed; the same again at that time.
    Again {
        at: Duration,
        base: Option<Arc<BaseWrite>>,
        settles: Vec<SettleOp>,
    },
}

impl Push {
    pub(super) fn new(spec: &SourceSpec, parallel: usize) -> Self {
        let settling = |spec: &CollectionSpec| (spec.name.clone(), Settling::of(spec));
        Self {
            source: spec.name.clone(),
            kind: spec.kind,
            parallel: parallel.clamp(1, 64),
            jobs: BTreeMap::new(),
            ready: VecDeque::new(),
            loading: None,
            dirty: true,
            peek: false,
            generous: true,
            not_before: HashMap::new(),
            next_attempt: None,
            store_hold: None,
            store_failures: 0,
            late: Late::default(),
            races: HashMap::new(),
            settling: spec.collections.iter().map(settling).collect(),
            suspects: HashMap::new(),
            odd: HashSet::new(),
            unread: HashMap::new(),
            last_look: Duration::ZERO,
            filling: false,
            to_go: 0,
            done: 0,
            rate: Rate::default(),
            total_done: 0,
            last_success: None,
        }
    }

    // --- questions --------------------------------------------------------------------------------------------------

    /// True where nothing can be sent now and no answer is awaited.
    pub(super) fn is_idle(&self, is_open: bool) -> bool {
        let waits = self.loading.as_ref().is_some_and(|loading| loading.counts);
        self.jobs.is_empty() && (!is_open || (!waits && !self.dirty && self.ready.is_empty()))
    }

    /// **I4**: something can be sent and nothing will ever make it go.
    pub(super) fn is_stuck(&self, is_open: bool) -> bool {
        let sendable = self.dirty || !self.ready.is_empty();
        let moving = !self.jobs.is_empty() || self.loading.is_some() || self.store_hold.is_some();
        is_open && sendable && !moving
    }

    /// The document of the record that is on its way right now.
    pub(super) fn sent(&self, record: &RecordKey) -> Option<Option<&Value>> {
        match &self.jobs.get(record)?.stage {
            Stage::Sending(_, request) => Some(request.document.as_ref()),
            Stage::StoringBase { base, .. } => Some(base.document.as_ref()),
            Stage::Again { base: Some(base), .. } => Some(base.document.as_ref()),
            _ => None,
        }
    }

    pub(super) fn is_working_on(&self, record: &RecordKey) -> bool {
        self.jobs.contains_key(record)
    }

    /// The earliest monotonic time at which something here wants to go on.
    pub(super) fn wake_at(&self, is_open: bool) -> Option<Duration> {
        let again = self.jobs.values().filter_map(|job| match job.stage {
            Stage::Again { at, .. } => Some(at),
            _ => None,
        });
        let when_open = [
            self.next_attempt,
            self.store_hold,
            self.waits_until(),
            (self.to_go > 0).then_some(self.last_look + SAFETY),
        ];
        again.chain(self.late.wake_at()).chain(when_open.into_iter().flatten().filter(|_| is_open)).min()
    }

    /// When the first record left alone may be looked at again.
    fn waits_until(&self) -> Option<Duration> {
        self.not_before.values().map(|wait| wait.until).min()
    }

    pub(super) fn status(&self, cx_wall: Timestamp, mono: Duration) -> PushStatus {
        let in_flight =
            self.jobs.values().filter(|job| matches!(job.stage, Stage::Sending(..) | Stage::WantsSend(_))).count();
        let waits = [self.next_attempt, self.waits_until(), self.late.next_end()];
        let waits = waits.into_iter().flatten().min();
        PushStatus {
            done: self.done,
            total: self.done + self.to_go,
            in_flight: in_flight as u64,
            rate: if self.to_go > 0 { self.rate.per_second(mono) } else { None },
            next_attempt: waits.filter(|_| self.to_go > 0).map(|due| cx_wall.plus(due.saturating_sub(mono))),
            last_success: self.last_success,
            waiting_for: None,
        }
    }

    // --- changes ----------------------------------------------------------------------------------------------------

    /// Edits were queued, released or retried.
    pub(super) fn outbox_changed(&mut self) {
        self.dirty = true;
        self.late.reconsider();
    }

    pub(super) fn journal_moved(&mut self) {
        self.peek = true;
        self.late.reconsider();
    }

    /// Forgets every wait but the guards: the user asked, or the way is free again.
    pub(super) fn reset(&mut self) {
        self.dirty = true;
        self.generous = true;
        self.not_before.clear();
        self.next_attempt = None;
        self.store_hold = None;
    }

    /// Starts and continues whatever can go. Called after every event.
    pub(super) fn advance(&mut self, cx: &mut Cx<'_>, is_open: bool) {
        self.let_time_pass(cx);
        if !is_open {
            self.stand_back(cx);
            return;
        }
        if self.store_hold.is_some() {
            return;
        }
        self.fill_slots(cx);
        while self.may_prepare() {
            let Some(chain) = self.ready.pop_front() else { break };
            self.begin(cx, chain);
            self.fill_slots(cx);
        }
        self.look(cx);
    }

    fn let_time_pass(&mut self, cx: &mut Cx<'_>) {
        let now = cx.at.mono;
        self.not_before.retain(|_, wait| {
            let waits = wait.until > now;
            self.dirty |= !waits;
            waits
        });
        if self.next_attempt.is_some_and(|due| due <= now) {
            self.next_attempt = None;
            self.dirty = true;
        }
        if self.store_hold.is_some_and(|due| due <= now) {
            self.store_hold = None;
            self.dirty = true;
        }
        if self.to_go > 0 && now >= self.last_look + SAFETY {
            self.peek = true;
        }
        for record in self.late.pass(now) {
            // A late original may have landed without any answer to us.
            cx.signals.push(Signal::Touch(record));
            // The time on disk is the wall clock's, which may have been set back meanwhile.
            (self.dirty, self.generous) = (true, true);
        }
        let due: Vec<RecordKey> = self
            .jobs
            .iter()
            .filter(|(_, job)| matches!(job.stage, Stage::Again { at, .. } if at <= now))
            .map(|(record, _)| record.clone())
            .collect();
        for record in due {
            let Some(job) = self.jobs.get_mut(&record) else { continue };
            let Stage::Again { base, settles, .. } = std::mem::replace(&mut job.stage, Stage::WantsFetch) else {
                continue;
            };
            self.finish(cx, &record, base, settles);
        }
    }

    /// The gate is closed: what was not sent goes back, what is on the wire is awaited.
    fn stand_back(&mut self, cx: &mut Cx<'_>) {
        if !self.ready.is_empty() {
            self.ready.clear();
            self.dirty = true;
        }
        let records: Vec<RecordKey> = self.jobs.keys().cloned().collect();
        for record in records {
            match self.jobs.get(&record).map(|job| (&job.stage, job.doubted)) {
                Some((Stage::WantsFetch, _)) => self.drop_job(&record),
                Some((Stage::WantsSend(_), doubted)) => {
                    let error = OpError { at: cx.at.wall, status: None, message: "not sent".to_owned() };
                    self.put_back(cx, &record, doubted, error, None, false);
                }
                _ => {}
            }
        }
    }

    /// Claims that are asked for together share a commit: the stock of them is filled up when half of it is gone.
    fn may_prepare(&mut self) -> bool {
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
                let stock = lanes * AHEAD;
                self.filling = unsent < stock && (self.filling || unsent <= stock / 2);
                self.filling && unsent + sending < stock + lanes && self.jobs.len() < lanes * BEHIND
            }
        }
    }

    fn free_slots(&self) -> usize {
        let taken = |job: &&Job| matches!(job.stage, Stage::Fetching(_) | Stage::Sending(..));
        self.parallel.saturating_sub(self.jobs.values().filter(taken).count())
    }

    /// Gives free request slots to whoever waits for one, oldest op first, sends before fetches.
    fn fill_slots(&mut self, cx: &mut Cx<'_>) {
        let mut free = self.free_slots();
        if free == 0 {
            return;
        }
        let mut waiting: Vec<(bool, Seq, RecordKey)> = self
            .jobs
            .iter()
            .filter(|(_, job)| matches!(job.stage, Stage::WantsFetch | Stage::WantsSend(_)))
            .filter_map(|(record, job)| {
                Some((matches!(job.stage, Stage::WantsFetch), job.ops.first()?.seq, record.clone()))
            })
            .collect();
        waiting.sort();
        for (_, _, record) in waiting {
            if free == 0 {
                return;
            }
            let Some(job) = self.jobs.get_mut(&record) else { continue };
            let ticket = cx.ticket();
            match std::mem::replace(&mut job.stage, Stage::WantsFetch) {
                Stage::WantsSend(request) => {
                    cx.out.push(Effect::Push { ticket, request: request.clone() });
                    job.stage = Stage::Sending(ticket, request);
                }
                _ => {
                    cx.out.push(Effect::Fetch { ticket, record: record.clone() });
                    job.stage = Stage::Fetching(ticket);
                }
            }
            free -= 1;
        }
    }

    /// Reads the outbox where something may wait there.
    fn look(&mut self, cx: &mut Cx<'_>) {
        if self.loading.is_some() || !self.ready.is_empty() || !(self.dirty || self.peek) || !self.may_prepare() {
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
        let limit = (self.parallel * 8).clamp(8, 64);
        self.loading = Some(Loading { ticket, limit, counts: self.dirty, generous });
        (self.dirty, self.peek) = (false, false);
        self.last_look = cx.at.mono;
        let now = if generous { Timestamp(i64::MAX) } else { cx.at.wall };
        cx.out.push(Effect::ReadOutbox { ticket, source: self.source.clone(), now, exclude, limit });
    }

    pub(super) fn outbox_read(&mut self, cx: &mut Cx<'_>, ticket: Ticket, result: StoreResult<OutboxSlice>) {
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

    fn begin(&mut self, cx: &mut Cx<'_>, chain: Chain) {
        let Some(head) = chain.ops.first() else { return };
        let record = chain.record.clone();
        let doubted = plan::is_doubted(head);
        let (stage, guard) = (Stage::WantsFetch, None);
        let job = Job { ops: chain.ops, base: chain.base, doubted, guard, stage, shadowed: false };
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
            next => self.go_on(cx, &record, next),
        }
    }

    /// Does what was found to be next.
    fn go_on(&mut self, cx: &mut Cx<'_>, record: &RecordKey, next: Next) {
        let Some(head) = self.jobs.get(record).and_then(|job| job.ops.first()) else { return self.drop_job(record) };
        match next {
            Next::Drop { ops } => {
                let [seq, with @ ..] = ops.as_slice() else { return self.drop_job(record) };
                let outcome = Outcome::Discarded { with: with.to_vec() };
                let settle = SettleOp { seq: *seq, outcome, at: cx.at.wall };
                self.finish(cx, record, None, vec![settle]);
            }
            Next::Repeat(request) => self.claim(cx, record, Vec::new(), request),
            Next::Claim(mut write, precondition) => {
                let absorbs = std::mem::take(&mut write.absorbs);
                let request = plan::request(head, write, precondition);
                self.claim(cx, record, absorbs, request);
            }
            Next::Moved { there, revision, .. } => self.judge(cx, record, there, revision),
            Next::Unversioned => {
                let message = "the server gives no version of the record: it cannot be changed safely".to_owned();
                let error = OpError { at: cx.at.wall, status: None, message };
                let settle = SettleOp { seq: head.seq, outcome: Outcome::Rejected { error }, at: cx.at.wall };
                self.finish(cx, record, None, vec![settle]);
            }
            Next::Lookup(_) => self.drop_job(record),
        }
    }

    /// Holds back what would restore the state a late original waits for, and says so at the op.
    fn is_guarded(&mut self, cx: &mut Cx<'_>, record: &RecordKey, document: Option<&Value>) -> bool {
        let Some(until) = self.late.hold(self.kind, record, document) else { return false };
        let Some(head) = self.jobs.get(record).and_then(|job| job.ops.first()) else { return false };
        if head.next_attempt_at == Some(until) {
            self.drop_job(record);
            return true;
        }
        let error = OpError { at: cx.at.wall, status: None, message: late::REASON.to_owned() };
        let outcome = Outcome::Queued { error: Some(error), next_attempt_at: Some(until), counts: true };
        let settle = SettleOp { seq: head.seq, outcome, at: cx.at.wall };
        self.finish(cx, record, None, vec![settle]);
        true
    }

    fn claim(&mut self, cx: &mut Cx<'_>, record: &RecordKey, absorbs: Vec<Seq>, request: PushRequest) {
        let Some(job) = self.jobs.get_mut(record) else { return };
        let Some(head) = job.ops.first().map(|op| op.seq) else { return };
        let ticket = cx.ticket();
        let request = Arc::new(request);
        let claim = ClaimOp { head, absorbs, request: request.clone(), at: cx.at.wall };
        cx.out.push(Effect::Claim { ticket, claim });
        job.stage = Stage::Claiming(ticket, request);
    }

    pub(super) fn fetched(
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
    fn compare(&mut self, cx: &mut Cx<'_>, record: &RecordKey, current: Option<Value>, revision: Option<Revision>) {
        let Some(job) = self.jobs.get(record) else { return };
        match plan::after_lookup(self.kind, &self.settling(record).rules, &job.ops, current, revision) {
            Some(next) => self.go_on(cx, record, next),
            None => self.drop_job(record),
        }
    }

    pub(super) fn claimed(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        record: &RecordKey,
        result: StoreResult<Option<Box<Op>>>,
    ) {
        let Some(job) = self.jobs.get_mut(record) else { return };
        let Stage::Claiming(expected, request) = &job.stage else { return };
        if *expected != ticket {
            return;
        }
        let request = request.clone();
        match result {
            Ok(Some(op)) => {
                self.store_failures = 0;
                job.ops.retain(|known| known.seq > op.seq && known.state != OpState::Superseded);
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

    pub(super) fn pushed(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        record: &RecordKey,
        answer: Answer,
        exchange: &Exchange,
    ) {
        let Some(job) = self.jobs.get_mut(record) else { return };
        let Stage::Sending(expected, request) = &job.stage else { return };
        if *expected != ticket {
            return;
        }
        let request = request.clone();
        let doubted = job.doubted;
        let Some((seq, attempts)) = job.ops.first().map(|op| (op.seq, op.attempts)) else { return };
        match policy::meaning(answer, request.kind, cx.at.wall) {
            Meaning::Applied { stored, revision } => {
                cx.signals.push(Signal::Good(exchange.clone()));
                let document = match request.kind {
                    OpKind::Delete => None,
                    _ => policy::into_normal(self.kind, stored.or_else(|| request.document.clone())),
                };
                self.acknowledge(cx, record, document, revision);
            }
            Meaning::Moved { current, revision } => {
                cx.signals.push(Signal::Good(exchange.clone()));
                self.judge(cx, record, current, revision);
            }
            Meaning::Gone if request.kind == OpKind::Delete => {
                cx.signals.push(Signal::Good(exchange.clone()));
                self.acknowledge(cx, record, None, None);
            }
            Meaning::Gone => {
                cx.signals.push(Signal::Good(exchange.clone()));
                self.judge(cx, record, None, None);
            }
            Meaning::Refused { error } => {
                cx.signals.push(Signal::Good(exchange.clone()));
                let text = format!("the server refused the {} of `{record}`: {}", request.kind.word(), error.message);
                cx.log(Severity::Problem, "outbox", text, Some("edit it, retry it or discard it in the outbox"));
                if doubted {
                    self.guard(cx, record);
                }
                let settle = SettleOp { seq, outcome: Outcome::Rejected { error }, at: cx.at.wall };
                self.finish(cx, record, None, vec![settle]);
            }
            Meaning::NotApplied { broken, after, counts, error } => {
                let unsent = matches!(broken, Break::Link(_));
                let own = !unsent && self.is_own_trouble(cx, seq);
                let error = if own {
                    cx.signals.push(Signal::Odd(exchange.clone()));
                    self.say_own(cx, record, seq, error)
                } else {
                    cx.signals.push(Signal::Bad { broken, exchange: exchange.clone(), after });
                    error
                };
                // Refused twice: let the others of the lane go first when it opens again.
                let wait = (own || (counts && attempts > 1))
                    .then(|| after.unwrap_or_default().min(policy::MAX_RETRY_AFTER) + op_backoff(cx, seq, attempts));
                self.put_back(cx, record, doubted, error, wait, counts);
            }
            Meaning::Unknown { broken, error } => {
                let error = if self.is_own_trouble(cx, seq) {
                    cx.signals.push(Signal::Odd(exchange.clone()));
                    self.say_own(cx, record, seq, error)
                } else {
                    cx.signals.push(Signal::Bad { broken, exchange: exchange.clone(), after: None });
                    error
                };
                let wait = op_backoff(cx, seq, attempts);
                self.doubt(cx, record, error, Some(wait));
            }
            Meaning::NeedsCredentials { message, error } => {
                let broken = Break::Unauthorized { message };
                cx.signals.push(Signal::Bad { broken, exchange: exchange.clone(), after: None });
                if doubted {
                    return self.doubt(cx, record, error, None);
                }
                let settle = SettleOp { seq, outcome: Outcome::Auth { error }, at: cx.at.wall };
                self.finish(cx, record, None, vec![settle]);
            }
        }
    }

    /// The server holds something else than the op was made on.
    fn judge(&mut self, cx: &mut Cx<'_>, record: &RecordKey, theirs: Option<Value>, revision: Option<Revision>) {
        let Some(job) = self.jobs.get(record) else { return };
        let Some(head) = job.ops.first() else { return self.drop_job(record) };
        let seq = head.seq;
        let doubted = job.doubted;
        let settling = self.settling(record);
        let meeting = Meeting {
            kind: self.kind,
            settling: &settling,
            at: cx.at,
            op: head,
            mine: merge::intended(head),
            theirs: theirs.as_ref(),
            revision: revision.as_ref(),
            doubted,
            server_clock: cx.server_clock,
        };
        let outcome = match meeting.judge() {
            Judgement::Applied => {
                self.note_acked(cx, record, seq);
                Outcome::Acked
            }
            Judgement::Conflict => self.conflict(cx, record, theirs.as_ref(), revision.as_ref(), None),
            Judgement::Rebased(op) => match self.overtaken(cx, record, theirs.as_ref()) {
                None => Outcome::Rebased { op },
                note => self.conflict(cx, record, theirs.as_ref(), revision.as_ref(), note),
            },
            Judgement::Decided(decided) if decided.op.is_none() => {
                self.log_decided(cx, record, &decided);
                self.note_given_up(record, seq);
                Outcome::Decided(decided)
            }
            Judgement::Decided(decided) => match self.overtaken(cx, record, theirs.as_ref()) {
                None => {
                    self.log_decided(cx, record, &decided);
                    Outcome::Decided(decided)
                }
                note => self.conflict(cx, record, theirs.as_ref(), revision.as_ref(), note),
            },
        };
        if doubted {
            self.guard(cx, record);
        }
        let known = self.jobs.get(record).is_some_and(|job| {
            policy::is_known(self.kind, job.base.as_ref(), theirs.as_ref())
                && (revision.is_none() || job.base.as_ref().is_none_or(|base| base.revision == revision))
        });
        let document = policy::normal(self.kind, theirs.as_ref());
        let base = BaseWrite { record: record.clone(), document, revision, at: cx.at.wall };
        let settle = SettleOp { seq, outcome, at: cx.at.wall };
        self.finish(cx, record, (!known).then(|| Arc::new(base)), vec![settle]);
    }

    /// A person is asked.
    fn conflict(
        &mut self,
        cx: &mut Cx<'_>,
        record: &RecordKey,
        theirs: Option<&Value>,
        revision: Option<&Revision>,
        note: Option<OpError>,
    ) -> Outcome {
        self.races.remove(record);
        let (text, hint) = match &note {
            Some(note) => (format!("`{record}`: {}", note.message), None),
            None => {
                let hint = "choose in the conflicts pane; nothing else waits for it";
                (format!("`{record}` changed on the server too"), Some(hint))
            }
        };
        cx.log(Severity::Warning, "conflict", text, hint);
        let head = self.jobs.get(record).and_then(|job| job.ops.first());
        let base = head.filter(|head| head.kind != OpKind::Create).and_then(|head| head.base.clone());
        Outcome::Conflict { theirs: theirs.cloned(), theirs_revision: revision.cloned(), base, note }
    }

    /// The op is moved onto the server's copy once more. `Some`: that was too often, and why a person is asked.
    /// Places the server owns may change as often as they like; the op only waits a little longer each time.
    fn overtaken(&mut self, cx: &Cx<'_>, record: &RecordKey, theirs: Option<&Value>) -> Option<OpError> {
        let settling = self.settling(record);
        let head = self.jobs.get(record).and_then(|job| job.ops.first())?;
        let moved = judge::moved_places(self.kind, head, theirs);
        let is_owned = |place: &Pointer| settling.rules.rule(place) == Some(FieldRule::ServerOwned);
        let race = self.races.entry(record.clone()).or_default();
        if !moved.is_empty() && moved.iter().all(is_owned) {
            race.owned_rounds += 1;
            if race.owned_rounds > MAX_REBASES {
                let round = race.owned_rounds - MAX_REBASES;
                let wait = backoff::jitter_above(cx.at, 7, round, Duration::from_millis(500), backoff::CAP);
                self.leave_alone(cx, record, wait);
            }
            return None;
        }
        if race.rounds < MAX_REBASES {
            race.meet(moved);
            return None;
        }
        race.meet(moved);
        Some(OpError { at: cx.at.wall, status: None, message: race.words(&record.collection.collection) })
    }

    fn log_decided(&self, cx: &mut Cx<'_>, record: &RecordKey, decided: &Decided) {
        let text = match (&decided.op, &decided.copy) {
            (_, Some(copy)) => format!("`{record}` changed on both sides: yours goes on as `{}`", copy.record.id),
            (None, None) => format!("`{record}` changed on both sides: the server's version stays, by your rules"),
            (Some(_), None) => format!("`{record}` changed on both sides: settled by your rules"),
        };
        let hint = (!decided.lost.is_empty()).then_some("the vault keeps what lost");
        cx.log(Severity::Info, "conflict", text, hint);
    }

    /// Settles by one more rule from now on.
    pub(super) fn learn(&mut self, collection: &CollectionName, pattern: &Pattern, rule: FieldRule) {
        if let Some(settling) = self.settling.get_mut(collection) {
            settling.rules.learn(pattern.clone(), rule);
        }
    }

    fn settling(&self, record: &RecordKey) -> Settling {
        self.settling.get(&record.collection.collection).cloned().unwrap_or_default()
    }

    /// The op left the outbox without having been applied.
    fn note_given_up(&mut self, record: &RecordKey, seq: Seq) {
        self.suspects.remove(&seq);
        self.odd.remove(&seq);
        self.races.remove(record);
        self.to_go = self.to_go.saturating_sub(1);
    }

    /// Applied: the new base first, durably, then the settle.
    fn acknowledge(
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
        let base = BaseWrite { record: record.clone(), document, revision, at: cx.at.wall };
        let settle = SettleOp { seq, outcome: Outcome::Acked, at: cx.at.wall };
        self.finish(cx, record, Some(Arc::new(base)), vec![settle]);
    }

    fn note_acked(&mut self, cx: &Cx<'_>, record: &RecordKey, seq: Seq) {
        self.suspects.remove(&seq);
        self.odd.remove(&seq);
        self.races.remove(record);
        self.done += 1;
        self.total_done += 1;
        self.to_go = self.to_go.saturating_sub(1);
        self.rate.note(cx.at.mono, self.total_done);
        self.last_success = Some(cx.at.wall);
    }

    /// An episode in doubt ends: for a while nothing may bring back what its precondition stands for.
    fn guard(&mut self, cx: &Cx<'_>, record: &RecordKey) {
        let Some(job) = self.jobs.get_mut(record) else { return };
        let Some(guard) = job.ops.first().and_then(|head| late::feared(head, cx.at.wall)) else { return };
        self.late.fear(cx.at, &guard);
        job.guard = Some(guard);
    }

    /// Takes up what the leaders before were guarding.
    pub(super) fn remember_guards(&mut self, cx: &Cx<'_>, guards: &[LateOriginal]) {
        for guard in guards.iter().filter(|guard| guard.record.collection.source == self.source) {
            self.late.fear(cx.at, guard);
        }
    }

    /// The record was read: where its guards ended before, there is nothing left to fear.
    pub(super) fn record_seen(&mut self, cx: &mut Cx<'_>, record: &RecordKey) {
        if let Some(until) = self.late.look_done(record) {
            cx.out.push(Effect::EndGuards { record: record.clone(), until });
        }
    }

    fn doubt(&mut self, cx: &mut Cx<'_>, record: &RecordKey, error: OpError, wait: Option<Duration>) {
        let Some(seq) = self.jobs.get(record).and_then(|job| job.ops.first()).map(|op| op.seq) else { return };
        if let Some(wait) = wait {
            self.not_before.insert(record.clone(), Wait { until: cx.at.mono + wait, at_op: true });
        }
        let next_attempt_at = wait.map(|wait| cx.at.wall.plus(wait));
        let settle = SettleOp { seq, outcome: Outcome::InDoubt { error, next_attempt_at }, at: cx.at.wall };
        self.finish(cx, record, None, vec![settle]);
    }

    /// Not applied by this request: back to `queued`; but an op that was in doubt before still is.
    fn put_back(
        &mut self,
        cx: &mut Cx<'_>,
        record: &RecordKey,
        doubted: bool,
        error: OpError,
        wait: Option<Duration>,
        counts: bool,
    ) {
        if doubted {
            return self.doubt(cx, record, error, wait);
        }
        let Some(seq) = self.jobs.get(record).and_then(|job| job.ops.first()).map(|op| op.seq) else { return };
        if let Some(wait) = wait {
            self.not_before.insert(record.clone(), Wait { until: cx.at.mono + wait, at_op: true });
        }
        let next_attempt_at = wait.map(|wait| cx.at.wall.plus(wait));
        let outcome = Outcome::Queued { error: Some(error), next_attempt_at, counts };
        self.finish(cx, record, None, vec![SettleOp { seq, outcome, at: cx.at.wall }]);
    }

    /// A lane-level failure that keeps coming for this op while other requests of the lane succeed is its own.
    fn is_own_trouble(&mut self, cx: &Cx<'_>, seq: Seq) -> bool {
        let now = cx.successes;
        self.suspects.insert(seq, now).is_some_and(|then| now > then)
    }

    /// The same for the reading before a claim; once found, it stays the record's own until it can be read: where nothing
    /// else is to be sent, no other success would tell. What says that nothing can be reached, or that nobody is signed
    /// in, is never one record's own.
    fn is_own_reading_trouble(&mut self, cx: &Cx<'_>, record: &RecordKey, seq: Seq, broken: &Break) -> bool {
        let is_lanes = match broken {
            Break::Link(trouble) => matches!(trouble.link, Link::Dns | Link::Tcp | Link::Tls | Link::Auth),
            Break::Unauthorized { .. } => true,
            Break::Later { .. } | Break::Portal(_) => false,
        };
        !is_lanes && (self.unread.contains_key(record) || self.is_own_trouble(cx, seq))
    }

    /// The record is left alone for a while, longer each time; said with the first.
    fn wait_unread(&mut self, cx: &mut Cx<'_>, record: &RecordKey, error: &ReadError) {
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

    /// Says once in the activity, and at the op every time, that only this one fails.
    fn say_own(&mut self, cx: &mut Cx<'_>, record: &RecordKey, seq: Seq, error: OpError) -> OpError {
        if self.odd.insert(seq) {
            let text = format!("`{record}` fails while other changes go through: {}", error.message);
            let hint = "it is tried again by itself, ever more rarely; hold, edit or discard it in the outbox";
            cx.log(Severity::Warning, "outbox", text, Some(hint));
        }
        error.own()
    }

    /// A wait that is known here only.
    fn leave_alone(&mut self, cx: &Cx<'_>, record: &RecordKey, wait: Duration) {
        self.not_before.insert(record.clone(), Wait { until: cx.at.mono + wait, at_op: false });
    }

    /// Writes what is to be written for the record, in order: base, then settle.
    fn finish(&mut self, cx: &mut Cx<'_>, record: &RecordKey, base: Option<Arc<BaseWrite>>, settles: Vec<SettleOp>) {
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

    pub(super) fn base_stored(&mut self, cx: &mut Cx<'_>, ticket: Ticket, record: &RecordKey, result: StoreResult<()>) {
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

    pub(super) fn settled(&mut self, cx: &mut Cx<'_>, ticket: Ticket, record: &RecordKey, result: StoreResult<()>) {
        let Some(job) = self.jobs.get_mut(record) else { return };
        let Stage::Settling { ticket: expected, settles } = &job.stage else { return };
        if *expected != ticket {
            return;
        }
        match result {
            Ok(()) => {
                self.store_failures = 0;
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

    fn drop_job(&mut self, record: &RecordKey) {
        if let Some(job) = self.jobs.remove(record) {
            self.dirty |= job.shadowed;
        }
    }

    fn store_failed(&mut self, cx: &mut Cx<'_>, message: &str) {
        let wait = backoff::jitter_above(cx.at, 11, self.store_failures, Duration::from_millis(500), backoff::CAP);
        self.store_hold = Some(cx.at.mono + wait);
        self.dirty = true;
        if self.store_failures == 0 {
            let text = format!("sending waits: {message}");
            cx.log(Severity::Problem, "outbox", text, Some("your edits are kept; it goes on by itself"));
        }
        self.store_failures = self.store_failures.saturating_add(1);
    }
}

fn op_backoff(cx: &Cx<'_>, seq: Seq, attempts: u32) -> Duration {
    let salt = u64::try_from(seq.0).unwrap_or(0);
    backoff::jitter_above(cx.at, salt, attempts.saturating_sub(1), Duration::from_millis(50), backoff::CAP)
}

fn retry_after(error: &ReadError) -> Option<Duration> {
    match error {
        ReadError::Later { after, .. } => *after,
        _ => None,
    }
}
