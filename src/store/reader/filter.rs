//! The filter line: words, `"phrases"`, `field:value`, `id:prefix`, `is:mark`; all terms must match.
//!
//! A word matches where a word of the record (its id or any value) begins with it. A field term matches where a word of the
//! value begins with the text, whatever the case; of an array, any element. The field is a path, or the name of a member: of
//! the record, else of anything in it, whatever the case, as headings of columns have it.

use serde_json::Value;

use crate::{
    model::{
        json::Pointer,
        query::{Filter, FilterUse},
    },
    store::{journal::shadow::mark, search::tokens},
};

/// A parsed filter.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Terms {
    words: Vec<Words>,
    fields: Vec<Field>,
    ids: Vec<String>,
    marks: Vec<Mark>,
    /// The first mark that is none.
    unknown: Option<String>,
}

/// Tokens that must stand in a row within one value; the last one may go on, unless the text was quoted.
#[derive(Debug, Clone, PartialEq)]
struct Words {
    tokens: Vec<String>,
    open: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Field {
    /// The name as a member of its own, and as a path.
    places: Vec<Pointer>,
    /// Where it is no path, in lower case.
    name: Option<String>,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// All of these bits of `shadow.marks`.
    Bits(i64),
    Draft,
    /// A word nobody knows matches nothing.
    Unknown,
}

impl Terms {
    pub fn parse(filter: &Filter) -> Self {
        let mut terms = Self::default();
        for (name, text, quoted) in split(&filter.0) {
            match name.as_deref() {
                Some("id") => terms.ids.push(text),
                Some("is") => {
                    let mark = mark_of(&text);
                    if mark == Mark::Unknown && terms.unknown.is_none() {
                        terms.unknown = Some(text);
                    }
                    terms.marks.push(mark);
                }
                Some(name) => {
                    let mut places = vec![Pointer::parse(name)];
                    if name.contains('.') && !name.starts_with('/') {
                        places.push(name.split('.').fold(Pointer::root(), |at, token| at.child(token)));
                    }
                    let is_path = places.len() > 1 || name.starts_with('/');
                    let name = (!is_path).then(|| name.to_lowercase());
                    terms.fields.push(Field { places, name, value: text.to_lowercase() });
                }
                None => {
                    let tokens = tokens::list(&text);
                    if !tokens.is_empty() {
                        terms.words.push(Words { tokens, open: !quoted });
                    }
                }
            }
        }
        terms
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What they are good for, made of this filter.
    pub fn usefulness(&self, filter: &Filter) -> FilterUse {
        match &self.unknown {
            Some(word) => FilterUse::UnknownMark(word.clone()),
            None if self.is_empty() && !filter.is_empty() => FilterUse::NothingToFind,
            None => FilterUse::Narrows,
        }
    }

    /// True where only records with pending ops can match.
    pub fn only_pending(&self) -> bool {
        self.marks.iter().any(|mark| *mark != Mark::Draft)
    }

    /// True where only records with drafts can match.
    pub fn only_drafts(&self) -> bool {
        self.marks.contains(&Mark::Draft)
    }

    /// The text all ids of matching records begin with.
    pub fn id_prefix(&self) -> Option<&str> {
        self.ids.first().map(String::as_str)
    }

    /// A question for the index that every match answers; `None` where it would not narrow anything.
    pub fn index_query(&self) -> Option<String> {
        let parts = self.index_parts();
        (!parts.is_empty()).then(|| parts.join(" AND "))
    }

    /// The same, one question per term, the longest first: it is likely the rarest.
    pub fn index_parts(&self) -> Vec<String> {
        let mut parts: Vec<String> = self.words.iter().filter_map(|words| phrase(&words.tokens, words.open)).collect();
        for field in &self.fields {
            parts.extend(phrase(&tokens::list(&field.value), true));
        }
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        parts
    }

    /// True where whatever the index finds is a match, without a look at the record: one word, which it was asked for.
    pub fn index_is_exact(&self) -> bool {
        let is_word = matches!(self.words.as_slice(), [words] if words.tokens.len() == 1);
        is_word && self.fields.is_empty() && self.ids.is_empty() && self.marks.is_empty()
    }

    /// `text` is what the row shows of the record.
    pub fn matches(&self, id: &str, text: Option<&str>, marks: i64, draft: bool) -> bool {
        let marked = self.marks.iter().all(|wanted| match wanted {
            Mark::Bits(bits) => marks & bits == *bits,
            Mark::Draft => draft,
            Mark::Unknown => false,
        });
        if !marked || !self.ids.iter().all(|prefix| id.starts_with(prefix.as_str())) {
            return false;
        }
        if self.words.is_empty() && self.fields.is_empty() {
            return true;
        }
        let body = text.unwrap_or("");
        if !self.may_match(id, body) {
            return false;
        }
        let Ok(value) = serde_json::from_str::<Value>(if body.is_empty() { "null" } else { body }) else {
            return false;
        };
        self.fields.iter().all(|field| field.matches(&value))
            && self.words.iter().all(|words| words.matches(id, &value))
    }

    /// A look at the raw text that is wrong in one direction only: plain ASCII words must be in it somewhere.
    fn may_match(&self, id: &str, body: &str) -> bool {
        if body.contains("\\u") {
            return true;
        }
        let words =
            self.words.iter().flat_map(|words| &words.tokens).all(|token| {
                !token.is_ascii() || contains_ignoring_case(body, token) || contains_ignoring_case(id, token)
            });
        words
            && self.fields.iter().all(|field| {
                !field.value.bytes().all(|byte| byte.is_ascii_alphanumeric())
                    || contains_ignoring_case(body, &field.value)
            })
    }
}

/// `needle` is ASCII, lower case. Letters outside ASCII whose lower case is ASCII (the Kelvin sign) are rare enough to
/// be looked at whole.
fn contains_ignoring_case(text: &str, needle: &str) -> bool {
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    let Some((first, rest)) = needle.split_first() else { return true };
    if text.len() < needle.len() {
        return false;
    }
    let upper = first.to_ascii_uppercase();
    text[..=text.len() - needle.len()].iter().enumerate().any(|(at, byte)| {
        (byte == first || *byte == upper) && text[at + 1..at + needle.len()].eq_ignore_ascii_case(rest)
    }) || text.windows(3).any(|bytes| bytes == "\u{212a}".as_bytes() || bytes == "\u{130}".as_bytes())
        || text.windows(2).any(|bytes| bytes == [0xcc, 0x80] || bytes == "\u{130}".as_bytes())
}

impl Words {
    fn matches(&self, id: &str, value: &Value) -> bool {
        let mut found = self.in_text(id);
        tokens::scalars(value, &mut |text| found = found || self.in_text(text));
        found
    }

