//! Where was I? Earlier moments of the session on a track, the screen of the chosen one below it, as it looks with what
//! is here now. Going back brings the place back: what was looked at, not what was typed or queued.

use serde::{Deserialize, Serialize};

use crate::{
    app::{
        App,
        action::Action,
        effect::Need,
        event::{Event, Found, MouseKind},
        list,
        pane::{Cx, Outcome, Pane, PaneName, Request, Seen},
    },
    model::{draft::Draft, session::Moment},
};

/// How often the answers at hand are gone through: a window leads to its record, a record to its plan.
const ROUNDS: std::ops::Range<usize> = 0..4;
/// Rows above the preview: the track, the time, the place.
pub const STRIP: u16 = 3;

#[derive(Debug, Clone, Default)]
pub struct History {
    session: HistorySession,
    /// Newest first.
    moments: Vec<Moment>,
    drafts: Vec<Draft>,
    loaded: bool,
    preview: Option<Preview>,
    /// The answers to what the preview asks, for the next one that asks the same.
    answers: Vec<(Need, Found)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistorySession {
    /// The moment chosen; `None`: the newest, as soon as it is known.
    cursor: Option<i64>,
}

/// The whole app as it was, looking at the data of now.
#[derive(Debug, Clone)]
struct Preview {
    moment: i64,
    app: Box<App>,
}

impl History {
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Newest first.
    pub fn moments(&self) -> &[Moment] {
        &self.moments
    }

    /// The place of the chosen moment among [`History::moments`]; where it is gone, of the next older one.
    pub fn index(&self) -> usize {
        let Some(cursor) = self.session.cursor else { return 0 };
        let last = self.moments.len().saturating_sub(1);
        self.moments.iter().position(|moment| moment.id <= cursor).unwrap_or(last)
    }

    pub fn selected(&self) -> Option<&Moment> {
        self.moments.get(self.index())
    }

    /// The screen of the chosen moment, once what it takes is read.
    pub fn preview(&self) -> Option<&App> {
        let selected = self.selected()?.id;
        self.preview.as_ref().filter(|preview| preview.moment == selected).map(|preview| preview.app.as_ref())
    }

    /// Opens it at the newest moment.
    pub fn open(&mut self) {
        self.session.cursor = None;
        self.preview = None;
    }

    /// The pane's room changed: the preview is laid out for the new one.
    pub fn fit(&mut self, cx: &Cx<'_>) {
        let (columns, rows) = preview_size(cx.room);
        if let Some(preview) = &mut self.preview {
            preview.app.handle(cx.at, Event::Resized { columns, rows });
        }
    }

    /// Gives the previewed app away, to become the real one.
    pub fn take_preview(&mut self) -> Option<Box<App>> {
        let selected = self.selected()?.id;
        self.preview.take().filter(|preview| preview.moment == selected).map(|preview| preview.app)
    }

    fn go(&mut self, index: usize, cx: &Cx<'_>) {
        self.session.cursor = self.moments.get(index).map(|moment| moment.id);
        self.look(cx);
    }

    /// Builds the preview of the chosen moment, unless it is there.
    fn look(&mut self, cx: &Cx<'_>) {
        let Some(selected) = self.selected() else { return };
        if self.preview.as_ref().is_some_and(|preview| preview.moment == selected.id) {
            return;
        }
        let setup = crate::app::Setup { size: preview_size(cx.room), ..cx.setup.clone() };
        let mut app = App::at_moment(cx.at, setup, selected.slices.clone(), self.drafts.clone());
        app.take_world_of(cx.world);
        // What the one before asked is not asked again: each answer may bring up the next question.
        for (need, found) in ROUNDS.flat_map(|_| &self.answers) {
            if app.pending_loads().iter().any(|(_, pending)| pending == need) {
                app.fulfil(cx.at, need, found);
            }
        }
        self.preview = Some(Preview { moment: selected.id, app: Box::new(app) });
    }
}

/// The terminal size the preview is laid out for.
fn preview_size((columns, rows): (u16, u16)) -> (u16, u16) {
    (columns, rows.saturating_sub(STRIP))
}

impl Pane for History {
    const NAME: PaneName = PaneName::History;
    const VERSION: u16 = 1;
    type Session = HistorySession;

    fn session(&self) -> HistorySession {
        self.session.clone()
    }

    fn restore(session: HistorySession, _seen: &Seen<'_>) -> Self {
        Self { session, ..Self::default() }
    }

    fn needs(&self, cx: &Cx<'_>) -> Vec<Need> {
        let mut needs = vec![Need::Moments(cx.setup.session.clone())];
        needs.extend(self.preview.iter().flat_map(|preview| preview.app.asked_needs()));
        needs
    }

    fn load(&mut self, need: &Need, found: &Found, cx: &Cx<'_>) -> Outcome {
        if let Found::Moments(moments, drafts) = found {
            self.moments.clone_from(moments);
            self.drafts.clone_from(drafts);
            // From here on it is this one: what is kept later does not move the track under the user.
            self.session.cursor = self.session.cursor.or(self.moments.first().map(|moment| moment.id));
            self.loaded = true;
        }
        let before = self.answers.iter().position(|(other, _)| other == need).map(|at| self.answers.remove(at).1);
        self.answers.push((need.clone(), found.clone()));
        match &mut self.preview {
            // The data changed: looked at anew, since a cursor that had to move would not go back.
            _ if before.is_some_and(|before| before != *found) => self.preview = None,
            Some(preview) => preview.app.fulfil(cx.at, need, found),
            None => {}
        }
        self.look(cx);
        let needs = self.needs(cx);
        self.answers.retain(|(other, _)| needs.contains(other));
        Outcome::used()
    }

    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        // On the track older is left; in a list of moments it would be down.
        let along = match action {
            Action::Collapse => Action::MoveDown,
            Action::Expand => Action::MoveUp,
            other => *other,
        };
        if let Some(index) = list::step(along, self.index(), self.moments.len(), 10) {
            self.go(index, cx);
            return Outcome::used();
        }
        match action {
            Action::Open if self.selected().is_some() => Outcome::used().request(Request::StepBack),
            Action::Open | Action::Back => Outcome::used().request(Request::Close),
            _ => Outcome::ignored(),
        }
    }

    fn mouse(&mut self, _column: u16, _row: u16, kind: MouseKind, cx: &Cx<'_>) -> Outcome {
        match kind {
            MouseKind::ScrollDown => self.handle(&Action::MoveDown, cx),
            MouseKind::ScrollUp => self.handle(&Action::MoveUp, cx),
            _ => Outcome::ignored(),
        }
    }

    fn commands(&self) -> Vec<Action> {
        vec![
            Action::Collapse,
            Action::Expand,
            Action::Open,
            Action::Back,
            Action::First,
            Action::Last,
            Action::HalfPageDown,
            Action::HalfPageUp,
        ]
    }
}
