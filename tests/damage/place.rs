//! A data dir with something of everything in it, and what must be found of it again.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use crate::common::journal::{Ticking, at, tasks};
use crate::common::journal::{page, upsert};
use ebbtide::{
    model::{
        activity::{Activity, Severity},
        draft::{Draft, DraftKey, DraftTarget, DraftWrite, Versions},
        edit,
        ids::{OpId, SessionName},
        op::{NewOp, OpCommand, OpKind, OpState, Precondition},
        session::{Slice, UiCommit},
        time::At,
    },
    store::{Claim, OpenMode, Outcome, PullPage, QueueEdit, Settle, Store, StoreError},
};
use serde_json::{Value, json};

pub fn clock() -> Arc<Ticking> {
    Arc::new(Ticking::default())
}

pub fn session() -> SessionName {
    SessionName::from("default")
}

/// In memory where that is offered: thousands of syncs are not what is tested here.
pub fn temporary() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// What the user had: the word each edit and each draft is made of.
#[derive(Debug, Clone)]
pub struct Had {
    pub ops: Vec<(OpId, String, Option<Value>)>,
    pub drafts: Vec<(String, String)>,
}

/// The files of a data dir whose program was killed, or had quit.
pub struct Image {
    pub files: Vec<(String, Vec<u8>)>,
    pub had: Had,
}

pub struct Maker {
    pub store: Store,
    pub dir: tempfile::TempDir,
    had: Had,
    ids: u64,
}

fn text(word: &str, times: usize) -> String {
    vec![word; times].join(" ")
}

impl Maker {
    pub fn new() -> Self {
        let dir = temporary();
        spare_ballast(dir.path());
        let store = Store::open(dir.path(), OpenMode::ReadWrite, clock()).unwrap();
        Self { store, dir, had: Had { ops: Vec::new(), drafts: Vec::new() }, ids: 0 }
    }

    pub fn pull(&self, n: usize) {
        let row =
            |n: usize| upsert(&format!("r{n:03}"), None, &json!({ "n": n, "t": text(&format!("base{n:03}"), 20) }));
        let page = PullPage { checkpoint: Some("c".to_owned()), ..page((0..n).map(row).collect(), at(1)) };
        self.store.apply_page(page).wait().unwrap();
    }

    /// Queues an edit made of its own word, `times` times.
    pub fn queue(&mut self, record: &str, times: usize) -> ebbtide::model::ids::Seq {
        self.ids += 1;
        let word = format!("word{:04}of{record}", self.ids);
        let record = tasks().record(record);
        let view = self.store.reader().unwrap().record(&record).unwrap();
        let document = json!({ "t": text(&word, times) });
        let op_id = OpId::new(&At::test(1_000_000 + self.ids));
        let op = NewOp {
            op_id,
            kind: if view.local.is_none() { OpKind::Create } else { OpKind::Update },
            changes: edit::diff(view.local.as_deref(), Some(&document)),
            document: Some(document.clone()),
            base: view.local.as_deref().cloned(),
            base_revision: None,
            created_at: at(self.ids),
            author: "me".to_owned(),
            record,
        };
        let queued = self.store.queue(QueueEdit { op, draft: None, session: None, activity: None }).wait().unwrap();
        self.had.ops.push((op_id, word, Some(document)));
        queued.seq
    }

    pub fn draft(&mut self, record: &str, times: usize) {
        let word = format!("draft{record}word");
        let key = DraftKey { record: tasks().record(record), target: DraftTarget::Document };
        let snapshot = text(&word, times);
        let begin = DraftWrite::Snapshot {
            key: key.clone(),
            snapshot: snapshot.clone(),
            base: None,
            base_revision: None,
            versions: Versions::new(0, 1),
        };
        let more = (0..3).map(|n| DraftWrite::Append {
            key: key.clone(),
            edit: format!("{word} edit {n}"),
            versions: Versions::new(n + 1, n + 2),
        });
        let drafts = std::iter::once(begin).chain(more).collect();
        self.store.commit_ui(&session(), UiCommit { drafts, ..UiCommit::default() }).wait().unwrap();
        self.had.drafts.push((record.to_owned(), word));
    }

    pub fn claim(&self, seq: ebbtide::model::ids::Seq) {
        let op = self.store.reader().unwrap().op(seq).unwrap().unwrap();
        let claim = Claim {
            known: None,
            head: seq,
            absorbs: Vec::new(),
            kind: op.kind,
            sent_document: op.document,
            precondition: Precondition::Absent,
            request_hash: "h".to_owned(),
            at: at(9),
        };
        self.store.claim(claim).wait().unwrap().unwrap();
    }

