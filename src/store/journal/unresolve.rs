//! Takes the resolution of a conflict back: the conflict is open again as it was, or, where the resolution may have
//! been sent, its reverse is queued.

use crate::{
    model::{
        activity::{Activity, Severity},
        conflict::Conflict,
        edit,
        ids::{OpId, Revision},
        op::{NewOp, Op, OpKind, OpState},
        time::Timestamp,
    },
    store::{
        Unresolved,
        error::{Result, StoreError},
        journal::{Journal, Place, accounts, activity, conflicts, shadow},
    },
};

/// `op_id` is for the reverse, where one is needed; the same id again is the same answer.
pub(in crate::store) fn unresolve(journal: &Journal, id: i64, op_id: OpId, at: Timestamp) -> Result<Unresolved> {
    if let Some(seq) = journal.known(op_id)? {
        return Ok(Unresolved::Reversed(seq));
    }
    let conflict = conflicts::find(&journal.connection, id)?
        .ok_or_else(|| StoreError::Refused(format!("there is no conflict c{id}")))?;
    if conflict.resolved_at.is_none() {
        return Err(StoreError::Refused(format!("conflict c{id} is not resolved")));
    }
    let (sent, waiting): (Vec<Op>, Vec<Op>) = conflicts::answers_to(journal, id)?.into_iter().partition(may_be_there);
    let Some(last) = sent.last() else {
        journal.expect_op(conflict.seq)?;
        conflicts::reopen(journal, &conflict, &waiting, at)?;
        return Ok(Unresolved::Open);
    };
    let place = journal.place(&conflict.record)?;
    conflicts::withdraw(journal, &place, &waiting, at)?;
    // Of an answer that was split: from what its first part was made on to what its last part made.
    let made = Op { kind: sent[0].kind, base: sent[0].base.clone(), ..last.clone() };
    reverse(journal, &place, &conflict, &made, op_id, at)
}

pub(in crate::store) fn may_be_there(made: &Op) -> bool {
    made.state == OpState::Acked
        || made.state.may_be_applied()
        || (made.state.is_pending() && made.attempts > 0 && made.was_in_doubt)
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
        base_revision: (kind == OpKind::Create).then(Revision::of_what_was_there),
        created_at: at,
        author: made.author.clone(),
    };
    let queued = journal.queue(&inverse, Some(made.seq))?;
    accounts::inherit(journal, made.seq, queued.seq)?;
    let text = format!("the resolution of c{} may have been sent: its reverse is queued", conflict.id);
    activity::note(journal, &[Activity::new(at, Severity::Info, "conflict", text)])?;
    Ok(Unresolved::Reversed(queued.seq))
}
