//! Every fault of a network × every kind of request, over real sockets, against the real embedded backend.
//!
//! A cell is one test, named `fault::kind`. In each: the engine is live, the fault comes, something is done that meets
//! it, the fault ends, and within one retry period, by itself and in the same process, everything is where it belongs:
//! one effect on the server however often it was asked, nothing lost here, both sides equal. `cargo test --test faults`
//! ends with the sum of all cells.

#![expect(clippy::disallowed_methods, reason = "a test that waits for real threads needs a real clock")]

#[path = "faults/cell.rs"]
mod cell;
mod common;

use cell::{Trouble, run};
use common::proxy::{Fault, Kind, Place, answer};

/// Names of faults, each with what the requests of its cells meet, one after the other.
macro_rules! cells {
    ($($name:ident: $trouble:expr;)*) => {
        const FAULTS: usize = [$(stringify!($name)),*].len();
        $(mod $name {
            use super::*;
            #[test]
            fn create() {
                run(stringify!($name), Kind::Create, $trouble);
            }
            #[test]
            fn update() {
                run(stringify!($name), Kind::Update, $trouble);
            }
            #[test]
            fn delete() {
                run(stringify!($name), Kind::Delete, $trouble);
            }
            #[test]
            fn pull() {
                run(stringify!($name), Kind::Read, $trouble);
            }
            #[test]
            fn stream() {
                run(stringify!($name), Kind::Stream, $trouble);
            }
        })*
    };
}

cells! {
    request_lost: Trouble::Faults(vec![Fault::DropRequest; 2]);
    answer_lost_after_it_was_applied: Trouble::Faults(vec![Fault::DropAnswer; 2]);
    original_arrives_with_its_repeat: Trouble::Faults(vec![Fault::DelayPastDeadline]);
    original_arrives_after_its_repeat: Trouble::LateOriginal;
    delivered_twice: Trouble::Faults(vec![Fault::Duplicate]);
    cut_off_in_the_head: Trouble::Faults(vec![Fault::Truncate(Place::Byte(1)), Fault::Truncate(Place::Byte(40))]);
    cut_off_in_the_body: Trouble::Faults(vec![Fault::Truncate(Place::Body(0)), Fault::Truncate(Place::Body(7))]);
    cut_off_before_the_last_byte: Trouble::Faults(vec![Fault::Truncate(Place::Last); 2]);
    request_byte_by_byte: Trouble::Faults(vec![Fault::DripUp]);
    answer_byte_by_byte: Trouble::Faults(vec![Fault::DripDown]);
    server_error_500: Trouble::Faults(said_before_and_after("500 Internal Server Error"));
    server_error_502: Trouble::Faults(said_before_and_after("502 Bad Gateway"));
    server_error_504: Trouble::Faults(said_before_and_after("504 Gateway Timeout"));
    request_timeout_408: Trouble::Faults(said_before_and_after("408 Request Timeout"));
    unavailable_503: Trouble::Faults(vec![Fault::Say(answer("503 Service Unavailable", &[], "{}")); 2]);
    told_to_wait_for_seconds: Trouble::Faults(vec![Fault::Say(answer("429 Too Many Requests", &["Retry-After: 1"], "{}"))]);
    told_to_wait_until_a_date: Trouble::Faults(vec![Fault::Say(answer("503 Service Unavailable", &[
        "Date: Sat, 21 Nov 2026 04:00:00 GMT",
        "Retry-After: Sat, 21 Nov 2026 04:00:01 GMT",
    ], "{}"))]);
    credentials_expired: Trouble::Expired;
    portal_page: Trouble::Faults(portal("200 OK"));
    portal_511: Trouble::Faults(portal("511 Network Authentication Required"));
    redirected_to_another_host: Trouble::Redirect;
    accepted_and_never_answered: Trouble::Faults(vec![Fault::HalfOpen]);
    silent_in_the_head: Trouble::Faults(vec![Fault::Silence(Place::Byte(20))]);
    silent_in_the_body: Trouble::Faults(vec![Fault::Silence(Place::Body(1))]);
    connection_refused: Trouble::Refused;
    everything_half_open: Trouble::Everything(Fault::HalfOpen);
}

/// The outcome is unknown: once it was applied, once it was not.
fn said_before_and_after(status: &str) -> Vec<Fault> {
    let said = answer(status, &[], r#"{"error":"told you"}"#);
    vec![Fault::SayAfter(said.clone()), Fault::Say(said)]
}

/// The page a network answers with in the server's place.
fn portal(status: &str) -> Vec<Fault> {
    let page = answer(status, &["content-type: text/html"], "<html><form>Please sign in</form></html>");
    vec![Fault::Say(page.clone()), Fault::SayAfter(page)]
}
