//! What the configuration says of a source, without secrets: the part every floor may know.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{
    ids::{CollectionKey, CollectionName, SourceName},
    json::Pointer,
    rules::ConflictRules,
};

/// The protocol of a backend. Only kinds that work are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    Firebase,
}

impl SourceKind {
    pub const ALL: [SourceKind; 1] = [Self::Firebase];

    pub fn word(self) -> &'static str {
        match self {
            Self::Firebase => "firebase",
        }
    }
}

/// How a collection is pulled (page 4, "Pull modes").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PullMode {
    #[default]
    Auto,
    Stream,
    Delta,
    Windows,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CollectionSpec {
    pub name: CollectionName,
    /// Where the backend keeps it, e.g. `tasks` or `teams/7/tasks`.
    pub path: String,
    /// What the list shows besides the id.
    pub columns: Vec<Pointer>,
    pub title: Option<Pointer>,
    pub pull: PullMode,
    pub updated_at: Option<Pointer>,
    pub conflicts: ConflictRules,
}

impl CollectionSpec {
    /// How many keys lie above the members of a record: the backend counts its depth from the root of the database.
    pub fn levels(&self) -> usize {
        self.path.split('/').filter(|part| !part.is_empty()).count() + 1
    }
}

/// How to get the credentials; never the credentials. Resolved by `remote` when needed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthSpec {
    #[default]
    None,
    Env(String),
    File(std::path::PathBuf),
    /// Split like a shell would, run without one; the first line of its output is the token.
    Command(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceSpec {
    pub name: SourceName,
    pub kind: SourceKind,
    /// Base URL; may carry `?ns=` for an emulator. Never user information.
    pub url: String,
    pub auth: AuthSpec,
    /// Who signs in with these credentials, where their token does not tell.
    pub user: Option<String>,
    pub read_only: bool,
    /// Plain `http` beyond loopback is refused unless this is set.
    pub allow_plain: bool,
    pub collections: Vec<CollectionSpec>,
}

impl SourceSpec {
    pub fn keys(&self) -> impl Iterator<Item = CollectionKey> + '_ {
        self.collections.iter().map(|spec| CollectionKey { source: self.name.clone(), collection: spec.name.clone() })
    }

    pub fn collection(&self, name: &CollectionName) -> Option<&CollectionSpec> {
        self.collections.iter().find(|spec| spec.name == *name)
    }
}

/// The `[sync]` settings the engine is built with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SyncSettings {
    /// Ops of different records in flight per source.
    pub parallel: usize,
    /// The wait between probes of a source that answers.
    pub probe_every: Duration,
    /// The wait between sweeps of a collection that is not live.
    pub sweep_every: Duration,
    /// Records asked for in one backfill page.
    pub page_size: usize,
    /// A collection up to this many records is followed by stream under `pull = "auto"`.
    pub stream_records: u64,
    /// How long settled ops, resolved conflicts and the activity log are kept.
    pub keep: Duration,
    /// Take the operating system's word that the network changed as a hint to look.
    pub watch_network: bool,
    /// Bytes a day and source, both ways, after which nothing more is pulled by itself that day.
    pub daily_budget: Option<u64>,
    /// Bytes an hour and source that comparing collections in the background may cost; zero: never compared by itself.
    pub audit_budget: u64,
    /// The wait between two such comparisons of a collection.
    pub audit_every: Duration,
    /// Seconds east of UTC: where a day begins. Found by the runtime, not configured.
    pub zone_offset: i32,
    pub vault: VaultSettings,
    pub deadlines: Deadlines,
}

/// How much of the past the vault keeps. What is beyond either limit goes, the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultSettings {
    pub keep: Duration,
    /// Bytes on disk, compressed.
    pub most: u64,
}

impl Default for VaultSettings {
    fn default() -> Self {
        Self { keep: Duration::from_secs(30 * 86_400), most: 256 << 20 }
    }
}

impl Default for SyncSettings {
    fn default() -> Self {
        Self {
            parallel: 4,
            probe_every: Duration::from_secs(30),
            sweep_every: Duration::from_secs(300),
            page_size: 1_000,
            stream_records: 10_000,
            keep: Duration::from_secs(7 * 86_400),
            watch_network: true,
            daily_budget: None,
            audit_budget: 1_000_000,
            audit_every: Duration::from_secs(6 * 3_600),
            zone_offset: 0,
            vault: VaultSettings::default(),
            deadlines: Deadlines::default(),
        }
    }
}

/// How long each phase of a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlines {
    /// Name, connection and TLS together.
    pub connect: Duration,
    /// Silence between two pieces of an answer, the first included.
    pub read: Duration,
    /// A whole write or read of one record.
    pub total: Duration,
    /// A whole read of many records.
    pub bulk: Duration,
    /// How often a live feed says that it is alive; 2.5 of these without a sign end it.
    pub heartbeat: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            read: Duration::from_secs(20),
            total: Duration::from_secs(60),
            bulk: Duration::from_secs(600),
            heartbeat: Duration::from_secs(30),
        }
    }
}

impl Deadlines {
    /// The silence after which a live feed is taken for dead.
    pub fn watchdog(&self) -> Duration {
        self.heartbeat * 5 / 2
    }
}
