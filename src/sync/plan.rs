//! What is sent next for a record, as one pure answer: the sender carries it out ([`next`], [`after_lookup`]), and a
//! plan is the same answers in a row ([`forecast`]). That is why a plan cannot lie.

use serde_json::Value;

use crate::{
    merge::{self, Coalesced, Followed},
    model::{
        ids::{Revision, Seq},
        json::Pointer,
        op::{NewOp, Op, OpKind, OpState, Precondition},
        plan::{PreconditionFrom, UNKNOWN_REVISION, Wait},
        record::Base,
        rules::ConflictRules,
        source::SourceKind,
        time::{At, Timestamp},
        wire::PushRequest,
    },
    sync::{
        event::Chain,
        judge::{self, Judgement, Meeting, Settling},
        policy,
    },
};

/// The write a chain of ops amounts to, before its precondition is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    pub kind: OpKind,
    /// `None` for a delete.
    pub document: Option<Value>,
    /// The ops behind the head that become part of it.
    pub absorbs: Vec<Seq>,
}

/// What is to be done next for a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Made and deleted again before anything was sent: these are discarded.
    Drop { ops: Vec<Seq> },
    /// It may be applied already: the identical request again.
    Repeat(PushRequest),
    /// Claim it with this precondition and send it.
    Claim(Write, Precondition),
    /// The revision is not known here: read the record first, then [`after_lookup`].
    Lookup(Write),
    /// The record is not what the head was made on: judge.
    Moved { write: Write, there: Option<Value>, revision: Option<Revision> },
    /// The server gives no version of the record.
    Unversioned,
}

/// What to do for the pending ops of a record (oldest first) with this last known server copy. `None`: no ops.
///
/// What was changed at places the server owns is not sent.
pub fn next(kind: SourceKind, rules: &ConflictRules, ops: &[Op], base: Option<&Base>) -> Option<Next> {
    let head = ops.first()?;
    let mut write = match merge::coalesce(joined(kind, ops))? {
        Coalesced::Nothing { discarded } => return Some(Next::Drop { ops: discarded }),
        Coalesced::Write { kind, document, absorbed } => Write { kind, document, absorbs: absorbed },
    };
    if let Some(precondition) = head.precondition.clone().filter(|_| is_doubted(head)) {
        return Some(Next::Repeat(request(head, write, precondition)));
    }
    write.document = judge::without_server_owned(rules, head.base.as_ref(), write.document);
    if write.kind == OpKind::Create {
        return Some(Next::Claim(write, Precondition::Absent));
    }
    let known = base.and_then(|base| Some((&*base.document, base.revision.clone()?)));
    Some(match known {
        Some((there, revision)) if policy::same(kind, Some(there), head.base.as_ref()) => {
            Next::Claim(write, Precondition::Revision(revision))
        }
        Some((there, revision)) => Next::Moved { write, there: Some(there.clone()), revision: Some(revision) },
        None => Next::Lookup(write),
    })
}

/// The same, with the record as it was just read.
pub fn after_lookup(
    kind: SourceKind,
    rules: &ConflictRules,
    ops: &[Op],
    current: Option<Value>,
    revision: Option<Revision>,
) -> Option<Next> {
    let head = ops.first()?;
    let Coalesced::Write { kind: write, document, absorbed } = merge::coalesce(joined(kind, ops))? else {
        return None;
    };
    let document = judge::without_server_owned(rules, head.base.as_ref(), document);
    let write = Write { kind: write, document, absorbs: absorbed };
    let unmoved = current.is_some() && policy::same(kind, current.as_ref(), head.base.as_ref());
    Some(match revision {
        revision if !unmoved => Next::Moved { write, there: current, revision },
        Some(revision) => Next::Claim(write, Precondition::Revision(revision)),
        None => Next::Unversioned,
    })
}

/// An earlier request of the op may have been applied.
pub(super) fn is_doubted(head: &Op) -> bool {
    head.state == OpState::InDoubt || head.was_in_doubt
}

