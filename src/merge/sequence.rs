//! Three-way merge of sequences: the elements of arrays, the lines of texts.
//!
//! ```text
//! base    a b   c d          what is the same in all three is an anchor; between two anchors one side may have
//! mine    a b x c d    --->  changed (taken), or both the same (taken), or both differently: no merge, the
//! theirs  a     c e          sequence overlaps as a whole
//! ```
//!
//! ## Why not the longest common subsequence at any price
//!
//! It is quadratic. Elements that are there once in both sequences anchor the comparison (in `n log n`); only the gaps
//! between them are compared exactly, and a gap of more than [`WORK`] pairs counts as replaced. The result is then
//! still right, but may overlap where a slower comparison would have told the changes apart.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    ops::Range,
};

use foldhash::fast::RandomState;
use serde_json::Value;
use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::model::json;

/// Pairs of elements compared in one gap, at most.
const WORK: usize = 250_000;

/// Merges the elements of arrays. `None`: both sides changed the same part, or the array has holes, which make it a map
/// by position whose elements must not move.
pub(super) fn merge_arrays<'v>(base: &'v [Value], mine: &'v [Value], theirs: &'v [Value]) -> Option<Vec<Value>> {
    if [base, mine, theirs].into_iter().flatten().any(Value::is_null) {
        return None;
    }
    let mut names = Names::of_about(base.len());
    let mut numbered = |items: &'v [Value]| names.number_all(items.iter().map(json::canonical));
    let (b, m, t) = (numbered(base), numbered(mine), numbered(theirs));
    let pieces = merge(&b, &m, &t)?;
    let piece = |piece: Piece| match piece {
        Piece::Mine(range) => mine[range].to_vec(),
        Piece::Theirs(range) => theirs[range].to_vec(),
    };
    Some(pieces.into_iter().flat_map(piece).collect())
}

/// Merges texts line by line. `None`: both sides changed the same lines, or lines next to each other.
pub(super) fn merge_lines(base: &str, mine: &str, theirs: &str) -> Option<String> {
    let lines = |text| -> Vec<&str> { str::split_inclusive(text, '\n').collect() };
    let (base, mine, theirs) = (lines(base), lines(mine), lines(theirs));
    let mut names = Names::of_about(base.len());
    let (b, m, t) = (names.number_all(base.iter()), names.number_all(mine.iter()), names.number_all(theirs.iter()));
    let pieces = merge(&b, &m, &t)?;
    let piece = |piece: Piece| match piece {
        Piece::Mine(range) => mine[range].concat(),
        Piece::Theirs(range) => theirs[range].concat(),
    };
    Some(pieces.into_iter().map(piece).collect())
}

/// Equal elements get equal numbers, small ones, so that comparing is cheap and a table by number has no holes.
struct Names<T> {
    numbers: HashMap<T, u32, RandomState>,
}

impl<T: Hash + Eq> Names<T> {
    fn of_about(count: usize) -> Self {
        Self { numbers: HashMap::with_capacity_and_hasher(count, RandomState::default()) }
    }

    fn number_all(&mut self, items: impl Iterator<Item = T>) -> Vec<u32> {
        items.map(|item| self.number(item)).collect()
    }

    fn number(&mut self, name: T) -> u32 {
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        *self.numbers.entry(name).or_insert(next)
    }
}

#[derive(Debug, PartialEq)]
enum Piece {
    Mine(Range<usize>),
    Theirs(Range<usize>),
}

fn merge(base: &[u32], mine: &[u32], theirs: &[u32]) -> Option<Vec<Piece>> {
    let (to_mine, to_theirs) = (matches(base, mine), matches(base, theirs));
    let mut pieces = Vec::new();
    let (mut b, mut m, mut t) = (0, 0, 0);
    let anchors = (0..base.len()).filter_map(|at| Some((at, to_mine[at]?, to_theirs[at]?)));
    for (next_b, next_m, next_t) in anchors.chain([(base.len(), mine.len(), theirs.len())]) {
        let (was, here, there) = (&base[b..next_b], &mine[m..next_m], &theirs[t..next_t]);
        if here == there || was == here {
            pieces.push(Piece::Theirs(t..next_t));
        } else if was == there {
            pieces.push(Piece::Mine(m..next_m));
        } else {
            return None;
        }
        if next_b < base.len() {
            pieces.push(Piece::Theirs(next_t..next_t + 1));
        }
        (b, m, t) = (next_b + 1, next_m + 1, next_t + 1);
    }
    Some(pieces)
}

