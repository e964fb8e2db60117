//! Draws the list of saved screens.

use crate::{
    app::{App, geometry::Place, words},
    ui::{
        canvas::{Border, Canvas},
        panes::{say, select},
        text,
        theme::Role,
    },
};

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    let pane = app.sessions();
    let count = words::count(pane.rows().len() as u64, "session", "sessions");
    canvas.frame(place.area, &Border { title: "Sessions", bottom_right: &count, focused: true, ..Border::default() });
    let inner = place.area.inner();
    if pane.rows().is_empty() {
        let sentence = if pane.is_loaded() { "No screen is saved yet" } else { "Reading the sessions" };
        return say(canvas, inner, &[sentence]);
    }
    for (row, (index, info)) in (0..inner.height).zip(pane.rows().iter().enumerate()) {
        let at = inner.row(row);
        let name = text::pad(info.name.as_str(), 24, canvas.glyphs);
        let state = if info.open { "open" } else { "" };
        let saved = words::ago(app.now().wall, info.saved_at);
        canvas.pieces(
            crate::app::geometry::Area { x: at.x + 2, width: at.width.saturating_sub(2), ..at },
            &[
                (&name, Role::Text),
                (&text::pad(state, 8, canvas.glyphs), Role::Online),
                ("saved ", Role::Dim),
                (&saved, Role::Dim),
            ],
        );
        if index == pane.index() {
            select(canvas, at, true);
        }
    }
}
