//! The keymap: which keys mean which command, in which scope. The default is `assets/keymap.toml`; the configuration
//! lays its own keys over it, per command.
//!
//! Sequences are matched here against a list of keys, without a clock: a half typed sequence stays until it is
//! finished or `esc` is pressed, and a popup shows how it may go on.

use std::collections::BTreeMap;

use keybinds::{Key, KeyInput, KeySeq, Match, Mods};

use crate::app::{
    action::Action,
    command::{self, Scope},
};

const DEFAULT: &str = include_str!("../../assets/keymap.toml");

#[derive(Debug, Clone)]
pub struct Keymap {
    bindings: BTreeMap<Scope, Vec<(KeySeq, Action)>>,
    /// Commands whose keys the configuration set.
    changed: Vec<&'static str>,
}

/// What a list of keys means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    Found(Action),
    /// The beginning of at least one sequence.
    Begun,
    Unknown,
}

/// Something wrong with the configured keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProblem {
    /// The command as written.
    pub command: String,
    pub message: String,
    pub hint: Option<String>,
}

impl Keymap {
    /// The default with `over` laid on top. Entries with a problem are left out ([`check`] lists them).
    pub fn new(over: &BTreeMap<String, Vec<String>>) -> Self {
        let tables: BTreeMap<String, BTreeMap<String, Vec<String>>> =
            toml::from_str(DEFAULT).expect("the embedded keymap is read by a test");
        let mut bindings: BTreeMap<Scope, Vec<(KeySeq, Action)>> = BTreeMap::new();
        for (table, commands) in &tables {
            let Some(scope) = Scope::parse(table) else { continue };
            for (name, keys) in commands {
                let Some(command) = command::by_name(name) else { continue };
                if over.contains_key(name) {
                    continue;
                }
                let sequences = keys.iter().filter_map(|text| parse(text).ok());
                bindings.entry(scope).or_default().extend(sequences.map(|sequence| (sequence, command.action)));
            }
        }
        let mut changed = Vec::new();
        for (name, keys) in over {
            let Some(command) = command::by_name(name) else { continue };
            changed.push(command.name);
            for sequence in keys.iter().filter_map(|text| parse(text).ok()) {
                for scope in command.scopes {
                    let table = bindings.entry(*scope).or_default();
                    table.retain(|(other, _)| *other != sequence);
                    table.push((sequence.clone(), command.action));
                }
            }
        }
        Self { bindings, changed }
    }

    /// What the keys mean in the first scope that knows them; a complete sequence beats a longer one.
    pub fn look_up(&self, scopes: &[Scope], keys: &[KeyInput]) -> Lookup {
        let mut begun = false;
        for scope in scopes {
            for (sequence, action) in self.table(*scope) {
                match sequence.match_to(keys) {
                    Match::Matched => return Lookup::Found(*action),
                    Match::Prefix => begun = true,
                    Match::Unmatch => {}
                }
            }
        }
        if begun { Lookup::Begun } else { Lookup::Unknown }
    }

    /// How a begun sequence may go on: (next key, action), each action once, inner scopes first.
    pub fn continuations(&self, scopes: &[Scope], keys: &[KeyInput]) -> Vec<(String, Action)> {
        let mut found: Vec<(String, Action)> = Vec::new();
        for scope in scopes {
            for (sequence, action) in self.table(*scope) {
                if sequence.match_to(keys) == Match::Prefix && !found.iter().any(|(_, other)| other == action) {
                    let rest: Vec<String> = sequence.as_slice()[keys.len()..].iter().map(show_key).collect();
                    found.push((rest.join(" "), *action));
                }
            }
        }
        found
    }

    /// The keys of an action as shown to people, those of the first scope that has any.
    pub fn keys_of(&self, action: Action, scopes: &[Scope]) -> Vec<String> {
        for scope in scopes {
            let keys: Vec<String> = self
                .table(*scope)
                .iter()
                .filter(|(_, bound)| *bound == action)
                .map(|(sequence, _)| show(sequence))
                .collect();
            if !keys.is_empty() {
                return keys;
            }
        }
        Vec::new()
    }

