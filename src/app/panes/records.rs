//! The records pane: a table of one collection, filtered and sorted, as a sliding window of rows.
//!
//! Nothing here is known by its index for longer than one answer: selection and scroll are record ids, found again in
//! whatever rows the store gives next (R7). The old rows stay on the screen until the new ones are here.

mod rows;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    app::{
        action::Action,
        effect::{Effect, Need},
        event::{Found, MouseKind},
        list,
        pane::{Cx, Outcome, Pane, PaneName, Request, Seen},
        text::TextInput,
    },
    model::{
        activity::Severity,
        draft::DraftTarget,
        ids::{CollectionKey, RecordId, RecordKey},
        json::Pointer,
        query::{Anchor, Row, Sort},
        record::RecordMark,
    },
};
pub use rows::Position;
use rows::{Goal, Loaded};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Records {
    collection: Option<CollectionKey>,
    list: ListView,
    /// How the other collections were left.
    kept: BTreeMap<String, ListView>,
    typing: bool,
    loaded: Option<Loaded>,
    anchor: Option<Anchor>,
    goal: Option<Goal>,
    /// The cursor that was looked for outside of the first window.
    sought: Option<RecordId>,
    /// The top row was looked for above a window, since the user moved last.
    sought_top: bool,
}

/// How a collection is looked at. Also what the session keeps of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListView {
    pub cursor: Option<RecordId>,
    /// The first row on the screen.
    pub top: Option<RecordId>,
    /// The cursor's row below the top, for when one of them is gone.
    pub offset: usize,
    /// How many rows come before the top, as shown last.
    pub rank: Option<u64>,
    pub filter: TextInput,
    /// The filter was changed, and no row that passes it is here yet: the cursor is still one of the rows before.
    pub is_narrowing: bool,
    pub sort: Sort,
    pub marks: BTreeSet<RecordId>,
    pub first_column: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordsSession {
    collection: Option<CollectionKey>,
    list: ListView,
    kept: BTreeMap<String, ListView>,
    typing: bool,
}

impl Records {
    pub fn collection(&self) -> Option<&CollectionKey> {
        self.collection.as_ref()
    }

    pub fn is_typing(&self) -> bool {
        self.typing
    }

    pub fn view(&self) -> &ListView {
        &self.list
    }

    /// False until the first rows of this collection arrived.
    pub fn is_loaded(&self) -> bool {
        self.loaded.as_ref().is_some_and(|loaded| Some(&loaded.query.collection) == self.collection.as_ref())
    }

    pub fn rows(&self) -> &[Row] {
        self.loaded.as_ref().map_or(&[], |loaded| &loaded.rows)
    }

    /// The columns the rows at hand were asked with.
    pub fn columns(&self) -> &[Pointer] {
        self.loaded.as_ref().map_or(&[], |loaded| &loaded.query.columns)
    }

    pub fn shows_filter(&self) -> bool {
        self.typing || !self.list.filter.is_empty()
    }

    pub fn selected(&self) -> Option<RecordKey> {
        let id = self.rows().get(self.cursor_index()?)?.id.clone();
        Some(self.collection.as_ref()?.record(id))
    }

    pub fn selected_row(&self) -> Option<&Row> {
        self.rows().get(self.cursor_index()?)
    }

    /// `name`: a column as its heading has it, whatever the case, or a place.
    pub fn sort_by(&mut self, name: &str) {
        let name = name.strip_prefix("by ").unwrap_or(name).trim();
        let is_same = |other: &str| other.to_lowercase() == name.to_lowercase();
        let whole = |column: &&Pointer| is_same(&super::outbox::dotted(column));
        let last = |column: &&Pointer| column.tokens().last().is_some_and(|last| is_same(last));
        let by = match is_same("id") {
            true => None,
            false => {
                let columns = self.columns();
                let column = columns.iter().find(whole).or_else(|| columns.iter().find(last));
                Some(column.cloned().unwrap_or_else(|| Pointer::parse(name)))
            }
        };
        self.list.sort = Sort { by, descending: false };
        self.resort();
    }

    pub fn set_filter(&mut self, text: &str) {
        self.list.filter.set(text);
        self.filter_changed();
    }

    fn mark_range(&mut self) -> Outcome {
        let Some(cursor) = self.cursor_index() else { return Outcome::used() };
        let marked = self.rows().iter().enumerate().filter(|(_, row)| self.list.marks.contains(&row.id));
        let nearest = marked.map(|(index, _)| index).min_by_key(|index| index.abs_diff(cursor));
        let from = match nearest {
            Some(from) => from,
            None if self.list.marks.is_empty() => cursor,
            // What lies between is not at hand: two ends are no range.
            None => {
                let text = "Nothing marked: the marked rows are too far from here to know what lies between";
                let hint = "mark a row nearer, or go there in steps and mark as you go";
                return Outcome::used().notice(Severity::Warning, "records", text).hint(hint);
            }
        };
        let range = from.min(cursor)..=from.max(cursor);
        let ids: Vec<RecordId> = self.rows()[range].iter().map(|row| row.id.clone()).collect();
        self.list.marks.extend(ids);
        Outcome::used()
    }

