//! The drafts on the screen: their list in every condition, and the way from there.

mod common;

use common::{bench::*, fake::Fake};
use ebbtide::{
    app::{effect::Effect, event::Event, pane::PaneName},
    model::{
        draft::{Draft, DraftKey, DraftTarget},
        ids::{CollectionKey, Seq},
        json::Pointer,
        op::{OpKind, OpState},
        time::At,
        vault::VaultReason,
    },
};
use serde_json::{Value, json};

const NOW: u64 = 10_000_800;
const SIZES: [(u16, u16); 3] = [(120, 36), (80, 24), (60, 16)];

fn users() -> CollectionKey {
    CollectionKey::new("acme-prod", "users")
}

fn bo() -> Value {
    json!({"name": "Bo Lindqvist", "role": "editor", "age": 41, "flags": {"beta": true}})
}

fn key(id: &str, target: DraftTarget) -> DraftKey {
    DraftKey { record: users().record(id), target }
}

/// A draft as its editor writes it.
fn typed(key: DraftKey, text: &str, base: Option<Value>, seconds: u64) -> Draft {
    let buffer = json!({"version": 1, "text": text, "caret": {"c": [0, 0]}, "scroll": [0, 0]});
    let mut snapshot = json!({"buffer": buffer});
    match &key.target {
        DraftTarget::New => snapshot["id"] = json!(key.record.id),
        DraftTarget::Field(_) => snapshot["as"] = json!("text"),
        _ => {}
    }
    Draft {
        key,
        snapshot: snapshot.to_string(),
        edits: Vec::new(),
        base: base.map(Into::into),
        base_revision: Some("18".into()),
        version: ebbtide::model::draft::DraftVersion(1),
        commit_requested: None,
        updated_at: At::test(seconds).wall,
    }
}

fn pretty(value: &Value) -> String {
    ebbtide::app::panes::editor::pretty::pretty(value)
}

/// One of each: fine, moved, of a record that is gone, not valid, new, of an op that is sent, of a lost collection.
fn few() -> Fake {
    let mut data = Fake::default();
    for id in ["u_1", "u_2", "u_3", "u_4"] {
        data.put(&users(), id, bo());
    }
    let mut owner = bo();
    owner["role"] = json!("owner");
    let was = json!({"name": "Bo Lindqvist", "role": "editor", "age": 39, "flags": {"beta": false}});
    let mut on_it = was.clone();
    on_it["name"] = json!("Bo L.");
    let broken = pretty(&bo()).replace("\"editor\"", "\"own");
    let stray = DraftKey { record: CollectionKey::new("old", "letters").record("l_1"), target: DraftTarget::Document };
    data.drafts = vec![
        typed(stray, "{\n  \"to\": \"Ana\"\n}", Some(json!({"to": "Bea"})), NOW - 900_000),
        typed(key("u_4", DraftTarget::Op(Seq(99))), &pretty(&owner), Some(bo()), NOW - 90_000),
        typed(key("u_gone", DraftTarget::Document), &pretty(&owner), Some(bo()), NOW - 7_200),
        typed(key("-NjTq0Zk3yPdQ", DraftTarget::New), "{\n  \"name\": \"Dana 田中\"\n}", None, NOW - 3_600),
        typed(key("u_3", DraftTarget::Field(Pointer::parse("/role"))), "viewer", Some(bo()), NOW - 1_800),
        typed(key("u_2", DraftTarget::Document), &broken, Some(bo()), NOW - 600),
        typed(key("u_1", DraftTarget::Document), &pretty(&on_it), Some(was), NOW - 30),
    ];
    data
}

fn many() -> Fake {
    let mut data = few();
    for number in 0..400_u64 {
        let id = format!("m_{number:04}");
        data.put(&users(), &id, bo());
        let mut mine = bo();
        mine["age"] = json!(number);
        data.drafts.push(typed(key(&id, DraftTarget::Document), &pretty(&mine), Some(bo()), NOW - 500 + number));
    }
    data
}

fn too_long() -> Fake {
    let mut data = Fake::default();
    let id = "an-id-that-is-much-longer-than-any-column-would-ever-be-🦀-田中さん".repeat(3);
    let long = "a sentence that goes on, and on, until nobody remembers how it began ".repeat(30);
    let base = json!({"name": "short", "role": "x"});
    let mine = json!({"name": long, "role": "\u{1b}[31mred\u{202e}evil\u{7}"});
    data.put(&users(), &id, json!({"name": long.to_uppercase(), "role": "y"}));
    let field = Pointer::parse("/a very long member name, longer than half of the pane/deep/deeper/deepest");
    data.drafts = vec![
        typed(key(&id, DraftTarget::Field(field)), &long, Some(base.clone()), NOW - 8_000_000),
        typed(key(&id, DraftTarget::Document), &pretty(&mine), Some(base), NOW - 8_000_000),
    ];
    data
}