pub(super) fn request(head: &Op, write: Write, precondition: Precondition) -> PushRequest {
    PushRequest { record: head.record.clone(), kind: write.kind, document: write.document, precondition }
}

/// The ops at the front of a chain of which each was made on the document of the one before it: only those may become
/// one write. An op made before its predecessor was moved onto a newer base goes by itself, through the merge.
fn joined(kind: SourceKind, ops: &[Op]) -> &[Op] {
    let made_on = |pair: &[Op]| {
        let before = merge::intended(&pair[0]);
        pair[1].kind == OpKind::Create && before.is_none() || policy::same(kind, pair[1].base.as_ref(), before)
    };
    let end = ops.windows(2).position(|pair| !made_on(pair)).map_or(ops.len(), |last| last + 1);
    &ops[..end]
}

/// What is judged where the record moved: the head with the ops a claim would make one write of, and the numbers of those.
/// A rule or a policy then says the same whether the move is met before the claim or after it. An op that was made when
/// another version of the record was known here, or that sets back what one before it set, is judged by itself: what was on
/// the screen in between counts.
pub fn judged(kind: SourceKind, ops: &[Op]) -> Option<(Op, Vec<Seq>)> {
    let head = ops.first()?;
    let joined = joined(kind, ops);
    let alike = |op: &Op| op.base_revision == head.base_revision && op.author == head.author;
    let end = joined.iter().position(|op| !alike(op)).unwrap_or(joined.len());
    Some(match merge::coalesce(&joined[..end])? {
        Coalesced::Write { kind, absorbed, .. } if !absorbed.is_empty() => {
            let behind = joined[1..=absorbed.len()].iter().cloned();
            let whole = merge::join(head.clone(), kind, behind);
            if takes_back(&whole) { (head.clone(), Vec::new()) } else { (whole, absorbed) }
        }
        _ => (head.clone(), Vec::new()),
    })
}

/// A place was set and set back. To a comparison with what was there before that is nothing, but the screen shows the
/// place as it was set last, whatever the server has there by now.
fn takes_back(whole: &Op) -> bool {
    let (before, after) = (judge::seen_on(whole), merge::intended(whole));
    whole.kind == OpKind::Update
        && !merge::is_replacement(whole)
        && whole.changes.iter().any(|change| {
            let at = |side: Option<&Value>| side.and_then(|side| change.pointer.get(side)).cloned();
            merge::same_document(at(before.as_ref()).as_ref(), at(after).as_ref())
        })
}

/// One step of what will happen to a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Oldest first.
    pub ops: Vec<Seq>,
    pub act: Act,
    pub waits: Option<Wait>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Made and deleted again.
    Nothing,
    /// The server has it.
    Done,
    /// By a rule or a policy the server's version stays.
    Yields,
    Write {
        /// Its precondition is [`UNKNOWN_REVISION`] unless `from` is `Known`.
        request: PushRequest,
        from: PreconditionFrom,
        merged: bool,
        repeat: bool,
    },
    Conflict {
        places: Vec<Pointer>,
    },
}

/// Everything that will happen to a record, as far as can be told from here: the answers of [`next`] in a row, each
/// write supposed to succeed.
pub fn forecast(kind: SourceKind, settling: &Settling, at: &At, chain: &Chain) -> Vec<Step> {
    let mut ahead = Ahead {
        kind,
        settling,
        at,
        ops: chain.ops.clone(),
        base: chain.base.clone(),
        answer: None,
        merged: false,
        joined: Vec::new(),
    };
    let mut steps: Vec<Step> = Vec::new();
    while let Some(head) = ahead.ops.first().cloned() {
        let Some((ops, act)) = ahead.step() else { continue };
        let waits = match steps.last() {
            Some(earlier) => earlier.ops.first().map(|seq| Wait::After(*seq)),
            None => wait(&head, at.wall),
        };
        steps.push(Step { ops, act, waits });
    }
    steps
}

