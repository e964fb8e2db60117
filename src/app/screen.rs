//! The screen beside its panes: focus, zoom, ratios, what lies on top, and a key sequence half typed.

use serde::{Deserialize, Serialize};

use crate::app::pane::PaneName;

/// Shares of a split in thousandths, so that a size change loses nothing (R15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ratios {
    pub collections: u16,
    /// Of what is right of the collections.
    pub records: u16,
    /// The outbox's height.
    pub bottom: u16,
    pub outbox: u16,
}

impl Default for Ratios {
    fn default() -> Self {
        Self { collections: 217, records: 468, bottom: 333, outbox: 517 }
    }
}

/// Also its own session: everything here is restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Screen {
    /// One of the six panes of the main screen.
    pub focus: PaneName,
    pub zoom: bool,
    #[serde(default)]
    pub ratios: Ratios,
    /// Overlays, the topmost last.
    #[serde(default)]
    pub overlays: Vec<PaneName>,
    /// The editor is open on one field, inside the record pane.
    #[serde(default)]
    pub in_place: bool,
    /// The keys of a sequence typed so far, as the keymap writes them.
    #[serde(default)]
    pub pending: Vec<String>,
}

impl Default for Screen {
    fn default() -> Self {
        Self {
            focus: PaneName::Records,
            zoom: false,
            ratios: Ratios::default(),
            overlays: Vec::new(),
            in_place: false,
            pending: Vec::new(),
        }
    }
}

impl Screen {
    pub const NAME: &'static str = "screen";
    pub const VERSION: u16 = 1;

    /// The panes of the main screen in the order of their numbers.
    pub const MAIN: [PaneName; 6] = [
        PaneName::Collections,
        PaneName::Records,
        PaneName::Record,
        PaneName::Outbox,
        PaneName::Connectivity,
        PaneName::Sync,
    ];

    /// The pane keys go to.
    pub fn top(&self) -> PaneName {
        self.overlays.last().copied().unwrap_or(self.focus)
    }

    /// The pane that takes the whole body, if one does.
    pub fn full(&self) -> Option<PaneName> {
        let in_place = |pane: PaneName| pane == PaneName::Editor && self.in_place;
        let overlay = self.overlays.iter().rev().copied().find(|pane| !is_popup(*pane) && !in_place(*pane));
        overlay.or(self.zoom.then_some(self.focus))
    }

    pub fn popup(&self) -> Option<PaneName> {
        self.overlays.last().copied().filter(|pane| is_popup(*pane))
    }

    pub fn open(&mut self, pane: PaneName) {
        self.overlays.retain(|open| *open != pane);
        self.overlays.push(pane);
    }

    pub fn close(&mut self, pane: PaneName) {
        self.overlays.retain(|open| *open != pane);
    }

    /// Takes back what no screen could have: a focus that is no main pane, overlays that are.
    pub fn mend(mut self) -> Self {
        if !Self::MAIN.contains(&self.focus) {
            self.focus = PaneName::Records;
        }
        self.overlays.retain(|pane| !Self::MAIN.contains(pane));
        self
    }

    /// Makes the focused pane wider (or taller, in the bottom row) by a step; negative: smaller.
    pub fn resize(&mut self, step: i16) {
        let change = |ratio: &mut u16, step: i16| {
            *ratio = u16::try_from((i32::from(*ratio) + i32::from(step)).clamp(100, 800)).unwrap_or(500);
        };
        match self.focus {
            PaneName::Collections => change(&mut self.ratios.collections, step),
            PaneName::Records => change(&mut self.ratios.records, step),
            PaneName::Record => change(&mut self.ratios.records, -step),
            PaneName::Outbox => change(&mut self.ratios.outbox, step),
            _ => change(&mut self.ratios.outbox, -step),
        }
    }
}

pub fn is_popup(pane: PaneName) -> bool {
    matches!(pane, PaneName::Palette | PaneName::Goto)
}
