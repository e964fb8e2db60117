//! Graphemes, words and terminal cells: where a cursor may stand in a text, and how wide the text is on a screen.
//!
//! Widths are those of the *shown* text, after [`crate::model::display::line`]: a control character takes the one cell
//! of its picture. They are summed by grapheme, as ratatui does it; measuring a whole string would join letters (Arabic
//! lam-alef) that ratatui puts into two cells.

use std::borrow::Cow;

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};
use unicode_width::UnicodeWidthStr;

use crate::model::display;

/// What a combining mark with nothing to stand on is drawn on; without it the mark would take no cell at all.
const CARRIER: char = '\u{25cc}';

/// The graphemes of a text with their byte offsets.
pub fn graphemes(text: &str) -> impl DoubleEndedIterator<Item = (usize, &str)> {
    text.grapheme_indices(true)
}

/// One grapheme as it is put on the screen: visible, and at least one cell wide.
pub fn shown(grapheme: &str) -> Cow<'_, str> {
    let gated = display::line(grapheme);
    if measure(&gated) > 0 { gated } else { format!("{CARRIER}{gated}").into() }
}

/// A text as it is put on the screen, grapheme by grapheme.
pub fn shown_text(text: &str) -> Cow<'_, str> {
    if is_plain_ascii(text) {
        return Cow::Borrowed(text);
    }
    // By grapheme of the text as it is: a mark behind a control character must not join the picture of it.
    graphemes(text).map(|(_, grapheme)| shown(grapheme)).collect::<String>().into()
}

/// Cells one grapheme takes; never 0.
pub fn grapheme_width(grapheme: &str) -> usize {
    match grapheme.as_bytes() {
        [byte] if byte.is_ascii() => 1,
        _ => measure(&display::line(grapheme)).max(1),
    }
}

/// Cells a text takes when drawn on one line.
pub fn width(text: &str) -> usize {
    pieces(text).map(|(_, piece)| piece.cells()).sum()
}

/// The cell at which the byte offset `at` begins.
pub fn column_of(text: &str, at: usize) -> usize {
    width(&text[..floor_boundary(text, at)])
}

/// The byte offset of the grapheme that covers cell `column`, and the cell at which that grapheme begins. Beyond the
/// end: the length and the width of the text.
pub fn offset_at(text: &str, column: usize) -> (usize, usize) {
    let mut begins = 0;
    for (offset, piece) in pieces(text) {
        let cells = piece.cells();
        if begins + cells > column {
            return match piece {
                Piece::Run { like, .. } => {
                    let count = (column - begins) / like.cells;
                    (offset + count * like.bytes, begins + count * like.cells)
                }
                Piece::Grapheme(_) => (offset, begins),
            };
        }
        begins += cells;
    }
    (text.len(), begins)
}

/// The nearest grapheme boundary at or before `at`.
pub fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    match GraphemeCursor::new(at, text.len(), true).is_boundary(text, 0) {
        Ok(true) => at,
        _ => previous_boundary(text, at),
    }
}

/// The grapheme boundary before `at`; 0 at the beginning. `at` is a character boundary.
pub fn previous_boundary(text: &str, at: usize) -> usize {
    GraphemeCursor::new(at, text.len(), true).prev_boundary(text, 0).ok().flatten().unwrap_or(0)
}

/// The grapheme boundary after `at`; the length at the end. `at` is a character boundary.
pub fn next_boundary(text: &str, at: usize) -> usize {
    GraphemeCursor::new(at, text.len(), true).next_boundary(text, 0).ok().flatten().unwrap_or(text.len())
}

/// Where a step one word to the left lands: before the word that ends at or before `at`.
pub fn previous_word(text: &str, at: usize) -> usize {
    let mut chars = text[..at].char_indices().rev().skip_while(|(_, c)| c.is_whitespace()).peekable();
    let Some(kind) = chars.peek().map(|(_, c)| Kind::of(*c)) else { return 0 };
    let begin = chars.take_while(|(_, c)| Kind::of(*c) == kind).last().map_or(0, |(offset, _)| offset);
    floor_boundary(text, begin)
}

/// Where a step one word to the right lands: behind the word that begins at or after `at`.
pub fn next_word(text: &str, at: usize) -> usize {
    let mut chars = text[at..].char_indices().skip_while(|(_, c)| c.is_whitespace()).peekable();
    let Some(kind) = chars.peek().map(|(_, c)| Kind::of(*c)) else { return text.len() };
    let end = chars.find(|(_, c)| Kind::of(*c) != kind).map_or(text.len(), |(offset, _)| at + offset);
    let floor = floor_boundary(text, end);
    if floor > at { floor } else { next_boundary(text, at) }
}

/// What a character counts as when moving and undoing by words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Space,
    Word,
    Sign,
}

impl Kind {
    /// Marks and joiners belong to the word they stand in.
    pub(crate) fn of(c: char) -> Self {
        match c {
            c if c.is_whitespace() => Self::Space,
            c if c.is_alphanumeric() || c == '_' || c == '\u{200d}' || !c.is_ascii() => Self::Word,
            _ => Self::Sign,
        }
    }
}

fn is_plain_ascii(text: &str) -> bool {
    text.as_bytes().chunks(64).all(is_plain_chunk)
}

