//! Carries out the sync machine's effects on a thread of its own: leader lock, timers, remotes, store.
//!
//! ```text
//!   no lock:  follower  -- forwards wishes through the journal, reports what the leader published
//!   lock:     leader    -- machine.handle -> effects -> store, remotes -> events -> machine.handle …
//! ```
//!
//! The lock is an operating system lock on `leader.lock`: a process that dies gives it up, and another one takes it within
//! a second.

mod carry;
mod feeds;
mod follower;
mod leader;
mod network;
mod outbox;
mod reupload;

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{
    model::{
        activity::{Activity, Severity},
        source::{SourceSpec, SyncSettings},
        sync_status::{Leadership, SourceStatus, SyncRequest},
        time::Clock,
    },
    runtime::clock::zone_offset,
    store::Store,
};

/// How often a follower asks for the lock, and a leader looks whether another process wrote.
const LOCK_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long the last claims and outcomes of a leader are waited for, should another process be writing something big.
const LAST_WRITES: Duration = Duration::from_secs(5);

pub struct EngineSetup {
    pub sources: Vec<SourceSpec>,
    pub settings: SyncSettings,
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    /// `--offline`: start forced offline.
    pub forced_offline: bool,
}

/// What the engine tells whoever started it.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineEvent {
    /// At most twice a second, and at once where a connectivity state changed.
    Status(Vec<SourceStatus>),
    Leadership(Leadership),
    /// Records, outbox or conflicts changed locally (by this engine, or by another process).
    Changed {
        records: bool,
        outbox: bool,
        /// Another process typed in a draft, began or ended one.
        drafts: bool,
        /// There are new rows in the activity log.
        activity: bool,
    },
    Activity(Activity),
    /// Nothing is left that can be done now: collections settled or live, outbox empty or waiting for a time or a
    /// person. Sent once per transition into that state.
    Idle,
}

type Report = Arc<dyn Fn(EngineEvent) + Send + Sync>;

enum Command {
    Request(SyncRequest),
    Stop,
}

/// A running engine: one thread with its own tokio runtime, so that the screen never waits for it.
pub struct Engine {
    commands: UnboundedSender<Command>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Engine {
    /// Starts the thread. `report` is called on it and must not block.
    pub fn start(mut setup: EngineSetup, report: impl Fn(EngineEvent) + Send + Sync + 'static) -> Self {
        setup.settings.zone_offset = zone_offset();
        let (commands, incoming) = unbounded_channel();
        let report: Report = Arc::new(report);
        let run = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return tracing::error!("the engine cannot start: {error}"),
            };
            runtime.block_on(run(setup, incoming, report));
            // Requests that are still open are dropped: their ops stay claimed and become in doubt.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(run).expect("a thread can be started");
        Self { commands, thread: Some(thread) }
    }

    /// Carried out here where this process leads, else written for the leader. Never blocks.
    pub fn request(&self, request: SyncRequest) {
        if self.commands.send(Command::Request(request)).is_err() {
            tracing::error!("the engine is gone");
        }
    }

    /// Stops within 100 ms: open requests are dropped (their ops stay claimed and become in doubt), the lock is given up.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

/// Follows until the lock is free, then leads until the end.
async fn run(mut setup: EngineSetup, mut commands: UnboundedReceiver<Command>, report: Report) {
    let mut told = Leadership::None;
    let mut follower = None;
    loop {
        match setup.store.lock_leader() {
            Ok(Some(lock)) => {
                report(EngineEvent::Leadership(Leadership::This));
                for wish in follower.iter().flat_map(follower::Follower::learned) {
                    learn(&mut setup.sources, wish);
                }
                let store = setup.store.clone();
                leader::lead(setup, commands, report).await;
                if tokio::time::timeout(LAST_WRITES, store.written()).await.is_err() {
                    tracing::warn!("the journal takes nothing: the lead is given up with claims unwritten");
                }
                drop(lock);
                return;
            }
            Ok(None) => {
                if told != Leadership::Other {
                    told = Leadership::Other;
                    report(EngineEvent::Leadership(told));
                }
            }
            Err(error) => tracing::error!("the sync of this data cannot be taken: {error}"),
        }
        if follower.is_none() {
            follower = follower::Follower::new(&setup)
                .inspect_err(|error| {
                    let text = format!("the sync of another process cannot be watched: {error}");
                    report(EngineEvent::Activity(Activity::new(
                        setup.clock.at().wall,
                        Severity::Problem,
                        "sync",
                        text,
                    )));
                })
                .ok();
        }
        match &mut follower {
            Some(follower) => {
                if follower.follow(LOCK_EVERY, &mut commands, &report).await.is_break() {
                    return;
                }
            }
            // Nothing to watch: wait for the lock, and for the end.
            None => tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Request(request)) => forward(&setup, request),
                    Some(Command::Stop) | None => return,
                },
                () = tokio::time::sleep(LOCK_EVERY) => {}
            },
        }
    }
}

/// A rule that was made while another process led, for when this one does.
fn learn(sources: &mut [SourceSpec], wish: &SyncRequest) {
    let SyncRequest::Learn { collection, pattern, rule } = wish else { return };
    let source = sources.iter_mut().find(|source| source.name == collection.source);
    let spec = source.and_then(|source| source.collections.iter_mut().find(|spec| spec.name == collection.collection));
    if let Some(spec) = spec {
        spec.conflicts.learn(pattern.clone(), *rule);
    }
}

/// Writes a wish for the leader, whoever that is.
fn forward(setup: &EngineSetup, request: SyncRequest) {
    let reply = setup.store.request(request, setup.clock.at().wall);
    tokio::spawn(async move {
        if let Err(error) = reply.await {
            tracing::error!("a wish could not be written for the leader: {error}");
        }
    });
}
