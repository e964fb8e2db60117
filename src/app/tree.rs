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

/// Lines of a document of which this many are shown at most.
const MOST: usize = 50_000;

/// The lines of a document as numbers: a megabyte has tens of thousands, of which one screen is drawn. What a line says is
/// made from the document when it is asked for ([`Tree::row`]).
///
/// **Invariant:** the documents given to the methods are those the tree was made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tree {
    lines: Vec<Line>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    /// The line of the container; [`TOP`] for the document itself.
    parent: u32,
    /// Which member or item of the container; where the line tells of a removed one, of the base's container.
    member: u32,
    depth: u16,
    folded: Option<bool>,
    change: Change,
}

const TOP: u32 = u32::MAX;

/// The document shown and, where it is compared, the one before.
#[derive(Debug, Clone, Copy)]
pub struct Documents<'d> {
    pub shown: &'d Value,
    pub base: Option<&'d Value>,
}

impl Tree {
    /// The lines of a document. `toggled` are the places that are not folded as they are by default.
    pub fn of(documents: Documents<'_>, toggled: &BTreeSet<Pointer>) -> Self {
        let mut walk = Walk { lines: Vec::new(), toggled, path: Vec::new(), compare: documents.base.is_some() };
        match documents.shown {
            Value::Object(_) | Value::Array(_) => walk.children(TOP, 0, documents.shown, documents.base),
            scalar => walk.place(TOP, 0, 0, None, Some(scalar), documents.base),
        }
        Self { lines: walk.lines }
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether a line is folded; `None` where there is nothing to fold.
    pub fn folded(&self, index: usize) -> Option<bool> {
        self.lines.get(index)?.folded
    }

    pub fn pointer(&self, index: usize, documents: Documents<'_>) -> Option<Pointer> {
        Some(self.place(index, documents)?.pointer)
    }

    /// What a line says.
    pub fn row(&self, index: usize, documents: Documents<'_>) -> Option<TreeRow> {
        let line = self.lines.get(index)?;
        let Place { pointer, value, base } = self.place(index, documents)?;
        let shown = value.or(base).unwrap_or(&Value::Null);
        let same_shape = matches!((value, base), (Some(Value::Object(_)), Some(Value::Object(_))));
        let was = match line.change {
            Change::Changed if !same_shape => base.map(|base| preview(base, INLINE)),
            _ => None,
        };
        Some(TreeRow {
            name: pointer.tokens().last().map_or_else(|| "value".to_owned(), Clone::clone),
            pointer,
            depth: usize::from(line.depth),
            kind: kind(shown),
            value: if line.folded == Some(false) { String::new() } else { preview(shown, INLINE) },
            folded: line.folded,
            change: line.change,
            was,
        })
    }

    /// The line of a place; `None` where it has none.
    pub fn position(&self, pointer: &Pointer, documents: Documents<'_>) -> Option<usize> {
        if pointer.is_root() {
            let is_scalar = !matches!(documents.shown, Value::Object(_) | Value::Array(_));
            return (is_scalar && !self.is_empty()).then_some(0);
        }
        let (mut value, mut base) = (Some(documents.shown), documents.base);
        let (mut parent, mut from) = (TOP, 0);
        for token in pointer.tokens() {
            let here = value.and_then(|value| number_of(value, token));
            let (member, is_removed) = match here {
                Some(member) => (member, false),
                None => (number_of(base?, token)?, true),
            };
            let is_it = |line: &Line| {
                line.parent == parent && line.member == member && (line.change == Change::Removed) == is_removed
            };
            let at = from + self.lines[from..].iter().position(is_it)?;
            (value, base) =
                (value.and_then(|value| member_of(value, token)), base.and_then(|base| member_of(base, token)));
            (parent, from) = (u32::try_from(at).ok()?, at + 1);
        }
        (parent != TOP).then_some(from - 1)
    }

    fn place<'d>(&self, index: usize, documents: Documents<'d>) -> Option<Place<'d>> {
        let line = self.lines.get(index)?;
        let above = match line.parent {
            TOP if !matches!(documents.shown, Value::Object(_) | Value::Array(_)) => {
                return Some(Place { pointer: Pointer::root(), value: Some(documents.shown), base: documents.base });
            }
            TOP => Place { pointer: Pointer::root(), value: Some(documents.shown), base: documents.base },
            parent => self.place(parent as usize, documents)?,
        };
        let container = if line.change == Change::Removed { above.base } else { above.value };
        let name = name_of(container?, line.member)?;
        Some(Place {
            value: above.value.and_then(|value| member_of(value, &name)),
            base: above.base.and_then(|base| member_of(base, &name)),
            pointer: above.pointer.child(&name),
        })
    }
}

struct Place<'d> {
    pointer: Pointer,
    value: Option<&'d Value>,
    base: Option<&'d Value>,
}

fn name_of(container: &Value, member: u32) -> Option<String> {
    match container {
        Value::Object(members) => members.keys().nth(member as usize).cloned(),
        Value::Array(_) => Some(member.to_string()),
        _ => None,
    }
}

