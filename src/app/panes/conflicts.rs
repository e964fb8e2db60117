//! The conflict resolver: both sides of a record that the server moved under a pending edit, field by field.
//!
//! At this stage the whole record is chosen, mine or theirs; the choice is kept like typed text until it is queued.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    app::{
        action::Action,
        effect::{Effect, Need},
        event::{Found, MouseKind},
        list,
        pane::{Cx, Outcome, Pane, PaneName, Request, Seen},
    },
    model::{
        activity::Severity,
        conflict::{Conflict, Take},
        draft::DraftTarget,
        edit,
        ids::{OpId, Seq},
        json::{self, Pointer},
    },
};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conflicts {
    session: ConflictsSession,
    conflicts: Vec<Conflict>,
    loaded: bool,
    fields: Vec<FieldRow>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConflictsSession {
    conflict: Option<i64>,
    field: Pointer,
    /// Choices made and not queued yet, by conflict.
    chosen: BTreeMap<i64, Take>,
}

/// One place where the three documents are not all the same.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldRow {
    pub pointer: Pointer,
    pub base: Option<Value>,
    pub mine: Option<Value>,
    pub theirs: Option<Value>,
    pub how: How,
}

/// Who changed a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    OnlyMine,
    OnlyTheirs,
    Same,
    Both,
}

impl How {
    pub fn words(self) -> &'static str {
        match self {
            Self::OnlyMine => "only you changed it",
            Self::OnlyTheirs => "only they changed it",
            Self::Same => "same on both sides",
            Self::Both => "both changed it",
        }
    }
}

