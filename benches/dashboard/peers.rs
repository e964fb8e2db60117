//! Start, key to repainted frame, memory and idleness, as ratios to a minimal ratatui program timed the same way in the
//! same run, by a program that times any other in a pseudo-terminal.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    common::{Workspace, program},
    fill,
};

/// `option` answers the value of a named argument.
pub fn measure_all(ptybench: &str, minimal: &str, option: impl Fn(&str) -> Option<String>) {
    let queued = option("--queued").map_or(0, |text| text.parse::<usize>().expect("a number of changes"));
    let sizes = option("--records").unwrap_or_else(|| "1000,1000000".to_owned());
    let floor = measure(Path::new(ptybench), "minimal", "READY", &[minimal.into()]);
    println!(
        "{:<12} start {:>6} ms   key p50 {:>5} p99 {:>5} ms",
        "minimal", floor["start_p50"], floor["key_done_p50"], floor["key_done_p99"]
    );
    for records in sizes.split(',').filter_map(|text| text.parse::<usize>().ok()) {
        let workspace = Workspace::new("http://127.0.0.1:9", &[("items", &["name", "group"])]);
        fill::fill(&workspace.data(), records, queued);
        let command: Vec<PathBuf> = vec![
            program(),
            "--offline".into(),
            "--config".into(),
            workspace.config(),
            "--data-dir".into(),
            workspace.data(),
        ];
        let got = measure(Path::new(ptybench), &format!("{records} records"), "item 5", &command);
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
