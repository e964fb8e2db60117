//! Draws the editor: the text with its colours and marks, what is wrong with it, and what it changes.

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::Style,
};

use crate::{
    app::{
        geometry::Area,
        panes::editor::{
            Editor, Sheet,
            check::{self, LineMark, Reading},
            layout::{self, Parts},
            name_of,
            tokens::{self, TokenKind},
        },
        text::{TextInput, buffer::Pos, cells},
        words,
    },
    model::{draft::DraftTarget, edit::Change, ids::Revision, op::Op},
    ui::{
        text::{self, Signs},
        theme::{Look, Role},
    },
};

/// Draws the editor into an area; gives the place of the cursor, where it is in sight.
pub fn draw(editor: &Editor, look: Look<'_>, focused: bool, area: Rect, buf: &mut Buffer) -> Option<Position> {
    let area = area.intersection(buf.area);
    let sheet = editor.sheet()?;
    let parts = layout::parts(Area::new(area.x, area.y, area.width, area.height), sheet.shape());
    let mut pen = Pen { look, buf };
    pen.blank(area);
    let bottom = if sheet.is_field() { field_footer(sheet) } else { footer(sheet, parts.changes.width > 0) };
    pen.frame(parts.text_box, &title(sheet, parts.changes.width > 0), &bottom, focused);
    let id_cursor = draw_id(sheet, &mut pen, &parts);
    let find_cursor = draw_find(sheet, &mut pen, &parts);
    let text_cursor = draw_text(sheet, &mut pen, &parts);
    if parts.about.height > 0 {
        let (role, about) = about_field(sheet);
        pen.line(parts.about, 0, &about, role);
    }
    draw_check(sheet, &mut pen, &parts);
    draw_changes(sheet, &mut pen, parts.changes);
    let cursor = match () {
        () if sheet.find.is_some() => find_cursor,
        () if sheet.in_id => id_cursor,
        () => text_cursor,
    };
    cursor.filter(|_| focused)
}

/// Rows (with the border) a field wants below its own row, at most `most`.
pub fn field_height(editor: &Editor, most: u16) -> u16 {
    let lines = editor.sheet().map_or(1, |sheet| sheet.buffer.lines().len());
    u16::try_from(lines + 3).unwrap_or(most).clamp(4, most.max(4)).min(most)
}

fn title(sheet: &Sheet, wide: bool) -> String {
    let draft = if sheet.begun { " ~ draft" } else { "" };
    let named = match (sheet.begun, wide) {
        (true, true) => format!(" of {}", name_of(sheet)),
        (true, false) => String::new(),
        (false, _) => format!(" {}", name_of(sheet)),
    };
    match &sheet.key.target {
        DraftTarget::Field(pointer) => format!("{pointer}{draft}"),
        DraftTarget::New => format!("New record of {}{draft}", sheet.key.record.collection.collection),
        _ => format!("JSON{draft}{named}"),
    }
}

fn footer(sheet: &Sheet, wide: bool) -> String {
    let Pos { line, at } = sheet.buffer.cursor();
    let column = sheet.buffer.lines()[line][..at].chars().count() + 1;
    let size = words::bytes(sheet.buffer.len() as u64);
    let last = if wide { size } else { base_name(sheet) };
    let selected = match sheet.buffer.selection() {
        Some((from, to)) if from.line == to.line => {
            let count = sheet.buffer.lines()[from.line][from.at..to.at].chars().count();
            format!("{} selected | ", words::count(count as u64, "character", "characters"))
        }
        Some((from, to)) => format!("{} lines selected | ", words::grouped((to.line - from.line + 1) as u64)),
        None => String::new(),
    };
    format!("{selected}Ln {}, Col {column} | {last}", line + 1)
}

fn field_footer(sheet: &Sheet) -> String {
    let enter = if sheet.is_scalar() { "enter queue" } else { "F2 queue" };
    format!("{enter}  ctrl-t text or JSON  esc keep")
}

fn base_name(sheet: &Sheet) -> String {
    match (&sheet.base, &sheet.base_revision) {
        (None, _) => "new record".to_owned(),
        (Some(_), Some(revision)) => format!("base rev {}", short(revision)),
        (Some(_), None) => "base".to_owned(),
    }
}

