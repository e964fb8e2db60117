//! A workspace with people in it and no server any more, and what its tests look at.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::common::{Workspace, pty::Pty, server::Serve, wait_for};

/// What ends everything the dashboard asks of a terminal.
pub const GIVEN_BACK: [&str; 9] = [
    "\x1b[?1049l",
    "\x1b[?25h",
    "\x1b[?2004l",
    "\x1b[?1004l",
    "\x1b[?1000l",
    "\x1b[?1002l",
    "\x1b[?1003l",
    "\x1b[?1006l",
    "\x1b[?2026l",
];

pub fn people(count: usize) -> Value {
    let person = |index: usize| (format!("u_{index:03}"), json!({"name": format!("Person {index}"), "role": "editor"}));
    Value::Object((0..count).map(person).collect())
}

/// Forty people, mirrored; the server has gone.
pub fn desk() -> Workspace {
    let dir = tempfile::tempdir().unwrap();
    let serve = Serve::start(0, &dir.path().join("server.db"));
    serve.put("/users.json", &people(40));
    let workspace = Workspace::new(&serve.url, &[("users", &["name", "role"])]);
    workspace.run(&["sync"]);
    workspace
}

/// The dashboard on it, without network, with these variables, showing the people.
pub fn open(workspace: &Workspace, args: &[&str], env: &[(&str, &str)]) -> Pty {
    let pty = open_any(workspace, args, env);
    pty.wait_text("Person 3");
    pty
}

/// The dashboard on it, whatever it shows.
pub fn open_any(workspace: &Workspace, args: &[&str], env: &[(&str, &str)]) -> Pty {
    let (data, config) = (workspace.data(), workspace.config());
    let mut all = vec!["--data-dir", data.to_str().unwrap(), "--config", config.to_str().unwrap(), "--offline"];
    all.extend(args);
    let pty = Pty::start(&all, 120, 36, env);
    wait_for("a frame", || (pty.frames() > 0).then_some(()));
    pty
}

/// The terminal got everything back, after the last frame, and nothing was painted afterwards.
pub fn assert_given_back(pty: &Pty, what: &str) {
    let bytes = String::from_utf8_lossy(&pty.bytes()).into_owned();
    let last_frame = bytes.rfind("\x1b[?2026h").expect("it had painted");
    let rest = &bytes[last_frame..];
    for sequence in GIVEN_BACK {
        assert!(rest.contains(sequence), "{what}: {sequence:?} was not written: {rest:?}");
    }
}

/// The words of `stty -a` that make a line editor of a terminal.
pub fn assert_cooked(modes: &str, what: &str) {
    for word in ["icanon", "echo", "isig", "icrnl", "opost", "onlcr"] {
        assert!(modes.split([' ', ';', '\n']).any(|found| found == word), "{what}: no {word} in {modes}");
    }
}

/// Everything that is in a directory of the data dir.
pub fn inside(workspace: &Workspace, dir: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(workspace.data().join(dir)).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Waits until a process is stopped (`T`).
pub fn wait_stopped(pid: u32) {
    wait_for("the process to stop", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit(')').next()?.trim_start().starts_with('T').then_some(())
    });
}

/// The one child of a process.
pub fn child_of(pid: u32) -> u32 {
    wait_for("the child", || {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    })
}

pub fn kill(signal: i32, pid: u32) {
    let status = std::process::Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -{signal} {pid}");
}
