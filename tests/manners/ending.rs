//! How it ends: by signals in mid-sync, on terminals that hang or have gone, with a journal that cannot be written, by a
//! panic.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use crate::{
    common::{self, Workspace, pty::Pty, server::Serve, wait_for},
    desk::*,
};

#[test]
fn signals_end_it_within_300_ms_in_the_midst_of_a_pull_and_a_drain() {
    let dir = tempfile::tempdir().unwrap();
    let serve = Serve::start(0, &dir.path().join("server.db"));
    serve.put("/users.json", &people(3_000));
    let workspace = Workspace::new(&serve.url, &[("users", &["name", "role"])]);
    let slow = std::fs::read_to_string(workspace.config()).unwrap() + "pull = \"windows\"\n\n[sync]\npage_size = 10\n";
    std::fs::write(workspace.config(), slow).unwrap();
    for (signal, code) in [(15, 143), (2, 130), (1, 129)] {
        let mut shortest = Duration::MAX;
        // The machine may be busy: what counts is what the program itself needs.
        for attempt in 0..4 {
            let made = format!("made-{signal}-{attempt}");
            let edits: serde_json::Map<String, serde_json::Value> =
                (0..60).map(|n| (format!("{made}-{n}"), serde_json::json!({"name": "x"}))).collect();
            let file = workspace.dir.path().join("edits.json");
            std::fs::write(&file, serde_json::Value::Object(edits).to_string()).unwrap();
            workspace.run(&["import", "users", file.to_str().unwrap()]);
            let mut pty = workspace.dashboard(100, 30, &[]);
            let held = pty.hold();
            pty.wait("a pull and a drain", |frame| !frame.contains(" 0 queued") && frame.contains("ONLINE"));
            let began = Instant::now();
            pty.signal(signal);
            assert_eq!(wait_for("the exit", || pty.try_exit()), code, "signal {signal}");
            shortest = shortest.min(began.elapsed());
            assert_cooked(&pty.modes(), &format!("signal {signal}"));
            drop(held);
            pty.wait_exit();
            assert_given_back(&pty, &format!("signal {signal}"));
            if shortest < Duration::from_millis(300) {
                break;
            }
        }
        println!("signal {signal} in mid-sync: {shortest:?}");
        assert!(shortest < Duration::from_millis(300), "signal {signal}: {shortest:?}");
    }
}

#[test]
fn a_terminal_that_stops_reading_stops_the_picture_only_and_the_program_still_ends() {
    let workspace = desk();
    let mut pty = open(&workspace, &[], &[]);
    pty.pause(true);
    pty.send("/");
    let typed = "0123456789abcdefghij".repeat(6);
    let filter = |expected: &str| {
        let (shown, _) = workspace.json(&["session", "show", "default"]);
        let slices = shown["slices"].as_array().unwrap().clone();
        let records = slices.iter().find(|slice| slice["name"] == "records").unwrap().clone();
        (records["body"]["list"]["filter"]["text"] == expected).then_some(())
    };
    // Each key paints a filter and another list: soon the terminal's buffer is full, and nothing reads it.
    for key in typed.chars() {
        pty.send(key.encode_utf8(&mut [0; 4]));
    }
    wait_for("every key to be in the journal", || filter(&typed));
    let began = Instant::now();
    pty.signal(15);
    let exited = wait_for("the exit", || pty.try_exit());
    assert_eq!(exited, 143);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    pty.pause(false);
    let again = open_any(&workspace, &[], &[]);
    again.wait("the filter", |frame| frame.rows.iter().any(|row| row.contains("FILTER") && row.contains("fghij")));
}

#[test]
fn a_terminal_that_went_ends_it_within_two_seconds_without_spinning() {
    let workspace = desk();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/hang_up.py");
    for mode in ["signal", "silent"] {
        let mut command = Command::new("python3");
        command.arg(&script).arg(mode).arg(common::program()).arg("--data-dir").arg(workspace.data());
        command.arg("--config").arg(workspace.config()).arg("--offline").env("LIMIT", "2").env("PROCESSOR", "0.5");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{mode}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "exited 129", "{mode}");
    }
}

/// Somebody else's transaction on the journal.
fn locked(workspace: &Workspace) -> Connection {
    let connection = Connection::open(workspace.data().join("journal.db")).unwrap();
    wait_for("the lock", || connection.execute_batch("BEGIN IMMEDIATE").ok());
    connection
}

fn emergency(workspace: &Workspace) -> String {
    std::fs::read_to_string(workspace.data().join("emergency/default.jsonl")).unwrap_or_default()
}

