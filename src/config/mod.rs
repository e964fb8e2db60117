//! The configuration file and the places on disk. Every error of a file is collected and reported with its line.
//!
//! A file is read as a tree of values that know their place (`document`); each section is read by a file of its own
//! here, and whatever is wrong is noted and reading goes on. Keys that would do nothing are errors: a configuration
//! promises only what this version does.

use std::{
    fmt,
    path::{Path, PathBuf},
};

mod document;
mod duration;
mod edit;
mod paths;
mod sections;
mod sources;

pub use edit::{EditError, NewSource, NotWritten, add_source, keep_rule, keep_url, replace};
pub use paths::{HomeUnknown, Paths};

use crate::{
    app::settings::UiSettings,
    model::source::{SourceSpec, SyncSettings},
};

/// The file that documents every key; it is a valid configuration itself.
pub const EXAMPLE: &str = include_str!("../../assets/config.example.toml");

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    pub sources: Vec<SourceSpec>,
    pub ui: UiSettings,
    pub sync: SyncSettings,
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
    /// 1-based, in characters; 0 where the file as a whole is meant.
    pub column: usize,
    pub message: String,
    pub hint: Option<String>,
}

/// Reads a configuration. A file that does not exist is an empty configuration.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    let whole = |message: String, hint: &str| ConfigErrors {
        path: path.to_owned(),
        errors: vec![Located { line: 0, column: 0, message, hint: Some(hint.to_owned()) }],
    };
    match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => parse(&text, path),
            Err(error) => Err(whole(
                format!("byte {} is not UTF-8", error.utf8_error().valid_up_to() + 1),
                "save the file as UTF-8 text",
            )),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Config::default()),
        Err(error) => Err(whole(
            format!("the file cannot be read: {error}"),
            "check its permissions, or name another file with --config",
        )),
    }
}

/// Reads a configuration from its text; `path` is what errors call it.
pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigErrors> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (config, mut errors) = document::read(text, |root, problems| Config {
        sources: sources::read(root, problems),
        ui: sections::ui(root, problems),
        sync: SyncSettings { vault: sections::vault(root, problems), ..sections::sync(root, problems) },
    });
    if errors.is_empty() {
        return Ok(config);
    }
    errors.sort_by_key(|error| (error.line, error.column));
    errors.dedup();
    Err(ConfigErrors { path: path.to_owned(), errors })
}

/// The candidate a mistyped word most likely means; `None` where nothing is near.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_lowercase();
    let allowed = (word.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "line {line}, column {}: {}", self.column, self.message),
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration `{}` cannot be used", self.path.display())?;
        match self.errors.len() {
            1 => Ok(()),
            many => write!(f, ": {many} errors"),
        }
    }
}

impl std::error::Error for ConfigErrors {}

#[cfg(test)]
mod tests;
