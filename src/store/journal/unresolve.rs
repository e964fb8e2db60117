//! Takes the resolution of a conflict back: the conflict is open again as it was, or, where the resolution may have
//! been sent, its reverse is queued.

use rusqlite::{OptionalExtension, params};

use crate::{
    model::{
        activity::{Activity, Severity},
        conflict::Conflict,
        edit,
        ids::{OpId, Seq},
        op::{NewOp, Op, OpKind, OpState},
        time::Timestamp,
    },
    store::{
        Unresolved,
        error::{Result, StoreError},
        journal::{Journal, Place, activity, claims, conflicts, shadow, vault::VaultReason},
    },
};

/// `op_id` is for the reverse, where one is needed; the same id again is the same answer.
pub(in crate::store) fn unresolve(journal: &Journal, id: i64, op_id: OpId, at: Timestamp) -> Result<Unresolved> {
    if let Some(seq) = journal.known(op_id)? {
        return Ok(Unresolved::Reversed(seq));
    }
    let conflict = conflicts::find(&journal.connection, id)?
        .ok_or_else(|| StoreError::Refused(format!("there is no conflict c{id}")))?;
    let Some(resolved_at) = conflict.resolved_at else {
        return Err(StoreError::Refused(format!("conflict c{id} is not resolved")));
    };
    let op = journal.expect_op(conflict.seq)?;
    let place = journal.place(&op.record)?;
    match made_by(journal, &place, &conflict, resolved_at)? {
        Some(made) if may_be_there(&made) => reverse(journal, &place, &conflict, &made, op_id, at),
        Some(made) if made.state.is_pending() => {
            claims::keep(journal, &place, &made, VaultReason::Undone, at)?;
            conflicts::close(journal, made.seq, None, at)?;
            journal.set_state(made.seq, OpState::Discarded, at)?;
            reopen(journal, &place, &conflict, &op, at)
        }
        _ => reopen(journal, &place, &conflict, &op, at),
    }
}

/// The op a resolution made, or the one that took its place since.
fn made_by(journal: &Journal, place: &Place, conflict: &Conflict, resolved_at: Timestamp) -> Result<Option<Op>> {
    let seq: Option<i64> = journal
        .connection
        .prepare_cached(
            "SELECT seq FROM ops WHERE collection = ?1 AND record = ?2 AND created_at = ?3 AND seq > ?4 AND undoes IS NULL \
             ORDER BY seq DESC LIMIT 1",
        )?
        .query_row(params![place.collection, place.id.as_str(), resolved_at.0, conflict.seq.0], |row| row.get(0))
        .optional()?;
    seq.map_or(Ok(None), |seq| journal.op(Seq(seq)))
}

fn may_be_there(made: &Op) -> bool {
    made.state == OpState::Acked
        || made.state.may_be_applied()
        || (made.state.is_pending() && made.attempts > 0 && made.was_in_doubt)
}

fn reopen(journal: &Journal, place: &Place, conflict: &Conflict, op: &Op, at: Timestamp) -> Result<Unresolved> {
    journal.set_state(op.seq, OpState::Conflict, at)?;
    journal
        .connection
        .prepare_cached("UPDATE conflicts SET resolved_at = NULL, resolution = NULL WHERE id = ?1")?
        .execute([conflict.id])?;
    let standing = journal.place_of(op.seq)?;
    journal.rebase_behind(place, standing, op.document.as_ref(), None)?;
    journal.settle_order(place, at)?;
    shadow::refresh(journal, place)?;
    note(journal, format!("conflict c{} of {} is open again", conflict.id, conflict.record), at)?;
    Ok(Unresolved::Open)
}

/// What the resolution changed is changed back by a new edit.
fn reverse(
    journal: &Journal,
    place: &Place,
    conflict: &Conflict,
    made: &Op,
    op_id: OpId,
    at: Timestamp,
) -> Result<Unresolved> {
    let chain = journal.chain(place)?;
    let base = journal.base(place)?.and_then(|base| serde_json::from_str(&base.text).ok());
    let local = shadow::local(base, &chain);
    let back = edit::invert(&edit::diff(made.base.as_ref(), made.document.as_ref()));
    let document = match made.kind {
        OpKind::Create => None,
        OpKind::Delete => made.base.clone(),
        OpKind::Update => edit::apply(local.as_ref(), &back),
    };
    let kind = match (&local, &document) {
        (None, None) => return Err(StoreError::Refused(format!("{} is gone already", conflict.record))),
        (None, Some(_)) => OpKind::Create,
        (Some(_), Some(_)) => OpKind::Update,
        (Some(_), None) => OpKind::Delete,
    };
    let inverse = NewOp {
        op_id,
        record: conflict.record.clone(),
        kind,
        changes: edit::diff(local.as_ref(), document.as_ref()),
        document,
        base: local,
        base_revision: None,
        created_at: at,
        author: made.author.clone(),
    };
    let queued = journal.queue(&inverse, Some(made.seq))?;
    let text = format!("the resolution of c{} may have been sent: its reverse is queued", conflict.id);
    note(journal, text, at)?;
    Ok(Unresolved::Reversed(queued.seq))
}

fn note(journal: &Journal, text: String, at: Timestamp) -> Result<()> {
    activity::note(journal, &[Activity::new(at, Severity::Info, "conflict", text)])
}
