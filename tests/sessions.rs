//! Sessions in the store and in the real program: kept moments, starts that fail, other names, two windows on one data dir.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use common::{Workspace, expect_code, pty::Pty, server::Serve, wait_for};
use ebbtide::{
    model::{
        ids::SessionName,
        session::{MomentKind, Slice, UiCommit},
        time::{At, Clock},
    },
    store::{OpenMode, Store},
};
use serde_json::json;

/// Seconds since the epoch of the test; stands until it is moved.
#[derive(Default)]
struct Moved(AtomicU64);

impl Clock for Moved {
    fn at(&self) -> At {
        At::test(self.0.load(Ordering::Relaxed))
    }
}

struct World {
    dir: tempfile::TempDir,
    clock: Arc<Moved>,
    store: Store,
}

impl World {
    fn new() -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(Moved(AtomicU64::new(1_000_000))));
        let store = Store::open(dir.path(), OpenMode::ReadWrite, clock.clone()).unwrap();
        Self { dir, clock, store }
    }

    fn wait(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds, Ordering::Relaxed);
    }

    fn save(&self, body: &str) {
        let slice = Slice { name: "records".to_owned(), version: 1, body: body.to_owned() };
        self.store.commit_ui(&name(), UiCommit { slices: vec![slice], ..UiCommit::default() }).wait().unwrap();
    }

    fn moments(&self) -> Vec<(MomentKind, String)> {
        let moments = self.store.reader().unwrap().moments(&name()).unwrap();
        moments.into_iter().map(|moment| (moment.kind, moment.slices[0].body.clone())).collect()
    }

    fn sql(&self, sql: &str) -> i64 {
        let journal = rusqlite::Connection::open(self.dir.path().join("journal.db")).unwrap();
        if sql.starts_with("SELECT") {
            return journal.query_row(sql, [], |row| row.get(0)).unwrap();
        }
        journal.execute(sql, []).unwrap() as i64
    }
}

fn name() -> SessionName {
    "default".into()
}

#[test]
fn each_start_keeps_what_the_run_before_left_and_nothing_twice() {
    let world = World::new();
    for body in ["{\"a\":1}", "{\"a\":2}", "{\"a\":2}"] {
        world.store.begin_session(&name(), false).wait().unwrap();
        world.save(body);
        world.store.end_session(&name()).wait().unwrap();
    }
    world.store.begin_session(&name(), false).wait().unwrap();
    let kept = world.moments();
    assert_eq!(kept, [(MomentKind::Start, "{\"a\":2}".to_owned()), (MomentKind::Start, "{\"a\":1}".to_owned())]);
}

#[test]
fn a_kept_screen_counts_only_after_it_was_read_back() {
    let world = World::new();
    world.store.begin_session(&name(), false).wait().unwrap();
    for number in 0..60 {
        world.save(&format!("{{\"n\":{number}}}"));
        world.store.keep_moment(&name(), MomentKind::Use, None).wait().unwrap();
    }
    assert_eq!(world.moments().len(), 60, "none is given up for what was not read back");
    world.sql("UPDATE generations SET slices = substr(slices, 1, 20) WHERE id > 50");
    assert_eq!(world.store.prove_moments(&name()).wait().unwrap(), 10);
    assert_eq!(world.sql("SELECT count(*) FROM generations WHERE proved_at IS NULL"), 10);
    let whole = world.moments();
    assert_eq!(whole.len(), 16, "the newest that are whole stay: {whole:?}");
    assert_eq!(whole[0].1, "{\"n\":49}");
    assert_eq!(world.store.prove_moments(&name()).wait().unwrap(), 10, "it is said as long as it is so");
}

