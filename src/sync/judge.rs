//! The judgement of a record that moved on the server while an edit of it waited: is the edit there already, does it
//! fit, does a rule or the policy of its collection settle it, or does it need a person.
//!
//! ```text
//! base, mine, theirs --merge under the field rules--> undecided places --policy--> none left: one new op on theirs
//!                                                                              `-> some left: conflict
//! ```
//!
//! **Invariant:** a version that loses is named in [`Decided::lost`], and goes to the vault in the transaction that
//! settles the op.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    merge::{self, How, Merged, Pick, Verdict},
    model::{
        conflict::{ConflictPolicy, Lost, Side},
        edit::{self, Change},
        ids::{OpId, RecordId, RecordKey, Revision},
        json::{self, Pointer},
        op::{NewOp, Op, OpKind},
        rtdb,
        rules::{ConflictRules, FieldRule},
        source::{CollectionSpec, SourceKind},
        time::{At, ServerClock},
    },
    sync::{effect::Decided, policy::normal},
};

/// How a collection settles what both sides changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settling {
    pub rules: ConflictRules,
    /// The field the server stamps.
    pub updated_at: Option<Pointer>,
}

impl Settling {
    pub fn of(spec: &CollectionSpec) -> Self {
        Self { rules: spec.conflicts.clone(), updated_at: spec.updated_at.clone() }
    }
}

/// What becomes of an op whose record moved on the server.
#[derive(Debug, Clone, PartialEq)]
pub enum Judgement {
    /// Nothing of ours is left to send.
    Applied,
    /// Both sides fit together: this op takes its place.
    Rebased(Box<NewOp>),
    /// A rule or the policy gave one side right over the other.
    Decided(Box<Decided>),
    /// Needs a person.
    Conflict,
}

/// The server holds `theirs` under `revision`, while `op` wants `mine` on its base.
pub struct Meeting<'a> {
    pub kind: SourceKind,
    pub settling: &'a Settling,
    pub at: &'a At,
    pub op: &'a Op,
    pub mine: Option<&'a Value>,
    pub theirs: Option<&'a Value>,
    pub revision: Option<&'a Revision>,
    /// An earlier request of the op may have been applied.
    pub doubted: bool,
    pub server_clock: Option<ServerClock>,
}

