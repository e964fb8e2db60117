//! Surgery on the queue, on real files: each step can be taken back, and all of them taken back is as if none had been.

#[path = "common/journal.rs"]
mod journal;

use std::{collections::BTreeMap, sync::Arc};

use ebbtide::{
    model::{
        ids::{OpId, RecordId, Revision, Seq},
        json::Pointer,
        op::{NewOp, Op, OpCommand, OpError, OpKind, OpState, Precondition},
        time::At,
    },
    store::{Claim, OpenMode, Outcome, QueueEdit, Reader, Settle, Store, StoreError, Undone},
};
use journal::{Ticking, at, edit_of, page, tasks, upsert};
use proptest::prelude::*;
use serde_json::{Value, json};

struct World {
    dir: tempfile::TempDir,
    store: Store,
    clock: Arc<Ticking>,
    ids: u64,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Ticking::default());
        let store = Store::open(dir.path(), OpenMode::ReadWrite, clock.clone()).unwrap();
        let world = Self { dir, store, clock, ids: 0 };
        let rows = [
            ("a", json!({"title": "one", "price": 1, "tags": ["x"], "size": {"h": 1, "w": 2}})),
            ("b", json!({"title": "two", "price": 2})),
        ];
        let row = |(id, document): &(&str, Value)| upsert(id, Some(Revision::from(format!("r-{id}"))), document);
        world.store.apply_page(page(rows.iter().map(row).collect(), at(1))).wait().unwrap();
        world
    }

    /// Closes everything and opens it again.
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

    fn local(&self, id: &str) -> Option<Value> {
        self.reader().record(&tasks().record(id)).unwrap().local.as_deref().cloned()
    }

    fn queue(&mut self, id: &str, to: Option<Value>) -> Option<Seq> {
        let base = self.local(id);
        if base.is_none() && to.is_none() {
            return None;
        }
        let op = edit_of(tasks().record(id), base, to, self.op_id(), at(2));
        let op = NewOp { base_revision: Some(Revision::from(format!("r-{id}"))), ..op };
        Some(self.store.queue(QueueEdit { op, draft: None, session: None, activity: None }).wait().unwrap().seq)
    }

    fn op(&self, seq: Seq) -> Op {
        self.reader().op(seq).unwrap().unwrap()
    }

    fn claim(&self, seq: Seq) -> bool {
        let op = self.op(seq);
        let claim = Claim {
            known: None,
            head: seq,
            absorbs: Vec::new(),
            kind: op.kind,
            sent_document: op.document,
            precondition: Precondition::Absent,
            request_hash: String::new(),
            at: at(3),
        };
        self.store.claim(claim).wait().unwrap().is_some()
    }

    fn settle(&self, seq: Seq, outcome: Outcome) {
        self.store.settle(Settle { seq, joins: Vec::new(), outcome, at: at(4) }).wait().unwrap();
    }

    fn reject(&self, seq: Seq) {
        assert!(self.claim(seq));
        let error = OpError { at: at(4), status: Some(422), message: "the price is odd".to_owned() };
        self.settle(seq, Outcome::Rejected { error });
    }

    fn edit(&mut self, seq: Seq, to: Value) -> Result<Seq, StoreError> {
        let id = self.op_id();
        self.store.edit_op(seq, id, to, at(9)).wait()
    }

    fn split(&mut self, seq: Seq, fields: &[&str]) -> Result<(Seq, Seq), StoreError> {
        let ids = [self.op_id(), self.op_id()];
        let fields = fields.iter().map(|field| Pointer::parse(field)).collect();
        self.store.split_op(seq, fields, ids, at(9)).wait()
    }

    fn command(&self, seq: Seq, command: OpCommand) -> Result<Vec<Seq>, StoreError> {
        self.store.command(vec![seq], command, at(9)).wait()
    }

    fn undo_step(&self) -> Option<Undone> {
        self.store.undo_step(at(10)).wait().unwrap()
    }

    fn chain(&self, id: &str) -> Vec<(i64, OpState, Option<Value>)> {
        let chain = self.reader().chain(&tasks().record(id)).unwrap();
        let ops = chain.map(|chain| chain.ops).unwrap_or_default();
        ops.into_iter().map(|op| (op.seq.0, op.state, op.document)).collect()
    }

    /// Every row that says what waits, what it is and what is shown of it, by record.
    fn rows(&self) -> BTreeMap<String, Vec<String>> {
        let journal = rusqlite::Connection::open(self.dir.path().join("journal.db")).unwrap();
        let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for table in ["ops", "shadow", "conflicts"] {
            let mut select = journal.prepare(&format!("SELECT * FROM {table} ORDER BY 1")).unwrap();
            let names: Vec<String> = select.column_names().into_iter().map(str::to_owned).collect();
            let mut found = select.query([]).unwrap();
            while let Some(row) = found.next().unwrap() {
                let cells: Vec<String> = names
                    .iter()
                    .enumerate()
                    // A number the search index follows; it only grows.
                    .filter(|(_, name)| !(table == "shadow" && *name == "change"))
                    .map(|(index, name)| format!("{name}={:?}", row.get_ref(index).unwrap()))
                    .collect();
                let record: String = row.get("record").unwrap();
                rows.entry(record).or_default().push(format!("{table} {}", cells.join(" ")));
            }
        }
        for id in ["a", "b", "c"] {
            let view = self.reader().record(&tasks().record(id)).unwrap();
            let shown = format!("shown {:?} {:?} {:?}", view.local, view.mark, view.conflict);
            rows.entry(id.to_owned()).or_default().push(shown);
        }
        rows
    }

    /// I1 and I3, of every record.
    fn check(&self) {
        let mut reader = self.reader();
        for id in ["a", "b", "c"] {
            let Some(chain) = reader.chain(&tasks().record(id)).unwrap() else { continue };
            let base = chain.base.map(|base| Value::clone(&base.document));
            let local = chain
                .ops
                .iter()
                .fold(base, |local, op| ebbtide::merge::apply(local, op.kind, &op.changes, op.document.as_ref()));
            assert_eq!(reader.record(&tasks().record(id)).unwrap().local.as_deref(), local.as_ref(), "I1 of {id}");
            assert!(chain.ops.iter().skip(1).all(|op| !op.state.may_be_applied()), "I3 of {id}");
        }
        assert_eq!(reader.check().unwrap(), Vec::<String>::new());
    }
}

