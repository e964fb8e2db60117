//! What survives a kill: journal and mirror of one client, the shipped store on files in memory.
//!
//! Every request is waited for, so that a run is the same each time. A kill copies the files as they are at that
//! instant, with their logs, and opens the copy: nothing that was not committed is there any more.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ebbtide::{
    model::{
        document::Document,
        ids::{CollectionKey, RecordId, RecordKey, SourceName},
        op::{Claimed, LateOriginal, Op, OpState},
        record::{Base, RecordView},
        rtdb,
        time::{At, Clock, Timestamp},
        wire::RemoteChange,
    },
    store::{
        Applied, Claim, Known, Missing as MissingIn, NewBase, OpenMode, PullPage, Reader, Settle, Store, StoreError,
    },
    sync::{
        effect::{BaseWrite, ClaimOp, PageWrite, SettleOp},
        event::{AppliedPage, Chain, MissingRows, OutboxSlice, StoreResult},
    },
};
use serde_json::Value;

/// The instant of the simulation, as the store is told it.
#[derive(Clone)]
pub struct SimulatedClock(Arc<Mutex<At>>);

impl SimulatedClock {
    pub fn set(&self, at: At) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}

impl Clock for SimulatedClock {
    fn at(&self) -> At {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An empty data dir, made once and copied for every client of every run.
pub struct Template(tempfile::TempDir);

const FILES: [&str; 3] = ["journal.db", "mirror.db", "search.db"];
const BALLAST: u64 = 8 << 20;

impl Template {
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new().prefix("ebbtide-simulation-").tempdir_in(root).expect("a directory");
        let empty = dir.path().join("empty");
        let clock = SimulatedClock(Arc::new(Mutex::new(At::test(0))));
        let store = Store::open(&empty, OpenMode::ReadWrite, Arc::new(clock)).expect("a store");
        // The thread that keeps the ballast answers after it is filled; a hole of the same size does here.
        store.feed_search().wait().expect("a feed");
        drop(store);
        fs::remove_file(empty.join("ballast")).expect("a ballast");
        Self(dir)
    }

    fn copy_to(&self, dir: &Path) {
        fs::create_dir_all(dir).expect("a directory");
        for file in FILES {
            fs::copy(self.0.path().join("empty").join(file), dir.join(file)).expect("a copy");
        }
        fill(dir);
    }

    /// A directory for the files of one run.
    pub fn place(&self) -> tempfile::TempDir {
        tempfile::tempdir_in(self.0.path()).expect("a directory")
    }
}

fn fill(dir: &Path) {
    let ballast = fs::File::create(dir.join("ballast")).expect("a file");
    ballast.set_len(BALLAST).expect("a hole");
}

/// One client's data dir.
pub struct Disk {
    root: PathBuf,
    lives: u32,
    pub clock: SimulatedClock,
    /// The process that leads.
    open: Option<(Store, Reader)>,
    /// Another one on the same data dir.
    beside: Option<(Store, Reader)>,
    /// The user works in that one.
    pub is_beside: bool,
}

impl Disk {
    pub fn new(template: &Template, root: &Path) -> Self {
        template.copy_to(&root.join("0"));
        let clock = SimulatedClock(Arc::new(Mutex::new(At::test(0))));
        Self { root: root.to_path_buf(), lives: 0, clock, open: None, beside: None, is_beside: false }
    }

    fn dir(&self) -> PathBuf {
        self.root.join(self.lives.to_string())
    }

    fn process(&self) -> (Store, Reader) {
        let store = Store::open(&self.dir(), OpenMode::ReadWrite, Arc::new(self.clock.clone())).expect("a store");
        let reader = store.reader().expect("a reader");
        (store, reader)
    }

    /// A process starts.
    pub fn start(&mut self) {
        self.open = Some(self.process());
    }

    /// A second one starts beside it.
    pub fn join(&mut self) {
        self.beside = Some(self.process());
    }

    pub fn has_company(&self) -> bool {
        self.beside.is_some()
    }

    /// The leading process dies alone: the other one is what is left.
    pub fn pass_on(&mut self) {
        self.open = self.beside.take();
        self.is_beside = false;
    }

    /// Every process dies: what is in the files now is what there is.
    pub fn crash(&mut self) {
        let before = self.dir();
        self.lives += 1;
        let after = self.dir();
        fs::create_dir_all(&after).expect("a directory");
        // The threads live on while the files are copied, which a kill's would not. A reader keeps them from emptying a log
        // whose database was copied already.
        let readers = FILES.map(|file| {
            let reader = rusqlite::Connection::open(before.join(file)).expect("a connection");
            reader.busy_timeout(std::time::Duration::from_secs(10)).expect("a connection");
            reader.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").expect("a reader");
            reader
        });
        for file in FILES {
            for suffix in ["", "-wal"] {
                let name = format!("{file}{suffix}");
                if before.join(&name).exists() {
                    fs::copy(before.join(&name), after.join(&name)).expect("a copy");
                }
            }
        }
        drop(readers);
        fill(&after);
        (self.open, self.beside, self.is_beside) = (None, None, false);
        fs::remove_dir_all(before).expect("a directory removed");
    }

