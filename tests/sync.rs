//! The engine with everything real: store, HTTP client, embedded backend, sockets, threads.

#![expect(clippy::disallowed_methods, reason = "a test that waits for real threads needs a real clock")]

mod common;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use common::{
    proxy::{Fault, Kind},
    rig::{Rig, Wanted, id, request, tasks},
};
use ebbtide::{
    model::{
        conflict::{ConflictPolicy, Take},
        ids::OpId,
        op::{OpKind, OpState, Precondition},
        rules::ConflictRules,
        source::{PullMode, SyncSettings},
        sync_status::{ConnectivityState, GuardAnswer, Leadership, PullPhase, SyncRequest},
        time::Clock,
    },
    store::{Claim, Resolve},
};
use serde_json::{Value, json};

#[test]
fn a_first_start_pulls_everything_goes_live_and_then_says_nothing() {
    let rig = Rig::new(2_000);
    let mut running = rig.start();
    running.until_phase(&PullPhase::Live);
    assert_eq!(running.leadership, Leadership::This);
    assert_eq!(running.connectivity(), ConnectivityState::Online);
    running.until("idle is said", |running| running.idle == 1);
    assert_eq!(running.records(), 2_000);
    running.assert_equal(&rig.there());
    // An idle, connected engine causes no events. (What was still on its way is let in first.)
    while running.events.recv_timeout(Duration::from_millis(700)).is_ok() {}
    let silence = running.events.recv_timeout(Duration::from_secs(2));
    assert!(silence.is_err(), "an idle engine said {silence:?}");
    assert!(running.stop() < Duration::from_millis(100));
    rig.end();
}

#[test]
fn edits_go_out_and_changes_of_others_come_in() {
    let rig = Rig::new(20);
    let mut running = rig.start();
    running.until_phase(&PullPhase::Live);
    let before = rig.server.writes_applied();
    running.set(&id(3), "title", json!("Mine"));
    running.until_drained();
    assert_eq!(rig.there()[&id(3).0]["title"], json!("Mine"));
    assert_eq!(rig.server.writes_applied(), before + 1);
    rig.put(&id(4), &json!({ "title": "Theirs" }));
    running.until("the change of somebody else is here", |running| {
        running.local(&id(4)).is_some_and(|local| local["title"] == json!("Theirs"))
    });
    let created = tasks().record("a-new-one");
    running.save(&created, Some(json!({ "title": "New" })));
    running.save(&tasks().record(id(5)), None);
    running.until_drained();
    let there = rig.there();
    assert_eq!(there["a-new-one"], json!({ "title": "New" }));
    assert!(!there.contains_key(&id(5).0));
    running.assert_equal(&there);
    running.stop();
    rig.end();
}

#[test]
fn edits_made_with_the_network_cut_drain_by_themselves_in_order_when_it_is_back() {
    let rig = Rig::new(50);
    let mut running = rig.start();
    running.until_phase(&PullPhase::Live);
    let before = rig.server.writes_applied();
    rig.proxy.cut();
    running.set(&id(0), "step", json!(0));
    running.until("offline is known", |running| running.connectivity() == ConnectivityState::Offline);
    running.until("idle is said", |running| running.idle >= 2);
    for n in 1..30 {
        running.set(&id(n % 10), "step", json!(n));
    }
    assert_eq!(running.reader.counts().unwrap().pending(), 30);
    rig.put(&id(40), &json!({ "title": "Changed meanwhile" }));
    let evidence = running.status[0].connectivity.evidence.clone();
    assert!(evidence.summary.starts_with("tcp:"), "{evidence:?}");
    assert!(evidence.next_probe.is_some());
    rig.proxy.restore();
    running.until_drained();
    running.until_phase(&PullPhase::Live);
    let there = rig.there();
    for n in 0..10 {
        assert_eq!(there[&id(n).0]["step"], json!(20 + n), "the last edit of {} won", id(n));
    }
    assert!(rig.server.writes_applied() <= before + 31, "unsent edits of a record travel together");
    running.until("the gap is repaired", |running| {
        running.local(&id(40)).is_some_and(|local| local["title"] == json!("Changed meanwhile"))
    });
    running.assert_equal(&there);
    running.stop();
    rig.end();
}

