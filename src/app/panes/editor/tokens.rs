//! JSON one line at a time, tolerantly: what colours a line, finds open strings and names the member a line is in.
//!
//! JSON strings never span lines, so a line can be read without the lines before it. Half-typed text is the normal
//! case here; [`crate::model::json::parse`] is the judge of what may be queued.

use crate::model::json::Pointer;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A string that names a member.
    Key,
    String,
    /// A string without its end.
    Open,
    Number,
    /// `true`, `false`, `null`.
    Literal,
    /// Brackets, commas, colons.
    Sign,
    /// Anything that JSON has no place for.
    Other,
}

/// A token and its byte range in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub kind: TokenKind,
    pub begin: usize,
    pub end: usize,
}

/// The tokens of a line, blanks left out.
pub fn tokens(line: &str) -> impl Iterator<Item = Token> + '_ {
    let bytes = line.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        at += bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let begin = at;
        let kind = match *bytes.get(at)? {
            b'"' => {
                let closed;
                (at, closed) = string_end(bytes, at + 1);
                match bytes[at..].iter().find(|byte| !byte.is_ascii_whitespace()) {
                    _ if !closed => TokenKind::Open,
                    Some(b':') => TokenKind::Key,
                    _ => TokenKind::String,
                }
            }
            b'{' | b'}' | b'[' | b']' | b',' | b':' => {
                at += 1;
                TokenKind::Sign
            }
            _ => {
                let ends = |byte: &u8| byte.is_ascii_whitespace() || b"{}[],:\"".contains(byte);
                at += bytes[at..].iter().position(ends).unwrap_or(bytes.len() - at);
                word_kind(&line[begin..at])
            }
        };
        Some(Token { kind, begin, end: at })
    })
}

/// Where a string ends that is open at `at`, and whether it is closed there.
fn string_end(bytes: &[u8], mut at: usize) -> (usize, bool) {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return (at + 1, true),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    (bytes.len(), false)
}

fn word_kind(word: &str) -> TokenKind {
    match word {
        "true" | "false" | "null" => TokenKind::Literal,
        _ if word.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && is_number(word) => TokenKind::Number,
        _ => TokenKind::Other,
    }
}

fn is_number(word: &str) -> bool {
    serde_json::from_str::<serde_json::Number>(word).is_ok()
}

/// The lines (from 0) on which a string is opened and not closed, with the byte offset of its quote.
pub fn open_strings(lines: &[String]) -> impl Iterator<Item = (usize, usize)> + '_ {
    lines.iter().enumerate().filter_map(|(number, line)| {
        // Two quotes to a string: most lines need no look at their tokens.
        let open = tokens(line).find(|token| token.kind == TokenKind::Open)?;
        Some((number, open.begin))
    })
}

/// Follows the brackets of a text and calls `visit` with every place and the line it begins on. Stops when `visit`
/// says so. Wrong text gives wrong places, never a panic.
pub fn places(lines: &[String], mut visit: impl FnMut(&Path, usize) -> bool) {
    let mut path = Path::default();
    for (number, line) in lines.iter().enumerate() {
        for token in tokens(line) {
            let text = &line[token.begin..token.end];
            let is_new = match token.kind {
                TokenKind::Sign => match text {
                    "{" => path.open(Level::Object { key: String::new(), named: false }),
                    "[" => path.open(Level::Array { index: 0, begun: false }),
                    "}" | "]" => path.close(),
                    "," => path.next(),
                    _ => false,
                },
                TokenKind::Key => path.name(text),
                _ => path.value(),
            };
            if is_new && visit(&path, number) {
                return;
            }
        }
    }
}

/// Where a walk through a text is.
#[derive(Debug, Default)]
pub struct Path {
    levels: Vec<Level>,
}

#[derive(Debug)]
enum Level {
    /// `key` still has its quotes and escapes.
    Object {
        key: String,
        named: bool,
    },
    Array {
        index: usize,
        begun: bool,
    },
}

impl Path {
    pub fn to_pointer(&self) -> Pointer {
        self.levels.iter().fold(Pointer::root(), |at, level| match level {
            Level::Object { named: false, .. } | Level::Array { begun: false, .. } => at,
            Level::Object { key, .. } => at.child(&unquoted(key)),
            Level::Array { index, .. } => at.child(&index.to_string()),
        })
    }

    /// True where the walk stands at exactly this place.
    pub fn is_at(&self, pointer: &Pointer) -> bool {
        self.levels.len() >= pointer.tokens().len() && self.to_pointer() == *pointer
    }

