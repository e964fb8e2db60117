//! One row in the log where the way to a source breaks or comes back; never more than one in a while.

use std::time::Duration;

use crate::{
    model::{activity::Severity, sync_status::ConnectivityState as State},
    sync::{connectivity::Tracker, lane::Cx},
};

/// Two rows about the same source are at least this far apart; what changed back meanwhile was no news.
const AT_MOST_EVERY: Duration = Duration::from_secs(10);

/// What the log was told last of a source.
#[derive(Debug, Clone, Default)]
pub(super) struct Headline {
    said: State,
    said_at: Option<Duration>,
}

impl Headline {
    pub(super) fn tell(&mut self, cx: &mut Cx<'_>, source: &str, tracker: &Tracker) {
        let now = tracker.shown();
        if now == self.said || self.said_at.is_some_and(|last| cx.at.mono < last + AT_MOST_EVERY) {
            return;
        }
        let kept = Some("your edits are kept; they go out when it answers");
        let summary = tracker.summary();
        match (self.said, now) {
            // The user's own doing, or not known yet; the lane itself tells of credentials.
            (_, State::Unknown) => return,
            (State::Unknown | State::ForcedOffline | State::AuthRequired, State::Online | State::Degraded)
            | (_, State::ForcedOffline | State::AuthRequired)
            | (State::Online, State::Degraded)
            | (State::Degraded, State::Online) => {
                self.said = now;
                return;
            }
            (_, State::Online | State::Degraded) => {
                cx.log(Severity::Info, "network", format!("`{source}` can be reached again"), None);
            }
            (_, State::Offline) => {
                cx.log(Severity::Warning, "network", format!("`{source}` cannot be reached: {summary}"), kept);
            }
            (_, State::BackendDown) => {
                cx.log(
                    Severity::Warning,
                    "network",
                    format!("the server of `{source}` does not work: {summary}"),
                    kept,
                );
            }
            (_, State::CaptivePortal) => {
                let text = format!("somebody else answers for `{source}`: {summary}");
                let hint = "sign in to the network, with a browser; nothing of it was believed, nothing is lost";
                cx.log(Severity::Warning, "network", text, Some(hint));
            }
        }
        (self.said, self.said_at) = (now, Some(cx.at.mono));
    }
}
