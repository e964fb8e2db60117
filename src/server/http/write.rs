//! PUT, PATCH, POST and DELETE: one atomic write each, answered when it is durable.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use super::{
    answer::{self, Answer},
    read,
    request::{Print, check_path},
    route::{Asked, check_right, not_allowed},
};
use crate::{
    model::rtdb::push_id,
    server::{
        Shared,
        rules::Right,
        store::{Applied, Change, Kind, NOT_JSON, Pretty, Refused, Sink, Text, Tree, Write, etag, members},
    },
};

/// One write by REST.
pub(super) const MAX_BODY: usize = 256 << 20;
/// Bodies above this are read on a thread that may be busy for a while.
const SMALL: usize = 64 << 10;
const NOT_AN_OBJECT: &str =
    "Invalid data; couldn't parse JSON object. Are you sending a JSON object with valid key names?";
const IF_MATCH: &str = "The 'if-match' header is not supported with GET, PATCH or POST requests";

pub(super) async fn apply(
    shared: &Arc<Shared>,
    asked: &Asked,
    path: Vec<String>,
    priority: bool,
    body: Body,
) -> Result<Answer, Answer> {
    let verb = asked.method.clone();
    if ![Method::PUT, Method::PATCH, Method::POST, Method::DELETE].contains(&verb) {
        return Err(not_allowed());
    }
    let if_match = asked.header("if-match").map(str::to_owned);
    let print = asked.parameters.print()?;
    if if_match.is_some() && (verb == Method::PATCH || verb == Method::POST) {
        return Err(answer::bad_request(IF_MATCH));
    }
    if if_match.is_some() && print == Print::Silent {
        return Err(answer::bad_request("`print=silent` cannot be combined with the 'if-match' header"));
    }
    let text = read_body(body, asked.parameters.write_limit()?).await?;
    let pushed = (verb == Method::POST).then(|| push_id(&shared.clock.at()));
    let (kind, changes) = if priority {
        (Kind::Put, vec![read_priority(&verb, path, &text)?])
    } else {
        read_changes(shared, &verb, path, pushed.as_ref(), text).await?
    };
    if changes.is_empty() {
        return Ok(if print == Print::Silent {
            answer::empty(StatusCode::NO_CONTENT)
        } else {
            answer::ok("{}".to_owned())
        });
    }
    check_write(shared, &changes, if_match.as_deref()).await?;
    let first = changes.first().map(|change| change.path().to_vec()).unwrap_or_default();
    let write = Write { kind, changes, if_match, want_etag: asked.wants_etag() };
    let applied = match shared.writer.write(write).await {
        Ok(applied) => applied,
        Err(Refused::Mismatch { etag, current: Some(current) }) => {
            return Ok(answer::with_etag(
                answer::json(StatusCode::PRECONDITION_FAILED, Body::from(current)),
                Some(&etag),
            ));
        }
        Err(Refused::Mismatch { current: None, .. }) => {
            return read::current(shared, first, StatusCode::PRECONDITION_FAILED).await;
        }
        Err(refused) => return Err(answer::not_written(&refused)),
    };
    let answer = match print {
        Print::Silent => answer::empty(StatusCode::NO_CONTENT),
        print => answer::ok(written(&applied, pushed.as_deref(), print)),
    };
    Ok(answer::with_etag(answer, applied.etag.as_deref()))
}

/// Readable, not writable and stale: 412 comes before 401.
async fn check_write(shared: &Arc<Shared>, changes: &[Change], if_match: Option<&str>) -> Result<(), Answer> {
    for change in changes {
        let Err(denied) = check_right(shared, Right::Write, change.path()) else { continue };
        if let Some(wanted) = if_match
            && shared.grants(Right::Read, change.path())
        {
            let path = change.path().to_vec();
            let etag = shared.database.read(move |connection| etag(connection, &path)).await;
            if etag.map_err(|stop| answer::not_read(&stop))? != wanted {
                let path = change.path().to_vec();
                return Err(read::current(shared, path, StatusCode::PRECONDITION_FAILED).await?);
            }
        }
        return Err(denied);
    }
    Ok(())
}

pub(super) async fn read_body(body: Body, limit: usize) -> Result<String, Answer> {
    let bytes = Limited::new(body, limit).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            answer::error(StatusCode::PAYLOAD_TOO_LARGE, "Payload is too large")
        } else {
            answer::bad_request("The request body ended early")
        }
    })?;
    String::from_utf8(bytes.to_bytes().into()).map_err(|_| answer::bad_request(NOT_JSON))
}

