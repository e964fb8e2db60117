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
pub fn zone_offset() -> i32 {
    jiff::Zoned::now().offset().seconds()
}
