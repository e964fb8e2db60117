//! Journals as earlier versions left them, opened by the present program: everything of the user's is there. And the
//! present one's journal with a number of the future: an older program leaves it alone and can read it.
//!
//! `tests/golden/journal-NN.sql` is the journal of schema version NN as SQL text; `tests/golden/make` makes the next one.

mod common;

use std::{path::PathBuf, sync::Arc};

use common::Workspace;
use ebbtide::{
    model::{
        conflict::Take,
        draft::{DraftTarget, DraftVersion},
        ids::{CollectionKey, SessionName},
        op::{OpState, Precondition},
        session::MomentKind,
    },
    runtime::clock::SystemClock,
    store::{OpenMode, Store, StoreError},
};
use rusqlite::Connection;
use serde_json::json;

/// (version, the text of the journal), oldest first.
fn golden() -> Vec<(i64, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut found: Vec<(i64, String)> = std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            let version = name.strip_prefix("journal-")?.strip_suffix(".sql")?.parse().unwrap();
            Some((version, std::fs::read_to_string(entry.path()).unwrap()))
        })
        .collect();
    found.sort();
    found
}

fn open(dir: &std::path::Path, mode: OpenMode) -> Result<Store, StoreError> {
    Store::open(dir, mode, Arc::new(SystemClock::new()))
}

fn version(path: &std::path::Path) -> i64 {
    Connection::open(path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

fn newest() -> i64 {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), OpenMode::ReadWrite).unwrap());
    version(&dir.path().join("journal.db"))
}

#[test]
fn every_version_there_was_has_its_journal() {
    let versions: Vec<i64> = golden().iter().map(|(version, _)| *version).collect();
    assert_eq!(versions, (1..=newest()).collect::<Vec<_>>(), "run tests/golden/make and add rows of the new tables");
}