/// For every element of `from` the one of `to` it is, in rising order.
fn matches(from: &[u32], to: &[u32]) -> Vec<Option<usize>> {
    let mut matched = vec![None; from.len()];
    let front = from.iter().zip(to).take_while(|(a, b)| a == b).count();
    let back = from[front..].iter().rev().zip(to[front..].iter().rev()).take_while(|(a, b)| a == b).count();
    for (at, place) in matched.iter_mut().enumerate().take(front) {
        *place = Some(at);
    }
    for at in 0..back {
        matched[from.len() - 1 - at] = Some(to.len() - 1 - at);
    }
    let (from_end, to_end) = (from.len() - back, to.len() - back);
    let (mut a, mut b) = (front, front);
    let anchors = anchors(&from[front..from_end], &to[front..to_end]);
    let anchors = anchors.into_iter().map(|(a, b)| (a + front, b + front));
    for (next_a, next_b) in anchors.chain([(from_end, to_end)]) {
        match_gap(from, to, a..next_a, b..next_b, &mut matched);
        if next_a < from_end {
            matched[next_a] = Some(next_b);
        }
        (a, b) = (next_a + 1, next_b + 1);
    }
    matched
}

fn match_gap(from: &[u32], to: &[u32], a: Range<usize>, b: Range<usize>, matched: &mut [Option<usize>]) {
    if a.is_empty() || b.is_empty() || a.len().saturating_mul(b.len()) > WORK {
        return;
    }
    // What only one side has cannot be matched, and in a gap between anchors that is nearly all of it.
    let common = |side: &[u32], all: Range<usize>, other: &HashSet<u32, RandomState>| -> Vec<usize> {
        all.filter(|at| other.contains(&side[*at])).collect()
    };
    let in_to = to[b.clone()].iter().copied().collect();
    let here = common(from, a, &in_to);
    let in_from = here.iter().map(|at| from[*at]).collect();
    let there = common(to, b, &in_from);
    let items = |side: &[u32], places: &[usize]| -> Vec<u32> { places.iter().map(|at| side[*at]).collect() };
    for op in capture_diff_slices(Algorithm::Myers, &items(from, &here), &items(to, &there)) {
        if let DiffOp::Equal { old_index, new_index, len } = op {
            for at in 0..len {
                matched[here[old_index + at]] = Some(there[new_index + at]);
            }
        }
    }
}

/// The longest rising run of elements that are there exactly once on both sides.
fn anchors(from: &[u32], to: &[u32]) -> Vec<(usize, usize)> {
    let (once_from, once_to) = (once(from), once(to));
    let place = |places: &[Place], item: u32| match places.get(item as usize) {
        Some(Place::Once(at)) => Some(*at as usize),
        _ => None,
    };
    let pairs: Vec<(usize, usize)> = (0..from.len())
        .filter(|at| place(&once_from, from[*at]) == Some(*at))
        .filter_map(|at| Some((at, place(&once_to, from[at])?)))
        .collect();
    longest_rising(&pairs)
}

/// Where an element stands.
#[derive(Clone, Copy)]
enum Place {
    Nowhere,
    Once(u32),
    Often,
}

/// Where each element stands, by its number.
fn once(items: &[u32]) -> Vec<Place> {
    let size = items.iter().max().map_or(0, |largest| *largest as usize + 1);
    let mut places = vec![Place::Nowhere; size];
    for (at, item) in (0..).zip(items) {
        let place = &mut places[*item as usize];
        *place = match place {
            Place::Nowhere => Place::Once(at),
            Place::Once(_) | Place::Often => Place::Often,
        };
    }
    places
}

