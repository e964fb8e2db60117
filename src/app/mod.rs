//! The app machine: what the user sees and does, as a pure state machine. `ui` draws it; `runtime` carries its effects out.
//!
//! ```text
//!  Event ──► App::handle ──► state' + effects ──► App::take_commit ──► journal ──► ui::draw
//!              │  keymap: key → Action            (slices that differ, drafts, activity)
//!              │  pane: Action → Outcome
//!              └► loads: what the panes need and was not asked yet
//! ```

mod accounts;
pub mod action;
pub mod command;
mod edited;
pub mod edits;
pub mod effect;
pub mod event;
pub mod geometry;
mod global;
pub mod hints;
mod history;
pub mod keymap;
pub mod list;
mod loads;
mod machine;
pub mod pane;
pub mod panes;
mod requests;
mod rules;
pub mod saving;
pub mod screen;
pub mod settings;
pub mod text;
pub mod tree;
pub mod words;
pub mod world;

use std::{collections::BTreeMap, time::Duration};

use crate::model::{
    activity::{Activity, Severity},
    draft::{DraftTarget, DraftWrite},
    ids::{CollectionKey, RecordKey, Seq, SessionName},
    json::Pointer,
    session::{SavedSession, Slice, UiCommit},
    source::SourceSpec,
    sync_status::ConnectivityState,
    time::{At, Timestamp},
};
use command::Scope;
use effect::{Effect, Need, Ticket};
use event::Event;
use geometry::{Area, Form, Layout, Place};
use keymap::Keymap;
use loads::Loads;
use pane::{Cx, Pane, PaneName, Question};
use panes::{
    collections::Collections, conflicts::Conflicts, connectivity::Connectivity, drafts::Drafts, goto::Goto, help::Help,
    history::History, log::Log, outbox::Outbox, palette::Palette, record::Record, records::Records, recovery::Recovery,
    sessions::Sessions, sync::Sync, vault::Vault, welcome::Welcome,
};
use screen::Screen;
use settings::UiSettings;
use world::World;

/// What the app is built with.
#[derive(Debug, Clone)]
pub struct Setup {
    pub sources: Vec<SourceSpec>,
    pub session: SessionName,
    pub settings: UiSettings,
    pub read_only: bool,
    /// True in `ebbtide demo`: the network switch and "somebody else edits" exist.
    pub demo: bool,
    /// Seconds east of UTC, for clock times on screen.
    pub zone_offset: i32,
    /// Where things are kept, for the help and welcome screens: (what, path).
    pub places: Vec<(String, String)>,
    /// How a command line on the same files begins.
    pub command: String,
    /// Terminal size at start, columns × rows.
    pub size: (u16, u16),
    /// NO_COLOR is set or the terminal has no colours.
    pub no_color: bool,
}

/// Calls the same thing on the pane of a name, with a [`Cx`] borrowed beside it.
macro_rules! with_pane {
    ($app:expr, $name:expr, |$pane:ident, $cx:ident| $body:expr) => {{
        let name: $crate::app::pane::PaneName = $name;
        let room = $app.room(name);
        let full = $app.is_full(name);
        let now = $app.now;
        let $cx = $crate::app::pane::Cx { at: &now, setup: &$app.setup, world: &$app.world, room, full };
        match name {
            PaneName::Collections => {
                let $pane = &mut $app.collections;
                $body
            }
            PaneName::Records => {
                let $pane = &mut $app.records;
                $body
            }
            PaneName::Record => {
                let $pane = &mut $app.record;
                $body
            }
            PaneName::Outbox => {
                let $pane = &mut $app.outbox;
                $body
            }
            PaneName::Connectivity => {
                let $pane = &mut $app.connectivity;
                $body
            }
            PaneName::Sync => {
                let $pane = &mut $app.sync;
                $body
            }
            PaneName::Conflicts => {
                let $pane = &mut $app.conflicts;
                $body
            }
            PaneName::Editor => {
                let $pane = &mut $app.editor;
                $body
            }
            PaneName::Log => {
                let $pane = &mut $app.log;
                $body
            }
            PaneName::Help => {
                let $pane = &mut $app.help;
                $body
            }
            PaneName::Palette => {
                let $pane = &mut $app.palette;
                $body
            }
            PaneName::Goto => {
                let $pane = &mut $app.goto;
                $body
            }
            PaneName::Sessions => {
                let $pane = &mut $app.sessions;
                $body
            }
            PaneName::Vault => {
                let $pane = &mut $app.vault;
                $body
            }
            PaneName::Drafts => {
                let $pane = &mut $app.draft_list;
                $body
            }
            PaneName::Welcome => {
                let $pane = &mut $app.welcome;
                $body
            }
            PaneName::History => {
                let $pane = &mut $app.history;
                $body
            }
            PaneName::Recovery => {
                let $pane = &mut $app.recovery;
                $body
            }
        }
    }};
}
pub(in crate::app) use with_pane;

