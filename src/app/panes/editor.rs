//! The JSON editor pane: what the app asks of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    app::{
        action::Action,
        pane::{Cx, Outcome, Pane, PaneName, Seen},
    },
    model::{
        draft::{Draft, DraftKey},
        ids::Revision,
        op::Op,
    },
};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Editor {}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EditorSession {}

/// What an editor is opened with.
#[derive(Debug, Clone, PartialEq)]
pub struct Begin {
    pub key: DraftKey,
    /// The whole record as the user sees it; `None` for a new one.
    pub document: Option<Value>,
    pub base: Option<Value>,
    pub base_revision: Option<Revision>,
    /// What was typed before and not queued.
    pub draft: Option<Draft>,
    /// The pending ops of the record.
    pub ops: Vec<Op>,
}

impl Editor {
    pub fn is_open(&self) -> bool {
        false
    }

    pub fn open(&mut self, _begin: Begin, _cx: &Cx<'_>) -> Outcome {
        Outcome::used().request(crate::app::pane::Request::Close)
    }

    pub fn returned(&mut self, _text: Result<String, String>, _cx: &Cx<'_>) -> Outcome {
        Outcome::ignored()
    }
}

impl Pane for Editor {
    const NAME: PaneName = PaneName::Editor;
    const VERSION: u16 = 1;
    type Session = EditorSession;

    fn session(&self) -> EditorSession {
        EditorSession {}
    }

    fn restore(_session: EditorSession, _seen: &Seen<'_>) -> Self {
        Self {}
    }

    fn handle(&mut self, _action: &Action, _cx: &Cx<'_>) -> Outcome {
        Outcome::ignored()
    }

    fn commands(&self) -> Vec<Action> {
        Vec::new()
    }
}
