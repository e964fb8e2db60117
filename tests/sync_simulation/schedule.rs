//! What is going to happen in a run: drawn from its seed, written down as data, so that it can be cut short and printed.

use std::{collections::BTreeMap, fmt};

use ebbtide::model::{conflict::ConflictPolicy, rules::FieldRule, source::PullMode, sync_status::GuardAnswer};

use crate::{random::Dice, server::Versions};

/// How a run is made.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub clients: usize,
    pub mode: PullMode,
    pub versions: Versions,
    /// Requests of a source in flight at once.
    pub parallel: usize,
    /// What settles a place that both sides changed.
    pub policy: ConflictPolicy,
    /// Percent of requests that meet a fault while faults are on.
    pub faults: u64,
    /// Milliseconds during which things happen; then the network heals and everything must settle.
    pub active: u64,
    /// Rules for single fields, under the same policy.
    pub rules: Vec<(&'static str, FieldRule)>,
    /// Processes on each data dir: the first leads, a second one edits beside it and takes the lead when it dies.
    pub processes: usize,
    /// The mirror is compared with the server in the background. Where it is not, nothing heals news that a pull missed.
    pub audited: bool,
    /// What the users answer when the server's collection turns out to be empty.
    pub guard: GuardAnswer,
}

/// One thing that happens at a time, whatever the network does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    pub at: u64,
    pub client: usize,
    pub what: Happens,
    /// Dice for what is only decided when it happens: which record, which of the pending ops.
    pub dice: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Happens {
    /// The user saves an edit.
    Edit,
    /// The user holds, retries, discards or takes back something in the outbox.
    Command,
    /// Somebody else writes through the server.
    Foreign,
    /// The process dies after so many more of its effects.
    Kill(u32),
    /// Only the leading process dies; the other one on its data dir goes on, and leads.
    KillLeader(u32),
    /// A row of the mirror is spoilt, lost or made up behind everybody's back.
    Damage,
    /// No way to the server for so long.
    Cut(u64),
    Storm(Storm, u64),
    /// The computer sleeps for so long; the wall clock goes on.
    Sleep(u64),
    /// Somebody sets the wall clock by so many milliseconds.
    Jump(i64),
    /// The server loses everything.
    Wipe,
}

/// What every answer of the server is for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storm {
    /// 500, 502, 504: half of the writes are applied nevertheless.
    Broken,
    /// 429 or 503, with and without `Retry-After`.
    Busy,
    /// A sign-in page in between.
    Portal,
    /// The credentials are not accepted, however often they are read anew.
    Refused,
}

/// What one request meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    NotSent,
    RequestLost,
    AnswerLost,
    AnswerLate,
    /// Applied long after it was given up.
    RequestLate,
    Duplicate,
    /// A late duplicate: the answer came, and the network delivers the request once more.
    LateDuplicate,
    /// The answer breaks off in its middle.
    Truncated,
    Busy,
    Portal,
    Expired,
    /// Refused for good, as by the server's rules.
    Rejected,
}

const FAULTS: [Fault; 12] = [
    Fault::NotSent,
    Fault::RequestLost,
    Fault::AnswerLost,
    Fault::AnswerLate,
    Fault::RequestLate,
    Fault::Duplicate,
    Fault::LateDuplicate,
    Fault::Truncated,
    Fault::Busy,
    Fault::Portal,
    Fault::Expired,
    Fault::Rejected,
];

/// Without a server's stamp, last-write-wins asks like `manual` does.
const POLICIES: [ConflictPolicy; 5] = [
    ConflictPolicy::Merge,
    ConflictPolicy::LastWriteWins,
    ConflictPolicy::LocalWins,
    ConflictPolicy::RemoteWins,
    ConflictPolicy::KeepBoth,
];

/// What a rule may say of the number everybody sets, and of the list everybody adds to.
const NUMBER: [FieldRule; 6] =
    [FieldRule::Max, FieldRule::Max, FieldRule::Min, FieldRule::Mine, FieldRule::Theirs, FieldRule::ServerOwned];

/// The n-th request of a client.
pub type Request = (usize, u64);

/// Which requests meet a fault: by chance, or exactly these.
#[derive(Debug, Clone, PartialEq)]
pub enum Faults {
    Drawn,
    Only(BTreeMap<Request, Fault>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    pub seed: u64,
    pub plan: Plan,
    pub steps: Vec<Step>,
    pub faults: Faults,
}

/// What a run is meant to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Everything that can go wrong.
    Promises,
    /// Kills and partitions above all: does it always go on?
    Liveness,
}

