//! Sessions: the saved screens by name, and the earlier moments of each.

use super::{FULL_USER, Manner, Reply, Store};
use crate::{
    model::{
        ids::SessionName,
        session::{MomentKind, SavedSession, Slice},
    },
    store::{
        error::{Result, StoreError},
        files::{self, Lock},
        journal::{moments, sessions},
        writer::{Durability, Lane},
    },
};

impl Store {
    /// Makes this process the writer of a session, while the lock is kept; `None` where another one is.
    pub fn lock_session(&self, session: &SessionName) -> Result<Option<Lock>, StoreError> {
        self.writers()?;
        files::try_hold(&self.0.files.session(session.as_str()))
    }

    /// Opens a session for writing: what was saved, and its generation raised. `fresh` ignores the saved slices, and so
    /// does a session whose last starts all ended before they showed anything ([`SavedSession::aside`]).
    pub fn begin_session(&self, session: &SessionName, fresh: bool) -> Reply<SavedSession> {
        let session = session.clone();
        let manner = Manner { intent: "opening a session", durability: Durability::Normal, ..FULL_USER };
        self.ask(manner, move |journal| sessions::begin(journal, &session, fresh))
    }

    /// Makes it the session that a start without a name opens.
    pub fn choose_session(&self, session: &SessionName) -> Reply<()> {
        let session = session.clone();
        let manner = Manner { intent: "choosing a session", durability: Durability::Normal, ..FULL_USER };
        self.ask(manner, move |journal| sessions::choose(journal, &session))
    }

    /// The start of the session works: it no longer counts among those that showed nothing.
    pub fn prove_start(&self, session: &SessionName) -> Reply<()> {
        let session = session.clone();
        let manner = Manner { intent: "noting a start that works", durability: Durability::Normal, ..FULL_USER };
        self.ask(manner, move |journal| sessions::prove_start(journal, &session))
    }

    /// Says goodbye: the next start knows the run ended by itself. Checkpoints the WAL.
    pub fn end_session(&self, session: &SessionName) -> Reply<()> {
        let session = session.clone();
        let manner = Manner { intent: "closing a session", ..FULL_USER };
        let reply = self.ask(manner, move |journal| sessions::end(journal, &session));
        if let Ok(writers) = self.writers() {
            writers.journal.checkpoint_soon();
        }
        reply
    }

    /// Keeps what is saved of the session now, or the slices given, as an earlier moment; [`Store::prove_moments`] makes
    /// it count.
    pub fn keep_moment(
        &self,
        session: &SessionName,
        kind: MomentKind,
        slices: Option<Vec<Slice>>,
    ) -> Reply<Option<i64>> {
        let session = session.clone();
        let manner = Manner { intent: "keeping a moment", durability: Durability::Normal, ..FULL_USER };
        self.ask(manner, move |journal| sessions::keep_moment(journal, &session, kind, slices.as_deref()))
    }

    /// Reads the kept moments back that were not yet, in a transaction after theirs, and gives older ones up for them.
    /// Answers how many could not be read as they were meant.
    pub fn prove_moments(&self, session: &SessionName) -> Reply<usize> {
        let session = session.clone();
        // Bulk work never shares a transaction: what is read back is committed.
        let manner = Manner {
            intent: "reading kept moments back",
            lane: Lane::Bulk,
            durability: Durability::Normal,
            rows: 20,
            ..FULL_USER
        };
        self.ask(manner, move |journal| moments::prove(journal, &session))
    }

    /// Gives a session another name. Only by who holds the locks of both. False where there is none of the old name, or
    /// one of the new.
    pub fn rename_session(&self, from: &SessionName, to: &SessionName) -> Reply<bool> {
        let (from, to) = (from.clone(), to.clone());
        let manner = Manner { intent: "renaming a session", rows: 40, ..FULL_USER };
        self.ask(manner, move |journal| sessions::rename(journal, &from, &to))
    }

    /// Makes a session of the present screen of another one. False as with [`Store::rename_session`].
    pub fn copy_session(&self, from: &SessionName, to: &SessionName) -> Reply<bool> {
        let (from, to) = (from.clone(), to.clone());
        let manner = Manner { intent: "copying a session", rows: 20, ..FULL_USER };
        self.ask(manner, move |journal| sessions::copy(journal, &from, &to))
    }

    pub fn delete_session(&self, session: &SessionName) -> Reply<bool> {
        let session = session.clone();
        let manner = Manner { intent: "deleting a session", ..FULL_USER };
        self.ask(manner, move |journal| sessions::delete(journal, &session))
    }
}
