//! Draws the list of saved screens.

use crate::{
    app::{
        App,
        geometry::{Area, Place},
        words,
    },
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
    let mut inner = place.area.inner();
    if let Some(naming) = pane.naming() {
        let at = inner.row(inner.height.saturating_sub(1));
        inner.height = inner.height.saturating_sub(2);
        let label = format!("{}: ", naming.purpose.label());
        let used = canvas.put(at.x + 1, at.y, &label, usize::from(at.width / 2), Role::Accent);
        let x = at.x + 1 + used;
        canvas.input(x, at.y, usize::from(at.right().saturating_sub(x + 1)), &naming.text, true);
    }
    if pane.rows().is_empty() {
        let sentence = if pane.is_loaded() { "No screen is saved yet" } else { "Reading the sessions" };
        return say(canvas, inner, &[sentence]);
    }
    let widest = pane.rows().iter().map(|info| text::width(info.name.as_str())).max().unwrap_or(4);
    let name = widest.clamp(12, usize::from(inner.width).saturating_sub(48).max(12));
    let columns = |at: Area| Area { x: at.x + 2, width: at.width.saturating_sub(3), ..at };
    let heading = format!("{}  STATE         SAVED        HISTORY", text::pad("NAME", name, canvas.glyphs));
    canvas.pieces(columns(inner.row(0)), &[(&heading, Role::Dim)]);
    let height = usize::from(inner.height.saturating_sub(1));
    let top = crate::app::list::view(0, pane.index(), height, pane.rows().len());
    for (row, (index, info)) in (1..inner.height).zip(pane.rows().iter().enumerate().skip(top)) {
        let at = inner.row(row);
        let (state, role) = match (info.name == app.setup().session, info.open) {
            (true, _) => ("this one", Role::Online),
            (false, true) => ("open", Role::Degraded),
            (false, false) => ("", Role::Text),
        };
        let moments = match info.moments {
            0 => String::new(),
            many => words::count(many as u64, "moment", "moments"),
        };
        canvas.pieces(
            columns(at),
            &[
                (&text::pad(info.name.as_str(), name, canvas.glyphs), Role::Text),
                ("  ", Role::Text),
                (&text::pad(state, 14, canvas.glyphs), role),
                (&text::pad(&words::ago(app.now().wall, info.saved_at), 13, canvas.glyphs), Role::Dim),
                (&moments, Role::Dim),
            ],
        );
        if index == pane.index() {
            select(canvas, at, pane.naming().is_none());
        }
    }
}