    /// Something in every table.
    pub fn everything(mut self) -> Self {
        self.pull(40);
        let slices = ["screen", "records", "editor"].map(|name| Slice {
            name: name.to_owned(),
            version: 1,
            body: format!("{{\"{name}\":1}}"),
        });
        self.store.begin_session(&session(), false).wait().unwrap();
        let activity = vec![Activity::new(at(1), Severity::Info, "session", "begun")];
        self.store
            .commit_ui(&session(), UiCommit { slices: slices.to_vec(), activity, ..UiCommit::default() })
            .wait()
            .unwrap();
        self.store.begin_session(&session(), false).wait().unwrap();
        for n in 0..12 {
            self.queue(&format!("r{n:03}"), 12);
        }
        self.draft("r020", 30);
        self.draft("r021", 900);
        let (long, sent, doubt) = (self.queue("long", 1_500), self.queue("sent", 5), self.queue("doubt", 5));
        let (held, dropped, torn) = (self.queue("held", 5), self.queue("dropped", 5), self.queue("r030", 8));
        let behind = self.queue("r030", 8);
        self.claim(sent);
        self.claim(doubt);
        self.claim(torn);
        let error = || ebbtide::model::op::OpError { at: at(3), status: Some(500), message: "broken".to_owned() };
        let settle =
            |seq, outcome| self.store.settle(Settle { seq, joins: Vec::new(), outcome, at: at(10) }).wait().unwrap();
        settle(doubt, Outcome::InDoubt { error: error(), next_attempt_at: None });
        let theirs = Some(json!({ "theirs": 1 }));
        settle(torn, Outcome::Conflict { theirs, theirs_revision: Some("r9".into()), base: None, note: None });
        self.store.command(vec![held], OpCommand::Hold, at(11)).wait().unwrap();
        self.store.command(vec![dropped], OpCommand::Discard, at(12)).wait().unwrap();
        let reader = self.store.reader().unwrap().op(behind).unwrap().unwrap();
        assert_eq!(reader.state, OpState::Blocked);
        for n in 0..10 {
            self.queue(&format!("late{n}"), 40);
        }
        self.draft("r022", 10);
        let _ = long;
        self
    }

    /// Less of everything, for a log that is cut and turned at every place.
    pub fn a_little(mut self) -> Self {
        self.pull(2);
        for n in 0..3 {
            self.queue(&format!("r{n:03}"), 12);
        }
        self.draft("r001", 30);
        self.queue("long", 800);
        self.queue("r000", 12);
        self
    }

    /// As `kill -9` leaves it: with the logs.
    pub fn killed(self) -> Image {
        let files = read_all(self.dir.path());
        Image { files, had: self.had }
    }

    /// As quitting leaves it: everything in the databases.
    pub fn quit(self) -> Image {
        let Self { store, dir, had, .. } = self;
        drop(store);
        for name in ["journal.db", "mirror.db", "search.db"] {
            let connection = rusqlite::Connection::open(dir.path().join(name)).unwrap();
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        }
        let files = read_all(dir.path());
        let image = Image { files, had };
        assert!(image.bytes("journal.db-wal").is_none_or(<[u8]>::is_empty), "everything is in the database");
        image
    }
}

fn read_all(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_file() && name != "ballast" && !name.ends_with("-shm") {
            files.push((name, std::fs::read(entry.path()).unwrap()));
        }
    }
    files
}

/// The ballast's length without its blocks: hundreds of data dirs need no space held back.
pub fn spare_ballast(dir: &Path) {
    std::fs::File::create(dir.join("ballast")).unwrap().set_len(8 << 20).unwrap();
}

impl Image {
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|(known, _)| known == name).map(|(_, bytes)| bytes.as_slice())
    }

    /// The files in a directory of their own, one of them changed (`None`: missing).
    pub fn lay_out(&self, changed: &str, bytes: Option<&[u8]>) -> tempfile::TempDir {
        let dir = temporary();
        spare_ballast(dir.path());
        for (name, bytes) in self.files.iter().filter(|(name, _)| name != changed) {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        if let Some(bytes) = bytes {
            std::fs::write(dir.path().join(changed), bytes).unwrap();
        }
        dir
    }

    /// The blocks of a file: pages of a database, frames of a log.
    pub fn blocks(&self, name: &str) -> Vec<Range<usize>> {
        let length = self.bytes(name).map_or(0, <[u8]>::len);
        let (first, step) = if name.ends_with("-wal") { (32, 4096 + 24) } else { (0, 4096) };
        let mut blocks: Vec<_> = (0..)
            .map(|n| first + n * step)
            .take_while(|begin| *begin < length)
            .map(|b| b..(b + step).min(length))
            .collect();
        if first > 0 {
            blocks.insert(0, 0..first);
        }
        blocks
    }

    /// What a file cut off at `cut` has lost: from the page it is in, or from the first frame of the transaction whose
    /// end is lost.
    pub fn lost_behind(&self, name: &str, cut: usize) -> Range<usize> {
        let bytes = self.bytes(name).unwrap_or_default();
        let is_end = |block: &Range<usize>| {
            !name.ends_with("-wal") || (block.len() > 32 && bytes[block.start + 4..block.start + 8] != [0; 4])
        };
        let mut whole = self.blocks(name).into_iter().filter(|block| block.end <= cut && is_end(block));
        whole.next_back().map_or(0, |block| block.end)..bytes.len()
    }

    /// Whether a word is in one of the damaged ranges of a file.
    pub fn is_hit(&self, name: &str, damaged: &[Range<usize>], word: &str) -> bool {
        let bytes = self.bytes(name).unwrap_or_default();
        damaged.iter().any(|range| contains(&bytes[range.start.min(bytes.len())..range.end.min(bytes.len())], word))
    }
}

