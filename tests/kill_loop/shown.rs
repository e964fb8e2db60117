//! A frame, the layout it was drawn by, and where two of them differ.

use std::sync::Arc;

use ebbtide::{
    app::{
        geometry::{self, Layout},
        screen::Screen,
    },
    model::ids::SessionName,
    runtime::clock::SystemClock,
    store::{OpenMode, Store},
};

use crate::common::{self, Workspace, agree_on_the_place, pty::Frame};

/// A frame with the layout it was drawn by, which the saved session knows.
pub struct Shown {
    pub frame: Frame,
    pub layout: Layout,
    /// Keys were pressed anew for it: what they made has other ids.
    pub is_replay: bool,
}

impl Shown {
    pub fn new(workspace: &Workspace, frame: Frame, size: (u16, u16)) -> Self {
        let store = Store::open(&workspace.data(), OpenMode::ReadOnly, Arc::new(SystemClock::new())).unwrap();
        let mut reader = store.reader().unwrap();
        // The header names the session, where it has room for it.
        let named = frame.rows[0].split("session ").nth(1).and_then(|rest| rest.split_whitespace().next());
        let named = named.filter(|name| !name.contains('…')).map(SessionName::from);
        let session = named.or_else(|| reader.chosen_session().unwrap()).unwrap_or_else(|| "default".into());
        let saved = reader.session(&session).unwrap();
        let slice = saved.slices.into_iter().find(|slice| slice.name == Screen::NAME);
        let screen: Screen = slice.and_then(|slice| serde_json::from_str(&slice.body).ok()).unwrap_or_default();
        Self { frame, layout: geometry::layout(size, &screen), is_replay: false }
    }

    /// The header names the pane; a narrow one nothing else, and not always to the end.
    pub fn is_of(&self, pane: &str) -> bool {
        let header = &self.frame.rows[0];
        let first = header.split_whitespace().next().unwrap_or_default();
        let is_cut = first.strip_suffix('…').is_some_and(|begun| pane.starts_with(begun));
        header.contains(&format!("| {pane}")) || first == pane || is_cut
    }

    /// A question is never restored as answered, so it is not restored at all (R20).
    pub fn asks(&self) -> bool {
        self.frame.contains("n or esc")
    }

    fn masked(&self, without_ids: bool) -> Vec<String> {
        let columns = usize::from(self.layout.header.width);
        let rows = self.frame.rows.iter().map(|row| if without_ids { without_new_ids(row) } else { row.clone() });
        let padded: Vec<String> = rows.map(|row| pad(&row, columns)).collect();
        let masked = ebbtide::ui::volatile::mask(&padded, &self.layout);
        // The replay makes ops of its own.
        let before_id = |row: &String| row.split_once("op id ").map_or(row.clone(), |(before, _)| before.to_owned());
        let masked: Vec<String> =
            masked.iter().map(|row| without_ages(&without_clock(&before_id(row))).trim_end().to_owned()).collect();
        if self.is_of("Log") { entries(&masked) } else { masked }
    }
}

/// The rows in which two frames differ outside the volatile cells.
pub fn differing(a: &Shown, b: &Shown) -> Vec<usize> {
    let without_ids = a.is_replay || b.is_replay;
    let (mut left, mut right) = (a.masked(without_ids), b.masked(without_ids));
    agree_on_the_place(&mut left, &mut right);
    let mut rows: Vec<usize> =
        (0..left.len().max(right.len())).filter(|row| left.get(*row) != right.get(*row)).collect();
    if a.frame.cursor != b.frame.cursor {
        rows.push(a.frame.rows.len());
    }
    rows
}

/// True where text is missing on the restored screen.
pub fn looks_older(restored: &Shown, painted: &Shown) -> bool {
    let without_ids = restored.is_replay || painted.is_replay;
    let letters = |shown: &Shown| shown.masked(without_ids).concat().chars().filter(|c| c.is_alphanumeric()).count();
    letters(restored) < letters(painted)
}

/// The header and the entries of the activity log. A start that follows a kill adds one of its own, so the replay, which
/// is one start more, has one more; it also takes the cursor, and with it the line that shows an entry whole.
fn entries(rows: &[String]) -> Vec<String> {
    // An entry begins with its time; a text may name one too.
    let has_time = |row: &&String| row.chars().take(14).collect::<String>().contains("········");
    let is_entry = |row: &&String| has_time(row) && !row.contains("Picked up ");
    let entry = |row: &String| row.replacen('>', " ", 1);
    std::iter::once(rows[0].clone()).chain(rows[1..].iter().filter(is_entry).map(entry)).collect()
}

/// An age in a sentence has at least this many masked cells; one in a column has four at most.
const SENTENCE: usize = 7;

