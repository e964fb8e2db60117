//! Collections that are read: deltas, sweeps, feeds, and what is deleted.

use super::*;

/// What somebody changes behind the place a long first reading has reached is in no page of it.
#[test]
fn deltas_go_on_from_what_was_the_newest_when_the_sweep_began() {
    let began = 1_700_000_000_000;
    let mut script = Script::online(PullMode::Delta);
    script.checkpoint(None);
    script.keys(&["a", "b"]);
    let newest = |effect: &Effect| match effect {
        Effect::ReadNewest { ticket, .. } => Some(*ticket),
        _ => None,
    };
    let page = |effect: &Effect| match effect {
        Effect::ReadPage { ticket, .. } => Some(*ticket),
        _ => None,
    };
    assert!(script.take(page).is_none(), "not before it is known what is the newest");
    script.read(newest, vec![stamped("b", began)], None);
    script.read(page, vec![stamped("a", began - 9_000)], Some("a"));
    script.applied();
    // An hour later: `a` was changed meanwhile, and `b` after it.
    script.read(page, vec![stamped("b", began + 3_600_000)], None);
    let checkpoint = script.applied().expect("a checkpoint");
    assert!(checkpoint.contains(&began.to_string()), "{checkpoint}");
    script.missing(0, 2);
    let since = loop {
        let delta = script.take(|effect| match effect {
            Effect::ReadDelta { since, .. } => Some(since.clone()),
            _ => None,
        });
        match delta {
            Some(since) => break since.parse::<i64>().unwrap(),
            None => script.applied(),
        };
    };
    assert_eq!(since, began - 5_000, "with the overlap");
}

#[test]
fn after_a_restart_deltas_are_followed_by_a_count_that_finds_deletions() {
    let counts = |effect: &Effect| matches!(effect, Effect::ReadKeys { .. }).then_some(());
    for swept_before in [10, 100_000] {
        let mut script = Script::following_deltas(swept_before);
        let every = settings().sweep_every.as_secs();
        let left = every.saturating_sub(swept_before.unsigned_abs());
        if left > 0 {
            script.pass(left - 1);
            assert!(script.take(counts).is_none(), "swept {swept_before} s ago");
        }
        script.pass(1);
        assert!(script.take(counts).is_some(), "swept {swept_before} s ago");
    }
}

/// A followed delta is one reading without an end: a write of ours beside it is none beside the sweep that comes later.
#[test]
fn a_sweep_beside_deltas_finds_the_deletion_of_what_was_written_here_long_before() {
    let mut script = Script::following_deltas(0);
    script.send(chain(vec![create(1, "own")], None), accepted("e1"));
    assert!(script.base_stored().is_some());
    assert_eq!(script.settled(), [Outcome::Acked]);
    script.pass(settings().sweep_every.as_secs());
    script.keys(&["a", "b"]);
    script.missing(0, 3);
    let newest = |effect: &Effect| match effect {
        Effect::ReadNewest { ticket, .. } => Some(*ticket),
        _ => None,
    };
    script.read(newest, vec![stamped("b", 1_700_000_000_000)], None);
    assert_eq!(script.page(&["a", "b"], None), None);
    script.applied();
    script.missing(1, 3);
    script.keys(&["a", "b"]);
    let kept = script.take(|effect| match effect {
        Effect::FinishSweep { keep, .. } => Some(keep.contains(&RecordId::from("own"))),
        _ => None,
    });
    assert_eq!(kept, Some(false));
}

/// The count beside deltas is no reason to stop them: refused, it comes again with its next turn.
#[test]
fn a_count_that_is_refused_or_fails_lets_deltas_go_on_and_comes_again() {
    let later = ReadError::Later { status: 503, after: None, message: "busy".to_owned() };
    let refused = ReadError::Refused { status: 400, message: "no such index".to_owned() };
    for error in [refused.clone(), later] {
        let mut script = Script::online(PullMode::Delta);
        let swept_at = script.at().wall.0;
        let complete = json!({"phase": "complete", "sweep": 1, "mode": "delta", "done": 2, "total": 2,
            "since": "1700000000000", "swept_at": swept_at, "whole": true});
        script.checkpoint(Some(&complete.to_string()));
        for turn in 0..3 {
            let ticket = script.pass_until(|effect| match effect {
                Effect::ReadDelta { ticket, .. } => Some(*ticket),
                _ => None,
            });
            let data = PageData { records: Vec::new(), next: None };
            script.tell(Event::PageRead { ticket, collection: collection(), result: Ok(data), exchange: exchange() });
            script.applied();
            let feed = script.feed();
            script.news(feed, Ok(FeedNews::Changes(Vec::new())));
            let before = script.seconds;
            let ticket = script.pass_until(|effect| match effect {
                Effect::ReadKeys { ticket, .. } => Some(*ticket),
                _ => None,
            });
            let waited = script.seconds - before;
            let is_its_turn = waited + 60 >= settings().sweep_every.as_secs();
            assert!(turn == 0 || is_its_turn || error != refused, "asked again after {waited} s");
            let result = Err(error.clone());
            script.tell(Event::KeysRead { ticket, collection: collection(), result, exchange: exchange() });
            if matches!(error, ReadError::Later { .. }) {
                // The lane waits for the server, then everything begins where it stood.
                script.checkpoint(Some(&complete.to_string()));
            }
        }
    }
}

