//! Every kind of trouble is said in words with a hint, and ends with the exit code of the contract.

use crate::place::{CONFIG, Place, assert_text, html_server, transcript};

/// Runs the words in the place and compares all that is printed with the snapshot.
fn shows(name: &str, place: &Place, args: &[&str], code: i32) {
    let run = place.run(args);
    assert_eq!(run.code, code, "{name}: {run:?}");
    assert_eq!(run.stdout, "", "{name}: trouble is talk, not data");
    assert_text!("errors", name, transcript(args, &run));
}

fn config(name: &str, text: &str) {
    let place = Place::new();
    place.write("config.toml", text);
    shows(name, &place, &["list", "tasks"], 2);
}

#[test]
fn a_configuration_with_several_errors_reports_them_all() {
    config(
        "config-several-errors",
        "[ui]\nmose = true\n\n[[source]]\nname = \"office\"\nkind = \"couchdb\"\nurl = \"ftp://office\"\n\n[sync]\n\
         parallel = \"four\"\nprobe_every = \"soon\"\n",
    );
    let place = Place::new();
    place.write("config.toml", "[ui]\nmose = true\nglyph = \"ascii\"\n");
    shows("config-several-errors-as-json", &place, &["--json", "status"], 2);
}

#[test]
fn an_unknown_key_names_the_nearest_one() {
    config("config-unknown-key", &CONFIG.replace("columns", "colums"));
}

#[test]
fn a_bad_url_is_shown_with_a_good_one() {
    config("config-bad-url", &CONFIG.replace("http://127.0.0.1:1/", "office dot example"));
    config("config-plain-http", &CONFIG.replace("http://127.0.0.1:1/", "http://office.example/"));
}

#[test]
fn a_secret_in_the_configuration_is_refused_with_advice() {
    config("config-secret", &CONFIG.replace("[[source.collection]]\nname = \"people\"", "token = \"abc\""));
    config("config-secret-in-auth", &CONFIG.replace("kind", "auth = { token = \"abc\" }\nkind"));
}

#[test]
fn what_is_no_toml_is_reported_at_its_place() {
    config("config-no-toml", "[[source]]\nname = \"office\nkind = \"firebase\"\n");
}

#[test]
fn bad_json_is_reported_at_its_place_and_nothing_is_queued() {
    let place = Place::configured();
    shows("put-bad-json", &place, &["put", "tasks", "t1", "{\"title\": }"], 2);
    shows("put-bad-json-as-json", &place, &["put", "tasks", "t1", "{\"a\":1,\"a\":2}", "--json"], 2);
    place.write("record.json", "{\n  \"title\": \"no end\n}\n");
    shows("put-bad-json-in-a-file", &place, &["put", "tasks", "t1", "@record.json"], 2);
    shows("put-missing-file", &place, &["put", "tasks", "t1", "@nowhere.json"], 1);
    shows("patch-no-object", &place, &["patch", "tasks", "t1", "[1]"], 2);
    assert_eq!(place.json(&["outbox", "list"], 0), serde_json::json!([]));
}

#[test]
fn what_the_server_would_refuse_is_refused_when_it_is_saved() {
    let place = Place::configured();
    shows("put-forbidden-key", &place, &["put", "tasks", "t1", "{\"meta\": {\"a.b\": 1}}"], 2);
    shows("put-forbidden-id", &place, &["put", "tasks", "a/b", "{\"a\": 1}"], 2);
    let deep = format!("{}1{}", "{\"a\":".repeat(40), "}".repeat(40));
    place.write("deep.json", &deep);
    shows("put-too-deep", &place, &["put", "tasks", "t1", "@deep.json"], 2);
    place.write("long.json", &format!("{{\"text\": \"{}\"}}", "x".repeat((10 << 20) + 1)));
    shows("put-too-long-a-text", &place, &["put", "tasks", "t1", "@long.json"], 2);
    place.write("huge.json", &format!("[\"{}\"]", "x".repeat(17 << 20)));
    shows("put-too-large", &place, &["put", "tasks", "t1", "@huge.json"], 2);
    shows("put-nothing-left", &place, &["put", "tasks", "t1", "{\"a\": null}"], 2);
    assert_eq!(place.json(&["outbox", "list"], 0), serde_json::json!([]));
}

