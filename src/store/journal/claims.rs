//! Taking ops for sending and recording what became of them.
//!
//! **Invariant:** a claim is committed, with the exact precondition, before the first byte is sent (write-ahead); at most
//! one op per record is `in_flight` or `in_doubt` (I3), because only the oldest pending op of a record can be claimed.

use rusqlite::{OptionalExtension, params};
use serde_json::Value;

use crate::{
    merge::{self, Coalesced},
    model::{
        conflict::Side,
        ids::{RecordId, Revision, Seq, SourceName},
        json,
        op::{Claimed, NewOp, Op, OpError, OpKind, OpState},
        time::Timestamp,
    },
    store::{
        Claim, Decided, Outcome, Settle,
        error::{Result, StoreError},
        journal::{
            Journal, Place, accounts, conflicts, guards,
            ops::{self, Moved, Standee, Standing},
            shadow,
            vault::{self, VaultReason},
        },
    },
};

/// What is sent is the op's own document, nearly always: it is not written a second time, so that the row keeps its size
/// and its page.
///
/// `FAIL` here and in [`ACKED`]: see the migration "settling". A request that fails is taken back whole.
pub(in crate::store) const CLAIMED: &str = "UPDATE OR FAIL ops SET state = ?2, attempts = attempts + 1, sent_at = ?3, \
     request_hash = ?4, precondition = ?5, kind = ?6, \
     sent_document = CASE WHEN ?7 = document THEN NULL ELSE ?7 END, next_attempt_at = NULL, base_revision = ?8 \
     WHERE seq = ?1";

pub(in crate::store) const ACKED: &str = "UPDATE OR FAIL ops SET state = 'acked', settled_at = ?2 WHERE seq = ?1";

/// The op to be claimed, as far as the claim needs it.
struct Head {
    place: Place,
    kind: OpKind,
    state: OpState,
    attempts: u32,
    base_revision: Option<Revision>,
    author: String,
    /// `None`: the caller knows the rest.
    op: Option<Op>,
}

/// The row without its documents, where it is known again: decoding them would be a good part of a claim.
pub(in crate::store) const KNOWN: &str = "SELECT collection, key, record, kind, attempts, author FROM ops \
     WHERE seq = ?1 AND state = 'queued' AND base_revision IS ?2 AND document IS ?3 AND format = ?4";

