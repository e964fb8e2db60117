//! Several edits of one record behind each other, while others change it on the server: a small server with ETags, the real
//! plan, the real judge and the real store. Nothing the user typed is dropped, nothing of others is overwritten unseen.

#[path = "common/journal.rs"]
mod journal;

use std::{collections::BTreeMap, sync::Arc};

use ebbtide::{
    merge::{self, Pick},
    model::{
        conflict::{ConflictPolicy, Take},
        edit,
        ids::{OpId, Revision, Seq},
        json::{self, Pointer},
        op::{NewOp, Op, OpCommand, OpError, OpKind, OpState, Precondition},
        rtdb,
        rules::{ConflictRules, FieldRule},
        source::SourceKind,
        time::{At, ServerClock, Timestamp},
        wire::RemoteChange,
    },
    store::{Claim, NewBase, OpenMode, Outcome, QueueEdit, Reader, Resolve, Settle, Store, StoreError},
    sync::{
        judge::{self, Judgement, Meeting, Settling},
        plan::{self, Next},
    },
};
use journal::{Ticking, edit_of, page, tasks, upsert};
use serde_json::{Value, json};

const KIND: SourceKind = SourceKind::Firebase;

struct World {
    dir: tempfile::TempDir,
    store: Store,
    now: u64,
    server: BTreeMap<String, Value>,
    settling: Settling,
    server_clock: Option<ServerClock>,
}

fn etag(value: &Value) -> Revision {
    Revision::from(json::canonical(value).into_owned())
}

