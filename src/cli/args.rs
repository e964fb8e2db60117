//! The shape of the command line. What each command takes is declared beside what it does.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{
    conflicts::ConflictsCommand, dashboard, doctor::DoctorArgs, draft::DraftCommand, edit, export, guard::GuardCommand,
    import, init, journal::JournalCommand, outbox::OutboxCommand, records, serve, session::SessionCommand, shell, sync,
    vault::VaultCommand,
};

/// A terminal workbench for JSON data that lives behind an unreliable network
///
/// Mirrors collections from a backend into SQLite, keeps them browsable, searchable and editable with no network,
/// queues every edit in a durable outbox, sends the queue by itself when the backend can be reached, and after any
/// exit comes back to the very screen you left.
///
/// Without a command it opens the dashboard. `ebbtide demo` shows everything with sample data and nothing to configure.
#[derive(Debug, Parser)]
#[command(name = "ebbtide", version, max_term_width = 100, after_long_help = EXIT_CODES)]
pub(super) struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(flatten)]
    pub dashboard: dashboard::DashboardArgs,
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  usage, configuration or data error
  3  work is still pending
  4  unresolved conflicts
  5  rejected edits
Only `sync` and `status` give 3 to 5, the highest that applies.

With --json there is one JSON document on stdout; an error is one on stderr:
  {\"error\": TEXT, \"caused_by\": [TEXT, …], \"hint\": TEXT or null}
The shape of each document is part of the command's --help. Times are RFC 3339 in UTC.

Environment:
  EBBTIDE_CONFIG, EBBTIDE_DATA_DIR   like --config and --data-dir
  EBBTIDE_LOG                        what is logged, e.g. debug or ebbtide::sync=trace
  NO_COLOR                           no colours";

/// Accepted before or after the command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Globals {
    /// The configuration [default: $XDG_CONFIG_HOME/ebbtide/config.toml]
    #[arg(long, global = true, value_name = "FILE", env = "EBBTIDE_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// Where the data is kept [default: $XDG_DATA_HOME/ebbtide]
    #[arg(long, global = true, value_name = "DIR", env = "EBBTIDE_DATA_DIR", hide_env_values = true)]
    pub data_dir: Option<PathBuf>,
    /// Print one JSON document on stdout, and errors as JSON on stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// Start forced offline: nothing is sent or fetched
    #[arg(long, global = true)]
    pub offline: bool,
    /// Look at a copy of the data; nothing in the data dir is touched
    #[arg(long, global = true)]
    pub read_only: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Demo(dashboard::DemoArgs),
    Serve(serve::ServeArgs),
    Init(init::InitArgs),
    Sync(sync::SyncArgs),
    #[command(about = super::status::ABOUT, after_long_help = super::status::SHAPE)]
    Status,
    List(records::ListArgs),
    Get(records::GetArgs),
    Search(records::SearchArgs),
    Put(edit::PutArgs),
    Patch(edit::PatchArgs),
    Delete(edit::DeleteArgs),
    Import(import::ImportArgs),
    Export(export::ExportArgs),
    Outbox(OutboxArgs),
    Conflicts(ConflictsArgs),
    Draft(DraftArgs),
    Vault(VaultArgs),
    Guard(GuardArgs),
    Session(SessionArgs),
    Journal(JournalArgs),
    #[command(about = super::doctor::ABOUT, after_long_help = super::doctor::SHAPE)]
    Doctor(DoctorArgs),
    /// Show where everything is kept
    #[command(after_long_help = shell::PATHS_SHAPE)]
    Paths,
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
}

/// See and steer the edits that wait for the server
#[derive(Debug, Args)]
pub(super) struct OutboxArgs {
    #[command(subcommand)]
    pub command: OutboxCommand,
}

/// See and resolve conflicts: the server moved, and the edit needs you
#[derive(Debug, Args)]
pub(super) struct ConflictsArgs {
    #[command(subcommand)]
    pub command: ConflictsCommand,
}

/// See, queue and discard drafts: what was typed and not queued
#[derive(Debug, Args)]
pub(super) struct DraftArgs {
    #[command(subcommand)]
    pub command: DraftCommand,
}

/// See and bring back versions that lost: discarded, overwritten, gone on the server
#[derive(Debug, Args)]
pub(super) struct VaultArgs {
    #[command(subcommand)]
    pub command: VaultCommand,
}

/// See and answer collections that stopped: much is gone there, or another server answers
#[derive(Debug, Args)]
pub(super) struct GuardArgs {
    #[command(subcommand)]
    pub command: GuardCommand,
}

/// See and delete saved screens
#[derive(Debug, Args)]
pub(super) struct SessionArgs {
    #[command(subcommand)]
    pub command: SessionCommand,
}

/// Copy, restore and save the journal: drafts, edits, conflicts, screens, everything that exists only here
#[derive(Debug, Args)]
pub(super) struct JournalArgs {
    #[command(subcommand)]
    pub command: JournalCommand,
}
