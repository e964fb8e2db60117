//! The drafts: everything that was typed and not queued, whatever became of its record. Each can be gone on with, queued,
//! copied or discarded into the vault.
//!
//! The list holds facts of each draft, made off the event loop; the texts stay in the journal. Only the draft at the cursor
//! is read, with its record.

mod preview;
mod row;

use serde::{Deserialize, Serialize};

use crate::{
    app::{
        action::Action,
        effect::{Effect, Need},
        event::{Found, MouseKind},
        list,
        pane::{Cx, Outcome, Pane, PaneName, Question, Request, Seen},
        panes::editor::{KEPT, RESTORE, name_of_key, text_of},
        words,
    },
    model::{
        activity::Severity,
        draft::{Draft, DraftKey},
        record::RecordView,
    },
};
pub use preview::{Preview, PreviewLine};
pub use row::{DraftRow, sheet_of, what};

const PAGE: usize = 200;
const TOPIC: &str = "editor";

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Drafts {
    session: DraftsSession,
    /// The draft begun last first: typing moves no row.
    rows: Vec<DraftRow>,
    total: u64,
    loaded: bool,
    /// The record of the draft at the cursor, once it is read.
    view: Option<RecordView>,
    preview: Preview,
    /// What was discarded or queued here: that it is gone is no news.
    ended: Option<DraftKey>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DraftsSession {
    cursor: Option<Place>,
    top: Option<Place>,
    limit: usize,
    /// Lines of the preview above what is drawn of it.
    scroll: usize,
    /// Collections that are not configured and have drafts: each was told once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    strangers: Vec<String>,
}

/// A row by what it is, and where it was should that be gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Place {
    key: DraftKey,
    number: i64,
}

impl Drafts {
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    pub fn rows(&self) -> &[DraftRow] {
        &self.rows
    }

    /// How many drafts there are, read or not.
    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn scroll(&self) -> usize {
        self.session.scroll
    }

    pub fn preview(&self) -> &Preview {
        &self.preview
    }

    fn row_of(&self, place: Option<&Place>) -> usize {
        let Some(place) = place else { return 0 };
        let last = self.rows.len().saturating_sub(1);
        let same = self.rows.iter().position(|row| row.key == place.key);
        same.or_else(|| self.rows.iter().position(|row| row.number <= place.number)).unwrap_or(last)
    }

    fn index(&self) -> usize {
        self.row_of(self.session.cursor.as_ref())
    }

    /// (first row drawn, row of the cursor) of a list in so many rows, its heading included.
    pub fn window(&self, rows: usize) -> (usize, usize) {
        let height = rows.saturating_sub(1).max(1);
        let top = self.row_of(self.session.top.as_ref());
        (list::view(top, self.index(), height, self.rows.len()), self.index())
    }

    pub fn selected(&self) -> Option<&DraftRow> {
        self.rows.get(self.index())
    }

    /// The draft at the cursor and its record; `None` until they are read.
    fn open(&self) -> Option<(&Draft, &RecordView)> {
        let key = &self.selected()?.key;
        let view = self.view.as_ref().filter(|view| view.key == key.record)?;
        Some((view.drafts.iter().find(|draft| draft.key == *key)?, view))
    }

    /// Collections that have drafts and are not configured (any more); answers those that were not told yet.
    pub fn meet(&mut self, strangers: Vec<String>) -> Vec<String> {
        let new = strangers.iter().filter(|name| !self.session.strangers.contains(name)).cloned().collect();
        self.session.strangers = strangers;
        new
    }

    /// Puts the cursor on a draft that is about to be read.
    pub fn select(&mut self, key: DraftKey) {
        self.session.cursor = Some(Place { key, number: i64::MAX });
        (self.session.top, self.session.scroll) = (None, 0);
    }

    fn go(&mut self, index: usize, cx: &Cx<'_>) {
        let place = |row: Option<&DraftRow>| row.map(|row| Place { key: row.key.clone(), number: row.number });
        self.session.cursor = place(self.rows.get(index));
        let (top, _) = self.window(usize::from(cx.room.1));
        self.session.top = place(self.rows.get(top)).filter(|_| top > 0);
        self.session.scroll = 0;
        if index + 50 > self.session.limit {
            self.session.limit += PAGE;
        }
        self.show();
    }

    /// Looks at the draft of the cursor, where its record is read.
    fn show(&mut self) {
        self.preview = match (self.open(), self.selected()) {
            (Some((draft, view)), Some(row)) => Preview::of(draft, view, row),
            _ => Preview::default(),
        };
    }

    /// The cursor stays on its draft; where that is gone it is on the next one, and says so.
    fn follow(&mut self, cx: &Cx<'_>) -> Outcome {
        let Some(place) = self.session.cursor.clone() else {
            self.show();
            return Outcome::used();
        };
        if self.rows.iter().any(|row| row.key == place.key) {
            self.show();
            return Outcome::used();
        }
        self.go(self.index(), cx);
        if self.ended.take().is_some_and(|ended| ended == place.key) {
            return Outcome::used();
        }
        let text = format!("The draft of {} is not here any more", name_of_key(&place.key));
        Outcome::used().notice(Severity::Info, TOPIC, text).hint("it was queued or discarded")
    }

