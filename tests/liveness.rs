//! A running `ebbtide sync --watch` that is killed, cut off and lied to at random: whatever happens, once it is over the
//! queue drains by itself, and each edit has had one effect.
//!
//! `ROUNDS=1000 SEED=n cargo test --release --test liveness -- --nocapture` makes longer runs.

#![expect(clippy::disallowed_methods, reason = "a test that waits for real processes needs a real clock")]

mod common;

use std::{
    collections::BTreeMap,
    process::{Child, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use common::{
    Random, Workspace,
    proxy::{Fault, Kind, Place, Proxy, answer},
    server::Serve,
};
use ebbtide::{
    model::{ids::CollectionKey, json::same_value},
    runtime::clock::SystemClock,
    store::{OpenMode, Reader, Store},
};
use serde_json::{Value, json};

/// Runs go side by side on so many servers; most of their time is waiting.
const LANES: usize = 4;
const RECORDS: usize = 8;
/// A run that has not drained so long after its trouble ended is stuck. A handful of failures lets a retry be half a
/// minute away at most.
const STUCK: Duration = Duration::from_secs(90);

#[derive(Debug, Default)]
struct Tally {
    runs: usize,
    kills: usize,
    cuts: usize,
    met: u64,
    edits: usize,
    stuck: usize,
    slowest: Duration,
}

#[test]
fn a_watched_sync_is_never_stuck_when_its_trouble_is_over() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(40);
    let seed = common::seed(1);
    let lanes: Vec<Tally> = std::thread::scope(|scope| {
        let lane = |lane: usize| scope.spawn(move || Lane::new(seed + lane as u64).play(rounds / LANES));
        let lanes: Vec<_> = (0..LANES).map(lane).collect();
        lanes.into_iter().map(|lane| lane.join().unwrap()).collect()
    });
    let sum = |of: fn(&Tally) -> usize| lanes.iter().map(of).sum::<usize>();
    let met: u64 = lanes.iter().map(|lane| lane.met).sum();
    let slowest = lanes.iter().map(|lane| lane.slowest).max().unwrap_or_default();
    println!(
        "liveness: seed {seed}, {} runs, {} kills, {} partitions, {met} faults met, {} edits, slowest {:.1} s, {} stuck",
        sum(|lane| lane.runs),
        sum(|lane| lane.kills),
        sum(|lane| lane.cuts),
        sum(|lane| lane.edits),
        slowest.as_secs_f64(),
        sum(|lane| lane.stuck),
    );
    assert_eq!(sum(|lane| lane.stuck), 0, "seed {seed}");
}

/// The server accepts every connection and says nothing, an edit waits, and no deadline passes while the keys are pressed.
#[test]
fn every_key_is_answered_while_the_network_answers_nothing() {
    let mut lane = Lane::new(common::seed(1));
    let config = std::fs::read_to_string(lane.workspace.config()).unwrap();
    std::fs::write(lane.workspace.config(), config.split("[sync]").next().unwrap()).unwrap();
    lane.proxy.fail_always(None, Fault::HalfOpen);
    lane.workspace.run(&["patch", "tasks", "task-003", r#"{"n":1}"#]);
    let mut pty = lane.workspace.dashboard(120, 36, &[]);
    pty.wait_text("task-003");
    common::wait_for("a request that is never answered", || (lane.proxy.hits() > 0).then_some(()));
    let began = Instant::now();
    pty.send("/");
    for typed in ["t", "ta", "tas", "task", "task-", "task-0", "task-01"] {
        pty.send(&typed[typed.len() - 1..]);
        pty.wait("what was typed", |frame| frame.rows.iter().any(|row| row.contains(&format!("FILTER {typed}"))));
    }
    pty.send("\r4");
    pty.wait("the outbox", |frame| frame.contains("task-003") && frame.contains("Outbox"));
    assert!(began.elapsed() < Duration::from_secs(15), "it waited for an answer: {:?}", began.elapsed());
    assert_eq!(lane.reader.counts().unwrap().pending(), 1);
    pty.kill();
    lane.end();
}

/// One server, one proxy, one data dir, one process at a time.
struct Lane {
    seed: u64,
    random: Random,
    _runtime: tokio::runtime::Runtime,
    serve: Serve,
    proxy: Proxy,
    workspace: Workspace,
    reader: Reader,
    _store: Store,
    _data: tempfile::TempDir,
    child: Option<Child>,
    /// What each record is to be at the end; `None`: deleted.
    wanted: BTreeMap<String, Option<Value>>,
    others: usize,
    tally: Tally,
}

impl Lane {
    fn new(seed: u64) -> Self {
        let data = tempfile::tempdir().unwrap();
        let serve = Serve::start(0, &data.path().join("server.db"));
        let rows: serde_json::Map<String, Value> =
            (0..RECORDS * 4).map(|n| (format!("task-{n:03}"), json!({ "n": 0 }))).collect();
        serve.put("/tasks.json", &rows.into());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let proxy = runtime.block_on(Proxy::start(serve.address().parse().unwrap()));
        let workspace = Workspace::new(&format!("http://{}", proxy.address), &[("tasks", &["n"])]);
        let mut config = std::fs::read_to_string(workspace.config()).unwrap();
        config.push_str("\n[sync]\nprobe_every = \"2s\"\nconnect_timeout = \"1s\"\nread_timeout = \"1s\"\n");
        config.push_str("request_timeout = \"2s\"\nbulk_timeout = \"2s\"\n");
        std::fs::write(workspace.config(), config).unwrap();
        workspace.run(&["sync"]);
        let store = Store::open(&workspace.data(), OpenMode::ReadWrite, Arc::new(SystemClock::new())).unwrap();
        Self {
            seed,
            random: Random::new(seed),
            _runtime: runtime,
            serve,
            proxy,
            workspace,
            reader: store.reader().unwrap(),
            _store: store,
            _data: data,
            child: None,
            wanted: BTreeMap::new(),
            others: 0,
            tally: Tally::default(),
        }
    }

    fn play(mut self, rounds: usize) -> Tally {
        let writes = self.writes();
        for round in 0..rounds {
            self.watch();
            for _ in 0..1 + self.random.below(3) {
                self.trouble();
                self.edit();
                self.somebody_else_edits();
                self.let_it_try();
            }
            if self.random.below(3) == 0 {
                self.kill();
            }
            self.proxy.heal();
            self.proxy.restore();
            self.watch();
            self.tally.runs += 1;
            self.wait_until_equal(round);
        }
        self.end();
        let acked = self.workspace.json(&["outbox", "list", "--state", "acked"]).0;
        let acked = acked.as_array().unwrap().len();
        let theirs = self.others as u64;
        assert_eq!(self.writes() - writes - theirs, acked as u64, "seed {}: an op had two effects or none", self.seed);
        self.tally.met = self.proxy.hits();
        std::mem::take(&mut self.tally)
    }

    fn watch(&mut self) {
        let is_running = self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none());
        if !is_running {
            let mut command = self.workspace.command(&["sync", "--watch"]);
            self.child = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        }
    }

    /// Until a fault is met, or up to a random moment: trouble is to last, and to end in the midst of anything.
    fn let_it_try(&mut self) {
        let (met, began) = (self.proxy.hits(), Instant::now());
        let patience = Duration::from_millis(self.random.next() % 2_500);
        while self.proxy.hits() == met && began.elapsed() < patience {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn kill(&mut self) {
        // At any instant of what it does.
        std::thread::park_timeout(Duration::from_millis(self.random.next() % 80));
        self.end();
        self.tally.kills += 1;
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn trouble(&mut self) {
        match self.random.below(8) {
            0 => {
                self.proxy.cut();
                self.tally.cuts += 1;
            }
            1 => self.proxy.restore(),
            2 => self.proxy.hang_up(),
            _ => {
                let kinds = [None, None, Some(Kind::Create), Some(Kind::Update), Some(Kind::Read), Some(Kind::Stream)];
                let kind = *self.random.pick(&kinds);
                let faults: Vec<Fault> = (0..1 + self.random.below(3)).map(|_| self.fault()).collect();
                self.proxy.fail(kind, faults);
            }
        }
    }

    fn fault(&mut self) -> Fault {
        let say = |status: &str, headers: &[&str]| answer(status, headers, r#"{"error":"told you"}"#);
        let page = || answer("200 OK", &["content-type: text/html"], "<html>sign in</html>");
        let at = self.random.below(200);
        match self.random.below(14) {
            0 => Fault::DropRequest,
            1 | 2 => Fault::DropAnswer,
            3 => Fault::DelayPastDeadline,
            4 => Fault::Duplicate,
            5 => Fault::Truncate(Place::Byte(at)),
            6 => Fault::Truncate(Place::Last),
            7 => Fault::Say(say("500 Internal Server Error", &[])),
            8 => Fault::SayAfter(say("502 Bad Gateway", &[])),
            9 => Fault::Say(say("503 Service Unavailable", &["Retry-After: 1"])),
            10 => Fault::Say(say("429 Too Many Requests", &[])),
            11 => Fault::Say(say("401 Unauthorized", &[])),
            12 => Fault::SayAfter(page()),
            _ => Fault::HalfOpen,
        }
    }

    /// Each value is new, so that none can be taken for another's.
    fn edit(&mut self) {
        self.tally.edits += 1;
        let n = self.tally.edits;
        match self.random.below(6) {
            0 => {
                let record = format!("made-{n:04}");
                self.workspace.run(&["put", "tasks", &record, &json!({ "n": n }).to_string()]);
                self.wanted.insert(record, Some(json!({ "n": n })));
            }
            1 => {
                // Never one that is edited elsewhere, and never twice: bringing a state back is guarded for two minutes.
                let record = format!("task-{:03}", RECORDS + n % (RECORDS * 3));
                if self.wanted.contains_key(&record) {
                    return;
                }
                self.workspace.run(&["delete", "tasks", &record]);
                self.wanted.insert(record, None);
            }
            _ => {
                let record = format!("task-{:03}", self.random.below(RECORDS));
                self.workspace.run(&["patch", "tasks", &record, &json!({ "n": n }).to_string()]);
                self.wanted.insert(record, Some(json!({ "n": n })));
            }
        }
    }

    fn somebody_else_edits(&mut self) {
        if self.random.below(3) == 0 {
            self.others += 1;
            let value = json!({ "theirs": self.others });
            self.serve.put(&format!("/tasks/theirs-{}.json", self.others % 5), &value);
        }
    }

    fn wait_until_equal(&mut self, round: usize) {
        let began = Instant::now();
        while !self.is_equal() {
            if began.elapsed() > STUCK {
                self.tally.stuck += 1;
                let (status, _) = self.workspace.json(&["status"]);
                let (ops, _) = self.workspace.json(&["outbox", "list"]);
                eprintln!("seed {} round {round} is stuck: {status:#}\n{ops:#}\n{:?}", self.seed, self.proxy.seen());
                return;
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        self.tally.slowest = self.tally.slowest.max(began.elapsed());
    }

    /// The queue is empty, both sides hold the same, and that is what was wanted.
    fn is_equal(&mut self) -> bool {
        if self.reader.counts().unwrap().pending() > 0 {
            return false;
        }
        let there = self.serve.get("/tasks.json");
        let there = there.as_object().unwrap();
        let collection = CollectionKey::new("lab", "tasks");
        for (record, wanted) in &self.wanted {
            let same = match (there.get(record), wanted) {
                (Some(there), Some(wanted)) => same_value(there, wanted),
                (there, wanted) => there.is_none() && wanted.is_none(),
            };
            assert!(same, "seed {}: {record} is {:?}, not {wanted:?}", self.seed, there.get(record));
        }
        let rows = self.reader.overview(std::slice::from_ref(&collection)).unwrap()[0].records;
        rows == there.len() as u64
            && there.iter().all(|(record, value)| {
                let local = self.reader.record(&collection.record(record.as_str())).unwrap().local;
                local.is_some_and(|local| same_value(&local, value))
            })
    }

    /// Writes the server has applied, as it counted them itself.
    fn writes(&self) -> u64 {
        self.serve.get("/.ebbtide/stats.json")["writes"].as_u64().unwrap()
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.end();
    }
}
