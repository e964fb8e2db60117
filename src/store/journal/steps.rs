//! Every step of the user's surgery on the queue, kept so that it can be taken back, also after a restart.
//!
//! A step holds the changed columns of each row it touched, before and after. Taking it back puts the columns as they
//! were and deletes the rows it made; the record's chain is then looked at again like after any change.
//!
//! **Invariant:** only the newest step is taken back, and only while each op it touched stands as the step left it and
//! was not attempted since.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension, params_from_iter, types::Value as Sql};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    model::{
        activity::{Activity, Severity},
        ids::{RecordId, RecordKey, Seq},
        op::OpState,
        time::Timestamp,
    },
    store::{
        Undone,
        error::{Result, StoreError},
        journal::{Journal, Place, activity, claims, ops, shadow, vault::VaultReason},
        numbers,
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Table {
    Ops,
    Conflicts,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::Ops => "ops",
            Self::Conflicts => "conflicts",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Ops => "seq",
            Self::Conflicts => "id",
        }
    }
}

/// What the step is called that puts another document in the place of an op's.
pub(in crate::store) const EDIT: &str = "edit";

type Columns = Map<String, Value>;

/// The rows of some records as they stand before a step.
pub(in crate::store) struct Before {
    places: Vec<Place>,
    rows: BTreeMap<(Table, i64), Columns>,
}

/// What one row went through; only the columns that changed. `before` is `None` for a row the step made.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RowChange {
    table: Table,
    id: i64,
    before: Option<Columns>,
    after: Columns,
}

/// Looks at the pending ops and open conflicts of these records.
pub(in crate::store) fn before(journal: &Journal, places: &[Place]) -> Result<Before> {
    let unique = once_each(places.iter().cloned());
    let mut rows = BTreeMap::new();
    for place in &unique {
        for (table, id) in touched(journal, place)? {
            if let Some(columns) = columns(journal, table, id)? {
                rows.insert((table, id), columns);
            }
        }
    }
    Ok(Before { places: unique, rows })
}

/// Keeps what became of the rows since, under the word the user knows the step by.
pub(in crate::store) fn keep(journal: &Journal, before: Before, what: &str, seqs: &[Seq], at: Timestamp) -> Result<()> {
    let mut ids: BTreeSet<(Table, i64)> = before.rows.keys().copied().collect();
    for place in &before.places {
        shadow::refresh(journal, place)?;
        validate(journal, place)?;
        ids.extend(touched(journal, place)?);
    }
    let mut changes = Vec::new();
    for (table, id) in ids {
        let Some(now) = columns(journal, table, id)? else { continue };
        changes.extend(change(table, id, before.rows.get(&(table, id)), now));
    }
    if changes.is_empty() {
        return Ok(());
    }
    journal
        .connection
        .prepare_cached(
            "INSERT INTO steps (at, what, seqs, last_seq, rows) \
             VALUES (?1, ?2, ?3, (SELECT coalesce(max(seq), 0) FROM ops), ?4)",
        )?
        .execute((
            at.0,
            what,
            serde_json::to_string(seqs).expect("numbers are plain JSON"),
            serde_json::to_string(&changes).expect("rows are plain JSON"),
        ))?;
    Ok(())
}

fn once_each(places: impl Iterator<Item = Place>) -> Vec<Place> {
    let mut known = BTreeSet::new();
    places.filter(|place| known.insert((place.collection, place.key.clone()))).collect()
}

fn touched(journal: &Journal, place: &Place) -> Result<Vec<(Table, i64)>> {
    let mut found = Vec::new();
    for (table, sql) in [
        (Table::Ops, "SELECT seq FROM ops WHERE collection = ?1 AND key = ?2 AND settled_at IS NULL"),
        (Table::Conflicts, "SELECT id FROM conflicts WHERE collection = ?1 AND key = ?2 AND resolved_at IS NULL"),
    ] {
        let mut select = journal.connection.prepare_cached(sql)?;
        let ids = select.query_map((place.collection, &place.key), |row| row.get::<_, i64>(0))?;
        for id in ids {
            found.push((table, id?));
        }
    }
    Ok(found)
}

