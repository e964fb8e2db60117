//! The command palette: every command by name, found fuzzily, run with an argument where it takes one.

use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{CaseMatching, Normalization, Pattern},
};
use serde::{Deserialize, Serialize};

use crate::{
    app::{
        action::Action,
        command::{self, COMMANDS, Command, Scope},
        event::MouseKind,
        list,
        pane::{Cx, Outcome, Pane, PaneName, Request, Seen},
        text::TextInput,
    },
    model::time::Timestamp,
};

/// Commands run from here that are remembered.
const RECENT: usize = 8;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Palette {
    session: PaletteSession,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PaletteSession {
    input: TextInput,
    /// The command under the cursor, by name; a recent line begins with `:`.
    cursor: Option<String>,
    recent: Vec<Recent>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    /// As typed: `goto users/u_00042`.
    pub line: String,
    pub at: Timestamp,
}

/// A line of the palette.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    Command(&'static Command),
    Recent(Recent),
}

impl Entry {
    fn id(&self) -> String {
        match self {
            Self::Command(command) => command.name.to_owned(),
            Self::Recent(recent) => format!(":{}", recent.line),
        }
    }
}

impl Palette {
    pub fn input_line(&self) -> &TextInput {
        &self.session.input
    }

    pub fn open(&mut self) {
        self.session.input.clear();
        self.session.cursor = None;
    }

