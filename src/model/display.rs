//! The one gate between data and the terminal: nothing a server sent reaches a cell without passing here.
//!
//! Control characters, escape sequences, bidi overrides, zero-width characters and line separators are made visible
//! or harmless. `--json` output does not pass here: it is exact.

/// Text fit for one line of a terminal. Control characters become Unicode control pictures (`\n` → `␊`, ESC → `␛`),
/// direction overrides and invisible characters become `·`-like marks; everything else stays as it is.
pub fn line(text: &str) -> std::borrow::Cow<'_, str> {
    if text.chars().all(is_plain) {
        return std::borrow::Cow::Borrowed(text);
    }
    text.chars().map(|c| if is_plain(c) { c } else { visible(c) }).collect::<String>().into()
}

fn is_plain(c: char) -> bool {
    !(c.is_control() || is_invisible(c))
}

/// Characters that occupy no cell of their own or reorder the line. Joiners stay: emoji and Indic scripts need them.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn visible(c: char) -> char {
    match u32::from(c) {
        code @ 0..=0x1f => char::from_u32(0x2400 + code).unwrap_or('\u{fffd}'),
        0x7f => '\u{2421}',
        0x80..=0x9f => '\u{fffd}',
        0x2028 | 0x2029 => '\u{2424}',
        _ => '\u{2423}',
    }
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn escape_sequences_and_overrides_are_made_visible() {
        assert_eq!(line("a\u{1b}[31mb"), "a␛[31mb");
        assert_eq!(line("x\u{202e}y\nz"), "x␣y␊z");
        assert_eq!(line("\u{9b}2J"), "\u{fffd}2J");
    }

    #[test]
    fn text_of_any_script_passes_untouched() {
        for text in ["田中", "שלום", "👩‍👩‍👧", "é", "नमस्ते"] {
            assert_eq!(line(text), text);
        }
    }
}
