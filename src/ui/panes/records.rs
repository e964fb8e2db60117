//! Draws the records pane: a table whose widths come from the rows that are seen.

use crate::{
    app::{
        App,
        geometry::{Area, Form, Place},
        pane::PaneName,
        words,
    },
    model::{
        ids::RecordKey,
        json::Pointer,
        query::{FilterUse, MARKS, Row},
        record::RecordMark,
    },
    ui::{
        canvas::{Border, Canvas},
        panes::{is_focused, say, select},
        text,
        theme::Role,
    },
};

const AGE: usize = 4;
/// So much of the first column, the name of a record nearly always, is shown before any of the next.
const TITLE: usize = 16;
/// So much of an id and of the other columns.
const BEGINNING: usize = 8;

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    let pane = app.records();
    let focused = is_focused(app, PaneName::Records);
    let inner = place.area.inner();
    let height = pane.body_height(inner.size());
    let name = pane.collection().map_or("records", |key| key.collection.as_str());
    let title = format!("2 {}", text::line(name));
    let position = if pane.rows().is_empty() { String::new() } else { position(app, height, place) };
    let columns = Columns::fit(app, inner, height);
    let constraints = constraints(app, &columns);
    let zoomed = if place.form == Form::Full { "zoomed, z goes back" } else { "" };
    canvas.frame(
        place.area,
        &Border { title: &title, title_right: zoomed, bottom_left: &constraints, bottom_right: &position, focused },
    );
    let mut row = 0;
    if pane.shows_filter() {
        filter(app, canvas, inner.row(0), focused);
        row = 1;
    }
    if !pane.is_loaded() || pane.rows().is_empty() {
        let below = Area::new(inner.x, inner.y + row, inner.width, inner.height.saturating_sub(row));
        return empty(app, canvas, below);
    }
    columns.heading(app, canvas, inner.row(row));
    let (top, cursor) = pane.window(height);
    let body = pane.rows().iter().enumerate().skip(top).take(height);
    for (line, (index, record)) in (row + 1..inner.height).zip(body) {
        let line = inner.row(line);
        columns.record(app, canvas, line, record);
        if index == cursor {
            select(canvas, line, focused);
        }
    }
}

fn position(app: &App, height: usize, place: &Place) -> String {
    let position = app.records().position(height);
    let whole = position.text();
    let room = usize::from(place.area.width).saturating_sub(8);
    if text::width(&whole) <= room {
        return whole;
    }
    whole.split(" (").next().unwrap_or_default().to_owned()
}

/// What hides or orders rows, in words (R16).
fn constraints(app: &App, columns: &Columns) -> String {
    let view = app.records().view();
    let mut parts = Vec::new();
    if view.sort.by.is_some() || view.sort.descending {
        let by = view.sort.by.as_ref().map_or_else(|| "id".to_owned(), crate::app::panes::outbox::dotted);
        parts.push(format!("by {by}{}", if view.sort.descending { ", reversed" } else { "" }));
    }
    if !view.marks.is_empty() {
        parts.push(format!("{} marked", view.marks.len()));
    }
    if columns.hidden > 0 {
        parts.push(format!("+{}", words::count(columns.hidden as u64, "column", "columns")));
    }
    parts.join(" | ")
}

fn filter(app: &App, canvas: &mut Canvas<'_>, line: Area, focused: bool) {
    let pane = app.records();
    canvas.put(line.x + 1, line.y, "FILTER", 6, Role::Accent);
    let (hint, role) = match pane.filter_use() {
        Some(FilterUse::NothingToFind) => ("shows all rows", Role::Degraded),
        _ if pane.is_typing() => ("enter keeps it", Role::Hint),
        _ => ("esc clears", Role::Hint),
    };
    // What is typed is more than a hint that the keys' row has too.
    let room = usize::from(line.width).saturating_sub(8 + hint.len() + 3);
    let hint = if role == Role::Hint && text::width(pane.view().filter.text()) >= room { "" } else { hint };
    let from = canvas.put_right(line.right().saturating_sub(1), line.y, hint, 14, role);
    let room = usize::from(from.saturating_sub(line.x + 9));
    canvas.input(line.x + 8, line.y, room, &pane.view().filter, pane.is_typing() && focused);
}

fn empty(app: &App, canvas: &mut Canvas<'_>, area: Area) {
    let pane = app.records();
    let Some(key) = pane.collection() else {
        return say(canvas, area, &["No collection is configured"]);
    };
    if !pane.is_loaded() {
        return say(canvas, area, &[&format!("Reading {}", key.collection)]);
    }
    if !pane.view().filter.is_empty() {
        if let Some(FilterUse::UnknownMark(word)) = pane.filter_use() {
            let no_mark = format!("There is no mark `{word}`");
            let (some, others) = MARKS.split_at(4);
            let some = format!("{},", some.join(", "));
            return say(canvas, area, &[&no_mark, &some, &others.join(", "), "esc clears the filter"]);
        }
        let total = words::count(pane.position(1).total, "record", "records");
        return say(canvas, area, &[&format!("Nothing matches in {total}"), "esc clears the filter"]);
    }
    // Said by the mirror, not by a status: this must read the same right after a restart.
    match app.world().overview_of(key) {
        Some(overview) if overview.last_pull.is_some() => {
            say(canvas, area, &[&format!("{} is empty", key.collection), "a adds a record"]);
        }
        _ => say(canvas, area, &["Never synced: nothing is here yet", "R syncs now, a adds a record"]),
    }
}