    /// What matches the typed text, best first; with nothing typed the recent lines come first.
    pub fn entries(&self, demo: bool) -> Vec<Entry> {
        let typed = self.session.input.text().trim().to_owned();
        let offered = COMMANDS.iter().filter(|command| is_offered(command) && (demo || !command.demo));
        if typed.is_empty() {
            let recent = self.session.recent.iter().cloned().map(Entry::Recent);
            return recent.chain(offered.map(Entry::Command)).collect();
        }
        if let Some((command, Some(_))) = parse(&typed) {
            return vec![Entry::Command(command)];
        }
        let words: Vec<String> = typed.to_lowercase().split_whitespace().map(str::to_owned).collect();
        let mut matcher = Matcher::new(Config::DEFAULT);
        let pattern = Pattern::parse(&typed, CaseMatching::Ignore, Normalization::Smart);
        let mut buffer = Vec::new();
        let mut scored: Vec<(u32, &'static Command)> = offered
            .filter_map(|command| {
                let mut score = |text: &str| pattern.score(Utf32Str::new(text, &mut buffer), &mut matcher);
                let in_help = words.iter().all(|word| command.help.contains(word.as_str()));
                Some((score(command.title).or_else(|| in_help.then_some(0))?, command))
            })
            .collect();
        scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        scored.into_iter().map(|(_, command)| Entry::Command(command)).collect()
    }

    pub fn index(&self, entries: &[Entry]) -> usize {
        let Some(cursor) = &self.session.cursor else { return 0 };
        entries.iter().position(|entry| entry.id() == *cursor).unwrap_or(0)
    }

    /// The first entry drawn in `height` lines.
    pub fn top(&self, entries: &[Entry], height: usize) -> usize {
        list::view(0, self.index(entries), height, entries.len())
    }

    fn remember(&mut self, line: &str, at: Timestamp) {
        self.session.recent.retain(|recent| recent.line != line);
        self.session.recent.insert(0, Recent { line: line.to_owned(), at });
        self.session.recent.truncate(RECENT);
    }

    fn run(&mut self, entry: &Entry, cx: &Cx<'_>) -> Outcome {
        let typed = self.session.input.text().trim().to_owned();
        let (line, action, argument) = match entry {
            Entry::Recent(recent) => match parse(&recent.line) {
                Some((command, argument)) => (recent.line.clone(), command.action, argument),
                None => return Outcome::used().request(Request::Close),
            },
            Entry::Command(command) => match parse(&typed) {
                Some((named, argument)) if named.name == command.name => (typed, command.action, argument),
                _ => (command.title.trim_end_matches("...").to_owned(), command.action, None),
            },
        };
        self.remember(&line, cx.at.wall);
        self.open();
        Outcome::used().request(Request::Close).request(Request::Run(action, argument))
    }

    fn complete(&mut self, cx: &Cx<'_>) {
        let entries = self.entries(cx.setup.demo);
        let line = match entries.get(self.index(&entries)) {
            Some(Entry::Command(command)) => {
                let space = if command.argument.is_some() { " " } else { "" };
                format!("{}{space}", command.title.trim_end_matches("..."))
            }
            Some(Entry::Recent(recent)) => recent.line.clone(),
            None => return,
        };
        self.session.input.set(&line);
    }
}

/// Movements are keys, not commands one searches for.
fn is_offered(command: &Command) -> bool {
    let own: &[Action] = &[
        Action::MoveDown,
        Action::MoveUp,
        Action::HalfPageDown,
        Action::HalfPageUp,
        Action::Expand,
        Action::Collapse,
        Action::Open,
        Action::Back,
        Action::OpenPalette,
    ];
    // Those of the recovery screen are for that alone.
    let is_elsewhere = |scope: &Scope| !matches!(scope, Scope::Recovery);
    !own.contains(&command.action)
        && command.scopes.iter().any(is_elsewhere)
        && (!command.scopes.contains(&Scope::Editor) || command.scopes.contains(&Scope::Global))
}

/// Reads a typed line: a command by title or name, and the rest as its argument.
pub fn parse(line: &str) -> Option<(&'static Command, Option<String>)> {
    let line = line.trim();
    let mut best: Option<(&'static Command, usize)> = None;
    for command in COMMANDS {
        let title = command.title.trim_end_matches("...");
        for name in [title, command.name] {
            let matches = line.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
            if matches && best.is_none_or(|(_, length)| name.len() > length) {
                best = Some((command, name.len()));
            }
        }
    }
    if best.is_none() && (line == "goto" || line.starts_with("goto ")) {
        best = command::by_name("goto").map(|command| (command, 4));
    }
    let (command, length) = best?;
    let argument = line[length..].trim();
    if !argument.is_empty() && command.argument.is_none() {
        return None;
    }
    Some((command, (!argument.is_empty()).then(|| argument.to_owned())))
}

impl Pane for Palette {
    const NAME: PaneName = PaneName::Palette;
    const VERSION: u16 = 1;
    type Session = PaletteSession;

    fn session(&self) -> PaletteSession {
        self.session.clone()
    }

    fn restore(session: PaletteSession, _seen: &Seen<'_>) -> Self {
        Self { session }
    }

    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        let entries = self.entries(cx.setup.demo);
        if let Some(index) = list::step(*action, self.index(&entries), entries.len(), usize::from(cx.room.1)) {
            self.session.cursor = entries.get(index).map(Entry::id);
            return Outcome::used();
        }
        match action {
            Action::Back => Outcome::used().request(Request::Close),
            Action::Open => match entries.get(self.index(&entries)) {
                Some(entry) => self.run(&entry.clone(), cx),
                None => Outcome::used(),
            },
            Action::NextTab => {
                self.complete(cx);
                Outcome::used()
            }
            _ => Outcome::ignored(),
        }
    }

    fn takes_text(&self) -> bool {
        true
    }

    fn input(&mut self, key: &keybinds::KeyInput, _cx: &Cx<'_>) -> Outcome {
        let before = self.session.input.text().to_owned();
        if !self.session.input.handle(key) {
            return Outcome::ignored();
        }
        if self.session.input.text() != before {
            self.session.cursor = None;
        }
        Outcome::used()
    }

    fn paste(&mut self, text: &str, _cx: &Cx<'_>) -> Outcome {
        self.session.input.paste(text);
        self.session.cursor = None;
        Outcome::used()
    }

    fn mouse(&mut self, _column: u16, row: u16, kind: MouseKind, cx: &Cx<'_>) -> Outcome {
        match kind {
            MouseKind::ScrollDown => self.handle(&Action::MoveDown, cx),
            MouseKind::ScrollUp => self.handle(&Action::MoveUp, cx),
            MouseKind::Press if row >= 2 => {
                let entries = self.entries(cx.setup.demo);
                let height = usize::from(cx.room.1).saturating_sub(2);
                match entries.get(self.top(&entries, height) + usize::from(row) - 2) {
                    Some(entry) => self.run(&entry.clone(), cx),
                    None => Outcome::used(),
                }
            }
            _ => Outcome::ignored(),
        }
    }

    fn commands(&self) -> Vec<Action> {
        vec![Action::Open, Action::NextTab, Action::Back]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_command_and_its_argument() {
        let (command, argument) = parse("goto users/u_00042").unwrap();
        assert_eq!((command.action, argument.as_deref()), (Action::Goto, Some("users/u_00042")));
        assert_eq!(parse("sync now").unwrap().0.action, Action::SyncNow);
        assert_eq!(parse("sync now nonsense"), None);
    }

    #[test]
    fn a_few_letters_find_the_command() {
        let mut palette = Palette::default();
        palette.session.input.set("syn");
        let Entry::Command(first) = &palette.entries(false)[0] else { panic!("a command is first") };
        assert_eq!(first.action, Action::SyncNow);
    }

    #[test]
    fn demo_commands_are_only_in_the_demo() {
        let palette = Palette::default();
        let has = |demo| palette.entries(demo).contains(&Entry::Command(Action::CutNetwork.command()));
        assert_eq!((has(true), has(false)), (true, false));
    }
}
