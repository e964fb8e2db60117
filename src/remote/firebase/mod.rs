//! The Firebase Realtime Database over REST and streaming (page 4).
//!
//! Writes are conditional by ETag: `null_etag` for a create, the base's ETag for everything else. Reads of a
//! collection carry no ETags; they come in `$key` windows, in deltas by a stamp, or as a stream.

mod address;
mod feed;
mod probe;
mod split;

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

pub(crate) use feed::Feed;

use crate::{
    model::{
        ids::{CollectionName, RecordId, RecordKey, Revision},
        json,
        op::{OpKind, Precondition},
        rtdb,
        source::{CollectionSpec, Deadlines, SourceSpec},
        time::{Clock, Timestamp},
        wire::{Answer, Current, Exchange, PushRequest, ReadError, RemoteRecord, WireRequest},
    },
    remote::{
        Page, RemoteError,
        credentials::{Credentials, Token},
        http::{Call, Http, Reply, joined},
        wire::{self, Dialect, misshapen},
    },
};
use address::Address;

/// The ETag of nothing.
const NULL_ETAG: &str = "null_etag";
/// The most bytes of an answer about one record: the largest string is 10 MB, a record may hold several.
const RECORD_CAP: usize = 64 << 20;
/// The most bytes of an answer about many records.
const BULK_CAP: usize = 256 << 20;
/// A delta page that is all one stamp grows up to this many records.
const MAX_DELTA: usize = 1 << 20;

const ASK_ETAG: HeaderName = HeaderName::from_static("x-firebase-etag");

pub(crate) struct Firebase {
    address: Address,
    collections: Vec<CollectionSpec>,
    http: Http,
    credentials: Credentials,
    user: Option<String>,
}

/// A write as it goes onto the wire, credentials left out.
struct Wire {
    method: Method,
    url: Url,
    if_match: String,
    body: Option<String>,
}

impl Firebase {
    pub(crate) fn new(spec: &SourceSpec, clock: Arc<dyn Clock>, deadlines: Deadlines) -> Result<Self, RemoteError> {
        let address = Address::new(spec)?;
        let credentials = Credentials::new(spec.auth.clone())
            .map_err(|reason| RemoteError::Credentials { source_name: spec.name.to_string(), reason })?;
        let http = Http::new(address.base().clone(), deadlines, clock);
        Ok(Self { address, collections: spec.collections.clone(), http, credentials, user: spec.user.clone() })
    }

    pub(crate) fn author(&self) -> String {
        self.credentials.name()
    }

    pub(crate) fn principal(&self) -> Option<String> {
        self.user.clone().or_else(|| self.credentials.subject())
    }

    pub(crate) fn shown(&self) -> String {
        self.address.shown()
    }

    pub(crate) fn forget_credentials(&self) {
        self.credentials.forget();
    }

    // --- writing -------------------------------------------------------------------------------------------------

    pub(crate) fn request_hash(&self, request: &PushRequest) -> String {
        let mut hash = Sha256::new();
        match self.wire(request) {
            Ok(wire) => {
                let query = wire.url.query().map(|query| format!("?{query}")).unwrap_or_default();
                hash.update(format!("{} {}{query}\n{}\n", wire.method, wire.url.path(), wire.if_match));
                hash.update(wire.body.as_deref().unwrap_or(""));
            }
            Err(reason) => hash.update(format!("not a request: {reason}")),
        }
        json::hex(&hash.finalize())
    }

    pub(crate) async fn push(&self, request: &PushRequest) -> (Answer, Exchange) {
        let wire = match self.wire(request) {
            Ok(wire) => wire,
            Err(message) => return (Answer::Rejected { status: 400, message }, self.no_exchange()),
        };
        let token = match self.credentials.token().await {
            Ok(token) => token,
            Err(message) => {
                return (Answer::Unauthorized { status: None, is_denied: false, message }, self.no_exchange());
            }
        };
        let call = match self.call(wire) {
            Ok(call) => call,
            Err(message) => return (Answer::Rejected { status: 400, message }, self.no_exchange()),
        };
        let (sent, exchange) = self.http.write(call, token.as_ref()).await;
        let dialect = self.dialect(token.as_ref());
        let answer = wire::answer(sent.as_ref(), dialect, |reply| accepted(request, reply), precondition_failed);
        match &token {
            Some(token) => (crate::remote::redact_answer(answer, token), exchange),
            None => (answer, exchange),
        }
    }