    pub fn store(&self) -> &Store {
        &self.open.as_ref().expect("the process runs").0
    }

    /// The store of the process the user works in.
    pub fn hand(&self) -> &Store {
        match &self.beside {
            Some((store, _)) if self.is_beside => store,
            _ => self.store(),
        }
    }

    /// What another process on the same data shows of a record.
    pub fn local_beside(&mut self, record: &RecordKey) -> Option<Option<Value>> {
        let (_, reader) = self.beside.as_mut()?;
        Some(reader.record(record).expect("a record").local.map(Document::into_value))
    }

    /// A row of the mirror is spoilt or made up, behind everybody's back. Nothing that anybody edits here now.
    pub fn damage(&mut self, shared: &RecordId, made_up: &RecordId, spoil: bool) -> Option<RecordId> {
        let (pending, base, _) = self.look(&crate::world::record(shared));
        let base = base.filter(|_| pending.is_empty())?;
        let mirror = rusqlite::Connection::open(self.dir().join("mirror.db")).expect("the mirror");
        mirror.busy_timeout(std::time::Duration::from_secs(10)).expect("a connection");
        if spoil {
            let mut document = base.document.into_value();
            document.as_object_mut()?.insert("x".to_owned(), Value::from(-1));
            mirror
                .execute("UPDATE records SET body = ?2 WHERE id = ?1", (shared.as_str(), document.to_string()))
                .expect("a spoilt row");
            return Some(shared.clone());
        }
        let made = mirror.execute(
            "INSERT OR IGNORE INTO records (change, collection, key, id, received_at, body) \
             SELECT (SELECT min(change) FROM records) - 1, collection, ?1, ?2, received_at, '{}' FROM records \
             WHERE id = ?3",
            (rtdb::sort_key(made_up.as_str()), made_up.as_str(), shared.as_str()),
        );
        if made.expect("a row that is made up") > 0 {
            mirror.execute("UPDATE collections SET rows = rows + 1", []).expect("a count");
        }
        Some(made_up.clone())
    }

    pub fn reader(&mut self) -> &mut Reader {
        &mut self.open.as_mut().expect("the process runs").1
    }

    pub fn is_running(&self) -> bool {
        self.open.is_some()
    }

    // --- questions --------------------------------------------------------------------------------------------------

    /// The pending ops of a record, the mirror's base, and what the user sees.
    pub fn look(&mut self, record: &RecordKey) -> (Vec<Op>, Option<Base>, Option<Document>) {
        let view = self.reader().record(record).expect("a record");
        (view.ops, view.base, view.local)
    }

    /// Records as they are at one instant.
    pub fn views(&mut self, ids: impl IntoIterator<Item = RecordId>) -> Vec<(RecordId, RecordView)> {
        let read = |reader: &mut Reader| {
            let view = |id: RecordId| {
                let view = reader.record(&crate::world::record(&id)).expect("a record");
                (id, view)
            };
            ids.into_iter().map(view).collect()
        };
        self.reader().at_once(read).expect("one look")
    }

    pub fn local(&mut self, record: &RecordKey) -> Option<Value> {
        self.look(record).2.map(Document::into_value)
    }

    pub fn pending(&mut self) -> Vec<Op> {
        let states: Vec<OpState> = OpState::ALL.into_iter().filter(|state| state.is_pending()).collect();
        self.reader().outbox(&states, None, 1_000).expect("the outbox")
    }

    pub fn pending_count(&mut self) -> u64 {
        self.reader().counts().expect("the outbox").pending()
    }

    /// The records with nothing pending that are here.
    pub fn listed(&mut self, collection: &CollectionKey) -> HashSet<RecordId> {
        let mut ids = HashSet::new();
        let each = |id: &RecordId, _: &str| {
            ids.insert(id.clone());
            true
        };
        self.reader().export(collection, each).expect("an export");
        for op in self.pending() {
            ids.remove(&op.record.id);
        }
        ids
    }

    /// What is shown of the whole collection.
    pub fn shown(&mut self, collection: &CollectionKey) -> Vec<(RecordId, Value)> {
        let mut rows = Vec::new();
        let each = |id: &RecordId, text: &str| {
            rows.push((id.clone(), serde_json::from_str(text).expect("JSON")));
            true
        };
        self.reader().export(collection, each).expect("an export");
        rows
    }

    /// Rows of the mirror.
    pub fn rows(&mut self, collection: &CollectionKey) -> usize {
        let found = self.store().missing(collection.clone(), 0).wait().expect("a count");
        usize::try_from(found.rows).unwrap_or(usize::MAX)
    }

    /// Every version the vault keeps.
    pub fn vault(&mut self) -> Vec<(RecordKey, Value)> {
        let entries = self.reader().vault_list(None, None, 1_000).expect("the vault");
        let text = |id| self.reader().vault_text(id).expect("a version").expect("a kept version");
        let mut texts: Vec<String> = Vec::new();
        texts.extend(entries.iter().map(|entry| entry.id).map(text));
        entries
            .into_iter()
            .zip(texts)
            .map(|(entry, text)| (entry.record, serde_json::from_str(&text).expect("JSON")))
            .collect()
    }

