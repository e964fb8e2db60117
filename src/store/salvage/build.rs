//! The new journal: made empty at the damaged one's version, filled row by row, brought up, and checked as a whole.

use std::{
    collections::BTreeSet,
    fmt,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, params_from_iter, types::Value};
use serde_json::json;

use crate::store::{
    error::{Result, StoreError},
    files,
    salvage::{
        pages::{Cell, Image},
        rows::{self, Found, Rows, Table},
    },
    schema,
};

/// A row of `meta`: the rules between the tables are still to be mended.
pub(in crate::store) const MENDING: &str = "salvaged";

/// Made anew from the others.
const DERIVED: [&str; 4] = ["shadow", "shadow_gone", "shadow_counts", "op_counts"];

/// What was saved, in rows, and what not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// Edits that wait, and those that are done.
    pub edits: u64,
    pub settled: u64,
    pub drafts: u64,
    pub conflicts: u64,
    pub versions: u64,
    pub sessions: u64,
    pub bad_pages: u64,
    pub unread_rows: u64,
    /// Frames of the write-ahead log could not be read.
    pub broken_log: bool,
}

impl fmt::Display for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |n: u64, thing: &str| if n == 1 { format!("1 {thing}") } else { format!("{n} {thing}s") };
        write!(
            f,
            "{}, {}, {}, {} and {} saved",
            count(self.edits, "waiting edit"),
            count(self.drafts, "draft"),
            count(self.conflicts, "conflict"),
            count(self.versions, "kept version"),
            count(self.sessions, "screen")
        )
    }
}

/// A row that could not be put into the new journal.
pub(super) struct Unfit {
    table: String,
    cell: Cell,
}

/// Fills `new` from the journal at `path`; `None` where nothing of a journal can be seen in it.
pub(super) fn build(path: &Path, new: &Path) -> Result<Option<(Saved, Vec<Unfit>)>> {
    let image = Image::open(path).map_err(|error| files::not_writable(path, &error))?;
    let version = version(&image)?;
    let reference = schema::JOURNAL.in_memory(version)?;
    let tables = rows::tables(&reference)?;
    let broken_log = image.has_broken_log();
    let mut found = rows::find(&image, &tables, broken_log);
    if broken_log {
        found.complete(rows::find(&image.before_the_break(), &tables, false));
    }
    if !found.recognised {
        return Ok(None);
    }
    clear(new)?;
    drop(files::private_file(new)?);
    let context = "saving a damaged journal";
    let mut unfit = Vec::new();
    let filled = (|| -> Result<Saved> {
        let mut connection = Connection::open(new)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", false)?;
        schema::JOURNAL.upgrade_to(&mut connection, version, path)?;
        fill(&mut connection, &tables, &mut found, &mut unfit)?;
        schema::JOURNAL.upgrade(&mut connection, path)?;
        check(&connection, new)?;
        let mut saved = count(&connection)?;
        saved.bad_pages = found.bad_pages.len() as u64;
        saved.unread_rows = unfit.len() as u64 + found.bad_cells;
        saved.broken_log = broken_log;
        Ok(saved)
    })();
    let saved = filled.map_err(|error| error.at(new, context))?;
    Ok(Some((saved, unfit)))
}

/// The same journal in a new file without a log, its derived rows to be made anew.
pub(super) fn remake(from: &Path, new: &Path) -> Result<()> {
    clear(new)?;
    let made = (|| -> Result<()> {
        schema::copy_into(&schema::open(from)?, new)?;
        let mut connection = Connection::open(new)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        schema::JOURNAL.upgrade(&mut connection, new)?;
        begin_mending(&connection)
    })();
    made.map_err(|error| error.at(new, "copying a journal"))
}

/// A journal without a row.
pub(super) fn empty(new: &Path) -> Result<()> {
    clear(new)?;
    drop(files::private_file(new)?);
    let made = (|| -> Result<()> {
        let mut connection = Connection::open(new)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        schema::JOURNAL.upgrade(&mut connection, new)
    })();
    made.map_err(|error| error.at(new, "making a journal"))
}

fn clear(new: &Path) -> Result<()> {
    ["", "-journal", "-wal", "-shm"].iter().try_for_each(|suffix| files::remove(&files::beside(new, suffix)))
}

