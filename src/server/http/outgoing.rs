//! An answer on its way to a client: whole while it is small, in chunks when it is not.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::server::store::{Sink, Stop};

/// Answers up to this size have a length and come in one piece.
const WHOLE: usize = 1 << 20;
const CHUNK: usize = 128 << 10;
/// Chunks that wait for a slow client; it holds a reader meanwhile.
const AHEAD: usize = 4;
/// A client that takes no chunk for so long is given up.
const STALL: Duration = Duration::from_secs(60);

pub(super) type Chunk = Result<Bytes, io::Error>;

/// What a client is told first.
pub(super) struct Start {
    pub(super) etag: Option<String>,
    pub(super) body: Body,
}

pub(super) struct Outgoing {
    buffer: Vec<u8>,
    etag: Option<String>,
    start: Option<oneshot::Sender<Start>>,
    chunks: Option<mpsc::Sender<Bytes>>,
    runtime: tokio::runtime::Handle,
    cancelled: Arc<AtomicBool>,
    finished: Arc<AtomicBool>,
}

/// The client's end: chunks, and whether they are all.
pub(super) struct Incoming {
    chunks: mpsc::Receiver<Bytes>,
    finished: Arc<AtomicBool>,
}

impl Incoming {
    /// An answer that ended early is an error: it must never look like a short one.
    pub(super) async fn next(&mut self) -> Option<Chunk> {
        match self.chunks.recv().await {
            Some(chunk) => Some(Ok(chunk)),
            None if self.finished.swap(true, Ordering::AcqRel) => None,
            None => Some(Err(io::Error::other("the answer ended early"))),
        }
    }
}

impl Outgoing {
    /// `cancelled` ends the work when the client was answered otherwise.
    pub(super) fn new(start: oneshot::Sender<Start>, cancelled: Arc<AtomicBool>) -> Self {
        let runtime = tokio::runtime::Handle::current();
        let finished = Arc::default();
        Self { buffer: Vec::new(), etag: None, start: Some(start), chunks: None, runtime, cancelled, finished }
    }

    /// Chunks alone, from the first byte.
    pub(super) fn chunked() -> (Self, Incoming) {
        let (start, _) = oneshot::channel();
        let mut outgoing = Self::new(start, Arc::default());
        let incoming = outgoing.open();
        (outgoing, incoming)
    }

    fn open(&mut self) -> Incoming {
        let (sender, chunks) = mpsc::channel(AHEAD);
        self.chunks = Some(sender);
        Incoming { chunks, finished: Arc::clone(&self.finished) }
    }

    pub(super) fn set_etag(&mut self, etag: String) {
        self.etag = Some(etag);
    }

    fn flush(&mut self) -> Result<(), Stop> {
        if self.chunks.is_none() {
            let incoming = self.open();
            self.begin(body(incoming));
        }
        let chunk = Bytes::from(std::mem::take(&mut self.buffer));
        self.send(chunk)
    }

    fn begin(&mut self, body: Body) {
        if let Some(start) = self.start.take() {
            let _ = start.send(Start { etag: self.etag.take(), body });
        }
    }

    fn send(&self, chunk: Bytes) -> Result<(), Stop> {
        let chunks = self.chunks.as_ref().expect("made before the first chunk");
        let sent = self.runtime.block_on(tokio::time::timeout(STALL, chunks.send(chunk)));
        match sent {
            Ok(Ok(())) => Ok(()),
            _ => Err(Stop::Enough),
        }
    }

    /// Call on success only: what is dropped unfinished reaches the client as a broken answer.
    pub(super) fn finish(mut self) -> Result<(), Stop> {
        if self.chunks.is_none() {
            let body = Body::from(std::mem::take(&mut self.buffer));
            self.begin(body);
            return Ok(());
        }
        if !self.buffer.is_empty() {
            self.flush()?;
        }
        self.finished.store(true, Ordering::Release);
        Ok(())
    }
}

impl Sink for Outgoing {
    fn text(&mut self, text: &str) -> Result<(), Stop> {
        self.buffer.extend_from_slice(text.as_bytes());
        let limit = if self.chunks.is_some() { CHUNK } else { WHOLE };
        if self.buffer.len() < limit {
            return Ok(());
        }
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Stop::Enough);
        }
        self.flush()
    }
}

fn body(incoming: Incoming) -> Body {
    Body::from_stream(futures_util::stream::unfold(incoming, async |mut incoming| {
        let chunk = incoming.next().await?;
        Some((chunk, incoming))
    }))
}
