//! When the screen is kept as an earlier moment: what was left alone for a while, before the first key after it, and now
//! and then in use. Only keys ask, so that nothing wakes an idle program.

use std::time::Duration;

use crate::model::session::MomentKind;

/// Left alone this long, the screen is one a person may want back: "where was I before lunch?"
const PAUSE: Duration = Duration::from_secs(5 * 60);
/// In use, one is kept this often.
const EVERY: Duration = Duration::from_secs(10 * 60);

/// What decides about the next moment, in monotonic time.
#[derive(Debug, Clone, Copy)]
pub struct Moments {
    last_input: Duration,
    last_kept: Duration,
}

impl Moments {
    /// From the start of a session on: its beginning was kept.
    pub fn new(now: Duration) -> Self {
        Self { last_input: now, last_kept: now }
    }

    /// Something was typed. Asked before it is handled: what is kept is the screen before it.
    pub fn before_input(&mut self, now: Duration) -> Option<MomentKind> {
        let paused = now.saturating_sub(std::mem::replace(&mut self.last_input, now));
        let since = now.saturating_sub(self.last_kept);
        let kind = match () {
            () if paused >= PAUSE => MomentKind::Pause,
            () if since >= EVERY => MomentKind::Use,
            () => return None,
        };
        self.last_kept = now;
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_kept_before_the_first_key_after_a_pause_and_every_ten_minutes_of_use() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let mut moments = Moments::new(minutes(0));
        let kept: Vec<_> = [1, 4, 8, 12, 16, 60, 61, 64, 68, 72]
            .into_iter()
            .filter_map(|minute| moments.before_input(minutes(minute)).map(|kind| (minute, kind)))
            .collect();
        assert_eq!(kept, [(12, MomentKind::Use), (60, MomentKind::Pause), (72, MomentKind::Use)]);
    }
}
