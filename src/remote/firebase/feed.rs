//! The live feed: server-sent events, read as whole-record changes.
//!
//! ```text
//!  put   /            everything as it is now           (a query's feed: what matches it)
//!  put   /id          that record, or its tombstone
//!  put   /id/deeper   part of it: fetch the record
//!  patch /            each member like a put of its own; a member may be a path
//!  patch /id/…        part of it: fetch the record
//! ```
//!
//! In the feed of a query a `null` proves nothing: the record may be deleted or may only have left the query. It is
//! reported as touched.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use sse_stream::{Sse, SseByteStream};

use crate::{
    model::{
        ids::RecordId,
        wire::{Link, ReadError, RemoteChange, Trouble},
    },
    remote::{
        FeedEvent,
        firebase::{address::segments, split},
        http::{failure, seconds},
        wire::misshapen,
    },
};

/// The largest single event accepted: Google's limit of one write by REST.
const MAX_EVENT: u64 = 256 << 20;

type Events = Pin<Box<dyn Stream<Item = Result<Sse, sse_stream::Error>> + Send>>;

pub(crate) struct Feed {
    events: Events,
    /// Changes of one event that needed more than one of ours.
    waiting: VecDeque<FeedEvent>,
    is_query: bool,
    watchdog: Duration,
    deadline: tokio::time::Instant,
    bytes: Arc<AtomicU64>,
    since_event: Arc<AtomicU64>,
    ended: bool,
}

#[derive(Deserialize)]
struct Payload<'a> {
    path: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Feed {
    pub(crate) fn new(response: reqwest::Response, is_query: bool, watchdog: Duration) -> Self {
        let (bytes, since_event) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (all, since) = (bytes.clone(), since_event.clone());
        let chunks = response.bytes_stream().map(move |chunk| {
            let chunk = chunk.map_err(|error| io::Error::other(failure(&error).trouble.message))?;
            let length = chunk.len() as u64;
            all.fetch_add(length, Ordering::Relaxed);
            match since.fetch_add(length, Ordering::Relaxed) + length {
                grown if grown > MAX_EVENT => Err(io::Error::other("an event is larger than 256 MiB")),
                _ => Ok(chunk),
            }
        });
        Self {
            events: Box::pin(SseByteStream::new(chunks)),
            waiting: VecDeque::new(),
            is_query,
            watchdog,
            deadline: tokio::time::Instant::now() + watchdog,
            bytes,
            since_event,
            ended: false,
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The next event. Safe to cancel: the watchdog counts from the last byte, not from this call.
    pub(crate) async fn next(&mut self) -> Result<FeedEvent, ReadError> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Ok(event);
            }
            if self.ended {
                return Err(broken("the feed has ended"));
            }
            let event = self.receive().await.inspect_err(|_| self.ended = true)?;
            let understood = understand(event.event.as_deref(), event.data.as_deref().unwrap_or(""), self.is_query)
                .inspect_err(|_| self.ended = true)?;
            self.ended |=
                understood.iter().any(|event| matches!(event, FeedEvent::Cancelled(_) | FeedEvent::Unauthorized));
            self.waiting.extend(understood);
        }
    }

    async fn receive(&mut self) -> Result<Sse, ReadError> {
        loop {
            let before = self.bytes();
            match tokio::time::timeout_at(self.deadline, self.events.next()).await {
                Ok(Some(Ok(event))) => {
                    self.deadline = tokio::time::Instant::now() + self.watchdog;
                    self.since_event.store(0, Ordering::Relaxed);
                    return Ok(event);
                }
                Ok(Some(Err(sse_stream::Error::Body(error)))) => return Err(broken(&error.to_string())),
                Ok(Some(Err(error))) => return Err(misshapen(format!("the feed is garbled: {error}"))),
                Ok(None) => return Err(broken("the server closed the feed")),
                // A large event may take longer than the watchdog: bytes are a sign of life too.
                Err(_) if self.bytes() > before => self.deadline = tokio::time::Instant::now() + self.watchdog,
                Err(_) => return Err(broken(&format!("no sign of life for {}", seconds(self.watchdog)))),
            }
        }
    }
}

fn broken(message: &str) -> ReadError {
    ReadError::Unreachable(Trouble { link: Link::Http, message: message.to_owned() })
}

/// What one event says. Unknown kinds say nothing.
fn understand(kind: Option<&str>, data: &str, is_query: bool) -> Result<Vec<FeedEvent>, ReadError> {
    match kind {
        Some("keep-alive") => Ok(vec![FeedEvent::KeepAlive]),
        Some("cancel") => Ok(vec![FeedEvent::Cancelled(reason(data, "the server ended the feed"))]),
        Some("auth_revoked") => Ok(vec![FeedEvent::Unauthorized]),
        Some(kind @ ("put" | "patch")) => {
            let payload: Payload<'_> =
                serde_json::from_str(data).map_err(|error| misshapen(format!("the feed is garbled: {error}")))?;
            let path: Vec<&str> = segments(&payload.path).collect();
            changed(kind, &path, payload.data, is_query).map_err(misshapen)
        }
        _ => Ok(Vec::new()),
    }
}

