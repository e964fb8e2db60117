//! One data dir, and the lives of the program on it: start, keys, `kill -9`, start again, compare.

use std::{path::Path, time::Duration};

use serde_json::json;

use crate::{
    common::{
        Random, Workspace,
        pty::{Frame, Pty},
        server::Serve,
    },
    scenes::{self, SCENES, Scene},
    shown::{Shown, differing, looks_older},
};

/// After this long without a frame a key is taken to have changed nothing. A busy machine paints later: before a comparison
/// more is waited for.
const SILENT: Duration = Duration::from_millis(80);
/// A window hears within this of what another one did.
const HEARD: Duration = Duration::from_millis(400);

const SIZES: [(u16, u16); 5] = [(120, 36), (80, 24), (100, 30), (60, 16), (160, 50)];

/// The data begins anew after so many rounds: conflicts and ops are used up.
const ANEW: usize = 12;

#[derive(Debug, Default)]
pub struct Tally {
    pub rounds: usize,
    pub two: usize,
    pub live: usize,
    pub events: usize,
    pub painted_after: usize,
    pub lost: usize,
    pub differing: usize,
}

pub struct Lane {
    workspace: Workspace,
    /// The data as it was at first.
    pristine: tempfile::TempDir,
    random: Random,
    pub tally: Tally,
    run: String,
}

impl Lane {
    pub fn new(seed: u64) -> Self {
        let workspace = filled_workspace();
        let pristine = tempfile::tempdir().unwrap();
        copy_files(&workspace.data(), pristine.path());
        Self { workspace, pristine, random: Random::new(seed), tally: Tally::default(), run: format!("seed {seed}") }
    }

    pub fn play(&mut self, round: usize) {
        let seed = self.run.split(" round").next().unwrap_or_default().to_owned();
        self.run = format!("{seed} round {round}");
        self.tally.rounds += 1;
        if round.is_multiple_of(ANEW) {
            std::fs::remove_dir_all(self.workspace.data()).unwrap();
            std::fs::create_dir(self.workspace.data()).unwrap();
            copy_files(self.pristine.path(), &self.workspace.data());
        }
        let scene = &SCENES[self.random.below(SCENES.len())];
        match self.random.below(8) {
            0 => self.two(scene),
            _ => self.one(scene),
        }
    }

    fn start(&self, size: (u16, u16)) -> (Pty, Frame) {
        let pty = self.workspace.dashboard(size.0, size.1, &["--offline"]);
        assert!(pty.wait_frames(1, Duration::from_secs(30)) >= 1, "{}: no frame:\n{}", self.run, pty.screen().text());
        let first = pty.frame(0);
        (pty, first)
    }

    fn shown(&self, frame: Frame, size: (u16, u16)) -> Shown {
        Shown::new(&self.workspace, frame, size)
    }

    /// Goes to the scene and presses some of its keys; the size may change meanwhile.
    fn warm_up(&mut self, pty: &mut Pty, scene: &Scene, size: &mut (u16, u16)) {
        settle(pty);
        if !scene.begin.is_empty() {
            for keys in ["\x1b", "\x1b"].iter().chain(scene.begin) {
                press(pty, keys);
            }
        }
        for _ in 0..2 + self.random.below(8) {
            let keys = scenes::key(scene, &mut self.random);
            press(pty, &keys);
            self.tally.events += 1;
            if self.random.below(12) == 0 {
                *size = *self.random.pick(&SIZES);
                let frames = pty.frames();
                pty.resize(size.0, size.1);
                pty.wait_frames(frames + 1, SILENT * 4);
                settle(pty);
                self.tally.events += 1;
            }
        }
    }

    fn one(&mut self, scene: &Scene) {
        let mut size = *self.random.pick(&SIZES);
        let (mut pty, _) = self.start(size);
        self.warm_up(&mut pty, scene, &mut size);
        self.last_key(pty, scene, size);
    }