#[test]
fn what_cannot_be_committed_is_not_painted_and_a_signal_does_not_wait_for_it() {
    let workspace = desk();
    let mut pty = open(&workspace, &[], &[]);
    pty.send("3i");
    pty.wait_text("esc close, keep draft");
    let lock = locked(&workspace);
    pty.send("typed while locked");
    let frame = pty.wait_screen("the banner", |frame| frame.contains("JOURNAL LOCKED"));
    assert!(!frame.contains("typed while"), "{}", frame.text());
    let began = Instant::now();
    pty.signal(15);
    assert_eq!(pty.wait_exit(), 143);
    let took = began.elapsed();
    println!("TERM while the journal is locked: {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_given_back(&pty, "TERM while the journal is locked");
    assert!(pty.screen().contains("could not be saved"), "{}", pty.screen().text());
    assert!(emergency(&workspace).contains("typed while locked"), "{}", emergency(&workspace));
    drop(lock);
    // The next start takes it from there.
    let mut again = open_any(&workspace, &[], &[]);
    again.wait_text("typed while locked");
    assert_eq!(emergency(&workspace), "");
    again.kill();
}

#[test]
fn quitting_while_the_commit_fails_says_where_the_text_is() {
    let workspace = desk();
    let mut pty = open(&workspace, &[], &[]);
    pty.send("3i");
    pty.wait_text("esc close, keep draft");
    let lock = locked(&workspace);
    pty.send("never saved");
    pty.wait_screen("the failure", |frame| frame.contains("SAVING FAILED"));
    pty.send("\x1b\x1bq");
    assert_eq!(pty.wait_exit(), 1);
    assert!(pty.screen().contains("emergency/default.jsonl"), "{}", pty.screen().text());
    assert!(emergency(&workspace).contains("never saved"), "{}", emergency(&workspace));
    drop(lock);
    let mut again = open_any(&workspace, &[], &[]);
    // The field was left: its draft is there, marked.
    again.wait_text(">~  name");
    again.send("i");
    again.wait_text("never saved");
    again.kill();
}

/// Runs `panics` below as a program of its own.
fn panicking(how: &str) -> Pty {
    let program = std::env::current_exe().unwrap();
    let args = ["--exact", "ending::panics", "--ignored", "--nocapture"];
    Pty::start_program(&program, &args, 80, 24, &[("PANICS", how), ("RUST_BACKTRACE", "0")])
}

/// Takes the terminal and panics. Not a test: the tests below run it.
#[test]
#[ignore = "run by the tests of panics, in a terminal of its own"]
fn panics() {
    let Ok(how) = std::env::var("PANICS") else { return };
    ebbtide::terminal::guard::install_panic_hook();
    let _guard = ebbtide::terminal::Guard::take(true).unwrap();
    match how.as_str() {
        "thread" => drop(std::thread::spawn(|| panic!("a worker's defect")).join()),
        "render" => {
            let (written, writer) = std::sync::mpsc::channel();
            let writes = ebbtide::terminal::writer::Writer::start(move |_| written.send(()).unwrap());
            let mut terminal = ratatui::Terminal::new(ebbtide::terminal::Screen::new(writes, 80, 24)).unwrap();
            terminal.draw(|frame| frame.render_widget("painted", frame.area())).unwrap();
            writer.recv().unwrap();
            let _ = terminal.draw(|_| panic!("a painter's defect"));
        }
        _ => {
            // What the script waits for before it closes the terminal.
            print!("\x1b[?2026l");
            std::io::Write::flush(&mut std::io::stdout()).unwrap();
            let (gone, hung_up) = std::sync::mpsc::channel();
            ebbtide::terminal::input::watch_hangup(move || gone.send(()).unwrap());
            hung_up.recv().unwrap();
            drop(std::thread::spawn(|| panic!("a defect on a dead terminal")).join());
        }
    }
    unreachable!("the hook has ended the process");
}

#[test]
fn a_panic_gives_the_terminal_back_and_says_what_happened() {
    for (how, defect) in [("thread", "a worker's defect"), ("render", "a painter's defect")] {
        let mut pty = panicking(how);
        let held = pty.hold();
        assert_eq!(wait_for("the exit", || pty.try_exit()), 101, "{how}: {}", pty.screen().text());
        let modes = pty.modes();
        drop(held);
        pty.wait_exit();
        let bytes = String::from_utf8_lossy(&pty.bytes()).into_owned();
        let left = bytes.rfind("\x1b[?1049l").expect("the alternate screen is left");
        let said = bytes.find(defect).unwrap_or_else(|| panic!("{how}: {bytes}"));
        assert!(left < said, "{how}: the message is on the screen that stays");
        assert!(bytes.contains("Your work is saved"), "{how}");
        for sequence in GIVEN_BACK {
            assert!(bytes.contains(sequence), "{how}: {sequence:?}");
        }
        assert_cooked(&modes, how);
    }
}

#[test]
fn a_panic_on_a_dead_terminal_is_one_panic_and_no_abort() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/hang_up.py");
    let mut command = Command::new("python3");
    command.arg(script).arg("silent").arg(std::env::current_exe().unwrap());
    command.args(["--exact", "ending::panics", "--ignored", "--nocapture"]).env("PANICS", "dead").env("LIMIT", "10");
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "exited 101", "{output:?}");
}
