//! Readings: journal first, then mirror, in one transaction over attached files, so that an acknowledgement between the
//! two can never show an old base without its pending op.

mod cells;
mod filter;
mod hits;
mod item;
mod lists;
mod outbox;
#[cfg(test)]
mod plans;
mod scan;
mod window;

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    model::{
        document::{Document, Documents},
        draft::Draft,
        ids::{CollectionKey, RecordId, RecordKey, Revision},
        json::Pointer,
        op::Op,
        query::{Anchor, Filter, ListQuery, Sort, Window},
        record::{Base, RecordView},
        time::{Clock, Timestamp},
    },
    store::{
        StoreError,
        error::Result,
        files::{self, Files},
        journal::{mend, ops, shadow},
        keys, schema,
        search::{Nudge, meta},
        sql,
    },
};

/// Synchronous questions on connections of the reader's own. One per thread.
pub struct Reader {
    connection: Connection,
    /// Where the session locks are.
    locks: Files,
    clock: Arc<dyn Clock>,
    /// Monotonic microseconds at which the present question ends.
    deadline: Cell<u64>,
    /// The same while a statement may be interrupted at it; else never.
    armed: Arc<AtomicU64>,
    nudge: Option<Nudge>,
    documents: Documents,
    path: std::path::PathBuf,
}

/// A record's pending ops, oldest first, with what the engine must know to send the head.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    pub record: RecordKey,
    pub ops: Vec<Op>,
    /// The mirror's present base of the record.
    pub base: Option<crate::model::record::Base>,
}

