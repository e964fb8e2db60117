//! Reads every page of the files, for `doctor`. Opening a database never notices a damaged page.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// What was found in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCheck {
    /// `journal.db`, `mirror.db`, `search.db`.
    pub file: &'static str,
    /// What is wrong, in SQLite's words; empty for a sound file.
    pub damage: Vec<String>,
    pub bytes: u64,
}

/// Checks the files that are there. Takes about a second per gigabyte and changes nothing.
pub fn check_files(dir: &Path) -> Vec<FileCheck> {
    ["journal.db", "mirror.db", "search.db"]
        .into_iter()
        .filter_map(|file| {
            let path = dir.join(file);
            let bytes = std::fs::metadata(&path).ok()?.len();
            let damage = quick_check(&path).unwrap_or_else(|error| vec![error.to_string()]);
            Some(FileCheck { file, damage, bytes })
        })
        .collect()
}

fn quick_check(path: &Path) -> rusqlite::Result<Vec<String>> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "query_only", true)?;
    let mut statement = connection.prepare("PRAGMA quick_check(20)")?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    Ok(rows.collect::<rusqlite::Result<Vec<String>>>()?.into_iter().filter(|row| row != "ok").collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_page_is_found_and_a_sound_file_is_not_accused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mirror.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE t (a TEXT); CREATE INDEX i ON t (a);").unwrap();
        for n in 0..2_000 {
            connection.execute("INSERT INTO t VALUES (?1)", [format!("row {n} {}", "x".repeat(50))]).unwrap();
        }
        drop(connection);
        assert_eq!(check_files(dir.path())[0].damage, Vec::<String>::new());
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2 / 4_096 * 4_096;
        bytes[middle..middle + 2_048].fill(0xa5);
        std::fs::write(&path, bytes).unwrap();
        let found = check_files(dir.path());
        assert_eq!((found.len(), found[0].file), (1, "mirror.db"));
        assert!(!found[0].damage.is_empty(), "{found:?}");
    }
}
