//! What may not be sent after a doubt, for how long, and what happens then.

use super::*;

/// A create whose repeat was accepted, in the journal's words; and the delete that follows it.
fn episode(script: &mut Script) -> (LateOriginal, Op) {
    let mut doubted = create(1, "a");
    (doubted.state, doubted.attempts, doubted.was_in_doubt) = (OpState::InDoubt, 1, true);
    doubted.precondition = Some(Precondition::Absent);
    let document = doubted.document.clone();
    script.send(chain(vec![doubted], None), accepted("e1"));
    script.base_stored();
    let guard = script.take(|effect| match effect {
        Effect::Settle { ticket, record, guard, .. } => Some((*ticket, record.clone(), guard.clone())),
        _ => None,
    });
    let (ticket, record, guard) = guard.expect("it is settled");
    script.tell(Event::Settled { ticket, record, result: Ok(()) });
    (guard.expect("guarded in the same transaction"), op(2, "a", document, None))
}

fn guard(until: Timestamp) -> LateOriginal {
    LateOriginal { record: record("a"), precondition: Precondition::Absent, content: None, until }
}

fn delete_of(id: &str) -> Op {
    op(2, id, Some(json!({ "n": 1 })), None)
}

fn on_its_base(op: &Op) -> Chain {
    chain(vec![op.clone()], op.base.clone().map(|base| (base, Some("e1"))))
}

/// The wait the op is given, as it is stored.
fn held_back(script: &mut Script) -> (Timestamp, String) {
    let settled = script.settled();
    let [outcome] = settled.as_slice() else { panic!("{settled:?}") };
    match outcome {
        Outcome::Queued { error: Some(error), next_attempt_at: Some(until), .. } => (*until, error.message.clone()),
        other => panic!("{other:?}"),
    }
}

fn touched(script: &mut Script) -> bool {
    script.asked.iter().any(|effect| matches!(effect, Effect::Fetch { .. }))
}

#[test]
fn after_an_episode_in_doubt_the_old_state_is_not_brought_back_for_two_minutes() {
    let mut script = Script::sender(4);
    let (guard, mut deleted) = episode(&mut script);
    let ends = At::test(script.seconds).wall.plus(Duration::from_secs(120));
    assert_eq!((guard.record, guard.content, guard.until), (record("a"), None, ends));
    // A late original of the create would bring the record back after this delete.
    script.tell(Event::Request(SyncRequest::OutboxChanged));
    script.outbox(vec![on_its_base(&deleted)]);
    assert_eq!(script.grant(std::slice::from_ref(&deleted)), []);
    let (until, why) = held_back(&mut script);
    assert_eq!(until, ends);
    assert!(why.contains("may still arrive"), "{why}");
    assert!(script.machine.status(&At::test(script.seconds))[0].push.next_attempt.is_some());
    deleted.next_attempt_at = Some(until);
    script.outbox(vec![on_its_base(&deleted)]);
    assert_eq!(script.grant(&[deleted]), [Seq(2)]);
    assert!(At::test(script.seconds).wall >= ends);
}

#[test]
fn an_edit_that_does_not_restore_the_old_state_goes_at_once() {
    let mut script = Script::sender(4);
    let (_, deleted) = episode(&mut script);
    let edited = op(2, "a", deleted.base, Some(json!({ "n": 7 })));
    script.tell(Event::Request(SyncRequest::OutboxChanged));
    script.outbox(vec![on_its_base(&edited)]);
    assert_eq!(script.grant(&[edited]), [Seq(2)]);
}

#[test]
fn an_edit_refused_while_in_doubt_leaves_a_guard_behind_though_the_user_discards_it() {
    let (before, sent) = (json!({ "n": 1 }), json!({ "n": 2 }));
    let mut doubted = op(1, "a", Some(before.clone()), Some(sent.clone()));
    (doubted.state, doubted.attempts, doubted.was_in_doubt) = (OpState::InDoubt, 1, true);
    doubted.precondition = Some(Precondition::Revision("e1".into()));
    doubted.sent_document = Some(sent);
    let mut script = Script::sender(4);
    let refused = Answer::Rejected { status: 403, message: "Permission denied".to_owned() };
    script.send(chain(vec![doubted], Some((before.clone(), Some("e1")))), refused);
    let (ticket, record, guard) = script
        .take(|effect| match effect {
            Effect::Settle { ticket, record, guard, .. } => Some((*ticket, record.clone(), guard.clone())),
            _ => None,
        })
        .expect("it is settled");
    let ends = script.at().wall.plus(Duration::from_secs(120));
    let guard = guard.expect("guarded in the same transaction");
    assert_eq!((guard.content, guard.until), (Some(before.clone()), ends));
    script.tell(Event::Settled { ticket, record, result: Ok(()) });
    // Discarded by the user; then one edit away from what it was made on, and one back to it.
    let away = op(2, "a", Some(before.clone()), Some(json!({ "n": 3 })));
    script.send(chain(vec![away], Some((before.clone(), Some("e1")))), accepted("e3"));
    script.base_stored();
    assert_eq!(script.settled(), [Outcome::Acked]);
    let back = op(3, "a", Some(json!({ "n": 3 })), Some(before));
    script.tell(Event::Request(SyncRequest::OutboxChanged));
    let back_on = chain(vec![back.clone()], Some((json!({ "n": 3 }), Some("e3"))));
    script.outbox(vec![back_on]);
    assert_eq!(script.grant(&[back]), [], "the refused edit could land on it");
    assert_eq!(held_back(&mut script).0, ends);
}

