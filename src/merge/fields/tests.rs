//! What every rule makes of both sides' changes, and the laws every merge keeps.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    merge::{same_document, samples::document},
    model::{conflict::ConflictPolicy, ids::CollectionKey, ids::Seq, time::Timestamp},
};

fn rules(fields: &[(&str, FieldRule)], keys: &[(&str, &str)]) -> ConflictRules {
    ConflictRules {
        policy: ConflictPolicy::Manual,
        fields: fields.iter().map(|(pattern, rule)| (pattern.parse().unwrap(), *rule)).collect(),
        keys: keys.iter().map(|(pattern, name)| (pattern.parse().unwrap(), (*name).to_owned())).collect(),
    }
}

fn merge(base: &Value, mine: &Value, theirs: &Value, rules: &ConflictRules) -> Merged {
    merge_fields(Some(base), Some(mine), Some(theirs), rules)
}

fn told(merged: &Merged) -> Vec<(String, How)> {
    merged.fields.iter().map(|field| (field.pointer.to_string(), field.how)).collect()
}

fn picks(picks: &[(&str, Pick)]) -> BTreeMap<Pointer, Pick> {
    picks.iter().map(|(pointer, pick)| (Pointer::parse(pointer), pick.clone())).collect()
}

/// One field `f` changed on both sides, under a rule for it.
fn one(rule: FieldRule, base: Value, mine: Value, theirs: Value) -> Option<Value> {
    let rules = rules(&[("/f", rule)], &[]);
    let merged = merge(&json!({"f": base}), &json!({"f": mine}), &json!({"f": theirs}), &rules);
    merged.document(&BTreeMap::new()).ok().map(|document| document.unwrap()["f"].clone())
}

#[test]
fn every_place_that_differs_is_told_undecided_first() {
    let base = json!({"a": 1, "b": 1, "c": 1, "d": 1, "e": {"x": 1, "y": 1}, "same": 0});
    let mine = json!({"a": 2, "b": 1, "c": 3, "d": 5, "e": {"x": 2, "y": 1}, "same": 0});
    let theirs = json!({"a": 1, "b": 2, "c": 4, "d": 5, "e": {"x": 1}, "same": 0, "new": 1});
    let merged = merge(&base, &mine, &theirs, &ConflictRules::default());
    let expected = [
        ("/c", How::Undecided),
        ("/a", How::OnlyMine),
        ("/b", How::OnlyTheirs),
        ("/d", How::Same),
        ("/e/x", How::OnlyMine),
        ("/e/y", How::OnlyTheirs),
        ("/new", How::OnlyTheirs),
    ];
    assert_eq!(told(&merged), expected.map(|(pointer, how)| (pointer.to_owned(), how)));
    assert_eq!(merged.how(&Pointer::parse("/same")), How::Unchanged);
    assert_eq!(merged.document(&BTreeMap::new()), Err(vec![Pointer::parse("/c")]));
    let expected = json!({"a": 2, "b": 2, "c": 4, "d": 5, "e": {"x": 2}, "same": 0, "new": 1});
    assert_eq!(merged.preview(&BTreeMap::new()), Some(expected));
}

#[test]
fn picks_decide_and_may_override_what_merged_by_itself() {
    let base = json!({"a": 1, "b": 1, "c": {"x": 1, "y": 1}});
    let mine = json!({"a": 2, "b": 2, "c": {"x": 2, "y": 2}});
    let theirs = json!({"a": 3, "b": 1, "c": {"x": 3, "y": 3}});
    let merged = merge(&base, &mine, &theirs, &ConflictRules::default());
    let chosen =
        picks(&[("/a", Pick::Value(json!(9))), ("/b", Pick::Base), ("/c", Pick::Mine), ("/c/y", Pick::Theirs)]);
    assert_eq!(merged.document(&chosen), Ok(Some(json!({"a": 9, "b": 1, "c": {"x": 2, "y": 3}}))));
    let chosen = picks(&[("/a", Pick::Absent), ("/c", Pick::Value(json!("gone flat"))), ("/nowhere", Pick::Mine)]);
    assert_eq!(merged.document(&chosen), Ok(Some(json!({"b": 2, "c": "gone flat"}))));
    assert_eq!(merged.strangers(&chosen), [&Pointer::parse("/nowhere")]);
}