/// What the user left, through the present program's eyes.
fn assert_everything(store: &Store, version: i64) {
    let mut reader = store.reader().unwrap();
    assert_eq!(reader.check().unwrap(), Vec::<String>::new(), "version {version}");
    let pending = reader.outbox(&[], None, 100).unwrap();
    let found: Vec<(i64, &str, OpState)> =
        pending.iter().map(|op| (op.seq.0, op.record.id.as_str(), op.state)).collect();
    let wanted = [
        (1, "t1", OpState::Queued),
        (2, "t2", OpState::Queued),
        (3, "t2", OpState::Queued),
        (5, "t4", OpState::Held),
        (6, "flight", OpState::InFlight),
        (7, "doubt", OpState::InDoubt),
        (8, "clash", OpState::Conflict),
        (9, "clash", OpState::Blocked),
        (10, "refused", OpState::Rejected),
        (11, "auth", OpState::Auth),
    ];
    assert_eq!(found, wanted, "version {version}");
    assert_eq!(pending[0].op_id.to_string(), "01a22697-51be-7854-856f-1972b5163966");
    assert_eq!(pending[0].document, Some(json!({"title": "Grüße 田中 👩‍👩‍👧"})));
    assert_eq!(pending[1].document.as_ref().unwrap()["n"].to_string(), "12345678901234567890123");
    assert_eq!(pending[4].precondition, Some(Precondition::Revision("r1".into())));
    assert_eq!(pending[8].last_error.as_ref().unwrap().message, "Permission denied");
    // Who signs in is not told by where a token came from.
    assert_eq!(pending[4].author, if version < 3 { "" } else { "ann" });
    let settled = reader.outbox(&[OpState::Acked, OpState::Discarded], None, 100).unwrap();
    assert_eq!(settled.iter().map(|op| op.seq.0).collect::<Vec<_>>(), [12, 4]);
    let drafts = reader.drafts().unwrap();
    assert!(drafts.iter().all(|draft| draft.version > DraftVersion::NONE), "each can be typed in: {drafts:?}");
    let texts: Vec<(&DraftTarget, &str, usize)> =
        drafts.iter().map(|draft| (&draft.key.target, draft.snapshot.as_str(), draft.edits.len())).collect();
    let field = DraftTarget::from_key("field:/title").unwrap();
    let wanted =
        [(&DraftTarget::Document, "half a \"title", 2), (&DraftTarget::New, "{", 1), (&field, "field text", 0)];
    assert_eq!(texts, wanted);
    let conflicts = reader.conflicts(true).unwrap();
    assert_eq!(conflicts.len(), 2);
    assert_eq!((conflicts[0].seq.0, &conflicts[0].theirs), (8, &Some(json!({"title": "theirs"}))));
    assert_eq!(conflicts[1].resolution, Some(Take::Mine));
    let kept = reader.vault_list(None, None, 10).unwrap();
    assert_eq!(reader.vault_text(kept[0].id).unwrap().as_deref(), Some(r#"{"title":"dropped"}"#));
    let names: Vec<String> = reader.sessions().unwrap().into_iter().map(|session| session.name.0).collect();
    assert_eq!(names, ["default", "work"]);
    let session = reader.session(&SessionName::from("default")).unwrap();
    assert_eq!((session.slices.len(), session.closed_cleanly), (2, false));
    assert!(reader.activity(None, 100).unwrap().iter().any(|(_, row)| row.text == "the link is slow"));
    if version >= 2 {
        assert_eq!(reader.guards().unwrap().len(), 1);
    }
    let moments = reader.moments(&SessionName::from("default")).unwrap();
    let kinds: Vec<MomentKind> = moments.iter().map(|moment| moment.kind).collect();
    let wanted = if version >= 5 { vec![MomentKind::Pause, MomentKind::Start] } else { vec![MomentKind::Start] };
    assert_eq!(kinds, wanted, "version {version}");
    if version >= 3 {
        assert!(reader.forced_offline().unwrap().is_some());
        assert_eq!(reader.spent(20_786).unwrap().len(), 1);
    }
}

#[test]
fn the_journal_of_every_version_is_opened_with_all_that_is_in_it() {
    for (number, text) in golden() {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal.db");
        Connection::open(&journal).unwrap().execute_batch(&text).unwrap();
        assert_eq!(version(&journal), number);
        // Read-only first: nothing is touched.
        let bytes = std::fs::read(&journal).unwrap();
        assert_everything(&open(dir.path(), OpenMode::ReadOnly).unwrap(), number);
        assert!(std::fs::read(&journal).unwrap() == bytes && !dir.path().join("backups").exists());
        let store = open(dir.path(), OpenMode::ReadWrite).unwrap();
        assert_everything(&store, number);
        drop(store);
        assert_eq!(version(&journal), newest());
        let copies = Store::backups(dir.path());
        assert_eq!(copies.len(), usize::from(number < newest()), "a copy before the migration of {number}");
        if let Some(copy) = copies.first() {
            assert_eq!(version(&copy.path), number);
            let count: i64 = Connection::open(&copy.path)
                .unwrap()
                .query_row("SELECT count(*) FROM ops", [], |row| row.get(0))
                .unwrap();
            assert_eq!(count, 12);
        }
        // Once more, and back from the copy.
        assert_everything(&open(dir.path(), OpenMode::ReadWrite).unwrap(), number);
        if let Some(copy) = copies.first() {
            let clock: Arc<dyn ebbtide::model::time::Clock> = Arc::new(SystemClock::new());
            let restored = Store::restore(dir.path(), &copy.path, &clock).unwrap();
            assert!(restored.kept.is_some() && restored.salvage.is_none());
            assert_everything(&open(dir.path(), OpenMode::ReadWrite).unwrap(), number);
        }
    }
}

#[test]
fn what_is_still_in_the_log_of_an_old_journal_is_in_the_copy_and_in_the_new_one() {
    let (number, text) = golden().remove(0);
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal.db");
    let old = Connection::open(&journal).unwrap();
    old.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0").unwrap();
    old.execute_batch(&text).unwrap();
    // The copy of a killed program's files.
    let killed = tempfile::tempdir().unwrap();
    for name in ["journal.db", "journal.db-wal"] {
        std::fs::copy(dir.path().join(name), killed.path().join(name)).unwrap();
    }
    assert_everything(&open(killed.path(), OpenMode::ReadWrite).unwrap(), number);
    assert_eq!(version(&Store::backups(killed.path())[0].path), number);
}

#[test]
fn a_damaged_journal_of_any_version_is_salvaged_with_all_that_is_in_it() {
    for (number, text) in golden() {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal.db");
        Connection::open(&journal).unwrap().execute_batch(&text).unwrap();
        // Only an index: every row can be read.
        let file = Connection::open(&journal).unwrap();
        let root: u32 = file
            .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'ops_pending'", [], |row| row.get(0))
            .unwrap();
        drop(file);
        let mut bytes = std::fs::read(&journal).unwrap();
        let page = (root as usize - 1) * 4096;
        bytes[page..page + 4096].fill(0xee);
        std::fs::write(&journal, bytes).unwrap();
        let salvage = Store::salvage(dir.path(), false).unwrap().unwrap();
        assert!(salvage.is_complete(), "version {number}: {salvage:?}");
        assert_everything(&open(dir.path(), OpenMode::ReadWrite).unwrap(), number);
    }
}

#[test]
fn an_older_program_leaves_a_newer_journal_alone_and_reads_it() {
    let (number, text) = golden().pop().unwrap();
    let workspace = Workspace::new("http://127.0.0.1:1", &[("tasks", &["title"])]);
    std::fs::create_dir(workspace.data()).unwrap();
    let journal = workspace.data().join("journal.db");
    let newer = Connection::open(&journal).unwrap();
    newer.execute_batch(&text).unwrap();
    newer.pragma_update(None, "user_version", number + 1).unwrap();
    drop(newer);
    let bytes = std::fs::read(&journal).unwrap();
    let told = |args: &[&str]| {
        let output = workspace.command(args).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = told(&["outbox", "list"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("newer ebbtide") && said.contains("a copy is read"), "{said}");
    let (code, said) = told(&["delete", "tasks", "t1"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("newer ebbtide") && said.contains("--read-only"), "{said}");
    assert_everything(&open(&workspace.data(), OpenMode::ReadOnly).unwrap(), number);
    let (ops, code) = workspace.json(&["outbox", "list", "--read-only"]);
    assert_eq!((ops.as_array().unwrap().len(), code), (10, 0));
    // Neither a salvage nor a restore of an older program touches it.
    assert!(matches!(Store::salvage(&workspace.data(), true), Err(StoreError::TooNew { .. })));
    assert!(std::fs::read(&journal).unwrap() == bytes);
    let key = CollectionKey::new("office", "tasks").record("t2");
    let store = open(&workspace.data(), OpenMode::ReadOnly).unwrap();
    let local = store.reader().unwrap().record(&key).unwrap().local;
    assert_eq!(local, Some(json!({"title": "two again"}).into()));
}
