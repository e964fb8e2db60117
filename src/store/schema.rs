//! Opening the three files: connections with their settings, migrations with a copy before, what is done with a
//! damaged one.

use std::{fs, path::Path, sync::LazyLock, time::Duration};

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use rusqlite_migration::{M, Migrations};

use crate::store::{
    error::{Result, StoreError},
    files::{self, Files, Look},
};

/// One of the files, with what may be done when it cannot be read.
pub(super) struct Schema {
    pub name: &'static str,
    migrations: &'static LazyLock<Migrations<'static>>,
    known: i64,
}

macro_rules! migrations {
    ($($path:literal),* $(,)?) => {
        LazyLock::new(|| Migrations::new(vec![$(M::up(include_str!(concat!("../../assets/migrations/", $path)))),*]))
    };
}

static JOURNAL_STEPS: LazyLock<Migrations<'static>> = migrations![
    "journal/01-floor.sql",
    "journal/02-guards.sql",
    "journal/03-link.sql",
    "journal/04-steps.sql",
    "journal/05-moments.sql",
    "journal/06-draft-versions.sql",
    "journal/07-draft-text.sql",
    "journal/08-draft-edits.sql",
    "journal/09-settling.sql",
];
static MIRROR_STEPS: LazyLock<Migrations<'static>> = migrations!["mirror/01-floor.sql", "mirror/02-vanished.sql"];
static SEARCH_STEPS: LazyLock<Migrations<'static>> = migrations!["search/01-floor.sql"];

pub(super) static JOURNAL: Schema = Schema { name: "journal", migrations: &JOURNAL_STEPS, known: 9 };
pub(super) static MIRROR: Schema = Schema { name: "mirror", migrations: &MIRROR_STEPS, known: 2 };
pub(super) static SEARCH: Schema = Schema { name: "search", migrations: &SEARCH_STEPS, known: 1 };

/// What a file needs before it can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    Create,
    Migrate,
}

impl Schema {
    /// Looks at a file without changing it. Damage and newer schemas are errors here.
    pub fn need(&self, path: &Path) -> Result<Need> {
        let damaged =
            |detail: &str| StoreError::Damaged { path: path.to_path_buf(), detail: detail.to_owned(), kept: None };
        match files::look(path)? {
            Look::Missing if files::beside(path, "-wal").exists() => {
                Err(damaged("the database is missing, its write-ahead log is there"))
            }
            Look::Missing => Ok(Need::Create),
            Look::Empty => Err(damaged("the file is empty")),
            Look::NotSqlite => Err(damaged("the file is not a database")),
            Look::Sqlite => {
                // Not even a setting of a newer file is changed by looking at it.
                self.stated(path)?;
                let found = (|| -> Result<i64> {
                    let connection = open_for_reading(path)?;
                    // The writers open it in a moment: closing it must not fold the log into the file and remove it.
                    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
                    // Reading the schema is what notices a first page that makes no sense.
                    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
                    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
                })()
                .map_err(|error| error.at(path, "opening a database"))?;
                match found {
                    0 => Err(damaged("the database holds no schema")),
                    // No ebbtide has so many: the number itself is damaged.
                    found if !(0..=self.known + 1_000).contains(&found) => {
                        Err(damaged(&format!("its schema number {found} makes no sense")))
                    }
                    found if found > self.known => {
                        Err(StoreError::TooNew { path: path.to_path_buf(), found, known: self.known })
                    }
                    found if found < self.known => Ok(Need::Migrate),
                    _ => Ok(Need::Nothing),
                }
            }
        }
    }

    /// The version in a file's first page, not asked of SQLite: what a newer ebbtide wrote is left alone.
    pub fn stated(&self, path: &Path) -> Result<()> {
        let found = files::user_version(path).unwrap_or(0);
        if found > self.known && found <= self.known + 1_000 {
            return Err(StoreError::TooNew { path: path.to_path_buf(), found, known: self.known });
        }
        Ok(())
    }