#[test]
fn a_lost_answer_never_applies_an_edit_twice() {
    let rig = Rig::new(40);
    let mut running = rig.start();
    running.until_phase(&PullPhase::Live);
    let before = rig.server.writes_applied();
    for kind in [Kind::Create, Kind::Update] {
        rig.proxy.fail(Some(kind), vec![Fault::DropAnswer; 3]);
    }
    for n in 0..20 {
        running.set(&id(n), "step", json!(n));
    }
    for n in 0..10 {
        let at = running.clock.at();
        let key = tasks().record(ebbtide::model::rtdb::push_id(&at).as_str());
        running.save(&key, Some(json!({ "made": n })));
    }
    running.until_drained();
    assert_eq!(rig.proxy.hits(), 6);
    assert_eq!(rig.server.writes_applied(), before + 30);
    let there = rig.there();
    assert_eq!(there.len(), 50);
    running.assert_equal(&there);
    running.stop();
    rig.end();
}

#[test]
fn a_drain_stopped_again_and_again_applies_each_edit_once_and_in_order() {
    let rig = Rig::new(20);
    let mut running = rig.start();
    running.until_phase(&PullPhase::Live);
    let before = rig.server.writes_applied();
    rig.proxy.cut();
    // Creates of records of their own, and a chain of edits of one record that may not be joined once attempted.
    let mut ops = Vec::new();
    for n in 0..200 {
        let record = tasks().record(format!("made-{n:03}").as_str());
        ops.push(running.edit(&record, Some(json!({ "n": n }))));
    }
    running.store.queue_many(ops).wait().unwrap();
    rig.proxy.restore();
    let mut lives = 0;
    loop {
        running.stop();
        running = rig.start();
        lives += 1;
        // Let it settle a few more than the time before, then stop it in the middle of whatever it does.
        let goal = (200 - 11 * lives).max(0);
        running.until("some are sent", |running| {
            i64::try_from(running.reader.counts().unwrap().pending()).unwrap() <= goal
        });
        if goal == 0 {
            break;
        }
    }
    running.until_drained();
    println!("{lives} lives");
    assert_eq!(rig.server.writes_applied(), before + 200);
    running.until_phase(&PullPhase::Live);
    running.assert_equal(&rig.there());
    running.stop();
    rig.end();
}

#[test]
fn a_big_collection_is_read_in_windows_and_goes_on_where_it_was_stopped() {
    let settings = SyncSettings { page_size: 100, ..SyncSettings::default() };
    let rig = Rig::with(3_000, PullMode::Windows, settings, None);
    let mut running = rig.start();
    running.until("a part is here", |running| running.records() >= 300);
    let part = running.records();
    running.stop();
    let mut running = rig.start();
    running
        .until("it goes on", |running| running.status.first().is_some_and(|status| status.collections[0].done >= part));
    running.until_phase(&PullPhase::Settled);
    assert_eq!(running.status[0].collections[0].total, Some(3_000));
    running.assert_equal(&rig.there());
    // What vanished there vanishes here with the next sweep, and nothing else does.
    request(rig.server.address(), "DELETE", "/tasks/t00007.json", None);
    running.engine.request(SyncRequest::Sync { source: None });
    running.until("the deletion is here", |running| running.records() == 2_999);
    running.until_phase(&PullPhase::Settled);
    running.assert_equal(&rig.there());
    running.stop();
    rig.end();
}

#[test]
fn an_emptied_collection_stops_and_asks_before_anything_is_deleted_here() {
    let rig = Rig::new(60);
    let mut running = rig.start();
    running.until_phase(&PullPhase::Live);
    request(rig.server.address(), "DELETE", "/tasks.json", None);
    running.until("it is stopped", |running| matches!(running.phase(), Some(PullPhase::Stopped(_))));
    assert_eq!(running.records(), 60);
    let answer = |answer| SyncRequest::AnswerGuard { collection: tasks(), answer };
    running.engine.request(answer(GuardAnswer::Reupload));
    running.until("all is uploaded again", |_| rig.there().len() == 60);
    running.until_phase(&PullPhase::Live);
    running.until_drained();
    request(rig.server.address(), "DELETE", "/tasks.json", None);
    running.until("it is stopped", |running| matches!(running.phase(), Some(PullPhase::Stopped(_))));
    running.engine.request(answer(GuardAnswer::Accept));
    running.until("they are gone here too", |running| running.records() == 0);
    running.until_phase(&PullPhase::Live);
    running.stop();
    rig.end();
}

