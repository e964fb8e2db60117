//! Where everything is on the screen: one function from size and focus to areas, used by drawing and by the mouse.
//!
//! ```text
//!  wide (100+ columns)            narrow (60-99)             too small (under 60x16): no pane
//!  header                         header
//!  1 | 2      | 3                 2      | 3                 A full pane (zoomed, or an overlay) takes the body;
//!  4     | 5  | 6                 4                          collections are a drawer over the narrow screen;
//!  message                        5 Net … / 6 Sync …         popups lie over everything.
//!  hints                          message / hints
//! ```

use crate::app::{pane::PaneName, screen::Screen};

/// A rectangle of cells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Area {
    pub x: u16,
    pub y: u16,
    pub width: u16,
    pub height: u16,
}

impl Area {
    pub fn new(x: u16, y: u16, width: u16, height: u16) -> Self {
        Self { x, y, width, height }
    }

    /// Without the border around it.
    pub fn inner(self) -> Self {
        if self.width < 2 || self.height < 2 {
            return Self { width: 0, height: 0, ..self };
        }
        Self::new(self.x + 1, self.y + 1, self.width - 2, self.height - 2)
    }

    pub fn right(self) -> u16 {
        self.x.saturating_add(self.width)
    }

    pub fn bottom(self) -> u16 {
        self.y.saturating_add(self.height)
    }

    pub fn contains(self, column: u16, row: u16) -> bool {
        (self.x..self.right()).contains(&column) && (self.y..self.bottom()).contains(&row)
    }

    pub fn size(self) -> (u16, u16) {
        (self.width, self.height)
    }

    pub fn row(self, number: u16) -> Self {
        let height = u16::from(number < self.height);
        Self::new(self.x, self.y + number.min(self.height), self.width, height)
    }

    fn split_left(self, width: u16) -> (Self, Self) {
        let width = width.min(self.width);
        (Self { width, ..self }, Self::new(self.x + width, self.y, self.width - width, self.height))
    }

    fn split_top(self, height: u16) -> (Self, Self) {
        let height = height.min(self.height);
        (Self { height, ..self }, Self::new(self.x, self.y + height, self.width, self.height - height))
    }
}

/// How a pane is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Boxed,
    /// One line without a border.
    Line,
    /// The whole body.
    Full,
    /// Over other panes.
    Popup,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub pane: PaneName,
    pub area: Area,
    pub form: Form,
}

