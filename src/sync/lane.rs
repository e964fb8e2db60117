//! One source: its gate, its sender, its pullers.
//!
//! ```text
//!             +---------------- gate: open only where all of these say so ----------------+
//!   outbox -->|  not paused · connectivity usable · no Retry-After · credentials accepted |--> server
//!             +----------------------------------------------------------------------------+
//! ```

mod audit;

use std::{sync::Arc, time::Duration};

use crate::{
    model::{
        activity::{Activity, Severity},
        ids::{CollectionKey, RecordKey, SourceName},
        op::LateOriginal,
        rules::{FieldRule, Pattern},
        source::{SourceSpec, SyncSettings},
        spend::SpentRow,
        sync_status::{Account, ConnectivityState, LinkFact, SourceStatus},
        time::{At, ServerClock},
        wire::{Exchange, ReadError},
    },
    sync::{
        allowance::Allowance,
        backoff,
        connectivity::{Break, Tracker},
        effect::{BaseWrite, Effect, Ticket},
        event::{Event, StoreResult},
        headline::Headline,
        later,
        meter::Meter,
        policy,
        pull::Pull,
        push::Push,
    },
};

/// The sender waits at most this long for a delta that was promised to be short.
const PULL_FIRST: Duration = Duration::from_secs(5);

/// What every part of a lane is handed: the instant, and where effects and signals go.
pub(super) struct Cx<'a> {
    pub(super) at: &'a At,
    pub(super) out: &'a mut Vec<Effect>,
    pub(super) signals: Vec<Signal>,
    /// Requests of this lane that went well so far.
    pub(super) successes: u64,
    /// The source's clock against ours, where it was measured since the start.
    pub(super) server_clock: Option<ServerClock>,
    tickets: &'a mut u64,
}

impl<'a> Cx<'a> {
    pub(super) fn new(at: &'a At, out: &'a mut Vec<Effect>, tickets: &'a mut u64) -> Self {
        Self { at, out, signals: Vec::new(), successes: 0, server_clock: None, tickets }
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        *self.tickets += 1;
        Ticket(*self.tickets)
    }

    pub(super) fn log(&mut self, severity: Severity, topic: &str, text: impl Into<String>, hint: Option<&str>) {
        let mut activity = Activity::new(self.at.wall, severity, topic, text);
        activity.hint = hint.map(str::to_owned);
        self.out.push(Effect::Log(activity));
    }
}

/// What the parts of a lane tell the lane.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Signal {
    /// A small request was answered by the backend.
    Good(Exchange),
    /// A big one was: its duration says nothing about the way.
    Read(Exchange),
    /// A failure that is one op's own.
    Odd(Exchange),
    Bad {
        broken: Break,
        exchange: Exchange,
        after: Option<Duration>,
    },
    /// A live feed gave a sign of life.
    Alive,
    LookAgain,
    /// Fetch this record.
    Touch(RecordKey),
    /// It was fetched.
    Seen(RecordKey),
    /// A new base of our own making is on its way into the mirror.
    Wrote(Arc<BaseWrite>),
    OutboxChanged,
}

/// Where the credentials stand. One refresh at a time, then one retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credentials {
    /// Accepted, or not refused so far. False until ops of an earlier refusal were released.
    Fine {
        released: bool,
    },
    /// Read anew; the next probe tells.
    Refreshing,
    Refused,
}

struct Hold {
    until: Duration,
    reason: String,
}

pub(super) struct Lane {
    source: SourceName,
    read_only: bool,
    tracker: Tracker,
    credentials: Credentials,
    /// When credentials were read anew last (monotonic).
    refreshed_at: Option<Duration>,
    paused: bool,
    hold: Option<Hold>,
    laters: u32,
    /// Usable, and not merely for the moment: what was put off may go on.
    was_free: bool,
    headline: Headline,
    meter: Meter,
    /// What comparing in the background may cost.
    allowance: Allowance,
    /// The user asked for everything: a used up budget waits until that is done.
    beyond_budget: bool,
    /// When a used up budget is renewed (monotonic).
    renewed_at: Option<Duration>,
    pull_first: Option<Duration>,
    push: Push,
    pulls: Vec<Pull>,
}

