//! Full jitter: a wait drawn evenly from nothing up to a ceiling that doubles with every failure.

use std::time::Duration;

use crate::model::time::At;

/// The ceiling never grows beyond this (page 3).
pub(super) const CAP: Duration = Duration::from_secs(300);

/// `rand(0, min(cap, 1 s · 2^attempt))`. `salt` separates waits drawn at one instant.
pub(super) fn full_jitter(at: &At, salt: u64, attempt: u32, cap: Duration) -> Duration {
    let ceiling = Duration::from_secs(1_u64 << attempt.min(16)).min(cap);
    ceiling.mul_f64(at.fraction(salt))
}

/// As [`full_jitter`], never below `floor`: for what costs a request even when it is certain to fail.
pub(super) fn jitter_above(at: &At, salt: u64, attempt: u32, floor: Duration, cap: Duration) -> Duration {
    full_jitter(at, salt, attempt, cap).max(floor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_never_exceeds_its_ceiling() {
        for attempt in 0..40 {
            for second in 0..50 {
                let wait = full_jitter(&At::test(second), u64::from(attempt), attempt, CAP);
                assert!(wait <= Duration::from_secs(1_u64 << attempt.min(16)).min(CAP));
            }
        }
    }

    #[test]
    fn waits_are_spread_over_the_whole_range() {
        let waits: Vec<_> = (0..200).map(|n| full_jitter(&At::test(n), n, 5, CAP)).collect();
        assert!(waits.iter().any(|wait| *wait < Duration::from_secs(5)));
        assert!(waits.iter().any(|wait| *wait > Duration::from_secs(27)));
    }
}