#[test]
fn an_unknown_collection_names_the_nearest_one() {
    let place = Place::configured();
    shows("collection-unknown", &place, &["list", "taks"], 2);
    shows("collection-unknown-far-off", &place, &["export", "boats"], 2);
    let empty = Place::new();
    empty.write("config.toml", "");
    shows("collection-none-configured", &empty, &["list", "tasks"], 2);
    let twice = CONFIG.to_owned() + &CONFIG.replace("office", "yard");
    place.write("config.toml", &twice);
    shows("collection-ambiguous", &place, &["list", "tasks"], 2);
}

#[test]
fn a_read_only_source_takes_no_edits() {
    let place = Place::new();
    place.write("config.toml", &CONFIG.replace("kind", "read_only = true\nkind"));
    shows("source-read-only", &place, &["put", "tasks", "t1", "{\"a\":1}"], 2);
}

#[test]
fn the_dashboard_needs_a_terminal() {
    let place = Place::configured();
    shows("not-a-terminal", &place, &[], 2);
    shows("not-a-terminal-demo", &place, &["demo"], 2);
    shows("dashboard-as-json", &place, &["--json"], 2);
}

#[test]
fn options_of_the_dashboard_belong_to_it() {
    let place = Place::configured();
    shows("session-before-the-command", &place, &["--session", "a", "status"], 2);
    shows("session-bad-name", &place, &["--session", "../a"], 2);
    shows("usage-unknown-command", &place, &["stauts"], 2);
    shows("usage-as-json", &place, &["--json", "lst"], 2);
}

#[test]
fn a_data_dir_that_cannot_be_written_is_named() {
    let place = Place::configured();
    shows("data-dir-not-writable", &place, &["--data-dir", "/proc/ebbtide", "put", "tasks", "t1", "{\"a\":1}"], 1);
    place.write("file", "");
    shows("data-dir-is-a-file", &place, &["--data-dir", "file", "put", "tasks", "t1", "{\"a\":1}"], 1);
}

#[test]
fn a_journal_of_a_newer_version_is_left_alone() {
    let place = Place::configured();
    assert_eq!(place.run(&["put", "tasks", "t1", "{\"a\":1}"]).code, 0);
    let journal = rusqlite::Connection::open(place.path("data/journal.db")).unwrap();
    journal.pragma_update(None, "user_version", 999).unwrap();
    drop(journal);
    shows("journal-newer", &place, &["put", "tasks", "t2", "{\"a\":1}"], 2);
}

#[test]
fn a_damaged_journal_is_never_treated_as_empty() {
    let place = Place::configured();
    std::fs::create_dir(place.path("data")).unwrap();
    place.write("data/journal.db", &"this was a journal once\n".repeat(300));
    shows("journal-damaged", &place, &["put", "tasks", "t1", "{\"a\":1}"], 2);
    shows("journal-damaged-as-json", &place, &["--json", "outbox", "list"], 2);
    let kept = std::fs::read_dir(place.path("data/damaged")).unwrap().next().unwrap().unwrap();
    assert_eq!(std::fs::read(kept.path()).unwrap(), std::fs::read(place.path("data/journal.db")).unwrap());
    assert_eq!(place.run(&["doctor"]).code, 1);
}

#[test]
fn a_journal_another_program_holds_is_said_to_be_locked() {
    let place = Place::configured();
    assert_eq!(place.run(&["put", "tasks", "t1", "{\"a\":1}"]).code, 0);
    let journal = rusqlite::Connection::open(place.path("data/journal.db")).unwrap();
    journal.execute_batch("BEGIN EXCLUSIVE").unwrap();
    shows("journal-locked", &place, &["put", "tasks", "t2", "{\"a\":1}"], 1);
    journal.execute_batch("ROLLBACK").unwrap();
    assert_eq!(place.run(&["put", "tasks", "t2", "{\"a\":1}"]).code, 0);
}

