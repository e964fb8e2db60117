//! Guards against late originals: see `sync::late`. Written with the settle that ends a doubt, so that no crash lies
//! between the two.

use rusqlite::params;

use crate::{
    model::{
        ids::{CollectionKey, RecordKey},
        op::{LateOriginal, Precondition},
        time::Timestamp,
    },
    store::{
        error::Result,
        journal::{Journal, Place, ops},
        reader::readable,
    },
};

pub(in crate::store) fn keep(journal: &Journal, guard: &LateOriginal) -> Result<()> {
    let place = journal.place(&guard.record)?;
    journal
        .connection
        .prepare_cached(
            "INSERT INTO guards (collection, key, record, precondition, content, until) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (collection, key, precondition) \
             DO UPDATE SET content = excluded.content, until = max(until, excluded.until)",
        )?
        .execute(params![
            place.collection,
            place.key,
            place.id.as_str(),
            serde_json::to_string(&guard.precondition).expect("preconditions are plain JSON"),
            ops::text_of(guard.content.as_ref()),
            guard.until.0,
        ])?;
    Ok(())
}

/// The record was read at or after `until`.
pub(in crate::store) fn end(journal: &Journal, record: &RecordKey, until: Timestamp) -> Result<()> {
    let place = journal.place(record)?;
    journal
        .connection
        .prepare_cached("DELETE FROM guards WHERE collection = ?1 AND key = ?2 AND until <= ?3")?
        .execute(params![place.collection, place.key, until.0])?;
    Ok(())
}

/// A request that got no answer may still arrive and make the record.
pub(in crate::store) fn awaits_creation(journal: &Journal, place: &Place) -> Result<bool> {
    let mut select = journal
        .connection
        .prepare_cached("SELECT 1 FROM guards WHERE collection = ?1 AND key = ?2 AND content IS NULL")?;
    Ok(select.exists(params![place.collection, place.key])?)
}

/// All of them, also those whose time is over: their records were not read since.
pub(in crate::store) fn all(connection: &rusqlite::Connection) -> Result<Vec<LateOriginal>> {
    let mut select = connection.prepare_cached(
        "SELECT c.source, c.name, g.record, g.precondition, g.content, g.until \
         FROM main.guards g JOIN main.collections c ON c.id = g.collection ORDER BY g.id",
    )?;
    let found = select.query_map([], |row| {
        let collection = CollectionKey::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?);
        let record = collection.record(row.get::<_, String>(2)?);
        let precondition: Option<Precondition> = ops::json(row.get(3)?);
        let content = ops::json(row.get(4)?);
        let until = Timestamp(row.get(5)?);
        Ok(precondition.map(|precondition| LateOriginal { record, precondition, content, until }))
    })?;
    Ok(readable(found)?.into_iter().flatten().collect())
}
