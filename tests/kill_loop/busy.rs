//! The same while a pull and a drain run: the screen moves by itself there, so what counts is what was typed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    common::{Random, Workspace, pty::Frame, server::Serve, wait_for},
    lane::Tally,
};

/// Where is typed, and what stands before the text on the screen.
const INPUTS: [(&str, &str); 3] = [("2/", "FILTER "), (":", ": "), ("?", "Search: ")];

pub struct Busy {
    serve: Serve,
    workspace: Workspace,
    random: Random,
    pub tally: Tally,
    seed: u64,
    _data: tempfile::TempDir,
}

impl Busy {
    pub fn new(seed: u64) -> Self {
        let data = tempfile::tempdir().unwrap();
        let serve = Serve::start(0, &data.path().join("server.db"));
        let people: serde_json::Map<String, Value> = (0..1_500)
            .map(|index| (format!("u_{index:05}"), json!({"name": format!("Person {index}"), "role": "editor"})))
            .collect();
        serve.put("/users.json", &people.into());
        let workspace = Workspace::new(&serve.url, &[("users", &["name", "role"])]);
        let slow =
            std::fs::read_to_string(workspace.config()).unwrap() + "pull = \"windows\"\n\n[sync]\npage_size = 10\n";
        std::fs::write(workspace.config(), slow).unwrap();
        let (random, tally) = (Random::new(seed), Tally::default());
        Self { serve, workspace, random, tally, seed, _data: data }
    }

    /// A data dir that is just being filled, with a queue that is just being sent.
    pub fn play(&mut self, round: usize) {
        self.tally.rounds += 1;
        let _ = std::fs::remove_dir_all(self.workspace.data());
        let edits: serde_json::Map<String, Value> =
            (0..40).map(|n| (format!("new-{}-{round}-{n}", self.seed), json!({"name": "x"}))).collect();
        let file = self.workspace.dir.path().join("edits.json");
        std::fs::write(&file, Value::Object(edits).to_string()).unwrap();
        self.workspace.run(&["import", "users", file.to_str().unwrap()]);
        let mut pty = self.workspace.dashboard(120, 36, &[]);
        pty.wait("a connection", |frame| frame.contains("ONLINE"));
        // Forty edits may be sent before a frame says so.
        let is_busy = pty.last_frame().is_some_and(|frame| !frame.rows[0].contains(" 0 queued"));
        self.tally.live += usize::from(is_busy);
        let (keys, before) = INPUTS[self.random.below(INPUTS.len())];
        pty.send(keys);
        pty.wait("the input", |frame| frame.cursor.is_some());
        let letters = "abcdefghijklmnopqrstuvwxyz";
        let typed: String =
            (0..4 + self.random.below(9)).map(|_| letters.as_bytes()[self.random.below(26)] as char).collect();
        for letter in typed.chars() {
            pty.send(letter.encode_utf8(&mut [0; 4]));
            std::thread::park_timeout(Duration::from_micros(self.random.next() % 8_000));
        }
        self.tally.events += typed.len();
        if self.random.below(2) == 0 {
            pty.wait("some letter", |frame| seen(frame, before, &typed) > 0);
        }
        pty.kill();
        let painted = pty.last_frame().map_or(0, |frame| seen(&frame, before, &typed));
        // Without network: what is there is what was saved.
        let mut again = self.workspace.dashboard(120, 36, &["--offline"]);
        wait_for("a frame", || (again.frames() > 0).then_some(()));
        let restored = seen(&again.frame(0), before, &typed);
        again.kill();
        if restored < painted {
            self.tally.lost += painted - restored;
            eprintln!(
                "seed {} round {round}: {painted} letters of {typed} were painted after {keys}, {restored} came back\n{}",
                self.seed,
                again.frame(0).text()
            );
        }
        // What was sent arrived once, or waits: the queue and the server hold all edits between them.
        let waiting = self.workspace.json(&["outbox", "list"]).0.as_array().unwrap().len();
        let there = self.serve.get("/users.json");
        let name = format!("new-{}-{round}-", self.seed);
        let arrived = there.as_object().unwrap().keys().filter(|id| id.starts_with(&name)).count();
        if waiting + arrived < 40 {
            self.tally.lost += 40 - waiting - arrived;
            eprintln!("seed {} round {round}: {waiting} edits wait and {arrived} arrived, of 40", self.seed);
        }
    }
}

/// How many letters of the typed text stand in the input.
fn seen(frame: &Frame, before: &str, typed: &str) -> usize {
    let lengths = (1..=typed.len()).rev();
    let stands = |length: &usize| frame.contains(&format!("{before}{}", &typed[..*length]));
    lengths.into_iter().find(stands).unwrap_or(0)
}
