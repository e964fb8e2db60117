//! One way to send a request: deadlines by construction, no redirect on a write, a cap on every answer, and the facts of
//! the exchange beside whatever came of it.
//!
//! reqwest alone would wait for ever for a server that accepts and never answers, would follow a redirect with the body
//! and custom headers to another host, and would print the URL with its `auth=` in every error. None of its errors
//! leaves this file.
//!
//! ## Why no retries
//!
//! reqwest repeats requests a HTTP/2 server says it did not process; here retry is a decision of `sync`, which counts.

use std::{
    error::Error as _,
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, header};
use url::Url;

use crate::{
    model::{
        source::Deadlines,
        time::{At, Clock, Timestamp},
        wire::{DATABASE_HEADER, Exchange, Link, Trouble},
    },
    remote::credentials::Token,
};

/// How many same-origin redirects a read follows.
const MAX_REDIRECTS: usize = 5;

/// A request without credentials; they are added at the moment of sending.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<String>,
    pub total: Duration,
    /// The most bytes of an (unpacked) answer that are accepted.
    pub cap: usize,
}

/// An answer, complete or broken off.
#[derive(Debug)]
pub(crate) struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    /// `Err`: the body broke off, was too large or could not be unpacked.
    pub body: Result<Vec<u8>, Trouble>,
    pub peer: Option<SocketAddr>,
    /// When the headers came, by our clock: the reference of `Retry-After` where there is no `Date`.
    pub received_at: Timestamp,
}

/// No answer.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// False where not a byte of the request was written.
    pub began: bool,
    pub trouble: Trouble,
}

pub(crate) struct Http {
    clients: OnceLock<Result<Clients, String>>,
    pub(crate) deadlines: Deadlines,
    pub(crate) clock: Arc<dyn Clock>,
    origin: Url,
}

struct Clients {
    ordinary: reqwest::Client,
    streaming: reqwest::Client,
}

impl Http {
    /// For one origin. The clients are built with the first request: reading the platform's certificates takes longer
    /// than a first frame may.
    pub(crate) fn new(origin: Url, deadlines: Deadlines, clock: Arc<dyn Clock>) -> Self {
        Self { clients: OnceLock::new(), deadlines, clock, origin }
    }

    /// Sends once and follows nothing: for writes.
    pub(crate) async fn write(&self, call: Call, token: Option<&Token>) -> (Result<Reply, Failure>, Exchange) {
        self.send(call, token).await
    }

    /// Sends and follows redirects within the origin, authorised anew each time: for reads.
    pub(crate) async fn read(&self, mut call: Call, token: Option<&Token>) -> (Result<Reply, Failure>, Exchange) {
        let mut sum = Exchange::default();
        for _ in 0..MAX_REDIRECTS {
            let (sent, exchange) = self.send(call.clone(), token).await;
            sum = joined(&sum, exchange);
            match sent {
                Ok(reply) => match next_hop(&call.url, reply.status, &reply.headers, same_origin) {
                    Some(url) => call.url = url,
                    None => return (Ok(reply), sum),
                },
                Err(failure) => return (Err(failure), sum),
            }
        }
        let message = "redirected in circles".to_owned();
        (Err(Failure { began: true, trouble: Trouble { link: Link::Http, message } }), sum)
    }

