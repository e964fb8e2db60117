//! Carries out the sync machine's effects on a thread of its own: leader lock, timers, remotes, store.

use std::sync::Arc;

use crate::{
    model::{
        activity::Activity,
        source::{SourceSpec, SyncSettings},
        sync_status::{Leadership, SourceStatus, SyncRequest},
        time::Clock,
    },
    store::Store,
};

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
    /// Records, outbox or conflicts changed locally (by this engine, or by another process where that one leads).
    Changed {
        records: bool,
        outbox: bool,
    },
    Activity(Activity),
    /// Nothing is left that can be done now: collections settled or live, outbox empty or waiting for a time or a
    /// person. Sent once per transition into that state.
    Idle,
}

/// A running engine: one thread with its own tokio runtime, so that the screen never waits for it.
pub struct Engine {}

impl Engine {
    /// Starts the thread. `report` is called on it and must not block.
    pub fn start(setup: EngineSetup, report: impl Fn(EngineEvent) + Send + Sync + 'static) -> Self {
        let _ = (setup, report);
        todo!()
    }

    /// Carried out here where this process leads, else written for the leader. Never blocks.
    pub fn request(&self, request: SyncRequest) {
        let _ = request;
        todo!()
    }

    /// Stops within 100 ms: open requests are dropped (their ops stay claimed and become in doubt), the lock is given up.
    pub fn stop(self) {
        todo!()
    }
}
