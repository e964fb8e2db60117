//! A query that is streamed: remembers what was shown, and tells the difference when something was touched.
//!
//! Without a limit one child comes or goes alone, so only that child is looked at. With a limit its neighbours move, and
//! the query is asked again.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::Arc,
};

use rusqlite::Connection;

use super::{outgoing::Outgoing, read, stream::change_text};
use crate::server::{
    Shared,
    store::{Capped, Form, Query, Sink, Stop, Text, render_entry, render_query, visit},
};

/// Keys a streamed query may show; more is "too big" and cancels.
const MOST_KEYS: usize = 200_000;
/// Text of one answer when the query is asked again.
const MOST_TEXT: usize = 32 << 20;

#[derive(Clone)]
pub(super) struct Watch {
    query: Query,
    shown: HashMap<String, u64>,
}

impl Watch {
    /// Writes the first answer and remembers it.
    pub(super) fn begin(
        connection: &Connection,
        path: &[String],
        query: Query,
        outgoing: &mut Outgoing,
    ) -> Result<Self, Stop> {
        let mut watch = Self { query: query.clone(), shown: HashMap::new() };
        render_query(
            connection,
            path,
            &query,
            Form::Plain,
            outgoing,
            Some(&mut |key, text| {
                watch.shown.insert(key.to_owned(), hash(text));
            }),
        )?;
        if watch.shown.len() > MOST_KEYS { Err(Stop::Enough) } else { Ok(watch) }
    }

    /// The events that bring a client from what was shown to what is; empty where nothing differs.
    pub(super) async fn look(
        &mut self,
        shared: &Arc<Shared>,
        path: &[String],
        touched: Option<String>,
    ) -> Result<String, Stop> {
        match touched {
            Some(key) if self.query.is_unlimited() => {
                let place = path.iter().cloned().chain([key.clone()]).collect();
                let text = read::text(shared, place).await?.filter(|text| self.query.admits(&key, text));
                let mut events = String::new();
                self.show(&key, text.as_deref(), &mut events);
                Ok(events)
            }
            Some(_) => {
                let now = self.ask(shared, path).await?;
                let mut events = String::new();
                let gone: Vec<String> = self.shown.keys().filter(|key| !now.contains_key(*key)).cloned().collect();
                gone.iter().for_each(|key| self.show(key, None, &mut events));
                now.iter().for_each(|(key, text)| self.show(key, Some(text), &mut events));
                Ok(events)
            }
            None => {
                let now = self.ask(shared, path).await?;
                self.shown = now.iter().map(|(key, text)| (key.clone(), hash(text))).collect();
                let mut all = Text::default();
                all.text(if now.is_empty() { "null" } else { "{" })?;
                for (at, (key, text)) in now.iter().enumerate() {
                    let key = serde_json::Value::from(key.as_str());
                    all.text(&format!("{}{key}:{text}", if at == 0 { "" } else { "," }))?;
                }
                all.text(if now.is_empty() { "" } else { "}" })?;
                Ok(change_text("put", &[], &all.0))
            }
        }
    }

    fn show(&mut self, key: &str, text: Option<&str>, events: &mut String) {
        let before = match text {
            Some(text) => self.shown.insert(key.to_owned(), hash(text)),
            None => self.shown.remove(key),
        };
        if before != text.map(hash) {
            events.push_str(&change_text("put", &[key.to_owned()], text.unwrap_or("null")));
        }
    }

    async fn ask(&self, shared: &Arc<Shared>, path: &[String]) -> Result<HashMap<String, String>, Stop> {
        let (query, path) = (self.query.clone(), path.to_vec());
        let ask = move |connection: &Connection| {
            let _snapshot = connection.unchecked_transaction()?;
            let (mut now, mut size) = (HashMap::new(), 0);
            visit(connection, &path, &query, &mut |entry| {
                let mut text = Capped::new(MOST_TEXT - size);
                render_entry(connection, &entry, Form::Plain, &mut text)?;
                size += text.text.len();
                now.insert(entry.key.to_owned(), text.text);
                if now.len() > MOST_KEYS { Err(Stop::Enough) } else { Ok(()) }
            })?;
            Ok(now)
        };
        shared.database.read(ask).await
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
