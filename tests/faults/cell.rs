//! One cell of the table: an engine that is live, a fault, something that meets it, and what must be true afterwards.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use ebbtide::{
    model::{
        ids::{RecordId, RecordKey, Seq},
        json::same_value,
        op::OpState,
        rtdb,
        source::{AuthSpec, Deadlines, PullMode, SyncSettings},
        sync_status::{PullPhase, SyncRequest},
        time::Clock as _,
    },
    server::Tuning,
};
use serde_json::{Value, json};

use crate::{
    FAULTS,
    common::{
        proxy::{Fault, Kind, Point, Stranger, answer},
        rig::{Rig, Running, Wanted, id, tasks},
    },
};

/// So many records are there before the fault.
const RECORDS: u64 = 25;
/// A retry is at most this far away when a fault of these ends: two failures let full jitter grow to 4 s, and a probe or
/// a deadline may come before it. The rest is for a busy machine.
const RETRY_PERIOD: Duration = Duration::from_secs(20);

/// What a cell's requests meet.
pub enum Trouble {
    /// The requests of the cell's kind meet these, one each.
    Faults(Vec<Fault>),
    /// The first request is held until its repeat was acknowledged, and only then delivered.
    LateOriginal,
    /// The token in use is refused; the file it comes from holds a new one by then.
    Expired,
    /// To a host that must hear nothing.
    Redirect,
    /// Nobody listens.
    Refused,
    /// Every request of any kind meets this, until it is over.
    Everything(Fault),
}

