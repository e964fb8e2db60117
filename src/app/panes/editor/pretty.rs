//! JSON laid out for editing: two spaces, one member a line, and small containers on one line as people write them.

use serde_json::Value;

use crate::model::{
    document::Document,
    members::{Member, is_array, is_object, members},
};

/// A container is written on one line up to this many characters.
const SHORT: usize = 60;

/// The text of a value. The outermost container always has lines of its own.
pub fn pretty(value: &Value) -> String {
    let json = value.to_string();
    let mut text = String::with_capacity(json.len() * 2);
    write(&json, &members(&json), 0, &mut text);
    text
}

/// The same of a document: its text is laid out without being parsed.
pub fn pretty_document(document: &Document) -> String {
    let raw = document.text().trim();
    let mut text = String::with_capacity(raw.len() * 2);
    write(raw, &document.members().collect::<Vec<_>>(), 0, &mut text);
    text
}

fn write(raw: &str, inside: &[Member<'_>], depth: usize, text: &mut String) {
    if inside.is_empty() {
        return write_plain(raw, text);
    }
    text.push_str(if is_object(raw) { "{" } else { "[" });
    for (index, member) in inside.iter().enumerate() {
        text.push_str(if index > 0 { ",\n" } else { "\n" });
        indent(depth + 1, text);
        write_name(member, text);
        write_inner(member.value, depth + 1, text);
    }
    text.push('\n');
    indent(depth, text);
    text.push_str(if is_object(raw) { "}" } else { "]" });
}

fn indent(depth: usize, text: &mut String) {
    (0..depth).for_each(|_| text.push_str("  "));
}

fn write_inner(raw: &str, depth: usize, text: &mut String) {
    let inside = members(raw);
    let begin = text.len();
    if !write_short(raw, &inside, text, begin + SHORT) {
        text.truncate(begin);
        write(raw, &inside, depth, text);
    }
}

/// Writes on one line; false as soon as the text would grow beyond `limit` bytes. Scalars have no limit.
fn write_short(raw: &str, inside: &[Member<'_>], text: &mut String, limit: usize) -> bool {
    if inside.is_empty() {
        write_plain(raw, text);
        return true;
    }
    text.push_str(if is_object(raw) { "{ " } else { "[" });
    for (index, member) in inside.iter().enumerate() {
        text.push_str(if index > 0 { ", " } else { "" });
        write_name(member, text);
        if text.len() > limit || !write_short(member.value, &members(member.value), text, limit) {
            return false;
        }
    }
    text.push_str(if is_object(raw) { " }" } else { "]" });
    text.len() <= limit
}

fn write_name(member: &Member<'_>, text: &mut String) {
    if !member.raw_name.is_empty() {
        write_plain(member.raw_name, text);
        text.push_str(": ");
    }
}

/// A scalar or an empty container in serde_json's own spelling.
fn write_plain(raw: &str, text: &mut String) {
    let is_plain = match raw.as_bytes().first() {
        Some(b'"') => !raw.contains('\\'),
        Some(b'-' | b'0'..=b'9') => !raw.contains(['e', 'E']),
        _ => !is_object(raw) && !is_array(raw),
    };
    let spelled = (!is_plain).then(|| serde_json::from_str::<Value>(raw).ok()).flatten();
    match spelled {
        Some(value) => text.push_str(&value.to_string()),
        None => text.push_str(raw),
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

    fn pretty_read(text: &str) -> String {
        pretty_document(&Document::read(text.to_owned()).unwrap())
    }

    #[test]
    fn a_text_is_laid_out_as_its_value_whatever_its_spelling() {
        let text = "\n{ \"s\":\"a\\u00e9\\/b\\n\", \"n\" : [ 1E2 , -0, 1.50,true ], \"e\": { }, \"l\": [ ],\n \"a\": 1, \"a\": \"last\",
            \"\\u00e9\":{\"x\":[[1,2],[3,[\"a rather long text, so that it does not stay on its line\"]]]}} ";
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(pretty_read(text), pretty(&value));
        assert_eq!(serde_json::from_str::<Value>(&pretty_read(text)).unwrap().to_string(), value.to_string());
        for scalar in ["7", " \"\\u0041\" ", "null", "[]", "{ }", "1e5"] {
            let value: Value = serde_json::from_str(scalar).unwrap();
            assert_eq!(pretty_read(scalar), value.to_string());
        }
    }

    #[test]
    fn what_is_laid_out_reads_as_the_same_value_with_the_same_digits() {
        let text = r#"{"n":1.50,"big":12345678901234567890123,"s":"a\"b\u0007","deep":[[[[{"x":[1,2,{"y":null}]}]]]]}"#;
        let value = parse(text, Limits::default()).unwrap();
        assert_eq!(parse(&pretty(&value), Limits::default()).unwrap(), value);
        assert_eq!(pretty(&parse(&pretty(&value), Limits::default()).unwrap()), pretty(&value));
    }
}
