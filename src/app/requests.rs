//! What panes ask of the rest of the screen, and the actions that belong to no pane.

use crate::{
    app::{
        App, Job,
        action::Action,
        edits::{self, Ground},
        effect::Effect,
        event::Changed,
        pane::{PaneName, Request},
        panes::{
            editor::{Begin, Sheet, name_of_key, subject},
            outbox::describe,
            record::pretty,
        },
        world::Saving,
    },
    model::{
        activity::Severity,
        draft::{Draft, DraftKey, DraftTarget, DraftText, DraftVersion, DraftWrite, Versions},
        ids::{CollectionKey, RecordKey},
        json::{self, Pointer},
        op::{NewOp, OpKind},
        record::RecordView,
        time::Timestamp,
    },
};

impl App {
    pub(super) fn request(&mut self, by: PaneName, request: Request, effects: &mut Vec<Effect>) {
        match request {
            Request::Focus(pane) => {
                self.screen.focus = pane;
                if self.screen.zoom {
                    self.screen.zoom = false;
                }
            }
            Request::Close => self.close(by),
            Request::OpenCollection(key) => self.open_collection(&key),
            Request::OpenRecord(record) => self.open_record(record),
            Request::ShowRecord(record) => self.record.show(record),
            Request::Edit { record, target } => self.edit(record, target, effects),
            Request::Delete(records) => {
                self.together = None;
                for record in records {
                    self.start_job(record, Job::Delete, effects);
                }
                self.records.clear_marks();
            }
            Request::DeleteField { record, pointer } => self.start_job(record, Job::DeleteField(pointer), effects),
            Request::QueueDraft(DraftKey { record, target }) => {
                if !self.refuses(&record.collection) {
                    self.start_job(record, Job::QueueDraft(target), effects);
                }
            }
            Request::RestoreDraft(draft) => self.restore_draft(&draft),
            Request::OpenConflict(id) => {
                self.conflicts.select(id);
                self.screen.open(PaneName::Conflicts);
            }
            Request::OpenOp(seq) => {
                self.outbox.select(seq);
                self.screen.focus = PaneName::Outbox;
            }
            Request::Confirm(question) => self.confirm = Some(*question),
            Request::Queue { op, draft } => self.queue(*op, draft, effects),
            Request::StepBack => self.step_back(effects),
            Request::RunListed => {
                let [here, everywhere] = self.help.listed(&self.keymap, self.setup.demo);
                let first = here.first().filter(|_| self.help.is_at_home()).or(everywhere.first());
                if let Some(action) = first.map(|(command, _)| command.action) {
                    self.close(by);
                    self.act(action, None, effects);
                }
            }
            Request::Run(action, argument) => self.act(action, argument.as_deref(), effects),
        }
    }

    pub(super) fn open_collection(&mut self, key: &CollectionKey) {
        self.collections.select(key);
        let changed = self.records.collection() != Some(key);
        self.records.open(key.clone());
        if changed {
            self.record.show(self.records.view().cursor.clone().map(|id| key.record(id)));
        }
    }

    pub(super) fn open_record(&mut self, record: RecordKey) {
        if self.setup.collection(&record.collection).is_none() {
            let text = format!("`{}` is not configured", record.collection);
            return self.say(Severity::Warning, "records", text, None);
        }
        self.open_collection(&record.collection);
        self.records.seek(record.id.clone());
        self.record.show(Some(record));
        self.screen.focus = PaneName::Records;
        self.screen.zoom = false;
        self.screen.overlays.clear();
    }

    pub(super) fn edit(&mut self, record: RecordKey, target: DraftTarget, effects: &mut Vec<Effect>) {
        if self.refuses(&record.collection) {
            return;
        }
        self.start_job(record, Job::Edit(target), effects);
    }

    /// Says so and is true where the collection may not be edited.
    pub(super) fn refuses(&mut self, collection: &CollectionKey) -> bool {
        let refused = self.setup.is_read_only(collection);
        if refused {
            let text = format!("`{collection}` is read only");
            let hint = if self.setup.read_only {
                "start without `--read-only` to edit"
            } else {
                "set `read_only = false` for the source to edit it"
            };
            self.say(Severity::Warning, "records", text, Some(hint.to_owned()));
        }
        refused
    }

