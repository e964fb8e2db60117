//! The record pane: one record as a tree, what the user changed in it, and what the server last had.

use std::{cell::OnceCell, collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    app::{
        action::Action,
        effect::{Effect, Need},
        event::{Found, MouseKind},
        list,
        pane::{Cx, Outcome, Pane, PaneName, Request, Seen},
        tree::{self, Tree, TreeRow},
    },
    model::{
        activity::Severity, document::Document, draft::DraftTarget, ids::RecordKey, json::Pointer, op::OpKind,
        record::RecordView,
    },
};

/// Lines behind the cursor that are made for the first window.
const NEAR: usize = 200;

#[derive(Debug, Clone, Default)]
pub struct Record {
    session: RecordSession,
    view: Option<Arc<RecordView>>,
    /// Made when somebody looks at it: behind an editor nobody does.
    tree: OnceCell<Tree>,
    /// As much of it as a screen needs, where nobody asked for more yet.
    near: OnceCell<Tree>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordSession {
    record: Option<RecordKey>,
    cursor: Pointer,
    top: Pointer,
    /// Places whose fold differs from the default.
    toggled: BTreeSet<Pointer>,
    server_copy: bool,
}

impl Record {
    /// The record asked for; what is drawn may for a moment still be the one before.
    pub fn wanted(&self) -> Option<&RecordKey> {
        self.session.record.as_ref()
    }

    /// The record as loaded. While another one is on its way this stays.
    pub fn view(&self) -> Option<&RecordView> {
        self.view.as_deref()
    }

    pub fn shows_server_copy(&self) -> bool {
        self.session.server_copy
    }

    /// What the lines of the window say: so many from its first row on.
    pub fn rows(&self, from: usize, count: usize) -> Vec<TreeRow> {
        let tree = self.tree_around(count);
        (from..tree.len()).take(count).filter_map(|index| tree.row(index)).collect()
    }

    /// Whether there are lines behind a window of this height.
    pub fn goes_on(&self, top: usize, height: usize) -> bool {
        top + height < self.tree_around(height).len()
    }

    fn row(&self, index: usize) -> Option<TreeRow> {
        self.tree().row(index)
    }

    pub fn cursor(&self) -> &Pointer {
        &self.session.cursor
    }

    /// Follows the records pane. Folds stay: records of one collection look alike.
    pub fn show(&mut self, key: Option<RecordKey>) {
        if self.session.record == key {
            return;
        }
        let other_collection = match (&self.session.record, &key) {
            (Some(old), Some(new)) => old.collection != new.collection,
            _ => false,
        };
        if other_collection {
            self.session = RecordSession::default();
        }
        if key.is_none() {
            self.view = None;
        }
        self.session.record = key;
        self.session.server_copy = false;
        self.rebuild();
    }

    /// The document drawn: the user's version, the server's where asked for, or what is about to be deleted.
    pub fn document(&self) -> Option<&Document> {
        let view = self.view.as_deref()?;
        let base = view.base.as_ref().map(|base| &base.document);
        if self.session.server_copy { base } else { view.local.as_ref().or(base) }
    }

    /// Rows of the tree in a room; the lines below say where the record stands.
    pub fn tree_height(&self, room: (u16, u16)) -> usize {
        let rows = usize::from(room.1);
        if rows >= 12 { rows - 4 } else { rows.saturating_sub(1).max(1) }
    }

    fn position(&self, pointer: &Pointer) -> Option<usize> {
        self.tree().position(pointer)
    }

    /// The line of the cursor, or of the nearest place around it that has one.
    fn index(&self, tree: &Tree) -> usize {
        let mut pointer = Some(self.session.cursor.clone());
        while let Some(at) = pointer {
            if let Some(index) = tree.position(&at) {
                return index;
            }
            pointer = at.parent();
        }
        0
    }

    /// (first row drawn, row of the cursor)
    pub fn window(&self, height: usize) -> (usize, usize) {
        let tree = self.tree_around(height);
        let cursor = self.index(tree);
        let top = tree.position(&self.session.top).unwrap_or(0);
        (list::view(top, cursor, height, tree.len()), cursor)
    }

