//! `ebbtide demo` as the README's tour has it.

mod common;

use common::pty::{Frame, Pty};

const F9: &str = "\x1b[20~";
const F10: &str = "\x1b[21~";

#[test]
fn a_network_that_was_cut_is_cut_after_a_kill_until_it_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    let start = || Pty::start(&["demo", "--data-dir", dir.path().to_str().unwrap()], 120, 36, &[]);
    let is_loaded = |frame: &Frame| frame.contains("ONLINE") && frame.contains("live");
    let mut pty = start();
    pty.wait("everything is here", is_loaded);
    pty.send(F9);
    pty.wait("the network cut", |frame| frame.contains("OFFLINE") && frame.contains("F10 restore network"));
    pty.kill();

    let mut pty = start();
    let first = pty.wait("a frame", |frame| frame.contains("ebbtide"));
    assert!(!first.contains("F9"), "it is cut already: {}", first.text());
    pty.wait("still cut", |frame| frame.contains("OFFLINE") && frame.contains("F10"));
    pty.send("2");
    pty.send("d");
    pty.wait_text("Delete");
    pty.send("\r");
    pty.wait_text("1 queued");
    pty.kill();

    let mut pty = start();
    pty.wait("still cut, and the edit waits", |frame| frame.contains("OFFLINE") && frame.contains("1 queued"));
    pty.send(F10);
    pty.wait("the edit sent", |frame| frame.contains("ONLINE") && frame.contains("0 queued"));
    pty.kill();

    let pty = start();
    pty.wait("online from the beginning", is_loaded);
}

#[test]
fn windows_on_one_demo_share_its_network() {
    let dir = tempfile::tempdir().unwrap();
    let start = || Pty::start(&["demo", "--data-dir", dir.path().to_str().unwrap()], 120, 36, &[]);
    let is_online = |frame: &Frame| frame.contains("ONLINE") && frame.contains("F9 cut network");
    let is_cut = |frame: &Frame| frame.contains("OFFLINE") && frame.contains("F10 restore network");
    let mut one = start();
    one.wait("everything is here", |frame| frame.contains("ONLINE") && frame.contains("live"));
    one.send(F9);
    one.wait("the network cut", is_cut);
    one.send("2");
    one.send("d");
    one.wait_text("Delete");
    one.send("\r");
    one.wait_text("1 queued");
    let mut two = start();
    two.wait("the same network", |frame| is_cut(frame) && frame.contains("1 queued"));
    two.send(F10);
    for window in [&one, &two] {
        window.wait("the edit sent", |frame| is_online(frame) && frame.contains("0 queued"));
    }
    two.send(F9);
    for window in [&one, &two] {
        window.wait("cut by the other", is_cut);
    }
    one.kill();
    two.send(F10);
    two.wait("the backend taken over", is_online);
}

#[test]
fn a_demo_that_is_open_is_not_reset() {
    let dir = tempfile::tempdir().unwrap();
    let start = |more: &[&str]| {
        let arguments = [&["demo", "--data-dir", dir.path().to_str().unwrap()], more].concat();
        Pty::start(&arguments, 120, 36, &[])
    };
    let mut pty = start(&[]);
    pty.wait("everything is here", |frame| frame.contains("ONLINE") && frame.contains("live"));
    pty.send("2");
    pty.send("e");
    pty.wait_text("Check");
    pty.send("x");
    pty.wait_text("draft saved");
    let mut other = start(&["--reset"]);
    assert_eq!(other.wait_exit(), 1);
    let said = String::from_utf8_lossy(&other.bytes()).into_owned();
    assert!(said.contains("was not reset") && said.contains("quit it first"), "{said}");
    pty.kill();
    let mut pty = start(&[]);
    pty.wait("the draft", |frame| frame.contains("~ draft"));
    pty.kill();
    let pty = start(&["--reset"]);
    pty.wait("everything anew", |frame| {
        frame.contains("ONLINE") && frame.contains("live") && !frame.contains("draft of")
    });
}
