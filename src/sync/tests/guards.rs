//! What stops a collection, what is asked, and what each answer does: also after the process that found it was killed.

use super::*;
use crate::model::sync_status::{GuardReason, SyncRequest::AnswerGuard};

fn answer(answer: GuardAnswer) -> Event {
    Event::Request(AnswerGuard { collection: collection(), answer })
}

/// The text of the checkpoint written last.
fn written(script: &mut Script) -> String {
    let mut last = None;
    while let Some((ticket, text)) = script.take(|effect| match effect {
        Effect::ApplyPage { ticket, page } => Some((*ticket, page.checkpoint.clone())),
        _ => None,
    }) {
        last = text;
        let result = Ok(AppliedPage::default());
        script.tell(Event::PageApplied { ticket, collection: collection(), result });
    }
    last.expect("a checkpoint is written")
}

/// A sweep that misses `missing` of 100 rows.
fn sweep(script: &mut Script, missing: u64) {
    script.keys(&["a"]);
    script.page(&["a"], None);
    written(script);
    script.missing(missing, 100);
}

/// Stops, and what is on disk then.
fn stopped() -> String {
    let mut script = Script::online(PullMode::Windows);
    script.checkpoint(None);
    sweep(&mut script, 60);
    assert!(matches!(script.phase(), PullPhase::Stopped(_)));
    written(&mut script)
}

fn deletes(script: &Script) -> bool {
    script.asked.iter().any(|effect| matches!(effect, Effect::FinishSweep { .. }))
}

fn asks_the_server(script: &Script) -> bool {
    script
        .asked
        .iter()
        .any(|effect| matches!(effect, Effect::ReadKeys { .. } | Effect::ReadPage { .. } | Effect::OpenFeed { .. }))
}

fn guard(script: &Script) -> Option<crate::model::sync_status::GuardFound> {
    script.machine.status(&At::test(script.seconds))[0].collections[0].guard.clone()
}

#[test]
fn what_a_guard_found_is_known_after_a_restart_without_a_network() {
    let text = stopped();
    let mut script = Script::new(PullMode::Windows, settings());
    script.checkpoint(Some(&text));
    assert!(matches!(script.phase(), PullPhase::Stopped(said) if said.contains("60 of the 100")));
    let found = guard(&script).unwrap();
    assert_eq!((found.reason, found.affected, found.rows), (GuardReason::MassDeletion, 60, 100));
    script.probe(Ok(()));
    script.outbox(Vec::new());
    assert!(!asks_the_server(&script), "it waits for an answer");
    assert!(script.machine.is_idle());
}

#[test]
fn an_accepted_deletion_is_carried_out_also_by_the_next_process() {
    let mut script = Script::online(PullMode::Windows);
    script.checkpoint(Some(&stopped()));
    script.tell(answer(GuardAnswer::Accept));
    let accepted = written(&mut script);
    // Killed here.
    let mut script = Script::online(PullMode::Windows);
    script.checkpoint(Some(&accepted));
    sweep(&mut script, 60);
    script.keys(&["a"]);
    assert!(deletes(&script));
    script.applied();
    let noted = written(&mut script);
    // The answer was about these: the next mass deletion asks again.
    let mut script = Script::online(PullMode::Windows);
    script.checkpoint(Some(&noted));
    script.tell(Event::Request(SyncRequest::Sync { source: None }));
    sweep(&mut script, 40);
    assert!(matches!(script.phase(), PullPhase::Stopped(_)));
    assert!(!deletes(&script));
}

#[test]
fn more_gone_than_was_shown_is_asked_again() {
    let mut script = Script::online(PullMode::Windows);
    script.checkpoint(Some(&stopped()));
    script.tell(answer(GuardAnswer::Accept));
    written(&mut script);
    sweep(&mut script, 61);
    assert!(matches!(script.phase(), PullPhase::Stopped(_)));
    assert!(!deletes(&script));
}

#[test]
fn an_answer_given_before_the_checkpoint_was_read_is_not_lost() {
    let mut script = Script::new(PullMode::Windows, settings());
    script.tell(answer(GuardAnswer::Detach));
    script.checkpoint(Some(&stopped()));
    assert_eq!(script.phase(), PullPhase::Detached);
}

