//! The terminal given away and taken back: stopped jobs, `$EDITOR`, somebody else's writing on the screen.

use std::{path::PathBuf, time::Duration};

use super::{Dashboard, End, Shell};
use crate::{
    app::{effect::Subject, event::Event},
    model::{
        activity::{Activity, Severity},
        time::Clock as _,
    },
    runtime::external_editor::{self, EditorRun},
    terminal::{self, Inputs},
};

impl Dashboard {
    /// Says over the last frame why the next one does not come.
    pub(super) fn banner(&mut self, text: &str) {
        let row = self.terminal.backend().rows().saturating_sub(2);
        let ascii: String = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
        self.terminal.backend_mut().banner(row, &ascii);
        self.terminal.backend_mut().forget();
    }

    /// Paints every cell anew: somebody else wrote to the terminal.
    pub(super) fn repaint(&mut self) {
        self.terminal.backend_mut().forget();
        if let Err(error) = self.terminal.clear() {
            tracing::error!("clearing the terminal failed: {error}");
        }
        self.dirty = true;
    }

    /// Stops the process group like a shell job; after `fg` the screen comes back as it was.
    pub(super) fn suspend(&mut self) {
        self.stop_reading();
        self.wait_for_writer();
        self.guard.leave();
        if let Err(error) = rustix::process::kill_current_process_group(rustix::process::Signal::STOP) {
            tracing::error!("could not suspend: {error}");
        }
        self.reclaim();
    }

    /// Stopped and continued by somebody else, or the signal that ended our own stop: the shell had the terminal.
    pub(super) fn continued(&mut self) {
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

    pub(super) fn stop_reading(&mut self) {
        if let Some(inputs) = self.inputs.take() {
            inputs.close();
        }
    }

    pub(super) fn reclaim(&mut self) {
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

    pub(super) fn open_editor(&mut self, subject: Subject, text: &str, suffix: &'static str) {
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

    pub(super) fn editor_ended(&mut self, run: EditorRun) {
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
    pub(super) fn find_edited(&mut self) {
        if self.app.setup().read_only {
            return;
        }
        let (events, files) = self.edited.find(&self.data_dir);
        for event in events {
            self.handle(event);
        }
        self.watch_edited(files);
    }

    pub(super) fn watch_edited(&self, files: Vec<(PathBuf, external_editor::State)>) {
        if !files.is_empty() {
            let tell = self.tell.clone();
            tokio::spawn(external_editor::watch(files, move |path| tell.send(Shell::EditorSaved(path)).is_ok()));
        }
    }

    /// Leaving the alternate screen while a frame is being written would mix the two.
    pub(super) fn wait_for_writer(&self) {
        for _ in 0..1_000 {
            if !self.terminal.backend().writer().is_busy() {
                return;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

/// True where somebody could continue us: a session's first process has no shell above it, and once stopped it stays so.
pub(super) fn has_shell() -> bool {
    rustix::process::getsid(None).is_ok_and(|leader| leader != rustix::process::getpid())
}
