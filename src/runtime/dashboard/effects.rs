//! Carries out the app's effects: questions to the store, wishes to the engine, the demo's switches.

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
};

use super::{Dashboard, End, handover::has_shell};
use crate::{
    app::{
        effect::{Answer, DemoCommand, Effect, Rule},
        event::{Changed, Event},
    },
    config,
    model::{
        activity::{Activity, Severity},
        conflict::Take,
        ids::{OpId, Seq},
        op::OpCommand,
        sync_status::SyncRequest,
        time::Clock as _,
    },
    store::{QueueEdit, Resolve, StoreError, Undone},
    terminal,
};

impl Dashboard {
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Load { ticket, need } => self.loader.ask(ticket, need),
            Effect::Repaint => self.repaint(),
            Effect::Queue { op, draft } => {
                let op_id = op.op_id;
                let reply = self.store.queue(QueueEdit { op: *op, draft, session: None, activity: None });
                self.replies.push(Box::pin(async move {
                    match reply.await {
                        Ok(queued) => vec![Event::Queued { op_id, seq: queued.seq }, everything_changed()],
                        Err(error) => {
                            vec![Event::QueueFailed { op_id, hint: hint(&error), message: error.to_string() }]
                        }
                    }
                }));
            }
            Effect::Outbox { seqs, command } => {
                let reply = self.store.command(seqs, command, self.clock.at().wall);
                self.push_reply("outbox", async move { reply.await.map(|changed| done(command, changed.len())) });
            }
            Effect::Split { seq, places, op_ids } => {
                let reply = self.store.split_op(seq, places, op_ids, self.clock.at().wall);
                self.push_reply("outbox", async move {
                    let (rest, held) = reply.await?;
                    Ok(format!("Split op {seq}: op {rest} goes, op {held} is held"))
                });
            }
            Effect::Undo { op_id } => {
                let at = self.clock.at().wall;
                let told_sent = Arc::clone(&self.told_sent);
                let reply = self.store.undo_after(op_id, at, Seq(told_sent.load(Ordering::Relaxed)));
                self.replies.push(Box::pin(async move {
                    let topic = "outbox";
                    let told = |text| Event::Told(Activity::new(at, Severity::Info, topic, text));
                    let undone = reply.await;
                    if let Ok(Some(sent @ Undone::Sent { seq, .. })) = &undone {
                        told_sent.store(seq.0, Ordering::Relaxed);
                        let text = sent.in_words().unwrap_or_default();
                        return vec![Event::Done { topic, text }];
                    }
                    match undone.and_then(|undone| undone.map(|undone| undone.in_words()).transpose()) {
                        Ok(Some(text)) => vec![told(text), everything_changed()],
                        Ok(None) => vec![Event::Done { topic, text: "There is nothing to undo".to_owned() }],
                        Err(error) => vec![refused(topic, &error)],
                    }
                }));
            }
            Effect::Resolve { conflict, take, document, seen, op_id } => {
                let (seen, at, author) = (Some(seen), self.clock.at().wall, String::new());
                let reply = self.store.resolve(Resolve { conflict, take, document, seen, op_id, at, author });
                self.replies.push(Box::pin(async move {
                    let topic = "outbox";
                    let done = match reply.await {
                        Ok(Some(seq)) => {
                            let text = |done: &str| format!("{} {done} as op {seq}", answer(take));
                            Event::Answered { seq, queued: text("queued"), sent: text("sent") }
                        }
                        Ok(None) => {
                            let text = "Theirs stays: nothing is left to send; the vault keeps yours".to_owned();
                            Event::Done { topic, text }
                        }
                        Err(error) => return vec![refused(topic, &error)],
                    };
                    vec![done, everything_changed()]
                }));
            }
            Effect::KeepRule(rule) => self.keep_rule(rule),
            Effect::SettleAll { answers, text } => self.settle_all(answers, text),
            Effect::Sync(request) => self.request(request),
            Effect::Copy { text, what } => {
                let sequence = terminal::copy_sequence(&text);
                self.terminal.backend_mut().send_sequence(sequence);
                tracing::debug!("copied {what}");
            }
            Effect::OpenEditor { subject, text, suffix } => self.open_editor(subject, &text, suffix),
            Effect::EditedFile { file, taken } => self.edited.settle(file, taken),
            Effect::Demo(command) => self.demo(command),
            Effect::SwitchSession { .. }
            | Effect::RenameSession { .. }
            | Effect::CopySession { .. }
            | Effect::DeleteSession { .. }
            | Effect::KeepMoment { .. } => self.of_session(effect),
            Effect::Suspend if !has_shell() => {
                let text = "There is no shell to go back to: this terminal was opened for ebbtide";
                self.handle(Event::Noticed(Activity::new(self.clock.at().wall, Severity::Warning, "session", text)));
            }
            Effect::Suspend => self.suspend(),
            Effect::Quit => self.end = Some(End::Quit),
        }
    }

    /// A journal command whose answer is a sentence. What it changed is looked at by the panes and by the engine.
    pub(super) fn push_reply(
        &mut self,
        topic: &'static str,
        reply: impl Future<Output = Result<String, StoreError>> + 'static,
    ) {
        self.replies.push(Box::pin(async move {
            match reply.await {
                Ok(text) => vec![Event::Done { topic, text }, everything_changed()],
                Err(error) => vec![refused(topic, &error)],
            }
        }));
    }

    /// Writes a rule into the configuration, on a thread of its own: disks take their time.
    pub(super) fn keep_rule(&mut self, rule: Box<Rule>) {
        let path = self.config_file.clone();
        self.replies.push(Box::pin(async move {
            let place = path.display().to_string();
            let written = tokio::task::spawn_blocking(move || {
                config::keep_rule(&path, &rule.collection, &rule.lesson.pattern, rule.lesson.rule).map(|()| rule)
            });
            match written.await {
                Ok(Ok(rule)) => vec![Event::RuleKept { rule, place }],
                Ok(Err(error)) => vec![not_kept(&error, &place)],
                Err(error) => vec![not_kept(&error, &place)],
            }
        }));
    }

    pub(super) fn settle_all(&mut self, answers: Vec<Answer>, text: String) {
        let ask = |Answer { conflict, take, document, seen }| {
            let at = self.clock.at();
            let (seen, op_id, at, author) = (Some(seen), OpId::new(&at), at.wall, String::new());
            self.store.resolve(Resolve { conflict, take, document, seen, op_id, at, author })
        };
        let replies: Vec<_> = answers.into_iter().map(ask).collect();
        self.replies.push(Box::pin(async move {
            let (mut settled, mut refused) = (0_usize, Vec::new());
            for reply in replies {
                match reply.await {
                    Ok(_) => settled += 1,
                    Err(error) => {
                        refused.push(Event::Refused { topic: "outbox", hint: hint(&error), text: error.to_string() })
                    }
                }
            }
            let text = match settled {
                1 => format!("1 conflict is settled: {text}"),
                many => format!("{many} conflicts are settled: {text}"),
            };
            let mut events = vec![Event::Done { topic: "outbox", text }, everything_changed()];
            events.extend(refused);
            events
        }));
    }

    pub(super) fn request(&mut self, request: SyncRequest) {
        if let Some(engine) = &self.engine {
            engine.request(request);
        }
    }

    pub(super) fn demo(&mut self, command: DemoCommand) {
        let Some(demo) = &self.demo else { return };
        match command {
            DemoCommand::CutNetwork | DemoCommand::RestoreNetwork => {
                let cut = command == DemoCommand::CutNetwork;
                demo.set_network_cut(cut);
                self.request(SyncRequest::Probe { source: None });
                let _ = self.report.send(Event::DemoNetwork { cut });
            }
            DemoCommand::SomebodyEdits => {
                demo.somebody_edits();
                let text = "Demo: somebody else changes a few records, those you are editing first";
                self.handle(Event::Told(Activity::new(self.clock.at().wall, Severity::Info, "demo", text)));
            }
        }
    }
}