#[test]
fn a_detached_collection_stays_so_until_it_is_attached() {
    let mut script = Script::online(PullMode::Windows);
    script.checkpoint(Some(&stopped()));
    script.tell(answer(GuardAnswer::Detach));
    let detached = written(&mut script);
    let mut script = Script::online(PullMode::Windows);
    script.checkpoint(Some(&detached));
    script.tell(Event::Request(SyncRequest::Sync { source: None }));
    assert_eq!(script.phase(), PullPhase::Detached);
    assert!(!asks_the_server(&script));
    script.tell(answer(GuardAnswer::Attach));
    sweep(&mut script, 60);
    assert!(matches!(script.phase(), PullPhase::Stopped(_)), "the question is asked anew");
}

#[test]
fn an_upload_that_failed_leaves_the_question_standing() {
    let mut script = Script::online(PullMode::Windows);
    script.checkpoint(Some(&stopped()));
    script.tell(answer(GuardAnswer::Reupload));
    let reupload = |script: &mut Script, result: Result<u64, String>| {
        let ticket = script.take_ticket(|effect| match effect {
            Effect::Reupload { ticket, .. } => Some(*ticket),
            _ => None,
        });
        script.tell(Event::Reuploaded { ticket, collection: collection(), result });
    };
    reupload(&mut script, Err("the keys could not be read".to_owned()));
    assert!(matches!(script.phase(), PullPhase::Stopped(_)));
    script.tell(answer(GuardAnswer::Reupload));
    reupload(&mut script, Ok(60));
    // Those rows have pending creates now: the sweep that follows may end.
    sweep(&mut script, 60);
    script.keys(&["a"]);
    assert!(deletes(&script));
}

