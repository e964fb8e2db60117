//! Comparing copies with the server in the background: when, how fast, and what is made of a difference.

use super::*;
use crate::{
    model::{
        sync_status::{GuardReason, Verified},
        window::{KeyWindow, WindowDifference, WindowSize},
    },
    sync::event::PageData,
};

/// A thousand bytes a second.
const BUDGET: u64 = 3_600_000;

/// A collection at rest, nothing to send, and this much an hour for comparing.
fn auditor(budget: u64) -> Script {
    resting(budget, "")
}

/// The same with more in its checkpoint.
fn resting(budget: u64, more: &str) -> Script {
    let settings = SyncSettings {
        audit_budget: budget,
        audit_every: Duration::from_secs(3_600),
        sweep_every: Duration::from_secs(100_000),
        ..settings()
    };
    let mut script = Script::built(PullMode::Windows, settings, Vec::new(), ConflictRules::default());
    script.probe(Ok(()));
    let ticket = script.take_ticket(|effect| match effect {
        Effect::ReadCheckpoint { ticket, .. } => Some(*ticket),
        _ => None,
    });
    let swept = script.at().wall.0;
    let text = format!(r#"{{"phase":"complete","sweep":1,"mode":"windows","swept_at":{swept},"whole":true{more}}}"#);
    script.tell(Event::CheckpointRead { ticket, collection: collection(), result: Ok(Some(text)) });
    script.outbox(Vec::new());
    script
}

fn row(id: &str) -> RemoteRecord {
    RemoteRecord { id: id.into(), revision: None, text: r#"{"n":1}"#.to_owned() }
}

/// Time passes until a window is read: where from, and how many rows. It is answered with these.
fn read(script: &mut Script, ids: &[&str], next: Option<&str>, bytes: u64) -> (Option<RecordId>, usize) {
    let (ticket, after, limit) = script.pass_until(|effect| match effect {
        Effect::ReadPage { ticket, after, limit, .. } => Some((*ticket, after.clone(), *limit)),
        _ => None,
    });
    let page = PageData { records: ids.iter().map(|id| row(id)).collect(), next: next.map(RecordId::from) };
    let exchange = Exchange { bytes_down: bytes, ..exchange() };
    script.tell(Event::PageRead { ticket, collection: collection(), result: Ok(page), exchange });
    (after, limit)
}

fn compared(script: &mut Script, difference: WindowDifference) -> KeyWindow {
    let (ticket, window) = script.pass_until(|effect| match effect {
        Effect::CompareWindow { ticket, window } => Some((*ticket, window.clone())),
        _ => None,
    });
    script.tell(Event::WindowCompared { ticket, collection: collection(), result: Ok(difference) });
    window
}

fn same(rows: usize, bytes: u64) -> WindowDifference {
    WindowDifference { rows: 100, next: WindowSize { rows, bytes }, ..WindowDifference::default() }
}

/// The position is written down; what was written.
fn kept(script: &mut Script) -> Value {
    let (ticket, text) = script
        .take(|effect| match effect {
            Effect::KeepCheckpoint { ticket, checkpoint, .. } => Some((*ticket, checkpoint.clone())),
            _ => None,
        })
        .expect("a position");
    script.tell(Event::PageApplied { ticket, collection: collection(), result: Ok(AppliedPage::default()) });
    serde_json::from_str(&text).unwrap()
}

fn verified(script: &Script) -> Option<Verified> {
    script.machine.status(&script.at())[0].collections[0].verified.clone()
}

fn reads(script: &Script) -> bool {
    script.asked.iter().any(|effect| matches!(effect, Effect::ReadPage { .. }))
}

/// Answers the fetch of a suspect; the page it comes in with.
fn healed(script: &mut Script, value: Option<Value>, applied: AppliedPage) -> RecordId {
    let (ticket, record) = script.pass_until(|effect| match effect {
        Effect::Fetch { ticket, record } => Some((*ticket, record.clone())),
        _ => None,
    });
    let current = Current { collection: collection(), id: record.id.clone(), value, revision: Some("e".into()) };
    let exchange = Exchange { bytes_down: 500, ..exchange() };
    script.tell(Event::Fetched { ticket, record: record.clone(), result: Ok(current), exchange });
    let ticket = script.take_ticket(|effect| match effect {
        Effect::ApplyPage { ticket, .. } => Some(*ticket),
        _ => None,
    });
    script.tell(Event::PageApplied { ticket, collection: collection(), result: Ok(applied) });
    record.id
}

#[test]
fn a_collection_is_compared_window_by_window_and_the_result_is_kept() {
    let mut script = auditor(BUDGET);
    assert_eq!(verified(&script), None);
    assert_eq!(read(&mut script, &["a"], Some("a"), 500), (None, 1), "nothing is known of its rows yet");
    let window = compared(&mut script, same(2, 1_000));
    assert_eq!((window.after, window.until), (None, Some("a".into())));
    assert_eq!(kept(&mut script)["auditing"]["after"], "a", "a restart goes on behind it");
    assert_eq!(read(&mut script, &["b", "c"], None, 500), (Some("a".into()), 2));
    compared(&mut script, same(1, 8));
    let ended = script.at().wall;
    let checkpoint = kept(&mut script);
    assert_eq!(checkpoint.get("auditing"), None);
    assert_eq!((&checkpoint["verified"]["checked"], &checkpoint["swept_at"].is_number()), (&json!(3), &true));
    let found = verified(&script).unwrap();
    assert_eq!((found.at, found.checked, found.count()), (ended, 3, 0));
    // The next one has its timer (I4).
    let before = script.seconds;
    read(&mut script, &["a"], Some("a"), 500);
    assert!((3_600..3_700).contains(&(script.seconds - before)), "{}", script.seconds - before);
}

#[test]
fn comparing_costs_no_more_than_its_budget_over_an_hour() {
    let mut script = auditor(BUDGET);
    let began = script.seconds;
    let mut spent = 0;
    while script.seconds < began + 3_600 {
        // Twice what was expected: it is a debt.
        read(&mut script, &["a"], Some("a"), 20_000);
        spent += 20_000;
        compared(&mut script, same(10, 10_000));
        kept(&mut script);
    }
    assert!(spent <= BUDGET + BUDGET / 12 + 20_000, "{spent}");
    assert!(spent >= BUDGET / 2, "{spent}: it does go on");
}

#[test]
fn a_difference_is_looked_at_again_fetched_alone_and_counted_when_it_came_in() {
    let mut script = auditor(BUDGET);
    read(&mut script, &["a", "b"], None, 500);
    let found = WindowDifference { differing: vec!["b".into()], extra: vec!["c".into()], extra_count: 1, ..same(1, 8) };
    let first = script.seconds;
    compared(&mut script, found.clone());
    assert!(!touches(&script), "it may be on its way");
    compared(&mut script, found);
    assert!(script.seconds >= first + 10);
    let applied = |id: &str| AppliedPage { changed: vec![id.into()], ..AppliedPage::default() };
    assert_eq!(healed(&mut script, Some(json!({ "n": 1 })), applied("b")).as_str(), "b");
    assert_eq!(healed(&mut script, None, applied("c")).as_str(), "c");
    let checkpoint = kept(&mut script);
    assert_eq!(checkpoint["verified"]["differences"], json!(["b", "c"]));
    let found = verified(&script).unwrap();
    assert_eq!((found.differing, found.extra, found.missing, found.healed), (1, 1, 0, 2));
}

fn touches(script: &Script) -> bool {
    script.asked.iter().any(|effect| matches!(effect, Effect::Fetch { .. }))
}

#[test]
fn what_was_only_on_its_way_is_no_difference() {
    let mut script = auditor(BUDGET);
    read(&mut script, &["a", "b"], None, 500);
    let found = |id: &str| WindowDifference { missing: vec![id.into()], ..same(1, 8) };
    compared(&mut script, found("a"));
    // The feed brought one, and moved another meanwhile: fetched, it changes nothing.
    compared(&mut script, found("b"));
    healed(&mut script, Some(json!({ "n": 1 })), AppliedPage { unchanged: 1, ..AppliedPage::default() });
    kept(&mut script);
    assert_eq!(verified(&script).unwrap().count(), 0);
}

#[test]
fn a_record_kept_for_the_users_edits_is_a_difference_that_is_not_healed() {
    let mut script = auditor(BUDGET);
    read(&mut script, &["a"], None, 500);
    let found = WindowDifference { extra: vec!["mine".into()], extra_count: 1, ..same(1, 8) };
    compared(&mut script, found.clone());
    compared(&mut script, found);
    let applied = AppliedPage { vanished: vec![(record("mine"), OpKind::Update)], ..AppliedPage::default() };
    healed(&mut script, None, applied);
    kept(&mut script);
    let found = verified(&script).unwrap();
    assert_eq!((found.extra, found.healed), (1, 0));
    assert!(
        script.asked.iter().any(|effect| matches!(effect, Effect::KeepConflict { .. })),
        "it asks as after any pull"
    );
}

#[test]
fn much_that_is_gone_there_stops_and_asks_before_anything_is_deleted() {
    let mut script = auditor(BUDGET);
    read(&mut script, &["a"], None, 500);
    let extra: Vec<RecordId> = (0..30).map(|n| RecordId(format!("x{n}"))).collect();
    let found = WindowDifference { extra, extra_count: 30, ..same(1, 8) };
    compared(&mut script, found.clone());
    compared(&mut script, found);
    assert!(matches!(script.phase(), PullPhase::Stopped(_)));
    let guard = script.machine.status(&script.at())[0].collections[0].guard.clone().unwrap();
    assert_eq!((guard.reason, guard.affected, guard.rows), (GuardReason::MassDeletion, 30, 100));
    assert!(!touches(&script));
    assert_eq!(verified(&script), None);
}

#[test]
fn deletions_of_several_windows_are_counted_together() {
    let mut script = auditor(BUDGET);
    for window in 0..4 {
        read(&mut script, &["a"], Some("a"), 500);
        let extra: Vec<RecordId> = (0..9).map(|n| RecordId(format!("x{window}{n}"))).collect();
        let found = WindowDifference { extra_count: extra.len() as u64, extra, ..same(1, 8) };
        compared(&mut script, found.clone());
        compared(&mut script, found);
        if matches!(script.phase(), PullPhase::Stopped(_)) {
            assert_eq!(window, 2, "26 of 100 are many");
            return;
        }
        for _ in 0..9 {
            let id = script.asked.iter().find_map(|effect| match effect {
                Effect::Fetch { record, .. } => Some(record.id.clone()),
                _ => None,
            });
            let changed = id.into_iter().collect();
            healed(&mut script, None, AppliedPage { deleted: 1, changed, ..AppliedPage::default() });
        }
        kept(&mut script);
    }
    panic!("36 of 100 were deleted unasked");
}

#[test]
fn many_records_that_are_older_there_stop_and_ask() {
    let mut script = auditor(BUDGET);
    read(&mut script, &["a"], None, 500);
    let differing: Vec<RecordId> = (0..30).map(|n| RecordId(format!("x{n}"))).collect();
    let found = WindowDifference { differing, older_count: 30, ..same(1, 8) };
    compared(&mut script, found.clone());
    compared(&mut script, found);
    let guard = script.machine.status(&script.at())[0].collections[0].guard.clone().unwrap();
    assert_eq!((guard.reason, guard.affected), (GuardReason::OlderRecords, 30));
}

#[test]
fn a_comparison_goes_on_where_the_last_process_left_it() {
    let more = r#","auditing":{"after":"m","found":{"at":1000,"checked":7,"differing":0,"missing":1,"extra":0,
        "healed":1,"took_ms":0,"differences":["e"]}}"#;
    let mut script = resting(BUDGET, more);
    assert_eq!(read(&mut script, &["n"], None, 500).0, Some("m".into()));
    compared(&mut script, same(1, 8));
    kept(&mut script);
    let found = verified(&script).unwrap();
    assert_eq!((found.checked, found.missing, found.differences), (8, 1, vec!["e".into()]));
}

