//! Moving a cursor through a list that is there as a whole, and keeping it in view.

use crate::app::action::Action;

/// Where a movement leads in a list of `length` rows; `None` where the action is no movement.
pub fn step(action: Action, index: usize, length: usize, page: usize) -> Option<usize> {
    let last = length.saturating_sub(1);
    let half = (page / 2).max(1);
    Some(match action {
        Action::MoveDown => (index + 1).min(last),
        Action::MoveUp => index.saturating_sub(1).min(last),
        Action::First => 0,
        Action::Last => last,
        Action::HalfPageDown => (index + half).min(last),
        Action::HalfPageUp => index.saturating_sub(half),
        _ => return None,
    })
}

/// So many more are read where the last of a list is gone to that has more than was read.
pub const FAR: usize = 5_000;

/// The first row to draw, so that the cursor is in view and no space is left at the end without need.
pub fn view(top: usize, cursor: usize, height: usize, length: usize) -> usize {
    if height == 0 {
        return cursor.min(length);
    }
    let top = top.min(length.saturating_sub(height));
    top.clamp((cursor + 1).saturating_sub(height), cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_stays_in_view() {
        assert_eq!(view(0, 9, 5, 20), 5);
        assert_eq!(view(8, 3, 5, 20), 3);
        assert_eq!(view(18, 19, 5, 20), 15);
        assert_eq!(view(3, 0, 5, 0), 0);
    }
}
