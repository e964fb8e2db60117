//! The sync machine: when to pull, push and retry, and what an answer means. Pure: `handle(at, event) -> Vec<Effect>`.
//!
//! One lane per source. A lane is a gate (connectivity, pause, `Retry-After`, credentials) in front of one sender
//! ([`push`]) and one puller per collection ([`pull`]). Everything that waits shows in [`Machine::wake_at`], which is
//! computed from the state, so that no timer can be forgotten.
//!
//! ```text
//!   event --> Machine --> Lane --> Tracker   what is known about reaching the source
//!                           |----> Push      outbox -> fetch -> claim -> send -> store base -> settle
//!                           +----> Pull      checkpoint -> count -> sweep | feed | delta -> rest | live
//! ```
//!
//! ## Why effects carry no store or remote types
//!
//! `store` and `remote` are floors above. What the machine wants is said in values of this module and of `model`; the
//! runtime translates them one to one.

mod allowance;
mod backoff;
mod clock_offset;
mod connectivity;
mod echo;
pub mod effect;
mod engine;
pub mod event;
mod headline;
pub mod judge;
mod lane;
mod late;
mod later;
mod meter;
pub mod plan;
mod policy;
mod progress;
mod pull;
mod push;
#[cfg(test)]
mod tests;

pub use effect::Effect;
pub use engine::Machine;
pub use event::Event;
pub use late::LATE_ORIGINAL;
pub use pull::{Position, position};
