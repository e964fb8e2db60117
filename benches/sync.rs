//! Backfill and drain against the embedded backend, as ratios: backfill of 100,000 records of about 500 bytes (goal 30,000
//! a second, resident memory under 80 MB), drain of 10,000 ops over 4 lanes against the bare HTTP client doing the same
//! requests in the same order (goal at least 0.6x), and drain behind 20 ms of latency per answer against the ideal rate of
//! the lanes (goal at least 0.8x).
//!
//! `cargo bench --bench sync [-- backfill|drain|latency]`. Each figure is the median of several runs, interleaved.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::{
    net::SocketAddr,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use ebbtide::{
    model::{
        edit,
        ids::{CollectionKey, OpId},
        op::{NewOp, OpKind},
        source::{AuthSpec, CollectionSpec, PullMode, SourceKind, SourceSpec, SyncSettings},
        sync_status::SyncRequest,
        time::Clock,
    },
    runtime::{
        clock::SystemClock,
        engine::{Engine, EngineEvent, EngineSetup},
    },
    server::{Options, Server},
    store::{OpenMode, Store},
};
use serde_json::{Map, Value, json};

const RECORDS: usize = 100_000;
const OPS: usize = 10_000;
const DELAYED_OPS: usize = 600;
const DELAY: Duration = Duration::from_millis(20);
const LANES: usize = 4;
const RUNS: usize = 5;

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let wanted = |name: &str| {
        let mut named = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
        named.peek().is_none() || named.any(|argument| argument == name)
    };
    if wanted("backfill") {
        backfill();
    }
    if wanted("drain") {
        drain();
    }
    if wanted("latency") {
        latency();
    }
}

/// A backend on a thread of its own, as in the demo.
struct Backend {
    address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl Backend {
    fn start(seed: Option<Value>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data = dir.path().join("server.db");
        let (ready, started) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listen = "127.0.0.1:0".parse().expect("an address");
                let clock = Arc::new(SystemClock::new());
                let options = Options { listen, data: Some(data), seed, token: None, clock };
                let server = Server::start(options).await.expect("the server starts");
                ready.send(server.address()).expect("the bench waits");
                let _ = stopped.await;
                server.stop().await;
            });
        });
        Self { address: started.recv().expect("an address"), stop: Some(stop), thread: Some(thread), _dir: dir }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn source(address: SocketAddr) -> SourceSpec {
    let collection = CollectionSpec {
        name: "items".into(),
        path: "items".to_owned(),
        columns: Vec::new(),
        title: None,
        pull: PullMode::Windows,
        updated_at: None,
        conflicts: Default::default(),
    };
    SourceSpec {
        name: "bench".into(),
        kind: SourceKind::Firebase,
        url: format!("http://{address}"),
        auth: AuthSpec::None,
        read_only: false,
        allow_plain: false,
        user: None,
        collections: vec![collection],
    }
}

/// Starts an engine on a store and waits until nothing is left to do.
fn run_until_idle(store: &Store, address: SocketAddr) -> Duration {
    let (tell, idle) = mpsc::channel();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let setup = EngineSetup {
        sources: vec![source(address)],
        settings: SyncSettings::default(),
        store: store.clone(),
        clock,
        forced_offline: false,
    };
    let start = Instant::now();
    let engine = Engine::start(setup, move |event| {
        if event == EngineEvent::Idle {
            let _ = tell.send(());
        }
    });
    engine.request(SyncRequest::Sync { source: None });
    idle.recv().expect("the engine comes to rest");
    let took = start.elapsed();
    engine.stop();
    took
}

fn open_store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(dir.path(), OpenMode::ReadWrite, Arc::new(SystemClock::new())).expect("a store");
    (dir, store)
}

fn backfill() {
    let records: Map<String, Value> = (0..RECORDS).map(|index| (format!("rec-{index:08}"), document(index))).collect();
    let backend = Backend::start(Some(json!({ "items": records })));
    let mut rates = Vec::new();
    let mut peak = 0;
    for _ in 0..RUNS {
        let (_dir, store) = open_store();
        let before = resident_kib();
        let took = run_until_idle(&store, backend.address);
        peak = peak.max(resident_kib().saturating_sub(before));
        rates.push(RECORDS as f64 / took.as_secs_f64());
    }
    let rate = median(&mut rates);
    println!(
        "backfill of {RECORDS} records: {rate:.0}/s, {:.2}x the goal of 30,000/s; memory grew by at most {} MiB",
        rate / 30_000.0,
        peak / 1024
    );
}

