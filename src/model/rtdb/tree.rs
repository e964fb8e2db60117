//! What the database makes of a value: empty things vanish, dense integer keys read as arrays.
//!
//! Two forms. [`normalise`] is what a plain read gives back, with the members in the order they were written.
//! [`stored`] is what the embedded backend keeps: members in key order (so that equal content is equal text), and
//! priorities kept as `.priority` and `.value`.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::key_order;

/// What reading back a written value gives; `None` where nothing is left of it. Idempotent. Priorities are dropped,
/// `{".sv": …}` placeholders stay as they are.
pub fn normalise(value: &Value) -> Option<Value> {
    rebuild(value, Form::Plain)
}

/// The same, borrowed where the value reads back as it is, as nearly all do: a drain looks at each document several times.
pub fn normal_form(value: &Value) -> Option<Cow<'_, Value>> {
    match reads_back_as_it_is(value) {
        true => Some(Cow::Borrowed(value)),
        false => normalise(value).map(Cow::Owned),
    }
}

/// The same for a value that is not needed any more.
pub fn into_normal(value: Value) -> Option<Value> {
    match reads_back_as_it_is(&value) {
        true => Some(value),
        false => normalise(&value),
    }
}

/// True only where [`normalise`] would give back the very value; some such values are not recognised (arrays with holes,
/// placeholders).
fn reads_back_as_it_is(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty() && items.iter().all(reads_back_as_it_is),
        Value::Object(members) => {
            array_length(members.keys().map(String::as_str)).is_none()
                && !members.is_empty()
                && members.iter().all(|(key, child)| !key.starts_with('.') && reads_back_as_it_is(child))
        }
        _ => true,
    }
}

/// The form the embedded backend stores: like [`normalise`], with members in key order and priorities kept (a node that
/// carries one is always an object, a leaf becomes `{".value": …, ".priority": …}`).
pub fn stored(value: &Value) -> Option<Value> {
    rebuild(value, Form::Stored)
}

/// The children of a node in key order: the members of an object without metadata, the items of an array without nulls.
pub fn children(value: &Value) -> Vec<(Cow<'_, str>, &Value)> {
    let mut list: Vec<(Cow<'_, str>, &Value)> = match value {
        Value::Array(items) => items.iter().enumerate().map(|(at, item)| (Cow::Owned(at.to_string()), item)).collect(),
        Value::Object(members) => members.iter().map(|(key, child)| (Cow::Borrowed(key.as_str()), child)).collect(),
        _ => Vec::new(),
    };
    list.retain(|(key, child)| !child.is_null() && !key.starts_with('.'));
    if value.is_object() {
        list.sort_by(|(a, _), (b, _)| key_order(a, b));
    }
    list
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Plain,
    Stored,
}

fn rebuild(value: &Value, form: Form) -> Option<Value> {
    let priority = value.get(".priority").filter(|priority| form == Form::Stored && is_priority(priority));
    let inner = match value.get(".value") {
        Some(inner) if !inner.is_null() => rebuild(inner, form)?,
        _ => rebuild_bare(value, form)?,
    };
    Some(match priority {
        Some(priority) => with_priority(inner, priority),
        None => inner,
    })
}

fn rebuild_bare(value: &Value, form: Form) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(members) if members.contains_key(".sv") => Some(value.clone()),
        Value::Object(members) => {
            let kept: Vec<(String, Value)> = members
                .iter()
                .filter(|(key, _)| !key.starts_with('.'))
                .filter_map(|(key, child)| Some((key.clone(), rebuild(child, form)?)))
                .collect();
            collect(kept, form)
        }
        Value::Array(items) => {
            let kept: Vec<(String, Value)> = items
                .iter()
                .enumerate()
                .filter_map(|(at, item)| Some((at.to_string(), rebuild(item, form)?)))
                .collect();
            collect(kept, form)
        }
        leaf => Some(leaf.clone()),
    }
}

fn collect(mut kept: Vec<(String, Value)>, form: Form) -> Option<Value> {
    if kept.is_empty() {
        return None;
    }
    if let Some(length) = array_length(kept.iter().map(|(key, _)| key.as_str())) {
        let mut items = vec![Value::Null; length];
        for (key, child) in kept {
            let at: usize = key.parse().expect("array_length parsed every key");
            items[at] = child;
        }
        return Some(Value::Array(items));
    }
    if form == Form::Stored {
        kept.sort_by(|(a, _), (b, _)| key_order(a, b));
    }
    Some(Value::Object(kept.into_iter().collect()))
}

