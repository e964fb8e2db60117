//! The store against bare SQLite, in one run, interleaved where the disk matters: medians and ratios.
//!
//! `cargo bench --bench store [-- --rows 1000000]`, or `-- screen` for the commits before a paint alone.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use ebbtide::{
    model::{
        draft::{DraftKey, DraftTarget, DraftWrite, Versions},
        edit,
        ids::{CollectionKey, OpId, SessionName},
        json::Pointer,
        op::{NewOp, OpKind, Precondition},
        query::{Anchor, Filter, ListQuery, Sort},
        session::{Slice, UiCommit},
        time::{Clock, Timestamp},
        wire::{RemoteChange, RemoteRecord},
    },
    runtime::clock::SystemClock,
    store::{Claim, NewBase, OpenMode, PullPage, QueueEdit, Store},
};
use rusqlite::{Connection, params};
use serde_json::json;

const FOR_EVER: Duration = Duration::from_secs(3_600);

fn main() {
    let mut rows = 1_000_000;
    let mut arguments = std::env::args();
    while let Some(argument) = arguments.next() {
        if argument == "--rows" {
            rows = arguments.next().and_then(|text| text.parse().ok()).expect("a number of rows");
        }
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store =
        Store::open(&dir.path().join("data"), OpenMode::ReadWrite, Arc::clone(&clock)).expect("the store opens");
    screen(&store, dir.path());
    typing(&store, dir.path());
    if std::env::args().any(|argument| argument == "screen") {
        return;
    }
    edits(&store, dir.path(), clock.as_ref());
    backfill(&store, rows);
    windows(&store, rows);
    start(store, &dir.path().join("data"), &clock);
    outboxes(dir.path(), &clock);
}

/// What an outbox of a month costs: the same questions with 100 and with 100,000 waiting changes.
fn outboxes(dir: &Path, clock: &Arc<dyn Clock>) {
    let mut few = Outbox::fill(&dir.join("few"), clock, 100);
    let mut many = Outbox::fill(&dir.join("many"), clock, 100_000);
    for _ in 0..30 {
        few.ask(clock);
        many.ask(clock);
    }
    for (what, many, few) in [
        ("opening with 100,000 changes waiting", &mut many.opening, &mut few.opening),
        ("the next 64 to send", &mut many.ready, &mut few.ready),
        ("the first page of the outbox", &mut many.page, &mut few.page),
        ("a claim", &mut many.claim, &mut few.claim),
    ] {
        report(what, many, Some(few));
    }
}

struct Outbox {
    dir: PathBuf,
    opening: Times,
    ready: Times,
    page: Times,
    claim: Times,
}

impl Outbox {
    fn fill(dir: &Path, clock: &Arc<dyn Clock>, changes: usize) -> Self {
        let store = Store::open(dir, OpenMode::ReadWrite, Arc::clone(clock)).expect("the store opens");
        let op = |index: usize| {
            let at = clock.at();
            let document = json!({"name": format!("new {index}"), "group": index % 17});
            NewOp {
                op_id: OpId::new(&at),
                record: CollectionKey::new("lab", "items").record(format!("n-{index:07}")),
                kind: OpKind::Create,
                changes: edit::diff(None, Some(&document)),
                document: Some(document),
                base: None,
                base_revision: None,
                created_at: at.wall,
                author: String::new(),
            }
        };
        store.queue_many((0..changes).map(op).collect()).wait().expect("queued");
        while store.feed_search().wait().expect("indexed") {}
        let times = Times::default;
        Self { dir: dir.to_path_buf(), opening: times(), ready: times(), page: times(), claim: times() }
    }

    fn ask(&mut self, clock: &Arc<dyn Clock>) {
        let (store, time) =
            timed(|| Store::open(&self.dir, OpenMode::ReadWrite, Arc::clone(clock)).expect("the store opens"));
        self.opening.add(time);
        let mut reader = store.reader().expect("a reader");
        let now = clock.at().wall;
        reader.ready(&"lab".into(), now, &[], 64).expect("chains");
        let (chains, time) = timed(|| reader.ready(&"lab".into(), now, &[], 64).expect("chains"));
        self.ready.add(time);
        let (_, time) = timed(|| reader.outbox(&[], None, 40).expect("a page"));
        self.page.add(time);
        let head = &chains[0].ops[0];
        let claim = Claim {
            known: None,
            head: head.seq,
            absorbs: Vec::new(),
            kind: head.kind,
            request_hash: String::new(),
            sent_document: head.document.clone(),
            precondition: Precondition::Absent,
            at: now,
        };
        let (claimed, time) = timed(|| store.claim(claim).wait().expect("answered"));
        assert!(claimed.is_some(), "the head can be claimed");
        self.claim.add(time);
    }
}

/// From nothing to the rows of the first frame.
fn start(store: Store, dir: &Path, clock: &Arc<dyn Clock>) {
    drop(store);
    let (mut opening, mut reading) = (Times::default(), Times::default());
    for _ in 0..30 {
        let (store, time) =
            timed(|| Store::open(dir, OpenMode::ReadWrite, Arc::clone(clock)).expect("the store opens"));
        opening.add(time);
        let (rows, time) = timed(|| {
            let mut reader = store.reader().expect("a reader");
            reader.session(&SessionName::from("bench")).expect("a session");
            reader.window(&query("", None), &Anchor::At("u_0000500".into()), 40, FOR_EVER).expect("rows").rows.len()
        });
        assert_eq!(rows, 40);
        reading.add(time);
    }
    report("opening the data dir", &mut opening, None);
    report("reader, session and first window", &mut reading, None);
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let value = work();
    (value, began.elapsed())
}

/// Times in microseconds.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    fn add(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1e6);
    }

    fn at(&mut self, fraction: f64) -> f64 {
        self.0.sort_by(f64::total_cmp);
        let index = ((self.0.len() - 1) as f64 * fraction).round() as usize;
        self.0[index]
    }
}

