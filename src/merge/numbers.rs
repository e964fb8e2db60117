//! Arithmetic on JSON numbers without a float: `0.1 + 0.2` is `0.3`, and 2⁵³ + 1 is itself.
//!
//! A number is a whole mantissa (`i128`) and a power of ten. What does not fit has no result, and the field is asked
//! for.

use std::cmp::Ordering;

use serde_json::{Number, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Decimal {
    mantissa: i128,
    /// The power of ten; never above zero.
    exponent: i32,
}

/// base + (mine - base) + (theirs - base). A base that is absent counts as zero; a side that is absent has no number.
pub(super) fn add(base: Option<&Value>, mine: Option<&Value>, theirs: Option<&Value>) -> Option<Value> {
    let base = base.map_or(Some(Decimal { mantissa: 0, exponent: 0 }), Decimal::of)?;
    let (mine, theirs) = (Decimal::of(mine?)?, Decimal::of(theirs?)?);
    let exponent = base.exponent.min(mine.exponent).min(theirs.exponent);
    let (base, mine, theirs) = (base.at(exponent)?, mine.at(exponent)?, theirs.at(exponent)?);
    let mantissa = mine.checked_add(theirs)?.checked_sub(base)?;
    Decimal { mantissa, exponent }.to_value()
}

pub(super) fn greater<'v>(a: &'v Value, b: &'v Value) -> Option<&'v Value> {
    Some(if compare(a, b)? == Ordering::Less { b } else { a })
}

pub(super) fn smaller<'v>(a: &'v Value, b: &'v Value) -> Option<&'v Value> {
    Some(if compare(a, b)? == Ordering::Greater { b } else { a })
}

fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    let (a, b) = (Decimal::of(a)?, Decimal::of(b)?);
    let exponent = a.exponent.min(b.exponent);
    Some(a.at(exponent)?.cmp(&b.at(exponent)?))
}

impl Decimal {
    fn of(value: &Value) -> Option<Self> {
        let Value::Number(number) = value else { return None };
        let text = number.to_string();
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text.as_str(), 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mantissa = format!("{whole}{fraction}").parse::<i128>().ok()?;
        let exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        let decimal = Self { mantissa, exponent };
        match exponent {
            ..=0 => Some(decimal),
            _ => Some(Self { mantissa: decimal.at(0)?, exponent: 0 }),
        }
    }

    /// The mantissa at a smaller power of ten.
    fn at(self, exponent: i32) -> Option<i128> {
        let places = u32::try_from(self.exponent.checked_sub(exponent)?).ok()?;
        match self.mantissa {
            0 => Some(0),
            mantissa => mantissa.checked_mul(10_i128.checked_pow(places)?),
        }
    }

    /// In plain digits, with as many places as the most exact of the numbers it was made of.
    fn to_value(self) -> Option<Value> {
        let digits = self.mantissa.unsigned_abs().to_string();
        let places = usize::try_from(-self.exponent).ok().filter(|places| *places <= 60)?;
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let text = match places {
            0 => format!("{sign}{digits}"),
            _ => {
                let digits = format!("{digits:0>width$}", width = places + 1);
                let (whole, fraction) = digits.split_at(digits.len() - places);
                format!("{sign}{whole}.{fraction}")
            }
        };
        text.parse::<Number>().ok().map(Value::Number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn number(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    fn sum(base: &str, mine: &str, theirs: &str) -> Option<String> {
        add(Some(&number(base)), Some(&number(mine)), Some(&number(theirs))).map(|value| value.to_string())
    }

    #[test]
    fn both_deltas_are_added_exactly() {
        assert_eq!(sum("10", "9", "8").as_deref(), Some("7"));
        assert_eq!(sum("0", "0.1", "0.2").as_deref(), Some("0.3"));
        assert_eq!(
            sum("9007199254740993", "9007199254740994", "9007199254740993").as_deref(),
            Some("9007199254740994")
        );
        assert_eq!(sum("1e2", "101", "99.50").as_deref(), Some("100.50"));
        assert_eq!(sum("0.5", "0.25", "0.2").as_deref(), Some("-0.05"));
        assert_eq!(add(None, Some(&json!(2)), Some(&json!(3))), Some(json!(5)));
    }

    #[test]
    fn what_does_not_fit_has_no_sum() {
        assert_eq!(sum("0", "1e300", "1"), None);
        assert_eq!(sum("0", "170141183460469231731687303715884105727", "1"), None);
        assert_eq!(sum("0", "1e-300", "1"), None);
        assert_eq!(add(Some(&json!(1)), None, Some(&json!(3))), None);
        assert_eq!(add(Some(&json!(1)), Some(&json!("2")), Some(&json!(3))), None);
    }

    #[test]
    fn the_greater_number_keeps_its_spelling() {
        let (a, b) = (number("1.50"), number("1.5e0"));
        assert_eq!(greater(&a, &number("1.49")).unwrap().to_string(), "1.50");
        assert_eq!(smaller(&b, &number("2")).unwrap().to_string(), b.to_string());
        assert_eq!(greater(&json!("b"), &json!("a")), None);
    }

    proptest! {
        #[test]
        fn integers_add_as_integers_do(base in any::<i64>(), mine in any::<i64>(), theirs in any::<i64>()) {
            let exact = i128::from(mine) + i128::from(theirs) - i128::from(base);
            let text = add(Some(&json!(base)), Some(&json!(mine)), Some(&json!(theirs))).unwrap().to_string();
            prop_assert_eq!(text, exact.to_string());
        }
    }
}
