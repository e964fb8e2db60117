//! `$VISUAL` / `$EDITOR` on a private copy of a text.

use std::{io::Write as _, os::unix::fs::DirBuilderExt as _, path::Path};

/// Runs the user's editor and answers the text it left, or why there is none. The terminal must have been given back.
/// The file lives in the data dir (0700) and is removed afterwards; where the editor failed it is kept and named.
pub async fn edit(data_dir: &Path, text: &str, suffix: &str) -> Result<String, String> {
    let command = std::env::var("VISUAL").or_else(|_| std::env::var("EDITOR")).unwrap_or_else(|_| "vi".to_owned());
    let mut words =
        shell_words::split(&command).map_err(|error| format!("`$EDITOR` cannot be read: {error}"))?.into_iter();
    let program = words.next().ok_or("`$EDITOR` is empty; set it to the editor you use")?;
    let dir = data_dir.join("editing");
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .map_err(|error| format!("`{}` could not be made: {error}", dir.display()))?;
    let mut file = tempfile::Builder::new()
        .prefix("record-")
        .suffix(suffix)
        .tempfile_in(&dir)
        .map_err(|error| format!("no file for the editor: {error}"))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.flush())
        .map_err(|error| format!("no file for the editor: {error}"))?;
    let status = tokio::process::Command::new(&program).args(words).arg(file.path()).status().await;
    match status {
        Ok(status) if status.success() => {
            let bytes =
                std::fs::read(file.path()).map_err(|error| format!("the edited file cannot be read: {error}"))?;
            match String::from_utf8(bytes) {
                Ok(text) => Ok(text),
                Err(_) => Err(format!("the editor left text that is not UTF-8; it is kept in `{}`", keep(file))),
            }
        }
        Ok(status) => Err(format!("`{program}` ended with {status}; what it left is kept in `{}`", keep(file))),
        Err(error) => Err(format!("`{program}` could not be started: {error}")),
    }
}

fn keep(file: tempfile::NamedTempFile) -> String {
    match file.keep() {
        Ok((_, path)) => path.display().to_string(),
        Err(error) => error.file.path().display().to_string(),
    }
}
