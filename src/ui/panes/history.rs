//! Draws the history: a track with a tick per moment, when and where the chosen one was, and its screen.

use ratatui::{buffer::Buffer, layout::Rect};

use crate::{
    app::{
        App,
        geometry::{Area, Place},
        panes::history::STRIP,
        words,
    },
    model::time::Timestamp,
    ui::{
        self,
        canvas::{Border, Canvas},
        panes::say,
        theme::Role,
    },
};

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    let pane = app.history();
    let count = match pane.moments().len() {
        0 => String::new(),
        many => format!("{} of {many}", pane.index() + 1),
    };
    let title = "History: where was I?";
    canvas.frame(place.area, &Border { title, bottom_right: &count, focused: true, ..Border::default() });
    let inner = place.area.inner();
    let Some(moment) = pane.selected() else {
        let sentences: &[&str] = match pane.is_loaded() {
            false => &["Reading the history"],
            true => &[
                "No earlier screen is kept yet",
                "One is kept at each start, before each pause, and every ten minutes of use",
            ],
        };
        return say(canvas, inner, sentences);
    };
    track(app, canvas, inner.row(0));
    let now = app.now().wall;
    let when = words::day_and_time(now, moment.when(), app.setup().zone_offset);
    let about = format!("  {}, {}", words::ago(now, moment.when()), moment.kind.label());
    let at = inner.row(1);
    let line = Area::new(at.x + 1, at.y, at.width.saturating_sub(2), 1);
    canvas.pieces(line, &[(&when, Role::Title), (&about, Role::Dim)]);
    let Some(preview) = pane.preview() else { return };
    let at = inner.row(2);
    canvas.put(at.x + 1, at.y, &place_of(preview), usize::from(at.width.saturating_sub(2)), Role::Accent);
    let below = inner.height.saturating_sub(STRIP);
    screen(preview, canvas, Area::new(inner.x, inner.y + STRIP.min(inner.height), inner.width, below));
}

/// `3d ├──┼──┼───●───┼──┤ now`: the oldest at the left, each moment a tick.
fn track(app: &App, canvas: &mut Canvas<'_>, row: Area) {
    let pane = app.history();
    let (count, chosen) = (pane.moments().len(), pane.index());
    let oldest = pane.moments().last().map_or(Timestamp(0), |moment| moment.when());
    let left = words::age_of(app.now().wall, oldest);
    let x = row.x + 1 + canvas.put(row.x + 1, row.y, &left, 8, Role::Dim) + 1;
    let end = row.right().saturating_sub(6);
    canvas.put(end + 1, row.y, "now", 4, Role::Dim);
    let width = usize::from(end.saturating_sub(x));
    if width < 3 {
        return;
    }
    let signs = canvas.signs();
    let column = |index: usize| if count < 2 { width - 1 } else { (count - 1 - index) * (width - 1) / (count - 1) };
    let mut cells = vec![signs.border[0]; width];
    (0..count).for_each(|index| cells[column(index)] = signs.tick);
    canvas.put(x, row.y, &cells.concat(), width, Role::Dim);
    let at = u16::try_from(column(chosen)).unwrap_or(0);
    canvas.put(x + at, row.y, signs.knob, 1, Role::Accent);
}

/// `acme-prod > users > u_00042, filter role:admin, in the editor`
fn place_of(app: &App) -> String {
    let mut words = Vec::new();
    if let Some(key) = app.collection() {
        let record = app.record().wanted().map(|record| format!(" > {}", record.id)).unwrap_or_default();
        words.push(format!("{} > {}{record}", key.source, key.collection));
    }
    let filter = app.records().view().filter.text();
    if !filter.is_empty() {
        words.push(format!("filter {filter}"));
    }
    if let Some(pane) = app.screen().overlays.last() {
        words.push(format!("in {}", pane.title()));
    } else if app.screen().zoom {
        words.push(format!("{} zoomed", app.screen().focus.title()));
    }
    words.join(", ")
}

/// Another app's whole screen, laid into an area.
fn screen(app: &App, canvas: &mut Canvas<'_>, area: Area) {
    if area.size() != app.setup().size || area.width == 0 || area.height == 0 {
        return;
    }
    let mut buffer = Buffer::empty(Rect::new(0, 0, area.width, area.height));
    let mut own = Canvas::new(&mut buffer, canvas.theme(), canvas.glyphs);
    ui::screen(app, &mut own);
    if crate::app::geometry::Class::of(area.size()) == crate::app::geometry::Class::TooSmall {
        let sentence = "This window is too small for a preview; enter still goes back there";
        return say(canvas, area, &[sentence]);
    }
    let target = canvas.buffer();
    for y in 0..area.height {
        for x in 0..area.width {
            if let (Some(to), Some(from)) = (target.cell_mut((area.x + x, area.y + y)), buffer.cell((x, y))) {
                to.clone_from(from);
            }
        }
    }
}