    /// True where the scope does something with these keys, as shown to people.
    pub fn is_bound(&self, scope: Scope, keys: &str) -> bool {
        self.table(scope).iter().any(|(sequence, _)| show(sequence) == keys)
    }

    pub fn first_key(&self, action: Action, scopes: &[Scope]) -> Option<String> {
        self.keys_of(action, scopes).into_iter().next()
    }

    /// The keys of an action in whichever of its own scopes has some.
    pub fn any_key(&self, action: Action) -> Option<String> {
        self.first_key(action, action.command().scopes)
    }

    /// The commands whose keys the configuration set.
    pub fn changed(&self) -> &[&'static str] {
        &self.changed
    }

    /// The commands no key leads to.
    pub fn unbound(&self) -> Vec<&'static str> {
        let bound = |action| self.any_key(action).is_some();
        command::COMMANDS.iter().filter(|command| !bound(command.action)).map(|command| command.name).collect()
    }

    fn table(&self, scope: Scope) -> &[(KeySeq, Action)] {
        self.bindings.get(&scope).map_or(&[], Vec::as_slice)
    }
}

/// Everything wrong with configured keys, for `config` to report with its line.
pub fn check(over: &BTreeMap<String, Vec<String>>) -> Vec<KeyProblem> {
    let mut problems = Vec::new();
    for (name, keys) in over {
        if command::by_name(name).is_none() {
            let nearest = command::COMMANDS
                .iter()
                .map(|command| command.name)
                .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
            problems.push(KeyProblem {
                command: name.clone(),
                message: format!("there is no command `{name}`"),
                hint: nearest.map(|nearest| format!("did you mean `{nearest}`?")),
            });
        }
        for text in keys {
            if let Err(reason) = parse(text) {
                problems.push(KeyProblem {
                    command: name.clone(),
                    message: format!("`{text}` is not a key: {reason}"),
                    hint: Some("write keys like `x`, `ctrl-x`, `F5`, `enter`, `pgdn` or `g g`".to_owned()),
                });
            }
        }
    }
    problems
}

/// Reads `g g`, `ctrl-d`, `Ctrl+d`, `pgdn`, `F5`.
pub fn parse(text: &str) -> Result<KeySeq, String> {
    let keys = text.split_whitespace().map(parse_key).collect::<Result<Vec<KeyInput>, String>>()?;
    if keys.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(keys.into_iter().collect())
}

pub fn parse_key(text: &str) -> Result<KeyInput, String> {
    let mut rest = text;
    let mut mods = Mods::NONE;
    loop {
        let lower = rest.to_ascii_lowercase();
        let (prefix, found) = match () {
            () if lower.starts_with("ctrl-") || lower.starts_with("ctrl+") => (5, Mods::CTRL),
            () if lower.starts_with("shift-") || lower.starts_with("shift+") => (6, Mods::SHIFT),
            () if lower.starts_with("alt-") || lower.starts_with("alt+") => (4, Mods::ALT),
            () => break,
        };
        if rest.len() == prefix {
            break;
        }
        mods |= found;
        rest = &rest[prefix..];
    }
    let name = match rest.to_ascii_lowercase().as_str() {
        "pgdn" => "pagedown".to_owned(),
        "pgup" => "pageup".to_owned(),
        "del" => "delete".to_owned(),
        "+" => "plus".to_owned(),
        lower if rest.chars().count() > 1 => lower.to_owned(),
        _ => rest.to_owned(),
    };
    let key: Key = name.parse().map_err(|error: keybinds::Error| error.to_string())?;
    Ok(KeyInput::new(key, mods))
}

fn show(sequence: &KeySeq) -> String {
    sequence.as_slice().iter().map(show_key).collect::<Vec<_>>().join(" ")
}