    /// The last key: killed at a random moment after it was sent. A copy of the data from before it tells what it leads to.
    fn last_key(&mut self, mut pty: Pty, scene: &Scene, size: (u16, u16)) {
        let last = scenes::key(scene, &mut self.random);
        // The frame that was last painted must be of the last key: a busy machine takes longer than [`SILENT`].
        quiet(&mut pty, HEARD);
        let what = if last.len() > 60 { "a large paste".to_owned() } else { format!("{last:?}") };
        let before = self.shown(pty.last_frame().expect("it has painted"), size);
        let copy = tempfile::tempdir().unwrap();
        copy_running(&self.workspace.data(), copy.path());
        let frames = pty.frames();
        pty.send(&last);
        self.tally.events += 1;
        if self.random.below(3) > 0 {
            pty.wait_frames(frames + 1, Duration::from_micros(self.random.next() % 20_000));
        }
        pty.kill();
        let is_painted = pty.frames() > frames;
        let painted = pty.last_frame().expect("it had painted");
        let painted = match is_painted {
            true => self.shown(painted, size),
            false => Shown { frame: painted, layout: before.layout.clone(), is_replay: false },
        };
        let (mut again, restored) = self.start(size);
        again.kill();
        let restored = self.shown(restored, size);
        let (from_copy, reached) = self.replay(copy.path(), size, &last);
        let about = format!("{} ({}) at {size:?}", self.run, scene.name);
        if !before.asks() {
            self.compare(&before, std::slice::from_ref(&from_copy), &format!("{about}, before {what}"));
        }
        if painted.asks() || differing(&restored, &painted).is_empty() {
            return;
        }
        // A question is not restored: on the copy the key would answer nothing.
        if before.asks() {
            return;
        }
        // The key was committed and not painted: the same key on the copy must lead to the same frame.
        self.tally.painted_after += 1;
        self.compare(&restored, &reached, &format!("{about}, after {what}"));
    }

    /// Two windows on the same data: both are typed into, both are killed, both come back.
    fn two(&mut self, scene: &Scene) {
        self.tally.two += 1;
        let mut size = *self.random.pick(&SIZES[..3]);
        let second_size = (110, 32);
        let (mut first, _) = self.start(size);
        settle(&mut first);
        let (mut second, _) = self.start(second_size);
        self.warm_up(&mut first, scene, &mut size);
        press(&mut second, "\x1b");
        press(&mut second, "2a");
        for _ in 0..1 + self.random.below(5) {
            let keys = scenes::key(&SCENES[10], &mut self.random);
            press(&mut second, &keys);
            self.tally.events += 1;
        }
        settle(&mut first);
        settle(&mut second);
        quiet(&mut second, HEARD);
        second.kill();
        let painted = self.shown(second.last_frame().unwrap(), second_size);
        quiet(&mut first, HEARD);
        let before = self.shown(first.last_frame().unwrap(), size);
        first.kill();
        let about = format!("{} ({}, two windows)", self.run, scene.name);
        let (mut first, restored) = self.start(size);
        let restored = self.shown(restored, size);
        // The list of sessions says that the second is not open any more, and that is so.
        if !before.asks() && !before.is_of("Sessions") {
            self.compare(&before, &[restored], &format!("{about}: the first"));
        }
        let (mut second, restored) = self.start(second_size);
        let restored = self.shown(restored, second_size);
        if !painted.asks() {
            self.compare(&painted, &[restored], &format!("{about}: the second"));
        }
        second.kill();
        first.kill();
    }

    /// Counts and shows the rows in which a frame differs from the nearest of those it may be.
    fn compare(&mut self, frame: &Shown, allowed: &[Shown], what: &str) {
        let Some(nearest) = allowed.iter().min_by_key(|other| differing(frame, other).len()) else { return };
        let rows = differing(frame, nearest);
        if rows.is_empty() {
            return;
        }
        self.tally.lost += usize::from(looks_older(frame, nearest));
        self.tally.differing += rows.len();
        eprintln!("{what}: rows {rows:?} differ\n{}\n--\n{}", frame.frame.text(), nearest.frame.text());
    }

