//! What is known about reaching a source and how far its collections are: the panes' and `status`'s one truth.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{
    ids::{CollectionKey, RecordId, SourceName},
    rules::{FieldRule, Pattern},
    spend::SpentToday,
    time::Timestamp,
    wire::Link,
};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectivityState {
    #[default]
    Unknown,
    Online,
    Degraded,
    CaptivePortal,
    BackendDown,
    AuthRequired,
    Offline,
    ForcedOffline,
}

impl ConnectivityState {
    /// The word of the header.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Online => "ONLINE",
            Self::Degraded => "DEGRADED",
            Self::CaptivePortal => "PORTAL",
            Self::BackendDown => "BACKEND DOWN",
            Self::AuthRequired => "AUTH",
            Self::Offline => "OFFLINE",
            Self::ForcedOffline => "FORCED OFFLINE",
        }
    }

    pub fn is_usable(self) -> bool {
        matches!(self, Self::Online | Self::Degraded)
    }
}

/// More deletions than may be carried out without asking: up to 25, or a tenth of the collection, and never all of it.
pub fn is_mass_deletion(missing: u64, rows: u64) -> bool {
    missing > 0 && (missing > (rows / 10).max(25) || missing >= rows)
}

/// The facts behind a connectivity state. Every field is something a request of ours proved or met.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Each link of the chain, in order, as far as it was tried: `None` where it does not apply (`tls` on http).
    pub chain: Vec<LinkFact>,
    /// In words: `tcp: connection refused`.
    pub summary: String,
    pub last_success: Option<Timestamp>,
    pub last_failure: Option<Timestamp>,
    pub failures_in_a_row: u32,
    pub next_probe: Option<Timestamp>,
    /// Round trips of the last requests, oldest first, at most 32, in milliseconds.
    pub round_trips_ms: Vec<u32>,
    /// The server's clock minus ours.
    pub clock_offset_ms: Option<i64>,
    #[serde(default)]
    pub clock_uncertainty_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkFact {
    pub link: Link,
    pub ok: bool,
    pub detail: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Connectivity {
    pub state: ConnectivityState,
    pub since: Option<Timestamp>,
    pub evidence: Evidence,
}

/// What a collection is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullPhase {
    #[default]
    NeverSynced,
    Waiting,
    Backfill,
    Sweep,
    Delta,
    /// Following the live feed, no known gap.
    Live,
    /// Pulled and idle, no live feed (`not live`).
    Settled,
    /// Interrupted: goes on by itself at the checkpoint.
    Stalled,
    /// A guard stopped it and asks (mass deletion, identity): the text says what was found.
    Stopped(String),
    /// The user chose to leave both sides as they are: not pulled any more.
    Detached,
}

/// What a log entry about a stopped collection advises.
pub const STOPPED_HINT: &str = "nothing was deleted here: accept, upload yours again, or leave both as they are";

/// What comparing a whole collection with the server found. Differences are healed as they are found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// When it ended; while it goes on, when it began.
    pub at: Timestamp,
    pub checked: u64,
    /// Here and there, with other content.
    pub differing: u64,
    /// There and not here.
    pub missing: u64,
    /// Here and not there.
    pub extra: u64,
    pub healed: u64,
    pub took_ms: u64,
    /// The first of them.
    pub differences: Vec<RecordId>,
}

impl Verified {
    pub fn count(&self) -> u64 {
        self.differing + self.missing + self.extra
    }
}

/// What made a guard stop a collection before a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardReason {
    /// Much of what is here is gone there.
    MassDeletion,
    /// Another database answers than the one the copies came from.
    OtherServer,
    /// Many records are older there than they were: a server restored from a backup.
    OlderRecords,
}

impl GuardReason {
    pub fn word(self) -> &'static str {
        match self {
            Self::MassDeletion => "mass_deletion",
            Self::OtherServer => "other_server",
            Self::OlderRecords => "older_records",
        }
    }
}

