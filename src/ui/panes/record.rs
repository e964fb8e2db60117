//! Draws the record pane: the tree, what was there before, and where the record stands.

use crate::{
    app::{
        App,
        geometry::{Area, Form, Place},
        pane::PaneName,
        tree::{Change, Kind, TreeRow},
        words,
    },
    model::{
        draft::DraftTarget,
        op::{Op, OpKind, OpState},
        record::RecordView,
    },
    ui::{
        canvas::{Border, Canvas},
        panes::{is_focused, rev, say, select},
        text,
        theme::Role,
    },
};

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    let pane = app.record();
    let focused = is_focused(app, PaneName::Record) || (app.screen().in_place && is_focused(app, PaneName::Editor));
    let inner = place.area.inner();
    let id = pane.view().map_or_else(String::new, |view| format!(" {}", text::line(&view.key.id.0)));
    let title = if pane.shows_server_copy() { format!("3 Server copy{id}") } else { format!("3 Record{id}") };
    let standing = pane.view().map(standing).unwrap_or_default();
    let zoomed = if place.form == Form::Full { "zoomed, z goes back" } else { "" };
    let height = pane.tree_height(inner.size());
    let (top, cursor) = pane.window(height);
    let border = Border { title: &title, title_right: zoomed, bottom_right: &standing, focused, ..Border::default() };
    let bottom_left = if pane.goes_on(top, height) { "more below" } else { "" };
    canvas.frame(place.area, &Border { bottom_left, ..border });
    let Some(view) = pane.view() else {
        let sentence = if pane.wanted().is_some() { "Reading the record" } else { "No record is selected" };
        return say(canvas, inner, &[sentence]);
    };
    if pane.document().is_none() {
        return say(canvas, inner, &["This record does not exist (any more)"]);
    }
    let rows = pane.rows(top, height);
    let column = value_column(&rows, usize::from(inner.width));
    for (line, (offset, row)) in (0..inner.height).zip(rows.iter().enumerate()) {
        let line = inner.row(line);
        tree_row(canvas, line, row, column, view);
        if top + offset == cursor && focused {
            select(canvas, line, focused);
        }
    }
    if rows.is_empty() {
        canvas.put(inner.x + 4, inner.y, "{}", 2, Role::Dim);
    }
    let below = usize::from(inner.height).saturating_sub(height);
    let room = usize::from(inner.width.saturating_sub(2));
    let notes: Vec<(String, Role)> = notes(app, view)
        .into_iter()
        .flat_map(|(note, role)| text::wrap(&note, room).into_iter().map(move |line| (line, role)))
        .collect();
    let from = inner.height.saturating_sub(u16::try_from(below.saturating_sub(1)).unwrap_or(0));
    for (row, (note, role)) in (from..inner.height).zip(&notes) {
        let line = inner.row(row);
        canvas.put(line.x + 1, line.y, note, room, *role);
    }
}

/// Where the values begin, in cells from the left.
fn value_column(rows: &[TreeRow], width: usize) -> usize {
    let widest = rows.iter().map(|row| 4 + 2 * row.depth + text::width(&row.name) + 2).max().unwrap_or(8);
    widest.min((width / 2).max(8))
}

