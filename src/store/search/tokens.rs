//! What a text is searched by. One function makes the tokens that are fed to the index, the tokens of a question, and
//! the tokens a record is verified with, so that the index and a scan without it can never disagree.
//!
//! Words are runs of letters and digits, lower case; a character of a script written without spaces, and an emoji, is a
//! word of its own.

use serde_json::Value;

/// Characters of one word that count.
const LONGEST: usize = 64;

/// Bytes of one document that are indexed.
pub(in crate::store) const INDEXED: usize = 128 << 10;

/// Calls `each` with every token of the text, in order.
pub(in crate::store) fn tokens(text: &str, mut each: impl FnMut(&str)) {
    let mut word = String::new();
    let mut letters = 0;
    let mut end = |word: &mut String, letters: &mut usize| {
        if !word.is_empty() {
            each(word);
            word.clear();
        }
        *letters = 0;
    };
    for c in text.chars() {
        if stands_alone(c) {
            end(&mut word, &mut letters);
            word.push(c);
            end(&mut word, &mut letters);
        } else if is_mark(c) {
            // Part of the letter before it, for a person who types without it.
        } else if c.is_alphanumeric() {
            letters += 1;
            if letters <= LONGEST {
                if c.is_ascii() {
                    word.push(c.to_ascii_lowercase());
                } else {
                    word.extend(c.to_lowercase().filter(|c| !is_mark(*c)));
                }
            }
        } else {
            end(&mut word, &mut letters);
        }
    }
    end(&mut word, &mut letters);
}

pub(in crate::store) fn list(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    tokens(text, |token| words.push(token.to_owned()));
    words
}

/// Combining diacritics and selectors.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}

/// CJK, kana, Thai, Lao, Khmer, Burmese, and symbols from the arrows up to emoji.
fn stands_alone(c: char) -> bool {
    matches!(c,
        '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{2190}'..='\u{2bff}'
        | '\u{2e80}'..='\u{2fdf}' | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{1f000}'..='\u{1faff}'
        | '\u{20000}'..='\u{3ffff}')
}

/// Calls `each` with the text of every scalar in the document: strings bare, the rest as JSON.
pub(in crate::store) fn scalars(value: &Value, each: &mut impl FnMut(&str)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| scalars(item, each)),
        Value::Object(members) => members.values().for_each(|member| scalars(member, each)),
        Value::String(text) => each(text),
        other => each(&other.to_string()),
    }
}

/// What the index is fed for a record: its id and values, as tokens between spaces. False where it was too long.
pub(in crate::store) fn indexed_text(id: &str, body: &str, into: &mut String) -> bool {
    into.clear();
    let mut whole = true;
    let mut feed = |text: &str| {
        if into.len() > INDEXED {
            whole = false;
            return;
        }
        tokens(text, |token| {
            into.push_str(token);
            into.push(' ');
        });
    };
    feed(id);
    match serde_json::from_str::<Value>(body) {
        Ok(value) => scalars(&value, &mut feed),
        Err(_) => feed(body),
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::list;

    #[test]
    fn words_are_lower_case_and_scripts_without_spaces_fall_into_characters() {
        assert_eq!(list("Anna-Lena O'Neil 3.14"), ["anna", "lena", "o", "neil", "3", "14"]);
        assert_eq!(list("東京都2026年"), ["東", "京", "都", "2026", "年"]);
        assert_eq!(list("Ж שלום 👍🏽"), ["ж", "שלום", "👍", "🏽"]);
    }

    #[test]
    fn a_decomposed_letter_is_found_by_its_plain_form() {
        assert_eq!(list("cafe\u{301}"), ["cafe"]);
    }
}
