//! The saved screen could not be used: it was damaged, or starts with it kept failing. Says that nothing else is touched,
//! and offers the newest earlier moment that can be read.

use serde::{Deserialize, Serialize};

use crate::{
    app::{
        App,
        action::Action,
        effect::Need,
        event::Found,
        pane::{Cx, Outcome, Pane, PaneName, Request, Seen},
    },
    model::{
        activity::Severity,
        draft::Draft,
        session::{Moment, MomentKind},
        time::Timestamp,
    },
};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recovery {
    session: RecoverySession,
    moments: Vec<Moment>,
    drafts: Vec<Draft>,
    loaded: bool,
    /// The newest earlier moment that is whole and was not what failed.
    good: Option<Moment>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecoverySession {
    why: Option<Why>,
}

/// Why the saved screen is not on the screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// These parts of it could not be read.
    Damaged { names: Vec<String>, saved_at: Option<Timestamp> },
    /// So many starts in a row ended before they showed anything.
    Failing { starts: usize, moment: Option<i64> },
}

impl Recovery {
    pub fn open(&mut self, why: Why) {
        self.session.why = Some(why);
    }

    pub fn why(&self) -> Option<&Why> {
        self.session.why.as_ref()
    }

    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    pub fn good(&self) -> Option<&Moment> {
        self.good.as_ref()
    }

    pub fn drafts(&self) -> usize {
        self.drafts.len()
    }

    /// The moment that keeps what could not be used.
    pub fn kept(&self) -> Option<i64> {
        match self.why()? {
            Why::Failing { moment, .. } => *moment,
            Why::Damaged { .. } => self.moments.first().map(|moment| moment.id),
        }
    }

    /// The moment to go back to, with the drafts its screen needs.
    pub fn way_back(&self) -> Option<(&Moment, &[Draft])> {
        Some((self.good.as_ref()?, &self.drafts))
    }

    /// A moment is good where its slices can all be read, and none that failed were the same.
    fn choose(&mut self, cx: &Cx<'_>) {
        let failed: Vec<_> = self.moments.iter().filter(|moment| moment.kind == MomentKind::Aside).collect();
        let is_good = |moment: &&Moment| {
            failed.iter().all(|other| other.slices != moment.slices)
                && App::at_moment(cx.at, cx.setup.clone(), moment.slices.clone(), self.drafts.clone()).is_whole()
        };
        self.good = self.moments.iter().find(is_good).cloned();
    }
}

impl Pane for Recovery {
    const NAME: PaneName = PaneName::Recovery;
    const VERSION: u16 = 1;
    type Session = RecoverySession;

    fn session(&self) -> RecoverySession {
        self.session.clone()
    }

    fn restore(session: RecoverySession, _seen: &Seen<'_>) -> Self {
        Self { session, ..Self::default() }
    }

    fn needs(&self, cx: &Cx<'_>) -> Vec<Need> {
        vec![Need::Moments(cx.setup.session.clone())]
    }

    fn load(&mut self, _need: &Need, found: &Found, cx: &Cx<'_>) -> Outcome {
        match found {
            Found::Moments(moments, drafts) => {
                self.moments.clone_from(moments);
                self.drafts.clone_from(drafts);
                self.loaded = true;
            }
            _ => return Outcome::ignored(),
        }
        self.choose(cx);
        Outcome::used()
    }

    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        match action {
            Action::Open | Action::Back => Outcome::used().request(Request::Close),
            Action::UsePreviousScreen if self.good.is_some() => Outcome::used().request(Request::StepBack),
            Action::UsePreviousScreen => {
                Outcome::used().notice(Severity::Info, "session", "No earlier screen is kept that can be read")
            }
            Action::ShowKeptCopy => match self.kept() {
                Some(id) => {
                    let session = shell_words::quote(cx.setup.session.as_str());
                    let line = format!("{} session show {session} --moment {id}", cx.setup.command);
                    Outcome::used().notice(Severity::Info, "session", format!("It is kept in the journal: `{line}`"))
                }
                None => Outcome::used().notice(Severity::Info, "session", "There was nothing of it to keep"),
            },
            _ => Outcome::ignored(),
        }
    }

    fn commands(&self) -> Vec<Action> {
        let mut commands = vec![Action::Open];
        commands.extend(self.good.is_some().then_some(Action::UsePreviousScreen));
        commands.push(Action::ShowKeptCopy);
        commands
    }
}
