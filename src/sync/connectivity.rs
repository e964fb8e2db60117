//! What is known about reaching a source, from our own requests: the state, its evidence, and when to probe.
//!
//! ```text
//!            first answer                 dns, tcp, tls fail
//!   unknown --------------> online <------------------------> offline
//!                            ^ |  slow, an error, flapping      backend down (http, twice)
//!        3 good in a row     | v                                captive portal
//!                           degraded                            auth required
//! ```
//!
//! A broken link is believed at once. A recovered one is believed at once too, unless the link flaps: then `degraded`
//! is shown, up or down, until requests went well for a while, or it stayed down for longer than a flap; and probes
//! thin out. What is shown may be calmer than what is known, never brighter: the gate of the lane goes by what is known.

use std::{collections::VecDeque, time::Duration};

use crate::{
    model::{
        sync_status::{Connectivity, ConnectivityState as State, LinkFact},
        time::{At, ServerClock, Timestamp},
        wire::{Exchange, Link, Trouble},
    },
    sync::{backoff, clock_offset::ClockOffset, effect::Ticket},
};

const MAX_ROUND_TRIPS: usize = 32;
const SLOW_MS: u32 = 2_000;
const GOOD_IN_A_ROW: u32 = 3;
/// A link that broke, came back and broke again within [`FLAP_SPAN`] flaps.
const FLAPS: usize = 3;
const FLAP_SPAN: Duration = Duration::from_secs(60);
/// A flapping link that stays down for longer is down.
const FLAP_DOWN: Duration = Duration::from_secs(20);
/// How long a flapping link must go well before it is believed; longer, the more it flapped.
const HOLD: Duration = Duration::from_secs(5);
const MAX_HOLD: Duration = Duration::from_secs(30);
const PROBE_FLOOR: Duration = Duration::from_millis(250);
const DEGRADED_PROBE: Duration = Duration::from_secs(2);

/// How a request failed, as far as the way to the source is concerned.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Break {
    /// No usable answer: a broken link, or a written request without one.
    Link(Trouble),
    /// The server asked to come back later.
    Later {
        status: u16,
        message: String,
    },
    Unauthorized {
        message: String,
    },
    Portal(Trouble),
}

#[derive(Debug, Clone)]
pub(super) struct Tracker {
    known: Connectivity,
    /// What people are shown, since when.
    shown: (State, Option<Timestamp>),
    /// When the known state was entered (monotonic), and since when every request went well.
    entered: Duration,
    good_since: Option<Duration>,
    forced: bool,
    https: bool,
    clock: ClockOffset,
    good_in_a_row: u32,
    /// When the first of the connections broke that broke together.
    broke: Option<Duration>,
    /// When the source became usable or unusable, lately.
    flips: VecDeque<Duration>,
    probing: Option<Ticket>,
    /// Monotonic; `None`: no probe is planned.
    probe_at: Option<Duration>,
    last_contact: Option<Duration>,
    /// Requests that went well since the start.
    successes: u64,
    probe_every: Duration,
}

impl Tracker {
    pub(super) fn new(https: bool, probe_every: Duration) -> Self {
        Self {
            known: Connectivity::default(),
            shown: (State::Unknown, None),
            entered: Duration::ZERO,
            good_since: None,
            forced: false,
            https,
            clock: ClockOffset::default(),
            good_in_a_row: 0,
            broke: None,
            flips: VecDeque::new(),
            probing: None,
            probe_at: None,
            last_contact: None,
            successes: 0,
            probe_every: probe_every.max(Duration::from_secs(1)),
        }
    }

    pub(super) fn state(&self) -> State {
        if self.forced { State::ForcedOffline } else { self.known.state }
    }

    pub(super) fn is_usable(&self) -> bool {
        self.state().is_usable()
    }

    pub(super) fn successes(&self) -> u64 {
        self.successes
    }

    /// The source's clock against ours, as far as its answers told.
    pub(super) fn server_clock(&self) -> Option<ServerClock> {
        self.clock.measured()
    }

    /// This computer's clock was set, or it slept.
    pub(super) fn forget_clock(&mut self) {
        self.clock.forget();
        self.known.evidence.clock_offset_ms = None;
        self.known.evidence.clock_uncertainty_ms = None;
    }

