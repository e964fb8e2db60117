//! The merge without any rules: [`merge_fields`] as one document, or the places that overlap.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    merge::merge_fields,
    model::{json::Pointer, rules::ConflictRules},
};

/// The outcome of a merge.
#[derive(Debug, Clone, PartialEq)]
pub enum Merge {
    /// Both sides fit together; `None`: the record is gone on both sides, or on one while the other left it alone.
    Clean(Option<Value>),
    /// Both sides changed these places, differently. `partial` has everything that merged by itself, and **theirs** at
    /// the places of `paths`. A single root path means the record as a whole: deleted on one side and edited on the
    /// other, or created twice.
    Overlap { paths: Vec<Pointer>, partial: Option<Value> },
}

/// Merges two descendants of `base`. `None` means the record does not exist there.
pub fn three_way(base: Option<&Value>, mine: Option<&Value>, theirs: Option<&Value>) -> Merge {
    let merged = merge_fields(base, mine, theirs, &ConflictRules::default());
    let paths: Vec<Pointer> = merged.undecided().map(|field| field.pointer.clone()).collect();
    let document = merged.preview(&BTreeMap::new());
    match paths.is_empty() {
        true => Merge::Clean(document),
        false => Merge::Overlap { paths, partial: document },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{
        merge::{same_document, samples::document},
        model::{edit, json},
    };

    fn clean(merge: Merge) -> Option<Value> {
        match merge {
            Merge::Clean(value) => value,
            Merge::Overlap { paths, .. } => panic!("overlap at {paths:?}"),
        }
    }

    fn overlaps(merge: Merge) -> (Vec<String>, Option<Value>) {
        match merge {
            Merge::Clean(value) => panic!("clean: {value:?}"),
            Merge::Overlap { paths, partial } => (paths.iter().map(ToString::to_string).collect(), partial),
        }
    }

    #[test]
    fn edits_of_different_fields_fit_together() {
        let base = json!({"a": 1, "b": {"x": 1, "y": 1}});
        let mine = json!({"a": 2, "b": {"x": 1, "y": 1}, "c": 5});
        let theirs = json!({"a": 1, "b": {"x": 1, "y": 9}});
        let merged = clean(three_way(Some(&base), Some(&mine), Some(&theirs)));
        assert_eq!(merged, Some(json!({"a": 2, "b": {"x": 1, "y": 9}, "c": 5})));
    }

    #[test]
    fn the_same_field_changed_twice_overlaps_and_the_rest_is_merged() {
        let base = json!({"a": 1, "b": 1, "t": [1]});
        let mine = json!({"a": 2, "b": 5, "t": [1, 2]});
        let theirs = json!({"a": 3, "b": 1, "t": [1, 3]});
        let (paths, partial) = overlaps(three_way(Some(&base), Some(&mine), Some(&theirs)));
        assert_eq!(paths, ["/a", "/t"]);
        assert_eq!(partial, Some(json!({"a": 3, "b": 5, "t": [1, 3]})));
    }

    #[test]
    fn an_edit_against_a_delete_always_overlaps_as_a_whole() {
        let (base, edited) = (json!({"a": 1}), json!({"a": 2}));
        assert_eq!(overlaps(three_way(Some(&base), None, Some(&edited))), (vec![String::new()], Some(edited.clone())));
        assert_eq!(overlaps(three_way(Some(&base), Some(&edited), None)), (vec![String::new()], None));
        assert_eq!(clean(three_way(Some(&base), None, Some(&base))), None);
        assert_eq!(clean(three_way(Some(&base), None, None)), None);
    }

    #[test]
    fn a_field_removed_here_and_edited_there_overlaps() {
        let base = json!({"a": {"x": 1}, "b": 1});
        let mine = json!({"b": 1});
        let theirs = json!({"a": {"x": 2}, "b": 1});
        assert_eq!(overlaps(three_way(Some(&base), Some(&mine), Some(&theirs))).0, ["/a"]);
    }

    #[test]
    fn both_sides_filling_an_empty_object_is_clean() {
        let mine = json!({"tags": {"red": true}});
        let theirs = json!({"tags": {"blue": true}});
        let merged = clean(three_way(Some(&json!({})), Some(&mine), Some(&theirs)));
        assert_eq!(merged, Some(json!({"tags": {"blue": true, "red": true}})));
    }

    #[test]
    fn two_records_created_under_one_id_are_never_mixed() {
        let (mine, theirs) = (json!({"a": 1}), json!({"b": 1}));
        assert_eq!(overlaps(three_way(None, Some(&mine), Some(&theirs))).0, [""]);
        assert_eq!(clean(three_way(None, Some(&mine), Some(&mine))), Some(mine));
    }

    #[test]
    fn numbers_of_equal_value_are_no_edit() {
        let parse = |text| serde_json::from_str::<Value>(text).unwrap();
        let (base, mine, theirs) = (parse(r#"{"n":1}"#), parse(r#"{"n":1.0}"#), parse(r#"{"n":2}"#));
        assert_eq!(clean(three_way(Some(&base), Some(&mine), Some(&theirs))), Some(theirs));
    }

    proptest! {
        #[test]
        fn a_side_that_changed_nothing_gives_the_other(base in document(), other in proptest::option::of(document())) {
            let (base, other) = (Some(&base), other.as_ref());
            prop_assert!(same_document(clean(three_way(base, base, other)).as_ref(), other));
            prop_assert!(same_document(clean(three_way(base, other, base)).as_ref(), other));
            prop_assert!(same_document(clean(three_way(base, other, other)).as_ref(), other));
        }

        #[test]
        fn the_order_of_the_sides_does_not_matter(base in document(), a in document(), b in document()) {
            match (three_way(Some(&base), Some(&a), Some(&b)), three_way(Some(&base), Some(&b), Some(&a))) {
                (Merge::Clean(x), Merge::Clean(y)) => prop_assert!(same_document(x.as_ref(), y.as_ref())),
                (Merge::Overlap { paths: mut x, .. }, Merge::Overlap { paths: mut y, .. }) => {
                    x.sort();
                    y.sort();
                    prop_assert_eq!(x, y);
                }
                (x, y) => prop_assert!(false, "{x:?} against {y:?}"),
            }
        }

        #[test]
        fn merging_the_result_again_changes_nothing(base in document(), a in document(), b in document()) {
            if let Merge::Clean(Some(merged)) = three_way(Some(&base), Some(&a), Some(&b)) {
                let again = clean(three_way(Some(&b), Some(&merged), Some(&b)));
                prop_assert!(same_document(again.as_ref(), Some(&merged)));
                let onto_itself = clean(three_way(Some(&base), Some(&merged), Some(&merged)));
                prop_assert!(same_document(onto_itself.as_ref(), Some(&merged)));
            }
        }

        #[test]
        fn edits_of_disjoint_places_commute_and_merge_cleanly(base in document(), a in document(), b in document()) {
            let (mine, theirs) = (edit::diff(Some(&base), Some(&a)), edit::diff(Some(&base), Some(&b)));
            let meet = |x: &Pointer, y: &Pointer| x.contains(y) || y.contains(x);
            let disjoint = mine.iter().all(|m| theirs.iter().all(|t| !meet(&m.pointer, &t.pointer)));
            if disjoint {
                let merged = clean(three_way(Some(&base), Some(&a), Some(&b))).unwrap();
                let mine_last = edit::apply(Some(&b), &mine).unwrap();
                let theirs_last = edit::apply(Some(&a), &theirs).unwrap();
                prop_assert!(json::same_value(&merged, &mine_last), "{merged} != {mine_last}");
                prop_assert!(json::same_value(&merged, &theirs_last), "{merged} != {theirs_last}");
            }
        }

        #[test]
        fn taking_theirs_at_every_overlap_keeps_all_my_other_edits(base in document(), a in document(), b in document()) {
            if let Merge::Overlap { paths, partial } = three_way(Some(&base), Some(&a), Some(&b)) {
                let partial = partial.unwrap();
                let there = edit::diff(Some(&base), Some(&b));
                for change in edit::diff(Some(&base), Some(&a)) {
                    let disputed = paths.iter().any(|p| p.contains(&change.pointer) || change.pointer.contains(p));
                    // An array both sides changed apart is neither mine nor theirs.
                    let disputed = disputed || there.iter().any(|other| other.pointer == change.pointer);
                    let mixed = change.to.as_ref().is_some_and(Value::is_object) && change.from.is_none();
                    if !disputed && !mixed {
                        prop_assert!(same_document(change.pointer.get(&partial), change.to.as_ref()));
                    }
                }
            }
        }
    }
}
