//! What the end-to-end tests share: a real terminal around the real program.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::disallowed_methods, reason = "a test waits by the real clock")]

pub mod bench;
pub mod fake;
pub mod journal;
pub mod proxy;
pub mod pty;
pub mod rig;
pub mod server;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

/// The program under test.
pub fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_ebbtide"))
}

/// A command of the program on a data dir and configuration, free of the caller's environment.
pub fn ebbtide(data_dir: &Path, config: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("EBBTIDE_")) {
        command.env_remove(name);
    }
    command.arg("--data-dir").arg(data_dir).arg("--config").arg(config).args(args);
    command
}

/// Runs a command and answers its output; panics with both streams when the exit code is another one.
pub fn expect_code(mut command: Command, code: i32) -> Output {
    let output = command.output().expect("the program starts");
    assert_eq!(
        output.status.code(),
        Some(code),
        "{command:?}\nstdout: {}\nstderr: {}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Waits until `condition` answers something; panics with `what` after 30 s. Polls: the condition is the only clock.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < end, "waited 30 s for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A small generator of repeatable randomness (SplitMix64); print its seed with every failure.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).expect("below a usize")
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// A seed from the environment (`SEED`), or the one given.
pub fn seed(default: u64) -> u64 {
    std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The place in the header has the room that the connectivity leaves it, so of two headers what both show of it counts: a
/// part of its names, cut off at its end, and in a narrow window a fact cut off at the right. Works on masked rows.
pub fn agree_on_the_place(left: &mut [String], right: &mut [String]) {
    ebbtide::ui::volatile::agree(left, right);
    let (Some(one), Some(other)) = (left.first_mut(), right.first_mut()) else { return };
    let shown = |row: &str| {
        let row = row.replace(" (firebase)", "");
        let words: Vec<&str> = row.split(['…', '·']).next().unwrap_or("").split_whitespace().collect();
        let words = words.join(" ");
        words.strip_prefix("ebbtide | ").unwrap_or(&words).to_owned()
    };
    let (mine, theirs) = (shown(one), shown(other));
    let (short, long) = if mine.len() < theirs.len() { (mine, theirs) } else { (theirs, mine) };
    if long.starts_with(&short) || long.ends_with(&short) {
        let facts = |row: &str| row.rsplit('·').next().unwrap_or("").trim_end_matches(['…', ' ']).to_owned();
        let (mine, theirs) = (facts(one), facts(other));
        let common = if mine.starts_with(&theirs) { theirs } else { mine };
        for row in [one, other] {
            let rest = facts(row);
            *row = format!("{short} {}", if rest.starts_with(&common) { &common } else { &rest });
        }
    }
}

/// A data dir with a configuration of one source, `lab`, at `url`.
pub struct Workspace {
    pub dir: tempfile::TempDir,
}

impl Workspace {
    /// `collections` are (name, columns); each is kept under its own name on the server.
    pub fn new(url: &str, collections: &[(&str, &[&str])]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut config = format!("[[source]]\nname = \"lab\"\nkind = \"firebase\"\nurl = \"{url}\"\n");
        for (name, columns) in collections {
            config.push_str(&format!(
                "\n[[source.collection]]\nname = \"{name}\"\npath = \"{name}\"\ncolumns = {columns:?}\n"
            ));
        }
        std::fs::write(dir.path().join("config.toml"), config).expect("the configuration can be written");
        Self { dir }
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        ebbtide(&self.data(), &self.config(), args)
    }

    /// Runs a command that must succeed; answers its stdout.
    pub fn run(&self, args: &[&str]) -> String {
        let output = expect_code(self.command(args), 0);
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Runs a command with `--json` whatever its exit code; answers the document and the code.
    pub fn json(&self, args: &[&str]) -> (serde_json::Value, i32) {
        let output = self.command(args).arg("--json").output().expect("the program starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let document = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{args:?}: {error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
        (document, output.status.code().unwrap_or(-1))
    }

    /// Starts the dashboard on it.
    pub fn dashboard(&self, columns: u16, rows: u16, args: &[&str]) -> pty::Pty {
        let (data, config) = (self.data(), self.config());
        let mut all = vec!["--data-dir", data.to_str().expect("UTF-8"), "--config", config.to_str().expect("UTF-8")];
        all.extend(args);
        pty::Pty::start(&all, columns, rows, &[])
    }
}