#[test]
fn three_starts_that_showed_nothing_set_the_screen_aside_and_nothing_else() {
    let world = World::new();
    world.store.begin_session(&name(), false).wait().unwrap();
    world.save("{\"crashes\":true}");
    world.store.prove_start(&name()).wait().unwrap();
    for _ in 0..3 {
        world.wait(5);
        let begun = world.store.begin_session(&name(), false).wait().unwrap();
        assert_eq!((begun.slices.len(), begun.aside), (1, None));
    }
    world.wait(5);
    let begun = world.store.begin_session(&name(), false).wait().unwrap();
    let aside = begun.aside.expect("set aside");
    assert!(begun.slices.is_empty());
    assert_eq!(aside.starts, 3);
    let moments = world.store.reader().unwrap().moments(&name()).unwrap();
    let kept = moments.iter().find(|moment| Some(moment.id) == aside.moment).expect("kept");
    assert_eq!((kept.kind, kept.slices[0].body.as_str()), (MomentKind::Aside, "{\"crashes\":true}"));
    world.wait(5);
    let begun = world.store.begin_session(&name(), false).wait().unwrap();
    assert_eq!(begun.aside, None, "the start after it begins to count anew");
}

#[test]
fn slow_failures_and_proved_starts_are_no_loop() {
    let world = World::new();
    world.store.begin_session(&name(), false).wait().unwrap();
    world.save("{}");
    for _ in 0..6 {
        world.wait(35);
        assert_eq!(world.store.begin_session(&name(), false).wait().unwrap().aside, None, "one each 35 s is no loop");
    }
    world.store.prove_start(&name()).wait().unwrap();
    for _ in 0..6 {
        world.wait(1);
        assert_eq!(world.store.begin_session(&name(), false).wait().unwrap().aside, None);
        world.store.prove_start(&name()).wait().unwrap();
    }
}

#[test]
fn a_session_is_renamed_with_its_history_and_copied_without() {
    let world = World::new();
    world.store.begin_session(&name(), false).wait().unwrap();
    world.save("{\"a\":1}");
    world.store.begin_session(&name(), false).wait().unwrap();
    let (night, copy) = ("night".into(), "copy".into());
    assert!(world.store.rename_session(&name(), &night).wait().unwrap());
    let renamed = UiCommit {
        slices: vec![Slice { name: "records".into(), version: 1, body: "{\"a\":2}".into() }],
        ..UiCommit::default()
    };
    world.store.commit_ui(&night, renamed).wait().unwrap();
    let mut reader = world.store.reader().unwrap();
    assert_eq!(reader.session(&night).unwrap().slices[0].body, "{\"a\":2}", "it goes on under the new name");
    assert_eq!(reader.moments(&night).unwrap().len(), 1);
    assert!(reader.moments(&name()).unwrap().is_empty());
    assert!(world.store.copy_session(&night, &copy).wait().unwrap());
    assert_eq!(reader.session(&copy).unwrap().slices, reader.session(&night).unwrap().slices);
    assert!(reader.moments(&copy).unwrap().is_empty());
    assert!(!world.store.rename_session(&night, &copy).wait().unwrap(), "a name that is taken");
    assert!(!world.store.copy_session(&name(), &"x".into()).wait().unwrap(), "there is none of that name");
}

// The real program.

fn workspace() -> (Workspace, Serve, tempfile::TempDir) {
    let server_dir = tempfile::tempdir().unwrap();
    let serve = Serve::start(0, &server_dir.path().join("server.db"));
    let people: serde_json::Map<String, serde_json::Value> =
        (0..9).map(|index| (format!("u_{index}"), json!({"name": format!("Person {index}")}))).collect();
    serve.put("/users.json", &people.into());
    let workspace = Workspace::new(&serve.url, &[("users", &["name"])]);
    workspace.run(&["sync"]);
    (workspace, serve, server_dir)
}

fn first_frame(pty: &Pty) {
    assert!(pty.wait_frames(1, Duration::from_secs(30)) >= 1, "no frame:\n{}", pty.screen().text());
}

