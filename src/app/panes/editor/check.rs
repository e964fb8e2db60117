//! What is to be said of a text: whether it can be queued, where not and why, and what it changes.
//!
//! Made after every change of the text, up to [`WHILE_TYPING`]; larger texts are judged when asked for, so that a key
//! is never slow.

use serde_json::Value;

use super::tokens;
use crate::model::{
    edit::{self, Change},
    ids::CollectionKey,
    json::{self, Limits, Pointer},
    rtdb,
    rules::ConflictRules,
    source::{CollectionSpec, SourceKind, SourceSpec},
};

/// Texts up to this many bytes are checked at every key.
pub const WHILE_TYPING: usize = 256 * 1024;

/// More problems than this are not listed.
const MOST_PROBLEMS: usize = 50;

/// Why a text cannot be queued, and where (line and character column from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `None`: not a place in the text, but its id or the whole.
    pub place: Option<(usize, usize)>,
    pub reason: String,
}

impl Problem {
    pub fn at(line: usize, column: usize, reason: impl Into<String>) -> Self {
        Self { place: Some((line, column)), reason: reason.into() }
    }

    pub fn whole(reason: impl Into<String>) -> Self {
        Self { place: None, reason: reason.into() }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.place {
            Some((line, _)) => write!(f, "Ln {line}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

/// How a field's text is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// As JSON where it is JSON, else as bare text.
    #[default]
    Json,
    /// Every character as it is.
    Text,
}

/// A judged text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Check {
    pub problems: Vec<Problem>,
    /// The whole document as it would be queued; `None` while there are problems.
    pub document: Option<Value>,
    /// Against the base the draft was begun on.
    pub changes: Vec<Change>,
    /// The text is too large to be judged at every key.
    pub skipped: bool,
    /// A field: what its text means (`number`, `text`).
    pub meaning: Option<&'static str>,
}

impl Check {
    pub fn skipped() -> Self {
        Self { skipped: true, ..Self::default() }
    }
}

/// What a text is judged against.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'r> {
    pub base: Option<&'r Value>,
    /// The base as the backend keeps it: to it, nulls and empty containers are nothing, and dropping them no change.
    pub normal: Option<&'r Value>,
    pub kind: Option<SourceKind>,
    /// How many keys lie above the document in the database.
    pub levels: usize,
}

/// What the texts of a collection are judged by.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// `None`: the source is not configured.
    pub kind: Option<SourceKind>,
    pub levels: usize,
    pub conflicts: ConflictRules,
}

impl Terms {
    pub fn of(source: Option<&SourceSpec>, key: &CollectionKey) -> Self {
        let spec = source.and_then(|source| source.collection(&key.collection));
        Self {
            kind: source.map(|source| source.kind),
            levels: spec.map_or(2, CollectionSpec::levels),
            conflicts: spec.map(|spec| spec.conflicts.clone()).unwrap_or_default(),
        }
    }
}

/// Judges a whole document.
pub fn document(lines: &[String], text: &str, rules: Rules<'_>) -> Check {
    let value = match json::parse(text, Limits::default()) {
        Ok(value) => value,
        Err(invalid) => return Check { problems: syntax(lines, &invalid), ..Check::default() },
    };
    if !value.is_object() && rules.base.is_none_or(Value::is_object) {
        let problem = Problem::at(1, 1, format!("a record is an object `{{…}}`, this is {}", kind_of(&value)));
        return Check { problems: vec![problem], ..Check::default() };
    }
    accept(value, lines, &Pointer::root(), rules)
}

/// Judges the text of one field and puts its value into the base.
pub fn field(lines: &[String], text: &str, reading: Reading, pointer: &Pointer, rules: Rules<'_>) -> Check {
    let value = match field_value(lines, text, reading) {
        Ok(value) => value,
        Err(problems) => return Check { problems, ..Check::default() },
    };
    let meaning = Some(kind_of(&value));
    let mut document = rules.base.cloned();
    json::set(&mut document, pointer, Some(value));
    let document = document.expect("something was just set in it");
    Check { meaning, ..accept(document, lines, pointer, rules) }
}

fn field_value(lines: &[String], text: &str, reading: Reading) -> Result<Value, Vec<Problem>> {
    if reading == Reading::Text {
        return Ok(Value::from(text));
    }
    match json::parse(text, Limits::default()) {
        Ok(value) => Ok(value),
        Err(_) if text.trim().is_empty() => Err(vec![Problem::at(1, 1, "no value; write one, or `null`, or `\"\"`")]),
        // Whoever begins with a bracket or a quote means JSON.
        Err(invalid) if text.trim_start().starts_with(['{', '[', '"']) => Err(syntax(lines, &invalid)),
        Err(_) => Ok(Value::from(text)),
    }
}

