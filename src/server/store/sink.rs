//! Where rendered JSON goes: a string, a hash, or a client in chunks.

use sha2::{Digest, Sha256};

/// Why rendering ended early.
#[derive(Debug)]
pub(in crate::server) enum Stop {
    Sql(rusqlite::Error),
    /// The reader went away, was too slow, or asked for no more than so many bytes.
    Enough,
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

pub(in crate::server) trait Sink {
    fn text(&mut self, text: &str) -> Result<(), Stop>;
}

/// Writes `"key":`.
pub(super) fn push_key(sink: &mut dyn Sink, key: &str) -> Result<(), Stop> {
    if key.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        sink.text("\"")?;
        sink.text(key)?;
        return sink.text("\":");
    }
    sink.text(&serde_json::Value::from(key).to_string())?;
    sink.text(":")
}

/// Everything in memory.
#[derive(Debug, Default)]
pub(in crate::server) struct Text(pub(in crate::server) String);

impl Sink for Text {
    fn text(&mut self, text: &str) -> Result<(), Stop> {
        self.0.push_str(text);
        Ok(())
    }
}

/// At most so many bytes in memory.
pub(in crate::server) struct Capped {
    pub(in crate::server) text: String,
    limit: usize,
}

impl Capped {
    pub(in crate::server) fn new(limit: usize) -> Self {
        Self { text: String::new(), limit }
    }
}

impl Sink for Capped {
    fn text(&mut self, text: &str) -> Result<(), Stop> {
        if self.text.len() + text.len() > self.limit {
            return Err(Stop::Enough);
        }
        self.text.push_str(text);
        Ok(())
    }
}

/// The ETag of what is rendered: a hash of the plain text, so equal content has equal tags whenever it is read.
#[derive(Default)]
pub(in crate::server) struct Tag(Sha256);

/// The ETag of nothing.
pub(in crate::server) const NULL_ETAG: &str = "null_etag";

impl Tag {
    pub(in crate::server) fn of(text: &str) -> String {
        let mut tag = Self::default();
        tag.0.update(text);
        tag.finish()
    }

    pub(in crate::server) fn finish(self) -> String {
        use base64::{Engine, engine::general_purpose::STANDARD};
        STANDARD.encode(&self.0.finalize()[..21])
    }
}

impl Sink for Tag {
    fn text(&mut self, text: &str) -> Result<(), Stop> {
        self.0.update(text);
        Ok(())
    }
}

/// Indents compact JSON on its way to another sink.
pub(in crate::server) struct Pretty<'s> {
    to: &'s mut dyn Sink,
    level: usize,
    in_string: bool,
    escaped: bool,
}

impl<'s> Pretty<'s> {
    pub(in crate::server) fn new(to: &'s mut dyn Sink) -> Self {
        Self { to, level: 0, in_string: false, escaped: false }
    }

    fn push_line(&self, out: &mut String) {
        out.push('\n');
        (0..self.level).for_each(|_| out.push_str("  "));
    }
}

impl Sink for Pretty<'_> {
    fn text(&mut self, text: &str) -> Result<(), Stop> {
        let mut out = String::with_capacity(text.len() * 2);
        for c in text.chars() {
            if self.in_string {
                self.in_string = self.escaped || c != '"';
                self.escaped = !self.escaped && c == '\\';
                out.push(c);
                continue;
            }
            match c {
                '{' | '[' => {
                    self.level += 1;
                    out.push(c);
                    self.push_line(&mut out);
                }
                '}' | ']' => {
                    self.level = self.level.saturating_sub(1);
                    self.push_line(&mut out);
                    out.push(c);
                }
                ',' => {
                    out.push(c);
                    self.push_line(&mut out);
                }
                ':' => out.push_str(" : "),
                _ => {
                    self.in_string = c == '"';
                    out.push(c);
                }
            }
        }
        self.to.text(&out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pretty_text_is_the_same_value_wherever_it_is_cut() {
        let compact = r#"{"a":[1,{"b":"x,{\"\\"}],"ü":null}"#;
        let whole = {
            let mut text = Text::default();
            Pretty::new(&mut text).text(compact).unwrap();
            text.0
        };
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&whole).unwrap(),
            serde_json::from_str::<serde_json::Value>(compact).unwrap()
        );
        assert!(whole.starts_with("{\n  \"a\" : [\n    1,\n"), "{whole}");
        for (cut, _) in compact.char_indices() {
            let mut text = Text::default();
            let mut pretty = Pretty::new(&mut text);
            pretty.text(&compact[..cut]).unwrap();
            pretty.text(&compact[cut..]).unwrap();
            assert_eq!(text.0, whole);
        }
    }
}
