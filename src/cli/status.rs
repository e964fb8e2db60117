//! `status`: where everything stands, from the local data alone; nothing is asked of the network.
//!
//! Connectivity is a claim about now, so it is made only while some process keeps it fresh. Otherwise the state is
//! `unknown`, and what was known last stays visible as evidence.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{
    Outcome,
    output::{self, Data, count, grouped, table},
    report::Failure,
    shapes,
    world::{NOTHING_CONFIGURED, World},
};
use crate::{
    app::words::{self, bytes},
    config::Config,
    model::{
        ids::{CollectionKey, CollectionName, SourceName},
        op::OutboxCounts,
        query::CollectionOverview,
        source::SourceSpec,
        spend::{Spent, SpentRow, day_of},
        sync_status::{
            Account, CollectionStatus, Connectivity, ConnectivityState, PullPhase, STALE_AFTER, SourceStatus, Verified,
        },
        time::{self, Timestamp},
    },
    runtime::clock::zone_offset,
    store::Reader,
    sync::position,
};

pub(super) const ABOUT: &str = "Show sources, connectivity, collections, outbox, drafts and conflicts";

pub(super) const SHAPE: &str = "\
Exit codes: 0 nothing waits, 3 work is still pending, 4 unresolved conflicts, 5 rejected edits.

JSON:
  {\"sources\": [{\"name\", \"kind\", \"url\", \"read_only\", \"paused\",
      \"connectivity\": {\"state\": STATE, \"since\", \"last_known\": STATE or null,
        \"evidence\": {\"summary\", \"chain\": [{\"link\", \"ok\", \"detail\"}], \"last_success\",
          \"last_failure\", \"failures_in_a_row\", \"next_probe\", \"round_trips_ms\",
          \"clock_offset_ms\": server minus here, \"clock_uncertainty_ms\"}},
      \"spent_today\": {\"sent\", \"received\"} bytes, \"daily_budget\": bytes or null,
      \"account\": {\"principal\": who is signed in, or null,
        \"foreign\": [{\"author\", \"ops\"}] edits of others that wait to be confirmed},
      \"push\": {\"in_flight\", \"next_attempt\", \"last_success\", \"waiting_for\"},
      \"collections\": [{\"name\", \"records\", \"phase\", \"done\", \"total\", \"pending\", \"held\",
        \"drafts\", \"conflicts\", \"rejected\", \"checkpoint\", \"last_pull\", \"last_error\",
        \"spent_today\": {\"sent\", \"received\"},
        \"verified\": {\"at\", \"differences\": how many} or null}]}],
   \"outbox\": {\"pending\": all that is not settled, \"queued\", \"held\", \"blocked\", \"in_flight\",
      \"in_doubt\", \"auth\", \"conflict\", \"rejected\"},
   \"forced_offline\": since when, or null, \"drafts\": how many, \"conflicts\": how many}
  STATE: unknown online degraded captive_portal backend_down auth_required offline
  forced_offline; unknown unless a process carries the sync or looked within the
  last seconds
  phase: never_synced waiting backfill sweep delta live settled stalled stopped detached;
  a stopped collection asks (`ebbtide guard list`) and makes the exit code 3
  verified: when the copies were last compared with the server whole, by `sync --verify` or in the
  background (`audit_mb_per_hour`, `audit_every` in [sync]), and how many were not as they are
  there; they are healed. In a collection that is not followed live, what changed since its last
  pull counts too";

pub(super) fn run(world: &World) -> Outcome {
    let config = world.config()?;
    let mut reader = world.reader()?;
    let picture = Picture::take(&mut reader, &config, world.now())?;
    picture.print(world)?;
    Ok(picture.exit_code())
}

/// Everything `status` says, in one look.
pub(super) struct Picture<'c> {
    config: &'c Config,
    now: Timestamp,
    statuses: Vec<SourceStatus>,
    overviews: Vec<CollectionOverview>,
    pub counts: OutboxCounts,
    drafts: u64,
    pub conflicts: u64,
    spent: Vec<SpentRow>,
    accounts: Vec<(SourceName, Account)>,
    forced_offline: Option<Timestamp>,
    /// A process carries the sync and publishes what changes.
    is_led: bool,
}

