//! Teach by example: the rule a choice implies, and what that rule would make of the conflicts that are still open.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    merge::{
        Field, How, Merged, Pick,
        fields::picked,
        merge_conflict, same_document,
        walk::{apply, place_rule},
    },
    model::{
        conflict::{Conflict, Take},
        ids::RecordKey,
        json::Pointer,
        rules::{ConflictRules, FieldRule, Pattern},
    },
};

/// A rule for a place, as it would stand in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lesson {
    pub pattern: Pattern,
    pub rule: FieldRule,
}

/// What a lesson would make of an open conflict.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreseen {
    pub conflict: i64,
    pub record: RecordKey,
    /// The fields it would decide, with their results.
    pub fields: Vec<Field>,
    /// The document of the record, where nothing is left to decide; `Some(None)`: it is deleted.
    pub document: Option<Option<Value>>,
}

/// The rules that the picks of a resolved conflict imply, one for each undecided field that was picked by a value some
/// rule gives. A record as a whole (deleted, or created twice) teaches nothing.
pub fn lessons(merged: &Merged, picks: &BTreeMap<Pointer, Pick>) -> Vec<Lesson> {
    let mut lessons: Vec<Lesson> = Vec::new();
    for field in merged.undecided().filter(|field| !field.pointer.is_root()) {
        let Some(rule) = picked(field, picks).and_then(|pick| implied(field, pick)) else { continue };
        let lesson = Lesson { pattern: place_rule(&field.pointer), rule };
        match lessons.iter().position(|known| known.pattern == lesson.pattern) {
            // Two elements of one array, settled in different ways: no rule says that.
            Some(same) if lessons[same].rule != lesson.rule => _ = lessons.remove(same),
            Some(_) => {}
            None => lessons.push(lesson),
        }
    }
    lessons
}

/// What `lesson` would make of those of `conflicts` in which it decides something, in their order.
pub fn foresee(lesson: &Lesson, rules: &ConflictRules, conflicts: &[Conflict]) -> Vec<Foreseen> {
    let mut taught = rules.clone();
    taught.learn(lesson.pattern.clone(), lesson.rule);
    let mut foreseen = Vec::new();
    for conflict in conflicts.iter().filter(|conflict| conflict.resolved_at.is_none()) {
        let (before, after) = (merge_conflict(conflict, rules), merge_conflict(conflict, &taught));
        let by_this = |field: &&Field| field.how == How::Rule(lesson.rule) && before.how(&field.pointer) != field.how;
        let decided = after.fields.iter().filter(|field| field.result.is_some()).filter(by_this);
        let fields: Vec<Field> = decided.cloned().collect();
        if fields.is_empty() {
            continue;
        }
        let document = after.document(&BTreeMap::new()).ok();
        foreseen.push(Foreseen { conflict: conflict.id, record: conflict.record.clone(), fields, document });
    }
    foreseen
}

/// What an answer to a conflict is called that makes the record `document`.
pub fn taken(conflict: &Conflict, document: Option<&Value>) -> Take {
    let is = |side: &Option<Value>| same_document(document, side.as_ref());
    match () {
        () if is(&conflict.theirs) => Take::Theirs,
        () if is(&conflict.mine) => Take::Mine,
        () if is(&conflict.base) => Take::Base,
        () => Take::Merged,
    }
}