pub(super) fn everything_changed() -> Event {
    Event::Changed(Changed { records: true, outbox: true, activity: true, drafts: true })
}

/// Whose version an answer to a conflict is.
pub(super) fn answer(take: Take) -> &'static str {
    match take {
        Take::Mine => "Yours is",
        Take::Theirs => "Theirs is",
        Take::Base => "The base is",
        Take::Merged => "Your merge is",
    }
}

pub(super) fn not_kept(error: &dyn std::error::Error, file: &str) -> Event {
    tracing::warn!("the rule is not kept in {file}: {error}");
    let innermost = std::iter::successors(Some(error), |error| error.source()).last().map(ToString::to_string);
    Event::Refused {
        topic: "outbox",
        text: format!("Rule not kept, nothing settled: {}", innermost.unwrap_or_default()),
        hint: Some("make the settings file writable, or add it to `fields` there".to_owned()),
    }
}

pub(super) fn done(command: OpCommand, changed: usize) -> String {
    let verb = match command {
        OpCommand::Hold => "Held",
        OpCommand::Release => "Released",
        OpCommand::Retry => "Retrying",
        OpCommand::Send => "Goes first, as soon as the server can be reached",
        OpCommand::Discard => "Discarded (kept in the vault)",
    };
    match changed {
        1 => format!("{verb}: 1 change"),
        changed => format!("{verb}: {changed} changes"),
    }
}

fn refused(topic: &'static str, error: &StoreError) -> Event {
    Event::Refused { topic, hint: hint(error), text: error.to_string() }
}

pub(super) fn hint(error: &StoreError) -> Option<String> {
    let hint = match error {
        StoreError::DiskFull { .. } => "free some space; what you typed stays as a draft",
        StoreError::Locked { .. } => "end the program that holds the lock; what you typed stays as a draft",
        StoreError::ReadOnly => "start without `--read-only` to change things",
        StoreError::NotWritable { .. } => "check the permissions of the data dir",
        _ => return None,
    };
    Some(hint.to_owned())
}
