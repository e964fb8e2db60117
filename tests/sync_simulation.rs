//! The sync machine, the merge and the store's SQL against a model server, in virtual time: users, other writers, lost
//! requests, lost answers, late originals, duplicates, storms, partitions, sleep, kills, all from one seed.
//!
//! ```text
//! cargo nextest run -E 'binary(sync_simulation)'                             what CI runs
//! cargo test --release --test sync_simulation -- --seeds 100000              as many as wanted
//! cargo test --test sync_simulation -- --seed 17                             one, with its trace
//! cargo test --test sync_simulation -- --seed 17 --liveness                  of the runs that look for standstill
//! ```
//!
//! `--from N` begins at another seed, `--brief` prints one line, `--all` goes on after a failure and prints one for each. A seed that fails is cut down to the shortest schedule that still fails, which is printed.

#![expect(clippy::disallowed_methods, reason = "it says how long the seeds took")]

#[path = "sync_simulation/carry.rs"]
mod carry;
#[path = "sync_simulation/check.rs"]
mod check;
#[path = "sync_simulation/disk.rs"]
mod disk;
#[path = "sync_simulation/mutants.rs"]
mod mutants;
#[path = "sync_simulation/network.rs"]
mod network;
#[path = "sync_simulation/people.rs"]
mod people;
#[path = "sync_simulation/random.rs"]
mod random;
#[path = "sync_simulation/schedule.rs"]
mod schedule;
#[path = "sync_simulation/server.rs"]
mod server;
#[path = "sync_simulation/shrink.rs"]
mod shrink;
#[path = "sync_simulation/world.rs"]
mod world;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use disk::Template;
use libtest_mimic::{Arguments, Failed, Trial};
use schedule::{Fault, Kind, Request, Schedule};
use world::World;

/// Seeds of the normal suite, in this many tests, so that they run beside each other.
const SEEDS: u64 = 2_000;
const LIVENESS: u64 = 1_000;
const PARTS: u64 = 4;

/// Seeds beyond those that once found a mistake, or notice one of `tests/mutants` that few others do. They run with every
/// suite that begins at 0.
const TELLING: [u64; 12] =
    [5076, 6179, 959961, 1006834, 1025804, 1032856, 1152172, 1306549, 1307817, 1310455, 1696220, 1874570];

/// How a run ended, and the faults it met.
struct Ran {
    result: Result<(), String>,
    met: BTreeMap<Request, Fault>,
    trace: Vec<String>,
}

fn run(template: &Template, schedule: &Schedule, traced: bool, prepare: impl FnOnce(&mut World<'_>)) -> Ran {
    let mut world = World::new(template, schedule, traced);
    prepare(&mut world);
    let result = catch_unwind(AssertUnwindSafe(|| world.run())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    });
    Ran { result, met: std::mem::take(&mut world.met), trace: world.trace.take().unwrap_or_default() }
}

/// Runs seeds on several threads until one fails, or to their end; answers those that did.
fn run_seeds(
    template: &Arc<Template>,
    kind: Kind,
    seeds: &[u64],
    loud: bool,
    all: bool,
) -> Result<(), BTreeMap<u64, String>> {
    let next = AtomicUsize::new(0);
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let failed: Mutex<BTreeMap<u64, String>> = Mutex::default();
    // Most of a run waits for the store's threads.
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get() * 4);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                    if let Err(text) = run(template, &Schedule::draw(seed, kind), false, |_| ()).result {
                        stop.store(!all, Ordering::Relaxed);
                        // Of a long run that is stopped by hand, what failed so far must not be lost.
                        if loud || all {
                            println!("seed {seed}: {}", text.lines().next().unwrap_or_default());
                        }
                        failed.lock().unwrap_or_else(PoisonError::into_inner).insert(seed, text);
                    }
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if loud && done.is_multiple_of(1_000) {
                        println!("{done} seeds in {:.0} s", began.elapsed().as_secs_f64());
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failed.is_empty() { Ok(()) } else { Err(failed) }
}

