//! The sync machine: when to pull, push and retry, and what an answer means. Pure: `handle(at, event) -> Vec<Effect>`.
