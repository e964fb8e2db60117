//! Actions that are nobody's in particular: the screen, going places, adding and deleting, sync, the demo.

use crate::{
    app::{
        App, Job,
        action::Action,
        effect::{DemoCommand, Effect},
        pane::{PaneName, Question, Request},
        panes::{goto::Ask, outbox::dotted},
        screen::Screen,
        tree,
    },
    model::{
        activity::Severity,
        draft::DraftTarget,
        ids::{CollectionKey, OpId, RecordId, RecordKey, Seq},
        query::Row,
        record::RecordMark,
        rtdb,
        sync_status::{ConnectivityState, SourceStatus, SyncRequest},
    },
};

impl App {
    /// Actions that are nobody's in particular.
    pub(super) fn global(&mut self, action: Action, argument: Option<&str>, effects: &mut Vec<Effect>) {
        match action {
            Action::FocusCollections => self.focus(PaneName::Collections),
            Action::FocusRecords => self.focus(PaneName::Records),
            Action::FocusRecord => self.focus(PaneName::Record),
            Action::FocusOutbox => self.focus(PaneName::Outbox),
            Action::FocusConnectivity => self.focus(PaneName::Connectivity),
            Action::FocusSync => self.focus(PaneName::Sync),
            Action::NextPane => self.cycle(true),
            Action::PreviousPane => self.cycle(false),
            Action::Zoom if self.screen.overlays.is_empty() => {
                self.screen.zoom = argument.is_some() || !self.screen.zoom
            }
            Action::Grow => self.screen.resize(25),
            Action::Shrink => self.screen.resize(-25),
            Action::ResetView => {
                self.screen.zoom = false;
                self.screen.ratios = Default::default();
                self.records.reset();
                self.outbox.show_all();
            }
            Action::OpenHelp => {
                let about = self.screen.top();
                self.help.open(if about == PaneName::Help { self.screen.focus } else { about });
                self.screen.open(PaneName::Help);
            }
            Action::OpenPalette => {
                self.palette.open();
                self.screen.open(PaneName::Palette);
            }
            Action::OpenLog | Action::GotoLog => self.screen.open(PaneName::Log),
            Action::OpenConflicts | Action::ResolveConflict => {
                if let Some(seq) = argument.and_then(|text| text.parse().ok()) {
                    self.conflicts.select_op(Seq(seq));
                }
                if let Some(conflict) = self.record.view().and_then(|view| view.conflict.as_ref()) {
                    let id = conflict.id;
                    self.conflicts.select(id);
                }
                self.screen.open(PaneName::Conflicts);
            }
            Action::OpenSessions => self.screen.open(PaneName::Sessions),
            Action::OpenHistory => {
                self.history.open();
                self.screen.open(PaneName::History);
            }
            Action::OpenVault => {
                if let Some(text) = argument {
                    self.vault.show_only(text);
                }
                self.screen.open(PaneName::Vault);
            }
            Action::VersionsOfRecord => {
                if let Some(record) = self.target_record() {
                    self.vault.show_only(&record.to_string());
                    self.screen.open(PaneName::Vault);
                }
            }
            Action::OpenDrafts => self.screen.open(PaneName::Drafts),
            Action::OpenWelcome => self.screen.open(PaneName::Welcome),
            Action::Goto => match argument {
                Some(text) => self.goto_text(text),
                None => self.ask(Ask::Anywhere, ""),
            },
            Action::GotoCollection => match argument {
                Some(text) => self.goto_text(text),
                None => self.ask(Ask::Collection, ""),
            },
            Action::GotoRecord => match (self.records.collection().cloned(), argument) {
                (Some(collection), Some(id)) => self.open_record(collection.record(id)),
                (Some(collection), None) => self.ask(Ask::Record(collection), ""),
                (None, _) => {}
            },
            Action::GotoOutbox => {
                self.screen.overlays.clear();
                self.screen.focus = PaneName::Outbox;
                self.screen.zoom = true;
            }
            Action::Filter => {
                self.focus(PaneName::Records);
                match argument {
                    Some(text) => self.records.set_filter(text),
                    None => self.act(Action::Filter, None, effects),
                }
            }
            Action::Sort => {
                self.focus(PaneName::Records);
                match argument {
                    Some(name) => self.records.sort_by(name),
                    None => self.act(Action::Sort, None, effects),
                }
            }
            Action::AddRecord => self.add(argument, effects),
            Action::DeleteRecord => self.delete(),
            Action::EditExternally => {
                if let Some(record) = self.target_record()
                    && !self.refuses(&record.collection)
                {
                    self.start_job(record, Job::EditExternally, effects);
                }
            }
            Action::CopyRecord => {
                if let Some(record) = self.target_record() {
                    self.start_job(record, Job::Copy, effects);
                }
            }
            Action::Undo => effects.push(Effect::Undo { op_id: OpId::new(&self.now) }),
            Action::SyncNow => {
                effects.push(Effect::Sync(SyncRequest::Sync { source: None }));
                let held = |status: &SourceStatus| {
                    status.paused || status.connectivity.state == ConnectivityState::ForcedOffline
                };
                match self.world.sources.iter().find(|status| held(status)) {
                    Some(status) if status.paused => {
                        let text = format!("`{}` is paused: its sync begins when you let it go on", status.source);
                        self.tell_with_key(&text, Action::PauseSync);
                    }
                    Some(_) => {
                        let text = "You keep ebbtide offline: sync begins when you let it go on";
                        self.tell_with_key(text, Action::ForceOffline);
                    }
                    None => self.tell("Sync asked for"),
                }
            }
            Action::Probe => {
                effects.push(Effect::Sync(SyncRequest::Probe { source: None }));
                let is_paused = !self.world.sources.is_empty() && self.world.sources.iter().all(|status| status.paused);
                if self.is_forced_offline() {
                    self.tell_with_key("You keep ebbtide offline: nothing is asked", Action::ForceOffline);
                } else if is_paused {
                    self.tell_with_key("Sync is paused: nothing is asked", Action::PauseSync);
                } else {
                    self.tell("Asking whether the server answers");
                }
            }
            Action::PauseSync => {
                let paused = self.world.sources.iter().any(|status| status.paused);
                let request =
                    if paused { SyncRequest::Resume { source: None } } else { SyncRequest::Pause { source: None } };
                effects.push(Effect::Sync(request));
                match (paused, self.is_forced_offline()) {
                    (true, true) => {
                        let text = "No longer paused, but you keep ebbtide offline";
                        self.tell_with_key(text, Action::ForceOffline);
                    }
                    (true, false) => self.tell("Sync goes on"),
                    (false, _) => self.tell("Sync is paused; edits still queue"),
                }
            }
            Action::ForceOffline => {
                let forced = self.is_forced_offline();
                effects.push(Effect::Sync(SyncRequest::ForceOffline(!forced)));
                match (forced, self.world.sources.iter().any(|status| status.paused)) {
                    (true, true) => self.tell_with_key("No longer offline, but sync is paused", Action::PauseSync),
                    (true, false) => self.tell("The network is used again"),
                    (false, _) => self.tell("Offline by your wish; nothing is sent"),
                }
            }
            Action::ConfirmAuthor => self.ask_about_account(),
            Action::CutNetwork if self.setup.demo => effects.push(Effect::Demo(DemoCommand::CutNetwork)),
            Action::RestoreNetwork if self.setup.demo => effects.push(Effect::Demo(DemoCommand::RestoreNetwork)),
            Action::SomebodyEdits if self.setup.demo => effects.push(Effect::Demo(DemoCommand::SomebodyEdits)),
            Action::Redraw => effects.push(Effect::Repaint),
            Action::Suspend => effects.push(Effect::Suspend),
            Action::Quit if self.setup.settings.confirm_quit => {
                self.confirm = Some(Question {
                    title: "Quit?".to_owned(),
                    lines: vec!["All is saved: you come back to this screen".to_owned()],
                    yes: "quit".to_owned(),
                    then: crate::app::pane::Outcome::used().effect(Effect::Quit),
                });
            }
            Action::Quit => effects.push(Effect::Quit),
            _ => self.hand_on(action, effects),
        }
    }

