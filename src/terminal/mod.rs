//! The tty: raw mode, events, drawing, and giving it all back whatever happens.
//!
//! [`guard`] takes the terminal and returns it, also on a panic; [`screen`] turns ratatui's frames into one write each,
//! wrapped in synchronized update, and into no write at all where nothing changed; [`writer`] does the writing on a thread
//! of its own, so that a terminal that stops reading stops only the picture; [`input`] translates events.

pub mod guard;
pub mod input;
pub mod screen;
pub mod writer;

pub use guard::Guard;
pub use input::Inputs;
pub use screen::Screen;

/// True where both standard input and output are a terminal.
pub fn is_available() -> bool {
    use std::io::IsTerminal as _;
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Columns and rows; `None` where the terminal does not say (some containers report 0x0).
pub fn size() -> Option<(u16, u16)> {
    crossterm::terminal::size().ok()
}

/// The sequence that puts `text` on the clipboard (OSC 52): works over SSH. Base64, so no text can break out of it.
pub fn copy_sequence(text: &str) -> Vec<u8> {
    use crossterm::Command as _;
    let mut sequence = String::new();
    let copy = crossterm::clipboard::CopyToClipboard::to_clipboard_from(text);
    copy.write_ansi(&mut sequence).expect("writing to a string does not fail");
    sequence.into_bytes()
}
