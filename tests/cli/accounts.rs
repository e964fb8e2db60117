//! Edits of one account that another one would send: they wait, and go once that is confirmed.

use serde_json::{Value, json};

use crate::place::{Place, Serve};

/// The one source, with who is signed in.
fn sign_in(place: &Place, serve: &Serve, user: &str) {
    let (url, source) = (&serve.url, "[[source]]\nname = \"shop\"\nkind = \"firebase\"");
    let config = format!("{source}\nurl = \"{url}\"\nuser = \"{user}\"\n\n[[source.collection]]\nname = \"goods\"\n");
    place.write("config.toml", &config);
}

fn there(serve: &Serve) -> Value {
    serde_json::from_str(&serve.request("GET", "/goods/x.json", "").1).unwrap()
}

/// An edit made as ann waits for bob to confirm it.
fn waiting() -> (Place, Serve) {
    let place = Place::new();
    let serve = place.serve(&[]);
    assert_eq!(serve.request("PUT", "/goods/x.json", r#"{"name":"mug","price":3}"#).0, 200);
    sign_in(&place, &serve, "ann");
    place.json(&["sync"], 0);
    place.json(&["patch", "goods", "x", r#"{"price":4}"#], 0);
    sign_in(&place, &serve, "bob");
    place.json(&["sync"], 3);
    (place, serve)
}

#[test]
fn an_edit_made_as_another_waits_with_its_reason_until_it_is_confirmed() {
    let (place, serve) = waiting();
    let op = place.json(&["outbox", "show", "1"], 0);
    assert_eq!((&op["state"], &op["author"], &op["attempts"]), (&json!("auth"), &json!("ann"), &json!(0)));
    let shown = place.run(&["outbox", "show", "1"]);
    assert!(shown.stdout.contains("made as ann, signed in as bob"), "{shown:?}");
    let told = place.run(&["status"]);
    assert_eq!(told.code, 3, "{told:?}");
    let hint = "1 edit made as ann, signed in as bob: `ebbtide outbox confirm --source shop` sends them";
    assert!(told.stdout.contains(hint), "{told:?}");
    assert_eq!(there(&serve)["price"], 3, "nothing of it was sent");
    // Neither asking again nor a retry is a consent.
    place.json(&["outbox", "retry", "1"], 0);
    place.json(&["sync"], 3);
    assert_eq!(place.json(&["outbox", "list"], 0)[0]["state"], "auth");
    assert_eq!(there(&serve)["price"], 3);
    let unknown = place.run(&["outbox", "confirm", "--source", "shed"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("there is no source `shed`"), "{unknown:?}");
    let confirmed = place.json(&["outbox", "confirm", "--source", "shop"], 0);
    assert_eq!(confirmed, json!({"confirmed": 1, "account": "bob"}));
    assert_eq!(place.json(&["outbox", "list"], 0)[0]["state"], "queued");
    place.json(&["sync"], 0);
    assert_eq!(there(&serve), json!({"name": "mug", "price": 4}));
    let again = place.run(&["outbox", "confirm", "--source", "shop"]);
    assert!(again.code == 0 && again.stderr.contains("no edit waits for another account at `shop`"), "{again:?}");
}

#[test]
fn a_confirmed_edit_that_is_merged_with_what_others_wrote_is_not_asked_about_again() {
    let (place, serve) = waiting();
    place.json(&["outbox", "confirm", "--source", "shop"], 0);
    assert_eq!(serve.request("PATCH", "/goods/x.json", r#"{"name":"cup"}"#).0, 200);
    place.json(&["sync"], 0);
    assert_eq!(there(&serve), json!({"name": "cup", "price": 4}));
}

#[test]
fn whoever_made_it_signs_in_again_and_it_goes() {
    let (place, serve) = waiting();
    sign_in(&place, &serve, "ann");
    place.json(&["sync"], 0);
    assert_eq!(there(&serve), json!({"name": "mug", "price": 4}));
}
