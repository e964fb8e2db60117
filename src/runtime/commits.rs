//! Commit before paint: what the next frame depends on goes to the journal first, and the frame waits for it.
//!
//! A commit that fails is handed back to the app, which gives it out again with the next one; meanwhile nothing is painted but a banner, and what was typed
//! also goes to an emergency file beside the journal.

use std::{
    cell::Cell,
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    model::{draft::DraftWrite, ids::SessionName, session::UiCommit},
    runtime::emergency,
    store::{Reply, Store, StoreError},
};

/// After this long without an answer the screen says that the journal is locked.
pub const PATIENCE: Duration = Duration::from_millis(250);
/// The wait between two tries of a commit that failed.
pub const RETRY: Duration = Duration::from_millis(500);

/// The commits of one session: one at a time, so that the app knows what is on disk.
pub struct Commits {
    store: Store,
    session: SessionName,
    emergency: PathBuf,
    in_flight: Option<(UiCommit, Reply<()>)>,
    failing: bool,
    /// The emergency file holds something that is not in the journal yet.
    rescued: Cell<bool>,
}

/// What became of the commit in flight.
#[derive(Debug)]
pub enum Outcome {
    Committed { recovered: bool },
    Failed { error: StoreError, first: bool },
}

impl Commits {
    pub fn new(store: Store, session: SessionName, data_dir: &Path) -> Self {
        let emergency = emergency::file(data_dir, &session);
        Self { store, session, emergency, in_flight: None, failing: false, rescued: Cell::new(false) }
    }

    /// Sends what the app wants kept to the journal. Only while none is in flight.
    pub fn send(&mut self, commit: UiCommit) {
        debug_assert!(self.in_flight.is_none(), "one commit at a time");
        if self.failing {
            self.rescue(&commit);
        }
        let reply = self.store.commit_ui(&self.session, commit.clone());
        self.in_flight = Some((commit, reply));
    }

    /// The session has another name from the next commit on.
    pub fn rename(&mut self, session: SessionName) {
        self.session = session;
    }

    pub fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    pub fn is_failing(&self) -> bool {
        self.failing
    }

    /// Waits for the commit in flight. Pending for ever when there is none. Cancel-safe.
    pub async fn settled(&mut self) -> Outcome {
        let Some((_, reply)) = self.in_flight.as_mut() else {
            return std::future::pending().await;
        };
        let result = reply.await;
        let Some((commit, _)) = self.in_flight.take() else { unreachable!("it was there a line above") };
        match result {
            Ok(()) => {
                let recovered = std::mem::take(&mut self.failing);
                if self.rescued.take() {
                    let _ = std::fs::remove_file(&self.emergency);
                }
                Outcome::Committed { recovered }
            }
            Err(error) => {
                let first = !std::mem::replace(&mut self.failing, true);
                if first {
                    self.rescue(&commit);
                }
                Outcome::Failed { error, first }
            }
        }
    }

    /// The journal has been locked for a while: what is in flight goes to the emergency file too.
    pub fn rescue_in_flight(&self) {
        if let Some((commit, _)) = &self.in_flight {
            self.rescue(commit);
        }
    }

    /// The emergency file, for telling the user.
    pub fn emergency_file(&self) -> &Path {
        &self.emergency
    }

    /// Appends what was typed to the emergency file. Best effort: there may be no room there either.
    fn rescue(&self, commit: &UiCommit) {
        self.rescued.set(true);
        let typed: Vec<serde_json::Value> = commit.drafts.iter().filter_map(rescued).collect();
        let slices: Vec<_> = commit
            .slices
            .iter()
            .map(|slice| serde_json::json!({"slice": slice.name, "version": slice.version, "body": slice.body}))
            .collect();
        let line = serde_json::json!({ "drafts": typed, "session": slices });
        let written = self.emergency.parent().map_or(Ok(()), |dir| {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.emergency)?;
            writeln!(file, "{line}")?;
            file.sync_data()
        });
        if let Err(error) = written {
            tracing::error!("the emergency file `{}` could not be written: {error}", self.emergency.display());
        }
    }
}

fn rescued(write: &DraftWrite) -> Option<serde_json::Value> {
    match write {
        DraftWrite::Snapshot { key, snapshot, base, base_revision } => {
            Some(serde_json::json!({"draft": key, "snapshot": snapshot, "base": base, "base_revision": base_revision}))
        }
        DraftWrite::Append { key, edit } => Some(serde_json::json!({"draft": key, "edit": edit})),
        DraftWrite::RequestCommit { key, op } => Some(serde_json::json!({"draft": key, "queue": op})),
        DraftWrite::Remove { .. } | DraftWrite::Discard { .. } => None,
    }
}
