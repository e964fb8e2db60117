//! Drafts: a snapshot plus the edits appended since, and the wish to commit it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{OptionalExtension, params};

use crate::{
    model::{
        activity::{Activity, Severity},
        document::Document,
        draft::{Draft, DraftKey, DraftText, DraftVersion, DraftWrite, Versions},
        ids::{OpId, RecordKey, Revision},
        time::Timestamp,
        vault::VaultReason,
    },
    store::{
        error::{Result, StoreError},
        journal::{Journal, Place, activity, ops, vault},
    },
};

/// The texts this process wrote last, by the number of the draft. Shared by the journal's writer and by who looks what
/// others did.
#[derive(Debug, Clone, Default)]
pub struct OwnDrafts(Arc<Mutex<HashMap<i64, DraftVersion>>>);

impl OwnDrafts {
    fn known(&self) -> MutexGuard<'_, HashMap<i64, DraftVersion>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of the drafts there are, those that others wrote last, and of this process' own those that are gone.
    pub fn of_others(&self, drafts: Vec<(i64, DraftVersion)>) -> Vec<(i64, DraftVersion)> {
        let mut own = self.known().clone();
        let mut others: Vec<_> = drafts.into_iter().filter(|(id, version)| own.remove(id) != Some(*version)).collect();
        others.extend(own.into_keys().map(|id| (id, DraftVersion::NONE)));
        others.sort_unstable();
        others
    }
}

/// The edits of a draft, first one first. The number of a row is the draft's, and its place in it.
pub(in crate::store) const EDITS: &str =
    "SELECT edit FROM main.draft_edits WHERE id > ?1 << 32 AND id < (?1 + 1) << 32 ORDER BY id";

fn remove_edits(journal: &Journal, draft: i64) -> Result<()> {
    journal
        .connection
        .prepare_cached("DELETE FROM draft_edits WHERE id > ?1 << 32 AND id < (?1 + 1) << 32")?
        .execute([draft])?;
    Ok(())
}

