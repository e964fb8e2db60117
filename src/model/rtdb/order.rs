//! The order of values in a query by child or by value.

use std::cmp::Ordering;

use serde_json::Value;

/// null < false < true < numbers < strings < objects and arrays. `Value::Null` stands for a missing child. Numbers are
/// compared exactly, strings by UTF-16 code unit; two objects are equal, the caller breaks ties by key.
pub fn value_order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => number_order(&x.to_string(), &y.to_string()),
        (Value::String(x), Value::String(y)) => x.encode_utf16().cmp(y.encode_utf16()),
        _ => rank(a).cmp(&rank(b)),
    }
}

/// Bytes whose plain order is [`value_order`]: what an index of the embedded backend holds.
pub fn value_sort_key(value: &Value) -> Vec<u8> {
    let mut bytes = vec![rank(value)];
    match value {
        Value::Number(number) => Decimal::read(&number.to_string()).push_sort_key(&mut bytes),
        Value::String(text) => super::key::push_text(text, &mut bytes),
        _ => {}
    }
    bytes
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(false) => 1,
        Value::Bool(true) => 2,
        Value::Number(_) => 3,
        Value::String(_) => 4,
        Value::Array(_) | Value::Object(_) => 5,
    }
}

/// Orders two JSON number texts by their exact decimal values: floats would call 2⁵³ and 2⁵³+1 equal.
fn number_order(a: &str, b: &str) -> Ordering {
    let (x, y) = (Decimal::read(a), Decimal::read(b));
    match (x.sign, y.sign) {
        (1, 1) => x.cmp_magnitude(&y),
        (-1, -1) => y.cmp_magnitude(&x),
        (sign, other) => sign.cmp(&other),
    }
}

/// 0.d₁d₂d₃… × 10^exponent, d₁ ≠ 0.
struct Decimal {
    sign: i8,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn read(text: &str) -> Self {
        let (sign, rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text),
        };
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let leading = all.iter().take_while(|digit| **digit == b'0').count();
        let mut digits = all[leading..].to_vec();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Self { sign: 0, digits, exponent: 0 };
        }
        let overflow = if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 };
        let exponent = exponent.parse::<i64>().unwrap_or(overflow).clamp(i64::MIN / 2, i64::MAX / 2);
        let point = i64::try_from(whole.len()).unwrap_or(i64::MAX / 4) - i64::try_from(leading).unwrap_or(i64::MAX / 4);
        Self { sign, digits, exponent: exponent.saturating_add(point) }
    }

    /// Bytes ordered like the numbers. Magnitudes of negative numbers are complemented, with an end mark above every digit.
    fn push_sort_key(&self, bytes: &mut Vec<u8>) {
        let exponent = (self.exponent.cast_unsigned() ^ (1 << 63)).to_be_bytes();
        match self.sign {
            0 => bytes.push(1),
            1 => {
                bytes.push(2);
                bytes.extend_from_slice(&exponent);
                bytes.extend_from_slice(&self.digits);
            }
            _ => {
                bytes.push(0);
                bytes.extend(exponent.iter().chain(&self.digits).map(|byte| !byte));
                bytes.push(0xFF);
            }
        }
    }

    fn cmp_magnitude(&self, other: &Self) -> Ordering {
        self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::model::json::{Limits, parse, same_value};

    fn number() -> impl Strategy<Value = String> {
        "-?(0|[1-9][0-9]{0,2})(\\.[0-9]{1,3})?(e-?[0-9]{1,2})?"
    }

    proptest! {
        #[test]
        fn numbers_are_ordered_like_their_floats(a in number(), b in number()) {
            let (x, y): (f64, f64) = (a.parse().unwrap(), b.parse().unwrap());
            if x != y {
                prop_assert_eq!(Some(number_order(&a, &b)), x.partial_cmp(&y), "{} {}", a, b);
            }
        }

        #[test]
        fn equal_numbers_are_the_same_value(a in number(), b in number()) {
            let read = |text: &str| parse(text, Limits::default()).unwrap();
            let equal = value_order(&read(&a), &read(&b)).is_eq();
            prop_assert_eq!(equal, same_value(&read(&a), &read(&b)), "{} {}", a, b);
        }
    }

    proptest! {
        #[test]
        fn bytes_of_a_sort_key_are_ordered_like_the_values(a in any_leaf(), b in any_leaf()) {
            let read = |text: &str| parse(text, Limits::default()).unwrap();
            let (a, b) = (read(&a), read(&b));
            prop_assert_eq!(value_sort_key(&a).cmp(&value_sort_key(&b)), value_order(&a, &b), "{} {}", a, b);
        }
    }

    fn any_leaf() -> impl Strategy<Value = String> {
        prop_oneof![
            number(),
            Just("null".to_owned()),
            any::<bool>().prop_map(|truth| truth.to_string()),
            "[ab\u{ffff}\u{10000}]{0,3}".prop_map(|text| json!(text).to_string()),
            Just("[1]".to_owned()),
        ]
    }

    #[test]
    fn kinds_come_in_their_order() {
        let read = |text: &str| parse(text, Limits::default()).unwrap();
        let sorted = [
            json!(null),
            json!(false),
            json!(true),
            read("-1e400"),
            json!(-2),
            json!(0.5),
            json!(1),
            json!(9),
            json!(10),
            read("9007199254740992"),
            read("9007199254740993"),
            read("1e400"),
            json!(""),
            json!("A"),
            json!("a"),
            json!("𐀀"),
            json!("\u{ffff}"),
            json!({"a": 1}),
        ];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(value_order(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        assert!(value_order(&json!({"a": 1}), &json!([1])).is_eq());
    }
}
