//! The facts of one draft: what it is, how it stands to its record, whether it could be queued.

use crate::{
    app::{
        pane::Cx,
        panes::editor::{Sheet, check::Terms, merging::Standing, subject},
    },
    model::{
        draft::{Draft, DraftKey, DraftTarget},
        ids::OpId,
        record::RecordView,
        time::Timestamp,
    },
};

/// So many characters of the first changed line are kept.
const FIRST: usize = 200;

/// What the list knows of a draft; made off the event loop, without its text.
#[derive(Debug, Clone, PartialEq)]
pub struct DraftRow {
    pub number: i64,
    pub key: DraftKey,
    pub updated_at: Timestamp,
    /// Of its text.
    pub bytes: u64,
    /// The first line that differs from what it was begun on, without blanks around.
    pub first: String,
    pub standing: Standing,
    /// It is of an op that does not wait any more.
    pub op_is_gone: bool,
    /// Why it could not be queued as it is.
    pub problem: Option<String>,
    /// The text is JSON, or needs not be.
    pub is_valid: bool,
    /// The op it was last asked to become.
    pub commit_requested: Option<OpId>,
}

impl DraftRow {
    /// `view` is the record as it is now.
    pub fn of(number: i64, draft: &Draft, view: &RecordView, terms: &Terms) -> Self {
        let sheet = sheet_of(draft, view, terms);
        let problem = sheet.check.problems.first().map(ToString::to_string);
        let lines = sheet.buffer.lines();
        let first = match sheet.lines.pairs.first() {
            Some((_, Some(line))) => lines.get(*line).cloned(),
            Some((Some(old), None)) => Some(old.clone()),
            _ => lines.iter().find(|line| line.trim().len() > 1).cloned(),
        };
        Self {
            number,
            key: draft.key.clone(),
            updated_at: draft.updated_at,
            bytes: sheet.buffer.len() as u64,
            first: first.unwrap_or_default().trim().chars().take(FIRST).collect(),
            standing: sheet.standing(),
            op_is_gone: is_of_gone_op(&draft.key, view),
            is_valid: sheet.check.document.is_some() || problem.is_none(),
            problem: sheet.damaged.as_ref().map(|reason| format!("read only in part: {reason}")).or(problem),
            commit_requested: draft.commit_requested,
        }
    }

    /// The words for how it stands, the most urgent first: `gone: recovered`, `base changed: 2 fields`.
    pub fn state(&self, is_configured: bool) -> String {
        let valid = if self.problem.is_some() { "invalid" } else { "" };
        let first = match self.standing {
            _ if !is_configured => "not configured".to_owned(),
            _ if self.op_is_gone => "op is gone: recovered".to_owned(),
            Standing::Gone => "gone: recovered".to_owned(),
            Standing::Moved(1) => "base changed: 1 field".to_owned(),
            Standing::Moved(fields) => format!("base changed: {fields} fields"),
            Standing::Steady if valid.is_empty() => "ready to queue".to_owned(),
            Standing::Steady => "cannot be queued yet".to_owned(),
        };
        match (valid, self.standing) {
            ("", _) | (_, Standing::Steady) => first,
            (valid, Standing::Moved(_)) => format!("base changed, {valid}"),
            (valid, Standing::Gone) => format!("{first}, {valid}"),
        }
    }

    /// Its edit was handed over and not answered yet.
    pub fn is_being_saved(&self, cx: &Cx<'_>) -> bool {
        self.commit_requested.is_some_and(|op| cx.world.saving.contains_key(&op))
    }
}

/// A draft as its editor would have it, judged.
pub fn sheet_of(draft: &Draft, view: &RecordView, terms: &Terms) -> Sheet {
    let mut sheet = Sheet::from(draft);
    let revision = view.base.as_ref().and_then(|base| base.revision.clone());
    let subject = subject(&draft.key.target, view).or_else(|| view.local.clone());
    sheet.see(subject, revision, view.ops.clone());
    sheet.id_taken = sheet.is_new() && view.local.is_some() && sheet.record_key() == view.key;
    sheet.judge_by(terms, true);
    sheet
}

pub fn is_of_gone_op(key: &DraftKey, view: &RecordView) -> bool {
    matches!(key.target, DraftTarget::Op(_)) && subject(&key.target, view).is_none()
}

/// What a draft is of: `whole record`, `field profile.role`, `new record`, `op 12`.
pub fn what(target: &DraftTarget) -> String {
    match target {
        DraftTarget::Document => "whole record".to_owned(),
        DraftTarget::New => "new record".to_owned(),
        DraftTarget::Field(pointer) => format!("field {}", crate::app::panes::outbox::dotted(pointer)),
        DraftTarget::Op(seq) => format!("op {seq}"),
    }
}
