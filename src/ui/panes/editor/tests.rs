//! Frames of the editor, and that no size and no text breaks it.

use keybinds::KeyInput;
use ratatui::{Terminal, backend::TestBackend};
use serde_json::{Value, json};

use super::*;
use crate::{
    app::{
        Setup,
        action::Action,
        effect::Need,
        event::Found,
        pane::{Cx, Pane, Seen},
        panes::editor::Begin,
        settings::{Glyphs, UiSettings},
        world::World,
    },
    model::{
        document::Document,
        draft::{Draft, DraftKey, DraftWrite},
        edit,
        ids::{CollectionKey, OpId, RecordKey, Seq},
        json::Pointer,
        op::{Op, OpKind, OpState},
        record::{Base, RecordMark, RecordView},
        rules::ConflictRules,
        source::{AuthSpec, CollectionSpec, PullMode, SourceKind, SourceSpec},
        time::{At, Timestamp},
    },
    ui::theme::Theme,
};

const WIDE: (u16, u16) = (120, 33);
const NARROW: (u16, u16) = (80, 21);

fn setup() -> Setup {
    let users = CollectionSpec {
        name: "users".into(),
        path: "users".to_owned(),
        columns: Vec::new(),
        title: None,
        pull: PullMode::Auto,
        updated_at: None,
        conflicts: ConflictRules::default(),
    };
    let source = SourceSpec {
        name: "acme-prod".into(),
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
        session: "default".into(),
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

fn record() -> RecordKey {
    CollectionKey::new("acme-prod", "users").record("u_00042")
}

fn bo() -> Value {
    json!({
        "id": "u_00042",
        "profile": {"name": "Bo Lindqvist", "role": "editor", "email": "bo@acme.test"},
        "addresses": [{"kind": "home", "city": "Malmö"}, {"kind": "work", "city": "Lund"}],
        "flags": {"beta": true, "tags": ["vip", "eu"], "note": null},
        "friends": "田中さん, שלום, 👩‍👩‍👧, e\u{301}",
        "last_mod": 1_700_000_412_123_i64
    })
}

fn queued_op() -> Op {
    let mut to = bo();
    to["profile"]["role"] = json!("admin");
    let changes = edit::diff(Some(&bo()), Some(&to));
    Op {
        seq: Seq(118),
        op_id: OpId::new(&At::test(0)),
        record: record(),
        kind: OpKind::Update,
        state: OpState::Queued,
        changes,
        document: Some(to),
        base: Some(bo()),
        base_revision: None,
        after: None,
        attempts: 0,
        created_at: Timestamp(0),
        next_attempt_at: None,
        sent_at: None,
        settled_at: None,
        request_hash: None,
        precondition: None,
        sent_document: None,
        last_error: None,
        author: String::new(),
        was_in_doubt: false,
    }
}

struct Desk {
    editor: Editor,
    setup: Setup,
    world: World,
    size: (u16, u16),
    draft: Option<Draft>,
    ops: Vec<Op>,
}

impl Desk {
    fn open(size: (u16, u16), target: DraftTarget, document: Option<Value>, ops: Vec<Op>) -> Self {
        let mut desk = Self {
            editor: Editor::default(),
            setup: setup(),
            world: World::default(),
            size,
            draft: None,
            ops: ops.clone(),
        };
        let key = DraftKey { record: record(), target };
        let base_revision = document.is_some().then(|| "18".into());
        let document = document.map(Document::from);
        let begin = Begin { key, base: document.clone(), document, base_revision, draft: None, ops };
        desk.act(|editor, cx| editor.open(begin, cx));
        desk
    }

    fn act(&mut self, act: impl FnOnce(&mut Editor, &Cx<'_>) -> crate::app::pane::Outcome) {
        let at = At::test(0);
        let room = (self.size.0.saturating_sub(2), self.size.1.saturating_sub(2));
        let outcome = act(&mut self.editor, &Cx { at: &at, setup: &self.setup, world: &self.world, room, full: false });
        for write in outcome.drafts {
            match (write, &mut self.draft) {
                (DraftWrite::Snapshot { key, snapshot, base, base_revision, versions }, draft) => {
                    let updated_at = at.wall;
                    *draft = Some(Draft {
                        key,
                        snapshot,
                        edits: Vec::new(),
                        base: base.map(Into::into),
                        base_revision,
                        version: versions.to,
                        commit_requested: None,
                        updated_at,
                    });
                }
                (DraftWrite::Append { edit, .. }, Some(draft)) => draft.edits.push(edit),
                _ => {}
            }
        }
    }

    fn press(mut self, keys: &str) -> Self {
        for key in keys.split_whitespace() {
            match key {
                "Ctrl+f" => self.act(|editor, cx| editor.handle(&Action::FindInText, cx)),
                "Ctrl+t" => self.act(|editor, cx| editor.handle(&Action::ReadOtherwise, cx)),
                key => {
                    let key: KeyInput = key.parse().unwrap();
                    self.act(|editor, cx| editor.input(&key, cx))
                }
            };
        }
        self
    }

    fn paste(mut self, text: &str) -> Self {
        self.act(|editor, cx| editor.paste(text, cx));
        self
    }

    fn load(mut self, local: Value) -> Self {
        let local = Document::from(local);
        let base = Base { document: local.clone(), revision: Some("19".into()), received_at: Timestamp(0) };
        let view = RecordView {
            key: record(),
            base: Some(base),
            local: Some(local),
            mark: RecordMark::Draft,
            ops: self.ops.clone(),
            heads: self.draft.iter().map(Draft::head).collect(),
            drafts: self.draft.iter().cloned().collect(),
            conflict: None,
        };
        self.act(|editor, cx| editor.load(&Need::Record(record()), &Found::Record(std::sync::Arc::new(view)), cx));
        self
    }

    fn vanish(mut self) -> Self {
        let view = RecordView {
            key: record(),
            base: None,
            local: None,
            mark: RecordMark::Draft,
            ops: Vec::new(),
            heads: self.draft.iter().map(Draft::head).collect(),
            drafts: self.draft.iter().cloned().collect(),
            conflict: None,
        };
        self.act(|editor, cx| editor.load(&Need::Record(record()), &Found::Record(std::sync::Arc::new(view)), cx));
        self
    }

    /// As after `kill -9`.
    fn killed(mut self) -> Self {
        let session = serde_json::to_string(&self.editor.session()).unwrap();
        let drafts: Vec<Draft> = self.draft.iter().cloned().collect();
        let seen = Seen { at: &At::test(0), setup: &self.setup, drafts: &drafts };
        self.editor = Editor::restore(serde_json::from_str(&session).unwrap(), &seen);
        self
    }

    /// The frame as text, the cursor drawn as in the mock-ups' place.
    fn frame(&self, look: Look<'_>) -> (String, Option<Position>) {
        let mut terminal = Terminal::new(TestBackend::new(self.size.0, self.size.1)).unwrap();
        let mut cursor = None;
        terminal.draw(|frame| cursor = draw(&self.editor, look, true, frame.area(), frame.buffer_mut())).unwrap();
        (terminal.backend().to_string(), cursor)
    }

    fn show(&self) -> String {
        let theme = Theme::default();
        let (frame, cursor) = self.frame(Look { theme: &theme, glyphs: Glyphs::Unicode });
        let cursor = cursor.map_or("not in sight".to_owned(), |at| format!("column {}, row {}", at.x, at.y));
        format!("{frame}cursor: {cursor}\n")
    }
}

fn snapshot(name: &str, desk: &Desk) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/panes"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let (columns, rows) = desk.size;
    settings.bind(|| insta::assert_snapshot!(format!("editor_{name}_{columns}x{rows}"), desk.show()));
}

/// The size of the body under the header and over message and hints at 120x36 and 80x24.
fn at_both(name: &str, make: impl Fn((u16, u16)) -> Desk) {
    for size in [WIDE, NARROW] {
        snapshot(name, &make(size));
    }
}

fn editing(size: (u16, u16)) -> Desk {
    Desk::open(size, DraftTarget::Document, Some(bo()), vec![queued_op()])
}

#[test]
fn a_new_record() {
    at_both("new", |size| Desk::open(size, DraftTarget::New, None, Vec::new()));
}

#[test]
fn an_untouched_record() {
    at_both("untouched", |size| Desk::open(size, DraftTarget::Document, Some(bo()), Vec::new()));
}

#[test]
fn a_valid_change() {
    at_both("valid", |size| editing(size).press("Down Down Down Down End Left Ctrl+Left Ctrl+w").paste("owner"));
}

#[test]
fn an_open_string() {
    at_both("invalid", |size| {
        editing(size).press("Down Down Down Down End Left Ctrl+Left Ctrl+w Ctrl+k").paste("owner")
    });
}

#[test]
fn a_line_that_is_too_long() {
    let long = json!({"note": "the quick brown 狐 jumps over ".repeat(20), "short": 1});
    at_both("too_long_line", |size| {
        Desk::open(size, DraftTarget::Document, Some(long.clone()), Vec::new()).press("Down End")
    });
}

#[test]
fn restored_after_a_kill() {
    for size in [WIDE, NARROW] {
        let before = editing(size).press("Down Down End Enter").paste("\"half a w").press("Shift+Ctrl+Left");
        let shown = before.show();
        let after = before.killed();
        let after = after.load(bo());
        assert_eq!(after.show(), shown);
        snapshot("restored", &after);
    }
}

#[test]
fn a_field_in_place() {
    for (name, keys) in [("field", "x"), ("field_number", "Ctrl+u 4 2 Ctrl+t"), ("field_wrong", "Ctrl+t Ctrl+u [ 1")] {
        let field = DraftTarget::Field(Pointer::parse("/profile/role"));
        snapshot(name, &Desk::open((50, 4), field, Some(bo()), Vec::new()).press(keys));
    }
}

#[test]
fn a_base_that_changed() {
    at_both("base_changed", |size| {
        let mut now = bo();
        now["profile"]["name"] = json!("Bo L.");
        editing(size).press("Down Down Down Down End Left x").load(now)
    });
}

/// Both sides changed the role, each also something else.
fn three_ways(size: (u16, u16)) -> Desk {
    let mut now = bo();
    now["profile"]["role"] = json!("viewer");
    now["flags"]["beta"] = json!(false);
    editing(size).press("Down Down Down Down End Left Left x").load(now)
}

impl Desk {
    fn on(mut self, action: Action) -> Self {
        self.act(|editor, cx| editor.handle(&action, cx));
        self
    }
}

#[test]
fn three_versions_and_the_choice_between_them() {
    at_both("three_ways", three_ways);
    at_both("three_ways_choosing", |size| three_ways(size).on(Action::MergeDraft));
    at_both("three_ways_chosen", |size| three_ways(size).on(Action::MergeDraft).on(Action::TakeTheirs));
    at_both("three_ways_invalid", |size| three_ways(size).press("{"));
    at_both("three_ways_merged", |size| {
        three_ways(size).on(Action::MergeDraft).on(Action::TakeTheirs).on(Action::MergeDraft)
    });
    let field = DraftTarget::Field(Pointer::parse("/profile/role"));
    let mut now = bo();
    now["profile"]["role"] = json!("viewer");
    let field = Desk::open((60, 4), field, Some(bo()), Vec::new()).press("x").load(now);
    snapshot("field_three_ways", &field);
    snapshot("field_choosing", &field.on(Action::MergeDraft));
}

#[test]
fn a_record_that_is_gone() {
    at_both("gone", |size| editing(size).press("Down Down Down Down End Left Left x").vanish());
}

#[test]
fn a_search() {
    at_both("find", |size| editing(size).press("Ctrl+f e m a i l"));
}

#[test]
fn many_problems() {
    at_both("many_problems", |size| editing(size).press("Ctrl+a").paste(&"\"open\n".repeat(40)));
}

#[test]
fn without_colour_and_in_ascii_everything_is_still_said() {
    let theme = Theme::load("default", true).unwrap();
    let (frame, _) = editing(NARROW).press("Right x").frame(Look { theme: &theme, glyphs: Glyphs::Ascii });
    let ours: String = frame.lines().filter(|line| !line.contains("friends")).collect();
    assert!(ours.chars().all(|c| c.is_ascii() || c == 'ö'), "{frame}");
    assert!(frame.contains("# JSON ~ draft") && frame.contains("x Ln "), "{frame}");
}

#[test]
fn hostile_text_never_reaches_a_cell_as_it_is() {
    let desk = Desk::open(WIDE, DraftTarget::Document, Some(bo()), Vec::new()).press("Right");
    let desk = desk.paste("\u{1b}[31m\u{202e}evil\u{7}\u{200b}\t\u{9b}2J\u{301}");
    let shown = desk.show();
    assert!(shown.contains("␛[31m␣evil␇␣␉"), "{shown}");
    assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{7}', '\u{200b}', '\u{9b}']));
}

#[test]
fn no_size_makes_it_panic() {
    let theme = Theme::default();
    for (columns, rows) in (0..64).flat_map(|columns| (0..24).map(move |rows| (columns, rows))) {
        for desk in [
            Desk::open((columns, rows), DraftTarget::New, None, Vec::new()),
            editing((columns, rows)).press("Ctrl+f a"),
            Desk::open((columns, rows), DraftTarget::Field(Pointer::parse("/friends")), Some(bo()), Vec::new()),
        ] {
            let area = Rect::new(0, 0, columns, rows);
            let mut buf = Buffer::empty(area);
            let cursor = draw(&desk.editor, Look { theme: &theme, glyphs: Glyphs::Unicode }, true, area, &mut buf);
            assert!(cursor.is_none_or(|at| area.contains(at)), "{columns}x{rows} {cursor:?}");
        }
    }
}
