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
        keys,
        mirror::{
            Mirror,
            pages::{self, Burial},
        },
    },
};

/// Rows that vanished one transaction looks through.
const LOOKED: usize = 2_000;
/// So many are deleted in one pass over them. Of more a reading is made, whose guard asks.
const FEW: u64 = 25;

/// In this order of tables: there are few of the one, and may be a million of the other.
pub(in crate::store) const VANISHED: &str = "SELECT r.change, r.key, r.id, r.revision, r.body FROM vanished v \
     CROSS JOIN records r ON r.change = v.change WHERE v.change > ?2 AND r.collection = ?1 ORDER BY v.change";

const UNSEEN: &str = "FROM records r WHERE r.collection = ?1 AND r.change <= ?3 AND r.key > ?4 AND NOT EXISTS \
     (SELECT 1 FROM seen s WHERE s.collection = ?1 AND s.sweep = ?2 AND s.key = r.key)";

/// A sweep begins: what is here now and is not met by it is missing, except `newer`, which was acknowledged since this was
/// asked for. Its pages may come over several runs of the program.
pub(in crate::store) fn begin(mirror: &Mirror, collection: i64, sweep: i64, newer: &HashSet<RecordId>) -> Result<()> {
    let after = mirror.new_change()?;
    // An earlier sweep that was given up proves nothing any more.
    mirror.connection.prepare_cached("DELETE FROM sweeps WHERE collection = ?1")?.execute([collection])?;
    mirror.connection.prepare_cached("DELETE FROM seen WHERE collection = ?1")?.execute([collection])?;
    mirror
        .connection
        .prepare_cached("INSERT INTO sweeps (collection, sweep, after) VALUES (?1, ?2, ?3)")?
        .execute((collection, sweep, after))?;
    newer.iter().try_for_each(|id| see(mirror, collection, sweep, &keys::of(id)))
}

/// False for one that was given up since, or whose beginning could not be noted: what it met and missed proves nothing.
pub(in crate::store) fn is_current(mirror: &Mirror, collection: i64, sweep: i64) -> Result<bool> {
    Ok(after(mirror, collection, sweep)?.is_some())
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
    let rows = rows_of(mirror, collection)?;
    let Some(after) = after(mirror, collection, sweep)? else {
        return Ok(Missing { rows: unsigned(rows), is_unproved: true, ..Missing::default() });
    };
    let parameters = (collection, sweep, after, &[][..] as &[u8]);
    let missing: i64 =
        mirror.connection.query_row(&format!("SELECT count(*) {UNSEEN}"), parameters, |row| row.get(0))?;
    let mut select = mirror.connection.prepare(&format!("SELECT r.id {UNSEEN} ORDER BY r.key LIMIT 25"))?;
    let sample = select.query_map(parameters, |row| Ok(RecordId(row.get(0)?)))?.collect::<rusqlite::Result<_>>()?;
    Ok(Missing { missing: unsigned(missing), rows: unsigned(rows), sample, is_unproved: false })
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
    let mut applied = Applied { changed: Some(Vec::new()), ..Applied::default() };
    // Asked for before another sweep began: what that one is to see is not known yet.
    let Some(after) = after(mirror, collection, sweep)? else { return Ok((applied, None)) };
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
    let mut doomed = Vec::new();
    for (change, row_key, burial) in rows {
        if keep.contains(&burial.id) {
            mirror.found(change)?;
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

/// Looks through rows that vanished behind `after`, `LOOKED` at most, and deletes those whose ops are not pending any more.
/// `deleted` were so in parts before. As soon as they are more than a few, or all there is, none of this part is.
pub(in crate::store) fn bury_vanished(
    mirror: &Mirror,
    key: &CollectionKey,
    after: i64,
    deleted: u64,
    at: Timestamp,
) -> Result<Buried> {
    let collection = mirror.collection(key)?;
    let watch = mirror.watch(key)?;
    let mut select = mirror.connection.prepare_cached(VANISHED)?;
    let mut buried = Buried::default();
    let (mut looked, mut last) = (0, after);
    let mut doomed = Vec::new();
    let mut rows = select.query((collection, after))?;
    while let Some(row) = rows.next()? {
        if looked == LOOKED {
            buried.next = Some(last);
            break;
        }
        (looked, last) = (looked + 1, row.get(0)?);
        if watch.protects(&row.get::<_, Vec<u8>>(1)?)? {
            buried.stays = true;
            continue;
        }
        let burial = Burial { id: RecordId(row.get(2)?), revision: row.get(3)?, body: row.get(4)?, gone: true };
        doomed.push((last, burial));
        // Nobody needs the texts of the others.
        if deleted + doomed.len() as u64 > FEW {
            return Ok(Buried { many: true, ..Buried::default() });
        }
    }
    drop(rows);
    let (changes, bodies): (Vec<i64>, Vec<Burial>) = doomed.into_iter().unzip();
    let (count, here) = (bodies.len() as u64, unsigned(rows_of(mirror, collection)?));
    if count > 0 && count >= here {
        return Ok(Buried { many: true, ..Buried::default() });
    }
    changes.into_iter().try_for_each(|change| mirror.remove(change))?;
    // Durable in the vault before this transaction commits.
    pages::bury_all(mirror, key, &bodies, at)?;
    mirror.count(collection, -i64::try_from(count).unwrap_or(0))?;
    Ok(Buried { deleted: count, ..buried })
}

fn rows_of(mirror: &Mirror, collection: i64) -> Result<i64> {
    let mut select = mirror.connection.prepare_cached("SELECT rows FROM collections WHERE id = ?1")?;
    Ok(select.query_row([collection], |row| row.get(0))?)
}
