//! The model server: one collection, conditional writes, live feeds, and a count of every effect.
//!
//! Two kinds of versions, because backends differ in them: an ETag of the content (Firebase), under which a record that
//! returns to an earlier content returns to its earlier version, and opaque numbers that only grow (`_rev`,
//! `last_modified`).

use std::collections::{BTreeMap, HashMap, HashSet};

use ebbtide::model::{
    ids::{RecordId, Revision},
    json::{Fingerprint, same_value},
    op::Precondition,
    wire::{Answer, PushRequest, RemoteChange, RemoteRecord},
};
use serde_json::Value;

use crate::random::Dice;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    Content,
    Counted,
}

/// The edit a write belongs to: client, and the first op it was saved as.
pub type Origin = (usize, i64);

pub struct Server {
    versions: Versions,
    pub records: BTreeMap<RecordId, Value>,
    numbers: BTreeMap<RecordId, u64>,
    last: u64,
    /// How often the writes of an edit changed something. More than once breaks a promise.
    pub effects: HashMap<Origin, u32>,
    /// What those writes changed, each edit's last one.
    written: HashMap<Origin, Written>,
    /// Every change, in order, for the feeds.
    pub log: Vec<RemoteChange>,
    /// Every mark a record ever held here.
    pub marks: HashSet<String>,
    deleted: HashSet<RecordId>,
    /// Every content a record ever had, as its print.
    held: HashSet<(RecordId, String)>,
    /// It writes the time of every change into the record.
    pub stamps: bool,
    /// Milliseconds since 1970, as this server knows them.
    pub clock: i64,
    last_stamp: i64,
    /// Beside `log`: the stamp under which a query for the latest changes had the record.
    pub log_stamps: Vec<i64>,
    /// A server as it must not be: it applies whatever it is sent. For the test of the simulation itself.
    pub ignores_preconditions: bool,
}

/// What a write changed.
struct Written {
    id: RecordId,
    /// Members it set; none of a deletion.
    members: Vec<(String, Value)>,
    before: Option<Value>,
    /// Its client has stored the answer: sending it once more has no excuse.
    is_acknowledged: bool,
}

impl Server {
    pub fn new(versions: Versions) -> Self {
        Self {
            versions,
            records: BTreeMap::new(),
            numbers: BTreeMap::new(),
            last: 0,
            effects: HashMap::new(),
            written: HashMap::new(),
            log: Vec::new(),
            marks: HashSet::new(),
            deleted: HashSet::new(),
            held: HashSet::new(),
            stamps: false,
            clock: 0,
            last_stamp: 0,
            log_stamps: Vec::new(),
            ignores_preconditions: false,
        }
    }

    pub fn revision(&self, id: &RecordId) -> Option<Revision> {
        let value = self.records.get(id)?;
        Some(match self.versions {
            Versions::Content => Revision(print(value)),
            Versions::Counted => Revision(format!("{}-x", self.numbers.get(id).copied().unwrap_or(0))),
        })
    }

    /// A conditional write on behalf of `origin`.
    pub fn write(&mut self, request: &PushRequest, origin: Origin) -> Answer {
        let id = &request.record.id;
        let present = self.revision(id);
        let holds = match &request.precondition {
            Precondition::Absent => present.is_none(),
            Precondition::Revision(revision) => present.as_ref() == Some(revision),
        };
        if !holds && !self.ignores_preconditions {
            return Answer::PreconditionFailed { current: self.records.get(id).cloned(), revision: present };
        }
        let unchanged = match (&request.document, self.records.get(id)) {
            (Some(new), Some(old)) => same_value(&plain(new), &plain(old)),
            (None, None) => true,
            _ => false,
        };
        if !unchanged {
            *self.effects.entry(origin).or_default() += 1;
            let members = changed(self.records.get(id), request.document.as_ref());
            let is_acknowledged = self.is_acknowledged(origin);
            let before = self.records.get(id).cloned();
            self.written.insert(origin, Written { id: id.clone(), members, before, is_acknowledged });
            // A, B, A by somebody else: whoever made B cannot tell that it ever was.
            let returns =
                request.document.as_ref().is_none_or(|new| self.held.contains(&(id.clone(), print(&plain(new)))));
            if returns {
                self.forget_effects(id, Some(origin.0));
            }
            self.forget_overwritten(id, request.document.as_ref(), origin.0);
            self.put(id.clone(), request.document.clone());
        }
        Answer::Accepted { revision: self.revision(id), stored: self.records.get(id).cloned() }
    }

    /// A record deleted by somebody else is as if it had never been: whoever is in doubt about having made it makes it
    /// again, and nobody can tell (page 3: A, B, A by somebody else).
    pub fn forget_effects(&mut self, id: &RecordId, by: Option<usize>) {
        let written = &self.written;
        let is_of = |origin: &Origin| written.get(origin).is_some_and(|written| written.id == *id);
        self.effects.retain(|origin, _| Some(origin.0) == by || !is_of(origin));
    }

    /// Where somebody's version takes the place of another's whole, nothing is left that could tell the other, who waits for
    /// an answer, that theirs had been there: they are refused as if it never had, and bring it in again. So it is with a
    /// member that somebody sets back to what it was before: A, B, A at one place.
    fn forget_overwritten(&mut self, id: &RecordId, document: Option<&Value>, by: usize) {
        let here = |name: &str| document.and_then(|document| document.get(name));
        let written = &self.written;
        self.effects.retain(|origin, _| {
            let Some(written) = written.get(origin).filter(|written| written.id == *id && origin.0 != by) else {
                return true;
            };
            let is_left = |(name, value): &(String, Value)| here(name) == Some(value);
            let is_back = |(name, _): &(String, Value)| {
                let before = written.before.as_ref().and_then(|before| before.get(name));
                before.is_some() && here(name) == before
            };
            let (members, left) = (&written.members, written.members.iter().any(is_left));
            written.is_acknowledged || members.is_empty() || (left && !members.iter().any(is_back))
        });
    }