#[test]
fn a_delete_against_an_edit_and_two_creates_are_one_field_at_the_root_whatever_the_rules() {
    let rules = rules(&[("/*", FieldRule::Mine)], &[]);
    let (base, edited) = (json!({"a": 1}), json!({"a": 2}));
    for (base, mine, theirs) in
        [(Some(&base), None, Some(&edited)), (Some(&base), Some(&edited), None), (None, Some(&base), Some(&edited))]
    {
        let merged = merge_fields(base, mine, theirs, &rules);
        assert_eq!(told(&merged), [(String::new(), How::Undecided)]);
        assert_eq!(merged.document(&picks(&[("", Pick::Mine)])), Ok(mine.cloned()));
        assert_eq!(merged.document(&picks(&[("", Pick::Theirs)])), Ok(theirs.cloned()));
    }
}

#[test]
fn each_rule_settles_its_field() {
    use FieldRule::{Add, Manual, Max, Min, Mine, Text, Theirs, Union};
    assert_eq!(one(Manual, json!(1), json!(2), json!(3)), None);
    assert_eq!(one(Mine, json!(1), json!(2), json!(3)), Some(json!(2)));
    assert_eq!(one(Theirs, json!(1), json!(2), json!(3)), Some(json!(3)));
    assert_eq!(one(Max, json!(1), json!(9), json!(3)), Some(json!(9)));
    assert_eq!(one(Min, json!(1), json!(9), json!(3)), Some(json!(3)));
    assert_eq!(one(Add, json!(10), json!(9), json!(7)), Some(json!(6)));
    assert_eq!(one(Union, json!(["a"]), json!(["a", "b"]), json!(["c", "a"])), Some(json!(["c", "a", "b"])));
    assert_eq!(one(Text, json!("a\nb\nc\n"), json!("A\nb\nc\n"), json!("a\nb\nC\n")), Some(json!("A\nb\nC\n")));
}

#[test]
fn a_rule_that_does_not_fit_the_values_asks() {
    use FieldRule::{Add, Max, Text, Union};
    for rule in [Add, Max, Text, Union] {
        assert_eq!(one(rule, json!(true), json!({"a": 1}), json!(["x"])), None, "{rule:?}");
    }
    assert_eq!(one(Text, json!("a"), json!("b"), json!("c")), None);
    assert_eq!(one(Union, json!(["a", null]), json!(["a"]), json!(["b"])), None);
}

#[test]
fn a_union_keeps_out_what_one_side_took_out() {
    let union = |base, mine, theirs| one(FieldRule::Union, base, mine, theirs);
    assert_eq!(union(json!(["a", "x"]), json!(["a", "b"]), json!(["a", "x", "c"])), Some(json!(["a", "c", "b"])));
    assert_eq!(union(json!([1, 2]), json!([1.0, 2, 3]), json!([1, 2, 4, 4])), Some(json!([1, 2, 4, 4, 3])));
}

#[test]
fn two_people_who_each_took_one_took_two() {
    assert_eq!(one(FieldRule::Add, json!(10), json!(9), json!(9)), Some(json!(8)));
    assert_eq!(one(FieldRule::Max, json!(10), json!(9), json!(9)), Some(json!(9)));
}

#[test]
fn a_conflict_that_was_in_doubt_counts_nothing_twice() {
    let mut conflict = Conflict {
        id: 1,
        record: CollectionKey::new("s", "c").record("r"),
        seq: Seq(1),
        detected_at: Timestamp(0),
        base: Some(json!({"stock": 10, "name": "a"})),
        mine: Some(json!({"stock": 9, "name": "b"})),
        theirs: Some(json!({"stock": 9, "name": "c"})),
        theirs_revision: None,
        was_in_doubt: false,
        resolved_at: None,
        resolution: None,
    };
    let rules = rules(&[("/stock", FieldRule::Add), ("/name", FieldRule::Mine)], &[]);
    let document = |conflict: &Conflict| merge_conflict(conflict, &rules).document(&BTreeMap::new()).unwrap().unwrap();
    assert_eq!(document(&conflict), json!({"stock": 8, "name": "b"}));
    conflict.was_in_doubt = true;
    assert_eq!(document(&conflict), json!({"stock": 9, "name": "b"}));
}