    /// The request as it is handed to the network.
    fn call(&self, wire: Wire) -> Result<Call, String> {
        let if_match = HeaderValue::from_str(&wire.if_match)
            .map_err(|_| "the stored revision cannot be sent; fetch the record again".to_owned())?;
        let mut call = self.get(wire.url, self.http.deadlines.total);
        call.method = wire.method;
        call.headers.insert(header::IF_MATCH, if_match);
        call.headers.insert(ASK_ETAG, HeaderValue::from_static("true"));
        if wire.body.is_some() {
            call.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        call.body = wire.body;
        Ok(call)
    }

    pub(crate) fn on_the_wire(&self, request: &PushRequest) -> Result<WireRequest, String> {
        Ok(self.shown_call(&self.call(self.wire(request)?)?))
    }

    pub(crate) fn lookup_on_the_wire(&self, record: &RecordKey) -> Result<WireRequest, String> {
        Ok(self.shown_call(&self.lookup(record)?))
    }

    fn shown_call(&self, call: &Call) -> WireRequest {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        WireRequest {
            method: call.method.to_string(),
            url: call.url.to_string(),
            headers: call.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: call.body.clone(),
            token: self.credentials.place(),
        }
    }

    fn wire(&self, request: &PushRequest) -> Result<Wire, String> {
        let collection = self.spec(&request.record.collection.collection)?;
        let url = self.address.record(&collection.path, request.record.id.as_str())?;
        let if_match = match &request.precondition {
            Precondition::Absent => NULL_ETAG.to_owned(),
            Precondition::Revision(revision) => revision.0.clone(),
        };
        let (method, body) = match (request.kind, &request.document) {
            (OpKind::Delete, _) => (Method::DELETE, None),
            (_, Some(document)) => (Method::PUT, Some(document.to_string())),
            (_, None) => return Err("a write without a document".to_owned()),
        };
        Ok(Wire { method, url, if_match, body })
    }

    // --- reading -------------------------------------------------------------------------------------------------

    fn lookup(&self, record: &RecordKey) -> Result<Call, String> {
        let collection = self.spec(&record.collection.collection)?;
        let url = self.address.record(&collection.path, record.id.as_str())?;
        let mut call = self.get(url, self.http.deadlines.total);
        call.headers.insert(ASK_ETAG, HeaderValue::from_static("true"));
        Ok(call)
    }

    pub(crate) async fn fetch(&self, record: &RecordKey) -> (Result<Current, ReadError>, Exchange) {
        let call = match self.lookup(record) {
            Ok(call) => call,
            Err(message) => return (Err(ReadError::Refused { status: 400, message }), self.no_exchange()),
        };
        let (reply, exchange) = self.read(call).await;
        let current = reply.and_then(|(headers, text)| {
            let value: Value = serde_json::from_str(&text).map_err(|error| misshapen(not_json(&error)))?;
            let value = Some(value).filter(|value| !value.is_null());
            let revision = value.as_ref().and_then(|_| etag(&headers));
            Ok(Current { collection: record.collection.clone(), id: record.id.clone(), value, revision })
        });
        (current, exchange)
    }

    pub(crate) async fn page(
        &self,
        collection: &CollectionName,
        after: Option<&RecordId>,
        limit: usize,
    ) -> (Result<Page, ReadError>, Exchange) {
        let limit = limit.max(1);
        // `startAt` is inclusive: ask for one more and drop the first.
        let asked = limit + usize::from(after.is_some());
        let mut parameters = vec![("orderBy", "\"$key\"".to_owned())];
        if let Some(after) = after {
            parameters.push(("startAt", Value::from(after.as_str()).to_string()));
        }
        parameters.push(("limitToFirst", asked.to_string()));
        let (text, exchange) = self.query(collection, &parameters).await;
        let page = text.and_then(|text| {
            let mut records = split::records(&text).map_err(misshapen)?;
            let full = records.len() >= asked;
            if let Some(after) = after {
                records.retain(|record| rtdb::key_order(record.id.as_str(), after.as_str()).is_gt());
            }
            let next = records.last().filter(|_| full).map(|record| record.id.clone());
            Ok(Page { records, next })
        });
        (page, exchange)
    }

    pub(crate) async fn keys(&self, collection: &CollectionName) -> (Result<Vec<RecordId>, ReadError>, Exchange) {
        let (text, exchange) = self.query(collection, &[("shallow", "true".to_owned())]).await;
        (text.and_then(|text| split::keys(&text).map_err(misshapen)), exchange)
    }

    pub(crate) async fn delta(
        &self,
        collection: &CollectionName,
        since: &str,
        limit: usize,
    ) -> (Result<Page, ReadError>, Exchange) {
        let (pointer, order) = match self.stamp(collection) {
            Ok(found) => found,
            Err(message) => return (Err(ReadError::Refused { status: 400, message }), self.no_exchange()),
        };
        let mut limit = limit.max(2);
        let mut sum = self.no_exchange();
        loop {
            let parameters =
                [("orderBy", order.clone()), ("startAt", since.to_owned()), ("limitToFirst", limit.to_string())];
            let (text, exchange) = self.query(collection, &parameters).await;
            sum = joined(&sum, exchange);
            let stamped = text.and_then(|text| stamped(&text, &pointer).map_err(misshapen));
            let stamped = match stamped {
                Ok(stamped) => stamped,
                Err(error) => return (Err(error), sum),
            };
            let full = stamped.len() >= limit;
            let one_stamp = match (stamped.first(), stamped.last()) {
                (Some((first, _)), Some((last, _))) => json::same_value(first, last),
                _ => false,
            };
            if full && one_stamp && limit < MAX_DELTA {
                limit *= 2;
                continue;
            }
            let records: Vec<RemoteRecord> = stamped.into_iter().map(|(_, record)| record).collect();
            let next = records.last().filter(|_| full).map(|record| record.id.clone());
            return (Ok(Page { records, next }), sum);
        }
    }

    /// [`super::Remote::newest`]. Texts order behind numbers, so the limit is only said where a number went beyond it.
    pub(crate) async fn newest(
        &self,
        collection: &CollectionName,
        until: Timestamp,
    ) -> (Result<Page, ReadError>, Exchange) {
        let (pointer, order) = match self.stamp(collection) {
            Ok(found) => found,
            Err(message) => return (Err(ReadError::Refused { status: 400, message }), self.no_exchange()),
        };
        let mut parameters = vec![("orderBy", order), ("limitToLast", "1".to_owned())];
        let (text, mut sum) = self.query(collection, &parameters).await;
        let mut found = text.and_then(|text| stamped(&text, &pointer).map_err(misshapen));
        let beyond = |stamp: &Value| match stamp {
            Value::Object(_) | Value::Array(_) => true,
            stamp => stamp.as_f64().is_some_and(|millis| millis > until.0 as f64),
        };
        if matches!(&found, Ok(found) if found.last().is_some_and(|(stamp, _)| beyond(stamp))) {
            parameters.push(("endAt", until.0.to_string()));
            let (text, exchange) = self.query(collection, &parameters).await;
            sum = joined(&sum, exchange);
            found = text.and_then(|text| stamped(&text, &pointer).map_err(misshapen));
        }
        let page =
            found.map(|found| Page { records: found.into_iter().map(|(_, record)| record).collect(), next: None });
        (page, sum)
    }

    pub(crate) async fn feed(
        &self,
        collection: &CollectionName,
        since: Option<&str>,
    ) -> (Result<Feed, ReadError>, Exchange) {
        let url = self.spec(collection).and_then(|spec| match since {
            None => Ok(self.address.collection(&spec.path, &[])),
            Some(since) => {
                let (_, order) = self.stamp(collection)?;
                Ok(self.address.collection(&spec.path, &[("orderBy", &order), ("startAt", since)]))
            }
        });
        let url = match url {
            Ok(url) => url,
            Err(message) => return (Err(ReadError::Refused { status: 400, message }), self.no_exchange()),
        };
        let token = match self.credentials.token().await {
            Ok(token) => token,
            Err(message) => return (Err(ReadError::Unauthorized { message }), self.no_exchange()),
        };
        let mut call = self.get(url, self.http.deadlines.total);
        call.headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        call.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let (opened, exchange) = self.http.open(call, token.as_ref()).await;
        let dialect = self.dialect(token.as_ref());
        let feed = match opened {
            Err(failure) => Err(ReadError::Unreachable(failure.trouble)),
            Ok(Err(reply)) => Err(wire::read_error(&reply, dialect)),
            Ok(Ok(response)) => match kind_of(response.headers()) {
                kind if kind.starts_with("text/event-stream") => {
                    Ok(Feed::new(response, since.is_some(), self.http.deadlines.watchdog()))
                }
                kind if kind.contains("html") => Err(ReadError::Portal(crate::model::wire::Trouble {
                    link: crate::model::wire::Link::Shape,
                    message: "a web page came where a feed was due".to_owned(),
                })),
                kind => {
                    Err(misshapen(format!("`{}` came where a feed was due", kind.chars().take(60).collect::<String>())))
                }
            },
        };
        (self.clean(feed, token.as_ref()), exchange)
    }

    // --- common ----------------------------------------------------------------------------------------------------

    async fn query(
        &self,
        collection: &CollectionName,
        parameters: &[(&str, String)],
    ) -> (Result<String, ReadError>, Exchange) {
        let path = match self.spec(collection) {
            Ok(spec) => &spec.path,
            Err(message) => return (Err(ReadError::Refused { status: 400, message }), self.no_exchange()),
        };
        let parameters: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut call = self.get(self.address.collection(path, &parameters), self.http.deadlines.bulk);
        call.cap = BULK_CAP;
        let (reply, exchange) = self.read(call).await;
        (reply.map(|(_, text)| text), exchange)
    }

    async fn read(&self, call: Call) -> (Result<(HeaderMap, String), ReadError>, Exchange) {
        let token = match self.credentials.token().await {
            Ok(token) => token,
            Err(message) => return (Err(ReadError::Unauthorized { message }), self.no_exchange()),
        };
        let (sent, exchange) = self.http.read(call, token.as_ref()).await;
        let headers = sent.as_ref().map(|reply| reply.headers.clone()).unwrap_or_default();
        let text = wire::text(sent, self.dialect(token.as_ref()));
        (self.clean(text.map(|text| (headers, text)), token.as_ref()), exchange)
    }

    fn clean<T>(&self, read: Result<T, ReadError>, token: Option<&Token>) -> Result<T, ReadError> {
        match token {
            Some(token) => read.map_err(|error| crate::remote::redact_read(error, token)),
            None => read,
        }
    }

    fn get(&self, url: Url, total: Duration) -> Call {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        Call { method: Method::GET, url, headers, body: None, total, cap: RECORD_CAP }
    }

    fn spec(&self, name: &CollectionName) -> Result<&CollectionSpec, String> {
        let found = self.collections.iter().find(|spec| spec.name == *name);
        found.ok_or_else(|| format!("there is no collection `{name}` in this source"))
    }

    /// The stamp of a collection: its pointer, and the `orderBy` that follows it.
    fn stamp(&self, name: &CollectionName) -> Result<(json::Pointer, String), String> {
        let pointer = self.spec(name)?.updated_at.clone();
        let pointer = pointer.ok_or_else(|| format!("`{name}` has no `updated_at`, so nothing says what is new"))?;
        let order = Value::from(pointer.tokens().join("/")).to_string();
        Ok((pointer, order))
    }

    fn dialect(&self, token: Option<&Token>) -> Dialect {
        Dialect { missing_record_is_404: false, authorised: token.is_some() }
    }

    fn no_exchange(&self) -> Exchange {
        Exchange { finished_at: self.http.clock.at().wall, ..Exchange::default() }
    }
}

/// Reads the body of a 2xx. An ETag is the proof that a database answered; without one the body must be what we wrote.
fn accepted(request: &PushRequest, reply: &Reply) -> Result<Answer, String> {
    let body: Value = parse(reply)?;
    let etag = etag(&reply.headers);
    let ours = request.document.as_ref().filter(|_| request.kind != OpKind::Delete).and_then(rtdb::normal_form);
    let theirs = rtdb::into_normal(body);
    let same = match (&ours, &theirs) {
        (None, None) => true,
        (Some(ours), Some(theirs)) => json::same_value(ours, theirs),
        _ => false,
    };
    if !same && (etag.is_none() || ours.is_none() || theirs.is_none()) {
        return Err("the answer is not what was written".to_owned());
    }
    Ok(Answer::Accepted { revision: etag.filter(|_| theirs.is_some()), stored: theirs })
}

/// Reads the body of a 412: the server's present value.
fn precondition_failed(reply: &Reply) -> Result<Answer, String> {
    let body: Value = parse(reply)?;
    let etag = etag(&reply.headers);
    if etag.is_none() && body.as_object().is_some_and(|members| members.len() == 1 && members.contains_key("error")) {
        return Err(wire::words(reply));
    }
    let current = Some(body).filter(|body| !body.is_null());
    let revision = etag.filter(|_| current.is_some());
    Ok(Answer::PreconditionFailed { current, revision })
}

fn parse(reply: &Reply) -> Result<Value, String> {
    let body = reply.body.as_deref().map_err(|trouble| trouble.message.clone())?;
    serde_json::from_slice(body).map_err(|error| not_json(&error))
}

fn not_json(error: &serde_json::Error) -> String {
    format!("the answer is not JSON: {error}")
}

/// The revision of something; nothing has none.
fn etag(headers: &HeaderMap) -> Option<Revision> {
    let text = headers.get(header::ETAG)?.to_str().ok()?;
    Some(Revision::from(text)).filter(|revision| revision.as_str() != NULL_ETAG)
}

fn kind_of(headers: &HeaderMap) -> String {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.unwrap_or("nothing").to_ascii_lowercase()
}

/// Records with their stamps, oldest first, ties by key. A record without one sorts first, as the server has it.
fn stamped(text: &str, pointer: &json::Pointer) -> Result<Vec<(Value, RemoteRecord)>, String> {
    let mut found = Vec::new();
    for record in split::records(text)? {
        let value: Value = serde_json::from_str(&record.text).map_err(|error| not_json(&error))?;
        found.push((pointer.get(&value).cloned().unwrap_or(Value::Null), record));
    }
    // Stable: equal stamps stay in key order.
    found.sort_by(|(a, _), (b, _)| rtdb::value_order(a, b));
    Ok(found)
}
