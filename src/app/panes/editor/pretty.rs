//! JSON laid out for editing: two spaces, one member a line, and small containers on one line as people write them.

mod straight;

use serde_json::Value;

use super::lines::Lines;
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

/// The same of a document, by line: its text is laid out without being parsed.
pub fn pretty_lines(document: &Document) -> Lines {
    let raw = document.text().trim();
    match straight::lay_out(raw) {
        Some((text, ends)) => Lines::ending_at(text, ends),
        None => Lines::of(cut(raw, document)),
    }
}

fn cut(raw: &str, document: &Document) -> String {
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
    use proptest::{collection::vec, prelude::*};
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
        let document = Document::read(text.to_owned()).unwrap();
        let lines = pretty_lines(&document);
        assert_eq!(lines, Lines::of(cut(text.trim(), &document)), "{text}");
        lines.into_text()
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

    /// JSON in any spelling: blanks, names in any order and now and then twice, escapes, exponents, long and short.
    fn spelled() -> impl Strategy<Value = String> {
        let blank = prop_oneof![4 => Just(""), 1 => Just(" "), 1 => Just("\n\t")];
        let word = prop_oneof![4 => "[a-zé ]{0,12}", 1 => "[a-z]{40,70}", 1 => Just("a\\\"b\\u00e9\\\\".to_owned())];
        let number = prop_oneof![4 => "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,5})?", 1 => "[1-9][eE][+-]?[0-9]"];
        let literal = prop_oneof![Just("null".to_owned()), Just("true".to_owned()), Just("false".to_owned())];
        let scalar = prop_oneof![word.clone().prop_map(|word| format!("\"{word}\"")), number, literal];
        let pad = move |text: String| (blank.clone(), blank.clone()).prop_map(move |(a, b)| format!("{a}{text}{b}"));
        scalar.prop_flat_map(pad.clone()).prop_recursive(5, 200, 24, move |inner| {
            let item = inner.clone().prop_flat_map(pad.clone());
            let name = prop_oneof![6 => "[a-z]{1,3}", 3 => "k[0-9]{1,4}", 1 => word.clone()];
            let name = name.prop_map(|name| format!("\"{name}\"")).prop_flat_map(pad.clone());
            let member = (name, item.clone()).prop_map(|(name, value)| format!("{name}:{value}"));
            prop_oneof![
                vec(item, 0..9).prop_map(|items| format!("[{}]", items.join(","))),
                vec(member, 0..24).prop_map(|members| format!("{{{}}}", members.join(","))),
            ]
        })
    }

    proptest! {
        /// [`pretty_read`] compares it with the layout by members.
        #[test]
        fn one_walk_lays_out_what_cutting_does(text in spelled()) {
            let value: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(pretty_read(&text), pretty(&value));
        }
    }

    #[test]
    fn one_walk_is_enough_unless_a_name_is_there_twice() {
        for text in [r#"{"b":1,"a":[{"x":1,"b":[]},{}],"c":" "}"#, "[ ]", r#"{ "a" : "\\" }"#] {
            assert!(straight::lay_out(text).is_some(), "{text}");
        }
        let many: Vec<String> = (0..40).map(|n| format!("\"m{}\":{n}", (n * 7) % 40)).collect();
        assert!(straight::lay_out(&format!("{{{}}}", many.join(","))).is_some());
        assert!(straight::lay_out(&format!("{{{},\"m3\":1}}", many.join(","))).is_none());
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"[{"b":1,"a":2,"b":3}]"#,
            r#"{"\u0061":1}"#,
            "7",
            "",
            "[",
            "[1",
            "[1,",
            r#"{"a"#,
            "[1]]",
        ] {
            assert!(straight::lay_out(text).is_none(), "{text}");
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
