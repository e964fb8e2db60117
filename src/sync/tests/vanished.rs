//! Rows that are gone on the server and were kept for pending edits, and when they are looked through.

use super::*;
use crate::model::record::Buried;

impl Script {
    /// Answers that rows that vanished be deleted; false where it is not asked for.
    fn bury(&mut self, buried: Buried) -> bool {
        let asked = self.take(|effect| match effect {
            Effect::BuryVanished { ticket, .. } => Some(*ticket),
            _ => None,
        });
        if let Some(ticket) = asked {
            self.tell(Event::Buried { ticket, collection: collection(), result: Ok(buried) });
        }
        asked.is_some()
    }

    /// A page is in the mirror, and a row stays that is gone there.
    fn applied_beside_a_vanished_row(&mut self) {
        let ticket = self.take_ticket(|effect| match effect {
            Effect::ApplyPage { ticket, .. } => Some(*ticket),
            _ => None,
        });
        let applied = AppliedPage { stays: true, ..AppliedPage::default() };
        self.tell(Event::PageApplied { ticket, collection: collection(), result: Ok(applied) });
    }
}

fn followed() -> (Script, Ticket) {
    let mut script = Script::online(PullMode::Stream);
    script.checkpoint(None);
    let feed = script.feed();
    script.news(feed, Ok(FeedNews::Everything(vec![row("a")])));
    script.applied();
    script.missing(0, 1);
    script.applied();
    (script, feed)
}

/// Its checkpoint says that it was read as a whole.
fn begun() -> Script {
    let mut script = Script::new(PullMode::Stream, settings());
    script.checkpoint(Some(&json!({"phase": "complete", "sweep": 1, "mode": "stream", "whole": true}).to_string()));
    script
}

#[test]
fn what_an_earlier_run_left_is_looked_through_at_the_start_without_a_network_and_then_no_more() {
    let mut script = begun();
    assert!(script.bury(Buried::default()));
    for _ in 0..3 {
        script.pass(5);
        script.tell(Event::JournalMoved);
        assert!(!script.bury(Buried::default()), "nothing is kept");
    }
}

#[test]
fn rows_that_vanished_are_looked_through_when_edits_may_have_ended_and_not_all_the_time() {
    let (mut script, feed) = followed();
    let stays = Buried { stays: true, ..Buried::default() };
    assert!(script.bury(Buried::default()));
    script.pass(5);
    script.news(feed, Ok(FeedNews::Changes(vec![RemoteChange::Tombstone { id: "a".into() }])));
    script.applied_beside_a_vanished_row();
    // The edit may have ended before the mark was there.
    assert!(script.bury(stays));
    script.pass(60);
    assert!(!script.bury(Buried::default()), "nobody touched the outbox");
    script.tell(Event::JournalMoved);
    assert!(script.bury(stays));
    for _ in 0..3 {
        script.tell(Event::JournalMoved);
        assert!(!script.bury(Buried::default()), "they were looked through in this second");
    }
    script.pass(1);
    assert!(script.bury(Buried { deleted: 20, next: Some(7), ..stays }), "by a timer");
    let goes_on = |effect: &Effect| matches!(effect, Effect::BuryVanished { from: 7, deleted: 20, .. });
    assert!(script.asked.iter().any(goes_on), "the rest at once");
    assert!(script.bury(Buried { deleted: 1, ..Buried::default() }));
    script.pass(5);
    script.tell(Event::JournalMoved);
    assert!(script.bury(Buried::default()), "one was kept in the first part");
    script.pass(5);
    script.tell(Event::JournalMoved);
    assert!(!script.bury(Buried::default()), "none is left");
}

#[test]
fn a_mirror_that_is_slow_to_answer_is_not_asked_all_the_time() {
    let mut script = begun();
    let ticket = script.take_ticket(|effect| match effect {
        Effect::BuryVanished { ticket, .. } => Some(*ticket),
        _ => None,
    });
    script.pass(3);
    let result = Ok(Buried { stays: true, ..Buried::default() });
    script.tell(Event::Buried { ticket, collection: collection(), result });
    script.tell(Event::JournalMoved);
    script.pass(29);
    assert!(!script.bury(Buried::default()));
    script.pass(1);
    assert!(script.bury(Buried::default()));
}

