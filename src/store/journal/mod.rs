//! The journal's writer: everything that exists only here. One file per subject; each function is one intention and runs
//! inside a transaction of the writer.

pub(super) mod accounts;
pub(super) mod activity;
pub(super) mod claims;
pub(super) mod commands;
pub(super) mod conflicts;
pub(super) mod drafts;
pub(super) mod guards;
pub(super) mod mend;
pub(super) mod moments;
pub(super) mod ops;
pub(super) mod requests;
pub(super) mod sessions;
pub(super) mod shadow;
pub(super) mod spent;
pub(super) mod steps;
pub(super) mod surgery;
pub(super) mod unresolve;
pub(super) mod vault;

use std::{
    cell::RefCell,
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension};

use crate::{
    model::{
        ids::{CollectionKey, RecordId, RecordKey, SessionName},
        time::{Clock, Timestamp},
    },
    store::{
        error::Result,
        files::{self, Files},
        keys,
        search::Nudge,
        writer::State,
    },
};

/// The state of the journal's writer.
pub(super) struct Journal {
    pub connection: Connection,
    /// Reads the mirror's committed bases; never written through.
    pub mirror: Connection,
    pub files: Files,
    path: PathBuf,
    pub clock: Arc<dyn Clock>,
    pub nudge: Nudge,
    collections: RefCell<HashMap<CollectionKey, i64>>,
    /// The mirror's numbers of collections, by the journal's.
    mirror_collections: RefCell<HashMap<i64, i64>>,
    /// The generation this process writes each session with.
    pub generations: RefCell<HashMap<SessionName, i64>>,
    pub own_drafts: drafts::OwnDrafts,
}

impl State for Journal {
    const MAX_ROWS: usize = 100;

    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn now(&self) -> Duration {
        self.clock.at().mono
    }

    fn rolled_back(&self) {
        self.collections.borrow_mut().clear();
        self.mirror_collections.borrow_mut().clear();
    }

    fn committed(&self) {}

    fn make_room(&self) -> bool {
        files::drop_ballast(&self.files)
    }

    fn suspect(&self) {
        let _ = files::private_file(&self.files.suspect(&self.path));
    }
}

/// A record as the journal addresses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub collection: i64,
    pub key: Vec<u8>,
    pub id: RecordId,
}

impl Journal {
    pub fn new(
        connection: Connection,
        mirror: Connection,
        files: Files,
        clock: Arc<dyn Clock>,
        nudge: Nudge,
        own_drafts: drafts::OwnDrafts,
    ) -> Self {
        Self {
            connection,
            mirror,
            path: files.journal(),
            files,
            clock,
            nudge,
            collections: RefCell::default(),
            mirror_collections: RefCell::default(),
            generations: RefCell::default(),
            own_drafts,
        }
    }

    pub fn now_wall(&self) -> Timestamp {
        self.clock.at().wall
    }

    /// The journal's number of a collection, given on first use.
    pub fn collection(&self, key: &CollectionKey) -> Result<i64> {
        if let Some(id) = self.collections.borrow().get(key) {
            return Ok(*id);
        }
        let names = [key.source.as_str(), key.collection.as_str()];
        self.connection
            .prepare_cached("INSERT INTO collections (source, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute(names)?;
        let id = self
            .connection
            .prepare_cached("SELECT id FROM collections WHERE source = ?1 AND name = ?2")?
            .query_row(names, |row| row.get(0))?;
        self.collections.borrow_mut().insert(key.clone(), id);
        Ok(id)
    }

    pub fn collection_key(&self, id: i64) -> Result<CollectionKey> {
        Ok(self
            .connection
            .prepare_cached("SELECT source, name FROM collections WHERE id = ?1")?
            .query_row([id], |row| Ok(CollectionKey::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?)
    }

    pub fn place(&self, record: &RecordKey) -> Result<Place> {
        Ok(Place { collection: self.collection(&record.collection)?, key: keys::of(&record.id), id: record.id.clone() })
    }

    /// Removes what is settled and older than `before`.
    pub fn prune(&self, before: Timestamp) -> Result<()> {
        for sql in [
            "DELETE FROM ops WHERE settled_at IS NOT NULL AND settled_at < ?1",
            "DELETE FROM conflicts WHERE resolved_at IS NOT NULL AND resolved_at < ?1",
            "DELETE FROM activity WHERE at < ?1",
            "DELETE FROM steps WHERE at < ?1",
            "DELETE FROM guards WHERE until < ?1",
        ] {
            self.connection.execute(sql, [before.0])?;
        }
        Ok(())
    }

    /// The mirror's present base of a record: its change number, text and revision.
    pub fn base(&self, place: &Place) -> Result<Option<MirrorBase>> {
        let known = self.mirror_collections.borrow().get(&place.collection).copied();
        let collection = match known {
            Some(id) => id,
            None => {
                let key = self.collection_key(place.collection)?;
                let found: Option<i64> = self
                    .mirror
                    .prepare_cached("SELECT id FROM collections WHERE source = ?1 AND name = ?2")?
                    .query_row([key.source.as_str(), key.collection.as_str()], |row| row.get(0))
                    .optional()?;
                let Some(found) = found else { return Ok(None) };
                self.mirror_collections.borrow_mut().insert(place.collection, found);
                found
            }
        };
        Ok(self
            .mirror
            .prepare_cached("SELECT change, body, revision FROM records WHERE collection = ?1 AND key = ?2")?
            .query_row((collection, &place.key), |row| {
                Ok(MirrorBase { change: row.get(0)?, text: row.get(1)?, revision: row.get(2)? })
            })
            .optional()?)
    }
}

/// A mirror row as the journal needs it.
pub(super) struct MirrorBase {
    pub change: i64,
    pub text: String,
    pub revision: Option<String>,
}