    fn in_text(&self, text: &str) -> bool {
        let there = tokens::list(text);
        there.windows(self.tokens.len()).any(|window| {
            let last = self.tokens.len() - 1;
            window.iter().zip(&self.tokens).enumerate().all(|(at, (there, wanted))| {
                if at == last && self.open { there.starts_with(wanted.as_str()) } else { there == wanted }
            })
        })
    }
}

impl Field {
    fn matches(&self, document: &Value) -> bool {
        let mut there = self.places.iter().filter_map(|place| place.get(document)).peekable();
        match &self.name {
            Some(name) if there.peek().is_none() => self.matches_within(document, name),
            _ => there.any(|value| self.is_in(value)),
        }
    }

    /// In any member of this name, however deep.
    fn matches_within(&self, value: &Value, name: &str) -> bool {
        match value {
            Value::Object(members) => members.iter().any(|(member, value)| {
                (member.to_lowercase() == name && self.is_in(value)) || self.matches_within(value, name)
            }),
            Value::Array(items) => items.iter().any(|item| self.matches_within(item, name)),
            _ => false,
        }
    }

    fn is_in(&self, value: &Value) -> bool {
        match value {
            Value::Array(items) => self.value.is_empty() || items.iter().any(|item| self.begins(item)),
            other => self.begins(other),
        }
    }

    fn begins(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.begins_a_word(&text.to_lowercase()),
            Value::Array(_) | Value::Object(_) => self.value.is_empty(),
            other => other.to_string().to_lowercase().starts_with(&self.value),
        }
    }

