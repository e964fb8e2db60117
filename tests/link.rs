//! What is believed of the way to a source, over real sockets: a network that answers in the server's place, a token that
//! runs out, and being offline by one's own wish.

mod common;

use std::{path::Path, process::Output, time::Duration};

use common::{
    ebbtide, expect_code,
    proxy::{Fault, Kind, Stranger, answer},
    rig::{Rig, Running, Wanted, id, tasks},
};
use ebbtide::model::{
    op::OpState,
    source::{AuthSpec, PullMode, SyncSettings},
    sync_status::{ConnectivityState, PullPhase, SyncRequest},
    wire::Link,
};
use serde_json::{Value, json};

const RECORDS: u64 = 12;
const PAGE: &str = "<html><title>Harbour Wi-Fi</title><form>Please sign in</form></html>";

/// Probes often, so that what is over is noticed soon.
fn watchful() -> SyncSettings {
    SyncSettings { probe_every: Duration::from_secs(1), ..SyncSettings::default() }
}

fn is_portal(running: &mut Running) -> bool {
    running.connectivity() == ConnectivityState::CaptivePortal
}

/// Everything is answered by the network itself; what is shown of it.
fn in_a_network_that_says(said: impl FnOnce(&Stranger) -> Vec<u8>) -> String {
    let secrets = tempfile::tempdir().unwrap();
    let token = secrets.path().join("token");
    std::fs::write(&token, "canary-token").unwrap();
    let rig = Rig::of(Wanted {
        records: RECORDS,
        pull: PullMode::Stream,
        settings: watchful(),
        auth: AuthSpec::File(token),
        ..Wanted::default()
    });
    let stranger = rig.runtime.block_on(Stranger::start());
    let mut running = rig.start();
    running.until_phase(&PullPhase::Live);
    let writes = rig.server.writes_applied();
    rig.proxy.fail_always(None, Fault::Say(said(&stranger)));
    rig.proxy.hang_up();
    running.set(&id(1), "title", json!("Mine"));
    running.save(&tasks().record(id(2)), None);
    running.until("the portal is known", is_portal);
    let status = running.status[0].clone();
    // It is asked again and again, and nothing it says is taken for the server's word.
    let hits = rig.proxy.hits();
    running.engine.request(SyncRequest::Sync { source: None });
    running.until("it was asked again", |running| rig.proxy.hits() >= hits + 3 && is_portal(running));
    assert_eq!(running.records(), RECORDS - 1, "only what was deleted here is gone");
    assert_eq!(running.local(&id(1)).unwrap()["title"], json!("Mine"));
    assert_eq!(running.reader.counts().unwrap().pending(), 2, "no edit is believed to be sent");
    assert!(running.reader.conflicts(true).unwrap().is_empty());
    assert_eq!(rig.server.writes_applied(), writes, "the server heard nothing of it");
    assert_eq!(stranger.heard(), Vec::<Vec<u8>>::new(), "another host was told something");
    // Whoever signs in there is back by itself.
    rig.proxy.heal();
    running.until_drained();
    running.until("it is online again", |running| running.connectivity() == ConnectivityState::Online);
    running.until("both sides are equal", |running| running.records() == rig.there().len() as u64);
    running.assert_equal(&rig.there());
    assert_eq!(rig.server.writes_applied(), writes + 2, "each edit once");
    assert!(!rig.there().contains_key(&id(2).0));
    running.stop();
    rig.end();
    let broken = status.connectivity.evidence.chain.iter().find(|fact| !fact.ok).map(|fact| fact.link);
    assert!(matches!(broken, Some(Link::Http | Link::Shape)), "the link that broke is named: {status:?}");
    assert!(!format!("{status:?}").contains("canary"), "{status:?}");
    status.connectivity.evidence.summary
}

#[test]
fn a_login_page_in_the_servers_place_is_a_portal_and_nothing_of_it_is_believed() {
    let summary = in_a_network_that_says(|_| answer("200 OK", &["content-type: text/html"], PAGE));
    assert!(summary.contains("a web page came where data was due"), "{summary}");
}

#[test]
fn a_page_that_calls_itself_json_is_a_portal_too() {
    let summary = in_a_network_that_says(|_| answer("200 OK", &[], PAGE));
    assert!(summary.contains("a web page came where data was due"), "{summary}");
}

