//! Drafts: a snapshot plus the edits appended since, and the wish to commit it.

use rusqlite::{OptionalExtension, params};

use crate::{
    model::{
        activity::{Activity, Severity},
        draft::{Draft, DraftKey, DraftWrite},
        ids::{RecordKey, Revision},
        lazy::LazyDocument,
        time::Timestamp,
        vault::VaultReason,
    },
    store::{
        error::{Result, StoreError},
        journal::{Journal, Place, activity, ops, vault},
    },
};

pub(in crate::store) fn write(journal: &Journal, change: &DraftWrite, at: Timestamp) -> Result<()> {
    match change {
        DraftWrite::Snapshot { key, snapshot, base, base_revision } => {
            let place = journal.place(&key.record)?;
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
            journal.connection.prepare_cached("DELETE FROM draft_edits WHERE draft = ?1")?.execute([id])?;
            Ok(())
        }
        DraftWrite::Append { key, edit } => {
            let id = find(journal, key)?;
            journal
                .connection
                .prepare_cached("INSERT INTO draft_edits (draft, edit) VALUES (?1, ?2)")?
                .execute(params![id, edit])?;
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
        DraftWrite::Remove { key } => remove(journal, key),
        DraftWrite::Discard { key } => discard(journal, key, at).map(|_| ()),
    }
}

/// Puts a draft into the vault as it is, its edits included, and ends it. The number it has there; `None` where there is
/// no such draft.
pub(in crate::store) fn discard(journal: &Journal, key: &DraftKey, at: Timestamp) -> Result<Option<i64>> {
    let place = journal.place(&key.record)?;
    let target = key.target.to_key();
    let found = journal
        .connection
        .prepare_cached(
            "SELECT id, snapshot, base, base_revision, updated_at FROM drafts \
             WHERE collection = ?1 AND key = ?2 AND target = ?3",
        )?
        .query_row(params![place.collection, place.key, target], |row| {
            let draft = Draft {
                key: key.clone(),
                snapshot: row.get(1)?,
                edits: Vec::new(),
                base: row.get::<_, Option<String>>(2)?.map(LazyDocument::of_text),
                base_revision: row.get::<_, Option<String>>(3)?.map(Revision),
                commit_requested: None,
                updated_at: Timestamp(row.get(4)?),
            };
            Ok((row.get::<_, i64>(0)?, draft))
        })
        .optional()?;
    let Some((id, mut draft)) = found else { return Ok(None) };
    draft.edits = journal
        .connection
        .prepare_cached("SELECT edit FROM draft_edits WHERE draft = ?1 ORDER BY id")?
        .query_map([id], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let text = serde_json::to_string(&draft).expect("a draft is plain JSON");
    let revision = draft.base_revision.as_ref().map(Revision::as_str);
    vault::keep(journal, &place, &text, revision, VaultReason::DraftDiscarded, at)?;
    let number = journal.connection.last_insert_rowid();
    remove(journal, key)?;
    Ok(Some(number))
}

/// Makes a kept draft a draft again; what is there under its name goes into the vault for it.
pub(in crate::store) fn restore(journal: &Journal, draft: &Draft, at: Timestamp) -> Result<Option<i64>> {
    let Draft { key, snapshot, base_revision, .. } = draft.clone();
    let base = draft.base().cloned();
    let moved = discard(journal, &key, at)?;
    write(journal, &DraftWrite::Snapshot { key: key.clone(), snapshot, base, base_revision }, at)?;
    for edit in &draft.edits {
        write(journal, &DraftWrite::Append { key: key.clone(), edit: edit.clone() }, at)?;
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
    journal
        .connection
        .prepare_cached("DELETE FROM drafts WHERE collection = ?1 AND key = ?2 AND target = ?3")?
        .execute(params![place.collection, place.key, key.target.to_key()])?;
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