/// A failing seed, cut down and told.
fn explain(template: &Template, seed: u64, kind: Kind, text: &str) -> String {
    let schedule = Schedule::draw(seed, kind);
    let met = run(template, &schedule, false, |_| ()).met;
    let (short, how) = shrink::shrink(&schedule, &met, |schedule| run(template, schedule, false, |_| ()).result.err());
    let flag = if kind == Kind::Liveness { " --liveness" } else { "" };
    format!(
        "seed {seed}: {text}\n\nthe shortest schedule that fails ({how}):\n{short}\n\
         again, with its trace: cargo test --test sync_simulation -- --seed {seed}{flag}"
    )
}

/// The first that failed, cut down.
fn told(template: &Template, kind: Kind, failed: &BTreeMap<u64, String>) -> String {
    failed.iter().next().map(|(seed, text)| explain(template, *seed, kind, text)).unwrap_or_default()
}

fn quietly<T>(work: impl FnOnce() -> T) -> T {
    std::panic::set_hook(Box::new(|_| {}));
    let answer = work();
    let _ = std::panic::take_hook();
    answer
}

fn suite(template: &Arc<Template>, kind: Kind, seeds: &[u64]) -> Result<(), Failed> {
    let count = seeds.len();
    quietly(|| {
        run_seeds(template, kind, seeds, false, false).map_err(|failed| told(template, kind, &failed))?;
        println!("{count} runs: {}", kept(kind));
        Ok(())
    })
}

fn kept(kind: Kind) -> &'static str {
    if kind == Kind::Liveness { "0 stuck" } else { "0 lost, 0 doubled, 0 stuck" }
}

/// The simulation can fail, and says why in few words: against a server that ignores preconditions, edits are lost.
fn a_broken_server_is_noticed_and_its_schedule_cut_short(template: &Template) -> Result<(), Failed> {
    let broken =
        |schedule: &Schedule| run(template, schedule, false, |world| world.server.ignores_preconditions = true);
    quietly(|| {
        // Some schedules fail by many happenings together; of three that fail one must come down to a few.
        let mut long = Vec::new();
        for seed in 0..200 {
            let schedule = Schedule::draw(seed, Kind::Promises);
            let ran = broken(&schedule);
            if ran.result.is_ok() {
                continue;
            }
            let (short, how) = shrink::shrink(&schedule, &ran.met, |schedule| broken(schedule).result.err());
            let again = broken(&short).result.err();
            if again.as_ref() != Some(&how) {
                return Err(format!("the short schedule fails by {how:?}, then by {again:?}").into());
            }
            if short.steps.len() <= 4 {
                return Ok(());
            }
            long.push(short.to_string());
            if long.len() == 3 {
                return Err(format!("not short:\n{}", long.join("\n")).into());
            }
        }
        Err("200 seeds do not notice a server without preconditions".into())
    })
}

/// The same seed is the same run.
fn a_seed_replays_exactly(template: &Template) -> Result<(), Failed> {
    for seed in 0..12 {
        let schedule = Schedule::draw(seed, Kind::Promises);
        let (first, second) = (run(template, &schedule, true, |_| ()), run(template, &schedule, true, |_| ()));
        let differ = first.trace.iter().zip(&second.trace).find(|(a, b)| a != b);
        if let Some((a, b)) = differ {
            return Err(format!("seed {seed}: {a:?} the first time, {b:?} the second").into());
        }
        if first.trace.len() != second.trace.len() {
            return Err(format!("seed {seed}: a run of another length").into());
        }
    }
    Ok(())
}