/// Limits of the backend, its normal form, and the changes against the base.
fn accept(document: Value, lines: &[String], field: &Pointer, rules: Rules<'_>) -> Check {
    let Some(SourceKind::Firebase) = rules.kind else {
        let changes = edit::diff(rules.base, Some(&document));
        return Check { document: Some(document), changes, ..Check::default() };
    };
    if let Err(error) = rtdb::check_document_below(rules.levels, &document) {
        let inside = error.pointer.tokens().get(field.tokens().len()..).unwrap_or(&[]);
        let inside = inside.iter().fold(Pointer::root(), |at, token| at.child(token));
        let line = tokens::line_of(lines, &inside).unwrap_or(0);
        return Check { problems: vec![Problem::at(line + 1, 1, error.to_string())], ..Check::default() };
    }
    match rtdb::normalise(&document) {
        Some(document) => {
            let changes = edit::diff(rules.normal.or(rules.base), Some(&document));
            Check { document: Some(document), changes, ..Check::default() }
        }
        None => {
            let reason = "a record needs at least one value that is not null";
            Check { problems: vec![Problem::whole(reason)], ..Check::default() }
        }
    }
}

/// The parser's one complaint and every string left open, in the order of their lines.
fn syntax(lines: &[String], invalid: &json::Invalid) -> Vec<Problem> {
    const OPEN: &str = "string is not closed";
    let mut problems: Vec<Problem> = tokens::open_strings(lines)
        .take(MOST_PROBLEMS)
        .map(|(line, at)| Problem::at(line + 1, lines[line][..at].chars().count() + 1, OPEN))
        .collect();
    // The parser notices an open string at the end of its line or later; ours names the line it is on.
    if invalid.reason != OPEN || problems.is_empty() {
        let known = problems.iter().any(|problem| problem.place.is_some_and(|(line, _)| line == invalid.line));
        if !known {
            problems.push(Problem::at(invalid.line, invalid.column, invalid.reason.clone()));
        }
    }
    problems.sort_by_key(|problem| problem.place);
    problems
}

/// `text`, `number`, … as the user would say it.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judge(text: &str, base: Option<&Value>) -> Check {
        let lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        document(&lines, text, Rules { base, normal: base, kind: Some(SourceKind::Firebase), levels: 2 })
    }

    fn said(check: &Check) -> Vec<String> {
        check.problems.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn an_open_string_is_named_on_its_own_line() {
        let check = judge("{\n  \"role\": \"owner,\n  \"email\": \"x\"\n}", None);
        assert_eq!(said(&check), ["Ln 2: string is not closed"]);
        let check = judge("{\n  \"role\": \"own,\n  \"x\": \"y\n", None);
        assert_eq!(said(&check), ["Ln 2: string is not closed", "Ln 3: string is not closed"]);
    }

    #[test]
    fn what_the_backend_would_refuse_is_named_with_its_line() {
        let check = judge("{\n  \"ok\": 1,\n  \"a.b\": 2\n}", None);
        assert_eq!(check.problems.len(), 1);
        assert_eq!(check.problems[0].place.map(|(line, _)| line), Some(3), "{:?}", check.problems);
        assert!(said(&judge("[1]", None))[0].contains("a record is an object"));
        assert!(said(&judge("{\"a\": null}", None))[0].contains("at least one value"));
    }

    #[test]
    fn a_valid_text_gives_its_changes() {
        let base = json!({"name": "Bo", "role": "editor"});
        let check = judge("{\"name\": \"Bo\", \"role\": \"owner\"}", Some(&base));
        assert!(check.problems.is_empty());
        assert_eq!(check.changes.len(), 1);
        assert_eq!(check.changes[0].pointer.to_string(), "/role");
    }

    #[test]
    fn a_field_is_json_where_it_is_json_and_text_where_not() {
        let base = json!({"a": {"n": 1}});
        let judge = |text: &str, reading| {
            let lines = [text.to_owned()];
            let rules = Rules { base: Some(&base), normal: None, kind: None, levels: 2 };
            let check = field(&lines, text, reading, &Pointer::parse("/a/n"), rules);
            (check.meaning, check.changes.first().and_then(|change| change.to.clone()), check.problems.len())
        };
        assert_eq!(judge("42", Reading::Json), (Some("a number"), Some(json!(42)), 0));
        assert_eq!(judge("forty two", Reading::Json), (Some("text"), Some(json!("forty two")), 0));
        assert_eq!(judge("42", Reading::Text), (Some("text"), Some(json!("42")), 0));
        assert_eq!(judge("[1,", Reading::Json).2, 1);
        assert_eq!(judge("", Reading::Json).2, 1);
        assert_eq!(judge("", Reading::Text), (Some("text"), Some(json!("")), 0));
    }
}
