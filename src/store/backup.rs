//! The journal as a whole: a copy of it, a copy put in its place, and what is done with a damaged one by command.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::Connection;

use crate::{
    model::time::{Clock, Timestamp},
    store::{
        Salvage, Store,
        error::{Result, StoreError},
        files::{self, Files, Look},
        salvage, schema,
    },
};

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The journal that was there.
    pub kept: Option<PathBuf>,
    /// The file was damaged itself, and this was read from it.
    pub salvage: Option<Salvage>,
}

/// A copy of the journal in `backups`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFile {
    pub path: PathBuf,
    pub bytes: u64,
    pub modified: Timestamp,
}

impl Store {
    /// Copies the journal as it is this instant, its log included, beside whoever writes it: durable, only for its owner.
    /// Answers where it is and how long; `to` is a new file, by default one named by the time in `backups`.
    pub fn backup(dir: &Path, to: Option<&Path>, at: Timestamp) -> Result<(PathBuf, u64), StoreError> {
        let files = Files { dir: dir.to_path_buf() };
        let path = files.journal();
        if files::look(&path)? == Look::Missing {
            return Err(StoreError::Refused(format!("there is no journal at `{}`", path.display())));
        }
        let _lock = files::hold(&files)?;
        if let Err(error @ StoreError::Damaged { .. }) = schema::JOURNAL.need(&path) {
            return Err(error);
        }
        let to = match to {
            Some(to) => to.to_path_buf(),
            None => {
                files::private_dir(&files.backups())?;
                let stamp: String = at.to_rfc3339().chars().filter(char::is_ascii_alphanumeric).collect();
                files.backups().join(format!("journal-{stamp}.db"))
            }
        };
        if to.exists() {
            return Err(StoreError::Refused(format!("`{}` is there already", to.display())));
        }
        let copied = (|| -> Result<()> {
            let connection = schema::open(&path)?;
            connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            schema::copy_into(&connection, &to)
        })();
        if let Err(error) = copied {
            // What was begun is no copy.
            let _ = fs::remove_file(files::beside(&to, ".copying"));
            return Err(error.at(&to, "copying the journal"));
        }
        check(&to)?;
        let bytes = fs::metadata(&to).map_err(|error| files::not_writable(&to, &error))?.len();
        Ok((to, bytes))
    }

    /// The copies in `backups`, newest first.
    pub fn backups(dir: &Path) -> Vec<BackupFile> {
        let files = Files { dir: dir.to_path_buf() };
        let copy = |entry: fs::DirEntry| {
            let path = entry.path();
            let name = entry.file_name();
            let is_copy = name.to_str().is_some_and(|name| name.starts_with("journal-") && name.ends_with(".db"));
            let about = entry.metadata().ok()?;
            let modified = about.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
            let modified = Timestamp(i64::try_from(modified.as_millis()).unwrap_or(i64::MAX));
            is_copy.then_some(BackupFile { path, bytes: about.len(), modified })
        };
        let mut found: Vec<_> =
            fs::read_dir(files.backups()).into_iter().flatten().flatten().filter_map(copy).collect();
        found.sort_by(|a, b| (b.modified, &b.path).cmp(&(a.modified, &a.path)));
        found
    }

    /// Puts a copy in the place of the journal, which is kept in `backups`. A damaged one is read row by row. Refused while
    /// anybody has the data open.
    pub fn restore(dir: &Path, from: &Path, clock: &Arc<dyn Clock>) -> Result<Restored, StoreError> {
        files::private_dir(dir)?;
        let files = Files { dir: dir.to_path_buf() };
        match files::look(from)? {
            Look::Missing => return Err(StoreError::Refused(format!("there is no file `{}`", from.display()))),
            Look::Empty => return Err(StoreError::Refused(format!("`{}` is empty", from.display()))),
            Look::NotSqlite | Look::Sqlite => {}
        }
        let _alone = hold_for_good(&files)?;
        let staged = files::beside(&files.journal(), ".restoring");
        clear(&staged)?;
        for suffix in ["-wal", ""] {
            if files::beside(from, suffix).exists() {
                files::copy_private(&files::beside(from, suffix), &files::beside(&staged, suffix))?;
            }
        }
        let salvaged = salvage::stage(&files, &staged, from)?;
        let kept = keep_present(&files, clock.at().wall)?;
        salvage::exchange(&files)?;
        clear(&staged)?;
        Ok(Restored { kept, salvage: salvaged })
    }

    /// Reads the journal row by row into a new one, whether or not it seems damaged. Where nothing can be read,
    /// `begin_anew` puts an empty one there. The present one is kept. Refused while anybody has the data open.
    pub fn salvage(dir: &Path, begin_anew: bool) -> Result<Option<Salvage>, StoreError> {
        let files = Files { dir: dir.to_path_buf() };
        let path = files.journal();
        if files::look(&path)? == Look::Missing && !files::beside(&path, "-wal").exists() {
            return Err(StoreError::Refused(format!("there is no journal at `{}`", path.display())));
        }
        let _alone = hold_for_good(&files)?;
        schema::JOURNAL.stated(&path)?;
        match salvage::salvage(&files, "asked for by command") {
            Err(StoreError::Damaged { kept: Some(_), .. }) if begin_anew => {
                salvage::begin_anew(&files)?;
                Ok(None)
            }
            done => done.map(Some),
        }
    }

