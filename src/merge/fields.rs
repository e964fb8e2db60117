//! A merge told place by place: what fitted together, by which rule, and what needs a person.
//!
//! ```text
//! same on both sides            -> that                         (`add` counts both)
//! one side still has base       -> the other side               (`server-owned`: theirs)
//! objects, arrays with a key    -> each member by these same rules
//! a rule for the place          -> what the rule says
//! arrays                        -> merged where their changes lie apart
//! several lines, policy `merge` -> merged where their changes lie apart
//! anything else                 -> undecided
//! ```
//!
//! A record deleted on one side and edited on the other, and two records created under one id, are one undecided place
//! at the root: no field rule speaks of whole records.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    merge::{same_document, walk},
    model::{
        conflict::{Conflict, Side},
        json::Pointer,
        rules::{ConflictRules, FieldRule},
    },
};

/// How a place came to its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// All three are equal; such a place makes no [`Field`].
    Unchanged,
    OnlyMine,
    OnlyTheirs,
    /// Both sides made it the same.
    Same,
    Rule(FieldRule),
    /// An array or a text in which both sides changed different parts.
    Merged,
    Undecided,
}

/// A place at which base, mine and theirs are not all equal.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// In an array with a key: the position in the result, not in any of the three documents.
    pub pointer: Pointer,
    pub base: Option<Value>,
    pub mine: Option<Value>,
    pub theirs: Option<Value>,
    pub how: How,
    /// `None`: undecided; `Some(None)`: absent.
    pub result: Option<Option<Value>>,
}

/// A person's choice for one place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pick {
    Mine,
    Theirs,
    Base,
    Value(Value),
    Absent,
}

impl Pick {
    /// What the choice makes of a field.
    pub fn of(&self, field: &Field) -> Option<Value> {
        match self {
            Self::Mine => field.mine.clone(),
            Self::Theirs => field.theirs.clone(),
            Self::Base => field.base.clone(),
            Self::Value(value) => Some(value.clone()),
            Self::Absent => None,
        }
    }
}

/// The outcome of [`merge_fields`].
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// Every place where the three are not all equal: undecided ones first, then in document order.
    pub fields: Vec<Field>,
    tree: Node,
}

/// The merged document with its fields left open.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Absent,
    Fixed(Value),
    /// A position in [`Merged::fields`].
    Field(usize),
    Members(Vec<(String, Node)>),
    Items(Vec<Node>),
}

/// base × mine × theirs under rules. `None` is a record that does not exist. A delete against an edit, or two creates,
/// is one field at the root. The policy counts only as far as `merge` merges texts of several lines by itself; what
/// stays undecided is for the caller to settle.
pub fn merge_fields(
    base: Option<&Value>,
    mine: Option<&Value>,
    theirs: Option<&Value>,
    rules: &ConflictRules,
) -> Merged {
    let (mut tree, fields) = walk::walk(base, mine, theirs, rules);
    let (undecided, settled): (Vec<_>, Vec<_>) =
        fields.into_iter().enumerate().partition(|(_, field)| field.result.is_none());
    let mut position = vec![0; undecided.len() + settled.len()];
    let mut fields = Vec::with_capacity(position.len());
    for (old, field) in undecided.into_iter().chain(settled) {
        position[old] = fields.len();
        fields.push(field);
    }
    tree.renumber(&position);
    Merged { fields, tree }
}

/// The merge of a conflict as it stands. Where the write may have been applied already, `add` counts nothing twice.
pub fn merge_conflict(conflict: &Conflict, rules: &ConflictRules) -> Merged {
    let doubted;
    let rules = match conflict.was_in_doubt {
        true => {
            doubted = rules.for_doubted();
            &doubted
        }
        false => rules,
    };
    merge_fields(conflict.base.as_ref(), conflict.mine.as_ref(), conflict.theirs.as_ref(), rules)
}