fn implied(field: &Field, pick: &Pick) -> Option<FieldRule> {
    let value = match pick {
        Pick::Mine => return Some(FieldRule::Mine),
        Pick::Theirs => return Some(FieldRule::Theirs),
        Pick::Base | Pick::Absent => return None,
        Pick::Value(value) => value,
    };
    let (base, mine, theirs) = (field.base.as_ref(), field.mine.as_ref(), field.theirs.as_ref());
    // From the most telling to the least: a value that is simply one side's teaches that side.
    let candidates = [
        FieldRule::Max,
        FieldRule::Min,
        FieldRule::Union,
        FieldRule::Text,
        FieldRule::Add,
        FieldRule::Mine,
        FieldRule::Theirs,
    ];
    candidates
        .into_iter()
        .find(|rule| apply(*rule, base, mine, theirs).is_some_and(|result| same_document(result.as_ref(), Some(value))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        merge::merge_fields,
        model::{ids::CollectionKey, ids::Seq, time::Timestamp},
    };

    fn taught(base: Value, mine: Value, theirs: Value, pick: Pick) -> Vec<String> {
        let document = |value: Value| json!({"f": value});
        let (base, mine, theirs) = (document(base), document(mine), document(theirs));
        let merged = merge_fields(Some(&base), Some(&mine), Some(&theirs), &ConflictRules::default());
        let picks = BTreeMap::from([(Pointer::parse("/f"), pick)]);
        lessons(&merged, &picks).iter().map(|lesson| format!("{} {}", lesson.pattern, lesson.rule.word())).collect()
    }

    fn conflict(id: i64, base: Value, mine: Value, theirs: Value) -> Conflict {
        Conflict {
            id,
            record: CollectionKey::new("s", "c").record(format!("r{id}").as_str()),
            seq: Seq(id),
            detected_at: Timestamp(0),
            base: Some(base),
            mine: Some(mine),
            theirs: Some(theirs),
            theirs_revision: None,
            was_in_doubt: false,
            resolved_at: None,
            resolution: None,
        }
    }

    #[test]
    fn a_side_teaches_that_side_and_a_value_the_rule_that_makes_it() {
        let value = |value: Value| Pick::Value(value);
        assert_eq!(taught(json!(1), json!(2), json!(3), Pick::Theirs), ["/f theirs"]);
        assert_eq!(taught(json!(1), json!(2), json!(3), Pick::Mine), ["/f mine"]);
        assert_eq!(taught(json!(1), json!(2), json!(3), value(json!(3))), ["/f max"]);
        assert_eq!(taught(json!(5), json!(2), json!(3), value(json!(2))), ["/f min"]);
        assert_eq!(taught(json!(10), json!(12), json!(13), value(json!(15))), ["/f add"]);
        assert_eq!(
            taught(json!(["a"]), json!(["a", "b"]), json!(["a", "c"]), value(json!(["a", "c", "b"]))),
            ["/f union"]
        );
        assert_eq!(taught(json!("x"), json!("y"), json!("z"), value(json!("y"))), ["/f mine"]);
        for no_rule in [Pick::Base, Pick::Absent, value(json!(77))] {
            assert!(taught(json!(1), json!(2), json!(3), no_rule).is_empty());
        }
    }

    #[test]
    fn elements_of_an_array_teach_one_rule_for_all_of_them_or_none() {
        let mut rules = ConflictRules::default();
        rules.keys.push(("/items".parse().unwrap(), "id".to_owned()));
        let items = |a: i32, b: i32| json!({"items": [{"id": 1, "n": a}, {"id": 2, "n": b}]});
        let merged = merge_fields(Some(&items(1, 1)), Some(&items(2, 2)), Some(&items(3, 3)), &rules);
        let picks = |first, second| {
            BTreeMap::from([(Pointer::parse("/items/0/n"), first), (Pointer::parse("/items/1/n"), second)])
        };
        let both = lessons(&merged, &picks(Pick::Mine, Pick::Mine));
        assert_eq!(both, [Lesson { pattern: "/items/*/n".parse().unwrap(), rule: FieldRule::Mine }]);
        assert_eq!(lessons(&merged, &picks(Pick::Mine, Pick::Theirs)), []);
    }

    #[test]
    fn a_whole_record_teaches_nothing_but_taking_a_side_of_all_its_fields_does() {
        let (base, edited) = (json!({"a": 1}), json!({"a": 2}));
        let merged = merge_fields(Some(&base), None, Some(&edited), &ConflictRules::default());
        let all_mine = BTreeMap::from([(Pointer::root(), Pick::Mine)]);
        assert_eq!(lessons(&merged, &all_mine), []);
        let merged = merge_fields(Some(&base), Some(&edited), Some(&json!({"a": 3})), &ConflictRules::default());
        assert_eq!(lessons(&merged, &all_mine).len(), 1);
    }

    #[test]
    fn a_lesson_is_tried_on_every_open_conflict() {
        let lesson = Lesson { pattern: "/stock".parse().unwrap(), rule: FieldRule::Theirs };
        let mut resolved = conflict(4, json!({"stock": 1}), json!({"stock": 2}), json!({"stock": 3}));
        resolved.resolved_at = Some(Timestamp(1));
        let open = [
            conflict(1, json!({"stock": 1}), json!({"stock": 2}), json!({"stock": 3})),
            conflict(2, json!({"stock": 1, "a": 1}), json!({"stock": 2, "a": 2}), json!({"stock": 3, "a": 3})),
            conflict(3, json!({"a": 1}), json!({"a": 2}), json!({"a": 3})),
            resolved,
        ];
        let foreseen = foresee(&lesson, &ConflictRules::default(), &open);
        let told: Vec<_> = foreseen.iter().map(|each| (each.conflict, each.document.clone())).collect();
        assert_eq!(told, [(1, Some(Some(json!({"stock": 3})))), (2, None)]);
        assert_eq!(foreseen[1].fields.len(), 1);
    }
}
