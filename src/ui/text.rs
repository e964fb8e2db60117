//! Text in cells: measuring, cutting and padding, and the signs ebbtide draws with.
//!
//! Everything here passes `model::display::line`, so a cut or padded text is fit for a `Span` whatever a server put
//! into it. Widths are measured, never counted in characters (trap 8): a padded cell is exactly as wide as it says,
//! which isolates user text in its own cell.

use std::borrow::Cow;

use crate::app::{settings::Glyphs, text::cells};

/// Cells a text takes on one line.
pub fn width(text: &str) -> usize {
    cells::width(text)
}

/// The text fit for the screen, as it is.
pub fn line(text: &str) -> Cow<'_, str> {
    cells::shown_text(text)
}

/// The text in at most `room` cells; where something is left out, the last cell says so.
pub fn cut(text: &str, room: usize, glyphs: Glyphs) -> String {
    let shown = cells::shown_text(text);
    if cells::width(&shown) <= room {
        return shown.into_owned();
    }
    let Some(kept) = room.checked_sub(1) else { return String::new() };
    let (end, _) = cells::offset_at(&shown, kept);
    format!("{}{}", &shown[..end], Signs::of(glyphs).ellipsis)
}

/// Like [`cut`], but leaves out the beginning: for paths and other texts whose end tells more.
pub fn cut_start(text: &str, room: usize, glyphs: Glyphs) -> String {
    let shown = cells::shown_text(text);
    let total = cells::width(&shown);
    if total <= room {
        return shown.into_owned();
    }
    let Some(kept) = room.checked_sub(1) else { return String::new() };
    let (mut from, begins) = cells::offset_at(&shown, total - kept);
    if begins < total - kept {
        from = cells::next_boundary(&shown, from);
    }
    format!("{}{}", Signs::of(glyphs).ellipsis, &shown[from..])
}

/// Exactly `room` cells, text at the left.
pub fn pad(text: &str, room: usize, glyphs: Glyphs) -> String {
    let mut text = cut(text, room, glyphs);
    let blank = room.saturating_sub(cells::width(&text));
    text.extend(std::iter::repeat_n(' ', blank));
    text
}

/// Exactly `room` cells, text at the right: for numbers and ages.
pub fn pad_left(text: &str, room: usize, glyphs: Glyphs) -> String {
    let text = cut(text, room, glyphs);
    let blank = room.saturating_sub(cells::width(&text));
    format!("{}{text}", " ".repeat(blank))
}

/// The cells `from..from + room` of a text: a horizontally scrolled line. A wide character cut by the left edge is
/// drawn as spaces, so that the columns behind it stay where they are. Also gives the byte offset in `text` of the
/// first grapheme drawn whole, and the blank cells before it.
pub fn slice(text: &str, from: usize, room: usize) -> Slice<'_> {
    let (mut begin, column) = cells::offset_at(text, from);
    let mut blanks = 0;
    if column < from && begin < text.len() {
        let next = cells::next_boundary(text, begin);
        blanks = column + cells::grapheme_width(&text[begin..next]) - from;
        begin = next;
    }
    let (length, _) = cells::offset_at(&text[begin..], room.saturating_sub(blanks));
    Slice { text: &text[begin..begin + length], begin, blanks: blanks.min(room) }
}

/// What [`slice()`] gives; `text` is raw and still passes [`line()`] before it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice<'t> {
    pub text: &'t str,
    pub begin: usize,
    pub blanks: usize,
}

/// Breaks text for people into lines of at most `room` cells, between words where possible.
pub fn wrap(text: &str, room: usize) -> Vec<String> {
    let room = room.max(1);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let mut word = cells::shown_text(word).into_owned();
        let mut cells_of_word = cells::width(&word);
        if used > 0 && used + 1 + cells_of_word > room {
            lines.push(String::new());
            used = 0;
        }
        while cells_of_word > room {
            let (mut end, _) = cells::offset_at(&word, room);
            end = if end == 0 { cells::next_boundary(&word, 0) } else { end };
            let rest = word.split_off(end);
            *lines.last_mut().expect("begins with one line") = word;
            lines.push(String::new());
            (word, cells_of_word) = (rest.clone(), cells::width(&rest));
        }
        let last = lines.last_mut().expect("begins with one line");
        if used > 0 {
            last.push(' ');
            used += 1;
        }
        last.push_str(&word);
        used += cells_of_word;
    }
    lines
}

