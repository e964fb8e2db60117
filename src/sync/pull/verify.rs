//! Comparing a whole collection with the server because somebody asks: an ordinary whole reading that counts what it
//! finds. What differs is healed as any pull would; what is gone there passes the guards.
//!
//! The count travels in the checkpoint, so that a reading that goes on after a restart goes on counting.

use super::{Mode, Pull, Stage};
use crate::{
    model::{activity::Severity, numbers, sync_status::Verified},
    sync::{effect::Ticket, event::AppliedPage, lane::Cx},
};

/// Differing records named in a report at most.
const NAMED: usize = 100;

/// What a comparison came to, for the log.
pub(super) fn compared(found: &Verified) -> String {
    let records = numbers::count(found.checked, "record", "records");
    format!("{records}, {}", numbers::count(found.count(), "difference", "differences"))
}

impl Pull {
    /// Compare everything with the server as soon as nothing else is read.
    pub(in crate::sync) fn verify(&mut self) {
        self.verify_wished = true;
    }

    /// A comparison that was asked for and can begin now.
    pub(super) fn may_verify(&self) -> bool {
        let quiet = match &self.stage {
            Stage::Feed(feed) => feed.is_live(),
            Stage::Resting => true,
            _ => false,
        };
        self.verify_wished && quiet && self.checkpoint.whole && self.applying.is_none() && self.noting.is_none()
    }

    pub(super) fn begin_verify(&mut self, cx: &mut Cx<'_>) {
        self.verify_wished = false;
        self.next_at = None;
        self.close_feed(cx);
        self.checkpoint.verifying = Some(Verified { at: cx.at.wall, ..Verified::default() });
        match self.mode {
            // The snapshot a feed begins with is one look at everything.
            Some(Mode::Stream) => self.open_feed(cx, None),
            _ => self.count(cx),
        }
    }

    /// A page of a whole reading is in the mirror, or its deletions are carried out.
    pub(super) fn tally(&mut self, ticket: Ticket, page: &AppliedPage) {
        if !self.waits_for_apply(ticket) {
            return;
        }
        let deletes = self.ending.is_some();
        let Some(count) = &mut self.checkpoint.verifying else { return };
        if !deletes {
            count.checked += page.inserted + page.updated + page.unchanged + page.held.len() as u64;
        }
        count.missing += page.inserted;
        count.differing += page.updated;
        count.extra += page.deleted + page.vanished.len() as u64;
        count.healed += page.inserted + page.updated + page.deleted;
        let room = NAMED.saturating_sub(count.differences.len());
        count.differences.extend(page.changed.iter().take(room).cloned());
    }

    /// The reading came to its end: what it found is written with it.
    pub(super) fn note_verified(&mut self, cx: &mut Cx<'_>) {
        let Some(mut found) = self.checkpoint.verifying.take() else { return };
        let took = cx.at.wall.since(found.at);
        found.took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        found.at = cx.at.wall;
        let differences = found.count();
        let severity = if differences == 0 { Severity::Info } else { Severity::Warning };
        let text = format!("`{}` verified: {}", self.key, compared(&found));
        cx.log(severity, "sync", text, None);
        for id in &found.differences {
            let text = format!("`{}/{id}` was not as it is on the server; it is now", self.key);
            cx.log(Severity::Info, "sync", text, None);
        }
        self.checkpoint.verified = Some(found);
        self.checkpoint.auditing = None;
        self.audit.break_off();
        self.plan_audit(cx.at);
    }
}