/// What a guard found and asks about. On disk with the checkpoint, until it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardFound {
    pub reason: GuardReason,
    pub text: String,
    /// Records that going on would delete or set back here, and records here in all. Zero where not counted.
    pub affected: u64,
    pub rows: u64,
    /// The first of them, to show.
    pub sample: Vec<RecordId>,
    pub since: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CollectionStatus {
    pub key: CollectionKey,
    pub phase: PullPhase,
    pub done: u64,
    /// The true denominator, where the backend gave one.
    pub total: Option<u64>,
    /// Records a second over the last seconds, while pulling.
    pub rate: Option<f64>,
    pub bytes: u64,
    pub last_pull: Option<Timestamp>,
    pub checkpoint: Option<String>,
    pub next_at: Option<Timestamp>,
    pub last_error: Option<String>,
    /// What it stopped for; also while it is detached.
    #[serde(default)]
    pub guard: Option<GuardFound>,
    /// The last comparison with the server that came to its end.
    #[serde(default)]
    pub verified: Option<Verified>,
}

impl CollectionStatus {
    pub fn new(key: CollectionKey) -> Self {
        Self {
            key,
            phase: PullPhase::default(),
            done: 0,
            total: None,
            rate: None,
            bytes: 0,
            last_pull: None,
            checkpoint: None,
            next_at: None,
            last_error: None,
            guard: None,
            verified: None,
        }
    }
}

/// The sending side of a source.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PushStatus {
    /// Acknowledged since the outbox was last empty.
    pub done: u64,
    /// `done` plus what is still to go, ops that need a person left out.
    pub total: u64,
    pub in_flight: u64,
    /// Ops a second while draining.
    pub rate: Option<f64>,
    pub next_attempt: Option<Timestamp>,
    pub last_success: Option<Timestamp>,
    /// Why nothing goes out, in words, where nothing does (`paused by you`, `Retry-After`, `needs credentials`).
    pub waiting_for: Option<String>,
}

/// Everything known about one source, published at most twice a second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    pub source: SourceName,
    pub connectivity: Connectivity,
    pub paused: bool,
    pub push: PushStatus,
    pub collections: Vec<CollectionStatus>,
    #[serde(default)]
    pub spent: SpentToday,
    #[serde(default)]
    pub account: Account,
    /// When this was true; older than 5 s without a process that carries the sync means stale.
    pub at: Timestamp,
}

/// Who is signed in at a source, and whose edits wait for that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// A name from the configuration or a token's subject, shortened; never anything secret.
    pub principal: Option<String>,
    /// Edits of other accounts that wait until somebody confirms that this one sends them.
    pub foreign: Vec<Foreign>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    pub author: String,
    pub ops: u64,
}

/// Whether this process carries the sync, another does, or none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leadership {
    #[default]
    None,
    This,
    Other,
}

/// A wish addressed to the sync leader, whichever process that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncRequest {
    /// Pull and push everything now; forgets backoff.
    Sync {
        source: Option<SourceName>,
    },
    /// Compare whole collections with the server, and heal what differs.
    Verify {
        collection: Option<CollectionKey>,
    },
    Probe {
        source: Option<SourceName>,
    },
    Pause {
        source: Option<SourceName>,
    },
    Resume {
        source: Option<SourceName>,
    },
    ForceOffline(bool),
    /// The account signed in at the source may send what another one made.
    ConfirmAuthor {
        source: SourceName,
    },
    /// Edits were queued, released or retried: look at the outbox.
    OutboxChanged,
    /// A new rule of a collection's configuration: settle by it from now on.
    Learn {
        collection: CollectionKey,
        pattern: Pattern,
        rule: FieldRule,
    },
    /// The user's answer to a stopped collection.
    AnswerGuard {
        collection: CollectionKey,
        answer: GuardAnswer,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardAnswer {
    /// Delete here what is gone there (the vault keeps it).
    Accept,
    /// Put what is here back there, as creates.
    Reupload,
    /// Leave both as they are and stop pulling the collection.
    Detach,
    /// Pull a detached collection again.
    Attach,
}

/// How long a published status is believed without a leader renewing it.
pub const STALE_AFTER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_lets_small_deletions_pass_and_stops_an_emptied_collection() {
        assert!(!is_mass_deletion(0, 0));
        assert!(!is_mass_deletion(25, 100));
        assert!(is_mass_deletion(26, 100));
        assert!(!is_mass_deletion(100, 1_000));
        assert!(is_mass_deletion(101, 1_000));
        assert!(is_mass_deletion(3, 3));
    }
}
