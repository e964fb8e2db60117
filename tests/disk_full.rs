//! A disk that is full, used up by quota, or read-only, with the real program: at the start and in the middle.
//!
//! The disk is a small one in memory, mounted in a namespace of its own (`unshare`, util-linux); the test reaches it
//! through `/proc`.

mod common;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use common::{Workspace, pty::Pty, wait_for};
use serde_json::json;

/// A small disk, as long as a process in its namespace lives.
struct Disk {
    holder: Child,
    workspace: Workspace,
}

impl Disk {
    fn new(megabytes: u32) -> Self {
        let workspace = Workspace::new("http://127.0.0.1:1", &[("tasks", &["n"])]);
        fs::create_dir(workspace.data()).unwrap();
        let script = format!(
            "mount -t tmpfs -o size={megabytes}m,mode=0700 ebbtide '{}' && echo mounted && exec sleep 600",
            workspace.data().display()
        );
        let mut holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) is there");
        let mut said = [0; 7];
        std::io::Read::read_exact(&mut holder.stdout.take().unwrap(), &mut said).expect("a small disk can be mounted");
        Self { holder, workspace }
    }

    /// The words of a command that runs on this disk.
    fn words(&self, args: &[&str]) -> Vec<String> {
        let command = self.workspace.command(args);
        let mut words: Vec<String> = ["-t", &self.holder.id().to_string(), "-U", "-m", "--preserve-credentials"]
            .iter()
            .map(|word| (*word).to_owned())
            .collect();
        words.push(command.get_program().to_str().unwrap().to_owned());
        words.extend(command.get_args().map(|arg| arg.to_str().unwrap().to_owned()));
        words
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new("nsenter").args(self.words(args)).output().unwrap()
    }

    fn put(&self, id: &str, bytes: usize) -> Output {
        let document = self.workspace.dir.path().join("document.json");
        fs::write(&document, json!({ "t": "x".repeat(bytes) }).to_string()).unwrap();
        self.run(&["put", "tasks", id, &format!("@{}", document.display())])
    }

    fn waiting(&self) -> usize {
        let output = self.run(&["outbox", "list", "--json"]);
        assert!(output.status.success(), "{output:?}");
        let ops: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        ops.as_array().unwrap().len()
    }

    /// The data dir as the namespace sees it.
    fn path(&self) -> PathBuf {
        let inside = self.workspace.data();
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(inside.strip_prefix("/").unwrap())
    }

    /// Takes all the space there is, except the ballast's.
    fn fill(&self) {
        let mut file = fs::File::create(self.path().join("filler")).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }

    fn remount(&self, how: &str) {
        let status = Command::new("nsenter")
            .args(["-t", &self.holder.id().to_string(), "-U", "-m", "--preserve-credentials", "mount", "-o"])
            .arg(format!("remount,{how}"))
            .arg(self.workspace.data())
            .status()
            .unwrap();
        assert!(status.success(), "remount,{how}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn on_a_full_disk_edits_are_saved_as_long_as_the_ballast_lasts_then_refused_aloud() {
    let disk = Disk::new(30);
    assert!(disk.put("first", 100).status.success());
    wait_for("the ballast", || (fs::metadata(disk.path().join("ballast")).ok()?.len() == 8 << 20).then_some(()));
    disk.fill();
    // Without room for anything: the ballast is given up.
    let (mut saved, mut refused) = (1, None);
    for n in 0..40 {
        let output = disk.put(&format!("full{n}"), 600_000);
        if output.status.success() {
            saved += 1;
            assert_eq!(disk.waiting(), saved, "queued means on disk");
        } else {
            refused = Some(output);
            break;
        }
    }
    assert!(saved > 2, "the ballast lets edits through: {saved}");
    let refused = refused.expect("some time nothing fits any more");
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said(&refused).contains("the disk is full") && said(&refused).contains("free some space"),
        "{}",
        said(&refused)
    );
    assert_eq!(disk.waiting(), saved, "reading goes on");
    disk.free();
    assert!(disk.put("after", 600_000).status.success(), "no repair is needed");
    assert_eq!(disk.waiting(), saved + 1);
    let doctor = disk.run(&["doctor", "--json"]);
    let found: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let checks = found["checks"].as_array().unwrap();
    let broken: Vec<_> =
        checks.iter().filter(|check| check["result"] == "problem" && check["check"] != "space").collect();
    assert!(broken.is_empty(), "{broken:?}");
}

