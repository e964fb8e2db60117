//! The search index: derived from the mirror and the journal, in a file of its own, fed after their commits.
//!
//! Full-text updates inside a transaction of the mirror cost up to 42 ms on a large file; here they cost nobody
//! anything. What is not fed yet is looked at itself by the readers, so a lagging index is slow, never wrong.

pub(super) mod feed;
pub(super) mod sort_value;
pub(super) mod tokens;

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension};
use tokio::sync::oneshot;

use crate::{
    model::{
        ids::CollectionKey,
        json::Pointer,
        time::{At, Clock},
    },
    store::{
        Reply,
        error::{Result, StoreError},
        files::{self, Files},
        journal::Journal,
        mirror::Mirror,
        schema,
        search::feed::Feeder,
        writer::Writer,
    },
};

/// How long the mirror must be quiet before it is indexed: a backfill has the disk for itself.
const QUIET: Duration = Duration::from_millis(200);

/// Tells the search thread that there is something to read; shared by writers and readers.
#[derive(Clone, Default)]
pub(super) struct Nudge(Arc<(Mutex<Wanted>, Condvar)>);

/// What waits for the search thread.
#[derive(Default)]
pub(super) struct Wanted {
    mirror: bool,
    journal: bool,
    /// The thread looks again by itself in a moment: waking it with every commit would cost more than it reads.
    looks_soon: bool,
    closed: bool,
    /// Columns somebody sorts a large collection by.
    columns: Vec<(CollectionKey, Pointer)>,
    asked: Vec<oneshot::Sender<Result<bool>>>,
}

impl Nudge {
    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn mirror_changed(&self) {
        let mut wanted = self.lock();
        let is_news = !std::mem::replace(&mut wanted.mirror, true);
        if is_news && !wanted.looks_soon {
            self.0.1.notify_one();
        }
    }

    pub fn journal_changed(&self) {
        let mut wanted = self.lock();
        let is_news = !std::mem::replace(&mut wanted.journal, true);
        if is_news && !wanted.looks_soon {
            self.0.1.notify_one();
        }
    }

    /// Asks for a sorted column of a collection.
    pub fn sort_by(&self, collection: &CollectionKey, pointer: &Pointer) {
        let mut wanted = self.lock();
        let column = (collection.clone(), pointer.clone());
        if !wanted.columns.contains(&column) {
            wanted.columns.push(column);
            self.0.1.notify_one();
        }
    }
}

/// The feeding thread.
pub(super) struct Search {
    nudge: Nudge,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Search {
    pub fn start(
        files: &Files,
        clock: Arc<dyn Clock>,
        nudge: Nudge,
        journal: Writer<Journal>,
        mirror: Writer<Mirror>,
    ) -> Result<Self> {
        let feeder = Feeder::open(files, clock, journal, mirror)?;
        let (running, kept) = (nudge.clone(), files.clone());
        // Whatever another run left unfed.
        running.lock().mirror = true;
        let thread = std::thread::Builder::new()
            .name("ebbtide-search".to_owned())
            .spawn(move || {
                if let Err(error) = files::fill_ballast(&kept) {
                    tracing::warn!(%error, "no space can be held back for a full disk");
                }
                run(&running, feeder);
            })
            .map_err(|error| StoreError::NotWritable { path: files.search(), detail: format!("no thread: {error}") })?;
        Ok(Self { nudge, thread: Mutex::new(Some(thread)) })
    }

    pub fn nudge(&self) -> Nudge {
        self.nudge.clone()
    }

    /// Feeds a batch at once; answers whether more waits.
    pub fn feed_now(&self) -> Reply<bool> {
        let (sender, receiver) = oneshot::channel();
        self.nudge.lock().asked.push(sender);
        self.nudge.0.1.notify_one();
        Reply(receiver)
    }

    pub fn close(&self) {
        self.nudge.lock().closed = true;
        self.nudge.0.1.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

fn run(nudge: &Nudge, mut feeder: Feeder) {
    let mut behind = false;
    loop {
        let mut wanted = nudge.lock();
        while !(wanted.closed || wanted.mirror || wanted.journal || behind)
            && wanted.asked.is_empty()
            && wanted.columns.is_empty()
        {
            wanted = nudge.0.1.wait(wanted).unwrap_or_else(PoisonError::into_inner);
        }
        // Wait until the mirror has been quiet for a moment, unless somebody asks.
        let is_asked = |wanted: &Wanted| wanted.closed || !wanted.asked.is_empty() || !wanted.columns.is_empty();
        while wanted.mirror && !is_asked(&wanted) {
            (wanted.mirror, wanted.looks_soon) = (false, true);
            let waited = nudge.0.1.wait_timeout_while(wanted, QUIET, |wanted| !is_asked(wanted));
            wanted = waited.unwrap_or_else(PoisonError::into_inner).0;
            wanted.looks_soon = false;
        }
        wanted.mirror = false;
        wanted.journal = false;
        if wanted.closed {
            return;
        }
        let asked = std::mem::take(&mut wanted.asked);
        let columns = std::mem::take(&mut wanted.columns);
        drop(wanted);
        let fed = columns
            .iter()
            .try_for_each(|(collection, pointer)| feeder.begin_column(collection, pointer))
            .and_then(|()| feeder.feed());
        match &fed {
            Ok(more) => behind = *more,
            Err(error) => {
                tracing::warn!(%error, "the search index could not be fed");
                if matches!(error, StoreError::Damaged { .. }) {
                    feeder.suspect();
                }
                behind = false;
            }
        }
        if !behind {
            feeder.checkpoint();
        }
        let mut fed = Some(fed);
        for sender in asked {
            let _ = sender.send(fed.take().unwrap_or(Ok(behind)));
        }
    }
}

/// The value of a row of a `meta` table.
pub(super) fn meta(connection: &Connection, name: &str) -> Result<Option<String>> {
    Ok(connection
        .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        // A value of another kind is nobody's.
        .query_row([name], |row| Ok(row.get(0).ok()))
        .optional()?
        .flatten())
}

pub(super) fn set_meta(connection: &Connection, name: &str, value: &str) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )?
        .execute([name, value])?;
    Ok(())
}

/// What tells this mirror from one made anew: derived data is valid for one mirror only.
pub(super) fn identity(mirror: &Connection) -> Result<String> {
    Ok(meta(mirror, "identity")?.unwrap_or_default())
}

/// Gives a new mirror its identity. The caller holds the data dir alone.
pub(super) fn identify(files: &Files, at: &At) -> Result<()> {
    let path = files.mirror();
    let made = (|| -> Result<()> {
        let connection = schema::open(&path)?;
        if meta(&connection, "identity")?.is_none() {
            let entropy: String = at.entropy.iter().map(|byte| format!("{byte:02x}")).collect();
            set_meta(&connection, "identity", &format!("{}-{entropy}", at.wall.0))?;
        }
        Ok(())
    })();
    made.map_err(|error| error.at(&path, "making the mirror"))?;
    Ok(())
}