async fn read_changes(
    shared: &Arc<Shared>,
    verb: &Method,
    mut path: Vec<String>,
    pushed: Option<&String>,
    text: String,
) -> Result<(Kind, Vec<Change>), Answer> {
    if *verb == Method::DELETE {
        return Ok((Kind::Put, vec![Change::Value { path, tree: None }]));
    }
    path.extend(pushed.cloned());
    check_path(&path).map_err(|reason| answer::bad_request(&format!("Invalid path: {reason}")))?;
    let now = shared.clock.at().wall.0;
    let (is_patch, is_small) = (*verb == Method::PATCH, text.len() <= SMALL);
    let parse = move || {
        if is_patch {
            let changes = read_patch(&path, &text, now)?;
            Ok((Kind::Patch { base: path }, changes))
        } else {
            let tree = Tree::parse(&text, path.len(), now).map_err(|error| error.to_string())?;
            Ok((Kind::Put, vec![Change::Value { path, tree }]))
        }
    };
    let parsed: Result<_, String> = if is_small {
        parse()
    } else {
        tokio::task::spawn_blocking(parse).await.map_err(|_| answer::bad_request(NOT_JSON))?
    };
    parsed.map_err(|reason| answer::bad_request(&reason))
}

/// The changes of a multi-path update. Paths that are ancestors of each other have no order to be written in.
fn read_patch(base: &[String], text: &str, now: i64) -> Result<Vec<Change>, String> {
    let text = text.trim_ascii();
    if !text.starts_with('{') {
        return Err(NOT_AN_OBJECT.to_owned());
    }
    let mut changes = Vec::new();
    for (name, raw) in members(text).map_err(|_| NOT_AN_OBJECT.to_owned())? {
        let mut path = base.to_vec();
        path.extend(name.split('/').filter(|key| !key.is_empty()).map(str::to_owned));
        if path.pop_if(|last| last == ".priority").is_some() {
            changes.push(Change::Priority { path, priority: parse_priority(raw)? });
            continue;
        }
        if path.len() == base.len() {
            return Err(format!("`{name}` is not a path below the updated place"));
        }
        check_path(&path).map_err(|reason| format!("Invalid path: {reason}"))?;
        let tree = Tree::parse(raw, path.len(), now).map_err(|error| error.to_string())?;
        changes.push(Change::Value { path, tree });
    }
    let mut paths: Vec<_> =
        changes.iter().filter(|change| matches!(change, Change::Value { .. })).map(Change::path).collect();
    paths.sort_unstable();
    match paths.windows(2).find(|pair| pair[1].starts_with(pair[0])) {
        Some(pair) => Err(format!("Path '/{}' is an ancestor of '/{}'", pair[0].join("/"), pair[1].join("/"))),
        None => Ok(changes),
    }
}

fn read_priority(verb: &Method, path: Vec<String>, text: &str) -> Result<Change, Answer> {
    let priority = match *verb {
        Method::PUT => parse_priority(text).map_err(|reason| answer::bad_request(&reason))?,
        Method::DELETE => None,
        _ => return Err(not_allowed()),
    };
    Ok(Change::Priority { path, priority })
}

fn parse_priority(text: &str) -> Result<Option<Value>, String> {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Null) => Ok(None),
        Ok(priority @ (Value::String(_) | Value::Number(_))) => Ok(Some(priority)),
        _ => Err("a priority is a string, a number or null".to_owned()),
    }
}

/// The body that answers a write: what is there now, without metadata.
fn written(applied: &Applied, pushed: Option<&str>, print: Print) -> String {
    let mut compact = Text::default();
    match (&applied.kind, pushed) {
        (_, Some(name)) => compact.0 = format!("{{\"name\":{}}}", Value::from(name)),
        (Kind::Put, None) => write_change(&applied.changes[0], &mut compact),
        (Kind::Patch { base }, None) => {
            for (at, change) in applied.changes.iter().enumerate() {
                let key = Value::from(change.path()[base.len()..].join("/"));
                compact.0.push_str(&format!("{}{key}:", if at == 0 { "{" } else { "," }));
                write_change(change, &mut compact);
            }
            compact.0.push('}');
        }
    }
    if print != Print::Pretty {
        return compact.0;
    }
    let mut pretty = Text::default();
    Pretty::new(&mut pretty).text(&compact.0).expect("a string takes any length");
    pretty.0
}

fn write_change(change: &Change, text: &mut Text) {
    match change {
        Change::Value { tree: Some(tree), .. } => tree.render(text).expect("a string takes any length"),
        Change::Priority { priority: Some(priority), .. } => text.0.push_str(&priority.to_string()),
        Change::Value { tree: None, .. } | Change::Priority { priority: None, .. } => text.0.push_str("null"),
    }
}
