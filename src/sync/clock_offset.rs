//! How far the server's clock is from ours, from the `Date` of its answers.
//!
//! `Date` has whole seconds and was written at some instant between sending and receiving: each answer proves an
//! interval, `offset ± uncertainty`. The median of the last few is taken with its own uncertainty, so that one answer
//! from a cache, or one that waited, moves nothing.

use std::collections::VecDeque;

use crate::model::{time::ServerClock, wire::Exchange};

const SAMPLES: usize = 9;
/// Half of the second that `Date` leaves open, and what halving a round trip rounds away.
const HALF_A_SECOND_MS: i64 = 501;
/// An answer slower than this says too little of the clock to be worth a sample.
const TOO_SLOW_MS: i64 = 20_000;

#[derive(Debug, Clone, Default)]
pub(super) struct ClockOffset {
    samples: VecDeque<ServerClock>,
    /// Their median: asked for with every event.
    median: Option<ServerClock>,
}

impl ClockOffset {
    /// `exchange.clock_offset_ms` is the server's `Date` (middle of its second) minus our clock when the answer came.
    pub(super) fn note(&mut self, exchange: &Exchange) {
        let (Some(at_arrival), Some(round_trip)) = (exchange.clock_offset_ms, exchange.round_trip) else { return };
        let half = i64::try_from(round_trip.as_millis() / 2).unwrap_or(i64::MAX);
        if half > TOO_SLOW_MS / 2 {
            return;
        }
        if self.samples.len() >= SAMPLES {
            self.samples.pop_front();
        }
        let uncertainty_ms = HALF_A_SECOND_MS.saturating_add(half);
        self.samples.push_back(ServerClock { offset_ms: at_arrival.saturating_add(half), uncertainty_ms });
        let mut sorted: Vec<ServerClock> = self.samples.iter().copied().collect();
        sorted.sort_unstable_by_key(|sample| (sample.offset_ms, sample.uncertainty_ms));
        self.median = sorted.get(sorted.len() / 2).copied();
    }

    /// Our own clock was set: what was measured against the old one is worth nothing.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(super) fn measured(&self) -> Option<ServerClock> {
        self.median
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer(offset: i64, round_trip: u64) -> Exchange {
        Exchange {
            clock_offset_ms: Some(offset),
            round_trip: Some(Duration::from_millis(round_trip)),
            ..Exchange::default()
        }
    }

    #[test]
    fn the_median_of_several_answers_stands_with_its_own_uncertainty() {
        let mut clock = ClockOffset::default();
        assert_eq!(clock.measured(), None);
        for (offset, round_trip) in [(4_900, 20), (-86_400_000, 40), (5_300, 200), (5_000, 60), (5_100, 100)] {
            clock.note(&answer(offset, round_trip));
        }
        assert_eq!(clock.measured(), Some(ServerClock { offset_ms: 5_030, uncertainty_ms: 531 }));
    }

    #[test]
    fn answers_without_a_date_or_too_slow_ones_say_nothing() {
        let mut clock = ClockOffset::default();
        clock.note(&Exchange { round_trip: Some(Duration::from_millis(10)), ..Exchange::default() });
        clock.note(&answer(9_000, 60_000));
        assert_eq!(clock.measured(), None);
    }

    #[test]
    fn every_interval_holds_the_truth_whenever_in_its_second_the_date_was_written() {
        for truth in [-7_000, 0, 1_234, 999_999] {
            for (sent, there, back) in [(10, 30, 400), (2_999, 1, 1), (777, 900, 20)] {
                let date = i64::div_euclid(sent + there + truth, 1_000) * 1_000;
                let mut clock = ClockOffset::default();
                clock.note(&answer(date + 500 - (sent + there + back), u64::try_from(there + back).unwrap()));
                let ServerClock { offset_ms, uncertainty_ms } = clock.measured().unwrap();
                assert!((offset_ms - truth).abs() <= uncertainty_ms, "{truth}: {offset_ms} ± {uncertainty_ms}");
            }
        }
    }

    #[test]
    fn a_clock_that_was_set_is_measured_anew() {
        let mut clock = ClockOffset::default();
        clock.note(&answer(5_000, 10));
        clock.forget();
        assert_eq!(clock.measured(), None);
        clock.note(&answer(-3_595_000, 10));
        assert_eq!(clock.measured().map(|clock| clock.offset_ms), Some(-3_594_995));
    }
}
