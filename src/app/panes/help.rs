//! Help: the keys of one pane and of everywhere, made from the commands and the keymap, searchable.

use serde::{Deserialize, Serialize};

use crate::app::{
    action::Action,
    command::{COMMANDS, Command, Scope},
    event::MouseKind,
    pane::{Cx, Outcome, Pane, PaneName, Request, Seen},
    screen::Screen,
    text::TextInput,
};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Help {
    session: HelpSession,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HelpSession {
    about: Option<PaneName>,
    search: TextInput,
    scroll: usize,
}

impl Help {
    pub fn about(&self) -> PaneName {
        self.session.about.unwrap_or(PaneName::Records)
    }

    pub fn search(&self) -> &TextInput {
        &self.session.search
    }

    pub fn scroll(&self) -> usize {
        self.session.scroll
    }

    pub fn open(&mut self, about: PaneName) {
        self.session = HelpSession { about: Some(about), ..HelpSession::default() };
    }

    /// The commands of a scope that match the search.
    pub fn commands_of<'a>(&'a self, scopes: &'a [Scope], demo: bool) -> impl Iterator<Item = &'static Command> + 'a {
        let words: Vec<String> =
            self.session.search.text().to_lowercase().split_whitespace().map(str::to_owned).collect();
        COMMANDS.iter().filter(move |command| {
            let text = format!("{} {} {}", command.name, command.title, command.help).to_lowercase();
            (demo || !command.demo)
                && command.scopes.iter().any(|scope| scopes.contains(scope))
                && words.iter().all(|word| text.contains(word.as_str()))
        })
    }

    fn turn(&mut self, forward: bool) {
        let panes = all_panes();
        let at = panes.iter().position(|pane| *pane == self.about()).unwrap_or(0);
        let next = (if forward { at + 1 } else { at + panes.len() - 1 }) % panes.len();
        self.session.about = Some(panes[next]);
        self.session.scroll = 0;
    }
}

/// The panes help has a page for.
fn all_panes() -> Vec<PaneName> {
    let mut panes = Screen::MAIN.to_vec();
    panes.extend([PaneName::Editor, PaneName::Conflicts, PaneName::Vault, PaneName::Drafts]);
    panes.extend([PaneName::Sessions, PaneName::History]);
    panes
}

impl Pane for Help {
    const NAME: PaneName = PaneName::Help;
    const VERSION: u16 = 1;
    type Session = HelpSession;

    fn session(&self) -> HelpSession {
        self.session.clone()
    }

    fn restore(session: HelpSession, _seen: &Seen<'_>) -> Self {
        Self { session }
    }

    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        let half = usize::from(cx.room.1 / 2).max(1);
        match action {
            Action::Back if self.session.search.is_empty() => return Outcome::used().request(Request::Close),
            Action::Back => {
                self.session.search.set("");
                self.session.scroll = 0;
            }
            Action::MoveDown => self.session.scroll = (self.session.scroll + 1).min(COMMANDS.len()),
            Action::MoveUp => self.session.scroll = self.session.scroll.saturating_sub(1),
            Action::HalfPageDown => self.session.scroll = (self.session.scroll + half).min(COMMANDS.len()),
            Action::HalfPageUp => self.session.scroll = self.session.scroll.saturating_sub(half),
            Action::NextTab => self.turn(true),
            Action::PreviousTab => self.turn(false),
            Action::Open => {
                if self.session.search.is_empty() {
                    return Outcome::used();
                }
                let scopes = Scope::ALL;
                let first = self.commands_of(&scopes, cx.setup.demo).next().map(|command| command.action);
                return match first {
                    Some(action) => Outcome::used().request(Request::Close).request(Request::Run(action, None)),
                    None => Outcome::used(),
                };
            }
            _ => return Outcome::ignored(),
        }
        Outcome::used()
    }

    fn takes_text(&self) -> bool {
        true
    }

    fn input(&mut self, key: &keybinds::KeyInput, _cx: &Cx<'_>) -> Outcome {
        if self.session.search.is_empty() && *key == keybinds::KeyInput::from('?') {
            return Outcome::used().request(Request::Close);
        }
        if !self.session.search.handle(key) {
            return Outcome::ignored();
        }
        self.session.scroll = 0;
        Outcome::used()
    }

    fn paste(&mut self, text: &str, _cx: &Cx<'_>) -> Outcome {
        self.session.search.paste(text);
        Outcome::used()
    }

    fn mouse(&mut self, _column: u16, _row: u16, kind: MouseKind, cx: &Cx<'_>) -> Outcome {
        match kind {
            MouseKind::ScrollDown => self.handle(&Action::MoveDown, cx),
            MouseKind::ScrollUp => self.handle(&Action::MoveUp, cx),
            _ => Outcome::ignored(),
        }
    }

    fn commands(&self) -> Vec<Action> {
        vec![Action::Open, Action::NextTab, Action::HalfPageDown, Action::Back]
    }
}
