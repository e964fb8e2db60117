//! The outbox pane: what waits for the server, and what the user may do about it.
//!
//! Ops are shown in the order they will be sent. A blocked op stays at its place, because the ones behind it on the
//! same record depend on it. On the whole body (zoomed) an inspector shows one op beside the list.

mod split;

use serde::{Deserialize, Serialize};

use crate::{
    app::{
        action::Action,
        effect::{Effect, Need},
        event::{Found, MouseKind},
        list,
        pane::{Cx, Outcome, Pane, PaneName, Question, Request, Seen},
        words,
    },
    model::{
        activity::Severity,
        draft::DraftTarget,
        edit::Change,
        ids::Seq,
        op::{Op, OpCommand, OpKind, OpState},
        plan::PlanStep,
    },
};
pub use split::{Splitting, places};

/// Pending ops loaded at first, and per step towards the end.
const PAGE: usize = 100;
const HISTORY: usize = 20;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outbox {
    session: OutboxSession,
    ops: Vec<Op>,
    history: Vec<Op>,
    loaded: bool,
    /// What will be sent for the op, as last asked.
    plan: Option<(Seq, Option<Box<PlanStep>>)>,
    /// The op whose request is to be copied as soon as it is known.
    wants_curl: Option<Seq>,
    /// The cursor goes to the last line once the rest is read.
    to_last: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutboxSession {
    cursor: Option<Seq>,
    top: Option<Seq>,
    view: View,
    tab: Tab,
    /// Lines of the inspector scrolled away.
    scroll: u16,
    limit: usize,
    split: Option<Splitting>,
}

impl Default for OutboxSession {
    fn default() -> Self {
        Self { cursor: None, top: None, view: View::All, tab: Tab::Diff, scroll: 0, limit: PAGE, split: None }
    }
}

/// Which ops the list shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    #[default]
    All,
    Queued,
    Held,
    Rejected,
    Conflict,
}

impl View {
    pub const ALL: [View; 5] = [Self::All, Self::Queued, Self::Held, Self::Rejected, Self::Conflict];

    pub fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Queued => "queued",
            Self::Held => "held",
            Self::Rejected => "rejected",
            Self::Conflict => "conflict",
        }
    }

    fn shows(self, state: OpState) -> bool {
        match self {
            Self::All => true,
            Self::Queued => matches!(state, OpState::Queued | OpState::InFlight | OpState::InDoubt | OpState::Blocked),
            Self::Held => state == OpState::Held,
            Self::Rejected => state == OpState::Rejected,
            Self::Conflict => state == OpState::Conflict,
        }
    }
}

/// A tab of the inspector. One that has nothing true to say is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tab {
    #[default]
    Diff,
    Request,
    Attempts,
    Depends,
}

impl Tab {
    pub fn word(self) -> &'static str {
        match self {
            Self::Diff => "Diff",
            Self::Request => "Request",
            Self::Attempts => "Attempts",
            Self::Depends => "Depends on",
        }
    }
}

impl Outbox {
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// All pending ops at hand, whatever the view.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// The pending ops of the chosen view, in sending order.
    pub fn shown(&self) -> Vec<&Op> {
        self.ops.iter().filter(|op| self.session.view.shows(op.state)).collect()
    }

    pub fn history(&self) -> &[Op] {
        &self.history
    }

    pub fn view(&self) -> View {
        self.session.view
    }

    /// What will be sent for the op; `None` while that is not known. An op that is settled has no plan.
    pub fn plan(&self, op: &Op) -> Option<Option<&PlanStep>> {
        self.plan.as_ref().filter(|(seq, _)| *seq == op.seq).map(|(_, plan)| plan.as_deref())
    }

    /// The choice of fields under way, of the selected op.
    pub fn splitting(&self) -> Option<&Splitting> {
        self.session.split.as_ref().filter(|split| self.selected().is_some_and(|op| op.seq == split.seq))
    }

    pub fn scroll(&self) -> u16 {
        self.session.scroll
    }

    /// The lines the cursor runs over: pending ops, then (on the whole body) what was delivered.
    pub fn lines(&self, with_history: bool) -> Vec<&Op> {
        let mut lines = self.shown();
        if with_history && self.session.view == View::All {
            lines.extend(&self.history);
        }
        lines
    }

    pub fn selected(&self) -> Option<&Op> {
        let lines = self.lines(true);
        lines.get(self.index(&lines)).copied()
    }

