//! While another process leads: wishes go through the journal, and what the leader published is reported.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use tokio::sync::mpsc::UnboundedReceiver;

use super::{Command, EngineEvent, EngineSetup, LOOK_EVERY, Report};
use crate::{
    model::{
        draft::DraftVersion,
        op::OutboxCounts,
        sync_status::{CollectionStatus, ConnectivityState, PullPhase, SourceStatus, SyncRequest},
        time::{Clock, Timestamp},
    },
    store::{Reader, Store, StoreError},
};

/// A wish made while the leader looks for its server is answered this late at the latest.
const LOOKING: Duration = Duration::from_secs(10);

pub(super) struct Follower {
    store: Store,
    reader: Reader,
    clock: Arc<dyn Clock>,
    seen: Option<(i64, i64)>,
    statuses: Vec<SourceStatus>,
    counts: OutboxCounts,
    /// The newest change there ever was.
    newest: i64,
    /// The drafts as others left them.
    drafts: Vec<(i64, DraftVersion)>,
    /// The newest row of the activity log.
    logged: i64,
    /// A wish was forwarded at this time and its work is not known to be done.
    asked: Option<Timestamp>,
    /// Rules made here meanwhile, as wishes.
    learned: Vec<SyncRequest>,
}

impl Follower {
    pub fn new(setup: &EngineSetup) -> Result<Self, StoreError> {
        Ok(Self {
            store: setup.store.clone(),
            reader: setup.store.reader()?,
            clock: Arc::clone(&setup.clock),
            seen: None,
            statuses: Vec::new(),
            counts: OutboxCounts::default(),
            newest: 0,
            drafts: Vec::new(),
            logged: 0,
            asked: None,
            learned: Vec::new(),
        })
    }

