//! Bits turned over and files cut off, at every place.

use ebbtide::store::StoreError;

use crate::{
    common::{Random, seed},
    place::{Image, Maker, Start, start, works},
};

fn damaged(image: &Image, name: &str, bytes: &[u8], ranges: &[std::ops::Range<usize>], what: &str) {
    let dir = image.lay_out(name, Some(bytes));
    match start(dir.path(), what) {
        Start::Works(found) => found.assert_has(&image.had, what, |word| image.is_hit(name, ranges, word)),
        // Nothing of the user's is left in it: it asks.
        Start::Refuses(StoreError::Damaged { kept: Some(_), .. })
            if words(image).all(|word| image.is_hit(name, ranges, word)) => {}
        // The bits of the schema's number: it cannot be told from the mark of a newer program.
        Start::Refuses(StoreError::TooNew { .. }) if what.contains("flip of journal.db at 6") => {}
        Start::Refuses(error) => panic!("{what}: {error:?}"),
    }
}

fn words(image: &Image) -> impl Iterator<Item = &str> {
    let ops = image.had.ops.iter().map(|(_, word, _)| word.as_str());
    ops.chain(image.had.drafts.iter().map(|(_, word)| word.as_str()))
}

/// One flipped bit: at most what shares its page, or its frame, is lost.
fn flip(image: &Image, name: &str, rounds: usize, seed: u64) {
    let mut random = Random::new(seed);
    let length = image.bytes(name).unwrap().len();
    let blocks = image.blocks(name);
    for round in 0..rounds {
        let offset = if round % 4 == 0 { random.below(length.min(200)) } else { random.below(length) };
        let mut bytes = image.bytes(name).unwrap().to_vec();
        bytes[offset] ^= 1 << random.below(8);
        let block = blocks.iter().find(|block| block.contains(&offset)).unwrap().clone();
        damaged(image, name, &bytes, &[block], &format!("seed {seed}: flip of {name} at {offset}"));
    }
}

#[test]
fn a_flipped_bit_of_the_journal_costs_at_most_its_page() {
    flip(&Maker::new().everything().quit(), "journal.db", 260, seed(1));
}

#[test]
fn a_flipped_bit_of_the_log_costs_at_most_its_frame() {
    flip(&Maker::new().a_little().killed(), "journal.db-wal", 120, seed(2));
}

#[test]
fn a_flipped_bit_of_the_copies_costs_nothing_of_the_users() {
    let image = Maker::new().everything().quit();
    for name in ["mirror.db", "search.db"] {
        let mut random = Random::new(seed(3));
        for _ in 0..40 {
            let offset = random.below(image.bytes(name).unwrap().len());
            let mut bytes = image.bytes(name).unwrap().to_vec();
            bytes[offset] ^= 1 << random.below(8);
            let what = format!("flip of {name} at {offset}");
            let dir = image.lay_out(name, Some(&bytes));
            // A turned bit in the text of a copy is not noticed: the next whole reading brings the record again.
            let Ok(store) =
                ebbtide::store::Store::open(dir.path(), ebbtide::store::OpenMode::ReadWrite, crate::place::clock())
            else {
                panic!("{what}: refused")
            };
            let mut reader = store.reader().unwrap();
            let ops = reader.outbox(&[], None, 1_000).unwrap_or_default();
            drop(reader);
            drop(store);
            let dir_again = start_twice(dir.path(), &what);
            assert!(dir_again >= ops.len(), "{what}");
        }
    }
}

/// Opens it again, after whatever the readings of the first run noted; the edits that wait.
fn start_twice(dir: &std::path::Path, what: &str) -> usize {
    let open = || ebbtide::store::Store::open(dir, ebbtide::store::OpenMode::ReadWrite, crate::place::clock());
    let store = open().unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut reader = store.reader().unwrap();
    if reader.check().is_err() {
        drop(reader);
        drop(store);
        let store = open().unwrap_or_else(|error| panic!("{what}: {error}"));
        return store.reader().unwrap().outbox(&[], None, 1_000).unwrap().len();
    }
    reader.outbox(&[], None, 1_000).unwrap().len()
}

#[test]
fn a_whole_page_of_garbage_costs_at_most_itself() {
    let image = Maker::new().everything().quit();
    let mut random = Random::new(seed(4));
    for (number, block) in image.blocks("journal.db").into_iter().enumerate() {
        let mut bytes = image.bytes("journal.db").unwrap().to_vec();
        bytes[block.clone()].fill_with(|| random.next() as u8);
        damaged(&image, "journal.db", &bytes, &[block], &format!("garbage on page {}", number + 1));
    }
}

#[test]
fn a_journal_cut_off_at_any_page_keeps_what_is_before_the_cut() {
    let image = Maker::new().everything().quit();
    let whole = image.bytes("journal.db").unwrap().to_vec();
    for cut in (4096..whole.len()).step_by(4096).chain([whole.len() - 1, 5_000]) {
        damaged(
            &image,
            "journal.db",
            &whole[..cut],
            &[image.lost_behind("journal.db", cut)],
            &format!("journal.db cut at {cut}"),
        );
    }
}

#[test]
fn a_log_cut_off_anywhere_keeps_what_is_before_the_cut() {
    let image = Maker::new().a_little().killed();
    let whole = image.bytes("journal.db-wal").unwrap().to_vec();
    for cut in (4096..whole.len()).step_by(4096).chain([0, 16, 32]) {
        let ranges = [image.lost_behind("journal.db-wal", cut)];
        damaged(&image, "journal.db-wal", &whole[..cut], &ranges, &format!("journal.db-wal cut at {cut}"));
    }
}

#[test]
fn several_damages_at_once_cost_no_more_than_each_of_them() {
    let image = Maker::new().everything().quit();
    let (seed, blocks) = (seed(5), image.blocks("journal.db"));
    let mut random = Random::new(seed);
    for round in 0..60 {
        let mut bytes = image.bytes("journal.db").unwrap().to_vec();
        let mut hit = Vec::new();
        for _ in 0..2 + random.below(4) {
            let block = random.pick(&blocks).clone();
            bytes[block.clone()].fill_with(|| random.next() as u8);
            hit.push(block);
        }
        let dir = image.lay_out("journal.db", Some(&bytes));
        let what = format!("seed {seed}, round {round}");
        let found = works(start(dir.path(), &what), &what);
        found.assert_has(&image.had, &what, |word| image.is_hit("journal.db", &hit, word));
    }
}
