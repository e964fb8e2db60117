//! The small prompt: where to go.

use serde::{Deserialize, Serialize};

use crate::{
    app::{
        action::Action,
        list,
        pane::{Cx, Outcome, Pane, PaneName, Request, Seen},
        text::TextInput,
    },
    model::ids::CollectionKey,
};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Goto {
    session: GotoSession,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GotoSession {
    input: TextInput,
    ask: Ask,
    cursor: Option<CollectionKey>,
}

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// `collection`, `collection/id` or `source/collection/id`
    #[default]
    Anywhere,
    Collection,
    Record(CollectionKey),
}

impl Goto {
    pub fn ask(&self) -> &Ask {
        &self.session.ask
    }

    pub fn input_line(&self) -> &TextInput {
        &self.session.input
    }

    pub fn open(&mut self, ask: Ask, text: &str) {
        self.session = GotoSession { input: TextInput::new(text), ask, cursor: None };
    }

    /// The collections that fit what is typed.
    pub fn choices(&self, cx: &Cx<'_>) -> Vec<CollectionKey> {
        if matches!(self.session.ask, Ask::Record(_)) {
            return Vec::new();
        }
        let typed = self.session.input.text().trim().to_lowercase();
        let keys = cx.setup.sources.iter().flat_map(|source| source.keys());
        let fits = |key: &CollectionKey| {
            let full = key.to_string().to_lowercase();
            typed.is_empty() || full.contains(&typed) || typed.starts_with(&key.collection.0.to_lowercase())
        };
        keys.filter(fits).collect()
    }

    pub fn index(&self, choices: &[CollectionKey]) -> usize {
        let cursor = self.session.cursor.as_ref();
        cursor.and_then(|cursor| choices.iter().position(|key| key == cursor)).unwrap_or(0)
    }

    fn finish(&self, cx: &Cx<'_>) -> Outcome {
        let typed = self.session.input.text().trim();
        let close = Outcome::used().request(Request::Close);
        match &self.session.ask {
            Ask::Record(collection) if !typed.is_empty() => {
                close.request(Request::OpenRecord(collection.record(typed)))
            }
            Ask::Record(_) => close,
            Ask::Anywhere | Ask::Collection => {
                let choices = self.choices(cx);
                let by_name = typed.contains('/') && self.session.cursor.is_none();
                match choices.get(self.index(&choices)) {
                    Some(key) if !by_name => {
                        close.request(Request::OpenCollection(key.clone())).request(Request::Focus(PaneName::Records))
                    }
                    _ => close.request(Request::Run(Action::Goto, Some(typed.to_owned()))),
                }
            }
        }
    }
}

impl Pane for Goto {
    const NAME: PaneName = PaneName::Goto;
    const VERSION: u16 = 1;
    type Session = GotoSession;

    fn session(&self) -> GotoSession {
        self.session.clone()
    }

    fn restore(session: GotoSession, _seen: &Seen<'_>) -> Self {
        Self { session }
    }

    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        let choices = self.choices(cx);
        if let Some(index) = list::step(*action, self.index(&choices), choices.len(), usize::from(cx.room.1)) {
            self.session.cursor = choices.get(index).cloned();
            return Outcome::used();
        }
        match action {
            Action::Back => Outcome::used().request(Request::Close),
            Action::Open => self.finish(cx),
            Action::NextTab => {
                if let Some(key) = choices.get(self.index(&choices)) {
                    self.session.input.set(&format!("{key}/"));
                }
                Outcome::used()
            }
            _ => Outcome::ignored(),
        }
    }

    fn takes_text(&self) -> bool {
        true
    }

    fn input(&mut self, key: &keybinds::KeyInput, _cx: &Cx<'_>) -> Outcome {
        if !self.session.input.handle(key) {
            return Outcome::ignored();
        }
        self.session.cursor = None;
        Outcome::used()
    }

    fn paste(&mut self, text: &str, _cx: &Cx<'_>) -> Outcome {
        self.session.input.paste(text);
        Outcome::used()
    }

    fn mouse(&mut self, _column: u16, row: u16, kind: crate::app::event::MouseKind, cx: &Cx<'_>) -> Outcome {
        let choices = self.choices(cx);
        match (kind, choices.get(usize::from(row).wrapping_sub(2))) {
            (crate::app::event::MouseKind::Press, Some(key)) => {
                self.session.cursor = Some(key.clone());
                self.finish(cx)
            }
            _ => Outcome::ignored(),
        }
    }

    fn commands(&self) -> Vec<Action> {
        vec![Action::Open, Action::NextTab, Action::Back]
    }
}
