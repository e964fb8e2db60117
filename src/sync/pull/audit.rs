//! Comparing a collection with the server in the background, one window of keys after the other, each when the lane
//! allows it (see [`crate::sync::lane`]).
//!
//! ```text
//!   Rest -> Reading -> Comparing --same--------------------------------> Noting -> Rest, further on
//!                        |  ^                                              ^
//!                 differs v  | again                     few at a time     |
//!                       Ripening -> Comparing --differs still--> Suspects -> Touching
//! ```
//!
//! A window changes nothing by itself: a record that still differs after a while is fetched alone and comes in like any
//! other news, so every guard of a pull holds for it. The while is for changes that are on their way: the live feed may
//! be a little behind the window, or ahead of it.
//!
//! **Invariant:** the position in the checkpoint covers only windows that were healed; a comparison that breaks off
//! anywhere goes on with the same window.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Pull, REFUSED_REST, Stage, verify::compared};
use crate::{
    model::{
        activity::Severity,
        ids::RecordId,
        sync_status::{GuardFound, GuardReason, Verified, is_mass_deletion},
        time::At,
        window::{KeyWindow, WindowDifference, WindowSize},
        wire::{Exchange, ReadError},
    },
    sync::{
        backoff,
        effect::{Effect, Ticket},
        event::{AppliedPage, PageData, StoreResult},
        lane::{Cx, Signal},
        policy,
        push::Push,
    },
};

/// How long news may be on its way before a difference is believed.
const RIPE_AFTER: Duration = Duration::from_secs(10);
/// Records fetched at once. Each costs about a row and its headers.
const FEW: usize = 4;
const HEADERS: u64 = 600;
/// What the first window of a run is taken to cost: its rows are not known.
const FIRST: WindowSize = WindowSize { rows: 1, bytes: 16 << 10 };
const NAMED: usize = 100;

/// How far a comparison in the background is; travels in the checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Auditing {
    /// Up to this key, that one included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<RecordId>,
    /// What it found so far; `at` is when it began.
    found: Verified,
    #[serde(default)]
    older: u64,
}

/// What a suspect is, as the mirror has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Differing,
    Missing,
    Extra,
}

#[derive(Debug, Clone, Default, PartialEq)]
enum Step {
    #[default]
    Rest,
    Reading(Ticket),
    Comparing {
        ticket: Ticket,
        page: PageData,
        is_second: bool,
    },
    Ripening {
        page: PageData,
        until: Duration,
    },
    /// Some of the suspects may be fetched.
    Suspects(PageData),
    Touching(PageData),
    Noting(Ticket),
}

pub(super) struct Audit {
    step: Step,
    /// When the next window, or the next comparison, may begin (monotonic).
    due: Option<Duration>,
    window: WindowSize,
    suspects: BTreeMap<RecordId, Kind>,
    /// Suspects being fetched.
    asked: BTreeMap<RecordId, Kind>,
    /// Fetched and on their way into the mirror: with the next page, with the one being applied.
    fetched: Vec<(RecordId, Kind, bool)>,
    applying: Vec<(RecordId, Kind, bool)>,
    failures: u32,
    /// Bytes not charged to the lane's allowance yet.
    cost: u64,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            step: Step::Rest,
            due: None,
            window: FIRST,
            suspects: BTreeMap::new(),
            asked: BTreeMap::new(),
            fetched: Vec::new(),
            applying: Vec::new(),
            failures: 0,
            cost: 0,
        }
    }
}

impl Audit {
    /// Whatever is under way is begun again.
    pub(super) fn break_off(&mut self) {
        self.step = Step::Rest;
        self.suspects.clear();
        self.asked.clear();
        self.fetched.clear();
        self.applying.clear();
    }

    pub(super) fn reads(&self, ticket: Ticket) -> bool {
        self.step == Step::Reading(ticket)
    }

    pub(super) fn notes(&self, ticket: Ticket) -> bool {
        self.step == Step::Noting(ticket)
    }

    /// What was fetched goes into the mirror with the page that is handed over now.
    pub(super) fn hand_over(&mut self) {
        self.applying.append(&mut self.fetched);
    }

    fn charge(&mut self, exchange: &Exchange) {
        self.cost += exchange.bytes_up + exchange.head_bytes_up + exchange.bytes_down + exchange.head_bytes_down;
    }
}

