//! Answers and their error bodies.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use bytes::Bytes;

use crate::server::store::{Refused, Stop};

pub(super) type Answer = Response<Body>;

pub(super) const DENIED: &str = "Permission denied";

pub(super) fn json(status: StatusCode, body: impl Into<Body>) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

pub(super) fn ok(text: String) -> Answer {
    json(StatusCode::OK, Bytes::from(text))
}

pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = json(status, Body::empty());
    answer.headers_mut().remove(header::CONTENT_TYPE);
    answer
}

pub(super) fn with_etag(mut answer: Answer, etag: Option<&str>) -> Answer {
    if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
        answer.headers_mut().insert(header::ETAG, etag);
    }
    answer
}

pub(super) fn error(status: StatusCode, message: &str) -> Answer {
    json(status, Bytes::from(format!("{{\n  \"error\" : {}\n}}\n", serde_json::Value::from(message))))
}

pub(super) fn bad_request(message: &str) -> Answer {
    error(StatusCode::BAD_REQUEST, message)
}

pub(super) fn denied() -> Answer {
    error(StatusCode::UNAUTHORIZED, DENIED)
}

/// A write that failed here: 503 promises that nothing happened, 500 promises nothing.
pub(super) fn not_written(refused: &Refused) -> Answer {
    let (status, reason) = match refused {
        Refused::Disk(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason.as_str()),
        Refused::Unknown(reason) => (StatusCode::INTERNAL_SERVER_ERROR, reason.as_str()),
        Refused::Mismatch { .. } => (StatusCode::PRECONDITION_FAILED, "the precondition failed"),
    };
    tracing::warn!(%status, reason, "a write failed");
    error(status, &format!("The write could not be stored: {reason}"))
}

pub(super) fn not_read(stop: &Stop) -> Answer {
    tracing::warn!(?stop, "a read failed");
    error(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
}
