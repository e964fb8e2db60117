//! The network between the clients and the server, and what it does to what is sent over it.

use std::time::Duration;

use ebbtide::{
    model::{
        ids::RecordId,
        op::Precondition,
        wire::{Answer, Current, Exchange, Link, PushRequest, ReadError, RemoteChange, Trouble},
    },
    sync::{
        Effect, Event,
        effect::Ticket,
        event::{FeedNews, PageData},
    },
};

use crate::{
    schedule::{Fault, Storm},
    server::Origin,
    world::{Happening, World, collection},
};

/// One client's way to the server.
#[derive(Debug, Default)]
pub struct Line {
    pub cut_until: u64,
    pub storm: Option<(Storm, u64)>,
    /// The token in use is not accepted; reading it anew helps.
    pub is_expired: bool,
    /// Requests so far.
    requests: u64,
}

pub struct OpenFeed {
    /// Only what has a stamp from here on.
    since: Option<i64>,
    /// Changes of the server's log up to here were sent.
    position: usize,
    first: bool,
    pub asked: bool,
    broken: bool,
}

impl World<'_> {
    /// What the next request of a client meets; noted, so that the run can be told again.
    pub fn meets(&mut self, client: usize) -> Option<Fault> {
        let line = &mut self.clients[client].line;
        line.requests += 1;
        let request = (client, line.requests);
        let fault = self.schedule.fault(request).filter(|_| !self.is_calm())?;
        self.met.insert(request, fault);
        Some(fault)
    }

    fn is_cut(&self, client: usize) -> bool {
        self.now < self.clients[client].line.cut_until
    }

    fn storm(&self, client: usize) -> Option<Storm> {
        let (storm, until) = self.clients[client].line.storm?;
        (self.now < until).then_some(storm)
    }

    // --- writes -----------------------------------------------------------------------------------------------------

    pub fn send(&mut self, client: usize, ticket: Ticket, request: PushRequest) {
        let origin = self.check_sent(client, &request);
        self.note(client, || {
            let document = request.document.as_ref().map(ToString::to_string);
            format!(
                "sends op {}: {:?} {} {document:?} if {:?}",
                origin.1, request.kind, request.record.id, request.precondition
            )
        });
        let fault = self.meets(client);
        let mut dice = self.dice(client);
        let there = dice.between(1, 60);
        // Now and then an answer is so slow that a reading which was asked for later is there first.
        let slowest = if dice.chance(5) { 900 } else { 60 };
        let back = dice.between(1, slowest);
        let timeout = dice.between(1_000, 20_000);
        let in_doubt = || Answer::InDoubt(trouble(Link::Http));
        let unauthorized =
            || Answer::Unauthorized { status: Some(401), is_denied: false, message: "expired".to_owned() };
        if self.is_cut(client) {
            return self.answer(client, ticket, &request, there, Answer::NotSent(trouble(Link::Tcp)));
        }
        match self.storm(client) {
            Some(Storm::Broken) => {
                if dice.chance(50) {
                    self.arrives(client, there, &request, origin, None);
                }
                return self.answer(client, ticket, &request, there + back, in_doubt());
            }
            Some(Storm::Busy) => return self.answer(client, ticket, &request, there + back, busy(dice.below(4))),
            Some(Storm::Portal) => {
                return self.answer(client, ticket, &request, there + back, Answer::Portal(trouble(Link::Shape)));
            }
            Some(Storm::Refused) => return self.answer(client, ticket, &request, there + back, unauthorized()),
            None if self.clients[client].line.is_expired => {
                return self.answer(client, ticket, &request, there + back, unauthorized());
            }
            None => {}
        }
        let takes = Some((ticket, back));
        match fault {
            None => self.arrives(client, there, &request, origin, takes),
            Some(Fault::NotSent) => {
                self.answer(client, ticket, &request, there, Answer::NotSent(trouble(Link::Dns)));
            }
            Some(Fault::RequestLost) => self.answer(client, ticket, &request, timeout, in_doubt()),
            Some(Fault::AnswerLost) => {
                self.arrives(client, there, &request, origin, None);
                self.answer(client, ticket, &request, timeout, in_doubt());
            }
            // The client has given up by the time the answer is there: for it, the answer is lost.
            Some(Fault::AnswerLate) => {
                self.arrives(client, timeout.saturating_sub(1), &request, origin, None);
                self.answer(client, ticket, &request, timeout, in_doubt());
            }
            Some(Fault::RequestLate) => {
                let late = timeout + dice.between(1, 60_000);
                self.arrives(client, late, &request, origin, None);
                self.answer(client, ticket, &request, timeout, in_doubt());
            }
            Some(Fault::Duplicate) => {
                self.arrives(client, there, &request, origin, takes);
                self.arrives(client, there, &request, origin, None);
            }
            // A network that repeats a request whose answer came: only the server's precondition helps there. Not tried
            // where its state could be back (an earlier content, or no record): nobody could tell it from a wish.
            Some(Fault::LateDuplicate)
                if self.server.tells_repeats() && request.precondition != Precondition::Absent =>
            {
                self.arrives(client, there, &request, origin, takes);
                let late = there + dice.between(100, 60_000);
                self.arrives(client, late, &request, origin, None);
            }
            Some(Fault::LateDuplicate) => self.arrives(client, there, &request, origin, takes),
            Some(Fault::Truncated) => {
                self.arrives(client, there, &request, origin, None);
                self.answer(client, ticket, &request, there + back, Answer::InDoubt(trouble(Link::Shape)));
            }
            Some(Fault::Busy) => self.answer(client, ticket, &request, there + back, busy(dice.below(4))),
            Some(Fault::Portal) => {
                if dice.chance(30) {
                    self.arrives(client, there, &request, origin, None);
                }
                self.answer(client, ticket, &request, there + back, Answer::Portal(trouble(Link::Shape)));
            }
            Some(Fault::Expired) => {
                self.clients[client].line.is_expired = true;
                self.answer(client, ticket, &request, there + back, unauthorized());
            }
            Some(Fault::Rejected) => {
                let answer = Answer::Rejected { status: 403, message: "Permission denied".to_owned() };
                self.answer(client, ticket, &request, there + back, answer);
            }
        }
    }

    fn arrives(
        &mut self,
        client: usize,
        delay: u64,
        request: &PushRequest,
        origin: Origin,
        answer: Option<(Ticket, u64)>,
    ) {
        self.later(client, delay, Happening::Arrive { request: Box::new(request.clone()), origin, answer });
    }

    fn answer(&mut self, client: usize, ticket: Ticket, request: &PushRequest, delay: u64, answer: Answer) {
        self.later(client, delay, Happening::Deliver(pushed(ticket, request, answer)));
    }

    /// A write reaches the server.
    pub fn arrive(&mut self, client: usize, request: &PushRequest, origin: Origin, answer: Option<(Ticket, u64)>) {
        self.stirred = true;
        let answered = self.server.write(request, origin);
        // What comes so late that its repeat was settled finds its precondition true again where the server lost everything:
        // an old version, and nothing to tell it by.
        if self.wiped && self.server.is_acknowledged(origin) && matches!(answered, Answer::Accepted { .. }) {
            self.revived.insert(request.record.id.clone());
        }
        self.note(client, || {
            let said = match &answered {
                Answer::Accepted { .. } => "accepted",
                _ => "precondition failed",
            };
            format!("server got {:?} of {} for op {}: {said}", request.kind, request.record.id, origin.1)
        });
        self.check_once(origin);
        self.serve_feeds();
        if let Some((ticket, back)) = answer {
            self.answer(client, ticket, request, back, answered);
        }
    }

    // --- reads ------------------------------------------------------------------------------------------------------

    fn read_error(&mut self, client: usize, fault: Option<Fault>) -> Option<ReadError> {
        let expired = || ReadError::Unauthorized { message: "expired".to_owned() };
        if self.is_cut(client) {
            return Some(ReadError::Unreachable(trouble(Link::Tcp)));
        }
        let extra = self.dice(client).below(4);
        let later = || {
            let Answer::Later { status, after, message } = busy(extra) else { unreachable!("busy is always later") };
            ReadError::Later { status, after, message }
        };
        match self.storm(client) {
            Some(Storm::Broken) => return Some(ReadError::Unreachable(trouble(Link::Http))),
            Some(Storm::Busy) => return Some(later()),
            Some(Storm::Portal) => return Some(ReadError::Portal(trouble(Link::Shape))),
            Some(Storm::Refused) => return Some(expired()),
            None if self.clients[client].line.is_expired => return Some(expired()),
            None => {}
        }
        Some(match fault? {
            Fault::NotSent => ReadError::Unreachable(trouble(Link::Dns)),
            Fault::RequestLost | Fault::AnswerLost | Fault::AnswerLate | Fault::RequestLate => {
                ReadError::Unreachable(trouble(Link::Http))
            }
            Fault::Truncated => ReadError::Unreachable(trouble(Link::Shape)),
            Fault::Busy => later(),
            Fault::Portal => ReadError::Portal(trouble(Link::Shape)),
            Fault::Expired => {
                self.clients[client].line.is_expired = true;
                expired()
            }
            Fault::Duplicate | Fault::LateDuplicate | Fault::Rejected => return None,
        })
    }

    pub fn read(&mut self, client: usize, effect: Effect, fault: Option<Fault>) {
        let error = self.read_error(client, fault);
        let failed = error.is_some();
        let exchange = exchange();
        fn or<T>(error: Option<ReadError>, value: impl FnOnce() -> T) -> Result<T, ReadError> {
            error.map_or_else(|| Ok(value()), Err)
        }
        let event = match effect {
            Effect::Fetch { ticket, record } => {
                let result = or(error, || Current {
                    collection: record.collection.clone(),
                    id: record.id.clone(),
                    value: self.server.records.get(&record.id).cloned(),
                    revision: self.server.revision(&record.id),
                });
                Event::Fetched { ticket, record, result, exchange }
            }
            Effect::ReadKeys { ticket, collection } => {
                let result = or(error, || self.server.records.keys().cloned().collect::<Vec<RecordId>>());
                Event::KeysRead { ticket, collection, result, exchange }
            }
            Effect::ReadPage { ticket, collection, after, limit } => {
                let result = or(error, || {
                    let (records, next) = self.server.page(after.as_ref(), limit);
                    PageData { records, next }
                });
                Event::PageRead { ticket, collection, result, exchange }
            }
            Effect::ReadDelta { ticket, collection, since, limit } => {
                let since = since.parse().unwrap_or(0);
                let result = or(error, || PageData { records: self.server.since(since, limit), next: None });
                Event::PageRead { ticket, collection, result, exchange }
            }
            Effect::ReadNewest { ticket, collection, until } => {
                let result = or(error, || PageData { records: self.server.newest(until.0), next: None });
                Event::PageRead { ticket, collection, result, exchange }
            }
            Effect::OpenFeed { ticket, collection, since } => {
                if !failed {
                    let since = since.map(|since| since.parse().unwrap_or(0));
                    let feed =
                        OpenFeed { since, position: self.server.log.len(), first: true, asked: false, broken: false };
                    self.clients[client].feeds.insert(ticket, feed);
                }
                Event::FeedOpened { ticket, collection, result: or(error, || ()), exchange }
            }
            Effect::Probe { ticket, source } => {
                Event::Probed { ticket, source, result: or(error, || ()), chain: Vec::new(), exchange }
            }
            Effect::Reupload { ticket, collection, .. } => {
                let result = match failed {
                    true => Err("the keys of the collection could not be read".to_owned()),
                    false => Ok(self.reupload(client)),
                };
                Event::Reuploaded { ticket, collection, result }
            }
            other => return self.breaks(format!("not a reading: {other:?}")),
        };
        let timed_out = matches!(fault, Some(Fault::RequestLost | Fault::AnswerLate)) && failed;
        let delay = if timed_out { self.dice(client).between(1_000, 20_000) } else { self.dice(client).between(1, 60) };
        self.later(client, delay, Happening::Deliver(event));
    }

    pub fn break_feeds(&mut self, client: usize) {
        self.clients[client].feeds.values_mut().for_each(|feed| feed.broken = true);
        self.serve_feeds();
    }

    /// Sends each asked feed its next event.
    pub fn serve_feeds(&mut self) {
        for client in 0..self.clients.len() {
            let tickets: Vec<Ticket> = self.clients[client].feeds.keys().copied().collect();
            for ticket in tickets {
                let may_break = self.schedule.plan.faults > 0 && !self.is_calm();
                let length = self.server.log.len();
                let stamps = &self.server.log_stamps;
                let Some(feed) = self.clients[client].feeds.get_mut(&ticket) else { continue };
                while feed.position < length && feed.since.is_some_and(|since| stamps[feed.position] < since) {
                    feed.position += 1;
                }
                if !feed.asked || !(feed.broken || feed.first || feed.position < length) {
                    continue;
                }
                let breaks = may_break && feed.position < length && self.dice(client).chance(3);
                let delay = self.dice(client).between(1, 80);
                let Some(feed) = self.clients[client].feeds.get_mut(&ticket) else { continue };
                let news = if feed.broken || breaks {
                    Err(ReadError::Unreachable(trouble(Link::Http)))
                } else if feed.first {
                    (feed.first, feed.position) = (false, length);
                    Ok(match feed.since {
                        None => FeedNews::Everything(self.server.everything()),
                        Some(since) => {
                            let found = self.server.since(since, usize::MAX);
                            FeedNews::Changes(found.into_iter().map(RemoteChange::Upsert).collect())
                        }
                    })
                } else {
                    let change: RemoteChange = self.server.log[feed.position].clone();
                    feed.position += 1;
                    Ok(FeedNews::Changes(vec![change]))
                };
                feed.asked = false;
                let event = Event::FeedMoved { ticket, collection: collection(), result: news, bytes: 0 };
                self.later(client, delay, Happening::Deliver(event));
            }
        }
    }
}

fn exchange() -> Exchange {
    Exchange { round_trip: Some(Duration::from_millis(20)), bytes_down: 400, ..Exchange::default() }
}

fn pushed(ticket: Ticket, request: &PushRequest, answer: Answer) -> Event {
    Event::Pushed { ticket, record: request.record.clone(), answer, exchange: exchange() }
}

fn busy(extra: u64) -> Answer {
    let after = (extra > 1).then(|| Duration::from_secs(extra));
    Answer::Later { status: if extra == 0 { 429 } else { 503 }, after, message: "busy".to_owned() }
}

fn trouble(link: Link) -> Trouble {
    Trouble { link, message: "simulated".to_owned() }
}
