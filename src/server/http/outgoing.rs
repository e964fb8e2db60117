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
    chunks: Option<mpsc::Sender<Chunk>>,
    runtime: tokio::runtime::Handle,
    cancelled: Arc<AtomicBool>,
}

impl Outgoing {
    /// `cancelled` ends the work when the client was answered otherwise.
    pub(super) fn new(start: oneshot::Sender<Start>, cancelled: Arc<AtomicBool>) -> Self {
        let runtime = tokio::runtime::Handle::current();
        Self { buffer: Vec::new(), etag: None, start: Some(start), chunks: None, runtime, cancelled }
    }

    /// Chunks alone, from the first byte.
    pub(super) fn chunked() -> (Self, mpsc::Receiver<Chunk>) {
        let (chunks, receiver) = mpsc::channel(AHEAD);
        let runtime = tokio::runtime::Handle::current();
        let outgoing = Self {
            buffer: Vec::new(),
            etag: None,
            start: None,
            chunks: Some(chunks),
            runtime,
            cancelled: Arc::default(),
        };
        (outgoing, receiver)
    }

    pub(super) fn set_etag(&mut self, etag: String) {
        self.etag = Some(etag);
    }

    fn flush(&mut self) -> Result<(), Stop> {
        if self.chunks.is_none() {
            let (chunks, receiver) = mpsc::channel(AHEAD);
            self.chunks = Some(chunks);
            self.begin(body(receiver));
        }
        let chunk = Ok(Bytes::from(std::mem::take(&mut self.buffer)));
        self.send(chunk)
    }

    fn begin(&mut self, body: Body) {
        if let Some(start) = self.start.take() {
            let _ = start.send(Start { etag: self.etag.take(), body });
        }
    }

    fn send(&self, chunk: Chunk) -> Result<(), Stop> {
        let chunks = self.chunks.as_ref().expect("made before the first chunk");
        let sent = self.runtime.block_on(tokio::time::timeout(STALL, chunks.send(chunk)));
        match sent {
            Ok(Ok(())) => Ok(()),
            _ => Err(Stop::Enough),
        }
    }

    /// Call on success only: what is dropped unfinished reaches the client as a broken answer, never as a short one.
    pub(super) fn finish(mut self) -> Result<(), Stop> {
        if self.chunks.is_none() {
            let body = Body::from(std::mem::take(&mut self.buffer));
            self.begin(body);
            return Ok(());
        }
        let outcome = if self.buffer.is_empty() { Ok(()) } else { self.flush() };
        self.chunks = None;
        outcome
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Some(chunks) = &self.chunks {
            let _ = chunks.try_send(Err(io::Error::other("the answer ended early")));
        }
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

fn body(chunks: mpsc::Receiver<Chunk>) -> Body {
    Body::from_stream(futures_util::stream::unfold(chunks, async |mut chunks| {
        let chunk = chunks.recv().await?;
        Some((chunk, chunks))
    }))
}
