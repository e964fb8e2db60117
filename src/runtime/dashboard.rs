//! The dashboard: the event loop that joins the app machine with the terminal, the store and the engine.
//!
//! ```text
//! input, loads, engine, replies, signals
//!        └── app.handle ──> effects        carried out at once, after the commit was sent
//!                      └──> commit ──> journal ──> frame
//! ```
//!
//! One turn handles every event that is ready, sends one commit, and paints when the journal holds all of the state
//! (**commit before paint**). No socket is opened before the first frame.

mod effects;
mod handover;
mod saving;
mod session;
mod start;

use std::{
    future::Future,
    path::PathBuf,
    pin::Pin,
    process::ExitCode,
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use ratatui::Terminal;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::{
    app::{
        App,
        effect::{Effect, Need, Ticket},
        event::{Changed, Event},
    },
    config::{Config, Paths},
    model::{
        activity::{Activity, Severity},
        ids::SessionName,
        sync_status::{Leadership, SourceStatus, SyncRequest},
        time::Clock,
    },
    runtime::{
        RunError,
        clock::SystemClock,
        commits::{Commits, PATIENCE, RETRY},
        engine::{Engine, EngineEvent, EngineSetup},
        external_editor::{EditedFiles, EditorRun},
        loads::Loader,
        moments::Moments,
        session_lock,
        signals::{Received, Signals},
    },
    store::{Store, StoreError},
    terminal::{self, Guard, Inputs, Screen},
};

/// What the dashboard is started with.
pub struct DashboardOptions {
    pub paths: Paths,
    pub config: Config,
    /// `None`: the one that was switched to last.
    pub session: Option<SessionName>,
    /// Ignore the saved screen state (never drafts or the outbox).
    pub fresh: bool,
    pub read_only: bool,
    pub offline: bool,
}

/// The demo's hold on its world. Called on the event loop; must not block.
pub trait DemoControl {
    fn set_network_cut(&self, cut: bool);
    /// As the last run left it.
    fn is_network_cut(&self) -> bool;
    /// Told from then on whenever another window cuts the network or restores it. May be called on another thread.
    fn watch_network(&self, tell: Box<dyn Fn(bool) + Send>);
    fn somebody_edits(&self);
}

/// A start that ran this long works: its screen is not what ended others.
const STEADY: Duration = Duration::from_secs(5);

/// Runs until the user quits or a signal ends it. The exit code is the shell's convention for signals (129, 130, 143).
pub fn run(options: DashboardOptions) -> Result<ExitCode, RunError> {
    run_with(options, None)
}

/// [`run`], with the demo's switches where there are some.
pub fn run_with(options: DashboardOptions, demo: Option<Box<dyn DemoControl>>) -> Result<ExitCode, RunError> {
    if !terminal::is_available() {
        return Err(RunError::NotATerminal);
    }
    terminal::guard::install_panic_hook();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Terminal)?;
    // Opening waits for the store's threads, which must not happen inside of the runtime.
    let mut dashboard = Dashboard::open(options, demo, runtime.handle())?;
    Ok(runtime.block_on(async {
        let end = dashboard.run().await;
        dashboard.close(end).await
    }))
}

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Quit,
    /// The terminal is gone: nothing can be painted any more.
    TerminalGone,
    Signal(u8),
}

/// After a signal the journal has so long for the last commit, and the rest of the ending so long.
const LEAVING: Duration = Duration::from_millis(60);
const ENDING: Duration = Duration::from_millis(140);
/// A quit waits for what was asked for: it is the user's own.
const QUITTING: Duration = Duration::from_secs(3);

type Replies = FuturesUnordered<Pin<Box<dyn Future<Output = Vec<Event>>>>>;

struct Dashboard {
    app: App,
    clock: Arc<SystemClock>,
    store: Store,
    session: session_lock::SessionLock,
    /// The session was named by who started this.
    is_named: bool,
    data_dir: PathBuf,
    config_file: PathBuf,
    engine_setup: Option<EngineSetup>,
    /// The last run was cut off: the files are read whole once the first frame stands.
    check_journal: bool,
    engine: Option<Engine>,
    loader: Loader,
    commits: Commits,
    replies: Replies,
    terminal: Terminal<Screen>,
    guard: Guard,
    inputs: Option<Inputs>,
    events: UnboundedReceiver<Event>,
    report: UnboundedSender<Event>,
    tell: UnboundedSender<Shell>,
    shell: UnboundedReceiver<Shell>,
    demo: Option<Box<dyn DemoControl>>,
    /// Edits whose wish goes with the next commit.
    edits: Vec<Effect>,
    /// Those whose wish is in the commit in flight: they are queued when it is in the journal.
    committing: Vec<Effect>,
    /// Questions to ask as soon as what they are about is committed.
    loads: Vec<(Ticket, Need)>,
    /// The state changed since the last commit / since the last frame.
    uncommitted: bool,
    dirty: bool,
    /// `$EDITOR` has the terminal: nothing is painted or read.
    editing: bool,
    edited: EditedFiles,
    signals: Option<Signals>,
    end: Option<End>,
    told_locked: bool,
    /// The newest edit of which the user was told that it is on the server and cannot be taken back.
    told_sent: Arc<AtomicI64>,
    sources: Vec<SourceStatus>,
    leadership: Leadership,
    moments: Moments,
    /// Another session, about to be shown.
    switch: Option<Box<session::Switch>>,
    /// Another session was asked for: what is typed meanwhile is meant for its screen, and waits for that so long.
    opening: Option<tokio::time::Instant>,
    /// A key was handled since the start of the session / what it led to was painted, or the start ran for a while.
    has_input: bool,
    is_proved: bool,
}

