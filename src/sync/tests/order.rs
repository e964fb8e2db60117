//! Answers and events that overtake each other, and what stands behind an op that was moved.

use std::collections::BTreeMap;

use super::*;
use crate::model::wire::RemoteChange;

#[test]
fn what_stands_behind_a_moved_op_goes_when_that_is_done() {
    let mut script = Script::sender(4);
    let (there, mine) = (json!({ "a": 1, "b": 9 }), json!({ "a": 2, "b": 9 }));
    // Number 10 took the place of an op that was moved onto the server's copy; 7 stood behind that and waits to be judged.
    let head = op(10, "r", Some(there.clone()), Some(mine.clone()));
    let behind = op(7, "r", Some(json!({ "a": 2, "b": 1 })), Some(json!({ "a": 2, "b": 5 })));
    let whole = chain(vec![head.clone(), behind.clone()], Some((there, Some("e2"))));
    script.outbox(vec![whole]);
    assert_eq!(script.grant(&[head, behind]), [Seq(10)]);
    let push = script.pushed().expect("it is sent");
    script.answer(push, accepted("e3"));
    script.base_stored();
    assert_eq!(script.settled(), [Outcome::Acked]);
    let looks = script.asked.iter().any(|effect| matches!(effect, Effect::ReadOutbox { .. }));
    let says_idle = script.asked.iter().any(|effect| matches!(effect, Effect::Idle));
    assert!(
        looks,
        "7 is looked for; idle {} said {says_idle}; wakes at {:?}",
        script.machine.is_idle(),
        script.machine.wake_at()
    );
}

/// A followed collection and its mirror, written in the order it is asked for.
struct Followed {
    script: Script,
    feed: Ticket,
    mirror: BTreeMap<String, String>,
}

fn text_row(id: &str, n: i64) -> RemoteRecord {
    RemoteRecord { id: id.into(), revision: None, text: json!({ "n": n }).to_string() }
}

impl Followed {
    fn new() -> Self {
        let mut script = Script::online(PullMode::Stream);
        script.checkpoint(None);
        let feed = script.feed();
        let mut followed = Self { script, feed, mirror: BTreeMap::new() };
        followed.news(FeedNews::Everything(vec![text_row("a", 1)]));
        followed.write();
        followed.script.outbox(Vec::new());
        assert_eq!(followed.script.phase(), PullPhase::Live);
        followed
    }

    fn news(&mut self, news: FeedNews) {
        self.script.news(self.feed, Ok(news));
        self.write();
    }

    fn write(&mut self) {
        loop {
            if let Some((ticket, page)) = self.script.take(|effect| match effect {
                Effect::ApplyPage { ticket, page } => Some((*ticket, page.clone())),
                _ => None,
            }) {
                for change in page.changes {
                    match change {
                        RemoteChange::Upsert(record) => drop(self.mirror.insert(record.id.0, record.text)),
                        RemoteChange::Tombstone { id } => drop(self.mirror.remove(&id.0)),
                    }
                }
                self.script.tell(Event::PageApplied {
                    ticket,
                    collection: collection(),
                    result: Ok(AppliedPage::default()),
                });
                continue;
            }
            if let Some(ticket) = self.script.take(|effect| match effect {
                Effect::ReadMissing { ticket, .. } => Some(*ticket),
                _ => None,
            }) {
                let result = Ok(MissingRows { rows: 1, ..MissingRows::default() });
                self.script.tell(Event::MissingRead { ticket, collection: collection(), result });
                continue;
            }
            return;
        }
    }

    fn asked(&mut self) -> Option<Ticket> {
        self.script.take(|effect| match effect {
            Effect::Fetch { ticket, .. } => Some(*ticket),
            _ => None,
        })
    }

    fn fetched(&mut self, ticket: Ticket, n: i64, revision: &str) {
        let current = Current {
            collection: collection(),
            id: "a".into(),
            value: Some(json!({ "n": n })),
            revision: Some(revision.into()),
        };
        self.script.tell(Event::Fetched { ticket, record: record("a"), result: Ok(current), exchange: exchange() });
        self.write();
    }

    /// What is asked for until nothing is; the server holds `n`.
    fn rest(&mut self, n: i64) {
        while let Some(ticket) = self.asked() {
            self.fetched(ticket, n, "last");
        }
    }
}

