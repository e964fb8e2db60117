//! The app on a bench: keys as the user presses them, a fake data source, and the frame as text.

use std::{collections::BTreeMap, sync::Arc};

use ebbtide::{
    app::{
        App, Setup,
        effect::{DemoCommand, Effect, Need, Ticket},
        event::{Changed, Event, Found, Mouse, MouseKind},
        keymap,
        settings::UiSettings,
    },
    model::{
        draft::DraftTarget,
        ids::{CollectionKey, SessionName},
        json::Pointer,
        session::{MomentKind, SavedSession, Slice},
        source::{AuthSpec, CollectionSpec, PullMode, SourceKind, SourceSpec},
        sync_status::{Leadership, SourceStatus},
        time::{At, Clock},
    },
    runtime::plan::Planner,
    ui,
};
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer};

use super::fake::Fake;

/// A clock that stands.
struct Still(At);

impl Clock for Still {
    fn at(&self) -> At {
        self.0
    }
}

#[derive(Clone)]
pub struct Bench {
    pub app: App,
    pub data: Fake,
    /// Seconds since the epoch of the test.
    pub clock: u64,
    events: u64,
    pub saved: BTreeMap<String, Slice>,
    /// Effects that left the app and are not about data, in order.
    pub effects: Vec<Effect>,
    pub setup: Setup,
    pub statuses: Vec<SourceStatus>,
    pub fail_commits: bool,
    pub config_is_read_only: bool,
    /// Loads are answered only by [`Bench::settle`], as a slow disk would.
    pub slow: bool,
    /// The demo's network, which is the runtime's, not the session's.
    pub network_cut: bool,
    waiting: Vec<(Ticket, Need)>,
}

pub fn setup(size: (u16, u16)) -> Setup {
    let collection = |name: &str, columns: &[&str]| CollectionSpec {
        name: name.into(),
        path: name.to_owned(),
        columns: columns.iter().map(|column| Pointer::parse(column)).collect(),
        title: columns.first().map(|column| Pointer::parse(column)),
        pull: PullMode::Auto,
        updated_at: None,
        conflicts: Default::default(),
    };
    let source = |name: &str, collections: Vec<CollectionSpec>| SourceSpec {
        name: name.into(),
        kind: SourceKind::Firebase,
        url: format!("https://{name}.example.test"),
        auth: AuthSpec::None,
        read_only: false,
        allow_plain: false,
        user: None,
        collections,
    };
    Setup {
        sources: vec![
            source(
                "acme-prod",
                vec![
                    collection("users", &["name", "role"]),
                    collection("orders", &["customer", "total"]),
                    collection("products", &["title", "price"]),
                    collection("carts", &["customer"]),
                ],
            ),
            source("field-notes", vec![collection("visits", &["place", "when"])]),
        ],
        session: SessionName::from("default"),
        settings: UiSettings::default(),
        read_only: false,
        demo: false,
        zone_offset: 0,
        places: vec![
            ("settings".to_owned(), "~/.config/ebbtide/config.toml".to_owned()),
            ("your work".to_owned(), "~/.local/share/ebbtide/journal.db".to_owned()),
            ("copies".to_owned(), "~/.local/share/ebbtide/mirror.db".to_owned()),
        ],
        size,
        no_color: false,
        command: "ebbtide".to_owned(),
    }
}

impl Bench {
    pub fn new(setup: Setup, data: Fake, clock: u64) -> Self {
        Self::start(setup, data, clock, BTreeMap::new(), true)
    }

    pub fn start(setup: Setup, data: Fake, clock: u64, saved: BTreeMap<String, Slice>, clean: bool) -> Self {
        let session = SavedSession {
            slices: saved.values().cloned().collect(),
            saved_at: Some(At::test(clock).wall),
            closed_cleanly: clean,
            aside: None,
        };
        let app = App::restore(&At::test(clock), setup.clone(), session, data.drafts.clone());
        let mut bench = Self {
            app,
            data,
            clock,
            events: 0,
            saved,
            effects: Vec::new(),
            setup,
            statuses: Vec::new(),
            fail_commits: false,
            config_is_read_only: false,
            slow: false,
            network_cut: false,
            waiting: Vec::new(),
        };
        bench.boot();
        bench
    }

    fn keys(&self) -> Vec<CollectionKey> {
        self.setup.sources.iter().flat_map(|source| source.keys()).collect()
    }

