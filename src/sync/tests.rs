//! Scripts in virtual time: what the machine asks for, answered by hand.

mod audit;
mod conflicts;
mod guards;
mod late;
mod link;
mod order;
mod own;
mod pull;
mod push;
mod unread;
mod vanished;
mod wish;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    Effect, Event, Machine,
    effect::{Outcome, SettleOp, Ticket},
    event::{AppliedPage, Chain, FeedNews, MissingRows, OutboxSlice, PageData},
};
use crate::model::{
    edit,
    ids::{CollectionKey, OpId, RecordId, RecordKey, Revision, Seq},
    op::{Claimed, LateOriginal, Op, OpKind, OpState, Precondition},
    record::Base,
    rules::ConflictRules,
    source::{AuthSpec, CollectionSpec, PullMode, SourceKind, SourceSpec, SyncSettings},
    sync_status::{ConnectivityState, GuardAnswer, PullPhase, SyncRequest},
    time::{At, Timestamp},
    wire::{Answer, Current, Exchange, Link, PushRequest, ReadError, RemoteChange, RemoteRecord, Trouble},
};

struct Script {
    machine: Machine,
    seconds: u64,
    /// What somebody did to the wall clock.
    clock_set_by_ms: i64,
    /// What an earlier run parked for credentials was queued again.
    is_begun: bool,
    asked: Vec<Effect>,
}

fn collection() -> CollectionKey {
    CollectionKey::new("s", "c")
}

fn record(id: &str) -> RecordKey {
    collection().record(id)
}

fn op(seq: i64, id: &str, base: Option<Value>, document: Option<Value>) -> Op {
    let kind = match (&base, &document) {
        (None, _) => OpKind::Create,
        (_, Some(_)) => OpKind::Update,
        (_, None) => OpKind::Delete,
    };
    Op {
        seq: Seq(seq),
        op_id: OpId::new(&At::test(seq.unsigned_abs())),
        record: record(id),
        kind,
        state: OpState::Queued,
        changes: edit::diff(base.as_ref(), document.as_ref()),
        document,
        base,
        base_revision: None,
        after: None,
        attempts: 0,
        created_at: At::test(0).wall,
        next_attempt_at: None,
        sent_at: None,
        settled_at: None,
        request_hash: None,
        precondition: None,
        sent_document: None,
        last_error: None,
        author: String::new(),
        was_in_doubt: false,
    }
}

fn create(seq: i64, id: &str) -> Op {
    op(seq, id, None, Some(json!({ "n": seq })))
}

fn chain(ops: Vec<Op>, base: Option<(Value, Option<&str>)>) -> Chain {
    let base = base.map(|(document, revision)| Base {
        document: document.into(),
        revision: revision.map(Revision::from),
        received_at: Timestamp(0),
    });
    Chain { record: ops[0].record.clone(), ops, base }
}

fn settings() -> SyncSettings {
    SyncSettings { page_size: 2, audit_budget: 0, ..SyncSettings::default() }
}

fn trouble(link: Link) -> Trouble {
    Trouble { link, message: "broken".to_owned() }
}

fn accepted(revision: &str) -> Answer {
    Answer::Accepted { revision: Some(revision.into()), stored: None }
}

impl Script {
    /// Started, with a good probe, and one collection.
    fn online(pull: PullMode) -> Self {
        let mut script = Self::new(pull, settings());
        script.probe(Ok(()));
        script
    }

    /// A whole collection of which deltas are followed, swept so many seconds ago.
    fn following_deltas(swept_before: i64) -> Self {
        let mut script = Self::online(PullMode::Delta);
        let swept_at = script.at().wall.0 - swept_before * 1_000;
        let complete = json!({"phase": "complete", "sweep": 1, "mode": "delta", "done": 2, "total": 2,
                "since": "1700000000000", "swept_at": swept_at, "whole": true});
        script.checkpoint(Some(&complete.to_string()));
        let delta = |effect: &Effect| match effect {
            Effect::ReadDelta { ticket, .. } => Some(*ticket),
            _ => None,
        };
        script.read(delta, Vec::new(), None);
        script.applied();
        let feed = script.feed();
        script.news(feed, Ok(FeedNews::Changes(Vec::new())));
        script
    }

    /// Without a collection: only sending.
    fn sender(parallel: usize) -> Self {
        Self::guarding_sender(parallel, Vec::new())
    }

    fn guarding_sender(parallel: usize, guards: Vec<LateOriginal>) -> Self {
        let settings = SyncSettings { parallel, ..settings() };
        Self::built(PullMode::Windows, settings, guards, ConflictRules::default()).sending()
    }

