//! Everything else a screen or a script asks: collections, drafts, sessions, the log, status, the vault.

use rusqlite::{OptionalExtension, Row, params};

use crate::{
    model::{
        activity::{Activity, Severity},
        document::{Document, Documents},
        draft::{Draft, DraftHead, DraftKey, DraftTarget, DraftText, DraftVersion},
        ids::{CollectionKey, OpId, RecordId, Revision, SessionName},
        op::NewOp,
        query::CollectionOverview,
        session::{Moment, SavedSession, SessionInfo},
        sync_status::SourceStatus,
        time::Timestamp,
        vault::{Kept, KeptVersion, VaultQuery},
    },
    store::{
        Reader, StoreError, VaultEntry, VaultReason,
        error::Result,
        files,
        journal::{drafts, moments, ops, sessions},
        keys,
        reader::readable,
        sql,
    },
};

impl Reader {
    pub fn overview(&mut self, keys: &[CollectionKey]) -> Result<Vec<CollectionOverview>, StoreError> {
        self.look("reading the collections", |reader| keys.iter().map(|key| reader.overview_of(key)).collect())
    }

    fn overview_of(&self, key: &CollectionKey) -> Result<CollectionOverview> {
        let journal = self.journal_collection(key)?.unwrap_or(-1);
        let mirror = self.mirror_collection(key)?.unwrap_or(-1);
        let state = |word: &str| -> Result<u64> {
            let n: Option<i64> = self
                .connection
                .prepare_cached("SELECT n FROM main.op_counts WHERE collection = ?1 AND state = ?2")?
                // A derived number that is none: `doctor --repair` counts again.
                .query_row(params![journal, word], |row| Ok(row.get(0).ok()))
                .optional()?
                .flatten();
            Ok(u64::try_from(n.unwrap_or(0)).unwrap_or(0))
        };
        let mut pending = 0;
        for word in crate::store::pending_states() {
            pending += state(word)?;
        }
        let (changed, deleted): (i64, i64) = self
            .connection
            .prepare_cached("SELECT records, deleted FROM main.shadow_counts WHERE collection = ?1")?
            .query_row([journal], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?
            .unwrap_or_default();
        let count = |sql: &str| -> Result<u64> {
            let n: i64 = self.connection.prepare_cached(sql)?.query_row([journal], |row| row.get(0))?;
            Ok(u64::try_from(n).unwrap_or(0))
        };
        let (checkpoint, last_pull): (Option<String>, Option<i64>) = self
            .connection
            .prepare_cached("SELECT checkpoint, last_pull FROM m.collections WHERE id = ?1")?
            .query_row([mirror], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?
            .unwrap_or_default();
        Ok(CollectionOverview {
            key: key.clone(),
            records: self.total(journal, mirror)?.saturating_sub(u64::try_from(deleted).unwrap_or(0)),
            pending,
            changed: u64::try_from(changed).unwrap_or(0),
            held: state("held")?,
            drafts: count("SELECT count(*) FROM main.drafts WHERE collection = ?1")?,
            conflicts: count("SELECT count(*) FROM main.conflicts WHERE collection = ?1 AND resolved_at IS NULL")?,
            rejected: state("rejected")?,
            last_pull: last_pull.map(Timestamp),
            checkpoint,
            asks: false,
        })
    }

    /// Every collection the data dir holds anything of, configured or not.
    pub fn collections(&mut self) -> Result<Vec<CollectionKey>, StoreError> {
        self.look("reading the collections", |reader| {
            let mut select = reader.connection.prepare_cached(
                "SELECT source, name FROM main.collections UNION SELECT source, name FROM m.collections ORDER BY 1, 2",
            )?;
            let found = select
                .query_map([], |row| Ok(CollectionKey::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            Ok(readable(found)?)
        })
    }

    pub fn checkpoint(&mut self, collection: &CollectionKey) -> Result<Option<String>, StoreError> {
        self.look("reading a checkpoint", |reader| {
            let mirror = reader.mirror_collection(collection)?;
            let found: Option<Option<String>> = reader
                .connection
                .prepare_cached("SELECT checkpoint FROM m.collections WHERE id = ?1")?
                .query_row([mirror], |row| row.get(0))
                .optional()?;
            Ok(found.flatten())
        })
    }

    /// What there are drafts of, in the order of their numbers.
    pub fn draft_keys(&mut self) -> Result<Vec<DraftKey>, StoreError> {
        self.look("reading the drafts", |reader| {
            let mut select = reader.connection.prepare_cached(
                "SELECT c.source, c.name, d.record, d.target FROM main.drafts d \
                 JOIN main.collections c ON c.id = d.collection ORDER BY d.id",
            )?;
            let found = select.query_map([], |row| draft_key(row, 0))?;
            Ok(readable(found)?.into_iter().flatten().collect())
        })
    }

    /// The drafts of a record without their texts.
    pub(super) fn draft_heads(&self, collection: i64, key: &[u8]) -> Result<Vec<DraftHead>> {
        // Nothing behind the texts of a row is read, which lie on a chain of pages: the index knows who is asked for.
        let mut select = self.connection.prepare_cached(
            "SELECT c.source, c.name, d.record, d.target, v.version, d.id, EXISTS (SELECT 1 FROM main.drafts r \
             INDEXED BY drafts_requested WHERE r.id = d.id AND r.commit_requested IS NOT NULL) \
             FROM main.drafts d JOIN main.collections c ON c.id = d.collection \
             LEFT JOIN main.draft_texts v ON v.draft = d.id WHERE d.collection = ?1 AND d.key = ?2",
        )?;
        let found = select.query_map((collection, key), |row| {
            let Some(key) = draft_key(row, 0)? else { return Ok(None) };
            let head = DraftHead {
                key,
                version: DraftVersion(row.get::<_, Option<i64>>(4)?.unwrap_or_default()),
                is_requested: row.get(6)?,
            };
            Ok(Some((row.get::<_, i64>(5)?, head)))
        })?;
        let mut heads: Vec<(i64, DraftHead)> = readable(found)?.into_iter().flatten().collect();
        heads.sort_by_key(|(id, _)| *id);
        Ok(heads.into_iter().map(|(_, head)| head).collect())
    }

    /// For a screen that comes back: the base of a large one is [trusted](Document::trust).
    pub fn draft(&mut self, key: &DraftKey) -> Result<Option<Draft>, StoreError> {
        self.look("reading a draft", |reader| {
            let collection = reader.journal_collection(&key.record.collection)?.unwrap_or(-1);
            let wanted = (collection, keys::of(&key.record.id), key.target.to_key());
            let found = "d.collection = ?1 AND d.key = ?2 AND d.target = ?3";
            Ok(reader.drafts_where(found, wanted, Documents::trust)?.pop())
        })
    }

    pub(super) fn drafts_where(
        &self,
        condition: &str,
        parameters: impl rusqlite::Params,
        read: fn(&Documents, &str) -> Option<Document>,
    ) -> Result<Vec<Draft>> {
        let mut select = self.connection.prepare_cached(&format!(
            "SELECT d.id, c.source, c.name, d.record, d.target, d.snapshot, d.base, d.base_revision, d.commit_requested, \
             d.updated_at, v.version FROM main.drafts d JOIN main.collections c ON c.id = d.collection \
             LEFT JOIN main.draft_texts v ON v.draft = d.id WHERE {condition}"
        ))?;
        // A draft of a target of a newer ebbtide, or one that cannot be read, stays in the table and is not shown.
        let found = select.query_map(parameters, |row| {
            let Some(key) = draft_key(row, 1)? else { return Ok(None) };
            let id: i64 = row.get(0)?;
            let draft = Draft {
                key,
                snapshot: row.get(5)?,
                edits: Vec::new(),
                base: row.get_ref(6)?.as_str_or_null()?.and_then(|text| read(&self.documents, text)),
                base_revision: row.get::<_, Option<String>>(7)?.map(Revision),
                version: DraftVersion(row.get::<_, Option<i64>>(10)?.unwrap_or_default()),
                commit_requested: row.get::<_, Option<String>>(8)?.and_then(|id| id.parse().ok()).map(OpId),
                updated_at: Timestamp(row.get(9)?),
            };
            Ok(Some((id, draft)))
        })?;
        // Put in order here: SQLite would copy each text into its sorter and out of it.
        let mut found: Vec<(i64, Draft)> = readable(found)?.into_iter().flatten().collect();
        found.sort_by_key(|(id, _)| *id);
        let mut drafts = Vec::with_capacity(found.len());
        for (id, mut draft) in found {
            let mut edits = self.connection.prepare_cached(drafts::EDITS)?;
            draft.edits = readable(edits.query_map([id], |row| row.get(0))?)?;
            drafts.push(draft);
        }
        Ok(drafts)
    }

    /// Which text each draft is, by its number.
    pub(in crate::store) fn draft_versions(&mut self) -> Result<Vec<(i64, DraftVersion)>, StoreError> {
        self.look("reading the drafts", |reader| {
            let mut select = reader.connection.prepare_cached("SELECT draft, version FROM main.draft_texts")?;
            let found = select.query_map([], |row| Ok((row.get(0)?, DraftVersion(row.get(1)?))))?;
            Ok(readable(found)?)
        })
    }

    /// The session that a start without a name opens, where one was switched to and is still there.
    pub fn chosen_session(&mut self) -> Result<Option<SessionName>, StoreError> {
        self.look("reading the sessions", |reader| sessions::chosen(&reader.connection))
    }

    /// Numbers and keys of the drafts begun last, the newest first, and how many there are in all.
    pub fn draft_list(&mut self, limit: usize) -> Result<(Vec<(i64, DraftKey)>, u64), StoreError> {
        self.look("reading the drafts", |reader| {
            let mut select = reader.connection.prepare_cached(
                "SELECT d.id, c.source, c.name, d.record, d.target FROM main.drafts d \
                 JOIN main.collections c ON c.id = d.collection ORDER BY d.id DESC LIMIT ?1",
            )?;
            let mut rows = select.query([sql(limit)])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                if let Some(key) = draft_key(row, 1)? {
                    found.push((row.get(0)?, key));
                }
            }
            Ok((found, reader.count_drafts()?))
        })
    }

    /// Of configured collections and of others.
    fn count_drafts(&self) -> Result<u64> {
        let n: i64 =
            self.connection.prepare_cached("SELECT count(*) FROM main.drafts")?.query_row([], |row| row.get(0))?;
        Ok(u64::try_from(n).unwrap_or(0))
    }

    /// Drafts whose save was painted as `saving` and not confirmed: each is queued again under the same id.
    pub fn commit_requests(&mut self) -> Result<Vec<(DraftText, NewOp)>, StoreError> {
        self.look("reading the drafts", |reader| {
            let mut select = reader.connection.prepare_cached(
                "SELECT c.source, c.name, d.record, d.target, d.commit_op, v.version, \
                 EXISTS (SELECT 1 FROM main.draft_edits e WHERE e.id > d.id << 32 AND e.id < (d.id + 1) << 32) \
                 FROM main.drafts d \
                 JOIN main.collections c ON c.id = d.collection LEFT JOIN main.draft_texts v ON v.draft = d.id \
                 WHERE d.commit_requested IS NOT NULL ORDER BY d.id",
            )?;
            let found = select.query_map([], |row| {
                // The wish came with the whole text: a step behind it was typed after it, and its draft stays.
                let version = row.get::<_, Option<i64>>(5)?.filter(|_| !row.get(6).unwrap_or(false));
                let version = DraftVersion(version.unwrap_or_default());
                let draft = draft_key(row, 0)?.map(|key| DraftText { key, version });
                Ok((draft, ops::json(row.get(4)?)))
            })?;
            Ok(readable(found)?.into_iter().filter_map(|(draft, op)| Some((draft?, op?))).collect())
        })
    }

    /// The number of the newest change there ever was; zero where there is none.
    pub fn newest_op(&mut self) -> Result<i64, StoreError> {
        self.look("reading the outbox", |reader| {
            let mut select = reader.connection.prepare_cached("SELECT coalesce(max(seq), 0) FROM main.ops")?;
            Ok(select.query_row([], |row| row.get(0))?)
        })
    }

    /// The number of the newest row of the activity log; zero where it is empty.
    pub fn newest_activity(&mut self) -> Result<i64, StoreError> {
        self.look("reading the activity log", |reader| {
            let mut select = reader.connection.prepare_cached("SELECT coalesce(max(id), 0) FROM main.activity")?;
            Ok(select.query_row([], |row| row.get(0))?)
        })
    }

    /// The newest rows, newest first, before `before`.
    pub fn activity(&mut self, before: Option<i64>, limit: usize) -> Result<Vec<(i64, Activity)>, StoreError> {
        self.look("reading the activity log", |reader| {
            let mut select = reader.connection.prepare_cached(
                "SELECT id, at, severity, topic, text, hint FROM main.activity WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
            )?;
            let found = select.query_map(params![before.unwrap_or(i64::MAX), sql(limit)], |row| {
                let severity: String = row.get(2)?;
                let activity = Activity {
                    at: Timestamp(row.get(1)?),
                    severity: [Severity::Info, Severity::Draft, Severity::Warning, Severity::Problem]
                        .into_iter()
                        .find(|known| known.word() == severity)
                        .unwrap_or(Severity::Info),
                    topic: row.get(3)?,
                    text: row.get(4)?,
                    hint: row.get(5)?,
                };
                Ok((row.get(0)?, activity))
            })?;
            Ok(readable(found)?)
        })
    }

    pub fn session(&mut self, name: &SessionName) -> Result<SavedSession, StoreError> {
        self.look("reading a session", |reader| sessions::saved(&reader.connection, name))
    }

    pub fn sessions(&mut self) -> Result<Vec<SessionInfo>, StoreError> {
        let mut found = self.look("reading the sessions", |reader| {
            let mut select = reader.connection.prepare_cached(
                "SELECT s.name, coalesce(max(l.saved_at), s.opened_at), count(l.id), \
                 (SELECT count(*) FROM main.generations g WHERE g.session = s.name) FROM main.sessions s \
                 LEFT JOIN main.slices l ON l.session = s.name GROUP BY s.name ORDER BY s.name",
            )?;
            let found = select.query_map([], |row| {
                Ok(SessionInfo {
                    name: SessionName(row.get(0)?),
                    saved_at: Timestamp(row.get(1)?),
                    slices: usize::try_from(row.get::<_, i64>(2)?).unwrap_or(0),
                    moments: usize::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
                    open: false,
                })
            })?;
            Ok(readable(found)?)
        })?;
        for session in &mut found {
            session.open = files::is_held(&self.locks.session(session.name.as_str()));
        }
        Ok(found)
    }

    /// The earlier moments of a session that can be read, newest first.
    pub fn moments(&mut self, session: &SessionName) -> Result<Vec<Moment>, StoreError> {
        self.look("reading the moments of a session", |reader| moments::list(&reader.connection, session))
    }

    pub fn statuses(&mut self) -> Result<Vec<SourceStatus>, StoreError> {
        self.look("reading the sync status", |reader| {
            let mut select = reader.connection.prepare_cached("SELECT body FROM m.sync_status ORDER BY source")?;
            let bodies = readable(select.query_map([], |row| row.get::<_, String>(0))?)?;
            // A row of another version tells nothing to this one.
            Ok(bodies.iter().filter_map(|body| serde_json::from_str(body).ok()).collect())
        })
    }

    /// Kept versions, newest first, before `before`; of one collection or of all.
    pub fn vault_list(
        &mut self,
        collection: Option<&CollectionKey>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<VaultEntry>, StoreError> {
        let query = VaultQuery { collection: collection.cloned(), ..VaultQuery::default() };
        self.vault_search(&query, before, limit)
    }

    /// Kept versions that match, newest first, before `before`.
    pub fn vault_search(
        &mut self,
        query: &VaultQuery,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<VaultEntry>, StoreError> {
        self.look("reading the vault", |reader| {
            let wanted = match &query.collection {
                Some(key) => Some(reader.journal_collection(key)?.unwrap_or(-1)),
                None => None,
            };
            let key = query.id.as_ref().map(keys::of);
            let mut select = reader.connection.prepare_cached(&format!(
                "{VAULT} WHERE v.id < ?1 AND (?2 IS NULL OR v.collection = ?2) AND (?3 IS NULL OR v.key = ?3) AND \
                 (?4 = '' OR instr(lower(c.source || '/' || c.name || '/' || v.record), ?4) > 0) \
                 ORDER BY v.id DESC LIMIT ?5",
            ))?;
            let text = query.text.trim().to_lowercase();
            let wanted = params![before.unwrap_or(i64::MAX), wanted, key, text, sql(limit)];
            Ok(readable(select.query_map(wanted, vault_entry)?)?)
        })
    }

    /// One kept version beside what there is of its record now; `None` where the vault has no such number.
    pub fn kept_version(&mut self, id: i64) -> Result<Option<KeptVersion>, StoreError> {
        let entry = self.look("reading the vault", |reader| {
            let mut select = reader.connection.prepare_cached(&format!("{VAULT} WHERE v.id = ?1"))?;
            Ok(select.query_row([id], vault_entry).optional()?)
        })?;
        let (Some(entry), Some(text)) = (entry, self.vault_text(id)?) else { return Ok(None) };
        let unreadable = |error| StoreError::Refused(format!("version {id} of the vault is no JSON: {error}"));
        let kept = match entry.reason {
            VaultReason::DraftDiscarded | VaultReason::DraftReplaced => {
                Kept::Draft(serde_json::from_str(&text).map_err(unreadable)?)
            }
            _ => Kept::Document(serde_json::from_str(&text).map_err(unreadable)?),
        };
        let view = self.record(&entry.record)?;
        let revision = view.base.and_then(|base| base.revision);
        Ok(Some(KeptVersion { entry, kept, local: view.local.map(Document::into_value), revision }))
    }

    /// The text of a kept version; of a discarded draft, the draft as JSON.
    pub fn vault_text(&mut self, id: i64) -> Result<Option<String>, StoreError> {
        self.look("reading the vault", |reader| {
            let found: Option<(Vec<u8>, i64)> = reader
                .connection
                .prepare_cached(
                    "SELECT b.body, b.size FROM main.vault v JOIN main.vault_blobs b ON b.hash = v.hash WHERE v.id = ?1",
                )?
                .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((body, size)) = found else { return Ok(None) };
            let text = zstd::bulk::decompress(&body, usize::try_from(size).unwrap_or(0))
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| StoreError::Refused(format!("version {id} of the vault cannot be read")))?;
            Ok(Some(text))
        })
    }
}

const VAULT: &str = "SELECT v.id, c.source, c.name, v.record, v.reason, v.at, v.revision, hex(v.hash), b.size \
     FROM main.vault v JOIN main.collections c ON c.id = v.collection JOIN main.vault_blobs b ON b.hash = v.hash";

/// A row of [`VAULT`].
fn vault_entry(row: &Row<'_>) -> rusqlite::Result<VaultEntry> {
    let reason: String = row.get(4)?;
    Ok(VaultEntry {
        id: row.get(0)?,
        record: CollectionKey::new(row.get::<_, String>(1)?, row.get::<_, String>(2)?).record(row.get::<_, String>(3)?),
        reason: VaultReason::parse(&reason).unwrap_or(VaultReason::Discarded),
        at: Timestamp(row.get(5)?),
        revision: row.get::<_, Option<String>>(6)?.map(Revision),
        hash: row.get::<_, String>(7)?.to_lowercase(),
        size: u64::try_from(row.get::<_, i64>(8)?).unwrap_or(0),
    })
}

fn draft_key(row: &Row<'_>, from: usize) -> rusqlite::Result<Option<DraftKey>> {
    let collection = CollectionKey::new(row.get::<_, String>(from)?, row.get::<_, String>(from + 1)?);
    let record = collection.record(RecordId(row.get(from + 2)?));
    let target: String = row.get(from + 3)?;
    Ok(DraftTarget::from_key(&target).map(|target| DraftKey { record, target }))
}
