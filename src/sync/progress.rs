//! Rates over the last seconds, from counts at instants.

use std::{collections::VecDeque, time::Duration};

const SPAN: Duration = Duration::from_secs(4);
/// One sample per this much time is kept; a fast pull does not fill the memory with them.
const GRAIN: Duration = Duration::from_millis(100);

/// How fast a count grows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rate {
    samples: VecDeque<(Duration, u64)>,
}

impl Rate {
    /// Notes that the count stood at `count` at the monotonic time `now`.
    pub(super) fn note(&mut self, now: Duration, count: u64) {
        let several = self.samples.len() > 1;
        match self.samples.back_mut() {
            Some((at, last)) if several && now.saturating_sub(*at) < GRAIN => *last = count,
            _ => self.samples.push_back((now, count)),
        }
        while self.samples.len() > 2 && self.samples.front().is_some_and(|(at, _)| now.saturating_sub(*at) > SPAN) {
            self.samples.pop_front();
        }
    }

    pub(super) fn reset(&mut self) {
        self.samples.clear();
    }

    /// A second, over the last seconds; `None` until two instants are known.
    pub(super) fn per_second(&self, now: Duration) -> Option<f64> {
        let (first_at, first) = *self.samples.front()?;
        let (_, last) = *self.samples.back()?;
        let span = now.saturating_sub(first_at).as_secs_f64();
        (span > 0.05 && last > first).then(|| (last - first) as f64 / span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_pull_has_a_steady_rate() {
        let mut rate = Rate::default();
        for step in 0..100_u64 {
            rate.note(Duration::from_millis(step * 50), step * 500);
        }
        let got = rate.per_second(Duration::from_millis(99 * 50)).unwrap();
        assert!((9_000.0..11_000.0).contains(&got), "{got}");
    }

    #[test]
    fn nothing_known_is_no_rate() {
        assert_eq!(Rate::default().per_second(Duration::from_secs(1)), None);
    }
}
