//! What survives a kill: journal and mirror of one client, with the rules of `store` kept small.

use std::collections::{BTreeMap, HashSet};

use ebbtide::{
    merge,
    model::{
        edit,
        ids::{OpId, RecordId, RecordKey, Revision, Seq},
        op::{LateOriginal, NewOp, Op, OpKind, OpState},
        record::Base,
        time::{At, Timestamp},
        wire::RemoteChange,
    },
    sync::{
        effect::{BaseWrite, ClaimOp, Outcome, PageWrite, SettleOp},
        event::{AppliedPage, Chain, MissingRows, OutboxSlice},
    },
};
use serde_json::Value;

#[derive(Default)]
pub struct Disk {
    pub ops: Vec<Op>,
    pub mirror: BTreeMap<RecordId, Row>,
    pub checkpoint: Option<String>,
    pub theirs: BTreeMap<i64, (Option<Value>, Option<Revision>)>,
    /// The place of an op in the order of its record; a rebased op takes its predecessor's.
    pub places: BTreeMap<i64, i64>,
    next_seq: i64,
    pub guards: Vec<LateOriginal>,
}

pub struct Row {
    pub base: Base,
    pub sweep: i64,
}

impl Disk {
    fn place(&self, op: &Op) -> i64 {
        self.places.get(&op.seq.0).copied().unwrap_or(op.seq.0)
    }

    pub fn chain(&self, record: &RecordKey) -> Vec<Op> {
        let mut ops: Vec<Op> =
            self.ops.iter().filter(|op| op.record == *record && op.state.is_pending()).cloned().collect();
        ops.sort_by_key(|op| self.place(op));
        ops
    }

    /// What the user sees.
    pub fn local(&self, record: &RecordKey) -> Option<Value> {
        let base = self.mirror.get(&record.id).map(|row| &row.base.document);
        merge::local(&self.chain(record), base)
    }

    pub fn op_mut(&mut self, seq: Seq) -> &mut Op {
        self.ops.iter_mut().find(|op| op.seq == seq).expect("the op is known")
    }

    /// The user saves an edit.
    pub fn queue(&mut self, record: &RecordKey, document: Option<Value>, at: &At) -> Option<Seq> {
        let local = self.local(record);
        let kind = match (&local, &document) {
            (None, None) => return None,
            (None, Some(_)) => OpKind::Create,
            (Some(_), Some(_)) => OpKind::Update,
            (Some(_), None) => OpKind::Delete,
        };
        let changes = edit::diff(local.as_ref(), document.as_ref());
        if changes.is_empty() {
            return None;
        }
        let revision = self.mirror.get(&record.id).and_then(|row| row.base.revision.clone());
        let new = NewOp {
            op_id: OpId::new(at),
            record: record.clone(),
            kind,
            changes,
            document,
            base: local,
            base_revision: revision,
            created_at: at.wall,
            author: String::new(),
        };
        let blocked = self
            .chain(record)
            .iter()
            .any(|op| matches!(op.state, OpState::Conflict | OpState::Rejected | OpState::Blocked));
        let state = if blocked { OpState::Blocked } else { OpState::Queued };
        Some(self.insert(new, state, None))
    }

    fn insert(&mut self, new: NewOp, state: OpState, place: Option<i64>) -> Seq {
        self.next_seq += 1;
        let seq = Seq(self.next_seq);
        if let Some(place) = place {
            self.places.insert(seq.0, place);
        }
        self.ops.push(Op {
            seq,
            op_id: new.op_id,
            record: new.record,
            kind: new.kind,
            state,
            changes: new.changes,
            document: new.document,
            base: new.base,
            base_revision: new.base_revision,
            after: None,
            attempts: 0,
            created_at: new.created_at,
            next_attempt_at: None,
            sent_at: None,
            settled_at: None,
            request_hash: None,
            precondition: None,
            sent_document: None,
            last_error: None,
            author: new.author,
            was_in_doubt: false,
        });
        seq
    }

    pub fn recover(&mut self) {
        for op in self.ops.iter_mut().filter(|op| op.state == OpState::InFlight) {
            (op.state, op.was_in_doubt, op.next_attempt_at) = (OpState::InDoubt, true, None);
        }
    }