impl World {
    fn new(rules: ConflictRules) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), OpenMode::ReadWrite, Arc::new(Ticking::default())).unwrap();
        let settling = Settling { rules, updated_at: None };
        Self { dir, store, now: 10, server: BTreeMap::new(), settling, server_clock: None }
    }

    fn at(&mut self) -> At {
        self.now += 1;
        At::test(self.now)
    }

    fn wall(&mut self) -> Timestamp {
        self.at().wall
    }

    fn reader(&self) -> Reader {
        self.store.reader().unwrap()
    }

    /// Somebody else writes; `pulled`: the feed brings it here.
    fn foreign(&mut self, id: &str, document: Option<Value>, pulled: bool) {
        match &document {
            Some(document) => self.server.insert(id.to_owned(), document.clone()),
            None => self.server.remove(id),
        };
        if pulled {
            self.pull(id);
        }
    }

    fn pull(&mut self, id: &str) {
        let change = match self.server.get(id) {
            Some(document) => upsert(id, Some(etag(document)), document),
            None => RemoteChange::Tombstone { id: id.into() },
        };
        let at = self.wall();
        self.store.apply_page(page(vec![change], at)).wait().unwrap();
    }

    fn local(&self, id: &str) -> Option<Value> {
        self.reader().record(&tasks().record(id)).unwrap().local.as_deref().cloned()
    }

    /// As the command line does it: the edit is made on what is shown.
    fn edit(&mut self, id: &str, to: Option<Value>) -> Seq {
        let view = self.reader().record(&tasks().record(id)).unwrap();
        let base_revision = view.base.as_ref().and_then(|base| base.revision.clone());
        let base = view.local.as_deref().cloned();
        let at = self.at();
        let op = edit_of(tasks().record(id), base, to, OpId::new(&at), at.wall);
        let op = NewOp { base_revision, ..op };
        self.store.queue(QueueEdit { op, draft: None, session: None, activity: None }).wait().unwrap().seq
    }

    fn command(&mut self, seq: Seq, command: OpCommand) -> Result<Vec<Seq>, StoreError> {
        let at = self.wall();
        self.store.command(vec![seq], command, at).wait()
    }

    fn chain(&self, id: &str) -> Vec<Op> {
        self.reader().chain(&tasks().record(id)).unwrap().map(|chain| chain.ops).unwrap_or_default()
    }

    fn states(&self, id: &str) -> Vec<(i64, OpState)> {
        self.chain(id).into_iter().map(|op| (op.seq.0, op.state)).collect()
    }

    fn settle(&mut self, seq: Seq, outcome: Outcome) {
        self.settle_joined(seq, Vec::new(), outcome);
    }

    fn settle_joined(&mut self, seq: Seq, joins: Vec<Seq>, outcome: Outcome) {
        let at = self.wall();
        self.store.settle(Settle { seq, joins, outcome, at }).wait().unwrap();
    }

    fn store_base(&mut self, id: &str, document: Option<Value>, found: bool) {
        let at = self.wall();
        let revision = document.as_ref().map(etag);
        let record = tasks().record(id);
        self.store.acknowledge(vec![NewBase { record, document, revision, found, at }]).wait().unwrap();
    }

    /// The head of a chain meets what is there, with the ops that are judged with it.
    fn judge(&mut self, head: &Op, joins: Vec<Seq>, doubted: bool) -> String {
        let id = head.record.id.as_str().to_owned();
        let theirs = self.server.get(&id).cloned();
        let revision = theirs.as_ref().map(etag);
        let (at, settling) = (self.at(), self.settling.clone());
        let meeting = Meeting {
            kind: KIND,
            settling: &settling,
            at: &at,
            op: head,
            mine: merge::intended(head),
            theirs: theirs.as_ref(),
            revision: revision.as_ref(),
            doubted,
            server_clock: self.server_clock,
        };
        let (word, outcome) = match meeting.judge() {
            Judgement::Applied => ("applied", Outcome::Acked),
            Judgement::Rebased(op) => ("rebased", Outcome::Rebased { op }),
            Judgement::Decided(decided) => ("decided", Outcome::Decided(decided)),
            Judgement::Conflict => {
                let base = judge::shown_base(KIND, head, theirs.as_ref());
                let (theirs, theirs_revision) = (theirs.clone(), revision.clone());
                ("conflict", Outcome::Conflict { theirs, theirs_revision, base, note: None })
            }
        };
        self.store_base(&id, theirs, true);
        self.settle_joined(head.seq, joins, outcome);
        format!("{word} {}", head.seq)
    }

    fn claim(
        &mut self,
        head: &Op,
        kind: OpKind,
        document: Option<Value>,
        absorbs: Vec<Seq>,
        precondition: Precondition,
    ) {
        let at = self.wall();
        let claim = Claim {
            known: None,
            head: head.seq,
            absorbs,
            kind,
            sent_document: document,
            precondition,
            request_hash: "hash".to_owned(),
            at,
        };
        assert!(self.store.claim(claim).wait().unwrap().is_some());
    }

    fn fits(&self, id: &str, precondition: &Precondition) -> bool {
        match (precondition, self.server.get(id)) {
            (Precondition::Absent, None) => true,
            (Precondition::Revision(revision), Some(there)) => *revision == etag(there),
            _ => false,
        }
    }

    /// Sends what can go, until nothing can.
    fn drain(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..30 {
            let now = self.wall();
            let chains = self.reader().ready(&"office".into(), now, &[], 10).unwrap();
            let Some(chain) = chains.into_iter().next() else { return told };
            let head = chain.ops[0].clone();
            let id = head.record.id.as_str().to_owned();
            let rules = self.settling.rules.clone();
            let mut next = plan::next(KIND, &rules, &chain.ops, chain.base.as_ref()).unwrap();
            if let Next::Lookup(_) = next {
                let current = self.server.get(&id).cloned();
                let revision = current.as_ref().map(etag);
                next = plan::after_lookup(KIND, &rules, &chain.ops, current, revision).unwrap();
            }
            let doubted = head.state == OpState::InDoubt || head.was_in_doubt;
            let (kind, document, absorbs, precondition) = match next {
                Next::Drop { ops } => {
                    told.push(format!("drop {ops:?}"));
                    self.settle(ops[0], Outcome::Discarded { with: ops[1..].to_vec() });
                    continue;
                }
                Next::Claim(write, precondition) => (write.kind, write.document, write.absorbs, precondition),
                Next::Repeat(request) => (request.kind, request.document, Vec::new(), request.precondition),
                Next::Moved { .. } => {
                    let (head, joins) = plan::judged(KIND, &chain.ops).unwrap();
                    told.push(self.judge(&head, joins, doubted));
                    continue;
                }
                other => panic!("{other:?}"),
            };
            self.claim(&head, kind, document.clone(), absorbs, precondition.clone());
            if self.fits(&id, &precondition) {
                told.push(format!("sent {} {}", head.seq, document.clone().unwrap_or(Value::Null)));
                match &document {
                    Some(document) => self.server.insert(id.clone(), document.clone()),
                    None => self.server.remove(&id),
                };
                self.store_base(&id, document, false);
                self.settle(head.seq, Outcome::Acked);
            } else {
                let head = self.reader().op(head.seq).unwrap().unwrap();
                told.push(self.judge(&head, Vec::new(), doubted));
            }
        }
        panic!("it never ends: {told:?}");
    }

    fn open_conflict(&self) -> ebbtide::model::conflict::Conflict {
        self.reader().conflicts(false).unwrap().remove(0)
    }

    fn resolve(&mut self, take: Take, document: Option<Value>) -> Option<Seq> {
        let conflict = self.open_conflict();
        let at = self.at();
        let resolve = Resolve {
            conflict: conflict.id,
            take,
            document,
            seen: None,
            op_id: OpId::new(&at),
            at: at.wall,
            author: String::new(),
        };
        self.store.resolve(resolve).wait().unwrap()
    }

    fn lost(&mut self) -> OpError {
        OpError { at: self.wall(), status: None, message: "no answer".to_owned() }
    }
}

fn rule(place: &str, rule: FieldRule) -> ConflictRules {
    ConflictRules { fields: vec![(place.parse().unwrap(), rule)], ..ConflictRules::default() }
}

#[test]
fn an_edit_that_puts_a_pulled_value_back_behind_a_pending_edit_is_sent() {
    let mut world = World::new(ConflictRules::default());
    world.foreign("a", Some(json!({"title": "one", "done": false})), true);
    let first = world.edit("a", Some(json!({"title": "uno", "done": false})));
    world.command(first, OpCommand::Hold).unwrap();
    world.foreign("a", Some(json!({"title": "one", "done": true})), true);
    assert_eq!(world.local("a"), Some(json!({"title": "uno", "done": true})), "the pull shows");
    world.edit("a", Some(json!({"title": "uno", "done": false})));
    assert_eq!(world.local("a"), Some(json!({"title": "uno", "done": false})));
    world.command(first, OpCommand::Release).unwrap();
    let told = world.drain();
    let asks = !world.reader().conflicts(false).unwrap().is_empty();
    assert!(asks || world.server["a"] == json!({"title": "uno", "done": false}), "{told:?} {:?}", world.server);
}

