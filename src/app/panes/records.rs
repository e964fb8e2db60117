//! The records pane: a table of one collection, filtered and sorted, as a sliding window of rows.
//!
//! Nothing here is known by its index for longer than one answer: selection and scroll are record ids, found again in
//! whatever rows the store gives next (R7). The old rows stay on the screen until the new ones are here.

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
        words,
    },
    model::{
        activity::Severity,
        draft::DraftTarget,
        ids::{CollectionKey, RecordId, RecordKey},
        json::Pointer,
        query::{Anchor, Filter, ListQuery, Row, Sort},
        record::RecordMark,
    },
};

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

/// The rows at hand, and the question they answer.
#[derive(Debug, Clone, PartialEq)]
struct Loaded {
    query: ListQuery,
    rows: Vec<Row>,
    /// Rows before the first one.
    rank: Option<u64>,
    matching: Option<u64>,
    total: u64,
    at_start: bool,
    at_end: bool,
    partial: bool,
}

/// Where the next answer puts the cursor.
#[derive(Debug, Clone, PartialEq)]
enum Goal {
    First,
    Last,
    Record(RecordId),
}

/// What the border says about the place in the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    pub from: Option<u64>,
    pub to: Option<u64>,
    pub matching: Option<u64>,
    pub total: u64,
    pub filtered: bool,
    pub partial: bool,
}

impl Position {
    /// `6-15 of 1,204 (of 48,210)`
    pub fn text(&self) -> String {
        let of = match (self.matching, self.filtered) {
            (Some(matching), _) => words::grouped(matching),
            (None, false) => words::grouped(self.total),
            (None, true) => "?".to_owned(),
        };
        let more = if self.partial { "+" } else { "" };
        let whole = if self.filtered { format!(" (of {})", words::grouped(self.total)) } else { String::new() };
        match (self.from, self.to) {
            (Some(from), Some(to)) => format!("{}-{} of {of}{more}{whole}", words::grouped(from), words::grouped(to)),
            _ => format!("{of}{more}{whole}"),
        }
    }
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

    fn index_of(&self, id: Option<&RecordId>) -> Option<usize> {
        let id = id?;
        self.rows().iter().position(|row| row.id == *id)
    }

    fn cursor_index(&self) -> Option<usize> {
        self.index_of(self.list.cursor.as_ref())
    }

    /// Rows of the table body in a room: the heading and the filter line take theirs.
    pub fn body_height(&self, room: (u16, u16)) -> usize {
        usize::from(room.1).saturating_sub(1 + usize::from(self.shows_filter()))
    }

    /// (first row drawn, row of the cursor) as indexes into [`Records::rows`].
    pub fn window(&self, height: usize) -> (usize, usize) {
        let cursor = self.cursor_index().unwrap_or(0);
        let top = self.index_of(self.list.top.as_ref()).unwrap_or(cursor.saturating_sub(self.list.offset));
        let Some(loaded) = &self.loaded else { return (0, 0) };
        let top = if loaded.at_end { top.min(loaded.rows.len().saturating_sub(height)) } else { top };
        (top.clamp((cursor + 1).saturating_sub(height.max(1)), cursor), cursor)
    }

    pub fn position(&self, height: usize) -> Position {
        let Some(loaded) = &self.loaded else { return Position::default() };
        let (top, _) = self.window(height);
        let shown = loaded.rows.len().saturating_sub(top).min(height) as u64;
        let rank = match (loaded.rank, self.index_of(self.list.top.as_ref())) {
            (Some(rank), _) => Some(rank + top as u64),
            (None, Some(saved)) => self.list.rank.map(|rank| (rank + top as u64).saturating_sub(saved as u64)),
            (None, None) => None,
        };
        Position {
            from: rank.filter(|_| shown > 0).map(|rank| rank + 1),
            to: rank.filter(|_| shown > 0).map(|rank| rank + shown),
            matching: loaded.matching.or_else(|| loaded.query.filter.is_empty().then_some(loaded.total)),
            total: loaded.total,
            filtered: !loaded.query.filter.is_empty(),
            partial: loaded.partial,
        }
    }

    /// Shows a collection, as it was left.
    pub fn open(&mut self, key: CollectionKey) {
        if self.collection.as_ref() == Some(&key) {
            return;
        }
        let next = self.kept.remove(&key.to_string()).unwrap_or_default();
        let left = std::mem::replace(&mut self.list, next);
        if let Some(old) = self.collection.replace(key) {
            self.kept.insert(old.to_string(), left);
        }
        (self.loaded, self.anchor, self.goal, self.typing) = (None, None, None, false);
    }

    /// Puts the cursor on a record, whether it is among the rows at hand or not.
    pub fn seek(&mut self, id: RecordId) {
        self.anchor = Some(Anchor::At(id.clone()));
        self.list.cursor = Some(id.clone());
        self.goal = Some(Goal::Record(id));
    }

