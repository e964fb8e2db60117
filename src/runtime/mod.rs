//! Builds the world, runs the event loop and carries out effects.

pub mod clock;
mod commits;
pub mod dashboard;
pub mod demo;
pub mod emergency;
pub mod engine;
pub mod external_editor;
mod gateway;
mod loads;
mod moments;
pub mod plan;
mod session_lock;
mod signals;

use std::path::PathBuf;

use crate::{
    config::{ConfigErrors, NotWritten},
    remote::RemoteError,
    server::ServerError,
    store::StoreError,
};

/// Why the dashboard or the demo could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("could not open the data in `{dir}`")]
    Store {
        dir: PathBuf,
        #[source]
        source: StoreError,
    },
    #[error("the demo in `{dir}` was not reset; nothing of it was removed")]
    Reset {
        dir: PathBuf,
        #[source]
        source: StoreError,
    },
    #[error("the dashboard needs a terminal on standard input and output")]
    NotATerminal,
    #[error("could not use the terminal")]
    Terminal(#[source] std::io::Error),
    #[error("could not start the embedded backend")]
    Server(#[from] ServerError),
    #[error("could not use the source")]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error(transparent)]
    NotWritten(#[from] NotWritten),
    #[error("could not {what} `{path}`")]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}