    fn index(&self, lines: &[&Op]) -> usize {
        let Some(cursor) = self.session.cursor else { return 0 };
        match lines.iter().position(|op| op.seq == cursor) {
            Some(index) => index,
            // Settled since: the next one still pending, else the last.
            None => lines.iter().position(|op| op.seq > cursor).unwrap_or(lines.len().saturating_sub(1)),
        }
    }

    /// (first line drawn, line of the cursor) among [`Outbox::lines`].
    pub fn window(&self, height: usize, with_history: bool) -> (usize, usize) {
        let lines = self.lines(with_history);
        let cursor = self.index(&lines).min(lines.len().saturating_sub(1));
        let top = self.session.top.and_then(|top| lines.iter().position(|op| op.seq == top)).unwrap_or(0);
        (list::view(top, cursor, height, lines.len()), cursor)
    }

    /// The tabs that have something to say about the op.
    pub fn tabs(op: &Op) -> Vec<Tab> {
        let mut tabs = vec![Tab::Diff];
        if op.state.is_pending() || op.request_hash.is_some() {
            tabs.push(Tab::Request);
        }
        if op.attempts > 0 || op.last_error.is_some() {
            tabs.push(Tab::Attempts);
        }
        if op.after.is_some() {
            tabs.push(Tab::Depends);
        }
        tabs
    }

    /// The tab shown for the op: the chosen one where it exists.
    pub fn tab(&self, op: &Op) -> Tab {
        if Self::tabs(op).contains(&self.session.tab) { self.session.tab } else { Tab::Diff }
    }

    /// True where the list has room for delivered ops: the zoomed pane.
    fn with_history(cx: &Cx<'_>) -> bool {
        cx.full
    }

    fn page(cx: &Cx<'_>) -> usize {
        let rows = usize::from(cx.room.1);
        // The heading is there where more than three fit.
        (rows - usize::from(rows > 3)).max(1)
    }

    fn go(&mut self, index: usize, cx: &Cx<'_>) {
        let with_history = Self::with_history(cx);
        let lines = self.lines(with_history);
        self.session.cursor = lines.get(index).map(|op| op.seq);
        self.session.scroll = 0;
        let (top, _) = self.window(Self::page(cx), with_history);
        self.session.top = self.lines(with_history).get(top).map(|op| op.seq);
        if index + 50 > self.session.limit {
            self.session.limit += PAGE;
        }
    }

    pub fn select(&mut self, seq: Seq) {
        self.session.cursor = Some(seq);
        self.session.view = View::All;
        self.session.scroll = 0;
    }

    /// Every state, as at the first start.
    pub fn show_all(&mut self) {
        self.session.view = View::All;
    }

    fn command(&self, command: OpCommand) -> Outcome {
        let Some(op) = self.selected() else {
            let text =
                if self.ops.is_empty() { "The outbox is empty" } else { "Nothing is in this view of the outbox" };
            return Outcome::used().notice(Severity::Info, "outbox", text);
        };
        if !op.state.is_pending() {
            return Outcome::used().notice(
                Severity::Info,
                "outbox",
                format!("Op {} is {}; nothing is left to do with it", op.seq, op.state.label()),
            );
        }
        if op.state.may_be_applied() {
            return Outcome::used()
                .notice(Severity::Warning, "outbox", format!("Op {} is {} now", op.seq, op.state.label()))
                .hint("wait for its answer: it may already be applied");
        }
        Outcome::used().effect(Effect::Outbox { seqs: vec![op.seq], command })
    }

    fn edit(&self) -> Outcome {
        let Some(op) = self.selected() else { return self.command(OpCommand::Hold) };
        let of_record = Request::Edit { record: op.record.clone(), target: DraftTarget::Document };
        match op.state {
            state if !state.is_pending() => Outcome::used().request(of_record),
            state if state.may_be_applied() => self.command(OpCommand::Hold),
            OpState::Conflict => Outcome::used()
                .notice(Severity::Info, "outbox", format!("Op {} is in conflict", op.seq))
                .hint("`c` compares both versions"),
            _ if op.kind == OpKind::Delete => Outcome::used()
                .notice(Severity::Info, "outbox", format!("Op {} deletes the record: it has no value", op.seq))
                .hint("`D` discards it and keeps the record"),
            _ => Outcome::used().request(Request::Edit { record: op.record.clone(), target: DraftTarget::Op(op.seq) }),
        }
    }

