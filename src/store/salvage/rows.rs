//! The rows of a damaged journal: by its trees where they can be followed, by their shape where not.
//!
//! A row is believed when its values fit the columns of its table. Pages that no tree reaches any more are looked at
//! only where a tree was found broken; a row reached by a tree always wins over one found that way, which may be older.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rusqlite::{Connection, types::Value};

use crate::store::{
    error::Result,
    salvage::pages::{Cell, Image, Page},
};

/// What a table's rows look like, from a new journal of the same version.
pub(super) struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    /// The column that is the row's number.
    alias: Option<usize>,
    keyed: bool,
}

pub(super) struct Column {
    pub name: String,
    kind: String,
    required: bool,
    default: Option<i64>,
}

/// The rows found of one table.
#[derive(Default)]
pub(super) struct Rows {
    pub good: BTreeMap<i64, Vec<Value>>,
    /// Rows of a table without row numbers.
    pub keyed: Vec<Vec<Value>>,
    /// Rows that do not fit the table, as they are.
    pub unfit: Vec<Cell>,
}

#[derive(Default)]
pub(super) struct Found {
    pub tables: HashMap<String, Rows>,
    /// Pages of tables that could not be read, and cells on others.
    pub bad_pages: BTreeSet<u32>,
    pub bad_cells: u64,
    /// `(source, name)` of collections by number, from the index.
    pub named: HashMap<i64, (String, String)>,
    /// The highest numbers given so far, by table.
    pub sequence: HashMap<String, i64>,
    /// Anything at all was recognised.
    pub recognised: bool,
}

