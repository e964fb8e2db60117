//! Rows that are gone on the server and stay here for the sake of pending edits. Where the edits end without having been
//! sent (discarded, or made and deleted again), nobody would tell of such a row any more: the mirror is asked to delete
//! what nothing holds.
//!
//! A few go at once. Of more, another reading is made: where they are still gone, its guard asks.

use std::time::Duration;

use super::{Mode, Pull, Stage};
use crate::{
    model::record::Buried,
    sync::{
        effect::{Effect, Ticket},
        event::StoreResult,
        lane::Cx,
    },
};

/// They are not looked through with each edit: a server that lost everything leaves as many as were uploaded again.
const EVERY: Duration = Duration::from_secs(1);
/// The mirror has other work: so many times as long as it took, it is not asked again.
const SHARE: u32 = 10;

/// How long a reading has that is made because of very many.
const AFTER_MANY: Duration = Duration::from_secs(60);

/// At first nothing is known of what runs before this one have left.
pub(super) struct Vanished {
    /// There may be some.
    stays: bool,
    /// Edits of some may have ended since they were looked through last.
    wanted: bool,
    pass: Option<Pass>,
    not_before: Duration,
}

/// One look at all of them, in parts.
struct Pass {
    ticket: Ticket,
    since: Duration,
    stays: bool,
    deleted: u64,
}

impl Default for Vanished {
    fn default() -> Self {
        Self { stays: true, wanted: true, pass: None, not_before: Duration::ZERO }
    }
}

impl Vanished {
    pub(super) fn wake_at(&self) -> Option<Duration> {
        (self.wanted && self.pass.is_none()).then_some(self.not_before)
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

    /// While somebody is asked about the collection, or has said that it is to be left as it is, nothing of it is deleted.
    pub(super) fn may_bury(&self) -> bool {
        self.is_known && !matches!(self.stage, Stage::Stopped | Stage::Detached | Stage::Reuploading(_))
    }

    pub(super) fn bury_vanished(&mut self, cx: &mut Cx<'_>) {
        if !self.may_bury() || self.vanished.wake_at().is_none_or(|at| at > cx.at.mono) {
            return;
        }
        self.vanished.wanted = false;
        self.bury_from(cx, 0, Pass { ticket: Ticket(0), since: cx.at.mono, stays: false, deleted: 0 });
    }

    fn bury_from(&mut self, cx: &mut Cx<'_>, from: i64, pass: Pass) {
        let (ticket, deleted) = (cx.ticket(), pass.deleted);
        cx.out.push(Effect::BuryVanished { ticket, collection: self.key.clone(), from, deleted, at: cx.at.wall });
        self.vanished.pass = Some(Pass { ticket, ..pass });
    }

    pub(in crate::sync) fn buried(&mut self, cx: &mut Cx<'_>, ticket: Ticket, result: StoreResult<Buried>) {
        let Some(mut pass) = self.vanished.pass.take_if(|pass| pass.ticket == ticket) else { return };
        let took = cx.at.mono.saturating_sub(pass.since);
        self.vanished.not_before = cx.at.mono + EVERY.max(took * SHARE);
        let Ok(buried) = result else {
            // Whoever waits for the store says that it cannot be written.
            self.vanished.wanted = true;
            return;
        };
        pass.deleted += buried.deleted;
        pass.stays |= buried.stays;
        self.rows = self.rows.saturating_sub(buried.deleted);
        if self.is_followed() {
            (self.shown.done, self.shown.total) = (self.rows, Some(self.rows));
        }
        if buried.many {
            (self.vanished.stays, self.vanished.wanted) = (true, false);
            self.vanished.not_before = cx.at.mono + AFTER_MANY;
            return self.read_again(cx);
        }
        match buried.next.filter(|_| self.may_bury()) {
            Some(next) => self.bury_from(cx, next, pass),
            None => {
                self.vanished.wanted |= buried.next.is_some();
                self.vanished.stays = pass.stays || self.vanished.wanted;
            }
        }
    }

    /// Another reading of everything, however long ago the last one was.
    fn read_again(&mut self, cx: &mut Cx<'_>) {
        match self.mode {
            Some(Mode::Delta) => self.recount_at = Some(cx.at.mono),
            Some(Mode::Stream) if self.is_followed() => self.restart(cx, None),
            _ => self.sync_now(cx.at.mono),
        }
    }
}
