//! The first frame does not depend on how much there is: records, waiting changes, drafts.

use std::time::Duration;

use crate::{
    common::Workspace,
    fill,
    frames::{COLUMNS, ROWS, first_frame, median},
};

const STARTS: usize = 21;
const NOWHERE: &str = "http://127.0.0.1:9";

/// A data dir, and what must be in its first frame.
struct Room {
    name: &'static str,
    workspace: Workspace,
    text: &'static str,
}

impl Room {
    fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, workspace: Workspace::new(NOWHERE, &[("items", &["name", "group"])]), text }
    }

    /// Leaves a session behind: each step is keys, and a text that is on the screen after them.
    fn leave(&self, steps: &[(&str, &str)]) {
        let mut screen = self.workspace.dashboard(COLUMNS, ROWS, &["--offline"]);
        screen.wait_frames(1, Duration::from_secs(30));
        for (keys, text) in steps {
            screen.send(keys);
            screen.wait_text(text);
        }
        screen.signal(15);
        screen.wait_exit();
    }
}

/// 10,000 changes waiting, 1,000,000 records and a draft of 1 MiB, against an empty workspace.
pub fn after_a_month() {
    let empty = Room::new("an empty workspace", "items");
    empty.leave(&[("2", "items")]);
    let full = Room::new("1,000,000 records, 10,000 waiting, a draft of 1 MiB: the list", "a-large");
    fill::fill(&full.workspace.data(), 1_000_000, 10_000);
    fill::put_large(&full.workspace.data(), 1 << 20);
    full.leave(&[
        ("2", "a-large"),
        ("gg", "a-large"),
        ("e", "member_000000"),
        (" ", "draft saved"),
        ("\x1b", "2 items"),
        ("jjj", "item 2"),
    ]);
    let list = times(&[&empty, &full]);
    report(&empty, &list[0], None);
    report(&full, &list[1], Some(&list[0]));
    let record = Room { name: "the same, its record of 1 MiB shown too", ..full };
    record.leave(&[("gg", "member_000000")]);
    let shown = times(&[&empty, &record]);
    report(&record, &shown[1], Some(&shown[0]));
    let editor = Room { name: "the same, the draft open in the editor", text: "draft of items/a-large", ..record };
    editor.leave(&[("e", "draft of items/a-large")]);
    let open = times(&[&empty, &editor]);
    report(&editor, &open[1], Some(&open[0]));
}

/// 100,000 changes waiting against none, with the outbox on the screen.
pub fn with_a_long_outbox() {
    let none = Room::new("1,000 records, nothing waiting: the outbox", "item 5");
    fill::fill(&none.workspace.data(), 1_000, 0);
    let many = Room::new("1,000 records, 100,000 changes waiting: the outbox", "rec-9");
    fill::fill(&many.workspace.data(), 1_000, 100_000);
    for room in [&none, &many] {
        room.leave(&[("2", "item 5"), ("4", "item 5")]);
    }
    let times = times(&[&none, &many]);
    report(&none, &times[0], None);
    report(&many, &times[1], Some(&times[0]));
}

/// Starts the rooms in turn.
fn times(rooms: &[&Room]) -> Vec<Vec<Duration>> {
    let mut times = vec![Vec::new(); rooms.len()];
    for round in 0..=STARTS {
        for (room, times) in rooms.iter().zip(&mut times) {
            let took = first_frame(&room.workspace, room.text);
            // The first of each warms the caches.
            if round > 0 {
                times.push(took);
            }
        }
    }
    times
}

fn report(room: &Room, times: &[Duration], floor: Option<&Vec<Duration>>) {
    let own = median(times.to_vec());
    match floor {
        None => println!("first frame, {:<62} {own:>7.1} ms", room.name),
        Some(floor) => {
            let ratio = own / median(floor.clone());
            println!("first frame, {:<62} {own:>7.1} ms {ratio:>6.2}x (goal 1.5x)", room.name);
        }
    }
}
