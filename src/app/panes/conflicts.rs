//! The conflict resolver: a record that both sides changed, field by field: what merged by itself, what needs a
//! person, and the record as it will be.
//!
//! Choices are kept like typed text until `w` queues the result; leaving half way is fine. They are dropped only where
//! the server's side changed under them, and then the pane says so.

mod choosing;
mod ending;
mod result;
mod teaching;
pub(in crate::app) mod work;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    app::{
        action::Action,
        effect::Need,
        event::{Found, MouseKind},
        list,
        pane::{Cx, Outcome, Pane, PaneName, Request, Seen},
        panes::outbox::dotted,
        text::TextInput,
    },
    merge::{Field, How, Lesson, Merged, Pick, merge_conflict},
    model::{
        activity::Severity,
        conflict::Conflict,
        ids::{CollectionKey, Seq},
        json::Pointer,
        op::Op,
        rules::ConflictRules,
    },
};
pub use result::{Line, Preview};
use work::Work;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conflicts {
    session: ConflictsSession,
    conflicts: Vec<Conflict>,
    rules: BTreeMap<CollectionKey, ConflictRules>,
    loaded: bool,
    /// The op of the selected conflict, once it is read.
    op: Option<Op>,
    /// The selected conflict as far as it merges by itself.
    merged: Option<Merged>,
    /// The rows of the table: what differs, then, where asked for, what does not.
    fields: Vec<Field>,
    unchanged: usize,
    preview: Preview,
    lesson: Option<Taught>,
    /// Answers that were given and are not read back yet.
    answered: Vec<i64>,
    /// The conflict whose change the user was asked to drop.
    dropping: Option<i64>,
    /// Answers given here, and taken, that an undo may mean.
    given: usize,
}

/// The rule that the choice at the cursor would be, and how far it would reach.
#[derive(Debug, Clone, PartialEq)]
pub struct Taught {
    pub lesson: Lesson,
    /// Open conflicts of the collection in which it decides something.
    pub decides: usize,
    /// Open conflicts of the collection that were looked at.
    pub of: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConflictsSession {
    conflict: Option<i64>,
    field: Pointer,
    /// Choices made and not queued yet, by conflict.
    work: BTreeMap<i64, Work>,
    shows_unchanged: bool,
    /// A value is being typed for the field at the cursor.
    typing: bool,
    /// Rules that were offered: each is offered once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    offered: Vec<String>,
    /// Lines of the preview scrolled away from the place of the cursor.
    scroll: usize,
}

/// What a record as a whole is in conflict about, where its fields do not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// The server deleted it; it was edited here.
    DeletedThere,
    /// It was deleted here; the server changed it.
    DeletedHere,
    /// Both sides made a record of this name.
    BothCreated,
}

impl Conflicts {
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Choices and half-typed values are work, not a place on the screen: they stay what they are.
    pub fn keep_work_of(&mut self, present: &Self) {
        self.session.work.clone_from(&present.session.work);
        self.session.offered.clone_from(&present.session.offered);
    }

