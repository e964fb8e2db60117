//! Conflicts: kept when an answer or a pull brings one, closed by the user's choice.

use rusqlite::{OptionalExtension, Row, params};
use serde_json::Value;

use crate::{
    merge,
    model::{
        activity::{Activity, Severity},
        conflict::{Conflict, Take},
        edit::{self, Change},
        ids::{CollectionKey, RecordId, RecordKey, Revision, Seq},
        json,
        op::{NewOp, Op, OpKind, OpState},
        time::Timestamp,
    },
    store::{
        Resolve,
        error::{Result, StoreError},
        journal::{
            Journal, Place, activity,
            ops::{self, Moved, Standing},
            shadow, steps,
            vault::{self, VaultReason},
        },
    },
};

/// The columns [`read`] expects, of `conflicts f` joined with `collections c`.
pub(in crate::store) const COLUMNS: &str = "f.id, c.source, c.name, f.record, f.seq, f.detected_at, f.base, f.mine, \
     f.theirs, f.theirs_revision, f.was_in_doubt, f.resolved_at, f.resolution";

pub(in crate::store) fn read(row: &Row<'_>) -> rusqlite::Result<Conflict> {
    let resolution: Option<String> = row.get(12)?;
    Ok(Conflict {
        id: row.get(0)?,
        record: RecordKey {
            collection: CollectionKey::new(row.get::<_, String>(1)?, row.get::<_, String>(2)?),
            id: RecordId(row.get(3)?),
        },
        seq: Seq(row.get(4)?),
        detected_at: Timestamp(row.get(5)?),
        base: ops::json(row.get(6)?),
        mine: ops::json(row.get(7)?),
        theirs: ops::json(row.get(8)?),
        theirs_revision: row.get::<_, Option<String>>(9)?.map(Revision),
        was_in_doubt: row.get(10)?,
        resolved_at: row.get::<_, Option<i64>>(11)?.map(Timestamp),
        resolution: resolution.and_then(|word| take_of(&word)),
    })
}

fn take_of(word: &str) -> Option<Take> {
    [Take::Mine, Take::Theirs, Take::Base, Take::Merged].into_iter().find(|take| take.word() == word)
}

/// Keeps a conflict of an op. One that is open for the op already gets the newer facts.
pub(in crate::store) fn open(
    journal: &Journal,
    place: &Place,
    op: &Op,
    base: Option<&Value>,
    theirs: Option<&Value>,
    theirs_revision: Option<&Revision>,
    at: Timestamp,
) -> Result<()> {
    let revision = theirs_revision.map(Revision::as_str);
    let updated = journal
        .connection
        .prepare_cached(
            "UPDATE conflicts SET theirs = ?2, theirs_revision = ?3, base = ?4, detected_at = ?5 \
             WHERE seq = ?1 AND resolved_at IS NULL",
        )?
        .execute(params![op.seq.0, ops::text_of(theirs), revision, ops::text_of(base), at.0])?;
    if updated == 0 {
        journal
            .connection
            .prepare_cached(
                "INSERT INTO conflicts (collection, key, record, seq, detected_at, was_in_doubt, theirs_revision, base, \
                 mine, theirs) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                place.collection,
                place.key,
                place.id.as_str(),
                op.seq.0,
                at.0,
                op.was_in_doubt || op.state == OpState::InDoubt,
                revision,
                ops::text_of(base),
                ops::text_of(op.document.as_ref()),
                ops::text_of(theirs),
            ])?;
    }
    Ok(())
}

/// Closes the open conflict of an op, where there is one.
pub(in crate::store) fn close(journal: &Journal, seq: Seq, take: Option<Take>, at: Timestamp) -> Result<()> {
    journal
        .connection
        .prepare_cached(
            "UPDATE conflicts SET resolved_at = ?2, resolution = ?3 WHERE seq = ?1 AND resolved_at IS NULL",
        )?
        .execute(params![seq.0, at.0, take.map(Take::word)])?;
    Ok(())
}

pub(in crate::store) fn find(connection: &rusqlite::Connection, id: i64) -> Result<Option<Conflict>> {
    Ok(connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM conflicts f JOIN collections c ON c.id = f.collection WHERE f.id = ?1"
        ))?
        .query_row([id], read)
        .optional()?)
}

/// A pull found the server's copy gone or replaced while edits wait here.
pub(in crate::store) fn from_pull(
    journal: &Journal,
    record: &RecordKey,
    theirs: Option<&Value>,
    revision: Option<&Revision>,
    at: Timestamp,
) -> Result<()> {
    let place = journal.place(record)?;
    let chain = journal.chain(&place)?;
    let Some(head) = chain.first() else { return Ok(()) };
    // What is on the wire gets its own answer; a delete of what is gone is no conflict.
    if head.state.may_be_applied() || (theirs.is_none() && head.kind == OpKind::Delete) {
        return Ok(());
    }
    journal.set_state(head.seq, OpState::Conflict, at)?;
    open(journal, &place, head, head.base.as_ref(), theirs, revision, at)?;
    journal.settle_order(&place, at)?;
    shadow::restate(journal, &place)
}

