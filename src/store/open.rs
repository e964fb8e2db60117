//! The handle: opening a data dir, and one method per intention, each a request to a writer.

mod session;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;
use tokio::sync::oneshot;

use crate::{
    model::{
        activity::{Activity, Severity},
        draft::{Draft, DraftKey, DraftTarget, DraftVersion},
        ids::{CollectionKey, OpId, RecordId, RecordKey, Revision, Seq, SessionName, SourceName},
        json::Pointer,
        op::{LateOriginal, NewOp, Op, OpCommand},
        session::UiCommit,
        spend::SpentRow,
        sync_status::{SourceStatus, SyncRequest},
        time::{Clock, Timestamp},
        window::{KeyWindow, WindowDifference},
    },
    store::{
        Applied, Claim, Mended, Missing, NewBase, OpenMode, PullPage, QueueEdit, Queued, Reader, Reply, Resolve,
        Settle, Undone, Unresolved,
        error::{Result, StoreError},
        files::{self, Files, Lock},
        journal::{
            Journal, accounts, activity, claims, commands, conflicts, drafts, guards, mend, requests, sessions, shadow,
            spent, steps, surgery, unresolve, vault,
        },
        mirror::{Mirror, overtaken::Overtaken, pages, sweeps, windows},
        prepare::{self, Prepared},
        salvage,
        schema::{self, Need},
        search::{self, Nudge, Search},
        writer::{Durability, Lane, Manner, Writer},
    },
};

