//! Who may ask at all: tokens, host names, origins, rules.

use ebbtide::server::{Options, Tuning};

use crate::harness::{Backend, Transcript, options};

#[tokio::test]
async fn the_token_is_asked_for_in_every_way_it_may_come() {
    let secret = secrecy::SecretString::from("s3cret token");
    let backend = Backend::with(Options { token: Some(secret), ..options() }, Tuning::default()).await;
    let mut log = Transcript::default();
    for request in [
        "GET /a.json",
        "PUT /a.json\n\n1",
        "GET /.ebbtide/stats.json",
        "GET /.settings/rules.json",
        "GET /a.json?auth=wrong",
        "GET /a.json\nAuthorization: Bearer wrong",
        "GET /a.json\nAuthorization: Basic s3cret token",
        "GET /a.json?auth=",
        "GET /a.json?auth=s3cret+token",
        "GET /a.json?access_token=s3cret%20token",
        "PUT /a.json\nAuthorization: Bearer s3cret token\n\n1",
        "GET /a.json?auth=s3cret+token\nAuthorization: Bearer wrong",
    ] {
        log.ask(&backend, request).await;
    }
    log.check("token");
    let streaming = [("accept", "text/event-stream")];
    assert_eq!(backend.send("GET", "/a.json", &streaming, "").await.status, 401);
}

#[tokio::test]
async fn only_this_machine_is_answered() {
    let backend = Backend::start().await;
    let mut log = Transcript::default();
    for request in [
        "GET /a.json\nHost: evil.example",
        "GET /a.json\nHost: 10.0.0.1:80",
        "GET /a.json\nHost: localhost:9000",
        "GET /a.json\nHost: [::1]:9000",
        "POST /a.json\nOrigin: https://evil.example\n\n1",
        "POST /a.json\nOrigin: null\n\n1",
        "GET /a.json\nOrigin: http://localhost:5173",
        "OPTIONS /a.json\nOrigin: http://localhost:5173\nAccess-Control-Request-Method: PUT",
    ] {
        log.ask(&backend, request).await;
    }
    log.check("hosts");
}

#[tokio::test]
async fn rules_deny_and_ask_for_indexes() {
    let backend = Backend::start().await;
    let mut log = Transcript::default();
    let rules = "{\"rules\": {\"open\": {\".read\": true, \".write\": true, \".indexOn\": [\"age\"]}, \"fixed\": {\".read\": true}}}";
    for request in [
        "PUT /fixed/a.json\n\n1",
        "GET /fixed.json?orderBy=\"age\"",
        "GET /.settings/rules.json",
        &format!("PUT /.settings/rules.json\n\n{rules}"),
        "GET /.settings/rules.json",
        "GET /open.json?orderBy=\"age\"",
        "GET /open.json?orderBy=\"name\"",
        "GET /open.json?orderBy=\"$value\"",
        "GET /open.json?orderBy=\"$key\"",
        "GET /closed.json",
        "GET /.json",
        "PUT /fixed/a.json\n\n2",
        "PATCH /.json\n\n{\"open/x\": 1, \"fixed/x\": 1}",
        "PATCH /.json\n\n{\"open/x\": 1, \"open/y\": 1}",
    ] {
        log.ask(&backend, request).await;
    }
    log.note("readable, not writable: stale is told before denied");
    let tag = log.ask(&backend, "GET /fixed/a.json\nX-Firebase-ETag: true").await.etag.unwrap();
    log.ask(&backend, "PUT /fixed/a.json\nif-match: stale\n\n2").await;
    log.ask(&backend, &format!("PUT /fixed/a.json\nif-match: {tag}\n\n2")).await;
    log.ask(&backend, "PUT /closed/a.json\nif-match: stale\n\n2").await;
    log.note("what this backend cannot keep, it does not take");
    log.ask(&backend, "PUT /.settings/rules.json\n\n{\"rules\": {\".read\": \"auth != null\"}}").await;
    log.ask(&backend, "DELETE /.settings/rules.json").await;
    log.check("rules");
}