    pub fn is_acknowledged(&self, origin: Origin) -> bool {
        self.written.get(&origin).is_some_and(|written| written.is_acknowledged)
    }

    /// The client of an edit has stored that it was applied.
    pub fn acknowledge(&mut self, origin: Origin) {
        if let Some(written) = self.written.get_mut(&origin) {
            written.is_acknowledged = true;
        }
    }

    /// What anybody else does.
    pub fn put(&mut self, id: RecordId, mut document: Option<Value>) {
        self.last += 1;
        if self.stamps
            && let Some(members) = document.as_mut().and_then(Value::as_object_mut)
        {
            self.last_stamp = self.clock.max(self.last_stamp + 1);
            members.insert(STAMP.to_owned(), Value::from(self.last_stamp));
        }
        let before = self.records.get(&id).and_then(stamp);
        self.log_stamps.push(document.as_ref().and_then(stamp).or(before).unwrap_or(0));
        self.numbers.insert(id.clone(), self.last);
        match document {
            Some(value) => {
                self.held.insert((id.clone(), print(&plain(&value))));
                self.marks.extend(value.as_object().into_iter().flat_map(|members| members.keys().cloned()));
                self.records.insert(id.clone(), value);
                self.log.push(RemoteChange::Upsert(self.row(&id).expect("it was just written")));
            }
            None => {
                self.records.remove(&id);
                self.deleted.insert(id.clone());
                self.log.push(RemoteChange::Tombstone { id });
            }
        }
    }

    /// A text the record had before, where that is told from the first time it had it.
    pub fn earlier(&self, id: &RecordId, dice: &mut Dice) -> Option<Value> {
        let present = self.records.get(id).filter(|_| self.tells_repeats())?;
        let texts = self.log.iter().filter_map(|change| match change {
            RemoteChange::Upsert(row) if row.id == *id => serde_json::from_str::<Value>(&row.text).ok(),
            _ => None,
        });
        let texts: Vec<Value> =
            texts.map(|text| plain(&text)).filter(|text| !same_value(text, &plain(present))).collect();
        dice.pick(&texts)
    }

    /// True where a request that arrives a second time can never be mistaken for a new one.
    pub fn tells_repeats(&self) -> bool {
        self.versions == Versions::Counted
    }

    pub fn was_deleted(&self, id: &RecordId) -> bool {
        self.deleted.contains(id)
    }

    /// Everything is gone, and no feed is told. What is made again from then on is made once more.
    pub fn wipe(&mut self) {
        self.records.clear();
        self.effects.clear();
    }

    pub fn page(&self, after: Option<&RecordId>, limit: usize) -> (Vec<RemoteRecord>, Option<RecordId>) {
        let ids = self.records.keys().filter(|id| after.is_none_or(|after| *id > after));
        let page: Vec<RemoteRecord> = ids.take(limit).filter_map(|id| self.row(id)).collect();
        let next = if page.len() == limit { page.last().map(|record| record.id.clone()) } else { None };
        (page, next)
    }

    /// What changed since a stamp, that one included, the oldest change first.
    pub fn since(&self, since: i64, limit: usize) -> Vec<RemoteRecord> {
        let mut found: Vec<(i64, &RecordId)> = self
            .records
            .iter()
            .filter_map(|(id, value)| Some((stamp(value).filter(|stamp| *stamp >= since)?, id)))
            .collect();
        found.sort();
        found.into_iter().take(limit).filter_map(|(_, id)| self.row(id)).collect()
    }

    /// The newest record up to a stamp.
    pub fn newest(&self, until: i64) -> Vec<RemoteRecord> {
        let stamped = self.records.iter().filter_map(|(id, value)| Some((stamp(value).filter(|at| *at <= until)?, id)));
        stamped.max().and_then(|(_, id)| self.row(id)).into_iter().collect()
    }

    pub fn everything(&self) -> Vec<RemoteRecord> {
        self.records.keys().filter_map(|id| self.row(id)).collect()
    }

    /// A record as readings of the collection bring it: Firebase tells no ETag with them.
    fn row(&self, id: &RecordId) -> Option<RemoteRecord> {
        let revision = self.revision(id).filter(|_| self.versions == Versions::Counted);
        Some(RemoteRecord { id: id.clone(), revision, text: self.records.get(id)?.to_string() })
    }
}

/// The members of a document that the one before did not have, or had otherwise.
fn changed(before: Option<&Value>, after: Option<&Value>) -> Vec<(String, Value)> {
    let members = after.and_then(Value::as_object).into_iter().flatten();
    let is_new = |(name, value): &(&String, &Value)| before.and_then(|before| before.get(*name)) != Some(*value);
    members.filter(is_new).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The field such a server writes.
pub const STAMP: &str = "at";

fn stamp(value: &Value) -> Option<i64> {
    value.get(STAMP).and_then(Value::as_i64)
}

/// What people wrote of a record.
pub fn plain(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(members) = value.as_object_mut() {
        members.shift_remove(STAMP);
    }
    value
}

fn print(value: &Value) -> String {
    Fingerprint::of(value).to_hex()
}