#[test]
fn what_was_added_here_is_not_added_twice_behind_a_pending_edit() {
    let mut world = World::new(rule("/n", FieldRule::Add));
    world.foreign("a", Some(json!({"title": "one", "n": 1})), true);
    let first = world.edit("a", Some(json!({"title": "uno", "n": 1})));
    world.command(first, OpCommand::Hold).unwrap();
    world.foreign("a", Some(json!({"title": "one", "n": 9})), true);
    world.edit("a", Some(json!({"title": "uno", "n": 10})));
    world.command(first, OpCommand::Release).unwrap();
    let told = world.drain();
    assert_eq!(world.server["a"], json!({"title": "uno", "n": 10}), "{told:?}");
}

#[test]
fn a_later_edit_does_not_undo_what_an_answer_merged() {
    for (rules, mine, later, theirs, wanted) in [
        (rule("/n", FieldRule::Add), json!(11), json!(12), json!(12), json!(14)),
        (
            rule("/n", FieldRule::Union),
            json!(["x", "a"]),
            json!(["x", "a", "c"]),
            json!(["x", "b"]),
            json!(["x", "b", "a", "c"]),
        ),
    ] {
        let base = if mine.is_array() { json!(["x"]) } else { json!(10) };
        let mut world = World::new(rules.clone());
        world.foreign("a", Some(json!({"title": "one", "n": base})), true);
        let first = world.edit("a", Some(json!({"title": "mine", "n": mine})));
        world.foreign("a", Some(json!({"title": "theirs", "n": theirs})), true);
        assert_eq!(world.drain(), [format!("conflict {first}")]);
        world.edit("a", Some(json!({"title": "mine", "n": later})));
        let merged = merge::merge_conflict(&world.open_conflict(), &rules);
        let picks = BTreeMap::from([(Pointer::parse("/title"), Pick::Mine)]);
        let document = merged.document(&picks).unwrap();
        world.resolve(Take::Merged, document);
        let told = world.drain();
        let asks = !world.reader().conflicts(false).unwrap().is_empty();
        assert!(asks || world.server["a"]["n"] == wanted, "{told:?} {:?}", world.server);
    }
}

#[test]
fn an_answer_that_was_sent_first_is_taken_back() {
    let mut world = World::new(ConflictRules::default());
    world.foreign("a", Some(json!({"title": "one"})), true);
    let first = world.edit("a", Some(json!({"title": "mine"})));
    world.foreign("a", Some(json!({"title": "theirs"})), true);
    world.drain();
    let conflict = world.open_conflict();
    let made = world.resolve(Take::Mine, Some(json!({"title": "mine"}))).unwrap();
    world.command(made, OpCommand::Send).unwrap();
    let at = world.at();
    world.store.unresolve(conflict.id, OpId::new(&at), at.wall).wait().unwrap();
    assert_eq!(world.states("a"), [(first.0, OpState::Conflict)], "the answer is out of the outbox");
    assert_eq!(world.drain(), Vec::<String>::new(), "an answer that was taken back is not sent");
}

#[test]
fn an_edit_that_makes_a_record_anew_is_not_taken_for_arrived_because_another_made_it_anew() {
    let mut world = World::new(ConflictRules::default());
    let at = world.at();
    let id = rtdb::push_id(&at);
    world.foreign(&id, Some(json!({"title": "one"})), true);
    let first = world.edit(&id, Some(json!({"title": "mine"})));
    // Deleted by another; the edit meets that and asks.
    world.foreign(&id, None, false);
    assert_eq!(world.drain(), [format!("conflict {first}")]);
    let made = world.resolve(Take::Mine, Some(json!({"title": "mine"}))).unwrap();
    // Sent; it never arrives, and no answer comes.
    let head = world.chain(&id).remove(0);
    assert_eq!((head.seq, head.kind), (made, OpKind::Create));
    world.claim(&head, OpKind::Create, head.document.clone(), Vec::new(), Precondition::Absent);
    let error = world.lost();
    world.settle(made, Outcome::InDoubt { error, next_attempt_at: None });
    // The other takes the deletion back.
    world.foreign(&id, Some(json!({"title": "one"})), false);
    let told = world.drain();
    let asks = !world.reader().conflicts(false).unwrap().is_empty();
    assert!(asks || world.server[&id] == json!({"title": "mine"}), "the edit is lost: {told:?}");
}

#[test]
fn an_answer_taken_back_and_given_anew_is_what_is_sent() {
    let mut world = World::new(rule("/stamp", FieldRule::ServerOwned));
    world.foreign("a", Some(json!({"title": "one", "price": 1, "stamp": 1})), true);
    let first = world.edit("a", Some(json!({"title": "mine", "price": 1, "stamp": 1})));
    world.foreign("a", Some(json!({"title": "theirs", "price": 1, "stamp": 1})), true);
    assert_eq!(world.drain(), [format!("conflict {first}")]);
    let second = world.edit("a", Some(json!({"title": "mine", "price": 2, "stamp": 5})));
    let conflict = world.open_conflict();
    assert_eq!(world.resolve(Take::Theirs, None), None);
    // Claimed, but the link is down: nothing was sent.
    let chain = world.reader().chain(&tasks().record("a")).unwrap().unwrap();
    assert_eq!(chain.ops[0].seq, second);
    let rules = world.settling.rules.clone();
    let Some(Next::Claim(write, precondition)) = plan::next(KIND, &rules, &chain.ops, chain.base.as_ref()) else {
        panic!()
    };
    world.claim(&chain.ops[0], write.kind, write.document, write.absorbs, precondition);
    world.settle(second, Outcome::Queued { error: None, next_attempt_at: None, counts: false });
    let at = world.at();
    world.store.unresolve(conflict.id, OpId::new(&at), at.wall).wait().unwrap();
    world.resolve(Take::Mine, Some(json!({"title": "mine", "price": 1, "stamp": 1}))).unwrap();
    let told = world.drain();
    assert_eq!(world.server["a"]["title"], json!("mine"), "{told:?}");
}

