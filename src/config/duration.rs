//! Spans of time as people write them: `30s`, `1h30m`, `7d`.

use std::time::Duration;

const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// Reads one or more numbers with their units, or a bare number of seconds. The error says why not.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().map_err(|_| format!("`{text}` does not begin with a number"))?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let unit = rest[digits..unit_end].trim();
        let Some((_, millis)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("`{unit}` is no unit of time"));
        };
        total = number.checked_mul(*millis).and_then(|part| total.checked_add(part)).ok_or("it is too long")?;
        rest = rest[unit_end..].trim_start();
    }
    Ok(Duration::from_millis(total))
}

/// The shortest form [`parse`] reads back.
pub(super) fn render(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let fits = |unit: u64| millis >= unit && millis.is_multiple_of(unit);
    let (name, unit) = UNITS.into_iter().rev().find(|(_, unit)| fits(*unit)).unwrap_or(("ms", 1));
    format!("{}{name}", millis / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, seconds) in
            [("30s", 30), ("5m", 300), ("1h30m", 5_400), ("7d", 604_800), ("45", 45), ("1h 5s", 3_605)]
        {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn what_is_no_span_says_why() {
        assert_eq!(parse("soon"), Err("`soon` does not begin with a number".to_owned()));
        assert_eq!(parse("5 parsecs"), Err("`parsecs` is no unit of time".to_owned()));
        assert_eq!(parse("99999999999999999999s").unwrap_err(), "`99999999999999999999s` does not begin with a number");
        assert!(parse("").is_err());
    }

    #[test]
    fn a_rendered_span_reads_back() {
        for span in [1_u64, 999, 1_000, 90_000, 3_600_000, 604_800_000].map(Duration::from_millis) {
            assert_eq!(parse(&render(span)), Ok(span));
        }
    }
}
