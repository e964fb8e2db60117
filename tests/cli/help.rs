//! Help, completions and the manual are part of the contract.

use crate::place::{Place, assert_text};

const COMMANDS: &[&[&str]] = &[
    &[],
    &["demo"],
    &["serve"],
    &["init"],
    &["sync"],
    &["status"],
    &["list"],
    &["get"],
    &["search"],
    &["put"],
    &["patch"],
    &["delete"],
    &["import"],
    &["export"],
    &["outbox"],
    &["outbox", "list"],
    &["outbox", "show"],
    &["outbox", "plan"],
    &["outbox", "retry"],
    &["outbox", "hold"],
    &["outbox", "release"],
    &["outbox", "send"],
    &["outbox", "edit"],
    &["outbox", "split"],
    &["outbox", "discard"],
    &["outbox", "undo"],
    &["conflicts"],
    &["conflicts", "list"],
    &["conflicts", "show"],
    &["conflicts", "resolve"],
    &["conflicts", "undo"],
    &["conflicts", "teach"],
    &["draft"],
    &["draft", "list"],
    &["draft", "show"],
    &["draft", "discard"],
    &["draft", "queue"],
    &["vault"],
    &["vault", "list"],
    &["vault", "show"],
    &["vault", "restore"],
    &["guard"],
    &["guard", "list"],
    &["guard", "answer"],
    &["session"],
    &["session", "list"],
    &["session", "show"],
    &["session", "delete"],
    &["journal"],
    &["journal", "backup"],
    &["journal", "list"],
    &["journal", "restore"],
    &["journal", "salvage"],
    &["doctor"],
    &["paths"],
    &["completions"],
    &["man"],
];

#[test]
fn every_command_explains_itself() {
    let place = Place::new();
    for &command in COMMANDS {
        let run = place.run(&[command, &["--help"]].concat());
        assert_eq!(run.code, 0, "{command:?}: {run:?}");
        assert_eq!(run.stderr, "", "{command:?}");
        let name = if command.is_empty() { "ebbtide".to_owned() } else { command.join("-") };
        assert_text!("cli", format!("help-{name}"), run.stdout);
    }
}

#[test]
fn completions_and_the_manual_come_from_the_same_source() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = place.run(&["completions", shell]);
        assert!(run.code == 0 && run.stdout.contains("conflicts"), "{shell}");
    }
    assert!(place.run(&["man"]).stdout.contains(".TH ebbtide 1"));
    assert_eq!(place.run(&["man", "--dir", "pages"]).code, 0);
    assert!(place.path("pages/ebbtide-outbox-list.1").exists());
    assert!(!place.path("data").exists(), "these touch no data");
}

#[test]
fn the_version_is_printed() {
    let run = Place::new().run(&["--version"]);
    assert_eq!((run.code, run.stdout), (0, format!("ebbtide {}\n", env!("CARGO_PKG_VERSION"))));
}