/// What threads of the shell report, beside the app's own events.
enum Shell {
    Written,
    TerminalGone,
    EditorEnded(EditorRun),
    /// An editor that may be open in the background wrote its file.
    EditorSaved(PathBuf),
    Engine(EngineEvent),
    SessionOpened(Box<session::Switch>),
    SessionNotOpened(StoreError),
}

impl Dashboard {
    async fn run(&mut self) -> End {
        let mut signals = self.signals.take().unwrap_or_else(Signals::new);
        let mut patience = Box::pin(tokio::time::sleep(PATIENCE));
        let mut retry = Box::pin(tokio::time::sleep(RETRY));
        let mut steady = Box::pin(tokio::time::sleep(STEADY));
        let mut leaving = Box::pin(tokio::time::sleep(LEAVING));
        self.find_edited();
        loop {
            if !self.commits.is_failing() && self.commit() {
                patience.as_mut().reset(tokio::time::Instant::now() + PATIENCE);
            }
            self.ask_loads();
            self.paint_if_clear();
            self.switch_if_clear();
            if self.is_committed() {
                self.edited.committed();
            }
            if let Some(end) = self.end
                && (self.is_committed() || self.commits.is_failing())
            {
                return end;
            }
            if self.end.is_none_or(|end| end == End::Quit) {
                leaving.as_mut().reset(tokio::time::Instant::now() + LEAVING);
            }
            let tick = self.app.next_tick(&self.clock.at());
            tokio::select! {
                biased;
                end = signals.next() => match end {
                    // ctrl-c in `$EDITOR` reaches the whole process group: it is the editor's.
                    Received::End(130) if self.editing => {}
                    Received::End(code) => self.end = Some(End::Signal(code)),
                    Received::Suspend => self.suspend(),
                    Received::Continue => self.continued(),
                },
                outcome = self.commits.settled(), if self.commits.is_in_flight() => {
                    self.commit_settled(outcome);
                    retry.as_mut().reset(tokio::time::Instant::now() + RETRY);
                }
                input = next_input(&mut self.inputs), if self.opening.is_none() => match input {
                    Some(event) => {
                        self.handle(event);
                        self.drain_ready();
                        self.rescue_if_needed();
                    }
                    None => self.end = Some(End::TerminalGone),
                },
                () = sleep_until(self.opening), if self.opening.is_some() => self.opening = None,
                Some(message) = self.shell.recv() => self.handle_shell(message),
                Some(event) = self.events.recv() => {
                    self.handle(event);
                    self.drain_ready();
                }
                Some(events) = self.replies.next(), if !self.replies.is_empty() => {
                    if events.iter().any(|event| matches!(event, Event::Changed(changed) if changed.outbox)) {
                        self.request(SyncRequest::OutboxChanged);
                    }
                    for event in events {
                        self.handle(event);
                    }
                }
                () = sleep_for(tick), if tick.is_some() => self.handle(Event::Tick),
                () = &mut steady, if !self.is_proved => self.prove_start(),
                () = &mut patience, if self.commits.is_in_flight() && !self.told_locked => {
                    self.told_locked = true;
                    self.handle(Event::JournalLocked(true));
                    self.rescue_if_needed();
                    self.banner("JOURNAL LOCKED by another program: what you type is kept and saved as soon as it is free");
                }
                () = &mut leaving, if self.end.is_some_and(|end| end != End::Quit) => {
                    // Somebody holds the journal, and who sent the signal does not wait for that.
                    return self.end.unwrap_or(End::Quit);
                }
                () = &mut retry, if self.commits.is_failing() && !self.commits.is_in_flight() => {
                    retry.as_mut().reset(tokio::time::Instant::now() + RETRY);
                    self.uncommitted = true;
                    self.commit();
                }
            }
        }
    }