impl Disk {
    fn fill_more(&self) {
        if let Ok(mut file) = fs::File::options().append(true).create(true).open(self.path().join("more")) {
            while file.write_all(&[7; 4096]).is_ok() {}
        }
    }

    fn free_more(&self) {
        let _ = fs::remove_file(self.path().join("more"));
    }
}

#[test]
fn a_disk_that_is_full_from_the_start_is_said_aloud() {
    let disk = Disk::new(1);
    disk.fill();
    let output = disk.put("first", 10);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("the disk is full"), "{}", said(&output));
    disk.free();
    // Too small for any ballast, and still good for an edit.
    let output = disk.put("first", 10);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(disk.waiting(), 1);
}

#[test]
fn a_read_only_disk_can_be_looked_at_and_refuses_edits_with_a_hint() {
    let disk = Disk::new(30);
    assert!(disk.put("first", 100).status.success());
    disk.remount("ro");
    assert_eq!(disk.waiting(), 1);
    let output = disk.put("second", 10);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("cannot be written") && said(&output).contains("--read-only"), "{}", said(&output));
    let output = disk.run(&["journal", "backup"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    disk.remount("rw");
    assert!(disk.put("second", 10).status.success());
    assert_eq!(disk.waiting(), 2);
}

#[test]
fn a_quota_that_is_used_up_is_a_full_disk() {
    let workspace = Workspace::new("http://127.0.0.1:1", &[("tasks", &["n"])]);
    workspace.run(&["put", "tasks", "first", r#"{"n":1}"#]);
    let data = workspace.data();
    let command = workspace.command(&["put", "tasks", "second", r#"{"n":2}"#]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=write,pwrite64:error=EDQUOT"]);
    for name in ["journal.db", "journal.db-wal", ".space"] {
        strace.arg("-P").arg(data.join(name));
    }
    let output = strace.arg(command.get_program()).args(command.get_args()).output().expect("tests/tools/install");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("the disk is full"), "{}", said(&output));
    workspace.run(&["put", "tasks", "second", r#"{"n":2}"#]);
}

#[test]
fn what_is_typed_while_the_disk_is_full_is_kept_and_saved_when_there_is_room() {
    let disk = Disk::new(30);
    assert!(disk.put("first", 100).status.success());
    wait_for("the ballast", || (fs::metadata(disk.path().join("ballast")).ok()?.len() == 8 << 20).then_some(()));
    let words = disk.words(&[]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let nsenter = ["/usr/bin/nsenter", "/bin/nsenter"].iter().map(Path::new).find(|path| path.exists()).unwrap();
    let mut screen = Pty::start_program(nsenter, &words, 100, 30, &[]);
    screen.wait_text("first");
    disk.fill();
    screen.send("e");
    screen.wait_text("draft");
    // More and more, until the ballast is used up as well.
    let mut typed = 0;
    for _ in 0..30 {
        let frames = screen.frames();
        screen.paste(&"y".repeat(400_000));
        typed += 1;
        let said_so = wait_for("a frame or a banner", || {
            let text = screen.screen().text();
            if text.contains("SAVING FAILED") {
                return Some(true);
            }
            (screen.frames() > frames).then_some(false)
        });
        if said_so {
            break;
        }
        disk.fill_more();
    }
    assert!(typed > 1, "the ballast lets drafts through");
    assert!(screen.screen().text().contains("disk is full"), "{}", screen.screen().text());
    disk.free();
    disk.free_more();
    let frames = screen.frames();
    wait_for("it goes on by itself", || (screen.frames() > frames).then_some(()));
    screen.kill();
    let draft = || -> usize {
        let drafts = Command::new("nsenter")
            .args(["-t", &disk.holder.id().to_string(), "-U", "-m", "--preserve-credentials", "sqlite3"])
            .arg(disk.workspace.data().join("journal.db"))
            .arg("SELECT coalesce(sum(length(snapshot)), 0) + (SELECT coalesce(sum(length(edit)), 0) FROM draft_edits) FROM drafts")
            .output()
            .unwrap();
        String::from_utf8_lossy(&drafts.stdout).trim().parse().unwrap_or(0)
    };
    assert!(draft() >= typed * 400_000, "{} of {}", draft(), typed * 400_000);
}