/// The columns that fit, with their widths in cells.
struct Columns {
    id: usize,
    /// (index into the cells, heading, width)
    fields: Vec<(usize, String, usize)>,
    hidden: usize,
}

impl Columns {
    fn fit(app: &App, inner: Area, height: usize) -> Self {
        let pane = app.records();
        let (top, _) = pane.window(height);
        let rows: Vec<&Row> = pane.rows().iter().skip(top).take(height).collect();
        // Four cells before the id, one after the age.
        let room = usize::from(inner.width).saturating_sub(4 + AGE + 2);
        let widest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
        let mut id = widest(&mut rows.iter().map(|row| text::width(&row.id.0)))
            .next_multiple_of(2)
            .clamp(6, (room * 35 / 100).clamp(8, 24))
            .min(room);
        let columns = pane.columns();
        let first = pane.view().first_column.min(columns.len().saturating_sub(1));
        let mut hidden = first;
        let mut wanted: Vec<(usize, String, usize)> = columns
            .iter()
            .enumerate()
            .skip(first)
            .map(|(index, pointer)| {
                let name = heading(pointer);
                let cells =
                    rows.iter().map(|row| row.cells.get(index).and_then(Option::as_deref).map_or(0, text::width));
                let natural = widest(&mut cells.chain([text::width(&name)])).next_multiple_of(2).clamp(4, 40);
                (index, name, natural)
            })
            .collect();
        // A name that can be read is worth more than one more column of beginnings, and more than a whole id.
        let floors = |wanted: &[(usize, String, usize)]| -> Vec<usize> {
            let limits = std::iter::once(TITLE).chain(std::iter::repeat(BEGINNING));
            wanted.iter().zip(limits).map(|((_, _, width), limit)| limit.min(*width)).collect()
        };
        let taken = |id: usize, widths: &[usize]| id + widths.iter().map(|width| width + 2).sum::<usize>();
        while wanted.len() > 1 && taken(id.min(BEGINNING), &floors(&wanted)) > room {
            wanted.pop();
            hidden += 1;
        }
        let floors = floors(&wanted);
        let natural: Vec<usize> = wanted.iter().map(|(_, _, width)| *width).collect();
        for _ in room..taken(id, &natural) {
            let above =
                wanted.iter_mut().map(|(_, _, width)| width).zip(&floors).filter(|(width, floor)| **width > **floor);
            match above.max_by_key(|(width, _)| **width) {
                Some((width, _)) => *width -= 1,
                None if id > BEGINNING => id -= 1,
                None => wanted.iter_mut().for_each(|(_, _, width)| *width = (*width - 1).max(1)),
            }
        }
        Self { id, fields: wanted, hidden }
    }

    fn heading(&self, app: &App, canvas: &mut Canvas<'_>, line: Area) {
        let sort = &app.records().view().sort;
        let arrow = if sort.descending { " v" } else { " ^" };
        let sorted = |name: &str, is: bool| if is { format!("{name}{arrow}") } else { name.to_owned() };
        let id = sorted("ID", sort.by.is_none() && sort.descending);
        let mut x = line.x + 4;
        canvas.put(x, line.y, &id, self.id, Role::Dim);
        x += cells(self.id + 2);
        for (index, name, width) in &self.fields {
            let is = app.records().columns().get(*index) == sort.by.as_ref() && sort.by.is_some();
            canvas.put(x, line.y, &sorted(name, is), *width, Role::Dim);
            x += cells(width + 2);
        }
        canvas.put_right(line.right().saturating_sub(1), line.y, "AGE", AGE, Role::Dim);
    }

    fn record(&self, app: &App, canvas: &mut Canvas<'_>, line: Area, row: &Row) {
        let here = app.records().collection();
        let is_row = |record: &RecordKey| Some(&record.collection) == here && record.id == row.id;
        let saving = app.world().saving.values().any(|saving| is_row(&saving.record));
        let role = mark_role(row.mark);
        let (symbol, mark) = if saving { ("s".to_owned(), Role::Text) } else { (row.mark.symbol().to_string(), role) };
        canvas.put(line.x + 1, line.y, &symbol, 1, mark);
        if app.records().view().marks.contains(&row.id) {
            canvas.put(line.x + 2, line.y, "*", 1, Role::Accent);
        }
        let text_role = if row.mark == RecordMark::Deleted { Role::Deleted } else { Role::Text };
        let mut x = line.x + 4;
        canvas.put(x, line.y, &row.id.0, self.id, text_role);
        x += cells(self.id + 2);
        for (index, _, width) in &self.fields {
            if let Some(cell) = row.cells.get(*index).and_then(Option::as_deref) {
                canvas.put(x, line.y, cell, *width, text_role);
            }
            x += cells(width + 2);
        }
        if let Some(at) = row.changed_at {
            let age = words::age_of(app.now().wall, at);
            canvas.put_right(line.right().saturating_sub(1), line.y, &age, AGE, Role::Dim);
        }
    }
}

fn cells(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX / 4)
}

fn heading(pointer: &Pointer) -> String {
    pointer.tokens().last().map_or_else(|| "VALUE".to_owned(), |name| text::line(name).to_uppercase())
}

pub fn mark_role(mark: RecordMark) -> Role {
    match mark {
        RecordMark::Synced => Role::Text,
        RecordMark::Changed => Role::Changed,
        RecordMark::Created => Role::Created,
        RecordMark::Deleted => Role::Deleted,
        RecordMark::Held => Role::Held,
        RecordMark::Draft => Role::Draft,
        RecordMark::Rejected => Role::Rejected,
        RecordMark::Conflict => Role::Conflict,
    }
}
