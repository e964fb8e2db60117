//! Limits of a document, checked when the user saves and again by the server.

use serde_json::Value;

use super::check_key;
use crate::model::json::Pointer;

/// Keys from the root of the database down to a leaf.
pub const MAX_DEPTH: usize = 32;
/// One key, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 768;
/// One string value, in bytes of UTF-8.
pub const MAX_STRING_BYTES: usize = 10 << 20;

/// The first place of a document that the database would refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", place(pointer))]
pub struct LimitError {
    pub pointer: Pointer,
    /// In words for a person, without the place.
    pub reason: String,
}

fn place(pointer: &Pointer) -> String {
    if pointer.is_root() { String::new() } else { format!("at `{pointer}`: ") }
}

/// Checks keys, depth and strings of a document that would lie at the root of the database.
pub fn check_document(document: &Value) -> Result<(), LimitError> {
    check_document_below(0, document)
}

/// Checks a document that lies `levels` keys below the root: 2 for a record of a top-level collection.
///
/// A placeholder (`{".sv": …}`) is a leaf; other keys with a leading dot are refused like any key with a dot.
pub fn check_document_below(levels: usize, document: &Value) -> Result<(), LimitError> {
    locate(levels, document, Metadata::Refused)
}

/// Checks a written value as a server does: `.priority` and `.value` are allowed beside what a document may hold.
pub fn check_written(levels: usize, value: &Value) -> Result<(), LimitError> {
    locate(levels, value, Metadata::Allowed)
}

#[derive(Clone, Copy, PartialEq)]
enum Metadata {
    Refused,
    Allowed,
}

fn locate(levels: usize, document: &Value, metadata: Metadata) -> Result<(), LimitError> {
    let mut path: Vec<String> = Vec::new();
    check(levels, document, metadata, &mut path).map_err(|reason| LimitError {
        pointer: path.iter().fold(Pointer::root(), |at, token| at.child(token)),
        reason,
    })
}

/// On `Err`, `path` is the place of the trouble.
fn check(level: usize, value: &Value, metadata: Metadata, path: &mut Vec<String>) -> Result<(), String> {
    if level > MAX_DEPTH {
        return Err(format!("nested deeper than the limit of {MAX_DEPTH} levels"));
    }
    let below = |key: &str, child: &Value, path: &mut Vec<String>| {
        path.push(key.to_owned());
        check(level + 1, child, metadata, path)?;
        path.pop();
        Ok(())
    };
    match value {
        Value::String(text) if text.len() > MAX_STRING_BYTES => {
            Err(format!("a string of {} bytes is longer than the limit of {MAX_STRING_BYTES}", text.len()))
        }
        Value::Array(items) => items.iter().enumerate().try_for_each(|(at, item)| below(&at.to_string(), item, path)),
        Value::Object(_) if is_placeholder(value) => Ok(()),
        Value::Object(members) if members.contains_key(".sv") => {
            Err("`.sv` is \"timestamp\" or {\"increment\": number}, alone in its object".to_owned())
        }
        Value::Object(members) => {
            for (key, child) in members {
                match check_key(key) {
                    _ if metadata == Metadata::Allowed && key == ".priority" => check_priority(child)?,
                    _ if metadata == Metadata::Allowed && key == ".value" => check(level, child, metadata, path)?,
                    Ok(()) => below(key, child, path)?,
                    Err(reason) => {
                        path.push(key.clone());
                        return Err(reason);
                    }
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn check_priority(priority: &Value) -> Result<(), String> {
    let allowed = priority.is_null() || priority.is_string() || priority.is_number() || is_placeholder(priority);
    if allowed { Ok(()) } else { Err("a priority is a string or a number".to_owned()) }
}

/// `{".sv": "timestamp"}` or `{".sv": {"increment": N}}`, and nothing beside it.
pub(super) fn is_placeholder(value: &Value) -> bool {
    let Value::Object(members) = value else { return false };
    members.len() == 1
        && members.get(".sv").is_some_and(|sv| {
            sv == "timestamp"
                || sv.as_object().is_some_and(|sv| sv.len() == 1 && sv.get("increment").is_some_and(Value::is_number))
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nested(levels: usize) -> Value {
        (0..levels).fold(json!(1), |inner, _| json!({ "a": inner }))
    }

    #[test]
    fn depth_counts_the_keys_above_too() {
        assert_eq!(check_document(&nested(32)), Ok(()));
        assert!(check_document(&nested(33)).is_err());
        assert_eq!(check_document_below(2, &nested(30)), Ok(()));
        assert_eq!(check_document_below(2, &nested(31)).unwrap_err().pointer.tokens().len(), 31);
    }

    #[test]
    fn the_place_of_a_bad_key_is_named() {
        let error = check_document(&json!({"tags": [{"a": 1}, {"x.y": 2}]})).unwrap_err();
        assert_eq!(error.pointer, Pointer::parse("/tags/1/x.y"));
        assert!(error.to_string().starts_with("at `/tags/1/x.y`: a key cannot hold `.`"), "{error}");
    }

    #[test]
    fn strings_end_at_ten_megabytes() {
        assert_eq!(check_document(&json!({"a": "x".repeat(MAX_STRING_BYTES)})), Ok(()));
        assert!(check_document(&json!({"a": "x".repeat(MAX_STRING_BYTES + 1)})).is_err());
    }

    #[test]
    fn placeholders_are_leaves_and_other_dotted_keys_are_not() {
        assert_eq!(check_document(&json!({"at": {".sv": "timestamp"}, "n": {".sv": {"increment": -1.5}}})), Ok(()));
        for bad in [json!({".sv": "now"}), json!({".sv": "timestamp", "a": 1}), json!({".priority": 1, "a": 1})] {
            assert!(check_document(&bad).is_err(), "{bad}");
        }
    }
}
