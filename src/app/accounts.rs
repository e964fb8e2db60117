//! Edits of one account that another one would send: the question before it does.

use crate::{
    app::{
        App,
        effect::Effect,
        pane::{Outcome, Question},
        words,
    },
    model::sync_status::{SourceStatus, SyncRequest},
};

impl App {
    /// Asks about the source the cursor of the connectivity pane is on, else about the first one where edits wait.
    pub(super) fn ask_about_account(&mut self) {
        let waits = |status: &&SourceStatus| !status.account.foreign.is_empty();
        let preferred = self.connectivity.cursor().and_then(|source| self.world.status_of(source)).filter(waits);
        let Some(status) = preferred.or_else(|| self.world.sources.iter().find(waits)) else {
            return self.tell("No edit waits for another account");
        };
        let (source, account) = (status.source.clone(), &status.account);
        let principal = account.principal.as_deref().unwrap_or("who is signed in");
        let edits = account.foreign.iter().map(|foreign| foreign.ops).sum();
        let mut lines: Vec<String> = account
            .foreign
            .iter()
            .map(|foreign| format!("{} made as {}", words::count(foreign.ops, "edit", "edits"), foreign.author))
            .collect();
        lines.push(format!("The server will take them for edits of {principal}"));
        lines.push("Until you say yes they wait here, and nothing of them is lost".to_owned());
        self.confirm = Some(Question {
            title: format!("Send {} to {source} as {principal}?", words::count(edits, "edit", "edits")),
            lines,
            yes: "send them".to_owned(),
            then: Outcome::used().effect(Effect::Sync(SyncRequest::ConfirmAuthor { source })),
        });
    }
}