fn columns(journal: &Journal, table: Table, id: i64) -> Result<Option<Columns>> {
    let sql = format!("SELECT * FROM {} WHERE {} = ?1", table.name(), table.key());
    let mut select = journal.connection.prepare_cached(&sql)?;
    let names: Vec<String> = select.column_names().into_iter().map(str::to_owned).collect();
    Ok(select
        .query_row([id], |row| {
            names.iter().enumerate().map(|(index, name)| Ok((name.clone(), to_json(row.get(index)?)))).collect()
        })
        .optional()?)
}

fn to_json(value: Sql) -> Value {
    match value {
        Sql::Null => Value::Null,
        Sql::Integer(number) => Value::from(number),
        Sql::Real(number) => json!({ "real": number.to_bits() }),
        Sql::Text(text) => Value::from(text),
        Sql::Blob(bytes) => json!({ "blob": bytes }),
    }
}

fn to_sql(value: &Value) -> Sql {
    match value {
        Value::Number(number) => number.as_i64().map_or(Sql::Null, Sql::Integer),
        Value::String(text) => Sql::Text(text.clone()),
        Value::Object(members) => match (members.get("real").and_then(Value::as_u64), members.get("blob")) {
            (Some(bits), _) => Sql::Real(f64::from_bits(bits)),
            (None, Some(Value::Array(bytes))) => {
                Sql::Blob(bytes.iter().filter_map(Value::as_u64).filter_map(|byte| u8::try_from(byte).ok()).collect())
            }
            _ => Sql::Null,
        },
        _ => Sql::Null,
    }
}

fn change(table: Table, id: i64, before: Option<&Columns>, now: Columns) -> Option<RowChange> {
    let facts = |columns: &Columns| -> Columns {
        let named =
            ["state", "attempts"].into_iter().filter_map(|name| Some((name.to_owned(), columns.get(name)?.clone())));
        named.collect()
    };
    let Some(before) = before else {
        return Some(RowChange { table, id, before: None, after: facts(&now) });
    };
    let moved: Vec<&String> =
        now.iter().filter(|(name, value)| before.get(*name) != Some(value)).map(|(name, _)| name).collect();
    if moved.is_empty() {
        return None;
    }
    let was = moved.iter().filter_map(|name| Some(((*name).clone(), before.get(*name)?.clone()))).collect();
    let mut after = facts(&now);
    after.extend(moved.iter().filter_map(|name| Some(((*name).clone(), now.get(*name)?.clone()))));
    Some(RowChange { table, id, before: Some(was), after })
}