#[test]
fn a_network_that_wants_a_login_is_a_portal() {
    let summary =
        in_a_network_that_says(|_| answer("511 Network Authentication Required", &["content-type: text/html"], PAGE));
    assert!(summary.contains("511, the network wants a login"), "{summary}");
}

#[test]
fn a_network_that_sends_everybody_on_is_a_portal_and_the_other_host_hears_nothing() {
    let summary = in_a_network_that_says(|stranger| {
        let to = format!("Location: http://{}/login?from=tasks", stranger.address);
        answer("302 Found", &[&to], "")
    });
    assert!(summary.contains("sent on to"), "{summary}");
    assert!(!summary.contains("from=tasks"), "what a URL carries is nobody's business: {summary}");
}

#[test]
fn four_requests_whose_token_ran_out_run_the_command_once_and_cost_no_attempt() {
    let secrets = tempfile::tempdir().unwrap();
    let (token, runs) = (secrets.path().join("token"), secrets.path().join("runs"));
    std::fs::write(&token, "old").unwrap();
    let command = format!("sh -c 'echo run >> {}; cat {}'", runs.display(), token.display());
    let rig = Rig::of(Wanted {
        records: RECORDS,
        pull: PullMode::Stream,
        settings: watchful(),
        auth: AuthSpec::Command(command),
        ..Wanted::default()
    });
    let mut running = rig.start();
    running.until_phase(&PullPhase::Live);
    let ran = || std::fs::read_to_string(&runs).unwrap().lines().count();
    assert_eq!(ran(), 1, "read once for everything until then");
    std::fs::write(&token, "new").unwrap();
    rig.proxy.fail_always(None, Fault::Expire("old"));
    let writes = rig.server.writes_applied();
    let edits = (0..4).map(|n| {
        let record = tasks().record(id(n));
        let mut document = running.local(&id(n)).unwrap();
        document["title"] = json!("Mine");
        running.edit(&record, Some(document))
    });
    let edits = edits.collect();
    running.store.queue_many(edits).wait().unwrap();
    running.engine.request(SyncRequest::OutboxChanged);
    running.until_drained();
    assert!(rig.proxy.hits() >= 4, "each was refused with the old token: {}", rig.proxy.hits());
    assert_eq!(ran(), 2, "one run for all of them");
    assert_eq!(rig.server.writes_applied(), writes + 4);
    let acked = running.reader.outbox(&[OpState::Acked], None, 10).unwrap();
    let attempts: Vec<u32> = acked.iter().map(|op| op.attempts).collect();
    assert_eq!(attempts, [1; 4], "being refused for the token is no attempt");
    running.until("it is online", |running| running.connectivity() == ConnectivityState::Online);
    running.stop();
    rig.end();
}

/// A command on the data dir of a rig.
fn command(rig: &Rig, config: &Path, args: &[&str], code: i32) -> Output {
    expect_code(ebbtide(rig.dir.path(), config, args), code)
}

