//! Draws the field at the cursor: its values at length, what it will be, and the keys that decide it.

use serde_json::Value;

use super::{revision, show};
use crate::{
    app::{
        App,
        geometry::Area,
        panes::{
            conflicts::{Whole, name},
            outbox::{describe, dotted},
            record::pretty,
        },
        tree::preview,
        words,
    },
    merge::{self, Field, How},
    model::{
        conflict::Conflict,
        edit::{Change, diff},
    },
    ui::{
        canvas::{Border, Canvas},
        panes::{rev, say},
        text,
        theme::Role,
    },
};

type Line = (String, Role);

pub(super) fn draw(app: &App, canvas: &mut Canvas<'_>, area: Area, conflict: &Conflict) {
    let pane = app.conflicts();
    let Some(field) = pane.field() else {
        canvas.frame(area, &Border { title: "Field", ..Border::default() });
        return say(canvas, area.inner(), &["Both sides hold the same document"]);
    };
    let open = pane.undecided();
    let at = open.iter().position(|other| other.pointer == field.pointer);
    let state = match at {
        Some(at) => format!("{} of {} undecided", at + 1, open.len()),
        None => String::new(),
    };
    let title = name(field);
    canvas.frame(area, &Border { title: &title, bottom_right: &state, ..Border::default() });
    let inner = area.inner();
    let room = usize::from(inner.width.saturating_sub(2));
    let foot = foot(app, field, conflict, room);
    let foot_height = u16::try_from(foot.len()).unwrap_or(0).min(inner.height);
    let body = Area::new(inner.x, inner.y, inner.width, inner.height - foot_height);
    match (pane.whole(), field.pointer.is_root()) {
        (Some(whole), true) => story(canvas, body, conflict, whole),
        _ => values(app, canvas, body, conflict, field),
    }
    for (row, (line, role)) in (body.height..inner.height).zip(&foot) {
        let at = inner.row(row);
        canvas.put(at.x + 1, at.y, line, room, *role);
    }
    if let Some(input) = pane.typed() {
        let at = inner.row(body.height);
        canvas.put(at.x + 1, at.y, "value ", 6, Role::Accent);
        canvas.input(at.x + 7, at.y, room.saturating_sub(7), input, true);
    }
}

/// Where the record as a whole is in question: what the side that still has it did to it.
fn story(canvas: &mut Canvas<'_>, area: Area, conflict: &Conflict, whole: Whole) {
    let (title, from, to) = match whole {
        Whole::DeletedThere => ("What you changed", &conflict.base, &conflict.mine),
        Whole::DeletedHere => ("What the server changed", &conflict.base, &conflict.theirs),
        Whole::BothCreated => ("From yours to theirs", &conflict.mine, &conflict.theirs),
    };
    let changes = diff(from.as_ref(), to.as_ref());
    let room = usize::from(area.width.saturating_sub(4));
    let height = usize::from(area.height).saturating_sub(2);
    let most = if changes.len() > height { height.saturating_sub(1) } else { height };
    let mut lines: Vec<Line> = vec![(title.to_owned(), Role::Title)];
    let whole: Vec<Line> = changes.iter().flat_map(|change| both_sides(change, room)).collect();
    if whole.len() <= height {
        lines.extend(whole);
    } else {
        lines.extend(changes.iter().take(most).map(|change| (format!("  {}", describe(change)), Role::Text)));
    }
    if changes.len() > most {
        lines.push((format!("  and {} more", changes.len() - most), Role::Dim));
    }
    for (row, (line, role)) in (0..area.height).zip(&lines) {
        let at = area.row(row);
        canvas.put(at.x + 1, at.y, line, room + 2, *role);
    }
}

/// A change on one line, or where that is too long its two values below each other.
fn both_sides(change: &Change, room: usize) -> Vec<Line> {
    let line = format!("  {}", describe(change));
    let show =
        |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), |value| preview(value, room));
    let (from, to) = (show(&change.from), show(&change.to));
    if text::width(&line) <= room && !line.contains('…') {
        return vec![(line, Role::Text)];
    }
    let place = if change.pointer.is_root() { "the record".to_owned() } else { dotted(&change.pointer) };
    let sides = [("was  ", from), ("now  ", to)].into_iter().flat_map(|(word, value)| {
        let lines = text::wrap(&value, room.saturating_sub(9)).into_iter().take(3).enumerate();
        lines.map(move |(number, value)| {
            (format!("    {}{value}", if number == 0 { word } else { "     " }), Role::Text)
        })
    });
    std::iter::once((format!("  {place}"), Role::Text)).chain(sides).collect()
}