impl Lane {
    pub(super) fn new(spec: &SourceSpec, settings: &SyncSettings) -> Self {
        let https = spec.url.starts_with("https:");
        let pulls = spec.collections.iter().map(|collection| {
            let key = CollectionKey { source: spec.name.clone(), collection: collection.name.clone() };
            Pull::new(key, &spec.url, collection.clone(), settings.clone())
        });
        Self {
            source: spec.name.clone(),
            read_only: spec.read_only,
            tracker: Tracker::new(https, settings.probe_every),
            credentials: Credentials::Fine { released: false },
            refreshed_at: None,
            paused: false,
            hold: None,
            laters: 0,
            was_free: false,
            headline: Headline::default(),
            meter: Meter::new(spec.name.clone(), settings.zone_offset, settings.daily_budget),
            allowance: Allowance::new(settings.audit_budget),
            beyond_budget: false,
            renewed_at: None,
            pull_first: None,
            push: Push::new(spec, settings.parallel),
            pulls: pulls.collect(),
        }
    }

    // --- questions --------------------------------------------------------------------------------------------------

    pub(super) fn source(&self) -> &SourceName {
        &self.source
    }

    /// What people are shown.
    pub(super) fn connectivity(&self) -> ConnectivityState {
        self.tracker.shown()
    }

    fn is_open(&self) -> bool {
        let accepted = matches!(self.credentials, Credentials::Fine { .. });
        !self.paused && self.tracker.is_usable() && self.hold.is_none() && accepted
    }

    /// Another server answers than the one the edits were made for, or that is not known yet.
    fn is_barred(&self) -> bool {
        let no_right_one = !self.pulls.is_empty() && self.pulls.iter().all(Pull::is_elsewhere);
        no_right_one || self.pulls.iter().any(|pull| pull.is_unsure() || pull.asks_where())
    }

    /// Reading is what a budget holds back; sending never.
    fn may_pull(&self) -> bool {
        self.is_open() && (!self.meter.is_used_up() || self.beyond_budget)
    }

    fn may_push(&self) -> bool {
        self.is_open()
            && !self.read_only
            && !self.is_barred()
            && self.pull_first.is_none()
            && !self.pulls.iter().any(Pull::is_reuploading)
    }

    /// Nothing can be done now: all is done, or waits for a time, a person or the network.
    pub(super) fn is_idle(&self) -> bool {
        let open = self.is_open();
        let unknown = self.tracker.state() == ConnectivityState::Unknown && !self.paused;
        let deciding = self.credentials == Credentials::Refreshing && self.tracker.is_probing();
        !unknown
            && !deciding
            && self.pull_first.is_none()
            && self.push.is_idle(open && !self.read_only && !self.is_barred())
            && self.pulls.iter().all(|pull| pull.is_idle(self.may_pull()))
    }

    /// **I4** broken: see [`Push::is_stuck`].
    pub(super) fn is_stuck(&self) -> bool {
        self.push.is_stuck(self.may_push())
            || (self.tracker.state() == ConnectivityState::Unknown
                && !self.paused
                && !self.tracker.is_probing()
                && self.tracker.probe_due(false, None).is_none())
    }

    pub(super) fn wake_at(&self) -> Option<Duration> {
        let open = self.may_pull();
        let hold = self.hold.as_ref().map(|hold| hold.until);
        let probe = self.tracker.probe_due(self.is_followed(), hold).filter(|_| !self.paused);
        let parts = [probe, hold, self.tracker.settles_at(), self.pull_first, self.push.wake_at(self.may_push())];
        parts
            .into_iter()
            .flatten()
            .chain(self.pulls.iter().filter_map(|pull| pull.wake_at(open)))
            .chain(self.renewed_at)
            .chain(self.audits_at())
            .min()
    }

