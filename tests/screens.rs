//! The screens: every pane in every condition at two sizes, restoration, and what keys do.

mod common;
#[path = "screens/link.rs"]
mod link;

use common::{bench::*, fake::Fake};
use ebbtide::app::{effect::Effect, event::Event};
use ebbtide::model::{
    activity::{Activity, Severity},
    conflict::Conflict,
    edit::Change,
    ids::{CollectionKey, Revision, Seq},
    json::Pointer,
    op::{Op, OpError, OpState},
    spend::{Spent, SpentToday},
    sync_status::*,
    time::{At, Timestamp},
    wire::Link,
};
use serde_json::json;

const NOW: u64 = 10_000_800;

fn key(name: &str) -> CollectionKey {
    CollectionKey::new(if name == "visits" { "field-notes" } else { "acme-prod" }, name)
}

fn wall(seconds: u64) -> Timestamp {
    At::test(seconds).wall
}

/// The data of the mock-ups.
fn few() -> Fake {
    let mut data = Fake::default();
    let users = key("users");
    let people = [
        ("u_00007", "Old Robot", "admin"),
        ("u_00012", "Ana Sousa", "admin"),
        ("u_00019", "Arjun Mehta", "admin"),
        ("u_00031", "Bea Novak", "admin"),
        ("u_00042", "Bo Lindqvist", "editor"),
        ("u_00057", "Chidi Okafor", "admin"),
        ("u_00063", "Emi 田中", "viewer"),
        ("u_00071", "Faisal Khan", "admin"),
        ("u_00090", "Gwen Evans", "admin"),
        ("u_00104", "דוד לוי", "viewer"),
    ];
    for (number, (id, name, role)) in people.into_iter().enumerate() {
        data.put(
            &users,
            id,
            json!({
                "profile": {"name": name, "email": format!("{}@acme.test", &id[2..])},
                "name": name,
                "role": role,
                "addresses": [{"kind": "home", "city": "Malmö"}, {"kind": "work", "city": "Lund"}],
                "flags": {"beta": number % 2 == 0, "tags": ["vip", "eu"]},
                "last_mod": 1_700_000_412_123_i64,
            }),
        );
        data.received_at.insert(users.record(id), wall(NOW - 840 - 4_000 * number as u64 % 7_000));
    }
    for number in 0..12 {
        data.put(
            &key("orders"),
            &format!("o_{number:04}"),
            json!({"customer": "u_00042", "total": 118.4 + f64::from(number)}),
        );
        data.put(
            &key("products"),
            &format!("p_{number:03}"),
            json!({"title": format!("Mug {number}"), "price": 12, "stock": 40, "dims": {"h": 9, "w": 8}}),
        );
    }
    data.put(&key("visits"), "v_77", json!({"place": "North quay", "when": "2023-11-14"}));
    data
}

fn outbox(data: &mut Fake) {
    let mut product = json!({"title": "Mug, blue", "price": 12.5, "stock": 40, "dims": {"h": 10, "w": 8}});
    let conflict = data.op(&key("products").record("p_003"), Some(product.clone()), OpState::Conflict, NOW - 2_460);
    data.find(conflict).attempts = 1;
    product["price"] = json!(13);
    let mine = data.find(conflict).document.clone();
    let base = data.bases[&key("products")].get(&"p_003".into()).cloned();
    data.conflicts.push(Conflict {
        id: 1,
        record: key("products").record("p_003"),
        seq: conflict,
        detected_at: wall(NOW - 2_460),
        base,
        mine,
        theirs: Some(json!({"title": "Mug 3", "price": 13, "stock": 38, "dims": {"h": 10, "w": 8}})),
        theirs_revision: Some(Revision::from("9f31c0de77")),
        was_in_doubt: false,
        resolved_at: None,
        resolution: None,
    });
    let order = json!({"customer": "u_00042", "email": "bo@acme", "lines": [1, 2], "total": 118.4});
    let rejected = data.op(&key("orders").record("o_9912"), Some(order), OpState::Rejected, NOW - 2_400);
    data.fail(rejected, 422, "email must be a valid address", 3);
    data.find(rejected).sent_at = Some(wall(NOW - 2_380));
    let mut bea = data.local(&key("users").record("u_00031")).unwrap();
    bea["role"] = json!("owner");
    data.op(&key("users").record("u_00031"), Some(bea), OpState::Queued, NOW - 1_320);
    data.op(&key("users").record("u_00007"), None, OpState::Queued, NOW - 1_200);
    data.op(
        &key("visits").record("v_77"),
        Some(json!({"place": "South quay", "when": "2023-11-14"})),
        OpState::Held,
        NOW - 1_080,
    );
    data.op(
        &key("users").record("-NjTq0Zk3yPdQ"),
        Some(json!({"name": "Dana Reyes", "role": "admin"})),
        OpState::Queued,
        NOW - 900,
    );
    let mut bo = data.local(&key("users").record("u_00042")).unwrap();
    bo["role"] = json!("admin");
    data.op(&key("users").record("u_00042"), Some(bo), OpState::Queued, NOW - 20);
    let mut sent = data.ops[2].clone();
    sent.seq = Seq(111);
    sent.state = OpState::Acked;
    sent.settled_at = Some(wall(NOW - 3_120));
    data.history.push(sent);
    data.note(NOW - 3_000, Severity::Info, "session", "Started");
    data.note(NOW - 2_460, Severity::Warning, "outbox", "products/p_003 was changed on the server too");
    data.note(
        NOW - 2_400,
        Severity::Problem,
        "outbox",
        "orders/o_9912 was rejected: 422 email must be a valid address",
    );
}

fn online() -> Vec<SourceStatus> {
    let status = |source: &str, names: &[&str]| SourceStatus {
        source: source.into(),
        connectivity: Connectivity {
            state: ConnectivityState::Online,
            since: Some(wall(NOW - 600)),
            evidence: Evidence {
                round_trips_ms: vec![31, 28, 40, 33, 60, 29, 31, 30, 44, 31],
                last_success: Some(wall(NOW - 4)),
                ..Evidence::default()
            },
        },
        paused: false,
        push: PushStatus::default(),
        collections: names
            .iter()
            .map(|name| CollectionStatus {
                phase: PullPhase::Live,
                last_pull: Some(wall(NOW - 60)),
                ..CollectionStatus::new(key(name))
            })
            .collect(),
        spent: SpentToday::default(),
        account: Account::default(),
        at: wall(NOW),
    };
    vec![status("acme-prod", &["users", "orders", "products", "carts"]), status("field-notes", &["visits"])]
}

fn offline() -> Vec<SourceStatus> {
    let mut statuses = online();
    let acme = &mut statuses[0];
    acme.connectivity.state = ConnectivityState::Offline;
    acme.connectivity.since = Some(wall(NOW - 840));
    acme.connectivity.evidence = Evidence {
        chain: vec![LinkFact { link: Link::Dns, ok: false, detail: "name not resolved".to_owned() }],
        summary: "dns: name not resolved".to_owned(),
        last_success: Some(wall(NOW - 840)),
        failures_in_a_row: 8,
        next_probe: Some(wall(NOW + 21)),
        ..Evidence::default()
    };
    acme.push = PushStatus { total: 7, waiting_for: Some("offline".to_owned()), ..PushStatus::default() };
    acme.collections[0].phase = PullPhase::Stalled;
    acme.collections[0].done = 24_105;
    acme.collections[0].total = Some(48_210);
    acme.collections[0].bytes = 12_400_000;
    acme.collections[2].phase = PullPhase::Settled;
    acme.collections[3].phase = PullPhase::NeverSynced;
    acme.collections[3].last_pull = None;
    statuses
}

// ---------------------------------------------------------------------------------------------------------------
// Every pane in every condition.

const SIZES: [(u16, u16); 2] = [(120, 36), (80, 24)];

/// How a pane is brought to the front.
const PANES: [(&str, &str); 15] = [
    ("collections", "1"),
    ("records", "2"),
    ("record", "3"),
    ("outbox", "4"),
    ("inspector", "4z"),
    ("connectivity", "5z"),
    ("sync", "6z"),
    ("conflicts", "C"),
    ("editor", "e"),
    ("log", "L"),
    ("help", "?"),
    ("palette", ":s"),
    ("goto", "<ctrl-g>"),
    ("sessions", "gs"),
    ("vault", "gv"),
];

