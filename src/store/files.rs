//! The data dir: where each file is, who may read it, who holds it, and what is kept when one is damaged.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest, Sha256};

use crate::store::error::{Result, StoreError};

const BALLAST: u64 = 8 << 20;
/// What must be left beside the ballast while it is filled.
const SPARE: u64 = 4 << 20;

/// The names inside a data dir.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub dir: PathBuf,
}

impl Files {
    pub fn journal(&self) -> PathBuf {
        self.dir.join("journal.db")
    }

    pub fn mirror(&self) -> PathBuf {
        self.dir.join("mirror.db")
    }

    pub fn search(&self) -> PathBuf {
        self.dir.join("search.db")
    }

    pub fn lock(&self) -> PathBuf {
        self.dir.join("data.lock")
    }

    pub fn leader(&self) -> PathBuf {
        self.dir.join("leader.lock")
    }

    /// One lock file per session name; names may hold anything, so they are percent-encoded.
    pub fn session(&self, name: &str) -> PathBuf {
        let safe = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        self.dir.join(format!("session-{safe}.lock"))
    }

    pub fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }

    pub fn backups(&self) -> PathBuf {
        self.dir.join("backups")
    }

    pub fn damaged(&self) -> PathBuf {
        self.dir.join("damaged")
    }

    /// Written when SQLite reported damage while running; the next start checks the file named by it.
    pub fn suspect(&self, file: &Path) -> PathBuf {
        let mut name = file.file_name().unwrap_or_default().to_os_string();
        name.push(".suspect");
        self.dir.join(name)
    }
}

pub(super) fn not_writable(path: &Path, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull { path: path.to_path_buf() },
        _ => StoreError::NotWritable { path: path.to_path_buf(), detail: error.to_string() },
    }
}

/// Makes a directory only its owner may enter; one that is there and empty is closed to others.
pub(super) fn private_dir(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        let empty = fs::read_dir(dir).map_err(|error| not_writable(dir, &error))?.next().is_none();
        if empty {
            // Best effort: a directory somebody prepared for us may belong to somebody else.
            let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
        }
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| not_writable(dir, &error))
}

/// Opens a file only its owner may read, creating it with that mode, so that no moment of openness exists.
pub(super) fn private_file(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| not_writable(path, &error))
}

/// The data-dir lock: shared while the data is open, exclusive while it is migrated.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Holds the data dir shared, as every process does that has it open.
pub(super) fn hold(files: &Files) -> Result<Lock> {
    let path = files.lock();
    let file = private_file(&path)?;
    wait_for(&path, || file.try_lock_shared())?;
    Ok(Lock { _file: file })
}

/// Holds the data dir alone, for a migration.
pub(super) fn hold_alone(files: &Files) -> Result<Lock> {
    let path = files.lock();
    let file = private_file(&path)?;
    wait_for(&path, || file.try_lock())?;
    Ok(Lock { _file: file })
}

/// Holds the data dir alone where nobody has it open this instant.
pub(super) fn try_hold_alone(files: &Files) -> Result<Option<Lock>> {
    try_hold(&files.lock())
}

/// Tries for up to 10 seconds: a migration by another process takes no longer, a running dashboard does.
fn wait_for(path: &Path, mut attempt: impl FnMut() -> Result<(), TryLockError>) -> Result<()> {
    for _ in 0..200 {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
            Err(TryLockError::Error(error)) => return Err(not_writable(path, &error)),
        }
    }
    Err(StoreError::Locked { path: path.to_path_buf() })
}

/// Takes a lock of one holder at a time (leader, session name); `None` where somebody else has it.
pub(super) fn try_hold(path: &Path) -> Result<Option<Lock>> {
    let file = private_file(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(not_writable(path, &error)),
    }
}

/// True while a process holds the lock file; never creates it.
pub(super) fn is_held(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// What a look at the first bytes of a database file says, without SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Missing,
    Empty,
    NotSqlite,
    Sqlite,
}

pub(super) fn look(path: &Path) -> Result<Look> {
    let mut head = [0_u8; 16];
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Look::Missing),
        Err(error) => return Err(not_writable(path, &error)),
    };
    let mut got = 0;
    while got < head.len() {
        match file.read(&mut head[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) => return Err(not_writable(path, &error)),
        }
    }
    Ok(match got {
        0 => Look::Empty,
        16 if &head == b"SQLite format 3\0" => Look::Sqlite,
        _ => Look::NotSqlite,
    })
}