    /// Opens a stream: the answer with its body still to come, or the whole reply where it is not a success.
    pub(crate) async fn open(
        &self,
        mut call: Call,
        token: Option<&Token>,
    ) -> (Result<Result<reqwest::Response, Reply>, Failure>, Exchange) {
        let mut sum = Exchange::default();
        for _ in 0..MAX_REDIRECTS {
            let started = self.clock.at();
            let client = match self.clients() {
                Ok(clients) => &clients.streaming,
                Err(failure) => return (Err(failure), sum),
            };
            let up = Up::of(&call, token);
            let request = prepare(client, call.clone(), token);
            let opened = tokio::time::timeout(call.total, request.send()).await;
            let exchange = self.exchange(up, &started, opened.as_ref().ok().and_then(|sent| sent.as_ref().ok()));
            sum = joined(&sum, exchange);
            let response = match opened {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return (Err(failure(&error)), sum),
                Err(_) => {
                    let message = format!("no answer within {}", seconds(call.total));
                    return (Err(Failure { began: true, trouble: Trouble { link: Link::Http, message } }), sum);
                }
            };
            match next_hop(&call.url, response.status().as_u16(), response.headers(), same_service) {
                Some(url) => call.url = url,
                None if response.status().is_success() => return (Ok(Ok(response)), sum),
                None => {
                    let reply = self.finish(response, call.cap, call.total).await;
                    return (Ok(Err(reply)), sum);
                }
            }
        }
        let message = "redirected in circles".to_owned();
        (Err(Failure { began: true, trouble: Trouble { link: Link::Http, message } }), sum)
    }

    async fn send(&self, call: Call, token: Option<&Token>) -> (Result<Reply, Failure>, Exchange) {
        let started = self.clock.at();
        let (up, total, cap) = (Up::of(&call, token), call.total, call.cap);
        let client = match self.clients() {
            Ok(clients) => &clients.ordinary,
            Err(failure) => {
                return (Err(failure), self.exchange(Up::default(), &started, None));
            }
        };
        match prepare(client, call, token).timeout(total).send().await {
            Ok(response) => {
                let mut exchange = self.exchange(up, &started, Some(&response));
                let reply = self.finish(response, cap, total).await;
                exchange.bytes_down = reply.body.as_ref().map_or(0, |body| body.len() as u64);
                exchange.finished_at = self.clock.at().wall;
                (Ok(reply), exchange)
            }
            Err(error) => {
                let failure = failure(&error);
                let up = if failure.began { up } else { Up::default() };
                (Err(failure), self.exchange(up, &started, None))
            }
        }
    }

    /// The facts at the moment the headers came (or nothing did).
    fn exchange(&self, up: Up, started: &At, response: Option<&reqwest::Response>) -> Exchange {
        let now = self.clock.at();
        // An answer from a cache carries an old date.
        let fresh = response.filter(|response| !response.headers().contains_key(header::AGE));
        let date = fresh.and_then(|response| date_of(response.headers()));
        Exchange {
            round_trip: response.map(|_| now.mono.saturating_sub(started.mono)),
            bytes_up: up.body,
            bytes_down: 0,
            head_bytes_up: up.head,
            head_bytes_down: response.map_or(0, |response| STATUS_LINE + head_size(response.headers())),
            // `Date` has whole seconds: the middle of the second is the best guess.
            clock_offset_ms: date.map(|date| date.0 + 500 - now.wall.0),
            retry_at: response.and_then(|response| undated_wait(response.headers())),
            status: response.map(|response| response.status().as_u16()),
            server: response.and_then(|response| server_of(response.headers())),
            finished_at: now.wall,
        }
    }

    async fn finish(&self, mut response: reqwest::Response, cap: usize, within: Duration) -> Reply {
        let received_at = self.clock.at().wall;
        let (status, peer) = (response.status().as_u16(), response.remote_addr());
        let headers = std::mem::take(response.headers_mut());
        let expected = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        let too_large = || {
            let message = format!("the answer is larger than {} MiB", cap >> 20);
            Err(Trouble { link: Link::Shape, message })
        };
        let collect = async {
            // An answer that announces so much is not begun.
            if expected > cap {
                return too_large();
            }
            let mut body = Vec::with_capacity(expected.min(64 << 20));
            loop {
                match response.chunk().await {
                    Ok(Some(chunk)) if body.len() + chunk.len() > cap => return too_large(),
                    Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                    Ok(None) => return Ok(body),
                    Err(error) => return Err(failure(&error).trouble),
                }
            }
        };
        let body = tokio::time::timeout(within, collect).await.unwrap_or_else(|_| {
            Err(Trouble {
                link: Link::Http,
                message: format!("the answer was not complete within {}", seconds(within)),
            })
        });
        Reply { status, headers, body, peer, received_at }
    }

