//! A document that is read from text when somebody looks at it.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A document as it lies in a file: it is parsed once, when it is looked at first, and clones share it. A start reads
/// every draft, and one of them may stand on a document of a megabyte that nobody opens.
#[derive(Debug, Clone)]
pub struct LazyDocument(Arc<Lazy>);

#[derive(Debug)]
struct Lazy {
    /// Empty where it was made of a value.
    text: String,
    value: OnceLock<Option<Arc<Value>>>,
}

impl LazyDocument {
    pub fn of_text(text: String) -> Self {
        Self(Arc::new(Lazy { text, value: OnceLock::new() }))
    }

    /// `None` where the text is no JSON.
    pub fn value(&self) -> Option<&Value> {
        self.parsed().map(Arc::as_ref)
    }

    /// The same value, shared.
    pub fn shared(&self) -> Option<Arc<Value>> {
        self.parsed().cloned()
    }

    fn parsed(&self) -> Option<&Arc<Value>> {
        self.0.value.get_or_init(|| serde_json::from_str(&self.0.text).ok().map(Arc::new)).as_ref()
    }
}

impl From<Value> for LazyDocument {
    fn from(value: Value) -> Self {
        Self(Arc::new(Lazy { text: String::new(), value: OnceLock::from(Some(Arc::new(value))) }))
    }
}

impl PartialEq for LazyDocument {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.value() == other.value()
    }
}

impl Serialize for LazyDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LazyDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_and_value_are_the_same_document() {
        let text = LazyDocument::of_text(r#"{"a": [1, "é"]}"#.to_owned());
        let value = LazyDocument::from(json!({"a": [1, "é"]}));
        assert_eq!(text, value);
        assert_eq!(serde_json::to_string(&text).unwrap(), r#"{"a":[1,"é"]}"#);
        assert_eq!(serde_json::from_str::<LazyDocument>(r#"{"a":[1,"é"]}"#).unwrap(), value);
        assert_ne!(text, LazyDocument::from(json!({"a": [2]})));
        assert_eq!(LazyDocument::of_text("{".to_owned()).value(), None);
    }
}
