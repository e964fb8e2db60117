//! The configuration file and the places on disk. Every error of a file is collected and reported with its line.

use std::path::{Path, PathBuf};

use crate::{
    app::settings::UiSettings,
    model::source::{SourceSpec, SyncSettings},
};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    pub sources: Vec<SourceSpec>,
    pub ui: UiSettings,
    pub sync: SyncSettings,
}

/// Where things are kept. Built from the command line, the environment and the XDG rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    pub config: PathBuf,
    /// Holds `journal.db`, `mirror.db`, `search.db`, locks, `log/` and `emergency/`.
    pub data_dir: PathBuf,
}

/// All that is wrong with a file, in line order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    pub path: PathBuf,
    pub errors: Vec<Located>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// 1-based; 0 where the file as a whole is meant.
    pub line: usize,
    pub column: usize,
    pub message: String,
    pub hint: Option<String>,
}

/// Reads a configuration. A file that does not exist is an empty configuration.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    let _ = path;
    todo!()
}