/// Needs a file system of its own, so it runs in a user namespace; where those are forbidden it says so and passes.
#[test]
fn on_a_full_disk_edits_go_on_from_the_held_back_space_and_then_are_refused_with_nothing_lost() {
    let place = Place::configured();
    let can = std::process::Command::new("unshare").args(["-Urm", "true"]).status();
    if !can.is_ok_and(|status| status.success()) {
        eprintln!("no user namespaces here: not tested");
        return;
    }
    place.write("big.json", &format!("{{\"a\": \"{}\"}}", "x".repeat(3_000_000)));
    let script = "mkdir small && mount -t tmpfs -o size=16m tmpfs small && export EBBTIDE_DATA_DIR=small/data
        \"$0\" put tasks t1 '{\"a\":1}' || exit 10
        dd if=/dev/zero of=small/fill bs=1k 2>/dev/null
        \"$0\" put tasks t2 '{\"a\":2}' || exit 11
        for n in 1 2 3 4 5; do \"$0\" put tasks big$n @big.json 2>said || break; done
        cat said
        \"$0\" get tasks t2 || exit 12
        rm small/fill
        \"$0\" put tasks t3 '{\"a\":3}' || exit 13
        \"$0\" outbox list | cut -c 1-40";
    let mut command = place.command(&[]);
    let envs: Vec<_> = command.get_envs().map(|(name, value)| (name.to_owned(), value.unwrap().to_owned())).collect();
    let binary = command.get_program().to_owned();
    command = std::process::Command::new("unshare");
    command.args(["-Urm", "sh", "-c", script]).arg(binary).current_dir(place.path("")).envs(envs);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_text!("errors", "disk-full", text);
}

#[test]
fn changing_something_read_only_is_refused() {
    let place = Place::configured();
    shows("read-only", &place, &["--read-only", "put", "tasks", "t1", "{\"a\":1}"], 2);
    shows("read-only-backup", &place, &["--read-only", "journal", "backup"], 2);
    let init =
        ["--read-only", "init", "http://127.0.0.1:1", "--kind", "firebase", "--collection", "c", "--name", "other"];
    shows("read-only-init", &place, &init, 2);
}

#[test]
fn what_is_not_there_is_said_not_to_be() {
    let place = Place::configured();
    shows("get-missing", &place, &["get", "tasks", "t9"], 1);
    shows("delete-missing", &place, &["delete", "tasks", "t9"], 1);
    shows("patch-missing", &place, &["patch", "tasks", "t9", "{\"a\":1}"], 1);
    shows("outbox-missing", &place, &["outbox", "show", "99"], 1);
    shows("outbox-bad-state", &place, &["outbox", "list", "--state", "sleeping"], 2);
    shows("conflict-missing", &place, &["conflicts", "show", "c9"], 1);
    shows("session-missing", &place, &["session", "delete", "nights"], 1);
}

#[test]
fn an_import_with_a_bad_line_queues_nothing() {
    let place = Place::configured();
    place.write("a.ndjson", "{\"id\":\"a\",\"value\":{\"n\":1}}\n{\"id\":\"b\",\"value\":{\"n\":}}\n");
    shows("import-bad-line", &place, &["import", "tasks", "a.ndjson"], 2);
    place.write("b.json", "[\n{\"title\": \"no id\"}\n]");
    shows("import-no-ids", &place, &["import", "tasks", "b.json"], 2);
    shows("import-no-such-id", &place, &["import", "tasks", "b.json", "--id", "/key"], 2);
    place.write("c.ndjson", "{\"id\":\"a\",\"value\":{\"n\":1}}\n{\"id\":\"a#b\",\"value\":{\"n\":2}}\n");
    shows("import-forbidden-id", &place, &["import", "tasks", "c.ndjson"], 2);
    shows("import-missing-file", &place, &["import", "tasks", "nowhere.json"], 1);
    assert_eq!(place.json(&["outbox", "list"], 0), serde_json::json!([]));
}

