//! What is known about the way to a source: clocks, sleep, flapping links, and who may send.

use super::*;
use crate::model::{
    activity::Activity,
    spend::{Spent, SpentRow, day_of, end_of},
    sync_status::{Evidence, SourceStatus},
};

const HOUR: u64 = 3_600;

fn status(script: &Script) -> SourceStatus {
    script.machine.status(&script.at()).remove(0)
}

fn state(script: &Script) -> ConnectivityState {
    status(script).connectivity.state
}

fn logged(script: &mut Script) -> Vec<Activity> {
    std::iter::from_fn(|| {
        script.take(|effect| match effect {
            Effect::Log(activity) => Some(activity.clone()),
            _ => None,
        })
    })
    .collect()
}

fn evidence(script: &Script) -> Evidence {
    script.machine.status(&script.at())[0].connectivity.evidence.clone()
}

fn dated(offset_ms: i64) -> Exchange {
    Exchange { clock_offset_ms: Some(offset_ms), ..exchange() }
}

fn probe_with(script: &mut Script, result: Result<(), ReadError>, exchange: Exchange) {
    let ticket = script.pass_until(|effect| match effect {
        Effect::Probe { ticket, .. } => Some(*ticket),
        _ => None,
    });
    script.tell(Event::Probed { ticket, source: "s".into(), result, chain: Vec::new(), exchange });
}

// --- clocks -----------------------------------------------------------------------------------------------------------

#[test]
fn the_servers_clock_is_measured_by_the_backend_only() {
    let mut script = Script::new(PullMode::Windows, settings());
    probe_with(&mut script, Err(ReadError::Portal(trouble(Link::Shape))), dated(-999_000));
    assert_eq!(evidence(&script).clock_offset_ms, None);
    probe_with(&mut script, Ok(()), dated(61_000));
    assert_eq!(evidence(&script).clock_offset_ms, Some(61_010));
    assert_eq!(evidence(&script).clock_uncertainty_ms, Some(511));
}

#[test]
fn a_clock_that_was_set_takes_its_offset_back_until_it_is_measured_again() {
    let mut script = Script::new(PullMode::Windows, settings());
    probe_with(&mut script, Ok(()), dated(61_000));
    script.clock_set_by_ms = 3_600_000;
    script.pass(1);
    assert_eq!(evidence(&script).clock_offset_ms, None);
    probe_with(&mut script, Ok(()), dated(61_000 - 3_600_000));
    assert_eq!(evidence(&script).clock_offset_ms, Some(61_010 - 3_600_000));
}

#[test]
fn a_wait_until_a_date_goes_by_the_servers_clock_where_it_was_measured() {
    let waiting = |measured: bool| {
        let mut script = Script::sender(4);
        if measured {
            script.tell(Event::Request(SyncRequest::Probe { source: None }));
            probe_with(&mut script, Ok(()), dated(2 * 3_600_000 - 10));
        }
        // The server is two hours ahead: until then it is a minute, by our own clock two hours and more.
        let until = Timestamp(script.at().wall.0 + 2 * 3_600_000 + 60_000);
        let later =
            || ReadError::Later { status: 503, after: Some(Duration::from_secs(7_260)), message: String::new() };
        script.tell(Event::Request(SyncRequest::Probe { source: None }));
        probe_with(&mut script, Err(later()), Exchange { retry_at: Some(until), ..exchange() });
        status(&script).push.waiting_for
    };
    assert_eq!(waiting(true).as_deref(), Some("the server asked to wait 60 s (Retry-After)"));
    assert_eq!(waiting(false).as_deref(), Some("the server asked to wait 3600 s (Retry-After)"), "as far as is known");
}

