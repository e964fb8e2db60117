//! How rows differ from a window of the collection as the server has it. Reads only: what differs is fetched again and
//! comes in like anything else, behind the same guards.

use std::collections::HashMap;

use crate::{
    model::{
        ids::{CollectionKey, RecordId},
        window::{KeyWindow, NAMED, WindowDifference, WindowSize},
        wire::{RemoteRecord, Stamps},
    },
    store::{
        error::Result,
        keys,
        mirror::{Mirror, pages},
        sql,
    },
};

/// What a row costs beside its text.
const ROW: u64 = 8;

pub(in crate::store) fn compare(mirror: &Mirror, window: &KeyWindow) -> Result<WindowDifference> {
    let collection = mirror.collection(&window.collection)?;
    let stamps = window.stamp.clone().map(|field| Stamps { field, hold: false });
    let mut there: HashMap<Vec<u8>, &RemoteRecord> =
        window.records.iter().map(|record| (keys::of(&record.id), record)).collect();
    let mut found = WindowDifference { rows: rows(mirror, &window.collection)?, ..WindowDifference::default() };
    let from = window.after.as_ref().map(keys::of).unwrap_or_default();
    let to = window.until.as_ref().map(keys::of);
    let mut select = mirror.connection.prepare_cached(
        "SELECT key, id, body FROM records WHERE collection = ?1 AND key > ?2 AND (?3 IS NULL OR key <= ?3) ORDER BY key",
    )?;
    let mut here = select.query((collection, &from, &to))?;
    while let Some(row) = here.next()? {
        let id = || Ok::<_, rusqlite::Error>(RecordId(row.get(1)?));
        let Some(record) = there.remove(&row.get::<_, Vec<u8>>(0)?) else {
            found.extra_count += 1;
            if found.extra.len() < NAMED {
                found.extra.push(id()?);
            }
            continue;
        };
        let body = row.get_ref(2)?.as_str().unwrap_or_default();
        if pages::is_same(body, &record.text) {
            continue;
        }
        found.older_count += u64::from(stamps.as_ref().is_some_and(|stamps| stamps.went_back(body, &record.text)));
        if found.differing.len() < NAMED {
            found.differing.push(id()?);
        }
    }
    found.missing = there.into_values().map(|record| record.id.clone()).collect();
    found.missing.sort();
    found.next = next(mirror, collection, to.as_deref(), window.next)?;
    Ok(found)
}

fn rows(mirror: &Mirror, key: &CollectionKey) -> Result<u64> {
    let rows: i64 = mirror
        .connection
        .prepare_cached("SELECT rows FROM collections WHERE source = ?1 AND name = ?2")?
        .query_row([key.source.as_str(), key.collection.as_str()], |row| row.get(0))?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// As many rows behind `after` as fit, one at least.
fn next(mirror: &Mirror, collection: i64, after: Option<&[u8]>, most: WindowSize) -> Result<WindowSize> {
    let mut select = mirror.connection.prepare_cached(
        "SELECT length(body) + length(id) FROM records WHERE collection = ?1 AND key > ?2 ORDER BY key LIMIT ?3",
    )?;
    let mut size = WindowSize::default();
    let mut lengths = select.query((collection, after.unwrap_or_default(), sql(most.rows)))?;
    while let Some(row) = lengths.next()? {
        let bytes = size.bytes + u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0) + ROW;
        if size.rows > 0 && bytes > most.bytes {
            break;
        }
        size = WindowSize { rows: size.rows + 1, bytes };
    }
    Ok(WindowSize { rows: size.rows.max(1), ..size })
}
