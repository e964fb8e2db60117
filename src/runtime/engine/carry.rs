//! One effect of the sync machine after the other, translated for the store and the remotes.

use std::{future::Future, sync::Arc};

use super::{
    EngineEvent,
    leader::{Answer, Leader},
    outbox::Question,
    reupload::reupload,
};
use crate::{
    model::{
        ids::{CollectionKey, RecordKey, SourceName},
        op::LateOriginal,
        sync_status::SourceStatus,
        time::At,
    },
    remote::Remote,
    store::{Applied, Claim, Known, NewBase, PullPage, Settle, StoreError},
    sync::{
        Effect, Event,
        effect::{BaseWrite, ClaimOp, PageWrite, SettleOp, Ticket},
        event::{AppliedPage, MissingRows, PageData},
    },
};

impl Leader {
    pub(super) fn carry_out(&mut self, at: &At, effect: Effect) {
        match effect {
            Effect::ReadOutbox { ticket, source, now, exclude, limit } => {
                let read = self.outbox.read(Question { source: source.clone(), now, exclude, limit });
                self.spawn(async move { Event::OutboxRead { ticket, source, result: read.await } });
            }
            Effect::Fetch { ticket, record } => {
                self.ask(&record.collection.source.clone(), async move |remote| {
                    let (result, exchange) = remote.fetch(&record).await;
                    Event::Fetched { ticket, record, result, exchange }
                });
            }
            Effect::Claim { ticket, claim } => self.claim(ticket, claim),
            Effect::Push { ticket, request } => {
                self.ask(&request.record.collection.source.clone(), async move |remote| {
                    let (answer, exchange) = remote.push(&request).await;
                    Event::Pushed { ticket, record: request.record.clone(), answer, exchange }
                });
            }
            Effect::StoreBase { ticket, base } => {
                let BaseWrite { record, document, revision, found, at } = Arc::unwrap_or_clone(base);
                let base = NewBase { record: record.clone(), document, revision, found, at };
                let reply = self.store.acknowledge(vec![base]);
                self.spawn(async move { Event::BaseStored { ticket, record, result: reply.await.map_err(words) } });
            }
            Effect::Settle { ticket, record, settles, guard } => self.settle(ticket, record, settles, guard),
            Effect::EndGuards { record, until } => {
                let reply = self.store.end_guards(record, until);
                tokio::spawn(async move {
                    if let Err(error) = reply.await {
                        tracing::warn!("a guard stays a little longer: {error}");
                    }
                });
            }
            Effect::ReleaseAuth { ticket, source } => {
                let reply = self.store.release_auth(source.clone());
                self.spawn(async move { Event::AuthReleased { ticket, source, result: reply.await.map_err(words) } });
            }
            Effect::KeepConflict { record, at } => {
                let reply = self.store.conflict_from_pull(record.clone(), None, None, at);
                // Its answer is no event: the look at the journal finds it too.
                self.changed = (true, true);
                tokio::spawn(async move {
                    if let Err(error) = reply.await {
                        tracing::warn!("the conflict of {record} could not be kept: {error}");
                    }
                });
            }
            Effect::ReadCheckpoint { ticket, collection } => {
                let result = self.reader.checkpoint(&collection).map_err(words);
                self.answer(Event::CheckpointRead { ticket, collection, result });
            }
            Effect::ReadKeys { ticket, collection } => {
                self.ask(&collection.source.clone(), async move |remote| {
                    let (result, exchange) = remote.keys(&collection.collection).await;
                    Event::KeysRead { ticket, collection, result, exchange }
                });
            }
            Effect::ReadPage { ticket, collection, after, limit } => {
                self.ask(&collection.source.clone(), async move |remote| {
                    let (result, exchange) = remote.page(&collection.collection, after.as_ref(), limit).await;
                    let result = result.map(|page| PageData { records: page.records, next: page.next });
                    Event::PageRead { ticket, collection, result, exchange }
                });
            }
            Effect::ReadDelta { ticket, collection, since, limit } => {
                self.ask(&collection.source.clone(), async move |remote| {
                    let (result, exchange) = remote.delta(&collection.collection, &since, limit).await;
                    let result = result.map(|page| PageData { records: page.records, next: page.next });
                    Event::PageRead { ticket, collection, result, exchange }
                });
            }
            Effect::ReadNewest { ticket, collection, until } => {
                self.ask(&collection.source.clone(), async move |remote| {
                    let (result, exchange) = remote.newest(&collection.collection, until).await;
                    let result = result.map(|page| PageData { records: page.records, next: page.next });
                    Event::PageRead { ticket, collection, result, exchange }
                });
            }
            Effect::ApplyPage { ticket, page } => self.apply_page(ticket, page),
            Effect::BeginSweep { collection, sweep } => {
                let reply = self.store.begin_sweep(collection, sweep);
                tokio::spawn(async move {
                    if let Err(error) = reply.await {
                        tracing::warn!("a sweep will not find what is gone: {error}");
                    }
                });
            }
            Effect::BuryVanished { ticket, collection, from, deleted, at } => {
                let reply = self.store.bury_vanished(collection.clone(), from, deleted, at);
                self.spawn(async move { Event::Buried { ticket, collection, result: reply.await.map_err(words) } });
            }
            Effect::ReadMissing { ticket, collection, sweep } => {
                let reply = self.store.missing(collection.clone(), sweep);
                self.spawn(async move {
                    let result = reply.await.map_err(words).map(|found| MissingRows {
                        missing: found.missing,
                        rows: found.rows,
                        sample: found.sample,
                        is_unproved: found.is_unproved,
                    });
                    Event::MissingRead { ticket, collection, result }
                });
            }
            Effect::KeepCheckpoint { ticket, collection, checkpoint } => {
                let reply = self.store.keep_checkpoint(collection.clone(), checkpoint);
                self.spawn(async move {
                    let result = reply.await.map(|()| AppliedPage::default()).map_err(words);
                    Event::PageApplied { ticket, collection, result }
                });
            }
            Effect::CompareWindow { ticket, window } => {
                let collection = window.collection.clone();
                let reply = self.store.compare_window(window);
                self.spawn(
                    async move { Event::WindowCompared { ticket, collection, result: reply.await.map_err(words) } },
                );
            }
            Effect::FinishSweep { ticket, collection, sweep, keep, at } => {
                let reply = self.store.finish_sweep(collection.clone(), sweep, keep, at);
                self.applied(ticket, collection, reply);
            }
            Effect::OpenFeed { ticket, collection, since } => {
                if let Some(remote) = self.remotes.get(&collection.source).cloned() {
                    self.feeds.open(ticket, collection, since, remote, self.answers.clone());
                }
            }
            Effect::NextOfFeed { ticket, .. } => self.feeds.ask(ticket),
            Effect::CloseFeed { ticket, .. } => self.feeds.close(ticket),
            Effect::Reupload { ticket, collection, stamp } => {
                let (store, clock) = (self.store.clone(), Arc::clone(&self.clock));
                self.ask(&collection.source.clone(), async move |remote| {
                    let result = reupload(&remote, store, clock, &collection, stamp).await;
                    Event::Reuploaded { ticket, collection, result }
                });
            }
            Effect::Probe { ticket, source } => {
                let known = self.accounts.get(&source).and_then(|account| account.principal.clone());
                let (store, now) = (self.store.clone(), at.wall);
                self.ask(&source.clone(), async move |remote| {
                    let (probe, exchange) = remote.probe().await;
                    // Written before the lane opens: whose edits may go is decided by it.
                    if probe.result.is_ok()
                        && let Some(principal) =
                            remote.principal().filter(|principal| Some(principal) != known.as_ref())
                        && let Err(error) = store.sign_in(source.clone(), principal, now).await
                    {
                        tracing::warn!("who is signed in could not be written down: {error}");
                    }
                    Event::Probed { ticket, source, result: probe.result, chain: probe.chain, exchange }
                });
            }
            Effect::ForgetCredentials { source } => {
                if let Some(remote) = self.remotes.get(&source) {
                    remote.forget_credentials();
                }
            }
            Effect::Log(activity) => {
                let reply = self.store.log(vec![activity.clone()]);
                tokio::spawn(async move {
                    if let Err(error) = reply.await {
                        tracing::warn!("the activity log cannot be written: {error}");
                    }
                });
                (self.report)(EngineEvent::Activity(activity));
            }
            Effect::SaveSpent(rows) => {
                let reply = self.store.add_spent(rows);
                tokio::spawn(async move {
                    if let Err(error) = reply.await {
                        tracing::warn!("the bytes of today cannot be written: {error}");
                    }
                });
            }
            Effect::Publish(statuses) => self.publish(statuses),
            Effect::Idle => {
                // What changed is told before rest is declared.
                self.tell(at, true);
                (self.report)(EngineEvent::Idle);
            }
        }
    }

