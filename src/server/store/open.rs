//! Opening the file: schema, pragmas, the lock that keeps a second server out, and the pool of readers.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use tokio::sync::Semaphore;

use super::index;

/// "ebbt": what tells our files from other SQLite files.
const APPLICATION_ID: i32 = 0x6562_6274;
const SCHEMA: i32 = 1;
/// Reads at one time; more wait. Each may hold a thread while its client takes the answer.
const READERS: usize = 48;
/// Connections kept open between reads.
const IDLE_READERS: usize = 16;

/// The readers' side of the file. The writer's connection is handed out once, by [`Database::open`].
pub(in crate::server) struct Database {
    path: PathBuf,
    durable: bool,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    _temporary: Option<tempfile::TempDir>,
}

/// What opening gives.
pub(in crate::server) struct Opened {
    pub(in crate::server) database: Arc<Database>,
    pub(in crate::server) writer: Connection,
    /// The access rules stored with the data.
    pub(in crate::server) rules: Option<String>,
    /// Names this database among all others; kept in its file.
    pub(in crate::server) identity: String,
    /// To be held while anything writes; the system unlocks it if the process is killed.
    pub(in crate::server) lock: File,
}

impl Database {
    /// Opens or creates the file; a database without an identity is given `new_identity`. Without a path the data lies in a temporary directory and is not synced to disk.
    pub(in crate::server) fn open(path: Option<&Path>, new_identity: &str) -> Result<Opened, String> {
        let (path, temporary) = match path {
            Some(path) => (path.to_owned(), None),
            None => {
                let directory = tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))?;
                (directory.path().join("memory.db"), Some(directory))
            }
        };
        let lock = lock(&path)?;
        create_private(&path).map_err(|error| error.to_string())?;
        let durable = temporary.is_none();
        let writer = connect(&path, durable).and_then(|writer| Ok((prepare(&writer)?, writer)));
        let (known, writer) = writer.map_err(|error| error.to_string())?;
        known?;
        let rules = super::write::fact(&writer, "rules").map_err(|error| error.to_string())?;
        let identity = identity(&writer, new_identity).map_err(|error| error.to_string())?;
        let database = Self {
            path,
            durable,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(READERS)),
            _temporary: temporary,
        };
        Ok(Opened { database: Arc::new(database), writer, rules, identity, lock })
    }

    /// Runs a read on a thread that may block. Waits while too many others read.
    pub(in crate::server) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Connection) -> Result<T, super::Stop> + Send + 'static,
    ) -> Result<T, super::Stop> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| super::Stop::Enough)?;
        let database = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let connection = database.take()?;
            let outcome = job(&connection);
            database.give_back(connection);
            outcome
        });
        task.await.unwrap_or(Err(super::Stop::Enough))
    }

    fn take(&self) -> rusqlite::Result<Connection> {
        if let Some(connection) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(connection);
        }
        let connection = connect(&self.path, self.durable)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "cache_size", -2048)?;
        Ok(connection)
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_READERS && connection.is_autocommit() {
            idle.push(connection);
        }
    }
}

fn identity(writer: &Connection, new: &str) -> rusqlite::Result<String> {
    if let Some(known) = super::write::fact(writer, "identity")? {
        return Ok(known);
    }
    super::write::set_fact(writer, "identity", new)?;
    Ok(new.to_owned())
}

fn lock(path: &Path) -> Result<File, String> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(PathBuf::from(name))
        .map_err(|error| error.to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err("another server has it open".to_owned()),
        Err(fs::TryLockError::Error(error)) => Err(error.to_string()),
    }
}

/// SQLite gives its side files the mode of the main one, so that must be right from the start.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn connect(path: &Path, durable: bool) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "page_size", 8192)?;
    connection.pragma_update(None, "synchronous", if durable { "FULL" } else { "OFF" })?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "wal_autocheckpoint", 2000)?;
    index::register(&connection)?;
    Ok(connection)
}

/// Creates the schema in an empty file. The inner error: the file is somebody else's, or of a newer program.
fn prepare(connection: &Connection) -> rusqlite::Result<Result<(), String>> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let (application, schema) = (number("application_id")?, number("user_version")?);
    if tables > 0 && application != APPLICATION_ID {
        return Ok(Err("it is a database, but not one of an ebbtide backend".to_owned()));
    }
    if schema > SCHEMA {
        return Ok(Err(format!("it was written by a newer ebbtide (schema {schema}); this one knows {SCHEMA}")));
    }
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    if tables == 0 {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE;
             PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = {SCHEMA};
             CREATE TABLE nodes (
                 parent INTEGER NOT NULL,
                 sort BLOB NOT NULL,
                 key TEXT NOT NULL,
                 body TEXT,
                 id INTEGER,
                 priority TEXT,
                 PRIMARY KEY (parent, sort),
                 CHECK ((body IS NULL) <> (id IS NULL))
             ) STRICT, WITHOUT ROWID;
             CREATE INDEX splits ON nodes(parent, sort) WHERE body IS NULL;
             CREATE TABLE facts (name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
             INSERT INTO nodes (parent, sort, key, id) VALUES (0, x'', '', 1);
             INSERT INTO facts VALUES ('writes', 0), ('next_id', 2);
             COMMIT;"
        ))?;
    }
    Ok(Ok(()))
}
