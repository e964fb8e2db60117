//! The editor as a pane: what its actions, keys and the mouse do.

use keybinds::{Key, KeyInput, Mods};

use super::{Editor, EditorSession, Sheet, TOPIC, changed, check::Reading, find::Find, fresh, stepped};
use crate::{
    app::{
        action::Action,
        effect::{Effect, Need, Subject},
        event::{Found, MouseKind},
        pane::{Cx, Outcome, Pane, PaneName, Seen},
        text::buffer::Handled,
    },
    model::{activity::Severity, draft::DraftKey},
};

impl Pane for Editor {
    const NAME: PaneName = PaneName::Editor;
    const VERSION: u16 = 1;
    type Session = EditorSession;

    fn session(&self) -> EditorSession {
        EditorSession { open: self.sheet().map(Sheet::session) }
    }

    fn restore(session: EditorSession, seen: &Seen<'_>) -> Self {
        let Some(saved) = session.open else { return Self::default() };
        let mut sheet = fresh(&DraftKey { record: saved.record, target: saved.target }, seen.drafts);
        if sheet.ready {
            sheet.buffer.set_view(saved.view);
        } else {
            // The text comes with the record; until then the view waits as it is.
            sheet.buffer.hold_view(saved.view);
        }
        sheet.id = saved.id.unwrap_or_else(|| std::mem::take(&mut sheet.id));
        sheet.in_id = saved.in_id;
        sheet.reading = saved.reading.unwrap_or(sheet.reading);
        sheet.find = saved.find;
        sheet.merging = saved.merging;
        if let Some(known) = saved.changed {
            sheet.trust_changes(&known);
        }
        sheet.judge(seen.setup, false);
        Self { open: Some(Box::new(sheet)), ..Self::default() }
    }

    fn needs(&self, _cx: &Cx<'_>) -> Vec<Need> {
        match self.sheet() {
            Some(sheet) if sheet.is_new() && sheet.id.text().trim().is_empty() => Vec::new(),
            // Its own text is here already, unless another window typed a newer one.
            Some(sheet) if sheet.ready && !sheet.wants_text => vec![Need::Shown(sheet.record_key())],
            Some(sheet) => vec![Need::Record(sheet.record_key())],
            None => Vec::new(),
        }
    }