#[test]
fn where_the_mirror_cannot_be_written_it_is_asked_again() {
    let mut script = begun();
    let ticket = script.take_ticket(|effect| match effect {
        Effect::BuryVanished { ticket, .. } => Some(*ticket),
        _ => None,
    });
    script.tell(Event::Buried { ticket, collection: collection(), result: Err("the disk is full".to_owned()) });
    assert!(!script.bury(Buried::default()), "not at once");
    script.pass(1);
    assert!(script.bury(Buried::default()));
}

/// A reading asks a person before it deletes so many.
#[test]
fn of_very_many_that_vanished_a_reading_is_made_instead() {
    let many = Buried { many: true, ..Buried::default() };
    let (mut script, _) = followed();
    assert!(script.bury(many));
    script.checkpoint(Some(&json!({"phase": "complete", "sweep": 1, "mode": "stream", "whole": true}).to_string()));
    script.feed();
    script.pass(5);
    script.tell(Event::JournalMoved);
    assert!(!script.bury(many), "the reading has its time");
    script.pass(60);
    assert!(script.bury(many), "they are still looked after");

    let mut script = Script::online(PullMode::Windows);
    let swept =
        json!({"phase": "complete", "sweep": 1, "mode": "windows", "whole": true, "swept_at": script.at().wall.0});
    script.checkpoint(Some(&swept.to_string()));
    let counts = |effect: &Effect| matches!(effect, Effect::ReadKeys { .. }).then_some(());
    assert!(script.take(counts).is_none(), "it was read a moment ago");
    assert!(script.bury(many));
    script.pass(0);
    assert!(script.take(counts).is_some());

    let mut script = Script::following_deltas(0);
    assert!(script.take(counts).is_none());
    assert!(script.bury(many));
    script.pass(0);
    assert!(script.take(counts).is_some());
}

/// Whether they are to be deleted here is what is asked.
#[test]
fn nothing_is_deleted_of_a_collection_that_asks_or_is_to_be_left_as_it_is() {
    let stopped =
        json!({"reason": "mass_deletion", "text": "gone", "affected": 30, "rows": 40, "sample": [], "since": 0});
    for state in [json!({"phase": "complete", "stopped": stopped}), json!({"phase": "detached"})] {
        let mut script = Script::new(PullMode::Stream, settings());
        let mut checkpoint = json!({"sweep": 1, "mode": "stream", "whole": true});
        checkpoint.as_object_mut().unwrap().extend(state.as_object().unwrap().clone());
        script.checkpoint(Some(&checkpoint.to_string()));
        script.pass(5);
        script.tell(Event::JournalMoved);
        assert!(!script.bury(Buried::default()), "{state}");
        assert!(script.machine.wake_at().is_none_or(|at| at > script.at().mono), "{state}: woken for nothing");
        let answer = if state["phase"] == "detached" { GuardAnswer::Attach } else { GuardAnswer::Accept };
        script.tell(Event::Request(SyncRequest::AnswerGuard { collection: collection(), answer }));
        assert!(script.bury(Buried::default()), "{state}");
    }
}

/// The pages of a reading that was broken off may still be on their way.
#[test]
fn no_two_readings_have_one_number() {
    let mut script = Script::online(PullMode::Stream);
    script.checkpoint(None);
    let number = |script: &mut Script| {
        let begins = script.take(|effect| match effect {
            Effect::BeginSweep { sweep, .. } => Some(*sweep),
            _ => None,
        });
        begins.expect("a reading")
    };
    let mut numbers = vec![number(&mut script)];
    for _ in 0..3 {
        for paused in [SyncRequest::Pause { source: None }, SyncRequest::Resume { source: None }] {
            script.tell(Event::Request(paused));
        }
        script.probe(Ok(()));
        script.checkpoint(None);
        numbers.push(number(&mut script));
    }
    assert_eq!(numbers, [1, 2, 3, 4]);
}

