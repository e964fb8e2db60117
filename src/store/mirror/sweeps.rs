//! Sweeps: a complete walk over a collection proves what is gone. Nothing is deleted before it is complete.
//!
//! A row counts as seen where it was written since the sweep began (by a page of it, or by an acknowledgement, which
//! proves as much), or where `seen` names it.

use std::collections::HashSet;

use rusqlite::OptionalExtension;

use crate::{
    model::{
        ids::{CollectionKey, RecordId},
        record::Buried,
        time::Timestamp,
    },
    store::{
        Applied, Missing,
        error::Result,
        mirror::{
            Mirror,
            pages::{self, Burial},
        },
    },
};

const UNSEEN: &str = "FROM records r WHERE r.collection = ?1 AND r.change <= ?3 AND r.key > ?4 AND NOT EXISTS \
     (SELECT 1 FROM seen s WHERE s.collection = ?1 AND s.sweep = ?2 AND s.key = r.key)";

/// A sweep begins: what is here now and is not met by it is missing. Its pages may come over several runs of the program.
pub(in crate::store) fn begin(mirror: &Mirror, collection: i64, sweep: i64) -> Result<()> {
    let after = mirror.new_change()?;
    // An earlier sweep that was given up proves nothing any more.
    mirror.connection.prepare_cached("DELETE FROM sweeps WHERE collection = ?1")?.execute([collection])?;
    mirror.connection.prepare_cached("DELETE FROM seen WHERE collection = ?1")?.execute([collection])?;
    mirror
        .connection
        .prepare_cached("INSERT INTO sweeps (collection, sweep, after) VALUES (?1, ?2, ?3)")?
        .execute((collection, sweep, after))?;
    Ok(())
}

/// Where it was not noted that a sweep begins, it begins with its first page.
pub(in crate::store) fn begin_at_last(mirror: &Mirror, collection: i64, sweep: i64) -> Result<()> {
    match after(mirror, collection, sweep)? {
        Some(_) => Ok(()),
        None => begin(mirror, collection, sweep),
    }
}

pub(in crate::store) fn see(mirror: &Mirror, collection: i64, sweep: i64, key: &[u8]) -> Result<()> {
    mirror
        .connection
        .prepare_cached("INSERT OR IGNORE INTO seen (collection, sweep, key) VALUES (?1, ?2, ?3)")?
        .execute((collection, sweep, key))?;
    Ok(())
}

/// The server has the row as it is here: whatever sweep goes on has seen it.
pub(in crate::store) fn see_always(mirror: &Mirror, collection: i64, key: &[u8]) -> Result<()> {
    mirror
        .connection
        .prepare_cached(
            "INSERT OR IGNORE INTO seen (collection, sweep, key) \
             SELECT collection, sweep, ?2 FROM sweeps WHERE collection = ?1",
        )?
        .execute((collection, key))?;
    Ok(())
}

fn after(mirror: &Mirror, collection: i64, sweep: i64) -> Result<Option<i64>> {
    Ok(mirror
        .connection
        .prepare_cached("SELECT after FROM sweeps WHERE collection = ?1 AND sweep = ?2")?
        .query_row((collection, sweep), |row| row.get(0))
        .optional()?)
}

