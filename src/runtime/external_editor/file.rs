//! The file `$EDITOR` works on, and a label beside it that says whose text it is and what it was.
//!
//! The label is locked while a process waits for the editor. A start takes up the labels nobody holds: what their files
//! say now, and did not say when the editor was opened, is what was typed there and never arrived.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    app::{effect::Subject, event::NoText},
    model::{draft::DraftTarget, json::Limits},
    runtime::external_editor::State,
};

const LABEL: &str = "label";

/// A file that nobody changed and no editor has open any more goes after so long.
const FORGOTTEN: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Serialize, Deserialize)]
struct Label {
    file: String,
    subject: Subject,
    /// The fingerprint of the text as it was last known here.
    known: String,
}

/// A file that an editor has, or had. The label's lock is held while this lives.
#[derive(Debug)]
pub struct EditorFile {
    pub path: PathBuf,
    pub subject: Subject,
    /// The fingerprint of the text as it was last known here.
    known: String,
    /// Of the text that was handed on and is not known to be committed yet.
    handed_on: Option<String>,
    label: PathBuf,
    lock: File,
}

impl EditorFile {
    /// Writes a text for an editor (0600, in a directory only its owner may enter).
    pub fn make(data_dir: &Path, subject: Subject, text: &str, suffix: &str) -> Result<Self, String> {
        let dir = data_dir.join("editing");
        let failed = |error: std::io::Error| format!("no file for the editor in `{}`: {error}", dir.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed)?;
        let file = tempfile::Builder::new().prefix(&stem(&subject)).suffix(suffix).tempfile_in(&dir).map_err(failed)?;
        file.as_file().write_all(text.as_bytes()).map_err(failed)?;
        let (_, path) = file.keep().map_err(|error| failed(error.error))?;
        let label = path.with_extension(LABEL);
        let lock =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&label).map_err(failed)?;
        // A lock nobody else can want yet; where the file system has none, a start may take the file up early.
        let _ = lock.try_lock();
        let made = Self { path, subject, known: fingerprint(text.as_bytes()), handed_on: None, label, lock };
        made.write_label().map_err(failed)?;
        Ok(made)
    }

    /// The files that an earlier run left, and nobody holds.
    pub fn find(data_dir: &Path) -> Vec<Self> {
        let entries = std::fs::read_dir(data_dir.join("editing")).into_iter().flatten().flatten();
        let labels = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == LABEL));
        let mut found: Vec<Self> = labels.filter_map(|label| Self::take_up(&label)).collect();
        found.sort_by_key(|file| file.state());
        found
    }

    fn take_up(label: &Path) -> Option<Self> {
        let mut lock = OpenOptions::new().read(true).write(true).open(label).ok()?;
        lock.try_lock().ok()?;
        let mut text = String::new();
        lock.read_to_string(&mut text).ok()?;
        let Ok(Label { file, subject, known }) = serde_json::from_str(&text) else {
            // Killed while it was written: the editor had not been started.
            let _ = std::fs::remove_file(label);
            return None;
        };
        // A name, never a way out of the directory.
        let path = label.with_file_name(Path::new(&file).file_name()?);
        let found = Self { path, subject, known, handed_on: None, label: label.to_path_buf(), lock };
        if !found.path.exists() {
            found.forget();
            return None;
        }
        Some(found)
    }

    fn write_label(&self) -> std::io::Result<()> {
        let file = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let label = Label { file, subject: self.subject.clone(), known: self.known.clone() };
        let text = serde_json::to_string(&label).expect("a label is plain JSON");
        // In one write, at the beginning; then what an older, longer label had more.
        std::os::unix::fs::FileExt::write_all_at(&self.lock, text.as_bytes(), 0)?;
        self.lock.set_len(text.len() as u64)?;
        self.lock.sync_data()
    }

    /// What the file says now, where that is not what was known; or why it cannot be taken.
    pub fn left(&self) -> Result<Option<String>, String> {
        let most = Limits::default().bytes as u64;
        let file = File::open(&self.path).map_err(|error| format!("the edited file cannot be read: {error}"))?;
        let mut bytes = Vec::new();
        file.take(most + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("the edited file cannot be read: {error}"))?;
        if bytes.len() as u64 > most {
            let size = self.path.metadata().map_or(0, |data| data.len()) >> 20;
            return Err(format!("it left {size} MiB, more than the {} MiB a record may have", most >> 20));
        }
        if fingerprint(&bytes) == self.known {
            return Ok(None);
        }
        let text = String::from_utf8(bytes).map_err(|_| "it left text that is not UTF-8".to_owned())?;
        if text.trim().is_empty() && self.path.extension().is_some_and(|end| end == "json") {
            return Err("it left nothing; an empty text is no JSON".to_owned());
        }
        Ok(Some(text))
    }

    /// [`EditorFile::left`], after the editor itself succeeded or not.
    pub fn judge(&self, ended: Result<(), String>) -> Result<Option<String>, String> {
        ended.and_then(|()| self.left())
    }

    /// Nothing of this file is taken. Where there is something in it, it stays, without its label: the user knows of it.
    pub fn give_up(self, reason: String) -> NoText {
        let is_own = |bytes: &[u8]| fingerprint(bytes) != self.known && !bytes.iter().all(u8::is_ascii_whitespace);
        if std::fs::read(&self.path).is_ok_and(|bytes| is_own(&bytes)) {
            let kept = Some(self.place());
            self.leave_alone();
            return NoText { reason, kept };
        }
        self.forget();
        NoText { reason, kept: None }
    }

    /// The text is safe elsewhere, or was never changed: both files go.
    pub fn forget(self) {
        for path in [&self.path, &self.label] {
            if let Err(error) = std::fs::remove_file(path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!("`{}` could not be removed: {error}", path.display());
            }
        }
    }

    /// The file stays, and is not looked at again.
    pub fn leave_alone(self) {
        let _ = std::fs::remove_file(&self.label);
    }

    /// Its path, as the app names it.
    pub fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// This text is on its way into the journal.
    pub fn hand_on(&mut self, text: &str) {
        self.handed_on = Some(fingerprint(text.as_bytes()));
    }

    /// What was handed on is committed. Where an editor may still have the file open, it stays, with a label that knows.
    pub fn taken(mut self, may_be_open: bool) -> Option<Self> {
        if !may_be_open {
            self.forget();
            return None;
        }
        self.known = self.handed_on.take().unwrap_or(self.known);
        if let Err(error) = self.write_label() {
            tracing::warn!("`{}` could not be written: {error}", self.label.display());
        }
        Some(self)
    }

    /// When it was last written, and how long it is: what a look without reading tells.
    pub fn state(&self) -> State {
        let data = self.path.metadata().ok()?;
        Some((data.modified().ok()?, data.len()))
    }

    /// Nobody touched it for a day.
    pub fn is_forgotten(&self) -> bool {
        self.state().is_none_or(|(at, _)| at.elapsed().is_ok_and(|age| age > FORGOTTEN))
    }
}