#[test]
fn what_the_server_owns_is_theirs_even_where_only_i_changed_it() {
    let rules = rules(&[("/seen", FieldRule::ServerOwned)], &[]);
    let merged = merge(&json!({"seen": 1, "a": 1}), &json!({"seen": 2, "a": 2}), &json!({"seen": 1, "a": 1}), &rules);
    assert_eq!(merged.document(&BTreeMap::new()), Ok(Some(json!({"seen": 1, "a": 2}))));
}

#[test]
fn a_rule_above_objects_speaks_for_what_overlaps_below_and_lets_the_rest_merge() {
    let rules = rules(&[("/meta", FieldRule::Theirs)], &[]);
    let base = json!({"meta": {"a": 1, "b": 1}});
    let merged = merge(&base, &json!({"meta": {"a": 2, "b": 2}}), &json!({"meta": {"a": 3, "b": 1}}), &rules);
    assert_eq!(merged.document(&BTreeMap::new()), Ok(Some(json!({"meta": {"a": 3, "b": 2}}))));
}

#[test]
fn elements_with_a_key_are_merged_one_by_one() {
    let rules = rules(&[("/items/*/count", FieldRule::Add)], &[("/items", "id")]);
    let base = json!({"items": [{"id": 1, "count": 5}, {"id": 2, "count": 5}, {"id": 3, "count": 5}]});
    let mine = json!({"items": [{"id": 1, "count": 6}, {"id": 2, "count": 5, "note": "x"}, {"id": 9, "count": 1}]});
    let theirs = json!({"items": [{"id": 3, "count": 5}, {"id": 1, "count": 7}, {"id": 2, "count": 4}]});
    let merged = merge(&base, &mine, &theirs, &rules);
    let document = merged.document(&BTreeMap::new()).unwrap().unwrap();
    let expected = json!({"items": [{"id": 1, "count": 8}, {"id": 2, "count": 4, "note": "x"}, {"id": 9, "count": 1}]});
    assert_eq!(document, expected);
}

#[test]
fn an_element_edited_twice_asks_for_its_one_field() {
    let rules = rules(&[], &[("/items", "id")]);
    let base = json!({"items": [{"id": 1, "n": 1}, {"id": 2, "n": 1}]});
    let mine = json!({"items": [{"id": 2, "n": 2}]});
    let theirs = json!({"items": [{"id": 1, "n": 1}, {"id": 2, "n": 3}]});
    let merged = merge(&base, &mine, &theirs, &rules);
    assert_eq!(told(&merged), [("/items/0/n".to_owned(), How::Undecided), ("/items/1".to_owned(), How::OnlyMine)]);
    let chosen = picks(&[("/items/0/n", Pick::Mine)]);
    assert_eq!(merged.document(&chosen), Ok(Some(json!({"items": [{"id": 2, "n": 2}]}))));
}

#[test]
fn elements_put_in_two_different_orders_or_without_their_key_ask_as_a_whole() {
    let rules = rules(&[], &[("/items", "id")]);
    let items = |ids: [i32; 3]| json!({"items": ids.map(|id| json!({"id": id}))});
    let merged = merge(&items([1, 2, 3]), &items([2, 1, 3]), &items([1, 3, 2]), &rules);
    assert_eq!(told(&merged), [("/items".to_owned(), How::Undecided)]);
    let bare = json!({"items": [{"id": 1}, {"name": "no id"}]});
    let merged = merge(&items([1, 2, 3]), &bare, &items([1, 3, 2]), &rules);
    assert_eq!(told(&merged), [("/items".to_owned(), How::Undecided)]);
}

