//! Questions about the outbox: what waits, what may go, what went wrong.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, params};

use crate::{
    model::{
        conflict::Conflict,
        ids::{CollectionKey, RecordKey, Seq, SourceName},
        op::{LateOriginal, Op, OpState, OutboxCounts},
        spend::SpentRow,
        sync_status::Account,
        time::Timestamp,
    },
    store::{
        Reader, StoreError,
        error::Result,
        journal::{accounts, conflicts, guards, ops, spent},
        keys,
        reader::{Chain, readable},
        sql,
    },
};

pub(super) const READY: &str = "SELECT head_place, key, record FROM main.shadow WHERE collection = ?1 \
     AND head_ready = 1 AND (head_next_at IS NULL OR head_next_at <= ?2) ORDER BY head_place LIMIT ?3";

pub(super) const NEXT: &str = "SELECT min(head_next_at) FROM main.shadow WHERE collection = ?1 AND head_ready = 1 \
     AND head_next_at IS NOT NULL";

/// By the time of settling, not by number: among 100,000 that wait the few that went are found at once.
pub(super) const SETTLED: &str = "o.settled_at IS NOT NULL AND (o.settled_at, o.seq) < (?1, ?2)";
pub(super) const LATEST: &str = "ORDER BY o.settled_at DESC, o.seq DESC";

/// The order of sending.
pub(super) const PENDING: &str = "o.settled_at IS NULL AND (o.place, o.seq) > (?1, ?2)";

/// The oldest pending op of a record, by its place in the order of sending.
struct Head {
    place: i64,
    /// The journal's number of it.
    collection: i64,
    key: Vec<u8>,
    record: RecordKey,
}

