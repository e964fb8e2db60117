//! A wait that the server gave as a date, in an answer that does not tell its own time.
//!
//! Where such an answer is read, our clock is the only one at hand. Earlier answers may have told how far the server's is
//! from it: then the wait ends when the server meant it to.

use crate::{
    model::{
        time::{At, ServerClock, Timestamp},
        wire::{Answer, ReadError},
    },
    sync::Event,
};

/// Counts the wait in `event` by the server's clock.
pub(super) fn by_server_clock(event: &mut Event, at: &At, clock: Option<ServerClock>) {
    let (Event::Pushed { answer: Answer::Later { after, .. }, exchange, .. }
    | Event::Fetched { result: Err(ReadError::Later { after, .. }), exchange, .. }
    | Event::KeysRead { result: Err(ReadError::Later { after, .. }), exchange, .. }
    | Event::PageRead { result: Err(ReadError::Later { after, .. }), exchange, .. }
    | Event::FeedOpened { result: Err(ReadError::Later { after, .. }), exchange, .. }
    | Event::Probed { result: Err(ReadError::Later { after, .. }), exchange, .. }) = event
    else {
        return;
    };
    if let (Some(until), Some(clock)) = (exchange.retry_at, clock) {
        let there = Timestamp(at.wall.0.saturating_add(clock.offset_ms));
        *after = Some(until.since(there));
    }
}