/// Ops of one import transaction.
const BULK: usize = 100;

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

    // --- journal: screen state -----------------------------------------------------------------------------------

    /// The commit before a paint (`NORMAL`). Rows are upserted; an older generation of another writer never wins.
    ///
    /// A small commit with nothing ahead of it is carried out before this returns, on the calling thread: at 10 µs, a
    /// switch to another thread and back would cost more than the commit.
    pub fn commit_ui(&self, session: &SessionName, commit: UiCommit) -> Reply<()> {
        let bytes = weight(&commit);
        let rows = commit.slices.len() + commit.drafts.len() + commit.activity.len();
        let manner =
            Manner { lane: Lane::User, durability: Durability::Normal, rows, bytes, intent: "saving the screen" };
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

    // --- journal: ops (all `FULL`, group-committed) --------------------------------------------------------------

    /// Puts an edit into the outbox. The same `op_id` again answers the op that is there.
    pub fn queue(&self, edit: QueueEdit) -> Reply<Queued> {
        let manner = Manner { rows: 3, bytes: 8192, intent: "saving an edit", ..FULL_USER };
        self.ask(manner, move |journal| {
            let queued = match edit.draft.as_ref().map(|draft| &draft.key.target) {
                Some(DraftTarget::Op(seq)) => surgery::replace(journal, *seq, &edit.op)?,
                _ => journal.queue(&edit.op, None)?,
            };
            if let Some(draft) = &edit.draft {
                drafts::queued(journal, draft, edit.op.op_id)?;
            }
            if let Some((session, commit)) = &edit.session {
                sessions::commit(journal, session, commit)?;
            }
            activity::note(journal, edit.activity.as_slice())?;
            journal.nudge.journal_changed();
            Ok(queued)
        })
    }

    /// Many edits in transactions of at most 100 rows (`import`).
    pub fn queue_many(&self, edits: Vec<NewOp>) -> Reply<Vec<Queued>> {
        let writers = match self.writers() {
            Ok(writers) => writers,
            Err(error) => return Reply::ready(Err(error)),
        };
        if edits.is_empty() {
            return Reply::ready(Ok(Vec::new()));
        }
        let (sender, receiver) = oneshot::channel();
        let gathered = Arc::new(Mutex::new(Gathered { queued: Vec::with_capacity(edits.len()), sender: Some(sender) }));
        let mut edits = edits.into_iter().peekable();
        while edits.peek().is_some() {
            let part: Vec<NewOp> = edits.by_ref().take(BULK).collect();
            let last = edits.peek().is_none();
            let manner = Manner {
                lane: Lane::Bulk,
                durability: Durability::Full,
                rows: part.len(),
                bytes: part.len() * 2048,
                intent: "saving edits",
            };
            let (stopped, gathered) = (Arc::clone(&gathered), Arc::clone(&gathered));
            let work = move |journal: &Journal| {
                if stopped.lock().unwrap_or_else(PoisonError::into_inner).sender.is_none() {
                    // An earlier part failed, and the caller knows.
                    return Ok(Vec::new());
                }
                let queued = part.iter().map(|op| journal.queue(op, None)).collect::<Result<Vec<_>>>()?;
                journal.nudge.journal_changed();
                Ok(queued)
            };
            writers.journal.submit_then(manner, work, move |result| {
                let mut gathered = gathered.lock().unwrap_or_else(PoisonError::into_inner);
                let failed = match result {
                    Ok(queued) => {
                        gathered.queued.extend(queued);
                        None
                    }
                    Err(error) => Some(error),
                };
                if (failed.is_some() || last)
                    && let Some(sender) = gathered.sender.take()
                {
                    let _ = sender.send(failed.map_or_else(|| Ok(std::mem::take(&mut gathered.queued)), Err));
                }
            });
        }
        Reply(receiver)
    }

    /// Hold, release, retry, send, discard. Answers the ops it changed; an op the command does not fit is an error that says
    /// why and changes nothing.
    pub fn command(&self, seqs: Vec<Seq>, command: OpCommand, at: Timestamp) -> Reply<Vec<Seq>> {
        let manner = Manner { rows: seqs.len() * 3, intent: "changing the outbox", ..FULL_USER };
        self.ask(manner, move |journal| {
            journal.nudge.journal_changed();
            commands::command(journal, &seqs, command, at)
        })
    }

    /// Takes back the newest pending edit or step on the queue, whichever is newer: an untouched op is discarded (vault
    /// keeps it), one that was attempted gets an inverse edit queued behind it under `op_id`. `None`: nothing to undo.
    pub fn undo(&self, op_id: OpId, at: Timestamp) -> Reply<Option<Undone>> {
        let manner = Manner { rows: 3, intent: "taking an edit back", ..FULL_USER };
        self.ask(manner, move |journal| {
            journal.nudge.journal_changed();
            commands::undo(journal, op_id, at)
        })
    }

    /// Takes back the newest step on the queue only, never an edit. `None`: there is none.
    pub fn undo_step(&self, at: Timestamp) -> Reply<Option<Undone>> {
        let manner = Manner { rows: 3, intent: "taking a change of the outbox back", ..FULL_USER };
        self.ask(manner, move |journal| {
            journal.nudge.journal_changed();
            steps::undo(journal, at)
        })
    }

    /// Puts another document in the place of a queued, held or rejected op: it is superseded by a new op, whose number is
    /// answered. Refused where it may have been applied.
    pub fn edit_op(&self, seq: Seq, op_id: OpId, document: Value, at: Timestamp) -> Reply<Seq> {
        let manner = Manner { rows: 4, bytes: 8192, intent: "changing an edit", ..FULL_USER };
        self.ask(manner, move |journal| {
            journal.nudge.journal_changed();
            surgery::edit(journal, seq, op_id, &document, at)
        })
    }

    /// Takes these places out of an op into one of their own behind it, held. Answers (what is left, what was taken out).
    pub fn split_op(&self, seq: Seq, pointers: Vec<Pointer>, op_ids: [OpId; 2], at: Timestamp) -> Reply<(Seq, Seq)> {
        let manner = Manner { rows: 5, bytes: 8192, intent: "splitting an edit", ..FULL_USER };
        self.ask(manner, move |journal| {
            journal.nudge.journal_changed();
            surgery::split(journal, seq, &pointers, op_ids, at)
        })
    }

    pub fn claim(&self, claim: Claim) -> Reply<Option<Op>> {
        let manner = Manner { rows: 2, intent: "claiming a change", ..FULL_ENGINE };
        self.ask(manner, move |journal| claims::claim(journal, &claim))
    }

    pub fn settle(&self, settle: Settle) -> Reply<()> {
        let manner = Manner { rows: 2, intent: "recording an answer", ..FULL_ENGINE };
        self.ask(manner, move |journal| {
            journal.nudge.journal_changed();
            claims::settle(journal, &settle)
        })
    }

    /// A settle that ends a doubt, with what has to be guarded after it, in one transaction.
    pub fn settle_guarded(&self, settle: Settle, guard: LateOriginal) -> Reply<()> {
        let manner = Manner { rows: 3, intent: "recording an answer", ..FULL_ENGINE };
        self.ask(manner, move |journal| {
            journal.nudge.journal_changed();
            claims::settle(journal, &settle)?;
            guards::keep(journal, &guard)
        })
    }

    /// The record was read: its guards that end by `until` have done their work.
    pub fn end_guards(&self, record: RecordKey, until: Timestamp) -> Reply<()> {
        let manner = Manner { intent: "ending a guard", durability: Durability::Normal, ..FULL_ENGINE };
        self.ask(manner, move |journal| guards::end(journal, &record, until))
    }

    /// On becoming leader: every `in_flight` of these sources becomes `in_doubt`.
    pub fn recover_in_flight(&self, at: Timestamp) -> Reply<u64> {
        let manner = Manner { rows: 4, intent: "taking over the outbox", ..FULL_ENGINE };
        self.ask(manner, move |journal| {
            let recovered = claims::recover(journal)?;
            if recovered > 0 {
                let text = format!("{recovered} changes were being sent when the last run ended: they are in doubt");
                activity::note(journal, &[Activity::new(at, Severity::Warning, "outbox", text)])?;
            }
            Ok(recovered)
        })
    }

    /// `auth` ops of a source become `queued` again (new credentials).
    pub fn release_auth(&self, source: SourceName) -> Reply<u64> {
        let manner = Manner { rows: 10, intent: "releasing changes that needed credentials", ..FULL_ENGINE };
        self.ask(manner, move |journal| claims::release_auth(journal, &source))
    }

    /// Adds bytes to what is counted by day.
    pub fn add_spent(&self, rows: Vec<SpentRow>) -> Reply<()> {
        let manner = Manner { rows: 4, intent: "counting bytes", durability: Durability::Normal, ..FULL_ENGINE };
        self.ask(manner, move |journal| spent::add(journal, &rows))
    }

    /// Keeps every process of this data dir off the network, also after a restart; or no longer.
    pub fn force_offline(&self, since: Option<Timestamp>) -> Reply<()> {
        let manner = Manner { intent: "switching forced offline", ..FULL_USER };
        self.ask(manner, move |journal| spent::force_offline(journal, since))
    }

    /// This account is signed in at the source: edits of others wait (see `journal::accounts`). Answers how many.
    pub fn sign_in(&self, source: SourceName, principal: String, at: Timestamp) -> Reply<u64> {
        let manner = Manner { rows: 10, intent: "noting who is signed in", ..FULL_ENGINE };
        self.ask(manner, move |journal| accounts::sign_in(journal, &source, &principal, at))
    }

    /// The signed in account may send what another one made. Answers how many edits that are.
    pub fn confirm_author(&self, source: SourceName, at: Timestamp) -> Reply<u64> {
        let manner = Manner { rows: 10, intent: "confirming edits of another account", ..FULL_USER };
        self.ask(manner, move |journal| accounts::confirm(journal, &source, at))
    }

    /// Resolves a conflict: the op is superseded (or dropped for `Theirs`), the loser goes to the vault, a new op on the
    /// remote revision takes its place, blocked ops behind it are released. Answers the new op's number.
    ///
    /// The mirror is given the server's side first, where it does not have a newer one: the new op stands on it.
    pub fn resolve(&self, resolve: Resolve) -> Reply<Option<Seq>> {
        let writers = match self.writers() {
            Ok(writers) => writers,
            Err(error) => return Reply::ready(Err(error)),
        };
        let (sender, receiver) = oneshot::channel();
        let journal = writers.journal.clone();
        let conflict = resolve.conflict;
        let manner = Manner { rows: 2, intent: "resolving a conflict", ..FULL_ENGINE };
        writers.mirror.submit_then(
            manner,
            move |mirror| pages::take_theirs(mirror, conflict),
            move |placed| {
                if let Err(error) = placed {
                    let _ = sender.send(Err(error));
                    return;
                }
                let manner = Manner { rows: 5, intent: "resolving a conflict", ..FULL_USER };
                journal.submit_then(
                    manner,
                    move |journal| {
                        journal.nudge.journal_changed();
                        conflicts::resolve(journal, &resolve)
                    },
                    move |result| {
                        let _ = sender.send(result);
                    },
                );
            },
        );
        Reply(receiver)
    }

    /// Keeps a conflict for a record whose server copy is gone while edits are pending (a pull, not an answer).
    pub fn conflict_from_pull(
        &self,
        record: RecordKey,
        theirs: Option<Value>,
        revision: Option<Revision>,
        at: Timestamp,
    ) -> Reply<()> {
        let manner = Manner { rows: 3, intent: "keeping a conflict", ..FULL_ENGINE };
        self.ask(manner, move |journal| conflicts::from_pull(journal, &record, theirs.as_ref(), revision.as_ref(), at))
    }

    /// A wish to the sync leader, wherever it runs.
    pub fn request(&self, request: SyncRequest, at: Timestamp) -> Reply<()> {
        let manner = Manner { intent: "asking the sync leader", durability: Durability::Normal, ..FULL_ENGINE };
        self.ask(manner, move |journal| requests::leave(journal, &request, at))
    }

    /// Takes all waiting wishes (leader only), oldest first.
    pub fn take_requests(&self) -> Reply<Vec<SyncRequest>> {
        let manner = Manner { intent: "taking requests", durability: Durability::Normal, ..FULL_ENGINE };
        self.ask(manner, requests::take)
    }

    /// Takes a resolution back: while it is unsent the conflict is open again, else its reverse is queued under `op_id`.
    pub fn unresolve(&self, conflict: i64, op_id: OpId, at: Timestamp) -> Reply<Unresolved> {
        let manner = Manner { rows: 5, intent: "taking a resolution back", ..FULL_USER };
        self.ask(manner, move |journal| {
            journal.nudge.journal_changed();
            unresolve::unresolve(journal, conflict, op_id, at)
        })
    }

    /// Removes settled ops, resolved conflicts and activity older than `before`.
    pub fn prune(&self, before: Timestamp) -> Reply<()> {
        let manner = Manner { lane: Lane::Bulk, rows: 100, intent: "removing old history", ..FULL_USER };
        self.ask(manner, move |journal| journal.prune(before))
    }

    /// Removes versions of the vault older than `before`, then the oldest until the rest takes at most `most` bytes.
    pub fn prune_vault(&self, before: Timestamp, most: u64) -> Reply<()> {
        let manner = Manner { lane: Lane::Bulk, rows: 100, intent: "removing old versions", ..FULL_USER };
        self.ask(manner, move |journal| vault::prune(journal, before, most))
    }

    /// Makes the derived table of pending records anew from the ops; answers how many of its rows were not as they
    /// should be. For `doctor`.
    pub fn rebuild_shadow(&self) -> Reply<u64> {
        let manner = Manner { lane: Lane::Bulk, rows: 100, intent: "rebuilding the pending records", ..FULL_USER };
        self.ask(manner, shadow::rebuild)
    }

    // --- mirror ----------------------------------------------------------------------------------------------------

    /// One page with its checkpoint (`NORMAL`). Idempotent by revision, else by fingerprint of the text.
    pub fn apply_page(&self, page: PullPage) -> Reply<Applied> {
        let manner = Manner {
            lane: Lane::Bulk,
            durability: Durability::Normal,
            rows: page.changes.len(),
            bytes: page.changes.len() * 1024,
            intent: "storing a page",
        };
        let Ok(writers) = self.writers() else { return Reply::ready(Err(StoreError::ReadOnly)) };
        let ticket = writers.overtaken.enter(&page.collection);
        self.ask_mirror(manner, move |mirror| pages::apply(mirror, &page, &ticket.newer()))
    }

    /// What the sweep did not see. Deletes nothing.
    pub fn missing(&self, collection: CollectionKey, sweep: i64) -> Reply<Missing> {
        let manner = Manner { lane: Lane::Bulk, durability: Durability::Normal, intent: "ending a sweep", ..FULL_USER };
        self.ask_mirror(manner, move |mirror| sweeps::missing(mirror, &collection, sweep))
    }

    /// How the mirror differs from a window of the server's; changes nothing. Behind every page handed over before.
    pub fn compare_window(&self, window: KeyWindow) -> Reply<WindowDifference> {
        let manner =
            Manner { lane: Lane::Bulk, durability: Durability::Normal, intent: "comparing copies", ..FULL_USER };
        self.ask_mirror(manner, move |mirror| windows::compare(mirror, &window))
    }

    /// Writes a checkpoint that no rows come with, behind every page handed over before.
    pub fn keep_checkpoint(&self, collection: CollectionKey, checkpoint: String) -> Reply<()> {
        let manner =
            Manner { lane: Lane::Bulk, durability: Durability::Normal, intent: "keeping a position", ..FULL_USER };
        self.ask_mirror(manner, move |mirror| mirror.keep_checkpoint(&collection, &checkpoint))
    }

    /// Deletes what the sweep did not see, except `protected` (answered); every deleted body goes to the vault first.
    pub fn finish_sweep(
        &self,
        collection: CollectionKey,
        sweep: i64,
        protected: HashSet<RecordId>,
        at: Timestamp,
    ) -> Reply<Applied> {
        let writers = match self.writers() {
            Ok(writers) => writers,
            Err(error) => return Reply::ready(Err(error)),
        };
        let (sender, receiver) = oneshot::channel();
        let sum = Applied { changed: Some(Vec::new()), ..Applied::default() };
        let sweep = Sweep { collection, sweep, protected: Arc::new(protected), at, sum, sender };
        sweep.go_on(&writers.mirror, Vec::new());
        Reply(receiver)
    }

    /// Acknowledgements (`FULL`, grouped): the reply comes when they are durable.
    pub fn acknowledge(&self, bases: Vec<NewBase>) -> Reply<()> {
        let manner = Manner { rows: bases.len(), intent: "storing an acknowledged record", ..FULL_ENGINE };
        if let Ok(writers) = self.writers() {
            writers.overtaken.note(&bases);
        }
        self.ask_mirror(manner, move |mirror| pages::acknowledge(mirror, &bases))
    }

    /// Publishes the leader's status rows (at most 2 a second).
    pub fn publish_status(&self, status: Vec<SourceStatus>) -> Reply<()> {
        let manner = Manner { intent: "publishing the status", durability: Durability::Normal, ..FULL_ENGINE };
        self.ask_mirror(manner, move |mirror| mirror.publish(&status))
    }

    /// Forgets a collection's rows and checkpoint, so that it is pulled again.
    pub fn forget(&self, collection: CollectionKey) -> Reply<()> {
        let manner = Manner { lane: Lane::Bulk, intent: "forgetting a collection", ..FULL_USER };
        self.ask_mirror(manner, move |mirror| mirror.forget(&collection))
    }

    /// Whether new rows wait for the search index, and a nudge to feed it (on idle).
    pub fn feed_search(&self) -> Reply<bool> {
        match self.writers() {
            Ok(writers) => writers.search.feed_now(),
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
    Manner { lane: Lane::User, durability: Durability::Full, rows: 1, bytes: 4096, intent: "writing" };
const FULL_ENGINE: Manner = Manner { lane: Lane::Engine, ..FULL_USER };

struct Gathered {
    queued: Vec<Queued>,
    sender: Option<oneshot::Sender<Result<Vec<Queued>>>>,
}

/// A sweep's deletions, a part of 200 rows per transaction, so that acknowledgements go in between.
struct Sweep {
    collection: CollectionKey,
    sweep: i64,
    protected: Arc<HashSet<RecordId>>,
    at: Timestamp,
    sum: Applied,
    sender: oneshot::Sender<Result<Applied>>,
}

impl Sweep {
    fn go_on(mut self, mirror: &Writer<Mirror>, from: Vec<u8>) {
        const PART: usize = 200;
        let manner = Manner { lane: Lane::Bulk, rows: PART, intent: "deleting what a sweep did not find", ..FULL_USER };
        let (collection, number, protected, at) =
            (self.collection.clone(), self.sweep, Arc::clone(&self.protected), self.at);
        let again = mirror.clone();
        mirror.submit_then(
            manner,
            move |mirror| sweeps::finish_part(mirror, &collection, number, &protected, &from, PART, at),
            move |result| match result {
                Ok((part, next)) => {
                    self.sum.deleted += part.deleted;
                    self.sum.protected.extend(part.protected);
                    self.sum.changed = match (self.sum.changed.take(), part.changed) {
                        (Some(mut named), Some(more)) if named.len() + more.len() <= 1_000 => {
                            named.extend(more);
                            Some(named)
                        }
                        _ => None,
                    };
                    match next {
                        Some(next) => self.go_on(&again, next),
                        None => {
                            let _ = self.sender.send(Ok(self.sum));
                        }
                    }
                }
                Err(error) => {
                    let _ = self.sender.send(Err(error));
                }
            },
        );
    }
}

fn weight(commit: &UiCommit) -> usize {
    use crate::model::draft::DraftWrite;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{session::Slice, time::At};

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
