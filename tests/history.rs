//! Where was I? Earlier moments of a session, the way back to one, and the screen that could not be used.

mod common;

use common::{bench::*, fake::Fake};
use ebbtide::{
    app::effect::Effect,
    model::{
        ids::CollectionKey,
        op::OpState,
        session::{MomentKind, Slice},
        time::At,
    },
};
use serde_json::json;

const NOW: u64 = 10_000_800;
const SIZES: [(u16, u16); 2] = [(120, 36), (80, 24)];

fn key(name: &str) -> CollectionKey {
    CollectionKey::new("acme-prod", name)
}

fn data() -> Fake {
    let mut data = Fake::default();
    for number in 0..40 {
        let role = if number % 2 == 0 { "admin" } else { "editor" };
        data.put(&key("users"), &format!("u_{number:05}"), json!({"name": format!("Person {number}"), "role": role}));
    }
    data.put(&key("orders"), "o_1", json!({"customer": "u_00001", "total": 12.5}));
    data
}

/// A morning: orders before a pause, then a filtered list of users; now a record half edited.
fn morning(size: (u16, u16)) -> Bench {
    let mut bench = Bench::new(setup(size), data(), NOW - 9_000);
    bench.press("gcorders<enter>");
    bench.keep_moment(MomentKind::Start);
    bench.clock = NOW - 4_000;
    bench.press("gcusers<enter>/role:admin<enter>jjj");
    bench.keep_moment(MomentKind::Pause);
    bench.clock = NOW - 600;
    bench.press("0");
    bench.keep_moment(MomentKind::Use);
    bench.clock = NOW;
    bench
}

fn kept(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/panes/history"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn earlier_screens_are_seen_before_one_is_gone_back_to() {
    for size in SIZES {
        let name = |what: &str| format!("{what}_{}x{}", size.0, size.1);
        let mut bench = Bench::new(setup(size), data(), NOW);
        bench.press("gh");
        kept(&name("empty"), &bench.screen());
        let mut bench = morning(size);
        bench.press("gh");
        kept(&name("newest"), &bench.screen());
        bench.press("h");
        assert!(bench.screen().contains("filter role:admin"), "{}", bench.screen());
        kept(&name("before_the_pause"), &bench.screen());
        bench.press("G");
        assert!(bench.screen().contains("o_1"), "the preview has its data:\n{}", bench.screen());
        let screen = bench.screen();
        let bench = bench.restart();
        let restored = bench.screen();
        let message = usize::from(size.1) - 2;
        for (_, (before, after)) in screen.lines().zip(restored.lines()).enumerate().filter(|(row, _)| *row != message)
        {
            assert_eq!(before, after, "restored like any pane");
        }
        let mut bench = bench;
        bench.resize(60, 16);
        kept("oldest_60x16", &bench.screen());
    }
}

#[test]
fn going_back_brings_the_place_back_and_leaves_what_was_typed_and_queued() {
    let mut bench = morning((120, 36));
    let mut changed = bench.data.local(&key("users").record("u_00002")).unwrap();
    changed["role"] = json!("owner");
    bench.data.op(&key("users").record("u_00002"), Some(changed), OpState::Queued, NOW - 100);
    bench.changed();
    bench.press("e<end>x<esc>");
    let (drafts, ops) = (bench.data.drafts.clone(), bench.data.ops.clone());
    assert_eq!(drafts.len(), 1);
    bench.press("ghh<enter>");
    let screen = bench.screen();
    assert!(screen.contains("FILTER role:admin") && screen.contains("is back"), "{screen}");
    assert!(!screen.contains("History: where"), "{screen}");
    assert_eq!((&bench.data.drafts, &bench.data.ops), (&drafts, &ops));
    assert_eq!(bench.data.moments[0].kind, MomentKind::Left, "what was on the screen is a moment now");
    let again = bench.restart();
    assert!(again.screen().contains("FILTER role:admin"), "the way back is committed: {}", again.screen());
    let mut again = again;
    again.press("gh<enter>");
    assert!(!again.screen().contains("FILTER"), "and the way forth: {}", again.screen());
}

