//! Several unsent edits of one record become one write, at claim time only.
//!
//! | head | then | becomes |
//! |---|---|---|
//! | create | update | create |
//! | update | update | update on the first base |
//! | create | delete | nothing: neither is sent |
//! | update | delete | delete |
//! | delete | create | update: the record is replaced under the revision the delete was made on |
//!
//! The table needs no code of its own: what counts is whether the record exists before the first op and after the last.

use serde_json::Value;

use crate::model::{
    edit::{self, Change},
    ids::Seq,
    json::Pointer,
    op::{Op, OpKind},
};

/// What a chain of ops amounts to.
#[derive(Debug, Clone, PartialEq)]
pub enum Coalesced {
    /// One write, made by the head of the chain in the name of all.
    Write {
        kind: OpKind,
        /// `None` for a delete.
        document: Option<Value>,
        /// The ops behind the head that it takes over (`Claim::absorbs`), oldest first; the head is not named.
        absorbed: Vec<Seq>,
    },
    /// Made and deleted again before anything was sent: these ops (the head included) are discarded.
    Nothing { discarded: Vec<Seq> },
}

/// Coalesces the head of `chain` (the pending ops of one record, oldest first) with the untouched ops directly behind
/// it. An op that was attempted, is held or in trouble ends the chain; a head that was attempted stays as it was sent.
/// `None` only for an empty chain.
pub fn coalesce(chain: &[Op]) -> Option<Coalesced> {
    let head = chain.first()?;
    let joined: &[Op] = if head.is_untouched() {
        let end = chain.iter().position(|op| !op.is_untouched()).unwrap_or(chain.len());
        &chain[..end]
    } else {
        &chain[..1]
    };
    let document = joined.last().and_then(intended).cloned();
    let existed = head.kind != OpKind::Create;
    let kind = match (existed, document.is_some()) {
        (false, true) => OpKind::Create,
        (true, true) => OpKind::Update,
        (true, false) => OpKind::Delete,
        (false, false) => return Some(Coalesced::Nothing { discarded: joined.iter().map(|op| op.seq).collect() }),
    };
    Some(Coalesced::Write { kind, document, absorbed: joined[1..].iter().map(|op| op.seq).collect() })
}

/// The head of a chain with the edits behind it that became part of it, as one op: what was seen is what the first of
/// them saw, and it was made when the last was. `kind` is that of [`Coalesced::Write`].
pub fn join(mut head: Op, kind: OpKind, absorbed: impl IntoIterator<Item = Op>) -> Op {
    let mut is_joined = false;
    for op in absorbed {
        is_joined = true;
        head.changes = edit::compose(head.changes, op.changes);
        (head.document, head.sent_document) = (op.document, None);
        head.created_at = head.created_at.max(op.created_at);
    }
    head.kind = kind;
    if is_joined && kind != OpKind::Update {
        let to = head.document.clone().filter(|_| kind == OpKind::Create);
        head.changes = vec![Change { pointer: Pointer::root(), from: head.base.clone(), to }];
    }
    head
}

/// True of an update that puts another object in the record's place, as a deletion and a creation become one. Every other
/// edit of an object names the members it changes.
pub fn is_replacement(op: &Op) -> bool {
    let is_object = |side: &Option<Value>| side.as_ref().is_some_and(Value::is_object);
    let replaces = |change: &Change| change.pointer.is_root() && is_object(&change.from) && is_object(&change.to);
    op.kind == OpKind::Update && op.changes.iter().any(replaces)
}

