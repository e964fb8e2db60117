//! HTTP clients of the backends. Adapters try once; retry is a decision of `sync`.
//!
//! Every call answers with an [`Exchange`] beside its result, whatever the result: what a request proved about the
//! network is evidence even when its answer is useless.
//!
//! ```text
//!  Remote ─ firebase   the protocol: addresses, pages, feeds, what a body must hold
//!         ├ wire       the answer table: what a status and a body mean
//!         ├ http       one way to send: deadlines, caps, redirects, the facts of the exchange
//!         └ credentials  read late, kept in memory, never shown
//! ```

mod credentials;
mod firebase;
mod http;
mod wire;

use std::{fmt, sync::Arc};

use crate::model::{
    ids::{CollectionName, RecordId, RecordKey},
    source::{Deadlines, SourceKind, SourceSpec},
    sync_status::LinkFact,
    time::{Clock, Timestamp},
    wire::{Answer, Current, Exchange, PushRequest, ReadError, RemoteChange, RemoteRecord, Trouble, WireRequest},
};
use crate::remote::credentials::Token;

/// The client of one source. Cheap to clone; safe to use from many tasks.
#[derive(Clone)]
pub struct Remote(Arc<Kind>);

enum Kind {
    Firebase(firebase::Firebase),
}

/// A source that cannot be talked to as configured. Found before any request.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error("`{url}` is not a URL this kind of source can use: {reason}")]
    Url { url: String, reason: String },
    #[error("the credentials of `{source_name}` could not be read: {reason}")]
    Credentials { source_name: String, reason: String },
}

/// What a probe learned: every link that was tried, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    pub result: Result<(), ReadError>,
    pub chain: Vec<LinkFact>,
}

/// One page of a collection in key order.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub records: Vec<RemoteRecord>,
    /// Where the next page begins (the last key of this one); `None` at the end of the collection.
    pub next: Option<RecordId>,
}

/// One event of a live feed.
#[derive(Debug, Clone, PartialEq)]
pub enum FeedEvent {
    /// The whole collection as it is now: rows not named are gone.
    Everything(Vec<RemoteRecord>),
    /// Whole records that changed or vanished.
    Changes(Vec<RemoteChange>),
    /// Part of a record changed and its whole text is not known to the feed: fetch these.
    Touched(Vec<RecordId>),
    /// The server is alive.
    KeepAlive,
    /// The server ended the feed for good reasons of its own (`cancel`): ask again only after a probe.
    Cancelled(String),
    /// The credentials of the feed ended.
    Unauthorized,
}

impl Remote {
    /// Builds the client. Reads no credentials and opens no socket yet.
    pub fn new(spec: &SourceSpec, clock: Arc<dyn Clock>) -> Result<Self, RemoteError> {
        Self::with_deadlines(spec, clock, Deadlines::default())
    }

    /// Like [`Remote::new`], with other deadlines than the usual ones.
    pub fn with_deadlines(spec: &SourceSpec, clock: Arc<dyn Clock>, deadlines: Deadlines) -> Result<Self, RemoteError> {
        match spec.kind {
            SourceKind::Firebase => {
                let client = firebase::Firebase::new(spec, clock, deadlines)?;
                Ok(Self(Arc::new(Kind::Firebase(client))))
            }
        }
    }

    /// Where the credentials of this source's edits come from (`env:OFFICE_TOKEN`), without any secret; empty where
    /// there are none.
    pub fn author(&self) -> String {
        let Kind::Firebase(client) = &*self.0;
        client.author()
    }

    /// Who is signed in: what the configuration says, else the subject of the token read last, shortened. `None` where
    /// nothing tells, as with an opaque token.
    pub fn principal(&self) -> Option<String> {
        let Kind::Firebase(client) = &*self.0;
        client.principal()
    }

    /// Walks DNS → TCP → TLS → HTTP → shape → auth and says how far it came. Cheap for the server. The chain holds the
    /// links that were tried; the last one is the broken one, if any is.
    pub async fn probe(&self) -> (Probe, Exchange) {
        let Kind::Firebase(client) = &*self.0;
        client.probe().await
    }

    /// A record and its revision, as they are now. A record that does not exist has neither.
    pub async fn fetch(&self, record: &RecordKey) -> (Result<Current, ReadError>, Exchange) {
        let Kind::Firebase(client) = &*self.0;
        client.fetch(record).await
    }

    /// Hex SHA-256 over method, path with query (credentials left out), precondition and body of what `push` will send.
    pub fn request_hash(&self, request: &PushRequest) -> String {
        let Kind::Firebase(client) = &*self.0;
        client.request_hash(request)
    }

    /// What [`Remote::push`] will put on the wire, but for the credentials; the reason where it cannot be sent at all.
    pub fn on_the_wire(&self, request: &PushRequest) -> Result<WireRequest, String> {
        let Kind::Firebase(client) = &*self.0;
        client.on_the_wire(request)
    }

    /// What [`Remote::fetch`] will put on the wire, but for the credentials.
    pub fn lookup_on_the_wire(&self, record: &RecordKey) -> Result<WireRequest, String> {
        let Kind::Firebase(client) = &*self.0;
        client.lookup_on_the_wire(record)
    }

