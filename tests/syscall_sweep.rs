//! The program killed, and its disk failing, at the first, second, third … write-side system call, until a run is clean:
//! after every such point the next start works by itself, `doctor` finds nothing broken, what was answered `queued` is
//! there, and the server counted each edit at most once.
//!
//! strace injects (`tests/tools/install`). It counts calls by thread and by file, so each scenario names the files of
//! interest and each is swept alone. In CI a part of the points is taken, evenly; `tests/syscall-sweep` takes all.

#![allow(clippy::disallowed_methods, reason = "a test waits by the real clock")]

mod common;

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use common::{Workspace, pty::Pty, server::Serve};
use ebbtide::{
    model::{draft::DraftKey, ids::CollectionKey, session::UiCommit},
    runtime::clock::SystemClock,
    store::{OpenMode, Store},
};
use serde_json::{Value, json};

/// Calls that change something on disk, and those that make what they change.
const CALLS: &str =
    "write,pwrite64,fsync,fdatasync,ftruncate,rename,renameat,renameat2,unlink,unlinkat,openat,mkdir,link";
/// Points of one scenario, file and mode in CI, about.
const FEW: usize = 7;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Kill,
    /// One call fails.
    Io,
    /// This call and all that write after it fail.
    Full,
    /// The same, where the program waits for it to end: few points.
    FullForGood,
}

const MODES: [Mode; 3] = [Mode::Kill, Mode::Io, Mode::Full];

#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "a failure prints all of it")]
struct Point {
    mode: Mode,
    n: usize,
    /// Counts every point of a test: for names that are used once.
    id: usize,
}

impl Mode {
    fn inject(self, n: usize) -> String {
        match self {
            Self::Kill => format!("inject={CALLS}:signal=KILL:when={n}"),
            Self::Io => format!("inject={CALLS}:error=EIO:when={n}"),
            Self::Full | Self::FullForGood => {
                format!("inject=write,pwrite64,ftruncate,mkdir,link:error=ENOSPC:when={n}+")
            }
        }
    }
}

/// What a run under strace came to.
struct Run {
    output: Output,
    /// The point was reached.
    injected: bool,
}

impl Run {
    fn is_done(&self) -> bool {
        self.output.status.success()
    }
}

/// The command under strace, which looks at these files only.
fn straced(data: &Path, files: &[&str], inject: Option<&str>, trace: &Path, command: &Command) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "--seccomp-bpf", "-e", "signal=none", "-o"]).arg(trace);
    strace.args(["-e", &format!("trace={CALLS}")]);
    for file in files {
        let beside = file.strip_prefix("../").and_then(|name| Some(data.parent()?.join(name)));
        strace.arg("-P").arg(beside.unwrap_or_else(|| data.join(file)));
    }
    if let Some(inject) = inject {
        strace.args(["-e", inject]);
    }
    strace.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    strace.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    strace
}

fn run(data: &Path, files: &[&str], inject: Option<&str>, command: &Command) -> (Run, String) {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let output =
        straced(data, files, inject, trace.path(), command).output().expect("strace is installed: tests/tools/install");
    let calls = fs::read_to_string(trace.path()).unwrap();
    let injected =
        calls.contains("(INJECTED)") || output.status.signal() == Some(9) || output.status.code() == Some(137);
    (Run { output, injected }, calls)
}

/// The most calls any thread made.
fn longest(calls: &str) -> usize {
    let mut threads = std::collections::HashMap::new();
    for line in calls.lines().filter(|line| line.contains('(') && !line.contains("resumed>")) {
        *threads.entry(line.split_whitespace().next().unwrap_or("")).or_insert(0) += 1;
    }
    threads.into_values().max().unwrap_or(0)
}

