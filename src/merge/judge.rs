//! The verdict on a write whose answer was lost and whose repeat was refused (page 3, "repeat, do not peek").

use serde_json::Value;

use crate::{
    merge::{Merged, merge_fields, same_document},
    model::{
        json::{Pointer, same_value},
        rules::ConflictRules,
    },
};

#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The original was applied: nothing of ours is left to send.
    Applied,
    /// It was not, or somebody wrote over it since: what both sides make together.
    Merged(Merged),
}

/// Judges a repeat that was refused because the server holds `theirs`, while `ours` was sent on `base`. `paths` are the
/// places the op set (the root for a create or a delete).
///
/// For a create in doubt whose id only we could have made, pass `ours` as `base` too: another document there is ours,
/// edited since.
pub fn judge_repeat(
    base: Option<&Value>,
    ours: Option<&Value>,
    theirs: Option<&Value>,
    paths: &[Pointer],
    rules: &ConflictRules,
) -> Verdict {
    let arrived = |path: &Pointer| {
        stored(ours.and_then(|document| path.get(document)), theirs.and_then(|document| path.get(document)))
    };
    let all_arrived = ours.is_some() == theirs.is_some() && !paths.is_empty() && paths.iter().all(arrived);
    if all_arrived || same_document(ours, theirs) {
        return Verdict::Applied;
    }
    Verdict::Merged(merge_fields(base, ours, theirs, &rules.for_doubted()))
}

/// True where `there` is what a server keeps of `sent`. A server timestamp asked for by `{".sv":"timestamp"}` is a
/// number there; it proves nothing by itself and stands in nothing's way.
fn stored(sent: Option<&Value>, there: Option<&Value>) -> bool {
    match (sent, there) {
        (Some(Value::Object(sent)), Some(Value::Object(there))) => {
            sent.len() == there.len() && sent.iter().all(|(name, value)| stored(Some(value), there.get(name)))
        }
        (Some(Value::Object(sent)), Some(Value::Number(_))) => {
            sent.len() == 1 && sent.get(".sv").is_some_and(|value| value == "timestamp")
        }
        (Some(sent), Some(there)) => same_value(sent, there),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use std::collections::BTreeMap;

    use super::*;
    use crate::{merge::samples::document, model::edit, model::rules::FieldRule};

    fn at(paths: &[&str]) -> Vec<Pointer> {
        paths.iter().map(|path| Pointer::parse(path)).collect()
    }

    fn judge(base: Option<&Value>, ours: Option<&Value>, theirs: Option<&Value>, paths: &[&str]) -> Verdict {
        judge_repeat(base, ours, theirs, &at(paths), &ConflictRules::default())
    }

    /// What is to be sent, or the places that need a person.
    fn merged(verdict: Verdict) -> Result<Option<Value>, Vec<Pointer>> {
        match verdict {
            Verdict::Applied => panic!("applied"),
            Verdict::Merged(merged) => merged.document(&BTreeMap::new()),
        }
    }

    #[test]
    fn our_value_in_every_place_we_set_means_applied_even_if_others_wrote_since() {
        let base = json!({"a": 1, "b": 1});
        let ours = json!({"a": 2, "b": 1});
        let theirs = json!({"a": 2, "b": 7});
        assert_eq!(judge(Some(&base), Some(&ours), Some(&theirs), &["/a"]), Verdict::Applied);
    }

    #[test]
    fn a_disjoint_change_there_is_sent_again_on_the_new_base() {
        let base = json!({"a": 1, "b": 1});
        let ours = json!({"a": 2, "b": 1});
        let theirs = json!({"a": 1, "b": 7});
        let verdict = judge(Some(&base), Some(&ours), Some(&theirs), &["/a"]);
        assert_eq!(merged(verdict), Ok(Some(json!({"a": 2, "b": 7}))));
    }

    #[test]
    fn the_same_place_changed_differently_is_a_conflict() {
        let base = json!({"a": 1});
        let verdict = judge(Some(&base), Some(&json!({"a": 2})), Some(&json!({"a": 3})), &["/a"]);
        assert_eq!(merged(verdict), Err(at(&["/a"])));
    }

    #[test]
    fn a_count_that_may_have_arrived_is_never_added_again() {
        let rules =
            ConflictRules { fields: vec![("/stock".parse().unwrap(), FieldRule::Add)], ..ConflictRules::default() };
        let base = json!({"stock": 10, "name": "a"});
        let (ours, theirs) = (json!({"stock": 9, "name": "b"}), json!({"stock": 8, "name": "a"}));
        let verdict = judge_repeat(Some(&base), Some(&ours), Some(&theirs), &at(&["/stock", "/name"]), &rules);
        assert_eq!(merged(verdict), Err(at(&["/stock"])));
    }

    #[test]
    fn a_delete_that_finds_nothing_was_applied_and_one_that_finds_an_edit_asks() {
        let base = json!({"a": 1});
        assert_eq!(judge(Some(&base), None, None, &[""]), Verdict::Applied);
        assert_eq!(merged(judge(Some(&base), None, Some(&base), &[""])), Ok(None));
        let edited = json!({"a": 2});
        assert_eq!(merged(judge(Some(&base), None, Some(&edited), &[""])), Err(at(&[""])));
    }

    #[test]
    fn a_create_under_an_id_of_our_own_was_applied_and_edited_since() {
        let (ours, theirs) = (json!({"a": 1}), json!({"a": 1, "b": 2}));
        assert_eq!(merged(judge(Some(&ours), Some(&ours), Some(&theirs), &[""])), Ok(Some(theirs.clone())));
        assert_eq!(merged(judge(None, Some(&ours), Some(&theirs), &[""])), Err(at(&[""])));
    }

    #[test]
    fn a_server_timestamp_we_asked_for_is_a_number_there() {
        let ours = json!({"a": 2, "at": {".sv": "timestamp"}});
        let theirs = json!({"a": 2, "at": 1_700_000_000_123_i64});
        assert_eq!(judge(None, Some(&ours), Some(&theirs), &[""]), Verdict::Applied);
    }

    proptest! {
        #[test]
        fn what_was_applied_is_recognised_whatever_others_did_elsewhere(
            base in document(), ours in document(), theirs in document(),
        ) {
            let changes = edit::diff(Some(&base), Some(&ours));
            let paths: Vec<Pointer> = changes.iter().map(|change| change.pointer.clone()).collect();
            let after = edit::apply(Some(&theirs), &changes);
            let verdict = judge_repeat(Some(&base), Some(&ours), after.as_ref(), &paths, &ConflictRules::default());
            let nothing_to_send = match &verdict {
                Verdict::Applied => true,
                Verdict::Merged(merged) => {
                    // An op that changed nothing: what they made stays.
                    changes.is_empty() && merged.document(&BTreeMap::new()) == Ok(after)
                }
            };
            prop_assert!(nothing_to_send, "{verdict:?}");
        }
    }
}
