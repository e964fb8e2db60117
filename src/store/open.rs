//! The handle: opening a data dir, and one method per intention, each a request to a writer.

mod mirror;
mod ops;
mod screen;
mod session;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    model::{
        activity::Activity,
        draft::DraftVersion,
        time::{Clock, Timestamp},
    },
    store::{
        Mended, OpenMode, Reader, Reply,
        error::{Result, StoreError},
        files::{self, Files, Lock},
        journal::{Journal, drafts, mend, shadow},
        mirror::{Mirror, overtaken::Overtaken},
        prepare::{self, Prepared},
        salvage,
        schema::{self, Need},
        search::{self, Nudge, Search},
        writer::{Durability, Lane, Manner, Writer},
    },
};

/// A handle to the writer threads of one data dir; cheap to clone. The threads end when the last handle is dropped.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    /// The dir the user named.
    dir: PathBuf,
    /// Where the files read are: the same, or the private copy of a read-only opening.
    files: Files,
    clock: Arc<dyn Clock>,
    /// `None` where the data was opened read-only.
    writers: Option<Writers>,
    own_drafts: drafts::OwnDrafts,
    /// What opening found out, until somebody asks.
    notes: Mutex<Vec<Activity>>,
    _lock: Option<Lock>,
    _copy: Option<tempfile::TempDir>,
}

struct Writers {
    journal: Writer<Journal>,
    mirror: Writer<Mirror>,
    search: Search,
    overtaken: Overtaken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(writers) = &self.writers {
            // The mirror's last requests may still ask the journal.
            writers.mirror.close();
            writers.journal.close();
            writers.search.close();
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.0.dir).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens or creates the files of a data dir (0700/0600), copying before a migration. `clock` stamps what the store
    /// itself notes (generations, backups).
    pub fn open(dir: &Path, mode: OpenMode, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        match mode {
            OpenMode::ReadWrite => match Self::open_for_writing(dir, Arc::clone(&clock)) {
                // A full disk does not even let a file be opened: the held-back space is for this.
                Err(error) if error.is_disk_full() && files::drop_ballast(&Files { dir: dir.to_path_buf() }) => {
                    Self::open_for_writing(dir, clock)
                }
                // A page that opening had to read: marked, and then salvaged or made again like any other damage.
                Err(StoreError::Damaged { path, kept: None, .. }) => {
                    drop(files::private_file(&Files { dir: dir.to_path_buf() }.suspect(&path))?);
                    Self::open_for_writing(dir, clock)
                }
                opened => opened,
            },
            OpenMode::ReadOnly => Self::open_copy(dir, clock),
        }
    }

    fn open_for_writing(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        files::private_dir(dir)?;
        let files = Files { dir: dir.to_path_buf() };
        let Prepared { lock, notes } = prepare::prepare(&files, clock.as_ref())?;
        let nudge = Nudge::default();
        let open = |path: &Path| schema::open(path).map_err(|error| error.at(path, "opening the data"));
        let checkpointer = |path: &Path| {
            let path = path.to_path_buf();
            move || schema::open(&path)
        };
        let read = |path: &Path| schema::open_for_reading(path).map_err(|error| error.at(path, "opening the data"));
        let (journal_path, mirror_path) = (files.journal(), files.mirror());
        let own_drafts = drafts::OwnDrafts::default();
        let journal = Journal::new(
            open(&journal_path)?,
            read(&mirror_path)?,
            files.clone(),
            Arc::clone(&clock),
            nudge.clone(),
            own_drafts.clone(),
        );
        let journal = Writer::start("journal", journal, checkpointer(&journal_path))?;
        let mirror_connection = open(&mirror_path)?;
        // Pages are written in key order; 16 MiB hold the path to the end of every index.
        mirror_connection.pragma_update(None, "cache_size", -16_384).map_err(StoreError::from)?;
        let mirror = Mirror::new(
            mirror_connection,
            read(&journal_path)?,
            journal.clone(),
            files.clone(),
            Arc::clone(&clock),
            nudge.clone(),
        );
        let mirror = Writer::start("mirror", mirror, checkpointer(&mirror_path))?;
        let search = Search::start(&files, Arc::clone(&clock), nudge, journal.clone(), mirror.clone())?;
        let inner = Inner {
            dir: dir.to_path_buf(),
            files,
            clock,
            writers: Some(Writers { journal, mirror, search, overtaken: Overtaken::default() }),
            own_drafts,
            notes: Mutex::new(notes.clone()),
            _lock: Some(lock),
            _copy: None,
        };
        let store = Self(Arc::new(inner));
        store.after_opening(notes)?;
        Ok(store)
    }