    /// Handles whatever else is ready, so that a burst of events costs one commit and one frame.
    fn drain_ready(&mut self) {
        for _ in 0..256 {
            let input = self.inputs.as_mut().filter(|_| self.opening.is_none()).and_then(Inputs::ready);
            let Some(event) = input.or_else(|| self.events.try_recv().ok()) else { return };
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Resized { columns, rows } => self.terminal.backend_mut().resize(columns, rows),
            Event::EditorReturned(ref edited) if !edited.late && std::mem::take(&mut self.editing) => self.reclaim(),
            _ => {}
        }
        let at = self.clock.at();
        if matches!(event, Event::Key(_) | Event::Mouse(_) | Event::Pasted(_)) {
            self.has_input = true;
            if let Some(kind) = self.moments.before_input(at.mono) {
                self.keep_moment(kind, None);
            }
        }
        let effects = self.app.handle(&at, event);
        self.dirty = true;
        self.uncommitted = true;
        for effect in effects {
            match effect {
                Effect::Queue { .. } => self.edits.push(effect),
                Effect::Load { ticket, need } => self.loads.push((ticket, need)),
                _ => self.carry_out(effect),
            }
        }
    }

    fn handle_shell(&mut self, message: Shell) {
        match message {
            Shell::Written => {}
            Shell::TerminalGone => self.end = Some(End::TerminalGone),
            Shell::SessionOpened(switch) => self.switch = Some(switch),
            Shell::SessionNotOpened(error) => {
                self.opening = None;
                self.handle(Event::Refused { topic: "session", text: error.to_string(), hint: None });
            }
            Shell::EditorEnded(run) => self.editor_ended(run),
            Shell::EditorSaved(path) => {
                if let Some(event) = self.edited.saved(&path) {
                    self.handle(event);
                }
            }
            Shell::Engine(EngineEvent::Status(sources)) => {
                self.sources = sources;
                self.tell_status();
            }
            Shell::Engine(EngineEvent::Leadership(leadership)) => {
                if (self.leadership, leadership) == (Leadership::Other, Leadership::This) {
                    let text = "This window carries the sync now; the one that did has ended";
                    let told = Activity::new(self.clock.at().wall, Severity::Info, "session", text);
                    drop(self.store.log(vec![told.clone()]));
                    self.handle(Event::Noticed(told));
                }
                self.leadership = leadership;
                self.tell_status();
            }
            Shell::Engine(EngineEvent::Changed { records, outbox, drafts, activity }) => {
                self.handle(Event::Changed(Changed { records, outbox, activity, drafts }));
            }
            Shell::Engine(EngineEvent::Activity(activity)) => self.handle(Event::Noticed(activity)),
            Shell::Engine(EngineEvent::Idle) => {}
        }
    }

    fn tell_status(&mut self) {
        let event = Event::Status { sources: self.sources.clone(), leadership: self.leadership };
        self.handle(event);
    }

    /// The last commit was made, or is in the emergency file: the terminal goes back first, and nothing that follows may
    /// hold up the end of a program that was told to go.
    async fn close(mut self, end: End) -> ExitCode {
        let code = match end {
            End::Quit => 0,
            End::TerminalGone => 129,
            End::Signal(code) => code,
        };
        let patience = if end == End::Quit { QUITTING } else { ENDING };
        let unsaved = self.commits.is_failing() || self.commits.is_in_flight();
        if unsaved {
            self.commits.rescue(&self.app.rescue());
        }
        let goodbye = self.store.end_session(&self.session.name);
        self.inputs = None;
        // A frame that is still being written would land on the shell's screen.
        self.wait_for_writer();
        drop(self.guard);
        let (done, finished) = tokio::sync::oneshot::channel();
        let (engine, store) = (self.engine.take(), self.store.clone());
        let emergency_file = self.commits.emergency_file().display().to_string();
        // With all that holds the store: who lets go of it last waits for its threads.
        let held = (self.commits, self.loader, self.engine_setup, self.store);
        let end_all = move || {
            if let Err(error) = goodbye.wait() {
                tracing::warn!("the session could not be closed: {error}");
            }
            if let Some(engine) = engine {
                engine.stop();
            }
            let counts = store.reader().and_then(|mut reader| reader.counts());
            drop((held, store));
            let _ = done.send(counts.map_or(0, |counts| counts.pending()));
        };
        let started = std::thread::Builder::new().name("ending".to_owned()).spawn(end_all);
        let pending = match started {
            Ok(_) => tokio::time::timeout(patience, finished).await.ok().and_then(Result::ok).unwrap_or(0),
            Err(_) => 0,
        };
        let mut words = String::new();
        if pending > 0 && !self.editing {
            let plural = if pending == 1 { "change is" } else { "changes are" };
            words.push_str(&format!("{pending} {plural} saved here, not sent yet\n"));
        }
        if unsaved {
            words.push_str(&format!("The last state of the screen could not be saved; it is in `{emergency_file}`\n"));
        }
        if end != End::TerminalGone && !words.is_empty() {
            terminal::guard::write_patiently(std::io::stdout(), words.into_bytes());
        }
        ExitCode::from(if unsaved && end == End::Quit { 1 } else { code })
    }
}

async fn next_input(inputs: &mut Option<Inputs>) -> Option<Event> {
    match inputs {
        Some(inputs) => inputs.next().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(instant: Option<tokio::time::Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

async fn sleep_for(span: Option<Duration>) {
    match span {
        Some(span) => tokio::time::sleep(span).await,
        None => std::future::pending().await,
    }
}
