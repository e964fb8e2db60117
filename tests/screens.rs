//! The screens: every pane in every condition at two sizes, restoration, and what keys do.

mod common;

use common::{bench::*, fake::Fake};
use ebbtide::model::{
    activity::Severity,
    conflict::Conflict,
    ids::{CollectionKey, Revision},
    op::OpState,
    sync_status::*,
    time::{At, Timestamp},
    wire::Link,
};
use serde_json::json;

const NOW: u64 = 7_200;

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
    sent.seq = ebbtide::model::ids::Seq(111);
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

fn typical(size: (u16, u16)) -> Bench {
    let mut data = few();
    outbox(&mut data);
    let mut bench = Bench::new(setup(size), data, NOW);
    bench.status(offline());
    bench
}

#[test]
fn look() {
    let wanted = std::env::var("LOOK").unwrap_or_default();
    let size = if wanted.contains("narrow") { (80, 24) } else { (120, 36) };
    let mut bench = typical(size);
    for keys in std::env::var("KEYS").unwrap_or_default().split(';') {
        bench.press(keys);
        println!("[{keys}]\n{}", bench.screen());
    }
}
