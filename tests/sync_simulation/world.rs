//! Clients, a server and the network between them, in virtual time from one seed.

use std::{
    collections::{BTreeMap, BinaryHeap, HashMap},
    time::Duration,
};

use ebbtide::{
    model::{
        conflict::ConflictPolicy,
        ids::{CollectionKey, RecordId, RecordKey, Seq},
        json::Pointer,
        op::OpState,
        source::{AuthSpec, CollectionSpec, PullMode, SourceKind, SourceSpec, SyncSettings},
        sync_status::SyncRequest,
        time::{At, Timestamp},
        wire::{Answer, Current, Exchange, Link, PushRequest, ReadError, RemoteChange, Trouble},
    },
    sync::{
        Effect, Event, Machine,
        effect::Ticket,
        event::{FeedNews, PageData},
    },
};
use serde_json::{Value, json};

use crate::{disk::Disk, random::Random, server::Server};

const EPOCH: i64 = 1_700_000_000_000;
pub const RECORDS: u64 = 30;

/// How a run is made.
#[derive(Debug, Clone)]
pub struct Plan {
    pub clients: usize,
    pub mode: PullMode,
    pub parallel: usize,
    /// Percent of requests that meet a fault while faults are on.
    pub faults: u64,
    /// Milliseconds during which things happen; then the network heals and everything must settle.
    pub active: u64,
    pub edits: u64,
    pub kills: u64,
    pub partitions: u64,
}

/// What may happen, at a time.
enum Happening {
    Deliver(Event),
    Store(Effect),
    /// A write reaches the server; the answer goes back if `answer` is set.
    Arrive {
        request: Box<PushRequest>,
        origin: (usize, i64),
        answer: Option<Ticket>,
        lost: bool,
    },
    Read(Effect),
    Wake,
    Edit,
    Foreign,
    Kill,
    Revive,
    Cut(bool),
}

