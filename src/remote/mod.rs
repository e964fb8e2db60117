//! HTTP clients of the backends. Adapters try once; retry is a decision of `sync`.
//!
//! Every call answers with an [`Exchange`] beside its result, whatever the result: what a request proved about the
//! network is evidence even when its answer is useless.

use std::sync::Arc;

use crate::model::{
    ids::{CollectionName, RecordId, RecordKey},
    source::SourceSpec,
    sync_status::LinkFact,
    time::Clock,
    wire::{Answer, Current, Exchange, PushRequest, ReadError, RemoteChange, RemoteRecord},
};

/// The client of one source. Cheap to clone; safe to use from many tasks.
#[derive(Clone)]
pub struct Remote {}

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
        let _ = (spec, clock);
        todo!()
    }

    /// The principal edits are made as, without any secret; empty where there is none.
    pub fn author(&self) -> String {
        todo!()
    }

    /// Walks DNS → TCP → TLS → HTTP → shape → auth and says how far it came. Cheap for the server.
    pub async fn probe(&self) -> (Probe, Exchange) {
        todo!()
    }

    /// A record and its revision, as they are now.
    pub async fn fetch(&self, record: &RecordKey) -> (Result<Current, ReadError>, Exchange) {
        let _ = record;
        todo!()
    }

    /// Hex SHA-256 over method, path with query (credentials left out), precondition and body of what `push` will send.
    pub fn request_hash(&self, request: &PushRequest) -> String {
        let _ = request;
        todo!()
    }

    /// Sends one conditional write, once. Never follows a redirect.
    pub async fn push(&self, request: &PushRequest) -> (Answer, Exchange) {
        let _ = request;
        todo!()
    }

    /// A window of the collection in the backend's key order, after `after`.
    pub async fn page(
        &self,
        collection: &CollectionName,
        after: Option<&RecordId>,
        limit: usize,
    ) -> (Result<Page, ReadError>, Exchange) {
        let _ = (collection, after, limit);
        todo!()
    }

    /// Every key of the collection (`shallow`): the true denominator, and the evidence for deletions.
    pub async fn keys(&self, collection: &CollectionName) -> (Result<Vec<RecordId>, ReadError>, Exchange) {
        let _ = collection;
        todo!()
    }

    /// Records whose `updated_at` is at or after `since` (JSON text of the stamp), oldest first, in a page grown until its
    /// last stamp exceeds its first.
    pub async fn delta(
        &self,
        collection: &CollectionName,
        since: &str,
        limit: usize,
    ) -> (Result<Page, ReadError>, Exchange) {
        let _ = (collection, since, limit);
        todo!()
    }

    /// Opens the live feed of a whole collection, or of what changes after `since` where given.
    pub async fn feed(&self, collection: &CollectionName, since: Option<&str>) -> (Result<Feed, ReadError>, Exchange) {
        let _ = (collection, since);
        todo!()
    }

    /// Forgets cached credentials, so that the next request reads them anew.
    pub fn forget_credentials(&self) {
        todo!()
    }
}

/// An open live feed. Dropping it closes the connection.
pub struct Feed {}

impl Feed {
    /// The next event. `Err` ends the feed: broken connection, or no sign of life for 2.5 heartbeats.
    pub async fn next(&mut self) -> Result<FeedEvent, ReadError> {
        todo!()
    }

    /// Bytes received so far.
    pub fn bytes(&self) -> u64 {
        todo!()
    }
}