/// The whole state behind a frame.
#[derive(Debug, Clone)]
pub struct App {
    setup: Setup,
    keymap: Keymap,
    screen: Screen,
    world: World,
    /// The instant of the last event: every age on the screen is counted from it.
    now: At,
    collections: Collections,
    records: Records,
    record: Record,
    outbox: Outbox,
    connectivity: Connectivity,
    sync: Sync,
    conflicts: Conflicts,
    editor: panes::editor::Editor,
    log: Log,
    help: Help,
    palette: Palette,
    goto: Goto,
    sessions: Sessions,
    vault: Vault,
    draft_list: Drafts,
    welcome: Welcome,
    history: History,
    recovery: Recovery,
    /// A question being asked. Never saved (R20).
    confirm: Option<Question>,
    /// What the message row says.
    message: Option<Activity>,
    /// Until when keys do not take the message away: it came by itself.
    unread: Option<Timestamp>,
    /// What a guard asked last, in its words, and whether a status has told of it.
    question: Option<(String, bool)>,
    /// How many of the deletions asked for together are queued, and the first of them.
    together: Option<(u64, Seq)>,
    /// The change the message row calls queued.
    told: Option<Told>,
    loads: Loads,
    jobs: Vec<(RecordKey, Job)>,
    /// What was typed after an editor was asked for and before its record was read: it is meant for the editor.
    ahead: Vec<Ahead>,
    /// What `$EDITOR` left of conflicts that are not on the screen, until the conflicts are read.
    merges: Vec<event::Edited>,
    saved: saving::Saved,
    drafts: Vec<DraftWrite>,
    activity: Vec<Activity>,
    resumed: Option<saving::Resumed>,
}

#[derive(Debug, Clone)]
struct Told {
    seq: Seq,
    /// What it says of it.
    message: String,
    /// What is to be said once it was sent.
    sent: String,
}

#[derive(Debug, Clone)]
enum Ahead {
    Key(keybinds::KeyInput),
    Pasted(String),
}

/// Something to do with a record as soon as it is read.
#[derive(Debug, Clone, PartialEq)]
enum Job {
    Edit(DraftTarget),
    QueueDraft(DraftTarget),
    EditExternally,
    Copy,
    Delete,
    DeleteField(Pointer),
    /// Put what `$EDITOR` left into the draft of a text that is not open.
    TakeEdited {
        target: DraftTarget,
        text: String,
        file: Option<String>,
    },
}

impl App {
    /// Builds the state of the first frame from what was saved. No data is there yet: [`App::pending_loads`] says what
    /// to load.
    pub fn restore(at: &At, setup: Setup, saved: SavedSession, drafts: impl Into<saving::KeptDrafts>) -> Self {
        saving::restore(at, setup, saved, drafts.into())
    }

    /// The loads that make the next frame whole.
    pub fn needs(&self) -> Vec<Need> {
        self.pending_loads().into_iter().map(|(_, need)| need).collect()
    }

    /// The loads asked for and not answered.
    pub fn pending_loads(&self) -> Vec<(Ticket, Need)> {
        self.loads.waiting()
    }

    /// Of these, the ones that the frame as it stands shows. Before the first frame: answer these with `Loaded` until none
    /// is left (answers may bring new ones), ignoring the `Load` effects handed out meanwhile; they are the same. What is
    /// pending then is of panes that are covered, and may be answered later.
    pub fn first_loads(&self) -> Vec<(Ticket, Need)> {
        let layout = self.layout();
        self.loads.waiting_of(|owner| {
            // The outbox answers for the header.
            owner.is_none_or(|pane| {
                pane == PaneName::Outbox || self.screen.overlays.contains(&pane) || layout.place(pane).is_some()
            })
        })
    }

    /// The only way state changes. Never fails: problems arrive as events. The effects are carried out after the commit
    /// that [`App::take_commit`] gives next: loads among them look at what it wrote.
    pub fn handle(&mut self, at: &At, event: Event) -> Vec<Effect> {
        self.now = *at;
        let mut effects = Vec::new();
        self.take_event(event, &mut effects);
        self.refresh(&mut effects);
        effects
    }

    /// What must be committed before this state may be painted; taking it marks it as given out. Empty: paint freely.
    ///
    /// Take the next one only after this one was committed ([`App::committed`]), or after its failure was handed in as
    /// `CommitFailed` or `CommitRefused`: then the next one contains it again.
    pub fn take_commit(&mut self) -> UiCommit {
        saving::take_commit(self)
    }

    /// All that would be lost if the journal never took another commit: the whole session, the text being edited in one
    /// piece, and what else the commits since the last good one hold. Committing it twice does no harm.
    pub fn rescue(&self) -> UiCommit {
        saving::rescue(self)
    }