    /// What opening found out, noted; and what depends on a mirror that is not the one the journal knew, made anew.
    fn after_opening(&self, notes: Vec<Activity>) -> Result<()> {
        if !notes.is_empty() {
            drop(self.log(notes));
        }
        let mut manner = FULL_USER;
        manner.intent = "following a new mirror";
        // Only waited for where it has to be done: readers trust the table's base numbers.
        let mirror = self.0.files.mirror();
        let known = self.ask(manner, move |journal| {
            let is_mended = search::meta(&journal.connection, salvage::MENDING)?.is_none();
            let known = search::meta(&journal.connection, "mirror_identity")?;
            let identity =
                search::identity(&journal.mirror).map_err(|error| error.at(&mirror, "opening the mirror"))?;
            Ok((is_mended, known.is_some_and(|known| known == identity), identity))
        });
        let (is_mended, is_known, identity) = known.wait()?;
        if !is_mended {
            let at = self.0.clock.at().wall;
            self.ask(manner, move |journal| {
                mend::mend(journal, at)?;
                journal.connection.execute("DELETE FROM meta WHERE name = ?1", [salvage::MENDING])?;
                Ok(())
            })
            .wait()?;
        }
        if !is_known {
            self.ask(manner, move |journal| {
                shadow::rebuild(journal)?;
                search::set_meta(&journal.connection, "mirror_identity", &identity)
            })
            .wait()?;
        }
        Ok(())
    }

    /// Copies the journal (and the mirror, where it cannot be read in place) into a private directory and reads there.
    fn open_copy(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let journal = dir.join("journal.db");
        if files::look(&journal)? == files::Look::Missing {
            let detail = "there is no data here to read".to_owned();
            return Err(StoreError::NotWritable { path: journal, detail });
        }
        let copy = tempfile::Builder::new()
            .prefix("ebbtide-read-")
            .tempdir()
            .map_err(|error| files::not_writable(&std::env::temp_dir(), &error))?;
        let files = Files { dir: copy.path().to_path_buf() };
        let from = Files { dir: dir.to_path_buf() };
        let mut notes = Vec::new();
        for (schema, from, to) in
            [(&schema::JOURNAL, from.journal(), files.journal()), (&schema::MIRROR, from.mirror(), files.mirror())]
        {
            if files::look(&from)? == files::Look::Missing {
                schema.create(&to)?;
                continue;
            }
            files::copy_live(&from, &to)?;
            match bring_copy_up(schema, &to) {
                Err(StoreError::Damaged { detail, .. }) if schema.name == schema::JOURNAL.name => {
                    let note = salvage::salvage(&files, &detail)
                        .map_err(|_| StoreError::Damaged { path: from, detail, kept: None })?
                        .note(clock.at().wall);
                    // The copy goes when this program ends; the damaged file itself stays where it is.
                    notes.push(Activity { hint: Some("start without `--read-only` to save it".to_owned()), ..note });
                }
                Err(StoreError::Damaged { .. }) => {
                    files::set_aside(&files, &to)?;
                    schema.create(&to)?;
                }
                other => other?,
            }
        }
        schema::SEARCH.create(&files.search())?;
        if let Err(error) = derive(&files, &clock) {
            tracing::warn!(%error, "what is derived could not be made anew in the copy");
        }
        let inner = Inner {
            dir: dir.to_path_buf(),
            files,
            clock,
            writers: None,
            own_drafts: drafts::OwnDrafts::default(),
            notes: Mutex::new(notes),
            _lock: None,
            _copy: Some(copy),
        };
        Ok(Self(Arc::new(inner)))
    }

    pub fn dir(&self) -> PathBuf {
        self.0.dir.clone()
    }