/// Whether the cell has failed, told by its end, and the sum printed by the last one.
struct Tally(&'static str, Kind);

static ENDED: AtomicUsize = AtomicUsize::new(0);
static LOST: AtomicUsize = AtomicUsize::new(0);
static DOUBLED: AtomicUsize = AtomicUsize::new(0);
static FAILED: AtomicUsize = AtomicUsize::new(0);

impl Drop for Tally {
    fn drop(&mut self) {
        if std::thread::panicking() {
            FAILED.fetch_add(1, Ordering::SeqCst);
            eprintln!("cell {} × {:?} failed", self.0, self.1);
        }
        let cells = ENDED.fetch_add(1, Ordering::SeqCst) + 1;
        if cells == FAULTS * 5 {
            let count = |sum: &AtomicUsize| sum.load(Ordering::SeqCst);
            let (lost, doubled, failed) = (count(&LOST), count(&DOUBLED), count(&FAILED));
            // Not `println`: the sum is wanted although every test passed.
            let line = format!("\nfaults: {cells} cells, {lost} lost, {doubled} doubled, {failed} failed\n");
            let _ = std::io::stdout().write_all(line.as_bytes());
        }
    }
}

pub fn run(name: &'static str, kind: Kind, trouble: Trouble) {
    let _tally = Tally(name, kind);
    let cell = Cell::new(kind);
    match kind {
        Kind::Create | Kind::Update | Kind::Delete => cell.write(trouble),
        Kind::Read => cell.pull(trouble),
        Kind::Stream => cell.stream(trouble),
    }
}

struct Cell {
    kind: Kind,
    rig: Rig,
    running: Running,
    stranger: Stranger,
    token: std::path::PathBuf,
    _secrets: tempfile::TempDir,
    watched: Watched,
    writes_before: u64,
    /// Edits of this cell: what each wants, and its op.
    edits: Vec<(RecordKey, Option<Value>, Seq)>,
}

impl Cell {
    fn new(kind: Kind) -> Self {
        let secrets = tempfile::tempdir().unwrap();
        let token = secrets.path().join("token");
        std::fs::write(&token, "old").unwrap();
        let rig = Rig::of(Wanted {
            records: RECORDS,
            pull: if kind == Kind::Read { PullMode::Windows } else { PullMode::Stream },
            settings: SyncSettings {
                probe_every: Duration::from_secs(1),
                page_size: 10,
                deadlines: Deadlines {
                    connect: Duration::from_secs(1),
                    read: Duration::from_secs(1),
                    total: Duration::from_secs(2),
                    bulk: Duration::from_secs(2),
                    heartbeat: Duration::from_millis(400),
                },
                ..SyncSettings::default()
            },
            data: None,
            auth: AuthSpec::File(token.clone()),
            tuning: Tuning { keep_alive: Duration::from_millis(200), ..Tuning::default() },
            ..Wanted::default()
        });
        let watched = Watched::of(rig.server.address());
        let stranger = rig.runtime.block_on(Stranger::start());
        let mut running = rig.start();
        match kind {
            Kind::Read => running.until_phase(&PullPhase::Settled),
            _ => running.until_phase(&PullPhase::Live),
        }
        let writes_before = rig.server.writes_applied();
        Self { kind, rig, running, stranger, token, _secrets: secrets, watched, writes_before, edits: Vec::new() }
    }

    // --- the three stories ------------------------------------------------------------------------------------------

    /// An edit of ours meets the fault.
    fn write(mut self, trouble: Trouble) {
        let (record, document) = match self.kind {
            Kind::Create => {
                let made = rtdb::push_id(&self.rig.clock.at());
                (tasks().record(made.as_str()), Some(json!({ "title": "Made here", "n": 100 })))
            }
            Kind::Delete => (tasks().record(id(2)), None),
            _ => (tasks().record(id(1)), Some(json!({ "n": 1, "title": "Changed here", "done": true }))),
        };
        let faults = self.begin(&trouble);
        self.edit(record, document);
        self.until_met(&trouble, faults);
        self.end(&trouble);
        self.until("the edit is acknowledged", |cell| cell.running.reader.counts().unwrap().pending() == 0);
        self.finish(&trouble);
    }

    /// Others have changed things, and the reading of them meets the fault. An edit of ours waits meanwhile.
    fn pull(mut self, trouble: Trouble) {
        self.others_write();
        let faults = self.begin(&trouble);
        self.edit(tasks().record(id(5)), Some(json!({ "n": 5, "title": "Changed here" })));
        self.running.engine.request(SyncRequest::Sync { source: None });
        self.until_met(&trouble, faults);
        self.end(&trouble);
        self.until("both sides are equal", Self::is_equal);
        self.finish(&trouble);
    }

    /// The live feed breaks and its reopening meets the fault; others write into the gap.
    fn stream(mut self, trouble: Trouble) {
        let faults = self.begin(&trouble);
        self.rig.proxy.hang_up();
        self.until_met(&trouble, faults);
        self.others_write();
        self.edit(tasks().record(id(5)), Some(json!({ "n": 5, "title": "Changed here" })));
        self.end(&trouble);
        self.until("the feed is live and both sides are equal", |cell| {
            cell.running.phase() == Some(PullPhase::Live) && cell.is_equal()
        });
        // What comes after the gap comes live.
        self.rig.put(&id(6), &json!({ "n": 6, "title": "Live again" }));
        self.writes_before += 1;
        self.until("a change comes in", Self::is_equal);
        self.finish(&trouble);
    }

    // --- steps ------------------------------------------------------------------------------------------------------

    /// How many faults have to be met.
    fn begin(&mut self, trouble: &Trouble) -> u64 {
        let proxy = &self.rig.proxy;
        match trouble {
            Trouble::Faults(faults) => {
                proxy.fail(Some(self.kind), faults.iter().cloned());
                faults.len() as u64
            }
            Trouble::LateOriginal => {
                proxy.fail(Some(self.kind), [Fault::Hold(Point::BeforeSending)]);
                1
            }
            Trouble::Expired => {
                std::fs::write(&self.token, "new").unwrap();
                proxy.fail_always(Some(self.kind), Fault::Expire("old"));
                1
            }
            Trouble::Redirect => {
                let to = format!("Location: http://{}/tasks.json", self.stranger.address);
                let away = Fault::Say(answer("307 Temporary Redirect", &[&to], ""));
                proxy.fail(Some(self.kind), [away.clone(), away]);
                2
            }
            Trouble::Refused => {
                proxy.cut();
                0
            }
            Trouble::Everything(fault) => {
                proxy.fail_always(None, fault.clone());
                2
            }
        }
    }

    fn until_met(&mut self, trouble: &Trouble, faults: u64) {
        self.until("the fault is met", |cell| match trouble {
            Trouble::LateOriginal => cell.rig.proxy.held() > 0,
            Trouble::Refused => !cell.running.connectivity().is_usable(),
            _ => cell.rig.proxy.hits() >= faults,
        });
    }

    fn end(&mut self, trouble: &Trouble) {
        match trouble {
            Trouble::Refused => self.rig.proxy.restore(),
            Trouble::Everything(_) => self.rig.proxy.heal(),
            _ => {}
        }
    }

    fn edit(&mut self, record: RecordKey, document: Option<Value>) {
        let seq = self.running.save(&record, document.clone());
        self.edits.push((record, document, seq));
    }

    fn others_write(&mut self) {
        self.rig.put(&id(3), &json!({ "n": 3, "title": "Changed there" }));
        self.rig.put(&"made-there".into(), &json!({ "title": "Made there" }));
        crate::common::rig::request(self.rig.server.address(), "DELETE", &format!("/tasks/{}.json", id(4)), None);
        self.writes_before += 3;
    }

    /// Waits, and looks at every step that nothing of ours disappears and nothing is deleted without proof.
    fn until(&mut self, what: &str, mut is_there: impl FnMut(&mut Self) -> bool) {
        let began = Instant::now();
        while !is_there(self) {
            self.look();
            assert!(
                began.elapsed() < RETRY_PERIOD,
                "no progress within a retry period: {what}; met {:?}; status {:#?}; said {:?}; outbox {:?}",
                self.rig.proxy.seen(),
                self.running.status,
                self.running.said.lock().unwrap(),
                self.running.reader.counts()
            );
            if let Ok(event) = self.running.events.recv_timeout(Duration::from_millis(20)) {
                self.running.take(event);
            }
        }
    }

    fn look(&mut self) {
        for (record, document, _) in self.edits.clone() {
            let local = self.running.local(&record.id);
            let shown = match (&local, &document) {
                (Some(local), Some(document)) => same_value(local, document),
                (local, document) => local.is_none() == document.is_none(),
            };
            assert!(shown, "{record} was edited to {document:?} and shows {local:?}");
        }
        let records = self.running.records();
        assert!(records >= RECORDS - 1, "records vanished: {records} of {RECORDS} are left");
    }

    fn is_equal(&mut self) -> bool {
        let there = self.rig.there();
        let pending = self.running.reader.counts().unwrap().pending();
        pending == 0
            && self.running.records() == there.len() as u64
            && there.iter().all(|(id, document)| {
                self.running.local(&RecordId(id.clone())).is_some_and(|local| same_value(&local, document))
            })
    }

    /// What must be true when it is over.
    fn finish(mut self, trouble: &Trouble) {
        if matches!(trouble, Trouble::LateOriginal) {
            self.rig.proxy.release();
        }
        if matches!(trouble, Trouble::LateOriginal) || *trouble == [Fault::DelayPastDeadline] {
            self.until("the late original has arrived", |cell| cell.rig.proxy.late() > 0);
        }
        self.until("both sides are equal", Self::is_equal);
        let acked = self.running.reader.outbox(&[OpState::Acked], None, 10).unwrap();
        for (record, document, seq) in &self.edits {
            let is_acked = acked.iter().any(|op| op.seq == *seq);
            let there = self.rig.there().get(record.id.as_str()).cloned();
            let arrived = match (&there, document) {
                (Some(there), Some(document)) => same_value(there, document),
                (there, document) => there.is_none() == document.is_none(),
            };
            LOST.fetch_add(usize::from(!is_acked || !arrived), Ordering::SeqCst);
            assert!(is_acked && arrived, "{record}: acked {is_acked}, the server has {there:?}");
        }
        let writes = self.rig.server.writes_applied() - self.writes_before;
        DOUBLED.fetch_add(usize::from(writes > self.edits.len() as u64), Ordering::SeqCst);
        assert_eq!(writes, self.edits.len() as u64, "writes applied by the server, {:?}", self.rig.proxy.seen());
        let times = self.watched.until(&self.edits);
        DOUBLED.fetch_add(usize::from(times.iter().any(|times| *times > 1)), Ordering::SeqCst);
        assert!(times.iter().all(|times| *times == 1), "each value is seen once, not {times:?}");
        assert_eq!(self.stranger.heard(), Vec::<Vec<u8>>::new(), "another host was told something");
        let conflicts = self.running.reader.conflicts(true).unwrap();
        assert!(conflicts.is_empty(), "{conflicts:?}");
        assert!(!self.running.said.lock().unwrap().iter().any(|text| text.contains("nothing moved")), "I4 was broken");
        self.running.stop();
        self.rig.end();
    }
}

impl PartialEq<[Fault; 1]> for Trouble {
    fn eq(&self, faults: &[Fault; 1]) -> bool {
        matches!(self, Self::Faults(mine) if mine == faults)
    }
}

/// What the server streams to somebody who is not ebbtide, past the proxy.
struct Watched {
    events: mpsc::Receiver<Value>,
    seen: BTreeMap<String, Vec<Value>>,
}

impl Watched {
    fn of(server: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(server).unwrap();
        write!(stream, "GET /tasks.json HTTP/1.0\r\nHost: {server}\r\nAccept: text/event-stream\r\n\r\n").unwrap();
        let (sent, events) = mpsc::channel();
        let began = Arc::new(Mutex::new(false));
        let begun = Arc::clone(&began);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let Some(data) = line.strip_prefix("data: ") else { continue };
                let value: Value = serde_json::from_str(data).unwrap_or(Value::Null);
                *begun.lock().unwrap() = true;
                if value["path"] != json!("/") && !value.is_null() && sent.send(value).is_err() {
                    return;
                }
            }
        });
        // Nothing is missed: what is written from now on comes as an event.
        crate::common::wait_for("the stream's first event", || began.lock().unwrap().then_some(()));
        Self { events, seen: BTreeMap::new() }
    }

    /// How often each edit's value came, after all that was written has come.
    fn until(&mut self, edits: &[(RecordKey, Option<Value>, Seq)]) -> Vec<usize> {
        let times = |seen: &BTreeMap<String, Vec<Value>>| -> Vec<usize> {
            let count = |(record, document, _): &(RecordKey, Option<Value>, Seq)| {
                let wanted = document.clone().unwrap_or(Value::Null);
                let values = seen.get(record.id.as_str());
                values.map_or(0, |values| values.iter().filter(|value| same_value(value, &wanted)).count())
            };
            edits.iter().map(count).collect()
        };
        crate::common::wait_for("the server's stream", || {
            while let Ok(event) = self.events.try_recv() {
                let record = event["path"].as_str().unwrap_or("").trim_start_matches('/').to_owned();
                self.seen.entry(record).or_default().push(event["data"].clone());
            }
            times(&self.seen).iter().all(|times| *times > 0).then_some(())
        });
        times(&self.seen)
    }
}