/// A scenario: a data dir for each point, the command, and what must hold afterwards.
struct Sweep<'s> {
    name: &'s str,
    /// Groups of files; each group is swept alone.
    files: &'s [&'s [&'s str]],
    modes: &'s [Mode],
    prepare: &'s (dyn Fn(usize) -> Workspace + Sync),
    command: &'s (dyn Fn(&Workspace, usize) -> Command + Sync),
    check: &'s (dyn Fn(&Workspace, Point, &Run, &str) + Sync),
}

impl Sweep<'_> {
    fn run(&self) {
        let all = std::env::var("SWEEP").is_ok_and(|sweep| sweep == "all");
        let ids = AtomicUsize::new(1);
        let mut points = Vec::new();
        for files in self.files {
            let workspace = (self.prepare)(0);
            let (clean, calls) = run(&workspace.data(), files, None, &(self.command)(&workspace, 0));
            assert!(clean.is_done(), "{}: {}", self.name, String::from_utf8_lossy(&clean.output.stderr));
            let longest = longest(&calls);
            assert!(longest > 0, "{}: no call on {files:?}", self.name);
            for mode in self.modes {
                // Two more: one that must be clean, and one for a run that went another way.
                let few = if *mode == Mode::FullForGood { 2 } else { FEW };
                let step = if all { 1.0 } else { (longest as f64 / few as f64).max(1.0) };
                let mut at = 1.0;
                while at <= longest as f64 + 2.0 {
                    points.push((*files, *mode, at as usize));
                    at += step;
                }
            }
        }
        let (next, reached) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let failures = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while let Some((files, mode, n)) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let point = Point { mode: *mode, n: *n, id: ids.fetch_add(1, Ordering::Relaxed) };
                        let what = format!("{} {files:?} {point:?}", self.name);
                        let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                            let workspace = (self.prepare)(point.id);
                            let command = (self.command)(&workspace, point.id);
                            let inject = mode.inject(*n);
                            let (run, _) = run(&workspace.data(), files, Some(&inject), &command);
                            assert!(run.injected || run.is_done(), "{what}: not reached, and failed: {:?}", run.output);
                            assert_no_panic(&run, &what);
                            reached.fetch_add(usize::from(run.injected), Ordering::Relaxed);
                            (self.check)(&workspace, point, &run, &what);
                            assert_healthy(&workspace, &what);
                        }));
                        if tried.is_err() {
                            failures.lock().unwrap().push(what);
                        }
                    }
                });
            }
        });
        let failures = failures.into_inner().unwrap();
        println!("{}: {} points, {} reached, {} failed", self.name, points.len(), reached.into_inner(), failures.len());
        assert!(failures.is_empty(), "{failures:#?}");
    }
}

fn assert_no_panic(run: &Run, what: &str) {
    let said = String::from_utf8_lossy(&run.output.stderr);
    assert!(!said.contains("panicked"), "{what}: {said}");
    if !run.is_done() && run.output.status.code() == Some(1) {
        assert!(said.contains("hint: ") || said.contains("\"hint\""), "{what}: a failure has a hint: {said}");
    }
}

