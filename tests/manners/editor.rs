//! `$EDITOR` that crashes, leaves garbage, outlives us, runs in the background, or changes the terminal.

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf};

use serde_json::json;

use crate::{
    common::{Workspace, pty::Pty, server::Serve, wait_for},
    desk::*,
};

/// An editor made of shell: what it does can be changed between its runs.
struct Editor {
    script: PathBuf,
}

impl Editor {
    fn new(workspace: &Workspace) -> Self {
        let script = workspace.dir.path().join("editor.sh");
        Self { script }
    }

    fn does(&self, lines: &str) {
        std::fs::write(&self.script, format!("#!/bin/sh\n{lines}\n")).unwrap();
        std::fs::set_permissions(&self.script, std::fs::Permissions::from_mode(0o700)).unwrap();
    }

    fn open(&self, workspace: &Workspace, args: &[&str]) -> Pty {
        open(workspace, args, &[("EDITOR", self.script.to_str().unwrap())])
    }

    fn open_any(&self, workspace: &Workspace, args: &[&str]) -> Pty {
        open_any(workspace, args, &[("EDITOR", self.script.to_str().unwrap())])
    }

    /// Waits for the file that the script makes when it has come so far.
    fn wait(&self, name: &str) {
        let path = self.script.with_file_name(name);
        wait_for(name, || path.exists().then_some(()));
    }

    fn go_on(&self, name: &str) {
        std::fs::write(self.script.with_file_name(name), "").unwrap();
    }
}

#[test]
fn an_editor_that_fails_or_leaves_garbage_changes_nothing_and_what_it_left_is_named() {
    let workspace = desk();
    let editor = Editor::new(&workspace);
    editor.does("exit 0");
    let mut pty = editor.open(&workspace, &[]);
    pty.send("2e");
    pty.wait_text("F4 open in $EDITOR");
    pty.send("\x1b[B\x1b[F ");
    pty.wait_text("draft saved");
    let cases = [
        ("printf half > \"$1\"; exit 3", "exit code 3", true),
        ("printf half > \"$1\"; kill -9 $$", "signal 9", true),
        ("exit 3", "exit code 3", false),
        ("printf '\\377\\376{}' > \"$1\"", "not UTF-8", true),
        ("head -c 52428800 /dev/zero > \"$1\"", "left 50 MiB", true),
        (": > \"$1\"", "it left nothing", false),
        ("rm \"$1\"", "cannot be read", false),
    ];
    for (does, said, kept) in cases {
        editor.does(does);
        let before = inside(&workspace, "editing");
        pty.send("\x1bOS");
        let frame = pty.wait(said, |frame| frame.contains(said));
        assert!(frame.contains("\"Person 0\""), "{does}: {}", frame.text());
        let now: Vec<PathBuf> =
            inside(&workspace, "editing").into_iter().filter(|path| !before.contains(path)).collect();
        assert_eq!(now.len(), usize::from(kept), "{does}: {now:?}");
        // The message goes with the next key.
        pty.send("\x1b[C");
        pty.wait("the message to go", |frame| !frame.contains(said));
    }
    // NUL is a character like others: it stands in the text, which is no JSON then, and one step takes it back.
    editor.does("printf 'nul:\\000:' > \"$1\"");
    pty.send("\x1bOS");
    pty.wait_text("nul:");
    pty.send("\x1a");
    pty.wait_text("\"Person 0\"");
    std::fs::remove_file(&editor.script).unwrap();
    pty.send("\x1bOS");
    pty.wait_text("could not be started");
    pty.send("\x1b\x1bq");
    assert_eq!(pty.wait_exit(), 0);
}

const OUTLIVES: &str = "cd \"$(dirname \"$0\")\"\nprintf '{\"name\": \"typed outside\"}' > \"$1\"\n: > typed\n\
                        while [ ! -e over ]; do sleep 0.05; done";

#[test]
fn what_was_typed_in_an_editor_that_outlives_us_comes_into_the_draft_at_the_next_start() {
    for signal in [9, 15] {
        let workspace = desk();
        let editor = Editor::new(&workspace);
        editor.does(OUTLIVES);
        let mut pty = editor.open(&workspace, &[]);
        pty.send("2E");
        editor.wait("typed");
        pty.signal(signal);
        wait_for("the exit", || pty.try_exit());
        let mut again = editor.open_any(&workspace, &[]);
        let frame = again.wait_text("typed outside");
        assert!(frame.contains("was found and is here"), "signal {signal}: {}", frame.text());
        // It is a draft like any other: killed again, it is still there, and one step takes it back.
        again.wait_text("draft saved");
        again.kill();
        let mut again = editor.open_any(&workspace, &[]);
        again.wait_text("typed outside");
        again.send("\x1a");
        again.wait_text("\"Person 0\"");
        again.send("\x1b\x1bq");
        assert_eq!(again.wait_exit(), 0);
        editor.go_on("over");
    }
}

