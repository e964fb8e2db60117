//! The declared list of cells that may differ between the last frame before a kill and the first one after it (R2).
//!
//! | cells | why |
//! |---|---|
//! | message row | a message is about the moment |
//! | connectivity word of the header | nothing was asked since the start: `UNKNOWN` |
//! | source lines of collections | the same |
//! | panes 5 and 6, in both their forms | connectivity, round trips, progress |
//! | ages (`now`, `22m`, `3h`, `9d`) | time goes on |
//! | `sending` | became `in doubt`; `saving` became `queued` |
//!
//! Works on the text of a screen, so that it serves drawn buffers and real terminals alike.

/// The screen's lines with every volatile cell replaced by `·`. Widths stay.
pub fn mask(lines: &[String]) -> Vec<String> {
    let mut masked: Vec<Vec<char>> = lines.iter().map(|line| line.chars().collect()).collect();
    let rows = masked.len();
    if rows >= 2 {
        masked[rows - 2].fill('·');
    }
    if let Some(header) = masked.first_mut() {
        mask_header(header);
    }
    for title in ["5 Connectivity", "6 Sync"] {
        mask_box(&mut masked, title);
    }
    mask_sources(&mut masked);
    for line in &mut masked {
        let text: String = line.iter().collect();
        let text = text.trim_start_matches(['>', ' ']);
        if text.starts_with("5 Net") || text.starts_with("6 Sync  ") {
            line.fill('·');
        }
        mask_words(line);
    }
    masked.into_iter().map(|line| line.into_iter().collect()).collect()
}

/// The fact before `queued`.
fn mask_header(line: &mut [char]) {
    let text: String = line.iter().collect();
    let bars: Vec<usize> = text
        .chars()
        .collect::<Vec<char>>()
        .windows(3)
        .enumerate()
        .filter(|(_, w)| *w == [' ', '|', ' '])
        .map(|(at, _)| at)
        .collect();
    let Some(queued) = text.find(" queued") else { return };
    let queued = text[..queued].chars().count();
    let Some(end) = bars.iter().rev().find(|at| **at < queued).copied() else { return };
    // Without a bar before it (a narrow screen) the word begins after two spaces.
    let begin = bars.iter().rev().find(|at| **at < end).map(|at| at + 3);
    let spaces = (0..end).rev().find(|at| line[*at] == ' ' && *at > 0 && line[*at - 1] == ' ').map(|at| at + 1);
    let begin = begin.max(spaces).unwrap_or(0);
    // The facts are set from the right: what is left of a shorter word moves too.
    let from = (0..begin).rev().find(|at| line[*at] != ' ').map_or(0, |at| at + 1).min(begin);
    for cell in &mut line[from..end] {
        *cell = '·';
    }
    let session = text.find("session ").map(|at| text[..at].chars().count());
    if let Some(from) = session {
        let place = (0..from).rev().find(|at| line[*at] != ' ').map_or(0, |at| at + 1);
        for cell in &mut line[place..end] {
            *cell = '·';
        }
    }
}

/// The inside of the box with this title.
fn mask_box(lines: &mut [Vec<char>], title: &str) {
    let wanted: Vec<char> = title.chars().collect();
    let Some((top, at)) = lines.iter().enumerate().find_map(|(row, line)| {
        let at = line.windows(wanted.len()).position(|part| part == wanted)?;
        (at >= 3).then_some((row, at))
    }) else {
        return;
    };
    let left = at - 3;
    let Some(right) = (at..lines[top].len()).find(|x| matches!(lines[top][*x], '┐' | '┓' | '+' | '#')) else {
        return;
    };
    for line in lines[top + 1..].iter_mut() {
        if line.len() <= right || !matches!(line[left], '│' | '┃' | '|' | '#') {
            break;
        }
        line[left + 1..right].fill('·');
    }
}

/// The word at the right of a source in the collections pane: lines that begin with a fold sign.
fn mask_sources(lines: &mut [Vec<char>]) {
    let Some(at) = lines.iter().find_map(|line| {
        let wanted: Vec<char> = "1 Collections".chars().collect();
        line.windows(wanted.len()).position(|part| part == wanted)
    }) else {
        return;
    };
    let left = at.saturating_sub(3);
    for line in lines.iter_mut() {
        let Some(right) = (left + 1..line.len()).find(|x| matches!(line[*x], '│' | '┃')) else { continue };
        let is_source = line.get(left + 1..left + 3).is_some_and(|start| start.iter().any(|c| matches!(c, '▾' | '▸')));
        if is_source && right - left > 12 {
            let from = (left + 4..right).find(|x| line[*x] == ' ').unwrap_or(right);
            line[from..right].fill('·');
        }
    }
}

/// Ages, and states that cannot outlive the process.
fn mask_words(line: &mut [char]) {
    let mut at = 0;
    while at < line.len() {
        let end = (at..line.len()).find(|x| is_edge(line[*x])).unwrap_or(line.len());
        let word: String = line[at..end].iter().collect();
        if is_age(&word) {
            let begin = (0..at).rev().take(3).take_while(|x| line[*x] == ' ').last().unwrap_or(at);
            line[begin..end].fill('·');
        }
        at = end + 1;
    }
    let text: String = line.iter().collect();
    for state in ["> sending ", "? in doubt", "s saving ", ". queued ", "Saving your change", "received just now"] {
        let Some(found) = text.find(state) else { continue };
        let from = text[..found].chars().count();
        let length = state.chars().count().max(10);
        let end = (from + length).min(line.len());
        line[from..end].fill('·');
    }
}

fn is_edge(c: char) -> bool {
    matches!(c, ' ' | '│' | '┃' | '|')
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

    fn masked(lines: &[&str]) -> Vec<String> {
        mask(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn ages_connectivity_and_the_message_do_not_count() {
        let before = masked(&[
            " ebbtide | a > b      session x | OFFLINE 14m | 7 queued | saved ",
            "│ u_1   Ana    22m │",
            " i  something     ",
            " hints",
        ]);
        let after = masked(&[
            " ebbtide | a > b          session x | UNKNOWN | 7 queued | saved ",
            "│ u_1   Ana    23m │",
            "                  ",
            " hints",
        ]);
        assert_eq!(before, after);
    }

    #[test]
    fn what_is_not_declared_counts() {
        let lines = ["head | 1 queued", "│ u_1   Ana │", " m", " hints"];
        let mut other = lines;
        other[1] = "│ u_2   Ana │";
        assert_ne!(masked(&lines), masked(&other));
    }
}
