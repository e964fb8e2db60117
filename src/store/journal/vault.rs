//! The vault: losing versions, kept once per content, compressed.

use rusqlite::params;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    model::{
        ids::{RecordKey, Revision},
        time::Timestamp,
    },
    store::{
        error::{Result, StoreError},
        journal::{Journal, Place},
    },
};

/// Why a version lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VaultReason {
    /// An op was taken out of the outbox.
    Discarded,
    /// An edit was taken back.
    Undone,
    /// A conflict was resolved against the local version.
    LocalOverwritten,
    /// A conflict was resolved against the server's version.
    RemoteOverwritten,
    /// The record was gone on the server.
    RemovedByPull,
}

impl VaultReason {
    pub const ALL: [VaultReason; 5] =
        [Self::Discarded, Self::Undone, Self::LocalOverwritten, Self::RemoteOverwritten, Self::RemovedByPull];

    pub fn word(self) -> &'static str {
        match self {
            Self::Discarded => "discarded",
            Self::Undone => "undone",
            Self::LocalOverwritten => "local_overwritten",
            Self::RemoteOverwritten => "remote_overwritten",
            Self::RemovedByPull => "removed_by_pull",
        }
    }

    pub(in crate::store) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.word() == word)
    }
}

/// One kept version. Its text is read by [`crate::store::Reader::vault_text`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VaultEntry {
    pub id: i64,
    pub record: RecordKey,
    pub reason: VaultReason,
    pub at: Timestamp,
    pub revision: Option<Revision>,
    /// Hex SHA-256 of the text.
    pub hash: String,
    /// Bytes of the text.
    pub size: u64,
}

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

/// Drops what is older than `before`.
pub(in crate::store) fn prune(journal: &Journal, before: Timestamp) -> Result<()> {
    journal.connection.execute("DELETE FROM vault WHERE at < ?1", [before.0])?;
    journal.connection.execute(
        "DELETE FROM vault_blobs WHERE NOT EXISTS (SELECT 1 FROM vault v WHERE v.hash = vault_blobs.hash)",
        [],
    )?;
    Ok(())
}