#[test]
fn what_was_compared_lately_is_not_compared_again_after_a_restart() {
    let at = At::test(0).wall.0;
    let more = format!(
        r#","verified":{{"at":{at},"checked":7,"differing":0,"missing":0,"extra":0,"healed":0,"took_ms":0,
        "differences":[]}}"#
    );
    let mut script = resting(BUDGET, &more);
    assert_eq!(verified(&script).unwrap().checked, 7);
    read(&mut script, &["a"], None, 500);
    assert!((3_600..3_700).contains(&script.seconds), "{}", script.seconds);
}

#[test]
fn nothing_is_compared_while_there_is_something_to_send_or_while_the_user_forbids_it() {
    let pause = SyncRequest::Pause { source: None };
    for wish in [Some(pause), Some(SyncRequest::ForceOffline(true)), None] {
        let mut script = auditor(BUDGET);
        match &wish {
            Some(wish) => script.tell(Event::Request(wish.clone())),
            None => {
                let edit = create(1, "new");
                script.tell(Event::Request(SyncRequest::OutboxChanged));
                script.outbox(vec![chain(vec![edit.clone()], None)]);
                script.grant(&[edit]);
                assert!(script.asked.iter().any(|effect| matches!(effect, Effect::Push { .. })), "on its way");
            }
        }
        script.pass(600);
        assert!(!reads(&script), "{wish:?}");
    }
    let mut script = auditor(BUDGET);
    script.pass(600);
    assert!(reads(&script), "with nothing in the way it is");
}

