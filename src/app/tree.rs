//! A JSON document as the lines of a tree: folds by pointer, and what differs from the server's copy beside each line.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::model::json::{self, Pointer};

/// One line. Texts are raw: they pass the display gate when drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct TreeRow {
    pub pointer: Pointer,
    pub depth: usize,
    pub name: String,
    pub kind: Kind,
    /// The value on one line, or what a fold hides.
    pub value: String,
    /// `Some(true)`: folded, `Some(false)`: open, `None`: nothing to fold.
    pub folded: Option<bool>,
    pub change: Change,
    /// The server's value, where it differs.
    pub was: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Object,
    Array,
    String,
    Number,
    /// `true`, `false`, `null`
    Literal,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Change {
    #[default]
    None,
    Changed,
    Added,
    Removed,
}

/// How long an array of scalars may be to stand on one line.
const INLINE: usize = 60;

/// Lines of a document of which this many are shown at most: what lies beyond is said on the last one.
const MOST: usize = 50_000;

/// The lines of `document` compared with `base`. `toggled` are the places that are not folded as they are by default.
pub fn rows(document: &Value, base: Option<&Value>, toggled: &BTreeSet<Pointer>) -> Vec<TreeRow> {
    let mut walk = Walk { rows: Vec::new(), toggled, compare: base.is_some() };
    match document {
        Value::Object(_) | Value::Array(_) => walk.children(&Pointer::root(), 0, document, base),
        scalar => walk.place(&Pointer::root(), 0, "value", Some(scalar), base),
    }
    walk.rows
}

/// Whether a container is folded when nobody touched it: arrays with something in them, and everything deep down.
pub fn is_folded_by_default(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => depth >= 3 || members.len() > 200,
        _ => false,
    }
}

struct Walk<'w> {
    rows: Vec<TreeRow>,
    toggled: &'w BTreeSet<Pointer>,
    compare: bool,
}

impl Walk<'_> {
    fn children(&mut self, at: &Pointer, depth: usize, value: &Value, base: Option<&Value>) {
        match value {
            Value::Object(members) => {
                let before = base.and_then(Value::as_object);
                for (name, member) in members {
                    self.place(&at.child(name), depth, name, Some(member), before.and_then(|before| before.get(name)));
                }
                for (name, old) in before.into_iter().flatten() {
                    if !members.contains_key(name) {
                        self.place(&at.child(name), depth, name, None, Some(old));
                    }
                }
            }
            Value::Array(items) => {
                let before = base.and_then(Value::as_array);
                for (index, item) in items.iter().enumerate() {
                    let name = index.to_string();
                    self.place(&at.child(&name), depth, &name, Some(item), before.and_then(|before| before.get(index)));
                }
            }
            _ => {}
        }
    }

    fn place(&mut self, pointer: &Pointer, depth: usize, name: &str, value: Option<&Value>, base: Option<&Value>) {
        if self.rows.len() >= MOST {
            return;
        }
        let change = match (value, base) {
            _ if !self.compare => Change::None,
            (Some(_), None) => Change::Added,
            (None, _) => Change::Removed,
            (Some(value), Some(base)) if json::same_value(value, base) => Change::None,
            _ => Change::Changed,
        };
        let shown = value.or(base).unwrap_or(&Value::Null);
        let can_fold = value.is_some_and(|value| size(value) > 0);
        let folded = can_fold.then(|| is_folded_by_default(shown, depth) != self.toggled.contains(pointer));
        let same_shape = matches!((value, base), (Some(Value::Object(_)), Some(Value::Object(_))));
        let was = match change {
            Change::Changed if !same_shape => base.map(|base| preview(base, INLINE)),
            _ => None,
        };
        self.rows.push(TreeRow {
            pointer: pointer.clone(),
            depth,
            name: name.to_owned(),
            kind: kind(shown),
            value: if folded == Some(false) { String::new() } else { preview(shown, INLINE) },
            folded,
            change,
            was,
        });
        if folded == Some(false) {
            self.children(pointer, depth + 1, shown, base);
        }
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    }
}

pub fn kind(value: &Value) -> Kind {
    match value {
        Value::Object(_) => Kind::Object,
        Value::Array(_) => Kind::Array,
        Value::String(_) => Kind::String,
        Value::Number(_) => Kind::Number,
        _ => Kind::Literal,
    }
}

/// A value on one line: scalars as JSON, short arrays of scalars whole, other containers as their size.
pub fn preview(value: &Value, room: usize) -> String {
    match value {
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(members) => format!("{{{}}}", members.len()),
        Value::Array(items) => {
            let scalars = items.iter().all(|item| !item.is_array() && !item.is_object());
            if scalars && items.len() <= room / 2 {
                let texts: Vec<String> = items.iter().map(|item| scalar(item, room)).collect();
                let text = format!("[{}]", texts.join(", "));
                if text.chars().count() <= room {
                    return text;
                }
            }
            format!("[{}]", items.len())
        }
        other => scalar(other, usize::MAX),
    }
}

/// A scalar as JSON text without the escapes that only hurt the eye: the display gate makes control characters safe.
fn scalar(value: &Value, room: usize) -> String {
    match value {
        Value::String(text) => {
            let most = room.min(4_000);
            if text.chars().count() > most {
                let cut: String = text.chars().take(most).collect();
                return format!("\"{cut}");
            }
            format!("\"{text}\"")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(document: &Value, base: Option<&Value>) -> Vec<String> {
        let mark = |change| match change {
            Change::None => ' ',
            Change::Changed => 'M',
            Change::Added => '+',
            Change::Removed => '-',
        };
        rows(document, base, &BTreeSet::new())
            .iter()
            .map(|row| {
                let was = row.was.as_deref().map(|was| format!(" was {was}")).unwrap_or_default();
                format!("{}{}{} {}{was}", mark(row.change), "  ".repeat(row.depth), row.name, row.value)
            })
            .collect()
    }

    #[test]
    fn changes_show_what_was_there() {
        let base = json!({"name": "Bo", "role": "editor", "old": 1, "tags": ["a"]});
        let local = json!({"name": "Bo", "role": "admin", "tags": ["a", "b"], "new": null});
        assert_eq!(
            shown(&local, Some(&base)),
            [
                "  name \"Bo\"",
                "M role \"admin\" was \"editor\"",
                "M tags [\"a\", \"b\"] was [\"a\"]",
                "+ new null",
                "- old 1"
            ]
            .map(|line| line
                .replacen("  name", " name", 1)
                .replacen("M ", "M", 1)
                .replacen("+ ", "+", 1)
                .replacen("- ", "-", 1))
        );
    }

    #[test]
    fn arrays_of_objects_are_folded_and_objects_open() {
        let document = json!({"profile": {"name": "Bo"}, "addresses": [{"city": "Lund"}, {"city": "Malmö"}]});
        assert_eq!(shown(&document, None), [" profile ", "   name \"Bo\"", " addresses [2]"]);
    }
}
