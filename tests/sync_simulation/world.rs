//! Clients, a server and the network between them, in virtual time.

use std::{
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap},
    time::Duration,
};

use ebbtide::{
    model::{
        ids::{CollectionKey, RecordId, RecordKey, Seq},
        json::{Pointer, same_value},
        op::Op,
        rules::{ConflictRules, FieldRule},
        source::{AuthSpec, CollectionSpec, PullMode, SourceKind, SourceSpec, SyncSettings},
        sync_status::SyncRequest,
        time::{At, Timestamp},
        wire::PushRequest,
    },
    sync::{Effect, Event, Machine, effect::Ticket},
};
use serde_json::{Value, json};

use crate::{
    disk::{Disk, Template},
    network::{Line, OpenFeed},
    random::Dice,
    schedule::{Fault, Happens, Plan, Request, Schedule},
    server::{Origin, Server},
};

const EPOCH: i64 = 1_700_000_000_000;
/// Records everybody edits.
pub const SHARED: u64 = 16;
/// Virtual time after the last fault in which everything must have settled: the longest backoff, the late-original
/// guard, a sweep, and some.
pub const SETTLES_WITHIN: u64 = 20 * 60_000;
/// Happenings of one run at most: a run that is longer goes in circles.
const MOST: u64 = 300_000;
/// How often a user looks after what waits for a person.
const ATTENDS: u64 = 4_000;

/// What may happen, at a time.
pub enum Happening {
    Deliver(Event),
    Store(Effect),
    /// A write reaches the server; the answer goes back where there is somebody to take it.
    Arrive {
        request: Box<PushRequest>,
        origin: Origin,
        answer: Option<(Ticket, u64)>,
    },
    Read(Effect, Option<Fault>),
    Wake,
    Attend,
    Revive,
    /// A second process starts on the data dir.
    Join,
    Step(usize),
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
    pub machine: Option<Machine>,
    life: u64,
    /// Effects until the process dies, and whether only the leading one does.
    doom: Option<(u32, bool)>,
    /// The one writer thread of each file: effects are carried out in order.
    pub journal_free_at: u64,
    pub mirror_free_at: u64,
    pub feeds: BTreeMap<Ticket, OpenFeed>,
    pub claims: HashMap<RecordId, Seq>,
    wake: Option<u64>,
    /// Answers on their way to this life of the process.
    outstanding: u64,
    /// The disk was written since the timers were looked at.
    pub moved: bool,
    asleep_until: u64,
    slept: u64,
    offset: i64,
    /// The user agreed to a mass deletion.
    pub accepted: bool,
    draws: u64,
    pub line: Line,
    /// The edit an op goes back to: a rebased op takes its predecessor's place.
    pub roots: HashMap<Seq, Seq>,
}

pub struct World<'s> {
    pub now: u64,
    pub schedule: &'s Schedule,
    pub server: Server,
    pub clients: Vec<Client>,
    queue: BinaryHeap<Item>,
    number: u64,
    pub edits: u64,
    /// Writes still on their way to the server.
    underway: u64,
    /// Something changed since the last look whether all is settled.
    pub stirred: bool,
    /// Marks users left in shared records: who, and where.
    pub saved: BTreeMap<String, (usize, RecordId)>,
    /// Records only one client ever touches, with what that client last saved.
    pub own: BTreeMap<(usize, RecordId), Option<Value>>,
    /// Ops of such records that were refused while in doubt and then given up: each may still land, once.
    pub feared: BTreeMap<(usize, RecordId), Vec<Op>>,
    /// Marks that were added to the list of their record too.
    pub listed: BTreeSet<String>,
    /// The highest number anybody set in a record.
    pub highest: BTreeMap<RecordId, u64>,
    /// The server lost everything once: what was there counts as kept where the vault has it.
    pub wiped: bool,
    /// Records of which a late original arrived after that.
    pub revived: BTreeSet<RecordId>,
    /// Faults that were met.
    pub met: BTreeMap<Request, Fault>,
    pub broken: Option<String>,
    pub trace: Option<Vec<String>>,
    _files: tempfile::TempDir,
}

