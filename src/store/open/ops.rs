//! What is done to ops and conflicts: all `FULL`, group-committed.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::oneshot;

use super::{FULL_ENGINE, FULL_USER, Manner, Reply, Store};
use crate::{
    model::{
        activity::{Activity, Severity},
        draft::DraftTarget,
        ids::{OpId, RecordKey, Revision, Seq, SourceName},
        json::Pointer,
        op::{Claimed, LateOriginal, NewOp, OpCommand},
        spend::SpentRow,
        sync_status::SyncRequest,
        time::Timestamp,
    },
    store::{
        Claim, QueueEdit, Queued, Resolve, Settle, Undone, Unresolved,
        error::Result,
        journal::{
            Journal, accounts, activity, claims, commands, conflicts, drafts, guards, requests, sessions, shadow,
            spent, steps, surgery, unresolve, vault,
        },
        mirror::pages,
        writer::{Durability, Lane},
    },
};

/// Ops of one import transaction.
const BULK: usize = 100;

impl Store {
    /// Puts an edit into the outbox. The same `op_id` again answers the op that is there.
    pub fn queue(&self, edit: QueueEdit) -> Reply<Queued> {
        let manner = Manner { rows: 3, bytes: 8192, intent: "saving an edit", ..FULL_USER };
        self.ask(manner, move |journal| {
            let queued = match edit.draft.as_ref().map(|draft| &draft.key.target) {
                Some(DraftTarget::Op(seq)) => surgery::replace(journal, *seq, &edit.op)?,
                _ => journal.queue(&edit.op, None)?,
            };
            if let Some(draft) = &edit.draft {
                drafts::queued(journal, draft, edit.op.op_id)?;
            }
            if let Some((session, commit)) = &edit.session {
                sessions::commit(journal, session, commit)?;
            }
            activity::note(journal, edit.activity.as_slice())?;
            journal.nudge.journal_changed();
            Ok(queued)
        })
    }

    /// Many edits in transactions of at most 100 rows (`import`).
    pub fn queue_many(&self, edits: Vec<NewOp>) -> Reply<Vec<Queued>> {
        self.queue_all(edits, |_, _| Ok(true))
    }

    /// The same of records without an edit that waits, as it is when they are queued: another one goes its own way.
    pub fn queue_beside(&self, edits: Vec<NewOp>) -> Reply<Vec<Queued>> {
        self.queue_all(edits, |journal, op| Ok(journal.standing(&journal.place(&op.record)?)?.is_empty()))
    }

    fn queue_all(
        &self,
        edits: Vec<NewOp>,
        fits: impl Fn(&Journal, &NewOp) -> Result<bool> + Clone + Send + 'static,
    ) -> Reply<Vec<Queued>> {
        let writers = match self.writers() {
            Ok(writers) => writers,
            Err(error) => return Reply::ready(Err(error)),
        };
        if edits.is_empty() {
            return Reply::ready(Ok(Vec::new()));
        }
        let (sender, receiver) = oneshot::channel();
        let gathered = Arc::new(Mutex::new(Gathered { queued: Vec::with_capacity(edits.len()), sender: Some(sender) }));
        let mut edits = edits.into_iter().peekable();
        while edits.peek().is_some() {
            let part: Vec<NewOp> = edits.by_ref().take(BULK).collect();
            let last = edits.peek().is_none();
            let manner = Manner {
                lane: Lane::Bulk,
                durability: Durability::Full,
                hurry: false,
                rows: part.len(),
                bytes: part.len() * 2048,
                intent: "saving edits",
            };
            let (stopped, gathered) = (Arc::clone(&gathered), Arc::clone(&gathered));
            let fits = fits.clone();
            let work = move |journal: &Journal| {
                if stopped.lock().unwrap_or_else(PoisonError::into_inner).sender.is_none() {
                    // An earlier part failed, and the caller knows.
                    return Ok(Vec::new());
                }
                let mut queued = Vec::with_capacity(part.len());
                for op in &part {
                    if fits(journal, op)? {
                        queued.push(journal.queue(op, None)?);
                    }
                }
                journal.nudge.journal_changed();
                Ok(queued)
            };
            writers.journal.submit_then(manner, work, move |result| {
                let mut gathered = gathered.lock().unwrap_or_else(PoisonError::into_inner);
                let failed = match result {
                    Ok(queued) => {
                        gathered.queued.extend(queued);
                        None
                    }
                    Err(error) => Some(error),
                };
                if (failed.is_some() || last)
                    && let Some(sender) = gathered.sender.take()
                {
                    let _ = sender.send(failed.map_or_else(|| Ok(std::mem::take(&mut gathered.queued)), Err));
                }
            });
        }
        Reply(receiver)
    }

