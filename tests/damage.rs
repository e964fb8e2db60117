//! Every file of a data dir, damaged in every way a disk, a copy or a tool can damage it: the next start works, and all
//! that can be read is there.
//!
//! What can be read is told by the bytes, not by the program: each edit and each draft carries a word of its own over and
//! over, and must be there whenever no damaged block holds that word.

mod common;

#[path = "damage/flips.rs"]
mod flips;
#[path = "damage/odd.rs"]
mod odd;
#[path = "damage/place.rs"]
mod place;
#[path = "damage/screen.rs"]
mod screen;
#[path = "damage/whole.rs"]
mod whole;
