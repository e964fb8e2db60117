//! A TOML document as values that know their place, and the list of what is wrong with them.
//!
//! A [`Section`] remembers which keys were asked for; what is left when it is finished is unknown, and the error names
//! the nearest key that exists.

use std::{ops::Range, time::Duration};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::{Located, duration, nearest};

/// What is wrong so far.
pub(super) struct Problems<'t> {
    text: &'t str,
    found: Vec<Located>,
}

/// A table being read.
pub(super) struct Section<'d> {
    /// How errors call it: `[ui]`, `source `office``.
    pub what: String,
    pub span: Range<usize>,
    table: &'d DeTable<'d>,
    known: Vec<&'static str>,
}

/// A string and where it stands.
#[derive(Clone)]
pub(super) struct Text<'d> {
    pub value: &'d str,
    pub span: Range<usize>,
}

/// Parses `text` and hands its root to `read`. Where the text is no TOML at all, only that is reported: what a broken
/// tree says of itself would mislead.
pub(super) fn read<T: Default>(
    text: &str,
    read: impl FnOnce(&mut Section<'_>, &mut Problems<'_>) -> T,
) -> (T, Vec<Located>) {
    let mut problems = Problems { text, found: Vec::new() };
    let (root, syntax) = DeTable::parse_recoverable(text);
    for error in &syntax {
        problems.add(&error.span().unwrap_or(0..0), error.message().trim_end_matches('.').to_owned(), None);
    }
    if !syntax.is_empty() {
        return (T::default(), problems.found);
    }
    let mut section =
        Section { what: "the configuration".to_owned(), span: 0..0, table: root.get_ref(), known: Vec::new() };
    let value = read(&mut section, &mut problems);
    section.finish(&mut problems);
    (value, problems.found)
}

impl Problems<'_> {
    pub fn add(&mut self, span: &Range<usize>, message: impl Into<String>, hint: Option<String>) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        self.found.push(Located { line, column, message: message.into(), hint });
    }

    pub fn count(&self) -> usize {
        self.found.len()
    }
}

impl<'d> Section<'d> {
    pub fn is_present(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub fn text(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<Text<'d>> {
        let value = self.take(key)?;
        let text = as_text(value);
        if text.is_none() {
            self.wrong(key, value, "a string", problems);
        }
        text
    }

    /// Like [`Section::text`], and an error where it is missing or empty.
    pub fn required(&mut self, key: &'static str, example: &str, problems: &mut Problems<'_>) -> Option<Text<'d>> {
        if !self.is_present(key) {
            self.know(key);
            let message = format!("{} has no `{key}`", self.what);
            problems.add(&self.span, message, Some(format!("add {key} = \"{example}\"")));
            return None;
        }
        let text = self.text(key, problems)?;
        if text.value.trim().is_empty() {
            problems.add(&text.span, format!("`{key}` is empty"), Some(format!("for example {key} = \"{example}\"")));
            return None;
        }
        Some(text)
    }

    pub fn flag(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<bool> {
        let value = self.take(key)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            _ => {
                self.wrong(key, value, "`true` or `false`", problems);
                None
            }
        }
    }

    pub fn integer(&mut self, key: &'static str, range: Range<u64>, problems: &mut Problems<'_>) -> Option<u64> {
        let value = self.take(key)?;
        let DeValue::Integer(integer) = value.get_ref() else {
            self.wrong(key, value, "a whole number", problems);
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|n| range.contains(n));
        if number.is_none() {
            let message = format!("`{key}` is {integer}, outside of {} to {}", range.start, range.end - 1);
            problems.add(&value.span(), message, None);
        }
        number
    }

