//! The spend meter of a source: what its requests cost today, and whether more may be spent.
//!
//! The journal adds parts up, so that nothing has to be read back and a clock that was set writes no day over. Parts are
//! handed out when there is enough of them: an idle source writes nothing.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use crate::{
    model::{
        ids::{CollectionName, SourceName},
        spend::{Spent, SpentRow, SpentToday, day_of, end_of},
        time::At,
        wire::Exchange,
    },
    sync::effect::Ticket,
};

/// Less than this is not worth a write, except at the end.
const WORTH_WRITING: u64 = 4_096;
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// So much is written before its minute is over.
const MUCH: u64 = 1 << 20;
/// A smaller difference is no news on a screen.
const WORTH_SHOWING: u64 = 1_024;

pub(super) struct Meter {
    source: SourceName,
    zone_offset: i32,
    today: SpentToday,
    unsaved: BTreeMap<(i64, Option<CollectionName>), Spent>,
    saved_at: Option<Duration>,
    /// What the feed of each collection had received when it was heard last.
    feeds: HashMap<CollectionName, (Ticket, u64)>,
    shown: SpentToday,
}

impl Meter {
    pub(super) fn new(source: SourceName, zone_offset: i32, budget: Option<u64>) -> Self {
        let today = SpentToday { budget, ..SpentToday::default() };
        Self {
            source,
            zone_offset,
            shown: today.clone(),
            today,
            unsaved: BTreeMap::new(),
            saved_at: None,
            feeds: HashMap::new(),
        }
    }

    /// What the journal knows of today from before this start.
    pub(super) fn remember(&mut self, at: &At, rows: &[SpentRow]) {
        self.turn_the_day(at);
        let (source, today) = (self.source.clone(), self.today.day);
        for row in rows.iter().filter(|row| row.source == source && row.day == today) {
            self.count(row.collection.as_ref(), row.spent);
        }
        self.show();
    }

    pub(super) fn note(&mut self, at: &At, collection: Option<&CollectionName>, exchange: &Exchange) {
        let spent = Spent {
            sent: exchange.bytes_up + exchange.head_bytes_up,
            received: exchange.bytes_down + exchange.head_bytes_down,
        };
        self.spend(at, collection, spent);
    }

    /// `bytes` is what the feed received since it was opened.
    pub(super) fn note_feed(&mut self, at: &At, ticket: Ticket, collection: &CollectionName, bytes: u64) {
        let before = self.feeds.insert(collection.clone(), (ticket, bytes)).filter(|(feed, _)| *feed == ticket);
        let received = bytes.saturating_sub(before.map_or(0, |(_, bytes)| bytes));
        self.spend(at, Some(collection), Spent { sent: 0, received });
    }

    fn spend(&mut self, at: &At, collection: Option<&CollectionName>, spent: Spent) {
        if spent == Spent::default() {
            return;
        }
        self.turn_the_day(at);
        self.count(collection, spent);
        self.unsaved.entry((self.today.day, collection.cloned())).or_default().add(spent);
        self.show();
    }

    fn count(&mut self, collection: Option<&CollectionName>, spent: Spent) {
        self.today.total.add(spent);
        if let Some(collection) = collection {
            self.today.collections.entry(collection.clone()).or_default().add(spent);
        }
        self.today.is_used_up = self.today.budget.is_some_and(|budget| self.today.total.total() >= budget);
    }

    /// Called with every event: the day ends also where nothing is spent.
    pub(super) fn turn_the_day(&mut self, at: &At) {
        let day = day_of(at.wall, self.zone_offset);
        if day != self.today.day {
            self.today = SpentToday { day, budget: self.today.budget, ..SpentToday::default() };
            self.show();
        }
    }

    fn show(&mut self) {
        let grown = self.today.total.total().abs_diff(self.shown.total.total()) >= WORTH_SHOWING;
        let differs = self.today.day != self.shown.day || self.today.is_used_up != self.shown.is_used_up;
        if grown || differs {
            self.shown.clone_from(&self.today);
        }
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.today.is_used_up
    }

    /// As published.
    pub(super) fn shown(&self) -> SpentToday {
        self.shown.clone()
    }

    /// When a used up budget is renewed (monotonic).
    pub(super) fn renewed_at(&self, at: &At) -> Option<Duration> {
        let end = end_of(self.today.day, self.zone_offset);
        self.today.is_used_up.then(|| at.mono + end.since(at.wall) + Duration::from_millis(1))
    }