impl<'c> Picture<'c> {
    pub fn take(reader: &mut Reader, config: &'c Config, now: Timestamp) -> Result<Self, Failure> {
        let keys: Vec<CollectionKey> = config.sources.iter().flat_map(SourceSpec::keys).collect();
        Ok(Self {
            config,
            now,
            statuses: reader.statuses()?,
            overviews: reader.overview(&keys)?,
            counts: reader.counts()?,
            drafts: reader.drafts()?.len() as u64,
            conflicts: reader.conflicts(false)?.len() as u64,
            spent: reader.spent(day_of(now, zone_offset()))?,
            accounts: reader.accounts()?,
            forced_offline: reader.forced_offline()?,
            is_led: reader.is_led(),
        })
    }

    /// The same look with what a running engine said of its sources, which is fresher than what it published.
    pub fn with_statuses(mut self, statuses: Vec<SourceStatus>) -> Self {
        if !statuses.is_empty() {
            self.statuses = statuses;
        }
        self
    }

    pub fn exit_code(&self) -> ExitCode {
        if self.counts.rejected > 0 {
            ExitCode::from(5)
        } else if self.conflicts > 0 || self.counts.conflict > 0 {
            ExitCode::from(4)
        } else if self.counts.pending() > 0 || self.asks() {
            ExitCode::from(3)
        } else {
            ExitCode::SUCCESS
        }
    }

    /// True where a guard stopped a collection: it waits for a person.
    fn asks(&self) -> bool {
        self.overviews.iter().any(|overview| {
            let position = position(overview.checkpoint.as_deref());
            position.guard.is_some() && !position.is_detached
        })
    }

    /// What is on disk says more than what was published last: it is true without a running sync too.
    fn phase(&self, key: &CollectionKey) -> PullPhase {
        let overview = self.overviews.iter().find(|overview| overview.key == *key);
        let position = position(overview.and_then(|overview| overview.checkpoint.as_deref()));
        match position.guard {
            _ if position.is_detached => PullPhase::Detached,
            Some(found) => PullPhase::Stopped(found.text),
            None => match self.collection_status(key).map(|status| &status.phase) {
                None => PullPhase::NeverSynced,
                // Nobody follows it any more.
                Some(PullPhase::Live) if !self.is_followed(key) => PullPhase::Settled,
                Some(phase) => phase.clone(),
            },
        }
    }

    pub fn print(&self, world: &World) -> Result<(), Failure> {
        if world.json {
            return Ok(output::json(&self.document())?);
        }
        let mut data = Data::new();
        if self.config.sources.is_empty() {
            data.line("no source is configured")?;
            output::talk(NOTHING_CONFIGURED);
        }
        for source in &self.config.sources {
            data.line(&self.headline(source))?;
            for line in self.notes(source) {
                data.line(&format!("  {line}"))?;
            }
            let rows: Vec<Vec<String>> = source.keys().map(|key| self.row(&key)).collect();
            let headings = ["COLLECTION", "RECORDS", "PHASE", "LAST PULL", "WAITING", "CONFLICTS", "VERIFIED"];
            for line in table(&headings, &rows, 60) {
                data.exact(&format!("  {line}"))?;
            }
        }
        data.line(&self.outbox_line())?;
        Ok(data.finish()?)
    }

    fn status(&self, source: &SourceSpec) -> Option<&SourceStatus> {
        self.statuses.iter().find(|status| status.source == source.name)
    }

    /// What may be claimed now, and what was known last.
    fn connectivity(&self, source: &SourceSpec) -> (ConnectivityState, Connectivity) {
        let Some(status) = self.status(source) else { return (ConnectivityState::Unknown, Connectivity::default()) };
        let state = if self.forced_offline.is_some() {
            ConnectivityState::ForcedOffline
        } else if self.is_true_now(status) {
            status.connectivity.state
        } else {
            ConnectivityState::Unknown
        };
        (state, status.connectivity.clone())
    }

    /// What was published may still be claimed.
    fn is_true_now(&self, status: &SourceStatus) -> bool {
        // A stamp of the future is no fresher: somebody set the clock back.
        let is_recent = self.now.since(status.at) <= STALE_AFTER && status.at.since(self.now) <= STALE_AFTER;
        self.is_led || is_recent
    }

    fn is_followed(&self, key: &CollectionKey) -> bool {
        self.statuses.iter().any(|status| status.source == key.source && self.is_true_now(status))
    }

