//! Windows of a list: keyset pages over the mirror, merged with the records that have pending ops.
//!
//! ```text
//!  mirror rows   a   c d e   g        by (collection, key)
//!  shadow rows     b   d'    g-       by (collection, key)
//!  window        a b c d'e   g-
//! ```
//!
//! A filter narrows by the index where few records match and scans where many do: both end at the deadline with what
//! was found. A sort by column walks the sorted side table; until that is built, a bounded part of the collection.

use std::{cmp::Ordering, collections::HashSet};

use rusqlite::{OptionalExtension, Row as SqlRow, params};
use serde_json::Value;

use crate::{
    model::{
        ids::RecordId,
        json::Pointer,
        query::{Anchor, ListQuery, Row, Window},
        time::Timestamp,
    },
    store::{
        error::Result,
        journal::shadow,
        keys,
        reader::{Reader, cells, filter::Terms},
        search::sort_value,
        sql,
    },
};

/// Rows fetched at a time while scanning.
const CHUNK: usize = 256;
/// More hits than this make a scan in order the faster way.
const HITS: usize = 5_000;
/// Entries held in memory for a sort nobody has an index for yet.
const UNSORTED: usize = 50_000;
/// Collections up to this size are sorted without an index.
const SMALL: u64 = 2_000;

/// A record of the list, with whatever is known of it.
pub(super) struct Item {
    pub pos: Pos,
    pub id: RecordId,
    base: Option<BaseRow>,
    shadow: Option<ShadowRow>,
}

/// The place of a record in the list: the sorted value (empty when sorted by id), then the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pos {
    value: Vec<u8>,
    key: Vec<u8>,
}

struct BaseRow {
    change: i64,
    received_at: i64,
    body: String,
}

struct ShadowRow {
    change: i64,
    marks: i64,
    changed_at: i64,
    base_change: i64,
    document: Option<String>,
}

/// Where rows come from, in ascending order.
enum Source {
    ById {
        shadows_only: bool,
        from: Option<Vec<u8>>,
        to: Option<Vec<u8>>,
    },
    Sorted {
        field: i64,
        tail: Vec<(Pos, i64)>,
    },
    /// All candidates, in order; `complete` where nothing else can match, `verified` where each does.
    Listed {
        entries: Vec<(Pos, i64)>,
        complete: bool,
        verified: bool,
    },
}

pub(super) struct Scan<'r> {
    reader: &'r Reader,
    query: &'r ListQuery,
    terms: Terms,
    journal: i64,
    mirror: i64,
    drafts: HashSet<Vec<u8>>,
    source: Source,
    partial: bool,
}

/// A direction in the order of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