struct Item {
    at: u64,
    number: u64,
    client: usize,
    life: u64,
    what: Happening,
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}
impl Eq for Item {}
impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Item {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

pub struct Client {
    pub disk: Disk,
    machine: Option<Machine>,
    life: u64,
    is_cut: bool,
    /// The one writer thread of each file: effects are carried out in order.
    store_free_at: u64,
    feeds: HashMap<Ticket, OpenFeed>,
    claims: HashMap<RecordId, Seq>,
    wake: Option<u64>,
    pub idle_said: u32,
    pub log: Vec<String>,
}

struct OpenFeed {
    /// Changes of the server's log up to here were sent.
    position: usize,
    first: bool,
    asked: bool,
    broken: bool,
}

pub struct World {
    pub now: u64,
    pub plan: Plan,
    pub random: Random,
    pub server: Server,
    pub clients: Vec<Client>,
    queue: BinaryHeap<Item>,
    number: u64,
    edits: u64,
    pub saved: BTreeMap<String, (usize, RecordId)>,
    pub deleted: Vec<RecordId>,
    /// Records only one client ever touches, with what that client last saved.
    pub own: HashMap<(usize, RecordId), Option<Value>>,
    pub trace: Vec<String>,
}

pub fn collection() -> CollectionKey {
    CollectionKey::new("s", "c")
}

fn record(id: &RecordId) -> RecordKey {
    collection().record(id.clone())
}

pub fn source(mode: PullMode) -> SourceSpec {
    SourceSpec {
        name: "s".into(),
        kind: SourceKind::Firebase,
        url: "http://127.0.0.1:9".to_owned(),
        auth: AuthSpec::None,
        read_only: false,
        allow_plain: false,
        user: None,
        collections: vec![CollectionSpec {
            name: "c".into(),
            path: "c".to_owned(),
            columns: Vec::new(),
            title: None,
            pull: mode,
            updated_at: None::<Pointer>,
            conflicts: ConflictPolicy::Manual,
        }],
    }
}

impl World {
    pub fn new(seed: u64, plan: Plan) -> Self {
        let random = Random::new(seed);
        let mut server = Server::default();
        for n in 0..RECORDS {
            server.put(RecordId(format!("r{n:02}")), Some(json!({ "n": n, "x": 0 })));
        }
        let mut world = Self {
            now: 0,
            random,
            server,
            clients: Vec::new(),
            queue: BinaryHeap::new(),
            number: 0,
            edits: 0,
            saved: BTreeMap::new(),
            deleted: Vec::new(),
            own: HashMap::new(),
            trace: Vec::new(),
            plan,
        };
        for index in 0..world.plan.clients {
            world.clients.push(Client {
                disk: Disk::default(),
                machine: None,
                life: 0,
                is_cut: false,
                store_free_at: 0,
                feeds: HashMap::new(),
                claims: HashMap::new(),
                wake: None,
                idle_said: 0,
                log: Vec::new(),
            });
            world.later(index, 0, Happening::Revive);
        }
        world.schedule();
        world
    }

    fn schedule(&mut self) {
        let plan = self.plan.clone();
        for client in 0..plan.clients {
            for _ in 0..plan.edits {
                let at = self.random.below(plan.active);
                self.later(client, at, Happening::Edit);
            }
            for _ in 0..plan.kills {
                let at = self.random.below(plan.active);
                self.later(client, at, Happening::Kill);
            }
            for _ in 0..plan.partitions {
                let at = self.random.below(plan.active);
                let long = self.random.between(500, 20_000);
                self.later(client, at, Happening::Cut(true));
                self.later(client, (at + long).min(plan.active), Happening::Cut(false));
            }
        }
        for _ in 0..plan.edits / 2 {
            let at = self.random.below(plan.active);
            self.later(0, at, Happening::Foreign);
        }
    }

    fn later(&mut self, client: usize, delay: u64, what: Happening) {
        self.number += 1;
        let life = self.clients[client].life;
        self.queue.push(Item { at: self.now + delay, number: self.number, client, life, what });
    }

    fn at(&mut self) -> At {
        At {
            wall: Timestamp(EPOCH + i64::try_from(self.now).unwrap()),
            mono: Duration::from_millis(self.now),
            entropy: self.random.entropy(),
        }
    }

    fn is_calm(&self) -> bool {
        self.now >= self.plan.active
    }

    fn note(&mut self, client: usize, text: String) {
        self.trace.push(format!("{:>9} client {client}: {text}", self.now));
    }

    /// Runs until `until`, or until every client has nothing left to do after the active time.
    pub fn run(&mut self, until: u64) -> bool {
        while let Some(item) = self.queue.pop() {
            if item.at > until {
                self.queue.push(item);
                break;
            }
            self.now = self.now.max(item.at);
            self.happen(item);
            if self.is_calm() && self.is_settled() {
                return true;
            }
        }
        self.is_settled()
    }

    /// Everything sent, everything pulled, everyone equal.
    pub fn is_settled(&self) -> bool {
        self.clients.iter().all(|client| {
            client.disk.ops.iter().all(|op| !op.state.is_pending())
                && client.disk.mirror.len() == self.server.records.len()
                && client.disk.mirror.iter().all(|(id, row)| {
                    self.server
                        .records
                        .get(id)
                        .is_some_and(|there| ebbtide::model::json::same_value(there, &row.base.document))
                })
        })
    }

    fn happen(&mut self, item: Item) {
        let Item { client, life, what, .. } = item;
        let alive = self.clients[client].life == life;
        match what {
            Happening::Arrive { request, origin, answer, lost } => {
                let answered = self.server.write(&request, origin);
                self.note(
                    client,
                    format!(
                        "server got {:?} of {} for op {}: {}",
                        request.kind,
                        request.record.id,
                        origin.1,
                        short(&answered)
                    ),
                );
                self.serve_feeds();
                if let (true, false, Some(ticket)) = (alive, lost, answer) {
                    let event = pushed(ticket, &request, answered);
                    let delay = self.random.between(1, 60);
                    self.later(client, delay, Happening::Deliver(event));
                }
            }
            Happening::Foreign if !self.is_calm() => self.foreign(),
            Happening::Edit if !self.is_calm() => self.edit(client),
            Happening::Cut(cut) => {
                self.note(client, if cut { "cut".to_owned() } else { "connected".to_owned() });
                self.clients[client].is_cut = cut && !self.is_calm();
                if cut {
                    self.break_feeds(client);
                }
            }
            Happening::Kill if !self.is_calm() && self.clients[client].machine.is_some() => {
                self.note(client, "killed".to_owned());
                let dead = &mut self.clients[client];
                dead.life += 1;
                dead.machine = None;
                dead.feeds.clear();
                dead.claims.clear();
                dead.wake = None;
                dead.store_free_at = 0;
                let delay = self.random.between(10, 3_000);
                self.later(client, delay, Happening::Revive);
            }
            Happening::Revive if self.clients[client].machine.is_none() => {
                self.note(client, "starts".to_owned());
                let settings = SyncSettings {
                    parallel: self.plan.parallel,
                    page_size: 7,
                    sweep_every: Duration::from_secs(60),
                    ..SyncSettings::default()
                };
                self.clients[client].disk.recover();
                self.clients[client].machine = Some(Machine::new(&[source(self.plan.mode)], &settings, false));
                let guards = self.clients[client].disk.guards.clone();
                self.handle(client, Event::Started { guards });
            }
            Happening::Deliver(event) if alive => {
                if let Event::FeedMoved { ticket, .. } = &event
                    && !self.clients[client].feeds.contains_key(ticket)
                {
                    return;
                }
                self.handle(client, event);
            }
            Happening::Store(effect) if alive => self.store(client, effect),
            Happening::Read(effect) if alive => self.read(client, effect),
            Happening::Wake if alive && self.clients[client].wake == Some(self.now) => {
                self.clients[client].wake = None;
                self.handle(client, Event::Tick);
            }
            _ => {}
        }
    }

    fn handle(&mut self, client: usize, event: Event) {
        let at = self.at();
        let Some(machine) = &mut self.clients[client].machine else { return };
        let effects = machine.handle(&at, event);
        assert_eq!(machine.healed(), 0, "I4: the machine had to wake itself up");
        for effect in effects {
            self.carry_out(client, effect);
        }
        let Some(machine) = &self.clients[client].machine else { return };
        let due = machine.wake_at().map(|due| u64::try_from(due.as_nanos().div_ceil(1_000_000)).unwrap());
        if let Some(due) = due {
            let due = due.max(self.now);
            let armed = self.clients[client].wake;
            if armed.is_none_or(|armed| due < armed || armed < self.now) {
                self.clients[client].wake = Some(due);
                self.later(client, due - self.now, Happening::Wake);
            }
        }
        self.check(client);
    }

    /// What must hold after every step.
    fn check(&self, client: usize) {
        let disk = &self.clients[client].disk;
        for ((owner, id), saved) in &self.own {
            if *owner != client {
                continue;
            }
            // P5: what only I touch looks as I left it, always.
            let local = disk.local(&record(id));
            assert!(
                ebbtide::merge::same_document(local.as_ref(), saved.as_ref()),
                "{id} of client {client} shows {local:?} instead of {saved:?}"
            );
        }
        for (origin, count) in &self.server.effects {
            assert!(*count <= 1, "op {} of client {} was applied {count} times", origin.1, origin.0);
        }
    }

    fn carry_out(&mut self, client: usize, effect: Effect) {
        match effect {
            Effect::Log(activity) => {
                self.note(client, format!("says {}", activity.text));
                self.clients[client].log.push(activity.text);
            }
            Effect::Publish(_) | Effect::ForgetCredentials { .. } | Effect::SaveSpent(_) => {}
            Effect::Idle => self.clients[client].idle_said += 1,
            Effect::Push { ticket, request } => self.send(client, ticket, request),
            Effect::Fetch { .. }
            | Effect::ReadKeys { .. }
            | Effect::ReadPage { .. }
            | Effect::ReadDelta { .. }
            | Effect::OpenFeed { .. }
            | Effect::Probe { .. } => {
                let delay = self.random.between(1, 60);
                self.later(client, delay, Happening::Read(effect));
            }
            Effect::NextOfFeed { ticket, .. } => {
                if let Some(feed) = self.clients[client].feeds.get_mut(&ticket) {
                    feed.asked = true;
                }
                self.serve_feeds();
            }
            Effect::CloseFeed { ticket, .. } => {
                self.clients[client].feeds.remove(&ticket);
            }
            Effect::Reupload { .. } => unreachable!("nobody asks for it here"),
            _ => {
                let now = self.now;
                let busy = &mut self.clients[client].store_free_at;
                *busy = (*busy).max(now) + 1;
                let delay = *busy - now;
                self.later(client, delay, Happening::Store(effect));
            }
        }
    }

    // --- the disk ---------------------------------------------------------------------------------------------------

    fn store(&mut self, client: usize, effect: Effect) {
        let disk = &mut self.clients[client].disk;
        let event = match effect {
            Effect::ReadOutbox { ticket, source, now, exclude, limit } => {
                Event::OutboxRead { ticket, source, result: Ok(disk.read_outbox(now, &exclude, limit)) }
            }
            Effect::Claim { ticket, claim } => {
                let op = disk.claim(&claim);
                let id = claim.request.record.id.clone();
                self.clients[client].claims.insert(id, claim.head);
                let result = Ok(op.map(Box::new));
                Event::Claimed { ticket, record: claim.request.record, result }
            }
            Effect::StoreBase { ticket, base } => {
                disk.store_base(&base);
                Event::BaseStored { ticket, record: base.record, result: Ok(()) }
            }
            Effect::EndGuards { record, until } => {
                return disk.guards.retain(|guard| guard.record != record || guard.until > until);
            }
            Effect::Settle { ticket, record, settles, guard } => {
                disk.guards.extend(guard);
                for settle in &settles {
                    disk.settle(settle);
                    let text = format!("op {} of {} settled {:?}", settle.seq, record.id, word(&settle.outcome));
                    self.trace.push(format!("{:>9} client {client}: {text}", self.now));
                }
                Event::Settled { ticket, record, result: Ok(()) }
            }
            Effect::ReleaseAuth { ticket, source } => {
                let mut count = 0;
                for op in disk.ops.iter_mut().filter(|op| op.state == OpState::Auth) {
                    op.state = OpState::Queued;
                    count += 1;
                }
                Event::AuthReleased { ticket, source, result: Ok(count) }
            }
            Effect::KeepConflict { record, .. } => {
                let head = disk.chain(&record).into_iter().next();
                if let Some(op) = head.filter(|op| op.state == OpState::Queued) {
                    disk.op_mut(op.seq).state = OpState::Conflict;
                    disk.theirs.insert(op.seq.0, (None, None));
                }
                self.answer_conflicts(client);
                return;
            }
            Effect::ReadCheckpoint { ticket, collection } => {
                Event::CheckpointRead { ticket, collection, result: Ok(disk.checkpoint.clone()) }
            }
            Effect::ApplyPage { ticket, page } => {
                let result = Ok(disk.apply_page(&page));
                Event::PageApplied { ticket, collection: page.collection, result }
            }
            Effect::ReadMissing { ticket, collection, sweep } => {
                Event::MissingRead { ticket, collection, result: Ok(disk.missing(sweep)) }
            }
            Effect::FinishSweep { ticket, collection, sweep, keep, .. } => {
                let result = Ok(disk.finish_sweep(&collection, sweep, &keep));
                Event::PageApplied { ticket, collection, result }
            }
            other => unreachable!("not for the store: {other:?}"),
        };
        self.later(client, 0, Happening::Deliver(event));
        self.answer_conflicts(client);
    }

    /// The user answers every conflict at once: theirs, with the own change on top.
    fn answer_conflicts(&mut self, client: usize) {
        let open: Vec<Seq> =
            self.clients[client].disk.ops.iter().filter(|op| op.state == OpState::Conflict).map(|op| op.seq).collect();
        if open.is_empty() {
            return;
        }
        for seq in open {
            let at = self.at();
            self.clients[client].disk.resolve(seq, &at);
        }
        self.later(client, 1, Happening::Deliver(Event::Request(SyncRequest::OutboxChanged)));
    }

    // --- the network ------------------------------------------------------------------------------------------------

    fn meets_fault(&mut self) -> bool {
        let faults = self.plan.faults;
        !self.is_calm() && self.random.chance(faults)
    }

    fn send(&mut self, client: usize, ticket: Ticket, request: PushRequest) {
        let seq = self.clients[client].claims.get(&request.record.id).map_or(0, |seq| seq.0);
        let origin = (client, seq);
        self.note(
            client,
            format!(
                "sends op {seq}: {:?} {} {:?}",
                request.kind,
                request.record.id,
                request.document.as_ref().map(ToString::to_string)
            ),
        );
        let there = self.random.between(1, 60);
        if self.clients[client].is_cut {
            return self.answer(client, ticket, &request, there, Answer::NotSent(trouble(Link::Tcp)));
        }
        let arrive = |request: &PushRequest, answer: bool, lost: bool| Happening::Arrive {
            request: Box::new(request.clone()),
            origin,
            answer: answer.then_some(ticket),
            lost,
        };
        if !self.meets_fault() {
            return self.later(client, there, arrive(&request, true, false));
        }
        let timeout = self.random.between(1_000, 20_000);
        let in_doubt = Answer::InDoubt(trouble(Link::Http));
        match self.random.below(9) {
            0 => self.answer(client, ticket, &request, there, Answer::NotSent(trouble(Link::Dns))),
            // The request is lost.
            1 => self.answer(client, ticket, &request, timeout, in_doubt),
            // The answer is lost.
            2 | 3 => {
                self.later(client, there, arrive(&request, false, true));
                self.answer(client, ticket, &request, timeout, in_doubt);
            }
            // The request arrives long after it was given up.
            4 => {
                let late = timeout + self.random.between(1, 60_000);
                self.later(client, late, arrive(&request, false, true));
                self.answer(client, ticket, &request, timeout, in_doubt);
            }
            // Delivered twice by something in between, before the answer.
            5 => {
                self.later(client, there, arrive(&request, true, false));
                self.later(client, there, arrive(&request, false, true));
            }
            6 => {
                let after = self.random.chance(50).then(|| Duration::from_secs(self.random.between(1, 5)));
                let answer = Answer::Later { status: 503, after, message: "busy".to_owned() };
                self.answer(client, ticket, &request, there, answer);
            }
            7 => self.answer(client, ticket, &request, there, Answer::Portal(trouble(Link::Shape))),
            _ => {
                let answer = Answer::Unauthorized { message: "expired".to_owned() };
                self.answer(client, ticket, &request, there, answer);
            }
        }
    }

    fn answer(&mut self, client: usize, ticket: Ticket, request: &PushRequest, delay: u64, answer: Answer) {
        let event = pushed(ticket, request, answer);
        self.later(client, delay, Happening::Deliver(event));
    }

    fn read(&mut self, client: usize, effect: Effect) {
        let fault = self.clients[client].is_cut || self.meets_fault();
        let exchange = Exchange { round_trip: Some(Duration::from_millis(20)), ..Exchange::default() };
        let error = || match fault {
            true => Err(ReadError::Unreachable(trouble(Link::Tcp))),
            false => Ok(()),
        };
        let event = match effect {
            Effect::Fetch { ticket, record } => {
                let value = self.server.records.get(&record.id).cloned();
                let revision = self.server.etag(&record.id);
                let current = Current { collection: record.collection.clone(), id: record.id.clone(), value, revision };
                Event::Fetched { ticket, record, result: error().map(|()| current), exchange }
            }
            Effect::ReadKeys { ticket, collection } => {
                let keys = self.server.records.keys().cloned().collect();
                Event::KeysRead { ticket, collection, result: error().map(|()| keys), exchange }
            }
            Effect::ReadPage { ticket, collection, after, limit } => {
                let (records, next) = self.server.page(after.as_ref(), limit);
                let result = error().map(|()| PageData { records, next });
                Event::PageRead { ticket, collection, result, exchange }
            }
            Effect::OpenFeed { ticket, collection, .. } => {
                if !fault {
                    let feed = OpenFeed { position: self.server.log.len(), first: true, asked: false, broken: false };
                    self.clients[client].feeds.insert(ticket, feed);
                }
                Event::FeedOpened { ticket, collection, result: error(), exchange }
            }
            Effect::Probe { ticket, source } => {
                Event::Probed { ticket, source, result: error(), chain: Vec::new(), exchange }
            }
            other => unreachable!("not a reading: {other:?}"),
        };
        let delay = self.random.between(1, 60);
        self.later(client, delay, Happening::Deliver(event));
    }

    fn break_feeds(&mut self, client: usize) {
        self.clients[client].feeds.values_mut().for_each(|feed| feed.broken = true);
        self.serve_feeds();
    }

    /// Sends each asked feed its next event.
    fn serve_feeds(&mut self) {
        for client in 0..self.clients.len() {
            let tickets: Vec<Ticket> = self.clients[client].feeds.keys().copied().collect();
            for ticket in tickets {
                let breaks = self.plan.faults > 0 && !self.is_calm() && self.random.chance(3);
                let length = self.server.log.len();
                let Some(feed) = self.clients[client].feeds.get_mut(&ticket) else { continue };
                if !feed.asked {
                    continue;
                }
                let news = if feed.broken || (breaks && feed.position < length) {
                    Err(ReadError::Unreachable(trouble(Link::Http)))
                } else if feed.first {
                    feed.first = false;
                    feed.position = length;
                    Ok(FeedNews::Everything(self.server.everything()))
                } else if feed.position < length {
                    let change: RemoteChange = self.server.log[feed.position].clone();
                    feed.position += 1;
                    Ok(FeedNews::Changes(vec![change]))
                } else {
                    continue;
                };
                feed.asked = false;
                let event = Event::FeedMoved { ticket, collection: collection(), result: news, bytes: 0 };
                let delay = self.random.between(1, 80);
                self.later(client, delay, Happening::Deliver(event));
            }
        }
    }

    // --- people -----------------------------------------------------------------------------------------------------

    fn edit(&mut self, client: usize) {
        let at = self.at();
        self.edits += 1;
        let mark = format!("e{}", self.edits);
        let disk = &mut self.clients[client].disk;
        let roll = self.random.below(100);
        let own: Vec<RecordId> =
            self.own.keys().filter(|(owner, _)| *owner == client).map(|(_, id)| id.clone()).collect();
        let (id, document, is_own) = if roll < 20 || (roll < 55 && own.is_empty()) {
            // A record of my own: a push id, as the app makes them.
            let id = RecordId(ebbtide::model::rtdb::push_id(&at));
            (id, Some(json!({ "own": client, mark.clone(): 1 })), true)
        } else if roll < 55 {
            let mut own = own;
            own.sort();
            let id = own[usize::try_from(self.random.below(own.len() as u64)).unwrap()].clone();
            let local = disk.local(&record(&id));
            let document = match local {
                Some(_) if roll < 26 => None,
                // Back to an earlier state: what a content ETag cannot tell from never having left.
                Some(mut local) => {
                    let toggled = local.get("toggle").is_none();
                    let members = local.as_object_mut().unwrap();
                    if toggled {
                        members.insert("toggle".to_owned(), json!(1))
                    } else {
                        members.shift_remove("toggle")
                    };
                    Some(local)
                }
                None => Some(json!({ "own": client, mark.clone(): 1 })),
            };
            (id, document, true)
        } else {
            let id = RecordId(format!("r{:02}", self.random.below(RECORDS)));
            let Some(mut local) = disk.local(&record(&id)) else { return };
            let members = local.as_object_mut().unwrap();
            members.insert(mark.clone(), json!(1));
            if self.random.chance(20) {
                members.insert("x".to_owned(), json!(self.edits));
            }
            (id, Some(local), false)
        };
        if let Some(seq) = disk.queue(&record(&id), document.clone(), &at) {
            let text = format!("edits {id} as op {seq}: {:?}", document.as_ref().map(ToString::to_string));
            if is_own {
                if document.is_none() {
                    self.deleted.push(id.clone());
                }
                self.own.insert((client, id), document);
            } else {
                self.saved.insert(mark, (client, id));
            }
            self.note(client, text);
            if self.clients[client].machine.is_some() {
                self.handle(client, Event::Request(SyncRequest::OutboxChanged));
            }
        }
    }

    /// Somebody else writes through the server.
    fn foreign(&mut self) {
        self.edits += 1;
        let id = RecordId(format!("r{:02}", self.random.below(RECORDS)));
        let Some(mut document) = self.server.records.get(&id).cloned() else { return };
        let members = document.as_object_mut().unwrap();
        members.insert(format!("o{}", self.edits), json!(1));
        if self.random.chance(20) {
            members.insert("x".to_owned(), json!(self.edits));
        }
        self.saved.insert(format!("o{}", self.edits), (usize::MAX, id.clone()));
        self.trace.push(format!("{:>9} somebody writes {id}", self.now));
        self.server.put(id, Some(document));
        self.serve_feeds();
    }
}

fn pushed(ticket: Ticket, request: &PushRequest, answer: Answer) -> Event {
    let exchange = Exchange { round_trip: Some(Duration::from_millis(20)), ..Exchange::default() };
    Event::Pushed { ticket, record: request.record.clone(), answer, exchange }
}

fn trouble(link: Link) -> Trouble {
    Trouble { link, message: "simulated".to_owned() }
}

fn short(answer: &Answer) -> &'static str {
    match answer {
        Answer::Accepted { .. } => "accepted",
        Answer::PreconditionFailed { .. } => "precondition failed",
        _ => "other",
    }
}

fn word(outcome: &ebbtide::sync::effect::Outcome) -> String {
    let text = format!("{outcome:?}");
    text.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}

/// The trace of one record of a run, for a failing seed.
pub fn about(trace: &[String], last: usize) -> impl Iterator<Item = &String> {
    trace.iter().skip(trace.len().saturating_sub(last))
}
