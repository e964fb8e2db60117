//! A start: locks, store, session and the data of the first frame, before any socket is opened.

use std::{path::PathBuf, sync::Arc};

use futures_util::stream::FuturesUnordered;
use ratatui::Terminal;
use tokio::sync::mpsc::unbounded_channel;

use super::{Dashboard, DashboardOptions, DemoControl, Shell};
use crate::{
    app::{
        App, Setup,
        effect::Need,
        event::{Event, Found},
        saving::{KeptDrafts, open_draft},
        settings::Restore,
    },
    config::Paths,
    model::{
        activity::{Activity, Severity},
        ids::{CollectionKey, SessionName},
        session::SavedSession,
        sync_status::Leadership,
        time::Clock,
    },
    runtime::{
        RunError,
        clock::{SystemClock, zone_offset},
        commits::Commits,
        emergency,
        engine::EngineSetup,
        external_editor::EditedFiles,
        loads::{self, Loader},
        moments::Moments,
        plan::Planner,
        session_lock,
        signals::Signals,
    },
    store::{OpenMode, Reader, Store, StoreError},
    terminal::{self, Guard, Inputs, Screen, writer::Writer},
};

impl Dashboard {
    /// Everything up to the first frame's data: locks, store, session, bootstrap reads. Opens no socket.
    pub(super) fn open(
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
        let drafts = kept_drafts(&mut reader, &saved).map_err(failed)?;

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
            command: paths.command(),
            size,
            no_color: has_no_color(),
        };
        let at = clock.at();
        let crashed = saved.saved_at.is_some() && !saved.closed_cleanly;
        let mut app = App::restore(&at, setup, saved, drafts);
        if demo.as_ref().is_some_and(|demo| demo.is_network_cut()) {
            app.handle(&at, Event::DemoNetwork { cut: true });
        }
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
            let text = "Picked up where you were after an abrupt end; nothing is lost";
            app.handle(&at, Event::Noticed(Activity::new(at.wall, Severity::Info, "session", text)));
        }
        for note in notes {
            app.handle(&at, Event::Noticed(note));
        }
        // A message has its row in the log, which may be on the screen.
        bootstrap(&mut app, &clock, &mut reader, &keys, &planner);

        let (report, events) = unbounded_channel();
        if let Some(demo) = &demo {
            let report = report.clone();
            demo.watch_network(Box::new(move |cut| {
                let _ = report.send(Event::DemoNetwork { cut });
            }));
        }
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
        let loads = app.pending_loads();
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
            loads,
            uncommitted: true,
            dirty: true,
            signals: Some(signals),
            editing: false,
            edited: EditedFiles::default(),
            end: None,
            told_locked: false,
            told_sent: Arc::default(),
            sources: Vec::new(),
            leadership: Leadership::None,
            moments: Moments::new(at.mono),
            switch: None,
            opening: None,
            has_input: false,
            is_proved: read_only,
        })
    }

    /// On a thread of its own, seconds on large files; heard of only where something is wrong.
    pub(super) fn check_journal(&self) {
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
}

/// The drafts as a saved screen needs them.
pub(super) fn kept_drafts(reader: &mut Reader, saved: &SavedSession) -> Result<KeptDrafts, StoreError> {
    let open = open_draft(saved).map(|key| reader.draft(&key)).transpose()?;
    Ok(KeptDrafts { keys: reader.draft_keys()?, texts: open.into_iter().flatten().collect() })
}

/// Performs the loads of the first frame at once, and those that its answers ask for in turn. What is pending then is for
/// panes that are covered.
pub(super) fn bootstrap(
    app: &mut App,
    clock: &SystemClock,
    reader: &mut Reader,
    keys: &[CollectionKey],
    planner: &Planner,
) {
    let at_once = reader.at_once(|reader| answer_loads(app, clock, reader, keys, planner));
    if at_once.is_err() {
        // Each of them says why.
        answer_loads(app, clock, reader, keys, planner);
    }
}

pub(super) fn answer_loads(
    app: &mut App,
    clock: &SystemClock,
    reader: &mut Reader,
    keys: &[CollectionKey],
    planner: &Planner,
) {
    const ROUNDS: usize = 6;
    for _ in 0..ROUNDS {
        let loads = app.first_loads();
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

pub(super) fn places(paths: &Paths) -> Vec<(String, String)> {
    let place = |what: &str, path: PathBuf| (what.to_owned(), path.display().to_string());
    vec![
        place("settings", paths.config.clone()),
        place("your work", paths.data_dir.join("journal.db")),
        place("copies", paths.data_dir.join("mirror.db")),
        place("log", paths.data_dir.join("log")),
    ]
}

pub(super) fn newer_files(error: &StoreError) -> String {
    let StoreError::TooNew { found, known, .. } = error else { return error.to_string() };
    format!("Written by a newer ebbtide (schema {found}; this one knows {known}): opened for reading only")
}

pub(super) fn has_no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}