    pub(super) fn is_probing(&self) -> bool {
        self.probing.is_some()
    }

    /// What people are shown; [`Tracker::settle`] keeps it.
    pub(super) fn shown(&self) -> State {
        self.shown.0
    }

    /// True while the link comes and goes and did not yet hold for long enough.
    pub(super) fn is_unsteady(&self, at: &At) -> bool {
        self.is_flapping(at) && self.known.state != State::Online
    }

    pub(super) fn summary(&self) -> &str {
        &self.known.evidence.summary
    }

    /// As published.
    pub(super) fn snapshot(&self, at: &At) -> Connectivity {
        let mut shown = self.known.clone();
        (shown.state, shown.since) = self.shown;
        if self.is_unsteady(at) {
            let (times, summary) = (self.flaps(at).div_ceil(2), &self.known.evidence.summary);
            shown.evidence.summary = format!("comes and goes, {times} times within a minute; {summary}");
        }
        let planned = self.probe_at.filter(|_| !self.is_usable());
        shown.evidence.next_probe = planned.map(|due| at.wall.plus(due.saturating_sub(at.mono)));
        shown
    }

    /// Brings what is shown up to what is known. Called after every event.
    pub(super) fn settle(&mut self, at: &At) {
        let down = matches!(self.known.state, State::Offline | State::BackendDown);
        let next = match self.state() {
            State::Offline | State::BackendDown if self.is_flapping(at) && at.mono < self.entered + FLAP_DOWN => {
                State::Degraded
            }
            state => state,
        };
        if self.shown.0 != next {
            // What lasted unseen for a while began when it began.
            let since = if down && next != State::Degraded { self.known.since } else { Some(at.wall) };
            self.shown = (next, since);
        }
    }

    /// When [`Tracker::settle`] has news although nothing happened.
    pub(super) fn settles_at(&self) -> Option<Duration> {
        (self.shown.0 != self.state()).then_some(self.entered + FLAP_DOWN)
    }

    pub(super) fn force(&mut self, at: &At, forced: bool) {
        if self.forced == forced {
            return;
        }
        self.forced = forced;
        self.known.since = Some(at.wall);
        self.probe_at = None;
        if !forced {
            self.known.state = State::Unknown;
            self.known.evidence.failures_in_a_row = 0;
            self.probe_at = Some(at.mono);
        }
    }

    /// Something was asked of the server and it answered as the backend it is.
    pub(super) fn good(&mut self, at: &At, exchange: &Exchange, chain: Option<Vec<LinkFact>>) {
        self.successes += 1;
        self.good_in_a_row += 1;
        self.good_since.get_or_insert(at.mono);
        self.last_contact = Some(at.mono);
        let evidence = &mut self.known.evidence;
        evidence.failures_in_a_row = 0;
        evidence.last_success = Some(at.wall);
        if let Some(round_trip) = exchange.round_trip {
            if evidence.round_trips_ms.len() >= MAX_ROUND_TRIPS {
                evidence.round_trips_ms.remove(0);
            }
            evidence.round_trips_ms.push(u32::try_from(round_trip.as_millis()).unwrap_or(u32::MAX));
        }
        self.measure_offset(exchange);
        if let Some(chain) = chain {
            self.known.evidence.chain = chain;
        } else if self.known.evidence.chain.iter().any(|fact| !fact.ok) || self.known.evidence.chain.is_empty() {
            self.known.evidence.chain = self.whole_chain();
        }
        let next = self.state_after_good(at);
        self.known.evidence.summary = match next {
            State::Degraded if self.is_slow() => "slow: answers take more than 2 s".to_owned(),
            State::Degraded => "some requests fail".to_owned(),
            _ => "every link answers".to_owned(),
        };
        self.enter(at, next);
        self.plan_probe(at);
    }

