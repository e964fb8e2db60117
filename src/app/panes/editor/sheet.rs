//! One thing being edited: its text, what it was begun on, and what of it the journal already has.

use std::cell::OnceCell;

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{
    changes::{KnownChanges, LineChanges},
    check::{self, Check, Reading, Rules, Terms},
    find::Find,
    lines::Lines,
    merging::{Rebase, Standing, ThreeWay},
    pretty::{pretty, pretty_lines},
};
use crate::{
    app::{
        Setup,
        panes::conflicts::work::Work,
        text::{
            TextBuffer, TextInput,
            buffer::{Damaged, Pos, Snapshot, Step, View},
        },
    },
    model::{
        document::Document,
        draft::{Draft, DraftKey, DraftTarget, DraftVersion, DraftWrite, Versions},
        edit,
        ids::{OpId, RecordId, RecordKey, Revision},
        json::Pointer,
        op::{NewOp, Op, OpKind},
        time::{At, Timestamp},
    },
};

/// After this many appended edits the draft is written as one snapshot again.
pub const COMPACT_AFTER: usize = 500;

/// A half-written new record begins so, with the cursor on the blank line.
const EMPTY_RECORD: &str = "{\n  \n}";

#[derive(Debug, Clone)]
pub struct Sheet {
    pub key: DraftKey,
    pub buffer: TextBuffer,
    /// The id of a new record, as typed.
    pub id: TextInput,
    /// Keys go to the id.
    pub in_id: bool,
    pub reading: Reading,
    pub find: Option<Find>,
    /// False until the text is there: from a draft, or from the record once it is loaded.
    pub ready: bool,
    /// The document the text was begun on, perhaps not looked at yet: see [`Sheet::base`].
    begun_on: Option<Document>,
    pub base_revision: Option<Revision>,
    /// The base as the backend keeps it, made when it is asked for.
    base_normal: OnceCell<Option<Value>>,
    /// The text the base was laid out as, by line, made when it is asked for.
    pub(super) base_lines: OnceCell<Lines>,
    /// The journal has a draft of it.
    pub begun: bool,
    appended: usize,
    /// The next write is a snapshot: what the journal has may have changed while the sheet was not open.
    pub rewrite: bool,
    /// Something was typed since it was opened here: a load does not replace it.
    pub touched: bool,
    /// The record's local value as last seen: outside `None` while unknown, inside `None` where it does not exist.
    pub(super) now: Option<Option<Document>>,
    pub(super) now_revision: Option<Revision>,
    moved: bool,
    /// The three versions while the record is another one than the base.
    pub(super) three: Option<ThreeWay>,
    /// Choices between them that are not in the text yet. Part of the draft.
    pub(super) work: Work,
    /// Choices that were dropped because the other side changed again, until that was said.
    pub(super) outdated: Vec<Pointer>,
    /// The field being chosen, while keys choose.
    pub(super) merging: Option<Pointer>,
    /// Merges that are in the text. Part of the draft.
    pub(super) rebases: Vec<Rebase>,
    /// The pending ops of the record.
    pub ops: Vec<Op>,
    /// When the draft it was restored from was last typed in, until that was said.
    pub restored: Option<Timestamp>,
    /// What could not be read of the saved draft.
    pub damaged: Option<String>,
    /// Which text of the draft this is; the journal may not have it yet.
    pub version: DraftVersion,
    /// What the next one is called at least.
    pub(super) clock: DraftVersion,
    /// The user's own editor has the text.
    pub(super) is_out: bool,
    /// The journal was seen to hold this draft: where it holds it no more, another window ended it.
    pub(super) seen_kept: bool,
    /// The journal has a newer text of the draft, or one where nothing was typed here.
    pub(super) wants_text: bool,
    /// Another window typed in it, and that was said.
    pub(super) followed: bool,
    /// The version of the record the user was told of last; inside `None`: that it is gone.
    pub(super) told: Option<Option<String>>,
    pub check: Check,
    pub lines: LineChanges,
    /// The text that [`Sheet::lines`] is about, by the buffer's generation; `None` after the base or the buffer was replaced.
    compared: Option<u64>,
    /// A record with the typed id exists.
    pub id_taken: bool,
}