impl Pull {
    // --- questions of the lane --------------------------------------------------------------------------------------

    /// When the next step may go (monotonic), and what it is taken to cost. `None`: nothing is to be compared, or an
    /// answer is awaited.
    pub(in crate::sync) fn audit_due(&self) -> Option<(Duration, u64)> {
        if !self.can_audit() {
            return None;
        }
        match &self.audit.step {
            Step::Rest => Some((self.audit.due?, self.audit.window.bytes + HEADERS)),
            Step::Ripening { until, .. } => Some((*until, 0)),
            Step::Suspects(_) => {
                let row = self.audit.window.bytes / self.audit.window.rows.max(1) as u64;
                Some((Duration::ZERO, FEW as u64 * (row + HEADERS)))
            }
            _ => None,
        }
    }

    /// A comparison of this collection has begun: it is ended before another one's begins.
    pub(in crate::sync) fn is_auditing(&self) -> bool {
        self.checkpoint.auditing.is_some()
    }

    /// A step waits for its answer.
    pub(in crate::sync) fn awaits_audit(&self) -> bool {
        !matches!(self.audit.step, Step::Rest | Step::Ripening { .. } | Step::Suspects(_))
    }

    /// What comparing cost since this was asked last.
    pub(in crate::sync) fn take_audit_cost(&mut self) -> u64 {
        std::mem::take(&mut self.audit.cost)
    }

    fn can_audit(&self) -> bool {
        let quiet = match &self.stage {
            Stage::Feed(feed) => feed.is_live(),
            Stage::Resting => true,
            _ => false,
        };
        let writes = self.applying.is_some() || self.ending.is_some() || self.noting.is_some();
        let right = self.is_compared && !self.is_elsewhere();
        self.settings.audit_budget > 0 && quiet && right && self.checkpoint.whole && !self.verify_wished && !writes
    }

    // --- steps ------------------------------------------------------------------------------------------------------

    /// The next comparison begins so long after the last one ended, by the wall clock; at once where that was never, or
    /// is still to come.
    pub(in crate::sync) fn plan_audit(&mut self, at: &At) {
        let last = self.checkpoint.verified.as_ref().map(|found| found.at).filter(|last| *last <= at.wall);
        let left = last.map(|last| self.settings.audit_every.saturating_sub(at.wall.since(last)));
        let left = left.filter(|_| self.checkpoint.auditing.is_none());
        self.audit.due = Some(at.mono + left.unwrap_or_default());
    }

    /// Takes the step that is due; the lane has looked at everything else. `most` is how much a window may be.
    pub(in crate::sync) fn audit_step(&mut self, cx: &mut Cx<'_>, push: &Push, most: u64) {
        self.audit_most = WindowSize { rows: self.settings.page_size.max(1), bytes: most };
        match std::mem::take(&mut self.audit.step) {
            Step::Ripening { page, .. } => self.compare_window(cx, page, true),
            Step::Suspects(page) => self.touch_suspects(cx, page, push),
            Step::Rest => {
                let auditing = self.checkpoint.auditing.get_or_insert_with(|| Auditing {
                    found: Verified { at: cx.at.wall, ..Verified::default() },
                    ..Auditing::default()
                });
                let ticket = cx.ticket();
                let (collection, after, limit) = (self.key.clone(), auditing.after.clone(), self.audit.window.rows);
                cx.out.push(Effect::ReadPage { ticket, collection, after, limit });
                self.audit.step = Step::Reading(ticket);
            }
            waiting => self.audit.step = waiting,
        }
    }

    pub(super) fn audit_read(&mut self, cx: &mut Cx<'_>, result: Result<PageData, ReadError>, exchange: &Exchange) {
        self.audit.step = Step::Rest;
        self.audit.charge(exchange);
        match result {
            Ok(page) => {
                cx.signals.push(Signal::Read(exchange.clone()));
                self.compare_window(cx, page, false);
            }
            Err(error) => {
                let after = match &error {
                    ReadError::Later { after, .. } => *after,
                    _ => None,
                };
                cx.signals.push(match policy::broken_by(&error) {
                    Some(broken) => Signal::Bad { broken, exchange: exchange.clone(), after },
                    None => Signal::Good(exchange.clone()),
                });
                self.audit_failed(cx, &policy::words(&error));
            }
        }
    }

