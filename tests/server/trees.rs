//! Whatever is written where, the backend holds the tree a simple model holds.

use ebbtide::model::{json::same_value, rtdb::normalise};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Value};

use crate::harness::Backend;

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<String>, Value),
    Patch(Vec<String>, Vec<(String, Value)>),
    Delete(Vec<String>),
}

fn path(longest: usize) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-c]|[0-2]", 0..=longest)
}

fn tree() -> impl Strategy<Value = Value> {
    let big = "x".repeat(50 << 10);
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        3 => any::<bool>().prop_map(Value::from),
        3 => (0..9).prop_map(Value::from),
        1 => Just(Value::from(big)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec(("[a-c]|[0-2]", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (path(5), tree()).prop_map(|(path, value)| Step::Put(path, value)),
        2 => (path(3), prop::collection::btree_map("[a-c]|[0-2]|[a-c]/[0-2]", tree(), 1..3))
            .prop_map(|(path, changes)| Step::Patch(path, changes.into_iter().collect())),
        2 => path(4).prop_map(Step::Delete),
    ]
}

/// The model: one value, changed and normalised as a whole.
fn set(value: &mut Value, path: &[String], to: Value) {
    let Some((key, rest)) = path.split_first() else {
        *value = to;
        return;
    };
    let mut members: Map<String, Value> = match value.take() {
        Value::Object(members) => members,
        Value::Array(items) => items.into_iter().enumerate().map(|(at, item)| (at.to_string(), item)).collect(),
        leaf if to.is_null() => {
            *value = leaf;
            return;
        }
        _ => Map::new(),
    };
    set(members.entry(key.clone()).or_insert(Value::Null), rest, to);
    *value = Value::Object(members);
}

fn target(path: &[String]) -> String {
    format!("/{}.json", path.join("/"))
}

#[test]
fn the_backend_holds_what_the_model_holds() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let backend = runtime.block_on(Backend::start());
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&prop::collection::vec(step(), 1..12), |steps| {
        runtime.block_on(async {
            backend.put("/.json", "null").await;
            let mut model = Value::Null;
            for step in steps {
                let what = format!("{step:?}");
                match step {
                    Step::Put(path, value) => {
                        backend.put(&target(&path), &value.to_string()).await;
                        set(&mut model, &path, normalise(&value).unwrap_or_default());
                    }
                    Step::Delete(path) => {
                        backend.send("DELETE", &target(&path), &[], "").await;
                        set(&mut model, &path, Value::Null);
                    }
                    Step::Patch(base, changes) => {
                        let body: Map<String, Value> = changes.iter().cloned().collect();
                        let reply = backend.send("PATCH", &target(&base), &[], &Value::Object(body).to_string()).await;
                        let paths: Vec<Vec<&str>> = changes.iter().map(|(path, _)| path.split('/').collect()).collect();
                        let overlap = paths
                            .iter()
                            .enumerate()
                            .any(|(i, a)| paths.iter().enumerate().any(|(j, b)| i != j && b.starts_with(a)));
                        assert_eq!(reply.status, if overlap { 400 } else { 200 }, "{}", reply.body);
                        for (path, value) in changes.into_iter().filter(|_| !overlap) {
                            let path: Vec<String> =
                                base.iter().cloned().chain(path.split('/').map(str::to_owned)).collect();
                            set(&mut model, &path, normalise(&value).unwrap_or_default());
                        }
                    }
                }
                model = normalise(&model).unwrap_or_default();
                let whole: Value = serde_json::from_str(&backend.get("/.json").await).unwrap();
                assert!(same_value(&whole, &model), "after {what}: {whole} is not {model}");
            }
            // Every place answers its own part, and the same tag whoever computes it.
            for (pointer, part) in places(&model) {
                let reply = backend.send("GET", &target(&pointer), &[("x-firebase-etag", "true")], "").await;
                let read: Value = serde_json::from_str(&reply.body).unwrap();
                assert!(same_value(&read, &part), "{pointer:?}: {read} is not {part}");
                let etag = reply.etag.unwrap();
                let headers = [("if-match", etag.as_str()), ("x-firebase-etag", "true")];
                let again = backend.send("PUT", &target(&pointer), &headers, &reply.body).await;
                assert_eq!((again.status, again.etag.as_ref()), (200, Some(&etag)), "{pointer:?} {}", again.body);
            }
        });
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn places(value: &Value) -> Vec<(Vec<String>, Value)> {
    let mut list = vec![(Vec::new(), value.clone())];
    for (key, child) in ebbtide::model::rtdb::children(value) {
        for (mut path, part) in places(child) {
            path.insert(0, key.to_string());
            list.push((path, part));
        }
    }
    list
}