    fn query(&self, cx: &Cx<'_>) -> Option<ListQuery> {
        let key = self.collection.as_ref()?;
        let spec = cx.setup.collection(key)?;
        let mut columns = spec.columns.clone();
        if columns.is_empty() {
            columns.extend(spec.title.clone());
        }
        Some(ListQuery {
            collection: key.clone(),
            columns,
            filter: Filter(self.list.filter.text().trim().to_owned()),
            sort: self.list.sort.clone(),
        })
    }

    fn limit(&self, cx: &Cx<'_>) -> usize {
        (self.body_height(cx.room).max(8) * 4).next_multiple_of(32).max(64)
    }

    fn anchor(&self) -> Anchor {
        match (&self.anchor, &self.list.top) {
            (Some(anchor), _) => anchor.clone(),
            (None, Some(top)) => Anchor::At(top.clone()),
            (None, None) => Anchor::First,
        }
    }

    /// Asks for rows further on before the cursor gets there.
    fn slide(&mut self, cx: &Cx<'_>) {
        let height = self.body_height(cx.room).max(1);
        let limit = self.limit(cx);
        let (top, _) = self.window(height);
        let Some(loaded) = &self.loaded else { return };
        if self.query(cx).as_ref() != Some(&loaded.query) || self.goal.is_some() {
            return;
        }
        let length = loaded.rows.len();
        if !loaded.at_end && top + 2 * height > length {
            if let Some(row) = loaded.rows.get(top.saturating_sub(limit / 4)) {
                self.anchor = Some(Anchor::At(row.id.clone()));
            }
        } else if !loaded.at_start
            && top < height
            && let Some(row) = loaded.rows.get((top + limit / 2).min(length.saturating_sub(1)))
        {
            self.anchor = Some(Anchor::Before(row.id.clone()));
        }
    }

    fn go(&mut self, index: usize, cx: &Cx<'_>) -> Outcome {
        let height = self.body_height(cx.room);
        let Some(id) = self.rows().get(index).map(|row| row.id.clone()) else { return Outcome::used() };
        let (old_top, _) = self.window(height);
        self.list.top = self.rows().get(old_top).map(|row| row.id.clone());
        self.list.cursor = Some(id);
        self.settle(height);
        self.slide(cx);
        Outcome::used().request(Request::ShowRecord(self.selected()))
    }

    /// Writes down the view as it is drawn.
    fn settle(&mut self, height: usize) {
        if height == 0 {
            return; // Not on the screen at all: nothing is drawn that could be written down.
        }
        let (top, cursor) = self.window(height);
        self.list.top = self.rows().get(top).map(|row| row.id.clone());
        self.list.offset = cursor - top.min(cursor);
        let rank = self.loaded.as_ref().and_then(|loaded| loaded.rank);
        if rank.is_some() || self.list.top.is_none() {
            self.list.rank = rank.map(|rank| rank + top as u64);
        }
    }

    /// What is written down of the view stays as it is when rows arrive, so that a restart writes the same; only the
    /// rank of the top row follows the data.
    fn rerank(&mut self) {
        let Some(top) = self.index_of(self.list.top.as_ref()) else { return };
        if let Some(rank) = self.loaded.as_ref().and_then(|loaded| loaded.rank) {
            self.list.rank = Some(rank + top as u64);
        }
    }

    fn jump(&mut self, anchor: Anchor, goal: Goal, cx: &Cx<'_>) -> Outcome {
        let at_hand = self.loaded.as_ref().is_some_and(|loaded| match goal {
            Goal::First => loaded.at_start,
            Goal::Last => loaded.at_end,
            Goal::Record(_) => false,
        });
        if at_hand && Some(&self.query(cx)) == Some(&self.loaded.as_ref().map(|loaded| loaded.query.clone())) {
            let last = self.rows().len().saturating_sub(1);
            return self.go(if goal == Goal::First { 0 } else { last }, cx);
        }
        self.anchor = Some(anchor);
        self.goal = Some(goal);
        Outcome::used()
    }

    fn filter_changed(&mut self) {
        self.goal = None;
        if self.list.filter.is_empty() {
            self.anchor = self.list.cursor.clone().map(Anchor::At).or(Some(Anchor::First));
        } else {
            self.anchor = Some(Anchor::First);
        }
    }

    /// Moves by the sort column, `columns` being what may be sorted by, the id first.
    fn sort_next(&mut self, cx: &Cx<'_>) {
        let columns = self.query(cx).map(|query| query.columns).unwrap_or_default();
        let at = self.list.sort.by.as_ref().and_then(|by| columns.iter().position(|column| column == by));
        let next = match (at, &self.list.sort.by) {
            (Some(index), _) => columns.get(index + 1).cloned(),
            (None, None) => columns.first().cloned(),
            (None, Some(_)) => None,
        };
        self.list.sort = Sort { by: next, descending: false };
        self.resort();
    }

    fn resort(&mut self) {
        self.anchor = self.list.cursor.clone().map(Anchor::At).or(Some(Anchor::First));
        self.goal = None;
    }

