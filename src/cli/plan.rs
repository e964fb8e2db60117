//! `outbox plan`: the exact requests the outbox will make, in the order they will go, without making one.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write as _,
    sync::Arc,
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    DONE, Outcome,
    outbox::{each, pending_states},
    output::{self, Data, count, grouped, talk},
    report::Failure,
    shapes,
    world::World,
};
use crate::{
    model::{
        ids::{RecordKey, Seq},
        op::{Op, OpState},
        plan::{PlanAct, PlanStep, PreconditionFrom, Wait},
        time::{self, Timestamp},
        wire::WireRequest,
    },
    runtime::plan::Planner,
    store::Reader,
};

/// Show the exact requests that will be sent, in order, without sending any
///
/// The sender works from the same values. Where the server's copy is known to have moved, the merge or the conflict
/// that follows is predicted. The token is never shown.
#[derive(Debug, Args)]
#[command(after_long_help = SHAPE)]
pub(super) struct PlanArgs {
    /// Only the requests these edits are part of
    #[arg(value_name = "SEQ")]
    seqs: Vec<i64>,
    /// Print shell commands that make the requests; the token is taken from an environment variable
    #[arg(long, conflicts_with = "json")]
    curl: bool,
}

const SHAPE: &str = "\
JSON:
  {\"requests\": [{\"source\", \"collection\", \"id\", \"ops\": [SEQ], \"act\": write|nothing|done|yields|conflict|impossible,
     \"kind\", \"method\", \"url\", \"headers\": {NAME: VALUE}, \"if_match\", \"precondition\": known|lookup|answer,
     \"body\": the exact text or null, \"bytes\",
     \"lookup\": {\"method\", \"url\", \"headers\"} or null: the record is read first for its revision,
     \"merged\", \"repeat\", \"waits\": {\"for\": after|until|in_flight|held|auth|conflict|rejected, \"until\"} or null,
     \"notes\": [TEXT]}],
   \"totals\": {\"requests\", \"lookups\", \"ops\", \"bytes\", \"waiting\", \"conflicts\"}}
  `kind` to `repeat` are null where nothing is sent. `if_match` is null until the server tells it.";

pub(super) fn run(world: &World, args: &PlanArgs) -> Outcome {
    let config = world.config()?;
    let planner = Planner::new(&config.sources, Arc::clone(&world.clock));
    let mut reader = world.reader()?;
    let mut totals = Totals::default();
    let mut printer = if world.json {
        Printer::Json(Data::new())
    } else if args.curl {
        Printer::Curl(Data::new())
    } else {
        Printer::Text(Data::new(), world.now())
    };
    let chosen = chosen(&mut reader, &planner, &args.seqs)?;
    printer.begin()?;
    if args.seqs.is_empty() {
        in_order(&mut reader, &planner, world.now(), |step| {
            printer.step(&step, totals.requests + totals.others)?;
            totals.add(&step);
            Ok(())
        })?;
    } else {
        for step in chosen {
            printer.step(&step, totals.requests + totals.others)?;
            totals.add(&step);
        }
    }
    printer.finish(&totals)?;
    Ok(DONE)
}

fn chosen(reader: &mut Reader, planner: &Planner, seqs: &[i64]) -> Result<Vec<PlanStep>, Failure> {
    let mut steps: Vec<PlanStep> = Vec::new();
    for seq in seqs.iter().copied().map(Seq) {
        let step = planner.of_op(reader, seq)?.ok_or_else(|| {
            Failure::failed(format!("there is no op {seq} that waits")).hint("`ebbtide outbox list` shows what waits")
        })?;
        if !steps.contains(&step) {
            steps.push(step);
        }
    }
    Ok(steps)
}

/// Walks all steps: what is on the wire, what may be applied already, what can go, what waits for a time, what waits
/// for a person; within each in the order of the outbox.
fn in_order(
    reader: &mut Reader,
    planner: &Planner,
    now: Timestamp,
    mut take: impl FnMut(PlanStep) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut order: HashMap<Seq, usize> = HashMap::new();
    let mut heads: HashMap<RecordKey, Urgency> = HashMap::new();
    each(reader, &pending_states(), |op| {
        let place = order.len();
        order.insert(op.seq, place);
        heads.entry(op.record.clone()).or_insert_with(|| urgency(op, now, place));
        Ok(())
    })?;
    let mut heads: Vec<(Urgency, RecordKey)> = heads.into_iter().map(|(record, urgency)| (urgency, record)).collect();
    heads.sort();
    // Later steps of a record wait here until it is their turn among the others.
    let mut later: BTreeMap<Urgency, PlanStep> = BTreeMap::new();
    for (urgency, record) in heads {
        while let Some(entry) = later.first_entry().filter(|entry| *entry.key() < urgency) {
            take(entry.remove())?;
        }
        let mut steps = planner.of_record(reader, &record)?.into_iter();
        if let Some(first) = steps.next() {
            take(first)?;
        }
        for step in steps {
            let place = step.ops.first().and_then(|seq| order.get(seq)).copied().unwrap_or(usize::MAX);
            later.insert((urgency.0, urgency.1, place), step);
        }
    }
    later.into_values().try_for_each(take)
}

/// (class, time it waits for, place in the outbox)
type Urgency = (u8, Timestamp, usize);

fn urgency(head: &Op, now: Timestamp, place: usize) -> Urgency {
    let due = head.next_attempt_at.filter(|due| *due > now);
    let class = match head.state {
        OpState::InFlight => 0,
        OpState::InDoubt if due.is_none() => 1,
        OpState::Queued if due.is_none() => 2,
        OpState::Queued | OpState::InDoubt => 3,
        _ => 4,
    };
    (class, due.filter(|_| class == 3).unwrap_or(Timestamp(0)), place)
}

#[derive(Debug, Default)]
struct Totals {
    requests: u64,
    /// Steps without a request.
    others: u64,
    lookups: u64,
    ops: u64,
    bytes: u64,
    waiting: u64,
    conflicts: u64,
}

impl Totals {
    fn add(&mut self, step: &PlanStep) {
        match &step.act {
            PlanAct::Write(write) => {
                self.requests += 1;
                self.lookups += u64::from(write.lookup.is_some());
            }
            PlanAct::Conflict { .. } => {
                self.others += 1;
                self.conflicts += 1;
            }
            PlanAct::Nothing | PlanAct::Done | PlanAct::Yields | PlanAct::Impossible { .. } => self.others += 1,
        }
        self.ops += step.ops.len() as u64;
        self.bytes += step.bytes() as u64;
        self.waiting += u64::from(step.waits.as_ref().is_some_and(Wait::needs_a_person));
    }
}

enum Printer {
    Text(Data, Timestamp),
    Curl(Data),
    Json(Data),
}

impl Printer {
    fn begin(&mut self) -> Result<(), Failure> {
        if let Self::Json(data) = self {
            data.stream().write_all(b"{\"requests\":[")?;
        }
        Ok(())
    }

    fn step(&mut self, step: &PlanStep, number: u64) -> Result<(), Failure> {
        match self {
            Self::Text(data, now) => text(data, step, number + 1, *now)?,
            Self::Curl(data) => {
                if let Some(commands) = step.as_curl() {
                    data.exact(&commands)?;
                    data.exact("")?;
                }
            }
            Self::Json(data) => {
                if number > 0 {
                    data.stream().write_all(b",\n")?;
                }
                serde_json::to_writer(data.stream(), &shape(step)).map_err(std::io::Error::from)?;
            }
        }
        Ok(())
    }

    fn finish(self, totals: &Totals) -> Result<(), Failure> {
        match self {
            Self::Json(mut data) => {
                let totals = json!({"requests": totals.requests, "lookups": totals.lookups, "ops": totals.ops,
                    "bytes": totals.bytes, "waiting": totals.waiting, "conflicts": totals.conflicts});
                data.exact(&format!("],\"totals\":{totals}}}"))?;
                data.finish()?;
            }
            Self::Text(data, _) | Self::Curl(data) => {
                data.finish()?;
                talk(&summary(totals));
            }
        }
        Ok(())
    }
}

fn summary(totals: &Totals) -> String {
    if totals.ops == 0 {
        return "nothing waits".to_owned();
    }
    let mut parts = vec![
        format!("{} for {}", count(totals.requests, "request"), count(totals.ops, "edit")),
        format!("{} bytes", grouped(totals.bytes)),
    ];
    if totals.lookups > 0 {
        let word = if totals.lookups == 1 { "lookup" } else { "lookups" };
        parts.push(format!("{} {word} of a revision", grouped(totals.lookups)));
    }
    if totals.conflicts > 0 {
        parts.push(count(totals.conflicts, "conflict"));
    }
    if totals.waiting > 0 {
        parts.push(format!("{} waiting for you", grouped(totals.waiting)));
    }
    parts.join(", ")
}

fn text(data: &mut Data, step: &PlanStep, number: u64, now: Timestamp) -> std::io::Result<()> {
    let ops: Vec<String> = step.ops.iter().map(Seq::to_string).collect();
    let word = if ops.len() == 1 { "op" } else { "ops" };
    data.line(&format!("{number}. {}  {word} {}", step.record, ops.join(", ")))?;
    if let Some(wait) = &step.waits {
        data.line(&format!("   waits: {}", waits(wait, now)))?;
    }
    if let Some(write) = step.write() {
        if let Some(lookup) = &write.lookup {
            data.line(&format!("   {} {}", lookup.method, lookup.url))?;
        }
        let bytes = format!("{} bytes", grouped(step.bytes() as u64));
        data.line(&format!("   {} {}  {bytes}", write.request.method, write.request.url))?;
        for (name, value) in &write.request.headers {
            data.line(&format!("     {name}: {value}"))?;
        }
        if let Some(token) = &write.request.token {
            let place = if token.in_query { "in the query as `auth`" } else { "as a bearer token" };
            data.line(&format!("     with ${} {place}", token.variable))?;
        }
        if let Some(body) = &write.request.body {
            data.line(&format!("     {}", output::cut(body, 400)))?;
        }
    }
    step.notes().iter().try_for_each(|note| data.line(&format!("   {note}")))
}

fn waits(wait: &Wait, now: Timestamp) -> String {
    let because = |why: &Option<String>| why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    match wait {
        Wait::After(seq) => format!("op {seq} goes first"),
        Wait::Until { at, why } => format!("{} more{}", time::age(at.since(now)), because(why)),
        Wait::OnTheWire => "it is being sent".to_owned(),
        Wait::Held => "you hold it; `ebbtide outbox release`".to_owned(),
        Wait::Credentials => "the server wants credentials".to_owned(),
        Wait::Conflict => "it is in conflict; `ebbtide conflicts resolve`".to_owned(),
        Wait::Rejected { why } => format!("the server refused it{}; edit, retry or discard it", because(why)),
    }
}

fn shape(step: &PlanStep) -> Value {
    let act = match &step.act {
        PlanAct::Write(_) => "write",
        PlanAct::Nothing => "nothing",
        PlanAct::Done => "done",
        PlanAct::Yields => "yields",
        PlanAct::Conflict { .. } => "conflict",
        PlanAct::Impossible { .. } => "impossible",
    };
    let write = step.write();
    let request = write.map(|write| &write.request);
    let headers = |request: &WireRequest| -> Value {
        Value::Object(request.headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect())
    };
    let precondition = write.map(|write| match write.precondition {
        PreconditionFrom::Known => "known",
        PreconditionFrom::Lookup => "lookup",
        PreconditionFrom::Answer(_) => "answer",
    });
    let if_match = request.filter(|_| precondition == Some("known")).and_then(|request| request.header("if-match"));
    let lookup = write
        .and_then(|write| write.lookup.as_ref())
        .map(|lookup| json!({"method": lookup.method, "url": lookup.url, "headers": headers(lookup)}));
    let waits = step.waits.as_ref().map(|wait| {
        let until = match wait {
            Wait::Until { at, .. } => Some(*at),
            _ => None,
        };
        json!({"for": wait.word(), "until": shapes::maybe_time(until)})
    });
    json!({
        "source": step.record.collection.source,
        "collection": step.record.collection.collection,
        "id": step.record.id,
        "ops": step.ops,
        "act": act,
        "kind": write.map(|write| write.kind.word()),
        "method": request.map(|request| &request.method),
        "url": request.map(|request| &request.url),
        "headers": request.map(headers),
        "if_match": if_match,
        "precondition": precondition,
        "body": request.and_then(|request| request.body.as_ref()),
        "bytes": step.bytes(),
        "lookup": lookup,
        "merged": write.map(|write| write.merged),
        "repeat": write.map(|write| write.repeat),
        "waits": waits,
        "notes": step.notes(),
    })
}
