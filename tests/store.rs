//! The store's contract, on real files in temporary directories.

#[path = "common/journal.rs"]
mod journal;

use std::{collections::HashSet, path::Path, sync::Arc, time::Duration};

use ebbtide::{
    model::{
        conflict::{Lost, Side, Take},
        draft::{Draft, DraftKey, DraftTarget, DraftText, DraftVersion, DraftWrite, Versions},
        edit,
        ids::{OpId, RecordId, Revision, Seq, SessionName},
        json::Pointer,
        op::{Claimed, LateOriginal, NewOp, Op, OpCommand, OpError, OpKind, OpState, Precondition},
        query::{Anchor, Filter, ListQuery, Sort, Window},
        record::{Buried, RecordMark, RecordView},
        session::{Slice, UiCommit},
        sync_status::SyncRequest,
        time::At,
        vault::{Kept, VaultQuery, VaultReason},
        window::{KeyWindow, WindowSize},
        wire::{RemoteChange, RemoteRecord, Stamps},
    },
    store::{
        Claim, Decided, Known, NewBase, OpenMode, Outcome, PullPage, QueueEdit, Reader, Resolve, Settle, Store,
        StoreError, Undone, Unresolved,
    },
};
use journal::{Ticking, at, edit_of, tasks, upsert};
use serde_json::{Value, json};

struct World {
    dir: tempfile::TempDir,
    store: Store,
    clock: Arc<Ticking>,
    ids: u64,
}

const LONG: Duration = Duration::from_secs(1_000_000);

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Ticking::default());
        let store = Store::open(dir.path(), OpenMode::ReadWrite, clock.clone()).unwrap();
        Self { dir, store, clock, ids: 0 }
    }

    fn again(self) -> Self {
        let Self { dir, store, clock, ids } = self;
        drop(store);
        let store = Store::open(dir.path(), OpenMode::ReadWrite, clock.clone()).unwrap();
        Self { dir, store, clock, ids }
    }

    fn reader(&self) -> Reader {
        self.store.reader().unwrap()
    }

    fn op_id(&mut self) -> OpId {
        self.ids += 1;
        OpId::new(&At::test(1_000_000 + self.ids))
    }

    fn pull(&self, rows: &[(&str, Value)]) {
        let changes = rows.iter().map(|(id, document)| upsert(id, None, document)).collect();
        self.store.apply_page(page(changes)).wait().unwrap();
    }

    /// An edit of what the record is here now.
    fn edit(&mut self, id: &str, to: Option<Value>) -> NewOp {
        let record = tasks().record(id);
        let view = self.reader().record(&record).unwrap();
        let (base, op_id) = (view.local.as_deref().cloned(), self.op_id());
        let op = edit_of(record, base, to, op_id, at(self.ids));
        NewOp { base_revision: view.base.and_then(|base| base.revision), author: "me".to_owned(), ..op }
    }

    fn queue(&mut self, id: &str, to: Option<Value>) -> Seq {
        let op = self.edit(id, to);
        self.store.queue(QueueEdit { op, draft: None, session: None, activity: None }).wait().unwrap().seq
    }

    fn op(&self, seq: Seq) -> Op {
        self.reader().op(seq).unwrap().unwrap()
    }

    fn state(&self, seq: Seq) -> OpState {
        self.op(seq).state
    }

    fn claim(&self, head: Seq, absorbs: &[Seq]) -> Option<Op> {
        let op = self.op(head);
        let last = absorbs.last().map_or(op.clone(), |seq| self.op(*seq));
        let claim = Claim {
            known: None,
            head,
            absorbs: absorbs.to_vec(),
            kind: op.kind,
            sent_document: last.document,
            precondition: Precondition::Absent,
            request_hash: "h".to_owned(),
            at: at(9),
        };
        self.store.claim(claim).wait().unwrap().map(|claimed| match claimed {
            Claimed::Anew(op) => *op,
            Claimed::AsRead { .. } => panic!("nothing was known of it"),
        })
    }

    fn settle(&self, seq: Seq, outcome: Outcome) {
        self.store.settle(Settle { seq, joins: Vec::new(), outcome, at: at(10) }).wait().unwrap();
    }

    /// One look at the rows that vanished.
    fn bury(&self, when: u64) -> Buried {
        self.store.bury_vanished(tasks(), 0, 0, at(when)).wait().unwrap()
    }

    /// The server holds this, by its answer to a write of ours.
    fn acknowledge(&self, id: &str, document: Value) {
        let (record, at) = (tasks().record(id), at(25));
        let base = NewBase { record, document: Some(document), revision: None, found: false, at };
        self.store.acknowledge(vec![base]).wait().unwrap();
    }

    fn window(&self, filter: &str, anchor: Anchor, limit: usize) -> Window {
        self.reader().window(&list(filter), &anchor, limit, LONG).unwrap()
    }

    /// Every matching id, page by page.
    fn ids_all(&self, filter: &str) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let mut anchor = Anchor::First;
        loop {
            let window = self.window(filter, anchor, 300);
            all.extend(ids(&window));
            if window.at_end {
                return all;
            }
            anchor = Anchor::After(all.last().unwrap().as_str().into());
        }
    }

    fn ids(&self, filter: &str) -> Vec<String> {
        ids(&self.window(filter, Anchor::First, 1_000))
    }
}

fn page(changes: Vec<RemoteChange>) -> PullPage {
    journal::page(changes, at(1))
}

fn list(filter: &str) -> ListQuery {
    ListQuery {
        collection: tasks(),
        columns: vec![ebbtide::model::json::Pointer::parse("/n")],
        filter: Filter(filter.to_owned()),
        sort: Sort::default(),
    }
}

fn ids(window: &Window) -> Vec<String> {
    window.rows.iter().map(|row| row.id.0.clone()).collect()
}

#[test]
fn an_op_that_is_known_is_claimed_without_being_read_again() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 1}))]);
    let seq = world.queue("a", Some(json!({"n": 5})));
    let read = world.op(seq);
    let claim = Claim {
        head: seq,
        absorbs: Vec::new(),
        known: Some(Known { base_revision: read.base_revision.clone() }),
        kind: read.kind,
        sent_document: read.document.clone(),
        precondition: Precondition::Absent,
        request_hash: "h".to_owned(),
        at: at(9),
    };
    // Whatever it is known by is not so: the whole op is answered, as it is.
    let other = Claim { known: Some(Known { base_revision: Some("r9".into()) }), ..claim.clone() };
    let anew = world.store.claim(other).wait().unwrap().unwrap();
    let Claimed::Anew(claimed) = anew else { panic!("{anew:?}") };
    assert_eq!(*claimed, world.op(seq));
    let error = OpError { at: at(9), status: Some(503), message: "busy".to_owned() };
    let back = Outcome::Queued { error: Some(error), next_attempt_at: None, counts: true };
    world.settle(seq, back.clone());
    let other = Claim { sent_document: Some(json!({"n": 6})), ..claim.clone() };
    let anew = world.store.claim(other).wait().unwrap().unwrap();
    assert!(matches!(&anew, Claimed::Anew(op) if op.sent_document == Some(json!({"n": 6}))), "{anew:?}");
    world.settle(seq, back);
    // It is: what its reader makes of the answer is what is in the row.
    let read = world.op(seq);
    let known = world.store.claim(claim.clone()).wait().unwrap().unwrap();
    let Claimed::AsRead { attempts, sent_at, base_revision } = known else { panic!("{known:?}") };
    let told = Op {
        state: OpState::InFlight,
        attempts,
        sent_at: Some(sent_at),
        base_revision,
        next_attempt_at: None,
        precondition: Some(claim.precondition.clone()),
        sent_document: claim.sent_document.clone(),
        request_hash: Some(claim.request_hash.clone()),
        ..read
    };
    assert_eq!(told, world.op(seq));
    // In flight it is nobody's to claim; in doubt it is read whole, for what it was sent with.
    assert_eq!(world.store.claim(claim.clone()).wait().unwrap(), None);
    let error = OpError { at: at(9), status: None, message: "no answer".to_owned() };
    world.settle(seq, Outcome::InDoubt { error, next_attempt_at: None });
    let other = Claim { precondition: Precondition::Revision("r1".into()), ..claim.clone() };
    assert!(refused(world.store.claim(other).wait()).contains("precondition"));
    assert!(matches!(world.store.claim(claim).wait().unwrap(), Some(Claimed::Anew(_))));
}

#[test]
fn an_edit_goes_out_and_comes_back_as_the_base() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 1})), ("b", json!({"n": 2}))]);
    let seq = world.queue("a", Some(json!({"n": 5})));
    let window = world.window("", Anchor::First, 10);
    assert_eq!(window.rows[0].cells, [Some("5".to_owned())]);
    assert_eq!(window.rows[0].mark, RecordMark::Changed);
    assert_eq!(world.reader().counts().unwrap().queued, 1);
    let ready = world.reader().ready(&"office".into(), at(5), &[], 4).unwrap();
    assert_eq!(ready.len(), 1);
    let claimed = world.claim(seq, &[]).unwrap();
    assert_eq!((claimed.state, claimed.attempts), (OpState::InFlight, 1));
    let base = NewBase {
        record: tasks().record("a"),
        document: Some(json!({"n": 5})),
        revision: Some("r2".into()),
        found: false,
        at: at(9),
    };
    world.store.acknowledge(vec![base]).wait().unwrap();
    world.settle(seq, Outcome::Acked);
    let view = world.reader().record(&tasks().record("a")).unwrap();
    assert_eq!((view.mark, view.local), (RecordMark::Synced, Some(json!({"n": 5}).into())));
    assert_eq!(view.base.unwrap().revision, Some("r2".into()));
    let world = world.again();
    assert_eq!(world.state(seq), OpState::Acked);
    assert_eq!(world.reader().check().unwrap(), Vec::<String>::new());
}

fn error(message: &str) -> OpError {
    OpError { at: at(10), status: Some(400), message: message.to_owned() }
}

fn session() -> SessionName {
    SessionName::from("default")
}

fn slice(body: &str) -> UiCommit {
    let slice = Slice { name: "records".to_owned(), version: 1, body: body.to_owned() };
    UiCommit { slices: vec![slice], ..UiCommit::default() }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Refused(why)) => why,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn acknowledge(world: &World, id: &str, document: Option<Value>, revision: &str) {
    let base = NewBase {
        record: tasks().record(id),
        document,
        revision: Some(Revision::from(revision)),
        found: false,
        at: at(9),
    };
    world.store.acknowledge(vec![base]).wait().unwrap();
}

// --- the outbox ------------------------------------------------------------------------------------------------------

fn snapshot(key: &DraftKey, text: &str, versions: Versions) -> DraftWrite {
    DraftWrite::Snapshot { key: key.clone(), snapshot: text.to_owned(), base: None, base_revision: None, versions }
}

fn append(key: &DraftKey, edit: &str, versions: Versions) -> DraftWrite {
    DraftWrite::Append { key: key.clone(), edit: edit.to_owned(), versions }
}

fn text(key: DraftKey, version: i64) -> DraftText {
    DraftText { key, version: DraftVersion(version) }
}

/// A draft of the whole record, begun.
fn begin_draft(world: &World, id: &str) -> DraftKey {
    let key = DraftKey { record: tasks().record(id), target: DraftTarget::Document };
    let drafts = vec![snapshot(&key, "{}", Versions::new(0, 1))];
    world.store.commit_ui(&session(), UiCommit { drafts, ..UiCommit::default() }).wait().unwrap();
    key
}

#[test]
fn a_record_that_is_to_be_deleted_shows_that_beside_a_draft_too() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 1}))]);
    begin_draft(&world, "a");
    let op = world.edit("a", None);
    world.store.queue(QueueEdit { op, draft: None, session: None, activity: None }).wait().unwrap();
    assert_eq!(world.window("", Anchor::First, 5).rows[0].mark, RecordMark::Deleted);
}

#[test]
fn queueing_the_same_op_twice_is_one_op_and_takes_the_draft_along() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 1}))]);
    let key = begin_draft(&world, "a");
    assert_eq!(world.window("", Anchor::First, 5).rows[0].mark, RecordMark::Draft);
    let op = world.edit("a", Some(json!({"n": 2})));
    let edit = QueueEdit { op, draft: Some(text(key, 1)), session: Some((session(), slice("after"))), activity: None };
    let first = world.store.queue(edit.clone()).wait().unwrap();
    assert_eq!(world.reader().drafts().unwrap(), []);
    assert_eq!(world.reader().session(&session()).unwrap().slices[0].body, "after");
    assert_eq!(world.store.queue(edit).wait().unwrap(), first);
    assert_eq!(world.reader().outbox(&[], None, 10).unwrap().len(), 1);
}

#[test]
fn a_save_that_was_painted_is_found_again_after_a_kill() {
    let mut world = World::new();
    let op = world.edit("new", Some(json!({"n": 1})));
    let key = DraftKey { record: tasks().record("new"), target: DraftTarget::New };
    let snapshot = snapshot(&key, "s", Versions::new(0, 1));
    let request = DraftWrite::RequestCommit { key: key.clone(), op: Box::new(op.clone()) };
    let commit = UiCommit { drafts: vec![snapshot, request], ..UiCommit::default() };
    world.store.commit_ui(&session(), commit).wait().unwrap();
    let world = world.again();
    assert_eq!(world.reader().commit_requests().unwrap(), [(text(key.clone(), 1), op.clone())]);
    let draft = world.reader().drafts().unwrap().pop().unwrap();
    assert_eq!((draft.edits.len(), draft.commit_requested), (0, Some(op.op_id)));
    world.store.queue(QueueEdit { op, draft: Some(text(key, 1)), session: None, activity: None }).wait().unwrap();
    assert_eq!(world.reader().commit_requests().unwrap(), []);
}

#[test]
fn a_record_that_is_only_shown_comes_without_the_texts_of_large_drafts() {
    let mut world = World::new();
    let key = |target: &str| DraftKey { record: tasks().record("a"), target: DraftTarget::from_key(target).unwrap() };
    let [large, small, asked] = ["document", "field:/n", "new"].map(key);
    let op = world.edit("a", Some(json!({"n": 1})));
    let text = |bytes: usize| format!("{{\"text\":\"{}\"}}", "é".repeat(bytes / 2));
    let drafts = vec![
        snapshot(&large, &text(RecordView::SMALL_DRAFT), Versions::new(0, 3)),
        snapshot(&small, &text(8_000), Versions::new(0, 1)),
        snapshot(&asked, "s", Versions::new(0, 2)),
        DraftWrite::RequestCommit { key: asked.clone(), op: Box::new(op) },
    ];
    world.store.commit_ui(&session(), UiCommit { drafts, ..UiCommit::default() }).wait().unwrap();
    let mut reader = world.reader();
    let whole = reader.record(&tasks().record("a")).unwrap();
    let keys = |drafts: &[Draft]| drafts.iter().map(|draft| draft.key.clone()).collect::<Vec<_>>();
    assert!(whole.is_whole() && keys(&whole.drafts) == [large.clone(), small.clone(), asked.clone()]);
    assert_eq!(whole.heads, whole.drafts.iter().map(Draft::head).collect::<Vec<_>>());
    let heads: Vec<(i64, bool)> = whole.heads.iter().map(|head| (head.version.0, head.is_requested)).collect();
    assert_eq!(heads, [(3, false), (1, false), (2, true)]);
    let shown = reader.shown(&tasks().record("a")).unwrap();
    assert!(!shown.is_whole() && keys(&shown.drafts) == [small.clone(), asked.clone()]);
    assert_eq!((&shown.heads, shown.mark), (&whole.heads, whole.mark));
    assert_eq!(reader.draft_keys().unwrap(), keys(&whole.drafts));
    assert_eq!(reader.draft(&large).unwrap().as_ref(), whole.drafts.first());
    assert_eq!(reader.draft(&DraftKey { record: tasks().record("b"), ..large.clone() }).unwrap(), None);
    drop(reader);
    let journal = rusqlite::Connection::open(world.dir.path().join("journal.db")).unwrap();
    journal.execute("UPDATE drafts SET snapshot = x'ff' WHERE target = 'field:/n'", []).unwrap();
    let whole = world.reader().record(&tasks().record("a")).unwrap();
    assert!(whole.is_whole() && keys(&whole.drafts) == [large, asked], "one that cannot be read is nowhere shown");
}