impl Conflicts {
    pub fn is_loaded(&self) -> bool {
        self.loaded
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

    pub fn fields(&self) -> &[FieldRow] {
        &self.fields
    }

    pub fn field_index(&self) -> usize {
        self.fields.iter().position(|field| field.pointer == self.session.field).unwrap_or(0)
    }

    pub fn chosen(&self) -> Option<Take> {
        self.session.chosen.get(&self.selected()?.id).copied()
    }

    pub fn select(&mut self, id: i64) {
        self.session.conflict = Some(id);
        self.session.field = Pointer::root();
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
        self.fields = self.selected().map(field_rows).unwrap_or_default();
    }

    fn choose(&mut self, take: Take) -> Outcome {
        if let Some(id) = self.selected().map(|conflict| conflict.id) {
            self.session.chosen.insert(id, take);
        }
        Outcome::used()
    }

    fn queue(&mut self, cx: &Cx<'_>) -> Outcome {
        let Some(conflict) = self.selected() else {
            return Outcome::used().notice(Severity::Info, "conflicts", "Nothing is in conflict");
        };
        let Some(take) = self.chosen() else {
            return Outcome::used()
                .notice(Severity::Warning, "conflicts", "Nothing is chosen yet")
                .hint("`m` keeps yours, `t` takes theirs");
        };
        let document = match take {
            Take::Mine => conflict.mine.clone(),
            Take::Theirs => conflict.theirs.clone(),
            _ => conflict.base.clone(),
        };
        Outcome::used().effect(Effect::Resolve { conflict: conflict.id, take, document, op_id: OpId::new(cx.at) })
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
}

fn field_rows(conflict: &Conflict) -> Vec<FieldRow> {
    let (base, mine, theirs) = (conflict.base.as_ref(), conflict.mine.as_ref(), conflict.theirs.as_ref());
    let mut pointers: Vec<Pointer> = Vec::new();
    if mine.is_none() || theirs.is_none() {
        pointers.push(Pointer::root());
    } else {
        let changes = edit::diff(base, mine).into_iter().chain(edit::diff(base, theirs));
        for pointer in changes.map(|change| change.pointer) {
            if !pointers.iter().any(|known| known.contains(&pointer)) {
                pointers.retain(|known| !pointer.contains(known));
                pointers.push(pointer);
            }
        }
        if base.is_none() {
            pointers = edit::diff(mine, theirs).into_iter().map(|change| change.pointer).collect();
        }
    }
    let same = |a: &Option<Value>, b: &Option<Value>| match (a, b) {
        (Some(a), Some(b)) => json::same_value(a, b),
        (None, None) => true,
        _ => false,
    };
    let get =
        |document: Option<&Value>, pointer: &Pointer| document.and_then(|document| pointer.get(document)).cloned();
    let mut rows: Vec<FieldRow> = pointers
        .into_iter()
        .map(|pointer| {
            let (base, mine, theirs) = (get(base, &pointer), get(mine, &pointer), get(theirs, &pointer));
            let how = match () {
                () if same(&mine, &theirs) => How::Same,
                () if same(&base, &theirs) => How::OnlyMine,
                () if same(&base, &mine) => How::OnlyTheirs,
                () => How::Both,
            };
            FieldRow { pointer, base, mine, theirs, how }
        })
        .collect();
    rows.sort_by_key(|row| row.how != How::Both);
    rows
}

impl Pane for Conflicts {
    const NAME: PaneName = PaneName::Conflicts;
    const VERSION: u16 = 1;
    type Session = ConflictsSession;

    fn session(&self) -> ConflictsSession {
        self.session.clone()
    }

    fn restore(session: ConflictsSession, _seen: &Seen<'_>) -> Self {
        Self { session, ..Self::default() }
    }

    fn needs(&self, _cx: &Cx<'_>) -> Vec<Need> {
        vec![Need::Conflicts]
    }

    fn load(&mut self, _need: &Need, found: &Found, _cx: &Cx<'_>) -> Outcome {
        let Found::Conflicts(conflicts) = found else { return Outcome::ignored() };
        self.conflicts.clone_from(conflicts);
        self.loaded = true;
        let open: Vec<i64> = self.open().map(|conflict| conflict.id).collect();
        self.session.chosen.retain(|id, _| open.contains(id));
        self.rebuild();
        Outcome::used()
    }

    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        if let Some(index) = list::step(*action, self.field_index(), self.fields.len(), usize::from(cx.room.1)) {
            if let Some(field) = self.fields.get(index) {
                self.session.field = field.pointer.clone();
            }
            return Outcome::used();
        }
        match action {
            Action::TakeMine => self.choose(Take::Mine),
            Action::TakeTheirs => self.choose(Take::Theirs),
            Action::QueueResult => self.queue(cx),
            Action::NextUndecided | Action::NextTab => self.step(true),
            Action::PreviousUndecided | Action::PreviousTab => self.step(false),
            Action::Back | Action::Collapse => Outcome::used().request(Request::Close),
            Action::OpenTarget => match self.selected() {
                Some(conflict) => {
                    Outcome::used().request(Request::Close).request(Request::OpenRecord(conflict.record.clone()))
                }
                None => Outcome::used(),
            },
            Action::EditRecord => match self.selected() {
                Some(conflict) => Outcome::used()
                    .request(Request::Edit { record: conflict.record.clone(), target: DraftTarget::Document }),
                None => Outcome::used(),
            },
            Action::Open | Action::Expand => Outcome::used(),
            _ => Outcome::ignored(),
        }
    }

    fn mouse(&mut self, _column: u16, _row: u16, kind: MouseKind, cx: &Cx<'_>) -> Outcome {
        match kind {
            MouseKind::ScrollDown => self.handle(&Action::MoveDown, cx),
            MouseKind::ScrollUp => self.handle(&Action::MoveUp, cx),
            _ => Outcome::ignored(),
        }
    }

    fn commands(&self) -> Vec<Action> {
        vec![
            Action::MoveDown,
            Action::TakeMine,
            Action::TakeTheirs,
            Action::QueueResult,
            Action::NextUndecided,
            Action::PreviousUndecided,
            Action::OpenTarget,
            Action::EditRecord,
            Action::Back,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ids::CollectionKey, time::Timestamp};
    use serde_json::json;

    #[test]
    fn each_differing_field_says_who_changed_it() {
        let conflict = Conflict {
            id: 1,
            record: CollectionKey::new("acme", "products").record("p_311"),
            seq: Seq(112),
            detected_at: Timestamp(0),
            base: Some(json!({"price": 12, "title": "Mug", "stock": 40, "dims": {"h": 9}})),
            mine: Some(json!({"price": 12.5, "title": "Mug, blue", "stock": 40, "dims": {"h": 10}})),
            theirs: Some(json!({"price": 13, "title": "Mug", "stock": 38, "dims": {"h": 10}})),
            theirs_revision: None,
            was_in_doubt: false,
            resolved_at: None,
            resolution: None,
        };
        let rows: Vec<(String, How)> =
            field_rows(&conflict).into_iter().map(|row| (row.pointer.to_string(), row.how)).collect();
        let expected =
            [("/price", How::Both), ("/title", How::OnlyMine), ("/dims/h", How::Same), ("/stock", How::OnlyTheirs)];
        assert_eq!(rows, expected.map(|(pointer, how)| (pointer.to_owned(), how)));
    }
}
