//! The JSON shapes several commands share. They are a contract: members are added, never renamed or dropped.

use serde_json::{Value, json};

use crate::model::{
    conflict::Conflict,
    draft::DraftTarget,
    ids::{OpId, RecordKey, Seq},
    op::{Op, OpKind},
    record::RecordView,
    time::Timestamp,
    vault::VaultEntry,
};

pub(super) fn time(at: Timestamp) -> Value {
    Value::from(at.to_rfc3339())
}

pub(super) fn maybe_time(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, time)
}

/// An op as `outbox list` shows it.
pub(super) fn op(op: &Op) -> Value {
    let last_error = op
        .last_error
        .as_ref()
        .map(|error| json!({"at": time(error.at), "status": error.status, "message": error.message}));
    json!({
        "seq": op.seq,
        "op_id": op.op_id.to_string(),
        "source": op.record.collection.source,
        "collection": op.record.collection.collection,
        "id": op.record.id,
        "kind": op.kind.word(),
        "state": op.state.word(),
        "attempts": op.attempts,
        "created_at": time(op.created_at),
        "next_attempt_at": maybe_time(op.next_attempt_at),
        "last_error": last_error,
        "changes": op.changes,
    })
}

/// An op as `outbox show` shows it: all there is to know.
pub(super) fn whole_op(whole: &Op) -> Value {
    let mut shape = op(whole);
    let more = json!({
        "document": whole.document,
        "base": whole.base,
        "base_revision": whole.base_revision,
        "after": whole.after,
        "sent_at": maybe_time(whole.sent_at),
        "settled_at": maybe_time(whole.settled_at),
        "precondition": whole.precondition,
        "was_in_doubt": whole.was_in_doubt,
        "author": (!whole.author.is_empty()).then_some(&whole.author),
    });
    if let (Value::Object(shape), Value::Object(more)) = (&mut shape, more) {
        shape.extend(more);
    }
    shape
}

pub(super) fn record(view: &RecordView) -> Value {
    json!({
        "id": view.key.id,
        "source": view.key.collection.source,
        "collection": view.key.collection.collection,
        "local": view.local,
        "base": view.base.as_ref().map(|base| &base.document),
        "revision": view.base.as_ref().and_then(|base| base.revision.as_ref()),
        "state": view.mark.word(),
        "pending": view.ops.iter().map(|op| op.seq).collect::<Vec<Seq>>(),
        "received_at": maybe_time(view.base.as_ref().map(|base| base.received_at)),
    })
}

pub(super) fn conflict(conflict: &Conflict) -> Value {
    json!({
        "conflict": conflict.id,
        "source": conflict.record.collection.source,
        "collection": conflict.record.collection.collection,
        "id": conflict.record.id,
        "seq": conflict.seq,
        "detected_at": time(conflict.detected_at),
        "was_in_doubt": conflict.was_in_doubt,
        "base": conflict.base,
        "mine": conflict.mine,
        "theirs": conflict.theirs,
        "theirs_revision": conflict.theirs_revision,
        "resolved_at": maybe_time(conflict.resolved_at),
        "resolution": conflict.resolution.map(|take| take.word()),
    })
}

/// A kept version as `vault list` shows it.
pub(super) fn version(entry: &VaultEntry) -> Value {
    json!({
        "number": entry.id,
        "source": entry.record.collection.source,
        "collection": entry.record.collection.collection,
        "id": entry.record.id,
        "reason": entry.reason.word(),
        "at": time(entry.at),
        "revision": entry.revision,
        "hash": entry.hash,
        "size": entry.size,
    })
}

/// What a draft is of.
pub(super) fn what(target: &DraftTarget) -> &'static str {
    match target {
        DraftTarget::Document => "document",
        DraftTarget::New => "new",
        DraftTarget::Field(_) => "field",
        DraftTarget::Op(_) => "op",
    }
}

pub(super) fn queued(record: &RecordKey, kind: OpKind, seq: Seq, op_id: OpId) -> Value {
    json!({
        "seq": seq,
        "op_id": op_id.to_string(),
        "source": record.collection.source,
        "collection": record.collection.collection,
        "id": record.id,
        "kind": kind.word(),
        "state": "queued",
    })
}