/// The longest subsequence of `pairs` whose second numbers rise (patience sorting).
fn longest_rising(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut tops: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = vec![None; pairs.len()];
    for (at, pair) in pairs.iter().enumerate() {
        let pile = tops.partition_point(|top| pairs[*top].1 < pair.1);
        before[at] = pile.checked_sub(1).map(|left| tops[left]);
        match tops.get_mut(pile) {
            Some(top) => *top = at,
            None => tops.push(at),
        }
    }
    let mut run = Vec::with_capacity(tops.len());
    let mut at = tops.last().copied();
    while let Some(index) = at {
        run.push(pairs[index]);
        at = before[index];
    }
    run.reverse();
    run
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn arrays(base: Value, mine: Value, theirs: Value) -> Option<Value> {
        let items = |value: &Value| value.as_array().unwrap().clone();
        merge_arrays(&items(&base), &items(&mine), &items(&theirs)).map(Value::Array)
    }

    #[test]
    fn changes_that_lie_apart_fit_together() {
        let merged = arrays(json!([1, 2, 3, 4]), json!([0, 1, 2, 3, 4]), json!([1, 2, 4]));
        assert_eq!(merged, Some(json!([0, 1, 2, 4])));
        let merged = arrays(json!(["a", "b", "c"]), json!(["a", "x", "c"]), json!(["a", "b", "c", "d"]));
        assert_eq!(merged, Some(json!(["a", "x", "c", "d"])));
    }

    #[test]
    fn two_elements_put_at_one_place_overlap() {
        assert_eq!(arrays(json!([1]), json!([1, 2]), json!([1, 3])), None);
        assert_eq!(arrays(json!([1, 2]), json!([1, 9]), json!([1, 8])), None);
        assert_eq!(arrays(json!([1, 2]), json!([1, 9]), json!([1, 9])), Some(json!([1, 9])));
    }

    #[test]
    fn an_array_with_holes_is_a_map_by_position_and_no_sequence() {
        assert_eq!(arrays(json!([1, null, 3]), json!([0, 1, null, 3]), json!([1, null, 3, 4])), None);
    }

    #[test]
    fn lines_changed_apart_are_both_kept() {
        let merged = merge_lines("one\ntwo\nthree\nfour", "ONE\ntwo\nthree\nfour", "one\ntwo\nthree\nFOUR\n");
        assert_eq!(merged.as_deref(), Some("ONE\ntwo\nthree\nFOUR\n"));
        assert_eq!(merge_lines("one\ntwo", "one\n2", "one\nzwei"), None);
    }

    #[test]
    fn long_sequences_without_a_common_part_are_given_up_quickly_and_never_wrongly() {
        let base: Vec<u32> = (0..20_000).map(|n| n % 3).collect();
        let mine: Vec<u32> = (0..20_000).map(|n| n % 2).collect();
        let all: Vec<u32> = rebuild(&merge(&base, &mine, &base).unwrap(), &mine, &base);
        assert_eq!(all, mine);
    }

    fn rebuild(pieces: &[Piece], mine: &[u32], theirs: &[u32]) -> Vec<u32> {
        let piece = |piece: &Piece| match piece {
            Piece::Mine(range) => mine[range.clone()].to_vec(),
            Piece::Theirs(range) => theirs[range.clone()].to_vec(),
        };
        pieces.iter().flat_map(piece).collect()
    }

    fn sequence() -> impl Strategy<Value = Vec<u32>> {
        prop::collection::vec(0..8_u32, 0..12)
    }

    /// A few edits of one sequence: elements taken out, and new ones (from `first_new`) put in.
    fn edited(base: &[u32], edits: &[(prop::sample::Index, bool)], first_new: u32) -> Vec<u32> {
        let mut items = base.to_vec();
        for (new, (at, takes)) in (first_new..).zip(edits) {
            let at = at.index(items.len() + 1);
            match takes {
                true if at < items.len() => _ = items.remove(at),
                _ => items.insert(at, new),
            }
        }
        items
    }

    fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, bool)>> {
        prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..3)
    }

    proptest! {
        #[test]
        fn what_one_side_did_is_kept_when_the_other_did_nothing(base in sequence(), side in sequence()) {
            let pieces = merge(&base, &side, &base).unwrap();
            prop_assert_eq!(rebuild(&pieces, &side, &base), side.clone());
            let pieces = merge(&base, &base, &side).unwrap();
            prop_assert_eq!(rebuild(&pieces, &base, &side), side);
        }

        #[test]
        fn a_merge_holds_what_both_sides_put_in_and_nothing_either_took_out(
            length in 0..12_u32, a in edits(), b in edits(),
        ) {
            let base: Vec<u32> = (0..length).collect();
            let (mine, theirs) = (edited(&base, &a, 100), edited(&base, &b, 200));
            let Some(pieces) = merge(&base, &mine, &theirs) else { return Ok(()) };
            let merged = rebuild(&pieces, &mine, &theirs);
            let swapped = rebuild(&merge(&base, &theirs, &mine).unwrap(), &theirs, &mine);
            prop_assert_eq!(&merged, &swapped);
            for item in 0..300 {
                let (was, here, there) = (base.contains(&item), mine.contains(&item), theirs.contains(&item));
                let expected = if was { here && there } else { here || there };
                prop_assert_eq!(merged.contains(&item), expected, "{} of {:?}", item, merged);
            }
        }
    }
}