#[test]
fn several_lines_merge_by_themselves_where_the_policy_says_merge() {
    let (base, mine, theirs) = (json!({"n": "a\nb\nc"}), json!({"n": "A\nb\nc"}), json!({"n": "a\nb\nC"}));
    let manual = merge(&base, &mine, &theirs, &ConflictRules::default());
    assert_eq!(told(&manual), [("/n".to_owned(), How::Undecided)]);
    let merged = merge(&base, &mine, &theirs, &ConflictRules::of(ConflictPolicy::Merge));
    assert_eq!(told(&merged), [("/n".to_owned(), How::Merged)]);
    assert_eq!(merged.document(&BTreeMap::new()), Ok(Some(json!({"n": "A\nb\nC"}))));
}

#[test]
fn picks_are_written_and_read_again() {
    for pick in [Pick::Mine, Pick::Absent, Pick::Value(json!({"a": null}))] {
        let text = serde_json::to_string(&pick).unwrap();
        assert_eq!(serde_json::from_str::<Pick>(&text).unwrap(), pick);
    }
    assert_eq!(serde_json::to_string(&Pick::Theirs).unwrap(), r#""theirs""#);
}

fn any_rules() -> impl Strategy<Value = ConflictRules> {
    let pattern = "(/[abc*0]){1,2}".prop_map(|text| text.parse().unwrap());
    let symmetric = prop::sample::select(vec![FieldRule::Manual, FieldRule::Max, FieldRule::Min, FieldRule::Add]);
    prop::collection::vec((pattern, symmetric), 0..3)
        .prop_map(|fields| ConflictRules { fields, ..ConflictRules::default() })
}

proptest! {
    #[test]
    fn both_sides_are_treated_alike(base in document(), a in document(), b in document(), rules in any_rules()) {
        let (one, other) = (merge(&base, &a, &b, &rules), merge(&base, &b, &a, &rules));
        let undecided = |merged: &Merged| {
            let mut all: Vec<Pointer> = merged.undecided().map(|field| field.pointer.clone()).collect();
            all.sort();
            all
        };
        prop_assert_eq!(undecided(&one), undecided(&other));
        if let (Ok(one), Ok(other)) = (one.document(&BTreeMap::new()), other.document(&BTreeMap::new())) {
            prop_assert!(same_document(one.as_ref(), other.as_ref()), "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_result_merged_again_stays(base in document(), a in document(), b in document(), rules in any_rules()) {
        if let Ok(merged) = merge(&base, &a, &b, &rules).document(&BTreeMap::new()) {
            let again = merge_fields(Some(&b), merged.as_ref(), Some(&b), &rules);
            prop_assert!(same_document(again.document(&BTreeMap::new()).unwrap().as_ref(), merged.as_ref()));
        }
    }

    #[test]
    fn no_edit_is_lost_without_being_told(base in document(), a in document(), b in document(), rules in any_rules()) {
        let merged = merge(&base, &a, &b, &rules);
        let result = merged.preview(&BTreeMap::new());
        for (side, own) in [(&a, How::OnlyMine), (&b, How::OnlyTheirs)] {
            for change in crate::model::edit::diff(Some(&base), Some(side)) {
                let there = result.as_ref().and_then(|result| change.pointer.get(result));
                let told = merged.fields.iter().any(|field| {
                    let meets = field.pointer.contains(&change.pointer) || change.pointer.contains(&field.pointer);
                    meets && field.how != own
                });
                prop_assert!(told || same_document(there, change.to.as_ref()), "{} is lost", change.pointer);
            }
        }
    }

    #[test]
    fn taking_one_side_everywhere_is_that_side_where_both_changed(base in document(), a in document(), b in document()) {
        let merged = merge(&base, &a, &b, &ConflictRules::default());
        let mine = merged.document(&picks(&[("", Pick::Mine)])).unwrap();
        prop_assert!(same_document(mine.as_ref(), Some(&a)), "{mine:?}");
        let theirs = merged.document(&picks(&[("", Pick::Theirs)])).unwrap();
        prop_assert!(same_document(theirs.as_ref(), Some(&b)), "{theirs:?}");
    }
}
