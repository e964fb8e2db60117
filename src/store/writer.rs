//! One writer per file: a thread, its connection, and the order in which requests reach it.
//!
//! Requests wait in three lanes. The first is what the user does (screen commits, edits), in the order it was done; the
//! second is the engine's claims and settles; the third is bulk work, one transaction at a time with a pause after
//! each, so that neither this process's keys nor another process's wait behind an import.
//!
//! ```text
//!  commit_ui ---- state free, nothing waiting ----> runs on the caller's thread, same connection
//!      |                                            (two thread switches would cost more than the commit)
//!      v
//!  lanes [ user | engine | bulk ] --> thread: BEGIN IMMEDIATE, SAVEPOINT per request, COMMIT --> replies
//! ```
//!
//! ## Group commit
//!
//! Durable requests that wait together share one transaction and one fsync, and the pages that all of them write. While
//! the engine's come in bursts, the thread waits a moment before it takes them, unless the user wants something. One that fails undoes nothing of the others:
//! then the transaction is taken back and carried out again with a savepoint for each. A savepoint copies every page that
//! is written below it, which would be a good part of the cost of a drain in which nothing fails. So a request may run
//! twice (also after the ballast was given up on a full disk): work is `FnMut` and speaks to the database only.

mod requests;

use std::{
    cell::OnceCell,
    collections::VecDeque,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

pub(super) use requests::{Durability, Lane, Manner};
use requests::{Lanes, Run, Sleep, Task, Work};

use crate::store::{
    Reply,
    error::{Result, StoreError},
};

/// How long nothing must happen before the log is checkpointed.
const IDLE: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(5);
/// No transaction goes on adding requests after this long.
const LONG: Duration = Duration::from_millis(2);
/// How long the thread waits for many requests while the engine's come in bursts: an acknowledgement is in no hurry,
/// a commit for each would cost more processor time than all the rest of it.
const GATHER: Duration = Duration::from_millis(5);
/// The same from the first request on that is in a hurry: they are asked for several at once.
const HURRY: Duration = Duration::from_micros(150);
/// How long a lock of another process is waited for before requests fail.
const PATIENCE: Duration = Duration::from_secs(10);
/// The WAL is checkpointed at about this size at the latest.
const WAL_BYTES: u64 = 16 << 20;

/// What a writer thread owns.
pub(super) trait State: Send + 'static {
    fn connection(&self) -> &Connection;
    fn path(&self) -> &Path;
    /// Monotonic time, from the clock the store was given.
    fn now(&self) -> Duration;
    /// Rows one transaction may hold.
    const MAX_ROWS: usize;
    /// Called after a rollback: whatever was remembered of the transaction is not so.
    fn rolled_back(&self);
    /// Called after a commit, before the replies.
    fn committed(&self);
    /// Gives up what was held back for a full disk; true where there was something.
    fn make_room(&self) -> bool;
    /// SQLite reported damage.
    fn suspect(&self);
}

/// How the requests of one transaction are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Apart {
    /// There is only one.
    Alone,
    /// Not at all: should one fail, all are carried out again.
    Together,
    Savepoints,
}

enum Attempt {
    Committed,
    /// One of several failed and none is on disk; all are in the batch again.
    Spoiled,
}

struct Shared<S> {
    lanes: Mutex<Lanes<S>>,
    wake: Condvar,
    state: Mutex<S>,
    /// Bytes written since the last checkpoint, about.
    written: AtomicU64,
    /// What `synchronous` is set to; changed by whoever holds the state.
    durability: AtomicU8,
}

/// A handle to a writer; cheap to clone. [`Writer::close`] ends the thread after the waiting requests.
pub(super) struct Writer<S: State> {
    shared: Arc<Shared<S>>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl<S: State> Clone for Writer<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), thread: Arc::clone(&self.thread) }
    }
}