#[test]
fn a_moment_given_up_meanwhile_makes_way_for_the_next_older_one() {
    let mut bench = morning((120, 36));
    bench.press("ghh");
    bench.data.moments.retain(|moment| moment.id != 2);
    bench.changed();
    assert!(bench.screen().contains("2 of 2"), "{}", bench.screen());
}

fn damaged(mut bench: Bench, names: &[&str]) -> Bench {
    for name in names {
        let slice = Slice { name: (*name).to_owned(), version: 1, body: "{\"focus\":".to_owned() };
        bench.saved.insert((*name).to_owned(), slice);
    }
    bench.keep_moment(MomentKind::Start);
    bench.restart()
}

#[test]
fn a_damaged_screen_offers_the_previous_good_one() {
    for size in SIZES {
        let mut bench = damaged(morning(size), &["screen", "records"]);
        kept(&format!("damaged_{}x{}", size.0, size.1), &bench.screen());
        bench.press("o");
        assert!(bench.screen().contains("ebbtide session show default --moment 4"), "{}", bench.screen());
        bench.press("p");
        let screen = bench.screen();
        assert!(screen.contains("is back") && screen.contains("users"), "{screen}");
        assert!(!screen.contains("could not be read"), "{screen}");
    }
}

#[test]
fn one_damaged_pane_is_a_line_not_a_screen() {
    let bench = damaged(morning((120, 36)), &["outbox"]);
    let screen = bench.screen();
    assert!(screen.contains("The saved state of outbox could not be read"), "{screen}");
    assert!(!screen.contains("previous good screen"), "{screen}");
}

#[test]
fn without_a_screen_that_was_set_aside_nothing_leads_to_the_recovery_screen() {
    for words in ["previous good screen", "where it is kept"] {
        let mut bench = morning((120, 36));
        bench.press(&format!(":{words}"));
        let offered = bench.screen();
        bench.press("<enter>");
        assert!(!bench.screen().contains("Recovery"), "{offered}\n{}", bench.screen());
    }
}

#[test]
fn the_recovery_screen_itself_comes_back_after_a_kill() {
    let bench = damaged(morning((120, 36)), &["screen"]);
    let screen = bench.screen();
    let mut bench = bench.restart();
    assert!(bench.screen().contains("Your last screen could not be read"), "{}", bench.screen());
    assert_eq!(bench.screen().lines().nth(12), screen.lines().nth(12));
    bench.press("<enter>");
    assert!(!bench.screen().contains("could not be read"), "{}", bench.screen());
}

#[test]
fn sessions_are_named_switched_copied_and_renamed() {
    use ebbtide::model::session::SessionInfo;
    for size in SIZES {
        let mut data = data();
        for (name, open) in [("default", true), ("fixing-orders", false), ("in-a-window", true)] {
            let saved_at = At::test(NOW - 400).wall;
            data.sessions.push(SessionInfo { name: name.into(), saved_at, slices: 17, moments: 3, open });
        }
        let mut bench = Bench::new(setup(size), data, NOW);
        bench.press("gsj<enter>");
        assert_eq!(bench.effects.pop(), Some(Effect::SwitchSession { name: "fixing-orders".into() }));
        bench.press("gsj<enter>");
        assert!(bench.screen().contains("`in-a-window` is open in another window"), "{}", bench.screen());
        bench.press("r");
        assert!(bench.screen().contains("is open in another window"), "{}", bench.screen());
        bench.press("kr<ctrl-u>default<enter>");
        assert!(bench.screen().contains("There is a session `default` already"), "{}", bench.screen());
        bench.press("<ctrl-u>a/b<enter>");
        assert!(bench.screen().contains("`a/b` cannot be the name"), "{}", bench.screen());
        let mut bench = bench.restart();
        kept(&format!("naming_{}x{}", size.0, size.1), &bench.screen());
        bench.press("<ctrl-u>orders<enter>");
        let renamed = Effect::RenameSession { from: "fixing-orders".into(), to: "orders".into() };
        assert_eq!(bench.effects.pop(), Some(renamed));
        bench.press("ggc<enter>");
        let copied = Effect::CopySession { from: "default".into(), to: "default-copy".into() };
        assert_eq!(bench.effects.pop(), Some(copied));
        bench.press("anight<enter>");
        assert_eq!(bench.effects.pop(), Some(Effect::SwitchSession { name: "night".into() }));
    }
}
