//! The only place that reads the system clock and the random source.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::time::{At, Clock, Timestamp};

/// The clock of this process.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock and draws randomness")]
    fn at(&self) -> At {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let mut entropy = [0; 16];
        getrandom::fill(&mut entropy).expect("the operating system's random source answers");
        At {
            wall: Timestamp(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)),
            mono: self.started.elapsed(),
            entropy,
        }
    }
}

/// Seconds east of UTC of the machine's zone at this moment.
///
/// Without `TZ` the zone is read from `/etc/localtime`: looking its name up walks the whole zone database, which a start
/// would feel.
pub fn zone_offset() -> i32 {
    let local = || {
        let is_named = std::env::var_os("TZ").is_some();
        let rules = (!is_named).then(|| std::fs::read("/etc/localtime").ok()).flatten()?;
        jiff::tz::TimeZone::tzif("local", &rules).ok()
    };
    let zone = local().unwrap_or_else(jiff::tz::TimeZone::system);
    let now = SystemClock::new().at().wall;
    jiff::Timestamp::from_millisecond(now.0).map_or(0, |now| zone.to_offset(now).seconds())
}