#[test]
fn a_budget_of_zero_and_a_day_that_is_used_up_compare_nothing() {
    let mut script = auditor(0);
    script.pass(100_000 - 2);
    assert!(!reads(&script));
    let settings = SyncSettings {
        audit_budget: BUDGET,
        daily_budget: Some(10),
        sweep_every: Duration::from_secs(100_000),
        ..settings()
    };
    let mut script = Script::built(PullMode::Windows, settings, Vec::new(), ConflictRules::default());
    let ticket = script.take_ticket(|effect| match effect {
        Effect::Probe { ticket, .. } => Some(*ticket),
        _ => None,
    });
    let exchange = Exchange { bytes_down: 100, ..exchange() };
    script.tell(Event::Probed { ticket, source: "s".into(), result: Ok(()), chain: Vec::new(), exchange });
    script.pass(600);
    assert!(!reads(&script));
}

#[test]
fn a_window_that_cannot_be_read_is_tried_again_and_said_once() {
    let mut script = auditor(BUDGET);
    for _ in 0..3 {
        let ticket = script.pass_until(|effect| match effect {
            Effect::ReadPage { ticket, .. } => Some(*ticket),
            _ => None,
        });
        let result = Err(ReadError::Refused { status: 403, message: "Permission denied".to_owned() });
        script.tell(Event::PageRead { ticket, collection: collection(), result, exchange: exchange() });
    }
    let said = script.asked.iter().filter(|effect| match effect {
        Effect::Log(activity) => activity.text.contains("cannot be compared"),
        _ => false,
    });
    assert_eq!(said.count(), 1);
    read(&mut script, &["a"], None, 500);
    compared(&mut script, same(1, 8));
    kept(&mut script);
    assert!(verified(&script).is_some());
}

#[test]
fn a_reading_of_everything_breaks_a_comparison_off_and_it_goes_on_behind_it() {
    let mut script = auditor(BUDGET);
    let ticket = script.pass_until(|effect| match effect {
        Effect::ReadPage { ticket, .. } => Some(*ticket),
        _ => None,
    });
    script.tell(Event::Request(SyncRequest::Verify { collection: None }));
    let result = Ok(PageData { records: vec![row("a")], next: Some("a".into()) });
    script.tell(Event::PageRead { ticket, collection: collection(), result, exchange: exchange() });
    // What the user asked for is under way: its keys are counted.
    assert!(script.asked.iter().any(|effect| matches!(effect, Effect::ReadKeys { .. })));
    compared(&mut script, same(1, 8));
    kept(&mut script);
    script.pass(1_000);
    assert!(!reads(&script), "nothing more is compared beside it");
}