fn tree_row(canvas: &mut Canvas<'_>, line: Area, row: &TreeRow, column: usize, view: &RecordView) {
    let has_draft = view.heads.iter().any(|head| head.key.target == DraftTarget::Field(row.pointer.clone()));
    let (mark, role) = match row.change {
        _ if has_draft => ("~", Role::Draft),
        Change::None => (" ", Role::Text),
        Change::Changed => ("M", Role::Changed),
        Change::Added => ("+", Role::Created),
        Change::Removed => ("-", Role::Deleted),
    };
    canvas.put(line.x + 1, line.y, mark, 1, role);
    let indent = u16::try_from(2 * row.depth).unwrap_or(0).min(line.width / 2);
    let sign = match row.folded {
        Some(true) => canvas.signs().folded,
        Some(false) => canvas.signs().unfolded,
        None => " ",
    };
    let at = line.x + 2 + indent;
    canvas.put(at, line.y, sign, 1, Role::Dim);
    let name_room = column.saturating_sub(usize::from(indent) + 5).max(1);
    let name = if row.change == Change::Removed { Role::Deleted } else { Role::Key };
    canvas.put(at + 2, line.y, &row.name, name_room, name);
    let x = line.x + u16::try_from(column).unwrap_or(0);
    let mut room = usize::from(line.right().saturating_sub(x + 1));
    if let Some(was) = &row.was {
        let was = format!("was {was}");
        let free = room.saturating_sub(text::width(&row.value).min(room / 2) + 2);
        if free >= 7 {
            let from = canvas.put_right(line.right().saturating_sub(1), line.y, &was, free, Role::Dim);
            room = usize::from(from.saturating_sub(x + 2));
        }
    }
    let role = match row.kind {
        _ if row.change == Change::Removed => Role::Deleted,
        Kind::Object | Kind::Array => Role::Dim,
        Kind::String => Role::String,
        Kind::Number => Role::Number,
        Kind::Literal => Role::Literal,
    };
    canvas.put(x, line.y, &row.value, room, role);
}

/// `rev 18 | op 118 queued`
fn standing(view: &RecordView) -> String {
    let mut parts = Vec::from_iter(view.base.as_ref().and_then(|base| rev(base.revision.as_ref())));
    match view.ops.as_slice() {
        [] => {}
        [op] => parts.push(format!("op {} {}", op.seq, op.state.label())),
        [first, rest @ ..] => parts.push(format!("op {} {} +{}", first.seq, first.state.label(), rest.len())),
    }
    parts.join(" | ")
}

/// Up to three sentences about where the record stands.
fn notes(app: &App, view: &RecordView) -> Vec<(String, Role)> {
    let mut notes = Vec::new();
    if app.world().saving.values().any(|saving| saving.record == view.key) {
        notes.push(("Saving your change".to_owned(), Role::Text));
    }
    let was_deleted = view.conflict.as_ref().is_some_and(|conflict| conflict.theirs.is_none());
    match view.ops.last() {
        Some(op) if op.state == OpState::Conflict && was_deleted => {
            notes.push(("The server deleted it: c decides".to_owned(), Role::Conflict));
        }
        Some(op) => notes.push(op_note(op)),
        None => {}
    }
    if view.heads.iter().any(|head| !matches!(head.key.target, DraftTarget::Field(_))) {
        notes.push(("A draft of it is kept: e continues it".to_owned(), Role::Draft));
    }
    match &view.base {
        Some(base) => {
            let ago = words::ago(app.now().wall, base.received_at);
            notes.push((format!("Server copy received {ago}"), Role::Dim));
        }
        None if was_deleted || view.ops.first().is_some_and(|op| op.kind != OpKind::Create) => {
            notes.push(("The server does not have it any more".to_owned(), Role::Dim));
        }
        None => notes.push(("The server does not have it yet".to_owned(), Role::Dim)),
    }
    notes.truncate(3);
    notes
}

fn op_note(op: &Op) -> (String, Role) {
    let what = match op.kind {
        OpKind::Create => "record",
        OpKind::Update => "change",
        OpKind::Delete => "deletion",
    };
    match op.state {
        OpState::Queued => (format!("Your {what} is queued and safe on disk"), Role::Changed),
        OpState::Held => (format!("Your {what} is held by you"), Role::Held),
        OpState::Blocked => (format!("Your {what} waits for an earlier one"), Role::Blocked),
        OpState::InFlight => (format!("Your {what} is being sent"), Role::Sending),
        OpState::InDoubt => (format!("Your {what} was sent, no answer came: it is repeated"), Role::InDoubt),
        OpState::Auth => (format!("Your {what} waits for credentials"), Role::AuthState),
        OpState::Conflict => ("The server changed it too: c compares".to_owned(), Role::Conflict),
        OpState::Rejected => {
            let why = op.last_error.as_ref().map(|error| error.message.as_str()).unwrap_or_default();
            (format!("Rejected: {why}"), Role::Rejected)
        }
        OpState::Acked | OpState::Superseded | OpState::Discarded => (format!("Your {what} is settled"), Role::Sent),
    }
}