fn trials(template: &Arc<Template>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for part in 0..PARTS {
        for (name, kind, seeds) in [
            ("nothing_is_lost_doubled_or_blocked", Kind::Promises, SEEDS),
            ("nothing_is_stuck_after_kills_and_partitions", Kind::Liveness, LIVENESS),
        ] {
            let range = seeds / PARTS * part..seeds / PARTS * (part + 1);
            let shared = Arc::clone(template);
            let name = format!("{name}_{}_to_{}", range.start, range.end - 1);
            trials.push(Trial::test(name, move || suite(&shared, kind, &Vec::from_iter(range))));
        }
    }
    let shared = Arc::clone(template);
    trials
        .push(Trial::test("what_was_found_once_is_not_found_again", move || suite(&shared, Kind::Promises, &TELLING)));
    let shared = Arc::clone(template);
    trials.push(Trial::test("a_broken_server_is_noticed_and_its_schedule_cut_short", move || {
        a_broken_server_is_noticed_and_its_schedule_cut_short(&shared)
    }));
    let shared = Arc::clone(template);
    trials.push(Trial::test("a_seed_replays_exactly", move || a_seed_replays_exactly(&shared)));
    trials.push(Trial::test("every_mutant_still_applies", || Ok(mutants::every_mutant_still_applies()?)));
    trials
}

/// What was asked for beyond the options of every test program.
#[derive(Default)]
struct Wish {
    seed: Option<u64>,
    seeds: Option<u64>,
    from: u64,
    liveness: bool,
    brief: bool,
    all: bool,
}

impl Wish {
    /// Takes the own options out of the arguments; the others are for the harness.
    fn take(arguments: &mut Vec<String>) -> Result<Self, String> {
        let mut wish = Self::default();
        let mut others = Vec::new();
        let mut rest = std::mem::take(arguments).into_iter();
        while let Some(word) = rest.next() {
            let mut number = || {
                let text = rest.next().unwrap_or_default();
                text.parse::<u64>().map_err(|_| format!("`{word}` wants a number, not {text:?}"))
            };
            match word.as_str() {
                "--seed" => wish.seed = Some(number()?),
                "--seeds" => wish.seeds = Some(number()?),
                "--from" => wish.from = number()?,
                "--liveness" => wish.liveness = true,
                "--brief" => wish.brief = true,
                "--all" => wish.all = true,
                _ => others.push(word),
            }
        }
        *arguments = others;
        Ok(wish)
    }

    fn kind(&self) -> Kind {
        if self.liveness { Kind::Liveness } else { Kind::Promises }
    }
}

fn replay(template: &Template, seed: u64, kind: Kind) -> ExitCode {
    let schedule = Schedule::draw(seed, kind);
    let ran = run(template, &schedule, true, |_| ());
    ran.trace.iter().for_each(|line| println!("{line}"));
    match ran.result {
        Ok(()) => {
            println!("{schedule}\nseed {seed}: all promises were kept");
            ExitCode::SUCCESS
        }
        Err(text) => {
            println!("{}", explain(template, seed, kind, &text));
            ExitCode::FAILURE
        }
    }
}

fn many(template: &Arc<Template>, wish: &Wish, seeds: u64) -> ExitCode {
    let (kind, began) = (wish.kind(), Instant::now());
    let telling = TELLING.iter().copied().filter(|_| kind == Kind::Promises && wish.from == 0);
    let numbers: Vec<u64> = telling.chain(wish.from..wish.from + seeds).collect();
    let failed = quietly(|| {
        run_seeds(template, kind, &numbers, !wish.brief, wish.all).map_err(|failed| match wish.brief || wish.all {
            true => failed.iter().map(|(seed, text)| format!("seed {seed}: {text}")).collect::<Vec<_>>().join("\n"),
            false => told(template, kind, &failed),
        })
    });
    match failed {
        Ok(()) => {
            println!("{} seeds: {}, in {:.1} s", numbers.len(), kept(kind), began.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(text) => {
            println!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().collect();
    let wish = match Wish::take(&mut arguments) {
        Ok(wish) => wish,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    let template = Arc::new(Template::new());
    if let Some(seed) = wish.seed {
        return quietly(|| replay(&template, seed, wish.kind()));
    }
    if let Some(seeds) = wish.seeds {
        return many(&template, &wish, seeds);
    }
    let trials = trials(&template);
    let conclusion = libtest_mimic::run(&Arguments::from_iter(arguments), trials);
    drop(template);
    conclusion.exit_code()
}