    fn headline(&self, source: &SourceSpec) -> String {
        let (state, known) = self.connectivity(source);
        let mut text =
            format!("{} ({}) {}: {}", source.name, source.kind.word(), source.url, state.label().to_lowercase());
        if state == ConnectivityState::Unknown && known.state != ConnectivityState::Unknown {
            text.push_str(&format!(", last known {}", known.state.label().to_lowercase()));
        }
        if let Some(since) = known.since {
            text.push_str(&format!(" since {}", since.to_rfc3339()));
        }
        if !known.evidence.summary.is_empty() {
            text.push_str(&format!(" ({})", known.evidence.summary));
        }
        text
    }

    /// What it cost today, and whose edits wait.
    fn notes(&self, source: &SourceSpec) -> Vec<String> {
        let mut notes = Vec::new();
        let spent = self.spent_today(source, None);
        if spent.total() > 0 {
            let budget = self.budget().map(|budget| format!(" of {}", bytes(budget))).unwrap_or_default();
            let over = if self.is_over_budget(source) { "; nothing more is fetched by itself today" } else { "" };
            notes.push(format!("today {} sent, {} received{budget}{over}", bytes(spent.sent), bytes(spent.received)));
        }
        let account = self.account(source);
        for foreign in &account.foreign {
            notes.push(format!(
                "{} made as {}, signed in as {}: `ebbtide outbox confirm --source {}` sends them",
                count(foreign.ops, "edit"),
                foreign.author,
                account.principal.as_deref().unwrap_or("somebody else"),
                source.name
            ));
        }
        notes
    }

    fn account(&self, source: &SourceSpec) -> Account {
        self.accounts
            .iter()
            .find(|(name, _)| *name == source.name)
            .map(|(_, account)| account.clone())
            .unwrap_or_default()
    }

    /// The journal's count, which a running engine adds to now and then, or that engine's own where it says more.
    fn spent_today(&self, source: &SourceSpec, collection: Option<&CollectionName>) -> Spent {
        let of = |row: &&SpentRow| {
            row.source == source.name && (collection.is_none() || row.collection.as_ref() == collection)
        };
        let mut kept = Spent::default();
        self.spent.iter().filter(of).for_each(|row| kept.add(row.spent));
        let today = day_of(self.now, zone_offset());
        let told = self.status(source).map(|status| &status.spent).filter(|told| told.day == today);
        let told = told.and_then(|told| match collection {
            Some(collection) => told.collections.get(collection).copied(),
            None => Some(told.total),
        });
        told.filter(|told| told.total() > kept.total()).unwrap_or(kept)
    }

    fn budget(&self) -> Option<u64> {
        self.config.sync.daily_budget
    }

    fn is_over_budget(&self, source: &SourceSpec) -> bool {
        self.budget().is_some_and(|budget| self.spent_today(source, None).total() >= budget)
    }

    fn row(&self, key: &CollectionKey) -> Vec<String> {
        let overview = self.overviews.iter().find(|overview| overview.key == *key);
        let phase = self.phase(key);
        let number = |of: fn(&CollectionOverview) -> u64| overview.map(of).unwrap_or(0);
        let last_pull = overview.and_then(|overview| overview.last_pull);
        vec![
            key.collection.to_string(),
            grouped(number(|overview| overview.records)),
            phase_word(&phase).replace('_', " "),
            last_pull.map_or_else(|| "never".to_owned(), |at| time::age(self.now.since(at))),
            grouped(number(|overview| overview.pending)),
            grouped(number(|overview| overview.conflicts)),
            self.verified(key).map_or_else(
                || "never".to_owned(),
                |found| format!("{}, {}", words::ago(self.now, found.at), count(found.count(), "difference")),
            ),
        ]
    }

    /// The last comparison of all of a collection; the checkpoint has it, whoever made it.
    fn verified(&self, key: &CollectionKey) -> Option<Verified> {
        let overview = self.overviews.iter().find(|overview| overview.key == *key)?;
        position(overview.checkpoint.as_deref()).verified
    }

    fn collection_status(&self, key: &CollectionKey) -> Option<&CollectionStatus> {
        self.statuses.iter().flat_map(|status| &status.collections).find(|status| status.key == *key)
    }

    fn outbox_line(&self) -> String {
        let counts = &self.counts;
        let states = [
            (counts.queued, "queued"),
            (counts.in_flight, "sending"),
            (counts.in_doubt, "in doubt"),
            (counts.held, "held"),
            (counts.blocked, "blocked"),
            (counts.auth, "waiting for credentials"),
            (counts.conflict, "in conflict"),
            (counts.rejected, "rejected"),
        ];
        let parts: Vec<String> =
            states.iter().filter(|(number, _)| *number > 0).map(|(number, word)| format!("{number} {word}")).collect();
        let detail = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
        let (drafts, conflicts) = (count(self.drafts, "draft"), count(self.conflicts, "conflict"));
        format!("outbox: {} waiting{detail}; {drafts}, {conflicts}", grouped(counts.pending()))
    }

