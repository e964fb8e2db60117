//! Time as data. Pure machines are told the instant and handed their randomness; only `runtime::clock` reads either.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC, by this computer's clock. Shown and stored, never used to order edits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The time from `earlier` to `self`; zero when the clock went backwards.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    pub fn plus(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// RFC 3339 in UTC with milliseconds, the form of `--json`.
    pub fn to_rfc3339(self) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(stamp) => format!("{stamp:.3}"),
            Err(_) => self.0.to_string(),
        }
    }

    /// `HH:MM:SS` in the zone `offset_seconds` east of UTC (the machine's zone is found once, by the runtime).
    pub fn clock_time(self, offset_seconds: i32) -> String {
        let seconds = self.0.div_euclid(1000) + i64::from(offset_seconds);
        let day = seconds.rem_euclid(86_400);
        format!("{:02}:{:02}:{:02}", day / 3600, day / 60 % 60, day % 60)
    }
}

impl Timestamp {
    /// `Mon 24 Nov` in the zone `offset_seconds` east of UTC.
    pub fn date(self, offset_seconds: i32) -> String {
        let zone = jiff::tz::Offset::from_seconds(offset_seconds).unwrap_or(jiff::tz::Offset::UTC);
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(stamp) => zone.to_datetime(stamp).strftime("%a %d %b").to_string(),
            Err(_) => self.0.to_string(),
        }
    }
}

/// The instant of an event, with fresh randomness for whatever handling it must invent (ids, jitter).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    pub wall: Timestamp,
    /// Monotonic time since the process started.
    pub mono: Duration,
    /// 16 bytes from the random source, new for every event; a test passes what it likes.
    pub entropy: [u8; 16],
}

impl At {
    /// An instant for tests: `seconds` after the epoch of the test, with entropy derived from it.
    pub fn test(seconds: u64) -> Self {
        let mut entropy = [0; 16];
        entropy[..8].copy_from_slice(&seconds.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        entropy[8..].copy_from_slice(&seconds.wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes());
        Self {
            wall: Timestamp(1_700_000_000_000 + i64::try_from(seconds * 1000).unwrap_or(0)),
            mono: Duration::from_secs(seconds),
            entropy,
        }
    }

    /// A number in `0.0..1.0` from the entropy, for jitter. `salt` makes several independent draws of one instant.
    pub fn fraction(&self, salt: u64) -> f64 {
        let mut word = [0_u8; 8];
        word.copy_from_slice(&self.entropy[8..]);
        let mut mixed = u64::from_be_bytes(word) ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^= mixed >> 33;
        mixed = mixed.wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^= mixed >> 33;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A server's clock as measured: `server = ours + offset_ms`, give or take `uncertainty_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServerClock {
    pub offset_ms: i64,
    pub uncertainty_ms: i64,
}

/// The clock and random source of the process, passed to the floors that talk to the world.
pub trait Clock: Send + Sync + 'static {
    fn at(&self) -> At;
}

/// An age in the shortest form a column holds: `now`, `22m`, `3h`, `9d`. Nothing below a minute is told apart, so that
/// an idle screen is repainted at most once a minute.
pub fn age(span: Duration) -> String {
    match span.as_secs() {
        0..=59 => "now".to_owned(),
        s @ 60..=3_599 => format!("{}m", s / 60),
        s @ 3_600..=86_399 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

/// `41m ago`, `just now`.
pub fn ago(span: Duration) -> String {
    match age(span).as_str() {
        "now" => "just now".to_owned(),
        age => format!("{age} ago"),
    }
}
