//! A rule made of a choice: from its place in the configuration to the conflicts it settles.

use crate::{
    app::{
        App,
        effect::{Effect, Rule},
    },
    model::{activity::Severity, sync_status::SyncRequest},
};

impl App {
    /// The rule holds: for what is shown, for the sync, and for the open conflicts that it settles.
    pub(super) fn rule_kept(&mut self, rule: &Rule, place: &str, effects: &mut Vec<Effect>) {
        let Rule { collection, lesson } = rule;
        let source = self.setup.sources.iter_mut().find(|source| source.name == collection.source);
        let spec =
            source.and_then(|source| source.collections.iter_mut().find(|spec| spec.name == collection.collection));
        if let Some(spec) = spec {
            spec.conflicts.learn(lesson.pattern.clone(), lesson.rule);
        }
        let (pattern, rule) = (lesson.pattern.clone(), lesson.rule);
        effects.push(Effect::Sync(SyncRequest::Learn { collection: collection.clone(), pattern, rule }));
        let answers = self.conflicts.learn(collection, lesson);
        let written = format!("`\"{}\" = \"{}\"`", lesson.pattern, lesson.rule.word());
        let text = format!("{written} is kept in {place}");
        if answers.is_empty() {
            return self.say(Severity::Info, "conflicts", text, Some("it holds until you remove it there".to_owned()));
        }
        effects.push(Effect::SettleAll { answers, text });
    }
}