    fn is_followed(&self) -> bool {
        self.pulls.iter().any(Pull::is_followed)
    }

    pub(super) fn status(&self, at: &At) -> SourceStatus {
        let mut push = self.push.status(at.wall, at.mono);
        push.waiting_for = self.waiting_for();
        let open = self.may_pull();
        SourceStatus {
            source: self.source.clone(),
            connectivity: self.tracker.snapshot(at),
            paused: self.paused,
            push,
            collections: self.pulls.iter().map(|pull| pull.status(at.wall, at.mono, open)).collect(),
            spent: self.meter.shown(),
            // Known to the store: the leader fills it in.
            account: Account::default(),
            at: at.wall,
        }
    }

    fn waiting_for(&self) -> Option<String> {
        let reason = match self.tracker.state() {
            _ if self.read_only => "the source is read-only",
            _ if self.paused => "paused by you",
            _ if self.pulls.iter().any(Pull::is_elsewhere) && self.is_barred() => {
                "another server answers: decide in the sync pane"
            }
            ConnectivityState::ForcedOffline => "forced offline",
            _ if self.hold.is_some() => return self.hold.as_ref().map(|hold| hold.reason.clone()),
            _ if !matches!(self.credentials, Credentials::Fine { .. }) => "needs credentials",
            ConnectivityState::AuthRequired => "needs credentials",
            ConnectivityState::Offline => "no connection",
            ConnectivityState::BackendDown => "the server does not work",
            ConnectivityState::CaptivePortal => "the network asks to sign in",
            ConnectivityState::Unknown => "looking for the server",
            ConnectivityState::Online | ConnectivityState::Degraded => return None,
        };
        Some(reason.to_owned())
    }

    // --- wishes -----------------------------------------------------------------------------------------------------

    pub(super) fn outbox_changed(&mut self) {
        self.push.outbox_changed();
    }

    pub(super) fn learn(&mut self, collection: &CollectionKey, pattern: &Pattern, rule: FieldRule) {
        self.push.learn(&collection.collection, pattern, rule);
    }

    pub(super) fn remember_guards(&mut self, cx: &Cx<'_>, guards: &[LateOriginal]) {
        self.push.remember_guards(cx, guards);
    }

    pub(super) fn journal_moved(&mut self) {
        self.push.journal_moved();
    }

    /// The user asks, or the machine woke up: forget every backoff and look.
    pub(super) fn sync_now(&mut self, cx: &mut Cx<'_>) {
        self.hold = None;
        self.laters = 0;
        self.beyond_budget = true;
        if self.credentials == Credentials::Refused {
            self.refresh(cx);
        }
        if !self.tracker.is_usable() {
            self.tracker.look_again(cx.at);
        }
        self.push.reset();
        for pull in &mut self.pulls {
            pull.sync_now(cx.at.mono);
        }
    }

    pub(super) fn probe_now(&mut self, cx: &mut Cx<'_>) {
        if self.credentials == Credentials::Refused {
            self.refresh(cx);
        }
        self.tracker.look_again(cx.at);
    }

    /// The computer slept, or its clock was set: timers meant for a time that has passed, connections that are gone
    /// without a word. `by` is how far the wall clock ran ahead of the monotonic one.
    pub(super) fn woke_up(&mut self, cx: &mut Cx<'_>, by: Duration) {
        // A wait the server asked for goes on, less the time that was slept.
        if let Some(hold) = &mut self.hold {
            hold.until = hold.until.saturating_sub(by);
        }
        self.laters = 0;
        self.tracker.forget_clock();
        self.tracker.forget_flaps();
        self.tracker.look_again(cx.at);
        self.push.reset();
        for pull in &mut self.pulls {
            pull.hang_up(cx);
            pull.resume();
            pull.plan_audit(cx.at);
        }
    }

    /// The operating system says that the network changed: look, and forget the waits of the way. Nothing else is
    /// concluded from it.
    pub(super) fn network_changed(&mut self, cx: &mut Cx<'_>) {
        if !self.paused {
            self.tracker.take_hint(cx.at);
        }
    }

