//! Stopping and coming back like a shell job, terminals of all kinds, and what a killed run left behind.

use std::process::{Command, Stdio};

use crate::{
    common::{self, expect_code, pty::Pty, wait_for},
    desk::*,
};

/// A shell with job control in a terminal of its own.
fn shell() -> Pty {
    let mut pty = Pty::start_program("/bin/bash".as_ref(), &["--norc", "--noprofile", "-i"], 120, 36, &[("PS1", "$ ")]);
    pty.send("\n");
    pty.wait_screen("the prompt", |screen| screen.contains("$ "));
    pty
}

#[test]
fn ctrl_z_goes_back_to_the_shell_and_fg_to_the_screen() {
    let workspace = desk();
    let mut pty = shell();
    let (program, data, config) = (common::program(), workspace.data(), workspace.config());
    pty.send(&format!("{} --data-dir {} --config {} --offline\n", program.display(), data.display(), config.display()));
    pty.wait("the tree", |frame| frame.rows.iter().skip(1).any(|row| row.contains("FORCED OF")));
    let child = child_of(pty.pid());
    for _ in 0..2 {
        let before = pty.last_frame().unwrap();
        pty.send("\x1a");
        wait_stopped(child);
        pty.wait_screen("the shell", |screen| screen.contains("Stopped") && !screen.contains("Person 3"));
        // What the shell makes of the modes is its own; the output is for a line of text.
        assert!(!pty.modes().contains("-opost"), "{}", pty.modes());
        let frames = pty.frames();
        pty.send("fg\n");
        pty.wait_frames(frames + 1, std::time::Duration::from_secs(30));
        let after = pty.wait("the list", |frame| frame.contains("Person 3"));
        // The panes of the network, below, say something new by themselves.
        assert_eq!(before.rows[..22], after.rows[..22]);
    }
    // Stopped and continued from outside, with the modes of a shell meanwhile: it takes the terminal back.
    kill(19, child);
    wait_stopped(child);
    pty.wait_screen("the shell", |screen| screen.contains("Stopped"));
    pty.send("fg\n");
    pty.send("/");
    pty.wait("a filter", |frame| frame.contains("FILTER"));
    assert!(pty.modes().contains("-icanon"));
    pty.escape(1);
    pty.send("q");
    pty.wait_screen("the prompt", |screen| !screen.contains("FILTER") && screen.contains("$ "));
}

#[test]
fn ctrl_l_paints_over_what_another_program_wrote_on_the_screen() {
    use std::io::Write as _;
    let workspace = desk();
    let mut pty = open(&workspace, &[], &[]);
    pty.wait_text("Person 3");
    // The network's panes say nothing new after that.
    let before = pty.wait_text("FORCED OFFLINE now");
    let mut device = std::fs::File::options().write(true).open(pty.device()).unwrap();
    device.write_all(b"\x1b[5;20Hwall: the ship leaves at noon").unwrap();
    pty.wait_screen("the junk", |screen| screen.contains("leaves at noon"));
    pty.send("\x0c");
    pty.wait_screen("the screen without it", |screen| !screen.contains("leaves at noon"));
    assert_eq!(before.rows[..22], pty.wait_text("Person 3").rows[..22]);
    pty.send("q");
    assert_eq!(pty.wait_exit(), 0);
}

#[test]
fn ctrl_z_in_a_terminal_without_a_shell_says_so_and_stops_nothing() {
    let workspace = desk();
    let mut pty = open(&workspace, &[], &[]);
    pty.send("\x1a");
    pty.wait_text("no shell to go back to");
    pty.send("q");
    assert_eq!(pty.wait_exit(), 0);
}

