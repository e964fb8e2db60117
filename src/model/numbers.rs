//! Numbers as people read them, in the screens, the log and what commands print.

/// `48210` → `48,210`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 conflict`, `2 conflicts`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart_and_one_is_singular() {
        assert_eq!([0, 999, 1_000, 48_210, 1_234_567].map(grouped), ["0", "999", "1,000", "48,210", "1,234,567"]);
        let counted = [0, 1, 2_000].map(|number| count(number, "entry", "entries"));
        assert_eq!(counted, ["0 entries", "1 entry", "2,000 entries"]);
    }
}