impl Schedule {
    pub fn draw(seed: u64, kind: Kind) -> Self {
        let mut dice = Dice::of(seed, &[1, kind as u64]);
        let wiped = kind == Kind::Promises && dice.chance(8);
        let plan = Plan {
            // Whose copy is the newest after the server lost all of them is a question for the users: one client has one.
            clients: if wiped || dice.chance(35) { 1 } else { 2 },
            mode: match dice.below(100) {
                0..=34 => PullMode::Windows,
                35..=54 => PullMode::Delta,
                _ => PullMode::Stream,
            },
            versions: if dice.chance(60) { Versions::Content } else { Versions::Counted },
            parallel: if dice.chance(20) { 1 } else { 4 },
            policy: match kind {
                Kind::Promises if dice.chance(30) => dice.pick(&POLICIES).unwrap_or_default(),
                _ => ConflictPolicy::Manual,
            },
            rules: match kind {
                Kind::Promises if dice.chance(35) => {
                    let number = dice.pick(&NUMBER).map(|rule| ("/x", rule));
                    let list = dice.chance(70).then_some(("/tags", FieldRule::Union));
                    number.into_iter().chain(list).collect()
                }
                _ => Vec::new(),
            },
            processes: if dice.chance(30) { 2 } else { 1 },
            faults: match kind {
                Kind::Promises => dice.pick(&[0, 10, 25, 50]).unwrap_or(0),
                Kind::Liveness => dice.pick(&[0, 15]).unwrap_or(0),
            },
            active: 40_000,
            audited: true,
            guard: if dice.chance(50) { GuardAnswer::Accept } else { GuardAnswer::Reupload },
        };
        let mut steps = Vec::new();
        let mut add = |dice: &mut Dice, client: usize, what: Happens| {
            steps.push(Step { at: dice.below(plan.active), client, what, dice: dice.next() });
        };
        for client in 0..plan.clients {
            let (edits, kills, cuts) = match kind {
                Kind::Promises => (dice.between(3, 14), dice.below(4), dice.below(2)),
                Kind::Liveness => (dice.between(2, 5), dice.between(1, 5), dice.between(1, 4)),
            };
            (0..edits).for_each(|_| add(&mut dice, client, Happens::Edit));
            for _ in 0..kills {
                let after = u32::try_from(dice.below(12)).unwrap_or(0);
                let leader = plan.processes > 1 && dice.chance(60);
                add(&mut dice, client, if leader { Happens::KillLeader(after) } else { Happens::Kill(after) });
            }
            for _ in 0..cuts {
                let long = dice.between(500, 20_000);
                add(&mut dice, client, Happens::Cut(long));
            }
            if kind == Kind::Liveness {
                continue;
            }
            (0..dice.below(edits / 2 + 1)).for_each(|_| add(&mut dice, client, Happens::Command));
            if dice.chance(20) {
                (0..dice.between(1, 3)).for_each(|_| add(&mut dice, client, Happens::Damage));
            }
            if dice.chance(30) {
                let long = dice.between(1_000, 20_000);
                let storm = dice.pick(&[Storm::Broken, Storm::Busy, Storm::Portal, Storm::Refused]);
                add(&mut dice, client, Happens::Storm(storm.unwrap_or(Storm::Broken), long));
            }
            if dice.chance(15) {
                let long = dice.between(5_000, 600_000);
                add(&mut dice, client, Happens::Sleep(long));
            }
            if dice.chance(15) {
                let by = i64::try_from(dice.between(0, 7_200_000)).unwrap_or(0) - 3_600_000;
                add(&mut dice, client, Happens::Jump(by));
            }
        }
        (0..dice.between(1, 8)).for_each(|_| add(&mut dice, 0, Happens::Foreign));
        if wiped {
            add(&mut dice, 0, Happens::Wipe);
        }
        steps.sort_by_key(|step| step.at);
        // Only a comparison finds what was spoilt behind everybody's back.
        let is_spoilt = steps.iter().any(|step| step.what == Happens::Damage);
        let plan = Plan { audited: is_spoilt || Dice::of(seed, &[4]).chance(50), ..plan };
        Self { seed, plan, steps, faults: Faults::Drawn }
    }

    pub fn fault(&self, request: Request) -> Option<Fault> {
        match &self.faults {
            Faults::Only(faults) => faults.get(&request).copied(),
            Faults::Drawn => {
                let mut dice = Dice::of(self.seed, &[2, request.0 as u64, request.1]);
                dice.chance(self.plan.faults).then(|| dice.pick(&FAULTS)).flatten()
            }
        }
    }

    pub fn has(&self, wanted: impl Fn(&Happens) -> bool) -> bool {
        self.steps.iter().any(|step| wanted(&step.what))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {:?}", self.seed, self.plan)?;
        for step in &self.steps {
            writeln!(f, "  at {:>6} ms  client {}: {:?}", step.at, step.client, step.what)?;
        }
        if let Faults::Only(faults) = &self.faults {
            for ((client, nth), fault) in faults {
                writeln!(f, "  request {nth} of client {client}: {fault:?}")?;
            }
        }
        Ok(())
    }
}
