//! Ten seconds in which nothing happens, with everything connected: the feed is live, the outbox empty.

use std::time::Duration;

use serde_json::json;

use crate::{
    common::{Workspace, server::Serve},
    frames::{COLUMNS, ROWS},
};

const SPAN: Duration = Duration::from_secs(10);

pub fn measure() {
    let server = tempfile::tempdir().expect("a temporary directory");
    let serve = Serve::start(0, &server.path().join("server.db"));
    let items: serde_json::Map<String, serde_json::Value> =
        (0..1_000).map(|index| (format!("rec-{index:06}"), json!({"name": format!("item {index}")}))).collect();
    serve.put("/items.json", &items.into());
    let workspace = Workspace::new(&serve.url, &[("items", &["name"])]);
    let screen = workspace.dashboard(COLUMNS, ROWS, &[]);
    screen.wait_text("item 5");
    screen.wait("everything to be connected", |frame| {
        let text = frame.text();
        text.contains("ONLINE") && text.contains("live")
    });
    // Ages (`now`, `1m`) and the indexing after the pull come to rest.
    std::thread::sleep(Duration::from_secs(70));
    let (bytes, ticks) = (screen.bytes().len(), processor_ticks(screen.pid()));
    std::thread::sleep(SPAN);
    let (bytes, ticks) = (screen.bytes().len() - bytes, processor_ticks(screen.pid()) - ticks);
    let share = ticks as f64 / TICKS_PER_SECOND / SPAN.as_secs_f64() * 100.0;
    println!(
        "{} s idle, everything connected: {bytes} bytes written (goal 0), {share:.2} % of a core (goal 0.5 %)",
        SPAN.as_secs()
    );
}

/// Linux counts in hundredths of a second towards user space, whatever the kernel was built with.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time of a process so far, of all its threads.
fn processor_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the program runs");
    let fields = stat.rsplit_once(')').expect("a name in parentheses").1;
    fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum()
}
