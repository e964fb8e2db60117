//! The mirror's writer: copies of what the server holds, with the checkpoints that cover them.

pub(super) mod overtaken;
pub(super) mod pages;
pub(super) mod sweeps;
pub(super) mod windows;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension};

use crate::{
    model::{
        conflict::Conflict,
        ids::{CollectionKey, RecordId, RecordKey},
        sync_status::SourceStatus,
        time::{Clock, Timestamp},
    },
    store::{
        error::Result,
        files::{self, Files},
        journal::{Journal, conflicts, shadow},
        search::Nudge,
        writer::{Durability, Lane, Manner, State, Writer},
    },
};

/// The state of the mirror's writer.
pub(super) struct Mirror {
    pub connection: Connection,
    /// Reads which records have pending ops.
    journal_read: Connection,
    pub journal: Writer<Journal>,
    path: PathBuf,
    files: Files,
    clock: Arc<dyn Clock>,
    nudge: Nudge,
    collections: RefCell<HashMap<CollectionKey, i64>>,
    journal_collections: RefCell<HashMap<CollectionKey, i64>>,
    /// Records with pending ops whose base this transaction moved.
    moved: RefCell<Vec<RecordKey>>,
    next_change: Cell<i64>,
}

impl State for Mirror {
    const MAX_ROWS: usize = 1_000;

    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn now(&self) -> Duration {
        self.clock.at().mono
    }

    fn rolled_back(&self) {
        self.collections.borrow_mut().clear();
        self.next_change.set(0);
        // `moved` stays: following a base that did not move costs a look.
    }

    fn committed(&self) {
        self.next_change.set(0);
        let moved = std::mem::take(&mut *self.moved.borrow_mut());
        for records in moved.chunks(50) {
            let records = records.to_vec();
            let manner = Manner {
                lane: Lane::Engine,
                durability: Durability::Normal,
                hurry: false,
                rows: records.len(),
                bytes: 4096,
                intent: "following a new base",
            };
            self.journal.submit_then(manner, move |journal| shadow::refresh_records(journal, &records), |_| ());
        }
        self.nudge.mirror_changed();
    }

    fn make_room(&self) -> bool {
        // The ballast is for what exists only here.
        false
    }

    fn suspect(&self) {
        let _ = files::private_file(&self.files.suspect(&self.path));
    }
}

/// A record as the mirror addresses it.
pub(super) struct Row {
    pub change: i64,
    pub revision: Option<String>,
    pub body: String,
}

impl Mirror {
    pub fn new(
        connection: Connection,
        journal_read: Connection,
        journal: Writer<Journal>,
        files: Files,
        clock: Arc<dyn Clock>,
        nudge: Nudge,
    ) -> Self {
        Self {
            connection,
            journal_read,
            journal,
            path: files.mirror(),
            files,
            clock,
            nudge,
            collections: RefCell::default(),
            journal_collections: RefCell::default(),
            moved: RefCell::default(),
            next_change: Cell::new(0),
        }
    }

    pub fn collection(&self, key: &CollectionKey) -> Result<i64> {
        if let Some(id) = self.collections.borrow().get(key) {
            return Ok(*id);
        }
        let names = [key.source.as_str(), key.collection.as_str()];
        self.connection
            .prepare_cached("INSERT INTO collections (source, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute(names)?;
        let id = self
            .connection
            .prepare_cached("SELECT id FROM collections WHERE source = ?1 AND name = ?2")?
            .query_row(names, |row| row.get(0))?;
        self.collections.borrow_mut().insert(key.clone(), id);
        Ok(id)
    }

    /// A number no content had before. Read once per transaction, written back by [`Mirror::keep_change`].
    pub fn new_change(&self) -> Result<i64> {
        if self.next_change.get() == 0 {
            let last: Option<String> = self
                .connection
                .prepare_cached("SELECT value FROM meta WHERE name = 'last_change'")?
                .query_row([], |row| row.get(0))
                .optional()?;
            self.next_change.set(last.and_then(|text| text.parse().ok()).unwrap_or(0));
        }
        self.next_change.set(self.next_change.get() + 1);
        Ok(self.next_change.get())
    }

    /// Ends a request that drew change numbers.
    pub fn keep_change(&self) -> Result<()> {
        if self.next_change.get() > 0 {
            self.connection
                .prepare_cached(
                    "INSERT INTO meta (name, value) VALUES ('last_change', ?1) \
                     ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                )?
                .execute([self.next_change.get().to_string()])?;
        }
        Ok(())
    }

    pub fn row(&self, collection: i64, key: &[u8]) -> Result<Option<Row>> {
        Ok(self
            .connection
            .prepare_cached("SELECT change, revision, body FROM records WHERE collection = ?1 AND key = ?2")?
            .query_row((collection, key), |row| {
                Ok(Row { change: row.get(0)?, revision: row.get(1)?, body: row.get(2)? })
            })
            .optional()?)
    }

    pub fn insert(
        &self,
        collection: i64,
        key: &[u8],
        id: &str,
        revision: Option<&str>,
        received_at: i64,
        body: &str,
    ) -> Result<bool> {
        let change = self.new_change()?;
        let inserted = self
            .connection
            .prepare_cached(
                "INSERT INTO records (change, collection, key, id, revision, received_at, body) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (collection, key) DO NOTHING",
            )?
            .execute((change, collection, key, id, revision, received_at, body))?;
        Ok(inserted > 0)
    }

    pub fn remove(&self, change: i64) -> Result<()> {
        self.connection.prepare_cached("DELETE FROM records WHERE change = ?1")?.execute([change])?;
        self.connection.prepare_cached("INSERT OR IGNORE INTO gone VALUES (?1)")?.execute([change])?;
        self.found(change)
    }

    /// The row is gone on the server, and stays while its ops are pending.
    pub fn keep_vanished(&self, change: i64, at: Timestamp) -> Result<()> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO vanished (change, at) VALUES (?1, ?2)")?
            .execute((change, at.0))?;
        Ok(())
    }

    /// The row is on the server, or not here any more.
    pub fn found(&self, change: i64) -> Result<()> {
        self.connection.prepare_cached("DELETE FROM vanished WHERE change = ?1")?.execute([change])?;
        Ok(())
    }

    pub fn count(&self, collection: i64, by: i64) -> Result<()> {
        if by != 0 {
            self.connection
                .prepare_cached("UPDATE collections SET rows = rows + ?2 WHERE id = ?1")?
                .execute((collection, by))?;
        }
        Ok(())
    }

    /// What the journal holds of a collection's records, asked record by record; cheap where it holds nothing.
    pub fn watch(&self, key: &CollectionKey) -> Result<Watch<'_>> {
        let known = self.journal_collections.borrow().get(key).copied();
        let collection = match known {
            Some(id) => Some(id),
            None => {
                let found: Option<i64> = self
                    .journal_read
                    .prepare_cached("SELECT id FROM collections WHERE source = ?1 AND name = ?2")?
                    .query_row([key.source.as_str(), key.collection.as_str()], |row| row.get(0))
                    .optional()?;
                if let Some(found) = found {
                    self.journal_collections.borrow_mut().insert(key.clone(), found);
                }
                found
            }
        };
        let any = |sql: &str| -> Result<bool> {
            match collection {
                Some(id) => Ok(self.journal_read.prepare_cached(sql)?.exists([id])?),
                None => Ok(false),
            }
        };
        Ok(Watch {
            mirror: self,
            key: key.clone(),
            collection: collection.unwrap_or(0),
            shadows: any("SELECT 1 FROM shadow WHERE collection = ?1 LIMIT 1")?,
        })
    }

