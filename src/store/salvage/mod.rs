//! A journal that is damaged: everything of the user's that can be read goes, row by row, into a new one.
//!
//! ```text
//! journal.db + -wal ──copy──> damaged/journal-<content>.db     kept, always
//!        └── pages, cells, rows (no SQLite) ──> journal.db.new ── checked ──> journal.db.next ──> journal.db
//! ```
//!
//! **Invariant:** `journal.db.next` is whole and on disk under that name before anything of the old journal is removed;
//! whoever finds it finishes the exchange ([`finish_exchange`]).
//!
//! ## Why not by SQL
//!
//! SQLite gives up a table at its first bad inner page, the whole file at a bad first page, and every commit behind a
//! bad frame of the log. A row is lost here only with the page it is on.

mod build;
mod pages;
mod rows;
mod wal;

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    model::{
        activity::{Activity, Severity},
        time::Timestamp,
    },
    store::{
        backup,
        error::{Result, StoreError},
        files::{self, Files},
        schema,
    },
};

pub(super) use build::MENDING;
pub use build::Saved;

/// What a salvage came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvage {
    /// What was wrong.
    pub detail: String,
    pub saved: Saved,
    /// The damaged file.
    pub kept: PathBuf,
    /// Rows that fit nowhere, as text.
    pub unread: Option<PathBuf>,
}

impl Salvage {
    /// True where every row of every table was read.
    pub fn is_complete(&self) -> bool {
        let saved = &self.saved;
        saved.bad_pages == 0 && saved.unread_rows == 0 && !saved.broken_log
    }

    /// For the screen and the log.
    pub fn note(&self, at: Timestamp) -> Activity {
        let missing = match (self.is_complete(), self.saved.bad_pages, self.saved.unread_rows) {
            (true, ..) => "every row could be read".to_owned(),
            (false, 0, 0) => "single commits may be missing".to_owned(),
            (false, pages, rows) => {
                let mut parts = Vec::new();
                parts.extend((pages > 0).then(|| format!("{pages} damaged pages")));
                parts.extend((rows > 0).then(|| format!("{rows} rows")));
                format!("{} could not be read, what was only there is missing", parts.join(" and "))
            }
        };
        let text = format!("`journal.db` was damaged ({}) and is made anew: {}; {missing}", self.detail, self.saved);
        let severity = if self.is_complete() { Severity::Warning } else { Severity::Problem };
        let hint = match &self.unread {
            Some(rows) => format!(
                "the damaged file is kept at {}, rows that fit nowhere at {}",
                self.kept.display(),
                rows.display()
            ),
            None => format!("the damaged file is kept at {}", self.kept.display()),
        };
        Activity::new(at, severity, "journal", text).with_hint(hint)
    }
}

/// Whether the log beside a database has commits behind a bad frame. The caller holds the data dir alone.
pub(super) fn has_broken_log(path: &Path) -> Result<bool> {
    let log = files::beside(path, "-wal");
    let read = wal::read(&log, pages::PAGE).map_err(|error| files::not_writable(&log, &error))?;
    Ok(read.is_broken)
}

/// Puts a new journal with everything readable in the place of the damaged one. The caller holds the data dir alone.
/// Where nothing can be read the files stay as they are and the error names the copy.
pub(super) fn salvage(files: &Files, detail: &str) -> Result<Salvage> {
    let path = files.journal();
    let kept = files::keep_copy(files, &path)?;
    let refused = || StoreError::Damaged { path: path.clone(), detail: detail.to_owned(), kept: Some(kept.clone()) };
    let (saved, unfit) = build::build(&path, &new_file(files))?.ok_or_else(refused)?;
    let unread = build::keep_unfit(&kept, &unfit)?;
    exchange(files)?;
    Ok(Salvage { detail: detail.to_owned(), saved, kept, unread })
}

/// Makes `journal.db.new` of a copy at `staged`, as it is where it is sound, else row by row. Its edits stand on whatever
/// mirror there is now.
pub(super) fn stage(files: &Files, staged: &Path, from: &Path) -> Result<Option<Salvage>> {
    let new = new_file(files);
    let detail = match is_sound(staged) {
        Ok(()) => {
            build::remake(staged, &new)?;
            return Ok(None);
        }
        Err(StoreError::Damaged { detail, .. }) => detail,
        Err(error) => return Err(error),
    };
    let damaged = StoreError::Damaged { path: from.to_path_buf(), detail: detail.clone(), kept: None };
    let (saved, unfit) = build::build(staged, &new)?.ok_or(damaged)?;
    files::private_dir(&files.damaged())?;
    let unread = build::keep_unfit(&files.damaged().join(from.file_name().unwrap_or_default()), &unfit)?;
    Ok(Some(Salvage { detail, saved, kept: from.to_path_buf(), unread }))
}

fn is_sound(path: &Path) -> Result<()> {
    if has_broken_log(path)? {
        let detail = "its write-ahead log has a bad frame".to_owned();
        return Err(StoreError::Damaged { path: path.to_path_buf(), detail, kept: None });
    }
    schema::JOURNAL.need(path)?;
    backup::check(path)
}

/// Puts an empty journal in the place of one nothing could be read from, and which is kept.
pub(super) fn begin_anew(files: &Files) -> Result<()> {
    build::empty(&new_file(files))?;
    exchange(files)
}

fn new_file(files: &Files) -> PathBuf {
    files::beside(&files.journal(), ".new")
}

fn next_file(files: &Files) -> PathBuf {
    files::beside(&files.journal(), ".next")
}

/// Makes `journal.db.new`, which is whole, the journal. The caller holds the data dir alone and has kept the present one.
pub(super) fn exchange(files: &Files) -> Result<()> {
    let (new, next) = (new_file(files), next_file(files));
    let synced = fs::File::open(&new).and_then(|file| file.sync_all());
    synced.map_err(|error| files::not_writable(&new, &error))?;
    fs::rename(&new, &next).map_err(|error| files::not_writable(&next, &error))?;
    files::sync_dir(&files.dir)?;
    finish_exchange(files)
}

/// True where an exchange was begun and not finished.
pub(super) fn is_unfinished(files: &Files) -> bool {
    next_file(files).exists()
}

/// Removes what belongs to the old journal, so that its log is never read with the new one, and puts the new one there.
pub(super) fn finish_exchange(files: &Files) -> Result<()> {
    let (path, next) = (files.journal(), next_file(files));
    for suffix in ["-wal", "-shm", "-journal"] {
        files::remove(&files::beside(&path, suffix))?;
    }
    // The log must be gone on disk before the new file has its name.
    files::sync_dir(&files.dir)?;
    fs::rename(&next, &path).map_err(|error| files::not_writable(&path, &error))?;
    files::sync_dir(&files.dir)?;
    files::remove(&files.suspect(&path))
}
