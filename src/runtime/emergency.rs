//! What a run could not save and wrote beside the journal, brought back into it; and saves that were cut off.
//!
//! Each writing of an emergency file holds all that the journal lacks, so its last whole line is all of it. What the
//! journal has already, or has newer, is left as it is there.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    model::{
        activity::{Activity, Severity},
        draft::{Draft, DraftKey, DraftVersion, DraftWrite, Versions},
        ids::{Revision, SessionName},
        op::NewOp,
        session::{Slice, UiCommit},
        time::Timestamp,
    },
    store::{QueueEdit, Reader, Store, StoreError},
};

/// Where a session's text goes while the journal takes none.
pub fn file(data_dir: &Path, session: &SessionName) -> PathBuf {
    data_dir.join("emergency").join(format!("{}.jsonl", session.as_str().replace('/', "_")))
}

#[derive(Deserialize)]
struct Line {
    drafts: Vec<Typed>,
    #[serde(default)]
    session: Vec<Part>,
}

#[derive(Deserialize)]
struct Typed {
    draft: DraftKey,
    snapshot: Option<String>,
    base: Option<Value>,
    base_revision: Option<Revision>,
    edit: Option<String>,
    #[serde(default)]
    versions: Versions,
    queue: Option<Box<NewOp>>,
}

#[derive(Deserialize)]
struct Part {
    slice: String,
    version: Option<u16>,
    body: String,
}

/// What an emergency file says of a state that is not in the journal: the drafts as they were typed, and the screen.
pub fn line(state: &UiCommit) -> Value {
    let typed: Vec<Value> = state.drafts.iter().filter_map(typed).collect();
    let slice = |slice: &Slice| json!({"slice": slice.name, "version": slice.version, "body": slice.body});
    json!({ "drafts": typed, "session": state.slices.iter().map(slice).collect::<Vec<_>>() })
}

fn typed(write: &DraftWrite) -> Option<Value> {
    match write {
        DraftWrite::Snapshot { key, snapshot, base, base_revision, versions } => Some(json!({
            "draft": key, "snapshot": snapshot, "base": base, "base_revision": base_revision, "versions": versions,
        })),
        DraftWrite::Append { key, edit, versions } => Some(json!({"draft": key, "edit": edit, "versions": versions})),
        DraftWrite::RequestCommit { key, op } => Some(json!({"draft": key, "queue": op})),
        DraftWrite::Remove { .. } | DraftWrite::Discard { .. } => None,
    }
}

/// Brings back what the emergency file of a session holds. The caller is the session's only writer. `None`: there is none.
pub fn recover(
    store: &Store,
    data_dir: &Path,
    session: &SessionName,
    at: Timestamp,
) -> Result<Option<Activity>, StoreError> {
    let path = file(data_dir, session);
    let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
    let written = fs::metadata(&path).and_then(|about| about.modified()).ok();
    let written = written.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let written = Timestamp(written.map_or(0, |span| i64::try_from(span.as_millis()).unwrap_or(i64::MAX)));
    let Some(line) = text.lines().rev().find_map(|line| serde_json::from_str::<Line>(line).ok()) else {
        let kept = set_aside(&path, at);
        let note = Activity::new(at, Severity::Warning, "session", "the emergency file of the last run cannot be read");
        return Ok(Some(note.with_hint(format!("it is kept at {}", kept.display()))));
    };
    let mut reader = store.reader()?;
    let present: BTreeMap<DraftKey, Draft> =
        reader.drafts()?.into_iter().map(|draft| (draft.key.clone(), draft)).collect();
    let saved_at = reader.session(session)?.saved_at;
    let Wanted { drafts, left } = wanted(line.drafts, &present, written);
    let is_newer = saved_at.is_none_or(|saved| saved <= written);
    let slices = line.session.into_iter().filter(|_| is_newer);
    let slices: Vec<Slice> =
        slices.filter_map(|part| Some(Slice { name: part.slice, version: part.version?, body: part.body })).collect();
    let changed: std::collections::BTreeSet<&DraftKey> = drafts.iter().map(DraftWrite::key).collect();
    let brought = changed.len();
    let mut note = None;
    if brought > 0 {
        let plural = if brought == 1 { "draft that" } else { "drafts that" };
        let text = format!("brought back {brought} {plural} the last run could not save");
        note = Some(Activity::new(at, Severity::Warning, "session", text));
    }
    if left > 0 {
        let kept = set_aside(&path, at);
        let text = format!("{left} changes of an emergency file fit no draft any more");
        let hint = format!("they are kept at {}", kept.display());
        note = Some(Activity::new(at, Severity::Warning, "session", text).with_hint(hint));
    }
    let activity = note.iter().cloned().collect();
    store.commit_ui(session, UiCommit { slices, drafts, activity }).wait()?;
    // All of it is in the journal now, or kept under another name.
    let _ = fs::remove_file(&path);
    Ok(note)
}

