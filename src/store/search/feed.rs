//! Feeding: what changed in the mirror and the journal since the last batch goes into the index, what went goes out.
//!
//! Content numbers only grow, so "what changed" is a range of the primary key. Several processes may feed: each batch
//! reads the marks inside its own `BEGIN IMMEDIATE`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use crate::{
    model::{ids::CollectionKey, json::Pointer, time::Clock},
    store::{
        error::Result,
        files::{self, Files},
        journal::Journal,
        keys,
        mirror::Mirror,
        schema,
        search::{identity, meta, set_meta, sort_value, tokens},
        sql,
        writer::{Durability, Lane, Manner, Writer},
    },
};

/// Documents of one batch.
const BATCH: usize = 500;

pub(super) struct Feeder {
    search: Connection,
    mirror: Connection,
    journal: Connection,
    path: PathBuf,
    files: Files,
    clock: Arc<dyn Clock>,
    journal_writer: Writer<Journal>,
    mirror_writer: Writer<Mirror>,
    text: String,
}

/// One document to be indexed.
struct Doc {
    doc: i64,
    collection: i64,
    id: String,
    body: Option<String>,
}

/// A column being kept sorted.
struct Column {
    id: i64,
    collection: CollectionKey,
    pointer: Pointer,
    fed_mirror: i64,
    fed_shadow: i64,
}

impl Feeder {
    pub fn open(
        files: &Files,
        clock: Arc<dyn Clock>,
        journal_writer: Writer<Journal>,
        mirror_writer: Writer<Mirror>,
    ) -> Result<Self> {
        let path = files.search();
        let open = || -> Result<(Connection, Connection, Connection)> {
            let search = schema::open(&path)?;
            search.pragma_update(None, "cache_size", -8_192)?;
            Ok((search, schema::open_for_reading(&files.mirror())?, schema::open_for_reading(&files.journal())?))
        };
        let (search, mirror, journal) = open().map_err(|error| error.at(&path, "opening the search index"))?;
        let files = files.clone();
        Ok(Self { search, mirror, journal, path, files, clock, journal_writer, mirror_writer, text: String::new() })
    }

    /// Feeds one batch of each kind; true where more waits.
    pub fn feed(&mut self) -> Result<bool> {
        let fed = self.feed_batch();
        if fed.is_err() && !self.search.is_autocommit() {
            let _ = self.search.execute_batch("ROLLBACK");
        }
        fed.map_err(|error| error.at(&self.path, "feeding the search index"))
    }

    fn feed_batch(&mut self) -> Result<bool> {
        self.search.busy_timeout(Duration::from_secs(5))?;
        self.search.execute_batch("BEGIN IMMEDIATE")?;
        self.follow_mirror()?;
        let fed_mirror = number(&self.search, "fed_mirror")?;
        let fed_shadow = number(&self.search, "fed_shadow")?;
        let began = self.clock.at().mono;
        let records = self.changed_records(fed_mirror)?;
        let shadows = self.changed_shadows(fed_shadow)?;
        let more = records.len() == BATCH || shadows.len() == BATCH;
        self.index(&records)?;
        self.index(&shadows)?;
        if let Some(last) = records.last() {
            set_meta(&self.search, "fed_mirror", &last.doc.to_string())?;
        }
        if let Some(last) = shadows.last() {
            set_meta(&self.search, "fed_shadow", &(-last.doc).to_string())?;
        }
        let more_columns = self.feed_columns()?;
        let gone = self.drop_gone()?;
        self.search.execute_batch("COMMIT")?;
        self.forget_gone(gone);
        tracing::trace!(records = records.len(), took = ?self.clock.at().mono.saturating_sub(began), "search fed");
        Ok(more || more_columns)
    }

    /// A mirror made anew numbers its contents anew: everything derived from the old one goes.
    fn follow_mirror(&self) -> Result<()> {
        let present = identity(&self.mirror)?;
        if meta(&self.search, "mirror_identity")?.as_deref() == Some(present.as_str()) {
            return Ok(());
        }
        self.search.execute_batch(
            "INSERT INTO texts (texts) VALUES ('delete-all');
             DELETE FROM overlong; DELETE FROM sorted; DELETE FROM columns;",
        )?;
        set_meta(&self.search, "fed_mirror", "0")?;
        set_meta(&self.search, "fed_shadow", "0")?;
        set_meta(&self.search, "mirror_identity", &present)
    }

