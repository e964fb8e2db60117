//! Rows that are gone on the server and stay here for the sake of pending edits. Where the edits end without having been
//! sent (discarded, or made and deleted again), nobody would tell of such a row any more: the mirror is asked to delete
//! what nothing holds.

use std::time::Duration;

use super::Pull;
use crate::{
    model::record::Buried,
    sync::{
        effect::{Effect, Ticket},
        event::StoreResult,
        lane::Cx,
    },
};

/// A server that lost everything leaves as many rows as were uploaded again: they are not looked through with each.
const EVERY: Duration = Duration::from_secs(1);

/// At first nothing is known of what runs before this one have left.
pub(super) struct Vanished {
    /// There may be some.
    stays: bool,
    /// Edits of some may have ended since the mirror was asked.
    wanted: bool,
    asked: Option<Ticket>,
    not_before: Duration,
}

impl Default for Vanished {
    fn default() -> Self {
        Self { stays: true, wanted: true, asked: None, not_before: Duration::ZERO }
    }
}

impl Vanished {
    pub(super) fn wake_at(&self) -> Option<Duration> {
        (self.wanted && self.asked.is_none()).then_some(self.not_before)
    }

    /// A reading met rows that are gone there and have pending edits here.
    pub(super) fn kept(&mut self) {
        (self.stays, self.wanted) = (true, true);
    }
}

impl Pull {
    /// Ops left the outbox, or may have.
    pub(in crate::sync) fn ops_ended(&mut self) {
        self.vanished.wanted |= self.vanished.stays;
    }

    pub(super) fn bury_vanished(&mut self, cx: &mut Cx<'_>) {
        if self.vanished.wake_at().is_none_or(|at| at > cx.at.mono) {
            return;
        }
        let ticket = cx.ticket();
        cx.out.push(Effect::BuryVanished { ticket, collection: self.key.clone(), at: cx.at.wall });
        (self.vanished.wanted, self.vanished.asked) = (false, Some(ticket));
        self.vanished.not_before = cx.at.mono + EVERY;
    }

    pub(in crate::sync) fn buried(&mut self, cx: &mut Cx<'_>, ticket: Ticket, result: StoreResult<Buried>) {
        let Some(_) = self.vanished.asked.take_if(|expected| *expected == ticket) else { return };
        match result {
            Ok(buried) => {
                self.vanished.stays = buried.stays || buried.more || self.vanished.wanted;
                if buried.more {
                    (self.vanished.wanted, self.vanished.not_before) = (true, cx.at.mono);
                }
                self.rows = self.rows.saturating_sub(buried.deleted);
                if self.is_followed() {
                    (self.shown.done, self.shown.total) = (self.rows, Some(self.rows));
                }
            }
            // Asked again: whoever waits for the store says that it cannot be written.
            Err(_) => self.vanished.wanted = true,
        }
    }
}