#[test]
fn only_the_oldest_op_of_a_record_can_be_claimed() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 1}))]);
    let first = world.queue("a", Some(json!({"n": 2})));
    let second = world.queue("a", Some(json!({"n": 3})));
    assert_eq!(world.op(second).after, Some(first));
    assert!(world.claim(second, &[]).is_none());
    assert!(world.claim(first, &[]).is_some());
    assert!(world.claim(first, &[]).is_none(), "it is in flight");
    assert!(world.reader().ready(&"office".into(), at(5), &[], 4).unwrap().is_empty());
    acknowledge(&world, "a", Some(json!({"n": 2})), "r2");
    world.settle(first, Outcome::Acked);
    assert_eq!(world.op(second).base_revision, Some("r2".into()), "made on what the server now holds");
    let ready = world.reader().ready(&"office".into(), at(5), &[], 4).unwrap();
    assert_eq!(ready[0].ops[0].seq, second);
    assert_eq!(ready[0].base.as_ref().unwrap().revision, Some("r2".into()));
}

#[test]
fn a_claim_absorbs_untouched_edits_right_behind_it() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 1, "m": 1}))]);
    let first = world.queue("a", Some(json!({"n": 2, "m": 1})));
    let second = world.queue("a", Some(json!({"n": 2, "m": 2})));
    let third = world.queue("a", Some(json!({"n": 3, "m": 2})));
    assert!(world.claim(first, &[third]).is_none(), "not directly behind");
    let head = world.claim(first, &[second, third]).unwrap();
    assert_eq!(head.document, Some(json!({"n": 3, "m": 2})));
    assert_eq!(head.changes.len(), 2);
    assert_eq!(world.state(second), OpState::Superseded);
    let view = world.reader().record(&tasks().record("a")).unwrap();
    assert_eq!((view.local, view.ops.len()), (Some(json!({"n": 3, "m": 2}).into()), 1));
    let fourth = world.queue("a", Some(json!({"n": 4, "m": 2})));
    world.settle(first, Outcome::Queued { error: None, next_attempt_at: None, counts: true });
    assert!(world.claim(first, &[fourth]).is_none(), "an attempted op is immutable");
}

#[test]
fn an_op_in_doubt_is_repeated_with_its_own_precondition_only() {
    let mut world = World::new();
    let seq = world.queue("a", Some(json!({"n": 2})));
    world.claim(seq, &[]).unwrap();
    world.settle(seq, Outcome::InDoubt { error: error("timeout"), next_attempt_at: None });
    let op = world.op(seq);
    assert!(op.was_in_doubt && op.state == OpState::InDoubt);
    let other = Claim {
        known: None,
        head: seq,
        absorbs: Vec::new(),
        kind: op.kind,
        sent_document: op.document.clone(),
        precondition: Precondition::Revision("x".into()),
        request_hash: "h".into(),
        at: at(9),
    };
    assert!(refused(world.store.claim(other).wait()).contains("precondition"));
    assert_eq!(world.claim(seq, &[]).unwrap().attempts, 2);
}

#[test]
fn outcomes_put_an_op_where_page_three_says() {
    let mut world = World::new();
    let seq = world.queue("a", Some(json!(1)));
    world.claim(seq, &[]).unwrap();
    world.settle(seq, Outcome::Queued { error: Some(error("offline")), next_attempt_at: Some(at(50)), counts: false });
    assert_eq!((world.state(seq), world.op(seq).attempts), (OpState::Queued, 0));
    assert!(world.reader().ready(&"office".into(), at(49), &[], 1).unwrap().is_empty());
    assert_eq!(world.reader().next_attempt(&"office".into()).unwrap(), Some(at(50)));
    assert_eq!(world.reader().ready(&"office".into(), at(50), &[], 1).unwrap().len(), 1);
    assert!(world.reader().ready(&"office".into(), at(50), &[tasks().record("a")], 1).unwrap().is_empty());
    world.claim(seq, &[]).unwrap();
    world.settle(seq, Outcome::Auth { error: error("401") });
    assert_eq!((world.state(seq), world.op(seq).attempts), (OpState::Auth, 0));
    assert_eq!(world.store.release_auth("office".into()).wait().unwrap(), 1);
    let behind = world.queue("a", Some(json!(2)));
    world.claim(seq, &[]).unwrap();
    world.settle(seq, Outcome::Rejected { error: error("too long") });
    assert_eq!((world.state(seq), world.state(behind)), (OpState::Rejected, OpState::Blocked));
    let third = world.queue("a", Some(json!(3)));
    assert_eq!(world.state(third), OpState::Blocked);
    world.store.command(vec![seq], OpCommand::Retry, at(60)).wait().unwrap();
    assert_eq!((world.state(seq), world.state(behind)), (OpState::Queued, OpState::Queued));
    assert_eq!(world.op(seq).last_error, Some(error("too long")));
    let counts = world.reader().counts().unwrap();
    assert_eq!((counts.queued, counts.pending()), (3, 3));
    assert_eq!(world.reader().check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_crash_while_sending_leaves_the_op_in_doubt() {
    let mut world = World::new();
    let seq = world.queue("a", Some(json!(1)));
    world.claim(seq, &[]).unwrap();
    let world = world.again();
    assert_eq!(world.state(seq), OpState::InFlight, "only the leader may say so");
    assert_eq!(world.store.recover_in_flight(at(20)).wait().unwrap(), 1);
    assert_eq!(world.state(seq), OpState::InDoubt);
    assert!(world.op(seq).was_in_doubt);
    assert_eq!(world.reader().ready(&"office".into(), at(20), &[], 1).unwrap().len(), 1);
}

#[test]
fn what_a_late_original_waits_for_is_guarded_from_the_settle_until_the_record_was_read() {
    let mut world = World::new();
    let seq = world.queue("a", Some(json!({"n": 1})));
    world.claim(seq, &[]).unwrap();
    world.store.recover_in_flight(at(20)).wait().unwrap();
    let guard = LateOriginal {
        record: tasks().record("a"),
        precondition: Precondition::Absent,
        content: None,
        until: at(140_000),
    };
    let settle = |outcome| Settle { seq, joins: Vec::new(), outcome, at: at(21) };
    world.store.settle_guarded(settle(Outcome::Acked), guard.clone()).wait().unwrap();
    let mut other = guard.clone();
    (other.precondition, other.content) = (Precondition::Revision("r9".into()), Some(json!({"n": 9})));
    let refused = world.store.settle_guarded(settle(Outcome::Discarded { with: Vec::new() }), other.clone()).wait();
    assert!(refused.is_err(), "no guard without its settle: {refused:?}");
    let world = world.again();
    assert_eq!(world.reader().guards().unwrap(), std::slice::from_ref(&guard));
    world.store.end_guards(guard.record.clone(), at(139_999)).wait().unwrap();
    assert_eq!(world.reader().guards().unwrap().len(), 1, "its time is not over");
    world.store.end_guards(guard.record.clone(), guard.until).wait().unwrap();
    assert_eq!(world.reader().guards().unwrap(), []);
}

#[test]
fn a_creation_outlives_a_deletion_that_was_taken_back_while_both_were_being_dropped() {
    let mut world = World::new();
    let created = world.queue("a", Some(json!({"n": 1})));
    let deleted = world.queue("a", None);
    world.store.command(vec![deleted], OpCommand::Discard, at(20)).wait().unwrap();
    let settle =
        Settle { seq: created, joins: Vec::new(), outcome: Outcome::Discarded { with: vec![deleted] }, at: at(21) };
    assert!(world.store.settle(settle.clone()).wait().is_err(), "what was read is not so any more");
    assert_eq!(world.reader().chain(&tasks().record("a")).unwrap().unwrap().ops[0].seq, created);

    let again = world.queue("a", None);
    let settle = Settle { outcome: Outcome::Discarded { with: vec![again] }, ..settle };
    world.store.settle(settle).wait().unwrap();
    assert_eq!(world.reader().chain(&tasks().record("a")).unwrap(), None);
}

#[test]
fn an_op_the_user_held_meanwhile_is_not_put_back_into_the_queue() {
    let mut world = World::new();
    let seq = world.queue("a", Some(json!(1)));
    world.store.command(vec![seq], OpCommand::Hold, at(5)).wait().unwrap();
    let outcome = Outcome::Queued { error: None, next_attempt_at: Some(at(9)), counts: true };
    let settled = world.store.settle(Settle { seq, joins: Vec::new(), outcome, at: at(6) }).wait();
    assert!(matches!(settled, Err(StoreError::Refused(_))), "{settled:?}");
    assert_eq!(world.state(seq), OpState::Held);
}

#[test]
fn an_acknowledgement_that_is_not_settled_yet_shows_no_flicker() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 1}))]);
    let first = world.queue("a", Some(json!({"n": 2})));
    let second = world.queue("a", Some(json!({"n": 2, "m": 1})));
    let shown = |world: &World| world.window("", Anchor::First, 5).rows[0].cells[0].clone().unwrap();
    world.claim(first, &[]).unwrap();
    acknowledge(&world, "a", Some(json!({"n": 2, "by": "server"})), "r2");
    assert_eq!(shown(&world), "2");
    let view = world.reader().record(&tasks().record("a")).unwrap();
    assert_eq!(view.local, Some(json!({"n": 2, "by": "server", "m": 1}).into()));
    world.settle(first, Outcome::Acked);
    assert_eq!(shown(&world), "2");
    assert_eq!(world.state(second), OpState::Queued);
}

#[test]
fn commands_that_do_not_fit_say_why_and_change_nothing() {
    let mut world = World::new();
    let a = world.queue("a", Some(json!(1)));
    let b = world.queue("b", Some(json!(1)));
    world.claim(b, &[]).unwrap();
    let why = refused(world.store.command(vec![a, b], OpCommand::Discard, at(20)).wait());
    assert!(why.contains("may have reached the server"), "{why}");
    assert_eq!(world.state(a), OpState::Queued, "nothing of a refused command stays");
    assert!(refused(world.store.command(vec![a], OpCommand::Release, at(20)).wait()).contains("not held"));
    assert!(refused(world.store.command(vec![Seq(99)], OpCommand::Hold, at(20)).wait()).contains("no op 99"));
    assert_eq!(world.store.command(vec![a], OpCommand::Hold, at(20)).wait().unwrap(), [a]);
    assert_eq!(world.window("is:held", Anchor::First, 5).rows[0].mark, RecordMark::Held);
    let later = world.queue("a", Some(json!(2)));
    assert_eq!(world.state(later), OpState::Queued, "held holds its own record by order alone");
    assert!(world.reader().ready(&"office".into(), at(20), &[], 5).unwrap().is_empty());
    world.store.command(vec![a], OpCommand::Release, at(20)).wait().unwrap();
    assert_eq!(world.reader().ready(&"office".into(), at(20), &[], 5).unwrap().len(), 1);
}

#[test]
fn discarding_takes_what_follows_and_the_vault_keeps_it() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 0}))]);
    let first = world.queue("a", Some(json!({"n": 1})));
    let second = world.queue("a", Some(json!({"n": 2})));
    let gone = world.queue("a", None);
    assert_eq!(world.window("is:deleted", Anchor::First, 5).rows[0].mark, RecordMark::Deleted);
    assert_eq!(world.store.command(vec![second], OpCommand::Discard, at(20)).wait().unwrap(), [second, gone]);
    assert_eq!(world.state(first), OpState::Queued);
    let view = world.reader().record(&tasks().record("a")).unwrap();
    assert_eq!(view.local, Some(json!({"n": 1}).into()));
    let vault = world.reader().vault_list(None, None, 10).unwrap();
    let texts: Vec<_> = vault.iter().map(|entry| world.reader().vault_text(entry.id).unwrap().unwrap()).collect();
    assert_eq!(texts, [r#"{"n":2}"#, r#"{"n":2}"#], "the second edit, and what the delete would have deleted");
}

#[test]
fn undo_goes_back_edit_by_edit_and_reverses_what_was_sent() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 0}))]);
    let first = world.queue("a", Some(json!({"n": 1})));
    let second = world.queue("a", Some(json!({"n": 2})));
    world.claim(first, &[]).unwrap();
    let undo = |world: &mut World| {
        let id = world.op_id();
        world.store.undo(id, at(30)).wait().unwrap()
    };
    assert_eq!(undo(&mut world), Some(Undone::Edit(second, tasks().record("a"))));
    assert_eq!(world.state(second), OpState::Discarded);
    let Some(Undone::Reversed { seq, by: inverse }) = undo(&mut world) else { panic!("nothing was taken back") };
    assert_eq!((seq, inverse > second), (first, true));
    assert_eq!(world.op(inverse).document, Some(json!({"n": 0})));
    assert_eq!(world.reader().record(&tasks().record("a")).unwrap().local, Some(json!({"n": 0}).into()));
    assert_eq!(undo(&mut world), None);
}

/// What was offered with the newest edit is not an older step, because that edit was sent meanwhile.
#[test]
fn undo_goes_past_an_edit_that_is_on_the_server_only_when_that_was_said() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 0})), ("b", json!({"n": 0}))]);
    let held = world.queue("a", Some(json!({"n": 1})));
    world.store.command(vec![held], OpCommand::Hold, at(20)).wait().unwrap();
    let sent = world.queue("b", Some(json!({"n": 1})));
    world.claim(sent, &[]).unwrap();
    world.settle(sent, Outcome::Acked);
    let undo = |world: &mut World, told: Seq| {
        let id = world.op_id();
        world.store.undo_after(id, at(30), told).wait().unwrap()
    };
    assert_eq!(undo(&mut world, Seq(0)), Some(Undone::Sent { seq: sent, before: Some(format!("hold of op {held}")) }));
    assert_eq!(world.state(held), OpState::Held, "nothing was done");
    assert!(matches!(undo(&mut world, sent), Some(Undone::Step { .. })));
    assert_eq!(world.state(held), OpState::Queued);
    assert_eq!(undo(&mut world, sent), Some(Undone::Edit(held, tasks().record("a"))));
    assert_eq!(undo(&mut world, sent), None);
}

