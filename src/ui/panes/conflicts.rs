//! Draws the conflict resolver: both sides' differing fields, the one at the cursor, and what will be sent.

use serde_json::Value;

use crate::{
    app::{
        App,
        geometry::{Area, Place, conflict_split},
        list,
        panes::{
            conflicts::{FieldRow, How},
            outbox::dotted,
            record::pretty,
        },
        tree, words,
    },
    model::conflict::{Conflict, Take},
    ui::{
        canvas::{Border, Canvas},
        panes::{say, select},
        text,
        theme::Role,
    },
};

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    let pane = app.conflicts();
    let Some(conflict) = pane.selected() else {
        canvas.frame(place.area, &Border { title: "Conflicts", focused: true, ..Border::default() });
        let sentence = if pane.is_loaded() { "Nothing is in conflict" } else { "Reading the conflicts" };
        return say(canvas, place.area.inner(), &[sentence, "esc goes back"]);
    };
    let areas = conflict_split(place.area);
    story(app, canvas, areas.story, conflict);
    fields(app, canvas, areas.fields);
    field(app, canvas, areas.field, conflict);
    if areas.result.height > 0 {
        result(app, canvas, areas.result, conflict);
    }
}

fn story(app: &App, canvas: &mut Canvas<'_>, area: Area, conflict: &Conflict) {
    let now = app.now().wall;
    let mine = if conflict.mine.is_some() { "changed" } else { "deleted" };
    let theirs = if conflict.theirs.is_some() { "changed" } else { "deleted" };
    let first = format!(
        "You {mine} this record (op {}). The server {theirs} it meanwhile; noticed {}.",
        conflict.seq,
        words::ago(now, conflict.detected_at)
    );
    let both = app.conflicts().fields().iter().filter(|field| field.how == How::Both).count();
    let doubt = if conflict.was_in_doubt { " An answer was lost: your version may have been there once." } else { "" };
    let second = format!(
        "{} differ, {both} changed on both sides. Nothing is sent until you press w. esc = decide later.{doubt}",
        words::count(app.conflicts().fields().len() as u64, "field", "fields")
    );
    if area.height < 3 {
        let brief = format!("You {mine} it (op {}), the server {theirs} it. w queues your choice.", conflict.seq);
        canvas.put(area.x + 1, area.y, &brief, usize::from(area.width.saturating_sub(2)), Role::Text);
        return;
    }
    canvas.frame(area, &Border { title: "What happened", ..Border::default() });
    let inner = area.inner();
    for (row, line) in (0_u16..).zip([first, second]) {
        let at = inner.row(row);
        canvas.put(at.x + 1, at.y, &line, usize::from(at.width.saturating_sub(2)), Role::Text);
    }
}

fn show(value: Option<&Value>, room: usize) -> String {
    value.map_or_else(|| "(none)".to_owned(), |value| tree::preview(value, room.max(8)))
}

fn name(field: &FieldRow) -> String {
    if field.pointer.is_root() { "the record".to_owned() } else { dotted(&field.pointer) }
}

fn fields(app: &App, canvas: &mut Canvas<'_>, area: Area) {
    let pane = app.conflicts();
    let chosen = pane.chosen();
    let state = match chosen {
        Some(take) => format!("{} chosen, w queues it", take.word()),
        None => "to decide".to_owned(),
    };
    canvas.frame(area, &Border { title: "Fields", bottom_right: &state, focused: true, ..Border::default() });
    let inner = area.inner();
    let rows = pane.fields();
    let cursor = pane.field_index();
    let wide = inner.width >= 80;
    let height = usize::from(inner.height).saturating_sub(usize::from(wide));
    let top = list::view(0, cursor, height, rows.len());
    let widths = if wide { split(usize::from(inner.width)) } else { [usize::from(inner.width) - 14, 0, 10] };
    if wide {
        let at = inner.row(0);
        let mut x = at.x + 4;
        for (title, width) in
            [("FIELD", widths[0]), ("BASE", widths[1]), ("MINE", widths[1]), ("THEIRS", widths[1]), ("HOW", widths[2])]
        {
            canvas.put(x, at.y, title, width, Role::Dim);
            x += u16::try_from(width + 2).unwrap_or(0);
        }
    }
    for (row, (index, field)) in (u16::from(wide)..inner.height).zip(rows.iter().enumerate().skip(top)) {
        let at = inner.row(row);
        let sign = if field.how == How::Both && chosen.is_none() { "!" } else { " " };
        canvas.put(at.x + 1, at.y, sign, 1, Role::Conflict);
        let mut x = at.x + 4;
        canvas.put(x, at.y, &name(field), widths[0], Role::Key);
        x += u16::try_from(widths[0] + 2).unwrap_or(0);
        if wide {
            let (mine, theirs) = match chosen {
                Some(Take::Mine) => (Role::Accent, Role::Dim),
                Some(Take::Theirs) => (Role::Dim, Role::Accent),
                _ => (Role::Text, Role::Text),
            };
            for (value, role) in [(&field.base, Role::Dim), (&field.mine, mine), (&field.theirs, theirs)] {
                canvas.put(x, at.y, &show(value.as_ref(), widths[1]), widths[1], role);
                x += u16::try_from(widths[1] + 2).unwrap_or(0);
            }
            canvas.put(x, at.y, field.how.words(), widths[2], Role::Dim);
        } else {
            let how = match field.how {
                How::Both => "both",
                How::OnlyMine => "mine",
                How::OnlyTheirs => "theirs",
                How::Same => "same",
            };
            canvas.put_right(at.right().saturating_sub(1), at.y, how, 8, Role::Dim);
        }
        if index == cursor {
            select(canvas, at, true);
        }
    }
}