fn in_condition(condition: &str, size: (u16, u16)) -> Bench {
    let data = match condition {
        "empty" => Fake::default(),
        "many" => many(),
        "too_long" => too_long(),
        _ => few(),
    };
    let mut bench = Bench::new(setup(size), data, NOW);
    bench.press("gd");
    match condition {
        "many" => drop(bench.press("<ctrl-d>G<ctrl-u>kkk")),
        "failed" => {
            bench.fail_commits = true;
            bench.press("j");
        }
        _ => {}
    }
    bench
}

fn kept(name: &str, bench: &Bench) {
    let size = bench.setup.size;
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/panes/drafts"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), bench.screen()));
}

/// The screen without its message row, which greets after a restart.
fn body(bench: &Bench) -> String {
    let screen = bench.screen();
    let rows: Vec<&str> = screen.lines().collect();
    // The message, and below it the keys or its hint.
    let message = rows.len() - 2;
    rows.iter().enumerate().filter(|(row, _)| *row < message).map(|(_, row)| format!("{row}\n")).collect()
}

#[test]
fn the_list_in_every_condition_and_at_every_size() {
    for size in SIZES {
        for condition in ["empty", "few", "many", "too_long", "failed"] {
            kept(condition, &in_condition(condition, size));
        }
        for (name, keys) in [("gone", "jjjj"), ("invalid", "j"), ("new", "jjj"), ("op_gone", "jjjjj")] {
            let mut bench = in_condition("few", size);
            bench.press(keys);
            kept(name, &bench);
        }
        let mut bench = in_condition("few", size);
        bench.press("D");
        kept("discarding", &bench);
    }
}

#[test]
fn it_comes_back_as_it_was_with_cursor_scroll_and_place() {
    for size in SIZES {
        for (condition, keys) in
            [("few", "jj"), ("many", "kk<ctrl-d>"), ("too_long", "<ctrl-d><ctrl-d>"), ("empty", "j")]
        {
            let mut bench = in_condition(condition, size);
            bench.press(keys);
            bench.press("<F12>");
            let (before, session) = (body(&bench), bench.app.session());
            let bench = bench.restart();
            assert_eq!(body(&bench), before, "{condition} {size:?}");
            assert_eq!(bench.app.session()["drafts"], session["drafts"]);
            if condition == "few" {
                kept("restored", &bench);
            }
        }
    }
}

#[test]
fn no_size_breaks_it() {
    let mut bench = in_condition("too_long", (120, 36));
    for columns in (0..=140).step_by(7) {
        for rows in (0..=40).step_by(3) {
            bench.setup.size = (columns, rows);
            bench.event(Event::Resized { columns, rows });
            assert_eq!(bench.lines().len(), usize::from(rows));
        }
    }
}

#[test]
fn a_draft_is_opened_where_it_was_left_and_left_again() {
    for size in SIZES {
        let mut data = Fake::default();
        data.put(&users(), "u_1", bo());
        let mut bench = Bench::new(setup(size), data, NOW);
        bench.press("e<down><down><end>x<esc>");
        assert!(bench.screen().contains("~  u_1"), "{}", bench.screen());
        bench.press("gd<enter>");
        let sheet = bench.app.editor().sheet().unwrap();
        assert_eq!((sheet.buffer.cursor().line, sheet.buffer.lines()[2].ends_with('x')), (2, true));
        bench.press("<esc>");
        assert_eq!(bench.app.screen().top(), PaneName::Drafts);
    }
}

#[test]
fn a_field_of_a_record_that_is_not_shown_is_edited_over_the_list() {
    let mut bench = in_condition("few", (120, 36));
    bench.press("jj<enter>");
    assert!(bench.screen().contains("/role ~ draft"), "{}", bench.screen());
    bench.press("<enter>");
    assert_eq!(bench.data.ops.last().unwrap().document.as_ref().unwrap()["role"], "viewer");
    assert_eq!(bench.app.screen().top(), PaneName::Drafts);
}

