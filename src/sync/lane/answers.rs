//! What an answer means for the lane: for the link, the credentials, the budget, and the part that asked.

use std::time::Duration;

use super::{Credentials, Cx, Hold, Lane, Signal};
use crate::{
    model::{
        activity::Severity,
        ids::CollectionKey,
        spend::SpentRow,
        sync_status::LinkFact,
        time::At,
        wire::{Exchange, ReadError},
    },
    sync::{
        backoff,
        connectivity::Break,
        effect::{Effect, Ticket},
        event::Event,
        later, policy,
        pull::Pull,
        push::Push,
    },
};

impl Lane {
    pub(in crate::sync) fn handle(&mut self, cx: &mut Cx<'_>, mut event: Event) {
        self.inform(cx);
        later::by_server_clock(&mut event, cx.at, cx.server_clock);
        self.meet(cx, &event);
        self.count(cx.at, &event);
        match event {
            Event::OutboxRead { ticket, result, .. } => self.push.outbox_read(cx, ticket, result),
            Event::Claimed { ticket, record, result } => self.push.claimed(cx, ticket, &record, result),
            Event::Pushed { ticket, record, answer, exchange } => {
                self.push.pushed(cx, ticket, &record, answer, &exchange);
            }
            Event::BaseStored { ticket, record, result } => self.push.base_stored(cx, ticket, &record, result),
            Event::Settled { ticket, record, result } => self.push.settled(cx, ticket, &record, result),
            Event::Fetched { ticket, record, result, exchange } => {
                let asked = self.pull_mut(&record.collection);
                if !asked.is_some_and(|pull| pull.fetched(cx, ticket, result.clone(), &exchange)) {
                    self.push.fetched(cx, ticket, &record, result, &exchange);
                }
            }
            Event::AuthReleased { ticket, result, .. } => self.auth_released(ticket, result),
            Event::Probed { ticket, result, chain, exchange, .. } => self.probed(cx, ticket, result, chain, &exchange),
            Event::CheckpointRead { ticket, collection, result } => {
                self.with_pull(&collection, |pull, _| pull.checkpoint_read(cx, ticket, result));
            }
            Event::KeysRead { ticket, collection, result, exchange } => {
                self.with_pull(&collection, |pull, _| pull.keys_read(cx, ticket, result, &exchange));
            }
            Event::PageRead { ticket, collection, result, exchange } => {
                self.with_pull(&collection, |pull, push| pull.page_read(cx, ticket, result, &exchange, push));
            }
            Event::PageApplied { ticket, collection, result } => {
                self.with_pull(&collection, |pull, push| pull.page_applied(cx, ticket, result, push));
            }
            Event::MissingRead { ticket, collection, result } => {
                self.with_pull(&collection, |pull, _| pull.missing_read(cx, ticket, result));
            }
            Event::Buried { ticket, collection, result } => {
                self.with_pull(&collection, |pull, _| pull.buried(cx, ticket, result));
            }
            Event::WindowCompared { ticket, collection, result } => {
                self.with_pull(&collection, |pull, _| pull.window_compared(cx, ticket, result));
            }
            Event::FeedOpened { ticket, collection, result, exchange } => {
                self.with_pull(&collection, |pull, _| pull.feed_opened(cx, ticket, result, &exchange));
            }
            Event::FeedMoved { ticket, collection, result, bytes } => {
                self.with_pull(&collection, |pull, push| pull.feed_moved(cx, ticket, result, bytes, push));
            }
            Event::Reuploaded { ticket, collection, result } => {
                self.with_pull(&collection, |pull, _| pull.reuploaded(cx, ticket, result));
            }
            Event::Started { .. }
            | Event::Tick
            | Event::NetworkChanged
            | Event::SpentRead(_)
            | Event::JournalMoved
            | Event::Request(_) => {}
        }
        self.hear(cx);
    }

    pub(in crate::sync) fn remember_spent(&mut self, cx: &Cx<'_>, rows: &[SpentRow]) {
        self.meter.remember(cx.at, rows);
    }

    /// Writes down the bytes not written yet.
    pub(in crate::sync) fn save_spent(&mut self, cx: &mut Cx<'_>, end: bool) {
        let rows = self.meter.take_unsaved(cx.at, end);
        if !rows.is_empty() {
            cx.out.push(Effect::SaveSpent(rows));
        }
    }

    pub(super) fn count(&mut self, at: &At, event: &Event) {
        match event {
            Event::Fetched { record, exchange, .. } | Event::Pushed { record, exchange, .. } => {
                self.meter.note(at, Some(&record.collection.collection), exchange);
            }
            Event::KeysRead { collection, exchange, .. }
            | Event::PageRead { collection, exchange, .. }
            | Event::FeedOpened { collection, exchange, .. } => {
                self.meter.note(at, Some(&collection.collection), exchange);
            }
            Event::FeedMoved { ticket, collection, bytes, .. } => {
                self.meter.note_feed(at, *ticket, &collection.collection, *bytes);
            }
            Event::Probed { exchange, .. } => self.meter.note(at, None, exchange),
            _ => {}
        }
    }

    /// Says once when the budget is used up, and ends what would go on costing.
    pub(super) fn mind_budget(&mut self, cx: &mut Cx<'_>) {
        self.meter.turn_the_day(cx.at);
        let was = self.renewed_at.is_some();
        self.renewed_at = self.meter.renewed_at(cx.at);
        let is_used_up = self.renewed_at.is_some();
        if is_used_up && !was {
            let text = format!("today's budget of `{}` is used up: nothing more is fetched by itself", self.source);
            cx.log(Severity::Warning, "network", text, Some("your edits still go out; sync fetches once all the same"));
        }
        if is_used_up && !self.beyond_budget {
            self.pulls.iter_mut().for_each(|pull| pull.hang_up(cx));
        }
        if was && !is_used_up {
            self.pulls.iter_mut().for_each(Pull::resume);
        }
    }