#[test]
fn a_program_that_keeps_dying_at_its_first_frame_comes_up_with_a_way_out() {
    let (workspace, _serve, _dir) = workspace();
    let start = || workspace.dashboard(120, 36, &["--offline"]);
    let mut pty = start();
    pty.wait_text("Person 3");
    pty.send("jjj");
    pty.wait("the fourth row", |frame| frame.rows.iter().any(|row| row.contains(">") && row.contains("u_3")));
    pty.kill();
    for _ in 0..3 {
        let mut pty = start();
        first_frame(&pty);
        pty.kill();
    }
    let mut pty = start();
    let frame = pty.wait_text("Your last screen was set aside");
    assert!(frame.contains("The last 3 starts ended before they showed anything"), "{}", frame.text());
    pty.send("\r");
    pty.wait("the dashboard", |frame| frame.contains("Person 0") && !frame.contains("set aside"));
    pty.send("q");
    assert_eq!(pty.wait_exit(), 0);
    let (history, _) = workspace.json(&["session", "history"]);
    assert!(history.as_array().unwrap().iter().any(|moment| moment["kind"] == "aside"), "{history}");
}

#[test]
fn a_session_is_switched_renamed_and_left_again_in_the_running_program() {
    let (workspace, _serve, _dir) = workspace();
    let mut pty = workspace.dashboard(120, 36, &["--offline"]);
    pty.wait_text("Person 3");
    pty.send("/Person 7\r");
    pty.wait_text("FILTER Person 7");
    pty.send("gs");
    pty.wait_text("this one");
    pty.send("anight\r");
    pty.wait("the new session", |frame| frame.contains("session night") && frame.contains("Person 3"));
    pty.send("/Person 2\r");
    pty.wait_text("FILTER Person 2");
    pty.send("gs");
    // The one that was left counts as open until its end is written.
    pty.wait("the session that was left", |frame| {
        let left = frame.rows.iter().find(|row| row.contains("default"));
        frame.contains("this one") && left.is_some_and(|row| !row.contains("open"))
    });
    pty.send("ggr\x15day\r");
    pty.wait("a session by its new name", |frame| frame.contains("`default` is `day` now"));
    pty.send("gg\r");
    let frame = pty.wait_text("FILTER Person 7");
    assert!(frame.contains("session day"), "{}", frame.text());
    pty.kill();
    let (sessions, _) = workspace.json(&["session", "list"]);
    let names: Vec<_> = sessions.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["day", "night"]);
    // A start without a name comes back to the screen that was left; one with a name changes nothing about that.
    let mut pty = workspace.dashboard(120, 36, &["--offline"]);
    pty.wait("the session that was left", |frame| frame.contains("session day") && frame.contains("FILTER Person 7"));
    pty.kill();
    let mut pty = workspace.dashboard(120, 36, &["--offline", "--session", "night"]);
    pty.wait_text("FILTER Person 2");
    pty.kill();
    let mut pty = workspace.dashboard(120, 36, &["--offline"]);
    pty.wait_text("session day");
    pty.kill();
    workspace.run(&["session", "delete", "day"]);
    let pty = workspace.dashboard(120, 36, &["--offline"]);
    pty.wait("no name any more", |frame| frame.contains("session default") && frame.contains("Person 3"));
}

#[test]
fn keys_typed_after_a_switch_are_meant_for_the_screen_it_leads_to() {
    let (workspace, _serve, _dir) = workspace();
    let mut pty = workspace.dashboard(120, 36, &["--offline"]);
    pty.wait_text("Person 3");
    pty.send("gs");
    pty.wait_text("this one");
    pty.send("anight\r/Person 2\r");
    pty.wait("the new session", |frame| frame.contains("session night") && frame.contains("FILTER Person 2"));
    pty.send("gs");
    pty.wait("the other", |frame| frame.contains("default") && frame.contains("this one"));
    // One that is open elsewhere is not switched to, and the keys are this one's.
    let other = workspace.dashboard(120, 36, &["--offline", "--session", "default"]);
    other.wait("the one that was left", |frame| frame.contains("Person 3") && !frame.contains("FILTER"));
    pty.send("gg\r");
    pty.wait_text("`default` is open in another window");
    pty.send("/ x\r");
    pty.wait("the keys that follow", |frame| frame.contains("FILTER Person 2 x") && frame.contains("session night"));
}

