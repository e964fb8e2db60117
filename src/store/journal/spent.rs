//! Bytes by day, and switches of the user: small facts of a data dir.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{
    model::{
        ids::CollectionName,
        spend::{Spent, SpentRow},
        time::Timestamp,
    },
    store::{error::Result, journal::Journal, sql_bytes},
};

/// Days kept, today included.
const KEPT_DAYS: i64 = 31;

/// Adds to what is there, so that neither a second process nor a clock that was set writes a day over.
pub(in crate::store) fn add(journal: &Journal, rows: &[SpentRow]) -> Result<()> {
    let mut insert = journal.connection.prepare_cached(
        "INSERT INTO spent (day, source, collection, sent, received) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT DO UPDATE SET sent = sent + excluded.sent, received = received + excluded.received",
    )?;
    for row in rows {
        let collection = row.collection.as_ref().map_or("", CollectionName::as_str);
        let (sent, received) = (sql_bytes(row.spent.sent), sql_bytes(row.spent.received));
        insert.execute(params![row.day, row.source.as_str(), collection, sent, received])?;
    }
    if let Some(newest) = rows.iter().map(|row| row.day).max() {
        journal.connection.prepare_cached("DELETE FROM spent WHERE day <= ?1")?.execute([newest - KEPT_DAYS])?;
    }
    Ok(())
}

pub(in crate::store) fn of_day(connection: &Connection, day: i64) -> Result<Vec<SpentRow>> {
    let mut select = connection.prepare_cached(
        "SELECT source, collection, sent, received FROM main.spent WHERE day = ?1 ORDER BY source, collection",
    )?;
    let found = select.query_map([day], |row| {
        let collection: String = row.get(1)?;
        let bytes = |index| row.get::<_, i64>(index).map(|bytes| u64::try_from(bytes).unwrap_or(0));
        Ok(SpentRow {
            day,
            source: row.get::<_, String>(0)?.as_str().into(),
            collection: (!collection.is_empty()).then(|| collection.as_str().into()),
            spent: Spent { sent: bytes(2)?, received: bytes(3)? },
        })
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Since when the user keeps everything of this data dir off the network; `None`: not.
pub(in crate::store) fn force_offline(journal: &Journal, since: Option<Timestamp>) -> Result<()> {
    match since {
        Some(since) => journal
            .connection
            .prepare_cached("INSERT INTO switches (name, value) VALUES ('forced_offline', ?1) ON CONFLICT DO NOTHING")?
            .execute([since.0])?,
        None => journal.connection.prepare_cached("DELETE FROM switches WHERE name = 'forced_offline'")?.execute([])?,
    };
    Ok(())
}

pub(in crate::store) fn forced_offline(connection: &Connection) -> Result<Option<Timestamp>> {
    let since: Option<i64> = connection
        .prepare_cached("SELECT value FROM main.switches WHERE name = 'forced_offline'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(since.map(Timestamp))
}
