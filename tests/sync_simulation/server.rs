//! The model server: one collection, content-only ETags like Firebase's, live feeds, and a count of every effect.

use std::collections::{BTreeMap, HashMap};

use ebbtide::model::{
    ids::{RecordId, Revision},
    json::{Fingerprint, same_value},
    op::Precondition,
    wire::{Answer, PushRequest, RemoteChange, RemoteRecord},
};
use serde_json::Value;

#[derive(Default)]
pub struct Server {
    pub records: BTreeMap<RecordId, Value>,
    /// How often the write of a claim (client, op) changed something. More than once breaks a promise.
    pub effects: HashMap<(usize, i64), u32>,
    /// Every change, in order, for the feeds.
    pub log: Vec<RemoteChange>,
}

impl Server {
    pub fn etag(&self, id: &RecordId) -> Option<Revision> {
        self.records.get(id).map(|value| Revision(Fingerprint::of(value).to_hex()))
    }

    /// A conditional write. `origin` is the claim it belongs to.
    pub fn write(&mut self, request: &PushRequest, origin: (usize, i64)) -> Answer {
        let id = &request.record.id;
        let present = self.etag(id);
        let holds = match &request.precondition {
            Precondition::Absent => present.is_none(),
            Precondition::Revision(revision) => present.as_ref() == Some(revision),
        };
        if !holds {
            return Answer::PreconditionFailed { current: self.records.get(id).cloned(), revision: present };
        }
        let unchanged = match (&request.document, self.records.get(id)) {
            (Some(new), Some(old)) => same_value(new, old),
            (None, None) => true,
            _ => false,
        };
        if !unchanged {
            *self.effects.entry(origin).or_default() += 1;
            self.put(id.clone(), request.document.clone());
        }
        Answer::Accepted { revision: self.etag(id), stored: request.document.clone() }
    }

    /// What anybody else does.
    pub fn put(&mut self, id: RecordId, document: Option<Value>) {
        let change = match &document {
            Some(value) => RemoteChange::Upsert(row(&id, value)),
            None => RemoteChange::Tombstone { id: id.clone() },
        };
        match document {
            Some(value) => self.records.insert(id, value),
            None => self.records.remove(&id),
        };
        self.log.push(change);
    }

    pub fn page(&self, after: Option<&RecordId>, limit: usize) -> (Vec<RemoteRecord>, Option<RecordId>) {
        let rows = self.records.iter().filter(|(id, _)| after.is_none_or(|after| *id > after));
        let page: Vec<RemoteRecord> = rows.take(limit).map(|(id, value)| row(id, value)).collect();
        let next = if page.len() == limit { page.last().map(|record| record.id.clone()) } else { None };
        (page, next)
    }

    pub fn everything(&self) -> Vec<RemoteRecord> {
        self.records.iter().map(|(id, value)| row(id, value)).collect()
    }
}

fn row(id: &RecordId, value: &Value) -> RemoteRecord {
    RemoteRecord { id: id.clone(), revision: None, text: value.to_string() }
}
