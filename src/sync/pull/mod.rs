//! The pulling side of a collection: from its checkpoint to `live`, or to rest until the next sweep.
//!
//! ```text
//!   Cold -> ReadingCheckpoint -> Ready -> Counting -> Sweep -> end -> Resting (windows)
//!                                  |  \                         \---> Delta -> Feed since … (delta)
//!                                  |   \------------------------------------> Feed (stream): Everything -> end -> live
//!                                  +-- Stopped by a guard, Detached by the user
//! ```
//!
//! Whatever breaks leads back to `Cold` with a timer: the checkpoint in the mirror, written in the transaction of the
//! rows it covers, is the only position that counts (**I5**).

pub use checkpoint::{Position, position};

mod audit;
mod checkpoint;
mod feed;
mod guard;
mod incoming;
mod older;
mod sweep;
mod vanished;
mod verify;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use audit::Audit;
use checkpoint::{Checkpoint, Mode, Phase};
use feed::Feed;
use guard::Origin;
use older::Held;
use sweep::{Delta, Ending, Sweep};
use vanished::Vanished;

use crate::{
    model::{
        activity::Severity,
        ids::{CollectionKey, RecordId, RecordKey},
        source::{CollectionSpec, PullMode, SyncSettings},
        sync_status::{CollectionStatus, GuardAnswer, PullPhase},
        window::WindowSize,
        wire::{Exchange, ReadError, RemoteChange},
    },
    sync::{
        backoff,
        echo::{Echoes, Heard},
        effect::{Effect, Ticket},
        event::StoreResult,
        lane::{Cx, Signal},
        policy,
        progress::Rate,
        push::Push,
    },
};

/// A feed is not asked for more while this many changes wait for the mirror.
const MAX_INCOMING: usize = 1_000;
/// How long a collection rests whose read was refused for good: somebody may repair the rules.
const REFUSED_REST: Duration = Duration::from_secs(120);

pub(super) struct Pull {
    key: CollectionKey,
    spec: CollectionSpec,
    settings: SyncSettings,
    stage: Stage,
    /// What the gate said last: closed, nothing new is asked of the server.
    is_open: bool,
    ending: Option<Ending>,
    checkpoint: Checkpoint,
    mode: Option<Mode>,
    /// The next step of `Cold`, `Ready` and `Resting` waits until then (monotonic).
    next_at: Option<Duration>,
    /// When the keys are counted again under `pull = "delta"`.
    recount_at: Option<Duration>,
    failures: u32,
    /// The user asked for everything, and no reading has come to its end since: what was swept a moment ago is swept
    /// again, however often the server fails meanwhile.
    wished: bool,
    /// The user wants everything compared with the server.
    verify_wished: bool,
    audit: Audit,
    /// How much one of its windows may be, by the lane.
    audit_most: WindowSize,
    /// An answer that came before the checkpoint was read.
    answer: Option<GuardAnswer>,
    /// The checkpoint was read at least once.
    is_known: bool,
    /// It is known whether the source is the one the copies came from.
    is_compared: bool,
    /// The source answered in this run.
    is_reached: bool,
    /// A checkpoint on its way to disk, written for its own sake.
    noting: Option<Ticket>,
    /// Where the collection is pulled from now.
    origin: Origin,
    echoes: Echoes,
    /// The number of the last whole reading that began in this run.
    last_sweep: i64,
    /// Since when some reading of the collection is open.
    reading_since: Option<Duration>,
    /// What the reading that goes on left out because its stamp went back.
    held: Held,
    vanished: Vanished,
    touched: BTreeSet<RecordId>,
    touching: BTreeMap<Ticket, (RecordId, Duration)>,
    /// Changes waiting for the mirror, and the apply they wait for.
    incoming: Vec<RemoteChange>,
    applying: Option<(Ticket, usize)>,
    rows: u64,
    rate: Rate,
    pulled: u64,
    shown: CollectionStatus,
}

enum Stage {
    Cold,
    ReadingCheckpoint(Ticket),
    Ready,
    Counting(Ticket),
    Sweep(Sweep),
    Delta(Delta),
    Feed(Feed),
    /// Comparing the number of keys with the number of rows: the keys once known.
    Recounting(Ticket, Option<u64>),
    Resting,
    Reuploading(Ticket),
    Stopped,
    Detached,
}