/// Widths of the field name, of each value, and of the last column.
fn split(width: usize) -> [usize; 3] {
    let how = 21;
    let name = (width / 6).clamp(10, 24);
    let value = width.saturating_sub(4 + name + 2 + 6 + how + 1) / 3;
    [name, value, how]
}

fn field(app: &App, canvas: &mut Canvas<'_>, area: Area, conflict: &Conflict) {
    let pane = app.conflicts();
    let Some(field) = pane.fields().get(pane.field_index()) else {
        canvas.frame(area, &Border { title: "Field", ..Border::default() });
        return say(canvas, area.inner(), &["Both sides hold the same document"]);
    };
    let title = name(field);
    canvas.frame(area, &Border { title: &title, ..Border::default() });
    let inner = area.inner();
    let room = usize::from(inner.width.saturating_sub(5));
    let revision = conflict.theirs_revision.as_ref().map(|revision| {
        let short: String = revision.as_str().chars().take(8).collect();
        format!("THEIRS  rev {}", text::line(&short))
    });
    let blocks = [
        ("BASE".to_owned(), field.base.as_ref()),
        (format!("MINE  op {}, you", conflict.seq), field.mine.as_ref()),
        (revision.unwrap_or_else(|| "THEIRS".to_owned()), field.theirs.as_ref()),
    ];
    let mut lines: Vec<(String, Role)> = Vec::new();
    for (title, value) in blocks {
        lines.push((title, Role::Dim));
        let whole = value.map_or_else(|| "(none)".to_owned(), pretty);
        let most = usize::from(inner.height).saturating_sub(8) / 3;
        lines.extend(whole.lines().take(most.max(1)).map(|line| (format!("  {line}"), Role::Text)));
        lines.push((String::new(), Role::Text));
    }
    lines.push(match pane.chosen() {
        Some(take) => (format!("The whole record: {} is chosen", take.word()), Role::Accent),
        None => ("Choose for the whole record:".to_owned(), Role::Text),
    });
    lines.push(("m  mine     t  theirs     w  queue the result".to_owned(), Role::Hint));
    for (row, (line, role)) in (0..inner.height).zip(&lines) {
        let at = inner.row(row);
        canvas.put(at.x + 1, at.y, line, room + 3, *role);
    }
}

fn result(app: &App, canvas: &mut Canvas<'_>, area: Area, conflict: &Conflict) {
    let chosen = app.conflicts().chosen();
    let (title, document) = match chosen {
        Some(Take::Mine) => ("Result: mine, sent again on top of theirs", conflict.mine.as_ref()),
        Some(Take::Theirs) => ("Result: theirs, your change goes to the vault", conflict.theirs.as_ref()),
        _ => ("Result", None),
    };
    let state = if chosen.is_some() { "w queues it" } else { "not decided" };
    canvas.frame(area, &Border { title, bottom_right: state, ..Border::default() });
    let inner = area.inner();
    if chosen.is_none() {
        return say(canvas, inner, &["Choose m or t to see what the record will be"]);
    }
    let whole = document.map_or_else(|| "(the record is deleted)".to_owned(), pretty);
    for (row, line) in (0..inner.height).zip(whole.lines()) {
        let at = inner.row(row);
        canvas.put(at.x + 1, at.y, line, usize::from(at.width.saturating_sub(2)), Role::Text);
    }
}
