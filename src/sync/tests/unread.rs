//! A record whose reading before the send fails again and again, while the rest of the lane works.

use super::*;

fn of(effect: &Effect, id: &str) -> Option<Ticket> {
    match effect {
        Effect::Fetch { ticket, record } if record.id.as_str() == id => Some(*ticket),
        _ => None,
    }
}

fn fails(script: &mut Script, ticket: Ticket) {
    let result = Err(ReadError::Unreachable(trouble(Link::Shape)));
    script.tell(Event::Fetched { ticket, record: record("a"), result, exchange: exchange() });
}

#[test]
fn it_waits_alone_from_its_second_failure_on_and_is_asked_for_again() {
    let old = json!({ "n": 1 });
    let edited = |seq, id| op(seq, id, Some(old.clone()), Some(json!({ "n": 2 })));
    let waiting = |seq, id| chain(vec![edited(seq, id)], Some((old.clone(), None)));
    let mut script = Script::sender(4);
    script.outbox(vec![waiting(1, "a"), waiting(2, "b")]);
    let first = script.pass_until(|effect| of(effect, "a"));
    fails(&mut script, first);
    // The lane works.
    script.fetched(Some(old.clone()), Some("e1"));
    script.grant(&[edited(2, "b")]);
    let push = script.pushed().expect("the other one is sent");
    script.answer(push, accepted("e2"));
    script.base_stored();
    assert_eq!(script.settled(), [Outcome::Acked]);

    for _ in 0..3 {
        script.outbox(vec![waiting(1, "a")]);
        let again = script.pass_until(|effect| of(effect, "a"));
        fails(&mut script, again);
        assert!(script.state().is_usable(), "one record is no outage");
        assert!(script.take(|effect| of(effect, "a")).is_none(), "not asked for again at once");
    }
    let told =
        |effect: &Effect| matches!(effect, Effect::Log(activity) if activity.text.contains("`c/a` cannot be sent"));
    assert_eq!(script.asked.iter().filter(|effect| told(effect)).count(), 1, "said once: {:?}", script.asked);
}

/// Its op had waited before, by the clock as it was then.
#[test]
fn a_clock_set_back_while_it_is_read_does_not_make_it_wait_for_that_clock() {
    let old = json!({ "n": 1 });
    let edited = |seq, id| op(seq, id, Some(old.clone()), Some(json!({ "n": 2 })));
    let mut script = Script::sender(4);
    let mut waited = edited(1, "a");
    waited.next_attempt_at = Some(script.at().wall);
    let waiting = chain(vec![waited], Some((old.clone(), None)));
    script.outbox(vec![waiting.clone(), chain(vec![edited(2, "b")], Some((old.clone(), None)))]);
    let first = script.pass_until(|effect| of(effect, "a"));
    fails(&mut script, first);
    script.fetched(Some(old.clone()), Some("e1"));
    script.grant(&[edited(2, "b")]);
    let push = script.pushed().expect("the other one is sent");
    script.answer(push, accepted("e2"));
    script.base_stored();
    script.settled();
    script.outbox(vec![waiting.clone()]);
    let again = script.pass_until(|effect| of(effect, "a"));
    script.clock_set_by_ms = -3_600_000;
    script.pass(1);
    fails(&mut script, again);
    let before = script.seconds;
    script.outbox(vec![waiting]);
    assert!(script.seconds < before + 60, "it went on after {} s", script.seconds - before);
}
