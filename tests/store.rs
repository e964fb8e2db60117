//! The store's contract, on real files in temporary directories.

use std::{
    collections::HashSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ebbtide::{
    model::{
        draft::{DraftKey, DraftTarget, DraftWrite},
        edit,
        ids::{CollectionKey, OpId, RecordId, Revision, Seq, SessionName},
        op::{NewOp, Op, OpCommand, OpError, OpKind, OpState, Precondition},
        query::{Anchor, Filter, ListQuery, Sort, Window},
        record::RecordMark,
        session::{Slice, UiCommit},
        time::{At, Clock, Timestamp},
        wire::{RemoteChange, RemoteRecord},
    },
    store::{Claim, NewBase, OpenMode, Outcome, PullPage, QueueEdit, Reader, Settle, Store, StoreError},
};
use serde_json::{Value, json};

/// A clock that moves a millisecond whenever it is looked at.
#[derive(Default)]
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn at(&self) -> At {
        let tick = self.0.fetch_add(1, Ordering::Relaxed);
        let mut at = At::test(tick);
        at.mono = Duration::from_micros(tick);
        at
    }
}

struct World {
    dir: tempfile::TempDir,
    store: Store,
    clock: Arc<Ticking>,
    ids: u64,
}

const LONG: Duration = Duration::from_secs(1_000_000);

fn tasks() -> CollectionKey {
    CollectionKey::new("office", "tasks")
}

fn at(n: u64) -> Timestamp {
    At::test(n).wall
}

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
        let changes = rows
            .iter()
            .map(|(id, value)| {
                RemoteChange::Upsert(RemoteRecord { id: RecordId::from(*id), revision: None, text: value.to_string() })
            })
            .collect();
        self.store.apply_page(page(changes)).wait().unwrap();
    }

    /// An edit of what the record is here now.
    fn edit(&mut self, id: &str, to: Option<Value>) -> NewOp {
        let record = tasks().record(id);
        let view = self.reader().record(&record).unwrap();
        let kind = match (&view.local, &to) {
            (None, _) => OpKind::Create,
            (_, None) => OpKind::Delete,
            _ => OpKind::Update,
        };
        NewOp {
            op_id: self.op_id(),
            record,
            kind,
            changes: edit::diff(view.local.as_ref(), to.as_ref()),
            document: to,
            base: view.local,
            base_revision: view.base.and_then(|base| base.revision),
            created_at: at(self.ids),
            author: "me".to_owned(),
        }
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
            head,
            absorbs: absorbs.to_vec(),
            kind: op.kind,
            sent_document: last.document,
            precondition: Precondition::Absent,
            request_hash: "h".to_owned(),
            at: at(9),
        };
        self.store.claim(claim).wait().unwrap()
    }

    fn settle(&self, seq: Seq, outcome: Outcome) {
        self.store.settle(Settle { seq, outcome, at: at(10) }).wait().unwrap();
    }

    fn window(&self, filter: &str, anchor: Anchor, limit: usize) -> Window {
        self.reader().window(&list(filter), &anchor, limit, LONG).unwrap()
    }

    fn ids(&self, filter: &str) -> Vec<String> {
        ids(&self.window(filter, Anchor::First, 1_000))
    }
}

fn page(changes: Vec<RemoteChange>) -> PullPage {
    PullPage { collection: tasks(), changes, checkpoint: None, sweep: None, protected: HashSet::new(), at: at(1) }
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
        at: at(9),
    };
    world.store.acknowledge(vec![base]).wait().unwrap();
    world.settle(seq, Outcome::Acked);
    let view = world.reader().record(&tasks().record("a")).unwrap();
    assert_eq!((view.mark, view.local), (RecordMark::Synced, Some(json!({"n": 5}))));
    assert_eq!(view.base.unwrap().revision, Some("r2".into()));
    let world = world.again();
    assert_eq!(world.state(seq), OpState::Acked);
    assert_eq!(world.reader().check().unwrap(), Vec::<String>::new());
}
