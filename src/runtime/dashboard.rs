//! The dashboard: the event loop that joins the app machine with the terminal, the store and the engine.

use std::process::ExitCode;

use crate::{
    config::{Config, Paths},
    model::ids::SessionName,
    runtime::RunError,
};

/// What the dashboard is started with.
pub struct DashboardOptions {
    pub paths: Paths,
    pub config: Config,
    pub session: SessionName,
    /// Ignore the saved screen state (never drafts or the outbox).
    pub fresh: bool,
    pub read_only: bool,
    pub offline: bool,
}

/// Runs until the user quits or a signal ends it. The exit code is the shell's convention for signals (129, 130, 143).
pub fn run(options: DashboardOptions) -> Result<ExitCode, RunError> {
    let _ = options;
    todo!()
}
