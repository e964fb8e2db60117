//! One effect of the sync machine after the other, as the runtime carries them out.

use std::sync::Arc;

use ebbtide::sync::{Effect, Event, event::AppliedPage};

use crate::world::{Happening, World};

impl World<'_> {
    pub fn carry_out(&mut self, client: usize, effect: Effect) {
        match effect {
            Effect::Log(activity) => self.note(client, || format!("says {}", activity.text)),
            Effect::Publish(_) | Effect::SaveSpent(_) | Effect::Idle => {}
            Effect::ForgetCredentials { .. } => self.clients[client].line.is_expired = false,
            Effect::Push { ticket, request } => self.send(client, ticket, Arc::unwrap_or_clone(request)),
            Effect::Fetch { .. }
            | Effect::ReadKeys { .. }
            | Effect::ReadPage { .. }
            | Effect::ReadDelta { .. }
            | Effect::ReadNewest { .. }
            | Effect::OpenFeed { .. }
            | Effect::Reupload { .. }
            | Effect::Probe { .. } => {
                let delay = self.dice(client).between(1, 60);
                let fault = self.meets(client);
                self.note(client, || match fault {
                    None => format!("asks {effect:?}"),
                    Some(fault) => format!("asks {effect:?}, and meets {fault:?}"),
                });
                self.later(client, delay, Happening::Read(effect, fault));
            }
            Effect::NextOfFeed { ticket, .. } => {
                if let Some(feed) = self.clients[client].feeds.get_mut(&ticket) {
                    feed.asked = true;
                }
                self.serve_feeds();
            }
            Effect::CloseFeed { ticket, .. } => {
                self.clients[client].feeds.remove(&ticket);
            }
            // Read beside everything else, on a connection of its own.
            Effect::ReadOutbox { .. } => {
                let delay = self.dice(client).between(0, 2);
                self.later(client, delay, Happening::Store(effect));
            }
            // The runtime reads at once.
            Effect::ReadCheckpoint { ticket, collection } => {
                let found = self.clients[client].disk.reader().checkpoint(&collection).map_err(|e| e.to_string());
                self.later(client, 0, Happening::Deliver(Event::CheckpointRead { ticket, collection, result: found }));
            }
            Effect::StoreBase { .. }
            | Effect::ApplyPage { .. }
            | Effect::BeginSweep { .. }
            | Effect::BuryVanished { .. }
            | Effect::ReadMissing { .. }
            | Effect::KeepCheckpoint { .. }
            | Effect::CompareWindow { .. }
            | Effect::FinishSweep { .. } => self.hand_over(client, effect, true),
            Effect::Claim { .. }
            | Effect::Settle { .. }
            | Effect::EndGuards { .. }
            | Effect::ReleaseAuth { .. }
            | Effect::KeepConflict { .. } => {
                self.hand_over(client, effect, false);
            }
        }
    }

    fn hand_over(&mut self, client: usize, effect: Effect, mirror: bool) {
        let takes = self.dice(client).between(1, 4);
        let known = &mut self.clients[client];
        let free_at = if mirror { &mut known.mirror_free_at } else { &mut known.journal_free_at };
        *free_at = (*free_at).max(self.now) + takes;
        let delay = *free_at - self.now;
        self.later(client, delay, Happening::Store(effect));
    }

    /// A thread of the store gets to a request.
    pub fn store(&mut self, client: usize, effect: Effect) {
        if let Effect::ReadOutbox { ticket, source, now, exclude, limit } = effect {
            let slice = self.clients[client].disk.read_outbox(&source, now, &exclude, limit);
            return self.handle(client, Event::OutboxRead { ticket, source, result: Ok(slice) });
        }
        self.stirred = true;
        self.clients[client].moved = true;
        self.at(client);
        let event = match effect {
            Effect::Claim { ticket, claim } => self.claim(client, ticket, claim),
            Effect::StoreBase { ticket, base } => {
                let id = base.record.id.clone();
                let stored = base.record.clone();
                let result = self.clients[client].disk.store_base(Arc::unwrap_or_clone(base));
                self.check_record(client, &id, "after a new base");
                Event::BaseStored { ticket, record: stored, result }
            }
            Effect::Settle { ticket, record, settles, guard } => self.settle(client, ticket, record, settles, guard),
            Effect::EndGuards { record, until } => {
                let ended = self.clients[client].disk.store().end_guards(record, until).wait();
                if let Err(error) = ended {
                    self.breaks(format!("store: {error}"));
                }
                return;
            }
            Effect::ReleaseAuth { ticket, source } => {
                let result = self.clients[client].disk.store().release_auth(source.clone()).wait();
                Event::AuthReleased { ticket, source, result: result.map_err(|error| error.to_string()) }
            }
            Effect::KeepConflict { record, at } => {
                let id = record.id.clone();
                let kept = self.clients[client].disk.store().conflict_from_pull(record, None, None, at).wait();
                if let Err(error) = kept {
                    self.breaks(format!("store: {error}"));
                }
                return self.check_record(client, &id, "after a conflict was kept");
            }
            Effect::ApplyPage { ticket, page } => {
                let collection = page.collection.clone();
                let checkpoint = page.checkpoint.clone().unwrap_or_default();
                self.note(client, || format!("applies {} changes, {checkpoint}", page.changes.len()));
                let pending = self.clients[client].disk.pending_count();
                let held = self.clients[client].disk.held_against(&page);
                let result = self.clients[client].disk.apply_page(page);
                if let Some(id) =
                    held.iter().find(|id| self.clients[client].disk.look(&collection.record((*id).clone())).1.is_none())
                {
                    self.breaks(format!("I2: a pull of client {client} deleted {id}, which has pending edits"));
                }
                self.check_page(client, pending);
                Event::PageApplied { ticket, collection, result }
            }
            Effect::BeginSweep { collection, sweep } => {
                if let Err(error) = self.clients[client].disk.store().begin_sweep(collection, sweep).wait() {
                    self.breaks(format!("store: {error}"));
                }
                return;
            }
            Effect::BuryVanished { ticket, collection, from, deleted, at } => {
                let pending = self.clients[client].disk.pending_count();
                let rows = self.clients[client].disk.rows(&collection);
                let asked = self.clients[client].disk.store().bury_vanished(collection.clone(), from, deleted, at);
                let result = asked.wait();
                self.note(client, || format!("buries what vanished: {result:?}"));
                self.check_deletion(client, rows, result.as_ref().map_or(0, |buried| buried.deleted));
                self.check_page(client, pending);
                Event::Buried { ticket, collection, result: result.map_err(|error| error.to_string()) }
            }
            Effect::ReadMissing { ticket, collection, sweep } => {
                let result = self.clients[client].disk.missing(collection.clone(), sweep);
                Event::MissingRead { ticket, collection, result }
            }
            Effect::KeepCheckpoint { ticket, collection, checkpoint } => {
                let kept = self.clients[client].disk.store().keep_checkpoint(collection.clone(), checkpoint).wait();
                let result = kept.map(|()| AppliedPage::default()).map_err(|error| error.to_string());
                Event::PageApplied { ticket, collection, result }
            }
            Effect::CompareWindow { ticket, window } => {
                let collection = window.collection.clone();
                let result = self.clients[client].disk.store().compare_window(window).wait();
                Event::WindowCompared { ticket, collection, result: result.map_err(|error| error.to_string()) }
            }
            Effect::FinishSweep { ticket, collection, sweep, keep, at } => {
                let pending = self.clients[client].disk.pending_count();
                let rows = self.clients[client].disk.rows(&collection);
                let result = self.clients[client].disk.finish_sweep(&collection, sweep, keep, at);
                self.check_deletion(client, rows, result.as_ref().map_or(0, |applied| applied.deleted));
                self.check_page(client, pending);
                Event::PageApplied { ticket, collection, result }
            }
            other => return self.breaks(format!("an effect that is not for the store: {other:?}")),
        };
        self.later(client, 0, Happening::Deliver(event));
    }
}
