//! The derived table `shadow`: one row per record with pending ops, so that lists overlay them by a keyset merge and
//! the next ops to send are found without looking at the outbox.
//!
//! **Invariant:** a row stands for every record with pending ops and no other; `document` is `base_change`'s document
//! with the ops applied in order. Where the mirror has moved on since, a reader computes it anew ([`local`]).

use rusqlite::{OptionalExtension, named_params};
use serde_json::Value;

use crate::{
    merge,
    model::{
        ids::{RecordId, RecordKey},
        op::{NewOp, Op, OpKind, OpState},
        record::RecordMark,
        time::Timestamp,
    },
    store::{
        error::Result,
        journal::{
            Journal, MirrorBase, Place,
            ops::{self, Standee},
        },
    },
};

/// Facts about a record with pending ops, as bits of `shadow.marks`. The migration's triggers know 2 and 4.
pub(in crate::store) mod mark {
    pub const CHANGED: i64 = 1;
    pub const CREATED: i64 = 2;
    pub const DELETED: i64 = 4;
    pub const HELD: i64 = 8;
    pub const REJECTED: i64 = 16;
    pub const CONFLICT: i64 = 32;
}

/// The one mark a row shows.
pub(in crate::store) fn record_mark(marks: i64, draft: bool) -> RecordMark {
    let facts = [
        (mark::CONFLICT, RecordMark::Conflict),
        (mark::REJECTED, RecordMark::Rejected),
        (mark::DELETED, RecordMark::Deleted),
        (mark::HELD, RecordMark::Held),
        (mark::CREATED, RecordMark::Created),
        (mark::CHANGED, RecordMark::Changed),
    ];
    let own = facts.into_iter().find(|(bit, _)| marks & bit != 0).map_or(RecordMark::Synced, |(_, mark)| mark);
    if draft { own.max(RecordMark::Draft) } else { own }
}

/// The facts of a chain whose result is `exists`.
fn marks(chain: &[Standee], exists: bool) -> i64 {
    let kind = match chain.first() {
        _ if !exists => mark::DELETED,
        Some(head) if head.kind == OpKind::Create => mark::CREATED,
        _ => mark::CHANGED,
    };
    chain.iter().fold(kind, |bits, op| {
        bits | match op.state {
            OpState::Held => mark::HELD,
            OpState::Rejected => mark::REJECTED,
            OpState::Conflict => mark::CONFLICT,
            _ => 0,
        }
    })
}

/// The base with the ops applied in order (I1).
pub(in crate::store) fn local(base: Option<Value>, chain: &[Op]) -> Option<Value> {
    chain.iter().fold(base, |local, op| merge::apply(local, op.kind, &op.changes, op.document.as_ref()))
}

fn parse(base: Option<&MirrorBase>) -> Option<Value> {
    base.and_then(|base| serde_json::from_str(&base.text).ok())
}

struct Present {
    base_change: i64,
    document: Option<String>,
}

fn present(journal: &Journal, place: &Place) -> Result<Option<Present>> {
    Ok(journal
        .connection
        .prepare_cached("SELECT base_change, document FROM shadow WHERE collection = ?1 AND key = ?2")?
        .query_row((place.collection, &place.key), |row| {
            Ok(Present { base_change: row.get(0)?, document: row.get(1)? })
        })
        .optional()?)
}

/// Computes the row of a record anew. True where what it says changed.
pub(in crate::store) fn refresh(journal: &Journal, place: &Place) -> Result<bool> {
    let chain = journal.chain(place)?;
    let Some(last) = chain.last() else { return remove(journal, place) };
    let before = present(journal, place)?;
    let base = journal.base(place)?;
    let document = ops::text_of(local(parse(base.as_ref()), &chain).as_ref());
    let base_change = base.map_or(0, |base| base.change);
    match before {
        // A record being deleted shows its base: another base is other content.
        Some(before) if before.document == document && (document.is_some() || before.base_change == base_change) => {
            restate_on(journal, place, &journal.standing(place)?, Some(base_change))?;
            Ok(before.base_change != base_change)
        }
        _ => {
            write(journal, place, document, base_change, last.created_at)?;
            Ok(true)
        }
    }
}

/// The row after one more op: where the base has not moved, only the new op is applied.
pub(in crate::store) fn append(journal: &Journal, place: &Place, op: &NewOp) -> Result<()> {
    let base = journal.base(place)?;
    let base_change = base.as_ref().map_or(0, |base| base.change);
    let before = match present(journal, place)? {
        Some(present) if present.base_change == base_change => {
            present.document.and_then(|text| serde_json::from_str(&text).ok())
        }
        Some(_) => return refresh(journal, place).map(|_| ()),
        None => parse(base.as_ref()),
    };
    let document = merge::apply(before, op.kind, &op.changes, op.document.as_ref());
    write(journal, place, ops::text_of(document.as_ref()), base_change, op.created_at)
}

/// After a change of states only: marks and head follow, the document stays.
pub(in crate::store) fn restate(journal: &Journal, place: &Place) -> Result<()> {
    restate_as(journal, place, &journal.standing(place)?)
}