    fn clients(&self) -> Result<&Clients, Failure> {
        let built = self.clients.get_or_init(|| {
            let build = |read| build(&self.origin, &self.deadlines, read).map_err(|error| root_cause(&error));
            Ok(Clients { ordinary: build(self.deadlines.read)?, streaming: build(self.deadlines.watchdog())? })
        });
        built.as_ref().map_err(|message| Failure {
            began: false,
            trouble: Trouble { link: Link::Tls, message: format!("the HTTP client could not be set up: {message}") },
        })
    }
}

/// The one builder. `read` is the longest silence.
fn build(origin: &Url, deadlines: &Deadlines, read: Duration) -> reqwest::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("ebbtide/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(deadlines.connect)
        .read_timeout(read)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .tcp_nodelay(true)
        .pool_idle_timeout(Duration::from_secs(45));
    if is_loopback(origin) {
        builder = builder.no_proxy();
    }
    if origin.scheme() == "http" {
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

fn prepare(client: &reqwest::Client, call: Call, token: Option<&Token>) -> reqwest::RequestBuilder {
    let Call { method, mut url, mut headers, body, .. } = call;
    if let Some(token) = token {
        token.sign(&mut url);
        if let Some(value) = token.header() {
            headers.insert(header::AUTHORIZATION, value);
        }
    }
    let request = client.request(method, url).headers(headers);
    match body {
        Some(body) => request.body(body),
        None => request,
    }
}

/// Where a redirect leads, if it may be followed.
fn next_hop(from: &Url, status: u16, headers: &HeaderMap, allowed: fn(&Url, &Url) -> bool) -> Option<Url> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let to = from.join(headers.get(header::LOCATION)?.to_str().ok()?).ok()?;
    allowed(from, &to).then_some(to)
}

fn same_origin(from: &Url, to: &Url) -> bool {
    from.origin() == to.origin()
}

/// Google moves a stream from the project's name to the machine that serves it (`s-usc1c-nss-200.firebaseio.com`): over
/// TLS and within these two domains of Google's that is the same service. Nobody else gets credentials.
fn same_service(from: &Url, to: &Url) -> bool {
    let google = |url: &Url| {
        url.host_str().is_some_and(|host| host.ends_with(".firebaseio.com") || host.ends_with(".firebasedatabase.app"))
    };
    same_origin(from, to) || (from.scheme() == "https" && to.scheme() == "https" && google(from) && google(to))
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// The embedded backend names its database in every answer; others say nothing of the kind.
fn server_of(headers: &HeaderMap) -> Option<String> {
    let name = headers.get(DATABASE_HEADER)?.to_str().ok()?;
    (!name.is_empty() && name.len() <= 64).then(|| name.to_owned())
}

pub(crate) fn date_of(headers: &HeaderMap) -> Option<Timestamp> {
    instant_in(headers.get(header::DATE)?)
}

/// The end of a wait given as a date, where the answer has no date to count from.
fn undated_wait(headers: &HeaderMap) -> Option<Timestamp> {
    if headers.contains_key(header::DATE) {
        return None;
    }
    instant_in(headers.get(header::RETRY_AFTER)?)
}

/// A date as HTTP writes it.
pub(crate) fn instant_in(value: &HeaderValue) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(value.to_str().ok()?.trim()).ok()?;
    let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp(i64::try_from(since.as_millis()).ok()?))
}

/// `HTTP/1.1 200 OK` and its line end, and the empty line after the headers.
const STATUS_LINE: u64 = 19;
/// What the client adds by itself: version, host, user agent, accepted encodings.
const OWN_LINES: u64 = 80;

/// What a request weighs on its way up.
#[derive(Clone, Copy, Default)]
struct Up {
    head: u64,
    body: u64,
}

impl Up {
    fn of(call: &Call, token: Option<&Token>) -> Self {
        let query = call.url.query().map_or(0, |query| query.len() + 1);
        let line = call.method.as_str().len() + call.url.path().len() + query;
        Self {
            head: line as u64 + OWN_LINES + head_size(&call.headers) + token.map_or(0, Token::size),
            body: call.body.as_ref().map_or(0, |body| body.len() as u64),
        }
    }
}