    fn begin_split(&mut self) -> Outcome {
        let Some(op) = self.selected().filter(|op| op.state.is_pending()) else {
            return self.command(OpCommand::Hold);
        };
        if op.state == OpState::Conflict {
            return self.edit();
        }
        match Splitting::begin(op) {
            Ok(split) => {
                self.session.split = Some(split);
                self.session.tab = Tab::Diff;
                self.session.scroll = 0;
                Outcome::used().request(Request::Run(Action::Zoom, Some("on".to_owned())))
            }
            Err(why) => Outcome::used().notice(Severity::Info, "outbox", why),
        }
    }

    /// `None` where the action is not about a choice under way.
    fn handle_split(&mut self, action: Action, cx: &Cx<'_>) -> Option<Outcome> {
        let op = self.splitting().and(self.selected())?.clone();
        let split = self.session.split.as_mut()?;
        let (outcome, over) = split.handle(&op, action, cx)?;
        if over {
            self.session.split = None;
        }
        Some(outcome)
    }

    fn copy_curl(&mut self) -> Outcome {
        let Some(op) = self.selected() else { return Outcome::used() };
        let seq = op.seq;
        match self.plan(op).map(|plan| plan.cloned()) {
            Some(plan) => curl(seq, plan.as_ref()),
            None => {
                self.wants_curl = Some(seq);
                Outcome::used()
            }
        }
    }

    fn discard(&self) -> Outcome {
        let Some(op) = self.selected().filter(|op| op.state.is_pending()) else {
            return self.command(OpCommand::Discard);
        };
        if op.state.may_be_applied() {
            return self.command(OpCommand::Discard);
        }
        let behind = self.ops.iter().filter(|other| other.record == op.record && other.seq > op.seq).count();
        let mut lines = vec![format!("{} {}", op.kind.word().to_uppercase(), op.record)];
        lines.extend(op.changes.iter().take(6).map(describe));
        if op.changes.len() > 6 {
            lines.push(format!("and {} more", op.changes.len() - 6));
        }
        if behind > 0 {
            let word = words::count(behind as u64, "later op", "later ops");
            lines.push(format!("The {word} of this record go with it"));
        }
        lines.push("The version you made is kept in the vault".to_owned());
        Outcome::used().request(Request::Confirm(Box::new(Question {
            title: format!("Discard op {}?", op.seq),
            lines,
            yes: "discard it".to_owned(),
            then: Outcome::used().effect(Effect::Outbox { seqs: vec![op.seq], command: OpCommand::Discard }),
        })))
    }

    fn retry_all(&self) -> Outcome {
        let seqs: Vec<Seq> = self.ops.iter().filter(|op| op.state == OpState::Rejected).map(|op| op.seq).collect();
        if seqs.is_empty() {
            return Outcome::used().notice(Severity::Info, "outbox", "No op was rejected");
        }
        Outcome::used().effect(Effect::Outbox { seqs, command: OpCommand::Retry })
    }

    /// Scrolls the inspector by half of its height.
    fn scroll_by(&mut self, down: bool, cx: &Cx<'_>) {
        let half = (cx.room.1 / 2).max(1);
        let most = self.selected().map_or(0, |op| self.inspector_lines(op, cx));
        self.session.scroll = match down {
            true => self.session.scroll.saturating_add(half).min(most.saturating_sub(2 * half)),
            false => self.session.scroll.saturating_sub(half),
        };
    }

    /// How many lines the inspector takes, about: what scrolling ends at.
    fn inspector_lines(&self, op: &Op, cx: &Cx<'_>) -> u16 {
        let long = |value: &serde_json::Value| super::record::pretty(value).lines().count();
        // Beside the list, or below it.
        let (whole, list) = (cx.setup.size.0, cx.room.0);
        let inspector = if whole >= 100 { whole.saturating_sub(list + 4) } else { list };
        let width = usize::from(inspector).saturating_sub(4).max(1);
        let lines = match (self.tab(op), self.plan(op).flatten().and_then(PlanStep::write)) {
            (Tab::Diff, _) if op.kind == OpKind::Update => {
                let values = |change: &Change| change.from.iter().chain(&change.to).map(long).sum::<usize>() + 1;
                20 + op.changes.iter().map(values).sum::<usize>()
            }
            (Tab::Diff, _) => 20 + op.document.iter().chain(&op.base).map(long).sum::<usize>(),
            (Tab::Request, Some(write)) => {
                let body = write.request.body.as_ref().map_or(0, |body| body.len() * 5 / 4 / width);
                18 + write.lookup.iter().count() * 6 + body
            }
            _ => 14,
        };
        u16::try_from(lines).unwrap_or(u16::MAX)
    }

