//! The story of the editor: what is typed, what the journal is told of it, and what comes back.

mod merging;
mod windows;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    app::{
        Setup,
        action::Action,
        effect::Need,
        event::{Found, MouseKind},
        pane::{Pane, Seen},
        settings::UiSettings,
        world::World,
    },
    model::{
        document::Document,
        ids::{CollectionKey, CollectionName, SessionName, SourceName},
        json::Pointer,
        op::{NewOp, OpKind},
        record::{Base, RecordMark},
        rules::ConflictRules,
        source::{AuthSpec, CollectionSpec, PullMode, SourceKind, SourceSpec},
        time::{At, Timestamp},
    },
};

fn setup() -> Setup {
    let users = CollectionSpec {
        name: CollectionName::from("users"),
        path: "users".to_owned(),
        columns: Vec::new(),
        title: None,
        pull: PullMode::Auto,
        updated_at: None,
        conflicts: ConflictRules::default(),
    };
    let source = SourceSpec {
        name: SourceName::from("acme"),
        kind: SourceKind::Firebase,
        url: "http://127.0.0.1:1".to_owned(),
        auth: AuthSpec::None,
        read_only: false,
        allow_plain: false,
        user: None,
        collections: vec![users],
    };
    Setup {
        sources: vec![source],
        session: SessionName::from("default"),
        settings: UiSettings::default(),
        read_only: false,
        demo: false,
        zone_offset: 0,
        places: Vec::new(),
        size: (120, 36),
        no_color: false,
        command: "ebbtide".to_owned(),
    }
}

fn users() -> CollectionKey {
    CollectionKey::new("acme", "users")
}

/// The editor with the journal's side of its drafts.
struct Desk {
    editor: Editor,
    setup: Setup,
    world: World,
    room: (u16, u16),
    second: u64,
    drafts: Vec<Draft>,
    last: Outcome,
    all: Vec<Request>,
}

impl Desk {
    fn new() -> Self {
        let (setup, world) = (setup(), World::default());
        let (drafts, all) = (Vec::new(), Vec::new());
        Self {
            editor: Editor::default(),
            setup,
            world,
            room: (118, 31),
            second: 0,
            drafts,
            last: Outcome::default(),
            all,
        }
    }

    fn begin(target: DraftTarget, document: Option<Value>) -> Begin {
        let key = DraftKey { record: users().record("u_1"), target };
        let document = document.map(Into::into);
        Begin { key, base: document.clone(), document, base_revision: Some("r18".into()), draft: None, ops: Vec::new() }
    }

    fn open(target: DraftTarget, document: Value) -> Self {
        let mut desk = Self::new();
        desk.act(|editor, cx| editor.open(Self::begin(target, Some(document)), cx));
        desk
    }

    /// Opens what is in the journal.
    fn reopen(&mut self, target: DraftTarget, document: Option<Value>) {
        let mut begin = Self::begin(target, document);
        begin.draft = self.drafts.iter().find(|draft| draft.key == begin.key).cloned();
        self.act(|editor, cx| editor.open(begin, cx));
    }

