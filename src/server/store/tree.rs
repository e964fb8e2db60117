//! A written value on its way into rows: checked, normalised, and already cut where the store cuts.
//!
//! Big values are never held as a `serde_json::Value`: their members are cut out of the text and only the pieces that
//! become one row each are parsed, so a write of 256 MB costs little more memory than its text.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value, value::RawValue};

use super::sink::{Sink, Stop, push_key};
use crate::model::{
    json::Pointer,
    rtdb::{LimitError, MAX_DEPTH, array_length, check_key, check_written, normalise, sort_key, stored},
};

/// Containers with more text than this become a row per child.
const SPLIT_BYTES: usize = 128 << 10;
/// What the real database answers to a body that is no JSON.
pub(in crate::server) const NOT_JSON: &str = "Invalid data; couldn't parse JSON object, array, or value.";

/// A value that is not empty.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::server) enum Tree {
    /// One row: its stored text.
    Whole(Box<str>),
    /// A row per child, in key order.
    Split { priority: Option<Box<str>>, children: Vec<(String, Tree)> },
}

impl Tree {
    /// Reads what a client wrote `level` keys below the root; `None` where nothing is left of it. `now` (milliseconds)
    /// replaces timestamp placeholders; increments stay until the writer knows what they add to.
    pub(in crate::server) fn parse(text: &str, level: usize, now: i64) -> Result<Option<Tree>, LimitError> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        if level > MAX_DEPTH {
            return Err(refuse(format!("nested deeper than the limit of {MAX_DEPTH} levels")));
        }
        if !splits(text, level) {
            let value = serde_json::from_str(text).map_err(|_| refuse(NOT_JSON))?;
            return Self::from_written(value, level, now);
        }
        let mut priority = None;
        let mut children = Vec::new();
        for (key, raw) in members(text).map_err(|_| refuse(NOT_JSON))? {
            match key.as_ref() {
                ".sv" => return Err(refuse("a `.sv` placeholder stands alone in its object")),
                ".priority" if level > 0 => priority = Some(Box::from(raw)).filter(|text: &Box<str>| &**text != "null"),
                ".priority" => {}
                ".value" if raw != "null" => return Self::parse(raw, level, now),
                ".value" => return Ok(None),
                _ => {
                    check_key(&key).map_err(|reason| inside(&key, refuse(reason)))?;
                    if let Some(child) = Self::parse(raw, level + 1, now).map_err(|error| inside(&key, error))? {
                        children.push((key.into_owned(), child));
                    }
                }
            }
        }
        Ok(Self::split(priority, children))
    }

    fn from_written(mut value: Value, level: usize, now: i64) -> Result<Option<Tree>, LimitError> {
        resolve(&mut value, None, Some(now));
        check_written(level, &value)?;
        Ok(Self::from_value(&value, level))
    }

    /// From a value that was checked before.
    pub(super) fn from_value(value: &Value, level: usize) -> Option<Tree> {
        let value = stored(value)?;
        let text = value.to_string();
        if !splits(&text, level) || has_key(&text, ".sv") || value.get(".value").is_some() {
            return Some(Self::Whole(text.into()));
        }
        let priority = value.get(".priority").map(|priority| priority.to_string().into());
        let children = match value {
            Value::Object(members) => members
                .into_iter()
                .filter(|(key, _)| !key.starts_with('.'))
                .filter_map(|(key, child)| Some((key, Self::from_value(&child, level + 1)?)))
                .collect(),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .filter_map(|(at, item)| Some((at.to_string(), Self::from_value(item, level + 1)?)))
                .collect(),
            _ => unreachable!("only containers split"),
        };
        Self::split(priority, children)
    }

    fn split(priority: Option<Box<str>>, mut children: Vec<(String, Tree)>) -> Option<Tree> {
        if !children.is_sorted_by(|(a, _), (b, _)| sort_key(a) < sort_key(b)) {
            children.reverse();
            children.sort_by_cached_key(|(key, _)| sort_key(key));
            children.dedup_by(|(a, _), (b, _)| a == b);
        }
        (!children.is_empty()).then_some(Self::Split { priority, children })
    }

    /// Puts the value below the keys of `path`, the first of which is a child of a node at `level`.
    pub(super) fn wrap(self, path: &[String], level: usize) -> Tree {
        let Some((key, rest)) = path.split_first() else { return self };
        match self.wrap(rest, level + 1) {
            Tree::Whole(text) if level > 1 => {
                let value = Value::Object(Map::from_iter([(key.clone(), read(&text))]));
                Self::from_value(&value, level).expect("a non-empty value stays one inside an object")
            }
            inner => Tree::Split { priority: None, children: vec![(key.clone(), inner)] },
        }
    }

    /// The part below `path`, for a listener that looks deeper than the write.
    pub(in crate::server) fn below(&self, path: &[String]) -> Option<Cow<'_, Tree>> {
        let Some((key, rest)) = path.split_first() else { return Some(Cow::Borrowed(self)) };
        match self {
            Tree::Split { children, .. } => children.iter().find(|(child, _)| child == key)?.1.below(rest),
            Tree::Whole(text) => {
                let text = child_at(&read(text), path)?.to_string();
                Some(Cow::Owned(Tree::Whole(text.into())))
            }
        }
    }

    pub(super) fn has_increments(&self) -> bool {
        match self {
            Tree::Whole(text) => has_key(text, ".sv"),
            Tree::Split { children, .. } => children.iter().any(|(_, child)| child.has_increments()),
        }
    }

    /// Replaces increments by sums; `current` tells the stored text at a place below this one.
    pub(super) fn add_increments<E>(
        &mut self,
        path: &mut Vec<String>,
        current: &mut impl FnMut(&[String]) -> Result<Option<String>, E>,
    ) -> Result<(), E> {
        match self {
            Tree::Whole(text) if has_key(text, ".sv") => {
                let mut value = read(text);
                let old = current(path)?.map(|text| read(&text));
                resolve(&mut value, old.as_ref(), None);
                *text = stored(&value).expect("a sum is not empty").to_string().into();
            }
            Tree::Whole(_) => {}
            Tree::Split { children, .. } => {
                for (key, child) in children {
                    path.push(key.clone());
                    child.add_increments(path, current)?;
                    path.pop();
                }
            }
        }
        Ok(())
    }

    /// Writes what a plain read of this value answers.
    pub(in crate::server) fn render(&self, sink: &mut dyn Sink) -> Result<(), Stop> {
        match self {
            Tree::Whole(text) if has_key(text, ".priority") => match normalise(&read(text)) {
                Some(plain) => sink.text(&plain.to_string()),
                None => sink.text("null"),
            },
            Tree::Whole(text) => sink.text(text),
            Tree::Split { children, .. } => match array_length(children.iter().map(|(key, _)| key.as_str())) {
                Some(length) => {
                    let mut next = 0_usize;
                    for (key, child) in children {
                        let at: usize = key.parse().expect("array_length parsed every key");
                        sink.text(if next == 0 { "[" } else { "," })?;
                        (next..at).try_for_each(|_| sink.text("null,"))?;
                        child.render(sink)?;
                        next = at + 1;
                    }
                    debug_assert_eq!(next, length);
                    sink.text("]")
                }
                None => {
                    for (at, (key, child)) in children.iter().enumerate() {
                        sink.text(if at == 0 { "{" } else { "," })?;
                        push_key(sink, key)?;
                        child.render(sink)?;
                    }
                    sink.text("}")
                }
            },
        }
    }
}

