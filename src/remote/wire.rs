//! What an answer means: the one table of page 3, from (phase, status, kind of body) to a value `sync` can act on.
//!
//! ```text
//!  status            body            class           a write              a read
//!  any 3xx, 407, 511 any             portal          Portal               Portal
//!  429 503           any             later           Later                Later
//!  408, other 5xx    any             ambiguous       InDoubt              Unreachable
//!  any other         HTML            portal          Portal               Portal       (413, 414, 431: refused)
//!  401 403           "denied"+token  refused         Rejected             Refused
//!  401 403           else            unauthorized    Unauthorized         Unauthorized (403 with a token: refused)
//!  409 412           JSON            precondition    PreconditionFailed   Refused
//!  404 410           any             gone | refused  Gone | Rejected      Refused      (as the backend uses them)
//!  other 4xx         any             refused         Rejected             Refused
//!  2xx               JSON            done            Accepted             the body
//!  2xx 409 412       broken, other   ambiguous       InDoubt              Unreachable
//! ```

use http::{HeaderMap, header};
use serde_json::Value;
use std::time::Duration;

use crate::{
    model::wire::{Answer, Link, ReadError, Trouble},
    remote::http::{Failure, Reply, date_of, instant_in},
};

/// The longest wait a server can ask for.
const MAX_LATER: Duration = Duration::from_secs(86_400);

/// What the backend at hand means where HTTP leaves it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// 404 and 410 name a missing record; otherwise they are refusals (Firebase: an unknown database).
    pub missing_record_is_404: bool,
    /// The request carried credentials: "denied" then means denied for good, not "who are you".
    pub authorised: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Done,
    Precondition,
    Gone,
    Unauthorized,
    Refused,
    Later,
    Ambiguous,
    Portal,
}

/// The table. Bodies are judged no deeper than their first byte here; who needs JSON finds out by parsing it.
pub(crate) fn class(reply: &Reply, dialect: Dialect) -> Class {
    match reply.status {
        300..=399 | 407 | 511 => Class::Portal,
        429 | 503 => Class::Later,
        408 | 500..=599 => Class::Ambiguous,
        413 | 414 | 431 => Class::Refused,
        _ if is_html(reply) => Class::Portal,
        401 if is_denied(reply) && dialect.authorised => Class::Refused,
        403 if dialect.authorised || !is_denied(reply) => Class::Refused,
        401 | 403 => Class::Unauthorized,
        _ if reply.body.is_err() && matches!(reply.status, 200..=299 | 409 | 412) => Class::Ambiguous,
        409 | 412 => Class::Precondition,
        404 | 410 if dialect.missing_record_is_404 => Class::Gone,
        400..=499 => Class::Refused,
        200..=299 => Class::Done,
        _ => Class::Ambiguous,
    }
}

/// The answer to a write; `accept` and `refuse` read the two bodies only the backend's own client understands (2xx and
/// failed precondition) and return `Err` where the body is not what it must be.
pub(crate) fn answer(
    sent: Result<&Reply, &Failure>,
    dialect: Dialect,
    accept: impl FnOnce(&Reply) -> Result<Answer, String>,
    refuse: impl FnOnce(&Reply) -> Result<Answer, String>,
) -> Answer {
    let reply = match sent {
        Ok(reply) => reply,
        Err(Failure { began: false, trouble }) => return Answer::NotSent(trouble.clone()),
        Err(Failure { began: true, trouble }) => return Answer::InDoubt(trouble.clone()),
    };
    let misshapen = |message| Answer::InDoubt(Trouble { link: Link::Shape, message });
    match class(reply, dialect) {
        Class::Done => accept(reply).unwrap_or_else(misshapen),
        Class::Precondition => refuse(reply).unwrap_or_else(misshapen),
        Class::Gone => Answer::Gone,
        Class::Unauthorized => {
            Answer::Unauthorized { status: Some(reply.status), is_denied: is_denied(reply), message: words(reply) }
        }
        Class::Refused => Answer::Rejected { status: reply.status, message: words(reply) },
        Class::Later => Answer::Later { status: reply.status, after: retry_after(reply), message: words(reply) },
        Class::Ambiguous => Answer::InDoubt(trouble(reply)),
        Class::Portal => Answer::Portal(trouble(reply)),
    }
}

/// The body of a successful read, as text.
pub(crate) fn text(sent: Result<Reply, Failure>, dialect: Dialect) -> Result<String, ReadError> {
    let reply = sent.map_err(|failure| ReadError::Unreachable(failure.trouble))?;
    match class(&reply, dialect) {
        Class::Done => {
            let body = reply.body.map_err(ReadError::Unreachable)?;
            String::from_utf8(body).map_err(|_| misshapen("the answer is not valid UTF-8"))
        }
        _ => Err(read_error(&reply, dialect)),
    }
}