    /// Follows for a while; breaks when the engine is to stop.
    pub async fn follow(
        &mut self,
        span: Duration,
        commands: &mut UnboundedReceiver<Command>,
        report: &Report,
    ) -> ControlFlow<()> {
        let end = tokio::time::Instant::now() + span;
        self.look(report);
        while tokio::time::Instant::now() < end {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Request(request)) => self.forward(request).await,
                    Some(Command::Stop) | None => return ControlFlow::Break(()),
                },
                () = tokio::time::sleep(LOOK_EVERY) => self.look(report),
            }
        }
        ControlFlow::Continue(())
    }

    /// The rules that were made here while another process led.
    pub fn learned(&self) -> &[SyncRequest] {
        &self.learned
    }

    async fn forward(&mut self, request: SyncRequest) {
        let at = self.clock.at().wall;
        if matches!(request, SyncRequest::Sync { .. }) {
            self.asked = Some(at);
        }
        if matches!(request, SyncRequest::Learn { .. }) {
            self.learned.push(request.clone());
        }
        if let Err(error) = self.store.request(request, at).await {
            tracing::error!("a wish could not be written for the leader: {error}");
        }
    }

    /// Reports what moved since the last look. Costs microseconds where nothing did.
    fn look(&mut self, report: &Report) {
        let version = match self.reader.data_version() {
            Ok(version) => version,
            Err(error) => return tracing::warn!("the data version cannot be read: {error}"),
        };
        if self.seen != Some(version) {
            let counts = self.reader.counts().unwrap_or(self.counts);
            let newest = self.reader.newest_op().unwrap_or(self.newest);
            let others = self.store.drafts_of_others(&mut self.reader).unwrap_or_default();
            let drafts = self.drafts != others;
            self.drafts = others;
            let logged = self.reader.newest_activity().unwrap_or(self.logged);
            let activity = std::mem::replace(&mut self.logged, logged) != logged;
            if let Some((_, mirror)) = self.seen {
                // Session rows are written with every key: only another outbox or mirror is news. A change that was queued
                // and sent between two looks leaves the counts as they were.
                let outbox = counts != self.counts || newest != self.newest;
                let records = outbox || version.1 != mirror;
                if records || drafts || activity {
                    report(EngineEvent::Changed { records, outbox, drafts, activity });
                }
            } else {
                // What was written since the screen read it.
                report(EngineEvent::Changed { records: true, outbox: true, drafts: true, activity: true });
            }
            self.newest = newest;
            self.seen = Some(version);
            self.counts = counts;
            match self.reader.statuses() {
                Ok(statuses) if statuses != self.statuses => {
                    self.statuses.clone_from(&statuses);
                    report(EngineEvent::Status(statuses));
                }
                Ok(_) => {}
                Err(error) => tracing::warn!("the leader's status cannot be read: {error}"),
            }
        }
        if self.asked.is_some_and(|asked| self.is_done_since(asked)) {
            self.asked = None;
            report(EngineEvent::Idle);
        }
    }

    /// True when the leader has published a state without work after the wish.
    fn is_done_since(&self, asked: Timestamp) -> bool {
        let rests = |collection: &CollectionStatus| {
            use PullPhase::{Detached, Live, NeverSynced, Settled, Stalled, Stopped};
            // What is refused from the beginning is never begun.
            let is_refused = collection.phase == NeverSynced && collection.last_error.is_some();
            is_refused || matches!(collection.phase, Live | Settled | Stalled | Stopped(_) | Detached)
        };
        let now = self.clock.at().wall;
        // A leader that has just begun looks for its server first.
        let is_looking =
            |status: &SourceStatus| status.connectivity.state == ConnectivityState::Unknown && !status.paused;
        let patience = if self.statuses.iter().any(is_looking) { LOOKING } else { Duration::from_secs(1) };
        let answered = now.since(asked) > patience;
        let settled = self.statuses.iter().all(|status| {
            let reachable = status.connectivity.state.is_usable() && !status.paused;
            !reachable || status.collections.iter().all(rests)
        });
        let reachable = self.statuses.iter().any(|status| status.connectivity.state.is_usable() && !status.paused);
        let drained = self.counts.queued + self.counts.in_flight + self.counts.in_doubt == 0;
        answered && settled && (drained || !reachable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            ids::CollectionKey,
            source::SyncSettings,
            spend::SpentToday,
            sync_status::{Account, Connectivity, PushStatus},
            time::At,
        },
        store::OpenMode,
    };

    /// Stands still.
    struct Still(u64);

    impl Clock for Still {
        fn at(&self) -> At {
            At::test(self.0)
        }
    }

    /// Whether a wish made at second 100 counts as done at second `now`, while the leader publishes this.
    fn is_done(now: u64, state: ConnectivityState, phase: PullPhase, error: Option<&str>) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Still(now));
        let store = Store::open(dir.path(), OpenMode::ReadWrite, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        let settings = SyncSettings::default();
        let setup = EngineSetup { sources: Vec::new(), settings, store, clock, forced_offline: false };
        let mut follower = Follower::new(&setup).unwrap();
        let collection = CollectionStatus {
            phase,
            last_error: error.map(str::to_owned),
            ..CollectionStatus::new(CollectionKey::new("s", "c"))
        };
        follower.statuses = vec![SourceStatus {
            source: "s".into(),
            connectivity: Connectivity { state, ..Connectivity::default() },
            paused: false,
            push: PushStatus::default(),
            collections: vec![collection],
            spent: SpentToday::default(),
            account: Account::default(),
            at: At::test(now).wall,
        }];
        follower.is_done_since(At::test(100).wall)
    }

    #[test]
    fn a_leader_that_still_looks_for_its_server_is_waited_for_but_not_for_ever() {
        let looking = |now| is_done(now, ConnectivityState::Unknown, PullPhase::NeverSynced, None);
        assert_eq!([102, 109, 111].map(looking), [false, false, true]);
        assert!(is_done(102, ConnectivityState::Offline, PullPhase::NeverSynced, None), "it has looked");
    }

    #[test]
    fn a_collection_whose_reading_is_refused_from_the_beginning_is_not_waited_for() {
        let phase = PullPhase::NeverSynced;
        assert!(is_done(102, ConnectivityState::Online, phase.clone(), Some("400 no such index")));
        assert!(!is_done(102, ConnectivityState::Online, phase, None), "it is about to begin");
        assert!(!is_done(102, ConnectivityState::Online, PullPhase::Backfill, None));
        assert!(is_done(102, ConnectivityState::Online, PullPhase::Live, None));
    }
}