#[test]
fn a_rebased_op_takes_the_place_of_the_old_one() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 0, "m": 0}))]);
    let first = world.queue("a", Some(json!({"n": 1, "m": 0})));
    let second = world.queue("a", Some(json!({"n": 2, "m": 0})));
    world.claim(first, &[]).unwrap();
    world.pull(&[("a", json!({"n": 0, "m": 5}))]);
    let mut merged = world.edit("a", Some(json!({"n": 1, "m": 5})));
    merged.changes = edit::diff(Some(&json!({"n": 0, "m": 5})), Some(&json!({"n": 1, "m": 5})));
    world.settle(first, Outcome::Rebased { op: Box::new(merged) });
    let chain = world.reader().chain(&tasks().record("a")).unwrap().unwrap();
    let documents: Vec<_> = chain.ops.iter().map(|op| op.document.clone().unwrap()).collect();
    assert_eq!(documents, [json!({"n": 1, "m": 5}), json!({"n": 2, "m": 5})]);
    assert_eq!(chain.ops[1].seq, second);
    assert_eq!(world.state(first), OpState::Superseded);
    let order: Vec<_> = world.reader().outbox(&[], None, 10).unwrap().iter().map(|op| op.seq).collect();
    assert_eq!(order, [chain.ops[0].seq, second]);
    let rest = world.reader().outbox(&[], Some(order[0]), 10).unwrap();
    assert_eq!(rest[0].seq, second);
}

/// Put behind it, a later edit of what the server changed too would overwrite that unseen.
#[test]
fn a_later_edit_of_what_the_server_changed_keeps_the_document_it_was_made_on() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 0, "m": 0, "k": 0}))]);
    let first = world.queue("a", Some(json!({"n": 1, "m": 0, "k": 0})));
    let second = world.queue("a", Some(json!({"n": 1, "m": 0, "k": 1})));
    let third = world.queue("a", Some(json!({"n": 1, "m": 7, "k": 1})));
    let fourth = world.queue("a", Some(json!({"n": 1, "m": 8, "k": 1})));
    world.claim(first, &[]).unwrap();
    world.pull(&[("a", json!({"n": 0, "m": 5, "k": 0}))]);
    let mut merged = world.edit("a", Some(json!({"n": 1, "m": 5, "k": 0})));
    merged.changes = edit::diff(Some(&json!({"n": 0, "m": 5, "k": 0})), Some(&json!({"n": 1, "m": 5, "k": 0})));
    world.settle(first, Outcome::Rebased { op: Box::new(merged) });
    let followed = world.op(second);
    assert_eq!(followed.base, Some(json!({"n": 1, "m": 5, "k": 0})));
    assert_eq!(followed.document, Some(json!({"n": 1, "m": 5, "k": 1})));
    let kept = world.op(third);
    assert_eq!(
        (kept.base, kept.document),
        (Some(json!({"n": 1, "m": 0, "k": 1})), Some(json!({"n": 1, "m": 7, "k": 1})))
    );
    assert_eq!(world.op(fourth).base, Some(json!({"n": 1, "m": 7, "k": 1})), "made on the one before it, still");
    let local = world.reader().record(&tasks().record("a")).unwrap().local;
    assert_eq!(local, Some(json!({"n": 1, "m": 8, "k": 1}).into()), "what was typed stays in sight");
}

/// Where the server changed something, an answer is not taken back by an edit that was queued before it, be it theirs or one
/// that was typed knowing theirs; the answer `mine` is what that edit was made on.
#[test]
fn an_edit_behind_a_conflict_is_judged_where_the_answer_took_the_servers_value() {
    for (take, document, base) in [
        (Take::Theirs, None, json!({"n": 1})),
        (Take::Mine, Some(json!({"n": 1})), json!({"n": 1})),
        (Take::Merged, Some(json!({"n": 4})), json!({"n": 1})),
    ] {
        let mut world = World::new();
        world.pull(&[("a", json!({"n": 0}))]);
        let first = world.queue("a", Some(json!({"n": 1})));
        let second = world.queue("a", Some(json!({"n": 2})));
        world.claim(first, &[]).unwrap();
        world.settle(
            first,
            Outcome::Conflict {
                theirs: Some(json!({"n": 9})),
                theirs_revision: Some("r9".into()),
                base: Some(json!({"n": 0})),
                note: None,
            },
        );
        let conflict = world.reader().conflicts(false).unwrap()[0].id;
        let op_id = world.op_id();
        world
            .store
            .resolve(Resolve { conflict, take, document, seen: None, op_id, at: at(40), author: String::new() })
            .wait()
            .unwrap();
        let behind = world.op(second);
        assert_eq!((behind.base, behind.document), (Some(base), Some(json!({"n": 2}))), "{take:?}");
        assert_eq!(behind.state, OpState::Queued);
    }
}

#[test]
fn what_a_rule_decided_against_is_in_the_vault_and_the_later_ops_go_on() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 0, "m": 0}))]);
    let first = world.queue("a", Some(json!({"n": 1, "m": 0})));
    let second = world.queue("a", Some(json!({"n": 1, "m": 7})));
    world.claim(first, &[]).unwrap();
    let theirs = json!({"n": 9, "m": 0});
    let lost = vec![
        Lost { side: Side::Mine, document: json!({"n": 1, "m": 0}), revision: None },
        Lost { side: Side::Theirs, document: theirs.clone(), revision: Some("r9".into()) },
    ];
    let outcome = Outcome::Decided(Box::new(Decided {
        op: None,
        copy: None,
        theirs: Some(theirs.clone()),
        theirs_revision: Some("r9".into()),
        lost,
    }));
    world.settle(first, outcome.clone());
    assert_eq!((world.state(first), world.state(second)), (OpState::Discarded, OpState::Queued));
    let next = world.op(second);
    assert_eq!((next.base, next.document), (Some(theirs), Some(json!({"n": 9, "m": 7}))));
    assert_eq!(next.base_revision, Some("r9".into()));
    let kept: Vec<_> = world
        .reader()
        .vault_list(None, None, 10)
        .unwrap()
        .into_iter()
        .map(|entry| (entry.reason, entry.revision))
        .collect();
    assert_eq!(kept, [(VaultReason::RemoteOverwritten, Some("r9".into())), (VaultReason::LocalOverwritten, None)]);
    world.settle(first, outcome);
    assert_eq!(world.reader().vault_list(None, None, 10).unwrap().len(), 2, "settled once");
}

#[test]
fn a_copy_of_mine_is_queued_as_a_record_of_its_own() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 0}))]);
    let first = world.queue("a", Some(json!({"n": 1})));
    world.claim(first, &[]).unwrap();
    let copy = world.edit("b", Some(json!({"n": 1})));
    let theirs = Some(json!({"n": 9}));
    world.settle(
        first,
        Outcome::Decided(Box::new(Decided {
            op: None,
            copy: Some(Box::new(copy)),
            theirs,
            theirs_revision: None,
            lost: Vec::new(),
        })),
    );
    let chain = world.reader().chain(&tasks().record("b")).unwrap().unwrap();
    assert_eq!((chain.ops[0].kind, chain.ops[0].state), (OpKind::Create, OpState::Queued));
    assert_eq!(world.reader().record(&tasks().record("b")).unwrap().local, Some(json!({"n": 1}).into()));
}

fn conflict(world: &mut World) -> (Seq, Seq, i64) {
    world.pull(&[("a", json!({"n": 0, "m": 0}))]);
    let first = world.queue("a", Some(json!({"n": 1, "m": 0})));
    let second = world.queue("a", Some(json!({"n": 1, "m": 7})));
    world.claim(first, &[]).unwrap();
    let theirs = json!({"n": 9, "m": 0});
    // As the engine does it: what was found is in the mirror before the op is settled by it.
    let (record, revision) = (tasks().record("a"), Some("r9".into()));
    let base = NewBase { record, document: Some(theirs.clone()), revision, found: true, at: at(10) };
    world.store.acknowledge(vec![base]).wait().unwrap();
    world.settle(
        first,
        Outcome::Conflict {
            theirs: Some(theirs),
            theirs_revision: Some("r9".into()),
            base: Some(json!({"n": 0, "m": 0})),
            note: None,
        },
    );
    assert_eq!((world.state(first), world.state(second)), (OpState::Conflict, OpState::Blocked));
    assert_eq!(world.window("is:conflict", Anchor::First, 5).rows[0].mark, RecordMark::Conflict);
    let open = world.reader().conflicts(false).unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].mine, Some(json!({"n": 1, "m": 0})));
    (first, second, open[0].id)
}

/// Found before it was known that the user holds it, or that its record is gone.
#[test]
fn what_is_not_to_be_sent_meanwhile_is_not_settled_by_what_was_found_before() {
    let refused = |world: &World, seq, outcome| {
        let settle = Settle { seq, joins: Vec::new(), outcome, at: at(30) };
        assert!(matches!(world.store.settle(settle).wait(), Err(StoreError::Refused(_))));
    };
    let mut world = World::new();
    world.pull(&[("b", json!({"n": 0, "m": 0}))]);
    let held = world.queue("b", Some(json!({"n": 1, "m": 0})));
    world.store.command(vec![held], OpCommand::Hold, at(20)).wait().unwrap();
    let moved = world.edit("b", Some(json!({"n": 1, "m": 5})));
    let decided = Decided {
        op: Some(Box::new(moved.clone())),
        copy: None,
        theirs: Some(json!({"n": 0, "m": 5})),
        theirs_revision: None,
        lost: Vec::new(),
    };
    refused(&world, held, Outcome::Rebased { op: Box::new(moved) });
    refused(&world, held, Outcome::Decided(Box::new(decided)));
    refused(&world, held, Outcome::Acked);
    assert_eq!(world.state(held), OpState::Held);
    let (first, _, id) = conflict(&mut world);
    refused(&world, first, Outcome::Acked);
    assert_eq!((world.state(first), world.reader().conflicts(false).unwrap()[0].id), (OpState::Conflict, id));
}

/// The clock may have been set back in between.
#[test]
fn what_is_newer_here_than_the_conflict_stays_where_theirs_is_taken() {
    let mut world = World::new();
    let (_, second, conflict) = conflict(&mut world);
    world.pull(&[("a", json!({"n": 30, "m": 0}))]);
    let op_id = world.op_id();
    let (take, document, author) = (Take::Theirs, None, String::new());
    world.store.resolve(Resolve { conflict, take, document, seen: None, op_id, at: at(40), author }).wait().unwrap();
    world.store.command(vec![second], OpCommand::Discard, at(41)).wait().unwrap();
    let local = world.reader().record(&tasks().record("a")).unwrap().local;
    assert_eq!(local, Some(json!({"n": 30, "m": 0}).into()));
}

#[test]
fn an_answer_that_was_split_is_taken_back_whole() {
    for by_number in [false, true] {
        let mut world = World::new();
        let (first, second, conflict) = conflict(&mut world);
        let document = Some(json!({"n": 1, "m": 5}));
        let (op_id, at_once) = (world.op_id(), at(40));
        let take = Take::Merged;
        let resolve = Resolve { conflict, take, document, seen: None, op_id, at: at_once, author: String::new() };
        let answer = world.store.resolve(resolve).wait().unwrap().unwrap();
        let ids = [world.op_id(), world.op_id()];
        let (rest, held) = world.store.split_op(answer, vec![Pointer::parse("/m")], ids, at(41)).wait().unwrap();
        let op_id = world.op_id();
        if by_number {
            assert_eq!(world.store.unresolve(conflict, op_id, at(42)).wait().unwrap(), Unresolved::Open);
        } else {
            world.store.undo_step(at(42)).wait().unwrap();
            world.store.undo(op_id, at(43)).wait().unwrap();
        }
        assert_eq!((world.state(first), world.state(second)), (OpState::Conflict, OpState::Blocked), "{by_number}");
        let pending = world.reader().outbox(&[], None, 10).unwrap();
        assert_eq!(pending.iter().map(|op| op.seq).collect::<Vec<_>>(), [first, second], "{rest} {held}");
        assert_eq!(world.reader().check().unwrap(), Vec::<String>::new());
    }
}

