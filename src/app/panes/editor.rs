//! The editor: a whole record as JSON, a new record, or one field in place.
//!
//! Whatever is typed is in the commit before the next paint: the first change begins a draft with a snapshot, every
//! further one appends a step, and cursor, selection and scroll travel in the session row. Leaving always keeps the
//! draft; only queueing it or the user's own "discard" ends it, and the vault keeps what was discarded. A draft knows the
//! document it was begun on. When the record moves meanwhile, the user is told and can merge (see [`merging`]); queueing
//! makes an op on the draft's own base, which the engine merges, and never before what both sides changed was chosen.

pub mod changes;
pub mod check;
pub mod find;
pub mod layout;
pub mod lines;
pub mod merging;
mod pane;
pub mod pretty;
mod sheet;
pub mod tokens;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    app::{
        effect::Effect,
        event::NoText,
        geometry::Area,
        pane::{Cx, Outcome, Question, Request},
        text::buffer::{Handled, Step},
    },
    model::{
        activity::Severity,
        document::Document,
        draft::{Draft, DraftHead, DraftKey, DraftTarget, DraftText, DraftVersion, DraftWrite, Versions},
        ids::{OpId, RecordKey, Revision},
        op::Op,
        record::RecordView,
        rtdb,
        time::{At, Timestamp},
    },
};
use check::Terms;
use layout::{Parts, Shape};
use merging::Standing;
pub use sheet::{Sheet, SheetSession, text_of};

const TOPIC: &str = "editor";

/// What becomes of a draft that is discarded, and how it comes back.
pub const KEPT: &str = "The vault keeps what was typed; the record stays as it is";
pub const RESTORE: &str = "`g v` brings it back";

/// So far a text written after a refusal is ahead of the clock: the other window may be writing just now.
const AHEAD: Duration = Duration::from_millis(50);

/// So many left sheets and ended drafts are remembered.
const REMEMBERED: usize = 16;

#[derive(Debug, Clone, Default)]
pub struct Editor {
    open: Option<Box<Sheet>>,
    /// The sheets left last, as they were: going back to one must not wait for the journal.
    left: Vec<Sheet>,
    /// Drafts that were queued or dropped, and when: what was read before that may still show them.
    ended: Vec<(DraftKey, Timestamp)>,
    now: Timestamp,
    /// Handed over last for its durable commit.
    queueing: Option<(OpId, DraftKey)>,
    /// See [`Editor::set_unsaved`].
    unsaved: bool,
}

