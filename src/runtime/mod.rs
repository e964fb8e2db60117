//! Builds the world, runs the event loop and carries out effects.

pub mod clock;
pub mod engine;
