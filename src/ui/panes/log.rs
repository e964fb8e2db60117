//! Draws the activity log.

use crate::{
    app::{App, geometry::Place, words},
    model::activity::Severity,
    ui::{
        canvas::{Border, Canvas},
        panes::{say, select},
        text,
        theme::Role,
    },
};

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    let pane = app.log();
    let count = words::count(pane.rows().len() as u64, "entry", "entries");
    canvas.frame(place.area, &Border { title: "Log", bottom_right: &count, focused: true, ..Border::default() });
    let inner = place.area.inner();
    if pane.rows().is_empty() {
        let sentence = if pane.is_loaded() { "Nothing happened yet" } else { "Reading the log" };
        return say(canvas, inner, &[sentence]);
    }
    let list = inner.height.saturating_sub(3);
    let (top, cursor) = pane.window(usize::from(list));
    for (row, (index, (_, activity))) in (0..list).zip(pane.rows().iter().enumerate().skip(top)) {
        let at = inner.row(row);
        let role = match activity.severity {
            Severity::Info => Role::Text,
            Severity::Draft => Role::Draft,
            Severity::Warning => Role::Degraded,
            Severity::Problem => Role::Problem,
        };
        let time = activity.at.clock_time(app.setup().zone_offset);
        let topic = text::pad(&activity.topic, 12, canvas.glyphs);
        let mark = format!("{} ", activity.severity.symbol());
        canvas.pieces(
            crate::app::geometry::Area { x: at.x + 1, width: at.width.saturating_sub(2), ..at },
            &[
                (" ", role),
                (&mark, role),
                (&time, Role::Dim),
                ("  ", role),
                (&topic, Role::Key),
                ("  ", role),
                (&activity.text, role),
            ],
        );
        if index == cursor {
            select(canvas, at, true);
        }
    }
    let Some(selected) = pane.selected() else { return };
    let at = inner.row(list + 1);
    let age = words::ago(app.now().wall, selected.at);
    canvas.put(
        at.x + 1,
        at.y,
        &format!("{}  {age}  {}", selected.severity.word(), selected.text),
        usize::from(at.width.saturating_sub(2)),
        Role::Dim,
    );
    if let Some(hint) = &selected.hint {
        let at = inner.row(list + 2);
        canvas.put(at.x + 1, at.y, hint, usize::from(at.width.saturating_sub(2)), Role::Hint);
    }
}