    /// Makes the file under another name and moves it into place whole, so that an empty file is never one of ours.
    pub fn create(&self, path: &Path) -> Result<()> {
        let growing = files::beside(path, ".new");
        let _ = fs::remove_file(&growing);
        let _ = fs::remove_file(files::beside(&growing, "-journal"));
        files::private_file(&growing)?;
        let context = format!("creating the {}", self.name);
        let made = (|| -> Result<()> {
            let mut connection = Connection::open(&growing)?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            self.upgrade(&mut connection, path)
        })();
        made.map_err(|error| error.at(path, &context))?;
        fs::rename(&growing, path).map_err(|error| files::not_writable(path, &error))?;
        if let Some(folder) = path.parent().and_then(|folder| fs::File::open(folder).ok()) {
            // The new name must survive a power cut as well as the content.
            let _ = folder.sync_all();
        }
        Ok(())
    }

    /// Copies the file aside, then brings it to the present schema. The caller holds the data dir alone.
    pub fn migrate(&self, files: &Files, path: &Path, stamp: i64) -> Result<()> {
        let backups = files.backups();
        files::private_dir(&backups)?;
        let context = format!("migrating the {}", self.name);
        let mut connection = open(path).map_err(|error| error.at(path, &context))?;
        let step = |connection: &mut Connection| -> Result<()> {
            let from: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            let copy = backups.join(format!("{}-schema{from}-{stamp}.db", self.name));
            if !copy.exists() {
                files::remove(&files::beside(&copy, ".copying"))?;
                copy_into(connection, &copy)?;
                keep_newest(&backups, self.name)?;
            }
            self.upgrade(connection, path)
        };
        step(&mut connection).map_err(|error| error.at(path, &context))
    }

    /// The newest version this program knows.
    pub fn known(&self) -> usize {
        usize::try_from(self.known).expect("a handful")
    }

    /// An empty database of a version, to look its tables up.
    pub fn in_memory(&self, version: usize) -> Result<Connection> {
        let mut connection = Connection::open_in_memory()?;
        self.upgrade_to(&mut connection, version, Path::new(":memory:"))?;
        Ok(connection)
    }

    pub fn upgrade_to(&self, connection: &mut Connection, version: usize, path: &Path) -> Result<()> {
        self.done(self.migrations.to_version(connection, version), path)
    }

    pub fn upgrade(&self, connection: &mut Connection, path: &Path) -> Result<()> {
        self.done(self.migrations.to_latest(connection), path)
    }

    fn done(&self, outcome: rusqlite_migration::Result<()>, path: &Path) -> Result<()> {
        let damaged = |detail: String| StoreError::Damaged { path: path.to_path_buf(), detail, kept: None };
        outcome.map_err(|error| match error {
            // A step that does not fit the tables it finds: the schema number is not the file's.
            rusqlite_migration::Error::RusqliteError { err: rusqlite::Error::SqlInputError { msg, .. }, .. } => {
                damaged(format!("its tables are not those of its schema number: {msg}"))
            }
            rusqlite_migration::Error::RusqliteError { err, .. }
                if err.sqlite_error_code() == Some(rusqlite::ErrorCode::Unknown) =>
            {
                damaged(format!("its tables are not those of its schema number: {err}"))
            }
            rusqlite_migration::Error::RusqliteError { err, .. } => StoreError::from(err),
            other => damaged(other.to_string()),
        })
    }
}

/// Copies of a file from before a migration that are kept.
const KEPT: usize = 5;

/// `VACUUM INTO`: the file and its log as of one instant, beside whoever writes them. Durable and private, and under its
/// name only when it is whole.
pub(super) fn copy_into(connection: &Connection, to: &Path) -> Result<()> {
    let growing = files::beside(to, ".copying");
    // An empty file that is there is accepted: made private before the first byte.
    files::private_file(&growing)?.set_len(0).map_err(|error| files::not_writable(&growing, &error))?;
    connection.execute("VACUUM INTO ?1", [growing.to_string_lossy()])?;
    fs::File::open(&growing).and_then(|file| file.sync_all()).map_err(|error| files::not_writable(&growing, &error))?;
    fs::rename(&growing, to).map_err(|error| files::not_writable(to, &error))?;
    match to.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        Some(dir) => files::sync_dir(dir),
        None => Ok(()),
    }
}

/// Removes the oldest copies that migrations made; those somebody asked for stay.
fn keep_newest(backups: &Path, name: &str) -> Result<()> {
    let begin = format!("{name}-schema");
    let mut copies: Vec<_> = fs::read_dir(backups)
        .map_err(|error| files::not_writable(backups, &error))?
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(&begin) && name.ends_with(".db")
        })
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    copies.sort();
    let extra = copies.len().saturating_sub(KEPT);
    copies[..extra].iter().try_for_each(|(_, path)| files::remove(path))
}