#[test]
fn the_same_field_changed_on_both_sides_is_a_conflict_and_other_fields_merge() {
    let rig = Rig::new(10);
    let mut running = rig.start();
    running.until_phase(&PullPhase::Live);
    rig.proxy.cut();
    running.set(&id(1), "title", json!("Mine"));
    running.set(&id(2), "title", json!("Mine"));
    running.set(&id(3), "done", json!(true));
    rig.put(&id(1), &json!({ "n": 1, "title": "Theirs", "done": false }));
    rig.put(&id(2), &json!({ "n": 2, "title": "Task 2", "done": true }));
    rig.proxy.restore();
    running.until("all but one are sent", |running| {
        let counts = running.reader.counts().unwrap();
        counts.pending() == 1 && counts.conflict == 1
    });
    let there = rig.there();
    assert_eq!(there[&id(2).0], json!({ "n": 2, "title": "Mine", "done": true }));
    assert_eq!(there[&id(1).0]["title"], json!("Theirs"));
    assert_eq!(running.local(&id(1)).unwrap()["title"], json!("Mine"), "what I typed stays in sight");
    let conflict = running.reader.conflicts(false).unwrap().remove(0);
    assert_eq!(conflict.theirs.as_ref().unwrap()["title"], json!("Theirs"));
    let at = running.clock.at();
    let document = conflict.mine.clone();
    let op_id = OpId::new(&at);
    let resolve = Resolve {
        conflict: conflict.id,
        take: Take::Mine,
        document,
        seen: None,
        op_id,
        at: at.wall,
        author: String::new(),
    };
    running.store.resolve(resolve).wait().unwrap();
    running.engine.request(SyncRequest::OutboxChanged);
    running.until_drained();
    assert_eq!(rig.there()[&id(1).0]["title"], json!("Mine"));
    running.stop();
    rig.end();
}

#[test]
fn keep_both_leaves_theirs_there_and_sends_mine_as_a_record_of_its_own() {
    let rules = ConflictRules::of(ConflictPolicy::KeepBoth);
    let rig = Rig::of(Wanted { records: 10, rules, ..Wanted::default() });
    let mut running = rig.start();
    running.until_phase(&PullPhase::Live);
    rig.proxy.cut();
    running.set(&id(1), "title", json!("Mine"));
    rig.put(&id(1), &json!({ "n": 1, "title": "Theirs", "done": false }));
    rig.proxy.restore();
    running.until("both are there", |_| rig.there().len() == 11);
    running.until_drained();
    let there = rig.there();
    assert_eq!(there[&id(1).0]["title"], json!("Theirs"));
    assert_eq!(there.values().filter(|record| record["title"] == json!("Mine")).count(), 1);
    running.assert_equal(&there);
    running.stop();
    rig.end();
}

#[test]
fn a_second_process_follows_asks_the_leader_and_takes_over_when_it_is_gone() {
    let rig = Rig::new(10);
    let mut first = rig.start();
    first.until_phase(&PullPhase::Live);
    let mut second = rig.start();
    second.until("it follows", |second| second.leadership == Leadership::Other);
    second.until("the leader's status is seen", |second| second.phase() == Some(PullPhase::Live));
    // An edit of the follower is sent by the leader, which is not told by anybody.
    second.set(&id(2), "title", json!("From the second"));
    second.until_drained();
    assert_eq!(rig.there()[&id(2).0]["title"], json!("From the second"));
    first.stop();
    second.until("it leads", |second| second.leadership == Leadership::This);
    second.set(&id(3), "title", json!("Alone now"));
    second.until_drained();
    assert_eq!(rig.there()[&id(3).0]["title"], json!("Alone now"));
    second.stop();
    rig.end();
}

#[test]
fn a_refused_edit_is_quarantined_and_holds_up_nobody() {
    let rig = Rig::new(5);
    let mut running = rig.start();
    running.until_phase(&PullPhase::Live);
    rig.proxy.cut();
    let mut ops = Vec::new();
    for n in 0..100 {
        // A key the backend forbids, past the check at save time: the server has the last word.
        let name = if n == 50 { "bad.key" } else { "good" };
        let record = tasks().record(format!("many-{n:03}").as_str());
        ops.push(running.edit(&record, Some(json!({ name: n }))));
    }
    running.store.queue_many(ops).wait().unwrap();
    rig.proxy.restore();
    running.until("all but the bad one are sent", |running| {
        let counts = running.reader.counts().unwrap();
        counts.pending() == 1 && counts.rejected == 1
    });
    let refused = running.reader.outbox(&[OpState::Rejected], None, 10).unwrap().remove(0);
    assert!(refused.last_error.is_some_and(|error| error.status == Some(400)));
    assert_eq!(rig.there().len(), 5 + 99);
    running.stop();
    rig.end();
}