/// What depends on the mirror and the rules between the tables follow at the next opening.
fn begin_mending(connection: &Connection) -> Result<()> {
    connection.execute("DELETE FROM meta WHERE name = 'mirror_identity'", [])?;
    connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, '1')", [MENDING])?;
    Ok(())
}

/// The schema the damaged file has: by its tables where they can be read, else by its number, else the newest.
fn version(image: &Image) -> Result<usize> {
    let known = schema::JOURNAL.known();
    let stated = usize::try_from(image.version()).ok().filter(|version| (1..=known).contains(version));
    let names = rows::names(image);
    for version in (1..=known).rev() {
        let tables = rows::tables(&schema::JOURNAL.in_memory(version)?)?;
        if tables.iter().all(|table| names.contains(&table.name)) {
            // Versions that added columns only have the same tables.
            return Ok(stated.filter(|stated| *stated <= version).map_or(version, |stated| {
                let same = |tables: &[Table]| tables.iter().map(|table| table.name.clone()).collect::<BTreeSet<_>>();
                let of_stated = schema::JOURNAL.in_memory(stated).and_then(|reference| rows::tables(&reference));
                if of_stated.is_ok_and(|other| same(&other) == same(&tables)) { stated } else { version }
            }));
        }
    }
    Ok(stated.unwrap_or(known))
}

fn fill(connection: &mut Connection, tables: &[Table], found: &mut Found, unfit: &mut Vec<Unfit>) -> Result<()> {
    let transaction = connection.transaction()?;
    for table in tables.iter().filter(|table| !DERIVED.contains(&table.name.as_str())) {
        let Rows { good, keyed, unfit: odd } = found.tables.remove(&table.name).unwrap_or_default();
        unfit.extend(odd.into_iter().map(|cell| Unfit { table: table.name.clone(), cell }));
        let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        let marks = vec!["?"; names.len()].join(", ");
        let sql = |how: &str| format!("{how} INTO \"{}\" (\"{}\") VALUES ({marks})", table.name, names.join("\", \""));
        let mut insert = transaction.prepare(&sql("INSERT"))?;
        for (rowid, values) in good {
            match insert.execute(params_from_iter(&values)) {
                Ok(_) => {}
                Err(error) if is_of_the_row(&error) => {
                    unfit.push(Unfit { table: table.name.clone(), cell: (rowid, values) });
                }
                Err(error) => return Err(error.into()),
            }
        }
        let mut replace = transaction.prepare(&sql("INSERT OR REPLACE"))?;
        for values in keyed {
            replace.execute(params_from_iter(&values))?;
        }
    }
    mend_references(&transaction, found, unfit)?;
    for (table, highest) in &found.sequence {
        transaction.execute("UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1", (table, highest))?;
        transaction.execute(
            "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, ?2 WHERE ?1 IN (SELECT name FROM sqlite_schema) AND \
             NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1)",
            (table, highest),
        )?;
    }
    // An op's number is never given twice, even where the op itself is lost.
    transaction.execute(
        "UPDATE sqlite_sequence SET seq = max(seq, (SELECT max(coalesce(max(seq), 0), coalesce(max(after), 0)) FROM ops), \
         (SELECT coalesce(max(seq), 0) FROM conflicts)) WHERE name = 'ops'",
        [],
    )?;
    begin_mending(&transaction)?;
    Ok(transaction.commit()?)
}

/// The row cannot stand beside another or has no place; other failures are the disk's.
fn is_of_the_row(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{ConstraintViolation, TooBig, TypeMismatch};
    matches!(error.sqlite_error_code(), Some(ConstraintViolation | TypeMismatch | TooBig))
}

