//! JSON with the care this program needs: pointers, comparison by value, canonical form, checked parsing.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize, de};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// A JSON pointer (RFC 6901), kept as its unescaped tokens. The empty pointer is the whole document.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer(Vec<String>);

impl Pointer {
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads `/a/b~1c`; text without a leading slash is taken as a single top-level member name.
    pub fn parse(text: &str) -> Self {
        if text.is_empty() {
            return Self::root();
        }
        match text.strip_prefix('/') {
            Some(rest) => Self(rest.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect()),
            None => Self(vec![text.to_owned()]),
        }
    }

    pub fn child(&self, token: &str) -> Self {
        let mut tokens = self.0.clone();
        tokens.push(token.to_owned());
        Self(tokens)
    }

    pub fn tokens(&self) -> &[String] {
        &self.0
    }

    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_last()?;
        Some(Self(rest.to_vec()))
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// True where `self` is `other` or lies above it.
    pub fn contains(&self, other: &Pointer) -> bool {
        other.0.starts_with(&self.0)
    }

    pub fn get<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(document, |value, token| match value {
            Value::Object(members) => members.get(token),
            Value::Array(items) => items.get(token.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for token in &self.0 {
            write!(f, "/{}", token.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

impl Serialize for Pointer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if !text.is_empty() && !text.starts_with('/') {
            return Err(de::Error::custom("a JSON pointer is empty or begins with `/`"));
        }
        Ok(Self::parse(&text))
    }
}

/// Serde for `Option<Value>` that tells `null` (present) from absent.
pub mod present {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    pub fn serialize<S: Serializer>(value: &Option<Value>, serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
        Value::deserialize(deserializer).map(Some)
    }
}

/// Sets (`Some`) or removes (`None`) the place a pointer names. Missing parents are made as objects; setting below a
/// scalar replaces the scalar by an object; setting at an array's length appends.
pub fn set(document: &mut Option<Value>, pointer: &Pointer, to: Option<Value>) {
    let Some((last, parents)) = pointer.tokens().split_last() else {
        *document = to;
        return;
    };
    if to.is_none() && pointer.parent().and_then(|parent| parent.get(document.as_ref()?)).is_none() {
        return;
    }
    let mut at = document.get_or_insert_with(|| Value::Object(Map::new()));
    for token in parents {
        at = step(at, token);
    }
    match (at, to) {
        (Value::Array(items), Some(value)) if last.parse::<usize>().is_ok_and(|index| index <= items.len()) => {
            let index: usize = last.parse().unwrap_or(items.len());
            if index < items.len() { items[index] = value } else { items.push(value) }
        }
        (Value::Array(items), None) => {
            if let Some(index) = last.parse::<usize>().ok().filter(|index| *index < items.len()) {
                items.remove(index);
            }
        }
        (Value::Object(members), Some(value)) => {
            members.insert(last.clone(), value);
        }
        (Value::Object(members), None) => {
            members.shift_remove(last);
        }
        (scalar, Some(value)) => *scalar = Value::Object(Map::from_iter([(last.clone(), value)])),
        (_, None) => {}
    }
}

fn step<'v>(at: &'v mut Value, token: &str) -> &'v mut Value {
    let index = token.parse::<usize>().ok();
    if let Value::Array(items) = &*at
        && index.is_none_or(|index| index >= items.len())
    {
        *at = Value::Object(Map::new());
    }
    if !at.is_array() && !at.is_object() {
        *at = Value::Object(Map::new());
    }
    match at {
        Value::Array(items) => &mut items[index.unwrap_or(0)],
        Value::Object(members) => members.entry(token.to_owned()).or_insert_with(|| Value::Object(Map::new())),
        _ => unreachable!("made a container just above"),
    }
}

/// Equality of JSON values: numbers by value (`1` is `1.0`, `1e2` is `100`, digits beyond a float count), objects
/// without order. serde_json's own equality compares number spellings under `arbitrary_precision`.
pub fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            let (x, y) = (x.as_str(), y.as_str());
            x == y || !(is_plain(x) && is_plain(y)) && canonical_number(x) == canonical_number(y)
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same_value(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            // Two versions of one object mostly have their members in one order: those need no look-up.
            let pairs = x.iter().zip(y.iter());
            x.len() == y.len()
                && pairs.into_iter().all(|((name, value), (beside, other))| {
                    let other = if name == beside { Some(other) } else { y.get(name) };
                    other.is_some_and(|other| same_value(value, other))
                })
        }
        _ => a == b,
    }
}

