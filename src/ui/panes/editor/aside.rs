//! Beside the text: what is wrong with it, what may be done now, and what it changes.

use super::{
    base_name,
    pen::{Pen, padded},
};
use crate::{
    app::{
        geometry::Area,
        panes::editor::{
            Sheet, changes,
            layout::Parts,
            merging::Standing,
            tokens::{self, TokenKind},
        },
        words,
    },
    model::{draft::DraftTarget, edit::Change, op::Op},
    ui::{text, theme::Role},
};

pub(super) fn draw_check(sheet: &Sheet, pen: &mut Pen<'_, '_>, parts: &Parts) {
    let area = parts.check;
    if area.height < 3 {
        return;
    }
    let wide = parts.changes.width > 0;
    let problems = words::count(sheet.check.problems.len() as u64, "problem", "problems");
    let fields = words::count(sheet.check.changes.len() as u64, "field changed", "fields changed");
    let (title, bottom) = match (wide, sheet.check.problems.is_empty()) {
        (true, true) => ("Check".to_owned(), "no problem".to_owned()),
        (true, false) => ("Check".to_owned(), problems),
        (false, true) => ("Check".to_owned(), fields),
        (false, false) => (format!("Check {problems}"), incomplete_count(sheet)),
    };
    let bottom = if sheet.check.skipped { "not checked yet".to_owned() } else { bottom };
    pen.frame(area, &title, &bottom, false);
    let inner = padded(area);
    let mut rows = problem_rows(sheet, usize::from(inner.height), usize::from(inner.width));
    if wide {
        if !rows.is_empty() {
            rows.push((Role::Text, String::new()));
        }
        rows.extend(advice(sheet, usize::from(inner.width)));
    } else {
        let room = usize::from(inner.height).saturating_sub(rows.len() + 1);
        let gone = sheet.standing() == Standing::Gone;
        if gone {
            rows.push((Role::Conflict, "! The record is gone: F2 makes it anew, F7 discards the draft".to_owned()));
        }
        rows.extend(short_changes(sheet).into_iter().take(room.saturating_sub(usize::from(gone)).max(1)));
        rows.extend(together(sheet).map(|text| (Role::Dim, text)));
        if rows.is_empty() {
            rows.extend(advice(sheet, usize::from(inner.width)));
        }
    }
    for (row, (role, text)) in rows.iter().enumerate().take(usize::from(inner.height)) {
        pen.line(inner, row, text, *role);
    }
}

/// The problems, the last row saying how many more there are.
fn problem_rows(sheet: &Sheet, height: usize, width: usize) -> Vec<(Role, String)> {
    let problems = &sheet.check.problems;
    let room = if height > 6 { height / 2 } else { height.saturating_sub(2).max(1) };
    let shown = if problems.len() > room { room.saturating_sub(1).max(1) } else { problems.len() };
    let mut rows = Vec::new();
    if let Some(reason) = &sheet.damaged {
        rows.push((Role::Problem, format!("x Read only in part: {reason}")));
    }
    for problem in &problems[..shown] {
        let lines = if height > 6 { text::wrap(&format!("x {problem}"), width) } else { vec![format!("x {problem}")] };
        rows.extend(lines.into_iter().map(|line| (Role::Problem, line)));
    }
    if shown < problems.len() {
        rows.push((Role::Problem, format!("x and {} more", problems.len() - shown)));
    }
    rows
}