fn words<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_edited_op_is_another_op_at_its_place_and_what_follows_stands_on_it() {
    let mut world = World::new();
    let first = world.queue("b", Some(json!({"title": "TWO", "price": 2}))).unwrap();
    let second = world.queue("b", Some(json!({"title": "TWO", "price": 20}))).unwrap();
    let before = world.rows();
    let made = world.edit(first, json!({"title": "Zwei", "price": 2})).unwrap();
    assert_eq!(
        world.chain("b"),
        [
            (made.0, OpState::Queued, Some(json!({"title": "Zwei", "price": 2}))),
            (second.0, OpState::Queued, Some(json!({"title": "Zwei", "price": 20}))),
        ]
    );
    assert_eq!((world.op(first).state, world.op(second).after), (OpState::Superseded, Some(made)));
    assert!(world.reader().vault_list(None, None, 9).unwrap().len() == 1, "the other version is kept");
    world.check();
    let world = world.again();
    assert_eq!(world.undo_step(), Some(Undone::Step { what: "edit".to_owned(), seqs: vec![first] }));
    assert_eq!(world.rows(), before);
    assert_eq!(world.undo_step(), None);
}

#[test]
fn a_rejected_op_is_repaired_by_an_edit() {
    let mut world = World::new();
    let bad = world.queue("a", Some(json!({"title": "one", "price": -1}))).unwrap();
    let later = world.queue("a", Some(json!({"title": "uno", "price": -1}))).unwrap();
    world.reject(bad);
    assert_eq!(world.op(later).state, OpState::Blocked);
    let good = world.edit(bad, json!({"title": "one", "price": 3})).unwrap();
    let op = world.op(good);
    assert_eq!((op.state, op.attempts, op.last_error), (OpState::Queued, 0, None));
    assert_eq!(world.op(later).state, OpState::Queued);
    assert_eq!(world.local("a"), Some(json!({"title": "uno", "price": 3})));
    world.check();
}