    pub(super) fn publish(&mut self, mut statuses: Vec<SourceStatus>) {
        for status in &mut statuses {
            status.account = self.accounts.get(&status.source).cloned().unwrap_or_default();
        }
        self.published.clone_from(&statuses);
        let reply = self.store.publish_status(statuses.clone());
        tokio::spawn(async move {
            if let Err(error) = reply.await {
                tracing::warn!("the status cannot be published: {error}");
            }
        });
        (self.report)(EngineEvent::Status(statuses));
    }

    fn answer(&self, event: Event) {
        self.answers.send(Answer::Event(Box::new(event)));
    }

    fn spawn(&self, work: impl Future<Output = Event> + Send + 'static) {
        let answers = self.answers.clone();
        tokio::spawn(async move {
            answers.send(Answer::Event(Box::new(work.await)));
        });
    }

    /// Runs a request of a source's client as a task.
    fn ask<F>(&self, source: &SourceName, ask: impl FnOnce(Remote) -> F)
    where
        F: Future<Output = Event> + Send + 'static,
    {
        match self.remotes.get(source) {
            Some(remote) => self.spawn(ask(remote.clone())),
            None => tracing::error!("a source without a client was asked: {source}"),
        }
    }

    fn claim(&mut self, ticket: Ticket, claim: ClaimOp) {
        let record = claim.request.record.clone();
        let Some(remote) = self.remotes.get(&record.collection.source) else { return };
        let claim = Claim {
            head: claim.head,
            absorbs: claim.absorbs,
            known: Some(Known { base_revision: claim.base_revision }),
            kind: claim.request.kind,
            request_hash: remote.request_hash(&claim.request),
            sent_document: claim.request.document.clone(),
            precondition: claim.request.precondition.clone(),
            at: claim.at,
        };
        let reply = self.store.claim(claim);
        self.spawn(async move { Event::Claimed { ticket, record, result: reply.await.map_err(words) } });
    }