impl Meeting<'_> {
    pub fn judge(&self) -> Judgement {
        let (mine, theirs) = (normal(self.kind, self.mine), normal(self.kind, self.theirs));
        let base = match self.doubted {
            true => made_on(self.op).cloned(),
            false => seen_on(self.op),
        };
        let base = normal(self.kind, base.as_ref());
        let common = common(self.op, base.as_ref(), theirs.as_ref());
        let merged = if self.doubted {
            let ours = !self.was_there() && is_made_here(self.op);
            let base = if ours { mine.as_ref() } else { base.as_ref() };
            let common = if ours { mine.as_ref() } else { common };
            let paths = set_paths(self.op, base, mine.as_ref());
            match merge::judge_repeat(common, mine.as_ref(), theirs.as_ref(), &paths, &self.settling.rules) {
                Verdict::Applied => return Judgement::Applied,
                Verdict::Merged(merged) => merged,
            }
        } else {
            merge::merge_fields(common, mine.as_ref(), theirs.as_ref(), &self.settling.rules)
        };
        let Some(picks) = self.picks(&merged, theirs.as_ref()) else { return Judgement::Conflict };
        let Ok(document) = merged.document(&picks) else { return Judgement::Conflict };
        let document = normal(self.kind, document.as_ref());
        let lost = self.lost(&merged, &picks, mine.as_ref(), theirs.as_ref());
        let copies = !picks.is_empty() && self.settling.rules.policy == ConflictPolicy::KeepBoth;
        let copy = mine.as_ref().filter(|_| copies).map(|mine| Box::new(self.copy(mine)));
        let stays = merge::same_document(document.as_ref(), theirs.as_ref());
        let settled_by_itself = picks.is_empty() && lost.is_empty();
        if stays && settled_by_itself {
            return Judgement::Applied;
        }
        let op = (!stays).then(|| Box::new(self.rebased(document, theirs.clone())));
        match op {
            Some(op) if settled_by_itself => Judgement::Rebased(op),
            op => Judgement::Decided(Box::new(Decided {
                op,
                copy,
                theirs,
                theirs_revision: self.revision.cloned(),
                lost,
            })),
        }
    }

    /// The record was there before this edit: another can have made it anew as well.
    fn was_there(&self) -> bool {
        self.op.kind != OpKind::Create || self.op.base_revision.is_some()
    }

    /// What the policy says of the undecided places; `None`: a person is to be asked.
    fn picks(&self, merged: &Merged, theirs: Option<&Value>) -> Option<BTreeMap<Pointer, Pick>> {
        let mut undecided = merged.undecided().peekable();
        if undecided.peek().is_none() {
            return Some(BTreeMap::new());
        }
        let mut rules = self.settling.rules.clone();
        if self.doubted {
            rules = rules.for_doubted();
        }
        if merged.undecided().any(|field| rules.rule(&field.pointer) == Some(FieldRule::Manual)) {
            return None;
        }
        let pick = match rules.policy {
            ConflictPolicy::Manual | ConflictPolicy::Merge => return None,
            ConflictPolicy::LocalWins => Pick::Mine,
            ConflictPolicy::RemoteWins => Pick::Theirs,
            ConflictPolicy::LastWriteWins => match self.later(theirs)? {
                Side::Mine => Pick::Mine,
                Side::Theirs => Pick::Theirs,
            },
            // Theirs as it is, also where mine would have fitted: mine goes on whole, as a record of its own.
            ConflictPolicy::KeepBoth => return Some(BTreeMap::from([(Pointer::root(), Pick::Theirs)])),
        };
        Some(undecided.map(|field| (field.pointer.clone(), pick.clone())).collect())
    }

    /// Which side was written later; `None` where that cannot be said.
    fn later(&self, theirs: Option<&Value>) -> Option<Side> {
        let stamp = server_millis(self.settling.updated_at.as_ref()?.get(theirs?)?)?;
        let clock = self.server_clock?;
        // Typed while the clock was ahead: when that was, nobody knows.
        if self.op.created_at > self.at.wall {
            return None;
        }
        let mine = self.op.created_at.0.saturating_add(clock.offset_ms);
        match mine.saturating_sub(stamp) {
            ahead if ahead > clock.uncertainty_ms => Some(Side::Mine),
            ahead if ahead < -clock.uncertainty_ms => Some(Side::Theirs),
            _ => None,
        }
    }

    fn lost(
        &self,
        merged: &Merged,
        picks: &BTreeMap<Pointer, Pick>,
        mine: Option<&Value>,
        theirs: Option<&Value>,
    ) -> Vec<Lost> {
        let version = |side: Side| {
            let (document, revision) = match side {
                Side::Mine => (mine, self.op.base_revision.as_ref()),
                Side::Theirs => (theirs, self.revision),
            };
            Some(Lost { side, document: document?.clone(), revision: revision.cloned() })
        };
        merged.losers(picks).into_iter().filter_map(version).collect()
    }

    fn rebased(&self, document: Option<Value>, theirs: Option<Value>) -> NewOp {
        let kind = match (&theirs, &document) {
            (None, _) => OpKind::Create,
            (Some(_), Some(_)) => OpKind::Update,
            (Some(_), None) => OpKind::Delete,
        };
        NewOp {
            op_id: OpId::new(&self.own_instant()),
            record: self.op.record.clone(),
            kind,
            changes: match (&theirs, &document) {
                // Should the record move again, it is still another record.
                (Some(_), Some(_)) if merge::is_replacement(self.op) => {
                    vec![Change { pointer: Pointer::root(), from: theirs.clone(), to: document.clone() }]
                }
                _ => edit::diff(theirs.as_ref(), document.as_ref()),
            },
            document,
            base: theirs,
            base_revision: match kind {
                OpKind::Create => self.was_there().then(Revision::of_what_was_there),
                _ => self.revision.cloned(),
            },
            created_at: self.op.created_at,
            author: self.op.author.clone(),
        }
    }

    /// Mine as a record of its own, under an id nobody else can make.
    fn copy(&self, mine: &Value) -> NewOp {
        let at = self.own_instant();
        let id = match self.kind {
            SourceKind::Firebase => rtdb::push_id(&at),
        };
        NewOp {
            op_id: OpId::new(&at),
            record: RecordKey { collection: self.op.record.collection.clone(), id: RecordId(id) },
            kind: OpKind::Create,
            changes: edit::diff(None, Some(mine)),
            document: Some(mine.clone()),
            base: None,
            base_revision: None,
            created_at: self.at.wall,
            author: self.op.author.clone(),
        }
    }

    /// The instant with randomness of this op's own: several records may be judged in one event.
    fn own_instant(&self) -> At {
        let mut at = *self.at;
        for (byte, own) in at.entropy[1..9].iter_mut().zip(self.op.seq.0.to_be_bytes()) {
            *byte ^= own;
        }
        at
    }
}