pub(in crate::store) fn write(journal: &Journal, change: &DraftWrite, at: Timestamp) -> Result<()> {
    match change {
        DraftWrite::Snapshot { key, snapshot, base, base_revision, versions } => {
            let place = journal.place(&key.record)?;
            match version(journal, &place, key)? {
                None => {}
                Some(there) if there == versions.from || there == versions.to => {}
                // Later texts have greater numbers, or the other window would take this one for an earlier one.
                Some(there) if versions.to.is_overtaken_by(there) => return Err(typed_elsewhere(key)),
                Some(_) => keep_other(journal, &place, key, snapshot, at)?,
            }
            let id: i64 = journal
                .connection
                .prepare_cached(
                    "INSERT INTO drafts (collection, key, record, target, snapshot, base, base_revision, updated_at) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
                     ON CONFLICT (collection, key, target) DO UPDATE SET snapshot = excluded.snapshot, \
                     base = excluded.base, base_revision = excluded.base_revision, updated_at = excluded.updated_at, \
                     commit_requested = NULL, commit_op = NULL RETURNING id",
                )?
                .query_row(
                    params![
                        place.collection,
                        place.key,
                        place.id.as_str(),
                        key.target.to_key(),
                        snapshot,
                        ops::text_of(base.as_ref()),
                        base_revision.as_ref().map(Revision::as_str),
                        at.0
                    ],
                    |row| row.get(0),
                )?;
            remove_edits(journal, id)?;
            journal
                .connection
                .prepare_cached(
                    "INSERT INTO draft_versions (draft, version) VALUES (?1, ?2) \
                     ON CONFLICT (draft) DO UPDATE SET version = excluded.version",
                )?
                .execute((id, versions.to.0))?;
            journal.own_drafts.known().insert(id, versions.to);
            Ok(())
        }
        DraftWrite::Append { key, edit, versions } => {
            let place = journal.place(&key.record)?;
            let found: Option<i64> = journal
                .connection
                .prepare_cached(
                    "INSERT INTO draft_edits (id, draft, version, edit) SELECT last.id + 1, last.draft, ?5, ?6 FROM \
                     (SELECT d.id AS draft, coalesce((SELECT max(e.id) FROM draft_edits e \
                     WHERE e.id > d.id << 32 AND e.id < (d.id + 1) << 32), d.id << 32) AS id FROM drafts d \
                     WHERE d.collection = ?1 AND d.key = ?2 AND d.target = ?3) last \
                     WHERE ?4 = coalesce((SELECT e.version FROM draft_edits e WHERE e.id = last.id), \
                     (SELECT v.version FROM draft_versions v WHERE v.draft = last.draft)) RETURNING draft",
                )?
                .query_row(
                    params![place.collection, place.key, key.target.to_key(), versions.from.0, versions.to.0, edit],
                    |row| row.get(0),
                )
                .optional()?;
            let Some(id) = found else {
                find(journal, key)?;
                return Err(typed_elsewhere(key));
            };
            journal.own_drafts.known().insert(id, versions.to);
            Ok(())
        }
        DraftWrite::RequestCommit { key, op } => {
            let id = find(journal, key)?;
            let body = serde_json::to_string(op).expect("ops are plain JSON");
            journal
                .connection
                .prepare_cached(
                    "UPDATE drafts SET commit_requested = ?2, commit_op = ?3, updated_at = ?4 WHERE id = ?1",
                )?
                .execute(params![id, op.op_id.to_string(), body, at.0])?;
            Ok(())
        }
        DraftWrite::Remove { key, version: known } => {
            let place = journal.place(&key.record)?;
            if version(journal, &place, key)?.is_some_and(|there| there != *known) {
                discard(journal, key, at)?;
            }
            remove(journal, key)
        }
        DraftWrite::Discard { key } => discard(journal, key, at).map(|_| ()),
    }
}

fn typed_elsewhere(key: &DraftKey) -> StoreError {
    StoreError::Refused(format!("another window typed in the draft of `{}`", key.record))
}

/// What another window typed gives way to a whole text that was not made on it.
fn keep_other(journal: &Journal, place: &Place, key: &DraftKey, snapshot: &str, at: Timestamp) -> Result<()> {
    let Some(draft) = read(journal, place, key)? else { return Ok(()) };
    if draft.snapshot == *snapshot && draft.edits.is_empty() {
        return Ok(());
    }
    keep(journal, place, &draft, VaultReason::DraftReplaced, at)?;
    // Both windows read it: neither is "another one" to the other.
    let text =
        format!("Two windows typed in the draft of {} at once; the text that gave way is in the vault", key.record);
    activity::note(journal, &[Activity::new(at, Severity::Warning, "editor", text).with_hint("`g v` brings it back")])
}

/// Puts a draft into the vault as it is, its edits included, and ends it. The number it has there; `None` where there is
/// no such draft.
pub(in crate::store) fn discard(journal: &Journal, key: &DraftKey, at: Timestamp) -> Result<Option<i64>> {
    let place = journal.place(&key.record)?;
    let Some(draft) = read(journal, &place, key)? else { return Ok(None) };
    let number = keep(journal, &place, &draft, VaultReason::DraftDiscarded, at)?;
    remove(journal, key)?;
    Ok(Some(number))
}

/// The number it has in the vault.
fn keep(journal: &Journal, place: &Place, draft: &Draft, reason: VaultReason, at: Timestamp) -> Result<i64> {
    let text = serde_json::to_string(draft).expect("a draft is plain JSON");
    let revision = draft.base_revision.as_ref().map(Revision::as_str);
    vault::keep(journal, place, &text, revision, reason, at)?;
    Ok(journal.connection.last_insert_rowid())
}

