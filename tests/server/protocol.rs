//! The protocol table, as transcripts a person can hold against the documentation.

use crate::harness::{Backend, Transcript};

#[tokio::test]
async fn verbs_answer_what_they_did() {
    let backend = Backend::start().await;
    let mut log = Transcript::default();
    for request in [
        "GET /tasks/a.json",
        "PUT /tasks/a.json\n\n{\"title\": \"one\", \"tags\": [\"x\", null, \"y\"], \"gone\": null, \"empty\": {}}",
        "GET /tasks/a.json",
        "GET /tasks/a/tags.json",
        "GET /tasks/a/tags/2.json",
        "GET /tasks/a/tags/1.json",
        "PATCH /tasks/a.json\n\n{\"done\": true, \"tags\": null}",
        "POST /tasks.json\n\n{\"title\": \"pushed\"}",
        "POST /tasks.json\n\n\"\"",
        "GET /tasks.json",
        "DELETE /tasks/a.json",
        "DELETE /tasks/a.json",
        "GET /tasks/a.json",
        "PUT /tasks.json\n\nnull",
        "GET /.json",
    ] {
        log.ask(&backend, request).await;
    }
    log.note("the verb may hide in POST");
    for request in [
        "POST /o/a.json\nX-HTTP-Method-Override: PUT\n\n1",
        "POST /o.json\nX-HTTP-Method-Override: PATCH\n\n{\"b\": 2}",
        "POST /o/a.json\nX-HTTP-Method-Override: DELETE",
        "POST /o.json\nX-HTTP-Method-Override: GET",
        "POST /o.json\nX-HTTP-Method-Override: BREW",
        "GET /o.json\nX-HTTP-Method-Override: DELETE",
        "OPTIONS /o.json",
    ] {
        log.ask(&backend, request).await;
    }
    log.note("`ns`, `auth` and `access_token` come along; odd spellings of paths too");
    for request in [
        "GET /o.json?ns=demo&auth=x&access_token=y",
        "GET //o///b.json",
        "PUT /k%C3%A9y%20%F0%9F%99%82/%25.json\n\n\"x\"",
        "GET /k%C3%A9y%20%F0%9F%99%82.json",
        "GET /o",
        "GET /",
    ] {
        log.ask(&backend, request).await;
    }
    log.ask(&backend, "GET /.ebbtide/stats.json").await;
    log.check("verbs");
}

#[tokio::test]
async fn etags_guard_what_was_read() {
    let backend = Backend::start().await;
    let mut log = Transcript::default();
    log.note("only when asked, and never with PATCH");
    log.ask(&backend, "GET /t/a.json\nX-Firebase-ETag: true").await;
    let one = log.ask(&backend, "PUT /t/a.json\nX-Firebase-ETag: true\n\n{\"n\": 1}").await.etag.unwrap();
    log.ask(&backend, "PUT /t/a.json\n\n{\"n\": 1}").await;
    log.ask(&backend, "PATCH /t/a.json\nX-Firebase-ETag: true\n\n{\"n\": 1}").await;
    log.ask(&backend, "POST /t.json\nX-Firebase-ETag: true\n\n1").await;
    let read = log.ask(&backend, "GET /t/a.json\nX-Firebase-ETag: true").await.etag.unwrap();
    assert_eq!(one, read);
    log.note("content only: the same value has the same tag again");
    let two = log.ask(&backend, "PUT /t/a.json\nX-Firebase-ETag: true\n\n{\"n\": 2}").await.etag.unwrap();
    assert_ne!(one, two);
    let again = log.ask(&backend, "PUT /t/a.json\nX-Firebase-ETag: true\n\n{\"n\":1}").await.etag.unwrap();
    assert_eq!(one, again);
    log.note("a stale tag answers 412 with what is there and its tag");
    log.ask(&backend, &format!("PUT /t/a.json\nif-match: {two}\n\n{{\"n\": 3}}")).await;
    log.ask(&backend, &format!("PUT /t/a.json\nif-match: \"{one}\"\n\n{{\"n\": 3}}")).await;
    log.ask(&backend, "PUT /t/a.json\nif-match: nonsense\n\n{\"n\": 3}").await;
    log.ask(&backend, "PUT /t/a.json\nif-match: *\n\n{\"n\": 3}").await;
    log.ask(&backend, "PUT /t/a.json\nif-match: null_etag\n\n{\"n\": 3}").await;
    log.ask(&backend, &format!("DELETE /t/a.json\nif-match: {two}")).await;
    log.ask(&backend, &format!("PUT /t/a.json\nif-match: {one}\nX-Firebase-ETag: true\n\n{{\"n\": 3}}")).await;
    log.note("below a record and above it");
    let leaf = log.ask(&backend, "GET /t/a/n.json\nX-Firebase-ETag: true").await.etag.unwrap();
    log.ask(&backend, &format!("PUT /t/a/n.json\nif-match: {leaf}\n\n4")).await;
    let all = log.ask(&backend, "GET /t.json\nX-Firebase-ETag: true").await.etag.unwrap();
    log.ask(&backend, "PUT /t.json\nif-match: stale\n\n{}").await;
    log.ask(&backend, &format!("DELETE /t.json\nif-match: {all}")).await;
    log.note("creating and deleting");
    log.ask(&backend, "PUT /t/new.json\nif-match: null_etag\n\n1").await;
    log.ask(&backend, "PUT /t/new.json\nif-match: null_etag\n\n1").await;
    let new = log.ask(&backend, "GET /t/new.json\nX-Firebase-ETag: true").await.etag.unwrap();
    log.ask(&backend, &format!("DELETE /t/new.json\nif-match: {new}\nX-Firebase-ETag: true")).await;
    log.ask(&backend, &format!("DELETE /t/new.json\nif-match: {new}")).await;
    log.note("where it is not supported");
    log.ask(&backend, "GET /t.json\nif-match: x").await;
    log.ask(&backend, "POST /t.json\nif-match: x\n\n1").await;
    log.ask(&backend, "PATCH /t.json\nif-match: x\n\n{\"a\": 1}").await;
    log.ask(&backend, "PUT /t/a.json?print=silent\nif-match: null_etag\n\n1").await;
    log.note("if-none-match brings the tag without asking");
    log.ask(&backend, "PUT /t/b.json\n\ntrue").await;
    let tag = log.ask(&backend, "GET /t/b.json\nif-none-match: old").await.etag.unwrap();
    log.ask(&backend, &format!("GET /t/b.json\nif-none-match: {tag}")).await;
    log.ask(&backend, "GET /t/none.json\nif-none-match: null_etag").await;
    log.ask(&backend, "GET /.ebbtide/stats.json").await;
    log.check("etags");
}

