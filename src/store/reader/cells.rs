//! What a list shows of a record: a few values as short texts.
//!
//! ## Why not `json_extract`
//!
//! It rewrites numbers (`12345678901234567890123` becomes a float), fails the whole statement on one damaged row, and
//! could not see the records that only exist as pending edits.

use serde_json::Value;

use crate::model::json::Pointer;

/// Characters of a cell at most.
const LONGEST: usize = 200;

/// One text per pointer; `None` where the record has no such value.
pub(super) fn of(text: Option<&str>, columns: &[Pointer]) -> Vec<Option<String>> {
    if columns.is_empty() {
        return Vec::new();
    }
    let value = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
    columns.iter().map(|column| value.as_ref().and_then(|value| column.get(value)).map(cell)).collect()
}

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
}
