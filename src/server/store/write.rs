//! Writing values into rows. Called by the writer thread inside its transaction.

use rusqlite::{Connection, OptionalExtension, named_params};
use serde_json::Value;

use super::{
    find::{self, Found, Node, ROOT, find, has_children},
    index::drop_indexes,
    tree::{Tree, read, set_at},
};
use crate::model::rtdb::sort_key;

/// The next free node id, kept in memory and stored with every batch that used one.
pub(super) struct Ids {
    next: i64,
    stored: i64,
}

impl Ids {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let next = connection.query_row("SELECT value FROM facts WHERE name = 'next_id'", [], |row| row.get(0))?;
        Ok(Self { next, stored: next })
    }

    fn take(&mut self) -> i64 {
        self.next += 1;
        self.next - 1
    }

    /// After a rollback: what was stored is not.
    pub(super) fn forget_stored(&mut self) {
        self.stored = 0;
    }

    pub(super) fn store(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.next != self.stored {
            connection.prepare_cached("UPDATE facts SET value = ?1 WHERE name = 'next_id'")?.execute([self.next])?;
            self.stored = self.next;
        }
        Ok(())
    }
}

/// Puts `tree` at `path`, or removes what is there.
pub(super) fn set(
    connection: &Connection,
    ids: &mut Ids,
    path: &[String],
    tree: Option<&Tree>,
) -> rusqlite::Result<()> {
    match find(connection, path)? {
        Ok(Found { node: Node::Body(body), depth, parents }) if depth < path.len() => {
            edit(connection, ids, path, depth, &parents, &body, tree.map(tree_value))
        }
        Ok(found) => match tree {
            Some(Tree::Whole(text)) if matches!(found.node, Node::Body(_)) => {
                put_body(connection, found.parents[path.len()], path.last(), text)
            }
            tree => {
                let (parent, key) = (found.parents[path.len()], path.last());
                remove(connection, parent, key, &found.node)?;
                match tree {
                    Some(tree) => put(connection, ids, parent, key, tree),
                    None => tidy(connection, path, &found.parents),
                }
            }
        },
        Err(parents) => match tree {
            Some(tree) => {
                // The last parent has no row for the next key: that row is made, holding all keys below it.
                let at = parents.len() - 1;
                let Some(key) = at.checked_sub(1).map(|at| &path[at]) else {
                    return put(connection, ids, 0, None, tree);
                };
                put(connection, ids, parents[at], Some(key), &tree.clone().wrap(&path[at..], at))
            }
            None => Ok(()),
        },
    }
}

/// Sets the priority of a place; nothing where nothing is.
pub(super) fn set_priority(
    connection: &Connection,
    ids: &mut Ids,
    path: &[String],
    priority: Option<&Value>,
) -> rusqlite::Result<()> {
    let Ok(found) = find(connection, path)? else { return Ok(()) };
    match &found.node {
        Node::Body(body) => {
            let place: Vec<String> = path.iter().cloned().chain([".priority".to_owned()]).collect();
            edit(connection, ids, &place, found.depth, &found.parents, body, priority.cloned())
        }
        Node::Split { .. } => {
            let sql = "UPDATE nodes SET priority = :priority WHERE parent = :parent AND sort = :sort";
            let (parent, sort) = (found.parents[path.len()], path.last().map(|key| sort_key(key)).unwrap_or_default());
            let priority = priority.map(Value::to_string);
            connection
                .prepare_cached(sql)?
                .execute(named_params! { ":priority": priority, ":parent": parent, ":sort": sort })
                .map(drop)
        }
    }
}

/// Changes a place inside the body of the row at `path[..depth]`.
fn edit(
    connection: &Connection,
    ids: &mut Ids,
    path: &[String],
    depth: usize,
    parents: &[i64],
    body: &str,
    to: Option<Value>,
) -> rusqlite::Result<()> {
    let mut value = Some(read(body));
    set_at(&mut value, &path[depth..], to);
    let (parent, key) = (parents[depth], depth.checked_sub(1).map(|at| &path[at]));
    match value.as_ref().and_then(|value| Tree::from_value(value, depth)) {
        Some(tree) => put(connection, ids, parent, key, &tree),
        None => {
            remove(connection, parent, key, &Node::Body(String::new()))?;
            tidy(connection, &path[..depth], parents)
        }
    }
}