    /// The commit that precedes painting `saving` keeps the wish; then the edit is queued.
    fn queue(&mut self, op: NewOp, draft: Option<DraftText>, effects: &mut Vec<Effect>) {
        let draft = match draft {
            Some(draft) => draft,
            None => {
                let target = DraftTarget::Field(Pointer::root());
                let key = DraftKey { record: op.record.clone(), target };
                let versions = Versions { from: DraftVersion::NONE, to: DraftVersion::at(&self.now) };
                self.drafts.push(DraftWrite::Snapshot {
                    key: key.clone(),
                    snapshot: "{}".to_owned(),
                    base: op.base.clone(),
                    base_revision: op.base_revision.clone(),
                    versions,
                });
                DraftText { key, version: versions.to }
            }
        };
        self.drafts.push(DraftWrite::RequestCommit { key: draft.key.clone(), op: Box::new(op.clone()) });
        let saving = Saving { record: op.record.clone(), text: summary(&op), is_new: op.kind == OpKind::Create };
        self.world.saving.insert(op.op_id, saving);
        effects.push(Effect::Queue { op: Box::new(op), draft: Some(draft) });
    }

    /// Does what was waiting for the record to be read.
    pub(super) fn do_job(&mut self, job: Job, view: &RecordView, effects: &mut Vec<Effect>) {
        match job {
            Job::Edit(target) => self.open_editor(view, target, effects),
            Job::QueueDraft(target) => {
                self.open_editor(view, target, effects);
                if self.screen.top() == PaneName::Editor {
                    self.act(Action::QueueDraft, None, effects);
                }
            }
            Job::EditExternally => {
                self.open_editor(view, DraftTarget::Document, effects);
                self.act(Action::OpenEditorProgram, None, effects);
            }
            Job::Copy => {
                let document = view.local.as_ref().or(view.base.as_ref().map(|base| &base.document));
                if let Some(document) = document {
                    effects.push(Effect::Copy { text: pretty(document), what: "the record as JSON".to_owned() });
                    self.message = Some(crate::model::activity::Activity::new(
                        self.now.wall,
                        Severity::Info,
                        "session",
                        "Copied the record as JSON",
                    ));
                }
            }
            Job::Delete => self.make_op(&view.key, &Ground::of(view), None, effects),
            Job::TakeEdited { target, text, file } => self.take_edited(view, target, text, file, effects),
            Job::DeleteField(pointer) => {
                let mut document = view.local.as_deref().cloned();
                json::set(&mut document, &pointer, None);
                self.make_op(&view.key, &Ground::of(view), document, effects);
            }
        }
    }

    fn make_op(
        &mut self,
        record: &RecordKey,
        ground: &Ground,
        document: Option<serde_json::Value>,
        effects: &mut Vec<Effect>,
    ) {
        match edits::prepare(record, ground, document, &self.cx(PaneName::Records)) {
            Ok(op) => self.queue(op, None, effects),
            Err(refusal) => {
                let (text, hint) = refusal.text(record);
                self.say(Severity::Warning, "records", text, hint);
            }
        }
    }

