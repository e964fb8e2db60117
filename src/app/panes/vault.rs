//! The vault: versions that lost, newest first, beside what there is of their record now; any of them can be brought
//! back, as an edit like any other.

use serde::{Deserialize, Serialize};

use crate::{
    app::{
        action::Action,
        edits::{self, Ground, Refusal},
        effect::Need,
        event::{Found, MouseKind},
        list,
        pane::{Cx, Outcome, Pane, PaneName, Question, Request, Seen},
        text::TextInput,
    },
    model::{
        activity::Severity,
        vault::{Kept, KeptVersion, VaultEntry},
    },
};

const PAGE: usize = 200;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vault {
    session: VaultSession,
    entries: Vec<VaultEntry>,
    loaded: bool,
    /// The version at the cursor, once it is read.
    kept: Option<KeptVersion>,
    /// The cursor goes to the last line once the rest is read.
    to_last: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaultSession {
    cursor: Option<i64>,
    top: Option<i64>,
    limit: usize,
    filter: TextInput,
    typing: bool,
    tab: Tab,
    /// Lines of the version above what is drawn of it.
    scroll: usize,
}

impl Default for VaultSession {
    fn default() -> Self {
        Self {
            cursor: None,
            top: None,
            limit: PAGE,
            filter: TextInput::default(),
            typing: false,
            tab: Tab::Changes,
            scroll: 0,
        }
    }
}

/// What is shown of a version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tab {
    /// What restoring it would change.
    #[default]
    Changes,
    /// The whole version.
    Text,
}

impl Vault {
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Newest first.
    pub fn entries(&self) -> &[VaultEntry] {
        &self.entries
    }

    pub fn filter(&self) -> &TextInput {
        &self.session.filter
    }

    pub fn shows_filter(&self) -> bool {
        self.session.typing || !self.session.filter.is_empty()
    }

    pub fn tab(&self) -> Tab {
        self.session.tab
    }

    pub fn scroll(&self) -> usize {
        self.session.scroll
    }

    fn index(&self) -> usize {
        let Some(cursor) = self.session.cursor else { return 0 };
        let last = self.entries.len().saturating_sub(1);
        self.entries.iter().position(|entry| entry.id <= cursor).unwrap_or(last)
    }

    /// (first row drawn, row of the cursor)
    pub fn window(&self, height: usize) -> (usize, usize) {
        let top = self.session.top.and_then(|top| self.entries.iter().position(|entry| entry.id <= top)).unwrap_or(0);
        (list::view(top, self.index(), height, self.entries.len()), self.index())
    }

    pub fn selected(&self) -> Option<&VaultEntry> {
        self.entries.get(self.index())
    }

    /// The version at the cursor; `None` until it is read.
    pub fn kept(&self) -> Option<&KeptVersion> {
        let selected = self.selected()?.id;
        self.kept.as_ref().filter(|kept| kept.entry.id == selected)
    }

    /// Shows only the versions of one record, or of whatever the text is a part of.
    pub fn show_only(&mut self, text: &str) {
        self.session = VaultSession { filter: TextInput::new(text), tab: self.session.tab, ..VaultSession::default() };
    }

    /// The rows of the list within the pane's room: without the heading and the filter.
    pub fn list_height(&self, rows: u16) -> usize {
        usize::from(rows).saturating_sub(1 + usize::from(self.shows_filter())).max(1)
    }

    fn go(&mut self, index: usize, cx: &Cx<'_>) {
        // The newest is followed by what comes after it.
        self.session.cursor = self.entries.get(index).map(|entry| entry.id).filter(|_| index > 0);
        let (top, _) = self.window(self.list_height(cx.room.1));
        self.session.top = self.entries.get(top).map(|entry| entry.id).filter(|_| top > 0);
        self.session.scroll = 0;
        if index + 50 > self.session.limit {
            self.session.limit += PAGE;
        }
    }

    fn filter_changed(&mut self) {
        self.session.cursor = None;
        self.session.top = None;
        self.session.scroll = 0;
        self.session.limit = PAGE;
    }

    fn back(&mut self) -> Outcome {
        self.session.typing = false;
        if self.session.filter.is_empty() {
            return Outcome::used().request(Request::Close);
        }
        self.session.filter.clear();
        self.filter_changed();
        Outcome::used()
    }

