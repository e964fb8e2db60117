//! Full-text search over collections: ids with a snippet.

use std::{collections::HashSet, time::Duration};

use rusqlite::params;
use serde_json::Value;

use crate::{
    model::{
        ids::{CollectionKey, RecordKey},
        query::{Anchor, Filter, ListQuery, Sort},
    },
    store::{
        Reader, StoreError,
        error::Result,
        reader::{filter::Terms, window},
        search::tokens,
        sql,
    },
};

/// Up to this many hits the best come first; beyond, the newest.
const RANKED: usize = 500;
const SNIPPET: usize = 80;

impl Reader {
    /// Full-text search over one or all collections: ids with a snippet, best or newest first, within the deadline.
    pub fn search(
        &mut self,
        collections: &[CollectionKey],
        text: &str,
        limit: usize,
        deadline: Duration,
    ) -> Result<Vec<(RecordKey, String)>, StoreError> {
        let everywhere;
        let collections = if collections.is_empty() {
            everywhere = self.collections()?;
            &everywhere
        } else {
            collections
        };
        self.set_deadline(deadline);
        self.look("searching", |reader| {
            let words = tokens::list(text);
            if words.is_empty() {
                return Ok(Vec::new());
            }
            let order = reader.hits(text)?;
            let mut found = Vec::new();
            for collection in collections {
                let query = ListQuery {
                    collection: collection.clone(),
                    columns: Vec::new(),
                    filter: Filter(text.to_owned()),
                    sort: Sort::default(),
                };
                for (id, doc, body) in window::hits(reader, &query, &Anchor::First, limit)? {
                    let at = order.iter().position(|known| *known == doc).unwrap_or(usize::MAX);
                    found.push((at, collection.record(id), snippet(&body, &words)));
                }
            }
            found.sort_by_key(|(at, ..)| *at);
            Ok(found.into_iter().take(limit).map(|(_, record, snippet)| (record, snippet)).collect())
        })
    }

    /// Content numbers in the order to show them: by relevance while they are few, else newest first.
    fn hits(&self, text: &str) -> Result<Vec<i64>> {
        let Some(question) = Terms::parse(&Filter(text.to_owned())).index_query() else { return Ok(Vec::new()) };
        let ask = |text: &str, limit: usize| -> Result<Vec<i64>> {
            self.interruptible(|| {
                let mut select = self.connection.prepare_cached(text)?;
                let mut rows = select.query(params![question, sql(limit)])?;
                let mut docs = Vec::new();
                while let Some(row) = rows.next()? {
                    docs.push(row.get(0)?);
                }
                Ok(docs)
            })
        };
        let newest =
            match ask("SELECT rowid FROM s.texts WHERE texts MATCH ?1 ORDER BY rowid DESC LIMIT ?2", RANKED + 1) {
                Err(error) if error.is_interrupt() => return Ok(Vec::new()),
                other => other?,
            };
        if newest.len() > RANKED {
            return Ok(newest);
        }
        match ask("SELECT rowid FROM s.texts WHERE texts MATCH ?1 ORDER BY rank LIMIT ?2", RANKED) {
            Err(error) if error.is_interrupt() => Ok(newest),
            other => other,
        }
    }
}

/// The first value with a wanted word, cut around it.
fn snippet(body: &str, words: &[String]) -> String {
    let wanted: HashSet<&str> = words.iter().map(String::as_str).collect();
    let mut best = None;
    let mut first = None;
    if let Ok(value) = serde_json::from_str::<Value>(body) {
        tokens::scalars(&value, &mut |text| {
            first.get_or_insert_with(|| text.to_owned());
            let mut here = false;
            tokens::tokens(text, |token| here |= wanted.iter().any(|word| token.starts_with(word)));
            if here && best.is_none() {
                best = Some(text.to_owned());
            }
        });
    }
    let text = best.or(first).unwrap_or_default();
    let lower = text.to_lowercase();
    let at = words.iter().filter_map(|word| lower.find(word.as_str())).min().unwrap_or(0);
    let before = lower[..at].chars().count().saturating_sub(SNIPPET / 4);
    let cut: String = text.chars().skip(before).take(SNIPPET).collect();
    if before > 0 { format!("…{cut}") } else { cut }
}