#[test]
fn an_answer_without_a_question_changes_nothing() {
    let mut script = Script::online(PullMode::Windows);
    script.checkpoint(Some(r#"{"phase":"complete","sweep":1,"mode":"windows","whole":true}"#));
    script.tell(answer(GuardAnswer::Accept));
    sweep(&mut script, 60);
    assert!(matches!(script.phase(), PullPhase::Stopped(_)));
}

// --- another server ---------------------------------------------------------------------------------------------------

fn from(database: &str) -> Exchange {
    Exchange { server: Some(database.to_owned()), ..exchange() }
}

fn probed(script: &mut Script, exchange: Exchange) {
    let ticket = script.pass_until(|effect| match effect {
        Effect::Probe { ticket, .. } => Some(*ticket),
        _ => None,
    });
    script.tell(Event::Probed { ticket, source: "s".into(), result: Ok(()), chain: Vec::new(), exchange });
    script.release(0);
}

/// A collection copied whole from database `one`.
const COPIED: &str = r#"{"phase":"complete","sweep":1,"mode":"windows","whole":true,
    "origin":{"url":"http://127.0.0.1:9","path":"c","database":"one"}}"#;

fn elsewhere() -> Script {
    let mut script = Script::new(PullMode::Windows, settings());
    script.checkpoint(Some(COPIED));
    probed(&mut script, from("two"));
    script
}

#[test]
fn another_database_behind_the_same_address_stops_pulling_and_sending() {
    let mut script = elsewhere();
    assert_eq!(guard(&script).unwrap().reason, GuardReason::OtherServer);
    assert!(!asks_the_server(&script));
    script.tell(Event::Request(SyncRequest::OutboxChanged));
    assert!(!script.asked.iter().any(|effect| matches!(effect, Effect::ReadOutbox { .. })));
    let status = script.machine.status(&At::test(script.seconds));
    assert!(status[0].push.waiting_for.as_ref().unwrap().contains("another server"));
    written(&mut script);
    assert!(script.machine.is_idle(), "it waits for a person");
}

#[test]
fn the_same_database_at_another_address_is_the_same() {
    let mut script = Script::new(PullMode::Windows, settings());
    script.checkpoint(Some(&COPIED.replace("127.0.0.1:9", "127.0.0.1:8")));
    assert!(guard(&script).is_none(), "it has not answered yet");
    script.probe(Ok(()));
    assert!(guard(&script).is_some(), "nothing is known but the address");
    let mut script = Script::new(PullMode::Windows, settings());
    probed(&mut script, from("one"));
    script.checkpoint(Some(&COPIED.replace("127.0.0.1:9", "127.0.0.1:8")));
    assert!(guard(&script).is_none());
}

#[test]
fn a_source_pointed_at_another_address_stops_where_no_database_is_named() {
    let unnamed = COPIED.replace(r#","database":"one""#, "");
    let mut script = Script::online(PullMode::Windows);
    script.checkpoint(Some(&unnamed));
    assert!(asks_the_server(&script), "the same address");
    let mut script = Script::online(PullMode::Windows);
    script.checkpoint(Some(&unnamed.replace("127.0.0.1:9", "prod.example")));
    assert!(matches!(script.phase(), PullPhase::Stopped(said) if said.contains("prod.example")));
    assert!(!asks_the_server(&script));
}

#[test]
fn a_page_of_another_database_is_not_applied() {
    let mut script = Script::new(PullMode::Windows, settings());
    script.checkpoint(Some(COPIED));
    probed(&mut script, from("one"));
    let ticket = script.take_ticket(|effect| match effect {
        Effect::ReadKeys { ticket, .. } => Some(*ticket),
        _ => None,
    });
    let result = Ok(vec!["a".into()]);
    script.tell(Event::KeysRead { ticket, collection: collection(), result, exchange: from("one") });
    let ticket = script.take_ticket(|effect| match effect {
        Effect::ReadPage { ticket, .. } => Some(*ticket),
        _ => None,
    });
    // Between the two requests somebody put another database there.
    let result = Ok(PageData { records: vec![row("a")], next: None });
    script.tell(Event::PageRead { ticket, collection: collection(), result, exchange: from("two") });
    assert!(matches!(script.phase(), PullPhase::Stopped(_)));
    let applied = script.take(|effect| match effect {
        Effect::ApplyPage { page, .. } if !page.changes.is_empty() => Some(page.clone()),
        _ => None,
    });
    assert_eq!(applied, None);
}

#[test]
fn going_on_with_another_server_still_asks_before_much_is_deleted() {
    let mut script = elsewhere();
    script.tell(answer(GuardAnswer::Accept));
    let text = written(&mut script);
    assert!(text.contains("two"));
    sweep(&mut script, 60);
    assert_eq!(guard(&script).unwrap().reason, GuardReason::MassDeletion);
    assert!(!deletes(&script));
}

#[test]
fn what_was_verified_against_one_server_is_not_said_of_another() {
    let verified = r#","verified":{"at":1000,"checked":7,"differing":0,"missing":0,"extra":0,"healed":0,"took_ms":0,
        "differences":[]}}"#;
    let mut script = Script::new(PullMode::Windows, settings());
    script.checkpoint(Some(&(COPIED.trim_end_matches('}').to_owned() + "}" + verified)));
    let shown = |script: &Script| script.machine.status(&script.at())[0].collections[0].verified.clone();
    assert_eq!(shown(&script).map(|found| found.checked), Some(7));
    probed(&mut script, from("two"));
    script.tell(answer(GuardAnswer::Accept));
    assert_eq!(shown(&script), None);
    assert!(!written(&mut script).contains("verified"));
}

#[test]
fn a_collection_detached_from_another_server_asks_again_when_it_is_attached() {
    let mut script = elsewhere();
    script.tell(answer(GuardAnswer::Detach));
    let text = written(&mut script);
    let mut script = Script::new(PullMode::Windows, settings());
    script.checkpoint(Some(&text));
    probed(&mut script, from("two"));
    assert_eq!(script.phase(), PullPhase::Detached);
    script.tell(answer(GuardAnswer::Attach));
    assert_eq!(guard(&script).unwrap().reason, GuardReason::OtherServer);
    assert!(matches!(script.phase(), PullPhase::Stopped(_)));
}

#[test]
fn the_right_server_back_at_its_place_is_gone_on_with() {
    let mut script = elsewhere();
    let text = written(&mut script);
    let mut script = Script::new(PullMode::Windows, settings());
    script.checkpoint(Some(&text));
    assert!(matches!(script.phase(), PullPhase::Stopped(_)), "as far as is known");
    probed(&mut script, from("one"));
    assert!(guard(&script).is_none());
    assert!(asks_the_server(&script));
}
