//! Before the files are opened: what is missing is made, what is old is migrated, what is damaged is salvaged (the
//! journal) or set aside (the others).

use std::path::Path;

use crate::{
    model::{
        activity::{Activity, Severity},
        time::{Clock, Timestamp},
    },
    store::{
        backup,
        error::{Result, StoreError},
        files::{self, Files, Lock},
        salvage,
        schema::{self, Need, Schema},
        search,
    },
};

/// What opening found out and did.
pub(super) struct Prepared {
    pub lock: Lock,
    /// What the user should know.
    pub notes: Vec<Activity>,
}

/// Brings the files into a state they can be used in and holds the data dir.
pub(super) fn prepare(files: &Files, clock: &dyn Clock) -> Result<Prepared> {
    let mut notes = Vec::new();
    mend_log(files, clock, &mut notes)?;
    for _ in 0..10 {
        let lock = files::hold(files)?;
        let work = work(files)?;
        if work == Work::None {
            return Ok(Prepared { lock, notes });
        }
        drop(lock);
        let alone = match files::hold_alone(files) {
            Err(StoreError::Locked { .. }) if work == Work::Damage => {
                let text = "the journal is damaged and another ebbtide has it open: quit that one, then start again";
                return Err(StoreError::Refused(text.to_owned()));
            }
            held => held?,
        };
        bring_all_up(files, clock, &mut notes)?;
        drop(alone);
    }
    // Somebody else keeps changing the files between our locks.
    Err(StoreError::Locked { path: files.lock() })
}

/// SQLite drops what is behind a bad frame of the log without a word, so the log is looked at before SQLite sees it.
/// Where somebody has the data open, SQLite has seen it.
fn mend_log(files: &Files, clock: &dyn Clock, notes: &mut Vec<Activity>) -> Result<()> {
    let journal = files.journal();
    if !files::beside(&journal, "-wal").exists() || salvage::is_unfinished(files) {
        return Ok(());
    }
    let Some(alone) = files::try_hold_alone(files)? else { return Ok(()) };
    if salvage::has_broken_log(&journal)? && !matches!(schema::JOURNAL.stated(&journal), Err(StoreError::TooNew { .. }))
    {
        let salvaged = salvage::salvage(files, "its write-ahead log has a bad frame")?;
        notes.push(salvaged.note(clock.at().wall));
    }
    drop(alone);
    Ok(())
}

fn bring_all_up(files: &Files, clock: &dyn Clock, notes: &mut Vec<Activity>) -> Result<()> {
    let at = clock.at();
    if salvage::is_unfinished(files) {
        salvage::finish_exchange(files)?;
        let text = "the exchange of a damaged journal was finished";
        notes.push(Activity::new(at.wall, Severity::Warning, "journal", text));
    }
    let journal = files.journal();
    let made_anew = !journal.exists() && files.mirror().exists();
    match bring_up(files, &schema::JOURNAL, &journal, at.wall) {
        Err(StoreError::Damaged { detail, .. }) => notes.push(salvage::salvage(files, &detail)?.note(at.wall)),
        Err(error) => return Err(error),
        Ok(()) if made_anew => {
            let text = "`journal.db` was missing: a new one was made";
            let hint =
                "edits that were not sent may be in a backup: `ebbtide journal restore FILE`; see the folder `backups`";
            notes.push(Activity::new(at.wall, Severity::Problem, "journal", text).with_hint(hint));
        }
        Ok(()) => {}
    }
    for (schema, path) in [(&schema::MIRROR, files.mirror()), (&schema::SEARCH, files.search())] {
        if let Err(error) = bring_up(files, schema, &path, at.wall) {
            let StoreError::Damaged { detail, .. } = &error else { return Err(error) };
            let kept = files::set_aside(files, &path)?;
            bring_up(files, schema, &path, at.wall)?;
            let text = format!("the {} was damaged ({detail}) and is being made again", schema.name);
            notes.push(
                Activity::new(at.wall, Severity::Warning, schema.name, text)
                    .with_hint(format!("nothing of yours was in it; the damaged one is kept at {}", kept.display())),
            );
        }
    }
    search::identify(files, &at)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    None,
    Some,
    /// The journal cannot be used as it is.
    Damage,
}

fn work(files: &Files) -> Result<Work> {
    let journal = files.journal();
    if salvage::is_unfinished(files) {
        return Ok(Work::Some);
    }
    match schema::JOURNAL.need(&journal) {
        Err(StoreError::Damaged { .. }) => return Ok(Work::Damage),
        Err(error) => return Err(error),
        Ok(Need::Nothing) if !is_suspect(files, &journal) => {}
        Ok(_) => return Ok(Work::Some),
    }
    for (schema, path) in [(&schema::MIRROR, files.mirror()), (&schema::SEARCH, files.search())] {
        match schema.need(&path) {
            Ok(Need::Nothing) if !is_suspect(files, &path) => {}
            Ok(_) | Err(StoreError::Damaged { .. }) => return Ok(Work::Some),
            Err(error) => return Err(error),
        }
    }
    Ok(Work::None)
}

fn is_suspect(files: &Files, path: &Path) -> bool {
    files.suspect(path).exists()
}

fn bring_up(files: &Files, schema: &Schema, path: &Path, at: Timestamp) -> Result<()> {
    match schema.need(path)? {
        Need::Nothing => {}
        Need::Create => schema.create(path)?,
        Need::Migrate => schema.migrate(files, path, at.0)?,
    }
    if is_suspect(files, path) {
        backup::check(path)?;
        let _ = std::fs::remove_file(files.suspect(path));
    }
    Ok(())
}
