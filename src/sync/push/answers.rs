//! What an answer means for an op: done, moved, refused, in doubt, or the lane's trouble and not its own.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::Value;

use super::{MAX_REBASES, Push, Stage, Told, Wait, op_backoff};
use crate::{
    merge,
    model::{
        activity::Severity,
        ids::{CollectionName, RecordKey, Revision, Seq},
        json::Pointer,
        op::{OpError, OpKind},
        rules::FieldRule,
        wire::{Answer, Exchange},
    },
    sync::{
        backoff,
        connectivity::Break,
        effect::{BaseWrite, Decided, Effect, Outcome, SettleOp, Ticket},
        judge::{self, Judgement, Meeting},
        lane::{Cx, Signal},
        policy::{self, Meaning},
    },
};

/// A record that moves on the server each time its op is about to be sent.
#[derive(Default)]
pub(super) struct Race {
    rounds: u32,
    /// Rounds in which only places moved that the server owns.
    owned_rounds: u32,
    /// What moved in every round.
    places: Option<BTreeSet<Pointer>>,
}

impl Race {
    fn meet(&mut self, moved: Vec<Pointer>) {
        self.rounds += 1;
        let moved: BTreeSet<Pointer> = moved.into_iter().collect();
        let each = self.places.take().map(|places| places.intersection(&moved).cloned().collect::<BTreeSet<_>>());
        self.places = Some(each.filter(|each| !each.is_empty()).unwrap_or(moved));
    }

    fn words(&self, collection: &CollectionName) -> String {
        let places: Vec<String> = self.places.iter().flatten().take(5).map(|place| format!("`{place}`")).collect();
        let first = self.places.iter().flatten().next().map(ToString::to_string).unwrap_or_default();
        format!(
            "the server changed {} each of {} times the edit was about to be sent; if it writes that by itself, \
             `ebbtide conflicts teach {collection} {first} server-owned --apply` leaves it to the server",
            places.join(", "),
            self.rounds,
        )
    }
}

impl Push {
    pub(in crate::sync) fn pushed(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        record: &RecordKey,
        answer: Answer,
        exchange: &Exchange,
    ) {
        let Some(job) = self.jobs.get_mut(record) else { return };
        let Stage::Sending(expected, request) = &job.stage else { return };
        if *expected != ticket {
            return;
        }
        let request = request.clone();
        let doubted = job.doubted;
        let Some((seq, attempts)) = job.ops.first().map(|op| (op.seq, op.attempts)) else { return };
        match policy::meaning(answer, request.kind, cx.at.wall) {
            Meaning::Applied { stored, revision } => {
                cx.signals.push(Signal::Good(exchange.clone()));
                let document = match request.kind {
                    OpKind::Delete => None,
                    _ => policy::into_normal(self.kind, stored.or_else(|| request.document.clone())),
                };
                self.acknowledge(cx, record, document, revision);
            }
            Meaning::Moved { current, revision } => {
                cx.signals.push(Signal::Good(exchange.clone()));
                self.judge(cx, record, current, revision, Told::ByServer);
            }
            Meaning::Gone if request.kind == OpKind::Delete => {
                cx.signals.push(Signal::Good(exchange.clone()));
                self.acknowledge(cx, record, None, None);
            }
            Meaning::Gone => {
                cx.signals.push(Signal::Good(exchange.clone()));
                self.judge(cx, record, None, None, Told::ByServer);
            }
            Meaning::Refused { error } => self.refused(cx, record, request.kind, error, exchange),
            Meaning::NotApplied { broken, after, counts, error } => {
                let unsent = matches!(broken, Break::Link(_));
                let own = !unsent && self.is_own_trouble(cx, seq);
                let error = if own {
                    cx.signals.push(Signal::Odd(exchange.clone()));
                    self.say_own(cx, record, seq, error)
                } else {
                    cx.signals.push(Signal::Bad { broken, exchange: exchange.clone(), after });
                    error
                };
                // Refused twice: let the others of the lane go first when it opens again.
                let wait = (own || (counts && attempts > 1))
                    .then(|| after.unwrap_or_default().min(policy::MAX_RETRY_AFTER) + op_backoff(cx, seq, attempts));
                self.put_back(cx, record, doubted, error, wait, counts);
            }
            Meaning::Unknown { broken, error } => {
                let error = if self.is_own_trouble(cx, seq) {
                    cx.signals.push(Signal::Odd(exchange.clone()));
                    self.say_own(cx, record, seq, error)
                } else {
                    cx.signals.push(Signal::Bad { broken, exchange: exchange.clone(), after: None });
                    error
                };
                let wait = op_backoff(cx, seq, attempts);
                self.doubt(cx, record, error, Some(wait));
            }
            Meaning::NeedsCredentials { message, is_denied, error } => {
                // Since it was refused last, something was allowed with what credentials there are.
                match self.is_own_trouble(cx, seq) {
                    true if is_denied => return self.refused(cx, record, request.kind, error, exchange),
                    true => {
                        // They are read anew before each try; nobody else waits for that.
                        cx.out.push(Effect::ForgetCredentials { source: self.source.clone() });
                        cx.signals.push(Signal::Odd(exchange.clone()));
                        let error = self.say_own(cx, record, seq, error);
                        return self.put_back(cx, record, doubted, error, Some(op_backoff(cx, seq, attempts)), true);
                    }
                    false => {}
                }
                let broken = Break::Unauthorized { message };
                cx.signals.push(Signal::Bad { broken, exchange: exchange.clone(), after: None });
                if doubted {
                    return self.doubt(cx, record, error, None);
                }
                let settle = SettleOp::of(seq, Outcome::Auth { error }, cx.at.wall);
                self.finish(cx, record, None, vec![settle]);
            }
        }
    }