    fn answer(&self, need: &Need) -> Found {
        let Need::Plan(seq) = need else { return self.data.answer(need, &self.keys()) };
        let at = At::test(self.clock);
        let planner = Planner::new(&self.setup.sources, Arc::new(Still(at)));
        let steps = self.data.chain(*seq).map(|chain| planner.of_chain(&at, &chain)).unwrap_or_default();
        Found::Plan(steps.into_iter().find(|step| step.ops.contains(seq)).map(Box::new))
    }

    /// What the runtime does before the first frame, and what the loads bring that it leaves for later: nothing to see.
    fn boot(&mut self) {
        self.answer_while_any(App::first_loads);
        self.commit();
        if !self.app.pending_loads().is_empty() {
            let first = self.screen();
            self.answer_while_any(App::pending_loads);
            assert_eq!(first, self.screen(), "the first frame, and the same when all is read");
            self.commit();
        }
    }

    fn answer_while_any(&mut self, loads: impl Fn(&App) -> Vec<(Ticket, Need)>) {
        for _ in 0..50 {
            let loads = loads(&self.app);
            if loads.is_empty() {
                return;
            }
            for (ticket, need) in loads {
                let found = self.answer(&need);
                self.app.handle(&At::test(self.clock), Event::Loaded { ticket, found });
            }
        }
    }

    /// A kill and a new start of the same session on the same data.
    pub fn restart(self) -> Self {
        let mut bench = Self::start(self.setup, self.data, self.clock, self.saved, false);
        bench.statuses = self.statuses;
        bench
    }

    /// Answers the loads that wait, and those that their answers ask for.
    pub fn settle(&mut self) {
        for _ in 0..50 {
            if self.waiting.is_empty() {
                return;
            }
            self.answer_some(usize::MAX);
        }
        panic!("the loads never come to an end: {:?}", self.waiting);
    }

    /// Answers the oldest of the loads that wait.
    pub fn answer_some(&mut self, most: usize) {
        let most = most.min(self.waiting.len());
        for (ticket, need) in self.waiting.drain(..most).collect::<Vec<_>>() {
            let found = self.answer(&need);
            self.event(Event::Loaded { ticket, found });
        }
    }

    /// None of the loads that wait can be answered.
    pub fn fail_loads(&mut self, message: &str) {
        for (ticket, _) in std::mem::take(&mut self.waiting) {
            self.event(Event::LoadFailed { ticket, message: message.to_owned() });
        }
    }

    pub fn status(&mut self, sources: Vec<SourceStatus>) {
        self.statuses.clone_from(&sources);
        self.event(Event::Status { sources, leadership: Leadership::This });
    }

    /// The present instant, with its own randomness for every event.
    fn at(&mut self) -> At {
        self.events += 1;
        At { entropy: At::test(self.events).entropy, ..At::test(self.clock) }
    }

    pub fn event(&mut self, event: Event) {
        let at = self.at();
        let effects = self.app.handle(&at, event);
        self.carry_out(effects);
    }