fn refuse(reason: impl Into<String>) -> LimitError {
    LimitError { pointer: Pointer::root(), reason: reason.into() }
}

/// The same trouble, told from the node above.
fn inside(key: &str, error: LimitError) -> LimitError {
    let pointer = error.pointer.tokens().iter().fold(Pointer::root().child(key), |at, token| at.child(token));
    LimitError { pointer, reason: error.reason }
}

/// The root and the collections are always a row per child, deeper nodes when they grow big.
fn splits(text: &str, level: usize) -> bool {
    match text.as_bytes() {
        [b'{', ..] if level < 2 => !text.contains("\".sv\"") || !is_placeholder_text(text),
        [b'[', ..] if level < 2 => true,
        [b'{' | b'[', ..] => level < MAX_DEPTH && text.len() > SPLIT_BYTES,
        _ => false,
    }
}

fn is_placeholder_text(text: &str) -> bool {
    text.len() < 256 && serde_json::from_str::<Value>(text).is_ok_and(|value| value.get(".sv").is_some())
}

/// True where an object of this compact JSON text has the member `name`. Inside a string its quotes would be escaped.
pub(super) fn has_key(text: &str, name: &str) -> bool {
    text.contains('.') && text.contains(&format!("\"{name}\":"))
}

/// Stored text back as a value.
pub(super) fn read(text: &str) -> Value {
    serde_json::from_str(text).expect("stored text was written by us")
}

