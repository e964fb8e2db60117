//! Random keys and `kill -9`, in a real terminal: the first frame after the restart equals a frame at or after the last
//! one painted, cell by cell, volatile cells aside (they are listed in `ui::volatile`).
//!
//! `tests/kill-loop --rounds N --seed S` makes longer runs.

mod common;

use std::{path::Path, sync::Arc, time::Duration};

use common::{
    Random, Workspace,
    pty::{Frame, Pty},
    server::Serve,
};
use ebbtide::{
    app::{
        geometry::{self, Layout},
        screen::Screen,
    },
    runtime::clock::SystemClock,
    store::{OpenMode, Store},
};
use serde_json::json;

/// After this long without a frame a key is taken to have changed nothing. Only the length of the run depends on it.
const SILENT: Duration = Duration::from_millis(80);

/// Keys by how often they are pressed: movement, panes, folds, filters, overlays, editing, typing.
const KEYS: &[&str] = &[
    "j",
    "j",
    "j",
    "k",
    "k",
    "l",
    "h",
    "\r",
    "\r",
    "\x1b",
    "\t",
    "\t",
    "\x1b[Z",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "z",
    "<",
    ">",
    "G",
    "gg",
    "\x04",
    "\x15",
    "/",
    "/",
    "s",
    "S",
    "0",
    " ",
    "v",
    ":",
    "?",
    "L",
    "i",
    "i",
    "e",
    "e",
    "a",
    "d",
    "u",
    "[",
    "]",
    "\x1b[A",
    "\x1b[B",
    "\x1b[C",
    "\x1b[D",
    "\x1b[5~",
    "\x1b[6~",
    "\x1b[H",
    "\x1b[F",
    "\x7f",
    "\x13",
    "ann",
    "role",
    "\"",
    "{",
    "}",
    "7",
    "true",
    "x1",
    "é",
    "田中",
    "🚀",
    "naïve ",
    "\x1a",
    "\x1b[200~pasted 田\ntext\x1b[201~",
];

struct Tally {
    rounds: usize,
    events: usize,
    painted_after: usize,
    lost: usize,
    differing: usize,
}

#[test]
fn what_was_painted_comes_back_after_kill_9() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    let seed = common::seed(1);
    let mut random = Random::new(seed);
    let workspace = filled_workspace();
    let mut tally = Tally { rounds, events: 0, painted_after: 0, lost: 0, differing: 0 };
    let sizes = [(120, 36), (80, 24), (120, 36), (100, 30)];
    for round in 0..rounds {
        let (columns, rows) = *random.pick(&sizes);
        play(&workspace, columns, rows, &mut random, &mut tally, &format!("seed {seed} round {round}"));
    }
    println!(
        "kill loop: seed {seed}, rounds {}, events {}, {} came back past the last painted frame, lost {}, differing {}",
        tally.rounds, tally.events, tally.painted_after, tally.lost, tally.differing
    );
    assert_eq!((tally.lost, tally.differing), (0, 0), "seed {seed}");
}