    /// `enter` is pressed to look closer: it asks first.
    fn ask_to_restore(&self, cx: &Cx<'_>) -> Outcome {
        let then = self.restore_version(cx);
        let (Some(kept), false) = (self.kept(), then.requests.is_empty()) else { return then };
        let line = match &kept.kept {
            Kept::Draft(_) => "It becomes the draft again; one that is there goes to the vault",
            Kept::Document(_) => "It is queued as an edit, and sent like any other",
        };
        Outcome::used().request(Request::Confirm(Box::new(Question {
            title: format!("Restore this version of {}?", kept.entry.record),
            lines: vec![line.to_owned()],
            yes: "restore it".to_owned(),
            then,
        })))
    }

    fn restore_version(&self, cx: &Cx<'_>) -> Outcome {
        let Some(kept) = self.kept() else {
            return match self.selected() {
                Some(_) => Outcome::used().notice(Severity::Info, "vault", "The version is still being read"),
                None => Outcome::used().notice(Severity::Info, "vault", "There is no version here to restore"),
            };
        };
        let record = &kept.entry.record;
        let document = match &kept.kept {
            Kept::Draft(draft) => return Outcome::used().request(Request::RestoreDraft(draft.clone())),
            Kept::Document(document) => document,
        };
        if cx.setup.collection(&record.collection).is_none() {
            let text = format!("`{}` is not configured; {record} cannot be restored into it", record.collection);
            return Outcome::used()
                .notice(Severity::Warning, "vault", text)
                .hint("configure the collection again, or copy the text with `y j`");
        }
        let ground = Ground { document: kept.local.clone(), revision: kept.revision.clone() };
        match edits::prepare(record, &ground, Some(document.clone()), cx) {
            Ok(op) => Outcome::used().request(Request::Queue { op: Box::new(op), draft: None }),
            Err(Refusal::Unchanged) => {
                Outcome::used().notice(Severity::Info, "vault", format!("{record} is that version already"))
            }
            Err(refusal) => {
                let (text, hint) = refusal.text(record);
                let outcome = Outcome::used().notice(Severity::Warning, "vault", text);
                match hint {
                    Some(hint) => outcome.hint(hint),
                    None => outcome,
                }
            }
        }
    }
}

impl Pane for Vault {
    const NAME: PaneName = PaneName::Vault;
    const VERSION: u16 = 1;
    type Session = VaultSession;

    fn session(&self) -> VaultSession {
        self.session.clone()
    }

    fn restore(mut session: VaultSession, _seen: &Seen<'_>) -> Self {
        session.limit = session.limit.max(PAGE);
        Self { session, ..Self::default() }
    }

    fn needs(&self, _cx: &Cx<'_>) -> Vec<Need> {
        let list = Need::Vault { text: self.session.filter.text().to_owned(), limit: self.session.limit };
        let selected = self.selected().map(|entry| entry.id);
        std::iter::once(list).chain(selected.map(Need::KeptVersion)).collect()
    }