impl Place {
    /// The cells the pane may fill.
    pub fn room(&self) -> Area {
        if self.form == Form::Line { self.area } else { self.area.inner() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    TooSmall,
    Narrow,
    Wide,
}

impl Class {
    pub fn of(size: (u16, u16)) -> Self {
        match size {
            (columns, rows) if columns < 60 || rows < 16 => Self::TooSmall,
            (columns, _) if columns < 100 => Self::Narrow,
            _ => Self::Wide,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub class: Class,
    pub size: (u16, u16),
    pub header: Area,
    pub body: Area,
    pub message: Area,
    pub hints: Area,
    /// In drawing order: what lies on top comes last.
    pub places: Vec<Place>,
}

impl Layout {
    pub fn place(&self, pane: PaneName) -> Option<&Place> {
        self.places.iter().rev().find(|place| place.pane == pane)
    }

    /// The topmost pane at a cell.
    pub fn at(&self, column: u16, row: u16) -> Option<&Place> {
        self.places.iter().rev().find(|place| place.area.contains(column, row))
    }
}

pub fn layout(size: (u16, u16), screen: &Screen) -> Layout {
    let (columns, rows) = size;
    let class = Class::of(size);
    let whole = Area::new(0, 0, columns, rows);
    if class == Class::TooSmall {
        return Layout {
            class,
            size,
            header: Area::default(),
            body: whole,
            message: Area::default(),
            hints: Area::default(),
            places: Vec::new(),
        };
    }
    let (header, rest) = whole.split_top(1);
    let (body, foot) = rest.split_top(rest.height - 2);
    let (message, hints) = foot.split_top(1);
    let mut places = Vec::new();
    match screen.full() {
        Some(pane) => places.push(Place { pane, area: body, form: Form::Full }),
        None if class == Class::Wide => wide(body, screen, &mut places),
        None => narrow(body, screen, &mut places),
    }
    if let Some(popup) = screen.popup() {
        places.push(Place { pane: popup, area: popup_area(body, popup), form: Form::Popup });
    }
    Layout { class, size, header, body, message, hints, places }
}

fn share(of: u16, per_mille: u16) -> u16 {
    u16::try_from((u32::from(of) * u32::from(per_mille) + 500) / 1000).unwrap_or(of)
}

fn wide(body: Area, screen: &Screen, places: &mut Vec<Place>) {
    let boxed = |pane, area| Place { pane, area, form: Form::Boxed };
    let low = share(body.height, screen.ratios.bottom).clamp(5, body.height.saturating_sub(7).max(5));
    let (top, bottom) = body.split_top(body.height - low);
    let (collections, rest) = top.split_left(share(top.width, screen.ratios.collections).clamp(18, 48));
    let (records, record) =
        rest.split_left(share(rest.width, screen.ratios.records).clamp(26, rest.width.saturating_sub(26).max(26)));
    let (outbox, rest) =
        bottom.split_left(share(bottom.width, screen.ratios.outbox).clamp(30, bottom.width.saturating_sub(48).max(30)));
    let (connectivity, sync) = rest.split_left(rest.width / 2);
    places.extend([
        boxed(PaneName::Collections, collections),
        boxed(PaneName::Records, records),
        boxed(PaneName::Record, record),
        boxed(PaneName::Outbox, outbox),
        boxed(PaneName::Connectivity, connectivity),
        boxed(PaneName::Sync, sync),
    ]);
}

fn narrow(body: Area, screen: &Screen, places: &mut Vec<Place>) {
    let boxed = |pane, area| Place { pane, area, form: Form::Boxed };
    let (panes, lines) = body.split_top(body.height - 2);
    let low = share(panes.height, 260).max(if panes.height < 14 { 4 } else { 5 });
    let (top, outbox) = panes.split_top(panes.height - low);
    let (records, record) =
        top.split_left(share(top.width, screen.ratios.records).clamp(26, top.width.saturating_sub(24)));
    let (connectivity, sync) = lines.split_top(1);
    places.extend([
        boxed(PaneName::Records, records),
        boxed(PaneName::Record, record),
        boxed(PaneName::Outbox, outbox),
        Place { pane: PaneName::Connectivity, area: connectivity, form: Form::Line },
        Place { pane: PaneName::Sync, area: sync, form: Form::Line },
    ]);
    if screen.focus == PaneName::Collections {
        // In the place of the list it chooses.
        places.push(Place { pane: PaneName::Collections, area: records, form: Form::Popup });
    }
}

fn popup_area(body: Area, pane: PaneName) -> Area {
    let (width, height) = match pane {
        PaneName::Goto => (64, 12),
        _ => (84, 18),
    };
    centred(body, width, height)
}

/// An area of at most this size in the middle of another, a little above the centre.
pub fn centred(body: Area, width: u16, height: u16) -> Area {
    let width = width.min(body.width.saturating_sub(4));
    let height = height.min(body.height.saturating_sub(2));
    Area::new(body.x + (body.width - width) / 2, body.y + (body.height - height) / 3, width, height)
}

/// The outbox on the whole body: its list and the inspector of one op.
pub fn outbox_split(body: Area) -> (Area, Area) {
    if body.width >= 100 {
        return body.split_left(share(body.width, 483));
    }
    body.split_top((body.height / 2).max(6))
}

/// The vault: its list, and the version at the cursor below it.
pub fn vault_split(body: Area) -> (Area, Area) {
    body.split_top(share(body.height, 400).max(6))
}

/// The drafts: their list, and the one at the cursor beside or below it.
pub fn drafts_split(body: Area) -> (Area, Area) {
    if body.width >= 100 {
        return body.split_left(share(body.width, 600));
    }
    body.split_top(share(body.height, 600).max(6))
}

/// The conflict resolver: what happened, the fields, and the chosen field beside the result.
pub fn conflict_split(body: Area) -> ConflictAreas {
    if body.width >= 100 && body.height >= 24 {
        let (story, rest) = body.split_top(4);
        let (fields, rest) = rest.split_top(share(rest.height, 450));
        let (field, result) = rest.split_left(body.width / 2);
        return ConflictAreas { story, fields, field, result };
    }
    let (story, rest) = body.split_top(1);
    let (fields, field) = rest.split_left(share(rest.width, 380).max(24));
    ConflictAreas { story, fields, field, result: Area::default() }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConflictAreas {
    pub story: Area,
    pub fields: Area,
    pub field: Area,
    /// Empty where there is no room for it.
    pub result: Area,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_screen_is_laid_out_as_in_the_mock_ups() {
        let screen = Screen::default();
        let wide = layout((120, 36), &screen);
        let area = |layout: &Layout, pane| layout.place(pane).unwrap().area;
        assert_eq!(area(&wide, PaneName::Collections), Area::new(0, 1, 26, 22));
        assert_eq!(area(&wide, PaneName::Records), Area::new(26, 1, 44, 22));
        assert_eq!(area(&wide, PaneName::Outbox), Area::new(0, 23, 62, 11));
        let narrow = layout((80, 24), &screen);
        assert_eq!(area(&narrow, PaneName::Outbox), Area::new(0, 15, 80, 5));
        assert_eq!(area(&narrow, PaneName::Sync), Area::new(0, 21, 80, 1));
        assert!(narrow.place(PaneName::Collections).is_none());
    }

    #[test]
    fn no_area_leaves_the_screen_at_any_size() {
        for columns in 0..200 {
            for rows in 0..60 {
                for focus in [PaneName::Records, PaneName::Collections, PaneName::Sync] {
                    let screen = Screen { focus, ..Screen::default() };
                    for place in layout((columns, rows), &screen).places {
                        assert!(place.area.right() <= columns && place.area.bottom() <= rows, "{columns}x{rows}");
                        assert!(!place.area.size().0.eq(&0), "{columns}x{rows} {:?}", place.pane);
                    }
                }
            }
        }
    }
}
