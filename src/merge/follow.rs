//! What an op makes of a document, and how an unsent op stands on another one than it was made on.

use serde_json::Value;

use crate::{
    merge::same_document,
    model::{
        edit::{self, Change},
        op::OpKind,
    },
};

/// An unsent op on a document of its own choosing.
#[derive(Debug, Clone, PartialEq)]
pub struct Followed {
    pub kind: OpKind,
    pub changes: Vec<Change>,
    pub document: Option<Value>,
}

/// What an op makes of a document. An update whose record is gone shows the document the user meant, whole. What it set and
/// set back again stays as it is there: on a document that moved, the old value is nobody's wish.
pub fn apply(local: Option<Value>, kind: OpKind, changes: &[Change], document: Option<&Value>) -> Option<Value> {
    match kind {
        OpKind::Delete => None,
        OpKind::Create => document.cloned().or_else(|| edit::apply(local.as_ref(), changes)),
        OpKind::Update if local.is_none() => document.cloned().or_else(|| edit::apply(None, changes)),
        OpKind::Update => edit::apply(
            local.as_ref(),
            changes.iter().filter(|change| change.pointer.is_root() || !change.is_set_back()),
        ),
    }
}

/// The same edit made on `base`: the kind follows what is there, the changes stay what the user changed.
pub fn follow(base: Option<&Value>, kind: OpKind, changes: Vec<Change>, document: Option<&Value>) -> Followed {
    let now = match (kind, base) {
        (OpKind::Update, None) => OpKind::Create,
        (OpKind::Create, Some(_)) => OpKind::Update,
        (kind, _) => kind,
    };
    // A whole-document create that became an update sets the whole document.
    let changes = if now == kind { changes } else { edit::diff(base, document) };
    let document = apply(base.cloned(), now, &changes, document);
    Followed { kind: now, changes, document }
}

/// True where an edit made on `made_on` finds in `there` what it was made on: the record, and each place it changes as it
/// was. Only then may it follow onto `there` unasked; else it overwrites what was put there meanwhile.
pub fn stands_on(made_on: Option<&Value>, changes: &[Change], there: Option<&Value>) -> bool {
    made_on.is_some() == there.is_some()
        && changes.iter().all(|change| is_same_at(made_on, there, change.pointer.tokens()))
}

/// Where one of the two has no object on the way to the place, or an array, all there counts as the place.
fn is_same_at(a: Option<&Value>, b: Option<&Value>, place: &[String]) -> bool {
    match (a, b, place) {
        (Some(Value::Object(a)), Some(Value::Object(b)), [name, rest @ ..]) => {
            is_same_at(a.get(name), b.get(name), rest)
        }
        _ => same_document(a, b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    use crate::{
        merge::{Merge, samples::document, three_way},
        model::json::Pointer,
    };

    #[test]
    fn what_was_set_and_set_back_does_not_set_a_moved_place() {
        let (base, edited) = (json!({"x": 0, "n": 5}), json!({"x": 1, "n": 5, "toggle": true}));
        let there = edit::diff(Some(&base), Some(&edited));
        let joined = edit::compose(there.clone(), edit::invert(&there));
        let moved = json!({"x": 17, "n": 5, "toggle": true, "o": 1});
        assert_eq!(apply(Some(moved.clone()), OpKind::Update, &joined, Some(&base)), Some(moved));
        assert_eq!(apply(Some(base.clone()), OpKind::Update, &joined, Some(&base)), Some(base));
    }

    #[test]
    fn an_edit_stands_where_all_it_changes_is_as_it_was() {
        let made_on = json!({"a": 1, "list": [1, 2], "deep": {"x": 1}});
        let stands = |pointer: &str, there: Option<Value>| {
            let change = Change { pointer: Pointer::parse(pointer), from: None, to: Some(json!(9)) };
            stands_on(Some(&made_on), &[change], there.as_ref())
        };
        let there = json!({"a": 2, "list": [1, 3], "deep": {"x": 1, "y": 1}});
        assert!(stands("/deep/x", Some(there.clone())) && stands("/new", Some(there.clone())));
        for moved in ["/a", "/list", "/list/0", "/deep/y", "/deep", ""] {
            assert!(!stands(moved, Some(there.clone())), "{moved}");
        }
        assert!(!stands("/deep/y", Some(json!({"deep": 5}))), "there is no object any more");
        assert!(!stands("/a", None), "the record is gone");
        assert!(stands_on(None, &edit::diff(None, Some(&made_on)), None));
        assert!(!stands_on(None, &edit::diff(None, Some(&made_on)), Some(&json!({}))));
    }

    proptest! {
        #[test]
        fn what_stands_overlaps_with_nothing(
            made_on in proptest::option::of(document()), meant in proptest::option::of(document()),
            there in proptest::option::of(document()),
        ) {
            let changes = edit::diff(made_on.as_ref(), meant.as_ref());
            if stands_on(made_on.as_ref(), &changes, there.as_ref()) {
                let merged = three_way(made_on.as_ref(), meant.as_ref(), there.as_ref());
                let Merge::Clean(merged) = merged else { panic!("{merged:?}") };
                let kind = match (&made_on, &meant) {
                    (None, _) => OpKind::Create,
                    (_, None) => OpKind::Delete,
                    _ => OpKind::Update,
                };
                if kind != OpKind::Create || meant.is_some() {
                    let followed = follow(there.as_ref(), kind, changes, meant.as_ref());
                    prop_assert!(same_document(merged.as_ref(), followed.document.as_ref()));
                }
            }
        }
    }

    #[test]
    fn an_update_of_what_is_not_there_becomes_the_creation_of_what_was_meant() {
        let (before, meant) = (json!({"a": 1, "b": 1}), json!({"a": 2, "b": 1}));
        let changes = edit::diff(Some(&before), Some(&meant));
        let moved = follow(None, OpKind::Update, changes.clone(), Some(&meant));
        assert_eq!((moved.kind, moved.document), (OpKind::Create, Some(meant.clone())));
        let moved = follow(Some(&json!({"a": 1, "b": 7})), OpKind::Update, changes, Some(&meant));
        assert_eq!((moved.kind, moved.document), (OpKind::Update, Some(json!({"a": 2, "b": 7}))));
        let moved = follow(Some(&before), OpKind::Create, edit::diff(None, Some(&meant)), Some(&meant));
        assert_eq!((moved.kind, moved.document), (OpKind::Update, Some(meant)));
    }
}
