//! The shortest schedule that still fails: happenings and faults are left out, many at once, then one by one.

use std::collections::BTreeMap;

use crate::schedule::{Fault, Faults, Request, Schedule};

/// Runs at most, whatever there is to leave out.
const TRIES: usize = 600;

/// Cuts a failing schedule down. `met` are the faults its run met; `fails` says whether a schedule still fails, and how.
///
/// Only the same promise broken counts: cutting may uncover another mistake, which is another story.
pub fn shrink(
    failing: &Schedule,
    met: &BTreeMap<Request, Fault>,
    fails: impl Fn(&Schedule) -> Option<String>,
) -> (Schedule, String) {
    let promise = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
    let first = fails(failing).map(|text| promise(&text));
    let fails = |schedule: &Schedule| fails(schedule).filter(|text| Some(promise(text)) == first);
    let mut best = Schedule { faults: Faults::Only(met.clone()), ..failing.clone() };
    let Some(mut how) = fails(&best) else {
        let how = fails(failing).unwrap_or_else(|| "it did not fail again".to_owned());
        return (failing.clone(), how);
    };
    let mut tries = 0;
    let mut size = parts(&best).div_ceil(2);
    while size > 0 && tries < TRIES {
        let mut from = 0;
        let mut shorter = false;
        while from < parts(&best) && tries < TRIES {
            tries += 1;
            let candidate = without(&best, from, size);
            match fails(&candidate) {
                // What moved up stands at `from` now.
                Some(text) => (best, how, shorter) = (candidate, text, true),
                None => from += size,
            }
        }
        if !(shorter && size == 1) {
            size /= 2;
        }
    }
    let alone = Schedule { plan: crate::schedule::Plan { clients: 1, ..best.plan.clone() }, ..best.clone() };
    match fails(&alone) {
        Some(text) => (alone, text),
        None => (best, how),
    }
}

/// Happenings and faults, which are one row here.
fn parts(schedule: &Schedule) -> usize {
    schedule.steps.len() + faults(schedule).len()
}

fn faults(schedule: &Schedule) -> BTreeMap<Request, Fault> {
    match &schedule.faults {
        Faults::Only(faults) => faults.clone(),
        Faults::Drawn => BTreeMap::new(),
    }
}

fn without(schedule: &Schedule, from: usize, count: usize) -> Schedule {
    let left = |index: usize| index < from || index >= from + count;
    let number = schedule.steps.len();
    let steps = schedule.steps.iter().enumerate().filter(|(index, _)| left(*index)).map(|(_, step)| *step).collect();
    let faults =
        faults(schedule).into_iter().enumerate().filter(|(index, _)| left(number + index)).map(|(_, fault)| fault);
    Schedule { steps, faults: Faults::Only(faults.collect()), ..schedule.clone() }
}