pub fn contains(bytes: &[u8], word: &str) -> bool {
    let word = word.as_bytes();
    bytes.windows(word.len()).any(|part| part == word)
}

/// What a start came to.
pub enum Start {
    /// With the edits and drafts it shows.
    Works(Found),
    Refuses(StoreError),
}

pub struct Found {
    pub ops: Vec<(OpId, Option<Value>)>,
    pub drafts: Vec<Draft>,
    pub notes: Vec<Activity>,
}

impl Found {
    /// Everything the user had is there, except what `may_be_lost` names by its word.
    pub fn assert_has(&self, had: &Had, what: &str, may_be_lost: impl Fn(&str) -> bool) {
        for (op_id, word, document) in &had.ops {
            match self.ops.iter().find(|(id, _)| id == op_id) {
                None => assert!(may_be_lost(word), "{what}: the edit {word} is lost: {:?}", self.notes),
                Some((_, found)) => {
                    assert!(found == document || may_be_lost(word), "{what}: the edit {word} is another: {found:?}");
                }
            }
        }
        for (record, word) in &had.drafts {
            let found = self.drafts.iter().find(|draft| draft.key.record.id.as_str() == record);
            let Some(draft) = found else {
                assert!(may_be_lost(word), "{what}: the draft of {record} is lost: {:?}", self.notes);
                continue;
            };
            let is_whole = draft.snapshot.starts_with(word.as_str()) && draft.edits.len() == 3;
            assert!(is_whole || may_be_lost(word), "{what}: the draft of {record} is not whole");
        }
    }
}

/// Starts on a damaged data dir the way the program does: what a check of all pages finds wrong, the next start mends.
pub fn start(dir: &Path, what: &str) -> Start {
    let mut notes = Vec::new();
    for round in 0..3 {
        let store = match Store::open(dir, OpenMode::ReadWrite, clock()) {
            Ok(store) => store,
            Err(error) => return Start::Refuses(error),
        };
        notes.extend(store.take_notes());
        let wrong = store.journal_check()().unwrap();
        let mut reader = store.reader().unwrap();
        // A row whose values are of the right kind and make no sense is shown and never sent: the others go on.
        let checked = reader.check().map(|mut findings| {
            findings.retain(|finding| !finding.contains("cannot be read"));
            findings
        });
        if wrong.is_none()
            && let Ok(findings) = &checked
            && findings.is_empty()
        {
            let mut all = reader.outbox(&OpState::ALL, None, 1_000).unwrap();
            all.retain(|op| op.state != OpState::Superseded);
            let ops = all.into_iter().map(|op| (op.op_id, op.document)).collect();
            let drafts = reader.drafts().unwrap();
            reader.conflicts(true).unwrap();
            reader.vault_list(None, None, 100).unwrap();
            reader.sessions().unwrap();
            reader.session(&session()).unwrap();
            reader.activity(None, 100).unwrap();
            return Start::Works(Found { ops, drafts, notes });
        }
        assert!(round < 2, "{what}: not mended: {wrong:?} {checked:?} {notes:?}");
        drop(reader);
        drop(store);
        if wrong.is_none() {
            // What `doctor` finds beside the pages is mended by `doctor --repair`.
            ebbtide::store::Store::salvage(dir, false).unwrap_or_else(|error| panic!("{what}: {error} {checked:?}"));
        }
    }
    unreachable!("the loop ends by returning")
}

/// A refusal names the file, and a copy of it is kept.
pub fn assert_refused(start: Start, what: &str) -> PathBuf {
    match start {
        Start::Refuses(StoreError::Damaged { kept: Some(kept), .. }) => {
            assert!(kept.exists(), "{what}: the copy is there");
            kept
        }
        Start::Refuses(error) => panic!("{what}: {error:?}"),
        Start::Works(found) => panic!("{what}: it works with {:?}", found.notes),
    }
}

pub fn works(start: Start, what: &str) -> Found {
    match start {
        Start::Works(found) => found,
        Start::Refuses(error) => panic!("{what}: refused: {error:?}"),
    }
}
