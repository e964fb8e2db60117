//! Draws the first start.

use crate::{
    app::{
        App,
        geometry::{Area, Place, centred},
        panes::welcome::Choice,
    },
    ui::{
        canvas::{Border, Canvas},
        text,
        theme::Role,
    },
};

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    let area = if place.area.width > 90 { centred(place.area, 84, 26) } else { place.area };
    canvas.frame(area, &Border { title: "First start", focused: true, ..Border::default() });
    let inner = area.inner();
    let mut row = u16::from(inner.height > 22);
    let mut line = |canvas: &mut Canvas<'_>, pieces: &[(&str, Role)]| {
        let at = inner.row(row);
        canvas.pieces(Area { x: at.x + 2, width: at.width.saturating_sub(3), ..at }, pieces);
        row += 1;
    };
    line(canvas, &[("Work on JSON collections with or without a network.", Role::Text)]);
    line(canvas, &[("Everything you do is saved on this computer first, then sent.", Role::Text)]);
    line(canvas, &[("", Role::Text)]);
    line(canvas, &[("How do you want to start?", Role::Title)]);
    for (number, choice) in Choice::ALL.into_iter().enumerate() {
        let chosen = app.welcome().choice() == choice;
        let sign = format!("{} {}  ", if chosen { ">" } else { " " }, number + 1);
        let title = text::pad(choice.title(), 29, canvas.glyphs);
        let role = if chosen { Role::Accent } else { Role::Text };
        line(canvas, &[(&sign, role), (&title, role), (choice.help(), Role::Dim)]);
        if chosen {
            line(canvas, &[("       ", Role::Text), (choice.line(), Role::HintKey)]);
        }
    }
    line(canvas, &[("", Role::Text)]);
    line(canvas, &[("Four things worth knowing", Role::Title)]);
    let knowing = [
        ("?", "help for the pane you are in"),
        (":", "every command, searchable"),
        ("4", "the outbox: what waits to go out, and what needs you"),
        ("q", "quit any time: you come back to the same screen"),
    ];
    for (key, what) in knowing {
        line(canvas, &[("  ", Role::Text), (key, Role::HintKey), ("   ", Role::Text), (what, Role::Text)]);
    }
    line(canvas, &[("", Role::Text)]);
    if !app.setup().places.is_empty() {
        line(canvas, &[("Where things are kept", Role::Title)]);
        for (what, path) in &app.setup().places {
            let what = text::pad(what, 11, canvas.glyphs);
            line(canvas, &[("  ", Role::Text), (&what, Role::Dim), (path, Role::Text)]);
        }
    }
}
