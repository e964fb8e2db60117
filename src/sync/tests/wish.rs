//! What the user asked for is not forgotten because the server could not be asked at once.

use super::*;

#[test]
fn a_sweep_that_was_asked_for_is_made_although_its_first_request_fails() {
    // The collection was swept a moment ago, and rests.
    let mut script = Script::sender(4);
    assert_eq!(script.phase(), PullPhase::Settled);
    script.tell(Event::Request(SyncRequest::Sync { source: None }));
    let keys = |effect: &Effect| match effect {
        Effect::ReadKeys { ticket, .. } => Some(*ticket),
        _ => None,
    };
    let ticket = script.pass_until(keys);
    let result = Err(ReadError::Unreachable(trouble(Link::Http)));
    script.tell(Event::KeysRead { ticket, collection: collection(), result, exchange: exchange() });
    let ticket = script.pass_until(|effect| match effect {
        Effect::ReadCheckpoint { ticket, .. } => Some(*ticket),
        _ => None,
    });
    let swept = script.at().wall.0;
    let text = format!(r#"{{"phase":"complete","sweep":1,"mode":"windows","swept_at":{swept},"whole":true}}"#);
    script.tell(Event::CheckpointRead { ticket, collection: collection(), result: Ok(Some(text)) });
    assert!(script.take(keys).is_some(), "the sweep is begun again, not put off until the next timed one");
}
