//! Firebase Realtime Database trees, purely: normalisation, key order, key rules and limits (page 4).
//!
//! The server, the remote, `sync` and the save path all need these rules, so they live on the lowest floor. They are
//! judged by vectors made with Google's own tree code (`tests/clients/rtdb_vectors.mjs`).

mod key;
mod limits;
mod order;
mod push_id;
mod tree;

pub use key::{check_key, key_order, sort_key};
pub use limits::{
    LimitError, MAX_DEPTH, MAX_KEY_BYTES, MAX_STRING_BYTES, check_document, check_document_below, check_written,
};
pub use order::{value_order, value_sort_key};
pub use push_id::push_id;
pub use tree::{array_length, children, into_normal, normal_form, normalise, stored};
