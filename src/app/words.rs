//! Numbers, sizes and spans in the forms the screen uses.

use std::time::Duration;

pub use crate::model::numbers::{count, grouped};
use crate::model::time::{self, Timestamp, age};

/// At most five characters: `9,999` is `9999`, `10,482` is `10k`.
pub fn short(number: u64) -> String {
    match number {
        0..=9_999 => number.to_string(),
        10_000..=999_999 => format!("{}k", number / 1_000),
        _ => format!("{}m", number / 1_000_000),
    }
}

/// `412 B`, `3.2 kB`, `18 MB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// The age of an instant, `now` below a minute.
pub fn age_of(now: Timestamp, then: Timestamp) -> String {
    age(now.since(then))
}

/// `41m ago`, `just now`.
pub fn ago(now: Timestamp, then: Timestamp) -> String {
    time::ago(now.since(then))
}

/// `today 12:04:31`, `yesterday 18:20:07`, `Mon 24 Nov 09:12:40`, in the zone `offset_seconds` east of UTC.
pub fn day_and_time(now: Timestamp, then: Timestamp, offset_seconds: i32) -> String {
    let day = |at: Timestamp| (at.0 + i64::from(offset_seconds) * 1000).div_euclid(86_400_000);
    let time = then.clock_time(offset_seconds);
    match day(now) - day(then) {
        0 => format!("today {time}"),
        1 => format!("yesterday {time}"),
        _ => format!("{} {time}", then.date(offset_seconds)),
    }
}

/// A countdown as `0:21` or `12:05`.
pub fn countdown(span: Duration) -> String {
    let seconds = span.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// How long until the text of [`age_of`] changes.
pub fn until_older(now: Timestamp, then: Timestamp) -> Duration {
    let span = now.since(then);
    let step: u64 = match span.as_secs() {
        0..=3_599 => 60_000,
        3_600..=86_399 => 3_600_000,
        _ => 86_400_000,
    };
    let past = u64::try_from(span.as_millis()).unwrap_or(0) % step;
    Duration::from_millis(step - past)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_kept_short() {
        assert_eq!((bytes(412), bytes(3_210), bytes(18_000_000)), ("412 B".into(), "3.2 kB".into(), "18 MB".into()));
        assert_eq!(bytes(999_999), "1.0 MB");
    }

    #[test]
    fn a_day_is_named_as_people_do() {
        let noon = Timestamp(1_700_049_600_000);
        let hours = |hours: i64| Timestamp(noon.0 - hours * 3_600_000);
        assert_eq!(day_and_time(noon, hours(0), 0), "today 12:00:00");
        assert_eq!(day_and_time(noon, hours(0), 3_600), "today 13:00:00");
        assert_eq!(day_and_time(noon, hours(13), 0), "yesterday 23:00:00");
        assert_eq!(day_and_time(noon, hours(13), 7_200), "today 01:00:00");
        assert_eq!(day_and_time(noon, hours(49), 0), "Mon 13 Nov 11:00:00");
    }

    #[test]
    fn an_age_says_when_it_will_change() {
        let then = Timestamp(0);
        assert_eq!(until_older(Timestamp(59_000), then), Duration::from_secs(1));
        assert_eq!(until_older(Timestamp(3_600_000), then), Duration::from_secs(3_600));
    }
}
