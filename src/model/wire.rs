//! What is asked of a backend and what came back, as values free of any protocol.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

use crate::model::{
    ids::{CollectionKey, RecordId, RecordKey, Revision},
    json::Pointer,
    op::{OpKind, Precondition},
    plan::UNKNOWN_REVISION,
    rtdb,
    time::Timestamp,
};

/// One conditional write. Built before the claim, stored by its hash with the claim, sent as it is, repeated as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct PushRequest {
    pub record: RecordKey,
    pub kind: OpKind,
    /// `None` for a delete.
    pub document: Option<Value>,
    pub precondition: Precondition,
}

/// A request as it is on the wire, but for its credentials: what is shown, planned and copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireRequest {
    pub method: String,
    pub url: String,
    /// The headers with a meaning for the request, in the order they are sent.
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
    /// Where the token goes, never the token.
    pub token: Option<TokenPlace>,
}

impl WireRequest {
    /// The value of a header; names in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A shell command that sends it. The token and a revision that is not known are taken from the environment.
    pub fn as_curl(&self) -> String {
        self.curl_with(&format!("curl -sS -i -X {}", self.method))
    }

    /// A shell command that reads the record's revision into `$REVISION`.
    pub fn as_curl_for_revision(&self) -> String {
        format!("REVISION=$({})", self.curl_with("curl -sS -o /dev/null -w '%header{etag}'"))
    }

    fn curl_with(&self, begin: &str) -> String {
        let mut parts = vec![begin.to_owned()];
        let token = self.token.as_ref();
        match token.filter(|token| token.in_query) {
            Some(token) => {
                let joint = if self.url.contains('?') { '&' } else { '?' };
                parts.push(format!("{}\"{joint}auth=${}\"", quoted(&self.url), token.variable));
            }
            None => parts.push(quoted(&self.url)),
        }
        if let Some(token) = token.filter(|token| !token.in_query) {
            parts.push(format!("-H \"authorization: Bearer ${}\"", token.variable));
        }
        for (name, value) in &self.headers {
            let header = format!("{name}: {value}");
            // Only our own placeholder may be expanded.
            let is_variable = value == UNKNOWN_REVISION;
            parts.push(if is_variable { format!("-H \"{header}\"") } else { format!("-H {}", quoted(&header)) });
        }
        if let Some(body) = &self.body {
            parts.push(format!("--data-binary {}", quoted(body)));
        }
        parts.join(" \\\n  ")
    }
}

/// Where a token goes, and the environment variable a copied command takes it from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenPlace {
    pub variable: String,
    /// As `auth=` in the query, else as `Authorization: Bearer`.
    pub in_query: bool,
}

/// Single quotes, as every POSIX shell reads them.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// What an answer to a write means (page 3, "What an answer means").
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Applied. `stored` is what the server now holds where it told (`None`: what we sent, or nothing for a delete).
    Accepted { revision: Option<Revision>, stored: Option<Value> },
    /// The precondition failed: somebody else was there, or the original of a repeat was applied.
    /// `current` is the server's present value; `None` where the record does not exist.
    PreconditionFailed { current: Option<Value>, revision: Option<Revision> },
    /// A delete or an update found nothing.
    Gone,
    /// Refused for good, with the server's words.
    Rejected { status: u16, message: String },
    /// The bytes of the request were never written: the op stays as it was.
    NotSent(Trouble),
    /// Written, no usable answer: it may or may not be applied.
    InDoubt(Trouble),
    /// The server said it did nothing and to come back later (429, 503).
    Later { status: u16, after: Option<Duration>, message: String },
    /// Credentials are needed or expired; or nobody is signed in, and `is_denied`: the backend's rules say no to anybody.
    /// `status` is `None` where no request was made.
    Unauthorized { status: Option<u16>, is_denied: bool, message: String },
    /// Something between us and the backend answered. Credentials must not be repeated to it.
    Portal(Trouble),
}

/// A failure below the meaning of an answer, with the link of the chain that broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    pub link: Link,
    pub message: String,
}

/// The chain from here to a backend that works, in order. Evidence names the first broken link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    Dns,
    Tcp,
    Tls,
    Http,
    /// The body was not what the backend speaks (HTML, truncated JSON).
    Shape,
    Auth,
}

impl Link {
    pub const CHAIN: [Link; 6] = [Self::Dns, Self::Tcp, Self::Tls, Self::Http, Self::Shape, Self::Auth];

    pub fn word(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Http => "http",
            Self::Shape => "shape",
            Self::Auth => "auth",
        }
    }
}

/// One record as a backend delivered it.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteRecord {
    pub id: RecordId,
    pub revision: Option<Revision>,
    /// The server's own text of the record (valid JSON), kept byte for byte.
    pub text: String,
}

/// What a page of a whole reading does with records whose server stamp went back.
///
/// Only a stamp tells: a content ETag says that two contents differ, never which of them came first.
#[derive(Debug, Clone, PartialEq)]
pub struct Stamps {
    /// The field the server stamps.
    pub field: Pointer,
    /// They are left out and handed back; otherwise they are written, and what was here goes to the vault.
    pub hold: bool,
}

impl Stamps {
    /// True where both carry a stamp, and the one from `there` is older than the one `here`.
    pub fn went_back(&self, here: &str, there: &str) -> bool {
        let stamp = |text: &str| {
            let document: Value = serde_json::from_str(text).ok()?;
            self.field.get(&document).filter(|stamp| stamp.is_number() || stamp.is_string()).cloned()
        };
        match (stamp(here), stamp(there)) {
            (Some(here), Some(there)) => {
                here.is_number() == there.is_number() && rtdb::value_order(&there, &here).is_lt()
            }
            _ => false,
        }
    }
}

/// One change of a pull page or a live feed.
#[derive(Debug, Clone, PartialEq)]
pub enum RemoteChange {
    Upsert(RemoteRecord),
    Tombstone { id: RecordId },
}

impl RemoteChange {
    pub fn id(&self) -> &RecordId {
        match self {
            Self::Upsert(record) => &record.id,
            Self::Tombstone { id } => id,
        }
    }
}

/// The header by which the embedded backend names its database: made with it, kept in its file.
pub const DATABASE_HEADER: &str = "x-ebbtide-database";

/// The facts of one request, whatever it was for: they feed connectivity, rates and the clock offset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exchange {
    pub round_trip: Option<Duration>,
    /// Of bodies; the heads beside them.
    pub bytes_up: u64,
    pub bytes_down: u64,
    pub head_bytes_up: u64,
    pub head_bytes_down: u64,
    /// The server's `Date` header minus our wall clock when the answer came, in milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// Until when a server without a `Date` asked to wait (`Retry-After`), by its own clock.
    pub retry_at: Option<Timestamp>,
    pub status: Option<u16>,
    /// Which database answered, where the server says so: the embedded one does.
    pub server: Option<String>,
    pub finished_at: Timestamp,
}

/// Why a read gave nothing usable.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadError {
    Unreachable(Trouble),
    Unauthorized {
        message: String,
    },
    Portal(Trouble),
    Later {
        status: u16,
        after: Option<Duration>,
        message: String,
    },
    /// The server refuses this read (400, 404, missing index …): asking again will not help.
    Refused {
        status: u16,
        message: String,
    },
}

/// The record of one collection as the backend holds it now, with its revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Current {
    pub collection: CollectionKey,
    pub id: RecordId,
    pub value: Option<Value>,
    pub revision: Option<Revision>,
}
