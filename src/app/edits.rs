//! From an intended document to an op: what changed, checked against the limits of the backend.

use serde_json::Value;

use crate::{
    app::pane::Cx,
    model::{
        edit,
        ids::{OpId, RecordKey, Revision},
        op::{NewOp, OpKind},
        record::RecordView,
        rtdb,
    },
};

/// What an edit is made on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ground {
    /// The record's local value; `None` where it does not exist.
    pub document: Option<Value>,
    pub revision: Option<Revision>,
}

impl Ground {
    pub fn of(view: &RecordView) -> Self {
        let revision = view.base.as_ref().and_then(|base| base.revision.clone());
        Self { document: view.local.as_deref().cloned(), revision }
    }
}

/// Why an edit is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    ReadOnly,
    /// The intended document is the one that is there.
    Unchanged,
    /// A rule of the backend, in words.
    Limit(String),
}

impl Refusal {
    pub fn text(&self, record: &RecordKey) -> (String, Option<String>) {
        match self {
            Self::ReadOnly => (
                format!("`{}` is read only", record.collection),
                Some("set `read_only = false` for the source to edit it".to_owned()),
            ),
            Self::Unchanged => (format!("Nothing changed in {record}"), None),
            Self::Limit(reason) => (format!("{record} cannot be saved: {reason}"), None),
        }
    }
}

/// The op that turns the ground into `document` (`None`: deletes the record). The time and id come from `cx.at`.
pub fn prepare(record: &RecordKey, ground: &Ground, document: Option<Value>, cx: &Cx<'_>) -> Result<NewOp, Refusal> {
    if cx.setup.is_read_only(&record.collection) {
        return Err(Refusal::ReadOnly);
    }
    let kind = match (&ground.document, &document) {
        (None, None) => return Err(Refusal::Unchanged),
        (None, Some(_)) => OpKind::Create,
        (Some(_), Some(_)) => OpKind::Update,
        (Some(_), None) => OpKind::Delete,
    };
    if let Some(document) = &document {
        rtdb::check_key(&record.id.0).map_err(|reason| Refusal::Limit(format!("its id {reason}")))?;
        let levels = cx.setup.levels(&record.collection);
        rtdb::check_document_below(levels, document).map_err(|error| Refusal::Limit(error.to_string()))?;
    }
    let changes = edit::diff(ground.document.as_ref(), document.as_ref());
    if changes.is_empty() {
        return Err(Refusal::Unchanged);
    }
    Ok(NewOp {
        op_id: OpId::new(cx.at),
        record: record.clone(),
        kind,
        changes,
        document,
        base: ground.document.clone(),
        base_revision: ground.revision.clone(),
        created_at: cx.at.wall,
        author: String::new(),
    })
}