    pub(super) fn pause(&mut self, cx: &mut Cx<'_>, paused: bool) {
        if self.paused == paused {
            return;
        }
        self.paused = paused;
        if paused {
            self.pulls.iter_mut().for_each(|pull| pull.hang_up(cx));
        } else {
            self.tracker.look_again(cx.at);
            self.push.reset();
            self.pulls.iter_mut().for_each(Pull::resume);
        }
    }

    pub(super) fn force_offline(&mut self, cx: &mut Cx<'_>, forced: bool) {
        self.tracker.force(cx.at, forced);
        if forced {
            self.was_free = false;
            self.pulls.iter_mut().for_each(|pull| pull.hang_up(cx));
        }
    }

    pub(super) fn verify(&mut self, only: Option<&CollectionKey>) {
        self.pulls.iter_mut().filter(|pull| only.is_none_or(|key| pull.key() == key)).for_each(Pull::verify);
    }

    pub(super) fn pull_mut(&mut self, key: &CollectionKey) -> Option<&mut Pull> {
        self.pulls.iter_mut().find(|pull| pull.key() == key)
    }

    // --- answers ----------------------------------------------------------------------------------------------------

    pub(super) fn handle(&mut self, cx: &mut Cx<'_>, mut event: Event) {
        self.inform(cx);
        later::by_server_clock(&mut event, cx.at, cx.server_clock);
        self.meet(cx, &event);
        self.count(cx.at, &event);
        match event {
            Event::OutboxRead { ticket, result, .. } => self.push.outbox_read(cx, ticket, result),
            Event::Claimed { ticket, record, result } => self.push.claimed(cx, ticket, &record, result),
            Event::Pushed { ticket, record, answer, exchange } => {
                self.push.pushed(cx, ticket, &record, answer, &exchange);
            }
            Event::BaseStored { ticket, record, result } => self.push.base_stored(cx, ticket, &record, result),
            Event::Settled { ticket, record, result } => self.push.settled(cx, ticket, &record, result),
            Event::Fetched { ticket, record, result, exchange } => {
                let asked = self.pull_mut(&record.collection);
                if !asked.is_some_and(|pull| pull.fetched(cx, ticket, result.clone(), &exchange)) {
                    self.push.fetched(cx, ticket, &record, result, &exchange);
                }
            }
            Event::AuthReleased { result, .. } => self.auth_released(result),
            Event::Probed { ticket, result, chain, exchange, .. } => self.probed(cx, ticket, result, chain, &exchange),
            Event::CheckpointRead { ticket, collection, result } => {
                self.with_pull(&collection, |pull, _| pull.checkpoint_read(cx, ticket, result));
            }
            Event::KeysRead { ticket, collection, result, exchange } => {
                self.with_pull(&collection, |pull, _| pull.keys_read(cx, ticket, result, &exchange));
            }
            Event::PageRead { ticket, collection, result, exchange } => {
                self.with_pull(&collection, |pull, _| pull.page_read(cx, ticket, result, &exchange));
            }
            Event::PageApplied { ticket, collection, result } => {
                self.with_pull(&collection, |pull, push| pull.page_applied(cx, ticket, result, push));
            }
            Event::MissingRead { ticket, collection, result } => {
                self.with_pull(&collection, |pull, _| pull.missing_read(cx, ticket, result));
            }
            Event::WindowCompared { ticket, collection, result } => {
                self.with_pull(&collection, |pull, _| pull.window_compared(cx, ticket, result));
            }
            Event::FeedOpened { ticket, collection, result, exchange } => {
                self.with_pull(&collection, |pull, _| pull.feed_opened(cx, ticket, result, &exchange));
            }
            Event::FeedMoved { ticket, collection, result, bytes } => {
                self.with_pull(&collection, |pull, push| pull.feed_moved(cx, ticket, result, bytes, push));
            }
            Event::Reuploaded { ticket, collection, result } => {
                self.with_pull(&collection, |pull, _| pull.reuploaded(cx, ticket, result));
            }
            Event::Started { .. }
            | Event::Tick
            | Event::NetworkChanged
            | Event::SpentRead(_)
            | Event::JournalMoved
            | Event::Request(_) => {}
        }
        self.hear(cx);
    }

