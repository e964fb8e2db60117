//! Files that are missing, empty, something else, or of another version.

use std::path::Path;

use ebbtide::{
    model::activity::Severity,
    store::{OpenMode, Store, StoreError},
};

use crate::place::{Image, Maker, Start, assert_refused, clock, start, works};

/// Every edit and draft is there.
fn keeps_everything(image: &Image, name: &str, bytes: Option<&[u8]>, what: &str) {
    let dir = image.lay_out(name, bytes);
    works(start(dir.path(), what), what).assert_has(&image.had, what, |_| false);
}

#[test]
fn what_can_be_made_again_is_made_again() {
    let (quit, killed) = (Maker::new().everything().quit(), Maker::new().everything().killed());
    let names = ["mirror.db", "search.db", "data.lock", "leader.lock", "session-default.lock"];
    for name in names {
        for (kind, bytes) in [("missing", None), ("empty", Some(&b""[..])), ("garbage", Some(&b"no database"[..]))] {
            keeps_everything(&quit, name, bytes, &format!("{name} {kind}"));
        }
    }
    for name in ["mirror.db-wal", "search.db-wal"] {
        for (kind, bytes) in [("missing", None), ("empty", Some(&b""[..])), ("garbage", Some(&[7_u8; 9_000][..]))] {
            keeps_everything(&killed, name, bytes, &format!("{name} {kind}"));
        }
    }
    for name in ["mirror.db", "search.db"] {
        let whole = quit.bytes(name).unwrap();
        for cut in (0..whole.len()).step_by(4096) {
            keeps_everything(&quit, name, Some(&whole[..cut]), &format!("{name} cut at {cut}"));
        }
    }
}

#[test]
fn the_ballast_and_the_emergency_file_may_be_anything() {
    let image = Maker::new().everything().quit();
    for bytes in [&b""[..], b"short", &[0; 100]] {
        keeps_everything(&image, "ballast", Some(bytes), "ballast");
    }
}

#[test]
fn a_missing_journal_is_made_anew_aloud_and_one_with_a_log_is_read_from_it() {
    let quit = Maker::new().everything().quit();
    let dir = quit.lay_out("journal.db", None);
    let found = works(start(dir.path(), "missing"), "missing");
    assert!(found.ops.is_empty());
    let note = found.notes.iter().find(|note| note.severity == Severity::Problem).expect("it is said");
    assert!(note.text.contains("was missing"), "{note:?}");
    // All that was written since the last checkpoint is in the log.
    let killed = Maker::new().everything().killed();
    let dir = killed.lay_out("journal.db", None);
    let found = works(start(dir.path(), "only the log"), "only the log");
    let is_only_in_the_database =
        |word: &str| !killed.is_hit("journal.db-wal", std::slice::from_ref(&(0..usize::MAX)), word);
    found.assert_has(&killed.had, "only the log", is_only_in_the_database);
    assert!(!found.ops.is_empty());
}

#[test]
fn where_nothing_can_be_read_it_asks_and_keeps_a_copy() {
    let image = Maker::new().everything().quit();
    let length = image.bytes("journal.db").unwrap().len();
    for (kind, bytes) in [("empty", vec![]), ("text", b"not a database\n".repeat(500)), ("zeros", vec![0; length])] {
        let dir = image.lay_out("journal.db", Some(&bytes));
        for _ in 0..2 {
            let kept = assert_refused(start(dir.path(), kind), kind);
            assert_eq!(std::fs::read(kept).unwrap(), bytes, "{kind}");
        }
        assert_eq!(std::fs::read(dir.path().join("journal.db")).unwrap(), bytes, "{kind}: it stays where it is");
        assert!(matches!(Store::salvage(dir.path(), false), Err(StoreError::Damaged { kept: Some(_), .. })));
        assert_eq!(Store::salvage(dir.path(), true).unwrap(), None, "{kind}: begun anew");
        assert!(works(start(dir.path(), kind), kind).ops.is_empty());
    }
}

#[test]
fn a_newer_schema_is_refused_and_read_in_a_copy_also_with_a_broken_log() {
    let image = Maker::new().everything().quit();
    for name in ["journal.db", "mirror.db"] {
        let dir = image.lay_out("", None);
        rusqlite::Connection::open(dir.path().join(name)).unwrap().pragma_update(None, "user_version", 77).unwrap();
        match start(dir.path(), name) {
            Start::Refuses(StoreError::TooNew { found: 77, .. }) => {}
            Start::Refuses(error) => panic!("{name}: {error:?}"),
            Start::Works(_) => panic!("{name}: a newer file is written to"),
        }
        let store = Store::open(dir.path(), OpenMode::ReadOnly, clock()).unwrap();
        assert!(!store.reader().unwrap().outbox(&[], None, 100).unwrap().is_empty(), "{name}");
    }
}

#[test]
fn a_schema_number_that_makes_no_sense_is_damage() {
    let image = Maker::new().everything().quit();
    for number in [0_i32, -5, 1, 2, 1 << 29, i32::MAX, i32::MIN] {
        let mut bytes = image.bytes("journal.db").unwrap().to_vec();
        bytes[60..64].copy_from_slice(&number.to_be_bytes());
        keeps_everything(&image, "journal.db", Some(&bytes), &format!("schema number {number}"));
    }
}

