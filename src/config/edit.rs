//! Changes a configuration file and leaves everything else in it as it is, comments included.

use std::{
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, TableLike, value};

use super::{Config, ConfigErrors, parse, sources::check_url};
use crate::model::{
    ids::{CollectionKey, SourceName},
    rules::{FieldRule, Pattern},
    source::SourceKind,
};

/// What `init` was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSource {
    pub name: String,
    pub kind: SourceKind,
    pub url: String,
    pub token_env: Option<String>,
    pub allow_plain: bool,
    pub collections: Vec<String>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EditError {
    #[error("{reason}")]
    Url { reason: String, hint: String },
    #[error("there is a source named `{0}` already")]
    Duplicate(String),
    /// `[[source]]` is written in a way that cannot be added to (an inline array).
    #[error("the sources or collections of the file are an inline array")]
    Inline,
    #[error("the collection `{0}` is not in the file")]
    Unknown(CollectionKey),
    #[error("the source `{0}` is not in the file")]
    NoSource(SourceName),
    #[error("{0}")]
    Syntax(String),
}

const HEADER: &str = "\
# ebbtide's configuration. Every key is explained in the example that `ebbtide init --example` prints.
";

/// The text of the file with the source added; `existing` is empty for a new file and `config` what it says now.
pub fn add_source(existing: &str, config: &Config, source: &NewSource) -> Result<String, EditError> {
    check_url(&source.url, source.allow_plain).map_err(|(reason, hint)| EditError::Url { reason, hint })?;
    if config.sources.iter().any(|known| known.name.as_str() == source.name) {
        return Err(EditError::Duplicate(source.name.clone()));
    }
    let text = if existing.trim().is_empty() { HEADER } else { existing };
    let mut document: DocumentMut = text.parse().map_err(|error| EditError::Syntax(format!("{error}")))?;
    let mut table = table(source);
    if document.as_table().is_empty() {
        // What a file without a key says is said above the first.
        let above = document.trailing().as_str().unwrap_or_default().trim_end().to_owned();
        document.set_trailing("");
        table.decor_mut().set_prefix(format!("{above}\n\n"));
    }
    let sources = document.entry("source").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let sources = sources.as_array_of_tables_mut().ok_or(EditError::Inline)?;
    sources.push(table);
    Ok(document.to_string())
}

/// Why something is not in the file; the file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    #[error("could not read `{path}`")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{source}")]
    Edit { path: PathBuf, source: EditError },
    #[error(transparent)]
    Invalid(#[from] ConfigErrors),
    #[error("could not write `{path}`")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Keeps a rule for a field of a collection in the file; everything else in it stays, comments included.
pub fn keep_rule(path: &Path, key: &CollectionKey, pattern: &Pattern, rule: FieldRule) -> Result<(), NotWritten> {
    change(path, |text| set_rule(text, key, pattern, rule))
}

/// Gives a source another address; where it has that one, the file is not touched.
pub fn keep_url(path: &Path, source: &SourceName, url: &str) -> Result<(), NotWritten> {
    change(path, |text| set_url(text, source, url))
}

fn change(path: &Path, edit: impl FnOnce(&str) -> Result<String, EditError>) -> Result<(), NotWritten> {
    let existing =
        std::fs::read_to_string(path).map_err(|source| NotWritten::Read { path: path.to_owned(), source })?;
    let text = edit(&existing).map_err(|source| NotWritten::Edit { path: path.to_owned(), source })?;
    if text == existing {
        return Ok(());
    }
    parse(&text, path)?;
    replace(path, &text).map_err(|source| NotWritten::Write { path: path.to_owned(), source })
}

/// Replaces the file in one step, for the user's eyes alone (0600), following a link to where it points. A file that
/// was made read only stays as it is.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if std::fs::metadata(&target).is_ok_and(|known| known.permissions().readonly()) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is read only"));
    }
    let dir = target.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|error| error.error)?;
    Ok(())
}

/// The text of the file with a rule for a field of a collection; a rule the place has already is replaced.
pub(super) fn set_rule(
    existing: &str,
    collection: &CollectionKey,
    pattern: &Pattern,
    rule: FieldRule,
) -> Result<String, EditError> {
    let mut document: DocumentMut = existing.parse().map_err(|error| EditError::Syntax(format!("{error}")))?;
    let unknown = || EditError::Unknown(collection.clone());
    let sources = document.get_mut("source").ok_or_else(unknown)?;
    let source = named(sources, collection.source.as_str())?.ok_or_else(unknown)?;
    let collections = source.get_mut("collection").ok_or_else(unknown)?;
    let table = named(collections, collection.collection.as_str())?.ok_or_else(unknown)?;
    let fields = table.entry("fields").or_insert_with(|| value(toml_edit::InlineTable::new()));
    let fields = fields.as_table_like_mut().ok_or_else(unknown)?;
    set(fields, &pattern.to_string(), rule.word());
    Ok(document.to_string())
}

fn set_url(existing: &str, source: &SourceName, url: &str) -> Result<String, EditError> {
    let mut document: DocumentMut = existing.parse().map_err(|error| EditError::Syntax(format!("{error}")))?;
    let unknown = || EditError::NoSource(source.clone());
    let sources = document.get_mut("source").ok_or_else(unknown)?;
    set(named(sources, source.as_str())?.ok_or_else(unknown)?, "url", url);
    Ok(document.to_string())
}

/// Sets a value; what stands around a value that was there stays.
fn set(table: &mut dyn TableLike, name: &str, word: &str) {
    match table.get_mut(name).and_then(Item::as_value_mut) {
        Some(known) => {
            let decor = known.decor().clone();
            *known = word.into();
            *known.decor_mut() = decor;
        }
        None => _ = table.insert(name, value(word)),
    }
}

/// The table of an array of tables that has this name.
fn named<'d>(tables: &'d mut Item, name: &str) -> Result<Option<&'d mut dyn TableLike>, EditError> {
    let tables = tables.as_array_of_tables_mut().ok_or(EditError::Inline)?;
    let has_name = |table: &&mut Table| table.get("name").and_then(Item::as_str) == Some(name);
    Ok(tables.iter_mut().find(has_name).map(|table| table as &mut dyn TableLike))
}

fn table(source: &NewSource) -> Table {
    let mut table = Table::new();
    table.decor_mut().set_prefix("\n");
    table["name"] = value(&source.name);
    table["kind"] = value(source.kind.word());
    table["url"] = value(&source.url);
    if let Some(variable) = &source.token_env {
        let mut auth = toml_edit::InlineTable::new();
        auth.insert("token_env", variable.into());
        table["auth"] = value(auth);
    }
    if source.allow_plain {
        table["allow_plain"] = value(true);
    }
    let mut collections = ArrayOfTables::new();
    for name in &source.collections {
        let mut collection = Table::new();
        collection.decor_mut().set_prefix("\n");
        match name.rsplit_once('/') {
            Some((_, last)) => {
                collection["name"] = value(last);
                collection["path"] = value(name);
            }
            None => collection["name"] = value(name),
        }
        collections.push(collection);
    }
    if !collections.is_empty() {
        table["collection"] = Item::ArrayOfTables(collections);
    }
    table
}