#[test]
fn discarding_asks_keeps_the_text_and_the_vault_brings_it_back() {
    let mut bench = in_condition("few", (120, 36));
    let before = bench.data.drafts.len();
    bench.press("jDn");
    assert_eq!(bench.data.drafts.len(), before, "no is no");
    bench.press("Dy");
    assert_eq!(bench.data.drafts.len(), before - 1);
    assert!(bench.screen().contains("Draft of users/u_2 discarded"), "{}", bench.screen());
    assert_eq!(bench.data.vault.last().unwrap().0.reason, VaultReason::DraftDiscarded);
    bench.press("gv");
    let screen = bench.screen();
    assert!(screen.contains("draft discarded") && screen.contains("+   \"role\": \"own,"), "{screen}");
    bench.press("]");
    assert!(bench.screen().contains("\"role\": \"own,"), "{}", bench.screen());
    bench.press("r");
    assert_eq!(bench.app.screen().top(), PaneName::Drafts);
    assert!(bench.screen().contains("The draft of users/u_2 is back"), "{}", bench.screen());
    bench.press("<enter>");
    let sheet = bench.app.editor().sheet().unwrap();
    assert!(sheet.buffer.text().contains("\"own,") && sheet.key.record.id.as_str() == "u_2");
}

#[test]
fn the_editors_own_discarding_keeps_the_text_too() {
    let mut data = Fake::default();
    data.put(&users(), "u_1", bo());
    let mut bench = Bench::new(setup((120, 36)), data, NOW);
    bench.press("e<end>{half a word<F7>");
    assert!(bench.screen().contains("The vault keeps what was typed"), "{}", bench.screen());
    bench.press("y");
    assert!(bench.data.drafts.is_empty() && !bench.app.editor().is_open());
    bench.press("gvr<enter>");
    assert!(bench.app.editor().sheet().unwrap().buffer.text().starts_with("{{half a word"), "{}", bench.screen());
    bench.press("<ctrl-z><ctrl-z><ctrl-z><ctrl-z>");
    assert!(bench.app.editor().sheet().unwrap().buffer.text().starts_with("{\n"), "with its undo list");
}

#[test]
fn a_draft_is_queued_from_the_list_and_one_that_cannot_be_opens_and_says_why() {
    let mut bench = in_condition("few", (120, 36));
    bench.press("w");
    let op = bench.data.ops.last().unwrap();
    assert_eq!((op.record.id.as_str(), op.changes.len()), ("u_1", 1), "what changed meanwhile is not taken back");
    assert_eq!(bench.app.screen().top(), PaneName::Drafts);
    bench.press("w");
    assert_eq!(bench.app.screen().top(), PaneName::Editor);
    assert!(bench.screen().contains("Not queued yet: Ln 3"), "{}", bench.screen());
}

#[test]
fn the_text_of_a_draft_is_copied() {
    let mut bench = in_condition("few", (120, 36));
    bench.press("jyy");
    let Some(Effect::Copy { text, .. }) = bench.effects.pop() else { panic!("{:?}", bench.effects) };
    assert!(text.contains("\"own,"), "{text}");
}

#[test]
fn a_recovered_draft_opens_and_makes_its_record_anew() {
    for size in SIZES {
        let mut bench = in_condition("few", size);
        bench.press("jjjj<enter>");
        let sheet = bench.app.editor().sheet().unwrap();
        assert_eq!((sheet.key.record.id.as_str(), &sheet.key.target), ("u_gone", &DraftTarget::Document));
        assert!(sheet.buffer.text().contains("owner"));
        kept("recovered", &bench);
        let shown = body(&bench);
        let mut bench = bench.restart();
        assert_eq!(body(&bench), shown);
        bench.press("<F2>");
        let op = bench.data.ops.last().unwrap();
        assert_eq!((op.record.id.as_str(), op.kind), ("u_gone", OpKind::Create));
        assert!(!bench.data.drafts.iter().any(|draft| draft.key.record.id.as_str() == "u_gone"));
    }
}