    /// Hold, release, retry, send, discard. Answers the ops it changed; an op the command does not fit is an error that says
    /// why and changes nothing.
    pub fn command(&self, seqs: Vec<Seq>, command: OpCommand, at: Timestamp) -> Reply<Vec<Seq>> {
        let manner = Manner { rows: seqs.len() * 3, intent: "changing the outbox", ..FULL_USER };
        self.ask(manner, move |journal| {
            journal.nudge.journal_changed();
            commands::command(journal, &seqs, command, at)
        })
    }

    /// Takes back the newest pending edit or step on the queue, whichever is newer: an untouched op is discarded (vault
    /// keeps it), one that was attempted gets an inverse edit queued behind it under `op_id`. `None`: nothing to undo.
    pub fn undo(&self, op_id: OpId, at: Timestamp) -> Reply<Option<Undone>> {
        self.undo_after(op_id, at, Seq(i64::MAX))
    }

    /// The same, unless an edit newer than that is on the server already, and newer than the one the user was told of.
    pub fn undo_after(&self, op_id: OpId, at: Timestamp, told: Seq) -> Reply<Option<Undone>> {
        let manner = Manner { rows: 3, intent: "taking an edit back", ..FULL_USER };
        self.ask(manner, move |journal| {
            journal.nudge.journal_changed();
            commands::undo(journal, op_id, at, told)
        })
    }

    /// Takes back the newest step on the queue only, never an edit. `None`: there is none.
    pub fn undo_step(&self, at: Timestamp) -> Reply<Option<Undone>> {
        let manner = Manner { rows: 3, intent: "taking a change of the outbox back", ..FULL_USER };
        self.ask(manner, move |journal| {
            journal.nudge.journal_changed();
            steps::undo(journal, at)
        })
    }

    /// Puts another document in the place of a queued, held or rejected op: it is superseded by a new op, whose number is
    /// answered. Refused where it may have been applied.
    pub fn edit_op(&self, seq: Seq, op_id: OpId, document: Value, at: Timestamp) -> Reply<Seq> {
        let manner = Manner { rows: 4, bytes: 8192, intent: "changing an edit", ..FULL_USER };
        self.ask(manner, move |journal| {
            journal.nudge.journal_changed();
            surgery::edit(journal, seq, op_id, &document, at)
        })
    }

    /// Takes these places out of an op into one of their own behind it, held. Answers (what is left, what was taken out).
    pub fn split_op(&self, seq: Seq, pointers: Vec<Pointer>, op_ids: [OpId; 2], at: Timestamp) -> Reply<(Seq, Seq)> {
        let manner = Manner { rows: 5, bytes: 8192, intent: "splitting an edit", ..FULL_USER };
        self.ask(manner, move |journal| {
            journal.nudge.journal_changed();
            surgery::split(journal, seq, &pointers, op_ids, at)
        })
    }

    pub fn claim(&self, claim: Claim) -> Reply<Option<Claimed>> {
        let manner = Manner { rows: 2, hurry: true, intent: "claiming a change", ..FULL_ENGINE };
        self.ask(manner, move |journal| claims::claim(journal, &claim))
    }

    pub fn settle(&self, settle: Settle) -> Reply<()> {
        let manner = Manner { rows: 2, intent: "recording an answer", ..FULL_ENGINE };
        self.ask(manner, move |journal| {
            journal.nudge.journal_changed();
            claims::settle(journal, &settle)
        })
    }

