//! Another version of the program on the same data: while it runs, before it, after it.

use std::fs::File;

use rusqlite::Connection;

use crate::{
    common::{self, expect_code, pty::Pty},
    desk::*,
};

fn set_version(workspace: &common::Workspace, version: i64) {
    let connection = Connection::open(workspace.data().join("journal.db")).unwrap();
    connection.pragma_update(None, "user_version", version).unwrap();
}

#[test]
fn data_of_a_newer_version_is_shown_and_never_written() {
    let workspace = desk();
    workspace.run(&["patch", "users", "u_001", r#"{"role":"owner"}"#]);
    set_version(&workspace, 999);
    let journal = || std::fs::read(workspace.data().join("journal.db")).unwrap();
    let before = journal();
    let mut pty = open(&workspace, &[], &[]);
    let frame = pty.wait_text("Written by a newer ebbtide (schema 999;");
    assert!(frame.rows[0].contains("read only") && frame.rows[0].contains("1 queued"), "{}", frame.text());
    // Moving about works as ever; changing something says why not.
    pty.send("/Person 12");
    pty.wait("one row", |frame| frame.contains("Person 12") && !frame.contains("Person 13"));
    pty.send("\re");
    pty.wait_text("read only");
    pty.send("\x1b\x1bu");
    pty.wait_text("read-only");
    pty.send("q");
    assert_eq!(pty.wait_exit(), 0);
    let listed = expect_code(workspace.command(&["outbox", "list"]), 0);
    let said = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(said.contains("written by a newer ebbtide (schema 999;") && said.contains("a copy is read"), "{said}");
    assert!(String::from_utf8_lossy(&listed.stdout).contains("u_001"));
    let refused = expect_code(workspace.command(&["put", "users", "u_001", "{}"]), 2);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("newer ebbtide"));
    assert_eq!(journal(), before, "not one byte of it changed");
}

#[test]
fn a_read_only_dashboard_looks_and_leaves_nothing_behind() {
    let workspace = desk();
    let before = workspace.json(&["session", "list"]).0;
    let mut pty = open(&workspace, &["--read-only"], &[]);
    pty.send("jj/Person 7");
    pty.wait("the rows", |frame| frame.contains("FILTER Person 7") && frame.rows[0].contains("read only"));
    pty.send("\r?");
    pty.wait_text("Help");
    pty.escape(1);
    pty.send("q");
    assert_eq!(pty.wait_exit(), 0);
    assert_eq!(workspace.json(&["session", "list"]).0, before);
}

#[test]
fn a_newer_version_waits_for_a_running_one_and_says_what_to_do() {
    let workspace = desk();
    // An older schema, and somebody who has the data open: what a newer program finds beside a running dashboard.
    let journal = workspace.data().join("journal.db");
    for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        let _ = std::fs::remove_file(workspace.data().join(file));
    }
    let old = Connection::open(&journal).unwrap();
    old.execute_batch(include_str!("../../assets/migrations/journal/01-floor.sql")).unwrap();
    old.execute_batch("INSERT INTO meta VALUES ('kept', 'still here'); PRAGMA user_version = 1;").unwrap();
    drop(old);
    let running = File::options().read(true).write(true).open(workspace.data().join("data.lock")).unwrap();
    running.lock_shared().unwrap();
    let refused = expect_code(workspace.command(&["put", "users", "u_001", "{}"]), 1);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("data.lock") && said.contains("quit the ebbtide that is open on this data"), "{said}");
    let version = || -> i64 {
        let journal = Connection::open(&journal).unwrap();
        journal.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    };
    assert_eq!(version(), 1, "nothing was migrated under the running one");
    drop(running);
    workspace.run(&["status"]);
    assert!(version() > 1);
}

#[test]
fn a_program_replaced_on_disk_goes_on_and_the_next_start_is_the_new_one() {
    let workspace = desk();
    let program = workspace.dir.path().join("ebbtide");
    std::fs::copy(common::program(), &program).unwrap();
    let (data, config) = (workspace.data(), workspace.config());
    let args = ["--data-dir", data.to_str().unwrap(), "--config", config.to_str().unwrap(), "--offline"];
    let mut pty = Pty::start_program(&program, &args, 120, 36, &[]);
    pty.wait_text("Person 3");
    let new = workspace.dir.path().join("new");
    std::fs::copy(common::program(), &new).unwrap();
    std::fs::rename(&new, &program).unwrap();
    pty.send("/Person 1");
    pty.wait("the filter", |frame| frame.contains("FILTER Person 1"));
    pty.send("\r");
    pty.wait("the record", |frame| frame.contains("3 Record u_001") && frame.cursor.is_none());
    pty.send("3i");
    pty.wait("an open field", |frame| frame.cursor.is_some());
    pty.send("\x1b[Fx");
    pty.wait_text("draft saved");
    pty.signal(15);
    assert_eq!(pty.wait_exit(), 143);
    let again = Pty::start_program(&program, &args, 120, 36, &[]);
    again.wait("filter and draft", |frame| frame.contains("FILTER Person 1") && frame.contains("draft saved"));
}
