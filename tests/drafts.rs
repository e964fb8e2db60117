//! Drafts in the journal: what becomes of their record never touches them, and discarding keeps them.

#[path = "common/journal.rs"]
mod journal;

use std::{collections::HashSet, sync::Arc};

use ebbtide::{
    model::{
        draft::{Draft, DraftKey, DraftTarget, DraftVersion, DraftWrite, Versions},
        edit,
        ids::{OpId, RecordId, Seq},
        json::Pointer,
        op::{NewOp, OpKind, Precondition},
        session::UiCommit,
        time::{At, Clock, Timestamp},
        vault::{Kept, VaultReason},
        wire::RemoteChange,
    },
    store::{Claim, NewBase, OpenMode, Outcome, PullPage, QueueEdit, Reader, Settle, Store},
};
use journal::{Ticking, edit_of, page, tasks, upsert};
use proptest::prelude::*;
use serde_json::{Value, json};

struct World {
    _dir: tempfile::TempDir,
    store: Store,
    ids: u64,
}

fn key(id: &str, target: DraftTarget) -> DraftKey {
    DraftKey { record: tasks().record(id), target }
}

fn begun(key: &DraftKey, text: &str, base: Option<Value>) -> DraftWrite {
    DraftWrite::Snapshot {
        key: key.clone(),
        snapshot: text.to_owned(),
        base,
        base_revision: Some("r1".into()),
        versions: Versions::new(0, 1),
    }
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(Ticking::default());
        let store = Store::open(dir.path(), OpenMode::ReadWrite, clock).unwrap();
        Self { _dir: dir, store, ids: 0 }
    }

    fn reader(&self) -> Reader {
        self.store.reader().unwrap()
    }

    fn at(&self) -> Timestamp {
        At::test(500_000 + self.ids).wall
    }

    fn write(&self, drafts: Vec<DraftWrite>) {
        self.store.commit_ui(&"s".into(), UiCommit { drafts, ..UiCommit::default() }).wait().unwrap();
    }

    fn drafts(&self) -> Vec<Draft> {
        self.reader().drafts().unwrap()
    }

    fn pull(&self, changes: Vec<RemoteChange>, sweep: Option<i64>) {
        let page = PullPage { sweep, ..page(changes, self.at()) };
        self.store.apply_page(page).wait().unwrap();
    }

    fn local(&self, id: &str) -> Option<Value> {
        self.reader().record(&tasks().record(id)).unwrap().local.as_deref().cloned()
    }

    fn queue(&mut self, id: &str, base: Option<Value>, to: Option<Value>, draft: Option<DraftKey>) -> Seq {
        self.ids += 1;
        let op_id = OpId::new(&At::test(1_000_000 + self.ids));
        let op = edit_of(tasks().record(id), base, to, op_id, self.at());
        let op = NewOp { author: "me".to_owned(), ..op };
        let draft =
            self.drafts().into_iter().find(|found| draft.as_ref() == Some(&found.key)).map(|found| found.text());
        self.store.queue(QueueEdit { op, draft, session: None, activity: None }).wait().unwrap().seq
    }

    fn log(&self) -> Vec<String> {
        self.reader().activity(None, 100).unwrap().into_iter().map(|(_, row)| row.text).collect()
    }
}

fn gone(id: &str) -> RemoteChange {
    RemoteChange::Tombstone { id: id.into() }
}

#[test]
fn a_discarded_draft_is_in_the_vault_with_all_that_makes_it_a_draft_again() {
    let world = World::new();
    let key = key("a", DraftTarget::Field(Pointer::parse("/n")));
    world.write(vec![begun(&key, "{not json", Some(json!({"n": 1})))]);
    let append = DraftWrite::Append { key: key.clone(), edit: "+x".to_owned(), versions: Versions::new(1, 2) };
    world.write(vec![append]);
    let before = world.drafts();
    world.write(vec![DraftWrite::Discard { key: key.clone() }]);
    assert_eq!(world.drafts(), []);
    world.write(vec![DraftWrite::Discard { key: key.clone() }]);
    let entries = world.reader().vault_list(None, None, 10).unwrap();
    assert_eq!(entries.iter().map(|entry| entry.reason).collect::<Vec<_>>(), [VaultReason::DraftDiscarded]);
    let kept = world.reader().kept_version(entries[0].id).unwrap().unwrap();
    let Kept::Draft(draft) = kept.kept else { panic!("{kept:?}") };
    assert_eq!(*draft, before[0]);

    world.write(vec![begun(&key, "another", None)]);
    let other = world.store.restore_draft(*draft, world.at()).wait().unwrap();
    let restored = world.drafts();
    assert_eq!((&restored[0].snapshot, &restored[0].edits), (&before[0].snapshot, &before[0].edits));
    assert_eq!((&restored[0].base, &restored[0].base_revision), (&before[0].base, &before[0].base_revision));
    let kept = world.reader().kept_version(other.unwrap()).unwrap().unwrap();
    assert!(matches!(&kept.kept, Kept::Draft(draft) if draft.snapshot == "another"), "{kept:?}");
}

