//! Pull pages and acknowledgements: how a server copy becomes a row, and when it is the row that is there already.
//!
//! Idempotent by the value of the text. It is compared as it is first, so that nothing is parsed for a page that repeats
//! what is known.
//!
//! ## Why the same revision is not enough
//!
//! A row that was damaged stands beside the revision it had. Only its content tells, and what is fetched to heal it
//! must not look known.

use std::collections::HashSet;

use rusqlite::OptionalExtension;
use serde_json::Value;

use crate::{
    model::{
        ids::{CollectionKey, RecordId, Revision},
        json,
        time::Timestamp,
        wire::{RemoteChange, RemoteRecord, Stamps},
    },
    store::{
        Applied, NewBase, PullPage,
        error::{Result, StoreError},
        journal::{
            drafts,
            vault::{self, VaultReason},
        },
        keys,
        mirror::{Mirror, Watch, sweeps},
        writer::{Durability, Lane, Manner},
    },
};

/// Changed records named in an answer at most.
const NAMED: usize = 1_000;

enum Wrote {
    Inserted,
    Updated,
    Unchanged,
    /// Left out: its stamp went back.
    Held,
    /// Written although its stamp went back; this was here.
    SetBack(Burial),
}

/// `newer` are records acknowledged since the page was handed over: the page is older than what is there.
pub(in crate::store) fn apply(mirror: &Mirror, page: &PullPage, newer: &HashSet<RecordId>) -> Result<Applied> {
    let collection = mirror.collection(&page.collection)?;
    let watch = mirror.watch(&page.collection)?;
    let sweep = match page.sweep {
        Some(sweep) if sweeps::is_current(mirror, collection, sweep)? => Some(sweep),
        _ => None,
    };
    let mut applied = Applied { changed: Some(Vec::new()), ..Applied::default() };
    let mut doomed = Vec::new();
    for change in &page.changes {
        let (RemoteChange::Upsert(RemoteRecord { id, .. }) | RemoteChange::Tombstone { id }) = change;
        if newer.contains(id) {
            applied.unchanged += 1;
            if let Some(sweep) = sweep {
                sweeps::see(mirror, collection, sweep, &keys::of(id))?;
            }
            continue;
        }
        match change {
            RemoteChange::Upsert(record) => {
                let key = keys::of(&record.id);
                let wrote = upsert(mirror, collection, &key, record, page.stamps.as_ref(), page.at.0)?;
                match wrote {
                    Wrote::Inserted => applied.inserted += 1,
                    Wrote::Updated => applied.updated += 1,
                    Wrote::Unchanged => {
                        applied.unchanged += 1;
                        if let Some(sweep) = sweep {
                            sweeps::see(mirror, collection, sweep, &key)?;
                        }
                        continue;
                    }
                    Wrote::Held => {
                        applied.held.push(record.clone());
                        if let Some(sweep) = sweep {
                            sweeps::see(mirror, collection, sweep, &key)?;
                        }
                        continue;
                    }
                    Wrote::SetBack(burial) => {
                        applied.updated += 1;
                        applied.set_back += 1;
                        doomed.push(burial);
                    }
                }
                watch.moved(&key, &record.id)?;
                name(&mut applied, &record.id);
            }
            RemoteChange::Tombstone { id } => {
                let key = keys::of(id);
                let Some(row) = mirror.row(collection, &key)? else { continue };
                if watch.protects(&key)? {
                    mirror.keep_vanished(row.change, page.at)?;
                    applied.protected.push(id.clone());
                    continue;
                }
                // In the order of the page: what comes after a tombstone is a new record.
                mirror.remove(row.change)?;
                applied.deleted += 1;
                name(&mut applied, id);
                doomed.push(Burial { id: id.clone(), revision: row.revision, body: row.body, gone: true });
            }
        }
    }
    // Durable in the vault before this transaction commits.
    bury_all(mirror, &page.collection, &doomed, page.at)?;
    let grown = i64::try_from(applied.inserted).unwrap_or(0) - i64::try_from(applied.deleted).unwrap_or(0);
    mirror.count(collection, grown)?;
    mirror
        .connection
        .prepare_cached("UPDATE collections SET checkpoint = coalesce(?2, checkpoint), last_pull = ?3 WHERE id = ?1")?
        .execute((collection, &page.checkpoint, page.at.0))?;
    mirror.keep_change()?;
    Ok(applied)
}

fn name(applied: &mut Applied, id: &RecordId) {
    match &mut applied.changed {
        Some(named) if named.len() < NAMED => named.push(id.clone()),
        named => *named = None,
    }
}

fn upsert(
    mirror: &Mirror,
    collection: i64,
    key: &[u8],
    record: &RemoteRecord,
    stamps: Option<&Stamps>,
    at: i64,
) -> Result<Wrote> {
    let revision = record.revision.as_ref().map(Revision::as_str);
    // Most rows of a backfill are new: try that first, it needs no look before.
    if mirror.insert(collection, key, record.id.as_str(), revision, at, &record.text)? {
        return Ok(Wrote::Inserted);
    }
    let row = mirror.row(collection, key)?.ok_or_else(|| StoreError::Refused("a row vanished".to_owned()))?;
    if is_same(&row.body, &record.text) {
        mirror.found(row.change)?;
        if revision.is_some() && row.revision.as_deref() != revision {
            mirror
                .connection
                .prepare_cached("UPDATE records SET revision = ?2 WHERE change = ?1")?
                .execute((row.change, revision))?;
        }
        return Ok(Wrote::Unchanged);
    }
    let set_back = stamps.filter(|stamps| stamps.went_back(&row.body, &record.text));
    if set_back.is_some_and(|stamps| stamps.hold) {
        mirror.found(row.change)?;
        return Ok(Wrote::Held);
    }
    mirror.remove(row.change)?;
    mirror.insert(collection, key, record.id.as_str(), revision, at, &record.text)?;
    Ok(match set_back {
        Some(_) => {
            Wrote::SetBack(Burial { id: record.id.clone(), revision: row.revision, body: row.body, gone: false })
        }
        None => Wrote::Updated,
    })
}

