//! How many bytes something may cost by itself: a bucket that fills evenly and holds a few minutes' worth.
//!
//! It begins empty, so that a program started again and again never gets more out of it than one that goes on. What was
//! spent beyond it is a debt: nothing more goes until that is filled up.

use std::time::Duration;

/// One byte, in bytes an hour times milliseconds.
const BYTE: i128 = 3_600_000;
/// It holds the twelfth part of an hour's, and so much at least.
const LEAST: u64 = 32 << 10;

#[derive(Debug, Clone)]
pub(super) struct Allowance {
    per_hour: u64,
    /// Negative: a debt.
    level: i128,
    /// Filled up to this monotonic time.
    filled_at: Option<Duration>,
}

impl Allowance {
    /// Zero is nothing, ever.
    pub(super) fn new(per_hour: u64) -> Self {
        Self { per_hour, level: 0, filled_at: None }
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.per_hour == 0
    }

    /// The most it holds.
    pub(super) fn most(&self) -> u64 {
        (self.per_hour / 12).max(LEAST)
    }

    pub(super) fn fill(&mut self, now: Duration) {
        let Some(last) = self.filled_at else {
            self.filled_at = Some(now);
            return;
        };
        let passed = u64::try_from(now.saturating_sub(last).as_millis()).unwrap_or(u64::MAX);
        let gained = i128::from(passed) * i128::from(self.per_hour);
        self.level = (self.level + gained).min(i128::from(self.most()) * BYTE);
        // Parts of a millisecond count with the next time.
        self.filled_at = Some(last + Duration::from_millis(passed));
    }

    pub(super) fn spend(&mut self, bytes: u64) {
        self.level -= i128::from(bytes) * BYTE;
    }

    /// When so much may be spent (monotonic): at once, or when it is there. More than it holds goes when it is full.
    pub(super) fn ready_at(&self, bytes: u64) -> Duration {
        let lacks = i128::from(bytes.min(self.most())) * BYTE - self.level;
        let from = self.filled_at.unwrap_or_default();
        if lacks <= 0 || self.per_hour == 0 {
            return from;
        }
        let per_hour = i128::from(self.per_hour);
        let millis = (lacks + per_hour - 1) / per_hour;
        from + Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_hour_never_costs_more_than_it_may_and_what_the_bucket_held() {
        for (per_hour, cost) in [(1_000_000, 5_000), (1_000_000, 400_000), (60_000, 1_000), (50_000_000, 70_000)] {
            let mut allowance = Allowance::new(per_hour);
            let (mut now, mut spent) = (Duration::ZERO, 0);
            allowance.fill(now);
            loop {
                now = now.max(allowance.ready_at(cost));
                if now >= at(3_600) {
                    break;
                }
                allowance.fill(now);
                assert_eq!(allowance.ready_at(cost).max(now), now, "what was promised is there");
                allowance.spend(cost);
                spent += cost;
            }
            assert!(spent <= per_hour + allowance.most() + cost, "{spent} of {per_hour}");
            assert!(spent + allowance.most() + cost >= per_hour, "{spent} of {per_hour} is too careful");
        }
    }

    #[test]
    fn it_begins_empty_and_saves_up_a_few_minutes() {
        let mut allowance = Allowance::new(3_600_000);
        allowance.fill(at(100));
        assert_eq!(allowance.ready_at(1_000), at(101));
        allowance.fill(at(100_000));
        assert_eq!(allowance.ready_at(allowance.most()), at(100_000));
        allowance.spend(allowance.most());
        assert_eq!(allowance.ready_at(1_000), at(100_001), "nothing beyond what it holds was saved");
    }

    #[test]
    fn a_debt_is_filled_up_first_and_parts_of_a_millisecond_are_not_lost() {
        let mut allowance = Allowance::new(3_600_000);
        allowance.fill(at(0));
        allowance.spend(10_000);
        assert_eq!(allowance.ready_at(1_000), at(11));
        for step in 1..=40_000_u64 {
            allowance.fill(Duration::from_micros(step * 300));
        }
        // Twelve seconds in 40,000 steps.
        assert_eq!(allowance.level, 2_000 * BYTE);
    }
}
