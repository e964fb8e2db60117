//! What an op makes of a document, and how an unsent op stands on another one than it was made on.

use serde_json::Value;

use crate::model::{
    edit::{self, Change},
    op::OpKind,
};

/// An unsent op on a document of its own choosing.
#[derive(Debug, Clone, PartialEq)]
pub struct Followed {
    pub kind: OpKind,
    pub changes: Vec<Change>,
    pub document: Option<Value>,
}

/// What an op makes of a document. An update whose record is gone shows the document the user meant, whole.
pub fn apply(local: Option<Value>, kind: OpKind, changes: &[Change], document: Option<&Value>) -> Option<Value> {
    match kind {
        OpKind::Delete => None,
        OpKind::Create => document.cloned().or_else(|| edit::apply(local.as_ref(), changes)),
        OpKind::Update if local.is_none() => document.cloned().or_else(|| edit::apply(None, changes)),
        OpKind::Update => edit::apply(local.as_ref(), changes),
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