fn append(key: &DraftKey, edit: &str, from: i64, to: i64) -> DraftWrite {
    DraftWrite::Append { key: key.clone(), edit: edit.to_owned(), versions: Versions::new(from, to) }
}

fn whole(key: &DraftKey, text: &str, from: i64, to: i64) -> DraftWrite {
    let versions = Versions::new(from, to);
    DraftWrite::Snapshot { key: key.clone(), snapshot: text.to_owned(), base: None, base_revision: None, versions }
}

#[test]
fn a_step_made_on_another_text_is_refused_and_a_whole_text_keeps_the_other_in_the_vault() {
    let world = World::new();
    let key = key("a", DraftTarget::Document);
    world.write(vec![whole(&key, "text", 0, 1), append(&key, "+one", 1, 2)]);
    // Another window, which has read neither: its step would be typed into a text it does not show.
    for from in [0, 1, 3] {
        let commit = UiCommit { drafts: vec![append(&key, "+other", from, 9)], ..UiCommit::default() };
        let refused = world.store.commit_ui(&"other".into(), commit).wait().unwrap_err().to_string();
        assert!(refused.contains("another window typed in the draft of `tasks/a`"), "{refused}");
    }
    assert_eq!(world.drafts()[0].edits, ["+one"]);

    world.write(vec![whole(&key, "other text", 1, 9)]);
    let now = &world.drafts()[0];
    assert_eq!((&*now.snapshot, now.edits.len(), now.version), ("other text", 0, DraftVersion(9)));
    let entries = world.reader().vault_list(None, None, 10).unwrap();
    assert_eq!(entries.iter().map(|entry| entry.reason).collect::<Vec<_>>(), [VaultReason::DraftReplaced]);
    let Kept::Draft(kept) = world.reader().kept_version(entries[0].id).unwrap().unwrap().kept else { panic!() };
    assert_eq!((&*kept.snapshot, kept.edits), ("text", vec!["+one".to_owned()]));
    let said = "Two windows typed in the draft of tasks/a at once; the text that gave way is in the vault";
    assert_eq!(world.log()[0], said);

    // Its own texts replace each other without a word, one that was written already too.
    world.write(vec![whole(&key, "more", 9, 10)]);
    world.write(vec![whole(&key, "more", 9, 10), append(&key, "+two", 10, 11)]);
    assert_eq!(world.reader().vault_list(None, None, 10).unwrap().len(), 1);
}

#[test]
fn what_is_typed_while_the_draft_is_queued_or_ended_by_another_window_stays() {
    let world = World::new();
    let key = key("a", DraftTarget::Document);
    let document = json!({"n": 1});
    let op = NewOp {
        op_id: OpId::new(&At::test(7)),
        record: key.record.clone(),
        kind: OpKind::Create,
        changes: edit::diff(None, Some(&document)),
        document: Some(document),
        base: None,
        base_revision: None,
        created_at: world.at(),
        author: "me".to_owned(),
    };
    let made = op.clone();
    world.write(vec![
        whole(&key, "text", 0, 1),
        DraftWrite::RequestCommit { key: key.clone(), op: Box::new(op.clone()) },
    ]);
    let queueing = world.drafts()[0].text();
    world.write(vec![append(&key, "+one", 1, 2)]);
    world.store.queue(QueueEdit { op, draft: Some(queueing), session: None, activity: None }).wait().unwrap();
    let draft = &world.drafts()[0];
    assert_eq!((&*draft.snapshot, draft.commit_requested), ("text", None), "the op is queued, the rest is a draft");
    assert_eq!(world.reader().commit_requests().unwrap(), []);

    // A wish found by a start, with a step that was typed after it.
    let document = json!({"n": 2});
    let later = NewOp { op_id: OpId::new(&At::test(8)), document: Some(document), ..made };
    let wish = DraftWrite::RequestCommit { key: key.clone(), op: Box::new(later.clone()) };
    world.write(vec![whole(&key, "more", 2, 3), wish, append(&key, "+two", 3, 4)]);
    let [(found, op)] = &world.reader().commit_requests().unwrap()[..] else { panic!() };
    assert_eq!(op.op_id, later.op_id);
    let edit = QueueEdit { op: later, draft: Some(found.clone()), session: None, activity: None };
    world.store.queue(edit).wait().unwrap();
    assert_eq!((world.drafts()[0].edits.len(), world.drafts()[0].commit_requested), (1, None));

    world.write(vec![DraftWrite::Remove { key: key.clone(), version: DraftVersion(1) }]);
    assert_eq!(world.drafts(), []);
    let entries = world.reader().vault_list(None, None, 10).unwrap();
    assert_eq!(entries.iter().map(|entry| entry.reason).collect::<Vec<_>>(), [VaultReason::DraftDiscarded]);
}