fn sessions(data: &mut Fake) {
    for (name, seconds, open) in [("default", NOW - 30, true), ("fixing orders", NOW - 90_000, false)] {
        data.sessions.push(ebbtide::model::session::SessionInfo {
            name: name.into(),
            saved_at: wall(seconds),
            slices: 14,
            moments: if open { 7 } else { 0 },
            open,
        });
    }
}

fn lost(data: &mut Fake) {
    use ebbtide::model::vault::VaultReason::*;
    let mut bo = data.local(&key("users").record("u_00042")).unwrap();
    bo["role"] = json!("owner");
    data.lose(&key("users").record("u_00042"), bo.clone(), Discarded, NOW - 90_000);
    bo["profile"]["email"] = json!("bo@elsewhere.test");
    data.lose(&key("users").record("u_00042"), bo, Undone, NOW - 7_200);
    let mug = json!({"title": "Mug", "price": 11, "stock": 38, "dims": {"h": 9, "w": 8}});
    data.lose(&key("products").record("p_001"), mug.clone(), LocalOverwritten, NOW - 3_000);
    data.lose(&key("products").record("p_gone"), mug.clone(), RemovedByPull, NOW - 600);
    data.lose(&key("products").record("p_001"), mug, RemoteOverwritten, NOW - 30);
}

fn many() -> Fake {
    let mut data = few();
    outbox(&mut data);
    sessions(&mut data);
    lost(&mut data);
    for number in 200..3_000_u32 {
        let id = format!("u_{number:05}");
        let role = ["admin", "editor", "viewer"][number as usize % 3];
        data.put(&key("users"), &id, json!({"name": format!("Person {number}"), "role": role, "age": number % 90}));
        data.received_at.insert(key("users").record(id), wall(NOW - 60 * u64::from(number % 100)));
    }
    for number in 200..330_u32 {
        let record = key("users").record(format!("u_{number:05}"));
        let mut document = data.local(&record).unwrap();
        document["role"] = json!("owner");
        data.op(&record, Some(document), OpState::Queued, NOW - 800 + u64::from(number));
    }
    for number in 0..120 {
        data.note(NOW - 400 + number, Severity::Info, "sync", &format!("users: page {number} pulled"));
    }
    data
}

fn too_long() -> Fake {
    let mut data = few();
    let users = key("users");
    let long = "a sentence that goes on, and on, and on, until nobody remembers how it began ".repeat(9);
    data.put(
        &users,
        "an-id-that-is-much-longer-than-any-column-would-ever-be-🦀-田中さん",
        json!({
            "name": long,
            "role": "\u{1b}[31mred\u{202e}evil\u{7}\r\nnext line",
            "a very long member name, longer than half of the pane it is shown in": {"deep": {"deeper": {"deepest": [1, 2, 3]}}},
            "emoji": "👩‍👩‍👧 🇩🇪 e\u{301} \u{200b}|",
            "rtl": "שלום עולם, مرحبا بالعالم",
            "big": 123_456_789_012_345_678_u64,
            "null": null,
            "empty": {},
            "none": [],
        }),
    );
    let record = users.record("an-id-that-is-much-longer-than-any-column-would-ever-be-🦀-田中さん");
    data.received_at.insert(record.clone(), wall(NOW - 700_000));
    let mut document = data.local(&record).unwrap();
    document["name"] = json!(long.to_uppercase());
    document["emoji"] = json!("田中".repeat(60));
    let seq = data.op(&record, Some(document.clone()), OpState::Conflict, NOW - 100_000);
    let reason = "the value of `name` is longer than the server likes, and the server likes to say so at length";
    data.fail(seq, 400, reason, 120);
    let (base, mine) = (data.bases[&users].get(&record.id).cloned(), Some(document.clone()));
    document["name"] = json!("theirs is short");
    document["emoji"] = json!(["x".repeat(300)]);
    data.conflicts.push(Conflict {
        id: 7,
        record,
        seq,
        detected_at: wall(NOW - 90_000),
        base,
        mine,
        theirs: Some(document),
        theirs_revision: Some(Revision::from("W/\"0123456789abcdef0123456789abcdef\"")),
        was_in_doubt: true,
        resolved_at: None,
        resolution: None,
    });
    data.note(NOW - 90, Severity::Problem, "a topic longer than its column", &long);
    data.sessions.push(ebbtide::model::session::SessionInfo {
        name: "a session with a name nobody should have given it, but somebody did".into(),
        saved_at: wall(NOW - 9_000_000),
        slices: 3,
        moments: 1,
        open: false,
    });
    data.stopped.push(key("orders"));
    data
}

fn failing() -> Vec<SourceStatus> {
    let mut statuses = offline();
    statuses[0].connectivity.state = ConnectivityState::AuthRequired;
    statuses[0].connectivity.evidence.chain = Link::CHAIN
        .into_iter()
        .map(|link| LinkFact {
            link,
            ok: link != Link::Auth,
            detail: if link == Link::Auth { "401: the token expired".to_owned() } else { "fine".to_owned() },
        })
        .collect();
    statuses[0].connectivity.evidence.summary = "auth: the token expired".to_owned();
    statuses[0].push.waiting_for = Some("needs credentials".to_owned());
    statuses[0].collections[1].phase = PullPhase::Stopped("1,180 of 1,204 records are gone on the server".to_owned());
    statuses[0].collections[2].last_error = Some("Permission denied".to_owned());
    statuses[1].paused = true;
    statuses[1].account =
        Account { principal: Some("bob".to_owned()), foreign: vec![Foreign { author: "ann".to_owned(), ops: 3 }] };
    let cost = |sent, received| Spent { sent, received };
    statuses[1].spent = SpentToday {
        day: 0,
        total: cost(48_200, 50_310_000),
        collections: [("visits".into(), cost(41_000, 50_300_000))].into(),
        budget: Some(50_000_000),
        is_used_up: true,
    };
    statuses[1].connectivity.evidence.clock_offset_ms = Some(93_000);
    statuses[1].connectivity.evidence.clock_uncertainty_ms = Some(540);
    statuses
}

fn in_condition(condition: &str, size: (u16, u16)) -> Bench {
    match condition {
        "empty" => Bench::new(setup(size), Fake::default(), NOW),
        "many" => {
            let mut bench = Bench::new(setup(size), many(), NOW);
            bench.status(online());
            bench.press("2G<ctrl-u><ctrl-u>kkk4<ctrl-d><ctrl-d><ctrl-d>2");
            bench
        }
        "too_long" => {
            let mut bench = Bench::new(setup(size), too_long(), NOW);
            bench.status(offline());
            bench
        }
        "failed" => {
            let mut data = few();
            outbox(&mut data);
            sessions(&mut data);
            lost(&mut data);
            let mut bench = Bench::new(setup(size), data, NOW);
            bench.status(failing());
            bench.press("4j2");
            bench.fail_commits = true;
            bench
        }
        _ => {
            let mut data = few();
            outbox(&mut data);
            sessions(&mut data);
            lost(&mut data);
            let mut bench = Bench::new(setup(size), data, NOW);
            bench.status(offline());
            bench.press("2jjjj4j2");
            bench
        }
    }
}