/// The value below `path` inside a stored value; metadata is not a child.
pub(super) fn child_at<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, key| match value {
        Value::Object(members) => members.get(key).filter(|_| !key.starts_with('.')),
        Value::Array(items) => items.get(index(key)?).filter(|item| !item.is_null()),
        _ => None,
    })
}

/// Sets or removes the place below `path` inside a stored value. Normalise afterwards.
pub(super) fn set_at(value: &mut Option<Value>, path: &[String], to: Option<Value>) {
    let Some((key, rest)) = path.split_first() else {
        *value = to;
        return;
    };
    let mut members = match value.take() {
        Some(Value::Object(mut members)) => {
            if to.is_some() && key != ".priority" {
                members.shift_remove(".value");
            }
            members
        }
        Some(Value::Array(items)) => items.into_iter().enumerate().map(|(at, item)| (at.to_string(), item)).collect(),
        Some(leaf) if to.is_none() => {
            *value = Some(leaf);
            return;
        }
        Some(leaf) if key == ".priority" => Map::from_iter([(".value".to_owned(), leaf)]),
        None if to.is_none() || key == ".priority" => return,
        _ => Map::new(),
    };
    let mut child = members.shift_remove(key).filter(|child| !child.is_null());
    set_at(&mut child, rest, to);
    if let Some(child) = child {
        members.insert(key.clone(), child);
    }
    *value = Some(Value::Object(members));
}

fn index(key: &str) -> Option<usize> {
    let number: usize = key.parse().ok()?;
    (number.to_string() == key).then_some(number)
}

/// Replaces placeholders: timestamps where `now` is given, increments where it is not (`current` is what was there).
fn resolve(value: &mut Value, current: Option<&Value>, now: Option<i64>) {
    let sv = value.as_object().filter(|members| members.len() == 1).and_then(|members| members.get(".sv"));
    if let Some(sv) = sv {
        let resolved = match now {
            Some(now) => (sv == "timestamp").then(|| Value::from(now)),
            None => sv.get("increment").map(|by| sum(current, by)),
        };
        if let Some(resolved) = resolved {
            *value = resolved;
        }
        return;
    }
    let child_of = |key: &str| current.and_then(|current| child_at(current, &[key.to_owned()]));
    match value {
        Value::Object(members) => members.iter_mut().for_each(|(key, child)| match key.as_str() {
            ".value" => resolve(child, current, now),
            key => resolve(child, child_of(key), now),
        }),
        Value::Array(items) => {
            items.iter_mut().enumerate().for_each(|(at, item)| resolve(item, child_of(&at.to_string()), now));
        }
        _ => {}
    }
}

