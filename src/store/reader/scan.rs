//! Walking along a list in order: the mirror merged with the pending records, the sorted side table, or the hits of the
//! index, with the same steps for each.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, params};

use crate::{
    model::{ids::RecordId, json::Pointer, query::ListQuery},
    store::{
        error::Result,
        keys,
        reader::{
            Reader,
            filter::Terms,
            item::{BASE, Item, Pos, SHADOW, base_row, merge, shadow_row, slice},
        },
        sql,
    },
};

/// Rows fetched at a time while scanning.
pub(super) const CHUNK: usize = 256;
/// Rows of the walk that is tried before the index.
pub(super) const WALK: usize = 2_000;
/// More hits than this make a scan in order the faster way.
pub(super) const HITS: usize = 5_000;
/// Entries held in memory for a sort nobody has an index for yet.
pub(super) const UNSORTED: usize = 50_000;
/// Collections up to this size are sorted without an index.
pub(super) const SMALL: u64 = 2_000;

/// Where rows come from, in ascending order.
pub(super) enum Source {
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
    pub reader: &'r Reader,
    pub query: &'r ListQuery,
    pub terms: Terms,
    /// The collection's number in each file; one that is not there is -1.
    pub journal: i64,
    pub mirror: i64,
    /// Keys of records with drafts.
    pub drafts: HashSet<Vec<u8>>,
    pub source: Source,
    /// Set where the deadline or the budget ended the looking.
    pub partial: bool,
    /// Rows that may still be looked at.
    pub budget: usize,
}

/// A direction in the order of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

