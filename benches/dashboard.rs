//! Start to the first restored frame, key to repainted frame, memory and idleness of the real program in a real terminal,
//! with 1,000 and 1,000,000 records, as ratios to a minimal ratatui program timed the same way in the same run.
//!
//! `cargo bench --bench dashboard -- --ptybench ptybench.py --minimal tui_min [--records 1000,1000000] [--queued 100000]`
//! (`ptybench.py` times any program in a PTY; `tui_min` is the minimal program it is compared with).

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use ebbtide::{
    model::{
        edit,
        ids::{CollectionKey, OpId},
        op::{NewOp, OpKind},
        time::{Clock as _, Timestamp},
        wire::{RemoteChange, RemoteRecord},
    },
    runtime::clock::SystemClock,
    store::{OpenMode, PullPage, Store},
};
use serde_json::{Value, json};

const PAGE: usize = 1_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1)).cloned()
    };
    let (Some(ptybench), Some(minimal)) = (option("--ptybench"), option("--minimal")) else {
        println!("dashboard: give --ptybench PATH and --minimal PATH to measure");
        return;
    };
    let queued = option("--queued").map_or(0, |text| text.parse::<usize>().expect("a number of changes"));
    let sizes = option("--records").unwrap_or_else(|| "1000,1000000".to_owned());
    let program = program();
    let floor = measure(Path::new(&ptybench), "minimal", "READY", &[minimal.into()]);
    println!(
        "{:<12} start {:>6} ms   key p50 {:>5} p99 {:>5} ms",
        "minimal", floor["start_p50"], floor["key_done_p50"], floor["key_done_p99"]
    );
    for records in sizes.split(',').filter_map(|text| text.parse::<usize>().ok()) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fill(&dir.path().join("data"), records, queued);
        let config = dir.path().join("config.toml");
        let text = "[[source]]\nname = \"lab\"\nkind = \"firebase\"\nurl = \"http://127.0.0.1:9\"\n\n\
                    [[source.collection]]\nname = \"items\"\npath = \"items\"\ncolumns = [\"name\", \"group\"]\n";
        std::fs::write(&config, text).expect("a configuration");
        let command: Vec<PathBuf> = vec![
            program.clone(),
            "--offline".into(),
            "--config".into(),
            config,
            "--data-dir".into(),
            dir.path().join("data"),
        ];
        let got = measure(Path::new(&ptybench), &format!("{records} records"), "item 5", &command);
        let ratio = |name: &str| got[name].as_f64().unwrap_or(f64::NAN) / floor[name].as_f64().unwrap_or(f64::NAN);
        println!(
            "{records:<12} {queued} queued   start {:>6} ms ({:.2}x)   key p50 {:>5} ({:.2}x) p99 {:>5} ms ({:.2}x)   rss {} MiB   idle {} % {} bytes",
            got["start_p50"],
            ratio("start_p50"),
            got["key_done_p50"],
            ratio("key_done_p50"),
            got["key_done_p99"],
            ratio("key_done_p99"),
            got["rss_mib"],
            got["idle_cpu_pct"],
            got["idle_bytes"]
        );
    }
}

/// The release binary beside this benchmark's own.
fn program() -> PathBuf {
    let own = std::env::current_exe().expect("a benchmark has a path");
    let release = own.ancestors().find(|dir| dir.ends_with("release")).expect("benchmarks are built for release");
    let program = release.join("ebbtide");
    assert!(program.exists(), "build it first: cargo build --release");
    program
}

/// One run of `ptybench.py`, as the JSON line it writes.
fn measure(ptybench: &Path, name: &str, text: &str, command: &[PathBuf]) -> Value {
    let out = tempfile::NamedTempFile::new().expect("a temporary file");
    let status = Command::new("python3")
        .arg(ptybench)
        .args([
            "--name", name, "--match", text, "--starts", "20", "--nkeys", "200", "--rows", "36", "--cols", "120",
            "--json",
        ])
        .arg(out.path())
        .arg("--")
        .args(command)
        .stdout(std::process::Stdio::null())
        .status()
        .expect("python3 runs");
    assert!(status.success(), "ptybench failed for {name}");
    let line = std::fs::read_to_string(out.path()).expect("a result");
    serde_json::from_str(line.trim()).expect("JSON")
}

/// Fills a data dir's mirror as a backfill would, and its outbox.
fn fill(dir: &Path, records: usize, queued: usize) {
    let clock = Arc::new(SystemClock::new());
    let at: Timestamp = clock.at().wall;
    let store = Store::open(dir, OpenMode::ReadWrite, clock.clone()).expect("a store");
    let collection = CollectionKey::new("lab", "items");
    for start in (0..records).step_by(PAGE) {
        let changes = (start..(start + PAGE).min(records)).map(record).collect();
        let checkpoint = Some(format!("{{\"rows\":{start}}}"));
        let page = PullPage {
            collection: collection.clone(),
            changes,
            checkpoint,
            sweep: None,
            stamps: None,
            protected: Default::default(),
            at,
        };
        store.apply_page(page).wait().expect("applied");
    }
    let ops = (0..queued).map(|index| {
        let at = clock.at();
        let document = json!({"name": format!("new {index}"), "group": index % 17});
        NewOp {
            op_id: OpId::new(&at),
            record: collection.record(format!("rec-9{index:07}")),
            kind: OpKind::Create,
            changes: edit::diff(None, Some(&document)),
            document: Some(document),
            base: None,
            base_revision: None,
            created_at: at.wall,
            author: String::new(),
        }
    });
    store.queue_many(ops.collect()).wait().expect("queued");
    while store.feed_search().wait().expect("fed") {}
}

fn record(index: usize) -> RemoteChange {
    let text = format!(
        "{{\"name\":\"item {index}\",\"group\":{},\"active\":{},\"price\":{}.5,\"address\":{{\"city\":\"Malmö\",\"zip\":\"{:05}\"}},\
         \"tags\":[\"a\",\"t{}\"],\"text\":\"The quick brown fox jumps over the lazy dog and goes on its way through the field of \
         barley, where the wind moves like water and the evening light stays longer than it should, until the path ends.\"}}",
        index % 17,
        index.is_multiple_of(2),
        index,
        index % 99_999,
        index % 31
    );
    RemoteChange::Upsert(RemoteRecord { id: format!("rec-{index:08}").into(), revision: None, text })
}
