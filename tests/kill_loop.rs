//! Random keys and `kill -9`, in a real terminal, in every input of the program: the first frame after the restart equals a
//! frame at or after the last one painted, cell by cell, volatile cells aside (they are listed in `ui::volatile`).
//!
//! `tests/kill-loop --rounds N --seed S` makes longer runs.

#[path = "kill_loop/busy.rs"]
mod busy;
mod common;
#[path = "kill_loop/lane.rs"]
mod lane;
#[path = "kill_loop/scenes.rs"]
mod scenes;
#[path = "kill_loop/shown.rs"]
mod shown;

use lane::Tally;

/// So many data dirs are played on side by side; most of their time is waiting.
const LANES: usize = 3;

#[test]
fn what_was_painted_comes_back_after_kill_9() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_usize);
    let seed = common::seed(1);
    // A tenth of the rounds run while a pull and a drain do.
    let busy = rounds / 10;
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let quiet = |number: usize| {
            scope.spawn(move || {
                let mut lane = lane::Lane::new(seed + 1_000 * number as u64);
                (0..rounds - busy).filter(|round| round % LANES == number).for_each(|round| lane.play(round / LANES));
                lane.tally
            })
        };
        let mut lanes: Vec<_> = (0..LANES).map(quiet).collect();
        lanes.push(scope.spawn(move || {
            let mut lane = busy::Busy::new(seed);
            (0..busy).for_each(|round| lane.play(round));
            lane.tally
        }));
        lanes.into_iter().map(|lane| lane.join().unwrap()).collect()
    });
    let sum = |of: fn(&Tally) -> usize| tallies.iter().map(of).sum::<usize>();
    println!(
        "kill loop: seed {seed}, rounds {} ({} of two windows, {} in mid-sync), events {}, {} came back past the last painted \
         frame, lost {}, differing {}",
        sum(|tally| tally.rounds),
        sum(|tally| tally.two),
        sum(|tally| tally.live),
        sum(|tally| tally.events),
        sum(|tally| tally.painted_after),
        sum(|tally| tally.lost),
        sum(|tally| tally.differing)
    );
    assert_eq!((sum(|tally| tally.lost), sum(|tally| tally.differing)), (0, 0), "seed {seed}");
}
