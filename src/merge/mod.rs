//! Pure merging: coalescing of unsent ops, three-way merge per JSON pointer, and the verdict on a repeated
//! write.
//!
//! Everything here compares by value ([`crate::model::json::same_value`]). Documents must already be in the backend's
//! own normal form (for Firebase: `model::rtdb::normalise`), or a vanished `null` looks like somebody's edit.
//!
//! ```text
//!  op 1 + op 2 + op 3 (never sent) --coalesce--> one write
//!  base, mine, theirs, rules       --merge_fields-> every place that differs, settled or undecided
//!  base, mine, theirs              --three_way-> clean document | the places that overlap
//!  an unsent op, another base      --follow----> the same edit made on that
//!  lost answer, repeat refused     --judge_repeat-> applied | send again on the new base | conflict
//! ```

mod coalesce;
mod fields;
mod follow;
mod judge;
mod numbers;
mod sequence;
mod teach;
mod three_way;
mod walk;

use serde_json::Value;

pub use coalesce::{Coalesced, coalesce, intended, is_replacement, join};
pub use fields::{Field, How, Merged, Pick, merge_conflict, merge_fields};
pub use follow::{Followed, apply, follow, stands_on};
pub use judge::{Verdict, judge_repeat};
pub use teach::{Foreseen, Lesson, foresee, lessons, taken};
pub use three_way::{Merge, three_way};

use crate::model::json;

/// Equality of documents that may not exist.
pub fn same_document(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => json::same_value(a, b),
        _ => false,
    }
}

/// Small documents over few names, so that edits of two sides meet often.
#[cfg(test)]
pub(crate) mod samples {
    use proptest::prelude::*;
    use serde_json::Value;

    use crate::model::{
        edit,
        ids::{CollectionKey, OpId, Seq},
        op::{Op, OpKind, OpState},
        time::{At, Timestamp},
    };

    pub fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), (0..4_i32).prop_map(Value::from)];
        let value = leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..3).prop_map(Value::from),
                object(inner).prop_map(Value::Object),
            ]
        });
        object(value).prop_map(Value::Object)
    }

    fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = serde_json::Map<String, Value>> {
        prop::collection::btree_map("[abc]", value, 0..4).prop_map(|members| members.into_iter().collect())
    }

    /// An untouched op that makes `document` of `base`.
    pub fn op(seq: i64, base: Option<&Value>, document: Option<&Value>) -> Op {
        let kind = match (base, document) {
            (None, _) => OpKind::Create,
            (_, None) => OpKind::Delete,
            _ => OpKind::Update,
        };
        Op {
            seq: Seq(seq),
            op_id: OpId::new(&At::test(u64::try_from(seq).unwrap_or(0))),
            record: CollectionKey::new("s", "c").record("r"),
            kind,
            state: OpState::Queued,
            changes: edit::diff(base, document),
            document: document.cloned(),
            base: base.cloned(),
            base_revision: None,
            after: None,
            attempts: 0,
            created_at: Timestamp(0),
            next_attempt_at: None,
            sent_at: None,
            settled_at: None,
            request_hash: None,
            precondition: None,
            sent_document: None,
            last_error: None,
            author: String::new(),
            was_in_doubt: false,
        }
    }

    /// A chain of untouched ops walking through `documents` from `base`.
    pub fn chain(base: Option<&Value>, documents: &[Option<Value>]) -> Vec<Op> {
        let mut ops = Vec::new();
        let mut at = base;
        for (index, next) in documents.iter().enumerate() {
            ops.push(op(i64::try_from(index).unwrap_or(0) + 1, at, next.as_ref()));
            at = next.as_ref();
        }
        ops
    }
}
