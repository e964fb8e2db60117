//! The verdict on a write whose answer was lost and whose repeat was refused (page 3, "repeat, do not peek").

use serde_json::Value;

use crate::{
    merge::{Merge, same_document, three_way},
    model::json::{Pointer, same_value},
};

#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The original was applied, or the server already has all we wanted: nothing of ours is left to send.
    Applied,
    /// It was not applied and fits what the server has now: a new op with this document on the new base (`None`:
    /// delete).
    Resend(Option<Value>),
    /// Both sides changed these places.
    Conflict { paths: Vec<Pointer>, partial: Option<Value> },
}

/// Judges a repeat that was refused because the server holds `theirs`, while `ours` was sent on `base`. `paths` are the
/// places the op set (the root for a create or a delete).
///
/// For a create in doubt whose id only we could have made, pass `ours` as `base` too: another document there is ours,
/// edited since, and the verdict is `Applied`.
pub fn judge_repeat(base: Option<&Value>, ours: Option<&Value>, theirs: Option<&Value>, paths: &[Pointer]) -> Verdict {
    let arrived = |path: &Pointer| {
        stored(ours.and_then(|document| path.get(document)), theirs.and_then(|document| path.get(document)))
    };
    let all_arrived = ours.is_some() == theirs.is_some() && !paths.is_empty() && paths.iter().all(arrived);
    if all_arrived || same_document(ours, theirs) {
        return Verdict::Applied;
    }
    match three_way(base, ours, theirs) {
        Merge::Clean(merged) if same_document(merged.as_ref(), theirs) => Verdict::Applied,
        Merge::Clean(merged) => Verdict::Resend(merged),
        Merge::Overlap { paths, partial } => Verdict::Conflict { paths, partial },
    }
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

    use super::*;
    use crate::{merge::samples::document, model::edit};

    fn at(paths: &[&str]) -> Vec<Pointer> {
        paths.iter().map(|path| Pointer::parse(path)).collect()
    }

    #[test]
    fn our_value_in_every_place_we_set_means_applied_even_if_others_wrote_since() {
        let base = json!({"a": 1, "b": 1});
        let ours = json!({"a": 2, "b": 1});
        let theirs = json!({"a": 2, "b": 7});
        assert_eq!(judge_repeat(Some(&base), Some(&ours), Some(&theirs), &at(&["/a"])), Verdict::Applied);
    }

    #[test]
    fn a_disjoint_change_there_is_sent_again_on_the_new_base() {
        let base = json!({"a": 1, "b": 1});
        let ours = json!({"a": 2, "b": 1});
        let theirs = json!({"a": 1, "b": 7});
        let verdict = judge_repeat(Some(&base), Some(&ours), Some(&theirs), &at(&["/a"]));
        assert_eq!(verdict, Verdict::Resend(Some(json!({"a": 2, "b": 7}))));
    }

    #[test]
    fn the_same_place_changed_differently_is_a_conflict() {
        let base = json!({"a": 1});
        let verdict = judge_repeat(Some(&base), Some(&json!({"a": 2})), Some(&json!({"a": 3})), &at(&["/a"]));
        assert!(matches!(verdict, Verdict::Conflict { paths, .. } if paths == at(&["/a"])));
    }

    #[test]
    fn a_delete_that_finds_nothing_was_applied_and_one_that_finds_an_edit_asks() {
        let base = json!({"a": 1});
        assert_eq!(judge_repeat(Some(&base), None, None, &at(&[""])), Verdict::Applied);
        assert_eq!(judge_repeat(Some(&base), None, Some(&base), &at(&[""])), Verdict::Resend(None));
        let edited = json!({"a": 2});
        assert!(matches!(judge_repeat(Some(&base), None, Some(&edited), &at(&[""])), Verdict::Conflict { .. }));
    }

    #[test]
    fn a_create_under_an_id_of_our_own_was_applied_and_edited_since() {
        let (ours, theirs) = (json!({"a": 1}), json!({"a": 1, "b": 2}));
        assert_eq!(judge_repeat(Some(&ours), Some(&ours), Some(&theirs), &at(&[""])), Verdict::Applied);
        assert!(matches!(judge_repeat(None, Some(&ours), Some(&theirs), &at(&[""])), Verdict::Conflict { .. }));
    }

    #[test]
    fn a_server_timestamp_we_asked_for_is_a_number_there() {
        let ours = json!({"a": 2, "at": {".sv": "timestamp"}});
        let theirs = json!({"a": 2, "at": 1_700_000_000_123_i64});
        assert_eq!(judge_repeat(None, Some(&ours), Some(&theirs), &at(&[""])), Verdict::Applied);
    }

    proptest! {
        #[test]
        fn what_was_applied_is_recognised_whatever_others_did_elsewhere(
            base in document(), ours in document(), theirs in document(),
        ) {
            let changes = edit::diff(Some(&base), Some(&ours));
            let paths: Vec<Pointer> = changes.iter().map(|change| change.pointer.clone()).collect();
            let after = edit::apply(Some(&theirs), &changes);
            prop_assert_eq!(judge_repeat(Some(&base), Some(&ours), after.as_ref(), &paths), Verdict::Applied);
        }
    }
}
