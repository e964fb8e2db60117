//! The engine with everything real: store, HTTP client, embedded backend, sockets, threads; and a proxy in between.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use ebbtide::{
    model::{
        edit,
        ids::{CollectionKey, OpId, RecordId, RecordKey, Seq},
        json::same_value,
        op::{NewOp, OpKind},
        rules::ConflictRules,
        source::{AuthSpec, CollectionSpec, PullMode, SourceKind, SourceSpec, SyncSettings},
        sync_status::{ConnectivityState, Leadership, PullPhase, SourceStatus, SyncRequest},
        time::Clock,
    },
    runtime::{
        clock::SystemClock,
        engine::{Engine, EngineEvent, EngineSetup},
    },
    server::{Options, Server, Tuning},
    store::{OpenMode, QueueEdit, Reader, Store},
};
use serde_json::{Value, json};

use super::proxy::Proxy;

pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn tasks() -> CollectionKey {
    CollectionKey::new("demo", "tasks")
}

pub fn id(n: u64) -> RecordId {
    RecordId(format!("t{n:05}"))
}

pub fn seed(count: u64) -> Value {
    let rows = (0..count).map(|n| (id(n).0, json!({ "n": n, "title": format!("Task {n}"), "done": false })));
    json!({ "tasks": Value::Object(rows.collect()) })
}

/// A backend, a proxy in front of it, a data dir.
pub struct Rig {
    pub runtime: tokio::runtime::Runtime,
    pub server: Server,
    pub proxy: Proxy,
    pub dir: tempfile::TempDir,
    pub clock: Arc<SystemClock>,
    pub pull: PullMode,
    pub settings: SyncSettings,
    pub auth: AuthSpec,
    pub rules: ConflictRules,
}

/// How a rig is to be.
#[derive(Default)]
pub struct Wanted {
    /// So many are there at the start.
    pub records: u64,
    pub pull: PullMode,
    pub settings: SyncSettings,
    /// Where the server keeps its data; nowhere by default.
    pub data: Option<PathBuf>,
    pub auth: AuthSpec,
    pub tuning: Tuning,
    pub rules: ConflictRules,
}

/// An engine on the rig's data dir, and what it said.
pub struct Running {
    pub engine: Engine,
    pub store: Store,
    pub reader: Reader,
    pub events: mpsc::Receiver<EngineEvent>,
    pub status: Vec<SourceStatus>,
    pub leadership: Leadership,
    pub idle: u32,
    pub said: Arc<Mutex<Vec<String>>>,
    pub clock: Arc<SystemClock>,
}

impl Rig {
    pub fn new(records: u64) -> Self {
        Self::with(records, PullMode::Auto, SyncSettings::default(), None)
    }

    pub fn with(records: u64, pull: PullMode, settings: SyncSettings, data: Option<PathBuf>) -> Self {
        Self::of(Wanted { records, pull, settings, data, ..Wanted::default() })
    }

    pub fn of(wanted: Wanted) -> Self {
        let Wanted { records, pull, settings, data, auth, tuning, rules } = wanted;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let clock = Arc::new(SystemClock::new());
        let options = Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            data,
            seed: Some(seed(records)),
            token: None,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
        };
        let server = runtime.block_on(Server::start_tuned(options, tuning)).unwrap();
        let proxy = runtime.block_on(Proxy::start(server.address()));
        Self { runtime, server, proxy, dir: tempfile::tempdir().unwrap(), clock, pull, settings, auth, rules }
    }

    pub fn source(&self) -> SourceSpec {
        SourceSpec {
            name: "demo".into(),
            kind: SourceKind::Firebase,
            url: format!("http://{}", self.proxy.address),
            auth: self.auth.clone(),
            read_only: false,
            allow_plain: false,
            user: None,
            collections: vec![CollectionSpec {
                name: "tasks".into(),
                path: "tasks".to_owned(),
                columns: Vec::new(),
                title: None,
                pull: self.pull,
                updated_at: None,
                conflicts: self.rules.clone(),
            }],
        }
    }

    pub fn start(&self) -> Running {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let store = Store::open(self.dir.path(), OpenMode::ReadWrite, Arc::clone(&clock)).unwrap();
        let (send, events) = mpsc::channel();
        let setup = EngineSetup {
            sources: vec![self.source()],
            settings: self.settings.clone(),
            store: store.clone(),
            clock,
            forced_offline: false,
        };
        let said = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&said);
        let engine = Engine::start(setup, move |event| {
            if let EngineEvent::Activity(activity) = &event {
                log.lock().unwrap().push(activity.text.clone());
            }
            let _ = send.send(event);
        });
        let reader = store.reader().unwrap();
        Running {
            engine,
            store,
            reader,
            events,
            status: Vec::new(),
            leadership: Leadership::None,
            idle: 0,
            said,
            clock: Arc::clone(&self.clock),
        }
    }

    /// Runs `ebbtide --json` on this data and server; what it prints. An error is printed to stderr.
    pub fn command_line(&self) -> impl Fn(&[&str], i32) -> Value + use<> {
        let dir = self.dir.path().to_path_buf();
        let config = dir.join("config.toml");
        let text = format!(
            "[[source]]\nname = \"demo\"\nkind = \"firebase\"\nurl = \"http://{}\"\n[[source.collection]]\nname = \"tasks\"\n",
            self.proxy.address
        );
        std::fs::write(&config, text).unwrap();
        move |args, code| {
            let output = super::ebbtide(&dir, &config, args).arg("--json").output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
            let document = if output.stdout.is_empty() { output.stderr } else { output.stdout };
            serde_json::from_slice(&document).unwrap()
        }
    }

    /// What the server holds.
    pub fn there(&self) -> serde_json::Map<String, Value> {
        match request(self.server.address(), "GET", "/tasks.json", None) {
            Value::Object(rows) => rows,
            _ => serde_json::Map::new(),
        }
    }

    /// Somebody else writes, past the proxy.
    pub fn put(&self, id: &RecordId, document: &Value) {
        request(self.server.address(), "PUT", &format!("/tasks/{id}.json"), Some(document));
    }

    pub fn end(self) {
        self.runtime.block_on(self.server.stop());
    }
}