/// A mirror of some sixty records, and no network: what is compared must not move by itself.
fn filled_workspace() -> Workspace {
    let server_dir = tempfile::tempdir().unwrap();
    let serve = Serve::start(0, &server_dir.path().join("server.db"));
    let people: serde_json::Map<String, serde_json::Value> =
        (0..60).map(|index| (format!("u_{index:05}"), person(index))).collect();
    serve.put("/users.json", &people.into());
    serve.put("/tags.json", &json!({"a": {"label": "α"}, "b": {"label": "東京"}}));
    let workspace = Workspace::new(&serve.url, &[("users", &["name", "role", "age"]), ("tags", &["label"])]);
    workspace.run(&["sync"]);
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

fn start(workspace: &Workspace, columns: u16, rows: u16) -> (Pty, Frame) {
    let pty = workspace.dashboard(columns, rows, &["--offline"]);
    assert!(pty.wait_frames(1, Duration::from_secs(30)) >= 1, "no frame:\n{}", pty.screen().text());
    let first = pty.frame(0);
    (pty, first)
}

/// One life of the program: start, keys, `kill -9`, start again, compare.
fn play(workspace: &Workspace, columns: u16, rows: u16, random: &mut Random, tally: &mut Tally, run: &str) {
    let (mut pty, _) = start(workspace, columns, rows);
    settle(&mut pty);
    for _ in 0..2 + random.below(14) {
        let keys = KEYS[random.below(KEYS.len())];
        press(&mut pty, keys);
        tally.events += 1;
    }
    // The last key: killed at a random moment after it was sent. A copy of the data from before it tells what it leads to.
    let shown = |frame: Frame| Shown::new(workspace, frame, columns, rows);
    let last = KEYS[random.below(KEYS.len())];
    let before = shown(pty.last_frame().expect("it has painted"));
    let copy = tempfile::tempdir().unwrap();
    copy_files(&workspace.data(), copy.path());
    pty.send(last);
    tally.events += 1;
    let frames = pty.frames();
    if random.below(3) > 0 {
        pty.wait_frames(frames + 1, Duration::from_micros(random.next() % 20_000));
    }
    pty.kill();
    let is_painted = pty.frames() > frames;
    let painted = pty.last_frame().expect("it had painted");
    let painted = if is_painted { shown(painted) } else { Shown { frame: painted, layout: before.layout.clone() } };
    let (mut again, restored) = start(workspace, columns, rows);
    again.kill();
    let restored = shown(restored);

    let (from_copy, reached) = replay(workspace, copy.path(), columns, rows, last);
    // A question is never restored as answered, so it is not restored at all (R20).
    if !before.frame.contains("n or esc leave it") {
        compare(&before, std::slice::from_ref(&from_copy), tally, &format!("{run}, before {last:?}"));
    }
    if painted.frame.contains("n or esc leave it") {
        return;
    }
    if differing(&restored, &painted).is_empty() {
        return;
    }
    // The key was committed and not painted: the same key on the copy must lead to the same frame.
    tally.painted_after += 1;
    compare(&restored, &reached, tally, &format!("{run}, after {last:?}"));
}

/// Counts and shows the rows in which a frame differs from the nearest of those it may be.
fn compare(frame: &Shown, allowed: &[Shown], tally: &mut Tally, what: &str) {
    let Some(nearest) = allowed.iter().min_by_key(|other| differing(frame, other).len()) else { return };
    let rows = differing(frame, nearest);
    if rows.is_empty() {
        return;
    }
    tally.lost += usize::from(looks_older(frame, nearest));
    tally.differing += rows.len();
    eprintln!("{what}: rows {rows:?} differ\n{}\n--\n{}", frame.frame.text(), nearest.frame.text());
}

fn press(pty: &mut Pty, keys: &str) {
    let before = pty.frames();
    pty.send(keys);
    pty.wait_frames(before + 1, SILENT);
    settle(pty);
}

/// Waits until no frame comes any more: loads have answered.
fn settle(pty: &mut Pty) {
    let mut frames = pty.frames();
    loop {
        let now = pty.wait_frames(frames + 1, SILENT);
        if now == frames {
            return;
        }
        frames = now;
    }
}

/// The first frame of a start on a copy of the data, and all frames that the keys then lead to, one after the other: the
/// kill may have come between two letters of a word. The copy takes the place of the data meanwhile: paths are shown on
/// some screens.
fn replay(workspace: &Workspace, copy: &Path, columns: u16, rows: u16, keys: &str) -> (Shown, Vec<Shown>) {
    let aside = workspace.dir.path().join("aside");
    std::fs::rename(workspace.data(), &aside).unwrap();
    std::fs::create_dir(workspace.data()).unwrap();
    copy_files(copy, &workspace.data());
    let (mut pty, first) = start(workspace, columns, rows);
    let first = Shown::new(workspace, first, columns, rows);
    settle(&mut pty);
    let before = pty.frames();
    if keys.starts_with('\x1b') {
        press(&mut pty, keys);
    } else {
        keys.chars().for_each(|key| press(&mut pty, key.encode_utf8(&mut [0; 4])));
    }
    let shown = |index| Shown::new(workspace, pty.frame(index), columns, rows);
    let reached = (before..pty.frames()).map(shown).collect();
    pty.kill();
    std::fs::remove_dir_all(workspace.data()).unwrap();
    std::fs::rename(&aside, workspace.data()).unwrap();
    (first, reached)
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

/// A frame with the layout it was drawn by, which the saved session knows.
struct Shown {
    frame: Frame,
    layout: Layout,
}

impl Shown {
    fn new(workspace: &Workspace, frame: Frame, columns: u16, rows: u16) -> Self {
        let store = Store::open(&workspace.data(), OpenMode::ReadOnly, Arc::new(SystemClock::new())).unwrap();
        let saved = store.reader().unwrap().session(&"default".into()).unwrap();
        let slice = saved.slices.into_iter().find(|slice| slice.name == Screen::NAME);
        let screen: Screen = slice.and_then(|slice| serde_json::from_str(&slice.body).ok()).unwrap_or_default();
        Self { frame, layout: geometry::layout((columns, rows), &screen) }
    }

    fn masked(&self) -> Vec<String> {
        let width = self.frame.rows.len();
        let columns = usize::from(self.layout.header.width);
        let padded: Vec<String> = self.frame.rows.iter().map(|row| pad(row, columns)).collect();
        assert_eq!(padded.len(), width);
        let masked = ebbtide::ui::volatile::mask(&padded, &self.layout);
        let masked: Vec<String> = masked.iter().map(|row| without_clock(row).trim_end().to_owned()).collect();
        if masked[0].contains("| Log") { entries(&masked) } else { masked }
    }
}

/// The rows in which two frames differ outside the volatile cells.
fn differing(a: &Shown, b: &Shown) -> Vec<usize> {
    let (mut left, mut right) = (a.masked(), b.masked());
    // The place in the header has the room that the connectivity leaves it: what both show of it counts. The kind of the
    // source is the first to go.
    let shown = |row: &str| row.replace(" (firebase)", "").split(['…', '·']).next().unwrap_or("").trim_end().to_owned();
    let (mine, theirs) = (shown(&left[0]), shown(&right[0]));
    if mine.starts_with(&theirs) || theirs.starts_with(&mine) {
        let common = mine.len().min(theirs.len());
        let rest = |row: &str| row.rsplit('·').next().unwrap_or("").to_owned();
        left[0] = format!("{} {}", &mine[..common], rest(&left[0]));
        right[0] = format!("{} {}", &theirs[..common], rest(&right[0]));
    }
    let mut rows: Vec<usize> =
        (0..left.len().max(right.len())).filter(|row| left.get(*row) != right.get(*row)).collect();
    if a.frame.cursor != b.frame.cursor {
        rows.push(a.frame.rows.len());
    }
    rows
}

/// The header and the entries of the activity log. A start that follows a kill adds one of its own, so the replay, which
/// is one start more, has one more; it also takes the cursor, and with it the line that shows an entry whole.
fn entries(rows: &[String]) -> Vec<String> {
    let is_entry = |row: &&String| row.contains("········") && !row.contains("Picked up where you were");
    let entry = |row: &String| row.replacen('>', " ", 1);
    std::iter::once(rows[0].clone()).chain(rows[1..].iter().filter(is_entry).map(entry)).collect()
}

/// Clock times (`12:05:09`), which the activity log shows: the replay presses its keys later.
fn without_clock(row: &str) -> String {
    let is_clock = |text: &[char]| {
        text.len() == 8
            && text.iter().enumerate().all(|(at, c)| if at % 3 == 2 { *c == ':' } else { c.is_ascii_digit() })
    };
    let mut characters: Vec<char> = row.chars().collect();
    for at in 0..characters.len().saturating_sub(7) {
        if is_clock(&characters[at..at + 8]) {
            characters[at..at + 8].fill('·');
        }
    }
    characters.into_iter().collect()
}

fn pad(row: &str, columns: usize) -> String {
    format!("{row}{}", " ".repeat(columns.saturating_sub(ebbtide::ui::text::width(row))))
}

/// True where text is missing on the restored screen.
fn looks_older(restored: &Shown, painted: &Shown) -> bool {
    let letters = |shown: &Shown| shown.frame.text().chars().filter(|c| c.is_alphanumeric()).count();
    letters(restored) < letters(painted)
}
