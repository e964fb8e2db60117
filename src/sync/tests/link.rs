//! What is known about the way to a source: clocks, sleep, flapping links, and who may send.

use super::*;
use crate::model::sync_status::Evidence;

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