#[test]
fn a_new_leader_goes_on_guarding_and_reads_the_record_once_after() {
    // Half of its time has passed by the clock on the wall, which proves nothing: it is kept for all of it.
    let mut script = Script::guarding_sender(4, vec![guard(At::test(61).wall)]);
    let ends = script.at().wall.plus(Duration::from_secs(120));
    let deleted = delete_of("a");
    script.outbox(vec![on_its_base(&deleted)]);
    assert_eq!(script.grant(std::slice::from_ref(&deleted)), []);
    assert_eq!(held_back(&mut script).0, ends);
    script.pass(62);
    assert!(!touched(&mut script));
    script.pass(62);
    assert!(touched(&mut script), "the late original may have landed");
    script.fetched(Some(json!({ "n": 1 })), Some("e1"));
    let over = script.take(|effect| match effect {
        Effect::EndGuards { record, until } => Some((record.clone(), *until)),
        _ => None,
    });
    assert_eq!(over, Some((record("a"), ends)));
}

#[test]
fn a_guard_that_seems_over_while_nobody_led_is_kept_once_more_and_has_its_record_read() {
    // The clock on the wall may have been set forward meanwhile.
    let mut script = Script::guarding_sender(4, vec![guard(At::test(0).wall)]);
    let deleted = delete_of("a");
    script.outbox(vec![on_its_base(&deleted)]);
    assert_eq!(script.grant(std::slice::from_ref(&deleted)), []);
    held_back(&mut script);
    script.pass(122);
    assert!(touched(&mut script));
    script.tell(Event::Request(SyncRequest::OutboxChanged));
    script.outbox(vec![on_its_base(&deleted)]);
    assert_eq!(script.grant(&[deleted]), [Seq(2)], "nothing holds it any more");
}

#[test]
fn a_clock_set_back_does_not_prolong_a_guard() {
    // The guard of a leader whose clock was an hour ahead.
    let mut script = Script::guarding_sender(4, vec![guard(At::test(3_600).wall)]);
    let mut deleted = delete_of("a");
    script.outbox(vec![on_its_base(&deleted)]);
    assert_eq!(script.grant(std::slice::from_ref(&deleted)), []);
    deleted.next_attempt_at = Some(held_back(&mut script).0);
    script.outbox(vec![on_its_base(&deleted)]);
    assert_eq!(script.grant(&[deleted]), [Seq(2)]);
    assert!(script.seconds < 200);
}

#[test]
fn an_op_that_takes_the_place_of_the_one_held_back_is_looked_at() {
    let mut script = Script::guarding_sender(4, vec![guard(At::test(100).wall)]);
    let deleted = delete_of("a");
    script.outbox(vec![on_its_base(&deleted)]);
    held_back(&mut script);
    // The user discards the deletion and edits instead.
    let edited = op(3, "a", deleted.base, Some(json!({ "n": 3 })));
    script.tell(Event::Request(SyncRequest::OutboxChanged));
    script.outbox(vec![on_its_base(&edited)]);
    assert_eq!(script.grant(&[edited]), [Seq(3)]);
    assert!(script.seconds < 100);
}

#[test]
fn a_waiting_op_is_not_written_again_with_every_look() {
    let mut script = Script::guarding_sender(4, vec![guard(At::test(100).wall)]);
    let mut deleted = delete_of("a");
    script.outbox(vec![on_its_base(&deleted)]);
    deleted.next_attempt_at = Some(held_back(&mut script).0);
    script.tell(Event::JournalMoved);
    script.tell(Event::Request(SyncRequest::Sync { source: None }));
    script.outbox(vec![on_its_base(&deleted)]);
    assert!(script.seconds < 100);
    assert!(!script.asked.iter().any(|effect| matches!(effect, Effect::Settle { .. } | Effect::Claim { .. })));
}
