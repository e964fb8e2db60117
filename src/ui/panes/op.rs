//! Draws the inspector of one op: what it changes, why it waits, what was sent.

mod request;

use crate::{
    app::{
        App,
        geometry::Area,
        panes::{
            outbox::{Outbox, Tab, dotted, places},
            record::pretty,
        },
        tree::preview,
        words,
    },
    model::op::{Op, OpKind, OpState},
    ui::{
        canvas::{Border, Canvas},
        text,
        theme::Role,
    },
};

type Line = (String, Role);

pub fn draw(app: &App, canvas: &mut Canvas<'_>, area: Area) {
    let Some(op) = app.outbox().selected() else {
        canvas.frame(area, &Border { title: "Op", ..Border::default() });
        return super::say(canvas, area.inner(), &["Nothing is selected"]);
    };
    let title = format!("Op {}  {} {}", op.seq, op.kind.word().to_uppercase(), text::line(&op.record.to_string()));
    let tabs = Outbox::tabs(op);
    let chosen = app.outbox().tab(op);
    let label = |tab: Tab| if tab == chosen { format!("[{}]", tab.word()) } else { tab.word().to_owned() };
    let labels: Vec<String> = tabs.iter().map(|tab| label(*tab)).collect();
    let labels = labels.join("  ");
    let inner = area.inner();
    let room = usize::from(inner.width.saturating_sub(2));
    let lines: Vec<Line> = match chosen {
        Tab::Diff if app.outbox().splitting().is_some() => split(app, op),
        Tab::Diff => diff(app, op, room),
        Tab::Request => request::lines(app, op, room),
        Tab::Attempts => attempts(app, op, room),
        Tab::Depends => depends(app, op),
    };
    // A choice under way keeps its cursor in sight.
    let chosen = app.outbox().splitting().and_then(|split| places(op).iter().position(|place| *place == split.cursor));
    let below = chosen.map_or(0, |line| (line + 4).saturating_sub(usize::from(inner.height.saturating_sub(2))));
    let height = usize::from(inner.height.saturating_sub(2));
    let last = lines.len().saturating_sub(height);
    let from = usize::from(app.outbox().scroll()).max(below).min(last);
    let bottom = bottom(app, tabs.len() > 1, (from > 0, last.saturating_sub(from)));
    canvas.frame(area, &Border { title: &title, bottom_right: &bottom, ..Border::default() });
    let top = inner.row(0);
    canvas.put(top.x + 1, top.y, &labels, usize::from(top.width.saturating_sub(2)), Role::Accent);
    for (row, (line, role)) in (2..inner.height).zip(lines.iter().skip(from)) {
        let at = inner.row(row);
        canvas.put(at.x + 1, at.y, line, room, *role);
    }
}

/// What else there is to see, and the keys for it.
fn bottom(app: &App, several: bool, (above, below): (bool, usize)) -> String {
    use crate::app::{action::Action, command::Scope};
    let key = |action: Action| app.keymap().first_key(action, &[Scope::Outbox, Scope::List, Scope::Global]);
    let mut parts = Vec::new();
    if below > 0 {
        let down = key(Action::HalfPageDown).unwrap_or_default();
        parts.push(format!("{down} more ({})", words::count(below as u64, "line", "lines")));
    }
    if above {
        parts.push(format!("{} up", key(Action::HalfPageUp).unwrap_or_default()));
    }
    if several {
        parts.push("[ ] other tab".to_owned());
    }
    parts.join(", ")
}

/// The fields of the op, to choose those that shall wait.
fn split(app: &App, op: &Op) -> Vec<Line> {
    let mut lines = vec![heading("WHICH FIELDS SHALL WAIT?")];
    let Some(split) = app.outbox().splitting() else { return lines };
    let document = crate::merge::intended(op);
    for place in places(op) {
        let at = if place == split.cursor { '>' } else { ' ' };
        let mark = if split.chosen.contains(&place) { 'x' } else { ' ' };
        let value = document.and_then(|document| place.get(document));
        let value = value.map_or_else(|| "removed".to_owned(), |value| preview(value, 60));
        let role = if at == '>' { Role::Accent } else { Role::Text };
        lines.push((format!("{at} [{mark}] {}  {value}", dotted(&place)), role));
    }
    blank(&mut lines);
    lines.push(plain("  space marks, enter takes the marked fields out"));
    lines.push(plain("  They become an op of their own, held behind the rest"));
    lines
}

