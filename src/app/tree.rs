//! A JSON document as the lines of a tree: folds by pointer, and what differs from the server's copy beside each line.
//!
//! The lines are cut from the text of the document, not made of a tree of values: a megabyte of small objects is ten
//! megabytes of values, of which a screen shows some forty lines.

use std::{
    borrow::Cow,
    cell::OnceCell,
    collections::{BTreeSet, HashMap, HashSet},
};

use serde_json::Value;

use crate::model::{
    document::Document,
    json::{self, Pointer},
    members::{Member, Span, is_array, is_empty_container, is_object, members, name_of},
};

/// One line. Texts are raw: they pass the display gate when drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct TreeRow {
    pub pointer: Pointer,
    pub depth: usize,
    pub name: String,
    pub kind: Kind,
    /// The value on one line, or what a fold hides.
    pub value: String,
    /// `Some(true)`: folded, `Some(false)`: open, `None`: nothing to fold.
    pub folded: Option<bool>,
    pub change: Change,
    /// The server's value, where it differs.
    pub was: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Object,
    Array,
    String,
    Number,
    /// `true`, `false`, `null`
    Literal,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Change {
    #[default]
    None,
    Changed,
    Added,
    Removed,
}

/// How long an array of scalars may be to stand on one line.
const INLINE: usize = 60;

/// Lines of a document of which this many are shown at most.
const MOST: usize = 50_000;

/// The lines of a document as places in its text: a megabyte has tens of thousands, of which one screen is drawn. What a
/// line says is read from there when it is asked for ([`Tree::row`]).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tree {
    shown: Option<Document>,
    base: Option<Document>,
    lines: Vec<Line>,
    /// What the base has at changed lines, as places in its text.
    was: HashMap<u32, Span>,
    /// How many members large folded containers have, so that nobody counts for every frame.
    sizes: HashMap<u32, usize>,
    /// There are more lines ([`Tree::near`]).
    is_cut: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    /// The line of the container; [`TOP`] for the document itself.
    parent: u32,
    /// Its raw name, or for an item of an array its number and nothing.
    name: Span,
    /// The value; where the line tells of a removed one (like the name then) in the text of the base.
    value: Span,
    depth: u16,
    folded: Option<bool>,
    change: Change,
}

const TOP: u32 = u32::MAX;

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Folded containers of more bytes are counted once.
const LARGE: usize = 4 * 1024;

impl Tree {
    /// The lines of a document, compared with the one before where there is one. `toggled` are the places that are not
    /// folded as they are by default.
    pub fn of(shown: &Document, base: Option<&Document>, toggled: &BTreeSet<Pointer>) -> Self {
        Self::until(shown, base, toggled, None)
    }

    /// The same, ended so many lines behind the members that hold these places: enough for a screen there.
    pub fn near(
        shown: &Document,
        base: Option<&Document>,
        toggled: &BTreeSet<Pointer>,
        places: [&Pointer; 2],
        more: usize,
    ) -> Self {
        let wanted = places.into_iter().filter_map(|place| place.tokens().first().cloned()).collect();
        Self::until(shown, base, toggled, Some(Enough { wanted, more }))
    }