    /// A span of time: `"30s"`, `"1h30m"`, or a number of seconds.
    pub fn duration(
        &mut self,
        key: &'static str,
        range: Range<Duration>,
        problems: &mut Problems<'_>,
    ) -> Option<Duration> {
        let value = self.take(key)?;
        let parsed = match value.get_ref() {
            DeValue::String(text) => duration::parse(text),
            DeValue::Integer(integer) => u64::from_str_radix(integer.as_str(), integer.radix())
                .map(Duration::from_secs)
                .map_err(|_| format!("{integer} is no number of seconds")),
            _ => {
                self.wrong(key, value, "a duration such as \"30s\"", problems);
                return None;
            }
        };
        match parsed {
            Ok(span) if range.contains(&span) => Some(span),
            Ok(_) => {
                let (least, most) = (duration::render(range.start), duration::render(range.end));
                problems.add(&value.span(), format!("`{key}` is outside of {least} to {most}"), None);
                None
            }
            Err(reason) => {
                let hint = "write a number and a unit: \"30s\", \"5m\", \"1h30m\", \"7d\"; or a number of seconds";
                problems.add(&value.span(), format!("`{key}` is no duration: {reason}"), Some(hint.to_owned()));
                None
            }
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
        problems: &mut Problems<'_>,
    ) -> Option<T> {
        let text = self.text(key, problems)?;
        let found = choices.iter().find(|(word, _)| *word == text.value).map(|(_, value)| *value);
        if found.is_none() {
            let words = choices.iter().map(|(word, _)| *word);
            let hint = match nearest(text.value, words.clone()) {
                Some(near) => format!("did you mean `{near}`? {}", these_work(words)),
                None => these_work(words),
            };
            problems.add(&text.span, format!("`{}` is no {key} that works", text.value), Some(hint));
        }
        found
    }

    /// A string or an array of strings.
    pub fn texts(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Vec<Text<'d>> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let found = as_texts(value);
        if found.is_none() {
            self.wrong(key, value, "an array of strings", problems);
        }
        found.unwrap_or_default()
    }

    pub fn table(&mut self, key: &'static str, what: &str, problems: &mut Problems<'_>) -> Option<Section<'d>> {
        let value = self.take(key)?;
        match value.get_ref() {
            DeValue::Table(table) => {
                Some(Section { what: what.to_owned(), span: value.span(), table, known: Vec::new() })
            }
            _ => {
                self.wrong(key, value, "a table", problems);
                None
            }
        }
    }

    /// An array of tables: `[[source]]`.
    pub fn tables(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Vec<Section<'d>> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong(key, value, "an array of tables, each beginning with double brackets", problems);
            return Vec::new();
        };
        items.iter().filter_map(|item| self.row(key, item, problems)).collect()
    }

    fn row(&self, key: &str, item: &'d Spanned<DeValue<'d>>, problems: &mut Problems<'_>) -> Option<Section<'d>> {
        match item.get_ref() {
            DeValue::Table(table) => {
                Some(Section { what: format!("this {key}"), span: item.span(), table, known: Vec::new() })
            }
            _ => {
                self.wrong(key, item, "a table", problems);
                None
            }
        }
    }

    /// Every key of a table whose keys are the user's own, with its string or strings.
    pub fn entries(&mut self, problems: &mut Problems<'_>) -> Vec<(Text<'d>, Vec<Text<'d>>)> {
        let mut entries = Vec::new();
        for (key, value) in self.table {
            let name = Text { value: key.get_ref().as_ref(), span: key.span() };
            match as_texts(value) {
                Some(texts) => entries.push((name, texts)),
                None => self.wrong(name.value, value, "a string or an array of strings", problems),
            }
        }
        entries
    }

    /// Where the key (not its value) stands.
    pub fn key_span(&self, key: &str) -> Range<usize> {
        self.table.get_key_value(key).map_or(self.span.clone(), |(key, _)| key.span())
    }

    /// Marks a key as dealt with.
    pub fn know(&mut self, key: &'static str) {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
    }

    /// Reports the keys nobody asked for.
    pub fn finish(self, problems: &mut Problems<'_>) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if self.known.contains(&name) {
                continue;
            }
            let hint = match nearest(name, self.known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys are {}", list(self.known.iter().copied())),
            };
            problems.add(&key.span(), format!("unknown key `{name}` in {}", self.what), Some(hint));
        }
    }

    fn take(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.know(key);
        self.table.get(key)
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str, problems: &mut Problems<'_>) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a decimal number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        problems.add(&value.span(), format!("`{key}` in {} is {found}, not {wanted}", self.what), None);
    }
}

fn as_text<'d>(value: &'d Spanned<DeValue<'d>>) -> Option<Text<'d>> {
    match value.get_ref() {
        DeValue::String(text) => Some(Text { value: text.as_ref(), span: value.span() }),
        _ => None,
    }
}

fn as_texts<'d>(value: &'d Spanned<DeValue<'d>>) -> Option<Vec<Text<'d>>> {
    fn all<'d>(items: &'d DeArray<'d>) -> Option<Vec<Text<'d>>> {
        items.iter().map(as_text).collect()
    }
    match value.get_ref() {
        DeValue::Array(items) => all(items),
        _ => as_text(value).map(|text| vec![text]),
    }
}

/// `` `a`, `b` and `c` ``
pub(super) fn list<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

fn these_work<'w>(words: impl ExactSizeIterator<Item = &'w str>) -> String {
    match words.len() {
        1 => format!("only {} works in this version", list(words)),
        _ => format!("these work: {}", list(words)),
    }
}
