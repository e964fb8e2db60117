//! Before the files are opened: what is missing is made, what is old is migrated, what is damaged is set aside or kept.

use std::path::Path;

use rusqlite::Connection;

use crate::{
    model::{
        activity::{Activity, Severity},
        time::{Clock, Timestamp},
    },
    store::{
        error::{Result, StoreError},
        files::{self, Files, Lock},
        schema::{self, Need, Schema},
        search,
    },
};

/// Brings the files into a state they can be used in and holds the data dir. Answers what the user should know.
pub(super) fn prepare(files: &Files, clock: &dyn Clock) -> Result<(Lock, Vec<Activity>)> {
    let mut notes = Vec::new();
    for _ in 0..10 {
        let lock = files::hold(files)?;
        if !needs_work(files)? {
            return Ok((lock, notes));
        }
        drop(lock);
        let alone = files::hold_alone(files)?;
        let at = clock.at();
        let made_anew = !files.journal().exists() && files.mirror().exists();
        bring_up(files, &schema::JOURNAL, &files.journal(), at.wall)
            .or_else(|error| keep_damaged(files, &files.journal(), error).map(|_| ()))?;
        if made_anew {
            let text = "`journal.db` was missing: a new one was made";
            notes.push(
                Activity::new(at.wall, Severity::Problem, "journal", text)
                    .with_hint("edits that were not sent may be in a backup: see the folder `backups`"),
            );
        }
        for (schema, path) in [(&schema::MIRROR, files.mirror()), (&schema::SEARCH, files.search())] {
            if let Err(error) = bring_up(files, schema, &path, at.wall) {
                let StoreError::Damaged { detail, .. } = &error else { return Err(error) };
                let kept = files::set_aside(files, &path)?;
                bring_up(files, schema, &path, at.wall)?;
                let text = format!("the {} was damaged ({detail}) and is being made again", schema.name);
                notes.push(
                    Activity::new(at.wall, Severity::Warning, schema.name, text)
                        .with_hint(format!("a copy is kept at {}", kept.display())),
                );
            }
        }
        search::identify(files, &at)?;
        drop(alone);
    }
    // Somebody else keeps changing the files between our locks.
    Err(StoreError::Locked { path: files.lock() })
}

fn needs_work(files: &Files) -> Result<bool> {
    let journal = files.journal();
    let need = schema::JOURNAL.need(&journal).or_else(|error| keep_damaged(files, &journal, error))?;
    if need != Need::Nothing || is_suspect(files, &journal) {
        return Ok(true);
    }
    for (schema, path) in [(&schema::MIRROR, files.mirror()), (&schema::SEARCH, files.search())] {
        match schema.need(&path) {
            Ok(Need::Nothing) if !is_suspect(files, &path) => {}
            Ok(_) | Err(StoreError::Damaged { .. }) => return Ok(true),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn is_suspect(files: &Files, path: &Path) -> bool {
    files.suspect(path).exists()
}

/// A damaged journal is never treated as empty: it stays where it is, a copy is kept, and the caller is told.
fn keep_damaged(files: &Files, path: &Path, error: StoreError) -> Result<Need> {
    match error {
        StoreError::Damaged { path: damaged, detail, .. } => {
            let kept = files::keep_copy(files, path)?;
            Err(StoreError::Damaged { path: damaged, detail, kept: Some(kept) })
        }
        other => Err(other),
    }
}

fn bring_up(files: &Files, schema: &Schema, path: &Path, at: Timestamp) -> Result<()> {
    match schema.need(path)? {
        Need::Nothing => {}
        Need::Create => schema.create(path)?,
        Need::Migrate => schema.migrate(files, path, at.0)?,
    }
    if is_suspect(files, path) {
        check(path)?;
        let _ = std::fs::remove_file(files.suspect(path));
    }
    Ok(())
}

/// Reads the whole file, after SQLite reported damage in an earlier run.
fn check(path: &Path) -> Result<()> {
    let connection: Connection = schema::open(path).map_err(|error| error.at(path, "checking a database"))?;
    let said: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| StoreError::from(error).at(path, "checking a database"))?;
    if said == "ok" {
        return Ok(());
    }
    Err(StoreError::Damaged { path: path.to_path_buf(), detail: said, kept: None })
}