/// What an answer that is not a success means to a read.
pub(crate) fn read_error(reply: &Reply, dialect: Dialect) -> ReadError {
    match class(reply, dialect) {
        Class::Unauthorized => ReadError::Unauthorized { message: words(reply) },
        Class::Later => ReadError::Later { status: reply.status, after: retry_after(reply), message: words(reply) },
        Class::Portal => ReadError::Portal(trouble(reply)),
        Class::Precondition | Class::Gone | Class::Refused => {
            ReadError::Refused { status: reply.status, message: words(reply) }
        }
        Class::Done | Class::Ambiguous => ReadError::Unreachable(trouble(reply)),
    }
}

pub(crate) fn misshapen(message: impl Into<String>) -> ReadError {
    ReadError::Unreachable(Trouble { link: Link::Shape, message: message.into() })
}

/// `Retry-After` in either form, at most a day. A date counts from the server's own `Date` where there is one, else from
/// our clock; `sync` may know better how far that is from the server's ([`Exchange::retry_at`]).
///
/// [`Exchange::retry_at`]: crate::model::wire::Exchange::retry_at
fn retry_after(reply: &Reply) -> Option<Duration> {
    let asked = reply.headers.get(header::RETRY_AFTER)?;
    let after = match asked.to_str().ok()?.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => instant_in(asked)?.since(date_of(&reply.headers).unwrap_or(reply.received_at)),
    };
    Some(after.min(MAX_LATER))
}

/// What broke, of an answer that is no use.
fn trouble(reply: &Reply) -> Trouble {
    if let Err(trouble) = &reply.body
        && (200..=299).contains(&reply.status)
    {
        return trouble.clone();
    }
    let status = reply.status;
    match status {
        300..=399 => Trouble { link: Link::Http, message: format!("{status}, sent on to {}", target(&reply.headers)) },
        511 => Trouble { link: Link::Http, message: "511, the network wants a login".to_owned() },
        407 => Trouble { link: Link::Http, message: "407, a proxy wants a login".to_owned() },
        400.. => {
            let said = words(reply);
            let message = if said.starts_with(&status.to_string()) { said } else { format!("{status}: {said}") };
            Trouble { link: if is_html(reply) && status < 500 { Link::Shape } else { Link::Http }, message }
        }
        _ if is_html(reply) => Trouble { link: Link::Shape, message: "a web page came where data was due".to_owned() },
        _ => Trouble { link: Link::Shape, message: format!("{status}, with a body that is not data") },
    }
}

/// Scheme and host of a redirect only: the rest may hold somebody's secrets.
fn target(headers: &HeaderMap) -> String {
    let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    match location.map(url::Url::parse) {
        Some(Ok(url)) => format!("`{}`", url.origin().ascii_serialization()),
        Some(Err(_)) => "another path".to_owned(),
        None => "nowhere".to_owned(),
    }
}

/// The server's own words, at most 300 characters: the `error` of its JSON, else the start of its text.
pub(crate) fn words(reply: &Reply) -> String {
    let body = reply.body.as_deref().unwrap_or_default();
    let told = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(members)) => {
            let said = ["error", "message", "reason"].iter().find_map(|name| members.get(*name));
            said.map(|said| match said {
                Value::String(text) => text.clone(),
                Value::Object(inner) if inner.get("message").is_some_and(Value::is_string) => {
                    inner["message"].as_str().unwrap_or_default().to_owned()
                }
                other => other.to_string(),
            })
        }
        Ok(Value::String(text)) => Some(text),
        Ok(_) => None,
        Err(_) if is_html(reply) => None,
        Err(_) => Some(String::from_utf8_lossy(&body[..body.len().min(2_000)]).trim().to_owned()),
    };
    let reason = http::StatusCode::from_u16(reply.status).ok().and_then(|status| status.canonical_reason());
    match told.filter(|text| !text.is_empty()) {
        Some(text) => text.chars().take(300).collect(),
        None => format!("{} {}", reply.status, reason.unwrap_or("without a word")),
    }
}

fn is_html(reply: &Reply) -> bool {
    let by_type = reply.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if by_type.is_some_and(|kind| kind.to_ascii_lowercase().contains("html")) {
        return true;
    }
    let body = reply.body.as_deref().unwrap_or_default();
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<')
}

