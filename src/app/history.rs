//! Other screens than the one that grew here: an earlier moment of the session, or another session. What the screen
//! shows is exchanged; what is known of the world, and everything not committed yet, goes on.

use crate::{
    app::{
        App, Setup,
        effect::{Effect, Need},
        event::{Event, Found},
        loads::Loads,
        pane::{Cx, PaneName},
        saving::{self, KeptDrafts},
        world::World,
    },
    model::{
        activity::Severity,
        draft::Draft,
        ids::SessionName,
        session::{MomentKind, SavedSession, Slice},
        time::At,
    },
};

impl App {
    /// The screen of an earlier moment. Nothing is loaded yet, and nothing was asked for.
    pub(in crate::app) fn at_moment(at: &At, setup: Setup, slices: Vec<Slice>, drafts: Vec<Draft>) -> Self {
        let mut setup = setup;
        // That the start forgets the screen does not concern what is asked for by name.
        setup.settings.restore = crate::app::settings::Restore::All;
        let saved = SavedSession { slices, closed_cleanly: true, ..SavedSession::default() };
        let mut app = saving::rebuild(at, setup, saved, drafts.into());
        for pane in [PaneName::History, PaneName::Recovery] {
            app.screen.close(pane);
        }
        app.message = None;
        app.activity.clear();
        app.refresh(&mut Vec::new());
        app
    }

    /// Every slice the screen was built from could be read.
    pub(in crate::app) fn is_whole(&self) -> bool {
        self.saved.bad == 0
    }

    pub(in crate::app) fn take_world_of(&mut self, world: &World) {
        self.world.clone_from(world);
    }

    /// What is asked for now, answered or not.
    pub(in crate::app) fn asked_needs(&self) -> Vec<Need> {
        self.loads.asked().map(|(_, need)| need.clone()).collect()
    }

    /// The terminal has another size: the preview is laid out for it.
    pub(in crate::app) fn fit_history(&mut self) {
        let (room, full) = (self.room(PaneName::History), self.is_full(PaneName::History));
        self.history.fit(&Cx { at: &self.now, setup: &self.setup, world: &self.world, room, full });
    }

    /// Hands an answer to whoever asked for it.
    pub(in crate::app) fn fulfil(&mut self, at: &At, need: &Need, found: &Found) {
        let tickets: Vec<_> =
            self.loads.asked().filter(|(_, asked)| *asked == need).map(|(ticket, _)| ticket).collect();
        for ticket in tickets {
            self.handle(at, Event::Loaded { ticket, found: found.clone() });
        }
    }

    /// Brings the moment back that the history or the recovery screen offers. What was on the screen is kept first.
    pub(in crate::app) fn step_back(&mut self, effects: &mut Vec<Effect>) {
        let at = self.now;
        let setup = self.setup.clone();
        let is_recovery = self.screen.top() == PaneName::Recovery;
        let (when, then) = if is_recovery {
            let Some((moment, drafts)) = self.recovery.way_back() else { return };
            (moment.when(), App::at_moment(&at, setup, moment.slices.clone(), drafts.to_vec()))
        } else {
            let Some(moment) = self.history.selected() else { return };
            let when = moment.when();
            // The one in the preview has its data at hand: no pane is empty for a moment.
            let Some(mut then) = self.history.take_preview() else { return };
            let (columns, rows) = setup.size;
            then.setup = setup;
            then.handle(&at, Event::Resized { columns, rows });
            (when, *then)
        };
        self.screen.close(if is_recovery { PaneName::Recovery } else { PaneName::History });
        let slices = saving::slices(self).into_values().collect();
        effects.push(Effect::KeepMoment { kind: MomentKind::Left, slices });
        self.become_screen(then, true);
        let clock = when.clock_time(self.setup.zone_offset);
        let hint =
            self.keymap.any_key(crate::app::action::Action::OpenHistory).map(|key| format!("{key} goes further"));
        let text = format!("The screen of {clock} is back; drafts and outbox are as they are now");
        self.say(Severity::Info, "session", text, hint);
    }

    /// Shows another session from here on: its screen, the same data.
    pub fn switch_session(&mut self, at: &At, session: SessionName, saved: SavedSession, drafts: KeptDrafts) {
        self.now = *at;
        let setup = Setup { session, ..self.setup.clone() };
        let then = saving::rebuild(at, setup, saved, drafts);
        let given = then.saved.clone();
        self.become_screen(then, false);
        self.saved = given;
    }

    /// Takes over another screen. `is_same_session`: what was saved stays what was saved, and half-made work stays.
    fn become_screen(&mut self, then: App, is_same_session: bool) {
        let before = std::mem::replace(self, then);
        self.now = before.now;
        self.world = before.world;
        self.loads = Loads::after(&before.loads);
        self.jobs = before.jobs;
        self.ahead = before.ahead;
        self.drafts = before.drafts;
        self.activity.splice(0..0, before.activity);
        self.confirm = None;
        self.resumed = None;
        if is_same_session {
            self.saved = before.saved;
            self.conflicts.keep_work_of(&before.conflicts);
            self.recovery = before.recovery;
            self.history = before.history;
        }
    }
}
