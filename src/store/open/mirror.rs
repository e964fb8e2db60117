//! What is pulled and acknowledged, and what is derived from it.

use std::{collections::HashSet, sync::Arc};

use tokio::sync::oneshot;

use super::{FULL_ENGINE, FULL_USER, Manner, Reply, Store};
use crate::{
    model::{
        ids::{CollectionKey, RecordId},
        record::Buried,
        sync_status::SourceStatus,
        time::Timestamp,
        window::{KeyWindow, WindowDifference},
    },
    store::{
        Applied, Missing, NewBase, PullPage,
        error::{Result, StoreError},
        mirror::{Mirror, pages, sweeps, windows},
        writer::{Durability, Lane, Writer},
    },
};

impl Store {
    /// One page with its checkpoint (`NORMAL`). Idempotent by revision, else by fingerprint of the text.
    pub fn apply_page(&self, page: PullPage) -> Reply<Applied> {
        let manner = Manner {
            lane: Lane::Bulk,
            durability: Durability::Normal,
            hurry: false,
            rows: page.changes.len(),
            bytes: page.changes.len() * 1024,
            intent: "storing a page",
        };
        let Ok(writers) = self.writers() else { return Reply::ready(Err(StoreError::ReadOnly)) };
        let ticket = writers.overtaken.enter(&page.collection);
        self.ask_mirror(manner, move |mirror| pages::apply(mirror, &page, &ticket.newer()))
    }

    /// A reading of the whole collection begins: what is here and is not met by it is missing at its end. Behind every page
    /// handed over before; what is acknowledged from now on counts as met, also where it goes ahead.
    pub fn begin_sweep(&self, collection: CollectionKey, sweep: i64) -> Reply<()> {
        let manner =
            Manner { lane: Lane::Bulk, durability: Durability::Normal, intent: "beginning a sweep", ..FULL_USER };
        let Ok(writers) = self.writers() else { return Reply::ready(Err(StoreError::ReadOnly)) };
        let ticket = writers.overtaken.enter(&collection);
        self.ask_mirror(manner, move |mirror| {
            let collection = mirror.collection(&collection)?;
            sweeps::begin(mirror, collection, sweep, &ticket.newer())?;
            mirror.keep_change()
        })
    }

    /// Deletes rows that are gone on the server and were kept for ops that are not pending any more: a part of them, from
    /// [`Buried::next`] on, of which `deleted` are by now. Every deleted body goes to the vault first.
    pub fn bury_vanished(&self, collection: CollectionKey, from: i64, deleted: u64, at: Timestamp) -> Reply<Buried> {
        let manner =
            Manner { lane: Lane::Bulk, rows: PART, intent: "deleting what is gone on the server", ..FULL_USER };
        self.ask_mirror(manner, move |mirror| sweeps::bury_vanished(mirror, &collection, from, deleted, at))
    }

    /// What the sweep did not see. Deletes nothing.
    pub fn missing(&self, collection: CollectionKey, sweep: i64) -> Reply<Missing> {
        let manner = Manner { lane: Lane::Bulk, durability: Durability::Normal, intent: "ending a sweep", ..FULL_USER };
        self.ask_mirror(manner, move |mirror| sweeps::missing(mirror, &collection, sweep))
    }

    /// How the mirror differs from a window of the server's; changes nothing. Behind every page handed over before.
    pub fn compare_window(&self, window: KeyWindow) -> Reply<WindowDifference> {
        let manner =
            Manner { lane: Lane::Bulk, durability: Durability::Normal, intent: "comparing copies", ..FULL_USER };
        self.ask_mirror(manner, move |mirror| windows::compare(mirror, &window))
    }

    /// Writes a checkpoint that no rows come with, behind every page handed over before.
    pub fn keep_checkpoint(&self, collection: CollectionKey, checkpoint: String) -> Reply<()> {
        let manner =
            Manner { lane: Lane::Bulk, durability: Durability::Normal, intent: "keeping a position", ..FULL_USER };
        self.ask_mirror(manner, move |mirror| mirror.keep_checkpoint(&collection, &checkpoint))
    }