    pub(super) fn remember_spent(&mut self, cx: &Cx<'_>, rows: &[SpentRow]) {
        self.meter.remember(cx.at, rows);
    }

    /// Writes down the bytes not written yet.
    pub(super) fn save_spent(&mut self, cx: &mut Cx<'_>, end: bool) {
        let rows = self.meter.take_unsaved(cx.at, end);
        if !rows.is_empty() {
            cx.out.push(Effect::SaveSpent(rows));
        }
    }

    fn count(&mut self, at: &At, event: &Event) {
        match event {
            Event::Fetched { record, exchange, .. } | Event::Pushed { record, exchange, .. } => {
                self.meter.note(at, Some(&record.collection.collection), exchange);
            }
            Event::KeysRead { collection, exchange, .. }
            | Event::PageRead { collection, exchange, .. }
            | Event::FeedOpened { collection, exchange, .. } => {
                self.meter.note(at, Some(&collection.collection), exchange);
            }
            Event::FeedMoved { ticket, collection, bytes, .. } => {
                self.meter.note_feed(at, *ticket, &collection.collection, *bytes);
            }
            Event::Probed { exchange, .. } => self.meter.note(at, None, exchange),
            _ => {}
        }
    }

    /// Says once when the budget is used up, and ends what would go on costing.
    fn mind_budget(&mut self, cx: &mut Cx<'_>) {
        self.meter.turn_the_day(cx.at);
        let was = self.renewed_at.is_some();
        self.renewed_at = self.meter.renewed_at(cx.at);
        let is_used_up = self.renewed_at.is_some();
        if is_used_up && !was {
            let text = format!("today's budget of `{}` is used up: nothing more is fetched by itself", self.source);
            cx.log(Severity::Warning, "network", text, Some("your edits still go out; sync fetches once all the same"));
        }
        if is_used_up && !self.beyond_budget {
            self.pulls.iter_mut().for_each(|pull| pull.hang_up(cx));
        }
        if was && !is_used_up {
            self.pulls.iter_mut().for_each(Pull::resume);
        }
    }

    /// Hands the parts what the lane knows of the way.
    fn inform(&self, cx: &mut Cx<'_>) {
        cx.successes = self.tracker.successes();
        cx.server_clock = self.tracker.server_clock();
    }

    /// Nothing of an answer is used before it is known that it comes from the right server.
    fn meet(&mut self, cx: &mut Cx<'_>, event: &Event) {
        let (Event::Fetched { exchange, .. }
        | Event::Pushed { exchange, .. }
        | Event::KeysRead { exchange, .. }
        | Event::PageRead { exchange, .. }
        | Event::FeedOpened { exchange, .. }
        | Event::Probed { exchange, .. }) = event
        else {
            return;
        };
        if let Some(database) = &exchange.server {
            self.pulls.iter_mut().for_each(|pull| pull.meet(cx, database));
        }
    }

    fn with_pull(&mut self, key: &CollectionKey, f: impl FnOnce(&mut Pull, &Push)) {
        if let Some(pull) = self.pulls.iter_mut().find(|pull| pull.key() == key) {
            f(pull, &self.push);
        }
    }

    fn probed(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        result: Result<(), ReadError>,
        chain: Vec<LinkFact>,
        exchange: &Exchange,
    ) {
        if !self.tracker.end_probe(ticket) {
            return;
        }
        let broken = match &result {
            Ok(()) => None,
            // A refusal is an answer, but nothing of this source will work.
            Err(ReadError::Refused { status, message }) => {
                Some(Break::Later { status: *status, message: message.clone() })
            }
            Err(error) => policy::broken_by(error),
        };
        match broken {
            None => {
                self.tracker.good(cx.at, exchange, Some(chain));
                self.credentials_accepted(cx);
            }
            Some(broken) => {
                if matches!(broken, Break::Unauthorized { .. }) {
                    self.credentials_refused(cx);
                }
                if let Err(ReadError::Later { after: Some(after), .. }) = result {
                    self.hold_back(cx, Some(after), &broken);
                }
                self.tracker.bad(cx.at, &broken, exchange, Some(chain));
            }
        }
    }

