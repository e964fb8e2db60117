//! The whole way from the command line: serve, init, sync, edit with the server gone, sync again, compare.

use serde_json::{Value, json};

use crate::place::{Place, Serve};

fn begin(collections: &[&str]) -> (Place, Serve) {
    let place = Place::new();
    place.write("seed.json", include_str!("../../assets/demo/seed.json"));
    let serve = place.serve(&["--seed", "seed.json", "--data", "server.db"]);
    init(&place, &serve.url, collections);
    (place, serve)
}

fn init(place: &Place, url: &str, collections: &[&str]) {
    let mut words = vec!["init", url, "--kind", "firebase", "--name", "harbour"];
    words.extend(collections.iter().flat_map(|name| ["--collection", name]));
    let run = place.run(&words);
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn edits_made_while_the_server_is_gone_arrive_when_it_is_back() {
    let (place, serve) = begin(&["vessels", "visits"]);
    let synced = place.json(&["sync"], 0);
    assert_eq!(synced["sources"][0]["collections"][0]["records"], 120, "{synced}");
    assert_eq!(synced["sources"][0]["connectivity"]["state"], "online");
    let id = "9100000";
    let before = place.json(&["get", "vessels", id], 0);
    assert_eq!((&before["state"], &before["local"]), (&json!("synced"), &before["base"]));
    let port = serve.port().to_owned();
    assert_eq!(serve.terminate(), 0, "TERM stops it cleanly");

    place.json(&["patch", "vessels", id, r#"{"flag":"🇨🇱"}"#], 0);
    place.json(&["put", "vessels", "new-one", r#"{"name":"Offline"}"#], 0);
    place.json(&["delete", "vessels", "9100037"], 0);
    assert_eq!(place.json(&["status"], 3)["outbox"]["pending"], 3);
    let failed = place.run(&["sync"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.stderr.contains("your 3 edits are kept"), "{failed:?}");
    assert_eq!(place.json(&["get", "vessels", id], 0)["local"]["flag"], "🇨🇱");

    let serve = place.serve(&["--data", "server.db", "--listen", &format!("127.0.0.1:{port}")]);
    let synced = place.json(&["sync"], 0);
    assert_eq!(synced["outbox"]["pending"], 0);
    let after = place.json(&["get", "vessels", id], 0);
    assert_eq!((&after["state"], &after["base"]["flag"]), (&json!("synced"), &json!("🇨🇱")));
    let (status, body) = serve.request("GET", "/vessels/new-one.json", "");
    assert_eq!((status, body.trim()), (200, r#"{"name":"Offline"}"#));
    assert_eq!(serve.request("GET", "/vessels/9100037.json", "").1.trim(), "null");
    assert_eq!(place.json(&["status"], 0)["outbox"]["pending"], 0);
}

#[test]
fn a_conflict_is_kept_shown_and_resolved() {
    let (place, serve) = begin(&["vessels"]);
    place.json(&["sync"], 0);
    for (id, side) in [("9100000", "mine"), ("9100037", "theirs")] {
        place.json(&["patch", "vessels", id, r#"{"name":"mine"}"#], 0);
        let (status, _) = serve.request("PATCH", &format!("/vessels/{id}.json"), r#"{"name":"theirs"}"#);
        assert_eq!(status, 200);
        let status = place.json(&["sync"], 4);
        assert_eq!((&status["conflicts"], &status["outbox"]["conflict"]), (&json!(1), &json!(1)), "{side}");
        let conflicts = place.json(&["conflicts", "list"], 0);
        let conflict = &conflicts[0];
        assert_eq!((&conflict["id"], &conflict["mine"]["name"]), (&json!(id), &json!("mine")));
        assert_eq!(conflict["theirs"]["name"], "theirs");
        assert_eq!(place.json(&["get", "vessels", id], 0)["state"], "conflict");
        let number = format!("c{}", conflict["conflict"]);
        assert_eq!(place.json(&["conflicts", "show", &number], 0)["theirs"]["name"], "theirs");
        let resolved = place.json(&["conflicts", "resolve", &number, "--take", side], 0);
        assert_eq!((&resolved["resolution"], resolved["seq"].is_null()), (&json!(side), side == "theirs"));
        place.json(&["sync"], 0);
        assert_eq!(place.json(&["get", "vessels", id], 0)["base"]["name"], side);
        assert!(serve.request("GET", &format!("/vessels/{id}/name.json"), "").1.contains(side));
        assert_eq!(place.json(&["conflicts", "list"], 0), json!([]));
    }
}

#[test]
fn a_conflict_is_resolved_by_a_version_of_ones_own() {
    let (place, serve) = begin(&["vessels"]);
    place.json(&["sync"], 0);
    place.json(&["patch", "vessels", "9100000", r#"{"name":"mine"}"#], 0);
    serve.request("PATCH", "/vessels/9100000.json", r#"{"name":"theirs"}"#);
    place.json(&["sync"], 4);
    let number = place.json(&["conflicts", "list"], 0)[0]["conflict"].to_string();
    place.write("merged.json", r#"{"name":"both"}"#);
    assert_eq!(place.json(&["conflicts", "resolve", &number, "--merged", "@merged.json"], 0)["resolution"], "merged");
    place.json(&["sync"], 0);
    assert_eq!(serve.request("GET", "/vessels/9100000.json", "").1.trim(), r#"{"name":"both"}"#);
}

#[test]
fn two_data_dirs_and_the_server_end_up_equal() {
    let (place, serve) = begin(&["customers"]);
    let other = Place::new();
    init(&other, &serve.url, &["customers"]);
    for place in [&place, &other] {
        place.json(&["sync"], 0);
    }
    let lines: String = (0..40).map(|n| json!({"id": format!("x{n}"), "value": {"n": n}}).to_string() + "\n").collect();
    place.write("more.ndjson", &lines);
    place.json(&["import", "customers", "more.ndjson"], 0);
    other.json(&["delete", "customers", "big-numbers"], 0);
    for place in [&place, &other, &place] {
        place.json(&["sync"], 0);
    }
    let export = |place: &Place| -> Value {
        serde_json::from_str(&place.run(&["export", "customers", "--format", "json"]).stdout).unwrap()
    };
    let server: Value = serde_json::from_str(&serve.request("GET", "/customers.json", "").1).unwrap();
    for (name, place) in [("the first", &place), ("the second", &other)] {
        let ours = export(place);
        assert_eq!(different(&ours, &server), Vec::<String>::new(), "{name} and the server");
        assert_eq!(ours.as_object().unwrap().len(), 900 + 40 - 1);
    }
}

/// The ids of the records that are not the same on both sides.
fn different(a: &Value, b: &Value) -> Vec<String> {
    let (a, b) = (a.as_object().unwrap(), b.as_object().unwrap());
    let ids = a.keys().chain(b.keys().filter(|id| !a.contains_key(*id)));
    ids.filter(|id| a.get(*id) != b.get(*id)).cloned().collect()
}

#[test]
fn a_token_is_asked_for_and_sent() {
    let place = Place::new();
    place.write("seed.json", r#"{"tasks": {"t1": {"a": 1}}}"#);
    let mut command = place.command(&["serve", "--seed", "seed.json", "--token-env", "TOKEN"]);
    command.env("TOKEN", "harbour-canary");
    let serve = Serve::spawn(command);
    place.run(&["init", &serve.url, "--kind", "firebase", "--collection", "tasks", "--token-env", "TOKEN"]);
    let refused = place.command(&["sync"]).env("TOKEN", "wrong").output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("does not accept the credentials") && !said.contains("wrong"), "{said}");
    let synced = place.command(&["sync"]).env("TOKEN", "harbour-canary").output().unwrap();
    assert_eq!(synced.status.code(), Some(0), "{synced:?}");
    assert_eq!(place.json(&["get", "tasks", "t1"], 0)["local"], json!({"a": 1}));
    for file in walk(&place.path("")) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(14).any(|window| window == b"harbour-canary"), "{}", file.display());
    }
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            files.extend(walk(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

#[test]
fn edits_made_beside_a_running_sync_go_out_by_themselves() {
    let (place, serve) = begin(&["vessels"]);
    place.json(&["sync"], 0);
    let mut watch = place.command(&["sync", "--watch"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    let lock = place.path("data/leader.lock");
    until("the sync leads", || {
        std::fs::File::options().write(true).open(&lock).is_ok_and(|file| file.try_lock().is_err())
    });
    place.json(&["patch", "vessels", "9100000", r#"{"name":"beside"}"#], 0);
    until("the edit arrives", || serve.request("GET", "/vessels/9100000/name.json", "").1.contains("beside"));
    serve.request("PATCH", "/vessels/9100037.json", r#"{"name":"live"}"#);
    until("the live change arrives", || place.json(&["get", "vessels", "9100037"], 0)["local"]["name"] == "live");
    // Nothing new is published while all is well: what was said long ago holds as long as somebody carries the sync.
    let mirror = rusqlite::Connection::open(place.path("data/mirror.db")).unwrap();
    let aged = "UPDATE sync_status SET body = json_set(body, '$.at', json_extract(body, '$.at') - 3600000)";
    assert_eq!(mirror.execute(aged, []).unwrap(), 1);
    assert_eq!(place.json(&["status"], 0)["sources"][0]["connectivity"]["state"], "online");
    let asked = place.json(&["sync"], 0);
    assert_eq!(asked["sources"][0]["connectivity"]["state"], "online", "the other process answered for both");
    let pid = rustix::process::Pid::from_child(&watch);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(watch.wait().unwrap().code(), Some(0), "ctrl-c is the way out of --watch");
    mirror.execute(aged, []).unwrap();
    assert_eq!(place.json(&["status"], 0)["sources"][0]["connectivity"]["state"], "unknown", "nobody looks any more");
}

/// Looks again until it is so, for about a minute at most.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if is_so() {
            return;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
    panic!("{what}");
}