/// What a session row keeps of an open sheet. The text itself is in the draft.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SheetSession {
    pub record: RecordKey,
    pub target: DraftTarget,
    pub view: View,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<TextInput>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_id: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub find: Option<Find>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merging: Option<Pointer>,
    /// Of a large draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<KnownChanges>,
}

/// The first line of a draft's snapshot: the buffer's own, with what stands beside it.
#[derive(Serialize, Deserialize)]
struct Saved<B> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    reading: Option<Reading>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    work: Option<Work>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rebases: Vec<Rebase>,
    buffer: B,
}

/// An appended edit that is not a step of the buffer.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Beside {
    Id(String),
    As(Reading),
    Work(Box<Work>),
}

impl Sheet {
    /// A sheet whose text is not known yet.
    pub fn waiting(record: RecordKey, target: DraftTarget) -> Self {
        Self {
            key: DraftKey { record, target },
            buffer: TextBuffer::default(),
            id: TextInput::default(),
            in_id: false,
            reading: Reading::default(),
            find: None,
            ready: false,
            begun_on: None,
            base_revision: None,
            base_normal: OnceCell::new(),
            base_lines: OnceCell::new(),
            begun: false,
            appended: 0,
            rewrite: false,
            touched: false,
            now: None,
            now_revision: None,
            moved: false,
            three: None,
            work: Work::default(),
            outdated: Vec::new(),
            merging: None,
            rebases: Vec::new(),
            ops: Vec::new(),
            restored: None,
            damaged: None,
            version: DraftVersion::NONE,
            clock: DraftVersion::NONE,
            is_out: false,
            seen_kept: false,
            wants_text: false,
            followed: false,
            told: None,
            check: Check::default(),
            lines: LineChanges::default(),
            compared: None,
            id_taken: false,
        }
    }

    /// A new record with a proposed id.
    pub fn new_record(record: RecordKey) -> Self {
        let mut sheet = Self::waiting(record, DraftTarget::New);
        sheet.id = TextInput::new(sheet.key.record.id.as_str());
        sheet.buffer = TextBuffer::new(EMPTY_RECORD);
        sheet.buffer.move_to(Pos::new(1, 2), false);
        sheet.ready = true;
        sheet
    }

    /// Brings a saved draft back. What cannot be read is said, never thrown away.
    pub fn adopt(&mut self, draft: &Draft) {
        let (steps, beside): (Vec<String>, Vec<Beside>) = split(&draft.edits);
        let (buffer, saved) = read_snapshot(&draft.snapshot, &steps);
        match buffer {
            Ok(buffer) => self.buffer = buffer,
            Err(damaged) => {
                self.damaged = Some(damaged.to_string());
                self.buffer = *damaged.text;
            }
        }
        if let Some(saved) = saved {
            self.reading = saved.reading.unwrap_or(self.reading);
            self.id = saved.id.as_deref().map_or_else(|| std::mem::take(&mut self.id), TextInput::new);
            self.work = saved.work.unwrap_or_default();
            self.rebases = saved.rebases;
        }
        for beside in beside {
            match beside {
                Beside::Id(text) => self.id = TextInput::new(&text),
                Beside::As(reading) => self.reading = reading,
                Beside::Work(work) => self.work = *work,
            }
        }
        self.begun = true;
        self.version = draft.version;
        self.appended = draft.edits.len();
        self.ready = true;
        self.restored = Some(draft.updated_at);
        self.set_base(draft.base.clone(), draft.base_revision.clone());
    }

    /// Begins with the record as it stands; only while nothing was typed.
    pub fn begin_with(&mut self, document: Option<Document>, revision: Option<Revision>) {
        let was = self.buffer.held_view().or(self.ready.then(|| self.buffer.view()));
        self.set_base(document, revision);
        let pointer = self.pointer();
        let text = match &self.base().cloned() {
            Some(document) if pointer.is_root() => pretty_lines(document).into_text(),
            None if pointer.is_root() => EMPTY_RECORD.to_owned(),
            document => match document.as_ref().and_then(|document| pointer.get(document)) {
                Some(Value::String(text)) => {
                    self.reading = Reading::Text;
                    text.clone()
                }
                Some(value) => pretty(value),
                None => String::new(),
            },
        };
        self.buffer = TextBuffer::new(&text);
        match was {
            Some(view) => self.buffer.set_view(view),
            None if self.is_field() => self.buffer.move_to(self.buffer.end(), false),
            None => {}
        }
        self.begun = false;
        self.restored = None;
        self.ready = true;
    }

