//! A draft whose record moved: base × draft × the record as it is now, what merges by itself, and what needs a choice.
//!
//! The text changes by a key only. Putting the merge into it is one step of its undo list, and moves the draft to the
//! record as it is now; taking that step back takes the old base back with it, or the text of before would undo, when it
//! is queued, what others did meanwhile.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Editor, Sheet, TOPIC,
    check::{Reading, Terms},
    name_of,
    pretty::pretty,
};
use crate::{
    app::{
        action::Action,
        list,
        pane::{Cx, Outcome},
        panes::outbox::dotted,
        words,
    },
    merge::{Field, How, Merged, Pick, merge_fields},
    model::{
        activity::Severity,
        document::Document,
        draft::{DraftTarget, DraftWrite},
        edit,
        ids::Revision,
        json::{Fingerprint, Pointer},
        rtdb,
        source::SourceKind,
    },
};

/// How a draft stands to its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The record is what the draft was begun on, or was not read yet.
    Steady,
    /// The record has other values now, in so many places.
    Moved(usize),
    /// There is no such record any more.
    Gone,
}

/// The three versions of a draft whose record moved.
#[derive(Debug, Clone, PartialEq)]
pub struct ThreeWay {
    pub merged: Merged,
    /// The fields within the edited place: those that need a choice first.
    pub fields: Vec<Field>,
    /// False while the text is no JSON: what is called mine then is the base.
    pub readable: bool,
}

/// A merge that was put into the text: between these two texts of the undo list lies the change of the base.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Rebase {
    from: Ground,
    to: Ground,
    /// Fingerprints of the texts on both sides.
    before: String,
    after: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Ground {
    document: Option<Value>,
    revision: Option<Revision>,
}

/// So many merges of one draft can be taken back.
const MOST_REBASES: usize = 50;

fn print_of(text: &str) -> String {
    Fingerprint::of(&Value::from(text)).to_hex()
}

impl Sheet {
    pub fn standing(&self) -> Standing {
        match &self.now {
            _ if self.is_new() || !self.begun => Standing::Steady,
            Some(None) => Standing::Gone,
            Some(Some(now)) if self.base_moved() => Standing::Moved(self.theirs(now)),
            _ => Standing::Steady,
        }
    }

    /// How many places of the record differ from what the draft was begun on.
    fn theirs(&self, now: &Value) -> usize {
        let pointer = self.pointer();
        let base = self.base().and_then(|base| pointer.get(base));
        edit::diff(base, pointer.get(now)).len()
    }

    /// The three versions, where the record moved and is still there.
    pub fn three(&self) -> Option<&ThreeWay> {
        self.three.as_ref()
    }

    /// The choices for the fields both sides changed are being made.
    pub fn is_merging(&self) -> bool {
        self.merging.is_some() && self.three.is_some()
    }

    /// The field the choosing is at.
    pub fn merge_index(&self) -> usize {
        let (Some(at), Some(three)) = (&self.merging, &self.three) else { return 0 };
        three.fields.iter().position(|field| field.pointer == *at).unwrap_or(0)
    }

    pub fn pick(&self, field: &Field) -> Option<&Pick> {
        self.work.pick(&field.pointer)
    }

    /// The fields that still need a choice.
    pub fn undecided(&self) -> impl Iterator<Item = &Field> {
        let fields = self.three.iter().flat_map(|three| &three.fields);
        fields.filter(|field| field.how == How::Undecided && self.pick(field).is_none())
    }

    pub(super) fn compare(&mut self, terms: &Terms) {
        self.three = None;
        let (Standing::Moved(_), Some(Some(theirs))) = (self.standing(), self.now.clone()) else { return };
        let theirs = &*theirs;
        let base = self.base_normal().or(self.base().map(Document::value));
        let readable = self.check.document.is_some();
        let mine = self.check.document.as_ref().or(base);
        let normal = (terms.kind == Some(SourceKind::Firebase)).then(|| rtdb::normalise(theirs)).flatten();
        let theirs = normal.as_ref().unwrap_or(theirs);
        let merged = merge_fields(base, mine, Some(theirs), &terms.conflicts);
        let pointer = self.pointer();
        let near = |field: &&Field| pointer.contains(&field.pointer) || field.pointer.contains(&pointer);
        let fields: Vec<Field> = merged.fields.iter().filter(near).cloned().collect();
        // What was chosen against a version that is not there any more has to be chosen again.
        self.outdated = match readable {
            true => self.work.drop_outdated(&merged.fields, Some(theirs)),
            false => Vec::new(),
        };
        self.three = Some(ThreeWay { merged, fields, readable });
    }