    pub fn conflict(&self, id: i64) -> Result<Option<Conflict>> {
        conflicts::find(&self.journal_read, id)
    }

    pub fn publish(&self, statuses: &[SourceStatus]) -> Result<()> {
        let mut upsert = self.connection.prepare_cached(
            "INSERT INTO sync_status (source, at, body) VALUES (?1, ?2, ?3) \
             ON CONFLICT (source) DO UPDATE SET at = excluded.at, body = excluded.body",
        )?;
        for status in statuses {
            let body = serde_json::to_string(status).expect("status is plain JSON");
            upsert.execute((status.source.as_str(), status.at.0, body))?;
        }
        Ok(())
    }

    /// Writes a checkpoint alone: nothing was pulled by it.
    pub fn keep_checkpoint(&self, key: &CollectionKey, checkpoint: &str) -> Result<()> {
        let id = self.collection(key)?;
        self.connection
            .prepare_cached("UPDATE collections SET checkpoint = ?2 WHERE id = ?1")?
            .execute((id, checkpoint))?;
        Ok(())
    }

    /// Drops a collection's rows and checkpoint.
    pub fn forget(&self, key: &CollectionKey) -> Result<()> {
        let id = self.collection(key)?;
        let watch = self.watch(key)?;
        if watch.shadows {
            let mut select = self.connection.prepare_cached("SELECT id, key FROM records WHERE collection = ?1")?;
            let mut rows = select.query([id])?;
            while let Some(row) = rows.next()? {
                watch.moved(&row.get::<_, Vec<u8>>(1)?, &RecordId(row.get(0)?))?;
            }
        }
        self.connection.execute("INSERT OR IGNORE INTO gone SELECT change FROM records WHERE collection = ?1", [id])?;
        self.connection
            .execute("DELETE FROM vanished WHERE change IN (SELECT change FROM records WHERE collection = ?1)", [id])?;
        self.connection.execute("DELETE FROM records WHERE collection = ?1", [id])?;
        self.connection.execute("DELETE FROM seen WHERE collection = ?1", [id])?;
        self.connection.execute("DELETE FROM sweeps WHERE collection = ?1", [id])?;
        self.connection
            .execute("UPDATE collections SET rows = 0, checkpoint = NULL, last_pull = NULL WHERE id = ?1", [id])?;
        Ok(())
    }
}

/// Which records of a collection the user has something on.
pub(super) struct Watch<'m> {
    mirror: &'m Mirror,
    key: CollectionKey,
    collection: i64,
    shadows: bool,
}

impl Watch<'_> {
    fn has(&self, sql: &str, key: &[u8]) -> Result<bool> {
        Ok(self.mirror.journal_read.prepare_cached(sql)?.exists((self.collection, key))?)
    }

    /// True for a record with pending ops: a pull never deletes it. A draft has its own copy of
    /// what it was begun on, so the record may go from under it; the journal notes that it did.
    pub fn protects(&self, key: &[u8]) -> Result<bool> {
        Ok(self.shadows && self.has("SELECT 1 FROM shadow WHERE collection = ?1 AND key = ?2", key)?)
    }

    /// Notes a record whose base moves in this transaction, so that its shadow follows.
    pub fn moved(&self, key: &[u8], id: &RecordId) -> Result<()> {
        if self.shadows && self.has("SELECT 1 FROM shadow WHERE collection = ?1 AND key = ?2", key)? {
            self.mirror.moved.borrow_mut().push(RecordKey { collection: self.key.clone(), id: id.clone() });
        }
        Ok(())
    }
}