    pub(super) fn set_base(&mut self, base: Option<Document>, revision: Option<Revision>) {
        self.base_lines = OnceCell::new();
        self.compared = None;
        self.base_normal = OnceCell::new();
        self.begun_on = base;
        self.base_revision = revision;
        self.compare_base();
    }

    /// The document the text was begun on. One that was damaged on disk is none.
    pub fn base(&self) -> Option<&Document> {
        self.begun_on.as_ref().filter(|base| base.is_sound())
    }

    pub fn has_base(&self) -> bool {
        self.begun_on.is_some()
    }

    pub(super) fn base_normal(&self) -> Option<&Value> {
        let make = || self.base().map(Document::value).and_then(crate::model::rtdb::normalise);
        self.base_normal.get_or_init(make).as_ref()
    }

    /// Takes in what the record is now.
    pub fn see(&mut self, document: Option<Document>, revision: Option<Revision>, ops: Vec<Op>) {
        self.now = Some(document);
        self.now_revision = revision;
        self.ops = ops;
        self.compare_base();
    }

    pub fn session(&self) -> SheetSession {
        SheetSession {
            record: self.key.record.clone(),
            target: self.key.target.clone(),
            view: self.buffer.view(),
            id: self.is_new().then(|| self.id.clone()),
            in_id: self.in_id,
            reading: self.is_field().then_some(self.reading),
            find: self.find.clone(),
            merging: self.merging.clone(),
            changed: self.known_changes(),
        }
    }

    fn known_changes(&self) -> Option<KnownChanges> {
        let is_large = self.begun && self.begun_on.is_some() && self.buffer.len() > check::WHILE_TYPING;
        let is_known = is_large && self.compared == Some(self.buffer.generation());
        if is_known { KnownChanges::of(self.version, &self.buffer, &self.lines) } else { None }
    }

    /// Where the draft is the very text they are of.
    pub(super) fn trust_changes(&mut self, known: &KnownChanges) {
        let has_base = self.begun && self.begun_on.is_some() && !self.is_field();
        if let Some(lines) = known.told_of(self.version, &self.buffer).filter(|_| has_base) {
            self.lines = lines;
            self.compared = Some(self.buffer.generation());
        }
    }

    pub fn is_new(&self) -> bool {
        self.key.target == DraftTarget::New
    }

    pub fn is_field(&self) -> bool {
        matches!(self.key.target, DraftTarget::Field(_))
    }

    /// True where Enter queues: a field whose value is no container is one value, not a text.
    pub fn is_scalar(&self) -> bool {
        // For a record this is asked with every paint: its base is not parsed for it.
        let DraftTarget::Field(pointer) = &self.key.target else { return false };
        let value = self.base().and_then(|base| pointer.get(base));
        !value.is_some_and(|value| value.is_object() || value.is_array())
    }

    /// The place being edited; the root for whole records.
    pub fn pointer(&self) -> Pointer {
        match &self.key.target {
            DraftTarget::Field(pointer) => pointer.clone(),
            _ => Pointer::root(),
        }
    }

    /// The record as the edit names it: a new one by the id that was typed.
    pub fn record_key(&self) -> RecordKey {
        match self.is_new() {
            true => self.key.record.collection.record(RecordId(self.id.text().trim().to_owned())),
            false => self.key.record.clone(),
        }
    }

    /// True where the record is not what the text was begun on any more (R6).
    pub fn base_moved(&self) -> bool {
        self.moved
    }

    fn compare_base(&mut self) {
        let Some(now) = self.now.as_ref().filter(|_| !self.is_new()) else { return };
        let pointer = self.pointer();
        let moved = match (&self.begun_on, now) {
            (Some(base), Some(now)) if pointer.is_root() => !base.is_same(now),
            (base, now) => {
                let place = |document| pointer.get(document);
                match (base.as_deref().and_then(place), now.as_deref().and_then(place)) {
                    (None, None) => false,
                    (Some(base), Some(now)) => !crate::model::json::same_value(base, now),
                    _ => true,
                }
            }
        };
        self.moved = moved;
    }