    /// Puts a merged document into the text and moves the draft onto the record as it is now. One write.
    fn put_in(&mut self, document: &Value, terms: &Terms) -> DraftWrite {
        let from = Ground { document: self.base().map(Document::value).cloned(), revision: self.base_revision.clone() };
        let now = self.now.clone().flatten();
        let to = Ground { document: now.as_deref().cloned(), revision: self.now_revision.clone() };
        let before = print_of(&self.buffer.text());
        let text = match self.pointer().get(document) {
            Some(Value::String(text)) if self.is_field() => {
                self.reading = Reading::Text;
                text.clone()
            }
            Some(value) => {
                self.reading = Reading::Json;
                pretty(value)
            }
            None => "null".to_owned(),
        };
        if self.buffer.replace_text(&text).is_some() {
            if self.rebases.len() == MOST_REBASES {
                // A text of before must not come back without its base.
                self.buffer.forget_history();
                self.rebases.clear();
            }
            self.rebases.push(Rebase { from, to: to.clone(), before, after: print_of(&text) });
        }
        self.set_base(now, to.revision);
        self.work = Default::default();
        self.merging = None;
        self.touched = true;
        self.judge_by(terms, true);
        self.write_snapshot()
    }

    /// Puts the choices that were made into the text, and for an op, whose text is all of it, the merge in any case. The
    /// names of the fields that need a choice first. Else nothing has to be done: the edit is made on the draft's own base.
    pub fn merge_choices(&mut self, terms: &Terms) -> Result<Option<DraftWrite>, Vec<String>> {
        let Some(three) = self.three.as_ref().filter(|three| three.readable) else { return Ok(None) };
        let chosen = !self.work.is_empty() || matches!(self.key.target, DraftTarget::Op(_));
        match three.merged.document(&self.work.picks()) {
            Ok(Some(document)) if chosen => Ok(Some(self.put_in(&document, terms))),
            Ok(_) => Ok(None),
            Err(open) => Err(open.iter().map(place_name).collect()),
        }
    }

    /// After a step of the undo list: the base that belongs to the text. True where it is another one now.
    pub(super) fn follow_base(&mut self, back: bool) -> bool {
        if self.rebases.is_empty() {
            return false;
        }
        let text = print_of(&self.buffer.text());
        let here = Ground { document: self.base().map(Document::value).cloned(), revision: self.base_revision.clone() };
        let crossed = self.rebases.iter().rev().find_map(|rebase| match back {
            true => (rebase.before == text && rebase.to == here).then(|| rebase.from.clone()),
            false => (rebase.after == text && rebase.from == here).then(|| rebase.to.clone()),
        });
        let Some(ground) = crossed else { return false };
        self.set_base(ground.document.map(Document::from), ground.revision);
        true
    }

    /// What is to be said of the record once; `None` where it was said already or nothing is.
    pub(super) fn news(&mut self) -> Option<(String, String)> {
        let standing = self.standing();
        if standing == Standing::Steady {
            return None;
        }
        let now = self.now.as_ref()?.as_ref().map(|now| Fingerprint::of(now).to_hex());
        if self.told.replace(now.clone()) == Some(now) {
            return None;
        }
        let name = name_of(self);
        Some(match (standing, &self.key.target) {
            (Standing::Gone, _) => (
                format!("{name} is gone: this is the recovered draft"),
                "F2 makes the record anew, F7 discards the draft".to_owned(),
            ),
            (Standing::Moved(fields), DraftTarget::Op(_)) => (
                format!("{name} was edited meanwhile: {}", words::count(fields as u64, "field", "fields")),
                "F6 merges it in".to_owned(),
            ),
            (Standing::Moved(fields), _) => (
                format!("{name}: {} changed since you began", words::count(fields as u64, "field", "fields")),
                "F6 merges them in".to_owned(),
            ),
            (Standing::Steady, _) => return None,
        })
    }
}

impl Editor {
    /// True while keys choose between versions instead of being typed.
    pub fn is_merging(&self) -> bool {
        self.sheet().is_some_and(Sheet::is_merging)
    }