    /// The records a command is about: the marked ones, else the one at the cursor.
    pub fn targets(&self) -> Vec<RecordKey> {
        let Some(key) = &self.collection else { return Vec::new() };
        if self.list.marks.is_empty() {
            return self.selected().into_iter().collect();
        }
        self.list.marks.iter().map(|id| key.record(id.clone())).collect()
    }

    pub fn clear_marks(&mut self) {
        self.list.marks.clear();
    }

    fn back(&mut self) -> Outcome {
        if !self.list.marks.is_empty() {
            self.list.marks.clear();
        } else if !self.list.filter.is_empty() {
            self.list.filter.set("");
            self.filter_changed();
        } else {
            return Outcome::used().request(Request::Focus(PaneName::Collections));
        }
        Outcome::used()
    }

    /// Nothing hidden, default order.
    pub fn reset(&mut self) {
        self.list.filter.set("");
        self.list.sort = Sort::default();
        self.list.first_column = 0;
        self.filter_changed();
    }

    fn edit(&self, target: &DraftTarget) -> Outcome {
        match self.selected() {
            Some(record) => Outcome::used().request(Request::Edit { record, target: target.clone() }),
            None => Outcome::used().notice(Severity::Info, "records", "There is no record here to edit"),
        }
    }
}

impl Pane for Records {
    const NAME: PaneName = PaneName::Records;
    const VERSION: u16 = 1;
    type Session = RecordsSession;

    fn session(&self) -> RecordsSession {
        RecordsSession {
            collection: self.collection.clone(),
            list: self.list.clone(),
            kept: self.kept.clone(),
            typing: self.typing,
        }
    }

    fn restore(session: RecordsSession, _seen: &Seen<'_>) -> Self {
        Self {
            collection: session.collection,
            list: session.list,
            kept: session.kept,
            typing: session.typing,
            ..Self::default()
        }
    }

    fn needs(&self, cx: &Cx<'_>) -> Vec<Need> {
        let Some(query) = self.query(cx) else { return Vec::new() };
        let mut needs = vec![Need::Window { query: query.clone(), anchor: self.anchor(), limit: self.limit(cx) }];
        if let Some(loaded) = &self.loaded
            && loaded.query == query
            && (loaded.rank.is_none() || (loaded.matching.is_none() && !query.filter.is_empty()))
            && let Some(first) = loaded.rows.first()
        {
            needs.push(Need::Rank { query, id: first.id.clone() });
        }
        needs
    }