impl Way {
    fn back(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// Where to begin, exclusive or not; `None` is the end one comes from.
type From = Option<(Pos, bool)>;

struct Found {
    items: Vec<Item>,
    /// True where the source ended before enough was found.
    ended: bool,
}

pub(super) fn read(reader: &Reader, query: &ListQuery, anchor: &Anchor, limit: usize) -> Result<Window> {
    let mut scan = Scan::begin(reader, query)?;
    let forward = if query.sort.descending { Way::Down } else { Way::Up };
    let limit = limit.max(1);
    let total = reader.total(scan.journal, scan.mirror)?;
    let mut window = Window { total, ..Window::default() };
    let place = match anchor {
        Anchor::First | Anchor::Last => None,
        Anchor::At(id) | Anchor::After(id) | Anchor::Before(id) => Some(scan.position(id)?),
    };
    let place = match place {
        // Its place in the column is not known any more.
        Some(None) => return read(reader, query, &Anchor::First, limit),
        Some(Some(place)) => Some(place),
        None => None,
    };
    let mut items;
    match (anchor, place) {
        (Anchor::Last, _) | (Anchor::First, _) | (_, None) => {
            let last = matches!(anchor, Anchor::Last);
            let found = scan.collect(if last { forward.back() } else { forward }, None, limit + 1)?;
            items = found.items;
            let whole = items.len() <= limit;
            items.truncate(limit);
            if last {
                items.reverse();
            }
            window.at_start = !last || (whole && found.ended);
            window.at_end = last || (whole && found.ended);
        }
        (Anchor::Before(_), Some(place)) => {
            let found = scan.collect(forward.back(), Some((place.clone(), false)), limit + 1)?;
            items = found.items;
            window.at_start = items.len() <= limit && found.ended;
            items.truncate(limit);
            items.reverse();
            window.at_end = scan.none(forward, Some((place, true)))?;
        }
        (Anchor::After(_), Some(place)) => {
            let found = scan.collect(forward, Some((place.clone(), false)), limit + 1)?;
            items = found.items;
            window.at_end = items.len() <= limit && found.ended;
            items.truncate(limit);
            window.at_start = scan.none(forward.back(), Some((place, true)))?;
        }
        (Anchor::At(_), Some(place)) => {
            let found = scan.collect(forward, Some((place.clone(), true)), limit + 1)?;
            items = found.items;
            window.at_end = items.len() <= limit && found.ended;
            items.truncate(limit);
            let room = limit - items.len();
            if room > 0 {
                let found = scan.collect(forward.back(), Some((place, false)), room + 1)?;
                let mut before = found.items;
                window.at_start = before.len() <= room && found.ended;
                before.truncate(room);
                before.reverse();
                before.append(&mut items);
                items = before;
            } else {
                window.at_start = scan.none(forward.back(), Some((place, false)))?;
            }
        }
    }
    window.partial = scan.partial;
    window.matching = match &scan.source {
        _ if scan.terms.is_empty() => Some(total),
        Source::Listed { entries, complete: true, verified: true } => Some(entries.len() as u64),
        _ if window.at_start && window.at_end && !window.partial => Some(items.len() as u64),
        _ => None,
    };
    window.rank = match window.matching {
        _ if window.at_start => Some(0),
        Some(matching) if window.at_end => matching.checked_sub(items.len() as u64),
        _ => None,
    };
    reader.relax();
    window.rows = items.iter().map(|item| scan.row(item)).collect::<Result<_>>()?;
    Ok(window)
}

/// How many rows come before `id`, and how many match. Each is `None` where the deadline came first.
pub(super) fn rank(reader: &Reader, query: &ListQuery, id: &RecordId) -> Result<(Option<u64>, Option<u64>)> {
    let mut scan = Scan::begin(reader, query)?;
    let Some(place) = scan.position(id)? else { return Ok((None, None)) };
    let counted = if scan.terms.is_empty() && query.sort.by.is_none() {
        scan.count_before(&place.key).map(|before| (before, reader.total(scan.journal, scan.mirror)))
    } else {
        let (mut before, mut all) = (0_u64, 0_u64);
        let mut from: From = None;
        loop {
            let (items, ended) = scan.chunk(Way::Up, from.as_ref(), CHUNK)?;
            let Some(last) = items.last() else { break };
            from = Some((last.pos.clone(), false));
            for item in &items {
                if scan.matches(item)? {
                    all += 1;
                    before += u64::from(item.pos < place);
                }
            }
            if ended {
                break;
            }
            if reader.is_late() {
                return Ok((None, None));
            }
        }
        if scan.partial { return Ok((None, None)) } else { Ok((before, Ok(all))) }
    };
    let (before, all) = match counted {
        Ok((before, all)) => (before, all?),
        Err(error) if error.is_interrupt() => return Ok((None, None)),
        Err(error) => return Err(error),
    };
    let here = scan.item_by_key(&place.key)?.is_some_and(|item| scan.matches(&item).unwrap_or(false));
    let before = match (query.sort.descending, here) {
        (false, _) => before,
        (true, true) => all.saturating_sub(before + 1),
        (true, false) => all.saturating_sub(before),
    };
    Ok((here.then_some(before), Some(all)))
}

/// Calls `each` with every local record in key order.
pub(super) fn export(reader: &Reader, query: &ListQuery, each: &mut dyn FnMut(&RecordId, &str) -> bool) -> Result<()> {
    let mut scan = Scan::begin(reader, query)?;
    let mut from: From = None;
    loop {
        let (items, ended) = scan.chunk(Way::Up, from.as_ref(), CHUNK)?;
        let Some(last) = items.last() else { return Ok(()) };
        from = Some((last.pos.clone(), false));
        for item in &items {
            let exists = item.shadow.as_ref().is_none_or(|shadow| shadow.document.is_some());
            if exists
                && scan.matches(item)?
                && let Some(text) = scan.shown(item)?
                && !each(&item.id, &text)
            {
                return Ok(());
            }
        }
        if ended {
            return Ok(());
        }
    }
}

impl<'r> Scan<'r> {
    fn begin(reader: &'r Reader, query: &'r ListQuery) -> Result<Self> {
        let journal = reader.journal_collection(&query.collection)?.unwrap_or(-1);
        let mirror = reader.mirror_collection(&query.collection)?.unwrap_or(-1);
        let drafts = reader
            .connection
            .prepare_cached("SELECT DISTINCT key FROM main.drafts WHERE collection = ?1")?
            .query_map([journal], |row| row.get(0))?
            .collect::<rusqlite::Result<HashSet<Vec<u8>>>>()?;
        let terms = Terms::parse(&query.filter);
        let source = Source::ById { shadows_only: false, from: None, to: None };
        let mut scan = Self { reader, query, terms, journal, mirror, drafts, source, partial: false };
        scan.source = scan.choose()?;
        Ok(scan)
    }

    fn choose(&mut self) -> Result<Source> {
        if self.terms.only_drafts() {
            let drafts: Vec<Vec<u8>> = self.drafts.iter().cloned().collect();
            let items =
                drafts.iter().filter_map(|key| self.item_by_key(key).transpose()).collect::<Result<Vec<_>>>()?;
            return self.list(items, true);
        }
        if !self.terms.only_pending()
            && let Some(question) = self.terms.index_query()
            && let Some(listed) = self.from_index(&question)?
        {
            return Ok(listed);
        }
        if let Some(by) = &self.query.sort.by {
            return self.by_column(by);
        }
        let (from, to) = match self.terms.id_prefix() {
            Some(prefix) => prefix_range(prefix),
            None => (None, None),
        };
        Ok(Source::ById { shadows_only: self.terms.only_pending(), from, to })
    }

    /// Candidates the index names, with those it does not know yet. `None` where they are too many.
    fn from_index(&mut self, question: &str) -> Result<Option<Source>> {
        let mut docs: Vec<i64> = Vec::new();
        let found = (|| -> Result<()> {
            let mut select =
                self.reader.connection.prepare_cached("SELECT rowid FROM s.texts WHERE texts MATCH ?1 LIMIT ?2")?;
            let mut rows = select.query(params![question, sql(HITS + 1)])?;
            while let Some(row) = rows.next()? {
                docs.push(row.get(0)?);
            }
            Ok(())
        })();
        match found {
            Err(error) if error.is_interrupt() => {
                self.reader.relax_a_little();
                return Ok(None);
            }
            other => other?,
        }
        let exact = self.terms.index_is_exact();
        let indexed = docs.len();
        if indexed > HITS {
            return Ok(None);
        }
        let Some(unfed) = self.unfed(self.reader.fed("fed_mirror")?, self.reader.fed("fed_shadow")?)? else {
            return Ok(None);
        };
        docs.extend(unfed);
        let mut select = self.reader.connection.prepare_cached("SELECT doc FROM s.overlong")?;
        docs.extend(select.query_map([], |row| row.get::<_, i64>(0))?.collect::<rusqlite::Result<Vec<_>>>()?);
        let mut seen = HashSet::new();
        let mut items = Vec::new();
        for (at, doc) in docs.into_iter().enumerate() {
            if !seen.insert(doc) {
                continue;
            }
            if self.reader.is_late() {
                self.partial = true;
                break;
            }
            let Some(item) = self.item(doc)? else { continue };
            if (exact && at < indexed) || self.matches(&item)? {
                items.push(item);
            }
        }
        let mut listed = self.list(items, true)?;
        if let Source::Listed { complete, .. } = &mut listed {
            *complete = !self.partial;
        }
        Ok(Some(listed))
    }

    fn list(&self, items: Vec<Item>, check: bool) -> Result<Source> {
        let mut entries = Vec::with_capacity(items.len());
        for item in items {
            if check && !self.matches(&item)? {
                continue;
            }
            entries.push((Pos { value: self.sort_value(&item), key: item.pos.key.clone() }, item.doc()));
        }
        entries.sort();
        entries.dedup();
        Ok(Source::Listed { entries, complete: true, verified: true })
    }

    /// Contents newer than the marks, as docs; `None` where they are too many to be looked at.
    fn unfed(&self, fed_mirror: i64, fed_shadow: i64) -> Result<Option<Vec<i64>>> {
        let mut docs = Vec::new();
        for (question, after, collection) in [
            ("SELECT change FROM m.records WHERE change > ?1 AND +collection = ?2 LIMIT ?3", fed_mirror, self.mirror),
            (
                "SELECT -change FROM main.shadow WHERE change > ?1 AND +collection = ?2 LIMIT ?3",
                fed_shadow,
                self.journal,
            ),
        ] {
            let mut select = self.reader.connection.prepare_cached(question)?;
            let more = select
                .query_map(params![after, collection, sql(HITS + 1)], |row| row.get::<_, i64>(0))?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            if more.len() > HITS {
                return Ok(None);
            }
            docs.extend(more);
        }
        Ok(Some(docs))
    }

    fn by_column(&mut self, by: &Pointer) -> Result<Source> {
        let key = &self.query.collection;
        let column: Option<(i64, i64, i64)> = self
            .reader
            .connection
            .prepare_cached(
                "SELECT id, fed_mirror, fed_shadow FROM s.columns WHERE source = ?1 AND name = ?2 AND pointer = ?3",
            )?
            .query_row(params![key.source.as_str(), key.collection.as_str(), by.to_string()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        if let Some((field, fed_mirror, fed_shadow)) = column
            && let Some(docs) = self.unfed(fed_mirror, fed_shadow)?
        {
            let mut tail = Vec::new();
            for doc in docs {
                if let Some(item) = self.item(doc)? {
                    tail.push((Pos { value: self.sort_value(&item), key: item.pos.key.clone() }, doc));
                }
            }
            tail.sort();
            return Ok(Source::Sorted { field, tail });
        }
        if column.is_none() && self.reader.total(self.journal, self.mirror)? > SMALL {
            self.reader.wish_sorted(key, by);
        }
        // No order to walk along yet: as much of the collection as the time and the memory allow.
        let mut entries = Vec::new();
        let mut from: From = None;
        loop {
            let (items, ended) = self.chunk_by_id(Way::Up, from.as_ref(), CHUNK, (false, None, None))?;
            let Some(last) = items.last() else { break };
            from = Some((last.pos.clone(), false));
            for item in &items {
                if self.matches(item)? {
                    entries.push((Pos { value: self.sort_value(item), key: item.pos.key.clone() }, item.doc()));
                }
            }
            if ended {
                break;
            }
            if self.reader.is_late() || entries.len() > UNSORTED {
                self.partial = true;
                break;
            }
        }
        entries.sort();
        Ok(Source::Listed { entries, complete: !self.partial, verified: true })
    }

    /// Where a record stands or would stand; `None` where that cannot be known (it is gone, and the order is a column's).
    fn position(&self, id: &RecordId) -> Result<Option<Pos>> {
        let key = keys::of(id);
        if self.query.sort.by.is_none() {
            return Ok(Some(Pos { value: Vec::new(), key }));
        }
        Ok(self.item_by_key(&key)?.map(|item| Pos { value: self.sort_value(&item), key }))
    }

    fn sort_value(&self, item: &Item) -> Vec<u8> {
        let Some(by) = &self.query.sort.by else { return Vec::new() };
        // What the index was fed: the stored text, even where the base has moved since.
        let text = match &item.shadow {
            Some(shadow) => shadow.document.as_deref(),
            None => item.base.as_ref().map(|base| base.body.as_str()),
        };
        let value = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
        sort_value::of(value.as_ref().and_then(|value| by.get(value)))
    }

    /// Up to `want` matching rows from a place on.
    fn collect(&mut self, way: Way, from: From, want: usize) -> Result<Found> {
        let mut items = Vec::new();
        let mut from = from;
        let chunk = if self.terms.is_empty() { want } else { CHUNK };
        loop {
            let got = self.chunk(way, from.as_ref(), chunk);
            let (got, ended) = match got {
                Err(error) if error.is_interrupt() => {
                    self.partial = true;
                    return Ok(Found { items, ended: false });
                }
                other => other?,
            };
            let last = got.last().map(|item| item.pos.clone());
            for item in got {
                if self.matches(&item)? {
                    items.push(item);
                    if items.len() == want {
                        return Ok(Found { items, ended: false });
                    }
                }
            }
            match last {
                Some(last) if !ended => from = Some((last, false)),
                _ => return Ok(Found { items, ended: true }),
            }
            if self.reader.is_late() {
                self.partial = true;
                return Ok(Found { items, ended: false });
            }
        }
    }

    /// True where nothing follows. A deadline counts as "something may".
    fn none(&mut self, way: Way, from: From) -> Result<bool> {
        let partial = self.partial;
        let found = self.collect(way, from, 1)?;
        self.partial = partial;
        Ok(found.items.is_empty() && found.ended)
    }

    /// The next rows in order, matching or not, and whether the source ended with them.
    fn chunk(&mut self, way: Way, from: Option<&(Pos, bool)>, n: usize) -> Result<(Vec<Item>, bool)> {
        match &self.source {
            Source::ById { shadows_only, from: low, to } => {
                let bounds = (*shadows_only, low.clone(), to.clone());
                self.chunk_by_id(way, from, n, bounds)
            }
            Source::Listed { entries, .. } => {
                let docs = slice(entries, way, from, n);
                let ended = docs.len() < n;
                let items = docs
                    .into_iter()
                    .filter_map(|(pos, doc)| {
                        self.item(doc).map(|item| item.map(|item| Item { pos, ..item })).transpose()
                    })
                    .collect::<Result<_>>()?;
                Ok((items, ended))
            }
            Source::Sorted { field, tail } => self.chunk_sorted(*field, tail, way, from, n),
        }
    }

    fn chunk_by_id(
        &self,
        way: Way,
        from: Option<&(Pos, bool)>,
        n: usize,
        (shadows_only, low, high): (bool, Option<Vec<u8>>, Option<Vec<u8>>),
    ) -> Result<(Vec<Item>, bool)> {
        let edge = from.map(|(pos, inclusive)| (pos.key.clone(), *inclusive));
        // Both ends are always bound, so that every form of the question is one range of the index.
        let floor = (low.unwrap_or_default(), true);
        let ceiling = (high.unwrap_or_else(|| vec![0xff; 8]), false);
        let (low, high) = match (way, edge) {
            (Way::Up, Some(edge)) => (edge.max(floor.clone()), ceiling),
            (Way::Down, Some(edge)) => (floor, if edge.0 < ceiling.0 { edge } else { ceiling }),
            (_, None) => (floor, ceiling),
        };
        let statement = |table: &str, columns: &str| {
            format!(
                "SELECT {columns} FROM {table} WHERE collection = ?1 AND key {} ?2 AND key {} ?3 ORDER BY key {} LIMIT ?4",
                if low.1 { ">=" } else { ">" },
                if high.1 { "<=" } else { "<" },
                if way == Way::Up { "ASC" } else { "DESC" },
            )
        };
        let shadows = if self.journal < 0 {
            Vec::new()
        } else {
            self.reader
                .connection
                .prepare_cached(&statement("main.shadow", SHADOW))?
                .query_map(params![self.journal, low.0, high.0, sql(n)], shadow_row)?
                .collect::<rusqlite::Result<Vec<_>>>()?
        };
        if shadows_only {
            let ended = shadows.len() < n;
            let items = shadows
                .into_iter()
                .map(|(key, id, shadow)| {
                    let base = self.base_by_key(&key)?;
                    Ok(Item { pos: Pos { value: Vec::new(), key }, id, base, shadow: Some(shadow) })
                })
                .collect::<Result<_>>()?;
            return Ok((items, ended));
        }
        let bases = self
            .reader
            .connection
            .prepare_cached(&statement("m.records", BASE))?
            .query_map(params![self.mirror, low.0, high.0, sql(n)], base_row)?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let ended = bases.len() < n && shadows.len() < n;
        let mut items = merge(way, bases, shadows);
        let ended = ended && items.len() <= n;
        items.truncate(n);
        Ok((items, ended))
    }

    fn chunk_sorted(
        &self,
        field: i64,
        tail: &[(Pos, i64)],
        way: Way,
        from: Option<&(Pos, bool)>,
        n: usize,
    ) -> Result<(Vec<Item>, bool)> {
        let mut items: Vec<Item> = Vec::new();
        let mut edge = from.cloned();
        // Entries that stand no longer are passed over, so a chunk may take several reads.
        loop {
            let order = if way == Way::Up { "ASC" } else { "DESC" };
            let compare = match (way, &edge) {
                (_, None) => "",
                (Way::Up, Some((_, true))) => "AND (value, key) >= (?2, ?3)",
                (Way::Up, Some(_)) => "AND (value, key) > (?2, ?3)",
                (Way::Down, Some((_, true))) => "AND (value, key) <= (?2, ?3)",
                (Way::Down, Some(_)) => "AND (value, key) < (?2, ?3)",
            };
            let statement = format!(
                "SELECT value, key, doc FROM s.sorted WHERE field = ?1 {compare} \
                 ORDER BY value {order}, key {order}, doc {order} LIMIT ?4"
            );
            let pos = edge.as_ref().map(|(pos, _)| pos.clone());
            let (value, key) = pos.map_or((None, None), |pos| (Some(pos.value), Some(pos.key)));
            let entries = self
                .reader
                .connection
                .prepare_cached(&statement)?
                .query_map(params![field, value, key, sql(n)], |row| {
                    Ok((Pos { value: row.get(0)?, key: row.get(1)? }, row.get::<_, i64>(2)?))
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let ended = entries.len() < n;
            let last = entries.last().map(|(pos, _)| pos.clone());
            // The tail's entries up to the last one read stand in between.
            let mut both = entries;
            for (pos, doc) in slice(tail, way, edge.as_ref(), n) {
                let within = ended
                    || last.as_ref().is_some_and(|last| match way {
                        Way::Up => pos <= *last,
                        Way::Down => pos >= *last,
                    });
                if within {
                    both.push((pos, doc));
                }
            }
            both.sort();
            both.dedup();
            if way == Way::Down {
                both.reverse();
            }
            for (pos, doc) in both {
                if let Some(item) = self.item(doc)? {
                    items.push(Item { pos, ..item });
                }
            }
            let done = ended && slice(tail, way, edge.as_ref(), n + 1).len() <= n;
            if items.len() >= n || done {
                let more = items.len() > n;
                items.truncate(n);
                return Ok((items, done && !more));
            }
            edge = match (last, items.last()) {
                (Some(last), _) if !ended => Some((last, false)),
                (_, Some(item)) => Some((item.pos.clone(), false)),
                (Some(last), None) => Some((last, false)),
                (None, None) => return Ok((items, true)),
            };
        }
    }

    /// The record a content number stands for, where it still stands.
    fn item(&self, doc: i64) -> Result<Option<Item>> {
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

    fn base_by_key(&self, key: &[u8]) -> Result<Option<BaseRow>> {
        Ok(self
            .reader
            .connection
            .prepare_cached(&format!("SELECT {BASE} FROM m.records WHERE collection = ?1 AND key = ?2"))?
            .query_row((self.mirror, key), base_row)
            .optional()?
            .map(|(_, _, base)| base))
    }

    fn item_by_key(&self, key: &[u8]) -> Result<Option<Item>> {
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

    fn count_before(&self, key: &[u8]) -> Result<u64> {
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
    fn shown(&self, item: &Item) -> Result<Option<String>> {
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

    fn matches(&self, item: &Item) -> Result<bool> {
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

    fn row(&self, item: &Item) -> Result<Row> {
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
    fn doc(&self) -> i64 {
        match (&self.shadow, &self.base) {
            (Some(shadow), _) => -shadow.change,
            (None, Some(base)) => base.change,
            (None, None) => 0,
        }
    }
}

pub(super) const BASE: &str = "key, id, change, received_at, body";
pub(super) const SHADOW: &str = "key, record, change, marks, changed_at, base_change, document";

fn base_row(row: &SqlRow<'_>) -> rusqlite::Result<(Vec<u8>, RecordId, BaseRow)> {
    let base = BaseRow { change: row.get(2)?, received_at: row.get(3)?, body: row.get(4)? };
    Ok((row.get(0)?, RecordId(row.get(1)?), base))
}

fn shadow_row(row: &SqlRow<'_>) -> rusqlite::Result<(Vec<u8>, RecordId, ShadowRow)> {
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
fn merge(
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
fn slice(entries: &[(Pos, i64)], way: Way, from: Option<&(Pos, bool)>, n: usize) -> Vec<(Pos, i64)> {
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

/// The keys of ids with a prefix, where they lie together.
fn prefix_range(prefix: &str) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let numeric = prefix.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    if prefix.is_empty() || numeric {
        return (None, None);
    }
    let low = keys::of(&RecordId(prefix.to_owned()));
    let inside = |suffix: &str| keys::of(&RecordId(format!("{prefix}{suffix}"))).starts_with(&low);
    if !(inside("a") && inside("0") && inside("\u{10ffff}")) {
        return (None, None);
    }
    let mut high = low.clone();
    while let Some(last) = high.pop() {
        if last < 0xff {
            high.push(last + 1);
            return (Some(low), Some(high));
        }
    }
    (Some(low), None)
}

/// Matching records with their content number and text, for a search.
pub(super) fn hits(
    reader: &Reader,
    query: &ListQuery,
    anchor: &Anchor,
    limit: usize,
) -> Result<Vec<(RecordId, i64, String)>> {
    let _ = anchor;
    let mut scan = Scan::begin(reader, query)?;
    let found = match &scan.source {
        // All of them, so that the caller's order decides which are shown.
        Source::Listed { entries, .. } => {
            let n = entries.len().max(1);
            scan.collect(Way::Up, None, n)?
        }
        _ => scan.collect(Way::Up, None, limit)?,
    };
    found.items.iter().map(|item| Ok((item.id.clone(), item.doc(), scan.shown(item)?.unwrap_or_default()))).collect()
}
