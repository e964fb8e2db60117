//! A directory of its own for each test, and the binary run in it. Paths are relative, so that what is printed is the
//! same everywhere.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::Value;

pub struct Place {
    dir: tempfile::TempDir,
}

/// What one run gave.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A configuration of one source with two collections, on a port nothing listens on.
pub const CONFIG: &str = "\
[[source]]
name = \"office\"
kind = \"firebase\"
url = \"http://127.0.0.1:1/\"

[[source.collection]]
name = \"tasks\"
columns = [\"title\", \"status\"]

[[source.collection]]
name = \"people\"
";

impl Place {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn configured() -> Self {
        let place = Self::new();
        place.write("config.toml", CONFIG);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ebbtide"));
        command.current_dir(self.dir.path()).env_clear().env("HOME", self.dir.path()).env("COLUMNS", "100");
        command.env("EBBTIDE_CONFIG", "config.toml").env("EBBTIDE_DATA_DIR", "data");
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Run {
        finish(self.command(args).spawn().unwrap(), "")
    }

    pub fn run_with(&self, args: &[&str], input: &str) -> Run {
        finish(self.command(args).stdin(Stdio::piped()).spawn().unwrap(), input)
    }

    /// Runs with `--json`, expects `code`, and reads the one document.
    pub fn json(&self, args: &[&str], code: i32) -> Value {
        let run = self.run(&[args, &["--json"]].concat());
        assert_eq!(run.code, code, "{args:?}: {run:?}");
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {run:?}"))
    }

    pub fn serve(&self, args: &[&str]) -> Serve {
        Serve::spawn(self.command(&[&["serve"], args].concat()))
    }
}

fn finish(mut child: Child, input: &str) -> Run {
    if let Some(mut stdin) = child.stdin.take() {
        // A command that refuses early does not read on.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A running `ebbtide serve`; killed when dropped.
pub struct Serve {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    pub url: String,
}

impl Serve {
    /// Starts it and reads its URL, the first line it prints.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut url = String::new();
        stdout.read_line(&mut url).unwrap();
        assert!(url.starts_with("http://127.0.0.1:"), "{url:?}");
        Self { child, _stdout: stdout, url: url.trim().to_owned() }
    }

    /// Asks it to stop and answers its exit code.
    pub fn terminate(mut self) -> i32 {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code().unwrap_or(-1)
    }

    pub fn port(&self) -> &str {
        self.url.trim_end_matches('/').rsplit(':').next().unwrap()
    }

    /// A request by hand: (status, body).
    pub fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let address = self.url.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that answers every request with a web page, as a captive portal does. Its thread ends with the process.
pub fn html_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                    line.clear();
                }
                let page = "<!doctype html><title>Sign in</title><p>Welcome to the harbour Wi-Fi";
                let mut stream = stream;
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
                    page.len()
                );
            });
        }
    });
    url
}

/// `$ ebbtide …`, what it printed, and how it ended, as one text.
pub fn transcript(args: &[&str], run: &Run) -> String {
    let mut text = format!("$ ebbtide {}\n", shell_words::join(args));
    text.push_str(&run.stdout);
    text.push_str(&run.stderr);
    text.push_str(&format!("[exit code {}]\n", run.code));
    text
}

/// Compares a text with a snapshot of the kind.
macro_rules! assert_text {
    ($kind:literal, $name:expr, $text:expr) => {{
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/", $kind));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!($name, $text));
    }};
}
pub(crate) use assert_text;