/// What is acknowledged between the beginning of a reading and its first page was written after it began.
#[test]
fn the_mirror_hears_of_a_reading_before_anything_is_asked_for() {
    for (pull, reads) in [
        (PullMode::Stream, (|effect| matches!(effect, Effect::OpenFeed { .. })) as fn(&Effect) -> bool),
        (PullMode::Windows, |effect| matches!(effect, Effect::ReadPage { .. })),
        (PullMode::Delta, |effect| matches!(effect, Effect::ReadNewest { .. })),
    ] {
        let mut script = Script::online(pull);
        script.checkpoint(None);
        if pull != PullMode::Stream {
            script.keys(&[]);
        }
        let begins = |effect: &Effect| matches!(effect, Effect::BeginSweep { sweep: 1, .. });
        let (begun, read) = (script.asked.iter().position(begins), script.asked.iter().position(reads));
        assert!(begun.is_some() && begun < read, "{pull:?}: {begun:?} {read:?}");
    }
    // A second look at everything, on the same feed.
    let (mut script, feed) = followed();
    script.news(feed, Ok(FeedNews::Everything(Vec::new())));
    let begins = |effect: &Effect| matches!(effect, Effect::BeginSweep { sweep: 2, .. });
    assert!(script.asked.iter().any(begins));
}

/// Its beginning could not be noted, or was replaced by that of another one that came to nothing.
#[test]
fn a_reading_that_proves_nothing_is_not_called_whole() {
    for (pull, begun) in [(PullMode::Stream, "never"), (PullMode::Windows, "backfill")] {
        let mut script = Script::online(pull);
        script.checkpoint(Some(&json!({"phase": begun, "sweep": 3, "after": "a", "whole": false}).to_string()));
        if pull == PullMode::Stream {
            let feed = script.feed();
            script.news(feed, Ok(FeedNews::Everything(vec![row("b")])));
        } else {
            script.page(&["b"], None);
        }
        script.applied();
        let ticket = script.take_ticket(|effect| match effect {
            Effect::ReadMissing { ticket, .. } => Some(*ticket),
            _ => None,
        });
        let result = Ok(MissingRows { rows: 2, is_unproved: true, ..MissingRows::default() });
        script.tell(Event::MissingRead { ticket, collection: collection(), result });
        let kept = script.applied().expect("a checkpoint");
        let kept: Value = serde_json::from_str(&kept).unwrap();
        assert_eq!((&kept["phase"], &kept["after"], &kept["whole"]), (&json!("never"), &Value::Null, &json!(false)));
        script.asked.clear();
        script.pass(60);
        let begins = |effect: &Effect| match effect {
            Effect::BeginSweep { sweep, .. } => Some(*sweep),
            Effect::ReadKeys { .. } => Some(0),
            _ => None,
        };
        assert!(script.take(begins).is_some(), "{pull:?}: another one");
    }
}

/// A fetched record or a change that waits is older than a look at everything that came after it.
#[test]
fn what_waits_for_the_mirror_is_not_written_behind_a_newer_snapshot() {
    let (mut script, feed) = followed();
    script.asked.clear();
    let upsert = |id: &str| RemoteChange::Upsert(row(id));
    let next = |script: &mut Script, news| {
        let ticket = feed;
        script.tell(Event::FeedMoved { ticket, collection: collection(), result: Ok(news), bytes: 0 });
    };
    next(&mut script, FeedNews::Changes(vec![upsert("x")]));
    next(&mut script, FeedNews::Changes(vec![upsert("y")]));
    next(&mut script, FeedNews::Everything(vec![row("a"), row("x")]));
    let mut pages = Vec::new();
    while let Some((ticket, page)) = script.take(|effect| match effect {
        Effect::ApplyPage { ticket, page } => Some((*ticket, page.clone())),
        _ => None,
    }) {
        pages.push((page.sweep, page.changes.iter().map(|change| change.id().0.clone()).collect::<Vec<_>>()));
        let result = Ok(AppliedPage::default());
        script.tell(Event::PageApplied { ticket, collection: collection(), result });
    }
    let names = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    assert_eq!(pages, [(None, names(&["x"])), (Some(2), names(&["a", "x"]))]);
    let fetches = |effect: &Effect| matches!(effect, Effect::Fetch { record: fetched, .. } if *fetched == record("y"));
    assert!(script.asked.iter().any(fetches), "it is looked at anew");
}
