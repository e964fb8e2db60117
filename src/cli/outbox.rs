//! `outbox`: the edits that wait for the server, and what may be done to them.

use std::io;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{
    DONE, Outcome, check,
    edit::wake,
    output::{self, Data, JsonArray, count, table, talk},
    plan::{self, PlanArgs},
    report::Failure,
    shapes,
    world::{self, Target, World, find_source},
};
use crate::{
    model::{
        edit::Change,
        ids::{OpId, Seq, SourceName},
        json::Pointer,
        op::{Op, OpCommand, OpState},
        time,
    },
    store::{Reader, StoreError, Undone},
};

#[derive(Debug, Subcommand)]
pub(super) enum OutboxCommand {
    List(ListArgs),
    Show(ShowArgs),
    Plan(PlanArgs),
    /// Let edits go at once: forget their wait, and try rejected ones again
    #[command(after_long_help = CHANGED_SHAPE)]
    Retry(SeqArgs),
    /// Keep edits here until they are released
    #[command(after_long_help = CHANGED_SHAPE)]
    Hold(SeqArgs),
    /// Let held edits go
    #[command(after_long_help = CHANGED_SHAPE)]
    Release(SeqArgs),
    Send(SendArgs),
    Edit(EditArgs),
    Split(SplitArgs),
    Discard(DiscardArgs),
    Undo(UndoArgs),
    Confirm(ConfirmArgs),
}

/// List the edits that wait, those of a record in the order they will be sent
#[derive(Debug, Args)]
#[command(after_long_help = LIST_SHAPE)]
pub(super) struct ListArgs {
    /// Only edits in this state; can be given several times. Settled ones are shown only where asked for
    #[arg(long, value_name = "STATE", value_parser = parse_state)]
    state: Vec<OpState>,
}

fn parse_state(word: &str) -> Result<OpState, String> {
    let words = OpState::ALL.map(OpState::word).join(", ");
    // A table says it in the words of the screen.
    let shown = || OpState::ALL.into_iter().find(|state| state.label() == word.replace('_', " "));
    OpState::parse(word).or_else(shown).ok_or_else(|| format!("there are: {words}"))
}

const LIST_SHAPE: &str = "\
States:
  held queued blocked in_flight in_doubt auth conflict rejected; settled: acked superseded
  discarded

