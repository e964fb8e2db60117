//! Conflicts from the command line: chosen place by place, edited, taught, and taken back.

use serde_json::{Value, json};

use crate::place::{Place, Serve};

/// Record `id` with a conflict at `/price` and `/tags`; `/name` and `/done` merge by themselves.
fn conflicts(ids: &[&str]) -> (Place, Serve) {
    let place = Place::new();
    let serve = place.serve(&[]);
    let words = ["init", &serve.url, "--kind", "firebase", "--name", "shop", "--collection", "goods"];
    assert_eq!(place.run(&words).code, 0);
    for id in ids {
        let record = r#"{"name":"mug","price":3,"tags":["a"],"done":false}"#;
        assert_eq!(serve.request("PUT", &format!("/goods/{id}.json"), record).0, 200);
    }
    place.json(&["sync"], 0);
    for id in ids {
        place.json(&["patch", "goods", id, r#"{"price":4,"tags":["a","m"],"done":true}"#], 0);
        let theirs = r#"{"price":5,"tags":["a","t"],"name":"cup"}"#;
        assert_eq!(serve.request("PATCH", &format!("/goods/{id}.json"), theirs).0, 200);
    }
    place.json(&["sync"], 4);
    (place, serve)
}

fn there(serve: &Serve, id: &str) -> Value {
    serde_json::from_str(&serve.request("GET", &format!("/goods/{id}.json"), "").1).unwrap()
}

#[test]
fn each_place_is_chosen_and_the_rest_merges_by_itself() {
    let (place, serve) = conflicts(&["x"]);
    let shown = place.json(&["conflicts", "show", "c1"], 0);
    let told: Vec<_> = shown["fields"].as_array().unwrap().iter().map(|f| (&f["pointer"], &f["how"])).collect();
    assert_eq!(told[0], (&json!("/price"), &json!("undecided")), "{shown}");
    assert_eq!(told.len(), 4);
    let refused = place.run(&["conflicts", "resolve", "c1", "--field", "/price=mine"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("c1 is undecided at 1 place"), "{}", refused.stderr);
    assert!(refused.stderr.contains(r#"/tags: base ["a"], mine ["a","m"], theirs ["a","t"]"#), "{}", refused.stderr);
    assert_eq!(place.json(&["status"], 4)["conflicts"], 1);
    let unknown = place.run(&["conflicts", "resolve", "c1", "--field", "/prize=mine"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("nothing differs at `/prize`"), "{unknown:?}");
    let choices = ["conflicts", "resolve", "c1", "--field", "/price=4.5", "--field", r#"/tags=["a","t","m"]"#];
    let resolved = place.json(&choices, 0);
    assert_eq!(resolved["resolution"], "merged");
    assert_eq!(resolved["teaches"][0]["rule"], "union", "{resolved}");
    let settled = place.run(&["conflicts", "show", "c1"]).stdout;
    assert!(settled.contains("you took merged") && !settled.contains("needs you"), "{settled}");
    place.json(&["sync"], 0);
    assert_eq!(there(&serve, "x"), json!({"name": "cup", "price": 4.5, "tags": ["a", "t", "m"], "done": true}));
}

#[test]
fn the_editor_is_shown_both_versions_and_what_is_no_document_changes_nothing() {
    let (place, serve) = conflicts(&["x"]);
    place.write("keep", "#!/bin/sh\nexit 0\n");
    place.write("take-mine", "#!/bin/sh\nsed -i -e '/^=======/,/^>>>>>>>/d' -e '/^<<<<<<</d' \"$1\"\n");
    let edit = |script: &str| {
        let mut command = place.command(&["conflicts", "resolve", "c1", "--edit"]);
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("EDITOR", format!("sh {script}"));
        command.output().unwrap()
    };
    let refused = edit("keep");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("a conflict mark is left"), "{refused:?}");
    assert_eq!(place.json(&["status"], 4)["conflicts"], 1);
    let done = edit("take-mine");
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    place.json(&["sync"], 0);
    assert_eq!(there(&serve, "x"), json!({"name": "cup", "price": 4, "tags": ["a", "m"], "done": true}));
}

#[test]
fn a_resolution_is_taken_back_while_unsent_and_reversed_after() {
    let (place, serve) = conflicts(&["x"]);
    let before = place.json(&["conflicts", "show", "c1"], 0);
    for side in ["mine", "theirs"] {
        place.json(&["conflicts", "resolve", "c1", "--take", side], 0);
        assert_eq!(place.json(&["conflicts", "list"], 0), json!([]));
        let undone = place.json(&["conflicts", "undo", "c1"], 0);
        assert_eq!((&undone["open"], &undone["seq"]), (&json!(true), &json!(null)));
        assert_eq!(place.json(&["conflicts", "show", "c1"], 0), before, "{side}");
        assert_eq!(place.json(&["get", "goods", "x"], 0)["local"]["price"], 4);
        assert_eq!(place.json(&["status"], 4)["outbox"]["pending"], 1);
    }
    assert_eq!(place.run(&["conflicts", "undo", "c1"]).code, 1, "it is open");
    place.json(&["conflicts", "resolve", "c1", "--take", "mine"], 0);
    place.json(&["sync"], 0);
    assert_eq!(there(&serve, "x")["price"], 4);
    let undone = place.json(&["conflicts", "undo", "c1"], 0);
    assert!(undone["open"] == json!(false) && undone["seq"].is_u64(), "{undone}");
    place.json(&["sync"], 0);
    assert_eq!(there(&serve, "x")["price"], 5, "what they had is back");
}

#[test]
fn a_lesson_is_shown_first_and_then_settles_what_it_can() {
    let (place, serve) = conflicts(&["x", "y", "z"]);
    let first = place.json(&["conflicts", "show", "c1"], 0)["id"].clone();
    let run = place.run(&["conflicts", "resolve", "c1", "--field", "/tags=mine", "--field", "/price=theirs"]);
    assert!(run.stderr.contains("ebbtide conflicts teach shop/goods /price theirs"), "{run:?}");
    assert!(run.stderr.contains("It would settle 0 of 2 open conflicts"), "{run:?}");
    let teach = |words: &[&str]| place.json(&[&["conflicts", "teach", "goods"], words].concat(), 0);
    let config = place.read("config.toml");
    let foreseen = teach(&["/price", "max"]);
    assert_eq!(foreseen["conflicts"].as_array().unwrap().len(), 2);
    assert_eq!(foreseen["conflicts"][0]["fields"], json!([{"pointer": "/price", "result": 5}]));
    assert_eq!((&foreseen["conflicts"][0]["settled"], &foreseen["applied"]), (&json!(false), &json!(false)));
    assert_eq!(place.read("config.toml"), config, "a look changes nothing");
    teach(&["/price", "max", "--apply"]);
    assert_eq!(place.json(&["status"], 4)["conflicts"], 2);
    let settled = teach(&["/tags", "union", "--apply"]);
    assert_eq!(settled["conflicts"][1]["document"]["tags"], json!(["a", "t", "m"]));
    assert_eq!(place.json(&["conflicts", "list"], 0), json!([]));
    place.json(&["sync"], 0);
    let merged = json!({"name": "cup", "price": 5, "tags": ["a", "t", "m"], "done": true});
    for id in ["x", "y", "z"].into_iter().filter(|id| first != json!(id)) {
        assert_eq!(there(&serve, id), merged, "{id}");
    }
    let wrong = place.run(&["conflicts", "teach", "goods", "/tags", "unoin"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("did you mean `union`?"), "{wrong:?}");
}

#[test]
fn a_rule_of_the_configuration_settles_what_would_have_asked() {
    let place = Place::new();
    let serve = place.serve(&[]);
    place.write(
        "config.toml",
        &format!(
            "[[source]]\nname = \"shop\"\nkind = \"firebase\"\nurl = \"{}\"\n\n[[source.collection]]\nname = \"goods\"\n\
             fields = {{ \"/stock\" = \"add\", \"/price\" = \"theirs\" }}\n",
            serve.url
        ),
    );
    assert_eq!(serve.request("PUT", "/goods/x.json", r#"{"stock":10,"price":1}"#).0, 200);
    place.json(&["sync"], 0);
    place.json(&["patch", "goods", "x", r#"{"stock":7,"price":2}"#], 0);
    assert_eq!(serve.request("PATCH", "/goods/x.json", r#"{"stock":9,"price":3}"#).0, 200);
    place.json(&["sync"], 0);
    assert_eq!(there(&serve, "x"), json!({"stock": 6, "price": 3}));
    let kept = place.json(&["vault", "list"], 0);
    assert_eq!(kept[0]["reason"], "local_overwritten", "{kept}");
}
