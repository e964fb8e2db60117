//! `ebbtide demo`: an embedded backend on loopback, sample data, and a network that can be cut.

use std::{path::PathBuf, process::ExitCode};

use crate::{model::ids::SessionName, runtime::RunError};

pub struct DemoOptions {
    pub data_dir: PathBuf,
    /// Start over: the demo's data is removed first.
    pub reset: bool,
    pub session: SessionName,
    pub fresh: bool,
    pub offline: bool,
}

pub fn run(options: DemoOptions) -> Result<ExitCode, RunError> {
    let _ = options;
    todo!()
}
