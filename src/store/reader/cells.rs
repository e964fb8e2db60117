//! What a list shows of a record: a few values as short texts.
//!
//! ## Why not `json_extract`
//!
//! It rewrites numbers (`12345678901234567890123` becomes a float), fails the whole statement on one damaged row, and
//! could not see the records that only exist as pending edits.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::model::json::Pointer;

/// Characters of a cell at most.
const LONGEST: usize = 200;

/// One text per pointer; `None` where the record has no such value.
pub(super) fn of(text: Option<&str>, columns: &[Pointer]) -> Vec<Option<String>> {
    if columns.is_empty() {
        return Vec::new();
    }
    let value = text.and_then(|text| parse(text, columns).ok());
    columns.iter().map(|column| value.as_ref().and_then(|value| column.get(value)).map(cell)).collect()
}

/// The document, of which only the members that the columns name need be there: what a record has beside them, be it a
/// megabyte, is skipped.
fn parse(text: &str, columns: &[Pointer]) -> serde_json::Result<Value> {
    let wanted: Option<Vec<&str>> = columns.iter().map(|column| column.tokens().first().map(String::as_str)).collect();
    match wanted.filter(|_| text.starts_with('{')) {
        Some(wanted) => {
            let mut input = serde_json::Deserializer::from_str(text);
            let members = Members { wanted: &wanted }.deserialize(&mut input)?;
            input.end().map(|()| Value::Object(members))
        }
        None => serde_json::from_str(text),
    }
}

/// Some members of an object.
struct Members<'c> {
    wanted: &'c [&'c str],
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Map::new();
        while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
            if self.wanted.contains(&name.as_ref()) {
                members.insert(name.into_owned(), map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(members)
    }
}

/// A bare `Cow` would be a copy in any case.
#[derive(Deserialize)]
struct Name<'n>(#[serde(borrow)] Cow<'n, str>);

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => shorten(text),
        other => shorten(&other.to_string()),
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => text[..end].to_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits_and_long_texts_are_cut() {
        let long = "é".repeat(500);
        let text = format!(r#"{{"n":12345678901234567890123,"s":"{long}","o":{{"a":[1]}},"z":null}}"#);
        let columns = ["/n", "/s", "/o/a", "/z", "/none"].map(Pointer::parse);
        let cells = of(Some(&text), &columns);
        assert_eq!(cells[0].as_deref(), Some("12345678901234567890123"));
        assert_eq!(cells[1].as_ref().map(|cell| cell.chars().count()), Some(200));
        assert_eq!(cells[2].as_deref(), Some("[1]"));
        assert_eq!(cells[3].as_deref(), Some("null"));
        assert_eq!(cells[4], None);
    }

    #[test]
    fn members_beside_the_columns_are_skipped_and_damage_among_them_is_seen() {
        let columns = ["/n", "/a~1b"].map(Pointer::parse);
        let of = |text: &str| of(Some(text), &columns);
        assert_eq!(of(r#"{"x":{"n":9,"y":[1]},"n":1,"a\u002fb":"s","n":2}"#), [Some("2".into()), Some("s".into())]);
        for damaged in [r#"{"n":1,"x":{"#, r#"{"n":1} 2"#, r#"{"n":1,"x":tru}"#] {
            assert_eq!(of(damaged), [None, None], "{damaged}");
        }
        assert_eq!(super::of(Some("[5]"), &["/0", ""].map(Pointer::parse)), [Some("5".into()), Some("[5]".into())]);
    }
}
