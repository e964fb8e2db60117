//! `sync`: pulls and pushes until nothing is left that can be done now, or for as long as it is watched.
//!
//! The engine does the work; this file waits, shows progress and says how it ended. Where another process carries the
//! sync already (an open dashboard), the engine asks that one and reports what it publishes.

use std::{collections::BTreeMap, io::IsTerminal, process::ExitCode, sync::Arc, time::Duration};

use clap::Args;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{
    DONE, Outcome,
    output::{self, Data, count, grouped, talk},
    report::Failure,
    shapes,
    signals::Stop,
    status::{Picture, phase_word},
    world::{self, NOTHING_CONFIGURED, World},
};
use crate::{
    config::Config,
    model::{
        display,
        ids::CollectionKey,
        op::OpState,
        source::SourceSpec,
        sync_status::{CollectionStatus, ConnectivityState, GuardAnswer, PullPhase, SourceStatus, SyncRequest},
        time::Timestamp,
    },
    runtime::engine::{Engine, EngineEvent, EngineSetup},
    store::{Reader, Store},
    sync::position,
};

/// Pull and push until nothing is left that can be done now
#[derive(Debug, Args)]
#[command(after_long_help = SHAPE)]
pub(super) struct SyncArgs {
    /// Go on, and follow live changes, until ctrl-c
    #[arg(long)]
    watch: bool,
    /// End forced offline first, for every process of the data dir
    #[arg(long)]
    online: bool,
    /// Compare every record with the server, of one collection or of all, heal what differs and report it
    #[arg(long, value_name = "C", num_args = 0..=1, default_missing_value = "", conflicts_with = "watch")]
    verify: Option<String>,
    /// A pull of this collection stopped before deleting much: delete here what is gone there (the vault keeps it)
    #[arg(long, value_name = "C")]
    accept: Vec<String>,
    /// … put back there what is here
    #[arg(long, value_name = "C")]
    reupload: Vec<String>,
    /// … leave both as they are and stop pulling the collection
    #[arg(long, value_name = "C")]
    detach: Vec<String>,
}

const SHAPE: &str = "\
Exit codes: 0 nothing waits, 1 a source or a collection could not be read, 3 work is still pending,
4 unresolved conflicts, 5 rejected edits.