fn head_size(headers: &HeaderMap) -> u64 {
    headers.iter().map(|(name, value)| (name.as_str().len() + value.len() + 4) as u64).sum()
}

pub(crate) fn joined(sum: &Exchange, last: Exchange) -> Exchange {
    Exchange {
        bytes_up: sum.bytes_up + last.bytes_up,
        bytes_down: sum.bytes_down + last.bytes_down,
        head_bytes_up: sum.head_bytes_up + last.head_bytes_up,
        head_bytes_down: sum.head_bytes_down + last.head_bytes_down,
        ..last
    }
}

/// What a reqwest error says of the chain, without its URL.
pub(crate) fn failure(error: &reqwest::Error) -> Failure {
    let began = !(error.is_dns() || error.is_connect() || error.is_builder());
    let trouble = |link, message: String| Failure { began, trouble: Trouble { link, message } };
    if error.is_dns() {
        return trouble(Link::Dns, "name not resolved".to_owned());
    }
    if let Some(tls) = tls_error(error) {
        return trouble(Link::Tls, tls);
    }
    match (began, io_kind(error)) {
        (false, _) if error.is_timeout() => trouble(Link::Tcp, "no connection within the deadline".to_owned()),
        (false, Some(kind)) => trouble(Link::Tcp, kind.to_string()),
        (false, None) => trouble(Link::Tcp, root_cause(error)),
        (true, _) if error.is_timeout() => trouble(Link::Http, "no answer within the deadline".to_owned()),
        (true, Some(kind)) if kind != io::ErrorKind::Other => trouble(Link::Http, kind.to_string()),
        (true, _) if error.is_decode() => trouble(Link::Shape, root_cause(error)),
        (true, _) => trouble(Link::Http, root_cause(error)),
    }
}

/// Every error below, also those that `io::Error` hides inside itself.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let mut at = error.source();
    std::iter::from_fn(move || {
        let this = at?;
        at = match this.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
            None => this.source(),
        };
        Some(this)
    })
}

fn tls_error(error: &reqwest::Error) -> Option<String> {
    causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()).map(ToString::to_string)
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind).last()
}

fn root_cause(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(|| "the request failed".to_owned(), ToString::to_string)
}

pub(crate) fn seconds(span: Duration) -> String {
    match span.subsec_millis() {
        0 => format!("{} s", span.as_secs()),
        _ => format!("{} ms", span.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn redirects_stay_within_the_origin_and_streams_within_the_service() {
        let mut headers = HeaderMap::new();
        let from = url("https://a.firebaseio.com/tasks.json");
        for (to, read, stream) in [
            ("/b.json", true, true),
            ("https://a.firebaseio.com/b.json", true, true),
            ("http://a.firebaseio.com/b.json", false, false),
            ("https://s-usc1c-nss-200.firebaseio.com/tasks.json?ns=a", false, true),
            ("https://evil.test/tasks.json", false, false),
            ("https://firebaseio.com.evil.test/tasks.json", false, false),
            ("https://a.firebaseio.com:8443/b.json", false, true),
        ] {
            headers.insert(header::LOCATION, to.parse().unwrap());
            assert_eq!(next_hop(&from, 307, &headers, same_origin).is_some(), read, "{to}");
            assert_eq!(next_hop(&from, 307, &headers, same_service).is_some(), stream, "{to}");
        }
        assert_eq!(next_hop(&from, 200, &headers, same_origin), None);
    }

    #[test]
    fn loopback_is_recognised_in_every_spelling() {
        for text in
            ["http://127.0.0.1:9", "http://127.9.9.9", "http://[::1]:80", "http://localhost", "http://x.localhost"]
        {
            assert!(is_loopback(&url(text)), "{text}");
        }
        for text in ["http://128.0.0.1", "http://localhost.test", "http://[::2]", "http://10.0.0.1"] {
            assert!(!is_loopback(&url(text)), "{text}");
        }
    }
}
