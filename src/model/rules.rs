//! How a collection settles what both sides changed: a policy, rules for single fields, and the keys by which the
//! elements of an array are told apart (page 3, "Conflicts").

use std::{cmp::Reverse, fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};

use crate::model::{conflict::ConflictPolicy, json::Pointer};

/// What settles one field that both sides changed differently. A rule that does not fit the values at hand (`max` of
/// two texts) settles nothing, as if it were not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FieldRule {
    /// Always asks, whatever the policy.
    Manual,
    Mine,
    Theirs,
    /// The greater number.
    Max,
    /// The smaller number.
    Min,
    /// The elements of both arrays, theirs first. What one side removed stays removed.
    Union,
    /// The base with what both sides added to it, or took from it.
    Add,
    /// Merged line by line.
    Text,
    /// The server writes it: theirs, also where only this side changed it.
    ServerOwned,
}

impl FieldRule {
    pub const ALL: [FieldRule; 9] = [
        Self::Manual,
        Self::Mine,
        Self::Theirs,
        Self::Max,
        Self::Min,
        Self::Union,
        Self::Add,
        Self::Text,
        Self::ServerOwned,
    ];

    /// The word of the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Mine => "mine",
            Self::Theirs => "theirs",
            Self::Max => "max",
            Self::Min => "min",
            Self::Union => "union",
            Self::Add => "add",
            Self::Text => "text",
            Self::ServerOwned => "server-owned",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.word() == word)
    }
}

/// A JSON pointer in which `*` stands for any one name or index: `/items/*/count`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Pointer);

impl Pattern {
    /// The pattern that names this very place. A name that is `*` itself cannot be told from "any name".
    pub fn of(pointer: &Pointer) -> Self {
        Self(pointer.clone())
    }

    /// True where `pointer` is a place this pattern names.
    pub fn is_at(&self, pointer: &Pointer) -> bool {
        self.0.tokens().len() == pointer.tokens().len() && self.is_at_or_above(pointer)
    }

    /// True where `pointer` is a place this pattern names, or lies below one.
    pub fn is_at_or_above(&self, pointer: &Pointer) -> bool {
        let (wanted, tokens) = (self.0.tokens(), pointer.tokens());
        wanted.len() <= tokens.len() && wanted.iter().zip(tokens).all(|(want, token)| want == "*" || want == token)
    }

    /// Longer patterns speak before shorter ones; of equal length, the one with fewer `*`.
    fn weight(&self) -> (usize, Reverse<usize>) {
        let tokens = self.0.tokens();
        (tokens.len(), Reverse(tokens.iter().filter(|token| *token == "*").count()))
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("`{text}` is not a place; write it like `/tags` or `/items/*/count`"));
        }
        Ok(Self(Pointer::parse(text)))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Pattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// How a collection settles what both sides changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConflictRules {
    /// For what no field rule settles.
    pub policy: ConflictPolicy,
    /// A rule holds for its place and everything below it; the longest pattern that matches wins.
    pub fields: Vec<(Pattern, FieldRule)>,
    /// Arrays whose elements are records of their own, with the member that identifies an element.
    pub keys: Vec<(Pattern, String)>,
}

impl ConflictRules {
    pub fn of(policy: ConflictPolicy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// The rule for a place: its own, or the one of the closest place above it.
    pub fn rule(&self, pointer: &Pointer) -> Option<FieldRule> {
        let matching = self.fields.iter().filter(|(pattern, _)| pattern.is_at_or_above(pointer));
        matching.max_by_key(|(pattern, _)| pattern.weight()).map(|(_, rule)| *rule)
    }

    /// The member that identifies the elements of the array at `pointer`.
    pub fn key(&self, pointer: &Pointer) -> Option<&str> {
        let matching = self.keys.iter().filter(|(pattern, _)| pattern.is_at(pointer));
        matching.max_by_key(|(pattern, _)| pattern.weight()).map(|(_, name)| name.as_str())
    }

    /// The rule that stands for this very pattern.
    pub fn rule_of(&self, pattern: &Pattern) -> Option<FieldRule> {
        self.fields.iter().find(|(known, _)| known == pattern).map(|(_, rule)| *rule)
    }

    /// Sets the rule of a pattern.
    pub fn learn(&mut self, pattern: Pattern, rule: FieldRule) {
        match self.fields.iter_mut().find(|(known, _)| *known == pattern) {
            Some((_, known)) => *known = rule,
            None => self.fields.push((pattern, rule)),
        }
    }

    /// These rules for a write that may have been applied already. Counting it once more would double it, so `add`
    /// asks; every other rule gives the same value when it is applied twice.
    pub fn for_doubted(&self) -> Self {
        let mut rules = self.clone();
        for (_, rule) in &mut rules.fields {
            if *rule == FieldRule::Add {
                *rule = FieldRule::Manual;
            }
        }
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(fields: &[(&str, FieldRule)]) -> ConflictRules {
        let fields = fields.iter().map(|(pattern, rule)| (pattern.parse().unwrap(), *rule)).collect();
        ConflictRules { fields, ..ConflictRules::default() }
    }

    #[test]
    fn the_longest_pattern_wins_and_a_name_beats_a_star() {
        let rules = rules(&[
            ("/items/*/count", FieldRule::Add),
            ("/items", FieldRule::Mine),
            ("/items/0/count", FieldRule::Max),
            ("/*", FieldRule::Theirs),
        ]);
        let rule = |text: &str| rules.rule(&Pointer::parse(text));
        assert_eq!(rule("/items/7/count"), Some(FieldRule::Add));
        assert_eq!(rule("/items/0/count"), Some(FieldRule::Max));
        assert_eq!(rule("/items/7/name"), Some(FieldRule::Mine));
        assert_eq!(rule("/other/deep"), Some(FieldRule::Theirs));
        assert_eq!(rule(""), None);
    }

    #[test]
    fn a_key_is_for_its_very_array() {
        let keys = vec![("/teams/*/members".parse().unwrap(), "id".to_owned())];
        let rules = ConflictRules { keys, ..ConflictRules::default() };
        assert_eq!(rules.key(&Pointer::parse("/teams/3/members")), Some("id"));
        assert_eq!(rules.key(&Pointer::parse("/teams/3/members/0")), None);
        assert_eq!(rules.key(&Pointer::parse("/teams")), None);
    }

    #[test]
    fn every_rule_is_found_under_its_word() {
        for rule in FieldRule::ALL {
            assert_eq!(FieldRule::parse(rule.word()), Some(rule));
            assert_eq!(serde_json::to_value(rule).unwrap(), rule.word());
        }
    }

    #[test]
    fn a_pattern_without_a_slash_is_refused_with_an_example() {
        assert!("tags".parse::<Pattern>().unwrap_err().contains("`/tags`"));
    }
}