    /// Sorts by a column named in the palette.
    pub fn sort_by(&mut self, name: &str) {
        let by = if name.eq_ignore_ascii_case("id") { None } else { Some(Pointer::parse(name)) };
        self.list.sort = Sort { by, descending: false };
        self.resort();
    }

    pub fn set_filter(&mut self, text: &str) {
        self.list.filter.set(text);
        self.filter_changed();
    }

    fn mark_range(&mut self) {
        let Some(cursor) = self.cursor_index() else { return };
        let marked = self.rows().iter().enumerate().filter(|(_, row)| self.list.marks.contains(&row.id));
        let from = marked.map(|(index, _)| index).min_by_key(|index| index.abs_diff(cursor)).unwrap_or(cursor);
        let range = from.min(cursor)..=from.max(cursor);
        let ids: Vec<RecordId> = self.rows()[range].iter().map(|row| row.id.clone()).collect();
        self.list.marks.extend(ids);
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
        self.resort();
    }

    fn edit(&self, target: &DraftTarget) -> Outcome {
        match self.selected() {
            Some(record) => Outcome::used().request(Request::Edit { record, target: target.clone() }),
            None => Outcome::used().notice(Severity::Info, "records", "There is no record here to edit"),
        }
    }

    fn adopt(&mut self, query: &ListQuery, window: &crate::model::query::Window, cx: &Cx<'_>) -> Outcome {
        let new = Loaded {
            query: query.clone(),
            rows: window.rows.clone(),
            rank: window.rank.or_else(|| window.at_start.then_some(0)),
            matching: window.matching,
            total: window.total,
            at_start: window.at_start,
            at_end: window.at_end,
            partial: window.partial,
        };
        let height = self.body_height(cx.room);
        let same_list = self.loaded.as_ref().is_some_and(|old| old.query == *query);
        let wanted = match &self.goal {
            Some(Goal::Record(id)) => Some(id.clone()),
            Some(_) => None,
            None => self.list.cursor.clone(),
        };
        let found = wanted.as_ref().and_then(|id| new.rows.iter().position(|row| row.id == *id));
        let at_cursor = wanted.clone().map(Anchor::At);
        if found.is_none()
            && same_list
            && self.goal.is_none()
            && at_cursor.is_some()
            && !new.rows.is_empty()
            && !(new.at_start && new.at_end)
            && self.anchor != at_cursor
        {
            // The window slid away from under the cursor: look where the cursor is before believing it gone.
            self.anchor = at_cursor;
            return Outcome::used();
        }
        let index = match (&self.goal, found) {
            (Some(Goal::First), _) => 0,
            (Some(Goal::Last), _) => new.rows.len().saturating_sub(1),
            (_, Some(index)) => index,
            (_, None) => self.nearest(&new, same_list),
        };
        let gone = match (&wanted, found, &self.goal) {
            (Some(id), None, Some(Goal::Record(_))) => {
                Some(format!("`{id}` is not in this list; the nearest row is selected"))
            }
            (Some(id), None, None) if same_list || query.filter.is_empty() => {
                Some(format!("`{id}` is gone; the next row is selected"))
            }
            _ => None,
        };
        let seeking = self.goal.take();
        let before = self.selected();
        let offset = self.list.offset;
        self.loaded = Some(new);
        if let Some(row) = self.rows().get(index) {
            self.list.cursor = Some(row.id.clone());
        }
        if self.index_of(self.list.top.as_ref()).is_none() || seeking.is_some() {
            let keep = if matches!(seeking, Some(Goal::Record(_))) { height / 3 } else { offset };
            self.list.top = self.rows().get(index.saturating_sub(keep)).map(|row| row.id.clone());
            self.settle(height);
        }
        self.rerank();
        self.slide(cx);
        let mut outcome = Outcome::used();
        if self.selected() != before || seeking.is_some() {
            outcome = outcome.request(Request::ShowRecord(self.selected()));
        }
        match gone.filter(|_| !self.rows().is_empty()) {
            Some(text) => outcome.notice(Severity::Info, "records", text),
            None => outcome,
        }
    }

    /// R7: where a vanished cursor goes: the next row that is still there, else the nearest, else the first.
    fn nearest(&self, new: &Loaded, same_list: bool) -> usize {
        let old = self.rows();
        let place = |id: &RecordId| new.rows.iter().position(|row| row.id == *id);
        if same_list && let Some(at) = self.cursor_index() {
            let after = old[at..].iter().find_map(|row| place(&row.id));
            let before = || old[..at].iter().rev().find_map(|row| place(&row.id));
            return after.or_else(before).unwrap_or(0);
        }
        if !same_list && self.loaded.is_some() {
            return 0;
        }
        let top = self.list.top.as_ref().and_then(place).unwrap_or(0);
        (top + self.list.offset).min(new.rows.len().saturating_sub(1))
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
            Action::MarkRange => {
                self.mark_range();
                Outcome::used()
            }
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