#[tokio::test]
async fn a_patch_is_many_paths_or_nothing() {
    let backend = Backend::start().await;
    let mut log = Transcript::default();
    for request in [
        "PUT /.json\n\n{\"a\": {\"x\": {\"keep\": 1, \"drop\": 2}, \"y\": 3}}",
        "PATCH /a.json\n\n{\"x\": {\"new\": 1}, \"z/deep/er\": [1], \"y\": null}",
        "GET /a.json",
        "PATCH /.json\n\n{\"a/x/n\": {\".sv\": {\"increment\": 5}}, \"b/c\": {\".sv\": \"timestamp\"}}",
        "GET /.json",
        "PATCH /a.json\n\n{\"x\": 1, \"x/y\": 2}",
        "PATCH /a.json\n\n{\"x/y/z\": 1, \"/x/y/\": 2}",
        "PATCH /a.json\n\n{\"x/1\": 1, \"x/10\": 2}",
        "PATCH /a.json\n\n{\"ok\": 1, \"bad.key\": 2}",
        "PATCH /a.json\n\n{\"\": 1}",
        "PATCH /a.json\n\n[1]",
        "PATCH /a.json\n\n7",
        "PATCH /a.json\n\n{}",
        "PATCH /a.json\n\nnull",
        "GET /a.json",
        "PATCH /a/x.json?print=silent\n\n{\"1\": null, \"10\": null}",
        "GET /a/x.json",
    ] {
        log.ask(&backend, request).await;
    }
    log.ask(&backend, "GET /.ebbtide/stats.json").await;
    log.check("patch");
}

#[tokio::test]
async fn answers_take_the_shape_that_was_asked_for() {
    let backend = Backend::start().await;
    let mut log = Transcript::default();
    for request in [
        "PUT /d.json?print=pretty\n\n{\"a\": {\"x\": [1, \"b,{}\"]}, \"b\": 2, \"10\": 1, \"9\": 1}",
        "GET /d.json?print=pretty",
        "GET /d.json?print=silent",
        "PUT /d/c.json?print=silent\n\n1",
        "POST /p.json?print=silent\n\n1",
        "DELETE /d/c.json?print=silent",
        "GET /d.json?print=loud",
        "GET /d.json?shallow=true",
        "GET /.json?shallow=true&print=pretty&ns=x&auth=y",
        "GET /d/a.json?shallow=true",
        "GET /d/b.json?shallow=true",
        "GET /none.json?shallow=true",
        "GET /d.json?shallow=true&orderBy=\"$key\"",
        "GET /d.json?shallow=true&limitToFirst=1",
        "GET /d.json?timeout=10s",
        "GET /d.json?timeout=3min",
        "GET /d.json?timeout=16min",
        "GET /d.json?timeout=soon",
        "PUT /d/c.json?writeSizeLimit=tiny\n\n1",
        "PUT /d/c.json?writeSizeLimit=huge\n\n1",
    ] {
        log.ask(&backend, request).await;
    }
    log.note("priorities are kept, and shown by `format=export`");
    for request in [
        "PUT /s.json\n\n{\"a\": {\".value\": 1, \".priority\": 3}, \"b\": {\"x\": 1, \".priority\": \"p\"}, \"c\": 2}",
        "GET /s.json",
        "GET /s.json?format=export",
        "GET /s.json?orderBy=\"$priority\"&startAt=3",
        "PUT /s/c/.priority.json\n\n1",
        "GET /s/c/.priority.json",
        "GET /s/c.json?format=export",
        "PUT /s/a/n.json\n\n5",
        "GET /s/a.json?format=export",
        "PUT /s/.priority.json\n\n9",
        "GET /s.json?format=export",
        "DELETE /s/b/.priority.json",
        "GET /s/b.json?format=export",
        "PUT /s/b/.priority.json\n\ntrue",
        "GET /s.json?format=csv",
    ] {
        log.ask(&backend, request).await;
    }
    log.check("shapes");
}

