//! What is saved of the screen and how it comes back: slices by name, each on its own (R8).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    app::{
        App, Setup,
        event::Changed,
        keymap::Keymap,
        loads::Loads,
        pane::{Pane, PaneName, Seen},
        panes::{
            editor::{Editor, EditorSession},
            recovery::Why,
        },
        screen::Screen,
        settings::Restore,
        words,
        world::World,
    },
    model::{
        activity::{Activity, Severity},
        draft::{Draft, DraftKey},
        session::{SavedSession, Slice, UiCommit},
        time::{At, Timestamp},
    },
};

/// Slices that could not be read are kept under this name, at most this many.
const QUARANTINE: &str = "quarantine";
const KEPT_ASIDE: usize = 16;

/// What was given out for saving.
#[derive(Debug, Clone, Default)]
pub struct Saved {
    given: BTreeMap<String, Slice>,
    /// How many slices could not be read.
    pub bad: usize,
    quarantine: Vec<Slice>,
    /// The last commit handed out, until the next is asked for: a failure puts it back.
    last: UiCommit,
}

/// What the start found, for the message once the counts are known.
#[derive(Debug, Clone)]
pub struct Resumed {
    pub saved_at: Option<Timestamp>,
    pub drafts: usize,
}

struct Found<'f> {
    by_name: BTreeMap<&'f str, &'f Slice>,
    bad: Vec<Slice>,
}

impl Found<'_> {
    fn read<T: for<'de> Deserialize<'de> + Default>(&mut self, name: &str, version: u16) -> T {
        let Some(slice) = self.by_name.get(name).copied() else { return T::default() };
        let whole = slice.version == version && (name == QUARANTINE || slice.body.starts_with('{'));
        let read = whole.then(|| serde_json::from_str::<T>(&slice.body).ok()).flatten();
        read.unwrap_or_else(|| {
            self.bad.push(slice.clone());
            T::default()
        })
    }

    fn pane<P: Pane>(&mut self, seen: &Seen<'_>) -> P {
        P::restore(self.read(P::NAME.slice(), P::VERSION), seen)
    }
}

/// The drafts of a journal, as a start wants them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeptDrafts {
    /// All of them.
    pub keys: Vec<DraftKey>,
    /// Those whose text is on the screen: one may have a megabyte, and is in the way of the first frame.
    pub texts: Vec<Draft>,
}

impl From<Vec<Draft>> for KeptDrafts {
    fn from(drafts: Vec<Draft>) -> Self {
        Self { keys: drafts.iter().map(|draft| draft.key.clone()).collect(), texts: drafts }
    }
}

/// The draft whose text a saved screen shows.
pub fn open_draft(saved: &SavedSession) -> Option<DraftKey> {
    let slice = saved.slices.iter().find(|slice| slice.name == Editor::NAME.slice())?;
    serde_json::from_str::<EditorSession>(&slice.body).ok()?.draft()
}

pub fn restore(at: &At, setup: Setup, saved: SavedSession, drafts: KeptDrafts) -> App {
    let mut app = rebuild(at, setup, saved, drafts);
    app.refresh(&mut Vec::new());
    app
}