#[test]
fn a_clock_set_back_an_hour_stalls_no_op_that_waits() {
    let mut script = Script::sender(4);
    script.send(chain(vec![create(1, "a")], None), Answer::InDoubt(trouble(Link::Http)));
    script.settled();
    script.clock_set_by_ms = -3_600_000;
    script.pass(1);
    let before = script.seconds;
    let mut waiting = create(1, "a");
    waiting.state = OpState::InDoubt;
    // As it was stored with the old clock.
    waiting.next_attempt_at = Some(At::test(before + 20).wall);
    script.outbox(vec![chain(vec![waiting], None)]);
    assert!(script.seconds < before + 30, "it went on after {} s", script.seconds - before);
}

#[test]
fn a_clock_set_forward_ten_years_neither_ends_a_wait_of_the_server_early_by_more_nor_stalls_the_queue() {
    let mut script = Script::sender(4);
    script.clock_set_by_ms = 10 * 365 * 86_400_000;
    script.pass(1);
    let later = Answer::Later { status: 503, after: Some(Duration::from_secs(60)), message: String::new() };
    script.send(chain(vec![create(1, "a")], None), later);
    script.settled();
    let before = script.seconds;
    // And back again: a wait goes by the monotonic clock.
    script.clock_set_by_ms = 0;
    script.pass(1);
    assert_eq!(status(&script).push.waiting_for.as_deref(), Some("the server asked to wait 60 s (Retry-After)"));
    script.probe(Ok(()));
    script.outbox(vec![chain(vec![create(1, "a")], None)]);
    assert!((before + 60..before + 65).contains(&script.seconds), "{}", script.seconds - before);
}

#[test]
fn sleep_ends_a_wait_it_outlasted_and_shortens_a_longer_one() {
    for (slept, left) in [(HOUR, 0), (600, 1_200)] {
        let mut script = Script::sender(4);
        let later =
            ReadError::Later { status: 503, after: Some(Duration::from_secs(1_800)), message: "closed".to_owned() };
        script.probe(Err(later));
        let asleep_at = script.seconds;
        script.clock_set_by_ms = i64::try_from(slept * 1_000).unwrap();
        script.pass(0);
        script.probe(Ok(()));
        let waited = script.seconds - asleep_at;
        assert!((left..left + 35).contains(&waited), "slept {slept}: {waited}");
    }
}

// --- states -----------------------------------------------------------------------------------------------------------