    /// What merges by itself goes into the text; where both sides changed the same, the choosing begins.
    pub(super) fn merge(&mut self, cx: &Cx<'_>) -> Outcome {
        let Some(sheet) = self.open.as_deref_mut() else { return Outcome::ignored() };
        sheet.judge(cx.setup, true);
        let told = match sheet.standing() {
            Standing::Steady => Some(("The record is as it was when you began; there is nothing to merge", "")),
            Standing::Gone => Some((
                "The record is gone; there is nothing to merge with",
                "F2 makes the record anew, F7 discards the draft",
            )),
            Standing::Moved(_) => None,
        };
        if let Some((text, hint)) = told {
            let outcome = Outcome::used().notice(Severity::Info, TOPIC, text);
            return if hint.is_empty() { outcome } else { outcome.hint(hint) };
        }
        let Some(three) = &sheet.three else { return Outcome::used() };
        if !three.readable {
            return Outcome::used()
                .notice(Severity::Info, TOPIC, "Only valid JSON can be merged")
                .hint("F8 goes to the problem; the text is kept as it is");
        }
        let fields = three.fields.iter().filter(|field| field.how == How::OnlyTheirs).count();
        match three.merged.document(&sheet.work.picks()) {
            Ok(Some(document)) => {
                let write = sheet.put_in(&document, &terms(cx, sheet));
                let what = match fields {
                    0 => "The record as it is now is merged into your text".to_owned(),
                    _ => format!("{} merged into your text", words::count(fields as u64, "field is", "fields are")),
                };
                let notice = Outcome::used().draft(write).notice(Severity::Info, TOPIC, what);
                notice.hint("ctrl-z takes it back, F2 queues it")
            }
            _ => self.begin_choosing(),
        }
    }

    pub(super) fn begin_choosing(&mut self) -> Outcome {
        let Some(sheet) = self.open.as_deref_mut() else { return Outcome::ignored() };
        let open: Vec<Pointer> = sheet.undecided().map(|field| field.pointer.clone()).collect();
        let Some(first) = open.first().cloned() else { return Outcome::used() };
        (sheet.merging, sheet.find, sheet.in_id) = (Some(first), None, false);
        let names: Vec<String> = open.iter().take(3).map(place_name).collect();
        let more = if open.len() > 3 { ", …" } else { "" };
        let were = if open.len() == 1 { "was" } else { "were" };
        Outcome::used()
            .notice(Severity::Warning, TOPIC, format!("{}{more} {were} changed on both sides", names.join(", ")))
            .hint("choose m, t or b; enter puts it in")
    }

    /// What the keys of the choosing do.
    pub(super) fn choose(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        let Some(sheet) = self.open.as_deref_mut() else { return Outcome::ignored() };
        let Some(three) = sheet.three.clone() else { return Outcome::ignored() };
        let index = sheet.merge_index();
        if let Some(next) = list::step(*action, index, three.fields.len(), three.fields.len()) {
            sheet.merging = three.fields.get(next).map(|field| field.pointer.clone());
            return Outcome::used();
        }
        let pick = match action {
            Action::TakeMine | Action::TakeAllMine => Pick::Mine,
            Action::TakeTheirs | Action::TakeAllTheirs => Pick::Theirs,
            Action::TakeBase => Pick::Base,
            Action::NextUndecided => {
                self.go_to_undecided(index + 1);
                return Outcome::used();
            }
            Action::Undo => {
                if !sheet.work.undo() {
                    return Outcome::used().notice(Severity::Info, TOPIC, "Nothing was chosen yet");
                }
                return Outcome::used().draft(sheet.write_work());
            }
            Action::MergeDraft | Action::Open => return self.merge(cx),
            Action::CloseEditor | Action::Back => {
                sheet.merging = None;
                return Outcome::used();
            }
            _ => return Outcome::ignored(),
        };
        let all = matches!(action, Action::TakeAllMine | Action::TakeAllTheirs);
        let fields: Vec<&Field> = match all {
            true => three.fields.iter().filter(|field| field.how == How::Undecided).collect(),
            false => three.fields.get(index).into_iter().collect(),
        };
        sheet.work.choose(fields.into_iter().map(|field| (field, pick.clone())));
        let write = sheet.write_work();
        self.go_to_undecided(index);
        Outcome::used().draft(write)
    }

    /// The next field without a choice at or behind a row, round the end; stays where there is none.
    fn go_to_undecided(&mut self, from: usize) {
        let Some(sheet) = self.open.as_deref_mut() else { return };
        let open: Vec<Pointer> = sheet.undecided().map(|field| field.pointer.clone()).collect();
        let Some(three) = &sheet.three else { return };
        let rows: Vec<&Pointer> = three.fields.iter().map(|field| &field.pointer).collect();
        let next = (from..rows.len()).chain(0..from.min(rows.len())).find(|row| open.contains(rows[*row]));
        if let Some(row) = next {
            sheet.merging = Some(rows[row].clone());
        }
    }
}

fn terms(cx: &Cx<'_>, sheet: &Sheet) -> Terms {
    let collection = &sheet.key.record.collection;
    Terms::of(cx.setup.source(&collection.source), collection)
}

/// What a field is called.
pub fn place_name(pointer: &Pointer) -> String {
    if pointer.is_root() { "the record".to_owned() } else { dotted(pointer) }
}
