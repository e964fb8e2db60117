//! The vault: losing versions, kept once per content, compressed.

use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};

pub use crate::model::vault::VaultReason;
use crate::{
    model::time::Timestamp,
    store::{
        error::{Result, StoreError},
        journal::{Journal, Place},
    },
};

/// Keeps a version. The same text again takes no space.
pub(in crate::store) fn keep(
    journal: &Journal,
    place: &Place,
    text: &str,
    revision: Option<&str>,
    reason: VaultReason,
    at: Timestamp,
) -> Result<()> {
    let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let known = journal.connection.prepare_cached("SELECT 1 FROM vault_blobs WHERE hash = ?1")?.exists([&hash[..]])?;
    if !known {
        let body = zstd::bulk::compress(text.as_bytes(), 3)
            .map_err(|error| StoreError::Refused(format!("compressing a version for the vault: {error}")))?;
        journal
            .connection
            .prepare_cached("INSERT INTO vault_blobs (hash, size, body) VALUES (?1, ?2, ?3)")?
            .execute(params![&hash[..], text.len() as i64, body])?;
    }
    journal
        .connection
        .prepare_cached(
            "INSERT INTO vault (collection, key, record, reason, at, revision, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![place.collection, place.key, place.id.as_str(), reason.word(), at.0, revision, &hash[..]])?;
    Ok(())
}

/// Drops what is older than `before`, then the oldest until what is left takes at most `most` bytes on disk. A text kept
/// for several reasons counts once, for the newest.
pub(in crate::store) fn prune(journal: &Journal, before: Timestamp, most: u64) -> Result<()> {
    journal.connection.execute("DELETE FROM vault WHERE at < ?1", [before.0])?;
    let too_much: Option<i64> = journal
        .connection
        .prepare_cached(
            "SELECT id FROM (SELECT v.id AS id, sum(CASE WHEN EXISTS (SELECT 1 FROM vault w WHERE w.hash = v.hash AND \
             w.id > v.id) THEN 0 ELSE length(b.body) END) OVER (ORDER BY v.id DESC) AS kept \
             FROM vault v JOIN vault_blobs b ON b.hash = v.hash) WHERE kept > ?1 ORDER BY id DESC LIMIT 1",
        )?
        .query_row([i64::try_from(most).unwrap_or(i64::MAX)], |row| row.get(0))
        .optional()?;
    if let Some(newest) = too_much {
        journal.connection.execute("DELETE FROM vault WHERE id <= ?1", [newest])?;
    }
    journal.connection.execute(
        "DELETE FROM vault_blobs WHERE NOT EXISTS (SELECT 1 FROM vault v WHERE v.hash = vault_blobs.hash)",
        [],
    )?;
    Ok(())
}
