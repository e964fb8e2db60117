//! The machine: routes events to lanes, publishes what they know, and sees to it that nothing waits for nothing.

use std::time::Duration;

use crate::{
    model::{
        activity::Severity,
        ids::SourceName,
        source::{SourceSpec, SyncSettings},
        sync_status::{SourceStatus, SyncRequest},
        time::{At, Timestamp},
    },
    sync::{
        effect::Effect,
        event::Event,
        lane::{Cx, Lane},
    },
};

/// At most one status in this time, unless a connectivity state changed.
const PUBLISH_EVERY: Duration = Duration::from_millis(500);
/// A difference between the wall clock's and the monotonic clock's pace that only sleep or a person explains.
const JUMP: Duration = Duration::from_secs(10);

/// The sync machine of one process.
///
/// **Invariant (I4):** while something can be sent, a request is in flight or [`Machine::wake_at`] names a time. It is
/// checked after every event, and healed with a row in the log should it ever be broken.
pub struct Machine {
    lanes: Vec<Lane>,
    /// To be applied when the lead begins.
    forced_offline: bool,
    tickets: u64,
    started: bool,
    idle: bool,
    published: Vec<SourceStatus>,
    published_at: Option<Duration>,
    /// A status waits for its time.
    publish_due: bool,
    clock: Option<(Timestamp, Duration)>,
    healed: u32,
}

impl Machine {
    pub fn new(sources: &[SourceSpec], settings: &SyncSettings, forced_offline: bool) -> Self {
        Self {
            lanes: sources.iter().map(|spec| Lane::new(spec, settings)).collect(),
            forced_offline,
            tickets: 0,
            started: false,
            idle: false,
            published: Vec::new(),
            published_at: None,
            publish_due: false,
            clock: None,
            healed: 0,
        }
    }

    /// Takes an event in and says what is to be done.
    pub fn handle(&mut self, at: &At, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        let jumped = self.clock_jumped(at);
        if let Event::Started { guards } = &event {
            self.started = true;
            let forced = self.forced_offline;
            self.each(at, &mut effects, None, |lane, cx| {
                lane.remember_guards(cx, guards);
                lane.force_offline(cx, forced);
            });
        }
        if !self.started {
            return effects;
        }
        if let Some(by) = jumped {
            self.each(at, &mut effects, None, |lane, cx| lane.woke_up(cx, by));
        }
        match event {
            Event::Started { .. } | Event::Tick => {}
            Event::NetworkChanged => self.each(at, &mut effects, None, Lane::network_changed),
            Event::SpentRead(rows) => self.each(at, &mut effects, None, |lane, cx| lane.remember_spent(cx, &rows)),
            Event::JournalMoved => self.lanes.iter_mut().for_each(Lane::journal_moved),
            Event::Request(request) => {
                self.idle = false;
                self.request(at, &mut effects, &request);
            }
            answer => {
                let source = source_of(&answer).cloned();
                let mut cx = Cx::new(at, &mut effects, &mut self.tickets);
                if let Some(lane) = self.lanes.iter_mut().find(|lane| Some(lane.source()) == source.as_ref()) {
                    lane.handle(&mut cx, answer);
                }
            }
        }
        self.each(at, &mut effects, None, Lane::advance);
        self.heal(at, &mut effects);
        self.tell(at, &mut effects);
        effects
    }

    /// The monotonic time at which [`Event::Tick`] is wanted, if nothing happens before.
    pub fn wake_at(&self) -> Option<Duration> {
        if !self.started {
            return None;
        }
        let publish = self.published_at.filter(|_| self.publish_due).map(|last| last + PUBLISH_EVERY);
        self.lanes.iter().filter_map(Lane::wake_at).chain(publish).min()
    }

