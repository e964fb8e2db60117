//! One row of a list: the mirror's copy, the pending edits on it, and what it shows.

use std::cmp::Ordering;

use rusqlite::{OptionalExtension, Row as SqlRow};
use serde_json::Value;

use crate::{
    model::{ids::RecordId, query::Row, time::Timestamp},
    store::{
        error::Result,
        journal::shadow,
        reader::{
            cells,
            scan::{Scan, Source, Way},
        },
        search::sort_value,
    },
};

/// A record of the list, with whatever is known of it.
pub(super) struct Item {
    pub pos: Pos,
    pub id: RecordId,
    pub base: Option<BaseRow>,
    pub shadow: Option<ShadowRow>,
}

/// The place of a record in the list: the sorted value (empty when sorted by id), then the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pos {
    pub value: Vec<u8>,
    pub key: Vec<u8>,
}

pub(super) struct BaseRow {
    pub change: i64,
    pub received_at: i64,
    pub body: String,
}

pub(super) struct ShadowRow {
    pub change: i64,
    pub marks: i64,
    pub changed_at: i64,
    pub base_change: i64,
    pub document: Option<String>,
}

impl Scan<'_> {
    pub(super) fn sort_value(&self, item: &Item) -> Vec<u8> {
        let Some(by) = &self.query.sort.by else { return Vec::new() };
        // What the index was fed: the stored text, even where the base has moved since.
        let text = match &item.shadow {
            Some(ShadowRow { document: Some(text), .. }) => Some(text.as_str()),
            _ => item.base.as_ref().map(|base| base.body.as_str()),
        };
        let value = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
        sort_value::of(value.as_ref().and_then(|value| by.get(value)))
    }

    /// The record a content number stands for, where it still stands.
    pub(super) fn item(&self, doc: i64) -> Result<Option<Item>> {
        if doc > 0 {
            let base = self
                .reader
                .connection
                .prepare_cached(&format!("SELECT {BASE} FROM m.records WHERE change = ?1 AND +collection = ?2"))?
                .query_row((doc, self.mirror), base_row)
                .optional()?;
            let Some((key, id, base)) = base else { return Ok(None) };
            // Its pending ops have an entry of their own.
            let shadowed = self.journal >= 0
                && self
                    .reader
                    .connection
                    .prepare_cached("SELECT 1 FROM main.shadow WHERE collection = ?1 AND key = ?2")?
                    .exists((self.journal, &key))?;
            return Ok((!shadowed).then(|| Item {
                pos: Pos { value: Vec::new(), key },
                id,
                base: Some(base),
                shadow: None,
            }));
        }
        let shadow = self
            .reader
            .connection
            .prepare_cached(&format!("SELECT {SHADOW} FROM main.shadow WHERE change = ?1 AND +collection = ?2"))?
            .query_row((-doc, self.journal), shadow_row)
            .optional()?;
        let Some((key, id, shadow)) = shadow else { return Ok(None) };
        let base = self.base_by_key(&key)?;
        Ok(Some(Item { pos: Pos { value: Vec::new(), key }, id, base, shadow: Some(shadow) }))
    }

    pub(super) fn base_by_key(&self, key: &[u8]) -> Result<Option<BaseRow>> {
        Ok(self
            .reader
            .connection
            .prepare_cached(&format!("SELECT {BASE} FROM m.records WHERE collection = ?1 AND key = ?2"))?
            .query_row((self.mirror, key), base_row)
            .optional()?
            .map(|(_, _, base)| base))
    }

    pub(super) fn item_by_key(&self, key: &[u8]) -> Result<Option<Item>> {
        let shadow = self
            .reader
            .connection
            .prepare_cached(&format!("SELECT {SHADOW} FROM main.shadow WHERE collection = ?1 AND key = ?2"))?
            .query_row((self.journal, key), shadow_row)
            .optional()?;
        let base = self
            .reader
            .connection
            .prepare_cached(&format!("SELECT {BASE} FROM m.records WHERE collection = ?1 AND key = ?2"))?
            .query_row((self.mirror, key), base_row)
            .optional()?;
        let pos = Pos { value: Vec::new(), key: key.to_vec() };
        Ok(match (shadow, base) {
            (Some((_, id, shadow)), base) => {
                Some(Item { pos, id, base: base.map(|(_, _, base)| base), shadow: Some(shadow) })
            }
            (None, Some((_, id, base))) => Some(Item { pos, id, base: Some(base), shadow: None }),
            (None, None) => None,
        })
    }

    pub(super) fn count_before(&self, key: &[u8]) -> Result<u64> {
        let bases: i64 = self
            .reader
            .connection
            .prepare_cached("SELECT count(*) FROM m.records WHERE collection = ?1 AND key < ?2")?
            .query_row((self.mirror, key), |row| row.get(0))?;
        let alone: i64 = self
            .reader
            .connection
            .prepare_cached(
                "SELECT count(*) FROM main.shadow h WHERE h.collection = ?1 AND h.key < ?2 AND NOT EXISTS \
                 (SELECT 1 FROM m.records r WHERE r.collection = ?3 AND r.key = h.key)",
            )?
            .query_row((self.journal, key, self.mirror), |row| row.get(0))?;
        Ok(u64::try_from(bases + alone).unwrap_or(0))
    }

    /// What the row shows: the local text; of a record being deleted, what is being deleted.
    pub(super) fn shown(&self, item: &Item) -> Result<Option<String>> {
        let base = item.base.as_ref();
        let Some(shadow) = &item.shadow else { return Ok(base.map(|base| base.body.clone())) };
        let local = if shadow.base_change == base.map_or(0, |base| base.change) {
            shadow.document.clone()
        } else {
            // The base moved after the row was computed: computed here, with the ops of the same moment.
            let chain = self.reader.chain_by_key(self.journal, &item.pos.key)?;
            let base = base.and_then(|base| serde_json::from_str(&base.body).ok());
            shadow::local(base, &chain).map(|local| local.to_string())
        };
        Ok(local.or_else(|| base.map(|base| base.body.clone())))
    }

    pub(super) fn matches(&self, item: &Item) -> Result<bool> {
        if self.terms.is_empty() || matches!(self.source, Source::Listed { verified: true, .. }) {
            return Ok(true);
        }
        let marks = item.shadow.as_ref().map_or(0, |shadow| shadow.marks);
        let draft = self.drafts.contains(&item.pos.key);
        let id = item.id.as_str();
        Ok(match (&item.shadow, &item.base) {
            (None, Some(base)) => self.terms.matches(id, Some(&base.body), marks, draft),
            _ => self.terms.matches(id, self.shown(item)?.as_deref(), marks, draft),
        })
    }

    pub(super) fn row(&self, item: &Item) -> Result<Row> {
        let marks = item.shadow.as_ref().map_or(0, |shadow| shadow.marks);
        let received = item.base.as_ref().map(|base| base.received_at);
        let edited = item.shadow.as_ref().map(|shadow| shadow.changed_at);
        let cells = match (&item.shadow, &item.base) {
            (None, Some(base)) => cells::of(Some(&base.body), &self.query.columns),
            _ => cells::of(self.shown(item)?.as_deref(), &self.query.columns),
        };
        Ok(Row {
            id: item.id.clone(),
            cells,
            mark: shadow::record_mark(marks, self.drafts.contains(&item.pos.key)),
            changed_at: received.max(edited).map(Timestamp),
        })
    }
}

