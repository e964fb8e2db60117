//! Choices made in one conflict and not queued yet: they can be taken back step by step, and survive a kill like typed
//! text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    app::text::TextInput,
    merge::{Field, Pick},
    model::json::{Fingerprint, Pointer},
};

/// Steps that can be taken back.
const STEPS: usize = 50;

type Choices = BTreeMap<Pointer, Choice>;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Work {
    choices: Choices,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    before: Vec<Choices>,
    /// Values half typed, by place.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub typed: BTreeMap<Pointer, TextInput>,
    /// What `$EDITOR` left that is no JSON yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Choice {
    pick: Pick,
    /// The fingerprint of what the server had at the place when it was chosen; `None`: nothing.
    theirs: Option<String>,
}

impl Work {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub fn picks(&self) -> BTreeMap<Pointer, Pick> {
        self.choices.iter().map(|(pointer, choice)| (pointer.clone(), choice.pick.clone())).collect()
    }

    pub fn pick(&self, pointer: &Pointer) -> Option<&Pick> {
        self.choices.get(pointer).map(|choice| &choice.pick)
    }

    /// Chooses at several places as one step.
    pub fn choose<'f>(&mut self, picks: impl IntoIterator<Item = (&'f Field, Pick)>) {
        let before = self.choices.clone();
        for (field, pick) in picks {
            if !field.pointer.is_root() {
                // A whole document from `$EDITOR` would hide what is chosen in it.
                self.choices.remove(&Pointer::root());
            }
            self.choices.insert(field.pointer.clone(), Choice { pick, theirs: print(field.theirs.as_ref()) });
        }
        self.remember(before);
    }

    /// Takes `document` for the whole record.
    pub fn choose_whole(&mut self, document: Value, theirs: Option<&Value>) {
        let choice = Choice { pick: Pick::Value(document), theirs: print(theirs) };
        let before = std::mem::replace(&mut self.choices, BTreeMap::from([(Pointer::root(), choice)]));
        self.remember(before);
    }

    /// True where a document as a whole was chosen.
    pub fn has_whole(&self) -> bool {
        matches!(self.pick(&Pointer::root()), Some(Pick::Value(_)))
    }

    /// Forgets every choice, as one step; false where there was none.
    pub fn clear(&mut self) -> bool {
        let before = std::mem::take(&mut self.choices);
        let had = !before.is_empty() | self.text.take().is_some();
        self.remember(before);
        had
    }

    fn remember(&mut self, before: Choices) {
        if before != self.choices {
            self.before.push(before);
            let extra = self.before.len().saturating_sub(STEPS);
            self.before.drain(..extra);
        }
    }

    /// False where there is no step to take back.
    pub fn undo(&mut self) -> bool {
        match self.before.pop() {
            Some(before) => {
                self.choices = before;
                true
            }
            None => false,
        }
    }

    /// Drops what was chosen where the server's side is another one by now, and answers the places. What is still true
    /// stays, but no step leads back behind the change.
    pub fn drop_outdated(&mut self, fields: &[Field], theirs: Option<&Value>) -> Vec<Pointer> {
        let now = |pointer: &Pointer| match fields.iter().find(|field| field.pointer == *pointer) {
            Some(field) => Some(print(field.theirs.as_ref())),
            None if pointer.is_root() => Some(print(theirs)),
            None => None,
        };
        let outdated = |pointer: &Pointer, choice: &Choice| now(pointer).as_ref() != Some(&choice.theirs);
        let gone: Vec<Pointer> = self
            .choices
            .iter()
            .filter(|(pointer, choice)| outdated(pointer, choice))
            .map(|(pointer, _)| pointer.clone())
            .collect();
        self.choices.retain(|pointer, _| !gone.contains(pointer));
        if self.before.iter().flatten().any(|(pointer, choice)| outdated(pointer, choice)) {
            self.before.clear();
        }
        gone
    }
}

fn print(value: Option<&Value>) -> Option<String> {
    value.map(|value| Fingerprint::of(value).to_hex())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::merge::{How, merge_fields};

    fn fields(theirs: Value) -> Vec<Field> {
        let (base, mine) = (json!({"a": 1, "b": 1}), json!({"a": 2, "b": 2}));
        merge_fields(Some(&base), Some(&mine), Some(&theirs), &Default::default()).fields
    }

    #[test]
    fn steps_are_taken_back_one_by_one_and_all_at_once_is_one_step() {
        let fields = fields(json!({"a": 3, "b": 3}));
        assert!(fields.iter().all(|field| field.how == How::Undecided));
        let mut work = Work::default();
        work.choose([(&fields[0], Pick::Mine)]);
        work.choose(fields.iter().map(|field| (field, Pick::Theirs)));
        work.choose(fields.iter().map(|field| (field, Pick::Theirs)));
        assert!(work.undo());
        assert_eq!(work.picks(), BTreeMap::from([(fields[0].pointer.clone(), Pick::Mine)]));
        assert!(work.undo());
        assert!(work.picks().is_empty());
        assert!(!work.undo(), "choosing the same again is no step");
    }

    #[test]
    fn only_choices_whose_other_side_changed_are_dropped() {
        let before = fields(json!({"a": 3, "b": 3}));
        let mut work = Work::default();
        work.choose([(&before[0], Pick::Mine)]);
        work.choose([(&before[1], Pick::Value(json!(7)))]);
        let text = serde_json::to_string(&work).unwrap();
        let mut work: Work = serde_json::from_str(&text).unwrap();
        assert!(work.drop_outdated(&before, Some(&json!({"a": 3, "b": 3}))).is_empty());
        assert_eq!(work.before.len(), 2);
        let after = fields(json!({"a": 4, "b": 3}));
        assert_eq!(work.drop_outdated(&after, Some(&json!({"a": 4, "b": 3}))), [Pointer::parse("/a")]);
        assert_eq!(work.pick(&Pointer::parse("/b")), Some(&Pick::Value(json!(7))));
        assert!(!work.undo(), "no way back to a choice against what is not there any more");
    }

    #[test]
    fn a_choice_at_a_place_replaces_a_whole_document() {
        let fields = fields(json!({"a": 3, "b": 3}));
        let mut work = Work::default();
        work.choose_whole(json!({"new": true}), None);
        assert!(work.has_whole());
        work.choose([(&fields[0], Pick::Mine)]);
        assert!(!work.has_whole());
        assert!(work.undo());
        assert!(work.has_whole());
    }
}
