//! The guards: what stops a collection before a commit, and the user's answers.
//!
//! ```text
//!       much gone, much older, another server      accept, re-upload
//!   pulling -----------------------------> Stopped ------------------> pulling, from the proof on
//!                                            |  ^ detach                    ^
//!                                            v  | (another server still)    | attach
//!                                          Detached ------------------------+
//! ```
//!
//! What was found is written with the checkpoint, so that it is there, and asks, after any exit. An answer is about what
//! was shown: proof is gathered anew, and where more is gone than was shown the guard asks again.

use serde::{Deserialize, Serialize};

use super::{Phase, Pull, Stage};
use crate::{
    model::{
        activity::Severity,
        numbers,
        sync_status::{GuardAnswer, GuardFound, GuardReason, STOPPED_HINT, is_mass_deletion},
    },
    sync::{
        effect::{Effect, Ticket},
        event::{MissingRows, StoreResult},
        lane::{Cx, Signal},
        policy,
    },
};

/// Where a collection's copies came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// The configured address of the source, and the collection's place below it.
    url: String,
    path: String,
    /// What the server calls its database, where it says so. It outlives a change of address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    database: Option<String>,
}

impl Origin {
    pub(super) fn new(url: &str, path: &str) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), path: path.trim_matches('/').to_owned(), database: None }
    }

    fn is_same(&self, other: &Origin) -> bool {
        let server = match (&self.database, &other.database) {
            (Some(known), Some(found)) => known == found,
            _ => self.url == other.url,
        };
        server && self.path == other.path
    }
}

impl Pull {
    /// True until it is known whether the source is the one the copies came from.
    pub(in crate::sync) fn is_unsure(&self) -> bool {
        !self.is_compared
    }

    /// True where another server answers than the one the copies came from.
    pub(in crate::sync) fn is_elsewhere(&self) -> bool {
        self.checkpoint.origin.as_ref().is_some_and(|known| self.is_compared && !known.is_same(&self.origin))
    }

    /// The question about that is not answered.
    pub(in crate::sync) fn asks_where(&self) -> bool {
        matches!(self.stage, Stage::Stopped) && self.is_elsewhere()
    }

    /// An answer came from this database. Called before anything of the answer is used.
    pub(in crate::sync) fn meet(&mut self, cx: &mut Cx<'_>, database: &str) {
        if self.origin.database.as_deref() != Some(database) {
            self.origin.database = Some(database.to_owned());
            self.compare_origin(cx);
        }
    }

    /// The source answers: what it did not say of its database by now it does not say.
    pub(in crate::sync) fn reach(&mut self, cx: &mut Cx<'_>) {
        self.is_reached = true;
        if !self.is_compared {
            self.compare_origin(cx);
        }
    }

    /// Stops where the copies came from somewhere else than what is asked now.
    pub(super) fn compare_origin(&mut self, cx: &mut Cx<'_>) {
        // Its name for its database comes with its first answer.
        if !self.is_known || (self.origin.database.is_none() && !self.is_reached) {
            return;
        }
        self.is_compared = true;
        let reason = self.checkpoint.stopped.as_ref().map(|found| found.reason);
        if matches!(self.stage, Stage::Stopped) && reason == Some(GuardReason::OtherServer) && !self.is_elsewhere() {
            let text = format!("the server `{}` was copied from is back", self.key);
            cx.log(Severity::Info, "sync", text, None);
            self.checkpoint.stopped = None;
            self.go_on(cx);
        }
        if matches!(self.stage, Stage::Stopped | Stage::Detached | Stage::Reuploading(_)) {
            return;
        }
        let known = match &self.checkpoint.origin {
            Some(known) if !known.is_same(&self.origin) => known.clone(),
            known => {
                // A server that stops naming its database is still known by the name it gave.
                let database = known.as_ref().and_then(|known| known.database.clone());
                let mut origin = self.origin.clone();
                origin.database = origin.database.or(database);
                self.checkpoint.origin = Some(origin);
                return;
            }
        };
        let text = match (&known.database, &self.origin.database) {
            (Some(_), Some(_)) if known.url == self.origin.url => {
                format!("another database answers at `{}` than the one `{}` was copied from", known.url, self.key)
            }
            _ => format!(
                "`{}` was copied from `{}/{}`, now it is `{}/{}`",
                self.key, known.url, known.path, self.origin.url, self.origin.path
            ),
        };
        // What was asked of it must not come in.
        (self.touched, self.touching) = Default::default();
        let found = GuardFound {
            reason: GuardReason::OtherServer,
            text,
            affected: 0,
            rows: self.rows,
            sample: Vec::new(),
            since: cx.at.wall,
        };
        self.stop(cx, found);
    }

    /// Whether what is gone may be deleted without asking; stops where not.
    pub(super) fn may_delete(&mut self, cx: &mut Cx<'_>, found: &MissingRows) -> bool {
        // What was sent meanwhile may be missing in what was read before.
        let own = self.written_meanwhile().count() as u64;
        let accepted = self.checkpoint.accepted.is_some_and(|accepted| found.missing <= accepted + own);
        if accepted || !is_mass_deletion(found.missing, found.rows) {
            return true;
        }
        let found = GuardFound {
            reason: GuardReason::MassDeletion,
            text: policy::guard_text(&self.key.to_string(), found.missing, found.rows),
            affected: found.missing,
            rows: found.rows,
            sample: found.sample.clone(),
            since: cx.at.wall,
        };
        self.stop(cx, found);
        false
    }

