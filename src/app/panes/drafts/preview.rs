//! A draft against what it was begun on, line by line, and what changed in its record since.

use serde_json::Value;

use super::{DraftRow, row::is_of_gone_op};
use crate::{
    app::{
        panes::{
            editor::{Sheet, merging::Standing, pretty::pretty, subject},
            outbox::dotted,
        },
        tree,
    },
    model::{draft::Draft, edit, record::RecordView},
};

/// So many lines of a draft are shown.
const MOST: usize = 2_000;
/// Lines around a change.
const AROUND: usize = 2;
/// Changes of the record that are shown.
const THEIRS: usize = 8;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preview {
    pub lines: Vec<PreviewLine>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum PreviewLine {
    /// What is to be known or done about it.
    Warning(String),
    Said(String),
    Place(String),
    /// A value of the record: what it was, what it is.
    Theirs(String),
    Same(String),
    Removed(String),
    Added(String),
    /// Lines left out.
    Gap,
}

impl Preview {
    pub fn of(draft: &Draft, view: &RecordView, row: &DraftRow) -> Self {
        let mut lines = story(draft, view, row);
        if !lines.is_empty() {
            lines.push(PreviewLine::Said(String::new()));
        }
        Self::made(draft, lines, row.standing != Standing::Gone)
    }

    /// Only against what it was begun on.
    pub fn between(draft: &Draft) -> Self {
        Self::made(draft, Vec::new(), true)
    }

    fn made(draft: &Draft, mut lines: Vec<PreviewLine>, shortened: bool) -> Self {
        let sheet = Sheet::from(draft);
        let base = sheet.base().and_then(|base| sheet.pointer().get(base)).map(text_of);
        let old: Vec<&str> = base.as_deref().map(|text| text.split('\n').collect()).unwrap_or_default();
        let new: Vec<&str> = sheet.buffer.lines().iter().map(String::as_str).collect();
        compare(&old, &new, shortened, &mut lines);
        if lines.len() > MOST {
            lines.truncate(MOST);
            lines.push(PreviewLine::Gap);
        }
        Self { lines }
    }
}

/// A field's text stands without quotes in its editor.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => pretty(value),
    }
}

fn story(draft: &Draft, view: &RecordView, row: &DraftRow) -> Vec<PreviewLine> {
    let warning = |text: &str| PreviewLine::Warning(text.to_owned());
    let said = |text: &str| PreviewLine::Said(text.to_owned());
    let mut lines = Vec::new();
    if is_of_gone_op(&draft.key, view) {
        lines.push(warning("The op does not wait any more: it was sent, discarded or replaced."));
        lines.push(said("Opening it makes it a draft of the whole record."));
    }
    match row.standing {
        Standing::Gone => {
            let deleted = view.base.is_some();
            lines.push(warning(match deleted {
                true => "The record is about to be deleted here. This draft is all that was typed since.",
                false => "The record is gone. This draft is kept until you queue or discard it.",
            }));
            lines.push(said("Queueing makes the record anew; `y y` copies the text."));
        }
        Standing::Moved(_) => {
            lines.push(warning("The record changed since this was begun:"));
            let now = subject(&draft.key.target, view).or_else(|| view.local.clone());
            for change in edit::diff(draft.base(), now.as_deref()).iter().take(THEIRS) {
                let place = if change.pointer.is_root() { "the record".to_owned() } else { dotted(&change.pointer) };
                let show = |value: &Option<Value>| {
                    value.as_ref().map_or_else(|| "nothing".to_owned(), |value| tree::preview(value, 24))
                };
                lines.push(PreviewLine::Place(place));
                lines.push(PreviewLine::Theirs(format!("{} -> {}", show(&change.from), show(&change.to))));
            }
            lines.push(said("F6 in its editor merges that into the text."));
        }
        Standing::Steady => {}
    }
    lines.extend(row.problem.iter().map(|problem| warning(&format!("Not to be queued yet: {problem}"))));
    lines
}

/// The lines of both, the differing ones with a few around; all of them where there is nothing to compare with.
fn compare(old: &[&str], new: &[&str], shortened: bool, lines: &mut Vec<PreviewLine>) {
    if old.is_empty() {
        lines.extend(new.iter().map(|line| PreviewLine::Added((*line).to_owned())));
        return;
    }
    let ops = similar::capture_diff_slices(similar::Algorithm::Myers, old, new);
    let around = if shortened { AROUND } else { usize::MAX / 4 };
    let groups = similar::group_diff_ops(ops, around);
    if groups.is_empty() {
        lines.push(PreviewLine::Said("Nothing differs from what it was begun on.".to_owned()));
    }
    for (number, group) in groups.iter().enumerate() {
        if number > 0 {
            lines.push(PreviewLine::Gap);
        }
        for op in group {
            let (tag, before, after) = op.as_tag_tuple();
            if tag == similar::DiffTag::Equal {
                lines.extend(new[after].iter().map(|line| PreviewLine::Same((*line).to_owned())));
                continue;
            }
            lines.extend(old[before].iter().map(|line| PreviewLine::Removed((*line).to_owned())));
            lines.extend(new[after].iter().map(|line| PreviewLine::Added((*line).to_owned())));
        }
    }
}
