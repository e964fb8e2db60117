//! The one walk over base, mine and theirs that every merge is made of.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    iter::Peekable,
};

use serde_json::{Map, Value, map::Iter};

use crate::{
    merge::{
        fields::{Field, How, Node},
        numbers, same_document, sequence,
    },
    model::{
        conflict::ConflictPolicy,
        json::{self, Pointer},
        rules::{ConflictRules, FieldRule, Pattern},
    },
};

/// The merged document with its fields left open, and the fields in document order: theirs, then what I added.
pub(super) fn walk(
    base: Option<&Value>,
    mine: Option<&Value>,
    theirs: Option<&Value>,
    rules: &ConflictRules,
) -> (Node, Vec<Field>) {
    let mut walk = Walk { rules, fields: Vec::new() };
    let tree = walk.place(Pointer::root, base, mine, theirs);
    (tree, walk.fields)
}

struct Walk<'r> {
    rules: &'r ConflictRules,
    fields: Vec<Field>,
}

impl Walk<'_> {
    /// `at` is asked for its pointer only where something differs.
    fn place(
        &mut self,
        at: impl FnOnce() -> Pointer,
        base: Option<&Value>,
        mine: Option<&Value>,
        theirs: Option<&Value>,
    ) -> Node {
        let same = same_document(mine, theirs);
        if same && same_document(base, theirs) {
            return Node::of(theirs);
        }
        let at = at();
        match (base, mine, theirs) {
            (Some(Value::Object(base)), Some(Value::Object(mine)), Some(Value::Object(theirs))) => {
                return self.members(&at, base, mine, theirs);
            }
            // In a tree database an empty object and no object are the same thing.
            (None, Some(Value::Object(mine)), Some(Value::Object(theirs))) if !at.is_root() => {
                return self.members(&at, &Map::new(), mine, theirs);
            }
            _ => {}
        }
        let both_changed = !same && !same_document(base, mine) && !same_document(base, theirs);
        if both_changed && let Some(items) = self.keyed(&at, base, mine, theirs) {
            return items;
        }
        let (how, result) = match self.rules.rule(&at) {
            Some(FieldRule::ServerOwned) => (How::Rule(FieldRule::ServerOwned), Some(theirs.cloned())),
            rule if same => same_on_both(rule, base, theirs),
            _ if same_document(base, theirs) => (How::OnlyMine, Some(mine.cloned())),
            _ if same_document(base, mine) => (How::OnlyTheirs, Some(theirs.cloned())),
            _ if at.is_root() && !(base.is_some() && mine.is_some() && theirs.is_some()) => (How::Undecided, None),
            rule => self.settle(rule, base, mine, theirs),
        };
        self.fields.push(Field {
            pointer: at,
            base: base.cloned(),
            mine: mine.cloned(),
            theirs: theirs.cloned(),
            how,
            result,
        });
        Node::Field(self.fields.len() - 1)
    }

    /// Their order, with what I added (or kept) behind it.
    fn members(
        &mut self,
        at: &Pointer,
        base: &Map<String, Value>,
        mine: &Map<String, Value>,
        theirs: &Map<String, Value>,
    ) -> Node {
        let gone_there = mine.keys().filter(|name| !theirs.contains_key(*name));
        let gone = base.keys().filter(|name| !theirs.contains_key(*name) && !mine.contains_key(*name));
        let mut members = Vec::with_capacity(theirs.len());
        let (mut in_base, mut in_mine) = (Beside::new(base), Beside::new(mine));
        for (name, value) in theirs {
            let node = self.place(|| at.child(name), in_base.get(name), in_mine.get(name), Some(value));
            members.push((name.clone(), node));
        }
        for name in gone_there.chain(gone) {
            let node = self.place(|| at.child(name), base.get(name), mine.get(name), None);
            members.push((name.clone(), node));
        }
        Node::Members(members)
    }

    /// Both sides changed the place, differently.
    fn settle(
        &self,
        rule: Option<FieldRule>,
        base: Option<&Value>,
        mine: Option<&Value>,
        theirs: Option<&Value>,
    ) -> (How, Option<Option<Value>>) {
        let (how, result) = match rule {
            Some(rule) => (How::Rule(rule), apply(rule, base, mine, theirs)),
            None => (How::Merged, self.merge_inside(base, mine, theirs).map(Some)),
        };
        match result {
            Some(result) => (how, Some(result)),
            None => (How::Undecided, None),
        }
    }

    fn merge_inside(&self, base: Option<&Value>, mine: Option<&Value>, theirs: Option<&Value>) -> Option<Value> {
        match (base?, mine?, theirs?) {
            (Value::Array(base), Value::Array(mine), Value::Array(theirs)) => {
                sequence::merge_arrays(base, mine, theirs).map(Value::Array)
            }
            (Value::String(base), Value::String(mine), Value::String(theirs))
                if self.rules.policy == ConflictPolicy::Merge && base.trim_end().contains('\n') =>
            {
                sequence::merge_lines(base, mine, theirs).map(Value::String)
            }
            _ => None,
        }
    }

    /// Arrays whose elements are known by a member. `None` where no key is configured, where it does not tell the
    /// elements apart, or where both sides changed the order, differently.
    fn keyed(
        &mut self,
        at: &Pointer,
        base: Option<&Value>,
        mine: Option<&Value>,
        theirs: Option<&Value>,
    ) -> Option<Node> {
        let key = self.rules.key(at)?;
        let base = base.map_or(Some([].as_slice()), |base| base.as_array().map(Vec::as_slice))?;
        let base = Elements::of(base, key)?;
        let mine = Elements::of(mine?.as_array()?, key)?;
        let theirs = Elements::of(theirs?.as_array()?, key)?;
        let common = |side: &Elements<'_>| -> Vec<String> {
            let in_all = |name: &&String| base.has(name) && mine.has(name) && theirs.has(name);
            side.names.iter().filter(in_all).cloned().collect()
        };
        let (was, here, there) = (common(&base), common(&mine), common(&theirs));
        let (first, second) = match () {
            () if here == was || here == there => (&theirs, &mine),
            () if there == was => (&mine, &theirs),
            () => return None,
        };
        let added = second.names.iter().filter(|name| !first.has(name));
        let order = first.names.iter().chain(added);
        // What no one has any more leaves no place behind it: what is left stands where it stood.
        let (stays, goes): (Vec<&String>, Vec<&String>) = order.partition(|name| {
            let (base, mine, theirs) = (base.get(name), mine.get(name), theirs.get(name));
            !(mine.is_none() && same_document(base, theirs) || theirs.is_none() && same_document(base, mine))
        });
        let gone = base.names.iter().filter(|name| !first.has(name) && !second.has(name));
        let mut items = Vec::new();
        for (index, name) in stays.into_iter().chain(goes).chain(gone).enumerate() {
            let index = index.to_string();
            items.push(self.place(|| at.child(&index), base.get(name), mine.get(name), theirs.get(name)));
        }
        Some(Node::Items(items))
    }
}

