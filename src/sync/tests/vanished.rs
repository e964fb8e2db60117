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

#[test]
fn what_an_earlier_run_left_is_looked_through_at_the_start_without_a_network_and_then_no_more() {
    let mut script = Script::new(PullMode::Stream, settings());
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
    assert!(script.bury(Buried::default()));
    script.pass(5);
    script.news(feed, Ok(FeedNews::Changes(vec![RemoteChange::Tombstone { id: "a".into() }])));
    script.applied_beside_a_vanished_row();
    // The edit may have ended before the mark was there.
    assert!(script.bury(Buried { stays: true, ..Buried::default() }));
    script.pass(60);
    assert!(!script.bury(Buried::default()), "nobody touched the outbox");
    script.tell(Event::JournalMoved);
    assert!(script.bury(Buried { stays: true, ..Buried::default() }));
    for _ in 0..3 {
        script.tell(Event::JournalMoved);
        assert!(!script.bury(Buried::default()), "it was looked through in this second");
    }
    script.pass(1);
    assert!(script.bury(Buried { deleted: 200, more: true, ..Buried::default() }), "by a timer");
    assert!(script.bury(Buried { deleted: 1, ..Buried::default() }), "the rest at once");
    script.pass(5);
    script.tell(Event::JournalMoved);
    assert!(!script.bury(Buried::default()), "none is left");
}

#[test]
fn where_the_mirror_cannot_be_written_it_is_asked_again() {
    let mut script = Script::new(PullMode::Stream, settings());
    let ticket = script.take_ticket(|effect| match effect {
        Effect::BuryVanished { ticket, .. } => Some(*ticket),
        _ => None,
    });
    script.tell(Event::Buried { ticket, collection: collection(), result: Err("the disk is full".to_owned()) });
    assert!(!script.bury(Buried::default()), "not at once");
    script.pass(1);
    assert!(script.bury(Buried::default()));
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