/// The backend's own "permission denied" (rules), as against missing or expired credentials.
fn is_denied(reply: &Reply) -> bool {
    let said = words(reply).to_ascii_lowercase().replace('_', " ");
    said.contains("permission denied")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;
    use std::fmt::Write as _;

    const JSON: &str = "application/json; charset=utf-8";
    const HTML: &str = "text/html";
    const DENIED: &str = r#"{"error":"Permission denied"}"#;

    fn reply(status: u16, kind: &str, headers: &[(&'static str, &str)], body: &str) -> Reply {
        let mut map = HeaderMap::new();
        map.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let body = match body {
            "<cut>" => Err(Trouble { link: Link::Http, message: "the connection broke".to_owned() }),
            _ => Ok(body.as_bytes().to_vec()),
        };
        Reply { status, headers: map, body, peer: None, received_at: Timestamp(0) }
    }

    fn firebase(authorised: bool) -> Dialect {
        Dialect { missing_record_is_404: false, authorised }
    }

    fn write(reply: &Reply, dialect: Dialect) -> Answer {
        let parsed = |reply: &Reply| serde_json::from_slice::<Value>(reply.body.as_deref().unwrap_or_default());
        answer(
            Ok(reply),
            dialect,
            |reply| match parsed(reply) {
                Ok(_) => Ok(Answer::Accepted { revision: None, stored: None }),
                Err(_) => Err("the answer is not JSON".to_owned()),
            },
            |reply| match parsed(reply) {
                Ok(value) => Ok(Answer::PreconditionFailed { current: Some(value), revision: None }),
                Err(_) => Err("the answer is not JSON".to_owned()),
            },
        )
    }

    fn read(reply: Reply, dialect: Dialect) -> Result<String, ReadError> {
        text(Ok(reply), dialect)
    }

    #[test]
    fn the_table_says_what_every_answer_means() {
        let words = r#"{"error":"told why"}"#;
        type Row<'a> = (&'a str, u16, &'a str, &'a [(&'static str, &'a str)], &'a str);
        let rows: &[Row<'_>] = &[
            ("data", 200, JSON, &[], r#"{"a":1}"#),
            ("cut off", 200, JSON, &[], "<cut>"),
            ("half a document", 200, JSON, &[], r#"{"a":"#),
            ("a login page", 200, HTML, &[], "<html>log in</html>"),
            ("a login page that lies about its type", 200, JSON, &[], "\u{feff} <!doctype html>"),
            ("plain chatter", 200, "text/plain", &[], "welcome"),
            ("redirect elsewhere", 302, HTML, &[("location", "http://portal.test/login?s=secret")], ""),
            ("bad request", 400, JSON, &[], words),
            ("unauthorised", 401, JSON, &[], r#"{"error":"Auth token is expired"}"#),
            ("denied by rules", 401, JSON, &[], DENIED),
            ("forbidden", 403, JSON, &[], words),
            ("forbidden page", 403, HTML, &[], "<html>"),
            ("unknown", 404, JSON, &[], r#"{"error":"404 Not Found"}"#),
            ("wrong method", 405, JSON, &[], words),
            ("proxy login", 407, HTML, &[], "<html>"),
            ("request timeout", 408, JSON, &[], ""),
            ("conflict", 409, JSON, &[], r#"{"a":2}"#),
            ("gone", 410, JSON, &[], words),
            ("precondition", 412, JSON, &[], r#"{"a":2}"#),
            ("precondition, cut off", 412, JSON, &[], "<cut>"),
            ("too large", 413, HTML, &[], "<html>"),
            ("media type", 415, JSON, &[], words),
            ("unprocessable", 422, JSON, &[], words),
            ("too many, in 7 s", 429, JSON, &[("retry-after", "7")], words),
            ("server error", 500, JSON, &[], words),
            ("bad gateway", 502, HTML, &[], "<html>"),
            (
                "unavailable until a date",
                503,
                JSON,
                &[("retry-after", "Thu, 01 Jan 1970 00:01:00 GMT"), ("date", "Thu, 01 Jan 1970 00:00:20 GMT")],
                words,
            ),
            ("unavailable", 503, HTML, &[], "<html>"),
            ("gateway timeout", 504, JSON, &[], ""),
            ("network login", 511, HTML, &[], "<html>"),
        ];
        let mut table = String::new();
        for (name, status, kind, headers, body) in rows {
            let reply = reply(*status, kind, headers, body);
            let _ = writeln!(table, "{status} {name}");
            let _ = writeln!(table, "    write: {:?}", write(&reply, firebase(true)));
            if write(&reply, firebase(false)) != write(&reply, firebase(true)) {
                let _ = writeln!(table, "    write without credentials: {:?}", write(&reply, firebase(false)));
            }
            let _ = writeln!(table, "    read: {:?}", read(reply, firebase(true)));
        }
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/wire"));
        settings.set_prepend_module_to_snapshot(false);
        settings.bind(|| insta::assert_snapshot!("remote_answer_table", table));
    }

    #[test]
    fn what_was_never_written_is_not_sent_and_all_else_is_in_doubt() {
        let trouble = Trouble { link: Link::Tcp, message: "connection refused".to_owned() };
        let judge = |began| {
            let failure = Failure { began, trouble: trouble.clone() };
            answer(Err(&failure), firebase(true), |_| unreachable!(), |_| unreachable!())
        };
        assert_eq!(judge(false), Answer::NotSent(trouble.clone()));
        assert_eq!(judge(true), Answer::InDoubt(trouble.clone()));
    }

    #[test]
    fn a_backend_that_means_a_record_by_404_says_gone() {
        let dialect = Dialect { missing_record_is_404: true, authorised: true };
        assert_eq!(write(&reply(404, JSON, &[], "{}"), dialect), Answer::Gone);
    }

    #[test]
    fn a_wait_is_never_longer_than_a_day_and_never_negative() {
        let later = |value| retry_after(&reply(503, JSON, &[("retry-after", value)], ""));
        assert_eq!(later("99999999999"), Some(MAX_LATER));
        assert_eq!(later("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(later("soon"), None);
    }
}
