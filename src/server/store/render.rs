//! Rows as JSON text, streamed: no reader ever builds a collection in memory.

use rusqlite::{Connection, Row, named_params};
use serde_json::Value as Json;

use super::{
    find::{self, Value},
    query::{self, Content, Entry, Query},
    sink::{NULL_ETAG, Sink, Stop, Tag, Text, push_key},
    tree::{has_key, members, read},
};
use crate::model::rtdb::normalise;

/// What is answered: plain values, or with priorities (`format=export`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Form {
    Plain,
    Export,
}

/// Writes what lies at a path, `null` for nothing.
pub(in crate::server) fn render(
    connection: &Connection,
    path: &[String],
    form: Form,
    sink: &mut dyn Sink,
) -> Result<(), Stop> {
    match find::value(connection, path)? {
        Value::Nothing => sink.text("null"),
        Value::Text(text) => render_text(&text, form, sink),
        Value::Rows { id, priority } => render_rows(connection, id, priority.as_deref(), form, sink),
    }
}

/// The ETag of what lies at a path. Costs a read of all of it.
pub(in crate::server) fn etag(connection: &Connection, path: &[String]) -> Result<String, Stop> {
    match find::value(connection, path)? {
        Value::Nothing => Ok(NULL_ETAG.to_owned()),
        Value::Text(text) => Ok(Tag::of(&find::plain(text))),
        Value::Rows { id, .. } => {
            let mut tag = Tag::default();
            render_rows(connection, id, None, Form::Plain, &mut tag)?;
            Ok(tag.finish())
        }
    }
}

