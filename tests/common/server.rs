//! The embedded backend as its own process, the way users run it, and a plain HTTP client that is not ours.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

/// A running `ebbtide serve`; ended (SIGTERM) and waited for when dropped.
pub struct Serve {
    child: Child,
    pub url: String,
}

impl Serve {
    /// Starts it on a free port (0) or a given one and waits for the URL on its first line.
    pub fn start(port: u16, data: &Path) -> Self {
        let mut command = Command::new(super::program());
        command.arg("serve").arg("--listen").arg(format!("127.0.0.1:{port}")).arg("--data").arg(data);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("serve starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("serve prints its URL");
        let url = line.trim().to_owned();
        assert!(url.starts_with("http://"), "serve said {line:?}");
        Self { child, url }
    }

    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://").trim_end_matches('/')
    }

    pub fn port(&self) -> u16 {
        self.address().rsplit(':').next().and_then(|port| port.parse().ok()).expect("the URL has a port")
    }

    /// `GET path`, as JSON.
    pub fn get(&self, path: &str) -> Value {
        let (status, body) = self.request("GET", path, "");
        assert_eq!(status, 200, "GET {path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("GET {path}: {error}: {body}"))
    }

    pub fn put(&self, path: &str, value: &Value) {
        let (status, body) = self.request("PUT", path, &value.to_string());
        assert_eq!(status, 200, "PUT {path}: {body}");
    }

    /// One request on a connection of its own, HTTP/1.0, so that the body ends with the connection.
    pub fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address()).expect("serve listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout can be set");
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Length: {length}\r\n\r\n{body}",
            self.address()
        )
        .expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("answered");
        let answer = String::from_utf8(answer).expect("UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    /// Follows the changes below a path as the server streams them, on a thread, until the connection ends.
    pub fn listen(&self, path: &str) -> std::sync::mpsc::Receiver<Value> {
        let mut stream = TcpStream::connect(self.address()).expect("serve listens");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n", self.address())
            .expect("sent");
        let (sent, events) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut event = String::new();
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if let Some(name) = line.strip_prefix("event: ") {
                    event = name.to_owned();
                } else if let Some(data) = line.strip_prefix("data: ")
                    && matches!(event.as_str(), "put" | "patch")
                    && let Ok(value) = serde_json::from_str(data)
                    && sent.send(value).is_err()
                {
                    return;
                }
            }
        });
        events
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