    /// Once more after a while; said with the first.
    fn audit_failed(&mut self, cx: &mut Cx<'_>, why: &str) {
        if self.audit.failures == 0 {
            let text = format!("`{}` cannot be compared with the server: {why}", self.key);
            cx.log(Severity::Warning, "sync", text, Some("it is tried again by itself"));
        }
        let wait = backoff::jitter_above(cx.at, 31, self.audit.failures, REFUSED_REST / 4, backoff::CAP);
        self.audit.failures = self.audit.failures.saturating_add(1);
        self.audit.due = Some(cx.at.mono + wait);
    }

    fn compare_window(&mut self, cx: &mut Cx<'_>, page: PageData, is_second: bool) {
        let ticket = cx.ticket();
        let window = KeyWindow {
            collection: self.key.clone(),
            after: self.checkpoint.auditing.as_ref().and_then(|auditing| auditing.after.clone()),
            until: page.next.clone(),
            records: page.records.clone(),
            stamp: self.spec.updated_at.clone(),
            next: self.audit_most,
        };
        cx.out.push(Effect::CompareWindow { ticket, window });
        self.audit.step = Step::Comparing { ticket, page, is_second };
    }

    pub(in crate::sync) fn window_compared(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        result: StoreResult<WindowDifference>,
    ) {
        let (page, is_second) = match std::mem::take(&mut self.audit.step) {
            Step::Comparing { ticket: expected, page, is_second } if expected == ticket => (page, is_second),
            other => return self.audit.step = other,
        };
        let found = match result {
            Ok(found) => found,
            Err(message) => return self.audit_failed(cx, &message),
        };
        self.audit.failures = 0;
        self.audit.window = found.next;
        if found.is_none() {
            return self.note_window(cx, &page);
        }
        if !is_second {
            self.audit.step = Step::Ripening { page, until: cx.at.mono + RIPE_AFTER };
            return;
        }
        if self.asks_before_healing(cx, &found) {
            return;
        }
        let each = |ids: Vec<RecordId>, kind: Kind| ids.into_iter().map(move |id| (id, kind));
        self.audit.suspects.extend(each(found.differing, Kind::Differing));
        self.audit.suspects.extend(each(found.missing, Kind::Missing));
        self.audit.suspects.extend(each(found.extra, Kind::Extra));
        self.audit.step = Step::Suspects(page);
    }

    /// Much is gone there, or older: that is a question, as in any whole reading.
    fn asks_before_healing(&mut self, cx: &mut Cx<'_>, found: &WindowDifference) -> bool {
        let Some(auditing) = &mut self.checkpoint.auditing else { return false };
        auditing.older += found.older_count;
        let (gone, older) = (auditing.found.extra + found.extra_count, auditing.older);
        let (reason, text, affected, sample) = if is_mass_deletion(gone, found.rows) {
            let text = policy::guard_text(&self.key.to_string(), gone, found.rows);
            (GuardReason::MassDeletion, text, gone, &found.extra)
        } else if policy::is_many(older, found.rows) {
            let text = policy::older_text(&self.key.to_string(), older, found.rows);
            (GuardReason::OlderRecords, text, older, &found.differing)
        } else {
            return false;
        };
        let sample = sample.iter().take(25).cloned().collect();
        self.stop(cx, GuardFound { reason, text, affected, rows: found.rows, sample, since: cx.at.wall });
        true
    }

    fn touch_suspects(&mut self, cx: &mut Cx<'_>, page: PageData, push: &Push) {
        for _ in 0..FEW {
            let Some((id, kind)) = self.audit.suspects.pop_first() else { break };
            self.touched.insert(id.clone());
            self.audit.asked.insert(id, kind);
        }
        self.audit.step = Step::Touching(page);
        self.start_touches(cx, push);
    }

    /// A suspect was fetched. `change` is on its way into the mirror, unless our own newer write stands there.
    pub(super) fn suspect_fetched(&mut self, id: &RecordId, change: Option<bool>, exchange: &Exchange) {
        let Some(kind) = self.audit.asked.remove(id) else { return };
        self.audit.charge(exchange);
        self.audit.fetched.extend(change.map(|is_gone| (id.clone(), kind, is_gone)));
    }

