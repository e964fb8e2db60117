//! The tty: raw mode, events, drawing, and giving it all back whatever happens.
