//! The command line as a script sees it: the real binary, real files, real sockets.

#[path = "cli/accounts.rs"]
mod accounts;
#[path = "cli/conflicts.rs"]
mod conflicts;
#[path = "cli/drafts.rs"]
mod drafts;
#[path = "cli/errors.rs"]
mod errors;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/journal.rs"]
mod journal;
#[path = "cli/local.rs"]
mod local;
#[path = "cli/place.rs"]
mod place;
#[path = "cli/plan.rs"]
mod plan;
#[path = "cli/story.rs"]
mod story;