fn report(what: &str, times: &mut Times, floor: Option<&mut Times>) {
    let (p50, p99) = (times.at(0.5), times.at(0.99));
    match floor {
        Some(floor) => println!(
            "{what:<48} p50 {p50:>9.1} µs   p99 {p99:>9.1} µs   floor p50 {:>8.1} p99 {:>8.1}   ratio {:.2}, {:.2}",
            floor.at(0.5),
            floor.at(0.99),
            p50 / floor.at(0.5),
            p99 / floor.at(0.99)
        ),
        None => println!("{what:<48} p50 {p50:>9.1} µs   p99 {p99:>9.1} µs"),
    }
}

fn bare(path: &Path, level: &str) -> Connection {
    let connection = Connection::open(path).expect("a database");
    connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(())).expect("a log");
    connection.pragma_update(None, "synchronous", level).expect("a level");
    connection.pragma_update(None, "wal_autocheckpoint", 0).expect("no checkpoints");
    connection
}

/// The floor of a commit before a paint: one table, one row.
fn bare_slices(path: &Path) -> Connection {
    let floor = bare(path, "NORMAL");
    floor.execute_batch("CREATE TABLE slices (name TEXT PRIMARY KEY, body TEXT)").expect("a table");
    floor
}

fn upsert(floor: &Connection, body: &str) {
    floor.prepare_cached("BEGIN IMMEDIATE").unwrap().execute([]).unwrap();
    floor
        .prepare_cached("INSERT INTO slices VALUES ('a', ?1) ON CONFLICT (name) DO UPDATE SET body = excluded.body")
        .unwrap()
        .execute([body])
        .unwrap();
    floor.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
}

/// The commit before a paint: 2 KiB of session.
fn screen(store: &Store, dir: &Path) {
    let floor = bare_slices(&dir.join("screen.db"));
    let session = SessionName::from("bench");
    store.begin_session(&session, false).wait().expect("a session");
    let (mut ours, mut theirs) = (Times::default(), Times::default());
    for n in 0..4_000_u32 {
        let body = format!("{n:06}{}", "x".repeat(2_042));
        let ((), time) = timed(|| upsert(&floor, &body));
        theirs.add(time);
        let commit = UiCommit { slices: vec![Slice { name: "a".into(), version: 1, body }], ..UiCommit::default() };
        let (done, time) = timed(|| store.commit_ui(&session, commit).wait());
        done.expect("a commit");
        ours.add(time);
    }
    report("commit before paint, 2 KiB", &mut ours, Some(&mut theirs));
}

