//! Scripts in virtual time: what the machine asks for, answered by hand.

mod audit;
mod conflicts;
mod guards;
mod late;
mod link;
mod order;
mod own;
mod unread;
mod wish;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    Effect, Event, Machine,
    effect::{Outcome, SettleOp, Ticket},
    event::{AppliedPage, Chain, FeedNews, MissingRows, OutboxSlice, PageData},
};
use crate::model::{
    edit,
    ids::{CollectionKey, OpId, RecordId, RecordKey, Revision, Seq},
    op::{LateOriginal, Op, OpKind, OpState, Precondition},
    record::Base,
    rules::ConflictRules,
    source::{AuthSpec, CollectionSpec, PullMode, SourceKind, SourceSpec, SyncSettings},
    sync_status::{ConnectivityState, GuardAnswer, PullPhase, SyncRequest},
    time::{At, Timestamp},
    wire::{Answer, Current, Exchange, Link, PushRequest, ReadError, RemoteRecord, Trouble},
};

struct Script {
    machine: Machine,
    seconds: u64,
    /// What somebody did to the wall clock.
    clock_set_by_ms: i64,
    asked: Vec<Effect>,
}

fn collection() -> CollectionKey {
    CollectionKey::new("s", "c")
}

fn record(id: &str) -> RecordKey {
    collection().record(id)
}

fn op(seq: i64, id: &str, base: Option<Value>, document: Option<Value>) -> Op {
    let kind = match (&base, &document) {
        (None, _) => OpKind::Create,
        (_, Some(_)) => OpKind::Update,
        (_, None) => OpKind::Delete,
    };
    Op {
        seq: Seq(seq),
        op_id: OpId::new(&At::test(seq.unsigned_abs())),
        record: record(id),
        kind,
        state: OpState::Queued,
        changes: edit::diff(base.as_ref(), document.as_ref()),
        document,
        base,
        base_revision: None,
        after: None,
        attempts: 0,
        created_at: At::test(0).wall,
        next_attempt_at: None,
        sent_at: None,
        settled_at: None,
        request_hash: None,
        precondition: None,
        sent_document: None,
        last_error: None,
        author: String::new(),
        was_in_doubt: false,
    }
}

fn create(seq: i64, id: &str) -> Op {
    op(seq, id, None, Some(json!({ "n": seq })))
}

fn chain(ops: Vec<Op>, base: Option<(Value, Option<&str>)>) -> Chain {
    let base = base.map(|(document, revision)| Base {
        document: document.into(),
        revision: revision.map(Revision::from),
        received_at: Timestamp(0),
    });
    Chain { record: ops[0].record.clone(), ops, base }
}

fn settings() -> SyncSettings {
    SyncSettings { page_size: 2, audit_budget: 0, ..SyncSettings::default() }
}

fn trouble(link: Link) -> Trouble {
    Trouble { link, message: "broken".to_owned() }
}

fn accepted(revision: &str) -> Answer {
    Answer::Accepted { revision: Some(revision.into()), stored: None }
}

impl Script {
    /// Started, with a good probe, and one collection.
    fn online(pull: PullMode) -> Self {
        let mut script = Self::new(pull, settings());
        script.probe(Ok(()));
        script
    }

    /// Without a collection: only sending.
    fn sender(parallel: usize) -> Self {
        Self::guarding_sender(parallel, Vec::new())
    }

    fn guarding_sender(parallel: usize, guards: Vec<LateOriginal>) -> Self {
        let settings = SyncSettings { parallel, ..settings() };
        Self::built(PullMode::Windows, settings, guards, ConflictRules::default()).sending()
    }

    /// Only sending, of a collection that settles conflicts by these rules.
    fn settling_sender(rules: ConflictRules) -> Self {
        Self::built(PullMode::Windows, settings(), Vec::new(), rules).sending()
    }