    /// A command chosen in the palette for another pane than the one with the focus: focus its pane and do it there.
    fn hand_on(&mut self, action: Action, effects: &mut Vec<Effect>) {
        use crate::app::command::Scope;
        let home = action.command().scopes.iter().find_map(|scope| match scope {
            Scope::Collections => Some(PaneName::Collections),
            Scope::Records => Some(PaneName::Records),
            Scope::Record => Some(PaneName::Record),
            Scope::Outbox => Some(PaneName::Outbox),
            Scope::Connectivity => Some(PaneName::Connectivity),
            Scope::Sync => Some(PaneName::Sync),
            Scope::Conflicts => Some(PaneName::Conflicts),
            Scope::Sessions => Some(PaneName::Sessions),
            Scope::Vault => Some(PaneName::Vault),
            Scope::Recovery => Some(PaneName::Recovery),
            Scope::Drafts => Some(PaneName::Drafts),
            _ => None,
        });
        let Some(home) = home.filter(|home| *home != self.screen.top()) else { return };
        if home == PaneName::Recovery && self.recovery.why().is_none() {
            return self.say(Severity::Info, "session", "No screen was set aside", None);
        }
        if Screen::MAIN.contains(&home) {
            self.focus(home);
        } else {
            self.screen.open(home);
        }
        self.act(action, None, effects);
    }

