//! Where the credentials of a lane stand. What was refused parks its op in `auth`; credentials that are accepted release all
//! of those.

use super::{Cx, Lane};
use crate::{
    model::{activity::Severity, wire::Exchange},
    sync::{
        effect::{Effect, Ticket},
        event::StoreResult,
    },
};

/// One refresh at a time, then one retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credentials {
    /// Accepted, or not refused so far. False until ops of an earlier refusal were released.
    Fine {
        released: bool,
    },
    /// Read anew; the next probe tells.
    Refreshing,
    Refused,
}

impl Lane {
    /// Not refused, as far as is known.
    pub(super) fn are_credentials_fine(&self) -> bool {
        matches!(self.credentials, Credentials::Fine { .. })
    }

    pub(super) fn was_sent_before_refresh(&self, cx: &Cx<'_>, exchange: &Exchange) -> bool {
        let sent = cx.at.mono.saturating_sub(exchange.round_trip.unwrap_or_default());
        self.are_credentials_fine() && self.refreshed_at.is_some_and(|refreshed| sent < refreshed)
    }

    pub(super) fn begin_refresh(&mut self, cx: &mut Cx<'_>) {
        if self.are_credentials_fine() {
            self.refresh(cx);
        }
    }

    pub(super) fn refresh(&mut self, cx: &mut Cx<'_>) {
        self.credentials = Credentials::Refreshing;
        self.refreshed_at = Some(cx.at.mono);
        cx.out.push(Effect::ForgetCredentials { source: self.source.clone() });
        self.tracker.look_again(cx.at);
    }

    pub(super) fn credentials_refused(&mut self, cx: &mut Cx<'_>) {
        match self.credentials {
            // Perhaps only old ones: read them anew once.
            Credentials::Fine { .. } => self.refresh(cx),
            Credentials::Refreshing => {
                self.credentials = Credentials::Refused;
                let text = format!("`{}` does not accept the credentials", self.source);
                cx.log(Severity::Problem, "sync", text, Some("your edits are kept; check the token of the source"));
            }
            // Every later probe reads them anew, in case somebody signed in.
            Credentials::Refused => cx.out.push(Effect::ForgetCredentials { source: self.source.clone() }),
        }
    }

    pub(super) fn credentials_accepted(&mut self, cx: &mut Cx<'_>) {
        if self.credentials == (Credentials::Fine { released: true }) {
            return;
        }
        self.credentials = Credentials::Fine { released: true };
        let ticket = cx.ticket();
        self.releasing = Some(ticket);
        cx.out.push(Effect::ReleaseAuth { ticket, source: self.source.clone() });
    }

    pub(super) fn auth_released(&mut self, ticket: Ticket, result: StoreResult<u64>) {
        let is_last = self.releasing.take_if(|releasing| *releasing == ticket).is_some();
        match result {
            Ok(0) => {}
            Ok(_) => self.push.outbox_changed(),
            Err(_) if is_last => self.credentials = Credentials::Fine { released: false },
            Err(_) => {}
        }
    }
}
