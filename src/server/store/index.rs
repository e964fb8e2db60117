//! Order by child: a SQL function that cuts the child out of a body, and indexes over it made when they are worth it.

use std::borrow::Cow;

use rusqlite::{Connection, functions::FunctionFlags};
use serde_json::Value;

use super::tree::{has_key, members, read};
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
    let keys = path.split('/').filter(|key| !key.is_empty());
    let child = keys.into_iter().try_fold(Cow::Borrowed(body), |text, key| match text {
        Cow::Borrowed(text) => member(text, key).map(Cow::Borrowed),
        Cow::Owned(_) => None,
    });
    let Some(mut text) = child.as_deref() else { return value_sort_key(&Value::Null) };
    if text.starts_with('{') && has_key(text, ".value") {
        text = member(text, ".value").unwrap_or(text);
    }
    match text.as_bytes().first() {
        Some(b'{') => value_sort_key(&Value::Object(serde_json::Map::new())),
        Some(b'[') => value_sort_key(&Value::Array(Vec::new())),
        _ => value_sort_key(&read(text)),
    }
}

fn member<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    if text.starts_with('{') && !text.contains(key) && key.is_ascii() && !text.contains('\\') {
        return None;
    }
    members(text).ok()?.into_iter().find(|(name, _)| name == key).map(|(_, raw)| raw)
}

/// The SQL of the order, equal to the expression of the index to the letter.
pub(super) fn expression(path: &str) -> String {
    format!("value_key(body, '{}')", path.replace('\'', "''"))
}

/// Makes an index for a node's children in the order of `path`, unless it is there, too small to need one, or has enough.
pub(in crate::server) fn ensure_index(connection: &Connection, node: i64, path: &str) -> rusqlite::Result<()> {
    let big = "SELECT 1 FROM nodes WHERE parent = ?1 LIMIT 1 OFFSET ?2";
    if !connection.prepare_cached(big)?.exists([node, WORTH_AN_INDEX])? {
        return Ok(());
    }
    let prefix = format!("child_{node}_");
    let existing = "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND substr(name, 1, length(?1)) = ?1";
    let count: i64 = connection.query_row(existing, [&prefix], |row| row.get(0))?;
    if count >= MOST_INDEXES {
        return Ok(());
    }
    let hex: String = path.bytes().map(|byte| format!("{byte:02x}")).collect();
    connection.execute_batch(&format!(
        "CREATE INDEX IF NOT EXISTS {prefix}{hex} ON nodes({}, sort) WHERE parent = {node} AND body IS NOT NULL",
        expression(path)
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