    fn pointer(&self, index: usize) -> Option<Pointer> {
        self.tree().pointer(index)
    }

    fn go(&mut self, index: usize, cx: &Cx<'_>) {
        let Some(pointer) = self.pointer(index) else { return };
        self.session.cursor = pointer;
        let (top, _) = self.window(self.tree_height(cx.room));
        if let Some(pointer) = self.pointer(top) {
            self.session.top = pointer;
        }
    }

    fn rebuild(&mut self) {
        (self.tree, self.near) = (OnceCell::new(), OnceCell::new());
    }

    fn tree(&self) -> &Tree {
        let make = || Some(Tree::of(self.document()?, self.compared(), &self.session.toggled));
        self.tree.get_or_init(|| make().unwrap_or_default())
    }

    /// A tree with all that a window of this height shows.
    fn tree_around(&self, height: usize) -> &Tree {
        if let Some(tree) = self.tree.get() {
            return tree;
        }
        let RecordSession { cursor, top, toggled, .. } = &self.session;
        let make = || Some(Tree::near(self.document()?, self.compared(), toggled, [cursor, top], NEAR));
        let near = self.near.get_or_init(|| make().unwrap_or_default());
        let last = self.index(near).max(near.position(top).unwrap_or(0));
        if near.is_whole() || last + 2 * height < near.len() { near } else { self.tree() }
    }

    /// What the document is compared with. Without pending edits there is nothing to compare.
    fn compared(&self) -> Option<&Document> {
        let view = self.view.as_deref()?;
        let is_edited = !(self.session.server_copy || view.local.is_none() || view.ops.is_empty());
        view.base.as_ref().map(|base| &base.document).filter(|_| is_edited)
    }

    fn toggle(&mut self, folded: Option<bool>) -> bool {
        let index = self.index(self.tree());
        let now = self.tree().folded(index).filter(|now| folded.is_none_or(|wanted| wanted != *now));
        let (Some(_), Some(pointer)) = (now, self.pointer(index)) else { return false };
        if !self.session.toggled.remove(&pointer) {
            self.session.toggled.insert(pointer);
        }
        self.rebuild();
        true
    }

    fn collapse(&mut self, cx: &Cx<'_>) -> Outcome {
        if self.toggle(Some(true)) {
            return Outcome::used();
        }
        match self.session.cursor.parent().filter(|parent| !parent.is_root()) {
            Some(parent) => {
                if let Some(index) = self.position(&parent) {
                    self.go(index, cx);
                }
                Outcome::used()
            }
            None => Outcome::used().request(Request::Focus(PaneName::Records)),
        }
    }

    fn edit(&self, target: DraftTarget) -> Outcome {
        match &self.session.record {
            Some(record) => Outcome::used().request(Request::Edit { record: record.clone(), target }),
            None => Outcome::used().notice(Severity::Info, "record", "There is no record here to edit"),
        }
    }

    fn edit_field(&self) -> Outcome {
        let Some(row) = self.row(self.index(self.tree())) else { return self.edit(DraftTarget::Document) };
        if self.session.server_copy {
            return Outcome::used()
                .notice(Severity::Info, "record", "This is the server's copy; it is not edited")
                .hint("`b` goes back to yours");
        }
        match row.change {
            tree::Change::Removed => Outcome::used()
                .notice(Severity::Info, "record", format!("`{}` is removed here", row.name))
                .hint("`u` takes the change back, `e` edits the whole record"),
            _ => self.edit(DraftTarget::Field(row.pointer)),
        }
    }

    fn copy(&self, action: Action) -> Outcome {
        let Some(record) = &self.session.record else { return Outcome::used() };
        let pointer = self.pointer(self.index(self.tree()));
        let value = pointer.as_ref().and_then(|pointer| pointer.get(self.document()?));
        let (text, what) = match action {
            Action::CopyId => (record.id.0.clone(), "the record's id"),
            Action::CopyPath => {
                let pointer = pointer.map(|pointer| pointer.to_string()).unwrap_or_default();
                (format!("{}/{}{pointer}", record.collection, record.id), "the path")
            }
            Action::CopyJson => (value.map(Value::to_string).unwrap_or_default(), "the value"),
            _ => (self.document().map(|document| pretty(document)).unwrap_or_default(), "the record as JSON"),
        };
        Outcome::used().effect(Effect::Copy { text, what: what.to_owned() })
    }
}

/// JSON laid out over lines, as people copy it.
pub fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a JSON value is always written")
}

