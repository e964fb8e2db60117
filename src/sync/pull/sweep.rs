//! Whole readings of a collection by key windows, their end behind the guard, and bounded deltas.
//!
//! One page is read while the one before it is applied: enough to keep both sides busy, and memory flat.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use serde_json::Value;

use super::{Checkpoint, Mode, Phase, Pull, REFUSED_REST, Stage};
use crate::{
    model::{
        activity::Severity,
        ids::RecordId,
        numbers, rtdb,
        source::PullMode,
        time::Timestamp,
        wire::{Exchange, ReadError, RemoteChange, RemoteRecord},
    },
    sync::{
        effect::{Effect, Ticket},
        event::{MissingRows, PageData, StoreResult},
        lane::{Cx, Signal},
        policy,
        push::Push,
    },
};

/// A delta asks for this much again, in case stamps were given out of order.
const OVERLAP_MS: i64 = 5_000;
const DELTA_LIMIT: usize = 500;
/// How often a collection is asked for changes where it cannot be followed.
const POLL: Duration = Duration::from_secs(15);

pub(super) struct Sweep {
    number: i64,
    /// Where the next page begins.
    after: Option<RecordId>,
    reading: Option<(Ticket, Duration)>,
    /// Read and not applied yet, with the time its reading began.
    page: Option<(PageData, Duration)>,
    applying: Option<(Ticket, u64)>,
    read_to_end: bool,
    position: Position,
}

/// From which stamp on deltas go on after the sweep. What is changed behind the place the sweep has reached is only in
/// deltas, so they begin with what was the newest before the first page was read, however long the sweep takes.
enum Position {
    Wanted,
    Asked(Ticket),
    Known,
}

impl Sweep {
    pub(super) fn is_waiting(&self) -> bool {
        let asks = matches!(self.position, Position::Asked(_));
        asks || self.reading.is_some() || self.applying.is_some() || self.page.is_some()
    }

    pub(super) fn applies(&self, ticket: Ticket) -> bool {
        self.applying.is_some_and(|(expected, _)| expected == ticket)
    }
}

/// The end of a complete reading: what it did not see, proved, deleted, noted.
pub(super) struct Ending {
    number: i64,
    step: Step,
}

enum Step {
    Missing(Ticket),
    /// What was left out because its stamp went back is written after all.
    SettingBack(Ticket),
    Proof(Ticket),
    Finishing(Ticket),
    Noting(Ticket),
}

impl Ending {
    pub(super) fn is_proof(&self, ticket: Ticket) -> bool {
        matches!(self.step, Step::Proof(expected) if expected == ticket)
    }

    pub(super) fn is_write(&self, ticket: Ticket) -> bool {
        match self.step {
            Step::SettingBack(expected) | Step::Finishing(expected) | Step::Noting(expected) => expected == ticket,
            Step::Missing(_) | Step::Proof(_) => false,
        }
    }

    pub(super) fn sets_back(&self, ticket: Ticket) -> bool {
        matches!(self.step, Step::SettingBack(expected) if expected == ticket)
    }
}

pub(super) struct Delta {
    reading: Option<(Ticket, Duration)>,
    applying: Option<Ticket>,
    /// The stamp up to which the page being applied reaches, and whether more follows.
    reached: Option<String>,
    more: bool,
    asked: bool,
}

impl Delta {
    pub(super) fn applies(&self, ticket: Ticket) -> bool {
        self.applying == Some(ticket)
    }
}

impl Pull {
    // --- key windows ------------------------------------------------------------------------------------------------

    pub(super) fn begin_sweep(&mut self, cx: &mut Cx<'_>, resumed: bool) {
        let resumed = resumed && self.has_all_held();
        if !resumed {
            self.begin_whole(cx);
            self.checkpoint.after = None;
            self.checkpoint.done = 0;
            self.forget_held();
            self.checkpoint.total = self.shown.total;
            self.shown.done = 0;
        }
        self.rate.reset();
        self.reading_since = Some(cx.at.mono);
        let is_first_page = self.checkpoint.after.is_none();
        let wants_position = self.mode == Some(Mode::Delta) && is_first_page;
        self.stage = Stage::Sweep(Sweep {
            number: self.checkpoint.sweep,
            after: self.checkpoint.after.clone(),
            reading: None,
            page: None,
            applying: None,
            read_to_end: false,
            position: if wants_position { Position::Wanted } else { Position::Known },
        });
        self.continue_sweep(cx);
    }