#[test]
fn a_record_that_vanishes_leaves_its_draft_its_last_copy_in_the_vault_and_a_note() {
    let mut world = World::new();
    let document = json!({"n": 1});
    let rows = ["a", "b", "c"].map(|id| upsert(id, None, &document));
    world.pull(rows.to_vec(), None);
    let typed = ["a", "b", "c"].map(|id| key(id, DraftTarget::Document));
    world.write(typed.iter().map(|key| begun(key, "typed", Some(document.clone()))).collect());
    world.queue("c", Some(document.clone()), Some(json!({"n": 2})), None);
    let before = world.drafts();

    world.pull(vec![gone("a")], None);
    assert_eq!(world.local("a"), None, "no row stays that the server does not have");
    world.store.begin_sweep(tasks(), 1).wait().unwrap();
    world.pull(vec![upsert("d", None, &document)], Some(1));
    let swept = world.store.finish_sweep(tasks(), 1, HashSet::new(), world.at()).wait().unwrap();
    assert_eq!((swept.deleted, swept.protected), (1, vec![RecordId::from("c")]), "a pending edit still protects");
    assert_eq!(world.local("b"), None);

    assert_eq!(world.drafts(), before);
    let log = world.log();
    for id in ["a", "b"] {
        assert!(log.contains(&format!("tasks/{id} is gone on the server; your draft of it is kept")), "{log:?}");
    }
    assert_eq!(log.iter().filter(|line| line.contains("is gone")).count(), 2, "{log:?}");
    let kept = world.reader().vault_list(None, None, 10).unwrap();
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|entry| entry.reason == VaultReason::RemovedByPull));
    let (listed, total) = world.reader().draft_list(2).unwrap();
    assert_eq!((listed.len(), total), (2, 3));
    assert_eq!(listed[0].1, typed[2], "the one begun last first");
}

#[test]
fn a_draft_begun_before_a_queued_edit_does_not_take_that_edit_back() {
    let mut world = World::new();
    let base = json!({"a": 1, "b": 1});
    world.pull(vec![upsert("r", None, &base)], None);
    world.queue("r", Some(base.clone()), Some(json!({"a": 2, "b": 1})), None);
    let seq = world.queue("r", Some(base), Some(json!({"a": 1, "b": 5})), None);
    assert_eq!(world.local("r"), Some(json!({"a": 2, "b": 5})));
    let op = world.reader().op(seq).unwrap().unwrap();
    assert_eq!(op.document, Some(json!({"a": 2, "b": 5})), "what is sent is what is shown");
    assert_eq!(op.base, Some(json!({"a": 2, "b": 1})));
    let chain = world.reader().chain(&tasks().record("r")).unwrap().unwrap();
    let Some(ebbtide::merge::Coalesced::Write { document, .. }) = ebbtide::merge::coalesce(&chain.ops) else {
        panic!()
    };
    assert_eq!(document, world.local("r"));
}