/// The part of the screen a pane takes.
fn cut(bench: &Bench) -> String {
    let layout = bench.app.layout();
    let place = *layout.place(bench.app.screen().top()).expect("the pane is on the screen");
    let buffer = bench.buffer();
    let area = ratatui::layout::Rect::new(place.area.x, place.area.y, place.area.width, place.area.height);
    let mut part = ratatui::buffer::Buffer::empty(ratatui::layout::Rect::new(0, 0, area.width, area.height));
    for y in 0..area.height {
        for x in 0..area.width {
            part[(x, y)] = buffer[(area.x + x, area.y + y)].clone();
        }
    }
    text_of(&part).into_iter().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn kept(kind: &str, name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(format!("{}/snapshots/{kind}", env!("CARGO_MANIFEST_DIR")));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn every_pane_in_every_condition() {
    for size in SIZES {
        for condition in ["empty", "few", "many", "too_long", "failed"] {
            for (pane, keys) in PANES {
                let mut bench = in_condition(condition, size);
                bench.press(keys);
                kept(&format!("panes/{pane}"), &format!("{condition}_{}x{}", size.0, size.1), &cut(&bench));
            }
        }
    }
}

#[test]
fn whole_screens() {
    for (columns, rows) in [(120, 36), (80, 24), (60, 16), (200, 60), (100, 20)] {
        let name = |what: &str| format!("{what}_{columns}x{rows}");
        let mut bench = in_condition("few", (columns, rows));
        kept("screens", &name("main"), &bench.screen());
        bench.press("d");
        kept("screens", &name("question"), &bench.screen());
        bench.press("ng");
        kept("screens", &name("sequence"), &bench.screen());
        bench.press("<esc>/role:adm");
        kept("screens", &name("filter"), &bench.screen());
        bench.press("<enter>3jjjji");
        kept("screens", &name("field"), &bench.screen());
        let mut bench = in_condition("failed", (columns, rows));
        bench.press("j");
        kept("screens", &name("saving_failed"), &bench.screen());
        let mut welcome = setup((columns, rows));
        welcome.sources.clear();
        kept("screens", &name("welcome"), &Bench::new(welcome, Fake::default(), NOW).screen());
    }
    kept("screens", "too_small_42x8", &in_condition("few", (42, 8)).screen());
}

/// How well the copies are known, where there is room to say it.
#[test]
fn the_whole_sync_pane_says_when_copies_were_verified() {
    let found = |ago: u64, differing: u64, healed: u64| {
        Some(Verified { at: wall(NOW - ago), checked: 1_204, differing, healed, ..Verified::default() })
    };
    for size in SIZES {
        let mut statuses = online();
        statuses[0].collections[0].verified = found(14 * 60, 0, 0);
        statuses[0].collections[1].verified = found(3 * 3_600, 1, 1);
        statuses[0].collections[2].verified = found(40, 1_180, 1_179);
        let mut bench = Bench::new(setup(size), few(), NOW);
        bench.status(statuses);
        bench.press("6z");
        let screen = bench.screen();
        assert!(screen.contains("verified 14m ago, 0 differences"), "{screen}");
        assert!(!screen.contains("accept") && !screen.contains("reupload"), "nothing asks: {screen}");
        kept("panes/sync", &format!("verified_{}x{}", size.0, size.1), &screen);
    }
}

/// A stopped collection in every form its question takes.
#[test]
fn a_stopped_collection_asks() {
    let found = |reason, text: &str, affected: u64| GuardFound {
        reason,
        text: text.to_owned(),
        affected,
        rows: affected + 24,
        sample: (0..affected.min(25)).map(|n| format!("-Np{n:02}xMugBlue").as_str().into()).collect(),
        since: wall(NOW - 120_000),
    };
    let questions = [
        (
            "mass_deletion",
            found(
                GuardReason::MassDeletion,
                "the server's `acme-prod/orders` lacks 1180 of the 1204 records here",
                1_180,
            ),
        ),
        (
            "other_server",
            found(
                GuardReason::OtherServer,
                "another database answers at `http://127.0.0.1:7070` than the one `acme-prod/orders` was copied from",
                0,
            ),
        ),
    ];
    for size in SIZES {
        for (name, guard) in &questions {
            let mut statuses = online();
            statuses[0].collections[1].phase = PullPhase::Stopped(guard.text.clone());
            statuses[0].collections[1].guard = Some(guard.clone());
            let mut stopped = few();
            stopped.stopped.push(key("orders"));
            let mut bench = Bench::new(setup(size), stopped, NOW);
            bench.status(statuses.clone());
            let is_marked =
                |bench: &Bench| bench.screen().lines().any(|line| line.contains("  orders ") && line.contains(" ?┃"));
            bench.press("1");
            assert!(is_marked(&bench), "{}", bench.screen());
            bench = bench.restart();
            assert!(is_marked(&bench), "also before anything is heard of it: {}", bench.screen());
            bench.status(statuses.clone());
            bench.press("6");
            assert!(bench.screen().contains("A accept"), "{}", bench.screen());
            let at = |what: &str| format!("{name}_{what}_{}x{}", size.0, size.1);
            kept("panes/sync", &at("beside"), &cut(&bench));
            bench.press("z");
            kept("panes/sync", &at("whole"), &cut(&bench));
            bench.press("A");
            kept("panes/sync", &at("accept"), &bench.screen());
            bench.press("n");
            statuses[0].collections[1].phase = PullPhase::Detached;
            bench.status(statuses);
            kept("panes/sync", &at("detached"), &cut(&bench));
            bench.press("D");
            assert!(
                matches!(
                    bench.effects.last(),
                    Some(Effect::Sync(SyncRequest::AnswerGuard { answer: GuardAnswer::Attach, .. }))
                ),
                "{:?}",
                bench.effects.last()
            );
        }
    }
}

#[test]
fn a_question_that_was_answered_is_not_asked_any_more() {
    let text = "the server's `acme-prod/orders` is empty, here are 2 records";
    let found = GuardFound {
        reason: GuardReason::MassDeletion,
        text: text.to_owned(),
        affected: 2,
        rows: 2,
        sample: Vec::new(),
        since: wall(NOW),
    };
    let mut bench = Bench::new(setup((120, 36)), few(), NOW);
    let problem = Activity::new(wall(NOW), Severity::Problem, "sync", text).with_hint(STOPPED_HINT);
    bench.event(Event::Noticed(problem));
    bench.status(online());
    assert!(bench.screen().contains("is empty, here are 2"), "a status from before it was found: {}", bench.screen());
    let mut statuses = online();
    statuses[0].collections[1].guard = Some(found);
    bench.status(statuses);
    assert!(bench.screen().contains("is empty, here are 2"), "{}", bench.screen());
    bench.status(online());
    assert!(!bench.screen().contains("is empty, here are 2"), "{}", bench.screen());
}

#[test]
fn marked_records_that_are_deleted_are_told_together() {
    let mut bench = Bench::new(setup((120, 36)), few(), NOW);
    bench.press("2  dy");
    bench.settle();
    assert!(bench.screen().contains("Queued: 2 deletions (ops"), "{}", bench.screen());
    bench.press("jjdy");
    bench.settle();
    assert!(bench.screen().contains("delete (op"), "one by itself is named: {}", bench.screen());
    bench.press("d");
    assert!(bench.app.confirm().is_none() && bench.screen().contains("is to be deleted already"), "{}", bench.screen());
}

#[test]
fn the_demo_shows_its_switch() {
    let mut demo = setup((120, 36));
    demo.demo = true;
    let mut bench = Bench::new(demo, few(), NOW);
    assert!(bench.screen().contains("F9 cut network"), "{}", bench.screen());
    bench.press("<F9>");
    let screen = bench.screen();
    assert!(screen.contains("F10 restore network") && screen.contains("the network is cut"), "{screen}");
    bench.press("<F11><F10>");
    use ebbtide::app::effect::{DemoCommand::*, Effect};
    assert_eq!(bench.effects, [CutNetwork, SomebodyEdits, RestoreNetwork].map(Effect::Demo));
}

// ---------------------------------------------------------------------------------------------------------------
// Restoration.

/// Kills the app and starts it again: session and frame must be what they were, the declared cells aside.
fn restarted(mut bench: Bench, story: &str) -> Bench {
    if bench.app.confirm().is_some() {
        bench.press("n");
    }
    bench.press("<F12>"); // Means nothing: whatever is asked is loaded.
    let (session, frame) = (bench.app.session(), bench.lines());
    let bench = bench.restart();
    for (name, slice) in bench.app.session() {
        assert_eq!(Some(&slice), session.get(&name), "session differs after {story}");
    }
    let layout = bench.app.layout();
    let mask = |lines: &[String]| ebbtide::ui::volatile::mask(lines, &layout);
    let (mut before, mut after) = (mask(&frame), mask(&bench.lines()));
    ebbtide::ui::volatile::agree(&mut before, &mut after);
    let differing: Vec<String> = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| before != after)
        .map(|(before, after)| format!("- {before}\n+ {after}"))
        .collect();
    assert!(differing.is_empty(), "frame differs after {story}\n{}", differing.join("\n"));
    bench
}

#[test]
fn every_pane_comes_back_as_it_was() {
    for size in SIZES {
        for condition in ["empty", "few", "many", "too_long"] {
            for (pane, keys) in PANES {
                let mut bench = in_condition(condition, size);
                bench.press(keys);
                let bench = restarted(bench, &format!("{condition} {pane} at {size:?}"));
                if condition == "few" {
                    kept("restore", &format!("{pane}_{}x{}", size.0, size.1), &bench.screen());
                }
            }
        }
    }
}

#[test]
fn a_window_without_ranks_comes_back_with_its_position() {
    let mut data = many();
    data.no_rank = true;
    let mut bench = Bench::new(setup((120, 36)), data, NOW);
    bench.press("2G<ctrl-u><ctrl-u>kkk");
    assert!(bench.screen().contains("of 2,811"), "{}", bench.screen());
    restarted(bench, "a list without ranks");
}

#[test]
fn half_typed_text_comes_back_with_its_cursor() {
    for keys in
        ["/rol<left>", ":goto use<left><left>", "?copy", "<ctrl-g>users/u_", "3jji<end>x", "e<end>, 田", "ahalf"]
    {
        let mut bench = in_condition("few", (120, 36));
        bench.press(keys);
        let bench = restarted(bench, keys);
        let before = bench.lines();
        let mut again = bench;
        again.press("z");
        assert_ne!(again.lines(), before, "typing goes on after {keys}");
    }
}

#[test]
fn what_is_typed_while_an_editor_opens_is_meant_for_it() {
    let mut bench = in_condition("few", (120, 36));
    bench.slow = true;
    // Its record is not read yet: `d` would ask to delete it, `q` end the program.
    bench.press("j3e").press("<end>d");
    bench.paste("quick, ");
    bench.press("u");
    assert!(bench.app.confirm().is_none() && bench.effects.is_empty(), "{:?}", bench.effects);
    bench.settle();
    assert!(bench.screen().contains("dquick, u"), "{}", bench.screen());
}

#[test]
fn an_editor_whose_record_cannot_be_read_does_not_open_later() {
    let mut bench = in_condition("few", (120, 36));
    bench.slow = true;
    bench.press("j3e").press("d");
    bench.fail_loads("the disk is gone");
    assert!(bench.screen().contains("Reading `users/u_00042` failed"), "{}", bench.screen());
    bench.slow = false;
    bench.changed();
    assert!(!bench.app.takes_text() && bench.app.confirm().is_none(), "{}", bench.screen());
    // Keys are keys again.
    bench.press("d");
    assert!(bench.app.confirm().is_some(), "{}", bench.screen());
}

#[test]
fn a_question_is_never_restored_as_asked() {
    let mut bench = in_condition("few", (120, 36));
    bench.press("d");
    assert!(bench.app.confirm().is_some());
    let mut bench = bench.restart();
    assert!(bench.app.confirm().is_none());
    let ops = bench.data.ops.len();
    bench.press("y");
    assert_eq!(bench.data.ops.len(), ops);
}

#[test]
fn one_bad_slice_falls_back_alone_and_is_kept() {
    for (name, body) in
        [("records", ""), ("records", "{\"list\": 7}"), ("outbox", "[]"), ("screen", "{"), ("palette", "null")]
    {
        let mut bench = in_condition("few", (120, 36));
        bench.press("3j");
        let mut saved = bench.saved.clone();
        saved.get_mut(name).unwrap().body = body.to_owned();
        let after = Bench::start(bench.setup.clone(), bench.data, NOW, saved, true);
        let session = after.app.session();
        for (other, slice) in &bench.saved {
            // Without the shape of the screen there is a screen that says so.
            let follows =
                (name, other.as_str()) == ("records", "record") || (name, other.as_str()) == ("screen", "recovery");
            if other != name && !follows && other != "collections" {
                assert_eq!(session.get(other), Some(slice), "{other} after a bad {name}");
            }
        }
        let quarantine = &after.saved["quarantine"].body;
        assert!(quarantine.contains(&serde_json::to_string(body).unwrap()), "{quarantine}");
        match after.app.recovery().why() {
            Some(why) => assert!(name == "screen" && format!("{why:?}").contains(name), "{why:?}"),
            None => assert!(after.app.message().unwrap().text.contains(name)),
        }
    }
}

#[test]
fn an_unknown_version_falls_back_to_the_default() {
    let bench = in_condition("few", (120, 36));
    let mut saved = bench.saved.clone();
    saved.get_mut("outbox").unwrap().version = 99;
    let after = Bench::start(bench.setup.clone(), bench.data, NOW, saved, true);
    assert!(after.saved["quarantine"].body.contains("99"));
}

#[test]
fn a_state_saved_large_survives_every_smaller_size() {
    let mut bench = in_condition("few", (120, 36));
    bench.press("2G4jjj<gt>".replace("<gt>", ">").as_str());
    let saved = bench.saved.clone();
    for size in [(80, 24), (60, 16), (20, 5), (0, 0), (80, 24)] {
        bench.resize(size.0, size.1);
        bench = bench.restart();
        bench.buffer();
    }
    bench.resize(120, 36);
    assert_eq!(bench.saved, saved);
}

#[test]
fn a_vanished_row_hands_the_cursor_to_the_next_one_and_says_so() {
    let mut bench = in_condition("few", (120, 36));
    bench.press("2ggjjj");
    assert_eq!(bench.app.records().selected().unwrap().id.as_str(), "u_00019");
    bench.data.bases.get_mut(&key("users")).unwrap().remove(&"u_00019".into());
    bench.changed();
    assert_eq!(bench.app.records().selected().unwrap().id.as_str(), "u_00031");
    assert!(bench.app.message().unwrap().text.contains("is gone"));
    bench.data.bases.get_mut(&key("users")).unwrap().remove(&"u_00031".into());
    bench.data.ops.retain(|op| op.record.id.as_str() != "u_00031");
    let bench = bench.restart();
    assert_eq!(bench.app.records().selected().unwrap().id.as_str(), "u_00042", "also over a restart");
}

#[test]
fn drafts_only_brings_back_no_screen() {
    let mut bench = in_condition("few", (120, 36));
    bench.press("L");
    bench.setup.settings.restore = ebbtide::app::settings::Restore::DraftsOnly;
    let bench = bench.restart();
    assert!(bench.app.screen().overlays.is_empty());
}

#[test]
fn a_run_that_ended_badly_is_greeted_with_what_is_still_here() {
    let bench = in_condition("few", (120, 36)).restart();
    let text = &bench.app.message().unwrap().text;
    assert!(text.contains("after an abrupt end (16:13:20): 7 queued, 0 drafts, nothing lost"), "{text}");
}

// ---------------------------------------------------------------------------------------------------------------
// Commit before paint.

#[test]
fn what_was_committed_is_not_committed_again() {
    let mut bench = in_condition("few", (120, 36));
    assert!(bench.app.take_commit().is_empty());
    bench.press("j");
    assert!(bench.app.take_commit().is_empty(), "the bench took it");
}

#[test]
fn a_failed_commit_is_said_and_made_good() {
    let mut bench = in_condition("few", (120, 36));
    bench.fail_commits = true;
    bench.press("jL");
    assert!(bench.screen().contains("SAVING FAILED"), "{}", bench.screen());
    bench.fail_commits = false;
    bench.event(ebbtide::app::event::Event::CommitRecovered);
    assert!(!bench.screen().contains("SAVING FAILED"));
    assert_eq!(bench.app.session(), bench.saved, "everything that was missed is saved");
}

// ---------------------------------------------------------------------------------------------------------------
// Sizes, colours, commands.

#[test]
fn no_size_panics() {
    for (pane, keys) in PANES {
        let mut bench = in_condition("too_long", (120, 36));
        bench.press(keys);
        for columns in (0..=60).step_by(3).chain([61, 79, 80, 99, 100, 101, 150, 250]) {
            for rows in (0..=20).chain([24, 37, 80]) {
                bench.setup.size = (columns, rows);
                bench.event(ebbtide::app::event::Event::Resized { columns, rows });
                let lines = bench.lines();
                assert_eq!(lines.len(), usize::from(rows), "{pane} {columns}x{rows}");
            }
        }
    }
}

#[test]
fn without_colour_only_modifiers_are_left() {
    use ratatui::style::{Color, Modifier};
    let mut plain = setup((120, 36));
    plain.no_color = true;
    let mut data = few();
    outbox(&mut data);
    let mut bench = Bench::new(plain, data, NOW);
    bench.status(offline());
    for (_, keys) in PANES {
        let buffer = bench.buffer();
        for cell in buffer.content() {
            assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset));
        }
        bench.press(keys).press("<esc><esc>");
    }
    bench.press("2");
    let reversed = bench.buffer().content().iter().any(|cell| cell.modifier.contains(Modifier::REVERSED));
    assert!(reversed, "the selected row is seen without colour");
}

