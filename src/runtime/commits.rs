//! Commit before paint: what the next frame depends on goes to the journal first, and the frame waits for it.
//!
//! A commit that fails is handed back to the app, which gives it out again with the next one; meanwhile nothing is painted
//! but a banner, and what was typed also goes to an emergency file beside the journal. The next start takes that up.

use std::{
    io::Write as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    model::{ids::SessionName, session::UiCommit},
    runtime::emergency,
    store::{Reply, Store, StoreError},
};

/// After this long without an answer the screen says that the journal is locked.
pub const PATIENCE: Duration = Duration::from_millis(250);
/// The wait between two tries of a commit that failed.
pub const RETRY: Duration = Duration::from_millis(500);

/// So many refusals in a row are answered at once: another window that types at the same time is done by then.
const REFUSALS: u8 = 8;

/// The commits of one session: one at a time, so that the app knows what is on disk.
pub struct Commits {
    store: Store,
    session: SessionName,
    emergency: PathBuf,
    in_flight: Option<Reply<()>>,
    failing: bool,
    /// So many in a row were refused as they were.
    refused: u8,
    /// Something may be in the emergency file.
    rescued: bool,
}

/// What became of the commit in flight.
#[derive(Debug)]
pub enum Outcome {
    Committed {
        recovered: bool,
    },
    /// It goes again at once, made anew: what it was made on is not there any more.
    Refused {
        message: String,
    },
    Failed {
        error: StoreError,
        first: bool,
    },
}

impl Commits {
    pub fn new(store: Store, session: SessionName, data_dir: &Path) -> Self {
        let emergency = emergency::file(data_dir, &session);
        Self { store, session, emergency, in_flight: None, failing: false, refused: 0, rescued: false }
    }

    /// Sends what the app wants kept to the journal. Only while none is in flight.
    pub fn send(&mut self, commit: UiCommit) {
        debug_assert!(self.in_flight.is_none(), "one commit at a time");
        self.in_flight = Some(self.store.commit_ui(&self.session, commit));
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
        let Some(reply) = self.in_flight.as_mut() else {
            return std::future::pending().await;
        };
        let result = reply.await;
        self.in_flight = None;
        match result {
            Ok(()) => {
                self.refused = 0;
                let recovered = std::mem::take(&mut self.failing);
                if std::mem::take(&mut self.rescued) {
                    let _ = std::fs::remove_file(&self.emergency);
                }
                Outcome::Committed { recovered }
            }
            Err(StoreError::Refused(message)) if self.refused < REFUSALS => {
                self.refused += 1;
                Outcome::Refused { message }
            }
            Err(error) => {
                let first = !std::mem::replace(&mut self.failing, true);
                Outcome::Failed { error, first }
            }
        }
    }

    /// The emergency file, for telling the user.
    pub fn emergency_file(&self) -> &Path {
        &self.emergency
    }

    /// Writes what there is to lose to the emergency file, in the place of what it held. Best effort: there may be no room
    /// there either.
    pub fn rescue(&mut self, state: &UiCommit) {
        self.rescued = true;
        let written = self.emergency.parent().map_or(Ok(()), |dir| -> std::io::Result<()> {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            let mut file = tempfile::Builder::new().prefix(".rescue-").tempfile_in(dir)?;
            writeln!(file, "{}", emergency::line(state))?;
            file.as_file().sync_data()?;
            file.persist(&self.emergency).map_err(|error| error.error)?;
            Ok(())
        });
        if let Err(error) = written {
            tracing::error!("the emergency file `{}` could not be written: {error}", self.emergency.display());
        }
    }
}