    /// Hands the parts what the lane knows of the way.
    pub(super) fn inform(&self, cx: &mut Cx<'_>) {
        cx.successes = self.tracker.successes();
        cx.server_clock = self.tracker.server_clock();
    }

    /// Nothing of an answer is used before it is known that it comes from the right server.
    pub(super) fn meet(&mut self, cx: &mut Cx<'_>, event: &Event) {
        let (Event::Fetched { exchange, .. }
        | Event::Pushed { exchange, .. }
        | Event::KeysRead { exchange, .. }
        | Event::PageRead { exchange, .. }
        | Event::FeedOpened { exchange, .. }
        | Event::Probed { exchange, .. }) = event
        else {
            return;
        };
        if let Some(database) = &exchange.server {
            self.pulls.iter_mut().for_each(|pull| pull.meet(cx, database));
        }
    }

    pub(super) fn with_pull(&mut self, key: &CollectionKey, f: impl FnOnce(&mut Pull, &Push)) {
        if let Some(pull) = self.pulls.iter_mut().find(|pull| pull.key() == key) {
            f(pull, &self.push);
        }
    }

    pub(super) fn probed(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        result: Result<(), ReadError>,
        chain: Vec<LinkFact>,
        exchange: &Exchange,
    ) {
        if !self.tracker.end_probe(ticket) {
            return;
        }
        let broken = match &result {
            Ok(()) => None,
            // A refusal is an answer, but nothing of this source will work.
            Err(ReadError::Refused { status, message }) => {
                Some(Break::Later { status: *status, message: message.clone() })
            }
            Err(error) => policy::broken_by(error),
        };
        match broken {
            None => {
                self.tracker.good(cx.at, exchange, Some(chain));
                self.credentials_accepted(cx);
            }
            Some(broken) => {
                if matches!(broken, Break::Unauthorized { .. }) {
                    self.credentials_refused(cx);
                }
                if let Err(ReadError::Later { after: Some(after), .. }) = result {
                    self.hold_back(cx, Some(after), &broken);
                }
                self.tracker.bad(cx.at, &broken, exchange, Some(chain));
            }
        }
    }

    /// Draws the lane's conclusions from what its parts met.
    pub(super) fn hear(&mut self, cx: &mut Cx<'_>) {
        for signal in std::mem::take(&mut cx.signals) {
            match signal {
                Signal::Good(exchange) => {
                    self.tracker.good(cx.at, &exchange, None);
                    self.laters = 0;
                    self.credentials_accepted(cx);
                }
                Signal::Read(exchange) => {
                    self.tracker.good(cx.at, &Exchange { round_trip: None, ..exchange }, None);
                    self.laters = 0;
                    // It may have been asked for with the old credentials: about the new ones a probe tells.
                    if !self.are_credentials_fine() {
                        self.tracker.look_again(cx.at);
                    }
                }
                Signal::Odd(_) => {}
                Signal::Bad { broken, exchange, after } => {
                    match &broken {
                        Break::Later { .. } => self.hold_back(cx, after, &broken),
                        Break::Unauthorized { .. } if self.was_sent_before_refresh(cx, &exchange) => {
                            // The answer to old credentials: what it parked is released with the next good answer.
                            self.credentials = Credentials::Fine { released: false };
                            self.tracker.look_again(cx.at);
                            continue;
                        }
                        Break::Unauthorized { .. } => self.begin_refresh(cx),
                        Break::Link(_) | Break::Portal(_) => {}
                    }
                    self.tracker.bad(cx.at, &broken, &exchange, None);
                    if self.credentials == Credentials::Refreshing {
                        self.tracker.look_again(cx.at);
                    }
                }
                Signal::Alive => self.tracker.alive(cx.at),
                Signal::LookAgain => self.tracker.look_again(cx.at),
                Signal::Touch(record) => {
                    if let Some(pull) = self.pull_mut(&record.collection) {
                        pull.touch(record.id);
                    }
                }
                Signal::Seen(record) => self.push.record_seen(cx, &record),
                Signal::Ended(record) => self.with_pull(&record.collection, |pull, _| pull.ops_ended()),
                Signal::Wrote(base) => {
                    if let Some(pull) = self.pull_mut(&base.record.collection) {
                        pull.note_own_write(&base.record, base.document.as_ref(), cx.at.mono);
                    }
                }
                Signal::OutboxChanged => self.push.outbox_changed(),
            }
        }
        self.inform(cx);
    }

    /// The server said when to come back, or only that it is too busy now.
    pub(super) fn hold_back(&mut self, cx: &Cx<'_>, after: Option<Duration>, broken: &Break) {
        let (wait, reason) = match after {
            Some(after) => {
                let wait = after.min(policy::MAX_RETRY_AFTER);
                (wait, format!("the server asked to wait {} s (Retry-After)", wait.as_secs().max(1)))
            }
            None => {
                let floor = Duration::from_millis(250);
                (backoff::jitter_above(cx.at, 5, self.laters, floor, backoff::CAP), "the server is too busy".to_owned())
            }
        };
        self.laters = self.laters.saturating_add(1);
        let until = cx.at.mono + wait;
        if matches!(broken, Break::Later { .. }) && self.hold.as_ref().is_none_or(|hold| hold.until < until) {
            self.hold = Some(Hold { until, reason });
        }
    }
}
