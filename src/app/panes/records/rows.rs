//! The rows at hand: a sliding window over a list, the cursor and the scroll found again by id in every answer (R7).

use crate::{
    app::{
        pane::{Cx, Outcome, Request},
        panes::records::Records,
        words,
    },
    model::{
        activity::Severity,
        ids::{CollectionKey, RecordId},
        query::{Anchor, Filter, FilterUse, ListQuery, Row, Sort, Window},
        rtdb::key_order,
    },
};

/// The rows at hand, and the question they answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Loaded {
    pub(super) query: ListQuery,
    pub(super) rows: Vec<Row>,
    /// Rows before the first one.
    pub(super) rank: Option<u64>,
    pub(super) matching: Option<u64>,
    pub(super) total: u64,
    pub(super) at_start: bool,
    pub(super) at_end: bool,
    pub(super) partial: bool,
    pub(super) filter: FilterUse,
}

/// Where the next answer puts the cursor.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Goal {
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
    pub(super) fn index_of(&self, id: Option<&RecordId>) -> Option<usize> {
        let id = id?;
        self.rows().iter().position(|row| row.id == *id)
    }

    pub(super) fn cursor_index(&self) -> Option<usize> {
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

    /// What the filter is good for that the rows at hand answer.
    pub fn filter_use(&self) -> Option<&FilterUse> {
        self.loaded.as_ref().map(|loaded| &loaded.filter).filter(|filter| **filter != FilterUse::Narrows)
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
        // Where the rows at hand are those that would be asked for, no answer comes that could meet the goal.
        let is_here = self.anchor() == Anchor::At(id.clone()) && self.index_of(Some(&id)).is_some();
        self.anchor = Some(Anchor::At(id.clone()));
        self.list.cursor = Some(id.clone());
        self.goal = (!is_here).then_some(Goal::Record(id));
    }

    /// True where a record that was just made is looked for in the list: no filter hides it.
    pub fn may_show(&self, collection: &CollectionKey) -> bool {
        self.collection.as_ref() == Some(collection) && self.list.filter.is_empty()
    }

    pub(super) fn query(&self, cx: &Cx<'_>) -> Option<ListQuery> {
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

    pub(super) fn limit(&self, cx: &Cx<'_>) -> usize {
        (self.body_height(cx.room).max(8) * 4).next_multiple_of(32).max(64)
    }

    pub(super) fn anchor(&self) -> Anchor {
        match (&self.anchor, &self.list.top) {
            (Some(anchor), _) => anchor.clone(),
            (None, Some(top)) if !self.list.is_narrowing => Anchor::At(top.clone()),
            (None, _) => Anchor::First,
        }
    }

    /// Asks for rows further on before the cursor gets there.
    pub(super) fn slide(&mut self, cx: &Cx<'_>) {
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

    pub(super) fn go(&mut self, index: usize, cx: &Cx<'_>) -> Outcome {
        let height = self.body_height(cx.room);
        let Some(id) = self.rows().get(index).map(|row| row.id.clone()) else { return Outcome::used() };
        // Whoever moves on does not want to be put back by an answer that is still to come.
        (self.sought_top, self.goal) = (false, None);
        let (old_top, _) = self.window(height);
        self.list.top = self.rows().get(old_top).map(|row| row.id.clone());
        self.list.cursor = Some(id);
        self.settle(height);
        self.slide(cx);
        Outcome::used().request(Request::ShowRecord(self.selected()))
    }

    /// Writes down the view as it is drawn.
    pub(super) fn settle(&mut self, height: usize) {
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
    pub(super) fn rerank(&mut self) {
        let Some(top) = self.index_of(self.list.top.as_ref()) else { return };
        if let Some(rank) = self.loaded.as_ref().and_then(|loaded| loaded.rank) {
            self.list.rank = Some(rank + top as u64);
        }
    }

    pub(super) fn jump(&mut self, anchor: Anchor, goal: Goal, cx: &Cx<'_>) -> Outcome {
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

    pub(super) fn filter_changed(&mut self) {
        self.goal = None;
        let asked = self.list.filter.text().trim();
        let is_answered = self.loaded.as_ref().is_some_and(|loaded| loaded.query.filter.0 == asked);
        self.list.is_narrowing = !asked.is_empty() && !is_answered;
        if self.list.filter.is_empty() {
            self.anchor = self.list.cursor.clone().map(Anchor::At).or(Some(Anchor::First));
        } else {
            self.anchor = Some(Anchor::First);
        }
    }

    /// Moves by the sort column, `columns` being what may be sorted by, the id first.
    pub(super) fn sort_next(&mut self, cx: &Cx<'_>) {
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

    pub(super) fn resort(&mut self) {
        let cursor = self.list.cursor.clone().filter(|_| !self.list.is_narrowing);
        self.anchor = cursor.map(Anchor::At).or(Some(Anchor::First));
        self.goal = None;
    }

    /// Sorts by a column named in the palette.
    pub(super) fn adopt(&mut self, query: &ListQuery, window: &Window, cx: &Cx<'_>) -> Outcome {
        let new = Loaded {
            query: query.clone(),
            rows: window.rows.clone(),
            rank: window.rank.or_else(|| window.at_start.then_some(0)),
            matching: window.matching,
            total: window.total,
            at_start: window.at_start,
            at_end: window.at_end,
            partial: window.partial,
            filter: window.filter.clone(),
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
        if self.loaded.is_none()
            && found.is_none()
            && self.goal.is_none()
            && !self.list.is_narrowing
            && let Some(id) = &wanted
            && self.list.top.as_ref() != Some(id)
            && !(new.at_start && new.at_end)
        {
            // After a restart the cursor may stand outside of the window of what was the top row. Look there; where it is not
            // there either, come back here and take the row in its place.
            if self.sought.as_ref() != Some(id) {
                self.sought = Some(id.clone());
                self.anchor = at_cursor;
                return Outcome::used();
            }
            if self.anchor == at_cursor {
                self.anchor = None;
                return Outcome::used();
            }
        }
        let at_top = self.list.top.clone().map(Anchor::At);
        if found.is_some()
            && same_list
            && self.goal.is_none()
            && self.index_of(self.list.top.as_ref()).is_some()
            && !new.rows.iter().any(|row| Some(&row.id) == self.list.top.as_ref())
            && !(new.at_start && new.at_end)
            && !self.sought_top
        {
            // A shorter window (a smaller screen) that begins below the top row: the top row is not gone for that. Looked
            // for once: the cursor may be too far from it for one window.
            self.sought_top = true;
            self.anchor = at_top;
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
        // Killed between a filter that leaves nothing and its answer, the record pane does not know that yet.
        let is_empty_at_first = self.loaded.is_none() && new.rows.is_empty();
        self.loaded = Some(new);
        self.list.is_narrowing = false;
        if let Some(row) = self.rows().get(index) {
            self.list.cursor = Some(row.id.clone());
        }
        if self.index_of(self.list.top.as_ref()).is_none() || seeking.is_some() {
            let keep = if matches!(seeking, Some(Goal::Record(_))) { height / 3 } else { offset };
            self.list.top = self.rows().get(index.saturating_sub(keep)).map(|row| row.id.clone());
            self.settle(height);
        }
        if self.cursor_index() < self.index_of(self.list.top.as_ref()) {
            // Others' edits moved its record above the row the screen began with: the screen begins with it, now and after a
            // restart, which might not find both in one window.
            (self.list.top, self.list.offset) = (self.list.cursor.clone(), 0);
        }
        self.rerank();
        self.slide(cx);
        let mut outcome = Outcome::used();
        if self.selected() != before || seeking.is_some() || is_empty_at_first {
            outcome = outcome.request(Request::ShowRecord(self.selected()));
        }
        match gone.filter(|_| !self.rows().is_empty()) {
            Some(text) => outcome.notice(Severity::Info, "records", text),
            None => outcome,
        }
    }

    /// R7: where a vanished cursor goes: the next row that is still there, else the nearest, else the first.
    pub(super) fn nearest(&self, new: &Loaded, same_list: bool) -> usize {
        let old = self.rows();
        let place = |id: &RecordId| new.rows.iter().position(|row| row.id == *id);
        if same_list && let Some(at) = self.cursor_index() {
            let after = old[at..].iter().find_map(|row| place(&row.id));
            let before = || old[..at].iter().rev().find_map(|row| place(&row.id));
            return after.or_else(before).unwrap_or(0);
        }
        if self.list.is_narrowing || (!same_list && self.loaded.is_some()) {
            return 0;
        }
        if let (Some(id), None) = (&self.list.cursor, &new.query.sort.by) {
            // A start finds it gone: sorted by id, its place is known.
            let is_behind = |row: &Row| match new.query.sort.descending {
                true => key_order(&row.id.0, &id.0).is_lt(),
                false => key_order(&row.id.0, &id.0).is_gt(),
            };
            return new.rows.iter().position(is_behind).unwrap_or(new.rows.len().saturating_sub(1));
        }
        let top = self.list.top.as_ref().and_then(place).unwrap_or(0);
        (top + self.list.offset).min(new.rows.len().saturating_sub(1))
    }
}