    /// True where a place begins with the value just met: an item of an array.
    fn value(&mut self) -> bool {
        match self.levels.last_mut() {
            Some(Level::Array { begun, .. }) => !std::mem::replace(begun, true),
            _ => false,
        }
    }

    fn open(&mut self, level: Level) -> bool {
        let is_new = self.value();
        self.levels.push(level);
        is_new
    }

    fn close(&mut self) -> bool {
        self.levels.pop();
        false
    }

    fn next(&mut self) -> bool {
        match self.levels.last_mut() {
            Some(Level::Array { index, begun }) => {
                *index += 1;
                *begun = false;
            }
            Some(Level::Object { named, .. }) => *named = false,
            None => {}
        }
        false
    }

    fn name(&mut self, text: &str) -> bool {
        if let Some(Level::Object { key, named }) = self.levels.last_mut() {
            text.clone_into(key);
            *named = true;
            return true;
        }
        false
    }
}

fn unquoted(key: &str) -> String {
    serde_json::from_str(key).unwrap_or_else(|_| key.trim_matches('"').to_owned())
}

/// The line (from 0) on which the value of a place begins.
pub fn line_of(lines: &[String], pointer: &Pointer) -> Option<usize> {
    let mut found = None;
    places(lines, |path, line| {
        let here = path.is_at(pointer);
        found = here.then_some(line);
        here
    });
    found
}

/// The places that lines (from 0, ascending) are in: the first that begins on a line, or the last one before it.
pub fn places_of(lines: &[String], wanted: &[usize]) -> Vec<Pointer> {
    let mut found: Vec<Pointer> = Vec::with_capacity(wanted.len());
    let mut last = Pointer::root();
    let mut last_line = None;
    places(lines, |path, line| {
        while wanted.get(found.len()).is_some_and(|next| *next < line) {
            found.push(last.clone());
        }
        let Some(next) = wanted.get(found.len()) else { return true };
        // Spelling a place out costs: only near the wanted lines.
        if line == *next && last_line != Some(line) {
            last = path.to_pointer();
            found.push(last.clone());
        } else if *next - line <= 64 {
            last = path.to_pointer();
        }
        last_line = Some(line);
        false
    });
    found.resize(wanted.len(), last);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds(line: &str) -> Vec<(TokenKind, &str)> {
        tokens(line).map(|token| (token.kind, &line[token.begin..token.end])).collect()
    }

    #[test]
    fn a_line_is_read_without_the_lines_before_it() {
        use TokenKind::*;
        assert_eq!(
            kinds(r#"  "a\"b" : -1.5e3, true, tru ["#),
            [
                (Key, r#""a\"b""#),
                (Sign, ":"),
                (Number, "-1.5e3"),
                (Sign, ","),
                (Literal, "true"),
                (Sign, ","),
                (Other, "tru"),
                (Sign, "[")
            ]
        );
        assert_eq!(kinds(r#""role": "owner"#), [(Key, r#""role""#), (Sign, ":"), (Open, r#""owner"#)]);
    }

    fn lines(text: &str) -> Vec<String> {
        text.split('\n').map(str::to_owned).collect()
    }

    #[test]
    fn places_are_found_in_text_that_is_not_json_yet() {
        let text = lines(
            "{\n  \"id\": 1,\n  \"profile\": {\n    \"name\": \"Bo\",\n    \"role\": \"owner\n  },\n  \"tags\": [\n    \"a\",\n    {\"x\": 1}\n  ]\n}",
        );
        let line = |pointer: &str| line_of(&text, &Pointer::parse(pointer));
        assert_eq!(line("/profile/role"), Some(4));
        assert_eq!(line("/tags"), Some(6));
        assert_eq!(line("/tags/1/x"), Some(8));
        assert_eq!(line("/tags/7"), None);
        let at: Vec<String> = places_of(&text, &[0, 4, 5, 7]).iter().map(Pointer::to_string).collect();
        assert_eq!(at, ["", "/profile/role", "/profile/role", "/tags/0"]);
        assert_eq!(open_strings(&text).collect::<Vec<_>>(), [(4, 12)]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}:,\"\\\\ a1\n田]{0,40}", line in 0..9_usize) {
            let text = lines(&text);
            prop_assert_eq!(places_of(&text, &[line, line + 2]).len(), 2);
            line_of(&text, &Pointer::parse("/a/1"));
            for line in &text {
                let mut end = 0;
                for token in tokens(line) {
                    prop_assert!(token.begin >= end && token.end > token.begin);
                    prop_assert!(line.get(token.begin..token.end).is_some());
                    end = token.end;
                }
            }
        }
    }
}