#[tokio::test]
async fn server_values_are_put_in() {
    let backend = Backend::start().await;
    let mut log = Transcript::default();
    for request in [
        "PUT /v.json\n\n{\"at\": {\".sv\": \"timestamp\"}, \"k\": {\"n\": {\".sv\": {\"increment\": 2}}}}",
        "PUT /v/k/n.json\n\n{\".sv\": {\"increment\": 40}}",
        "PUT /v/k/n.json\n\n{\".sv\": {\"increment\": -0.5}}",
        "PUT /v/k/big.json\n\n9007199254740993",
        "PUT /v/k/big.json\n\n{\".sv\": {\"increment\": 1}}",
        "PUT /v/k/text.json\n\n\"x\"",
        "PUT /v/k/text.json\n\n{\".sv\": {\"increment\": 1}}",
        "PUT /v/at.json\n\n{\".sv\": \"timestamp\"}",
        "GET /v.json",
        "PUT /v/at.json\n\n{\".sv\": \"tomorrow\"}",
        "PUT /v/at.json\n\n{\".sv\": {\"increment\": \"1\"}}",
        "PUT /v/at.json\n\n{\".sv\": \"timestamp\", \"a\": 1}",
        "PUT /v.json\n\n{\".sv\": \"timestamp\"}",
    ] {
        log.ask(&backend, request).await;
    }
    log.check("server-values");
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_with_a_reason() {
    let backend = Backend::start().await;
    let mut log = Transcript::default();
    let deep = format!("PUT /deep/r.json\n\n{}1{}", "{\"a\":".repeat(31), "}".repeat(31));
    let path = format!("PUT /{}.json\n\n1", ["a"; 33].join("/"));
    for request in [
        "PUT /x.json",
        "PUT /x.json\n\n{\"a\": ",
        "PUT /x.json\n\n{\"a\": 1} trailing",
        "PUT /x.json\n\n<html>",
        "PUT /x.json\n\n\"\\ud800\"",
        "PUT /x.json\n\n01",
        "PUT /x.json\n\n{\"a.b\": 1}",
        "PUT /x/y.json\n\n{\"a\": [{\"$b\": 1}]}",
        "PUT /x.json\n\n{\"\": 1}",
        "PUT /x.json\n\n{\"a/b\": 1}",
        "PUT /x.json\n\n{\"a\\u0007\": 1}",
        "PUT /a.b/c.json\n\n1",
        "PUT /a%2Fb.json\n\n1",
        "PUT /%FF.json\n\n1",
        "GET /a%00.json",
        "GET /$x.json",
        deep.as_str(),
        path.as_str(),
        "PUT /x.json\n\n{\"twice\": 1, \"twice\": 2}",
        "PUT /x/r.json\n\n{\"n\": 12345678901234567890123, \"f\": 1.50, \"e\": 1E400}",
        "GET /x.json",
    ] {
        log.ask(&backend, request).await;
    }
    let long = "é".repeat(385);
    let reply = backend.send("PUT", "/x/k.json", &[], &format!("{{\"{long}\": 1}}")).await;
    assert_eq!((reply.status, reply.body.contains("768")), (400, true), "{}", reply.body);
    let string = format!("\"{}\"", "x".repeat((10 << 20) + 1));
    let reply = backend.send("PUT", "/x/k.json", &[], &string).await;
    assert_eq!((reply.status, reply.body.contains("limit of 10485760")), (400, true), "{}", reply.body);
    let reply = backend.send("PUT", "/x/k.json?writeSizeLimit=tiny", &[], &string).await;
    assert_eq!((reply.status, reply.body.contains("Payload is too large")), (413, true), "{}", reply.body);
    assert_eq!(backend.get("/x/k.json").await, "null");
    log.check("refused");
}
