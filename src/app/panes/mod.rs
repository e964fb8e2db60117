//! The panes: one file each, mirrored by name in `ui::panes`.

pub mod editor;