/// [`recover`] for every session nobody has open.
pub fn recover_all(store: &Store, data_dir: &Path, at: Timestamp) -> Result<Vec<Activity>, StoreError> {
    let mut notes = Vec::new();
    for entry in fs::read_dir(data_dir.join("emergency")).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(session) = name.to_str().and_then(|name| name.strip_suffix(".jsonl")) else { continue };
        let session = SessionName::from(session);
        if let Some(_lock) = store.lock_session(&session)? {
            notes.extend(recover(store, data_dir, &session, at)?);
        }
    }
    Ok(notes)
}

struct Wanted {
    drafts: Vec<DraftWrite>,
    /// Edits of drafts that are not there.
    left: usize,
}

/// The writes that bring the journal to what was typed.
fn wanted(typed: Vec<Typed>, present: &BTreeMap<DraftKey, Draft>, written: Timestamp) -> Wanted {
    let mut by_draft: BTreeMap<DraftKey, Vec<Typed>> = BTreeMap::new();
    for typed in typed {
        by_draft.entry(typed.draft.clone()).or_default().push(typed);
    }
    let (mut drafts, mut left) = (Vec::new(), 0);
    for (key, typed) in by_draft {
        let there = present.get(&key);
        let mut now = there.map_or(DraftVersion::NONE, |there| there.version);
        let begins = typed.iter().rposition(|typed| typed.snapshot.is_some());
        let typed: Vec<Typed> = typed.into_iter().skip(begins.unwrap_or(0)).collect();
        let edits: Vec<&String> = typed.iter().filter_map(|typed| typed.edit.as_ref()).collect();
        let is_known = match there {
            // Somebody began the draft again since.
            Some(there) if begins.is_some() && there.updated_at > written => true,
            Some(there) => {
                let tail = there.edits.len().saturating_sub(edits.len());
                let has_edits = there.edits[tail..].iter().collect::<Vec<_>>() == edits;
                let snapshot = typed.iter().find_map(|typed| typed.snapshot.as_ref());
                has_edits && snapshot.is_none_or(|snapshot| *snapshot == there.snapshot)
            }
            None => false,
        };
        for typed in typed {
            if let Some(op) = typed.queue {
                if there.is_some() || begins.is_some() {
                    drafts.push(DraftWrite::RequestCommit { key: key.clone(), op });
                } else {
                    left += 1;
                }
            } else if is_known {
            } else if let Some(snapshot) = typed.snapshot {
                let (base, base_revision) = (typed.base, typed.base_revision);
                // A file of before versions says nothing of what it was made on.
                let from = if typed.versions == Versions::default() { now } else { typed.versions.from };
                let versions = Versions { from, to: now.next(typed.versions.to) };
                now = versions.to;
                drafts.push(DraftWrite::Snapshot { key: key.clone(), snapshot, base, base_revision, versions });
            } else if let Some(edit) = typed.edit {
                if there.is_some() || begins.is_some() {
                    let versions = Versions { from: now, to: now.next(typed.versions.to) };
                    now = versions.to;
                    drafts.push(DraftWrite::Append { key: key.clone(), edit, versions });
                } else {
                    left += 1;
                }
            }
        }
    }
    Wanted { drafts, left }
}

fn set_aside(path: &Path, at: Timestamp) -> PathBuf {
    let kept = path.with_extension(format!("{}.kept", at.0));
    if let Err(error) = fs::rename(path, &kept) {
        tracing::error!("the emergency file `{}` could not be set aside: {error}", path.display());
        return path.to_path_buf();
    }
    kept
}

/// Edits whose queueing had been asked for when the process died: `saving` was on the screen, so they are queued now,
/// idempotently by their op id. Answers how many.
pub fn resume_requested_commits(store: &Store, reader: &mut Reader) -> Result<u64, StoreError> {
    let mut resumed = 0;
    for (draft, op) in reader.commit_requests()? {
        match store.queue(QueueEdit { op, draft: Some(draft), session: None, activity: None }).wait() {
            Ok(_) => resumed += 1,
            Err(StoreError::Refused(reason)) => tracing::warn!("an edit that was being saved stays a draft: {reason}"),
            Err(error) => return Err(error),
        }
    }
    Ok(resumed)
}