#[test]
fn every_command_has_a_key_or_is_in_the_palette_and_can_be_run() {
    use ebbtide::app::{command::COMMANDS, panes::palette::Entry};
    let mut demo = setup((120, 36));
    demo.demo = true;
    for command in COMMANDS {
        let mut data = few();
        outbox(&mut data);
        let mut bench = Bench::new(demo.clone(), data, NOW);
        bench.status(online());
        let offered = bench.app.palette().entries(true).contains(&Entry::Command(command));
        let has_key = bench.app.keymap().any_key(command.action).is_some();
        assert!(offered || has_key, "{} cannot be reached", command.name);
        if offered {
            bench.press(":");
            bench.paste(command.name);
            bench.press("<enter>");
            bench.buffer();
        }
    }
}

#[test]
fn sort_takes_a_column_as_its_heading_has_it() {
    let mut bench = Bench::new(setup((120, 36)), few(), NOW);
    bench.status(online());
    let sort = |bench: &mut Bench, words: &str| {
        bench.press(":");
        bench.paste(words);
        bench.press("<enter>");
        bench.app.records().view().sort.by.as_ref().map(ToString::to_string)
    };
    let role = bench.app.records().columns().iter().find(|column| column.to_string().ends_with("/role")).cloned();
    let role = role.expect("a column").to_string();
    for words in ["sort role", "sort ROLE", "sort by role"] {
        assert_eq!(sort(&mut bench, words).as_ref(), Some(&role), "{words}");
        assert_eq!(sort(&mut bench, "sort ID"), None);
    }
    assert_eq!(sort(&mut bench, "sort /a/b").as_deref(), Some("/a/b"), "a place need not be a column");
}