    fn queue(&mut self, cx: &Cx<'_>) -> Outcome {
        let Some(row) = self.selected() else { return nothing() };
        if row.is_being_saved(cx) {
            return Outcome::used().notice(Severity::Info, TOPIC, "This draft is just being saved");
        }
        let key = row.key.clone();
        self.ended = Some(key.clone());
        Outcome::used().request(Request::QueueDraft(key))
    }

    fn discard(&mut self, cx: &Cx<'_>) -> Outcome {
        let Some(row) = self.selected() else { return nothing() };
        if row.is_being_saved(cx) {
            return Outcome::used().notice(Severity::Info, TOPIC, "This draft is just being saved");
        }
        let name = name_of_key(&row.key);
        let then = Outcome::used()
            .draft(crate::model::draft::DraftWrite::Discard { key: row.key.clone() })
            .notice(Severity::Info, TOPIC, format!("Draft of {name} discarded"))
            .hint(RESTORE);
        let mut lines = vec![format!("{}, typed {}", words::bytes(row.bytes), words::ago(cx.at.wall, row.updated_at))];
        lines.extend((!row.first.is_empty()).then(|| row.first.clone()));
        lines.push(KEPT.to_owned());
        let title = format!("Discard the draft of {name}?");
        self.ended = Some(row.key.clone());
        Outcome::used().request(Request::Confirm(Box::new(Question {
            title,
            lines,
            yes: "discard it".to_owned(),
            then,
        })))
    }

    fn copy(&self) -> Outcome {
        match (self.open(), self.selected()) {
            (Some((draft, _)), _) => {
                Outcome::used().effect(Effect::Copy { text: text_of(draft), what: "the text of the draft".to_owned() })
            }
            (None, Some(_)) => Outcome::used().notice(Severity::Info, TOPIC, "The draft is still being read"),
            (None, None) => nothing(),
        }
    }
}

fn nothing() -> Outcome {
    Outcome::used().notice(Severity::Info, TOPIC, "There is no draft here")
}

impl Pane for Drafts {
    const NAME: PaneName = PaneName::Drafts;
    const VERSION: u16 = 1;
    type Session = DraftsSession;

    fn session(&self) -> DraftsSession {
        self.session.clone()
    }

    fn restore(session: DraftsSession, _seen: &Seen<'_>) -> Self {
        Self { session, ..Self::default() }
    }

    fn needs(&self, _cx: &Cx<'_>) -> Vec<Need> {
        let list = Need::Drafts { limit: self.session.limit.max(PAGE) };
        let selected = self.selected().map(|row| Need::Record(row.key.record.clone()));
        std::iter::once(list).chain(selected).collect()
    }

    fn load(&mut self, _need: &Need, found: &Found, cx: &Cx<'_>) -> Outcome {
        match found {
            Found::Drafts(rows, total) => {
                self.rows.clone_from(rows);
                self.total = *total;
                self.loaded = true;
                self.follow(cx)
            }
            Found::Record(view) => {
                self.view = Some((**view).clone());
                self.show();
                Outcome::used()
            }
            _ => Outcome::ignored(),
        }
    }

    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        let half = usize::from(cx.room.1 / 2).max(1);
        match action {
            Action::HalfPageDown => {
                self.session.scroll = self.session.scroll.saturating_add(half).min(self.preview.lines.len());
                return Outcome::used();
            }
            Action::HalfPageUp => {
                self.session.scroll = self.session.scroll.saturating_sub(half);
                return Outcome::used();
            }
            _ => {}
        }
        if let Some(index) = list::step(*action, self.index(), self.rows.len(), usize::from(cx.room.1)) {
            self.go(index, cx);
            return Outcome::used();
        }
        match action {
            Action::Open | Action::Expand => match self.selected().map(|row| row.key.clone()) {
                Some(DraftKey { record, target }) => Outcome::used().request(Request::Edit { record, target }),
                None => nothing(),
            },
            Action::QueueDraft => self.queue(cx),
            Action::DropDraft => self.discard(cx),
            Action::CopyJson => self.copy(),
            Action::OpenTarget => match self.selected() {
                Some(row) => {
                    Outcome::used().request(Request::Close).request(Request::OpenRecord(row.key.record.clone()))
                }
                None => nothing(),
            },
            Action::Back | Action::Collapse => Outcome::used().request(Request::Close),
            _ => Outcome::ignored(),
        }
    }

    fn mouse(&mut self, _column: u16, row: u16, kind: MouseKind, cx: &Cx<'_>) -> Outcome {
        match kind {
            MouseKind::ScrollDown => self.handle(&Action::MoveDown, cx),
            MouseKind::ScrollUp => self.handle(&Action::MoveUp, cx),
            MouseKind::Press => {
                let index = self.window(usize::from(cx.room.1)).0 + usize::from(row);
                if row > 0 && index <= self.rows.len() {
                    self.go(index - 1, cx);
                }
                Outcome::used()
            }
            _ => Outcome::ignored(),
        }
    }

    fn commands(&self) -> Vec<Action> {
        vec![
            Action::MoveDown,
            Action::Open,
            Action::QueueDraft,
            Action::DropDraft,
            Action::CopyJson,
            Action::OpenTarget,
            Action::Back,
            Action::HalfPageDown,
            Action::First,
            Action::Last,
        ]
    }
}

#[cfg(test)]
mod tests;