/// True where both texts say the same.
pub(in crate::store) fn is_same(here: &str, there: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<Value>(text).ok();
    here == there || matches!((value(here), value(there)), (Some(here), Some(there)) if json::same_value(&here, &there))
}

/// A body on its way to the vault.
#[derive(Clone)]
pub(in crate::store) struct Burial {
    pub id: RecordId,
    pub revision: Option<String>,
    pub body: String,
    /// The record is gone; else an older copy took its place.
    pub gone: bool,
}

/// Puts bodies that are being deleted into the vault. The journal's writer never waits for the mirror's, so waiting for it here cannot lock up.
pub(in crate::store) fn bury_all(
    mirror: &Mirror,
    collection: &CollectionKey,
    bodies: &[Burial],
    at: Timestamp,
) -> Result<()> {
    for part in bodies.chunks(50) {
        let (collection, part) = (collection.clone(), part.to_vec());
        let manner = Manner {
            lane: Lane::Engine,
            durability: Durability::Full,
            hurry: false,
            rows: part.len() * 2,
            bytes: part.iter().map(|burial| burial.body.len()).sum(),
            intent: "keeping deleted records in the vault",
        };
        mirror
            .journal
            .submit(manner, move |journal| {
                for burial in &part {
                    let record = collection.record(burial.id.clone());
                    let place = journal.place(&record)?;
                    vault::keep(
                        journal,
                        &place,
                        &burial.body,
                        burial.revision.as_deref(),
                        VaultReason::RemovedByPull,
                        at,
                    )?;
                    if burial.gone {
                        drafts::note_vanished(journal, &place, &record, at)?;
                    }
                }
                Ok(())
            })
            .wait()?;
    }
    Ok(())
}

/// New bases after answers to our own writes. The settle that follows brings the record's shadow along; until then
/// readers see by its number that the base is another.
pub(in crate::store) fn acknowledge(mirror: &Mirror, bases: &[NewBase]) -> Result<()> {
    for base in bases {
        let collection = mirror.collection(&base.record.collection)?;
        store_base(mirror, None, collection, base)?;
    }
    mirror.keep_change()
}

fn store_base(mirror: &Mirror, watch: Option<&Watch<'_>>, collection: i64, base: &NewBase) -> Result<()> {
    let key = keys::of(&base.record.id);
    let moved = |key: &[u8]| watch.map_or(Ok(()), |watch| watch.moved(key, &base.record.id));
    let row = mirror.row(collection, &key)?;
    let Some(document) = &base.document else {
        if let Some(row) = row {
            if base.found {
                let body = Burial { id: base.record.id.clone(), revision: row.revision, body: row.body, gone: true };
                bury_all(mirror, &base.record.collection, &[body], base.at)?;
            }
            mirror.remove(row.change)?;
            mirror.count(collection, -1)?;
            moved(&key)?;
        }
        return Ok(());
    };
    let record =
        RemoteRecord { id: base.record.id.clone(), revision: base.revision.clone(), text: document.to_string() };
    if let Some(row) = &row
        && serde_json::from_str::<Value>(&row.body).is_ok_and(|there| json::same_value(&there, document))
    {
        // The same value: the server's own text stays, the revision is the new one (or is not known any more).
        mirror
            .connection
            .prepare_cached("UPDATE records SET revision = ?2, received_at = ?3 WHERE change = ?1")?
            .execute((row.change, base.revision.as_ref().map(Revision::as_str), base.at.0))?;
        // An answer to a write of ours, not what a conflict remembers: the server has the row.
        return match watch {
            None => mirror.found(row.change).and_then(|()| sweeps::see_always(mirror, collection, &key)),
            Some(_) => Ok(()),
        };
    }
    // A revision that stands on another text than ours must not make the row look unchanged.
    if let Some(row) = row {
        mirror.remove(row.change)?;
        mirror.count(collection, -1)?;
    }
    upsert(mirror, collection, &key, &record, None, base.at.0)?;
    mirror.count(collection, 1)?;
    moved(&key)
}

/// Before a resolution: the server's side of the conflict becomes the base, unless something newer is known of it.
pub(in crate::store) fn take_theirs(mirror: &Mirror, conflict: i64) -> Result<()> {
    let Some(conflict) = mirror.conflict(conflict)?.filter(|conflict| conflict.resolved_at.is_none()) else {
        return Ok(());
    };
    let collection = mirror.collection(&conflict.record.collection)?;
    // What the conflict was found with is in the mirror since then, or something newer is. Only a deletion is taken when it
    // is decided.
    let is_gone: Option<bool> = mirror
        .connection
        .prepare_cached(
            "SELECT v.change IS NOT NULL FROM records r LEFT JOIN vanished v ON v.change = r.change \
             WHERE r.collection = ?1 AND r.key = ?2",
        )?
        .query_row((collection, keys::of(&conflict.record.id)), |row| row.get(0))
        .optional()?;
    if is_gone.is_some_and(|is_gone| conflict.theirs.is_some() || !is_gone) {
        return Ok(());
    }
    let base = NewBase {
        record: conflict.record,
        document: conflict.theirs,
        revision: conflict.theirs_revision,
        found: false,
        at: conflict.detected_at,
    };
    let watch = mirror.watch(&base.record.collection)?;
    store_base(mirror, Some(&watch), collection, &base)?;
    mirror.keep_change()
}
