//! Finding text: within lines, round the end, upper and lower case alike unless the needle has a capital.

use super::{Caret, Pos, TextBuffer};

/// The ends of a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub from: Pos,
    pub to: Pos,
}

impl TextBuffer {
    /// The first hit at or after `from` (or, backwards, the last that begins before it), round the end of the text.
    pub fn find(&self, needle: &str, from: Pos, forward: bool) -> Option<Found> {
        if needle.is_empty() {
            return None;
        }
        let exact = needle.chars().any(char::is_uppercase);
        let count = self.lines.len();
        // The line of `from` is visited twice: its one side first, its other side last.
        for distance in 0..=count {
            let number =
                if forward { (from.line + distance) % count } else { (from.line + count - distance % count) % count };
            let mut hits = hits(&self.lines[number], needle, exact).filter(|(begin, _)| match (distance, forward) {
                (0, true) => *begin >= from.at,
                (0, false) => *begin < from.at,
                _ => true,
            });
            let hit = if forward { hits.next() } else { hits.last() };
            if let Some((begin, end)) = hit {
                let (from, to) = (self.clamp(Pos::new(number, begin)), Pos::new(number, end));
                return Some(Found { from, to: self.clamp(to).max(from) });
            }
        }
        None
    }

    /// Hits before `until` and hits in all, counted up to `most`.
    pub fn count(&self, needle: &str, until: Pos, most: usize) -> (usize, usize) {
        if needle.is_empty() {
            return (0, 0);
        }
        let exact = needle.chars().any(char::is_uppercase);
        let mut before = 0;
        let mut all = 0;
        for (number, line) in self.lines.iter().enumerate() {
            for (begin, _) in hits(line, needle, exact) {
                if all == most {
                    return (before, all);
                }
                all += 1;
                before += usize::from(Pos::new(number, begin) < until);
            }
        }
        (before, all)
    }

    /// Byte ranges of the hits in one line, for drawing.
    pub fn hits_in<'b>(&'b self, line: usize, needle: &'b str) -> impl Iterator<Item = (usize, usize)> + 'b {
        let exact = needle.chars().any(char::is_uppercase);
        hits(&self.lines[line], needle, exact)
    }

    /// Selects a hit, with the cursor behind it.
    pub fn select(&mut self, found: Found) {
        self.caret = Caret { cursor: found.to, anchor: Some(found.from) };
        self.typing = None;
        self.goal = None;
        self.show_cursor();
    }
}

/// Non-overlapping hits of one line.
fn hits<'t>(line: &'t str, needle: &'t str, exact: bool) -> impl Iterator<Item = (usize, usize)> + 't {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (begin, end) = if exact { hit_exact(line, needle, at) } else { hit_folded(line, needle, at) }?;
        at = end.max(begin + 1);
        Some((begin, end))
    })
}

fn hit_exact(line: &str, needle: &str, at: usize) -> Option<(usize, usize)> {
    let begin = at + line.get(at..)?.find(needle)?;
    Some((begin, begin + needle.len()))
}

/// Compares letter by letter, so that offsets stay those of the line whatever lower case does to lengths.
fn hit_folded(line: &str, needle: &str, at: usize) -> Option<(usize, usize)> {
    if needle.is_empty() {
        return None;
    }
    let rest = line.get(at..)?;
    let first = needle.chars().next()?.to_lowercase().next()?;
    let candidates = rest.char_indices().filter(|(_, c)| *c == first || c.to_lowercase().next() == Some(first));
    for (offset, _) in candidates {
        let mut wanted = needle.chars().flat_map(char::to_lowercase).peekable();
        for (inner, c) in rest[offset..].char_indices() {
            if !c.to_lowercase().all(|lower| wanted.next_if_eq(&lower).is_some()) {
                break;
            }
            if wanted.peek().is_none() {
                return Some((at + offset, at + offset + inner + c.len_utf8()));
            }
        }
    }
    None
}
