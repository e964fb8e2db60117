//! Draws a frame from the app's state. A pure function: nothing here decides, loads or remembers.

pub mod canvas;
pub mod chrome;
pub mod panes;
pub mod text;
pub mod theme;
pub mod volatile;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use ratatui::Frame;

use crate::app::{App, geometry::Class};
use canvas::Canvas;
use theme::Theme;

/// Draws the whole screen, down to the "too small" one.
pub fn draw(app: &App, frame: &mut Frame<'_>) {
    let theme = theme(&app.setup().settings.theme, app.setup().no_color);
    let area = frame.area();
    let mut canvas = Canvas::new(frame.buffer_mut(), &theme, app.setup().settings.glyphs);
    if (area.width, area.height) == app.setup().size {
        screen(app, &mut canvas);
    } else {
        // The terminal was resized and the app is about to hear of it: draw for the size that is there.
        let mut resized = app.clone();
        let event = crate::app::event::Event::Resized { columns: area.width, rows: area.height };
        let at = *app.now();
        resized.handle(&at, event);
        screen(&resized, &mut canvas);
    }
    if let Some(cursor) = canvas.cursor {
        frame.set_cursor_position(cursor);
    }
}

fn screen(app: &App, canvas: &mut Canvas<'_>) {
    let layout = app.layout();
    let whole = crate::app::geometry::Area::new(0, 0, layout.size.0, layout.size.1);
    canvas.clear(whole);
    if layout.class == Class::TooSmall {
        return chrome::too_small(app, canvas, whole);
    }
    chrome::header(app, canvas, layout.header);
    for place in &layout.places {
        if place.form == crate::app::geometry::Form::Popup {
            canvas.clear(place.area);
            canvas.cursor = None;
        }
        panes::draw(app, canvas, place);
    }
    chrome::message(app, canvas, layout.message);
    chrome::hints(app, canvas, layout.hints);
    chrome::continuations(app, canvas, layout.body);
    chrome::question(app, canvas, layout.body);
}

/// The theme by name, read once. A name that is not known (the configuration reports it) is the default.
fn theme(name: &str, no_color: bool) -> Arc<Theme> {
    static READ: Mutex<BTreeMap<(String, bool), Arc<Theme>>> = Mutex::new(BTreeMap::new());
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(theme) = read.get(&(name.to_owned(), no_color)) {
        return Arc::clone(theme);
    }
    let load = |name: &str| Theme::load(name, no_color);
    let theme = Arc::new(load(name).or_else(|_| load("default")).unwrap_or_default());
    read.insert((name.to_owned(), no_color), Arc::clone(&theme));
    theme
}