#[test]
fn ascii_glyphs_leave_nothing_else_in_our_own_signs() {
    let mut ascii = setup((120, 36));
    ascii.settings.glyphs = ebbtide::app::settings::Glyphs::Ascii;
    let mut data = Fake::default();
    data.put(&key("users"), "u_1", json!({"name": "Ana", "list": [{"a": 1}]}));
    let mut bench = Bench::new(ascii, data, NOW);
    bench.status(online());
    for (_, keys) in PANES {
        bench.press(keys);
        assert!(bench.screen().is_ascii(), "{}", bench.screen());
        bench.press("<esc><esc>");
    }
}

#[test]
fn an_idle_online_screen_asks_for_no_tick_within_the_minute_and_a_countdown_for_one_each_second() {
    let mut bench = Bench::new(setup((120, 36)), few(), NOW);
    bench.status(offline());
    assert_eq!(bench.app.next_tick(&At::test(NOW)), Some(std::time::Duration::from_secs(1)));
    bench.status(Vec::new());
    assert!(bench.app.next_tick(&At::test(NOW)).is_none_or(|wait| wait.as_secs() > 1));
    let empty = Bench::new(setup((120, 36)), Fake::default(), NOW);
    assert_eq!(empty.app.next_tick(&At::test(NOW)), None);
}

// ---------------------------------------------------------------------------------------------------------------
// What keys do.

/// Keys, one step per line, and after each what left the app, what it said, and which slices changed.
fn transcript(bench: &mut Bench, steps: &[&str]) -> String {
    let mut text = String::new();
    for keys in steps {
        let before = bench.saved.clone();
        let (ops, drafts, effects) = (bench.data.ops.len(), bench.data.drafts.len(), bench.effects.len());
        bench.press(keys);
        text += &format!("> {keys}\n");
        for effect in &bench.effects[effects..] {
            text += &format!("    effect   {effect:?}\n");
        }
        if bench.data.ops.len() != ops {
            let newest = bench.data.ops.last().filter(|_| bench.data.ops.len() > ops);
            let what = newest.map(|op| format!("{} {} {}", op.seq, op.kind.word(), op.record));
            text += &format!("    ops      {} -> {}  {}\n", ops, bench.data.ops.len(), what.unwrap_or_default());
        }
        if bench.data.drafts.len() != drafts {
            text += &format!("    drafts   {} -> {}\n", drafts, bench.data.drafts.len());
        }
        if let Some(question) = bench.app.confirm() {
            text += &format!("    asks     {} {:?}\n", question.title, question.lines);
        }
        if let Some(message) = bench.app.message() {
            text += &format!("    says     {} {}\n", message.severity.symbol(), message.text);
        }
        let changed: Vec<&str> = bench
            .saved
            .iter()
            .filter(|(name, slice)| before.get(*name) != Some(slice))
            .map(|(name, _)| name.as_str())
            .collect();
        if !changed.is_empty() {
            text += &format!("    saves    {}\n", changed.join(" "));
        }
        let at = bench.app.records().selected().map(|record| record.to_string()).unwrap_or_default();
        text += &format!("    at       {:?} {at}\n", bench.app.screen().top());
    }
    text
}

#[test]
fn transcripts() {
    let stories: [(&str, &[&str]); 9] = [
        (
            "browse",
            &["jj", "G", "gg", "<enter>", "j<enter>", "<esc>", "s", "S", "0", "1jj<enter>", "<tab>", "z", "<esc>"],
        ),
        ("filter", &["/", "role:view", "<enter>", "j", "<esc>", "/zzz<enter>", "<esc>"]),
        (
            "edit_a_field",
            &[
                "jjj",
                "3",
                "jjj",
                "i",
                "<end><left>",
                " x",
                "<F2>",
                "u",
                "i",
                "<end>y",
                "<esc>",
                "i",
                "<backspace>",
                "<F2>",
            ],
        ),
        (
            "edit_a_record",
            &[
                "jjj",
                "e",
                "<F2>",
                "e",
                "<ctrl-end><backspace>",
                "<F2>",
                "}",
                "<esc>",
                "e",
                "<F2>",
                "e",
                "<enter>",
                "<F7>",
                "y",
            ],
        ),
        ("add", &["a", "<ctrl-end><left>\"name\": \"Zoe\"", "<F2>", "u"]),
        ("delete", &["d", "n", "d", "y", "u", "jj<space><space>", "d", "y", "3jjj", "d", "y"]),
        ("outbox", &["4", "j", "h", "j", "h", "h", "D", "n", "D", "y", "X", "r", "v", "v", "o"]),
        ("conflict", &["4", "c", "w", "e", "14", "<enter>", "u", "m", "w", "<esc>"]),
        (
            "palette",
            &[
                ":",
                "goto orders/o_0004",
                "<enter>",
                ":",
                "<enter>",
                ":",
                "somebody",
                "<enter>",
                "<esc>",
                "yi",
                "yp",
                "g",
                "o",
                "<esc>",
            ],
        ),
    ];
    for (name, steps) in stories {
        let mut data = few();
        outbox(&mut data);
        let mut bench = Bench::new(setup((120, 36)), data, NOW);
        bench.status(online());
        kept("transcripts", name, &transcript(&mut bench, steps));
    }
}

/// The conflict of the mock-ups: five fields differ, two need a person.
fn resolver(size: (u16, u16), change: impl Fn(&mut Conflict)) -> Bench {
    let mut data = few();
    outbox(&mut data);
    let conflict = &mut data.conflicts[0];
    conflict.base = Some(json!({"id": "p_003", "title": "Mug", "price": 12, "stock": 40, "tags": ["a", "b"],
        "dims": {"h": 9, "w": 8}, "maker": {"name": "Kiln & Co", "city": "Malmö"}}));
    conflict.mine = Some(json!({"id": "p_003", "title": "Mug, blue", "price": 12.5, "stock": 40,
        "tags": ["a", "b", "sale"], "dims": {"h": 10, "w": 8}, "maker": {"name": "Kiln & Co", "city": "Malmö"}}));
    conflict.theirs = Some(json!({"id": "p_003", "title": "Mug", "price": 13, "stock": 38, "tags": ["c"],
        "dims": {"h": 10, "w": 8}, "maker": {"name": "Kiln & Co", "city": "Malmö"}}));
    change(conflict);
    let mut bench = Bench::new(setup(size), data, NOW);
    bench.status(online());
    bench.press("C");
    bench
}