/// A key as people read it: `ctrl-d`, `pgdn`, `enter`.
pub fn show_key(input: &KeyInput) -> String {
    let mut text = String::new();
    for (modifier, word) in [(Mods::CTRL, "ctrl-"), (Mods::ALT, "alt-"), (Mods::SHIFT, "shift-")] {
        if input.mods().contains(modifier) {
            text.push_str(word);
        }
    }
    match input.key() {
        Key::PageDown => text.push_str("pgdn"),
        Key::PageUp => text.push_str("pgup"),
        Key::Char(' ') => text.push_str("space"),
        Key::Char(character) => text.push(character),
        key => {
            let name = key.to_string();
            let is_function = name.starts_with('F') && name.len() > 1;
            text.push_str(&if is_function { name } else { name.to_ascii_lowercase() });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::command::COMMANDS;

    #[test]
    fn the_embedded_keymap_names_only_commands_in_their_own_scopes_and_valid_keys() {
        let tables: BTreeMap<String, BTreeMap<String, Vec<String>>> = toml::from_str(DEFAULT).unwrap();
        for (table, commands) in tables {
            let scope = Scope::parse(&table).unwrap_or_else(|| panic!("no scope {table}"));
            for (name, keys) in commands {
                let command = command::by_name(&name).unwrap_or_else(|| panic!("no command {name}"));
                assert!(command.scopes.contains(&scope), "{name} does not work in {table}");
                for key in keys {
                    parse(&key).unwrap_or_else(|error| panic!("{table}.{name} {key}: {error}"));
                }
            }
        }
    }

    #[test]
    fn no_key_means_two_things_in_one_scope() {
        let keymap = Keymap::new(&BTreeMap::new());
        for (scope, bindings) in &keymap.bindings {
            for (sequence, action) in bindings {
                for (other, second) in bindings {
                    let clash = other.match_to(sequence.as_slice()) == Match::Matched && action != second;
                    assert!(!clash, "{scope:?} {sequence} is {action:?} and {second:?}");
                    assert_ne!(sequence.match_to(other.as_slice()), Match::Prefix, "{scope:?} {sequence} {other}");
                }
            }
        }
    }

    #[test]
    fn keys_are_shown_as_they_are_read() {
        for text in ["ctrl-d", "pgdn", "g g", "F5", "enter", "shift-tab", ":", "?", "space", "G", "<"] {
            assert_eq!(show(&parse(text).unwrap()), text);
        }
        assert_eq!(parse("Ctrl+d").unwrap(), parse("ctrl-d").unwrap());
    }

    #[test]
    fn a_sequence_is_begun_then_found() {
        let keymap = Keymap::new(&BTreeMap::new());
        let g = parse_key("g").unwrap();
        assert_eq!(keymap.look_up(&[Scope::List, Scope::Global], &[g]), Lookup::Begun);
        assert_eq!(keymap.look_up(&[Scope::List, Scope::Global], &[g, g]), Lookup::Found(Action::First));
        assert!(keymap.continuations(&[Scope::List], &[g]).contains(&("o".to_owned(), Action::GotoOutbox)));
    }

    #[test]
    fn configured_keys_replace_the_default_and_bad_ones_are_listed() {
        let over = BTreeMap::from([("open_help".to_owned(), vec!["ctrl-h".to_owned()])]);
        let keymap = Keymap::new(&over);
        assert_eq!(keymap.keys_of(Action::OpenHelp, &[Scope::Global]), ["ctrl-h"]);
        let bad = BTreeMap::from([("open_hlp".to_owned(), vec!["hyper-x".to_owned()])]);
        let problems = check(&bad);
        assert_eq!(problems.len(), 2);
        assert_eq!(problems[0].hint.as_deref(), Some("did you mean `open_help`?"));
    }

    #[test]
    fn every_action_has_one_row_in_the_table() {
        let mut names: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COMMANDS.len());
    }
}
