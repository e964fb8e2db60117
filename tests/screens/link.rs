//! The connectivity pane where the way to a source is neither up nor down, and the question about another's edits.

use super::*;

fn with_account() -> Vec<SourceStatus> {
    let mut statuses = online();
    let foreign = |author: &str, ops| Foreign { author: author.to_owned(), ops };
    let notes = &mut statuses[1];
    notes.account = Account { principal: Some("bob".to_owned()), foreign: vec![foreign("ann", 3), foreign("cleo", 1)] };
    notes.push = PushStatus { total: 4, waiting_for: None, ..PushStatus::default() };
    statuses
}

fn portal() -> Vec<SourceStatus> {
    let mut statuses = online();
    let acme = &mut statuses[0];
    acme.connectivity.state = ConnectivityState::CaptivePortal;
    acme.connectivity.since = Some(wall(NOW - 95));
    let fine = |link| LinkFact { link, ok: true, detail: "fine".to_owned() };
    let page = "a web page came where data was due";
    acme.connectivity.evidence = Evidence {
        chain: [Link::Dns, Link::Tcp, Link::Tls, Link::Http]
            .into_iter()
            .map(fine)
            .chain([LinkFact { link: Link::Shape, ok: false, detail: page.to_owned() }])
            .collect(),
        summary: format!("shape: {page}"),
        last_success: Some(wall(NOW - 95)),
        last_failure: Some(wall(NOW - 3)),
        failures_in_a_row: 4,
        next_probe: Some(wall(NOW + 27)),
        ..Evidence::default()
    };
    acme.push = PushStatus { total: 3, waiting_for: Some("captive portal".to_owned()), ..PushStatus::default() };
    statuses
}

fn flapping() -> Vec<SourceStatus> {
    let mut statuses = online();
    let acme = &mut statuses[0];
    acme.connectivity.state = ConnectivityState::Degraded;
    acme.connectivity.since = Some(wall(NOW - 48));
    let evidence = &mut acme.connectivity.evidence;
    evidence.chain = vec![
        LinkFact { link: Link::Dns, ok: true, detail: "fine".to_owned() },
        LinkFact { link: Link::Tcp, ok: false, detail: "connection refused".to_owned() },
    ];
    evidence.summary = "comes and goes, 4 times within a minute; tcp: connection refused".to_owned();
    evidence.last_failure = Some(wall(NOW - 2));
    evidence.failures_in_a_row = 1;
    evidence.next_probe = Some(wall(NOW + 6));
    acme.push =
        PushStatus { total: 3, waiting_for: Some("the link comes and goes".to_owned()), ..PushStatus::default() };
    statuses
}

#[test]
fn a_portal_and_a_link_that_comes_and_goes_are_told_with_their_reason() {
    for size in SIZES {
        for (name, statuses) in [("portal", portal()), ("flapping", flapping())] {
            let mut bench = Bench::new(setup(size), few(), NOW);
            bench.status(statuses.clone());
            let at = |what: &str| format!("{name}_{what}_{}x{}", size.0, size.1);
            kept("screens", &at("main"), &bench.screen());
            bench.press("5z");
            kept("panes/connectivity", &at("whole"), &cut(&bench));
            let reason = &statuses[0].connectivity.evidence.summary;
            let told = reason.split("; ").all(|part| cut(&bench).contains(part.trim_start_matches("shape: ")));
            assert!(told, "{reason}: {}", cut(&bench));
        }
    }
}

#[test]
fn edits_of_another_account_are_asked_about_where_they_wait() {
    let sent = |bench: &Bench| {
        let asked = bench.effects.iter().filter_map(|effect| match effect {
            Effect::Sync(SyncRequest::ConfirmAuthor { source }) => Some(source.to_string()),
            _ => None,
        });
        asked.collect::<Vec<_>>()
    };
    for size in SIZES {
        let mut bench = Bench::new(setup(size), few(), NOW);
        bench.status(with_account());
        bench.press("5z");
        let at = |what: &str| format!("{what}_{}x{}", size.0, size.1);
        kept("panes/connectivity", &at("another_account"), &cut(&bench));
        bench.press("A");
        kept("panes/connectivity", &at("another_account_question"), &bench.screen());
        let question = bench.app.confirm().expect("it asks").title.clone();
        assert_eq!(question, "Send 4 edits to field-notes as bob?");
        bench.press("n");
        assert_eq!(sent(&bench), Vec::<String>::new(), "no is no");
        // From the outbox too.
        bench.press("4A");
        assert_eq!(bench.app.confirm().map(|question| question.title.clone()), Some(question));
        bench.press("y");
        assert_eq!(sent(&bench), ["field-notes"]);
        bench.status(online());
        bench.press("A");
        assert!(bench.app.confirm().is_none());
        assert!(bench.screen().contains("No edit waits for another account"), "{}", bench.screen());
    }
}

#[test]
fn what_the_user_holds_back_is_not_called_stalled() {
    for size in SIZES {
        for (name, word) in [("forced", "forced offline"), ("paused", "paused")] {
            let mut bench = Bench::new(setup(size), few(), NOW);
            let mut statuses = offline();
            let acme = &mut statuses[0];
            match name {
                "forced" => acme.connectivity.state = ConnectivityState::ForcedOffline,
                _ => acme.paused = true,
            }
            acme.push.waiting_for = Some(word.to_owned());
            bench.status(statuses);
            bench.press("6z");
            let shown = cut(&bench);
            kept("panes/sync", &format!("{name}_{}x{}", size.0, size.1), &shown);
            assert!(shown.contains(&format!("50%  {word}")) && !shown.contains("STALLED"), "{shown}");
            assert!(shown.contains("goes on when you end that") && !shown.contains("by itself"), "{shown}");
            bench.press("R");
            let shown = bench.screen();
            assert!(shown.contains("when you let it go on") && !shown.contains("asked for"), "{shown}");
        }
    }
}
