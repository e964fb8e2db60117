//! Why the store could not do it, by what the caller can do about it.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Written by a newer ebbtide. Open it read-only, or run the newer version.
    #[error("`{path}` was written by a newer ebbtide (schema {found}; this one knows {known})")]
    TooNew { path: PathBuf, found: i64, known: i64 },
    /// Not SQLite, or damaged. A copy is kept at `kept`; nothing was thrown away.
    #[error("`{path}` is damaged: {detail}")]
    Damaged { path: PathBuf, detail: String, kept: Option<PathBuf> },
    #[error("the disk is full while writing `{path}`")]
    DiskFull { path: PathBuf },
    #[error("`{path}` cannot be written: {detail}")]
    NotWritable { path: PathBuf, detail: String },
    /// Another process holds a lock longer than the busy timeout.
    #[error("another program holds a lock on `{path}`")]
    Locked { path: PathBuf },
    #[error("the data was opened read-only")]
    ReadOnly,
    /// The request does not fit the present state; nothing was changed. The text says why.
    #[error("{0}")]
    Refused(String),
    #[error("the store was closed")]
    Closed,
    #[error("{context}")]
    Sqlite {
        context: String,
        #[source]
        source: rusqlite::Error,
    },
}
