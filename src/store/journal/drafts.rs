//! Drafts: a snapshot plus the edits appended since, and the wish to commit it.

use rusqlite::params;

use crate::{
    model::{
        draft::{DraftKey, DraftWrite},
        ids::Revision,
        time::Timestamp,
    },
    store::{
        error::{Result, StoreError},
        journal::{Journal, ops},
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
    }
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
    use rusqlite::OptionalExtension;
    let place = journal.place(&key.record)?;
    journal
        .connection
        .prepare_cached("SELECT id FROM drafts WHERE collection = ?1 AND key = ?2 AND target = ?3")?
        .query_row(params![place.collection, place.key, key.target.to_key()], |row| row.get(0))
        .optional()?
        .ok_or_else(|| StoreError::Refused(format!("there is no draft of `{}` to append to", key.record)))
}
