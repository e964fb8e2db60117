//! The log: a file a day in the data dir, the last five kept. Never stdout, and never a reason to fail.

use std::{env, path::Path};

use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::EnvFilter;

use super::output::talk;
use crate::config::Paths;

/// Starts logging. `is_quiet` keeps the trouble with the log off stderr (the dashboard paints there, `--json` has its
/// own form).
pub(super) fn start(paths: &Paths, is_quiet: bool, is_read_only: bool) {
    if is_read_only {
        return;
    }
    if let Err(reason) = try_start(&paths.log_dir())
        && !is_quiet
    {
        talk(&format!("note: {reason}"));
    }
}

fn try_start(dir: &Path) -> Result<(), String> {
    let none = |reason: String| format!("nothing is logged: {reason}");
    make_private(dir).map_err(|error| none(format!("`{}`: {error}", dir.display())))?;
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("ebbtide")
        .filename_suffix("log")
        .max_log_files(5)
        .build(dir)
        .map_err(|error| none(error.to_string()))?;
    let asked = env::var("EBBTIDE_LOG").unwrap_or_default();
    let (filter, complaint) = match EnvFilter::try_new(if asked.is_empty() { "ebbtide=info,warn" } else { &asked }) {
        Ok(filter) => (filter, None),
        Err(error) => (
            EnvFilter::new("ebbtide=info,warn"),
            Some(format!("`EBBTIDE_LOG` is not understood, so it counts for nothing: {error}")),
        ),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(file)
        .log_internal_errors(false)
        .finish();
    tracing::subscriber::set_global_default(subscriber).map_err(|error| none(error.to_string()))?;
    complaint.map_or(Ok(()), Err)
}

/// Makes a directory and its missing parents for the user alone.
pub(super) fn make_private(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}
