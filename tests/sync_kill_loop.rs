//! `kill -9` during drains of 200 changes: at the end the server has applied every op exactly once, in order per record.
//!
//! `SEED=n cargo test --test sync_kill_loop -- --nocapture` repeats a run.

#![allow(clippy::disallowed_methods, reason = "a test waits by the real clock")]

mod common;

use std::{
    collections::BTreeMap,
    process::{Child, Stdio},
    time::Duration,
};

use common::{Random, Workspace, server::Serve, wait_for};
use serde_json::{Value, json};

const RECORDS: usize = 120;
const CHANGES: usize = 200;

#[test]
fn every_op_is_applied_exactly_once_however_often_the_drain_is_killed() {
    let seed = common::seed(20_261_121);
    let mut random = Random::new(seed);
    let server_dir = tempfile::tempdir().unwrap();
    let serve = Serve::start(0, &server_dir.path().join("server.db"));
    let workspace = Workspace::new(&serve.url, &[("tasks", &["n"])]);
    workspace.run(&["sync"]);
    let writes_before = writes(&serve);
    let events = serve.listen("/tasks.json");

    // First the creates, then changes that arrive while the drain is already being killed.
    let creates: String = (0..RECORDS).map(|index| format!("{}\n", json!({"id": id(index), "n": 0}))).collect();
    let file = workspace.dir.path().join("tasks.ndjson");
    std::fs::write(&file, creates).unwrap();
    workspace.run(&["import", "tasks", file.to_str().unwrap(), "--id", "/id"]);

    let mut latest: BTreeMap<String, u64> = (0..RECORDS).map(|index| (id(index), 0)).collect();
    let mut queued = RECORDS;
    let mut kills = 0;
    loop {
        let mut drain = start_drain(&workspace);
        // Killed in its start, or a moment after some of its writes arrived.
        let wanted = writes(&serve) + random.next() % 6;
        let moment = Duration::from_micros(random.next() % 20_000);
        if ends_before(&mut drain, || writes(&serve) >= wanted, moment) {
            if queued == CHANGES {
                break;
            }
        } else {
            drain.kill().unwrap();
            drain.wait().unwrap();
            kills += 1;
        }
        for _ in 0..random.below(12).min(CHANGES - queued) {
            let record = id(random.below(RECORDS));
            let next = latest[&record] + 1;
            let patch = json!({ "n": next }).to_string();
            workspace.run(&["patch", "tasks", &record, &patch]);
            latest.insert(record, next);
            queued += 1;
        }
    }
    workspace.run(&["sync"]);

    let (outbox, _) = workspace.json(&["status"]);
    assert_eq!(outbox["outbox"]["pending"], 0, "seed {seed}: {outbox}");
    for (record, n) in &latest {
        assert_eq!(serve.get(&format!("/tasks/{record}/n.json")), json!(n), "seed {seed}: {record}");
    }
    let seen = received(&events, &latest);
    let mut applied = 0;
    for (record, values) in &seen {
        assert!(values.is_sorted_by(|a, b| a < b), "seed {seed}: {record} went through {values:?}");
        applied += values.len();
    }
    let in_state = |state: &str| workspace.json(&["outbox", "list", "--state", state]).0.as_array().unwrap().len();
    let (acked, superseded) = (in_state("acked"), in_state("superseded"));
    println!(
        "sync kill loop: seed {seed}, {kills} kills, {queued} changes queued, {acked} acked, {superseded} coalesced, {} applied by the server",
        writes(&serve) - writes_before
    );
    assert_eq!(acked + superseded, CHANGES, "seed {seed}");
    assert_eq!(writes(&serve) - writes_before, acked as u64, "seed {seed}: an op was applied twice or never");
    assert_eq!(applied, acked, "seed {seed}: the stream saw another number of writes");
    assert!(kills > 0, "seed {seed}: no drain was killed");
}

fn id(index: usize) -> String {
    format!("task-{index:03}")
}

fn start_drain(workspace: &Workspace) -> Child {
    workspace.command(&["sync"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// False where it still runs a moment after `reached`.
fn ends_before(child: &mut Child, reached: impl Fn() -> bool, moment: Duration) -> bool {
    let mut ended = || child.try_wait().unwrap().is_some();
    while !ended() {
        if reached() {
            std::thread::park_timeout(moment);
            return ended();
        }
    }
    true
}

/// Writes the server has applied, as it counted them itself.
fn writes(serve: &Serve) -> u64 {
    serve.get("/.ebbtide/stats.json")["writes"].as_u64().unwrap()
}

/// The values each record went through, in the order the server streamed them.
fn received(events: &std::sync::mpsc::Receiver<Value>, latest: &BTreeMap<String, u64>) -> BTreeMap<String, Vec<u64>> {
    let mut seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    wait_for("the stream to catch up", || {
        while let Ok(event) = events.try_recv() {
            let record = event["path"].as_str().unwrap_or("").trim_start_matches('/').to_owned();
            if let Some(n) = event["data"]["n"].as_u64() {
                seen.entry(record).or_default().push(n);
            }
        }
        latest.iter().all(|(record, n)| seen.get(record).is_some_and(|values| values.last() == Some(n))).then_some(())
    });
    seen
}
