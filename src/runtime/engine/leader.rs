//! The sync leader: the machine, and the loop that feeds it.
//!
//! Reads of the journal are microseconds and happen in line. Requests and writes are tasks that send their answer back
//! as a value (see [`super::carry`]), so an acknowledgement that waits for the disk never holds up another send. What the
//! network said is taken first, and what is to be sent because of it is on the wire before anything else is looked at: a
//! request slot is empty for as long as that takes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Command, EngineEvent, EngineSetup, LOCK_EVERY, LOOK_EVERY, Report, feeds::Feeds, network, outbox::Outbox};
use crate::{
    model::{
        activity::{Activity, Severity},
        draft::DraftVersion,
        ids::{CollectionKey, SourceName},
        op::{LateOriginal, OutboxCounts},
        source::VaultSettings,
        spend::day_of,
        sync_status::{Account, SourceStatus, SyncRequest},
        time::{At, Clock, Timestamp},
    },
    remote::Remote,
    store::{Applied, Reader, Store, StoreError},
    sync::{Event, Machine, effect::Ticket},
};

/// Panes are told of changed records at most this often while pages stream in.
const TELL_EVERY: Duration = Duration::from_millis(50);
/// Settled ops, old vault entries and activity are removed this often.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);

/// Answers taken before the requests of the runtime get their turn.
const BURST: usize = 8;

/// Where the tasks send their answers. Unbounded: each was asked for, and the machine bounds how much it asks for at once.
#[derive(Clone)]
pub(super) struct Answers {
    /// From the network.
    wire: UnboundedSender<Answer>,
    /// From the store.
    written: UnboundedSender<Answer>,
}

impl Answers {
    fn new() -> (Self, UnboundedReceiver<Answer>, UnboundedReceiver<Answer>) {
        let ((wire, from_wire), (written, from_store)) = (unbounded_channel(), unbounded_channel());
        (Self { wire, written }, from_wire, from_store)
    }

    /// False where nobody listens any more.
    pub(super) fn send(&self, answer: Answer) -> bool {
        let is_urgent =
            matches!(&answer, Answer::Event(event) if matches!(**event, Event::Pushed { .. } | Event::Fetched { .. }));
        let way = if is_urgent { &self.wire } else { &self.written };
        way.send(answer).is_ok()
    }
}

/// What a task sends back to the loop.
pub(super) enum Answer {
    Event(Box<Event>),
    /// A page or the end of a sweep: the loop looks up what kept vanished records alive before the machine hears of it.
    Applied {
        ticket: Ticket,
        collection: CollectionKey,
        result: Result<Applied, String>,
    },
    /// Wishes of other processes.
    Requests(Vec<SyncRequest>),
}

/// Leads until the engine is stopped.
pub(super) async fn lead(setup: EngineSetup, mut commands: UnboundedReceiver<Command>, report: Report) {
    let (answers, mut from_wire, mut from_store) = Answers::new();
    let mut early = Vec::new();
    let Some(mut leader) = take_over(&setup, &mut commands, &mut early, &answers, &report).await else { return };
    let guards = leader.guards();
    leader.handle(Event::Started { guards });
    leader.remember_spent();
    for request in early {
        leader.wish(request);
    }
    leader.take_requests();
    let _watch = setup.settings.watch_network.then(|| network::watch(answers));
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let wake = leader.until_wake();
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(Command::Request(request)) => leader.wish(request),
                Some(Command::Stop) | None => return leader.stop(),
            },
            _ = look.tick() => leader.look(),
            Some(answer) = from_wire.recv() => leader.take(answer),
            Some(answer) = from_store.recv() => {
                leader.take(answer);
                for _ in 1..BURST {
                    if !from_wire.is_empty() {
                        break;
                    }
                    let Ok(answer) = from_store.try_recv() else { break };
                    leader.take(answer);
                }
            }
            () = sleep(wake) => leader.wake(),
        }
        // Everything else that can go on does, the sockets included.
        tokio::task::yield_now().await;
    }
}

