//! A mirror that was damaged behind everybody's back is compared with the server and healed: by `sync --verify`, and in
//! the background of a running sync.

mod common;

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use common::server::Serve;
use serde_json::{Value, json};

struct Desk {
    dir: tempfile::TempDir,
    server: Serve,
}

impl Desk {
    /// Sixty records, copied whole.
    fn new(pull: &str) -> Self {
        Self::with(pull, "")
    }

    /// The same with more at the end of its configuration.
    fn with(pull: &str, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Serve::start(0, &dir.path().join("server.db"));
        let rows = (0..60).map(|n| (format!("t{n:03}"), json!({ "n": n }))).collect();
        server.put("/tasks.json", &Value::Object(rows));
        let config = format!(
            "[[source]]\nname = \"office\"\nkind = \"firebase\"\nurl = \"{}\"\n\n\
             [[source.collection]]\nname = \"tasks\"\npath = \"tasks\"\npull = \"{pull}\"\n\n{more}",
            server.url
        );
        std::fs::write(dir.path().join("config.toml"), config).unwrap();
        let desk = Self { dir, server };
        assert_eq!(desk.run(&["sync"]).0, 0);
        desk
    }

    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let mut command: Command =
            common::ebbtide(&self.dir.path().join("data"), &self.dir.path().join("config.toml"), arguments);
        let output = command.output().unwrap();
        (output.status.code().unwrap_or(-1), String::from_utf8(output.stdout).unwrap())
    }

    /// `sync --watch`, until it is dropped.
    fn watch(&self) -> Watch {
        let (data, config) = (self.dir.path().join("data"), self.dir.path().join("config.toml"));
        let mut command: Command = common::ebbtide(&data, &config, &["sync", "--watch"]);
        Watch(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn verified(&self) -> Value {
        self.json(&["status"])["sources"][0]["collections"][0]["verified"].clone()
    }

    /// What the log says of it, in order.
    fn said(&self, text: &str) -> Vec<String> {
        let journal = rusqlite::Connection::open(self.dir.path().join("data/journal.db")).unwrap();
        let mut select = journal.prepare("SELECT text FROM activity WHERE instr(text, ?1) ORDER BY id").unwrap();
        let rows = select.query_map([text], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let (_, text) = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Changes one text, removes one row and makes one up.
    fn damage(&self) {
        let mirror = rusqlite::Connection::open(self.dir.path().join("data/mirror.db")).unwrap();
        mirror.execute("UPDATE records SET body = '{\"n\":\"spoilt\"}' WHERE id = 't003'", []).unwrap();
        let change: i64 =
            mirror.query_row("SELECT change FROM records WHERE id = 't007'", [], |row| row.get(0)).unwrap();
        mirror.execute("DELETE FROM records WHERE id = 't007'", []).unwrap();
        mirror
            .execute(
                "INSERT INTO records (change, collection, key, id, received_at, body) \
                 SELECT ?2, collection, ?1, 't009!', received_at, '{}' FROM records WHERE id = 't009'",
                (ebbtide::model::rtdb::sort_key("t009!"), change),
            )
            .unwrap();
    }
}

struct Watch(Child);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Looks until it is so; what differs is only believed after a while.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1_200 {
        if is_so() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    panic!("not within two minutes: {what}");
}

#[test]
fn a_damaged_mirror_is_found_healed_and_reported_in_every_way_of_pulling() {
    for pull in ["stream", "windows"] {
        let desk = Desk::new(pull);
        let clean = desk.json(&["sync", "--verify"]);
        assert_eq!((&clean[0]["checked"], &clean[0]["differences"]), (&json!(60), &json!([])), "{pull}: {clean}");
        desk.damage();
        let (code, _) = desk.run(&["get", "tasks", "t009!"]);
        assert_eq!(code, 0, "it is there before");
        let found = desk.json(&["sync", "--verify", "tasks"]);
        let counts = ["checked", "missing", "differing", "extra", "healed"].map(|name| found[0][name].clone());
        assert_eq!(counts, [60, 1, 1, 1, 3].map(Value::from), "{pull}: {found}");
        let mut named: Vec<&str> =
            found[0]["differences"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        named.sort_unstable();
        assert_eq!(named, ["t003", "t007", "t009!"]);
        assert_eq!(desk.json(&["get", "tasks", "t003"])["local"], json!({ "n": 3 }));
        assert_eq!(desk.json(&["get", "tasks", "t007"])["local"], json!({ "n": 7 }));
        assert_ne!(desk.run(&["get", "tasks", "t009!"]).0, 0);
        let again = desk.json(&["sync", "--verify"]);
        assert_eq!(again[0]["healed"], 0, "{pull}: {again}");
        assert_eq!(desk.server.get("/tasks.json").as_object().unwrap().len(), 60, "nothing was written there");
    }
}

#[test]
fn an_edit_that_waits_is_kept_by_a_comparison_that_finds_its_record_gone() {
    let desk = Desk::new("windows");
    let edit = ["patch", "tasks", "t005", r#"{"mine":true}"#];
    assert_eq!(desk.run(&edit).0, 0);
    assert_eq!(desk.run(&["outbox", "hold", "1"]).0, 0);
    let (status, _) = desk.server.request("DELETE", "/tasks/t005.json", "");
    assert_eq!(status, 200);
    desk.run(&["sync", "--verify"]);
    let kept = desk.json(&["get", "tasks", "t005"]);
    assert_eq!(kept["local"], json!({ "n": 5, "mine": true }), "{kept}");
}

#[test]
fn copies_damaged_under_a_running_sync_are_found_and_healed_in_the_background() {
    let desk = Desk::with("stream", "[sync]\naudit_mb_per_hour = 2000\naudit_every = \"1s\"\n");
    assert_eq!(desk.verified(), Value::Null, "a sync that ends is not kept waiting by it");
    let watch = desk.watch();
    until("all is compared once", || desk.verified()["differences"] == 0);
    desk.damage();
    let healed = "was not as it is on the server; it is now";
    until("the damage is healed", || desk.said(healed).len() == 3);
    let mut said = desk.said(healed);
    said.sort();
    let named = ["t003", "t007", "t009!"].map(|id| format!("`office/tasks/{id}` {healed}"));
    assert_eq!(said, named);
    assert_eq!(desk.json(&["get", "tasks", "t003"])["local"], json!({ "n": 3 }));
    assert_eq!(desk.json(&["get", "tasks", "t007"])["local"], json!({ "n": 7 }));
    assert_ne!(desk.run(&["get", "tasks", "t009!"]).0, 0);
    until("a comparison says so", || !desk.said("compared in the background: 60 records").is_empty());
    until("the next one finds nothing", || desk.verified()["differences"] == 0);
    drop(watch);
    assert_eq!(desk.verified()["differences"], 0, "the result outlives the process");
    assert!(desk.run(&["status"]).1.contains("just now, 0 differences"), "{}", desk.run(&["status"]).1);
    assert_eq!(desk.server.get("/tasks.json").as_object().unwrap().len(), 60, "nothing was written there");
}

#[test]
fn with_a_budget_of_zero_nothing_is_compared_by_itself() {
    let desk = Desk::with("stream", "[sync]\naudit_mb_per_hour = 0\naudit_every = \"1s\"\n");
    let _watch = desk.watch();
    until("the collection is followed", || desk.json(&["status"])["sources"][0]["collections"][0]["phase"] == "live");
    desk.run(&["put", "tasks", "later", "{}"]);
    until("an edit went out", || desk.json(&["status"])["outbox"]["pending"] == 0);
    assert_eq!(desk.verified(), Value::Null);
}
