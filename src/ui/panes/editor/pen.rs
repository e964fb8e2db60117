//! How the editor puts text into cells: clipped, and through the gate.

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::Style,
};

use crate::{
    app::{
        geometry::Area,
        text::{TextInput, cells},
    },
    ui::{
        text::{self, Signs},
        theme::{Look, Role},
    },
};

/// The inside of a box with a blank column at each side.
pub(super) fn padded(area: Area) -> Area {
    let inner = area.inner();
    if inner.width < 12 { inner } else { Area { x: inner.x + 1, width: inner.width - 2, ..inner } }
}

/// Drawing with clipping and the gate: no text reaches a cell but through here.
pub(super) struct Pen<'l, 'b> {
    pub look: Look<'l>,
    pub buf: &'b mut Buffer,
}

impl Pen<'_, '_> {
    pub fn blank(&mut self, area: Rect) {
        let style: Style = self.look.style(Role::Text);
        for position in area.positions() {
            self.buf[position].reset();
            self.buf[position].set_style(style);
        }
    }

    pub fn put(&mut self, x: u16, y: u16, text: &str, role: Role) {
        let room = usize::from(self.buf.area.right().saturating_sub(x));
        self.buf.set_stringn(x, y, text::line(text), room, self.look.style(role));
    }

    /// One row of an area, cut to its width.
    pub fn line(&mut self, area: Area, row: usize, text: &str, role: Role) {
        let Some(row) = u16::try_from(row).ok().filter(|row| *row < area.height) else { return };
        let cut = text::cut(text, usize::from(area.width), self.look.glyphs);
        self.buf.set_stringn(area.x, area.y + row, cut, usize::from(area.width), self.look.style(role));
    }

    /// Marks the row of the cursor.
    pub fn select(&mut self, row: Area) {
        let area = Rect::new(row.x, row.y, row.width, row.height).intersection(self.buf.area);
        self.buf.set_style(area, self.look.style(Role::Selected));
    }

    /// A border with a title at the top left and a fact at the bottom right.
    pub fn frame(&mut self, area: Area, title: &str, bottom: &str, focused: bool) {
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
    pub fn input(&mut self, area: Area, label: &str, input: &TextInput, fact: &str, role: Role) -> Option<Position> {
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
