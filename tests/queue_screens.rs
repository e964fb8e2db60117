//! The outbox on the screen: the exact request, surgery on an op, what is old.

mod common;

use common::{bench::*, fake::Fake};
use ebbtide::{
    app::effect::Effect,
    model::{
        ids::{CollectionKey, Seq},
        op::{OpError, OpState, Precondition},
        sync_status::{Connectivity, PushStatus, SourceStatus},
        time::At,
    },
};
use serde_json::json;

const NOW: u64 = 10_000_800;
const SIZES: [(u16, u16); 2] = [(120, 36), (80, 24)];

fn key(name: &str) -> CollectionKey {
    CollectionKey::new("acme-prod", name)
}

/// 112 refused, 113 with four changes, 114 behind it, 115 held, 116 a new record, 117 in doubt and old, 118 a deletion.
fn data() -> Fake {
    let mut data = Fake::default();
    for (id, name) in [("u_1", "Ana Sousa"), ("u_2", "Bea Novak"), ("u_3", "Old Robot"), ("u_4", "Gwen Evans")] {
        data.put(&key("users"), id, json!({"name": name, "role": "editor", "age": 40, "flags": {"beta": false}}));
    }
    data.put(&key("orders"), "o_1", json!({"customer": "u_1", "total": 12.5}));
    let price = json!({"customer": "u_1", "total": -3, "note": "it's \"paid\""});
    let refused = data.op(&key("orders").record("o_1"), Some(price), OpState::Rejected, NOW - 2_400);
    data.fail(refused, 422, "total must not be negative", 1);
    let four = json!({"name": "Bea N.", "role": "admin", "age": 41, "flags": {"beta": true}});
    data.op(&key("users").record("u_2"), Some(four.clone()), OpState::Queued, NOW - 1_300);
    let mut more = four;
    more["role"] = json!("owner");
    data.op(&key("users").record("u_2"), Some(more), OpState::Queued, NOW - 1_200);
    let ana = json!({"name": "Ana", "role": "editor", "age": 40, "flags": {"beta": false}});
    data.op(&key("users").record("u_1"), Some(ana), OpState::Held, NOW - 1_000);
    data.op(&key("users").record("u_9"), Some(json!({"name": "Dana", "role": "viewer"})), OpState::Queued, NOW - 900);
    let gwen = json!({"name": "Gwen", "role": "editor", "age": 40, "flags": {"beta": false}});
    let doubt = data.op(&key("users").record("u_4"), Some(gwen), OpState::InDoubt, NOW - 200_000);
    let op = data.find(doubt);
    op.attempts = 2;
    op.precondition = Some(Precondition::Revision("17".into()));
    op.request_hash = Some("9f86d081884c7d65".to_owned());
    data.op(&key("users").record("u_3"), None, OpState::Queued, NOW - 60);
    data
}

fn bench(size: (u16, u16)) -> Bench {
    Bench::new(setup(size), data(), NOW)
}

/// The outbox on the whole body with the op selected.
fn at(size: (u16, u16), seq: i64) -> Bench {
    let mut bench = bench(size);
    bench.press("4z");
    for _ in 112..seq {
        bench.press("j");
    }
    bench
}

fn kept(name: &str, bench: &Bench, size: (u16, u16)) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/screens"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(format!("queue_{name}_{}x{}", size.0, size.1), bench.screen()));
}

/// The screen without its message row, which greets after a restart.
fn body(bench: &Bench) -> String {
    let screen = bench.screen();
    let rows: Vec<&str> = screen.lines().collect();
    let message = rows.len() - 2;
    rows.iter().enumerate().filter(|(row, _)| *row != message).map(|(_, row)| format!("{row}\n")).collect()
}

#[test]
fn the_request_of_each_op_is_shown_as_it_will_be_sent() {
    for size in SIZES {
        for (name, seq) in
            [("refused", 112), ("coalesced", 113), ("held", 115), ("create", 116), ("doubt", 117), ("delete", 118)]
        {
            let mut bench = at(size, seq);
            bench.press("]");
            kept(&format!("request_{name}"), &bench, size);
        }
    }
}

