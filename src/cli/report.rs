//! Failures as people and scripts read them:
//!
//! ```text
//! error: could not open the data
//!   Caused by: `journal.db` was written by a newer ebbtide (schema 9; this one knows 7)
//!
//! hint: run the newer version, or look at the data with --read-only
//! ```
//!
//! Every error a lower floor can give gets a hint here that can be acted on.

use std::{
    error::Error as StdError,
    io::{self, Write},
    process::ExitCode,
};

use serde_json::json;

use super::init;
use crate::{
    config::{ConfigErrors, HomeUnknown, NotWritten},
    model::display,
    remote::RemoteError,
    runtime::RunError,
    server::ServerError,
    store::StoreError,
};

pub(super) const FAILED: u8 = 1;
pub(super) const USAGE: u8 = 2;

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) struct Failure {
    error: String,
    caused_by: Vec<String>,
    hint: Option<String>,
    code: u8,
    /// The reader of our output went away: nothing to say, and nothing went wrong.
    quiet: bool,
}

impl Failure {
    /// It could not be done (exit code 1).
    pub fn failed(error: impl Into<String>) -> Self {
        Self { error: error.into(), caused_by: Vec::new(), hint: None, code: FAILED, quiet: false }
    }

    /// What was asked cannot be right: usage, configuration or data (exit code 2).
    pub fn usage(error: impl Into<String>) -> Self {
        Self { code: USAGE, ..Self::failed(error) }
    }

    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.caused_by.push(cause.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A hint for errors that have none of their own.
    pub fn or_hint(mut self, hint: &str) -> Self {
        self.hint.get_or_insert_with(|| hint.to_owned());
        self
    }

    /// What clap says to people, as one: its first paragraph (the arguments that are missing, the values that are possible),
    /// and the tip or the help of the command that was asked for.
    pub fn from_clap(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let mut lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
        let first = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let more = lines.collect::<Vec<_>>().join(", ");
        let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: ")).map(str::to_owned);
        let usage = text.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap_or("ebbtide");
        let command: Vec<&str> = usage.split(' ').take_while(|word| !word.starts_with(['[', '<', '-'])).collect();
        let error = if more.is_empty() { first } else { format!("{first} {more}") };
        Self::usage(error).hint(tip.unwrap_or_else(|| format!("`{} --help` says more", command.join(" "))))
    }

    /// Wraps an error of the operating system about a file or stream.
    pub fn io(intent: impl Into<String>, error: &io::Error) -> Self {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => Some("check the path"),
            io::ErrorKind::PermissionDenied => Some("check who may read and write it"),
            io::ErrorKind::StorageFull => Some("free some space and try again"),
            io::ErrorKind::ReadOnlyFilesystem => Some("name a place that can be written"),
            _ => None,
        };
        Self { hint: hint.map(str::to_owned), ..Self::failed(intent).because(error.to_string()) }
    }

    /// Adds what was being done to an error of the store.
    pub fn store(intent: &str, error: StoreError) -> Self {
        if let StoreError::Refused(reason) = error {
            return Self::failed(reason);
        }
        let (code, hint) = store_hint(&error);
        Self { code, hint, ..Self::failed(intent).caused(&error) }
    }

    fn caused(mut self, error: &dyn StdError) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            if self.caused_by.last() != Some(&text) {
                self.caused_by.push(text);
            }
            next = error.source();
        }
        self
    }

    /// What `doctor` shows of it: (what is wrong, what to do).
    pub fn into_finding(self) -> (String, String) {
        let causes: String = self.caused_by.iter().map(|cause| format!(": {cause}")).collect();
        (format!("{}{causes}", self.error), self.hint.unwrap_or_else(|| "the log in the data dir says more".to_owned()))
    }

    /// Prints itself to stderr and answers the exit code.
    pub fn report(&self, json: bool) -> ExitCode {
        if self.quiet {
            return ExitCode::SUCCESS;
        }
        tracing::error!(error = %self.error, caused_by = ?self.caused_by, "failed");
        let text = if json { self.as_json() } else { self.as_text() };
        let _ = io::stderr().write_all(text.as_bytes());
        ExitCode::from(self.code)
    }

    fn as_json(&self) -> String {
        format!("{}\n", json!({"error": self.error, "caused_by": self.caused_by, "hint": self.hint}))
    }

    fn as_text(&self) -> String {
        let mut text = format!("error: {}\n", display::line(&self.error));
        for cause in &self.caused_by {
            text.push_str(&format!("  Caused by: {}\n", display::line(cause)));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("\nhint: {}\n", display::line(hint)));
        }
        text
    }
}

