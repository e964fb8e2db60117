//! Draws what is said where the saved screen could not be used.

use crate::{
    app::{
        App,
        geometry::{Area, Place, centred},
        panes::recovery::Why,
        words,
    },
    ui::{
        canvas::{Border, Canvas},
        text,
        theme::Role,
    },
};

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    let pane = app.recovery();
    let Some(why) = pane.why() else { return };
    let (title, first) = match why {
        Why::Damaged { names, saved_at } => {
            let when = saved_at.map(|at| format!(" from {}", at.clock_time(app.setup().zone_offset)));
            let text = format!(
                "The saved screen{} is damaged ({}), so ebbtide opened fresh.",
                when.unwrap_or_default(),
                names.join(", ")
            );
            ("Your last screen could not be read", text)
        }
        Why::Failing { starts, .. } => {
            let text = format!(
                "The last {starts} starts ended before they showed anything, so the saved screen was set aside and \
                 ebbtide opened fresh."
            );
            ("Your last screen was set aside", text)
        }
    };
    let queued = words::count(app.world().counts.pending(), "queued change", "queued changes");
    let drafts = words::count(pane.drafts() as u64, "draft", "drafts");
    let second = format!("Your edits are not affected: {queued} and {drafts} are all here.");
    let width = place.area.width.min(84);
    let room = usize::from(width.saturating_sub(6));
    let mut lines: Vec<String> = text::wrap(&first, room);
    lines.extend(text::wrap(&second, room));
    let height = u16::try_from(lines.len()).unwrap_or(4) + 8;
    let area = if place.area.width > 90 { centred(place.area, width, height) } else { place.area };
    canvas.frame(area, &Border { title, focused: true, ..Border::default() });
    let inner = area.inner();
    let mut row = 1;
    for line in &lines {
        let at = inner.row(row);
        canvas.put(at.x + 2, at.y, line, room, Role::Text);
        row += 1;
    }
    row += 1;
    let good = pane.good().map(|moment| {
        let when = words::day_and_time(app.now().wall, moment.when(), app.setup().zone_offset);
        format!("use the previous good screen ({when})")
    });
    let nothing = if pane.is_loaded() { "no earlier screen is kept" } else { "reading the earlier screens" };
    let choices = [
        ("enter", "go on with a fresh screen", true),
        ("p", good.as_deref().unwrap_or(nothing), good.is_some()),
        ("o", "show where the unusable copy is kept", true),
    ];
    for (key, what, works) in choices {
        let at = inner.row(row);
        let role = if works { Role::Text } else { Role::Dim };
        let key = text::pad(key, 8, canvas.glyphs);
        let line = Area::new(at.x + 2, at.y, at.width.saturating_sub(3), at.height);
        canvas.pieces(line, &[(&key, Role::HintKey), (what, role)]);
        row += 1;
    }
}
