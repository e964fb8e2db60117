//! The panes: one file each, mirrored by name in `ui::panes`.

pub mod collections;
pub mod conflicts;
pub mod connectivity;
pub mod drafts;
pub mod editor;
pub mod goto;
pub mod help;
pub mod history;
pub mod log;
pub mod outbox;
pub mod palette;
pub mod record;
pub mod records;
pub mod recovery;
pub mod sessions;
pub mod sync;
pub mod vault;
pub mod welcome;
