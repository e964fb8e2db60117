//! Copies of the journal, a damaged one, and what `doctor --repair` does.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::place::Place;

fn put(place: &Place, id: &str) {
    assert_eq!(place.run(&["put", "tasks", id, r#"{"title":"mine"}"#]).code, 0);
}

fn ids(place: &Place) -> Vec<String> {
    let ops = place.json(&["outbox", "list"], 0);
    ops.as_array().unwrap().iter().map(|op| op["id"].as_str().unwrap().to_owned()).collect()
}

/// Overwrites the first page, which holds the schema.
fn damage(place: &Place) {
    let path = place.path("data/journal.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..4096].fill(0xee);
    std::fs::write(&path, bytes).unwrap();
}

fn sql(place: &Place, statements: &str) {
    rusqlite::Connection::open(place.path("data/journal.db")).unwrap().execute_batch(statements).unwrap();
}

/// The checks of a doctor that did not come out `ok`.
fn findings(place: &Place, args: &[&str], code: i32) -> Vec<(String, String, String)> {
    let found = place.json(args, code);
    let text = |check: &Value, name: &str| check[name].as_str().unwrap_or_default().to_owned();
    let checks = found["checks"].as_array().unwrap().iter().filter(|check| check["result"] != "ok");
    checks.map(|check| (text(check, "check"), text(check, "result"), text(check, "detail"))).collect()
}

#[test]
fn a_copy_is_made_listed_and_put_back() {
    let place = Place::configured();
    put(&place, "t1");
    let made = place.json(&["journal", "backup", "copy.db"], 0);
    assert_eq!(made["backup"], "copy.db");
    assert_eq!(std::fs::metadata(place.path("copy.db")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(place.run(&["journal", "backup", "copy.db"]).code, 1, "nothing is overwritten");
    let own = place.run(&["journal", "backup"]);
    assert!(own.code == 0 && own.stdout.starts_with("data/backups/journal-"), "{own:?}");
    let listed = place.json(&["journal", "list"], 0);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["backup"], own.stdout.trim());
    put(&place, "t2");
    let restored = place.json(&["journal", "restore", "copy.db"], 0);
    assert_eq!((&restored["restored"], &restored["salvaged"]), (&json!("copy.db"), &Value::Null));
    assert_eq!(ids(&place), ["t1"]);
    // What was there is kept, and can be put back too.
    let kept = restored["kept"].as_str().unwrap();
    assert_eq!(place.run(&["journal", "restore", kept]).code, 0);
    assert_eq!(ids(&place), ["t1", "t2"]);
    assert_eq!(place.run(&["doctor"]).code, 0);
    assert_eq!(place.run(&["journal", "restore", "nowhere.db"]).code, 1);
    assert_eq!(place.run(&["journal", "restore", "config.toml"]).code, 2);
    assert_eq!(place.run(&["journal", "restore", "copy.db", "--read-only"]).code, 2);
    assert_eq!(ids(&place), ["t1", "t2"]);
}

#[test]
fn a_damaged_journal_is_saved_by_the_next_command_which_says_so() {
    let place = Place::configured();
    put(&place, "t1");
    put(&place, "t2");
    damage(&place);
    let before = findings(&place, &["doctor"], 1);
    assert!(before.iter().any(|(check, result, _)| check == "data" && result == "problem"), "{before:?}");
    assert!(!place.path("data/damaged").exists(), "doctor changes nothing");
    let run = place.run(&["outbox", "list"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("was damaged") && run.stderr.contains("2 waiting edits"), "{run:?}");
    assert!(run.stderr.contains("data/damaged/journal-"), "{run:?}");
    assert_eq!(ids(&place), ["t1", "t2"]);
    assert!(place.run(&["outbox", "list"]).stderr.is_empty(), "said once");
    assert_eq!(place.run(&["doctor"]).code, 0);
}

#[test]
fn a_salvage_can_be_asked_for_and_begun_anew_where_nothing_is_left() {
    let place = Place::configured();
    put(&place, "t1");
    let salvaged = place.json(&["journal", "salvage"], 0)["salvaged"].clone();
    assert_eq!((&salvaged["complete"], &salvaged["edits"]), (&json!(true), &json!(1)), "{salvaged}");
    assert_eq!(ids(&place), ["t1"]);
    place.write("data/journal.db", "nothing of a journal");
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(place.path(&format!("data/journal.db{suffix}")));
    }
    let refused = place.run(&["journal", "salvage"]);
    assert!(refused.code == 2 && refused.stderr.contains("--begin-anew"), "{refused:?}");
    assert_eq!(place.json(&["journal", "salvage", "--begin-anew"], 0), json!({"salvaged": null}));
    assert_eq!(ids(&place), Vec::<String>::new());
}

#[test]
fn doctor_repairs_what_needs_no_decision_and_says_what_it_did() {
    let place = Place::configured();
    for id in ["t1", "t2", "t3", "t4"] {
        put(&place, id);
    }
    sql(
        &place,
        "UPDATE ops SET state = 'conflict' WHERE record = 't1';
         UPDATE ops SET state = 'in_flight', attempts = 1 WHERE record = 't2';
         UPDATE ops SET settled_at = 5 WHERE record = 't3';
         DELETE FROM shadow WHERE record = 't4';
         UPDATE op_counts SET n = 77;
         INSERT INTO conflicts (collection, key, record, seq, detected_at, was_in_doubt, mine, theirs)
         SELECT collection, key, record, 99, 1, 0, '{\"title\":\"lost\"}', NULL FROM ops WHERE record = 't4';",
    );
    std::fs::set_permissions(place.path("data/mirror.db"), std::fs::Permissions::from_mode(0o644)).unwrap();
    place.write("data/journal.db.new", "half");
    std::fs::create_dir(place.path("data/emergency")).unwrap();
    let draft = json!({"draft": {"record": {"collection": {"source": "office", "collection": "tasks"}, "id": "t9"},
                                 "target": "document"}});
    let line = |more: Value| {
        let mut draft = draft.clone();
        draft.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        draft
    };
    let first = json!({"drafts": [line(json!({"snapshot": "half a wo"}))], "session": []});
    let both = json!({"drafts": [line(json!({"snapshot": "half a wo"})), line(json!({"edit": "[9,\"rd\"]"}))],
                      "session": []});
    place.write("data/emergency/default.jsonl", &format!("{first}\n{both}\n{{\"torn"));
    let journal = std::fs::read(place.path("data/journal.db")).unwrap();
    let before = findings(&place, &["doctor"], 1);
    assert!(before.len() >= 4, "{before:?}");
    assert_eq!(std::fs::read(place.path("data/journal.db")).unwrap(), journal, "nothing is changed without --repair");
    assert!(place.path("data/journal.db.new").exists() && place.path("data/emergency/default.jsonl").exists());
    let done = findings(&place, &["doctor", "--repair"], 0);
    let details: Vec<&str> =
        done.iter().filter(|(_, result, _)| result == "repaired").map(|(_, _, detail)| detail.as_str()).collect();
    for wanted in [
        "closed to others",
        "1 half-made file",
        "state and time of settling",
        "in conflict without the conflict",
        "conflict without an edit closed",
        "derived tables",
        "brought back 1 draft",
        "marked in doubt",
    ] {
        assert!(details.iter().any(|detail| detail.contains(wanted)), "{wanted}: {details:#?}");
    }
    // Once is enough.
    assert_eq!(findings(&place, &["doctor", "--repair"], 0), []);
    assert_eq!(findings(&place, &["doctor"], 0), []);
    let states: Vec<(String, String)> = place
        .json(&["outbox", "list"], 0)
        .as_array()
        .unwrap()
        .iter()
        .map(|op| (op["id"].as_str().unwrap().to_owned(), op["state"].as_str().unwrap().to_owned()))
        .collect();
    let wanted = [("t1", "queued"), ("t2", "in_doubt"), ("t3", "queued"), ("t4", "queued")];
    assert_eq!(states, wanted.map(|(id, state)| (id.to_owned(), state.to_owned())));
    let status = place.json(&["status"], 3);
    assert_eq!(status["outbox"]["pending"], 4);
    assert_eq!(place.json(&["vault", "list"], 0)[0]["id"], "t4");
    let drafts = rusqlite::Connection::open(place.path("data/journal.db")).unwrap();
    let (text, edits): (String, i64) = drafts
        .query_row("SELECT snapshot, (SELECT count(*) FROM draft_edits) FROM drafts WHERE record = 't9'", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!((text.as_str(), edits), ("half a wo", 1), "the last whole line holds all of it, once");
}

#[test]
fn a_value_of_the_wrong_kind_is_named_and_a_salvage_sets_its_row_aside() {
    let place = Place::configured();
    put(&place, "t1");
    put(&place, "t2");
    sql(&place, "UPDATE ops SET op_id = x'00' WHERE record = 't1'");
    let found = findings(&place, &["doctor"], 1);
    assert!(found.iter().any(|(.., detail)| detail.contains("`ops`") && detail.contains("`op_id`")), "{found:?}");
    assert_eq!(ids(&place).len(), 2, "it is shown");
    let salvaged = place.json(&["journal", "salvage"], 0)["salvaged"].clone();
    assert_eq!((&salvaged["edits"], &salvaged["unread_rows"]), (&json!(1), &json!(1)), "{salvaged}");
    let kept = std::fs::read_to_string(salvaged["unread"].as_str().map(|path| place.path(path)).unwrap()).unwrap();
    assert!(kept.contains("\"t1\"") && kept.contains("mine"), "{kept}");
    assert_eq!(ids(&place), ["t2"]);
    assert_eq!(findings(&place, &["doctor"], 0), []);
}