/// Revisions are opaque and may be long hashes; the beginning tells two apart.
fn short(revision: &Revision) -> String {
    revision.as_str().chars().take(8).collect()
}

/// What a field's text means, or why it means nothing.
fn about_field(sheet: &Sheet) -> (Role, String) {
    if let Some(problem) = sheet.check.problems.first() {
        return (Role::Problem, format!("x {}", problem.reason));
    }
    let was = sheet.base.as_ref().and_then(|base| sheet.pointer().get(base)).map(check::kind_of);
    let meaning = sheet.check.meaning.unwrap_or("not checked yet");
    let reading = if sheet.reading == Reading::Text { ", exactly as typed" } else { "" };
    let moved = if sheet.base_moved() { " | the record changed meanwhile" } else { "" };
    match was.filter(|was| *was != meaning) {
        Some(was) => (Role::Dim, format!("{meaning}{reading}, was {was}{moved}")),
        None => (Role::Dim, format!("{meaning}{reading}{moved}")),
    }
}

fn draw_id(sheet: &Sheet, pen: &mut Pen<'_, '_>, parts: &Parts) -> Option<Position> {
    if parts.id.height == 0 {
        return None;
    }
    pen.input(parts.id, "id  ", &sheet.id, "", if sheet.in_id { Role::Accent } else { Role::Dim })
}

fn draw_find(sheet: &Sheet, pen: &mut Pen<'_, '_>, parts: &Parts) -> Option<Position> {
    let find = sheet.find.as_ref()?;
    if parts.find.height == 0 {
        return None;
    }
    pen.input(parts.find, "find  ", &find.needle, &find.count(&sheet.buffer), Role::Accent)
}

/// The visible lines; gives the cursor's cell.
fn draw_text(sheet: &Sheet, pen: &mut Pen<'_, '_>, parts: &Parts) -> Option<Position> {
    let area = parts.text;
    if area.width == 0 || area.height == 0 {
        return None;
    }
    if !sheet.ready {
        pen.line(area, 0, "reading the record", Role::Dim);
        return None;
    }
    let scroll = sheet.buffer.scroll_in(usize::from(area.height), usize::from(area.width));
    let problems: Vec<usize> = sheet.check.problems.iter().filter_map(|problem| Some(problem.place?.0 - 1)).collect();
    for row in 0..area.height {
        let number = scroll.line + usize::from(row);
        if number >= sheet.buffer.lines().len() {
            break;
        }
        draw_gutter(sheet, pen, parts.gutter, row, number, problems.contains(&number));
        if scroll.column > 0 && parts.gutter.width > 0 {
            pen.put(parts.gutter.right() - 1, parts.gutter.y + row, "<", Role::Dim);
        }
        draw_line(sheet, pen, area, row, number, scroll.column);
    }
    let cursor = sheet.buffer.cursor();
    let row = cursor.line.checked_sub(scroll.line).filter(|row| *row < usize::from(area.height))?;
    let cell =
        sheet.buffer.cursor_column().checked_sub(scroll.column).filter(|cell| *cell < usize::from(area.width))?;
    Some(Position::new(area.x + u16::try_from(cell).ok()?, area.y + u16::try_from(row).ok()?))
}

fn draw_gutter(sheet: &Sheet, pen: &mut Pen<'_, '_>, area: Area, row: u16, number: usize, wrong: bool) {
    if area.width < 5 {
        return;
    }
    let y = area.y + row;
    match sheet.lines.mark(number) {
        Some(LineMark::Changed) => pen.put(area.x, y, "M", Role::Changed),
        Some(LineMark::Added) => pen.put(area.x, y, "+", Role::Created),
        None => {}
    }
    let digits = (number + 1).to_string();
    let width = usize::from(area.width) - 3;
    pen.put(area.x + 1, y, &format!("{digits:>width$}"), Role::Dim);
    if wrong {
        pen.put(area.right() - 2, y, "x", Role::Problem);
    }
}