fn store_hint(error: &StoreError) -> (u8, Option<String>) {
    let (code, hint) = match error {
        StoreError::TooNew { .. } => (USAGE, "run the newer version, or look at the data with --read-only".to_owned()),
        StoreError::Damaged { kept: Some(kept), .. } => (
            USAGE,
            format!(
                "nothing could be read from it and nothing was thrown away: a copy is kept at `{}`; `ebbtide journal list` \
                 shows the backups, `ebbtide journal restore FILE` puts one in its place, `ebbtide journal salvage \
                 --begin-anew` begins with an empty one",
                kept.display()
            ),
        ),
        StoreError::Damaged { kept: None, .. } => (
            USAGE,
            "nothing was changed; `ebbtide journal list` shows the backups, `ebbtide journal restore FILE` puts one in its \
             place"
                .to_owned(),
        ),
        StoreError::DiskFull { .. } => {
            (FAILED, "free some space and try again; what was queued before is safe".to_owned())
        }
        StoreError::NotWritable { .. } => (
            FAILED,
            "make it writable for you, name another place with --data-dir, or look at the data with --read-only"
                .to_owned(),
        ),
        StoreError::Locked { path } if path.ends_with("data.lock") => (
            FAILED,
            "quit the ebbtide that is open on this data: another version made it, and it must be converted".to_owned(),
        ),
        StoreError::Locked { .. } => {
            (FAILED, "wait until that program is done (a backup, an upgrade) and try again".to_owned())
        }
        StoreError::ReadOnly => (USAGE, "leave --read-only out to change something".to_owned()),
        StoreError::Refused(_) => return (FAILED, None),
        StoreError::Closed => (FAILED, "try again; the log in the data dir says more".to_owned()),
        StoreError::Sqlite { .. } => (FAILED, "`ebbtide doctor` checks the files".to_owned()),
    };
    (code, Some(hint))
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::store("could not use the data", error)
    }
}

/// Errors of stdout. A reader that went away (`| head`) is no failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let quiet = error.kind() == io::ErrorKind::BrokenPipe;
        Self { quiet, ..Self::io("could not write the output", &error) }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        let failure = Self::usage(errors.to_string());
        if let [only] = errors.errors.as_slice() {
            let hint = only.hint.clone().unwrap_or_else(|| "`ebbtide init --example` prints every key".to_owned());
            return failure.because(only.to_string()).hint(hint);
        }
        let failure = errors.errors.iter().fold(failure, |failure, error| match &error.hint {
            Some(hint) => failure.because(format!("{error} ({hint})")),
            None => failure.because(error.to_string()),
        });
        failure.hint("correct these lines; `ebbtide init --example` prints every key")
    }
}

impl From<NotWritten> for Failure {
    fn from(error: NotWritten) -> Self {
        match error {
            NotWritten::Edit { path, source } => init::refused(source, &path),
            NotWritten::Invalid(errors) => errors.into(),
            NotWritten::Read { path, source } => Self::io(format!("could not read `{}`", path.display()), &source),
            NotWritten::Write { path, source } => Self::io(format!("could not write `{}`", path.display()), &source),
        }
    }
}

impl From<HomeUnknown> for Failure {
    fn from(error: HomeUnknown) -> Self {
        Self::usage(error.to_string()).hint("set HOME, or name both places with --config and --data-dir")
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        let hint = match &error {
            ServerError::Listen { .. } => {
                "another program may use the port; `--listen 127.0.0.1:0` takes any that is free"
            }
            ServerError::Data { .. } => {
                "name a file that `ebbtide serve` made and that can be written, or leave --data out"
            }
            ServerError::Seed(_) => "the seed is one JSON object: collections, in them records by id",
        };
        Self::failed("could not serve").caused(&error).hint(hint)
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        let hint = match &error {
            RemoteError::Url { .. } => "correct `url` of the source in the configuration",
            RemoteError::Credentials { .. } => {
                "check what `auth` of the source names; `ebbtide paths` shows the configuration"
            }
        };
        Self::usage("could not use the source").caused(&error).hint(hint)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Store { dir, source } => {
                Self::store(&format!("could not open the data in `{}`", dir.display()), source)
            }
            RunError::Reset { dir, source } => {
                let text = format!("the demo in `{}` was not reset; nothing of it was removed", dir.display());
                Self::failed(text).caused(&source)
            }
            RunError::NotATerminal => Self::not_a_terminal(),
            RunError::Terminal(source) => Self::io("could not use the terminal", &source),
            RunError::Server(source) => source.into(),
            RunError::Remote(source) => source.into(),
            RunError::Config(source) => source.into(),
            RunError::NotWritten(source) => source.into(),
            RunError::File { what, path, source } => {
                Self::io(format!("could not {what} `{}`", path.display()), &source)
            }
        }
    }
}

impl Failure {
    pub fn not_a_terminal() -> Self {
        Self::usage("the dashboard needs a terminal on standard input and output")
            .hint("scripts use commands such as `ebbtide status --json`; `ebbtide --help` lists them")
    }
}