    /// A settle that ends a doubt, with what has to be guarded after it, in one transaction.
    pub fn settle_guarded(&self, settle: Settle, guard: LateOriginal) -> Reply<()> {
        let manner = Manner { rows: 3, intent: "recording an answer", ..FULL_ENGINE };
        self.ask(manner, move |journal| {
            journal.nudge.journal_changed();
            claims::settle(journal, &settle)?;
            guards::keep(journal, &guard)
        })
    }

    /// The record was read: its guards that end by `until` have done their work.
    pub fn end_guards(&self, record: RecordKey, until: Timestamp) -> Reply<()> {
        let manner = Manner { intent: "ending a guard", durability: Durability::Normal, ..FULL_ENGINE };
        self.ask(manner, move |journal| guards::end(journal, &record, until))
    }

    /// Answers when every claim and outcome that was handed in before is written. To be awaited before the lead is given up:
    /// a claim that came after the next leader's [`Store::recover_in_flight`] would be in flight for ever.
    pub fn written(&self) -> Reply<()> {
        let manner =
            Manner { intent: "finishing what is being written", durability: Durability::Normal, ..FULL_ENGINE };
        self.ask(manner, |_| Ok(()))
    }

    /// On becoming leader: every `in_flight` becomes `in_doubt`.
    pub fn recover_in_flight(&self, at: Timestamp) -> Reply<u64> {
        self.doubt_in_flight(Severity::Warning, "being sent when the last run ended", at)
    }

    /// The same for a leader that sends nothing: whoever claimed what is `in_flight` then has forgotten it.
    pub fn recover_forgotten(&self, at: Timestamp) -> Reply<u64> {
        self.doubt_in_flight(Severity::Problem, "claimed, and nobody was sending", at)
    }

    fn doubt_in_flight(&self, severity: Severity, how: &'static str, at: Timestamp) -> Reply<u64> {
        let manner = Manner { rows: 4, intent: "taking over the outbox", ..FULL_ENGINE };
        self.ask(manner, move |journal| {
            let recovered = claims::recover(journal)?;
            if recovered > 0 {
                let (were, are) = if recovered == 1 { ("change was", "it is") } else { ("changes were", "they are") };
                let text = format!("{recovered} {were} {how}: {are} in doubt");
                activity::note(journal, &[Activity::new(at, severity, "outbox", text)])?;
            }
            Ok(recovered)
        })
    }

    /// `auth` ops of a source become `queued` again (new credentials).
    pub fn release_auth(&self, source: SourceName) -> Reply<u64> {
        let manner = Manner { rows: 10, intent: "releasing changes that needed credentials", ..FULL_ENGINE };
        self.ask(manner, move |journal| claims::release_auth(journal, &source))
    }

    /// Adds bytes to what is counted by day.
    pub fn add_spent(&self, rows: Vec<SpentRow>) -> Reply<()> {
        let manner = Manner { rows: 4, intent: "counting bytes", durability: Durability::Normal, ..FULL_ENGINE };
        self.ask(manner, move |journal| spent::add(journal, &rows))
    }

    /// Keeps every process of this data dir off the network, also after a restart; or no longer.
    pub fn force_offline(&self, since: Option<Timestamp>) -> Reply<()> {
        let manner = Manner { intent: "switching forced offline", ..FULL_USER };
        self.ask(manner, move |journal| spent::force_offline(journal, since))
    }

    /// This account is signed in at the source: edits of others wait (see `journal::accounts`). Answers how many.
    pub fn sign_in(&self, source: SourceName, principal: String, at: Timestamp) -> Reply<u64> {
        let manner = Manner { rows: 10, intent: "noting who is signed in", ..FULL_ENGINE };
        self.ask(manner, move |journal| accounts::sign_in(journal, &source, &principal, at))
    }

    /// The signed in account may send what another one made. Answers how many edits that are.
    pub fn confirm_author(&self, source: SourceName, at: Timestamp) -> Reply<u64> {
        let manner = Manner { rows: 10, intent: "confirming edits of another account", ..FULL_USER };
        self.ask(manner, move |journal| accounts::confirm(journal, &source, at))
    }

