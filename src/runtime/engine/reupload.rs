//! The answer "upload mine again" to a guard: what is here is queued as new edits of what the server shows.

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::carry::words;
use crate::{
    model::{
        edit,
        ids::{CollectionKey, OpId, RecordId, Revision},
        json::Pointer,
        op::{NewOp, OpKind},
        query::{Anchor, Filter, ListQuery, Sort},
        time::{At, Clock},
        wire::{RemoteChange, Stamps},
    },
    remote::Remote,
    store::{PullPage, Reader, Store, StoreError},
};

/// Records read and queued at once.
const WINDOW: usize = 500;

/// Queues a create for every row that is here and not there and, where a stamp tells, an update for what is older there.
pub(super) async fn reupload(
    remote: &Remote,
    store: Store,
    clock: Arc<dyn Clock>,
    collection: &CollectionKey,
    stamp: Option<Pointer>,
) -> Result<u64, String> {
    let older = match stamp {
        Some(field) => {
            let stamps = Stamps { field, hold: false };
            renew(remote, &store, clock.as_ref(), collection, &stamps).await?
        }
        None => 0,
    };
    let (keys, _) = remote.keys(&collection.collection).await;
    let there: HashSet<RecordId> =
        keys.map_err(|_| "the keys of the collection could not be read".to_owned())?.into_iter().collect();
    let (reading, key, author) = (store.clone(), collection.clone(), remote.principal().unwrap_or_default());
    let ops = tokio::task::spawn_blocking(move || {
        let at = clock.at();
        missing_there(&mut reading.reader()?, &key, &there, &at, &author)
    });
    let ops = ops.await.map_err(|error| error.to_string())?.map_err(words)?;
    let queued = store.queue_beside(ops).await.map_err(words)?;
    Ok(older + queued.len() as u64)
}

/// Queues an update for every record that is older there than here, window by window. The edits are on disk before the
/// server's versions take their place in the mirror: a kill in between loses nothing, the guard asks again.
async fn renew(
    remote: &Remote,
    store: &Store,
    clock: &dyn Clock,
    collection: &CollectionKey,
    stamps: &Stamps,
) -> Result<u64, String> {
    let author = remote.principal().unwrap_or_default();
    let mut reader = store.reader().map_err(words)?;
    let (mut after, mut count) = (None, 0);
    loop {
        let (page, _) = remote.page(&collection.collection, after.as_ref(), WINDOW).await;
        let page = page.map_err(|_| "the records of the collection could not be read".to_owned())?;
        let at = clock.at();
        let (mut ops, mut changes) = (Vec::new(), Vec::new());
        for there in page.records {
            let view = reader.shown(&collection.record(there.id.clone())).map_err(words)?;
            // What has a pending edit goes its own way.
            let (Some(base), true) = (view.base, view.ops.is_empty()) else { continue };
            if !stamps.went_back(base.document.text(), &there.text) {
                continue;
            }
            let Ok(theirs) = serde_json::from_str::<serde_json::Value>(&there.text) else { continue };
            ops.push(NewOp {
                op_id: OpId::new(&apart(&at, ops.len())),
                record: view.key,
                kind: OpKind::Update,
                changes: edit::diff(Some(&theirs), Some(&base.document)),
                document: Some(base.document.into_value()),
                base: Some(theirs),
                base_revision: there.revision.clone(),
                created_at: at.wall,
                author: author.clone(),
            });
            changes.push(RemoteChange::Upsert(there));
        }
        if !ops.is_empty() {
            count += store.queue_beside(ops).await.map_err(words)?.len() as u64;
            let page = PullPage {
                collection: collection.clone(),
                changes,
                checkpoint: None,
                sweep: None,
                stamps: Some(stamps.clone()),
                at: at.wall,
            };
            store.apply_page(page).await.map_err(words)?;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(count),
        }
    }
}

/// The instant with other random bits, for the ids of many ops made at once.
fn apart(at: &At, number: usize) -> At {
    let mut own = *at;
    own.entropy.iter_mut().zip(number.to_be_bytes()).for_each(|(byte, salt)| *byte ^= salt);
    own
}

fn missing_there(
    reader: &mut Reader,
    collection: &CollectionKey,
    there: &HashSet<RecordId>,
    at: &At,
    author: &str,
) -> Result<Vec<NewOp>, StoreError> {
    let query = ListQuery {
        collection: collection.clone(),
        columns: Vec::new(),
        filter: Filter::default(),
        sort: Sort::default(),
    };
    let mut anchor = Anchor::First;
    let mut ops = Vec::new();
    loop {
        let window = reader.window(&query, &anchor, 500, Duration::from_secs(60))?;
        for row in window.rows.iter().filter(|row| !there.contains(&row.id)) {
            let view = reader.shown(&collection.record(row.id.clone()))?;
            // What has a pending edit goes its own way.
            let (Some(base), true) = (view.base, view.ops.is_empty()) else { continue };
            ops.push(NewOp {
                op_id: OpId::new(&apart(at, ops.len())),
                record: view.key,
                kind: OpKind::Create,
                changes: edit::diff(None, Some(&base.document)),
                document: Some(base.document.into_value()),
                base: None,
                base_revision: Some(Revision::of_what_was_there()),
                created_at: at.wall,
                author: author.to_owned(),
            });
        }
        match window.rows.last() {
            Some(last) if !window.at_end => anchor = Anchor::After(last.id.clone()),
            _ => return Ok(ops),
        }
    }
}
