//! The outbox's rows: how an op is written, read and put at its place.

use rusqlite::{OptionalExtension, Row, named_params, types::FromSql};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    merge::{self, Followed},
    model::{
        ids::{CollectionKey, OpId, RecordId, RecordKey, Revision, Seq},
        op::{NewOp, Op, OpError, OpKind, OpState},
        time::Timestamp,
    },
    store::{
        Queued,
        error::{Result, StoreError},
        journal::{Journal, Place, shadow},
    },
};

/// The version of the JSON columns of an op row. A row of a later version is shown, never sent.
pub(in crate::store) const FORMAT: i64 = 1;

/// The columns [`read`] expects, of `ops o` joined with `collections c`.
pub(in crate::store) const COLUMNS: &str = "o.seq, o.op_id, c.source, c.name, o.record, o.kind, o.state, o.changes, \
     o.document, o.base, o.base_revision, o.after, o.attempts, o.created_at, o.next_attempt_at, o.sent_at, \
     o.settled_at, o.request_hash, o.precondition, o.sent_document, o.last_error, o.author, o.was_in_doubt, o.format";

pub(in crate::store) fn text(value: &Value) -> String {
    value.to_string()
}

pub(in crate::store) fn text_of(value: Option<&Value>) -> Option<String> {
    value.map(text)
}

/// Reads JSON of a row; `None` for what cannot be read.
pub(in crate::store) fn json<T: DeserializeOwned>(text: Option<String>) -> Option<T> {
    text.and_then(|text| serde_json::from_str(&text).ok())
}

/// Reads an op. A row that cannot be decoded comes back as `rejected` with the reason: it is shown, it is never sent,
/// and the others go on.
pub(in crate::store) fn read(row: &Row<'_>) -> rusqlite::Result<Op> {
    let mut cells = Cells { row, trouble: None };
    let op_id: String = cells.get(1, "op id");
    let kind: String = cells.get(5, "kind");
    let state: String = cells.get(6, "state");
    let changes: String = cells.get(7, "changes");
    let document = cells.value(8, "document");
    let base = cells.value(9, "base");
    let sent_document = cells.value(19, "sent document");
    let format: i64 = cells.get(23, "format");
    if format > FORMAT {
        cells.note("it was written by a newer ebbtide");
    }
    let request_hash: Option<String> = cells.get(17, "request");
    let op_id = op_id.parse().map(OpId).unwrap_or_else(|_| {
        cells.note("op id");
        OpId(uuid::Uuid::nil())
    });
    let changes = serde_json::from_str(&changes).unwrap_or_else(|_| {
        cells.note("changes");
        Vec::new()
    });
    let kind = kind_of(&kind).unwrap_or_else(|| {
        cells.note("kind");
        OpKind::Update
    });
    let state = OpState::parse(&state).unwrap_or_else(|| {
        cells.note("state");
        OpState::Rejected
    });
    let mut op = Op {
        seq: Seq(row.get(0)?),
        op_id,
        record: RecordKey {
            collection: CollectionKey::new(cells.get::<String>(2, "source"), cells.get::<String>(3, "collection")),
            id: RecordId(cells.get(4, "record")),
        },
        kind,
        state,
        changes,
        sent_document: match (&sent_document, kind) {
            // Claimed with its own document: that is there once only.
            (None, OpKind::Create | OpKind::Update) if request_hash.is_some() => document.clone(),
            _ => sent_document,
        },
        document,
        base,
        base_revision: cells.get::<Option<String>>(10, "revision").map(Revision),
        after: cells.get::<Option<i64>>(11, "predecessor").map(Seq),
        attempts: cells.get(12, "attempts"),
        created_at: Timestamp(cells.get(13, "time")),
        next_attempt_at: cells.get::<Option<i64>>(14, "time").map(Timestamp),
        sent_at: cells.get::<Option<i64>>(15, "time").map(Timestamp),
        settled_at: cells.get::<Option<i64>>(16, "time").map(Timestamp),
        request_hash,
        precondition: json(cells.get(18, "precondition")),
        last_error: json(cells.get(20, "error")),
        author: cells.get(21, "author"),
        was_in_doubt: cells.get(22, "doubt"),
    };
    if let Some(message) = cells.trouble
        && op.state.is_pending()
    {
        op.state = OpState::Rejected;
        op.last_error = Some(OpError { at: op.created_at, status: None, message });
    }
    Ok(op)
}

/// The columns of a row, each read on its own: what has the wrong type is noted and taken as absent.
struct Cells<'r, 's> {
    row: &'r Row<'s>,
    trouble: Option<String>,
}

impl Cells<'_, '_> {
    fn note(&mut self, what: &str) {
        self.trouble = Some(format!("the row cannot be read: {what}"));
    }

    fn get<T: FromSql + Default>(&mut self, column: usize, what: &str) -> T {
        self.row.get(column).unwrap_or_else(|_| {
            self.note(what);
            T::default()
        })
    }

    fn value(&mut self, column: usize, what: &str) -> Option<Value> {
        let text: String = self.get::<Option<String>>(column, what)?;
        serde_json::from_str(&text).map_err(|_| self.note(what)).ok()
    }
}

