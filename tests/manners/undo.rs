//! Undo goes back behind a kill: of what was queued, and of what was typed. And what lay on top of the screen is there again.

use crate::desk::*;

/// So many steps must be kept (R19); some more are made.
const STEPS: usize = 55;

#[test]
fn queued_changes_are_taken_back_one_by_one_after_a_kill() {
    let workspace = desk();
    for step in 0..STEPS + 5 {
        workspace.run(&["put", "users", &format!("made-{step:03}"), r#"{"name":"x"}"#]);
    }
    let mut pty = open_any(&workspace, &[], &[]);
    pty.wait_text(&format!(" {} queued", STEPS + 5));
    pty.kill();
    let mut pty = open_any(&workspace, &[], &[]);
    for left in (5..STEPS + 5).rev() {
        pty.send("u");
        pty.wait_text(&format!(" {left} queued"));
        if left == STEPS / 2 {
            // Half way the program is killed once more.
            pty.kill();
            pty = open_any(&workspace, &[], &[]);
        }
    }
    let left = workspace.json(&["outbox", "list"]).0;
    let ids: Vec<&str> = left.as_array().unwrap().iter().filter_map(|op| op["id"].as_str()).collect();
    assert_eq!(ids.len(), 5, "{left}");
    assert!(ids.iter().all(|id| id.starts_with("made-00")), "the newest went first: {ids:?}");
    pty.kill();
}

#[test]
fn typing_is_taken_back_and_made_again_step_by_step_after_a_kill() {
    let workspace = desk();
    let mut pty = open(&workspace, &[], &[]);
    pty.send("2e");
    pty.wait_text("F4 open in $EDITOR");
    // A character is a step where the cursor was moved between two.
    let column = |typed: usize| format!("Ln 1, Col {} ", 2 + typed);
    pty.send("\x1b[F");
    pty.wait_text(&column(0));
    for step in 1..=STEPS {
        pty.send("a\x1b[F");
        pty.wait_text(&column(step));
    }
    pty.kill();
    let mut pty = open_any(&workspace, &[], &[]);
    pty.wait_text(&column(STEPS));
    for step in (0..STEPS).rev() {
        pty.send("\x1a");
        pty.wait_text(&column(step));
        if step == STEPS / 2 {
            // Half way the program is killed once more.
            pty.kill();
            pty = open_any(&workspace, &[], &[]);
        }
    }
    pty.kill();
    let mut pty = open_any(&workspace, &[], &[]);
    for step in 1..=STEPS {
        pty.send("\x19");
        pty.wait_text(&column(step));
    }
    pty.kill();
}

#[test]
fn what_lay_on_top_is_there_again_after_a_kill_except_a_question() {
    let workspace = desk();
    workspace.run(&["patch", "users", "u_001", r#"{"role":"owner"}"#]);
    let cases = [
        ("?copy", "Help"),
        (":goto us", "Commands"),
        ("\x07users/u_0", "Go to"),
        ("L", "Log"),
        ("C", "Conflicts"),
        ("gs", "Sessions"),
        ("gv", "Vault"),
        ("2e", "JSON users/u_000"),
        ("3i", "esc close, keep draft"),
        ("2a", "esc close, keep draft"),
    ];
    for (keys, title) in cases {
        let mut pty = open_any(&workspace, &[], &[]);
        pty.wait_text("Person 3");
        pty.send(keys);
        let before = pty.wait(title, |frame| frame.contains(title));
        pty.kill();
        let mut again = open_any(&workspace, &[], &[]);
        let after = again.wait(title, |frame| frame.contains(title));
        assert_eq!(before.rows.len(), after.rows.len());
        again.escape(3);
        again.wait("no overlay", |frame| frame.contains("Person 3"));
        again.kill();
    }
    let mut pty = open_any(&workspace, &[], &[]);
    pty.send("2d");
    pty.wait_text("Delete users/");
    pty.kill();
    let mut again = open_any(&workspace, &[], &[]);
    let frame = again.wait("the list", |frame| frame.contains("Person 3"));
    assert!(!frame.contains("Delete users/"), "{}", frame.text());
    again.send("y");
    again.escape(1);
    again.send("L");
    again.wait_text("Log");
    assert_eq!(workspace.json(&["outbox", "list"]).0.as_array().unwrap().len(), 1, "nothing was deleted");
    again.kill();
}