/// Without early exit, so that it compiles to a few vector instructions: lines may be megabytes long.
fn is_plain_chunk(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |plain, byte| plain & byte.wrapping_sub(b' ').le(&(b'~' - b' ')))
}

/// Length of the run of plain ASCII at the beginning, at most [`LONGEST_RUN`].
fn plain_run(bytes: &[u8]) -> usize {
    let bytes = &bytes[..bytes.len().min(LONGEST_RUN)];
    let chunks = bytes.chunks(64).take_while(|chunk| is_plain_chunk(chunk)).map(<[u8]>::len).sum::<usize>();
    let rest = &bytes[chunks..];
    chunks + rest.iter().position(|byte| !matches!(byte, b' '..=b'~')).unwrap_or(rest.len())
}

const LONGEST_RUN: usize = 4096;

/// As ratatui measures: the halfwidth voiced sound marks take a cell of their own in terminals.
fn measure(gated: &str) -> usize {
    let marks = gated.chars().filter(|c| matches!(c, '\u{ff9e}' | '\u{ff9f}')).count();
    gated.graphemes(true).map(UnicodeWidthStr::width).sum::<usize>() + marks
}

/// A run of characters that are graphemes of their own and alike in bytes and cells, or one grapheme of anything else.
/// Runs make long lines cheap, in most scripts.
enum Piece<'t> {
    Run { text: &'t str, like: Alike },
    Grapheme(&'t str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Alike {
    bytes: usize,
    cells: usize,
}

impl Alike {
    const ASCII: Self = Self { bytes: 1, cells: 1 };
    const NARROW: Self = Self { bytes: 2, cells: 1 };
    const WIDE: Self = Self { bytes: 3, cells: 2 };

    /// For letters that join nothing before or behind them but combining marks.
    fn of(c: char) -> Option<Self> {
        match c {
            ' '..='~' => Some(Self::ASCII),
            // Latin, Greek, Cyrillic, Hebrew letters.
            '\u{c0}'..='\u{24f}' | '\u{386}'..='\u{3ce}' | '\u{400}'..='\u{481}' | '\u{5d0}'..='\u{5ea}' => {
                Some(Self::NARROW)
            }
            // Kana, ideographs, Hangul syllables.
            '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' => {
                Some(Self::WIDE)
            }
            _ => None,
        }
    }
}

impl Piece<'_> {
    fn cells(&self) -> usize {
        match self {
            Self::Run { text, like } => text.len() / like.bytes * like.cells,
            Self::Grapheme(grapheme) => grapheme_width(grapheme),
        }
    }
}

fn pieces(text: &str) -> impl Iterator<Item = (usize, Piece<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = &text[at..];
        let offset = at;
        if let Some(like) = Alike::of(rest.chars().next()?) {
            let mut run = run_of(rest, like);
            // The last of the run may carry the mark that follows it.
            let next = rest[run..].chars().next();
            run -= if next.is_none_or(|c| Alike::of(c).is_some()) { 0 } else { like.bytes };
            if run > 0 {
                at += run;
                return Some((offset, Piece::Run { text: &rest[..run], like }));
            }
        }
        let grapheme = rest.graphemes(true).next()?;
        at += grapheme.len();
        Some((offset, Piece::Grapheme(grapheme)))
    })
}

fn run_of(text: &str, like: Alike) -> usize {
    if like == Alike::ASCII {
        return plain_run(text.as_bytes());
    }
    text.chars().take(LONGEST_RUN).take_while(|c| Alike::of(*c) == Some(like)).count() * like.bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_joined_emoji_is_one_step_and_wide_letters_take_two_cells() {
        assert_eq!(next_boundary("👩‍👩‍👧x", 0), "👩‍👩‍👧".len());
        assert_eq!(width("田中"), 4);
        assert_eq!(width("e\u{301}"), 1);
        assert_eq!(width("a\u{301}bc\u{302}"), 3);
    }

    #[test]
    fn what_would_take_no_cell_is_made_visible() {
        assert_eq!(shown("\u{301}"), "◌\u{301}");
        assert_eq!(shown("\u{1b}"), "␛");
        assert_eq!(width("\u{200d}"), 1);
    }

    #[test]
    fn words_stop_where_letters_and_signs_meet() {
        let text = r#"  "role": "owner","#;
        assert_eq!(next_word(text, 0), 3);
        assert_eq!(next_word(text, 3), 7);
        assert_eq!(previous_word(text, text.len()), text.len() - 2);
        assert_eq!(previous_word(text, 2), 0);
    }

    proptest! {
        #[test]
        fn columns_and_offsets_agree(text in "[a-c \t田é\u{301}\u{200d}👩של\u{200b}\rｶﾞéжか\u{3099}한\u{11a8}狐]{0,12}") {
            for (offset, grapheme) in graphemes(&text) {
                let column = column_of(&text, offset);
                prop_assert_eq!(offset_at(&text, column), (offset, column));
                prop_assert_eq!(column_of(&text, offset + grapheme.len()), column + grapheme_width(grapheme));
                prop_assert_eq!(offset_at(&text, column + grapheme_width(grapheme) - 1), (offset, column));
                prop_assert_eq!(previous_boundary(&text, offset + grapheme.len()), offset);
            }
            prop_assert_eq!(offset_at(&text, usize::MAX), (text.len(), width(&text)));
            prop_assert_eq!(measure(&shown_text(&text)), width(&text));
        }
    }
}