    /// Draws the lane's conclusions from what its parts met.
    fn hear(&mut self, cx: &mut Cx<'_>) {
        for signal in std::mem::take(&mut cx.signals) {
            match signal {
                Signal::Good(exchange) => {
                    self.tracker.good(cx.at, &exchange, None);
                    self.laters = 0;
                    self.credentials_accepted(cx);
                }
                Signal::Read(exchange) => {
                    self.tracker.good(cx.at, &Exchange { round_trip: None, ..exchange }, None);
                    self.laters = 0;
                }
                Signal::Odd(_) => {}
                Signal::Bad { broken, exchange, after } => {
                    match &broken {
                        Break::Later { .. } => self.hold_back(cx, after, &broken),
                        Break::Unauthorized { .. } if self.was_sent_before_refresh(cx, &exchange) => {
                            // The answer to old credentials: what it parked is released with the next good answer.
                            self.credentials = Credentials::Fine { released: false };
                            self.tracker.look_again(cx.at);
                            continue;
                        }
                        Break::Unauthorized { .. } => self.begin_refresh(cx),
                        Break::Link(_) | Break::Portal(_) => {}
                    }
                    self.tracker.bad(cx.at, &broken, &exchange, None);
                    if self.credentials == Credentials::Refreshing {
                        self.tracker.look_again(cx.at);
                    }
                }
                Signal::Alive => self.tracker.alive(cx.at),
                Signal::LookAgain => self.tracker.look_again(cx.at),
                Signal::Touch(record) => {
                    if let Some(pull) = self.pull_mut(&record.collection) {
                        pull.touch(record.id);
                    }
                }
                Signal::Seen(record) => self.push.record_seen(cx, &record),
                Signal::Wrote(base) => {
                    if let Some(pull) = self.pull_mut(&base.record.collection) {
                        pull.note_own_write(&base.record, base.document.as_ref(), cx.at.mono);
                    }
                }
                Signal::OutboxChanged => self.push.outbox_changed(),
            }
        }
        self.inform(cx);
    }

    /// The server said when to come back, or only that it is too busy now.
    fn hold_back(&mut self, cx: &Cx<'_>, after: Option<Duration>, broken: &Break) {
        let (wait, reason) = match after {
            Some(after) => {
                let wait = after.min(policy::MAX_RETRY_AFTER);
                (wait, format!("the server asked to wait {} s (Retry-After)", wait.as_secs().max(1)))
            }
            None => {
                let floor = Duration::from_millis(250);
                (backoff::jitter_above(cx.at, 5, self.laters, floor, backoff::CAP), "the server is too busy".to_owned())
            }
        };
        self.laters = self.laters.saturating_add(1);
        let until = cx.at.mono + wait;
        if matches!(broken, Break::Later { .. }) && self.hold.as_ref().is_none_or(|hold| hold.until < until) {
            self.hold = Some(Hold { until, reason });
        }
    }

    fn was_sent_before_refresh(&self, cx: &Cx<'_>, exchange: &Exchange) -> bool {
        let sent = cx.at.mono.saturating_sub(exchange.round_trip.unwrap_or_default());
        matches!(self.credentials, Credentials::Fine { .. })
            && self.refreshed_at.is_some_and(|refreshed| sent < refreshed)
    }

    fn begin_refresh(&mut self, cx: &mut Cx<'_>) {
        if matches!(self.credentials, Credentials::Fine { .. }) {
            self.refresh(cx);
        }
    }

