//! Manners of a terminal program, with the real program in a real terminal: it gives back what it took however it ends,
//! stops and comes back like a shell job, survives editors that misbehave, and never keeps anybody waiting.

#![allow(clippy::disallowed_methods, reason = "a test waits by the real clock")]

mod common;
#[path = "manners/desk.rs"]
mod desk;
#[path = "manners/editor.rs"]
mod editor;
#[path = "manners/ending.rs"]
mod ending;
#[path = "manners/terminal.rs"]
mod terminal;
#[path = "manners/undo.rs"]
mod undo;
#[path = "manners/upgrade.rs"]
mod upgrade;
