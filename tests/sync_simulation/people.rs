//! What people do: edit, change their minds, answer what waits for them, and write from elsewhere.

use ebbtide::{
    merge,
    model::{
        conflict::{Conflict, Take},
        document::Document,
        edit,
        ids::{OpId, RecordId, Seq},
        op::{NewOp, Op, OpCommand, OpKind, OpState},
        rtdb,
        rules::FieldRule,
        sync_status::{GuardAnswer, PullPhase, SyncRequest},
        time::At,
    },
    store::{QueueEdit, Resolve, StoreError},
    sync::Event,
};
use serde_json::{Value, json};

use crate::{
    random::Dice,
    world::{SHARED, World, collection, record},
};

/// Records that anybody may make under the same name.
const NAMED: u64 = 3;

impl World<'_> {
    // --- the client's user ------------------------------------------------------------------------------------------

    pub fn edit(&mut self, client: usize, dice: &mut Dice) {
        let at = self.at(client);
        if self.schedule.plan.processes > 1 {
            self.clients[client].disk.is_beside = dice.chance(50);
        }
        self.edits += 1;
        let mark = format!("e{}", self.edits);
        let mut sets = Sets::default();
        let own: Vec<RecordId> =
            self.own.keys().filter(|(owner, _)| *owner == client).map(|(_, id)| id.clone()).collect();
        let roll = dice.below(100);
        let (id, document, is_own) = if roll < 20 || (roll < 55 && own.is_empty()) {
            // A record of my own: a push id, as the app makes them.
            (RecordId(rtdb::push_id(&at)), Some(json!({ "own": client, mark.clone(): 1 })), !self.wiped)
        } else if roll < 55 {
            let id = dice.pick(&own).unwrap_or_else(|| RecordId::from("none"));
            let document = match self.clients[client].disk.local(&record(&id)) {
                Some(_) if roll < 26 => None,
                // Back to an earlier state: what a content ETag cannot tell from never having left.
                Some(mut local) => {
                    toggle(&mut local);
                    Some(local)
                }
                None => Some(json!({ "own": client, mark.clone(): 1 })),
            };
            (id, document, true)
        } else {
            let id = match roll {
                55..=62 => RecordId(format!("n{}", dice.below(NAMED))),
                _ => RecordId(format!("r{:02}", dice.below(SHARED))),
            };
            let local = self.clients[client].disk.local(&record(&id));
            let document = match local {
                None if id.as_str().starts_with('r') => return,
                Some(_) if id.as_str().starts_with('n') && roll == 55 => None,
                local => {
                    let mut local = local.unwrap_or_else(|| json!({}));
                    put(&mut local, &mark, json!(1));
                    sets = self.add_more(&mut local, &mark, dice);
                    Some(local)
                }
            };
            (id, document, false)
        };
        if self.queue(client, &at, &id, document.clone()).is_none() {
            return;
        }
        if is_own {
            self.own.insert((client, id.clone()), document);
        } else if document.is_some() {
            self.expect_more(&id, &mark, sets);
            self.saved.insert(mark, (client, id.clone()));
        } else {
            // What the user deletes with open eyes is not lost.
            self.forget_marks(&id);
        }
        self.check_record(client, &id, "after an edit");
        self.tell(client, dice);
    }

    /// What an edit of a shared record does beside its mark.
    fn add_more(&self, document: &mut Value, mark: &str, dice: &mut Dice) -> Sets {
        let sets = Sets { number: dice.chance(20), list: dice.chance(50) && self.rule("/tags").is_some() };
        if sets.number {
            put(document, "x", json!(self.edits));
        }
        if sets.list {
            let mut tags = document.get("tags").and_then(Value::as_array).cloned().unwrap_or_default();
            tags.push(json!(mark));
            put(document, "tags", Value::Array(tags));
        }
        sets
    }

    fn expect_more(&mut self, id: &RecordId, mark: &str, sets: Sets) {
        if sets.list {
            self.listed.insert(mark.to_owned());
        }
        if sets.number {
            let highest = self.highest.entry(id.clone()).or_default();
            *highest = self.edits.max(*highest);
        }
    }

    /// Lists and numbers of a record are not what the rules alone make of them any more.
    fn expect_less(&mut self, id: &RecordId) {
        self.highest.remove(id);
        let saved = &self.saved;
        self.listed.retain(|mark| saved.get(mark).is_none_or(|(_, place)| place != id));
    }

    fn queue(&mut self, client: usize, at: &At, id: &RecordId, document: Option<Value>) -> Option<Seq> {
        let (_, base, local) = self.clients[client].disk.look(&record(id));
        let kind = match (&local, &document) {
            (None, None) => return None,
            (None, Some(_)) => OpKind::Create,
            (Some(_), Some(_)) => OpKind::Update,
            (Some(_), None) => OpKind::Delete,
        };
        let changes = edit::diff(local.as_deref(), document.as_ref());
        if changes.is_empty() {
            return None;
        }
        let text = document.as_ref().map(ToString::to_string);
        let op = NewOp {
            op_id: OpId::new(at),
            record: record(id),
            kind,
            changes,
            document,
            base: local.map(Document::into_value),
            base_revision: base.and_then(|base| base.revision),
            created_at: at.wall,
            author: String::new(),
        };
        let edit = QueueEdit { op, draft: None, session: None, activity: None };
        let queued = self.clients[client].disk.hand().queue(edit).wait();
        match queued {
            Ok(queued) => {
                self.note(client, || format!("edits {id} as op {}: {text:?}", queued.seq));
                Some(queued.seq)
            }
            Err(error) => {
                self.breaks(format!("store: {error}"));
                None
            }
        }
    }

    /// Marks of a record that somebody gave up knowingly.
    fn forget_marks(&mut self, id: &RecordId) {
        self.expect_less(id);
        self.saved.retain(|_, (_, place)| place != id);
    }

    /// Holds, retries, discards or takes back what waits in the outbox.
    pub fn command(&mut self, client: usize, dice: &mut Dice) {
        let at = self.at(client);
        let roll = dice.below(100);
        if roll < 30 {
            let before = self.clients[client].disk.pending();
            let undone = self.clients[client].disk.hand().undo(OpId::new(&at), at.wall).wait();
            self.note(client, || format!("takes the newest edit back: {undone:?}"));
            return match undone {
                Ok(_) => self.after_surgery(client, &before, dice),
                Err(StoreError::Refused(_)) => {}
                Err(error) => self.breaks(format!("store: {error}")),
            };
        }
        let before = self.clients[client].disk.pending();
        let Some(op) = dice.pick(&before) else { return };
        let command = match roll {
            30..=59 => OpCommand::Hold,
            60..=79 => OpCommand::Retry,
            _ => OpCommand::Discard,
        };
        self.order(client, command, &op, at, dice, &before);
    }

    fn order(&mut self, client: usize, command: OpCommand, op: &Op, at: At, dice: &mut Dice, before: &[Op]) {
        let done = self.clients[client].disk.hand().command(vec![op.seq], command, at.wall).wait();
        self.note(client, || format!("{command:?} of op {}: {done:?}", op.seq));
        match done {
            Ok(_) => self.after_surgery(client, before, dice),
            // It does not fit the op's state; nothing changed.
            Err(StoreError::Refused(_)) => {}
            Err(error) => self.breaks(format!("store: {error}")),
        }
    }

    /// What left the outbox by the user's own command is in the vault, and no longer expected anywhere.
    fn after_surgery(&mut self, client: usize, before: &[Op], dice: &mut Dice) {
        self.check_vault(client, before);
        let still: Vec<Op> = self.clients[client].disk.pending();
        let gone = before.iter().filter(|op| !still.iter().any(|other| other.seq == op.seq));
        let more = still.iter().filter(|op| !before.iter().any(|other| other.seq == op.seq));
        let touched: Vec<Op> = gone.chain(more).cloned().collect();
        for op in touched {
            let id = op.record.id.clone();
            self.expect_less(&id);
            self.saved.retain(|mark, (_, place)| *place != id || !mentions(&op, mark));
            // What was in doubt may still arrive, though the server refused its repeat and the user gave it up.
            if op.was_in_doubt && op.state == OpState::Rejected && self.own.contains_key(&(client, id.clone())) {
                self.feared.entry((client, id.clone())).or_default().push(op.clone());
            } else if op.was_in_doubt {
                self.own.remove(&(client, id.clone()));
            }
            if self.own.contains_key(&(client, id.clone())) {
                let local = self.clients[client].disk.local(&op.record);
                self.own.insert((client, id), local);
            }
        }
        self.check_all(client, "after a command");
        self.tell(client, dice);
    }

    /// The user looks at what waits for a person.
    pub fn attend(&mut self, client: usize) {
        let mut dice = self.dice(client);
        let at = self.at(client);
        let conflicts = self.clients[client].disk.reader().conflicts(false).expect("the conflicts");
        let mut moved = false;
        for conflict in conflicts {
            moved |= self.resolve(client, &conflict, &mut dice);
        }
        let waiting = [OpState::Held, OpState::Rejected];
        let waiting = self.clients[client].disk.reader().outbox(&waiting, None, 100).expect("the outbox");
        for op in waiting {
            if !self.is_calm() && dice.chance(50) {
                continue;
            }
            let command = if op.state == OpState::Held { OpCommand::Release } else { OpCommand::Retry };
            let done = self.clients[client].disk.hand().command(vec![op.seq], command, at.wall).wait();
            self.note(client, || format!("{command:?} of op {}: {done:?}", op.seq));
            moved = true;
        }
        if moved {
            self.check_all(client, "after the user's answers");
            self.tell(client, &mut dice);
        }
        self.answer_guard(client, at);
    }

    /// Theirs, with what I changed on top; what somebody changed while I deleted it stays.
    fn resolve(&mut self, client: usize, conflict: &Conflict, dice: &mut Dice) -> bool {
        let id = conflict.record.id.clone();
        let is_own = self.own.contains_key(&(client, id.clone()));
        let op = self.clients[client].disk.reader().op(conflict.seq).expect("the outbox");
        let Some(op) = op.filter(|op| op.state == OpState::Conflict) else { return false };
        let mine = merge::intended(&op).cloned();
        let (take, document) = match (&conflict.theirs, op.kind, &mine) {
            _ if is_own => (Take::Mine, mine.clone()),
            (Some(_), OpKind::Delete, _) => (Take::Theirs, None),
            (Some(theirs), OpKind::Update, _) if !merge::is_replacement(&op) => {
                (Take::Merged, edit::apply(Some(theirs), &op.changes))
            }
            (Some(theirs), OpKind::Update | OpKind::Create, Some(mine)) => {
                let mut both = theirs.clone();
                let members = mine.as_object().into_iter().flatten();
                members.for_each(|(name, value)| put(&mut both, name, value.clone()));
                (Take::Merged, Some(both))
            }
            _ => (Take::Mine, mine.clone()),
        };
        let document = document.map(|document| self.by_the_rules(document, mine.as_ref(), conflict.theirs.as_ref()));
        let answer = Resolve {
            conflict: conflict.id,
            take,
            document,
            seen: None,
            op_id: OpId::new(&At { entropy: dice.entropy(), ..self.at(client) }),
            at: self.at(client).wall,
            author: String::new(),
        };
        let resolved = self.clients[client].disk.hand().resolve(answer).wait();
        self.note(client, || format!("resolves c{} of {id} by {take:?}: {resolved:?}", conflict.id));
        match resolved {
            Ok(_) => {
                // A delete that waits behind the conflict goes on, now that both sides were seen.
                let (behind, ..) = self.clients[client].disk.look(&conflict.record);
                if behind.iter().any(|op| op.kind == OpKind::Delete) {
                    self.forget_marks(&id);
                }
                self.check_record(client, &id, "after a resolution");
            }
            Err(error) => self.breaks(format!("store: {error}")),
        }
        true
    }

    /// A user who answers minds what the rules say of the other fields.
    fn by_the_rules(&self, mut document: Value, mine: Option<&Value>, theirs: Option<&Value>) -> Value {
        let number = |side: Option<&Value>| side.and_then(|side| side.get("x")).and_then(Value::as_u64);
        if self.rule("/x") == Some(FieldRule::Max)
            && let Some(highest) = number(mine).max(number(theirs))
        {
            put(&mut document, "x", json!(highest));
        }
        if self.rule("/tags").is_some() {
            let list = |side: Option<&Value>| side.and_then(|side| side.get("tags")).and_then(Value::as_array).cloned();
            let mut tags = list(theirs).unwrap_or_default();
            for tag in list(mine).unwrap_or_default() {
                if !tags.contains(&tag) {
                    tags.push(tag);
                }
            }
            if !tags.is_empty() {
                put(&mut document, "tags", Value::Array(tags));
            }
        }
        document
    }

    fn answer_guard(&mut self, client: usize, at: At) {
        let guard = self.schedule.plan.guard;
        let Some(machine) = self.machine(client) else { return };
        let stopped = machine
            .status(&at)
            .iter()
            .flat_map(|source| &source.collections)
            .any(|status| matches!(status.phase, PullPhase::Stopped(_)));
        if stopped {
            self.note(client, || format!("answers the guard: {guard:?}"));
            self.clients[client].accepted |= guard == GuardAnswer::Accept;
            let answer = SyncRequest::AnswerGuard { collection: collection(), answer: guard };
            self.handle(client, Event::Request(answer));
        }
    }

    /// What is here and not there is queued to be made again.
    pub fn reupload(&mut self, client: usize) -> u64 {
        let at = self.at(client);
        let mut dice = self.dice(client);
        let mut ops = Vec::new();
        for (id, _) in self.clients[client].disk.shown(&collection()) {
            if self.server.records.contains_key(&id) {
                continue;
            }
            let (pending, base, _) = self.clients[client].disk.look(&record(&id));
            let (Some(base), true) = (base, pending.is_empty()) else { continue };
            ops.push(NewOp {
                op_id: OpId::new(&At { entropy: dice.entropy(), ..at }),
                record: record(&id),
                kind: OpKind::Create,
                changes: edit::diff(None, Some(&base.document)),
                document: Some(base.document.value().clone()),
                base: None,
                base_revision: None,
                created_at: at.wall,
                author: String::new(),
            });
        }
        let count = ops.len() as u64;
        (self.stirred, self.clients[client].moved) = (true, true);
        if let Err(error) = self.clients[client].disk.store().queue_many(ops).wait() {
            self.breaks(format!("store: {error}"));
        }
        count
    }

    // --- somebody else ----------------------------------------------------------------------------------------------

    /// Somebody else writes through the server.
    pub fn foreign(&mut self, dice: &mut Dice) {
        if self.wiped {
            // Whose record it is that comes back is not ours to say.
            return;
        }
        self.edits += 1;
        self.stirred = true;
        let roll = dice.below(100);
        let id = match roll {
            0..=19 => RecordId(format!("n{}", dice.below(NAMED))),
            _ => RecordId(format!("r{:02}", dice.below(SHARED))),
        };
        let mark = format!("o{}", self.edits);
        let present = self.server.records.get(&id).cloned();
        let earlier = match roll {
            20..=27 => self.server.earlier(&id, dice),
            _ => None,
        };
        let takes_away = roll < 7 || earlier.is_some();
        let document = match present {
            None if id.as_str().starts_with('r') => return,
            Some(_) if takes_away => earlier,
            present => {
                let mut document = present.unwrap_or_else(|| json!({}));
                put(&mut document, &mark, json!(1));
                let sets = self.add_more(&mut document, &mark, dice);
                self.expect_more(&id, &mark, sets);
                Some(document)
            }
        };
        self.note(0, || format!("(somebody writes {id}: {:?})", document.as_ref().map(ToString::to_string)));
        match &document {
            Some(_) if !takes_away => {
                self.saved.insert(mark, (usize::MAX, id.clone()));
            }
            // Whoever deletes it, or brings an earlier text back, saw what was there; what only waits in an outbox is still to
            // come.
            _ => {
                self.server.forget_effects(&id, None);
                self.expect_less(&id);
                let marks = self.server.marks.clone();
                self.saved.retain(|mark, (_, place)| *place != id || !marks.contains(mark));
            }
        }
        self.server.put(id, document);
        self.serve_feeds();
    }
}

/// What an edit set beside its mark.
#[derive(Debug, Clone, Copy, Default)]
struct Sets {
    number: bool,
    list: bool,
}

fn toggle(document: &mut Value) {
    let Some(members) = document.as_object_mut() else { return };
    if members.shift_remove("toggle").is_none() {
        members.insert("toggle".to_owned(), json!(1));
    }
}

fn put(document: &mut Value, name: &str, value: Value) {
    if let Some(members) = document.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// True where an op sets or takes away a mark.
pub fn mentions(op: &Op, mark: &str) -> bool {
    let (before, after) = (op.base.as_ref(), op.document.as_ref());
    let held = |side: Option<&Value>| side.is_some_and(|document| document.get(mark).is_some());
    held(before) != held(after)
}