fn head(journal: &Journal, claim: &Claim, sent: Option<&str>) -> Result<Option<Head>> {
    if let Some(known) = claim.known.as_ref().filter(|_| claim.absorbs.is_empty()) {
        let base_revision = known.base_revision.as_ref().map(Revision::as_str);
        let found = journal
            .connection
            .prepare_cached(KNOWN)?
            .query_row(params![claim.head.0, base_revision, sent, ops::FORMAT], |row| {
                Ok(Head {
                    place: Place { collection: row.get(0)?, key: row.get(1)?, id: RecordId(row.get(2)?) },
                    kind: ops::kind_of(&row.get::<_, String>(3)?).unwrap_or(OpKind::Update),
                    state: OpState::Queued,
                    attempts: row.get(4)?,
                    base_revision: known.base_revision.clone(),
                    author: row.get(5)?,
                    op: None,
                })
            })
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    let Some(op) = journal.op(claim.head)? else { return Ok(None) };
    Ok(Some(Head {
        place: journal.place(&op.record)?,
        kind: op.kind,
        state: op.state,
        attempts: op.attempts,
        base_revision: op.base_revision.clone(),
        author: op.author.clone(),
        op: Some(op),
    }))
}

pub(in crate::store) fn claim(journal: &Journal, claim: &Claim) -> Result<Option<Claimed>> {
    let sent = ops::text_of(claim.sent_document.as_ref());
    let Some(head) = head(journal, claim, sent.as_deref())? else { return Ok(None) };
    let Head { place, kind: was, state, attempts, mut base_revision, author, op } = head;
    let mut chain = journal.standing(&place)?;
    if !matches!(state, OpState::Queued | OpState::InDoubt) {
        return Ok(None);
    }
    let Some(absorbed) = behind(journal, &chain, claim.head, op.as_ref(), &claim.absorbs)? else { return Ok(None) };
    let stored = op.as_ref().and_then(|op| op.precondition.as_ref());
    if state == OpState::InDoubt && stored.is_some_and(|stored| *stored != claim.precondition) {
        return Err(StoreError::Refused(format!(
            "op {} is in doubt: it may only be repeated with the precondition it was sent with",
            claim.head
        )));
    }
    for author in
        std::iter::once((claim.head, author.as_str())).chain(absorbed.iter().map(|op| (op.seq, op.author.as_str())))
    {
        if accounts::keeps_back(journal, &place, author, claim.at)? {
            return Ok(None);
        }
    }
    let is_coalesced = !absorbed.is_empty();
    let op = op.map(|op| join(journal, op, claim.kind, absorbed, claim.at)).transpose()?;
    // A record that is there while no request to make it is in doubt was made by something else; so may be one that an
    // earlier edit was to make, whose first request may still arrive.
    if claim.kind == OpKind::Create && state == OpState::Queued && base_revision.is_none() {
        let base = journal.base(&place)?.map(|base| base.revision.map_or_else(Revision::of_what_was_there, Revision));
        let is_awaited = base.is_none() && guards::awaits_creation(journal, &place)?;
        base_revision = base.or_else(|| is_awaited.then(Revision::of_what_was_there));
    }
    journal.connection.prepare_cached(CLAIMED)?.execute(params![
        claim.head.0,
        OpState::InFlight.word(),
        claim.at.0,
        claim.request_hash,
        serde_json::to_string(&claim.precondition).expect("preconditions are plain JSON"),
        claim.kind.word(),
        sent,
        base_revision.as_ref().map(Revision::as_str),
    ])?;
    if is_coalesced || claim.kind != was {
        shadow::refresh(journal, &place)?;
    } else {
        chain[0].state = OpState::InFlight;
        chain[0].next_attempt_at = None;
        shadow::claimed(journal, &place, &chain)?;
    }
    let attempts = attempts + 1;
    Ok(Some(match op {
        None => Claimed::AsRead { attempts, sent_at: claim.at, base_revision },
        Some(op) => Claimed::Anew(Box::new(Op {
            state: OpState::InFlight,
            attempts,
            base_revision,
            sent_at: Some(claim.at),
            next_attempt_at: None,
            request_hash: Some(claim.request_hash.clone()),
            precondition: Some(claim.precondition.clone()),
            sent_document: claim.sent_document.clone(),
            ..op
        })),
    }))
}

/// The ops that are to become part of the head of a record's chain, where they stand directly behind it and neither they nor
/// it were attempted.
fn behind(journal: &Journal, chain: &[Standee], seq: Seq, head: Option<&Op>, seqs: &[Seq]) -> Result<Option<Vec<Op>>> {
    let stands = chain.iter().map(|op| op.seq).take(1 + seqs.len());
    if !stands.eq(std::iter::once(seq).chain(seqs.iter().copied())) {
        return Ok(None);
    }
    let ops = seqs.iter().map(|seq| journal.expect_op(*seq)).collect::<Result<Vec<_>>>()?;
    let is_free = ops.is_empty() || head.into_iter().chain(&ops).all(Op::is_untouched);
    Ok(is_free.then_some(ops))
}

/// Makes one op of them, as [`merge::join`] says. The caller refreshes the shadow.
fn join(journal: &Journal, head: Op, kind: OpKind, absorbed: Vec<Op>, at: Timestamp) -> Result<Op> {
    if absorbed.is_empty() {
        return Ok(Op { kind, ..head });
    }
    // By its instant the answer to a conflict is known as one.
    let answered_at = conflicts::answered_by(journal, &head)?.map(|_| head.created_at);
    for op in &absorbed {
        journal.set_state(op.seq, OpState::Superseded, at)?;
    }
    let mut joined = merge::join(head, kind, absorbed);
    joined.created_at = answered_at.unwrap_or(joined.created_at);
    journal
        .connection
        .prepare_cached(
            "UPDATE ops SET kind = ?2, changes = ?3, document = ?4, created_at = ?5, sent_document = NULL WHERE seq = ?1",
        )?
        .execute(params![
            joined.seq.0,
            kind.word(),
            serde_json::to_string(&joined.changes).expect("changes are plain JSON"),
            ops::text_of(joined.document.as_ref()),
            joined.created_at.0,
        ])?;
    Ok(joined)
}

/// What takes an op's place was made when that was: by its instant the answer to a conflict is known as one.
fn as_old_as(op: &Op, new: &NewOp) -> NewOp {
    NewOp { created_at: op.created_at, ..new.clone() }
}

/// The ops an outcome was found for together become one.
fn join_judged(journal: &Journal, place: &Place, head: Op, settle: &Settle) -> Result<Op> {
    let absorbed = behind(journal, &journal.standing(place)?, head.seq, Some(&head), &settle.joins)?;
    let chain: Option<Vec<Op>> = absorbed.map(|absorbed| std::iter::once(head).chain(absorbed).collect());
    let write = chain.as_deref().and_then(merge::coalesce);
    match (chain, write) {
        (Some(mut chain), Some(Coalesced::Write { kind, .. })) => {
            let head = chain.remove(0);
            for other in &chain {
                accounts::share(journal, head.seq, other.seq)?;
            }
            join(journal, head, kind, chain, settle.at)
        }
        _ => {
            let text = format!("the changes of the record from {} on are others meanwhile", settle.seq);
            Err(StoreError::Refused(text))
        }
    }
}

/// Most settles: applied, in one look at the row without its documents. `None`: the long way tells why not.
fn acknowledge(journal: &Journal, seq: Seq, at: Timestamp) -> Result<Option<()>> {
    let found = journal
        .connection
        .prepare_cached("SELECT collection, key, record, state FROM ops WHERE seq = ?1")?
        .query_row([seq.0], |row| {
            let place = Place { collection: row.get(0)?, key: row.get(1)?, id: RecordId(row.get(2)?) };
            Ok((place, OpState::parse(&row.get::<_, String>(3)?)))
        })
        .optional()?;
    let Some((place, Some(OpState::InFlight | OpState::InDoubt | OpState::Queued))) = found else { return Ok(None) };
    journal.connection.prepare_cached(ACKED)?.execute((seq.0, at.0))?;
    match journal.standing(&place)?.first() {
        None => shadow::remove(journal, &place)?,
        Some(next) => {
            follow_acknowledged(journal, &place, next.seq)?;
            journal.settle_order(&place, at)?;
            shadow::refresh(journal, &place)?
        }
    };
    Ok(Some(()))
}

pub(in crate::store) fn settle(journal: &Journal, settle: &Settle) -> Result<()> {
    let at = settle.at;
    let alone = settle.joins.is_empty();
    if alone && settle.outcome == Outcome::Acked && acknowledge(journal, settle.seq, at)?.is_some() {
        return Ok(());
    }
    let op = journal.expect_op(settle.seq)?;
    if !op.state.is_pending() {
        return match (&settle.outcome, op.state) {
            (Outcome::Acked, OpState::Acked) | (Outcome::Discarded { .. }, OpState::Discarded) => Ok(()),
            (Outcome::Decided(_), OpState::Superseded | OpState::Discarded) => Ok(()),
            _ => Err(StoreError::Refused(format!("op {} is {} already", op.seq, op.state.label()))),
        };
    }
    let place = journal.place(&op.record)?;
    // What the user did meanwhile (held it), or a pull (its record is gone), comes first: it is judged anew after that.
    let settles_on = |state: OpState| matches!(state, OpState::InFlight | OpState::InDoubt | OpState::Queued);
    let goes_on = matches!(
        settle.outcome,
        Outcome::Acked | Outcome::Queued { .. } | Outcome::Rebased { .. } | Outcome::Decided(_)
    );
    if goes_on && !settles_on(op.state) {
        return Err(StoreError::Refused(format!("op {} is {} meanwhile", op.seq, op.state.label())));
    }
    let op = match alone {
        true => op,
        false => join_judged(journal, &place, op, settle)?,
    };
    let set = |state: OpState, error: Option<&OpError>, next: Option<Timestamp>, attempts: i64| -> Result<()> {
        journal
            .connection
            .prepare_cached(
                "UPDATE ops SET state = ?2, last_error = coalesce(?3, last_error), next_attempt_at = ?4, \
                 attempts = max(0, attempts + ?5), was_in_doubt = was_in_doubt OR ?6 WHERE seq = ?1",
            )?
            .execute(params![
                op.seq.0,
                state.word(),
                error.map(|error| serde_json::to_string(error).expect("errors are plain JSON")),
                next.map(|next| next.0),
                attempts,
                state == OpState::InDoubt,
            ])?;
        Ok(())
    };
    let sent = op.state == OpState::InFlight;
    match &settle.outcome {
        Outcome::Acked => return acknowledge(journal, op.seq, at).map(|_| ()),
        Outcome::Queued { error, next_attempt_at, counts } => {
            let back = if sent && !counts { -1 } else { 0 };
            set(OpState::Queued, error.as_ref(), *next_attempt_at, back)?;
        }
        Outcome::InDoubt { error, next_attempt_at } => set(OpState::InDoubt, Some(error), *next_attempt_at, 0)?,
        Outcome::Auth { error } => set(OpState::Auth, Some(error), None, if sent { -1 } else { 0 })?,
        Outcome::Rejected { error } => set(OpState::Rejected, Some(error), None, 0)?,
        Outcome::Conflict { theirs, theirs_revision, base, note } => {
            set(OpState::Conflict, note.as_ref(), None, 0)?;
            conflicts::open(journal, &place, &op, base.as_ref(), theirs.as_ref(), theirs_revision.as_ref(), at)?;
            journal.settle_order(&place, at)?;
            return shadow::refresh(journal, &place).map(|_| ());
        }
        Outcome::Rebased { op: new } => {
            let standing = journal.place_of(op.seq)?;
            journal.set_state(op.seq, OpState::Superseded, at)?;
            if journal.known(new.op_id)?.is_none() {
                let new = &as_old_as(&op, new);
                let made = journal.insert(new, &place, OpState::Queued, op.after, Standing::At(standing), None)?;
                accounts::inherit(journal, op.seq, made)?;
                let moved = Moved::There(new.document.clone());
                journal.rebase_behind(&place, standing, new.document.as_ref(), None, &moved)?;
            }
            journal.settle_order(&place, at)?;
            shadow::refresh(journal, &place)?;
            return Ok(());
        }
        Outcome::Decided(decided) => {
            let Decided { op: new, copy, theirs, theirs_revision, lost } = &**decided;
            for version in lost {
                let reason = match version.side {
                    Side::Mine => VaultReason::LocalOverwritten,
                    Side::Theirs => VaultReason::RemoteOverwritten,
                };
                let revision = version.revision.as_ref().map(Revision::as_str);
                vault::keep(journal, &place, &ops::text(&version.document), revision, reason, at)?;
            }
            let standing = journal.place_of(op.seq)?;
            match new {
                Some(new) => {
                    let new = &as_old_as(&op, new);
                    journal.set_state(op.seq, OpState::Superseded, at)?;
                    let made = journal.insert(new, &place, OpState::Queued, op.after, Standing::At(standing), None)?;
                    accounts::inherit(journal, op.seq, made)?;
                    let moved = Moved::There(new.document.clone());
                    journal.rebase_behind(&place, standing, new.document.as_ref(), None, &moved)?;
                }
                None => {
                    journal.set_state(op.seq, OpState::Discarded, at)?;
                    let moved = Moved::There(theirs.clone());
                    journal.rebase_behind(&place, standing, theirs.as_ref(), theirs_revision.as_ref(), &moved)?;
                }
            }
            if let Some(copy) = copy {
                let beside = journal.place(&copy.record)?;
                let made = journal.insert(copy, &beside, OpState::Queued, None, Standing::Last, None)?;
                accounts::inherit(journal, op.seq, made)?;
                shadow::refresh(journal, &beside)?;
            }
            journal.settle_order(&place, at)?;
            shadow::refresh(journal, &place)?;
            return Ok(());
        }
        Outcome::Discarded { with } => {
            for op in together(journal.chain(&place)?, op.seq, with)? {
                keep(journal, &place, &op, VaultReason::Discarded, at)?;
                journal.set_state(op.seq, OpState::Discarded, at)?;
            }
            journal.settle_order(&place, at)?;
            shadow::refresh(journal, &place)?;
            return Ok(());
        }
    }
    journal.settle_order(&place, at)?;
    shadow::restate(journal, &place)
}

/// The ops that were found to write nothing together, where the record's chain still begins with them: had the user
/// taken the deletion back meanwhile, the creation would be lost.
fn together(mut chain: Vec<Op>, head: Seq, with: &[Seq]) -> Result<Vec<Op>> {
    let wanted = std::iter::once(head).chain(with.iter().copied());
    let behind = chain.split_off(chain.len().min(1 + with.len()));
    drop(behind);
    match chain.iter().map(|op| op.seq).eq(wanted) && chain.iter().all(Op::is_untouched) {
        true => Ok(chain),
        false => Err(StoreError::Refused(format!("the changes of the record from {head} on are others meanwhile"))),
    }
}

/// The op after an acknowledged one was made on exactly what the server now holds: then it knows the revision too.
fn follow_acknowledged(journal: &Journal, place: &Place, next: Seq) -> Result<()> {
    let Some(base) = journal.base(place)? else { return Ok(()) };
    let Some(op) = journal.op(next)? else { return Ok(()) };
    let held: Option<Value> = serde_json::from_str(&base.text).ok();
    if op.attempts == 0
        && let (Some(held), Some(made_on)) = (held, &op.base)
        && json::same_value(&held, made_on)
    {
        journal
            .connection
            .prepare_cached("UPDATE ops SET base_revision = ?2 WHERE seq = ?1")?
            .execute(params![next.0, base.revision])?;
    }
    Ok(())
}

/// Puts what an op would have made into the vault: its document, or for a delete what it would have deleted.
pub(in crate::store) fn keep(
    journal: &Journal,
    place: &Place,
    op: &Op,
    reason: VaultReason,
    at: Timestamp,
) -> Result<()> {
    let Some(document) = op.document.as_ref().or(op.base.as_ref()) else { return Ok(()) };
    let revision = op.base_revision.as_ref().map(Revision::as_str);
    vault::keep(journal, place, &ops::text(document), revision, reason, at)
}

/// A process that becomes leader: whatever was being sent may or may not have arrived.
pub(in crate::store) fn recover(journal: &Journal) -> Result<u64> {
    let mut select = journal
        .connection
        .prepare_cached("SELECT collection, key, record, seq FROM ops WHERE state = 'in_flight' ORDER BY seq")?;
    let found = select
        .query_map([], |row| {
            let place = Place { collection: row.get(0)?, key: row.get(1)?, id: RecordId(row.get(2)?) };
            Ok((place, Seq(row.get(3)?)))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for (place, seq) in &found {
        journal
            .connection
            .prepare_cached("UPDATE ops SET state = ?2, was_in_doubt = 1, next_attempt_at = NULL WHERE seq = ?1")?
            .execute(params![seq.0, OpState::InDoubt.word()])?;
        shadow::restate(journal, place)?;
    }
    Ok(found.len() as u64)
}

/// New credentials: ops that waited for them may go.
pub(in crate::store) fn release_auth(journal: &Journal, source: &SourceName) -> Result<u64> {
    let mut select = journal.connection.prepare_cached(
        "SELECT o.collection, o.key, o.record, o.seq FROM ops o JOIN collections c ON c.id = o.collection \
         LEFT JOIN accounts a ON a.source = c.source \
         WHERE o.state = 'auth' AND c.source = ?1 \
         AND (o.author = '' OR o.author IS coalesce(a.principal, o.author) OR o.confirmed_as IS a.principal)",
    )?;
    let found = select
        .query_map([source.as_str()], |row| {
            let place = Place { collection: row.get(0)?, key: row.get(1)?, id: RecordId(row.get(2)?) };
            Ok((place, Seq(row.get(3)?)))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for (place, seq) in &found {
        journal
            .connection
            .prepare_cached(
                "UPDATE ops SET state = CASE WHEN was_in_doubt THEN 'in_doubt' ELSE 'queued' END, \
                 next_attempt_at = NULL WHERE seq = ?1",
            )?
            .execute([seq.0])?;
        shadow::restate(journal, place)?;
    }
    Ok(found.len() as u64)
}