/// Rows of `draft_edits` whose number is not one of their draft: the number is believed where it is a draft's, else the
/// order of the versions. Rows of no draft mean nothing. How many there were.
pub(in crate::store) fn place_edits(journal: &Journal) -> Result<u64> {
    let connection = &journal.connection;
    let mut placed = connection.execute(
        "UPDATE draft_edits SET draft = id >> 32 WHERE draft <> id >> 32 AND id >> 32 IN (SELECT id FROM drafts)",
        [],
    )?;
    placed += connection.execute("DELETE FROM draft_edits WHERE draft NOT IN (SELECT id FROM drafts)", [])?;
    let mut displaced = connection.prepare("SELECT DISTINCT draft FROM draft_edits WHERE draft <> id >> 32")?;
    for draft in displaced.query_map([], |row| row.get::<_, i64>(0))?.collect::<rusqlite::Result<Vec<_>>>()? {
        let mut edits =
            connection.prepare("SELECT version, edit FROM draft_edits WHERE draft = ?1 ORDER BY version")?;
        let edits = edits.query_map([draft], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let edits = edits.collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
        connection.execute("DELETE FROM draft_edits WHERE draft = ?1", [draft])?;
        for (id, (version, edit)) in ((draft << 32) + 1..).zip(edits) {
            let row = params![id, draft, version, edit];
            connection.execute("INSERT INTO draft_edits (id, draft, version, edit) VALUES (?1, ?2, ?3, ?4)", row)?;
            placed += 1;
        }
    }
    Ok(placed as u64)
}

/// A draft with its edits.
fn read(journal: &Journal, place: &Place, key: &DraftKey) -> Result<Option<Draft>> {
    let found = journal
        .connection
        .prepare_cached(
            "SELECT d.id, d.snapshot, d.base, d.base_revision, d.updated_at, v.version FROM drafts d \
             LEFT JOIN draft_texts v ON v.draft = d.id WHERE d.collection = ?1 AND d.key = ?2 AND d.target = ?3",
        )?
        .query_row(params![place.collection, place.key, key.target.to_key()], |row| {
            let draft = Draft {
                key: key.clone(),
                snapshot: row.get(1)?,
                edits: Vec::new(),
                base: row.get::<_, Option<String>>(2)?.and_then(Document::read),
                base_revision: row.get::<_, Option<String>>(3)?.map(Revision),
                version: DraftVersion(row.get::<_, Option<i64>>(5)?.unwrap_or_default()),
                commit_requested: None,
                updated_at: Timestamp(row.get(4)?),
            };
            Ok((row.get::<_, i64>(0)?, draft))
        })
        .optional()?;
    let Some((id, mut draft)) = found else { return Ok(None) };
    draft.edits = journal
        .connection
        .prepare_cached(EDITS)?
        .query_map([id], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(draft))
}

/// Which text the journal holds; `None` where there is no such draft.
fn version(journal: &Journal, place: &Place, key: &DraftKey) -> Result<Option<DraftVersion>> {
    let found = journal
        .connection
        .prepare_cached(
            "SELECT v.version FROM drafts d LEFT JOIN draft_texts v ON v.draft = d.id \
             WHERE d.collection = ?1 AND d.key = ?2 AND d.target = ?3",
        )?
        .query_row(params![place.collection, place.key, key.target.to_key()], |row| row.get::<_, Option<i64>>(0))
        .optional()?;
    Ok(found.map(|version| DraftVersion(version.unwrap_or_default())))
}

/// The edit of a draft is an op now. A draft in which somebody typed since stays one; the wish to queue it is fulfilled.
pub(in crate::store) fn queued(journal: &Journal, draft: &DraftText, op: OpId) -> Result<()> {
    let place = journal.place(&draft.key.record)?;
    let is_whole = || -> Result<bool> {
        // Written anew after a refusal, it has another version, and the wish with it.
        let mut wish = journal.connection.prepare_cached(
            "SELECT 1 FROM drafts d WHERE collection = ?1 AND key = ?2 AND target = ?3 AND commit_requested = ?4 \
             AND NOT EXISTS (SELECT 1 FROM draft_edits e WHERE e.id > d.id << 32 AND e.id < (d.id + 1) << 32)",
        )?;
        Ok(wish.exists(params![place.collection, place.key, draft.key.target.to_key(), op.to_string()])?)
    };
    if version(journal, &place, &draft.key)?.is_none_or(|there| there == draft.version) || is_whole()? {
        return remove(journal, &draft.key);
    }
    journal
        .connection
        .prepare_cached(
            "UPDATE drafts SET commit_requested = NULL, commit_op = NULL \
             WHERE collection = ?1 AND key = ?2 AND target = ?3 AND commit_requested = ?4",
        )?
        .execute(params![place.collection, place.key, draft.key.target.to_key(), op.to_string()])?;
    Ok(())
}

/// Makes a kept draft a draft again; what is there under its name goes into the vault for it.
pub(in crate::store) fn restore(journal: &Journal, draft: &Draft, at: Timestamp) -> Result<Option<i64>> {
    let Draft { key, snapshot, base_revision, version, .. } = draft.clone();
    let base = draft.base().cloned();
    let moved = discard(journal, &key, at)?;
    let mut to = version.next(DraftVersion(at.0.saturating_mul(1 << 20)));
    let versions = Versions { from: DraftVersion::NONE, to };
    write(journal, &DraftWrite::Snapshot { key: key.clone(), snapshot, base, base_revision, versions }, at)?;
    for edit in &draft.edits {
        let versions = Versions { from: to, to: to.next(DraftVersion::NONE) };
        write(journal, &DraftWrite::Append { key: key.clone(), edit: edit.clone(), versions }, at)?;
        to = versions.to;
    }
    Ok(moved)
}

/// The record is gone on the server: what was typed for it stays, and the log says so.
pub(in crate::store) fn note_vanished(
    journal: &Journal,
    place: &Place,
    record: &RecordKey,
    at: Timestamp,
) -> Result<()> {
    let drafts: i64 = journal
        .connection
        .prepare_cached("SELECT count(*) FROM drafts WHERE collection = ?1 AND key = ?2")?
        .query_row(params![place.collection, place.key], |row| row.get(0))?;
    let what = match drafts {
        0 => return Ok(()),
        1 => "your draft of it is kept".to_owned(),
        many => format!("your {many} drafts of it are kept"),
    };
    let row = Activity::new(at, Severity::Warning, "editor", format!("{record} is gone on the server; {what}"))
        .with_hint("`g d` lists the drafts: make the record anew, copy the text, or discard it");
    activity::note(journal, &[row])
}

pub(in crate::store) fn remove(journal: &Journal, key: &DraftKey) -> Result<()> {
    let place = journal.place(&key.record)?;
    let removed: Option<i64> = journal
        .connection
        .prepare_cached("DELETE FROM drafts WHERE collection = ?1 AND key = ?2 AND target = ?3 RETURNING id")?
        .query_row(params![place.collection, place.key, key.target.to_key()], |row| row.get(0))
        .optional()?;
    if let Some(id) = removed {
        remove_edits(journal, id)?;
        journal.own_drafts.known().remove(&id);
    }
    Ok(())
}

/// Another session may have saved or left the draft meanwhile; then there is nothing to append to, and the editor
/// begins again with a snapshot.
fn find(journal: &Journal, key: &DraftKey) -> Result<i64> {
    let place = journal.place(&key.record)?;
    journal
        .connection
        .prepare_cached("SELECT id FROM drafts WHERE collection = ?1 AND key = ?2 AND target = ?3")?
        .query_row(params![place.collection, place.key, key.target.to_key()], |row| row.get(0))
        .optional()?
        .ok_or_else(|| StoreError::Refused(format!("there is no draft of `{}` to append to", key.record)))
}