impl Pull {
    /// `url` is the source's.
    pub(super) fn new(key: CollectionKey, url: &str, spec: CollectionSpec, settings: SyncSettings) -> Self {
        let shown = CollectionStatus::new(key.clone());
        let origin = Origin::new(url, &spec.path);
        Self {
            key,
            spec,
            settings,
            stage: Stage::Cold,
            is_open: false,
            ending: None,
            checkpoint: Checkpoint::default(),
            mode: None,
            next_at: None,
            recount_at: None,
            failures: 0,
            wished: false,
            verify_wished: false,
            audit: Audit::default(),
            audit_most: WindowSize::default(),
            answer: None,
            is_known: false,
            is_compared: false,
            is_reached: false,
            noting: None,
            origin,
            echoes: Echoes::default(),
            last_sweep: 0,
            reading_since: None,
            held: Held::default(),
            vanished: Vanished::default(),
            touched: BTreeSet::new(),
            touching: BTreeMap::new(),
            incoming: Vec::new(),
            applying: None,
            rows: 0,
            rate: Rate::default(),
            pulled: 0,
            shown,
        }
    }

    // --- questions --------------------------------------------------------------------------------------------------

    pub(super) fn key(&self) -> &CollectionKey {
        &self.key
    }

    /// True while the open feed of this collection proves that the source is there.
    pub(super) fn is_followed(&self) -> bool {
        matches!(&self.stage, Stage::Feed(feed) if feed.is_live())
    }

    /// Nothing can be done now that would not have to wait for a time or a person.
    pub(super) fn is_idle(&self, is_open: bool) -> bool {
        let writing = self.applying.is_some() || self.ending.is_some() || self.noting.is_some();
        let quiet = self.touching.is_empty() && self.touched.is_empty() && self.incoming.is_empty();
        let resting = match &self.stage {
            Stage::Cold | Stage::Ready => !is_open || self.next_at.is_some(),
            Stage::Resting | Stage::Stopped | Stage::Detached => true,
            Stage::Feed(feed) => feed.is_live(),
            Stage::Sweep(sweep) => !is_open && !sweep.is_waiting(),
            _ => false,
        };
        let wishes = is_open && self.may_verify();
        resting && !wishes && !writing && (quiet || !is_open)
    }

    /// A bounded pull that the sender may wait for.
    pub(super) fn wants_delta(&self) -> bool {
        let due = matches!(self.stage, Stage::Cold | Stage::ReadingCheckpoint(_) | Stage::Ready | Stage::Delta(_));
        due && self.next_at.is_none() && (self.mode == Some(Mode::Delta) || self.spec.pull == PullMode::Delta)
    }

    pub(super) fn wake_at(&self, is_open: bool) -> Option<Duration> {
        let next = match self.stage {
            Stage::Cold | Stage::Ready | Stage::Resting => self.next_at,
            _ => None,
        };
        let recount = self.recount_at.filter(|_| self.can_recount());
        let by_network = [next, recount].into_iter().flatten().filter(|_| is_open);
        by_network.chain(self.vanished.wake_at().filter(|_| self.may_bury())).min()
    }

    /// As published.
    pub(super) fn status(
        &self,
        cx_wall: crate::model::time::Timestamp,
        mono: Duration,
        is_open: bool,
    ) -> CollectionStatus {
        let mut shown = self.shown.clone();
        shown.phase = self.phase(is_open);
        shown.guard = self.question().cloned();
        shown.verified = self.checkpoint.verified.clone();
        let moving = matches!(shown.phase, PullPhase::Backfill | PullPhase::Sweep | PullPhase::Delta);
        shown.rate = if moving { self.rate.per_second(mono) } else { None };
        let next = self.next_at.filter(|_| matches!(self.stage, Stage::Cold | Stage::Ready | Stage::Resting));
        shown.next_at = next.filter(|_| is_open).map(|due| cx_wall.plus(due.saturating_sub(mono)));
        shown
    }

    fn phase(&self, is_open: bool) -> PullPhase {
        let begun = self.checkpoint.whole || self.checkpoint.phase == Phase::Backfill || self.pulled > 0;
        let unfinished = if begun { PullPhase::Stalled } else { PullPhase::NeverSynced };
        match &self.stage {
            Stage::Stopped => PullPhase::Stopped(self.stopped_text()),
            Stage::Detached => PullPhase::Detached,
            Stage::Resting => PullPhase::Settled,
            Stage::Feed(feed) if feed.is_live() => PullPhase::Live,
            _ if !is_open => unfinished,
            Stage::Cold | Stage::Ready if self.failures > 0 => unfinished,
            Stage::Cold | Stage::ReadingCheckpoint(_) | Stage::Ready => PullPhase::Waiting,
            Stage::Counting(_) | Stage::Sweep(_) if !self.checkpoint.whole => PullPhase::Backfill,
            Stage::Counting(_) | Stage::Sweep(_) | Stage::Recounting(..) => PullPhase::Sweep,
            Stage::Delta(_) => PullPhase::Delta,
            Stage::Feed(feed) if !feed.has_snapshot() && self.ending.is_none() => PullPhase::Waiting,
            Stage::Feed(_) if !self.checkpoint.whole => PullPhase::Backfill,
            Stage::Feed(_) => PullPhase::Sweep,
            Stage::Reuploading(_) => PullPhase::Waiting,
        }
    }

