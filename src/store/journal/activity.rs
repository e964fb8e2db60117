//! The activity log: a bounded table.

use crate::{
    model::activity::Activity,
    store::{error::Result, journal::Journal},
};

/// Rows kept at most, about.
const KEPT: i64 = 10_000;

pub(in crate::store) fn note(journal: &Journal, activity: &[Activity]) -> Result<()> {
    if activity.is_empty() {
        return Ok(());
    }
    let mut insert = journal
        .connection
        .prepare_cached("INSERT INTO activity (at, severity, topic, text, hint) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for row in activity {
        insert.execute((row.at.0, row.severity.word(), &row.topic, &row.text, &row.hint))?;
    }
    let newest = journal.connection.last_insert_rowid();
    // A hundred at a time, so that most notes cost one row.
    if newest > KEPT && newest % 100 == 0 {
        journal.connection.prepare_cached("DELETE FROM activity WHERE id <= ?1")?.execute([newest - KEPT])?;
    }
    Ok(())
}