/// Makes what a dead leader left in flight doubtful, before anything is sent. Keeps trying: without it those ops would
/// never move again. `None`: stopped meanwhile.
async fn take_over(
    setup: &EngineSetup,
    commands: &mut UnboundedReceiver<Command>,
    early: &mut Vec<SyncRequest>,
    answers: &Answers,
    report: &Report,
) -> Option<Leader> {
    let mut complained = false;
    loop {
        let at = setup.clock.at().wall;
        let error = match Leader::new(setup, answers.clone(), Arc::clone(report)) {
            Ok(leader) => match setup.store.recover_in_flight(at).await {
                Ok(_) => return Some(leader),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if !complained {
            complained = true;
            let text = format!("syncing cannot start: {error}");
            report(EngineEvent::Activity(Activity::new(at, Severity::Problem, "sync", text)));
        }
        let pause = tokio::time::sleep(LOCK_EVERY);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Request(request)) => early.push(request),
                    Some(Command::Stop) | None => return None,
                },
                () = &mut pause => break,
            }
        }
    }
}

async fn sleep(span: Option<Duration>) {
    match span {
        Some(span) => tokio::time::sleep(span).await,
        None => std::future::pending().await,
    }
}

pub(super) struct Leader {
    machine: Machine,
    pub(super) store: Store,
    pub(super) reader: Reader,
    pub(super) outbox: Outbox,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) remotes: HashMap<SourceName, Remote>,
    pub(super) feeds: Feeds,
    pub(super) answers: Answers,
    pub(super) report: Report,
    /// The journal's version at the last look.
    journal: i64,
    /// What the outbox looked like when the panes were last told.
    counts: OutboxCounts,
    /// The drafts as others left them.
    drafts: Vec<(i64, DraftVersion)>,
    /// The newest row of the activity log.
    logged: i64,
    /// Changes not told yet, and when the last ones were.
    pub(super) changed: (bool, bool),
    told: Duration,
    pruned: Option<Duration>,
    keep: Duration,
    zone_offset: i32,
    /// Who is signed in where; overlaid on what the machine publishes.
    pub(super) accounts: HashMap<SourceName, Account>,
    pub(super) published: Vec<SourceStatus>,
    vault: VaultSettings,
}

impl Leader {
    fn new(setup: &EngineSetup, answers: Answers, report: Report) -> Result<Self, StoreError> {
        let mut reader = setup.store.reader()?;
        let journal = reader.data_version()?.0;
        let counts = reader.counts()?;
        let drafts = setup.store.drafts_of_others(&mut reader)?;
        let logged = reader.newest_activity()?;
        // What was written since the screen read it.
        report(EngineEvent::Changed { records: true, outbox: true, drafts: true, activity: true });
        let accounts = reader.accounts()?.into_iter().collect();
        let forced_since = reader.forced_offline()?;
        if let Some(since) = forced_since {
            let text = format!(
                "forced offline since {}, as you left it: nothing is sent or fetched",
                since.clock_time(setup.settings.zone_offset)
            );
            let activity = Activity::new(setup.clock.at().wall, Severity::Warning, "network", text);
            report(EngineEvent::Activity(activity.with_hint("switch it off to go online; your edits are kept")));
        }
        let mut remotes = HashMap::new();
        let mut usable = Vec::new();
        for source in &setup.sources {
            match Remote::with_deadlines(source, Arc::clone(&setup.clock), setup.settings.deadlines) {
                Ok(remote) => {
                    remotes.insert(source.name.clone(), remote);
                    usable.push(source.clone());
                }
                Err(error) => {
                    let text = format!("`{}` cannot be used: {error}", source.name);
                    let activity = Activity::new(setup.clock.at().wall, Severity::Problem, "sync", text);
                    report(EngineEvent::Activity(activity.with_hint("correct the source in the configuration")));
                }
            }
        }
        Ok(Self {
            machine: Machine::new(&usable, &setup.settings, setup.forced_offline || forced_since.is_some()),
            store: setup.store.clone(),
            reader,
            outbox: Outbox::new(&setup.store, remotes.len())?,
            clock: Arc::clone(&setup.clock),
            remotes,
            feeds: Feeds::default(),
            answers,
            report,
            journal,
            counts,
            drafts,
            logged,
            changed: (false, false),
            told: Duration::ZERO,
            pruned: None,
            keep: setup.settings.keep,
            zone_offset: setup.settings.zone_offset,
            accounts,
            published: Vec::new(),
            vault: setup.settings.vault,
        })
    }

