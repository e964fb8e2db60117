//! Splitting an answer into its children without building trees: every record keeps the server's own text.
//!
//! A collection whose keys are dense integers comes as an array, `null` where a key is missing: the index is the key.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, value::RawValue};

use crate::model::{
    ids::RecordId,
    json::{Limits, nesting},
    rtdb,
    wire::{RemoteChange, RemoteRecord},
};

/// The children of a node, in the order of the text; empty for `null`. The error says in words why it has none.
pub(crate) fn children(text: &str) -> Result<Vec<(String, &RawValue)>, String> {
    let mut found = Vec::new();
    visit(text, Children(&mut found))?;
    Ok(found)
}

/// Whole records in key order; `null` children do not exist.
pub(crate) fn records(text: &str) -> Result<Vec<RemoteRecord>, String> {
    let children = children(text)?;
    let mut records = Vec::with_capacity(children.len());
    for (id, raw) in children {
        if raw.get() != "null" {
            records.push(record(id, raw)?);
        }
    }
    records.sort_by(|a, b| rtdb::key_order(a.id.as_str(), b.id.as_str()));
    match records.windows(2).find(|pair| pair[0].id == pair[1].id) {
        Some(pair) => Err(format!("the key `{}` is there twice", pair[0].id)),
        None => Ok(records),
    }
}

/// The keys of a shallow answer in key order.
pub(crate) fn keys(text: &str) -> Result<Vec<RecordId>, String> {
    let mut found = Vec::new();
    visit(text, Keys(&mut found))?;
    found.sort_by(|a, b| rtdb::key_order(a.as_str(), b.as_str()));
    Ok(found)
}

/// A record that is there, or the tombstone of one that is not.
pub(crate) fn change(id: &str, raw: &RawValue) -> Result<RemoteChange, String> {
    match raw.get() {
        "null" => Ok(RemoteChange::Tombstone { id: RecordId(id.to_owned()) }),
        _ => record(id.to_owned(), raw).map(RemoteChange::Upsert),
    }
}

/// A record whose text can be read back later. Splitting alone lets pass what no reader takes, and a row that cannot be
/// read looks like a record that is not there.
fn record(id: String, raw: &RawValue) -> Result<RemoteRecord, String> {
    let text = raw.get();
    let limit = Limits::default().depth;
    // Few records come near the limit: those with fewer brackets than levels are not walked.
    let brackets = text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if brackets >= limit && nesting(text) >= limit {
        return Err(format!("the record `{id}` is nested more than {limit} levels deep"));
    }
    if text.contains("\\u")
        && let Err(error) = serde_json::from_str::<Value>(text)
    {
        return Err(format!("the record `{id}` cannot be read: {error}"));
    }
    Ok(RemoteRecord { id: RecordId(id), revision: None, text: text.to_owned() })
}

fn visit<'de, V: Visitor<'de>>(text: &'de str, visitor: V) -> Result<(), String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let visited = match text.bytes().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => deserializer.deserialize_map(visitor).map(drop),
        Some(b'[') => deserializer.deserialize_seq(visitor).map(drop),
        Some(b'n') => de::Deserialize::deserialize(&mut deserializer),
        None => return Err("the answer is empty".to_owned()),
        Some(_) => return Err("a single value came where a collection was due".to_owned()),
    };
    visited.and_then(|()| deserializer.end()).map_err(|error| format!("the answer is not JSON: {error}"))
}

struct Children<'c, 'de>(&'c mut Vec<(String, &'de RawValue)>);

impl<'de> Visitor<'de> for Children<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(entry) = members.next_entry::<String, &'de RawValue>()? {
            self.0.push(entry);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
        while let Some(item) = items.next_element::<&'de RawValue>()? {
            if item.get() != "null" {
                self.0.push((index.to_string(), item));
            }
            index += 1;
        }
        Ok(())
    }
}

struct Keys<'c>(&'c mut Vec<RecordId>);

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some((id, IgnoredAny)) = members.next_entry::<String, IgnoredAny>()? {
            self.0.push(RecordId(id));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
        while let Some(is_null) = items.next_element_seed(IsNull)? {
            if !is_null {
                self.0.push(RecordId(index.to_string()));
            }
            index += 1;
        }
        Ok(())
    }
}

struct IsNull;

impl<'de> DeserializeSeed<'de> for IsNull {
    type Value = bool;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        let item: Option<IgnoredAny> = de::Deserialize::deserialize(deserializer)?;
        Ok(item.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        records(text).unwrap().into_iter().map(|record| (record.id.0, record.text)).collect()
    }

    fn pair(id: &str, text: &str) -> (String, String) {
        (id.to_owned(), text.to_owned())
    }

    #[test]
    fn the_servers_text_is_kept_byte_for_byte_and_sorted_by_key() {
        let text = r#" {"b":{"n" : 1.10,"t":"\u00e9"},"10":{"x":1},"2":[1, 2],"z":null} "#;
        assert_eq!(
            pairs(text),
            [pair("2", "[1, 2]"), pair("10", r#"{"x":1}"#), pair("b", r#"{"n" : 1.10,"t":"\u00e9"}"#)]
        );
    }

    #[test]
    fn an_array_is_a_collection_with_integer_keys() {
        assert_eq!(pairs(r#"[null,{"a":1},null,{"b":2}]"#), [pair("1", r#"{"a":1}"#), pair("3", r#"{"b":2}"#)]);
        assert_eq!(keys("[null,true,true]").unwrap(), [RecordId::from("1"), RecordId::from("2")]);
    }

    #[test]
    fn nothing_is_an_empty_collection_and_anything_else_says_why() {
        assert_eq!(pairs("null"), []);
        assert_eq!(pairs("{}"), []);
        for (text, reason) in [
            ("", "empty"),
            ("5", "single value"),
            ("\"x\"", "single value"),
            ("{\"a\":1", "not JSON"),
            ("{\"a\":1} tail", "not JSON"),
            ("nil", "not JSON"),
            ("{\"a\":1,\"a\":2}", "twice"),
        ] {
            assert!(records(text).unwrap_err().contains(reason), "{text}");
        }
    }

    #[test]
    fn what_no_reader_takes_is_refused_by_name() {
        let nested = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(records(&nested(5_000_000)).unwrap_err().contains("`a` is nested more than 100 levels"));
        assert!(records(&nested(100)).is_err());
        let kept = records(&nested(99)).unwrap().remove(0);
        assert!(serde_json::from_str::<Value>(&kept.text).is_ok());
        // Brackets in a text are no levels.
        let text = format!("{{\"a\":{{\"t\":\"{}\\\"[\"}}}}", "[{".repeat(500));
        assert_eq!(records(&text).unwrap().len(), 1);
        assert!(records(r#"{"a":{"t":"\ud83d"}}"#).unwrap_err().contains("`a` cannot be read"));
        assert_eq!(records(r#"{"a":{"t":"\ud83d\ude80"}}"#).unwrap().len(), 1);
    }

    #[test]
    fn numeric_looking_texts_do_no_harm() {
        assert_eq!(pairs(r#"{"$serde_json::private::Number":{"a":1}}"#).len(), 1);
        assert_eq!(pairs(r#"{"a":12345678901234567890123.450}"#), [pair("a", "12345678901234567890123.450")]);
    }

    #[test]
    fn keys_of_a_shallow_answer_come_in_key_order() {
        let ids: Vec<String> =
            keys(r#"{"b":true,"9":true,"10":{"x":1}}"#).unwrap().into_iter().map(|id| id.0).collect();
        assert_eq!(ids, ["9", "10", "b"]);
    }
}