    /// Judges the text anew. `thorough` also where it is too large for every key.
    pub fn judge(&mut self, setup: &Setup, thorough: bool) {
        let collection = &self.key.record.collection;
        self.judge_by(&Terms::of(setup.source(&collection.source), collection), thorough);
    }

    pub fn judge_by(&mut self, terms: &Terms, thorough: bool) {
        let text = Some(self.buffer.generation());
        if self.compared != text {
            self.lines = match self.begun_on.as_ref().filter(|_| !self.is_field()) {
                None => LineChanges::default(),
                Some(base) => {
                    let before = self.base_lines.get_or_init(|| pretty_lines(base));
                    LineChanges::between(before, self.buffer.lines())
                }
            };
            self.compared = text;
        }
        self.lines.places.clear();
        self.check = match self.ready && (self.buffer.len() <= check::WHILE_TYPING || thorough) {
            true => self.checked(terms),
            false => Check::skipped(),
        };
        self.compare(terms);
    }

    fn checked(&mut self, terms: &Terms) -> Check {
        let rules = Rules {
            base: self.base().map(Document::value),
            normal: self.base_normal(),
            kind: terms.kind,
            levels: terms.levels,
        };
        let text = self.buffer.text();
        let mut check = match &self.key.target {
            DraftTarget::Field(pointer) => check::field(self.buffer.lines(), &text, self.reading, pointer, rules),
            _ => check::document(self.buffer.lines(), &text, rules),
        };
        if !check.problems.is_empty() {
            self.lines.find_places(self.buffer.lines());
        }
        check.problems.splice(0..0, self.id_problem());
        check
    }

    fn id_problem(&self) -> Option<check::Problem> {
        if !self.is_new() {
            return None;
        }
        let id = self.id.text().trim();
        if let Err(reason) = crate::model::rtdb::check_key(id) {
            return Some(check::Problem::whole(format!("the id cannot be used: {reason}")));
        }
        self.id_taken.then(|| check::Problem::whole(format!("a record `{id}` exists already")))
    }

    /// Takes the text of another editor, as one step; `None` where it is the same.
    pub fn take_text(&mut self, text: &str) -> Option<Step> {
        // Editors end files with a line end; the text had none.
        let ends = self.buffer.lines().last().is_some_and(String::is_empty);
        self.buffer.replace_text(if ends { text } else { text.strip_suffix('\n').unwrap_or(text) })
    }

    /// The write for a step of the buffer.
    pub fn write_step(&mut self, step: &Step) -> DraftWrite {
        self.write(step.to_json())
    }

    pub fn write_id(&mut self) -> DraftWrite {
        self.write(beside(&Beside::Id(self.id.text().to_owned())))
    }

    pub fn write_reading(&mut self) -> DraftWrite {
        self.write(beside(&Beside::As(self.reading)))
    }

    pub(super) fn write_work(&mut self) -> DraftWrite {
        self.write(beside(&Beside::Work(Box::new(self.work.clone()))))
    }

    fn write(&mut self, edit: String) -> DraftWrite {
        self.touched = true;
        self.followed = false;
        if !self.begun || self.rewrite || self.appended >= COMPACT_AFTER {
            return self.write_snapshot();
        }
        self.appended += 1;
        DraftWrite::Append { key: self.key.clone(), edit, versions: self.next_version() }
    }

    fn next_version(&mut self) -> Versions {
        let from = self.version;
        self.version = from.next(self.clock);
        Versions { from, to: self.version }
    }

    /// Everything in one piece.
    pub fn write_snapshot(&mut self) -> DraftWrite {
        self.begun = true;
        self.rewrite = false;
        self.appended = 0;
        let saved = Saved {
            id: self.is_new().then(|| self.id.text().to_owned()),
            reading: self.is_field().then_some(self.reading),
            work: (!self.work.is_empty()).then(|| self.work.clone()),
            rebases: self.rebases.clone(),
            buffer: self.buffer.saved(),
        };
        DraftWrite::Snapshot {
            key: self.key.clone(),
            snapshot: self.buffer.snapshot(&saved),
            base: self.base().map(Document::value).cloned(),
            base_revision: self.base_revision.clone(),
            versions: self.next_version(),
        }
    }