    /// A reading of everything begins, under a number no other has. Said before anything is asked for: what is
    /// acknowledged from now on is met by the reading as well.
    pub(super) fn begin_whole(&mut self, cx: &mut Cx<'_>) {
        // One that was broken off before its first page has left no trace on disk, but pages of it may be on their way.
        self.last_sweep = self.last_sweep.max(self.checkpoint.sweep) + 1;
        self.checkpoint.sweep = self.last_sweep;
        cx.out.push(Effect::BeginSweep { collection: self.key.clone(), sweep: self.last_sweep });
    }

    pub(super) fn continue_sweep(&mut self, cx: &mut Cx<'_>) {
        let is_open = self.is_open;
        if self.ending.is_some() {
            return;
        }
        let Stage::Sweep(sweep) = &mut self.stage else { return };
        match sweep.position {
            Position::Known => {}
            Position::Wanted if is_open => {
                let (ticket, until) = (cx.ticket(), latest_stamp(cx));
                sweep.position = Position::Asked(ticket);
                return cx.out.push(Effect::ReadNewest { ticket, collection: self.key.clone(), until });
            }
            Position::Wanted | Position::Asked(_) => return,
        }
        if sweep.applying.is_none()
            && let Some((page, began)) = sweep.page.take()
        {
            let rows = page.records.len() as u64;
            let last = page.records.last().map(|record| record.id.clone());
            let after = page.next.or(last).or_else(|| self.checkpoint.after.clone());
            let number = sweep.number;
            let ticket = cx.ticket();
            sweep.applying = Some((ticket, rows));
            self.checkpoint = Checkpoint {
                phase: Phase::Backfill,
                sweep: number,
                mode: self.mode,
                after,
                done: self.checkpoint.done + rows,
                ..self.checkpoint.clone()
            };
            let rows = page.records.into_iter().map(RemoteChange::Upsert);
            let changes = self.echoes.correct(rows, began, &mut self.touched);
            let text = self.checkpoint.write();
            self.write_page(cx, ticket, changes, Some(text), Some(number));
        }
        let Stage::Sweep(sweep) = &mut self.stage else { return };
        if is_open && sweep.reading.is_none() && sweep.page.is_none() && !sweep.read_to_end {
            let ticket = cx.ticket();
            sweep.reading = Some((ticket, cx.at.mono));
            let (collection, after) = (self.key.clone(), sweep.after.clone());
            cx.out.push(Effect::ReadPage { ticket, collection, after, limit: self.settings.page_size.max(1) });
        }
        let Stage::Sweep(sweep) = &self.stage else { return };
        if sweep.read_to_end && sweep.page.is_none() && sweep.applying.is_none() {
            let number = sweep.number;
            self.end(cx, number);
        }
    }

    pub(in crate::sync) fn page_read(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        result: Result<PageData, ReadError>,
        exchange: &Exchange,
        push: &Push,
    ) {
        if self.audit.reads(ticket) {
            self.shown.bytes += exchange.bytes_down;
            return self.audit_read(cx, result, exchange);
        }
        if let Ok(page) = &result {
            self.doubt(page.records.iter().map(|record| &record.id), push);
        }
        if matches!(self.stage, Stage::Delta(_)) {
            return self.delta_read(cx, ticket, result, exchange);
        }
        let Stage::Sweep(sweep) = &mut self.stage else { return };
        if matches!(sweep.position, Position::Asked(expected) if expected == ticket) {
            return self.newest_read(cx, result, exchange);
        }
        let Some((_, began)) = sweep.reading.take_if(|(expected, _)| *expected == ticket) else { return };
        self.shown.bytes += exchange.bytes_down;
        match result {
            Ok(page) => {
                cx.signals.push(Signal::Read(exchange.clone()));
                sweep.read_to_end = page.next.is_none();
                sweep.after.clone_from(&page.next);
                sweep.page = Some((page, began));
                self.continue_sweep(cx);
            }
            Err(error) => self.fail(cx, &error, exchange),
        }
    }

    fn newest_read(&mut self, cx: &mut Cx<'_>, result: Result<PageData, ReadError>, exchange: &Exchange) {
        self.shown.bytes += exchange.bytes_down;
        match result {
            Ok(page) => {
                cx.signals.push(Signal::Read(exchange.clone()));
                self.checkpoint.since = newest_stamp(&self.spec, cx, &page.records, None);
            }
            // It can be read by its keys all the same, again and again.
            Err(error @ ReadError::Refused { .. }) => {
                self.report(cx, &error, exchange);
                self.checkpoint.since = None;
                if !self.checkpoint.whole {
                    let text = format!("`{}` is not asked for what is new: {}", self.key, policy::words(&error));
                    let hint = "it is read as a whole instead; an index on the `updated_at` field helps";
                    cx.log(Severity::Warning, "sync", text, Some(hint));
                }
            }
            Err(error) => return self.fail(cx, &error, exchange),
        }
        if let Stage::Sweep(sweep) = &mut self.stage {
            sweep.position = Position::Known;
        }
        self.continue_sweep(cx);
    }

