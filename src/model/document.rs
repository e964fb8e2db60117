//! A JSON document: the text it was read from, the value it means, or both.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::model::{
    json,
    members::{self, Member, Span, members},
};

/// A document, shared by its clones. It dereferences to its value, which is made of its text when somebody looks at it
/// first: a megabyte of text may be ten of values, and most of a record's readers show a screen of it, or compare it
/// with what they have.
///
/// **Invariant:** a text is kept only where it is known to be a value ([`Document::read`]), or was one when we wrote it
/// ([`Document::trust`]).
#[derive(Debug, Clone)]
pub struct Document(Arc<Inner>);

/// At least one of them is there.
#[derive(Debug, Default)]
struct Inner {
    text: OnceLock<String>,
    value: OnceLock<Value>,
    /// The raw names and the values of its members, as places in the text.
    top: OnceLock<Vec<(Span, Span)>>,
    /// Of a text that was trusted and is looked at: whether it is a value.
    sound: OnceLock<bool>,
    trusted: bool,
}

/// Texts up to this many bytes are parsed at once.
const SMALL: usize = 64 * 1024;

/// Deeper ones are parsed at once too: how deep serde_json goes is its own business.
const DEEP: usize = 100;

impl Document {
    /// A document as it lies in a file; `None` where it is none. Its text is looked at once, and kept as it is.
    pub fn read(text: String) -> Option<Self> {
        let inner = Inner { text: text.into(), ..Inner::default() };
        inner.look().then(|| Self(Arc::new(inner)))
    }

    /// A text of ours that was a value when it was written. A large one is not looked at before somebody does: what was
    /// damaged since is null, and [`Document::is_sound`] tells.
    pub fn trust(text: String) -> Option<Self> {
        match text.len() > SMALL {
            true => Some(Self(Arc::new(Inner { text: text.into(), trusted: true, ..Inner::default() }))),
            false => Self::read(text),
        }
    }

    pub fn is_sound(&self) -> bool {
        !self.0.trusted || *self.0.sound.get_or_init(|| self.0.look())
    }

    /// As JSON: what it was read from, or the value written out.
    pub fn text(&self) -> &str {
        self.0.text.get_or_init(|| self.value().to_string())
    }

    /// What it has on its first level, where it is a container; cut once.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Member<'_>> {
        let text = self.text();
        let top = self.0.top.get_or_init(|| spans(&members(text.trim()), text));
        top.iter().map(|(name, value)| Member { raw_name: name.piece(text), value: value.piece(text) })
    }

    pub fn value(&self) -> &Value {
        let parse = || self.0.text.get().and_then(|text| serde_json::from_str(text).ok());
        self.0.value.get_or_init(|| parse().unwrap_or_default())
    }

    /// The value by itself, copied only where somebody else has it too.
    pub fn into_value(self) -> Value {
        self.value();
        match Arc::try_unwrap(self.0) {
            Ok(inner) => inner.value.into_inner().unwrap_or_default(),
            Err(shared) => Self(shared).value().clone(),
        }
    }

    /// True where both say the same: as [`json::same_value`], without a look at the values where the texts are one.
    pub fn is_same(&self, other: &Self) -> bool {
        self.is_same_text(other) || json::same_value(self, other)
    }

    fn is_same_text(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || matches!((self.0.text.get(), other.0.text.get()), (Some(mine), Some(theirs)) if mine == theirs)
    }
}

impl Inner {
    /// Whether the text is a value; notes what it finds of it.
    fn look(&self) -> bool {
        let Some(text) = self.text.get() else { return true };
        // Half of a surrogate pair is a sound text and no value.
        if text.len() > SMALL
            && !text.contains("\\u")
            && let Some(top) = shallow(text)
        {
            let _ = self.top.set(top);
            return true;
        }
        match serde_json::from_str(text) {
            Ok(value) => {
                let _ = self.value.set(value);
                true
            }
            Err(_) => false,
        }
    }
}

/// Reads documents, and gives the last large one again where its text comes again while somebody has it: a record and the
/// base of its draft are mostly one text.
#[derive(Debug, Default)]
pub struct Documents(Mutex<Weak<Inner>>);

impl Documents {
    /// As [`Document::read`]. What is trusted as another one's text is trusted here too.
    pub fn read(&self, text: &str) -> Option<Document> {
        self.known_or(text, Document::read)
    }

    /// As [`Document::trust`].
    pub fn trust(&self, text: &str) -> Option<Document> {
        self.known_or(text, Document::trust)
    }

    /// The last large document, where this is its text.
    pub fn known(&self, text: &[u8]) -> Option<Document> {
        let last = || self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade().map(Document);
        (text.len() > SMALL).then(last).flatten().filter(|known| known.text().as_bytes() == text)
    }

    fn known_or(&self, text: &str, read: fn(String) -> Option<Document>) -> Option<Document> {
        if text.len() <= SMALL {
            return Document::read(text.to_owned());
        }
        if let Some(known) = self.known(text.as_bytes()) {
            return Some(known);
        }
        let document = read(text.to_owned())?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&document.0);
        Some(document)
    }
}

