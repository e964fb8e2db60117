//! Wishes to the sync leader, left by any process.

use crate::{
    model::{sync_status::SyncRequest, time::Timestamp},
    store::{error::Result, journal::Journal},
};

pub(in crate::store) fn leave(journal: &Journal, request: &SyncRequest, at: Timestamp) -> Result<()> {
    let body = serde_json::to_string(request).expect("requests are plain JSON");
    // `OutboxChanged` says the same however often it is said.
    journal
        .connection
        .prepare_cached(
            "INSERT INTO requests (at, body) SELECT ?1, ?2 \
             WHERE NOT EXISTS (SELECT 1 FROM requests WHERE id = (SELECT max(id) FROM requests) AND body = ?2)",
        )?
        .execute((at.0, body))?;
    Ok(())
}

/// Takes all of them, oldest first. Ones of a newer ebbtide are dropped: this one could not carry them out.
pub(in crate::store) fn take(journal: &Journal) -> Result<Vec<SyncRequest>> {
    let mut select = journal.connection.prepare_cached("SELECT body FROM requests ORDER BY id")?;
    let bodies = select.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    if !bodies.is_empty() {
        journal.connection.prepare_cached("DELETE FROM requests")?.execute([])?;
    }
    Ok(bodies.iter().filter_map(|body| serde_json::from_str(body).ok()).collect())
}