JSON:
  [{\"seq\", \"op_id\", \"source\", \"collection\", \"id\", \"kind\": create|update|delete, \"state\", \"attempts\",
    \"created_at\", \"next_attempt_at\", \"last_error\": {\"at\", \"status\", \"message\"} or null,
    \"changes\": [{\"pointer\", \"from\", \"to\"}]}]
  `from` is left out where nothing was there before, `to` where nothing is there after.";

/// Show one edit with all that is known of it
#[derive(Debug, Args)]
#[command(after_long_help = SHOW_SHAPE)]
pub(super) struct ShowArgs {
    /// Its number, as `outbox list` shows it
    #[arg(value_name = "SEQ")]
    seq: i64,
}

const SHOW_SHAPE: &str = "\
JSON:
  as in `outbox list`, and {\"document\", \"base\", \"base_revision\", \"after\", \"sent_at\", \"settled_at\",
  \"precondition\", \"was_in_doubt\", \"author\": null where nobody is named}";

#[derive(Debug, Args)]
pub(super) struct SeqArgs {
    /// Numbers, as `outbox list` shows them, or what waits from one to another: 168-321
    #[arg(value_name = "SEQ", required_unless_present = "all", value_parser = parse_span)]
    seqs: Vec<Span>,
    /// Every edit it fits
    #[arg(long, conflicts_with = "seqs")]
    all: bool,
}

/// One number, or from one to another, both included.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: i64,
    to: i64,
}

fn parse_span(word: &str) -> Result<Span, String> {
    let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0);
    let (from, to) = word.split_once('-').unwrap_or((word, word));
    match (number(from), number(to)) {
        (Some(from), Some(to)) if from <= to => Ok(Span { from, to }),
        _ => Err("write a number as `outbox list` shows it, or two of them: 168-321".to_owned()),
    }
}

/// Take edits back, with the later ones of the same record
///
/// What they said is kept in the vault. An edit that may have been sent already is not taken back.
#[derive(Debug, Args)]
#[command(after_long_help = CHANGED_SHAPE)]
pub(super) struct DiscardArgs {
    /// Numbers, as `outbox list` shows them, or what waits from one to another: 168-321
    #[arg(value_name = "SEQ", required = true, value_parser = parse_span)]
    seqs: Vec<Span>,
}

/// Let edits go at once and before all others: a wait, a hold and a refusal are forgotten
///
/// The earlier edits of the same record go with them. An edit that may have been sent already is not touched.
#[derive(Debug, Args)]
#[command(after_long_help = CHANGED_SHAPE)]
pub(super) struct SendArgs {
    /// Numbers, as `outbox list` shows them, or what waits from one to another: 168-321
    #[arg(value_name = "SEQ", required = true, value_parser = parse_span)]
    seqs: Vec<Span>,
}

/// Put another document in the place of an edit's, or repair one the server refused
///
/// The edit is superseded by a new one at its place; the later edits of the record stay on top of it. An edit that may
/// have been sent already is not changed.
#[derive(Debug, Args)]
#[command(after_long_help = EDIT_SHAPE)]
pub(super) struct EditArgs {
    /// Its number, as `outbox list` shows it
    #[arg(value_name = "SEQ")]
    seq: i64,
    /// The whole record as it shall be sent: JSON, `-` for standard input, or @FILE
    #[arg(value_name = "JSON|-|@FILE", allow_hyphen_values = true)]
    document: String,
}

const EDIT_SHAPE: &str = "\
JSON:
  {\"superseded\": SEQ, \"seq\": the new edit}";

/// Take fields out of an edit into one of their own, which is held
///
/// The rest may go. Release the fields when they are ready; released before the rest was sent, both become one request
/// again.
#[derive(Debug, Args)]
#[command(after_long_help = SPLIT_SHAPE)]
pub(super) struct SplitArgs {
    /// Its number, as `outbox list` shows it
    #[arg(value_name = "SEQ")]
    seq: i64,
    /// A field the edit changes, as a JSON pointer such as /price; can be given several times
    #[arg(long = "field", value_name = "POINTER", required = true)]
    fields: Vec<String>,
}

const SPLIT_SHAPE: &str = "\
JSON:
  {\"superseded\": SEQ, \"rest\": the edit without the fields, \"held\": the edit with them}";

/// Take back the last step done to the outbox: hold, release, retry, send, edit, split or discard
///
/// Again for the step before it. What was sent meanwhile cannot be taken back. An edit or an import is no step:
/// `outbox discard` takes those back.
#[derive(Debug, Args)]
#[command(after_long_help = UNDO_SHAPE)]
pub(super) struct UndoArgs {}

const UNDO_SHAPE: &str = "\
JSON:
  {\"undone\": the step or null where there is none, \"changed\": [SEQ]}";

/// Let the account that is signed in send edits that another one made
///
/// Edits made as somebody else wait in the state `auth`, so that nobody signs for another by accident.
#[derive(Debug, Args)]
#[command(after_long_help = CONFIRM_SHAPE)]
pub(super) struct ConfirmArgs {
    /// The source they wait for
    #[arg(long, value_name = "S")]
    source: String,
}

const CONFIRM_SHAPE: &str = "\
JSON:
  {\"confirmed\": how many edits may go now, \"account\": who sends them, or null where nobody is known}";

const CHANGED_SHAPE: &str = "\
JSON:
  {\"changed\": [SEQ]}";

/// Ops read at a time.
const PAGE: usize = 200;

pub(super) fn run(world: &World, command: &OutboxCommand) -> Outcome {
    match command {
        OutboxCommand::List(args) => list(world, args),
        OutboxCommand::Show(args) => show(world, Seq(args.seq)),
        OutboxCommand::Plan(args) => plan::run(world, args),
        OutboxCommand::Retry(args) => change(world, args, Verb::Retry),
        OutboxCommand::Hold(args) => change(world, args, Verb::Hold),
        OutboxCommand::Release(args) => change(world, args, Verb::Release),
        OutboxCommand::Send(args) => carry_out(world, seqs(world, &args.seqs)?, Verb::Send),
        OutboxCommand::Edit(args) => edit(world, args),
        OutboxCommand::Split(args) => split(world, args),
        OutboxCommand::Confirm(args) => confirm(world, args),
        OutboxCommand::Discard(args) => carry_out(world, seqs(world, &args.seqs)?, Verb::Discard),
        OutboxCommand::Undo(_) => undo(world),
    }
}

fn list(world: &World, args: &ListArgs) -> Outcome {
    let mut reader = world.reader()?;
    let states = if args.state.is_empty() { pending_states() } else { args.state.clone() };
    if world.json {
        let mut array = JsonArray::begin()?;
        each(&mut reader, &states, |op| array.push(&shapes::op(op)))?;
        array.finish()?;
        return Ok(DONE);
    }
    let now = world.now();
    let mut rows = Vec::new();
    each(&mut reader, &states, |op| {
        rows.push(vec![
            op.seq.to_string(),
            op.state.label().to_owned(),
            op.kind.word().to_owned(),
            op.record.to_string(),
            op.attempts.to_string(),
            format!("{}{}", time::age(now.since(op.created_at)), if op.is_old(now) { " old" } else { "" }),
            summary(op),
        ]);
        Ok(())
    })?;
    if rows.is_empty() {
        talk("nothing waits");
        return Ok(DONE);
    }
    let mut data = Data::new();
    for line in table(&["SEQ", "STATE", "EDIT", "RECORD", "TRIES", "AGE", "WHAT"], &rows, 60) {
        data.exact(&line)?;
    }
    data.finish()?;
    Ok(DONE)
}

/// Walks the outbox in keyset pages.
pub(super) fn each(
    reader: &mut Reader,
    states: &[OpState],
    mut take: impl FnMut(&Op) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let page = reader.outbox(states, after, PAGE)?;
        for op in &page {
            take(op)?;
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.seq),
            _ => return Ok(()),
        }
    }
}

fn summary(op: &Op) -> String {
    if let Some(error) = &op.last_error {
        return error.status.map_or_else(|| error.message.clone(), |status| format!("{status} {}", error.message));
    }
    match op.changes.as_slice() {
        [only] if !only.pointer.is_root() => describe(only),
        // A whole record: what it is to be, or was.
        [] | [_] => op.document.as_ref().or(op.base.as_ref()).map(ToString::to_string).unwrap_or_default(),
        several => {
            let places: Vec<String> = several.iter().map(|change| change.pointer.to_string()).collect();
            places.join(" ")
        }
    }
}

/// `/status "open" → "done"`
fn describe(change: &Change) -> String {
    let side =
        |value: &Option<serde_json::Value>| value.as_ref().map_or_else(|| "(none)".to_owned(), ToString::to_string);
    format!("{} {} → {}", change.pointer, side(&change.from), side(&change.to))
}

fn expect(reader: &mut Reader, seq: Seq) -> Result<Op, Failure> {
    reader.op(seq)?.ok_or_else(|| {
        Failure::failed(format!("there is no edit {seq}")).hint("`ebbtide outbox list` shows what waits")
    })
}

fn show(world: &World, seq: Seq) -> Outcome {
    let op = expect(&mut world.reader()?, seq)?;
    if world.json {
        output::json(&shapes::whole_op(&op))?;
        return Ok(DONE);
    }
    let now = world.now();
    let mut data = Data::new();
    data.line(&format!("{} {} {}", op.seq, op.kind.word(), op.record))?;
    data.line(&format!("state     {}", op.state.label()))?;
    data.line(&format!("made      {} ({})", op.created_at.to_rfc3339(), time::ago(now.since(op.created_at))))?;
    data.line(&format!("attempts  {}", op.attempts))?;
    if let Some(next) = op.next_attempt_at {
        data.line(&format!("next try  {}", next.to_rfc3339()))?;
    }
    if let Some(error) = &op.last_error {
        let status = error.status.map(|status| format!("{status} ")).unwrap_or_default();
        data.line(&format!("last error  {status}{} ({})", error.message, error.at.to_rfc3339()))?;
    }
    for change in &op.changes {
        let place = if change.pointer.is_root() { "the record".to_owned() } else { change.pointer.to_string() };
        data.line(&place)?;
        for (mark, side) in [('-', &change.from), ('+', &change.to)] {
            if let Some(value) = side {
                for line in serde_json::to_string_pretty(value).expect("a value is JSON").lines() {
                    data.line(&format!("  {mark} {line}"))?;
                }
            }
        }
    }
    data.finish()?;
    Ok(DONE)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Verb {
    Retry,
    Hold,
    Release,
    Send,
    Discard,
}

impl Verb {
    fn command(self) -> OpCommand {
        match self {
            Self::Retry => OpCommand::Retry,
            Self::Hold => OpCommand::Hold,
            Self::Release => OpCommand::Release,
            Self::Send => OpCommand::Send,
            Self::Discard => OpCommand::Discard,
        }
    }

    fn past(self) -> &'static str {
        match self {
            Self::Retry => "may go at once",
            Self::Hold => "held",
            Self::Release => "released",
            Self::Send => "goes first, as soon as the server can be reached",
            Self::Discard => "discarded; the vault keeps what they said",
        }
    }

    /// The states `--all` picks.
    fn fits(self) -> &'static [OpState] {
        match self {
            Self::Retry => &[OpState::Queued, OpState::Rejected],
            Self::Hold => &[OpState::Queued],
            Self::Release => &[OpState::Held],
            Self::Send | Self::Discard => &[],
        }
    }
}

fn change(world: &World, args: &SeqArgs, verb: Verb) -> Outcome {
    if !args.all {
        return carry_out(world, seqs(world, &args.seqs)?, verb);
    }
    let mut found = Vec::new();
    each(&mut world.reader()?, verb.fits(), |op| {
        found.push(op.seq);
        Ok(())
    })?;
    carry_out(world, found, verb)
}

/// A number stands for its edit, whatever became of it; from one to another only what waits is meant.
fn seqs(world: &World, spans: &[Span]) -> Result<Vec<Seq>, Failure> {
    let mut found = Vec::new();
    for Span { from, to } in spans {
        if from == to {
            found.push(Seq(*from));
            continue;
        }
        let before = found.len();
        let pending: Vec<OpState> = OpState::ALL.into_iter().filter(|state| state.is_pending()).collect();
        each(&mut world.reader()?, &pending, |op| {
            found.extend((*from..=*to).contains(&op.seq.0).then_some(op.seq));
            Ok(())
        })?;
        if found.len() == before {
            return Err(Failure::usage(format!("no edit from {from} to {to} waits"))
                .hint("`ebbtide outbox list` shows the numbers"));
        }
    }
    Ok(found)
}

fn carry_out(world: &World, seqs: Vec<Seq>, verb: Verb) -> Outcome {
    let store = world.store()?;
    let changed = if seqs.is_empty() {
        Vec::new()
    } else {
        let answer = store.command(seqs, verb.command(), world.now()).wait();
        answer.map_err(not_changed)?
    };
    wake(&store, world)?;
    if world.json {
        output::json(&json!({"changed": changed}))?;
    }
    talk(&format!("{}: {}", count(changed.len() as u64, "edit"), verb.past()));
    Ok(DONE)
}

fn not_changed(error: StoreError) -> Failure {
    let is_conflict = matches!(&error, StoreError::Refused(why) if why.contains("in conflict"));
    let hint = match is_conflict {
        true => "`ebbtide conflicts list` shows its number, `ebbtide conflicts resolve` decides it",
        false => "`ebbtide outbox list` shows the state of each edit",
    };
    Failure::store("the outbox was not changed", error).or_hint(hint)
}

fn edit(world: &World, args: &EditArgs) -> Outcome {
    let document = check::read_argument(&args.document)?;
    let config = world.config()?;
    let store = world.store()?;
    let op = expect(&mut store.reader()?, Seq(args.seq))?;
    let key = &op.record.collection;
    let source = world::find_source(&config, &key.source);
    let target = source.and_then(|source| Some(Target { source, collection: source.collection(&key.collection)? }));
    let Some(target) = target else {
        return Err(Failure::usage(format!("the collection `{key}` is not configured any more"))
            .hint("configure it again, or discard the edit"));
    };
    target.check_writable()?;
    let document = check::document(&target, op.record.id.as_str(), &document)?;
    let at = world.at();
    let made = store.edit_op(op.seq, OpId::new(&at), document, at.wall).wait().map_err(not_changed)?;
    wake(&store, world)?;
    if world.json {
        output::json(&json!({"superseded": op.seq, "seq": made}))?;
    }
    talk(&format!("{made} takes the place of {}: {}", op.seq, op.record));
    Ok(DONE)
}

fn split(world: &World, args: &SplitArgs) -> Outcome {
    let store = world.store()?;
    let seq = Seq(args.seq);
    let pointer = |text: &String| match text.as_str() {
        whole if whole.is_empty() || whole.starts_with('/') => Ok(Pointer::parse(whole)),
        other => Err(Failure::usage(format!("`{other}` is not a JSON pointer")).hint(format!("write `/{other}`"))),
    };
    let fields = args.fields.iter().map(pointer).collect::<Result<Vec<Pointer>, Failure>>()?;
    let ids = [OpId::new(&world.at()), OpId::new(&world.at())];
    let (rest, held) = store.split_op(seq, fields, ids, world.now()).wait().map_err(not_changed)?;
    wake(&store, world)?;
    if world.json {
        output::json(&json!({"superseded": seq, "rest": rest, "held": held}))?;
    }
    talk(&format!("{held} holds {}; {rest} is what is left of {seq}", args.fields.join(", ")));
    Ok(DONE)
}

fn undo(world: &World) -> Outcome {
    let store = world.store()?;
    let undone = store.undo_step(world.now()).wait().map_err(not_changed)?;
    wake(&store, world)?;
    let said = undone.as_ref().map(Undone::in_words).transpose().map_err(not_changed)?;
    if world.json {
        let (what, changed) = match &undone {
            Some(Undone::Step { what, seqs }) => (Some(what), seqs.clone()),
            _ => (None, Vec::new()),
        };
        output::json(&json!({"undone": what, "changed": changed}))?;
    }
    talk(said.as_deref().unwrap_or("nothing to take back"));
    Ok(DONE)
}

fn confirm(world: &World, args: &ConfirmArgs) -> Outcome {
    let config = world.config()?;
    let name = SourceName::from(args.source.as_str());
    if find_source(&config, &name).is_none() {
        let known: Vec<String> = config.sources.iter().map(|source| format!("`{}`", source.name)).collect();
        return Err(
            Failure::usage(format!("there is no source `{name}`")).hint(format!("there are: {}", known.join(", ")))
        );
    }
    let store = world.store()?;
    let account = store.reader()?.accounts()?.into_iter().find(|(source, _)| *source == name);
    let account = account.and_then(|(_, account)| account.principal);
    let confirmed = store
        .confirm_author(name.clone(), world.now())
        .wait()
        .map_err(|error| Failure::store("the edits were not confirmed", error))?;
    wake(&store, world)?;
    if world.json {
        output::json(&json!({"confirmed": confirmed, "account": account}))?;
    }
    match account {
        _ if confirmed == 0 => talk(&format!("no edit waits for another account at `{name}`")),
        Some(account) => talk(&format!("{}: may go to `{name}` as {account}", count(confirmed, "edit"))),
        None => talk(&format!("{}: may go to `{name}`", count(confirmed, "edit"))),
    }
    Ok(DONE)
}

pub(super) fn pending_states() -> Vec<OpState> {
    OpState::ALL.into_iter().filter(|state| state.is_pending()).collect()
}
