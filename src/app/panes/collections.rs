//! The collections pane: every source with its connectivity, and under it its collections with what is pending.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    app::{
        action::Action,
        event::MouseKind,
        list,
        pane::{Cx, Outcome, Pane, PaneName, Request, Seen},
    },
    model::ids::{CollectionKey, SourceName},
};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Collections {
    cursor: Option<Item>,
    top: usize,
    folded: BTreeSet<SourceName>,
}

/// One line of the tree, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    Source(SourceName),
    Collection(CollectionKey),
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CollectionsSession {
    cursor: Option<Item>,
    top: usize,
    folded: BTreeSet<SourceName>,
}

impl Collections {
    pub fn items(&self, cx: &Cx<'_>) -> Vec<Item> {
        let mut items = Vec::new();
        for source in &cx.setup.sources {
            items.push(Item::Source(source.name.clone()));
            if !self.folded.contains(&source.name) {
                items.extend(source.keys().map(Item::Collection));
            }
        }
        items
    }

    pub fn is_folded(&self, source: &SourceName) -> bool {
        self.folded.contains(source)
    }

    pub fn cursor(&self, cx: &Cx<'_>) -> usize {
        let items = self.items(cx);
        let Some(wanted) = &self.cursor else { return 0 };
        items.iter().position(|item| item == wanted).unwrap_or_else(|| {
            let source = match wanted {
                Item::Source(source) => source,
                Item::Collection(key) => &key.source,
            };
            items.iter().position(|item| matches!(item, Item::Source(name) if name == source)).unwrap_or(0)
        })
    }

    /// The first line drawn in `height` lines.
    pub fn top(&self, cx: &Cx<'_>, height: usize) -> usize {
        list::view(self.top, self.cursor(cx), height, self.items(cx).len())
    }

    /// Puts the cursor on a collection, unfolding its source.
    pub fn select(&mut self, key: &CollectionKey) {
        self.folded.remove(&key.source);
        self.cursor = Some(Item::Collection(key.clone()));
    }

    fn go(&mut self, index: usize, cx: &Cx<'_>) {
        let items = self.items(cx);
        self.cursor = items.get(index).cloned();
        self.top = list::view(self.top, index, usize::from(cx.room.1), items.len());
    }

    fn open(&mut self, cx: &Cx<'_>, focus: bool) -> Outcome {
        match self.items(cx).get(self.cursor(cx)) {
            Some(Item::Source(source)) => {
                self.toggle(source.clone());
                Outcome::used()
            }
            Some(Item::Collection(key)) => {
                let outcome = Outcome::used().request(Request::OpenCollection(key.clone()));
                if focus { outcome.request(Request::Focus(PaneName::Records)) } else { outcome }
            }
            None => Outcome::used(),
        }
    }

    fn toggle(&mut self, source: SourceName) {
        if !self.folded.remove(&source) {
            self.folded.insert(source);
        }
    }
}

impl Pane for Collections {
    const NAME: PaneName = PaneName::Collections;
    const VERSION: u16 = 1;
    type Session = CollectionsSession;

    fn session(&self) -> CollectionsSession {
        CollectionsSession { cursor: self.cursor.clone(), top: self.top, folded: self.folded.clone() }
    }

    fn restore(session: CollectionsSession, _seen: &Seen<'_>) -> Self {
        Self { cursor: session.cursor, top: session.top, folded: session.folded }
    }

    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        let items = self.items(cx);
        let cursor = self.cursor(cx);
        if let Some(index) = list::step(*action, cursor, items.len(), usize::from(cx.room.1)) {
            self.go(index, cx);
            return Outcome::used();
        }
        match (action, items.get(cursor)) {
            (Action::Open, _) => self.open(cx, true),
            (Action::Expand, Some(Item::Source(source))) => {
                if !self.folded.remove(source) {
                    self.go(cursor + usize::from(cursor + 1 < items.len()), cx);
                }
                Outcome::used()
            }
            (Action::Expand, Some(Item::Collection(_))) => self.open(cx, true),
            (Action::Collapse, Some(Item::Source(source))) => {
                self.folded.insert(source.clone());
                Outcome::used()
            }
            (Action::Collapse, Some(Item::Collection(key))) => {
                self.cursor = Some(Item::Source(key.source.clone()));
                Outcome::used()
            }
            (Action::Back, _) => Outcome::used().request(Request::Focus(PaneName::Records)),
            _ => Outcome::ignored(),
        }
    }

    fn mouse(&mut self, _column: u16, row: u16, kind: MouseKind, cx: &Cx<'_>) -> Outcome {
        match kind {
            MouseKind::Press => {
                let index = self.top(cx, usize::from(cx.room.1)) + usize::from(row);
                if index >= self.items(cx).len() {
                    return Outcome::used();
                }
                self.go(index, cx);
                self.open(cx, false)
            }
            MouseKind::ScrollDown => self.handle(&Action::MoveDown, cx),
            MouseKind::ScrollUp => self.handle(&Action::MoveUp, cx),
            _ => Outcome::ignored(),
        }
    }

    fn commands(&self) -> Vec<Action> {
        vec![Action::MoveDown, Action::Open, Action::Expand, Action::Collapse]
    }
}