/// A conflict that the loop guard made: the server writes two fields anew whenever the edit is about to be sent.
fn rewritten(size: (u16, u16)) -> Bench {
    let mut bench = resolver(size, |_| {});
    let op = bench.data.ops.iter_mut().find(|op| op.record.id.as_str() == "p_003").unwrap();
    op.last_error = Some(OpError {
        at: op.created_at,
        status: None,
        message:
            "the server changed `/price`, `/stock` each of 3 times the edit was about to be sent; if it writes that \
                  by itself, `ebbtide conflicts teach products /price server-owned --apply` leaves it to the server"
                .to_owned(),
    });
    bench.changed();
    bench
}

/// Five conflicts of products: in four only the price needs a person, in the last one also the title.
fn many_prices(size: (u16, u16)) -> Bench {
    let mut data = few();
    outbox(&mut data);
    let side = |title: &str, price: i64| Some(json!({"title": title, "price": price}));
    for (id, number) in (2..).zip([4, 5, 6, 7]) {
        let record = key("products").record(format!("p_{number:03}"));
        let seq = data.op(&record, side("Mug", 20 + id), OpState::Conflict, NOW - 600);
        let mut conflict = Conflict { id, record, seq, base: side("Mug", 12), ..data.conflicts[0].clone() };
        (conflict.mine, conflict.theirs) = (side("Mug", 20 + id), side("Mug", 30 + id));
        if number == 7 {
            (conflict.mine, conflict.theirs) = (side("Cup", 20 + id), side("Jug", 30 + id));
        }
        data.conflicts.push(conflict);
    }
    let first = &mut data.conflicts[0];
    (first.base, first.mine, first.theirs) = (side("Mug", 12), side("Mug", 20), side("Mug", 30));
    let mut bench = Bench::new(setup(size), data, NOW);
    bench.status(online());
    bench.press("C");
    bench
}

fn open_conflicts(bench: &Bench) -> Vec<i64> {
    let open = bench.data.conflicts.iter().filter(|conflict| conflict.resolved_at.is_none());
    open.map(|conflict| conflict.id).collect()
}

#[test]
fn a_rule_taught_by_example_settles_the_other_conflicts_and_reaches_the_sync() {
    use ebbtide::model::sync_status::SyncRequest;
    let mut bench = many_prices((120, 36));
    bench.press("tw");
    assert_eq!(open_conflicts(&bench), [2, 3, 4, 5], "the answer does not wait for the question");
    bench.press("y");
    assert_eq!(open_conflicts(&bench), [5], "the title of the last one still needs a person");
    let learned = |effect: &Effect| matches!(effect, Effect::Sync(SyncRequest::Learn { .. }));
    assert!(bench.effects.iter().any(learned), "{:?}", bench.effects);
    let screen = bench.screen();
    assert!(screen.contains("by the rule `theirs`"), "{screen}");
    assert!(screen.contains("`\"/price\" = \"theirs\"` is kept in config.toml"), "{screen}");
}

#[test]
fn a_rule_that_is_declined_or_cannot_be_kept_changes_nothing() {
    for (key, read_only) in [("n", false), ("<esc>", false), ("y", true)] {
        let mut bench = many_prices((120, 36));
        bench.config_is_read_only = read_only;
        bench.press("tw").press(key);
        assert_eq!(open_conflicts(&bench), [2, 3, 4, 5], "{key}");
        assert!(bench.app.confirm().is_none());
        assert_eq!(bench.screen().contains("The rule is not kept"), read_only, "{}", bench.screen());
        bench.press("tw");
        assert_eq!(open_conflicts(&bench), [3, 4, 5], "and the next one is decided as ever");
    }
}

#[test]
fn a_kill_during_the_question_keeps_the_answer_and_asks_nothing() {
    let mut bench = many_prices((120, 36));
    bench.press("tw");
    let mut bench = bench.restart();
    assert!(bench.app.confirm().is_none());
    assert_eq!(open_conflicts(&bench), [2, 3, 4, 5]);
    bench.press("y");
    assert_eq!(open_conflicts(&bench), [2, 3, 4, 5]);
}

#[test]
fn a_place_that_the_server_rewrites_is_left_to_it_by_one_key() {
    use ebbtide::model::sync_status::SyncRequest;
    let mut bench = rewritten((120, 36));
    let screen = bench.screen();
    assert!(screen.contains("The server writes price, stock anew before each send; `A`"), "{screen}");
    assert!(screen.contains("A  leave it to the server"), "{screen}");
    bench.press("A");
    assert!(bench.screen().contains("Always keep the server's /price in products?"), "{}", bench.screen());
    bench.press("y");
    let learned = |effect: &Effect| match effect {
        Effect::Sync(SyncRequest::Learn { pattern, rule, .. }) => {
            pattern.to_string() == "/price" && rule.word() == "server-owned"
        }
        _ => false,
    };
    assert!(bench.effects.iter().any(learned), "{:?}", bench.effects);
    assert!(bench.screen().contains("by the rule `server-owned`"), "{}", bench.screen());
}

#[test]
fn a_long_id_in_the_header_is_shortened_before_it_is_left_out() {
    for size in [(200, 60), (120, 36), (80, 24)] {
        let bench = resolver(size, |conflict| {
            conflict.record = key("products").record("p_".to_owned() + &"0123456789".repeat(12));
        });
        let header = bench.lines().remove(0);
        assert!(header.contains("Conflict 1 of 1 > products/p_01") || size.0 < 120, "{header}");
        assert!(header.contains("Conflict 1 of 1"), "{header}");
    }
}

#[test]
fn a_record_that_was_deleted_and_made_anew_is_not_said_to_be_made_by_both() {
    let mut data = few();
    outbox(&mut data);
    data.conflicts[0].base = None;
    let op = data.ops.iter_mut().find(|op| op.record.id.as_str() == "p_003").unwrap();
    op.changes = vec![Change { pointer: Pointer::root(), from: op.base.clone(), to: op.document.clone() }];
    let mut bench = Bench::new(setup((120, 36)), data, NOW);
    bench.press("C");
    let screen = bench.screen();
    assert!(screen.contains("You deleted this record and made it anew") && !screen.contains("Both sides"), "{screen}");
}

#[test]
fn the_header_names_a_new_record_by_the_id_that_is_typed() {
    let mut bench = Bench::new(setup((120, 36)), few(), NOW);
    bench.press("2a<up><up><ctrl-u>my-own");
    assert!(bench.lines()[0].contains("Edit users/my-own "), "{}", bench.screen());
}

#[test]
fn an_age_is_told_whole_or_not_at_all_however_old_it_is() {
    for width in 81..130 {
        let told = |age: u64| {
            let bench = resolver((width, 36), |conflict| conflict.detected_at = wall(NOW - age));
            let Some(line) = bench.lines().into_iter().find(|line| line.contains("this record")) else { return false };
            let ages = ["(noticed 45m ago).", "(noticed just now).", "(noticed 9d ago)."];
            let is_told = ages.iter().any(|age| line.contains(age));
            assert!(is_told || !line.contains("(n"), "{width}: {line}");
            is_told
        };
        let (minutes, now, days) = (told(45 * 60), told(1), told(9 * 86_400));
        assert!(minutes == now && now == days, "{width}: whether it is told does not change as it grows");
        assert!(minutes || width < 110, "{width}: there is room for it");
    }
}

#[test]
fn the_resolver_in_every_state() {
    for size in SIZES {
        let mut states: Vec<(&str, Bench)> = Vec::new();
        let state = |keys: &str| {
            let mut bench = resolver(size, |_| {});
            bench.press(keys);
            bench
        };
        states.push(("undecided", state("")));
        states.push(("typing", state("e{\"amount\": 1")));
        states.push(("half_typed", state("e14<esc>j")));
        states.push(("decided", state("mnt")));
        states.push(("unchanged", state(".")));
        states.push(("dropping", state("D")));
        states.push(("deleted_there", resolver(size, |conflict| conflict.theirs = None)));
        let mut deleted_here = resolver(size, |conflict| conflict.mine = None);
        deleted_here.press("m");
        states.push(("deleted_here", deleted_here));
        states.push(("both_created", resolver(size, |conflict| conflict.base = None)));
        states.push(("in_doubt", resolver(size, |conflict| conflict.was_in_doubt = true)));
        states.push(("rewritten", rewritten(size)));
        let mut teaching = many_prices(size);
        teaching.press("tw");
        states.push(("teaching", teaching));
        let mut taught = many_prices(size);
        taught.press("twy");
        states.push(("taught", taught));
        for (name, bench) in states {
            kept("panes/conflicts", &format!("{name}_{}x{}", size.0, size.1), &bench.screen());
            if bench.app.confirm().is_none() {
                restarted(bench, name);
            }
        }
    }
}

