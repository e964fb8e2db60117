//! Session rows: slices of the screen's state, and which start may write them.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    model::{
        ids::SessionName,
        session::{Aside, MomentKind, SavedSession, Slice, UiCommit},
        time::Timestamp,
    },
    store::{
        error::Result,
        journal::{Journal, activity, drafts, moments},
    },
};

/// So many starts in a row that showed nothing, the first within [`LOOP_SPAN`] milliseconds: their screen is set aside.
const LOOP_STARTS: usize = 3;
const LOOP_SPAN: i64 = 60_000;

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

/// Opens a session for writing: what was saved, as far as it may be used, and its generation raised.
pub(in crate::store) fn begin(journal: &Journal, session: &SessionName, fresh: bool) -> Result<SavedSession> {
    let at = journal.now_wall();
    let mut found = saved(&journal.connection, session)?;
    let mut tries = tries(journal, session)?;
    let is_looping = is_crash_loop(&tries);
    let starts = tries.len();
    if is_looping {
        tries.clear();
    }
    tries.push(at.0);
    tries.drain(..tries.len().saturating_sub(LOOP_STARTS));
    let generation: i64 = journal
        .connection
        .prepare_cached(
            "INSERT INTO sessions (name, generation, opened_at, tries) VALUES (?1, 1, ?2, ?3) \
             ON CONFLICT (name) DO UPDATE SET generation = generation + 1, opened_at = excluded.opened_at, \
             closed_at = NULL, tries = excluded.tries RETURNING generation",
        )?
        .query_row(params![session.as_str(), at.0, serde_json::json!(tries).to_string()], |row| row.get(0))?;
    let kind = if is_looping { MomentKind::Aside } else { MomentKind::Start };
    let moment = moments::keep(journal, session, kind, &found, at)?;
    if is_looping {
        found.aside = Some(Aside { starts, moment });
    }
    if fresh || is_looping {
        // They stay in the moment just kept.
        journal.connection.execute("DELETE FROM slices WHERE session = ?1", [session.as_str()])?;
        found.slices.clear();
    }
    journal.generations.borrow_mut().insert(session.clone(), generation);
    Ok(found)
}

/// When the starts began that showed nothing since the last one that worked. What cannot be read is none.
fn tries(journal: &Journal, session: &SessionName) -> Result<Vec<i64>> {
    let found: Option<String> = journal
        .connection
        .prepare_cached("SELECT tries FROM sessions WHERE name = ?1")?
        .query_row([session.as_str()], |row| Ok(row.get(0).ok()))
        .optional()?
        .flatten();
    Ok(found.and_then(|tries| serde_json::from_str(&tries).ok()).unwrap_or_default())
}

/// The last three starts came within a minute and showed nothing (R10), however long ago that was.
fn is_crash_loop(tries: &[i64]) -> bool {
    let Some(first) = tries.len().checked_sub(LOOP_STARTS) else { return false };
    let span = tries[tries.len() - 1] - tries[first];
    (0..LOOP_SPAN).contains(&span)
}

/// The start works: it ran for a while, or painted what a key led to.
pub(in crate::store) fn prove_start(journal: &Journal, session: &SessionName) -> Result<()> {
    journal
        .connection
        .prepare_cached("UPDATE sessions SET tries = '[]' WHERE name = ?1")?
        .execute([session.as_str()])?;
    Ok(())
}

/// Keeps what is saved now as an earlier moment, or the slices given: a screen that is about to be replaced.
pub(in crate::store) fn keep_moment(
    journal: &Journal,
    session: &SessionName,
    kind: MomentKind,
    slices: Option<&[Slice]>,
) -> Result<Option<i64>> {
    let at = journal.now_wall();
    let found = match slices {
        Some(slices) => SavedSession { slices: slices.to_vec(), saved_at: Some(at), ..SavedSession::default() },
        None => saved(&journal.connection, session)?,
    };
    moments::keep(journal, session, kind, &found, at)
}