/// The same while somebody types into a draft of 256 KiB: 2 KiB of session and the key, against the bare upsert of the
/// session alone (goal 3x). As in the editor, the whole draft is written first and then after every 500 keys.
fn typing(store: &Store, dir: &Path) {
    const WHOLE: u32 = 500;
    let floor = bare_slices(&dir.join("typing.db"));
    let session = SessionName::from("bench");
    let key = DraftKey { record: CollectionKey::new("bench", "drafts").record("large"), target: DraftTarget::Document };
    let document = json!({"text": "x".repeat(256 << 10)});
    let (mut ours, mut theirs, mut whole) = (Times::default(), Times::default(), Times::default());
    for n in 0..4_000_u32 {
        let body = format!("{n:06}{}", "x".repeat(2_042));
        let ((), time) = timed(|| upsert(&floor, &body));
        theirs.add(time);
        let draft = match n.is_multiple_of(WHOLE) {
            true => DraftWrite::Snapshot {
                key: key.clone(),
                snapshot: format!("{{\"text\":\"{}\"}}", "y".repeat(256 << 10)),
                base: Some(document.clone()),
                base_revision: None,
                versions: Versions::new(i64::from(n), i64::from(n) + 1),
            },
            false => DraftWrite::Append {
                key: key.clone(),
                edit: format!("{{\"at\":{n},\"text\":\"x\"}}"),
                versions: Versions::new(i64::from(n), i64::from(n) + 1),
            },
        };
        let slices = vec![Slice { name: "a".into(), version: 1, body }];
        let commit = UiCommit { slices, drafts: vec![draft], ..UiCommit::default() };
        let (done, time) = timed(|| store.commit_ui(&session, commit).wait());
        done.expect("a commit");
        if n.is_multiple_of(WHOLE) { whole.add(time) } else { ours.add(time) }
    }
    report("commit before paint, 2 KiB, a 256 KiB draft", &mut ours, Some(&mut theirs));
    report("the same, the draft written as a whole", &mut whole, None);
}

fn new_op(clock: &dyn Clock, n: u32) -> NewOp {
    let document = json!({"n": n, "title": "a record of some length", "text": "x".repeat(400)});
    let mut at = clock.at();
    at.entropy[..4].copy_from_slice(&n.to_be_bytes());
    NewOp {
        op_id: OpId::new(&at),
        record: CollectionKey::new("bench", "edits").record(format!("e{n:06}")),
        kind: OpKind::Create,
        changes: edit::diff(None, Some(&document)),
        document: Some(document),
        base: None,
        base_revision: None,
        created_at: at.wall,
        author: String::new(),
    }
}

