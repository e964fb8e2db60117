//! What integration tests share: a data source in memory, and a bench that presses keys on the app and looks at it.

pub mod bench;
pub mod fake;
