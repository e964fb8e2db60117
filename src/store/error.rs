//! Why the store could not do it, by what the caller can do about it.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;

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

impl From<rusqlite::Error> for StoreError {
    /// Without context; the edge of the module adds it.
    fn from(source: rusqlite::Error) -> Self {
        Self::Sqlite { context: String::new(), source }
    }
}

impl StoreError {
    /// Names the file and the intent, and turns SQLite's codes into what the caller can do.
    pub(super) fn at(self, path: &Path, context: &str) -> Self {
        let Self::Sqlite { context: known, source } = self else { return self };
        let path = path.to_path_buf();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull { path },
            // Shared memory that cannot be made on a full disk is reported as an I/O error.
            Some(ErrorCode::SystemIoFailure) if has_no_room(&path) => Self::DiskFull { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path, detail: source.to_string(), kept: None }
            }
            Some(
                ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::SystemIoFailure
                | ErrorCode::PermissionDenied
                | ErrorCode::AuthorizationForStatementDenied,
            ) => Self::NotWritable { path, detail: source.to_string() },
            _ => Self::Sqlite { context: if known.is_empty() { context.to_owned() } else { known }, source },
        }
    }

    pub(super) fn is_interrupt(&self) -> bool {
        matches!(self, Self::Sqlite { source, .. } if source.sqlite_error_code() == Some(ErrorCode::OperationInterrupted))
    }

    pub(super) fn is_disk_full(&self) -> bool {
        matches!(self, Self::DiskFull { .. })
            || matches!(self, Self::Sqlite { source, .. } if source.sqlite_error_code() == Some(ErrorCode::DiskFull))
    }

    /// The same error for each of several requests that failed in one commit.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::TooNew { path, found, known } => Self::TooNew { path: path.clone(), found: *found, known: *known },
            Self::Damaged { path, detail, kept } => {
                Self::Damaged { path: path.clone(), detail: detail.clone(), kept: kept.clone() }
            }
            Self::DiskFull { path } => Self::DiskFull { path: path.clone() },
            Self::NotWritable { path, detail } => Self::NotWritable { path: path.clone(), detail: detail.clone() },
            Self::Locked { path } => Self::Locked { path: path.clone() },
            Self::ReadOnly => Self::ReadOnly,
            Self::Refused(text) => Self::Refused(text.clone()),
            Self::Closed => Self::Closed,
            Self::Sqlite { context, source } => Self::Sqlite {
                context: context.clone(),
                source: match source {
                    rusqlite::Error::SqliteFailure(code, text) => rusqlite::Error::SqliteFailure(*code, text.clone()),
                    other => rusqlite::Error::ToSqlConversionFailure(other.to_string().into()),
                },
            },
        }
    }
}

/// True where not even SQLite's shared memory (32 KiB) fits beside the file: the disk is full, or the user's part of it.
fn has_no_room(path: &Path) -> bool {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if rustix::fs::statvfs(dir).is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) < 64 << 10) {
        return true;
    }
    // SQLite tells a quota that is used up like a broken disk; a file of our own is told the reason.
    let probe = dir.join(".space");
    let written = std::fs::write(&probe, [1_u8; 64 << 10]);
    let _ = std::fs::remove_file(&probe);
    written.is_err_and(|error| matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
}

pub(super) type Result<T, E = StoreError> = std::result::Result<T, E>;
