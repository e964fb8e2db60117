//! Size: pages of a large collection, whole reads with flat memory, many small writes at once. The figures of a million
//! records: `cargo test --test server million -- --ignored --nocapture`.

use std::{fmt::Write as _, sync::Arc};

use ebbtide::model::json::same_value;
use serde_json::Value;

use crate::harness::Backend;

/// A record of about 500 bytes.
fn record(n: usize) -> String {
    let filler = "lorem ipsum dolor sit amet ".repeat(15);
    format!(
        r#"{{"title":"Record {n}","n":{n},"tags":["a","b"],"body":"{filler}","at":{}}}"#,
        1_700_000_000_000_u64 + n as u64
    )
}

fn records(from: usize, to: usize) -> String {
    let mut body = String::from("{");
    for n in from..to {
        write!(body, "{}\"k{n:07}\":{}", if n == from { "" } else { "," }, record(n)).unwrap();
    }
    body.push('}');
    body
}

/// Pages of 1,000 as the mirror pulls them, each record once.
async fn walk(backend: &Backend, collection: &str) -> usize {
    let (mut last, mut count) = (String::new(), 0);
    loop {
        let target = format!("/{collection}.json?orderBy=\"$key\"&startAt=\"{last}\"&limitToFirst=1001");
        let page: serde_json::Map<String, Value> = serde_json::from_str(&backend.get(&target).await).unwrap();
        let fresh = page.keys().filter(|key| **key != last).count();
        if fresh == 0 {
            return count;
        }
        count += fresh;
        last = page.keys().next_back().unwrap().clone();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_is_walked_in_pages() {
    let backend = Backend::start().await;
    backend.put("/c.json", &records(0, 5_500)).await;
    assert_eq!(walk(&backend, "c").await, 5_500);
    let whole: Value = serde_json::from_str(&backend.get("/c.json").await).unwrap();
    assert!(same_value(&whole, &serde_json::from_str(&records(0, 5_500)).unwrap()));
    let keys: Value = serde_json::from_str(&backend.get("/c.json?shallow=true").await).unwrap();
    assert_eq!(keys.as_object().unwrap().len(), 5_500);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_arrive_together_are_all_applied() {
    let backend = Arc::new(Backend::start().await);
    let tasks: Vec<_> = (0..32)
        .map(|lane| {
            let backend = Arc::clone(&backend);
            tokio::spawn(async move {
                for n in 0..50 {
                    let reply = backend
                        .send("PUT", &format!("/t/l{lane}n{n}.json"), &[("if-match", "null_etag")], &record(n))
                        .await;
                    assert_eq!(reply.status, 200);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(backend.server.writes_applied(), 1_600);
    let keys: Value = serde_json::from_str(&backend.get("/t.json?shallow=true").await).unwrap();
    assert_eq!(keys.as_object().unwrap().len(), 1_600);
}

/// Resident memory of this process (server and client), in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("VmRSS: 0 kB");
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute and 700 MB of disk"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
async fn a_million_records_are_served_with_flat_memory() {
    use std::time::Instant;
    const RECORDS: usize = 1_000_000;
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let backend = Backend::on(directory.path().join("big.db")).await;
    let start = Instant::now();
    for from in (0..RECORDS).step_by(20_000) {
        let reply = backend.send("PATCH", "/c.json?print=silent", &[], &records(from, from + 20_000)).await;
        assert_eq!(reply.status, 204);
    }
    println!("load: {:.0} records/s, resident {} MiB", RECORDS as f64 / start.elapsed().as_secs_f64(), resident());

    let before = resident();
    let (start, mut count) = (Instant::now(), 0);
    for page in (0..RECORDS).step_by(1000) {
        let target = format!("/c.json?orderBy=\"$key\"&startAt=\"k{page:07}\"&limitToFirst=1001");
        count += backend.get(&target).await.len();
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "pages of 1,001: {:.0} records/s, {} MB/s",
        RECORDS as f64 / seconds,
        count / 1_000_000 / seconds as usize
    );

    let start = Instant::now();
    let mut response = backend.http.get(backend.url("/c.json")).send().await.unwrap();
    let (mut bytes, mut most) = (0, 0);
    while let Some(chunk) = response.chunk().await.unwrap() {
        bytes += chunk.len();
        if bytes % (16 << 20) < chunk.len() {
            most = most.max(resident());
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("whole: {:.0} records/s, {} MB, resident at most {most} MiB", RECORDS as f64 / seconds, bytes / 1_000_000);
    assert!(bytes > 400_000_000);
    assert!(most.saturating_sub(before) < 64, "{before} MiB grew to {most} MiB");

    let start = Instant::now();
    let mut events =
        backend.http.get(backend.url("/c.json")).header("accept", "text/event-stream").send().await.unwrap();
    let mut streamed = 0;
    while streamed < bytes {
        streamed += events.chunk().await.unwrap().unwrap().len();
    }
    println!("first put of a stream: {:.0} records/s", RECORDS as f64 / start.elapsed().as_secs_f64());
    drop(events);

    let start = Instant::now();
    let shallow = backend.get("/c.json?shallow=true").await;
    println!("shallow: {:.2} s, {} MB", start.elapsed().as_secs_f64(), shallow.len() / 1_000_000);
    let start = Instant::now();
    backend.send("GET", "/c.json?print=silent", &[("x-firebase-etag", "true")], "").await;
    println!("etag of the collection: {:.2} s", start.elapsed().as_secs_f64());
    let target = "/c.json?orderBy=\"at\"&startAt=1700000500000&limitToFirst=500";
    for time in ["scanned", "while indexed", "indexed"] {
        let start = Instant::now();
        backend.get(target).await;
        println!("500 by child, {time}: {:.1} ms", start.elapsed().as_secs_f64() * 1000.0);
        backend.put("/other.json", "1").await;
    }
    println!("resident {} MiB", resident());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
async fn small_conditional_writes_by_the_second() {
    use std::time::Instant;
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (name, data) in [("memory", None), ("durable", Some(directory.path().join("small.db")))] {
        let options = ebbtide::server::Options { data, ..crate::harness::options() };
        let backend = Arc::new(Backend::with(options, ebbtide::server::Tuning::default()).await);
        for lanes in [1, 4, 32] {
            let start = Instant::now();
            let tasks: Vec<_> = (0..lanes)
                .map(|lane| {
                    let backend = Arc::clone(&backend);
                    tokio::spawn(async move {
                        for n in 0..3_200 / lanes {
                            let target = format!("/t/of{lanes}l{lane}n{n}.json");
                            let reply = backend.send("PUT", &target, &[("if-match", "null_etag")], &record(n)).await;
                            assert_eq!(reply.status, 200);
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            println!("{name}, {lanes} at a time: {:.0} writes/s", 3_200.0 / start.elapsed().as_secs_f64());
        }
    }
}