/// A connection for writing: WAL, own checkpoints, nothing a hostile file could run.
pub(super) fn open(path: &Path) -> Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE,
    )?;
    harden(&connection)?;
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        tracing::warn!(path = %path.display(), mode, "the file system does not allow a write-ahead log");
    }
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
    if cfg!(target_vendor = "apple") {
        connection.pragma_update(None, "fullfsync", true)?;
        connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    }
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

/// A connection that only reads, of a file a writer of this or another process has open.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE,
    )?;
    harden(&connection)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

fn harden(connection: &Connection) -> Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
    // A plan is made once: beside a partial index SQLite would look at every value bound, and prepare the statement anew
    // for another one (a seventh of the processor time of a simulated run).
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    static ONE_STEP: LazyLock<Migrations<'static>> =
        LazyLock::new(|| Migrations::new(vec![M::up(include_str!("../../assets/migrations/journal/01-floor.sql"))]));
    static FLOOR: Schema = Schema { name: "journal", migrations: &ONE_STEP, known: 1 };
    static TWO_STEPS: LazyLock<Migrations<'static>> = LazyLock::new(|| {
        Migrations::new(vec![
            M::up(include_str!("../../assets/migrations/journal/01-floor.sql")),
            M::up("CREATE TABLE newer (n INTEGER);"),
        ])
    });
    static BROKEN_STEPS: LazyLock<Migrations<'static>> = LazyLock::new(|| {
        Migrations::new(vec![
            M::up(include_str!("../../assets/migrations/journal/01-floor.sql")),
            M::up("CREATE TABLE newer (n INTEGER); INSERT INTO nowhere VALUES (1);"),
        ])
    });

    fn version(path: &Path) -> i64 {
        open(path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    #[test]
    fn an_older_file_is_copied_before_it_is_migrated() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files { dir: dir.path().to_path_buf() };
        let path = files.journal();
        FLOOR.create(&path).unwrap();
        open(&path).unwrap().execute("INSERT INTO meta VALUES ('mine', '1')", []).unwrap();
        let newer = Schema { name: "journal", migrations: &TWO_STEPS, known: 2 };
        assert_eq!(newer.need(&path).unwrap(), Need::Migrate);
        newer.migrate(&files, &path, 7).unwrap();
        assert_eq!((version(&path), newer.need(&path).unwrap()), (2, Need::Nothing));
        let copy = files.backups().join("journal-schema1-7.db");
        assert_eq!(version(&copy), 1);
        let kept: String = open(&copy).unwrap().query_row("SELECT value FROM meta", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, "1");
        assert!(matches!(FLOOR.need(&path), Err(StoreError::TooNew { found: 2, known: 1, .. })));
    }

    #[test]
    fn the_newest_copies_of_migrations_are_kept_and_all_that_somebody_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files { dir: dir.path().to_path_buf() };
        files::private_dir(&files.backups()).unwrap();
        fs::write(files.backups().join("journal-mine.db"), "").unwrap();
        for n in 0..8_u64 {
            let file = fs::File::create(files.backups().join(format!("journal-schema1-{n}.db"))).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(n)).unwrap();
        }
        let path = files.journal();
        FLOOR.create(&path).unwrap();
        Schema { name: "journal", migrations: &TWO_STEPS, known: 2 }.migrate(&files, &path, 9).unwrap();
        let mut names: Vec<String> = fs::read_dir(files.backups())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let kept = ["mine", "schema1-4", "schema1-5", "schema1-6", "schema1-7", "schema1-9"];
        assert_eq!(names, kept.map(|name| format!("journal-{name}.db")));
    }

    #[test]
    fn a_migration_that_fails_leaves_the_file_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files { dir: dir.path().to_path_buf() };
        let path = files.journal();
        FLOOR.create(&path).unwrap();
        let broken = Schema { name: "journal", migrations: &BROKEN_STEPS, known: 2 };
        broken.migrate(&files, &path, 7).unwrap_err();
        assert_eq!((version(&path), FLOOR.need(&path).unwrap()), (1, Need::Nothing));
    }
}
