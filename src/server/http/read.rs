//! GET: values, keys and queries, streamed out of one snapshot.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::http::StatusCode;
use tokio::sync::oneshot;

use super::{
    answer::{self, Answer},
    outgoing::{Outgoing, Start},
    request::Print,
    route::{Asked, check_right},
};
use crate::server::{
    Shared,
    rules::Right,
    store::{
        Form, Pretty, Query, Sink, Stop, Writer, child_body, etag, render, render_query, render_shallow, wants_index,
    },
};

const IF_MATCH: &str = "The 'if-match' header is not supported with GET, PATCH or POST requests";

/// What is read, and how it is told.
struct Wanted {
    path: Vec<String>,
    query: Option<Query>,
    shallow: bool,
    form: Form,
    pretty: bool,
    etag: bool,
    none_match: Option<String>,
}

pub(super) async fn get(shared: &Arc<Shared>, asked: &Asked, path: Vec<String>) -> Result<Answer, Answer> {
    check_right(shared, Right::Read, &path)?;
    if asked.header("if-match").is_some() {
        return Err(answer::bad_request(IF_MATCH));
    }
    let parameters = &asked.parameters;
    let print = parameters.print()?;
    let query = parameters.query()?;
    check_index(shared, &path, query.as_ref())?;
    let shallow = parameters.is_shallow()?;
    let none_match = asked.header("if-none-match").map(str::to_owned).filter(|_| query.is_none() && !shallow);
    let wanted = Wanted {
        shallow,
        form: if parameters.is_export()? { Form::Export } else { Form::Plain },
        pretty: print == Print::Pretty,
        etag: query.is_none() && !shallow && (asked.wants_etag() || none_match.is_some()),
        none_match,
        path,
        query,
    };
    let cancelled = Arc::new(AtomicBool::new(false));
    let work = tell(shared, wanted, StatusCode::OK, Arc::clone(&cancelled));
    let answer = match parameters.timeout()? {
        None => work.await?,
        Some(limit) => tokio::time::timeout(limit, work).await.map_err(|_| {
            cancelled.store(true, Ordering::Relaxed);
            answer::bad_request("The request timed out")
        })??,
    };
    Ok(if print == Print::Silent { answer::empty(StatusCode::NO_CONTENT) } else { answer })
}

/// What lies at `path` now, with its ETag, under another status: the answer to a failed precondition.
pub(super) async fn current(shared: &Arc<Shared>, path: Vec<String>, status: StatusCode) -> Result<Answer, Answer> {
    let wanted =
        Wanted { path, query: None, shallow: false, form: Form::Plain, pretty: false, etag: true, none_match: None };
    tell(shared, wanted, status, Arc::default()).await
}

/// Rules, where there are any, decide which orders are served; without rules every order is.
pub(super) fn check_index(shared: &Shared, path: &[String], query: Option<&Query>) -> Result<(), Answer> {
    let Some(name) = query.and_then(Query::index_name) else { return Ok(()) };
    if shared.has_index(path, name) {
        return Ok(());
    }
    let message =
        format!("Index not defined, add \".indexOn\": \"{name}\", for path \"/{}\", to the rules", path.join("/"));
    Err(answer::bad_request(&message))
}

async fn tell(
    shared: &Arc<Shared>,
    wanted: Wanted,
    status: StatusCode,
    cancelled: Arc<AtomicBool>,
) -> Result<Answer, Answer> {
    let (start, started) = oneshot::channel();
    let outgoing = Outgoing::new(start, cancelled);
    let database = Arc::clone(&shared.database);
    let writer = shared.writer.clone();
    // The read goes on after the first chunk is answered, on its own thread; it ends with the client or by its stall limit.
    let reading =
        tokio::spawn(
            async move { database.read(move |connection| read(connection, &wanted, &writer, outgoing)).await },
        );
    match started.await {
        Ok(Start { etag, body }) => Ok(answer::with_etag(answer::json(status, body), etag.as_deref())),
        Err(_) => match reading.await {
            Ok(Ok(Some(etag))) => Ok(answer::with_etag(answer::empty(StatusCode::NOT_MODIFIED), Some(&etag))),
            Ok(Err(stop)) => Err(answer::not_read(&stop)),
            _ => Err(answer::not_read(&Stop::Enough)),
        },
    }
}

/// `Some`: nothing was told, the client has what bears this ETag.
fn read(
    connection: &rusqlite::Connection,
    wanted: &Wanted,
    writer: &Writer,
    mut outgoing: Outgoing,
) -> Result<Option<String>, Stop> {
    let _snapshot = connection.unchecked_transaction()?;
    if let Some(child) = wanted.query.as_ref().and_then(Query::child)
        && wants_index(connection, &wanted.path, child)?
    {
        writer.wish_for_index(&wanted.path, child);
    }
    if wanted.etag {
        let etag = etag(connection, &wanted.path)?;
        if wanted.none_match.as_ref() == Some(&etag) {
            return Ok(Some(etag));
        }
        outgoing.set_etag(etag);
    }
    if wanted.pretty {
        write(connection, wanted, &mut Pretty::new(&mut outgoing))?;
    } else {
        write(connection, wanted, &mut outgoing)?;
    }
    outgoing.finish()?;
    Ok(None)
}

fn write(connection: &rusqlite::Connection, wanted: &Wanted, sink: &mut dyn Sink) -> Result<(), Stop> {
    match &wanted.query {
        Some(query) => render_query(connection, &wanted.path, query, wanted.form, sink, None),
        None if wanted.shallow => render_shallow(connection, &wanted.path, sink),
        None => render(connection, &wanted.path, wanted.form, sink),
    }
}

pub(super) async fn priority(shared: &Arc<Shared>, path: Vec<String>) -> Result<Answer, Answer> {
    check_right(shared, Right::Read, &path)?;
    let text = shared.database.read(move |connection| crate::server::store::priority(connection, &path)).await;
    Ok(answer::ok(text.map_err(|stop| answer::not_read(&stop))?.unwrap_or_else(|| "null".to_owned())))
}

/// The plain text of one place, small enough to hold.
pub(super) async fn text(shared: &Arc<Shared>, path: Vec<String>) -> Result<Option<String>, Stop> {
    shared.database.read(move |connection| child_body(connection, &path)).await
}
