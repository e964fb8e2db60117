//! The sync machine against a model server and a model disk, in virtual time: users, other writers, lost requests, lost
//! answers, late originals, duplicates, partitions and kills, all from one seed.
//!
//! `EBBTIDE_SEED=17 cargo test --test sync_simulation` replays one seed with its trace; `EBBTIDE_SEEDS=10000` runs more.

#[path = "sync_simulation/disk.rs"]
mod disk;
#[path = "sync_simulation/random.rs"]
mod random;
#[path = "sync_simulation/server.rs"]
mod server;
#[path = "sync_simulation/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use ebbtide::model::{json::same_value, source::PullMode};
use world::{Plan, World};

/// Virtual time after the last fault in which everything must have settled: the longest backoff, the late-original
/// guard, a sweep, and some.
const SETTLES_WITHIN: u64 = 20 * 60_000;

fn plan(seed: u64) -> Plan {
    Plan {
        clients: 1 + usize::try_from(seed % 2).unwrap(),
        mode: if seed.is_multiple_of(3) { PullMode::Windows } else { PullMode::Stream },
        parallel: if seed.is_multiple_of(5) { 1 } else { 4 },
        faults: [0, 10, 25, 50][usize::try_from(seed / 2 % 4).unwrap()],
        active: 60_000,
        edits: 5 + seed % 20,
        kills: seed / 3 % 4,
        partitions: seed / 7 % 3,
    }
}

/// One run, judged at its end.
fn judge(world: &mut World) {
    let settled = world.run(world.plan.active + SETTLES_WITHIN);
    if !settled {
        for (index, client) in world.clients.iter().enumerate() {
            let pending: Vec<_> =
                client.disk.ops.iter().filter(|op| op.state.is_pending()).map(|op| (op.seq, op.state)).collect();
            let differing: Vec<_> = world
                .server
                .records
                .iter()
                .filter(|(id, there)| {
                    !client.disk.mirror.get(id).is_some_and(|row| same_value(there, &row.base.document))
                })
                .map(|(id, _)| id)
                .collect();
            let extra: Vec<_> = client.disk.mirror.keys().filter(|id| !world.server.records.contains_key(id)).collect();
            println!("client {index}: pending {pending:?}, differing {differing:?}, extra {extra:?}");
        }
    }
    assert!(settled, "I6: not settled {} s after the last fault", SETTLES_WITHIN / 1_000);
    for (mark, (client, id)) in &world.saved {
        let there = world.server.records.get(id);
        assert!(
            there.is_some_and(|document| document.get(mark).is_some()),
            "{mark}, saved by client {client} in {id}, is lost: {there:?}"
        );
    }
    for ((client, id), saved) in &world.own {
        let there = world.server.records.get(id);
        assert!(
            ebbtide::merge::same_document(there, saved.as_ref()),
            "{id}, only touched by client {client}, is {there:?} instead of {saved:?}"
        );
    }
}

fn run(seed: u64, loud: bool) -> Result<u64, String> {
    let mut world = World::new(seed, plan(seed));
    let result = catch_unwind(AssertUnwindSafe(|| judge(&mut world)));
    if loud {
        world::about(&world.trace, 400).for_each(|line| println!("{line}"));
    }
    match result {
        Ok(()) => Ok(world.now),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            Err(text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
        }
    }
}

#[test]
fn nothing_is_lost_doubled_or_stuck_whatever_the_network_does() {
    if let Some(seed) = std::env::var("EBBTIDE_SEED").ok().and_then(|text| text.parse().ok()) {
        let result = run(seed, true);
        println!("seed {seed}: {:?}", plan(seed));
        return assert!(result.is_ok(), "seed {seed}: {}", result.unwrap_err());
    }
    let seeds: u64 = std::env::var("EBBTIDE_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    std::panic::set_hook(Box::new(|_| {}));
    let failed: Vec<(u64, String)> =
        (0..seeds).filter_map(|seed| run(seed, false).err().map(|text| (seed, text))).collect();
    let _ = std::panic::take_hook();
    for (seed, text) in failed.iter().take(10) {
        println!("seed {seed}: {text}");
    }
    assert!(failed.is_empty(), "{} of {seeds} seeds failed, the first is {}", failed.len(), failed[0].0);
}
