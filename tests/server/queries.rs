//! Queries: parameters and their mistakes, bounds and order as Google's SDK has them, arrays, indexes.

use serde_json::{Value, json};

use crate::{
    clients::vectors,
    harness::{Backend, Transcript},
};

#[tokio::test]
async fn queries_are_bounded_limited_and_checked() {
    let backend = Backend::start().await;
    let mut log = Transcript::default();
    for request in [
        "PUT /q.json\n\n{\"a\": {\"n\": 2}, \"b\": {\"n\": 1}, \"c\": {\"n\": 3, \"t\": \"x\"}, \"1\": {\"n\": 2}}",
        "GET /q.json?orderBy=\"n\"&startAt=2",
        "GET /q.json?orderBy=\"n\"&equalTo=2&print=pretty",
        "GET /q.json?orderBy=\"t\"&startAt=\"\"",
        "GET /q.json?orderBy=\"$key\"&startAt=\"b\"&limitToFirst=1",
        "GET /q.json?orderBy=\"$key\"&limitToLast=2",
        "GET /q/c.json?orderBy=\"$value\"&limitToFirst=1",
        "GET /q.json?orderBy=\"n\"&startAt=9",
        "GET /q/a/n.json?orderBy=\"$key\"",
        "GET /none.json?orderBy=\"$key\"",
        "GET /q.json?limitToFirst=1",
        "GET /q.json?startAt=2",
        "GET /q.json?orderBy=n",
        "GET /q.json?orderBy=\"\"",
        "GET /q.json?orderBy=\"a.b\"",
        "GET /q.json?orderBy=\"n\"&startAt={}",
        "GET /q.json?orderBy=\"n\"&startAt=x",
        "GET /q.json?orderBy=\"$key\"&startAt=2",
        "GET /q.json?orderBy=\"n\"&limitToFirst=0",
        "GET /q.json?orderBy=\"n\"&limitToFirst=-1",
        "GET /q.json?orderBy=\"n\"&limitToFirst=1&limitToLast=1",
        "GET /q.json?orderBy=\"n\"&equalTo=1&startAt=1",
        "GET /q.json?orderBy=\"n\"&startAt=1&startAfter=1",
    ] {
        log.ask(&backend, request).await;
    }
    log.note("answers with dense integer keys are arrays, with nulls before the first");
    for request in [
        "PUT /l.json\n\n[\"a\", \"b\", \"c\", \"d\"]",
        "GET /l.json?orderBy=\"$key\"&startAt=\"2\"",
        "GET /l.json?orderBy=\"$key\"&startAt=\"3\"",
        "GET /l.json?orderBy=\"$key\"&startAt=\"1\"&limitToFirst=2",
        "GET /l.json?orderBy=\"$value\"&limitToLast=3",
    ] {
        log.ask(&backend, request).await;
    }
    log.check("queries");
}

fn target(place: &str, parameters: &Value) -> String {
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters.as_object().unwrap() {
        pairs.append_pair(name, &value.to_string());
    }
    format!("{place}.json?{}", pairs.finish())
}

/// The keys of an answer in its order: an object's, or the places of an array's items.
fn keys(answer: &str) -> Vec<String> {
    match serde_json::from_str::<Value>(answer).unwrap() {
        Value::Object(members) => members.keys().cloned().collect(),
        Value::Array(items) => {
            items.iter().enumerate().filter(|(_, item)| !item.is_null()).map(|(at, _)| at.to_string()).collect()
        }
        _ => Vec::new(),
    }
}

/// The same data as rows, inside one row, and with a child that is rows itself.
#[tokio::test]
async fn queries_answer_as_googles_sdk_does_wherever_the_data_lies() {
    let backend = Backend::start().await;
    let vectors = vectors();
    backend.put("/rows.json", &vectors["data"].to_string()).await;
    backend.put("/inside/one/row.json", &vectors["data"].to_string()).await;
    let mut mixed = vectors["data"].clone();
    let big = "x".repeat(70 << 10);
    for key in ["a", "c", "d"] {
        mixed[key]["big"] = json!({ "one": big, "two": big });
    }
    backend.put("/mixed.json", &mixed.to_string()).await;
    for query in vectors["queries"].as_array().unwrap() {
        for place in ["/rows", "/inside/one/row", "/mixed"] {
            let target = target(place, &query["parameters"]);
            let mut found = keys(&backend.get(&target).await);
            let mut wanted: Vec<String> = serde_json::from_value(query["keys"].clone()).unwrap();
            if found.iter().all(|key| key.parse::<u32>().is_ok()) {
                // An array has the order of its places.
                wanted.sort_by_key(|key| key.parse::<u32>().unwrap_or(0));
                found.sort_by_key(|key| key.parse::<u32>().unwrap_or(0));
            }
            assert_eq!(found, wanted, "{target}");
        }
    }
}

#[tokio::test]
async fn an_index_changes_nothing_but_the_time() {
    let backend = Backend::start().await;
    let records: serde_json::Map<String, Value> = (0..1_900)
        .map(|n| (format!("k{n:05}"), json!({ "n": (n * 7919) % 1000, "t": { "s": format!("{}", n % 17) } })))
        .collect();
    backend.put("/big.json", &Value::Object(records).to_string()).await;
    let targets = [
        "/big.json?orderBy=\"n\"&startAt=990",
        "/big.json?orderBy=\"n\"&limitToLast=5",
        "/big.json?orderBy=\"t/s\"&equalTo=\"16\"&limitToFirst=3",
    ];
    let mut before = Vec::new();
    for target in targets {
        before.push(backend.get(target).await);
    }
    // From 2,000 records on, a query in the order of a child makes its index; these sort before what is asked for.
    let more: serde_json::Map<String, Value> = (0..200).map(|n| (format!("z{n}"), json!({ "n": -1 }))).collect();
    backend.send("PATCH", "/big.json", &[], &Value::Object(more).to_string()).await;
    for target in targets {
        backend.get(target).await;
    }
    backend.put("/big/k00000/n.json", "995").await;
    assert!(backend.get(targets[0]).await.contains("k00000"));
    backend.put("/big/k00000/n.json", "0").await;
    backend.send("DELETE", "/big/k01899.json", &[], "").await;
    backend
        .put(
            "/big/k01899.json",
            &json!({ "n": (1899 * 7919) % 1000, "t": { "s": format!("{}", 1899 % 17) } }).to_string(),
        )
        .await;
    for (target, before) in targets.iter().zip(before) {
        assert_eq!(backend.get(target).await, before, "{target}");
    }
    backend.put("/big.json", "null").await;
    assert_eq!(backend.get(targets[0]).await, "null");
}