/// A record's chain, played forward.
struct Ahead<'a> {
    kind: SourceKind,
    settling: &'a Settling,
    at: &'a At,
    ops: Vec<Op>,
    base: Option<Base>,
    /// The op whose answer gives the revision of `base`.
    answer: Option<Seq>,
    /// The head is a merge made on the way.
    merged: bool,
    /// Ops that became part of the head to be judged with it.
    joined: Vec<Seq>,
}

impl Ahead<'_> {
    /// `None` where the head was moved onto the server's copy: look again.
    fn step(&mut self) -> Option<(Vec<Seq>, Act)> {
        let head = self.ops.first()?.clone();
        if head.state == OpState::InFlight
            && let Some(precondition) = head.precondition.clone()
        {
            let document = merge::intended(&head).cloned();
            let write = Write { kind: head.kind, document, absorbs: Vec::new() };
            return Some(self.write(&head, write, precondition, PreconditionFrom::Known, false));
        }
        if head.state == OpState::Conflict {
            let there = self.base.as_ref().map(|base| base.document.clone());
            let places = self.overlaps(&head, there.as_deref());
            return Some(self.end_with(1, Act::Conflict { places }));
        }
        let from = self.answer.map_or(PreconditionFrom::Known, PreconditionFrom::Answer);
        match next(self.kind, &self.settling.rules, &self.ops, self.base.as_ref())? {
            Next::Drop { ops } => Some(self.end_with(ops.len(), Act::Nothing)),
            Next::Repeat(request) => {
                let write = Write { kind: request.kind, document: request.document, absorbs: Vec::new() };
                Some(self.write(&head, write, request.precondition, PreconditionFrom::Known, true))
            }
            Next::Claim(write, precondition @ Precondition::Absent) => {
                Some(self.write(&head, write, precondition, PreconditionFrom::Known, false))
            }
            Next::Claim(write, precondition) => Some(self.write(&head, write, precondition, from, false)),
            Next::Moved { there, revision, .. } => self.moved(there, revision),
            Next::Lookup(write) => {
                // The mirror may know already that the record moved.
                let there = self.base.as_ref().map(|base| Value::clone(&base.document));
                if there.is_some() && !policy::same(self.kind, there.as_ref(), head.base.as_ref()) {
                    return self.moved(there, None);
                }
                let precondition = Precondition::Revision(Revision::from(UNKNOWN_REVISION));
                Some(self.write(&head, write, precondition, PreconditionFrom::Lookup, false))
            }
            // Said by a reading only.
            Next::Unversioned => Some(self.end_with(1, Act::Conflict { places: Vec::new() })),
        }
    }

    fn write(
        &mut self,
        head: &Op,
        write: Write,
        precondition: Precondition,
        from: PreconditionFrom,
        repeat: bool,
    ) -> (Vec<Seq>, Act) {
        let length = 1 + write.absorbs.len();
        let after = policy::normal(self.kind, write.document.as_ref());
        let request = request(head, write, precondition);
        let done = self.end_with(length, Act::Write { request, from, merged: self.merged, repeat });
        self.merged = false;
        let revision = Some(Revision::from(UNKNOWN_REVISION));
        self.base = after.map(|document| Base { document: document.into(), revision, received_at: self.at.wall });
        self.answer = Some(head.seq);
        done
    }

    fn moved(&mut self, there: Option<Value>, revision: Option<Revision>) -> Option<(Vec<Seq>, Act)> {
        let (head, joins) = judged(self.kind, &self.ops)?;
        self.ops.splice(..=joins.len(), [head.clone()]);
        self.joined.extend(joins);
        let meeting = Meeting {
            kind: self.kind,
            settling: self.settling,
            at: self.at,
            op: &head,
            mine: merge::intended(&head),
            theirs: there.as_ref(),
            revision: revision.as_ref(),
            doubted: is_doubted(&head),
            // Measured by the sender only: without it the last write is not told, and a conflict is foretold.
            server_clock: None,
        };
        match meeting.judge() {
            Judgement::Applied => Some(self.end_with(1, Act::Done)),
            Judgement::Conflict => {
                let places = self.overlaps(&head, there.as_ref());
                Some(self.end_with(1, Act::Conflict { places }))
            }
            // A second merge in a row would be the same one again.
            Judgement::Rebased(_) if self.merged => Some(self.end_with(1, Act::Conflict { places: Vec::new() })),
            Judgement::Rebased(new) => self.go_on_with(&head, *new, there, revision),
            Judgement::Decided(decided) => match decided.op {
                Some(_) if self.merged => Some(self.end_with(1, Act::Conflict { places: Vec::new() })),
                Some(new) => self.go_on_with(&head, *new, there, revision),
                None => Some(self.end_with(1, Act::Yields)),
            },
        }
    }

    fn go_on_with(
        &mut self,
        head: &Op,
        new: NewOp,
        there: Option<Value>,
        revision: Option<Revision>,
    ) -> Option<(Vec<Seq>, Act)> {
        let received_at = self.at.wall;
        self.base = there.map(|document| Base { document: document.into(), revision, received_at });
        self.rebase(head, new);
        self.merged = true;
        None
    }

    /// The merged op takes the head's place and later ones follow, as the journal does it.
    fn rebase(&mut self, head: &Op, new: NewOp) {
        let mut local = new.document.clone();
        self.ops[0] = Op {
            kind: new.kind,
            changes: new.changes,
            document: new.document,
            base: new.base,
            base_revision: new.base_revision,
            precondition: None,
            sent_document: None,
            attempts: 0,
            was_in_doubt: false,
            ..head.clone()
        };
        for op in &mut self.ops[1..] {
            if op.attempts > 0 || !merge::stands_on(op.base.as_ref(), &op.changes, local.as_ref()) {
                break;
            }
            let base = local.clone();
            let changes = std::mem::take(&mut op.changes);
            let Followed { kind, changes, document } =
                merge::follow(base.as_ref(), op.kind, changes, op.document.as_ref());
            local.clone_from(&document);
            (op.kind, op.changes, op.document, op.base) = (kind, changes, document, base);
        }
    }

    fn overlaps(&self, head: &Op, there: Option<&Value>) -> Vec<Pointer> {
        judge::disputed(self.kind, self.settling, head, there)
    }

    fn end_with(&mut self, length: usize, act: Act) -> (Vec<Seq>, Act) {
        let length = length.min(self.ops.len());
        let mut ended: Vec<Seq> = self.ops.drain(..length).map(|op| op.seq).collect();
        ended.splice(1.min(length)..1.min(length), self.joined.drain(..));
        (ended, act)
    }
}