pub fn collection() -> CollectionKey {
    CollectionKey::new("s", "c")
}

pub fn record(id: &RecordId) -> RecordKey {
    collection().record(id.clone())
}

fn source(plan: &Plan) -> SourceSpec {
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
            pull: plan.mode,
            updated_at: (plan.mode == PullMode::Delta).then(|| Pointer::parse("/at")),
            conflicts: ConflictRules {
                policy: plan.policy,
                fields: plan.rules.iter().map(|(place, rule)| (place.parse().expect("a place"), *rule)).collect(),
                ..ConflictRules::default()
            },
        }],
    }
}

impl<'s> World<'s> {
    pub fn new(template: &Template, schedule: &'s Schedule, traced: bool) -> Self {
        let files = template.place();
        let mut server = Server::new(schedule.plan.versions);
        (server.stamps, server.clock) = (schedule.plan.mode == PullMode::Delta, EPOCH - 60_000);
        for n in 0..SHARED {
            server.put(RecordId(format!("r{n:02}")), Some(json!({ "n": n, "x": 0 })));
        }
        let client = |index: usize| Client {
            disk: Disk::new(template, &files.path().join(index.to_string())),
            machine: None,
            life: 0,
            doom: None,
            journal_free_at: 0,
            mirror_free_at: 0,
            feeds: BTreeMap::new(),
            claims: HashMap::new(),
            wake: None,
            outstanding: 0,
            moved: false,
            asleep_until: 0,
            slept: 0,
            offset: 0,
            accepted: false,
            draws: 0,
            line: Line::default(),
            roots: HashMap::new(),
        };
        let clients = (0..schedule.plan.clients).map(client).collect();
        let mut world = Self {
            now: 0,
            schedule,
            server,
            clients,
            queue: BinaryHeap::new(),
            number: 0,
            edits: 0,
            underway: 0,
            stirred: true,
            saved: BTreeMap::new(),
            own: BTreeMap::new(),
            feared: BTreeMap::new(),
            listed: BTreeSet::new(),
            highest: BTreeMap::new(),
            wiped: false,
            revived: BTreeSet::new(),
            met: BTreeMap::new(),
            broken: None,
            trace: traced.then(Vec::new),
            _files: files,
        };
        for index in 0..world.clients.len() {
            world.later(index, 0, Happening::Revive);
            world.later(index, ATTENDS, Happening::Attend);
        }
        for (index, step) in schedule.steps.iter().enumerate() {
            if step.client < world.clients.len() {
                world.later(step.client, step.at, Happening::Step(index));
            }
        }
        world
    }

    pub fn later(&mut self, client: usize, delay: u64, what: Happening) {
        self.number += 1;
        match &what {
            Happening::Arrive { answer: None, .. } => self.underway += 1,
            Happening::Arrive { .. } => {
                self.underway += 1;
                self.clients[client].outstanding += 1;
            }
            Happening::Deliver(_) | Happening::Store(_) | Happening::Read(..) => self.clients[client].outstanding += 1,
            _ => {}
        }
        let life = self.clients[client].life;
        self.queue.push(Item { at: self.now + delay, number: self.number, client, life, what });
    }

    /// Dice of a client's own stream.
    pub fn dice(&mut self, client: usize) -> Dice {
        let draws = &mut self.clients[client].draws;
        *draws += 1;
        Dice::of(self.schedule.seed, &[3, client as u64, *draws])
    }

    pub fn at(&mut self, client: usize) -> At {
        let entropy = self.dice(client).entropy();
        let known = &self.clients[client];
        let at = At {
            wall: Timestamp(EPOCH + i64::try_from(self.now).unwrap_or(0) + known.offset),
            mono: Duration::from_millis(self.now - known.slept),
            entropy,
        };
        known.disk.clock.set(at);
        at
    }

