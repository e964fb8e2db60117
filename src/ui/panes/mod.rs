//! One file for each pane of `app::panes`, by the same name.

pub mod editor;