impl Item {
    pub(super) fn doc(&self) -> i64 {
        match (&self.shadow, &self.base) {
            (Some(shadow), _) => -shadow.change,
            (None, Some(base)) => base.change,
            (None, None) => 0,
        }
    }
}

pub(super) const BASE: &str = "key, id, change, received_at, body";
pub(super) const SHADOW: &str = "key, record, change, marks, changed_at, base_change, document";

pub(super) fn base_row(row: &SqlRow<'_>) -> rusqlite::Result<(Vec<u8>, RecordId, BaseRow)> {
    let base = BaseRow { change: row.get(2)?, received_at: row.get(3)?, body: row.get(4)? };
    Ok((row.get(0)?, RecordId(row.get(1)?), base))
}

pub(super) fn shadow_row(row: &SqlRow<'_>) -> rusqlite::Result<(Vec<u8>, RecordId, ShadowRow)> {
    let shadow = ShadowRow {
        change: row.get(2)?,
        marks: row.get(3)?,
        changed_at: row.get(4)?,
        base_change: row.get(5)?,
        document: row.get(6)?,
    };
    Ok((row.get(0)?, RecordId(row.get(1)?), shadow))
}

/// Two lists in the same order as one; a record in both is one item.
pub(super) fn merge(
    way: Way,
    bases: Vec<(Vec<u8>, RecordId, BaseRow)>,
    shadows: Vec<(Vec<u8>, RecordId, ShadowRow)>,
) -> Vec<Item> {
    let mut items = Vec::with_capacity(bases.len() + shadows.len());
    let mut bases = bases.into_iter().peekable();
    let mut shadows = shadows.into_iter().peekable();
    loop {
        let order = match (bases.peek(), shadows.peek()) {
            (None, None) => return items,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, ..)), Some((b, ..))) if way == Way::Up => a.cmp(b),
            (Some((a, ..)), Some((b, ..))) => b.cmp(a),
        };
        let base = if order == Ordering::Greater { None } else { bases.next() };
        let shadow = if order == Ordering::Less { None } else { shadows.next() };
        let (key, id) = match (&base, &shadow) {
            (Some((key, id, _)), _) | (None, Some((key, id, _))) => (key.clone(), id.clone()),
            (None, None) => return items,
        };
        items.push(Item {
            pos: Pos { value: Vec::new(), key },
            id,
            base: base.map(|(_, _, base)| base),
            shadow: shadow.map(|(_, _, shadow)| shadow),
        });
    }
}

/// The next entries of a sorted list in a direction.
pub(super) fn slice(entries: &[(Pos, i64)], way: Way, from: Option<&(Pos, bool)>, n: usize) -> Vec<(Pos, i64)> {
    match (way, from) {
        (Way::Up, from) => {
            let start = from.map_or(0, |(pos, inclusive)| {
                entries.partition_point(|(at, _)| if *inclusive { at < pos } else { at <= pos })
            });
            entries[start..].iter().take(n).cloned().collect()
        }
        (Way::Down, from) => {
            let end = from.map_or(entries.len(), |(pos, inclusive)| {
                entries.partition_point(|(at, _)| if *inclusive { at <= pos } else { at < pos })
            });
            entries[..end].iter().rev().take(n).cloned().collect()
        }
    }
}