fn heading(text: &str) -> Line {
    (text.to_owned(), Role::Title)
}

fn plain(text: impl Into<String>) -> Line {
    (text.into(), Role::Text)
}

fn wrapped(lines: &mut Vec<Line>, text: &str, room: usize, role: Role) {
    for line in text::wrap(text, room.saturating_sub(2)) {
        lines.push((format!("  {line}"), role));
    }
}

fn blank(lines: &mut Vec<Line>) {
    lines.push((String::new(), Role::Text));
}

fn diff(app: &App, op: &Op, room: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    why(app, op, room, &mut lines);
    let what = match (op.kind, op.state) {
        (_, OpState::Acked) => "WHAT WAS CHANGED",
        (OpKind::Create, _) => "WHAT WILL BE SENT (new record)",
        (OpKind::Update, _) => "WHAT CHANGES",
        (OpKind::Delete, _) => "WHAT IS DELETED",
    };
    lines.push(heading(what));
    match (op.kind, &op.document, &op.base) {
        (OpKind::Create, Some(document), _) => document_lines(document, "+", Role::Created, &mut lines),
        (OpKind::Delete, _, Some(base)) => document_lines(base, "-", Role::Deleted, &mut lines),
        _ => changes(op, &mut lines),
    }
    blank(&mut lines);
    lines.push(heading("SAFETY"));
    for line in safety(app, op) {
        wrapped(&mut lines, &line, room, Role::Text);
    }
    blank(&mut lines);
    actions(app, op, &mut lines);
    lines
}

/// Why it does not go on, where it does not.
fn why(app: &App, op: &Op, room: usize, lines: &mut Vec<Line>) {
    let zone = app.setup().zone_offset;
    let said = op.last_error.as_ref().map(|error| match error.status {
        Some(status) => format!("Server said {status}: \"{}\"", error.words().0),
        None => error.words().0.to_owned(),
    });
    let is_own = op.last_error.as_ref().is_some_and(|error| error.words().1);
    let (title, role, rest) = match op.state {
        OpState::Rejected => ("WHY IT STOPPED", Role::Rejected, "This will not fix itself: edit it, or discard it"),
        OpState::Conflict => {
            ("WHY IT STOPPED", Role::Conflict, "The server changed this record too, or deleted it: compare and choose")
        }
        OpState::Blocked => ("WHY IT WAITS", Role::Blocked, "An earlier op of this record has to be settled first"),
        OpState::InDoubt => {
            ("WHY IT WAITS", Role::InDoubt, "It was sent and no answer came: the same request is repeated")
        }
        OpState::Auth => ("WHY IT WAITS", Role::AuthState, "The server wants credentials"),
        OpState::Held => ("WHY IT WAITS", Role::Held, "You hold it back"),
        _ if op.last_error.is_some() => ("LAST PROBLEM", Role::Retrying, ""),
        _ => return,
    };
    lines.push((title.to_owned(), role));
    if let Some(said) = said {
        wrapped(lines, &said, room, Role::Text);
    }
    if !rest.is_empty() {
        wrapped(lines, rest, room, Role::Text);
    }
    if is_own {
        wrapped(lines, "Other changes go through: only this one waits, a little longer each time", room, Role::Text);
    }
    if let Some(next) = op.next_attempt_at.filter(|_| op.state == OpState::Queued) {
        lines.push(plain(format!("  Next try at {}", next.clock_time(zone))));
    }
    blank(lines);
}

fn document_lines(document: &serde_json::Value, sign: &str, role: Role, lines: &mut Vec<Line>) {
    for line in pretty(document).lines().take(200) {
        lines.push((format!("  {sign} {line}"), role));
    }
}

fn changes(op: &Op, lines: &mut Vec<Line>) {
    for change in &op.changes {
        let place = if change.pointer.is_root() { "the record".to_owned() } else { dotted(&change.pointer) };
        lines.push((format!("  {place}"), Role::Key));
        if let Some(from) = &change.from {
            value_lines(from, "-", Role::Deleted, lines);
        }
        if let Some(to) = &change.to {
            value_lines(to, "+", Role::Created, lines);
        }
    }
}