    /// The conflicts that wait for a person, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Conflict> {
        self.conflicts.iter().filter(|conflict| conflict.resolved_at.is_none())
    }

    pub fn selected(&self) -> Option<&Conflict> {
        let wanted = self.session.conflict;
        self.open().find(|conflict| Some(conflict.id) == wanted).or_else(|| self.open().next())
    }

    /// (number of the selected one from 1, how many)
    pub fn place(&self) -> (usize, usize) {
        let selected = self.selected().map(|conflict| conflict.id);
        let at = self.open().position(|conflict| Some(conflict.id) == selected).map_or(0, |index| index + 1);
        (at, self.open().count())
    }

    /// The op in conflict, once it is read.
    pub fn op(&self) -> Option<&Op> {
        let seq = self.selected()?.seq;
        self.op.as_ref().filter(|op| op.seq == seq)
    }

    /// What the conflict is about, where it is the record as a whole.
    pub fn whole(&self) -> Option<Whole> {
        let conflict = self.selected()?;
        match (&conflict.mine, &conflict.theirs) {
            (Some(_), None) => Some(Whole::DeletedThere),
            (None, Some(_)) => Some(Whole::DeletedHere),
            (Some(_), Some(_)) if self.fields.iter().any(|field| field.pointer.is_root()) => Some(Whole::BothCreated),
            _ => None,
        }
    }

    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    pub fn field(&self) -> Option<&Field> {
        self.fields.get(self.field_index())
    }

    pub fn field_index(&self) -> usize {
        self.fields.iter().position(|field| field.pointer == self.session.field).unwrap_or(0)
    }

    /// How many places are the same everywhere.
    pub fn unchanged(&self) -> usize {
        self.unchanged
    }

    pub fn shows_unchanged(&self) -> bool {
        self.session.shows_unchanged
    }

    fn work(&self) -> Option<&Work> {
        self.session.work.get(&self.selected()?.id)
    }

    fn work_mut(&mut self) -> Option<&mut Work> {
        let id = self.selected()?.id;
        Some(self.session.work.entry(id).or_default())
    }

    fn picks(&self) -> BTreeMap<Pointer, Pick> {
        self.work().map(Work::picks).unwrap_or_default()
    }

    /// What was chosen for a field.
    pub fn pick(&self, field: &Field) -> Option<&Pick> {
        self.work()?.pick(&field.pointer)
    }

    /// True where a document as a whole was taken from `$EDITOR`.
    pub fn has_whole_document(&self) -> bool {
        self.work().is_some_and(Work::has_whole)
    }

    /// What a field will be: `None` undecided, `Some(None)` absent.
    pub fn result(&self, field: &Field) -> Option<Option<Value>> {
        if !field.pointer.is_root()
            && let Some(Pick::Value(document)) = self.work().and_then(|work| work.pick(&Pointer::root()))
        {
            return Some(field.pointer.get(document).cloned());
        }
        self.pick(field).map(|pick| pick.of(field)).or_else(|| field.result.clone())
    }

    /// The fields that still need a decision.
    pub fn undecided(&self) -> Vec<&Field> {
        self.fields.iter().filter(|field| self.result(field).is_none()).collect()
    }

    pub fn preview(&self) -> &Preview {
        &self.preview
    }

    /// The first line of the preview to draw, so that the place of the cursor is seen.
    pub fn preview_top(&self, height: usize) -> usize {
        let last = self.preview.lines.len().saturating_sub(height);
        let at = self.field().and_then(|field| self.preview.places.get(&field.pointer)).copied().unwrap_or(0);
        let around = at.saturating_sub(height / 2);
        (around + self.session.scroll).min(last)
    }

    /// The value being typed for the field at the cursor.
    pub fn typed(&self) -> Option<&TextInput> {
        let pointer = &self.field()?.pointer;
        self.session.typing.then(|| self.work()?.typed.get(pointer)).flatten()
    }

    /// A value was begun for the field and not finished.
    pub fn is_half_typed(&self, field: &Field) -> bool {
        self.work().is_some_and(|work| work.typed.contains_key(&field.pointer))
    }

    pub fn select(&mut self, id: i64) {
        if self.selected().map(|conflict| conflict.id) != Some(id) || self.session.conflict.is_none() {
            self.session.field = Pointer::root();
            self.session.typing = false;
            self.session.scroll = 0;
        }
        self.session.conflict = Some(id);
        self.rebuild();
    }

    /// Selects the conflict an op is in.
    pub fn select_op(&mut self, seq: Seq) {
        let found = self.open().find(|conflict| conflict.seq == seq).map(|conflict| conflict.id);
        if let Some(id) = found {
            self.select(id);
        }
    }

    fn rebuild(&mut self) {
        let none = ConflictRules::default();
        let merged = self.selected().map(|conflict| {
            let rules = self.rules.get(&conflict.record.collection).unwrap_or(&none);
            merge_conflict(conflict, rules)
        });
        self.fields = merged.as_ref().map(|merged| merged.fields.clone()).unwrap_or_default();
        let same = match self.selected().and_then(|conflict| conflict.theirs.as_ref()) {
            Some(theirs) => unchanged(theirs, &Pointer::root(), &self.fields),
            None => Vec::new(),
        };
        self.unchanged = same.len();
        if self.session.shows_unchanged {
            self.fields.extend(same);
        }
        self.merged = merged;
        self.redraw();
    }

    fn redraw(&mut self) {
        let picks = self.picks();
        self.preview = self.merged.as_ref().map(|merged| Preview::of(merged, &picks)).unwrap_or_default();
        self.lesson = self.teach(&picks);
    }

    fn move_to(&mut self, pointer: Pointer) {
        self.session.field = pointer;
        self.session.typing = false;
        self.session.scroll = 0;
        self.lesson = self.teach(&self.picks());
    }

    // Going.

    /// The next field that needs a decision; where none is left here, the next conflict.
    fn next_undecided(&mut self, forward: bool) -> Outcome {
        let open: Vec<Pointer> = self.undecided().into_iter().map(|field| field.pointer.clone()).collect();
        if open.is_empty() {
            return match self.open().count() {
                0 | 1 => Outcome::used().notice(Severity::Info, "conflicts", "All is decided; `w` queues the result"),
                _ => self.step(forward),
            };
        }
        let at = |pointer: &Pointer| self.fields.iter().position(|field| field.pointer == *pointer);
        let here = self.field_index();
        let places: Vec<usize> = open.iter().filter_map(at).collect();
        let next = match forward {
            true => places.iter().find(|place| **place > here).or(places.first()),
            false => places.iter().rev().find(|place| **place < here).or(places.last()),
        };
        if let Some(pointer) = next.and_then(|place| self.fields.get(*place)).map(|field| field.pointer.clone()) {
            self.move_to(pointer);
        }
        Outcome::used()
    }

    fn step(&mut self, forward: bool) -> Outcome {
        let ids: Vec<i64> = self.open().map(|conflict| conflict.id).collect();
        let Some(at) = self.selected().and_then(|conflict| ids.iter().position(|id| *id == conflict.id)) else {
            return Outcome::used();
        };
        let next = (if forward { at + 1 } else { at + ids.len() - 1 }) % ids.len();
        self.select(ids[next]);
        Outcome::used()
    }

    /// What was chosen against a side that is not there any more is dropped, aloud.
    fn drop_outdated(&mut self) -> Outcome {
        let none = ConflictRules::default();
        let mut outcome = Outcome::used();
        let open: Vec<Conflict> = self.open().cloned().collect();
        self.session.work.retain(|id, _| open.iter().any(|conflict| conflict.id == *id));
        for conflict in &open {
            let Some(work) = self.session.work.get_mut(&conflict.id) else { continue };
            let rules = self.rules.get(&conflict.record.collection).unwrap_or(&none);
            let gone = work.drop_outdated(&merge_conflict(conflict, rules).fields, conflict.theirs.as_ref());
            if !gone.is_empty() {
                let names: Vec<String> = gone.iter().map(place_name).collect();
                let (text, record) = (names.join(", "), &conflict.record);
                outcome = outcome
                    .notice(Severity::Warning, "conflicts", format!("{record} changed again on the server: {text}"))
                    .hint("what you had chosen there is dropped; choose again");
            }
        }
        outcome
    }
}