fn fingerprint(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How the file's name begins: people see it in their editor.
fn stem(subject: &Subject) -> String {
    let plain = |text: &str| -> String {
        let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
        text.chars().take(40).map(allowed).collect()
    };
    match subject {
        Subject::Merge(id) => format!("merge-c{id}-"),
        Subject::Draft(key) => {
            let place = match &key.target {
                DraftTarget::Field(pointer) => pointer.to_string(),
                DraftTarget::New => "-new".to_owned(),
                DraftTarget::Op(seq) => format!("-op{seq}"),
                DraftTarget::Document => String::new(),
            };
            let collection = plain(key.record.collection.collection.as_str());
            format!("{collection}-{}{}-", plain(key.record.id.as_str()), plain(&place))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{draft::DraftKey, ids::CollectionKey};

    fn bo() -> Subject {
        let record = CollectionKey::new("acme", "users").record("../bo é");
        Subject::Draft(DraftKey { record, target: DraftTarget::Document })
    }

    fn made(dir: &Path) -> EditorFile {
        EditorFile::make(dir, bo(), "{}", ".json").unwrap()
    }

    #[test]
    fn a_file_is_private_and_its_name_says_whose_it_is() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let file = made(dir.path());
        let name = file.path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("users----bo---") && name.ends_with(".json"), "{name}");
        for path in [&file.path, &file.label] {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
    }

    #[test]
    fn what_was_saved_and_never_taken_is_found_by_the_next_start_but_not_beside_a_living_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = made(dir.path());
        std::fs::write(&file.path, "{\"typed\": 1}\n").unwrap();
        assert!(EditorFile::find(dir.path()).is_empty(), "somebody waits for it");
        drop(file);
        let mut found = EditorFile::find(dir.path());
        assert_eq!(found.len(), 1);
        let mut file = found.pop().unwrap();
        assert_eq!(file.subject, bo());
        let left = file.left().unwrap().unwrap();
        assert_eq!(left, "{\"typed\": 1}\n");
        file.hand_on(&left);
        assert_eq!(file.left(), Ok(Some(left)), "until it is committed");
        let file = file.taken(true).unwrap();
        assert_eq!(file.left(), Ok(None));
        drop(file);
        let file = EditorFile::find(dir.path()).pop().unwrap();
        assert_eq!(file.left(), Ok(None), "also after another start");
        file.forget();
        assert_eq!(std::fs::read_dir(dir.path().join("editing")).unwrap().count(), 0);
    }

    #[test]
    fn garbage_is_refused_and_kept_and_nothing_is_kept_of_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let cases: [(&[u8], &str, bool); 4] = [
            (b"\xff\xfe{}", "not UTF-8", true),
            (&[b'x'; (16 << 20) + 1], "16 MiB", true),
            (b"\n", "an empty text", false),
            (b"{}", "ended with", false),
        ];
        for (bytes, expected, kept) in cases {
            let file = made(dir.path());
            let path = file.path.clone();
            std::fs::write(&path, bytes).unwrap();
            let ended = if expected == "ended with" { Err("`x` ended with exit code 3".to_owned()) } else { Ok(()) };
            let reason = file.judge(ended).unwrap_err();
            let nothing = file.give_up(reason);
            assert!(nothing.reason.contains(expected), "{nothing}");
            let place = kept.then(|| path.to_str().unwrap().to_owned());
            assert_eq!((nothing.kept, path.exists()), (place, kept), "{expected}");
        }
        assert!(EditorFile::find(dir.path()).is_empty());
    }

    #[test]
    fn nul_is_text_like_any_other_and_a_text_field_may_become_empty() {
        let dir = tempfile::tempdir().unwrap();
        let file = made(dir.path());
        std::fs::write(&file.path, "a\0b").unwrap();
        assert_eq!(file.left(), Ok(Some("a\0b".to_owned())));
        let file = EditorFile::make(dir.path(), bo(), "words", ".txt").unwrap();
        std::fs::write(&file.path, "").unwrap();
        assert_eq!(file.left(), Ok(Some(String::new())));
    }

    #[test]
    fn a_label_that_was_cut_off_is_no_trouble() {
        let dir = tempfile::tempdir().unwrap();
        let file = made(dir.path());
        file.lock.set_len(9).unwrap();
        drop(file);
        assert!(EditorFile::find(dir.path()).is_empty());
    }
}
