//! Drawing of the panes, mirrored by name from `app::panes`.

pub mod collections;
pub mod conflicts;
pub mod connectivity;
pub mod drafts;
pub mod editor;
pub mod goto;
pub mod help;
pub mod history;
pub mod log;
pub mod op;
pub mod outbox;
pub mod palette;
pub mod record;
pub mod records;
pub mod recovery;
pub mod sessions;
pub mod sync;
pub mod vault;
pub mod welcome;

use ratatui::layout::Rect;

use crate::{
    app::{
        App,
        geometry::{Area, Place},
        pane::PaneName,
    },
    model::ids::Revision,
    ui::{
        canvas::Canvas,
        text,
        theme::{Look, Role},
    },
};

/// `rev 18`: revisions are opaque and may be long hashes; the beginning tells two apart. `None` also for an empty one,
/// which says only that there was a version.
fn rev(revision: Option<&Revision>) -> Option<String> {
    let short: String = revision?.as_str().chars().take(8).collect();
    (!short.is_empty()).then(|| format!("rev {}", text::line(&short)))
}

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    match place.pane {
        PaneName::Collections => collections::draw(app, canvas, place),
        PaneName::Records => records::draw(app, canvas, place),
        PaneName::Record => record::draw(app, canvas, place),
        PaneName::Outbox => outbox::draw(app, canvas, place),
        PaneName::Connectivity => connectivity::draw(app, canvas, place),
        PaneName::Sync => sync::draw(app, canvas, place),
        PaneName::Conflicts => conflicts::draw(app, canvas, place),
        PaneName::Editor => draw_editor(app, canvas, place),
        PaneName::Log => log::draw(app, canvas, place),
        PaneName::Help => help::draw(app, canvas, place),
        PaneName::Palette => palette::draw(app, canvas, place),
        PaneName::Goto => goto::draw(app, canvas, place),
        PaneName::Sessions => sessions::draw(app, canvas, place),
        PaneName::Vault => vault::draw(app, canvas, place),
        PaneName::Drafts => drafts::draw(app, canvas, place),
        PaneName::Welcome => welcome::draw(app, canvas, place),
        PaneName::History => history::draw(app, canvas, place),
        PaneName::Recovery => recovery::draw(app, canvas, place),
    }
}

fn draw_editor(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    let look = Look { theme: canvas.theme(), glyphs: canvas.glyphs };
    let area = Rect::new(place.area.x, place.area.y, place.area.width, place.area.height);
    let focused = is_focused(app, PaneName::Editor);
    let cursor = editor::draw(app.editor(), look, focused, area, canvas.buffer());
    if let Some(cursor) = cursor {
        canvas.cursor = Some((cursor.x, cursor.y));
    }
}

/// True where keys go to the pane.
pub fn is_focused(app: &App, pane: PaneName) -> bool {
    app.screen().top() == pane
}

/// A sentence in the middle of an empty pane, broken over lines.
pub fn say(canvas: &mut Canvas<'_>, area: Area, sentences: &[&str]) {
    let room = usize::from(area.width.saturating_sub(4));
    if room < 8 {
        return;
    }
    let mut row = 1.min(area.height.saturating_sub(1));
    for sentence in sentences {
        for line in text::wrap(sentence, room) {
            if row >= area.height {
                return;
            }
            canvas.put(area.x + 2, area.y + row, &line, room, Role::Dim);
            row += 1;
        }
    }
}

/// Marks the row of the cursor: the sign always, reversed where the pane has the focus.
pub fn select(canvas: &mut Canvas<'_>, row: Area, focused: bool) {
    canvas.put(row.x, row.y, ">", 1, Role::Accent);
    if focused {
        canvas.overlay(row, Role::Selected);
    }
}