    fn until(shown: &Document, base: Option<&Document>, toggled: &BTreeSet<Pointer>, enough: Option<Enough>) -> Self {
        // A line takes some twenty bytes of the text, or more.
        let lines = Vec::with_capacity((shown.text().len() / 16).min(MOST));
        let mut tree = Self { shown: Some(shown.clone()), base: base.cloned(), lines, ..Self::default() };
        let base = base.map(Document::text);
        let mut walk = Walk {
            tree: &mut tree,
            text: shown.text(),
            base: base.unwrap_or_default(),
            toggled,
            path: Vec::new(),
            limit: MOST,
            enough,
        };
        walk.look_for_end(None);
        let base = base.map(str::trim);
        match shown.text().trim() {
            raw if is_object(raw) || is_array(raw) => {
                // Where nothing is compared and little is wanted, most of them are not looked at.
                match base {
                    None => walk.members_of(TOP, 0, shown.members(), &Before::default()),
                    Some(_) => {
                        let found: Vec<Member<'_>> = shown.members().collect();
                        walk.children(TOP, 0, raw, &found, base);
                    }
                }
            }
            raw => walk.place(TOP, 0, Span::default(), "", Some(raw), base),
        }
        tree
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// All lines are there.
    pub fn is_whole(&self) -> bool {
        !self.is_cut
    }

    /// Whether a line is folded; `None` where there is nothing to fold.
    pub fn folded(&self, index: usize) -> Option<bool> {
        self.lines.get(index)?.folded
    }

    pub fn pointer(&self, index: usize) -> Option<Pointer> {
        let line = self.lines.get(index)?;
        if self.is_scalar() {
            return Some(Pointer::root());
        }
        let above = if line.parent == TOP { Pointer::root() } else { self.pointer(line.parent as usize)? };
        Some(above.child(&self.name(line)))
    }

    /// What a line says.
    pub fn row(&self, index: usize) -> Option<TreeRow> {
        let line = self.lines.get(index)?;
        let pointer = self.pointer(index)?;
        let raw = self.text(line, line.value);
        let base = self.base.as_ref().map_or("", Document::text);
        let was = self.was.get(&number(index)).map(|was| was.piece(base));
        let was = was.filter(|was| !(is_object(was) && is_object(raw)));
        let size = self.sizes.get(&number(index)).copied();
        Some(TreeRow {
            name: pointer.tokens().last().map_or_else(|| "value".to_owned(), Clone::clone),
            pointer,
            depth: usize::from(line.depth),
            kind: kind_of(raw),
            value: if line.folded == Some(false) { String::new() } else { preview_of(raw, INLINE, size) },
            folded: line.folded,
            change: line.change,
            was: was.map(|was| preview_of(was, INLINE, None)),
        })
    }

    /// The line of a place; `None` where it has none.
    pub fn position(&self, pointer: &Pointer) -> Option<usize> {
        if pointer.is_root() {
            return (self.is_scalar() && !self.is_empty()).then_some(0);
        }
        let (mut parent, mut from) = (TOP, 0);
        for token in pointer.tokens() {
            let is_it = |line: &Line| line.parent == parent && self.name(line) == *token;
            let at = from + self.lines[from..].iter().position(is_it)?;
            (parent, from) = (number(at), at + 1);
        }
        Some(from - 1)
    }

    /// A document that is one value has one line, which has no name.
    fn is_scalar(&self) -> bool {
        let raw = self.shown.as_ref().map_or("", Document::text).trim_start();
        !is_object(raw) && !is_array(raw)
    }

    fn name(&self, line: &Line) -> Cow<'_, str> {
        match line.name {
            Span { from, bytes: 0 } => Cow::Owned(from.to_string()),
            span => name_of(self.text(line, span)),
        }
    }

    fn text(&self, line: &Line, span: Span) -> &str {
        let document = if line.change == Change::Removed { &self.base } else { &self.shown };
        document.as_ref().map_or("", |document| span.piece(document.text()))
    }
}

/// Whether a container is folded when nobody touched it: arrays with something in them, and everything deep down.
fn is_folded_by_default(raw: &str, depth: u16, members: &[Member<'_>]) -> bool {
    is_array(raw) || depth >= OPEN || members.len() > MANY
}

/// Objects so far down, or with more members, are folded.
const OPEN: u16 = 3;
const MANY: usize = 200;

struct Walk<'w> {
    tree: &'w mut Tree,
    /// The whole texts.
    text: &'w str,
    base: &'w str,
    toggled: &'w BTreeSet<Pointer>,
    /// The place reached, kept only where somebody toggled one.
    path: Vec<String>,
    /// No more lines than this.
    limit: usize,
    enough: Option<Enough>,
}

/// When there are enough lines.
struct Enough {
    /// Members of the document that must be there.
    wanted: BTreeSet<String>,
    more: usize,
}

