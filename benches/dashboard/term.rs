//! SIGTERM while records come in and changes go out: how long until the shell has its terminal back.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::{
    common::{Workspace, server::Serve},
    fill,
    frames::{COLUMNS, ROWS, median},
};

const ROUNDS: usize = 9;
const RECORDS: usize = 200_000;
const QUEUED: usize = 10_000;

pub fn measure() {
    let server = tempfile::tempdir().expect("a temporary directory");
    let serve = Serve::start(0, &server.path().join("server.db"));
    for part in 0..RECORDS / 20_000 {
        let numbers = part * 20_000..(part + 1) * 20_000;
        let items: Map<String, Value> = numbers
            .map(|index| (format!("rec-{index:06}"), json!({"name": format!("item {index}"), "text": "x".repeat(400)})))
            .collect();
        // One collection of many, so that the feed of none holds everything at once.
        serve.put(&format!("/items/part-{part}.json"), &items.into());
    }
    let times: Vec<Duration> = (0..ROUNDS).map(|_| once(&serve)).collect();
    let most = times.iter().max().expect("rounds").as_secs_f64() * 1_000.0;
    println!(
        "SIGTERM in the middle of a sync to the exit: p50 {:.0} ms, most {most:.0} ms of {ROUNDS} (goal 300 ms)",
        median(times)
    );
}

/// A fresh workspace, so that there is everything to pull and {QUEUED} changes to send.
fn once(serve: &Serve) -> Duration {
    let names: Vec<String> = (0..RECORDS / 20_000).map(|part| format!("items/part-{part}")).collect();
    let mut config = format!("[[source]]\nname = \"lab\"\nkind = \"firebase\"\nurl = \"{}\"\n", serve.url);
    for (part, path) in names.iter().enumerate() {
        config.push_str(&format!(
            "\n[[source.collection]]\nname = \"part-{part}\"\npath = \"{path}\"\npull = \"windows\"\ncolumns = [\"name\"]\n"
        ));
    }
    config.push_str("\n[[source.collection]]\nname = \"items\"\npath = \"new\"\ncolumns = [\"name\"]\n");
    let workspace = Workspace::new(&serve.url, &[]);
    std::fs::write(workspace.config(), config).expect("the configuration can be written");
    fill::fill(&workspace.data(), 0, QUEUED);
    let mut screen = workspace.dashboard(COLUMNS, ROWS, &[]);
    // Both ways are busy: rows are here, and some changes have gone.
    screen.wait_text("item ");
    let pending = |count: usize| format!("{count} ");
    screen.wait("changes to go out", |frame| !frame.contains(&pending(QUEUED)));
    std::thread::sleep(Duration::from_millis(100));
    let begin = Instant::now();
    screen.signal(15);
    let code = screen.wait_exit();
    let took = begin.elapsed();
    assert_eq!(code, 143, "ended by the signal, in order");
    took
}
