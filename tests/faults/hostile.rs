//! Answers that no backend should give: what is in them is not kept, nothing is lost because of them, and what has to go
//! out goes out.

use std::sync::Arc;

use ebbtide::{
    model::{
        ids::CollectionKey,
        op::{OpKind, Precondition},
        source::PullMode,
        sync_status::PullPhase,
        time::Clock,
        wire::{Answer, Link, PushRequest, ReadError},
    },
    remote::Remote,
};
use serde_json::{Value, json};

use crate::common::{
    proxy::{Fault, Kind, Place, answer},
    rig::{Rig, Running, Wanted, id},
};

const RECORDS: u64 = 12;

fn live() -> (Rig, Running) {
    let rig = Rig::of(Wanted { records: RECORDS, pull: PullMode::Stream, ..Wanted::default() });
    let mut running = rig.start();
    running.until_phase(&PullPhase::Live);
    (rig, running)
}

/// A feed that begins with the whole collection, in which the record `t00001` is this.
fn feed(there: &serde_json::Map<String, Value>, record: &[u8]) -> Vec<u8> {
    let mut said = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nevent: put\ndata: ".to_vec();
    said.extend_from_slice(br#"{"path":"/","data":{"t00001":"#);
    said.extend_from_slice(record);
    for (id, document) in there.iter().filter(|(id, _)| *id != "t00001") {
        said.extend_from_slice(format!(",\"{id}\":{document}").as_bytes());
    }
    said.extend_from_slice(b"}}\n\n");
    said
}

/// The feed brings `record`; what the collection says about it.
fn hears(record: &[u8]) -> String {
    let (rig, mut running) = live();
    rig.proxy.fail_always(Some(Kind::Stream), Fault::Say(feed(&rig.there(), record)));
    rig.proxy.hang_up();
    running.until("it was heard twice", |_| rig.proxy.hits() >= 2);
    // The rest of the lane is not held up.
    running.set(&id(2), "title", json!("Mine"));
    running.until_drained();
    assert_eq!(rig.there()[&id(2).0]["title"], json!("Mine"));
    assert_eq!(running.records(), RECORDS, "nothing was deleted");
    assert_eq!(running.local(&id(1)).unwrap()["n"], json!(1), "the last good copy is still shown");
    running.until("it is said", |running| running.status[0].collections[0].last_error.is_some());
    let said = running.status[0].collections[0].last_error.clone().unwrap();
    rig.proxy.heal();
    running.until_phase(&PullPhase::Live);
    running.assert_equal(&rig.there());
    running.stop();
    rig.end();
    said
}

#[test]
fn a_record_nested_millions_deep_is_not_taken_and_named() {
    let depth = 5_000_000;
    let said = hears(format!("{}{}", "[".repeat(depth), "]".repeat(depth)).as_bytes());
    assert!(said.contains("`t00001`") && said.contains("deep"), "{said}");
}

#[test]
fn half_a_character_is_not_taken_and_named() {
    let said = hears(br#"{"title":"\ud83d"}"#);
    assert!(said.contains("`t00001`"), "{said}");
}

#[test]
fn bytes_that_are_no_text_are_not_taken() {
    let said = hears(b"{\"title\":\"\xff\xfe\"}");
    assert!(said.contains("garbled") || said.contains("UTF-8"), "{said}");
}

#[test]
fn a_feed_that_becomes_a_web_page_is_not_believed() {
    let said = hears(b"<html>sign in</html>");
    assert!(said.contains("garbled"), "{said}");
}

fn remote(rig: &Rig) -> Remote {
    Remote::new(&rig.source(), Arc::clone(&rig.clock) as Arc<dyn Clock>).unwrap()
}

#[test]
fn an_answer_that_announces_a_gigabyte_is_refused_before_it_is_read() {
    let rig = Rig::new(1);
    let said = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1073741824\r\n\r\n{".to_vec();
    rig.proxy.fail(Some(Kind::Read), [Fault::Say(said)]);
    let (page, _) = rig.runtime.block_on(async { remote(&rig).page(&"tasks".into(), None, 10).await });
    let Err(ReadError::Unreachable(trouble)) = page else { panic!("{page:?}") };
    assert_eq!(trouble.link, Link::Shape);
    assert!(trouble.message.contains("larger than 256 MiB"), "{trouble:?}");
    rig.end();
}

#[test]
fn a_small_answer_that_unpacks_to_a_huge_one_is_cut_off() {
    let rig = Rig::new(1);
    let bomb = bomb(80 << 20);
    assert!(bomb.len() < 1 << 20, "{} bytes", bomb.len());
    let mut said = answer("200 OK", &["content-encoding: gzip"], "");
    let head = String::from_utf8(said.clone()).unwrap();
    said = head.replace("content-length: 0", &format!("content-length: {}", bomb.len())).into_bytes();
    said.extend(bomb);
    rig.proxy.fail(Some(Kind::Read), [Fault::Say(said)]);
    let record = CollectionKey::new("demo", "tasks").record(id(0));
    let (current, _) = rig.runtime.block_on(async { remote(&rig).fetch(&record).await });
    let Err(ReadError::Unreachable(trouble)) = current else { panic!("it was taken") };
    assert!(trouble.message.contains("larger than 64 MiB"), "{trouble:?}");
    rig.end();
}

/// A gzip of so many times the letter `x`: one of them, then "the 258 before, again" in 13 bits each.
fn bomb(length: usize) -> Vec<u8> {
    let mut bytes = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03".to_vec();
    let (mut byte, mut filled) = (0_u8, 0);
    let mut put = |bit: u8| {
        byte |= bit << filled;
        filled += 1;
        if filled == 8 {
            bytes.push(byte);
            (byte, filled) = (0, 0);
        }
    };
    // The last block, with the fixed codes; then the letter; codes go in with their highest bit first.
    [1, 1, 0].into_iter().for_each(&mut put);
    let letter = 0x30 + u16::from(b'x');
    (0..8).rev().for_each(|at| put((letter >> at & 1) as u8));
    for _ in 0..length / 258 {
        [1, 1, 0, 0, 0, 1, 0, 1].into_iter().for_each(&mut put);
        [0; 5].into_iter().for_each(&mut put);
    }
    [0; 16].into_iter().for_each(&mut put);
    bytes.extend([0; 8]);
    bytes
}

/// An answer to a write that ends anywhere is in doubt, the identical repeat tells, and there is one effect.
#[test]
fn an_answer_cut_off_at_any_byte_leaves_one_effect() {
    let rig = Rig::new(0);
    let remote = remote(&rig);
    let mut cut = 0;
    loop {
        let request = PushRequest {
            record: CollectionKey::new("demo", "tasks").record(format!("cut-{cut:03}").as_str()),
            kind: OpKind::Create,
            document: Some(json!({ "n": cut })),
            precondition: Precondition::Absent,
        };
        rig.proxy.fail(Some(Kind::Create), [Fault::Truncate(Place::Byte(cut))]);
        let (first, _) = rig.runtime.block_on(async { remote.push(&request).await });
        rig.proxy.heal();
        if matches!(first, Answer::Accepted { .. }) {
            break;
        }
        assert!(matches!(first, Answer::InDoubt(_)), "cut off at {cut}: {first:?}");
        let (second, _) = rig.runtime.block_on(async { remote.push(&request).await });
        let Answer::PreconditionFailed { current, .. } = second else { panic!("cut off at {cut}: {second:?}") };
        assert_eq!(current, request.document);
        cut += 1;
    }
    assert!(cut > 100, "an answer has a head and a body: {cut}");
    assert_eq!(rig.server.writes_applied(), cut as u64 + 1);
    rig.end();
}

/// One record can never be read before it is sent; the others are not held up by it.
#[test]
fn a_record_whose_reading_always_fails_holds_up_no_other() {
    let (rig, mut running) = live();
    rig.proxy.fail_path("/tasks/t00003.json", Fault::Say(answer("200 OK", &[], r#"{"n":"#)));
    for n in 0..8 {
        running.set(&id(n), "title", json!("Mine"));
    }
    running.until("all but one are sent", |running| running.reader.counts().unwrap().pending() == 1);
    let there = rig.there();
    let sent = there.values().filter(|record: &&Value| record["title"] == json!("Mine")).count();
    assert_eq!(sent, 7);
    rig.proxy.heal();
    running.until_drained();
    running.assert_equal(&rig.there());
    running.stop();
    rig.end();
}