    fn act(&mut self, act: impl FnOnce(&mut Editor, &Cx<'_>) -> Outcome) {
        let at = At::test(self.second);
        let cx = Cx { at: &at, setup: &self.setup, world: &self.world, room: self.room, full: false };
        let outcome = act(&mut self.editor, &cx);
        for write in &outcome.drafts {
            keep(&mut self.drafts, write, at.wall);
        }
        self.all.extend(outcome.requests.clone());
        self.last = outcome;
    }

    /// Keys as the keymap of the editor reads them.
    fn press(&mut self, keys: &str) -> &mut Self {
        for key in keys.split_whitespace() {
            let action = match key {
                "Esc" => Some(Action::CloseEditor),
                "F2" | "Ctrl+s" => Some(Action::QueueDraft),
                "F3" => Some(Action::FormatText),
                "F4" => Some(Action::OpenEditorProgram),
                "F6" => Some(Action::MergeDraft),
                "m" if self.editor.is_merging() => Some(Action::TakeMine),
                "t" if self.editor.is_merging() => Some(Action::TakeTheirs),
                "u" if self.editor.is_merging() => Some(Action::Undo),
                "Enter" if self.editor.is_merging() => Some(Action::MergeDraft),
                "F7" => Some(Action::DropDraft),
                "F8" => Some(Action::NextProblem),
                "Ctrl+z" => Some(Action::EditorUndo),
                "Ctrl+y" => Some(Action::EditorRedo),
                "Ctrl+f" => Some(Action::FindInText),
                "Ctrl+t" => Some(Action::ReadOtherwise),
                _ => None,
            };
            match action {
                Some(action) => self.act(|editor, cx| editor.handle(&action, cx)),
                None => self.act(|editor, cx| editor.input(&key.parse().unwrap(), cx)),
            }
        }
        self
    }

    fn paste(&mut self, text: &str) -> &mut Self {
        self.act(|editor, cx| editor.paste(text, cx));
        self
    }

    /// Answers what the editor asks of its record: the text of a draft only where it wants one.
    fn load(&mut self, local: Option<Value>) {
        let local = local.map(Document::from);
        for _ in 0..2 {
            let Some(need) = self.asks() else { return };
            let (record, drafts) = match &need {
                Need::Record(record) => (record.clone(), self.drafts.clone()),
                Need::Shown(record) => (record.clone(), Vec::new()),
                need => panic!("the editor asks for {need:?}"),
            };
            let view = RecordView {
                base: local.clone().map(|document| Base {
                    document,
                    revision: Some("r19".into()),
                    received_at: Timestamp(0),
                }),
                heads: self.drafts.iter().map(Draft::head).collect(),
                drafts,
                local: local.clone(),
                mark: RecordMark::Synced,
                ops: Vec::new(),
                conflict: None,
                key: record,
            };
            let whole = matches!(need, Need::Record(_));
            self.act(|editor, cx| editor.load(&need, &Found::Record(std::sync::Arc::new(view)), cx));
            if whole || !matches!(self.asks(), Some(Need::Record(_))) {
                return;
            }
        }
    }

    fn asks(&self) -> Option<Need> {
        let at = At::test(self.second);
        let cx = Cx { at: &at, setup: &self.setup, world: &self.world, room: self.room, full: false };
        self.editor.needs(&cx).pop()
    }

    /// As after `kill -9`: session row and drafts as they were committed.
    fn killed(&self) -> Self {
        let session: EditorSession =
            serde_json::from_str(&serde_json::to_string(&self.editor.session()).unwrap()).unwrap();
        let mut desk = Self::new();
        let at = At::test(self.second);
        desk.drafts.clone_from(&self.drafts);
        desk.editor = Editor::restore(session, &Seen { at: &at, setup: &desk.setup, drafts: &desk.drafts });
        desk
    }

    fn text(&self) -> String {
        self.editor.sheet().unwrap().buffer.text()
    }

    fn op(&self) -> Option<&NewOp> {
        self.all.iter().rev().find_map(|request| match request {
            Request::Queue { op, .. } => Some(&**op),
            _ => None,
        })
    }

    fn said(&self) -> &str {
        self.last.notices.last().map_or("", |notice| notice.text.as_str())
    }

    fn problems(&self) -> Vec<String> {
        self.editor.sheet().unwrap().check.problems.iter().map(ToString::to_string).collect()
    }
}

/// What the journal does with a draft write.
fn keep(drafts: &mut Vec<Draft>, write: &DraftWrite, at: Timestamp) {
    match write {
        DraftWrite::Snapshot { key, snapshot, base, base_revision, versions } => {
            drafts.retain(|draft| draft.key != *key);
            drafts.push(Draft {
                key: key.clone(),
                snapshot: snapshot.clone(),
                edits: Vec::new(),
                base: base.clone().map(Into::into),
                base_revision: base_revision.clone(),
                version: versions.to,
                commit_requested: None,
                updated_at: at,
            });
        }
        DraftWrite::Append { key, edit, versions } => {
            let draft = drafts.iter_mut().find(|draft| draft.key == *key).expect("appended to a draft that was begun");
            assert_eq!(draft.version, versions.from, "a step is made on what the journal has");
            draft.version = versions.to;
            draft.edits.push(edit.clone());
            draft.updated_at = at;
        }
        DraftWrite::RequestCommit { .. } => {}
        DraftWrite::Remove { key, .. } | DraftWrite::Discard { key } => drafts.retain(|draft| draft.key != *key),
    }
}

fn bo() -> Value {
    json!({"name": "Bo", "role": "editor"})
}

#[test]
fn looking_at_a_record_begins_no_draft_and_typing_does() {
    let mut desk = Desk::open(DraftTarget::Document, bo());
    desk.press("Down End Shift+Left");
    assert!(desk.drafts.is_empty());
    desk.press("x");
    assert!(matches!(desk.last.drafts[..], [DraftWrite::Snapshot { .. }]));
    desk.press("y");
    assert!(matches!(&desk.last.drafts[..], [DraftWrite::Append { edit, .. }] if edit.len() < 40));
}

#[test]
fn a_changed_text_is_queued_as_the_fields_that_differ() {
    let mut desk = Desk::open(DraftTarget::Document, bo());
    desk.press("Down Down End Ctrl+Left Ctrl+w o w n e r");
    assert_eq!(desk.problems(), Vec::<String>::new(), "{}", desk.text());
    desk.press("F2");
    let op = desk.op().unwrap();
    assert_eq!((op.kind, op.changes.len()), (OpKind::Update, 1));
    assert_eq!(op.changes[0].pointer, Pointer::parse("/role"));
    assert_eq!(op.document, Some(json!({"name": "Bo", "role": "owner"})));
    assert_eq!((op.base.clone(), op.base_revision.clone()), (Some(bo()), Some("r18".into())));
    assert!(desk.last.requests.contains(&Request::Close) && !desk.editor.is_open());
}

#[test]
fn an_unchanged_text_says_so_closes_and_leaves_no_draft() {
    let mut desk = Desk::open(DraftTarget::Document, bo());
    desk.press("Right x Backspace F2");
    assert!(desk.op().is_none() && desk.drafts.is_empty() && !desk.editor.is_open());
    assert!(desk.said().starts_with("No change"), "{}", desk.said());
}

#[test]
fn invalid_text_is_not_queued_but_kept_with_cursor_and_undo_over_a_kill() {
    let mut desk = Desk::open(DraftTarget::Document, bo());
    desk.press("Down Down End Backspace");
    assert_eq!(desk.problems(), ["Ln 3: string is not closed"]);
    desk.press("F2");
    assert!(desk.editor.is_open() && desk.said().contains("Ln 3: string is not closed"));
    desk.press("Shift+Left Shift+Left");

    let mut back = desk.killed();
    assert_eq!(back.editor.session(), desk.editor.session());
    let (was, is) = (desk.editor.sheet().unwrap(), back.editor.sheet().unwrap());
    assert!(was.buffer == is.buffer && was.check == is.check && was.lines == is.lines);
    back.load(Some(bo()));
    assert_eq!(back.said(), "Draft restored: typed 22:13:20, nothing lost");
    assert_eq!(back.editor.session(), desk.editor.session());
    back.press("Ctrl+z");
    assert_eq!(back.problems(), Vec::<String>::new());
}

#[test]
fn leaving_always_keeps_the_draft_and_coming_back_needs_no_journal() {
    let mut desk = Desk::open(DraftTarget::Document, bo());
    desk.press("x y z Esc");
    assert!(desk.last.requests.contains(&Request::Close) && !desk.editor.is_open());
    assert_eq!(desk.drafts[0].edits.len(), 0, "written in one piece on leaving");
    assert!(text_of(&desk.drafts[0]).starts_with("xyz{"));
    desk.act(|editor, cx| editor.open(Desk::begin(DraftTarget::Document, Some(bo())), cx));
    assert!(desk.text().starts_with("xyz{"));
    desk.press("Ctrl+z");
    assert!(desk.text().starts_with('{'));
}

#[test]
fn a_long_draft_is_written_as_one_snapshot_now_and_then() {
    let mut desk = Desk::open(DraftTarget::Document, bo());
    for _ in 0..1200 {
        desk.press("a");
        assert!(desk.drafts[0].edits.len() <= sheet::COMPACT_AFTER);
    }
    assert!(desk.killed().text().starts_with(&"a".repeat(1200)));
}

#[test]
fn a_moved_base_is_told_and_the_op_stays_on_the_drafts_own_base() {
    let mut desk = Desk::open(DraftTarget::Document, bo());
    desk.press("Down Down End Left x");
    desk.load(Some(json!({"name": "Bo L", "role": "editor"})));
    assert!(desk.editor.sheet().unwrap().base_moved());
    assert!(desk.said().contains("changed since you began"), "{}", desk.said());
    desk.load(Some(json!({"name": "Bo L", "role": "editor"})));
    assert_eq!(desk.said(), "", "told once");
    desk.press("F2");
    let op = desk.op().unwrap();
    assert_eq!((op.base.clone(), op.changes.len()), (Some(bo()), 1));
}

#[test]
fn what_is_only_looked_at_follows_the_record() {
    let mut desk = Desk::open(DraftTarget::Document, bo());
    desk.press("Down");
    desk.load(Some(json!({"name": "New"})));
    assert!(desk.text().contains("New"));
    assert_eq!(desk.editor.sheet().unwrap().buffer.cursor().line, 1);
    assert!(!desk.editor.sheet().unwrap().base_moved());
}

#[test]
fn a_new_record_has_an_id_of_its_own_making_that_can_be_typed_over() {
    let mut desk = Desk::new();
    let mut begin = Desk::begin(DraftTarget::New, None);
    begin.key.record.id = "".into();
    desk.act(|editor, cx| editor.open(begin, cx));
    let made = desk.editor.sheet().unwrap().id.text().to_owned();
    assert_eq!(made.len(), 20);
    desk.paste("\"name\": \"Dana\"").press("Up Up Ctrl+u u _ 9");
    let back = desk.killed();
    assert_eq!(back.editor.session(), desk.editor.session());
    assert_eq!(back.editor.sheet().unwrap().id.text(), "u_9");
    assert_eq!(desk.drafts[0].key.record.id.as_str(), made, "the draft keeps its name while the id is typed");
    desk.press("F2");
    let op = desk.op().unwrap();
    assert_eq!((op.kind, op.record.id.as_str(), op.base.clone()), (OpKind::Create, "u_9", None));
}

#[test]
fn an_id_that_is_taken_or_not_allowed_is_a_problem() {
    let mut desk = Desk::new();
    desk.act(|editor, cx| editor.open(Desk::begin(DraftTarget::New, None), cx));
    desk.paste("\"a\": 1");
    desk.load(Some(bo()));
    assert_eq!(desk.problems(), ["a record `u_1` exists already"]);
    desk.press("Up Up");
    desk.paste("a/b");
    assert!(desk.problems()[0].starts_with("the id cannot be used"), "{:?}", desk.problems());
    desk.press("F2");
    assert!(desk.editor.is_open() && desk.op().is_none());
}

#[test]
fn a_field_takes_enter_and_keeps_its_type() {
    let mut desk = Desk::open(DraftTarget::Field(Pointer::parse("/role")), bo());
    assert_eq!(desk.text(), "editor");
    desk.press("Ctrl+u 4 2 Enter");
    let op = desk.op().unwrap();
    assert_eq!(op.document, Some(json!({"name": "Bo", "role": "42"})));

    let mut desk = Desk::open(DraftTarget::Field(Pointer::parse("/n")), json!({"n": 1}));
    desk.press("0 Ctrl+t");
    let back = desk.killed();
    assert_eq!(back.editor.session(), desk.editor.session());
    desk.press("Enter");
    assert_eq!(desk.op().unwrap().document, Some(json!({"n": "10"})));
}

#[test]
fn another_editors_text_is_one_step_even_when_it_is_garbage() {
    let mut desk = Desk::open(DraftTarget::Document, bo());
    desk.press("F4");
    assert!(matches!(&desk.last.effects[..], [Effect::OpenEditor { suffix: ".json", .. }]));
    desk.act(|editor, cx| editor.returned(Ok("{garbage\n".to_owned()), cx));
    assert_eq!(desk.text(), "{garbage");
    assert_eq!(desk.killed().text(), "{garbage");
    assert!(!desk.problems().is_empty());
    desk.press("Ctrl+z");
    assert!(desk.text().contains("Bo"));
    desk.act(|editor, cx| editor.returned(Err(NoText { reason: "`vi` was not found".to_owned(), kept: None }), cx));
    assert!(desk.said().contains("`vi` was not found") && desk.text().contains("Bo"));
}

#[test]
fn dropping_asks_first() {
    let mut desk = Desk::open(DraftTarget::Document, bo());
    desk.press("x F7");
    assert_eq!(desk.drafts.len(), 1);
    let Some(Request::Confirm(question)) = desk.last.requests.first().cloned() else { panic!("no question") };
    assert!(matches!(question.then.drafts[..], [DraftWrite::Discard { .. }]), "the vault keeps it");
    assert!(question.then.requests.contains(&Request::Close));
    desk.editor.close();
    desk.reopen(DraftTarget::Document, Some(bo()));
    assert!(desk.text().starts_with('{'), "a dropped draft does not come back, even if it was read before");
    desk.load(Some(bo()));
    assert!(desk.text().starts_with('{'));
}

#[test]
fn drafts_that_were_left_are_taken_up_again_each_with_its_own_text() {
    let mut desk = Desk::open(DraftTarget::Document, bo());
    desk.press("x y Esc");
    let field = DraftTarget::Field(Pointer::parse("/role"));
    desk.act(|editor, cx| editor.open(Desk::begin(field.clone(), Some(bo())), cx));
    desk.press("s Esc");
    desk.act(|editor, cx| editor.open(Desk::begin(DraftTarget::Document, Some(bo())), cx));
    assert!(desk.text().starts_with("xy{"));
    desk.act(|editor, cx| editor.open(Desk::begin(field, Some(bo())), cx));
    assert_eq!(desk.text(), "editors");
}

#[test]
fn an_edit_that_could_not_be_queued_is_there_again() {
    let mut desk = Desk::open(DraftTarget::Field(Pointer::parse("/role")), bo());
    desk.press("s Enter");
    let op_id = desk.op().unwrap().op_id;
    desk.drafts[0].commit_requested = Some(op_id);
    desk.reopen(DraftTarget::Field(Pointer::parse("/role")), Some(bo()));
    assert_eq!(desk.text(), "editors");
}

#[test]
fn finding_is_restored_with_what_was_typed() {
    let mut desk = Desk::open(DraftTarget::Document, bo());
    desk.press("Ctrl+f R o");
    assert!(desk.editor.sheet().unwrap().find.as_ref().unwrap().missing);
    desk.press("Ctrl+u r o");
    assert_eq!(desk.editor.sheet().unwrap().buffer.selected_text().as_deref(), Some("ro"));
    let back = desk.killed();
    assert_eq!(back.editor.session(), desk.editor.session());
    desk.press("Esc");
    assert!(desk.editor.is_open(), "esc closes the find line first");
    desk.press("F8");
    assert_eq!(desk.said(), "No problem found");
}

#[test]
fn the_next_problem_is_gone_to_and_formatting_lays_the_text_out() {
    let mut desk = Desk::open(DraftTarget::Document, bo());
    desk.press("Ctrl+a").paste("{\"a\": \"x,\n\"b\": \"y,\n}").press("Ctrl+Home F8");
    assert_eq!(desk.editor.sheet().unwrap().buffer.cursor().line, 0);
    desk.press("F8");
    assert_eq!(desk.editor.sheet().unwrap().buffer.cursor().line, 1);
    desk.press("F3");
    assert!(desk.said().contains("valid JSON"));
    desk.press("Ctrl+a").paste("{\"a\":1.50,\"b\":[]}").press("F3");
    assert_eq!(desk.text(), "{\n  \"a\": 1.50,\n  \"b\": []\n}");
}

#[test]
fn the_mouse_puts_the_cursor_selects_and_scrolls() {
    let mut desk = Desk::open(DraftTarget::Document, bo());
    desk.act(|editor, cx| editor.mouse(8, 1, MouseKind::Press, cx));
    assert_eq!(desk.editor.sheet().unwrap().buffer.cursor().line, 1);
    assert_eq!(desk.editor.sheet().unwrap().buffer.cursor().at, 2);
    desk.act(|editor, cx| editor.mouse(12, 1, MouseKind::Drag, cx));
    assert_eq!(desk.editor.sheet().unwrap().buffer.selected_text().as_deref(), Some("\"nam"));
}

#[test]
fn a_read_only_collection_is_not_edited() {
    let mut desk = Desk::new();
    desk.setup.read_only = true;
    desk.act(|editor, cx| editor.open(Desk::begin(DraftTarget::Document, Some(bo())), cx));
    assert!(!desk.editor.is_open() && desk.last.requests == [Request::Close]);
}

#[test]
fn a_damaged_draft_is_shown_as_far_as_it_can_be_read() {
    let mut desk = Desk::open(DraftTarget::Document, bo());
    desk.press("x y");
    desk.drafts[0].edits.push("{\"r\":{\"a\":[400,0],\"t\":\"q\"}}".to_owned());
    let mut back = desk.killed();
    back.load(Some(bo()));
    assert!(back.text().starts_with("xy{"));
    assert!(back.said().contains("only in part"), "{}", back.said());
}

#[test]
fn after_a_failed_commit_the_whole_text_is_written_not_a_step_that_has_no_draft() {
    let mut desk = Desk::open(DraftTarget::Document, bo());
    desk.press("x y");
    let failed = desk.last.drafts.clone();
    assert!(matches!(failed[..], [DraftWrite::Append { .. }]));
    let mended = desk.editor.mend(failed.clone(), &At::test(0));
    assert!(matches!(&mended[..], [DraftWrite::Snapshot { .. }]), "{mended:?}");
    keep(&mut desk.drafts, &mended[0], Timestamp(0));
    desk.press("z Esc");
    let left = [failed, desk.last.drafts.clone()].concat();
    let mended = desk.editor.mend(left, &At::test(0));
    assert!(matches!(&mended[..], [DraftWrite::Snapshot { .. }]), "steps before a whole text are left out: {mended:?}");
}

fn keys() -> impl Strategy<Value = Vec<&'static str>> {
    let one = prop::sample::select(vec![
        "a",
        "田",
        "{",
        "}",
        "\"",
        ":",
        ",",
        "1",
        "Space",
        "👩",
        "\u{301}",
        "Left",
        "Right",
        "Up",
        "Down",
        "Home",
        "End",
        "Shift+Left",
        "Shift+Up",
        "Ctrl+a",
        "Enter",
        "Tab",
        "Backspace",
        "Delete",
        "Ctrl+z",
        "Ctrl+y",
        "Ctrl+k",
        "Ctrl+x",
        "Ctrl+v",
        "Ctrl+f",
        "Ctrl+t",
        "F8",
        "F3",
        "PageDown",
    ]);
    prop::collection::vec(one, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// R3 and R19: whatever was typed comes back with cursor, selection, scroll and undo, at any key.
    #[test]
    fn any_typing_comes_back_after_a_kill(keys in keys(), which in 0..3_usize, wide in any::<bool>()) {
        let mut desk = Desk::new();
        desk.room = if wide { (118, 31) } else { (18, 4) };
        let target = [DraftTarget::Document, DraftTarget::New, DraftTarget::Field(Pointer::parse("/role"))][which].clone();
        let document = (which != 1).then(bo);
        desk.act(|editor, cx| editor.open(Desk::begin(target, document), cx));
        for key in keys {
            if !desk.editor.is_open() {
                break;
            }
            desk.second += 1;
            desk.press(key);
            let Some(sheet) = desk.editor.sheet() else { break };
            let mut back = desk.killed();
            if !sheet.begun {
                back.load((which != 1).then(bo));
            }
            prop_assert_eq!(back.editor.session(), desk.editor.session());
            let restored = back.editor.sheet().unwrap();
            prop_assert!(restored.buffer == sheet.buffer, "{:?}\n{:?}", restored.buffer, sheet.buffer);
            prop_assert_eq!(&restored.check, &sheet.check);
            prop_assert_eq!(restored.id.text(), sheet.id.text());
        }
    }
}