    /// Nothing goes wrong any more.
    pub fn is_calm(&self) -> bool {
        self.now >= self.schedule.plan.active
    }

    pub fn note(&mut self, client: usize, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>8} client {client}: {}", self.now, text()));
        }
    }

    /// Remembers the first broken promise; the run ends there.
    pub fn breaks(&mut self, text: String) {
        self.broken.get_or_insert(text);
    }

    /// Runs until everything has settled, or until something is broken.
    pub fn run(&mut self) -> Result<(), String> {
        let until = self.schedule.plan.active + SETTLES_WITHIN;
        while let Some(item) = self.queue.pop() {
            if item.at > until {
                break;
            }
            self.now = self.now.max(item.at);
            self.server.clock = EPOCH + i64::try_from(self.now).unwrap_or(0);
            self.happen(item);
            if self.number > MOST {
                return Err(format!("I6: {MOST} happenings and no rest"));
            }
            if let Some(broken) = self.broken.take() {
                return Err(broken);
            }
            if self.is_calm() && self.stirred && self.is_quiet() {
                self.stirred = false;
                if self.unsettled().is_none() {
                    return self.judge();
                }
            }
        }
        let why = self.unsettled().unwrap_or_else(|| "something is under way for ever".to_owned());
        Err(format!("I6: not settled {} s after the last fault: {why}", SETTLES_WITHIN / 1_000))
    }

    /// Nothing is on its way that was asked for.
    fn is_quiet(&self) -> bool {
        self.underway == 0
            && self
                .clients
                .iter()
                .all(|client| client.machine.is_some() && client.outstanding == 0 && client.asleep_until <= self.now)
    }

    /// Everything sent, everything pulled, everyone equal; else what is not.
    fn unsettled(&mut self) -> Option<String> {
        for (index, client) in self.clients.iter_mut().enumerate() {
            if !client.disk.is_running() {
                return Some(format!("client {index} does not run"));
            }
            let pending = client.disk.pending();
            if let Some(op) = pending.first() {
                let more = pending.len();
                return Some(format!(
                    "client {index} has {more} pending, the first is op {} of {} ({})",
                    op.seq,
                    op.record,
                    op.state.label()
                ));
            }
            let shown = client.disk.shown(&collection());
            for (id, value) in &shown {
                if !self.server.records.get(id).is_some_and(|there| same_value(there, value)) {
                    return Some(format!("client {index} shows {id} as {value}"));
                }
            }
            if shown.len() != self.server.records.len() {
                let known: BTreeSet<&RecordId> = shown.iter().map(|(id, _)| id).collect();
                let lacks: Vec<_> = self.server.records.keys().filter(|id| !known.contains(id)).collect();
                return Some(format!("client {index} lacks {lacks:?}"));
            }
        }
        None
    }

    fn happen(&mut self, item: Item) {
        let Item { client, life, what, at, .. } = item;
        let alive = self.clients[client].life == life;
        let counted = match &what {
            Happening::Arrive { answer, .. } => {
                self.underway -= 1;
                answer.is_some()
            }
            Happening::Deliver(_) | Happening::Store(_) | Happening::Read(..) => true,
            _ => false,
        };
        if counted && alive {
            self.clients[client].outstanding -= 1;
        }
        let wakes = self.clients[client].asleep_until;
        if wakes > at && !matches!(what, Happening::Arrive { .. } | Happening::Step(_)) {
            if matches!(what, Happening::Wake) && self.clients[client].wake == Some(at) {
                self.clients[client].wake = Some(wakes);
            }
            if alive || matches!(what, Happening::Revive | Happening::Attend) {
                self.later(client, wakes - self.now, what);
            }
            return;
        }
        match what {
            Happening::Arrive { request, origin, answer } => {
                self.arrive(client, &request, origin, answer.filter(|_| alive));
            }
            Happening::Step(index) => self.step(client, index),
            Happening::Revive if self.clients[client].machine.is_none() => self.revive(client),
            Happening::Join => self.join(client),
            Happening::Attend => {
                self.later(client, ATTENDS, Happening::Attend);
                if self.clients[client].machine.is_some() {
                    self.attend(client);
                }
            }
            Happening::Deliver(event) if alive => {
                let closed = matches!(&event, Event::FeedMoved { ticket, .. }
                    if !self.clients[client].feeds.contains_key(ticket));
                if !closed {
                    self.handle(client, event);
                }
            }
            Happening::Store(effect) if alive && !self.is_doomed(client) => self.store(client, effect),
            Happening::Read(effect, fault) if alive => self.read(client, effect, fault),
            Happening::Wake if alive && self.clients[client].wake == Some(at) => {
                self.clients[client].wake = None;
                self.handle(client, Event::Tick);
            }
            _ => {}
        }
    }

    fn step(&mut self, client: usize, index: usize) {
        let step = self.schedule.steps[index];
        let mut dice = Dice::of(step.dice, &[]);
        // Where the leader died alone the user goes on working in the other process.
        let awake = self.clients[client].disk.is_running() && self.clients[client].asleep_until <= self.now;
        self.note(client, || format!("{:?}", step.what));
        let calm_at = self.schedule.plan.active;
        let end = |long: u64| (step.at + long).min(calm_at);
        match step.what {
            Happens::Edit if awake => self.edit(client, &mut dice),
            Happens::Command if awake => self.command(client, &mut dice),
            Happens::Foreign => self.foreign(&mut dice),
            Happens::Kill(after) | Happens::KillLeader(after) if self.clients[client].machine.is_some() => {
                let alone = matches!(step.what, Happens::KillLeader(_));
                match after {
                    0 => self.kill(client, alone),
                    after => self.clients[client].doom = Some((after, alone)),
                }
            }
            Happens::Damage if awake => self.damage(client, &mut dice),
            Happens::Cut(long) => {
                self.clients[client].line.cut_until = end(long);
                self.break_feeds(client);
            }
            Happens::Storm(storm, long) => {
                self.clients[client].line.storm = Some((storm, end(long)));
                self.break_feeds(client);
            }
            Happens::Sleep(long) if awake => {
                self.clients[client].asleep_until = self.now + long;
                self.clients[client].slept += long;
                self.break_feeds(client);
            }
            Happens::Jump(by) => self.clients[client].offset += by,
            Happens::Wipe => {
                self.wiped = true;
                self.own.clear();
                self.server.wipe();
                (0..self.clients.len()).for_each(|client| self.break_feeds(client));
            }
            _ => {}
        }
    }

    /// Counts down to a kill that was announced; true where it has come.
    fn is_doomed(&mut self, client: usize) -> bool {
        match &mut self.clients[client].doom {
            Some((0 | 1, alone)) => {
                let alone = *alone;
                self.kill(client, alone);
                true
            }
            Some((left, _)) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    /// All processes of the data dir die, or only the one that leads.
    fn kill(&mut self, client: usize, alone: bool) {
        let passes_on = alone && self.clients[client].disk.has_company();
        self.note(client, || if passes_on { "the leader is killed".to_owned() } else { "killed".to_owned() });
        let dead = &mut self.clients[client];
        dead.life += 1;
        dead.machine = None;
        dead.doom = None;
        dead.feeds.clear();
        dead.claims.clear();
        dead.wake = None;
        dead.outstanding = 0;
        (dead.journal_free_at, dead.mirror_free_at) = (0, 0);
        if passes_on {
            dead.disk.pass_on();
        } else {
            dead.disk.crash();
        }
        let delay = self.dice(client).between(10, if passes_on { 1_000 } else { 3_000 });
        self.later(client, delay, Happening::Revive);
    }

    fn revive(&mut self, client: usize) {
        self.note(client, || "starts".to_owned());
        let now = self.at(client).wall;
        let settings = SyncSettings {
            parallel: self.schedule.plan.parallel,
            page_size: 7,
            sweep_every: Duration::from_secs(60),
            audit_budget: if self.schedule.plan.audited { 100_000_000 } else { 0 },
            audit_every: Duration::from_secs(20),
            ..SyncSettings::default()
        };
        let known = &mut self.clients[client];
        if !known.disk.is_running() {
            known.disk.start();
        }
        let guards = known.disk.lead(now);
        known.machine = Some(Machine::new(&[source(&self.schedule.plan)], &settings, false));
        self.check_all(client, "after a start");
        self.handle(client, Event::Started { guards });
        if self.schedule.plan.processes > 1 {
            let delay = self.dice(client).between(20, 3_000);
            self.later(client, delay, Happening::Join);
        }
    }

    fn join(&mut self, client: usize) {
        let known = &mut self.clients[client];
        if known.disk.is_running() && !known.disk.has_company() {
            self.at(client);
            self.clients[client].disk.join();
            self.note(client, || "a second process starts".to_owned());
        }
    }

    fn damage(&mut self, client: usize, dice: &mut Dice) {
        let shared = RecordId(format!("r{:02}", dice.below(SHARED)));
        let made_up = RecordId(format!("z{}", dice.below(3)));
        let spoil = dice.chance(60);
        let damaged = self.clients[client].disk.damage(&shared, &made_up, spoil);
        self.note(client, || format!("damaged: {damaged:?}"));
        self.stirred = true;
    }

    /// The rule for a place of every record.
    pub fn rule(&self, place: &str) -> Option<FieldRule> {
        self.schedule.plan.rules.iter().find(|(named, _)| *named == place).map(|(_, rule)| *rule)
    }

    pub fn handle(&mut self, client: usize, event: Event) {
        let at = self.at(client);
        let Some(machine) = &mut self.clients[client].machine else { return };
        let effects = machine.handle(&at, event);
        if machine.healed() > 0 {
            self.breaks("I4: the machine had to wake itself up".to_owned());
        }
        for effect in effects {
            if self.clients[client].machine.is_none() || self.is_doomed(client) {
                return;
            }
            self.carry_out(client, effect);
        }
        self.arm(client);
        if self.clients[client].outstanding == 0 {
            self.check_timers(client, &at);
        }
    }

    /// Wakes the machine when it wants to be.
    fn arm(&mut self, client: usize) {
        let known = &self.clients[client];
        let Some(machine) = &known.machine else { return };
        let Some(due) = machine.wake_at() else { return };
        let due = (u64::try_from(due.as_nanos().div_ceil(1_000_000)).unwrap_or(0) + known.slept).max(self.now);
        if known.wake.is_none_or(|armed| due < armed || armed < self.now) {
            self.clients[client].wake = Some(due);
            self.later(client, due - self.now, Happening::Wake);
        }
    }

    /// The users' own wishes reach the engine: at once from the same process, or with the next look at the journal.
    pub fn tell(&mut self, client: usize, dice: &mut Dice) {
        (self.stirred, self.clients[client].moved) = (true, true);
        if dice.chance(50) && !self.clients[client].disk.is_beside {
            self.handle(client, Event::Request(SyncRequest::OutboxChanged));
        } else {
            let delay = dice.between(0, 250);
            self.later(client, delay, Happening::Deliver(Event::JournalMoved));
        }
    }

    pub fn machine(&mut self, client: usize) -> Option<&mut Machine> {
        self.clients[client].machine.as_mut()
    }

    pub fn is_jumpy(&self) -> bool {
        self.schedule.has(|what| matches!(what, Happens::Jump(_) | Happens::Sleep(_)))
    }
}
