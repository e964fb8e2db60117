//! Everything that works with no network at all, and the shape of each JSON document.

use std::{io::Read, os::unix::fs::PermissionsExt, process::Stdio};

use serde_json::{Value, json};

use crate::place::{CONFIG, Place};

/// The names of an object's members.
fn names(value: &Value) -> Vec<&str> {
    value.as_object().unwrap_or_else(|| panic!("an object: {value}")).keys().map(String::as_str).collect()
}

fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T')
}

#[test]
fn an_edit_made_offline_is_queued_and_shown() {
    let place = Place::configured();
    let queued = place.json(&["put", "tasks", "t1", r#"{"title":"paint","n":9007199254740993}"#], 0);
    assert_eq!(names(&queued), ["seq", "op_id", "source", "collection", "id", "kind", "state"]);
    assert_eq!((&queued["kind"], &queued["state"], &queued["seq"]), (&json!("create"), &json!("queued"), &json!(1)));
    let got = place.json(&["get", "tasks", "t1"], 0);
    let shape = ["id", "source", "collection", "local", "base", "revision", "state", "pending", "received_at"];
    assert_eq!(names(&got), shape);
    assert_eq!(got["local"].to_string(), r#"{"title":"paint","n":9007199254740993}"#);
    assert_eq!((&got["base"], &got["revision"], &got["state"]), (&Value::Null, &Value::Null, &json!("new")));
    assert_eq!(got["pending"], json!([1]));
    assert_eq!(place.json(&["patch", "tasks", "t1", r#"{"n":null,"status":"done"}"#], 0)["kind"], "update");
    assert_eq!(place.json(&["get", "tasks", "t1"], 0)["local"], json!({"title":"paint","status":"done"}));
    let unchanged = place.json(&["put", "tasks", "t1", r#"{"status":"done","title":"paint"}"#], 0);
    assert_eq!(unchanged["state"], "unchanged");
    assert_eq!(place.json(&["delete", "office/tasks", "t1"], 0)["kind"], "delete");
    assert_eq!(place.run(&["get", "tasks", "t1"]).code, 1);
    assert_eq!(place.json(&["outbox", "list"], 0).as_array().unwrap().len(), 3);
}

#[test]
fn a_version_in_the_vault_is_listed_shown_compared_and_restored() {
    let place = Place::configured();
    place.run(&["put", "tasks", "t1", r#"{"title":"paint","n":1}"#]);
    place.run(&["put", "tasks", "t1", r#"{"title":"paint it blue","n":1}"#]);
    place.run(&["put", "people", "p1", r#"{"name":"Ana"}"#]);
    assert_eq!(place.run(&["outbox", "discard", "2"]).code, 0);
    assert_eq!(place.run(&["outbox", "discard", "3"]).code, 0);
    let list = place.json(&["vault", "list"], 0);
    let shape = ["number", "source", "collection", "id", "reason", "at", "revision", "hash", "size"];
    assert_eq!(names(&list[0]), shape);
    assert!(is_time(&list[0]["at"]), "{list}");
    assert_eq!((&list[0]["id"], &list[1]["id"], &list[1]["reason"]), (&json!("p1"), &json!("t1"), &json!("discarded")));
    let cut = place.run(&["vault", "list", "--limit", "1"]);
    assert!(cut.stderr.contains("the newest 1 only; more with --limit"), "{cut:?}");
    assert_eq!(place.run(&["vault", "list", "--limit", "2"]).stderr, "", "those are all");
    let one = place.json(&["vault", "list", "--collection", "tasks", "--id", "t1"], 0);
    assert_eq!(one.as_array().unwrap().len(), 1);
    assert_eq!(one[0]["size"], r#"{"title":"paint it blue","n":1}"#.len());
    let shown = place.json(&["vault", "show", "1"], 0);
    assert_eq!(shown["document"], json!({"title":"paint it blue","n":1}));
    assert_eq!(shown["changes"], json!([{"pointer": "/title", "from": "paint", "to": "paint it blue"}]));
    assert_eq!(place.run(&["vault", "show", "1", "--diff"]).stdout, "/title: \"paint\" -> \"paint it blue\"\n");
    assert_eq!(place.json(&["vault", "restore", "1"], 0)["kind"], "update");
    assert_eq!(place.json(&["get", "tasks", "t1"], 0)["local"]["title"], "paint it blue");
    assert_eq!(place.json(&["vault", "restore", "1"], 0)["state"], "unchanged");
    assert_eq!(place.json(&["vault", "restore", "2"], 0)["kind"], "create", "the record is made anew where it is gone");
    let missing = place.run(&["vault", "show", "9"]);
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("the vault has no version 9"), "{missing:?}");
    let text = place.run(&["vault", "list"]).stdout;
    assert!(text.starts_with("N  RECORD"), "{text}");
}

#[test]
fn the_outbox_is_listed_in_the_promised_shape() {
    let place = Place::configured();
    place.run(&["put", "tasks", "t1", r#"{"a":1,"b":{"c":2}}"#]);
    place.run(&["patch", "tasks", "t1", r#"{"a":2,"b":{"c":null,"d":3}}"#]);
    let list = place.json(&["outbox", "list"], 0);
    let op = &list[1];
    let shape = [
        "seq",
        "op_id",
        "source",
        "collection",
        "id",
        "kind",
        "state",
        "attempts",
        "created_at",
        "next_attempt_at",
        "last_error",
        "changes",
    ];
    assert_eq!(names(op), shape);
    assert_eq!((&op["seq"], &op["attempts"], &op["last_error"]), (&json!(2), &json!(0), &Value::Null));
    assert!(is_time(&op["created_at"]), "{op}");
    assert_eq!(
        op["changes"],
        json!([
            {"pointer": "/a", "from": 1, "to": 2},
            {"pointer": "/b/c", "from": 2},
            {"pointer": "/b/d", "to": 3},
        ])
    );
    let shown = place.json(&["outbox", "show", "2"], 0);
    assert_eq!(shown["document"], json!({"a":2,"b":{"d":3}}));
    assert_eq!(shown["after"], 1);
    let text = place.run(&["outbox", "list"]).stdout;
    assert!(
        text.starts_with("SEQ  STATE   EDIT    RECORD    TRIES  AGE  WHAT\n1    queued  create  tasks/t1"),
        "{text}"
    );
}

#[test]
fn edits_are_held_released_and_discarded() {
    let place = Place::configured();
    place.run(&["put", "tasks", "t1", r#"{"a":1}"#]);
    place.run(&["put", "tasks", "t2", r#"{"a":1}"#]);
    assert_eq!(place.json(&["outbox", "hold", "1"], 0), json!({"changed": [1]}));
    assert_eq!(place.json(&["outbox", "list", "--state", "held"], 0)[0]["seq"], 1);
    assert_eq!(place.json(&["status"], 3)["outbox"]["held"], 1);
    assert_eq!(place.json(&["outbox", "release", "--all"], 0), json!({"changed": [1]}));
    assert_eq!(place.json(&["outbox", "retry", "1", "2"], 0), json!({"changed": [1, 2]}));
    assert_eq!(place.json(&["outbox", "discard", "1"], 0), json!({"changed": [1]}));
    assert_eq!(place.json(&["outbox", "list"], 0).as_array().unwrap().len(), 1);
    assert_eq!(place.json(&["outbox", "list", "--state", "discarded"], 0)[0]["seq"], 1);
    assert_eq!(place.run(&["get", "tasks", "t1"]).code, 1, "its record is gone with it");
    assert_eq!(place.run(&["outbox", "hold", "99"]).code, 1);
}

#[test]
fn status_has_the_promised_shape_and_exit_codes() {
    let place = Place::configured();
    let status = place.json(&["status"], 0);
    assert_eq!(names(&status), ["sources", "outbox", "forced_offline", "drafts", "conflicts"]);
    let source = &status["sources"][0];
    let shape = [
        "name",
        "kind",
        "url",
        "read_only",
        "paused",
        "connectivity",
        "push",
        "spent_today",
        "daily_budget",
        "account",
        "collections",
    ];
    assert_eq!(names(source), shape);
    assert_eq!(names(&source["connectivity"]), ["state", "since", "last_known", "evidence"]);
    assert_eq!(source["connectivity"]["state"], "unknown", "nobody looked");
    for member in ["name", "records", "checkpoint", "last_pull", "phase", "pending", "drafts", "conflicts"] {
        assert!(source["collections"][0].get(member).is_some(), "{member}");
    }
    let counts = ["pending", "queued", "held", "blocked", "in_flight", "in_doubt", "auth", "conflict", "rejected"];
    assert_eq!(names(&status["outbox"]), counts);
    place.run(&["put", "tasks", "t1", r#"{"a":1}"#]);
    let status = place.json(&["status"], 3);
    assert_eq!((&status["outbox"]["pending"], &status["outbox"]["queued"]), (&json!(1), &json!(1)));
    assert_eq!(status["sources"][0]["collections"][0]["records"], 1);
}

#[test]
fn a_record_is_named_in_two_words_or_in_one() {
    let place = Place::configured();
    assert_eq!(place.json(&["put", "tasks/t1", r#"{"title": "a/b"}"#], 0)["id"], "t1");
    assert_eq!(place.json(&["patch", "office/tasks/t1", r#"{"done": true}"#], 0)["kind"], "update");
    assert_eq!(place.json(&["get", "tasks/t1"], 0)["local"], json!({"title": "a/b", "done": true}));
    let run = place.run(&["get", "tsks/t1"]);
    assert!(run.code == 2 && run.stderr.contains("no collection `tsks`"), "{run:?}");
    assert_eq!(place.json(&["delete", "tasks/t1"], 0)["state"], "queued");
    assert!(place.run(&["get", "tasks"]).stderr.contains("<ID>"), "one word that is no record");
}

#[test]
fn lists_are_paged_and_filtered() {
    let place = Place::configured();
    let lines: String = (0..25)
        .map(|n| {
            json!({"id": format!("t{n:02}"), "value": {"title": format!("task {n}"), "odd": n % 2 == 1}}).to_string()
                + "\n"
        })
        .collect();
    let run = place.run_with(&["import", "tasks", "-", "--json"], &lines);
    assert_eq!(run.code, 0, "{run:?}");
    let page = place.json(&["list", "tasks", "--limit", "10"], 0);
    assert_eq!(names(&page), ["source", "collection", "total", "matching", "records", "next", "partial", "last_pull"]);
    assert_eq!(page["records"].as_array().unwrap().len(), 10);
    assert_eq!((&page["total"], &page["next"]), (&json!(25), &json!("t09")));
    assert_eq!(page["records"][3], json!({"id": "t03", "state": "new", "local": {"title": "task 3", "odd": true}}));
    let rest = place.json(&["list", "tasks", "--after", "t19"], 0);
    assert_eq!(rest["records"].as_array().unwrap().len(), 5);
    assert_eq!(rest["next"], Value::Null);
    let odd = place.json(&["list", "tasks", "--filter", "odd:true"], 0);
    assert_eq!(odd["records"].as_array().unwrap().len(), 12);
    let found = place.json(&["search", "task 7"], 0);
    assert_eq!(names(&found[0]), ["source", "collection", "id", "snippet"]);
    let text = place.run(&["list", "tasks", "--limit", "2"]).stdout;
    assert_eq!(text, "   ID   TITLE   STATUS\n+  t00  task 0\n+  t01  task 1\n");
    let none = |args: &[&str], why: &str| {
        let run = place.run(&[&["list", "tasks"], args].concat());
        assert_eq!((run.stdout.as_str(), run.stderr.trim()), ("", why), "{args:?}");
    };
    none(&["--filter", "zzzz "], "none of 25 records matches `zzzz`");
    none(&["--after", "z"], "nothing follows `z`");
    let outbox = place.run(&["outbox", "list"]).stdout;
    assert!(
        outbox.lines().nth(1).unwrap().contains(r#""title":"task 0""#),
        "a creation is told by its record: {outbox}"
    );
}

#[test]
fn a_collection_that_was_never_synced_is_not_taken_for_an_empty_one() {
    let place = Place::configured();
    for words in [&["list", "tasks"][..], &["export", "tasks"]] {
        let run = place.run(words);
        assert!(run.code == 0 && run.stderr.contains("`office/tasks` was never synced"), "{words:?}: {run:?}");
    }
    assert_eq!(place.json(&["list", "tasks"], 0)["last_pull"], Value::Null);
}

#[test]
fn edits_are_named_from_one_to_another() {
    let place = Place::configured();
    for n in 1..=6 {
        place.run(&["put", "tasks", &format!("t{n}"), r#"{"a":1}"#]);
    }
    assert_eq!(place.json(&["outbox", "discard", "2-4", "6"], 0)["changed"], json!([2, 3, 4, 6]));
    assert_eq!(place.json(&["outbox", "hold", "1-99"], 0)["changed"], json!([1, 5]), "what waits");
    for (words, said) in [("2-4", "no edit from 2 to 4 waits"), ("4-2", "write a number"), ("x", "write a number")] {
        let run = place.run(&["outbox", "discard", words]);
        assert!(run.code == 2 && run.stderr.contains(said), "{words}: {run:?}");
    }
}

#[test]
fn no_step_is_taken_back_below_a_newer_edit_of_its_record() {
    let place = Place::configured();
    place.run(&["put", "tasks", "t1", r#"{"title":"one"}"#]);
    place.run(&["outbox", "discard", "1"]);
    place.run(&["put", "tasks", "t1", r#"{"title":"two"}"#]);
    let run = place.run(&["outbox", "undo"]);
    assert!(run.code == 1 && run.stderr.contains("discard op 2 first"), "{run:?}");
    assert_eq!(place.json(&["get", "tasks/t1"], 0)["pending"], json!([2]));
    place.run(&["outbox", "discard", "2"]);
    assert_eq!(place.json(&["outbox", "undo"], 0)["changed"], json!([2]));
    place.run(&["outbox", "discard", "2"]);
    // The steps before it are still there.
    place.run(&["outbox", "undo"]);
    place.run(&["put", "tasks", "t2", r#"{"title":"other"}"#]);
    place.run(&["outbox", "discard", "2"]);
    assert_eq!(
        place.json(&["outbox", "undo"], 0)["changed"],
        json!([2]),
        "an edit of another record is in nobody's way"
    );
}

#[test]
fn an_unchanged_table_changes_nothing_and_a_changed_cell_keeps_its_kind() {
    let place = Place::configured();
    let records = json!({
        "t1": {"title": "one", "qty": 10, "done": true, "meta": {"by": "ann", "n": 1}, "code": "007", "rate": -0.5},
        "t2": {"title": "=two", "id": "t2", "tags": ["a", "b"], "note": "", "mixed": 1},
        "t3": {"title": "three", "note": "x", "mixed": "1"},
    });
    place.write("in.json", &records.to_string());
    place.run(&["import", "tasks", "in.json"]);
    place.write("out.csv", &place.run(&["export", "tasks", "--format", "csv"]).stdout);
    let tally = place.json(&["import", "tasks", "out.csv"], 0);
    assert_eq!((&tally["unchanged"], &tally["read"]), (&json!(3), &json!(3)), "{}", place.read("out.csv"));
    let table =
        place.read("out.csv").replace("10", "11").replace("true", "false").replace("007", "8").replace("-0.5", "much");
    place.write("changed.csv", &table);
    assert_eq!(place.json(&["import", "tasks", "changed.csv"], 0)["updated"], 1, "{table}");
    let mut expected = records["t1"].clone();
    expected.as_object_mut().unwrap().extend(
        [("qty", json!(11)), ("done", json!(false)), ("code", json!("8")), ("rate", json!("much"))]
            .map(|(name, value)| (name.to_owned(), value)),
    );
    assert_eq!(place.json(&["get", "tasks/t1"], 0)["local"], expected);
    place.write("new.csv", "id,title,qty,done,tags,mixed,other\nt9,7,12.5,true,\"[\"\"c\"\"]\",2,3\n");
    place.run(&["import", "tasks", "new.csv"]);
    let as_the_others = json!({"title": "7", "qty": 12.5, "done": true, "tags": ["c"], "mixed": "2", "other": "3"});
    assert_eq!(place.json(&["get", "tasks/t9"], 0)["local"], as_the_others);
    place.write("other.csv", "name,qty\nx,1\n");
    let run = place.run(&["import", "tasks", "other.csv"]);
    assert!(run.code == 2 && run.stderr.contains("first column is not `id`"), "{run:?}");
}

/// On standard error, so that what reads the list is not in its way.
#[test]
fn a_filter_with_nothing_to_look_for_or_an_unknown_mark_says_so() {
    let place = Place::configured();
    place.run(&["put", "tasks", "t1", r#"{"title": "one"}"#]);
    let run = place.run(&["list", "tasks", "--filter", "..."]);
    assert_eq!((run.code, run.stdout.lines().count()), (0, 2), "{run:?}");
    assert!(run.stderr.contains("no letter or digit"), "{run:?}");
    let run = place.run(&["list", "tasks", "--filter", "is:bogus"]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.lines().count()), (0, "", 1), "{run:?}");
    assert!(run.stderr.contains("`is:bogus` is no mark") && run.stderr.contains("conflict"), "{run:?}");
    let quiet = place.run(&["list", "tasks", "--filter", "one"]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""), "{quiet:?}");
}

#[test]
fn what_is_exported_is_imported_as_it_was() {
    let place = Place::configured();
    let seed: Value = serde_json::from_str(include_str!("../../assets/demo/seed.json")).unwrap();
    place.write("vessels.json", &seed["vessels"].to_string());
    let tally = place.json(&["import", "tasks", "vessels.json"], 0);
    let shape = json!({"source": "office", "collection": "tasks", "read": 120, "created": 120, "updated": 0,
        "unchanged": 0, "skipped": 0});
    assert_eq!(tally, shape);
    for format in ["json", "ndjson"] {
        let export = place.run(&["export", "tasks", "--format", format]);
        assert_eq!(export.code, 0, "{export:?}");
        let name = format!("out.{format}");
        place.write(&name, &export.stdout);
        assert_eq!(place.json(&["import", "tasks", &name], 0)["unchanged"], 120, "{format}");
        let copied = Place::configured();
        copied.write(&name, &export.stdout);
        copied.run(&["import", "people", &name]);
        assert_eq!(copied.run(&["export", "people", "--format", format]).stdout, export.stdout, "{format}");
    }
    let exported: Value = serde_json::from_str(&place.read("out.json")).unwrap();
    assert_eq!(exported, seed["vessels"]);
    let csv = place.run(&["export", "tasks", "--format", "csv"]).stdout;
    assert_eq!(csv::Reader::from_reader(csv.as_bytes()).records().map(Result::unwrap).count(), 120);
}

#[test]
fn what_went_through_a_csv_keeps_its_ids_and_texts() {
    let place = Place::configured();
    for text in ["-5 degrees", "'=quoted", "=1+1", "plain, with \"quotes\""] {
        place.write("one.ndjson", &json!({"t": text}).to_string());
        place.run(&["import", "tasks", "one.ndjson", "--new-ids"]);
    }
    let before = place.run(&["export", "tasks", "--format", "csv"]).stdout;
    place.write("out.csv", &before);
    let again = Place::configured();
    again.write("out.csv", &before);
    assert_eq!(again.json(&["import", "tasks", "out.csv", "--id", "id"], 0)["created"], 4);
    let ids = |place: &Place| {
        let listed = place.json(&["list", "tasks"], 0)["records"].clone();
        let rows = listed.as_array().unwrap().iter();
        rows.map(|row| (row["id"].clone(), row["local"]["t"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(ids(&again), ids(&place));
}

#[test]
fn a_csv_names_the_ids_apart_from_a_field_of_that_name() {
    let place = Place::configured();
    let round = |records: &[(&str, Value)], column: &str| {
        let place = Place::configured();
        let lines: Vec<String> =
            records.iter().map(|(id, value)| json!({"id": id, "value": value}).to_string()).collect();
        place.write("in.ndjson", &lines.join("\n"));
        place.json(&["import", "tasks", "in.ndjson"], 0);
        place.write("out.csv", &place.run(&["export", "tasks", "--format", "csv"]).stdout);
        let again = Place::configured();
        again.write("out.csv", &place.read("out.csv"));
        let tally = again.json(&["import", "tasks", "out.csv", "--id", column], 0);
        assert_eq!(tally["created"], records.len(), "{}", place.read("out.csv"));
        again
    };
    let same = [("a", json!({"id": "a", "n": "1"})), ("b", json!({"id": "b", "n": "2"}))];
    let again = round(&same, "id");
    assert_eq!(again.json(&["get", "tasks", "b"], 0)["local"], same[1].1);
    let other = [("a", json!({"id": "x", "value": "v"})), ("s", json!("scalar"))];
    let again = round(&other, "_id");
    assert_eq!(again.json(&["get", "tasks", "a"], 0)["local"]["id"], "x");
    place.write("empty.csv", "");
    assert_eq!(place.json(&["import", "tasks", "empty.csv", "--id", "id"], 0)["read"], 0);
}

#[test]
fn a_deletion_can_be_asked_for_twice() {
    let place = Place::configured();
    place.run(&["put", "tasks", "t1", "{\"a\":1}"]);
    place.run(&["outbox", "hold", "--all"]);
    assert_eq!(place.json(&["delete", "tasks", "t1"], 0)["state"], "queued");
    assert_eq!(place.json(&["delete", "tasks", "t1"], 0)["state"], "unchanged");
    place.run(&["outbox", "hold", "2"]);
    let held = place.run(&["delete", "tasks", "t1"]);
    assert!(held.code == 1 && held.stderr.contains("op 2 is held"), "nothing would be sent: {held:?}");
}

#[test]
fn imports_take_ids_from_a_field_or_make_them() {
    let place = Place::configured();
    place.write("a.json", r#"[{"key":"x","n":1},{"key":7,"n":2}]"#);
    assert_eq!(place.json(&["import", "tasks", "a.json", "--id", "key"], 0)["created"], 2);
    assert_eq!(place.json(&["get", "tasks", "7"], 0)["local"], json!({"key":7,"n":2}));
    place.write("b.ndjson", "{\"key\":\"x\",\"n\":3}\n{\"key\":\"y\",\"n\":4}\n");
    let tally = place.json(&["import", "tasks", "b.ndjson", "--id", "/key", "--skip-existing"], 0);
    assert_eq!((&tally["created"], &tally["skipped"]), (&json!(1), &json!(1)));
    assert_eq!(place.json(&["import", "tasks", "b.ndjson", "--id", "/key"], 0)["updated"], 1);
    assert_eq!(place.json(&["import", "people", "a.json", "--new-ids"], 0)["created"], 2);
    place.write("c.csv", "id,name\nc1,Ann\nc2,\n");
    assert_eq!(place.json(&["import", "people", "c.csv", "--id", "id"], 0)["created"], 2);
    assert_eq!(place.json(&["get", "people", "c1"], 0)["local"], json!({"id":"c1","name":"Ann"}));
    place.write("twice.ndjson", "{\"id\":\"z\",\"value\":{\"n\":1}}\n{\"id\":\"z\",\"value\":{\"n\":2}}\n");
    let tally = place.json(&["import", "tasks", "twice.ndjson"], 0);
    assert_eq!((&tally["created"], &tally["updated"]), (&json!(1), &json!(1)), "the later one wins, as an edit");
}

#[test]
fn records_are_read_from_standard_input_and_files() {
    let place = Place::configured();
    assert_eq!(place.run_with(&["put", "tasks", "t1", "-"], "\u{feff}{\"a\": [1, 2]}\n").code, 0);
    place.write("r.json", "{\"b\": true}");
    assert_eq!(place.run(&["put", "tasks", "t2", "@r.json"]).code, 0);
    assert_eq!(place.json(&["get", "tasks", "t1"], 0)["local"], json!({"a": [1, 2]}));
    assert_eq!(place.json(&["get", "tasks", "t2"], 0)["local"], json!({"b": true}));
    assert_eq!(place.run(&["put", "tasks", "-Nxyz", "{\"c\": 1}"]).code, 0, "push ids begin with a hyphen");
    assert_eq!(place.run(&["get", "tasks", "-Nxyz"]).stdout, "{\n  \"c\": 1\n}\n");
}

#[test]
fn what_a_terminal_must_not_see_is_made_visible() {
    let place = Place::configured();
    place.run(&["put", "tasks", "t1", r#"{"title":"a\u001b[2Jb\u202ec"}"#]);
    let text = place.run(&["list", "tasks"]).stdout;
    assert!(!text.contains(['\u{1b}', '\u{202e}']) && text.contains("a␛[2Jb"), "{text:?}");
    let exact = place.json(&["get", "tasks", "t1"], 0);
    assert_eq!(exact["local"]["title"], "a\u{1b}[2Jb\u{202e}c", "--json is exact");
}

#[test]
fn init_writes_a_private_configuration_and_adds_to_one() {
    let place = Place::new();
    let made = place.json(&["init", "http://127.0.0.1:9/?ns=x", "--collection", "tasks"], 0);
    assert_eq!(made, json!({"config": "config.toml", "source": "local", "collections": ["tasks"]}));
    let mode = std::fs::metadata(place.path("config.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    place.write("config.toml", &format!("# mine\n{CONFIG}"));
    let more = ["init", "https://tides.example.org", "--kind", "firebase", "--token-env", "TIDES_TOKEN"];
    assert_eq!(place.json(&[&more[..], &["--collection", "teams/7/tasks"]].concat(), 0)["source"], "tides");
    let text = place.read("config.toml");
    assert!(
        text.starts_with("# mine\n[[source]]\nname = \"office\"") && text.contains("path = \"teams/7/tasks\""),
        "{text}"
    );
    assert_eq!(place.json(&["status"], 0)["sources"][1]["name"], "tides");
    let example = place.run(&["init", "--example"]);
    place.write("config.toml", &example.stdout);
    assert_eq!(place.run(&["status"]).code, 0, "the example is a configuration");
}

#[test]
fn doctor_and_paths_say_where_things_are_and_how_they_are() {
    let place = Place::configured();
    let paths = place.json(&["paths"], 0);
    assert_eq!(
        names(&paths),
        ["config", "data_dir", "journal", "mirror", "search", "backups", "log", "emergency", "demo"]
    );
    assert_eq!(paths["journal"], "data/journal.db");
    assert!(!place.path("data").exists());
    place.run(&["put", "tasks", "t1", r#"{"a":1}"#]);
    std::fs::set_permissions(place.path("config.toml"), PermissionsExt::from_mode(0o600)).unwrap();
    let report = place.json(&["doctor"], 0);
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(names(&report["checks"][0]), ["check", "result", "detail", "hint"]);
    assert!(report["checks"].as_array().unwrap().iter().all(|check| check["result"] == "ok"), "{report}");
    for entry in std::fs::read_dir(place.path("data")).unwrap().flatten() {
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{entry:?}");
    }
    place.write("config.toml", "[ui]\nmose = 1\n");
    let report = place.json(&["doctor"], 1);
    assert_eq!((&report["ok"], &report["checks"][0]["result"]), (&json!(false), &json!("problem")));
}

#[test]
fn looking_at_a_copy_touches_nothing() {
    let place = Place::configured();
    place.run(&["put", "tasks", "t1", r#"{"a":1}"#]);
    let before: Vec<_> = listing(&place);
    assert_eq!(place.json(&["--read-only", "get", "tasks", "t1"], 0)["local"], json!({"a":1}));
    assert_eq!(place.json(&["outbox", "list", "--read-only"], 0).as_array().unwrap().len(), 1);
    assert_eq!(listing(&place), before);
}

fn listing(place: &Place) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(place.path("data")).unwrap().flatten();
    let mut names: Vec<(String, u64)> =
        entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len())).collect();
    names.sort();
    names
}

#[test]
fn no_sessions_and_no_conflicts_are_empty_lists() {
    let place = Place::configured();
    assert_eq!(place.json(&["session", "list"], 0), json!([]));
    assert_eq!(place.json(&["conflicts", "list"], 0), json!([]));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::configured();
    let seed: Value = serde_json::from_str(include_str!("../../assets/demo/seed.json")).unwrap();
    place.write("customers.json", &seed["customers"].to_string());
    assert_eq!(place.run(&["import", "tasks", "customers.json"]).code, 0);
    let mut child = place.command(&["export", "tasks"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 64];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(0), String::new()));
}

#[test]
fn errors_are_json_where_that_was_asked_for() {
    let place = Place::configured();
    let run = place.run(&["get", "tasks", "t9", "--json"]);
    let error: Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!(names(&error), ["error", "caused_by", "hint"]);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
}

#[test]
fn the_log_is_a_file_in_the_data_dir_and_can_be_asked_for_more() {
    let place = Place::configured();
    let run = place.command(&["get", "tasks", "t9"]).env("EBBTIDE_LOG", "debug").output().unwrap();
    assert_eq!(run.status.code(), Some(1));
    let entry = std::fs::read_dir(place.path("data/log")).unwrap().next().unwrap().unwrap();
    let text = std::fs::read_to_string(entry.path()).unwrap();
    assert!(text.contains("there is no record"), "{text}");
}