/// The canonical text of a value: members sorted by name, no spaces, numbers in one spelling. Equal exactly where
/// [`same_value`] holds. Borrowed where it is what the value holds anyway: an array may have 100,000 numbers.
pub fn canonical(value: &Value) -> Cow<'_, str> {
    if let Value::Number(number) = value {
        return canonical_number(number.as_str());
    }
    let mut text = String::new();
    write_canonical(value, &mut text);
    Cow::Owned(text)
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Number(number) => text.push_str(&canonical_number(number.as_str())),
        Value::String(string) => write_string(string, text),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            text.push('{');
            for (index, (name, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_string(name, text);
                text.push(':');
                write_canonical(member, text);
            }
            text.push('}');
        }
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Null => text.push_str("null"),
    }
}

/// A string as serde_json writes it; most need no escapes.
fn write_string(string: &str, text: &mut String) {
    if string.bytes().any(|byte| byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        text.push_str(&Value::from(string).to_string());
        return;
    }
    text.push('"');
    text.push_str(string);
    text.push('"');
}

/// An integer in its shortest spelling, not zero: another such text is another number.
fn is_plain(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// One spelling per numeric value: plain integers stay; everything else becomes `<digits>e<exponent>` without
/// trailing zeros. Exact: no float is involved.
fn canonical_number(text: &str) -> Cow<'_, str> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    if rest.len() < 19 && rest.bytes().all(|byte| byte.is_ascii_digit()) && !rest.ends_with('0') {
        return Cow::Borrowed(text);
    }
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().unwrap_or(0)),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Cow::Borrowed("0");
    }
    let dropped = i64::try_from(digits.len() - significant.len()).unwrap_or(0);
    let scale = exponent - i64::try_from(fraction.len()).unwrap_or(0) + dropped;
    Cow::Owned(match scale {
        0 => format!("{sign}{significant}"),
        _ => format!("{sign}{significant}e{scale}"),
    })
}

/// Bytes in hexadecimal digits, lower case.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// SHA-256 of the canonical form: what is compared where a backend gives no revision.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    pub fn of(value: &Value) -> Self {
        Self(Sha256::digest(canonical(value).as_bytes()).into())
    }

    pub fn to_hex(self) -> String {
        hex(&self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex()[..12])
    }
}

/// What [`parse`] refuses, each with the limit that was crossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub bytes: usize,
    pub depth: usize,
}

impl Default for Limits {
    /// 16 MiB of text; nesting of 100 (serde_json itself stops at 128).
    fn default() -> Self {
        Self { bytes: 16 << 20, depth: 100 }
    }
}

/// Why a text is not an acceptable document, with the place (both 1-based; columns in characters).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct Invalid {
    pub line: usize,
    pub column: usize,
    pub reason: String,
}