    /// Reached, with its collection swept.
    fn sending(mut self) -> Self {
        let script = &mut self;
        script.probe(Ok(()));
        let ticket = script.take_ticket(|effect| match effect {
            Effect::ReadCheckpoint { ticket, .. } => Some(*ticket),
            _ => None,
        });
        let swept = At::test(script.seconds).wall.0;
        let text = format!(r#"{{"phase":"complete","sweep":1,"mode":"windows","swept_at":{swept},"whole":true}}"#);
        script.tell(Event::CheckpointRead { ticket, collection: collection(), result: Ok(Some(text)) });
        self
    }

    fn new(pull: PullMode, settings: SyncSettings) -> Self {
        Self::resumed(pull, settings, Vec::new())
    }

    /// Takes over from a leader that was guarding.
    fn resumed(pull: PullMode, settings: SyncSettings, guards: Vec<LateOriginal>) -> Self {
        Self::built(pull, settings, guards, ConflictRules::default())
    }

    fn built(pull: PullMode, settings: SyncSettings, guards: Vec<LateOriginal>, conflicts: ConflictRules) -> Self {
        let source = SourceSpec {
            name: "s".into(),
            kind: SourceKind::Firebase,
            url: "http://127.0.0.1:9".to_owned(),
            auth: AuthSpec::None,
            read_only: false,
            allow_plain: false,
            user: None,
            collections: vec![CollectionSpec {
                name: "c".into(),
                path: "c".to_owned(),
                columns: Vec::new(),
                title: None,
                pull,
                updated_at: (pull == PullMode::Delta).then(|| crate::model::json::Pointer::parse("/at")),
                conflicts,
            }],
        };
        let machine = Machine::new(&[source], &settings, false);
        let mut script = Self { machine, seconds: 1, clock_set_by_ms: 0, asked: Vec::new() };
        script.tell(Event::Started { guards });
        script
    }

    fn tell(&mut self, event: Event) {
        let at = self.at();
        self.asked.extend(self.machine.handle(&at, event));
        assert_eq!(self.machine.healed(), 0, "I4");
    }

    fn at(&self) -> At {
        let at = At::test(self.seconds);
        At { wall: Timestamp(at.wall.0 + self.clock_set_by_ms), ..at }
    }

    fn pass(&mut self, seconds: u64) {
        self.seconds += seconds;
        self.tell(Event::Tick);
    }

    /// Time passes from timer to timer until something fits.
    fn pass_until<T>(&mut self, mut fits: impl FnMut(&Effect) -> Option<T>) -> T {
        for _ in 0..2_000 {
            if let Some(position) = self.asked.iter().position(|effect| fits(effect).is_some()) {
                return fits(&self.asked.remove(position)).unwrap();
            }
            let due = self.machine.wake_at();
            let due = due.unwrap_or_else(|| panic!("nothing waits for a timer; asked for is {:?}", self.asked));
            self.seconds = self.seconds.max(due.as_secs() + 1);
            self.tell(Event::Tick);
        }
        panic!("it never came");
    }

    fn take<T>(&mut self, mut fits: impl FnMut(&Effect) -> Option<T>) -> Option<T> {
        let position = self.asked.iter().position(|effect| fits(effect).is_some())?;
        fits(&self.asked.remove(position))
    }

    fn take_ticket(&mut self, fits: impl FnMut(&Effect) -> Option<Ticket>) -> Ticket {
        let asked = format!("{:?}", self.asked);
        self.take(fits).unwrap_or_else(|| panic!("not asked for; asked for {asked}"))
    }

    fn probe(&mut self, result: Result<(), ReadError>) {
        let ticket = self.pass_until(|effect| match effect {
            Effect::Probe { ticket, .. } => Some(*ticket),
            _ => None,
        });
        let exchange = exchange();
        self.tell(Event::Probed { ticket, source: "s".into(), result, chain: Vec::new(), exchange });
    }

    /// Answers the next reading of the outbox that does not leave these records out, their time come.
    fn outbox(&mut self, chains: Vec<Chain>) {
        loop {
            let (ticket, now, exclude) = self.pass_until(|effect| match effect {
                Effect::ReadOutbox { ticket, now, exclude, .. } => Some((*ticket, *now, exclude.clone())),
                _ => None,
            });
            let is_early = |chain: &Chain| chain.ops[0].next_attempt_at.is_some_and(|next| next > now);
            let is_left_out = chains.iter().any(|chain| exclude.contains(&chain.record) || is_early(chain));
            let chains = if is_left_out { Vec::new() } else { chains.clone() };
            let slice = OutboxSlice { to_go: chains.len() as u64, chains, next_attempt: None };
            self.tell(Event::OutboxRead { ticket, source: "s".into(), result: Ok(slice) });
            if !is_left_out {
                return;
            }
        }
    }

    /// Claims are granted as they are asked for; the claimed heads.
    fn grant(&mut self, ops: &[Op]) -> Vec<Seq> {
        let mut granted = Vec::new();
        while let Some((ticket, claim)) = self.take(|effect| match effect {
            Effect::Claim { ticket, claim } => Some((*ticket, claim.clone())),
            _ => None,
        }) {
            let mut op = ops.iter().find(|op| op.seq == claim.head).unwrap().clone();
            op.state = OpState::InFlight;
            op.attempts += 1;
            op.kind = claim.request.kind;
            op.sent_document.clone_from(&claim.request.document);
            op.precondition = Some(claim.request.precondition.clone());
            granted.push(claim.head);
            let record = claim.request.record.clone();
            self.tell(Event::Claimed { ticket, record, result: Ok(Some(Box::new(op))) });
        }
        granted
    }

    fn pushed(&mut self) -> Option<(Ticket, Arc<PushRequest>)> {
        self.take(|effect| match effect {
            Effect::Push { ticket, request } => Some((*ticket, request.clone())),
            _ => None,
        })
    }

    fn answer(&mut self, (ticket, request): (Ticket, Arc<PushRequest>), answer: Answer) {
        self.tell(Event::Pushed { ticket, record: request.record.clone(), answer, exchange: exchange() });
    }

    /// Sends the one op there is and answers it.
    fn send(&mut self, chain: Chain, answer: Answer) -> Arc<PushRequest> {
        let ops = chain.ops.clone();
        if !self.asked.iter().any(|effect| matches!(effect, Effect::ReadOutbox { .. })) {
            self.tell(Event::Request(SyncRequest::OutboxChanged));
        }
        self.outbox(vec![chain]);
        self.grant(&ops);
        let push = self.pushed().expect("it is sent");
        let request = push.1.clone();
        self.answer(push, answer);
        request
    }

    fn fetched(&mut self, value: Option<Value>, revision: Option<&str>) {
        let (ticket, record) = self
            .take(|effect| match effect {
                Effect::Fetch { ticket, record } => Some((*ticket, record.clone())),
                _ => None,
            })
            .expect("a revision is asked for");
        let current = Current {
            collection: record.collection.clone(),
            id: record.id.clone(),
            value,
            revision: revision.map(Revision::from),
        };
        self.tell(Event::Fetched { ticket, record, result: Ok(current), exchange: exchange() });
    }

    /// The new base is durable; what it was.
    fn base_stored(&mut self) -> Option<Option<Value>> {
        let (ticket, base) = self.take(|effect| match effect {
            Effect::StoreBase { ticket, base } => Some((*ticket, base.clone())),
            _ => None,
        })?;
        self.tell(Event::BaseStored { ticket, record: base.record.clone(), result: Ok(()) });
        Some(base.document.clone())
    }

    /// The outcomes settled last.
    fn settled(&mut self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Some((ticket, record, settles)) = self.take(|effect| match effect {
            Effect::Settle { ticket, record, settles, .. } => Some((*ticket, record.clone(), settles.clone())),
            _ => None,
        }) {
            outcomes.extend(settles.into_iter().map(|settle: SettleOp| settle.outcome));
            self.tell(Event::Settled { ticket, record, result: Ok(()) });
        }
        outcomes
    }

    fn state(&self) -> ConnectivityState {
        self.machine.status(&At::test(self.seconds))[0].connectivity.state
    }

    fn phase(&self) -> PullPhase {
        self.machine.status(&At::test(self.seconds))[0].collections[0].phase.clone()
    }
}

fn exchange() -> Exchange {
    Exchange { round_trip: Some(Duration::from_millis(20)), ..Exchange::default() }
}

// --- sending ----------------------------------------------------------------------------------------------------------

#[test]
fn an_acknowledgement_stores_the_base_before_it_settles() {
    let mut script = Script::sender(4);
    script.send(chain(vec![create(1, "a")], None), accepted("e1"));
    assert_eq!(script.settled(), [], "nothing is settled before the base is durable");
    assert_eq!(script.base_stored(), Some(Some(json!({ "n": 1 }))));
    assert_eq!(script.settled(), [Outcome::Acked]);
}

#[test]
fn a_known_revision_needs_no_fetch_and_an_unknown_one_is_fetched_before_the_claim() {
    let (old, new) = (json!({ "n": 1 }), json!({ "n": 2 }));
    let mut script = Script::sender(4);
    let edited = op(1, "a", Some(old.clone()), Some(new.clone()));
    let request = script.send(chain(vec![edited], Some((old.clone(), Some("e1")))), accepted("e2"));
    assert_eq!(request.precondition, Precondition::Revision("e1".into()));
    script.base_stored();
    script.settled();
    let edited = op(2, "b", Some(old.clone()), Some(new));
    script.tell(Event::Request(SyncRequest::OutboxChanged));
    script.outbox(vec![chain(vec![edited.clone()], Some((old.clone(), None)))]);
    assert_eq!(script.grant(std::slice::from_ref(&edited)), [], "not claimed before the revision is known");
    script.fetched(Some(old), Some("e7"));
    assert_eq!(script.grant(&[edited]), [Seq(1 + 1)]);
    assert_eq!(script.pushed().unwrap().1.precondition, Precondition::Revision("e7".into()));
}

#[test]
fn a_record_that_moved_before_the_claim_is_merged_or_becomes_a_conflict_without_a_write() {
    let old = json!({ "a": 1, "b": 1 });
    for (theirs, clean) in [(json!({ "a": 1, "b": 9 }), true), (json!({ "a": 9, "b": 1 }), false)] {
        let mut script = Script::sender(4);
        let edited = op(1, "r", Some(old.clone()), Some(json!({ "a": 2, "b": 1 })));
        script.outbox(vec![chain(vec![edited], Some((old.clone(), None)))]);
        script.fetched(Some(theirs.clone()), Some("e2"));
        assert_eq!(script.base_stored(), Some(Some(theirs.clone())), "their copy is the newer truth");
        let outcomes = script.settled();
        match &outcomes[0] {
            Outcome::Rebased { op } if clean => {
                assert_eq!(op.document, Some(json!({ "a": 2, "b": 9 })));
                assert_eq!(op.base_revision, Some("e2".into()));
            }
            Outcome::Conflict { theirs: there, .. } if !clean => assert_eq!(*there, Some(theirs)),
            other => panic!("{other:?}"),
        }
        assert_eq!(script.pushed(), None);
    }
}

#[test]
fn unsent_edits_of_a_record_travel_together_and_a_create_that_was_deleted_not_at_all() {
    let mut script = Script::sender(4);
    let first = create(1, "a");
    let second = op(2, "a", first.document.clone(), Some(json!({ "n": 2 })));
    script.outbox(vec![chain(vec![first.clone(), second.clone()], None)]);
    let claim = script.take(|effect| match effect {
        Effect::Claim { claim, .. } => Some(claim.clone()),
        _ => None,
    });
    let claim = claim.unwrap();
    assert_eq!((claim.head, claim.absorbs, claim.request.kind), (Seq(1), vec![Seq(2)], OpKind::Create));
    assert_eq!(claim.request.document, Some(json!({ "n": 2 })));

    let mut script = Script::sender(4);
    let deleted = op(2, "a", first.document.clone(), None);
    script.outbox(vec![chain(vec![first, deleted], None)]);
    assert_eq!(script.settled(), [Outcome::Discarded { with: vec![Seq(2)] }]);
    assert_eq!(script.pushed(), None);
}

#[test]
fn as_many_requests_as_lanes_and_one_of_a_record() {
    let mut script = Script::sender(3);
    let ops: Vec<Op> = (1..=8).map(|n| create(n, &format!("r{n}"))).collect();
    script.outbox(ops.iter().map(|op| chain(vec![op.clone()], None)).collect());
    script.grant(&ops);
    let sent: Vec<_> = std::iter::from_fn(|| script.pushed()).collect();
    let ids: Vec<&str> = sent.iter().map(|(_, request)| request.record.id.as_str()).collect();
    assert_eq!(ids, ["r1", "r2", "r3"]);
    script.answer(sent[0].clone(), accepted("e"));
    assert_eq!(script.pushed().unwrap().1.record.id.as_str(), "r4", "the next goes before the answer is settled");
}

#[test]
fn one_lane_is_strict_first_in_first_out() {
    let mut script = Script::sender(1);
    let ops: Vec<Op> = (1..=3).map(|n| create(n, &format!("r{n}"))).collect();
    script.outbox(ops.iter().map(|op| chain(vec![op.clone()], None)).collect());
    for n in 1..=3 {
        assert_eq!(script.grant(&ops), [Seq(n)]);
        let push = script.pushed().unwrap();
        script.answer(push, accepted("e"));
        script.base_stored();
        assert_eq!(script.settled(), [Outcome::Acked]);
    }
}

#[test]
fn a_lost_answer_is_repeated_with_the_same_precondition_and_document() {
    let mut script = Script::sender(4);
    let created = create(1, "a");
    let first = script.send(chain(vec![created.clone()], None), Answer::InDoubt(trouble(Link::Http)));
    let outcomes = script.settled();
    let Outcome::InDoubt { next_attempt_at: Some(next), .. } = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(*next <= At::test(script.seconds).wall.plus(Duration::from_secs(1)));
    let mut doubted = created.clone();
    (doubted.state, doubted.attempts, doubted.was_in_doubt) = (OpState::InDoubt, 1, true);
    doubted.precondition = Some(first.precondition.clone());
    doubted.sent_document.clone_from(&first.document);
    // A later edit of the record is not joined to it.
    let later = op(2, "a", created.document.clone(), Some(json!({ "n": 2 })));
    script.outbox(vec![chain(vec![doubted.clone(), later], None)]);
    assert_eq!(script.grant(&[doubted]), [Seq(1)]);
    let repeat = script.pushed().unwrap();
    assert_eq!(repeat.1, first);
    // Refused, and the server has our document: the original was applied.
    let current = first.document.clone();
    script.answer(repeat, Answer::PreconditionFailed { current: current.clone(), revision: Some("e1".into()) });
    assert_eq!(script.base_stored(), Some(current));
    assert_eq!(script.settled(), [Outcome::Acked]);
}

#[test]
fn an_op_in_doubt_stays_in_doubt_whatever_its_repeat_was_told() {
    let answers = [
        Answer::NotSent(trouble(Link::Tcp)),
        Answer::Later { status: 503, after: None, message: String::new() },
        Answer::Unauthorized { message: String::new() },
        Answer::Portal(trouble(Link::Shape)),
    ];
    for answer in answers {
        let mut script = Script::sender(4);
        let mut doubted = create(1, "a");
        (doubted.state, doubted.attempts, doubted.was_in_doubt) = (OpState::InDoubt, 1, true);
        doubted.precondition = Some(Precondition::Absent);
        script.send(chain(vec![doubted], None), answer.clone());
        assert!(matches!(script.settled()[..], [Outcome::InDoubt { .. }]), "{answer:?}");
    }
}

#[test]
fn every_answer_to_a_first_request_settles_as_the_table_says() {
    let old = json!({ "n": 0 });
    let send = |answer: Answer, document: Option<Value>| {
        let mut script = Script::sender(4);
        let edited = op(1, "a", Some(old.clone()), document);
        script.send(chain(vec![edited], Some((old.clone(), Some("e1")))), answer);
        script.base_stored();
        (script.settled().remove(0), script.state())
    };
    let update = || Some(json!({ "n": 1 }));
    let (outcome, state) = send(Answer::NotSent(trouble(Link::Dns)), update());
    assert!(matches!(outcome, Outcome::Queued { counts: false, .. }));
    assert_eq!(state, ConnectivityState::Offline);
    let (outcome, _) = send(Answer::InDoubt(trouble(Link::Http)), update());
    assert!(matches!(outcome, Outcome::InDoubt { .. }));
    let (outcome, state) = send(Answer::Later { status: 429, after: None, message: String::new() }, update());
    assert!(matches!(outcome, Outcome::Queued { counts: true, .. }));
    assert_eq!(state, ConnectivityState::Degraded);
    let (outcome, state) = send(Answer::Unauthorized { message: String::new() }, update());
    assert!(matches!(outcome, Outcome::Auth { .. }));
    assert_eq!(state, ConnectivityState::AuthRequired);
    let (outcome, state) = send(Answer::Portal(trouble(Link::Shape)), update());
    assert!(matches!(outcome, Outcome::InDoubt { .. }));
    assert_eq!(state, ConnectivityState::CaptivePortal);
    let (outcome, _) = send(Answer::Rejected { status: 400, message: "no".to_owned() }, update());
    assert!(matches!(outcome, Outcome::Rejected { error } if error.message == "no"));
    let (outcome, _) = send(Answer::Gone, None);
    assert_eq!(outcome, Outcome::Acked);
    let (outcome, _) = send(Answer::Gone, update());
    assert!(matches!(outcome, Outcome::Conflict { theirs: None, .. }));
    let (outcome, _) = send(Answer::PreconditionFailed { current: None, revision: None }, None);
    assert_eq!(outcome, Outcome::Acked);
    let theirs = Some(json!({ "n": 9 }));
    let (outcome, _) = send(Answer::PreconditionFailed { current: theirs, revision: None }, update());
    assert!(matches!(outcome, Outcome::Conflict { .. }));
}

#[test]
fn retry_after_holds_the_lane_that_long_and_says_so() {
    let mut script = Script::sender(4);
    let after = Some(Duration::from_secs(40));
    script.send(chain(vec![create(1, "a")], None), Answer::Later { status: 503, after, message: String::new() });
    script.settled();
    let began = script.seconds;
    let waiting = script.machine.status(&At::test(script.seconds))[0].push.waiting_for.clone().unwrap();
    assert!(waiting.contains("40 s"), "{waiting}");
    script.tell(Event::Request(SyncRequest::OutboxChanged));
    script.outbox(vec![chain(vec![create(1, "a")], None)]);
    assert!(script.seconds >= began + 40, "asked again after {} s", script.seconds - began);
}

#[test]
fn an_op_that_fails_while_others_succeed_backs_off_alone() {
    let mut script = Script::sender(1);
    let mut poison = create(1, "poison");
    let busy = Answer::Later { status: 503, after: None, message: String::new() };
    script.send(chain(vec![poison.clone()], None), busy.clone());
    script.settled();
    poison.attempts = 1;
    script.outbox(vec![chain(vec![create(2, "good")], None)]);
    script.grant(&[create(2, "good")]);
    let push = script.pushed().unwrap();
    script.answer(push, accepted("e"));
    script.base_stored();
    script.settled();
    // The second failure of the same op, after a success of the lane, is its own.
    script.send(chain(vec![poison], None), busy);
    let outcomes = script.settled();
    assert!(matches!(&outcomes[0], Outcome::Queued { next_attempt_at: Some(_), .. }), "{outcomes:?}");
    assert!(script.state().is_usable());
    script.send(chain(vec![create(3, "another")], None), accepted("e"));
    script.base_stored();
    assert_eq!(script.settled(), [Outcome::Acked]);
}

#[test]
fn one_refused_op_among_five_hundred_holds_up_none() {
    let mut script = Script::sender(4);
    let ops: Vec<Op> = (1..=500).map(|n| create(n, &format!("r{n:03}"))).collect();
    let mut waiting: Vec<Op> = ops.clone();
    let (mut acked, mut rejected) = (0, 0);
    for _ in 0..5_000 {
        if acked + rejected == 500 {
            break;
        }
        if let Some((ticket, limit, exclude)) = script.take(|effect| match effect {
            Effect::ReadOutbox { ticket, limit, exclude, .. } => Some((*ticket, *limit, exclude.clone())),
            _ => None,
        }) {
            let chains: Vec<Chain> = waiting
                .iter()
                .filter(|op| !exclude.contains(&op.record))
                .take(limit)
                .map(|op| chain(vec![op.clone()], None))
                .collect();
            let result = Ok(OutboxSlice { chains, next_attempt: None, to_go: waiting.len() as u64 });
            script.tell(Event::OutboxRead { ticket, source: "s".into(), result });
        }
        script.grant(&ops);
        while let Some(push) = script.pushed() {
            waiting.retain(|op| op.record != push.1.record);
            let answer = match push.1.record.id.as_str() {
                "r250" => Answer::Rejected { status: 400, message: "no".to_owned() },
                _ => accepted("e"),
            };
            script.answer(push, answer);
        }
        while script.base_stored().is_some() {}
        for outcome in script.settled() {
            match outcome {
                Outcome::Acked => acked += 1,
                Outcome::Rejected { .. } => rejected += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!((acked, rejected), (499, 1));
}

#[test]
fn a_claim_that_is_refused_is_read_again_and_never_in_a_hot_loop() {
    let mut script = Script::sender(4);
    script.outbox(vec![chain(vec![create(1, "a")], None)]);
    let ticket = script.take_ticket(|effect| match effect {
        Effect::Claim { ticket, .. } => Some(*ticket),
        _ => None,
    });
    script.tell(Event::Claimed { ticket, record: record("a"), result: Ok(None) });
    let again = script.take(|effect| match effect {
        Effect::ReadOutbox { exclude, .. } => Some(exclude.clone()),
        _ => None,
    });
    assert!(again.is_none_or(|exclude| exclude.contains(&record("a"))));
    assert!(script.machine.wake_at().is_some());
}

#[test]
fn a_full_disk_pauses_sending_and_tries_again() {
    let mut script = Script::sender(4);
    script.outbox(vec![chain(vec![create(1, "a")], None)]);
    let ticket = script.take_ticket(|effect| match effect {
        Effect::Claim { ticket, .. } => Some(*ticket),
        _ => None,
    });
    let result = Err("the disk is full".to_owned());
    script.tell(Event::Claimed { ticket, record: record("a"), result });
    script.outbox(vec![chain(vec![create(1, "a")], None)]);
    assert_eq!(script.grant(&[create(1, "a")]), [Seq(1)]);
}

// --- connectivity -----------------------------------------------------------------------------------------------------

#[test]
fn nothing_is_sent_offline_and_everything_goes_after_a_good_probe() {
    let mut script = Script::sender(4);
    script.send(chain(vec![create(1, "a")], None), Answer::NotSent(trouble(Link::Tcp)));
    script.settled();
    script.tell(Event::Request(SyncRequest::OutboxChanged));
    assert!(!script.asked.iter().any(|effect| matches!(effect, Effect::ReadOutbox { .. })));
    assert!(script.machine.is_idle(), "nothing can be done now");
    script.probe(Err(ReadError::Unreachable(trouble(Link::Tcp))));
    assert_eq!(script.state(), ConnectivityState::Offline);
    script.probe(Ok(()));
    script.outbox(vec![chain(vec![create(1, "a")], None)]);
    assert_eq!(script.grant(&[create(1, "a")]), [Seq(1)]);
}

#[test]
fn refused_credentials_are_read_anew_once_and_then_wait_for_a_person() {
    let mut script = Script::sender(4);
    let refused = || ReadError::Unauthorized { message: "expired".to_owned() };
    script.send(chain(vec![create(1, "a")], None), Answer::Unauthorized { message: "expired".to_owned() });
    assert!(matches!(script.settled()[..], [Outcome::Auth { .. }]));
    let refreshes = |script: &Script| {
        script.asked.iter().filter(|effect| matches!(effect, Effect::ForgetCredentials { .. })).count()
    };
    assert_eq!(refreshes(&script), 1);
    script.probe(Err(refused()));
    assert_eq!(refreshes(&script), 1);
    assert_eq!(script.state(), ConnectivityState::AuthRequired);
    script.asked.retain(|effect| !matches!(effect, Effect::ReleaseAuth { .. }));
    script.probe(Ok(()));
    let ticket = script.take_ticket(|effect| match effect {
        Effect::ReleaseAuth { ticket, .. } => Some(*ticket),
        _ => None,
    });
    script.tell(Event::AuthReleased { ticket, source: "s".into(), result: Ok(1) });
    script.outbox(vec![chain(vec![create(1, "a")], None)]);
    assert_eq!(script.grant(&[create(1, "a")]), [Seq(1)]);
}

#[test]
fn pause_and_forced_offline_send_nothing_and_end_when_told() {
    let mut script = Script::sender(4);
    script.outbox(Vec::new());
    for (stop, go) in [
        (SyncRequest::Pause { source: None }, SyncRequest::Resume { source: None }),
        (SyncRequest::ForceOffline(true), SyncRequest::ForceOffline(false)),
    ] {
        script.tell(Event::Request(stop));
        script.asked.clear();
        script.tell(Event::Request(SyncRequest::OutboxChanged));
        script.pass(400);
        let acts = |effect: &Effect| matches!(effect, Effect::Probe { .. } | Effect::ReadOutbox { .. });
        assert!(!script.asked.iter().any(acts), "{:?}", script.asked);
        script.tell(Event::Request(go));
        script.probe(Ok(()));
        script.outbox(Vec::new());
    }
}

#[test]
fn waking_from_sleep_looks_again_at_once() {
    let mut script = Script::sender(4);
    script.probe(Err(ReadError::Unreachable(trouble(Link::Tcp))));
    script.asked.clear();
    // The wall clock is eight hours ahead, the monotonic one stood still.
    let mut at = At::test(script.seconds);
    at.wall = at.wall.plus(Duration::from_secs(8 * 3_600));
    script.asked.extend(script.machine.handle(&at, Event::Tick));
    assert!(script.asked.iter().any(|effect| matches!(effect, Effect::Probe { .. })));
}

// --- pulling ----------------------------------------------------------------------------------------------------------

fn row(id: &str) -> RemoteRecord {
    RemoteRecord { id: id.into(), revision: None, text: r#"{"n":1}"#.to_owned() }
}

fn stamped(id: &str, at: i64) -> RemoteRecord {
    RemoteRecord { id: id.into(), revision: None, text: json!({ "n": 1, "at": at }).to_string() }
}

impl Script {
    /// Answers the reading asked for by `wants` with these records.
    fn read(&mut self, wants: impl Fn(&Effect) -> Option<Ticket>, records: Vec<RemoteRecord>, next: Option<&str>) {
        let ticket = self.take_ticket(wants);
        let data = PageData { records, next: next.map(RecordId::from) };
        self.tell(Event::PageRead { ticket, collection: collection(), result: Ok(data), exchange: exchange() });
    }

    fn checkpoint(&mut self, text: Option<&str>) {
        let ticket = self.pass_until(|effect| match effect {
            Effect::ReadCheckpoint { ticket, .. } => Some(*ticket),
            _ => None,
        });
        let result = Ok(text.map(str::to_owned));
        self.tell(Event::CheckpointRead { ticket, collection: collection(), result });
    }

    fn keys(&mut self, keys: &[&str]) {
        let ticket = self.take_ticket(|effect| match effect {
            Effect::ReadKeys { ticket, .. } => Some(*ticket),
            _ => None,
        });
        let result = Ok(keys.iter().map(|key| RecordId::from(*key)).collect());
        self.tell(Event::KeysRead { ticket, collection: collection(), result, exchange: exchange() });
    }

    /// Answers the page asked for; where it began.
    fn page(&mut self, rows: &[&str], next: Option<&str>) -> Option<RecordId> {
        let (ticket, after) = self
            .take(|effect| match effect {
                Effect::ReadPage { ticket, after, .. } => Some((*ticket, after.clone())),
                _ => None,
            })
            .expect("a page is asked for");
        let data = PageData { records: rows.iter().map(|id| row(id)).collect(), next: next.map(RecordId::from) };
        self.tell(Event::PageRead { ticket, collection: collection(), result: Ok(data), exchange: exchange() });
        after
    }

    /// The page handed to the mirror is applied; its checkpoint.
    fn applied(&mut self) -> Option<String> {
        let (ticket, checkpoint) = self
            .take(|effect| match effect {
                Effect::ApplyPage { ticket, page } => Some((*ticket, page.checkpoint.clone())),
                Effect::FinishSweep { ticket, .. } => Some((*ticket, None)),
                _ => None,
            })
            .expect("something is applied");
        let result = Ok(AppliedPage::default());
        self.tell(Event::PageApplied { ticket, collection: collection(), result });
        checkpoint
    }

    fn missing(&mut self, missing: u64, rows: u64) {
        let ticket = self.take_ticket(|effect| match effect {
            Effect::ReadMissing { ticket, .. } => Some(*ticket),
            _ => None,
        });
        let result = Ok(MissingRows { missing, rows, sample: Vec::new() });
        self.tell(Event::MissingRead { ticket, collection: collection(), result });
    }

    fn feed(&mut self) -> Ticket {
        let ticket = self.pass_until(|effect| match effect {
            Effect::OpenFeed { ticket, .. } => Some(*ticket),
            _ => None,
        });
        self.tell(Event::FeedOpened { ticket, collection: collection(), result: Ok(()), exchange: exchange() });
        ticket
    }

    fn news(&mut self, ticket: Ticket, result: Result<FeedNews, ReadError>) {
        self.take_ticket(|effect| match effect {
            Effect::NextOfFeed { ticket: asked, .. } if *asked == ticket => Some(ticket),
            _ => None,
        });
        self.tell(Event::FeedMoved { ticket, collection: collection(), result, bytes: 10 });
    }
}

/// What somebody changes behind the place a long first reading has reached is in no page of it.
#[test]
fn deltas_go_on_from_what_was_the_newest_when_the_sweep_began() {
    let began = 1_700_000_000_000;
    let mut script = Script::online(PullMode::Delta);
    script.checkpoint(None);
    script.keys(&["a", "b"]);
    let newest = |effect: &Effect| match effect {
        Effect::ReadNewest { ticket, .. } => Some(*ticket),
        _ => None,
    };
    let page = |effect: &Effect| match effect {
        Effect::ReadPage { ticket, .. } => Some(*ticket),
        _ => None,
    };
    assert!(script.take(page).is_none(), "not before it is known what is the newest");
    script.read(newest, vec![stamped("b", began)], None);
    script.read(page, vec![stamped("a", began - 9_000)], Some("a"));
    script.applied();
    // An hour later: `a` was changed meanwhile, and `b` after it.
    script.read(page, vec![stamped("b", began + 3_600_000)], None);
    let checkpoint = script.applied().expect("a checkpoint");
    assert!(checkpoint.contains(&began.to_string()), "{checkpoint}");
    script.missing(0, 2);
    let since = loop {
        let delta = script.take(|effect| match effect {
            Effect::ReadDelta { since, .. } => Some(since.clone()),
            _ => None,
        });
        match delta {
            Some(since) => break since.parse::<i64>().unwrap(),
            None => script.applied(),
        };
    };
    assert_eq!(since, began - 5_000, "with the overlap");
}

#[test]
fn after_a_restart_deltas_are_followed_by_a_count_that_finds_deletions() {
    let complete = |swept_at: i64| {
        json!({"phase": "complete", "sweep": 1, "mode": "delta", "done": 2, "total": 2, "since": "1700000000000",
            "swept_at": swept_at, "whole": true})
        .to_string()
    };
    let counts = |effect: &Effect| matches!(effect, Effect::ReadKeys { .. }).then_some(());
    for swept_before in [10, 100_000] {
        let mut script = Script::online(PullMode::Delta);
        script.checkpoint(Some(&complete(script.at().wall.0 - swept_before * 1000)));
        let delta = |effect: &Effect| match effect {
            Effect::ReadDelta { ticket, .. } => Some(*ticket),
            _ => None,
        };
        script.read(delta, Vec::new(), None);
        script.applied();
        let feed = script.feed();
        script.news(feed, Ok(FeedNews::Changes(Vec::new())));
        let every = settings().sweep_every.as_secs();
        let left = every.saturating_sub(swept_before.unsigned_abs());
        if left > 0 {
            script.pass(left - 1);
            assert!(script.take(counts).is_none(), "swept {swept_before} s ago");
        }
        script.pass(1);
        assert!(script.take(counts).is_some(), "swept {swept_before} s ago");
    }
}

/// The count beside deltas is no reason to stop them: refused, it comes again with its next turn.
#[test]
fn a_count_that_is_refused_or_fails_lets_deltas_go_on_and_comes_again() {
    let later = ReadError::Later { status: 503, after: None, message: "busy".to_owned() };
    let refused = ReadError::Refused { status: 400, message: "no such index".to_owned() };
    for error in [refused.clone(), later] {
        let mut script = Script::online(PullMode::Delta);
        let swept_at = script.at().wall.0;
        let complete = json!({"phase": "complete", "sweep": 1, "mode": "delta", "done": 2, "total": 2,
            "since": "1700000000000", "swept_at": swept_at, "whole": true});
        script.checkpoint(Some(&complete.to_string()));
        for turn in 0..3 {
            let ticket = script.pass_until(|effect| match effect {
                Effect::ReadDelta { ticket, .. } => Some(*ticket),
                _ => None,
            });
            let data = PageData { records: Vec::new(), next: None };
            script.tell(Event::PageRead { ticket, collection: collection(), result: Ok(data), exchange: exchange() });
            script.applied();
            let feed = script.feed();
            script.news(feed, Ok(FeedNews::Changes(Vec::new())));
            let before = script.seconds;
            let ticket = script.pass_until(|effect| match effect {
                Effect::ReadKeys { ticket, .. } => Some(*ticket),
                _ => None,
            });
            let waited = script.seconds - before;
            let is_its_turn = waited + 60 >= settings().sweep_every.as_secs();
            assert!(turn == 0 || is_its_turn || error != refused, "asked again after {waited} s");
            let result = Err(error.clone());
            script.tell(Event::KeysRead { ticket, collection: collection(), result, exchange: exchange() });
            if matches!(error, ReadError::Later { .. }) {
                // The lane waits for the server, then everything begins where it stood.
                script.checkpoint(Some(&complete.to_string()));
            }
        }
    }
}

#[test]
fn a_backfill_reads_one_page_ahead_and_covers_each_page_by_its_checkpoint() {
    let mut script = Script::online(PullMode::Windows);
    script.checkpoint(None);
    script.keys(&["a", "b", "c", "d"]);
    assert_eq!(script.phase(), PullPhase::Backfill);
    assert_eq!(script.page(&["a", "b"], Some("b")), None);
    assert_eq!(script.page(&["c", "d"], None), Some("b".into()), "read while the first page is applied");
    let checkpoint = script.applied().unwrap();
    assert!(checkpoint.contains(r#""after":"b""#) && checkpoint.contains(r#""done":2"#), "{checkpoint}");
    script.applied();
    script.missing(0, 4);
    let noted = script.applied().unwrap();
    assert!(noted.contains(r#""phase":"complete""#), "{noted}");
    assert_eq!(script.phase(), PullPhase::Settled);

    let mut script = Script::online(PullMode::Windows);
    script.checkpoint(Some(&checkpoint));
    assert_eq!(script.page(&["c", "d"], None), Some("b".into()), "a restart goes on behind the last page applied");
}

#[test]
fn a_sweep_deletes_nothing_without_proof_and_stops_before_a_mass_deletion() {
    let mut script = Script::online(PullMode::Windows);
    script.checkpoint(None);
    script.keys(&["a"]);
    script.page(&["a"], None);
    script.applied();
    script.missing(2, 100);
    // The keys at the end tell a record made behind the reader from one that is gone.
    script.keys(&["a", "new"]);
    let kept = script.take(|effect| match effect {
        Effect::FinishSweep { keep, .. } => Some(keep.clone()),
        _ => None,
    });
    assert!(kept.unwrap().contains(&RecordId::from("new")));

    let mut script = Script::online(PullMode::Windows);
    script.checkpoint(None);
    script.keys(&["a"]);
    script.page(&["a"], None);
    script.applied();
    script.missing(60, 100);
    assert!(matches!(script.phase(), PullPhase::Stopped(_)));
    assert!(!script.asked.iter().any(|effect| matches!(effect, Effect::FinishSweep { .. })));
    script.applied();
    let answer = SyncRequest::AnswerGuard { collection: collection(), answer: GuardAnswer::Accept };
    script.tell(Event::Request(answer));
    script.applied();
    script.keys(&["a"]);
    script.page(&["a"], None);
    script.applied();
    script.missing(60, 100);
    script.keys(&["a"]);
    assert!(script.asked.iter().any(|effect| matches!(effect, Effect::FinishSweep { .. })));
}

#[test]
fn a_feed_is_live_after_its_snapshot_and_not_before_the_gap_of_a_broken_one_is_repaired() {
    let mut script = Script::online(PullMode::Stream);
    script.checkpoint(None);
    for round in 0..2 {
        let ticket = script.feed();
        assert_ne!(script.phase(), PullPhase::Live);
        script.news(ticket, Ok(FeedNews::Everything(vec![row("a"), row("b"), row("c")])));
        script.applied();
        script.applied();
        assert_ne!(script.phase(), PullPhase::Live, "round {round}");
        script.missing(0, 3);
        script.applied();
        assert_eq!(script.phase(), PullPhase::Live);
        script.news(ticket, Err(ReadError::Unreachable(trouble(Link::Http))));
        assert_eq!(script.phase(), PullPhase::Stalled);
        script.take(|effect| matches!(effect, Effect::CloseFeed { .. }).then_some(())).expect("it is closed");
        script.checkpoint(Some(r#"{"phase":"complete","sweep":1,"mode":"stream","whole":true}"#));
    }
}

#[test]
fn a_live_source_is_not_probed_and_causes_no_news() {
    let mut script = Script::online(PullMode::Stream);
    script.checkpoint(None);
    script.outbox(Vec::new());
    let ticket = script.feed();
    script.news(ticket, Ok(FeedNews::Everything(vec![row("a")])));
    script.applied();
    script.missing(0, 1);
    script.applied();
    assert!(script.machine.is_idle());
    script.pass(1);
    script.asked.retain(|effect| matches!(effect, Effect::NextOfFeed { .. }));
    for _ in 0..20 {
        script.seconds += 30;
        script.news(ticket, Ok(FeedNews::KeepAlive));
    }
    assert!(script.asked.iter().all(|effect| matches!(effect, Effect::NextOfFeed { .. })), "{:?}", script.asked);
    assert_eq!(script.machine.wake_at(), None, "nothing to wake for");
}