#[test]
fn the_end_of_a_long_request_is_scrolled_to_and_still_there_after_a_restart() {
    for size in SIZES {
        let mut data = data();
        let note: String = (0..400).map(|n| format!("word {n} ")).collect();
        let op = data.find(Seq(116));
        op.document = Some(json!({"name": "Dana", "note": note}));
        let mut bench = Bench::new(setup(size), data, NOW);
        bench.press("4zjjjj]");
        assert!(bench.screen().contains("more"), "{}", bench.screen());
        assert!(!bench.screen().contains("word 399"), "{}", bench.screen());
        bench.press("<ctrl-d>");
        let from = body(&bench);
        for _ in 0..40 {
            bench.press("<ctrl-d>");
        }
        kept("request_end", &bench, size);
        assert!(bench.screen().contains("word 399"), "{}", bench.screen());
        let end = body(&bench);
        let mut bench = bench.restart();
        assert_eq!(body(&bench), end, "as far down as before");
        for _ in 0..40 {
            bench.press("<ctrl-u>");
        }
        bench.press("<ctrl-d>");
        assert_eq!(body(&bench), from);
    }
}

#[test]
fn while_nothing_goes_out_the_sync_pane_counts_what_waits() {
    let mut data = data();
    data.ops.truncate(1);
    let mut bench = Bench::new(setup(SIZES[0]), data, NOW);
    let mut status: SourceStatus = serde_json::from_value(json!({
        "source": "acme-prod", "connectivity": Connectivity::default(), "paused": true,
        "push": PushStatus { waiting_for: Some("paused by you".to_owned()), ..PushStatus::default() },
        "collections": [], "at": At::test(NOW).wall,
    }))
    .unwrap();
    bench.status(vec![status.clone()]);
    assert!(bench.screen().contains("push  1: paused by you"), "{}", bench.screen());
    status.push.total = 3;
    bench.status(vec![status.clone()]);
    assert!(bench.screen().contains("push  1: paused by you"), "what was counted before: {}", bench.screen());
    status.push.waiting_for = None;
    bench.status(vec![status]);
    assert!(bench.screen().contains("push  0 of 3"), "{}", bench.screen());
}

#[test]
fn old_ops_are_called_old() {
    for size in SIZES {
        let bench = at(size, 117);
        kept("old", &bench, size);
        assert!(bench.screen().contains("2d*"), "{}", bench.screen());
    }
}

#[test]
fn fields_are_chosen_and_split_out() {
    for size in SIZES {
        let mut bench = at(size, 113);
        bench.press("sj<space>jj<space>");
        kept("splitting", &bench, size);
        let before = body(&bench);
        let mut bench = bench.restart();
        assert_eq!(body(&bench), before, "a choice half made comes back");
        bench.press("<enter>");
        kept("split", &bench, size);
        let held = bench.data.ops.last().unwrap();
        assert_eq!(held.state, OpState::Held);
        let places: Vec<String> = held.changes.iter().map(|change| change.pointer.to_string()).collect();
        assert_eq!(places, ["/role", "/flags/beta"]);
    }
}

#[test]
fn a_choice_is_left_by_esc_and_never_takes_everything() {
    let mut bench = at(SIZES[0], 113);
    bench.press("s<space>j<space>j<space>j<space><enter>");
    assert!(bench.screen().contains("Nothing would be left to go"), "{}", bench.screen());
    bench.press("<esc>");
    assert!(!bench.screen().contains("WHICH FIELDS SHALL WAIT"), "{}", bench.screen());
    assert!(bench.screen().contains("Op 113"), "the pane stays as large as it was");
    let mut bench = at(SIZES[0], 115);
    bench.press("s");
    assert!(bench.screen().contains("only one part; hold it instead"), "{}", bench.screen());
}

#[test]
fn an_op_that_alone_does_not_go_through_says_so() {
    for size in SIZES {
        let mut data = data();
        let op = data.find(Seq(113));
        (op.attempts, op.next_attempt_at) = (4, Some(At::test(NOW + 90).wall));
        let said =
            OpError { at: At::test(NOW - 5).wall, status: Some(503), message: "no worker for this key".to_owned() };
        op.last_error = Some(said.own());
        let mut bench = Bench::new(setup(size), data, NOW);
        bench.press("4zj");
        kept("own_trouble", &bench, size);
        assert!(bench.screen().contains("Other changes go through"), "{}", bench.screen());
    }
}