/// Parses a text and refuses what would silently change its meaning: duplicate member names, trailing text, nesting
/// and sizes beyond the limits. Numbers keep their digits.
pub fn parse(text: &str, limits: Limits) -> Result<Value, Invalid> {
    let first = |reason: String| Invalid { line: 1, column: 1, reason };
    if text.len() > limits.bytes {
        return Err(first(format!("{} bytes, more than the limit of {}", text.len(), limits.bytes)));
    }
    if text.trim().is_empty() {
        return Err(first("the text is empty; write a JSON value".to_owned()));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let checked = Checked::deserialize(&mut deserializer).and_then(|checked| deserializer.end().map(|()| checked));
    let value = checked.map_err(|error| locate(text, &error))?.0;
    match depth(&value) {
        deep if deep > limits.depth => {
            Err(first(format!("nested {deep} deep, more than the limit of {}", limits.depth)))
        }
        _ => Ok(value),
    }
}

fn locate(text: &str, error: &serde_json::Error) -> Invalid {
    let line_text = text.lines().nth(error.line().saturating_sub(1)).unwrap_or("");
    let bytes = error.column().min(line_text.len());
    let column =
        (0..=bytes).rev().find(|at| line_text.is_char_boundary(*at)).map_or(1, |at| line_text[..at].chars().count());
    let message = error.to_string();
    let reason = message.rsplit_once(" at line ").map_or(message.as_str(), |(reason, _)| reason);
    let reason = match reason {
        "EOF while parsing a string" | "control character (\\u0000-\\u001F) found while parsing a string" => {
            "string is not closed"
        }
        "EOF while parsing an object" => "object is not closed",
        "EOF while parsing a list" => "array is not closed",
        "EOF while parsing a value" => "a value is missing here",
        "trailing characters" => "text after the end of the document",
        other => other,
    };
    Invalid { line: error.line().max(1), column: column.max(1), reason: reason.to_owned() }
}

/// How many containers of a text are open at once, at most. Exact for JSON; of anything else some number.
pub fn nesting(text: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                open += 1;
                most = most.max(open);
            }
            b'}' | b']' if !in_string => open = open.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// Levels of nesting: 1 for a scalar, 2 for `{"a":1}`.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 1,
    }
}

struct Checked(Value);

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckedVisitor).map(Checked)
    }
}

struct CheckedVisitor;

impl<'de> de::Visitor<'de> for CheckedVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Checked(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    /// With `arbitrary_precision` serde_json hands numbers to visitors as a map of one private key.
    fn visit_map<A: de::MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        const NUMBER: &str = "$serde_json::private::Number";
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if name == NUMBER && object.is_empty() {
                let digits: String = members.next_value()?;
                return digits.parse::<serde_json::Number>().map(Value::Number).map_err(de::Error::custom);
            }
            if object.contains_key(&name) {
                return Err(de::Error::custom(format!("`{name}` is there twice")));
            }
            let Checked(value) = members.next_value()?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        parse(text, Limits::default()).unwrap()
    }

    #[test]
    fn numbers_are_equal_by_value_and_keep_their_digits() {
        for (a, b) in [("1", "1.0"), ("100", "1e2"), ("0", "-0"), ("0.10", "0.1"), ("1200", "1.2E3")] {
            assert!(same_value(&value(a), &value(b)), "{a} {b}");
            assert_eq!(canonical(&value(a)), canonical(&value(b)));
        }
        assert!(!same_value(&value("9007199254740993"), &value("9007199254740992")));
        assert_eq!(value("12345678901234567890123").to_string(), "12345678901234567890123");
    }

    #[test]
    fn duplicate_names_are_refused_with_their_place() {
        let error = parse("{\"a\":1,\n \"a\":2}", Limits::default()).unwrap_err();
        assert_eq!(error.line, 2);
        assert!(error.reason.contains("`a` is there twice"), "{error}");
    }

    #[test]
    fn an_open_string_is_named_as_such() {
        let error = parse("{\n  \"role\": \"owner", Limits::default()).unwrap_err();
        assert_eq!((error.line, error.reason.as_str()), (2, "string is not closed"));
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused_without_a_panic() {
        let deep = format!("{}{}", "[".repeat(120), "]".repeat(120));
        assert!(parse(&deep, Limits::default()).is_err());
        let deeper = "[".repeat(5_000_000);
        assert!(parse(&deeper, Limits::default()).is_err());
    }

    #[test]
    fn pointers_escape_and_come_back() {
        let pointer = Pointer::root().child("a/b").child("~x");
        assert_eq!(pointer.to_string(), "/a~1b/~0x");
        assert_eq!(Pointer::parse("/a~1b/~0x"), pointer);
    }

    #[test]
    fn removing_below_nothing_makes_nothing() {
        let mut document = Some(value("{}"));
        set(&mut document, &Pointer::parse("/a/b"), None);
        assert_eq!(document, Some(value("{}")));
    }
}
