//! A backend in this process and a bare HTTP client to it.

use std::{
    fmt::Write as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ebbtide::{
    model::time::{At, Clock},
    server::{Options, Server, Tuning},
};
use reqwest::{Method, Response};

/// Every look is one second later and draws other entropy, so ids and stamps are the same in every run.
#[derive(Default)]
pub struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn at(&self) -> At {
        At::test(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

pub fn options() -> Options {
    Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        data: None,
        seed: None,
        token: None,
        clock: Arc::new(TestClock::default()),
    }
}

pub struct Backend {
    pub server: Server,
    pub http: reqwest::Client,
}

impl Backend {
    pub async fn start() -> Self {
        Self::with(options(), Tuning::default()).await
    }

    pub async fn on(data: PathBuf) -> Self {
        Self::with(Options { data: Some(data), ..options() }, Tuning::default()).await
    }

    pub async fn with(options: Options, tuning: Tuning) -> Self {
        let server = Server::start_tuned(options, tuning).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(120)).build().unwrap();
        Self { server, http }
    }

    pub fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.server.address())
    }

    pub async fn send(&self, verb: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut request = self.http.request(verb.parse::<Method>().unwrap(), self.url(target)).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Reply::read(request.send().await.unwrap()).await
    }

    pub async fn get(&self, target: &str) -> String {
        let reply = self.send("GET", target, &[], "").await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body
    }

    pub async fn put(&self, target: &str, body: &str) {
        let reply = self.send("PUT", target, &[], body).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }

    /// Opens an event stream.
    pub async fn listen(&self, target: &str) -> Events {
        let request = self.http.get(self.url(target)).header("accept", "text/event-stream");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        Events { response, buffer: Vec::new() }
    }
}

pub struct Reply {
    pub status: u16,
    pub etag: Option<String>,
    pub body: String,
}

impl Reply {
    async fn read(response: Response) -> Self {
        let status = response.status().as_u16();
        let etag = response.headers().get("etag").map(|etag| etag.to_str().unwrap().to_owned());
        assert!(!response.headers().keys().any(|name| name.as_str().starts_with("access-control")), "no CORS");
        Self { status, etag, body: response.text().await.unwrap() }
    }
}

/// The events of an open stream.
pub struct Events {
    response: Response,
    buffer: Vec<u8>,
}

impl Events {
    /// The next event as `name data`; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let event = String::from_utf8(event).unwrap();
                let (name, data) = event.trim_end().split_once('\n').unwrap();
                let (name, data) = (name.strip_prefix("event: ").unwrap(), data.strip_prefix("data: ").unwrap());
                return Some(format!("{name} {data}"));
            }
            let chunk = tokio::time::timeout(Duration::from_secs(60), self.response.chunk());
            match chunk.await.expect("an event within a minute") {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                Ok(None) => return None,
                Err(error) => panic!("the stream broke: {error}"),
            }
        }
    }

    pub async fn expect(&mut self, wanted: &str) {
        assert_eq!(self.next().await.as_deref(), Some(wanted));
    }
}

/// What was asked and answered, as a person reads it.
#[derive(Default)]
pub struct Transcript(String);

impl Transcript {
    pub fn note(&mut self, text: &str) {
        writeln!(self.0, "\n# {text}").unwrap();
    }

    /// `request`: verb, target, then headers as `Name: value` lines, then the body after an empty line.
    pub async fn ask(&mut self, backend: &Backend, request: &str) -> Reply {
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let mut lines = head.lines();
        let (verb, target) = lines.next().unwrap().split_once(' ').unwrap();
        let headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").unwrap()).collect();
        let reply = backend.send(verb, target, &headers, body).await;
        let log = &mut self.0;
        write!(log, "\n> {verb} {target}").unwrap();
        headers.iter().for_each(|(name, value)| write!(log, "\n> {name}: {value}").unwrap());
        if !body.is_empty() {
            write!(log, "\n> {body}").unwrap();
        }
        write!(log, "\n< {}", reply.status).unwrap();
        reply.etag.iter().for_each(|etag| write!(log, "\n< ETag: {etag}").unwrap());
        reply.body.lines().for_each(|line| write!(log, "\n< {line}").unwrap());
        writeln!(log).unwrap();
        reply
    }

    pub fn check(self, name: &str) {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/wire"));
        settings.set_prepend_module_to_snapshot(false);
        settings.bind(|| insta::assert_snapshot!(name, self.0));
    }
}