impl Running {
    /// Takes events until `is_there` holds.
    pub fn until(&mut self, what: &str, mut is_there: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_there(self) {
            assert!(
                Instant::now() < end,
                "waited too long until {what}; status {:#?}, said {:?}, outbox {:?}",
                self.status,
                self.said.lock().unwrap(),
                self.reader.counts()
            );
            // Conditions may look at what no event tells (the server's side), hence a bound on the wait.
            if let Ok(event) = self.events.recv_timeout(Duration::from_millis(50)) {
                self.take(event);
            }
        }
    }

    pub fn take(&mut self, event: EngineEvent) {
        match event {
            EngineEvent::Status(status) => self.status = status,
            EngineEvent::Leadership(leadership) => self.leadership = leadership,
            EngineEvent::Idle => self.idle += 1,
            EngineEvent::Changed { .. } | EngineEvent::Activity(_) => {}
        }
    }

    pub fn until_phase(&mut self, phase: &PullPhase) {
        self.until(&format!("{phase:?}"), |running| running.phase().as_ref() == Some(phase));
    }

    pub fn phase(&self) -> Option<PullPhase> {
        Some(self.status.first()?.collections.first()?.phase.clone())
    }

    pub fn connectivity(&self) -> ConnectivityState {
        self.status.first().map_or(ConnectivityState::Unknown, |status| status.connectivity.state)
    }

    pub fn until_drained(&mut self) {
        self.until("the outbox is empty", |running| running.reader.counts().unwrap().pending() == 0);
    }

    pub fn local(&mut self, id: &RecordId) -> Option<Value> {
        self.reader.record(&tasks().record(id.clone())).unwrap().local.as_deref().cloned()
    }

    pub fn records(&mut self) -> u64 {
        self.reader.overview(&[tasks()]).unwrap()[0].records
    }

    pub fn set(&mut self, id: &RecordId, member: &str, value: Value) -> Seq {
        let record = tasks().record(id.clone());
        let mut document = self.local(id).unwrap_or_else(|| json!({}));
        document.as_object_mut().unwrap().insert(member.to_owned(), value);
        self.save(&record, Some(document))
    }

    pub fn save(&mut self, record: &RecordKey, document: Option<Value>) -> Seq {
        let op = self.edit(record, document);
        let edit = QueueEdit { op, draft: None, session: None, activity: None };
        let seq = self.store.queue(edit).wait().unwrap().seq;
        self.engine.request(SyncRequest::OutboxChanged);
        seq
    }

    pub fn edit(&mut self, record: &RecordKey, document: Option<Value>) -> NewOp {
        let at = self.clock.at();
        let view = self.reader.record(record).unwrap();
        let kind = match (&view.local, &document) {
            (None, _) => OpKind::Create,
            (Some(_), Some(_)) => OpKind::Update,
            (Some(_), None) => OpKind::Delete,
        };
        NewOp {
            op_id: OpId::new(&at),
            record: record.clone(),
            kind,
            changes: edit::diff(view.local.as_deref(), document.as_ref()),
            document,
            base: view.local.as_deref().cloned(),
            base_revision: view.base.and_then(|base| base.revision),
            created_at: at.wall,
            author: String::new(),
        }
    }

    /// Both sides hold the same.
    pub fn assert_equal(&mut self, there: &serde_json::Map<String, Value>) {
        assert_eq!(self.records(), there.len() as u64);
        for (id, document) in there {
            let local = self.local(&RecordId(id.clone()));
            assert!(local.as_ref().is_some_and(|local| same_value(local, document)), "{id}: {local:?} != {document}");
        }
    }

    pub fn stop(self) -> Duration {
        let Self { engine, reader, store, .. } = self;
        let began = Instant::now();
        engine.stop();
        let took = began.elapsed();
        drop((reader, store));
        took
    }
}

/// A request by hand: somebody who is not ebbtide.
pub fn request(to: SocketAddr, verb: &str, path: &str, body: Option<&Value>) -> Value {
    let mut stream = TcpStream::connect(to).unwrap();
    let body = body.map(ToString::to_string).unwrap_or_default();
    write!(
        stream,
        "{verb} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 2"), "{verb} {path}: {head} {body}");
    let text = match head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        true => unchunk(body),
        false => body.to_owned(),
    };
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

fn unchunk(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        text.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    text
}