    // --- wishes -----------------------------------------------------------------------------------------------------

    /// The way is free again: no need to wait out a backoff.
    pub(super) fn resume(&mut self) {
        if matches!(self.stage, Stage::Cold | Stage::Ready) {
            self.next_at = None;
        }
    }

    /// The user wants everything now.
    pub(super) fn sync_now(&mut self, now: Duration) {
        match self.stage {
            Stage::Cold | Stage::ReadingCheckpoint(_) | Stage::Ready => (self.next_at, self.wished) = (None, true),
            Stage::Resting => (self.next_at, self.wished) = (Some(now), true),
            _ => {}
        }
    }

    /// Pause or forced offline: no open connection is kept.
    pub(super) fn hang_up(&mut self, cx: &mut Cx<'_>) {
        if matches!(self.stage, Stage::Feed(_)) {
            self.restart(cx, None);
        }
    }

    /// Fetch this record when there is a moment.
    pub(super) fn touch(&mut self, id: RecordId) {
        if !self.is_elsewhere() {
            self.touched.insert(id);
        }
    }

    /// A new base of the lane's own making is on its way to the mirror. What was read of the record before and still waits
    /// would be written behind it: it is read anew.
    pub(super) fn note_own_write(&mut self, record: &RecordKey, document: Option<&serde_json::Value>, now: Duration) {
        if self.reading_since.is_some() || !self.touching.is_empty() || self.held.since().is_some() {
            self.echoes.note(&record.id, document, now);
        }
        let waiting = self.incoming.len();
        self.incoming.retain(|change| change.id() != &record.id);
        if self.incoming.len() < waiting {
            self.touch(record.id.clone());
        }
    }

    // --- going on ---------------------------------------------------------------------------------------------------

    pub(super) fn advance(&mut self, cx: &mut Cx<'_>, is_open: bool, push: &Push) {
        self.is_open = is_open;
        self.bury_vanished(cx);
        for id in self.echoes.unanswered(|id| push.is_working_on(&self.key.record(id.clone()))) {
            self.touch(id);
        }
        self.flush_incoming(cx);
        self.continue_sweep(cx);
        self.continue_feed(cx);
        let oldest =
            self.touching.values().map(|(_, began)| *began).chain(self.reading_since).chain(self.held.since()).min();
        let is_live = self.is_followed() && self.touching.is_empty() && self.held.since().is_none();
        self.echoes.forget(cx.at.mono, oldest, is_live);
        let due = self.next_at.is_none_or(|next| next <= cx.at.mono);
        // Without a network too: what a guard stopped for is on disk, and asks.
        if due && matches!(self.stage, Stage::Cold) && (is_open || !self.is_known) {
            self.next_at = None;
            let ticket = cx.ticket();
            cx.out.push(Effect::ReadCheckpoint { ticket, collection: self.key.clone() });
            self.stage = Stage::ReadingCheckpoint(ticket);
        }
        if !is_open {
            return;
        }
        self.start_touches(cx, push);
        if self.may_verify() {
            return self.begin_verify(cx);
        }
        match self.stage {
            Stage::Ready if due => {
                self.next_at = None;
                self.start(cx);
            }
            Stage::Resting if due => {
                self.next_at = None;
                self.wake_from_rest(cx);
            }
            Stage::Delta(_) => self.continue_delta(cx),
            _ if self.can_recount() && self.recount_at.is_some_and(|at| at <= cx.at.mono) => self.recount(cx),
            _ => {}
        }
    }