#[test]
fn the_command_line_renames_copies_and_refuses_what_is_open() {
    let (workspace, _serve, _dir) = workspace();
    let mut pty = workspace.dashboard(120, 36, &["--offline"]);
    pty.wait_text("Person 3");
    // Its pane keeps the last state it was told of.
    pty.wait_text("FORCED OFFLINE");
    pty.send("j");
    pty.wait_text("3 Record u_1");
    workspace.run(&["session", "copy", "default", "night"]);
    let refused = expect_code(workspace.command(&["session", "rename", "default", "day"]), 1);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("is open in a dashboard") && said.contains("hint:"), "{said}");
    pty.send("q");
    assert_eq!(pty.wait_exit(), 0);
    let (renamed, code) = workspace.json(&["session", "rename", "default", "day"]);
    assert_eq!((renamed, code), (json!({"renamed": "default", "to": "day"}), 0));
    expect_code(workspace.command(&["session", "copy", "day", "night"]), 1);
    expect_code(workspace.command(&["session", "rename", "day", "../x"]), 2);
    let slices = |name| workspace.json(&["session", "show", name]).0["slices"].clone();
    assert_eq!(slices("night"), slices("day"));
}

/// Opens a window with the name of a person in the editor; the text that must be there.
fn open_field(workspace: &Workspace) -> impl Fn(&str) -> Pty {
    |typed| {
        let mut window = workspace.dashboard(120, 36, &[]);
        window.wait_text("Person 5");
        window.send("gr");
        window.wait_text("Id:");
        window.send("u_5\r");
        window.wait("the record", |frame| frame.contains("3 Record u_5"));
        window.send("3i");
        window.wait("an open field", |frame| frame.cursor.is_some() && frame.contains(typed));
        window
    }
}

#[test]
fn two_windows_type_in_one_draft_and_each_shows_what_the_other_typed() {
    let (workspace, _serve, _dir) = workspace();
    let open = open_field(&workspace);
    let mut first = open("Person 5");
    first.send("one");
    first.wait_text("Person 5one");
    let mut second = open("Person 5one");
    second.send("two");
    second.wait_text("Person 5onetwo");
    first.wait_text("Person 5onetwo");
    first.wait_text("Another window types in this draft");
    first.send("\x1b[F");
    first.send("three");
    first.wait_text("Person 5onetwothree");
    second.wait_text("Person 5onetwothree");
    second.send("\x1b[H");
    second.send("four ");
    first.wait_text("four Person 5onetwothree");
    first.kill();
    second.kill();
    let third = workspace.dashboard(120, 36, &["--session", "default-2"]);
    third.wait_text("four Person 5onetwothree");
    let fourth = workspace.dashboard(120, 36, &[]);
    fourth.wait_text("four Person 5onetwothree");
    assert_eq!(workspace.json(&["vault", "list"]).0, serde_json::json!([]), "no text had to give way to another");
}

#[test]
fn a_draft_that_one_window_queues_is_closed_in_the_other() {
    let (workspace, _serve, _dir) = workspace();
    let open = open_field(&workspace);
    let first = open("Person 5");
    let mut second = open("Person 5");
    second.send("one");
    second.wait_text("Person 5one");
    first.wait_text("Person 5one");
    second.send("\r");
    let frame = first.wait_text("Another window queued or discarded the draft");
    assert!(frame.cursor.is_none() && frame.contains("Person 5one"), "{}", frame.text());
}

