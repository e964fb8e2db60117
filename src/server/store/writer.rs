//! The one thread that writes. Writes that wait together share one transaction and one fsync; each is answered, and told
//! to listeners, after that.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use rusqlite::Connection;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::{
    find::{self, plain},
    index::make_index,
    render::etag,
    sink::{NULL_ETAG, Stop, Tag},
    tree::Tree,
    write::{self, Ids},
};

/// Writes in one transaction at most; more wait for the next.
const BATCH: usize = 512;

/// One request to write: all of its changes happen, or none.
#[derive(Debug)]
pub(in crate::server) struct Write {
    pub(in crate::server) kind: Kind,
    pub(in crate::server) changes: Vec<Change>,
    /// The ETag the first change's place must have.
    pub(in crate::server) if_match: Option<String>,
    /// Answer with the ETag of what the first change left.
    pub(in crate::server) want_etag: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(in crate::server) enum Kind {
    Put,
    /// Keys of the changes are relative to this path in the event.
    Patch {
        base: Vec<String>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(in crate::server) enum Change {
    /// `None` removes.
    Value {
        path: Vec<String>,
        tree: Option<Tree>,
    },
    Priority {
        path: Vec<String>,
        priority: Option<Value>,
    },
}

impl Change {
    pub(in crate::server) fn path(&self) -> &[String] {
        match self {
            Change::Value { path, .. } | Change::Priority { path, .. } => path,
        }
    }
}

/// A write that is durable, its increments replaced by sums.
#[derive(Debug, Clone)]
pub(in crate::server) struct Applied {
    /// Counts successful writes since the data was created.
    pub(in crate::server) number: u64,
    pub(in crate::server) kind: Kind,
    pub(in crate::server) changes: Vec<Change>,
    pub(in crate::server) etag: Option<String>,
}

#[derive(Debug, Clone)]
pub(in crate::server) enum Refused {
    /// The precondition failed. `current` is told where it is small; else read it.
    Mismatch { etag: String, current: Option<String> },
    /// Nothing of it was written.
    Disk(String),
    /// The commit failed: after a power cut it may still turn out to be there.
    Unknown(String),
}

type Answer<T> = oneshot::Sender<Result<T, Refused>>;

enum Job {
    Write(Write, Answer<Arc<Applied>>),
    Fact { name: &'static str, value: String, answer: Answer<()> },
    Index { path: Vec<String>, child: String },
}

/// The way to the writer. The thread ends after [`Writer::close`], when what was sent before is durable.
#[derive(Clone)]
pub(in crate::server) struct Writer {
    /// Bounded: a client that writes faster than the disk waits here.
    jobs: Arc<RwLock<Option<mpsc::Sender<Job>>>>,
    writes: Arc<AtomicU64>,
}

impl Writer {
    /// Stores the seed and starts the thread. `applied` is called with every write after it is durable, in order.
    pub(in crate::server) fn start(
        connection: Connection,
        seed: Option<Tree>,
        applied: impl Fn(&Arc<Applied>) + Send + 'static,
    ) -> rusqlite::Result<(Self, JoinHandle<()>)> {
        let (jobs, waiting) = mpsc::channel(4 * BATCH);
        let writes = Arc::new(AtomicU64::new(find::writes(&connection)?));
        let mut ids = Ids::load(&connection)?;
        if let Some(seed) = seed {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            write::set(&connection, &mut ids, &[], Some(&seed))?;
            ids.store(&connection)?;
            connection.execute_batch("COMMIT")?;
        }
        let mut thread = Thread { connection, ids, writes: Arc::clone(&writes), applied: Box::new(applied) };
        let handle = std::thread::Builder::new()
            .name("backend-writer".to_owned())
            .spawn(move || thread.run(waiting))
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok((Self { jobs: Arc::new(RwLock::new(Some(jobs))), writes }, handle))
    }

    pub(in crate::server) async fn write(&self, write: Write) -> Result<Arc<Applied>, Refused> {
        let (answer, outcome) = oneshot::channel();
        self.send(Job::Write(write, answer), outcome).await
    }

    pub(in crate::server) async fn set_fact(&self, name: &'static str, value: String) -> Result<(), Refused> {
        let (answer, outcome) = oneshot::channel();
        self.send(Job::Fact { name, value, answer }, outcome).await
    }

    /// Asks for an index some time; a full queue forgets the wish, the next query repeats it.
    pub(in crate::server) fn wish_for_index(&self, path: &[String], child: &str) {
        if let Some(jobs) = self.jobs() {
            let _ = jobs.try_send(Job::Index { path: path.to_vec(), child: child.to_owned() });
        }
    }

    pub(in crate::server) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Acquire)
    }

    /// Takes no more writes.
    pub(in crate::server) fn close(&self) {
        self.jobs.write().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn jobs(&self) -> Option<mpsc::Sender<Job>> {
        self.jobs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn send<T>(&self, job: Job, outcome: oneshot::Receiver<Result<T, Refused>>) -> Result<T, Refused> {
        let stopped = || Refused::Disk("the server is stopping".to_owned());
        let jobs = self.jobs().ok_or_else(stopped)?;
        jobs.send(job).await.map_err(|_| stopped())?;
        outcome.await.unwrap_or_else(|_| Err(stopped()))
    }
}

struct Thread {
    connection: Connection,
    ids: Ids,
    writes: Arc<AtomicU64>,
    applied: Box<dyn Fn(&Arc<Applied>) + Send>,
}

type Outcome = Result<Arc<Applied>, Refused>;

impl Thread {
    fn run(&mut self, mut waiting: mpsc::Receiver<Job>) {
        while let Some(first) = waiting.blocking_recv() {
            let mut batch = Vec::new();
            let mut next = Some(first);
            while let Some(job) = next {
                match job {
                    Job::Write(write, answer) => batch.push((write, answer)),
                    other => {
                        self.write_batch(std::mem::take(&mut batch));
                        self.other(other);
                    }
                }
                next = if batch.len() < BATCH { waiting.try_recv().ok() } else { None };
            }
            self.write_batch(batch);
        }
        let _ = self.connection.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(()));
    }

    fn other(&mut self, job: Job) {
        match job {
            Job::Fact { name, value, answer } => {
                let outcome = write::set_fact(&self.connection, name, &value);
                let _ = answer.send(outcome.map_err(|error| Refused::Disk(error.to_string())));
            }
            Job::Index { path, child } => {
                let made = make_index(&self.connection, &path, &child);
                if let Err(error) = made {
                    tracing::warn!(%error, "no index could be made");
                }
            }
            Job::Write(..) => unreachable!("writes go in batches"),
        }
    }

    fn write_batch(&mut self, batch: Vec<(Write, Answer<Arc<Applied>>)>) {
        if batch.is_empty() {
            return;
        }
        let (writes, answers): (Vec<Write>, Vec<_>) = batch.into_iter().unzip();
        let waiting = writes.len();
        let outcomes = self.transact(writes).unwrap_or_else(|refused| {
            let _ = self.connection.execute_batch("ROLLBACK");
            self.ids.forget_stored();
            (0..waiting).map(|_| Err(refused.clone())).collect()
        });
        for (outcome, answer) in outcomes.into_iter().zip(answers) {
            if let Ok(applied) = &outcome {
                self.writes.store(applied.number, Ordering::Release);
                (self.applied)(applied);
            }
            // The client may have gone; what it wrote is written.
            let _ = answer.send(outcome);
        }
    }

    fn transact(&mut self, writes: Vec<Write>) -> Result<Vec<Outcome>, Refused> {
        let outcomes = self.apply_all(writes).map_err(|error| Refused::Disk(error.to_string()))?;
        self.connection.execute_batch("COMMIT").map_err(|error| Refused::Unknown(error.to_string()))?;
        Ok(outcomes)
    }

    fn apply_all(&mut self, writes: Vec<Write>) -> rusqlite::Result<Vec<Outcome>> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let before = self.writes.load(Ordering::Acquire);
        let mut number = before;
        let mut outcomes = Vec::with_capacity(writes.len());
        for write in writes {
            outcomes.push(self.apply(write, &mut number)?);
        }
        if number != before {
            write::count(&self.connection, number)?;
            self.ids.store(&self.connection)?;
        }
        Ok(outcomes)
    }

    fn apply(&mut self, mut write: Write, number: &mut u64) -> rusqlite::Result<Outcome> {
        if let Some(wanted) = &write.if_match
            && let Some(refused) = self.mismatch(write.changes[0].path(), wanted)?
        {
            return Ok(Err(refused));
        }
        for change in &mut write.changes {
            match change {
                Change::Value { path, tree } => {
                    if let Some(tree) = tree.as_mut().filter(|tree| tree.has_increments()) {
                        let mut current = |path: &[String]| write::stored_text(&self.connection, path);
                        tree.add_increments(&mut path.clone(), &mut current)?;
                    }
                    write::set(&self.connection, &mut self.ids, path, tree.as_ref())?;
                }
                Change::Priority { path, priority } => {
                    write::set_priority(&self.connection, &mut self.ids, path, priority.as_ref())?;
                }
            }
        }
        let etag = if write.want_etag { Some(tag_of(&write.changes[0])) } else { None };
        *number += 1;
        Ok(Ok(Arc::new(Applied { number: *number, kind: write.kind, changes: write.changes, etag })))
    }

    fn mismatch(&self, path: &[String], wanted: &str) -> rusqlite::Result<Option<Refused>> {
        let (etag, current) = match find::value(&self.connection, path)? {
            find::Value::Nothing => (NULL_ETAG.to_owned(), Some("null".to_owned())),
            find::Value::Text(text) => {
                let text = plain(text);
                (Tag::of(&text), Some(text))
            }
            find::Value::Rows { .. } => match etag(&self.connection, path) {
                Ok(etag) => (etag, None),
                Err(Stop::Sql(error)) => return Err(error),
                Err(Stop::Enough) => unreachable!("a hash takes any length"),
            },
        };
        Ok((etag != wanted).then_some(Refused::Mismatch { etag, current }))
    }
}

fn tag_of(change: &Change) -> String {
    let Change::Value { tree: Some(tree), .. } = change else { return NULL_ETAG.to_owned() };
    let mut tag = Tag::default();
    tree.render(&mut tag).expect("a hash takes any length");
    tag.finish()
}
