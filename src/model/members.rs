//! The members of a container as pieces of its text. Whoever shows one screen of a megabyte needs no tree of values: the
//! pieces are cut by serde_json's raw values, a level at a time.

use std::{borrow::Cow, collections::HashMap, fmt};

use serde::de::{Deserializer as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Objects of so few members are searched without an index.
const FEW: usize = 16;

/// Texts of more bytes are thought to have many members.
const LARGE: usize = 64 * 1024;

/// One member of an object or item of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'t> {
    /// The name with its quotes and escapes; empty for an item.
    pub raw_name: &'t str,
    /// The text of the value, without blanks around it.
    pub value: &'t str,
}

impl<'t> Member<'t> {
    pub fn name(&self) -> Cow<'t, str> {
        name_of(self.raw_name)
    }
}

/// A name as it is meant.
pub fn name_of(raw: &str) -> Cow<'_, str> {
    match raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
        _ => Cow::Owned(serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned())),
    }
}

/// What the text of a value is, told by its first character.
pub fn is_object(raw: &str) -> bool {
    raw.starts_with('{')
}

pub fn is_array(raw: &str) -> bool {
    raw.starts_with('[')
}

/// `{}` or `[]`, with blanks or without.
pub fn is_empty_container(raw: &str) -> bool {
    raw.get(1..).is_some_and(|rest| rest.trim_start().starts_with(['}', ']']))
}

/// The members of a container in their order; none of a scalar, or of what is no JSON. Of a name that is there twice the
/// last value counts, at the place of the first, as everywhere.
pub fn members(raw: &str) -> Vec<Member<'_>> {
    if is_object(raw) || is_array(raw) { read(raw).unwrap_or_default() } else { Vec::new() }
}

/// The same; an error for what is no JSON, or no container.
pub fn read(raw: &str) -> serde_json::Result<Vec<Member<'_>>> {
    let room = if raw.len() > LARGE { raw.len() / 64 } else { 0 };
    let mut deserializer = serde_json::Deserializer::from_str(raw);
    let found = deserializer.deserialize_any(Members { room })?;
    deserializer.end()?;
    Ok(if is_object(raw) { once_each(found) } else { found })
}

/// A piece of a text, as its place. Documents have 16 MiB at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    pub from: u32,
    pub bytes: u32,
}

impl Span {
    /// Of a piece of this text.
    pub fn of(piece: &str, text: &str) -> Self {
        let from = (piece.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self { from: number(from), bytes: number(piece.len()) }
    }

    /// The piece; nothing where the text is another one.
    pub fn piece(self, text: &str) -> &str {
        let from = self.from as usize;
        text.get(from..from + self.bytes as usize).unwrap_or_default()
    }
}

fn once_each(found: Vec<Member<'_>>) -> Vec<Member<'_>> {
    let is_plain = found.iter().all(|member| !member.raw_name.contains('\\'));
    if is_plain && found.windows(2).all(|pair| pair[0].raw_name < pair[1].raw_name) {
        return found;
    }
    let mut kept: Vec<Member<'_>> = Vec::with_capacity(found.len());
    if found.len() <= FEW {
        for member in found {
            match kept.iter_mut().find(|known| known.raw_name == member.raw_name || known.name() == member.name()) {
                Some(known) => known.value = member.value,
                None => kept.push(member),
            }
        }
        return kept;
    }
    let mut places: HashMap<Cow<'_, str>, usize> = HashMap::with_capacity(found.len());
    for member in found {
        let place = *places.entry(member.name()).or_insert(kept.len());
        match kept.get_mut(place) {
            Some(known) => known.value = member.value,
            None => kept.push(member),
        }
    }
    kept
}

/// Lists members; a container of a large text gets room for many at once.
struct Members {
    room: usize,
}

impl<'de> Visitor<'de> for Members {
    type Value = Vec<Member<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::with_capacity(self.room);
        while let Some(name) = map.next_key::<&RawValue>()? {
            let value: &RawValue = map.next_value()?;
            found.push(Member { raw_name: name.get(), value: value.get() });
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::with_capacity(self.room);
        while let Some(value) = items.next_element::<&RawValue>()? {
            found.push(Member { raw_name: "", value: value.get() });
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// The members by the parser of values.
    fn parsed(raw: &str) -> Vec<(String, Value)> {
        match serde_json::from_str(raw).unwrap() {
            Value::Object(members) => members.into_iter().collect(),
            Value::Array(items) => items.into_iter().map(|item| (String::new(), item)).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn they_are_those_of_the_value() {
        let many: Vec<String> = (0..40).map(|index| format!("\"m{}\": {index}", index % 23)).collect();
        for raw in [
            "{}",
            "[ ]",
            "7",
            "\"{\"",
            r#"{"b":1,"a":{"x":[1,"]"]},"c":null}"#,
            "[1, 2.50 ,\n \"a,b\", [], {\"x\": \"}\"}]",
            r#"{"é":1,"\u00e9":2,"a\"b":3, "a":4, "a":5, "":6}"#,
            &format!("{{ {} }}", many.join(" , ")),
        ] {
            let found = members(raw);
            let found: Vec<(String, Value)> = found
                .iter()
                .map(|member| (member.name().into_owned(), serde_json::from_str(member.value).unwrap()))
                .collect();
            assert_eq!(found, parsed(raw), "{raw}");
        }
        assert!(members("{\"a\": 1").is_empty());
        assert!(is_empty_container("{ }") && is_empty_container("[]") && !is_empty_container("[0]"));
        assert!(!is_empty_container("1") && !is_empty_container(""));
    }
}