impl<'w> Walk<'w> {
    /// The members of a container, whose text is given too, and those that the one before had besides.
    fn children(&mut self, parent: u32, depth: u16, raw: &str, found: &[Member<'w>], base: Option<&'w str>) {
        let before = base.filter(|base| is_array(base) == is_array(raw)).map(Before::of).unwrap_or_default();
        self.members_of(parent, depth, found.iter().copied(), &before);
        if is_array(raw) || before.list.is_empty() || self.tree.is_cut {
            return;
        }
        let here: HashSet<Cow<'_, str>> = found.iter().map(Member::name).collect();
        for (index, member) in before.list.iter().enumerate().filter(|(_, member)| !here.contains(&member.name())) {
            let name = self.span(member.raw_name, index, self.base);
            self.place(parent, depth, name, member.raw_name, None, Some(member.value));
        }
    }

    fn members_of(&mut self, parent: u32, depth: u16, found: impl Iterator<Item = Member<'w>>, before: &Before<'w>) {
        for (index, member) in found.enumerate() {
            let old = before.at(index, &member);
            let name = self.span(member.raw_name, index, self.text);
            self.place(parent, depth, name, member.raw_name, Some(member.value), old);
            if self.tree.is_cut {
                return;
            }
            if parent == TOP && self.enough.is_some() {
                self.look_for_end(Some(&member.name()));
            }
        }
    }

    fn span(&self, raw_name: &str, index: usize, text: &str) -> Span {
        if raw_name.is_empty() { Span { from: number(index), bytes: 0 } } else { Span::of(raw_name, text) }
    }

    fn place(
        &mut self,
        parent: u32,
        depth: u16,
        name: Span,
        raw_name: &str,
        value: Option<&'w str>,
        base: Option<&'w str>,
    ) {
        let index = number(self.tree.lines.len());
        if self.tree.lines.len() >= self.limit {
            self.tree.is_cut = self.limit < MOST;
            return;
        }
        let change = match (value, base) {
            _ if self.tree.base.is_none() => Change::None,
            (Some(_), None) => Change::Added,
            (None, _) => Change::Removed,
            (Some(value), Some(base)) if is_same(value, base) => Change::None,
            _ => Change::Changed,
        };
        let is_tracked = !self.toggled.is_empty();
        if is_tracked {
            let name = if raw_name.is_empty() { Cow::Owned(name.from.to_string()) } else { name_of(raw_name) };
            self.path.push(name.into_owned());
        }
        let raw = value.or(base).unwrap_or("null");
        let can_fold = value.is_some_and(|raw| (is_object(raw) || is_array(raw)) && !is_empty_container(raw));
        // What is folded in any case is not taken apart.
        let mut inside = if can_fold && is_object(raw) && depth < OPEN { members(raw) } else { Vec::new() };
        let folded = can_fold.then(|| is_folded_by_default(raw, depth, &inside) != self.is_toggled());
        let text = if value.is_some() { self.text } else { self.base };
        self.tree.lines.push(Line { parent, name, value: Span::of(raw, text), depth, folded, change });
        if let (Change::Changed, Some(base)) = (change, base) {
            self.tree.was.insert(index, Span::of(base, self.base));
        }
        match folded {
            Some(false) => {
                if inside.is_empty() {
                    inside = members(raw);
                }
                self.children(index, depth.saturating_add(1), raw, &inside, base);
            }
            Some(true) if raw.len() > LARGE => {
                let size = if inside.is_empty() { members(raw).len() } else { inside.len() };
                self.tree.sizes.insert(index, size);
            }
            _ => {}
        }
        if is_tracked {
            self.path.pop();
        }
    }

    /// A member of the document is done, or none yet: the end is near where it was the last one wanted.
    fn look_for_end(&mut self, done: Option<&str>) {
        let Some(enough) = &mut self.enough else { return };
        done.map(|name| enough.wanted.remove(name));
        if enough.wanted.is_empty() {
            self.limit = (self.tree.lines.len() + enough.more).min(MOST);
            self.enough = None;
        }
    }

    fn is_toggled(&self) -> bool {
        !self.toggled.is_empty() && self.toggled.iter().any(|pointer| pointer.tokens() == self.path)
    }
}

/// The members of the document before, found by name or number.
#[derive(Default)]
struct Before<'b> {
    list: Vec<Member<'b>>,
    /// Made for the first member that is not where it was.
    by_name: OnceCell<HashMap<Cow<'b, str>, usize>>,
}

impl<'b> Before<'b> {
    fn of(raw: &'b str) -> Self {
        Self { list: members(raw), by_name: OnceCell::new() }
    }

    fn at(&self, index: usize, member: &Member<'_>) -> Option<&'b str> {
        // Two versions of one object mostly have their members in one order: those need no look-up. Items are all alike.
        if let Some(beside) = self.list.get(index).filter(|beside| beside.raw_name == member.raw_name) {
            return Some(beside.value);
        }
        let by_name = || self.list.iter().enumerate().map(|(index, member)| (member.name(), index)).collect();
        let index = *self.by_name.get_or_init(by_name).get(&member.name()).filter(|_| !member.raw_name.is_empty())?;
        Some(self.list[index].value)
    }
}

/// True where two texts mean the same value.
fn is_same(a: &str, b: &str) -> bool {
    let value = |raw: &str| serde_json::from_str::<Value>(raw).ok();
    a == b || matches!((value(a), value(b)), (Some(a), Some(b)) if json::same_value(&a, &b))
}

fn kind_of(raw: &str) -> Kind {
    match raw.as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f' | b'n') | None => Kind::Literal,
        Some(_) => Kind::Number,
    }
}

