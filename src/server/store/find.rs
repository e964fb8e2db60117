//! Finding the row, or the place inside a row, that a path names.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::{
    render::{Form, plain_text},
    tree::{child_at, has_key, read},
};
use crate::model::rtdb::{normalise, sort_key};

/// The id under which the children of the root lie.
pub(super) const ROOT: i64 = 1;

/// One row of `nodes`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// Stored text of the whole subtree.
    Body(String),
    /// A row per child under this id.
    Split { id: i64, priority: Option<String> },
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) node: Node,
    /// Keys of the path that led to the row; the rest lies inside its body.
    pub(super) depth: usize,
    /// The parent id of each row on the way, the root's first.
    pub(super) parents: Vec<i64>,
}

/// The deepest row on the way to `path`: the one it names, or the body it leads into. `None`: nothing is there.
pub(super) fn find(connection: &Connection, path: &[String]) -> rusqlite::Result<Result<Found, Vec<i64>>> {
    let mut parents = vec![0];
    let mut node = match path.first() {
        // The root is looked at only where it matters: it is a row per child unless a leaf was put there.
        Some(_) if !root_is_leaf(connection)? => Node::Split { id: ROOT, priority: None },
        _ => match row(connection, 0, &[])? {
            Some(node) => node,
            None => return Ok(Err(parents)),
        },
    };
    for (depth, key) in path.iter().enumerate() {
        let Node::Split { id, .. } = node else { return Ok(Ok(Found { node, depth, parents })) };
        parents.push(id);
        match row(connection, id, &sort_key(key))? {
            Some(next) => node = next,
            None => return Ok(Err(parents)),
        }
    }
    Ok(Ok(Found { node, depth: path.len(), parents }))
}

fn root_is_leaf(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM nodes WHERE parent = 0 AND sort = x'' AND body IS NOT NULL")?.exists([])
}

pub(super) fn row(connection: &Connection, parent: i64, sort: &[u8]) -> rusqlite::Result<Option<Node>> {
    connection
        .prepare_cached("SELECT body, id, priority FROM nodes WHERE parent = :parent AND sort = :sort")?
        .query_row(named_params! { ":parent": parent, ":sort": sort }, |row| {
            Ok(match row.get::<_, Option<String>>(0)? {
                Some(body) => Node::Body(body),
                None => Node::Split { id: row.get(1)?, priority: row.get(2)? },
            })
        })
        .optional()
}

/// What lies at a path: a value in memory, rows, or nothing.
pub(super) enum Value {
    Nothing,
    /// Stored text.
    Text(String),
    Rows {
        id: i64,
        priority: Option<String>,
    },
}

pub(super) fn value(connection: &Connection, path: &[String]) -> rusqlite::Result<Value> {
    let Ok(found) = find(connection, path)? else { return Ok(Value::Nothing) };
    let rest = &path[found.depth..];
    Ok(match found.node {
        Node::Body(body) if rest.is_empty() => Value::Text(body),
        Node::Body(body) => match child_at(&read(&body), rest) {
            Some(value) => Value::Text(value.to_string()),
            None => Value::Nothing,
        },
        Node::Split { id: ROOT, .. } if !has_children(connection, ROOT)? => Value::Nothing,
        Node::Split { id, priority } => Value::Rows { id, priority },
    })
}

pub(super) fn has_children(connection: &Connection, id: i64) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM nodes WHERE parent = ?1 LIMIT 1")?.exists([id])
}

/// The plain text at a path, whole in memory; for small places only.
pub(in crate::server) fn child_body(connection: &Connection, path: &[String]) -> Result<Option<String>, super::Stop> {
    Ok(match value(connection, path)? {
        Value::Nothing => None,
        Value::Text(text) => Some(plain(text)),
        Value::Rows { id, .. } => Some(plain_text(connection, id, Form::Plain)?),
    })
}

/// The priority of a place, as JSON text.
pub(in crate::server) fn priority(connection: &Connection, path: &[String]) -> Result<Option<String>, super::Stop> {
    Ok(match value(connection, path)? {
        Value::Text(text) => read(&text).get(".priority").map(ToString::to_string),
        Value::Rows { priority, .. } => priority,
        Value::Nothing => None,
    })
}

/// Stored text as a plain read answers it.
pub(super) fn plain(text: String) -> String {
    if has_key(&text, ".priority") {
        normalise(&read(&text)).map_or_else(|| "null".to_owned(), |value| value.to_string())
    } else {
        text
    }
}

/// Successful writes applied so far, as this connection sees them.
pub(in crate::server) fn writes(connection: &Connection) -> rusqlite::Result<u64> {
    let count: i64 =
        connection.prepare_cached("SELECT value FROM facts WHERE name = 'writes'")?.query_row([], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// True where nothing is stored at all.
pub(in crate::server) fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(matches!(value(connection, &[])?, Value::Nothing))
}