#[test]
fn serve_is_not_opened_to_others_without_a_token() {
    let place = Place::new();
    shows("serve-open-to-others", &place, &["serve", "--listen", "0.0.0.0:0"], 2);
    shows("serve-empty-token", &place, &["serve", "--token-env", "NO_SUCH_TOKEN"], 2);
    shows("serve-bad-address", &place, &["serve", "--listen", "nine"], 2);
    place.write("seed.json", "{\"tasks\": ");
    shows("serve-bad-seed", &place, &["serve", "--seed", "seed.json"], 2);
}

#[test]
fn init_writes_nothing_wrong() {
    let place = Place::configured();
    let kind = ["--kind", "firebase"];
    shows("init-bad-url", &place, &[&["init", "office.example"][..], &kind].concat(), 2);
    shows("init-duplicate", &place, &[&["init", "https://b.example", "--name", "office"][..], &kind].concat(), 2);
    shows("init-unknown-kind", &place, &["init", "https://b.example", "--kind", "couchdb"], 2);
    shows("init-secret-in-url", &place, &[&["init", "https://b.example/?auth=abc"][..], &kind].concat(), 2);
    shows("init-bad-name", &place, &[&["init", "https://b.example", "--name", "a b"][..], &kind].concat(), 2);
    assert_eq!(place.read("config.toml"), CONFIG);
}

#[test]
fn a_sync_needs_a_source_and_the_network() {
    let place = Place::new();
    shows("config-not-there", &place, &["sync"], 2);
    place.write("config.toml", "");
    shows("sync-nothing-configured", &place, &["sync"], 2);
    shows("sync-offline", &Place::configured(), &["sync", "--offline"], 2);
}

#[test]
fn an_unreachable_server_is_named_with_its_evidence() {
    shows("sync-unreachable", &Place::configured(), &["sync"], 1);
    let place = Place::configured();
    assert_eq!(place.run(&["put", "tasks", "t1", "{\"a\":1}"]).code, 0);
    shows("sync-unreachable-with-an-edit", &place, &["sync"], 1);
    assert_eq!(place.json(&["status"], 3)["outbox"]["pending"], 1, "nothing is lost");
}

#[test]
fn a_server_that_speaks_html_is_recognised() {
    let place = Place::new();
    place.write("config.toml", &CONFIG.replace("http://127.0.0.1:1/", &html_server()));
    assert_eq!(place.run(&["put", "tasks", "t1", "{\"a\":1}"]).code, 0);
    shows("sync-html", &place, &["sync"], 1);
    assert_eq!(place.json(&["status"], 3)["outbox"]["pending"], 1, "nothing is lost");
}

#[test]
fn without_a_home_both_places_must_be_named() {
    let place = Place::new();
    let mut command = place.command(&["paths"]);
    let output = command.env_remove("HOME").env_remove("EBBTIDE_CONFIG").output().unwrap();
    // Where the user database knows a home, that one is taken.
    assert!(matches!(output.status.code(), Some(0 | 2)), "{output:?}");
}

#[test]
fn a_usage_error_in_json_names_what_is_missing_and_where_it_is_explained() {
    let place = Place::configured();
    shows("missing-argument-as-json", &place, &["outbox", "hold", "--json"], 2);
    shows("impossible-value-as-json", &place, &["guard", "answer", "tasks", "bogus", "--json"], 2);
}

#[test]
fn an_error_in_the_middle_of_a_document_prints_no_part_of_it() {
    let place = Place::configured();
    shows("plan-of-nothing-as-json", &place, &["outbox", "plan", "999", "--json"], 1);
}

#[test]
fn a_file_that_was_cut_off_queues_nothing() {
    let place = Place::configured();
    place.write("cut.csv", "id,title\na,whole\nb,\"cut off he");
    shows("import-cut-csv", &place, &["import", "tasks", "cut.csv", "--id", "id"], 2);
    place.write("twice.csv", "id,a,a\nx,1,2\n");
    shows("import-csv-with-a-column-twice", &place, &["import", "tasks", "twice.csv", "--id", "id"], 2);
    assert_eq!(place.json(&["outbox", "list"], 0), serde_json::json!([]));
}

#[test]
fn a_hint_can_be_pasted_whatever_the_id_is() {
    let place = Place::configured();
    shows("put-null-with-a-hostile-id", &place, &["put", "tasks", "x;rm -rf y", "null"], 2);
}
