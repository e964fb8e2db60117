//! The protocol: requests in, answers out. What is refused early is an answer like any other, so helpers return it as `Err`.

#![expect(clippy::result_large_err, reason = "refusals are answers, and rare")]

mod answer;
mod guard;
mod outgoing;
mod read;
mod request;
mod route;
mod stream;
mod watch;
mod write;

pub(super) use guard::Guard;
pub(super) use route::handle;
