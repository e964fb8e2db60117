//! What the record will be: as lines for the preview, and as a text for `$EDITOR`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    app::tree,
    merge::{Merged, Pick},
    model::json::{self, Limits, Pointer},
};

/// Lines of a preview; a longer document is cut.
const MOST: usize = 5_000;
/// Containers up to this wide stand on one line.
const ONE_LINE: usize = 48;
/// Stands for what is not decided. No text of a user begins so.
const OPEN: &str = "\u{0}undecided ";

/// One line of the preview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    /// The place is not decided yet.
    pub is_open: bool,
}

/// The record as it will be, place by place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    pub lines: Vec<Line>,
    /// The first line of each place that differs.
    pub places: BTreeMap<Pointer, usize>,
}

impl Preview {
    pub fn of(merged: &Merged, picks: &BTreeMap<Pointer, Pick>) -> Self {
        let mut preview = Self::default();
        match with_open_places(merged, picks) {
            Some(document) => {
                let places: Vec<&Pointer> = merged.fields.iter().map(|field| &field.pointer).collect();
                preview.write(&document, &Pointer::root(), &places, (0, String::new(), ""));
            }
            None => preview.lines.push(Line { text: "(the record is deleted)".to_owned(), is_open: false }),
        }
        preview
    }

    fn push(&mut self, depth: usize, text: &str, is_open: bool) {
        if self.lines.len() < MOST {
            self.lines.push(Line { text: format!("{}{text}", "  ".repeat(depth)), is_open });
        }
    }

    /// `(depth, what stands before the value on its line, what stands behind it)`
    fn write(&mut self, value: &Value, at: &Pointer, places: &[&Pointer], (depth, before, after): Frame<'_>) {
        if places.contains(&at) {
            self.places.insert(at.clone(), self.lines.len());
        }
        if is_open(value) {
            return self.push(depth, &format!("{before}<undecided>{after}"), true);
        }
        let (open, close, length) = match value {
            Value::Object(members) => ("{", "}", members.len()),
            Value::Array(items) => ("[", "]", items.len()),
            scalar => return self.push(depth, &format!("{before}{scalar}{after}"), false),
        };
        if let Some(short) = compact(value, ONE_LINE).filter(|_| length == 0 || depth > 0) {
            for pointer in places.iter().filter(|pointer| at.contains(pointer)) {
                self.places.insert((*pointer).clone(), self.lines.len());
            }
            return self.push(depth, &format!("{before}{short}{after}"), false);
        }
        self.push(depth, &format!("{before}{open}"), false);
        let comma = |index: usize| if index + 1 < length { "," } else { "" };
        match value {
            Value::Object(members) => {
                for (index, (name, member)) in members.iter().enumerate() {
                    let before = format!("{}: ", Value::from(name.as_str()));
                    self.write(member, &at.child(name), places, (depth + 1, before, comma(index)));
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let child = at.child(&index.to_string());
                    self.write(item, &child, places, (depth + 1, String::new(), comma(index)));
                }
            }
            _ => {}
        }
        self.push(depth, &format!("{close}{after}"), false);
    }
}

type Frame<'f> = (usize, String, &'f str);

fn is_open(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with(OPEN))
}

/// `{ "h": 10, "w": 8 }`, where it is short enough and nothing in it is open.
fn compact(value: &Value, most: usize) -> Option<String> {
    let text = match value {
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(members) if members.len() <= most / 6 => {
            let members = members
                .iter()
                .map(|(name, member)| Some(format!("{}: {}", Value::from(name.as_str()), compact(member, most)?)));
            format!("{{ {} }}", members.collect::<Option<Vec<_>>>()?.join(", "))
        }
        Value::Array(items) if items.len() <= most / 3 => {
            let items = items.iter().map(|item| compact(item, most)).collect::<Option<Vec<_>>>()?;
            format!("[{}]", items.join(", "))
        }
        Value::Object(_) | Value::Array(_) => return None,
        Value::String(text) if text.len() > most || is_open(value) => return None,
        scalar => scalar.to_string(),
    };
    (text.chars().count() <= most).then_some(text)
}

/// The document, with a mark at each place that is not decided.
fn with_open_places(merged: &Merged, picks: &BTreeMap<Pointer, Pick>) -> Option<Value> {
    let open = match merged.document(picks) {
        Ok(document) => return document,
        Err(open) => open,
    };
    let mut marked = picks.clone();
    for pointer in open {
        let mark = Pick::Value(Value::from(format!("{OPEN}{pointer}")));
        marked.insert(pointer, mark);
    }
    merged.preview(&marked)
}

