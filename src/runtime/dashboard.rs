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

mod session;

use std::{future::Future, path::PathBuf, pin::Pin, process::ExitCode, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use ratatui::Terminal;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{
    app::{
        App, Setup,
        effect::{Answer, DemoCommand, Effect, Need, Rule, Subject, Ticket},
        event::{Changed, Event, Found},
        settings::Restore,
    },
    config::{self, Config, Paths},
    model::{
        activity::{Activity, Severity},
        conflict::Take,
        ids::{CollectionKey, OpId, SessionName},
        op::OpCommand,
        sync_status::{Leadership, SourceStatus, SyncRequest},
        time::Clock,
    },
    runtime::{
        RunError,
        clock::{SystemClock, zone_offset},
        commits::{Commits, Outcome, PATIENCE, RETRY},
        emergency,
        engine::{Engine, EngineEvent, EngineSetup},
        external_editor::{self, EditedFiles, EditorRun},
        loads::{self, Loader},
        moments::Moments,
        plan::Planner,
        session_lock,
        signals::{Received, Signals},
    },
    store::{OpenMode, QueueEdit, Reader, Resolve, Store, StoreError},
    terminal::{self, Guard, Inputs, Screen, writer::Writer},
    ui,
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
    sources: Vec<SourceStatus>,
    leadership: Leadership,
    moments: Moments,
    /// Another session, about to be shown.
    switch: Option<Box<session::Switch>>,
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
}

impl Dashboard {
    /// Everything up to the first frame's data: locks, store, session, bootstrap reads. Opens no socket.
    fn open(
        options: DashboardOptions,
        demo: Option<Box<dyn DemoControl>>,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Self, RunError> {
        let DashboardOptions { paths, config, session, fresh, read_only, offline } = options;
        let data_dir = paths.data_dir.clone();
        let clock = Arc::new(SystemClock::new());
        let failed = |source| RunError::Store { dir: data_dir.clone(), source };
        let open = |mode| Store::open(&data_dir, mode, Arc::clone(&clock) as Arc<dyn Clock>);
        let opened = open(if read_only { OpenMode::ReadOnly } else { OpenMode::ReadWrite });
        // A newer ebbtide's files are looked at, never written.
        let newer = opened.as_ref().err().filter(|error| matches!(error, StoreError::TooNew { .. })).map(newer_files);
        let read_only = read_only || newer.is_some();
        let store = if newer.is_some() { open(OpenMode::ReadOnly) } else { opened }.map_err(failed)?;
        let is_named = session.is_some();
        let chosen = || -> Result<SessionName, StoreError> {
            Ok(store.reader()?.chosen_session()?.unwrap_or_else(|| "default".into()))
        };
        let wanted = session.map_or_else(chosen, Ok).map_err(failed)?;
        let session = session_lock::acquire(&store, &wanted).map_err(failed)?;
        let mut notes = store.take_notes();
        if !read_only {
            notes.extend(emergency::recover(&store, &data_dir, &session.name, clock.at().wall).map_err(failed)?);
        }
        let mut reader = store.reader().map_err(failed)?;
        if !read_only {
            emergency::resume_requested_commits(&store, &mut reader).map_err(failed)?;
        }
        let forget = fresh || config.ui.restore == Restore::DraftsOnly;
        let saved =
            if read_only { reader.session(&session.name) } else { store.begin_session(&session.name, forget).wait() };
        let saved = saved.map_err(failed)?;
        let drafts = reader.drafts().map_err(failed)?;

        let size = terminal::size().filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or((80, 24));
        let keys: Vec<CollectionKey> =
            config.sources.iter().flat_map(|source| source.keys().collect::<Vec<_>>()).collect();
        let setup = Setup {
            sources: config.sources.clone(),
            session: session.name.clone(),
            settings: config.ui.clone(),
            read_only,
            demo: demo.is_some(),
            zone_offset: zone_offset(),
            places: places(&paths),
            size,
            no_color: has_no_color(),
        };
        let at = clock.at();
        let crashed = saved.saved_at.is_some() && !saved.closed_cleanly;
        let mut app = App::restore(&at, setup, saved, drafts);
        let planner = Planner::new(&config.sources, Arc::clone(&clock) as Arc<dyn Clock>);
        bootstrap(&mut app, &clock, &mut reader, &keys, &planner);
        if let Some(text) = newer {
            let hint = "nothing can be changed here; run the newer version to edit";
            let activity = Activity::new(at.wall, Severity::Warning, "journal", text).with_hint(hint);
            app.handle(&at, Event::Noticed(activity));
        } else if session.name != wanted {
            let text = format!("`{wanted}` is open in another window; this is `{}` on the same data", session.name);
            app.handle(&at, Event::Noticed(Activity::new(at.wall, Severity::Info, "session", text)));
        } else if crashed {
            let text = "Picked up where you were; the last run ended unexpectedly, nothing is lost";
            app.handle(&at, Event::Noticed(Activity::new(at.wall, Severity::Info, "session", text)));
        }
        for note in notes {
            app.handle(&at, Event::Noticed(note));
        }
        // A message has its row in the log, which may be on the screen.
        bootstrap(&mut app, &clock, &mut reader, &keys, &planner);

        let (report, events) = unbounded_channel();
        let (tell, shell) = unbounded_channel();
        let written = tell.clone();
        let writer = Writer::start(move |result| {
            let message = if result.is_ok() { Shell::Written } else { Shell::TerminalGone };
            let _ = written.send(message);
        });
        // From here on a signal gives the terminal back first.
        let signals = {
            let _context = runtime.enter();
            Signals::new()
        };
        let guard = Guard::take(config.ui.mouse).map_err(RunError::Terminal)?;
        let gone = tell.clone();
        terminal::input::watch_hangup(move || drop(gone.send(Shell::TerminalGone)));
        let terminal = Terminal::new(Screen::new(writer, size.0, size.1)).map_err(RunError::Terminal)?;

        let engine_setup = (!read_only && !config.sources.is_empty()).then(|| EngineSetup {
            sources: config.sources.clone(),
            settings: config.sync.clone(),
            store: store.clone(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            forced_offline: offline,
        });
        let loader = Loader::start(reader, keys, planner, report.clone());
        let commits = Commits::new(store.clone(), session.name.clone(), &data_dir);
        Ok(Self {
            app,
            clock,
            store,
            session,
            is_named,
            data_dir,
            config_file: paths.config,
            engine_setup,
            check_journal: crashed && !read_only,
            engine: None,
            loader,
            commits,
            replies: FuturesUnordered::new(),
            terminal,
            guard,
            inputs: Some(Inputs::open()),
            events,
            report,
            tell,
            shell,
            demo,
            edits: Vec::new(),
            committing: Vec::new(),
            loads: Vec::new(),
            uncommitted: true,
            dirty: true,
            signals: Some(signals),
            editing: false,
            edited: EditedFiles::default(),
            end: None,
            told_locked: false,
            sources: Vec::new(),
            leadership: Leadership::None,
            moments: Moments::new(at.mono),
            switch: None,
            has_input: false,
            is_proved: read_only,
        })
    }

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
                input = next_input(&mut self.inputs) => match input {
                    Some(event) => {
                        self.handle(event);
                        self.drain_ready();
                        self.rescue_if_needed();
                    }
                    None => self.end = Some(End::TerminalGone),
                },
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

    /// Sends what changed to the journal, unless a commit is on its way; then queues the edits it asks for. True where a
    /// commit was sent.
    fn commit(&mut self) -> bool {
        if self.commits.is_in_flight() || !self.uncommitted {
            return false;
        }
        self.uncommitted = false;
        let commit = self.app.take_commit();
        // Who only looks leaves nothing behind.
        let is_sent = !commit.is_empty() && !self.app.setup().read_only;
        let edits = std::mem::take(&mut self.edits);
        if is_sent {
            self.commits.send(commit);
            self.committing = edits;
            self.rescue_if_needed();
        } else {
            edits.into_iter().for_each(|edit| self.carry_out(edit));
        }
        is_sent
    }

    /// Loads look at what the commit that goes with them wrote, so they wait for it.
    fn ask_loads(&mut self) {
        if self.commits.is_in_flight() {
            return;
        }
        for (ticket, need) in self.loads.drain(..) {
            self.loader.ask(ticket, need);
        }
    }

    /// While the journal takes nothing, what there is to lose is in the emergency file too.
    fn rescue_if_needed(&mut self) {
        if self.commits.is_failing() || self.told_locked {
            self.commits.rescue(&self.app.rescue());
        }
    }

    /// True when everything the app's state depends on is in the journal: a frame may be painted.
    fn is_committed(&self) -> bool {
        !self.uncommitted && !self.commits.is_in_flight() && !self.commits.is_failing()
    }

    /// Handles whatever else is ready, so that a burst of events costs one commit and one frame.
    fn drain_ready(&mut self) {
        for _ in 0..256 {
            let input = self.inputs.as_mut().and_then(Inputs::ready);
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

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Load { ticket, need } => self.loader.ask(ticket, need),
            Effect::Repaint => self.repaint(),
            Effect::Queue { op, draft } => {
                let op_id = op.op_id;
                let reply = self.store.queue(QueueEdit { op: *op, draft, session: None, activity: None });
                self.replies.push(Box::pin(async move {
                    match reply.await {
                        Ok(queued) => vec![Event::Queued { op_id, seq: queued.seq }, everything_changed()],
                        Err(error) => {
                            vec![Event::QueueFailed { op_id, hint: hint(&error), message: error.to_string() }]
                        }
                    }
                }));
            }
            Effect::Outbox { seqs, command } => {
                let reply = self.store.command(seqs, command, self.clock.at().wall);
                self.push_reply("outbox", async move { reply.await.map(|changed| done(command, changed.len())) });
            }
            Effect::Split { seq, places, op_ids } => {
                let reply = self.store.split_op(seq, places, op_ids, self.clock.at().wall);
                self.push_reply("outbox", async move {
                    let (rest, held) = reply.await?;
                    Ok(format!("Split op {seq}: op {rest} goes, op {held} is held"))
                });
            }
            Effect::Undo { op_id } => {
                let reply = self.store.undo(op_id, self.clock.at().wall);
                self.push_reply("outbox", async move {
                    match reply.await? {
                        Some(undone) => undone.in_words(),
                        None => Ok("There is nothing to undo".to_owned()),
                    }
                });
            }
            Effect::Resolve { conflict, take, document, op_id } => {
                let at = self.clock.at().wall;
                let reply = self.store.resolve(Resolve { conflict, take, document, op_id, at, author: String::new() });
                self.push_reply("outbox", async move {
                    reply.await.map(|seq| match seq {
                        Some(seq) => format!("{} queued as op {seq}; `u` takes it back", answer(take)),
                        None => "Theirs stays: nothing is left to send; the vault keeps yours".to_owned(),
                    })
                });
            }
            Effect::KeepRule(rule) => self.keep_rule(rule),
            Effect::SettleAll { answers, text } => self.settle_all(answers, text),
            Effect::Sync(request) => self.request(request),
            Effect::Copy { text, what } => {
                let sequence = terminal::copy_sequence(&text);
                self.terminal.backend_mut().send_sequence(sequence);
                tracing::debug!("copied {what}");
            }
            Effect::OpenEditor { subject, text, suffix } => self.open_editor(subject, &text, suffix),
            Effect::EditedFile { file, taken } => self.edited.settle(file, taken),
            Effect::Demo(command) => self.demo(command),
            Effect::SwitchSession { .. }
            | Effect::RenameSession { .. }
            | Effect::CopySession { .. }
            | Effect::DeleteSession { .. }
            | Effect::KeepMoment { .. } => self.of_session(effect),
            Effect::Suspend if !has_shell() => {
                let text = "There is no shell to go back to: this terminal was opened for ebbtide";
                self.handle(Event::Noticed(Activity::new(self.clock.at().wall, Severity::Warning, "session", text)));
            }
            Effect::Suspend => self.suspend(),
            Effect::Quit => self.end = Some(End::Quit),
        }
    }

    /// A journal command whose answer is a sentence. What it changed is looked at by the panes and by the engine.
    fn push_reply(&mut self, topic: &'static str, reply: impl Future<Output = Result<String, StoreError>> + 'static) {
        self.replies.push(Box::pin(async move {
            match reply.await {
                Ok(text) => vec![Event::Done { topic, text }, everything_changed()],
                Err(error) => vec![Event::Refused { topic, hint: hint(&error), text: error.to_string() }],
            }
        }));
    }

    /// Writes a rule into the configuration, on a thread of its own: disks take their time. The demo has no file.
    fn keep_rule(&mut self, rule: Box<Rule>) {
        let path = self.demo.is_none().then(|| self.config_file.clone());
        self.replies.push(Box::pin(async move {
            let Some(path) = path else { return vec![Event::RuleKept { rule, place: None }] };
            let place = path.display().to_string();
            let written = tokio::task::spawn_blocking(move || {
                config::keep_rule(&path, &rule.collection, &rule.lesson.pattern, rule.lesson.rule).map(|()| rule)
            });
            match written.await {
                Ok(Ok(rule)) => vec![Event::RuleKept { rule, place: Some(place) }],
                Ok(Err(error)) => vec![not_kept(&error, &place)],
                Err(error) => vec![not_kept(&error, &place)],
            }
        }));
    }

    fn settle_all(&mut self, answers: Vec<Answer>, text: String) {
        let ask = |Answer { conflict, take, document }| {
            let at = self.clock.at();
            let (op_id, at, author) = (OpId::new(&at), at.wall, String::new());
            self.store.resolve(Resolve { conflict, take, document, op_id, at, author })
        };
        let replies: Vec<_> = answers.into_iter().map(ask).collect();
        self.replies.push(Box::pin(async move {
            let (mut settled, mut refused) = (0_usize, Vec::new());
            for reply in replies {
                match reply.await {
                    Ok(_) => settled += 1,
                    Err(error) => {
                        refused.push(Event::Refused { topic: "outbox", hint: hint(&error), text: error.to_string() })
                    }
                }
            }
            let text = match settled {
                1 => format!("1 conflict is settled: {text}"),
                many => format!("{many} conflicts are settled: {text}"),
            };
            let mut events = vec![Event::Done { topic: "outbox", text }, everything_changed()];
            events.extend(refused);
            events
        }));
    }

    fn request(&mut self, request: SyncRequest) {
        if let Some(engine) = &self.engine {
            engine.request(request);
        }
    }

    fn demo(&mut self, command: DemoCommand) {
        let Some(demo) = &self.demo else { return };
        match command {
            DemoCommand::CutNetwork | DemoCommand::RestoreNetwork => {
                let cut = command == DemoCommand::CutNetwork;
                demo.set_network_cut(cut);
                self.request(SyncRequest::Probe { source: None });
                let _ = self.report.send(Event::DemoNetwork { cut });
            }
            DemoCommand::SomebodyEdits => demo.somebody_edits(),
        }
    }

    /// Paints when the state changed, the journal holds it, and the terminal took the last frame.
    fn paint_if_clear(&mut self) {
        if !self.dirty || self.editing || !self.is_committed() || self.terminal.backend().writer().is_busy() {
            return;
        }
        let app = &self.app;
        if let Err(error) = self.terminal.draw(|frame| ui::draw(app, frame)) {
            tracing::error!("drawing failed: {error}");
        }
        self.dirty = false;
        if self.has_input && !self.is_proved {
            self.prove_start();
        }
        if std::mem::take(&mut self.check_journal) {
            self.check_journal();
        }
        if let Some(setup) = self.engine_setup.take() {
            let tell = self.tell.clone();
            self.engine = Some(Engine::start(setup, move |event| drop(tell.send(Shell::Engine(event)))));
            self.read_back();
        }
    }

    /// On a thread of its own, seconds on large files; heard of only where something is wrong.
    fn check_journal(&self) {
        let (check, report, at) = (self.store.journal_check(), self.report.clone(), self.clock.at().wall);
        let run = move || match check() {
            Ok(None) => {}
            Ok(Some(wrong)) => {
                let text = format!("a damaged page was found in the {wrong}");
                let hint = "quit and start again: what can be read is saved, the damaged file is kept";
                let _ =
                    report.send(Event::Noticed(Activity::new(at, Severity::Problem, "journal", text).with_hint(hint)));
            }
            Err(error) => tracing::warn!("the journal could not be checked: {error}"),
        };
        if let Err(error) = std::thread::Builder::new().name("ebbtide-check".to_owned()).spawn(run) {
            tracing::warn!("the journal is not checked: {error}");
        }
    }

    fn commit_settled(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Refused { message } => {
                self.edits.splice(0..0, std::mem::take(&mut self.committing));
                tracing::info!("the commit is made anew: {message}");
                self.handle(Event::CommitRefused { message });
            }
            Outcome::Committed { recovered } => {
                self.app.committed();
                for edit in std::mem::take(&mut self.committing) {
                    self.carry_out(edit);
                }
                if recovered {
                    self.handle(Event::CommitRecovered);
                }
                if std::mem::take(&mut self.told_locked) {
                    self.handle(Event::JournalLocked(false));
                }
                if recovered {
                    self.repaint();
                }
            }
            Outcome::Failed { error, first } => {
                self.edits.splice(0..0, std::mem::take(&mut self.committing));
                let file = self.commits.emergency_file().display().to_string();
                let message = error.to_string();
                self.handle(Event::CommitFailed { message: message.clone(), emergency_file: Some(file.clone()) });
                self.rescue_if_needed();
                if first {
                    tracing::error!("saving the screen failed: {message}");
                    self.banner(&format!("SAVING FAILED: {message}. What you type also goes to {file}"));
                }
            }
        }
    }

    /// Says over the last frame why the next one does not come.
    fn banner(&mut self, text: &str) {
        let row = self.terminal.backend().rows().saturating_sub(2);
        let ascii: String = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
        self.terminal.backend_mut().banner(row, &ascii);
        self.terminal.backend_mut().forget();
    }

    /// Paints every cell anew: somebody else wrote to the terminal.
    fn repaint(&mut self) {
        self.terminal.backend_mut().forget();
        if let Err(error) = self.terminal.clear() {
            tracing::error!("clearing the terminal failed: {error}");
        }
        self.dirty = true;
    }

    /// Stops the process group like a shell job; after `fg` the screen comes back as it was.
    fn suspend(&mut self) {
        self.stop_reading();
        self.wait_for_writer();
        self.guard.leave();
        if let Err(error) = rustix::process::kill_current_process_group(rustix::process::Signal::STOP) {
            tracing::error!("could not suspend: {error}");
        }
        self.reclaim();
    }

    /// Stopped and continued by somebody else, or the signal that ended our own stop: the shell had the terminal.
    fn continued(&mut self) {
        if self.editing {
            return;
        }
        match self.guard.enter() {
            Ok(()) => self.repaint(),
            Err(error) => {
                tracing::error!("could not take the terminal back: {error}");
                self.end = Some(End::TerminalGone);
            }
        }
    }

    fn stop_reading(&mut self) {
        if let Some(inputs) = self.inputs.take() {
            inputs.close();
        }
    }

    fn reclaim(&mut self) {
        if let Err(error) = self.guard.enter() {
            tracing::error!("could not take the terminal back: {error}");
            self.end = Some(End::TerminalGone);
            return;
        }
        self.inputs = Some(Inputs::open());
        if let Some((columns, rows)) = terminal::size().filter(|(columns, rows)| *columns > 0 && *rows > 0) {
            self.handle(Event::Resized { columns, rows });
        }
        self.repaint();
    }

    fn open_editor(&mut self, subject: Subject, text: &str, suffix: &'static str) {
        self.stop_reading();
        self.wait_for_writer();
        self.guard.leave();
        self.editing = true;
        match self.edited.make(&self.data_dir, subject, text, suffix) {
            Ok(path) => {
                let tell = self.tell.clone();
                self.replies.push(Box::pin(async move {
                    drop(tell.send(Shell::EditorEnded(external_editor::run(path).await)));
                    Vec::new()
                }));
            }
            Err(event) => drop(self.report.send(*event)),
        }
    }

    fn editor_ended(&mut self, run: EditorRun) {
        let is_quick = run.took < external_editor::QUICK;
        let (event, may_be_open) = self.edited.ended(run);
        self.handle(event);
        if let Some(file) = may_be_open.filter(|_| is_quick) {
            let text = "Your editor came back at once. If it is still open, what it saves is taken when it does";
            let hint = "an editor that opens a window needs its waiting option, such as `code --wait`";
            let at = self.clock.at().wall;
            self.handle(Event::Noticed(Activity::new(at, Severity::Warning, "editor", text).with_hint(hint)));
            self.watch_edited(vec![file]);
        }
    }

    /// Takes up what editors left that outlived an earlier run, and goes on looking at their files.
    fn find_edited(&mut self) {
        if self.app.setup().read_only {
            return;
        }
        let (events, files) = self.edited.find(&self.data_dir);
        for event in events {
            self.handle(event);
        }
        self.watch_edited(files);
    }

    fn watch_edited(&self, files: Vec<(PathBuf, external_editor::State)>) {
        if !files.is_empty() {
            let tell = self.tell.clone();
            tokio::spawn(external_editor::watch(files, move |path| tell.send(Shell::EditorSaved(path)).is_ok()));
        }
    }

    /// Leaving the alternate screen while a frame is being written would mix the two.
    fn wait_for_writer(&self) {
        for _ in 0..1_000 {
            if !self.terminal.backend().writer().is_busy() {
                return;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
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

/// Performs the loads of the first frame at once, and those that its answers ask for in turn.
fn bootstrap(app: &mut App, clock: &SystemClock, reader: &mut Reader, keys: &[CollectionKey], planner: &Planner) {
    let at_once = reader.at_once(|reader| answer_loads(app, clock, reader, keys, planner));
    if at_once.is_err() {
        // Each of them says why.
        answer_loads(app, clock, reader, keys, planner);
    }
}

fn answer_loads(app: &mut App, clock: &SystemClock, reader: &mut Reader, keys: &[CollectionKey], planner: &Planner) {
    const ROUNDS: usize = 6;
    for _ in 0..ROUNDS {
        let loads = app.pending_loads();
        if loads.is_empty() {
            return;
        }
        // Two panes may ask the same: it is read once.
        let mut twice: Option<(Need, Found)> = None;
        for (index, (ticket, need)) in loads.iter().enumerate() {
            let known = twice.as_ref().filter(|(other, _)| other == need).map(|(_, found)| found.clone());
            let found = known.map_or_else(|| loads::answer(reader, keys, planner, need), Ok);
            let (ticket, need) = (*ticket, need.clone());
            let event = match found {
                Ok(found) => {
                    if loads[index + 1..].iter().any(|(_, later)| *later == need) {
                        twice = Some((need, found.clone()));
                    }
                    Event::Loaded { ticket, found }
                }
                Err(error) => Event::LoadFailed { ticket, message: error.to_string() },
            };
            app.handle(&clock.at(), event);
        }
    }
}

async fn next_input(inputs: &mut Option<Inputs>) -> Option<Event> {
    match inputs {
        Some(inputs) => inputs.next().await,
        None => std::future::pending().await,
    }
}

async fn sleep_for(span: Option<Duration>) {
    match span {
        Some(span) => tokio::time::sleep(span).await,
        None => std::future::pending().await,
    }
}

fn everything_changed() -> Event {
    Event::Changed(Changed { records: true, outbox: true, activity: true, drafts: true })
}

/// Whose version an answer to a conflict is.
fn answer(take: Take) -> &'static str {
    match take {
        Take::Mine => "Yours is",
        Take::Theirs => "Theirs is",
        Take::Base => "The base is",
        Take::Merged => "Your merge is",
    }
}

fn not_kept(error: &dyn std::error::Error, file: &str) -> Event {
    tracing::warn!("the rule is not kept in {file}: {error}");
    let innermost = std::iter::successors(Some(error), |error| error.source()).last().map(ToString::to_string);
    Event::Refused {
        topic: "outbox",
        text: format!("Rule not kept, nothing settled: {}", innermost.unwrap_or_default()),
        hint: Some("make the settings file writable, or add it to `fields` there".to_owned()),
    }
}

fn done(command: OpCommand, changed: usize) -> String {
    let verb = match command {
        OpCommand::Hold => "Held",
        OpCommand::Release => "Released",
        OpCommand::Retry => "Retrying",
        OpCommand::Send => "Goes first, at once",
        OpCommand::Discard => "Discarded (kept in the vault)",
    };
    match changed {
        1 => format!("{verb}: 1 change"),
        changed => format!("{verb}: {changed} changes"),
    }
}

fn hint(error: &StoreError) -> Option<String> {
    let hint = match error {
        StoreError::DiskFull { .. } => "free some space; what you typed stays as a draft",
        StoreError::Locked { .. } => "end the program that holds the lock; what you typed stays as a draft",
        StoreError::ReadOnly => "start without `--read-only` to change things",
        StoreError::NotWritable { .. } => "check the permissions of the data dir",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn places(paths: &Paths) -> Vec<(String, String)> {
    let place = |what: &str, path: PathBuf| (what.to_owned(), path.display().to_string());
    vec![
        place("settings", paths.config.clone()),
        place("your work", paths.data_dir.join("journal.db")),
        place("copies", paths.data_dir.join("mirror.db")),
        place("log", paths.data_dir.join("log")),
    ]
}

fn newer_files(error: &StoreError) -> String {
    let StoreError::TooNew { found, known, .. } = error else { return error.to_string() };
    format!("Written by a newer ebbtide (schema {found}; this one knows {known}): opened for reading only")
}

/// True where somebody could continue us: a session's first process has no shell above it, and once stopped it stays so.
fn has_shell() -> bool {
    rustix::process::getsid(None).is_ok_and(|leader| leader != rustix::process::getpid())
}

fn has_no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}
