//! What one edit changes: a list of (pointer, from, to), and the laws that hold between edits and documents.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::json::{self, Pointer};

/// One changed place of a document. `from` and `to` are `None` where the place does not exist before or after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub pointer: Pointer,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "json::present")]
    pub from: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "json::present")]
    pub to: Option<Value>,
}

impl Change {
    /// True of a place that was set and set back again, as edits that were joined may have it.
    pub fn is_set_back(&self) -> bool {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => json::same_value(from, to),
            (from, to) => from.is_none() && to.is_none(),
        }
    }
}

/// The changes that turn `from` into `to`, in document order. Objects are compared member by member; arrays and
/// scalars as a whole. Equal values (by [`json::same_value`]) give no change.
pub fn diff(from: Option<&Value>, to: Option<&Value>) -> Vec<Change> {
    let mut changes = Vec::new();
    diff_at(&Pointer::root(), from, to, &mut changes);
    changes
}

fn diff_at(at: &Pointer, from: Option<&Value>, to: Option<&Value>, changes: &mut Vec<Change>) {
    match (from, to) {
        (None, None) => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            for (name, value) in before {
                diff_at(&at.child(name), Some(value), after.get(name), changes);
            }
            for (name, value) in after {
                if !before.contains_key(name) {
                    diff_at(&at.child(name), None, Some(value), changes);
                }
            }
        }
        (Some(before), Some(after)) if json::same_value(before, after) => {}
        (before, after) => changes.push(Change { pointer: at.clone(), from: before.cloned(), to: after.cloned() }),
    }
}

/// Applies the changes in order: sets, replaces or removes each place; missing parent objects are made.
/// A change of the root replaces or removes the document itself.
pub fn apply<'c>(document: Option<&Value>, changes: impl IntoIterator<Item = &'c Change>) -> Option<Value> {
    let mut result = document.cloned();
    for change in changes {
        json::set(&mut result, &change.pointer, change.to.clone());
    }
    result
}

/// The changes of `earlier` then `later` as one list: a place set again keeps its first `from` and its last `to`.
pub fn compose(mut earlier: Vec<Change>, later: Vec<Change>) -> Vec<Change> {
    let overlap = |a: &Pointer, b: &Pointer| a.contains(b) || b.contains(a);
    for change in later {
        let same = earlier.iter().rposition(|known| overlap(&known.pointer, &change.pointer));
        match same {
            Some(at) if earlier[at].pointer == change.pointer => earlier[at].to = change.to,
            _ => earlier.push(change),
        }
    }
    earlier
}

/// The changes that undo `changes`: reversed, with `from` and `to` exchanged.
pub fn invert(changes: &[Change]) -> Vec<Change> {
    let swap =
        |change: &Change| Change { pointer: change.pointer.clone(), from: change.to.clone(), to: change.from.clone() };
    changes.iter().rev().map(swap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c~/]{0,3}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c~/]{0,2}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_diff_applied_gives_the_target(a in document(), b in document()) {
            let got = apply(Some(&a), &diff(Some(&a), Some(&b))).unwrap();
            prop_assert!(json::same_value(&got, &b), "{got} != {b}");
        }

        #[test]
        fn an_edit_and_its_inverse_are_the_identity(a in document(), b in document()) {
            let changes = diff(Some(&a), Some(&b));
            let there = apply(Some(&a), &changes);
            let back = apply(there.as_ref(), &invert(&changes)).unwrap();
            prop_assert!(json::same_value(&back, &a));
        }
    }

    #[test]
    fn numbers_of_equal_value_are_no_change() {
        let a: Value = serde_json::from_str(r#"{"n":1}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"n":1.0}"#).unwrap();
        assert!(diff(Some(&a), Some(&b)).is_empty());
    }

    #[test]
    fn a_created_document_is_one_change_of_the_root() {
        let changes = diff(None, Some(&json!({"a": 1})));
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].pointer, Pointer::root());
    }

    #[test]
    fn composed_changes_do_what_the_two_lists_do() {
        let change = |pointer: &str, from, to| Change { pointer: Pointer::parse(pointer), from, to };
        let earlier = vec![change("/a", Some(json!(1)), Some(json!(2))), change("/b", None, Some(json!({"c": 1})))];
        let later = vec![change("/a", Some(json!(2)), Some(json!(3))), change("/b/c", Some(json!(1)), None)];
        let start = json!({"a": 1});
        let both = apply(apply(Some(&start), &earlier).as_ref(), &later);
        let composed = compose(earlier, later);
        assert_eq!(apply(Some(&start), &composed), both);
        assert_eq!(composed.len(), 3);
        assert_eq!(composed[0].to, Some(json!(3)));
    }
}
