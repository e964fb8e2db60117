//! The app machine: what the user sees and does, as a pure state machine. `ui` draws it; `runtime` carries its effects out.

pub mod action;
pub mod command;
pub mod effect;
pub mod event;
pub mod geometry;
pub mod pane;
pub mod panes;
pub mod screen;
pub mod settings;
pub mod text;
pub mod words;
pub mod world;

use crate::model::{
    draft::Draft,
    ids::SessionName,
    session::{SavedSession, UiCommit},
    source::SourceSpec,
    time::At,
};
use effect::{Effect, Need};
use event::Event;
use settings::UiSettings;

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
    /// Terminal size at start, columns × rows.
    pub size: (u16, u16),
    /// NO_COLOR is set or the terminal has no colours.
    pub no_color: bool,
}

pub struct App {}

impl App {
    /// Builds the state of the first frame from what was saved. No data is there yet: [`App::needs`] says what to load.
    pub fn restore(at: &At, setup: Setup, saved: SavedSession, drafts: Vec<Draft>) -> Self {
        let _ = (at, setup, saved, drafts);
        todo!()
    }

    /// The loads that make the next frame whole.
    pub fn needs(&self) -> Vec<Need> {
        todo!()
    }

    /// The only way state changes. Never fails: problems arrive as events.
    pub fn handle(&mut self, at: &At, event: Event) -> Vec<Effect> {
        let _ = (at, event);
        todo!()
    }

    /// What must be committed before this state may be painted; taking it marks it as given out. Empty: paint freely.
    pub fn take_commit(&mut self) -> UiCommit {
        todo!()
    }

    /// When to send [`Event::Tick`] next because something on the screen moves by itself (an age, a countdown);
    /// `None` while nothing does. Asked after every event.
    pub fn next_tick(&self, at: &At) -> Option<std::time::Duration> {
        let _ = at;
        todo!()
    }
}
