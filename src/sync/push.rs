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

mod answers;
mod claims;
mod settle;

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;

use crate::{
    model::{
        activity::Severity,
        ids::{CollectionName, RecordKey, Seq, SourceName},
        op::{LateOriginal, Op, OpError},
        record::Base,
        rules::{FieldRule, Pattern},
        source::{CollectionSpec, SourceKind, SourceSpec},
        sync_status::PushStatus,
        time::Timestamp,
        wire::{PushRequest, ReadError},
    },
    sync::{
        backoff,
        effect::{BaseWrite, SettleOp, Ticket},
        event::Chain,
        judge::Settling,
        lane::{Cx, Signal},
        late::Late,
        progress::Rate,
    },
};

/// An op overtaken by the server this often in a row is shown to a person.
const MAX_REBASES: u32 = 3;
/// Claims run ahead by what is sent in this time, a commit being what they wait for: on a slow link an edit that was not
/// sent can be changed nearly to the last, on a fast one no request slot is ever empty.
const AHEAD: Duration = Duration::from_millis(10);
/// The same per lane, at least and at most.
const LEAST_AHEAD: usize = 2;
const MOST_AHEAD: usize = 16;
/// Per lane: records at any stage, acknowledgements being written among them. A commit is shared by all who wait for it,
/// so it costs least where many do.
const BEHIND: usize = 48;
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
    races: HashMap<RecordKey, answers::Race>,
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
    /// Ops that became part of the head to be judged with it, and are still rows of their own.
    joins: Vec<Seq>,
    /// An earlier request of the head may have been applied.
    doubted: bool,
    /// To be kept with the settle that ends the doubt.
    guard: Option<LateOriginal>,
    stage: Stage,
    /// The outbox was read while this record was left out.
    shadowed: bool,
}

/// Who says what the server holds of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// What the mirror had when the outbox was read.
    ByMirror,
    /// An answer of just now.
    ByServer,
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
        let Stage::Sending(_, request) = &self.jobs.get(record)?.stage else { return None };
        Some(request.document.as_ref())
    }

    pub(super) fn is_working_on(&self, record: &RecordKey) -> bool {
        self.jobs.contains_key(record)
    }

    pub(super) fn works_on(&self) -> impl Iterator<Item = &RecordKey> {
        self.jobs.keys()
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
        while self.may_prepare(cx.at.mono) {
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
            // The op's own wait was over when it was read; by a clock that was set back since, it would begin again.
            self.generous |= !waits && !wait.at_op;
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

    /// Settles by one more rule from now on.
    pub(super) fn learn(&mut self, collection: &CollectionName, pattern: &Pattern, rule: FieldRule) {
        if let Some(settling) = self.settling.get_mut(collection) {
            settling.rules.learn(pattern.clone(), rule);
        }
    }

    fn settling(&self, record: &RecordKey) -> Settling {
        self.settling.get(&record.collection.collection).cloned().unwrap_or_default()
    }

    /// A wait that is known here only.
    fn leave_alone(&mut self, cx: &Cx<'_>, record: &RecordKey, wait: Duration) {
        self.not_before.insert(record.clone(), Wait { until: cx.at.mono + wait, at_op: false });
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