    fn begins_a_word(&self, text: &str) -> bool {
        let is_word = self.value.starts_with(char::is_alphanumeric);
        text.match_indices(&self.value).any(|(at, _)| !is_word || !text[..at].ends_with(char::is_alphanumeric))
    }
}

fn mark_of(word: &str) -> Mark {
    match word.to_lowercase().as_str() {
        "conflict" => Mark::Bits(mark::CONFLICT),
        "changed" => Mark::Bits(mark::CHANGED),
        "held" => Mark::Bits(mark::HELD),
        "rejected" => Mark::Bits(mark::REJECTED),
        "new" => Mark::Bits(mark::CREATED),
        "deleted" => Mark::Bits(mark::DELETED),
        "draft" => Mark::Draft,
        _ => Mark::Unknown,
    }
}

/// A phrase of the index's question language. A single ASCII letter narrows too little to be asked for.
pub(super) fn phrase(tokens: &[String], open: bool) -> Option<String> {
    let alone = tokens.len() == 1 && tokens[0].len() == 1 && open;
    if tokens.is_empty() || alone {
        return None;
    }
    // Tokens hold letters, digits and symbols only: nothing to escape.
    Some(format!("\"{}\"{}", tokens.join(" "), if open { " *" } else { "" }))
}

/// Splits at spaces outside quotes: name before a colon (if any), text, whether it was quoted.
fn split(text: &str) -> Vec<(Option<String>, String, bool)> {
    let mut terms = Vec::new();
    let mut chars = text.chars().peekable();
    while chars.peek().is_some() {
        let (mut name, mut word, mut quoted, mut any) = (None, String::new(), false, false);
        while let Some(c) = chars.next() {
            match c {
                '"' => {
                    quoted = true;
                    any = true;
                    word.extend(chars.by_ref().take_while(|c| *c != '"'));
                }
                c if c.is_whitespace() => break,
                ':' if name.is_none() && !quoted && !word.is_empty() && chars.peek() != Some(&'/') => {
                    name = Some(std::mem::take(&mut word));
                    any = true;
                }
                c => {
                    any = true;
                    word.push(c);
                }
            }
        }
        if any {
            terms.push((name, word, quoted));
        }
    }
    terms
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn matches(filter: &str, document: &Value) -> bool {
        Terms::parse(&Filter(filter.to_owned())).matches("u_0042", Some(&document.to_string()), mark::CHANGED, false)
    }

    #[test]
    fn every_mark_there_is_may_be_asked_for_and_others_are_named() {
        let usefulness = |text: &str| {
            let filter = Filter(text.to_owned());
            Terms::parse(&filter).usefulness(&filter)
        };
        for mark in crate::model::query::MARKS {
            assert_eq!(usefulness(&format!("is:{mark}")), FilterUse::Narrows, "{mark}");
        }
        assert_eq!(usefulness("anna is:bogus is:worse"), FilterUse::UnknownMark("bogus".to_owned()));
        assert_eq!(usefulness("--- \"!\""), FilterUse::NothingToFind);
        for text in ["", "  ", "a -", "id:-", "name:-", "🐟"] {
            assert_eq!(usefulness(text), FilterUse::Narrows, "{text}");
        }
    }

    #[test]
    fn all_terms_must_match() {
        let anna = json!({"name": "Anna Müller-Lüdenscheidt", "role": "Admin", "age": 42, "tags": ["x", "ops"],
                          "address": {"city": "東京都"}, "a.b": 1, "url": "http://x.test/y", "ok": true});
        for yes in [
            "",
            "anna",
            "ANN",
            "mül",
            "role:admin",
            "role:ADM anna",
            "address.city:東京",
            "/address/city:東",
            "tags:ops",
            "age:4",
            "a.b:1",
            "\"anna müller\"",
            "京都",
            "id:u_00",
            "is:changed",
            "ok:true",
            "0042",
            "name:\"anna m\"",
            "role:",
            "http://x.test",
            "name:lüdenscheidt",
            "NAME:müller-lü",
            "city:東京",
            "url:test",
            "url:.test/",
        ] {
            assert!(matches(yes, &anna), "{yes}");
        }
        for no in [
            "nna",
            "role:user",
            "address.city:京",
            "age:5",
            "\"anna mül\"",
            "京東",
            "id:U_00",
            "is:conflict",
            "is:odd",
            "anna bob",
            "missing:x",
            "lüdenscheidts",
            "name:denscheidt",
            "/city:東京",
            "address.name:anna",
            "url:est",
        ] {
            assert!(!matches(no, &anna), "{no}");
        }
    }

    #[test]
    fn index_questions_hold_no_syntax_of_the_user() {
        let query = |text: &str| Terms::parse(&Filter(text.to_owned())).index_query();
        assert_eq!(query("foo OR b*r \"NEAR(\" -x"), Some(r#""foo" * AND "b r" * AND "or" * AND "near""#.to_owned()));
        assert_eq!(query("x"), None);
        assert_eq!(query("id:abc is:draft"), None);
    }
}
