//! Choosing: at a place, everywhere, by typing a value, in `$EDITOR`; and taking choices back.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Conflicts, Taught, name, result, work::Work};
use crate::{
    app::{
        effect::{Effect, Subject},
        event::NoText,
        pane::Outcome,
        text::TextInput,
    },
    merge::{Field, How, Pick, foresee, lessons, same_document},
    model::{
        activity::Severity,
        conflict::Conflict,
        json::{self, Limits, Pointer},
    },
};

/// Conflicts a rule is tried on while it is only shown.
pub(super) const TRIED: usize = 500;

impl Conflicts {
    pub(super) fn choose(&mut self, pick: &Pick) -> Outcome {
        let Some(field) = self.field().cloned() else { return Outcome::used() };
        if field.how == How::Unchanged {
            return Outcome::used()
                .notice(Severity::Info, "conflicts", format!("{} is the same on all sides", name(&field)))
                .hint("`E` edits the whole result");
        }
        if let Some(work) = self.work_mut() {
            work.typed.remove(&field.pointer);
            work.choose([(&field, pick.clone())]);
        }
        self.redraw();
        Outcome::used()
    }

    /// Everywhere a decision is needed; where it was made so already, everywhere.
    pub(super) fn choose_all(&mut self, pick: &Pick) -> Outcome {
        let Some(merged) = self.merged.clone() else { return Outcome::used() };
        let picks = self.picks();
        let needed: Vec<&Field> = merged.undecided().collect();
        let done = needed.iter().all(|field| picks.get(&field.pointer) == Some(pick));
        let fields: Vec<&Field> = if done { merged.fields.iter().collect() } else { needed };
        if let Some(work) = self.work_mut() {
            work.choose(fields.iter().map(|field| (*field, pick.clone())));
        }
        self.redraw();
        let side = if *pick == Pick::Mine { "mine" } else { "theirs" };
        let outcome = Outcome::used();
        match (done, merged.fields.len() > fields.len()) {
            (true, _) => outcome.notice(Severity::Info, "conflicts", format!("{side} in every field that differs")),
            (false, true) => outcome
                .notice(Severity::Info, "conflicts", format!("{side} where a decision was needed"))
                .hint(format!("again: {side} also where the two merged by themselves")),
            (false, false) => outcome,
        }
    }

    pub(super) fn redo_merge(&mut self) -> Outcome {
        let had = self.work_mut().is_some_and(Work::clear);
        self.redraw();
        let text = if had { "The choices are put aside; `u` brings them back" } else { "Nothing was chosen yet" };
        Outcome::used().notice(Severity::Info, "conflicts", text)
    }

    pub(super) fn undo(&mut self) -> Outcome {
        if self.work().is_none() || !self.work_mut().is_some_and(Work::undo) {
            // What was answered here is taken back; but never, for want of a choice, the change that is asked about.
            let given = self.given > 0 || self.selected().is_none();
            self.given = self.given.saturating_sub(1);
            return match given {
                true => Outcome::ignored(),
                false => Outcome::used()
                    .notice(Severity::Info, "conflicts", "There is no choice here to take back")
                    .hint("`D` drops your change"),
            };
        }
        self.redraw();
        Outcome::used()
    }

    // Typing a value.

    pub(super) fn begin_typing(&mut self) -> Outcome {
        let Some(field) = self.field().cloned() else { return Outcome::used() };
        if field.how == How::Unchanged {
            return self.choose(&Pick::Mine);
        }
        let proposal = self.proposal(&field);
        if let Some(work) = self.work_mut() {
            work.typed.entry(field.pointer).or_insert_with(|| {
                let mut input = TextInput::new(&proposal);
                input.select_all();
                input
            });
        }
        self.session.typing = true;
        Outcome::used()
    }

    /// What stands in the input before something is typed.
    fn proposal(&self, field: &Field) -> String {
        let now = self.result(field).flatten().or_else(|| field.mine.clone()).or_else(|| field.theirs.clone());
        now.map(|value| value.to_string()).unwrap_or_default()
    }

    /// What was typed stays half typed, where something was.
    pub(super) fn leave_typing(&mut self) {
        self.session.typing = false;
        let Some(field) = self.field().cloned() else { return };
        let proposal = self.proposal(&field);
        if let Some(work) = self.work_mut()
            && work.typed.get(&field.pointer).is_some_and(|typed| typed.text() == proposal)
        {
            work.typed.remove(&field.pointer);
        }
    }

    /// True where what is typed is a text as it stands, without quotes.
    pub fn is_plain_text(&self) -> bool {
        let text = self.typed().map_or("", TextInput::text).trim();
        let is_bare = !text.is_empty() && text != "null" && !text.starts_with('"');
        is_bare && self.field().is_some_and(holds_texts)
    }

    /// What the typed text is: a value, or why it is none yet. `null` leaves the field out. In a field of texts quotes
    /// may be left out, as where a field is edited.
    pub fn typed_value(&self) -> Option<Result<Value, String>> {
        let text = self.typed()?.text();
        if self.is_plain_text() {
            return Some(Ok(Value::String(text.to_owned())));
        }
        Some(json::parse(text, Limits::default()).map_err(|invalid| match invalid.column {
            0 | 1 => invalid.reason,
            column => format!("column {column}: {}", invalid.reason),
        }))
    }