#[test]
fn a_record_that_vanishes_under_its_open_draft_touches_nothing_of_it() {
    let mut data = Fake::default();
    data.put(&users(), "u_1", bo());
    let mut bench = Bench::new(setup((120, 36)), data, NOW);
    bench.press("e<down><down><end>x");
    let before = (bench.data.drafts.clone(), bench.app.editor().sheet().unwrap().buffer.clone());
    bench.data.bases.clear();
    bench.changed();
    assert!(bench.screen().contains("users/u_1 is gone: this is the recovered draft"), "{}", bench.screen());
    assert_eq!(before, (bench.data.drafts.clone(), bench.app.editor().sheet().unwrap().buffer.clone()));
    let mut bench = bench.restart();
    assert_eq!(before.1.text(), bench.app.editor().sheet().unwrap().buffer.text());
    bench.press("<esc>gd");
    assert!(bench.screen().contains("gone: recovered"), "{}", bench.screen());
}

#[test]
fn a_draft_of_an_op_that_was_sent_becomes_one_of_the_record() {
    let mut bench = in_condition("few", (120, 36));
    bench.press("jjjjj<enter>");
    let sheet = bench.app.editor().sheet().unwrap();
    assert_eq!((&sheet.key.target, sheet.key.record.id.as_str()), (&DraftTarget::Document, "u_4"));
    let of_record: Vec<_> = bench.data.drafts.iter().filter(|draft| draft.key.record.id.as_str() == "u_4").collect();
    assert_eq!((of_record.len(), &of_record[0].key.target), (1, &DraftTarget::Document));
    bench.press("<F2>");
    let op = bench.data.ops.last().unwrap();
    assert_eq!((op.kind, op.document.as_ref().unwrap()["role"].as_str()), (OpKind::Update, Some("owner")));
}

#[test]
fn a_collection_that_is_not_configured_any_more_is_told_once_and_its_draft_stays() {
    let bench = in_condition("few", (120, 36));
    let told = |bench: &Bench| bench.data.activity.iter().filter(|(_, row)| row.text.contains("`old/letters`")).count();
    assert_eq!(told(&bench), 1);
    let mut bench = bench.restart();
    assert_eq!(told(&bench), 1, "told once");
    bench.press("G<enter>");
    assert!(bench.app.editor().sheet().unwrap().buffer.text().contains("Ana"));
    bench.press("<F2>");
    assert!(bench.screen().contains("is not configured; nothing can be sent to it"), "{}", bench.screen());
    assert!(bench.data.ops.is_empty() && bench.app.editor().is_open());
}

#[test]
fn what_both_sides_changed_is_chosen_by_keys_that_come_back_after_a_kill() {
    for size in SIZES {
        let mut data = Fake::default();
        data.put(&users(), "u_1", bo());
        let mut bench = Bench::new(setup(size), data, NOW);
        bench.press("e<down><down><end><left><left>x");
        let there = json!({"name": "Bo L", "role": "viewer", "age": 42, "flags": {"beta": true}});
        bench.data.put(&users(), "u_1", there);
        bench.changed();
        assert!(bench.app.message().unwrap().text.contains("3 fields changed since you"), "{}", bench.screen());
        kept("moved", &bench);
        bench.press("<F6>");
        kept("choosing", &bench);
        bench.press("t");
        let shown = body(&bench);
        let mut bench = bench.restart();
        assert_eq!(body(&bench), shown, "half-made choices come back");
        bench.press("<enter>");
        kept("merged", &bench);
        let text = bench.app.editor().sheet().unwrap().buffer.text();
        assert!(text.contains("viewer") && text.contains("Bo L") && text.contains("42"), "{text}");
        bench.press("<F2>");
        assert!(
            bench.data.ops.is_empty() && bench.data.drafts.is_empty(),
            "theirs everywhere: nothing is left to send"
        );
    }
}

#[test]
fn an_edit_of_a_queued_op_does_not_take_back_what_was_changed_in_it_meanwhile() {
    let mut data = Fake::default();
    data.put(&users(), "u_1", bo());
    let mut mine = bo();
    mine["role"] = json!("owner");
    let seq = data.op(&users().record("u_1"), Some(mine.clone()), OpState::Queued, NOW - 60);
    let mut typed_text = mine.clone();
    typed_text["age"] = json!(50);
    data.drafts = vec![typed(key("u_1", DraftTarget::Op(seq)), &pretty(&typed_text), Some(mine.clone()), NOW - 30)];
    mine["name"] = json!("Bo L");
    data.find(seq).document = Some(mine);
    let mut bench = Bench::new(setup((120, 36)), data, NOW);
    bench.press("gdw");
    let op = bench.data.ops.last().unwrap();
    let document = op.document.as_ref().unwrap();
    assert_eq!((&document["age"], &document["name"], &document["role"]), (&json!(50), &json!("Bo L"), &json!("owner")));
}
