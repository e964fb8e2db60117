//! The running dashboard beside the world: other clients' edits appear while it is open, its own arrive; signals, a closed
//! terminal, two windows on one session; what it must do when it cannot start.

mod common;

use std::{path::Path, process::Command, time::Duration};

use common::{Workspace, expect_code, pty::Pty, server::Serve, wait_for};
use serde_json::{Value, json};

fn serve_with_people() -> (tempfile::TempDir, Serve, Workspace) {
    let dir = tempfile::tempdir().unwrap();
    let serve = Serve::start(0, &dir.path().join("server.db"));
    let people: serde_json::Map<String, Value> = (0..40)
        .map(|index| (format!("u_{index:03}"), json!({"name": format!("Person {index}"), "role": "editor"})))
        .collect();
    serve.put("/users.json", &people.into());
    let workspace = Workspace::new(&serve.url, &[("users", &["name", "role"])]);
    (dir, serve, workspace)
}

#[test]
fn edits_of_googles_own_client_appear_in_a_running_dashboard_and_the_other_way_round() {
    let (_dir, serve, workspace) = serve_with_people();
    let mut pty = workspace.dashboard(120, 36, &[]);
    pty.wait_text("Person 3");
    pty.wait_text("ONLINE");

    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/.venv/bin/python");
    assert!(python.exists(), "`{}` is missing: run tests/clients/install", python.display());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/firebase_admin_edit.py");
    let run = |args: &[&str]| {
        let output = Command::new(&python).arg(&script).arg(&serve.url).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    run(&["set", "/users/u_002/name", r#""Renamed by firebase-admin""#]);
    pty.wait_text("Renamed by f");
    run(&["set", "/users/u_000new", r#"{"name": "Pushed by firebase-admin", "role": "guest"}"#]);
    pty.wait_text("Pushed by f");

    workspace.run(&["patch", "users", "u_005", r#"{"role": "owner"}"#]);
    wait_for("the edit to reach the server", || (run(&["get", "/users/u_005/role"]) == "\"owner\"").then_some(()));
    pty.send("q");
    assert_eq!(pty.wait_exit(), 0);
}

#[test]
fn a_collection_pulled_by_its_stamps_comes_to_rest_and_then_follows() {
    let dir = tempfile::tempdir().unwrap();
    let serve = Serve::start(0, &dir.path().join("server.db"));
    serve.put("/tasks.json", &json!({"a": {"title": "First", "at": 5}, "b": {"title": "Second", "at": 7}}));
    let workspace = Workspace::new(&serve.url, &[("tasks", &["title"])]);
    let stamped = std::fs::read_to_string(workspace.config()).unwrap() + "pull = \"delta\"\nupdated_at = \"/at\"\n";
    std::fs::write(workspace.config(), stamped).unwrap();
    workspace.run(&["sync"]);
    let mut pty = workspace.dashboard(120, 36, &[]);
    pty.wait_text("Second");
    pty.wait_text("live");
    serve.put("/tasks/c.json", &json!({"title": "Third, later", "at": 9}));
    pty.wait_text("Third, later");
    pty.send("q");
    assert_eq!(pty.wait_exit(), 0);
}

#[test]
fn the_queue_drains_by_itself_when_the_server_comes_back() {
    let (dir, serve, workspace) = serve_with_people();
    workspace.run(&["sync"]);
    let port = serve.port();
    drop(serve);
    let mut pty = workspace.dashboard(120, 36, &[]);
    pty.wait_text("OFFLINE");
    for index in 0..5 {
        workspace.run(&["patch", "users", &format!("u_{index:03}"), r#"{"role": "owner"}"#]);
    }
    pty.wait_text("5 queued");
    let serve = Serve::start(port, &dir.path().join("server.db"));
    pty.wait_text("0 queued");
    assert_eq!(serve.get("/users/u_004/role.json"), json!("owner"));
    pty.send("q");
    assert_eq!(pty.wait_exit(), 0);
}

#[test]
fn an_edit_that_is_taken_back_is_told_once_and_logged_once() {
    let (_dir, _serve, workspace) = serve_with_people();
    workspace.run(&["sync"]);
    let mut pty = workspace.dashboard(120, 36, &["--offline"]);
    pty.wait_text("Person 3");
    workspace.run(&["patch", "users", "u_005", r#"{"role": "owner"}"#]);
    pty.wait_text("1 queued");
    pty.send("u");
    pty.wait_text("Took back op 1");
    pty.wait_text("0 queued");
    pty.send("L");
    let frame = pty.wait_text("  outbox  ");
    assert_eq!(frame.rows.iter().filter(|row| row.contains("  outbox  ")).count(), 1, "{}", frame.text());
    pty.send("\x1b");
    pty.wait_text("1 Collections");
    pty.send("u");
    pty.wait_text("There is nothing to undo");
}

#[test]
fn signals_give_the_terminal_back_and_end_with_their_code() {
    let (_dir, _serve, workspace) = serve_with_people();
    for (signal, code) in [(15, 143), (2, 130), (1, 129)] {
        let mut pty = workspace.dashboard(100, 30, &[]);
        pty.wait_text("users");
        pty.signal(signal);
        assert_eq!(pty.wait_exit(), code, "signal {signal}");
        let bytes = pty.bytes();
        for sequence in ["\x1b[?1049l", "\x1b[?25h", "\x1b[?2004l"] {
            let found = bytes.windows(sequence.len()).any(|window| window == sequence.as_bytes());
            assert!(found, "signal {signal}: {sequence:?} was not written");
        }
    }
}

#[test]
fn a_closed_terminal_ends_the_program_also_where_nobody_sends_it_a_signal() {
    let (_dir, _serve, workspace) = serve_with_people();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/hang_up.py");
    for with_signal in ["signal", "silent"] {
        let output = Command::new("python3")
            .arg(&script)
            .arg(with_signal)
            .arg(common::program())
            .args([
                "--data-dir".as_ref(),
                workspace.data().as_os_str(),
                "--config".as_ref(),
                workspace.config().as_os_str(),
            ])
            .output()
            .unwrap();
        assert!(output.status.success(), "{with_signal}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "exited 129", "{with_signal}");
    }
}

#[test]
fn a_suspended_program_comes_back_to_its_screen() {
    let (_dir, _serve, workspace) = serve_with_people();
    let mut pty = workspace.dashboard(100, 30, &["--offline"]);
    let before = pty.wait("the forced state in the header and in the tree", |frame| {
        frame.rows[0].contains("FORCED OFFLINE") && frame.rows.iter().skip(1).any(|row| row.contains("FORCED OF"))
    });
    pty.signal(20);
    wait_for("the process to stop", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pty.pid())).ok()?;
        stat.rsplit(')').next()?.trim_start().starts_with('T').then_some(())
    });
    let frames = pty.frames();
    pty.signal(18);
    pty.wait_frames(frames + 1, Duration::from_secs(30));
    pty.wait("the screen as it was", |frame| frame.rows == before.rows);
    pty.send("q");
    assert_eq!(pty.wait_exit(), 0);
}

#[test]
fn a_second_window_opens_the_next_session_on_the_same_data() {
    let (_dir, _serve, workspace) = serve_with_people();
    let mut first = workspace.dashboard(120, 36, &[]);
    first.wait_text("Person 3");
    let mut second = workspace.dashboard(120, 36, &[]);
    second.wait_text("default-2");
    let refused = expect_code(workspace.command(&["session", "delete", "default"]), 1);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is open in a dashboard"));
    workspace.run(&["patch", "users", "u_001", r#"{"name": "Seen by both"}"#]);
    first.wait_text("Seen by both");
    second.wait_text("Seen by both");
    for pty in [&mut first, &mut second] {
        pty.send("q");
        assert_eq!(pty.wait_exit(), 0);
    }
}

#[test]
fn quitting_with_work_pending_says_so() {
    let (_dir, serve, workspace) = serve_with_people();
    workspace.run(&["sync"]);
    drop(serve);
    workspace.run(&["patch", "users", "u_001", r#"{"role": "x"}"#]);
    let mut pty = workspace.dashboard(80, 24, &[]);
    pty.wait_text("1 queued");
    pty.send("q");
    assert_eq!(pty.wait_exit(), 0);
    assert!(pty.screen().contains("1 change is saved here, not sent yet"), "{}", pty.screen().text());
}

#[test]
fn an_idle_dashboard_writes_nothing() {
    let (_dir, _serve, workspace) = serve_with_people();
    let mut pty = workspace.dashboard(120, 36, &[]);
    pty.wait_text("Person 3");
    pty.wait_text("ONLINE");
    // Frames come to an end once the pull is done: two seconds in a row without one.
    let mut frames = pty.frames();
    let quiet = wait_for("two quiet seconds", || {
        let now = pty.wait_frames(frames + 1, Duration::from_secs(2));
        let is_quiet = now == frames;
        frames = now;
        is_quiet.then(|| pty.bytes().len())
    });
    assert_eq!(pty.bytes().len(), quiet);
    pty.send("q");
    pty.wait_exit();
}

#[test]
fn colours_are_left_alone_under_no_color() {
    let (_dir, _serve, workspace) = serve_with_people();
    let (data, config) = (workspace.data(), workspace.config());
    let args = ["--data-dir", data.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let mut pty = Pty::start(&args, 120, 36, &[("NO_COLOR", "1")]);
    pty.wait_text("Person 3");
    pty.send("q");
    pty.wait_exit();
    let bytes = String::from_utf8_lossy(&pty.bytes()).into_owned();
    for parameters in
        bytes.split("\x1b[").skip(1).filter_map(|part| part.split_once('m')).map(|(parameters, _)| parameters)
    {
        if parameters.chars().all(|c| c.is_ascii_digit() || c == ';') {
            let coloured =
                parameters.split(';').any(|code| matches!(code.parse(), Ok(30..=38 | 40..=48 | 90..=97 | 100..=107)));
            assert!(!coloured, "a colour under NO_COLOR: {parameters}");
        }
    }
    assert!(bytes.contains("\x1b[7m"), "the selected row is not reversed");
}

#[test]
fn without_a_terminal_the_dashboard_says_what_to_do() {
    let (_dir, _serve, workspace) = serve_with_people();
    let output = expect_code(workspace.command(&[]), 2);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("error: ") && text.contains("hint: "), "{text}");
}