/// The tables of a journal that is whole.
pub(super) fn tables(reference: &Connection) -> Result<Vec<Table>> {
    let mut names = reference.prepare(
        "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite%'",
    )?;
    let names = names
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut tables = Vec::new();
    for (name, keyed) in names {
        let mut info =
            reference.prepare("SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info(?1)")?;
        let columns = info
            .query_map([&name], |row| {
                let (kind, pk): (String, i64) = (row.get(1)?, row.get(4)?);
                let default: Option<String> = row.get(3)?;
                let column = Column {
                    name: row.get(0)?,
                    required: row.get::<_, bool>(2)? || (keyed && pk > 0),
                    default: default.and_then(|text| text.parse().ok()),
                    kind,
                };
                Ok((column, pk > 0))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let alias = columns.iter().position(|(column, pk)| !keyed && *pk && column.kind == "INTEGER");
        let columns = columns.into_iter().map(|(column, _)| column).collect();
        tables.push(Table { name, columns, alias, keyed });
    }
    Ok(tables)
}

impl Column {
    fn takes(&self, value: &Value) -> bool {
        match value {
            Value::Null => !self.required,
            Value::Integer(_) => self.kind == "INTEGER",
            Value::Text(_) => self.kind == "TEXT",
            Value::Blob(_) => self.kind == "BLOB",
            Value::Real(_) => self.kind == "REAL",
        }
    }

    /// What stands where there is nothing, or nothing that fits; `None` where the row makes no sense without it.
    fn absent(&self) -> Option<Value> {
        match self.default {
            Some(default) => Some(Value::Integer(default)),
            None => (!self.required).then_some(Value::Null),
        }
    }
}

impl Table {
    /// The row with every column filled in, and whether a value had to be left out for that. `None` where the values can
    /// only be another table's, or what the user wrote does not fit.
    fn fit(&self, (rowid, values): &Cell) -> Option<(Vec<Value>, bool)> {
        if values.is_empty() || values.len() > self.columns.len() {
            return None;
        }
        let mut mended = false;
        let fill = |(index, column): (usize, &Column)| {
            let value = values.get(index);
            if self.alias == Some(index) {
                return (value == Some(&Value::Null)).then_some(Value::Integer(*rowid));
            }
            match value {
                Some(value) if column.takes(value) => Some(value.clone()),
                Some(_) if CONTENT.contains(&column.name.as_str()) => None,
                other => {
                    mended |= other.is_some();
                    column.absent()
                }
            }
        };
        let row = self.columns.iter().enumerate().map(fill).collect::<Option<_>>()?;
        Some((row, mended))
    }

    /// The row as it is, where every value fits.
    fn fit_exactly(&self, cell: &Cell) -> Option<Vec<Value>> {
        self.fit(cell).filter(|(_, mended)| !mended).map(|(row, _)| row)
    }
}

/// What the user wrote: a row without it is no row.
const CONTENT: [&str; 11] =
    ["record", "key", "changes", "document", "base", "snapshot", "edit", "body", "hash", "mine", "theirs"];

/// Reads whatever can be read. `strays`: look at pages no tree reaches even where every tree is whole, since single pages
/// may be older than the rest.
pub(super) fn find(image: &Image, tables: &[Table], strays: bool) -> Found {
    let mut found = Found::default();
    let mut reached = HashSet::from([1]);
    let roots = roots(image, &mut found, &mut reached);
    for table in tables {
        let rows = match roots.get(&table.name) {
            Some(root) => read_tree(image, table, *root, &mut found, &mut reached),
            None => {
                found.bad_pages.insert(1);
                Rows::default()
            }
        };
        found.recognised |= !rows.good.is_empty() || !rows.keyed.is_empty();
        found.tables.insert(table.name.clone(), rows);
    }
    if strays || !found.bad_pages.is_empty() {
        gather_strays(image, tables, &mut found, &reached);
    }
    if let Some(root) = roots.get("sqlite_sequence") {
        walk(image, *root, &mut Walk::default(), &mut |_, cell| {
            if let Some((_, values)) = cell
                && let [Value::Text(name), Value::Integer(highest)] = values.as_slice()
            {
                found.sequence.insert(name.clone(), *highest);
            }
            true
        });
    }
    if let Some(root) = roots.get("sqlite_autoindex_collections_1") {
        walk(image, *root, &mut Walk::default(), &mut |_, cell| {
            if let Some((_, values)) = cell
                && let [Value::Text(source), Value::Text(name), Value::Integer(id)] = values.as_slice()
            {
                found.named.insert(*id, (source.clone(), name.clone()));
            }
            true
        });
    }
    found
}

impl Found {
    /// Adds the rows of an earlier state that are not here: commits behind a gap in the log may have moved a row to a page
    /// that is in the gap. What was removed since may come back that way; nothing is lost.
    pub fn complete(&mut self, mut earlier: Found) {
        let drafts = |found: &Found| found.tables.get("drafts").map(|rows| rows.good.clone()).unwrap_or_default();
        let (now, before) = (drafts(self), drafts(&earlier));
        for (name, rows) in &mut earlier.tables {
            let there = self.tables.entry(name.clone()).or_default();
            for (rowid, values) in std::mem::take(&mut rows.good) {
                // Edits belong to one snapshot of their draft: those of an older one would be typed into a newer text.
                let fits = name != "draft_edits"
                    || matches!(values.get(1), Some(Value::Integer(draft))
                        if now.get(draft).is_none_or(|row| before.get(draft) == Some(row)));
                if fits {
                    there.good.entry(rowid).or_insert(values);
                }
            }
            // Later rows of the same key win where they are written.
            there.keyed.splice(0..0, std::mem::take(&mut rows.keyed));
        }
        self.named.extend(earlier.named);
        for (table, highest) in earlier.sequence {
            let known = self.sequence.entry(table).or_default();
            *known = highest.max(*known);
        }
        self.recognised |= earlier.recognised;
    }
}

/// The tables the schema names, as far as it can be read.
pub(super) fn names(image: &Image) -> BTreeSet<String> {
    roots(image, &mut Found::default(), &mut HashSet::new()).into_keys().collect()
}

/// Where each table and index begins, by the schema table as far as it can be read.
fn roots(image: &Image, found: &mut Found, reached: &mut HashSet<u32>) -> HashMap<String, u32> {
    let mut roots = HashMap::new();
    let mut seen = Walk::default();
    walk(image, 1, &mut seen, &mut |page, cell| {
        if let Some((_, values)) = cell
            && let [Value::Text(kind), Value::Text(name), _, Value::Integer(root), ..] = values.as_slice()
            && matches!(kind.as_str(), "table" | "index")
            && let Ok(root) = u32::try_from(*root)
        {
            roots.insert(name.clone(), root);
            reached.insert(page);
        }
        true
    });
    found.bad_pages.extend(seen.bad);
    found.recognised |= roots.contains_key("ops") && roots.contains_key("drafts");
    roots
}

fn read_tree(image: &Image, table: &Table, root: u32, found: &mut Found, reached: &mut HashSet<u32>) -> Rows {
    let mut rows = Rows::default();
    let (mut seen, mut bad_cells) = (Walk::default(), 0);
    walk(image, root, &mut seen, &mut |page, cell| {
        let Some(cell) = cell else {
            bad_cells += 1;
            return false;
        };
        let Some((values, mended)) = table.fit(&cell) else {
            rows.unfit.push(cell);
            return false;
        };
        if mended {
            rows.unfit.push(cell.clone());
        }
        reached.insert(page);
        if table.keyed {
            rows.keyed.push(values);
        } else {
            rows.good.entry(cell.0).or_insert(values);
        }
        true
    });
    reached.extend(seen.empty);
    found.bad_cells += bad_cells;
    found.bad_pages.extend(seen.bad);
    rows
}

/// Rows on pages no tree reaches: each goes to the table it fits exactly.
fn gather_strays(image: &Image, tables: &[Table], found: &mut Found, reached: &HashSet<u32>) {
    let free = image.free();
    for number in 2..=image.count {
        if reached.contains(&number) || free.contains(&number) {
            continue;
        }
        let Page::Leaf(cells) = image.read(number) else { continue };
        for cell in cells.into_iter().flatten() {
            let mut fitting = tables.iter().filter(|table| !table.keyed && is_shaped(table, &cell));
            let (Some(first), second) = (fitting.next(), fitting.next()) else { continue };
            let table = match second {
                None => first,
                // Edits of drafts and wishes to the sync leader look alike; a wish has a time where the edit has a draft.
                Some(second) => {
                    let is_time = matches!(cell.1.get(1), Some(Value::Integer(n)) if *n > 1_000_000_000);
                    if is_time == (first.name == "draft_edits") { second } else { first }
                }
            };
            let Some(values) = table.fit_exactly(&cell) else { continue };
            let rows = found.tables.entry(table.name.clone()).or_default();
            rows.unfit.retain(|unfit| *unfit != cell);
            rows.good.entry(cell.0).or_insert(values);
            found.recognised = true;
        }
    }
}

/// Whether a row found anywhere can only be of this table.
fn is_shaped(table: &Table, cell: &Cell) -> bool {
    // Columns added later may be missing; a row with too few of the first ones is something else.
    let least = table.columns.len() - table.columns.len() / 4;
    table.alias.is_none_or(|alias| cell.1.get(alias) == Some(&Value::Null))
        && cell.1.len() >= least.min(table.columns.len())
        && table.columns.len() > 1
        && table.fit_exactly(cell).is_some()
}

#[derive(Default)]
struct Walk {
    seen: HashSet<u32>,
    bad: BTreeSet<u32>,
    /// Pages without a cell.
    empty: Vec<u32>,
}

/// Every cell of a tree, with the page it is on. `take` answers whether the cell belongs there.
fn walk(image: &Image, root: u32, walk: &mut Walk, take: &mut impl FnMut(u32, Option<Cell>) -> bool) {
    let mut waiting = vec![root];
    while let Some(number) = waiting.pop() {
        if !walk.seen.insert(number) {
            walk.bad.insert(number);
            continue;
        }
        let cells = match image.read(number) {
            Page::Unknown => {
                walk.bad.insert(number);
                continue;
            }
            Page::Leaf(cells) => cells,
            Page::Inner(children, cells) => {
                waiting.extend(children.into_iter().rev());
                cells
            }
        };
        if cells.is_empty() {
            walk.empty.push(number);
        }
        for cell in cells {
            if !take(number, cell) {
                walk.bad.insert(number);
            }
        }
    }
}
