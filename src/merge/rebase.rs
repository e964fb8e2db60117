//! Pending ops on a base that moved.

use serde_json::Value;

use crate::{
    merge::{Merge, coalesce::intended, is_replacement, three_way},
    model::{
        edit::{self, Change},
        ids::Seq,
        json::Pointer,
        op::{Op, OpKind},
    },
};

/// An op as if it had been made on the new base.
#[derive(Debug, Clone, PartialEq)]
pub struct Rebased {
    pub seq: Seq,
    /// The new base for the first op, the document of the op before it for every other.
    pub base: Option<Value>,
    /// What the op now stands for. At overlapping places **mine** stays: a pull never un-shows an edit.
    pub document: Option<Value>,
    /// From `base` to `document`; empty where the server already has what the op wanted.
    pub changes: Vec<Change>,
    /// The places both sides changed; empty where the op fits the new base by itself.
    pub overlaps: Vec<Pointer>,
}

/// Moves the pending ops of one record (oldest first) onto `new_base`. Only ops never attempted may be replaced by
/// what this says: an attempted op is repeated as it was sent.
pub fn rebase(ops: &[Op], new_base: Option<&Value>) -> Vec<Rebased> {
    let mut at = new_base.cloned();
    let mut rebased = Vec::with_capacity(ops.len());
    for op in ops {
        let base = at.take();
        let (document, overlaps) = move_one(op, base.as_ref());
        let changes = edit::diff(base.as_ref(), document.as_ref());
        at.clone_from(&document);
        rebased.push(Rebased { seq: op.seq, base, document, changes, overlaps });
    }
    rebased
}

/// What the user sees of a record: its base with every pending op applied in order.
pub fn local(ops: &[Op], base: Option<&Value>) -> Option<Value> {
    ops.iter().fold(base.cloned(), |at, op| show(op, at.as_ref()))
}

fn move_one(op: &Op, onto: Option<&Value>) -> (Option<Value>, Vec<Pointer>) {
    let base = if op.kind == OpKind::Create { None } else { op.base.as_ref() };
    match three_way(base, intended(op), onto) {
        Merge::Clean(document) => (document, Vec::new()),
        Merge::Overlap { paths, .. } => (show(op, onto), paths),
    }
}

/// The op's own changes on top of `onto`; the whole intended document where there is nothing to change.
fn show(op: &Op, onto: Option<&Value>) -> Option<Value> {
    match (op.kind, intended(op)) {
        (OpKind::Update, Some(document)) if onto.is_some() && !is_replacement(op) => {
            let changes = edit::diff(op.base.as_ref(), Some(document));
            edit::apply(onto, &changes)
        }
        (_, document) => document.cloned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::merge::{
        same_document,
        samples::{chain, document},
    };

    #[test]
    fn each_op_stands_on_the_one_before_it() {
        let base = json!({"a": 1, "b": 1, "c": 1});
        let ops = chain(Some(&base), &[Some(json!({"a": 2, "b": 1, "c": 1})), Some(json!({"a": 2, "b": 2, "c": 1}))]);
        let moved = rebase(&ops, Some(&json!({"a": 1, "b": 1, "c": 9})));
        assert_eq!(moved[0].document, Some(json!({"a": 2, "b": 1, "c": 9})));
        assert_eq!(moved[1].base, moved[0].document);
        assert_eq!(moved[1].document, Some(json!({"a": 2, "b": 2, "c": 9})));
        assert!(moved.iter().all(|op| op.overlaps.is_empty()));
    }

    #[test]
    fn an_overlap_is_named_and_my_edit_stays_in_sight() {
        let base = json!({"a": 1, "b": 1});
        let ops = chain(Some(&base), &[Some(json!({"a": 2, "b": 1})), Some(json!({"a": 2, "b": 2}))]);
        let moved = rebase(&ops, Some(&json!({"a": 3, "b": 1})));
        assert_eq!(moved[0].overlaps, [Pointer::parse("/a")]);
        assert_eq!(moved[0].document, Some(json!({"a": 2, "b": 1})));
        assert!(moved[1].overlaps.is_empty());
    }

    #[test]
    fn an_edit_of_a_record_deleted_there_still_shows_the_whole_record() {
        let base = json!({"a": 1, "b": 1});
        let ops = chain(Some(&base), &[Some(json!({"a": 2, "b": 1}))]);
        let moved = rebase(&ops, None);
        assert_eq!(moved[0].document, Some(json!({"a": 2, "b": 1})));
        assert_eq!(moved[0].overlaps, [Pointer::root()]);
    }

    proptest! {
        #[test]
        fn on_its_own_base_nothing_moves(
            base in proptest::option::of(document()),
            steps in prop::collection::vec(proptest::option::weighted(0.8, document()), 0..5),
        ) {
            let ops = chain(base.as_ref(), &steps);
            for (moved, step) in rebase(&ops, base.as_ref()).iter().zip(&steps) {
                prop_assert!(moved.overlaps.is_empty());
                prop_assert!(same_document(moved.document.as_ref(), step.as_ref()));
            }
            let seen = local(&ops, base.as_ref());
            let last = steps.last().map_or(base.as_ref(), Option::as_ref);
            prop_assert!(same_document(seen.as_ref(), last));
        }

        #[test]
        fn changes_lead_from_base_to_document(
            base in document(), theirs in proptest::option::of(document()),
            steps in prop::collection::vec(document().prop_map(Some), 1..4),
        ) {
            let ops = chain(Some(&base), &steps);
            for moved in rebase(&ops, theirs.as_ref()) {
                let applied = edit::apply(moved.base.as_ref(), &moved.changes);
                prop_assert!(same_document(applied.as_ref(), moved.document.as_ref()));
            }
        }
    }
}