/// What an editor is opened with.
#[derive(Debug, Clone, PartialEq)]
pub struct Begin {
    pub key: DraftKey,
    /// The whole record as the user sees it; `None` for a new one.
    pub document: Option<Document>,
    /// What the edit is made on.
    pub base: Option<Document>,
    pub base_revision: Option<Revision>,
    /// What was typed before and not queued.
    pub draft: Option<Draft>,
    /// The pending ops of the record.
    pub ops: Vec<Op>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EditorSession {
    #[serde(default)]
    open: Option<SheetSession>,
}

impl EditorSession {
    /// The draft that is open.
    pub fn draft(self) -> Option<DraftKey> {
        self.open.map(|sheet| DraftKey { record: sheet.record, target: sheet.target })
    }
}

impl Editor {
    /// What is being edited, for drawing.
    pub fn sheet(&self) -> Option<&Sheet> {
        self.open.as_deref()
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// True for a single field: the editor then is drawn inside the record pane.
    pub fn is_in_place(&self) -> bool {
        self.sheet().is_some_and(Sheet::is_field)
    }

    pub fn record(&self) -> Option<&RecordKey> {
        self.sheet().map(|sheet| &sheet.key.record)
    }

    /// Opens a record, a field of it, or a new record (whose id can be changed; an empty one asks for one to be made).
    /// Where that is refused the outcome says why and closes.
    pub fn open(&mut self, begin: Begin, cx: &Cx<'_>) -> Outcome {
        let mut begin = begin;
        let key = &mut begin.key;
        if cx.setup.is_read_only(&key.record.collection) {
            return Outcome::used()
                .notice(Severity::Warning, TOPIC, format!("`{}` is read only", key.record.collection))
                .hint("its source or this session was opened for reading")
                .request(Request::Close);
        }
        if self.queueing.as_ref().is_some_and(|(op, queued)| *queued == *key && cx.world.saving.contains_key(op)) {
            return Outcome::used()
                .notice(Severity::Info, TOPIC, format!("Your edit of {} is just being saved", key.record))
                .hint("open it again in a moment")
                .request(Request::Close);
        }
        let left = self.leave();
        self.now = cx.at.wall;
        if key.target == DraftTarget::New && key.record.id.as_str().is_empty() {
            key.record.id = rtdb::push_id(cx.at).into();
        }
        let sheet = self.sheet_for(begin, cx);
        self.open = Some(Box::new(sheet));
        self.fit(cx);
        left.and(self.tell_restored(cx)).and(self.tell_moved())
    }

    /// The text as it was left, from its draft, or from the record.
    fn sheet_for(&mut self, begin: Begin, cx: &Cx<'_>) -> Sheet {
        let Begin { key, document, base, base_revision, draft, ops } = begin;
        let draft = draft.filter(|draft| !self.is_ended(&draft.head()));
        // What was left a moment ago may not be in the loaded draft yet.
        let left =
            self.left.iter().position(|sheet| sheet.key == key && sheet.begun).map(|index| self.left.remove(index));
        let unsaved = self.unsaved;
        let is_newer = |sheet: &Sheet| unsaved || draft.as_ref().is_none_or(|draft| draft.version <= sheet.version);
        let mut sheet = left.filter(is_newer).unwrap_or_else(|| fresh(&key, draft.as_slice()));
        sheet.clock = DraftVersion::at(cx.at);
        let revision = base_revision.clone();
        if !sheet.ready {
            sheet.begin_with(base, base_revision);
        }
        sheet.see(document, revision, ops);
        sheet.judge(cx.setup, false);
        sheet
    }

    /// The user's own editor ended. Its text is one step, whatever it is; a failure changes nothing.
    pub fn returned(&mut self, text: Result<String, NoText>, cx: &Cx<'_>) -> Outcome {
        self.fit(cx);
        let Some(sheet) = self.open.as_deref_mut() else { return Outcome::ignored() };
        sheet.is_out = false;
        let text = match text {
            Ok(text) => text,
            Err(nothing) => {
                return Outcome::used()
                    .notice(Severity::Warning, TOPIC, format!("Your editor: {}", nothing.reason))
                    .hint(nothing.hint());
            }
        };
        match sheet.take_text(&text) {
            Some(step) => {
                let write = sheet.write_step(&step);
                sheet.judge(cx.setup, true);
                Outcome::used().draft(write)
            }
            None => Outcome::used().notice(Severity::Info, TOPIC, "Your editor changed nothing"),
        }
    }

    /// The user's own editor left something of a text that is not open here: it goes into the draft, as one step.
    pub fn take_aside(&mut self, begin: Begin, text: &str, cx: &Cx<'_>) -> Outcome {
        self.now = cx.at.wall;
        let mut sheet = self.sheet_for(begin, cx);
        if sheet.take_text(text).is_none() {
            return Outcome::used().notice(Severity::Info, TOPIC, "Your editor changed nothing");
        }
        let write = sheet.write_snapshot();
        let told = format!("What your editor left of {} was found and is in its draft", name_of(&sheet));
        self.remember(sheet);
        Outcome::used().draft(write).notice(Severity::Draft, TOPIC, told)
    }

    /// The app took the editor off the screen, as it does for every [`Request::Close`] of the editor. What is still open
    /// then is a draft whose dropping was confirmed: nothing is written, nothing is kept.
    pub fn close(&mut self) {
        self.end();
    }

    /// Ends the sheet together with its draft.
    fn end(&mut self) -> Option<Box<Sheet>> {
        let sheet = self.open.take()?;
        self.ended.retain(|(key, _)| *key != sheet.key);
        self.ended.push((sheet.key.clone(), self.now));
        let surplus = self.ended.len().saturating_sub(REMEMBERED);
        self.ended.drain(..surplus);
        Some(sheet)
    }

    /// True for a draft that was read before it was queued or dropped here. One whose queueing failed is alive.
    fn is_ended(&self, draft: &DraftHead) -> bool {
        let ended = self.ended.iter().find(|(key, _)| *key == draft.key);
        !draft.is_requested && ended.is_some_and(|(_, at)| draft.version <= DraftVersion::until(*at))
    }

    /// Whether writes are on their way to the journal: what is read meanwhile is not newer than what is typed here.
    pub fn set_unsaved(&mut self, unsaved: bool) {
        self.unsaved = unsaved;
    }

    /// Ends the sheet and keeps its draft, written in one piece.
    fn leave(&mut self) -> Outcome {
        let Some(mut sheet) = self.open.take() else { return Outcome::used() };
        let mut outcome = Outcome::used();
        if sheet.wants_compaction() {
            outcome = outcome.draft(sheet.write_snapshot());
        }
        self.remember(*sheet);
        outcome
    }

    fn remember(&mut self, mut sheet: Sheet) {
        sheet.rewrite = true;
        self.left.retain(|other| other.key != sheet.key);
        self.left.push(sheet);
        let surplus = self.left.len().saturating_sub(REMEMBERED);
        self.left.drain(..surplus);
    }

    fn leave_and_close(&mut self) -> Outcome {
        let kept = self.sheet().filter(|sheet| sheet.begun).map(|sheet| format!("Draft of {} kept", name_of(sheet)));
        let outcome = self.leave().request(Request::Close);
        match kept {
            Some(text) => outcome.notice(Severity::Draft, TOPIC, text),
            None => outcome,
        }
    }

    fn queue(&mut self, cx: &Cx<'_>) -> Outcome {
        let Some(sheet) = self.open.as_deref_mut() else { return Outcome::ignored() };
        if !sheet.ready {
            return Outcome::used().notice(Severity::Info, TOPIC, "The record is still being read");
        }
        let collection = sheet.key.record.collection.clone();
        if cx.setup.collection(&collection).is_none() {
            return Outcome::used()
                .notice(
                    Severity::Warning,
                    TOPIC,
                    format!("`{collection}` is not configured; nothing can be sent to it"),
                )
                .hint("configure it again, or copy the text; the draft stays");
        }
        sheet.judge(cx.setup, true);
        if let Some(problem) = sheet.check.problems.first() {
            let text = format!("Not queued yet: {problem}");
            return Outcome::used()
                .notice(Severity::Warning, TOPIC, text)
                .hint("F8 goes to the problem; the text is kept as it is");
        }
        let mut outcome = Outcome::used();
        match sheet.merge_choices(&Terms::of(cx.setup.source(&collection.source), &collection)) {
            Ok(write) => outcome.drafts.extend(write),
            Err(_) => return self.begin_choosing(),
        }
        if sheet.check.changes.is_empty() && sheet.standing() != Standing::Gone {
            return self.end_unchanged();
        }
        let Some(op) = sheet.op(cx.at) else { return Outcome::ignored() };
        // The draft may have been ended by another session: the wish must have a row to stand in.
        outcome.drafts.extend(sheet.begun.then(|| sheet.write_snapshot()));
        let draft = sheet.begun.then(|| DraftText { key: sheet.key.clone(), version: sheet.version });
        self.queueing = Some((op.op_id, sheet.key.clone()));
        self.end();
        outcome.request(Request::Queue { op: Box::new(op), draft }).request(Request::Close)
    }

    fn end_unchanged(&mut self) -> Outcome {
        let Some(sheet) = self.end() else { return Outcome::ignored() };
        let outcome = Outcome::used().request(Request::Close);
        let outcome = if sheet.begun {
            outcome.draft(DraftWrite::Remove { key: sheet.key.clone(), version: sheet.version })
        } else {
            outcome
        };
        outcome.notice(Severity::Info, TOPIC, format!("No change: {} is as it was", name_of(&sheet)))
    }

    fn ask_to_drop(&self) -> Outcome {
        let Some(sheet) = self.sheet() else { return Outcome::ignored() };
        if !sheet.begun {
            return Outcome::used().notice(Severity::Info, TOPIC, "Nothing was typed here; `esc` leaves");
        }
        let changed = match sheet.check.changes.len() {
            0 => "Its text could not be queued as it is".to_owned(),
            1 => "1 field differs from the record".to_owned(),
            many => format!("{many} fields differ from the record"),
        };
        Outcome::used().request(Request::Confirm(Box::new(Question {
            title: format!("Discard the draft of {}?", name_of(sheet)),
            lines: vec![changed, KEPT.to_owned()],
            yes: "discard it".to_owned(),
            then: Outcome::used()
                .draft(DraftWrite::Discard { key: sheet.key.clone() })
                .request(Request::Close)
                .notice(Severity::Info, TOPIC, format!("Draft of {} discarded", name_of(sheet)))
                .hint(RESTORE),
        })))
    }

    /// A draft was ended elsewhere, or put into the journal anew: what is remembered of it here is not so any more.
    pub fn forget(&mut self, key: &DraftKey, ended: bool) {
        self.left.retain(|sheet| sheet.key != *key);
        self.ended.retain(|(other, _)| other != key);
        if ended {
            self.ended.push((key.clone(), self.now));
        }
    }

    /// After a commit that failed: what to append to may be gone (another window ended the draft or typed in it), so the
    /// whole text is written instead of steps, and steps before a later whole text are left out.
    pub fn mend(&mut self, writes: Vec<DraftWrite>, at: &At) -> Vec<DraftWrite> {
        self.in_one_piece(writes, at, false)
    }

    /// The writes the journal may lack, without steps, and the open draft in one piece.
    pub fn rescue(&self, writes: Vec<DraftWrite>, at: &At) -> Vec<DraftWrite> {
        self.clone().in_one_piece(writes, at, true)
    }

    fn in_one_piece(&mut self, writes: Vec<DraftWrite>, at: &At, always: bool) -> Vec<DraftWrite> {
        let open = self.open.as_deref_mut();
        // Later than whatever another window writes until this is in the journal.
        let clock = DraftVersion::at(&At { wall: at.wall.plus(AHEAD), ..*at });
        let mut grounds = BTreeMap::new();
        let mut kept: Vec<DraftWrite> = Vec::new();
        for (index, write) in writes.iter().enumerate() {
            let is_open = open.as_ref().is_some_and(|sheet| sheet.key == *write.key());
            let is_whole_later = || {
                let mut later = writes[index + 1..].iter().filter(|later| later.key() == write.key());
                later.any(|later| !matches!(later, DraftWrite::Append { .. }))
            };
            match write {
                DraftWrite::Append { versions, .. } if is_open || is_whole_later() => {
                    grounds.entry(write.key().clone()).or_insert(versions.from);
                }
                DraftWrite::Snapshot { versions, .. } if is_open => {
                    grounds.entry(write.key().clone()).or_insert(versions.from);
                }
                DraftWrite::Snapshot { key, versions, .. } => {
                    let from = grounds.remove(key).unwrap_or(versions.from);
                    let to = versions.to.next(clock);
                    let left = self.left.iter_mut().filter(|sheet| sheet.key == *key && sheet.version == versions.to);
                    left.for_each(|sheet| sheet.version = to);
                    let mut write = write.clone();
                    if let DraftWrite::Snapshot { versions, .. } = &mut write {
                        *versions = Versions { from, to };
                    }
                    kept.push(write);
                }
                other => kept.push(other.clone()),
            }
        }
        if let Some(sheet) = open.filter(|sheet| sheet.begun) {
            let ground = grounds.get(&sheet.key).copied();
            if always || ground.is_some() {
                sheet.clock = clock;
                kept.push(sheet.write_anew(ground.unwrap_or(sheet.version)));
            }
        }
        kept
    }

    fn next_problem(&mut self, cx: &Cx<'_>) -> Outcome {
        let Some(sheet) = self.open.as_deref_mut() else { return Outcome::ignored() };
        sheet.judge(cx.setup, true);
        let cursor = sheet.buffer.cursor();
        let column = sheet.buffer.lines()[cursor.line][..cursor.at].chars().count() + 1;
        let here = (cursor.line + 1, column);
        let mut places = sheet.check.problems.iter().filter_map(|problem| problem.place);
        let next = places.clone().find(|place| *place > here).or_else(|| places.next());
        match (next, sheet.check.problems.first()) {
            (Some((line, column)), _) => {
                sheet.in_id = false;
                sheet.buffer.go_to_line(line, column);
                Outcome::used()
            }
            (None, Some(_)) => {
                sheet.in_id = sheet.is_new();
                Outcome::used()
            }
            (None, None) => Outcome::used().notice(Severity::Info, TOPIC, "No problem found"),
        }
    }

    fn format(&mut self, cx: &Cx<'_>) -> Outcome {
        let Some(sheet) = self.open.as_deref_mut() else { return Outcome::ignored() };
        let text = sheet.buffer.text();
        let Ok(value) = crate::model::json::parse(&text, crate::model::json::Limits::default()) else {
            return Outcome::used()
                .notice(Severity::Info, TOPIC, "Only valid JSON can be laid out")
                .hint("F8 goes to the problem");
        };
        let step = sheet.buffer.replace_text(&pretty::pretty(&value));
        changed(sheet, cx, Handled { used: true, step, copied: None })
    }

    /// The text and what stands around it, at this size.
    fn parts(&self, cx: &Cx<'_>) -> Parts {
        let (columns, rows) = cx.room;
        let outer = if cx.room == (0, 0) { (0, 0) } else { (columns + 2, rows + 2) };
        self.sheet()
            .map_or_else(Parts::default, |sheet| layout::parts(Area::new(0, 0, outer.0, outer.1), sheet.shape()))
    }

    fn fit(&mut self, cx: &Cx<'_>) {
        self.now = cx.at.wall;
        let text = self.parts(cx).text;
        if let Some(sheet) = self.open.as_deref_mut() {
            sheet.clock = DraftVersion::at(cx.at);
            sheet.buffer.set_room(usize::from(text.height), usize::from(text.width));
        }
    }

    /// Says once what came back from a restart or from an earlier visit.
    fn tell_restored(&mut self, cx: &Cx<'_>) -> Outcome {
        let Some(sheet) = self.open.as_deref_mut() else { return Outcome::used() };
        let Some(typed) = sheet.restored.take() else { return Outcome::used() };
        let time = typed.clock_time(cx.setup.zone_offset);
        match &sheet.damaged {
            None => {
                Outcome::used().notice(Severity::Draft, TOPIC, format!("Draft restored: typed {time}, nothing lost"))
            }
            Some(reason) => Outcome::used()
                .notice(
                    Severity::Problem,
                    TOPIC,
                    format!("The draft typed {time} could be read only in part: {reason}"),
                )
                .hint("what could be read is here; the saved rows stay until you queue or drop it"),
        }
    }

    fn tell_moved(&mut self) -> Outcome {
        let Some(sheet) = self.open.as_deref_mut() else { return Outcome::used() };
        let mut outcome = Outcome::used();
        let outdated = std::mem::take(&mut sheet.outdated);
        if !outdated.is_empty() {
            let names: Vec<String> = outdated.iter().map(merging::place_name).collect();
            let text = format!("{} changed again on the other side: {}", name_of(sheet), names.join(", "));
            outcome =
                outcome.notice(Severity::Warning, TOPIC, text).hint("what was chosen there is to be chosen again");
        }
        match sheet.news() {
            Some((text, hint)) if outdated.is_empty() => outcome.notice(Severity::Warning, TOPIC, text).hint(hint),
            _ => outcome,
        }
    }

    /// The record arrived. What was typed stays; what was only looked at follows the record.
    fn show(&mut self, view: &RecordView, cx: &Cx<'_>) -> Outcome {
        let head = view.heads.iter().find(|head| self.sheet().is_some_and(|sheet| sheet.key == head.key));
        let head = head.filter(|head| !self.is_ended(head));
        let draft = head.and_then(|head| view.drafts.iter().find(|draft| draft.key == head.key));
        let Some(sheet) = self.open.as_deref_mut() else { return Outcome::ignored() };
        let is_newer = head.is_some_and(|head| head.version > sheet.version && !self.unsaved) || !sheet.begun;
        sheet.wants_text = head.is_some() && draft.is_none() && is_newer && !sheet.is_out;
        if view.key == sheet.key.record {
            let is_gone = head.is_none() && sheet.seen_kept && sheet.begun && !self.unsaved && !sheet.is_out;
            sheet.seen_kept |= head.is_some();
            if is_gone {
                let text = format!("Another window queued or discarded the draft of {}", name_of(sheet));
                let hint = "`g v` the vault";
                return Outcome::used().notice(Severity::Warning, TOPIC, text).hint(hint).request(Request::Close);
            }
        }
        // What the user's own editor is at was begun on the text as it is here.
        let newer = draft.filter(|draft| draft.version > sheet.version && !self.unsaved && !sheet.is_out);
        let mut is_followed = false;
        if sheet.is_new() {
            if let Some(draft) = newer.filter(|_| sheet.begun) {
                sheet.follow(draft);
            }
            sheet.id_taken = view.local.is_some() && view.key == sheet.record_key();
            sheet.judge(cx.setup, false);
            return Outcome::used();
        }
        if view.key != sheet.key.record {
            return Outcome::ignored();
        }
        let subject = subject(&sheet.key.target, view);
        let revision = view.base.as_ref().and_then(|base| base.revision.clone());
        sheet.see(subject.clone(), revision.clone(), view.ops.clone());
        match draft {
            // Its text is here already, or asked for.
            None if head.is_some() => {}
            Some(_) if sheet.is_out => {}
            Some(_) if sheet.begun && newer.is_some() => {
                newer.into_iter().for_each(|draft| sheet.follow(draft));
                is_followed = !std::mem::replace(&mut sheet.followed, true);
            }
            _ if sheet.touched => {}
            // Begun in another window while it was looked at here.
            Some(draft) if !sheet.begun && sheet.ready => {
                sheet.follow(draft);
                is_followed = !std::mem::replace(&mut sheet.followed, true);
            }
            Some(draft) if !sheet.begun => {
                let held = sheet.buffer.held_view();
                sheet.adopt(draft);
                if let Some(view) = held {
                    sheet.buffer.set_view(view);
                }
            }
            Some(_) => {}
            // What was only looked at stays in sight when its record goes.
            None if subject.is_none() => {}
            None => sheet.begin_with(subject, revision),
        }
        sheet.judge(cx.setup, false);
        if sheet.standing() == Standing::Steady {
            sheet.merging = None;
        }
        self.fit(cx);
        let told = self.tell_restored(cx).and(self.tell_moved());
        match is_followed {
            true => told.notice(Severity::Info, TOPIC, "Another window types in this draft; it is shown here too"),
            false => told,
        }
    }
}

impl Sheet {
    pub fn shape(&self) -> Shape {
        Shape {
            field: self.is_field(),
            has_id: self.is_new(),
            finding: self.find.is_some(),
            three: self.three.as_ref().map_or(0, |three| three.fields.len()),
            lines: self.buffer.lines().len(),
        }
    }
}

/// A sheet from its draft, where the journal has one.
fn fresh(key: &DraftKey, drafts: &[Draft]) -> Sheet {
    match (drafts.iter().find(|draft| draft.key == *key), &key.target) {
        (Some(draft), _) => Sheet::from(draft),
        (None, DraftTarget::New) => Sheet::new_record(key.record.clone()),
        (None, _) => Sheet::waiting(key.record.clone(), key.target.clone()),
    }
}

/// `users/u_00042`, `users/u_00042 /profile/role`, `a new record of users`.
pub fn name_of(sheet: &Sheet) -> String {
    name_of_key(&sheet.key)
}

pub fn name_of_key(key: &DraftKey) -> String {
    match &key.target {
        DraftTarget::Document => key.record.to_string(),
        DraftTarget::New => format!("a new record of {}", key.record.collection.collection),
        DraftTarget::Field(pointer) => format!("{} {pointer}", key.record),
        DraftTarget::Op(seq) => format!("op {seq} of {}", key.record),
    }
}

/// The document a target is about: the record as the user sees it, or what the op makes of it.
pub fn subject(target: &DraftTarget, view: &RecordView) -> Option<Document> {
    match target {
        DraftTarget::Op(seq) => {
            let op = view.ops.iter().find(|op| op.seq == *seq)?;
            crate::merge::intended(op).cloned().map(Document::from)
        }
        _ => view.local.clone(),
    }
}

/// After a key of the buffer: the draft's write, the clipboard, the check.
fn changed(sheet: &mut Sheet, cx: &Cx<'_>, handled: Handled) -> Outcome {
    let mut outcome = Outcome { used: handled.used, ..Outcome::default() };
    if let Some(step) = handled.step {
        outcome = outcome.draft(sheet.write_step(&step));
        sheet.judge(cx.setup, false);
    }
    match handled.copied {
        Some(text) => outcome.effect(Effect::Copy { text, what: "the selected text".to_owned() }),
        None => outcome,
    }
}

/// After a step back or forward in the undo list. Where a merge was crossed, its base goes along.
fn stepped(sheet: &mut Sheet, cx: &Cx<'_>, step: Option<Step>, back: bool) -> Outcome {
    if step.is_none() || !sheet.follow_base(back) {
        return changed(sheet, cx, Handled { used: true, step, copied: None });
    }
    sheet.touched = true;
    let write = sheet.write_snapshot();
    sheet.judge(cx.setup, false);
    Outcome::used().draft(write)
}

#[cfg(test)]
mod tests;