/// The first level of a container that is JSON and not too deep.
fn shallow(text: &str) -> Option<Vec<(Span, Span)>> {
    let found = members::read(text.trim()).ok()?;
    // Each level takes two brackets.
    let is_deep = |value: &str| value.len() / 2 >= DEEP && json::nesting(value) >= DEEP;
    (!found.iter().any(|member| is_deep(member.value))).then(|| spans(&found, text))
}

fn spans(found: &[Member<'_>], text: &str) -> Vec<(Span, Span)> {
    found.iter().map(|member| (Span::of(member.raw_name, text), Span::of(member.value, text))).collect()
}

impl Deref for Document {
    type Target = Value;

    fn deref(&self) -> &Value {
        self.value()
    }
}

impl From<Value> for Document {
    fn from(value: Value) -> Self {
        Self(Arc::new(Inner { value: value.into(), ..Inner::default() }))
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.is_same_text(other) || self.value() == other.value()
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn large(inner: &str) -> String {
        format!(r#"{{"filler": "{}", "inner": {inner}}}"#, "x".repeat(SMALL))
    }

    #[test]
    fn text_and_value_are_the_same_document() {
        let text = Document::read(r#"{"a": [1, "é"]}"#.to_owned()).unwrap();
        let value = Document::from(json!({"a": [1, "é"]}));
        assert_eq!(text, value);
        assert!(text.is_same(&value) && text.is_same(&Document::read(r#"{"a":[1.0,"é"]}"#.to_owned()).unwrap()));
        assert_eq!((text.text(), value.text()), (r#"{"a": [1, "é"]}"#, r#"{"a":[1,"é"]}"#));
        assert_eq!(serde_json::to_string(&text).unwrap(), r#"{"a":[1,"é"]}"#);
        assert_eq!(serde_json::from_str::<Document>(r#"{"a":[1,"é"]}"#).unwrap(), value);
        assert_ne!(text, Document::from(json!({"a": [2]})));
        assert_eq!((text.clone().into_value(), text.into_value()), (json!({"a": [1, "é"]}), json!({"a": [1, "é"]})));
    }

    #[test]
    fn a_large_text_is_parsed_when_it_is_looked_at() {
        let document = Document::read(large("[1, 2.50]")).unwrap();
        assert!(document.0.value.get().is_none());
        assert!(document.is_same(&document.clone()) && document == Document::read(large("[1, 2.50]")).unwrap());
        assert!(document.0.value.get().is_none(), "one text is one value");
        assert_eq!(document["inner"].to_string(), "[1,2.50]");
        assert_eq!(document.into_value()["inner"][0], json!(1));
    }

    #[test]
    fn a_large_text_that_comes_again_is_the_same_document_while_somebody_has_it() {
        let documents = Documents::default();
        let first = documents.read(&large("1")).unwrap();
        assert!(Arc::ptr_eq(&first.0, &documents.read(&large("1")).unwrap().0));
        assert_eq!(documents.read(&large("2")).unwrap()["inner"], json!(2));
        assert_eq!(documents.read(&large("[1")), None);
        assert_eq!(documents.read(&large("1")), Some(first));
        assert!(documents.0.lock().unwrap().upgrade().is_none(), "nobody has it any more");
    }

    #[test]
    fn a_trusted_text_is_looked_at_when_somebody_asks() {
        let documents = Documents::default();
        let trusted = documents.trust(&large("[1]")).unwrap();
        let read = documents.read(&large("[1]")).unwrap();
        assert!(trusted.is_same(&read) && trusted.0.top.get().is_none() && trusted.0.value.get().is_none());
        assert!(trusted.is_sound() && trusted.0.top.get().is_some());
        assert_eq!(trusted["inner"][0], json!(1));
        let damaged = Document::trust(large("[1")).unwrap();
        assert!(!damaged.is_sound());
        assert_eq!((damaged.value(), damaged.members().count()), (&Value::Null, 0));
        assert_eq!(Document::trust("[1".to_owned()), None, "a small one is read at once");
        assert!(Document::from(json!(1)).is_sound() && read.is_sound());
    }

    #[test]
    fn what_is_no_value_is_no_document_however_large() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        for inner in ["", "[1", "nul", "\"a", "1e", "{\"a\" 1}", r#""\ud800""#, r#""\x""#, &deep(200)] {
            assert_eq!(Document::read(inner.to_owned()), None, "{inner}");
            assert_eq!(Document::read(large(inner)), None, "{inner}");
        }
        let unpaired = large(r#""\ud83d\ude00""#);
        assert_eq!(Document::read(unpaired).unwrap()["inner"], json!("😀"));
        for levels in 90..140 {
            let parsed = serde_json::from_str::<Value>(&large(&deep(levels))).ok();
            let read = Document::read(large(&deep(levels)));
            assert_eq!(read.as_deref(), parsed.as_ref(), "{levels} levels");
        }
    }
}