/// [`restore`] without asking for anything yet.
pub fn rebuild(at: &At, setup: Setup, saved: SavedSession, drafts: KeptDrafts) -> App {
    let only_drafts = setup.settings.restore == Restore::DraftsOnly;
    let slices: &[Slice] = if only_drafts { &[] } else { &saved.slices };
    let had_slices = !slices.is_empty();
    let mut found =
        Found { by_name: slices.iter().map(|slice| (slice.name.as_str(), slice)).collect(), bad: Vec::new() };
    let quarantine: Vec<Slice> = found.read(QUARANTINE, 1);
    let screen: Screen = found.read::<Screen>(Screen::NAME, Screen::VERSION).mend();
    let seen = Seen { at, setup: &setup, drafts: &drafts.texts };
    let mut app = App {
        keymap: Keymap::new(&setup.settings.keys),
        screen,
        world: World::default(),
        now: *at,
        collections: found.pane(&seen),
        records: found.pane(&seen),
        record: found.pane(&seen),
        outbox: found.pane(&seen),
        connectivity: found.pane(&seen),
        sync: found.pane(&seen),
        conflicts: found.pane(&seen),
        editor: found.pane(&seen),
        log: found.pane(&seen),
        help: found.pane(&seen),
        palette: found.pane(&seen),
        goto: found.pane(&seen),
        sessions: found.pane(&seen),
        vault: found.pane(&seen),
        draft_list: found.pane(&seen),
        welcome: found.pane(&seen),
        history: found.pane(&seen),
        recovery: found.pane(&seen),
        confirm: None,
        message: None,
        unread: None,
        question: None,
        together: None,
        told: None,
        loads: Loads::default(),
        jobs: Vec::new(),
        ahead: Vec::new(),
        merges: Vec::new(),
        saved: Saved::default(),
        drafts: Vec::new(),
        activity: Vec::new(),
        resumed: None,
        setup: setup.clone(),
    };
    let bad = found.bad;
    app.saved.bad = bad.len();
    app.saved.quarantine = quarantine;
    app.mend();
    // What was read well needs no new commit; what was bad is written anew.
    app.saved.given = slices
        .iter()
        .filter(|slice| !bad.iter().any(|other| other.name == slice.name))
        .map(|slice| (slice.name.clone(), slice.clone()))
        .collect();
    if !bad.is_empty() {
        let names: Vec<&str> = bad.iter().map(|slice| slice.name.as_str()).collect();
        let text = format!("The saved state of {} could not be read; it begins anew", names.join(", "));
        app.say(Severity::Warning, "session", text, Some("the unreadable copy is kept; edits are not affected".into()));
        if is_unusable(&bad, slices) {
            let names = bad.iter().map(|slice| slice.name.clone()).collect();
            app.recovery.open(Why::Damaged { names, saved_at: saved.saved_at });
            app.screen.open(PaneName::Recovery);
            app.message = None;
        }
        app.saved.quarantine.extend(bad);
        let extra = app.saved.quarantine.len().saturating_sub(KEPT_ASIDE);
        app.saved.quarantine.drain(..extra);
    } else if had_slices && !saved.closed_cleanly {
        app.resumed = Some(Resumed { saved_at: saved.saved_at, drafts: drafts.keys.len() });
    }
    if let Some(aside) = saved.aside {
        app.resumed = None;
        let text = format!("The last screen was set aside: {} starts in a row showed nothing", aside.starts);
        app.activity.push(Activity::new(at.wall, Severity::Warning, "session", text));
        app.recovery.open(Why::Failing { starts: aside.starts, moment: aside.moment });
        app.screen.open(PaneName::Recovery);
    }
    app.tell_strangers(&drafts.keys);
    app
}

/// One slice that falls back to its default is a line in the message row; a screen that lost its shape is a screen.
fn is_unusable(bad: &[Slice], all: &[Slice]) -> bool {
    bad.iter().any(|slice| slice.name == Screen::NAME) || bad.len() * 2 > all.len()
}

impl App {
    /// Brings restored parts together: a collection that is configured, a pane that can be shown.
    fn mend(&mut self) {
        let configured = |key: &crate::model::ids::CollectionKey| self.setup.collection(key).is_some();
        if !self.records.collection().is_some_and(configured) {
            let first = self.setup.sources.iter().flat_map(|source| source.keys()).next();
            if let Some(key) = first {
                self.collections.select(&key);
                self.records.open(key);
                self.record.show(None);
            }
        }
        if self.setup.sources.is_empty() && !self.welcome.is_skipped() && self.screen.overlays.is_empty() {
            self.welcome.offer(true);
            self.screen.open(PaneName::Welcome);
        }
        if !self.setup.sources.is_empty() && self.welcome.offer(false) {
            self.screen.close(PaneName::Welcome);
        }
        if !self.editor.is_open() {
            self.screen.close(PaneName::Editor);
        }
        if self.recovery.why().is_none() {
            self.screen.close(PaneName::Recovery);
        }
    }
}

impl App {
    /// Drafts of collections that the configuration does not have any more: said once.
    fn tell_strangers(&mut self, drafts: &[DraftKey]) {
        let keys = drafts.iter().map(|draft| &draft.record.collection);
        let strangers: BTreeSet<String> = keys
            .filter(|key| self.setup.collection(key).is_none())
            .map(|key| format!("{}/{}", key.source, key.collection))
            .collect();
        let new = self.draft_list.meet(strangers.into_iter().collect());
        if !new.is_empty() {
            let is = if new.len() == 1 { "is" } else { "are" };
            let text = format!("`{}` {is} not configured any more; the drafts there are kept", new.join("`, `"));
            self.say(
                Severity::Warning,
                "editor",
                text,
                Some("`g d` lists them; configure it again to queue them".into()),
            );
        }
    }
}

