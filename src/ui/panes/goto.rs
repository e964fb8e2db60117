//! Draws the small prompt.

use crate::{
    app::{App, geometry::Place, pane::PaneName, panes::goto::Ask, words},
    ui::{
        canvas::{Border, Canvas},
        panes::select,
        theme::Role,
    },
};

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    let pane = app.goto();
    let title = match pane.ask() {
        Ask::Anywhere => "Go to".to_owned(),
        Ask::Collection => "Go to a collection".to_owned(),
        Ask::Record(key) => format!("Go to a record of {}", key.collection),
    };
    let below = if matches!(pane.ask(), Ask::Record(_)) {
        "enter goes on  esc closes"
    } else {
        "enter goes on  tab completes  esc closes"
    };
    canvas.frame(place.area, &Border { title: &title, bottom_right: below, focused: true, ..Border::default() });
    let inner = place.area.inner();
    let line = inner.row(0);
    let label = match pane.ask() {
        Ask::Record(_) => "Id:",
        _ => "To:",
    };
    canvas.put(line.x + 1, line.y, label, 3, Role::Dim);
    canvas.input(line.x + 5, line.y, usize::from(line.width.saturating_sub(6)), pane.input_line(), true);
    let at = inner.row(2);
    let room = usize::from(at.width.saturating_sub(2));
    match pane.ask() {
        Ask::Record(_) => {
            canvas.put(at.x + 1, at.y, "The record with this id, or the next one", room, Role::Dim);
        }
        Ask::Anywhere | Ask::Collection => {
            let choices = pane.choices(&app.cx(PaneName::Goto));
            let cursor = pane.index(&choices);
            if choices.is_empty() {
                canvas.put(at.x + 1, at.y, "No collection fits", room, Role::Dim);
            }
            for (row, (index, key)) in (2..inner.height).zip(choices.iter().enumerate()) {
                let at = inner.row(row);
                let count = app.world().overview_of(key).map(|overview| words::grouped(overview.records));
                let from =
                    canvas.put_right(at.right().saturating_sub(1), at.y, &count.unwrap_or_default(), 14, Role::Dim);
                canvas.put(at.x + 2, at.y, &key.to_string(), usize::from(from.saturating_sub(at.x + 4)), Role::Text);
                if index == cursor {
                    select(canvas, at, true);
                }
            }
        }
    }
}
