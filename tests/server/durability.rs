//! The file: what was answered is there after a restart, a kill loses nothing that was acknowledged, one server at a time.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::Arc,
};

use ebbtide::server::{Options, Server, ServerError, Tuning};
use serde_json::json;

use crate::harness::{Backend, options};

#[tokio::test]
async fn data_rules_and_counts_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("my.db");
    let backend = Backend::on(data.clone()).await;
    backend.put("/t/a.json", "{\"n\":1}").await;
    backend.put("/.settings/rules.json", r#"{"rules":{"t":{".read":true,".write":true}}}"#).await;
    backend.put("/t/b.json", "2").await;
    assert_eq!(backend.server.writes_applied(), 2);
    backend.server.stop().await;
    let backend = Backend::on(data.clone()).await;
    assert_eq!(backend.get("/t.json").await, r#"{"a":{"n":1},"b":2}"#);
    assert_eq!(backend.send("GET", "/u.json", &[], "").await.status, 401);
    assert_eq!(backend.server.writes_applied(), 2);
    assert_eq!(backend.get("/.ebbtide/stats.json").await, r#"{"writes":2,"streams":0}"#);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_seed_fills_only_an_empty_database() {
    let directory = tempfile::tempdir().unwrap();
    let data = Some(directory.path().join("my.db"));
    let seed = Some(json!({ "c": { "k": { "v": [1, null] } }, "n": null }));
    let first = Options { data: data.clone(), seed: seed.clone(), ..options() };
    let backend = Backend::with(first, Tuning::default()).await;
    assert_eq!(backend.get("/.json").await, r#"{"c":{"k":{"v":[1]}}}"#);
    assert_eq!(backend.server.writes_applied(), 0);
    backend.put("/c/k.json", "2").await;
    backend.server.stop().await;
    let backend = Backend::with(Options { data, seed, ..options() }, Tuning::default()).await;
    assert_eq!(backend.get("/.json").await, r#"{"c":{"k":2}}"#);
    let bad = Options { seed: Some(json!({ "a.b": 1 })), ..options() };
    assert!(matches!(Server::start(bad).await, Err(ServerError::Seed(reason)) if reason.contains('.')));
}

#[tokio::test]
async fn files_that_are_not_ours_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let error = async |data| match Server::start(Options { data: Some(data), ..options() }).await {
        Err(error @ ServerError::Data { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was opened"),
    };
    std::fs::write(path("text.db"), "not a database, but long enough to look like something").unwrap();
    assert!(error(path("text.db")).await.contains("not a database"));
    let other = rusqlite::Connection::open(path("other.db")).unwrap();
    other.execute_batch("CREATE TABLE t (a)").unwrap();
    drop(other);
    assert!(error(path("other.db")).await.contains("not one of an ebbtide backend"));
    let backend = Backend::on(path("mine.db")).await;
    assert!(error(path("mine.db")).await.contains("another server has it open"));
    backend.server.stop().await;
    let newer = rusqlite::Connection::open(path("mine.db")).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    assert!(error(path("mine.db")).await.contains("newer ebbtide (schema 99)"));
    assert!(error(path("no/such/dir.db")).await.contains("No such file"));
    let taken = Backend::start().await;
    let same = Options { listen: taken.server.address(), ..options() };
    assert!(matches!(Server::start(same).await, Err(ServerError::Listen { .. })));
}

/// Run by the test below in a process of its own, which is killed.
#[test]
#[ignore = "the child of the next test"]
fn serve_until_killed() {
    let data = std::env::var("EBBTIDE_TEST_DATA").expect("set by the parent").into();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let backend = Backend::on(data).await;
        println!("\nlistening {}", backend.server.address());
        std::future::pending::<()>().await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_that_was_answered() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("my.db");
    let mut answered = 0_u64;
    for round in 0..4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "durability::serve_until_killed"])
            .env("EBBTIDE_TEST_DATA", &data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address =
            lines.map(|line| line.unwrap()).find_map(|line| line.strip_prefix("listening ").map(str::to_owned));
        let base = format!("http://{}", address.unwrap());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let tasks: Vec<_> = (0..4)
            .map(|lane| {
                let (http, base) = (http.clone(), base.clone());
                tokio::spawn(async move {
                    let mut acked = Vec::new();
                    for n in 0.. {
                        let key = format!("r{round}l{lane}n{n}");
                        let put = http
                            .put(format!("{base}/t/{key}.json"))
                            .header("if-match", "null_etag")
                            .body(n.to_string());
                        match put.send().await {
                            Ok(response) if response.status() == 200 => acked.push(key),
                            Ok(response) => panic!("{}", response.status()),
                            Err(_) => break,
                        }
                    }
                    acked
                })
            })
            .collect();
        // Killed when a number of writes are through, at whatever point the others are then.
        loop {
            let stats = http.get(format!("{base}/.ebbtide/stats.json")).send().await.unwrap().text().await.unwrap();
            let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
            if stats["writes"].as_u64().unwrap() >= answered + 60 {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let mut acked = Vec::new();
        for task in tasks {
            acked.extend(task.await.unwrap());
        }
        let backend = Backend::on(data.clone()).await;
        let stored: serde_json::Value = serde_json::from_str(&backend.get("/t.json?shallow=true").await).unwrap();
        let lost: Vec<_> = acked.iter().filter(|key| stored.get(key.as_str()).is_none()).collect();
        assert_eq!(lost, Vec::<&String>::new(), "round {round}");
        answered = backend.server.writes_applied();
        assert_eq!(answered, stored.as_object().unwrap().len() as u64, "each effect counted once");
        backend.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_writers_with_one_tag_one_wins() {
    let backend = Arc::new(Backend::start().await);
    for round in 0..20 {
        let tasks: Vec<_> = (0..8)
            .map(|n| {
                let backend = Arc::clone(&backend);
                tokio::spawn(async move {
                    let target = format!("/t/{round}.json");
                    backend.send("PUT", &target, &[("if-match", "null_etag")], &n.to_string()).await.status
                })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            won += usize::from(task.await.unwrap() == 200);
        }
        assert_eq!(won, 1);
    }
    assert_eq!(backend.server.writes_applied(), 20);
}
