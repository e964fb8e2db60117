//! Event streams: the snapshot, changes from below and above, queries, the ends, and clients that do not read.

use std::time::Duration;

use ebbtide::server::Tuning;

use crate::harness::{Backend, options};

#[tokio::test]
async fn changes_are_told_relative_to_the_watched_place() {
    let backend = Backend::start().await;
    backend.put("/t/a.json", "{\"n\":1}").await;
    let mut events = backend.listen("/t.json").await;
    events.expect(r#"put {"path":"/","data":{"a":{"n":1}}}"#).await;
    backend.put("/t/b.json", "[1,null,{\"x\":null}]").await;
    events.expect(r#"put {"path":"/b","data":[1]}"#).await;
    backend.put("/t/a/n.json", "{\".sv\":{\"increment\":4}}").await;
    events.expect(r#"put {"path":"/a/n","data":5}"#).await;
    backend.send("PATCH", "/t/a.json", &[], "{\"m\":2,\"deep/er\":{\"x\":1},\"n\":null}").await;
    events.expect(r#"patch {"path":"/a","data":{"m":2,"deep/er":{"x":1},"n":null}}"#).await;
    backend.send("POST", "/t.json", &[], "\"x\"").await;
    let pushed = events.next().await.unwrap();
    assert!(pushed.starts_with("put {\"path\":\"/-N") && pushed.ends_with(",\"data\":\"x\"}"), "{pushed}");
    backend.put("/elsewhere.json", "1").await;
    backend.send("DELETE", "/t/b.json", &[], "").await;
    events.expect(r#"put {"path":"/b","data":null}"#).await;
    backend.send("PUT", "/t/a.json", &[("if-match", "stale")], "1").await;
    backend.put("/.json", "{\"t\":{\"z\":{\".value\":1,\".priority\":2}},\"u\":1}").await;
    events.expect(r#"put {"path":"/","data":{"z":1}}"#).await;
    backend.send("PATCH", "/.json", &[], "{\"u\":2,\"t/y\":3}").await;
    events.expect(r#"put {"path":"/y","data":3}"#).await;
    backend.send("DELETE", "/.json", &[], "").await;
    events.expect(r#"put {"path":"/","data":null}"#).await;
}

#[tokio::test]
async fn a_listener_deep_in_a_record_hears_its_own_part() {
    let backend = Backend::start().await;
    let mut events = backend.listen("/t/a/tags/0.json").await;
    events.expect(r#"put {"path":"/","data":null}"#).await;
    backend.put("/t/a.json", "{\"tags\":[{\"x\":1},2],\"n\":1}").await;
    events.expect(r#"put {"path":"/","data":{"x":1}}"#).await;
    backend.put("/t.json", "{\"a\":{\"n\":2}}").await;
    events.expect(r#"put {"path":"/","data":null}"#).await;
    backend.send("PATCH", "/t.json", &[], "{\"a/tags\":[\"y\"]}").await;
    events.expect(r#"put {"path":"/","data":"y"}"#).await;
}

#[tokio::test]
async fn a_streamed_query_tells_who_comes_and_goes() {
    let backend = Backend::start().await;
    backend.put("/p.json", r#"{"a":{"age":1},"b":{"age":5},"c":{"age":9}}"#).await;
    let mut range = backend.listen("/p.json?orderBy=\"age\"&startAt=5").await;
    let mut top = backend.listen("/p.json?orderBy=\"age\"&limitToLast=2").await;
    range.expect(r#"put {"path":"/","data":{"b":{"age":5},"c":{"age":9}}}"#).await;
    top.expect(r#"put {"path":"/","data":{"b":{"age":5},"c":{"age":9}}}"#).await;
    backend.put("/p/a/age.json", "2").await;
    backend.put("/p/a/age.json", "7").await;
    range.expect(r#"put {"path":"/a","data":{"age":7}}"#).await;
    top.expect(r#"put {"path":"/b","data":null}"#).await;
    top.expect(r#"put {"path":"/a","data":{"age":7}}"#).await;
    backend.put("/p/c/age.json", "3").await;
    range.expect(r#"put {"path":"/c","data":null}"#).await;
    top.expect(r#"put {"path":"/c","data":null}"#).await;
    top.expect(r#"put {"path":"/b","data":{"age":5}}"#).await;
    backend.put("/p.json", "{\"z\":{\"age\":6}}").await;
    range.expect(r#"put {"path":"/","data":{"z":{"age":6}}}"#).await;
    top.expect(r#"put {"path":"/","data":{"z":{"age":6}}}"#).await;
}

#[tokio::test]
async fn nothing_is_missed_or_told_twice_beside_the_snapshot() {
    let backend = std::sync::Arc::new(Backend::start().await);
    let writer = tokio::spawn({
        let backend = std::sync::Arc::clone(&backend);
        async move {
            for n in 0..400 {
                backend.put("/n.json", &n.to_string()).await;
            }
        }
    });
    for _ in 0..20 {
        let mut events = backend.listen("/n.json").await;
        let first = events.next().await.unwrap();
        let number =
            |event: &str| event.split_once("\"data\":").unwrap().1.trim_end_matches('}').parse::<i64>().unwrap_or(-1);
        let mut last = number(&first);
        while last < 399 {
            let next = number(&events.next().await.unwrap());
            assert_eq!(next, last + 1);
            last = next;
            if last % 40 == 0 {
                break;
            }
        }
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn a_quiet_stream_is_kept_alive() {
    let tuning = Tuning { keep_alive: Duration::from_millis(40), ..Tuning::default() };
    let backend = Backend::with(options(), tuning).await;
    let mut events = backend.listen("/a.json").await;
    events.expect(r#"put {"path":"/","data":null}"#).await;
    events.expect("keep-alive null").await;
    backend.put("/a.json", "1").await;
    loop {
        match events.next().await.unwrap().as_str() {
            "keep-alive null" => {}
            event => return assert_eq!(event, r#"put {"path":"/","data":1}"#),
        }
    }
}

#[tokio::test]
async fn rules_that_take_the_right_away_cancel() {
    let backend = Backend::start().await;
    let mut closed = backend.listen("/closed.json").await;
    let mut open = backend.listen("/open.json").await;
    closed.expect(r#"put {"path":"/","data":null}"#).await;
    open.expect(r#"put {"path":"/","data":null}"#).await;
    backend.put("/.settings/rules.json", r#"{"rules":{"open":{".read":true,".write":true}}}"#).await;
    closed.expect("cancel null").await;
    assert_eq!(closed.next().await, None);
    backend.put("/open.json", "1").await;
    open.expect(r#"put {"path":"/","data":1}"#).await;
}

#[tokio::test]
async fn revoked_credentials_and_a_stopping_server_end_streams() {
    let backend = Backend::start().await;
    let mut events = backend.listen("/a.json").await;
    events.expect(r#"put {"path":"/","data":null}"#).await;
    backend.server.revoke_streams("token expired");
    events.expect(r#"auth_revoked "token expired""#).await;
    assert_eq!(events.next().await, None);
    let mut events = backend.listen("/a.json").await;
    events.expect(r#"put {"path":"/","data":null}"#).await;
    backend.server.stop().await;
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cancelled_and_costs_no_memory() {
    let tuning = Tuning { queue_bytes: 256 << 10, ..Tuning::default() };
    let backend = Backend::with(options(), tuning).await;
    let mut events = backend.listen("/a.json").await;
    events.expect(r#"put {"path":"/","data":null}"#).await;
    // Far more than the queue and what two socket buffers take.
    let body = format!("\"{}\"", "x".repeat(200 << 10));
    for _ in 0..150 {
        backend.put("/a.json", &body).await;
    }
    let mut told = 0;
    loop {
        match events.next().await.as_deref() {
            Some("cancel null") => break,
            Some(event) => {
                assert!(event.starts_with("put "), "{}", &event[..40]);
                told += 1;
            }
            None => panic!("no cancel was told"),
        }
    }
    assert!(told < 150, "{told}");
    assert_eq!(events.next().await, None);
    let mut again = backend.listen("/a.json").await;
    assert!(again.next().await.unwrap().starts_with("put "));
}

#[tokio::test]
async fn a_change_too_big_to_tell_cancels() {
    let tuning = Tuning { queue_bytes: 64 << 10, ..Tuning::default() };
    let backend = Backend::with(options(), tuning).await;
    let mut events = backend.listen("/.json").await;
    events.expect(r#"put {"path":"/","data":null}"#).await;
    backend.put("/a.json", &format!("\"{}\"", "x".repeat(100 << 10))).await;
    events.expect("cancel null").await;
    let mut again = backend.listen("/a.json").await;
    assert!(again.next().await.unwrap().len() > 100 << 10);
}