#[test]
fn what_may_be_applied_is_not_discarded_while_it_waits_for_an_account() {
    let mut world = World::new(rule("/n", FieldRule::Add));
    world.store.sign_in("office".into(), "ann".to_owned(), At::test(5).wall).wait().unwrap();
    world.foreign("a", Some(json!({"n": 10})), true);
    let first = world.edit("a", Some(json!({"n": 11})));
    let head = world.chain("a").remove(0);
    world.claim(&head, head.kind, head.document.clone(), vec![], Precondition::Revision(etag(&json!({"n": 10}))));
    // It arrived; the answer did not.
    world.server.insert("a".to_owned(), json!({"n": 11}));
    let error = world.lost();
    world.settle(first, Outcome::InDoubt { error, next_attempt_at: None });
    world.store.sign_in("office".into(), "bob".to_owned(), At::test(6).wall).wait().unwrap();
    assert_eq!(world.states("a"), [(first.0, OpState::Auth)]);
    let at = world.at();
    let edited = world.store.edit_op(first, OpId::new(&at), json!({"n": 12}), at.wall).wait();
    if edited.is_ok() {
        world.store.confirm_author("office".into(), At::test(7).wall).wait().unwrap();
        let told = world.drain();
        let asks = !world.reader().conflicts(false).unwrap().is_empty();
        assert!(asks || world.server["a"] == json!({"n": 12}), "{told:?} {:?}", world.server);
    }
}

#[test]
fn released_credentials_keep_the_doubt() {
    let mut world = World::new(ConflictRules::default());
    world.store.sign_in("office".into(), "ann".to_owned(), At::test(5).wall).wait().unwrap();
    world.foreign("a", Some(json!({"n": 10})), true);
    let first = world.edit("a", Some(json!({"n": 11})));
    let head = world.chain("a").remove(0);
    world.claim(&head, head.kind, head.document.clone(), vec![], Precondition::Revision(etag(&json!({"n": 10}))));
    let error = world.lost();
    world.settle(first, Outcome::InDoubt { error, next_attempt_at: None });
    world.store.sign_in("office".into(), "bob".to_owned(), At::test(6).wall).wait().unwrap();
    world.store.sign_in("office".into(), "ann".to_owned(), At::test(7).wall).wait().unwrap();
    world.store.release_auth("office".into()).wait().unwrap();
    assert_eq!(world.states("a"), [(first.0, OpState::InDoubt)]);
}

#[test]
fn an_answer_taken_back_does_not_stand_before_what_is_on_the_wire() {
    let mut world = World::new(ConflictRules::default());
    world.foreign("a", Some(json!({"title": "one", "n": 1})), true);
    world.edit("a", Some(json!({"title": "mine", "n": 1})));
    world.foreign("a", Some(json!({"title": "theirs", "n": 1})), true);
    world.drain();
    let conflict = world.open_conflict();
    world.resolve(Take::Theirs, None);
    world.edit("a", Some(json!({"title": "theirs", "n": 2})));
    let head = world.chain("a").remove(0);
    let revision = etag(&world.server["a"]);
    world.claim(&head, head.kind, head.document.clone(), vec![], Precondition::Revision(revision));
    let at = world.at();
    // Refused, or in an order that can be sent.
    let _ = world.store.unresolve(conflict.id, OpId::new(&at), at.wall).wait();
    assert!(world.chain("a").iter().skip(1).all(|op| !op.state.may_be_applied()), "I3: {:?}", world.states("a"));
}

#[test]
fn the_same_while_a_conflict_waits() {
    let mut world = World::new(ConflictRules::default());
    world.foreign("a", Some(json!({"title": "one", "done": false})), true);
    let first = world.edit("a", Some(json!({"title": "mine", "done": false})));
    world.foreign("a", Some(json!({"title": "theirs", "done": true})), true);
    assert_eq!(world.drain(), [format!("conflict {first}")]);
    assert_eq!(world.local("a"), Some(json!({"title": "mine", "done": true})), "what the server changed shows");
    world.edit("a", Some(json!({"title": "mine", "done": false})));
    world.resolve(Take::Merged, Some(json!({"title": "mine", "done": true})));
    let told = world.drain();
    let asks = !world.reader().conflicts(false).unwrap().is_empty();
    assert!(asks || world.server["a"]["done"] == json!(false), "{told:?} {:?}", world.server);
}