/// The newest step that was not taken back: its number, and the newest op of its time.
pub(in crate::store) fn newest(journal: &Journal) -> Result<Option<(i64, i64)>> {
    Ok(journal
        .connection
        .prepare_cached("SELECT id, last_seq FROM steps WHERE ended_at IS NULL ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

/// The newest step in words.
pub(in crate::store) fn newest_in_words(journal: &Journal) -> Result<Option<String>> {
    let mut select = journal
        .connection
        .prepare_cached("SELECT what, seqs FROM steps WHERE ended_at IS NULL ORDER BY id DESC LIMIT 1")?;
    let found: Option<(String, String)> = select.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(found.map(|(what, seqs)| {
        format!("{what} of {}", numbers(&serde_json::from_str::<Vec<Seq>>(&seqs).unwrap_or_default()))
    }))
}

/// A step was taken back by other means.
pub(in crate::store) fn end(journal: &Journal, what: &str, seq: Seq, at: Timestamp) -> Result<()> {
    let seqs = serde_json::to_string(&[seq]).expect("numbers are plain JSON");
    journal
        .connection
        .prepare_cached("UPDATE steps SET ended_at = ?3 WHERE ended_at IS NULL AND what = ?1 AND seqs = ?2")?
        .execute((what, seqs, at.0))?;
    Ok(())
}

/// Takes the newest step back. One that came too late is ended too: the next one before it can be reached.
pub(in crate::store) fn undo(journal: &Journal, at: Timestamp) -> Result<Option<Undone>> {
    let Some((id, last_seq)) = newest(journal)? else { return Ok(None) };
    let (what, seqs, rows): (String, String, String) = journal
        .connection
        .prepare_cached("SELECT what, seqs, rows FROM steps WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    if let Some((seq, record)) = newer_edit(journal, &rows, last_seq)? {
        return Err(StoreError::Refused(format!(
            "the last step ({what}) is older than op {seq} of {record}, and would bring back an edit below it: discard op \
             {seq} first"
        )));
    }
    journal.connection.prepare_cached("UPDATE steps SET ended_at = ?2 WHERE id = ?1")?.execute((id, at.0))?;
    let seqs: Vec<Seq> = serde_json::from_str(&seqs).unwrap_or_default();
    let Ok(changes) = serde_json::from_str::<Vec<RowChange>>(&rows) else {
        return Ok(Some(Undone::TooLate { what, seqs, why: "what it was before cannot be read".to_owned() }));
    };
    if let Some(why) = misfit(journal, &changes)? {
        return Ok(Some(Undone::TooLate { what, seqs, why }));
    }
    let places: Result<Vec<Option<Place>>> = changes.iter().map(|change| place_of(journal, change)).collect();
    let places = once_each(places?.into_iter().flatten());
    for change in &changes {
        // What was typed in the place of another edit is in no other row.
        if what == EDIT && change.before.is_none() && change.table == Table::Ops {
            let op = journal.expect_op(Seq(change.id))?;
            claims::keep(journal, &journal.place(&op.record)?, &op, VaultReason::Undone, at)?;
        }
        put_back(journal, change)?;
        if change.table == Table::Ops {
            ask_again(journal, change.id)?;
        }
    }
    for place in &places {
        stand_again(journal, place, last_seq, at)?;
    }
    let numbers: Vec<String> = seqs.iter().take(5).map(|seq| format!("#{seq}")).collect();
    let text = format!("taken back: {what} of {}", numbers.join(" "));
    activity::note(journal, &[Activity::new(at, Severity::Info, "outbox", text)])?;
    Ok(Some(Undone::Step { what, seqs }))
}

/// An edit that was made after the step, of a record of which the step took an edit away.
fn newer_edit(journal: &Journal, rows: &str, last_seq: i64) -> Result<Option<(Seq, RecordKey)>> {
    let changes = serde_json::from_str::<Vec<RowChange>>(rows).unwrap_or_default();
    for change in changes.iter().filter(|change| change.table == Table::Ops) {
        let state = |columns: &Columns| columns.get("state").and_then(Value::as_str).and_then(OpState::parse);
        let before = change.before.as_ref().and_then(state);
        let comes_back = before.is_some_and(OpState::is_pending) && state(&change.after) == Some(OpState::Discarded);
        if !comes_back {
            continue;
        }
        let Some(place) = place_of(journal, change)? else { continue };
        if let Some(newer) = journal.chain(&place)?.into_iter().find(|op| op.seq.0 > last_seq) {
            return Ok(Some((newer.seq, newer.record)));
        }
    }
    Ok(None)
}

/// What waited for credentials before the step goes again: those may have been accepted meanwhile, and what waited for
/// them was released then. Where they were not, it comes to wait for them once more.
fn ask_again(journal: &Journal, seq: i64) -> Result<()> {
    let state = "CASE WHEN was_in_doubt THEN 'in_doubt' ELSE 'queued' END";
    let update = format!("UPDATE ops SET state = {state} WHERE seq = ?1 AND state = 'auth'");
    journal.connection.prepare_cached(&update)?.execute([seq])?;
    Ok(())
}

/// Why a step cannot be taken back any more.
fn misfit(journal: &Journal, changes: &[RowChange]) -> Result<Option<String>> {
    for change in changes {
        let Some(now) = columns(journal, change.table, change.id)? else {
            return Ok(Some(format!("op {} is gone", change.id)));
        };
        if change.table != Table::Ops {
            continue;
        }
        let word = |columns: &Columns| columns.get("state").and_then(Value::as_str).and_then(OpState::parse);
        let (Some(was), Some(is)) = (word(&change.after), word(&now)) else { continue };
        if is.may_be_applied() {
            return Ok(Some(format!("op {} is {} now", change.id, is.label())));
        }
        if now.get("attempts") != change.after.get("attempts") {
            return Ok(Some(format!("op {} was sent meanwhile", change.id)));
        }
        let waits = |state| matches!(state, OpState::Queued | OpState::Blocked | OpState::Auth);
        if is != was && !(waits(is) && waits(was)) {
            return Ok(Some(format!("op {} is {} now", change.id, is.label())));
        }
    }
    Ok(None)
}

fn place_of(journal: &Journal, change: &RowChange) -> Result<Option<Place>> {
    let sql = format!("SELECT collection, key, record FROM {} WHERE {} = ?1", change.table.name(), change.table.key());
    Ok(journal
        .connection
        .prepare_cached(&sql)?
        .query_row([change.id], |row| {
            Ok(Place { collection: row.get(0)?, key: row.get(1)?, id: RecordId(row.get(2)?) })
        })
        .optional()?)
}

fn put_back(journal: &Journal, change: &RowChange) -> Result<()> {
    let (table, key) = (change.table.name(), change.table.key());
    let Some(before) = &change.before else {
        journal.connection.prepare_cached(&format!("DELETE FROM {table} WHERE {key} = ?1"))?.execute([change.id])?;
        return Ok(());
    };
    let names: Vec<String> = before.keys().map(|name| format!("{name} = ?")).collect();
    let values = before.values().map(to_sql).chain([Sql::Integer(change.id)]);
    journal
        .connection
        .prepare_cached(&format!("UPDATE {table} SET {} WHERE {key} = ?", names.join(", ")))?
        .execute(params_from_iter(values))?;
    Ok(())
}

/// Edits made after the step follow what stands before them again.
fn stand_again(journal: &Journal, place: &Place, last_seq: i64, at: Timestamp) -> Result<()> {
    let chain = journal.chain(place)?;
    let is_later = |seq: Seq| seq.0 > last_seq;
    if chain.iter().any(|op| is_later(op.seq))
        && let Some(last) = chain.iter().rev().find(|op| !is_later(op.seq))
    {
        let document = crate::merge::intended(last).cloned();
        journal.rebase_behind(place, journal.place_of(last.seq)?, document.as_ref(), None, &ops::Moved::Here)?;
    }
    journal.settle_order(place, at)?;
    shadow::refresh(journal, place)?;
    validate(journal, place)
}

/// Nothing stands before an op that may be applied (I3), and nothing overtakes one in trouble. What is shown was just
/// computed from the ops (I1).
pub(in crate::store) fn validate(journal: &Journal, place: &Place) -> Result<()> {
    let chain = journal.chain(place)?;
    let broken =
        |what: &str| Err(StoreError::Refused(format!("the changes of `{}` would not fit any more: {what}", place.id)));
    if chain.iter().skip(1).any(|op| op.state.may_be_applied()) {
        return broken("one that may have been sent does not come first");
    }
    let mut trouble = false;
    for op in &chain {
        if trouble && op.state == OpState::Queued {
            return broken("one would overtake another");
        }
        trouble |= ops::is_trouble(op.state);
    }
    Ok(())
}
