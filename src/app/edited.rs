//! What `$EDITOR` left, put where it belongs: into the open sheet, into a draft that is not open, into a conflict's work.
//!
//! Nothing of it is thrown away: what has no place here stays in its file, and the user is told where that is.

use std::sync::Arc;

use crate::{
    app::{
        App, Job,
        effect::{Effect, Need, Subject},
        event::{Edited, Found, NoText},
        pane::{Cx, Outcome, Pane as _, PaneName},
        panes::editor::{Begin, Editor, name_of, subject},
        with_pane,
    },
    model::{
        activity::Severity,
        conflict::Conflict,
        draft::{DraftKey, DraftTarget},
        record::RecordView,
    },
};

const HINT: &str = "ctrl-z there takes it back";

impl App {
    pub(super) fn editor_returned(&mut self, edited: Edited, effects: &mut Vec<Effect>) {
        match &edited.subject {
            Subject::Draft(key) => {
                let key = key.clone();
                self.draft_returned(key, edited, effects);
            }
            Subject::Merge(id) => {
                let id = *id;
                self.merge_returned(id, edited, effects);
            }
        }
    }

    fn draft_returned(&mut self, key: DraftKey, edited: Edited, effects: &mut Vec<Effect>) {
        let is_open = self.editor.sheet().is_some_and(|sheet| sheet.key == key && sheet.ready);
        let Edited { text, file, late, .. } = edited;
        match text {
            text if is_open => self.fill_open_sheet(text, file, late, effects),
            Ok(text) => self.start_job(key.record, Job::TakeEdited { target: key.target, text, file }, effects),
            Err(nothing) => {
                let text = format!("Your editor: {}", nothing.reason);
                self.say(Severity::Warning, "editor", text, Some(nothing.hint()));
            }
        }
    }

    fn fill_open_sheet(
        &mut self,
        text: Result<String, NoText>,
        file: Option<String>,
        late: bool,
        effects: &mut Vec<Effect>,
    ) {
        let outcome = self.with_editor(|editor, cx| editor.returned(text, cx));
        self.carry_out(outcome, effects);
        if late && let Some(sheet) = self.editor.sheet() {
            let text = format!("What your editor left of {} was found and is here", name_of(sheet));
            self.say(Severity::Draft, "editor", text, Some("ctrl-z takes it back".to_owned()));
        }
        is_taken(file, true, effects);
    }

    fn with_editor(&mut self, act: impl FnOnce(&mut Editor, &Cx<'_>) -> Outcome) -> Outcome {
        let (room, full) = (self.room(PaneName::Editor), self.is_full(PaneName::Editor));
        let cx = Cx { at: &self.now, setup: &self.setup, world: &self.world, room, full };
        act(&mut self.editor, &cx)
    }

    /// The record of a text that is not open was read.
    pub(super) fn take_edited(
        &mut self,
        view: &RecordView,
        target: DraftTarget,
        text: String,
        file: Option<String>,
        effects: &mut Vec<Effect>,
    ) {
        let key = DraftKey { record: view.key.clone(), target };
        if self.editor.sheet().is_some_and(|sheet| sheet.key == key) {
            let found = Found::Record(Arc::new(view.clone()));
            let need = Need::Record(view.key.clone());
            let outcome = with_pane!(self, PaneName::Editor, |pane, cx| pane.load(&need, &found, &cx));
            self.carry_out(outcome, effects);
            return self.fill_open_sheet(Ok(text), file, true, effects);
        }
        let document = subject(&key.target, view);
        let why_not = match key.target {
            _ if self.setup.is_read_only(&key.record.collection) => Some("is read only"),
            DraftTarget::Op(_) if document.is_none() => Some("has no such op waiting any more"),
            DraftTarget::New | DraftTarget::Op(_) => None,
            _ if document.is_none() => Some("is gone"),
            _ => None,
        };
        if let Some(why) = why_not {
            return self.has_no_place(&format!("{} {why}", key.record), file, effects);
        }
        let begin = Begin {
            document: document.clone(),
            base: document,
            base_revision: view.base.as_ref().and_then(|base| base.revision.clone()),
            draft: view.drafts.iter().find(|draft| draft.key == key).cloned(),
            ops: view.ops.clone(),
            key,
        };
        let outcome = self.with_editor(|editor, cx| editor.take_aside(begin, &text, cx)).hint(HINT);
        self.carry_out(outcome, effects);
        is_taken(file, true, effects);
    }

    fn merge_returned(&mut self, id: i64, edited: Edited, effects: &mut Vec<Effect>) {
        let is_here = self.screen.top() == PaneName::Conflicts
            && self.conflicts.selected().is_some_and(|conflict| conflict.id == id);
        if is_here || edited.text.is_err() {
            let outcome = self.conflicts.returned(edited.text);
            self.carry_out(outcome, effects);
            return is_taken(edited.file, true, effects);
        }
        self.merges.push(edited);
    }

    /// The conflicts were read for merges whose conflict is not on the screen.
    pub(super) fn take_merges(&mut self, conflicts: &[Conflict], effects: &mut Vec<Effect>) {
        for Edited { subject, text, file, .. } in std::mem::take(&mut self.merges) {
            let (Subject::Merge(id), Ok(text)) = (subject, text) else { continue };
            let open = conflicts.iter().find(|conflict| conflict.id == id && conflict.resolved_at.is_none());
            let Some(conflict) = open else {
                self.has_no_place(&format!("conflict c{id} is settled"), file, effects);
                continue;
            };
            self.conflicts.keep_text(id, text);
            let told = format!("What your editor left of the merge of {} was found and is kept", conflict.record);
            self.say(Severity::Draft, "conflicts", told, Some("open the conflict, `E` goes on with it".to_owned()));
            is_taken(file, true, effects);
        }
    }

    fn has_no_place(&mut self, why: &str, file: Option<String>, effects: &mut Vec<Effect>) {
        let place = file.as_deref().unwrap_or("its file");
        self.say(
            Severity::Warning,
            "editor",
            format!("What your editor left has no place here: {why}"),
            Some(format!("it is kept in {place}")),
        );
        is_taken(file, false, effects);
    }
}

fn is_taken(file: Option<String>, taken: bool, effects: &mut Vec<Effect>) {
    effects.extend(file.map(|file| Effect::EditedFile { file, taken }));
}
