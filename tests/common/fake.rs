//! A data source in memory that answers the app's needs by the rules of `model::query`, and carries out its effects.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ebbtide::{
    app::{
        effect::Need,
        event::Found,
        panes::{drafts::DraftRow, editor::check::Terms},
    },
    model::{
        activity::{Activity, Severity},
        conflict::{Conflict, Take},
        draft::{Draft, DraftKey, DraftWrite},
        edit,
        ids::{CollectionKey, OpId, RecordId, RecordKey, Revision, Seq, SessionName},
        json::Pointer,
        op::{NewOp, Op, OpCommand, OpError, OpKind, OpState, OutboxCounts},
        query::{Anchor, CollectionOverview, ListQuery, Row, Window},
        record::{Base, RecordMark, RecordView},
        rtdb,
        session::{Moment, MomentKind, SessionInfo, Slice},
        source::SourceKind,
        time::{At, Timestamp},
        vault::{Kept, KeptVersion, VaultEntry, VaultReason},
    },
    sync::event::Chain,
};
use serde_json::Value;

#[derive(Debug, Clone, Default)]
pub struct Fake {
    pub bases: BTreeMap<CollectionKey, BTreeMap<RecordId, Value>>,
    pub received_at: BTreeMap<RecordKey, Timestamp>,
    pub ops: Vec<Op>,
    pub history: Vec<Op>,
    pub conflicts: Vec<Conflict>,
    pub activity: Vec<(i64, Activity)>,
    pub drafts: Vec<Draft>,
    pub sessions: Vec<SessionInfo>,
    /// Newest first.
    pub moments: Vec<Moment>,
    pub vault: Vec<(VaultEntry, Kept)>,
    /// The journal's numbers of the drafts.
    pub draft_numbers: BTreeMap<DraftKey, i64>,
    pub next_seq: i64,
    /// Windows answer without a rank where this is set, so that it has to be asked for.
    pub no_rank: bool,
    /// Collections that a guard stopped.
    pub stopped: Vec<CollectionKey>,
}

impl Fake {
    pub fn put(&mut self, key: &CollectionKey, id: &str, document: Value) {
        self.bases.entry(key.clone()).or_default().insert(id.into(), document);
    }

    pub fn op(&mut self, record: &RecordKey, document: Option<Value>, state: OpState, seconds: u64) -> Seq {
        let base = self.local(record);
        let kind = match (&base, &document) {
            (None, _) => OpKind::Create,
            (_, None) => OpKind::Delete,
            _ => OpKind::Update,
        };
        let at = At::test(seconds);
        let new = NewOp {
            op_id: OpId::new(&at),
            record: record.clone(),
            kind,
            changes: edit::diff(base.as_ref(), document.as_ref()),
            document,
            base,
            base_revision: Some(Revision::from("18")),
            created_at: at.wall,
            author: String::new(),
        };
        let seq = self.queue(&new);
        self.ops.iter_mut().find(|op| op.seq == seq).unwrap().state = state;
        seq
    }

    pub fn find(&mut self, seq: Seq) -> &mut Op {
        self.ops.iter_mut().find(|op| op.seq == seq).unwrap()
    }

    pub fn fail(&mut self, seq: Seq, status: u16, message: &str, attempts: u32) {
        let op = self.find(seq);
        op.attempts = attempts;
        op.last_error = Some(OpError { at: op.created_at, status: Some(status), message: message.to_owned() });
    }

    pub fn lose(&mut self, record: &RecordKey, document: Value, reason: VaultReason, seconds: u64) {
        let size = document.to_string().len();
        self.keep(record, Kept::Document(document), reason, At::test(seconds).wall, size);
    }

    fn keep(&mut self, record: &RecordKey, kept: Kept, reason: VaultReason, at: Timestamp, size: usize) {
        let entry = VaultEntry {
            id: self.vault.len() as i64 + 1,
            record: record.clone(),
            reason,
            at,
            revision: (reason == VaultReason::RemoteOverwritten).then(|| Revision::from("9f31c0de77")),
            hash: String::new(),
            size: size as u64,
        };
        self.vault.push((entry, kept));
    }

    pub fn note(&mut self, seconds: u64, severity: Severity, topic: &str, text: &str) {
        let id = self.activity.len() as i64 + 1;
        self.activity.push((id, Activity::new(At::test(seconds).wall, severity, topic, text)));
    }