    /// Half-made files of runs that were cut off.
    pub fn leftovers(dir: &Path) -> Vec<PathBuf> {
        let files = Files { dir: dir.to_path_buf() };
        let is_half = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            [
                ".space",
                ".new",
                ".new-journal",
                ".restoring",
                ".restoring-wal",
                ".restoring-shm",
                ".copying",
                ".copying-journal",
            ]
            .iter()
            .any(|end| name.ends_with(end))
        };
        let folders = [files.dir.clone(), files.backups(), files.damaged()];
        let all = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
        all.map(|entry| entry.path()).filter(is_half).collect()
    }

    /// Removes [`Store::leftovers`]; answers how many. Refused while anybody has the data open, who may be making them.
    pub fn clear_leftovers(dir: &Path) -> Result<u64, StoreError> {
        if Self::leftovers(dir).is_empty() {
            return Ok(0);
        }
        let _alone = hold_for_good(&Files { dir: dir.to_path_buf() })?;
        let found = Self::leftovers(dir);
        found.iter().try_for_each(|path| files::remove(path))?;
        Ok(found.len() as u64)
    }

    /// What opening would find wrong with the journal, without opening or changing it.
    pub fn damage(dir: &Path) -> Result<Option<String>, StoreError> {
        let files = Files { dir: dir.to_path_buf() };
        let journal = files.journal();
        match (files::look(&journal)?, files::beside(&journal, "-wal").exists()) {
            (Look::Missing, false) => return Ok(None),
            (Look::Missing, true) => {
                return Ok(Some("the database is missing, its write-ahead log is there".to_owned()));
            }
            _ => {}
        }
        if files.suspect(&journal).exists() {
            return Ok(Some("an earlier run met a page that cannot be read".to_owned()));
        }
        let copy = tempfile::tempdir().map_err(|error| files::not_writable(&std::env::temp_dir(), &error))?;
        let there = Files { dir: copy.path().to_path_buf() }.journal();
        files::copy_live(&journal, &there)?;
        if salvage::has_broken_log(&there)? {
            return Ok(Some("its write-ahead log has a bad frame".to_owned()));
        }
        match schema::JOURNAL.need(&there) {
            Err(StoreError::Damaged { detail, .. }) => Ok(Some(detail)),
            Err(StoreError::TooNew { found, known, .. }) => Err(StoreError::TooNew { path: journal, found, known }),
            other => other.map(|_| None),
        }
    }
}

/// Holds a data dir while its files are removed; refused where somebody has it open.
pub fn hold_alone(dir: &Path) -> Result<files::Lock> {
    hold_for_good(&Files { dir: dir.to_path_buf() })
}

/// Nobody else may have the data open, and nobody may come meanwhile.
fn hold_for_good(files: &Files) -> Result<files::Lock> {
    let held = files::try_hold_alone(files)?;
    let lock = held.ok_or_else(|| {
        StoreError::Refused("another ebbtide has the data open: quit it first (dashboards, `sync --watch`)".to_owned())
    })?;
    if salvage::is_unfinished(files) {
        salvage::finish_exchange(files)?;
    }
    Ok(lock)
}

fn clear(path: &Path) -> Result<()> {
    ["", "-wal", "-shm", "-journal"].iter().try_for_each(|suffix| files::remove(&files::beside(path, suffix)))
}

/// Copies the present journal and its log into `backups`; `None` where there is none.
fn keep_present(files: &Files, at: Timestamp) -> Result<Option<PathBuf>> {
    let journal = files.journal();
    if files::look(&journal)? == Look::Missing {
        return Ok(None);
    }
    files::private_dir(&files.backups())?;
    let kept = files.backups().join(format!("journal-replaced-{}.db", at.0));
    for suffix in ["-wal", ""] {
        if files::beside(&journal, suffix).exists() {
            files::copy_private(&files::beside(&journal, suffix), &files::beside(&kept, suffix))?;
        }
    }
    files::sync_dir(&files.backups())?;
    Ok(Some(kept))
}

/// Reads every page of a database.
pub(super) fn check(path: &Path) -> Result<()> {
    let said = (|| -> Result<String> {
        let connection = Connection::open(path)?;
        connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        Ok(connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?)
    })();
    match said.map_err(|error| error.at(path, "checking a database"))?.as_str() {
        "ok" => Ok(()),
        said => Err(StoreError::Damaged { path: path.to_path_buf(), detail: said.to_owned(), kept: None }),
    }
}
