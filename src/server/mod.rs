//! The embedded backend: the Firebase Realtime Database REST and streaming protocol over SQLite.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use crate::model::time::Clock;

/// How to run a backend.
pub struct Options {
    pub listen: SocketAddr,
    /// `None`: in memory.
    pub data: Option<PathBuf>,
    /// JSON loaded at the root if the database is empty.
    pub seed: Option<serde_json::Value>,
    /// Required as `Authorization: Bearer`, `auth=` or `access_token=` where set.
    pub token: Option<secrecy::SecretString>,
    pub clock: Arc<dyn Clock>,
}

/// A running backend. Dropping it stops it; [`Server::stop`] waits until open writes are durable.
pub struct Server {}

impl Server {
    /// Binds, opens the data and starts serving on the current tokio runtime.
    pub async fn start(options: Options) -> Result<Self, ServerError> {
        let _ = options;
        todo!()
    }

    /// The bound address (the real port where 0 was asked).
    pub fn address(&self) -> SocketAddr {
        todo!()
    }

    /// Successful writes applied since the data was created, counted durably with them (tests count effects by it).
    pub fn writes_applied(&self) -> u64 {
        todo!()
    }

    pub async fn stop(self) {
        todo!()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("could not listen on `{address}`")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("could not open `{path}`: {detail}")]
    Data { path: PathBuf, detail: String },
    #[error("the seed does not fit: {0}")]
    Seed(String),
}
