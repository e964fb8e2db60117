//! Draws help: generated from the commands and the keymap, nothing written twice.

use crate::{
    app::{
        App,
        geometry::{Area, Place},
        pane::PaneName,
        panes::help::Listed,
    },
    ui::{
        canvas::{Border, Canvas},
        panes::collections::LEGEND,
        text,
        theme::Role,
    },
};

type Line = (String, String, Role);

/// What a filter may say.
const FILTERS: [(&str, &str); 6] = [
    ("", "A filter is all of:"),
    ("anna", "a word, in any field"),
    ("\"two words\"", "exactly this text"),
    ("role:admin", "a word in a field"),
    ("a.city:cape", "… in a field of a field"),
    ("is:conflict", "a mark; id:u_0 an id"),
];

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    let pane = app.help();
    let title = format!("Help: {} pane", pane.about().title());
    let inner = place.area.inner();
    let wide = inner.width >= 96;
    let [mut here, mut everywhere] = pane.listed(app.keymap(), app.setup().demo).map(lines);
    let count = format!("{} commands, from your keymap", here.len() + everywhere.len());
    let is_search = !pane.search().is_empty();
    if !is_search && pane.about() == PaneName::Records {
        here.extend(FILTERS.map(|(text, words)| (text.to_owned(), words.to_owned(), Role::Accent)));
    }
    if !is_search && !wide {
        everywhere.push((String::new(), "Words and marks".to_owned(), Role::Title));
        everywhere.extend(legend());
    }
    let body = Area::new(inner.x, inner.y + 2, inner.width, inner.height.saturating_sub(2));
    let notes = if wide { 2 } else { 0 };
    let height = body.height.saturating_sub(1 + notes);
    let longest = here.len().max(everywhere.len());
    let most = longest.saturating_sub(usize::from(height));
    let scroll = pane.scroll().min(most);
    let more = if scroll < most { "pgdn more | " } else { "" };
    let below = format!("{more}{count}");
    canvas.frame(place.area, &Border { title: &title, bottom_right: &below, focused: true, ..Border::default() });
    let line = inner.row(0);
    canvas.put(line.x + 1, line.y, "Search:", 7, Role::Dim);
    let from = canvas.put_right(
        line.right().saturating_sub(1),
        line.y,
        "enter runs it, tab shows another pane, esc closes",
        usize::from(line.width / 2 + 12),
        Role::Hint,
    );
    canvas.input(line.x + 9, line.y, usize::from(from.saturating_sub(line.x + 10)), pane.search(), true);
    let columns: u16 = if wide { 3 } else { 2 };
    let width = body.width / columns;
    column(canvas, Area { width, ..body }, &format!("THIS PANE ({})", pane.about().title()), &here, scroll, height);
    let second = Area { x: body.x + width, width, ..body };
    column(canvas, second, "EVERYWHERE", &everywhere, scroll, height);
    if wide {
        let third = Area { x: body.x + 2 * width, width: body.width - 2 * width, ..body };
        column(canvas, third, "WORDS AND MARKS", &legend(), 0, height);
        places(app, canvas, Area { y: body.bottom().saturating_sub(notes), height: notes, ..body });
    }
}

fn lines(listed: Vec<Listed>) -> Vec<Line> {
    let line = |(command, keys): Listed| (keys.join("  "), command.title.to_owned(), Role::HintKey);
    listed.into_iter().map(line).collect()
}

fn legend() -> Vec<Line> {
    let mut lines: Vec<Line> =
        LEGEND.iter().map(|(mark, word, role)| ((*mark).to_owned(), meaning(word).to_owned(), *role)).collect();
    lines.push((String::new(), String::new(), Role::Text));
    let words = [
        ("OFFLINE", "no way there; everything works", Role::Offline),
        ("DEGRADED", "slow, or some requests fail", Role::Degraded),
        ("AUTH", "the server wants credentials", Role::Auth),
        ("STALLED", "interrupted, goes on by itself", Role::Degraded),
    ];
    lines.extend(words.map(|(word, meaning, role)| (word.to_owned(), meaning.to_owned(), role)));
    lines
}

fn meaning(word: &str) -> &'static str {
    match word {
        "changed" => "changed here, queued",
        "new" => "created here, queued",
        "delete" => "delete queued",
        "draft" => "half-typed draft",
        "conflict" => "conflict, needs you",
        "rejected" => "rejected, needs you",
        "held" => "held by you",
        _ => "stopped, asks in Sync",
    }
}

fn column(canvas: &mut Canvas<'_>, area: Area, title: &str, lines: &[Line], scroll: usize, height: u16) {
    canvas.put(area.x + 1, area.y, title, usize::from(area.width.saturating_sub(2)), Role::Title);
    let widest = lines.iter().map(|(keys, _, _)| text::width(keys)).max().unwrap_or(0).clamp(4, 14);
    for (row, (keys, words, role)) in (0..height).zip(lines.iter().skip(scroll)) {
        let y = area.y + 1 + row;
        canvas.put(area.x + 1, y, keys, widest, *role);
        let x = area.x + 3 + u16::try_from(widest).unwrap_or(0);
        canvas.put(x, y, words, usize::from(area.right().saturating_sub(x + 1)), Role::Text);
    }
}

fn places(app: &App, canvas: &mut Canvas<'_>, area: Area) {
    let changed = app.keymap().changed();
    let changed = if changed.is_empty() { "(none)".to_owned() } else { changed.join(", ") };
    let room = usize::from(area.width.saturating_sub(2));
    canvas.put(area.x + 1, area.y, &format!("Changed by your config: {changed}"), room, Role::Dim);
    let places: Vec<String> = app.setup().places.iter().map(|(what, path)| format!("{what}: {path}")).collect();
    let version = env!("CARGO_PKG_VERSION");
    canvas.put(area.x + 1, area.y + 1, &format!("Version {version}   {}", places.join("   ")), room, Role::Dim);
}