#[test]
fn uploading_again_does_not_undo_an_edit_made_meanwhile() {
    let mut world = World::new(ConflictRules::default());
    let mirror = json!({"title": "one"});
    world.foreign("a", Some(mirror.clone()), true);
    // The server was emptied; "upload mine again" has read the row, then the user edits it, then the create is queued.
    world.foreign("a", None, false);
    let at = world.at();
    let create = NewOp {
        op_id: OpId::new(&at),
        record: tasks().record("a"),
        kind: OpKind::Create,
        changes: edit::diff(None, Some(&mirror)),
        document: Some(mirror),
        base: None,
        base_revision: None,
        created_at: at.wall,
        author: String::new(),
    };
    world.edit("a", Some(json!({"title": "mine"})));
    world.store.queue_beside(vec![create]).wait().unwrap();
    let mut told = world.drain();
    if !world.reader().conflicts(false).unwrap().is_empty() {
        world.resolve(Take::Mine, Some(json!({"title": "mine"}))).unwrap();
        told.extend(world.drain());
    }
    assert_eq!(world.server["a"], json!({"title": "mine"}));
}

#[test]
fn a_row_that_cannot_be_read_stays_as_it_is() {
    let mut world = World::new(ConflictRules::default());
    world.foreign("a", Some(json!({"a": 1, "b": 1, "c": 1})), true);
    world.edit("a", Some(json!({"a": 2, "b": 1, "c": 1})));
    let second = world.edit("a", Some(json!({"a": 2, "b": 1, "c": 2})));
    let journal = rusqlite::Connection::open(world.dir.path().join("journal.db")).unwrap();
    journal.execute("UPDATE ops SET changes = '[{damaged' WHERE seq = ?1", [second.0]).unwrap();
    let row = |column: &str| -> Option<String> {
        journal.query_row(&format!("SELECT {column} FROM ops WHERE seq = ?1"), [second.0], |row| row.get(0)).unwrap()
    };
    world.foreign("a", Some(json!({"a": 1, "b": 9, "c": 1})), true);
    let told = world.drain();
    assert_eq!(row("document"), Some(r#"{"a":2,"b":1,"c":2}"#.to_owned()), "{told:?}");
}

#[test]
fn an_answer_is_not_overwritten_by_an_edit_made_before_it() {
    let mut world = World::new(ConflictRules::default());
    world.foreign("a", Some(json!({"a": 1})), true);
    world.edit("a", Some(json!({"a": 2})));
    world.edit("a", Some(json!({"a": 3})));
    world.foreign("a", Some(json!({"a": 9})), true);
    world.drain();
    world.resolve(Take::Merged, Some(json!({"a": 7})));
    let told = world.drain();
    let asks = !world.reader().conflicts(false).unwrap().is_empty();
    assert!(asks || world.server["a"] == json!({"a": 7}), "{told:?} {:?}", world.server);
}

/// What a chain of edits comes to, with the news pulled before the claim or met by it.
fn however_it_is_met(settling: &Settling, edits: &[Option<Value>], theirs: &Value) -> BTreeMap<String, Value> {
    let come_to = |pulled: bool| {
        let mut world = World::new(settling.rules.clone());
        world.settling = settling.clone();
        world.server_clock = Some(ServerClock { offset_ms: 0, uncertainty_ms: 1_000 });
        world.foreign("a", Some(json!({"n": 1})), true);
        for edit in edits {
            world.now += 100;
            world.edit("a", edit.clone());
        }
        world.foreign("a", Some(theirs.clone()), pulled);
        let told = world.drain();
        assert!(world.reader().conflicts(false).unwrap().is_empty(), "{told:?}");
        let kept = world.server.into_iter().enumerate();
        kept.map(|(n, (id, document))| (if id == "a" { id } else { format!("copy {n}") }, document)).collect()
    };
    let (seen, met): (BTreeMap<String, Value>, BTreeMap<String, Value>) = (come_to(true), come_to(false));
    assert_eq!(seen, met, "whether the move is seen before the claim or met by it makes no difference");
    seen
}

#[test]
fn a_rule_holds_for_a_chain_as_for_one_edit() {
    let settling = Settling { rules: rule("/n", FieldRule::Max), updated_at: None };
    let edits = [Some(json!({"n": 5})), Some(json!({"n": 3}))];
    let server = however_it_is_met(&settling, &edits, &json!({"n": 4}));
    assert_eq!(server["a"], json!({"n": 4}), "the greater of 3 and 4");
}

#[test]
fn what_a_chain_adds_is_added_once() {
    let settling = Settling { rules: rule("/n", FieldRule::Add), updated_at: None };
    let edits = [Some(json!({"n": 3})), Some(json!({"n": 6}))];
    let server = however_it_is_met(&settling, &edits, &json!({"n": 10}));
    assert_eq!(server["a"], json!({"n": 15}), "2 and 3 more than 10");
}

#[test]
fn keep_both_makes_one_copy_of_a_chain_and_none_of_what_was_deleted() {
    let rules = ConflictRules { policy: ConflictPolicy::KeepBoth, ..ConflictRules::default() };
    let settling = Settling { rules, updated_at: None };
    for (last, copies) in [(Some(json!({"n": 3})), vec![json!({"n": 3})]), (None, vec![])] {
        let mut server = however_it_is_met(&settling, &[Some(json!({"n": 2})), last], &json!({"n": 9}));
        assert_eq!(server.remove("a"), Some(json!({"n": 9})));
        assert_eq!(server.into_values().collect::<Vec<_>>(), copies);
    }
}

#[test]
fn the_last_write_of_a_chain_is_its_last() {
    let rules = ConflictRules { policy: ConflictPolicy::LastWriteWins, ..ConflictRules::default() };
    let settling = Settling { rules, updated_at: Some(Pointer::parse("/at")) };
    let edits = [Some(json!({"n": 2})), Some(json!({"n": 3}))];
    for (theirs, wanted) in [(150, 3), (250, 9)] {
        let theirs = json!({"n": 9, "at": At::test(10 + theirs).wall.0});
        let server = however_it_is_met(&settling, &edits, &theirs);
        assert_eq!(server["a"]["n"], json!(wanted), "edited at 110 and 210; theirs {theirs}");
    }
}

#[test]
fn a_conflict_shows_what_the_record_shows() {
    let mut world = World::new(ConflictRules::default());
    world.foreign("a", Some(json!({"n": 1, "m": 1})), true);
    world.edit("a", Some(json!({"n": 2, "m": 1})));
    world.edit("a", Some(json!({"n": 2, "m": 2})));
    world.foreign("a", Some(json!({"n": 9, "m": 1})), true);
    let shown = world.local("a");
    world.drain();
    assert_eq!(world.open_conflict().mine, shown);
    assert_eq!(world.states("a"), [(1, OpState::Conflict)], "one decision for the record");
}

#[test]
fn rows_that_cannot_be_read_hold_nothing_back() {
    let mut world = World::new(ConflictRules::default());
    for n in 0..40 {
        world.edit(&format!("r{n:02}"), Some(json!({"n": n})));
    }
    let journal = rusqlite::Connection::open(world.dir.path().join("journal.db")).unwrap();
    journal.execute("UPDATE ops SET format = 99 WHERE seq <= 32", []).unwrap();
    let now = world.wall();
    let ready = world.reader().ready(&"office".into(), now, &[], 32).unwrap();
    assert!(!ready.is_empty(), "eight readable edits wait behind them");
}

#[test]
fn an_edit_from_the_future_is_not_the_later_one() {
    let mut world = World::new(ConflictRules::default());
    world.foreign("a", Some(json!({"t": 1, "at": 1})), true);
    world.edit("a", Some(json!({"t": 2, "at": 1})));
    let mut head = world.chain("a").remove(0);
    // The clock was an hour ahead when it was typed, and is right now.
    let now = At::test(1_000);
    head.created_at = At::test(1_000 + 3_000).wall;
    let theirs = json!({"t": 3, "at": At::test(900).wall.0});
    let rules = ConflictRules { policy: ConflictPolicy::LastWriteWins, ..ConflictRules::default() };
    let settling = Settling { rules, updated_at: Some(Pointer::parse("/at")) };
    let meeting = Meeting {
        kind: KIND,
        settling: &settling,
        at: &now,
        op: &head,
        mine: merge::intended(&head),
        theirs: Some(&theirs),
        revision: None,
        doubted: false,
        server_clock: Some(ServerClock { offset_ms: 0, uncertainty_ms: 1_000 }),
    };
    assert_eq!(meeting.judge(), Judgement::Conflict);
}

#[test]
fn what_another_deleted_is_in_the_vault_however_it_is_found() {
    let mut world = World::new(ConflictRules::default());
    world.foreign("a", Some(json!({"n": 1})), true);
    world.edit("a", Some(json!({"n": 2})));
    world.edit("a", Some(json!({"n": 1})));
    world.foreign("a", None, false);
    let told = world.drain();
    let asks = !world.reader().conflicts(false).unwrap().is_empty();
    assert!(asks || !world.reader().vault_list(None, None, 9).unwrap().is_empty(), "{told:?}");
}

#[test]
fn an_answer_is_to_the_versions_it_was_given_for() {
    let mut world = World::new(ConflictRules::default());
    world.foreign("a", Some(json!({"title": "one"})), true);
    world.edit("a", Some(json!({"title": "mine"})));
    world.foreign("a", Some(json!({"title": "theirs"})), true);
    world.drain();
    // Looked at; then the record is deleted there, and a pull says so.
    let shown = world.open_conflict();
    world.foreign("a", None, true);
    let at = world.at();
    world.store.conflict_from_pull(tasks().record("a"), None, None, at.wall).wait().unwrap();
    let resolve = Resolve {
        conflict: shown.id,
        take: Take::Merged,
        document: Some(json!({"title": "mine and theirs"})),
        seen: Some(shown.detected_at),
        op_id: OpId::new(&at),
        at: at.wall,
        author: String::new(),
    };
    let answered = world.store.resolve(resolve).wait();
    let told = world.drain();
    eprintln!("{answered:?} {told:?} server {:?}", world.server);
    assert!(answered.is_err() || world.server.is_empty(), "a deleted record is back: {:?}", world.server);
}

#[test]
fn a_lead_that_ends_has_its_last_claim_on_disk() {
    let mut world = World::new(ConflictRules::default());
    world.edit("a", Some(json!({"n": 1})));
    let other = Store::open(world.dir.path(), OpenMode::ReadWrite, Arc::new(Ticking::default())).unwrap();
    // Something big is being written by another process.
    let outside = rusqlite::Connection::open(world.dir.path().join("journal.db")).unwrap();
    outside.execute_batch("BEGIN IMMEDIATE").unwrap();
    let head = world.chain("a").remove(0);
    let claim = world.store.claim(Claim {
        known: None,
        head: head.seq,
        absorbs: Vec::new(),
        kind: head.kind,
        sent_document: head.document,
        precondition: Precondition::Absent,
        request_hash: "hash".to_owned(),
        at: At::test(50).wall,
    });
    let written = world.store.written();
    outside.execute_batch("COMMIT").unwrap();
    written.wait().unwrap();
    assert_eq!(world.states("a"), [(head.seq.0, OpState::InFlight)], "before the lead is given up");
    assert_eq!(other.recover_in_flight(At::test(51).wall).wait().unwrap(), 1);
    assert!(claim.wait().unwrap().is_some());
}

fn answered_then_edited(store_first: bool) -> (World, i64, Seq) {
    let mut world = World::new(ConflictRules::default());
    world.foreign("a", Some(json!({"title": "one", "n": 1, "m": 1})), true);
    world.edit("a", Some(json!({"title": "mine", "n": 1, "m": 1})));
    world.foreign("a", Some(json!({"title": "theirs", "n": 1, "m": 1})), true);
    world.drain();
    let conflict = world.open_conflict();
    let made = world.resolve(Take::Mine, Some(json!({"title": "mine", "n": 1, "m": 1}))).unwrap();
    world.edit("a", Some(json!({"title": "mine", "n": 2, "m": 1})));
    world.foreign("a", Some(json!({"title": "theirs", "n": 1, "m": 5})), store_first);
    (world, conflict.id, made)
}

fn one_round(world: &mut World) -> String {
    let now = world.wall();
    let chain = world.reader().ready(&"office".into(), now, &[], 10).unwrap().remove(0);
    let next = plan::next(KIND, &world.settling.rules, &chain.ops, chain.base.as_ref()).unwrap();
    assert!(matches!(next, Next::Moved { .. }), "{next:?}");
    let (head, joins) = plan::judged(KIND, &chain.ops).unwrap();
    assert_eq!(joins.len(), 1);
    world.judge(&head, joins, false)
}

#[test]
fn an_answer_that_was_joined_and_moved_is_taken_back() {
    let (mut world, conflict, _) = answered_then_edited(true);
    let told = one_round(&mut world);
    eprintln!("{told} {:?}", world.states("a"));
    let at = world.at();
    let took = world.store.unresolve(conflict, OpId::new(&at), at.wall).wait();
    eprintln!("{took:?} {:?}", world.states("a"));
    let c = world.open_conflict();
    eprintln!("mine {:?} theirs {:?}", c.mine, c.theirs);
    world.resolve(Take::Theirs, None);
    let told = world.drain();
    assert_eq!(world.server["a"]["title"], json!("theirs"), "the answer that was taken back was sent: {told:?}");
}

#[test]
fn an_answer_that_was_joined_and_sent_is_reversed() {
    let (mut world, conflict, _) = answered_then_edited(true);
    let told = world.drain();
    assert_eq!(world.server["a"]["title"], json!("mine"), "{told:?}");
    let at = world.at();
    let took = world.store.unresolve(conflict, OpId::new(&at), at.wall).wait().unwrap();
    eprintln!("{told:?} {took:?} {:?}", world.states("a"));
    assert!(matches!(took, ebbtide::store::Unresolved::Reversed(_)), "it is on the server: {took:?}");
}

#[test]
fn undo_of_an_answer_that_was_joined_opens_the_conflict_again() {
    let (mut world, conflict, _) = answered_then_edited(true);
    one_round(&mut world);
    let at = world.at();
    let took = world.store.undo(OpId::new(&at), at.wall).wait();
    eprintln!("{took:?} {:?} local {:?}", world.states("a"), world.local("a"));
    eprintln!("open {:?}", world.reader().conflicts(false).unwrap());
    let asks = world.reader().conflicts(false).unwrap().iter().any(|c| c.id == conflict);
    let kept = world.local("a").unwrap()["title"] == json!("mine");
    assert!(asks || kept, "u took the answer away and asks nobody");
}

#[test]
fn a_record_deleted_twice_is_gone_where_theirs_is_taken() {
    let mut world = World::new(ConflictRules::default());
    world.foreign("a", Some(json!({"n": 1})), true);
    world.edit("a", Some(json!({"n": 2})));
    let tombstone = |world: &mut World| {
        let at = world.wall();
        let gone = page(vec![RemoteChange::Tombstone { id: "a".into() }], at);
        world.store.apply_page(gone).wait().unwrap();
        world.store.conflict_from_pull(tasks().record("a"), None, None, at).wait().unwrap();
    };
    world.foreign("a", None, false);
    tombstone(&mut world);
    // Made anew by another, and deleted again.
    world.foreign("a", Some(json!({"n": 7})), true);
    world.foreign("a", None, false);
    tombstone(&mut world);
    world.resolve(Take::Theirs, None);
    let told = world.drain();
    assert_eq!(world.local("a"), None, "it is not on the server: {told:?} {:?}", world.server);
}

#[test]
fn a_consent_does_not_cover_what_was_joined_to_it() {
    let mut world = World::new(ConflictRules::default());
    world.store.sign_in("office".into(), "ann".to_owned(), At::test(5).wall).wait().unwrap();
    world.foreign("a", Some(json!({"n": 1, "m": 1, "k": 1})), true);
    world.edit("a", Some(json!({"n": 2, "m": 1, "k": 1})));
    world.store.sign_in("office".into(), "bob".to_owned(), At::test(6).wall).wait().unwrap();
    world.store.confirm_author("office".into(), At::test(7).wall).wait().unwrap();
    world.store.sign_in("office".into(), "ann".to_owned(), At::test(8).wall).wait().unwrap();
    let second = world.edit("a", Some(json!({"n": 2, "m": 2, "k": 1})));
    world.command(second, OpCommand::Hold).unwrap();
    world.store.sign_in("office".into(), "bob".to_owned(), At::test(9).wall).wait().unwrap();
    world.command(second, OpCommand::Release).unwrap();
    eprintln!("{:?}", world.states("a"));
    world.foreign("a", Some(json!({"n": 1, "m": 1, "k": 7})), true);
    one_round(&mut world);
    let head = world.chain("a").remove(0);
    let claim = Claim {
        known: None,
        head: head.seq,
        absorbs: Vec::new(),
        kind: head.kind,
        sent_document: head.document,
        precondition: Precondition::Revision(etag(&world.server["a"])),
        request_hash: "hash".to_owned(),
        at: At::test(500).wall,
    };
    assert!(world.store.claim(claim).wait().unwrap().is_none(), "bob was not asked about the second");
    assert_eq!(world.chain("a")[0].state, OpState::Auth);
}

#[test]
fn a_record_deleted_and_made_anew_shows_what_was_typed_until_somebody_decides() {
    for is_met_at_the_claim in [true, false] {
        for anew in [json!({"b": 1}), json!({"a": 1})] {
            let mut world = World::new(ConflictRules::default());
            world.foreign("a", Some(json!({"a": 1})), true);
            world.edit("a", None);
            world.edit("a", Some(anew.clone()));
            world.foreign("a", Some(json!({"a": 1, "other": 1})), is_met_at_the_claim);
            assert_eq!(world.local("a"), Some(anew.clone()));
            let told = world.drain();
            assert_eq!(world.local("a"), Some(anew.clone()), "{told:?}");
            assert_eq!(world.server["a"], json!({"a": 1, "other": 1}), "{told:?}");
            assert_eq!(world.reader().conflicts(false).unwrap().len(), 1, "{told:?}");
            world.resolve(Take::Mine, Some(anew.clone()));
            world.drain();
            assert_eq!(world.server["a"], anew);
        }
    }
}

#[test]
fn random_chains_lose_nothing_and_overwrite_nothing_unseen() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut dice = move |n: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) % n
    };
    // No value comes twice: what is where tells whose it is.
    let mut last = 0;
    let mut fresh = move || {
        last += 1;
        last
    };
    let places = ["a", "b", "c"];
    let mut wrong = Vec::new();
    for case in 0..120 {
        let mut world = World::new(ConflictRules::default());
        let base = json!({"a": 0, "b": 0, "c": 0});
        world.foreign("r", Some(base.clone()), true);
        let mut theirs = base.clone();
        for place in places {
            if dice(2) == 0 {
                theirs[place] = json!(fresh());
            }
        }
        let (steps, when, pulled) = (1 + dice(4), dice(5), dice(3) > 0);
        let mut story = vec![format!("theirs {theirs} after {when} edits, pulled {pulled}")];
        // By place: values the user set not having seen theirs, and having seen it.
        let mut unseen: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let mut seen: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let mut is_there = false;
        let mut shown_first: BTreeMap<&str, Value> = BTreeMap::new();
        for step in 0..=steps {
            if step == when.min(steps) {
                world.foreign("r", Some(theirs.clone()), pulled);
                is_there = true;
            }
            if step == steps {
                break;
            }
            let mut local = world.local("r").unwrap();
            let was = local.clone();
            for place in places {
                if dice(2) == 0 {
                    local[place] = json!(fresh());
                }
            }
            if was == local {
                continue;
            }
            for place in places {
                if was[place] != local[place] {
                    if is_there && pulled {
                        shown_first.entry(place).or_insert(was[place].clone());
                    }
                    let list = if is_there && pulled { &mut seen } else { &mut unseen };
                    list.entry(place).or_default().push(local[place].as_u64().unwrap());
                }
            }
            story.push(format!("{was} -> {local}"));
            world.edit("r", Some(local));
        }
        let shown = world.local("r").unwrap();
        let told = world.drain();
        story.extend(told);
        let asks = !world.reader().conflicts(false).unwrap().is_empty();
        let server = world.server["r"].clone();
        story.push(format!("shown {shown} server {server} asks {asks}"));
        for place in places {
            let moved = theirs[place] != base[place];
            let (before, after) = (unseen.get(place), seen.get(place));
            let last = after.or(before).and_then(|list| list.last()).map(|n| json!(n));
            // Where he set it unseen, then again after the pull, his own value was shown, not theirs.
            let saw = shown_first.get(place) == Some(&theirs[place]);
            let overwritten = moved && !saw && !asks && server[place] != theirs[place];
            let dropped = !asks && last.as_ref().is_some_and(|last| server[place] != *last);
            // An edit and its reverse, unseen: nothing of his is left to keep.
            let is_nothing = before.is_some() && after.is_none() && last.as_ref() == Some(&base[place]);
            if overwritten || (dropped && !is_nothing) {
                wrong
                    .push(format!("case {case} place {place} overwritten {overwritten} dropped {dropped}: {story:#?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong[..wrong.len().min(3)].join("\n"));
}