    /// Only sending, of a collection that settles conflicts by these rules.
    fn settling_sender(rules: ConflictRules) -> Self {
        Self::built(PullMode::Windows, settings(), Vec::new(), rules).sending()
    }

    /// Reached, with its collection swept.
    fn sending(mut self) -> Self {
        let script = &mut self;
        script.probe(Ok(()));
        let ticket = script.take_ticket(|effect| match effect {
            Effect::ReadCheckpoint { ticket, .. } => Some(*ticket),
            _ => None,
        });
        let swept = At::test(script.seconds).wall.0;
        let text = format!(r#"{{"phase":"complete","sweep":1,"mode":"windows","swept_at":{swept},"whole":true}}"#);
        script.tell(Event::CheckpointRead { ticket, collection: collection(), result: Ok(Some(text)) });
        self
    }

    fn new(pull: PullMode, settings: SyncSettings) -> Self {
        Self::resumed(pull, settings, Vec::new())
    }

    /// Takes over from a leader that was guarding.
    fn resumed(pull: PullMode, settings: SyncSettings, guards: Vec<LateOriginal>) -> Self {
        Self::built(pull, settings, guards, ConflictRules::default())
    }

    fn built(pull: PullMode, settings: SyncSettings, guards: Vec<LateOriginal>, conflicts: ConflictRules) -> Self {
        let source = SourceSpec {
            name: "s".into(),
            kind: SourceKind::Firebase,
            url: "http://127.0.0.1:9".to_owned(),
            auth: AuthSpec::None,
            read_only: false,
            allow_plain: false,
            user: None,
            collections: vec![CollectionSpec {
                name: "c".into(),
                path: "c".to_owned(),
                columns: Vec::new(),
                title: None,
                pull,
                updated_at: (pull == PullMode::Delta).then(|| crate::model::json::Pointer::parse("/at")),
                conflicts,
            }],
        };
        let machine = Machine::new(&[source], &settings, false);
        let mut script = Self { machine, seconds: 1, clock_set_by_ms: 0, is_begun: false, asked: Vec::new() };
        script.tell(Event::Started { guards });
        script
    }

    fn tell(&mut self, event: Event) {
        let at = self.at();
        self.asked.extend(self.machine.handle(&at, event));
        assert_eq!(self.machine.healed(), 0, "I4");
    }

    fn at(&self) -> At {
        let at = At::test(self.seconds);
        At { wall: Timestamp(at.wall.0 + self.clock_set_by_ms), ..at }
    }

    fn pass(&mut self, seconds: u64) {
        self.seconds += seconds;
        self.tell(Event::Tick);
    }

    /// Time passes from timer to timer until something fits.
    fn pass_until<T>(&mut self, mut fits: impl FnMut(&Effect) -> Option<T>) -> T {
        for _ in 0..2_000 {
            if let Some(position) = self.asked.iter().position(|effect| fits(effect).is_some()) {
                return fits(&self.asked.remove(position)).unwrap();
            }
            let due = self.machine.wake_at();
            let due = due.unwrap_or_else(|| panic!("nothing waits for a timer; asked for is {:?}", self.asked));
            self.seconds = self.seconds.max(due.as_secs() + 1);
            self.tell(Event::Tick);
        }
        panic!("it never came");
    }

    fn take<T>(&mut self, mut fits: impl FnMut(&Effect) -> Option<T>) -> Option<T> {
        let position = self.asked.iter().position(|effect| fits(effect).is_some())?;
        fits(&self.asked.remove(position))
    }

    fn take_ticket(&mut self, fits: impl FnMut(&Effect) -> Option<Ticket>) -> Ticket {
        let asked = format!("{:?}", self.asked);
        self.take(fits).unwrap_or_else(|| panic!("not asked for; asked for {asked}"))
    }

    fn probe(&mut self, result: Result<(), ReadError>) {
        let ticket = self.pass_until(|effect| match effect {
            Effect::Probe { ticket, .. } => Some(*ticket),
            _ => None,
        });
        let exchange = exchange();
        self.tell(Event::Probed { ticket, source: "s".into(), result, chain: Vec::new(), exchange });
        if !self.is_begun && self.release(0) {
            self.is_begun = true;
        }
    }

    /// What waited for credentials, so many, is queued again, where that was asked for.
    fn release(&mut self, count: u64) -> bool {
        let asked = self.take(|effect| match effect {
            Effect::ReleaseAuth { ticket, .. } => Some(*ticket),
            _ => None,
        });
        asked.map(|ticket| self.tell(Event::AuthReleased { ticket, source: "s".into(), result: Ok(count) })).is_some()
    }

    /// Answers the next reading of the outbox that does not leave these records out, their time come.
    fn outbox(&mut self, chains: Vec<Chain>) {
        loop {
            let (ticket, now, exclude) = self.pass_until(|effect| match effect {
                Effect::ReadOutbox { ticket, now, exclude, .. } => Some((*ticket, *now, exclude.clone())),
                _ => None,
            });
            let is_early = |chain: &Chain| chain.ops[0].next_attempt_at.is_some_and(|next| next > now);
            let is_left_out = chains.iter().any(|chain| exclude.contains(&chain.record) || is_early(chain));
            let chains = if is_left_out { Vec::new() } else { chains.clone() };
            let slice = OutboxSlice { to_go: chains.len() as u64, chains, next_attempt: None };
            self.tell(Event::OutboxRead { ticket, source: "s".into(), result: Ok(slice) });
            if !is_left_out {
                return;
            }
        }
    }

    /// Claims are granted as they are asked for; the claimed heads.
    fn grant(&mut self, ops: &[Op]) -> Vec<Seq> {
        let mut granted = Vec::new();
        while let Some((ticket, claim)) = self.take(|effect| match effect {
            Effect::Claim { ticket, claim } => Some((*ticket, claim.clone())),
            _ => None,
        }) {
            let mut op = ops.iter().find(|op| op.seq == claim.head).unwrap().clone();
            let is_as_read = claim.absorbs.is_empty() && op.base_revision == claim.base_revision;
            op.state = OpState::InFlight;
            op.attempts += 1;
            op.kind = claim.request.kind;
            op.sent_document.clone_from(&claim.request.document);
            op.precondition = Some(claim.request.precondition.clone());
            granted.push(claim.head);
            let record = claim.request.record.clone();
            let claimed = match is_as_read {
                true => {
                    let (attempts, base_revision) = (op.attempts, op.base_revision);
                    Claimed::AsRead { attempts, sent_at: claim.at, base_revision }
                }
                false => Claimed::Anew(Box::new(op)),
            };
            self.tell(Event::Claimed { ticket, record, result: Ok(Some(claimed)) });
        }
        granted
    }

    fn pushed(&mut self) -> Option<(Ticket, Arc<PushRequest>)> {
        self.take(|effect| match effect {
            Effect::Push { ticket, request } => Some((*ticket, request.clone())),
            _ => None,
        })
    }

    fn answer(&mut self, (ticket, request): (Ticket, Arc<PushRequest>), answer: Answer) {
        self.tell(Event::Pushed { ticket, record: request.record.clone(), answer, exchange: exchange() });
    }

    /// Sends the one op there is and answers it.
    fn send(&mut self, chain: Chain, answer: Answer) -> Arc<PushRequest> {
        let ops = chain.ops.clone();
        if !self.asked.iter().any(|effect| matches!(effect, Effect::ReadOutbox { .. })) {
            self.tell(Event::Request(SyncRequest::OutboxChanged));
        }
        self.outbox(vec![chain]);
        self.grant(&ops);
        let push = self.pushed().expect("it is sent");
        let request = push.1.clone();
        self.answer(push, answer);
        request
    }

    fn fetched(&mut self, value: Option<Value>, revision: Option<&str>) {
        let (ticket, record) = self
            .take(|effect| match effect {
                Effect::Fetch { ticket, record } => Some((*ticket, record.clone())),
                _ => None,
            })
            .expect("a revision is asked for");
        let current = Current {
            collection: record.collection.clone(),
            id: record.id.clone(),
            value,
            revision: revision.map(Revision::from),
        };
        self.tell(Event::Fetched { ticket, record, result: Ok(current), exchange: exchange() });
    }

    /// The new base is durable; what it was.
    fn base_stored(&mut self) -> Option<Option<Value>> {
        let (ticket, base) = self.take(|effect| match effect {
            Effect::StoreBase { ticket, base } => Some((*ticket, base.clone())),
            _ => None,
        })?;
        self.tell(Event::BaseStored { ticket, record: base.record.clone(), result: Ok(()) });
        Some(base.document.clone())
    }

    /// The outcomes settled last.
    fn settled(&mut self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Some((ticket, record, settles)) = self.take(|effect| match effect {
            Effect::Settle { ticket, record, settles, .. } => Some((*ticket, record.clone(), settles.clone())),
            _ => None,
        }) {
            outcomes.extend(settles.into_iter().map(|settle: SettleOp| settle.outcome));
            self.tell(Event::Settled { ticket, record, result: Ok(()) });
        }
        outcomes
    }

    fn state(&self) -> ConnectivityState {
        self.machine.status(&At::test(self.seconds))[0].connectivity.state
    }

    fn phase(&self) -> PullPhase {
        self.machine.status(&At::test(self.seconds))[0].collections[0].phase.clone()
    }
}

fn exchange() -> Exchange {
    Exchange { round_trip: Some(Duration::from_millis(20)), ..Exchange::default() }
}

// --- sending ----------------------------------------------------------------------------------------------------------

fn row(id: &str) -> RemoteRecord {
    RemoteRecord { id: id.into(), revision: None, text: r#"{"n":1}"#.to_owned() }
}

fn stamped(id: &str, at: i64) -> RemoteRecord {
    RemoteRecord { id: id.into(), revision: None, text: json!({ "n": 1, "at": at }).to_string() }
}

impl Script {
    /// Answers the reading asked for by `wants` with these records.
    fn read(&mut self, wants: impl Fn(&Effect) -> Option<Ticket>, records: Vec<RemoteRecord>, next: Option<&str>) {
        let ticket = self.take_ticket(wants);
        let data = PageData { records, next: next.map(RecordId::from) };
        self.tell(Event::PageRead { ticket, collection: collection(), result: Ok(data), exchange: exchange() });
    }

    fn checkpoint(&mut self, text: Option<&str>) {
        let ticket = self.pass_until(|effect| match effect {
            Effect::ReadCheckpoint { ticket, .. } => Some(*ticket),
            _ => None,
        });
        let result = Ok(text.map(str::to_owned));
        self.tell(Event::CheckpointRead { ticket, collection: collection(), result });
    }

    fn keys(&mut self, keys: &[&str]) {
        let ticket = self.take_ticket(|effect| match effect {
            Effect::ReadKeys { ticket, .. } => Some(*ticket),
            _ => None,
        });
        let result = Ok(keys.iter().map(|key| RecordId::from(*key)).collect());
        self.tell(Event::KeysRead { ticket, collection: collection(), result, exchange: exchange() });
    }

    /// Answers the page asked for; where it began.
    fn page(&mut self, rows: &[&str], next: Option<&str>) -> Option<RecordId> {
        let (ticket, after) = self
            .take(|effect| match effect {
                Effect::ReadPage { ticket, after, .. } => Some((*ticket, after.clone())),
                _ => None,
            })
            .expect("a page is asked for");
        let data = PageData { records: rows.iter().map(|id| row(id)).collect(), next: next.map(RecordId::from) };
        self.tell(Event::PageRead { ticket, collection: collection(), result: Ok(data), exchange: exchange() });
        after
    }

    /// The page handed to the mirror is applied; its checkpoint.
    fn applied(&mut self) -> Option<String> {
        let (ticket, checkpoint) = self
            .take(|effect| match effect {
                Effect::ApplyPage { ticket, page } => Some((*ticket, page.checkpoint.clone())),
                Effect::FinishSweep { ticket, .. } => Some((*ticket, None)),
                _ => None,
            })
            .expect("something is applied");
        let result = Ok(AppliedPage::default());
        self.tell(Event::PageApplied { ticket, collection: collection(), result });
        checkpoint
    }

    fn missing(&mut self, missing: u64, rows: u64) {
        let ticket = self.take_ticket(|effect| match effect {
            Effect::ReadMissing { ticket, .. } => Some(*ticket),
            _ => None,
        });
        let result = Ok(MissingRows { missing, rows, ..MissingRows::default() });
        self.tell(Event::MissingRead { ticket, collection: collection(), result });
    }

    fn feed(&mut self) -> Ticket {
        let ticket = self.pass_until(|effect| match effect {
            Effect::OpenFeed { ticket, .. } => Some(*ticket),
            _ => None,
        });
        self.tell(Event::FeedOpened { ticket, collection: collection(), result: Ok(()), exchange: exchange() });
        ticket
    }

    fn news(&mut self, ticket: Ticket, result: Result<FeedNews, ReadError>) {
        self.take_ticket(|effect| match effect {
            Effect::NextOfFeed { ticket: asked, .. } if *asked == ticket => Some(ticket),
            _ => None,
        });
        self.tell(Event::FeedMoved { ticket, collection: collection(), result, bytes: 10 });
    }
}
