//! The editor model of ebbtide: everything that can be typed into, as plain serialisable values.
//!
//! [`TextInput`] is one line (filters, the palette, an id, a value), [`TextBuffer`] is many (the JSON editor). Both move
//! by grapheme, measure in terminal cells and carry their undo list with them, because a draft must come back with it
//! (R19). Nothing here draws or keeps time: the instant of a key is an argument.

pub mod buffer;
pub mod cells;
pub mod input;

pub use buffer::TextBuffer;
pub use input::TextInput;