fn draw_line(sheet: &Sheet, pen: &mut Pen<'_, '_>, area: Area, row: u16, number: usize, scrolled: usize) {
    let line = &sheet.buffer.lines()[number];
    let width = usize::from(area.width);
    let part = text::slice(line, scrolled, width);
    let plain = sheet.is_field() && sheet.reading == Reading::Text;
    let mut kinds = tokens::tokens(line).filter(|_| !plain).skip_while(|token| token.end <= part.begin).peekable();
    let needle = sheet.find.as_ref().map_or("", |find| find.needle.text());
    let mut hits = sheet.buffer.hits_in(number, needle).skip_while(|(_, end)| *end <= part.begin).peekable();
    let selection = sheet.buffer.selection();
    let selected = |at: usize| selection.is_some_and(|(from, to)| (from..to).contains(&Pos::new(number, at)));
    let y = area.y + row;
    let mut x = area.x + u16::try_from(part.blanks).unwrap_or(0);
    for (offset, grapheme) in cells::graphemes(part.text) {
        let at = part.begin + offset;
        while kinds.next_if(|token| token.end <= at).is_some() {}
        while hits.next_if(|(_, end)| *end <= at).is_some() {}
        let role = match kinds.peek() {
            Some(token) if token.begin <= at => role_of(token.kind),
            _ => Role::Text,
        };
        let mut style = pen.look.style(role);
        if hits.peek().is_some_and(|(begin, _)| *begin <= at) {
            style = style.patch(pen.look.style(Role::Match));
        }
        if selected(at) {
            style = style.patch(pen.look.style(Role::Selected));
        }
        let shown = cells::shown(grapheme);
        x = pen.buf.set_stringn(x, y, &shown, usize::from(area.right() - x), style).0;
    }
    let end = part.begin + part.text.len();
    if end == line.len() && selected(end) && x < area.right() {
        pen.buf[(x, y)].set_style(pen.look.style(Role::Selected));
    }
    // More of the line to the right: said in the last cell, unless the cursor is there.
    let cursor = sheet.buffer.cursor();
    if end < line.len() && !(cursor.line == number && cursor.at >= end) {
        pen.put(area.right() - 1, y, Signs::of(pen.look.glyphs).ellipsis, Role::Dim);
    }
}

fn role_of(kind: TokenKind) -> Role {
    match kind {
        TokenKind::Key => Role::Key,
        TokenKind::String => Role::String,
        TokenKind::Number => Role::Number,
        TokenKind::Literal => Role::Literal,
        TokenKind::Sign => Role::Text,
        TokenKind::Open | TokenKind::Other => Role::Problem,
    }
}

fn draw_check(sheet: &Sheet, pen: &mut Pen<'_, '_>, parts: &Parts) {
    let area = parts.check;
    if area.height < 3 {
        return;
    }
    let wide = parts.changes.width > 0;
    let problems = words::count(sheet.check.problems.len() as u64, "problem", "problems");
    let fields = words::count(sheet.check.changes.len() as u64, "field changed", "fields changed");
    let (title, bottom) = match (wide, sheet.check.problems.is_empty()) {
        (true, true) => ("Check".to_owned(), "no problem".to_owned()),
        (true, false) => ("Check".to_owned(), problems),
        (false, true) => ("Check".to_owned(), fields),
        (false, false) => (format!("Check {problems}"), incomplete_count(sheet)),
    };
    let bottom = if sheet.check.skipped { "not checked yet".to_owned() } else { bottom };
    pen.frame(area, &title, &bottom, false);
    let inner = padded(area);
    let mut rows = problem_rows(sheet, usize::from(inner.height), usize::from(inner.width));
    if wide {
        if !rows.is_empty() {
            rows.push((Role::Text, String::new()));
        }
        rows.extend(advice(sheet, usize::from(inner.width)));
    } else {
        let room = usize::from(inner.height).saturating_sub(rows.len() + 1);
        let moved = sheet.begun && sheet.base_moved();
        if moved {
            rows.push((Role::Conflict, "! base changed: queueing sends only what you changed, merged".to_owned()));
        }
        rows.extend(short_changes(sheet).into_iter().take(room.saturating_sub(usize::from(moved)).max(1)));
        rows.extend(together(sheet).map(|text| (Role::Dim, text)));
        if rows.is_empty() {
            rows.extend(advice(sheet, usize::from(inner.width)));
        }
    }
    for (row, (role, text)) in rows.iter().enumerate().take(usize::from(inner.height)) {
        pen.line(inner, row, text, *role);
    }
}