pub(in crate::store) fn kind_of(word: &str) -> Option<OpKind> {
    [OpKind::Create, OpKind::Update, OpKind::Delete].into_iter().find(|kind| kind.word() == word)
}

/// Where a new op stands.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum Standing {
    /// Behind everything.
    Last,
    /// At the place of an op it replaces.
    At(i64),
}

impl Journal {
    /// The op with this id, where it is in the outbox already.
    pub fn known(&self, op_id: OpId) -> Result<Option<Seq>> {
        Ok(self
            .connection
            .prepare_cached("SELECT seq FROM ops WHERE op_id = ?1")?
            .query_row([op_id.to_string()], |row| Ok(Seq(row.get(0)?)))
            .optional()?)
    }

    pub fn op(&self, seq: Seq) -> Result<Option<Op>> {
        Ok(self
            .connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM ops o JOIN collections c ON c.id = o.collection WHERE o.seq = ?1"
            ))?
            .query_row([seq.0], read)
            .optional()?)
    }

    pub fn expect_op(&self, seq: Seq) -> Result<Op> {
        self.op(seq)?.ok_or_else(|| StoreError::Refused(format!("there is no op {seq} in the outbox")))
    }

    /// The pending ops of a record, in order.
    pub fn chain(&self, place: &Place) -> Result<Vec<Op>> {
        let mut select = self.connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM ops o JOIN collections c ON c.id = o.collection \
             WHERE o.collection = ?1 AND o.key = ?2 AND o.settled_at IS NULL ORDER BY o.place, o.seq"
        ))?;
        let ops = select.query_map((place.collection, &place.key), read)?.collect::<rusqlite::Result<_>>()?;
        Ok(ops)
    }

    /// The pending ops of a record without their documents: number, place, kind, state.
    pub fn standing(&self, place: &Place) -> Result<Vec<Standee>> {
        let mut select = self.connection.prepare_cached(
            "SELECT seq, place, kind, state, next_attempt_at FROM ops \
             WHERE collection = ?1 AND key = ?2 AND settled_at IS NULL ORDER BY place, seq",
        )?;
        let rows = select
            .query_map((place.collection, &place.key), |row| {
                Ok(Standee {
                    seq: Seq(row.get(0)?),
                    place: row.get(1)?,
                    kind: kind_of(&row.get::<_, String>(2)?).unwrap_or(OpKind::Update),
                    state: OpState::parse(&row.get::<_, String>(3)?).unwrap_or(OpState::Rejected),
                    next_attempt_at: row.get(4)?,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(rows)
    }

    pub fn place_of(&self, seq: Seq) -> Result<i64> {
        Ok(self
            .connection
            .prepare_cached("SELECT place FROM ops WHERE seq = ?1")?
            .query_row([seq.0], |row| row.get(0))?)
    }

    /// Puts an op into the outbox, or answers the one that is there under its id.
    pub fn queue(&self, op: &NewOp, undoes: Option<Seq>) -> Result<Queued> {
        if let Some(seq) = self.known(op.op_id)? {
            return Ok(Queued { seq, op_id: op.op_id });
        }
        let place = self.place(&op.record)?;
        let before = self.standing(&place)?;
        let followed = match before.last() {
            Some(last) => self.behind(last.seq, op)?,
            None => None,
        };
        let op = followed.as_ref().unwrap_or(op);
        let state = if before.iter().any(|op| is_trouble(op.state)) { OpState::Blocked } else { OpState::Queued };
        let seq = self.insert(op, &place, state, before.last().map(|op| op.seq), Standing::Last, undoes)?;
        shadow::append(self, &place, op)?;
        Ok(Queued { seq, op_id: op.op_id })
    }

    /// An edit that was made on another document than the op before it leaves (typed before that op was made) as the
    /// same edit made on it: joined into one write, it would else take that op's changes back. `None`: it fits.
    fn behind(&self, last: Seq, op: &NewOp) -> Result<Option<NewOp>> {
        let last = self.expect_op(last)?;
        let local = merge::intended(&last);
        if merge::same_document(local, op.base.as_ref()) {
            return Ok(None);
        }
        let Followed { kind, changes, document } =
            merge::follow(local, op.kind, op.changes.clone(), op.document.as_ref());
        let base_revision = (kind == OpKind::Create && op.kind != kind).then(Revision::of_what_was_there);
        Ok(Some(NewOp { kind, changes, document, base: local.cloned(), base_revision, ..op.clone() }))
    }

    /// Writes the row. The caller refreshes the shadow.
    pub fn insert(
        &self,
        op: &NewOp,
        place: &Place,
        state: OpState,
        after: Option<Seq>,
        standing: Standing,
        undoes: Option<Seq>,
    ) -> Result<Seq> {
        self.connection
            .prepare_cached(
                "INSERT INTO ops (op_id, format, collection, key, record, kind, state, place, after, undoes, created_at, \
                 base_revision, author, changes, document, base) \
                 VALUES (:op_id, :format, :collection, :key, :record, :kind, :state, \
                 coalesce(:place, (SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'ops'), 1), \
                 :after, :undoes, :created_at, :base_revision, \
                 CASE WHEN :author <> '' THEN :author ELSE coalesce((SELECT a.principal FROM accounts a \
                 JOIN collections c ON c.source = a.source WHERE c.id = :collection), '') END, :changes, :document, :base)",
            )?
            .execute(named_params! {
                ":op_id": op.op_id.to_string(),
                ":format": FORMAT,
                ":collection": place.collection,
                ":key": place.key,
                ":record": place.id.as_str(),
                ":kind": op.kind.word(),
                ":state": state.word(),
                ":place": match standing { Standing::Last => None, Standing::At(place) => Some(place) },
                ":after": after.map(|seq| seq.0),
                ":undoes": undoes.map(|seq| seq.0),
                ":created_at": op.created_at.0,
                ":base_revision": op.base_revision.as_ref().map(Revision::as_str),
                ":author": op.author,
                ":changes": serde_json::to_string(&op.changes).expect("changes are plain JSON"),
                ":document": text_of(op.document.as_ref()),
                ":base": text_of(op.base.as_ref()),
            })?;
        Ok(Seq(self.connection.last_insert_rowid()))
    }

    pub fn set_state(&self, seq: Seq, state: OpState, at: Timestamp) -> Result<()> {
        self.connection
            .prepare_cached("UPDATE OR FAIL ops SET state = ?2, settled_at = ?3 WHERE seq = ?1")?
            .execute((seq.0, state.word(), (!state.is_pending()).then_some(at.0)))?;
        Ok(())
    }

    /// After an op's state changed: ops behind one in trouble are `blocked`, others are not. Held ops stay held.
    pub fn settle_order(&self, place: &Place, at: Timestamp) -> Result<()> {
        let mut trouble = false;
        for op in self.standing(place)? {
            match op.state {
                OpState::Queued if trouble => self.set_state(op.seq, OpState::Blocked, at)?,
                OpState::Blocked if !trouble => self.set_state(op.seq, OpState::Queued, at)?,
                _ => {}
            }
            trouble |= is_trouble(op.state);
        }
        Ok(())
    }

    /// Puts the ops behind a place in the record's order on a new document: their bases, documents and kinds follow.
    ///
    /// The first that was attempted ends it, being repeated as it was sent, and so does the first that [`Moved`] says is
    /// to be judged: it keeps the document it was made on, and those behind it stand on what it leaves.
    pub fn rebase_behind(
        &self,
        place: &Place,
        behind: i64,
        document: Option<&Value>,
        revision: Option<&Revision>,
        moved: &Moved,
    ) -> Result<()> {
        let mut local = document.cloned();
        let mut theirs = match moved {
            Moved::Here => None,
            Moved::There(theirs) => Some(theirs.clone()),
        };
        let mut revision = revision.map(Revision::as_str);
        let standing = self.standing(place)?;
        for op in self.chain(place)? {
            let stored = standing.iter().find(|other| other.seq == op.seq);
            if stored.is_none_or(|stored| stored.place <= behind) {
                continue;
            }
            // A row that cannot be read stays as it is.
            if stored.is_some_and(|stored| stored.state != op.state) {
                break;
            }
            let is_moved = |theirs: &Option<Value>| !merge::stands_on(op.base.as_ref(), &op.changes, theirs.as_ref());
            if op.attempts > 0 || theirs.as_ref().is_some_and(is_moved) {
                break;
            }
            theirs = theirs.map(|theirs| merge::apply(theirs, op.kind, &op.changes, op.document.as_ref()));
            let base = local.clone();
            let Followed { kind, changes, document } =
                merge::follow(base.as_ref(), op.kind, op.changes, op.document.as_ref());
            local = document;
            let anew = (kind == OpKind::Create && op.kind != kind).then(Revision::of_what_was_there);
            let revision = revision.take().or(anew.as_ref().map(Revision::as_str));
            self.connection
                .prepare_cached(
                    "UPDATE ops SET kind = ?2, changes = ?3, document = ?4, base = ?5, base_revision = ?6, \
                     sent_document = NULL, request_hash = NULL, precondition = NULL WHERE seq = ?1",
                )?
                .execute((
                    op.seq.0,
                    kind.word(),
                    serde_json::to_string(&changes).expect("changes are plain JSON"),
                    text_of(local.as_ref()),
                    text_of(base.as_ref()),
                    revision,
                ))?;
        }
        Ok(())
    }
}

/// Who moved the document that later ops stand on.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::store) enum Moved {
    /// The user, who sees what is queued behind: that goes along.
    Here,
    /// The server: an op that changes what was changed there is judged by itself when its turn comes. The document is
    /// the one moved onto, as far as the server made it.
    There(Option<Value>),
}

/// An op without its documents.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Standee {
    pub seq: Seq,
    pub place: i64,
    pub kind: OpKind,
    pub state: OpState,
    pub next_attempt_at: Option<i64>,
}

/// States that block the ops of the record behind them.
pub(in crate::store) fn is_trouble(state: OpState) -> bool {
    matches!(state, OpState::Conflict | OpState::Rejected)
}
