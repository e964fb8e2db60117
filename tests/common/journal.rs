//! The real store without a program around it: its clock, rows as a backend sends them, edits as a user makes them.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use ebbtide::{
    model::{
        edit,
        ids::{CollectionKey, OpId, RecordKey, Revision},
        op::{NewOp, OpKind},
        time::{At, Clock, Timestamp},
        wire::{RemoteChange, RemoteRecord},
    },
    store::PullPage,
};
use serde_json::Value;

/// A clock that moves on whenever it is looked at: a second of the wall's time, a microsecond of the monotonic one.
#[derive(Default)]
pub struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn at(&self) -> At {
        let tick = self.0.fetch_add(1, Ordering::Relaxed);
        At { mono: Duration::from_micros(tick), ..At::test(tick) }
    }
}

pub fn tasks() -> CollectionKey {
    CollectionKey::new("office", "tasks")
}

pub fn at(n: u64) -> Timestamp {
    At::test(n).wall
}

/// A row as a backend sends it.
pub fn upsert(id: &str, revision: Option<Revision>, document: &Value) -> RemoteChange {
    RemoteChange::Upsert(RemoteRecord { id: id.into(), revision, text: document.to_string() })
}

/// A page of [`tasks`], of no sweep and without a checkpoint.
pub fn page(changes: Vec<RemoteChange>, at: Timestamp) -> PullPage {
    PullPage { collection: tasks(), changes, checkpoint: None, sweep: None, stamps: None, at }
}

/// The edit that makes `to` of `base`, by nobody and on no known revision; deleting what is not there is an update.
pub fn edit_of(record: RecordKey, base: Option<Value>, to: Option<Value>, op_id: OpId, created_at: Timestamp) -> NewOp {
    let kind = match (&base, &to) {
        (None, Some(_)) => OpKind::Create,
        (Some(_), None) => OpKind::Delete,
        _ => OpKind::Update,
    };
    NewOp {
        op_id,
        record,
        kind,
        changes: edit::diff(base.as_ref(), to.as_ref()),
        document: to,
        base,
        base_revision: None,
        created_at,
        author: String::new(),
    }
}
