//! The rules between the journal's tables, restored where that is safe: after a salvage, and for `doctor --repair`.
//!
//! Nothing here decides for the user: an edit goes back into the queue, where the server's own precondition judges it, or
//! stays where it is; a text that lost its place goes to the vault.

use rusqlite::OptionalExtension;

use crate::{
    model::{
        ids::{RecordId, Seq},
        op::OpState,
        time::Timestamp,
    },
    store::{
        error::Result,
        journal::{
            Journal, Place, conflicts, drafts, ops, shadow,
            vault::{self, VaultReason},
        },
        pending_states,
    },
};

/// What was mended, in rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mended {
    /// Edits whose state and time of settling contradicted each other.
    pub contradictions: u64,
    /// Edits in conflict whose conflict is lost: they are sent again, and the server tells it anew.
    pub requeued: u64,
    /// Conflicts whose edit does not wait for them: closed, their versions in the vault.
    pub closed: u64,
    /// Edits that were blocked, or not, against the order of their record.
    pub reordered: u64,
    /// Keys typed in drafts that stood in none, put into their place; those of a draft that is lost removed.
    pub typed: u64,
    /// Rows of the derived tables.
    pub derived: u64,
}

pub(in crate::store) fn mend(journal: &Journal, at: Timestamp) -> Result<Mended> {
    let mut mended = Mended { contradictions: agree_on_settling(journal, at)?, ..Mended::default() };
    mended.requeued = requeue_without_conflict(journal)?;
    mended.closed = close_without_op(journal, at)?;
    let states = "SELECT count(*) FROM ops WHERE state = 'blocked'";
    let blocked =
        |journal: &Journal| -> Result<i64> { Ok(journal.connection.query_row(states, [], |row| row.get(0))?) };
    let before = blocked(journal)?;
    for place in pending_places(journal)? {
        journal.settle_order(&place, at)?;
    }
    mended.reordered = blocked(journal)?.abs_diff(before);
    mended.typed = drafts::place_edits(journal)?;
    mended.derived = shadow::rebuild(journal)?;
    Ok(mended)
}

fn pending_places(journal: &Journal) -> Result<Vec<Place>> {
    let mut select =
        journal.connection.prepare("SELECT DISTINCT collection, key, record FROM ops WHERE settled_at IS NULL")?;
    let places = select
        .query_map([], |row| Ok(Place { collection: row.get(0)?, key: row.get(1)?, id: RecordId(row.get(2)?) }))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(places)
}

/// Pending is the state; the time of settling follows it.
fn agree_on_settling(journal: &Journal, at: Timestamp) -> Result<u64> {
    let pending: Vec<String> = pending_states().map(|word| format!("'{word}'")).collect();
    let pending = pending.join(", ");
    let waiting = journal.connection.execute(
        &format!("UPDATE ops SET settled_at = NULL WHERE settled_at IS NOT NULL AND state IN ({pending})"),
        [],
    )?;
    let done = journal.connection.execute(
        "UPDATE ops SET settled_at = ?1 WHERE settled_at IS NULL AND state IN ('acked', 'superseded', 'discarded')",
        [at.0],
    )?;
    Ok((waiting + done) as u64)
}

fn requeue_without_conflict(journal: &Journal) -> Result<u64> {
    let changed = journal.connection.execute(
        "UPDATE ops SET state = 'queued', next_attempt_at = NULL WHERE state = 'conflict' AND NOT EXISTS \
         (SELECT 1 FROM conflicts f WHERE f.seq = ops.seq AND f.resolved_at IS NULL)",
        [],
    )?;
    Ok(changed as u64)
}

fn close_without_op(journal: &Journal, at: Timestamp) -> Result<u64> {
    let mut select = journal.connection.prepare(
        "SELECT f.id, f.seq FROM conflicts f WHERE f.resolved_at IS NULL AND NOT EXISTS \
         (SELECT 1 FROM ops o WHERE o.seq = f.seq AND o.state = 'conflict')",
    )?;
    let lonely = select.query_map([], |row| Ok((row.get(0)?, Seq(row.get(1)?))))?;
    let lonely = lonely.collect::<rusqlite::Result<Vec<(i64, Seq)>>>()?;
    for (id, seq) in &lonely {
        let Some(conflict) = conflicts::find(&journal.connection, *id)? else { continue };
        let place = journal.place(&conflict.record)?;
        let sides = [
            (conflict.mine, None, VaultReason::LocalOverwritten),
            (conflict.theirs, conflict.theirs_revision, VaultReason::RemoteOverwritten),
        ];
        for (side, revision, reason) in sides {
            let Some(side) = side else { continue };
            let revision = revision.as_ref().map(crate::model::ids::Revision::as_str);
            vault::keep(journal, &place, &ops::text(&side), revision, reason, at)?;
        }
        conflicts::close(journal, *seq, None, at)?;
    }
    Ok(lonely.len() as u64)
}

/// Pending edits that cannot be told from damage: shown, never sent. For `doctor`.
pub(in crate::store) fn unreadable(connection: &rusqlite::Connection) -> Result<Vec<(i64, String)>> {
    let mut select = connection.prepare(&format!(
        "SELECT {} FROM main.ops o JOIN main.collections c ON c.id = o.collection WHERE o.settled_at IS NULL",
        ops::COLUMNS
    ))?;
    let mut rows = select.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let seq = row.get(0)?;
        match ops::read(row) {
            Err(error) => found.push((seq, error.to_string())),
            Ok(op) if op.state == OpState::Rejected => {
                let stored: Option<String> = row.get(6).optional().ok().flatten();
                if stored.as_deref() != Some(OpState::Rejected.word()) {
                    found.push((seq, op.last_error.map(|error| error.message).unwrap_or_default()));
                }
            }
            Ok(_) => {}
        }
    }
    Ok(found)
}

/// (table, column, rows): values that no ebbtide of this schema wrote.
pub(in crate::store) fn odd_values(connection: &rusqlite::Connection) -> Result<Vec<(String, String, i64)>> {
    let mut select = connection.prepare(
        "SELECT t.name, c.name, c.type, c.\"notnull\" FROM pragma_table_list t, pragma_table_info(t.name, 'main') c \
         WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite%'",
    )?;
    let columns = select.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, bool>(3)?))
    })?;
    let mut odd = Vec::new();
    for (table, column, kind, required) in columns.collect::<rusqlite::Result<Vec<_>>>()? {
        let null = if required { "''" } else { "'null'" };
        let sql = format!(
            "SELECT count(*) FROM main.\"{table}\" WHERE typeof(\"{column}\") NOT IN (lower('{kind}'), {null})"
        );
        let n: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
        if n > 0 {
            odd.push((table, column, n));
        }
    }
    Ok(odd)
}