    /// The first frame of a start on a copy of the data, and all frames that the keys then lead to, one after the other:
    /// the kill may have come between two letters of a word. The copy takes the place of the data meanwhile: paths are
    /// shown on some screens.
    fn replay(&self, copy: &Path, size: (u16, u16), keys: &str) -> (Shown, Vec<Shown>) {
        let data = self.workspace.data();
        let aside = self.workspace.dir.path().join("aside");
        std::fs::rename(&data, &aside).unwrap();
        std::fs::create_dir(&data).unwrap();
        copy_files(copy, &data);
        let (mut pty, first) = self.start(size);
        let first = self.shown(first, size);
        settle(&mut pty);
        let before = pty.frames();
        if keys.starts_with('\x1b') {
            press(&mut pty, keys);
        } else {
            keys.chars().for_each(|key| press(&mut pty, key.encode_utf8(&mut [0; 4])));
        }
        let reached = (before..pty.frames())
            .map(|index| Shown { is_replay: true, ..self.shown(pty.frame(index), size) })
            .collect();
        pty.kill();
        std::fs::remove_dir_all(&data).unwrap();
        std::fs::rename(&aside, &data).unwrap();
        (first, reached)
    }
}

/// Some sixty records, edits that wait, conflicts, and no network: what is compared must not move by itself.
fn filled_workspace() -> Workspace {
    let server_dir = tempfile::tempdir().unwrap();
    let serve = Serve::start(0, &server_dir.path().join("server.db"));
    let people: serde_json::Map<String, serde_json::Value> =
        (0..60).map(|index| (format!("u_{index:05}"), person(index))).collect();
    serve.put("/users.json", &people.into());
    serve.put("/tags.json", &json!({"a": {"label": "α"}, "b": {"label": "東京"}}));
    let workspace = Workspace::new(&serve.url, &[("users", &["name", "role", "age"]), ("tags", &["label"])]);
    workspace.run(&["sync"]);
    for index in [3, 7] {
        let id = format!("u_{index:05}");
        workspace.run(&["patch", "users", &id, r#"{"name": "mine 田", "age": 1, "flags": {"beta": false}}"#]);
        serve.put(&format!("/users/{id}/name.json"), &json!("theirs"));
        serve.put(&format!("/users/{id}/age.json"), &json!(2));
    }
    let _ = workspace.json(&["sync"]);
    assert_eq!(workspace.json(&["conflicts", "list"]).0.as_array().unwrap().len(), 2, "two conflicts");
    for index in [0, 1, 20, 21] {
        let patch = format!(r#"{{"role": "role {index}", "age": {index}, "note": "changed"}}"#);
        workspace.run(&["patch", "users", &format!("u_{index:05}"), &patch]);
    }
    workspace
}

fn person(index: usize) -> serde_json::Value {
    let names = ["Ana Sousa", "Bo Lindqvist", "Chidi Okafor", "Emi 田中", "שרה לוי", "Zoë 👩‍🚀"];
    json!({
        "name": names[index % names.len()], "role": if index.is_multiple_of(3) { "admin" } else { "editor" }, "age": 20 + index,
        "addresses": [{"city": "Malmö"}, {"city": "Lund"}], "flags": {"beta": true, "tags": ["vip", "eu"]},
        "note": "a longer text that does not fit into one line of a narrow pane, so that it is cut",
    })
}

/// Sends keys and waits for what they lead to.
pub fn press(pty: &mut Pty, keys: &str) {
    let before = pty.frames();
    pty.send(keys);
    pty.wait_frames(before + 1, SILENT);
    settle(pty);
}

/// Waits until no frame comes any more: loads have answered.
pub fn settle(pty: &mut Pty) {
    quiet(pty, SILENT);
}

fn quiet(pty: &mut Pty, span: Duration) {
    let mut frames = pty.frames();
    loop {
        let now = pty.wait_frames(frames + 1, span);
        if now == frames {
            return;
        }
        frames = now;
    }
}

/// A copy of what a running program has open: readers keep it from emptying a log between the copy of its file and its own.
fn copy_running(from: &Path, to: &Path) {
    let read = |name: &str| {
        let connection = rusqlite::Connection::open(from.join(name)).unwrap();
        connection.execute_batch("BEGIN").unwrap();
        connection.query_row("SELECT count(*) FROM meta", [], |row| row.get::<_, i64>(0)).unwrap();
        connection
    };
    let held = ["journal.db", "mirror.db", "search.db"].map(read);
    copy_files(from, to);
    drop(held);
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if entry.file_type().unwrap().is_file() && !name.to_str().unwrap().ends_with("-shm") {
            std::fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}