#[test]
fn forced_offline_makes_no_connection_outlives_a_restart_and_is_ended_by_hand_only() {
    let rig = Rig::of(Wanted { records: RECORDS, pull: PullMode::Stream, settings: watchful(), ..Wanted::default() });
    let mut running = rig.start();
    running.until_phase(&PullPhase::Live);
    running.engine.request(SyncRequest::ForceOffline(true));
    let is_forced = |running: &mut Running| running.connectivity() == ConnectivityState::ForcedOffline;
    running.until("forced offline", is_forced);
    running.until("it is written down", |running| running.reader.forced_offline().unwrap().is_some());
    let (connections, seen) = (rig.proxy.connections(), rig.proxy.seen().len());
    let quiet = |when: &str| {
        assert_eq!((rig.proxy.connections(), rig.proxy.seen().len()), (connections, seen), "{when}");
    };
    // Work goes on, and every wish that would ask the server waits.
    let ask = |running: &mut Running, title: &str| {
        running.set(&id(1), "title", json!(title));
        running.engine.request(SyncRequest::Sync { source: None });
        running.engine.request(SyncRequest::Probe { source: None });
        let idle = running.idle;
        running.until("what waits is said, and nothing is left to do", |running| {
            let reason = running.status[0].push.waiting_for.clone().unwrap_or_default();
            running.idle > idle && reason.contains("offline")
        });
        assert!(running.reader.counts().unwrap().pending() > 0);
        assert_eq!(running.local(&id(1)).unwrap()["title"], json!(title));
    };
    ask(&mut running, "Mine");
    running.stop();
    quiet("in the process that was told");
    let mut running = rig.start();
    running.until("it is forced still", is_forced);
    ask(&mut running, "Mine, later");
    running.stop();
    quiet("after a restart");
    let config = rig.dir.path().join("config.toml");
    let source = format!(
        "[[source]]\nname = \"demo\"\nkind = \"firebase\"\nurl = \"http://{}\"\n\n[[source.collection]]\nname = \"tasks\"\n",
        rig.proxy.address
    );
    std::fs::write(&config, source).unwrap();
    let status: Value = serde_json::from_slice(&command(&rig, &config, &["status", "--json"], 3).stdout).unwrap();
    assert!(status["forced_offline"].is_string(), "{status}");
    let refused = String::from_utf8(command(&rig, &config, &["sync"], 1).stderr).unwrap();
    assert!(refused.contains("forced offline since 20"), "{refused}");
    assert!(refused.contains("`ebbtide sync --online` ends that; your edits are kept"), "{refused}");
    quiet("a sync that is refused");
    command(&rig, &config, &["sync", "--online"], 0);
    assert_eq!(rig.there()[&id(1).0]["title"], json!("Mine, later"));
    assert!(rig.proxy.count(Kind::Update) > 0);
    let status: Value = serde_json::from_slice(&command(&rig, &config, &["status", "--json"], 0).stdout).unwrap();
    assert_eq!(status["forced_offline"], Value::Null);
    let mut running = rig.start();
    running.until("online", |running| running.connectivity() == ConnectivityState::Online);
    running.stop();
    rig.end();
}

#[test]
fn a_sync_that_was_told_to_come_back_later_says_that_nothing_was_fetched() {
    let rig = Rig::new(RECORDS);
    let run = rig.command_line();
    rig.proxy.fail_always(None, Fault::Say(answer("429 Too Many Requests", &["Retry-After: 3600"], "{}")));
    let after = run(&["sync"], 1);
    assert_eq!(after["sources"][0]["collections"][0]["phase"], "never_synced", "{after}");
    let config = rig.dir.path().join("config.toml");
    let said = expect_code(ebbtide(rig.dir.path(), &config, &["sync"]), 1);
    let said = String::from_utf8_lossy(&said.stderr);
    assert!(said.contains("`demo/tasks` could not be fetched") && said.contains("3600 s"), "{said}");
    assert!(said.contains("0 collections synced"), "{said}");
    rig.proxy.heal();
    rig.end();
}

/// A wish of a person goes beyond the budget, and what it fetched counts as fetched although nothing follows it.
#[test]
fn a_sync_beyond_todays_budget_reads_everything_and_ends_well() {
    const BIG: u64 = 250;
    let rig = Rig::new(0);
    let run = rig.command_line();
    let config = rig.dir.path().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}[sync]\ndaily_budget_mb = 1\n")).unwrap();
    for n in 0..BIG {
        rig.put(&id(n), &json!({ "text": "x".repeat(5_000) }));
    }
    for _ in 0..2 {
        let after = run(&["sync"], 0);
        assert_eq!(after["sources"][0]["collections"][0]["records"], BIG, "{after}");
    }
    let source = run(&["status"], 0)["sources"][0].clone();
    assert!(source["spent_today"]["received"].as_u64() > source["daily_budget"].as_u64(), "{source}");
    rig.end();
}

#[test]
fn a_sync_whose_edit_is_refused_for_the_token_first_ends_when_it_is_sent() {
    let rig = Rig::new(3);
    let run = rig.command_line();
    run(&["sync"], 0);
    run(&["put", "tasks", "mine", r#"{"n": 1}"#], 0);
    let expired = Fault::Say(answer("401 Unauthorized", &[], r#"{"error": "token expired"}"#));
    rig.proxy.fail(Some(Kind::Create), [expired]);
    let after = run(&["sync"], 0);
    assert_eq!(after["outbox"]["pending"], 0, "{after}");
    assert_eq!(rig.there()["mine"], json!({ "n": 1 }));
    rig.end();
}