    /// What opening found out, for the screen or the terminal; it is in the activity log already. Answered once.
    pub fn take_notes(&self) -> Vec<Activity> {
        std::mem::take(&mut self.0.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the three files whole on connections of its own, whenever and wherever it is called: seconds on large ones, in
    /// nobody's way. Answers what is wrong and in which, where something is; the next start then saves what can be read,
    /// or makes again what can be made again.
    pub fn journal_check(&self) -> impl FnOnce() -> Result<Option<String>, StoreError> + Send + 'static {
        let (files, may_mark) = (self.0.files.clone(), self.0.writers.is_some());
        move || {
            let all = [("journal", files.journal()), ("mirror", files.mirror()), ("search index", files.search())];
            for (name, path) in all {
                let said = schema::open_for_reading(&path)
                    .and_then(|connection| {
                        Ok(connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))?)
                    })
                    .map_err(|error| error.at(&path, "checking the data"));
                let wrong = match said {
                    Ok(said) if said == "ok" => continue,
                    Ok(said) => said,
                    Err(StoreError::Damaged { detail, .. }) => detail,
                    Err(error) => return Err(error),
                };
                if may_mark {
                    drop(files::private_file(&files.suspect(&path))?);
                }
                return Ok(Some(format!("{name}: {}", wrong.lines().next().unwrap_or_default())));
            }
            Ok(None)
        }
    }

    /// Writes a row that means nothing to the journal and to the mirror: whether they take anything now.
    pub fn try_writing(&self, at: Timestamp) -> [Reply<()>; 2] {
        let manner = Manner { intent: "trying to write", ..FULL_ENGINE };
        let row = at.0.to_string();
        let copy = row.clone();
        [
            self.ask(manner, move |journal| search::set_meta(&journal.connection, "tried_writing", &row)),
            self.ask_mirror(manner, move |mirror| search::set_meta(&mirror.connection, "tried_writing", &copy)),
        ]
    }

    /// Restores the rules between the journal's tables where that is safe. For `doctor`.
    pub fn mend(&self, at: Timestamp) -> Reply<Mended> {
        let manner = Manner { lane: Lane::Bulk, rows: 100, intent: "mending the journal", ..FULL_USER };
        self.ask(manner, move |journal| mend::mend(journal, at))
    }

    /// A reader of its own connections (journal first, mirror and search attached).
    pub fn reader(&self) -> Result<Reader, StoreError> {
        let nudge = self.0.writers.as_ref().map(|writers| writers.search.nudge());
        Reader::open(&self.0.files, self.session_locks(), Arc::clone(&self.0.clock), nudge)
    }

    /// The drafts other processes wrote, as far as this one did not write them again, and those of this one that others
    /// ended: news where it is not what it was at the last look.
    pub fn drafts_of_others(&self, reader: &mut Reader) -> Result<Vec<(i64, DraftVersion)>, StoreError> {
        Ok(self.0.own_drafts.of_others(reader.draft_versions()?))
    }

    fn session_locks(&self) -> Files {
        Files { dir: self.0.dir.clone() }
    }

    /// Makes this process the sync leader of the data dir, while the lock is kept; `None` where another one is.
    pub fn lock_leader(&self) -> Result<Option<Lock>, StoreError> {
        self.writers()?;
        files::try_hold(&self.0.files.leader())
    }

    fn writers(&self) -> Result<&Writers> {
        self.0.writers.as_ref().ok_or(StoreError::ReadOnly)
    }

    /// A request to the journal's writer.
    fn ask<T: Send + 'static>(
        &self,
        manner: Manner,
        work: impl FnMut(&Journal) -> Result<T> + Send + 'static,
    ) -> Reply<T> {
        match self.writers() {
            Ok(writers) => writers.journal.submit(manner, work),
            Err(error) => Reply::ready(Err(error)),
        }
    }

    fn ask_mirror<T: Send + 'static>(
        &self,
        manner: Manner,
        work: impl FnMut(&Mirror) -> Result<T> + Send + 'static,
    ) -> Reply<T> {
        match self.writers() {
            Ok(writers) => writers.mirror.submit(manner, work),
            Err(error) => Reply::ready(Err(error)),
        }
    }
}

/// An older schema is brought up in the copy; a newer one is read as far as it can be.
fn bring_copy_up(schema: &schema::Schema, copy: &Path) -> Result<()> {
    match schema.need(copy) {
        Err(StoreError::TooNew { .. }) => Ok(()),
        Err(error) => Err(error),
        Ok(_) if schema.name == schema::JOURNAL.name && salvage::has_broken_log(copy)? => {
            let detail = "its write-ahead log has a bad frame".to_owned();
            Err(StoreError::Damaged { path: copy.to_path_buf(), detail, kept: None })
        }
        Ok(Need::Migrate) => {
            let mut connection = schema::open(copy)?;
            schema.upgrade(&mut connection, copy)
        }
        Ok(Need::Nothing | Need::Create) => Ok(()),
    }
}