    pub(super) fn take_typed(&mut self) -> Outcome {
        let pick = match self.typed_value() {
            Some(Ok(Value::Null)) => Pick::Absent,
            Some(Ok(value)) => Pick::Value(value),
            Some(Err(reason)) => {
                return Outcome::used()
                    .notice(Severity::Warning, "conflicts", format!("Not a JSON value yet: {reason}"))
                    .hint("texts stand in double quotes; `null` leaves the field out");
            }
            None => return Outcome::used(),
        };
        self.session.typing = false;
        self.choose(&pick)
    }

    // The whole result in `$EDITOR`.

    pub(super) fn open_editor(&mut self) -> Outcome {
        let (Some(conflict), Some(merged)) = (self.selected(), &self.merged) else { return Outcome::used() };
        let heading = format!("{} in conflict c{}: what it will be", conflict.record, conflict.id);
        let text = match self.work().and_then(|work| work.text.clone()) {
            Some(text) => text,
            None => result::to_text(merged, &self.picks(), &heading),
        };
        let subject = Subject::Merge(conflict.id);
        Outcome::used().effect(Effect::OpenEditor { subject, text, suffix: ".json" })
    }

    /// Keeps what `$EDITOR` left of a conflict that is not on the screen: `E` goes on with it.
    pub fn keep_text(&mut self, conflict: i64, text: String) {
        self.session.work.entry(conflict).or_default().text = Some(text);
    }

    /// What `$EDITOR` left: choices where it says the same in fewer words, else the document as a whole.
    pub fn returned(&mut self, text: Result<String, NoText>) -> Outcome {
        let text = match text {
            Ok(text) => text,
            Err(nothing) => {
                let text = format!("Your editor: {}", nothing.reason);
                return Outcome::used().notice(Severity::Warning, "conflicts", text).hint(nothing.hint());
            }
        };
        let (Some(merged), Some(conflict)) = (self.merged.clone(), self.selected()) else { return Outcome::used() };
        let theirs = conflict.theirs.clone();
        let document = match result::from_text(&text) {
            Ok(document) => document,
            Err(reason) => {
                if let Some(work) = self.work_mut() {
                    work.text = Some(text);
                }
                return Outcome::used()
                    .notice(Severity::Warning, "conflicts", format!("The text is not taken yet: {reason}"))
                    .hint("`E` goes on with it");
            }
        };
        let picks: Vec<(&Field, Pick)> = merged.fields.iter().map(|field| (field, pick_of(field, &document))).collect();
        let as_picks = picks.iter().map(|(field, pick)| (field.pointer.clone(), pick.clone())).collect();
        let says_all = merged.document(&as_picks).is_ok_and(|made| same_document(made.as_ref(), Some(&document)));
        let needed = |(field, pick): &(&Field, Pick)| match &field.result {
            Some(result) => !same_document(result.as_ref(), pick.of(field).as_ref()),
            None => true,
        };
        if let Some(work) = self.work_mut() {
            work.text = None;
            match says_all {
                true => work.choose(picks.into_iter().filter(needed)),
                false => work.choose_whole(document, theirs.as_ref()),
            }
        }
        self.redraw();
        Outcome::used().notice(Severity::Info, "conflicts", "Taken from your editor; `w` queues it, `u` takes it back")
    }

    // Teaching.

    /// The rule implied by the choice at the cursor, tried on the open conflicts of the collection.
    pub(super) fn teach(&self, picks: &BTreeMap<Pointer, Pick>) -> Option<Taught> {
        let (pointer, key) = (&self.field()?.pointer, &self.selected()?.record.collection);
        let pick = BTreeMap::from([(pointer.clone(), picks.get(pointer)?.clone())]);
        let lesson = lessons(self.merged.as_ref()?, &pick).into_iter().next()?;
        let rules = self.rules.get(key)?;
        let open = self.open().filter(|conflict| conflict.record.collection == *key).take(TRIED);
        let open: Vec<Conflict> = open.cloned().collect();
        let decides = foresee(&lesson, rules, &open).len();
        Some(Taught { lesson, decides, of: open.len() })
    }
}

/// Whatever side has something here has a text.
fn holds_texts(field: &Field) -> bool {
    let mut sides = [&field.base, &field.mine, &field.theirs].into_iter().flatten().peekable();
    sides.peek().is_some() && sides.all(Value::is_string)
}

/// The choice that makes a field what it is in `document`.
fn pick_of(field: &Field, document: &Value) -> Pick {
    let value = field.pointer.get(document);
    let is = |side: &Option<Value>| same_document(side.as_ref(), value);
    match () {
        () if is(&field.mine) => Pick::Mine,
        () if is(&field.theirs) => Pick::Theirs,
        () if is(&field.base) => Pick::Base,
        () => value.cloned().map_or(Pick::Absent, Pick::Value),
    }
}