    /// What the leaders before were guarding.
    fn guards(&mut self) -> Vec<LateOriginal> {
        self.reader.guards().unwrap_or_else(|error| {
            tracing::warn!("the guards of the last leader cannot be read: {error}");
            Vec::new()
        })
    }

    fn remember_spent(&mut self) {
        let today = day_of(self.clock.at().wall, self.zone_offset);
        match self.reader.spent(today) {
            Ok(rows) => self.handle(Event::SpentRead(rows)),
            Err(error) => tracing::warn!("the bytes of today cannot be read: {error}"),
        }
    }

    /// Carries out a wish; what must outlive this process is written down first.
    fn wish(&mut self, request: SyncRequest) {
        match &request {
            SyncRequest::ForceOffline(forced) => {
                let reply = self.store.force_offline(forced.then(|| self.clock.at().wall));
                tokio::spawn(async move {
                    if let Err(error) = reply.await {
                        tracing::warn!("forced offline could not be written down: {error}");
                    }
                });
            }
            SyncRequest::ConfirmAuthor { source } => {
                let reply = self.store.confirm_author(source.clone(), self.clock.at().wall);
                let answers = self.answers.clone();
                tokio::spawn(async move {
                    match reply.await {
                        Ok(_) => drop(answers.send(Answer::Requests(vec![SyncRequest::OutboxChanged]))),
                        Err(error) => tracing::warn!("edits of another account could not be confirmed: {error}"),
                    }
                });
                return;
            }
            _ => {}
        }
        self.handle(Event::Request(request));
        self.notice_accounts();
    }

    fn stop(&mut self) {
        let at = self.clock.at();
        for effect in self.machine.stop(&at) {
            self.carry_out(&at, effect);
        }
    }

    /// Somebody signed in, or edits of others wait or were confirmed: people are shown it.
    pub(super) fn notice_accounts(&mut self) {
        let accounts: HashMap<SourceName, Account> = match self.reader.accounts() {
            Ok(accounts) => accounts.into_iter().collect(),
            Err(error) => return tracing::warn!("the accounts cannot be read: {error}"),
        };
        if accounts != self.accounts {
            self.accounts = accounts;
            let statuses = self.published.clone();
            self.publish(statuses);
        }
    }

    fn until_wake(&self) -> Option<Duration> {
        let now = self.clock.at().mono;
        let waiting = (self.changed != (false, false)).then(|| self.told + TELL_EVERY);
        let wake = [self.machine.wake_at(), waiting].into_iter().flatten().min();
        wake.map(|at| at.saturating_sub(now))
    }

    /// Timers of tokio have milliseconds: the machine hears of a tick only where its own time has come.
    fn wake(&mut self) {
        let at = self.clock.at();
        if self.machine.wake_at().is_some_and(|due| due <= at.mono) {
            return self.handle(Event::Tick);
        }
        self.tell(&at, false);
    }

