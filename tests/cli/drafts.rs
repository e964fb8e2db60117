//! `draft`: what was typed and not queued, from a shell.

use std::sync::Arc;

use ebbtide::{
    model::{
        draft::{DraftKey, DraftTarget, DraftWrite, Versions},
        ids::CollectionKey,
        json::Pointer,
        session::UiCommit,
        wire::{RemoteChange, RemoteRecord},
    },
    runtime::clock::SystemClock,
    store::{OpenMode, PullPage, Store},
};
use serde_json::{Value, json};

use crate::place::Place;

fn names(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn store(place: &Place) -> Store {
    Store::open(&place.path("data"), OpenMode::ReadWrite, Arc::new(SystemClock::new())).unwrap()
}

/// A draft of a task as its editor writes it.
fn typed(place: &Place, id: &str, target: DraftTarget, text: &str, base: Option<Value>) {
    let buffer = json!({"version": 1, "text": text, "caret": {"c": [0, 0]}, "scroll": [0, 0]});
    let key = DraftKey { record: CollectionKey::new("office", "tasks").record(id), target };
    let snapshot = json!({"buffer": buffer}).to_string();
    let write = DraftWrite::Snapshot { key, snapshot, base, base_revision: None, versions: Versions::new(0, 1) };
    store(place).commit_ui(&"default".into(), UiCommit { drafts: vec![write], ..UiCommit::default() }).wait().unwrap();
}

fn pull(place: &Place, change: RemoteChange) {
    let page = PullPage {
        collection: CollectionKey::new("office", "tasks"),
        changes: vec![change],
        checkpoint: None,
        sweep: None,
        stamps: None,
        at: ebbtide::model::time::Timestamp(0),
    };
    store(place).apply_page(page).wait().unwrap();
}

fn upsert(id: &str, document: &Value) -> RemoteChange {
    RemoteChange::Upsert(RemoteRecord { id: id.into(), revision: None, text: document.to_string() })
}

#[test]
fn drafts_are_listed_shown_queued_discarded_and_restored() {
    let place = Place::configured();
    assert_eq!(place.run(&["draft", "list"]).code, 0);
    let base = json!({"title": "paint", "n": 1});
    for id in ["t1", "t2", "t3"] {
        pull(&place, upsert(id, &base));
    }
    typed(&place, "t1", DraftTarget::Document, "{\"title\": \"paint it blue\", \"n\": 1}", Some(base.clone()));
    typed(&place, "t2", DraftTarget::Field(Pointer::parse("/n")), "[1,", Some(base.clone()));
    typed(&place, "t3", DraftTarget::Document, "{\"title\": \"kept\"}", Some(base));
    pull(&place, upsert("t1", &json!({"title": "paint", "n": 2})));
    pull(&place, RemoteChange::Tombstone { id: "t3".into() });

    let list = place.json(&["draft", "list"], 0);
    let shape = [
        "number",
        "source",
        "collection",
        "id",
        "what",
        "field",
        "op",
        "updated_at",
        "bytes",
        "state",
        "fields_changed",
        "valid",
        "problem",
        "first_change",
    ];
    assert_eq!(names(&list[0]), shape);
    let facts: Vec<Value> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([row["id"], row["what"], row["state"], row["valid"]]))
        .collect();
    let expected = json!([
        ["t3", "document", "gone", true],
        ["t2", "field", "steady", false],
        ["t1", "document", "base_changed", true]
    ]);
    assert_eq!(Value::from(facts), expected);
    assert_eq!((&list[1]["field"], &list[2]["fields_changed"]), (&json!("/n"), &json!(1)));
    let status: Value = serde_json::from_str(&place.run(&["status", "--json"]).stdout).unwrap();
    assert_eq!(status["drafts"], 3, "a number, as ever");
    let text = place.run(&["draft", "list", "--collection", "tasks"]).stdout;
    assert!(text.starts_with("N  RECORD") && text.contains("base changed: 1 field"), "{text}");

    let number = |row: usize| list[row]["number"].to_string();
    let shown = place.json(&["draft", "show", &number(2)], 0);
    assert_eq!(shown["text"], "{\"title\": \"paint it blue\", \"n\": 1}");
    assert_eq!(shown["changes"], json!([{"pointer": "/title", "from": "paint", "to": "paint it blue"}]));
    assert_eq!(place.run(&["draft", "show", &number(1)]).stdout, "[1,\n", "the text as it was typed");
    assert_eq!(place.run(&["draft", "show", &number(2), "--diff"]).stdout, "/title: \"paint\" -> \"paint it blue\"\n");

    assert_eq!(place.json(&["draft", "queue", &number(2)], 0)["kind"], "update");
    assert_eq!(place.json(&["get", "tasks", "t1"], 0)["local"], json!({"title": "paint it blue", "n": 2}));
    assert_eq!(place.json(&["draft", "queue", &number(0)], 0)["kind"], "create", "gone: made anew");
    let invalid = place.run(&["draft", "queue", &number(1)]);
    assert_eq!(invalid.code, 2, "{invalid:?}");
    assert!(invalid.stderr.contains("cannot be queued as it is"), "{invalid:?}");

    let discarded = place.json(&["draft", "discard", &number(1)], 0);
    assert_eq!(discarded["state"], "discarded");
    let kept = discarded["kept"].to_string();
    let missing = place.run(&["draft", "show", &number(1)]);
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("there is no draft"), "{missing:?}");
    assert_eq!(place.json(&["vault", "list"], 0)[0]["reason"], "draft_discarded");
    let version = place.json(&["vault", "show", &kept], 0);
    assert_eq!(
        (&version["document"], &version["text"], &version["what"]),
        (&Value::Null, &json!("[1,"), &json!("field"))
    );
    assert_eq!(place.run(&["vault", "show", &kept]).stdout, "[1,\n");
    assert_eq!(place.json(&["vault", "restore", &kept], 0)["state"], "draft");
    let again = place.json(&["draft", "list"], 0);
    assert_eq!(
        (again.as_array().unwrap().len(), &again[0]["id"], &again[0]["valid"]),
        (1, &json!("t2"), &json!(false))
    );
}

#[test]
fn a_draft_that_changes_what_others_changed_too_is_not_queued_over_them() {
    let place = Place::configured();
    let base = json!({"title": "paint"});
    pull(&place, upsert("t1", &base));
    typed(&place, "t1", DraftTarget::Document, "{\"title\": \"mine\"}", Some(base));
    pull(&place, upsert("t1", &json!({"title": "theirs"})));
    let refused = place.run(&["draft", "queue", "1"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("both sides changed title"), "{refused:?}");
    assert_eq!(place.json(&["get", "tasks", "t1"], 0)["local"]["title"], "theirs");
    assert_eq!(place.json(&["draft", "list"], 0).as_array().unwrap().len(), 1);
}