    fn document(&self) -> Value {
        let counts = &self.counts;
        json!({
            "sources": self.config.sources.iter().map(|source| self.source(source)).collect::<Vec<_>>(),
            "outbox": {
                "pending": counts.pending(),
                "queued": counts.queued,
                "held": counts.held,
                "blocked": counts.blocked,
                "in_flight": counts.in_flight,
                "in_doubt": counts.in_doubt,
                "auth": counts.auth,
                "conflict": counts.conflict,
                "rejected": counts.rejected,
            },
            "forced_offline": shapes::maybe_time(self.forced_offline),
            "drafts": self.drafts,
            "conflicts": self.conflicts,
        })
    }

    fn source(&self, source: &SourceSpec) -> Value {
        let (state, known) = self.connectivity(source);
        let push = self.status(source).map(|status| status.push.clone()).unwrap_or_default();
        let evidence = &known.evidence;
        json!({
            "name": source.name,
            "kind": source.kind.word(),
            "url": source.url,
            "read_only": source.read_only,
            "paused": self.status(source).is_some_and(|status| status.paused),
            "connectivity": {
                "state": state,
                "since": shapes::maybe_time(known.since),
                "last_known": self.status(source).map(|status| status.connectivity.state),
                "evidence": {
                    "summary": evidence.summary,
                    "chain": evidence.chain,
                    "last_success": shapes::maybe_time(evidence.last_success),
                    "last_failure": shapes::maybe_time(evidence.last_failure),
                    "failures_in_a_row": evidence.failures_in_a_row,
                    "next_probe": shapes::maybe_time(evidence.next_probe),
                    "round_trips_ms": evidence.round_trips_ms,
                    "clock_offset_ms": evidence.clock_offset_ms,
                    "clock_uncertainty_ms": evidence.clock_uncertainty_ms,
                },
            },
            "push": {
                "in_flight": push.in_flight,
                "next_attempt": shapes::maybe_time(push.next_attempt),
                "last_success": shapes::maybe_time(push.last_success),
                "waiting_for": push.waiting_for,
            },
            "spent_today": self.spent_today(source, None),
            "daily_budget": self.budget(),
            "account": self.account(source),
            "collections": source.keys().map(|key| self.collection(source, &key)).collect::<Vec<_>>(),
        })
    }

    fn collection(&self, source: &SourceSpec, key: &CollectionKey) -> Value {
        let overview = self.overviews.iter().find(|overview| overview.key == *key);
        let status = self.collection_status(key);
        let number = |of: fn(&CollectionOverview) -> u64| overview.map(of).unwrap_or(0);
        json!({
            "name": key.collection,
            "records": number(|overview| overview.records),
            "phase": phase_word(&self.phase(key)),
            "done": status.map(|status| status.done),
            "total": status.and_then(|status| status.total),
            "pending": number(|overview| overview.pending),
            "held": number(|overview| overview.held),
            "drafts": number(|overview| overview.drafts),
            "conflicts": number(|overview| overview.conflicts),
            "rejected": number(|overview| overview.rejected),
            "checkpoint": overview.and_then(|overview| overview.checkpoint.as_ref()),
            "last_pull": shapes::maybe_time(overview.and_then(|overview| overview.last_pull)),
            "last_error": status.and_then(|status| status.last_error.as_ref()),
            "spent_today": self.spent_today(source, Some(&key.collection)),
            "verified": self.verified(key).map(|found| json!({
                "at": shapes::time(found.at),
                "differences": found.count(),
            })),
        })
    }
}

pub(super) fn phase_word(phase: &PullPhase) -> &'static str {
    match phase {
        PullPhase::NeverSynced => "never_synced",
        PullPhase::Waiting => "waiting",
        PullPhase::Backfill => "backfill",
        PullPhase::Sweep => "sweep",
        PullPhase::Delta => "delta",
        PullPhase::Live => "live",
        PullPhase::Settled => "settled",
        PullPhase::Stalled => "stalled",
        PullPhase::Stopped(_) => "stopped",
        PullPhase::Detached => "detached",
    }
}