fn number_of(container: &Value, name: &str) -> Option<u32> {
    let number = match container {
        Value::Object(members) => members.keys().position(|key| key == name)?,
        Value::Array(items) => name.parse().ok().filter(|index| *index < items.len())?,
        _ => return None,
    };
    u32::try_from(number).ok()
}

fn member_of<'v>(container: &'v Value, name: &str) -> Option<&'v Value> {
    match container {
        Value::Object(members) => members.get(name),
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => None,
    }
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
    lines: Vec<Line>,
    toggled: &'w BTreeSet<Pointer>,
    /// The place reached, kept only where somebody toggled one.
    path: Vec<String>,
    compare: bool,
}

impl Walk<'_> {
    fn children(&mut self, parent: u32, depth: u16, value: &Value, base: Option<&Value>) {
        match value {
            Value::Object(members) => {
                let before = base.and_then(Value::as_object);
                for (number, (name, member)) in (0..).zip(members) {
                    let old = before.and_then(|before| before.get(name));
                    self.place(parent, number, depth, Some(name), Some(member), old);
                }
                for (number, (name, old)) in (0..).zip(before.into_iter().flatten()) {
                    if !members.contains_key(name) {
                        self.place(parent, number, depth, Some(name), None, Some(old));
                    }
                }
            }
            Value::Array(items) => {
                let before = base.and_then(Value::as_array);
                for (number, item) in (0_u32..).zip(items) {
                    let old = before.and_then(|before| before.get(number as usize));
                    self.place(parent, number, depth, None, Some(item), old);
                }
            }
            _ => {}
        }
    }

    fn place(
        &mut self,
        parent: u32,
        member: u32,
        depth: u16,
        name: Option<&str>,
        value: Option<&Value>,
        base: Option<&Value>,
    ) {
        if self.lines.len() >= MOST {
            return;
        }
        let change = match (value, base) {
            _ if !self.compare => Change::None,
            (Some(_), None) => Change::Added,
            (None, _) => Change::Removed,
            (Some(value), Some(base)) if json::same_value(value, base) => Change::None,
            _ => Change::Changed,
        };
        let is_tracked = !self.toggled.is_empty();
        if is_tracked {
            self.path.push(name.map_or_else(|| member.to_string(), str::to_owned));
        }
        let shown = value.or(base).unwrap_or(&Value::Null);
        let can_fold = value.is_some_and(|value| size(value) > 0);
        let folded = can_fold.then(|| is_folded_by_default(shown, usize::from(depth)) != self.is_toggled());
        let index = u32::try_from(self.lines.len()).unwrap_or(TOP);
        self.lines.push(Line { parent, member, depth, folded, change });
        if folded == Some(false) {
            self.children(index, depth.saturating_add(1), shown, base);
        }
        if is_tracked {
            self.path.pop();
        }
    }

    fn is_toggled(&self) -> bool {
        !self.toggled.is_empty() && self.toggled.iter().any(|pointer| pointer.tokens() == self.path)
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
        let documents = Documents { shown: document, base };
        let mark = |change| match change {
            Change::None => ' ',
            Change::Changed => 'M',
            Change::Added => '+',
            Change::Removed => '-',
        };
        let tree = Tree::of(documents, &BTreeSet::new());
        (0..tree.len())
            .map(|index| {
                let row = tree.row(index, documents).unwrap();
                assert_eq!(tree.position(&row.pointer, documents), Some(index));
                assert_eq!(tree.folded(index), row.folded);
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

    #[test]
    fn every_line_is_found_by_its_place_whatever_is_folded() {
        let base = json!({"a": {"b": [1, {"c": 2}], "gone": {"x": 1}}, "n": 0, "gone": [1]});
        let local = json!({"n": 1, "a": {"b": [1, {"c": 3}, "new"], "z": {}}, "": {"/": "~"}});
        let documents = Documents { shown: &local, base: Some(&base) };
        for toggled in [vec![], vec!["/a/b"], vec!["/a"], vec!["/a/b", "/a/b/1"]] {
            let toggled: BTreeSet<Pointer> = toggled.into_iter().map(Pointer::parse).collect();
            let tree = Tree::of(documents, &toggled);
            for index in 0..tree.len() {
                let row = tree.row(index, documents).unwrap();
                assert_eq!(tree.position(&row.pointer, documents), Some(index), "{row:?}");
            }
            let is_open = toggled.len() == 1 && toggled.contains(&Pointer::parse("/a/b"));
            assert_eq!(tree.position(&Pointer::parse("/a/b/1/c"), documents).is_some(), is_open);
        }
        assert_eq!(Tree::of(documents, &BTreeSet::new()).position(&Pointer::parse("/a/never"), documents), None);
        let scalar = Documents { shown: &json!(7), base: None };
        let tree = Tree::of(scalar, &BTreeSet::new());
        assert_eq!((tree.len(), tree.position(&Pointer::root(), scalar)), (1, Some(0)));
        assert_eq!(tree.row(0, scalar).unwrap().name, "value");
    }
}