/// [`preview`] of a text. `size`: how many members it has, where that is known.
fn preview_of(raw: &str, room: usize, size: Option<usize>) -> String {
    if is_object(raw) || is_array(raw) {
        let (open, close) = if is_object(raw) { ("{", "}") } else { ("[", "]") };
        let inside = if size.is_none() { members(raw) } else { Vec::new() };
        let is_container = |item: &Member<'_>| is_object(item.value) || is_array(item.value);
        let is_long = is_object(raw) || inside.len() > room / 2 || inside.iter().any(is_container);
        match size.unwrap_or(inside.len()) {
            0 => return format!("{open}{close}"),
            size if is_long || inside.is_empty() => return format!("{open}{size}{close}"),
            _ => {}
        }
    }
    serde_json::from_str(raw).map_or_else(|_| raw.to_owned(), |value: Value| preview(&value, room))
}

/// A value on one line: scalars as JSON, short arrays of scalars whole, other containers as their size.
pub fn preview(value: &Value, room: usize) -> String {
    match value {
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(members) => format!("{{{}}}", members.len()),
        Value::Array(items) => {
            let scalars = items.iter().all(|item| !item.is_array() && !item.is_object());
            if scalars && items.len() <= room / 2 {
                let texts: Vec<String> = items.iter().map(|item| scalar(item, room)).collect();
                let text = format!("[{}]", texts.join(", "));
                if text.chars().count() <= room {
                    return text;
                }
            }
            format!("[{}]", items.len())
        }
        other => scalar(other, usize::MAX),
    }
}

