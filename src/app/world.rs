//! What the app knows of the world beside its panes: facts reported to it, shared by the header and several panes.

use std::collections::BTreeMap;

use crate::model::{
    ids::{CollectionKey, OpId, RecordKey, SourceName},
    op::OutboxCounts,
    query::CollectionOverview,
    rules::ConflictRules,
    source::{CollectionSpec, SourceSpec},
    sync_status::{CollectionStatus, ConnectivityState, Leadership, SourceStatus},
};

use crate::app::Setup;

/// An op that was handed over for its durable commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saving {
    pub record: RecordKey,
    /// What it does, in a few words.
    pub text: String,
    pub is_new: bool,
}

/// Shared facts. Never saved: they are reported anew after every start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct World {
    pub overview: Vec<CollectionOverview>,
    pub counts: OutboxCounts,
    pub sources: Vec<SourceStatus>,
    pub leadership: Leadership,
    /// Ops handed over for their durable commit that did not answer yet: shown as `saving`.
    pub saving: BTreeMap<OpId, Saving>,
    /// The last commit before a paint failed.
    pub commit_failed: Option<String>,
    pub emergency_file: Option<String>,
    pub journal_locked: bool,
    pub network_cut: bool,
}

impl World {
    pub fn overview_of(&self, key: &CollectionKey) -> Option<&CollectionOverview> {
        self.overview.iter().find(|overview| overview.key == *key)
    }

    pub fn status_of(&self, source: &SourceName) -> Option<&SourceStatus> {
        self.sources.iter().find(|status| status.source == *source)
    }

    pub fn collection_status(&self, key: &CollectionKey) -> Option<&CollectionStatus> {
        self.status_of(&key.source)?.collections.iter().find(|status| status.key == *key)
    }

    pub fn state_of(&self, source: &SourceName) -> ConnectivityState {
        self.status_of(source).map_or(ConnectivityState::Unknown, |status| status.connectivity.state)
    }
}

impl Setup {
    pub fn source(&self, name: &SourceName) -> Option<&SourceSpec> {
        self.sources.iter().find(|source| source.name == *name)
    }

    /// How many keys lie above the members of a record: the backend counts its depth from the root of the database.
    pub fn levels(&self, key: &CollectionKey) -> usize {
        self.collection(key).map_or(2, CollectionSpec::levels)
    }

    pub fn collection(&self, key: &CollectionKey) -> Option<&CollectionSpec> {
        self.source(&key.source)?.collection(&key.collection)
    }

    /// How the collection settles what both sides changed.
    pub fn rules(&self, key: &CollectionKey) -> ConflictRules {
        self.collection(key).map(|spec| spec.conflicts.clone()).unwrap_or_default()
    }

    /// True where edits of the collection are refused.
    pub fn is_read_only(&self, key: &CollectionKey) -> bool {
        self.read_only || self.source(&key.source).is_some_and(|source| source.read_only)
    }
}
