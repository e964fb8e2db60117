//! Draws the editor: the text with its colours and marks, what is wrong with it, and what it changes.

mod aside;
mod pen;
mod three;

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
};

use aside::{draw_changes, draw_check};
use pen::Pen;
use three::{about_three, draw_three};

use crate::{
    app::{
        geometry::Area,
        panes::editor::{
            Editor, Sheet,
            changes::LineMark,
            check::{self, Reading},
            layout::{self, Parts},
            merging::Standing,
            name_of,
            tokens::{self, TokenKind},
        },
        text::{buffer::Pos, cells},
        words,
    },
    model::draft::DraftTarget,
    ui::{
        panes::rev,
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
    pen.frame(parts.text_box, &title(sheet), &bottom, focused && !sheet.is_merging());
    let id_cursor = draw_id(sheet, &mut pen, &parts);
    let find_cursor = draw_find(sheet, &mut pen, &parts);
    let text_cursor = draw_text(sheet, &mut pen, &parts);
    if parts.about.height > 0 {
        let (role, about) = about_field(sheet);
        pen.line(parts.about, 0, &about, role);
    }
    match (sheet.three(), parts.changes.width > 0) {
        (Some(_), true) => {
            draw_check(sheet, &mut pen, &parts);
            draw_three(sheet, &mut pen, parts.changes);
        }
        (Some(_), false) => draw_three(sheet, &mut pen, parts.check),
        (None, _) => {
            draw_check(sheet, &mut pen, &parts);
            draw_changes(sheet, &mut pen, parts.changes);
        }
    }
    let cursor = match () {
        () if sheet.find.is_some() => find_cursor,
        () if sheet.in_id => id_cursor,
        () => text_cursor,
    };
    cursor.filter(|_| focused && !sheet.is_merging())
}

/// Rows (with the border) a field wants below its own row, at most `most`.
pub fn field_height(editor: &Editor, most: u16) -> u16 {
    let lines = editor.sheet().map_or(1, |sheet| sheet.buffer.lines().len());
    u16::try_from(lines + 3).unwrap_or(most).clamp(4, most.max(4)).min(most)
}

fn title(sheet: &Sheet) -> String {
    let draft = if sheet.begun { " ~ draft" } else { "" };
    let named = if sheet.begun { format!(" of {}", name_of(sheet)) } else { format!(" {}", name_of(sheet)) };
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
    if sheet.is_merging() {
        return "m mine  t theirs  b base  esc later".to_owned();
    }
    let enter = if sheet.is_scalar() { "enter queue" } else { "F2 queue" };
    format!("{enter}  esc keep")
}

fn base_name(sheet: &Sheet) -> String {
    match (sheet.has_base(), rev(sheet.base_revision.as_ref())) {
        (false, _) => "new record".to_owned(),
        (true, Some(rev)) => format!("base {rev}"),
        (true, None) => "base".to_owned(),
    }
}

/// What a field's text means, or why it means nothing.
fn about_field(sheet: &Sheet) -> (Role, String) {
    if let Some(problem) = sheet.check.problems.first() {
        return (Role::Problem, format!("x {}", problem.reason));
    }
    let was = sheet.base().and_then(|base| sheet.pointer().get(base)).map(check::kind_of);
    let meaning = sheet.check.meaning.unwrap_or("not checked yet");
    let reading = if sheet.reading == Reading::Text { ", exactly as typed" } else { "" };
    if let Some(three) = about_three(sheet) {
        return (Role::Conflict, three);
    }
    let moved = if sheet.standing() == Standing::Gone { " | the record is gone; F2 makes it anew" } else { "" };
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

#[cfg(test)]
mod tests;
