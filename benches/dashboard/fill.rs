//! Data dirs as they are after a month of use.

use std::{path::Path, sync::Arc};

use ebbtide::{
    model::{
        edit,
        ids::{CollectionKey, OpId},
        op::{NewOp, OpKind},
        time::{Clock as _, Timestamp},
        wire::{RemoteChange, RemoteRecord},
    },
    runtime::clock::SystemClock,
    store::{OpenMode, PullPage, Store},
};
use serde_json::{Map, Value, json};

const PAGE: usize = 1_000;

/// Fills a data dir's mirror as a backfill would, and its outbox, and lets the search index follow.
pub fn fill(dir: &Path, records: usize, queued: usize) {
    let clock = Arc::new(SystemClock::new());
    let at: Timestamp = clock.at().wall;
    let store = Store::open(dir, OpenMode::ReadWrite, clock.clone()).expect("a store");
    let collection = CollectionKey::new("lab", "items");
    for start in (0..records).step_by(PAGE) {
        let changes = (start..(start + PAGE).min(records)).map(record).collect();
        let checkpoint = Some(format!("{{\"rows\":{start}}}"));
        let page = PullPage { collection: collection.clone(), changes, checkpoint, sweep: None, stamps: None, at };
        store.apply_page(page).wait().expect("applied");
    }
    let ops = (0..queued).map(|index| {
        let at = clock.at();
        let document = json!({"name": format!("new {index}"), "group": index % 17});
        NewOp {
            op_id: OpId::new(&at),
            record: collection.record(format!("rec-9{index:07}")),
            kind: OpKind::Create,
            changes: edit::diff(None, Some(&document)),
            document: Some(document),
            base: None,
            base_revision: None,
            created_at: at.wall,
            author: String::new(),
        }
    });
    store.queue_many(ops.collect()).wait().expect("queued");
    while store.feed_search().wait().expect("fed") {}
}

fn record(index: usize) -> RemoteChange {
    let text = format!(
        "{{\"name\":\"item {index}\",\"group\":{},\"active\":{},\"price\":{}.5,\"address\":{{\"city\":\"Malmö\",\"zip\":\"{:05}\"}},\
         \"tags\":[\"a\",\"t{}\"],\"text\":\"The quick brown fox jumps over the lazy dog and goes on its way through the field of \
         barley, where the wind moves like water and the evening light stays longer than it should, until the path ends.\"}}",
        index % 17,
        index.is_multiple_of(2),
        index,
        index % 99_999,
        index % 31
    );
    RemoteChange::Upsert(RemoteRecord { id: format!("rec-{index:08}").into(), revision: None, text })
}

/// A record whose text is as large as this, first in its collection.
pub fn put_large(dir: &Path, bytes: usize) {
    let clock = Arc::new(SystemClock::new());
    let at = clock.at().wall;
    let store = Store::open(dir, OpenMode::ReadWrite, clock).expect("a store");
    let member = |index: usize| (format!("member_{index:06}"), json!({"name": "Bo Lindqvist 田中", "age": index}));
    let document = Value::Object((0..bytes / 66).map(member).collect::<Map<String, Value>>());
    let record = RemoteRecord { id: "a-large".into(), revision: None, text: document.to_string() };
    let page = PullPage {
        collection: CollectionKey::new("lab", "items"),
        changes: vec![RemoteChange::Upsert(record)],
        checkpoint: None,
        sweep: None,
        stamps: None,
        at,
    };
    store.apply_page(page).wait().expect("applied");
}