/// The document without what was changed at places the server owns: those stay as they are in `base`.
pub(super) fn without_server_owned(
    rules: &ConflictRules,
    base: Option<&Value>,
    document: Option<Value>,
) -> Option<Value> {
    if !rules.fields.iter().any(|(_, rule)| *rule == FieldRule::ServerOwned) || base.is_none() {
        return document;
    }
    let mut kept = document?;
    for change in edit::diff(base, Some(&kept)) {
        if !change.pointer.is_root() && rules.rule(&change.pointer) == Some(FieldRule::ServerOwned) {
            let mut place = Some(kept);
            json::set(&mut place, &change.pointer, change.from);
            kept = place?;
        }
    }
    Some(kept)
}

/// The document an op stands on in the outbox; nothing for a create.
fn made_on(op: &Op) -> Option<&Value> {
    if op.kind == OpKind::Create { None } else { op.base.as_ref() }
}

/// What the person saw when the edit was made. Behind another edit of the record that is not what the op stands on: a pull
/// may have brought news in between, which were on the screen, and which that edit's document does not have.
pub fn seen_on(op: &Op) -> Option<Value> {
    match op.kind {
        OpKind::Create => None,
        OpKind::Update => edit::apply(merge::intended(op), &edit::invert(&op.changes)),
        OpKind::Delete => op.base.clone(),
    }
}

/// What both sides are compared with, of what the op was made on. Nothing, where the record was deleted and made anew here
/// while the old one moved there: those are two records under one id, which are never mixed.
fn common<'a>(op: &Op, base: Option<&'a Value>, theirs: Option<&Value>) -> Option<&'a Value> {
    let is_another = merge::is_replacement(op) && theirs.is_some() && !merge::same_document(base, theirs);
    base.filter(|_| !is_another)
}

/// What a person who is asked about `theirs` is shown as what was there before.
pub fn shown_base(kind: SourceKind, op: &Op, theirs: Option<&Value>) -> Option<Value> {
    let (seen, theirs) = (seen_on(op), normal(kind, theirs));
    let is_common = common(op, normal(kind, seen.as_ref()).as_ref(), theirs.as_ref()).is_some();
    seen.filter(|_| is_common)
}

/// The places at which `theirs` differs from what the op was made on.
pub(super) fn moved_places(kind: SourceKind, op: &Op, theirs: Option<&Value>) -> Vec<Pointer> {
    let (base, theirs) = (normal(kind, seen_on(op).as_ref()), normal(kind, theirs));
    edit::diff(base.as_ref(), theirs.as_ref()).into_iter().map(|change| change.pointer).collect()
}

/// The places that need a person, or all that both sides changed where none does.
pub(super) fn disputed(kind: SourceKind, settling: &Settling, op: &Op, theirs: Option<&Value>) -> Vec<Pointer> {
    let base = normal(kind, seen_on(op).as_ref());
    let (mine, theirs) = (normal(kind, merge::intended(op)), normal(kind, theirs));
    let common = common(op, base.as_ref(), theirs.as_ref());
    let merged = merge::merge_fields(common, mine.as_ref(), theirs.as_ref(), &settling.rules);
    let undecided = merged.fields.iter().filter(|field| field.how == How::Undecided);
    undecided.map(|field| field.pointer.clone()).collect()
}

/// A server's stamp as milliseconds: a number of them, or RFC 3339.
fn server_millis(stamp: &Value) -> Option<i64> {
    match stamp {
        Value::Number(number) => number.as_i64().filter(|millis| *millis > 100_000_000_000),
        Value::String(text) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
        _ => None,
    }
}

/// The places an op set: the root for a create or a delete.
fn set_paths(op: &Op, base: Option<&Value>, mine: Option<&Value>) -> Vec<Pointer> {
    match op.kind {
        OpKind::Update => edit::diff(base, mine).into_iter().map(|change| change.pointer).collect(),
        OpKind::Create | OpKind::Delete => vec![Pointer::root()],
    }
}

/// True where nobody but this client can have made the record's id: a push id stamped at the time of the edit. A name
/// a person typed proves nothing.
fn is_made_here(op: &Op) -> bool {
    const ALPHABET: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
    let id = op.record.id.as_str().as_bytes();
    if id.len() != 20 {
        return false;
    }
    let digits: Option<Vec<i64>> = id
        .iter()
        .map(|byte| ALPHABET.iter().position(|letter| letter == byte))
        .map(|digit| digit.and_then(|digit| i64::try_from(digit).ok()))
        .collect();
    digits.is_some_and(|digits| {
        let stamp = digits[..8].iter().fold(0_i64, |sum, digit| sum * 64 + digit);
        (stamp - op.op_id.millis()).abs() < 600_000
    })
}

#[cfg(test)]
mod tests;