    pub(super) fn checkpoint_read(&mut self, cx: &mut Cx<'_>, ticket: Ticket, result: StoreResult<Option<String>>) {
        if !matches!(self.stage, Stage::ReadingCheckpoint(expected) if expected == ticket) {
            return;
        }
        match result {
            Ok(text) => {
                self.checkpoint = Checkpoint::read(text.as_deref());
                self.mode = self.configured_mode().or(self.checkpoint.mode);
                self.shown.checkpoint = self.checkpoint.after.as_ref().map(|id| id.0.clone());
                if self.checkpoint.phase == Phase::Backfill {
                    (self.shown.done, self.shown.total) = (self.checkpoint.done, self.checkpoint.total);
                }
                self.stage = match (self.checkpoint.phase, &self.checkpoint.stopped) {
                    (Phase::Detached, _) => Stage::Detached,
                    (_, Some(_)) => Stage::Stopped,
                    _ => Stage::Ready,
                };
                self.is_known = true;
                self.plan_audit(cx.at);
                if let Some(answer) = self.answer.take() {
                    self.answer_guard(cx, answer);
                }
                self.compare_origin(cx);
            }
            Err(message) => self.fail_locally(cx, &message),
        }
    }

    /// What the configuration says; `None` under `auto`.
    fn configured_mode(&self) -> Option<Mode> {
        match self.spec.pull {
            PullMode::Auto => None,
            PullMode::Stream => Some(Mode::Stream),
            PullMode::Delta if self.spec.updated_at.is_some() => Some(Mode::Delta),
            PullMode::Delta | PullMode::Windows => Some(Mode::Windows),
        }
    }

    /// From the checkpoint on.
    fn start(&mut self, cx: &mut Cx<'_>) {
        // The first reading of a run would heal what a comparison is to find.
        if self.verify_wished && self.checkpoint.whole {
            return self.begin_verify(cx);
        }
        if self.checkpoint.phase == Phase::Complete && self.recount_at.is_none() {
            // Deltas tell of no deletions, and those of the time nobody was here are still to be found.
            self.recount_at = Some(cx.at.mono + self.rest_left(cx).unwrap_or_default());
        }
        match (self.mode, self.checkpoint.phase) {
            (Some(Mode::Stream), _) => self.open_feed(cx, None),
            (Some(_), Phase::Backfill) => self.begin_sweep(cx, true),
            (Some(Mode::Delta), Phase::Complete) if self.checkpoint.since.is_some() => self.begin_delta(cx),
            (Some(Mode::Windows), Phase::Complete) => match self.rest_left(cx).filter(|_| !self.wished) {
                Some(left) => self.rest(cx, left),
                None => self.count(cx),
            },
            _ => self.count(cx),
        }
    }

    /// How long the next timed sweep is away.
    fn rest_left(&self, cx: &Cx<'_>) -> Option<Duration> {
        let swept = crate::model::time::Timestamp(self.checkpoint.swept_at?);
        let ago = cx.at.wall.since(swept);
        let left = self.settings.sweep_every.checked_sub(ago)?;
        (swept <= cx.at.wall && !left.is_zero()).then_some(left)
    }

    fn rest(&mut self, cx: &mut Cx<'_>, span: Duration) {
        self.stage = Stage::Resting;
        self.reading_since = None;
        self.next_at = Some(cx.at.mono + span);
    }

    fn wake_from_rest(&mut self, cx: &mut Cx<'_>) {
        match self.mode {
            Some(Mode::Delta) if self.checkpoint.since.is_some() => self.begin_delta(cx),
            _ => self.count(cx),
        }
    }

    fn count(&mut self, cx: &mut Cx<'_>) {
        let ticket = cx.ticket();
        cx.out.push(Effect::ReadKeys { ticket, collection: self.key.clone() });
        self.stage = Stage::Counting(ticket);
    }

    fn counted(&mut self, cx: &mut Cx<'_>, total: Option<u64>) {
        if self.mode.is_none() {
            self.mode = Some(match total {
                Some(total) if total <= self.settings.stream_records => Mode::Stream,
                _ if self.spec.updated_at.is_some() => Mode::Delta,
                _ => Mode::Windows,
            });
        }
        self.shown.total = total;
        match self.mode {
            Some(Mode::Stream) => self.open_feed(cx, None),
            _ => self.begin_sweep(cx, false),
        }
    }