    pub fn read_outbox(&self, now: Timestamp, exclude: &[RecordKey], limit: usize) -> OutboxSlice {
        let mut records: Vec<RecordKey> = Vec::new();
        for op in self.ops.iter().filter(|op| op.state.is_pending()) {
            if !records.contains(&op.record) {
                records.push(op.record.clone());
            }
        }
        let heads: Vec<(RecordKey, Vec<Op>)> = records
            .into_iter()
            .map(|record| (record.clone(), self.chain(&record)))
            .filter(|(_, chain)| matches!(chain[0].state, OpState::Queued | OpState::InDoubt))
            .collect();
        let due = |chain: &[Op]| chain[0].next_attempt_at.is_none_or(|next| next <= now);
        let next_attempt =
            heads.iter().filter(|(_, chain)| !due(chain)).filter_map(|(_, chain)| chain[0].next_attempt_at).min();
        let chains = heads
            .into_iter()
            .filter(|(record, chain)| due(chain) && !exclude.contains(record))
            .take(limit)
            .map(|(record, ops)| {
                let base = self.mirror.get(&record.id).map(|row| row.base.clone());
                Chain { record, ops, base }
            })
            .collect();
        let goes = |op: &&Op| matches!(op.state, OpState::Queued | OpState::InDoubt | OpState::InFlight);
        OutboxSlice { chains, next_attempt, to_go: self.ops.iter().filter(goes).count() as u64 }
    }

    pub fn claim(&mut self, claim: &ClaimOp) -> Option<Op> {
        let chain = self.chain(&claim.request.record);
        let head = chain.first().filter(|op| op.seq == claim.head)?;
        let fits = matches!(head.state, OpState::Queued | OpState::InDoubt)
            && chain.len() > claim.absorbs.len()
            && chain[1..].iter().zip(&claim.absorbs).all(|(op, seq)| op.seq == *seq && op.is_untouched());
        if !fits {
            return None;
        }
        if head.state == OpState::InDoubt {
            assert_eq!(
                head.precondition.as_ref(),
                Some(&claim.request.precondition),
                "a repeat keeps its precondition"
            );
            assert_eq!(head.sent_document, claim.request.document, "a repeat keeps its document");
        }
        // I3: at most one op of a record is on its way.
        let on_the_way = chain.iter().filter(|op| op.state.may_be_applied() && op.seq != head.seq).count();
        assert_eq!(on_the_way, 0, "two ops of {} on their way", claim.request.record);
        for seq in &claim.absorbs {
            self.op_mut(*seq).state = OpState::Superseded;
        }
        let op = self.op_mut(claim.head);
        op.state = OpState::InFlight;
        op.attempts += 1;
        op.kind = claim.request.kind;
        op.document.clone_from(&claim.request.document);
        op.sent_document.clone_from(&claim.request.document);
        op.precondition = Some(claim.request.precondition.clone());
        op.changes = edit::diff(op.base.as_ref(), op.document.as_ref());
        op.next_attempt_at = None;
        Some(op.clone())
    }

    pub fn settle(&mut self, settle: &SettleOp) {
        let op = self.op_mut(settle.seq);
        if !op.state.is_pending() {
            return;
        }
        let record = op.record.clone();
        op.settled_at = Some(settle.at);
        match settle.outcome.clone() {
            Outcome::Acked => op.state = OpState::Acked,
            Outcome::Queued { next_attempt_at, counts, .. } => {
                assert!(!op.was_in_doubt, "an op in doubt went back to queued");
                op.state = OpState::Queued;
                op.next_attempt_at = next_attempt_at;
                op.attempts -= u32::from(!counts);
            }
            Outcome::InDoubt { next_attempt_at, .. } => {
                (op.state, op.was_in_doubt, op.next_attempt_at) = (OpState::InDoubt, true, next_attempt_at);
            }
            Outcome::Auth { .. } => {
                op.state = OpState::Auth;
                op.attempts -= 1;
            }
            Outcome::Rejected { .. } => op.state = OpState::Rejected,
            Outcome::Conflict { theirs, theirs_revision, .. } => {
                op.state = OpState::Conflict;
                self.theirs.insert(settle.seq.0, (theirs, theirs_revision));
            }
            Outcome::Rebased { op: new } => {
                op.state = OpState::Superseded;
                let place = self.place(&self.ops.iter().find(|op| op.seq == settle.seq).unwrap().clone());
                self.insert(*new, OpState::Queued, Some(place));
            }
            Outcome::Decided(_) => unreachable!("the collection asks: no rule decides"),
            Outcome::Discarded => op.state = OpState::Discarded,
        }
        self.order(&record);
    }

