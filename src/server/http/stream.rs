//! `Accept: text/event-stream`: a snapshot as the first `put`, then what changes, relative to the place that is watched.

use std::{io, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
};
use bytes::Bytes;
use serde_json::Value;
use tokio::{
    sync::oneshot,
    time::{Interval, MissedTickBehavior},
};

use super::{
    answer::{self, Answer},
    outgoing::{Chunk, Incoming, Outgoing},
    read::check_index,
    route::{Asked, check_right},
    watch::Watch,
};
use crate::server::{
    Shared,
    listeners::{End, Listener, Message, Next},
    rules::Right,
    store::{Form, Query, Sink, Stop, render, writes},
};

pub(super) async fn open(shared: &Arc<Shared>, asked: &Asked, path: Vec<String>) -> Result<Answer, Answer> {
    check_right(shared, Right::Read, &path)?;
    let query = asked.parameters.query()?;
    check_index(shared, &path, query.as_ref())?;
    let listener = shared.listeners.add(path, query.is_some());
    if shared.is_stopping() {
        listener.end(End::Stopped);
    }
    let stream = Stream::start(shared, listener, query);
    let events = futures_util::stream::unfold(stream, async |mut stream| {
        let chunk = stream.next().await?;
        Some((chunk, stream))
    });
    let mut answer = answer::json(StatusCode::OK, Body::from_stream(events));
    let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(answer)
}

/// What the snapshot was: the number of the last write in it, and for queries what was shown.
type Snapshot = (u64, Option<Watch>);

enum Phase {
    /// The first `put` is on its way.
    First {
        chunks: Incoming,
        done: oneshot::Receiver<Snapshot>,
    },
    Live {
        after: u64,
        watch: Option<Watch>,
    },
    Over,
}

/// The state of one open stream; the client's connection owns it and pulls.
struct Stream {
    shared: Arc<Shared>,
    listener: Arc<Listener>,
    keep_alive: Interval,
    phase: Phase,
}

impl Stream {
    fn start(shared: &Arc<Shared>, listener: Arc<Listener>, query: Option<Query>) -> Self {
        let (outgoing, chunks) = Outgoing::chunked();
        let (told, done) = oneshot::channel();
        let (database, path) = (Arc::clone(&shared.database), listener.path().to_vec());
        // Ends with the client: its chunks have nowhere to go then.
        tokio::spawn(async move {
            let snapshot = database.read(move |connection| first_put(connection, &path, query, outgoing)).await;
            if let Ok(snapshot) = snapshot {
                let _ = told.send(snapshot);
            }
        });
        let period = shared.tuning.keep_alive;
        let mut keep_alive = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
        keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { shared: Arc::clone(shared), listener, keep_alive, phase: Phase::First { chunks, done } }
    }

    async fn next(&mut self) -> Option<Chunk> {
        loop {
            match &mut self.phase {
                Phase::Over => return None,
                Phase::First { chunks, done } => match chunks.next().await {
                    Some(chunk) => return Some(chunk),
                    None => match done.await {
                        Ok((after, watch)) => self.phase = Phase::Live { after, watch },
                        Err(_) => {
                            self.phase = Phase::Over;
                            return Some(Err(io::Error::other("the snapshot could not be read")));
                        }
                    },
                },
                Phase::Live { after, watch } => {
                    let next = tokio::select! {
                        biased;
                        next = self.listener.next() => next,
                        _ = self.keep_alive.tick() => return Some(event("keep-alive", "null")),
                    };
                    match next {
                        Next::Message(number, _) if number <= *after => {}
                        Next::Message(_, Message::Put { path, data }) => return Some(change("put", &path, &data)),
                        Next::Message(_, Message::Patch { path, data }) => return Some(change("patch", &path, &data)),
                        Next::Message(_, Message::Touched(key)) => {
                            let Some(watch) = watch else { continue };
                            match watch.look(&self.shared, self.listener.path(), key).await {
                                Ok(text) if text.is_empty() => {}
                                Ok(text) => return Some(Ok(Bytes::from(text))),
                                Err(_) => self.listener.end(End::Cancelled),
                            }
                        }
                        Next::End(end) => {
                            self.phase = Phase::Over;
                            return last_words(end);
                        }
                    }
                }
            }
        }
    }
}

fn last_words(end: End) -> Option<Chunk> {
    match end {
        End::Cancelled => Some(event("cancel", "null")),
        End::Revoked(reason) => Some(event("auth_revoked", &Value::from(reason).to_string())),
        End::Stopped => None,
    }
}

fn first_put(
    connection: &rusqlite::Connection,
    path: &[String],
    query: Option<Query>,
    mut outgoing: Outgoing,
) -> Result<Snapshot, Stop> {
    let _snapshot = connection.unchecked_transaction()?;
    let number = writes(connection)?;
    outgoing.text("event: put\ndata: {\"path\":\"/\",\"data\":")?;
    let watch = match query {
        Some(query) => Some(Watch::begin(connection, path, query, &mut outgoing)?),
        None => {
            render(connection, path, Form::Plain, &mut outgoing)?;
            None
        }
    };
    outgoing.text("}\n\n")?;
    outgoing.finish()?;
    Ok((number, watch))
}

fn event(name: &str, data: &str) -> Chunk {
    Ok(Bytes::from(format!("event: {name}\ndata: {data}\n\n")))
}

fn change(name: &str, path: &[String], data: &str) -> Chunk {
    Ok(Bytes::from(change_text(name, path, data)))
}

pub(super) fn change_text(name: &str, path: &[String], data: &str) -> String {
    let path = Value::from(format!("/{}", path.join("/")));
    format!("event: {name}\ndata: {{\"path\":{path},\"data\":{data}}}\n\n")
}