fn value_lines(value: &serde_json::Value, sign: &str, role: Role, lines: &mut Vec<Line>) {
    let whole = value.to_string();
    if text::width(&whole) <= 60 {
        lines.push((format!("    {sign} {whole}"), role));
        return;
    }
    for line in pretty(value).lines().take(60) {
        lines.push((format!("    {sign} {line}"), role));
    }
}

fn safety(app: &App, op: &Op) -> Vec<String> {
    let mut lines = vec![format!("op id {}", op.op_id)];
    lines.push(match (&op.base_revision, op.kind) {
        (_, OpKind::Create) => match op.after {
            Some(after) => format!("made behind op {after}: it goes together with that, or after it"),
            None => "made where nothing was: it cannot overwrite".to_owned(),
        },
        (Some(revision), _) => format!("made on revision {revision}"),
        (None, _) => "the revision is looked up before it is sent".to_owned(),
    });
    let behind = app.outbox().ops().iter().filter(|other| other.record == op.record && other.seq > op.seq).count();
    if op.is_old(app.now().wall) {
        let made = words::ago(app.now().wall, op.created_at);
        lines.push(format!("old: made {made}; it waits as long as it takes, nothing is dropped"));
    }
    lines.push(match behind {
        0 => "nothing else waits behind it".to_owned(),
        many => format!("{} of the same record behind it", words::count(many as u64, "op", "ops")),
    });
    lines
}

fn actions(app: &App, op: &Op, lines: &mut Vec<Line>) {
    if !op.state.is_pending() {
        return;
    }
    use crate::app::action::Action;
    lines.push(heading("ACTIONS"));
    let offered: &[Action] = match op.state {
        OpState::Conflict => &[Action::ResolveConflict, Action::DiscardOp, Action::OpenTarget],
        state if state.may_be_applied() => &[Action::OpenTarget],
        _ => &[
            Action::EditOp,
            Action::RetryOp,
            Action::SendOp,
            Action::HoldOp,
            Action::SplitOp,
            Action::DiscardOp,
            Action::OpenTarget,
            Action::CopyCurl,
            Action::CopyJson,
        ],
    };
    let scopes = [crate::app::command::Scope::Outbox, crate::app::command::Scope::Global];
    for action in offered {
        if let Some(key) = app.keymap().first_key(*action, &scopes) {
            lines.push(plain(format!("  {key:<5}{}", action.command().title)));
        }
    }
}

fn attempts(app: &App, op: &Op, room: usize) -> Vec<Line> {
    let zone = app.setup().zone_offset;
    let mut lines = vec![heading("ATTEMPTS")];
    lines.push(plain(format!("  made {}", words::ago(app.now().wall, op.created_at))));
    lines.push(plain(format!("  {}", words::count(u64::from(op.attempts), "try", "tries"))));
    if let Some(sent) = op.sent_at {
        lines.push(plain(format!("  last sent at {}", sent.clock_time(zone))));
    }
    if let Some(settled) = op.settled_at {
        lines.push(plain(format!("  settled at {}", settled.clock_time(zone))));
    }
    if let Some(next) = op.next_attempt_at.filter(|_| op.state.is_pending()) {
        lines.push(plain(format!("  next try at {}", next.clock_time(zone))));
    }
    if op.was_in_doubt {
        wrapped(&mut lines, "it was in doubt once: an answer was lost", room, Role::InDoubt);
    }
    if let Some(error) = &op.last_error {
        blank(&mut lines);
        lines.push(heading("LAST PROBLEM"));
        let status = error.status.map(|status| format!("{status} ")).unwrap_or_default();
        wrapped(&mut lines, &format!("{} {status}{}", error.at.clock_time(zone), error.message), room, Role::Text);
    }
    lines
}

fn depends(app: &App, op: &Op) -> Vec<Line> {
    let mut lines = vec![heading("DEPENDS ON")];
    let Some(after) = op.after else { return lines };
    let earlier = app.outbox().ops().iter().find(|other| other.seq == after);
    lines.push(match earlier {
        Some(other) => plain(format!("  op {} {} {}", other.seq, other.kind.word(), other.state.label())),
        None => plain(format!("  op {after}, settled")),
    });
    lines.push(plain("  edits of one record are sent in the order they were made"));
    lines
}