/// What may be done now, for people.
fn advice(sheet: &Sheet, width: usize) -> Vec<(Role, String)> {
    let mut rows = Vec::new();
    let mut say = |role: Role, text: &str| {
        rows.extend(text::wrap(text, width.max(1)).into_iter().map(|line| (role, line)));
        rows.push((Role::Text, String::new()));
    };
    match sheet.standing() {
        Standing::Moved(fields) => {
            let fields = words::count(fields as u64, "field", "fields");
            say(Role::Conflict, &format!("! Base changed: the record has {fields} changed since you began."));
            match sheet.undecided().count() {
                0 => say(Role::Text, "F6 merges them into your text. Queueing sends only what you changed."),
                1 => say(Role::Text, "Both sides changed one of them: F6 lets you choose before it is queued."),
                many => say(
                    Role::Text,
                    &format!("Both sides changed {many} of them: F6 lets you choose before it is queued."),
                ),
            }
        }
        Standing::Gone => {
            say(Role::Conflict, "! The record is gone. This is the recovered draft of it.");
            say(Role::Text, "F2 makes the record anew from this text. F7 discards the draft; the vault keeps it.");
        }
        Standing::Steady => {}
    }
    if !sheet.ready {
        say(Role::Dim, "The record is being read.");
    } else if sheet.check.skipped {
        say(Role::Text, "Large text: it is checked when you queue it or ask for the next problem.");
    } else if sheet.check.problems.is_empty() && sheet.check.changes.is_empty() {
        say(Role::Dim, "Nothing changed yet.");
    } else if sheet.check.problems.is_empty() && sheet.undecided().next().is_none() {
        say(Role::Sent, "= Valid. It can be queued.");
    }
    if sheet.begun {
        say(Role::Text, "You can leave now: the text is kept exactly as typed, cursor included.");
    }
    if sheet.check.problems.iter().any(|problem| problem.place.is_some()) {
        say(Role::Text, "To queue it the JSON must be valid.");
    }
    rows
}

fn incomplete_count(sheet: &Sheet) -> String {
    words::count(sheet.lines.pairs.len() as u64, "line changed", "lines changed")
}

/// The changes on one line each: `/profile/role  "editor" -> "owner"`.
fn short_changes(sheet: &Sheet) -> Vec<(Role, String)> {
    if sheet.check.problems.is_empty() {
        return sheet.check.changes.iter().map(|change| (Role::Changed, short_change(change))).collect();
    }
    let rows = incomplete(sheet).into_iter().map(|(pointer, old, new)| {
        let old = old.map_or("nothing".to_owned(), |old| old.trim().to_owned());
        let new = new.map_or("nothing".to_owned(), |new| new.trim().to_owned());
        (Role::Changed, format!("{pointer}  {old} -> {new}"))
    });
    rows.collect()
}

fn short_change(change: &Change) -> String {
    let shown = |value: &Option<serde_json::Value>| value.as_ref().map_or("nothing".to_owned(), ToString::to_string);
    format!("{}  {} -> {}", place(change), shown(&change.from), shown(&change.to))
}

fn place(change: &Change) -> String {
    if change.pointer.is_root() { "the whole record".to_owned() } else { change.pointer.to_string() }
}

/// While the text is no JSON: the lines that differ, with the place they are in. The member name of a line that only
/// repeats the place is left out.
fn incomplete(sheet: &Sheet) -> Vec<(String, Option<String>, Option<String>)> {
    let lines = sheet.buffer.lines();
    let pairs = sheet.lines.pairs.iter().take(changes::MOST_PLACED).enumerate().map(|(number, (old, new))| {
        let pointer = sheet.lines.places.get(number).filter(|place| !place.is_root()).map(ToString::to_string);
        let pointer = pointer.unwrap_or_default();
        let wrong = |line: usize| {
            let places = sheet.check.problems.iter().filter_map(|problem| problem.place);
            places.into_iter().any(|(number, _)| number == line + 1)
        };
        let note = |line: usize| if wrong(line) { "  (incomplete)" } else { "" };
        let shown = new.map(|line| format!("{}{}", value_of(&lines[line]), note(line)));
        (pointer, old.as_deref().map(value_of), shown)
    });
    pairs.collect()
}

/// `  "role": "editor",` → `"editor"`.
fn value_of(line: &str) -> String {
    let mut tokens = tokens::tokens(line);
    let value = match (tokens.next(), tokens.next()) {
        (Some(key), Some(colon)) if key.kind == TokenKind::Key => &line[colon.end..],
        _ => line,
    };
    value.trim().trim_end_matches(',').to_owned()
}