#[test]
fn a_backfill_reads_one_page_ahead_and_covers_each_page_by_its_checkpoint() {
    let mut script = Script::online(PullMode::Windows);
    script.checkpoint(None);
    script.keys(&["a", "b", "c", "d"]);
    assert_eq!(script.phase(), PullPhase::Backfill);
    assert_eq!(script.page(&["a", "b"], Some("b")), None);
    assert_eq!(script.page(&["c", "d"], None), Some("b".into()), "read while the first page is applied");
    let checkpoint = script.applied().unwrap();
    assert!(checkpoint.contains(r#""after":"b""#) && checkpoint.contains(r#""done":2"#), "{checkpoint}");
    script.applied();
    script.missing(0, 4);
    let noted = script.applied().unwrap();
    assert!(noted.contains(r#""phase":"complete""#), "{noted}");
    assert_eq!(script.phase(), PullPhase::Settled);

    let mut script = Script::online(PullMode::Windows);
    script.checkpoint(Some(&checkpoint));
    assert_eq!(script.page(&["c", "d"], None), Some("b".into()), "a restart goes on behind the last page applied");
}

#[test]
fn a_sweep_deletes_nothing_without_proof_and_stops_before_a_mass_deletion() {
    let mut script = Script::online(PullMode::Windows);
    script.checkpoint(None);
    script.keys(&["a"]);
    script.page(&["a"], None);
    script.applied();
    script.missing(2, 100);
    // The keys at the end tell a record made behind the reader from one that is gone.
    script.keys(&["a", "new"]);
    let kept = script.take(|effect| match effect {
        Effect::FinishSweep { keep, .. } => Some(keep.clone()),
        _ => None,
    });
    assert!(kept.unwrap().contains(&RecordId::from("new")));

    let mut script = Script::online(PullMode::Windows);
    script.checkpoint(None);
    script.keys(&["a"]);
    script.page(&["a"], None);
    script.applied();
    script.missing(60, 100);
    assert!(matches!(script.phase(), PullPhase::Stopped(_)));
    assert!(!script.asked.iter().any(|effect| matches!(effect, Effect::FinishSweep { .. })));
    script.applied();
    let answer = SyncRequest::AnswerGuard { collection: collection(), answer: GuardAnswer::Accept };
    script.tell(Event::Request(answer));
    script.applied();
    script.keys(&["a"]);
    script.page(&["a"], None);
    script.applied();
    script.missing(60, 100);
    script.keys(&["a"]);
    assert!(script.asked.iter().any(|effect| matches!(effect, Effect::FinishSweep { .. })));
}

#[test]
fn a_feed_is_live_after_its_snapshot_and_not_before_the_gap_of_a_broken_one_is_repaired() {
    let mut script = Script::online(PullMode::Stream);
    script.checkpoint(None);
    for round in 0..2 {
        let ticket = script.feed();
        assert_ne!(script.phase(), PullPhase::Live);
        script.news(ticket, Ok(FeedNews::Everything(vec![row("a"), row("b"), row("c")])));
        script.applied();
        script.applied();
        assert_ne!(script.phase(), PullPhase::Live, "round {round}");
        script.missing(0, 3);
        script.applied();
        assert_eq!(script.phase(), PullPhase::Live);
        script.news(ticket, Err(ReadError::Unreachable(trouble(Link::Http))));
        assert_eq!(script.phase(), PullPhase::Stalled);
        script.take(|effect| matches!(effect, Effect::CloseFeed { .. }).then_some(())).expect("it is closed");
        script.checkpoint(Some(r#"{"phase":"complete","sweep":1,"mode":"stream","whole":true}"#));
    }
}

/// Whether `b` is asked for by itself after a snapshot that was on its way while our own `{"n": 2}` was acknowledged.
fn is_asked_for_after(snapshot: Vec<RemoteRecord>) -> bool {
    let mut script = Script::online(PullMode::Stream);
    script.checkpoint(None);
    let feed = script.feed();
    let ours = op(1, "b", Some(json!({"n": 1})), Some(json!({"n": 2})));
    script.send(chain(vec![ours], Some((json!({"n": 1}), Some("e1")))), accepted("e2"));
    script.base_stored();
    script.settled();
    script.pass(1);
    script.news(feed, Ok(FeedNews::Everything(snapshot)));
    let fetch = |effect: &Effect| matches!(effect, Effect::Fetch { record, .. } if record.id.as_str() == "b");
    while script.phase() != PullPhase::Live {
        match script.asked.iter().any(|effect| matches!(effect, Effect::ReadMissing { .. })) {
            true => script.missing(0, 2),
            false => _ = script.applied(),
        }
    }
    script.asked.iter().any(fetch)
}

/// The server took ours, then somebody's, then read the snapshot; our answer was slower.
#[test]
fn a_record_that_is_being_sent_while_a_snapshot_arrives_is_asked_for_afterwards() {
    let mut script = Script::online(PullMode::Stream);
    script.checkpoint(None);
    let feed = script.feed();
    let ops = vec![op(1, "b", Some(json!({"n": 1})), Some(json!({"n": 2})))];
    script.tell(Event::Request(SyncRequest::OutboxChanged));
    script.outbox(vec![chain(ops.clone(), Some((json!({"n": 1}), Some("e1"))))]);
    script.grant(&ops);
    let push = script.pushed().expect("it is sent");
    let theirs = RemoteRecord { id: "b".into(), revision: None, text: r#"{"n":3}"#.to_owned() };
    script.news(feed, Ok(FeedNews::Everything(vec![row("a"), theirs])));
    script.applied();
    script.missing(0, 2);
    script.applied();
    script.answer(push, accepted("e2"));
    let is_fetched = |script: &Script| {
        script.asked.iter().any(|effect| matches!(effect, Effect::Fetch { record, .. } if record.id.as_str() == "b"))
    };
    script.base_stored();
    assert!(!is_fetched(&script), "not while our own text is on its way to the mirror");
    script.settled();
    assert!(is_fetched(&script));
}

#[test]
fn what_a_snapshot_beside_our_own_write_says_otherwise_is_asked_for() {
    let b = |text: &str| RemoteRecord { id: "b".into(), revision: None, text: text.to_owned() };
    assert!(!is_asked_for_after(vec![row("a"), b(r#"{"n":2}"#)]), "it is ours");
    assert!(is_asked_for_after(vec![row("a"), b(r#"{"n":1}"#)]), "from before, or put back by somebody");
    assert!(is_asked_for_after(vec![row("a"), b(r#"{"n":3}"#)]), "somebody wrote after us, and no news will tell");
    assert!(is_asked_for_after(vec![row("a")]), "from before it was made, or somebody removed it");
}

#[test]
fn what_was_followed_is_as_old_as_the_last_sign_of_life() {
    let mut script = Script::online(PullMode::Stream);
    script.checkpoint(None);
    let feed = script.feed();
    script.news(feed, Ok(FeedNews::Everything(vec![row("a")])));
    script.applied();
    script.missing(0, 1);
    script.applied();
    assert_eq!(script.phase(), PullPhase::Live);
    script.pass(1_200);
    script.news(feed, Ok(FeedNews::KeepAlive));
    let heard = At::test(script.seconds).wall;
    script.pass(20);
    script.tell(Event::Request(SyncRequest::Pause { source: None }));
    let status = script.machine.status(&At::test(script.seconds));
    assert_eq!(status[0].collections[0].last_pull, Some(heard));
}

#[test]
fn a_live_source_is_not_probed_and_causes_no_news() {
    let mut script = Script::online(PullMode::Stream);
    script.checkpoint(None);
    script.outbox(Vec::new());
    let ticket = script.feed();
    script.news(ticket, Ok(FeedNews::Everything(vec![row("a")])));
    script.applied();
    script.missing(0, 1);
    script.applied();
    assert!(script.machine.is_idle());
    script.pass(1);
    script.asked.retain(|effect| matches!(effect, Effect::NextOfFeed { .. }));
    for _ in 0..20 {
        script.seconds += 30;
        script.news(ticket, Ok(FeedNews::KeepAlive));
    }
    assert!(script.asked.iter().all(|effect| matches!(effect, Effect::NextOfFeed { .. })), "{:?}", script.asked);
    assert_eq!(script.machine.wake_at(), None, "nothing to wake for");
}