#[test]
fn a_choice_survives_a_kill_and_says_so_when_the_server_moved_under_it() {
    let mut bench = resolver((120, 36), |_| {});
    bench.press("mnt");
    let mut bench = restarted(bench, "a conflict decided half way");
    bench.data.conflicts[0].theirs.as_mut().unwrap()["price"] = json!(15);
    bench.changed();
    let screen = bench.screen();
    assert!(screen.contains("products/p_003 changed again on the server: price"), "{screen}");
    assert!(screen.contains("1 to decide"), "{screen}");
    bench.press("NTw");
    let op = bench.data.ops.iter().find(|op| op.record.id.as_str() == "p_003").unwrap();
    let document = op.document.as_ref().unwrap();
    assert_eq!(
        (&document["price"], &document["tags"], &document["title"]),
        (&json!(15), &json!(["c"]), &json!("Mug, blue"))
    );
    assert!(bench.data.conflicts[0].resolved_at.is_some());
}

#[test]
fn a_kept_version_is_compared_restored_as_an_edit_and_taken_back() {
    let mut bench = in_condition("few", (120, 36));
    bench.press("gvG");
    let screen = bench.screen();
    assert!(screen.contains("Version 1 of users/u_00042"), "{screen}");
    assert!(screen.contains("now   \"admin\"") && screen.contains("kept  \"owner\""), "{screen}");
    bench.press("]");
    assert!(bench.screen().contains("\"role\": \"owner\""), "{}", bench.screen());
    let before = bench.data.ops.len();
    bench.press("r");
    assert_eq!(bench.data.ops.len(), before + 1);
    let op = bench.data.ops.last().unwrap();
    assert_eq!((op.kind.word(), op.document.as_ref().unwrap()["role"].as_str()), ("update", Some("owner")));
    assert!(bench.screen().contains("Queued: users/u_00042"), "{}", bench.screen());
    bench.press("r");
    assert!(bench.screen().contains("users/u_00042 is that version already"), "{}", bench.screen());
    bench.press("u");
    assert_eq!(bench.data.ops.len(), before);
    bench.press("/p_gone<enter><enter>");
    assert!(bench.screen().contains("Restore this version of products/p_gone?"), "{}", bench.screen());
    assert_eq!(bench.data.ops.len(), before, "whoever looks closer is asked first");
    bench.press("y");
    let op = bench.data.ops.last().unwrap();
    assert_eq!((op.kind.word(), op.record.id.as_str()), ("create", "p_gone"), "a record that is gone is made anew");
}

#[test]
fn a_command_about_sessions_asks_at_once_also_before_the_list_is_read() {
    for (command, asks) in [("rename the", "New name of `default`"), ("copy the session", "Name of the copy")] {
        let mut bench = in_condition("few", (80, 24));
        bench.slow = true;
        bench.press(":");
        bench.paste(command);
        bench.press("<enter>");
        assert!(bench.screen().contains(asks), "{command}: {}", bench.screen());
        bench.settle();
        assert!(bench.screen().contains(asks), "{command}, when it was read: {}", bench.screen());
    }
}

#[test]
fn what_stands_behind_a_held_op_says_so() {
    let mut bench = in_condition("few", (120, 36));
    let record = key("visits").record("v_77");
    bench.data.op(&record, Some(json!({"place": "South quay"})), OpState::Queued, NOW - 5);
    bench.changed();
    bench.press("go");
    assert!(bench.screen().contains(". behind 116"), "{}", bench.screen());
}

#[test]
fn messages_about_pausing_name_what_else_keeps_the_sync() {
    let mut bench = in_condition("few", (120, 36));
    let mut sources = online();
    sources[0].paused = true;
    sources[0].connectivity.state = ConnectivityState::ForcedOffline;
    bench.status(sources);
    for (key, says) in [("P", "No longer paused, but you keep ebbtide offline"), ("O", "but sync is paused")] {
        bench.press(key);
        assert!(bench.screen().contains(says), "{}", bench.screen());
    }
}

#[test]
fn a_change_is_called_queued_until_it_was_sent() {
    for with_another in [false, true] {
        let mut bench = in_condition("few", (120, 36));
        bench.press("2dy");
        let op = bench.data.ops.last().unwrap().clone();
        let said = format!("{} delete (op {})", op.record, op.seq);
        assert!(bench.screen().contains(&format!("Queued: {said}")), "{}", bench.screen());
        bench.changed();
        assert!(bench.screen().contains(&format!("Queued: {said}")), "it waits still: {}", bench.screen());
        bench.data.ops.retain(|other| other.seq != op.seq);
        let settled = |seq: i64, state, at| Op { seq: Seq(seq), state, settled_at: Some(wall(at)), ..op.clone() };
        if with_another {
            bench.data.history.insert(0, settled(op.seq.0, OpState::Superseded, NOW));
            bench.data.history.insert(0, settled(op.seq.0 - 1, OpState::Acked, NOW + 1));
        } else {
            bench.data.history.insert(0, settled(op.seq.0, OpState::Acked, NOW));
        }
        bench.changed();
        let screen = bench.screen();
        assert!(screen.contains(&format!("Sent: {said}")) && !screen.contains("u undo"), "{screen}");
    }
}

#[test]
fn a_resolver_with_a_half_typed_value_does_not_call_itself_complete() {
    let mut bench = resolver((120, 36), |_| {});
    bench.press("Me\"half<esc>");
    let screen = bench.screen();
    assert!(screen.contains("half typed, e goes on") && screen.contains("incomplete: 1 half typed"), "{screen}");
    assert!(!screen.contains("w queues it"), "{screen}");
}

#[test]
fn an_answer_to_a_conflict_is_called_queued_until_it_was_sent() {
    let mut bench = resolver((120, 36), |_| {});
    let op = bench.data.ops.iter().find(|op| op.record.id.as_str() == "p_003").unwrap().clone();
    let (queued, sent) = ("Yours is queued as op 112".to_owned(), "Yours is sent as op 112".to_owned());
    bench.event(Event::Answered { seq: op.seq, queued: queued.clone(), sent: sent.clone() });
    bench.changed();
    let message = |bench: &Bench| bench.lines().into_iter().rev().nth(1).unwrap();
    assert!(message(&bench).contains(&queued) && message(&bench).contains("u undo"), "{}", bench.screen());
    bench.data.ops.retain(|other| other.seq != op.seq);
    bench.data.history.insert(0, Op { state: OpState::Acked, settled_at: Some(wall(NOW)), ..op });
    bench.changed();
    assert!(message(&bench).contains(&sent) && !message(&bench).contains("undo"), "{}", bench.screen());
}

#[test]
fn a_warning_that_comes_by_itself_is_not_taken_away_by_what_is_being_typed() {
    let mut bench = in_condition("few", (120, 36));
    let warning =
        || Activity::new(wall(NOW), Severity::Warning, "drafts", "Two windows typed in the draft of x at once");
    bench.press("2ea");
    bench.event(Event::Noticed(warning()));
    bench.press("bc");
    assert!(bench.screen().contains("Two windows typed"), "{}", bench.screen());
    bench.clock += 3;
    bench.press("d");
    assert!(!bench.screen().contains("Two windows typed"), "{}", bench.screen());
}

#[test]
fn a_record_that_was_made_is_under_the_cursor_unless_a_filter_may_hide_it() {
    for filtered in [false, true] {
        let mut bench = Bench::new(setup((80, 24)), few(), 3_600);
        bench.press("2");
        if filtered {
            bench.press("/ a n n a <enter>");
        }
        let before = bench.app.records().view().cursor.clone();
        bench.press("a");
        bench.press("\" n \" : 1 <F2>");
        bench.settle();
        let made = bench.data.ops.last().unwrap().record.id.clone();
        let cursor = bench.app.records().view().cursor.clone();
        assert_eq!(cursor, if filtered { before } else { Some(made) }, "filtered {filtered}: {}", bench.screen());
    }
}