/// The members of an object for somebody who goes through another version of it, whose members mostly come in the same
/// order: the next one needs no look-up.
struct Beside<'v> {
    members: &'v Map<String, Value>,
    next: Peekable<Iter<'v>>,
}

impl<'v> Beside<'v> {
    fn new(members: &'v Map<String, Value>) -> Self {
        Self { members, next: members.iter().peekable() }
    }

    fn get(&mut self, name: &str) -> Option<&'v Value> {
        if let Some((_, value)) = self.next.next_if(|(next, _)| *next == name) {
            return Some(value);
        }
        let value = self.members.get(name)?;
        // It stands elsewhere, mostly behind members that the other version lacks: go on from there.
        let mut ahead = self.next.clone();
        if ahead.by_ref().take(8).any(|(next, _)| next == name) {
            self.next = ahead;
        }
        Some(value)
    }
}

/// The elements of an array by the canonical text of their key.
struct Elements<'v> {
    names: Vec<String>,
    by_name: HashMap<String, &'v Value>,
}

impl<'v> Elements<'v> {
    fn of(items: &'v [Value], key: &str) -> Option<Self> {
        let mut elements = Elements { names: Vec::with_capacity(items.len()), by_name: HashMap::new() };
        for item in items {
            let identity = item.as_object()?.get(key)?;
            if identity.is_object() || identity.is_array() || identity.is_null() {
                return None;
            }
            let name = json::canonical(identity).into_owned();
            elements.names.push(name.clone());
            if elements.by_name.insert(name, item).is_some() {
                return None;
            }
        }
        Some(elements)
    }

    fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    fn get(&self, name: &str) -> Option<&'v Value> {
        self.by_name.get(name).copied()
    }
}

/// Two equal results are one, but for a counter: two people who each took one took two.
fn same_on_both(rule: Option<FieldRule>, base: Option<&Value>, both: Option<&Value>) -> (How, Option<Option<Value>>) {
    if rule == Some(FieldRule::Add)
        && let Some(sum) = numbers::add(base, both, both)
    {
        return (How::Rule(FieldRule::Add), Some(Some(sum)));
    }
    (How::Same, Some(both.cloned()))
}

/// What a rule makes of a place; `None` where it does not fit the values.
pub(super) fn apply(
    rule: FieldRule,
    base: Option<&Value>,
    mine: Option<&Value>,
    theirs: Option<&Value>,
) -> Option<Option<Value>> {
    match rule {
        FieldRule::Manual => None,
        FieldRule::Mine => Some(mine.cloned()),
        FieldRule::Theirs | FieldRule::ServerOwned => Some(theirs.cloned()),
        FieldRule::Max => numbers::greater(mine?, theirs?).map(|value| Some(value.clone())),
        FieldRule::Min => numbers::smaller(mine?, theirs?).map(|value| Some(value.clone())),
        FieldRule::Add => numbers::add(base, mine, theirs).map(Some),
        FieldRule::Union => union(base, mine?, theirs?).map(Some),
        FieldRule::Text => {
            let base = base.map_or(Some(""), Value::as_str)?;
            sequence::merge_lines(base, mine?.as_str()?, theirs?.as_str()?).map(|text| Some(Value::String(text)))
        }
    }
}

/// The place of a rule learned at `pointer`: positions in arrays stand for any element.
pub(super) fn place_rule(pointer: &Pointer) -> Pattern {
    let is_position = |token: &str| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit());
    let place = pointer.tokens().iter().fold(Pointer::root(), |at, token| match is_position(token) {
        true => at.child("*"),
        false => at.child(token),
    });
    Pattern::of(&place)
}

/// Theirs without what I removed, then what I added. Arrays with holes are maps by position and have no union.
fn union(base: Option<&Value>, mine: &Value, theirs: &Value) -> Option<Value> {
    let nothing = Vec::new();
    let base = base.map_or(Some(&nothing), Value::as_array)?;
    let (mine, theirs) = (mine.as_array()?, theirs.as_array()?);
    if [base, mine, theirs].into_iter().flatten().any(Value::is_null) {
        return None;
    }
    fn set(items: &[Value]) -> HashSet<Cow<'_, str>> {
        items.iter().map(json::canonical).collect()
    }
    let (in_base, in_mine, in_theirs) = (set(base), set(mine), set(theirs));
    let kept = theirs.iter().filter(|item| {
        let name = json::canonical(item);
        in_mine.contains(&name) || !in_base.contains(&name)
    });
    let mut added_names = in_theirs.clone();
    let added = mine.iter().filter(|item| {
        let name = json::canonical(item);
        !in_base.contains(&name) && added_names.insert(name)
    });
    Some(Value::Array(kept.chain(added).cloned().collect()))
}