/// What a field is called on the screen.
pub fn name(field: &Field) -> String {
    place_name(&field.pointer)
}

fn place_name(pointer: &Pointer) -> String {
    if pointer.is_root() { "the record".to_owned() } else { dotted(pointer) }
}

/// The largest parts of a document that hold none of the fields.
fn unchanged(document: &Value, at: &Pointer, fields: &[Field]) -> Vec<Field> {
    if fields.iter().any(|field| field.pointer == *at) {
        return Vec::new();
    }
    if !fields.iter().any(|field| at.contains(&field.pointer)) {
        let value = Some(document.clone());
        return vec![Field {
            pointer: at.clone(),
            base: value.clone(),
            mine: value.clone(),
            theirs: value.clone(),
            how: How::Unchanged,
            result: Some(value),
        }];
    }
    match document {
        Value::Object(members) => {
            members.iter().flat_map(|(name, member)| unchanged(member, &at.child(name), fields)).collect()
        }
        _ => Vec::new(),
    }
}

impl Pane for Conflicts {
    const NAME: PaneName = PaneName::Conflicts;
    const VERSION: u16 = 1;
    type Session = ConflictsSession;

    fn session(&self) -> ConflictsSession {
        let mut session = self.session.clone();
        session.work.retain(|_, work| !work.is_empty());
        session
    }