    pub fn queue(&mut self, new: &NewOp) -> Seq {
        if let Some(op) = self.ops.iter().find(|op| op.op_id == new.op_id) {
            return op.seq;
        }
        self.next_seq = self.next_seq.max(111) + 1;
        let seq = Seq(self.next_seq);
        let after = self.ops.iter().rev().find(|op| op.record == new.record).map(|op| op.seq);
        self.ops.push(Op {
            seq,
            op_id: new.op_id,
            record: new.record.clone(),
            kind: new.kind,
            state: OpState::Queued,
            changes: new.changes.clone(),
            document: new.document.clone(),
            base: new.base.clone(),
            base_revision: new.base_revision.clone(),
            after,
            attempts: 0,
            created_at: new.created_at,
            next_attempt_at: None,
            sent_at: None,
            settled_at: None,
            request_hash: None,
            precondition: None,
            sent_document: None,
            last_error: None,
            author: String::new(),
            was_in_doubt: false,
        });
        seq
    }

    pub fn command(&mut self, seqs: &[Seq], command: OpCommand) {
        for seq in seqs {
            match command {
                OpCommand::Discard => self.ops.retain(|op| op.seq != *seq),
                OpCommand::Hold => self.find(*seq).state = OpState::Held,
                OpCommand::Release | OpCommand::Retry | OpCommand::Send => self.find(*seq).state = OpState::Queued,
            }
        }
    }

    /// Another document in an op's place.
    pub fn replace(&mut self, seq: Seq, new: &NewOp) -> Seq {
        let at = self.ops.iter().position(|op| op.seq == seq).unwrap();
        let made = self.queue(new);
        let mut op = self.ops.pop().unwrap();
        let old = self.ops.remove(at);
        op.base.clone_from(&old.base);
        op.kind = old.kind;
        op.changes = edit::diff(op.base.as_ref(), op.document.as_ref());
        op.after = old.after;
        self.ops.insert(at, op);
        made
    }

    pub fn split(&mut self, seq: Seq, places: &[Pointer]) -> Seq {
        let whole = self.find(seq).clone();
        let mut rest = whole.document.clone();
        for place in places {
            let was = whole.base.as_ref().and_then(|base| place.get(base)).cloned();
            ebbtide::model::json::set(&mut rest, place, was);
        }
        let op = self.find(seq);
        op.changes = edit::diff(whole.base.as_ref(), rest.as_ref());
        op.document.clone_from(&rest);
        op.state = OpState::Queued;
        let at = At::test(u64::try_from(self.next_seq).unwrap());
        let held = NewOp {
            op_id: OpId::new(&at),
            record: whole.record.clone(),
            kind: OpKind::Update,
            changes: edit::diff(rest.as_ref(), whole.document.as_ref()),
            document: whole.document,
            base: rest,
            base_revision: None,
            created_at: whole.created_at,
            author: String::new(),
        };
        let held = self.queue(&held);
        self.find(held).state = OpState::Held;
        held
    }

    pub fn undo(&mut self) -> Option<Seq> {
        self.ops.pop().map(|op| op.seq)
    }

    pub fn resolve(&mut self, id: i64, take: Take, document: Option<Value>) {
        let Some(conflict) = self.conflicts.iter_mut().find(|conflict| conflict.id == id) else { return };
        conflict.resolved_at = Some(conflict.detected_at);
        conflict.resolution = Some(take);
        let seq = conflict.seq;
        match take {
            Take::Theirs => self.ops.retain(|op| op.seq != seq),
            // It may have been taken back meanwhile.
            _ => {
                if let Some(op) = self.ops.iter_mut().find(|op| op.seq == seq) {
                    op.state = OpState::Queued;
                    op.document = document;
                }
            }
        }
    }

