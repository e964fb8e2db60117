//! The embedded backend: the Firebase Realtime Database REST and streaming protocol over SQLite.
//!
//! It serves one database (`ns` is accepted and ignored). Beside the protocol there are two places:
//! `GET /.ebbtide/stats.json` answers `{"writes": N, "streams": N}` (successful writes since the data was created,
//! counted in the same transaction as each write; open event streams), and `/.settings/rules.json` takes rules of
//! booleans and `.indexOn` (see `rules`). Without rules everything is open and every order is served.
//!
//! ```text
//! request ── http ──┬── read:  a pooled connection, one snapshot, streamed
//!                   └── write: the writer thread ── one transaction, one fsync for all that wait
//!                                    └── listeners ── event streams
//! ```

mod http;
mod listeners;
mod rules;
mod store;

use std::{
    fs::File,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use axum::{Router, http::HeaderValue, serve::ListenerExt};
use tokio::sync::oneshot;

use crate::model::{ids::OpId, time::Clock};
use listeners::{End, Listeners};
use rules::{Right, Rules};
use store::{Database, Opened, Tree, Writer};

/// How to run a backend.
pub struct Options {
    pub listen: SocketAddr,
    /// `None`: in a temporary file that is never synced and goes with the server.
    pub data: Option<PathBuf>,
    /// JSON loaded at the root if the database is empty. Not counted as a write.
    pub seed: Option<serde_json::Value>,
    /// Required as `Authorization: Bearer`, `auth=` or `access_token=` where set.
    pub token: Option<secrecy::SecretString>,
    pub clock: Arc<dyn Clock>,
}

/// What tests turn and products leave alone.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// Between `keep-alive` events of a stream.
    pub keep_alive: Duration,
    /// What may wait for a stream whose client does not read; beyond it the stream is cancelled.
    pub queue_bytes: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { keep_alive: Duration::from_secs(30), queue_bytes: 16 << 20 }
    }
}

/// A running backend. Dropping it stops it and waits for writes in the queue; [`Server::stop`] also lets open requests end.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    shutdown: Option<oneshot::Sender<()>>,
    serving: Option<tokio::task::JoinHandle<()>>,
    writing: Option<JoinHandle<()>>,
    /// Keeps a second server out of the file; released last.
    _lock: File,
}

/// What every request needs.
struct Shared {
    database: Arc<Database>,
    writer: Writer,
    listeners: Arc<Listeners>,
    guard: http::Guard,
    rules: RwLock<Option<(Rules, String)>>,
    /// Said in every answer, so that a client can tell another database behind the same address.
    identity: Option<HeaderValue>,
    clock: Arc<dyn Clock>,
    tuning: Tuning,
    stopping: AtomicBool,
}

/// Open requests get so long to end when the server stops.
const GRACE: Duration = Duration::from_secs(3);

impl Server {
    /// Binds, opens the data and starts serving on the current tokio runtime.
    pub async fn start(options: Options) -> Result<Self, ServerError> {
        Self::start_tuned(options, Tuning::default()).await
    }

    pub async fn start_tuned(options: Options, tuning: Tuning) -> Result<Self, ServerError> {
        let listen_error = |source| ServerError::Listen { address: options.listen, source };
        let listener = tokio::net::TcpListener::bind(options.listen).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let data_error = |detail: String| ServerError::Data {
            path: options.data.clone().unwrap_or_else(|| PathBuf::from("(in memory)")),
            detail,
        };
        let new_identity = OpId::new(&options.clock.at()).to_string();
        let opened = Database::open(options.data.as_deref(), &new_identity).map_err(data_error)?;
        let Opened { database, writer, rules, identity, lock } = opened;
        let rules = match rules {
            Some(text) => Some((Rules::parse(&text).map_err(data_error)?, text)),
            None => None,
        };
        let seed =
            if store::is_empty(&writer).map_err(|error| data_error(error.to_string()))? { options.seed } else { None };
        let seed = match seed {
            Some(seed) => Tree::parse(&seed.to_string(), 0, options.clock.at().wall.0)
                .map_err(|error| ServerError::Seed(error.to_string()))?,
            None => None,
        };
        let listeners = Arc::new(Listeners::new(tuning.queue_bytes));
        let told = Arc::clone(&listeners);
        let (writer, writing) = Writer::start(writer, seed, move |applied| told.tell(applied))
            .map_err(|error| data_error(error.to_string()))?;
        let shared = Arc::new(Shared {
            database,
            writer,
            listeners,
            guard: http::Guard::new(address, options.token.as_ref()),
            rules: RwLock::new(rules),
            identity: HeaderValue::from_str(&identity).ok(),
            clock: options.clock,
            tuning,
            stopping: AtomicBool::new(false),
        });
        let (shutdown, asked) = oneshot::channel::<()>();
        let router = Router::new().fallback(http::handle).with_state(Arc::clone(&shared));
        let listener = listener.tap_io(|connection| {
            // Events and small answers must not wait for more.
            let _ = connection.set_nodelay(true);
        });
        let serving = tokio::spawn(async move {
            let stop = async {
                let _ = asked.await;
            };
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
                tracing::warn!(%error, "the backend stopped serving");
            }
        });
        let (shutdown, serving, writing) = (Some(shutdown), Some(serving), Some(writing));
        Ok(Self { address, shared, shutdown, serving, writing, _lock: lock })
    }

    /// The bound address (the real port where 0 was asked).
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Successful writes applied since the data was created, counted durably with them (tests count effects by it).
    pub fn writes_applied(&self) -> u64 {
        self.shared.writer.writes()
    }

    /// Ends every event stream with `auth_revoked`, as when credentials expire.
    pub fn revoke_streams(&self, reason: &str) {
        for listener in self.shared.listeners.all() {
            listener.end(End::Revoked(reason.to_owned()));
        }
    }

    pub async fn stop(mut self) {
        self.begin_to_stop();
        if let Some(mut serving) = self.serving.take()
            && tokio::time::timeout(GRACE, &mut serving).await.is_err()
        {
            serving.abort();
        }
        self.shared.writer.close();
        if let Some(writing) = self.writing.take() {
            let _ = tokio::task::spawn_blocking(|| writing.join()).await;
        }
    }

    fn begin_to_stop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        for listener in self.shared.listeners.all() {
            listener.end(End::Stopped);
        }
        if let Some(shutdown) = self.shutdown.take() {
            let _ = shutdown.send(());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.begin_to_stop();
        self.shared.writer.close();
        if let Some(writing) = self.writing.take() {
            let _ = writing.join();
        }
    }
}

impl Shared {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn grants(&self, right: Right, path: &[String]) -> bool {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules.as_ref().is_none_or(|(rules, _)| rules.grant(right, path))
    }

    fn has_index(&self, path: &[String], name: &str) -> bool {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules.as_ref().is_none_or(|(rules, _)| rules.has_index(path, name))
    }

    fn rules_text(&self) -> String {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules
            .as_ref()
            .map_or_else(|| "{\"rules\":{\".read\":true,\".write\":true}}".to_owned(), |(_, text)| text.clone())
    }

    /// Streams of places that may no longer be read are cancelled.
    fn set_rules(&self, rules: Rules, text: String) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Some((rules, text));
        for listener in self.listeners.all() {
            if !self.grants(Right::Read, listener.path()) {
                listener.end(End::Cancelled);
            }
        }
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
