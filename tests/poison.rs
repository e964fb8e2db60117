//! One edit the server will never take, among many that are fine: the others arrive, it waits in quarantine with the
//! server's words, and it is repaired from the command line.

mod common;

use common::{
    proxy::{Fault, Kind, answer},
    rig::{Rig, id, tasks},
};
use ebbtide::{
    model::{
        edit,
        ids::{OpId, Seq},
        op::{NewOp, OpKind, OpState},
        sync_status::ConnectivityState,
        time::Clock,
    },
    store::{OpenMode, Store},
};
use serde_json::{Value, json};
use std::sync::Arc;

const OPS: u64 = 500;
const POISON: u64 = 250;

/// A name no Firebase database takes; the screen and the command line would have refused it.
fn document(n: u64) -> Value {
    if n == POISON { json!({"n": n, "no.such.name": true}) } else { json!({"n": n}) }
}

fn queue_all(rig: &Rig) -> Seq {
    let clock = Arc::clone(&rig.clock) as Arc<dyn Clock>;
    let store = Store::open(rig.dir.path(), OpenMode::ReadWrite, Arc::clone(&clock)).unwrap();
    let ops = (0..OPS).map(|n| {
        let at = clock.at();
        let document = Some(document(n));
        NewOp {
            op_id: OpId::new(&at),
            record: tasks().record(id(n)),
            kind: OpKind::Create,
            changes: edit::diff(None, document.as_ref()),
            document,
            base: None,
            base_revision: None,
            created_at: at.wall,
            author: String::new(),
        }
    });
    let queued = store.queue_many(ops.collect()).wait().unwrap();
    queued[usize::try_from(POISON).unwrap()].seq
}

#[test]
fn one_refused_edit_of_five_hundred_waits_alone_and_is_repaired() {
    let rig = Rig::new(0);
    let poison = queue_all(&rig);
    let mut running = rig.start();
    running.until("all but one arrived", |running| {
        let counts = running.reader.counts().unwrap();
        counts.pending() == 1 && counts.rejected == 1
    });
    let there = rig.there();
    assert_eq!(there.len() as u64, OPS - 1);
    assert!(!there.contains_key(&id(POISON).0));
    let settled = running.reader.outbox(&[OpState::Acked], None, 1_000).unwrap();
    assert_eq!(settled.len() as u64, OPS - 1);
    assert!(settled.iter().all(|op| op.attempts == 1), "each was sent once: one drain");
    let op = running.reader.op(poison).unwrap().unwrap();
    let error = op.last_error.unwrap();
    assert_eq!((op.state, op.attempts, error.status), (OpState::Rejected, 1, Some(400)));
    assert!(error.message.contains("a key cannot hold `.`"), "{}", error.message);
    let said = running.said.lock().unwrap().clone();
    assert!(said.iter().any(|text| text.contains("the server refused the create of")), "{said:?}");
    running.stop();

    // From the command line, where a script finds it and repairs it.
    let run = rig.command_line();
    let listed = run(&["outbox", "list"], 0);
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed[0]["seq"], json!(poison));
    assert_eq!(listed[0]["state"], "rejected");
    assert!(listed[0]["last_error"]["message"].as_str().unwrap().contains("a key cannot hold `.`"), "{listed}");
    assert_eq!(run(&["sync"], 5)["outbox"]["rejected"], 1, "a sync does not try it again by itself");
    let plan = run(&["outbox", "plan"], 0);
    assert_eq!(plan["requests"][0]["waits"]["for"], "rejected");
    let repaired = run(&["outbox", "edit", &poison.to_string(), r#"{"n": 250, "such": true}"#], 0);
    assert_eq!(repaired["superseded"], json!(poison));
    assert_eq!(run(&["sync"], 0)["outbox"]["pending"], 0);
    assert_eq!(rig.there().get(&id(POISON).0), Some(&json!({"n": 250, "such": true})));
    assert_eq!(run(&["get", "tasks", &id(POISON).0], 0)["state"], "synced");
    rig.end();
}

#[test]
fn a_write_the_rules_deny_to_everybody_is_refused_once_although_reading_is_allowed() {
    let rig = Rig::new(3);
    let mut running = rig.start();
    running.until("everything is here", |running| running.records() == 3);
    let denied = || Fault::Say(answer("401 Unauthorized", &[], r#"{"error":"Permission denied"}"#));
    rig.proxy.fail_always(Some(Kind::Create), denied());
    let new = tasks().record("not-allowed");
    let seq = running.save(&new, Some(json!({"n": 9})));
    running.until("it is in quarantine", |running| running.reader.counts().unwrap().rejected == 1);
    let op = running.reader.op(seq).unwrap().unwrap();
    let error = op.last_error.unwrap();
    assert_eq!((error.status, error.message.as_str()), (Some(401), "Permission denied"));
    // Once, and once more after it was seen that reading needs no credentials.
    assert_eq!(rig.proxy.count(Kind::Create), 2);
    running.set(&id(1), "title", json!("others go on"));
    running.until("the other edit arrived", |running| running.reader.counts().unwrap().pending() == 1);
    assert_eq!(rig.proxy.count(Kind::Create), 2);
    assert_eq!(running.connectivity(), ConnectivityState::Online);
    running.stop();
    rig.proxy.heal();
    rig.end();
}

#[test]
fn a_single_sync_ends_only_when_the_refusal_is_known() {
    for round in 0..8 {
        let rig = Rig::new(1);
        let run = rig.command_line();
        let denied = || Fault::Say(answer("403 Forbidden", &[], r#"{"error":"Permission denied"}"#));
        rig.proxy.fail_always(Some(Kind::Create), denied());
        run(&["put", "tasks", "not-allowed", r#"{"n": 1}"#], 0);
        let after = run(&["sync"], 5);
        assert_eq!(
            (&after["outbox"]["rejected"], &after["outbox"]["pending"]),
            (&json!(1), &json!(1)),
            "{round}: {after}"
        );
        let listed = run(&["outbox", "list"], 0);
        assert_eq!(listed[0]["last_error"]["status"], 403, "{listed}");
        rig.proxy.heal();
        rig.end();
    }
}
