//! The session of a running dashboard: another one in its place, other names, earlier moments, and the proof that a start
//! works.

use super::{Dashboard, Event, Shell, start::bootstrap, start::kept_drafts};
use crate::{
    app::{effect::Effect, event::Changed},
    model::{
        activity::{Activity, Severity},
        ids::{CollectionKey, SessionName},
        session::{MomentKind, SavedSession, Slice},
        time::Clock,
    },
    runtime::{
        commits::{Commits, PATIENCE},
        moments::Moments,
        plan::Planner,
        session_lock::{self, SessionLock},
    },
    store::StoreError,
};

/// A session that was opened for writing, to be shown as soon as everything of the present one is committed.
pub(super) struct Switch {
    lock: SessionLock,
    saved: SavedSession,
}

impl Dashboard {
    /// Carries out what concerns sessions.
    pub(super) fn of_session(&mut self, effect: Effect) {
        match effect {
            Effect::SwitchSession { name } => self.open_session(name),
            Effect::RenameSession { from, to } => self.rename_session(from, to),
            Effect::CopySession { from, to } => self.copy_session(from, to),
            Effect::DeleteSession { name } => {
                let reply = self.store.delete_session(&name);
                self.push_reply("session", async move { reply.await.map(|_| format!("Deleted the session `{name}`")) });
            }
            Effect::KeepMoment { kind, slices } => self.keep_moment(kind, Some(slices)),
            _ => unreachable!("only effects on sessions are handed here"),
        }
    }

    /// The lock of a session name; where there is none, the user is told why.
    fn lock(&mut self, name: &SessionName) -> Option<SessionLock> {
        let text = match session_lock::take(&self.store, name) {
            Ok(Some(lock)) => return Some(lock),
            Ok(None) => format!("Session `{name}` is open in another window"),
            Err(StoreError::ReadOnly) => "Sessions cannot be changed while reading only".to_owned(),
            Err(error) => error.to_string(),
        };
        self.handle(Event::Refused { topic: "session", text, hint: None });
        None
    }

    fn open_session(&mut self, name: SessionName) {
        let Some(lock) = self.lock(&name) else { return };
        let begun = self.store.begin_session(&name, false);
        // A start that names none comes back to it.
        let chosen = (!self.is_named).then(|| self.store.choose_session(&name));
        let tell = self.tell.clone();
        self.opening = Some(tokio::time::Instant::now() + PATIENCE);
        self.replies.push(Box::pin(async move {
            let begun = match (begun.await, chosen) {
                (Ok(saved), Some(chosen)) => chosen.await.map(|()| saved),
                (begun, _) => begun,
            };
            let _ = tell.send(match begun {
                Ok(saved) => Shell::SessionOpened(Box::new(Switch { lock, saved })),
                Err(error) => Shell::SessionNotOpened(error),
            });
            Vec::new()
        }));
    }

    /// Shows the opened session once nothing of the present one is on its way to the journal.
    pub(super) fn switch_if_clear(&mut self) {
        if self.switch.is_none() || !self.is_committed() || !self.edits.is_empty() || !self.committing.is_empty() {
            return;
        }
        let Some(switch) = self.switch.take() else { return };
        self.opening = None;
        let Switch { lock, saved } = *switch;
        let at = self.clock.at();
        let read = self.store.reader().and_then(|mut reader| Ok((kept_drafts(&mut reader, &saved)?, reader)));
        let (drafts, mut reader) = match read {
            Ok(read) => read,
            Err(error) => return self.handle(Event::Refused { topic: "session", text: error.to_string(), hint: None }),
        };
        let name = lock.name.clone();
        self.app.switch_session(&at, name.clone(), saved, drafts);
        // The loads handed out here are those that are answered below.
        self.app.handle(&at, Event::Tick);
        let sources = self.app.setup().sources.clone();
        let keys: Vec<CollectionKey> = sources.iter().flat_map(|source| source.keys()).collect();
        let planner = Planner::new(&sources, std::sync::Arc::clone(&self.clock) as std::sync::Arc<dyn Clock>);
        bootstrap(&mut self.app, &self.clock, &mut reader, &keys, &planner);
        self.loads = self.app.pending_loads();
        self.commits = Commits::new(self.store.clone(), name.clone(), &self.data_dir);
        let left = std::mem::replace(&mut self.session, lock);
        let ended = self.store.end_session(&left.name);
        self.replies.push(Box::pin(async move {
            if let Err(error) = ended.await {
                tracing::warn!("the session `{}` could not be closed: {error}", left.name);
            }
            drop(left);
            // A list of sessions that was read meanwhile has it as open.
            vec![Event::Changed(Changed { activity: true, ..Changed::default() })]
        }));
        self.moments = Moments::new(at.mono);
        (self.is_proved, self.has_input) = (false, false);
        self.read_back();
        let text = format!("This is session `{name}`");
        self.handle(Event::Done { topic: "session", text });
    }

    fn rename_session(&mut self, from: SessionName, to: SessionName) {
        let Some(lock) = self.lock(&to) else { return };
        let is_own = from == self.session.name;
        let held = if is_own { None } else { self.lock(&from) };
        if !is_own && held.is_none() {
            return;
        }
        let reply = self.store.rename_session(&from, &to);
        if is_own && !self.is_named {
            drop(self.store.choose_session(&to));
        }
        // What is committed from here on comes after the renaming.
        let guard = if is_own {
            self.commits.rename(to.clone());
            let event = Event::SessionRenamed { to: to.clone() };
            let before = std::mem::replace(&mut self.session, lock);
            self.handle(event);
            before
        } else {
            lock
        };
        self.push_reply("session", async move {
            let renamed = reply.await;
            drop((guard, held));
            match renamed? {
                true => Ok(format!("`{from}` is `{to}` now")),
                false => Err(StoreError::Refused(format!("there is no session `{from}`, or one named `{to}` already"))),
            }
        });
    }

    fn copy_session(&mut self, from: SessionName, to: SessionName) {
        let Some(lock) = self.lock(&to) else { return };
        let reply = self.store.copy_session(&from, &to);
        self.push_reply("session", async move {
            let copied = reply.await;
            drop(lock);
            match copied? {
                true => Ok(format!("`{to}` begins as `{from}` is")),
                false => Err(StoreError::Refused(format!("there is no session `{from}`, or one named `{to}` already"))),
            }
        });
    }

    /// Keeps a screen: the one given, or as it was last committed.
    pub(super) fn keep_moment(&mut self, kind: MomentKind, slices: Option<Vec<Slice>>) {
        drop(self.store.keep_moment(&self.session.name, kind, slices));
        self.read_back();
    }

    /// Reads back what was kept of the session, so that it counts.
    pub(super) fn read_back(&mut self) {
        let proved = self.store.prove_moments(&self.session.name);
        let at = self.clock.at().wall;
        self.replies.push(Box::pin(async move {
            match proved.await {
                Ok(0) | Err(StoreError::ReadOnly) => Vec::new(),
                Ok(bad) => {
                    let text = format!("{bad} kept screens could not be read back; older ones stay");
                    let hint = "`ebbtide doctor` looks at the file";
                    vec![Event::Noticed(Activity::new(at, Severity::Warning, "session", text).with_hint(hint))]
                }
                Err(error) => {
                    tracing::warn!("kept moments were not read back: {error}");
                    Vec::new()
                }
            }
        }));
    }

    /// The start works: it ran for a while, or painted what a key led to.
    pub(super) fn prove_start(&mut self) {
        self.is_proved = true;
        drop(self.store.prove_start(&self.session.name));
    }
}
