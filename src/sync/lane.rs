//! One source: its gate, its sender, its pullers.
//!
//! ```text
//!             +---------------- gate: open only where all of these say so ----------------+
//!   outbox -->|  not paused · connectivity usable · no Retry-After · credentials accepted |--> server
//!             +----------------------------------------------------------------------------+
//! ```

mod answers;
mod audit;
mod credentials;

use std::{sync::Arc, time::Duration};

use credentials::Credentials;

use crate::{
    model::{
        activity::{Activity, Severity},
        ids::{CollectionKey, RecordKey, SourceName},
        op::LateOriginal,
        rules::{FieldRule, Pattern},
        source::{SourceSpec, SyncSettings},
        sync_status::{Account, ConnectivityState, SourceStatus},
        time::{At, ServerClock},
        wire::Exchange,
    },
    sync::{
        allowance::Allowance,
        connectivity::{Break, Tracker},
        effect::{BaseWrite, Effect, Ticket},
        headline::Headline,
        meter::Meter,
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
    /// An op of it may have ended without having been applied.
    Ended(RecordKey),
    /// A new base of our own making is on its way into the mirror.
    Wrote(Arc<BaseWrite>),
    OutboxChanged,
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
    /// What waits for credentials is being queued again.
    releasing: Option<Ticket>,
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
            releasing: None,
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
        !self.paused && self.tracker.is_usable() && self.hold.is_none() && self.are_credentials_fine()
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
        let is_open_question =
            matches!(self.credentials, Credentials::Refreshing | Credentials::Fine { released: false });
        let deciding = is_open_question && self.tracker.is_probing();
        !unknown
            && !deciding
            && self.releasing.is_none()
            && self.pull_first.is_none()
            && self.push.is_idle(open && !self.read_only && !self.is_barred())
            && self.pulls.iter().all(|pull| pull.is_idle(self.may_pull()))
    }

    pub(super) fn is_sending(&self) -> bool {
        self.push.works_on().next().is_some()
    }

    /// **I4** broken: see [`Push::is_stuck`]; or what only a probe can tell is not known, and none will be sent.
    pub(super) fn is_stuck(&self) -> bool {
        let is_searching = self.tracker.state() == ConnectivityState::Unknown || !self.are_credentials_fine();
        let never_looks = !self.tracker.is_probing() && self.tracker.probe_due(self.is_followed(), None).is_none();
        let is_held = self.paused || self.tracker.state() == ConnectivityState::ForcedOffline;
        self.push.is_stuck(self.may_push()) || (is_searching && never_looks && !is_held)
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
            _ if !self.are_credentials_fine() => "needs credentials",
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
        self.pulls.iter_mut().for_each(Pull::ops_ended);
    }

    pub(super) fn learn(&mut self, collection: &CollectionKey, pattern: &Pattern, rule: FieldRule) {
        self.push.learn(&collection.collection, pattern, rule);
    }

    pub(super) fn remember_guards(&mut self, cx: &Cx<'_>, guards: &[LateOriginal]) {
        self.push.remember_guards(cx, guards);
    }

    pub(super) fn journal_moved(&mut self) {
        self.push.journal_moved();
        self.pulls.iter_mut().for_each(Pull::ops_ended);
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
