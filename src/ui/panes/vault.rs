//! Draws the vault: the kept versions above, the one at the cursor below.

use serde_json::Value;

use crate::{
    app::{
        App,
        geometry::{Area, Place, vault_split},
        panes::{
            drafts::{Preview, what},
            outbox::dotted,
            record::pretty,
            vault::{Tab, text_of},
        },
        tree, words,
    },
    model::{
        draft::Draft,
        edit::diff,
        vault::{Kept, KeptVersion},
    },
    ui::{
        canvas::{Border, Canvas},
        panes::{rev, say, select},
        text,
        theme::Role,
    },
};

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    let (list, version) = vault_split(place.area);
    entries(app, canvas, list);
    one(app, canvas, version);
}

fn entries(app: &App, canvas: &mut Canvas<'_>, area: Area) {
    let pane = app.vault();
    let count = words::count(pane.entries().len() as u64, "version", "versions");
    let border = Border { title: "Vault", bottom_right: &count, focused: true, ..Border::default() };
    canvas.frame(area, &border);
    let mut inner = area.inner();
    if pane.shows_filter() {
        let at = inner.row(0);
        canvas.put(at.x + 1, at.y, "FILTER", 6, Role::Accent);
        let room = usize::from(at.width.saturating_sub(22));
        canvas.input(at.x + 8, at.y, room, pane.filter(), app.takes_text());
        canvas.put_right(at.right().saturating_sub(1), at.y, "esc clears", 10, Role::Hint);
        inner = Area::new(inner.x, inner.y + 1, inner.width, inner.height.saturating_sub(1));
    }
    if pane.entries().is_empty() {
        let sentences: &[&str] = match (pane.is_loaded(), pane.filter().is_empty()) {
            (false, _) => &["Reading the vault"],
            (true, false) => &["No kept version matches"],
            (true, true) => {
                &["Nothing lost yet", "Versions that are discarded, overwritten or gone on the server are kept here"]
            }
        };
        return say(canvas, inner, sentences);
    }
    let heading = inner.row(0);
    let room = usize::from(heading.width.saturating_sub(3));
    let line = format!("{:>5}  {:<19}{:>5}  {}", "NO.", "WHY", "WHEN", "RECORD");
    canvas.put(heading.x + 2, heading.y, &line, room, Role::Dim);
    let (top, cursor) = pane.window(usize::from(inner.height.saturating_sub(1)));
    for (row, (index, entry)) in (1..inner.height).zip(pane.entries().iter().enumerate().skip(top)) {
        let at = inner.row(row);
        let age = words::age_of(app.now().wall, entry.at);
        canvas.pieces(
            Area::new(at.x + 2, at.y, at.width.saturating_sub(3), 1),
            &[
                (&format!("{:>5}  ", entry.id), Role::Dim),
                (&text::pad(entry.reason.label(), 19, canvas.glyphs), Role::Text),
                (&format!("{}  ", text::pad_left(&age, 5, canvas.glyphs)), Role::Dim),
                (&entry.record.to_string(), Role::Key),
            ],
        );
        if index == cursor {
            select(canvas, at, true);
        }
    }
}

fn one(app: &App, canvas: &mut Canvas<'_>, area: Area) {
    let pane = app.vault();
    let Some(entry) = pane.selected() else {
        return canvas.frame(area, &Border { title: "Version", ..Border::default() });
    };
    let revision = rev(entry.revision.as_ref()).map(|revision| format!("  {revision}"));
    let title = format!("Version {} of {}", entry.id, text::line(&entry.record.to_string()));
    let lost = format!("{} {}", entry.reason.label(), words::ago(app.now().wall, entry.at));
    let below = format!("{lost}{}", revision.unwrap_or_default());
    canvas.frame(
        area,
        &Border { title: &title, bottom_left: &below, bottom_right: "r restores it", ..Border::default() },
    );
    let inner = area.inner();
    let Some(kept) = pane.kept() else { return say(canvas, inner, &["Reading the version"]) };
    let tabs = match pane.tab() {
        Tab::Changes => "[Changes]  Text",
        Tab::Text => "Changes  [Text]",
    };
    let room = usize::from(inner.width.saturating_sub(2));
    canvas.put(inner.x + 1, inner.y, tabs, room, Role::Accent);
    let lines: Vec<(String, Role)> = match pane.tab() {
        Tab::Changes => match &kept.kept {
            Kept::Document(document) => changes(kept, document, room),
            Kept::Draft(draft) => of_draft(draft, room),
        },
        Tab::Text => text_of(&kept.kept).lines().map(|line| (line.to_owned(), Role::Text)).collect(),
    };
    let height = usize::from(inner.height.saturating_sub(2));
    let from = pane.scroll().min(lines.len().saturating_sub(height));
    for (row, (line, role)) in (2..inner.height).zip(lines.iter().skip(from)) {
        let at = inner.row(row);
        canvas.put(at.x + 1, at.y, line, room, *role);
    }
}

/// What was typed, against what it was begun on.
fn of_draft(draft: &Draft, room: usize) -> Vec<(String, Role)> {
    let what = format!("A draft ({}); restoring it makes it a draft again", what(&draft.key.target));
    let mut lines = vec![(what, Role::Title)];
    let differing = Preview::between(draft);
    lines.extend(differing.lines.iter().flat_map(|line| super::drafts::drawn(line, room)));
    lines
}

/// What restoring would change: a place, what is there now, what was kept.
fn changes(kept: &KeptVersion, document: &Value, room: usize) -> Vec<(String, Role)> {
    let Some(local) = &kept.local else {
        let mut lines = vec![("The record is gone; restoring makes it anew:".to_owned(), Role::Title)];
        lines.extend(pretty(document).lines().map(|line| (line.to_owned(), Role::Created)));
        return lines;
    };
    let changes = diff(Some(local), Some(document));
    if changes.is_empty() {
        return vec![("The record is this version already".to_owned(), Role::Dim)];
    }
    let mut lines = vec![("What restoring it changes".to_owned(), Role::Title)];
    for change in &changes {
        let place = if change.pointer.is_root() { "the record".to_owned() } else { dotted(&change.pointer) };
        lines.push((place, Role::Key));
        for (word, value, role) in [("now ", &change.from, Role::Dim), ("kept", &change.to, Role::Text)] {
            lines.push((format!("  {word}  {}", show(value.as_ref(), room.saturating_sub(10))), role));
        }
    }
    lines
}

fn show(value: Option<&Value>, room: usize) -> String {
    value.map_or_else(|| "(none)".to_owned(), |value| tree::preview(value, room.max(8)))
}
