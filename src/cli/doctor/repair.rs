//! What `doctor --repair` does: only what needs no decision of the user's, and a line for each.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{Findings, Grade};
use crate::{
    cli::{output::count, world::World},
    runtime::emergency,
    store::{Mended, Store, StoreError},
};

/// Everything in the data dir, the files of its folders included; links are not followed.
pub(super) fn contents(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
        found.push(path);
    }
    found.sort();
    found
}

/// Rights and half-made files, before anything is opened.
pub(super) fn places(dir: &Path, findings: &mut Findings) {
    if !dir.exists() {
        return;
    }
    let mut closed = 0;
    for path in contents(dir).into_iter().chain([dir.to_path_buf()]) {
        let Ok(about) = std::fs::symlink_metadata(&path) else { continue };
        if about.is_symlink() || about.permissions().mode() & 0o077 == 0 {
            continue;
        }
        let mode = if about.is_dir() { 0o700 } else { 0o600 };
        match std::fs::set_permissions(&path, Permissions::from_mode(mode)) {
            Ok(()) => closed += 1,
            Err(error) => findings.add(
                "files",
                Grade::Warning,
                format!("`{}` could not be closed to others: {error}", path.display()),
                "ask its owner to: chmod go-rwx",
            ),
        }
    }
    if closed > 0 {
        findings.repaired("files", format!("{} closed to others on this computer", count(closed, "file")));
    }
    match Store::clear_leftovers(dir) {
        Ok(0) => {}
        Ok(gone) => {
            findings.repaired("files", format!("{} of a run that was cut off removed", count(gone, "half-made file")))
        }
        Err(error) => findings.add("files", Grade::Warning, error.to_string(), "quit every dashboard and repair again"),
    }
}

/// The journal's own rules.
pub(super) fn data(world: &World, findings: &mut Findings) {
    let opened = match Store::open(&world.paths.data_dir, crate::store::OpenMode::ReadWrite, world.clock.clone()) {
        Ok(store) => store,
        // Told by the checks, with its hint.
        Err(_) => return,
    };
    for note in opened.take_notes() {
        let hint = note.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        findings.repaired("data", format!("{}{hint}", note.text));
    }
    if let Err(error) = mend(world, &opened, findings) {
        findings.add("data", Grade::Problem, format!("not repaired: {error}"), "the log in the data dir says more");
    }
}

fn mend(world: &World, store: &Store, findings: &mut Findings) -> Result<(), StoreError> {
    let at = world.now();
    let Mended { contradictions, requeued, closed, reordered, typed, derived } = store.mend(at).wait()?;
    let lines = [
        (contradictions, "outbox", "edit", "whose state and time of settling contradicted each other"),
        (requeued, "outbox", "edit", "in conflict without the conflict: sent again, the server tells it anew"),
        (closed, "conflicts", "conflict", "without an edit closed; the versions are in the vault"),
        (reordered, "outbox", "edit", "put into the order of the record"),
        (typed, "drafts", "key", "typed in drafts put into place, or of no draft"),
        (derived, "outbox", "row", "of the derived tables made anew"),
    ];
    for (n, check, thing, what) in lines {
        if n > 0 {
            findings.repaired(check, format!("{} {what}", count(n, thing)));
        }
    }
    for note in emergency::recover_all(store, &world.paths.data_dir, at)? {
        findings.repaired("emergency", note.text);
    }
    let mut reader = store.reader()?;
    let saved = emergency::resume_requested_commits(store, &mut reader)?;
    if saved > 0 {
        findings.repaired("drafts", format!("{} whose saving was cut off queued", count(saved, "edit")));
    }
    // Only a leader may say that nobody sends any more.
    if let Some(_leader) = store.lock_leader()? {
        let doubtful = store.recover_in_flight(at).wait()?;
        if doubtful > 0 {
            let text = format!("{} being sent when the last run ended marked in doubt", count(doubtful, "edit"));
            findings.repaired("outbox", text);
        }
    }
    Ok(())
}