impl<S: State> Writer<S> {
    /// `checkpointer` opens a second connection to the same file, used by the thread between requests: a passive
    /// checkpoint on it never makes a commit wait. It is opened for the first one.
    pub fn start(name: &str, state: S, checkpointer: impl Fn() -> Result<Connection> + Send + 'static) -> Result<Self> {
        let path = state.path().to_path_buf();
        let lanes =
            Lanes { queues: Default::default(), closed: false, checkpoint: false, hurry: false, sleep: Sleep::Awake };
        let shared = Arc::new(Shared {
            lanes: Mutex::new(lanes),
            wake: Condvar::new(),
            state: Mutex::new(state),
            written: AtomicU64::new(0),
            durability: AtomicU8::new(0),
        });
        let running = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(format!("ebbtide-{name}"))
            .spawn(move || run_thread(&running, &Checkpointer { open: checkpointer, opened: OnceCell::new() }))
            .map_err(|error| StoreError::NotWritable { path, detail: format!("no thread: {error}") })?;
        Ok(Self { shared, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    pub fn submit<T: Send + 'static>(
        &self,
        manner: Manner,
        work: impl FnMut(&S) -> Result<T> + Send + 'static,
    ) -> Reply<T> {
        let (sender, receiver) = oneshot::channel();
        self.submit_then(manner, work, move |result| {
            let _ = sender.send(result);
        });
        Reply(receiver)
    }

    /// Like [`Writer::submit`]; `done` is called on the writer thread after the commit.
    pub fn submit_then<T: Send + 'static>(
        &self,
        manner: Manner,
        work: impl FnMut(&S) -> Result<T> + Send + 'static,
        done: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        let task = Box::new(Task { manner, work, done: Some(done), result: None });
        let mut lanes = lock(&self.shared.lanes);
        if lanes.closed {
            drop(lanes);
            task.done.expect("not run yet")(Err(StoreError::Closed));
            return;
        }
        lanes.queues[manner.lane as usize].push_back(task);
        lanes.hurry |= manner.hurry;
        let wakes = lanes.ends_sleep();
        drop(lanes);
        if wakes {
            self.shared.wake.notify_one();
        }
    }

    /// Runs the request on this thread where nothing is ahead of it and no other process holds the file; otherwise
    /// queues it in its lane.
    pub fn submit_here<T: Send + 'static>(
        &self,
        manner: Manner,
        work: impl FnMut(&S) -> Result<T> + Send + 'static,
    ) -> Reply<T> {
        let lanes = lock(&self.shared.lanes);
        if lanes.closed || !lanes.queues[Lane::User as usize].is_empty() {
            drop(lanes);
            return self.submit(manner, work);
        }
        let state = match self.shared.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                drop(lanes);
                return self.submit(manner, work);
            }
        };
        drop(lanes);
        let (sender, receiver) = oneshot::channel();
        let done = move |result| {
            let _ = sender.send(result);
        };
        let task: Box<dyn Work<S>> = Box::new(Task { manner, work, done: Some(done), result: None });
        if let Some(task) = self.shared.run_one_here(&state, task) {
            // Back at the front of its lane: nothing of the user's may have gone ahead meanwhile, since the state was ours.
            let mut lanes = lock(&self.shared.lanes);
            lanes.queues[Lane::User as usize].push_front(task);
            drop(lanes);
            drop(state);
            self.shared.wake.notify_one();
        } else {
            drop(state);
            if self.shared.written.load(Ordering::Relaxed) > WAL_BYTES {
                self.shared.wake.notify_one();
            }
        }
        Reply(receiver)
    }

    /// Asks for a checkpoint as soon as nothing waits.
    pub fn checkpoint_soon(&self) {
        lock(&self.shared.lanes).checkpoint = true;
        self.shared.wake.notify_one();
    }

    /// Finishes what the user and the engine asked for and ends the thread; bulk work that has not begun is answered by
    /// `Closed`. May be called on the thread itself, which then ends later.
    pub fn close(&self) {
        let mut lanes = lock(&self.shared.lanes);
        lanes.closed = true;
        let dropped = std::mem::take(&mut lanes.queues[Lane::Bulk as usize]);
        drop(lanes);
        drop(dropped);
        self.shared.wake.notify_all();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What ran goes before what did not, in its order.
fn put_back<S>(ran: &mut VecDeque<Box<dyn Work<S>>>, batch: &mut VecDeque<Box<dyn Work<S>>>) {
    while let Some(work) = ran.pop_back() {
        batch.push_front(work);
    }
}

/// The connection checkpoints are made on, once there was one to make.
struct Checkpointer<O> {
    open: O,
    opened: OnceCell<Connection>,
}

impl<O: Fn() -> Result<Connection>> Checkpointer<O> {
    fn connection(&self) -> Result<&Connection> {
        if let Some(connection) = self.opened.get() {
            return Ok(connection);
        }
        let connection = (self.open)()?;
        Ok(self.opened.get_or_init(|| connection))
    }
}

fn run_thread<S: State>(shared: &Shared<S>, checkpointer: &Checkpointer<impl Fn() -> Result<Connection>>) {
    let mut clean = true;
    let mut burst = false;
    loop {
        let mut lanes = lock(&shared.lanes);
        lanes.sleep = Sleep::ForWork;
        while lanes.is_empty()
            && !lanes.closed
            && !lanes.checkpoint
            && shared.written.load(Ordering::Relaxed) <= WAL_BYTES
        {
            if clean && shared.written.load(Ordering::Relaxed) == 0 {
                lanes = shared.wake.wait(lanes).unwrap_or_else(PoisonError::into_inner);
                // A commit made on the caller's thread does not wake this one; look again after a while.
                clean = false;
                continue;
            }
            let before = shared.written.load(Ordering::Relaxed);
            let (back, waited) = shared.wake.wait_timeout(lanes, IDLE).unwrap_or_else(PoisonError::into_inner);
            lanes = back;
            if waited.timed_out() && shared.written.load(Ordering::Relaxed) == before {
                break;
            }
        }
        lanes.sleep = Sleep::Awake;
        lanes.checkpoint = false;
        if lanes.is_empty() {
            let closed = lanes.closed;
            drop(lanes);
            if closed {
                return;
            }
            if shared.checkpoint(checkpointer) > WAL_BYTES / 4 {
                // What a bulk of work has left in the cache is not needed by what comes next.
                let _ = lock(&shared.state).connection().release_memory();
            }
            clean = true;
            continue;
        }
        drop(shared.gather(lanes, burst));
        clean = false;
        let (bulk, requests) = shared.run_next();
        burst = !bulk && requests > 1;
        if shared.written.load(Ordering::Relaxed) > WAL_BYTES {
            shared.checkpoint(checkpointer);
        }
        if bulk {
            shared.pause();
        }
    }
}

impl<S: State> Shared<S> {
    /// In a burst, lets more of the engine's requests come before they are taken.
    fn gather<'l>(&self, mut lanes: MutexGuard<'l, Lanes<S>>, burst: bool) -> MutexGuard<'l, Lanes<S>> {
        if burst && lanes.may_gather() {
            let is_patient = |lanes: &mut Lanes<S>| !lanes.hurry && lanes.may_gather();
            lanes.sleep = Sleep::ForMany;
            let waited = self.wake.wait_timeout_while(lanes, GATHER, is_patient);
            lanes = waited.unwrap_or_else(PoisonError::into_inner).0;
            lanes.sleep = Sleep::ForMore;
            let waited = self.wake.wait_timeout_while(lanes, HURRY, |lanes| lanes.hurry && lanes.may_gather());
            lanes = waited.unwrap_or_else(PoisonError::into_inner).0;
            lanes.sleep = Sleep::Awake;
        }
        lanes
    }

    /// Runs the next transaction; whether it was bulk work, and of how many requests.
    fn run_next(&self) -> (bool, usize) {
        let state = lock(&self.state);
        let mut batch = lock(&self.lanes).take(S::MAX_ROWS);
        let requests = batch.len();
        let bulk = batch.front().is_some_and(|work| work.manner().lane == Lane::Bulk);
        while !batch.is_empty() {
            self.transact(&state, &mut batch, PATIENCE);
        }
        (bulk, requests)
    }

    /// Lets others in after a bulk transaction: until something more urgent waits, at most 5 ms.
    fn pause(&self) {
        let mut lanes = lock(&self.lanes);
        let is_quiet = |lanes: &Lanes<S>| lanes.queues[0].is_empty() && lanes.queues[1].is_empty() && !lanes.closed;
        if is_quiet(&lanes) {
            lanes.sleep = Sleep::ForWork;
            let waited = self.wake.wait_timeout_while(lanes, PAUSE, |lanes| is_quiet(lanes));
            waited.unwrap_or_else(PoisonError::into_inner).0.sleep = Sleep::Awake;
        }
    }

    /// One transaction of as many requests of the batch as fit the time; the rest stays in the batch.
    fn transact(&self, state: &S, batch: &mut VecDeque<Box<dyn Work<S>>>, patience: Duration) {
        let durable = batch.iter().any(|work| work.manner().durability == Durability::Full);
        let mut apart = if batch.len() == 1 { Apart::Alone } else { Apart::Together };
        let mut ran: VecDeque<Box<dyn Work<S>>> = VecDeque::new();
        let mut made_room = false;
        let outcome = loop {
            match self.attempt(state, batch, &mut ran, durable, apart, patience) {
                Ok(Attempt::Spoiled) => apart = Apart::Savepoints,
                Err(error) if error.is_disk_full() && !made_room && state.make_room() => {
                    tracing::warn!(path = %state.path().display(), "the disk is full: the ballast was given up");
                    made_room = true;
                    put_back(&mut ran, batch);
                }
                Ok(Attempt::Committed) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        match outcome {
            Ok(()) => {
                state.committed();
                for work in ran {
                    work.finish(Ok(()));
                }
            }
            Err(error) => {
                if matches!(error, StoreError::Damaged { .. }) {
                    state.suspect();
                }
                // A transaction that could not begin fails for everybody who waits for it.
                ran.append(batch);
                for work in ran {
                    work.finish(Err(&error));
                }
            }
        }
    }

    fn attempt(
        &self,
        state: &S,
        batch: &mut VecDeque<Box<dyn Work<S>>>,
        ran: &mut VecDeque<Box<dyn Work<S>>>,
        durable: bool,
        apart: Apart,
        patience: Duration,
    ) -> Result<Attempt> {
        let connection = state.connection();
        let intent = batch.front().map_or("writing", |work| work.manner().intent);
        let fail = |error: rusqlite::Error| StoreError::from(error).at(state.path(), intent);
        if !connection.is_autocommit() {
            let _ = connection.execute_batch("ROLLBACK");
        }
        self.set_durability(connection, if durable { Durability::Full } else { Durability::Normal }).map_err(fail)?;
        connection.busy_timeout(patience).map_err(fail)?;
        connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])).map_err(fail)?;
        let alone = apart == Apart::Alone;
        let began = if alone { Duration::ZERO } else { state.now() };
        let mut bytes = 4096;
        let rollback = |error: StoreError| {
            let _ = connection.execute_batch("ROLLBACK");
            state.rolled_back();
            Err(error)
        };
        while let Some(mut work) = batch.pop_front() {
            if apart == Apart::Savepoints
                && let Err(error) = connection.prepare_cached("SAVEPOINT request").and_then(|mut s| s.execute([]))
            {
                batch.push_front(work);
                return rollback(fail(error));
            }
            let run = work.run(state);
            bytes += work.manner().bytes + 4096;
            ran.push_back(work);
            let closed = match run {
                Run::DiskFull => return rollback(StoreError::DiskFull { path: state.path().to_path_buf() }),
                // Some failures (I/O, full disk) have rolled the whole transaction back already.
                Run::Failed if connection.is_autocommit() => {
                    state.rolled_back();
                    return Err(StoreError::NotWritable {
                        path: state.path().to_path_buf(),
                        detail: "the transaction was rolled back by a failure of the disk".to_owned(),
                    });
                }
                Run::Failed if alone => {
                    let _ = connection.execute_batch("ROLLBACK");
                    state.rolled_back();
                    return Ok(Attempt::Committed);
                }
                Run::Failed if apart == Apart::Together => {
                    connection.execute_batch("ROLLBACK").map_err(fail)?;
                    state.rolled_back();
                    put_back(ran, batch);
                    return Ok(Attempt::Spoiled);
                }
                Run::Failed => {
                    state.rolled_back();
                    connection.execute_batch("ROLLBACK TO request; RELEASE request")
                }
                Run::Done if apart != Apart::Savepoints => Ok(()),
                Run::Done => connection.prepare_cached("RELEASE request").and_then(|mut s| s.execute([])).map(|_| ()),
            };
            if let Err(error) = closed {
                return rollback(fail(error));
            }
            if !alone && state.now().saturating_sub(began) > LONG {
                break;
            }
        }
        match connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])) {
            Ok(_) => {
                self.written.fetch_add(bytes as u64, Ordering::Relaxed);
                Ok(Attempt::Committed)
            }
            Err(error) => rollback(fail(error)),
        }
    }

    /// One request in a transaction of its own on the caller's thread. Handed back where the file is locked by another
    /// process or the disk is full: the thread has the patience and the ballast.
    fn run_one_here(&self, state: &S, mut work: Box<dyn Work<S>>) -> Option<Box<dyn Work<S>>> {
        let connection = state.connection();
        let manner = work.manner();
        if !connection.is_autocommit() {
            let _ = connection.execute_batch("ROLLBACK");
        }
        let began = self
            .set_durability(connection, manner.durability)
            .and_then(|()| connection.busy_timeout(Duration::ZERO))
            .and_then(|()| connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]));
        if began.is_err() {
            return Some(work);
        }
        match work.run(state) {
            Run::Done => {}
            Run::Failed => {
                let _ = connection.execute_batch("ROLLBACK");
                state.rolled_back();
                work.finish(Ok(()));
                return None;
            }
            Run::DiskFull => {
                let _ = connection.execute_batch("ROLLBACK");
                state.rolled_back();
                return Some(work);
            }
        }
        match connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])) {
            Ok(_) => {
                let before = self.written.fetch_add(manner.bytes as u64 + 8192, Ordering::Relaxed);
                state.committed();
                work.finish(Ok(()));
                if before == 0 {
                    // The thread sleeps without a timer while nothing was written. Taking the lock first makes sure that it
                    // either sees the count or is asleep already.
                    drop(lock(&self.lanes));
                    self.wake.notify_one();
                }
                None
            }
            Err(_) => {
                let _ = connection.execute_batch("ROLLBACK");
                state.rolled_back();
                Some(work)
            }
        }
    }

    /// Sets `synchronous` where it differs; never inside a transaction. The pragma is carried out while it is prepared, so
    /// it cannot be cached as a statement.
    fn set_durability(&self, connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
        let (word, level) = match durability {
            Durability::Normal => ("NORMAL", 1),
            Durability::Full => ("FULL", 2),
        };
        if self.durability.load(Ordering::Relaxed) != level {
            connection.pragma_update(None, "synchronous", word)?;
            self.durability.store(level, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Moves the log into the file as far as readers allow; answers how many bytes had been written, about.
    fn checkpoint(&self, checkpointer: &Checkpointer<impl Fn() -> Result<Connection>>) -> u64 {
        let written = self.written.load(Ordering::Relaxed);
        if written == 0 {
            return 0;
        }
        let done = checkpointer
            .connection()
            .and_then(|connection| Ok(connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?));
        if let Err(error) = done {
            tracing::debug!(%error, "a checkpoint did not finish");
        }
        // What another process or a reader holds back is tried again after as many bytes, not in a loop.
        self.written.fetch_sub(written, Ordering::Relaxed);
        written
    }
}