#[test]
fn what_a_killed_run_left_of_the_terminal_is_put_right_by_the_next() {
    let workspace = desk();
    // A shell that, unlike bash, cares for no modes between two programs.
    let script =
        r#""$@"; stty -a > before; printf '\033[4;30Hjunk\033[34;90Hjunk'; "$@"; stty -a > after; read -r line"#;
    let (program, data, config) = (common::program(), workspace.data(), workspace.config());
    let place = workspace.dir.path();
    let text = format!("cd {}; {script}", place.display());
    let paths = [program.to_str().unwrap(), data.to_str().unwrap(), config.to_str().unwrap()];
    let args = ["-c", &text, "sh", paths[0], "--data-dir", paths[1], "--config", paths[2], "--offline"];
    let mut pty = Pty::start_program("/bin/sh".as_ref(), &args, 120, 36, &[]);
    pty.wait_text("Person 3");
    kill(9, child_of(pty.pid()));
    let read = |name: &str| std::fs::read_to_string(place.join(name)).unwrap_or_default();
    wait_for("the modes after the kill", || read("before").contains("icanon").then_some(()));
    assert!(read("before").contains("-icanon"), "raw: {}", read("before"));
    // The terminal is in the other screen still, and keeps what is there when it is asked for it again.
    let before_the_frame = wait_for("a frame of the second run", || {
        let bytes = String::from_utf8_lossy(&pty.bytes()).into_owned();
        let after_junk = &bytes[bytes.rfind("junk")?..];
        let frame = after_junk.find("\x1b[?2026h")?;
        after_junk.contains("\x1b[?2026l").then(|| after_junk[..frame].to_owned())
    });
    assert!(before_the_frame.contains("\x1b[2J"), "the screen is cleared first: {before_the_frame:?}");
    pty.wait_text("Person 3");
    pty.send("q");
    // The shell waits for a line: what it is given must not be lost with the last one who has the terminal open.
    wait_for("the modes after the second run", || read("after").contains("icanon").then_some(()));
    wait_for("the terminal to be given back", || pty.bytes().ends_with(b"\x1b[?25h").then_some(()));
    pty.send("\r");
    pty.wait_exit();
    assert_given_back(&pty, "the second run");
    assert_cooked(&read("after"), "the second run");
}

#[test]
fn every_kind_of_terminal_and_surroundings_gets_a_screen_or_a_reason() {
    let workspace = desk();
    let surroundings: [&[(&str, &str)]; 5] = [
        &[("TERM", "dumb")],
        &[("TERM", "")],
        &[("NO_COLOR", "1")],
        &[("LANG", "C"), ("LC_ALL", "C")],
        &[("HOME", ""), ("XDG_CONFIG_HOME", ""), ("XDG_DATA_HOME", "")],
    ];
    for env in surroundings {
        let mut pty = open(&workspace, &[], env);
        pty.send("jj");
        pty.send("q");
        assert_eq!(pty.wait_exit(), 0, "{env:?}");
        if env[0].0 == "TERM" || env[0].0 == "NO_COLOR" {
            let bytes = String::from_utf8_lossy(&pty.bytes()).into_owned();
            let coloured = env[0] != ("TERM", "") && (bytes.contains("\x1b[38;5;") || bytes.contains("\x1b[34m"));
            assert!(!coloured, "{env:?}");
            assert!(
                bytes.contains("\x1b[7m") || env[0] == ("TERM", ""),
                "the selected row is seen without colour: {env:?}"
            );
        }
    }
    // A log that cannot be written is no reason not to start.
    let log = workspace.data().join("log");
    std::fs::remove_dir_all(&log).unwrap();
    std::fs::write(&log, "a file where the directory should be").unwrap();
    let mut pty = open(&workspace, &[], &[]);
    pty.send("q");
    assert_eq!(pty.wait_exit(), 0);
}

#[test]
fn without_a_terminal_a_home_or_an_output_there_is_a_reason_and_no_panic() {
    let workspace = desk();
    let mut homeless = Command::new(common::program());
    homeless.arg("status").env_clear().stdin(Stdio::null());
    let output = homeless.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // The operating system may know a home of its own; a clear environment is no panic in any case.
    assert!(output.status.code().is_some_and(|code| code <= 3), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let paths = [common::program(), workspace.data(), workspace.config()];
    let [program, data, config] = paths.each_ref().map(|path| path.display().to_string());
    let line = format!("'{program}' --data-dir '{data}' --config '{config}'");
    for (ending, code) in [(" >&-", 2), (" status >&-", 0), (" <&- >&- 2>&-", 2), (" status > /dev/full", 1)] {
        let mut closed = Command::new("sh");
        closed.arg("-c").arg(format!("{line}{ending}"));
        let output = closed.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{ending}: {said}");
        assert!(!said.contains("panicked"), "{ending}: {said}");
        if !ending.contains("2>&-") {
            assert_eq!(said.contains("error: "), code != 0, "{ending}: {said}");
        }
    }
    let text = String::from_utf8(expect_code(workspace.command(&[]), 2).stderr).unwrap();
    assert!(text.contains("terminal") && text.contains("hint: "), "{text}");
}
