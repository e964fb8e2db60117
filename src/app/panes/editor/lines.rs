//! A text by its lines, in one piece of memory: what a draft was begun on is looked at by line, and never typed in.

/// **Invariant:** `ends` has an end for every line, where its line end or the end of the text is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    text: String,
    ends: Vec<u32>,
}

impl Lines {
    /// One line at least, as in the buffer. Texts have 16 MiB at most.
    pub fn of(text: String) -> Self {
        let end = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let ends = text.match_indices('\n').map(|(at, _)| end(at)).chain([end(text.len())]).collect();
        Self { text, ends }
    }

    /// A text whose line ends are known, that of the last one is not among them.
    pub fn ending_at(text: String, mut ends: Vec<u32>) -> Self {
        ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        Self { text, ends }
    }

    pub fn into_text(self) -> String {
        self.text
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn get(&self, line: usize) -> Option<&str> {
        let end = *self.ends.get(line)? as usize;
        let from = line.checked_sub(1).map_or(0, |before| self.ends[before] as usize + 1);
        self.text.get(from..end)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        (0..self.len()).map(|line| self.get(line).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_what_a_split_gives() {
        for text in ["", "one", "a\nb", "\n", "a\n\n", "é\n田中\n"] {
            let lines = Lines::of(text.to_owned());
            assert!(lines.iter().eq(text.split('\n')) && lines.iter().rev().eq(text.rsplit('\n')), "{text:?}");
            assert_eq!((lines.len(), lines.get(lines.len())), (text.split('\n').count(), None));
        }
        assert!(Lines::default().is_empty() && Lines::default().iter().next().is_none());
    }
}