#[test]
fn a_field_split_out_is_held_behind_the_rest() {
    let mut world = World::new();
    let whole = world.queue("b", Some(json!({"title": "TWO", "price": 20}))).unwrap();
    let after = world.queue("b", Some(json!({"title": "TWO", "price": 20, "new": 1}))).unwrap();
    let before = world.rows();
    let (rest, price) = world.split(whole, &["/price"]).unwrap();
    assert_eq!(
        world.chain("b"),
        [
            (rest.0, OpState::Queued, Some(json!({"title": "TWO", "price": 2}))),
            (price.0, OpState::Held, Some(json!({"title": "TWO", "price": 20}))),
            (after.0, OpState::Queued, Some(json!({"title": "TWO", "price": 20, "new": 1}))),
        ]
    );
    world.check();
    assert!(words(world.split(rest, &["/price"])).contains("does not change `/price`; it changes /title"));
    assert!(words(world.split(rest, &["/title"])).contains("changes nothing else"));
    assert!(words(world.split(price, &[""])).contains("name a field"));
    assert!(matches!(world.undo_step(), Some(Undone::Step { what, .. }) if what == "split"));
    assert_eq!(world.rows(), before);
}

#[test]
fn a_new_record_can_be_split_too() {
    let mut world = World::new();
    let whole = world.queue("c", Some(json!({"title": "three", "price": 3}))).unwrap();
    let (rest, price) = world.split(whole, &["/price"]).unwrap();
    assert_eq!((world.op(rest).kind, world.op(price).kind), (OpKind::Create, OpKind::Update));
    assert_eq!(world.op(rest).document, Some(json!({"title": "three"})));
    assert_eq!(world.local("c"), Some(json!({"title": "three", "price": 3})));
    world.check();
}

#[test]
fn what_is_sent_now_goes_first_with_what_stands_before_it() {
    let mut world = World::new();
    world.queue("a", Some(json!({"title": "A"}))).unwrap();
    let first = world.queue("b", Some(json!({"title": "B"}))).unwrap();
    let second = world.queue("b", Some(json!({"title": "BB"}))).unwrap();
    let third = world.queue("b", Some(json!({"title": "BBB"}))).unwrap();
    let before = world.rows();
    world.command(second, OpCommand::Send).unwrap();
    let order: Vec<Seq> = world.reader().outbox(&[], None, 9).unwrap().iter().map(|op| op.seq).collect();
    assert_eq!(order, [first, second, Seq(1), third]);
    let ready = world.reader().ready(&"office".into(), at(20), &[], 9).unwrap();
    assert_eq!(ready[0].record.id, RecordId::from("b"));
    world.undo_step().unwrap();
    assert_eq!(world.rows(), before);
    world.command(first, OpCommand::Hold).unwrap();
    let why = words(world.command(second, OpCommand::Send));
    assert!(why.contains(&format!("stands behind op {first}, which is held")), "{why}");
    world.command(first, OpCommand::Send).unwrap();
    assert_eq!(world.op(first).state, OpState::Queued, "sending releases");
}

#[test]
fn what_may_be_applied_is_left_alone_with_the_reason() {
    let mut world = World::new();
    let seq = world.queue("a", Some(json!({"title": "A", "price": 9}))).unwrap();
    assert!(world.claim(seq));
    let error = OpError { at: at(4), status: None, message: "lost".to_owned() };
    for state in [OpState::InFlight, OpState::InDoubt] {
        assert_eq!(world.op(seq).state, state);
        let before = world.rows();
        assert!(words(world.edit(seq, json!({"title": "B"}))).contains("may have reached the server"));
        assert!(words(world.split(seq, &["/price"])).contains("may have reached the server"));
        for command in [OpCommand::Hold, OpCommand::Send, OpCommand::Discard] {
            let why = words(world.command(seq, command));
            assert!(why.contains("may have reached the server") || why.contains("is being sent"), "{why}");
        }
        assert_eq!(world.rows(), before);
        if state == OpState::InFlight {
            world.settle(seq, Outcome::InDoubt { error: error.clone(), next_attempt_at: None });
        }
    }
}