#[test]
fn every_state_is_reached_by_its_evidence_named_and_left() {
    let portal = || ReadError::Portal(Trouble { link: Link::Shape, message: "a web page".to_owned() });
    let refused = || ReadError::Unreachable(Trouble { link: Link::Tcp, message: "connection refused".to_owned() });
    let silent = || ReadError::Unreachable(Trouble { link: Link::Http, message: "no answer in 20 s".to_owned() });
    let unknown = || ReadError::Unauthorized { message: "token expired".to_owned() };
    let busy = || ReadError::Later { status: 429, after: None, message: "slow down".to_owned() };
    type Row = (&'static str, fn() -> ReadError, usize, ConnectivityState, Link);
    let rows: [Row; 5] = [
        ("portal", portal, 1, ConnectivityState::CaptivePortal, Link::Shape),
        ("offline", refused, 1, ConnectivityState::Offline, Link::Tcp),
        ("down", silent, 2, ConnectivityState::BackendDown, Link::Http),
        ("auth", unknown, 2, ConnectivityState::AuthRequired, Link::Auth),
        ("busy", busy, 1, ConnectivityState::Degraded, Link::Http),
    ];
    for (name, error, times, expected, broken) in rows {
        let mut script = Script::new(PullMode::Windows, settings());
        assert_eq!(state(&script), ConnectivityState::Unknown);
        script.probe(Ok(()));
        assert_eq!(state(&script), ConnectivityState::Online);
        for _ in 0..times {
            script.probe(Err(error()));
        }
        assert_eq!(state(&script), expected, "{name}");
        let chain = evidence(&script).chain;
        let first = chain.iter().find(|fact| !fact.ok).map(|fact| fact.link);
        assert_eq!((first, chain.last().map(|fact| fact.link)), (Some(broken), Some(broken)), "{name}");
        if !expected.is_usable() {
            assert!(evidence(&script).next_probe.is_some(), "{name}");
            assert!(status(&script).push.waiting_for.is_some(), "{name}");
        }
        for _ in 0..3 {
            script.probe(Ok(()));
        }
        assert_eq!(state(&script), ConnectivityState::Online, "{name}");
        assert!(evidence(&script).chain.iter().all(|fact| fact.ok), "{name}");
    }
}

#[test]
fn a_break_and_its_end_are_one_row_each_in_the_log() {
    let mut script = Script::sender(4);
    logged(&mut script);
    for _ in 0..20 {
        script.probe(Err(ReadError::Unreachable(trouble(Link::Dns))));
    }
    script.pass(60);
    script.probe(Ok(()));
    let rows: Vec<String> = logged(&mut script).into_iter().map(|row| row.text).collect();
    assert_eq!(rows, ["`s` cannot be reached: dns: broken", "`s` can be reached again"]);
}

#[test]
fn a_link_that_flaps_every_two_seconds_is_degraded_probed_calmly_and_hardly_logged() {
    let mut script = Script::sender(4);
    script.asked.clear();
    let (mut probes, mut shown) = (0, Vec::new());
    let begin = script.seconds;
    while script.seconds < begin + 300 {
        script.seconds += 1;
        let is_up = (script.seconds / 2).is_multiple_of(2);
        script.tell(Event::NetworkChanged);
        let probe = script.take(|effect| match effect {
            Effect::Probe { ticket, .. } => Some(*ticket),
            _ => None,
        });
        if let Some(ticket) = probe {
            probes += 1;
            let result = if is_up { Ok(()) } else { Err(ReadError::Unreachable(trouble(Link::Tcp))) };
            script.tell(Event::Probed { ticket, source: "s".into(), result, chain: Vec::new(), exchange: exchange() });
        }
        shown.push(state(&script));
    }
    assert!(probes <= 60, "{probes} probes in 300 s");
    let rows = logged(&mut script).len();
    assert!(rows <= 10, "{rows} rows in 300 s");
    let degraded = shown.iter().filter(|state| **state == ConnectivityState::Degraded).count();
    assert!(degraded > 150, "{degraded} of {} s degraded", shown.len());
    // And steady again: online within a minute.
    for _ in 0..60 {
        let Some(due) = script.machine.wake_at().filter(|_| state(&script) != ConnectivityState::Online) else { break };
        script.seconds = script.seconds.max(due.as_secs() + 1);
        script.tell(Event::Tick);
        if let Some(ticket) = script.take(|effect| match effect {
            Effect::Probe { ticket, .. } => Some(*ticket),
            _ => None,
        }) {
            script.tell(Event::Probed {
                ticket,
                source: "s".into(),
                result: Ok(()),
                chain: Vec::new(),
                exchange: exchange(),
            });
        }
    }
    assert_eq!(state(&script), ConnectivityState::Online);
    assert!(script.seconds < begin + 300 + 75, "{}", script.seconds - begin - 300);
}

#[test]
fn a_hint_of_the_network_looks_at_once_and_concludes_nothing() {
    let mut script = Script::sender(4);
    for _ in 0..8 {
        script.probe(Err(ReadError::Unreachable(trouble(Link::Tcp))));
    }
    script.asked.clear();
    script.tell(Event::NetworkChanged);
    assert_eq!(state(&script), ConnectivityState::Offline);
    assert!(script.asked.iter().any(|effect| matches!(effect, Effect::Probe { .. })));
    script.probe(Ok(()));
    assert_eq!(state(&script), ConnectivityState::Online);
}

#[test]
fn forced_offline_asks_for_nothing_whatever_happens() {
    let mut script = Script::sender(4);
    script.tell(Event::Request(SyncRequest::ForceOffline(true)));
    script.asked.clear();
    script.clock_set_by_ms = 8 * 3_600_000;
    for _ in 0..50 {
        script.tell(Event::NetworkChanged);
        script.tell(Event::Request(SyncRequest::Sync { source: None }));
        script.tell(Event::Request(SyncRequest::Probe { source: None }));
        script.tell(Event::JournalMoved);
        script.pass(100);
    }
    let asks = |effect: &Effect| {
        matches!(effect, Effect::Probe { .. } | Effect::Fetch { .. } | Effect::Push { .. } | Effect::OpenFeed { .. })
            || matches!(effect, Effect::ReadKeys { .. } | Effect::ReadPage { .. } | Effect::ReadDelta { .. })
            || matches!(effect, Effect::ReadNewest { .. })
    };
    assert!(!script.asked.iter().any(asks), "{:?}", script.asked);
    assert_eq!(status(&script).push.waiting_for.as_deref(), Some("forced offline"));
}

// --- what it costs ----------------------------------------------------------------------------------------------------

fn budgeted(bytes: u64) -> Script {
    let mut script = Script::new(PullMode::Windows, SyncSettings { daily_budget: Some(bytes), ..settings() });
    script.probe(Ok(()));
    script
}

fn reads(effect: &Effect) -> bool {
    matches!(effect, Effect::ReadKeys { .. } | Effect::ReadPage { .. } | Effect::ReadCheckpoint { .. })
}

#[test]
fn a_used_up_budget_stops_what_is_fetched_by_itself_and_never_an_edit() {
    let mut script = budgeted(10_000);
    script.checkpoint(None);
    let rows = vec![SpentRow {
        day: day_of(script.at().wall, 0),
        source: "s".into(),
        collection: None,
        spent: Spent { sent: 5_000, received: 5_000 },
    }];
    script.asked.retain(|effect| !reads(effect));
    script.tell(Event::SpentRead(rows));
    assert!(status(&script).spent.is_used_up);
    assert!(
        logged(&mut script)
            .iter()
            .any(|row| row.text == "today's budget of `s` is used up: nothing more is fetched by itself")
    );
    script.pass(400);
    assert!(!script.asked.iter().any(reads), "{:?}", script.asked);
    script.send(chain(vec![create(1, "a")], None), accepted("r1"));
    assert!(script.base_stored().is_some());
    assert_eq!(script.settled().len(), 1);
}

#[test]
fn a_sync_that_was_asked_for_and_midnight_fetch_again() {
    let mut script = budgeted(10_000);
    script.checkpoint(None);
    script.keys(&["a"]);
    let big = Exchange { bytes_down: 20_000, ..exchange() };
    let ticket = script.take_ticket(|effect| match effect {
        Effect::ReadPage { ticket, .. } => Some(*ticket),
        _ => None,
    });
    let result = Ok(PageData { records: vec![row("a")], next: None });
    script.tell(Event::PageRead { ticket, collection: collection(), result, exchange: big });
    script.applied();
    script.missing(0, 1);
    script.applied();
    script.asked.retain(|effect| !reads(effect));
    script.pass(1_000);
    assert!(!script.asked.iter().any(reads), "{:?}", script.asked);
    assert!(status(&script).spent.is_used_up);
    script.tell(Event::Request(SyncRequest::Sync { source: None }));
    assert!(script.asked.iter().any(reads), "asked for");
    let mut script = budgeted(10_000);
    script.asked.retain(|effect| !reads(effect));
    let wall = script.at().wall;
    let spent = Spent { sent: 0, received: 10_000 };
    script.tell(Event::SpentRead(vec![SpentRow { day: day_of(wall, 0), source: "s".into(), collection: None, spent }]));
    let midnight = end_of(day_of(wall, 0), 0).since(wall);
    script.seconds += midnight.as_secs() + 1;
    script.tell(Event::Tick);
    assert!(!status(&script).spent.is_used_up);
}

#[test]
fn what_a_source_costs_is_shown_and_written_down_with_the_requests() {
    let mut script = Script::sender(4);
    script.send(chain(vec![create(1, "a")], None), accepted("r1"));
    let head = Exchange { head_bytes_up: 3_000, head_bytes_down: 2_000, ..exchange() };
    probe_with(&mut script, Ok(()), head);
    let total = status(&script).spent.total;
    assert_eq!(total, Spent { sent: 3_000, received: 2_000 });
    let rows = script.take(|effect| match effect {
        Effect::SaveSpent(rows) => Some(rows.clone()),
        _ => None,
    });
    let rows = rows.expect("written down");
    assert_eq!(rows.iter().map(|row| row.spent.total()).sum::<u64>(), 5_000);
    assert!(script.machine.stop(&At::test(9_999)).is_empty(), "nothing is left to write");
}

// --- credentials ------------------------------------------------------------------------------------------------------

#[test]
fn four_refusals_at_once_are_one_refresh_and_a_late_one_is_none() {
    let mut script = Script::sender(8);
    let ops: Vec<Op> = (1..=5).map(|n| create(n, &format!("r{n}"))).collect();
    script.outbox(ops.iter().map(|op| chain(vec![op.clone()], None)).collect());
    script.grant(&ops);
    let mut sent: Vec<_> = std::iter::from_fn(|| script.pushed()).collect();
    assert_eq!(sent.len(), 5);
    let (late_ticket, late) = sent.pop().unwrap();
    logged(&mut script);
    for push in sent {
        script
            .answer(push, Answer::Unauthorized { status: Some(401), is_denied: false, message: "expired".to_owned() });
    }
    let forgotten = |script: &Script| {
        script.asked.iter().filter(|effect| matches!(effect, Effect::ForgetCredentials { .. })).count()
    };
    let outcomes = script.settled();
    assert_eq!(outcomes.len(), 4);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Auth { .. })));
    assert_eq!(forgotten(&script), 1);
    script.seconds += 2;
    script.probe(Ok(()));
    assert_eq!(state(&script), ConnectivityState::Online);
    // Sent before the refresh, refused after it.
    let exchange = Exchange { round_trip: Some(Duration::from_secs(5)), ..Exchange::default() };
    let answer = Answer::Unauthorized { status: Some(401), is_denied: false, message: "expired".to_owned() };
    script.tell(Event::Pushed { ticket: late_ticket, record: late.record.clone(), answer, exchange });
    assert_eq!(forgotten(&script), 1, "the new credentials were not refused");
    assert_eq!(state(&script), ConnectivityState::Online);
    script.settled();
    assert!(script.release(4));
    while script.asked.iter().any(|effect| matches!(effect, Effect::ReadOutbox { .. })) {
        script.outbox(Vec::new());
    }
    assert!(!script.machine.is_idle(), "what the late answer parked is about to be asked about");
    script.probe(Ok(()));
    assert!(script.release(1), "what it parked goes too");
}

#[test]
fn a_page_that_arrives_after_a_refusal_does_not_end_the_search_for_credentials() {
    let mut script = Script::new(PullMode::Windows, settings());
    script.probe(Ok(()));
    script.checkpoint(None);
    script.keys(&["a"]);
    script.tell(Event::Request(SyncRequest::Probe { source: None }));
    script.probe(Err(ReadError::Unauthorized { message: "expired".to_owned() }));
    assert_eq!(status(&script).push.waiting_for.as_deref(), Some("needs credentials"));
    // Asked for before; it says nothing about the credentials that were read since.
    script.page(&["a"], None);
    let before = script.seconds;
    script.probe(Ok(()));
    assert!(script.seconds - before <= 2, "asked again only after {} s", script.seconds - before);
    assert_eq!(status(&script).push.waiting_for, None);
}