/// Carries a resolution out. The mirror holds the server's side by now (see `Store::resolve`).
pub(in crate::store) fn resolve(journal: &Journal, resolve: &Resolve) -> Result<Option<Seq>> {
    let conflict = find(&journal.connection, resolve.conflict)?
        .ok_or_else(|| StoreError::Refused(format!("there is no conflict c{}", resolve.conflict)))?;
    if conflict.resolved_at.is_some() {
        // The same answer again (a repeated command) is the answer that was given.
        return match journal.known(resolve.op_id)? {
            Some(seq) => Ok(Some(seq)),
            None => Err(StoreError::Refused(format!("conflict c{} is resolved already", conflict.id))),
        };
    }
    if resolve.seen.is_some_and(|seen| seen != conflict.detected_at) {
        return Err(StoreError::Refused(format!(
            "the server's version of {} changed again while you decided: look at conflict c{} once more",
            conflict.record, conflict.id
        )));
    }
    let at = resolve.at;
    let op = journal.expect_op(conflict.seq)?;
    if op.state != OpState::Conflict {
        let text = format!("the edit of conflict c{} is {} meanwhile", conflict.id, op.state.label());
        return Err(StoreError::Refused(text));
    }
    let place = journal.place(&op.record)?;
    let standing = journal.place_of(op.seq)?;
    let theirs = conflict.theirs.as_ref();
    let wanted = if resolve.take == Take::Theirs { theirs } else { resolve.document.as_ref() };
    let same = match (wanted, theirs) {
        (None, None) => true,
        (Some(wanted), Some(theirs)) => json::same_value(wanted, theirs),
        _ => false,
    };
    // Without an edit to take back the answer is a step on the queue.
    let before = if same { Some(steps::before(journal, std::slice::from_ref(&place))?) } else { None };
    keep_losers(journal, &place, &conflict, &op, wanted, at)?;
    close(journal, op.seq, Some(resolve.take), at)?;
    let moved = Moved::There(taken_from_the_server(&conflict, wanted));
    let made = if same {
        journal.set_state(op.seq, OpState::Discarded, at)?;
        journal.rebase_behind(&place, standing, theirs, conflict.theirs_revision.as_ref(), &moved)?;
        None
    } else {
        journal.set_state(op.seq, OpState::Superseded, at)?;
        let new = NewOp {
            op_id: resolve.op_id,
            record: op.record.clone(),
            kind: match (theirs, wanted) {
                (None, _) => OpKind::Create,
                (Some(_), None) => OpKind::Delete,
                (Some(_), Some(_)) => OpKind::Update,
            },
            changes: edit::diff(theirs, wanted),
            document: wanted.cloned(),
            base: conflict.theirs.clone(),
            base_revision: match theirs {
                Some(_) => conflict.theirs_revision.clone(),
                None => Some(Revision::of_what_was_there()),
            },
            created_at: at,
            author: resolve.author.clone(),
        };
        let seq = journal.insert(&new, &place, OpState::Queued, op.after, Standing::At(standing), None)?;
        journal.rebase_behind(&place, standing, wanted, None, &moved)?;
        Some(seq)
    };
    journal.settle_order(&place, at)?;
    shadow::refresh(journal, &place)?;
    if let Some(before) = before {
        steps::keep(journal, before, &step_of(resolve.take), &[op.seq], at)?;
    }
    let text = format!("conflict c{} of {} resolved: {} taken", conflict.id, op.record, resolve.take.word());
    let row = Activity::new(at, Severity::Info, "conflict", text).with_hint("the vault keeps the other version");
    activity::note(journal, &[row])?;
    Ok(made)
}

/// Mine with what the answer made of places the server changed: an edit behind it that changes one of them was made
/// without knowing that, and is judged. What the user put elsewhere himself needs no judging.
fn taken_from_the_server(conflict: &Conflict, wanted: Option<&Value>) -> Option<Value> {
    let mine = conflict.mine.as_ref();
    let at = |document: &Option<Value>, change: &Change| {
        document.as_ref().and_then(|document| change.pointer.get(document)).cloned()
    };
    let is_theirs = |change: &Change| {
        !merge::same_document(at(&conflict.base, change).as_ref(), at(&conflict.theirs, change).as_ref())
    };
    let taken: Vec<Change> = edit::diff(mine, wanted).into_iter().filter(is_theirs).collect();
    edit::apply(mine, &taken)
}

/// What an answer that made no edit is called as a step.
fn step_of(take: Take) -> String {
    format!("the answer `{}`", take.word())
}

