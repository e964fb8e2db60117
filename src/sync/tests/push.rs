//! What is sent when, and what each answer makes of it.

use super::*;

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
fn unsent_edits_of_a_record_that_moved_are_judged_together() {
    let [old, first, last] = [1, 2, 3].map(|n| json!({ "a": n, "b": 1 }));
    let mut script = Script::sender(4);
    let ops = vec![op(1, "r", Some(old.clone()), Some(first.clone())), op(2, "r", Some(first), Some(last))];
    script.outbox(vec![chain(ops, Some((json!({ "a": 1, "b": 9 }), Some("e2"))))]);
    let settles = script.take(|effect| match effect {
        Effect::Settle { settles, .. } => Some(settles.clone()),
        _ => None,
    });
    let [settle] = settles.as_deref().expect("it is judged before it is claimed") else { panic!("{settles:?}") };
    assert_eq!((settle.seq, settle.joins.as_slice()), (Seq(1), &[Seq(2)][..]));
    let Outcome::Rebased { op } = &settle.outcome else { panic!("{settle:?}") };
    assert_eq!(op.document, Some(json!({ "a": 3, "b": 9 })));
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
        Answer::Unauthorized { status: Some(401), is_denied: false, message: String::new() },
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
    let (outcome, state) =
        send(Answer::Unauthorized { status: Some(401), is_denied: false, message: String::new() }, update());
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
    script.send(
        chain(vec![create(1, "a")], None),
        Answer::Unauthorized { status: Some(401), is_denied: false, message: "expired".to_owned() },
    );
    assert!(matches!(script.settled()[..], [Outcome::Auth { .. }]));
    let refreshes = |script: &Script| {
        script.asked.iter().filter(|effect| matches!(effect, Effect::ForgetCredentials { .. })).count()
    };
    assert_eq!(refreshes(&script), 1);
    script.probe(Err(refused()));
    assert_eq!(refreshes(&script), 1);
    assert_eq!(script.state(), ConnectivityState::AuthRequired);
    script.probe(Ok(()));
    assert!(script.release(1));
    script.outbox(vec![chain(vec![create(1, "a")], None)]);
    assert_eq!(script.grant(&[create(1, "a")]), [Seq(1)]);
}

/// An op is refused for the credentials, the probe finds that reading is allowed, and the op is sent again.
fn refused_twice(is_denied: bool) -> (Script, Vec<Outcome>) {
    let answer = || Answer::Unauthorized { status: Some(403), is_denied, message: "no".to_owned() };
    let mut script = Script::sender(4);
    script.send(chain(vec![create(1, "a")], None), answer());
    assert!(matches!(script.settled()[..], [Outcome::Auth { .. }]), "somebody may sign in");
    script.probe(Ok(()));
    assert!(!script.machine.is_idle(), "what waited for credentials is about to go");
    assert!(script.release(1));
    script.seconds += 1;
    script.send(chain(vec![create(1, "a")], None), answer());
    let outcomes = script.settled();
    (script, outcomes)
}

#[test]
fn a_write_the_rules_deny_while_reading_is_allowed_is_refused_for_good() {
    let (script, outcomes) = refused_twice(true);
    let [Outcome::Rejected { error }] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!((error.status, error.message.as_str()), (Some(403), "no"));
    assert_eq!(script.state(), ConnectivityState::Online, "the others go on");
}

#[test]
fn credentials_that_are_good_for_reading_only_are_not_tried_without_a_pause() {
    let (mut script, outcomes) = refused_twice(false);
    let [Outcome::Queued { next_attempt_at: Some(next), counts: true, .. }] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert!(*next > script.at().wall);
    let forgotten = script.asked.iter().filter(|effect| matches!(effect, Effect::ForgetCredentials { .. })).count();
    assert_eq!(forgotten, 2, "the next try reads them anew");
    assert_eq!(script.state(), ConnectivityState::Online, "the others go on");
    let waiting = Op { next_attempt_at: Some(*next), attempts: 2, ..create(1, "a") };
    script.outbox(vec![chain(vec![waiting.clone()], None)]);
    script.grant(&[waiting]);
    assert!(script.pushed().is_some() && script.at().wall >= *next, "not before its time");
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
