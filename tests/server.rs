//! The embedded backend over real HTTP on loopback: every row of the protocol table, the limits, durability, and clients
//! ebbtide's authors did not write (fetch those with `tests/clients/install`).

#[path = "server/clients.rs"]
mod clients;
#[path = "server/durability.rs"]
mod durability;
#[path = "server/guards.rs"]
mod guards;
#[path = "server/harness.rs"]
mod harness;
#[path = "server/protocol.rs"]
mod protocol;
#[path = "server/queries.rs"]
mod queries;
#[path = "server/scale.rs"]
mod scale;
#[path = "server/streams.rs"]
mod streams;
#[path = "server/trees.rs"]
mod trees;