    pub(super) fn stop(&mut self, cx: &mut Cx<'_>, found: GuardFound) {
        self.close_feed(cx);
        cx.log(Severity::Problem, "sync", found.text.clone(), Some(STOPPED_HINT));
        self.stage = Stage::Stopped;
        self.ending = None;
        self.reading_since = None;
        self.incoming.clear();
        self.checkpoint.accepted = None;
        self.checkpoint.accepted_older = None;
        self.checkpoint.verifying = None;
        self.checkpoint.auditing = None;
        self.audit.break_off();
        self.forget_held();
        self.checkpoint.stopped = Some(found);
        self.begin_anew();
        self.write_checkpoint(cx);
    }

    /// The next reading is a whole one.
    pub(super) fn begin_anew(&mut self) {
        self.checkpoint.phase = if self.checkpoint.whole { Phase::Complete } else { Phase::Never };
        self.checkpoint.after = None;
        self.checkpoint.done = 0;
        self.checkpoint.swept_at = None;
        // A delta would see nothing of what the question was about.
        self.checkpoint.since = None;
    }

    pub(super) fn write_checkpoint(&mut self, cx: &mut Cx<'_>) {
        let ticket = cx.ticket();
        self.noting = Some(ticket);
        self.write_page(cx, ticket, Vec::new(), Some(self.checkpoint.write()), None);
    }

    /// The user's answer; kept until the checkpoint says whether there is a question.
    pub(in crate::sync) fn answer_guard(&mut self, cx: &mut Cx<'_>, answer: GuardAnswer) {
        if !self.is_known {
            self.answer = Some(answer);
            return;
        }
        let stopped = matches!(self.stage, Stage::Stopped);
        let detached = matches!(self.stage, Stage::Detached);
        match answer {
            GuardAnswer::Accept if stopped || detached => self.accept(cx),
            GuardAnswer::Reupload if stopped || detached => {
                let ticket = cx.ticket();
                let older = self.checkpoint.stopped.as_ref().filter(|found| found.reason == GuardReason::OlderRecords);
                let stamp = older.and(self.spec.updated_at.clone());
                cx.out.push(Effect::Reupload { ticket, collection: self.key.clone(), stamp });
                self.stage = Stage::Reuploading(ticket);
            }
            GuardAnswer::Detach if !detached => {
                self.close_feed(cx);
                self.ending = None;
                self.reading_since = None;
                self.begin_anew();
                self.checkpoint.phase = Phase::Detached;
                self.stage = Stage::Detached;
                self.write_checkpoint(cx);
                let edits = if self.is_elsewhere() { "wait" } else { "are still sent" };
                let text = format!("`{}` is not pulled any more; edits of it {edits}", self.key);
                cx.log(Severity::Info, "sync", text, Some("attach it in the sync pane, or with `ebbtide guard`"));
            }
            GuardAnswer::Attach if detached => {
                self.checkpoint.stopped = None;
                self.go_on(cx);
                let text = format!("`{}` is pulled again", self.key);
                cx.log(Severity::Info, "sync", text, None);
                self.compare_origin(cx);
            }
            _ => {
                let text = format!("`{}` has not stopped: there is nothing to answer", self.key);
                cx.log(Severity::Info, "sync", text, None);
            }
        }
    }

    fn accept(&mut self, cx: &mut Cx<'_>) {
        let found = self.checkpoint.stopped.take();
        match found.as_ref().map(|found| found.reason) {
            // How much is gone there is not known yet: the other guard will ask where it is much.
            Some(GuardReason::OtherServer) | None => self.take_origin(),
            Some(GuardReason::MassDeletion) => self.checkpoint.accepted = found.map(|found| found.affected),
            Some(GuardReason::OlderRecords) => self.checkpoint.accepted_older = found.map(|found| found.affected),
        }
        self.go_on(cx);
    }

    /// From here on this is where the copies come from. Nothing was compared with another server than the one before.
    fn take_origin(&mut self) {
        if self.is_elsewhere() {
            self.checkpoint.verified = None;
        }
        self.checkpoint.origin = Some(self.origin.clone());
    }

    fn go_on(&mut self, cx: &mut Cx<'_>) {
        self.begin_anew();
        self.stage = Stage::Ready;
        (self.next_at, self.failures) = (None, 0);
        self.write_checkpoint(cx);
    }

    pub(in crate::sync) fn reuploaded(&mut self, cx: &mut Cx<'_>, ticket: Ticket, result: StoreResult<u64>) {
        if !matches!(self.stage, Stage::Reuploading(expected) if expected == ticket) {
            return;
        }
        match result {
            Ok(count) => {
                let records = numbers::count(count, "record", "records");
                let text = format!("queued to be uploaded again: {records} of `{}`", self.key);
                cx.log(Severity::Info, "sync", text, None);
                // Every missing row has a pending create now and is kept by the sweep that follows.
                self.take_origin();
                self.checkpoint.stopped = None;
                self.checkpoint.accepted = Some(count);
                self.go_on(cx);
                cx.signals.push(Signal::OutboxChanged);
            }
            Err(message) => {
                self.stage = Stage::Stopped;
                let text = format!("the records of `{}` could not be queued: {message}", self.key);
                cx.log(Severity::Problem, "sync", text, Some("answer again; nothing was changed"));
            }
        }
    }

    /// The question that stands, for those who show it.
    pub(super) fn question(&self) -> Option<&GuardFound> {
        self.checkpoint.stopped.as_ref().filter(|_| matches!(self.stage, Stage::Stopped | Stage::Detached))
    }

    pub(super) fn stopped_text(&self) -> String {
        self.checkpoint.stopped.as_ref().map(|found| found.text.clone()).unwrap_or_default()
    }
}