fn drain() {
    let mut ratios = Vec::new();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut grown = 0;
    for _ in 0..RUNS {
        let backend = Backend::start(None);
        let (_dir, store) = open_store();
        run_until_idle(&store, backend.address);
        queue(&store, OPS);
        // Only the sending is compared: what was queued is in the search index, what was sent is not put there beside the
        // bare client.
        while store.feed_search().wait().expect("an index") {}
        let before = resident_kib();
        let engine = run_until_idle(&store, backend.address);
        drop(store);
        grown = grown.max(resident_kib().saturating_sub(before));
        let other = Backend::start(None);
        let bare = bare_client(other.address);
        ratios.push(bare.as_secs_f64() / engine.as_secs_f64());
        ours.push(OPS as f64 / engine.as_secs_f64());
        theirs.push(OPS as f64 / bare.as_secs_f64());
    }
    println!(
        "drain of {OPS} ops over {LANES} lanes: {:.0}/s, the bare client {:.0}/s: {:.2}x (goal 0.6x); memory grew by at \
         most {} MiB, the server's included",
        median(&mut ours),
        median(&mut theirs),
        median(&mut ratios),
        grown / 1024
    );
}

/// Each answer 20 ms late: the rate of the lanes is `LANES / DELAY` at best.
fn latency() {
    let ideal = LANES as f64 / DELAY.as_secs_f64();
    let mut rates = Vec::new();
    for _ in 0..RUNS {
        let backend = Backend::start(None);
        let far = far_away(backend.address);
        let (_dir, store) = open_store();
        run_until_idle(&store, far);
        queue(&store, DELAYED_OPS);
        rates.push(DELAYED_OPS as f64 / run_until_idle(&store, far).as_secs_f64());
    }
    let rate = median(&mut rates);
    println!(
        "drain of {DELAYED_OPS} ops, each answer {} ms late: {rate:.0}/s, {:.2}x the ideal {ideal:.0}/s (goal 0.8x)",
        DELAY.as_millis(),
        rate / ideal
    );
}

/// A relay that holds back whatever the server says; it ends with the process.
fn far_away(to: SocketAddr) -> SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
    let (ready, started) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            ready.send(listener.local_addr().expect("an address")).expect("the bench waits");
            loop {
                let (near, _) = listener.accept().await.expect("a connection");
                let far = tokio::net::TcpStream::connect(to).await.expect("the server listens");
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                let (mut from_near, mut to_near) = near.into_split();
                let (mut from_far, mut to_far) = far.into_split();
                tokio::spawn(async move { copy(&mut from_near, &mut to_far).await });
                tokio::spawn(async move {
                    let mut buffer = vec![0; 64 << 10];
                    while let Ok(read) = from_far.read(&mut buffer).await {
                        tokio::time::sleep(DELAY).await;
                        if read == 0 || to_near.write_all(&buffer[..read]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
    });
    started.recv().expect("an address")
}

fn queue(store: &Store, count: usize) {
    let clock = SystemClock::new();
    let key = CollectionKey::new("bench", "items");
    let op = |index: usize| {
        let at = clock.at();
        let document = document(index);
        NewOp {
            op_id: OpId::new(&at),
            record: key.record(format!("new-{index:06}")),
            kind: OpKind::Create,
            changes: edit::diff(None, Some(&document)),
            document: Some(document),
            base: None,
            base_revision: None,
            created_at: at.wall,
            author: String::new(),
        }
    };
    store.queue_many((0..count).map(op).collect()).wait().expect("queued");
    // An outbox that has waited for the network is in the search index.
    while store.feed_search().wait().expect("indexed") {}
}

/// The same conditional creates, four at a time, by the HTTP client alone.
fn bare_client(address: SocketAddr) -> Duration {
    use futures_util::{StreamExt as _, stream};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().expect("a client");
        let start = Instant::now();
        let requests = (0..OPS).map(|index| {
            let request = client
                .put(format!("http://{address}/items/new-{index:06}.json"))
                .header("if-match", "null_etag")
                .header("X-Firebase-ETag", "true")
                .body(document(index).to_string());
            async move {
                let answer = request.send().await.expect("answered");
                assert!(answer.status().is_success(), "{}", answer.status());
                answer.bytes().await.expect("a body");
            }
        });
        stream::iter(requests).buffer_unordered(LANES).collect::<Vec<()>>().await;
        start.elapsed()
    })
}

/// About 500 bytes.
fn document(index: usize) -> Value {
    json!({
        "name": format!("item {index}"), "group": index % 17, "active": index.is_multiple_of(2), "price": index as f64 * 0.5,
        "address": {"city": "Malmö", "street": format!("{} Long Street", index % 211), "zip": format!("{:05}", index % 99_999)},
        "tags": ["a", "b", format!("t{}", index % 31)], "updatedAt": 1_700_000_000_000_u64 + index as u64,
        "text": "The quick brown fox jumps over the lazy dog and goes on its way through the field of barley, where the wind \
                 moves like water and the evening light stays longer than it should, until the path ends at the river.",
    })
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)).and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