/// `doctor` without repairs finds nothing broken.
fn assert_healthy(workspace: &Workspace, what: &str) {
    let (found, code) = workspace.json(&["doctor"]);
    let broken: Vec<&Value> =
        found["checks"].as_array().unwrap().iter().filter(|check| check["result"] == "problem").collect();
    assert!(code == 0 && broken.is_empty(), "{what}: {broken:?}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_name() == "ballast" {
            // Its length without its blocks.
            fs::File::create(target).unwrap().set_len(8 << 20).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A workspace like another one.
fn like(template: &Workspace) -> Workspace {
    let workspace = Workspace { dir: tempfile::tempdir().unwrap() };
    copy(template.dir.path(), workspace.dir.path());
    workspace
}

/// The ids and words of the edits that wait.
fn waiting(workspace: &Workspace) -> Vec<(String, String)> {
    let (ops, code) = workspace.json(&["outbox", "list"]);
    assert_eq!(code, 0, "{ops}");
    let field = |op: &Value, name: &str| op[name].as_str().unwrap_or_default().to_owned();
    ops.as_array().unwrap().iter().map(|op| (field(op, "id"), field(op, "state"))).collect()
}

fn offline() -> Workspace {
    let workspace = Workspace::new("http://127.0.0.1:1", &[("tasks", &["n"])]);
    for n in 0..3 {
        workspace.run(&["put", "tasks", &format!("before{n}"), &json!({ "n": n }).to_string()]);
    }
    workspace
}

const JOURNAL: &[&str] = &["journal.db", "journal.db-wal"];
const COPIES: &[&str] = &["mirror.db", "mirror.db-wal", "search.db", "search.db-wal"];

/// What was there before is there, and the new edit is where the program said so.
fn check_edit(workspace: &Workspace, point: Point, run: &Run, what: &str) {
    let record = format!("edit{}", point.id);
    let found = waiting(workspace);
    for n in 0..3 {
        assert!(found.iter().any(|(id, _)| *id == format!("before{n}")), "{what}: {found:?}");
    }
    let there = found.iter().filter(|(id, _)| *id == record).count();
    if run.is_done() {
        assert_eq!(there, 1, "{what}: it was answered as queued: {found:?}");
    }
    // The same command again works, whatever became of the first.
    workspace.run(&["put", "tasks", &record, r#"{"n":8}"#]);
    assert!(waiting(workspace).iter().any(|(id, _)| *id == record), "{what}");
}

#[test]
fn an_edit() {
    let template = offline();
    Sweep {
        name: "edit",
        files: &[JOURNAL, COPIES, &["data.lock", "journal.db-shm"]],
        modes: &MODES,
        prepare: &|_| like(&template),
        command: &|workspace, id| workspace.command(&["put", "tasks", &format!("edit{id}"), r#"{"n":7}"#]),
        check: &check_edit,
    }
    .run();
}

#[test]
fn the_first_edit_of_all() {
    Sweep {
        name: "first edit",
        files: &[&["journal.db", "journal.db-wal", "journal.db.new"], &["mirror.db", "mirror.db-wal", "mirror.db.new"]],
        modes: &MODES,
        prepare: &|_| Workspace::new("http://127.0.0.1:1", &[("tasks", &["n"])]),
        command: &|workspace, _| workspace.command(&["put", "tasks", "first", r#"{"n":1}"#]),
        check: &|workspace, _, run, what| {
            let found = waiting(workspace);
            assert!(found.len() <= 1 && (!run.is_done() || found.len() == 1), "{what}: {found:?}");
            workspace.run(&["put", "tasks", "first", r#"{"n":2}"#]);
            assert!(!waiting(workspace).is_empty(), "{what}");
        },
    }
    .run();
}

#[test]
fn an_import() {
    let template = offline();
    let rows: String = (0..150).map(|n| format!("{{\"id\":\"row{n}\",\"n\":{n}}}\n")).collect();
    fs::write(template.dir.path().join("rows.ndjson"), rows).unwrap();
    Sweep {
        name: "import",
        files: &[JOURNAL],
        modes: &MODES,
        prepare: &|_| like(&template),
        command: &|workspace, _| {
            let file = workspace.dir.path().join("rows.ndjson");
            workspace.command(&["import", "tasks", file.to_str().unwrap(), "--id", "/id"])
        },
        check: &|workspace, _, run, what| {
            let found = waiting(workspace);
            let rows = found.iter().filter(|(id, _)| id.starts_with("row")).count();
            assert!(!run.is_done() || rows == 150, "{what}: {rows}");
            // Parts of a hundred: all of a part or nothing of it.
            assert!([0, 100, 150].contains(&rows), "{what}: {rows}");
        },
    }
    .run();
}

/// A backend and a workspace that has pulled from it.
struct Online {
    serve: Serve,
    template: Workspace,
    _data: tempfile::TempDir,
}

impl Online {
    fn new(pulled: bool) -> Self {
        let data = tempfile::tempdir().unwrap();
        let serve = Serve::start(0, &data.path().join("server.db"));
        let rows: serde_json::Map<String, Value> = (0..25).map(|n| (format!("r{n:02}"), json!({ "n": n }))).collect();
        serve.put("/tasks.json", &rows.into());
        let template = Workspace::new(&serve.url, &[("tasks", &["n"])]);
        let mut config = fs::read_to_string(template.config()).unwrap();
        config.push_str("pull = \"windows\"\n\n[sync]\npage_size = 10\n");
        fs::write(template.config(), config).unwrap();
        if pulled {
            template.run(&["sync"]);
        } else {
            template.run(&["status"]);
        }
        Self { serve, template, _data: data }
    }
}

#[test]
fn a_claim_and_its_settle() {
    let online = Online::new(true);
    let made = AtomicUsize::new(0);
    Sweep {
        name: "claim and settle",
        files: &[JOURNAL, COPIES],
        // A disk that stays full is waited for, a while.
        modes: &[Mode::Kill, Mode::Io, Mode::FullForGood],
        prepare: &|id| {
            let workspace = like(&online.template);
            workspace.run(&["put", "tasks", &format!("sent{id}"), &json!({ "n": id }).to_string()]);
            made.fetch_add(1, Ordering::Relaxed);
            workspace
        },
        command: &|workspace, _| workspace.command(&["sync"]),
        check: &|workspace, point, _, what| {
            let record = format!("sent{}", point.id);
            let listen = |path: &str| online.serve.get(path);
            // By itself, in the next run.
            workspace.run(&["sync"]);
            assert_eq!(waiting(workspace), [], "{what}");
            assert_eq!(listen(&format!("/tasks/{record}.json")), json!({ "n": point.id }), "{what}");
            let (acked, _) = workspace.json(&["outbox", "list", "--state", "acked"]);
            assert_eq!(acked.as_array().unwrap().len(), 1, "{what}: {acked}");
            let (conflicts, _) = workspace.json(&["conflicts", "list"]);
            assert_eq!(conflicts, json!([]), "{what}");
        },
    }
    .run();
    // Each edit was applied once: the backend counts the writes it carried out, one for each workspace, one at first.
    let made = made.into_inner() as u64;
    let writes = online.serve.get("/.ebbtide/stats.json")["writes"].as_u64().unwrap();
    assert!(writes <= made + 1, "{writes} writes for {made} edits");
}

#[test]
fn a_pull_page() {
    let online = Online::new(false);
    Sweep {
        name: "pull page",
        files: &[COPIES],
        modes: &MODES,
        prepare: &|_| like(&online.template),
        command: &|workspace, _| workspace.command(&["sync"]),
        check: &|workspace, _, _, what| {
            workspace.run(&["sync"]);
            let (rows, _) = workspace.json(&["list", "tasks"]);
            let rows = rows.as_array().or_else(|| rows["records"].as_array()).map_or(0, Vec::len);
            assert_eq!(rows, 25, "{what}");
        },
    }
    .run();
}

fn golden(data: &Path) {
    fs::create_dir_all(data).unwrap();
    let journal = rusqlite::Connection::open(data.join("journal.db")).unwrap();
    journal.execute_batch(include_str!("golden/journal-01.sql")).unwrap();
}

#[test]
fn a_migration() {
    Sweep {
        name: "migration",
        files: &[JOURNAL, &["backups/journal-schema1", "backups"]],
        modes: &MODES,
        prepare: &|_| {
            let workspace = Workspace::new("http://127.0.0.1:1", &[("tasks", &["n"])]);
            golden(&workspace.data());
            workspace
        },
        command: &|workspace, _| workspace.command(&["outbox", "list"]),
        check: &|workspace, _, _, what| {
            assert_eq!(waiting(workspace).len(), 10, "{what}");
            let copies = Store::backups(&workspace.data());
            assert!(!copies.is_empty(), "{what}: a copy is kept");
            let count = |path: &PathBuf| -> i64 {
                let copy = rusqlite::Connection::open(path).unwrap();
                copy.query_row("SELECT count(*) FROM ops", [], |row| row.get(0)).unwrap()
            };
            assert!(copies.iter().all(|copy| count(&copy.path) == 12), "{what}: each copy is whole");
        },
    }
    .run();
}

#[test]
fn the_salvage_of_a_damaged_journal() {
    let template = offline();
    let journal = template.data().join("journal.db");
    rusqlite::Connection::open(&journal).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let mut bytes = fs::read(&journal).unwrap();
    bytes[..4096].fill(0xee);
    fs::write(&journal, bytes).unwrap();
    Sweep {
        name: "salvage",
        files: &[
            &["journal.db", "journal.db-wal", "journal.db-shm"],
            &["journal.db.new", "journal.db.new-journal", "journal.db.next"],
            &["damaged"],
        ],
        modes: &MODES,
        prepare: &|_| like(&template),
        command: &|workspace, _| workspace.command(&["outbox", "list"]),
        check: &|workspace, _, _, what| {
            let found = waiting(workspace);
            assert_eq!(found.len(), 3, "{what}: {found:?}");
            assert!(fs::read_dir(workspace.data().join("damaged")).unwrap().count() >= 1, "{what}: the copy is kept");
        },
    }
    .run();
}

#[test]
fn a_backup_and_a_restore() {
    let template = offline();
    template.run(&["journal", "backup", template.dir.path().join("copy.db").to_str().unwrap()]);
    template.run(&["put", "tasks", "later", r#"{"n":1}"#]);
    Sweep {
        name: "backup",
        files: &[&["../new-copy.db", "../new-copy.db.copying"]],
        modes: &MODES,
        prepare: &|_| like(&template),
        command: &|workspace, _| {
            let to = workspace.dir.path().join("new-copy.db");
            workspace.command(&["journal", "backup", to.to_str().unwrap()])
        },
        check: &|workspace, _, run, what| {
            let to = workspace.dir.path().join("new-copy.db");
            assert!(!run.is_done() || to.exists(), "{what}");
            if to.exists() {
                let copy = rusqlite::Connection::open(to).unwrap();
                let n: i64 = copy.query_row("SELECT count(*) FROM ops", [], |row| row.get(0)).unwrap();
                assert_eq!(n, 4, "{what}: what has the name is whole");
            }
            assert_eq!(waiting(workspace).len(), 4, "{what}");
        },
    }
    .run();
    Sweep {
        name: "restore",
        files: &[
            &["journal.db", "journal.db-wal", "journal.db-shm"],
            &["journal.db.new", "journal.db.new.copying", "journal.db.next", "journal.db.restoring"],
        ],
        modes: &MODES,
        prepare: &|_| like(&template),
        command: &|workspace, _| {
            let from = workspace.dir.path().join("copy.db");
            workspace.command(&["journal", "restore", from.to_str().unwrap()])
        },
        check: &|workspace, _, run, what| {
            let found = waiting(workspace).len();
            // The old one or the restored one, never a mixture.
            assert!(found == 3 || (found == 4 && !run.is_done()), "{what}: {found}");
        },
    }
    .run();
}

#[test]
fn an_export() {
    let template = offline();
    Sweep {
        name: "export",
        files: &[&["journal.db", "journal.db-wal", "mirror.db"], &["../out.ndjson"]],
        modes: &MODES,
        prepare: &|_| like(&template),
        command: &|workspace, _| {
            // The shell opens the file; the program's writes to it are swept.
            let mut shell = Command::new("sh");
            let out = workspace.dir.path().join("out.ndjson");
            let command = workspace.command(&["export", "tasks"]);
            let words = std::iter::once(command.get_program()).chain(command.get_args());
            let words: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
            shell.arg("-c").arg(format!("exec {} > '{}'", words.join(" "), out.display()));
            shell
        },
        check: &|workspace, _, run, what| {
            let text = fs::read_to_string(workspace.dir.path().join("out.ndjson")).unwrap_or_default();
            assert!(!run.is_done() || text.lines().count() == 3, "{what}: success means all of it: {text:?}");
            assert_eq!(waiting(workspace).len(), 3, "{what}");
        },
    }
    .run();
}

/// The dashboard, which begins a session (keeping the earlier moment) and restores its screen; it is killed or its disk
/// fails at a point, and the next one shows what the last one held.
#[test]
fn a_session_that_begins_and_is_restored() {
    let template = offline();
    let draft = DraftKey {
        record: CollectionKey::new("lab", "tasks").record("before1"),
        target: ebbtide::model::draft::DraftTarget::Document,
    };
    {
        let mut screen = template.dashboard(100, 30, &[]);
        screen.wait("a list", |frame| frame.contains("before1"));
        screen.send("/before");
        screen.wait("the filter", |frame| frame.contains("/before") || frame.contains("filter"));
        screen.send("\r");
        screen.send("q");
        screen.wait_exit();
        let store = Store::open(&template.data(), OpenMode::ReadWrite, Arc::new(SystemClock::new())).unwrap();
        let snapshot = ebbtide::model::draft::DraftWrite::Snapshot {
            key: draft.clone(),
            snapshot: "half a word".to_owned(),
            base: None,
            base_revision: None,
            versions: ebbtide::model::draft::Versions::new(0, 1),
        };
        let commit = UiCommit { drafts: vec![snapshot], ..UiCommit::default() };
        store.commit_ui(&"default".into(), commit).wait().unwrap();
    }
    let all = std::env::var("SWEEP").is_ok_and(|sweep| sweep == "all");
    let points: Vec<usize> = if all { (1..=40).collect() } else { vec![1, 2, 4, 7, 11, 17, 26] };
    let mut reached = 0;
    for mode in MODES {
        for n in &points {
            let what = format!("session {mode:?} {n}");
            let workspace = like(&template);
            let trace = workspace.dir.path().join("trace");
            let command = workspace.command(&[]);
            let strace = straced(&workspace.data(), JOURNAL, Some(&mode.inject(*n)), &trace, &command);
            let args: Vec<String> = strace.get_args().map(|arg| arg.to_str().unwrap().to_owned()).collect();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let mut screen = Pty::start_program(Path::new("/usr/bin/strace"), &args, 100, 30, &[]);
            // Frames, a refusal, or the end; then `kill -9`, if it lives.
            if screen.wait_frames(1, std::time::Duration::from_secs(20)) > 0 {
                let frames = screen.frames();
                screen.send("jj");
                screen.wait_frames(frames + 1, std::time::Duration::from_secs(5));
            }
            kill_child_of(screen.pid());
            screen.wait_exit();
            reached += usize::from(fs::read_to_string(&trace).unwrap_or_default().contains("INJECTED"));
            assert_eq!(waiting(&workspace).len(), 3, "{what}");
            let mut screen = workspace.dashboard(100, 30, &[]);
            screen.wait(&what, |frame| frame.contains("before1") && frame.contains("before"));
            screen.send("q");
            screen.wait_exit();
            let store = Store::open(&workspace.data(), OpenMode::ReadWrite, Arc::new(SystemClock::new())).unwrap();
            let drafts = store.reader().unwrap().drafts().unwrap();
            assert!(drafts.iter().any(|found| found.key == draft && found.snapshot == "half a word"), "{what}");
            drop(store);
            assert_healthy(&workspace, &what);
        }
    }
    println!("session: {} points, {reached} reached by an error", points.len() * MODES.len());
}

/// `kill -9` for the program that strace runs; strace ends with it.
fn kill_child_of(strace: u32) {
    let children = fs::read_to_string(format!("/proc/{strace}/task/{strace}/children")).unwrap_or_default();
    for child in children.split_whitespace() {
        let _ = Command::new("kill").args(["-9", child]).status();
    }
}
