//! Draws the conflict resolver: what happened, every differing field with its three values, the one at the cursor,
//! and the record as it will be.

mod field;

use serde_json::Value;

use crate::{
    app::{
        App,
        geometry::{Area, Place, conflict_split},
        panes::conflicts::name,
        tree, words,
    },
    merge::{Field, How, Pick},
    model::conflict::Conflict,
    ui::{
        canvas::{Border, Canvas},
        panes::{rev, say, select},
        text,
        theme::Role,
    },
};

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    let pane = app.conflicts();
    let Some(conflict) = pane.selected() else {
        canvas.frame(place.area, &Border { title: "Conflicts", focused: true, ..Border::default() });
        let sentence = if pane.is_loaded() { "Nothing is in conflict" } else { "Reading the conflicts" };
        return say(canvas, place.area.inner(), &[sentence, "esc goes back"]);
    };
    let areas = conflict_split(place.area);
    story(app, canvas, areas.story, conflict);
    fields(app, canvas, areas.fields, conflict);
    field::draw(app, canvas, areas.field, conflict);
    if areas.result.height > 0 {
        result(app, canvas, areas.result, conflict);
    }
}

/// No age of less than some years is wider.
const LONGEST_AGE: &str = "just now";

/// Which of the server's versions it is.
pub(super) fn revision(conflict: &Conflict) -> Option<String> {
    rev(conflict.theirs_revision.as_ref())
}

fn story(app: &App, canvas: &mut Canvas<'_>, area: Area, conflict: &Conflict) {
    let pane = app.conflicts();
    let now = app.now().wall;
    let mine = if conflict.mine.is_some() { "changed" } else { "deleted" };
    let theirs = match (&conflict.theirs, revision(conflict)) {
        (None, _) => "deleted it".to_owned(),
        (Some(_), Some(revision)) => format!("moved to {revision}"),
        (Some(_), None) => "changed it".to_owned(),
    };
    let trouble = trouble(app, conflict);
    let open = pane.undecided().len();
    if area.height < 3 {
        let brief = match trouble {
            Some(trouble) => format!("! {trouble}"),
            None => format!("You {mine} {} (op {}); the server {theirs}.", conflict.record.id, conflict.seq),
        };
        canvas.put(area.x + 1, area.y, &brief, usize::from(area.width.saturating_sub(2)), Role::Text);
        return;
    }
    let tell = |made: Option<&str>, noticed: Option<&str>| {
        let made = made.map(|age| format!(" {age}")).unwrap_or_default();
        let noticed = noticed.map(|age| format!(" (noticed {age})")).unwrap_or_default();
        format!("You {mine} this record{made} (op {}). Since then the server {theirs}{noticed}.", conflict.seq)
    };
    let made = pane.op().map(|op| words::ago(now, op.created_at));
    let noticed = words::ago(now, conflict.detected_at);
    // An age is told whole or not at all, and which of the two does not change as it grows.
    let room = usize::from(area.inner().width.saturating_sub(2));
    let fits = |made: Option<&str>, noticed: Option<&str>| text::width(&tell(made, noticed)) <= room;
    let first = match made.as_deref() {
        made if fits(made.and(Some(LONGEST_AGE)), Some(LONGEST_AGE)) => tell(made, Some(&noticed)),
        made if fits(made.and(Some(LONGEST_AGE)), None) => tell(made, None),
        _ => tell(None, None),
    };
    let differ = pane.fields().iter().filter(|field| field.how != How::Unchanged).count();
    let needs = match open {
        0 => "all is decided".to_owned(),
        1 => "1 needs you".to_owned(),
        open => format!("{open} need you"),
    };
    let second = match (trouble, pane.whole()) {
        (Some(trouble), _) if open == 0 => trouble,
        (Some(trouble), _) => {
            let needs = format!(" {}.", words::count(open as u64, "field needs you", "fields need you"));
            let fits = text::width(&trouble) + text::width(&needs) + 4 <= usize::from(area.width);
            if fits { trouble + &needs } else { trouble }
        }
        (None, Some(_)) => "Nothing is sent until you press w. esc = decide later.".to_owned(),
        (None, None) => format!(
            "{}, {}{needs}. Nothing is sent until you press w. esc = decide later.",
            words::count(differ as u64, "field differs", "fields differ"),
            match merged(app) as u64 {
                0 => String::new(),
                many => words::count(many, "merged by itself, ", "merged by themselves, "),
            },
        ),
    };
    canvas.frame(area, &Border { title: "What happened", ..Border::default() });
    let inner = area.inner();
    for (row, line) in (0_u16..).zip([first, second]) {
        let at = inner.row(row);
        canvas.put(at.x + 1, at.y, &line, usize::from(at.width.saturating_sub(2)), Role::Text);
    }
}

