//! The `[ui]` part of the configuration.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UiSettings {
    /// The name of a built-in theme.
    pub theme: String,
    pub mouse: bool,
    pub glyphs: Glyphs,
    /// Command name → key sequence(s), over the default keymap, e.g. `"open_help" = ["?", "F1"]`.
    pub keys: BTreeMap<String, Vec<String>>,
    pub restore: Restore,
    pub confirm_quit: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Glyphs {
    #[default]
    Unicode,
    Ascii,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restore {
    #[default]
    All,
    DraftsOnly,
}

impl Default for UiSettings {
    fn default() -> Self {
        Self {
            theme: "default".to_owned(),
            mouse: true,
            glyphs: Glyphs::default(),
            keys: BTreeMap::new(),
            restore: Restore::default(),
            confirm_quit: false,
        }
    }
}