#[test]
fn a_claim_nobody_waits_for_is_noticed_by_the_leader_itself() {
    let rig = Rig::new(5);
    let mut running = rig.start();
    running.until_phase(&PullPhase::Live);
    running.engine.request(SyncRequest::Pause { source: None });
    running.until("it is paused", |running| running.status.iter().all(|source| source.paused));
    let before = rig.server.writes_applied();
    let record = tasks().record("orphan");
    let seq = running.save(&record, Some(json!({ "n": 1 })));
    let claim = Claim {
        known: None,
        head: seq,
        absorbs: Vec::new(),
        kind: OpKind::Create,
        sent_document: Some(json!({ "n": 1 })),
        precondition: Precondition::Absent,
        request_hash: "as if it had been sent".to_owned(),
        at: running.clock.at().wall,
    };
    assert!(running.store.claim(claim).wait().unwrap().is_some());
    running.until("it is in doubt", |running| running.reader.counts().unwrap().in_doubt == 1);
    running.engine.request(SyncRequest::Resume { source: None });
    running.until_drained();
    assert_eq!(rig.there()["orphan"], json!({ "n": 1 }));
    assert_eq!(rig.server.writes_applied(), before + 1);
    running.stop();
    rig.end();
}

/// `cargo test --release --test sync -- --ignored --nocapture measure`: a drain beside the bare client doing the same
/// requests, and a backfill.
#[test]
#[ignore = "measures; says nothing in a debug build on a busy machine"]
fn measure_a_drain_and_a_backfill() {
    const OPS: u64 = 1_000;
    let data = tempfile::tempdir().unwrap();
    let rig = Rig::with(10, PullMode::Auto, SyncSettings::default(), Some(data.path().join("server.db")));
    let remote = ebbtide::remote::Remote::new(&rig.source(), Arc::clone(&rig.clock) as Arc<dyn Clock>).unwrap();
    let began = Instant::now();
    rig.runtime.block_on(async {
        let lanes = (0..4).map(|lane| {
            let remote = remote.clone();
            tokio::spawn(async move {
                for n in (lane..OPS).step_by(4) {
                    let request = ebbtide::model::wire::PushRequest {
                        record: tasks().record(format!("bare-{n}").as_str()),
                        kind: OpKind::Create,
                        document: Some(json!({ "n": n, "text": "x".repeat(300) })),
                        precondition: ebbtide::model::op::Precondition::Absent,
                    };
                    let (answer, _) = remote.push(&request).await;
                    assert!(matches!(answer, ebbtide::model::wire::Answer::Accepted { .. }), "{answer:?}");
                }
            })
        });
        for lane in lanes.collect::<Vec<_>>() {
            lane.await.unwrap();
        }
    });
    let bare = began.elapsed();
    let mut running = rig.start();
    running.until_phase(&PullPhase::Live);
    running.engine.request(SyncRequest::ForceOffline(true));
    running.until("forced offline", |running| running.connectivity() == ConnectivityState::ForcedOffline);
    let ops = (0..OPS).map(|n| {
        let record = tasks().record(format!("made-{n}").as_str());
        running.edit(&record, Some(json!({ "n": n, "text": "x".repeat(300) })))
    });
    let ops = ops.collect::<Vec<_>>();
    running.store.queue_many(ops).wait().unwrap();
    let began = Instant::now();
    running.engine.request(SyncRequest::ForceOffline(false));
    running.until_drained();
    let drain = began.elapsed();
    running.stop();
    println!("bare client {bare:?}, drain {drain:?}: {:.2}x", bare.as_secs_f64() / drain.as_secs_f64());

    let records = 100_000;
    let rows = (0..records).map(|n| (id(n).0, json!({ "n": n, "text": "y".repeat(450) })));
    let body = Value::Object(rows.collect());
    request(rig.server.address(), "PUT", "/tasks.json", Some(&body));
    let rig = Rig { dir: tempfile::tempdir().unwrap(), ..rig };
    let mut running = rig.start();
    let began = Instant::now();
    running.until_phase(&PullPhase::Settled);
    let backfill = began.elapsed();
    assert_eq!(running.records(), records);
    println!("backfill of {records}: {backfill:?}, {:.0} a second", records as f64 / backfill.as_secs_f64());
    running.stop();
    rig.end();
}
