//! States by what was heard, and when a probe is due.

use super::*;

fn tracker() -> Tracker {
    Tracker::new(false, Duration::from_secs(30))
}

fn refused() -> Break {
    Break::Link(Trouble { link: Link::Tcp, message: "connection refused".to_owned() })
}

fn lost() -> Break {
    Break::Link(Trouble { link: Link::Http, message: "no answer in 20 s".to_owned() })
}

fn quick() -> Exchange {
    Exchange { round_trip: Some(Duration::from_millis(30)), ..Exchange::default() }
}

#[test]
fn a_refused_connection_is_offline_and_names_the_first_broken_link() {
    let mut tracker = tracker();
    tracker.good(&At::test(1), &quick(), None);
    assert_eq!(tracker.state(), State::Online);
    tracker.bad(&At::test(2), &refused(), &Exchange::default(), None);
    tracker.settle(&At::test(2));
    let shown = tracker.snapshot(&At::test(2));
    assert_eq!(shown.state, State::Offline);
    assert_eq!(shown.evidence.summary, "tcp: connection refused");
    assert_eq!(shown.evidence.chain.last().map(|fact| (fact.link, fact.ok)), Some((Link::Tcp, false)));
    assert!(shown.evidence.next_probe.is_some());
}

#[test]
fn one_lost_answer_degrades_and_a_second_one_is_an_outage() {
    let mut tracker = tracker();
    tracker.good(&At::test(1), &quick(), None);
    tracker.bad(&At::test(2), &lost(), &Exchange::default(), None);
    assert_eq!(tracker.state(), State::Degraded);
    tracker.bad(&At::test(3), &lost(), &Exchange::default(), None);
    assert_eq!(tracker.state(), State::BackendDown);
}

#[test]
fn connections_that_break_together_are_one_failure_and_a_probe_decides_at_once() {
    let mut tracker = tracker();
    tracker.good(&At::test(1), &quick(), None);
    for _ in 0..4 {
        tracker.bad(&At::test(2), &lost(), &Exchange::default(), None);
    }
    assert_eq!(tracker.state(), State::Degraded);
    assert_eq!(tracker.snapshot(&At::test(2)).evidence.failures_in_a_row, 1);
    assert_eq!(tracker.probe_due(false, None), Some(Duration::from_secs(2) + PROBE_FLOOR));
    tracker.bad(&At::test(3), &lost(), &Exchange::default(), None);
    assert_eq!(tracker.state(), State::BackendDown);
}

#[test]
fn a_flapping_link_stays_degraded_until_it_went_well_for_a_while() {
    let mut tracker = tracker();
    tracker.good(&At::test(0), &quick(), None);
    for second in [2, 6] {
        tracker.bad(&At::test(second), &refused(), &Exchange::default(), None);
        tracker.good(&At::test(second + 2), &quick(), None);
    }
    assert_eq!(tracker.state(), State::Degraded);
    for second in [8, 8, 8, 9, 16] {
        tracker.good(&At::test(second), &quick(), None);
        assert_eq!(tracker.state(), State::Degraded, "{second}");
    }
    tracker.good(&At::test(18), &quick(), None);
    assert_eq!(tracker.state(), State::Online);
}

#[test]
fn a_flapping_link_is_shown_as_degraded_up_and_down_until_it_stays_down() {
    let mut tracker = tracker();
    let show = |tracker: &mut Tracker, second| {
        tracker.settle(&At::test(second));
        tracker.shown()
    };
    tracker.good(&At::test(0), &quick(), None);
    assert_eq!(show(&mut tracker, 0), State::Online);
    tracker.bad(&At::test(2), &refused(), &Exchange::default(), None);
    assert_eq!(show(&mut tracker, 2), State::Offline, "the first break is believed at once");
    let mut shown = Vec::new();
    for second in (4..40).step_by(4) {
        tracker.good(&At::test(second), &quick(), None);
        shown.push(show(&mut tracker, second));
        tracker.bad(&At::test(second + 2), &refused(), &Exchange::default(), None);
        assert!(!tracker.is_usable(), "nothing is sent over what is known to be broken");
        shown.push(show(&mut tracker, second + 2));
    }
    assert_eq!(shown.remove(0), State::Online);
    assert!(shown.iter().all(|state| *state == State::Degraded), "{shown:?}");
    let evidence = tracker.snapshot(&At::test(38)).evidence;
    assert_eq!(evidence.summary, "comes and goes, 10 times within a minute; tcp: connection refused");
    assert_eq!(tracker.settles_at(), Some(Duration::from_secs(58)));
    assert_eq!(show(&mut tracker, 58), State::Offline);
    assert_eq!(tracker.snapshot(&At::test(58)).since, Some(At::test(38).wall));
}

#[test]
fn hints_of_a_flapping_network_do_not_thrash_probes() {
    let mut tracker = tracker();
    tracker.good(&At::test(0), &quick(), None);
    tracker.bad(&At::test(2), &refused(), &Exchange::default(), None);
    tracker.take_hint(&At::test(2));
    assert_eq!(tracker.probe_due(false, None), Some(Duration::from_secs(2)), "a hint is a reason to look");
    let mut probes = 0;
    let mut up = false;
    for second in 3..120 {
        up ^= second % 2 == 0;
        tracker.take_hint(&At::test(second));
        if tracker.begin_probe(&At::test(second), false, None, || Ticket(second)).is_none() {
            continue;
        }
        probes += 1;
        tracker.end_probe(Ticket(second));
        match up {
            true => tracker.good(&At::test(second), &quick(), None),
            false => tracker.bad(&At::test(second), &refused(), &Exchange::default(), None),
        }
    }
    assert!((8..=40).contains(&probes), "{probes}");
}

#[test]
fn a_followed_source_is_not_probed_and_an_unfollowed_one_is_now_and_then() {
    let mut tracker = tracker();
    tracker.good(&At::test(1), &quick(), None);
    assert_eq!(tracker.probe_due(true, None), None);
    assert_eq!(tracker.probe_due(false, None), Some(Duration::from_secs(31)));
}

#[test]
fn forced_offline_probes_nothing_and_looks_again_when_lifted() {
    let mut tracker = tracker();
    tracker.force(&At::test(1), true);
    assert_eq!((tracker.state(), tracker.probe_due(false, None)), (State::ForcedOffline, None));
    tracker.force(&At::test(9), false);
    assert_eq!(tracker.probe_due(false, None), Some(Duration::from_secs(9)));
}

#[test]
fn probes_of_a_dead_source_thin_out_but_never_stop() {
    let mut tracker = tracker();
    for second in 0..200 {
        tracker.bad(&At::test(second), &refused(), &Exchange::default(), None);
        let due = tracker.probe_due(false, None).unwrap();
        assert!(due >= Duration::from_secs(second) + PROBE_FLOOR);
        assert!(due <= Duration::from_secs(second + 30));
    }
}

#[test]
fn slow_answers_degrade() {
    let mut tracker = tracker();
    for second in 0..4 {
        let slow = Exchange { round_trip: Some(Duration::from_secs(4)), ..Exchange::default() };
        tracker.good(&At::test(second * 5), &slow, None);
    }
    assert_eq!(tracker.state(), State::Degraded);
}