/// The server: n=2 (a part is put: touched), n=3 (a part is put again: touched). The second answer overtakes the first.
#[test]
fn an_older_answer_does_not_cover_a_newer_one() {
    let mut followed = Followed::new();
    followed.news(FeedNews::Touched(vec!["a".into()]));
    let first = followed.asked().expect("it is fetched");
    followed.news(FeedNews::Touched(vec!["a".into()]));
    match followed.asked() {
        Some(second) => {
            followed.fetched(second, 3, "e3");
            followed.fetched(first, 2, "e2");
        }
        None => followed.fetched(first, 2, "e2"),
    }
    followed.rest(3);
    assert_eq!(followed.mirror["a"], r#"{"n":3}"#);
}

/// The server: n=2 (a part is put: touched and read), n=3 (put as a whole). The event overtakes the answer.
#[test]
fn an_answer_does_not_cover_a_newer_event() {
    let mut followed = Followed::new();
    followed.news(FeedNews::Touched(vec!["a".into()]));
    let first = followed.asked().expect("it is fetched");
    followed.news(FeedNews::Changes(vec![RemoteChange::Upsert(text_row("a", 3))]));
    followed.fetched(first, 2, "e2");
    followed.rest(3);
    assert_eq!(followed.mirror["a"], r#"{"n":3}"#);
}

/// The same with the reading before a claim: n=2 is read, n=3 is heard, the answer with n=2 comes.
#[test]
fn what_is_read_before_a_claim_does_not_cover_a_newer_event() {
    let mut followed = Followed::new();
    let edited = op(1, "a", Some(json!({ "n": 1 })), Some(json!({ "n": 7 })));
    followed.script.tell(Event::Request(SyncRequest::OutboxChanged));
    followed.script.outbox(vec![chain(vec![edited], Some((json!({ "n": 1 }), None)))]);
    let lookup = followed.asked().expect("its revision is read");
    followed.news(FeedNews::Changes(vec![RemoteChange::Upsert(text_row("a", 3))]));
    assert_eq!(followed.mirror["a"], r#"{"n":3}"#);
    followed.fetched(lookup, 2, "e2");
    if let Some(base) = followed.script.base_stored() {
        followed.mirror.insert("a".to_owned(), base.unwrap().to_string());
    }
    // A reading that begins in the same instant would count as older than what was just stored.
    followed.script.pass(1);
    let outcomes = followed.script.settled();
    followed.rest(3);
    followed.write();
    assert_eq!(followed.mirror["a"], r#"{"n":3}"#, "{outcomes:?}");
}

/// The server: n=1 is read, n=7 is written by us. What was read waits for the mirror, which is busy, until the write is done.
#[test]
fn what_was_read_and_waits_for_the_mirror_does_not_cover_a_newer_write_of_ours() {
    let mut followed = Followed::new();
    let edited = op(1, "a", Some(json!({ "n": 1 })), Some(json!({ "n": 7 })));
    followed.script.news(followed.feed, Ok(FeedNews::Changes(vec![RemoteChange::Upsert(text_row("b", 1))])));
    followed.script.news(followed.feed, Ok(FeedNews::Touched(vec!["a".into()])));
    let read = followed.asked().expect("it is fetched");
    followed.script.tell(Event::Request(SyncRequest::OutboxChanged));
    followed.script.outbox(vec![chain(vec![edited.clone()], Some((json!({ "n": 1 }), Some("e1"))))]);
    assert_eq!(followed.script.grant(&[edited]), [Seq(1)]);
    let push = followed.script.pushed().expect("it is sent");
    let current = Current {
        collection: collection(),
        id: "a".into(),
        value: Some(json!({ "n": 1 })),
        revision: Some("e1".into()),
    };
    let result = Ok(current);
    followed.script.tell(Event::Fetched { ticket: read, record: record("a"), result, exchange: exchange() });
    followed.script.answer(push, accepted("e7"));
    let base = followed.script.base_stored().expect("what was sent is the new base");
    followed.mirror.insert("a".to_owned(), base.unwrap().to_string());
    assert_eq!(followed.script.settled(), [Outcome::Acked]);
    followed.write();
    assert_eq!(followed.mirror["a"], r#"{"n":7}"#);
    followed.script.pass(1);
    followed.rest(7);
    assert_eq!(followed.mirror["a"], r#"{"n":7}"#);
}