    fn step_tab(&mut self, forward: bool) {
        let Some(op) = self.selected() else { return };
        let tabs = Self::tabs(op);
        let at = tabs.iter().position(|tab| *tab == self.tab(op)).unwrap_or(0);
        let next = (if forward { at + 1 } else { at + tabs.len() - 1 }) % tabs.len();
        self.session.tab = tabs[next];
        self.session.scroll = 0;
    }
}

/// A change on one line: `/role  "editor" -> "admin"`.
pub fn describe(change: &Change) -> String {
    let show = |value: &Option<serde_json::Value>| {
        value.as_ref().map_or_else(|| "nothing".to_owned(), |value| crate::app::tree::preview(value, 40))
    };
    let place = if change.pointer.is_root() { "the record".to_owned() } else { dotted(&change.pointer) };
    format!("{place}  {} -> {}", show(&change.from), show(&change.to))
}

/// A pointer as people write it where nothing needs escaping: `profile.role`.
pub fn dotted(pointer: &crate::model::json::Pointer) -> String {
    pointer.tokens().join(".")
}

impl Pane for Outbox {
    const NAME: PaneName = PaneName::Outbox;
    const VERSION: u16 = 1;
    type Session = OutboxSession;

    fn session(&self) -> OutboxSession {
        self.session.clone()
    }

    fn restore(mut session: OutboxSession, _seen: &Seen<'_>) -> Self {
        session.limit = session.limit.max(PAGE);
        Self { session, ..Self::default() }
    }

    fn needs(&self, _cx: &Cx<'_>) -> Vec<Need> {
        let mut needs = vec![Need::Outbox { after: None, limit: self.session.limit, history: HISTORY }];
        let shown = self.selected().filter(|op| self.tab(op) == Tab::Request);
        needs.extend(self.wants_curl.or(shown.map(|op| op.seq)).map(Need::Plan));
        needs
    }

    fn load(&mut self, need: &Need, found: &Found, cx: &Cx<'_>) -> Outcome {
        if let (Need::Plan(seq), Found::Plan(plan)) = (need, found) {
            self.plan = Some((*seq, plan.clone()));
            return match self.wants_curl.take_if(|wanted| wanted == seq) {
                Some(seq) => curl(seq, plan.as_deref()),
                None => Outcome::used(),
            };
        }
        let Found::Outbox { ops, history, .. } = found else { return Outcome::ignored() };
        let gone = self.session.cursor.filter(|cursor| !ops.iter().chain(history).any(|op| op.seq == *cursor));
        self.ops.clone_from(ops);
        self.history.clone_from(history);
        self.loaded = true;
        let waits = |seq: Seq| ops.iter().any(|op| op.seq == seq);
        self.session.split.take_if(|split| !waits(split.seq));
        if gone.is_some() {
            self.session.cursor = self.selected().map(|op| op.seq);
        }
        if matches!(need, Need::Outbox { limit, .. } if *limit >= self.session.limit)
            && std::mem::take(&mut self.to_last)
        {
            self.go(self.lines(Self::with_history(cx)).len().saturating_sub(1), cx);
        }
        Outcome::used()
    }