    fn restore(session: ConflictsSession, _seen: &Seen<'_>) -> Self {
        Self { session, ..Self::default() }
    }

    fn needs(&self, _cx: &Cx<'_>) -> Vec<Need> {
        let op = self.selected().map(|conflict| Need::Op(conflict.seq));
        std::iter::once(Need::Conflicts).chain(op).collect()
    }

    fn load(&mut self, _need: &Need, found: &Found, cx: &Cx<'_>) -> Outcome {
        match found {
            Found::Conflicts(conflicts) => {
                let is_open =
                    |id: i64| conflicts.iter().any(|conflict| conflict.id == id && conflict.resolved_at.is_none());
                let known = |id: i64| self.conflicts.iter().any(|conflict| conflict.id == id);
                let is_new = self.loaded && conflicts.iter().any(|conflict| !known(conflict.id));
                let waiting = self.answered.len();
                self.answered.retain(|id| is_open(*id));
                let ended = waiting - self.answered.len() + usize::from(self.dropping.is_some_and(|id| !is_open(id)));
                self.dropping = self.dropping.filter(|id| is_open(*id));
                // What came into conflict since may be the newest change of all.
                self.given = if is_new { 0 } else { self.given + ended };
                self.conflicts.clone_from(conflicts);
                self.loaded = true;
                let keys = self.conflicts.iter().map(|conflict| conflict.record.collection.clone());
                self.rules = keys.map(|key| (key.clone(), cx.setup.rules(&key))).collect();
                let outcome = self.drop_outdated();
                self.rebuild();
                outcome
            }
            Found::Op(op) => {
                self.op = op.as_deref().cloned();
                Outcome::used()
            }
            _ => Outcome::ignored(),
        }
    }

    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        if self.session.typing {
            match action {
                Action::Open => return self.take_typed(),
                Action::Back => self.leave_typing(),
                _ => {}
            }
            return Outcome::used();
        }
        let half = usize::from(cx.room.1 / 2).max(1);
        match action {
            Action::HalfPageDown => {
                self.session.scroll = (self.session.scroll + half).min(self.preview.lines.len());
                return Outcome::used();
            }
            Action::HalfPageUp => {
                self.session.scroll = self.session.scroll.saturating_sub(half);
                return Outcome::used();
            }
            _ => {}
        }
        if let Some(index) = list::step(*action, self.field_index(), self.fields.len(), usize::from(cx.room.1)) {
            if let Some(pointer) = self.fields.get(index).map(|field| field.pointer.clone()) {
                self.move_to(pointer);
            }
            return Outcome::used();
        }
        match action {
            Action::TakeMine => self.choose(&Pick::Mine),
            Action::TakeTheirs => self.choose(&Pick::Theirs),
            Action::TakeBase => self.choose(&Pick::Base),
            Action::TypeValue => self.begin_typing(),
            Action::TakeAllMine => self.choose_all(&Pick::Mine),
            Action::TakeAllTheirs => self.choose_all(&Pick::Theirs),
            Action::RedoMerge => self.redo_merge(),
            Action::Undo => self.undo(),
            Action::EditExternally => self.open_editor(),
            Action::MakeRule => self.make_rule(cx),
            Action::QueueResult => self.queue(cx),
            Action::DropMine => self.drop_mine(cx),
            Action::ToggleUnchanged => {
                self.session.shows_unchanged = !self.session.shows_unchanged;
                self.rebuild();
                Outcome::used()
            }
            Action::NextUndecided => self.next_undecided(true),
            Action::PreviousUndecided => self.next_undecided(false),
            Action::NextTab => self.step(true),
            Action::PreviousTab => self.step(false),
            Action::Back | Action::Collapse => Outcome::used().request(Request::Close),
            Action::OpenTarget => match self.selected() {
                Some(conflict) => {
                    Outcome::used().request(Request::Close).request(Request::OpenRecord(conflict.record.clone()))
                }
                None => Outcome::used(),
            },
            Action::Open | Action::Expand => Outcome::used(),
            _ => Outcome::ignored(),
        }
    }

    fn takes_text(&self) -> bool {
        self.session.typing && self.selected().is_some()
    }

    fn input(&mut self, key: &keybinds::KeyInput, _cx: &Cx<'_>) -> Outcome {
        let Some(pointer) = self.field().map(|field| field.pointer.clone()) else { return Outcome::ignored() };
        let input = self.work_mut().and_then(|work| work.typed.get_mut(&pointer));
        if input.is_some_and(|input| input.handle(key)) { Outcome::used() } else { Outcome::ignored() }
    }

    fn paste(&mut self, text: &str, _cx: &Cx<'_>) -> Outcome {
        let Some(pointer) = self.field().map(|field| field.pointer.clone()) else { return Outcome::used() };
        if let Some(input) = self.work_mut().and_then(|work| work.typed.get_mut(&pointer)) {
            input.paste(text);
        }
        Outcome::used()
    }

    fn mouse(&mut self, _column: u16, row: u16, kind: MouseKind, cx: &Cx<'_>) -> Outcome {
        match kind {
            MouseKind::ScrollDown => self.handle(&Action::MoveDown, cx),
            MouseKind::ScrollUp => self.handle(&Action::MoveUp, cx),
            MouseKind::Press => {
                let (top, heading) = self.window(cx.room);
                let index = (usize::from(row) + top).checked_sub(heading);
                let pointer = index.and_then(|index| self.fields.get(index)).map(|field| field.pointer.clone());
                if let Some(pointer) = pointer {
                    self.move_to(pointer);
                }
                Outcome::used()
            }
            _ => Outcome::ignored(),
        }
    }

    fn commands(&self) -> Vec<Action> {
        if self.session.typing {
            return vec![Action::Open, Action::Back];
        }
        if self.selected().is_none() {
            return vec![Action::Back];
        }
        let choices: &[Action] = match self.whole() {
            // One thing to choose, which nobody types on one line.
            Some(_) => &[Action::TakeMine, Action::TakeTheirs, Action::EditExternally],
            None => &[
                Action::MoveDown,
                Action::NextUndecided,
                Action::TakeMine,
                Action::TakeTheirs,
                Action::TakeBase,
                Action::TypeValue,
            ],
        };
        let next = (self.open().count() > 1).then_some(Action::NextTab);
        let rest = [
            Action::DropMine,
            Action::Back,
            Action::EditExternally,
            Action::TakeAllMine,
            Action::TakeAllTheirs,
            Action::RedoMerge,
            Action::ToggleUnchanged,
            Action::MakeRule,
            Action::PreviousUndecided,
            Action::NextTab,
            Action::PreviousTab,
            Action::OpenTarget,
        ];
        let end = [Action::Undo, Action::QueueResult];
        let mut commands: Vec<Action> = choices.iter().copied().chain(end).chain(next).collect();
        commands.extend(rest.into_iter().filter(|action| !choices.contains(action) && next != Some(*action)));
        commands
    }
}

impl Conflicts {
    /// Rows kept below the table for what can be done with it.
    const FOOT: usize = 2;

    /// (first row drawn, rows above the first one) of the table in its room.
    pub fn window(&self, room: (u16, u16)) -> (usize, usize) {
        let heading = usize::from(room.0 >= 80);
        (list::view(0, self.field_index(), self.table_height(room), self.fields.len()), heading)
    }

    /// Rows of the table in its room.
    pub fn table_height(&self, room: (u16, u16)) -> usize {
        let heading = usize::from(room.0 >= 80);
        usize::from(room.1).saturating_sub(heading + Self::FOOT).max(1)
    }
}

#[cfg(test)]
mod tests;