    /// The lead ends: what is still to be written down.
    pub fn stop(&mut self, at: &At) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.each(at, &mut effects, None, |lane, cx| lane.save_spent(cx, true));
        effects
    }

    /// What is known now, as it would be published.
    pub fn status(&self, at: &At) -> Vec<SourceStatus> {
        self.lanes.iter().map(|lane| lane.status(at)).collect()
    }

    /// Nothing can be done now.
    pub fn is_idle(&self) -> bool {
        self.started && self.lanes.iter().all(Lane::is_idle)
    }

    /// An op is claimed, on its way, or being settled.
    pub fn is_sending(&self) -> bool {
        self.lanes.iter().any(Lane::is_sending)
    }

    /// How often the machine had to wake itself up because of a broken I4. Zero, unless there is a mistake here.
    pub fn healed(&self) -> u32 {
        self.healed
    }

    fn each(
        &mut self,
        at: &At,
        effects: &mut Vec<Effect>,
        only: Option<&SourceName>,
        mut f: impl FnMut(&mut Lane, &mut Cx<'_>),
    ) {
        for lane in self.lanes.iter_mut().filter(|lane| only.is_none_or(|source| lane.source() == source)) {
            f(lane, &mut Cx::new(at, effects, &mut self.tickets));
        }
    }

    fn request(&mut self, at: &At, effects: &mut Vec<Effect>, request: &SyncRequest) {
        match request {
            SyncRequest::Sync { source } => self.each(at, effects, source.as_ref(), Lane::sync_now),
            SyncRequest::Verify { collection } => {
                let source = collection.as_ref().map(|key| &key.source);
                self.each(at, effects, source, |lane, _| lane.verify(collection.as_ref()));
            }
            SyncRequest::Probe { source } => self.each(at, effects, source.as_ref(), Lane::probe_now),
            SyncRequest::Pause { source } => {
                self.each(at, effects, source.as_ref(), |lane, cx| lane.pause(cx, true));
            }
            SyncRequest::Resume { source } => {
                self.each(at, effects, source.as_ref(), |lane, cx| lane.pause(cx, false));
            }
            SyncRequest::ForceOffline(forced) => {
                self.each(at, effects, None, |lane, cx| lane.force_offline(cx, *forced));
            }
            SyncRequest::ConfirmAuthor { .. } | SyncRequest::OutboxChanged => {
                self.lanes.iter_mut().for_each(Lane::outbox_changed)
            }
            SyncRequest::Learn { collection, pattern, rule } => {
                self.each(at, effects, Some(&collection.source), |lane, _| lane.learn(collection, pattern, *rule));
            }
            SyncRequest::AnswerGuard { collection, answer } => {
                self.each(at, effects, Some(&collection.source), |lane, cx| {
                    if let Some(pull) = lane.pull_mut(collection) {
                        pull.answer_guard(cx, *answer);
                    }
                });
            }
        }
    }

    /// How far the wall clock ran ahead of the monotonic one since the last event, where the computer slept or somebody
    /// set the clock; zero where it was set back.
    fn clock_jumped(&mut self, at: &At) -> Option<Duration> {
        let before = self.clock.replace((at.wall, at.mono));
        let (wall, mono) = before?;
        let by_wall = at.wall.0.saturating_sub(wall.0);
        let by_mono = i64::try_from(at.mono.saturating_sub(mono).as_millis()).unwrap_or(i64::MAX);
        let ahead = by_wall.saturating_sub(by_mono);
        (ahead.unsigned_abs() > u64::try_from(JUMP.as_millis()).unwrap_or(u64::MAX))
            .then(|| Duration::from_millis(u64::try_from(ahead).unwrap_or(0)))
    }

    fn heal(&mut self, at: &At, effects: &mut Vec<Effect>) {
        if !self.lanes.iter().any(Lane::is_stuck) {
            return;
        }
        self.healed = self.healed.saturating_add(1);
        let mut cx = Cx::new(at, effects, &mut self.tickets);
        cx.log(Severity::Problem, "sync", "something could be sent and nothing moved; started again", None);
        for lane in self.lanes.iter_mut().filter(|lane| lane.is_stuck()) {
            let mut cx = Cx::new(at, effects, &mut self.tickets);
            lane.sync_now(&mut cx);
            lane.advance(&mut cx);
        }
    }

    /// Publishes where something differs and it is time; says once when nothing is left to do.
    fn tell(&mut self, at: &At, effects: &mut Vec<Effect>) {
        let early = self.published_at.is_some_and(|last| at.mono < last + PUBLISH_EVERY);
        let idle = self.is_idle();
        let urgent = self.state_changed() || idle != self.idle;
        if early && !urgent {
            self.publish_due = true;
        } else {
            self.publish_due = false;
            let status = self.status(at);
            if !same_status(&status, &self.published) {
                self.published.clone_from(&status);
                self.published_at = Some(at.mono);
                effects.push(Effect::Publish(status));
            }
        }
        if idle && !self.idle {
            effects.push(Effect::Idle);
        }
        self.idle = idle;
    }

    fn state_changed(&self) -> bool {
        self.published.len() != self.lanes.len()
            || self
                .lanes
                .iter()
                .zip(&self.published)
                .any(|(lane, published)| lane.connectivity() != published.connectivity.state)
    }
}

/// Whether two statuses say the same to a person: when they were made, and when a followed source last gave a sign of
/// life, is no news.
fn same_status(a: &[SourceStatus], b: &[SourceStatus]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| {
            let mut a = a.clone();
            a.at = b.at;
            if a.connectivity.state == b.connectivity.state {
                a.connectivity.evidence.last_success = b.connectivity.evidence.last_success;
            }
            a == *b
        })
}

fn source_of(event: &Event) -> Option<&SourceName> {
    match event {
        Event::OutboxRead { source, .. } | Event::AuthReleased { source, .. } | Event::Probed { source, .. } => {
            Some(source)
        }
        Event::Fetched { record, .. }
        | Event::Claimed { record, .. }
        | Event::Pushed { record, .. }
        | Event::BaseStored { record, .. }
        | Event::Settled { record, .. } => Some(&record.collection.source),
        Event::CheckpointRead { collection, .. }
        | Event::KeysRead { collection, .. }
        | Event::PageRead { collection, .. }
        | Event::PageApplied { collection, .. }
        | Event::MissingRead { collection, .. }
        | Event::Buried { collection, .. }
        | Event::WindowCompared { collection, .. }
        | Event::FeedOpened { collection, .. }
        | Event::FeedMoved { collection, .. }
        | Event::Reuploaded { collection, .. } => Some(&collection.source),
        Event::Started { .. }
        | Event::Tick
        | Event::NetworkChanged
        | Event::SpentRead(_)
        | Event::JournalMoved
        | Event::Request(_) => None,
    }
}
