//! When collections are compared with the server in the background: only while the lane has nothing else to do, one
//! collection after the other, and no faster than its allowance fills.

use std::time::Duration;

use super::{Cx, Lane};
use crate::model::sync_status::ConnectivityState;

impl Lane {
    /// Goes on comparing, where everything else is done and it is time.
    pub(super) fn audit(&mut self, cx: &mut Cx<'_>) {
        self.allowance.fill(cx.at.mono);
        for pull in &mut self.pulls {
            self.allowance.spend(pull.take_audit_cost());
        }
        let Some((index, when)) = self.next_audit() else { return };
        if when <= cx.at.mono {
            self.pulls[index].audit_step(cx, &self.push, self.allowance.most());
        }
    }

    /// When it goes on (monotonic), unless something happens before.
    pub(super) fn audits_at(&self) -> Option<Duration> {
        self.next_audit().map(|(_, when)| when)
    }

    fn may_audit(&self) -> bool {
        !self.allowance.is_nothing()
            && self.tracker.state() == ConnectivityState::Online
            && self.may_pull()
            && !self.meter.is_used_up()
            && self.is_idle()
    }

    /// Which collection is next, and when. One that has begun goes on before another begins.
    fn next_audit(&self) -> Option<(usize, Duration)> {
        if !self.may_audit() || self.pulls.iter().any(|pull| pull.awaits_audit()) {
            return None;
        }
        let steps = self.pulls.iter().enumerate().filter_map(|(index, pull)| {
            let (due, cost) = pull.audit_due()?;
            Some((due.max(self.allowance.ready_at(cost)), !pull.is_auditing(), index))
        });
        steps.min().map(|(when, _, index)| (index, when))
    }
}
