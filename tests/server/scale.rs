//! Size: pages of a large collection, whole reads and writes with flat memory, many small writes at once.

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