    /// A page of a sweep, a snapshot, a delta or the end of one is in the mirror.
    pub(super) fn sweep_page_applied(&mut self, cx: &mut Cx<'_>, ticket: Ticket) {
        if let Some(ending) = &self.ending {
            return match ending.step {
                Step::Finishing(expected) if expected == ticket => self.note_end(cx),
                Step::Noting(expected) if expected == ticket => self.swept(cx),
                Step::SettingBack(expected) if expected == ticket => {
                    let number = ending.number;
                    self.end(cx, number)
                }
                _ => {}
            };
        }
        match &mut self.stage {
            Stage::Sweep(sweep) => {
                let Some((_, rows)) = sweep.applying.take_if(|(expected, _)| *expected == ticket) else { return };
                self.shown.checkpoint = self.checkpoint.after.as_ref().map(|id| id.0.clone());
                self.advanced_by(cx, rows);
                self.continue_sweep(cx);
            }
            Stage::Delta(delta) => {
                let Some(_) = delta.applying.take_if(|expected| *expected == ticket) else { return };
                self.delta_applied(cx);
            }
            Stage::Feed(_) => self.snapshot_page_applied(cx, ticket),
            _ => {}
        }
    }

    // --- the end of a whole reading ---------------------------------------------------------------------------------

    pub(super) fn end(&mut self, cx: &mut Cx<'_>, number: i64) {
        let ticket = cx.ticket();
        cx.out.push(Effect::ReadMissing { ticket, collection: self.key.clone(), sweep: number });
        self.ending = Some(Ending { number, step: Step::Missing(ticket) });
    }

    pub(in crate::sync) fn missing_read(&mut self, cx: &mut Cx<'_>, ticket: Ticket, result: StoreResult<MissingRows>) {
        if let Stage::Recounting(expected, Some(keys)) = self.stage
            && expected == ticket
        {
            return self.recounted(cx, keys, result);
        }
        let Some(ending) = self.ending.as_mut() else { return };
        if !matches!(ending.step, Step::Missing(expected) if expected == ticket) {
            return;
        }
        let missing = match result {
            Ok(missing) => missing,
            Err(message) => return self.fail_locally(cx, &message),
        };
        self.rows = missing.rows;
        if missing.is_unproved {
            return self.read_anew(cx);
        }
        if !self.held.is_empty() {
            if self.may_set_back(cx, missing.rows) {
                self.set_back(cx);
            }
            return;
        }
        if missing.missing == 0 {
            return self.note_end(cx);
        }
        if !self.may_delete(cx, &missing) {
            return;
        }
        if matches!(self.stage, Stage::Feed(_)) {
            // A snapshot is one look at the whole collection: what it lacks is gone.
            return self.finish_sweep(cx, HashSet::new());
        }
        let Some(ending) = self.ending.as_mut() else { return };
        let ticket = cx.ticket();
        ending.step = Step::Proof(ticket);
        cx.out.push(Effect::ReadKeys { ticket, collection: self.key.clone() });
    }

    /// The reading proves nothing of what is gone: another one, from the beginning.
    fn read_anew(&mut self, cx: &mut Cx<'_>) {
        self.fail_locally(cx, "what is gone on the server could not be told");
        self.verify_wished |= self.checkpoint.verifying.take().is_some();
        self.forget_held();
        self.begin_anew();
        self.stage = Stage::Ready;
        self.write_checkpoint(cx);
    }

    /// Windows were read one after the other: a record made behind the reader is not missing. The keys, read at the
    /// end, tell.
    pub(super) fn proof_read(
        &mut self,
        cx: &mut Cx<'_>,
        result: Result<Vec<RecordId>, ReadError>,
        exchange: &Exchange,
    ) {
        match result {
            Ok(keys) => {
                cx.signals.push(Signal::Good(exchange.clone()));
                self.finish_sweep(cx, keys.into_iter().collect());
            }
            // No proof, no deletion.
            Err(ReadError::Refused { .. }) => {
                cx.signals.push(Signal::Good(exchange.clone()));
                self.note_end(cx);
            }
            Err(error) => self.fail(cx, &error, exchange),
        }
    }