    fn commit(&mut self) {
        if self.fail_commits {
            let commit = self.app.take_commit();
            if !commit.is_empty() {
                let event = Event::CommitFailed { message: "disk is full".to_owned(), emergency_file: None };
                self.app.handle(&At::test(self.clock), event);
            }
            return;
        }
        let commit = self.app.take_commit();
        for slice in commit.slices {
            self.saved.insert(slice.name.clone(), slice);
        }
        self.app.committed();
        for write in &commit.drafts {
            self.data.write_draft(write, At::test(self.clock).wall);
        }
        for activity in commit.activity {
            let id = self.data.activity.len() as i64 + 1;
            self.data.activity.push((id, activity));
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        self.commit();
        let mut events = Vec::new();
        for effect in effects {
            match effect {
                Effect::Load { ticket, need } if self.slow => self.waiting.push((ticket, need)),
                Effect::Load { ticket, need } => {
                    let found = self.answer(&need);
                    events.push(Event::Loaded { ticket, found });
                }
                Effect::Queue { op, draft } => {
                    let target = draft.as_ref().map(|draft| draft.key.target.clone());
                    let seq = match target {
                        Some(DraftTarget::Op(seq)) => self.data.replace(seq, &op),
                        _ => self.data.queue(&op),
                    };
                    if let Some(queued) = &draft {
                        self.data.drafts.retain(|draft| draft.text() != *queued);
                    }
                    events.push(Event::Queued { op_id: op.op_id, seq });
                }
                Effect::Outbox { seqs, command } => {
                    self.data.command(&seqs, command);
                    events.push(Event::Done { topic: "outbox", text: format!("{command:?} {}", seqs[0]) });
                }
                Effect::Split { seq, places, .. } => {
                    let held = self.data.split(seq, &places);
                    events.push(Event::Done { topic: "outbox", text: format!("Split op {seq}: op {held} is held") });
                }
                Effect::Undo { .. } => match self.data.undo() {
                    Some(seq) => events.push(Event::Done { topic: "outbox", text: format!("Took op {seq} back") }),
                    None => {
                        events.push(Event::Refused { topic: "outbox", text: "Nothing to undo".to_owned(), hint: None })
                    }
                },
                Effect::Resolve { conflict, take, document, .. } => {
                    self.data.resolve(conflict, take, document);
                    events.push(Event::Done {
                        topic: "outbox",
                        text: format!("Conflict c{conflict}: {} kept", take.word()),
                    });
                }
                Effect::KeepRule(rule) if self.config_is_read_only => {
                    let text = format!("The rule is not kept: {} is read only", rule.lesson.pattern);
                    events.push(Event::Refused { topic: "outbox", text, hint: None });
                }
                Effect::KeepRule(rule) => {
                    let source =
                        self.setup.sources.iter_mut().find(|source| source.name == rule.collection.source).unwrap();
                    let mut specs = source.collections.iter_mut();
                    let spec = specs.find(|spec| spec.name == rule.collection.collection).unwrap();
                    spec.conflicts.learn(rule.lesson.pattern.clone(), rule.lesson.rule);
                    events.push(Event::RuleKept { rule, place: "config.toml".to_owned() });
                }
                Effect::SettleAll { answers, text } => {
                    let many = answers.len();
                    for answer in answers {
                        self.data.resolve(answer.conflict, answer.take, answer.document);
                    }
                    events.push(Event::Done { topic: "outbox", text: format!("{many} settled: {text}") });
                }
                Effect::Demo(command) => {
                    self.network_cut = command == DemoCommand::CutNetwork;
                    events.push(Event::DemoNetwork { cut: self.network_cut });
                    self.effects.push(Effect::Demo(command));
                }
                Effect::KeepMoment { kind, slices } => self.data.keep_moment(kind, slices, At::test(self.clock).wall),
                Effect::DeleteSession { name } => {
                    self.data.delete_session(&name);
                    events.push(Event::Done { topic: "session", text: format!("Session `{name}` is deleted") });
                }
                other => self.effects.push(other),
            }
        }
        for event in events {
            self.event(event);
        }
    }

    /// Keeps the screen as it was last committed.
    pub fn keep_moment(&mut self, kind: MomentKind) {
        let slices = self.saved.values().cloned().collect();
        self.data.keep_moment(kind, slices, At::test(self.clock).wall);
    }

    /// `jj<enter>7<esc>`; `<lt>` is `<`.
    pub fn press(&mut self, keys: &str) -> &mut Self {
        for key in parse(keys) {
            self.event(Event::Key(key));
        }
        self
    }

    pub fn paste(&mut self, text: &str) {
        self.event(Event::Pasted(text.to_owned()));
    }

    pub fn click(&mut self, column: u16, row: u16) {
        self.event(Event::Mouse(Mouse { column, row, kind: MouseKind::Press }));
    }

    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.setup.size = (columns, rows);
        self.event(Event::Resized { columns, rows });
    }

    pub fn changed(&mut self) {
        let changed = Changed { records: true, outbox: true, activity: true, drafts: true };
        self.event(Event::Changed(changed));
    }

    pub fn buffer(&self) -> Buffer {
        let (columns, rows) = self.setup.size;
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        terminal.draw(|frame| ui::draw(&self.app, frame)).unwrap();
        terminal.backend().buffer().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        text_of(&self.buffer())
    }

    pub fn screen(&self) -> String {
        self.lines().into_iter().map(|line| line.trim_end().to_owned() + "\n").collect()
    }
}

/// A buffer as lines of text; the cell behind a wide character is left out.
pub fn text_of(buffer: &Buffer) -> Vec<String> {
    let area = buffer.area;
    let mut lines = Vec::new();
    for y in 0..area.height {
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..area.width {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            skip = ebbtide::ui::text::width(symbol).saturating_sub(1);
        }
        lines.push(line);
    }
    lines
}

pub fn parse(keys: &str) -> Vec<keybinds::KeyInput> {
    let mut found = Vec::new();
    let mut rest = keys;
    while let Some(first) = rest.chars().next() {
        let named = rest.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        let (name, after) = match named {
            Some((name, after)) => (name.to_owned(), after),
            None => (first.to_string(), &rest[first.len_utf8()..]),
        };
        let name = match name.as_str() {
            "lt" => "<",
            " " => "space",
            other => other,
        };
        found.push(keymap::parse_key(name).unwrap_or_else(|error| panic!("{name}: {error}")));
        rest = after;
    }
    found
}
