//! `kill -9` at named points of a send, a pull and a migration: the crash table of the design, row by row, with the real
//! program, the real embedded backend and a proxy that holds a request exactly there.
//!
//! What happens on this side of the wire is held by somebody else's lock on a database file: the program has heard the
//! answer and cannot write it down. Rows about typing and saving are in `kill_loop` and `store`.

mod common;

use std::{
    path::Path,
    process::{Child, Stdio},
    sync::Arc,
};

use common::{
    Workspace,
    proxy::{Fault, Kind, Point, Proxy},
    server::Serve,
    wait_for,
};
use ebbtide::{
    model::ids::CollectionKey,
    runtime::clock::SystemClock,
    store::{OpenMode, Reader, Store},
};
use rusqlite::Connection;
use serde_json::{Value, json};

/// A backend, a proxy, a workspace that knows the backend only by the proxy.
struct Bench {
    runtime: tokio::runtime::Runtime,
    serve: Serve,
    proxy: Proxy,
    workspace: Workspace,
    _data: tempfile::TempDir,
}

impl Bench {
    /// With so many records, pulled in windows of ten.
    fn new(records: usize) -> Self {
        let data = tempfile::tempdir().unwrap();
        let serve = Serve::start(0, &data.path().join("server.db"));
        if records > 0 {
            let rows: serde_json::Map<String, Value> = (0..records).map(|n| (id(n), json!({ "n": n }))).collect();
            serve.put("/tasks.json", &rows.into());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let proxy = runtime.block_on(Proxy::start(serve.address().parse().unwrap()));
        let workspace = Workspace::new(&format!("http://{}", proxy.address), &[("tasks", &["n"])]);
        let mut config = std::fs::read_to_string(workspace.config()).unwrap();
        config.push_str("pull = \"windows\"\n\n[sync]\npage_size = 10\n");
        std::fs::write(workspace.config(), config).unwrap();
        Self { runtime, serve, proxy, workspace, _data: data }
    }

    fn writes(&self) -> u64 {
        self.serve.get("/.ebbtide/stats.json")["writes"].as_u64().unwrap()
    }

    fn sync(&self) -> Process {
        let child = self.workspace.command(&["sync"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Process(child)
    }

    /// Queues an edit of this kind; the record, and what it is to be.
    fn edit(&self, kind: Kind) -> (String, Option<Value>) {
        let (record, document) = match kind {
            Kind::Create => ("made-here".to_owned(), Some(json!({ "n": 100, "made": true }))),
            Kind::Delete => (id(2), None),
            _ => (id(1), Some(json!({ "n": 101 }))),
        };
        match &document {
            Some(document) => self.workspace.run(&["put", "tasks", &record, &document.to_string()]),
            None => self.workspace.run(&["delete", "tasks", &record]),
        };
        (record, document)
    }

    /// The state of the one op there is.
    fn state(&self) -> String {
        let (ops, _) = self.workspace.json(&["outbox", "list"]);
        assert_eq!(ops.as_array().unwrap().len(), 1, "{ops}");
        ops[0]["state"].as_str().unwrap().to_owned()
    }

    /// Looks into the files of a program that does not run, or that somebody keeps from writing.
    fn look<T>(&self, look: impl FnOnce(&mut Reader) -> T) -> T {
        let store = Store::open(&self.workspace.data(), OpenMode::ReadOnly, Arc::new(SystemClock::new())).unwrap();
        look(&mut store.reader().unwrap())
    }

    fn base(&self, record: &str) -> Option<Value> {
        let key = collection().record(record);
        self.look(|reader| reader.record(&key).unwrap().base.map(|base| Value::clone(&base.document)))
    }

    /// Nothing waits, and both sides hold what was wanted.
    fn assert_settled(&self, record: &str, document: &Option<Value>) {
        let (status, _) = self.workspace.json(&["status"]);
        assert_eq!(status["outbox"]["pending"], 0, "{status}");
        assert_eq!(status["conflicts"], 0, "{status}");
        let there = self.serve.get(&format!("/tasks/{record}.json"));
        assert_eq!(there, document.clone().unwrap_or(Value::Null), "the server's {record}");
        assert_eq!(self.base(record), *document, "our base of {record}");
    }

    fn end(self) {
        self.runtime.shutdown_background();
    }
}

/// A program that is killed at the latest when the test ends.
struct Process(Child);

impl Process {
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Somebody else's write lock on a database file, until it is dropped.
struct Locked(Connection);

impl Locked {
    fn on(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        wait_for("the lock", || connection.execute_batch("BEGIN IMMEDIATE").ok());
        Self(connection)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.0.execute_batch("ROLLBACK");
    }
}

fn id(n: usize) -> String {
    format!("task-{n:03}")
}

fn collection() -> CollectionKey {
    CollectionKey::new("lab", "tasks")
}

/// Kills a sync at `point` of the one write there is, and starts another.
fn killed_while_sending(kind: Kind, point: Point, original_first: bool) {
    let bench = Bench::new(5);
    bench.workspace.run(&["sync"]);
    let writes = bench.writes();
    let (record, document) = bench.edit(kind);
    bench.proxy.fail(Some(kind), [Fault::Hold(point)]);
    let process = bench.sync();
    wait_for("the request is held", || (bench.proxy.held() == 1).then_some(()));
    process.kill();
    assert_eq!(bench.state(), "in_flight", "the claim is on disk before the first byte");
    let is_applied = point == Point::BeforeAnswer;
    assert_eq!(bench.writes() - writes, u64::from(is_applied));
    let release = || {
        bench.proxy.release();
        if !is_applied {
            wait_for("the original arrives", || (bench.proxy.late() == 1).then_some(()));
        }
    };
    if original_first {
        release();
    }
    bench.workspace.run(&["sync"]);
    bench.assert_settled(&record, &document);
    if !original_first {
        release();
    }
    assert_eq!(bench.writes() - writes, 1, "one effect");
    bench.assert_settled(&record, &document);
    let (acked, _) = bench.workspace.json(&["outbox", "list", "--state", "acked"]);
    assert_eq!(acked.as_array().unwrap().len(), 1, "{acked}");
    bench.end();
}

macro_rules! killed_while_sending {
    ($($name:ident: $point:expr;)*) => {$(
        mod $name {
            use super::*;
            #[test]
            fn create() {
                killed_while_sending(Kind::Create, $point, false);
            }
            #[test]
            fn update() {
                killed_while_sending(Kind::Update, $point, false);
            }
            #[test]
            fn delete() {
                killed_while_sending(Kind::Delete, $point, false);
            }
            #[test]
            fn update_whose_original_comes_before_the_repeat() {
                killed_while_sending(Kind::Update, $point, true);
            }
        }
    )*};
}

killed_while_sending! {
    killed_after_the_claim: Point::BeforeSending;
    killed_during_the_send: Point::HalfSent;
    killed_before_reading_the_answer: Point::BeforeAnswer;
}

/// The answer has come, and the file it is to be written to is locked by somebody; killed there.
fn killed_while_acknowledging(locked: &str, has_new_base: bool) {
    let bench = Bench::new(5);
    bench.workspace.run(&["sync"]);
    let writes = bench.writes();
    let (record, document) = bench.edit(Kind::Update);
    bench.proxy.fail(Some(Kind::Update), [Fault::Hold(Point::BeforeAnswer)]);
    let process = bench.sync();
    wait_for("the answer is held", || (bench.proxy.held() == 1).then_some(()));
    let lock = Locked::on(&bench.workspace.data().join(locked));
    bench.proxy.release();
    wait_for("the answer is passed on", || (bench.proxy.answered_late() == 1).then_some(()));
    if has_new_base {
        wait_for("the base is written", || (bench.base(&record) == document).then_some(()));
    }
    process.kill();
    drop(lock);
    assert_eq!(bench.state(), "in_flight", "not settled");
    assert_eq!(bench.base(&record) == document, has_new_base);
    bench.workspace.run(&["sync"]);
    assert_eq!(bench.writes() - writes, 1, "one effect");
    bench.assert_settled(&record, &document);
    bench.end();
}

#[test]
fn killed_between_the_answer_and_the_mirror_write() {
    killed_while_acknowledging("mirror.db", false);
}

#[test]
fn killed_between_the_mirror_write_and_the_settle() {
    killed_while_acknowledging("journal.db", true);
}

#[test]
fn killed_inside_a_pull_page_neither_its_rows_nor_its_checkpoint_are_there() {
    let bench = Bench::new(25);
    // The probe, the keys and the first page pass; the second page is answered while the mirror cannot be written.
    let pass = || Fault::Pass;
    bench.proxy.fail(Some(Kind::Read), [pass(), pass(), pass(), Fault::Hold(Point::BeforeAnswer)]);
    let process = bench.sync();
    let rows = || bench.look(|reader| reader.overview(&[collection()]).unwrap()[0].records);
    wait_for("the second page is held", || (bench.proxy.held() == 1).then_some(()));
    wait_for("the first page is applied", || (rows() == 10).then_some(()));
    let lock = Locked::on(&bench.workspace.data().join("mirror.db"));
    bench.proxy.release();
    wait_for("the page is passed on", || (bench.proxy.answered_late() == 1).then_some(()));
    process.kill();
    drop(lock);
    assert_eq!(rows(), 10);
    let checkpoint = bench.look(|reader| reader.checkpoint(&collection()).unwrap()).unwrap();
    assert!(checkpoint.contains(&format!("\"after\":\"{}\"", id(9))), "{checkpoint}");
    bench.workspace.run(&["sync"]);
    assert_eq!(rows(), 25);
    for n in 0..25 {
        assert_eq!(bench.base(&id(n)), Some(json!({ "n": n })));
    }
    bench.end();
}

#[test]
fn killed_before_an_edits_commit_nothing_is_queued_and_after_it_it_is() {
    let bench = Bench::new(3);
    bench.workspace.run(&["sync"]);
    let lock = Locked::on(&bench.workspace.data().join("journal.db"));
    let mut put = bench.workspace.command(&["put", "tasks", "made-here", r#"{"n":1}"#]);
    let process = Process(put.stdout(Stdio::piped()).spawn().unwrap());
    wait_for("it has opened the journal", || is_open(process.0.id(), "journal.db").then_some(()));
    process.kill();
    drop(lock);
    let (ops, _) = bench.workspace.json(&["outbox", "list"]);
    assert_eq!(ops, json!([]));
    bench.workspace.run(&["put", "tasks", "made-here", r#"{"n":1}"#]);
    assert_eq!(bench.state(), "queued");
    bench.end();
}

/// Whether a process holds a file of this name open.
fn is_open(process: u32, name: &str) -> bool {
    let Ok(files) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|target| target.ends_with(name)))
}

#[test]
fn killed_during_a_migration_the_old_file_is_whole_and_a_copy_is_kept() {
    let bench = Bench::new(0);
    let journal = bench.workspace.data().join("journal.db");
    bench.workspace.run(&["status"]);
    let now: i64 = version(&journal);
    assert!(now > 1, "there is a step to be killed in");
    for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        let _ = std::fs::remove_file(bench.workspace.data().join(file));
    }
    let old = Connection::open(&journal).unwrap();
    old.execute_batch(include_str!("../assets/migrations/journal/01-floor.sql")).unwrap();
    old.execute_batch("INSERT INTO meta VALUES ('kept', 'still here'); PRAGMA user_version = 1;").unwrap();
    let kept = || -> String {
        let connection = Connection::open(&journal).unwrap();
        connection.query_row("SELECT value FROM meta WHERE name = 'kept'", [], |row| row.get(0)).unwrap()
    };
    // The copy can be made, the step not: it waits for the lock, and dies.
    old.execute_batch("PRAGMA journal_mode = WAL; BEGIN IMMEDIATE").unwrap();
    let process = Process(bench.workspace.command(&["status"]).stdout(Stdio::null()).spawn().unwrap());
    let backups = bench.workspace.data().join("backups");
    wait_for("the copy", || std::fs::read_dir(&backups).ok()?.next().map(drop));
    process.kill();
    old.execute_batch("ROLLBACK").unwrap();
    drop(old);
    assert_eq!((version(&journal), kept().as_str()), (1, "still here"));
    bench.workspace.run(&["status"]);
    assert_eq!((version(&journal), kept().as_str()), (now, "still here"));
    // The copy that the killed one had begun may be half a file; the one made now is whole.
    let is_old = |path: &std::path::PathBuf| {
        let copy = Connection::open(path).unwrap();
        copy.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).is_ok_and(|version| version == 1)
    };
    let copy = std::fs::read_dir(&backups).unwrap().flatten().map(|file| file.path()).find(is_old);
    assert!(copy.is_some(), "a copy of the old file is kept");
    bench.end();
}

fn version(path: &Path) -> i64 {
    Connection::open(path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}