/// The text handed to `$EDITOR`: the document, each undecided place with its sides in the form of no JSON, so that it
/// cannot be forgotten. Lines that begin with `//` are left out when it comes back.
pub fn to_text(merged: &Merged, picks: &BTreeMap<Pointer, Pick>, heading: &str) -> String {
    let mut text = format!("// {heading}\n");
    let document = with_open_places(merged, picks);
    let open: Vec<_> = match merged.document(picks) {
        Ok(_) => Vec::new(),
        Err(open) => merged.fields.iter().filter(|field| open.contains(&field.pointer)).collect(),
    };
    if !open.is_empty() {
        text += "// Replace each <undecided ...> by a JSON value; until then the text is not taken.\n";
    }
    let mut body = match document.filter(|document| !is_open(document)) {
        Some(document) => super::super::record::pretty(&document),
        // The record as a whole is open: begin with the side there is.
        None => {
            let side = merged.fields.first().and_then(|field| field.mine.as_ref().or(field.theirs.as_ref()));
            side.map(super::super::record::pretty).unwrap_or_default()
        }
    };
    for field in open {
        let mark = Value::from(format!("{OPEN}{}", field.pointer)).to_string();
        let show = |value: &Option<Value>| value.as_ref().map_or_else(|| "(none)".to_owned(), cut);
        let sides = format!(
            "<undecided: mine {} | theirs {} | base {}>",
            show(&field.mine),
            show(&field.theirs),
            show(&field.base)
        );
        body = body.replace(&mark, &sides);
    }
    text += &body;
    text.push('\n');
    text
}

fn cut(value: &Value) -> String {
    tree::preview(value, 60)
}

/// Reads what `$EDITOR` left.
pub fn from_text(text: &str) -> Result<Value, String> {
    let kept: String = text
        .lines()
        .map(|line| if line.trim_start().starts_with("//") { "\n".to_owned() } else { format!("{line}\n") })
        .collect();
    if kept.trim().is_empty() {
        return Err("the text is empty".to_owned());
    }
    json::parse(&kept, Limits::default()).map_err(|invalid| match kept.find("<undecided") {
        Some(at) => format!("line {} is still undecided", kept[..at].matches('\n').count() + 1),
        None => invalid.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::merge::merge_fields;

    fn merged() -> Merged {
        let base = json!({"title": "Mug", "price": 12, "dims": {"h": 9, "w": 8}, "tags": ["a"], "note": "x"});
        let mine = json!({"title": "Mug, blue", "price": 12.5, "dims": {"h": 9, "w": 8}, "tags": ["a"], "note": "y"});
        let theirs = json!({"title": "Mug", "price": 13, "dims": {"h": 9, "w": 8}, "tags": ["a"], "note": "z"});
        merge_fields(Some(&base), Some(&mine), Some(&theirs), &Default::default())
    }

    #[test]
    fn the_preview_marks_what_is_open_and_knows_where_each_place_is() {
        let merged = merged();
        let picks = BTreeMap::from([(Pointer::parse("/note"), Pick::Mine)]);
        let preview = Preview::of(&merged, &picks);
        let text: Vec<String> =
            preview.lines.iter().map(|line| format!("{}{}", if line.is_open { "?" } else { " " }, line.text)).collect();
        let expected = [
            " {",
            "   \"title\": \"Mug, blue\",",
            "?  \"price\": <undecided>,",
            "   \"dims\": { \"h\": 9, \"w\": 8 },",
            "   \"tags\": [\"a\"],",
            "   \"note\": \"y\"",
            " }",
        ];
        assert_eq!(text, expected);
        assert_eq!(preview.places[&Pointer::parse("/price")], 2);
    }

    #[test]
    fn the_text_for_the_editor_cannot_be_taken_before_every_place_is_decided() {
        let merged = merged();
        let text = to_text(&merged, &BTreeMap::new(), "products/p_311");
        assert!(text.contains("\"price\": <undecided: mine 12.5 | theirs 13 | base 12>"), "{text}");
        assert_eq!(from_text(&text), Err("line 5 is still undecided".to_owned()));
        let decided = text
            .replace("<undecided: mine 12.5 | theirs 13 | base 12>", "14")
            .replace("<undecided: mine \"y\" | theirs \"z\" | base \"x\">", "\"both\"");
        let document = from_text(&decided).unwrap();
        assert_eq!((&document["price"], &document["note"]), (&json!(14), &json!("both")));
        assert!(from_text("// nothing\n").is_err());
    }
}