#[test]
fn also_into_a_draft_that_is_not_on_the_screen() {
    let workspace = desk();
    let editor = Editor::new(&workspace);
    editor.does(OUTLIVES);
    let mut pty = editor.open(&workspace, &[]);
    pty.send("2E");
    editor.wait("typed");
    pty.signal(9);
    wait_for("the exit", || pty.try_exit());
    let mut again = editor.open(&workspace, &["--fresh"]);
    again.wait_text("was found and is in its draft");
    again.send("e");
    again.wait_text("typed outside");
    again.kill();
    editor.go_on("over");
}

#[test]
fn an_editor_in_the_background_is_taken_at_its_word_whenever_it_saves() {
    let workspace = desk();
    let editor = Editor::new(&workspace);
    editor.does(
        "cd \"$(dirname \"$0\")\"\n( trap '' HUP; while [ ! -e save ]; do sleep 0.05; done; printf '{\"name\": \"saved later\"}' > \"$1\"\n\
         while [ ! -e again ]; do sleep 0.05; done; printf '{\"name\": \"saved again\"}' > \"$1\" ) > /dev/null 2>&1 &",
    );
    let mut pty = editor.open(&workspace, &[]);
    pty.send("2E");
    pty.wait_text("came back at once");
    editor.go_on("save");
    pty.wait_text("saved later");
    pty.wait_text("draft saved");
    pty.kill();
    // Between two runs nobody looks; the next one finds it.
    editor.go_on("again");
    wait_for("the second save", || {
        let texts = inside(&workspace, "editing").into_iter().filter_map(|path| std::fs::read_to_string(path).ok());
        texts.into_iter().any(|text| text.contains("saved again")).then_some(())
    });
    let again = editor.open_any(&workspace, &[]);
    again.wait_text("saved again");
}

#[test]
fn an_editor_that_leaves_the_terminal_changed_leaves_ours_as_it_was() {
    let workspace = desk();
    let editor = Editor::new(&workspace);
    editor.does(
        "stty -F /dev/tty -echo -icanon -isig -onlcr\nprintf '\\033[?1003h\\033[?1h\\033[?25l\\033[3;5r\\033[4h'",
    );
    let mut pty = editor.open(&workspace, &[]);
    let held = pty.hold();
    pty.send("2E");
    pty.wait_text("came back at once");
    pty.send("\x1b[B\x1b[Fx");
    pty.wait_text("draft saved");
    pty.send("\x1b\x1bq");
    assert_eq!(wait_for("the exit", || pty.try_exit()), 0);
    assert_cooked(&pty.modes(), "after the editor");
    drop(held);
    pty.wait_exit();
    assert_given_back(&pty, "after the editor");
}

#[test]
fn a_merge_in_an_editor_that_outlives_us_is_kept_with_its_conflict() {
    let dir = tempfile::tempdir().unwrap();
    let serve = Serve::start(0, &dir.path().join("server.db"));
    serve.put("/users.json", &people(5));
    let workspace = Workspace::new(&serve.url, &[("users", &["name", "role"])]);
    workspace.run(&["sync"]);
    workspace.run(&["patch", "users", "u_001", r#"{"name":"mine"}"#]);
    serve.put("/users/u_001/name.json", &json!("theirs"));
    let _ = workspace.json(&["sync"]);
    assert_eq!(workspace.json(&["conflicts", "list"]).0.as_array().unwrap().len(), 1);
    let editor = Editor::new(&workspace);
    editor.does(&OUTLIVES.replace("typed outside", "merged outside"));
    let mut pty = editor.open(&workspace, &[]);
    pty.send("C");
    pty.wait_text("theirs");
    pty.send("E");
    editor.wait("typed");
    pty.signal(9);
    wait_for("the exit", || pty.try_exit());
    editor.go_on("over");
    let mut again = editor.open_any(&workspace, &["--fresh"]);
    again.wait_text("the merge of users/u_001 was found");
    editor.does("cd \"$(dirname \"$0\")\"\ncp \"$1\" seen");
    again.send("C");
    again.wait_text("theirs");
    again.send("E");
    editor.wait("seen");
    let seen = std::fs::read_to_string(editor.script.with_file_name("seen")).unwrap();
    assert!(seen.contains("merged outside"), "{seen}");
    again.kill();
}
