//! The late original: a request that got no answer may still be under way after its repeat has settled the op. It does
//! harm only where its precondition comes true again (create, then delete; edit, then revert on a content ETag), so
//! for a while nothing that would bring that state back is sent, and the record is read once after.
//!
//! **Invariant:** a guard is on disk from the transaction that ends the doubt until the record was read after its time.

use std::{collections::HashMap, time::Duration};

use serde_json::Value;

use crate::{
    model::{
        ids::RecordKey,
        op::{LateOriginal, Op, Precondition},
        source::SourceKind,
        time::{At, Timestamp},
    },
    sync::policy,
};

/// How long after an episode in doubt a late original is still feared.
pub const LATE_ORIGINAL: Duration = Duration::from_secs(120);

/// Why an op waits, said at the op.
pub(super) const REASON: &str = "waits: an earlier request of this record got no answer and may still arrive; what it was made on must not come back";

#[derive(Default)]
pub(super) struct Late {
    feared: HashMap<RecordKey, Vec<Feared>>,
    /// Records whose next op is held back, until then (monotonic).
    held: HashMap<RecordKey, Duration>,
    /// The time is over, the look at the record is not.
    over: HashMap<RecordKey, Timestamp>,
}

struct Feared {
    content: Option<Value>,
    until: Timestamp,
    /// The same by the monotonic clock, which nobody sets.
    ends: Duration,
}

impl Late {
    /// From now on.
    pub(super) fn fear(&mut self, at: &At, guard: &LateOriginal) {
        let left = guard.until.since(at.wall).min(LATE_ORIGINAL);
        let feared = Feared { content: guard.content.clone(), until: guard.until, ends: at.mono + left };
        self.feared.entry(guard.record.clone()).or_default().push(feared);
    }

    /// Still, as an earlier run wrote it down: for the whole time again. How much of it has passed is known by the clock on
    /// the wall only, which may have been set meanwhile.
    pub(super) fn fear_still(&mut self, at: &At, guard: &LateOriginal) {
        let until = guard.until.max(at.wall.plus(LATE_ORIGINAL));
        self.fear(at, &LateOriginal { until, ..guard.clone() });
    }

    /// Holds the record's next op back where `document` is what a late original waits for: until when.
    pub(super) fn hold(&mut self, kind: SourceKind, record: &RecordKey, document: Option<&Value>) -> Option<Timestamp> {
        let restores = |guard: &&Feared| policy::same(kind, document, guard.content.as_ref());
        let last = self.feared.get(record)?.iter().filter(restores).max_by_key(|guard| guard.ends)?;
        self.held.insert(record.clone(), last.ends);
        Some(last.until)
    }

    pub(super) fn held(&self) -> impl Iterator<Item = &RecordKey> {
        self.held.keys()
    }

    pub(super) fn is_held(&self, record: &RecordKey) -> bool {
        self.held.contains_key(record)
    }

    /// The outbox is not what it was: perhaps what is to be sent now restores nothing.
    pub(super) fn reconsider(&mut self) {
        self.held.clear();
    }

    /// When the first op held back may go.
    pub(super) fn next_end(&self) -> Option<Duration> {
        self.held.values().min().copied()
    }

    pub(super) fn wake_at(&self) -> Option<Duration> {
        self.feared.values().flatten().map(|guard| guard.ends).min()
    }

    /// The records for which a guard ended by `now`: to be read once.
    pub(super) fn pass(&mut self, now: Duration) -> Vec<RecordKey> {
        let mut over = Vec::new();
        self.feared.retain(|record, guards| {
            for guard in guards.extract_if(.., |guard| guard.ends <= now) {
                let last = self.over.entry(record.clone()).or_insert(guard.until);
                *last = guard.until.max(*last);
                over.push(record.clone());
            }
            !guards.is_empty()
        });
        over.dedup();
        self.held.retain(|_, ends| *ends > now);
        over
    }

    /// The record was read: the end of its guards that are over, where there were any.
    pub(super) fn look_done(&mut self, record: &RecordKey) -> Option<Timestamp> {
        self.over.remove(record)
    }
}

/// What has to be guarded after the doubt about `op` ends at `at`.
pub(super) fn feared(op: &Op, at: Timestamp) -> Option<LateOriginal> {
    let precondition = op.precondition.clone()?;
    let content = match precondition {
        Precondition::Absent => None,
        Precondition::Revision(_) => op.base.clone(),
    };
    Some(LateOriginal { record: op.record.clone(), precondition, content, until: at.plus(LATE_ORIGINAL) })
}
