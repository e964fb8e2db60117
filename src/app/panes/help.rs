//! Help: the keys of one pane and of everywhere, made from the commands and the keymap, searchable.

use serde::{Deserialize, Serialize};

use crate::app::{
    action::Action,
    command::{COMMANDS, Command, Scope},
    event::MouseKind,
    keymap::Keymap,
    pane::{Cx, Outcome, Pane, PaneName, Request, Seen},
    screen::Screen,
    text::TextInput,
};

/// A command and its keys.
pub type Listed = (&'static Command, Vec<String>);

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Help {
    session: HelpSession,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HelpSession {
    /// The pane it was opened on: its commands can be run from here.
    on: Option<PaneName>,
    about: Option<PaneName>,
    search: TextInput,
    scroll: usize,
}

impl Help {
    pub fn about(&self) -> PaneName {
        self.session.about.unwrap_or(PaneName::Records)
    }

    /// Its own page: what is listed there works where help was opened.
    pub fn is_at_home(&self) -> bool {
        self.session.on.is_none_or(|on| on == self.about())
    }

    pub fn search(&self) -> &TextInput {
        &self.session.search
    }

    pub fn scroll(&self) -> usize {
        self.session.scroll
    }

    pub fn open(&mut self, about: PaneName) {
        self.session = HelpSession { on: Some(about), about: Some(about), ..HelpSession::default() };
    }

    /// What is listed: the commands of the pane, and those of everywhere, that match the search, each with its keys there.
    pub fn listed(&self, keymap: &Keymap, demo: bool) -> [Vec<Listed>; 2] {
        let here = scopes(self.about());
        let mut lists = [Vec::<Listed>::new(), Vec::new()];
        for (list, scope) in here.iter().map(|scope| (0, *scope)).chain([(1, Scope::Global)]) {
            for command in self.commands_of(scope, demo) {
                let mut keys = keymap.keys_of(command.action, &[scope]);
                if scope == Scope::Global {
                    // What the pane does with a key goes before what is done everywhere.
                    keys.retain(|key| !self.takes(keymap, key));
                }
                let is_known = lists[list].iter().any(|(known, _)| known.title == command.title);
                if !is_known && (!keys.is_empty() || scope == Scope::Global && self.about() != PaneName::Editor) {
                    lists[list].push((command, keys));
                }
            }
        }
        lists
    }

    /// True where the pane has another use for a key that works everywhere.
    fn takes(&self, keymap: &Keymap, key: &str) -> bool {
        let begins = key.split(' ').next().unwrap_or_default();
        // What is typed, and what the text does with keys that go from pane to pane elsewhere.
        let is_typed = self.about() == PaneName::Editor
            && (begins.chars().count() == 1 || ["tab", "shift-tab", "ctrl-c"].contains(&begins));
        let is_bound = |scope: &Scope| keymap.is_bound(*scope, key) || keymap.is_bound(*scope, begins);
        is_typed || scopes(self.about()).iter().any(is_bound)
    }

    /// The commands of a scope that match the search.
    fn commands_of(&self, scope: Scope, demo: bool) -> impl Iterator<Item = &'static Command> {
        let words: Vec<String> =
            self.session.search.text().to_lowercase().split_whitespace().map(str::to_owned).collect();
        COMMANDS.iter().filter(move |command| {
            let text = format!("{} {} {}", command.name, command.title, command.help).to_lowercase();
            (demo || !command.demo)
                && command.scopes.contains(&scope)
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

/// The tables whose keys work in a pane, beside the global one.
fn scopes(about: PaneName) -> Vec<Scope> {
    match about {
        PaneName::Collections => vec![Scope::Collections, Scope::List],
        PaneName::Records => vec![Scope::Records, Scope::List],
        PaneName::Record => vec![Scope::Record, Scope::List],
        PaneName::Outbox => vec![Scope::Outbox, Scope::List],
        PaneName::Connectivity => vec![Scope::Connectivity, Scope::List],
        PaneName::Sync => vec![Scope::Sync, Scope::List],
        PaneName::Conflicts => vec![Scope::Conflicts, Scope::List],
        PaneName::Editor => vec![Scope::Editor],
        PaneName::Sessions => vec![Scope::Sessions, Scope::List],
        PaneName::Vault => vec![Scope::Vault, Scope::List],
        PaneName::Recovery => vec![Scope::Recovery, Scope::List],
        PaneName::Drafts => vec![Scope::Drafts, Scope::List],
        PaneName::Palette | PaneName::Goto | PaneName::Help => vec![Scope::Input],
        PaneName::Log | PaneName::Welcome | PaneName::History => vec![Scope::List],
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
                return Outcome::used().request(Request::RunListed);
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