impl Pane for Record {
    const NAME: PaneName = PaneName::Record;
    const VERSION: u16 = 1;
    type Session = RecordSession;

    fn session(&self) -> RecordSession {
        self.session.clone()
    }

    fn restore(session: RecordSession, _seen: &Seen<'_>) -> Self {
        Self { session, ..Self::default() }
    }

    fn needs(&self, _cx: &Cx<'_>) -> Vec<Need> {
        self.session.record.iter().cloned().map(Need::Shown).collect()
    }

    fn load(&mut self, _need: &Need, found: &Found, _cx: &Cx<'_>) -> Outcome {
        let Found::Record(view) = found else { return Outcome::ignored() };
        self.view = Some(Arc::clone(view));
        self.rebuild();
        Outcome::used()
    }

    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        let height = self.tree_height(cx.room);
        if let Some(index) = list::step(*action, self.index(self.tree()), self.tree().len(), height) {
            self.go(index, cx);
            return Outcome::used();
        }
        match action {
            Action::Open => {
                if self.toggle(None) {
                    Outcome::used()
                } else {
                    self.edit_field()
                }
            }
            Action::Expand => {
                if !self.toggle(Some(false)) {
                    self.go(self.index(self.tree()) + 1, cx);
                }
                Outcome::used()
            }
            Action::Collapse => self.collapse(cx),
            Action::Back => Outcome::used().request(Request::Focus(PaneName::Records)),
            Action::EditField => self.edit_field(),
            Action::EditRecord => self.edit(DraftTarget::Document),
            Action::ToggleServerCopy => {
                let has_base = self.view.as_deref().is_some_and(|view| view.base.is_some());
                if !has_base && !self.session.server_copy {
                    return Outcome::used().notice(
                        Severity::Info,
                        "record",
                        "The server has no copy of this record yet",
                    );
                }
                self.session.server_copy = !self.session.server_copy;
                self.rebuild();
                Outcome::used()
            }
            Action::ResolveConflict => match self.view.as_deref().and_then(|view| view.conflict.as_ref()) {
                Some(conflict) => Outcome::used().request(Request::OpenConflict(conflict.id)),
                None => Outcome::used().notice(Severity::Info, "record", "This record has no conflict"),
            },
            Action::CopyId | Action::CopyPath | Action::CopyJson | Action::CopyRecord => self.copy(*action),
            _ => Outcome::ignored(),
        }
    }

    fn mouse(&mut self, _column: u16, row: u16, kind: MouseKind, cx: &Cx<'_>) -> Outcome {
        match kind {
            MouseKind::Press => {
                let index = self.window(self.tree_height(cx.room)).0 + usize::from(row);
                if index < self.tree().len() {
                    let again = index == self.index(self.tree());
                    self.go(index, cx);
                    if self.tree().folded(index).is_some() {
                        self.toggle(None);
                    } else if again {
                        return self.edit_field();
                    }
                }
                Outcome::used()
            }
            MouseKind::ScrollDown => self.handle(&Action::MoveDown, cx),
            MouseKind::ScrollUp => self.handle(&Action::MoveUp, cx),
            _ => Outcome::ignored(),
        }
    }

    fn commands(&self) -> Vec<Action> {
        let mut commands =
            vec![Action::MoveDown, Action::Open, Action::EditField, Action::EditRecord, Action::DeleteRecord];
        if let Some(view) = self.view.as_deref() {
            if view.conflict.is_some() {
                commands.insert(1, Action::ResolveConflict);
            }
            if view.base.is_some() && view.ops.iter().any(|op| op.kind != OpKind::Create) {
                commands.push(Action::ToggleServerCopy);
            }
        }
        commands.extend([
            Action::AddRecord,
            Action::CopyJson,
            Action::CopyRecord,
            Action::CopyPath,
            Action::CopyId,
            Action::EditExternally,
            Action::Expand,
            Action::Collapse,
        ]);
        commands
    }
}