/// The edit that the newest answer to a conflict made, where it still waits.
pub(in crate::store) fn newest_answer(journal: &Journal) -> Result<Option<Seq>> {
    let found: Option<i64> = journal
        .connection
        .prepare_cached(&format!(
            "SELECT o.seq FROM conflicts f JOIN ops o ON {ANSWERS} WHERE o.settled_at IS NULL \
             ORDER BY f.resolved_at DESC, f.id DESC LIMIT 1"
        ))?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(found.map(Seq))
}

/// The conflict that an edit is the answer to.
pub(in crate::store) fn answered_by(journal: &Journal, op: &Op) -> Result<Option<Conflict>> {
    let found: Option<i64> = journal
        .connection
        .prepare_cached(&format!("SELECT f.id FROM conflicts f JOIN ops o ON {ANSWERS} WHERE o.seq = ?1"))?
        .query_row([op.seq.0], |row| row.get(0))
        .optional()?;
    match found {
        Some(id) => find(&journal.connection, id),
        None => Ok(None),
    }
}

/// The op `o` was made by the answer to the conflict `f`: at the same instant, after the op it answered. Not by its place:
/// an answer that is to go first has another one.
const ANSWERS: &str = "o.collection = f.collection AND o.key = f.key AND o.seq > f.seq AND o.created_at = f.resolved_at \
     AND f.resolution IS NOT NULL";

/// The edits that the answer to a conflict made, the oldest first: none where there was nothing to send, several where it was
/// split or moved since.
pub(in crate::store) fn answers_to(journal: &Journal, conflict: i64) -> Result<Vec<Op>> {
    let mut select = journal.connection.prepare_cached(&format!(
        "SELECT o.seq FROM conflicts f JOIN ops o ON {ANSWERS} WHERE f.id = ?1 ORDER BY o.seq"
    ))?;
    let found = select.query_map([conflict], |row| Ok(Seq(row.get(0)?)))?.collect::<rusqlite::Result<Vec<_>>>()?;
    found.into_iter().map(|seq| journal.expect_op(seq)).collect()
}

/// What waits of an answer is not sent any more; the vault has it.
pub(in crate::store) fn withdraw(journal: &Journal, place: &Place, answers: &[Op], at: Timestamp) -> Result<()> {
    for answer in answers.iter().filter(|answer| answer.state.is_pending()) {
        if let Some(document) = &answer.document {
            let revision = answer.base_revision.as_ref().map(Revision::as_str);
            vault::keep(journal, place, &ops::text(document), revision, VaultReason::Undone, at)?;
        }
        close(journal, answer.seq, None, at)?;
        journal.set_state(answer.seq, OpState::Discarded, at)?;
    }
    Ok(())
}

/// Takes an answer back that was not sent: the conflict is open again, as it was before.
pub(in crate::store) fn reopen(journal: &Journal, conflict: &Conflict, answers: &[Op], at: Timestamp) -> Result<()> {
    let place = journal.place(&conflict.record)?;
    let standing = journal.place_of(conflict.seq)?;
    withdraw(journal, &place, answers, at)?;
    if let Some(take) = conflict.resolution {
        steps::end(journal, &step_of(take), conflict.seq, at)?;
    }
    journal.set_state(conflict.seq, OpState::Conflict, at)?;
    journal
        .connection
        .prepare_cached("UPDATE conflicts SET resolved_at = NULL, resolution = NULL WHERE id = ?1")?
        .execute([conflict.id])?;
    journal.rebase_behind(&place, standing, conflict.mine.as_ref(), None, &Moved::Here)?;
    journal.settle_order(&place, at)?;
    shadow::refresh(journal, &place)?;
    steps::validate(journal, &place)?;
    let text = format!("the answer to conflict c{} of {} is taken back", conflict.id, conflict.record);
    let row = Activity::new(at, Severity::Info, "conflict", text).with_hint("it waits for an answer again");
    activity::note(journal, &[row])
}

/// Every side that is not what was wanted goes to the vault; a delete that lost has nothing to keep.
fn keep_losers(
    journal: &Journal,
    place: &Place,
    conflict: &Conflict,
    op: &Op,
    wanted: Option<&Value>,
    at: Timestamp,
) -> Result<()> {
    let lost = |side: Option<&Value>| match (side, wanted) {
        (Some(side), Some(wanted)) if json::same_value(side, wanted) => None,
        (side, _) => side.map(ops::text),
    };
    if let Some(text) = lost(conflict.mine.as_ref().or(op.document.as_ref())) {
        let revision = op.base_revision.as_ref().map(Revision::as_str);
        vault::keep(journal, place, &text, revision, VaultReason::LocalOverwritten, at)?;
    }
    if let Some(text) = lost(conflict.theirs.as_ref()) {
        let revision = conflict.theirs_revision.as_ref().map(Revision::as_str);
        vault::keep(journal, place, &text, revision, VaultReason::RemoteOverwritten, at)?;
    }
    Ok(())
}
