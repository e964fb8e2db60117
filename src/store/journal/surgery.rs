//! Changes to queued ops that make new ones of them: another value, a part of its own, the first place.
//!
//! An op is never changed: it is `superseded` by what takes its place. Each of these is one step that can be taken back
//! (see [`super::steps`]). The caller has looked at the rows before and keeps the step.

use serde_json::Value;

use crate::{
    merge,
    model::{
        edit,
        ids::{OpId, Seq},
        json::{self, Pointer},
        op::{NewOp, Op, OpKind, OpState},
        time::Timestamp,
    },
    store::{
        Queued,
        error::{Result, StoreError},
        journal::{
            Journal, Place, accounts, claims,
            ops::{Moved, Standee, Standing},
            shadow, steps,
            vault::VaultReason,
        },
    },
};

fn refuse<T>(seq: Seq, why: &str) -> Result<T> {
    Err(StoreError::Refused(format!("op {seq} {why}")))
}

/// The op, where it may be replaced by another.
fn changeable(journal: &Journal, seq: Seq, verb: &str) -> Result<Op> {
    let op = journal.expect_op(seq)?;
    match op.state {
        state if !state.is_pending() => refuse(seq, &format!("is {} already", state.label())),
        _ if op.may_be_applied() => {
            refuse(seq, &format!("may have reached the server; it can be {verb} once that is known"))
        }
        OpState::Conflict => refuse(seq, "is in conflict; resolve it"),
        _ if op.kind == OpKind::Delete => refuse(seq, "deletes the record; discard it to keep the record"),
        _ => Ok(op),
    }
}

/// Puts another document in the place of an op's. Answers the new op.
pub(in crate::store) fn edit(journal: &Journal, seq: Seq, op_id: OpId, document: &Value, at: Timestamp) -> Result<Seq> {
    if let Some(done) = journal.known(op_id)? {
        return Ok(done);
    }
    let op = changeable(journal, seq, "edited")?;
    let base = base_of(&op).cloned();
    if merge::intended(&op).is_some_and(|now| json::same_value(now, document)) {
        return refuse(seq, "is that already");
    }
    if base.as_ref().is_some_and(|base| json::same_value(base, document)) {
        return refuse(seq, "would change nothing any more; discard it instead");
    }
    let place = journal.place(&op.record)?;
    let before = steps::before(journal, std::slice::from_ref(&place))?;
    let standing = journal.place_of(seq)?;
    claims::keep(journal, &place, &op, VaultReason::LocalOverwritten, at)?;
    let new = made_of(&op, op_id, base, document.clone());
    let made = journal.insert(&new, &place, kept_state(&op), op.after, Standing::At(standing), None)?;
    accounts::inherit(journal, seq, made)?;
    journal.set_state(seq, OpState::Superseded, at)?;
    follow(journal, &place, seq, made)?;
    journal.rebase_behind(&place, standing, new.document.as_ref(), None, &Moved::Here)?;
    journal.settle_order(&place, at)?;
    shadow::refresh(journal, &place)?;
    steps::keep(journal, before, steps::EDIT, &[seq], at)?;
    Ok(made)
}

/// Puts an edit that was typed into an op's place.
pub(in crate::store) fn replace(journal: &Journal, seq: Seq, new: &NewOp) -> Result<Queued> {
    let Some(document) = &new.document else { return refuse(seq, "cannot become a deletion; delete the record") };
    // Typed on what it was: it followed the server since, and would take that back.
    if journal.known(new.op_id)?.is_none() {
        let op = journal.expect_op(seq)?;
        if new.base.is_some() && !merge::same_document(merge::intended(&op), new.base.as_ref()) {
            return refuse(seq, "is another one since you began to edit it; open its draft again to merge that in");
        }
    }
    let seq = edit(journal, seq, new.op_id, document, new.created_at)?;
    Ok(Queued { seq, op_id: new.op_id })
}

/// Takes places out of an op into one of their own, which stands behind it and is held: released before the other was
/// sent, both would become one write again. Answers (what is left, what was taken out).
pub(in crate::store) fn split(
    journal: &Journal,
    seq: Seq,
    pointers: &[Pointer],
    op_ids: [OpId; 2],
    at: Timestamp,
) -> Result<(Seq, Seq)> {
    let op = changeable(journal, seq, "split")?;
    let base = base_of(&op).cloned();
    let whole = merge::intended(&op).cloned();
    let mut rest = whole.clone();
    for pointer in pointers {
        if pointer.is_root() {
            return refuse(seq, "cannot be split at the whole record; name a field");
        }
        let was = base.as_ref().and_then(|base| pointer.get(base)).cloned();
        let is = whole.as_ref().and_then(|whole| pointer.get(whole));
        if merge::same_document(was.as_ref(), is) {
            return refuse(seq, &format!("does not change `{pointer}`; {}", places(&op)));
        }
        json::set(&mut rest, pointer, was);
    }
    let (Some(rest), Some(whole)) = (rest, whole) else { return refuse(seq, "has nothing to split") };
    if base.as_ref().is_some_and(|base| json::same_value(base, &rest)) {
        return refuse(seq, "changes nothing else; hold it instead");
    }
    let place = journal.place(&op.record)?;
    let before = steps::before(journal, std::slice::from_ref(&place))?;
    let standing = journal.place_of(seq)?;
    let behind: Vec<Standee> = journal.standing(&place)?.into_iter().filter(|other| other.place > standing).collect();
    let [first_id, second_id] = op_ids;
    let first = made_of(&op, first_id, base, rest.clone());
    let second = NewOp { base_revision: None, ..made_of(&op, second_id, Some(rest), whole) };
    journal.set_state(seq, OpState::Superseded, at)?;
    let left = journal.insert(&first, &place, kept_state(&op), op.after, Standing::At(standing), None)?;
    let taken = journal.insert(&second, &place, OpState::Held, Some(left), Standing::Last, None)?;
    accounts::inherit(journal, seq, left)?;
    accounts::inherit(journal, seq, taken)?;
    move_up(journal, taken, &behind)?;
    follow(journal, &place, seq, taken)?;
    journal.settle_order(&place, at)?;
    shadow::refresh(journal, &place)?;
    steps::keep(journal, before, "split", &[seq], at)?;
    Ok((left, taken))
}

