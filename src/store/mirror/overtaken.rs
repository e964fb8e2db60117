//! Acknowledgements go ahead of pages that were handed over before them. What such a page holds of the same records was
//! read before the acknowledged write, so it must not cover the newer base.
//!
//! Each page that waits has a [`Ticket`]; an acknowledgement notes its records with every waiting page of the
//! collection, and the page leaves them out when its turn comes.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    model::ids::{CollectionKey, RecordId},
    store::NewBase,
};

#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Overtaken(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    pages: HashMap<u64, (CollectionKey, HashSet<RecordId>)>,
}

/// A page on its way to the writer; dropped with its request.
#[derive(Debug)]
pub(in crate::store) struct Ticket {
    number: u64,
    waiting: Overtaken,
}

impl Overtaken {
    pub fn enter(&self, collection: &CollectionKey) -> Ticket {
        let mut waiting = self.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.pages.insert(number, (collection.clone(), HashSet::new()));
        drop(waiting);
        Ticket { number, waiting: self.clone() }
    }

    /// Must be called before the acknowledgement is handed to the writer.
    pub fn note(&self, bases: &[NewBase]) {
        let mut waiting = self.lock();
        for (collection, ids) in waiting.pages.values_mut() {
            let own = bases.iter().filter(|base| base.record.collection == *collection);
            ids.extend(own.map(|base| base.record.id.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The records acknowledged since the page was handed over.
    pub fn newer(&self) -> HashSet<RecordId> {
        self.waiting.lock().pages.get(&self.number).map(|(_, ids)| ids.clone()).unwrap_or_default()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.waiting.lock().pages.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        model::{
            time::{At, Clock, Timestamp},
            wire::{RemoteChange, RemoteRecord},
        },
        store::{OpenMode, PullPage, Store},
    };

    struct Fixed;

    impl Clock for Fixed {
        fn at(&self) -> At {
            At::test(1)
        }
    }

    fn base(collection: &str, id: &str) -> NewBase {
        let record = CollectionKey::new("s", collection).record(id);
        NewBase { record, document: None, revision: None, found: false, at: Timestamp(0) }
    }

    #[test]
    fn a_page_knows_what_was_acknowledged_since_it_was_handed_over() {
        let overtaken = Overtaken::default();
        overtaken.note(&[base("a", "before")]);
        let page = overtaken.enter(&CollectionKey::new("s", "a"));
        overtaken.note(&[base("a", "after"), base("b", "elsewhere")]);
        assert_eq!(page.newer(), HashSet::from([RecordId::from("after")]));
        drop(page);
        assert!(overtaken.lock().pages.is_empty());
    }

    /// Other work holds the mirror, so that pages and acknowledgements queue up behind it.
    #[test]
    fn a_page_handed_over_before_an_acknowledgement_does_not_cover_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), OpenMode::ReadWrite, Arc::new(Fixed)).unwrap();
        let collection = CollectionKey::new("s", "a");
        let page = |old: &[&str]| PullPage {
            collection: collection.clone(),
            changes: old
                .iter()
                .map(|id| {
                    RemoteChange::Upsert(RemoteRecord { id: (*id).into(), revision: None, text: "\"old\"".into() })
                })
                .collect(),
            checkpoint: None,
            sweep: Some(1),
            stamps: None,
            at: Timestamp(1),
        };
        store.apply_page(page(&["r0", "changed", "deleted"])).wait().unwrap();
        let other = rusqlite::Connection::open(dir.path().join("mirror.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let pages = ["r1", "r2"].map(|id| store.apply_page(page(&[id, "changed", "deleted", "made"])));
        let base = |id: &str, document| NewBase { document, ..base("a", id) };
        let acknowledged = store.acknowledge(vec![
            base("changed", Some(json!("new"))),
            base("deleted", None),
            base("made", Some(json!("new"))),
        ]);
        other.execute_batch("COMMIT").unwrap();
        acknowledged.wait().unwrap();
        for page in pages {
            page.wait().unwrap();
        }
        let mut reader = store.reader().unwrap();
        let mut local = |id: &str| reader.record(&collection.record(id)).unwrap().local.as_deref().cloned();
        assert_eq!([local("changed"), local("deleted"), local("made")], [Some(json!("new")), None, Some(json!("new"))]);
        assert_eq!([local("r0"), local("r1"), local("r2")], std::array::from_fn(|_| Some(json!("old"))));
        store.acknowledge(vec![base("changed", Some(json!("newer")))]).wait().unwrap();
        store.apply_page(page(&["changed"])).wait().unwrap();
        let seen = store.reader().unwrap().record(&collection.record("changed")).unwrap().local.as_deref().cloned();
        assert_eq!(seen, Some(json!("old")), "a page handed over afterwards is news");
    }
}
