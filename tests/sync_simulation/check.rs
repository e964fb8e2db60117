//! What must hold after every step, and at the end. Each broken promise begins with its name on page 3 of the design.

use std::{collections::BTreeSet, time::Duration};

use ebbtide::{
    merge,
    model::{
        conflict::ConflictPolicy,
        edit,
        ids::{RecordId, RecordKey, Seq},
        op::{LateOriginal, Op, OpKind, OpState},
        record::RecordView,
        rules::FieldRule,
        time::At,
        wire::PushRequest,
    },
    sync::{
        Event,
        effect::{ClaimOp, Decided, Outcome, SettleOp, Ticket},
    },
};
use serde_json::Value;

use crate::{
    people::mentions,
    server::{Origin, plain},
    world::{SHARED, World, collection, record},
};

/// A timer may be this much later than what it is for: the least wait of a generous reading, and the guard's.
const SLACK: Duration = Duration::from_millis(1_500);
const GUARD: Duration = Duration::from_secs(121);

impl World<'_> {
    // --- one record -------------------------------------------------------------------------------------------------

    pub fn check_record(&mut self, client: usize, id: &RecordId, when: &str) {
        self.check_records(client, [id.clone()], when);
    }

    fn check_records(&mut self, client: usize, ids: impl IntoIterator<Item = RecordId>, when: &str) {
        for (id, view) in self.clients[client].disk.views(ids) {
            self.check_view(client, &id, &view, when);
        }
    }

    /// I1, I3 and P5 of one record.
    fn check_view(&mut self, client: usize, id: &RecordId, view: &RecordView, when: &str) {
        let (ops, base, local) = (&view.ops, &view.base, &view.local);
        let base = base.as_ref().map(|base| &*base.document);
        let applied = match self.rule("/x") {
            // What a rule leaves to the server is not sent, but it is what the user typed until the answer comes.
            Some(FieldRule::ServerOwned) => ops
                .iter()
                .fold(base.cloned(), |local, op| merge::apply(local, op.kind, &op.changes, op.document.as_ref())),
            _ => shown(ops, base),
        };
        if !merge::same_document(local.as_deref(), applied.as_ref()) {
            self.breaks(format!("I1: {id} of client {client} shows {local:?}, its ops make {applied:?} ({when})"));
        }
        let on_the_way = ops.iter().filter(|op| op.state.may_be_applied()).count();
        if on_the_way > 1 || (on_the_way == 1 && !ops[0].state.may_be_applied()) {
            self.breaks(format!("I3: {on_the_way} ops of {id} of client {client} are on their way ({when})"));
        }
        if let Some(beside) = self.clients[client].disk.local_beside(&record(id))
            && !merge::same_document(local.as_deref(), beside.as_ref())
        {
            let text = format!("P5: {id} of client {client} is {local:?} in one process and {beside:?} in another");
            self.breaks(format!("{text} ({when})"));
        }
        if let Some(saved) = self.own.get(&(client, id.clone()))
            && !self.may_be(client, id, local.as_deref(), saved.as_ref())
        {
            let text =
                format!("P5: {id}, touched by client {client} only, shows {local:?} instead of {saved:?} ({when})");
            self.breaks(text);
        }
    }

    /// Whether `there` is what was saved, with or without what may have landed late.
    fn may_be(&self, client: usize, id: &RecordId, there: Option<&Value>, saved: Option<&Value>) -> bool {
        let feared = self.feared.get(&(client, id.clone())).map_or(&[][..], Vec::as_slice);
        let feared = &feared[..feared.len().min(6)];
        (0_u32..1 << feared.len()).any(|landed| {
            let lands = feared.iter().enumerate().filter(|(index, _)| landed & (1 << index) != 0);
            let content = lands.fold(saved.cloned(), |content, (_, op)| {
                merge::apply(content, op.kind, &op.changes, op.document.as_ref())
            });
            is_what_was_written(there, content.as_ref())
        })
    }

    /// A later write of the same record is applied: what did not land by now cannot any more.
    fn fear_no_more(&mut self, client: usize, id: &RecordId) {
        let own = (client, id.clone());
        let (pending, ..) = self.clients[client].disk.look(&record(id));
        if !pending.is_empty() || !self.feared.contains_key(&own) {
            return;
        }
        let there = self.server.records.get(id).map(plain);
        if self.own.get(&own).is_some_and(|saved| self.may_be(client, id, there.as_ref(), saved.as_ref())) {
            self.own.insert(own.clone(), there);
            self.feared.remove(&own);
        }
    }

    /// Every record that somebody has something on.
    pub fn check_all(&mut self, client: usize, when: &str) {
        let pending = self.clients[client].disk.pending();
        let mut ids: BTreeSet<RecordId> = pending.into_iter().map(|op| op.record.id).collect();
        ids.extend(self.own.keys().filter(|(owner, _)| *owner == client).map(|(_, id)| id.clone()));
        self.check_records(client, ids, when);
        self.check_position(client);
    }

    /// P7: nobody's collection is emptied without being asked.
    pub fn check_deletion(&mut self, client: usize, rows: usize, deleted: u64) {
        let all = deleted > 0 && deleted >= rows as u64;
        let accepted = self.clients[client].accepted;
        if (all || deleted > 25.max(rows as u64 / 10)) && !accepted {
            self.breaks(format!("P7: {deleted} of {rows} rows of client {client} were deleted unasked"));
        }
    }

    /// After rows of the server went in, or rows went out.
    pub fn check_page(&mut self, client: usize, pending_before: u64) {
        let pending = self.clients[client].disk.pending_count();
        if pending != pending_before {
            self.breaks(format!("I2: a pull changed {pending_before} pending ops of client {client} into {pending}"));
        }
        self.check_all(client, "after a page");
    }

    /// I5: everything up to the stored position is here. Records nobody deletes tell.
    fn check_position(&mut self, client: usize) {
        if self.wiped {
            return;
        }
        let text = self.clients[client].disk.reader().checkpoint(&collection()).expect("a checkpoint");
        let Some(position) = text.and_then(|text| serde_json::from_str::<Value>(&text).ok()) else { return };
        let whole = position.get("whole").and_then(Value::as_bool).unwrap_or(false);
        let after = position.get("after").and_then(Value::as_str).map(str::to_owned);
        let listed = self.clients[client].disk.listed(&collection());
        for n in 0..SHARED {
            let id = RecordId(format!("r{n:02}"));
            let covered = whole || after.as_ref().is_some_and(|after| id.as_str() <= after.as_str());
            if covered && self.server.records.contains_key(&id) && !listed.contains(&id) {
                let (_, base, _) = self.clients[client].disk.look(&record(&id));
                if base.is_none() && !self.server.was_deleted(&id) {
                    return self
                        .breaks(format!("I5: the checkpoint of client {client} covers {id}, which is not here"));
                }
            }
        }
    }

    // --- claims and outcomes ----------------------------------------------------------------------------------------

    pub fn claim(&mut self, client: usize, ticket: Ticket, claim: ClaimOp) -> Event {
        let key = claim.request.record.clone();
        let (chain, ..) = self.clients[client].disk.look(&key);
        if let Some(head) = chain.iter().find(|op| op.seq == claim.head && op.state == OpState::InDoubt)
            && (head.precondition.as_ref() != Some(&claim.request.precondition)
                || head.sent_document != claim.request.document)
        {
            self.breaks(format!("doubt: op {} of {key} would be repeated as another write", claim.head));
        }
        let absorbs = claim.absorbs.clone();
        let (seq, request) = (claim.head, claim.request.clone());
        let result = self.clients[client].disk.claim(claim);
        if let Ok(Some(_)) = &result {
            let joined = |op: &&Op| absorbs.contains(&op.seq) || (op.seq == seq && !absorbs.is_empty());
            let attempted = chain.iter().filter(joined).find(|op| op.attempts > 0);
            if let Some(attempted) = attempted {
                self.breaks(format!("I2: op {} was attempted and is still coalesced into op {seq}", attempted.seq));
            }
            let (chain, ..) = self.clients[client].disk.look(&key);
            let op = chain.iter().find(|op| op.seq == seq);
            if op.and_then(|op| op.precondition.as_ref()) != Some(&request.precondition) {
                self.breaks(format!("claim: op {seq} was claimed without its precondition"));
            }
            self.clients[client].claims.insert(key.id.clone(), seq);
        }
        self.note(client, || format!("claims op {seq} of {} with {absorbs:?}: {}", key.id, result.is_ok()));
        self.check_record(client, &key.id, "after a claim");
        Event::Claimed { ticket, record: key, result }
    }

    /// What leaves for the server was claimed, durably, exactly as it is.
    pub fn check_sent(&mut self, client: usize, request: &PushRequest) -> Origin {
        let id = &request.record.id;
        let (chain, ..) = self.clients[client].disk.look(&request.record);
        let sent = chain.first().filter(|op| {
            op.state == OpState::InFlight
                && op.precondition.as_ref() == Some(&request.precondition)
                && op.sent_document == request.document
        });
        let Some(op) = sent else {
            self.breaks(format!("claim: a write of {id} by client {client} leaves without being claimed as it is"));
            return (client, 0);
        };
        (client, self.root(client, op.seq).0)
    }

    fn root(&self, client: usize, seq: Seq) -> Seq {
        self.clients[client].roots.get(&seq).copied().unwrap_or(seq)
    }

    pub fn settle(
        &mut self,
        client: usize,
        ticket: Ticket,
        key: RecordKey,
        settles: Vec<SettleOp>,
        mut guard: Option<LateOriginal>,
    ) -> Event {
        let mut result = Ok(());
        for settle in settles {
            let (before, base, _) = self.clients[client].disk.look(&key);
            let (seq, joins, outcome) = (settle.seq, settle.joins.clone(), settle.outcome.clone());
            self.check_joined(&before, seq, &joins);
            let settled = self.clients[client].disk.settle(settle, guard.take());
            self.note(client, || format!("op {seq} of {} settled with {joins:?}: {}", key.id, word(&outcome)));
            // One that its user took back meanwhile has its outcome already.
            if settled == Ok(true) && before.iter().any(|op| op.seq == seq) {
                let op = before.iter().find(|op| op.seq == seq).cloned();
                if let Some(op) = &op {
                    self.check_outcome(client, op, &outcome, base.as_ref().map(|base| &*base.document));
                }
                self.check_left(client, &key, &before, (seq, &joins), &outcome);
                if let (Outcome::Discarded { .. }, Some(base)) = (&outcome, &base)
                    && let Some(saved) = self.own.get_mut(&(client, key.id.clone()))
                {
                    // A creation and its deletion amount to nothing, also where both came back by an undo after the
                    // record had been made anew: that stays.
                    *saved = Some(Value::clone(&base.document));
                }
                if outcome == Outcome::Acked {
                    self.server.acknowledge((client, self.root(client, seq).0));
                    if op.is_some_and(|op| op.kind != OpKind::Delete) {
                        self.fear_no_more(client, &key.id);
                    }
                }
                if let Outcome::Rebased { op: new } = &outcome
                    && let Some(new) = self.clients[client].disk.reader().op_by_id(new.op_id).expect("the outbox")
                {
                    let root = self.root(client, seq);
                    self.clients[client].roots.insert(new.seq, root);
                }
            }
            result = result.and(settled.map(|_| ()));
        }
        self.check_record(client, &key.id, "after an outcome");
        Event::Settled { ticket, record: key, result }
    }

    /// I2: what an acknowledgement says is so, and its new base is stored.
    fn check_outcome(&mut self, client: usize, op: &Op, outcome: &Outcome, base: Option<&Value>) {
        let id = &op.record.id;
        match outcome {
            Outcome::Acked => {
                let marks: Vec<String> = self.saved.keys().filter(|mark| mentions(op, mark)).cloned().collect();
                for mark in marks {
                    let held = |side: Option<&Value>| side.is_some_and(|document| document.get(&mark).is_some());
                    if !self.server.marks.contains(&mark) {
                        self.breaks(format!("I2: op {} of {id} is acknowledged, but {mark} never arrived", op.seq));
                    } else if held(self.server.records.get(id)) && !held(base) {
                        self.breaks(format!("I2: op {} of {id} is acknowledged before its new base is here", op.seq));
                    }
                }
            }
            Outcome::Discarded { .. } if op.attempts > 0 => {
                self.breaks(format!("I2: op {} of {id} was sent, and the engine discards it", op.seq));
            }
            Outcome::Queued { .. } if op.was_in_doubt || op.state == OpState::InDoubt => {
                self.breaks(format!("doubt: op {} of {id} was in doubt and is queued again", op.seq));
            }
            Outcome::Auth { .. } if op.state == OpState::InFlight => {
                let after = self.clients[client].disk.reader().op(op.seq).expect("the outbox");
                if after.is_some_and(|after| after.state != OpState::Auth || after.attempts + 1 != op.attempts) {
                    self.breaks(format!("auth: op {} of {id} lost an attempt to missing credentials", op.seq));
                }
            }
            _ => {}
        }
    }

    /// I2: what is judged together was never attempted.
    fn check_joined(&mut self, before: &[Op], seq: Seq, joins: &[Seq]) {
        let joined = |op: &&Op| joins.contains(&op.seq) || (op.seq == seq && !joins.is_empty());
        if let Some(attempted) = before.iter().filter(joined).find(|op| op.attempts > 0) {
            self.breaks(format!("I2: op {} was attempted and is still judged as a part of op {seq}", attempted.seq));
        }
    }

    /// I2: nothing but what was settled for good leaves the pending set.
    fn check_left(
        &mut self,
        client: usize,
        key: &RecordKey,
        before: &[Op],
        (seq, joins): (Seq, &[Seq]),
        outcome: &Outcome,
    ) {
        let (after, ..) = self.clients[client].disk.look(key);
        if let Outcome::Decided(decided) = outcome {
            // Two creations under one id, both by the same person: the policy said which one stays.
            self.own.remove(&(client, key.id.clone()));
            self.check_decided(client, key, seq, decided);
        }
        let may_leave = matches!(
            outcome,
            Outcome::Acked | Outcome::Rebased { .. } | Outcome::Decided(_) | Outcome::Discarded { .. }
        );
        let together = |gone: &Seq| matches!(outcome, Outcome::Discarded { with } if with.contains(gone));
        let left = before.iter().filter(|op| !after.iter().any(|other| other.seq == op.seq));
        let wrong: Vec<Seq> = left
            .map(|op| op.seq)
            .filter(|gone| (*gone != seq || !may_leave) && !together(gone) && !joins.contains(gone))
            .collect();
        if let Some(gone) = wrong.first() {
            self.breaks(format!("I2: op {gone} of {} left the outbox by {}", key.id, word(outcome)));
        }
    }

    /// Only a rule or a policy gives one side right, and what lost is kept.
    fn check_decided(&mut self, client: usize, key: &RecordKey, seq: Seq, decided: &Decided) {
        let plan = &self.schedule.plan;
        if plan.policy == ConflictPolicy::Manual && plan.rules.is_empty() {
            self.breaks(format!("rules: op {seq} of {} gave way, and nobody said which side is right", key.id));
        }
        let vault = self.clients[client].disk.vault();
        for lost in &decided.lost {
            if !vault.iter().any(|(place, kept)| place == key && *kept == lost.document) {
                self.breaks(format!("rules: {} of {} lost, and the vault does not have it", lost.document, key.id));
            }
        }
        // Whatever the rules said of other places: an edit nobody contradicts is not given up unseen.
        let (held, marks): (_, Vec<String>) = (decided.op.as_ref().and_then(|op| op.document.as_ref()), {
            let op = self.clients[client].disk.reader().op(seq).expect("the outbox");
            let (base, document) = op.map(|op| (op.base, op.document)).unwrap_or_default();
            let has = |side: &Option<Value>, mark: &str| side.as_ref().is_some_and(|side| side.get(mark).is_some());
            // What was there already another may have taken away.
            let set = |mark: &&String| has(&document, mark) && !has(&base, mark);
            self.saved.keys().filter(set).cloned().collect()
        });
        let sides = [held, decided.theirs.as_ref(), decided.copy.as_ref().and_then(|copy| copy.document.as_ref())];
        for mark in marks {
            let is_kept = sides.iter().flatten().any(|side| side.get(&mark).is_some())
                || vault.iter().any(|(place, kept)| place == key && kept.get(&mark).is_some());
            if !is_kept {
                self.breaks(format!("rules: {mark} of {} was decided away and is nowhere", key.id));
            }
        }
    }

    /// What a command took out of the outbox is kept.
    pub fn check_vault(&mut self, client: usize, before: &[Op]) {
        let vault = self.clients[client].disk.vault();
        for op in before {
            let now = self.clients[client].disk.reader().op(op.seq).expect("the outbox");
            let discarded = now.is_some_and(|now| now.state == OpState::Discarded);
            let Some(document) = op.document.as_ref().filter(|_| discarded) else { continue };
            let kept = |(key, kept): &(RecordKey, Value)| *key == op.record && kept == document;
            if !vault.iter().any(kept) {
                self.breaks(format!(
                    "I2: op {} of {} was discarded, and the vault does not have it",
                    op.seq, op.record
                ));
            }
        }
    }

    /// The server counts.
    pub fn check_once(&mut self, origin: Origin) {
        let count = self.server.effects.get(&origin).copied().unwrap_or(0);
        if count > 1 {
            self.breaks(format!("once: op {} of client {} was applied {count} times", origin.1, origin.0));
        }
    }

    // --- time -------------------------------------------------------------------------------------------------------

    /// I4: what waits for a time has a timer, and not a much later one. Asked when no answer is on its way.
    pub fn check_timers(&mut self, client: usize, at: &At) {
        if !self.clients[client].moved || self.is_jumpy() {
            return;
        }
        self.clients[client].moved = false;
        let Some(machine) = self.machine(client) else { return };
        let wake = machine.wake_at();
        let open = machine.status(at).iter().all(|source| source.push.waiting_for.is_none());
        if !open {
            if wake.is_none() {
                self.breaks(format!("I4: the lane of client {client} is closed, and nothing will look again"));
            }
            return;
        }
        let source = collection().source;
        let reader = self.clients[client].disk.reader();
        let next = reader.next_attempt(&source).expect("the outbox").filter(|next| *next > at.wall);
        let ready = reader.ready(&source, at.wall, &[], 1).expect("the outbox");
        let in_time = |limit: Duration| wake.is_some_and(|wake| wake <= at.mono + limit);
        if let Some(next) = next
            && !in_time(next.since(at.wall) + SLACK)
        {
            let late = wake.map(|wake| wake.saturating_sub(at.mono));
            self.breaks(format!(
                "I4: client {client} has an op that waits {:?}, and wakes up after {late:?}",
                next.since(at.wall)
            ));
        }
        if !ready.is_empty() && !in_time(GUARD) {
            self.breaks(format!("I4: client {client} has an op that may go, and no timer"));
        }
    }

    // --- the end ----------------------------------------------------------------------------------------------------

    /// Everything has settled: is everything there, once?
    pub fn judge(&mut self) -> Result<(), String> {
        let plan = &self.schedule.plan;
        let decides = plan.policy != ConflictPolicy::Manual || !plan.rules.is_empty();
        let vaults: Vec<Vec<(RecordKey, Value)>> = match self.wiped || decides {
            true => self.clients.iter_mut().map(|client| client.disk.vault()).collect(),
            false => Vec::new(),
        };
        let kept = |mark: &str| vaults.iter().flatten().any(|(_, document)| document.get(mark).is_some());
        for (mark, (client, id)) in &self.saved {
            let there = self.server.records.get(id);
            let is_there = there.is_some_and(|document| document.get(mark).is_some());
            // What others wrote and nobody pulled before the server lost it is nowhere.
            let excused = (self.wiped && *client == usize::MAX) || self.revived.contains(id) || kept(mark);
            if !is_there && !excused {
                return Err(format!("lost: {mark}, saved by client {client} in {id}, is nowhere; there is {there:?}"));
            }
            let listed = |document: &Value| {
                document.get("tags").and_then(Value::as_array).is_some_and(|tags| tags.iter().any(|tag| tag == mark))
            };
            // Who takes the whole list away wins by the policy, and the vault has it.
            let is_kept = vaults.iter().flatten().any(|(_, document)| listed(document));
            let asked = self.listed.contains(mark) && !self.wiped && !is_kept;
            if is_there && asked && !there.is_some_and(listed) {
                return Err(format!("rules: {mark}, added to the list of {id}, is not in it; there is {there:?}"));
            }
        }
        if self.rule("/x") == Some(FieldRule::Max)
            && !self.wiped
            && self.schedule.plan.policy != ConflictPolicy::KeepBoth
        {
            for (id, highest) in &self.highest {
                let there = self.server.records.get(id).and_then(|document| document.get("x")).and_then(Value::as_u64);
                // Two clients may make a record of one name: no rule speaks of that, the policy takes one of them whole.
                let may_be_made_twice = id.as_str().starts_with('n');
                if there.is_some_and(|there| there < *highest) && !may_be_made_twice {
                    return Err(format!("rules: the number of {id} was {highest} once, and is {there:?}"));
                }
            }
        }
        for ((client, id), saved) in &self.own {
            let there = self.server.records.get(id);
            if !self.may_be(*client, id, there, saved.as_ref()) {
                return Err(format!("lost: {id}, touched by client {client} only, is {there:?} instead of {saved:?}"));
            }
        }
        for (index, client) in self.clients.iter().enumerate() {
            let wrong = client.disk.store().rebuild_shadow().wait().map_err(|error| error.to_string())?;
            if wrong > 0 {
                return Err(format!("I1: {wrong} rows of client {index} were not what their ops make of them"));
            }
        }
        Ok(())
    }
}

/// What the user is to see of a record: its base with every pending op in order, each by the document it is to become, not by
/// its changes as the store does it.
fn shown(ops: &[Op], base: Option<&Value>) -> Option<Value> {
    ops.iter().fold(base.cloned(), |there, op| match (op.kind, merge::intended(op)) {
        (OpKind::Update, Some(document)) if there.is_some() && !merge::is_replacement(op) => {
            edit::apply(there.as_ref(), &edit::diff(op.base.as_ref(), Some(document)))
        }
        (_, document) => document.cloned(),
    })
}

/// The server's stamp is no part of what somebody wrote.
fn is_what_was_written(there: Option<&Value>, written: Option<&Value>) -> bool {
    merge::same_document(there.map(plain).as_ref(), written.map(plain).as_ref())
}

fn word(outcome: &Outcome) -> String {
    let text = format!("{outcome:?}");
    text.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}