#[test]
fn taking_mine_queues_it_on_their_revision_and_keeps_theirs() {
    let mut world = World::new();
    let (first, second, id) = conflict(&mut world);
    let op_id = world.op_id();
    let resolve = Resolve {
        conflict: id,
        take: Take::Mine,
        document: Some(json!({"n": 1, "m": 0})),
        seen: None,
        op_id,
        at: at(40),
        author: "me".into(),
    };
    let new = world.store.resolve(resolve.clone()).wait().unwrap().unwrap();
    let op = world.op(new);
    assert_eq!(
        (op.kind, op.base_revision, op.base),
        (OpKind::Update, Some("r9".into()), Some(json!({"n": 9, "m": 0})))
    );
    assert_eq!((world.state(first), world.state(second)), (OpState::Superseded, OpState::Queued));
    assert_eq!(world.op(second).document, Some(json!({"n": 1, "m": 7})));
    let view = world.reader().record(&tasks().record("a")).unwrap();
    assert_eq!(view.base.unwrap().document, json!({"n": 9, "m": 0}).into());
    assert_eq!((view.local, view.conflict), (Some(json!({"n": 1, "m": 7}).into()), None));
    let kept = world.reader().vault_list(Some(&tasks()), None, 10).unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(world.reader().vault_text(kept[0].id).unwrap().unwrap(), r#"{"n":9,"m":0}"#);
    assert_eq!(world.store.resolve(resolve).wait().unwrap(), Some(new), "the same answer twice is one answer");
    assert_eq!(world.reader().conflicts(true).unwrap()[0].resolution, Some(Take::Mine));
}

#[test]
fn an_answer_that_was_not_sent_is_taken_back_and_the_conflict_is_open_again() {
    let mut world = World::new();
    let (first, second, id) = conflict(&mut world);
    let other = world.queue("b", Some(json!({"other": true})));
    let answer = |world: &mut World, when: u64| {
        let op_id = world.op_id();
        let document = Some(json!({"n": 5, "m": 0}));
        let resolve = Resolve {
            conflict: id,
            take: Take::Merged,
            document,
            seen: None,
            op_id,
            at: at(when),
            author: String::new(),
        };
        world.store.resolve(resolve).wait().unwrap().unwrap()
    };
    let new = answer(&mut world, 40);
    let op_id = world.op_id();
    assert_eq!(
        world.store.undo(op_id, at(41)).wait().unwrap(),
        Some(Undone::Edit(new, tasks().record("a"))),
        "the newest thing done, though not last in line"
    );
    assert_eq!(world.state(other), OpState::Queued);
    assert_eq!((world.state(new), world.state(first)), (OpState::Discarded, OpState::Conflict));
    assert_eq!(world.state(second), OpState::Blocked);
    assert_eq!(world.op(second).document, Some(json!({"n": 1, "m": 7})));
    let open = world.reader().conflicts(false).unwrap();
    assert_eq!((open[0].id, open[0].resolution), (id, None));
    assert_eq!(open[0].theirs, Some(json!({"n": 9, "m": 0})));
    assert_eq!(world.window("is:conflict", Anchor::First, 5).rows[0].mark, RecordMark::Conflict);
    let kept = world.reader().vault_list(None, None, 1).unwrap();
    assert_eq!(kept[0].reason, VaultReason::Undone);
    let again = answer(&mut world, 50);
    assert_eq!((world.state(again), world.state(second)), (OpState::Queued, OpState::Queued));
    assert_eq!(world.op(second).document, Some(json!({"n": 5, "m": 7})));
    assert_eq!(world.reader().check().unwrap(), Vec::<String>::new());
}

#[test]
fn taking_theirs_rebases_what_waited_behind() {
    let mut world = World::new();
    let (first, second, id) = conflict(&mut world);
    let op_id = world.op_id();
    let resolve = Resolve {
        conflict: id,
        take: Take::Theirs,
        document: None,
        seen: None,
        op_id,
        at: at(40),
        author: String::new(),
    };
    assert_eq!(world.store.resolve(resolve).wait().unwrap(), None);
    assert_eq!((world.state(first), world.state(second)), (OpState::Discarded, OpState::Queued));
    let op = world.op(second);
    assert_eq!((op.document, op.base_revision), (Some(json!({"n": 9, "m": 7})), Some("r9".into())));
    assert_eq!(world.reader().record(&tasks().record("a")).unwrap().local, Some(json!({"n": 9, "m": 7}).into()));
    let kept = world.reader().vault_list(None, None, 10).unwrap();
    assert_eq!(world.reader().vault_text(kept[0].id).unwrap().unwrap(), r#"{"n":1,"m":0}"#);
}

#[test]
fn an_answer_that_took_theirs_is_taken_back_and_the_conflict_is_open_again() {
    for by_number in [false, true] {
        let mut world = World::new();
        let (first, second, id) = conflict(&mut world);
        let op_id = world.op_id();
        let resolve = Resolve {
            conflict: id,
            take: Take::Theirs,
            document: None,
            seen: None,
            op_id,
            at: at(40),
            author: String::new(),
        };
        world.store.resolve(resolve.clone()).wait().unwrap();
        let op_id = world.op_id();
        if by_number {
            assert_eq!(world.store.unresolve(id, op_id, at(41)).wait().unwrap(), Unresolved::Open);
        } else {
            let what = "the answer `theirs`".to_owned();
            let undone = world.store.undo(op_id, at(41)).wait().unwrap();
            assert_eq!(undone, Some(Undone::Step { what, seqs: vec![first] }));
        }
        assert_eq!((world.state(first), world.state(second)), (OpState::Conflict, OpState::Blocked));
        assert_eq!(world.op(second).document, Some(json!({"n": 1, "m": 7})));
        let open = world.reader().conflicts(false).unwrap();
        assert_eq!((open[0].id, open[0].resolution, open[0].resolved_at), (id, None, None));
        assert_eq!(open[0].mine, Some(json!({"n": 1, "m": 0})));
        let view = world.reader().record(&tasks().record("a")).unwrap();
        assert_eq!(view.local, Some(json!({"n": 1, "m": 7}).into()), "mine is shown again");
        assert_eq!(world.reader().check().unwrap(), Vec::<String>::new());
        // It can be answered again, and only that answer is taken back then.
        let op_id = world.op_id();
        world.store.resolve(Resolve { seen: None, op_id, at: at(50), ..resolve }).wait().unwrap();
        assert_eq!((world.state(first), world.state(second)), (OpState::Discarded, OpState::Queued));
        let op_id = world.op_id();
        assert!(matches!(world.store.undo(op_id, at(51)).wait().unwrap(), Some(Undone::Step { .. })));
        assert_eq!(world.state(first), OpState::Conflict);
        let op_id = world.op_id();
        let next = world.store.undo(op_id, at(52)).wait().unwrap();
        assert!(!matches!(next, Some(Undone::Step { .. } | Undone::TooLate { .. })), "{next:?}");
    }
}

#[test]
fn an_edit_made_after_theirs_was_taken_is_taken_back_first() {
    let mut world = World::new();
    let (first, _, id) = conflict(&mut world);
    let op_id = world.op_id();
    let resolve = Resolve {
        conflict: id,
        take: Take::Theirs,
        document: None,
        seen: None,
        op_id,
        at: at(40),
        author: String::new(),
    };
    world.store.resolve(resolve).wait().unwrap();
    let later = world.queue("b", Some(json!({"later": true})));
    let op_id = world.op_id();
    assert_eq!(world.store.undo(op_id, at(41)).wait().unwrap(), Some(Undone::Edit(later, tasks().record("b"))));
    assert_eq!(world.state(first), OpState::Discarded);
    let op_id = world.op_id();
    assert!(matches!(world.store.undo(op_id, at(42)).wait().unwrap(), Some(Undone::Step { .. })));
    assert_eq!(world.state(first), OpState::Conflict);
}

#[test]
fn a_row_that_was_damaged_beside_its_revision_is_written_anew() {
    let world = World::new();
    let record = |text: &str| {
        RemoteChange::Upsert(RemoteRecord { id: "a".into(), revision: Some("r1".into()), text: text.to_owned() })
    };
    world.store.apply_page(page(vec![record(r#"{"n":1}"#)])).wait().unwrap();
    let mirror = rusqlite::Connection::open(world.dir.path().join("mirror.db")).unwrap();
    mirror.execute("UPDATE records SET body = '{\"n\":\"spoilt\"}'", []).unwrap();
    let applied = world.store.apply_page(page(vec![record(r#"{"n":1}"#)])).wait().unwrap();
    assert_eq!((applied.updated, applied.unchanged), (1, 0));
    assert_eq!(world.reader().record(&tasks().record("a")).unwrap().local, Some(json!({"n": 1}).into()));
    let again = world.store.apply_page(page(vec![record(r#"{ "n" : 1 }"#)])).wait().unwrap();
    assert_eq!((again.updated, again.unchanged), (0, 1), "another spelling is no other content");
}

#[test]
fn a_window_is_compared_by_content_within_its_keys() {
    let world = World::new();
    world.pull(&[("a", json!({"n": 1})), ("b", json!({"n": 1})), ("c", json!({"n": 1})), ("d", json!({"n": 1}))]);
    let window = |after: Option<&str>, until: Option<&str>, records: &[(&str, &str)]| KeyWindow {
        collection: tasks(),
        after: after.map(RecordId::from),
        until: until.map(RecordId::from),
        records: records
            .iter()
            .map(|(id, text)| RemoteRecord { id: (*id).into(), revision: None, text: (*text).to_owned() })
            .collect(),
        stamp: Some(Pointer::parse("/n")),
        next: WindowSize { rows: 10, bytes: 40 },
    };
    let same = world.store.compare_window(window(None, Some("b"), &[("a", r#"{ "n":1}"#), ("b", r#"{"n":1}"#)]));
    let same = same.wait().unwrap();
    assert!(same.is_none(), "{same:?}");
    assert_eq!((same.rows, same.next), (4, WindowSize { rows: 2, bytes: 32 }), "what follows: two rows of 16");
    let found = world.store.compare_window(window(Some("a"), None, &[("b", r#"{"n":0}"#), ("bb", "{}"), ("d", "9")]));
    let found = found.wait().unwrap();
    let ids = |ids: &[&str]| ids.iter().map(|id| RecordId::from(*id)).collect::<Vec<_>>();
    assert_eq!((found.differing, found.missing, found.extra), (ids(&["b", "d"]), ids(&["bb"]), ids(&["c"])));
    assert_eq!((found.extra_count, found.older_count), (1, 1), "`d` has no stamp any more");
    let untouched = world.reader().record(&tasks().record("c")).unwrap();
    assert_eq!(untouched.local, Some(json!({"n": 1}).into()), "comparing changes nothing");
    world.store.keep_checkpoint(tasks(), "here".to_owned()).wait().unwrap();
    assert_eq!(world.reader().checkpoint(&tasks()).unwrap().as_deref(), Some("here"));
}

#[test]
fn a_record_gone_on_the_server_with_edits_here_becomes_a_conflict() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 0}))]);
    let seq = world.queue("a", Some(json!({"n": 1})));
    let mut tombstone = page(vec![RemoteChange::Tombstone { id: "a".into() }]);
    tombstone.checkpoint = Some("c1".into());
    let applied = world.store.apply_page(tombstone).wait().unwrap();
    assert_eq!((applied.deleted, applied.protected), (0, vec!["a".into()]));
    world.store.conflict_from_pull(tasks().record("a"), None, None, at(30)).wait().unwrap();
    assert_eq!(world.state(seq), OpState::Conflict);
    let id = world.reader().conflicts(false).unwrap()[0].id;
    let op_id = world.op_id();
    let resolve = Resolve {
        conflict: id,
        take: Take::Theirs,
        document: None,
        seen: None,
        op_id,
        at: at(40),
        author: String::new(),
    };
    world.store.resolve(resolve).wait().unwrap();
    let view = world.reader().record(&tasks().record("a")).unwrap();
    assert_eq!((view.local, view.base), (None, None));
    assert_eq!(world.ids(""), Vec::<String>::new());
    assert_eq!(world.reader().overview(&[tasks()]).unwrap()[0].records, 0);
}

/// What the server said of a row that was kept for an edit, before the edit ended without having been sent.
#[test]
fn what_is_gone_on_the_server_goes_with_its_last_edit() {
    let document = json!({"n": 0});
    let gone = |world: &World| world.store.apply_page(page(vec![RemoteChange::Tombstone { id: "a".into() }])).wait();
    let swept = |world: &World| {
        world.store.begin_sweep(tasks(), 1).wait()?;
        world.store.finish_sweep(tasks(), 1, HashSet::from(["other".into()]), at(30)).wait()
    };
    type Then = fn(&World, Seq);
    let nothing: Then = |_, _| ();
    let came_back: Then = |world, _| world.pull(&[("a", json!({"n": 0}))]);
    let acknowledged: Then = |world, _| world.acknowledge("a", json!({"n": 0}));
    let cases: [(&str, bool, Then, Option<Value>); 6] = [
        ("a tombstone", false, nothing, None),
        ("a sweep", true, nothing, None),
        ("a tombstone, and the record came back", false, came_back, Some(document.clone())),
        ("a sweep, and the record came back", true, came_back, Some(document.clone())),
        ("a tombstone, and a write of ours arrived", false, acknowledged, Some(document.clone())),
        (
            "a tombstone, and another answer to ours",
            false,
            |world, _| world.acknowledge("a", json!({"n": 5})),
            Some(json!({"n": 5})),
        ),
    ];
    for (name, sweeps, then, left) in cases {
        let mut world = World::new();
        world.pull(&[("a", document.clone()), ("other", json!(1))]);
        let seq = world.queue("a", Some(json!({"n": 1})));
        let applied = if sweeps { swept(&world) } else { gone(&world) }.unwrap();
        assert_eq!((applied.deleted, applied.protected), (0, vec!["a".into()]), "{name}");
        then(&world, seq);
        let held = world.bury(31);
        assert_eq!((held.deleted, held.stays), (0, left.is_none()), "{name}: the edit is pending");
        world.store.command(vec![seq], OpCommand::Discard, at(32)).wait().unwrap();
        let buried = world.bury(33);
        assert_eq!((buried.deleted, buried.stays), (u64::from(left.is_none()), false), "{name}");
        let shown = world.reader().record(&tasks().record("a")).unwrap().local.map(|local| local.into_value());
        assert_eq!(shown, left, "{name}");
        assert_eq!(world.reader().overview(&[tasks()]).unwrap()[0].records, 1 + u64::from(left.is_some()), "{name}");
        let kept = world.reader().vault_list(None, None, 100).unwrap();
        let removed = kept.iter().filter(|entry| entry.reason == VaultReason::RemovedByPull).count();
        assert_eq!(removed, usize::from(left.is_none()), "{name}");
        assert_eq!(world.reader().check().unwrap(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_collection_forgotten_has_nothing_that_vanished() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 0}))]);
    world.queue("a", Some(json!({"n": 1})));
    world.store.apply_page(page(vec![RemoteChange::Tombstone { id: "a".into() }])).wait().unwrap();
    let marks = |world: &World| {
        let mirror = rusqlite::Connection::open(world.dir.path().join("mirror.db")).unwrap();
        mirror.query_row("SELECT count(*) FROM vanished", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(marks(&world), 1);
    world.store.forget(tasks()).wait().unwrap();
    assert_eq!(marks(&world), 0);
}

/// It was met: by the keys that prove what is gone, or as an older copy that nobody decided about yet.
#[test]
fn a_row_that_a_reading_finds_again_has_not_vanished() {
    let stamped = |stamp: u64| json!({"at": stamp});
    for proved in [true, false] {
        let mut world = World::new();
        world.pull(&[("a", stamped(5)), ("b", stamped(5))]);
        let seq = world.queue("a", Some(json!({"at": 5, "n": 1})));
        world.store.apply_page(page(vec![RemoteChange::Tombstone { id: "a".into() }])).wait().unwrap();
        world.store.begin_sweep(tasks(), 1).wait().unwrap();
        if proved {
            let keep = HashSet::from(["a".into(), "b".into()]);
            world.store.finish_sweep(tasks(), 1, keep, at(30)).wait().unwrap();
        } else {
            let mut older = page(vec![upsert("a", None, &stamped(3))]);
            older.stamps = Some(Stamps { field: Pointer::parse("/at"), hold: true });
            assert_eq!(world.store.apply_page(older).wait().unwrap().held.len(), 1);
        }
        world.store.command(vec![seq], OpCommand::Discard, at(32)).wait().unwrap();
        assert_eq!(world.bury(33), Buried::default(), "proved {proved}");
        assert_eq!(world.ids(""), ["a", "b"]);
    }
}

/// What came before knew no such rows.
#[test]
fn a_mirror_of_before_is_brought_up_with_its_rows() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 0})), ("b", json!({"n": 0}))]);
    let seq = world.queue("a", Some(json!({"n": 1})));
    let World { dir, store, clock, ids } = world;
    drop(store);
    sql(&dir.path().join("mirror.db"), "DROP TABLE vanished; PRAGMA user_version = 1");
    let store = Store::open(dir.path(), OpenMode::ReadWrite, clock.clone()).unwrap();
    let world = World { dir, store, clock, ids };
    assert_eq!(world.ids(""), ["a", "b"]);
    world.store.apply_page(page(vec![RemoteChange::Tombstone { id: "a".into() }])).wait().unwrap();
    world.store.command(vec![seq], OpCommand::Discard, at(32)).wait().unwrap();
    assert_eq!(world.bury(33).deleted, 1);
}

/// A server that lost much, and edits of what it lost that are discarded in one go: a few rows go, more are asked about.
#[test]
fn rows_that_vanished_go_in_parts_and_very_many_not_unasked() {
    let names: Vec<String> = (0..3_000).map(|n| format!("r{n:04}")).collect();
    let rows: Vec<_> = names.iter().map(|name| (name.as_str(), json!({"n": name}))).collect();
    let start = |many: usize| {
        let mut world = World::new();
        world.pull(&rows);
        let op = |world: &mut World, name: &str| world.edit(name, Some(json!({"n": "mine"})));
        let edits: Vec<NewOp> = names[..2_500].iter().map(|name| op(&mut world, name)).collect();
        let queued: Vec<Seq> =
            world.store.queue_many(edits).wait().unwrap().into_iter().map(|queued| queued.seq).collect();
        let gone = names[..2_500].iter().map(|name| RemoteChange::Tombstone { id: name.as_str().into() });
        world.store.apply_page(page(gone.collect())).wait().unwrap();
        world.store.command(queued[1_990..1_990 + many].to_vec(), OpCommand::Discard, at(32)).wait().unwrap();
        world
    };
    let parts = |world: &World| {
        let (mut from, mut deleted, mut parts) = (Some(0), 0, Vec::new());
        while let Some(at_row) = from.take() {
            let part = world.store.bury_vanished(tasks(), at_row, deleted, at(33)).wait().unwrap();
            (from, deleted) = (part.next, deleted + part.deleted);
            parts.push((part.deleted, part.stays, part.many));
        }
        parts
    };
    let world = start(25);
    assert_eq!(parts(&world), [(10, true, false), (15, true, false)]);
    assert_eq!(world.reader().overview(&[tasks()]).unwrap()[0].records, 2_975);
    assert_eq!(parts(&start(26)), [(10, true, false), (0, false, true)]);
    // All that is left of a collection is never deleted unasked.
    let mut world = World::new();
    world.pull(&[("a", json!(1))]);
    let seq = world.queue("a", Some(json!(2)));
    world.store.apply_page(page(vec![RemoteChange::Tombstone { id: "a".into() }])).wait().unwrap();
    world.store.command(vec![seq], OpCommand::Discard, at(32)).wait().unwrap();
    assert_eq!(world.bury(33), Buried { many: true, ..Buried::default() });
}

/// Other work holds the mirror, so that what is asked of it queues up: pages in their order, acknowledgements ahead.
#[test]
fn a_reading_begins_behind_the_pages_before_it_and_meets_what_is_acknowledged_after() {
    let world = World::new();
    world.pull(&[("same", json!(1)), ("old", json!(1))]);
    let other = rusqlite::Connection::open(world.dir.path().join("mirror.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let before = world.store.apply_page(page(vec![upsert("late", None, &json!(1))]));
    let begun = world.store.begin_sweep(tasks(), 1);
    let base = |id: &str| NewBase {
        record: tasks().record(id),
        document: Some(json!(1)),
        revision: None,
        found: false,
        at: at(25),
    };
    let acknowledged = world.store.acknowledge(vec![base("same"), base("new")]);
    other.execute_batch("COMMIT").unwrap();
    acknowledged.wait().unwrap();
    before.wait().unwrap();
    begun.wait().unwrap();
    let missing = world.store.missing(tasks(), 1).wait().unwrap();
    assert_eq!(missing.sample, ["late".into(), "old".into()]);
}

/// What was asked of a reading comes after the beginning of the next one, which nothing was met by yet.
#[test]
fn a_reading_that_was_given_up_deletes_nothing() {
    let world = World::new();
    let rows: Vec<String> = (0..500).map(|n| format!("r{n:03}")).collect();
    world.pull(&rows.iter().map(|name| (name.as_str(), json!(1))).collect::<Vec<_>>());
    world.store.begin_sweep(tasks(), 1).wait().unwrap();
    let page_of = |sweep: i64, names: &[String]| {
        let mut page = page(names.iter().map(|name| upsert(name, None, &json!(1))).collect());
        page.sweep = Some(sweep);
        page
    };
    world.store.apply_page(page_of(1, &rows[..499])).wait().unwrap();
    assert_eq!(world.store.missing(tasks(), 1).wait().unwrap().missing, 1);
    let other = rusqlite::Connection::open(world.dir.path().join("mirror.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let finish = world.store.finish_sweep(tasks(), 1, HashSet::new(), at(50));
    let late = world.store.apply_page(page_of(1, &rows[..1]));
    let begin = world.store.begin_sweep(tasks(), 2);
    other.execute_batch("COMMIT").unwrap();
    begin.wait().unwrap();
    // Whether the first part went before is the writer's business.
    assert!(finish.wait().unwrap().deleted <= 1);
    late.wait().unwrap();
    let missing = world.store.missing(tasks(), 2).wait().unwrap();
    assert_eq!(missing.missing, missing.rows, "what the other one met does not count");
    assert!(world.store.missing(tasks(), 1).wait().unwrap().is_unproved);
    assert_eq!(world.store.finish_sweep(tasks(), 1, HashSet::new(), at(51)).wait().unwrap().deleted, 0);
    world.store.apply_page(page_of(2, &rows[..499])).wait().unwrap();
    assert!(world.store.missing(tasks(), 2).wait().unwrap().missing <= 1, "and this one goes on");
}

#[test]
fn what_was_acknowledged_before_a_reading_began_may_be_missing_in_it_and_what_was_since_is_not() {
    let world = World::new();
    world.acknowledge("before", json!({"n": 1}));
    world.acknowledge("again", json!({"n": 1}));
    world.store.begin_sweep(tasks(), 1).wait().unwrap();
    world.acknowledge("since", json!({"n": 1}));
    world.acknowledge("again", json!({"n": 1}));
    // It ends without having met a row.
    let missing = world.store.missing(tasks(), 1).wait().unwrap();
    assert_eq!((missing.missing, missing.sample), (1, vec!["before".into()]));
    let applied = world.store.finish_sweep(tasks(), 1, HashSet::new(), at(50)).wait().unwrap();
    assert_eq!(applied.deleted, 1);
    assert_eq!(world.ids(""), ["again", "since"]);
}

/// A sweep met what the conflict does not know.
#[test]
fn theirs_is_nothing_where_the_record_vanished_after_the_conflict() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 0})), ("b", json!(1))]);
    let seq = world.queue("a", Some(json!({"n": 1})));
    world.pull(&[("a", json!({"n": 2}))]);
    let theirs = Some(json!({"n": 2}));
    let base = Some(json!({"n": 0}));
    let conflict = Outcome::Conflict { theirs, theirs_revision: None, base, note: None };
    world.store.settle(Settle { seq, joins: Vec::new(), outcome: conflict, at: at(20) }).wait().unwrap();
    world.store.begin_sweep(tasks(), 1).wait().unwrap();
    world.store.finish_sweep(tasks(), 1, HashSet::from(["b".into()]), at(30)).wait().unwrap();
    let resolve = Resolve {
        conflict: world.reader().conflicts(false).unwrap()[0].id,
        take: Take::Theirs,
        document: None,
        seen: None,
        op_id: world.op_id(),
        at: at(40),
        author: String::new(),
    };
    world.store.resolve(resolve).wait().unwrap();
    assert_eq!(world.bury(41).deleted, 1);
    assert_eq!(world.ids(""), ["b"]);
}

#[test]
fn an_import_goes_in_parts_and_keys_go_in_between() {
    let mut world = World::new();
    let edits: Vec<NewOp> = (0..450)
        .map(|n| NewOp {
            op_id: world.op_id(),
            record: tasks().record(format!("i{n:04}")),
            kind: OpKind::Create,
            changes: edit::diff(None, Some(&json!({"n": n}))),
            document: Some(json!({"n": n})),
            base: None,
            base_revision: None,
            created_at: at(1),
            author: String::new(),
        })
        .collect();
    let reply = world.store.queue_many(edits.clone());
    world.store.commit_ui(&session(), slice("typed")).wait().unwrap();
    let queued = reply.wait().unwrap();
    assert_eq!(queued.len(), 450);
    assert!(queued.is_sorted_by_key(|queued| queued.seq));
    assert_eq!(world.store.queue_many(edits).wait().unwrap(), queued);
    let overview = &world.reader().overview(&[tasks()]).unwrap()[0];
    assert_eq!((overview.records, overview.pending), (450, 450));
    let mut paged = Vec::new();
    loop {
        let ops = world.reader().outbox(&[OpState::Queued], paged.last().copied(), 100).unwrap();
        if ops.is_empty() {
            break;
        }
        paged.extend(ops.iter().map(|op| op.seq));
    }
    assert_eq!(paged.len(), 450);
    assert_eq!(world.reader().check().unwrap(), Vec::<String>::new());
}

#[test]
fn requests_that_wait_together_fail_alone() {
    let mut world = World::new();
    let good: Vec<NewOp> = (0..20).map(|n| world.edit(&format!("g{n}"), Some(json!(n)))).collect();
    let mut replies = Vec::new();
    let mut failures = Vec::new();
    for op in good {
        replies.push(world.store.queue(QueueEdit { op, draft: None, session: None, activity: None }));
        failures.push(world.store.command(vec![Seq(1000)], OpCommand::Hold, at(1)));
    }
    for failure in failures {
        refused(failure.wait());
    }
    for reply in replies {
        reply.wait().unwrap();
    }
    assert_eq!(world.reader().counts().unwrap().queued, 20);
}

// --- the screen --------------------------------------------------------------------------------------------------------

#[test]
fn a_session_comes_back_with_what_was_committed_and_an_older_writer_loses() {
    let world = World::new();
    let begun = world.store.begin_session(&session(), false).wait().unwrap();
    assert!(begun.slices.is_empty() && begun.closed_cleanly);
    for n in 0..50 {
        world.store.commit_ui(&session(), slice(&n.to_string())).wait().unwrap();
    }
    let second = Store::open(world.dir.path(), OpenMode::ReadWrite, world.clock.clone()).unwrap();
    let begun = second.begin_session(&session(), false).wait().unwrap();
    assert_eq!((begun.slices[0].body.as_str(), begun.closed_cleanly), ("49", false));
    second.commit_ui(&session(), slice("new")).wait().unwrap();
    world.store.commit_ui(&session(), slice("old")).wait().unwrap();
    assert_eq!(world.reader().session(&session()).unwrap().slices[0].body, "new");
    second.end_session(&session()).wait().unwrap();
    drop(second);
    let fresh = world.store.begin_session(&session(), true).wait().unwrap();
    assert!(fresh.slices.is_empty() && fresh.closed_cleanly);
    assert!(world.reader().session(&session()).unwrap().slices.is_empty());
    let lock = world.store.lock_session(&session()).unwrap().unwrap();
    assert!(world.store.lock_session(&session()).unwrap().is_none());
    assert!(world.reader().sessions().unwrap()[0].open);
    drop(lock);
    assert!(!world.reader().sessions().unwrap()[0].open);
    assert!(world.store.delete_session(&session()).wait().unwrap());
}

#[test]
fn appending_to_a_draft_that_is_gone_is_refused_and_a_snapshot_begins_it_again() {
    let world = World::new();
    let key = DraftKey { record: tasks().record("a"), target: DraftTarget::from_key("field:/n").unwrap() };
    let append = append(&key, "x", Versions::new(1, 2));
    let commit = UiCommit { drafts: vec![append.clone()], ..slice("s") };
    assert!(refused(world.store.commit_ui(&session(), commit).wait()).contains("no draft"));
    assert!(world.reader().session(&session()).unwrap().slices.is_empty(), "all or nothing");
    let big = "é".repeat(5 << 20);
    let snapshot = snapshot(&key, &big, Versions::new(0, 1));
    let commit = UiCommit { drafts: vec![snapshot, append], ..slice("s") };
    world.store.commit_ui(&session(), commit).wait().unwrap();
    let draft = world.reader().drafts().unwrap().pop().unwrap();
    assert!(draft.snapshot == big && draft.edits == ["x"]);
}

// --- pulls -------------------------------------------------------------------------------------------------------------

#[test]
fn a_page_twice_is_a_page_once() {
    let world = World::new();
    let upsert = |id: &str, text: &str, revision: Option<&str>| {
        RemoteChange::Upsert(RemoteRecord {
            id: id.into(),
            revision: revision.map(Revision::from),
            text: text.to_owned(),
        })
    };
    let mut first = page(vec![upsert("a", r#"{ "n":1.0 }"#, None), upsert("b", "2", Some("r1"))]);
    first.checkpoint = Some("c1".into());
    let applied = world.store.apply_page(first.clone()).wait().unwrap();
    assert_eq!((applied.inserted, applied.changed.unwrap().len()), (2, 2));
    let again = world.store.apply_page(first).wait().unwrap();
    assert_eq!((again.inserted, again.unchanged, again.changed), (0, 2, Some(vec![])));
    let respelt = world.store.apply_page(page(vec![upsert("a", r#"{"n":1}"#, None)])).wait().unwrap();
    assert_eq!(respelt.unchanged, 1, "the same value in other letters is our own echo");
    let mut texts = Vec::new();
    world
        .reader()
        .export(&tasks(), |id, text| {
            texts.push(format!("{id}={text}"));
            true
        })
        .unwrap();
    assert_eq!(texts, [r#"a={ "n":1.0 }"#, "b=2"], "the server's own text, byte for byte");
    let mut last = page(vec![
        RemoteChange::Tombstone { id: "a".into() },
        upsert("b", "3", Some("r2")),
        RemoteChange::Tombstone { id: "b".into() },
        upsert("b", "4", Some("r3")),
        RemoteChange::Tombstone { id: "never".into() },
    ]);
    last.checkpoint = Some("c2".into());
    let applied = world.store.apply_page(last).wait().unwrap();
    assert_eq!((applied.inserted, applied.updated, applied.deleted), (1, 1, 2));
    assert_eq!(world.reader().checkpoint(&tasks()).unwrap().as_deref(), Some("c2"));
    assert_eq!(world.ids(""), ["b"]);
    assert_eq!(world.reader().vault_list(None, None, 9).unwrap().len(), 2);
    assert_eq!(world.reader().check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_sweep_deletes_only_what_a_whole_walk_did_not_see() {
    let mut world = World::new();
    let names: Vec<String> = (0..600).map(|n| format!("r{n:03}")).collect();
    let rows: Vec<_> = names.iter().map(|name| (name.as_str(), json!({"n": name}))).collect();
    world.pull(&rows);
    world.queue("r001", Some(json!({"n": "mine"})));
    world.store.begin_sweep(tasks(), 7).wait().unwrap();
    let mut sweep = page(Vec::new());
    sweep.sweep = Some(7);
    sweep.changes = (300..600)
        .map(|n| {
            let value = if n % 2 == 0 { json!({"n": format!("r{n:03}")}) } else { json!({"n": "new"}) };
            RemoteChange::Upsert(RemoteRecord {
                id: format!("r{n:03}").into(),
                revision: None,
                text: value.to_string(),
            })
        })
        .collect();
    world.store.apply_page(sweep).wait().unwrap();
    let missing = world.store.missing(tasks(), 7).wait().unwrap();
    assert_eq!((missing.missing, missing.rows, missing.sample.len()), (300, 600, 25));
    assert_eq!(missing.sample[0], "r000".into());
    let keep = HashSet::from([RecordId::from("r002")]);
    let applied = world.store.finish_sweep(tasks(), 7, keep, at(50)).wait().unwrap();
    assert_eq!(applied.deleted, 298);
    assert_eq!(applied.protected, ["r001".into()]);
    assert_eq!(world.reader().overview(&[tasks()]).unwrap()[0].records, 302);
    assert_eq!(world.reader().vault_list(None, None, 1_000).unwrap().len(), 298);
    assert_eq!(world.reader().check().unwrap(), Vec::<String>::new());
    world.store.forget(tasks()).wait().unwrap();
    assert_eq!(world.ids(""), ["r001"], "the edit is not a copy");
}

// --- lists -------------------------------------------------------------------------------------------------------------

/// 40 server rows with creates, edits and deletes in between and at the borders of pages.
fn mixed() -> (World, Vec<String>) {
    let mut world = World::new();
    let names: Vec<String> = (0..40).map(|n| format!("k{:03}", n * 2)).collect();
    let rows: Vec<_> = names.iter().map(|name| (name.as_str(), json!({"n": name, "word": "alpha"}))).collect();
    world.pull(&rows);
    for id in ["a-first", "k009", "k019", "k021", "z-last", "7", "10"] {
        world.queue(id, Some(json!({"n": id, "word": "beta"})));
    }
    for id in ["k010", "k020", "k078"] {
        world.queue(id, None);
    }
    world.queue("k018", Some(json!({"n": "edited", "word": "gamma"})));
    let mut all: Vec<String> = names;
    all.extend(["a-first", "k009", "k019", "k021", "z-last"].map(str::to_owned));
    all.sort();
    all.splice(0..0, ["7".to_owned(), "10".to_owned()]);
    (world, all)
}

#[test]
fn pages_forward_and_backward_are_the_whole_list() {
    let (world, all) = mixed();
    for limit in [1, 2, 5, 7, 10, 100] {
        let mut forward = Vec::new();
        let mut anchor = Anchor::First;
        loop {
            let window = world.window("", anchor, limit);
            assert_eq!(window.total, 47);
            assert_eq!(window.at_start, forward.is_empty());
            forward.extend(ids(&window));
            if window.at_end {
                break;
            }
            anchor = Anchor::After(forward.last().unwrap().as_str().into());
        }
        assert_eq!(forward, all, "limit {limit}");
        let mut backward: Vec<String> = Vec::new();
        let mut anchor = Anchor::Last;
        loop {
            let window = world.window("", anchor, limit);
            assert_eq!(window.at_end, backward.is_empty());
            let mut page = ids(&window);
            page.extend(backward);
            backward = page;
            if window.at_start {
                break;
            }
            anchor = Anchor::Before(backward[0].as_str().into());
        }
        assert_eq!(backward, all, "limit {limit}");
    }
    let mut exported = Vec::new();
    world
        .reader()
        .export(&tasks(), |id, _| {
            exported.push(id.0.clone());
            true
        })
        .unwrap();
    let deleted = ["k010", "k020", "k078"];
    let alive: Vec<_> = all.iter().filter(|id| !deleted.contains(&id.as_str())).cloned().collect();
    assert_eq!(exported, alive);
}

#[test]
fn an_anchor_that_vanished_is_the_next_one_and_the_window_is_filled_up() {
    let (world, all) = mixed();
    let window = world.window("", Anchor::At("k009x".into()), 3);
    assert_eq!(ids(&window), ["k010", "k012", "k014"]);
    let window = world.window("", Anchor::At("z-last".into()), 4);
    assert_eq!(ids(&window), all[all.len() - 4..]);
    assert!(window.at_end && !window.at_start);
    assert_eq!(window.rank, Some(43));
    let window = world.window("", Anchor::At("zzz".into()), 2);
    assert_eq!(ids(&window), all[all.len() - 2..]);
    let window = world.window("", Anchor::Before("k000".into()), 10);
    assert_eq!(ids(&window), ["7", "10", "a-first"]);
    assert!(window.at_start && !window.at_end);
    let empty = world.window("", Anchor::Before("7".into()), 10);
    assert!(empty.rows.is_empty() && empty.at_start && !empty.at_end);
    let empty = world.window("nothing-like-it", Anchor::At("k010".into()), 10);
    assert!(empty.rows.is_empty() && empty.at_start && empty.at_end);
    let (rank, all_of_it) = world.reader().rank(&list(""), &"k009".into(), LONG).unwrap();
    assert_eq!((rank, all_of_it), (Some(8), Some(47)));
}

#[test]
fn filters_find_the_same_with_and_without_the_index() {
    let (world, all) = mixed();
    let ask = |world: &World| -> Vec<Vec<String>> {
        ["beta", "alp", "word:gamma", "is:new", "is:deleted", "is:changed", "id:k00", "word:be id:k", "k018", "n:k07"]
            .map(|filter| world.ids(filter))
            .to_vec()
    };
    let before = ask(&world);
    while world.store.feed_search().wait().unwrap() {}
    assert_eq!(ask(&world), before);
    assert_eq!(before[0].len(), 7);
    assert_eq!(before[1].len(), 39);
    assert_eq!(before[2], ["k018"]);
    assert_eq!(before[3].len(), 7);
    assert_eq!(before[4], ["k010", "k020", "k078"]);
    assert_eq!(before[5], ["k018"]);
    assert_eq!(before[6], ["k000", "k002", "k004", "k006", "k008", "k009"]);
    assert_eq!(before[7], ["k009", "k019", "k021"]);
    assert_eq!(before[8], ["k018"]);
    assert_eq!(before[9], ["k070", "k072", "k074", "k076", "k078"]);
    let window = world.window("beta", Anchor::At("k019".into()), 3);
    assert_eq!(
        (ids(&window), window.matching, window.total),
        (vec!["k019".into(), "k021".into(), "z-last".into()], Some(7), 47)
    );
    let window = world.window("alpha", Anchor::After("k006".into()), 2);
    assert_eq!(ids(&window), ["k008", "k010"]);
    assert_eq!(all.len(), 47);
}

/// What is there when no request of a create is in doubt was made by something else; what comes after one proves nothing.
#[test]
fn the_claim_of_a_create_notes_that_its_record_is_there_already() {
    let mut world = World::new();
    let (there, new) = (world.queue("there", Some(json!({"n": 1}))), world.queue("new", Some(json!({"n": 1}))));
    world.pull(&[("there", json!({"n": 2}))]);
    for (seq, is_noted) in [(there, true), (new, false)] {
        assert_eq!(world.claim(seq, &[]).unwrap().base_revision.is_some(), is_noted, "op {seq}");
        assert_eq!(world.op(seq).base_revision.is_some(), is_noted, "op {seq} as stored");
    }
    world.pull(&[("new", json!({"n": 1}))]);
    assert_eq!(world.store.recover_in_flight(at(9)).wait().unwrap(), 2);
    assert_eq!(world.claim(new, &[]).unwrap().base_revision, None, "a repeat");
}

/// Made anew under the id of an edit that was given up, whose first request may still come and make the record.
#[test]
fn the_claim_of_a_create_notes_that_an_earlier_one_may_still_arrive() {
    let mut world = World::new();
    let first = world.queue("made", Some(json!({"n": 1})));
    world.claim(first, &[]).unwrap();
    world.settle(first, Outcome::InDoubt { error: error("no answer"), next_attempt_at: None });
    world.claim(first, &[]).unwrap();
    let record = tasks().record("made");
    let guard = LateOriginal { record, precondition: Precondition::Absent, content: None, until: at(140_000) };
    let outcome = Outcome::Rejected { error: error("denied") };
    let refused = Settle { seq: first, joins: Vec::new(), outcome, at: at(21) };
    world.store.settle_guarded(refused, guard.clone()).wait().unwrap();
    world.store.command(vec![first], OpCommand::Discard, at(22)).wait().unwrap();
    let second = world.queue("made", Some(json!({"n": 2})));
    assert!(world.claim(second, &[]).unwrap().base_revision.is_some());
    world.store.end_guards(guard.record, guard.until).wait().unwrap();
    let other = world.queue("other", Some(json!({"n": 2})));
    assert_eq!(world.claim(other, &[]).unwrap().base_revision, None);
}

/// Every pair of terms, among them those the index is not asked for (one letter), must narrow.
#[test]
fn no_term_of_a_filter_is_left_out_once_the_index_is_fed() {
    let world = World::new();
    let names = ["Person 1", "Person 10", "Person 2", "Anna B", "anna 1b", "Bo-1 é", "1", "é 京都 1"];
    for (at, name) in names.iter().enumerate() {
        world.pull(&[(&format!("u{at}"), json!({"name": name, "age": at, "tag": ["x", "1x"]}))]);
    }
    let terms = [
        "person",
        "1",
        "p",
        "anna",
        "b",
        "\"1\"",
        "\"person 1\"",
        "é",
        "京",
        "name:a",
        "name:person",
        "id:u1",
        "x",
        "zz",
    ];
    let pairs = || terms.iter().flat_map(|one| terms.iter().map(move |other| format!("{one} {other}")));
    let before: Vec<_> = pairs().map(|filter| world.ids(&filter)).collect();
    while world.store.feed_search().wait().unwrap() {}
    for (filter, before) in pairs().zip(before) {
        assert_eq!(world.ids(&filter), before, "{filter}");
    }
    assert_eq!(world.ids("person 1"), ["u0", "u1", "u2"], "`1x` of the tags, too");
    assert_eq!(world.ids("person 2"), ["u2"]);
}

/// Random records, pending edits among them, random filters: with the index, half fed and without it the same rows.
#[test]
fn random_filters_find_the_same_whatever_is_indexed() {
    const WORDS: [&str; 16] = [
        "anna",
        "an",
        "a",
        "Bo",
        "b2",
        "2",
        "22",
        "naïve",
        "é",
        "東京",
        "京",
        "x-y",
        "\u{1f44d}",
        "K",
        "İstanbul",
        "o'neil",
    ];
    for seed in [1, 2, 3] {
        let mut dice = Dice(seed);
        let mut world = World::new();
        let pick = |dice: &mut Dice| WORDS[usize::try_from(dice.roll(16)).unwrap()];
        let text = |dice: &mut Dice| (0..1 + dice.roll(3)).map(|_| pick(dice)).collect::<Vec<_>>().join(" ");
        for at in 0..30 {
            let document = json!({"n": text(&mut dice), "t": [text(&mut dice), dice.roll(30)]});
            match dice.roll(4) {
                0 => drop(world.queue(&format!("{}{at}", pick(&mut dice).to_lowercase()), Some(document))),
                _ => world.pull(&[(&format!("u{at}"), document)]),
            }
            if at == 15 && seed > 1 {
                while world.store.feed_search().wait().unwrap() {}
            }
        }
        let filters: Vec<String> = (0..200)
            .map(|_| {
                let term = |dice: &mut Dice| match dice.roll(6) {
                    0 => format!("\"{}\"", text(dice)),
                    1 => format!("n:{}", pick(dice)),
                    2 => format!("id:{}", pick(dice).to_lowercase()),
                    3 => format!("\"{}", pick(dice)),
                    _ => pick(dice).to_owned(),
                };
                (0..1 + dice.roll(3)).map(|_| term(&mut dice)).collect::<Vec<_>>().join(" ")
            })
            .collect();
        let before: Vec<_> = filters.iter().map(|filter| world.ids(filter)).collect();
        while world.store.feed_search().wait().unwrap() {}
        for (filter, before) in filters.iter().zip(before) {
            assert_eq!(world.ids(filter), before, "seed {seed}, filter `{filter}`");
        }
    }
}

#[test]
fn text_without_spaces_is_found_by_any_part_of_it() {
    let mut world = World::new();
    world.pull(&[
        ("jp", json!({"city": "東京都千代田区", "n": 1})),
        ("ko", json!({"city": "서울특별시"})),
        ("emoji", json!({"mood": "ok 👍 then"})),
        ("he", json!({"name": "שלום עולם"})),
    ]);
    world.queue("pending", Some(json!({"city": "京都府"})));
    for fed in [false, true] {
        if fed {
            while world.store.feed_search().wait().unwrap() {}
        }
        assert_eq!(world.ids("京都"), ["jp", "pending"], "fed: {fed}");
        assert_eq!(world.ids("千代田"), ["jp"]);
        assert_eq!(world.ids("特別"), Vec::<String>::new());
        assert_eq!(world.ids("특별"), ["ko"]);
        assert_eq!(world.ids("👍"), ["emoji"]);
        assert_eq!(world.ids("עולם"), ["he"]);
    }
    let hits = world.reader().search(&[], "千代田", 5, LONG).unwrap();
    assert_eq!(hits[0].0, tasks().record("jp"));
    assert!(hits[0].1.contains("千代田"), "{hits:?}");
    let hits = world.reader().search(&[tasks()], "京", 5, LONG).unwrap();
    assert_eq!(hits.len(), 2);
}

#[test]
fn the_index_follows_edits_pulls_and_deletions() {
    let mut world = World::new();
    world.pull(&[("a", json!({"t": "uno"})), ("b", json!({"t": "dos"}))]);
    while world.store.feed_search().wait().unwrap() {}
    world.pull(&[("a", json!({"t": "tres"}))]);
    world.queue("b", Some(json!({"t": "cuatro"})));
    for _ in 0..2 {
        assert_eq!(world.ids("uno"), Vec::<String>::new());
        assert_eq!(world.ids("tres"), ["a"]);
        assert_eq!(world.ids("dos"), Vec::<String>::new());
        assert_eq!(world.ids("cuatro"), ["b"]);
        while world.store.feed_search().wait().unwrap() {}
    }
    let undo = world.op_id();
    world.store.undo(undo, at(9)).wait().unwrap();
    assert_eq!(world.ids("dos"), ["b"]);
    let dir = world.dir.path().to_path_buf();
    let World { dir: keep, store, clock, .. } = world;
    drop(store);
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(dir.join(format!("search.db{suffix}")));
    }
    let store = Store::open(&dir, OpenMode::ReadWrite, clock.clone()).unwrap();
    let world = World { dir: keep, store, clock, ids: 100 };
    assert_eq!(world.ids("tres"), ["a"], "made again");
    while world.store.feed_search().wait().unwrap() {}
    assert_eq!(world.ids("tres"), ["a"]);
}

#[test]
fn a_column_sorts_with_and_without_its_index() {
    let mut world = World::new();
    let rows: Vec<(String, Value)> =
        (0..2_500_u32).map(|n| (format!("s{n:04}"), json!({"n": n.wrapping_mul(7919) % 1_000}))).collect();
    for part in rows.chunks(1_000) {
        let part: Vec<_> = part.iter().map(|(id, value)| (id.as_str(), value.clone())).collect();
        world.pull(&part);
    }
    world.queue("mine", Some(json!({"n": -5})));
    world.queue("s0003", Some(json!({"n": 100_000})));
    world.queue("text", Some(json!({"n": "text"})));
    let mut model: Vec<(f64, String)> = rows
        .iter()
        .filter(|(id, _)| id != "s0003")
        .map(|(id, value)| (value["n"].as_f64().unwrap(), id.clone()))
        .collect();
    model.push((-5.0, "mine".into()));
    model.push((100_000.0, "s0003".into()));
    model.push((f64::INFINITY, "text".into()));
    model.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    let sorted: Vec<String> = model.into_iter().map(|(_, id)| id).collect();
    for descending in [false, true, false, true] {
        let mut query = list("");
        query.sort = Sort { by: Some(ebbtide::model::json::Pointer::parse("/n")), descending };
        let mut wanted = sorted.clone();
        if descending {
            wanted.reverse();
        }
        let mut reader = world.reader();
        let mut got = Vec::new();
        let mut anchor = Anchor::First;
        loop {
            let window = reader.window(&query, &anchor, 400, LONG).unwrap();
            got.extend(ids(&window));
            if window.at_end {
                break;
            }
            anchor = Anchor::After(got.last().unwrap().as_str().into());
        }
        assert_eq!(got, wanted);
        let window = reader.window(&query, &Anchor::At(wanted[1_200].as_str().into()), 50, LONG).unwrap();
        assert_eq!(ids(&window), wanted[1_200..1_250]);
        let window = reader.window(&query, &Anchor::Before(wanted[1_200].as_str().into()), 50, LONG).unwrap();
        assert_eq!(ids(&window), wanted[1_150..1_200]);
        let (rank, all) = reader.rank(&query, &wanted[77].as_str().into(), LONG).unwrap();
        assert_eq!((rank, all), (Some(77), Some(2_502)));
        // The second half of the rounds walks the index made meanwhile.
        while world.store.feed_search().wait().unwrap() {}
    }
}

#[test]
fn a_filter_on_many_rows_pages_through_all_matches() {
    let mut world = World::new();
    let value = |n: u32| {
        let rare = if n % 1_999 == 7 { "heron" } else { "gull" };
        json!({"n": n, "bird": rare, "role": if n.is_multiple_of(3) { "admin" } else { "member" }})
    };
    for part in 0..7 {
        let rows: Vec<_> = (part * 1_000..part * 1_000 + 1_000).map(|n| (format!("f{n:05}"), value(n))).collect();
        let rows: Vec<_> = rows.iter().map(|(id, value)| (id.as_str(), value.clone())).collect();
        world.pull(&rows);
    }
    world.queue("f00007x", Some(json!({"n": 0, "bird": "heron", "role": "admin"})));
    world.queue("f03000", Some(json!({"n": 0, "bird": "none", "role": "guest"})));
    let all = world.ids_all("");
    assert_eq!(all.len(), 7_001);
    for fed in [false, true] {
        if fed {
            while world.store.feed_search().wait().unwrap() {}
        }
        assert_eq!(world.ids_all("heron"), ["f00007", "f00007x", "f02006", "f04005", "f06004"], "fed: {fed}");
        assert_eq!(world.ids_all("role:admin heron"), ["f00007x", "f04005"]);
        assert_eq!(world.ids_all("bird:gull role:admin").len(), 2_332);
        assert_eq!(world.ids_all("gull").len(), 6_995);
        assert_eq!(world.ids_all("gull nosuchbird"), Vec::<String>::new());
        let window = world.window("heron", Anchor::At("f02006".into()), 2);
        assert_eq!(
            (ids(&window), window.at_start, window.at_end),
            (vec!["f02006".into(), "f04005".into()], false, false)
        );
        let window = world.window("gull", Anchor::At("f00000".into()), 50);
        assert!(window.at_start && !window.at_end && window.rows.len() == 50);
        let (rank, matching) = world.reader().rank(&list("role:admin"), &"f06999".into(), LONG).unwrap();
        assert_eq!((rank, matching), (Some(2_333), Some(2_334)), "fed: {fed}");
    }
}

#[test]
fn a_deadline_gives_what_was_found_so_far() {
    let world = World::new();
    for part in 0..5 {
        let rows: Vec<(String, Value)> =
            (0..1_000).map(|n| (format!("d{part}{n:04}"), json!({"n": n, "t": "x-needle-free"}))).collect();
        let rows: Vec<_> = rows.iter().map(|(id, value)| (id.as_str(), value.clone())).collect();
        world.pull(&rows);
    }
    let window = world.reader().window(&list("n:%"), &Anchor::First, 10, Duration::ZERO).unwrap();
    assert!(window.partial && window.rows.is_empty() && !window.at_end);
    assert_eq!(world.reader().rank(&list("n:1"), &"d00000".into(), Duration::ZERO).unwrap(), (None, None));
}

// --- files -------------------------------------------------------------------------------------------------------------

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn nobody_else_may_read_the_files() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("data");
    let store = Store::open(&dir, OpenMode::ReadWrite, Arc::new(Ticking::default())).unwrap();
    store.commit_ui(&session(), slice("s")).wait().unwrap();
    store.lock_session(&session()).unwrap();
    assert_eq!(mode(&dir), 0o700);
    for file in std::fs::read_dir(&dir).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

fn sql(path: &Path, statements: &str) {
    let done = std::process::Command::new("sqlite3").arg(path).arg(statements).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_newer_journal_is_refused_and_can_be_read_in_a_copy() {
    let mut world = World::new();
    world.queue("a", Some(json!({"n": 1})));
    let World { dir, store, clock, .. } = world;
    drop(store);
    sql(&dir.path().join("journal.db"), "PRAGMA user_version = 99");
    match Store::open(dir.path(), OpenMode::ReadWrite, clock.clone()) {
        Err(StoreError::TooNew { found: 99, known, .. }) => assert!(known < 99),
        other => panic!("{other:?}"),
    }
    let store = Store::open(dir.path(), OpenMode::ReadOnly, clock).unwrap();
    assert_eq!(store.reader().unwrap().outbox(&[], None, 5).unwrap().len(), 1);
}

#[test]
fn a_read_only_opening_sees_the_write_ahead_log_and_touches_nothing() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 1}))]);
    world.queue("a", Some(json!({"n": 2})));
    let names = |dir: &Path| -> Vec<_> {
        let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    // The copy of a data dir whose program was killed: a database with a log beside it.
    let killed = tempfile::tempdir().unwrap();
    for name in ["journal.db", "journal.db-wal", "mirror.db", "mirror.db-wal"] {
        std::fs::copy(world.dir.path().join(name), killed.path().join(name)).unwrap();
    }
    let before = names(killed.path());
    let store = Store::open(killed.path(), OpenMode::ReadOnly, world.clock.clone()).unwrap();
    let view = store.reader().unwrap().record(&tasks().record("a")).unwrap();
    assert_eq!(view.local, Some(json!({"n": 2}).into()));
    assert_eq!(ids(&store.reader().unwrap().window(&list("2"), &Anchor::First, 5, LONG).unwrap()), ["a"]);
    assert!(matches!(store.commit_ui(&session(), slice("x")).wait(), Err(StoreError::ReadOnly)));
    assert!(matches!(store.feed_search().wait(), Err(StoreError::ReadOnly)));
    assert_eq!(names(killed.path()), before);
    let store = Store::open(killed.path(), OpenMode::ReadWrite, world.clock.clone()).unwrap();
    assert_eq!(store.reader().unwrap().counts().unwrap().queued, 1, "the log is part of the journal");
}

#[test]
fn a_damaged_journal_is_never_taken_for_an_empty_one() {
    for (name, content) in [("empty", &b""[..]), ("text", b"not a database at all"), ("cut", b"SQLite format 3\0cut")] {
        let mut world = World::new();
        world.queue("a", Some(json!({"n": 1})));
        let World { dir, store, clock, .. } = world;
        drop(store);
        let path = dir.path().join("journal.db");
        std::fs::write(&path, content).unwrap();
        for _ in 0..2 {
            match Store::open(dir.path(), OpenMode::ReadWrite, clock.clone()) {
                Err(StoreError::Damaged { kept: Some(kept), .. }) => {
                    assert_eq!(std::fs::read(&kept).unwrap(), content, "{name}");
                    assert_eq!(mode(&kept), 0o600);
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        assert_eq!(std::fs::read(&path).unwrap(), content, "{name}: it stays where it is");
        assert_eq!(std::fs::read_dir(dir.path().join("damaged")).unwrap().count(), 1);
    }
}

#[test]
fn a_damaged_mirror_is_set_aside_and_edits_stay() {
    for file in ["mirror.db", "search.db"] {
        let mut world = World::new();
        world.pull(&[("a", json!({"n": 1})), ("b", json!({"n": 1}))]);
        world.queue("a", Some(json!({"n": 2})));
        let World { dir, store, clock, ids } = world;
        drop(store);
        std::fs::write(dir.path().join(file), b"garbage").unwrap();
        let store = Store::open(dir.path(), OpenMode::ReadWrite, clock.clone()).unwrap();
        let world = World { dir, store, clock, ids };
        let wanted: &[&str] = if file == "mirror.db" { &["a"] } else { &["a", "b"] };
        assert_eq!(world.ids(""), wanted);
        assert_eq!(world.reader().record(&tasks().record("a")).unwrap().local, Some(json!({"n": 2}).into()));
        assert_eq!(std::fs::read_dir(world.dir.path().join("damaged")).unwrap().count(), 1);
        world.store.log(Vec::new()).wait().unwrap();
        let log = world.reader().activity(None, 10).unwrap();
        assert!(log.iter().any(|(_, row)| row.text.contains("was damaged")), "{log:?}");
        world.pull(&[("a", json!({"n": 1, "m": 1}))]);
        assert_eq!(world.reader().record(&tasks().record("a")).unwrap().local, Some(json!({"n": 2, "m": 1}).into()));
        assert_eq!(world.reader().check().unwrap(), Vec::<String>::new());
    }
}

#[test]
fn two_processes_share_the_outbox_and_the_records() {
    let mut world = World::new();
    let other = Store::open(world.dir.path(), OpenMode::ReadWrite, world.clock.clone()).unwrap();
    let mut watcher = world.reader();
    let before = watcher.data_version().unwrap();
    let op = world.edit("theirs", Some(json!({"n": 1})));
    other.queue(QueueEdit { op, draft: None, session: None, activity: None }).wait().unwrap();
    let after = watcher.data_version().unwrap();
    assert_ne!(before.0, after.0);
    assert_eq!(before.1, after.1);
    world.queue("mine", Some(json!({"n": 2})));
    assert_eq!(world.ids(""), ["mine", "theirs"]);
    assert_eq!(other.reader().unwrap().counts().unwrap().queued, 2);
    let leader = world.store.lock_leader().unwrap();
    assert!(leader.is_some() && other.lock_leader().unwrap().is_none());
    other.request(SyncRequest::OutboxChanged, at(1)).wait().unwrap();
    other.request(SyncRequest::OutboxChanged, at(1)).wait().unwrap();
    other.request(SyncRequest::ForceOffline(true), at(1)).wait().unwrap();
    let taken = world.store.take_requests().wait().unwrap();
    assert_eq!(taken, [SyncRequest::OutboxChanged, SyncRequest::ForceOffline(true)]);
    assert!(world.store.take_requests().wait().unwrap().is_empty());
    let threads: Vec<_> = [world.store.clone(), other.clone()]
        .into_iter()
        .enumerate()
        .map(|(who, store)| {
            std::thread::spawn(move || {
                for n in 0..60_u64 {
                    let name = SessionName(format!("s{who}"));
                    store.commit_ui(&name, slice(&n.to_string())).wait().unwrap();
                    let document = json!({"n": n});
                    let op = NewOp {
                        op_id: OpId::new(&At::test(9_000 + who as u64 * 1_000 + n)),
                        record: tasks().record(format!("t{who}-{n}")),
                        kind: OpKind::Create,
                        changes: edit::diff(None, Some(&document)),
                        document: Some(document),
                        base: None,
                        base_revision: None,
                        created_at: at(n),
                        author: String::new(),
                    };
                    store.queue(QueueEdit { op, draft: None, session: None, activity: None }).wait().unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(world.reader().counts().unwrap().queued, 122);
    assert_eq!(world.reader().check().unwrap(), Vec::<String>::new());
}

#[test]
fn old_history_goes_and_pending_work_stays() {
    let mut world = World::new();
    let done = world.queue("a", Some(json!(1)));
    world.claim(done, &[]).unwrap();
    acknowledge(&world, "a", Some(json!(1)), "r");
    world.settle(done, Outcome::Acked);
    let waiting = world.queue("b", Some(json!(1)));
    let dropped = world.queue("c", Some(json!(1)));
    world.store.command(vec![dropped], OpCommand::Discard, at(10)).wait().unwrap();
    assert_eq!(
        world.reader().outbox(&[OpState::Queued, OpState::Acked, OpState::Discarded], None, 9).unwrap().len(),
        3
    );
    world.store.prune(at(1_000)).wait().unwrap();
    assert_eq!(world.reader().vault_list(None, None, 9).unwrap().len(), 1, "the vault has limits of its own");
    world.store.prune_vault(at(1_000), u64::MAX).wait().unwrap();
    assert_eq!(world.reader().op(done).unwrap(), None);
    assert_eq!(world.state(waiting), OpState::Queued);
    assert_eq!(world.reader().vault_list(None, None, 9).unwrap(), []);
    let again = world.queue("d", Some(json!(1)));
    assert!(again > dropped, "numbers are never used again");
    assert_eq!(world.reader().check().unwrap(), Vec::<String>::new());
}

// --- the vault ---------------------------------------------------------------------------------------------------------

#[test]
fn every_version_that_loses_is_kept_with_its_reason() {
    let mut world = World::new();
    let (_, _, mine_wins) = conflict(&mut world);
    let op_id = world.op_id();
    let answer = Resolve {
        conflict: mine_wins,
        take: Take::Mine,
        document: Some(json!({"n": 1, "m": 0})),
        seen: None,
        op_id,
        at: at(40),
        author: String::new(),
    };
    world.store.resolve(answer).wait().unwrap();
    world.pull(&[("b", json!({"v": "base"})), ("c", json!({"v": "to go"}))]);
    let edit = world.queue("b", Some(json!({"v": "mine"})));
    world.store.conflict_from_pull(tasks().record("b"), Some(json!({"v": "theirs"})), None, at(41)).wait().unwrap();
    let open = world.reader().conflicts(false).unwrap();
    assert_eq!(open[0].seq, edit);
    let op_id = world.op_id();
    let (id, theirs) = (open[0].id, Take::Theirs);
    let answer =
        Resolve { conflict: id, take: theirs, document: None, seen: None, op_id, at: at(42), author: String::new() };
    world.store.resolve(answer).wait().unwrap();
    world.store.apply_page(page(vec![RemoteChange::Tombstone { id: "c".into() }])).wait().unwrap();
    let dropped = world.queue("b", Some(json!({"v": "dropped"})));
    world.store.command(vec![dropped], OpCommand::Discard, at(43)).wait().unwrap();
    let undone = world.queue("b", Some(json!({"v": "undone"})));
    let op_id = world.op_id();
    assert_eq!(world.store.undo(op_id, at(44)).wait().unwrap(), Some(Undone::Edit(undone, tasks().record("b"))));
    let mut reader = world.reader();
    let kept: Vec<(VaultReason, String)> = reader
        .vault_list(None, None, 9)
        .unwrap()
        .into_iter()
        .map(|entry| (entry.reason, reader.vault_text(entry.id).unwrap().unwrap()))
        .collect();
    let expected = [
        (VaultReason::Undone, r#"{"v":"undone"}"#),
        (VaultReason::Discarded, r#"{"v":"dropped"}"#),
        (VaultReason::RemovedByPull, r#"{"v":"to go"}"#),
        (VaultReason::LocalOverwritten, r#"{"v":"mine"}"#),
        (VaultReason::RemoteOverwritten, r#"{"n":9,"m":0}"#),
    ];
    assert_eq!(kept, expected.map(|(reason, text)| (reason, text.to_owned())));
}

#[test]
fn a_kept_version_is_found_by_its_record_and_shown_beside_what_is_there_now() {
    let mut world = World::new();
    world.pull(&[("a", json!({"n": 0})), ("b", json!({"n": 0}))]);
    for id in ["a", "b", "a"] {
        let seq = world.queue(id, Some(json!({"n": 5, "of": id})));
        world.store.command(vec![seq], OpCommand::Discard, at(20)).wait().unwrap();
    }
    let mut reader = world.reader();
    let ids = |query: VaultQuery, reader: &mut Reader| -> Vec<i64> {
        reader.vault_search(&query, None, 9).unwrap().into_iter().map(|entry| entry.id).collect()
    };
    assert_eq!(ids(VaultQuery::default(), &mut reader), [3, 2, 1]);
    let of_a = VaultQuery { collection: Some(tasks()), id: Some("a".into()), ..VaultQuery::default() };
    assert_eq!(ids(of_a, &mut reader), [3, 1]);
    assert_eq!(ids(VaultQuery { text: " TASKS/B".into(), ..VaultQuery::default() }, &mut reader), [2]);
    assert!(ids(VaultQuery { text: "nowhere".into(), ..VaultQuery::default() }, &mut reader).is_empty());
    let kept = reader.kept_version(2).unwrap().unwrap();
    assert_eq!((kept.kept, kept.local), (Kept::Document(json!({"n": 5, "of": "b"})), Some(json!({"n": 0}))));
    assert!(reader.kept_version(4).unwrap().is_none());
}

#[test]
fn the_vault_keeps_by_days_and_by_bytes_and_the_same_text_once() {
    let mut world = World::new();
    let mut keep = |text: String, when: u64| {
        let seq = world.queue("a", Some(json!({"text": text})));
        world.store.command(vec![seq], OpCommand::Discard, at(when)).wait().unwrap();
    };
    // Text that does not compress to nothing: each takes some hundred bytes.
    let noise = |seed: u64| {
        let mut dice = Dice(seed * 7_919 + 1);
        (0..400).map(|_| char::from(b'a' + u8::try_from(dice.roll(26)).unwrap())).collect::<String>()
    };
    for n in 0..10 {
        keep(noise(n), 100 + n);
    }
    keep(noise(9), 200);
    let left = |world: &World| -> Vec<i64> {
        world.reader().vault_list(None, None, 99).unwrap().into_iter().map(|entry| entry.id).collect()
    };
    let disk = |world: &World| -> (i64, i64) {
        let file = rusqlite::Connection::open(world.dir.path().join("journal.db")).unwrap();
        let sql = "SELECT count(*), sum(length(body)) FROM vault_blobs";
        file.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    let (blobs, bytes) = disk(&world);
    assert_eq!(blobs, 10, "eleven versions, ten texts");
    assert!(bytes < 10 * 420, "{bytes}: compressed");
    world.store.prune_vault(at(103), u64::MAX).wait().unwrap();
    assert_eq!(left(&world), [11, 10, 9, 8, 7, 6, 5, 4], "by days");
    let most = u64::try_from(bytes).unwrap() * 35 / 100;
    world.store.prune_vault(at(103), most).wait().unwrap();
    assert_eq!(left(&world), [11, 10, 9, 8], "by bytes: three texts and a half fit, one of them kept twice");
    assert_eq!(disk(&world).0, 3);
    world.store.prune_vault(at(103), most).wait().unwrap();
    assert_eq!(left(&world).len(), 4, "what fits stays");
}

// --- anything in any order ---------------------------------------------------------------------------------------------

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

/// The reference: changes applied in order, as page 3 says, written without the store's own helper.
fn applied(base: Option<Value>, ops: &[Op]) -> Option<Value> {
    ops.iter().fold(base, |local, op| match op.kind {
        OpKind::Delete => None,
        OpKind::Create => op.document.clone(),
        OpKind::Update if local.is_none() => op.document.clone(),
        OpKind::Update => edit::apply(local.as_ref(), &op.changes),
    })
}

const IDS: [&str; 7] = ["1", "9", "10", "a", "b", "c/d", "é"];

/// I1, I3, order, lists and the derived tables, after each step.
fn check(world: &World, saved: &[Seq], step: &str) {
    let mut reader = world.reader();
    let window = reader.window(&list(""), &Anchor::First, 100, LONG).unwrap();
    let mut exported = Vec::new();
    reader
        .export(&tasks(), |id, text| {
            exported.push((id.clone(), serde_json::from_str::<Value>(text).unwrap()));
            true
        })
        .unwrap();
    let mut shown = 0;
    let mut locals = Vec::new();
    for id in IDS {
        let view = reader.record(&tasks().record(id)).unwrap();
        let wanted = applied(view.base.as_ref().map(|base| Value::clone(&base.document)), &view.ops);
        assert_eq!(view.local.as_deref(), wanted.as_ref(), "I1 of {id} after {step}: {:#?}", view.ops);
        let sent = view.ops.iter().filter(|op| op.state.may_be_applied()).count();
        assert!(sent <= 1, "I3 of {id} after {step}");
        assert!(view.ops.iter().skip(1).all(|op| !op.state.may_be_applied()), "order of {id} after {step}");
        let trouble = view.ops.iter().position(|op| matches!(op.state, OpState::Conflict | OpState::Rejected));
        for (at, op) in view.ops.iter().enumerate() {
            let behind = trouble.is_some_and(|trouble| at > trouble);
            assert!(op.state != OpState::Queued || !behind, "{id} after {step}: queued behind trouble");
            assert!(op.state != OpState::Blocked || behind, "{id} after {step}: blocked by nobody");
        }
        let row = window.rows.iter().find(|row| row.id.as_str() == id);
        assert_eq!(row.is_some(), view.base.is_some() || !view.ops.is_empty(), "row of {id} after {step}");
        if let Some(row) = row {
            shown += 1;
            assert_eq!(row.mark, view.mark, "mark of {id} after {step}");
            assert_eq!(row.mark == RecordMark::Synced, view.ops.is_empty());
            let of = view.local.as_ref().or(view.base.as_ref().map(|base| &base.document));
            let cell = of.and_then(|value| value.get("n")).map(|value| value.as_str().unwrap().to_owned());
            assert_eq!(row.cells[0], cell, "cell of {id} after {step}");
        }
        if let Some(local) = view.local {
            locals.push((RecordId::from(id), local.value().clone()));
        }
    }
    assert_eq!(window.rows.len(), shown);
    assert_eq!(window.total, shown as u64, "total after {step}");
    assert_eq!(exported, locals, "export after {step}");
    assert_eq!(reader.check().unwrap(), Vec::<String>::new(), "after {step}");
    // I2: what a user saved is acknowledged, pending, superseded by a later op that holds it, or in the vault.
    let ops = reader.outbox(&OpState::ALL, None, 10_000).unwrap();
    let vault: Vec<Value> = reader
        .vault_list(None, None, 10_000)
        .unwrap()
        .iter()
        .map(|entry| serde_json::from_str(&reader.vault_text(entry.id).unwrap().unwrap()).unwrap())
        .collect();
    for seq in saved {
        let op = ops.iter().find(|op| op.seq == *seq).unwrap();
        if op.state == OpState::Discarded
            && let Some(document) = &op.document
        {
            let there = reader.record(&op.record).unwrap().base.map(|base| base.document);
            let kept = vault.contains(document) || there.as_deref() == Some(document);
            assert!(kept, "{document} was discarded and is nowhere after {step}");
        }
    }
}

#[test]
fn whatever_happens_local_is_base_plus_pending_in_order() {
    let seeds = std::env::var("EBBTIDE_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8_u64);
    let first = std::env::var("EBBTIDE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1_u64);
    for seed in first..first + seeds {
        println!("seed {seed}");
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut world = World::new();
        let mut saved: Vec<Seq> = Vec::new();
        for step in 0..70 {
            let id = IDS[usize::try_from(dice.roll(IDS.len() as u64)).unwrap()];
            let what = dice.roll(14);
            let name = format!("seed {seed} step {step} action {what} on {id}");
            let chain = world.reader().chain(&tasks().record(id)).unwrap();
            let head = chain.as_ref().and_then(|chain| chain.ops.first().cloned());
            match what {
                0..=3 => {
                    let view = world.reader().record(&tasks().record(id)).unwrap();
                    let value = json!({"n": format!("{seed}-{step}"), "k": dice.roll(3)});
                    match view.local {
                        Some(_) if dice.roll(4) == 0 => {
                            world.queue(id, None);
                        }
                        _ => {
                            saved.push(world.queue(id, Some(value)));
                        }
                    }
                }
                4 => world.pull(&[(id, json!({"n": format!("server-{step}"), "k": 9, "x": step}))]),
                5 => {
                    let page = page(vec![RemoteChange::Tombstone { id: id.into() }]);
                    let gone = world.store.apply_page(page).wait().unwrap();
                    if gone.protected.contains(&RecordId::from(id)) && dice.roll(2) == 0 {
                        world.store.conflict_from_pull(tasks().record(id), None, None, at(2)).wait().unwrap();
                    }
                }
                6 | 7 => {
                    if let Some(chain) = chain
                        && matches!(chain.ops[0].state, OpState::Queued | OpState::InDoubt)
                    {
                        let fit = chain.ops.iter().skip(1).take_while(|op| op.is_untouched()).count() as u64;
                        let absorbs = if chain.ops[0].is_untouched() { dice.roll(fit + 1) } else { 0 };
                        let absorbed = &chain.ops[1..=usize::try_from(absorbs).unwrap()];
                        let end = absorbed.last().unwrap_or(&chain.ops[0]);
                        let kind = match (chain.ops[0].kind, &end.document) {
                            (_, None) => OpKind::Delete,
                            (OpKind::Create, _) => OpKind::Create,
                            _ => OpKind::Update,
                        };
                        let claim = Claim {
                            known: None,
                            head: chain.ops[0].seq,
                            absorbs: absorbed.iter().map(|op| op.seq).collect(),
                            kind,
                            sent_document: end.document.clone(),
                            precondition: Precondition::Absent,
                            request_hash: String::new(),
                            at: at(3),
                        };
                        assert!(world.store.claim(claim).wait().unwrap().is_some(), "{name}");
                    }
                }
                8 | 9 => {
                    if let Some(head) = head.filter(|head| head.state == OpState::InFlight) {
                        let document = head.sent_document.clone();
                        match dice.roll(8) {
                            0 => world.settle(
                                head.seq,
                                Outcome::Queued { error: None, next_attempt_at: None, counts: false },
                            ),
                            1 => {
                                world.settle(head.seq, Outcome::InDoubt { error: error("lost"), next_attempt_at: None })
                            }
                            2 => world.settle(head.seq, Outcome::Rejected { error: error("no") }),
                            3 => {
                                let theirs = (dice.roll(3) > 0).then(|| json!({"n": "theirs", "k": 1}));
                                let outcome =
                                    Outcome::Conflict { theirs, theirs_revision: None, base: head.base, note: None };
                                world.settle(head.seq, outcome);
                            }
                            4 => {
                                let base = json!({"n": "moved", "k": 0, "y": step});
                                world.pull(&[(id, base.clone())]);
                                let to = document.unwrap_or_else(|| json!({"n": "revived"}));
                                let op = NewOp {
                                    op_id: world.op_id(),
                                    record: head.record.clone(),
                                    kind: OpKind::Update,
                                    changes: edit::diff(Some(&base), Some(&to)),
                                    document: Some(to),
                                    base: Some(base),
                                    base_revision: None,
                                    created_at: at(4),
                                    author: String::new(),
                                };
                                world.settle(head.seq, Outcome::Rebased { op: Box::new(op) });
                            }
                            _ => {
                                acknowledge(&world, id, document, &format!("r{step}"));
                                check(&world, &saved, &format!("{name}, before the settle"));
                                world.settle(head.seq, Outcome::Acked);
                            }
                        }
                    }
                }
                10 => {
                    let all = world.reader().outbox(&[], None, 100).unwrap();
                    if !all.is_empty() {
                        let op = &all[usize::try_from(dice.roll(all.len() as u64)).unwrap()];
                        let commands = [
                            OpCommand::Hold,
                            OpCommand::Release,
                            OpCommand::Retry,
                            OpCommand::Send,
                            OpCommand::Discard,
                        ];
                        let pick = usize::try_from(dice.roll(8)).unwrap();
                        let done = match (commands.get(pick), pick) {
                            (Some(command), _) => world.store.command(vec![op.seq], *command, at(5)).wait().map(|_| ()),
                            (None, 5) => {
                                let (id, to) = (world.op_id(), json!({"n": format!("{seed}-{step}e"), "k": 1}));
                                world.store.edit_op(op.seq, id, to, at(5)).wait().map(|_| ())
                            }
                            (None, 6) => {
                                let ids = [world.op_id(), world.op_id()];
                                let field = vec![Pointer::parse("/n")];
                                world.store.split_op(op.seq, field, ids, at(5)).wait().map(|_| ())
                            }
                            (None, _) => world.store.undo_step(at(5)).wait().map(|_| ()),
                        };
                        match done {
                            Ok(()) | Err(StoreError::Refused(_)) => {}
                            Err(other) => panic!("{name}: {other}"),
                        }
                    }
                }
                11 => {
                    let op_id = world.op_id();
                    world.store.undo(op_id, at(6)).wait().unwrap();
                }
                12 => {
                    if let Some(conflict) = world.reader().conflicts(false).unwrap().pop() {
                        let take = [Take::Mine, Take::Theirs, Take::Base, Take::Merged]
                            [usize::try_from(dice.roll(4)).unwrap()];
                        let document = match take {
                            Take::Mine => conflict.mine,
                            Take::Theirs => None,
                            Take::Base => conflict.base,
                            Take::Merged => Some(json!({"n": "merged", "k": step})),
                        };
                        let op_id = world.op_id();
                        let resolve = Resolve {
                            conflict: conflict.id,
                            take,
                            document,
                            seen: None,
                            op_id,
                            at: at(7),
                            author: String::new(),
                        };
                        world.store.resolve(resolve).wait().unwrap();
                    }
                }
                _ => match dice.roll(3) {
                    0 => {
                        world = world.again();
                        world.store.recover_in_flight(at(8)).wait().unwrap();
                    }
                    1 => assert_eq!(world.store.rebuild_shadow().wait().unwrap(), 0, "{name}"),
                    _ => while world.store.feed_search().wait().unwrap() {},
                },
            }
            check(&world, &saved, &name);
        }
    }
}

#[test]
fn a_damaged_page_of_the_mirror_is_noticed_and_the_mirror_made_anew() {
    let mut world = World::new();
    let rows: Vec<_> = (0..900).map(|n| (format!("p{n:04}"), json!({"n": n, "t": "x".repeat(300)}))).collect();
    let rows: Vec<_> = rows.iter().map(|(id, value)| (id.as_str(), value.clone())).collect();
    world.pull(&rows);
    world.queue("mine", Some(json!({"n": 1})));
    let World { dir, store, clock, ids: made } = world;
    drop(store);
    let path = dir.path().join("mirror.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let pages = bytes.len() / 4096;
    for page in 12..pages {
        bytes[page * 4096..page * 4096 + 64].fill(0xa5);
    }
    std::fs::write(&path, &bytes).unwrap();
    let store = Store::open(dir.path(), OpenMode::ReadWrite, clock.clone()).unwrap();
    let read = store.reader().unwrap().export(&tasks(), |_, _| true);
    match read {
        Err(StoreError::Damaged { path: named, .. }) => assert_eq!(named, path),
        other => panic!("{other:?}"),
    }
    drop(store);
    let store = Store::open(dir.path(), OpenMode::ReadWrite, clock.clone()).unwrap();
    let world = World { dir, store, clock, ids: made };
    assert_eq!(world.ids(""), ["mine"], "the copies are pulled again, the edit is here");
    assert_eq!(world.reader().check().unwrap(), Vec::<String>::new());
}
