//! ebbtide: a terminal workbench for JSON data that lives behind an unreliable network.
//!
//! # The map
//!
//! Two pure machines take events and return effects as plain data: [`app`] (what the user sees and does) and [`sync`]
//! (when to pull, push, retry, and what an answer means). A thin [`runtime`] executes effects through four adapters,
//! [`store`] (SQLite), [`remote`] (HTTP), [`terminal`] (tty) and the clock, and turns every outcome into the next event.
//! [`ui`] draws a frame from [`app`] alone. The journal is the source of truth for what the user did, the server for
//! everything else.
//!
//! ```text
//! 6  main · cli         the command line
//! 5  runtime            builds the world, the event loop, executes effects
//! 4  config             layered settings; each part is a type owned by its module
//! 3  ui  store  remote  server  terminal       draw · SQL · HTTP clients · embedded backend · tty
//! 2  app  sync          pure machines:  handle(at, event) -> Vec<Effect>
//! 1  merge              pure: three-way merge, coalescing, unsent edits on another base
//! 0  model              plain values
//! ```
//!
//! A module names only lower floors; siblings never name each other (`tests/architecture.rs` checks it).

pub mod app;
pub mod cli;
pub mod config;
pub mod merge;
pub mod model;
pub mod remote;
pub mod runtime;
pub mod server;
pub mod store;
pub mod sync;
pub mod terminal;
pub mod ui;

/// Documents are many small pieces of text: with the system's allocator a drain of the outbox takes a sixth longer, the
/// merge of two large documents half as long again. SQLite's memory comes from it too (the feature `override`): a start
/// takes an eighth less, since the system's gives back what a large text took, and takes it anew for the next.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