/// `PRAGMA user_version` of a file as its first page has it.
pub(super) fn user_version(path: &Path) -> Option<i64> {
    use std::os::unix::fs::FileExt;
    let mut four = [0; 4];
    File::open(path).and_then(|file| file.read_exact_at(&mut four, 60)).ok()?;
    Some(i64::from(i32::from_be_bytes(four)))
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

/// What was renamed or removed in a directory survives a power cut.
pub(super) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| not_writable(dir, &error))
}

/// Removes a file that may be there.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(not_writable(path, &error)),
        _ => Ok(()),
    }
}

/// Copies a database and its WAL into `damaged/`, durably, named by content so that a second start does not copy again.
pub(super) fn keep_copy(files: &Files, path: &Path) -> Result<PathBuf> {
    let folder = files.damaged();
    private_dir(&folder)?;
    let mut hash = Sha256::new();
    for part in [path.to_path_buf(), beside(path, "-wal")] {
        if let Ok(mut file) = File::open(&part) {
            let mut buffer = vec![0_u8; 1 << 16];
            while let Ok(read) = file.read(&mut buffer)
                && read > 0
            {
                hash.update(&buffer[..read]);
            }
        }
    }
    let name: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let kept = folder.join(format!("{stem}-{name}.db"));
    if !kept.exists() {
        // Under its name last: what has the name is whole.
        let growing = beside(&kept, ".copying");
        for (suffix, to) in [("-wal", beside(&kept, "-wal")), ("", growing.clone())] {
            let from = beside(path, suffix);
            if from.exists() {
                copy_private(&from, &to)?;
            } else if suffix.is_empty() {
                private_file(&to)?;
            }
        }
        fs::rename(&growing, &kept).map_err(|error| not_writable(&kept, &error))?;
        sync_dir(&folder)?;
    }
    Ok(kept)
}

/// Moves a database that can be made again out of the way, in the place of the one moved before: it needs no space.
pub(super) fn set_aside(files: &Files, path: &Path) -> Result<PathBuf> {
    let folder = files.damaged();
    private_dir(&folder)?;
    let kept = folder.join(path.file_name().unwrap_or_default());
    for suffix in ["-wal", ""] {
        let (from, to) = (beside(path, suffix), beside(&kept, suffix));
        remove(&to)?;
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(not_writable(&to, &error)),
            _ => {}
        }
    }
    for suffix in ["-shm", "-journal"] {
        remove(&beside(path, suffix))?;
    }
    remove(&files.suspect(path))?;
    Ok(kept)
}

pub(super) fn copy_private(from: &Path, to: &Path) -> Result<()> {
    let mut source = File::open(from).map_err(|error| not_writable(from, &error))?;
    let mut target = private_file(to)?;
    target.set_len(0).map_err(|error| not_writable(to, &error))?;
    io::copy(&mut source, &mut target).and_then(|_| target.sync_all()).map_err(|error| not_writable(to, &error))
}

/// Copies a database and its WAL while others may write it: again until neither changed under the copy.
pub(super) fn copy_live(from: &Path, to: &Path) -> Result<()> {
    let stamp = || {
        ["", "-wal"]
            .map(|suffix| fs::metadata(beside(from, suffix)).ok().map(|about| (about.len(), about.modified().ok())))
    };
    for _ in 0..20 {
        let before = stamp();
        copy_private(from, to)?;
        let wal = beside(from, "-wal");
        if wal.exists() {
            copy_private(&wal, &beside(to, "-wal"))?;
        } else {
            let _ = fs::remove_file(beside(to, "-wal"));
        }
        if stamp() == before {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(StoreError::Locked { path: from.to_path_buf() })
}

/// Space held back for drafts and ops: real blocks, given up when the disk is full.
pub(super) fn fill_ballast(files: &Files) -> io::Result<()> {
    let path = files.ballast();
    if fs::metadata(&path).is_ok_and(|about| about.len() == BALLAST) {
        return Ok(());
    }
    // Where little is left the ballast would take it from the very edit that needs it.
    let free = rustix::fs::statvfs(&files.dir)?;
    if free.f_bavail.saturating_mul(free.f_frsize) < BALLAST + SPARE {
        return Err(io::ErrorKind::StorageFull.into());
    }
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    // Not zeros: a compressing file system would keep nothing for them.
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = Vec::with_capacity(1 << 16);
    for _ in 0..BALLAST >> 16 {
        block.clear();
        while block.len() < 1 << 16 {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            block.extend_from_slice(&word.to_le_bytes());
        }
        if let Err(error) = file.write_all(&block) {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
    }
    Ok(())
}

/// Gives the held-back space up. True where there was some.
pub(super) fn drop_ballast(files: &Files) -> bool {
    fs::remove_file(files.ballast()).is_ok()
}