    fn changed_records(&self, after: i64) -> Result<Vec<Doc>> {
        let mut select = self.mirror.prepare_cached(
            "SELECT change, collection, id, body FROM records WHERE change > ?1 ORDER BY change LIMIT ?2",
        )?;
        let docs = select
            .query_map(params![after, sql(BATCH)], |row| {
                Ok(Doc { doc: row.get(0)?, collection: row.get(1)?, id: row.get(2)?, body: Some(row.get(3)?) })
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(docs)
    }

    fn changed_shadows(&self, after: i64) -> Result<Vec<Doc>> {
        let mut select = self.journal.prepare_cached(
            "SELECT -change, collection, record, document FROM shadow WHERE change > ?1 ORDER BY change LIMIT ?2",
        )?;
        let mut docs = select
            .query_map(params![after, sql(BATCH)], |row| {
                Ok(Doc { doc: row.get(0)?, collection: row.get(1)?, id: row.get(2)?, body: row.get(3)? })
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        for doc in docs.iter_mut().filter(|doc| doc.body.is_none()) {
            doc.body = self.base(doc)?;
        }
        Ok(docs)
    }

    /// A record being deleted is found by what is being deleted.
    fn base(&self, doc: &Doc) -> Result<Option<String>> {
        let names: (String, String) = self
            .journal
            .prepare_cached("SELECT source, name FROM collections WHERE id = ?1")?
            .query_row([doc.collection], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(self
            .mirror
            .prepare_cached(
                "SELECT body FROM records WHERE key = ?3 AND collection = \
                 (SELECT id FROM collections WHERE source = ?1 AND name = ?2)",
            )?
            .query_row(params![names.0, names.1, keys::of(&doc.id.as_str().into())], |row| row.get(0))
            .optional()?)
    }

    fn index(&mut self, docs: &[Doc]) -> Result<()> {
        let mut insert = self.search.prepare_cached("INSERT INTO texts (rowid, text) VALUES (?1, ?2)")?;
        for doc in docs {
            let whole = tokens::indexed_text(&doc.id, doc.body.as_deref().unwrap_or("null"), &mut self.text);
            // Another process may have fed it and died before the mark: once is enough.
            match insert.execute(params![doc.doc, self.text]) {
                Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {}
                other => drop(other?),
            }
            if !whole {
                self.search.prepare_cached("INSERT OR IGNORE INTO overlong VALUES (?1)")?.execute([doc.doc])?;
            }
        }
        Ok(())
    }

    /// Begins to keep a column sorted.
    pub fn begin_column(&self, collection: &CollectionKey, pointer: &Pointer) -> Result<()> {
        self.search
            .execute(
                "INSERT INTO columns (source, name, pointer) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                params![collection.source.as_str(), collection.collection.as_str(), pointer.to_string()],
            )
            .map_err(|error| crate::store::StoreError::from(error).at(&self.path, "sorting a column"))?;
        Ok(())
    }

    fn feed_columns(&self) -> Result<bool> {
        let mut select =
            self.search.prepare_cached("SELECT id, source, name, pointer, fed_mirror, fed_shadow FROM columns")?;
        let columns = select
            .query_map([], |row| {
                Ok(Column {
                    id: row.get(0)?,
                    collection: CollectionKey::new(row.get::<_, String>(1)?, row.get::<_, String>(2)?),
                    pointer: Pointer::parse(&row.get::<_, String>(3)?),
                    fed_mirror: row.get(4)?,
                    fed_shadow: row.get(5)?,
                })
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let mut more = false;
        for column in columns {
            let records = self.changed_records(column.fed_mirror)?;
            let shadows = self.changed_shadows(column.fed_shadow)?;
            more |= records.len() == BATCH || shadows.len() == BATCH;
            self.sort(&column, &self.mirror, &records)?;
            self.sort(&column, &self.journal, &shadows)?;
            let fed_mirror = records.last().map_or(column.fed_mirror, |doc| doc.doc);
            let fed_shadow = shadows.last().map_or(column.fed_shadow, |doc| -doc.doc);
            if (fed_mirror, fed_shadow) != (column.fed_mirror, column.fed_shadow) {
                self.search
                    .prepare_cached("UPDATE columns SET fed_mirror = ?2, fed_shadow = ?3 WHERE id = ?1")?
                    .execute((column.id, fed_mirror, fed_shadow))?;
            }
        }
        Ok(more)
    }

    fn sort(&self, column: &Column, from: &Connection, docs: &[Doc]) -> Result<()> {
        let collection: Option<i64> = from
            .prepare_cached("SELECT id FROM collections WHERE source = ?1 AND name = ?2")?
            .query_row([column.collection.source.as_str(), column.collection.collection.as_str()], |row| row.get(0))
            .optional()?;
        let mut insert = self
            .search
            .prepare_cached("INSERT OR IGNORE INTO sorted (field, value, key, doc) VALUES (?1, ?2, ?3, ?4)")?;
        for doc in docs.iter().filter(|doc| Some(doc.collection) == collection) {
            let value = doc.body.as_deref().and_then(|body| serde_json::from_str::<Value>(body).ok());
            let value = sort_value::of(value.as_ref().and_then(|value| column.pointer.get(value)));
            insert.execute(params![column.id, value, keys::of(&doc.id.as_str().into()), doc.doc])?;
        }
        Ok(())
    }

    /// Takes contents out that stand no longer. Answers the numbers, to be forgotten after the commit.
    fn drop_gone(&self) -> Result<(Vec<i64>, Vec<i64>)> {
        let gone = |connection: &Connection, table: &str| -> Result<Vec<i64>> {
            let mut select = connection.prepare_cached(&format!("SELECT change FROM {table} LIMIT 2000"))?;
            let numbers = select.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            Ok(numbers)
        };
        let records = gone(&self.mirror, "gone")?;
        let shadows = gone(&self.journal, "shadow_gone")?;
        for doc in records.iter().copied().chain(shadows.iter().map(|change| -change)) {
            self.search.prepare_cached("DELETE FROM texts WHERE rowid = ?1")?.execute([doc])?;
            self.search.prepare_cached("DELETE FROM overlong WHERE doc = ?1")?.execute([doc])?;
            self.search.prepare_cached("DELETE FROM sorted WHERE doc = ?1")?.execute([doc])?;
        }
        Ok((records, shadows))
    }

    /// The index is durable without them, or is made again with nothing to drop: the lists may shrink.
    fn forget_gone(&self, (records, shadows): (Vec<i64>, Vec<i64>)) {
        let manner = |rows: usize| Manner {
            lane: Lane::Engine,
            durability: Durability::Normal,
            hurry: false,
            rows,
            bytes: 4096,
            intent: "forgetting what the search index dropped",
        };
        if !records.is_empty() {
            self.mirror_writer.submit_then(
                manner(records.len()),
                move |mirror| forget(&mirror.connection, "gone", &records),
                |_| (),
            );
        }
        if !shadows.is_empty() {
            self.journal_writer.submit_then(
                manner(shadows.len()),
                move |journal| forget(&journal.connection, "shadow_gone", &shadows),
                |_| (),
            );
        }
    }

    /// SQLite reported damage: the next start looks closer.
    pub fn suspect(&self) {
        for path in [self.files.search(), self.files.mirror()] {
            let _ = files::private_file(&self.files.suspect(&path));
        }
    }

    pub fn checkpoint(&self) {
        let _ = self.search.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    }
}

fn forget(connection: &Connection, table: &str, changes: &[i64]) -> Result<()> {
    let mut delete = connection.prepare_cached(&format!("DELETE FROM {table} WHERE change = ?1"))?;
    for change in changes {
        delete.execute([change])?;
    }
    Ok(())
}

fn number(connection: &Connection, name: &str) -> Result<i64> {
    Ok(meta(connection, name)?.and_then(|text| text.parse().ok()).unwrap_or(0))
}
