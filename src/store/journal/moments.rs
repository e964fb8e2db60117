//! Earlier moments of a session: kept at starts, before pauses and now and then, read back before they count, and fewer
//! of them the older they are.
//!
//! A moment that was never read back pushes no older one out: a save that went wrong must not cost a good one.

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest as _, Sha256};

use crate::{
    model::{
        ids::SessionName,
        session::{Moment, MomentKind, SavedSession, Slice},
        time::Timestamp,
    },
    store::{error::Result, journal::Journal, schema},
};

/// The newest moments of a session are all kept.
const NEWEST: usize = 16;
/// Of the starts among the older ones, at least this many stay whatever their age.
const STARTS: usize = 5;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Keeps the slices as an earlier moment and answers its number; nothing where there are none. The newest moment is not
/// kept a second time.
pub(in crate::store) fn keep(
    journal: &Journal,
    session: &SessionName,
    kind: MomentKind,
    found: &SavedSession,
    at: Timestamp,
) -> Result<Option<i64>> {
    if found.slices.is_empty() {
        return Ok(None);
    }
    let slices = serde_json::to_string(&found.slices).expect("slices are plain JSON");
    let digest = digest(&slices);
    let newest: Option<(i64, bool)> = journal
        .connection
        .prepare_cached("SELECT id, digest IS ?2 FROM generations WHERE session = ?1 ORDER BY id DESC LIMIT 1")?
        .query_row(params![session.as_str(), digest], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((id, true)) = newest {
        if kind == MomentKind::Aside {
            let sql = "UPDATE generations SET kind = ?2 WHERE id = ?1";
            journal.connection.execute(sql, params![id, kind.word()])?;
        }
        return Ok(Some(id));
    }
    journal
        .connection
        .prepare_cached(
            "INSERT INTO generations (session, generation, kind, at, saved_at, slices, digest) VALUES \
             (?1, coalesce((SELECT generation FROM sessions WHERE name = ?1), 0), ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![session.as_str(), kind.word(), at.0, found.saved_at.map(|at| at.0), slices, digest])?;
    Ok(Some(journal.connection.last_insert_rowid()))
}

/// Reads the moments back that were not yet, over a connection that has nothing of them in its memory, and then gives up
/// older ones. Answers how many could not be read as they were meant.
pub(in crate::store) fn prove(journal: &Journal, session: &SessionName) -> Result<usize> {
    let at = journal.now_wall();
    let fresh = schema::open_for_reading(&journal.files.journal())?;
    let mut bad = 0;
    for id in unproved(&fresh, session)? {
        if read(&fresh, id).ok().flatten().is_none() {
            bad += 1;
            continue;
        }
        let mut note = journal.connection.prepare_cached("UPDATE generations SET proved_at = ?2 WHERE id = ?1")?;
        note.execute(params![id, at.0])?;
    }
    let mut select = journal.connection.prepare_cached(
        "SELECT id, kind, coalesce(saved_at, at) FROM generations WHERE session = ?1 AND proved_at IS NOT NULL \
         AND typeof(kind) = 'text' AND typeof(coalesce(saved_at, at)) = 'integer' ORDER BY id DESC",
    )?;
    let proved = select
        .query_map([session.as_str()], |row| {
            let kind: String = row.get(1)?;
            Ok(Proved { id: row.get(0)?, is_start: kind == MomentKind::Start.word(), at: Timestamp(row.get(2)?) })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut delete = journal.connection.prepare_cached("DELETE FROM generations WHERE id = ?1")?;
    for id in superfluous(&proved, at) {
        delete.execute([id])?;
    }
    Ok(bad)
}

fn unproved(connection: &Connection, session: &SessionName) -> Result<Vec<i64>> {
    let mut select = connection.prepare("SELECT id FROM generations WHERE session = ?1 AND proved_at IS NULL")?;
    Ok(select.query_map([session.as_str()], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// What deciding about a moment takes.
#[derive(Debug, Clone, Copy)]
struct Proved {
    id: i64,
    is_start: bool,
    at: Timestamp,
}

/// The moments to give up, of those given newest first: of the last two days one an hour stays, of the last month one a
/// day, and nothing older, beside the newest ones and the last few starts.
fn superfluous(newest_first: &[Proved], now: Timestamp) -> Vec<i64> {
    let mut starts = 0;
    let mut slots = std::collections::BTreeSet::new();
    let mut gone = Vec::new();
    for (index, moment) in newest_first.iter().enumerate() {
        let age = now.0.saturating_sub(moment.at.0);
        let slot = match age {
            ..=172_800_000 => (0, moment.at.0.div_euclid(HOUR)),
            _ => (1, moment.at.0.div_euclid(DAY)),
        };
        let is_first_of_its_time = slots.insert(slot) && age <= 31 * DAY;
        starts += usize::from(moment.is_start);
        let is_late_start = moment.is_start && starts <= STARTS;
        if index >= NEWEST && !is_first_of_its_time && !is_late_start {
            gone.push(moment.id);
        }
    }
    gone
}

/// The moments of a session that can be read, newest first. Also used by readers, hence the bare connection.
pub(in crate::store) fn list(connection: &Connection, session: &SessionName) -> Result<Vec<Moment>> {
    let mut select = connection.prepare_cached("SELECT id FROM generations WHERE session = ?1 ORDER BY id DESC")?;
    let ids = select.query_map([session.as_str()], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    let mut moments = Vec::with_capacity(ids.len());
    for id in ids {
        moments.extend(read(connection, id)?);
    }
    Ok(moments)
}

/// A moment, where it is still what was meant to be kept. Each row is judged alone (R8).
fn read(connection: &Connection, id: i64) -> Result<Option<Moment>> {
    let mut select =
        connection.prepare_cached("SELECT kind, at, saved_at, slices, digest FROM generations WHERE id = ?1")?;
    let found = select.query_row([id], |row| {
        let kind: String = row.get(0)?;
        let slices: String = row.get(3)?;
        let meant: Option<Vec<u8>> = row.get(4)?;
        let whole = meant.is_none_or(|meant| meant == digest(&slices));
        let slices = whole.then(|| serde_json::from_str::<Vec<Slice>>(&slices).ok()).flatten();
        Ok(slices.zip(MomentKind::parse(&kind)).map(|(slices, kind)| Moment {
            id,
            kind,
            at: Timestamp(row.get(1).unwrap_or(0)),
            saved_at: row.get(2).ok().flatten().map(Timestamp),
            slices,
        }))
    });
    match found {
        Ok(found) => Ok(found),
        // A value of another type than it was written with.
        Err(rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::QueryReturnedNoRows) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn digest(slices: &str) -> Vec<u8> {
    Sha256::digest(slices.as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000 * DAY;

    fn moments(ages: impl IntoIterator<Item = i64>) -> Vec<Proved> {
        (0..).zip(ages).map(|(id, age)| Proved { id, is_start: false, at: Timestamp(NOW - age) }).collect()
    }

    #[test]
    fn a_morning_of_use_keeps_the_newest_and_one_an_hour() {
        let minutes = (0..360).map(|minute| minute * 60_000);
        let gone = superfluous(&moments(minutes), Timestamp(NOW));
        assert!(gone.iter().all(|id| *id >= 16), "{gone:?}");
        assert_eq!(360 - gone.len(), 16 + 5);
    }

    #[test]
    fn after_two_days_one_a_day_stays_and_nothing_of_last_year_but_the_last_starts() {
        let mut all = moments((0..90).map(|day| day * DAY));
        let old = |id| Proved { id, is_start: true, at: Timestamp(NOW - 400 * DAY - id) };
        all.extend((1_000..1_009).map(old));
        let gone = superfluous(&all, Timestamp(NOW));
        assert!((0..=31).all(|id| !gone.contains(&id)));
        assert!((32..90).all(|id| gone.contains(&id)));
        assert_eq!(
            (1_000..1_009).filter(|id| !gone.contains(id)).collect::<Vec<_>>(),
            [1_000, 1_001, 1_002, 1_003, 1_004]
        );
    }

    #[test]
    fn a_clock_that_was_set_back_gives_nothing_up_too_early() {
        let gone = superfluous(&moments((0..16).map(|hour| -hour * HOUR)), Timestamp(NOW));
        assert!(gone.is_empty());
    }
}
