//! From a request to the part that answers it.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{Method, StatusCode, header},
};

use super::{
    answer::{self, Answer},
    read,
    request::{Parameters, Target, method},
    stream,
    write::{self, read_body},
};
use crate::model::wire::DATABASE_HEADER;
use crate::server::{
    Shared,
    rules::{Right, Rules},
};

/// A request with its head understood.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) headers: axum::http::HeaderMap,
    pub(super) parameters: Parameters,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        // A header that is no text is there all the same, and matches nothing.
        self.headers.get(name).map(|value| value.to_str().unwrap_or("\u{fffd}"))
    }

    /// ETags come when asked for, with any verb but PATCH.
    pub(super) fn wants_etag(&self) -> bool {
        self.method != Method::PATCH && self.header("x-firebase-etag").is_some_and(|value| value == "true")
    }

    fn wants_events(&self) -> bool {
        self.header(header::ACCEPT.as_str()).is_some_and(|accept| accept.contains("text/event-stream"))
    }
}

pub(in crate::server) async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Answer {
    let (Ok(mut answer) | Err(mut answer)) = answer(&shared, request).await;
    if let Some(identity) = &shared.identity {
        answer.headers_mut().insert(DATABASE_HEADER, identity.clone());
    }
    answer
}

async fn answer(shared: &Arc<Shared>, request: Request) -> Result<Answer, Answer> {
    let (head, body) = request.into_parts();
    shared.guard.check_host(&head.uri, &head.headers)?;
    let parameters = Parameters::read(&head.uri);
    shared.guard.check_token(&head.headers, &parameters)?;
    let target = Target::read(&head.uri)?;
    let asked = Asked { method: method(&head.method, &head.headers), headers: head.headers, parameters };
    match target {
        Target::Stats => stats(shared, &asked),
        Target::Rules => rules(shared, &asked, body).await,
        Target::Data(path) if asked.method == Method::GET && asked.wants_events() => {
            stream::open(shared, &asked, path).await
        }
        Target::Data(path) if asked.method == Method::GET => read::get(shared, &asked, path).await,
        Target::Priority(path) if asked.method == Method::GET => read::priority(shared, path).await,
        Target::Data(path) => write::apply(shared, &asked, path, false, body).await,
        Target::Priority(path) => write::apply(shared, &asked, path, true, body).await,
    }
}

/// `{"writes": N, "streams": N}`: successful writes since the data was created, and open event streams.
fn stats(shared: &Shared, asked: &Asked) -> Result<Answer, Answer> {
    if asked.method != Method::GET {
        return Err(not_allowed());
    }
    let (writes, streams) = (shared.writer.writes(), shared.listeners.all().len());
    Ok(answer::ok(format!("{{\"writes\":{writes},\"streams\":{streams}}}")))
}

async fn rules(shared: &Shared, asked: &Asked, body: axum::body::Body) -> Result<Answer, Answer> {
    match asked.method {
        Method::GET => Ok(answer::ok(shared.rules_text())),
        Method::PUT => {
            let text = read_body(body, 1 << 20).await?;
            let rules = Rules::parse(&text).map_err(|reason| answer::bad_request(&reason))?;
            let stored = shared.writer.set_fact("rules", text.clone()).await;
            stored.map_err(|refused| answer::not_written(&refused))?;
            shared.set_rules(rules, text);
            Ok(answer::ok("{\"status\":\"ok\"}".to_owned()))
        }
        _ => Err(not_allowed()),
    }
}

pub(super) fn check_right(shared: &Shared, right: Right, path: &[String]) -> Result<(), Answer> {
    if shared.grants(right, path) { Ok(()) } else { Err(answer::denied()) }
}

pub(super) fn not_allowed() -> Answer {
    let mut answer = answer::error(StatusCode::METHOD_NOT_ALLOWED, "Only GET, PUT, PATCH, POST and DELETE are served");
    answer.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, PUT, PATCH, POST, DELETE"));
    answer
}
