//! The protocol: requests in, answers out.

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