    pub(super) fn bad(&mut self, at: &At, broken: &Break, exchange: &Exchange, chain: Option<Vec<LinkFact>>) {
        self.good_in_a_row = 0;
        self.good_since = None;
        // Whoever else answered, a portal or a gateway, has a clock of its own.
        if matches!(broken, Break::Later { .. } | Break::Unauthorized { .. }) {
            self.measure_offset(exchange);
        }
        // One break of the way ends every connection there is.
        let together = self.known.evidence.failures_in_a_row > 0
            && self.broke.is_some_and(|broke| at.mono.saturating_sub(broke) < PROBE_FLOOR);
        let evidence = &mut self.known.evidence;
        if !together {
            self.broke = Some(at.mono);
            evidence.failures_in_a_row = evidence.failures_in_a_row.saturating_add(1);
        }
        evidence.last_failure = Some(at.wall);
        let (link, message) = describe(broken);
        evidence.summary = format!("{}: {message}", link.word());
        let chain = chain.filter(|chain| !chain.is_empty()).unwrap_or_else(|| self.broken_chain(link, &message));
        self.known.evidence.chain = chain;
        let next = self.state_after(broken);
        let was = self.known.state;
        self.enter(at, next);
        if together && was == next {
            return;
        }
        self.plan_probe(at);
        if was == State::Online && next == State::Degraded && matches!(broken, Break::Link(_)) && !self.is_flapping(at)
        {
            self.probe_at = Some(at.mono + PROBE_FLOOR);
        }
    }

    /// A sign of life that is not an answer (a live feed's keep-alive): keeps a good state fresh, lifts no bad one.
    pub(super) fn alive(&mut self, at: &At) {
        if self.known.state.is_usable() {
            self.last_contact = Some(at.mono);
            self.known.evidence.last_success = Some(at.wall);
            self.known.evidence.failures_in_a_row = 0;
        }
    }

    /// The computer slept: what the link did before is no sign of what it does now.
    pub(super) fn forget_flaps(&mut self) {
        self.flips.clear();
    }

    /// The operating system says that the network changed: a hint to look, unless it says so all the time.
    pub(super) fn take_hint(&mut self, at: &At) {
        if self.is_flapping(at) && self.probe_at.is_some() {
            return;
        }
        self.look_again(at);
    }

    /// The user, a wake from sleep or a network hint asks to look again now.
    pub(super) fn look_again(&mut self, at: &At) {
        self.known.evidence.failures_in_a_row = 0;
        if !self.forced && self.probing.is_none() {
            self.probe_at = Some(at.mono);
        }
    }

    /// The ticket of a probe to send now, if one is due. `followed` is true while a live feed shows that the source is
    /// there; `not_before` is a `Retry-After`.
    pub(super) fn begin_probe(
        &mut self,
        at: &At,
        followed: bool,
        not_before: Option<Duration>,
        ticket: impl FnOnce() -> Ticket,
    ) -> Option<Ticket> {
        let due = self.probe_due(followed, not_before)?;
        if due > at.mono {
            return None;
        }
        let ticket = ticket();
        self.probing = Some(ticket);
        self.probe_at = None;
        Some(ticket)
    }

    /// False for an answer nobody waits for.
    pub(super) fn end_probe(&mut self, ticket: Ticket) -> bool {
        let expected = self.probing == Some(ticket);
        if expected {
            self.probing = None;
        }
        expected
    }

    /// When the next probe is due (monotonic).
    pub(super) fn probe_due(&self, followed: bool, not_before: Option<Duration>) -> Option<Duration> {
        if self.forced || self.probing.is_some() {
            return None;
        }
        let due = match self.known.state {
            State::Unknown => Some(self.probe_at.unwrap_or_default()),
            State::Online => {
                let routine = self.last_contact.filter(|_| !followed).map(|last| last + self.probe_every);
                [self.probe_at, routine].into_iter().flatten().min()
            }
            _ => self.probe_at,
        }?;
        Some(not_before.map_or(due, |earliest| due.max(earliest)))
    }

    fn state_after_good(&self, at: &At) -> State {
        let settled = self.good_in_a_row >= GOOD_IN_A_ROW;
        match self.known.state {
            _ if self.is_slow() => State::Degraded,
            State::Online => State::Online,
            _ if self.is_flapping(at) && !(settled && self.has_held(at)) => State::Degraded,
            State::Degraded if !settled => State::Degraded,
            _ => State::Online,
        }
    }

    fn flaps(&self, at: &At) -> usize {
        self.flips.iter().filter(|flip| at.mono.saturating_sub(**flip) < FLAP_SPAN).count()
    }

    fn is_flapping(&self, at: &At) -> bool {
        self.flaps(at) >= FLAPS
    }

