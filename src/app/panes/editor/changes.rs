//! How a text differs from the one it was begun on, by line.

use serde::{Deserialize, Serialize};

use super::{lines::Lines, tokens};
use crate::{
    app::text::TextBuffer,
    model::{draft::DraftVersion, json::Pointer},
};

/// How a line differs from the base's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineMark {
    Changed,
    Added,
}

/// Lines that differ from the base's text: their range, and what stood there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineChanges {
    /// First changed line and the mark of each line from there on.
    first: usize,
    marks: Vec<Option<LineMark>>,
    /// Pairs of a removed and an added line, each possibly missing, with the line number (from 0) of the added one.
    pub pairs: Vec<(Option<String>, Option<usize>)>,
    /// The places of the first of [`LineChanges::pairs`], where they were looked for.
    pub places: Vec<Pointer>,
    /// Where it is short.
    stretch: Option<Stretch>,
}

/// Where two texts differ: nothing before it and nothing after it does. Enough to tell the changes of a text again without
/// the one it is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stretch {
    first: usize,
    /// So many lines of the new text.
    new: usize,
    /// The lines of the old one.
    old: Vec<String>,
}

/// A stretch of more than this many bytes of the old text, or of more than [`MOST_ALIGNED`] lines, is not kept.
const SHORT: usize = 2 << 10;

/// So many changed lines are shown with their places while the text is no JSON.
pub const MOST_PLACED: usize = 8;

/// Beyond this many differing lines in one stretch they are only compared as sets.
const MOST_ALIGNED: usize = 300;

impl LineChanges {
    pub fn mark(&self, line: usize) -> Option<LineMark> {
        self.marks.get(line.checked_sub(self.first)?).copied().flatten()
    }

    /// Looks up where in the document the first changed lines are.
    pub fn find_places(&mut self, lines: &[String]) {
        let wanted: Vec<usize> = self.pairs.iter().take(MOST_PLACED).filter_map(|(_, line)| *line).collect();
        let mut found = tokens::places_of(lines, &wanted).into_iter();
        let placed = self.pairs.iter().take(MOST_PLACED);
        self.places = placed.map(|(_, line)| line.and_then(|_| found.next()).unwrap_or_default()).collect();
    }

    /// Compares two texts by line. What is equal at both ends is skipped; the middle is aligned where it is small.
    pub fn between(old: &Lines, new: &[String]) -> Self {
        let first = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        let rest = old.len().min(new.len()) - first;
        let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
        let old: Vec<&str> = (first..old.len() - tail).filter_map(|line| old.get(line)).collect();
        Self::within(first, old, &new[first..new.len() - tail])
    }

    /// The same once more, in a text that is what it was.
    fn again(stretch: &Stretch, new: &[String]) -> Option<Self> {
        let end = stretch.first.checked_add(stretch.new)?;
        let old = stretch.old.iter().map(String::as_str).collect();
        Some(Self::within(stretch.first, old, new.get(stretch.first..end)?))
    }

    /// What differs between two texts from line `first` on.
    fn within(first: usize, old: Vec<&str>, new: &[String]) -> Self {
        let new: Vec<&str> = new.iter().map(String::as_str).collect();
        let mut changes = Self { first, marks: vec![None; new.len()], ..Self::default() };
        let is_long = old.len() > MOST_ALIGNED || new.len() > MOST_ALIGNED;
        if !is_long && old.iter().map(|line| line.len()).sum::<usize>() <= SHORT {
            let old = old.iter().map(|line| (*line).to_owned()).collect();
            changes.stretch = Some(Stretch { first, new: new.len(), old });
        }
        if is_long {
            let known: std::collections::HashSet<&str> = old.into_iter().collect();
            for (mark, line) in changes.marks.iter_mut().zip(&new) {
                *mark = (!known.contains(line)).then_some(LineMark::Changed);
            }
            return changes;
        }
        for op in similar::capture_diff_slices(similar::Algorithm::Myers, &old, &new) {
            let (_, removed, added) = op.as_tag_tuple();
            if matches!(op, similar::DiffOp::Equal { .. }) {
                continue;
            }
            for offset in 0..removed.len().max(added.len()) {
                let gone = removed.clone().nth(offset).map(|at| old[at].to_owned());
                let came = added.clone().nth(offset);
                if let Some(at) = came {
                    changes.marks[at] = Some(if gone.is_some() { LineMark::Changed } else { LineMark::Added });
                }
                changes.pairs.push((gone, came.map(|at| at + first)));
            }
        }
        changes
    }
}

/// The changes of a draft's text as a session row keeps them, and which text that is: to lay out the base of a large draft
/// only to find them again would be a good part of a start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownChanges {
    version: DraftVersion,
    /// Its bytes and lines.
    text: (usize, usize),
    stretch: Stretch,
}

impl KnownChanges {
    /// `None` where they are too many.
    pub fn of(version: DraftVersion, buffer: &TextBuffer, changes: &LineChanges) -> Option<Self> {
        let stretch = changes.stretch.clone()?;
        Some(Self { version, text: (buffer.len(), buffer.lines().len()), stretch })
    }

    /// `None` where they are of another text.
    pub fn told_of(&self, version: DraftVersion, buffer: &TextBuffer) -> Option<LineChanges> {
        let is_of_this = self.version == version && self.text == (buffer.len(), buffer.lines().len());
        LineChanges::again(&self.stretch, buffer.lines()).filter(|_| is_of_this)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        text.split('\n').map(str::to_owned).collect()
    }

    #[test]
    fn lines_are_marked_against_the_base() {
        let changes = LineChanges::between(&Lines::of("{\na\nb\nc\n}".to_owned()), &split("{\na\nB\nc\nd\n}"));
        let marks: Vec<_> = (0..6).map(|line| changes.mark(line)).collect();
        assert_eq!(marks, [None, None, Some(LineMark::Changed), None, Some(LineMark::Added), None]);
        assert_eq!(changes.pairs, [(Some("b".to_owned()), Some(2)), (None, Some(4))]);
    }

    #[test]
    fn changes_are_told_again_without_the_text_before() {
        let old = Lines::of("{\na\nb\nc\nd\n}".to_owned());
        for text in ["{\na\nb\nc\nd\n}", "{\na\nB\nc\nD\ne\n}", "", "x\n{\na\nb\nc\nd\n}", "{\na\nd\n}"] {
            let new = split(text);
            let changes = LineChanges::between(&old, &new);
            assert_eq!(
                LineChanges::again(changes.stretch.as_ref().unwrap(), &new).as_ref(),
                Some(&changes),
                "{text:?}"
            );
        }
        let long = LineChanges::between(&Lines::of("x".repeat(SHORT + 1)), &split("y"));
        assert_eq!(long.stretch, None, "a session row is no place for a long text");
        let beyond = Stretch { first: 3, new: 9, old: Vec::new() };
        assert_eq!(LineChanges::again(&beyond, &split("a\nb")), None);
    }
}