    pub(super) fn keys_read(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        result: Result<Vec<RecordId>, ReadError>,
        exchange: &Exchange,
    ) {
        self.shown.bytes += exchange.bytes_down;
        let recounts = matches!(self.stage, Stage::Recounting(expected, None) if expected == ticket);
        let counts = matches!(self.stage, Stage::Counting(expected) if expected == ticket);
        if self.ending.as_ref().is_some_and(|ending| ending.is_proof(ticket)) {
            return self.proof_read(cx, result, exchange);
        }
        if !recounts && !counts {
            return;
        }
        match result {
            Ok(keys) => {
                cx.signals.push(Signal::Good(exchange.clone()));
                let count = keys.len() as u64;
                if counts { self.counted(cx, Some(count)) } else { self.recount_rows(cx, count) }
            }
            // No denominator then: that is no reason not to pull.
            Err(ReadError::Refused { .. }) if counts => {
                cx.signals.push(Signal::Good(exchange.clone()));
                self.counted(cx, None);
            }
            Err(ReadError::Refused { .. }) if recounts => {
                cx.signals.push(Signal::Good(exchange.clone()));
                self.begin_delta(cx);
            }
            Err(error) => self.fail(cx, &error, exchange),
        }
    }

    fn advanced_by(&mut self, cx: &Cx<'_>, rows: u64) {
        self.pulled += rows;
        self.shown.done += rows;
        self.rate.note(cx.at.mono, self.pulled);
        self.shown.last_pull = Some(cx.at.wall);
        self.shown.last_error = None;
        if !matches!(self.stage, Stage::Feed(_)) {
            self.failures = 0;
        }
    }

    // --- trouble ----------------------------------------------------------------------------------------------------

    /// Tells the lane what a failed read says about the way to the source.
    fn report(&mut self, cx: &mut Cx<'_>, error: &ReadError, exchange: &Exchange) {
        self.shown.last_error = Some(policy::words(error));
        match policy::broken_by(error) {
            Some(broken) => {
                let after = match error {
                    ReadError::Later { after, .. } => *after,
                    _ => None,
                };
                cx.signals.push(Signal::Bad { broken, exchange: exchange.clone(), after });
            }
            None => cx.signals.push(Signal::Good(exchange.clone())),
        }
    }

    /// The server or the way to it: again from the checkpoint, after a while.
    fn fail(&mut self, cx: &mut Cx<'_>, error: &ReadError, exchange: &Exchange) {
        self.report(cx, error, exchange);
        // A feed that breaks as soon as it stands is no progress; one that stood for a while begins anew.
        if matches!(&self.stage, Stage::Feed(feed) if feed.stood(cx.at.mono)) {
            self.failures = 0;
        }
        let refused = matches!(error, ReadError::Refused { .. });
        if refused && self.failures == 0 {
            let text = format!("`{}` cannot be pulled: {}", self.key, policy::words(error));
            cx.log(Severity::Problem, "sync", text, Some("check the collection's path and the server's rules"));
        }
        let wait = backoff::jitter_above(cx.at, 23, self.failures, Duration::from_millis(200), backoff::CAP);
        self.failures = self.failures.saturating_add(1);
        self.restart(cx, Some(cx.at.mono + if refused { REFUSED_REST } else { wait }));
    }

    /// The store: likewise, without a word about the network.
    fn fail_locally(&mut self, cx: &mut Cx<'_>, message: &str) {
        if self.failures == 0 {
            let text = format!("`{}` was not pulled: {message}", self.key);
            cx.log(Severity::Problem, "sync", text, Some("it goes on by itself"));
        }
        self.shown.last_error = Some(message.to_owned());
        let wait = backoff::jitter_above(cx.at, 29, self.failures, Duration::from_millis(500), backoff::CAP);
        self.failures = self.failures.saturating_add(1);
        self.restart(cx, Some(cx.at.mono + wait));
    }

    fn restart(&mut self, cx: &mut Cx<'_>, next_at: Option<Duration>) {
        if let Stage::Feed(feed) = &self.stage {
            self.shown.last_pull = self.shown.last_pull.max(feed.complete_until());
        }
        self.close_feed(cx);
        let is_snapshot_next = matches!(&self.stage, Stage::Feed(feed) if feed.is_of_everything());
        self.stage = Stage::Cold;
        self.ending = None;
        self.audit.break_off();
        self.reading_since = None;
        self.next_at = next_at;
        // A snapshot brings it again; a reading that goes on from where it was does not.
        let waiting = std::mem::take(&mut self.incoming);
        if !is_snapshot_next {
            waiting.into_iter().for_each(|change| self.touch(change.id().clone()));
        }
        self.rate.reset();
    }

    fn close_feed(&self, cx: &mut Cx<'_>) {
        if let Stage::Feed(feed) = &self.stage {
            cx.out.push(Effect::CloseFeed { ticket: feed.ticket(), collection: self.key.clone() });
        }
    }
}
