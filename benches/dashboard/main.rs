//! The real program in a real terminal: how soon the first frame is there, how quiet it is, how fast it ends.
//!
//! ```text
//! cargo bench --bench dashboard -- restored    first frame after a month of use against an empty workspace
//!                               -- queued      first frame with 100,000 changes waiting against none
//!                               -- idle        10 s with everything connected: bytes written, processor time
//!                               -- term        SIGTERM in the middle of a backfill and a drain, to the exit
//!                               -- --ptybench ptybench.py --minimal tui_min [--records 1000,1000000] [--queued N]
//! ```
//!
//! Without arguments the first four. Ratios are of medians of interleaved runs.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

#[path = "../../tests/common/mod.rs"]
mod common;

mod fill;
mod frames;
mod idle;
mod peers;
mod restored;
mod term;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let option = |name: &str| {
        arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1)).cloned()
    };
    if let (Some(ptybench), Some(minimal)) = (option("--ptybench"), option("--minimal")) {
        return peers::measure_all(&ptybench, &minimal, option);
    }
    let named: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| named.is_empty() || named.iter().any(|argument| *argument == name);
    if wanted("restored") {
        restored::after_a_month();
    }
    if wanted("queued") {
        restored::with_a_long_outbox();
    }
    if wanted("idle") {
        idle::measure();
    }
    if wanted("term") {
        term::measure();
    }
}
