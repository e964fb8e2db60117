//! Access rules, the part of Firebase's that needs no expression language: `.read` and `.write` as booleans, `.indexOn`,
//! and `$wildcards`. Without rules everything is open and every order is served.

use std::collections::HashMap;

use serde_json::Value;

/// One place of the rules and what lies below it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rules {
    read: bool,
    write: bool,
    index_on: Vec<String>,
    children: HashMap<String, Rules>,
    wildcard: Option<Box<Rules>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    Read,
    Write,
}

impl Rules {
    /// Reads `{"rules": {…}}`. The error is for a person.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("rules are JSON: {error}"))?;
        let rules = value.get("rules").ok_or("rules are an object with the member `rules`")?;
        Self::place(rules, "/")
    }

    fn place(value: &Value, at: &str) -> Result<Self, String> {
        let members = value.as_object().ok_or_else(|| format!("the rules at `{at}` are not an object"))?;
        let mut rules = Self::default();
        for (key, value) in members {
            match key.as_str() {
                ".read" | ".write" => {
                    let granted = match value {
                        Value::Bool(granted) => *granted,
                        Value::String(text) if text == "true" || text == "false" => text == "true",
                        _ => {
                            return Err(format!(
                                "`{key}` at `{at}` must be true or false; this backend evaluates no expressions"
                            ));
                        }
                    };
                    *(if key == ".read" { &mut rules.read } else { &mut rules.write }) = granted;
                }
                ".indexOn" => {
                    let names = match value {
                        Value::Array(names) => names.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
                        Value::String(name) => Some(vec![name.clone()]),
                        _ => None,
                    };
                    rules.index_on =
                        names.ok_or_else(|| format!("`.indexOn` at `{at}` is a name or a list of names"))?;
                }
                ".validate" => return Err(format!("`.validate` at `{at}` is not supported by this backend")),
                key => {
                    let below = Self::place(value, &format!("{at}{key}/"))?;
                    if key.starts_with('$') {
                        rules.wildcard = Some(Box::new(below));
                    } else {
                        rules.children.insert(key.to_owned(), below);
                    }
                }
            }
        }
        Ok(rules)
    }

    /// A right granted anywhere on the way holds for all below.
    pub(super) fn grant(&self, right: Right, path: &[String]) -> bool {
        let granted = match right {
            Right::Read => self.read,
            Right::Write => self.write,
        };
        granted
            || path
                .split_first()
                .is_some_and(|(key, rest)| self.child(key).is_some_and(|below| below.grant(right, rest)))
    }

    /// True where the children of `path` are indexed by `name`.
    pub(super) fn has_index(&self, path: &[String], name: &str) -> bool {
        match path.split_first() {
            None => self.index_on.iter().any(|indexed| indexed.trim_matches('/') == name),
            Some((key, rest)) => self.child(key).is_some_and(|below| below.has_index(rest, name)),
        }
    }

    fn child(&self, key: &str) -> Option<&Rules> {
        self.children.get(key).or(self.wildcard.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('/').filter(|key| !key.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn a_grant_holds_for_all_below_and_nothing_else() {
        let rules = Rules::parse(
            r#"{"rules": {"open": {".read": true, ".write": "false"}, "users": {"$id": {"inbox": {".write": true, ".indexOn": "at"}}}}}"#,
        )
        .unwrap();
        assert!(rules.grant(Right::Read, &path("open/a/b")));
        assert!(!rules.grant(Right::Write, &path("open/a")));
        assert!(!rules.grant(Right::Read, &path("")));
        assert!(rules.grant(Right::Write, &path("users/7/inbox/x")));
        assert!(rules.has_index(&path("users/7/inbox"), "at"));
        assert!(!rules.has_index(&path("users/7"), "at"));
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        for bad in ["", "{}", r#"{"rules": {".read": "auth != null"}}"#, r#"{"rules": {"a": {".validate": "true"}}}"#] {
            assert!(Rules::parse(bad).is_err(), "{bad}");
        }
    }
}