fn tree_value(tree: &Tree) -> Value {
    match tree {
        Tree::Whole(text) => read(text),
        Tree::Split { priority, children } => {
            let mut members: serde_json::Map<String, Value> =
                children.iter().map(|(key, child)| (key.clone(), tree_value(child))).collect();
            if let Some(priority) = priority {
                members.insert(".priority".to_owned(), read(priority));
            }
            Value::Object(members)
        }
    }
}

/// Writes a row and all below it. Rows that were below it must be gone.
fn put(connection: &Connection, ids: &mut Ids, parent: i64, key: Option<&String>, tree: &Tree) -> rusqlite::Result<()> {
    match tree {
        Tree::Whole(text) => put_body(connection, parent, key, text),
        Tree::Split { priority, children } => {
            let id = if parent == 0 { ROOT } else { ids.take() };
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO nodes (parent, sort, key, id, priority)
                     VALUES (:parent, :sort, :key, :id, :priority)",
                )?
                .execute(named_params! {
                    ":parent": parent,
                    ":sort": key.map(|key| sort_key(key)).unwrap_or_default(),
                    ":key": key.map_or("", String::as_str),
                    ":id": id,
                    ":priority": priority.as_deref(),
                })?;
            children.iter().try_for_each(|(key, child)| put(connection, ids, id, Some(key), child))
        }
    }
}

fn put_body(connection: &Connection, parent: i64, key: Option<&String>, text: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO nodes (parent, sort, key, body) VALUES (:parent, :sort, :key, :body)
             ON CONFLICT DO UPDATE SET body = excluded.body, id = NULL, priority = NULL",
        )?
        .execute(named_params! {
            ":parent": parent,
            ":sort": key.map(|key| sort_key(key)).unwrap_or_default(),
            ":key": key.map_or("", String::as_str),
            ":body": text,
        })
        .map(drop)
}

/// Removes a row and all below it. The root's row stays, empty.
fn remove(connection: &Connection, parent: i64, key: Option<&String>, node: &Node) -> rusqlite::Result<()> {
    if let Node::Split { id, .. } = node {
        remove_children(connection, *id)?;
    }
    let Some(key) = key else {
        connection
            .prepare_cached("UPDATE nodes SET body = NULL, id = ?1, priority = NULL WHERE parent = 0 AND sort = x''")?
            .execute([ROOT])?;
        return Ok(());
    };
    connection.prepare_cached("DELETE FROM nodes WHERE parent = ?1 AND sort = ?2")?.execute((parent, sort_key(key)))?;
    Ok(())
}

fn remove_children(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    let splits: Vec<i64> = connection
        .prepare_cached("SELECT id FROM nodes INDEXED BY splits WHERE parent = ?1 AND body IS NULL")?
        .query_map([id], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    splits.into_iter().try_for_each(|split| remove_children(connection, split))?;
    drop_indexes(connection, id)?;
    connection.prepare_cached("DELETE FROM nodes WHERE parent = ?1")?.execute([id]).map(drop)
}

/// After a removal: rows on the way to `path` that have no children left vanish too.
fn tidy(connection: &Connection, path: &[String], parents: &[i64]) -> rusqlite::Result<()> {
    for depth in (1..path.len()).rev() {
        if has_children(connection, parents[depth + 1])? {
            return Ok(());
        }
        remove(
            connection,
            parents[depth],
            Some(&path[depth - 1]),
            &Node::Split { id: parents[depth + 1], priority: None },
        )?;
    }
    Ok(())
}

/// The stored text at a path, for increments.
pub(super) fn stored_text(connection: &Connection, path: &[String]) -> rusqlite::Result<Option<String>> {
    Ok(match find::value(connection, path)? {
        find::Value::Text(text) => Some(text),
        find::Value::Nothing | find::Value::Rows { .. } => None,
    })
}

/// Adds to the durable count of writes.
pub(super) fn count(connection: &Connection, writes: u64) -> rusqlite::Result<()> {
    let writes = i64::try_from(writes).unwrap_or(i64::MAX);
    connection.prepare_cached("UPDATE facts SET value = ?1 WHERE name = 'writes'")?.execute([writes]).map(drop)
}

/// A fact stored beside the data (the rules).
pub(super) fn fact(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection.prepare_cached("SELECT value FROM facts WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()
}

pub(super) fn set_fact(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("INSERT OR REPLACE INTO facts VALUES (?1, ?2)")?.execute((name, value)).map(drop)
}
