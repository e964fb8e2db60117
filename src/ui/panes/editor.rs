//! Draws the JSON editor.

use crate::{
    app::{
        App,
        geometry::{Area, Place},
    },
    ui::{
        canvas::{Border, Canvas},
        panes::say,
    },
};

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    let _ = app;
    canvas.frame(place.area, &Border { title: "JSON", focused: true, ..Border::default() });
    say(canvas, place.area.inner(), &["Nothing is being edited"]);
}

pub fn draw_field(app: &App, canvas: &mut Canvas<'_>, area: Area) {
    let _ = (app, canvas, area);
}