/// The keys at a path, each with `true`; a leaf as it is.
pub(in crate::server) fn render_shallow(
    connection: &Connection,
    path: &[String],
    sink: &mut dyn Sink,
) -> Result<(), Stop> {
    match find::value(connection, path)? {
        Value::Nothing => sink.text("null"),
        Value::Text(text) => {
            let list = members(&text).expect("stored text was written by us");
            if list.is_empty() || has_key(&text, ".value") && list.iter().any(|(key, _)| key == ".value") {
                return render_text(&text, Form::Plain, sink);
            }
            let keys = list.iter().filter(|(key, raw)| *raw != "null" && !key.starts_with('.'));
            let members = keys.map(|(key, _)| (key.to_string(), Json::Bool(true)));
            sink.text(&Json::Object(members.collect()).to_string())
        }
        Value::Rows { id, .. } => {
            let mut statement = connection.prepare_cached("SELECT key FROM nodes WHERE parent = ?1 ORDER BY sort")?;
            let mut rows = statement.query([id])?;
            let mut mark = "{";
            while let Some(row) = rows.next()? {
                sink.text(mark)?;
                push_key(sink, row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?;
                sink.text("true")?;
                mark = ",";
            }
            sink.text("}")
        }
    }
}

/// Told the key and the text of every child of an answer.
pub(in crate::server) type Seen<'s> = &'s mut dyn FnMut(&str, &str);

/// Writes the children of `path` that a query admits, in its order.
pub(in crate::server) fn render_query(
    connection: &Connection,
    path: &[String],
    wanted: &Query,
    form: Form,
    sink: &mut dyn Sink,
    mut seen: Option<Seen<'_>>,
) -> Result<(), Stop> {
    let array = form == Form::Plain && query::reads_as_array(connection, path, wanted)?;
    let mut items: Vec<(usize, String)> = Vec::new();
    let mut next = 0_usize;
    query::visit(connection, path, wanted, &mut |entry| {
        if array || seen.is_some() {
            let mut text = Text::default();
            render_entry(connection, &entry, form, &mut text)?;
            if let Some(seen) = &mut seen {
                seen(entry.key, &text.0);
            }
            if array {
                items.push((entry.key.parse().unwrap_or(0), text.0));
                return Ok(());
            }
        }
        sink.text(if next == 0 { "{" } else { "," })?;
        next += 1;
        push_key(sink, entry.key)?;
        render_entry(connection, &entry, form, sink)
    })?;
    if !array {
        return sink.text(if next == 0 { "null" } else { "}" });
    }
    items.sort_unstable_by_key(|(at, _)| *at);
    for (at, text) in items {
        sink.text(if next == 0 { "[" } else { "," })?;
        (next..at).try_for_each(|_| sink.text("null,"))?;
        sink.text(&text)?;
        next = at + 1;
    }
    sink.text("]")
}

/// Writes the value of one child.
pub(in crate::server) fn render_entry(
    connection: &Connection,
    entry: &Entry<'_>,
    form: Form,
    sink: &mut dyn Sink,
) -> Result<(), Stop> {
    match entry.content {
        Content::Text(text) => render_text(text, form, sink),
        Content::Rows { id, priority } => render_rows(connection, id, priority, form, sink),
    }
}

pub(super) fn plain_text(connection: &Connection, id: i64, form: Form) -> Result<String, Stop> {
    let mut text = Text::default();
    render_rows(connection, id, None, form, &mut text)?;
    Ok(text.0)
}

fn render_text(text: &str, form: Form, sink: &mut dyn Sink) -> Result<(), Stop> {
    if form == Form::Plain && has_key(text, ".priority") {
        return match normalise(&read(text)) {
            Some(plain) => sink.text(&plain.to_string()),
            None => sink.text("null"),
        };
    }
    sink.text(text)
}

fn render_rows(
    connection: &Connection,
    id: i64,
    priority: Option<&str>,
    form: Form,
    sink: &mut dyn Sink,
) -> Result<(), Stop> {
    let array = form == Form::Plain && rows_are_array(connection, id)?;
    let mut statement =
        connection.prepare_cached("SELECT key, body, id, priority FROM nodes WHERE parent = :parent ORDER BY sort")?;
    let mut rows = statement.query(named_params! { ":parent": id })?;
    let mut next = 0_usize;
    while let Some(row) = rows.next()? {
        let entry = entry(row)?;
        if array {
            let at = entry.key.parse().unwrap_or(next);
            sink.text(if next == 0 { "[" } else { "," })?;
            (next..at).try_for_each(|_| sink.text("null,"))?;
            next = at + 1;
        } else {
            sink.text(if next == 0 { "{" } else { "," })?;
            push_key(sink, entry.key)?;
            next += 1;
        }
        render_entry(connection, &entry, form, sink)?;
    }
    if let Some(priority) = priority.filter(|_| form == Form::Export) {
        sink.text(",\".priority\":")?;
        sink.text(priority)?;
    }
    sink.text(match (next, array) {
        (0, _) => "null",
        (_, true) => "]",
        (_, false) => "}",
    })
}

/// Columns 0 to 3: key, body, id, priority.
pub(super) fn entry<'r>(row: &'r Row<'_>) -> rusqlite::Result<Entry<'r>> {
    let text = |at: usize| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_str_or_null()?);
    let content = match text(1)? {
        Some(body) => Content::Text(body),
        None => Content::Rows { id: row.get(2)?, priority: text(3)? },
    };
    Ok(Entry { key: text(0)?.unwrap_or_default(), content })
}

/// True where the children of a node read as an array. Integers come first in key order, so a look at the last key
/// settles it for nearly every collection; only integer keys are all read.
fn rows_are_array(connection: &Connection, id: i64) -> rusqlite::Result<bool> {
    let last = "SELECT key FROM nodes WHERE parent = ?1 ORDER BY sort DESC LIMIT 1";
    let mut statement = connection.prepare_cached(last)?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else { return Ok(false) };
    if !is_index(row.get_ref(0)?.as_str()?) {
        return Ok(false);
    }
    let mut statement = connection.prepare_cached("SELECT key FROM nodes WHERE parent = ?1 ORDER BY sort")?;
    let mut rows = statement.query([id])?;
    are_dense(|| rows.next()?.map(|row| row.get::<_, String>(0)).transpose())
}

pub(super) fn is_index(key: &str) -> bool {
    key.parse::<u32>().is_ok_and(|number| number.to_string() == key)
}

/// The rule of [`crate::model::rtdb::array_length`] over keys that are too many to hold.
pub(super) fn are_dense(mut next: impl FnMut() -> rusqlite::Result<Option<String>>) -> rusqlite::Result<bool> {
    let (mut count, mut highest) = (0_u64, 0_u64);
    while let Some(key) = next()? {
        if !is_index(&key) {
            return Ok(false);
        }
        highest = highest.max(key.parse().unwrap_or(u64::MAX));
        count += 1;
    }
    Ok(count > 0 && highest < count * 2)
}