    /// Sends one conditional write, once. Never follows a redirect.
    pub async fn push(&self, request: &PushRequest) -> (Answer, Exchange) {
        let Kind::Firebase(client) = &*self.0;
        client.push(request).await
    }

    /// A window of the collection in the backend's key order, after `after`.
    pub async fn page(
        &self,
        collection: &CollectionName,
        after: Option<&RecordId>,
        limit: usize,
    ) -> (Result<Page, ReadError>, Exchange) {
        let Kind::Firebase(client) = &*self.0;
        client.page(collection, after, limit).await
    }

    /// Every key of the collection (`shallow`), in key order: the true denominator, and the evidence for deletions.
    pub async fn keys(&self, collection: &CollectionName) -> (Result<Vec<RecordId>, ReadError>, Exchange) {
        let Kind::Firebase(client) = &*self.0;
        client.keys(collection).await
    }

    /// Records whose `updated_at` is at or after `since` (JSON text of the stamp), oldest first, in a page grown until
    /// its last stamp exceeds its first. `next` is there while the server may have more: ask again from the last stamp.
    pub async fn delta(
        &self,
        collection: &CollectionName,
        since: &str,
        limit: usize,
    ) -> (Result<Page, ReadError>, Exchange) {
        let Kind::Firebase(client) = &*self.0;
        client.delta(collection, since, limit).await
    }

    /// The record with the newest `updated_at`, alone. A number above `until` (milliseconds) does not count: one wrong
    /// clock would hide everything that is new.
    pub async fn newest(&self, collection: &CollectionName, until: Timestamp) -> (Result<Page, ReadError>, Exchange) {
        let Kind::Firebase(client) = &*self.0;
        client.newest(collection, until).await
    }

    /// Opens the live feed of a whole collection, or of what changes after `since` where given. The feed of a whole
    /// collection begins with [`FeedEvent::Everything`]; that of a query never says it, and never proves a deletion.
    pub async fn feed(&self, collection: &CollectionName, since: Option<&str>) -> (Result<Feed, ReadError>, Exchange) {
        let Kind::Firebase(client) = &*self.0;
        let (feed, exchange) = client.feed(collection, since).await;
        (feed.map(Feed), exchange)
    }

    /// Forgets cached credentials, so that the next request reads them anew.
    pub fn forget_credentials(&self) {
        let Kind::Firebase(client) = &*self.0;
        client.forget_credentials();
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kind::Firebase(client) = &*self.0;
        f.debug_struct("Remote").field("url", &client.shown()).field("author", &client.author()).finish()
    }
}

/// An open live feed. Dropping it closes the connection.
pub struct Feed(firebase::Feed);

impl Feed {
    /// The next event. `Err` ends the feed: broken connection, or no sign of life for 2.5 heartbeats. Safe to cancel.
    pub async fn next(&mut self) -> Result<FeedEvent, ReadError> {
        self.0.next().await
    }

    /// Bytes received so far.
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }
}

// A server may repeat our request in its error: the words of an answer pass here before anybody sees them.

fn redact_answer(answer: Answer, token: &Token) -> Answer {
    match answer {
        Answer::Rejected { status, message } => Answer::Rejected { status, message: token.redact(&message) },
        Answer::Later { status, after, message } => Answer::Later { status, after, message: token.redact(&message) },
        Answer::Unauthorized { status, is_denied, message } => {
            Answer::Unauthorized { status, is_denied, message: token.redact(&message) }
        }
        Answer::NotSent(trouble) => Answer::NotSent(redact_trouble(trouble, token)),
        Answer::InDoubt(trouble) => Answer::InDoubt(redact_trouble(trouble, token)),
        Answer::Portal(trouble) => Answer::Portal(redact_trouble(trouble, token)),
        answer @ (Answer::Accepted { .. } | Answer::PreconditionFailed { .. } | Answer::Gone) => answer,
    }
}

fn redact_read(error: ReadError, token: &Token) -> ReadError {
    match error {
        ReadError::Unreachable(trouble) => ReadError::Unreachable(redact_trouble(trouble, token)),
        ReadError::Portal(trouble) => ReadError::Portal(redact_trouble(trouble, token)),
        ReadError::Unauthorized { message } => ReadError::Unauthorized { message: token.redact(&message) },
        ReadError::Refused { status, message } => ReadError::Refused { status, message: token.redact(&message) },
        ReadError::Later { status, after, message } => {
            ReadError::Later { status, after, message: token.redact(&message) }
        }
    }
}

fn redact_probe(probe: Probe, token: &Token) -> Probe {
    let clean = |fact: LinkFact| LinkFact { detail: token.redact(&fact.detail), ..fact };
    Probe {
        result: probe.result.map_err(|error| redact_read(error, token)),
        chain: probe.chain.into_iter().map(clean).collect(),
    }
}

fn redact_trouble(trouble: Trouble, token: &Token) -> Trouble {
    Trouble { message: token.redact(&trouble.message), ..trouble }
}
