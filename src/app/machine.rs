//! From events to state: keys through the keymap, answers to the panes that asked, facts into the world.

use keybinds::KeyInput;

use crate::{
    app::{
        Ahead, App, Job, Told,
        action::Action,
        command::Scope,
        effect::{Effect, Need},
        event::{Changed, Event, Found, Mouse, MouseKind},
        geometry::{Class, Form},
        hints::place_hints,
        keymap::{self, Lookup},
        pane::{Outcome, Pane, PaneName},
        screen::Screen,
        with_pane,
        world::Saving,
    },
    model::{
        activity::{Activity, Severity},
        draft::DraftWrite,
        ids::{OpId, Seq},
        op::{Op, OpState},
        sync_status::STOPPED_HINT,
    },
};

/// Among so many settled ops the one that was just queued is looked for.
const JUST_SETTLED: usize = 20;
/// So long keys do not take a warning away that came by itself.
const LONG_ENOUGH: std::time::Duration = std::time::Duration::from_secs(2);

impl App {
    pub(super) fn take_event(&mut self, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Key(key) => self.key(&key, effects),
            Event::Mouse(mouse) => self.mouse(mouse, effects),
            Event::Pasted(text) => self.pasted(&text, effects),
            Event::Resized { columns, rows } => {
                self.setup.size = (columns, rows);
                self.fit_history();
            }
            Event::SessionRenamed { to } => self.setup.session = to,
            Event::FocusGained | Event::FocusLost | Event::Tick => {}
            Event::Loaded { ticket, found } => {
                if let Some((owner, need)) = self.loads.answered(ticket) {
                    self.loaded(owner, &need, &found, effects);
                }
            }
            Event::LoadFailed { ticket, message } => {
                if let Some((owner, need)) = self.loads.answered(ticket) {
                    if let (None, Need::Record(record)) = (owner, &need) {
                        self.drop_job(record);
                    }
                    self.say(
                        Severity::Problem,
                        "session",
                        format!("Reading {} failed: {message}", subject(&need)),
                        None,
                    );
                }
            }
            Event::CommitFailed { message, emergency_file } => {
                self.put_back();
                self.world.commit_failed = Some(message);
                self.world.emergency_file = emergency_file;
            }
            Event::CommitRefused { message } => {
                self.put_back();
                let text = format!("What is typed here is the draft now: {message}");
                self.message = Some(Activity::new(self.now.wall, Severity::Warning, "editor", text));
            }
            Event::CommitRecovered => {
                self.world.commit_failed = None;
                self.world.emergency_file = None;
                self.world.journal_locked = false;
                // What was read meanwhile was read without what had not been committed.
                self.mark_changed(true);
            }
            Event::JournalLocked(locked) => self.world.journal_locked = locked,
            Event::Queued { op_id, seq } => self.queued(op_id, seq),
            Event::QueueFailed { op_id, message, hint } => {
                self.world.saving.remove(&op_id);
                self.say(Severity::Problem, "outbox", format!("The change was not queued: {message}"), hint);
                self.mark_changed(true);
            }
            Event::Done { topic, text } => {
                self.say(Severity::Info, topic, text, None);
                self.mark_changed(true);
            }
            Event::Answered { seq, queued, sent } => {
                self.tell_queued(Told { seq, message: queued, sent });
                self.mark_changed(true);
            }
            Event::Told(activity) => {
                self.message = Some(activity);
                self.mark_changed(true);
            }
            Event::Refused { topic, text, hint } => self.say(Severity::Warning, topic, text, hint),
            Event::RuleKept { rule, place } => self.rule_kept(&rule, &place, effects),
            Event::Changed(changed) => self.loads.mark(&changed),
            Event::Status { sources, leadership } => {
                self.world.sources = sources;
                self.world.leadership = leadership;
                self.connectivity.remember(&self.world);
                self.end_question();
            }
            Event::Noticed(activity) => self.noticed(activity),
            Event::EditorReturned(edited) => self.editor_returned(edited, effects),
            Event::DemoNetwork { cut } => self.world.network_cut = cut,
        }
    }

    /// What a guard asked was answered, here or elsewhere: it is not asked any more.
    fn end_question(&mut self) {
        let Some((text, is_open)) = &mut self.question else { return };
        if self.world.sources.iter().flat_map(|source| &source.collections).any(|status| status.guard.is_some()) {
            *is_open = true;
        } else if *is_open {
            self.message.take_if(|message| message.text == *text);
            self.question = None;
        }
    }

    /// Local data changed by what the user did here.
    fn mark_changed(&mut self, records: bool) {
        self.loads.mark(&Changed { records, outbox: true, activity: true, drafts: true });
    }

    fn queued(&mut self, op_id: OpId, seq: Seq) {
        if let Some(Saving { record, text, is_new }) = self.world.saving.remove(&op_id) {
            let together = self.together.take().filter(|_| text == "delete");
            let (count, first) = together.map_or((1, seq), |(count, first)| (count + 1, first));
            let is_more = self.jobs.iter().any(|(_, job)| matches!(job, Job::Delete));
            self.together = (is_more && text == "delete").then_some((count, first));
            let what = match count {
                1 => format!("{record} {text} (op {seq})"),
                _ => format!("{count} deletions (ops {first} to {seq}), each taken back by itself"),
            };
            self.tell_queued(Told { seq, message: format!("Queued: {what}"), sent: format!("Sent: {what}") });
            if is_new && self.records.may_show(&record.collection) {
                self.records.seek(record.id);
            }
        }
        self.mark_changed(true);
    }

    fn tell_queued(&mut self, told: Told) {
        let hint = self.keymap.any_key(Action::Undo).map(|key| format!("{key} undo"));
        self.say(Severity::Info, "outbox", &*told.message, hint);
        self.told = Some(told);
    }

    /// The message row says of a change that it is queued, with the key that takes it back, until it was sent.
    fn note_sent(&mut self, history: &[Op]) {
        let is_said = |told: &Told| self.message.as_ref().is_some_and(|message| message.text == told.message);
        let Some(told) = self.told.take_if(|told| !is_said(told) || has_been_sent(told.seq, history)) else { return };
        if is_said(&told) {
            self.message = Some(Activity::new(self.now.wall, Severity::Info, "outbox", told.sent));
        }
    }

    /// The engine's rows are in the log already. Their text shows unless it would push away something more urgent.
    fn noticed(&mut self, mut activity: Activity) {
        // The log says it in words for every place that it is read at; here a key does it.
        if activity.topic == "conflict" && activity.severity == Severity::Warning {
            let key = self.keymap.any_key(Action::OpenConflicts);
            activity.hint = key.map(|key| format!("{key} compares both versions; nothing else waits for it"));
        } else if activity.hint.as_deref() == Some(STOPPED_HINT) {
            self.question = Some((activity.text.clone(), false));
            activity.hint = self.keymap.any_key(Action::FocusSync).map(|key| format!("{key} answers it"));
        }
        let rank = |severity: Severity| match severity {
            Severity::Problem => 2,
            Severity::Warning => 1,
            Severity::Info | Severity::Draft => 0,
        };
        let shown = self.message.as_ref().map_or(-1, |message| rank(message.severity));
        if rank(activity.severity) > shown {
            self.unread = (activity.severity == Severity::Warning).then(|| self.now.wall.plus(LONG_ENOUGH));
            self.message = Some(activity);
        }
        self.loads.mark(&Changed { activity: true, ..Changed::default() });
    }

    // Loads.

    /// Asks what the panes on the screen need and was not asked in this form yet.
    pub(super) fn refresh(&mut self, effects: &mut Vec<Effect>) {
        self.loads.refresh(None, self.own_needs(), effects);
        for name in PaneName::ALL {
            // The outbox and the main panes answer for the header and for each other even while covered.
            let wanted = Screen::MAIN.contains(&name) || self.screen.overlays.contains(&name);
            if wanted {
                let needs = with_pane!(self, name, |pane, cx| pane.needs(&cx));
                self.loads.refresh(Some(name), needs, effects);
            } else {
                self.loads.forget(Some(name));
            }
        }
    }

    fn own_needs(&self) -> Vec<Need> {
        let mut needs = vec![Need::Overview];
        needs.extend(self.jobs.first().map(|(record, _)| Need::Record(record.clone())));
        needs.extend((!self.merges.is_empty()).then_some(Need::Conflicts));
        // Whether it was sent is to be said where no outbox is on the screen too.
        needs.extend(self.told.is_some().then_some(Need::Outbox { after: None, limit: 1, history: JUST_SETTLED }));
        needs
    }

    fn loaded(&mut self, owner: Option<PaneName>, need: &Need, found: &Found, effects: &mut Vec<Effect>) {
        match found {
            Found::Overview(overview) => {
                self.world.overview.clone_from(overview);
            }
            Found::Outbox { counts, history, .. } => {
                self.world.counts = *counts;
                self.note_sent(history);
                self.greet();
            }
            _ => {}
        }
        match owner {
            Some(name) => {
                self.editor.set_unsaved(self.has_unsaved_drafts());
                let outcome = with_pane!(self, name, |pane, cx| pane.load(need, found, &cx));
                let said = self.message.take();
                self.carry_out(outcome, effects);
                // What came of the user's own key stays; a remark about data is in the log in any case.
                let remark = self.message.as_ref().is_none_or(|message| message.severity == Severity::Info);
                if said.is_some() && remark {
                    self.message = said;
                }
            }
            None => match (need, found) {
                (Need::Record(record), Found::Record(view)) => self.run_job(record, view, effects),
                (Need::Conflicts, Found::Conflicts(conflicts)) => self.take_merges(conflicts, effects),
                _ => {}
            },
        }
    }

    // Input.

    fn key(&mut self, key: &KeyInput, effects: &mut Vec<Effect>) {
        if key.key() == keybinds::Key::Ignored {
            return;
        }
        if self.confirm.is_some() {
            return self.answer(key, effects);
        }
        if self.is_opening_editor() {
            return match self.keymap.look_up(&[Scope::Editor], &[*key]) {
                Lookup::Found(action) if is_safe_unseen(action) => self.act(action, None, effects),
                _ => self.ahead.push(Ahead::Key(*key)),
            };
        }
        let scopes = match Class::of(self.setup.size) {
            Class::TooSmall => vec![Scope::Global],
            _ => self.scopes(),
        };
        let mut keys: Vec<KeyInput> =
            self.screen.pending.iter().filter_map(|text| keymap::parse_key(text).ok()).collect();
        let begun = !keys.is_empty();
        self.screen.pending.clear();
        keys.push(*key);
        match self.keymap.look_up(&scopes, &keys) {
            Lookup::Found(action) => {
                if Class::of(self.setup.size) == Class::TooSmall && !is_safe_unseen(action) {
                    return;
                }
                self.clear_message();
                self.act(action, None, effects);
            }
            Lookup::Begun => {
                self.screen.pending = keys.iter().map(keymap::show_key).collect();
            }
            Lookup::Unknown if begun => {}
            Lookup::Unknown => {
                if Class::of(self.setup.size) == Class::TooSmall || !self.takes_text() {
                    return;
                }
                self.clear_message();
                let outcome = with_pane!(self, self.screen.top(), |pane, cx| pane.input(key, &cx));
                self.carry_out(outcome, effects);
            }
        }
    }

    /// A message was read by whoever goes on typing; not one that came by itself a moment ago. A problem stays until it is
    /// replaced.
    fn clear_message(&mut self) {
        let is_unread = self.unread.is_some_and(|until| self.now.wall < until);
        if !is_unread && self.message.as_ref().is_some_and(|message| message.severity != Severity::Problem) {
            self.message = None;
        }
    }

    fn answer(&mut self, key: &KeyInput, effects: &mut Vec<Effect>) {
        use keybinds::{Key, Mods};
        match (key.key(), key.mods()) {
            (Key::Char('y' | 'Y') | Key::Enter, Mods::NONE) => {
                if let Some(question) = self.confirm.take() {
                    self.carry_out(question.then, effects);
                }
            }
            (Key::Char('n' | 'N' | 'q') | Key::Esc, Mods::NONE) | (Key::Char('c'), Mods::CTRL) => self.confirm = None,
            _ => {}
        }
    }

    fn pasted(&mut self, text: &str, effects: &mut Vec<Effect>) {
        if self.confirm.is_none() && self.is_opening_editor() {
            return self.ahead.push(Ahead::Pasted(text.to_owned()));
        }
        if self.confirm.is_some() || !self.takes_text() {
            return self.say(
                Severity::Info,
                "session",
                "Pasted text runs no keys; open an input first",
                Some("`/` filters, `e` edits".to_owned()),
            );
        }
        let outcome = with_pane!(self, self.screen.top(), |pane, cx| pane.paste(text, &cx));
        self.carry_out(outcome, effects);
    }

    fn mouse(&mut self, mouse: Mouse, effects: &mut Vec<Effect>) {
        if !self.setup.settings.mouse || self.confirm.is_some() {
            return;
        }
        let layout = self.layout();
        if layout.class == Class::TooSmall {
            return;
        }
        if layout.hints.contains(mouse.column, mouse.row) {
            if mouse.kind == MouseKind::Press && self.hint_apart().is_none() {
                let hints = place_hints(&self.hints(), layout.hints.width);
                let hit = hints.into_iter().rev().find(|(at, _)| *at <= mouse.column);
                if let Some((at, hint)) = hit
                    && usize::from(mouse.column - at) < hint.width()
                {
                    self.act(hint.action, None, effects);
                }
            }
            return;
        }
        let Some(place) = layout.at(mouse.column, mouse.row).copied() else { return };
        let top = self.screen.top();
        let covered = !self.screen.overlays.is_empty() && place.pane != top;
        if covered {
            if mouse.kind == MouseKind::Press && place.form != Form::Full {
                self.act(Action::Back, None, effects);
            }
            return;
        }
        if mouse.kind == MouseKind::Press && Screen::MAIN.contains(&place.pane) && self.screen.overlays.is_empty() {
            self.screen.focus = place.pane;
        }
        let inside = match (place.pane, place.form) {
            (PaneName::Outbox, Form::Full) => crate::app::geometry::outbox_split(place.area).0.inner(),
            (PaneName::Vault, Form::Full) => crate::app::geometry::vault_split(place.area).0.inner(),
            (PaneName::Drafts, Form::Full) => crate::app::geometry::drafts_split(place.area).0.inner(),
            (PaneName::Conflicts, Form::Full) => crate::app::geometry::conflict_split(place.area).fields.inner(),
            _ => place.room(),
        };
        if !inside.contains(mouse.column, mouse.row) {
            return;
        }
        let (column, row) = (mouse.column - inside.x, mouse.row - inside.y);
        let outcome = with_pane!(self, place.pane, |pane, cx| pane.mouse(column, row, mouse.kind, &cx));
        self.carry_out(outcome, effects);
    }

    // Actions and outcomes.

    /// Carries an action out: by the topmost pane, else by the app.
    pub(super) fn act(&mut self, action: Action, argument: Option<&str>, effects: &mut Vec<Effect>) {
        let top = self.screen.top();
        let unzooms = action == Action::Back
            && self.screen.zoom
            && self.screen.overlays.is_empty()
            && !(top == PaneName::Records && self.records.shows_filter())
            && !(top == PaneName::Outbox && self.outbox.splitting().is_some());
        if unzooms {
            self.screen.zoom = false;
            return;
        }
        if argument.is_none() {
            let outcome = with_pane!(self, top, |pane, cx| pane.handle(&action, &cx));
            if outcome.used {
                return self.carry_out(outcome, effects);
            }
        }
        self.global(action, argument, effects);
    }

    pub(super) fn carry_out(&mut self, outcome: Outcome, effects: &mut Vec<Effect>) {
        let by = self.screen.top();
        for effect in outcome.effects {
            if let Effect::Copy { what, .. } = &effect {
                let text = format!("Copied {what}");
                self.message = Some(Activity::new(self.now.wall, Severity::Info, "session", text));
            }
            effects.push(effect);
        }
        let marks = |write: &DraftWrite| !matches!(write, DraftWrite::Append { .. } | DraftWrite::RequestCommit { .. });
        for write in &outcome.drafts {
            if let DraftWrite::Discard { key } = write {
                self.editor.forget(key, true);
            }
        }
        if outcome.drafts.iter().any(marks) {
            // Begun or ended: the marks of rows and fields are read again once this is committed.
            self.loads.mark(&Changed { drafts: true, ..Changed::default() });
        }
        self.drafts.extend(outcome.drafts);
        for notice in outcome.notices {
            self.say(notice.severity, notice.topic, notice.text, notice.hint);
        }
        for request in outcome.requests {
            self.request(by, request, effects);
        }
    }

    pub(super) fn start_job(&mut self, record: crate::model::ids::RecordKey, job: Job, effects: &mut Vec<Effect>) {
        let at_hand = self.record.view().filter(|view| view.key == record && view.is_whole()).cloned();
        match at_hand {
            Some(view) => self.do_job(job, &view, effects),
            None => self.jobs.push((record, job)),
        }
    }

    fn run_job(
        &mut self,
        record: &crate::model::ids::RecordKey,
        view: &crate::model::record::RecordView,
        effects: &mut Vec<Effect>,
    ) {
        if self.jobs.first().is_some_and(|(wanted, _)| wanted == record) {
            let (_, job) = self.jobs.remove(0);
            self.do_job(job, view, effects);
            self.go_on_typing(effects);
        }
    }

    /// The record of the first job cannot be read: what waits for it does not happen at some later time.
    fn drop_job(&mut self, record: &crate::model::ids::RecordKey) {
        if self.jobs.first().is_some_and(|(wanted, _)| wanted == record) {
            self.jobs.remove(0);
            self.ahead.clear();
        }
    }

    fn is_opening_editor(&self) -> bool {
        self.jobs.iter().any(|(_, job)| matches!(job, Job::Edit(_)))
    }

    /// Hands what was typed ahead to the editor it was meant for. Where none could be opened it is nobody's.
    fn go_on_typing(&mut self, effects: &mut Vec<Effect>) {
        if self.is_opening_editor() {
            return;
        }
        let ahead = std::mem::take(&mut self.ahead);
        if self.screen.top() != PaneName::Editor {
            return;
        }
        for typed in ahead {
            match typed {
                Ahead::Key(key) => self.key(&key, effects),
                Ahead::Pasted(text) => self.pasted(&text, effects),
            }
        }
    }

    /// Closes an overlay.
    pub(super) fn close(&mut self, pane: PaneName) {
        self.screen.close(pane);
        if pane == PaneName::Editor {
            self.editor.close();
            self.screen.in_place = false;
        }
    }
}

