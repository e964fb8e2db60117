//! Where the parts of the editor are: one function for drawing and for the mouse.
//!
//! ```text
//!  100+ columns                       narrower
//!  ┏ JSON ━━━━━━━━┓┌ Check ──────┐    ┏ JSON ━━━━━━━━━━━━━━┓
//!  ┃M  5  "role"… ┃│ problems    │    ┃M  5  "role": …     ┃
//!  ┃              ┃└─────────────┘    ┗━━━━━━━━━━━━━━━━━━━━┛
//!  ┃              ┃┌ Changes ────┐    ┌ Check ─────────────┐
//!  ┗━━━━━━━━━━━━━━┛└─────────────┘    └────────────────────┘
//! ```
//! A field in place has its text and one line about it, inside a border of its own.

use crate::app::geometry::Area;

/// What the parts depend on besides the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// A single field inside another pane.
    pub field: bool,
    /// The id of a new record is above the text.
    pub has_id: bool,
    pub finding: bool,
    /// Fields that are shown in three versions, because the record moved.
    pub three: usize,
    /// Lines of the text: the gutter grows with their number.
    pub lines: usize,
}

/// All areas are in the coordinates of the area given; parts without room have no width or height.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parts {
    /// The bordered box of the text.
    pub text_box: Area,
    pub id: Area,
    pub gutter: Area,
    pub text: Area,
    pub find: Area,
    pub check: Area,
    pub changes: Area,
    /// The line about a field.
    pub about: Area,
}

pub fn parts(area: Area, shape: Shape) -> Parts {
    let mut parts = Parts { text_box: area, ..Parts::default() };
    if !shape.field {
        aside(area, shape.three, &mut parts);
    }
    let mut inner = parts.text_box.inner();
    if shape.has_id && inner.height > 2 {
        parts.id = inner.row(0);
        inner = lower(inner, 2);
    }
    if shape.finding && inner.height > 1 {
        parts.find = inner.row(inner.height - 1);
        inner.height -= 1;
    }
    if shape.field && inner.height > 1 {
        parts.about = inner.row(inner.height - 1);
        inner.height -= 1;
    }
    let gutter = if shape.field { 0 } else { gutter_width(shape.lines).min(inner.width / 2) };
    parts.gutter = Area { width: gutter, ..inner };
    parts.text = Area::new(inner.x + gutter, inner.y, inner.width - gutter, inner.height);
    parts
}

fn aside(area: Area, three: usize, parts: &mut Parts) {
    if area.width >= 100 && area.height >= 12 {
        let right = u16::try_from(u32::from(area.width) * 44 / 120).unwrap_or(area.width).clamp(36, 64);
        let left = area.width - right;
        let upper = if three > 0 { area.height * 2 / 5 } else { area.height / 2 };
        parts.text_box = Area { width: left, ..area };
        parts.check = Area::new(area.x + left, area.y, right, upper);
        parts.changes = Area::new(area.x + left, area.y + upper, right, area.height - upper);
    } else if area.height >= 12 {
        let low = (area.height / 4).clamp(4, 8);
        let low = u16::try_from(three + 4).unwrap_or(low).min(area.height / 2).max(low);
        parts.text_box = Area { height: area.height - low, ..area };
        parts.check = Area::new(area.x, area.y + area.height - low, area.width, low);
    }
}

/// A mark, the number, two blanks.
fn gutter_width(lines: usize) -> u16 {
    let digits = lines.max(1).ilog10() + 1;
    u16::try_from(digits).unwrap_or(9).max(3) + 3
}

fn lower(area: Area, rows: u16) -> Area {
    let rows = rows.min(area.height);
    Area::new(area.x, area.y + rows, area.width, area.height - rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: Shape = Shape { field: false, has_id: false, finding: false, three: 0, lines: 14 };

    #[test]
    fn the_parts_are_where_the_mock_ups_have_them() {
        let wide = parts(Area::new(0, 1, 120, 33), DOCUMENT);
        assert_eq!(wide.text_box, Area::new(0, 1, 76, 33));
        assert_eq!(wide.check, Area::new(76, 1, 44, 16));
        assert_eq!(wide.changes, Area::new(76, 17, 44, 17));
        assert_eq!(wide.text, Area::new(7, 2, 68, 31));
        let narrow = parts(Area::new(0, 1, 80, 21), DOCUMENT);
        assert_eq!((narrow.text_box.height, narrow.check.height, narrow.changes.height), (16, 5, 0));
    }

    #[test]
    fn no_part_leaves_the_area_at_any_size() {
        for (field, has_id, finding, three) in
            [(false, false, false, 0), (false, true, true, 0), (true, false, false, 1), (false, false, false, 40)]
        {
            for width in 0..130 {
                for height in 0..40 {
                    let shape = Shape { field, has_id, finding, three, lines: 20_000 };
                    let area = Area::new(3, 2, width, height);
                    let all = parts(area, shape);
                    for part in
                        [all.text_box, all.id, all.gutter, all.text, all.find, all.check, all.changes, all.about]
                    {
                        let empty = part.width == 0 || part.height == 0;
                        assert!(empty || part.right() <= area.right() && part.bottom() <= area.bottom(), "{part:?}");
                    }
                }
            }
        }
    }
}