/// The same, where the record's pending ops are known.
fn restate_as(journal: &Journal, place: &Place, chain: &[Standee]) -> Result<()> {
    match restate_on(journal, place, chain, None)? {
        true => Ok(()),
        false => refresh(journal, place).map(|_| ()),
    }
}

pub(in crate::store) const CLAIMED: &str =
    "UPDATE shadow SET head_ready = 0, head_next_at = NULL WHERE collection = ?1 AND key = ?2 AND head = ?3";

pub(in crate::store) const REMOVED: &str = "DELETE FROM shadow WHERE collection = ?1 AND key = ?2";

/// The head of the chain is being sent, and nothing else is new.
pub(in crate::store) fn claimed(journal: &Journal, place: &Place, chain: &[Standee]) -> Result<()> {
    let changed = journal.connection.prepare_cached(CLAIMED)?.execute((
        place.collection,
        &place.key,
        chain.first().map(|head| head.seq.0),
    ))?;
    match changed {
        0 => restate_as(journal, place, chain),
        _ => Ok(()),
    }
}

/// False where there is no row to be changed.
fn restate_on(journal: &Journal, place: &Place, chain: &[Standee], base_change: Option<i64>) -> Result<bool> {
    let Some(head) = chain.first() else { return remove(journal, place).map(|_| true) };
    let changed = journal
        .connection
        .prepare_cached(
            "UPDATE shadow SET marks = CASE WHEN document IS NULL THEN :marks_gone ELSE :marks END, head = :head, \
             head_place = :head_place, head_ready = :head_ready, head_next_at = :head_next_at, \
             base_change = coalesce(:base_change, base_change) WHERE collection = :collection AND key = :key",
        )?
        .execute(named_params! {
            ":marks": marks(chain, true),
            ":marks_gone": marks(chain, false),
            ":head": head.seq.0,
            ":head_place": head.place,
            ":head_ready": is_ready(head.state),
            ":head_next_at": head.next_attempt_at,
            ":base_change": base_change,
            ":collection": place.collection,
            ":key": place.key,
        })?;
    Ok(changed > 0)
}

/// True where there was a row.
pub(in crate::store) fn remove(journal: &Journal, place: &Place) -> Result<bool> {
    let removed = journal.connection.prepare_cached(REMOVED)?.execute((place.collection, &place.key))?;
    Ok(removed > 0)
}

/// New content under a new change number, so that the search index sees it.
fn write(journal: &Journal, place: &Place, document: Option<String>, base_change: i64, at: Timestamp) -> Result<()> {
    let chain = journal.standing(place)?;
    remove(journal, place)?;
    let Some(head) = chain.first() else { return Ok(()) };
    journal
        .connection
        .prepare_cached(
            "INSERT INTO shadow (collection, key, record, marks, head, head_place, head_ready, head_next_at, changed_at, \
             base_change, document) VALUES (:collection, :key, :record, :marks, :head, :head_place, :head_ready, \
             :head_next_at, :changed_at, :base_change, :document)",
        )?
        .execute(named_params! {
            ":collection": place.collection,
            ":key": place.key,
            ":record": place.id.as_str(),
            ":marks": marks(&chain, document.is_some()),
            ":head": head.seq.0,
            ":head_place": head.place,
            ":head_ready": is_ready(head.state),
            ":head_next_at": head.next_attempt_at,
            ":changed_at": at.0,
            ":base_change": base_change,
            ":document": document,
        })?;
    Ok(())
}

fn is_ready(state: OpState) -> bool {
    matches!(state, OpState::Queued | OpState::InDoubt)
}

/// After bases moved in the mirror: the rows of these records follow.
pub(in crate::store) fn refresh_records(journal: &Journal, records: &[RecordKey]) -> Result<()> {
    for record in records {
        let place = journal.place(record)?;
        if present(journal, &place)?.is_some() {
            refresh(journal, &place)?;
        }
    }
    Ok(())
}

/// Makes the whole table anew from the ops. Answers how many rows were missing, too many or wrong.
pub(in crate::store) fn rebuild(journal: &Journal) -> Result<u64> {
    let mut places = journal.connection.prepare_cached(
        "SELECT collection, key, record FROM ops WHERE settled_at IS NULL \
         UNION SELECT collection, key, record FROM shadow",
    )?;
    let places = places
        .query_map([], |row| Ok(Place { collection: row.get(0)?, key: row.get(1)?, id: RecordId(row.get(2)?) }))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut wrong = 0;
    for place in places {
        wrong += u64::from(refresh(journal, &place)?);
    }
    journal.connection.execute_batch(
        "DELETE FROM shadow_counts;
         INSERT INTO shadow_counts
         SELECT collection, count(*), sum((marks & 2) / 2), sum((marks & 4) / 4) FROM shadow GROUP BY collection;
         DELETE FROM op_counts;
         INSERT INTO op_counts SELECT collection, state, count(*) FROM ops GROUP BY collection, state;",
    )?;
    Ok(wrong)
}