/// What the oldest op of a record waits for.
fn wait(head: &Op, now: Timestamp) -> Option<Wait> {
    let why = || head.last_error.as_ref().map(|error| error.message.clone());
    match head.state {
        OpState::Held => Some(Wait::Held),
        OpState::Auth => Some(Wait::Credentials),
        OpState::Conflict => Some(Wait::Conflict),
        OpState::Rejected => Some(Wait::Rejected { why: why() }),
        OpState::InFlight => Some(Wait::OnTheWire),
        _ => {
            let at = head.next_attempt_at.filter(|at| *at > now)?;
            Some(Wait::Until { at, why: why() })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{
        merge::samples::{chain, document},
        model::{ids::CollectionKey, op::OpError},
    };

    const KIND: SourceKind = SourceKind::Firebase;

    fn base(document: Value, revision: Option<&str>) -> Option<Base> {
        Some(Base { document: document.into(), revision: revision.map(Revision::from), received_at: Timestamp(1) })
    }

    fn ahead(ops: Vec<Op>, base: Option<Base>) -> Vec<Step> {
        let record = CollectionKey::new("s", "c").record("r");
        forecast(KIND, &Settling::default(), &At::test(9), &Chain { record, ops, base })
    }

    #[test]
    fn what_may_be_applied_is_repeated_as_it_was_and_the_rest_follows_its_answer() {
        let (a, b, c) = (json!({"n": 1}), json!({"n": 2}), json!({"n": 3}));
        let mut ops = chain(Some(&a), &[Some(b.clone()), Some(c.clone())]);
        ops[0].state = OpState::InDoubt;
        ops[0].attempts = 1;
        ops[0].precondition = Some(Precondition::Revision(Revision::from("e1")));
        let steps = ahead(ops, base(a, Some("e1")));
        let [first, second] = steps.as_slice() else { panic!("{steps:?}") };
        let Act::Write { request, repeat: true, from: PreconditionFrom::Known, .. } = &first.act else {
            panic!("{first:?}")
        };
        assert_eq!(request.precondition, Precondition::Revision(Revision::from("e1")));
        assert_eq!((&request.document, &first.waits), (&Some(b), &None));
        let Act::Write { request, from: PreconditionFrom::Answer(Seq(1)), .. } = &second.act else {
            panic!("{second:?}")
        };
        assert_eq!((&request.document, &second.waits), (&Some(c), &Some(Wait::After(Seq(1)))));
    }

    #[test]
    fn an_op_that_waits_for_a_time_says_until_when_and_why() {
        let a = json!({"n": 1});
        let mut ops = chain(Some(&a), &[Some(json!({"n": 2}))]);
        let due = At::test(9).wall.plus(std::time::Duration::from_secs(5));
        ops[0].next_attempt_at = Some(due);
        ops[0].last_error = Some(OpError { at: Timestamp(1), status: Some(503), message: "busy".to_owned() });
        let steps = ahead(ops, base(a, None));
        assert_eq!(steps[0].waits, Some(Wait::Until { at: due, why: Some("busy".to_owned()) }));
        assert!(matches!(steps[0].act, Act::Write { from: PreconditionFrom::Lookup, .. }));
    }

    #[test]
    fn a_record_that_moved_is_merged_or_asked_about() {
        let was = json!({"n": 1, "m": 1});
        let ops = chain(Some(&was), &[Some(json!({"n": 2, "m": 1})), Some(json!({"n": 2, "m": 5}))]);
        let steps = ahead(ops.clone(), base(json!({"n": 1, "m": 1, "x": 9}), Some("e2")));
        let Act::Write { request, merged: true, from: PreconditionFrom::Known, .. } = &steps[0].act else {
            panic!("{steps:?}")
        };
        assert_eq!(request.document, Some(json!({"n": 2, "m": 5, "x": 9})), "both ops follow and become one write");
        let steps = ahead(ops, base(json!({"n": 7, "m": 1}), Some("e2")));
        assert_eq!(steps[0].act, Act::Conflict { places: vec![Pointer::parse("/n")] });
        assert_eq!(steps[0].ops, [Seq(1), Seq(2)], "one decision for the record");
    }

    proptest! {
        #[test]
        fn every_op_is_in_exactly_one_step_in_order(
            was in proptest::option::of(document()),
            there in proptest::option::of(document()),
            revision in any::<bool>(),
            edits in prop::collection::vec((proptest::option::weighted(0.8, document()), 0..5_usize), 1..6),
        ) {
            let documents: Vec<Option<Value>> = edits.iter().map(|(document, _)| document.clone()).collect();
            let mut ops = chain(was.as_ref(), &documents);
            let states = [OpState::Queued, OpState::Queued, OpState::Held, OpState::Rejected, OpState::Blocked];
            for (op, (_, state)) in ops.iter_mut().zip(&edits) {
                op.state = states[*state];
            }
            let seqs: Vec<Seq> = ops.iter().map(|op| op.seq).collect();
            let base = there.and_then(|there| base(there, revision.then_some("e9")));
            let steps = ahead(ops, base);
            let told: Vec<Seq> = steps.iter().flat_map(|step| step.ops.clone()).collect();
            prop_assert_eq!(told, seqs);
        }
    }
}