#[test]
fn a_step_whose_op_was_sent_meanwhile_says_so_and_makes_way() {
    let mut world = World::new();
    let held = world.queue("a", Some(json!({"title": "A"}))).unwrap();
    world.command(held, OpCommand::Hold).unwrap();
    let sent = world.queue("b", Some(json!({"title": "B"}))).unwrap();
    let made = world.edit(sent, json!({"title": "BB"})).unwrap();
    assert!(world.claim(made));
    world.settle(made, Outcome::Acked);
    let before = world.rows();
    let Some(Undone::TooLate { what, why, .. }) = world.undo_step() else { panic!("it was taken back") };
    assert_eq!((what.as_str(), why), ("edit", format!("op {made} was sent meanwhile")));
    assert_eq!(world.rows(), before);
    assert!(matches!(world.undo_step(), Some(Undone::Step { what, .. }) if what == "hold"));
    assert_eq!(world.op(held).state, OpState::Queued);
}

#[test]
fn the_text_of_an_edit_that_is_taken_back_is_in_the_vault() {
    let mut world = World::new();
    let first = world.queue("a", Some(json!({"title": "A"}))).unwrap();
    world.edit(first, json!({"title": "typed"})).unwrap();
    assert!(matches!(world.undo_step(), Some(Undone::Step { what, .. }) if what == "edit"));
    let reader = &mut world.store.reader().unwrap();
    let kept = reader.vault_list(None, None, 10).unwrap();
    assert!(kept.iter().any(|entry| reader.vault_text(entry.id).unwrap().unwrap().contains("typed")), "{kept:?}");
}

#[test]
fn u_takes_back_whatever_came_last_edit_or_step() {
    let mut world = World::new();
    let first = world.queue("a", Some(json!({"title": "A"}))).unwrap();
    world.command(first, OpCommand::Hold).unwrap();
    let second = world.queue("b", Some(json!({"title": "B"}))).unwrap();
    let made = world.edit(second, json!({"title": "BB"})).unwrap();
    let mut undone = Vec::new();
    for _ in 0..5 {
        let id = world.op_id();
        undone.push(world.store.undo(id, at(11)).wait().unwrap());
    }
    let step = |what: &str, seq| Some(Undone::Step { what: what.to_owned(), seqs: vec![seq] });
    assert_eq!(
        undone,
        [
            step("edit", second),
            Some(Undone::Edit(second, tasks().record("b"))),
            step("hold", first),
            Some(Undone::Edit(first, tasks().record("a"))),
            None
        ]
    );
    assert!(world.reader().op(made).unwrap().is_none());
}

#[test]
fn an_edit_made_after_a_step_follows_when_the_step_is_taken_back() {
    let mut world = World::new();
    let first = world.queue("b", Some(json!({"title": "B", "price": 2}))).unwrap();
    world.edit(first, json!({"title": "BB", "price": 2})).unwrap();
    let later = world.queue("b", Some(json!({"title": "BB", "price": 7}))).unwrap();
    world.undo_step().unwrap();
    assert_eq!(world.op(later).document, Some(json!({"title": "B", "price": 7})));
    assert_eq!(world.local("b"), Some(json!({"title": "B", "price": 7})));
    world.check();
}

#[test]
fn what_waited_for_credentials_goes_again_when_a_step_is_taken_back() {
    for command in [OpCommand::Hold, OpCommand::Discard] {
        let mut world = World::new();
        let seq = world.queue("a", Some(json!({"title": "A"}))).unwrap();
        assert!(world.claim(seq));
        let error = OpError { at: at(4), status: Some(401), message: "expired".to_owned() };
        world.settle(seq, Outcome::Auth { error });
        world.command(seq, command).unwrap();
        // New credentials release what waits for them now.
        assert_eq!(world.store.release_auth("office".into()).wait().unwrap(), 0);
        assert!(matches!(world.undo_step(), Some(Undone::Step { .. })));
        assert_eq!(world.op(seq).state, OpState::Queued, "nobody would release it any more");
        world.check();
    }
}

/// What a user may do, by numbers that pick.
#[derive(Debug, Clone)]
enum Cut {
    Command(OpCommand, usize),
    Edit(usize, u8),
    Split(usize, usize),
    Reopen,
}