pub(in crate::store) fn missing(mirror: &Mirror, key: &CollectionKey, sweep: i64) -> Result<Missing> {
    let collection = mirror.collection(key)?;
    let rows: i64 =
        mirror.connection.query_row("SELECT rows FROM collections WHERE id = ?1", [collection], |row| row.get(0))?;
    let after = match after(mirror, collection, sweep)? {
        Some(after) => after,
        // The first sweep there ever was met no row: what is here was acknowledged since it began.
        None if sweep <= 1 => return Ok(Missing { rows: unsigned(rows), ..Missing::default() }),
        // A sweep of an emptied collection has no page with rows and saw nothing: everything is missing.
        None => i64::MAX,
    };
    let parameters = (collection, sweep, after, &[][..] as &[u8]);
    let missing: i64 =
        mirror.connection.query_row(&format!("SELECT count(*) {UNSEEN}"), parameters, |row| row.get(0))?;
    let mut select = mirror.connection.prepare(&format!("SELECT r.id {UNSEEN} ORDER BY r.key LIMIT 25"))?;
    let sample = select.query_map(parameters, |row| Ok(RecordId(row.get(0)?)))?.collect::<rusqlite::Result<_>>()?;
    Ok(Missing { missing: unsigned(missing), rows: unsigned(rows), sample })
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// One step of the deletion: at most `limit` rows from `from`. Answers where to go on, `None` at the end.
pub(in crate::store) fn finish_part(
    mirror: &Mirror,
    key: &CollectionKey,
    sweep: i64,
    keep: &HashSet<RecordId>,
    from: &[u8],
    limit: usize,
    at: Timestamp,
) -> Result<(Applied, Option<Vec<u8>>)> {
    let collection = mirror.collection(key)?;
    let watch = mirror.watch(key)?;
    let after = after(mirror, collection, sweep)?.unwrap_or(i64::MAX);
    let mut select = mirror.connection.prepare_cached(&format!(
        "SELECT r.change, r.key, r.id, r.revision, r.body {UNSEEN} ORDER BY r.key LIMIT {limit}"
    ))?;
    let rows = select
        .query_map((collection, sweep, after, from), |row| {
            let burial = Burial { id: RecordId(row.get(2)?), revision: row.get(3)?, body: row.get(4)?, gone: true };
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?, burial))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let next = (rows.len() == limit).then(|| rows.last().map(|(_, key, _)| key.clone())).flatten();
    let mut applied = Applied { changed: Some(Vec::new()), ..Applied::default() };
    let mut doomed = Vec::new();
    for (change, row_key, burial) in rows {
        if keep.contains(&burial.id) {
            continue;
        }
        if watch.protects(&row_key)? {
            mirror.keep_vanished(change, at)?;
            applied.protected.push(burial.id);
            continue;
        }
        mirror.remove(change)?;
        applied.deleted += 1;
        if let Some(named) = &mut applied.changed {
            named.push(burial.id.clone());
        }
        doomed.push(burial);
    }
    // Durable in the vault before this transaction commits.
    pages::bury_all(mirror, key, &doomed, at)?;
    mirror.count(collection, -i64::try_from(applied.deleted).unwrap_or(0))?;
    if next.is_none() {
        mirror.connection.execute("DELETE FROM sweeps WHERE collection = ?1", [collection])?;
        mirror.connection.execute("DELETE FROM seen WHERE collection = ?1", [collection])?;
    }
    Ok((applied, next))
}

/// Deletes rows that are gone on the server and whose ops are not pending any more, `limit` at most.
pub(in crate::store) fn bury_vanished(
    mirror: &Mirror,
    key: &CollectionKey,
    limit: usize,
    at: Timestamp,
) -> Result<Buried> {
    let mut select = mirror.connection.prepare_cached(
        "SELECT r.change, r.key, r.id, r.revision, r.body FROM vanished v JOIN records r ON r.change = v.change \
         WHERE r.collection = ?1 ORDER BY v.change",
    )?;
    let collection = mirror.collection(key)?;
    let watch = mirror.watch(key)?;
    let mut buried = Buried::default();
    let mut doomed = Vec::new();
    let mut rows = select.query([collection])?;
    while let Some(row) = rows.next()? {
        if watch.protects(&row.get::<_, Vec<u8>>(1)?)? {
            buried.stays = true;
            continue;
        }
        if doomed.len() == limit {
            buried.more = true;
            break;
        }
        let burial = Burial { id: RecordId(row.get(2)?), revision: row.get(3)?, body: row.get(4)?, gone: true };
        doomed.push((row.get::<_, i64>(0)?, burial));
    }
    drop(rows);
    for (change, _) in &doomed {
        mirror.remove(*change)?;
    }
    let bodies: Vec<Burial> = doomed.into_iter().map(|(_, burial)| burial).collect();
    // Durable in the vault before this transaction commits.
    pages::bury_all(mirror, key, &bodies, at)?;
    mirror.count(collection, -i64::try_from(bodies.len()).unwrap_or(0))?;
    Ok(Buried { deleted: bodies.len() as u64, ..buried })
}
