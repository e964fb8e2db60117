//! What the user does to the outbox: hold, release, retry, send, discard, undo.

use rusqlite::{OptionalExtension, params};

use crate::{
    model::{
        activity::{Activity, Severity},
        edit,
        ids::{OpId, Revision, Seq},
        op::{NewOp, Op, OpCommand, OpKind, OpState},
        time::Timestamp,
    },
    store::{
        Undone,
        error::{Result, StoreError},
        journal::{
            Journal, accounts, activity, claims, conflicts, shadow, steps, surgery, unresolve, vault::VaultReason,
        },
    },
};

/// Carries a command out on each op, or on none: the first that does not fit is an error that says why.
pub(in crate::store) fn command(
    journal: &Journal,
    seqs: &[Seq],
    command: OpCommand,
    at: Timestamp,
) -> Result<Vec<Seq>> {
    let mut changed: Vec<Seq> = Vec::new();
    let mut places = Vec::new();
    for seq in seqs {
        places.push(journal.place(&journal.expect_op(*seq)?.record)?);
    }
    let before = steps::before(journal, &places)?;
    for seq in seqs {
        if changed.contains(seq) {
            continue;
        }
        let op = journal.expect_op(*seq)?;
        let place = journal.place(&op.record)?;
        let refuse = |why: &str| Err(StoreError::Refused(format!("op {seq} {why}")));
        if !op.state.is_pending() {
            return refuse(&format!("is {} already", op.state.label()));
        }
        let to = match (command, op.state) {
            (OpCommand::Hold, OpState::Queued | OpState::Blocked | OpState::Auth) => OpState::Held,
            (OpCommand::Hold, OpState::Held) => return refuse("is held already"),
            (OpCommand::Hold, OpState::InFlight | OpState::InDoubt) => {
                return refuse("may have reached the server; it can be held once that is known");
            }
            (OpCommand::Hold, OpState::Conflict) => return refuse("is in conflict; resolve or discard it"),
            (OpCommand::Hold, OpState::Rejected) => return refuse("was rejected; retry or discard it"),
            (OpCommand::Release, OpState::Held) => OpState::Queued,
            (OpCommand::Release, state) => return refuse(&format!("is not held but {}", state.label())),
            (OpCommand::Retry, OpState::Queued | OpState::Rejected | OpState::Auth) => OpState::Queued,
            (OpCommand::Retry, OpState::InDoubt) => OpState::InDoubt,
            (OpCommand::Retry, OpState::Held) => return refuse("is held; release it"),
            (OpCommand::Retry, OpState::Blocked) => return refuse("waits for an earlier change of the same record"),
            (OpCommand::Retry, OpState::InFlight) => return refuse("is being sent"),
            (OpCommand::Retry, OpState::Conflict) => return refuse("is in conflict; resolve it"),
            (OpCommand::Send, OpState::InFlight) => return refuse("is being sent"),
            (OpCommand::Send, OpState::InDoubt) => {
                return refuse("may have reached the server; `retry` repeats the same request at once");
            }
            (OpCommand::Send, OpState::Conflict) => return refuse("is in conflict; resolve it"),
            (OpCommand::Send, _) => {
                surgery::send(journal, &op, &place)?;
                journal.settle_order(&place, at)?;
                shadow::restate(journal, &place)?;
                changed.push(*seq);
                continue;
            }
            (OpCommand::Discard, _) => {
                changed.extend(discard(journal, &op, VaultReason::Discarded, at)?);
                continue;
            }
            (_, OpState::Acked | OpState::Superseded | OpState::Discarded) => {
                return refuse(&format!("is {} already", op.state.label()));
            }
        };
        journal
            .connection
            .prepare_cached("UPDATE ops SET state = ?2, next_attempt_at = NULL WHERE seq = ?1")?
            .execute(params![seq.0, to.word()])?;
        journal.settle_order(&place, at)?;
        shadow::restate(journal, &place)?;
        changed.push(*seq);
    }
    steps::keep(journal, before, command.word(), &changed, at)?;
    note(journal, command, &changed, at)?;
    Ok(changed)
}

fn note(journal: &Journal, command: OpCommand, changed: &[Seq], at: Timestamp) -> Result<()> {
    let (word, hint) = match command {
        OpCommand::Hold => ("held", None),
        OpCommand::Release => ("released", None),
        OpCommand::Retry => ("retried", None),
        OpCommand::Send => ("sent first", None),
        OpCommand::Discard => ("discarded", Some("the vault keeps them")),
    };
    let numbers: Vec<String> = changed.iter().take(5).map(|seq| seq.to_string()).collect();
    let more = changed.len().saturating_sub(5);
    let text = match (changed.len(), more) {
        (1, _) => format!("op {} {word}", numbers[0]),
        (n, 0) => format!("{n} ops {word}: {}", numbers.join(" ")),
        (n, _) => format!("{n} ops {word}: {} and {more} more", numbers.join(" ")),
    };
    let row = Activity::new(at, Severity::Info, "outbox", text);
    let row = match hint {
        Some(hint) => row.with_hint(hint),
        None => row,
    };
    activity::note(journal, &[row])
}