    fn refresh(&mut self, cx: &mut Cx<'_>) {
        self.credentials = Credentials::Refreshing;
        self.refreshed_at = Some(cx.at.mono);
        cx.out.push(Effect::ForgetCredentials { source: self.source.clone() });
        self.tracker.look_again(cx.at);
    }

    fn credentials_refused(&mut self, cx: &mut Cx<'_>) {
        match self.credentials {
            // Perhaps only old ones: read them anew once.
            Credentials::Fine { .. } => self.refresh(cx),
            Credentials::Refreshing => {
                self.credentials = Credentials::Refused;
                let text = format!("`{}` does not accept the credentials", self.source);
                cx.log(Severity::Problem, "sync", text, Some("your edits are kept; check the token of the source"));
            }
            // Every later probe reads them anew, in case somebody signed in.
            Credentials::Refused => cx.out.push(Effect::ForgetCredentials { source: self.source.clone() }),
        }
    }

    fn credentials_accepted(&mut self, cx: &mut Cx<'_>) {
        if self.credentials == (Credentials::Fine { released: true }) {
            return;
        }
        self.credentials = Credentials::Fine { released: true };
        let ticket = cx.ticket();
        cx.out.push(Effect::ReleaseAuth { ticket, source: self.source.clone() });
    }

    fn auth_released(&mut self, result: StoreResult<u64>) {
        match result {
            Ok(0) => {}
            Ok(_) => self.push.outbox_changed(),
            Err(_) => self.credentials = Credentials::Fine { released: false },
        }
    }

    // --- going on ---------------------------------------------------------------------------------------------------

    /// Starts and continues whatever can go; called after every event.
    pub(super) fn advance(&mut self, cx: &mut Cx<'_>) {
        self.inform(cx);
        if self.hold.as_ref().is_some_and(|hold| hold.until <= cx.at.mono) {
            self.hold = None;
        }
        self.note_usability(cx);
        self.mind_budget(cx);
        self.save_spent(cx, false);
        if !self.paused {
            let hold = self.hold.as_ref().map(|hold| hold.until);
            let followed = self.is_followed();
            if let Some(ticket) = self.tracker.begin_probe(cx.at, followed, hold, || cx.ticket()) {
                cx.out.push(Effect::Probe { ticket, source: self.source.clone() });
            }
        }
        self.go_on(cx);
        // What was asked for is done.
        if self.beyond_budget && self.is_open() && self.pulls.iter().all(|pull| pull.is_idle(true)) {
            self.beyond_budget = false;
        }
        self.audit(cx);
    }

    fn go_on(&mut self, cx: &mut Cx<'_>) {
        // What a part signals may set another part going; three rounds are more than any of them needs.
        for _ in 0..3 {
            let (open, reached) = (self.may_pull(), self.is_open());
            for pull in &mut self.pulls {
                if reached {
                    pull.reach(cx);
                }
                pull.advance(cx, open, &self.push);
            }
            if self.pull_first.is_some_and(|until| until <= cx.at.mono)
                || !open
                || !self.pulls.iter().any(Pull::wants_delta)
            {
                self.pull_first = None;
            }
            // The pulls know by now whether this is the right server.
            let may_push = self.may_push();
            self.push.advance(cx, may_push);
            if cx.signals.is_empty() {
                return;
            }
            self.hear(cx);
        }
    }

    /// What was put off goes on where the way is free again. Not over a link that comes and goes: each time would cost
    /// a new beginning of every feed.
    fn note_usability(&mut self, cx: &mut Cx<'_>) {
        self.tracker.settle(cx.at);
        self.headline.tell(cx, self.source.as_str(), &self.tracker);
        let free = self.tracker.is_usable() && !self.tracker.is_unsteady(cx.at);
        if free == self.was_free {
            return;
        }
        self.was_free = free;
        if free {
            self.push.reset();
            self.pulls.iter_mut().for_each(Pull::resume);
            let bounded = self.may_pull() && self.pulls.iter().any(Pull::wants_delta);
            self.pull_first = bounded.then_some(cx.at.mono + PULL_FIRST);
        }
    }
}