JSON:
  as `ebbtide status` prints it, after the sync; with --verify an array instead, one member for each
  collection that was compared: {\"source\", \"collection\", \"checked\", \"differing\", \"missing\" here,
  \"extra\" here, \"healed\", \"took_ms\", \"verified_at\", \"differences\": [the first ids]}";

pub(super) fn run(world: &World, args: &SyncArgs) -> Outcome {
    let config = world.config()?;
    if config.sources.is_empty() {
        return Err(Failure::usage("no source is configured").hint(NOTHING_CONFIGURED));
    }
    if world.offline {
        return Err(Failure::usage("a sync needs the network, and --offline forbids it").hint("leave --offline out"));
    }
    let mut answers = answers(&config, args)?;
    let compared = verified_keys(&config, args)?;
    let began = world.now();
    match compared.as_slice() {
        [] => {}
        [one] => answers.push(SyncRequest::Verify { collection: Some(one.clone()) }),
        _ => answers.push(SyncRequest::Verify { collection: None }),
    }
    let store = world.store()?;
    if args.online {
        answers.insert(0, SyncRequest::ForceOffline(false));
    } else if let Some(since) = store.reader()?.forced_offline()? {
        return Err(Failure::failed(format!(
            "forced offline since {}: nothing is sent or fetched",
            since.to_rfc3339()
        ))
        .hint("`ebbtide sync --online` ends that; your edits are kept"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::io("could not start", &error))?;
    let ended = runtime.block_on(drive(world, &config, &store, args.watch, answers))?;
    let mut reader = store.reader()?;
    let picture = Picture::take(&mut reader, &config, world.now())?.with_statuses(ended.statuses.clone());
    if ended.interrupted && !args.watch {
        return Err(
            Failure::failed("the sync was interrupted").hint("what was fetched and queued is kept; run it again")
        );
    }
    if !ended.interrupted {
        check_reached(&ended.statuses, picture.counts.pending())?;
    }
    let uncompared = match compared.as_slice() {
        [] => Vec::new(),
        compared => report_verified(world, &mut reader, compared, began)?,
    };
    if world.json && compared.is_empty() {
        picture.print(world)?;
    } else if !world.json && uncompared.is_empty() {
        let sent = reader.sent_since(began)?;
        talk(&summary(&ended.statuses, began, sent, &picture));
        report_rejected(&mut reader)?;
    }
    let stopped = report_stopped(world, &ended.statuses);
    if !uncompared.is_empty() {
        return Err(each_in_words(&uncompared, "could not be compared to the end").hint("the next one goes on there"));
    }
    let unread = if ended.interrupted { Vec::new() } else { unread(&config, &ended.statuses, began) };
    if !unread.is_empty() {
        return Err(
            each_in_words(&unread, "could not be fetched").hint("the next sync tries it again; what is here stays")
        );
    }
    match picture.exit_code() {
        code if code == DONE && stopped => Ok(ExitCode::from(3)),
        code => Ok(code),
    }
}

/// One failure for all collections, each with why.
fn each_in_words(collections: &[(CollectionKey, Option<String>)], what: &str) -> Failure {
    match collections {
        [(key, why)] => {
            why.iter().fold(Failure::failed(format!("`{key}` {what}")), |failure, why| failure.because(why))
        }
        several => {
            let failure = Failure::failed(format!("{} {what}", count(several.len() as u64, "collection")));
            several.iter().fold(failure, |failure, (key, why)| {
                let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                failure.because(format!("`{key}`{why}"))
            })
        }
    }
}

/// Starts a sync for one wish and ends when nothing is left that can be done now.
pub(super) fn carry_out(
    world: &World,
    config: &Config,
    store: &Store,
    request: SyncRequest,
) -> Result<Vec<SourceStatus>, Failure> {
    if world.offline {
        return Err(Failure::usage("this needs the network, and --offline forbids it").hint("leave --offline out"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::io("could not start", &error))?;
    let ended = runtime.block_on(drive(world, config, store, false, vec![request]))?;
    if ended.interrupted {
        return Err(Failure::failed("the sync was interrupted").hint("what was answered is kept; run it again"));
    }
    Ok(ended.statuses)
}

/// How the waiting ended.
struct Ended {
    statuses: Vec<SourceStatus>,
    interrupted: bool,
}

async fn drive(
    world: &World,
    config: &Config,
    store: &Store,
    watch: bool,
    answers: Vec<SyncRequest>,
) -> Result<Ended, Failure> {
    let mut stop = Stop::listen().map_err(|error| Failure::io("could not listen for signals", &error))?;
    let (report, mut events) = unbounded_channel();
    // What a comparison found is printed as its result.
    let answering = answers.iter().any(|answer| !matches!(answer, SyncRequest::Verify { .. }));
    let setup = EngineSetup {
        sources: config.sources.clone(),
        settings: config.sync.clone(),
        store: store.clone(),
        clock: Arc::clone(&world.clock),
        forced_offline: false,
    };
    let engine = Engine::start(setup, move |event| {
        let _ = report.send(event);
    });
    for answer in answers {
        engine.request(answer);
    }
    engine.request(SyncRequest::Sync { source: None });
    // What an answer led to is said aloud.
    let mut screen = Screen::new(world.json, watch || answering);
    let mut statuses = Vec::new();
    let interrupted = tokio::select! {
        () = stop.asked() => true,
        ended = wait(world, store, &mut events, &mut screen, &mut statuses, watch) => { ended?; false }
    };
    screen.clear();
    engine.stop();
    Ok(Ended { statuses, interrupted })
}

/// How often a sync that is not watched tries whether the files take anything: where they do not (a full disk), nothing
/// can be claimed or settled, and the sync ends instead of waiting for better times.
const STUCK: Duration = Duration::from_secs(6);

/// Ends when there is nothing left to do; never where it is watched.
async fn wait(
    world: &World,
    store: &Store,
    events: &mut UnboundedReceiver<EngineEvent>,
    screen: &mut Screen,
    statuses: &mut Vec<SourceStatus>,
    watch: bool,
) -> Result<(), Failure> {
    let mut refused = false;
    let mut next = tokio::time::Instant::now() + STUCK;
    loop {
        let event = match watch {
            true => events.recv().await,
            false => match tokio::time::timeout_at(next, events.recv()).await {
                Ok(event) => event,
                Err(_) => {
                    let [journal, mirror] = store.try_writing(world.now());
                    match journal.await.and(mirror.await) {
                        Ok(()) => refused = false,
                        Err(error) if refused => return Err(Failure::store("the sync cannot go on", error)),
                        Err(_) => refused = true,
                    }
                    next = tokio::time::Instant::now() + if refused { STUCK / 3 } else { STUCK };
                    continue;
                }
            },
        };
        let Some(event) = event else { break };
        match event {
            EngineEvent::Status(now) => {
                screen.show(&now);
                *statuses = now;
            }
            EngineEvent::Activity(activity) => screen.say(&activity.text),
            EngineEvent::Idle if !watch => return Ok(()),
            EngineEvent::Idle | EngineEvent::Leadership(_) | EngineEvent::Changed { .. } => {}
        }
    }
    Err(Failure::failed("the sync ended unexpectedly").hint("the log in the data dir says more"))
}

/// Progress on stderr: bars on a terminal, else only what happens, and that only where it is watched.
struct Screen {
    bars: Option<MultiProgress>,
    lines: BTreeMap<String, ProgressBar>,
    is_talking: bool,
}

impl Screen {
    fn new(json: bool, watch: bool) -> Self {
        let is_terminal = std::io::stderr().is_terminal() && !json;
        Self { bars: is_terminal.then(MultiProgress::new), lines: BTreeMap::new(), is_talking: watch && !json }
    }

    fn show(&mut self, statuses: &[SourceStatus]) {
        for status in statuses {
            for collection in &status.collections {
                let rate = collection.rate.map(|rate| format!(" {rate:.0}/s")).unwrap_or_default();
                let words = format!("{}{rate}", phase_word(&collection.phase).replace('_', " "));
                self.line(&collection.key.to_string(), collection.done, collection.total, &words);
            }
            if status.push.total > 0 {
                let words = status.push.waiting_for.clone().unwrap_or_else(|| "sending".to_owned());
                self.line(&format!("{} (edits)", status.source), status.push.done, Some(status.push.total), &words);
            }
        }
    }

    fn line(&mut self, name: &str, done: u64, total: Option<u64>, words: &str) {
        let Some(bars) = &self.bars else { return };
        let bar = self.lines.entry(name.to_owned()).or_insert_with(|| {
            let style = ProgressStyle::with_template("{prefix:24!} {bar:24} {msg}").expect("the template is sound");
            let bar = bars.add(ProgressBar::new(0).with_style(style));
            bar.set_prefix(display::line(name).into_owned());
            bar
        });
        bar.set_length(total.unwrap_or(0));
        bar.set_position(if total.is_some() { done } else { 0 });
        let of = total.map_or_else(|| "unknown".to_owned(), grouped);
        bar.set_message(format!("{} of {of}  {}", grouped(done), display::line(words)));
    }

    fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) => drop(bars.println(display::line(text))),
            None if self.is_talking => talk(text),
            None => {}
        }
    }

    fn clear(&self) {
        if let Some(bars) = &self.bars {
            let _ = bars.clear();
        }
    }
}

fn answers(config: &Config, args: &SyncArgs) -> Result<Vec<SyncRequest>, Failure> {
    let asked = [
        (&args.accept, GuardAnswer::Accept),
        (&args.reupload, GuardAnswer::Reupload),
        (&args.detach, GuardAnswer::Detach),
    ];
    let mut answers = Vec::new();
    for (names, answer) in asked {
        for name in names {
            answers.push(SyncRequest::AnswerGuard { collection: world::find(config, name)?.key(), answer });
        }
    }
    Ok(answers)
}

fn verified_keys(config: &Config, args: &SyncArgs) -> Result<Vec<CollectionKey>, Failure> {
    match args.verify.as_deref() {
        None => Ok(Vec::new()),
        Some("") => Ok(config.sources.iter().flat_map(SourceSpec::keys).collect()),
        Some(name) => Ok(vec![world::find(config, name)?.key()]),
    }
}

/// Prints what the comparisons found; those that did not come to their end.
fn report_verified(
    world: &World,
    reader: &mut Reader,
    keys: &[CollectionKey],
    began: Timestamp,
) -> Result<Vec<(CollectionKey, Option<String>)>, Failure> {
    let mut shown = Vec::new();
    let mut open = Vec::new();
    let mut data = Data::new();
    for overview in reader.overview(keys)? {
        let found = position(overview.checkpoint.as_deref()).verified.filter(|found| found.at >= began);
        let Some(found) = found else {
            open.push((overview.key, None));
            continue;
        };
        if !world.json {
            let counts = format!("missing {}, differing {}, extra {}", found.missing, found.differing, found.extra);
            data.line(&format!(
                "{}  {}, {} ({counts}), {} healed",
                overview.key,
                count(found.checked, "record"),
                count(found.count(), "difference"),
                found.healed
            ))?;
        }
        shown.push(json!({
            "source": overview.key.source,
            "collection": overview.key.collection,
            "checked": found.checked,
            "differing": found.differing,
            "missing": found.missing,
            "extra": found.extra,
            "healed": found.healed,
            "took_ms": found.took_ms,
            "verified_at": shapes::time(found.at),
            "differences": found.differences,
        }));
    }
    if world.json {
        output::json(&shown)?;
    }
    data.finish()?;
    Ok(open)
}

/// A source that cannot be reached is a failure; what waits for it is safe and said to be.
fn check_reached(statuses: &[SourceStatus], pending: u64) -> Result<(), Failure> {
    let Some(status) = statuses.iter().find(|status| !is_reached(status.connectivity.state)) else { return Ok(()) };
    let name = &status.source;
    let (error, hint) = match status.connectivity.state {
        ConnectivityState::AuthRequired => (
            format!("`{name}` does not accept the credentials"),
            "check what `auth` of the source names, and that the token has not expired",
        ),
        ConnectivityState::CaptivePortal => (
            format!("something else answered in the place of `{name}`"),
            "sign in to the network, or check the `url` of the source; no credentials were sent on",
        ),
        ConnectivityState::BackendDown => (format!("`{name}` answers with errors"), "try again later"),
        _ => (format!("could not reach `{name}`"), "check the network and the `url` of the source"),
    };
    let kept = match pending {
        0 => String::new(),
        1 => "; your edit is kept and will be sent when the server answers".to_owned(),
        _ => format!("; your {} edits are kept and will be sent when the server answers", grouped(pending)),
    };
    let failure = Failure::failed(error).hint(format!("{hint}{kept}"));
    let summary = &status.connectivity.evidence.summary;
    Err(if summary.is_empty() { failure } else { failure.because(summary.clone()) })
}

fn is_reached(state: ConnectivityState) -> bool {
    state.is_usable() || state == ConnectivityState::Unknown
}

fn summary(statuses: &[SourceStatus], began: Timestamp, sent: u64, picture: &Picture<'_>) -> String {
    let all = statuses.iter().flat_map(|status| &status.collections);
    let collections = all.filter(|collection| is_read(collection, began)).count();
    let mut parts = vec![format!("{} synced", count(collections as u64, "collection"))];
    if sent > 0 {
        parts.push(format!("{} sent", count(sent, "request")));
    }
    let (counts, conflicts) = (&picture.counts, picture.conflicts);
    let waiting = counts.pending().saturating_sub(counts.rejected + counts.conflict);
    if waiting > 0 {
        parts.push(format!("{} still waiting", count(waiting, "edit")));
    }
    if counts.rejected > 0 {
        parts.push(format!("{} refused (`ebbtide outbox list --state rejected`)", count(counts.rejected, "edit")));
    }
    if conflicts > 0 {
        parts.push(format!("{} to resolve (`ebbtide conflicts list`)", count(conflicts, "conflict")));
    }
    parts.join(", ")
}

/// Says why edits were refused, of the first few.
fn report_rejected(reader: &mut Reader) -> Result<(), Failure> {
    const FEW: usize = 5;
    let rejected = reader.outbox(&[OpState::Rejected], None, FEW)?;
    for op in &rejected {
        let why = op.last_error.as_ref().map(|error| error.message.as_str()).unwrap_or("without a word");
        talk(&format!("the server refused the {} of `{}` ({}): {why}", op.kind.word(), op.record, op.seq));
    }
    if let Some(op) = rejected.first() {
        talk(&format!("hint: `ebbtide outbox edit|retry|discard {}`; nothing else waits for it", op.seq));
    }
    Ok(())
}

/// At rest with what is there, or read since then and left alone again: today's budget is used up.
fn is_read(collection: &CollectionStatus, began: Timestamp) -> bool {
    match collection.phase {
        PullPhase::Live | PullPhase::Settled => true,
        PullPhase::Stopped(_) | PullPhase::Detached => false,
        _ => collection.last_error.is_none() && collection.last_pull.is_some_and(|at| at >= began),
    }
}

/// The collections that were not read to the end since then, each with why. Those that ask say so for themselves.
fn unread(config: &Config, statuses: &[SourceStatus], began: Timestamp) -> Vec<(CollectionKey, Option<String>)> {
    let mut unread = Vec::new();
    for status in statuses {
        let is_read_only = world::find_source(config, &status.source).is_some_and(|source| source.read_only);
        let of_source = match status.paused {
            true => Some("paused by you".to_owned()),
            // Of a read-only source it speaks of sending.
            false => status.push.waiting_for.clone().filter(|_| !is_read_only),
        };
        for collection in &status.collections {
            let asks = matches!(collection.phase, PullPhase::Stopped(_) | PullPhase::Detached);
            if !asks && !is_read(collection, began) {
                let why = collection.last_error.clone().or_else(|| of_source.clone());
                unread.push((collection.key.clone(), why));
            }
        }
    }
    unread
}

/// Says which collections stopped and ask. True where one did.
fn report_stopped(world: &World, statuses: &[SourceStatus]) -> bool {
    let mut any = false;
    for collection in statuses.iter().flat_map(|status| &status.collections) {
        if let PullPhase::Stopped(reason) = &collection.phase {
            any = true;
            if world.json {
                continue; // The document has it: the phase, and the guard.
            }
            talk(&format!("`{}` stopped: {reason}", collection.key));
            talk(&format!(
                "hint: answer with `ebbtide sync --accept {0}`, `--reupload {0}` or `--detach {0}`",
                collection.key.collection
            ));
        }
    }
    any
}