    pub(super) fn tell(&mut self, text: &str) {
        self.message = Some(crate::model::activity::Activity::new(self.now.wall, Severity::Info, "sync", text));
    }

    /// The same, with the key that changes it.
    fn tell_with_key(&mut self, text: &str, action: Action) {
        self.tell(text);
        let key = self.keymap.any_key(action);
        if let (Some(message), Some(key)) = (&mut self.message, key) {
            message.hint = Some(format!("{key} {}", action.command().hint));
        }
    }

    fn is_forced_offline(&self) -> bool {
        self.world.sources.iter().any(|status| status.connectivity.state == ConnectivityState::ForcedOffline)
    }

    pub(super) fn focus(&mut self, pane: PaneName) {
        self.screen.overlays.clear();
        self.screen.in_place = false;
        if self.screen.focus != pane {
            self.screen.focus = pane;
        }
    }

    fn cycle(&mut self, forward: bool) {
        if !self.screen.overlays.is_empty() {
            return;
        }
        let panes = Screen::MAIN;
        let at = panes.iter().position(|pane| *pane == self.screen.focus).unwrap_or(0);
        let next = if forward { at + 1 } else { at + panes.len() - 1 };
        self.screen.focus = panes[next % panes.len()];
    }

    pub(super) fn ask(&mut self, ask: Ask, text: &str) {
        self.goto.open(ask, text);
        self.screen.open(PaneName::Goto);
    }

    /// `users`, `users/u_1`, `office/users/u_1`
    pub(super) fn goto_text(&mut self, text: &str) {
        let keys: Vec<CollectionKey> = self.setup.sources.iter().flat_map(|source| source.keys()).collect();
        let full = keys.iter().find_map(|key| {
            let rest = text.strip_prefix(&key.to_string())?;
            Some((key.clone(), rest.to_owned()))
        });
        let short = || {
            keys.iter().find_map(|key| {
                let rest = text.strip_prefix(key.collection.as_str())?;
                (rest.is_empty() || rest.starts_with('/')).then(|| (key.clone(), rest.to_owned()))
            })
        };
        match full.or_else(short) {
            Some((key, rest)) if rest.trim_start_matches('/').is_empty() => {
                self.open_collection(&key);
                self.focus(PaneName::Records);
            }
            Some((key, rest)) => self.open_record(key.record(rest.trim_start_matches('/'))),
            None => {
                let hint = keys.first().map(|key| format!("write it like `{}/ID`", key.collection));
                self.say(Severity::Warning, "records", format!("There is no collection for `{text}`"), hint);
            }
        }
    }