/// A durable edit with its session row, and an acknowledgement.
fn edits(store: &Store, dir: &Path, clock: &dyn Clock) {
    let floor = bare(&dir.join("edits.db"), "FULL");
    floor
        .execute_batch(
            "CREATE TABLE ops (seq INTEGER PRIMARY KEY AUTOINCREMENT, op_id TEXT UNIQUE, record TEXT, changes TEXT, document TEXT);
             CREATE INDEX by_record ON ops (record);
             CREATE TABLE shadow (record TEXT PRIMARY KEY, document TEXT);
             CREATE TABLE slices (name TEXT PRIMARY KEY, body TEXT);",
        )
        .expect("tables");
    let session = SessionName::from("bench");
    let (mut ours, mut theirs, mut acked) = (Times::default(), Times::default(), Times::default());
    for n in 0..1_000_u32 {
        let op = new_op(clock, n);
        let body = "x".repeat(2_048);
        let (id, record) = (op.op_id.to_string(), op.record.id.0.clone());
        let document = op.document.as_ref().expect("a document").to_string();
        let changes = serde_json::to_string(&op.changes).expect("JSON");
        let ((), time) = timed(|| {
            floor.prepare_cached("BEGIN IMMEDIATE").unwrap().execute([]).unwrap();
            floor
                .prepare_cached("INSERT INTO ops (op_id, record, changes, document) VALUES (?1, ?2, ?3, ?4)")
                .unwrap()
                .execute(params![id, record, changes, document])
                .unwrap();
            floor
                .prepare_cached("INSERT INTO shadow VALUES (?1, ?2)")
                .unwrap()
                .execute(params![record, document])
                .unwrap();
            floor
                .prepare_cached(
                    "INSERT INTO slices VALUES ('a', ?1) ON CONFLICT (name) DO UPDATE SET body = excluded.body",
                )
                .unwrap()
                .execute([&body])
                .unwrap();
            floor.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
        });
        theirs.add(time);
        let slice = Slice { name: "a".into(), version: 1, body };
        let commit = UiCommit { slices: vec![slice], ..UiCommit::default() };
        let edit = QueueEdit { op, draft: None, session: Some((session.clone(), commit)), activity: None };
        let (done, time) = timed(|| store.queue(edit).wait());
        done.expect("an edit");
        ours.add(time);
        if n % 4 == 0 {
            let base = NewBase {
                record: CollectionKey::new("bench", "edits").record(format!("x{n}")),
                document: Some(json!({"n": n})),
                revision: Some("r".into()),
                found: false,
                at: Timestamp(0),
            };
            let (done, time) = timed(|| store.acknowledge(vec![base]).wait());
            done.expect("a base");
            acked.add(time);
        }
    }
    report("durable edit (op + shadow + session, FULL)", &mut ours, Some(&mut theirs));
    report("durable acknowledgement", &mut acked, None);
    let ops: Vec<NewOp> = (10_000..20_000).map(|n| new_op(clock, n)).collect();
    let (done, time) = timed(|| store.queue_many(ops).wait());
    done.expect("an import");
    println!("{:<48} {:>9.0} ops/s", "import of 10,000 edits", 10_000.0 / time.as_secs_f64());
    let mut reader = store.reader().expect("a reader");
    let mut ready = Times::default();
    for _ in 0..200 {
        ready.add(timed(|| reader.ready(&"bench".into(), Timestamp(i64::MAX), &[], 4).unwrap()).1);
    }
    report("next 4 of 11,000 waiting records", &mut ready, None);
}

fn text(n: usize) -> String {
    let rare = if n % 100_000 == 77 { "zebrafish" } else { "common" };
    let name = n.wrapping_mul(7919) % 100_000;
    format!(
        r#"{{"name":"User {name}","role":"{}","age":{},"word":"{rare}","address":{{"city":"City {}","zip":"{:05}"}},"text":"{}"}}"#,
        if n.is_multiple_of(10) { "admin" } else { "member" },
        n % 90,
        n % 500,
        n % 99_999,
        "lorem ipsum dolor sit amet consectetur ".repeat(9)
    )
}

fn page(from: usize, to: usize) -> PullPage {
    let changes = (from..to)
        .map(|n| RemoteChange::Upsert(RemoteRecord { id: format!("u_{n:07}").into(), revision: None, text: text(n) }))
        .collect();
    PullPage {
        collection: CollectionKey::new("bench", "users"),
        changes,
        checkpoint: Some(to.to_string()),
        sweep: Some(1),
        stamps: None,
        at: Timestamp(1),
    }
}

fn resident() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = pages.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0.0);
    pages * 4096.0 / (1 << 20) as f64
}