    fn load(&mut self, need: &Need, found: &Found, cx: &Cx<'_>) -> Outcome {
        match found {
            Found::Vault(entries) => {
                self.entries.clone_from(entries);
                self.loaded = true;
                let is_all = matches!(need, Need::Vault { limit, .. } if *limit >= self.session.limit);
                if is_all && std::mem::take(&mut self.to_last) {
                    self.go(self.entries.len().saturating_sub(1), cx);
                }
            }
            Found::KeptVersion(kept) => self.kept = kept.as_deref().cloned(),
            _ => return Outcome::ignored(),
        }
        Outcome::used()
    }

    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        let half = usize::from(cx.room.1 / 2).max(1);
        match action {
            Action::HalfPageDown => {
                self.session.scroll = self.session.scroll.saturating_add(half).min(self.lines());
                return Outcome::used();
            }
            Action::HalfPageUp => {
                self.session.scroll = self.session.scroll.saturating_sub(half);
                return Outcome::used();
            }
            _ => {}
        }
        if *action == Action::First {
            self.session.limit = PAGE;
        }
        if *action == Action::Last && self.entries.len() >= self.session.limit {
            (self.session.limit, self.to_last) = (self.session.limit + list::FAR, true);
        }
        let page = self.list_height(cx.room.1);
        if let Some(index) = list::step(*action, self.index(), self.entries.len(), page) {
            self.go(index, cx);
            return Outcome::used();
        }
        match action {
            Action::Open if self.session.typing => self.session.typing = false,
            Action::Open => return self.ask_to_restore(cx),
            Action::RestoreVersion => return self.restore_version(cx),
            Action::Back => return self.back(),
            Action::Collapse => return Outcome::used().request(Request::Close),
            Action::Filter => self.session.typing = true,
            Action::NextTab | Action::PreviousTab => {
                self.session.tab = match self.session.tab {
                    Tab::Changes => Tab::Text,
                    Tab::Text => Tab::Changes,
                };
                self.session.scroll = 0;
            }
            Action::OpenTarget => {
                if let Some(entry) = self.selected() {
                    return Outcome::used().request(Request::Close).request(Request::OpenRecord(entry.record.clone()));
                }
            }
            Action::CopyJson => {
                if let Some(kept) = self.kept() {
                    let what = match kept.kept {
                        Kept::Document(_) => "the kept version as JSON".to_owned(),
                        Kept::Draft(_) => "the text of the draft".to_owned(),
                    };
                    let text = text_of(&kept.kept);
                    return Outcome::used().effect(crate::app::effect::Effect::Copy { text, what });
                }
            }
            Action::Expand => {}
            _ => return Outcome::ignored(),
        }
        Outcome::used()
    }

    fn takes_text(&self) -> bool {
        self.session.typing
    }

    fn input(&mut self, key: &keybinds::KeyInput, _cx: &Cx<'_>) -> Outcome {
        let before = self.session.filter.text().to_owned();
        if !self.session.filter.handle(key) {
            return Outcome::ignored();
        }
        if self.session.filter.text() != before {
            self.filter_changed();
        }
        Outcome::used()
    }

    fn paste(&mut self, text: &str, _cx: &Cx<'_>) -> Outcome {
        self.session.filter.paste(text);
        self.filter_changed();
        Outcome::used()
    }

    fn mouse(&mut self, _column: u16, row: u16, kind: MouseKind, cx: &Cx<'_>) -> Outcome {
        let heading = 1 + usize::from(self.shows_filter());
        match kind {
            MouseKind::ScrollDown => self.handle(&Action::MoveDown, cx),
            MouseKind::ScrollUp => self.handle(&Action::MoveUp, cx),
            MouseKind::Press if usize::from(row) >= heading => {
                let index = self.window(self.list_height(cx.room.1)).0 + usize::from(row) - heading;
                if index < self.entries.len() {
                    self.go(index, cx);
                }
                Outcome::used()
            }
            MouseKind::Press => Outcome::used(),
            _ => Outcome::ignored(),
        }
    }

    fn commands(&self) -> Vec<Action> {
        if self.session.typing {
            return vec![Action::Open, Action::Back];
        }
        vec![
            Action::MoveDown,
            Action::RestoreVersion,
            Action::NextTab,
            Action::Filter,
            Action::OpenTarget,
            Action::HalfPageDown,
            Action::Back,
            Action::CopyJson,
            Action::First,
            Action::Last,
        ]
    }
}

impl Vault {
    /// How many lines the version takes at most: what scrolling ends at.
    fn lines(&self) -> usize {
        self.kept().map_or(0, |kept| text_of(&kept.kept).lines().count())
    }
}

/// A kept document laid out, or the text of a draft as it was typed.
pub fn text_of(kept: &Kept) -> String {
    match kept {
        Kept::Document(document) => super::record::pretty(document),
        Kept::Draft(draft) => super::editor::text_of(draft),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{ids::CollectionKey, time::Timestamp, vault::VaultReason};

    fn entry(id: i64) -> VaultEntry {
        VaultEntry {
            id,
            record: CollectionKey::new("acme", "products").record("p_1"),
            reason: VaultReason::Discarded,
            at: Timestamp(0),
            revision: None,
            hash: String::new(),
            size: 9,
        }
    }

    #[test]
    fn the_cursor_keeps_its_version_when_newer_ones_arrive_and_its_place_when_it_goes() {
        let mut vault = Vault { entries: vec![entry(3), entry(2), entry(1)], loaded: true, ..Vault::default() };
        vault.session.cursor = Some(2);
        vault.entries.insert(0, entry(4));
        assert_eq!(vault.selected().map(|entry| entry.id), Some(2));
        vault.entries.retain(|entry| entry.id != 2);
        assert_eq!(vault.selected().map(|entry| entry.id), Some(1));
        vault.entries.retain(|entry| entry.id > 2);
        assert_eq!(vault.selected().map(|entry| entry.id), Some(3), "the last one there is");
    }

    #[test]
    fn the_version_of_another_row_is_not_shown_for_the_one_at_the_cursor() {
        let kept = KeptVersion { entry: entry(3), kept: Kept::Document(json!(1)), local: None, revision: None };
        let mut vault = Vault { entries: vec![entry(3), entry(2)], kept: Some(kept), ..Vault::default() };
        assert!(vault.kept().is_some());
        vault.session.cursor = Some(2);
        assert!(vault.kept().is_none());
    }
}