fn cut() -> impl Strategy<Value = Cut> {
    let commands =
        [OpCommand::Hold, OpCommand::Release, OpCommand::Retry, OpCommand::Send, OpCommand::Discard].to_vec();
    prop_oneof![
        6 => (prop::sample::select(commands), 0..12_usize).prop_map(|(command, pick)| Cut::Command(command, pick)),
        4 => (0..12_usize, 0..4_u8).prop_map(|(pick, value)| Cut::Edit(pick, value)),
        4 => (0..12_usize, 0..5_usize).prop_map(|(pick, field)| Cut::Split(pick, field)),
        1 => Just(Cut::Reopen),
    ]
}

fn values() -> impl Strategy<Value = Option<Value>> {
    let value = (0..3_u8, 0..3_u8, proptest::option::of(0..3_u8)).prop_map(|(title, price, size)| {
        let mut document = json!({"title": title, "price": price});
        if let Some(size) = size {
            document["size"] = json!({"h": size, "w": 2});
        }
        document
    });
    proptest::option::weighted(0.85, value)
}

const FIELDS: [&str; 5] = ["/title", "/price", "/size", "/size/h", "/tags"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_surgery_taken_back_is_the_identity(
        edits in prop::collection::vec((0..3_usize, values()), 1..8),
        troubles in prop::collection::vec((0..8_usize, 0..4_u8), 0..3),
        cuts in prop::collection::vec(cut(), 1..12),
    ) {
        let mut world = World::new();
        let mut seqs = Vec::new();
        for (record, to) in edits {
            seqs.extend(world.queue(["a", "b", "c"][record], to));
        }
        for (pick, trouble) in troubles {
            let Some(seq) = seqs.get(pick % seqs.len().max(1)).copied() else { continue };
            if world.op(seq).state != OpState::Queued || !world.claim(seq) {
                continue;
            }
            let error = OpError { at: at(4), status: Some(422), message: "no".to_owned() };
            let outcome = match trouble {
                0 => Outcome::Rejected { error },
                1 => Outcome::Queued { error: Some(error), next_attempt_at: Some(at(99)), counts: true },
                2 => Outcome::InDoubt { error, next_attempt_at: None },
                _ => Outcome::Conflict {
                    theirs: Some(json!({"title": "theirs"})),
                    theirs_revision: None,
                    note: None,
                    base: world.op(seq).base,
                },
            };
            world.settle(seq, outcome);
        }
        let start = world.rows();
        let mut done = 0;
        for cut in cuts {
            let ops = world.reader().outbox(&[], None, 99).unwrap();
            if ops.is_empty() {
                break;
            }
            let pick = |pick: usize| ops[pick % ops.len()].clone();
            let before = world.rows();
            let (op, answer) = match cut {
                Cut::Command(command, at) => {
                    let op = pick(at);
                    (op.clone(), world.command(op.seq, command).map(|_| ()))
                }
                Cut::Edit(at, value) => {
                    let op = pick(at);
                    (op.clone(), world.edit(op.seq, json!({"title": "edited", "price": value})).map(|_| ()))
                }
                Cut::Split(at, field) => {
                    let op = pick(at);
                    (op.clone(), world.split(op.seq, &[FIELDS[field]]).map(|_| ()))
                }
                Cut::Reopen => {
                    world = world.again();
                    continue;
                }
            };
            let after = world.rows();
            match answer {
                Ok(()) => done += 1,
                Err(StoreError::Refused(_)) => prop_assert_eq!(&before, &after, "a refused step changes nothing"),
                Err(other) => panic!("{other}"),
            }
            for (record, rows) in &before {
                if *record != op.record.id.0 {
                    prop_assert_eq!(Some(rows), after.get(record), "another record");
                }
            }
            world.check();
        }
        let mut taken = 0;
        while let Some(undone) = world.undo_step() {
            prop_assert!(matches!(undone, Undone::Step { .. }), "{:?}", undone);
            world.check();
            taken += 1;
        }
        prop_assert!(taken <= done);
        prop_assert_eq!(world.rows(), start);
    }
}
