//! Clients ebbtide's authors did not write: Google's REST client, and vectors of Google's own tree code.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use ebbtide::{
    model::{
        json::same_value,
        rtdb::{check_document_below, check_key, key_order, normalise, value_order},
    },
    server::Tuning,
};
use serde_json::{Value, json};

use crate::harness::{Backend, options};

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

pub fn vectors() -> Value {
    serde_json::from_str(&std::fs::read_to_string(clients().join("vectors.json")).unwrap()).unwrap()
}

async fn run(mut command: tokio::process::Command) -> String {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_rest_client_works() {
    let python = clients().join(".venv/bin/python");
    assert!(python.exists(), "firebase-admin is not here; run tests/clients/install");
    // Closing its listener waits for the next event: let that be soon.
    let tuning = Tuning { keep_alive: Duration::from_millis(500), ..Tuning::default() };
    let backend = Backend::with(options(), tuning).await;
    let mut command = tokio::process::Command::new(python);
    command.arg(clients().join("firebase_admin_test.py")).arg(backend.url(""));
    let told = run(command).await;
    assert!(told.ends_with("done\n"), "{told}");
}

#[tokio::test]
async fn the_vectors_are_what_googles_code_makes_today() {
    assert!(
        clients().join("node_modules/firebase").exists(),
        "the firebase SDK is not here; run tests/clients/install"
    );
    let mut command = tokio::process::Command::new("node");
    command.arg(clients().join("rtdb_vectors.mjs"));
    let made: Value = serde_json::from_str(&run(command).await).unwrap();
    assert!(made == vectors(), "regenerate: node tests/clients/rtdb_vectors.mjs > tests/clients/vectors.json");
}

#[tokio::test]
async fn trees_are_normalised_as_googles_code_does() {
    let backend = Backend::start().await;
    for tree in vectors()["trees"].as_array().unwrap() {
        let (written, read) = (&tree["written"], &tree["read"]);
        let ours = normalise(written).unwrap_or_default();
        assert!(same_value(&ours, read), "{written}: {ours} is not {read}");
        // As a collection, as a record, and inside a record.
        for place in ["/tree.json", "/c/tree.json", "/c/r/tree.json"] {
            backend.put(place, &written.to_string()).await;
            let served: Value = serde_json::from_str(&backend.get(place).await).unwrap();
            assert!(same_value(&served, read), "{place} {written}: {served} is not {read}");
        }
    }
}

#[tokio::test]
async fn keys_and_values_are_ordered_as_googles_code_does() {
    let vectors = vectors();
    let keys: Vec<&str> = vectors["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
    for pair in keys.windows(2) {
        assert!(key_order(pair[0], pair[1]).is_lt(), "{pair:?}");
    }
    let backend = Backend::start().await;
    let written: serde_json::Map<String, Value> = keys.iter().rev().map(|key| ((*key).to_owned(), json!(1))).collect();
    backend.put("/keys.json", &Value::Object(written).to_string()).await;
    let served: Value = serde_json::from_str(&backend.get("/keys.json").await).unwrap();
    assert_eq!(served.as_object().unwrap().keys().collect::<Vec<_>>(), keys);
    for pair in vectors["values"].as_array().unwrap().windows(2) {
        let order = value_order(&pair[0]["value"], &pair[1]["value"]);
        let order = order.then_with(|| key_order(pair[0]["key"].as_str().unwrap(), pair[1]["key"].as_str().unwrap()));
        assert!(order.is_lt(), "{pair:?}");
    }
}

#[tokio::test]
async fn limits_are_those_of_googles_code() {
    let vectors = vectors();
    let backend = Backend::start().await;
    for case in vectors["refused"]["keys"].as_array().unwrap() {
        let (key, refused) = (case["key"].as_str().unwrap(), case["refused"] == true);
        assert_eq!(check_key(key).is_err(), refused, "{key:?}");
        let reply = backend.send("PUT", "/limits.json", &[], &json!({ key: 1 }).to_string()).await;
        assert_eq!(reply.status, if refused { 400 } else { 200 }, "{key:?}");
    }
    for case in vectors["refused"]["levels"].as_array().unwrap() {
        let (levels, refused) = (case["levels"].as_u64().unwrap(), case["refused"] == true);
        let value = (0..levels).fold(json!(1), |inner, _| json!({ "a": inner }));
        assert_eq!(check_document_below(1, &value).is_err(), refused, "{levels}");
        let reply = backend.send("PUT", "/limits.json", &[], &value.to_string()).await;
        assert_eq!(reply.status, if refused { 400 } else { 200 }, "{levels}");
    }
    for case in vectors["refused"]["patches"].as_array().unwrap() {
        let reply = backend.send("PATCH", "/patched.json", &[], &case["patch"].to_string()).await;
        assert_eq!(reply.status, if case["refused"] == true { 400 } else { 200 }, "{}", case["patch"]);
    }
}

#[tokio::test]
async fn increments_add_as_googles_code_does() {
    let backend = Backend::start().await;
    for case in vectors()["sv"].as_array().unwrap() {
        backend.put("/sv/n.json", &case["before"].to_string()).await;
        let increment = json!({ ".sv": { "increment": case["by"] } });
        backend.put("/sv/n.json", &increment.to_string()).await;
        let after: Value = serde_json::from_str(&backend.get("/sv/n.json").await).unwrap();
        assert!(same_value(&after, &case["after"]), "{case}: {after}");
    }
}
