//! What the screen writes: its slices, drafts and the log.

use super::{FULL_USER, Manner, Reply, Store};
use crate::{
    model::{
        activity::Activity,
        draft::{Draft, DraftKey, DraftWrite},
        ids::SessionName,
        session::UiCommit,
        time::Timestamp,
    },
    store::{
        journal::{Journal, activity, drafts, sessions},
        writer::{Durability, Lane},
    },
};

impl Store {
    /// The commit before a paint (`NORMAL`). Rows are upserted; an older generation of another writer never wins.
    ///
    /// A small commit with nothing ahead of it is carried out before this returns, on the calling thread: at 10 µs, a
    /// switch to another thread and back would cost more than the commit.
    pub fn commit_ui(&self, session: &SessionName, commit: UiCommit) -> Reply<()> {
        let bytes = weight(&commit);
        let rows = commit.slices.len() + commit.drafts.len() + commit.activity.len();
        let manner = Manner {
            lane: Lane::User,
            durability: Durability::Normal,
            hurry: false,
            rows,
            bytes,
            intent: "saving the screen",
        };
        let session = session.clone();
        let work = move |journal: &Journal| {
            sessions::commit(journal, &session, &commit)?;
            Ok(())
        };
        match self.writers() {
            Ok(writers) if bytes <= 64 << 10 => writers.journal.submit_here(manner, work),
            Ok(writers) => writers.journal.submit(manner, work),
            Err(error) => Reply::ready(Err(error)),
        }
    }

    /// Puts a draft into the vault and ends it. The number it has there; `None` where there is no such draft.
    pub fn discard_draft(&self, key: DraftKey, at: Timestamp) -> Reply<Option<i64>> {
        let manner = Manner { intent: "discarding a draft", rows: 3, bytes: 64 << 10, ..FULL_USER };
        self.ask(manner, move |journal| drafts::discard(journal, &key, at))
    }

    /// Makes a draft of the vault a draft again. One that is there under its name goes into the vault for it; answers its
    /// number there.
    pub fn restore_draft(&self, draft: Draft, at: Timestamp) -> Reply<Option<i64>> {
        let manner = Manner { intent: "restoring a draft", rows: 6, bytes: draft.snapshot.len() * 2, ..FULL_USER };
        self.ask(manner, move |journal| drafts::restore(journal, &draft, at))
    }

    pub fn log(&self, activity: Vec<Activity>) -> Reply<()> {
        let manner = Manner {
            rows: activity.len(),
            intent: "writing the activity log",
            lane: Lane::Engine,
            durability: Durability::Normal,
            ..FULL_USER
        };
        self.ask(manner, move |journal| activity::note(journal, &activity))
    }
}

fn weight(commit: &UiCommit) -> usize {
    let slices: usize = commit.slices.iter().map(|slice| slice.body.len()).sum();
    let drafts: usize = commit
        .drafts
        .iter()
        .map(|draft| match draft {
            DraftWrite::Snapshot { snapshot, .. } => snapshot.len() * 2,
            DraftWrite::Append { edit, .. } => edit.len(),
            DraftWrite::RequestCommit { .. } => 4096,
            DraftWrite::Remove { .. } => 64,
            DraftWrite::Discard { .. } => 64 << 10,
        })
        .sum();
    slices + drafts + commit.activity.len() * 128
}