#[test]
fn a_damaged_journal_is_read_in_a_copy_too_and_nothing_is_touched() {
    let image = Maker::new().everything().quit();
    let mut bytes = image.bytes("journal.db").unwrap().to_vec();
    bytes[..4096].fill(0xee);
    let dir = image.lay_out("journal.db", Some(&bytes));
    let store = Store::open(dir.path(), OpenMode::ReadOnly, clock()).unwrap();
    let ops = store.reader().unwrap().outbox(&[], None, 100).unwrap();
    assert!(ops.len() > 20, "{}", ops.len());
    assert!(store.take_notes()[0].text.contains("was damaged"));
    assert_eq!(std::fs::read(dir.path().join("journal.db")).unwrap(), bytes);
    assert!(!dir.path().join("damaged").exists());
}

#[test]
fn an_exchange_that_was_interrupted_is_finished_by_the_next_start() {
    let (old, new) = (Maker::new().everything().killed(), Maker::new().everything().quit());
    let dir = old.lay_out("", None);
    // The new journal stands ready; the old one and its log are still there, or half gone.
    for gone in [&[][..], &["journal.db-wal"], &["journal.db-wal", "journal.db"]] {
        std::fs::write(dir.path().join("journal.db.next"), new.bytes("journal.db").unwrap()).unwrap();
        for name in gone {
            let _ = std::fs::remove_file(dir.path().join(name));
        }
        let found = works(start(dir.path(), "exchange"), "exchange");
        found.assert_has(&new.had, "exchange", |_| false);
        assert!(!dir.path().join("journal.db.next").exists());
        for (name, bytes) in old.files.iter().filter(|(name, _)| name.starts_with("journal")) {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
    }
}

#[test]
fn half_made_files_of_a_killed_run_are_no_obstacle() {
    let image = Maker::new().everything().killed();
    for name in
        ["journal.db.new", "journal.db.restoring", "mirror.db.new", "journal.db.suspect", "journal.db.new-journal"]
    {
        keeps_everything(&image, name, Some(b"half"), name);
    }
}

#[test]
fn huge_values_are_carried_like_any_other() {
    let mut maker = Maker::new();
    maker.queue("huge", 800_000);
    maker.draft("huge", 400_000);
    let image = maker.quit();
    keeps_everything(&image, "", None, "huge");
    // A bad first page: the long chains of pages are followed without the schema.
    let mut bytes = image.bytes("journal.db").unwrap().to_vec();
    bytes[..4096].fill(0xee);
    keeps_everything(&image, "journal.db", Some(&bytes), "huge and damaged");
}

#[test]
fn a_copy_beside_a_running_program_is_whole_and_can_be_put_back() {
    let maker = Maker::new().everything();
    let to = maker.dir.path().join("copy.db");
    let (path, bytes) = Store::backup(maker.dir.path(), Some(&to), crate::place::at(5)).unwrap();
    assert_eq!((path.as_path(), bytes > 4096), (to.as_path(), true));
    assert_eq!(mode(&to), 0o600);
    assert!(matches!(Store::backup(maker.dir.path(), Some(&to), crate::place::at(5)), Err(StoreError::Refused(_))));
    let clock: std::sync::Arc<dyn ebbtide::model::time::Clock> = clock();
    let held = Store::restore(maker.dir.path(), &to, &clock);
    assert!(matches!(held, Err(StoreError::Refused(_))), "{held:?}");
    let copy = std::fs::read(&to).unwrap();
    let image = maker.quit();
    // Onto a data dir that went on, and onto an empty one.
    let mut other = Maker::new();
    other.queue("other", 5);
    let dir = other.quit().lay_out("copy.db", Some(&copy));
    let restored = Store::restore(dir.path(), &dir.path().join("copy.db"), &clock).unwrap();
    let kept = restored.kept.expect("the present one is kept");
    assert!(restored.salvage.is_none());
    let there = rusqlite::Connection::open(&kept).unwrap();
    let n: i64 = there.query_row("SELECT count(*) FROM ops WHERE record = 'other'", [], |row| row.get(0)).unwrap();
    assert_eq!((n, mode(&kept)), (1, 0o600));
    works(start(dir.path(), "restored"), "restored").assert_has(&image.had, "restored", |_| false);
    let fresh = crate::place::temporary();
    crate::place::spare_ballast(fresh.path());
    Store::restore(fresh.path(), &dir.path().join("copy.db"), &clock).unwrap();
    works(start(fresh.path(), "fresh"), "fresh").assert_has(&image.had, "fresh", |_| false);
    // A copy that is damaged itself is read row by row.
    let mut bad = copy;
    bad[..4096].fill(0xee);
    std::fs::write(dir.path().join("bad.db"), &bad).unwrap();
    let restored = Store::restore(dir.path(), &dir.path().join("bad.db"), &clock).unwrap();
    assert!(restored.salvage.is_some());
    works(start(dir.path(), "bad"), "bad").assert_has(&image.had, "bad", |_| false);
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