    // --- what the engine asks for, as the runtime passes it on ------------------------------------------------------

    /// The process becomes leader: answers what leaders before it were guarding.
    pub fn lead(&mut self, now: Timestamp) -> Vec<LateOriginal> {
        self.store().recover_in_flight(now).wait().expect("a recovery");
        self.reader().guards().expect("the guards")
    }

    pub fn read_outbox(
        &mut self,
        source: &SourceName,
        now: Timestamp,
        exclude: &[RecordKey],
        limit: usize,
    ) -> OutboxSlice {
        let reader = self.reader();
        let chains = reader.ready(source, now, exclude, limit).expect("the outbox");
        let chains =
            chains.into_iter().map(|chain| Chain { record: chain.record, ops: chain.ops, base: chain.base }).collect();
        let counts = reader.counts().expect("the outbox");
        let next_attempt = reader.next_attempt(source).expect("the outbox");
        OutboxSlice { chains, next_attempt, to_go: counts.queued + counts.in_flight + counts.in_doubt }
    }

    pub fn claim(&mut self, claim: ClaimOp) -> StoreResult<Option<Claimed>> {
        let claim = Claim {
            known: Some(Known { base_revision: claim.base_revision }),
            head: claim.head,
            absorbs: claim.absorbs,
            kind: claim.request.kind,
            request_hash: format!("{:?}", claim.request.precondition),
            sent_document: claim.request.document.clone(),
            precondition: claim.request.precondition.clone(),
            at: claim.at,
        };
        self.store().claim(claim).wait().map_err(words)
    }

    /// False where a user's command came between: the outbox is read again.
    pub fn settle(&mut self, settle: SettleOp, guard: Option<LateOriginal>) -> StoreResult<bool> {
        let settle = Settle { seq: settle.seq, joins: settle.joins, outcome: settle.outcome, at: settle.at };
        let settled = match guard {
            Some(guard) => self.store().settle_guarded(settle, guard),
            None => self.store().settle(settle),
        };
        match settled.wait() {
            Ok(()) => Ok(true),
            Err(StoreError::Refused(_)) => Ok(false),
            Err(error) => Err(words(error)),
        }
    }

    pub fn store_base(&mut self, base: BaseWrite) -> StoreResult<()> {
        let base = NewBase {
            record: base.record,
            document: base.document,
            revision: base.revision,
            found: base.found,
            at: base.at,
        };
        self.store().acknowledge(vec![base]).wait().map_err(words)
    }

    /// Records with pending edits that a page says are gone: their last copy stays until the edits are settled.
    pub fn held_against(&mut self, page: &PageWrite) -> Vec<RecordId> {
        let gone = page.changes.iter().filter_map(|change| match change {
            RemoteChange::Tombstone { id } => Some(id.clone()),
            RemoteChange::Upsert(_) => None,
        });
        gone.filter(|id| {
            let (ops, base, _) = self.look(&page.collection.record(id.clone()));
            !ops.is_empty() && base.is_some()
        })
        .collect()
    }

    pub fn apply_page(&mut self, page: PageWrite) -> StoreResult<AppliedPage> {
        let collection = page.collection.clone();
        let page = PullPage {
            collection: page.collection,
            changes: page.changes,
            checkpoint: page.checkpoint,
            sweep: page.sweep,
            stamps: page.stamps,
            at: page.at,
        };
        let applied = self.store().apply_page(page).wait().map_err(words)?;
        Ok(self.explain(&collection, applied))
    }

    pub fn missing(&mut self, collection: CollectionKey, sweep: i64) -> StoreResult<MissingRows> {
        let found = self.store().missing(collection, sweep).wait().map_err(words)?;
        let MissingIn { missing, rows, sample, is_unproved } = found;
        Ok(MissingRows { missing, rows, sample, is_unproved })
    }

    pub fn finish_sweep(
        &mut self,
        collection: &CollectionKey,
        sweep: i64,
        keep: HashSet<RecordId>,
        at: Timestamp,
    ) -> StoreResult<AppliedPage> {
        let applied = self.store().finish_sweep(collection.clone(), sweep, keep, at).wait().map_err(words)?;
        Ok(self.explain(collection, applied))
    }

    fn explain(&mut self, collection: &CollectionKey, applied: Applied) -> AppliedPage {
        let mut vanished = Vec::new();
        for id in &applied.protected {
            let key = collection.record(id.clone());
            let (ops, ..) = self.look(&key);
            vanished.extend(ops.first().map(|op| (key, op.kind)));
        }
        AppliedPage {
            inserted: applied.inserted,
            updated: applied.updated,
            unchanged: applied.unchanged,
            deleted: applied.deleted,
            changed: applied.changed.unwrap_or_default(),
            vanished,
            stays: !applied.protected.is_empty(),
            held: applied.held,
            set_back: applied.set_back,
        }
    }
}

fn words(error: StoreError) -> String {
    error.to_string()
}