#[test]
fn two_windows_that_type_in_one_draft_at_once_lose_no_letter_and_agree_in_the_end() {
    let (workspace, _serve, _dir) = workspace();
    let open = open_field(&workspace);
    let mut first = open("Person 5");
    first.send("#");
    first.wait_text("Person 5#");
    let mut second = open("Person 5#");
    let (one, other) = ("abcdefghij", "klmnopqrst");
    for (a, b) in one.chars().zip(other.chars()) {
        first.send(&a.to_string());
        second.send(&b.to_string());
    }
    let text = || workspace.json(&["draft", "show", "1"]).0["text"].as_str().unwrap().to_owned();
    let agreed = wait_for("both windows to show the draft", || {
        let draft = text();
        let shown = |window: &Pty| window.last_frame().is_some_and(|frame| frame.contains(&format!("┃{draft} ")));
        (shown(&first) && shown(&second) && draft == text()).then_some(draft)
    });
    let versions = workspace.json(&["vault", "list"]).0;
    let numbers = versions.as_array().unwrap().iter().map(|version| version["number"].to_string());
    let kept = numbers.map(|number| workspace.json(&["vault", "show", &number]).0["text"].as_str().unwrap().to_owned());
    let texts: Vec<String> = std::iter::once(agreed).chain(kept).collect();
    let is_there = |letter: &char| texts.iter().any(|text| text.split('#').nth(1).unwrap().contains(*letter));
    let lost: String = one.chars().chain(other.chars()).filter(|letter| !is_there(letter)).collect();
    assert_eq!(lost, "", "the draft and what the vault has: {texts:#?}");
}

#[test]
fn a_window_that_does_not_carry_the_sync_sees_its_own_edits_go_out() {
    let (workspace, _serve, _dir) = workspace();
    let first = workspace.dashboard(120, 36, &[]);
    first.wait("the sync", |frame| frame.contains("ONLINE"));
    let mut second = workspace.dashboard(120, 36, &[]);
    second.wait("a window beside it", |frame| frame.contains("ONLINE") && frame.contains("default-2"));
    for (turn, keys) in ["3i1\r", "3i2\r", "3i3\r"].into_iter().enumerate() {
        second.send(&keys[..2]);
        second.wait("an open field", |frame| frame.cursor.is_some());
        second.send(&keys[2..]);
        let op = format!("(op {})", turn + 1);
        second.wait("the edit to be sent", |frame| frame.contains(&op) && frame.contains("| 0 queued"));
        assert!(second.last_frame().unwrap().contains("4 Outbox 0"));
    }
}

#[test]
fn a_log_shows_what_another_window_adds_to_it() {
    let (workspace, _serve, _dir) = workspace();
    let open = open_field(&workspace);
    let mut first = open("Person 5");
    first.send("\x1b");
    first.wait("the field is closed", |frame| frame.cursor.is_none());
    first.send("L");
    first.wait_text("Log");
    let mut second = open("Person 5");
    second.send("x\x1b");
    second.wait_text("kept");
    first.wait_text("Draft of users/u_5 /name kept");
}

#[test]
fn two_windows_share_the_data_and_the_sync_goes_over_when_one_dies() {
    let (workspace, _serve, _dir) = workspace();
    let mut first = workspace.dashboard(120, 36, &[]);
    first.wait("the sync", |frame| frame.contains("ONLINE"));
    let mut second = workspace.dashboard(120, 36, &[]);
    second.wait_text("session default-2");
    second.send("j");
    second.wait_text("carries the sync");
    second.send("gr");
    second.wait_text("Id:");
    second.send("u_5\r");
    second.wait_text("Person 5");
    for (window, typed) in [(&mut first, "one"), (&mut second, "two")] {
        window.send("3i");
        window.wait("an open field", |frame| frame.cursor.is_some());
        window.send(typed);
        window.wait_text(typed);
    }
    first.kill();
    // Each alone: an escape with a letter behind it is another key.
    second.send("\x1b");
    second.wait("the field is closed", |frame| frame.cursor.is_none());
    second.send("L");
    second.wait_text("This window carries the sync now");
    second.send("\x1b");
    second.wait("the log is closed", |frame| frame.contains("3 Record"));
    second.send("2/Person");
    second.wait_text("FILTER Person");
    second.kill();
    let third = workspace.dashboard(120, 36, &["--session", "default-2"]);
    third.wait_text("FILTER Person");
    assert_eq!(workspace.json(&["status"]).0["drafts"], 2, "what both were typing is there");
    wait_for("a status", || {
        let (status, _) = workspace.json(&["status"]);
        (status["sources"][0]["connectivity"]["state"] == "online").then_some(())
    });
}
