//! The one way text reaches the buffer: cut, padded and passed through the display gate, in a style by role.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
};

use crate::{
    app::{geometry::Area, settings::Glyphs, text::TextInput},
    ui::{
        text::{self, Signs},
        theme::{Role, Theme},
    },
};

/// What a frame is drawn on.
pub struct Canvas<'c> {
    buffer: &'c mut Buffer,
    theme: &'c Theme,
    pub glyphs: Glyphs,
    /// Where the terminal's cursor belongs, if an input has it.
    pub cursor: Option<(u16, u16)>,
}

/// The texts of a box's border.
#[derive(Debug, Clone, Default)]
pub struct Border<'t> {
    pub title: &'t str,
    pub title_right: &'t str,
    pub bottom_left: &'t str,
    pub bottom_right: &'t str,
    pub focused: bool,
}

/// A piece of a line.
pub type Piece<'t> = (&'t str, Role);

impl<'c> Canvas<'c> {
    pub fn new(buffer: &'c mut Buffer, theme: &'c Theme, glyphs: Glyphs) -> Self {
        Self { buffer, theme, glyphs, cursor: None }
    }

    pub fn buffer(&mut self) -> &mut Buffer {
        self.buffer
    }

    pub fn theme(&self) -> &'c Theme {
        self.theme
    }

    pub fn signs(&self) -> &'static Signs {
        Signs::of(self.glyphs)
    }

    pub fn style(&self, role: Role) -> Style {
        self.theme.style(role)
    }

    /// Blank cells in the theme's own colours.
    pub fn clear(&mut self, area: Area) {
        let area = self.clip(area);
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                let cell = &mut self.buffer[(x, y)];
                cell.reset();
                cell.set_style(self.theme.style(Role::Text));
            }
        }
    }

    fn clip(&self, area: Area) -> Rect {
        Rect::new(area.x, area.y, area.width, area.height).intersection(self.buffer.area)
    }

    /// Writes at most `room` cells of a text, with an ellipsis where it is longer. Gives the cells used.
    pub fn put(&mut self, x: u16, y: u16, text: &str, room: usize, role: Role) -> u16 {
        let style = self.style(role);
        self.put_styled(x, y, text, room, style)
    }

    pub fn put_styled(&mut self, x: u16, y: u16, text: &str, room: usize, style: Style) -> u16 {
        if room == 0 || y >= self.buffer.area.bottom() || x >= self.buffer.area.right() {
            return 0;
        }
        let shown = text::cut(text, room, self.glyphs);
        let (end, _) = self.buffer.set_stringn(x, y, &shown, room, style);
        end - x
    }

    /// Writes a text so that it ends before `right`. Gives where it begins.
    pub fn put_right(&mut self, right: u16, y: u16, text: &str, room: usize, role: Role) -> u16 {
        let shown = text::cut(text, room, self.glyphs);
        let width = u16::try_from(text::width(&shown)).unwrap_or(0);
        let x = right.saturating_sub(width);
        self.put(x, y, &shown, room, role);
        x
    }

    /// Writes pieces after each other within an area's first row.
    pub fn pieces(&mut self, area: Area, pieces: &[Piece<'_>]) -> u16 {
        let mut x = area.x;
        if area.height == 0 {
            return x;
        }
        for (text, role) in pieces {
            let room = usize::from(area.right().saturating_sub(x));
            x += self.put(x, area.y, text, room, *role);
        }
        x
    }

    /// Lays a role over cells already written, keeping their text.
    pub fn overlay(&mut self, area: Area, role: Role) {
        let style = self.style(role);
        let area = self.clip(area);
        self.buffer.set_style(area, style);
    }

    pub fn modify(&mut self, area: Area, modifier: Modifier) {
        let area = self.clip(area);
        self.buffer.set_style(area, Style::new().add_modifier(modifier));
    }

    /// A border with its texts; thick where focused.
    pub fn frame(&mut self, area: Area, border: &Border<'_>) {
        if area.width < 2 || area.height < 2 {
            return;
        }
        let [horizontal, vertical, top_left, top_right, bottom_left, bottom_right] =
            if border.focused { self.signs().thick } else { self.signs().border };
        let role = if border.focused { Role::BorderFocused } else { Role::Border };
        let style = self.style(role);
        let inner = usize::from(area.width) - 2;
        let line = horizontal.repeat(inner);
        let (last_x, last_y) = (area.right() - 1, area.bottom() - 1);
        for (y, left, right) in [(area.y, top_left, top_right), (last_y, bottom_left, bottom_right)] {
            self.put_styled(area.x, y, left, 1, style);
            self.put_styled(area.x + 1, y, &line, inner, style);
            self.put_styled(last_x, y, right, 1, style);
        }
        for y in area.y + 1..last_y {
            self.put_styled(area.x, y, vertical, 1, style);
            self.put_styled(last_x, y, vertical, 1, style);
        }
        let title = if border.focused { Role::Title } else { Role::Text };
        self.on_border(area, area.y, border.title, border.title_right, title);
        self.on_border(area, last_y, border.bottom_left, border.bottom_right, Role::Dim);
    }

    fn on_border(&mut self, area: Area, y: u16, left: &str, right: &str, role: Role) {
        let room = usize::from(area.width).saturating_sub(6);
        let mut used = 0;
        if !right.is_empty() && room > 0 {
            let text = format!(" {} ", text::cut(right, room, self.glyphs));
            let x = area.right().saturating_sub(2 + u16::try_from(text::width(&text)).unwrap_or(0));
            self.put(x, y, &text, room + 2, Role::Dim);
            used = text::width(&text) + 1;
        }
        let room = room.saturating_sub(used);
        if !left.is_empty() && room >= 3 {
            let text = format!(" {} ", text::cut(left, room, self.glyphs));
            self.put(area.x + 2, y, &text, room + 2, role);
        }
    }

    /// Draws a one-line input and puts the terminal's cursor into it where `active`.
    pub fn input(&mut self, x: u16, y: u16, room: usize, input: &TextInput, active: bool) {
        let (from, column) = input.window(room);
        let part = text::slice(&input.text()[from..], 0, room);
        let shown = part.text.to_owned();
        self.put(x, y, &shown, room, Role::Text);
        if let Some((begin, end)) = input.selection().filter(|_| active) {
            let before = text::width(&text::line(&input.text()[from.min(begin)..begin.max(from)]));
            let width = text::width(&text::line(&input.text()[begin.max(from)..end.max(from)]));
            let width = width.min(room.saturating_sub(before));
            let place = (u16::try_from(before).unwrap_or(0), u16::try_from(width).unwrap_or(0));
            self.overlay(Area::new(x + place.0, y, place.1, 1), Role::Selected);
        }
        if active && room > 0 {
            let column = u16::try_from(column.min(room - 1)).unwrap_or(0);
            self.cursor = Some((x + column, y));
        }
    }

    /// A progress bar in brackets: `[#####.....]`.
    pub fn bar(&self, part: f64, width: usize) -> String {
        let inner = width.saturating_sub(2);
        let full = ((part.clamp(0.0, 1.0) * inner as f64) as usize).min(inner);
        format!("[{}{}]", self.signs().bar_full.repeat(full), self.signs().bar_empty.repeat(inner - full))
    }

    /// Numbers as a line of block heights, the last `room` of them.
    pub fn sparkline(&self, numbers: &[u32], room: usize) -> String {
        let shown = &numbers[numbers.len().saturating_sub(room)..];
        let most = shown.iter().copied().max().unwrap_or(0).max(1);
        let level = |number: u32| 1 + (u64::from(number) * 7 / u64::from(most)) as usize;
        shown.iter().map(|number| self.signs().levels[level(*number).min(8)]).collect()
    }
}