fn merged(app: &App) -> usize {
    let pane = app.conflicts();
    let by_itself =
        |field: &&Field| field.how != How::Unchanged && field.result.is_some() && pane.pick(field).is_none();
    app.conflicts().fields().iter().filter(by_itself).count()
}

/// What makes this conflict more than two edits at once.
fn trouble(app: &App, conflict: &Conflict) -> Option<String> {
    if conflict.was_in_doubt {
        return Some("In doubt: an answer was lost, your version may have been there once.".to_owned());
    }
    let pane = app.conflicts();
    let message = pane.op()?.last_error.as_ref()?.message.trim_end_matches('.');
    // The note is written for the command line; here a key does what it offers.
    let rewritten: Vec<String> = pane.fields().iter().filter(|field| pane.is_rewritten(field)).map(name).collect();
    if rewritten.is_empty() {
        return Some(format!("{}.", sentence(message)));
    }
    let places = rewritten.join(", ");
    Some(format!("The server writes {places} anew before each send; `A` on such a field leaves it to the server."))
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

pub(super) fn show(value: Option<&Value>, room: usize) -> String {
    let Some(value) = value else { return "(none)".to_owned() };
    let preview = tree::preview(value, room.max(8));
    // A few scalars too many for the spaced form may fit without its spaces.
    let whole = || value.to_string();
    if preview.len() < 8 && value.is_array() && whole().chars().count() <= room { whole() } else { preview }
}

/// Long texts that begin alike would be cut to the same: then they are shown from shortly before where they differ.
fn tell_apart(texts: &mut [String], room: usize) {
    let is_long = |text: &String| text::width(text) > room;
    let long: Vec<&String> = texts.iter().filter(|text| is_long(text)).collect();
    let Some(first) = long.first() else { return };
    let common = |other: &&&String| first.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let different = long.iter().filter(|other| *other != first);
    let Some(alike) = different.map(|other| common(&other)).min() else { return };
    let begins: String = first.chars().take(alike).collect();
    if text::width(&begins) < room.saturating_sub(8) {
        return;
    }
    for text in texts.iter_mut().filter(|text| is_long(text)) {
        *text = std::iter::once('…').chain(text.chars().skip(alike.saturating_sub(4))).collect();
    }
}

/// How a field comes to its result, in words and in one word.
fn how(app: &App, field: &Field) -> (String, &'static str) {
    let pane = app.conflicts();
    if pane.has_whole_document() && !field.pointer.is_root() {
        return ("from your editor".to_owned(), "editor");
    }
    match (pane.pick(field), field.how) {
        _ if pane.is_half_typed(field) => ("half typed, e goes on".to_owned(), "typing"),
        (Some(Pick::Mine), _) => ("mine, you chose it".to_owned(), "mine"),
        (Some(Pick::Theirs), _) => ("theirs, you chose it".to_owned(), "theirs"),
        (Some(Pick::Base), _) => ("base, you chose it".to_owned(), "base"),
        (Some(Pick::Value(_)), _) => ("typed by you".to_owned(), "typed"),
        (Some(Pick::Absent), _) => ("left out by you".to_owned(), "left out"),
        (None, How::Unchanged) => ("unchanged".to_owned(), "same"),
        (None, How::OnlyMine) => ("mine (only you changed)".to_owned(), "mine"),
        (None, How::OnlyTheirs) => ("theirs (only they changed)".to_owned(), "theirs"),
        (None, How::Same) => ("same on both sides".to_owned(), "same"),
        (None, How::Rule(rule)) => (format!("by the rule `{}`", rule.word()), "rule"),
        (None, How::Merged) => ("merged by itself".to_owned(), "merged"),
        (None, How::Undecided) if field.pointer.is_root() => ("choose m / t / E".to_owned(), "?"),
        (None, How::Undecided) => ("choose m / t / b / e".to_owned(), "?"),
    }
}

/// How many values were begun and are not taken: nothing is queued with them.
fn half_typed(app: &App) -> usize {
    let pane = app.conflicts();
    pane.fields().iter().filter(|field| pane.is_half_typed(field)).count()
}

fn fields(app: &App, canvas: &mut Canvas<'_>, area: Area, conflict: &Conflict) {
    let pane = app.conflicts();
    let open = pane.undecided().len();
    let state = match (open, half_typed(app)) {
        (0, 0) => "all decided, w queues it".to_owned(),
        (0, half) => format!("{half} half typed"),
        (open, _) => format!("{open} to decide"),
    };
    canvas.frame(area, &Border { title: "Fields", bottom_right: &state, focused: true, ..Border::default() });
    let inner = area.inner();
    let wide = inner.width >= 80;
    let columns = Columns::of(usize::from(inner.width));
    if wide {
        heading(app, canvas, inner.row(0), &columns, conflict);
    }
    let (top, above) = pane.window(inner.size());
    let height = pane.table_height(inner.size());
    let first = u16::try_from(above).unwrap_or(0);
    let last = first.saturating_add(u16::try_from(height).unwrap_or(u16::MAX)).min(inner.height);
    for (row, (index, field)) in (first..last).zip(pane.fields().iter().enumerate().skip(top)) {
        let at = inner.row(row);
        line(app, canvas, at, &columns, field);
        if index == pane.field_index() {
            select(canvas, at, true);
        }
    }
    foot(app, canvas, inner, wide);
}

struct Columns {
    name: usize,
    value: usize,
    how: usize,
}

impl Columns {
    fn of(width: usize) -> Self {
        if width < 80 {
            return Self { name: width.saturating_sub(14), value: 0, how: 9 };
        }
        let (name, how) = (16 + (width - 80) / 12, 26);
        Self { name, how, value: (width.saturating_sub(4 + name + how)) / 4 }
    }
}

fn heading(app: &App, canvas: &mut Canvas<'_>, at: Area, columns: &Columns, conflict: &Conflict) {
    let base = app.conflicts().op().and_then(|op| rev(op.base_revision.as_ref())).map(|rev| format!("BASE {rev}"));
    let theirs = revision(conflict).map(|revision| format!("THEIRS {revision}"));
    let titles = [
        base.unwrap_or_else(|| "BASE".to_owned()),
        format!("MINE op {}", conflict.seq),
        theirs.unwrap_or_else(|| "THEIRS".to_owned()),
        "RESULT".to_owned(),
    ];
    canvas.put(at.x + 4, at.y, "FIELD", columns.name - 1, Role::Dim);
    let mut x = at.x + 4 + u16::try_from(columns.name).unwrap_or(0);
    for title in titles {
        canvas.put(x, at.y, &title, columns.value - 1, Role::Dim);
        x += u16::try_from(columns.value).unwrap_or(0);
    }
    canvas.put(x, at.y, "HOW", columns.how, Role::Dim);
}

fn line(app: &App, canvas: &mut Canvas<'_>, at: Area, columns: &Columns, field: &Field) {
    let pane = app.conflicts();
    let result = pane.result(field);
    let (long, short) = how(app, field);
    let sign = if result.is_none() { "!" } else { " " };
    canvas.put(at.x + 2, at.y, sign, 1, Role::Conflict);
    let role = if field.how == How::Unchanged { Role::Dim } else { Role::Key };
    canvas.put(at.x + 4, at.y, &name(field), columns.name - 1, role);
    if columns.value == 0 {
        canvas.put_right(at.right().saturating_sub(1), at.y, short, columns.how, Role::Dim);
        return;
    }
    let chosen = |side: bool| if side { Role::Accent } else { Role::Text };
    let pick = pane.pick(field);
    let sides = [
        (&field.base, if matches!(pick, Some(Pick::Base)) { Role::Accent } else { Role::Dim }),
        (&field.mine, chosen(matches!(pick, Some(Pick::Mine)))),
        (&field.theirs, chosen(matches!(pick, Some(Pick::Theirs)))),
    ];
    let room = columns.value - 1;
    let mut shown: Vec<String> = sides.iter().map(|(value, _)| show(value.as_ref(), room)).collect();
    shown.push(result.as_ref().map_or_else(|| "?".to_owned(), |value| show(value.as_ref(), room)));
    tell_apart(&mut shown, room);
    let roles = sides.map(|(_, role)| role);
    let of_result = if result.is_none() { Role::Conflict } else { Role::Title };
    let mut x = at.x + 4 + u16::try_from(columns.name).unwrap_or(0);
    for (text, role) in shown.iter().zip(roles.into_iter().chain([of_result])) {
        canvas.put(x, at.y, text, room, role);
        x += u16::try_from(columns.value).unwrap_or(0);
    }
    canvas.put(x, at.y, &long, columns.how, Role::Dim);
}

fn foot(app: &App, canvas: &mut Canvas<'_>, inner: Area, wide: bool) {
    let pane = app.conflicts();
    let same = words::count(pane.unchanged() as u64, "unchanged field", "unchanged fields");
    let toggle = if pane.shows_unchanged() { "hides" } else { "shows" };
    let lines = match (wide, pane.whole()) {
        (_, Some(_)) => [String::new(), String::new()],
        (true, _) => [
            format!("+ {same}   (. {toggle} them)"),
            "M take all mine   T take all theirs   a redo automatic merge".to_owned(),
        ],
        (false, _) => [format!("{} unchanged (.)", pane.unchanged()), "M T all  a redo merge".to_owned()],
    };
    for (row, line) in (inner.height.saturating_sub(2)..inner.height).zip(lines) {
        let at = inner.row(row);
        canvas.put(at.x + 2, at.y, &line, usize::from(at.width.saturating_sub(3)), Role::Hint);
    }
}

fn result(app: &App, canvas: &mut Canvas<'_>, area: Area, conflict: &Conflict) {
    let pane = app.conflicts();
    let open = pane.undecided().len();
    let title = match revision(conflict) {
        Some(revision) => format!("Result preview (will be sent on {revision})"),
        None => "Result preview".to_owned(),
    };
    let state = match (open, half_typed(app)) {
        (0, 0) => "complete: w queues it".to_owned(),
        (0, half) => format!("incomplete: {half} half typed"),
        (open, _) => format!("incomplete: {open} to decide"),
    };
    canvas.frame(area, &Border { title: &title, bottom_right: &state, ..Border::default() });
    let inner = area.inner();
    let preview = pane.preview();
    let at_cursor = pane.field().and_then(|field| preview.places.get(&field.pointer)).copied();
    let top = pane.preview_top(usize::from(inner.height));
    for (row, (index, line)) in (0..inner.height).zip(preview.lines.iter().enumerate().skip(top)) {
        let at = inner.row(row);
        let role = match (line.is_open, at_cursor == Some(index)) {
            (true, _) => Role::Conflict,
            (false, true) => Role::Accent,
            (false, false) => Role::Text,
        };
        if line.is_open {
            canvas.put(at.x + 1, at.y, "?", 1, Role::Accent);
        }
        canvas.put(at.x + 3, at.y, &line.text, usize::from(at.width.saturating_sub(4)), role);
    }
}

#[cfg(test)]
mod tests {
    use super::tell_apart;

    #[test]
    fn long_texts_are_shown_where_they_differ() {
        let of = |texts: &[&str]| {
            let mut texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            tell_apart(&mut texts, 20);
            texts
        };
        let (mine, theirs) = ("\"Saltmarsh Quay, the north side\"", "\"Saltmarsh Quay, the south side\"");
        assert_eq!(of(&[mine, theirs, "(none)"]), ["…the north side\"", "…the south side\"", "(none)"]);
        assert_eq!(of(&[mine, mine]), [mine, mine], "nothing to tell apart");
        let other = "\"another place altogether, far away\"";
        assert_eq!(of(&[mine, other]), [mine, other], "they differ where they begin");
        let (mine, theirs) = ("塩沼埠頭北側の倉庫番号第一番", "塩沼埠頭北側の倉庫番号第二番");
        assert_eq!(of(&[mine, theirs]), ["…庫番号第一番", "…庫番号第二番"], "by cells");
    }
}