#[test]
fn the_vault_of_one_record_comes_back_with_its_filter_and_its_scroll() {
    for size in SIZES {
        let mut bench = in_condition("few", size);
        bench.press("2jgVj]");
        assert!(bench.screen().contains("FILTER users/u_"), "{}", bench.screen());
        let mut bench = restarted(bench, "the vault of one record");
        bench.press("<esc>/prod<left>");
        let bench = restarted(bench, "a half typed filter of the vault");
        kept("panes/vault", &format!("filtered_{}x{}", size.0, size.1), &cut(&bench));
    }
}

#[test]
fn a_read_only_source_refuses_every_edit_and_says_why() {
    for keys in ["e", "3i", "a", "d", "3jd", "E"] {
        let mut locked = setup((120, 36));
        locked.sources[0].read_only = true;
        let mut bench = Bench::new(locked, few(), NOW);
        bench.press(keys);
        assert!(bench.app.message().is_some_and(|message| message.text.contains("read only")), "{keys}");
        assert!(bench.app.confirm().is_none() && bench.data.ops.is_empty() && bench.data.drafts.is_empty());
    }
}

#[test]
fn a_saved_edit_is_committed_as_a_wish_before_saving_is_painted() {
    use ebbtide::app::{effect::Effect, event::Event};
    let mut bench = Bench::new(setup((120, 36)), few(), NOW);
    bench.press("d");
    let key = parse("y")[0];
    let effects = bench.app.handle(&At::test(NOW), Event::Key(key));
    let commit = bench.app.take_commit();
    assert!(matches!(commit.drafts.last(), Some(ebbtide::model::draft::DraftWrite::RequestCommit { .. })));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Queue { draft: Some(_), .. })));
    assert!(bench.screen().contains("| saving"), "{}", bench.screen());
}

#[test]
fn while_rows_are_loaded_again_the_screen_keeps_the_old_ones() {
    use ebbtide::app::event::{Changed, Event};
    let mut bench = in_condition("few", (120, 36));
    let before = bench.lines();
    let changed = Changed { records: true, outbox: true, activity: true, drafts: true };
    let effects = bench.app.handle(&At::test(NOW), Event::Changed(changed));
    assert!(!effects.is_empty());
    assert_eq!(bench.lines(), before);
}

#[test]
fn the_mouse_focuses_selects_folds_and_presses_hints() {
    let mut bench = in_condition("few", (120, 36));
    bench.click(30, 5);
    assert_eq!(bench.app.records().selected().unwrap().id.as_str(), "u_00012");
    bench.click(75, 2);
    assert_eq!(bench.app.screen().focus, ebbtide::app::pane::PaneName::Record);
    let line = bench.lines().pop().unwrap();
    let at = line.find("? help").unwrap();
    bench.click(u16::try_from(at).unwrap(), 35);
    assert_eq!(bench.app.screen().top(), ebbtide::app::pane::PaneName::Help);
}

#[test]
fn holding_a_key_through_a_long_list_never_stops_at_the_edge_of_what_is_loaded() {
    let mut bench = Bench::new(setup((80, 24)), many(), NOW);
    bench.press("2gg");
    for _ in 0..900 {
        bench.press("j");
    }
    let position = bench.app.records().position(11);
    assert!(position.to.unwrap() > 890, "{position:?}");
    for _ in 0..900 {
        bench.press("k");
    }
    assert_eq!(bench.app.records().position(11).from, Some(1));
}

mod random {
    use super::*;
    use proptest::prelude::*;

    const KEYS: [&str; 62] = [
        "j",
        "j",
        "j",
        "k",
        "G",
        "gg",
        "g",
        "<enter>",
        "<enter>",
        "<esc>",
        "<esc>",
        "<tab>",
        "<shift-tab>",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "z",
        ">",
        "<lt>",
        "/",
        "a",
        "e",
        "i",
        "d",
        "u",
        "y",
        "n",
        "s",
        "S",
        "<space>",
        "v",
        "<ctrl-d>",
        "<ctrl-u>",
        "h",
        "l",
        ":",
        "?",
        "L",
        "C",
        "c",
        "m",
        "t",
        "w",
        "0",
        "x",
        "<backspace>",
        "<left>",
        "<right>",
        "<down>",
        "<F2>",
        "<F3>",
        "<F8>",
        "<ctrl-g>",
        "]",
        "田",
        "\"",
        "R",
        "gs",
        "o",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: std::env::var("CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(96), failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_was_pressed_comes_back(
            keys in prop::collection::vec(0..KEYS.len(), 1..60),
            size in prop::sample::select(vec![(120, 36), (80, 24), (60, 16), (100, 20)]),
            no_rank in any::<bool>(),
        ) {
            let mut data = few();
            outbox(&mut data);
            sessions(&mut data);
            lost(&mut data);
            data.no_rank = no_rank;
            let mut bench = Bench::new(setup(size), data, NOW);
            bench.status(online());
            let mut story = format!("{size:?} ");
            for key in keys {
                story += KEYS[key];
                bench.press(KEYS[key]);
            }
            restarted(bench, &story);
        }
    }
}

#[test]
fn help_runs_what_it_lists_and_nothing_else() {
    let mut bench = Bench::new(setup((120, 36)), few(), NOW);
    // A command of another pane is not listed here, and not run.
    bench.press("2?hold<enter>");
    assert!(bench.effects.is_empty() && bench.screen().contains("Search: hold"), "{}", bench.screen());
    bench.press("<esc>drafts<enter>");
    assert!(bench.screen().contains("Drafts") && !bench.screen().contains("Search:"), "{}", bench.screen());
    // Another pane's page is for reading: its commands need its pane.
    bench.press("<esc>2?<tab>mark<enter>");
    assert!(bench.effects.is_empty(), "{:?}", bench.effects);
    // The editor types what are keys elsewhere.
    bench.press("<esc><esc><esc>e<f1>");
    let screen = bench.screen();
    assert!(screen.contains("Help: Editor") && screen.contains("F2"), "{screen}");
    assert!(!screen.contains("take mine") && !screen.contains(" u   "), "{screen}");
    let general = screen.lines().any(|line| line.contains("next pane") || line.contains("quit and keep everything"));
    assert!(!general, "the editor takes tab and ctrl-c for itself:\n{screen}");
}

#[test]
fn drafts_stand_beside_queued_edits_of_a_collection() {
    for size in [(120, 36), (80, 24)] {
        let mut data = few();
        data.op(&key("users").record("u_00031"), Some(json!({"name": "Bea"})), OpState::Queued, NOW - 60);
        data.op(&key("users").record("u_00007"), None, OpState::Queued, NOW - 50);
        let mut bench = Bench::new(setup(size), data, NOW);
        bench.press("2jex<esc>1");
        let has_both =
            |bench: &Bench| bench.lines().iter().any(|line| line.contains("users") && line.contains("~1 M2"));
        assert!(has_both(&bench), "{size:?}:\n{}", bench.screen());
        assert!(has_both(&restarted(bench, "a draft beside queued edits")), "{size:?}");
    }
}

#[test]
fn a_record_that_the_server_deleted_is_not_said_to_have_changed_there() {
    let mut data = few();
    outbox(&mut data);
    data.conflicts[0].theirs = None;
    data.bases.get_mut(&key("products")).unwrap().retain(|id, _| id.as_str() != "p_003");
    let mut bench = Bench::new(setup((120, 36)), data, NOW);
    bench.press("1jj<enter>2gg/p_003<enter><esc>3");
    let screen = bench.screen();
    assert!(screen.contains("The server deleted it: c decides"), "{screen}");
    assert!(!screen.contains("changed it too"), "{screen}");
}

#[test]
fn a_question_has_room_for_its_answers() {
    for size in [(60, 16), (80, 24), (100, 30), (120, 36)] {
        let mut bench = Bench::new(setup(size), few(), NOW);
        bench.press("3jd");
        let screen = bench.screen();
        assert!(screen.contains("y or enter delete the field     n or esc leave it"), "{screen}");
    }
}