#[test]
fn e_edits_what_an_op_will_send() {
    for size in SIZES {
        let mut bench = at(size, 112);
        bench.press("e");
        kept("edit", &bench, size);
        bench.press("<down><down><end><left>");
        let typed = body(&bench);
        let mut bench = bench.restart();
        assert_eq!(body(&bench), typed, "not begun, and still where it was");
        bench.press("<backspace><backspace>7");
        bench.press("<F2>");
        let op = bench.data.ops.first().unwrap();
        assert!(op.seq > Seq(112), "{op:?}");
        assert_eq!(bench.data.drafts, []);
    }
}

#[test]
fn what_cannot_be_edited_says_why() {
    let mut bench = at(SIZES[0], 117);
    bench.press("e");
    assert!(bench.screen().contains("may already be applied"), "{}", bench.screen());
    bench.press("S");
    assert!(bench.screen().contains("may already be applied"), "{}", bench.screen());
    bench.press("je");
    assert!(bench.screen().contains("deletes the record"), "{}", bench.screen());
}

#[test]
fn an_op_is_sent_now_by_a_key_of_its_own() {
    let mut bench = at(SIZES[0], 115);
    bench.press("!");
    assert_eq!(bench.data.find(Seq(115)).state, OpState::Queued);
    assert!(bench.screen().contains("Send 115"), "{}", bench.screen());
}

#[test]
fn the_request_is_copied_as_a_command() {
    let mut bench = at(SIZES[0], 113);
    bench.press("yc");
    let Some(Effect::Copy { text, what }) = bench.effects.pop() else { panic!("{:?}", bench.effects) };
    assert_eq!(what, "the request of op 113 for curl");
    assert_eq!(
        text,
        "# update users/u_2 (op 113, 114)\n\
         curl -sS -i -X PUT \\\n  'https://acme-prod.example.test/users/u_2.json' \\\n  -H 'accept: application/json' \\\n  \
         -H 'if-match: 18' \\\n  -H 'x-firebase-etag: true' \\\n  -H 'content-type: application/json' \\\n  \
         --data-binary '{\"name\":\"Bea N.\",\"role\":\"owner\",\"age\":41,\"flags\":{\"beta\":true}}'"
    );
    assert!(bench.screen().contains("Copied the request of op 113 for curl"), "{}", bench.screen());
}

#[test]
fn a_view_of_some_states_is_named_on_the_main_screen_and_reset() {
    for size in SIZES {
        let mut bench = bench(size);
        bench.press("4vv");
        assert!(bench.screen().contains("4 Outbox 7 [held]"), "{}", bench.screen());
        bench = bench.restart();
        assert!(bench.screen().contains("4 Outbox 7 [held]"), "also after a restart: {}", bench.screen());
        bench.press("0");
        let whole = bench.screen();
        assert!(whole.contains("4 Outbox 7") && !whole.contains("[held]"), "{whole}");
    }
}

/// The heading of what is settled takes rows only where it is in sight.
#[test]
fn the_outbox_hides_no_op_above_rows_that_are_empty() {
    for size in SIZES {
        let mut settled = data();
        settled.history = std::mem::take(&mut settled.ops).into_iter().rev().collect();
        settled.history.iter_mut().for_each(|op| op.state = OpState::Acked);
        let fits = if size.1 < 30 { 6 } else { 7 };
        settled.history.truncate(fits);
        let mut bench = Bench::new(setup(size), settled, NOW);
        bench.press("4zG");
        let screen = bench.screen();
        let shown = (119 - fits as i64..=118).filter(|seq| screen.contains(&format!(" {seq}  "))).count();
        assert_eq!(shown, fits, "{screen}");
    }
}

#[test]
fn the_last_of_a_long_outbox_is_gone_to_and_what_is_below_is_counted() {
    for size in SIZES {
        let mut data = data();
        for n in 0..400 {
            let record = key("users").record(format!("new_{n}"));
            data.op(&record, Some(json!({"name": "x"})), OpState::Queued, NOW - 5_000 - n);
        }
        let mut bench = Bench::new(setup(size), data, NOW);
        bench.press("4");
        let screen = bench.screen();
        assert!(screen.contains("more below"), "{screen}");
        bench.press("j".repeat(60).as_str());
        assert!(bench.screen().contains("346 more below"), "of 407, the 61st in the last row: {}", bench.screen());
        bench.press("G");
        let screen = bench.screen();
        assert!(screen.contains("> 518 ") && !screen.contains("more below"), "{screen}");
        bench.press("gg");
        assert!(bench.screen().contains("> 112 "));
    }
}