pub(in crate::store) fn end(journal: &Journal, session: &SessionName) -> Result<()> {
    let at = journal.now_wall();
    let known = journal.generations.borrow().get(session).copied();
    journal.connection.execute(
        "UPDATE sessions SET closed_at = ?2, tries = '[]' WHERE name = ?1 AND (?3 IS NULL OR generation = ?3)",
        params![session.as_str(), at.0, known],
    )?;
    Ok(())
}

/// The name of the row in `meta`.
const CHOSEN: &str = "chosen_session";

/// Makes it the session that a start without a name opens.
pub(in crate::store) fn choose(journal: &Journal, session: &SessionName) -> Result<()> {
    let mut put = journal.connection.prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?;
    put.execute([CHOSEN, session.as_str()])?;
    Ok(())
}

/// What [`choose`] said last, as long as there is such a session.
pub(in crate::store) fn chosen(connection: &Connection) -> Result<Option<SessionName>> {
    let found = connection
        .prepare_cached("SELECT name FROM sessions WHERE name = (SELECT value FROM meta WHERE name = ?1)")?
        .query_row([CHOSEN], |row| Ok(SessionName(row.get(0)?)))
        .optional()?;
    Ok(found)
}

pub(in crate::store) fn delete(journal: &Journal, session: &SessionName) -> Result<bool> {
    let name = [session.as_str()];
    let mut deleted = journal.connection.execute("DELETE FROM slices WHERE session = ?1", name)?;
    deleted += journal.connection.execute("DELETE FROM generations WHERE session = ?1", name)?;
    deleted += journal.connection.execute("DELETE FROM sessions WHERE name = ?1", name)?;
    journal.generations.borrow_mut().remove(session);
    Ok(deleted > 0)
}

/// Gives a session another name, its moments with it. False where there is none of the old name or one of the new.
pub(in crate::store) fn rename(journal: &Journal, from: &SessionName, to: &SessionName) -> Result<bool> {
    if !exists(journal, from)? || exists(journal, to)? {
        return Ok(false);
    }
    let names = [from.as_str(), to.as_str()];
    for sql in [
        "DELETE FROM slices WHERE session = ?2",
        "UPDATE slices SET session = ?2 WHERE session = ?1",
        "UPDATE generations SET session = ?2 WHERE session = ?1",
        "UPDATE sessions SET name = ?2 WHERE name = ?1",
        "UPDATE meta SET value = ?2 WHERE name = 'chosen_session' AND value = ?1",
    ] {
        journal.connection.execute(sql, names)?;
    }
    let mut generations = journal.generations.borrow_mut();
    if let Some(generation) = generations.remove(from) {
        generations.insert(to.clone(), generation);
    }
    Ok(true)
}

/// Makes a session of the present screen of another one; its moments stay there. False as with [`rename`].
pub(in crate::store) fn copy(journal: &Journal, from: &SessionName, to: &SessionName) -> Result<bool> {
    if !exists(journal, from)? || exists(journal, to)? {
        return Ok(false);
    }
    let at = journal.now_wall();
    journal.connection.execute(
        "INSERT INTO sessions (name, generation, opened_at, closed_at) VALUES (?1, 1, ?2, ?2)",
        params![to.as_str(), at.0],
    )?;
    journal.connection.execute("DELETE FROM slices WHERE session = ?1", [to.as_str()])?;
    journal.connection.execute(
        "INSERT INTO slices (session, name, version, generation, saved_at, body) \
         SELECT ?2, name, version, 1, saved_at, body FROM slices WHERE session = ?1",
        [from.as_str(), to.as_str()],
    )?;
    Ok(true)
}

fn exists(journal: &Journal, session: &SessionName) -> Result<bool> {
    Ok(journal.connection.prepare_cached("SELECT 1 FROM sessions WHERE name = ?1")?.exists([session.as_str()])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_quick_starts_that_showed_nothing_are_a_loop() {
        assert!(is_crash_loop(&[60_000, 70_000, 80_000]));
        assert!(!is_crash_loop(&[70_000, 80_000]), "two may be bad luck");
        assert!(!is_crash_loop(&[10_000, 70_000, 80_000]), "that took more than a minute");
        assert!(!is_crash_loop(&[200_000, 70_000, 80_000]), "the clock was set back");
    }
}
