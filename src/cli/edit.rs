//! `put`, `patch`, `delete`: edits that are queued durably, like any edit made on the screen, offline or not.

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    DONE, Outcome, check, output,
    output::talk,
    records,
    report::Failure,
    shapes,
    world::{self, Target, World},
};
use crate::{
    model::{
        document::Document,
        edit::{self, Change},
        ids::OpId,
        json::same_value,
        op::{NewOp, OpKind, OpState},
        record::RecordView,
        source::SourceSpec,
        sync_status::SyncRequest,
        time::At,
    },
    store::{QueueEdit, Store},
};

/// Create or replace a record
///
/// The edit is queued on disk and sent when the server can be reached; exit code 0 means that it is queued.
#[derive(Debug, Args)]
#[command(after_long_help = QUEUED_SHAPE)]
pub(super) struct PutArgs {
    #[command(flatten)]
    place: Place,
    /// The record: JSON, `-` for standard input, or @FILE
    #[arg(value_name = "JSON|-|@FILE", allow_hyphen_values = true)]
    document: String,
}

/// Change parts of a record by a merge patch (RFC 7386)
///
/// Members of the patch replace those of the record, null removes one, objects are merged.
#[derive(Debug, Args)]
#[command(after_long_help = QUEUED_SHAPE)]
pub(super) struct PatchArgs {
    #[command(flatten)]
    place: Place,
    /// The patch: JSON, `-` for standard input, or @FILE
    #[arg(value_name = "MERGE-PATCH|-|@FILE", allow_hyphen_values = true)]
    patch: String,
}

/// Delete a record
#[derive(Debug, Args)]
#[command(after_long_help = QUEUED_SHAPE)]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Place {
    /// The collection, or source/collection
    #[arg(value_name = "C")]
    collection: String,
    /// The id of the record; `C/ID` in one word will do as well
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    id: String,
}

pub(super) const QUEUED_SHAPE: &str = "\
JSON:
  {\"seq\", \"op_id\", \"source\", \"collection\", \"id\", \"kind\": create|update|delete, \"state\": \"queued\"}
  or {\"source\", \"collection\", \"id\", \"state\": \"unchanged\"} where the record is as asked already";

pub(super) fn put(world: &World, args: &PutArgs) -> Outcome {
    let document = check::read_argument(&args.document)?;
    change(world, &args.place, |target, _| {
        check::id(&args.place.id)?;
        check::document(target, &args.place.id, &document).map(Some)
    })
}

pub(super) fn patch(world: &World, args: &PatchArgs) -> Outcome {
    let patch = check::read_argument(&args.patch)?;
    if !patch.is_object() {
        return Err(Failure::usage("a merge patch is a JSON object")
            .hint("for example '{\"status\": \"done\", \"due\": null}'; `ebbtide put` replaces a whole record"));
    }
    change(world, &args.place, |target, view| {
        let Some(local) = &view.local else {
            let missing = records::missing(target, &args.place.id);
            return Err(missing.hint("`ebbtide put` creates a record"));
        };
        let mut document = Value::clone(local);
        merge_patch(&mut document, &patch);
        check::document(target, &args.place.id, &document).map(Some)
    })
}

pub(super) fn delete(world: &World, args: &DeleteArgs) -> Outcome {
    change(world, &args.place, |target, view| match (&view.local, view.ops.last()) {
        (Some(_), _) => Ok(None),
        // Deleted here already, which the server hears of by itself.
        (None, Some(op)) if !matches!(op.state, OpState::Rejected | OpState::Conflict | OpState::Held) => Ok(None),
        (None, Some(op)) => {
            let (collection, state) = (&target.collection.name, op.state.label());
            let text = format!("`{collection}/{}` is deleted here, but op {} is {state}", args.place.id, op.seq);
            Err(Failure::failed(text).hint(format!("`ebbtide outbox show {}` says more", op.seq)))
        }
        (None, None) => Err(records::missing(target, &args.place.id)),
    })
}

/// Queues what `wanted` makes of the record as it stands (`None`: delete it).
fn change(
    world: &World,
    place: &Place,
    wanted: impl FnOnce(&Target<'_>, &RecordView) -> Result<Option<Value>, Failure>,
) -> Outcome {
    let config = world.config()?;
    let target = world::find(&config, &place.collection)?;
    target.check_writable()?;
    let store = world.store()?;
    let view = store.reader()?.shown(&target.key().record(place.id.as_str()))?;
    let document = wanted(&target, &view)?;
    let Some(op) = new_op(&world.at(), view, document, author(target.source)) else {
        if world.json {
            let (source, collection) = (&target.source.name, &target.collection.name);
            let state = "unchanged";
            output::json(&json!({"source": source, "collection": collection, "id": place.id, "state": state}))?;
        }
        talk(&format!("{}/{} is that already; nothing was queued", target.collection.name, place.id));
        return Ok(DONE);
    };
    let (record, kind, places) = (op.record.clone(), op.kind, op.changes.len());
    let queued = store
        .queue(QueueEdit { op, draft: None, session: None, activity: None })
        .wait()
        .map_err(|error| Failure::store("the edit was not queued", error))?;
    wake(&store, world)?;
    if world.json {
        output::json(&shapes::queued(&record, kind, queued.seq, queued.op_id))?;
    }
    let what = match kind {
        OpKind::Update => format!(" ({})", output::count(places as u64, "change")),
        OpKind::Create | OpKind::Delete => String::new(),
    };
    talk(&format!("queued as {}: {} {record}{what}", queued.seq, kind.word()));
    Ok(DONE)
}

/// Tells the process that carries the sync, if there is one, that there is something to send.
pub(super) fn wake(store: &Store, world: &World) -> Result<(), Failure> {
    Ok(store.request(SyncRequest::OutboxChanged, world.now()).wait()?)
}

/// The edit that makes `document` of a record as it stands; `None` where nothing would change.
pub(super) fn new_op(at: &At, view: RecordView, document: Option<Value>, author: String) -> Option<NewOp> {
    let kind = match (&view.local, &document) {
        (None, None) => return None,
        (None, Some(_)) => OpKind::Create,
        (Some(_), None) => OpKind::Delete,
        (Some(local), Some(document)) if same_value(local, document) => return None,
        (Some(_), Some(_)) => OpKind::Update,
    };
    let changes: Vec<Change> = edit::diff(view.local.as_deref(), document.as_ref());
    Some(NewOp {
        op_id: OpId::new(at),
        record: view.key,
        kind,
        changes,
        document,
        base: view.local.map(Document::into_value),
        base_revision: view.base.and_then(|base| base.revision),
        created_at: at.wall,
        author,
    })
}

/// Whom edits of a source are made as, where the configuration says; else the journal stamps who was signed in last.
pub(super) fn author(source: &SourceSpec) -> String {
    source.user.clone().unwrap_or_default()
}

/// RFC 7386.
fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(object) = target else { unreachable!("made an object just above") };
    for (name, value) in members {
        match value {
            Value::Null => {
                object.shift_remove(name);
            }
            value => merge_patch(object.entry(name.clone()).or_insert(Value::Null), value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of RFC 7386, appendix A.
    #[test]
    fn merge_patches_do_what_the_standard_says() {
        for (target, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"a":"foo"}), json!(null), json!(null)),
            (json!({"a":"foo"}), json!("bar"), json!("bar")),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            let mut got = target.clone();
            merge_patch(&mut got, &patch);
            assert_eq!(got, result, "{target} + {patch}");
        }
    }
}