    fn load(&mut self, _need: &Need, found: &Found, cx: &Cx<'_>) -> Outcome {
        match found {
            Found::Record(view) => self.show(view, cx),
            _ => Outcome::ignored(),
        }
    }

    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        self.fit(cx);
        if self.is_merging() {
            let outcome = self.choose(action, cx);
            if outcome.used {
                return outcome;
            }
        }
        let Some(sheet) = self.open.as_deref_mut() else { return Outcome::ignored() };
        match action {
            Action::CloseEditor | Action::Back if sheet.find.is_some() => {
                sheet.find = None;
                Outcome::used()
            }
            Action::CloseEditor | Action::Back => self.leave_and_close(),
            Action::QueueDraft => self.queue(cx),
            Action::OpenEditorProgram => {
                let suffix = if sheet.reading == Reading::Text && sheet.is_field() { ".txt" } else { ".json" };
                let subject = Subject::Draft(sheet.key.clone());
                sheet.is_out = true;
                Outcome::used().effect(Effect::OpenEditor { subject, text: sheet.buffer.text(), suffix })
            }
            Action::NextProblem => self.next_problem(cx),
            Action::EditorUndo | Action::EditorRedo if sheet.in_id => {
                let key = if *action == Action::EditorUndo { Key::Undo } else { Key::Redo };
                self.type_id(&key.into(), cx)
            }
            Action::EditorUndo => {
                let step = sheet.buffer.undo();
                let nothing = step.is_none();
                let outcome = stepped(sheet, cx, step, true);
                if nothing { outcome.notice(Severity::Info, TOPIC, "Nothing more to undo here") } else { outcome }
            }
            Action::EditorRedo => {
                let step = sheet.buffer.redo();
                stepped(sheet, cx, step, false)
            }
            Action::MergeDraft => self.merge(cx),
            Action::FormatText => self.format(cx),
            Action::FindInText => {
                sheet.in_id = false;
                sheet.find = Some(Find::begin(&sheet.buffer));
                Outcome::used()
            }
            Action::ReadOtherwise if sheet.is_field() => {
                sheet.reading = if sheet.reading == Reading::Json { Reading::Text } else { Reading::Json };
                let write = sheet.write_reading();
                sheet.judge(cx.setup, false);
                Outcome::used().draft(write)
            }
            Action::ReadOtherwise => Outcome::used().notice(Severity::Info, TOPIC, "A whole record is always JSON"),
            Action::DropDraft => self.ask_to_drop(),
            _ => Outcome::ignored(),
        }
    }

    fn takes_text(&self) -> bool {
        self.is_open() && !self.is_merging()
    }

    fn input(&mut self, key: &KeyInput, cx: &Cx<'_>) -> Outcome {
        self.fit(cx);
        let Some(sheet) = self.open.as_deref_mut() else { return Outcome::ignored() };
        let control = key.mods() == Mods::CTRL;
        if sheet.find.is_some() {
            return self.type_needle(key);
        }
        if sheet.in_id {
            return self.type_id(key, cx);
        }
        if !sheet.ready {
            return Outcome::used();
        }
        if sheet.is_scalar() && key.key() == Key::Enter && key.mods().is_empty() {
            return self.queue(cx);
        }
        let above = key.key() == Key::Up || key.key() == Key::Tab && key.mods() == Mods::SHIFT;
        if sheet.is_new() && above && !key.mods().contains(Mods::CTRL) && sheet.buffer.cursor().line == 0 {
            sheet.in_id = true;
            return Outcome::used();
        }
        let handled = sheet.buffer.handle(cx.at, key);
        let outcome = changed(sheet, cx, handled);
        if !outcome.used && control && key.key() == Key::Char('c') {
            return self.leave_and_close();
        }
        outcome
    }

    fn paste(&mut self, text: &str, cx: &Cx<'_>) -> Outcome {
        self.fit(cx);
        let Some(sheet) = self.open.as_deref_mut() else { return Outcome::ignored() };
        if let Some(find) = &mut sheet.find {
            find.needle.paste(text);
            find.search(&mut sheet.buffer);
            return Outcome::used();
        }
        if sheet.in_id {
            sheet.id.paste(text.trim());
            return self.id_changed(cx);
        }
        if !sheet.ready {
            return Outcome::used();
        }
        let step = sheet.buffer.paste(text);
        changed(sheet, cx, Handled { used: true, step, copied: None })
    }

    fn mouse(&mut self, column: u16, row: u16, kind: MouseKind, cx: &Cx<'_>) -> Outcome {
        self.fit(cx);
        let parts = self.parts(cx);
        let Some(sheet) = self.open.as_deref_mut() else { return Outcome::ignored() };
        // Given from the inner corner; the parts are laid out from the outer one.
        let (column, row) = (column + 1, row + 1);
        match kind {
            MouseKind::ScrollUp => sheet.buffer.wheel(-3),
            MouseKind::ScrollDown => sheet.buffer.wheel(3),
            MouseKind::Release => return Outcome::ignored(),
            MouseKind::Press if parts.id.contains(column, row) => {
                (sheet.in_id, sheet.find, sheet.merging) = (true, None, None);
            }
            MouseKind::Press if parts.check.inner().contains(column, row) => {
                let number = usize::from(row - parts.check.inner().y);
                if let Some((line, at)) = sheet.check.problems.get(number).and_then(|problem| problem.place) {
                    sheet.buffer.go_to_line(line, at);
                }
            }
            MouseKind::Press if parts.text.contains(column, row) || parts.gutter.contains(column, row) => {
                (sheet.in_id, sheet.find, sheet.merging) = (false, None, None);
                let cell = column.saturating_sub(parts.text.x);
                sheet.buffer.click(usize::from(row - parts.text.y), usize::from(cell), false);
            }
            MouseKind::Drag => {
                let row = row.clamp(parts.text.y, parts.text.bottom().max(parts.text.y + 1) - 1);
                let cell = column.saturating_sub(parts.text.x);
                sheet.buffer.click(usize::from(row - parts.text.y), usize::from(cell), true);
            }
            MouseKind::Press => return Outcome::ignored(),
        }
        Outcome::used()
    }

    fn commands(&self) -> Vec<Action> {
        if self.is_merging() {
            return vec![
                Action::TakeMine,
                Action::TakeTheirs,
                Action::TakeBase,
                Action::MergeDraft,
                Action::Back,
                Action::MoveDown,
                Action::NextUndecided,
                Action::Undo,
                Action::QueueDraft,
                Action::OpenHelp,
            ];
        }
        let sheet = self.sheet();
        let moved = sheet.is_some_and(|sheet| sheet.three().is_some());
        let is_one_value = sheet.is_some_and(Sheet::is_scalar);
        let mut commands = vec![Action::CloseEditor, Action::QueueDraft];
        commands.extend(moved.then_some(Action::MergeDraft));
        commands.extend(sheet.is_some_and(Sheet::is_field).then_some(Action::ReadOtherwise));
        commands.extend([Action::OpenEditorProgram, Action::EditorUndo, Action::EditorRedo]);
        if !is_one_value {
            commands.extend([Action::NextProblem, Action::FormatText, Action::FindInText]);
        }
        commands.extend([Action::DropDraft, Action::OpenHelp]);
        commands
    }
}

impl Editor {
    fn type_needle(&mut self, key: &KeyInput) -> Outcome {
        let Some(sheet) = self.open.as_deref_mut() else { return Outcome::ignored() };
        let Some(find) = &mut sheet.find else { return Outcome::ignored() };
        let back = key.mods().contains(Mods::SHIFT);
        match key.key() {
            Key::Enter => find.step(&mut sheet.buffer, !back),
            Key::Down => find.step(&mut sheet.buffer, true),
            Key::Up => find.step(&mut sheet.buffer, false),
            Key::Char('c') if key.mods() == Mods::CTRL => sheet.find = None,
            _ => {
                let before = find.needle.text().to_owned();
                if !find.needle.handle(key) {
                    return Outcome::ignored();
                }
                if find.needle.text() != before {
                    find.search(&mut sheet.buffer);
                }
            }
        }
        Outcome::used()
    }

    fn type_id(&mut self, key: &KeyInput, cx: &Cx<'_>) -> Outcome {
        let Some(sheet) = self.open.as_deref_mut() else { return Outcome::ignored() };
        match key.key() {
            Key::Enter | Key::Tab | Key::Down => {
                sheet.in_id = false;
                return Outcome::used();
            }
            Key::Char('c') if key.mods() == Mods::CTRL => return self.leave_and_close(),
            _ => {}
        }
        let before = sheet.id.text().to_owned();
        if !sheet.id.handle(key) {
            return Outcome::ignored();
        }
        if sheet.id.text() == before { Outcome::used() } else { self.id_changed(cx) }
    }

    fn id_changed(&mut self, cx: &Cx<'_>) -> Outcome {
        let Some(sheet) = self.open.as_deref_mut() else { return Outcome::ignored() };
        sheet.id_taken = false;
        let write = sheet.write_id();
        sheet.judge(cx.setup, false);
        Outcome::used().draft(write)
    }
}