/// The problems, the last row saying how many more there are.
fn problem_rows(sheet: &Sheet, height: usize, width: usize) -> Vec<(Role, String)> {
    let problems = &sheet.check.problems;
    let room = if height > 6 { height / 2 } else { height.saturating_sub(2).max(1) };
    let shown = if problems.len() > room { room.saturating_sub(1).max(1) } else { problems.len() };
    let mut rows = Vec::new();
    if let Some(reason) = &sheet.damaged {
        rows.push((Role::Problem, format!("x Read only in part: {reason}")));
    }
    for problem in &problems[..shown] {
        let lines = if height > 6 { text::wrap(&format!("x {problem}"), width) } else { vec![format!("x {problem}")] };
        rows.extend(lines.into_iter().map(|line| (Role::Problem, line)));
    }
    if shown < problems.len() {
        rows.push((Role::Problem, format!("x and {} more", problems.len() - shown)));
    }
    rows
}

/// What may be done now, for people.
fn advice(sheet: &Sheet, width: usize) -> Vec<(Role, String)> {
    let mut rows = Vec::new();
    let mut say = |role: Role, text: &str| {
        rows.extend(text::wrap(text, width.max(1)).into_iter().map(|line| (role, line)));
        rows.push((Role::Text, String::new()));
    };
    if sheet.begun && sheet.base_moved() {
        say(Role::Conflict, "! Base changed: the record is not what you began with any more.");
        say(Role::Text, "Queueing sends only what you changed; it is merged with what came meanwhile.");
    }
    if !sheet.ready {
        say(Role::Dim, "The record is being read.");
    } else if sheet.check.skipped {
        say(Role::Text, "Large text: it is checked when you queue it or ask for the next problem.");
    } else if sheet.check.problems.is_empty() && sheet.check.changes.is_empty() {
        say(Role::Dim, "Nothing changed yet.");
    } else if sheet.check.problems.is_empty() {
        say(Role::Sent, "= Valid. It can be queued.");
    }
    if sheet.begun {
        say(Role::Text, "You can leave now: the text is kept exactly as typed, cursor included.");
    }
    if sheet.check.problems.iter().any(|problem| problem.place.is_some()) {
        say(Role::Text, "To queue it the JSON must be valid.");
    }
    rows
}

fn incomplete_count(sheet: &Sheet) -> String {
    words::count(sheet.lines.pairs.len() as u64, "line changed", "lines changed")
}

/// The changes on one line each: `/profile/role  "editor" -> "owner"`.
fn short_changes(sheet: &Sheet) -> Vec<(Role, String)> {
    if sheet.check.problems.is_empty() {
        return sheet.check.changes.iter().map(|change| (Role::Changed, short_change(change))).collect();
    }
    let rows = incomplete(sheet).into_iter().map(|(pointer, old, new)| {
        let old = old.map_or("nothing".to_owned(), |old| old.trim().to_owned());
        let new = new.map_or("nothing".to_owned(), |new| new.trim().to_owned());
        (Role::Changed, format!("{pointer}  {old} -> {new}"))
    });
    rows.collect()
}

fn short_change(change: &Change) -> String {
    let shown = |value: &Option<serde_json::Value>| value.as_ref().map_or("nothing".to_owned(), ToString::to_string);
    format!("{}  {} -> {}", place(change), shown(&change.from), shown(&change.to))
}

fn place(change: &Change) -> String {
    if change.pointer.is_root() { "the whole record".to_owned() } else { change.pointer.to_string() }
}

/// While the text is no JSON: the lines that differ, with the place they are in. The member name of a line that only
/// repeats the place is left out.
fn incomplete(sheet: &Sheet) -> Vec<(String, Option<String>, Option<String>)> {
    let lines = sheet.buffer.lines();
    let pairs = sheet.lines.pairs.iter().take(check::MOST_PLACED).enumerate().map(|(number, (old, new))| {
        let pointer = sheet.lines.places.get(number).filter(|place| !place.is_root()).map(ToString::to_string);
        let pointer = pointer.unwrap_or_default();
        let wrong = |line: usize| {
            let places = sheet.check.problems.iter().filter_map(|problem| problem.place);
            places.into_iter().any(|(number, _)| number == line + 1)
        };
        let note = |line: usize| if wrong(line) { "  (incomplete)" } else { "" };
        let shown = new.map(|line| format!("{}{}", value_of(&lines[line]), note(line)));
        (pointer, old.as_deref().map(value_of), shown)
    });
    pairs.collect()
}

