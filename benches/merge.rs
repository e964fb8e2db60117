//! Three-way merge of two documents of 1 MB that changed on both sides, against the limit of 50 ms.
//!
//! `cargo bench --bench merge`

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use ebbtide::{
    merge::merge_fields,
    model::{conflict::ConflictPolicy, rules::ConflictRules},
};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_millis(50);
const ROUNDS: usize = 21;

fn main() {
    println!("{:<52} {:>9} {:>10} {:>10}", "base, mine and theirs of", "bytes", "p50", "of 50 ms");
    row("an object of objects, every 10th changed", &objects, &ConflictRules::default());
    row("an array of 8,000 objects, changed here and there", &array, &ConflictRules::default());
    let keyed =
        ConflictRules { keys: vec![("/items".parse().expect("a place"), "id".to_owned())], ..ConflictRules::default() };
    row("the same, its elements known by a key", &array, &keyed);
    row("an array of 100,000 numbers without a common part", &shuffled, &ConflictRules::default());
    row("100,000 numbers, three times others", &others, &ConflictRules::default());
    row("100,000 numbers in three orders", &reordered, &ConflictRules::default());
    row("a text of 16,000 lines", &text, &ConflictRules::of(ConflictPolicy::Merge));
}

fn row(name: &str, document: &dyn Fn(usize) -> Value, rules: &ConflictRules) {
    let (base, mine, theirs) = (document(0), document(1), document(2));
    let bytes = base.to_string().len();
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            black_box(merge_fields(Some(&base), Some(&mine), Some(&theirs), rules));
            begin.elapsed()
        })
        .collect();
    times.sort_unstable();
    let p50 = times[ROUNDS / 2];
    let ratio = p50.as_secs_f64() / LIMIT.as_secs_f64();
    println!("{name:<52} {bytes:>9} {:>7.2} ms {ratio:>9.2}x", p50.as_secs_f64() * 1_000.0);
}

/// Side 1 changes every 10th member, side 2 the ones beside them.
fn objects(side: usize) -> Value {
    let member = |n: usize| {
        let changed = side > 0 && n % 10 == side;
        let price = if changed { n * 100 + side } else { n };
        (
            format!("m{n:05}"),
            json!({"name": format!("Member {n} of the whole"), "price": price, "tags": ["a", "b"], "open": true}),
        )
    };
    Value::Object((0..11_000).map(member).collect())
}

/// Side 1 puts elements in, side 2 takes others out and changes some.
fn array(side: usize) -> Value {
    let mut items = Vec::new();
    for n in 0..8_000 {
        if side == 2 && n % 400 == 7 {
            continue;
        }
        let price = if side == 2 && n % 400 == 107 { 0 } else { n };
        items.push(json!({"id": n, "name": format!("Element {n} of the array"), "price": price, "note": "as it was, more or less, since the beginning"}));
        if side == 1 && n % 400 == 207 {
            items.push(json!({"id": 100_000 + n, "name": "new", "price": 1, "note": "put in"}));
        }
    }
    json!({"items": items})
}

fn shuffled(side: usize) -> Value {
    let step = [7_919, 7_907, 7_901][side];
    let numbers: Vec<usize> = (0..100_000).map(|n| n * step % 50_021 + 1_000_000).collect();
    json!({"numbers": numbers})
}

/// No number is there twice, and none in two of the three.
fn others(side: usize) -> Value {
    json!({"numbers": (0..100_000).map(|n| (side + 1) * 1_000_000 + n).collect::<Vec<usize>>()})
}

/// The same numbers, each once.
fn reordered(side: usize) -> Value {
    let step = [1, 7_919, 7_907][side];
    json!({"numbers": (0..100_000).map(|n| n * step % 100_000 + 1_000_000).collect::<Vec<usize>>()})
}

fn text(side: usize) -> Value {
    let line = |n: usize| match side > 0 && n % 50 == side * 20 {
        true => format!("line {n} was changed by side {side}, as a whole and for good\n"),
        false => format!("line {n} of a text that is about a megabyte long, all in all\n"),
    };
    json!({"text": (0..16_000).map(line).collect::<String>()})
}