/// The signs ebbtide draws itself. None carries a meaning alone; the ASCII set is for terminals and screen readers
/// that do better without the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signs {
    pub ellipsis: &'static str,
    pub folded: &'static str,
    pub unfolded: &'static str,
    /// Horizontal, vertical, and the corners top left, top right, bottom left, bottom right of a plain border.
    pub border: [&'static str; 6],
    /// The same of the focused pane's border.
    pub thick: [&'static str; 6],
    /// Nine steps from empty to full, for sparklines.
    pub levels: [&'static str; 9],
    pub bar_full: &'static str,
    pub bar_empty: &'static str,
    pub dot: &'static str,
    /// A moment on a track, and the one chosen.
    pub tick: &'static str,
    pub knob: &'static str,
}

impl Signs {
    pub const UNICODE: Signs = Signs {
        ellipsis: "…",
        folded: "▸",
        unfolded: "▾",
        border: ["─", "│", "┌", "┐", "└", "┘"],
        thick: ["━", "┃", "┏", "┓", "┗", "┛"],
        levels: [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
        bar_full: "#",
        bar_empty: ".",
        dot: "·",
        tick: "┼",
        knob: "●",
    };

    pub const ASCII: Signs = Signs {
        ellipsis: "~",
        folded: ">",
        unfolded: "v",
        border: ["-", "|", "+", "+", "+", "+"],
        thick: ["=", "#", "#", "#", "#", "#"],
        levels: [" ", "_", "_", ".", ".", "-", "-", "^", "^"],
        bar_full: "#",
        bar_empty: ".",
        dot: ".",
        tick: "+",
        knob: "O",
    };

    pub fn of(glyphs: Glyphs) -> &'static Signs {
        match glyphs {
            Glyphs::Unicode => &Self::UNICODE,
            Glyphs::Ascii => &Self::ASCII,
        }
    }

    /// The border as ratatui wants it.
    pub fn border_set(&self, focused: bool) -> ratatui::symbols::border::Set<'static> {
        let [horizontal, vertical, top_left, top_right, bottom_left, bottom_right] =
            if focused { self.thick } else { self.border };
        ratatui::symbols::border::Set {
            top_left,
            top_right,
            bottom_left,
            bottom_right,
            vertical_left: vertical,
            vertical_right: vertical,
            horizontal_top: horizontal,
            horizontal_bottom: horizontal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const U: Glyphs = Glyphs::Unicode;

    #[test]
    fn a_cut_never_halves_a_wide_character() {
        assert_eq!(cut("田中さん", 5, U), "田中…");
        assert_eq!(cut("田中さん", 4, U), "田…");
        assert_eq!(pad("田中さん", 4, U), "田… ");
        assert_eq!(cut("田中", 4, Glyphs::Ascii), "田中");
        assert_eq!(cut("abcdef", 4, Glyphs::Ascii), "abc~");
        assert_eq!(cut_start("/home/bo/config", 8, U), "…/config");
    }

    #[test]
    fn escape_sequences_do_not_pass() {
        assert_eq!(pad("a\u{1b}[31mb\u{202e}", 10, U), "a␛[31mb␣  ");
    }

    #[test]
    fn a_scrolled_line_keeps_its_columns() {
        assert_eq!(slice("田中x", 1, 3), Slice { text: "中", begin: 3, blanks: 1 });
        assert_eq!(slice("abc", 1, 1), Slice { text: "b", begin: 1, blanks: 0 });
        assert_eq!(slice("abc", 9, 4).text, "");
    }

    #[test]
    fn sentences_break_between_words_and_long_words_inside() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
    }

    proptest! {
        #[test]
        fn every_cell_is_as_wide_as_it_says(text in "[a-c \t\u{1b}田é\u{301}\u{200d}👩של]{0,12}", room in 0..9_usize) {
            prop_assert!(width(&cut(&text, room, U)) <= room);
            prop_assert!(width(&cut_start(&text, room, U)) <= room);
            prop_assert_eq!(width(&pad(&text, room, U)), room);
            prop_assert_eq!(width(&pad_left(&text, room, Glyphs::Ascii)), room);
            let part = slice(&text, 2, room);
            prop_assert!(part.blanks + width(part.text) <= room);
        }
    }
}
