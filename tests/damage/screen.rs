//! Damage as the person at the screen sees it.

use rusqlite::Connection;

use crate::common::Workspace;

/// Overwrites the page an index begins on: nothing at the start reads it.
fn damage_index(workspace: &Workspace) {
    let path = workspace.data().join("journal.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let root: i64 = connection
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'vault_by_hash'", [], |row| row.get(0))
        .unwrap();
    let root = usize::try_from(root).unwrap();
    drop(connection);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[(root - 1) * 4096..root * 4096].fill(0xee);
    std::fs::write(&path, bytes).unwrap();
}

#[test]
fn a_bad_page_is_found_behind_the_first_frame_and_the_next_start_says_what_was_saved() {
    let workspace = Workspace::new("http://127.0.0.1:1", &[("tasks", &["n"])]);
    workspace.run(&["put", "tasks", "mine", r#"{"n":1}"#]);
    let mut screen = workspace.dashboard(150, 36, &[]);
    screen.wait_text("mine");
    screen.send("/mi\r");
    screen.wait("the filter", |frame| frame.contains("/mi") || frame.contains("filter"));
    screen.kill();
    damage_index(&workspace);
    let mut screen = workspace.dashboard(150, 36, &[]);
    screen.wait_text("damaged page was found in the journal");
    screen.wait_text("mine");
    screen.send("q");
    assert_eq!(screen.wait_exit(), 0);
    let mut screen = workspace.dashboard(150, 36, &[]);
    let frame = screen.wait_text("was damaged");
    assert!(frame.contains("mine"), "{}", frame.text());
    screen.send("q");
    assert_eq!(screen.wait_exit(), 0);
    let (found, code) = workspace.json(&["doctor"]);
    assert_eq!(code, 0, "{found}");
    let kept = std::fs::read_dir(workspace.data().join("damaged")).unwrap().flatten();
    assert_eq!(kept.filter(|entry| entry.file_name().to_string_lossy().ends_with(".db")).count(), 1);
}

#[test]
fn text_of_an_emergency_file_is_back_in_the_next_dashboard() {
    let workspace = Workspace::new("http://127.0.0.1:1", &[("tasks", &["n"])]);
    workspace.run(&["put", "tasks", "mine", r#"{"n":1}"#]);
    let mut screen = workspace.dashboard(120, 36, &[]);
    screen.wait_text("mine");
    screen.send("e");
    screen.wait("the editor", |frame| frame.contains("\"n\""));
    screen.send("typed");
    screen.wait_text("typed");
    let path = workspace.data().join("journal.db");
    // Somebody else holds the journal: what is typed now goes to the emergency file only.
    let lock = Connection::open(&path).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    screen.send("unsaved");
    let file = workspace.data().join("emergency").join("default.jsonl");
    crate::common::wait_for("the emergency file", || {
        let text = std::fs::read_to_string(&file).ok()?;
        text.contains('u').then_some(())
    });
    screen.kill();
    lock.execute_batch("ROLLBACK").unwrap();
    drop(lock);
    let rescued = std::fs::read_to_string(&file).unwrap();
    let mut screen = workspace.dashboard(120, 36, &[]);
    screen.wait_text("brought back 1 draft");
    // All of it, or what had been read of it when the lock was noticed.
    screen.wait("what was typed", |frame| frame.contains("typedu"));
    assert!(!file.exists(), "it is in the journal now: {rescued}");
    screen.send("\x1b");
    screen.kill();
    let screen = workspace.dashboard(120, 36, &[]);
    screen.wait_text("mine");
    let log = screen.screen().text();
    assert!(!log.contains("brought back"), "once: {log}");
}