impl Way {
    pub(super) fn back(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// Where to begin, exclusive or not; `None` is the end one comes from.
pub(super) type From = Option<(Pos, bool)>;

pub(super) struct Found {
    pub items: Vec<Item>,
    /// True where the source ended before enough was found.
    pub ended: bool,
}

impl<'r> Scan<'r> {
    pub(super) fn begin(reader: &'r Reader, query: &'r ListQuery) -> Result<Self> {
        let journal = reader.journal_collection(&query.collection)?.unwrap_or(-1);
        let mirror = reader.mirror_collection(&query.collection)?.unwrap_or(-1);
        let drafts = reader
            .connection
            .prepare_cached("SELECT DISTINCT key FROM main.drafts WHERE collection = ?1")?
            .query_map([journal], |row| row.get(0))?
            .collect::<rusqlite::Result<HashSet<Vec<u8>>>>()?;
        let terms = Terms::parse(&query.filter);
        let source = Source::ById { shadows_only: false, from: None, to: None };
        Ok(Self { reader, query, terms, journal, mirror, drafts, source, partial: false, budget: usize::MAX })
    }

    /// A scan with the way of walking chosen that fits the filter and the order.
    pub(super) fn chosen(reader: &'r Reader, query: &'r ListQuery) -> Result<Self> {
        let mut scan = Self::begin(reader, query)?;
        scan.source = scan.choose()?;
        Ok(scan)
    }

    /// True where a short walk in order may fill a window before the index is asked: what many records have is found at
    /// once that way, and the index is slow on exactly that.
    pub(super) fn may_walk_first(&self, total: u64) -> bool {
        total > HITS as u64
            && self.query.sort.by.is_none()
            && !self.terms.only_drafts()
            && !self.terms.only_pending()
            && self.terms.index_query().is_some()
    }

    pub(super) fn choose(&mut self) -> Result<Source> {
        if self.terms.only_drafts() {
            let drafts: Vec<Vec<u8>> = self.drafts.iter().cloned().collect();
            let items =
                drafts.iter().filter_map(|key| self.item_by_key(key).transpose()).collect::<Result<Vec<_>>>()?;
            return self.list(items, true);
        }
        if !self.terms.only_pending()
            && self.terms.index_query().is_some()
            && let Some(listed) = self.index_hits()?
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
    pub(super) fn index_hits(&mut self) -> Result<Option<Source>> {
        let parts = self.terms.index_parts();
        // One rare term narrows enough, and a term nothing has ends it; the index would collect a common one's documents
        // first to intersect them.
        let questions = parts.iter().cloned().chain((parts.len() > 1).then(|| parts.join(" AND ")));
        let mut narrow = None;
        for question in questions {
            match self.reader.interruptible(|| self.ask_index(&question)) {
                Ok(docs) if docs.len() <= HITS => {
                    narrow = Some(docs);
                    break;
                }
                Ok(_) => {}
                Err(error) if error.is_interrupt() => {
                    self.reader.relax_a_little();
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
        let Some(mut docs) = narrow else { return Ok(None) };
        let exact = parts.len() == 1 && self.terms.index_is_exact();
        let indexed = docs.len();
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
        let mut listed = self.list(items, false)?;
        if let Source::Listed { complete, .. } = &mut listed {
            *complete = !self.partial;
        }
        Ok(Some(listed))
    }

    pub(super) fn ask_index(&self, question: &str) -> Result<Vec<i64>> {
        let mut select =
            self.reader.connection.prepare_cached("SELECT rowid FROM s.texts WHERE texts MATCH ?1 LIMIT ?2")?;
        let docs =
            select.query_map(params![question, sql(HITS + 1)], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok(docs)
    }

    pub(super) fn list(&self, items: Vec<Item>, check: bool) -> Result<Source> {
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
    pub(super) fn unfed(&self, fed_mirror: i64, fed_shadow: i64) -> Result<Option<Vec<i64>>> {
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

    pub(super) fn by_column(&mut self, by: &Pointer) -> Result<Source> {
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
    pub(super) fn position(&self, id: &RecordId) -> Result<Option<Pos>> {
        let key = keys::of(id);
        if self.query.sort.by.is_none() {
            return Ok(Some(Pos { value: Vec::new(), key }));
        }
        Ok(self.item_by_key(&key)?.map(|item| Pos { value: self.sort_value(&item), key }))
    }

    /// Up to `want` matching rows from a place on.
    pub(super) fn collect(&mut self, way: Way, from: From, want: usize) -> Result<Found> {
        let mut items = Vec::new();
        let mut from = from;
        let chunk = if self.terms.is_empty() { want } else { CHUNK };
        loop {
            let got = self.reader.interruptible(|| self.chunk(way, from.as_ref(), chunk));
            let (got, ended) = match got {
                Err(error) if error.is_interrupt() => {
                    self.partial = true;
                    return Ok(Found { items, ended: false });
                }
                other => other?,
            };
            let last = got.last().map(|item| item.pos.clone());
            self.budget = self.budget.saturating_sub(got.len());
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
            if self.budget == 0 || self.reader.is_late() {
                self.partial = true;
                return Ok(Found { items, ended: false });
            }
        }
    }

    /// True where nothing follows. A deadline counts as "something may".
    pub(super) fn none(&mut self, way: Way, from: From) -> Result<bool> {
        let partial = self.partial;
        let found = self.collect(way, from, 1)?;
        // A walk that ran out of its budget did not answer; one that met the deadline has to do.
        self.partial = partial || (self.budget == 0 && found.items.is_empty() && !found.ended);
        Ok(found.items.is_empty() && found.ended)
    }

    /// The next rows in order, matching or not, and whether the source ended with them.
    pub(super) fn chunk(&self, way: Way, from: Option<&(Pos, bool)>, n: usize) -> Result<(Vec<Item>, bool)> {
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

    pub(super) fn chunk_by_id(
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
        let statement = |table: &str, columns: &str| range_statement(table, columns, low.1, high.1, way);
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

    pub(super) fn chunk_sorted(
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
            let statement = sorted_statement(way, edge.as_ref().map(|(_, inclusive)| *inclusive));
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
}

/// The keys of ids with a prefix, where they lie together.
pub(super) fn prefix_range(prefix: &str) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
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

/// A page of a table with `collection` and `key`: one range of the index, whatever the direction.
pub(super) fn range_statement(table: &str, columns: &str, from_low: bool, to_high: bool, way: Way) -> String {
    format!(
        "SELECT {columns} FROM {table} WHERE collection = ?1 AND key {} ?2 AND key {} ?3 ORDER BY key {} LIMIT ?4",
        if from_low { ">=" } else { ">" },
        if to_high { "<=" } else { "<" },
        if way == Way::Up { "ASC" } else { "DESC" },
    )
}

/// A page of a sorted column, from an edge on (inclusive or not) or from the end.
pub(super) fn sorted_statement(way: Way, edge: Option<bool>) -> String {
    let order = if way == Way::Up { "ASC" } else { "DESC" };
    let compare = match (way, edge) {
        (_, None) => "",
        (Way::Up, Some(true)) => "AND (value, key) >= (?2, ?3)",
        (Way::Up, Some(false)) => "AND (value, key) > (?2, ?3)",
        (Way::Down, Some(true)) => "AND (value, key) <= (?2, ?3)",
        (Way::Down, Some(false)) => "AND (value, key) < (?2, ?3)",
    };
    format!(
        "SELECT value, key, doc FROM s.sorted WHERE field = ?1 {compare} \
         ORDER BY value {order}, key {order}, doc {order} LIMIT ?4"
    )
}
