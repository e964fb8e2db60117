//! Conflicts as the sender meets them: settled by rules, asked for, or given up as a race.

use super::*;
use crate::model::{
    conflict::{ConflictPolicy, Side},
    rules::FieldRule,
};
use crate::sync::effect::Decided;

fn rules(policy: ConflictPolicy, fields: &[(&str, FieldRule)]) -> ConflictRules {
    let fields = fields.iter().map(|(place, rule)| (place.parse().unwrap(), *rule)).collect();
    ConflictRules { fields, ..ConflictRules::of(policy) }
}

fn logged(script: &Script) -> Vec<String> {
    let line = |effect: &Effect| match effect {
        Effect::Log(activity) if activity.topic == "conflict" => Some(activity.text.clone()),
        _ => None,
    };
    script.asked.iter().filter_map(line).collect()
}

fn decided(script: &mut Script) -> Decided {
    match script.settled().remove(0) {
        Outcome::Decided(decided) => *decided,
        other => panic!("{other:?}"),
    }
}

#[test]
fn where_local_wins_the_disputed_edit_is_moved_onto_theirs_and_theirs_is_named_as_lost() {
    let mut script = Script::settling_sender(rules(ConflictPolicy::LocalWins, &[]));
    let (old, mine, theirs) = (json!({ "a": 1 }), json!({ "a": 2 }), json!({ "a": 3 }));
    script.outbox(vec![chain(vec![op(1, "r", Some(old.clone()), Some(mine.clone()))], Some((old, None)))]);
    script.fetched(Some(theirs.clone()), Some("e2"));
    assert_eq!(script.base_stored(), Some(Some(theirs.clone())));
    let decided = decided(&mut script);
    let op = decided.op.unwrap();
    assert_eq!((op.document, op.base_revision), (Some(mine), Some("e2".into())));
    assert_eq!((decided.lost[0].side, &decided.lost[0].document), (Side::Theirs, &theirs));
    assert_eq!(logged(&script), ["`c/r` changed on both sides: settled by your rules"]);
    assert_eq!(script.pushed(), None, "nothing is sent under the old precondition");
}

#[test]
fn a_refused_write_is_settled_by_the_same_rules() {
    let mut script = Script::settling_sender(rules(ConflictPolicy::RemoteWins, &[]));
    let (old, mine, theirs) = (json!({ "a": 1 }), json!({ "a": 2 }), json!({ "a": 3 }));
    let refused = Answer::PreconditionFailed { current: Some(theirs.clone()), revision: Some("e2".into()) };
    script.send(chain(vec![op(1, "r", Some(old.clone()), Some(mine.clone()))], Some((old, Some("e1")))), refused);
    assert_eq!(script.base_stored(), Some(Some(theirs)));
    let decided = decided(&mut script);
    assert_eq!((decided.op, decided.lost.len()), (None, 1));
    assert_eq!((decided.lost[0].side, &decided.lost[0].document), (Side::Mine, &mine));
}

#[test]
fn records_judged_in_one_event_get_ops_with_ids_of_their_own() {
    let mut script = Script::sender(4);
    let (old, mine) = (json!({ "a": 1, "b": 1 }), json!({ "a": 2, "b": 1 }));
    let there = json!({ "a": 1, "b": 9 });
    let moved =
        |seq, id| chain(vec![op(seq, id, Some(old.clone()), Some(mine.clone()))], Some((there.clone(), Some("e2"))));
    script.outbox(vec![moved(1, "x"), moved(2, "y")]);
    let outcomes = script.settled();
    let ids: Vec<OpId> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Rebased { op } => op.op_id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1], "queueing the same id twice is one op: an edit would be lost");
}

/// The op is moved again and again onto a server that changes `/seen` before each write; the outcomes.
fn race(script: &mut Script, rounds: i64) -> Vec<Outcome> {
    let mut edited = op(1, "r", Some(json!({ "a": 1, "seen": 0 })), Some(json!({ "a": 2, "seen": 0 })));
    let mut outcomes = Vec::new();
    for round in 1..=rounds {
        let base = edited.base.clone().unwrap();
        let theirs = json!({ "a": 1, "seen": round });
        let revision = format!("e{round}");
        let refused = Answer::PreconditionFailed { current: Some(theirs), revision: Some(revision.as_str().into()) };
        script.send(chain(vec![edited.clone()], Some((base, Some("e0")))), refused);
        script.base_stored();
        let outcome = script.settled().remove(0);
        if let Outcome::Rebased { op: moved } = &outcome {
            edited = op(1 + round, "r", moved.base.clone(), moved.document.clone());
        }
        outcomes.push(outcome);
    }
    outcomes
}

#[test]
fn a_server_that_rewrites_a_field_each_time_is_named_with_the_rule_that_helps() {
    let mut script = Script::sender(4);
    let outcomes = race(&mut script, 4);
    assert!(outcomes[..3].iter().all(|outcome| matches!(outcome, Outcome::Rebased { .. })), "{outcomes:?}");
    let Outcome::Conflict { note: Some(note), .. } = &outcomes[3] else { panic!("{outcomes:?}") };
    assert!(note.message.contains("`/seen`"), "{}", note.message);
    assert!(note.message.contains("teach c /seen server-owned --apply"), "{}", note.message);
    assert!(logged(&script).last().unwrap().contains("`/seen`"));
}

#[test]
fn a_field_the_server_owns_never_ends_in_a_conflict() {
    let mut script = Script::settling_sender(rules(ConflictPolicy::Manual, &[("/seen", FieldRule::ServerOwned)]));
    let outcomes = race(&mut script, 8);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Rebased { .. })), "{outcomes:?}");
}

#[test]
fn a_rule_made_meanwhile_holds_from_the_next_meeting_on() {
    let mut script = Script::sender(4);
    assert!(matches!(race(&mut script, 4).last(), Some(Outcome::Conflict { .. })));
    let (pattern, rule) = ("/seen".parse().unwrap(), FieldRule::ServerOwned);
    script.tell(Event::Request(SyncRequest::Learn { collection: collection(), pattern, rule }));
    let outcomes = race(&mut script, 8);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Rebased { .. })), "{outcomes:?}");
}

#[test]
fn what_i_changed_at_a_place_the_server_owns_is_not_sent() {
    let mut script = Script::settling_sender(rules(ConflictPolicy::Manual, &[("/seen", FieldRule::ServerOwned)]));
    let old = json!({ "a": 1, "seen": 5 });
    let edited = op(1, "r", Some(old.clone()), Some(json!({ "a": 2, "seen": 6 })));
    let request = script.send(chain(vec![edited], Some((old, Some("e1")))), accepted("e2"));
    assert_eq!(request.document, Some(json!({ "a": 2, "seen": 5 })));
}
