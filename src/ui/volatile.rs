//! The declared list of cells that may differ between the last frame before a kill and the first one after it (R2).
//!
//! | cells | why |
//! |---|---|
//! | message row, and the keys' row where the message's hint stands there | a message is about the moment |
//! | connectivity word of the header | nothing was asked since the start: `UNKNOWN` |
//! | source lines of collections | the same |
//! | panes 5 and 6, in both their forms | connectivity, round trips, progress |
//! | ages (`now`, `22m`, `3h`, `9d`) | time goes on |
//! | how many moments a session has; the history's track and number | a start keeps what the run before it left |
//! | the screen shown inside of the history | all of the above, in a layout of its own |
//! | `sending` | became `in doubt`; `saving` became `queued` |
//!
//! Works on the text of a screen and the layout it was drawn by, so that it serves drawn buffers and real terminals
//! alike: outside the process the layout is made from the size and the saved `screen` slice.

use unicode_segmentation::UnicodeSegmentation as _;

use crate::{
    app::{
        geometry::{Area, Form, Layout, Place},
        pane::PaneName,
    },
    ui::text,
};

/// One cell: its text; empty behind a wide character.
type Cells = Vec<String>;

const MASK: &str = "·";

/// The screen's lines with every volatile cell replaced by `·`. Widths stay.
pub fn mask(lines: &[String], layout: &Layout) -> Vec<String> {
    let mut rows: Vec<Cells> = lines.iter().map(|line| cells(line)).collect();
    if layout.places.is_empty() {
        // Too small for panes: what is left says connectivity.
        return vec![String::new(); lines.len()];
    }
    // A symbol made of several may take other cells in a terminal than here: the row counts as a whole.
    if let Some(message) = rows.get_mut(usize::from(layout.message.y)).filter(|_| layout.message.height > 0) {
        *message = vec![MASK.to_owned(); usize::from(layout.message.width)];
    }
    // A hint begins below its message, keys at the margin.
    let is_hint = |row: &Cells| row.iter().take_while(|cell| *cell == " ").count() == 4;
    if let Some(hints) = rows.get_mut(usize::from(layout.hints.y)).filter(|row| is_hint(row)) {
        *hints = vec![MASK.to_owned(); usize::from(layout.hints.width)];
    }
    if let Some(header) = rows.get_mut(usize::from(layout.header.y)) {
        mask_header(header);
    }
    for (index, place) in layout.places.iter().enumerate() {
        let above = &layout.places[index + 1..];
        match (place.pane, place.form) {
            (PaneName::Connectivity | PaneName::Sync, Form::Line) => hide(&mut rows, place.area, above),
            (PaneName::Connectivity | PaneName::Sync, _) => hide(&mut rows, place.room(), above),
            (PaneName::Collections, _) => mask_sources(&mut rows, place.room(), above),
            (PaneName::Sessions, _) => mask_moments(&mut rows, place.room()),
            (PaneName::History, _) => {
                let (room, strip) = (place.room(), crate::app::panes::history::STRIP);
                hide(&mut rows, room.row(0), above);
                let below = Area { y: room.y + strip, height: room.height.saturating_sub(strip), ..room };
                hide(&mut rows, below, above);
                fill(&mut rows, Area { y: place.area.bottom().saturating_sub(1), height: 1, ..place.area });
            }
            _ => {}
        }
    }
    for row in &mut rows {
        mask_words(row);
    }
    rows.into_iter().map(|row| row.concat()).collect()
}

/// Of two masked screens, a row that is volatile as a whole in one is so in the other.
pub fn agree(before: &mut [String], after: &mut [String]) {
    let is_whole = |row: &String| row.starts_with(MASK) && row.trim_end().chars().all(|cell| MASK.contains(cell));
    for (before, after) in before.iter_mut().zip(after) {
        if is_whole(before) {
            after.clone_from(before);
        } else if is_whole(after) {
            before.clone_from(after);
        }
    }
}

fn cells(line: &str) -> Cells {
    let mut cells: Cells = Vec::new();
    // A mark by itself is as wide as a letter; behind one it takes no cell.
    for symbol in line.graphemes(true) {
        match (text::width(symbol), cells.iter_mut().rev().find(|cell| !cell.is_empty())) {
            (0, Some(last)) => last.push_str(symbol),
            (2, _) => cells.extend([symbol.to_owned(), String::new()]),
            _ => cells.push(symbol.to_owned()),
        }
    }
    cells
}

fn fill(rows: &mut [Cells], area: Area) {
    for y in area.y..area.bottom() {
        let Some(row) = rows.get_mut(usize::from(y)) else { continue };
        let (from, to) = (usize::from(area.x).min(row.len()), usize::from(area.right()).min(row.len()));
        row[from..to].fill(MASK.to_owned());
    }
}

/// Fills what of an area is not covered by places drawn later.
fn hide(rows: &mut [Cells], area: Area, above: &[Place]) {
    for y in area.y..area.bottom() {
        for x in area.x..area.right() {
            if !above.iter().any(|place| place.area.contains(x, y)) {
                fill(rows, Area::new(x, y, 1, 1));
            }
        }
    }
}

/// The fact before `queued`, and the session's name, which moves with its width.
fn mask_header(row: &mut Cells) {
    let is_bar = |at: usize, row: &Cells| row[at..].starts_with(&[" ".to_owned(), "|".to_owned(), " ".to_owned()]);
    let Some(queued) = (0..row.len()).find(|at| row[*at..].concat().starts_with(" queued")) else { return };
    let Some(end) = (0..queued).rev().find(|at| is_bar(*at, row)) else { return };
    let session = (0..end).find(|at| row[*at..].concat().starts_with("session "));
    let begin = session.unwrap_or_else(|| {
        (0..end).rev().find(|at| row[*at] == " " && *at > 0 && row[*at - 1] == " ").map_or(0, |at| at + 1)
    });
    let from = (0..begin).rev().find(|at| row[*at] != " ").map_or(0, |at| at + 1);
    row[from..end].fill(MASK.to_owned());
}