/// By itself, or as a part of the change before it.
fn has_been_sent(seq: Seq, history: &[Op]) -> bool {
    let Some(op) = history.iter().find(|op| op.seq == seq) else { return false };
    let took_it_along = |other: &Op| {
        other.record == op.record
            && other.seq < seq
            && other.state == OpState::Acked
            && other.settled_at >= op.settled_at
    };
    op.state == OpState::Acked || (op.state == OpState::Superseded && history.iter().any(took_it_along))
}

/// What may be done while nothing of it can be seen.
fn is_safe_unseen(action: Action) -> bool {
    matches!(action, Action::Quit | Action::Suspend | Action::Redraw)
}

fn subject(need: &Need) -> String {
    match need {
        Need::Window { query, .. } | Need::Rank { query, .. } => format!("`{}`", query.collection),
        Need::Record(record) | Need::Shown(record) => format!("`{record}`"),
        Need::Overview => "the collections".to_owned(),
        Need::Outbox { .. } | Need::Op(_) | Need::Plan(_) => "the outbox".to_owned(),
        Need::Conflicts => "the conflicts".to_owned(),
        Need::Drafts { .. } => "the drafts".to_owned(),
        Need::Activity { .. } => "the activity log".to_owned(),
        Need::Vault { .. } | Need::KeptVersion(_) => "the vault".to_owned(),
        Need::Sessions => "the sessions".to_owned(),
        Need::Moments(_) => "the history".to_owned(),
    }
}
