//! Session rows: slices of the screen's state, generations of them, and who may write.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    model::{
        ids::SessionName,
        session::{SavedSession, Slice, UiCommit},
        time::Timestamp,
    },
    store::{
        error::Result,
        journal::{Journal, activity, drafts},
    },
};

/// Generations kept per session.
const KEPT: i64 = 8;

/// The commit before a paint. Slices of a writer that a newer start has replaced are dropped; drafts never are.
pub(in crate::store) fn commit(journal: &Journal, session: &SessionName, commit: &UiCommit) -> Result<()> {
    let at = journal.now_wall();
    if !commit.slices.is_empty() {
        let generation = generation(journal, session)?;
        let mut upsert = journal.connection.prepare_cached(
            "INSERT INTO slices (session, name, version, generation, saved_at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (session, name) DO UPDATE SET version = excluded.version, generation = excluded.generation, \
             saved_at = excluded.saved_at, body = excluded.body WHERE slices.generation <= excluded.generation",
        )?;
        for slice in &commit.slices {
            upsert.execute(params![session.as_str(), slice.name, slice.version, generation, at.0, slice.body])?;
        }
    }
    for draft in &commit.drafts {
        drafts::write(journal, draft, at)?;
    }
    activity::note(journal, &commit.activity)
}

/// The generation this process writes with: from its `begin`, else the one on disk.
fn generation(journal: &Journal, session: &SessionName) -> Result<i64> {
    if let Some(known) = journal.generations.borrow().get(session) {
        return Ok(*known);
    }
    let found = journal
        .connection
        .prepare_cached("SELECT generation FROM sessions WHERE name = ?1")?
        .query_row([session.as_str()], |row| row.get(0))
        .optional()?;
    let generation = match found {
        Some(generation) => generation,
        None => {
            let at = journal.now_wall();
            journal.connection.execute(
                "INSERT INTO sessions (name, generation, opened_at) VALUES (?1, 1, ?2)",
                params![session.as_str(), at.0],
            )?;
            1
        }
    };
    journal.generations.borrow_mut().insert(session.clone(), generation);
    Ok(generation)
}

/// What is saved of a session. Also used by readers, hence the bare connection.
pub(in crate::store) fn saved(connection: &Connection, session: &SessionName) -> Result<SavedSession> {
    let mut select = connection
        .prepare_cached("SELECT name, version, body, saved_at FROM slices WHERE session = ?1 ORDER BY name")?;
    let mut rows = select.query([session.as_str()])?;
    let mut found = SavedSession::default();
    while let Some(row) = rows.next()? {
        // A slice that is not text any more is left out: its pane falls back alone.
        let (Ok(name), Ok(version), Ok(body)) = (row.get(0), row.get(1), row.get(2)) else { continue };
        found.saved_at = found.saved_at.max(Some(Timestamp(row.get(3).unwrap_or(0))));
        found.slices.push(Slice { name, version, body });
    }
    let closed: Option<Option<i64>> = connection
        .prepare_cached("SELECT closed_at FROM sessions WHERE name = ?1")?
        .query_row([session.as_str()], |row| row.get(0))
        .optional()?;
    // A session that never ran has nothing it could have left behind.
    found.closed_cleanly = closed.is_none_or(|at| at.is_some());
    Ok(found)
}

pub(in crate::store) fn begin(journal: &Journal, session: &SessionName, fresh: bool) -> Result<SavedSession> {
    let at = journal.now_wall();
    let mut found = saved(&journal.connection, session)?;
    let generation: i64 = journal
        .connection
        .prepare_cached(
            "INSERT INTO sessions (name, generation, opened_at) VALUES (?1, 1, ?2) \
             ON CONFLICT (name) DO UPDATE SET generation = generation + 1, opened_at = excluded.opened_at, \
             closed_at = NULL RETURNING generation",
        )?
        .query_row(params![session.as_str(), at.0], |row| row.get(0))?;
    if !found.slices.is_empty() {
        keep_generation(journal, session, generation - 1, "start", &found, at)?;
    }
    if fresh {
        // They stay in the generation just kept.
        journal.connection.execute("DELETE FROM slices WHERE session = ?1", [session.as_str()])?;
        found.slices.clear();
    }
    journal.generations.borrow_mut().insert(session.clone(), generation);
    Ok(found)
}

/// Keeps the present slices as an earlier moment, and the newest [`KEPT`] such moments.
pub(in crate::store) fn keep_generation(
    journal: &Journal,
    session: &SessionName,
    generation: i64,
    kind: &str,
    found: &SavedSession,
    at: Timestamp,
) -> Result<()> {
    let slices = serde_json::to_string(&found.slices).expect("slices are plain JSON");
    journal.connection.execute(
        "INSERT INTO generations (session, generation, kind, at, saved_at, slices) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![session.as_str(), generation, kind, at.0, found.saved_at.map(|at| at.0), slices],
    )?;
    journal.connection.execute(
        "DELETE FROM generations WHERE session = ?1 AND id NOT IN \
         (SELECT id FROM generations WHERE session = ?1 ORDER BY id DESC LIMIT ?2)",
        params![session.as_str(), KEPT],
    )?;
    Ok(())
}

pub(in crate::store) fn end(journal: &Journal, session: &SessionName) -> Result<()> {
    let at = journal.now_wall();
    let known = journal.generations.borrow().get(session).copied();
    journal.connection.execute(
        "UPDATE sessions SET closed_at = ?2 WHERE name = ?1 AND (?3 IS NULL OR generation = ?3)",
        params![session.as_str(), at.0, known],
    )?;
    Ok(())
}

pub(in crate::store) fn delete(journal: &Journal, session: &SessionName) -> Result<bool> {
    let name = [session.as_str()];
    let mut deleted = journal.connection.execute("DELETE FROM slices WHERE session = ?1", name)?;
    deleted += journal.connection.execute("DELETE FROM generations WHERE session = ?1", name)?;
    deleted += journal.connection.execute("DELETE FROM sessions WHERE name = ?1", name)?;
    journal.generations.borrow_mut().remove(session);
    Ok(deleted > 0)
}