    fn load(&mut self, need: &Need, found: &Found, cx: &Cx<'_>) -> Outcome {
        match (need, found) {
            (Need::Window { query, .. }, Found::Window(window)) => self.adopt(query, window, cx),
            (Need::Rank { id, .. }, Found::Rank(before, matching)) => {
                if let Some(loaded) = &mut self.loaded
                    && loaded.rows.first().is_some_and(|row| row.id == *id)
                {
                    loaded.rank = *before;
                    loaded.matching = matching.or(loaded.matching);
                }
                self.rerank();
                Outcome::used()
            }
            _ => Outcome::ignored(),
        }
    }

    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        let height = self.body_height(cx.room);
        if self.typing {
            return match action {
                Action::Back => {
                    self.typing = false;
                    self.list.filter.set("");
                    self.filter_changed();
                    Outcome::used()
                }
                Action::Open => {
                    self.typing = false;
                    Outcome::used()
                }
                Action::MoveDown | Action::MoveUp => {
                    let index = list::step(*action, self.cursor_index().unwrap_or(0), self.rows().len(), height);
                    self.go(index.unwrap_or(0), cx)
                }
                _ => Outcome::ignored(),
            };
        }
        match action {
            Action::First => self.jump(Anchor::First, Goal::First, cx),
            Action::Last => self.jump(Anchor::Last, Goal::Last, cx),
            Action::MoveDown | Action::MoveUp | Action::HalfPageDown | Action::HalfPageUp => {
                let index = list::step(*action, self.cursor_index().unwrap_or(0), self.rows().len(), height);
                self.go(index.unwrap_or(0), cx)
            }
            Action::Open | Action::Expand => {
                let focus = Request::Focus(PaneName::Record);
                Outcome::used().request(Request::ShowRecord(self.selected())).request(focus)
            }
            Action::Collapse => Outcome::used().request(Request::Focus(PaneName::Collections)),
            Action::Back => self.back(),
            Action::Filter => {
                self.typing = true;
                Outcome::used()
            }
            Action::ClearFilter => {
                self.set_filter("");
                Outcome::used()
            }
            Action::Sort => {
                self.sort_next(cx);
                Outcome::used()
            }
            Action::ReverseSort => {
                self.list.sort.descending = !self.list.sort.descending;
                self.resort();
                Outcome::used()
            }
            Action::Mark => {
                if let Some(id) = self.list.cursor.clone().filter(|_| self.cursor_index().is_some())
                    && !self.list.marks.remove(&id)
                {
                    self.list.marks.insert(id);
                }
                self.handle(&Action::MoveDown, cx)
            }
            Action::MarkRange => self.mark_range(),
            Action::ClearMarks => {
                self.list.marks.clear();
                Outcome::used()
            }
            Action::ScrollRight => {
                let last = self.columns().len().saturating_sub(1);
                self.list.first_column = (self.list.first_column + 1).min(last);
                Outcome::used()
            }
            Action::ScrollLeft => {
                self.list.first_column = self.list.first_column.saturating_sub(1);
                Outcome::used()
            }
            Action::EditRecord => self.edit(&DraftTarget::Document),
            Action::CopyId => match self.selected() {
                Some(record) => {
                    Outcome::used().effect(Effect::Copy { text: record.id.0, what: "the record's id".to_owned() })
                }
                None => Outcome::used(),
            },
            Action::CopyPath => match self.selected() {
                Some(record) => Outcome::used().effect(Effect::Copy {
                    text: format!("{}/{}", record.collection, record.id),
                    what: "the record's path".to_owned(),
                }),
                None => Outcome::used(),
            },
            Action::ResolveConflict => match self.selected_row().map(|row| row.mark) {
                Some(RecordMark::Conflict) => Outcome::used().request(Request::Run(Action::OpenConflicts, None)),
                _ => Outcome::used().notice(Severity::Info, "records", "This record has no conflict"),
            },
            _ => Outcome::ignored(),
        }
    }

    fn takes_text(&self) -> bool {
        self.typing
    }

    fn input(&mut self, key: &keybinds::KeyInput, _cx: &Cx<'_>) -> Outcome {
        let before = self.list.filter.text().to_owned();
        if !self.list.filter.handle(key) {
            return Outcome::ignored();
        }
        if self.list.filter.text() != before {
            self.filter_changed();
        }
        Outcome::used()
    }

    fn paste(&mut self, text: &str, _cx: &Cx<'_>) -> Outcome {
        self.list.filter.paste(text);
        self.filter_changed();
        Outcome::used()
    }

    fn mouse(&mut self, _column: u16, row: u16, kind: MouseKind, cx: &Cx<'_>) -> Outcome {
        let heading = 1 + usize::from(self.shows_filter());
        let height = self.body_height(cx.room);
        match kind {
            MouseKind::Press if self.shows_filter() && row == 0 => {
                self.typing = true;
                Outcome::used()
            }
            MouseKind::Press if usize::from(row) >= heading => {
                let index = self.window(height).0 + usize::from(row) - heading;
                if self.cursor_index() == Some(index) {
                    return self.handle(&Action::Open, cx);
                }
                self.go(index, cx)
            }
            MouseKind::ScrollDown => self.handle(&Action::MoveDown, cx),
            MouseKind::ScrollUp => self.handle(&Action::MoveUp, cx),
            _ => Outcome::ignored(),
        }
    }

    fn commands(&self) -> Vec<Action> {
        if self.typing {
            return vec![Action::Open, Action::Back];
        }
        let mut commands = vec![
            Action::MoveDown,
            Action::Open,
            Action::EditRecord,
            Action::Filter,
            Action::AddRecord,
            Action::DeleteRecord,
            Action::Mark,
            Action::Sort,
            Action::ReverseSort,
            Action::CopyRecord,
        ];
        if self.selected_row().is_some_and(|row| row.mark == RecordMark::Conflict) {
            commands.insert(1, Action::ResolveConflict);
        }
        if !self.list.filter.is_empty() {
            commands.push(Action::ClearFilter);
        }
        if !self.list.marks.is_empty() {
            commands.push(Action::ClearMarks);
        }
        commands.extend([
            Action::MarkRange,
            Action::EditExternally,
            Action::CopyId,
            Action::CopyPath,
            Action::ScrollRight,
            Action::ScrollLeft,
            Action::First,
            Action::Last,
            Action::HalfPageDown,
            Action::HalfPageUp,
        ]);
        commands
    }
}