/// The word at the right of a source: lines that begin with a fold sign.
fn mask_sources(rows: &mut [Cells], area: Area, above: &[Place]) {
    for y in area.y..area.bottom() {
        let Some(row) = rows.get_mut(usize::from(y)) else { continue };
        let (left, right) = (usize::from(area.x), usize::from(area.right()).min(row.len()));
        let folds = row.get(left..left + 1).is_some_and(|first| matches!(first[0].as_str(), "▾" | "▸" | ">" | "v"));
        let covered = above.iter().any(|place| place.area.contains(area.x + 2, y));
        let indented = !covered && row.get(left + 2).is_none_or(|third| third == " ");
        if folds && !indented && right > left + 4 {
            let from = (left + 3..right).find(|x| row[*x] == " ").unwrap_or(right);
            let from = u16::try_from(from).unwrap_or(area.x);
            hide(rows, Area::new(from, y, area.right().saturating_sub(from), 1), above);
        }
    }
}

/// The column of a session list that says how many moments are kept, or nothing yet.
fn mask_moments(rows: &mut [Cells], area: Area) {
    let right = usize::from(area.right());
    let heading = rows.get(usize::from(area.y)).and_then(|row| {
        (usize::from(area.x)..right.min(row.len())).find(|x| row[*x..].concat().starts_with("HISTORY"))
    });
    let Some(from) = heading else { return };
    for y in area.y + 1..area.bottom() {
        let Some(column) = rows.get_mut(usize::from(y)).and_then(|row| row.get_mut(from..right)) else { continue };
        let text = column.concat();
        let number = text.trim().trim_end_matches('s').trim_end_matches(" moment");
        if number.chars().all(|c| c.is_ascii_digit()) {
            column.fill(MASK.to_owned());
        }
    }
}

/// Ages, and states that cannot outlive the process.
fn mask_words(row: &mut Cells) {
    let mut at = 0;
    while at < row.len() {
        let end = (at..row.len()).find(|x| is_edge(&row[*x])).unwrap_or(row.len());
        if is_age(&row[at..end].concat()) {
            // Ages are set to the right, in four cells at most.
            let begin = (0..at).rev().take_while(|x| row[*x] == " " && end - x <= 4).last().unwrap_or(at);
            row[begin..end].fill(MASK.to_owned());
        }
        at = end + 1;
    }
    for state in ["> sending ", "? in doubt", "s saving ", ". queued ", "Saving your change", "received just now"] {
        let found = (0..row.len()).find(|at| row[*at] == state[..1] && row[*at..].concat().starts_with(state));
        if let Some(from) = found {
            let end = (from + state.len().max(10)).min(row.len());
            row[from..end].fill(MASK.to_owned());
        }
    }
}

fn is_edge(cell: &str) -> bool {
    matches!(cell, " " | "│" | "┃" | "|")
}

fn is_age(word: &str) -> bool {
    if word == "now" || word == "ago" {
        return true;
    }
    let mut characters = word.chars();
    let unit = characters.next_back();
    matches!(unit, Some('m' | 'h' | 'd')) && !characters.as_str().is_empty() && characters.all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::mask;
    use crate::app::{geometry::layout, screen::Screen};

    fn masked(lines: &[&str]) -> Vec<String> {
        let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let foot = lines.split_off(lines.len() - 2);
        lines.resize(14, " ".repeat(80));
        lines.extend(foot);
        mask(&lines, &layout((80, 16), &Screen::default()))
    }

    #[test]
    fn ages_connectivity_and_the_message_do_not_count() {
        let before = masked(&[
            " a > b                  session x | OFFLINE 14m | 7 queued | saved ",
            "│ u_1   Ana    22m │",
            " i  something     ",
            " hints",
        ]);
        let after = masked(&[
            " a > b                      session x | UNKNOWN | 7 queued | saved ",
            "│ u_1   Ana    23m │",
            "                  ",
            " hints",
        ]);
        assert_eq!(before, after);
    }

    #[test]
    fn the_hint_of_a_message_in_the_place_of_the_keys_does_not_count() {
        let mut before = masked(&["head", "│ u_1   Ana │", " i  something", "    the key that takes it back"]);
        let mut after = masked(&["head", "│ u_1   Ana │", "", " j/k move  ? help"]);
        assert_ne!(before, after);
        super::agree(&mut before, &mut after);
        assert_eq!(before, after);
        let mut other = masked(&["head", "│ u_1   Ana │", "", " j/k move  enter open"]);
        let mut after = masked(&["head", "│ u_1   Ana │", "", " j/k move  ? help"]);
        super::agree(&mut other, &mut after);
        assert_ne!(other, after, "the keys count");
    }

    #[test]
    fn a_symbol_made_of_several_takes_the_cells_of_one() {
        let row = super::cells("e\u{301}\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}x");
        assert_eq!(row, ["e\u{301}", "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}", "", "x"]);
    }

    #[test]
    fn what_is_not_declared_counts() {
        let lines = ["head | 1 queued", "│ u_1   Ana │", " m", " hints"];
        let mut other = lines;
        other[1] = "│ u_2   Ana │";
        assert_ne!(masked(&lines), masked(&other));
    }
}
