//! Commit before paint: what changed goes to the journal, and is painted when the journal holds it.

use super::{Dashboard, Shell};
use crate::{
    app::event::Event,
    runtime::{commits::Outcome, engine::Engine},
    ui,
};

impl Dashboard {
    /// Sends what changed to the journal, unless a commit is on its way; then queues the edits it asks for. True where a
    /// commit was sent.
    pub(super) fn commit(&mut self) -> bool {
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
    pub(super) fn ask_loads(&mut self) {
        if self.commits.is_in_flight() {
            return;
        }
        for (ticket, need) in self.loads.drain(..) {
            self.loader.ask(ticket, need);
        }
    }

    /// While the journal takes nothing, what there is to lose is in the emergency file too.
    pub(super) fn rescue_if_needed(&mut self) {
        if self.commits.is_failing() || self.told_locked {
            self.commits.rescue(&self.app.rescue());
        }
    }

    /// True when everything the app's state depends on is in the journal: a frame may be painted.
    pub(super) fn is_committed(&self) -> bool {
        !self.uncommitted && !self.commits.is_in_flight() && !self.commits.is_failing()
    }

    /// Paints when the state changed, the journal holds it, and the terminal took the last frame.
    pub(super) fn paint_if_clear(&mut self) {
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

    pub(super) fn commit_settled(&mut self, outcome: Outcome) {
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
}
