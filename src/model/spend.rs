//! What a source costs: bytes both ways, by day. A day begins at midnight of this computer's zone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{
    ids::{CollectionName, SourceName},
    time::Timestamp,
};

/// Heads and bodies of requests and answers; what TLS and TCP add is not known here. A body that came packed counts
/// unpacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    pub sent: u64,
    pub received: u64,
}

impl Spent {
    pub fn total(self) -> u64 {
        self.sent.saturating_add(self.received)
    }

    pub fn add(&mut self, more: Spent) {
        self.sent = self.sent.saturating_add(more.sent);
        self.received = self.received.saturating_add(more.received);
    }
}

/// What one source cost today, and whether that is all it may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpentToday {
    /// Which day that is; see [`day_of`].
    pub day: i64,
    pub total: Spent,
    /// What was for no collection (probes) is in the total alone.
    pub collections: BTreeMap<CollectionName, Spent>,
    /// Bytes a day, both ways.
    pub budget: Option<u64>,
    /// The budget is used up: nothing more is pulled by itself today.
    pub is_used_up: bool,
}

/// A part of a day's bytes, as the journal adds them up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpentRow {
    pub day: i64,
    pub source: SourceName,
    pub collection: Option<CollectionName>,
    pub spent: Spent,
}

const DAY_MS: i64 = 86_400_000;

/// Days since 1970 in the zone `zone_offset` seconds east of UTC.
pub fn day_of(at: Timestamp, zone_offset: i32) -> i64 {
    at.0.saturating_add(i64::from(zone_offset) * 1_000).div_euclid(DAY_MS)
}

/// When the day after `day` begins.
pub fn end_of(day: i64, zone_offset: i32) -> Timestamp {
    Timestamp(day.saturating_add(1).saturating_mul(DAY_MS).saturating_sub(i64::from(zone_offset) * 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_of_the_zone() {
        // 2023-11-14 22:13:20 UTC
        let evening = Timestamp(1_700_000_000_000);
        let utc = day_of(evening, 0);
        assert_eq!(day_of(evening, 2 * 3_600), utc + 1, "past midnight in the east");
        assert_eq!(day_of(evening, -8 * 3_600), utc);
        for zone in [0, 3_600, -8 * 3_600, 20_700] {
            let day = day_of(evening, zone);
            let end = end_of(day, zone);
            assert_eq!(day_of(Timestamp(end.0 - 1), zone), day);
            assert_eq!(day_of(end, zone), day + 1);
        }
    }
}