/// The document an op stands for: what it was claimed with, where a claim coalesced others into it (also after the
/// claim was taken back unsent), else its own. `None`: the record is deleted.
pub fn intended(op: &Op) -> Option<&Value> {
    match op.kind {
        OpKind::Delete => None,
        _ => op.sent_document.as_ref().or(op.document.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{
        merge::{
            same_document,
            samples::{chain, document, op},
        },
        model::{edit, op::OpState},
    };

    fn write(chain: &[Op]) -> (OpKind, Option<Value>, Vec<i64>) {
        match coalesce(chain).unwrap() {
            Coalesced::Write { kind, document, absorbed } => {
                (kind, document, absorbed.into_iter().map(|seq| seq.0).collect())
            }
            Coalesced::Nothing { discarded } => panic!("nothing left, {discarded:?}"),
        }
    }

    #[test]
    fn every_pair_of_kinds_becomes_what_the_table_says() {
        let (a, b, c) = (json!({"n": 1}), json!({"n": 2}), json!({"n": 3}));
        assert_eq!(
            write(&chain(None, &[Some(a.clone()), Some(b.clone())])),
            (OpKind::Create, Some(b.clone()), vec![2])
        );
        assert_eq!(
            write(&chain(Some(&a), &[Some(b.clone()), Some(c.clone())])),
            (OpKind::Update, Some(c.clone()), vec![2])
        );
        assert_eq!(write(&chain(Some(&a), &[Some(b.clone()), None])), (OpKind::Delete, None, vec![2]));
        assert_eq!(write(&chain(Some(&a), &[None, Some(c.clone())])), (OpKind::Update, Some(c.clone()), vec![2]));
        let gone = coalesce(&chain(None, &[Some(a.clone()), Some(b), None]));
        assert_eq!(gone, Some(Coalesced::Nothing { discarded: vec![Seq(1), Seq(2), Seq(3)] }));
        assert_eq!(write(&chain(None, &[Some(a), None, Some(c.clone())])), (OpKind::Create, Some(c), vec![2, 3]));
    }

    #[test]
    fn an_attempted_head_is_sent_alone_and_as_it_was_sent() {
        let (a, b, c) = (json!({"n": 1}), json!({"n": 2}), json!({"n": 3}));
        let mut ops = chain(Some(&a), &[Some(b), Some(c)]);
        ops[0].attempts = 1;
        ops[0].state = OpState::InDoubt;
        ops[0].sent_document = Some(json!({"n": 9}));
        assert_eq!(write(&ops), (OpKind::Update, Some(json!({"n": 9})), vec![]));
    }

    #[test]
    fn a_held_op_ends_the_chain() {
        let (a, b, c) = (json!({"n": 1}), json!({"n": 2}), json!({"n": 3}));
        let mut ops = chain(Some(&a), &[Some(b.clone()), Some(c.clone()), None]);
        ops[1].state = OpState::Held;
        assert_eq!(write(&ops), (OpKind::Update, Some(b), vec![]));
    }

    #[test]
    fn edits_coalesced_into_a_head_that_was_never_sent_are_kept() {
        let (a, b, c) = (json!({"n": 1}), json!({"n": 2}), json!({"n": 3}));
        let mut head = op(1, Some(&a), Some(&b));
        head.sent_document = Some(c.clone());
        assert_eq!(write(std::slice::from_ref(&head)), (OpKind::Update, Some(c), vec![]));
    }

    proptest! {
        #[test]
        fn one_write_equals_the_edits_in_sequence(
            base in proptest::option::of(document()),
            steps in prop::collection::vec(proptest::option::weighted(0.8, document()), 1..6),
        ) {
            let ops = chain(base.as_ref(), &steps);
            let in_sequence = ops.iter().fold(base.clone(), |at, op| edit::apply(at.as_ref(), &op.changes));
            match coalesce(&ops).unwrap() {
                Coalesced::Write { kind, document, absorbed } => {
                    prop_assert!(same_document(document.as_ref(), in_sequence.as_ref()));
                    prop_assert_eq!(absorbed.len(), ops.len() - 1);
                    prop_assert_eq!(kind == OpKind::Create, base.is_none());
                    prop_assert_eq!(kind == OpKind::Delete, document.is_none());
                }
                Coalesced::Nothing { discarded } => {
                    prop_assert!(base.is_none() && in_sequence.is_none());
                    prop_assert_eq!(discarded.len(), ops.len());
                }
            }
        }
    }
}