/// The session as it would be saved now.
pub fn slices(app: &App) -> BTreeMap<String, Slice> {
    let mut slices = BTreeMap::new();
    put(&mut slices, Screen::NAME, Screen::VERSION, &app.screen);
    if !app.saved.quarantine.is_empty() {
        put(&mut slices, QUARANTINE, 1, &app.saved.quarantine);
    }
    pane(&mut slices, &app.collections);
    pane(&mut slices, &app.records);
    pane(&mut slices, &app.record);
    pane(&mut slices, &app.outbox);
    pane(&mut slices, &app.connectivity);
    pane(&mut slices, &app.sync);
    pane(&mut slices, &app.conflicts);
    pane(&mut slices, &app.editor);
    pane(&mut slices, &app.log);
    pane(&mut slices, &app.help);
    pane(&mut slices, &app.palette);
    pane(&mut slices, &app.goto);
    pane(&mut slices, &app.sessions);
    pane(&mut slices, &app.vault);
    pane(&mut slices, &app.draft_list);
    pane(&mut slices, &app.welcome);
    pane(&mut slices, &app.history);
    pane(&mut slices, &app.recovery);
    slices
}

fn pane<P: Pane>(slices: &mut BTreeMap<String, Slice>, pane: &P) {
    put(slices, P::NAME.slice(), P::VERSION, &pane.session());
}

fn put<T: Serialize>(slices: &mut BTreeMap<String, Slice>, name: &str, version: u16, body: &T) {
    let body = serde_json::to_string(body).expect("a session is plain JSON");
    slices.insert(name.to_owned(), Slice { name: name.to_owned(), version, body });
}

pub fn take_commit(app: &mut App) -> UiCommit {
    let now = slices(app);
    let differing = now.values().filter(|slice| app.saved.given.get(&slice.name) != Some(slice)).cloned().collect();
    app.saved.given = now;
    let commit = UiCommit {
        slices: differing,
        drafts: std::mem::take(&mut app.drafts),
        activity: std::mem::take(&mut app.activity),
    };
    app.saved.last = commit.clone();
    commit
}

pub fn rescue(app: &App) -> UiCommit {
    let pending = app.saved.last.drafts.iter().chain(&app.drafts).cloned().collect();
    UiCommit {
        slices: slices(app).into_values().collect(),
        drafts: app.editor.rescue(pending, &app.now),
        activity: Vec::new(),
    }
}

impl App {
    /// The commit taken last did not happen: the next one contains it again.
    pub(super) fn put_back(&mut self) {
        let last = std::mem::take(&mut self.saved.last);
        for slice in &last.slices {
            self.saved.given.remove(&slice.name);
        }
        self.drafts.splice(0..0, last.drafts);
        let writes = std::mem::take(&mut self.drafts);
        self.drafts = self.editor.mend(writes, &self.now);
        self.activity.splice(0..0, last.activity);
    }

    /// The commit taken last is in the journal.
    pub fn committed(&mut self) {
        self.saved.last = UiCommit::default();
    }

    /// Draft writes are on their way to the journal, or wait for it.
    pub(super) fn has_unsaved_drafts(&self) -> bool {
        !self.drafts.is_empty() || !self.saved.last.drafts.is_empty()
    }

    /// Puts a message on the screen and into the activity log.
    pub(super) fn say(&mut self, severity: Severity, topic: &str, text: impl Into<String>, hint: Option<String>) {
        let mut activity = Activity::new(self.now.wall, severity, topic, text);
        activity.hint = hint;
        self.activity.push(activity.clone());
        self.message = Some(activity);
        self.loads.mark(&Changed { activity: true, ..Changed::default() });
    }

    /// After a run that did not say goodbye: one line, once the counts are known.
    pub(super) fn greet(&mut self) {
        let Some(resumed) = self.resumed.take() else { return };
        let when =
            resumed.saved_at.map(|at| format!(" ({})", at.clock_time(self.setup.zone_offset))).unwrap_or_default();
        let queued = self.world.counts.pending();
        let drafts = words::count(resumed.drafts as u64, "draft", "drafts");
        // As it stands it fits into 80 columns.
        let text = format!("Picked up after an abrupt end{when}: {queued} queued, {drafts}, nothing lost");
        self.say(Severity::Info, "session", text, None);
    }
}
