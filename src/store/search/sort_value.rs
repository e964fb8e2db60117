//! Values as bytes that compare the way a list is sorted: missing and null, false, true, numbers, strings, the rest.

use serde_json::Value;

/// Bytes of a string that count; ties go by id.
const LONGEST: usize = 256;

pub(in crate::store) fn of(value: Option<&Value>) -> Vec<u8> {
    match value {
        None | Some(Value::Null) => vec![0],
        Some(Value::Bool(false)) => vec![1],
        Some(Value::Bool(true)) => vec![2],
        Some(Value::Number(number)) => {
            let bits = number.as_f64().unwrap_or(0.0);
            // Minus zero is zero; negative numbers compare reversed.
            let bits = (if bits == 0.0 { 0.0 } else { bits }).to_bits();
            let ordered = if bits >> 63 == 1 { !bits } else { bits | (1 << 63) };
            let mut bytes = vec![3];
            bytes.extend_from_slice(&ordered.to_be_bytes());
            bytes
        }
        Some(Value::String(text)) => {
            let mut bytes = vec![4];
            bytes.extend(text.bytes().take(LONGEST));
            bytes
        }
        Some(Value::Array(_) | Value::Object(_)) => vec![5],
    }
}

#[cfg(test)]
mod tests {
    use super::of;
    use serde_json::json;

    #[test]
    fn values_sort_as_the_backend_sorts_them() {
        let sorted = [
            json!(null),
            json!(false),
            json!(true),
            json!(-10),
            json!(-1.5),
            json!(0),
            json!(2),
            json!(10),
            json!("10"),
            json!("9"),
            json!("a"),
            json!("é"),
            json!({}),
        ];
        let keys: Vec<_> = sorted.iter().map(|value| of(Some(value))).collect();
        assert!(keys.is_sorted(), "{keys:?}");
        assert_eq!(of(None), of(Some(&json!(null))));
    }
}
