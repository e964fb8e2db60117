//! `journal`: copies of everything that exists only here, one put back, and what is left of a damaged one.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    DONE, Outcome,
    output::{self, Data, grouped, table, talk},
    report::Failure,
    shapes,
    world::World,
};
use crate::{
    model::time,
    store::{BackupFile, Restored, Salvage, Store, StoreError},
};

#[derive(Debug, Subcommand)]
pub(super) enum JournalCommand {
    Backup(BackupArgs),
    /// List the copies in the data dir, the newest first
    #[command(after_long_help = LIST_SHAPE)]
    List,
    Restore(RestoreArgs),
    Salvage(SalvageArgs),
}

/// Copy the journal as it is this instant, also beside a running dashboard
///
/// The copy is whole (what is still in the write-ahead log included), on disk when the command ends, and readable only
/// by you. It holds drafts, the outbox, conflicts, saved screens and the vault; never credentials.
#[derive(Debug, Args)]
#[command(after_long_help = BACKUP_SHAPE)]
pub(super) struct BackupArgs {
    /// A file that is not there yet [default: one named by the time, in `backups` of the data dir]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

const BACKUP_SHAPE: &str = "\
JSON:
  {\"backup\": PATH, \"bytes\"}";

const LIST_SHAPE: &str = "\
Before a migration a copy is made by itself; the newest five of those are kept.

JSON:
  [{\"backup\": PATH, \"bytes\", \"modified\"}]";

/// Put a copy in the place of the journal
///
/// The present journal is kept in `backups`. Edits of the copy that were sent meanwhile go out again under the condition
/// they were made on: where the record has moved since, it is compared, not overwritten. A damaged copy is read row by
/// row. Refused while a dashboard or another command has the data open.
#[derive(Debug, Args)]
#[command(after_long_help = RESTORE_SHAPE)]
pub(super) struct RestoreArgs {
    /// A copy, as `journal list` shows it, or a kept damaged file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

const RESTORE_SHAPE: &str = "\
JSON:
  {\"restored\": PATH, \"kept\": the journal that was there or null,
   \"salvaged\": null, or where the copy was damaged itself what `journal salvage` answers}";

/// Read the journal row by row into a new one, whether or not it seems damaged
///
/// A damaged journal is saved this way by itself when it is opened; this is for one that opens and still makes trouble
/// (`ebbtide doctor` says so). The present file is kept. Refused while a dashboard or another command has the data open.
#[derive(Debug, Args)]
#[command(after_long_help = SALVAGE_SHAPE)]
pub(super) struct SalvageArgs {
    /// Begin with an empty journal where nothing can be read; the unreadable file is kept
    #[arg(long)]
    begin_anew: bool,
}

const SALVAGE_SHAPE: &str = "\
JSON:
  {\"salvaged\": null where an empty journal was begun, else
    {\"detail\": what was wrong, \"complete\": true where every row could be read, \"edits\", \"drafts\",
     \"conflicts\", \"versions\", \"sessions\": how many are saved, \"bad_pages\", \"unread_rows\": how many
     could not be read, \"kept\": the damaged file, \"unread\": a file of the rows that fit nowhere, or null}}";

pub(super) fn run(world: &World, command: &JournalCommand) -> Outcome {
    match command {
        JournalCommand::Backup(args) => backup(world, args),
        JournalCommand::List => list(world),
        JournalCommand::Restore(args) => restore(world, args),
        JournalCommand::Salvage(args) => salvage(world, args),
    }
}

fn backup(world: &World, args: &BackupArgs) -> Outcome {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let data_dir = real(&world.paths.data_dir);
    let is_inside = args.file.as_ref().is_none_or(|file| {
        let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        real(dir).starts_with(&data_dir)
    });
    if world.is_read_only() && is_inside {
        return Err(Failure::store("no copy was made", StoreError::ReadOnly)
            .hint("name a FILE outside of the data dir, or leave --read-only out"));
    }
    let (path, bytes) = Store::backup(&world.paths.data_dir, args.file.as_deref(), world.now())
        .map_err(|error| Failure::store("no copy was made", error))?;
    if world.json {
        output::json(&json!({"backup": path, "bytes": bytes}))?;
        return Ok(DONE);
    }
    let mut data = Data::new();
    data.line(&path.display().to_string())?;
    data.finish()?;
    talk(&format!("copied {} KiB; `ebbtide journal restore FILE` puts it back", grouped(bytes.div_ceil(1024))));
    Ok(DONE)
}

fn list(world: &World) -> Outcome {
    let found = Store::backups(&world.paths.data_dir);
    if world.json {
        let shape = |file: &BackupFile| json!({"backup": file.path, "bytes": file.bytes, "modified": shapes::time(file.modified)});
        output::json(&found.iter().map(shape).collect::<Vec<Value>>())?;
        return Ok(DONE);
    }
    if found.is_empty() {
        talk("no copies; `ebbtide journal backup` makes one");
        return Ok(DONE);
    }
    let now = world.now();
    let row = |file: &BackupFile| {
        vec![
            time::age(now.since(file.modified)),
            format!("{} KiB", grouped(file.bytes.div_ceil(1024))),
            file.path.display().to_string(),
        ]
    };
    let mut data = Data::new();
    for line in table(&["AGE", "SIZE", "FILE"], &found.iter().map(row).collect::<Vec<_>>(), 400) {
        data.exact(&line)?;
    }
    data.finish()?;
    Ok(DONE)
}

fn restore(world: &World, args: &RestoreArgs) -> Outcome {
    if world.is_read_only() {
        return Err(Failure::store("nothing was restored", StoreError::ReadOnly));
    }
    let Restored { kept, salvage } = Store::restore(&world.paths.data_dir, &args.file, &world.clock)
        .map_err(|error| Failure::store("nothing was restored", error).or_hint(QUIT_FIRST))?;
    // Opening makes what is derived and says what is to be said.
    let counts = world.store()?.reader()?.counts()?;
    if world.json {
        let salvaged = salvage.as_ref().map(shape);
        output::json(&json!({"restored": args.file, "kept": kept, "salvaged": salvaged}))?;
        return Ok(DONE);
    }
    if let Some(salvage) = &salvage {
        tell(world, salvage);
    }
    talk(&format!("restored `{}`: {} wait", args.file.display(), output::count(counts.pending(), "edit")));
    if let Some(kept) = kept {
        talk(&format!("the journal that was there is kept at `{}`", kept.display()));
    }
    Ok(DONE)
}

fn salvage(world: &World, args: &SalvageArgs) -> Outcome {
    if world.is_read_only() {
        return Err(Failure::store("nothing was changed", StoreError::ReadOnly));
    }
    let salvaged = Store::salvage(&world.paths.data_dir, args.begin_anew)
        .map_err(|error| Failure::store("nothing was changed", error).or_hint(QUIT_FIRST))?;
    drop(world.store()?);
    if world.json {
        output::json(&json!({"salvaged": salvaged.as_ref().map(shape)}))?;
        return Ok(DONE);
    }
    match &salvaged {
        Some(salvage) => tell(world, salvage),
        None => talk("nothing could be read: an empty journal was begun; the unreadable one is kept in `damaged`"),
    }
    Ok(DONE)
}

const QUIT_FIRST: &str = "nothing is lost by quitting a dashboard; `ebbtide journal list` shows the copies there are";

fn tell(world: &World, salvage: &Salvage) {
    let note = salvage.note(world.now());
    talk(&note.text);
    if let Some(hint) = &note.hint {
        talk(hint);
    }
}

fn shape(salvage: &Salvage) -> Value {
    let saved = &salvage.saved;
    json!({
        "detail": salvage.detail,
        "complete": salvage.is_complete(),
        "edits": saved.edits,
        "drafts": saved.drafts,
        "conflicts": saved.conflicts,
        "versions": saved.versions,
        "sessions": saved.sessions,
        "bad_pages": saved.bad_pages,
        "unread_rows": saved.unread_rows,
        "kept": salvage.kept,
        "unread": salvage.unread,
    })
}
