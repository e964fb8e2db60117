//! `$VISUAL` / `$EDITOR` on a private copy of a text.
//!
//! The text lives in a file of the data dir that says whose it is ([`mod@file`]). It goes only after its text is committed:
//! where this program ends before its editor does, the next start finds what was saved and takes it.

mod file;
mod files;
mod watch;

use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use crate::{app::effect::Subject, model::time::Clock as _, runtime::clock::SystemClock};
pub use file::EditorFile;
pub use files::EditedFiles;
pub use watch::{QUICK, State, watch};

/// Runs the user's editor on a text and answers what it left, with its file, which is the caller's to forget once the text
/// is safe; or why there is nothing. The terminal must have been given back. Where the editor failed its file is kept and
/// named.
pub async fn edit(data_dir: &Path, subject: Subject, text: &str, suffix: &str) -> Result<(String, EditorFile), String> {
    let file = EditorFile::make(data_dir, subject, text, suffix)?;
    let run = run(file.path.clone()).await;
    match file.judge(run.ended) {
        Ok(left) => Ok((left.unwrap_or_else(|| text.to_owned()), file)),
        Err(reason) => Err(file.give_up(reason).to_string()),
    }
}

/// How an editor ended.
#[derive(Debug)]
pub struct EditorRun {
    pub path: PathBuf,
    pub ended: Result<(), String>,
    pub took: Duration,
}

/// Runs the user's editor on a file and waits for it.
pub async fn run(path: PathBuf) -> EditorRun {
    let clock = SystemClock::new();
    let ended = run_editor(&path).await;
    EditorRun { path, ended, took: clock.at().mono }
}

async fn run_editor(path: &Path) -> Result<(), String> {
    let command = std::env::var("VISUAL").or_else(|_| std::env::var("EDITOR")).unwrap_or_else(|_| "vi".to_owned());
    let mut words =
        shell_words::split(&command).map_err(|error| format!("`$EDITOR` cannot be read: {error}"))?.into_iter();
    let program = words.next().ok_or("`$EDITOR` is empty; set it to the editor you use")?;
    let name = Path::new(&program).file_name().map_or(program.as_str().into(), |name| name.to_string_lossy());
    let status = tokio::process::Command::new(&program).args(words).arg(path).status().await;
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{name}` ended with {}", in_words(status))),
        Err(error) => Err(format!("`{program}` could not be started: {error}")),
    }
}

fn in_words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}