/// Integers add exactly while they fit, anything else as floats; what is no number counts as 0.
fn sum(current: Option<&Value>, by: &Value) -> Value {
    let current = current.map(|value| value.get(".value").unwrap_or(value)).filter(|value| value.is_number());
    let Some(current) = current else { return by.clone() };
    match (current.as_i64(), by.as_i64()) {
        (Some(a), Some(b)) if a.checked_add(b).is_some() => Value::from(a + b),
        _ => {
            let total = current.as_f64().unwrap_or(0.0) + by.as_f64().unwrap_or(0.0);
            serde_json::Number::from_f64(total).map_or_else(|| by.clone(), Value::Number)
        }
    }
}

/// The members of an object or the items of an array, as text; an empty list for anything else.
pub(in crate::server) fn members(text: &str) -> Result<Vec<(Cow<'_, str>, &str)>, serde_json::Error> {
    match text.as_bytes().first() {
        Some(b'{') => {
            let Members(list) = serde_json::from_str(text)?;
            Ok(list.into_iter().map(|(key, raw)| (key, raw.get())).collect())
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            Ok(items.into_iter().enumerate().map(|(at, raw)| (Cow::Owned(at.to_string()), raw.get())).collect())
        }
        _ => Ok(Vec::new()),
    }
}

struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}

struct MembersVisitor<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for MembersVisitor<'a> {
    type Value = Members<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'a>, A::Error> {
        let mut list = Vec::new();
        while let Some((key, raw)) = map.next_entry::<Key<'a>, &'a RawValue>()? {
            list.push((key.0, raw));
        }
        Ok(Members(list))
    }
}

/// A key, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
pub(super) struct Key<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::store::sink::Text;

    fn parse(text: &str, level: usize) -> Option<Tree> {
        Tree::parse(text, level, 7).unwrap()
    }

    fn plain(tree: &Tree) -> String {
        let mut text = Text::default();
        tree.render(&mut text).unwrap();
        text.0
    }

    #[test]
    fn a_collection_is_cut_into_records_in_key_order() {
        let tree = parse(r#"{"tasks": {"b": {"z":1,"a":[1,null]}, "10": {"x": {}}, "9": true}, "n": {}}"#, 0).unwrap();
        assert_eq!(plain(&tree), r#"{"tasks":{"9":true,"b":{"a":[1],"z":1}}}"#);
        let Tree::Split { children, .. } = tree else { panic!("the root is split") };
        assert!(matches!(&children[0].1, Tree::Split { children, .. } if children.len() == 2));
    }

    #[test]
    fn cutting_changes_nothing_that_is_read() {
        let big = format!(r#"{{"0":"{}","1":{{"a":1}},"3":[]}}"#, "x".repeat(SPLIT_BYTES));
        let tree = parse(&big, 2).unwrap();
        assert!(matches!(tree, Tree::Split { .. }));
        assert_eq!(plain(&tree), normalise(&serde_json::from_str(&big).unwrap()).unwrap().to_string());
    }

    #[test]
    fn the_last_of_a_repeated_key_is_kept() {
        assert_eq!(plain(&parse(r#"{"a":1,"b":2,"a":3}"#, 1).unwrap()), r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn increments_add_to_what_is_there() {
        let mut tree = parse(r#"{"k":{"n":{".sv":{"increment":5}},"at":{".sv":"timestamp"}}}"#, 1).unwrap();
        let mut current = |path: &[String]| {
            assert_eq!(path, ["k"]);
            Ok::<_, ()>(Some(r#"{"n":37}"#.to_owned()))
        };
        tree.add_increments(&mut Vec::new(), &mut current).unwrap();
        assert_eq!(plain(&tree), r#"{"k":{"at":7,"n":42}}"#);
    }

    #[test]
    fn nesting_and_keys_are_checked_on_the_way() {
        let deep = format!("{}1{}", "[".repeat(5_000_000), "]".repeat(5_000_000));
        assert!(Tree::parse(&deep, 0, 0).is_err());
        for bad in [r#"{"a.b":1}"#, r#"{"a":{"":1}}"#, "{", "", r#"{"a":{".sv":"soon"}}"#, r#"{"a":1}x"#] {
            assert!(Tree::parse(bad, 0, 0).is_err(), "{bad}");
        }
    }
}