    fn finish_sweep(&mut self, cx: &mut Cx<'_>, mut keep: HashSet<RecordId>) {
        keep.extend(self.written_meanwhile().cloned());
        let Some(ending) = &mut self.ending else { return };
        let ticket = cx.ticket();
        ending.step = Step::Finishing(ticket);
        let (collection, sweep, at) = (self.key.clone(), ending.number, cx.at.wall);
        cx.out.push(Effect::FinishSweep { ticket, collection, sweep, keep, at });
    }

    fn set_back(&mut self, cx: &mut Cx<'_>) {
        let changes = self.take_held();
        let Some(ending) = &mut self.ending else { return };
        let ticket = cx.ticket();
        ending.step = Step::SettingBack(ticket);
        self.write_page(cx, ticket, changes, None, None);
    }

    fn note_end(&mut self, cx: &mut Cx<'_>) {
        let Some(ending) = &mut self.ending else { return };
        let ticket = cx.ticket();
        ending.step = Step::Noting(ticket);
        self.checkpoint.sweep = ending.number;
        self.note_verified(cx);
        self.checkpoint.phase = Phase::Complete;
        self.checkpoint.mode = self.mode;
        self.checkpoint.after = None;
        self.checkpoint.swept_at = Some(cx.at.wall.0);
        self.checkpoint.accepted = None;
        self.checkpoint.accepted_older = None;
        self.checkpoint.holds = false;
        let mut noted = self.checkpoint.clone();
        noted.whole = true;
        self.write_page(cx, ticket, Vec::new(), Some(noted.write()), None);
    }

    /// The reading is whole, and says so on disk.
    fn swept(&mut self, cx: &mut Cx<'_>) {
        self.ending = None;
        self.wished = false;
        self.shown.last_error = None;
        self.shown.checkpoint = None;
        self.shown.last_pull = Some(cx.at.wall);
        self.shown.total = Some(self.shown.done);
        if !self.checkpoint.whole {
            self.checkpoint.whole = true;
            let records = numbers::count(self.shown.done, "record", "records");
            let text = format!("`{}`: everything is here, {records}", self.key);
            cx.log(Severity::Info, "sync", text, None);
        }
        self.recount_at = Some(cx.at.mono + self.settings.sweep_every);
        let outgrown = self.spec.pull == PullMode::Auto && self.shown.done > self.settings.stream_records * 2;
        match (&self.stage, self.mode) {
            (Stage::Feed(_), _) if outgrown => {
                self.close_feed(cx);
                self.mode = Some(if self.spec.updated_at.is_some() { Mode::Delta } else { Mode::Windows });
                self.rest(cx, self.settings.sweep_every);
            }
            (Stage::Feed(_), _) => self.go_live(),
            (_, Some(Mode::Delta)) if self.checkpoint.since.is_some() => self.begin_delta(cx),
            _ => self.rest(cx, self.settings.sweep_every),
        }
    }

    // --- deltas -----------------------------------------------------------------------------------------------------

    pub(super) fn begin_delta(&mut self, cx: &mut Cx<'_>) {
        self.reading_since = Some(cx.at.mono);
        self.stage = Stage::Delta(Delta { reading: None, applying: None, reached: None, more: false, asked: false });
        self.continue_delta(cx);
    }

    pub(super) fn continue_delta(&mut self, cx: &mut Cx<'_>) {
        let Stage::Delta(delta) = &mut self.stage else { return };
        if !self.is_open || delta.reading.is_some() || delta.applying.is_some() || delta.asked {
            return;
        }
        let since = overlapped(self.checkpoint.since.as_deref().unwrap_or("null"), !delta.more);
        let ticket = cx.ticket();
        delta.reading = Some((ticket, cx.at.mono));
        delta.asked = true;
        cx.out.push(Effect::ReadDelta { ticket, collection: self.key.clone(), since, limit: DELTA_LIMIT });
    }

