//! JSON laid out for editing: two spaces, one member a line, and small containers on one line as people write them.

use serde_json::Value;

/// A container is written on one line up to this many characters.
const SHORT: usize = 60;

/// The text of a value. The outermost container always has lines of its own.
pub fn pretty(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text
}

fn write(value: &Value, depth: usize, text: &mut String) {
    let inner = "  ".repeat(depth + 1);
    match value {
        Value::Object(members) if !members.is_empty() => {
            text.push_str("{\n");
            for (index, (name, value)) in members.iter().enumerate() {
                text.push_str(if index > 0 { ",\n" } else { "" });
                text.push_str(&inner);
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push_str(": ");
                write_inner(value, depth + 1, text);
            }
            text.push('\n');
            text.push_str(&inner[2..]);
            text.push('}');
        }
        Value::Array(items) if !items.is_empty() => {
            text.push_str("[\n");
            for (index, value) in items.iter().enumerate() {
                text.push_str(if index > 0 { ",\n" } else { "" });
                text.push_str(&inner);
                write_inner(value, depth + 1, text);
            }
            text.push('\n');
            text.push_str(&inner[2..]);
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

fn write_inner(value: &Value, depth: usize, text: &mut String) {
    let begin = text.len();
    if !write_short(value, text, begin + SHORT) {
        text.truncate(begin);
        write(value, depth, text);
    }
}

/// Writes on one line; false as soon as the text would grow beyond `limit` bytes. Scalars have no limit.
fn write_short(value: &Value, text: &mut String, limit: usize) -> bool {
    match value {
        Value::Object(members) if !members.is_empty() => {
            text.push_str("{ ");
            for (index, (name, value)) in members.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push_str(": ");
                if text.len() > limit || !write_short(value, text, limit) {
                    return false;
                }
            }
            text.push_str(" }");
            text.len() <= limit
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('[');
            for (index, value) in items.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                if text.len() > limit || !write_short(value, text, limit) {
                    return false;
                }
            }
            text.push(']');
            text.len() <= limit
        }
        other => {
            text.push_str(&other.to_string());
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::json::{Limits, parse};
    use serde_json::json;

    #[test]
    fn small_containers_stay_on_their_line() {
        let value = json!({
            "profile": {"name": "Bo Lindqvist", "role": "owner", "email": "bo@acme.test"},
            "addresses": [{"kind": "home", "city": "Malmö"}, {"kind": "work", "city": "Lund"}],
            "flags": {"beta": true, "tags": ["vip", "eu"]},
            "none": {}, "empty": []
        });
        let expected = r#"{
  "profile": {
    "name": "Bo Lindqvist",
    "role": "owner",
    "email": "bo@acme.test"
  },
  "addresses": [
    { "kind": "home", "city": "Malmö" },
    { "kind": "work", "city": "Lund" }
  ],
  "flags": { "beta": true, "tags": ["vip", "eu"] },
  "none": {},
  "empty": []
}"#;
        assert_eq!(pretty(&value), expected);
        assert_eq!(pretty(&json!({"a": 1})), "{\n  \"a\": 1\n}");
    }

    #[test]
    fn what_is_laid_out_reads_as_the_same_value_with_the_same_digits() {
        let text = r#"{"n":1.50,"big":12345678901234567890123,"s":"a\"b\u0007","deep":[[[[{"x":[1,2,{"y":null}]}]]]]}"#;
        let value = parse(text, Limits::default()).unwrap();
        assert_eq!(parse(&pretty(&value), Limits::default()).unwrap(), value);
        assert_eq!(pretty(&parse(&pretty(&value), Limits::default()).unwrap()), pretty(&value));
    }
}
