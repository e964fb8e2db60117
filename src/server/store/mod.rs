//! The data of the embedded backend: one SQLite file, one writer thread, many readers.
//!
//! ```text
//! nodes(parent, sort) -> key, body | id        body: the JSON text of a whole subtree, served as it lies
//!    (0,'')  the root ── id 1
//!    (1,…)   top-level keys: a row per collection ── id n, or a body where it is a leaf
//!    (n,…)   records: a row each, whole JSON bodies
//! ```
//!
//! ## Why subtrees as rows
//!
//! A row per leaf makes every record read a join; one row per collection makes every write rewrite it. Rows hold whole
//! subtrees, cut always below the root and the collections and, deeper, where a body grows beyond 128 KiB, so that a page of
//! records is one range scan and a big value is never parsed as a whole. `sort` is [`crate::model::rtdb::sort_key`].

mod find;
mod index;
mod open;
mod query;
mod render;
mod sink;
mod tree;
mod write;
mod writer;

pub(super) use find::{child_body, is_empty, priority, writes};
pub(super) use index::wants_index;
pub(super) use open::{Database, Opened};
pub(super) use query::{PARAMETERS, Query, visit};
pub(super) use render::{Form, etag, render, render_entry, render_query, render_shallow};
pub(super) use sink::{Capped, Pretty, Sink, Stop, Text};
pub(super) use tree::{NOT_JSON, Tree, members};
pub(super) use writer::{Applied, Change, Kind, Refused, Write, Writer};
