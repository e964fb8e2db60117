//! Names and ids. Newtypes, so that a record id is never passed where a collection name is meant.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The configured name of a source, unique within a configuration.
    SourceName
}
name! {
    /// The configured name of a collection, unique within its source.
    CollectionName
}
name! {
    /// The id of a record within its collection, exactly as the backend spells it. May hold any text: gate it
    /// through [`crate::model::display`] before it reaches a terminal.
    RecordId
}
name! {
    /// The server's opaque version of a record (an ETag, a `_rev`, a `last_modified`). Compared for equality only.
    Revision
}
name! {
    /// The name of a saved session, as given to `--session`.
    SessionName
}

impl Revision {
    /// The mark of a creation whose record was there before, under a revision nobody needs any more: another can have made
    /// it anew as well, so that its being there proves nothing about this one.
    pub fn of_what_was_there() -> Self {
        Self(String::new())
    }
}

impl SessionName {
    /// A name as a person gives it: up to 64 letters, digits, `-`, `_` and `.`, so that it can be part of a file name
    /// and of a command.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        let fits = (1..=64).contains(&text.len()) && text.chars().all(is_plain) && !text.starts_with(['.', '-']);
        fits.then(|| Self::from(text))
    }

    /// What [`SessionName::parse`] takes, for an error text.
    pub const FORM: &str = "use up to 64 letters, digits, `-`, `_` and `.`";
}

/// The identity of an edit from the moment the user saved it: UUIDv7, idempotency key, seed of client-made ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpId(pub uuid::Uuid);

impl OpId {
    /// Makes the id from the instant of the edit and 16 random bytes, so that a test can make it too.
    pub fn new(at: &crate::model::time::At) -> Self {
        let mut random = [0_u8; 10];
        random.copy_from_slice(&at.entropy[..10]);
        let millis = u64::try_from(at.wall.0).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// Milliseconds since the epoch of the instant it was made from.
    pub fn millis(&self) -> i64 {
        let (millis, _) = self.0.as_u64_pair();
        i64::try_from(millis >> 16).unwrap_or(0)
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The row number of an op in the outbox: the local order of edits, assigned by the journal, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub i64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A collection of a source. Shown as `source/collection`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CollectionKey {
    pub source: SourceName,
    pub collection: CollectionName,
}

impl CollectionKey {
    pub fn new(source: impl Into<SourceName>, collection: impl Into<CollectionName>) -> Self {
        Self { source: source.into(), collection: collection.into() }
    }

    pub fn record(&self, id: impl Into<RecordId>) -> RecordKey {
        RecordKey { collection: self.clone(), id: id.into() }
    }
}

impl fmt::Display for CollectionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.source, self.collection)
    }
}

/// A record anywhere. Shown as `collection/id`, the way the screen names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordKey {
    pub collection: CollectionKey,
    pub id: RecordId,
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.collection.collection, self.id)
    }
}