    fn has_held(&self, at: &At) -> bool {
        let more = u32::try_from(self.flaps(at).saturating_sub(FLAPS)).unwrap_or(u32::MAX);
        let hold = HOLD.saturating_mul(more.saturating_add(1)).min(MAX_HOLD);
        self.good_since.is_some_and(|since| at.mono.saturating_sub(since) >= hold)
    }

    fn state_after(&self, broken: &Break) -> State {
        let repeated = self.known.evidence.failures_in_a_row >= 2;
        let was = self.known.state;
        // One lost answer is no outage: the next request or probe decides.
        let doubted = if was.is_usable() { State::Degraded } else { was };
        match broken {
            Break::Portal(_) => State::CaptivePortal,
            Break::Unauthorized { .. } => State::AuthRequired,
            Break::Later { status: 429, .. } => State::Degraded,
            Break::Link(trouble) if matches!(trouble.link, Link::Dns | Link::Tcp | Link::Tls) => State::Offline,
            Break::Link(trouble) if trouble.link == Link::Auth => State::AuthRequired,
            _ if repeated || was == State::Unknown => State::BackendDown,
            _ => doubted,
        }
    }

    fn enter(&mut self, at: &At, next: State) {
        let was = self.known.state;
        if was == next {
            return;
        }
        if was.is_usable() != next.is_usable() && was != State::Unknown {
            self.flips.push_back(at.mono);
            while self.flips.len() > 64 {
                self.flips.pop_front();
            }
        }
        self.known.state = next;
        self.known.since = Some(at.wall);
        self.entered = at.mono;
    }

    fn plan_probe(&mut self, at: &At) {
        let failures = self.known.evidence.failures_in_a_row.saturating_sub(1);
        let flaps = u32::try_from(self.flaps(at)).unwrap_or(u32::MAX);
        let calm = if self.is_flapping(at) { flaps } else { 0 };
        self.probe_at = match self.known.state {
            State::Online => None,
            State::Degraded => Some(at.mono + DEGRADED_PROBE * 2_u32.pow((calm / 2).min(3))),
            State::AuthRequired => Some(at.mono + self.probe_every * 2),
            _ => {
                let cap = self.probe_every.min(backoff::CAP);
                Some(at.mono + backoff::jitter_above(at, 7, failures.max(calm), PROBE_FLOOR, cap))
            }
        };
    }

    fn is_slow(&self) -> bool {
        let trips = &self.known.evidence.round_trips_ms;
        let mut last: Vec<u32> = trips.iter().rev().take(5).copied().collect();
        last.sort_unstable();
        last.len() >= 3 && last[last.len() / 2] > SLOW_MS
    }

    fn measure_offset(&mut self, exchange: &Exchange) {
        self.clock.note(exchange);
        let Some(measured) = self.clock.measured() else { return };
        // A difference smaller than what `Date` can tell is no news, and would repaint an idle screen.
        let evidence = &mut self.known.evidence;
        let moved = evidence.clock_offset_ms.is_none_or(|shown| (shown - measured.offset_ms).abs() > 1_000);
        if moved {
            evidence.clock_offset_ms = Some(measured.offset_ms);
            evidence.clock_uncertainty_ms = Some(measured.uncertainty_ms);
        }
    }

    fn links(&self) -> impl Iterator<Item = Link> + '_ {
        Link::CHAIN.into_iter().filter(|link| self.https || *link != Link::Tls)
    }

    fn whole_chain(&self) -> Vec<LinkFact> {
        self.links().map(|link| LinkFact { link, ok: true, detail: String::new() }).collect()
    }

    fn broken_chain(&self, broken: Link, message: &str) -> Vec<LinkFact> {
        let fact = |link: Link| match link == broken {
            true => LinkFact { link, ok: false, detail: message.to_owned() },
            false => LinkFact { link, ok: true, detail: String::new() },
        };
        self.links().filter(|link| *link <= broken).map(fact).collect()
    }
}

fn describe(broken: &Break) -> (Link, String) {
    match broken {
        Break::Link(trouble) | Break::Portal(trouble) => (trouble.link, trouble.message.clone()),
        Break::Later { status, message } => (Link::Http, format!("{status} {message}").trim_end().to_owned()),
        Break::Unauthorized { message } => (Link::Auth, message.clone()),
    }
}

#[cfg(test)]
mod tests;