    /// The record a command is about: the one of the record pane while that is in use, else the selected row.
    fn target_record(&self) -> Option<RecordKey> {
        match self.screen.focus {
            PaneName::Record => self.record.wanted().cloned(),
            _ => self.records.selected(),
        }
    }

    pub(super) fn add(&mut self, id: Option<&str>, effects: &mut Vec<Effect>) {
        let Some(collection) = self.records.collection().cloned() else { return };
        let id = id.map_or_else(|| rtdb::push_id(&self.now), str::to_owned);
        self.edit(collection.record(id), DraftTarget::New, effects);
    }

    pub(super) fn delete(&mut self) {
        if self.screen.focus == PaneName::Record && !self.record.cursor().is_root() {
            return self.delete_field();
        }
        let records = if self.screen.focus == PaneName::Record {
            self.record.wanted().cloned().into_iter().collect()
        } else {
            self.records.targets()
        };
        let Some(first) = records.first().cloned() else {
            return self.say(Severity::Info, "records", "There is no record here to delete", None);
        };
        if self.refuses(&first.collection) {
            return;
        }
        let is_going = |row: &Row| row.id == first.id && row.mark == RecordMark::Deleted;
        if records.len() == 1 && self.records.rows().iter().any(is_going) {
            let hint = self.keymap.any_key(Action::Undo).map(|key| format!("{key} takes it back until it is sent"));
            return self.say(Severity::Info, "records", format!("{first} is to be deleted already"), hint);
        }
        let mut lines: Vec<String> = Vec::new();
        if let [record] = records.as_slice() {
            lines.extend(self.preview(&record.id));
        } else {
            lines.extend(records.iter().take(8).map(|record| record.id.to_string()));
            if records.len() > 8 {
                lines.push(format!("and {} more", records.len() - 8));
            }
        }
        lines.push("It is queued like any edit: `u` takes it back until it is sent".to_owned());
        let title = match records.as_slice() {
            [record] => format!("Delete {record}?"),
            many => format!("Delete {} records of {}?", many.len(), first.collection),
        };
        self.confirm = Some(Question {
            title,
            lines,
            yes: "delete".to_owned(),
            then: crate::app::pane::Outcome::used().request(Request::Delete(records)),
        });
    }

    fn delete_field(&mut self) {
        let (Some(record), pointer) = (self.record.wanted().cloned(), self.record.cursor().clone()) else { return };
        if self.refuses(&record.collection) {
            return;
        }
        let value = self.record.document().and_then(|document| pointer.get(document));
        let shown = value.map(|value| tree::preview(value, 60)).unwrap_or_default();
        self.confirm = Some(Question {
            title: format!("Delete the field `{}`?", dotted(&pointer)),
            lines: vec![format!("of {record}"), shown],
            yes: "delete the field".to_owned(),
            then: crate::app::pane::Outcome::used().request(Request::DeleteField { record, pointer }),
        });
    }

    /// A few cells of a row, for a question about it.
    fn preview(&self, id: &RecordId) -> Vec<String> {
        let Some(row) = self.records.rows().iter().find(|row| row.id == *id) else { return Vec::new() };
        let names = self.records.columns().iter();
        let cells = names.zip(&row.cells).filter_map(|(name, cell)| Some((name, cell.as_ref()?)));
        cells.take(4).map(|(name, cell)| format!("{}: {cell}", dotted(name))).collect()
    }
}