    /// When to send [`Event::Tick`] next because something on the screen moves by itself (an age, a countdown);
    /// `None` while nothing does. Asked after every event.
    pub fn next_tick(&self, at: &At) -> Option<Duration> {
        let mut wait: Option<Duration> = None;
        let mut earlier = |candidate: Duration| wait = Some(wait.map_or(candidate, |wait| wait.min(candidate)));
        for status in &self.world.sources {
            let connectivity = &status.connectivity;
            let counts_down = connectivity.state != ConnectivityState::Online
                && !status.paused
                && connectivity.evidence.next_probe.is_some_and(|next| next > at.wall);
            if counts_down {
                earlier(Duration::from_secs(1));
            }
        }
        for instant in self.shown_instants() {
            earlier(words::until_older(at.wall, instant));
        }
        // The lists above the panes tell ages too, in many places: each of them is at most a minute late.
        if !self.screen.overlays.is_empty() {
            earlier(Duration::from_secs(60));
        }
        wait
    }

    /// Every instant whose age the screen shows now.
    fn shown_instants(&self) -> Vec<crate::model::time::Timestamp> {
        let mut instants = Vec::new();
        let layout = self.layout();
        if layout.place(PaneName::Records).is_some() {
            let height = self.records.body_height(self.room(PaneName::Records));
            let (top, _) = self.records.window(height);
            instants.extend(self.records.rows().iter().skip(top).take(height).filter_map(|row| row.changed_at));
        }
        if let Some(place) = layout.place(PaneName::Outbox) {
            let ops = self.outbox.lines(place.form == Form::Full);
            instants.extend(ops.iter().take(200).map(|op| op.created_at));
        }
        for status in &self.world.sources {
            instants.extend(status.connectivity.since.filter(|_| !status.connectivity.state.is_usable()));
            instants.extend(status.push.last_success);
            instants.extend(status.collections.iter().filter_map(|collection| collection.last_pull));
        }
        if let Some(place) = layout.place(PaneName::Drafts) {
            let rows = usize::from(geometry::drafts_split(place.area).0.inner().height);
            let (top, _) = self.draft_list.window(rows);
            instants.extend(self.draft_list.rows().iter().skip(top).take(rows).map(|row| row.updated_at));
        }
        if layout.place(PaneName::Record).is_some() {
            instants.extend(self.record.view().and_then(|view| Some(view.base.as_ref()?.received_at)));
        }
        instants
    }

    // What drawing looks at.

    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    pub fn screen(&self) -> &Screen {
        &self.screen
    }

    pub fn world(&self) -> &World {
        &self.world
    }

    pub fn now(&self) -> &At {
        &self.now
    }

    pub fn keymap(&self) -> &Keymap {
        &self.keymap
    }

    pub fn collections(&self) -> &Collections {
        &self.collections
    }

    pub fn records(&self) -> &Records {
        &self.records
    }

    pub fn record(&self) -> &Record {
        &self.record
    }

    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub fn connectivity(&self) -> &Connectivity {
        &self.connectivity
    }

    pub fn sync(&self) -> &Sync {
        &self.sync
    }

    pub fn conflicts(&self) -> &Conflicts {
        &self.conflicts
    }

