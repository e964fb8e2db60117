//! Keys: which are allowed, and the order the database keeps them in.

use std::cmp::Ordering;

use super::limits::MAX_KEY_BYTES;

/// The order of children: 32-bit integers first, by number, then strings by UTF-16 code unit. Two spellings of one
/// number (`1`, `01`) are ordered by length.
pub fn key_order(a: &str, b: &str) -> Ordering {
    match (as_integer(a), as_integer(b)) {
        (Some(x), Some(y)) => x.cmp(&y).then(a.len().cmp(&b.len())).then_with(|| a.cmp(b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.encode_utf16().cmp(b.encode_utf16()),
    }
}

/// Bytes whose plain order is [`key_order`], one to one with the key: a primary key for SQLite.
///
/// Integers are tagged 1 and hold the shifted number, the length and the spelling; strings are tagged 2 and hold
/// CESU-8, whose byte order is the order of UTF-16 code units.
pub fn sort_key(key: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.len() + 8);
    match as_integer(key) {
        Some(number) => {
            bytes.push(1);
            bytes.extend_from_slice(&(number.cast_unsigned() ^ 0x8000_0000).to_be_bytes());
            bytes.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(key.as_bytes());
        }
        None => {
            bytes.push(2);
            push_text(key, &mut bytes);
        }
    }
    bytes
}

/// Appends CESU-8: its byte order is the order of UTF-16 code units.
pub(super) fn push_text(text: &str, bytes: &mut Vec<u8>) {
    text.chars().for_each(|c| push_cesu8(c, bytes));
}

fn push_cesu8(c: char, bytes: &mut Vec<u8>) {
    let mut units = [0_u16; 2];
    match c.encode_utf16(&mut units) {
        [high, low] => {
            for unit in [*high, *low] {
                bytes.extend([0xE0 | (unit >> 12) as u8, 0x80 | (unit >> 6 & 0x3F) as u8, 0x80 | (unit & 0x3F) as u8]);
            }
        }
        _ => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// The SDK's reading of a key as an integer: `-?0*\d{1,10}` within 32 bits.
fn as_integer(key: &str) -> Option<i32> {
    let digits = key.strip_prefix('-').unwrap_or(key);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    if significant.len() > 10 {
        return None;
    }
    let number: i64 = if significant.is_empty() { 0 } else { significant.parse().ok()? };
    i32::try_from(if key.starts_with('-') { -number } else { number }).ok()
}

/// Says why a key cannot be one, in words for a person.
pub fn check_key(key: &str) -> Result<(), String> {
    if key.is_empty() {
        return Err("a key cannot be empty".to_owned());
    }
    if key.len() > MAX_KEY_BYTES {
        return Err(format!("a key of {} bytes is longer than the limit of {MAX_KEY_BYTES}", key.len()));
    }
    match key.chars().find(|c| matches!(c, '.' | '$' | '#' | '[' | ']' | '/') || c.is_ascii_control()) {
        Some(c) if c.is_ascii_control() => Err("a key cannot hold control characters".to_owned()),
        Some(c) => Err(format!("a key cannot hold `{c}`; none of `.` `$` `#` `[` `]` `/` is allowed")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_key() -> impl Strategy<Value = String> {
        prop_oneof![
            "-?0{0,3}[0-9]{1,11}",
            any::<i32>().prop_map(|number| number.to_string()),
            "[a-z\u{e000}\u{ffff}\u{10000}\u{10ffff}é-]{0,4}",
            ".{0,6}",
        ]
    }

    proptest! {
        #[test]
        fn bytes_of_a_sort_key_are_ordered_like_the_keys(a in any_key(), b in any_key()) {
            prop_assert_eq!(sort_key(&a).cmp(&sort_key(&b)), key_order(&a, &b));
        }

        #[test]
        fn key_order_is_total(a in any_key(), b in any_key(), c in any_key()) {
            prop_assert_eq!(key_order(&a, &b), key_order(&b, &a).reverse());
            prop_assert_eq!(key_order(&a, &b) == Ordering::Equal, a == b);
            if key_order(&a, &b).is_lt() && key_order(&b, &c).is_lt() {
                prop_assert!(key_order(&a, &c).is_lt());
            }
        }
    }

    #[test]
    fn integers_come_first_by_number_then_strings_by_code_unit() {
        let mut keys = ["b", "10", "9", "\u{ffff}", "𐀀", "2147483648", "-3", "01", "1", "-0", "0", "B", "007"];
        keys.sort_by(|a, b| key_order(a, b));
        assert_eq!(keys, ["-3", "0", "-0", "1", "01", "007", "9", "10", "2147483648", "B", "b", "𐀀", "\u{ffff}"]);
    }

    #[test]
    fn forbidden_keys_are_named() {
        for bad in ["", "a.b", "$x", "#", "a[0", "]", "a/b", "tab\there", "\u{7f}", &"é".repeat(385)] {
            assert!(check_key(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "0", "-Nxyz", "日本", "a b", "\u{85}", &"é".repeat(384)] {
            assert_eq!(check_key(good), Ok(()), "{good:?}");
        }
    }
}