/// `  "role": "editor",` → `"editor"`.
fn value_of(line: &str) -> String {
    let mut tokens = tokens::tokens(line);
    let value = match (tokens.next(), tokens.next()) {
        (Some(key), Some(colon)) if key.kind == TokenKind::Key => &line[colon.end..],
        _ => line,
    };
    value.trim().trim_end_matches(',').to_owned()
}

fn together(sheet: &Sheet) -> Option<String> {
    let last = sheet.ops.last().filter(|_| sheet.begun)?;
    let how = if last.is_untouched() { "together with" } else { "after" };
    Some(format!("It will be sent {how} op {} ({}).", last.seq, describe(last)))
}

fn describe(op: &Op) -> String {
    match op.changes.as_slice() {
        [change] if !change.pointer.is_root() => short_change(change),
        [_] => op.kind.word().to_owned(),
        changes => format!("{} changes", changes.len()),
    }
}

fn draw_changes(sheet: &Sheet, pen: &mut Pen<'_, '_>, area: Area) {
    if area.height < 3 {
        return;
    }
    let title = match sheet.base {
        Some(_) => format!("Changes against {}", base_name(sheet)),
        None => "New record".to_owned(),
    };
    let bottom = match sheet.check.problems.is_empty() {
        true => words::count(sheet.check.changes.len() as u64, "field changed", "fields changed"),
        false => incomplete_count(sheet),
    };
    pen.frame(area, &title, &bottom, false);
    let inner = padded(area);
    let tail = queued_rows(sheet);
    let room = usize::from(inner.height).saturating_sub(if tail.is_empty() { 0 } else { tail.len() + 1 });
    let mut rows = change_rows(sheet);
    if rows.len() > room.max(1) {
        let more = rows.len() + 1 - room.max(1);
        rows.truncate(room.max(1) - 1);
        rows.push((Role::Dim, format!("and {more} lines more")));
    }
    if !tail.is_empty() {
        rows.push((Role::Text, String::new()));
        rows.extend(tail);
    }
    for (row, (role, text)) in rows.iter().enumerate().take(usize::from(inner.height)) {
        pen.line(inner, row, text, *role);
    }
}

fn change_rows(sheet: &Sheet) -> Vec<(Role, String)> {
    let mut rows = Vec::new();
    if sheet.check.problems.is_empty() {
        for change in &sheet.check.changes {
            rows.push((Role::Text, place(change)));
            rows.extend(change.from.as_ref().map(|value| (Role::Deleted, format!("  - {value}"))));
            rows.extend(change.to.as_ref().map(|value| (Role::Created, format!("  + {value}"))));
        }
        return rows;
    }
    for (pointer, old, new) in incomplete(sheet) {
        if !pointer.is_empty() {
            rows.push((Role::Text, pointer));
        }
        rows.extend(old.map(|line| (Role::Deleted, format!("  - {line}"))));
        rows.extend(new.map(|line| (Role::Created, format!("  + {line}"))));
    }
    rows
}

fn queued_rows(sheet: &Sheet) -> Vec<(Role, String)> {
    let Some(last) = sheet.ops.last() else { return Vec::new() };
    let mut rows = vec![(Role::Text, "Also queued for this record:".to_owned())];
    let first = sheet.ops.len().saturating_sub(3);
    rows.extend(
        sheet.ops[first..]
            .iter()
            .map(|op| (Role::Queued, format!("  op {} {} ({})", op.seq, describe(op), op.state.label()))),
    );
    let how = if last.is_untouched() { "together with" } else { "after" };
    rows.push((Role::Dim, format!("  this will be sent {how} op {}", last.seq)));
    rows
}

/// The inside of a box with a blank column at each side.
fn padded(area: Area) -> Area {
    let inner = area.inner();
    if inner.width < 12 { inner } else { Area { x: inner.x + 1, width: inner.width - 2, ..inner } }
}

/// Drawing with clipping and the gate: no text reaches a cell but through here.
struct Pen<'l, 'b> {
    look: Look<'l>,
    buf: &'b mut Buffer,
}