    /// Parts to be written now, if it is worth it; all there are at the `end`.
    pub(super) fn take_unsaved(&mut self, at: &At, end: bool) -> Vec<SpentRow> {
        let unsaved = self.unsaved.values().fold(0_u64, |sum, spent| sum.saturating_add(spent.total()));
        let due = self.saved_at.is_none_or(|last| at.mono >= last + WRITE_EVERY);
        if !(end || unsaved >= MUCH || (due && unsaved >= WORTH_WRITING)) {
            return Vec::new();
        }
        self.saved_at = Some(at.mono);
        let rows = std::mem::take(&mut self.unsaved).into_iter();
        rows.map(|((day, collection), spent)| SpentRow { day, source: self.source.clone(), collection, spent })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    fn meter(budget: Option<u64>) -> Meter {
        Meter::new("s".into(), 0, budget)
    }

    fn cost(up: u64, down: u64) -> Exchange {
        Exchange { bytes_up: up, bytes_down: down, ..Exchange::default() }
    }

    #[test]
    fn bytes_are_counted_by_collection_and_a_feed_by_what_it_grew() {
        let (mut meter, at) = (meter(None), At::test(0));
        meter.note(&at, Some(&"a".into()), &cost(100, 2_000));
        meter.note(&at, None, &Exchange { head_bytes_up: 30, head_bytes_down: 40, ..Exchange::default() });
        meter.note_feed(&at, Ticket(1), &"b".into(), 500);
        meter.note_feed(&at, Ticket(1), &"b".into(), 800);
        meter.note_feed(&at, Ticket(1), &"b".into(), 800);
        meter.note_feed(&at, Ticket(2), &"b".into(), 10);
        assert_eq!(meter.today.total, Spent { sent: 130, received: 2_850 });
        assert_eq!(meter.today.collections[&"b".into()], Spent { sent: 0, received: 810 });
    }

    #[test]
    fn an_idle_source_writes_nothing_and_a_busy_one_once_a_minute() {
        let mut meter = meter(None);
        let mut written = Spent::default();
        let mut writes = 0;
        for second in 0..600 {
            meter.note(&At::test(second), Some(&"a".into()), &cost(0, if second < 300 { 1_000 } else { 1 }));
            let rows = meter.take_unsaved(&At::test(second), false);
            writes += usize::from(!rows.is_empty());
            rows.iter().for_each(|row| written.add(row.spent));
        }
        assert!(writes <= 6, "{writes}");
        let rest = meter.take_unsaved(&At::test(600), true);
        rest.iter().for_each(|row| written.add(row.spent));
        assert_eq!(written, meter.today.total, "no byte is lost or counted twice");
    }

    #[test]
    fn a_day_ends_at_midnight_and_renews_the_budget() {
        let mut meter = meter(Some(1_000));
        let evening = At { wall: Timestamp(86_400_000 * 100 - 5_000), ..At::test(50) };
        meter.note(&evening, Some(&"a".into()), &cost(0, 1_000));
        assert!(meter.is_used_up());
        assert_eq!(meter.renewed_at(&evening), Some(Duration::from_millis(55_001)));
        let morning = At { wall: Timestamp(86_400_000 * 100), ..At::test(55) };
        meter.turn_the_day(&morning);
        assert!(!meter.is_used_up());
        assert_eq!(meter.shown().total, Spent::default());
        let rows = meter.take_unsaved(&morning, true);
        assert_eq!(rows.iter().map(|row| (row.day, row.spent.received)).collect::<Vec<_>>(), [(99, 1_000)]);
    }

    #[test]
    fn what_was_spent_before_a_restart_counts() {
        let mut meter = meter(Some(1_000));
        let (day, spent) = (day_of(At::test(0).wall, 0), Spent { sent: 400, received: 500 });
        let row = |day| SpentRow { day, source: "s".into(), collection: None, spent };
        meter.remember(&At::test(0), &[row(day), row(day - 1)]);
        assert!(!meter.is_used_up());
        meter.note(&At::test(1), None, &cost(0, 100));
        assert!(meter.is_used_up());
        assert_eq!(meter.take_unsaved(&At::test(1), true).len(), 1, "what the journal told is not written again");
    }
}
