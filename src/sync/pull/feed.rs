//! Following a collection: the snapshot a feed begins with is a complete sweep, then come the changes.
//!
//! The machine asks for each event (`NextOfFeed`): what arrives faster than the mirror takes it waits in the socket.

use std::{collections::VecDeque, time::Duration};

use super::{Checkpoint, Heard, MAX_INCOMING, Mode, Phase, Pull, Stage};
use crate::{
    model::{
        ids::RecordId,
        sync_status::is_mass_deletion,
        time::Timestamp,
        wire::{Exchange, ReadError, RemoteChange, RemoteRecord},
    },
    sync::{
        connectivity::Break,
        effect::{Effect, Ticket},
        event::FeedNews,
        lane::{Cx, Signal},
        push::Push,
    },
};

/// A feed that lasted this long was a good one: the next try comes soon.
const STOOD: Duration = Duration::from_secs(30);

pub(super) struct Feed {
    ticket: Ticket,
    /// Follows only what changes after a stamp: its snapshot proves no deletion.
    since: Option<String>,
    opened: bool,
    asked: bool,
    live: bool,
    opened_at: Duration,
    snapshot: Option<Snapshot>,
    bytes: u64,
    /// The last sign of life: up to then everything is here, once it is live.
    heard: Option<Timestamp>,
}

struct Snapshot {
    number: i64,
    chunks: VecDeque<Vec<RemoteRecord>>,
    applying: Option<(Ticket, u64)>,
}

impl Feed {
    pub(super) fn ticket(&self) -> Ticket {
        self.ticket
    }

    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// Up to when a live feed brought everything.
    pub(super) fn complete_until(&self) -> Option<Timestamp> {
        self.heard.filter(|_| self.live)
    }

    /// True for a feed that was live for a while.
    pub(super) fn stood(&self, now: Duration) -> bool {
        self.live && now.saturating_sub(self.opened_at) > STOOD
    }

    /// It begins with a snapshot.
    pub(super) fn is_of_everything(&self) -> bool {
        self.since.is_none()
    }

    pub(super) fn has_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    pub(super) fn applies(&self, ticket: Ticket) -> bool {
        self.snapshot.as_ref().and_then(|snapshot| snapshot.applying).is_some_and(|(expected, _)| expected == ticket)
    }
}

impl Pull {
    pub(super) fn open_feed(&mut self, cx: &mut Cx<'_>, since: Option<String>) {
        if !self.is_open {
            self.stage = Stage::Ready;
            return;
        }
        let ticket = cx.ticket();
        self.reading_since = Some(cx.at.mono);
        if since.is_none() {
            self.begin_whole(cx);
            if self.checkpoint.phase == Phase::Backfill {
                // The place a sweep by windows had reached means nothing to it.
                self.begin_anew();
            }
        }
        cx.out.push(Effect::OpenFeed { ticket, collection: self.key.clone(), since: since.clone() });
        self.stage = Stage::Feed(Feed {
            ticket,
            since,
            opened: false,
            asked: false,
            live: false,
            opened_at: cx.at.mono,
            heard: None,
            snapshot: None,
            bytes: 0,
        });
    }

    pub(in crate::sync) fn feed_opened(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        result: Result<(), ReadError>,
        exchange: &Exchange,
    ) {
        let Stage::Feed(feed) = &mut self.stage else { return };
        if feed.ticket != ticket {
            return;
        }
        match result {
            Ok(()) => {
                feed.opened = true;
                cx.signals.push(Signal::Good(exchange.clone()));
            }
            Err(ReadError::Refused { .. }) if feed.since.is_some() => {
                cx.signals.push(Signal::Good(exchange.clone()));
                self.poll_later(cx);
            }
            Err(error) => self.fail(cx, &error, exchange),
        }
    }

    pub(in crate::sync) fn feed_moved(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        result: Result<FeedNews, ReadError>,
        bytes: u64,
        push: &Push,
    ) {
        let Stage::Feed(feed) = &mut self.stage else { return };
        if feed.ticket != ticket {
            return;
        }
        feed.asked = false;
        let received = bytes.saturating_sub(feed.bytes);
        feed.bytes = bytes;
        if !matches!(result, Ok(FeedNews::KeepAlive)) {
            self.shown.bytes += received;
        }
        if result.is_ok() {
            feed.heard = Some(cx.at.wall);
            cx.signals.push(Signal::Alive);
        }
        match result {
            // The feed of a query begins with what it finds: the gap up to here is closed, and nothing is proved absent.
            Ok(FeedNews::Changes(changes)) if feed.since.is_some() && !feed.live => {
                self.take_changes(cx, changes, push);
                self.go_live();
            }
            Ok(FeedNews::Everything(records)) => self.take_snapshot(cx, records, push),
            Ok(FeedNews::Changes(changes)) => self.take_changes(cx, changes, push),
            Ok(FeedNews::Touched(ids)) => self.touched.extend(ids),
            Ok(FeedNews::KeepAlive) => {}
            Ok(FeedNews::Cancelled(reason)) => {
                // The server answers; whether it lets us follow again is another question.
                let error = ReadError::Refused { status: 200, message: format!("the feed was cancelled: {reason}") };
                cx.signals.push(Signal::LookAgain);
                self.fail(cx, &error, &Exchange::default());
            }
            Ok(FeedNews::Unauthorized) => {
                let message = "the credentials of the live feed ended".to_owned();
                let broken = Break::Unauthorized { message };
                cx.signals.push(Signal::Bad { broken, exchange: Exchange::default(), after: None });
                self.restart(cx, None);
            }
            Err(error) => self.fail(cx, &error, &Exchange::default()),
        }
        self.continue_feed(cx);
    }