    /// Deletes what the sweep did not see, except `keep` and what has pending ops (answered); every deleted body goes to
    /// the vault first.
    pub fn finish_sweep(
        &self,
        collection: CollectionKey,
        sweep: i64,
        keep: HashSet<RecordId>,
        at: Timestamp,
    ) -> Reply<Applied> {
        let writers = match self.writers() {
            Ok(writers) => writers,
            Err(error) => return Reply::ready(Err(error)),
        };
        let (sender, receiver) = oneshot::channel();
        let sum = Applied { changed: Some(Vec::new()), ..Applied::default() };
        let sweep = Sweep { collection, sweep, keep: Arc::new(keep), at, sum, sender };
        sweep.go_on(&writers.mirror, Vec::new());
        Reply(receiver)
    }

    /// Acknowledgements (`FULL`, grouped): the reply comes when they are durable.
    pub fn acknowledge(&self, bases: Vec<NewBase>) -> Reply<()> {
        let manner = Manner { rows: bases.len(), intent: "storing an acknowledged record", ..FULL_ENGINE };
        if let Ok(writers) = self.writers() {
            writers.overtaken.note(&bases);
        }
        self.ask_mirror(manner, move |mirror| pages::acknowledge(mirror, &bases))
    }

    /// Publishes the leader's status rows (at most 2 a second).
    pub fn publish_status(&self, status: Vec<SourceStatus>) -> Reply<()> {
        let manner = Manner { intent: "publishing the status", durability: Durability::Normal, ..FULL_ENGINE };
        self.ask_mirror(manner, move |mirror| mirror.publish(&status))
    }

    /// Forgets a collection's rows and checkpoint, so that it is pulled again.
    pub fn forget(&self, collection: CollectionKey) -> Reply<()> {
        let manner = Manner { lane: Lane::Bulk, intent: "forgetting a collection", ..FULL_USER };
        self.ask_mirror(manner, move |mirror| mirror.forget(&collection))
    }

    /// Whether new rows wait for the search index, and a nudge to feed it (on idle).
    pub fn feed_search(&self) -> Reply<bool> {
        match self.writers() {
            Ok(writers) => writers.search.feed_now(),
            Err(error) => Reply::ready(Err(error)),
        }
    }
}

/// Rows one transaction deletes.
const PART: usize = 200;

/// A sweep's deletions, a part of 200 rows per transaction, so that acknowledgements go in between.
struct Sweep {
    collection: CollectionKey,
    sweep: i64,
    keep: Arc<HashSet<RecordId>>,
    at: Timestamp,
    sum: Applied,
    sender: oneshot::Sender<Result<Applied>>,
}

impl Sweep {
    fn go_on(mut self, mirror: &Writer<Mirror>, from: Vec<u8>) {
        let manner = Manner { lane: Lane::Bulk, rows: PART, intent: "deleting what a sweep did not find", ..FULL_USER };
        let (collection, number, keep, at) = (self.collection.clone(), self.sweep, Arc::clone(&self.keep), self.at);
        let again = mirror.clone();
        mirror.submit_then(
            manner,
            move |mirror| sweeps::finish_part(mirror, &collection, number, &keep, &from, PART, at),
            move |result| match result {
                Ok((part, next)) => {
                    self.sum.deleted += part.deleted;
                    self.sum.protected.extend(part.protected);
                    self.sum.changed = match (self.sum.changed.take(), part.changed) {
                        (Some(mut named), Some(more)) if named.len() + more.len() <= 1_000 => {
                            named.extend(more);
                            Some(named)
                        }
                        _ => None,
                    };
                    match next {
                        Some(next) => self.go_on(&again, next),
                        None => {
                            let _ = self.sender.send(Ok(self.sum));
                        }
                    }
                }
                Err(error) => {
                    let _ = self.sender.send(Err(error));
                }
            },
        );
    }
}