/// What may happen to the records of drafts: by the server, and by the user elsewhere.
#[derive(Debug, Clone)]
enum Step {
    Upsert(usize, i64),
    Tombstone(usize),
    Sweep(Vec<usize>),
    Queue(usize, Option<i64>),
    SendAndAcknowledge(usize),
    Reject(usize),
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    let record = 0..3_usize;
    prop_oneof![
        4 => (record.clone(), 0..4_i64).prop_map(|(at, n)| Step::Upsert(at, n)),
        3 => record.clone().prop_map(Step::Tombstone),
        2 => prop::collection::vec(record.clone(), 0..3).prop_map(Step::Sweep),
        3 => (record.clone(), prop::option::of(0..4_i64)).prop_map(|(at, n)| Step::Queue(at, n)),
        3 => record.clone().prop_map(Step::SendAndAcknowledge),
        1 => record.prop_map(Step::Reject),
        1 => Just(Step::Forget),
    ]
}

const IDS: [&str; 3] = ["a", "b", "c"];

impl World {
    fn take(&mut self, step: &Step, sweep: &mut i64) {
        let document = |n: i64| json!({"n": n, "by": "server"});
        match step {
            Step::Upsert(at, n) => self.pull(vec![upsert(IDS[*at], None, &document(*n))], None),
            Step::Tombstone(at) => self.pull(vec![gone(IDS[*at])], None),
            Step::Sweep(seen) => {
                *sweep += 1;
                self.store.begin_sweep(tasks(), *sweep).wait().unwrap();
                self.pull(seen.iter().map(|at| upsert(IDS[*at], None, &document(0))).collect(), Some(*sweep));
                self.store.finish_sweep(tasks(), *sweep, HashSet::new(), self.at()).wait().unwrap();
            }
            Step::Queue(at, n) => {
                let local = self.local(IDS[*at]);
                let to = n.map(|n| json!({"n": n, "by": "me"}));
                if local.is_some() || to.is_some() {
                    self.queue(IDS[*at], local, to, None);
                }
            }
            Step::SendAndAcknowledge(at) | Step::Reject(at) => {
                let record = tasks().record(IDS[*at]);
                let Some(chain) = self.reader().chain(&record).unwrap() else { return };
                let Some(head) = chain.ops.first().cloned() else { return };
                let claim = Claim {
                    known: None,
                    head: head.seq,
                    absorbs: Vec::new(),
                    kind: head.kind,
                    sent_document: head.document.clone(),
                    precondition: Precondition::Absent,
                    request_hash: "h".to_owned(),
                    at: self.at(),
                };
                if self.store.claim(claim).wait().unwrap().is_none() {
                    return;
                }
                let outcome = match step {
                    Step::Reject(_) => Outcome::Rejected {
                        error: ebbtide::model::op::OpError { at: self.at(), status: Some(422), message: "no".into() },
                    },
                    _ => {
                        let document = head.document;
                        let base =
                            NewBase { record, document, revision: Some("r9".into()), found: false, at: self.at() };
                        self.store.acknowledge(vec![base]).wait().unwrap();
                        Outcome::Acked
                    }
                };
                self.store.settle(Settle { seq: head.seq, joins: Vec::new(), outcome, at: self.at() }).wait().unwrap();
            }
            Step::Forget => self.store.forget(tasks()).wait().unwrap(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// P5: text, cursor (both in the snapshot and its edits) and base of every draft stay as they were typed.
    #[test]
    fn nothing_that_happens_to_its_record_touches_a_draft(steps in prop::collection::vec(step(), 1..30)) {
        let mut world = World::new();
        world.pull(IDS.iter().map(|id| upsert(id, None, &json!({"n": 0}))).collect(), None);
        let op = world.queue("a", Some(json!({"n": 0})), Some(json!({"n": 9})), None);
        let keys = [
            key("a", DraftTarget::Document),
            key("a", DraftTarget::Op(op)),
            key("b", DraftTarget::Field(Pointer::parse("/n"))),
            key("c", DraftTarget::Document),
            key("new", DraftTarget::New),
        ];
        for (number, key) in keys.iter().enumerate() {
            let snapshot = format!("{{\"buffer\": \"half a tex\", \"caret\": {number}");
            world.write(vec![begun(key, &snapshot, (number < 4).then(|| json!({"n": number})))]);
            let versions = Versions::new(1, 2);
            world.write(vec![DraftWrite::Append { key: key.clone(), edit: format!("+{number}"), versions }]);
        }
        let before = world.drafts();
        prop_assert_eq!(before.len(), keys.len());
        let mut sweep = 0;
        for (at, step) in steps.iter().enumerate() {
            world.take(step, &mut sweep);
            prop_assert_eq!(world.drafts(), before.clone(), "after step {} of {:?}", at, steps);
        }
    }
}
