//! The activity log: what happened, as rows that outlive the process. Every notice is also such a row.

use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;

/// From the least to the most urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Info,
    Draft,
    Warning,
    Problem,
}

impl Severity {
    /// The mark of the message row.
    pub fn symbol(self) -> char {
        match self {
            Self::Info => 'i',
            Self::Draft => '~',
            Self::Warning => '!',
            Self::Problem => 'x',
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Draft => "draft",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One row of the log and, while new, the message row of the screen. One sentence, no final stop; the hint can be
/// acted on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    pub at: Timestamp,
    pub severity: Severity,
    /// What it is about: `outbox`, `sync`, `session`, `source office`, …
    pub topic: String,
    pub text: String,
    pub hint: Option<String>,
}

impl Activity {
    pub fn new(at: Timestamp, severity: Severity, topic: impl Into<String>, text: impl Into<String>) -> Self {
        Self { at, severity, topic: topic.into(), text: text.into(), hint: None }
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
