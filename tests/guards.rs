//! Guards through whole processes: the backend, the command line, and `kill -9` in between.

#![expect(clippy::disallowed_methods, reason = "a test that waits for real processes needs a real clock")]

mod common;

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use common::server::Serve;
use serde_json::{Value, json};

struct Desk {
    dir: tempfile::TempDir,
}

struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {} {}", self.stdout, self.stderr))
    }
}

impl Desk {
    fn new(url: &str) -> Self {
        let desk = Self { dir: tempfile::tempdir().unwrap() };
        desk.point_at(url);
        desk
    }

    fn point_at(&self, url: &str) {
        self.configure(url, "");
    }

    fn configure(&self, url: &str, more: &str) {
        let config = format!(
            "[[source]]\nname = \"office\"\nkind = \"firebase\"\nurl = \"{url}\"\n\n\
             [[source.collection]]\nname = \"tasks\"\npath = \"tasks\"\n{more}"
        );
        std::fs::write(self.dir.path().join("config.toml"), config).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(common::program());
        command.args(arguments).arg("--config").arg(self.dir.path().join("config.toml"));
        command.arg("--data-dir").arg(self.dir.path().join("data"));
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let output = self.command(arguments).output().unwrap();
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn count(&self) -> usize {
        self.run(&["list", "tasks", "--json", "--limit", "1000"]).json()["records"].as_array().map_or(0, Vec::len)
    }

    fn asks(&self) -> Value {
        self.run(&["guard", "list", "--json"]).json()
    }

    /// A sync that goes on until a collection has stopped, and is killed there.
    fn stop_and_kill(&self) -> Value {
        let mut sync = Killed(self.command(&["sync", "--watch"]).stderr(Stdio::null()).spawn().unwrap());
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let asks = self.asks();
            if asks[0]["state"] == "stopped" {
                sync.0.kill().unwrap();
                return asks;
            }
            assert!(Instant::now() < end, "nothing stopped");
            assert_eq!(sync.0.try_wait().unwrap(), None, "the sync goes on");
        }
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn rows(from: u32, to: u32) -> Value {
    Value::Object((from..to).map(|n| (format!("t{n:03}"), json!({ "n": n }))).collect())
}

/// A desk with 60 records of a server that has lost 50 of them since; the sync that met it was killed.
fn robbed() -> (Serve, tempfile::TempDir, Desk) {
    let data = tempfile::tempdir().unwrap();
    let server = Serve::start(0, &data.path().join("server.db"));
    server.put("/tasks.json", &rows(0, 60));
    let desk = Desk::new(&server.url);
    let first = desk.run(&["sync"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    server.put("/tasks.json", &rows(0, 10));
    let asks = desk.stop_and_kill();
    assert_eq!(asks[0]["reason"], "mass_deletion");
    assert_eq!((&asks[0]["affected"], &asks[0]["rows"]), (&json!(50), &json!(60)));
    assert_eq!(asks[0]["sample"][0], "t010");
    (server, data, desk)
}

#[test]
fn a_mass_deletion_asks_after_a_kill_and_is_carried_out_when_accepted() {
    let (server, _data, desk) = robbed();
    assert_eq!(desk.count(), 60, "nothing is deleted without an answer");
    let status = desk.run(&["status", "--json"]);
    assert_eq!(status.code, 3, "it waits for a person");
    assert_eq!(status.json()["sources"][0]["collections"][0]["phase"], "stopped");
    let sync = desk.run(&["sync"]);
    assert_eq!(sync.code, 3, "{}", sync.stderr);
    assert!(sync.stderr.contains("lacks 50 of the 60"), "{}", sync.stderr);
    assert_eq!(desk.count(), 60);
    let answered = desk.run(&["guard", "answer", "tasks", "accept", "--json"]);
    assert_eq!((answered.code, &answered.json()["state"]), (0, &json!("pulling")), "{}", answered.stderr);
    assert_eq!(desk.count(), 10);
    assert_eq!(desk.run(&["status"]).code, 0);
    assert_eq!(server.get("/tasks.json").as_object().unwrap().len(), 10);
}

#[test]
fn a_mass_deletion_is_undone_there_when_mine_is_uploaded_again() {
    let (server, _data, desk) = robbed();
    let answered = desk.run(&["guard", "answer", "tasks", "reupload"]);
    assert_eq!(answered.code, 0, "{}", answered.stderr);
    assert_eq!(server.get("/tasks.json"), rows(0, 60));
    assert_eq!((desk.count(), desk.run(&["status"]).code), (60, 0));
}

#[test]
fn a_detached_collection_keeps_both_sides_until_it_is_attached() {
    let (server, _data, desk) = robbed();
    assert_eq!(desk.run(&["guard", "answer", "tasks", "detach"]).code, 0);
    assert_eq!(desk.asks()[0]["state"], "detached");
    server.put("/tasks/t000.json", &json!({ "n": "changed there" }));
    let sync = desk.run(&["sync"]);
    assert_eq!(sync.code, 0, "nothing waits any more: {}", sync.stderr);
    let kept = desk.run(&["get", "tasks", "t000", "--json"]).json();
    assert_eq!((desk.count(), &kept["local"]["n"]), (60, &json!(0)));
    assert_eq!(server.get("/tasks.json").as_object().unwrap().len(), 10);
    let again = desk.run(&["guard", "answer", "tasks", "attach"]);
    assert_eq!(again.code, 1, "it finds the same and asks: {}", again.stderr);
    assert_eq!(desk.asks()[0]["state"], "stopped");
    assert_eq!(desk.count(), 60);
}

#[test]
fn an_answer_nobody_asked_for_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = Serve::start(0, &data.path().join("server.db"));
    server.put("/tasks.json", &rows(0, 3));
    let desk = Desk::new(&server.url);
    desk.run(&["sync"]);
    for answer in ["accept", "reupload", "attach"] {
        let run = desk.run(&["guard", "answer", "tasks", answer]);
        assert_eq!(run.code, 2, "{answer}: {}", run.stderr);
    }
    assert_eq!(desk.asks(), json!([]));
}

// --- another server ---------------------------------------------------------------------------------------------------

/// A desk whose server was replaced by another one at the same address, met by a sync that was killed there. One edit
/// waits.
fn elsewhere() -> (Serve, tempfile::TempDir, Desk) {
    let data = tempfile::tempdir().unwrap();
    let server = Serve::start(0, &data.path().join("one.db"));
    server.put("/tasks.json", &rows(0, 40));
    let desk = Desk::new(&server.url);
    assert_eq!(desk.run(&["sync"]).code, 0);
    let port = server.port();
    drop(server);
    let other = Serve::start(port, &data.path().join("two.db"));
    other.put("/tasks.json", &rows(35, 45));
    assert_eq!(desk.run(&["put", "tasks", "mine", r#"{"n": 1}"#]).code, 0);
    let asks = desk.stop_and_kill();
    assert_eq!(asks[0]["reason"], "other_server");
    assert_eq!(desk.count(), 41);
    assert_eq!(other.get("/tasks.json"), rows(35, 45), "no edit is sent to it unasked");
    (other, data, desk)
}

#[test]
fn another_server_is_gone_on_with_when_accepted_and_still_deletes_nothing_unasked() {
    let (other, _data, desk) = elsewhere();
    let answered = desk.run(&["guard", "answer", "tasks", "accept"]);
    assert_eq!(answered.code, 1, "much would be deleted: {}", answered.stderr);
    assert_eq!(desk.asks()[0]["reason"], "mass_deletion");
    assert_eq!(desk.count(), 46, "both sides are here");
    assert_eq!(other.get("/tasks/mine.json"), json!({ "n": 1 }), "what waited was sent");
    assert_eq!(desk.run(&["guard", "answer", "tasks", "accept"]).code, 0);
    assert_eq!(desk.count(), 11);
}

#[test]
fn another_server_gets_what_is_here_when_mine_is_uploaded() {
    let (other, _data, desk) = elsewhere();
    let answered = desk.run(&["guard", "answer", "tasks", "reupload"]);
    assert_eq!(answered.code, 0, "{}", answered.stderr);
    let there = other.get("/tasks.json");
    assert_eq!((there.as_object().unwrap().len(), &there["t001"]), (46, &json!({ "n": 1 })));
    assert_eq!(desk.count(), 46);
}

#[test]
fn edits_wait_for_the_right_server_where_another_one_was_detached_from() {
    let (other, data, desk) = elsewhere();
    assert_eq!(desk.run(&["guard", "answer", "tasks", "detach"]).code, 0);
    desk.run(&["sync"]);
    assert_eq!(other.get("/tasks.json"), rows(35, 45));
    let port = other.port();
    drop(other);
    let server = Serve::start(port, &data.path().join("one.db"));
    let attached = desk.run(&["guard", "answer", "tasks", "attach"]);
    assert_eq!(attached.code, 0, "{}", attached.stderr);
    assert_eq!(server.get("/tasks/mine.json"), json!({ "n": 1 }));
    assert_eq!(desk.count(), 41);
}

#[test]
fn the_right_server_back_at_its_place_needs_no_answer() {
    let (other, data, desk) = elsewhere();
    let port = other.port();
    drop(other);
    let server = Serve::start(port, &data.path().join("one.db"));
    let sync = desk.run(&["sync"]);
    assert_eq!((sync.code, desk.asks()), (0, json!([])), "{}", sync.stderr);
    assert_eq!((server.get("/tasks/mine.json"), desk.count()), (json!({ "n": 1 }), 41));
}

#[test]
fn a_source_that_moved_with_its_data_goes_on_by_itself() {
    let data = tempfile::tempdir().unwrap();
    let server = Serve::start(0, &data.path().join("server.db"));
    server.put("/tasks.json", &rows(0, 5));
    let desk = Desk::new(&server.url);
    desk.run(&["sync"]);
    drop(server);
    let moved = Serve::start(0, &data.path().join("server.db"));
    desk.point_at(&moved.url);
    let sync = desk.run(&["sync"]);
    assert_eq!(sync.code, 0, "{}", sync.stderr);
    assert_eq!(desk.asks(), json!([]));
}

// --- a server restored from a backup ----------------------------------------------------------------------------------

/// Sixty records with a stamp; those from `newer` on were changed later than the others.
fn stamped(newer: u32) -> Value {
    let row = |n: u32| match n >= newer {
        true => json!({ "n": n, "at": 2_000 + n, "text": "new" }),
        false => json!({ "n": n, "at": 1_000 + n, "text": "old" }),
    };
    Value::Object((0..60).map(|n| (format!("t{n:03}"), row(n))).collect())
}

fn copied(pull: &str) -> (Serve, tempfile::TempDir, Desk) {
    let data = tempfile::tempdir().unwrap();
    let server = Serve::start(0, &data.path().join("server.db"));
    server.put("/tasks.json", &stamped(10));
    let desk = Desk::new(&server.url);
    desk.configure(&server.url, &format!("pull = \"{pull}\"\nupdated_at = \"/at\"\n"));
    let first = desk.run(&["sync"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    (server, data, desk)
}

/// A desk whose server was put back to how it was before fifty changes; the sync that met it was killed.
fn restored() -> (Serve, tempfile::TempDir, Desk) {
    let (server, data, desk) = copied("stream");
    server.put("/tasks.json", &stamped(60));
    let asks = desk.stop_and_kill();
    assert_eq!(asks[0]["reason"], "older_records");
    assert_eq!((&asks[0]["affected"], &asks[0]["rows"]), (&json!(50), &json!(60)));
    assert_eq!(asks[0]["sample"][0], "t010");
    assert_eq!(desk.text("t010"), "new", "nothing is set back without an answer");
    (server, data, desk)
}

impl Desk {
    fn text(&self, id: &str) -> Value {
        self.run(&["get", "tasks", id, "--json"]).json()["local"]["text"].clone()
    }
}

#[test]
fn older_records_are_taken_when_accepted_and_the_vault_keeps_the_newer() {
    let (server, _data, desk) = restored();
    assert_eq!(desk.run(&["status"]).code, 3, "it waits for a person");
    let answered = desk.run(&["guard", "answer", "tasks", "accept", "--json"]);
    assert_eq!((answered.code, &answered.json()["state"]), (0, &json!("pulling")), "{}", answered.stderr);
    assert_eq!((desk.text("t010"), desk.text("t059")), (json!("old"), json!("old")));
    let vault = desk.run(&["vault", "list", "--json"]).json();
    assert!(vault.to_string().contains("t010"), "{vault}");
    assert_eq!(server.get("/tasks.json"), stamped(60));
    assert_eq!((desk.asks(), desk.run(&["status"]).code), (json!([]), 0));
}

#[test]
fn older_records_are_renewed_there_when_mine_is_uploaded_again() {
    let (server, _data, desk) = restored();
    let answered = desk.run(&["guard", "answer", "tasks", "reupload"]);
    assert_eq!(answered.code, 0, "{}", answered.stderr);
    assert_eq!(server.get("/tasks.json"), stamped(10));
    assert_eq!((desk.text("t010"), desk.run(&["status"]).code), (json!("new"), 0));
}

#[test]
fn older_records_of_a_detached_collection_stay_on_both_sides() {
    let (server, _data, desk) = restored();
    assert_eq!(desk.run(&["guard", "answer", "tasks", "detach"]).code, 0);
    assert_eq!(desk.run(&["sync"]).code, 0);
    assert_eq!((desk.text("t010"), server.get("/tasks.json")), (json!("new"), stamped(60)));
    assert_eq!(desk.run(&["guard", "answer", "tasks", "attach"]).code, 1, "it finds the same and asks");
    assert_eq!(desk.asks()[0]["reason"], "older_records");
}

#[test]
fn older_records_are_found_by_a_comparison_window_by_window() {
    let (server, _data, desk) = copied("windows");
    server.put("/tasks.json", &stamped(60));
    let verified = desk.run(&["sync", "--verify"]);
    assert_ne!(verified.code, 0, "{}", verified.stdout);
    assert_eq!((&desk.asks()[0]["reason"], desk.text("t010")), (&json!("older_records"), json!("new")));
    assert_eq!(desk.run(&["guard", "answer", "tasks", "accept"]).code, 0);
    assert_eq!(desk.text("t010"), "old");
}

#[test]
fn a_few_older_records_are_taken_without_a_question() {
    let (server, _data, desk) = copied("windows");
    server.put("/tasks.json", &stamped(30));
    let sync = desk.run(&["sync"]);
    assert_eq!((sync.code, desk.asks()), (0, json!([])), "{}", sync.stderr);
    assert_eq!((desk.text("t029"), desk.text("t030")), (json!("old"), json!("new")));
}