impl Pen<'_, '_> {
    fn blank(&mut self, area: Rect) {
        let style: Style = self.look.style(Role::Text);
        for position in area.positions() {
            self.buf[position].reset();
            self.buf[position].set_style(style);
        }
    }

    fn put(&mut self, x: u16, y: u16, text: &str, role: Role) {
        let room = usize::from(self.buf.area.right().saturating_sub(x));
        self.buf.set_stringn(x, y, text::line(text), room, self.look.style(role));
    }

    /// One row of an area, cut to its width.
    fn line(&mut self, area: Area, row: usize, text: &str, role: Role) {
        let Some(row) = u16::try_from(row).ok().filter(|row| *row < area.height) else { return };
        let cut = text::cut(text, usize::from(area.width), self.look.glyphs);
        self.buf.set_stringn(area.x, area.y + row, cut, usize::from(area.width), self.look.style(role));
    }

    /// A border with a title at the top left and a fact at the bottom right.
    fn frame(&mut self, area: Area, title: &str, bottom: &str, focused: bool) {
        if area.width < 2 || area.height < 2 {
            return;
        }
        let signs = Signs::of(self.look.glyphs);
        let [horizontal, vertical, top_left, top_right, low_left, low_right] =
            if focused { signs.thick } else { signs.border };
        let style = self.look.style(if focused { Role::BorderFocused } else { Role::Border });
        let (right, low) = (area.right() - 1, area.bottom() - 1);
        for x in area.x..=right {
            self.buf[(x, area.y)].set_symbol(horizontal).set_style(style);
            self.buf[(x, low)].set_symbol(horizontal).set_style(style);
        }
        for y in area.y..=low {
            self.buf[(area.x, y)].set_symbol(vertical).set_style(style);
            self.buf[(right, y)].set_symbol(vertical).set_style(style);
        }
        for (x, y, corner) in
            [(area.x, area.y, top_left), (right, area.y, top_right), (area.x, low, low_left), (right, low, low_right)]
        {
            self.buf[(x, y)].set_symbol(corner).set_style(style);
        }
        let room = usize::from(area.width).saturating_sub(4);
        if room > 2 {
            let title = text::cut(title, room - 2, self.look.glyphs);
            let style = self.look.style(if focused { Role::Title } else { Role::Text });
            self.buf.set_stringn(area.x + 1, area.y, format!(" {title} "), room, style);
        }
        if room > 2 && !bottom.is_empty() {
            let bottom = text::cut(bottom, room - 2, self.look.glyphs);
            let width = u16::try_from(text::width(&bottom) + 2).unwrap_or(0);
            let style = self.look.style(Role::Dim);
            self.buf.set_stringn(right - 1 - width, low, format!(" {bottom} "), room, style);
        }
    }

    /// A one-line input with a label before it and a fact behind it; gives the place of its cursor.
    fn input(&mut self, area: Area, label: &str, input: &TextInput, fact: &str, role: Role) -> Option<Position> {
        self.line(area, 0, label, role);
        let begins = u16::try_from(text::width(label)).ok()?;
        let kept = if fact.is_empty() { 0 } else { u16::try_from(text::width(fact)).ok()? + 2 };
        let width = area.width.checked_sub(begins + kept)?;
        let (from, cell) = input.window(usize::from(width).max(1));
        let x = area.x + begins;
        let end = input.text().len();
        let mut at = x;
        let selection = input.selection();
        for (offset, grapheme) in cells::graphemes(&input.text()[from..end]) {
            let selected = selection.is_some_and(|(begin, end)| (begin..end).contains(&(from + offset)));
            let style = self.look.style(if selected { Role::Selected } else { Role::Text });
            let room = usize::from((x + width).saturating_sub(at));
            if room == 0 {
                break;
            }
            at = self.buf.set_stringn(at, area.y, cells::shown(grapheme), room, style).0;
        }
        if kept > 0 {
            let fact_area = Area { x: area.right() - kept + 1, width: kept - 1, ..area };
            self.line(fact_area, 0, fact, Role::Dim);
        }
        Some(Position::new(x + u16::try_from(cell).ok()?, area.y))
    }
}

#[cfg(test)]
mod tests;