impl Reader {
    /// Pending ops in the order they will be sent; then, for `history > 0`, that many settled ones, the latest settled first.
    /// A keyset page: `after` is the last number already had. No states means all pending ones.
    pub fn outbox(&mut self, states: &[OpState], after: Option<Seq>, limit: usize) -> Result<Vec<Op>, StoreError> {
        self.look("reading the outbox", |reader| {
            let (pending, settled): (Vec<OpState>, Vec<OpState>) = match states {
                [] => (OpState::ALL.into_iter().filter(|state| state.is_pending()).collect(), Vec::new()),
                some => some.iter().copied().partition(|state| state.is_pending()),
            };
            let from: Option<(i64, Option<i64>)> = match after {
                None => None,
                Some(seq) => reader
                    .connection
                    .prepare_cached("SELECT place, settled_at FROM main.ops WHERE seq = ?1")?
                    .query_row([seq.0], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()?
                    .or(Some((seq.0, None))),
            };
            let after = after.map_or(0, |seq| seq.0);
            let mut found = Vec::new();
            if !pending.is_empty() && from.is_none_or(|(_, settled)| settled.is_none()) {
                let place = from.map_or(i64::MIN, |(place, _)| place);
                found = reader.ops_where(
                    &format!("{PENDING} AND o.state IN ({}) ORDER BY o.place, o.seq LIMIT ?3", words(&pending)),
                    params![place, after, sql(limit)],
                )?;
            }
            if !settled.is_empty() && found.len() < limit {
                let (before, before_seq) = match from {
                    Some((_, Some(settled))) => (settled, after),
                    _ => (i64::MAX, i64::MAX),
                };
                let room = limit - found.len();
                found.extend(reader.ops_where(
                    &format!("{SETTLED} AND o.state IN ({}) {LATEST} LIMIT ?3", words(&settled)),
                    params![before, before_seq, sql(room)],
                )?);
            }
            Ok(found)
        })
    }

    fn ops_where(&self, condition: &str, parameters: &[&dyn rusqlite::ToSql]) -> Result<Vec<Op>> {
        let mut select = self.connection.prepare_cached(&format!(
            "SELECT {} FROM main.ops o JOIN main.collections c ON c.id = o.collection WHERE {condition}",
            ops::COLUMNS
        ))?;
        Ok(readable(select.query_map(parameters, ops::read)?)?)
    }

    pub fn op(&mut self, seq: Seq) -> Result<Option<Op>, StoreError> {
        self.look("reading a change", |reader| Ok(reader.ops_where("o.seq = ?1", params![seq.0])?.pop()))
    }

    /// The op queued under an id, whatever became of it.
    pub fn op_by_id(&mut self, op_id: crate::model::ids::OpId) -> Result<Option<Op>, StoreError> {
        self.look("reading a change", |reader| Ok(reader.ops_where("o.op_id = ?1", params![op_id.to_string()])?.pop()))
    }

    /// How many edits the server has acknowledged since then.
    pub fn sent_since(&mut self, since: Timestamp) -> Result<u64, StoreError> {
        self.look("counting what was sent", |reader| {
            let n: i64 = reader
                .connection
                .prepare_cached("SELECT count(*) FROM main.ops WHERE settled_at >= ?1 AND state = 'acked'")?
                .query_row([since.0], |row| row.get(0))?;
            Ok(u64::try_from(n).unwrap_or(0))
        })
    }

    pub fn counts(&mut self) -> Result<OutboxCounts, StoreError> {
        self.look("counting the outbox", |reader| {
            let mut select =
                reader.connection.prepare_cached("SELECT state, sum(n) FROM main.op_counts GROUP BY state")?;
            let mut rows = select.query([])?;
            let mut counts = OutboxCounts::default();
            while let Some(row) = rows.next()? {
                let n = u64::try_from(row.get::<_, i64>(1).unwrap_or(0)).unwrap_or(0);
                match OpState::parse(&row.get::<_, String>(0).unwrap_or_default()) {
                    Some(OpState::Queued) => counts.queued = n,
                    Some(OpState::Held) => counts.held = n,
                    Some(OpState::Blocked) => counts.blocked = n,
                    Some(OpState::InFlight) => counts.in_flight = n,
                    Some(OpState::InDoubt) => counts.in_doubt = n,
                    Some(OpState::Auth) => counts.auth = n,
                    Some(OpState::Conflict) => counts.conflict = n,
                    Some(OpState::Rejected) => counts.rejected = n,
                    Some(OpState::Acked | OpState::Superseded | OpState::Discarded) | None => {}
                }
            }
            Ok(counts)
        })
    }

    /// What may not be brought back yet, and what was not looked at since (see [`crate::store::Store::settle_guarded`]).
    pub fn guards(&mut self) -> Result<Vec<LateOriginal>, StoreError> {
        self.look("reading the guards", |reader| guards::all(&reader.connection))
    }

    /// Bytes of a day (see [`crate::model::spend::day_of`]).
    pub fn spent(&mut self, day: i64) -> Result<Vec<SpentRow>, StoreError> {
        self.look("reading the bytes of a day", |reader| spent::of_day(&reader.connection, day))
    }

    /// Since when the user keeps this data dir off the network.
    pub fn forced_offline(&mut self) -> Result<Option<Timestamp>, StoreError> {
        self.look("reading the switches", |reader| spent::forced_offline(&reader.connection))
    }

    /// Who is signed in where, and what waits for others there.
    pub fn accounts(&mut self) -> Result<Vec<(SourceName, Account)>, StoreError> {
        self.look("reading the accounts", |reader| accounts::all(&reader.connection))
    }

    /// Open conflicts, oldest first; `resolved` adds the settled ones.
    pub fn conflicts(&mut self, resolved: bool) -> Result<Vec<Conflict>, StoreError> {
        self.look("reading the conflicts", |reader| {
            let mut select = reader.connection.prepare_cached(&format!(
                "SELECT {} FROM main.conflicts f JOIN main.collections c ON c.id = f.collection \
                 WHERE (?1 OR f.resolved_at IS NULL) ORDER BY f.resolved_at IS NOT NULL, f.id",
                conflicts::COLUMNS
            ))?;
            Ok(readable(select.query_map([resolved], conflicts::read)?)?)
        })
    }

    pub fn conflict(&mut self, id: i64) -> Result<Option<Conflict>, StoreError> {
        self.look("reading a conflict", |reader| conflicts::find(&reader.connection, id))
    }

    pub(super) fn open_conflict(&self, journal: i64, key: &[u8]) -> Result<Option<Conflict>> {
        Ok(self
            .connection
            .prepare_cached(&format!(
                "SELECT {} FROM main.conflicts f JOIN main.collections c ON c.id = f.collection \
                 WHERE f.collection = ?1 AND f.key = ?2 AND f.resolved_at IS NULL ORDER BY f.id LIMIT 1",
                conflicts::COLUMNS
            ))?
            .query_row((journal, key), conflicts::read)
            .optional()
            // A conflict that cannot be read is not shown beside its record; `doctor` names it.
            .or_else(|error| match error {
                rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::Utf8Error(..) => Ok(None),
                error => Err(error),
            })?)
    }

    /// Records whose oldest op may go now (`queued` or `in_doubt`, its time come), in order of that op, with their whole
    /// chains. `exclude` are records already being worked on.
    pub fn ready(
        &mut self,
        source: &SourceName,
        now: Timestamp,
        exclude: &[RecordKey],
        limit: usize,
    ) -> Result<Vec<Chain>, StoreError> {
        self.look("looking for changes to send", |reader| {
            let mut reach = limit;
            loop {
                let heads = reader.ready_heads(source, now, exclude, reach)?;
                let is_all = heads.len() < reach;
                let mut chains = Vec::new();
                for Head { collection, key, record, .. } in heads {
                    let ops = reader.chain_by_key(collection, &key)?;
                    // A head that cannot be decoded shows as rejected and is never sent.
                    let sendable = ops.first().is_some_and(|op| matches!(op.state, OpState::Queued | OpState::InDoubt));
                    if sendable {
                        let mirror = reader.mirror_collection(&record.collection)?.unwrap_or(-1);
                        let base = reader.base(mirror, &key)?;
                        chains.push(Chain { record, ops, base });
                    }
                    if chains.len() == limit {
                        break;
                    }
                }
                if is_all || chains.len() == limit {
                    return Ok(chains);
                }
                // Behind what cannot be decoded stands more.
                reach = reach.saturating_mul(4);
            }
        })
    }

    /// The first records whose head may go, in order of it.
    fn ready_heads(
        &self,
        source: &SourceName,
        now: Timestamp,
        exclude: &[RecordKey],
        limit: usize,
    ) -> Result<Vec<Head>> {
        let mut heads: Vec<Head> = Vec::new();
        for (collection, key) in self.collections_of(source)? {
            let own = exclude.iter().filter(|record| record.collection == key);
            let left_out: HashSet<&str> = own.map(|record| record.id.as_str()).collect();
            // One walk along the ready heads of a collection; those excluded are few.
            let mut select = self.connection.prepare_cached(READY)?;
            let mut rows = select.query(params![collection, now.0, sql(limit + exclude.len())])?;
            let mut taken = 0;
            while let Some(row) = rows.next()? {
                let id: String = row.get(2)?;
                if left_out.contains(id.as_str()) {
                    continue;
                }
                heads.push(Head { place: row.get(0)?, collection, key: row.get(1)?, record: key.record(id) });
                taken += 1;
                if taken == limit {
                    break;
                }
            }
        }
        heads.sort_by_key(|head| head.place);
        heads.truncate(limit);
        Ok(heads)
    }

    /// The chain of one record, whatever the state of its head; `None` where nothing is pending.
    pub fn chain(&mut self, record: &RecordKey) -> Result<Option<Chain>, StoreError> {
        self.look("reading the changes of a record", |reader| {
            let Some(journal) = reader.journal_collection(&record.collection)? else { return Ok(None) };
            let key = keys::of(&record.id);
            let ops = reader.chain_by_key(journal, &key)?;
            let mirror = reader.mirror_collection(&record.collection)?.unwrap_or(-1);
            let base = reader.base(mirror, &key)?;
            Ok((!ops.is_empty()).then(|| Chain { record: record.clone(), ops, base }))
        })
    }

    /// The earliest time at which an op that waits may go; `None` where none waits for a time.
    pub fn next_attempt(&mut self, source: &SourceName) -> Result<Option<Timestamp>, StoreError> {
        self.look("looking for the next attempt", |reader| {
            let mut earliest: Option<i64> = None;
            for (collection, _) in reader.collections_of(source)? {
                let at: Option<i64> =
                    reader.connection.prepare_cached(NEXT)?.query_row([collection], |row| row.get(0))?;
                earliest = match (earliest, at) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
            Ok(earliest.map(Timestamp))
        })
    }

    pub(super) fn collections_of(&self, source: &SourceName) -> Result<Vec<(i64, CollectionKey)>> {
        let mut select = self.connection.prepare_cached("SELECT id, name FROM main.collections WHERE source = ?1")?;
        let found = select.query_map([source.as_str()], |row| {
            Ok((row.get(0)?, CollectionKey::new(source.clone(), row.get::<_, String>(1)?)))
        })?;
        Ok(readable(found)?)
    }
}

fn words(states: &[OpState]) -> String {
    let quoted: Vec<String> = states.iter().map(|state| format!("'{}'", state.word())).collect();
    quoted.join(", ")
}