/// A scalar as JSON text without the escapes that only hurt the eye: the display gate makes control characters safe.
fn scalar(value: &Value, room: usize) -> String {
    match value {
        Value::String(text) => {
            let most = room.min(4_000);
            if text.chars().count() > most {
                let cut: String = text.chars().take(most).collect();
                return format!("\"{cut}");
            }
            format!("\"{text}\"")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tree(document: &Value, base: Option<&Value>, toggled: &[&str]) -> Tree {
        let toggled = toggled.iter().map(|pointer| Pointer::parse(pointer)).collect();
        let base = base.cloned().map(Document::from);
        Tree::of(&Document::from(document.clone()), base.as_ref(), &toggled)
    }

    fn shown(document: &Value, base: Option<&Value>) -> Vec<String> {
        let tree = tree(document, base, &[]);
        let mark = |change| match change {
            Change::None => ' ',
            Change::Changed => 'M',
            Change::Added => '+',
            Change::Removed => '-',
        };
        (0..tree.len())
            .map(|index| {
                let row = tree.row(index).unwrap();
                assert_eq!(tree.position(&row.pointer), Some(index));
                assert_eq!(tree.folded(index), row.folded);
                let was = row.was.as_deref().map(|was| format!(" was {was}")).unwrap_or_default();
                format!("{}{}{} {}{was}", mark(row.change), "  ".repeat(row.depth), row.name, row.value)
            })
            .collect()
    }

    #[test]
    fn changes_show_what_was_there() {
        let base = json!({"name": "Bo", "role": "editor", "old": 1, "tags": ["a"]});
        let local = json!({"name": "Bo", "role": "admin", "tags": ["a", "b"], "new": null});
        assert_eq!(
            shown(&local, Some(&base)),
            [
                "  name \"Bo\"",
                "M role \"admin\" was \"editor\"",
                "M tags [\"a\", \"b\"] was [\"a\"]",
                "+ new null",
                "- old 1"
            ]
            .map(|line| line
                .replacen("  name", " name", 1)
                .replacen("M ", "M", 1)
                .replacen("+ ", "+", 1)
                .replacen("- ", "-", 1))
        );
    }

    #[test]
    fn arrays_of_objects_are_folded_and_objects_open() {
        let document = json!({"profile": {"name": "Bo"}, "addresses": [{"city": "Lund"}, {"city": "Malmö"}]});
        assert_eq!(shown(&document, None), [" profile ", "   name \"Bo\"", " addresses [2]"]);
    }

    #[test]
    fn a_text_says_what_its_value_says_whatever_its_spelling() {
        let read = |text: &str| Document::read(text.to_owned()).unwrap();
        let (plain, other) = (
            r#"{"é":[1,2.50,"a\"b"],"n":{"x":1,"y":[]},"last":1}"#,
            "\n { \"last\" : 1.0,\n\t\"\\u00e9\": [ 1e0 , 2.5 , \"a\\u0022b\" ],\
            \"n\": { \"x\": 0, \"y\": [ ], \"x\": 1 } } ",
        );
        let toggled = BTreeSet::from([Pointer::parse("/é")]);
        let said = |tree: &Tree| -> Vec<(String, Kind, String, Change)> {
            let rows = (0..tree.len()).map(|index| tree.row(index).unwrap());
            rows.map(|row| (row.pointer.to_string(), row.kind, row.value, row.change)).collect()
        };
        for (shown, base) in [(plain, other), (other, plain)] {
            let (shown, base) = (read(shown), read(base));
            let tree = Tree::of(&shown, Some(&base), &toggled);
            assert!(said(&tree).iter().all(|row| row.3 == Change::None), "{tree:?}");
            let alone = Tree::of(&Document::from(shown.value().clone()), None, &toggled);
            assert_eq!(said(&Tree::of(&shown, None, &toggled)), said(&alone));
            assert_eq!(tree.len(), 8);
            assert!((0..8).all(|index| tree.position(&tree.pointer(index).unwrap()) == Some(index)));
        }
        let (now, before) = (read(r#"{"a":1,"b":"x"}"#), read("\n\n {\"a\": 2, \"b\": \"x\", \"gone\": \"é\"}"));
        let tree = Tree::of(&now, Some(&before), &BTreeSet::new());
        let (changed, gone) = (tree.row(0).unwrap(), tree.row(2).unwrap());
        assert_eq!((changed.was.as_deref(), gone.name.as_str(), gone.value.as_str()), (Some("2"), "gone", "\"é\""));
        let folded = read(&format!("{{\"a\":[{}0]}}", "[],".repeat(9_999)));
        assert_eq!(Tree::of(&folded, None, &BTreeSet::new()).row(0).unwrap().value, "[10000]");
    }

    #[test]
    fn the_lines_near_a_place_are_the_first_of_all() {
        let document: Value =
            (0..300).map(|n| (format!("m{n:03}"), json!({"a": n, "b": [n], "c": {"d": n}}))).collect();
        let mut base = document.clone();
        base["m010"]["a"] = json!("other");
        base["gone"] = json!(1);
        let toggled = BTreeSet::from(["", "/m020", "/m021/b"].map(Pointer::parse));
        for base in [None, Some(&base)] {
            let (shown, base) = (Document::from(document.clone()), base.cloned().map(Document::from));
            let all = Tree::of(&shown, base.as_ref(), &toggled);
            for place in ["", "/m000", "/m020/a", "/m021/b/0", "/m299/c/d", "/gone", "/never"] {
                let place = Pointer::parse(place);
                let near = Tree::near(&shown, base.as_ref(), &toggled, [&place, &Pointer::parse("/m005")], 7);
                assert_eq!(near.lines, all.lines[..near.len()], "{place}");
                assert_eq!(near.is_whole(), near.len() == all.len());
                assert_eq!(near.position(&place), all.position(&place));
                let line = all.position(&place).or_else(|| all.position(&place.parent()?)).unwrap_or(0);
                let last = line.max(all.position(&Pointer::parse("/m005")).unwrap());
                assert!(near.is_whole() || (last + 7..last + 14).contains(&near.len()), "{place}: {}", near.len());
            }
        }
    }

    #[test]
    fn every_line_is_found_by_its_place_whatever_is_folded() {
        let base = json!({"a": {"b": [1, {"c": 2}], "gone": {"x": 1}}, "n": 0, "gone": [1]});
        let local = json!({"n": 1, "a": {"b": [1, {"c": 3}, "new"], "z": {}}, "": {"/": "~"}});
        for toggled in [vec![], vec!["/a/b"], vec!["/a"], vec!["/a/b", "/a/b/1"]] {
            let tree = tree(&local, Some(&base), &toggled);
            for index in 0..tree.len() {
                let row = tree.row(index).unwrap();
                assert_eq!(tree.position(&row.pointer), Some(index), "{row:?}");
            }
            let is_open = toggled.len() == 1 && toggled.contains(&"/a/b");
            assert_eq!(tree.position(&Pointer::parse("/a/b/1/c")).is_some(), is_open);
        }
        assert_eq!(tree(&local, Some(&base), &[]).position(&Pointer::parse("/a/never")), None);
        let tree = tree(&json!(7), None, &[]);
        assert_eq!((tree.len(), tree.position(&Pointer::root())), (1, Some(0)));
        assert_eq!(tree.row(0).unwrap().name, "value");
    }
}