    fn take_snapshot(&mut self, cx: &mut Cx<'_>, records: Vec<RemoteRecord>, push: &Push) {
        if self.is_followed() {
            self.begin_whole(cx);
        }
        // What waits was read before.
        let waiting = std::mem::take(&mut self.incoming);
        waiting.iter().for_each(|change| self.touch(change.id().clone()));
        // Also where the record is not in it: an answer that it was made may come behind its deletion.
        let sent: Vec<RecordId> =
            push.works_on().filter(|key| key.collection == self.key).map(|key| key.id.clone()).collect();
        let read: Vec<RecordId> = self.touching.values().map(|(id, _)| id.clone()).collect();
        self.touched.extend(sent.into_iter().chain(read));
        let number = self.checkpoint.sweep;
        let Stage::Feed(feed) = &mut self.stage else { return };
        feed.live = false;
        self.touched.extend(self.echoes.not_in(&records, feed.opened_at));
        (self.shown.done, self.shown.total) = (0, Some(records.len() as u64));
        self.rate.reset();
        let size = self.settings.page_size.max(1);
        let mut chunks = VecDeque::with_capacity(records.len() / size + 1);
        let mut rest = records.into_iter();
        loop {
            let chunk: Vec<RemoteRecord> = rest.by_ref().take(size).collect();
            if chunk.is_empty() {
                break;
            }
            chunks.push_back(chunk);
        }
        feed.snapshot = Some(Snapshot { number, chunks, applying: None });
        self.forget_held();
    }

    /// Live changes: our own echoes are dropped, what may be older than our own write is looked up.
    fn take_changes(&mut self, cx: &mut Cx<'_>, changes: Vec<RemoteChange>, push: &Push) {
        let gone = changes.iter().filter(|change| matches!(change, RemoteChange::Tombstone { .. })).count() as u64;
        if gone > 25 && is_mass_deletion(gone, self.rows) {
            // One event that deletes so much is judged as a whole: the next snapshot meets the guard.
            return self.restart(cx, None);
        }
        for change in changes {
            let record = self.key.record(change.id().clone());
            let is_read = self.touching.values().any(|(touched, _)| *touched == record.id);
            match self.echoes.hear(change, push.sent(&record), is_read) {
                Heard::Echo => {}
                Heard::Unclear => self.touch(record.id),
                Heard::News(change) => {
                    self.incoming.push(change);
                    // An answer that is older may come after it, and would cover it.
                    if is_read || push.is_working_on(&record) {
                        self.touch(record.id);
                    }
                }
            }
        }
        self.flush_incoming(cx);
    }

    /// Applies the snapshot chunk by chunk, ends it, asks for the next event.
    pub(super) fn continue_feed(&mut self, cx: &mut Cx<'_>) {
        if self.ending.is_some() {
            return;
        }
        let Stage::Feed(feed) = &mut self.stage else { return };
        if let Some(snapshot) = &mut feed.snapshot {
            if snapshot.applying.is_some() {
                return;
            }
            let (number, opened_at) = (snapshot.number, feed.opened_at);
            let Some(chunk) = snapshot.chunks.pop_front() else {
                feed.snapshot = None;
                return self.end(cx, number);
            };
            let ticket = cx.ticket();
            snapshot.applying = Some((ticket, chunk.len() as u64));
            let rows = chunk.into_iter().map(RemoteChange::Upsert);
            let changes = self.echoes.correct(rows, opened_at, &mut self.touched);
            let checkpoint = Checkpoint { mode: Some(Mode::Stream), ..self.checkpoint.clone() };
            return self.write_page(cx, ticket, changes, Some(checkpoint.write()), Some(number));
        }
        if feed.opened && !feed.asked && self.incoming.len() < MAX_INCOMING {
            feed.asked = true;
            cx.out.push(Effect::NextOfFeed { ticket: feed.ticket, collection: self.key.clone() });
        }
    }

    pub(super) fn snapshot_page_applied(&mut self, cx: &mut Cx<'_>, ticket: Ticket) {
        let Stage::Feed(feed) = &mut self.stage else { return };
        let Some(snapshot) = &mut feed.snapshot else { return };
        let Some((_, rows)) = snapshot.applying.take_if(|(expected, _)| *expected == ticket) else { return };
        self.advanced_by(cx, rows);
        self.continue_feed(cx);
    }

    /// No known gap any more.
    pub(super) fn go_live(&mut self) {
        if let Stage::Feed(feed) = &mut self.stage {
            feed.live = true;
        }
        self.shown.last_error = None;
    }
}