/// Rows that name something that is lost: a collection gets a name back, parts of nothing go.
fn mend_references(connection: &Connection, found: &Found, unfit: &mut Vec<Unfit>) -> Result<()> {
    let mut nameless = connection.prepare(
        "SELECT DISTINCT collection FROM (SELECT collection FROM ops UNION SELECT collection FROM drafts \
         UNION SELECT collection FROM conflicts UNION SELECT collection FROM vault) \
         WHERE collection NOT IN (SELECT id FROM collections)",
    )?;
    for id in nameless.query_map([], |row| row.get::<_, i64>(0))?.collect::<rusqlite::Result<Vec<_>>>()? {
        let lost = ("lost".to_owned(), format!("collection-{id}"));
        let (source, name) = found.named.get(&id).unwrap_or(&lost);
        connection
            .execute("INSERT OR IGNORE INTO collections (id, source, name) VALUES (?1, ?2, ?3)", (id, source, name))?;
    }
    // The number of an edit names its draft a second time.
    if connection.prepare("SELECT 1 FROM pragma_table_info('draft_edits') WHERE name = 'version'")?.exists([])? {
        connection.execute("UPDATE draft_edits SET draft = id >> 32 WHERE id >> 32 IN (SELECT id FROM drafts)", [])?;
    }
    for (table, condition) in [
        ("draft_edits", "NOT EXISTS (SELECT 1 FROM drafts d WHERE d.id = draft)"),
        ("vault", "NOT EXISTS (SELECT 1 FROM vault_blobs b WHERE b.hash = vault.hash)"),
        ("guards", "NOT EXISTS (SELECT 1 FROM collections c WHERE c.id = collection)"),
    ] {
        let exists = "SELECT 1 FROM sqlite_schema WHERE name = ?1";
        if !connection.prepare(exists)?.exists([table])? {
            continue;
        }
        let mut lonely = connection.prepare(&format!("SELECT rowid, * FROM {table} WHERE {condition}"))?;
        let columns = lonely.column_count();
        let cells = lonely
            .query_map([], |row| {
                let values = (1..columns).map(|index| row.get(index)).collect::<rusqlite::Result<Vec<Value>>>()?;
                Ok((row.get(0)?, values))
            })?
            .collect::<rusqlite::Result<Vec<Cell>>>()?;
        unfit.extend(cells.into_iter().map(|cell| Unfit { table: table.to_owned(), cell }));
        connection.execute(&format!("DELETE FROM {table} WHERE {condition}"), [])?;
    }
    // Which text of a draft it is means nothing without the draft.
    if connection.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'draft_versions'")?.exists([])? {
        connection.execute("DELETE FROM draft_versions WHERE draft NOT IN (SELECT id FROM drafts)", [])?;
    }
    Ok(())
}

fn check(connection: &Connection, path: &Path) -> Result<()> {
    let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    let strays = connection.prepare("PRAGMA foreign_key_check")?.exists([])?;
    match said.as_str() {
        "ok" if !strays => Ok(()),
        _ => {
            Err(StoreError::Damaged { path: path.to_path_buf(), detail: format!("what was saved: {said}"), kept: None })
        }
    }
}

fn count(connection: &Connection) -> Result<Saved> {
    let count = |sql: &str| -> Result<u64> {
        let n: i64 = connection.query_row(&format!("SELECT count(*) FROM {sql}"), [], |row| row.get(0))?;
        Ok(u64::try_from(n).unwrap_or(0))
    };
    Ok(Saved {
        edits: count("ops WHERE settled_at IS NULL")?,
        settled: count("ops WHERE settled_at IS NOT NULL")?,
        drafts: count("drafts")?,
        conflicts: count("conflicts WHERE resolved_at IS NULL")?,
        versions: count("vault")?,
        sessions: count("(SELECT DISTINCT session FROM slices)")?,
        ..Saved::default()
    })
}

/// Writes the rows that fit nowhere beside the kept file, one JSON document a line.
pub(super) fn keep_unfit(kept: &Path, unfit: &[Unfit]) -> Result<Option<PathBuf>> {
    if unfit.is_empty() {
        return Ok(None);
    }
    let path = files::beside(kept, ".rows.jsonl");
    let written = (|| -> std::io::Result<()> {
        let mut out = std::io::BufWriter::new(create(&path)?);
        for Unfit { table, cell: (rowid, values) } in unfit {
            let values: Vec<serde_json::Value> = values.iter().map(as_json).collect();
            writeln!(out, "{}", json!({"table": table, "row": rowid, "values": values}))?;
        }
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
    })();
    written.map_err(|error| files::not_writable(&path, &error))?;
    Ok(Some(path))
}

fn create(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn as_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => json!(null),
        Value::Integer(n) => json!(n),
        Value::Real(x) => json!(x),
        Value::Text(text) => json!(text),
        Value::Blob(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "blob": hex })
        }
    }
}