/// The row with blanks around what is masked: a mask covers the blank before an age.
fn apart(row: &str) -> String {
    let mut spaced = String::new();
    let mut was_mask = false;
    for c in row.chars() {
        if (c == '·') != was_mask {
            spaced.push(' ');
        }
        was_mask = c == '·';
        spaced.push(c);
    }
    spaced
}

/// Ages in sentences (`just now`, `1m ago`) are not of one length: what follows them moves.
fn without_ages(row: &str) -> String {
    let is_masked = |word: &str| {
        let is_age = |number: &str| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
        !word.is_empty() && word.chars().all(|c| c == '·')
            || word.strip_suffix(['s', 'm', 'h', 'd']).is_some_and(is_age)
    };
    let spaced = apart(row);
    let words: Vec<&str> = spaced.split(' ').filter(|word| !word.is_empty()).collect();
    let mut kept: Vec<String> = Vec::new();
    let mut has_age = false;
    let mut at = 0;
    while at < words.len() {
        let next = words.get(at + 1).copied().unwrap_or_default();
        let end = next.trim_end_matches([')', '.', ',']);
        if (words[at] == "just" || is_masked(words[at])) && (matches!(end, "now" | "ago") || is_masked(end)) {
            kept.push(format!("·{}", &next[end.len()..]));
            has_age = true;
            at += 2;
        } else if words[at].chars().count() >= SENTENCE && words[at].chars().all(|c| c == '·') {
            kept.push("·".to_owned());
            has_age = true;
            at += 1;
        } else {
            kept.push(words[at].to_owned());
            at += 1;
        }
    }
    if has_age { kept.join(" ") } else { row.to_owned() }
}

/// Clock times (`12:05:09`), which the activity log shows: the replay presses its keys later.
fn without_clock(row: &str) -> String {
    let is_clock = |text: &[char]| {
        text.len() == 8
            && text.iter().enumerate().all(|(at, c)| if at % 3 == 2 { *c == ':' } else { c.is_ascii_digit() })
    };
    let mut characters: Vec<char> = row.chars().collect();
    for at in 0..characters.len().saturating_sub(7) {
        if is_clock(&characters[at..at + 8]) {
            characters[at..at + 8].fill('·');
        }
    }
    characters.into_iter().collect()
}

/// The id of a record that is new, `-O…` in this decade: it is made of the time. Cut off, it counts from where times of one
/// day differ.
fn without_new_ids(row: &str) -> String {
    let is_of_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut kept = String::new();
    let mut rest = row;
    while let Some(at) = rest.find("-O") {
        let (before, id) = rest.split_at(at);
        let length = id.find(|c| !is_of_id(c)).unwrap_or(id.len());
        let is_begun = before.chars().next_back().is_some_and(is_of_id);
        let is_id = !is_begun && (length == 20 || (5..20).contains(&length) && id[length..].starts_with('…'));
        kept.push_str(before);
        kept.push_str(&if is_id { "*".repeat(length) } else { id[..length].to_owned() });
        rest = &id[length..];
    }
    kept + rest
}

fn pad(row: &str, columns: usize) -> String {
    format!("{row}{}", " ".repeat(columns.saturating_sub(ebbtide::ui::text::width(row))))
}

#[test]
fn an_age_in_a_sentence_is_the_same_however_old() {
    for (young, old) in [
        ("│ MINE  op 1, you, just····        ││ x", "│ MINE  op 1, you,·······          ││ x"),
        ("│ record just···· (op 1). Since (noticed just now).", "│ record······· (op 1). Since (noticed··· ago)."),
    ] {
        assert_eq!(without_ages(young), without_ages(old));
    }
    assert_ne!(without_ages("│ a, just····│ x"), without_ages("│ b,·······│ x"));
}

#[test]
fn the_id_of_a_new_record_is_the_same_in_every_replay() {
    let (one, other) = ("│ -OgXzab1_-Aa0123BbCc   Ana │ -OgXza… │", "│ -OgXzacQ7kAa9876ddCC   Ana │ -OgXzb… │");
    assert_eq!(without_new_ids(one), without_new_ids(other));
    for kept in ["│ u-OgXzab1_-Aa0123BbCc │", "│ -OgXzab1_-Aa0123BbCcX │", "│ -Old │", "│ -OgXzab │"] {
        assert_eq!(without_new_ids(kept), kept);
    }
}

/// The parser of the frames loses what follows a character that comes in two pieces.
#[test]
fn no_character_is_read_in_two_pieces() {
    let text = "שרה לוי Zoë 田中 👩 y";
    for end in 0..=text.len() {
        let (whole, next) = (common::pty::whole(&text.as_bytes()[..end]), text.floor_char_boundary(end));
        assert_eq!(whole, next, "of {end} bytes");
    }
}