    fn handle(&mut self, action: &Action, cx: &Cx<'_>) -> Outcome {
        if let Some(outcome) = self.handle_split(*action, cx) {
            return outcome;
        }
        if cx.full && matches!(action, Action::HalfPageDown | Action::HalfPageUp) {
            self.scroll_by(*action == Action::HalfPageDown, cx);
            return Outcome::used();
        }
        if *action == Action::First {
            self.session.limit = PAGE;
        }
        if *action == Action::Last && self.ops.len() >= self.session.limit {
            (self.session.limit, self.to_last) = (self.session.limit + list::FAR, true);
        }
        let lines = self.lines(Self::with_history(cx));
        let (index, length) = (self.index(&lines), lines.len());
        if let Some(index) = list::step(*action, index, length, Self::page(cx)) {
            self.go(index, cx);
            return Outcome::used();
        }
        match action {
            Action::Open | Action::Expand => Outcome::used().request(Request::Run(Action::Zoom, Some("on".to_owned()))),
            Action::Collapse | Action::Back => Outcome::used().request(Request::Focus(PaneName::Records)),
            Action::RetryOp => self.command(OpCommand::Retry),
            Action::HoldOp => match self.selected().map(|op| op.state) {
                Some(OpState::Held) => self.command(OpCommand::Release),
                _ => self.command(OpCommand::Hold),
            },
            Action::DiscardOp => self.discard(),
            Action::RetryAllFailed => self.retry_all(),
            Action::NextTab => {
                self.step_tab(true);
                Outcome::used()
            }
            Action::PreviousTab => {
                self.step_tab(false);
                Outcome::used()
            }
            Action::NextView => {
                let at = View::ALL.iter().position(|view| *view == self.session.view).unwrap_or(0);
                self.session.view = View::ALL[(at + 1) % View::ALL.len()];
                Outcome::used()
            }
            Action::OpenTarget => match self.selected() {
                Some(op) => Outcome::used().request(Request::OpenRecord(op.record.clone())),
                None => self.command(OpCommand::Hold),
            },
            Action::EditOp => self.edit(),
            Action::SplitOp => self.begin_split(),
            Action::SendOp => self.command(OpCommand::Send),
            Action::CopyCurl => self.copy_curl(),
            Action::ResolveConflict => match self.selected() {
                Some(op) if op.state == OpState::Conflict => {
                    Outcome::used().request(Request::Run(Action::OpenConflicts, Some(op.seq.to_string())))
                }
                _ => Outcome::used().notice(Severity::Info, "outbox", "This op has no conflict"),
            },
            Action::CopyId | Action::CopyPath | Action::CopyJson => match self.selected() {
                Some(op) => Outcome::used().effect(copy(op, *action)),
                None => Outcome::used(),
            },
            _ => Outcome::ignored(),
        }
    }

    fn mouse(&mut self, _column: u16, row: u16, kind: MouseKind, cx: &Cx<'_>) -> Outcome {
        match kind {
            MouseKind::Press if row > 0 => {
                let with_history = Self::with_history(cx);
                let index = self.window(Self::page(cx), with_history).0 + usize::from(row) - 1;
                if index < self.lines(with_history).len() {
                    self.go(index, cx);
                }
                Outcome::used()
            }
            MouseKind::ScrollDown => self.handle(&Action::MoveDown, cx),
            MouseKind::ScrollUp => self.handle(&Action::MoveUp, cx),
            _ => Outcome::ignored(),
        }
    }

    fn commands(&self) -> Vec<Action> {
        if self.splitting().is_some() {
            return vec![Action::Mark, Action::Open, Action::Back, Action::MoveDown];
        }
        let mut commands = vec![Action::MoveDown, Action::Open];
        match self.selected().map(|op| op.state) {
            Some(OpState::Conflict) => commands.extend([Action::ResolveConflict, Action::DiscardOp]),
            Some(state) if state.is_pending() => {
                commands.extend([Action::RetryOp, Action::HoldOp, Action::DiscardOp, Action::EditOp]);
            }
            Some(_) => {}
            None => return vec![Action::NextView],
        }
        commands.extend([Action::NextTab, Action::NextView, Action::OpenTarget]);
        if self.selected().is_some_and(|op| op.state.is_pending()) {
            commands.extend([Action::SendOp, Action::SplitOp]);
        }
        if self.ops.iter().any(|op| op.state == OpState::Rejected) {
            commands.push(Action::RetryAllFailed);
        }
        if self.ops.iter().any(|op| op.state == OpState::Auth) {
            commands.push(Action::ConfirmAuthor);
        }
        commands.extend([Action::CopyCurl, Action::CopyJson, Action::CopyPath, Action::CopyId]);
        commands
    }
}

/// The request of an op onto the clipboard.
fn curl(seq: Seq, plan: Option<&PlanStep>) -> Outcome {
    match plan.and_then(PlanStep::as_curl) {
        Some(text) => Outcome::used().effect(Effect::Copy { text, what: format!("the request of op {seq} for curl") }),
        None => Outcome::used().notice(Severity::Info, "outbox", format!("Nothing will be sent for op {seq}")),
    }
}

fn copy(op: &Op, action: Action) -> Effect {
    let (text, what) = match action {
        Action::CopyId => (op.op_id.to_string(), "the op's id"),
        Action::CopyPath => (format!("{}/{}", op.record.collection, op.record.id), "the record's path"),
        _ => {
            let text = serde_json::to_string_pretty(op).expect("an op is always written");
            (text, "the op as JSON")
        }
    };
    Effect::Copy { text, what: what.to_owned() }
}
