//! The hints row, made from the commands of the topmost pane and those of everywhere.

use crate::{
    app::{
        App,
        action::Action,
        pane::{Pane, PaneName},
        panes::editor::Sheet,
        screen::Screen,
    },
    model::op::OpState,
};

/// One item of the hints row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    pub keys: String,
    pub words: String,
    pub action: Action,
}

impl Hint {
    /// Cells it takes, with the two before it.
    pub fn width(&self) -> usize {
        crate::app::text::cells::width(&self.keys) + 1 + crate::app::text::cells::width(&self.words)
    }
}

/// Which hints fit a row, and where each begins. Whole items are dropped from the right; the last one is never dropped.
pub fn place_hints(hints: &[Hint], width: u16) -> Vec<(u16, Hint)> {
    let Some((last, rest)) = hints.split_last() else { return Vec::new() };
    let width = usize::from(width);
    let mut placed = Vec::new();
    let mut at = 1;
    for hint in rest {
        if at + hint.width() + 2 + last.width() > width {
            break;
        }
        placed.push((u16::try_from(at).unwrap_or(0), hint.clone()));
        at += hint.width() + 2;
    }
    placed.push((u16::try_from(at).unwrap_or(0), last.clone()));
    placed
}

/// The hints of the topmost pane, then those of everywhere, the help last.
pub fn hints(app: &App) -> Vec<Hint> {
    // A question takes its own keys only, and names them.
    if app.confirm.is_some() {
        return Vec::new();
    }
    let scopes = app.scopes();
    let key = |action: Action| app.keymap.first_key(action, &scopes);
    let mut hints: Vec<Hint> = Vec::new();
    let top = app.screen.top();
    let typing = app.takes_text();
    let mut push = |action: Action| {
        let command = action.command();
        if hints.iter().any(|hint| hint.action == action) {
            return;
        }
        let (keys, words) = match action {
            Action::MoveDown => (pair(key(Action::MoveDown), key(Action::MoveUp)), "move"),
            Action::FocusCollections => (pair(key(Action::FocusCollections), key(Action::FocusSync)), "pane"),
            Action::Grow => (pair(key(Action::Shrink), key(Action::Grow)), "resize"),
            Action::Open if matches!(top, PaneName::Palette | PaneName::Help) => (key(action), "run"),
            Action::Open if matches!(top, PaneName::Records | PaneName::Vault) && typing => {
                (key(action), "keep the filter")
            }
            Action::Back if matches!(top, PaneName::Records | PaneName::Vault) && typing => (key(action), "clear it"),
            Action::Collapse if top == PaneName::History => (key(action), "earlier"),
            Action::Expand if top == PaneName::History => (key(action), "later"),
            Action::First if top == PaneName::History => (key(action), "newest"),
            Action::Last if top == PaneName::History => (key(action), "oldest"),
            Action::Open if top == PaneName::History => (key(action), "go back there"),
            Action::Back if top == PaneName::History => (key(action), "stay here"),
            Action::Open if top == PaneName::Recovery => (key(action), "go on with a fresh screen"),
            Action::Open if top == PaneName::Sessions && typing => (key(action), "take the name"),
            Action::Open if top == PaneName::Sessions => (key(action), "switch to it"),
            Action::Back if top == PaneName::Conflicts && typing => (key(action), "leave it half typed"),
            Action::Back if top == PaneName::Conflicts => (key(action), "later"),
            Action::Back if app.editor.is_merging() && top == PaneName::Editor => (key(Action::Back), "decide later"),
            Action::Back if top != PaneName::Welcome && !Screen::MAIN.contains(&top) => (key(action), "close"),
            Action::Back if top == PaneName::Welcome => (key(action), "skip to an empty workspace"),
            Action::CopyJson if top == PaneName::Drafts => (key(action), "copy"),
            Action::MergeDraft if app.editor.is_merging() => (key(action), "put it into the text"),
            Action::Open if top == PaneName::Conflicts && typing => (key(action), "take it"),
            Action::QueueDraft if app.editor.sheet().is_some_and(Sheet::is_scalar) => {
                (Some("enter".to_owned()), command.hint)
            }
            Action::HoldOp if app.outbox.selected().is_some_and(|op| op.state == OpState::Held) => {
                (key(action), "release")
            }
            Action::NextTab if top == PaneName::Conflicts => (key(action), "next conflict"),
            Action::NextTab if top == PaneName::Help => (key(action), "another pane"),
            Action::NextTab if typing => (key(action), "complete"),
            Action::HalfPageDown => (key(action), "more"),
            _ => (key(action), command.hint),
        };
        if let Some(keys) = keys {
            let keys = if action == Action::FocusCollections { keys.replace('/', "-") } else { keys };
            hints.push(Hint { keys, words: words.to_owned(), action });
        }
    };
    let own = match top {
        PaneName::Collections => app.collections.commands(),
        PaneName::Records => app.records.commands(),
        PaneName::Record => app.record.commands(),
        PaneName::Outbox => app.outbox.commands(),
        PaneName::Connectivity => app.connectivity.commands(),
        PaneName::Sync => app.sync.offers(&app.cx(PaneName::Sync)),
        PaneName::Conflicts => app.conflicts.commands(),
        PaneName::Editor => app.editor.commands(),
        PaneName::Log => app.log.commands(),
        PaneName::Help => app.help.commands(),
        PaneName::Palette => app.palette.commands(),
        PaneName::Goto => app.goto.commands(),
        PaneName::Sessions => app.sessions.commands(),
        PaneName::Vault => app.vault.commands(),
        PaneName::Drafts => app.draft_list.commands(),
        PaneName::Welcome => app.welcome.commands(),
        PaneName::History => app.history.commands(),
        PaneName::Recovery => app.recovery.commands(),
    };
    let demo: &[Action] = match (app.setup.demo, app.world.network_cut) {
        (false, _) => &[],
        (true, false) => &[Action::CutNetwork, Action::SomebodyEdits],
        (true, true) => &[Action::RestoreNetwork, Action::SomebodyEdits],
    };
    let is_narrow = app.setup.size.0 < 100;
    let few = match top {
        PaneName::Conflicts => 10,
        PaneName::Collections | PaneName::Records | PaneName::Record if is_narrow => 4,
        // A small screen has no room for both: what the pane is for goes first.
        _ if is_narrow => own.len(),
        _ => 6,
    };
    own.iter().take(few).copied().for_each(&mut push);
    if !typing {
        demo.iter().copied().for_each(&mut push);
        if matches!(top, PaneName::Welcome | PaneName::Recovery) {
            push(Action::Quit);
        } else if !Screen::MAIN.contains(&top) {
            push(Action::OpenPalette);
        } else {
            [Action::Zoom, Action::OpenPalette, Action::FocusCollections, Action::SyncNow]
                .into_iter()
                .for_each(&mut push);
        }
    }
    own.iter().skip(few).copied().for_each(&mut push);
    if typing && top != PaneName::Editor {
        return hints;
    }
    push(Action::OpenHelp);
    let help = hints.iter().position(|hint| hint.action == Action::OpenHelp);
    if let Some(index) = help {
        let last = hints.remove(index);
        hints.push(last);
    }
    hints
}

/// `j` and `k` as `j/k`.
fn pair(first: Option<String>, second: Option<String>) -> Option<String> {
    match (first, second) {
        (Some(first), Some(second)) => Some(format!("{first}/{second}")),
        (first, second) => first.or(second),
    }
}