    fn handle(&mut self, event: Event) {
        let at = self.clock.at();
        // What changed is noted when it is on disk, not when it was asked for: the panes would look too early.
        let (records, outbox) = touched(&event);
        self.changed = (self.changed.0 || records, self.changed.1 || outbox);
        for effect in self.machine.handle(&at, event) {
            self.carry_out(&at, effect);
        }
        self.tell(&at, false);
    }

    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Event(event) => {
                let probed = matches!(*event, Event::Probed { result: Ok(()), .. });
                self.handle(*event);
                if probed {
                    self.notice_accounts();
                }
            }
            Answer::Applied { ticket, collection, result } => {
                let result = result.map(|applied| self.explain(&collection, applied));
                self.handle(Event::PageApplied { ticket, collection, result });
            }
            Answer::Requests(requests) => {
                for request in requests {
                    self.wish(request);
                }
            }
        }
    }

    /// Looks whether another process (or this one's screen) wrote to the journal. Microseconds where nothing moved.
    fn look(&mut self) {
        let at = self.clock.at();
        self.prune(&at);
        self.recover_forgotten(&at);
        let journal = match self.reader.data_version() {
            Ok((journal, _)) => journal,
            Err(error) => return tracing::warn!("the data version cannot be read: {error}"),
        };
        if std::mem::replace(&mut self.journal, journal) == journal {
            return;
        }
        self.take_requests();
        match self
            .store
            .drafts_of_others(&mut self.reader)
            .and_then(|found| Ok((found, self.reader.newest_activity()?)))
        {
            Ok((found, logged)) => {
                let drafts = self.drafts != found;
                self.drafts = found;
                let activity = std::mem::replace(&mut self.logged, logged) != logged;
                if drafts || activity {
                    (self.report)(EngineEvent::Changed { records: false, outbox: false, drafts, activity });
                }
            }
            Err(error) => tracing::warn!("what other windows did cannot be read: {error}"),
        }
        // Session rows are written with every key: only another outbox is news.
        match self.reader.counts() {
            Ok(counts) if counts != self.counts => {
                self.counts = counts;
                self.changed = (true, true);
                self.notice_accounts();
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("the outbox cannot be counted: {error}"),
        }
        self.handle(Event::JournalMoved);
    }

    /// What is in flight while nothing is being sent would wait for the next leader: a claim whose answer was lost here, or
    /// made by another program.
    fn recover_forgotten(&mut self, at: &At) {
        if self.counts.in_flight == 0 || self.machine.is_sending() {
            return;
        }
        // What was counted at the last look may have been settled since.
        if self.reader.counts().is_ok_and(|counts| counts.in_flight > 0) {
            let reply = self.store.recover_forgotten(at.wall);
            tokio::spawn(async move {
                match reply.await {
                    Ok(0) => {}
                    Ok(recovered) => tracing::error!("{recovered} claims were forgotten"),
                    Err(error) => tracing::warn!("forgotten claims cannot be taken up: {error}"),
                }
            });
        }
    }

    fn take_requests(&self) {
        let reply = self.store.take_requests();
        let answers = self.answers.clone();
        tokio::spawn(async move {
            match reply.await {
                Ok(requests) if requests.is_empty() => {}
                Ok(requests) => {
                    answers.send(Answer::Requests(requests));
                }
                Err(error) => tracing::warn!("wishes of other processes cannot be read: {error}"),
            }
        });
    }

    /// The earliest that it can be by the clock here and those of the servers that were measured. Nothing expires on
    /// the word of this clock alone: it may have been set forward ten years.
    fn confirmed_now(&self, at: &At) -> Option<Timestamp> {
        let offsets = self.published.iter().filter_map(|status| status.connectivity.evidence.clock_offset_ms);
        let server = offsets.map(|offset| Timestamp(at.wall.0.saturating_add(offset))).min()?;
        Some(server.min(at.wall))
    }

    fn prune(&mut self, at: &At) {
        if self.pruned.is_some_and(|last| at.mono < last + PRUNE_EVERY) {
            return;
        }
        let Some(now) = self.confirmed_now(at) else { return };
        self.pruned = Some(at.mono);
        let before = |keep: Duration| {
            let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
            Timestamp(now.0.saturating_sub(keep))
        };
        let history = self.store.prune(before(self.keep));
        let vault = self.store.prune_vault(before(self.vault.keep), self.vault.most);
        tokio::spawn(async move {
            let pruned = async { history.await.and(vault.await) };
            if let Err(error) = pruned.await {
                tracing::warn!("old rows could not be removed: {error}");
            }
        });
    }

    /// Tells the panes what changed, at most every [`TELL_EVERY`] unless it is `urgent`.
    pub(super) fn tell(&mut self, at: &At, urgent: bool) {
        let (records, outbox) = self.changed;
        if (records || outbox) && (urgent || at.mono >= self.told + TELL_EVERY) {
            self.changed = (false, false);
            self.told = at.mono;
            (self.report)(EngineEvent::Changed { records, outbox, drafts: false, activity: false });
        }
    }
}

/// Whether an answer means that records, or the outbox, are not what the panes last read.
fn touched(event: &Event) -> (bool, bool) {
    match event {
        Event::PageApplied { result: Ok(page), .. } => (page.inserted + page.updated + page.deleted > 0, false),
        Event::Buried { result: Ok(buried), .. } => (buried.deleted > 0, false),
        Event::BaseStored { .. } => (true, false),
        Event::Claimed { .. } | Event::AuthReleased { .. } => (false, true),
        Event::Settled { .. } | Event::Reuploaded { .. } => (true, true),
        _ => (false, false),
    }
}