/// The three values and the result, each in as many lines as there is room for.
fn values(app: &App, canvas: &mut Canvas<'_>, area: Area, conflict: &Conflict, field: &Field) {
    let pane = app.conflicts();
    let op = pane.op();
    let age = op.map(|op| format!(", {}", words::ago(app.now().wall, op.created_at))).unwrap_or_default();
    let base = op.and_then(|op| rev(op.base_revision.as_ref())).map(|rev| format!("  {rev}"));
    let theirs = revision(conflict).map(|revision| format!("  {revision}")).unwrap_or_default();
    let result = pane.result(field);
    let blocks: [(String, Option<&Value>); 4] = [
        (format!("BASE{}", base.unwrap_or_default()), field.base.as_ref()),
        (format!("MINE  op {}, you{age}", conflict.seq), field.mine.as_ref()),
        (format!("THEIRS{theirs}"), field.theirs.as_ref()),
        ("RESULT".to_owned(), result.as_ref().and_then(Option::as_ref)),
    ];
    let height = usize::from(area.height);
    let most = (height.saturating_sub(4) / 4).max(1);
    let room = usize::from(area.width.saturating_sub(4));
    let mut parts: Vec<Vec<Line>> = Vec::new();
    for (index, (title, value)) in blocks.into_iter().enumerate() {
        let is_result = index == 3;
        let mut lines = vec![(title, if is_result { Role::Title } else { Role::Dim })];
        let role = if is_result { Role::Accent } else { Role::Text };
        match (is_result && result.is_none(), value) {
            (true, _) => lines.push(("  ? not decided".to_owned(), Role::Conflict)),
            (false, None) => lines.push(("  (none)".to_owned(), role)),
            (false, Some(value)) => lines.extend(long(value, room, most).into_iter().map(|line| (line, role))),
        }
        parts.push(lines);
    }
    let gaps = parts.iter().map(Vec::len).sum::<usize>() + 3 <= height;
    let gap: &[Line] = if gaps { &[(String::new(), Role::Text)] } else { &[] };
    let lines = parts.join(gap);
    for (row, (line, role)) in (0..area.height).zip(&lines) {
        let at = area.row(row);
        canvas.put(at.x + 1, at.y, line, room + 2, *role);
    }
}

/// A value over at most so many lines: texts are broken, containers laid out.
fn long(value: &Value, room: usize, most: usize) -> Vec<String> {
    let lines: Vec<String> = match value {
        Value::String(_) => text::wrap(&show(Some(value), room), room),
        Value::Array(_) | Value::Object(_) => {
            let brief = show(Some(value), room);
            let whole = !brief.ends_with("}") || brief == "{}";
            let is_count = brief.trim_matches(['[', ']', '{', '}']).parse::<usize>().is_ok();
            if whole && !is_count { vec![brief] } else { pretty(value).lines().map(str::to_owned).collect() }
        }
        scalar => vec![scalar.to_string()],
    };
    let cut = lines.len() > most;
    let mut kept: Vec<String> = lines.into_iter().take(most).map(|line| format!("  {line}")).collect();
    if cut && let Some(last) = kept.last_mut() {
        last.push_str(" ...");
    }
    kept
}

/// What can be done here and now.
fn foot(app: &App, field: &Field, conflict: &Conflict, room: usize) -> Vec<Line> {
    let pane = app.conflicts();
    if pane.typed().is_some() {
        let state = match pane.typed_value() {
            Some(Err(reason)) => (format!("not a value yet: {reason}"), Role::Conflict),
            _ if pane.is_plain_text() => ("enter takes it as text, `null` leaves it out".to_owned(), Role::Hint),
            _ => ("enter takes it, `null` leaves the field out".to_owned(), Role::Hint),
        };
        return vec![(String::new(), Role::Text), state, ("esc leaves it half typed".to_owned(), Role::Hint)];
    }
    if field.how == How::Unchanged {
        return vec![("The same on all sides".to_owned(), Role::Dim)];
    }
    let key = |key: &str, words: &str| (format!("{key}  {words}"), Role::Hint);
    let ask = |question: &str, keys: [(&str, &str); 3]| {
        let question = text::wrap(question, room).into_iter().map(|line| (line, Role::Title));
        question.chain(keys.into_iter().map(|(letter, words)| key(letter, words))).collect()
    };
    match pane.whole() {
        Some(Whole::DeletedThere) => ask(
            "The server deleted this record; you changed it.",
            [
                ("m", "keep my version as a new record"),
                ("t", "accept the deletion (the vault keeps mine)"),
                ("E", "edit it first, then keep it"),
            ],
        ),
        Some(Whole::DeletedHere) => ask(
            "You deleted this record; the server changed it.",
            [("m", "delete it all the same"), ("t", "keep the server's version"), ("E", "edit theirs, then keep it")],
        ),
        Some(Whole::BothCreated) => ask(
            match pane.op().is_some_and(merge::is_replacement) {
                true => "You deleted this record and made it anew; the server changed the old one.",
                false => "Both sides made a record of this name.",
            },
            [("m", "mine"), ("t", "theirs"), ("E", "merge the two in your editor")],
        ),
        None if room < 56 => vec![
            (String::new(), Role::Text),
            key("m", "mine  t  theirs  b  base  e  type a value"),
            match (pane.is_rewritten(field), pane.lesson().is_some()) {
                (true, false) => key("A", "leave it to the server, as a rule"),
                (_, true) => key("A", "make it a rule"),
                (false, false) => (String::new(), Role::Text),
            },
            ("Nothing is sent until you press w.".to_owned(), Role::Dim),
            (format!("esc decides later: op {} stays here.", conflict.seq), Role::Dim),
        ],
        None => {
            let value = |value: &Option<Value>| show(value.as_ref(), room.saturating_sub(20));
            let mut lines = vec![
                key("m", &format!("use mine      {}", value(&field.mine))),
                key("t", &format!("use theirs    {}", value(&field.theirs))),
                key("b", &format!("back to base  {}", value(&field.base))),
                key("e", "type another value"),
            ];
            if let Some(taught) = pane.lesson() {
                let (pattern, rule) = (&taught.lesson.pattern, taught.lesson.rule.word());
                let reach = format!("decides {} of {} open", taught.decides, taught.of);
                lines.push(key("A", &format!("as a rule, `\"{pattern}\" = \"{rule}\"`: {reach}")));
            } else if pane.is_rewritten(field) {
                lines.push(key("A", "leave it to the server, as a rule"));
            }
            lines
        }
    }
}