impl Merged {
    /// The places that need a person.
    pub fn undecided(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.result.is_none())
    }

    /// How this very place came to its value.
    pub fn how(&self, pointer: &Pointer) -> How {
        self.fields.iter().find(|field| field.pointer == *pointer).map_or(How::Unchanged, |field| field.how)
    }

    /// The document with the picks put in; `Err` has the places still undecided. A pick may also override a field that
    /// merged by itself, and a pick of a place above several fields is for all of them. A pick that names no field
    /// changes nothing (see [`Self::strangers`]).
    pub fn document(&self, picks: &BTreeMap<Pointer, Pick>) -> Result<Option<Value>, Vec<Pointer>> {
        let open = |field: &&Field| picked(field, picks).is_none();
        let open: Vec<Pointer> = self.undecided().filter(open).map(|field| field.pointer.clone()).collect();
        match open.is_empty() {
            true => Ok(self.preview(picks)),
            false => Err(open),
        }
    }

    /// The same, with theirs at the places still undecided.
    pub fn preview(&self, picks: &BTreeMap<Pointer, Pick>) -> Option<Value> {
        self.build(&self.tree, &Pointer::root(), picks)
    }

    /// The sides that changed something which is not in the document. Where the values of both were put together (an
    /// array, a text, a sum), neither lost.
    pub fn losers(&self, picks: &BTreeMap<Pointer, Pick>) -> Vec<Side> {
        let lost = |side: Side| {
            self.fields.iter().any(|field| {
                let together =
                    matches!(field.how, How::Merged | How::Rule(FieldRule::Add | FieldRule::Union | FieldRule::Text));
                if together && picked(field, picks).is_none() {
                    return false;
                }
                let own = match side {
                    Side::Mine => field.mine.as_ref(),
                    Side::Theirs => field.theirs.as_ref(),
                };
                !same_document(own, field.base.as_ref()) && !same_document(own, self.value(field, picks).as_ref())
            })
        };
        [Side::Mine, Side::Theirs].into_iter().filter(|side| lost(*side)).collect()
    }

    /// The picks that name no field, and no place above one.
    pub fn strangers<'p>(&self, picks: &'p BTreeMap<Pointer, Pick>) -> Vec<&'p Pointer> {
        let known = |pointer: &&Pointer| !self.fields.iter().any(|field| pointer.contains(&field.pointer));
        picks.keys().filter(known).collect()
    }

    fn build(&self, node: &Node, at: &Pointer, picks: &BTreeMap<Pointer, Pick>) -> Option<Value> {
        match node {
            Node::Absent => None,
            Node::Fixed(value) => Some(value.clone()),
            Node::Field(index) => self.value(&self.fields[*index], picks),
            Node::Members(members) => {
                if let Some(whole) = whole(at, picks) {
                    return whole;
                }
                let place = |(name, node): &(String, Node)| {
                    let value = match node {
                        Node::Members(_) | Node::Items(_) => self.build(node, &at.child(name), picks),
                        _ => self.build(node, at, picks),
                    };
                    value.map(|value| (name.clone(), value))
                };
                Some(Value::Object(members.iter().filter_map(place).collect::<Map<_, _>>()))
            }
            Node::Items(items) => {
                if let Some(whole) = whole(at, picks) {
                    return whole;
                }
                let place = |(index, node): (usize, &Node)| self.build(node, &at.child(&index.to_string()), picks);
                Some(Value::Array(items.iter().enumerate().filter_map(place).collect()))
            }
        }
    }

    fn value(&self, field: &Field, picks: &BTreeMap<Pointer, Pick>) -> Option<Value> {
        match (picked(field, picks), &field.result) {
            (Some(pick), _) => pick.of(field),
            (None, Some(result)) => result.clone(),
            (None, None) => field.theirs.clone(),
        }
    }
}

/// The pick for a field: its own, or the one of the closest place above it.
pub(super) fn picked<'p>(field: &Field, picks: &'p BTreeMap<Pointer, Pick>) -> Option<&'p Pick> {
    if picks.is_empty() {
        return None;
    }
    let above = picks.iter().filter(|(pointer, _)| pointer.contains(&field.pointer));
    above.max_by_key(|(pointer, _)| pointer.tokens().len()).map(|(_, pick)| pick)
}

/// A value chosen for an object or array as a whole, whose fields would otherwise each be asked for.
fn whole(at: &Pointer, picks: &BTreeMap<Pointer, Pick>) -> Option<Option<Value>> {
    match picks.get(at)? {
        Pick::Value(value) => Some(Some(value.clone())),
        Pick::Absent => Some(None),
        Pick::Mine | Pick::Theirs | Pick::Base => None,
    }
}

impl Node {
    pub(super) fn of(value: Option<&Value>) -> Self {
        value.cloned().map_or(Self::Absent, Self::Fixed)
    }

    fn renumber(&mut self, position: &[usize]) {
        match self {
            Self::Absent | Self::Fixed(_) => {}
            Self::Field(index) => *index = position[*index],
            Self::Members(members) => members.iter_mut().for_each(|(_, node)| node.renumber(position)),
            Self::Items(items) => items.iter_mut().for_each(|node| node.renumber(position)),
        }
    }
}

#[cfg(test)]
mod tests;
