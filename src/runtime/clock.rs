//! The only place that reads the system clock and the random source.

use std::{
    cell::RefCell,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

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
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn at(&self) -> At {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        At {
            wall: Timestamp(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)),
            mono: self.started.elapsed(),
            entropy: RANDOM.with_borrow_mut(Random::next),
        }
    }
}

thread_local! {
    static RANDOM: RefCell<Random> = const { RefCell::new(Random { bytes: [0; STOCK], used: STOCK }) };
}

const STOCK: usize = 1_024;

/// Random bytes in stock, each handed out once: the clock is read with every event, and asking the operating system each
/// time would be most of the cost.
struct Random {
    bytes: [u8; STOCK],
    used: usize,
}

impl Random {
    #[expect(clippy::disallowed_methods, reason = "the one place that draws randomness")]
    fn next(&mut self) -> [u8; 16] {
        if self.used == STOCK {
            getrandom::fill(&mut self.bytes).expect("the operating system's random source answers");
            self.used = 0;
        }
        let mut drawn = [0; 16];
        drawn.copy_from_slice(&self.bytes[self.used..self.used + 16]);
        self.used += 16;
        drawn
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_random_bytes_are_handed_out_twice() {
        let drawn = || (0..200).map(|_| SystemClock::new().at().entropy).collect::<Vec<_>>();
        let other = std::thread::spawn(move || (0..200).map(|_| SystemClock::new().at().entropy).collect::<Vec<_>>());
        let all: HashSet<[u8; 16]> = drawn().into_iter().chain(other.join().unwrap()).collect();
        assert_eq!(all.len(), 400);
    }
}