    pub fn write_draft(&mut self, write: &DraftWrite, now: Timestamp) {
        let find = |drafts: &mut Vec<Draft>, key: &DraftKey| drafts.iter().position(|draft| draft.key == *key);
        match write {
            DraftWrite::Snapshot { key, snapshot, base, base_revision, versions } => {
                let next = self.draft_numbers.len() as i64 + 1;
                self.draft_numbers.entry(key.clone()).or_insert(next);
                let at = find(&mut self.drafts, key);
                if let Some(at) = at {
                    self.drafts.remove(at);
                }
                let draft = Draft {
                    key: key.clone(),
                    snapshot: snapshot.clone(),
                    edits: Vec::new(),
                    base: base.clone().map(Into::into),
                    base_revision: base_revision.clone(),
                    version: versions.to,
                    commit_requested: None,
                    updated_at: now,
                };
                self.drafts.insert(at.unwrap_or(self.drafts.len()), draft);
            }
            DraftWrite::Append { key, edit, versions } => {
                let at = find(&mut self.drafts, key).expect("an edit is appended to a draft that exists");
                assert_eq!(self.drafts[at].version, versions.from, "a step is made on what the journal has");
                self.drafts[at].version = versions.to;
                self.drafts[at].edits.push(edit.clone());
            }
            DraftWrite::RequestCommit { key, op } => {
                let at = find(&mut self.drafts, key).expect("a draft that exists is committed");
                self.drafts[at].commit_requested = Some(op.op_id);
            }
            DraftWrite::Remove { key, .. } => self.drafts.retain(|draft| draft.key != *key),
            DraftWrite::Discard { key } => {
                if let Some(at) = find(&mut self.drafts, key) {
                    let draft = self.drafts.remove(at);
                    let size = draft.snapshot.len();
                    self.keep(&key.record, Kept::Draft(Box::new(draft)), VaultReason::DraftDiscarded, now, size);
                }
            }
        }
    }

    fn ops_of(&self, record: &RecordKey) -> Vec<Op> {
        self.ops.iter().filter(|op| op.record == *record).cloned().collect()
    }

    pub fn local(&self, record: &RecordKey) -> Option<Value> {
        match self.ops_of(record).last() {
            Some(op) => op.document.clone(),
            None => self.bases.get(&record.collection)?.get(&record.id).cloned(),
        }
    }

    fn mark(&self, record: &RecordKey) -> RecordMark {
        if self.drafts.iter().any(|draft| draft.key.record == *record) {
            return RecordMark::Draft;
        }
        let Some(op) = self.ops_of(record).pop() else { return RecordMark::Synced };
        match (op.state, op.kind) {
            (OpState::Conflict, _) => RecordMark::Conflict,
            (OpState::Rejected, _) => RecordMark::Rejected,
            (OpState::Held, _) => RecordMark::Held,
            (_, OpKind::Create) => RecordMark::Created,
            (_, OpKind::Update) => RecordMark::Changed,
            (_, OpKind::Delete) => RecordMark::Deleted,
        }
    }

    fn changed_at(&self, record: &RecordKey) -> Option<Timestamp> {
        let own = self.ops_of(record).last().map(|op| op.created_at);
        own.or_else(|| self.received_at.get(record).copied())
    }