/// Takes an op and the record's ops after it out. The vault keeps what each would have made.
fn discard(journal: &Journal, op: &Op, reason: VaultReason, at: Timestamp) -> Result<Vec<Seq>> {
    let place = journal.place(&op.record)?;
    let doomed: Vec<Op> = journal.chain(&place)?.into_iter().skip_while(|other| other.seq != op.seq).collect();
    if let Some(sent) = doomed.iter().find(|op| op.may_be_applied()) {
        return Err(StoreError::Refused(format!(
            "op {} may have reached the server; it can be discarded once that is known",
            sent.seq
        )));
    }
    for op in &doomed {
        claims::keep(journal, &place, op, reason, at)?;
        journal.set_state(op.seq, OpState::Discarded, at)?;
        conflicts::close(journal, op.seq, None, at)?;
    }
    journal.settle_order(&place, at)?;
    shadow::refresh(journal, &place)?;
    Ok(doomed.into_iter().map(|op| op.seq).collect())
}

/// The newest edit that is on the server, where it is newer than what could be taken back and than `told`: the user means
/// that one, and it is said once that it cannot be taken back like this.
fn sent_after(journal: &Journal, made: i64, told: Seq) -> Result<Option<Seq>> {
    Ok(journal
        .connection
        .prepare_cached(
            "SELECT o.seq FROM ops o WHERE o.seq > max(?1, ?2) AND o.state = 'acked' AND o.undoes IS NULL AND NOT EXISTS \
             (SELECT 1 FROM ops u WHERE u.undoes = o.seq AND u.state <> 'discarded') ORDER BY o.seq DESC LIMIT 1",
        )?
        .query_row((made, told.0), |row| Ok(Seq(row.get(0)?)))
        .optional()?)
}

/// Takes the newest thing back that is not taken back yet: an edit, or a step on the queue. Where a newer edit is on the
/// server already, and newer than the one the user was `told` of, nothing is done.
pub(in crate::store) fn undo(journal: &Journal, op_id: OpId, at: Timestamp, told: Seq) -> Result<Option<Undone>> {
    if let Some(by) = journal.known(op_id)? {
        let undoes = journal
            .connection
            .prepare_cached("SELECT coalesce(undoes, seq) FROM ops WHERE seq = ?1")?
            .query_row([by.0], |row| Ok(Seq(row.get(0)?)))?;
        return Ok(Some(Undone::Reversed { seq: undoes, by }));
    }
    let newest: Option<(i64, i64)> = journal
        .connection
        .prepare_cached(
            "SELECT o.seq, o.place FROM ops o WHERE o.settled_at IS NULL AND o.undoes IS NULL AND NOT EXISTS \
             (SELECT 1 FROM ops u WHERE u.undoes = o.seq AND u.state <> 'discarded') ORDER BY o.place DESC, o.seq DESC LIMIT 1",
        )?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    // An answer to a conflict stands at the place of the edit it answers, but was made later.
    let answer = conflicts::newest_answer(journal)?.map(|seq| (seq.0, seq.0));
    let newest = newest.max(answer);
    let step = steps::newest(journal)?.filter(|(_, last_seq)| newest.is_none_or(|(_, made)| made <= *last_seq));
    let made = step.map(|(_, last_seq)| last_seq).max(newest.map(|(seq, _)| seq));
    if let Some(seq) = sent_after(journal, made.unwrap_or(0), told)? {
        let before = match newest {
            _ if step.is_some() => steps::newest_in_words(journal)?,
            Some((made, _)) => Some(format!("op {made} of {}", journal.expect_op(Seq(made))?.record)),
            None => None,
        };
        return Ok(Some(Undone::Sent { seq, before }));
    }
    if step.is_some() {
        return steps::undo(journal, at);
    }
    let Some((newest, _)) = newest else { return Ok(None) };
    let newest = Seq(newest);
    let op = journal.expect_op(newest)?;
    let may_stand = op.may_be_applied() || (op.attempts > 0 && op.was_in_doubt);
    if !may_stand && let Some(conflict) = conflicts::answered_by(journal, &op)? {
        let answers = conflicts::answers_to(journal, conflict.id)?;
        // Of an answer that was split, and a part sent, only what waits is taken back.
        if !answers.iter().any(unresolve::may_be_there) {
            conflicts::reopen(journal, &conflict, &answers, at)?;
            return Ok(Some(Undone::Edit(newest, op.record)));
        }
    }
    if !may_stand {
        discard(journal, &op, VaultReason::Undone, at)?;
        let row = Activity::new(at, Severity::Info, "outbox", format!("op {newest} of {} taken back", op.record))
            .with_hint("the vault keeps it");
        activity::note(journal, &[row])?;
        return Ok(Some(Undone::Edit(newest, op.record)));
    }
    let place = journal.place(&op.record)?;
    let chain = journal.chain(&place)?;
    let base = journal.base(&place)?.and_then(|base| serde_json::from_str(&base.text).ok());
    let local = shadow::local(base, &chain);
    let changes = edit::invert(&op.changes);
    let (kind, document) = match op.kind {
        OpKind::Create => (OpKind::Delete, None),
        OpKind::Delete => (OpKind::Create, op.base.clone()),
        OpKind::Update => (OpKind::Update, edit::apply(local.as_ref(), &changes)),
    };
    let inverse = NewOp {
        op_id,
        record: op.record.clone(),
        kind,
        changes: if kind == OpKind::Update { changes } else { edit::diff(local.as_ref(), document.as_ref()) },
        document,
        base: local,
        base_revision: (kind == OpKind::Create).then(Revision::of_what_was_there),
        created_at: at,
        author: op.author.clone(),
    };
    let queued = journal.queue(&inverse, Some(newest))?;
    accounts::inherit(journal, newest, queued.seq)?;
    let text = format!("op {newest} of {} may have been sent: its reverse is queued", op.record);
    activity::note(journal, &[Activity::new(at, Severity::Info, "outbox", text)])?;
    Ok(Some(Undone::Reversed { seq: newest, by: queued.seq }))
}