    /// For good: a person decides what becomes of it.
    fn refused(&mut self, cx: &mut Cx<'_>, record: &RecordKey, kind: OpKind, error: OpError, exchange: &Exchange) {
        let Some(job) = self.jobs.get(record) else { return };
        let Some(seq) = job.ops.first().map(|op| op.seq) else { return };
        cx.signals.push(Signal::Good(exchange.clone()));
        let text = format!("the server refused the {} of `{record}`: {}", kind.word(), error.message);
        cx.log(Severity::Problem, "outbox", text, Some("edit it, retry it or discard it in the outbox"));
        if job.doubted {
            self.guard(cx, record);
        }
        let settle = SettleOp::of(seq, Outcome::Rejected { error }, cx.at.wall);
        self.finish(cx, record, None, vec![settle]);
    }

    /// The server holds something else than the op was made on.
    pub(super) fn judge(
        &mut self,
        cx: &mut Cx<'_>,
        record: &RecordKey,
        theirs: Option<Value>,
        revision: Option<Revision>,
        told: Told,
    ) {
        let Some(job) = self.jobs.get(record) else { return };
        let Some(head) = job.ops.first() else { return self.drop_job(record) };
        let seq = head.seq;
        let doubted = job.doubted;
        let settling = self.settling(record);
        let meeting = Meeting {
            kind: self.kind,
            settling: &settling,
            at: cx.at,
            op: head,
            mine: merge::intended(head),
            theirs: theirs.as_ref(),
            revision: revision.as_ref(),
            doubted,
            server_clock: cx.server_clock,
        };
        let outcome = match meeting.judge() {
            Judgement::Applied => {
                self.note_acked(cx, record, seq);
                Outcome::Acked
            }
            Judgement::Conflict => self.conflict(cx, record, theirs.as_ref(), revision.as_ref(), None),
            Judgement::Rebased(op) => match self.overtaken(cx, record, theirs.as_ref()) {
                None => Outcome::Rebased { op },
                note => self.conflict(cx, record, theirs.as_ref(), revision.as_ref(), note),
            },
            Judgement::Decided(decided) if decided.op.is_none() => {
                self.log_decided(cx, record, &decided);
                self.note_given_up(record, seq);
                Outcome::Decided(decided)
            }
            Judgement::Decided(decided) => match self.overtaken(cx, record, theirs.as_ref()) {
                None => {
                    self.log_decided(cx, record, &decided);
                    Outcome::Decided(decided)
                }
                note => self.conflict(cx, record, theirs.as_ref(), revision.as_ref(), note),
            },
        };
        if doubted {
            self.guard(cx, record);
        }
        let document = policy::normal(self.kind, theirs.as_ref());
        let is_deleter =
            self.jobs.get(record).and_then(|job| job.ops.first()).is_some_and(|op| op.kind == OpKind::Delete);
        // A deletion of ours whose answer was lost is no other's doing.
        let found = !(doubted && is_deleter && outcome == Outcome::Acked);
        let base = BaseWrite { record: record.clone(), document, revision, found, at: cx.at.wall };
        let joins = self.jobs.get_mut(record).map(|job| std::mem::take(&mut job.joins)).unwrap_or_default();
        let settle = SettleOp { joins, ..SettleOp::of(seq, outcome, cx.at.wall) };
        // Where the server says what the mirror has, that is written too: the mirror may have heard that it is gone.
        self.finish(cx, record, (told == Told::ByServer).then(|| Arc::new(base)), vec![settle]);
    }