    /// Resolves a conflict: the op is superseded (or dropped for `Theirs`), the loser goes to the vault, a new op on the
    /// remote revision takes its place, blocked ops behind it are released. Answers the new op's number.
    ///
    /// The mirror is given the server's side first, where it does not have a newer one: the new op stands on it.
    pub fn resolve(&self, resolve: Resolve) -> Reply<Option<Seq>> {
        let writers = match self.writers() {
            Ok(writers) => writers,
            Err(error) => return Reply::ready(Err(error)),
        };
        let (sender, receiver) = oneshot::channel();
        let journal = writers.journal.clone();
        let conflict = resolve.conflict;
        let manner = Manner { rows: 2, intent: "resolving a conflict", ..FULL_ENGINE };
        writers.mirror.submit_then(
            manner,
            move |mirror| pages::take_theirs(mirror, conflict),
            move |placed| {
                if let Err(error) = placed {
                    let _ = sender.send(Err(error));
                    return;
                }
                let manner = Manner { rows: 5, intent: "resolving a conflict", ..FULL_USER };
                journal.submit_then(
                    manner,
                    move |journal| {
                        journal.nudge.journal_changed();
                        conflicts::resolve(journal, &resolve)
                    },
                    move |result| {
                        let _ = sender.send(result);
                    },
                );
            },
        );
        Reply(receiver)
    }

    /// Keeps a conflict for a record whose server copy is gone while edits are pending (a pull, not an answer).
    pub fn conflict_from_pull(
        &self,
        record: RecordKey,
        theirs: Option<Value>,
        revision: Option<Revision>,
        at: Timestamp,
    ) -> Reply<()> {
        let manner = Manner { rows: 3, intent: "keeping a conflict", ..FULL_ENGINE };
        self.ask(manner, move |journal| conflicts::from_pull(journal, &record, theirs.as_ref(), revision.as_ref(), at))
    }

    /// A wish to the sync leader, wherever it runs.
    pub fn request(&self, request: SyncRequest, at: Timestamp) -> Reply<()> {
        let manner = Manner { intent: "asking the sync leader", durability: Durability::Normal, ..FULL_ENGINE };
        self.ask(manner, move |journal| requests::leave(journal, &request, at))
    }

    /// Takes all waiting wishes (leader only), oldest first.
    pub fn take_requests(&self) -> Reply<Vec<SyncRequest>> {
        let manner = Manner { intent: "taking requests", durability: Durability::Normal, ..FULL_ENGINE };
        self.ask(manner, requests::take)
    }

    /// Takes a resolution back: while it is unsent the conflict is open again, else its reverse is queued under `op_id`.
    pub fn unresolve(&self, conflict: i64, op_id: OpId, at: Timestamp) -> Reply<Unresolved> {
        let manner = Manner { rows: 5, intent: "taking a resolution back", ..FULL_USER };
        self.ask(manner, move |journal| {
            journal.nudge.journal_changed();
            unresolve::unresolve(journal, conflict, op_id, at)
        })
    }

    /// Removes settled ops, resolved conflicts and activity older than `before`.
    pub fn prune(&self, before: Timestamp) -> Reply<()> {
        let manner = Manner { lane: Lane::Bulk, rows: 100, intent: "removing old history", ..FULL_USER };
        self.ask(manner, move |journal| journal.prune(before))
    }

    /// Removes versions of the vault older than `before`, then the oldest until the rest takes at most `most` bytes.
    pub fn prune_vault(&self, before: Timestamp, most: u64) -> Reply<()> {
        let manner = Manner { lane: Lane::Bulk, rows: 100, intent: "removing old versions", ..FULL_USER };
        self.ask(manner, move |journal| vault::prune(journal, before, most))
    }

    /// Makes the derived table of pending records anew from the ops; answers how many of its rows were not as they
    /// should be. For `doctor`.
    pub fn rebuild_shadow(&self) -> Reply<u64> {
        let manner = Manner { lane: Lane::Bulk, rows: 100, intent: "rebuilding the pending records", ..FULL_USER };
        self.ask(manner, shadow::rebuild)
    }
}

struct Gathered {
    queued: Vec<Queued>,
    sender: Option<oneshot::Sender<Result<Vec<Queued>>>>,
}
