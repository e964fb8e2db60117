//! Plain values every other floor speaks: ids, time, JSON, records, edits, ops, conflicts, queries, session rows.
//!
//! Nothing here performs I/O, reads a clock or draws a random number; all of it can be built in a test in one line.

pub mod activity;
pub mod conflict;
pub mod display;
pub mod document;
pub mod draft;
pub mod edit;
pub mod ids;
pub mod json;
pub mod members;
pub mod numbers;
pub mod op;
pub mod outcome;
pub mod plan;
pub mod query;
pub mod record;
pub mod rtdb;
pub mod rules;
pub mod session;
pub mod source;
pub mod spend;
pub mod sync_status;
pub mod time;
pub mod vault;
pub mod window;
pub mod wire;