    pub fn editor(&self) -> &panes::editor::Editor {
        &self.editor
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    pub fn help(&self) -> &Help {
        &self.help
    }

    pub fn palette(&self) -> &Palette {
        &self.palette
    }

    pub fn goto(&self) -> &Goto {
        &self.goto
    }

    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    pub fn draft_list(&self) -> &Drafts {
        &self.draft_list
    }

    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    pub fn history(&self) -> &History {
        &self.history
    }

    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    pub fn confirm(&self) -> Option<&Question> {
        self.confirm.as_ref()
    }

    pub fn message(&self) -> Option<&Activity> {
        self.message.as_ref()
    }

    /// The hint of the message, where its row has no room for both: it stands in the place of the keys, until the next key
    /// takes the message away. A problem stays for long, and the keys with it.
    pub fn hint_apart(&self) -> Option<&str> {
        let message = self.message.as_ref().filter(|message| message.severity != Severity::Problem)?;
        let hint = message.hint.as_deref()?;
        let is_free = self.confirm.is_none() && self.world.commit_failed.is_none() && !self.world.journal_locked;
        let room = usize::from(self.setup.size.0);
        (is_free && 4 + text::cells::width(&message.text) + 3 + text::cells::width(hint) > room).then_some(hint)
    }

    pub fn layout(&self) -> Layout {
        let mut layout = geometry::layout(self.setup.size, &self.screen);
        if self.screen.in_place
            && self.screen.overlays.contains(&PaneName::Editor)
            && let Some(record) = layout.place(PaneName::Record).copied()
        {
            layout.places.push(Place { pane: PaneName::Editor, area: self.field_area(&record), form: Form::Popup });
        }
        layout
    }

    /// Where the editor of one field lies: below the field's row, or above it where there is more room.
    fn field_area(&self, record: &Place) -> Area {
        let inner = record.room();
        let height = self.record.tree_height(inner.size());
        let (top, cursor) = self.record.window(height);
        let row = u16::try_from(cursor.saturating_sub(top)).unwrap_or(0).min(inner.height.saturating_sub(1));
        let lines = self.editor.sheet().map_or(1, |sheet| sheet.buffer.lines().len());
        let wanted = u16::try_from(lines.saturating_add(3)).unwrap_or(u16::MAX).max(4);
        let (above, below) = (row, inner.height.saturating_sub(row + 1));
        if below >= wanted.min(4) || below >= above {
            return Area::new(inner.x, inner.y + row + 1, inner.width, wanted.min(below));
        }
        let height = wanted.min(above);
        Area::new(inner.x, inner.y + row - height, inner.width, height)
    }

    /// The cells inside a pane's border: (columns, rows). A pane of the main screen that is covered has the room it
    /// will have when it is seen again: what arrives meanwhile must not move its rows. Nothing for any other.
    pub fn room(&self, pane: PaneName) -> (u16, u16) {
        let layout = self.layout();
        let covered = || {
            let screen = Screen { overlays: Vec::new(), zoom: false, ..self.screen.clone() };
            geometry::layout(self.setup.size, &screen).place(pane).copied()
        };
        let Some(place) = layout.place(pane).copied().or_else(covered) else { return (0, 0) };
        match (pane, place.form) {
            (PaneName::Outbox, Form::Full) => geometry::outbox_split(place.area).0.inner().size(),
            (PaneName::Vault, Form::Full) => geometry::vault_split(place.area).0.inner().size(),
            (PaneName::Drafts, Form::Full) => geometry::drafts_split(place.area).0.inner().size(),
            (PaneName::Conflicts, Form::Full) => geometry::conflict_split(place.area).fields.inner().size(),
            _ => place.room().size(),
        }
    }

    /// The pane has the whole body.
    pub fn is_full(&self, pane: PaneName) -> bool {
        self.layout().place(pane).is_some_and(|place| place.form == Form::Full)
    }

    pub fn cx(&self, pane: PaneName) -> Cx<'_> {
        Cx { at: &self.now, setup: &self.setup, world: &self.world, room: self.room(pane), full: self.is_full(pane) }
    }

    /// The scopes a key is looked up in now, innermost first.
    pub fn scopes(&self) -> Vec<Scope> {
        let top = self.screen.top();
        if top == PaneName::Editor {
            return vec![if self.editor.is_merging() { Scope::Merge } else { Scope::Editor }];
        }
        if self.takes_text() {
            return vec![Scope::Input];
        }
        let own = match top {
            PaneName::Collections => Scope::Collections,
            PaneName::Records => Scope::Records,
            PaneName::Record => Scope::Record,
            PaneName::Outbox => Scope::Outbox,
            PaneName::Connectivity => Scope::Connectivity,
            PaneName::Sync => Scope::Sync,
            PaneName::Conflicts => Scope::Conflicts,
            PaneName::Log => Scope::Log,
            PaneName::Sessions => Scope::Sessions,
            PaneName::Vault => Scope::Vault,
            PaneName::Drafts => Scope::Drafts,
            PaneName::Help => Scope::Help,
            PaneName::Recovery => Scope::Recovery,
            PaneName::Editor | PaneName::Palette | PaneName::Goto | PaneName::Welcome | PaneName::History => {
                Scope::List
            }
        };
        vec![own, Scope::List, Scope::Global]
    }

    /// True while letters go to a text of the topmost pane.
    pub fn takes_text(&self) -> bool {
        match self.screen.top() {
            PaneName::Records => self.records.takes_text(),
            PaneName::Help => self.help.takes_text(),
            PaneName::Palette => self.palette.takes_text(),
            PaneName::Goto => self.goto.takes_text(),
            PaneName::Editor => self.editor.takes_text(),
            PaneName::Vault => self.vault.takes_text(),
            PaneName::Sessions => self.sessions.takes_text(),
            PaneName::Conflicts => self.conflicts.takes_text(),
            _ => false,
        }
    }

    /// The collection on the screen.
    pub fn collection(&self) -> Option<&CollectionKey> {
        self.records.collection()
    }

    /// The hints row: (keys, words, action), most useful first, the help last.
    pub fn hints(&self) -> Vec<hints::Hint> {
        hints::hints(self)
    }

    /// The session as it would be saved now, by slice name.
    pub fn session(&self) -> BTreeMap<String, Slice> {
        saving::slices(self)
    }
}
