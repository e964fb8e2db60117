//! Draws the collections pane.

use crate::{
    app::{App, geometry::Place, pane::PaneName, panes::collections::Item, words},
    model::{ids::CollectionKey, query::CollectionOverview},
    ui::{
        canvas::{Border, Canvas},
        chrome,
        panes::{is_focused, say, select},
        text,
        theme::Role,
    },
};

/// Cells two flags may take.
const BOTH: usize = 5;

/// Marks and what they mean; shown where there is room, and in help.
pub const LEGEND: [(&str, &str, Role); 8] = [
    ("M", "changed", Role::Changed),
    ("+", "new", Role::Created),
    ("-", "delete", Role::Deleted),
    ("~", "draft", Role::Draft),
    ("!", "conflict", Role::Conflict),
    ("x", "rejected", Role::Rejected),
    ("h", "held", Role::Held),
    ("?", "stopped", Role::Problem),
];

/// Records with edits that wait, and where there is room for both, drafts beside them.
fn pending(it: &CollectionOverview) -> String {
    let edits = format!("M{}", words::short(it.changed));
    let both = format!("~{} {edits}", words::short(it.drafts));
    if it.drafts > 0 && text::width(&both) <= BOTH { both } else { edits }
}

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    let focused = is_focused(app, PaneName::Collections);
    let sources = words::count(app.setup().sources.len() as u64, "source", "sources");
    canvas.frame(place.area, &Border { title: "1 Collections", bottom_right: &sources, focused, ..Border::default() });
    let inner = place.area.inner();
    let cx = app.cx(PaneName::Collections);
    let pane = app.collections();
    let items = pane.items(&cx);
    if items.is_empty() {
        return say(
            canvas,
            inner,
            &["No source is configured", "`ebbtide init URL --kind firebase` writes a configuration"],
        );
    }
    let cursor = pane.cursor(&cx);
    let top = pane.top(&cx, usize::from(inner.height));
    for (row, (index, item)) in (0..inner.height).zip(items.iter().enumerate().skip(top)) {
        let line = inner.row(row);
        match item {
            Item::Source(name) => {
                let (word, role) = chrome::connectivity(app, name);
                let word = word.split(" (").next().unwrap_or_default();
                let word = word.rsplit_once(' ').map_or(word, |(label, age)| if age.len() <= 3 { label } else { word });
                canvas.put_right(line.right(), line.y, word, usize::from(line.width) / 2, role);
                let sign = if pane.is_folded(name) { canvas.signs().folded } else { canvas.signs().unfolded };
                canvas.put(line.x, line.y, sign, 1, Role::Dim);
                // As if the word were `UNKNOWN` at least: the name does not jump when the word changes.
                let taken = text::width(word).clamp(7, usize::from(line.width) / 2);
                let room = usize::from(line.width).saturating_sub(taken + 3);
                canvas.put(line.x + 2, line.y, name.as_str(), room, Role::Title);
            }
            Item::Collection(key) => collection(app, canvas, line, key),
        }
        if index == cursor {
            select(canvas, line, focused);
        }
    }
    let free = usize::from(inner.height).saturating_sub(items.len());
    if free >= 6 {
        legend(canvas, inner);
    }
}

fn collection(app: &App, canvas: &mut Canvas<'_>, line: crate::app::geometry::Area, key: &CollectionKey) {
    let overview = app.world().overview_of(key);
    // What the mirror says, not what a status said last: this must be the same before and after a restart.
    let never = overview.is_some_and(|overview| overview.last_pull.is_none() && overview.records == 0);
    let asks = overview.is_some_and(|overview| overview.asks);
    let (flag, role) = match overview {
        Some(it) if it.conflicts > 0 => (format!("!{}", words::short(it.conflicts)), Role::Conflict),
        Some(it) if it.rejected > 0 => (format!("x{}", words::short(it.rejected)), Role::Rejected),
        Some(it) if it.held > 0 => (format!("h{}", words::short(it.held)), Role::Held),
        Some(it) if it.drafts > 0 && it.pending == 0 => (format!("~{}", words::short(it.drafts)), Role::Draft),
        Some(it) if it.pending > 0 => (pending(it), Role::Changed),
        _ => (String::new(), Role::Text),
    };
    let (flag, role) = if asks { (format!("?{flag}"), Role::Problem) } else { (flag, role) };
    // Four columns, and one more where a long flag would touch the count.
    let flag_width = (text::width(&flag) + 1).clamp(4, 6);
    let flag_from = line.right().saturating_sub(u16::try_from(flag_width).unwrap_or(6));
    canvas.put_right(line.right(), line.y, &flag, flag_width, role);
    let count = match overview {
        _ if never => "never synced".to_owned(),
        Some(overview) => words::grouped(overview.records),
        None => String::new(),
    };
    let right = if never && flag.is_empty() { line.right() } else { flag_from };
    let room = usize::from(line.width).saturating_sub(8).min(14);
    let role = if never { Role::Dim } else { Role::Text };
    let from = canvas.put_right(right, line.y, &count, room, role);
    let room = usize::from(from.saturating_sub(line.x + 5));
    let shown = app.collection() == Some(key);
    canvas.put(line.x + 4, line.y, key.collection.as_str(), room, if shown { Role::Accent } else { Role::Text });
}

fn legend(canvas: &mut Canvas<'_>, inner: crate::app::geometry::Area) {
    let half = inner.width / 2;
    let rows = u16::try_from(LEGEND.len().div_ceil(2)).unwrap_or(4);
    for (index, (mark, word, role)) in (0_u16..).zip(LEGEND) {
        let line = inner.row(inner.height - rows + index / 2);
        let x = line.x + 1 + (index % 2) * half;
        canvas.put(x, line.y, mark, 1, role);
        let room = usize::from(half.saturating_sub(3)).max(text::width(word).min(usize::from(half)));
        canvas.put(x + 2, line.y, word, room, Role::Dim);
    }
}