    fn delta_read(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        result: Result<PageData, ReadError>,
        exchange: &Exchange,
    ) {
        let Stage::Delta(delta) = &mut self.stage else { return };
        let Some((_, began)) = delta.reading.take_if(|(expected, _)| *expected == ticket) else { return };
        self.shown.bytes += exchange.bytes_down;
        let page = match result {
            Ok(page) => page,
            Err(error) => return self.fail(cx, &error, exchange),
        };
        cx.signals.push(Signal::Good(exchange.clone()));
        let mut reached = newest_stamp(&self.spec, cx, &page.records, self.checkpoint.since.clone());
        let is_full = page.records.len() >= DELTA_LIMIT;
        self.pulled += page.records.len() as u64;
        let ticket = cx.ticket();
        delta.applying = Some(ticket);
        let mut unclear = BTreeSet::new();
        let rows = page.records.into_iter().map(RemoteChange::Upsert);
        let changes = self.echoes.correct(rows, began, &mut unclear);
        if !unclear.is_empty() && !is_full {
            // What is still to be asked for would be behind the mark, should this run end first.
            reached.clone_from(&self.checkpoint.since);
        }
        self.touched.extend(unclear);
        delta.more = is_full && reached != self.checkpoint.since;
        delta.reached.clone_from(&reached);
        let checkpoint = Checkpoint { since: reached, ..self.checkpoint.clone() };
        self.write_page(cx, ticket, changes, Some(checkpoint.write()), None);
    }

    fn delta_applied(&mut self, cx: &mut Cx<'_>) {
        let Stage::Delta(delta) = &mut self.stage else { return };
        self.checkpoint.since = delta.reached.take();
        delta.asked = false;
        let more = delta.more;
        self.advanced_by(cx, 0);
        if more {
            return self.continue_delta(cx);
        }
        let since = self.checkpoint.since.as_deref().map(|since| overlapped(since, true));
        self.open_feed(cx, since);
    }

    /// The feed of what changes cannot be had: ask now and then.
    pub(super) fn poll_later(&mut self, cx: &mut Cx<'_>) {
        self.rest(cx, POLL.min(REFUSED_REST));
    }

    // --- deletions nobody told about --------------------------------------------------------------------------------

    pub(super) fn can_recount(&self) -> bool {
        let quiet = self.is_followed() || matches!(self.stage, Stage::Resting);
        self.mode == Some(Mode::Delta) && quiet && self.applying.is_none()
    }

    pub(super) fn recount(&mut self, cx: &mut Cx<'_>) {
        self.recount_at = Some(cx.at.mono + self.settings.sweep_every);
        self.close_feed(cx);
        let ticket = cx.ticket();
        cx.out.push(Effect::ReadKeys { ticket, collection: self.key.clone() });
        self.stage = Stage::Recounting(ticket, None);
    }

    pub(super) fn recount_rows(&mut self, cx: &mut Cx<'_>, keys: u64) {
        let ticket = cx.ticket();
        let (collection, sweep) = (self.key.clone(), self.checkpoint.sweep);
        cx.out.push(Effect::ReadMissing { ticket, collection, sweep });
        self.stage = Stage::Recounting(ticket, Some(keys));
    }

    fn recounted(&mut self, cx: &mut Cx<'_>, keys: u64, result: StoreResult<MissingRows>) {
        self.recount_at = Some(cx.at.mono + self.settings.sweep_every);
        match result {
            Ok(rows) if rows.rows == keys => self.begin_delta(cx),
            Ok(_) => {
                self.shown.total = Some(keys);
                self.begin_sweep(cx, false);
            }
            Err(message) => self.fail_locally(cx, &message),
        }
    }
}

/// Stamps from the future would hide every change until then, and do not count.
fn latest_stamp(cx: &Cx<'_>) -> Timestamp {
    cx.at.wall.plus(Duration::from_secs(600))
}

/// The newest stamp among `records` and `known`, as JSON text.
fn newest_stamp(
    spec: &crate::model::source::CollectionSpec,
    cx: &Cx<'_>,
    records: &[RemoteRecord],
    known: Option<String>,
) -> Option<String> {
    let Some(pointer) = &spec.updated_at else { return known };
    let limit = latest_stamp(cx).0;
    let mut newest = known.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    for record in records {
        let Ok(document) = serde_json::from_str::<Value>(&record.text) else { continue };
        let Some(stamp) = pointer.get(&document) else { continue };
        if !(stamp.is_number() || stamp.is_string()) || stamp.as_f64().is_some_and(|millis| millis > limit as f64) {
            continue;
        }
        let newer = newest.as_ref().is_none_or(|known| rtdb::value_order(known, stamp).is_lt());
        if newer {
            newest = Some(stamp.clone());
        }
    }
    newest.map(|stamp| stamp.to_string())
}

/// Where a delta begins: a little before the newest stamp, where stamps are milliseconds.
fn overlapped(since: &str, overlap: bool) -> String {
    match since.parse::<i64>() {
        Ok(millis) if overlap && millis > 1_000_000_000_000 => (millis - OVERLAP_MS).to_string(),
        _ => since.to_owned(),
    }
}