/// What depends on the mirror, in a copy nobody else writes: made anew where it is of another mirror.
fn derive(files: &Files, clock: &Arc<dyn Clock>) -> Result<()> {
    let connection = schema::open(&files.journal())?;
    let mirror = schema::open_for_reading(&files.mirror())?;
    let identity = search::identity(&mirror)?;
    let journal = Journal::new(
        connection,
        mirror,
        files.clone(),
        Arc::clone(clock),
        Nudge::default(),
        drafts::OwnDrafts::default(),
    );
    let known = search::meta(&journal.connection, "mirror_identity")?;
    if search::meta(&journal.connection, salvage::MENDING)?.is_some() {
        mend::mend(&journal, clock.at().wall)?;
        journal.connection.execute("DELETE FROM meta WHERE name = ?1", [salvage::MENDING])?;
    } else if known.as_deref() != Some(identity.as_str()) {
        shadow::rebuild(&journal)?;
    }
    search::set_meta(&journal.connection, "mirror_identity", &identity)
}

const FULL_USER: Manner =
    Manner { lane: Lane::User, durability: Durability::Full, hurry: false, rows: 1, bytes: 4096, intent: "writing" };
const FULL_ENGINE: Manner = Manner { lane: Lane::Engine, ..FULL_USER };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        ids::SessionName,
        session::{Slice, UiCommit},
        time::At,
    };

    struct Still;

    impl Clock for Still {
        fn at(&self) -> At {
            At::test(0)
        }
    }

    fn body(length: usize) -> UiCommit {
        let slice = Slice { name: "records".to_owned(), version: 1, body: "x".repeat(length) };
        UiCommit { slices: vec![slice], ..UiCommit::default() }
    }

    /// Lets the journal grow to so many pages more, as a nearly full disk would.
    fn room(store: &Store, pages: Option<i64>) {
        store
            .ask(FULL_USER, move |journal| {
                let present: i64 = journal.connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
                let most = pages.map_or(i64::from(i32::MAX), |more| present + more);
                journal.connection.query_row(&format!("PRAGMA max_page_count = {most}"), [], |_| Ok(()))?;
                Ok(())
            })
            .wait()
            .expect("a limit");
    }

    #[test]
    fn a_full_disk_is_said_aloud_gives_the_ballast_up_and_heals() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), OpenMode::ReadWrite, Arc::new(Still)).expect("a store");
        // The thread that keeps the ballast answers after it is filled.
        store.feed_search().wait().expect("a feed");
        assert_eq!(std::fs::metadata(dir.path().join("ballast")).expect("ballast").len(), 8 << 20);
        let session = SessionName::from("default");
        store.commit_ui(&session, body(10)).wait().expect("a commit");
        room(&store, Some(1));
        let error = store.commit_ui(&session, body(50_000)).wait().expect_err("no room");
        assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
        assert!(!dir.path().join("ballast").exists());
        let kept = store.reader().expect("a reader").session(&session).expect("a session");
        assert_eq!(kept.slices[0].body.len(), 10, "what was committed stays");
        room(&store, None);
        store.commit_ui(&session, body(50_000)).wait().expect("room again");
    }

    #[test]
    fn a_locked_journal_is_waited_for_off_the_callers_thread() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), OpenMode::ReadWrite, Arc::new(Still)).expect("a store");
        let session = SessionName::from("default");
        store.commit_ui(&session, body(1)).wait().expect("a commit");
        let outside = schema::open(&dir.path().join("journal.db")).expect("an outside tool");
        outside.execute_batch("BEGIN IMMEDIATE").expect("a lock");
        let waiting = store.commit_ui(&session, body(2));
        let behind = store.commit_ui(&session, body(3));
        outside.execute_batch("COMMIT").expect("the lock is given up");
        waiting.wait().expect("the first");
        behind.wait().expect("the second");
        let kept = store.reader().expect("a reader").session(&session).expect("a session");
        assert_eq!(kept.slices[0].body.len(), 3, "in the order they were made");
    }
}