    /// A suspect could not be fetched: it is still asked for where the way broke; else it is left as it is, and said.
    pub(super) fn suspect_not_fetched(
        &mut self,
        cx: &mut Cx<'_>,
        id: &RecordId,
        error: &ReadError,
        exchange: &Exchange,
    ) {
        if !self.audit.asked.contains_key(id) {
            return;
        }
        self.audit.charge(exchange);
        if policy::broken_by(error).is_some() {
            return;
        }
        if let Some(kind) = self.audit.asked.remove(id) {
            self.count_difference(kind, id, false);
            let text = format!("`{}/{id}` is not as it is on the server: {}", self.key, policy::words(error));
            cx.log(Severity::Warning, "sync", text, None);
        }
        self.end_touching(cx);
    }

    /// What was fetched is in the mirror: what it changed there was a difference.
    pub(super) fn suspects_applied(&mut self, cx: &mut Cx<'_>, applied: &AppliedPage) {
        for (id, kind, is_gone) in std::mem::take(&mut self.audit.applying) {
            let changed = applied.changed.contains(&id);
            let kept = kind == Kind::Extra && is_gone && !changed;
            if changed || kept {
                self.count_difference(kind, &id, changed);
                let what = if changed { "it is now" } else { "it stays because of your changes" };
                let text = format!("`{}/{id}` was not as it is on the server; {what}", self.key);
                cx.log(Severity::Info, "sync", text, None);
            }
        }
        self.end_touching(cx);
    }

    fn count_difference(&mut self, kind: Kind, id: &RecordId, healed: bool) {
        let Some(auditing) = &mut self.checkpoint.auditing else { return };
        let found = &mut auditing.found;
        *match kind {
            Kind::Differing => &mut found.differing,
            Kind::Missing => &mut found.missing,
            Kind::Extra => &mut found.extra,
        } += 1;
        found.healed += u64::from(healed);
        if found.differences.len() < NAMED {
            found.differences.push(id.clone());
        }
    }

    pub(super) fn end_touching(&mut self, cx: &mut Cx<'_>) {
        let audit = &mut self.audit;
        let is_done = audit.asked.is_empty() && audit.fetched.is_empty() && audit.applying.is_empty();
        if !is_done || !matches!(audit.step, Step::Touching(_)) {
            return;
        }
        let Step::Touching(page) = std::mem::take(&mut audit.step) else { return };
        if audit.suspects.is_empty() { self.note_window(cx, &page) } else { audit.step = Step::Suspects(page) }
    }

    /// A window is as the server has it: that is written down.
    fn note_window(&mut self, cx: &mut Cx<'_>, page: &PageData) {
        let Some(auditing) = &mut self.checkpoint.auditing else { return };
        auditing.found.checked += page.records.len() as u64;
        auditing.after.clone_from(&page.next);
        self.audit.due = Some(cx.at.mono);
        if page.next.is_none() {
            self.end_audit(cx);
        }
        let ticket = cx.ticket();
        let checkpoint = self.checkpoint.write();
        cx.out.push(Effect::KeepCheckpoint { ticket, collection: self.key.clone(), checkpoint });
        self.audit.step = Step::Noting(ticket);
    }

    fn end_audit(&mut self, cx: &mut Cx<'_>) {
        let Some(Auditing { mut found, .. }) = self.checkpoint.auditing.take() else { return };
        found.took_ms = u64::try_from(cx.at.wall.since(found.at).as_millis()).unwrap_or(u64::MAX);
        found.at = cx.at.wall;
        // The first window of the next one is as this one's was: small, whatever stands there by then.
        self.audit.window = FIRST;
        self.audit.due = Some(cx.at.mono + self.settings.audit_every);
        if found.count() > 0 {
            let text = format!("`{}` compared in the background: {}", self.key, compared(&found));
            cx.log(Severity::Warning, "sync", text, None);
        }
        self.checkpoint.verified = Some(found);
    }

    pub(super) fn audit_noted(&mut self, cx: &mut Cx<'_>, result: &StoreResult<AppliedPage>) {
        self.audit.step = Step::Rest;
        // What is not on disk is compared again after a restart; it goes on here.
        if let Err(message) = result {
            self.audit_failed(cx, message);
        }
    }
}