    fn open_editor(&mut self, view: &RecordView, target: DraftTarget, effects: &mut Vec<Effect>) {
        let of_op = matches!(target, DraftTarget::Op(_));
        let mut document = subject(&target, view);
        let mut draft = view.drafts.iter().find(|draft| draft.key.target == target).cloned();
        let mut target = target;
        if of_op && document.is_none() {
            match self.free_from_op(view, draft.take()) {
                Ok(freed) => draft = Some(freed),
                Err(why) => {
                    let text = format!("The op of {} does not wait any more; {why}", view.key);
                    return self.say(Severity::Info, "outbox", text, None);
                }
            }
            (document, target) = (view.local.clone(), DraftTarget::Document);
        }
        // What was typed outlives its record.
        let is_recovered = draft.is_some();
        let is_new = view.local.is_none() && view.base.is_none() && !of_op;
        if is_new && !is_recovered {
            target = DraftTarget::New;
            draft = view.drafts.iter().find(|draft| draft.key.target == target).cloned();
        }
        if document.is_none() && target != DraftTarget::New && !is_recovered {
            let text = format!("{} is about to be deleted; there is nothing to edit", view.key);
            return self.say(Severity::Info, "records", text, Some("`u` takes the deletion back".to_owned()));
        }
        let in_place = matches!(target, DraftTarget::Field(_)) && !self.is_listed_above(&view.key);
        let key = DraftKey { record: view.key.clone(), target };
        let begin = Begin {
            key,
            document: document.clone(),
            base: document,
            base_revision: view.base.as_ref().and_then(|base| base.revision.clone()),
            draft,
            ops: view.ops.clone(),
        };
        self.screen.in_place = in_place;
        if in_place {
            self.screen.focus = PaneName::Record;
        }
        self.screen.open(PaneName::Editor);
        let cx = crate::app::pane::Cx {
            at: &self.now,
            setup: &self.setup,
            world: &self.world,
            room: self.room(PaneName::Editor),
            full: self.is_full(PaneName::Editor),
        };
        let outcome = self.editor.open(begin, &cx);
        self.carry_out(outcome, effects);
    }

    /// A field is edited where it is shown, unless its record is not: then its editor has the whole body.
    fn is_listed_above(&self, record: &RecordKey) -> bool {
        self.screen.overlays.contains(&PaneName::Drafts) || self.record.wanted() != Some(record)
    }

    /// The draft of an op that does not wait any more, as one of the whole record; or why it cannot be.
    fn free_from_op(&mut self, view: &RecordView, draft: Option<Draft>) -> Result<Draft, &'static str> {
        let draft = draft.ok_or("there is nothing to edit")?;
        if view.drafts.iter().any(|other| other.key.target == DraftTarget::Document) {
            return Err("the record has another draft, queue or discard that one first");
        }
        let mut sheet = Sheet::from(&draft);
        let left = std::mem::replace(&mut sheet.key.target, DraftTarget::Document);
        let version = sheet.version;
        let write = sheet.write_anew(DraftVersion::NONE);
        let freed = freed(&write, draft.updated_at);
        self.editor.forget(&sheet.key, false);
        self.drafts.extend([write, DraftWrite::Remove { key: DraftKey { target: left, ..sheet.key }, version }]);
        self.loads.mark(&Changed { drafts: true, ..Changed::default() });
        freed.ok_or("its text cannot be read")
    }

    /// A draft comes back from the vault; what is there under its name goes there for it.
    fn restore_draft(&mut self, draft: &Draft) {
        let mut sheet = Sheet::from(draft);
        sheet.version = sheet.version.next(DraftVersion::at(&self.now));
        let write = sheet.write_anew(DraftVersion::NONE);
        self.editor.forget(&draft.key, false);
        self.drafts.extend([DraftWrite::Discard { key: draft.key.clone() }, write]);
        self.loads.mark(&Changed { drafts: true, ..Changed::default() });
        self.draft_list.select(draft.key.clone());
        self.screen.open(PaneName::Drafts);
        self.say(
            Severity::Draft,
            "editor",
            format!("The draft of {} is back", name_of_key(&draft.key)),
            Some("enter opens it".to_owned()),
        );
    }
}

/// The draft that a snapshot makes.
fn freed(write: &DraftWrite, updated_at: Timestamp) -> Option<Draft> {
    let DraftWrite::Snapshot { key, snapshot, base, base_revision, versions } = write else { return None };
    Some(Draft {
        key: key.clone(),
        snapshot: snapshot.clone(),
        edits: Vec::new(),
        base: base.clone().map(Into::into),
        base_revision: base_revision.clone(),
        version: versions.to,
        commit_requested: None,
        updated_at,
    })
}

/// What an op does, in a few words: `role "editor" -> "admin"`, `3 changes`, `delete`.
pub(super) fn summary(op: &NewOp) -> String {
    match (op.kind, op.changes.as_slice()) {
        (OpKind::Delete, _) => "delete".to_owned(),
        (OpKind::Create, _) => "new record".to_owned(),
        (_, [change]) => describe(change),
        (_, changes) => format!("{} changes", changes.len()),
    }
}