/// The rows that can be decoded. One with a value of the wrong kind is left out, and the others go on; `doctor` names it.
pub(in crate::store) fn readable<T>(rows: impl Iterator<Item = rusqlite::Result<T>>) -> rusqlite::Result<Vec<T>> {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    let mut found = Vec::new();
    for row in rows {
        match row {
            Ok(row) => found.push(row),
            Err(
                error @ (InvalidColumnType(..)
                | FromSqlConversionFailure(..)
                | IntegralValueOutOfRange(..)
                | Utf8Error(..)),
            ) => tracing::warn!(%error, "a row cannot be read and is left out"),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

impl Reader {
    pub(super) fn open(files: &Files, locks: Files, clock: Arc<dyn Clock>, nudge: Option<Nudge>) -> Result<Self> {
        let path = files.journal();
        let open = || -> Result<Connection> {
            let connection = schema::open_for_reading(&path)?;
            connection.execute("ATTACH ?1 AS m", [files.mirror().to_string_lossy()])?;
            connection.execute("ATTACH ?1 AS s", [files.search().to_string_lossy()])?;
            connection.busy_timeout(Duration::from_secs(2))?;
            for schema in ["main", "m", "s"] {
                connection.pragma_update(Some(schema), "cache_size", -2_048)?;
            }
            Ok(connection)
        };
        let connection = open().map_err(|error| error.at(&path, "opening the data for reading"))?;
        let armed = Arc::new(AtomicU64::new(u64::MAX));
        let (watched, at) = (Arc::clone(&armed), Arc::clone(&clock));
        let late = move || {
            let deadline = watched.load(Ordering::Relaxed);
            deadline != u64::MAX && micros(at.at().mono) > deadline
        };
        connection.progress_handler(20_000, Some(late)).map_err(StoreError::from)?;
        Ok(Self {
            connection,
            locks,
            clock,
            deadline: Cell::new(u64::MAX),
            armed,
            nudge,
            documents: Documents::default(),
            path,
        })
    }

    /// Several questions about one and the same instant. Keeps checkpoints waiting as long as it lasts.
    pub fn at_once<T>(&mut self, ask: impl FnOnce(&mut Self) -> T) -> Result<T, StoreError> {
        let began = self.begin().map_err(|error| self.blame(error.at(&self.path, "reading")));
        let answer = began.map(|()| ask(self));
        self.end();
        answer
    }

    /// One consistent look.
    fn look<T>(&mut self, intent: &str, ask: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let is_part = !self.connection.is_autocommit();
        let asked = if is_part { ask(self) } else { self.begin().and_then(|()| ask(self)) };
        self.deadline.set(u64::MAX);
        if !is_part {
            self.end();
        }
        asked.map_err(|error| self.blame(error.at(&self.path, intent)))
    }

    /// Search, journal, mirror, in that order (see the module's doc).
    fn begin(&self) -> Result<()> {
        self.connection.prepare_cached("BEGIN")?.execute([])?;
        for touch in ["SELECT 1 FROM s.meta", "SELECT 1 FROM main.meta", "SELECT 1 FROM m.meta"] {
            self.connection.prepare_cached(touch)?.exists([])?;
        }
        Ok(())
    }

    fn end(&self) {
        if !self.connection.is_autocommit() {
            let _ = self.connection.prepare_cached("ROLLBACK").and_then(|mut end| end.execute([]));
        }
    }

    /// Damage that is not the journal's is the mirror's; the next start looks closer at every file.
    fn blame(&self, error: StoreError) -> StoreError {
        let StoreError::Damaged { path, detail, kept } = error else { return error };
        if self.nudge.is_some() {
            for file in [self.locks.journal(), self.locks.mirror(), self.locks.search()] {
                let _ = files::private_file(&self.locks.suspect(&file));
            }
        }
        let said: Option<String> = self.connection.query_row("PRAGMA main.quick_check(1)", [], |row| row.get(0)).ok();
        let path = if said.as_deref() == Some("ok") { self.locks.mirror() } else { path };
        StoreError::Damaged { path, detail, kept }
    }

    fn set_deadline(&self, span: Duration) {
        let at = self.clock.at().mono.saturating_add(span);
        self.deadline.set(micros(at));
    }

    /// Runs what may take long: its statements are interrupted at the deadline.
    fn interruptible<T>(&self, ask: impl FnOnce() -> Result<T>) -> Result<T> {
        self.armed.store(self.deadline.get(), Ordering::Relaxed);
        let answer = ask();
        self.armed.store(u64::MAX, Ordering::Relaxed);
        answer
    }

    fn is_late(&self) -> bool {
        let deadline = self.deadline.get();
        deadline != u64::MAX && micros(self.clock.at().mono) > deadline
    }

    /// Gives a first attempt a quarter of the time that is left.
    fn for_a_quarter<T>(&self, attempt: impl FnOnce() -> T) -> T {
        let deadline = self.deadline.get();
        let now = micros(self.clock.at().mono);
        if deadline != u64::MAX {
            self.deadline.set(now.saturating_add(deadline.saturating_sub(now) / 4));
        }
        let answer = attempt();
        self.deadline.set(deadline);
        answer
    }

    /// A first way of looking took all the time: the second one gets a little.
    fn relax_a_little(&self) {
        self.set_deadline(Duration::from_millis(10));
    }

    fn wish_sorted(&self, collection: &CollectionKey, by: &Pointer) {
        if let Some(nudge) = &self.nudge {
            nudge.sort_by(collection, by);
        }
    }

    fn journal_collection(&self, key: &CollectionKey) -> Result<Option<i64>> {
        Ok(self
            .connection
            .prepare_cached("SELECT id FROM main.collections WHERE source = ?1 AND name = ?2")?
            .query_row([key.source.as_str(), key.collection.as_str()], |row| row.get(0))
            .optional()?)
    }

    fn mirror_collection(&self, key: &CollectionKey) -> Result<Option<i64>> {
        Ok(self
            .connection
            .prepare_cached("SELECT id FROM m.collections WHERE source = ?1 AND name = ?2")?
            .query_row([key.source.as_str(), key.collection.as_str()], |row| row.get(0))
            .optional()?)
    }

    /// How far the index is fed.
    fn fed(&self, name: &str) -> Result<i64> {
        Ok(self
            .connection
            .prepare_cached("SELECT value FROM s.meta WHERE name = ?1")?
            .query_row([name], |row| row.get::<_, String>(0))
            .optional()?
            .and_then(|text| text.parse().ok())
            .unwrap_or(0))
    }

    /// Rows of a collection: the mirror's, and records that only exist as pending ops. Exact while those are few; above,
    /// a create that is acknowledged this instant may count twice.
    fn total(&self, journal: i64, mirror: i64) -> Result<u64> {
        let rows: i64 = self
            .connection
            .prepare_cached("SELECT rows FROM m.collections WHERE id = ?1")?
            .query_row([mirror], |row| row.get(0))
            .optional()?
            .unwrap_or(0);
        let counts: Option<(i64, i64)> = self
            .connection
            .prepare_cached("SELECT records, created FROM main.shadow_counts WHERE collection = ?1")?
            .query_row([journal], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let alone = match counts {
            None | Some((0, _)) => 0,
            Some((records, _)) if records <= 256 => self
                .connection
                .prepare_cached(
                    "SELECT count(*) FROM main.shadow h WHERE h.collection = ?1 AND NOT EXISTS \
                     (SELECT 1 FROM m.records r WHERE r.collection = ?2 AND r.key = h.key)",
                )?
                .query_row((journal, mirror), |row| row.get(0))?,
            Some((_, created)) => created,
        };
        Ok(u64::try_from(rows + alone).unwrap_or(0))
    }

    fn chain_by_key(&self, journal: i64, key: &[u8]) -> Result<Vec<Op>> {
        let mut select = self.connection.prepare_cached(&format!(
            "SELECT {} FROM main.ops o JOIN main.collections c ON c.id = o.collection \
             WHERE o.collection = ?1 AND o.key = ?2 AND o.settled_at IS NULL ORDER BY o.place, o.seq",
            ops::COLUMNS
        ))?;
        let ops = select.query_map((journal, key), ops::read)?.collect::<rusqlite::Result<_>>()?;
        Ok(ops)
    }

    fn base(&self, mirror: i64, key: &[u8]) -> Result<Option<Base>> {
        let read = |row: &rusqlite::Row<'_>| {
            let (revision, at): (Option<String>, i64) = (row.get(1)?, row.get(2)?);
            let text = row.get_ref(0)?;
            let document = match self.documents.known(text.as_bytes()?) {
                Some(known) => Some(known),
                None => self.documents.read(text.as_str()?),
            };
            Ok(document.map(|document| Base { document, revision: revision.map(Revision), received_at: Timestamp(at) }))
        };
        Ok(self
            .connection
            .prepare_cached("SELECT body, revision, received_at FROM m.records WHERE collection = ?1 AND key = ?2")?
            .query_row((mirror, key), read)
            .optional()?
            .flatten())
    }

    /// A window of a list, overlaid with pending edits: creates stand at their place, deletes keep their row with its
    /// mark. Ends after `deadline` with `partial` set.
    pub fn window(
        &mut self,
        query: &ListQuery,
        anchor: &Anchor,
        limit: usize,
        deadline: Duration,
    ) -> Result<Window, StoreError> {
        self.set_deadline(deadline);
        match self.look("reading a list", |reader| window::read(reader, query, anchor, limit)) {
            Err(error) if error.is_interrupt() => Ok(Window { partial: true, ..Window::default() }),
            other => other,
        }
    }

    /// How many rows come before `id` in the list, and how many match in all. Counts; may take tens of milliseconds on
    /// a million rows, so it runs after the frame.
    pub fn rank(
        &mut self,
        query: &ListQuery,
        id: &RecordId,
        deadline: Duration,
    ) -> Result<(Option<u64>, Option<u64>), StoreError> {
        self.set_deadline(deadline);
        match self.look("counting a list", |reader| window::rank(reader, query, id)) {
            Err(error) if error.is_interrupt() => Ok((None, None)),
            other => other,
        }
    }

    /// Calls `each` with every record of a collection as it stands here (pending edits applied, deletes left out), in
    /// key order, each as its JSON text; ends early where `each` answers false.
    pub fn export(
        &mut self,
        collection: &CollectionKey,
        mut each: impl FnMut(&RecordId, &str) -> bool,
    ) -> Result<(), StoreError> {
        let query = ListQuery {
            collection: collection.clone(),
            columns: Vec::new(),
            filter: Filter::default(),
            sort: Sort::default(),
        };
        self.look("reading a collection", |reader| window::export(reader, &query, &mut each))
    }

    pub fn record(&mut self, key: &RecordKey) -> Result<RecordView, StoreError> {
        self.look("reading a record", |reader| reader.view(key, None))
    }

    /// The same without the texts of large drafts.
    pub fn shown(&mut self, key: &RecordKey) -> Result<RecordView, StoreError> {
        self.look("reading a record", |reader| reader.view(key, Some(RecordView::SMALL_DRAFT)))
    }

    /// `most`: larger drafts are left out.
    fn view(&self, key: &RecordKey, most: Option<usize>) -> Result<RecordView> {
        let row_key = keys::of(&key.id);
        let journal = self.journal_collection(&key.collection)?.unwrap_or(-1);
        let mirror = self.mirror_collection(&key.collection)?.unwrap_or(-1);
        let chain = self.chain_by_key(journal, &row_key)?;
        let base = self.base(mirror, &row_key)?;
        let mut heads = self.draft_heads(journal, &row_key)?;
        let drafts = match heads.is_empty() {
            true => Vec::new(),
            false => self.drafts_where(
                "d.collection = ?1 AND d.key = ?2 \
                 AND octet_length(d.snapshot) + coalesce(octet_length(d.base), 0) <= ?3",
                params![journal, row_key, sql(most.unwrap_or(usize::MAX))],
                Documents::read,
            )?,
        };
        if most.is_none() {
            // A draft that cannot be read stays in its table and is nowhere shown.
            heads.retain(|head| drafts.iter().any(|draft| draft.key == head.key));
        }
        let conflict = self.open_conflict(journal, &row_key)?;
        let marks: i64 = self
            .connection
            .prepare_cached("SELECT marks FROM main.shadow WHERE collection = ?1 AND key = ?2")?
            .query_row((journal, &row_key), |row| row.get(0))
            .optional()?
            .unwrap_or(0);
        let there = base.as_ref().map(|base| base.document.clone());
        let local = match chain.as_slice() {
            [] => there,
            chain => shadow::local(there.map(Document::into_value), chain).map(Document::from),
        };
        let mark = shadow::record_mark(marks, !heads.is_empty());
        Ok(RecordView { key: key.clone(), base, local, mark, ops: chain, heads, drafts, conflict })
    }

    pub fn drafts(&mut self) -> Result<Vec<Draft>, StoreError> {
        self.look("reading the drafts", |reader| reader.drafts_where("1", [], Documents::read))
    }

    /// Changes whenever any process wrote to the journal or the mirror: a cheap question for watchers.
    pub fn data_version(&mut self) -> Result<(i64, i64), StoreError> {
        let version = |schema: &str| self.connection.pragma_query_value(Some(schema), "data_version", |row| row.get(0));
        let both = (|| Ok((version("main")?, version("m")?)))();
        both.map_err(|error| StoreError::Sqlite { context: String::new(), source: error }.at(&self.path, "watching"))
    }

    /// True while some process carries the sync: what it published last holds as long as it says nothing else.
    pub fn is_led(&self) -> bool {
        files::is_held(&self.locks.leader())
    }

    /// Interrupts whatever the reader is doing, from another thread.
    pub fn interrupt(&self) -> rusqlite::InterruptHandle {
        self.connection.get_interrupt_handle()
    }

    /// What `quick_check` and the rules between the tables find wrong, in words; empty where all is well. Reads
    /// everything: seconds on a million records.
    pub fn check(&mut self) -> Result<Vec<String>, StoreError> {
        self.look("checking the data", |reader| {
            let mut findings = Vec::new();
            for (schema, name) in [("main", "journal"), ("m", "mirror"), ("s", "search index")] {
                let mut check = reader.connection.prepare(&format!("PRAGMA {schema}.quick_check(5)"))?;
                let said = check.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
                findings.extend(said.into_iter().filter(|line| line != "ok").map(|line| format!("{name}: {line}")));
            }
            let count = |sql: &str| -> Result<i64> { Ok(reader.connection.query_row(sql, [], |row| row.get(0))?) };
            let rules = [
                (
                    "SELECT count(*) FROM (SELECT 1 FROM main.ops WHERE state IN ('in_flight', 'in_doubt') \
                     GROUP BY collection, key HAVING count(*) > 1)",
                    "records with more than one change being sent",
                ),
                (
                    "SELECT count(*) FROM (SELECT DISTINCT collection, key FROM main.ops WHERE settled_at IS NULL \
                     EXCEPT SELECT collection, key FROM main.shadow)",
                    "records with pending changes that lists do not show",
                ),
                (
                    "SELECT count(*) FROM (SELECT collection, key FROM main.shadow \
                     EXCEPT SELECT collection, key FROM main.ops WHERE settled_at IS NULL)",
                    "records marked as pending without a pending change",
                ),
                (
                    "SELECT count(*) FROM m.collections c WHERE c.rows <> \
                     (SELECT count(*) FROM m.records r WHERE r.collection = c.id)",
                    "collections with a wrong record count",
                ),
                (
                    "SELECT count(*) FROM (SELECT collection, state, count(*) FROM main.ops GROUP BY 1, 2 \
                     EXCEPT SELECT collection, state, n FROM main.op_counts)",
                    "wrong counts of changes",
                ),
                (
                    "SELECT count(*) FROM main.draft_edits WHERE draft NOT IN (SELECT id FROM main.drafts) \
                     OR draft <> id >> 32",
                    "keys typed in drafts that are not there",
                ),
            ];
            for (sql, what) in rules {
                let n = count(sql)?;
                if n > 0 {
                    findings.push(format!("{n} {what}"));
                }
            }
            let lonely: i64 =
                reader.connection.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
            if lonely > 0 {
                findings.push(format!("{lonely} rows that name something that is not there"));
            }
            for (seq, why) in mend::unreadable(&reader.connection)? {
                findings.push(format!("op {seq} cannot be read: {why}"));
            }
            for (table, column, n) in mend::odd_values(&reader.connection)? {
                findings.push(format!("{n} rows of `{table}` whose `{column}` is of the wrong kind"));
            }
            if meta(&reader.connection, "mirror_identity")?.is_none() {
                findings.push("the journal does not know its mirror".to_owned());
            }
            Ok(findings)
        })
    }
}