    fn settle(&mut self, ticket: Ticket, record: RecordKey, settles: Vec<SettleOp>, mut guard: Option<LateOriginal>) {
        let replies: Vec<_> = settles
            .into_iter()
            .map(|settle| {
                let settle = Settle { seq: settle.seq, joins: settle.joins, outcome: settle.outcome, at: settle.at };
                match guard.take() {
                    Some(guard) => self.store.settle_guarded(settle, guard),
                    None => self.store.settle(settle),
                }
            })
            .collect();
        self.spawn(async move {
            let mut result = Ok(());
            for reply in replies {
                // A user's command that came between is no reason to try for ever: the outbox is read again.
                let settled = match reply.await {
                    Err(StoreError::Refused(why)) => {
                        tracing::info!("an outcome met another state: {why}");
                        Ok(())
                    }
                    other => other.map_err(words),
                };
                result = result.and(settled);
            }
            Event::Settled { ticket, record, result }
        });
    }

    fn apply_page(&self, ticket: Ticket, page: PageWrite) {
        let collection = page.collection.clone();
        let reply = self.store.apply_page(PullPage {
            collection: page.collection,
            changes: page.changes,
            checkpoint: page.checkpoint,
            sweep: page.sweep,
            stamps: page.stamps,
            at: page.at,
        });
        self.applied(ticket, collection, reply);
    }

    fn applied(&self, ticket: Ticket, collection: CollectionKey, reply: crate::store::Reply<Applied>) {
        let answers = self.answers.clone();
        tokio::spawn(async move {
            let result = reply.await.map_err(words);
            answers.send(Answer::Applied { ticket, collection, result });
        });
    }

    /// What an applied page means to the machine: which vanished records live on because of an op, and of which kind.
    pub(super) fn explain(&mut self, collection: &CollectionKey, applied: Applied) -> AppliedPage {
        let stays = !applied.protected.is_empty();
        let mut kept = Vec::new();
        for id in applied.protected {
            let key = collection.record(id);
            match self.reader.shown(&key) {
                Ok(view) => kept.extend(view.ops.first().map(|op| (key, op.kind))),
                Err(error) => tracing::warn!("{key} cannot be read: {error}"),
            }
        }
        AppliedPage {
            inserted: applied.inserted,
            updated: applied.updated,
            unchanged: applied.unchanged,
            deleted: applied.deleted,
            changed: applied.changed.unwrap_or_default().into_iter().take(100).collect(),
            vanished: kept,
            stays,
            held: applied.held,
            set_back: applied.set_back,
        }
    }
}

pub(super) fn words(error: StoreError) -> String {
    error.to_string()
}