    /// Blocks what stands behind trouble and frees what does not any more.
    fn order(&mut self, record: &RecordKey) {
        let mut trouble = false;
        for op in self.chain(record) {
            match op.state {
                OpState::Queued if trouble => self.op_mut(op.seq).state = OpState::Blocked,
                OpState::Blocked if !trouble => self.op_mut(op.seq).state = OpState::Queued,
                _ => {}
            }
            trouble |= matches!(op.state, OpState::Conflict | OpState::Rejected);
        }
    }

    /// The user answers a conflict: theirs, with what I changed on top.
    pub fn resolve(&mut self, seq: Seq, at: &At) {
        let Some((theirs, revision)) = self.theirs.remove(&seq.0) else { return };
        let op = self.op_mut(seq).clone();
        let mine = match (&theirs, op.kind) {
            (Some(theirs), OpKind::Update) => edit::apply(Some(theirs), &op.changes),
            _ => merge::intended(&op).cloned(),
        };
        self.op_mut(seq).state = OpState::Superseded;
        self.op_mut(seq).settled_at = Some(at.wall);
        let kind = match (&theirs, &mine) {
            (None, None) => None,
            (None, Some(_)) => Some(OpKind::Create),
            (Some(_), Some(_)) => Some(OpKind::Update),
            (Some(_), None) => Some(OpKind::Delete),
        };
        if let Some(kind) = kind {
            let new = NewOp {
                op_id: OpId::new(at),
                record: op.record.clone(),
                kind,
                changes: edit::diff(theirs.as_ref(), mine.as_ref()),
                document: mine,
                base: theirs,
                base_revision: revision,
                created_at: op.created_at,
                author: String::new(),
            };
            let place = self.place(&op);
            self.insert(new, OpState::Queued, Some(place));
        }
        self.order(&op.record);
    }

    pub fn store_base(&mut self, base: &BaseWrite) {
        match &base.document {
            None => {
                self.mirror.remove(&base.record.id);
            }
            Some(document) => {
                let sweep = self.mirror.get(&base.record.id).map_or(0, |row| row.sweep);
                let base_row =
                    Base { document: document.clone(), revision: base.revision.clone(), received_at: base.at };
                self.mirror.insert(base.record.id.clone(), Row { base: base_row, sweep });
            }
        }
    }

    fn is_protected(&self, id: &RecordId) -> Option<OpKind> {
        self.ops.iter().find(|op| op.record.id == *id && op.state.is_pending()).map(|op| op.kind)
    }

    pub fn apply_page(&mut self, page: &PageWrite) -> AppliedPage {
        let mut applied = AppliedPage::default();
        for change in &page.changes {
            match change {
                RemoteChange::Upsert(record) => {
                    let document: Value = serde_json::from_str(&record.text).expect("the server speaks JSON");
                    let known = self.mirror.get_mut(&record.id);
                    if let Some(row) = known
                        && merge::same_document(Some(&row.base.document), Some(&document))
                    {
                        row.sweep = page.sweep.unwrap_or(row.sweep);
                        applied.unchanged += 1;
                        continue;
                    }
                    let base = Base { document, revision: record.revision.clone(), received_at: page.at };
                    let sweep = page.sweep.unwrap_or(0);
                    match self.mirror.insert(record.id.clone(), Row { base, sweep }) {
                        Some(_) => applied.updated += 1,
                        None => applied.inserted += 1,
                    }
                }
                RemoteChange::Tombstone { id } => match self.is_protected(id) {
                    Some(kind) => applied.vanished.push((page.collection.record(id.clone()), kind)),
                    None => applied.deleted += u64::from(self.mirror.remove(id).is_some()),
                },
            }
        }
        if page.checkpoint.is_some() {
            self.checkpoint.clone_from(&page.checkpoint);
        }
        applied
    }

    pub fn missing(&self, sweep: i64) -> MissingRows {
        let missing: Vec<RecordId> =
            self.mirror.iter().filter(|(_, row)| row.sweep != sweep).map(|(id, _)| id.clone()).collect();
        MissingRows { missing: missing.len() as u64, rows: self.mirror.len() as u64, sample: missing }
    }

    pub fn finish_sweep(
        &mut self,
        collection: &ebbtide::model::ids::CollectionKey,
        sweep: i64,
        keep: &HashSet<RecordId>,
    ) -> AppliedPage {
        let mut applied = AppliedPage::default();
        for id in self.missing(sweep).sample {
            if keep.contains(&id) {
                continue;
            }
            match self.is_protected(&id) {
                Some(kind) => applied.vanished.push((collection.record(id), kind)),
                None => applied.deleted += u64::from(self.mirror.remove(&id).is_some()),
            }
        }
        applied
    }
}
