//! An op whose own trouble keeps coming while the others of the lane go through: it waits alone, says so, and goes when
//! the user says now.

use super::*;

fn busy() -> Answer {
    Answer::Later { status: 503, after: None, message: "no worker for this key".to_owned() }
}

fn acked(script: &mut Script, op: &Op) {
    script.send(chain(vec![op.clone()], None), accepted("e"));
    script.base_stored();
    assert_eq!(script.settled(), [Outcome::Acked]);
}

/// Refuses the op with a 503, and gives it back as it is stored then.
fn refused(script: &mut Script, op: &mut Op) {
    script.send(chain(vec![op.clone()], None), busy());
    op.attempts += 1;
    match script.settled().as_slice() {
        [Outcome::Queued { error, next_attempt_at, .. }] => {
            op.last_error.clone_from(error);
            op.next_attempt_at = *next_attempt_at;
        }
        other => panic!("{other:?}"),
    }
}

/// The op waits by itself; the lane is open.
fn waiting(script: &mut Script) -> Op {
    let mut own = create(1, "a");
    own.attempts = 3;
    refused(script, &mut own);
    acked(script, &create(2, "b"));
    refused(script, &mut own);
    assert!(script.state().is_usable(), "one op is no outage");
    assert!(own.next_attempt_at.is_some_and(|next| next > script.at().wall));
    own
}

#[test]
fn an_op_that_waits_goes_at_once_when_the_user_ends_its_wait() {
    let mut script = Script::sender(4);
    let mut own = waiting(&mut script);
    let (until, now) = (own.next_attempt_at.unwrap(), script.at().wall);
    own.next_attempt_at = None;
    script.tell(Event::Request(SyncRequest::OutboxChanged));
    script.outbox(vec![chain(vec![own.clone()], None)]);
    assert!(script.at().wall < until, "asked for at {now:?}, due at {until:?}, sent at {:?}", script.at().wall);
    assert_eq!(script.grant(&[own]), [Seq(1)]);
}

#[test]
fn an_op_that_waits_is_left_alone_until_its_time() {
    let mut script = Script::sender(4);
    let own = waiting(&mut script);
    let until = own.next_attempt_at.unwrap();
    script.tell(Event::Request(SyncRequest::OutboxChanged));
    script.outbox(vec![chain(vec![own.clone()], None)]);
    assert!(script.at().wall >= until);
    assert_eq!(script.grant(&[own]), [Seq(1)]);
}

#[test]
fn a_wish_to_send_everything_is_not_lost_to_a_reading_under_way() {
    let mut script = Script::sender(4);
    let own = waiting(&mut script);
    let until = own.next_attempt_at.unwrap();
    script.tell(Event::Request(SyncRequest::OutboxChanged));
    let reading = script.take_ticket(|effect| match effect {
        Effect::ReadOutbox { ticket, .. } => Some(*ticket),
        _ => None,
    });
    script.tell(Event::Request(SyncRequest::Sync { source: None }));
    let slice = OutboxSlice { to_go: 1, chains: Vec::new(), next_attempt: Some(until) };
    script.tell(Event::OutboxRead { ticket: reading, source: "s".into(), result: Ok(slice) });
    script.outbox(vec![chain(vec![own.clone()], None)]);
    assert!(script.at().wall < until);
    assert_eq!(script.grant(&[own]), [Seq(1)]);
}

#[test]
fn it_says_at_the_op_and_once_in_the_activity_that_only_it_fails() {
    let mut script = Script::sender(4);
    let mut own = waiting(&mut script);
    for round in 2..5 {
        let said = own.last_error.as_ref().unwrap();
        assert_eq!(said.message, "no worker for this key; other changes go through");
        assert_eq!(said.status, Some(503));
        let told = |effect: &&Effect| matches!(effect, Effect::Log(activity) if activity.text.contains("`c/a` fails while other changes go through"));
        assert_eq!(script.asked.iter().filter(told).count(), 1, "{:?}", script.asked);
        acked(&mut script, &create(round * 10, "b"));
        refused(&mut script, &mut own);
    }
}
