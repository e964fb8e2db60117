//! Order by child: a SQL function that cuts the child out of a body, and indexes over it made when they are worth it.

use std::fmt;

use rusqlite::{Connection, functions::FunctionFlags};
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, value::RawValue};

use super::{
    find,
    tree::{Key, has_key, members, read},
};
use crate::model::rtdb::value_sort_key;

/// Collections with more children than this get an index when they are first asked for in the order of a child.
const WORTH_AN_INDEX: i64 = 2_000;
/// Indexes of one collection; each costs every write to it.
const MOST_INDEXES: i64 = 8;

/// `value_key(body, path)`: bytes ordered like the child at `path` (keys joined by `/`), of a stored body.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function(c"value_key", 2, flags, |context| {
        let body = context.get_raw(0).as_str_or_null()?;
        let path = context.get_raw(1).as_str()?;
        Ok(body.map(|body| value_key(body, path)))
    })
}

/// See [`register`]. An empty path is the body itself.
pub(super) fn value_key(body: &str, path: &str) -> Vec<u8> {
    let mut keys = path.split('/').filter(|key| !key.is_empty());
    let Some(mut text) = keys.try_fold(body, member) else { return value_sort_key(&Value::Null) };
    if text.starts_with('{') && has_key(text, ".value") {
        text = member(text, ".value").unwrap_or(text);
    }
    match text.as_bytes().first() {
        Some(b'{') => value_sort_key(&Value::Object(serde_json::Map::new())),
        Some(b'[') => value_sort_key(&Value::Array(Vec::new())),
        _ => value_sort_key(&read(text)),
    }
}

/// The text of one member or item; parsing ends where it is found.
fn member<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    if !text.starts_with('{') {
        return members(text).ok()?.into_iter().find(|(name, _)| name == key).map(|(_, raw)| raw);
    }
    let mut found = None;
    let _ = serde_json::Deserializer::from_str(text).deserialize_map(MemberVisitor { key, found: &mut found });
    found
}

struct MemberVisitor<'k, 't> {
    key: &'k str,
    found: &'k mut Option<&'t str>,
}

impl<'t> Visitor<'t> for MemberVisitor<'_, 't> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(name)) = map.next_key::<Key<'t>>()? {
            if name == self.key {
                *self.found = Some(map.next_value::<&RawValue>()?.get());
                return Err(de::Error::custom("found"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// The SQL of the order, equal to the expression of the index to the letter.
pub(super) fn expression(path: &str) -> String {
    format!("value_key(body, '{}')", path.replace('\'', "''"))
}

/// The name of the index over a node's children in the order of `path`.
fn index_name(node: i64, path: &str) -> String {
    let hex: String = path.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("child_{node}_{hex}")
}

/// The index to read by, where there is one. SQLite must be told: without statistics it prefers the primary key.
pub(super) fn existing(connection: &Connection, node: i64, path: &str) -> rusqlite::Result<Option<String>> {
    let name = index_name(node, path);
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = ?1";
    Ok(connection.prepare_cached(sql)?.exists([&name])?.then_some(name))
}

/// True where a query by child would be faster with an index that is not there.
pub(in crate::server) fn wants_index(connection: &Connection, path: &[String], child: &str) -> rusqlite::Result<bool> {
    let find::Value::Rows { id, .. } = find::value(connection, path)? else { return Ok(false) };
    if existing(connection, id, child)?.is_some() {
        return Ok(false);
    }
    let big = "SELECT 1 FROM nodes WHERE parent = ?1 LIMIT 1 OFFSET ?2";
    if !connection.prepare_cached(big)?.exists([id, WORTH_AN_INDEX])? {
        return Ok(false);
    }
    let prefix = format!("child_{id}_");
    let count = "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND substr(name, 1, length(?1)) = ?1";
    let count: i64 = connection.query_row(count, [&prefix], |row| row.get(0))?;
    Ok(count < MOST_INDEXES)
}

/// Makes the index that [`wants_index`] asked for, if it still does.
pub(super) fn make_index(connection: &Connection, path: &[String], child: &str) -> rusqlite::Result<()> {
    let find::Value::Rows { id, .. } = find::value(connection, path)? else { return Ok(()) };
    if !wants_index(connection, path, child)? {
        return Ok(());
    }
    connection.execute_batch(&format!(
        "CREATE INDEX {} ON nodes({}, sort) WHERE parent = {id} AND body IS NOT NULL",
        index_name(id, child),
        expression(child)
    ))
}

/// Drops the indexes of a node that is gone.
pub(super) fn drop_indexes(connection: &Connection, node: i64) -> rusqlite::Result<()> {
    let prefix = format!("child_{node}_");
    let names: Vec<String> = connection
        .prepare_cached(
            "SELECT name FROM sqlite_schema WHERE type = 'index' AND substr(name, 1, length(?1)) = ?1 ORDER BY name",
        )?
        .query_map([&prefix], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    names.iter().try_for_each(|name| connection.execute_batch(&format!("DROP INDEX {name}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_child_is_cut_out_of_the_body() {
        let body = r#"{"a":{"b":[null,{"c":"x"}]},"n":{".value":3,".priority":1},"é":2,".priority":"p"}"#;
        for (path, value) in [
            ("a/b/1/c", json!("x")),
            ("a", json!({})),
            ("a/b", json!([])),
            ("a/b/0", json!(null)),
            ("n", json!(3)),
            ("é", json!(2)),
            (".priority", json!("p")),
            ("n/.priority", json!(1)),
            ("gone/deep", json!(null)),
            ("", json!({})),
        ] {
            assert_eq!(value_key(body, path), value_sort_key(&value), "{path}");
        }
        assert_eq!(value_key("\"x\"", ""), value_sort_key(&json!("x")));
        assert_eq!(value_key(r#"{"a\"b":1}"#, "a\"b"), value_sort_key(&json!(1)));
    }
}