    /// All rows of a query in order.
    fn rows(&self, query: &ListQuery) -> Vec<Row> {
        let key = &query.collection;
        let mut ids: Vec<RecordId> =
            self.bases.get(key).map(|records| records.keys().cloned().collect()).unwrap_or_default();
        ids.extend(self.ops.iter().filter(|op| op.record.collection == *key).map(|op| op.record.id.clone()));
        ids.sort_by(|a, b| rtdb::key_order(&a.0, &b.0));
        ids.dedup();
        let mut rows: Vec<(Option<String>, Row)> = Vec::new();
        for id in ids {
            let record = key.record(id.clone());
            let base = self.bases.get(key).and_then(|records| records.get(&id));
            let Some(document) = self.local(&record).or_else(|| base.cloned()) else { continue };
            if !matches(&query.filter.0, &id, &document) {
                continue;
            }
            let cell = |pointer: &Pointer| {
                pointer.get(&document).map(|value| match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                })
            };
            let by = query.sort.by.as_ref().and_then(&cell);
            rows.push((
                by,
                Row {
                    cells: query.columns.iter().map(cell).collect(),
                    mark: self.mark(&record),
                    changed_at: self.changed_at(&record),
                    id,
                },
            ));
        }
        if query.sort.by.is_some() {
            rows.sort_by(|a, b| a.0.cmp(&b.0));
        }
        if query.sort.descending {
            rows.reverse();
        }
        rows.into_iter().map(|(_, row)| row).collect()
    }

    fn window(&self, query: &ListQuery, anchor: &Anchor, limit: usize) -> Window {
        let rows = self.rows(query);
        let length = rows.len();
        let at = |id: &RecordId| {
            let found = rows.iter().position(|row| row.id == *id);
            found.unwrap_or_else(|| {
                rows.iter().position(|row| rtdb::key_order(&row.id.0, &id.0).is_gt()).unwrap_or(length)
            })
        };
        let (from, to) = match anchor {
            Anchor::First => (0, limit),
            Anchor::Last => (length.saturating_sub(limit), length),
            Anchor::At(id) => {
                let from = at(id).min(length.saturating_sub(limit));
                (from, from + limit)
            }
            Anchor::After(id) => {
                let begin = at(id) + usize::from(rows.iter().any(|row| row.id == *id));
                (begin, begin + limit)
            }
            Anchor::Before(id) => (at(id).saturating_sub(limit), at(id)),
        };
        let to = to.min(length);
        let everything = ListQuery { filter: Default::default(), ..query.clone() };
        Window {
            rows: rows[from.min(to)..to].to_vec(),
            rank: (!self.no_rank).then_some(from as u64),
            matching: (!self.no_rank).then_some(length as u64),
            total: self.rows(&everything).len() as u64,
            at_start: from == 0,
            at_end: to == length,
            partial: false,
            filter: Default::default(),
        }
    }

    fn view(&self, record: &RecordKey) -> RecordView {
        let base = self.bases.get(&record.collection).and_then(|records| records.get(&record.id));
        let received_at = self.received_at.get(record).copied().unwrap_or(At::test(10_000_000).wall);
        let drafts = self.drafts.iter().filter(|draft| draft.key.record == *record);
        RecordView {
            key: record.clone(),
            base: base.map(|document| Base {
                document: document.clone().into(),
                revision: Some(Revision::from("18")),
                received_at,
            }),
            local: self.local(record).map(Into::into),
            mark: self.mark(record),
            ops: self.ops_of(record),
            heads: drafts.clone().map(Draft::head).collect(),
            drafts: drafts.cloned().collect(),
            conflict: self
                .conflicts
                .iter()
                .find(|conflict| conflict.record == *record && conflict.resolved_at.is_none())
                .cloned(),
        }
    }

    pub fn counts(&self) -> OutboxCounts {
        let mut counts = OutboxCounts::default();
        for op in &self.ops {
            match op.state {
                OpState::Held => counts.held += 1,
                OpState::Queued => counts.queued += 1,
                OpState::Blocked => counts.blocked += 1,
                OpState::InFlight => counts.in_flight += 1,
                OpState::InDoubt => counts.in_doubt += 1,
                OpState::Auth => counts.auth += 1,
                OpState::Conflict => counts.conflict += 1,
                OpState::Rejected => counts.rejected += 1,
                _ => {}
            }
        }
        counts
    }

    fn overview(&self, keys: &[CollectionKey]) -> Vec<CollectionOverview> {
        let of = |key: &CollectionKey| {
            let ops: Vec<&Op> = self.ops.iter().filter(|op| op.record.collection == *key).collect();
            let count = |state: OpState| ops.iter().filter(|op| op.state == state).count() as u64;
            let query = ListQuery {
                collection: key.clone(),
                columns: Vec::new(),
                filter: Default::default(),
                sort: Default::default(),
            };
            CollectionOverview {
                key: key.clone(),
                records: self.rows(&query).len() as u64,
                pending: ops.len() as u64,
                changed: ops.iter().map(|op| &op.record).collect::<BTreeSet<_>>().len() as u64,
                held: count(OpState::Held),
                drafts: self.drafts.iter().filter(|draft| draft.key.record.collection == *key).count() as u64,
                conflicts: count(OpState::Conflict),
                rejected: count(OpState::Rejected),
                last_pull: self.bases.contains_key(key).then(|| At::test(10_000_740).wall),
                checkpoint: None,
                asks: self.stopped.contains(key),
            }
        };
        keys.iter().map(of).collect()
    }

    /// The pending ops of the op's record.
    pub fn chain(&self, seq: Seq) -> Option<Chain> {
        let record = self.ops.iter().find(|op| op.seq == seq)?.record.clone();
        Some(Chain { ops: self.ops_of(&record), base: self.view(&record).base, record })
    }

    pub fn answer(&self, need: &Need, keys: &[CollectionKey]) -> Found {
        match need {
            Need::Window { query, anchor, limit } => Found::Window(Box::new(self.window(query, anchor, *limit))),
            Need::Rank { query, id } => {
                let rows = self.rows(query);
                let at = rows.iter().position(|row| row.id == *id).map(|at| at as u64);
                Found::Rank(at, Some(rows.len() as u64))
            }
            Need::Record(record) => Found::Record(Arc::new(self.view(record))),
            Need::Shown(record) => {
                let mut view = self.view(record);
                let bytes =
                    |draft: &Draft| draft.snapshot.len() + draft.base.as_ref().map_or(0, |base| base.text().len());
                view.drafts.retain(|draft| bytes(draft) <= RecordView::SMALL_DRAFT);
                Found::Record(Arc::new(view))
            }
            Need::Overview => Found::Overview(self.overview(keys)),
            Need::Outbox { limit, history, .. } => Found::Outbox {
                ops: self.ops.iter().take(*limit).cloned().collect(),
                history: self.history.iter().take(*history).cloned().collect(),
                counts: self.counts(),
            },
            Need::Op(seq) => Found::Op(self.ops.iter().find(|op| op.seq == *seq).cloned().map(Box::new)),
            // The bench knows the sources.
            Need::Plan(_) => Found::Plan(None),
            Need::Conflicts => Found::Conflicts(self.conflicts.clone()),
            Need::Vault { text, limit } => {
                let matches = |entry: &VaultEntry| entry.record.to_string().contains(text.as_str());
                let found = self.vault.iter().rev().map(|(entry, _)| entry).filter(|entry| matches(entry));
                Found::Vault(found.take(*limit).cloned().collect())
            }
            Need::KeptVersion(id) => {
                let found = self.vault.iter().find(|(entry, _)| entry.id == *id);
                Found::KeptVersion(found.map(|(entry, kept)| {
                    let view = self.view(&entry.record);
                    let revision = view.base.and_then(|base| base.revision);
                    let (entry, kept) = (entry.clone(), kept.clone());
                    Box::new(KeptVersion { entry, kept, local: view.local.as_deref().cloned(), revision })
                }))
            }
            Need::Drafts { limit } => {
                let number = |at: i64, draft: &Draft| self.draft_numbers.get(&draft.key).copied().unwrap_or(at);
                let mut numbered: Vec<(i64, &Draft)> =
                    (1..).zip(&self.drafts).map(|(at, draft)| (number(at, draft), draft)).collect();
                numbered.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
                let row = |(number, draft): (i64, &Draft)| {
                    let terms = Terms { kind: Some(SourceKind::Firebase), levels: 2, ..Terms::default() };
                    DraftRow::of(number, draft, &self.view(&draft.key.record), &terms)
                };
                Found::Drafts(numbered.into_iter().take(*limit).map(row).collect(), self.drafts.len() as u64)
            }
            Need::Activity { limit, .. } => Found::Activity(self.activity.iter().rev().take(*limit).cloned().collect()),
            Need::Sessions => Found::Sessions(self.sessions.clone()),
            Need::Moments(_) => Found::Moments(self.moments.clone(), self.drafts.clone()),
        }
    }

    pub fn keep_moment(&mut self, kind: MomentKind, slices: Vec<Slice>, at: Timestamp) {
        let id = self.moments.len() as i64 + 1;
        self.moments.insert(0, Moment { id, kind, at, saved_at: Some(at), slices });
    }

    pub fn delete_session(&mut self, name: &SessionName) {
        self.sessions.retain(|info| info.name != *name);
    }
}

fn matches(filter: &str, id: &RecordId, document: &Value) -> bool {
    filter.split_whitespace().all(|term| match term.split_once(':') {
        Some(("id", value)) => id.0.contains(value),
        Some((field, value)) => {
            let found = document.get(field).map(|found| found.to_string().to_lowercase());
            found.is_some_and(|found| found.contains(&value.to_lowercase()))
        }
        None => format!("{} {document}", id.0).to_lowercase().contains(&term.to_lowercase()),
    })
}