fn backfill(store: &Store, rows: usize) {
    println!("{:<48} {:>9} bytes", "record size", text(1).len());
    let before = resident();
    let mut spent = Duration::ZERO;
    let mut most = 0.0_f64;
    for from in (0..rows).step_by(1_000) {
        let page = page(from, (from + 1_000).min(rows));
        spent += timed(|| store.apply_page(page).wait().expect("a page")).1;
        if from % 50_000 == 0 {
            most = most.max(resident());
        }
    }
    println!(
        "{:<48} {:>9.0} rows/s   resident {before:.0} -> {most:.0} MiB",
        format!("backfill of {rows} rows"),
        rows as f64 / spent.as_secs_f64()
    );
    let mut spent = Duration::ZERO;
    for from in (0..100_000.min(rows)).step_by(1_000) {
        let page = page(from, from + 1_000);
        spent += timed(|| store.apply_page(page).wait().expect("a page")).1;
    }
    println!("{:<48} {:>9.0} rows/s", "the same pages again (sweep)", 100_000.min(rows) as f64 / spent.as_secs_f64());
}

fn query(filter: &str, by: Option<&str>) -> ListQuery {
    ListQuery {
        collection: CollectionKey::new("bench", "users"),
        columns: ["/name", "/role", "/age"].map(Pointer::parse).to_vec(),
        filter: Filter(filter.to_owned()),
        sort: Sort { by: by.map(Pointer::parse), descending: false },
    }
}

fn windows(store: &Store, rows: usize) {
    let mut reader = store.reader().expect("a reader");
    let middle = format!("u_{:07}", rows / 2);
    let mut measure = |what: &str, query: &ListQuery, anchor: Anchor, floor: Option<&mut Times>| {
        let mut times = Times::default();
        let mut last = None;
        for _ in 0..200 {
            let (window, time) =
                timed(|| reader.window(query, &anchor, 40, Duration::from_millis(16)).expect("a window"));
            times.add(time);
            last = Some((window.rows.len(), window.partial));
            if times.0.iter().sum::<f64>() > 3e6 {
                break;
            }
        }
        let (shown, partial) = last.expect("a window");
        report(&format!("{what} ({shown} rows{})", if partial { ", partial" } else { "" }), &mut times, floor);
        times
    };
    let all = query("", None);
    let mut first = measure("first window", &all, Anchor::First, None);
    measure("window in the middle", &all, Anchor::At(middle.as_str().into()), Some(&mut first));
    measure("window after the middle", &all, Anchor::After(middle.as_str().into()), Some(&mut first));
    measure("last window", &all, Anchor::Last, Some(&mut first));
    for filter in ["zebrafish", "common", "role:admin", "age:89", "id:u_09", "nosuchword", "x"] {
        measure(&format!("not indexed, filter `{filter}`"), &query(filter, None), Anchor::First, None);
    }
    let (batches, time) = timed(|| {
        let mut batches = 0;
        while store.feed_search().wait().expect("feeding") {
            batches += 1;
        }
        batches
    });
    println!("{:<48} {:>9.1} s, {batches} batches", "feeding the rest of the search index", time.as_secs_f64());
    for filter in ["zebrafish", "common", "comm", "co", "role:admin", "age:89", "\"user 7\"", "lorem nosuchword", "x"] {
        measure(&format!("indexed, filter `{filter}`"), &query(filter, None), Anchor::First, None);
    }
    let by_age = query("", Some("/age"));
    measure("sorted by a column, no index yet", &by_age, Anchor::First, None);
    let ((), time) = timed(|| while store.feed_search().wait().expect("feeding") {});
    println!("{:<48} {:>9.1} s", "sorting the column", time.as_secs_f64());
    measure("sorted by a column", &by_age, Anchor::First, Some(&mut first));
    measure("sorted by a column, last window", &by_age, Anchor::Last, Some(&mut first));
    let mut reader = store.reader().expect("a reader");
    let (rank, time) = timed(|| reader.rank(&all, &middle.as_str().into(), FOR_EVER).expect("a rank"));
    println!("{:<48} {:>9.1} ms {rank:?}", "rank of the middle", time.as_secs_f64() * 1e3);
    let (hits, time) = timed(|| reader.search(&[], "zebrafish", 20, Duration::from_millis(16)).expect("hits"));
    println!("{:<48} {:>9.1} ms {} hits", "search for a rare word", time.as_secs_f64() * 1e3, hits.len());
    println!("{:<48} {:>9.0} MiB", "resident at the end", resident());
}