    /// A person is asked.
    pub(super) fn conflict(
        &mut self,
        cx: &mut Cx<'_>,
        record: &RecordKey,
        theirs: Option<&Value>,
        revision: Option<&Revision>,
        note: Option<OpError>,
    ) -> Outcome {
        self.races.remove(record);
        let (text, hint) = match &note {
            Some(note) => (format!("`{record}`: {}", note.message), None),
            None => {
                let hint = "choose in the conflicts pane; nothing else waits for it";
                (format!("`{record}` changed on the server too"), Some(hint))
            }
        };
        cx.log(Severity::Warning, "conflict", text, hint);
        let head = self.jobs.get(record).and_then(|job| job.ops.first());
        let base = head.and_then(|head| judge::shown_base(self.kind, head, theirs));
        Outcome::Conflict { theirs: theirs.cloned(), theirs_revision: revision.cloned(), base, note }
    }

    /// The op is moved onto the server's copy once more. `Some`: that was too often, and why a person is asked.
    /// Places the server owns may change as often as they like; the op only waits a little longer each time.
    pub(super) fn overtaken(&mut self, cx: &Cx<'_>, record: &RecordKey, theirs: Option<&Value>) -> Option<OpError> {
        let settling = self.settling(record);
        let head = self.jobs.get(record).and_then(|job| job.ops.first())?;
        let moved = judge::moved_places(self.kind, head, theirs);
        let is_owned = |place: &Pointer| settling.rules.rule(place) == Some(FieldRule::ServerOwned);
        let race = self.races.entry(record.clone()).or_default();
        if !moved.is_empty() && moved.iter().all(is_owned) {
            race.owned_rounds += 1;
            if race.owned_rounds > MAX_REBASES {
                let round = race.owned_rounds - MAX_REBASES;
                let wait = backoff::jitter_above(cx.at, 7, round, Duration::from_millis(500), backoff::CAP);
                self.leave_alone(cx, record, wait);
            }
            return None;
        }
        if race.rounds < MAX_REBASES {
            race.meet(moved);
            return None;
        }
        race.meet(moved);
        Some(OpError { at: cx.at.wall, status: None, message: race.words(&record.collection.collection) })
    }

    pub(super) fn log_decided(&self, cx: &mut Cx<'_>, record: &RecordKey, decided: &Decided) {
        let text = match (&decided.op, &decided.copy) {
            (_, Some(copy)) => format!("`{record}` changed on both sides: yours goes on as `{}`", copy.record.id),
            (None, None) => format!("`{record}` changed on both sides: the server's version stays, by your rules"),
            (Some(_), None) => format!("`{record}` changed on both sides: settled by your rules"),
        };
        let hint = (!decided.lost.is_empty()).then_some("the vault keeps what lost");
        cx.log(Severity::Info, "conflict", text, hint);
    }

    pub(super) fn doubt(&mut self, cx: &mut Cx<'_>, record: &RecordKey, error: OpError, wait: Option<Duration>) {
        let Some(seq) = self.jobs.get(record).and_then(|job| job.ops.first()).map(|op| op.seq) else { return };
        if let Some(wait) = wait {
            self.not_before.insert(record.clone(), Wait { until: cx.at.mono + wait, at_op: true });
        }
        let next_attempt_at = wait.map(|wait| cx.at.wall.plus(wait));
        let settle = SettleOp::of(seq, Outcome::InDoubt { error, next_attempt_at }, cx.at.wall);
        self.finish(cx, record, None, vec![settle]);
    }

    /// Not applied by this request: back to `queued`; but an op that was in doubt before still is.
    pub(super) fn put_back(
        &mut self,
        cx: &mut Cx<'_>,
        record: &RecordKey,
        doubted: bool,
        error: OpError,
        wait: Option<Duration>,
        counts: bool,
    ) {
        if doubted {
            return self.doubt(cx, record, error, wait);
        }
        let Some(seq) = self.jobs.get(record).and_then(|job| job.ops.first()).map(|op| op.seq) else { return };
        if let Some(wait) = wait {
            self.not_before.insert(record.clone(), Wait { until: cx.at.mono + wait, at_op: true });
        }
        let next_attempt_at = wait.map(|wait| cx.at.wall.plus(wait));
        let outcome = Outcome::Queued { error: Some(error), next_attempt_at, counts };
        self.finish(cx, record, None, vec![SettleOp::of(seq, outcome, cx.at.wall)]);
    }

    /// A lane-level failure that keeps coming for this op while other requests of the lane succeed is its own.
    pub(super) fn is_own_trouble(&mut self, cx: &Cx<'_>, seq: Seq) -> bool {
        let now = cx.successes;
        self.suspects.insert(seq, now).is_some_and(|then| now > then)
    }

    /// Says once in the activity, and at the op every time, that only this one fails.
    pub(super) fn say_own(&mut self, cx: &mut Cx<'_>, record: &RecordKey, seq: Seq, error: OpError) -> OpError {
        if self.odd.insert(seq) {
            let text = format!("`{record}` fails while other changes go through: {}", error.message);
            let hint = "it is tried again by itself, ever more rarely; hold, edit or discard it in the outbox";
            cx.log(Severity::Warning, "outbox", text, Some(hint));
        }
        error.own()
    }
}