fn changed(kind: &str, path: &[&str], data: &RawValue, is_query: bool) -> Result<Vec<FeedEvent>, String> {
    match (kind, path) {
        ("put", []) if !is_query => Ok(vec![FeedEvent::Everything(split::records(data.get())?)]),
        ("put", []) => {
            let records = split::records(data.get())?;
            Ok(vec![FeedEvent::Changes(records.into_iter().map(RemoteChange::Upsert).collect())])
        }
        ("put", [id]) => sorted_out([(*id, data)], is_query),
        ("patch", []) => {
            let members = split::children(data.get())?;
            sorted_out(members.iter().map(|(name, raw)| (name.as_str(), *raw)), is_query)
        }
        (_, [id, ..]) => Ok(vec![FeedEvent::Touched(vec![RecordId::from(*id)])]),
        _ => Ok(Vec::new()),
    }
}

/// Whole records as changes, everything else as touched.
fn sorted_out<'a>(
    members: impl IntoIterator<Item = (&'a str, &'a RawValue)>,
    is_query: bool,
) -> Result<Vec<FeedEvent>, String> {
    let (mut changes, mut touched) = (Vec::new(), Vec::new());
    for (name, raw) in members {
        let mut path = segments(name);
        match (path.next(), path.next()) {
            (Some(id), None) if raw.get() != "null" || !is_query => changes.push(split::change(id, raw)?),
            (Some(id), _) if !touched.contains(&RecordId::from(id)) => touched.push(RecordId::from(id)),
            _ => {}
        }
    }
    let changes = (!changes.is_empty()).then_some(FeedEvent::Changes(changes));
    let touched = (!touched.is_empty()).then_some(FeedEvent::Touched(touched));
    Ok(changes.into_iter().chain(touched).collect())
}

fn reason(data: &str, otherwise: &str) -> String {
    match serde_json::from_str::<Value>(data) {
        Ok(Value::String(text)) if !text.is_empty() => text.chars().take(300).collect(),
        Ok(Value::Object(members)) => {
            members.get("error").and_then(Value::as_str).unwrap_or(otherwise).chars().take(300).collect()
        }
        _ => otherwise.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::wire::RemoteRecord;

    fn upsert(id: &str, text: &str) -> RemoteChange {
        RemoteChange::Upsert(RemoteRecord { id: id.into(), revision: None, text: text.to_owned() })
    }

    fn put(data: &str) -> Vec<FeedEvent> {
        understand(Some("put"), data, false).unwrap()
    }

    #[test]
    fn the_first_put_is_everything_and_null_is_an_empty_collection() {
        let events = put(r#"{"path":"/","data":{"b":{"n":1},"a":{"n": 2}}}"#);
        let FeedEvent::Everything(records) = &events[0] else { panic!("{events:?}") };
        assert_eq!(records[0].text, r#"{"n": 2}"#);
        assert_eq!(put(r#"{"path":"/","data":null}"#), [FeedEvent::Everything(Vec::new())]);
    }

    #[test]
    fn a_put_of_a_record_is_the_record_and_a_deeper_one_only_touches_it() {
        assert_eq!(put(r#"{"path":"/a","data":{"n":1}}"#), [FeedEvent::Changes(vec![upsert("a", r#"{"n":1}"#)])]);
        let gone = FeedEvent::Changes(vec![RemoteChange::Tombstone { id: "a".into() }]);
        assert_eq!(put(r#"{"path":"/a","data":null}"#), [gone]);
        assert_eq!(put(r#"{"path":"/a/n","data":1}"#), [FeedEvent::Touched(vec!["a".into()])]);
    }

    #[test]
    fn a_patch_of_the_collection_holds_whole_records_tombstones_and_paths() {
        let data = r#"{"path":"/","data":{"a":{"n":1},"b":null,"c/n":2,"c/m":3}}"#;
        let events = understand(Some("patch"), data, false).unwrap();
        let whole = vec![upsert("a", r#"{"n":1}"#), RemoteChange::Tombstone { id: "b".into() }];
        assert_eq!(events, [FeedEvent::Changes(whole), FeedEvent::Touched(vec!["c".into()])]);
        let deeper = understand(Some("patch"), r#"{"path":"/a","data":{"n":1}}"#, false).unwrap();
        assert_eq!(deeper, [FeedEvent::Touched(vec!["a".into()])]);
    }

    #[test]
    fn in_a_querys_feed_nothing_is_everything_and_null_is_no_tombstone() {
        let events = understand(Some("put"), r#"{"path":"/","data":{"a":1}}"#, true).unwrap();
        assert_eq!(events, [FeedEvent::Changes(vec![upsert("a", "1")])]);
        let events = understand(Some("put"), r#"{"path":"/a","data":null}"#, true).unwrap();
        assert_eq!(events, [FeedEvent::Touched(vec!["a".into()])]);
    }

    #[test]
    fn the_servers_other_words_are_understood_and_unknown_ones_passed_over() {
        assert_eq!(understand(Some("keep-alive"), "null", false).unwrap(), [FeedEvent::KeepAlive]);
        assert_eq!(understand(Some("auth_revoked"), "\"expired\"", false).unwrap(), [FeedEvent::Unauthorized]);
        let cancelled = understand(Some("cancel"), "\"rules changed\"", false).unwrap();
        assert_eq!(cancelled, [FeedEvent::Cancelled("rules changed".to_owned())]);
        assert_eq!(understand(Some("news"), "1", false).unwrap(), []);
        assert!(understand(Some("put"), "{\"path\":", false).is_err());
    }
}