    /// [`Self::write_snapshot`] where the writes since `from` did not reach the journal.
    pub fn write_anew(&mut self, from: DraftVersion) -> DraftWrite {
        let to = self.version.next(self.clock);
        self.version = from;
        self.clock = to;
        self.write_snapshot()
    }

    /// Another window typed in the draft: the text is what the journal has now, seen from where it was.
    pub fn follow(&mut self, draft: &Draft) {
        let view = self.buffer.view();
        self.adopt(draft);
        self.buffer.set_view(view);
        self.restored = None;
        self.rewrite = false;
        self.touched = false;
    }

    /// True where edits were appended since the last snapshot.
    pub fn wants_compaction(&self) -> bool {
        self.begun && self.touched && self.appended > 0
    }

    /// The edit the judged text makes. Only without problems. A record that is gone is made anew, whole.
    pub fn op(&self, at: &At) -> Option<NewOp> {
        let document = self.check.document.clone()?;
        let anew = self.base().is_none() || self.standing() == Standing::Gone;
        Some(NewOp {
            op_id: OpId::new(at),
            record: self.record_key(),
            kind: if anew { OpKind::Create } else { OpKind::Update },
            changes: if anew { edit::diff(None, Some(&document)) } else { self.check.changes.clone() },
            document: Some(document),
            base: self.base().map(Document::value).filter(|_| !anew).cloned(),
            base_revision: match anew {
                true => self.base().map(|_| Revision::of_what_was_there()),
                false => self.base_revision.clone(),
            },
            created_at: at.wall,
            author: String::new(),
        })
    }
}

/// The buffer of a draft, and what was saved beside it where that can be read.
fn read_snapshot(snapshot: &str, steps: &[String]) -> (Result<TextBuffer, Damaged>, Option<Saved<()>>) {
    let (line, text) = TextBuffer::split(snapshot);
    match serde_json::from_str::<Saved<Snapshot>>(line) {
        Ok(saved) if !saved.buffer.is_newer() => {
            let (saved, buffer) = saved.split();
            (TextBuffer::replayed(buffer, text, steps), Some(saved))
        }
        // What is wrong with the buffer is said of the buffer alone, and what stands beside it is kept.
        _ => match serde_json::from_str::<Saved<&RawValue>>(line).map(Saved::split) {
            Ok((saved, buffer)) => (TextBuffer::rescued(buffer.get(), text, steps), Some(saved)),
            Err(_) => (TextBuffer::rescued(line, text, steps), None),
        },
    }
}

impl<B> Saved<B> {
    fn split(self) -> (Saved<()>, B) {
        let Self { id, reading, work, rebases, buffer } = self;
        (Saved { id, reading, work, rebases, buffer: () }, buffer)
    }
}

impl From<&Draft> for Sheet {
    fn from(draft: &Draft) -> Self {
        let mut sheet = match draft.key.target {
            DraftTarget::New => Self::new_record(draft.key.record.clone()),
            _ => Self::waiting(draft.key.record.clone(), draft.key.target.clone()),
        };
        sheet.adopt(draft);
        sheet
    }
}

/// The text of a draft as it was typed; what cannot be read is given raw.
pub fn text_of(draft: &Draft) -> String {
    Sheet::from(draft).buffer.text()
}

fn beside(edit: &Beside) -> String {
    serde_json::to_string(edit).expect("strings are always JSON")
}

/// Steps of the buffer, and what was changed beside it.
fn split(edits: &[String]) -> (Vec<String>, Vec<Beside>) {
    let mut steps = Vec::with_capacity(edits.len());
    let mut others = Vec::new();
    for edit in edits {
        let is_beside = ["{\"id\"", "{\"as\"", "{\"work\""].iter().any(|begin| edit.starts_with(begin));
        match is_beside.then(|| serde_json::from_str(edit)) {
            Some(Ok(beside)) => others.push(beside),
            _ => steps.push(edit.clone()),
        }
    }
    (steps, others)
}