fn together(sheet: &Sheet) -> Option<String> {
    let last = sheet.ops.last().filter(|_| sheet.begun)?;
    if let DraftTarget::Op(seq) = sheet.key.target {
        return Some(format!("It will be sent instead of what op {seq} says."));
    }
    let how = if last.is_untouched() { "together with" } else { "after" };
    Some(format!("It will be sent {how} op {} ({}).", last.seq, describe(last)))
}

fn describe(op: &Op) -> String {
    match op.changes.as_slice() {
        [change] if !change.pointer.is_root() => short_change(change),
        [_] => op.kind.word().to_owned(),
        changes => format!("{} changes", changes.len()),
    }
}

pub(super) fn draw_changes(sheet: &Sheet, pen: &mut Pen<'_, '_>, area: Area) {
    if area.height < 3 {
        return;
    }
    let title = match sheet.has_base() {
        true => format!("Changes against {}", base_name(sheet)),
        false => "New record".to_owned(),
    };
    let bottom = match sheet.check.problems.is_empty() {
        _ if sheet.check.skipped => "not checked yet".to_owned(),
        true => words::count(sheet.check.changes.len() as u64, "field changed", "fields changed"),
        false => incomplete_count(sheet),
    };
    pen.frame(area, &title, &bottom, false);
    let inner = padded(area);
    let tail = queued_rows(sheet);
    let room = usize::from(inner.height).saturating_sub(if tail.is_empty() { 0 } else { tail.len() + 1 });
    let mut rows = change_rows(sheet);
    if rows.len() > room.max(1) {
        let more = rows.len() + 1 - room.max(1);
        rows.truncate(room.max(1) - 1);
        rows.push((Role::Dim, format!("and {more} lines more")));
    }
    if !tail.is_empty() {
        rows.push((Role::Text, String::new()));
        rows.extend(tail);
    }
    for (row, (role, text)) in rows.iter().enumerate().take(usize::from(inner.height)) {
        pen.line(inner, row, text, *role);
    }
}

fn change_rows(sheet: &Sheet) -> Vec<(Role, String)> {
    let mut rows = Vec::new();
    if sheet.check.problems.is_empty() {
        for change in &sheet.check.changes {
            rows.push((Role::Text, place(change)));
            rows.extend(change.from.as_ref().map(|value| (Role::Deleted, format!("  - {value}"))));
            rows.extend(change.to.as_ref().map(|value| (Role::Created, format!("  + {value}"))));
        }
        return rows;
    }
    for (pointer, old, new) in incomplete(sheet) {
        if !pointer.is_empty() {
            rows.push((Role::Text, pointer));
        }
        rows.extend(old.map(|line| (Role::Deleted, format!("  - {line}"))));
        rows.extend(new.map(|line| (Role::Created, format!("  + {line}"))));
    }
    rows
}

fn queued_rows(sheet: &Sheet) -> Vec<(Role, String)> {
    // What is edited here takes the place of its own op.
    let ops: Vec<&Op> = sheet.ops.iter().filter(|op| sheet.key.target != DraftTarget::Op(op.seq)).collect();
    let Some(last) = ops.last() else { return Vec::new() };
    let mut rows = vec![(Role::Text, "Also queued for this record:".to_owned())];
    let row = |op: &&Op| (Role::Queued, format!("  op {} {} ({})", op.seq, describe(op), op.state.label()));
    rows.extend(ops[ops.len().saturating_sub(3)..].iter().map(row));
    if matches!(sheet.key.target, DraftTarget::Op(_)) {
        return rows;
    }
    let how = if last.is_untouched() { "together with" } else { "after" };
    rows.push((Role::Dim, format!("  this will be sent {how} op {}", last.seq)));
    rows
}