/// The length of the array these keys read as, if they do: all are plain integers and the highest is below twice their
/// number. No keys are no array.
pub fn array_length<'k>(keys: impl Iterator<Item = &'k str>) -> Option<usize> {
    let (mut count, mut highest) = (0_usize, 0_usize);
    for key in keys {
        let plain = key == "0" || (!key.starts_with('0') && key.bytes().all(|byte| byte.is_ascii_digit()));
        highest = highest.max(plain.then(|| key.parse().ok()).flatten()?);
        count += 1;
    }
    (count > 0 && highest < count.saturating_mul(2)).then_some(highest + 1)
}

fn is_priority(value: &Value) -> bool {
    value.is_string() || value.is_number()
}

fn with_priority(inner: Value, priority: &Value) -> Value {
    let mut members = match inner {
        Value::Object(members) => members,
        Value::Array(items) => items
            .into_iter()
            .enumerate()
            .filter(|(_, item)| !item.is_null())
            .map(|(at, item)| (at.to_string(), item))
            .collect(),
        leaf => Map::from_iter([(".value".to_owned(), leaf)]),
    };
    members.insert(".priority".to_owned(), priority.clone());
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::model::json::same_value;

    pub(super) fn any_tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::vec(("[a-c]|[0-9]|01|-1", inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn has_nothing_empty(value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::Array(items) => {
                items.last().is_some_and(|last| !last.is_null())
                    && items.iter().all(|item| item.is_null() || has_nothing_empty(item))
            }
            Value::Object(members) => !members.is_empty() && members.values().all(has_nothing_empty),
            _ => true,
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(tree in any_tree()) {
            if let Some(once) = normalise(&tree) {
                prop_assert_eq!(normalise(&once), Some(once.clone()));
                prop_assert!(has_nothing_empty(&once), "{}", once);
            }
        }

        #[test]
        fn every_way_to_the_normal_form_gives_the_same(tree in any_tree()) {
            let normal = normalise(&tree);
            prop_assert_eq!(normal_form(&tree).map(Cow::into_owned), normal.clone());
            prop_assert_eq!(into_normal(tree), normal);
        }

        #[test]
        fn the_stored_form_is_the_same_tree(tree in any_tree()) {
            match (normalise(&tree), stored(&tree)) {
                (Some(plain), Some(kept)) => {
                    prop_assert!(same_value(&plain, &kept), "{} {}", plain, kept);
                    prop_assert_eq!(stored(&plain).map(|value| value.to_string()), Some(kept.to_string()));
                }
                (plain, kept) => prop_assert_eq!(plain, kept),
            }
        }
    }

    #[test]
    fn nothing_is_left_of_empty_things() {
        for empty in [json!(null), json!({}), json!([]), json!({"a": {"b": [null, {}]}}), json!({".value": null})] {
            assert_eq!(normalise(&empty), None, "{empty}");
        }
        assert_eq!(normalise(&json!({"a": null, "b": {"c": {}}, "d": false})), Some(json!({"d": false})));
    }

    #[test]
    fn dense_integer_keys_read_as_an_array() {
        for (written, read) in [
            (json!({"0": "a", "2": "c"}), json!(["a", null, "c"])),
            (json!({"2": "c"}), json!({"2": "c"})),
            (json!({"1": "b"}), json!([null, "b"])),
            (json!({"1": "b", "01": "c"}), json!({"1": "b", "01": "c"})),
            (json!({"0": "a", "99999999999999999999999": "b"}), json!({"0": "a", "99999999999999999999999": "b"})),
            (json!(["a", null, null, null, "e"]), json!({"0": "a", "4": "e"})),
            (json!(["a", null, "c", null]), json!(["a", null, "c"])),
        ] {
            assert_eq!(normalise(&written), Some(read), "{written}");
        }
    }

    #[test]
    fn priorities_are_stored_but_not_read_back() {
        let written = json!({".priority": 3, "b": {".value": "x", ".priority": "high"}, "a": 1});
        assert_eq!(normalise(&written), Some(json!({"b": "x", "a": 1})));
        let kept = json!({"a": 1, "b": {".value": "x", ".priority": "high"}, ".priority": 3});
        assert_eq!(stored(&written).map(|value| value.to_string()), Some(kept.to_string()));
        assert_eq!(stored(&json!({".priority": 1, "0": "a"})), Some(json!({"0": "a", ".priority": 1})));
    }
}