/// Gives the op at the end of a record's chain the place before `behind`, which move back by one place each: no two ops
/// of a record ever share one.
fn move_up(journal: &Journal, seq: Seq, behind: &[Standee]) -> Result<()> {
    let last = journal.place_of(seq)?;
    let mut set = journal.connection.prepare_cached("UPDATE ops SET place = ?2 WHERE seq = ?1")?;
    let places = behind.iter().map(|op| op.place).chain([last]);
    for (op, place) in std::iter::once(seq).chain(behind.iter().map(|op| op.seq)).zip(places) {
        set.execute((op.0, place))?;
    }
    Ok(())
}

/// Lets an op and the ones of its record before it go first, at once.
pub(in crate::store) fn send(journal: &Journal, op: &Op, place: &Place) -> Result<()> {
    let chain = journal.standing(place)?;
    let until = chain.iter().position(|other| other.seq == op.seq).map_or(0, |at| at + 1);
    let going = &chain[..until];
    for earlier in going.iter().filter(|earlier| earlier.seq != op.seq) {
        if matches!(earlier.state, OpState::Held | OpState::Conflict | OpState::Rejected) {
            let (earlier, state) = (earlier.seq, earlier.state.label());
            return refuse(op.seq, &format!("stands behind op {earlier}, which is {state}"));
        }
    }
    let on_the_wire = going.iter().any(|earlier| earlier.state.may_be_applied());
    let first: i64 = journal
        .connection
        .prepare_cached("SELECT min(place) FROM ops WHERE settled_at IS NULL")?
        .query_row([], |row| row.get(0))?;
    let count = i64::try_from(going.len()).unwrap_or(0);
    let mut set = journal.connection.prepare_cached(
        "UPDATE ops SET state = ?2, next_attempt_at = NULL, place = coalesce(?3, place) WHERE seq = ?1",
    )?;
    for (at, earlier) in (0_i64..).zip(going) {
        // Behind one that is on the wire it goes next anyway.
        let place = (!on_the_wire).then_some(first - count + at);
        if !earlier.state.may_be_applied() {
            set.execute((earlier.seq.0, OpState::Queued.word(), place))?;
        }
    }
    Ok(())
}

/// What an op was made on; nothing for a create.
fn base_of(op: &Op) -> Option<&Value> {
    if op.kind == OpKind::Create { None } else { op.base.as_ref() }
}

fn made_of(op: &Op, op_id: OpId, base: Option<Value>, document: Value) -> NewOp {
    NewOp {
        op_id,
        record: op.record.clone(),
        kind: if base.is_some() { OpKind::Update } else { OpKind::Create },
        changes: edit::diff(base.as_ref(), Some(&document)),
        document: Some(document),
        base,
        base_revision: op.base_revision.clone(),
        created_at: op.created_at,
        author: op.author.clone(),
    }
}

/// What was held stays held; what was refused may go again.
fn kept_state(op: &Op) -> OpState {
    if op.state == OpState::Held { OpState::Held } else { OpState::Queued }
}

/// The ops that came after `old` come after `new`.
fn follow(journal: &Journal, place: &Place, old: Seq, new: Seq) -> Result<()> {
    journal
        .connection
        .prepare_cached(
            "UPDATE ops SET after = ?4 WHERE collection = ?1 AND key = ?2 AND after = ?3 AND seq <> ?4 \
             AND settled_at IS NULL",
        )?
        .execute((place.collection, &place.key, old.0, new.0))?;
    Ok(())
}

/// `it changes /a, /b`
fn places(op: &Op) -> String {
    let changes = edit::diff(base_of(op), merge::intended(op));
    let named: Vec<String> = changes.iter().take(8).map(|change| change.pointer.to_string()).collect();
    match changes.as_slice() {
        [only] if only.pointer.is_root() => "it makes a new record without it".to_owned(),
        _ => format!("it changes {}", named.join(", ")),
    }
}
