//! Beside the text of a draft whose record moved: base, theirs and draft of every place that differs.

use serde_json::Value;

use super::pen::{Pen, padded};
use crate::{
    app::{
        geometry::Area,
        list,
        panes::editor::{
            Sheet,
            merging::{Standing, place_name},
        },
        tree, words,
    },
    merge::{Field, How, Pick},
    model::rules::FieldRule,
    ui::{text, theme::Role},
};

/// Rows of a field where its versions stand below each other.
const STACKED: usize = 4;
/// From this width on a field is one row.
const TABLE: u16 = 70;

pub(super) fn draw_three(sheet: &Sheet, pen: &mut Pen<'_, '_>, area: Area) {
    let Some(three) = sheet.three().filter(|_| area.height >= 3) else { return };
    let changed = match sheet.standing() {
        Standing::Moved(fields) => words::count(fields as u64, "field", "fields"),
        _ => String::new(),
    };
    pen.frame(area, &format!("Changed meanwhile: {changed}"), &what_now(sheet), sheet.is_merging());
    let inner = padded(area);
    let table = inner.width >= TABLE;
    let mut first = 0;
    if table && !three.readable {
        let problem = sheet.check.problems.first().map_or("not checked yet".to_owned(), ToString::to_string);
        pen.line(inner, first, &format!("x {problem}"), Role::Problem);
        first += 1;
    }
    let columns = Columns::of(usize::from(inner.width));
    if table {
        let heading = columns.line(["  FIELD", "BASE", "THEIRS", "DRAFT", "RESULT"].map(str::to_owned), pen);
        pen.line(inner, first, &heading, Role::Dim);
        first += 1;
    }
    let height = usize::from(inner.height).saturating_sub(first);
    let each = if table { 1 } else { STACKED };
    let room = (height / each).max(1);
    let at = sheet.merge_index();
    let top = list::view(0, at, room, three.fields.len());
    for (number, (index, field)) in three.fields.iter().enumerate().skip(top).take(room).enumerate() {
        let row = first + number * each;
        let here = sheet.is_merging() && index == at;
        let name = format!("{}{} {}", if here { ">" } else { " " }, mark(sheet, field), place_name(&field.pointer));
        let role = if is_open(sheet, field) { Role::Conflict } else { Role::Text };
        let draft = if three.readable { field.mine.as_ref() } else { None };
        if table {
            let values = [field.base.as_ref(), field.theirs.as_ref(), draft];
            let [base, theirs, mine] = values.map(|value| show(value, columns.value));
            let mine = if three.readable { mine } else { "?".to_owned() };
            let line = columns.line([name, base, theirs, mine, how(sheet, field)], pen);
            pen.line(inner, row, &line, role);
        } else {
            let width = usize::from(inner.width);
            let how = how(sheet, field);
            let name = text::pad(&name, width.saturating_sub(text::width(&how) + 1), pen.look.glyphs);
            pen.line(inner, row, &format!("{name} {how}"), role);
            let room = width.saturating_sub(12);
            let mine = if three.readable { show(draft, room) } else { "not valid JSON yet".to_owned() };
            let versions = [("base", show(field.base.as_ref(), room)), ("theirs", show(field.theirs.as_ref(), room))];
            for (below, (word, value)) in (1..).zip(versions.into_iter().chain([("draft", mine)])) {
                if below < height.saturating_sub(number * each) {
                    pen.line(inner, row + below, &format!("    {word:<6}  {value}"), Role::Dim);
                }
            }
        }
        if here {
            let y = inner.y + u16::try_from(row).unwrap_or(0);
            pen.select(Area::new(inner.x, y, inner.width, 1));
        }
    }
}

/// What a field in place says of its other versions.
pub(super) fn about_three(sheet: &Sheet) -> Option<String> {
    let field = sheet.three()?.fields.first()?;
    let (base, theirs) = (show(field.base.as_ref(), 16), show(field.theirs.as_ref(), 16));
    Some(match sheet.is_merging() {
        true => format!("! theirs {theirs} | base {base} | {}", how(sheet, field)),
        false => format!("! changed meanwhile: {base} -> {theirs} | F6 merges"),
    })
}

fn what_now(sheet: &Sheet) -> String {
    if sheet.three().is_some_and(|three| !three.readable) {
        return "valid JSON merges by F6".to_owned();
    }
    match (sheet.is_merging(), sheet.undecided().count()) {
        (true, 0) => "enter puts it into the text".to_owned(),
        (true, open) => format!("{open} to choose: m t b"),
        (false, 0) => "F6 merges it in".to_owned(),
        (false, open) => format!("{open} to choose: F6"),
    }
}

fn is_open(sheet: &Sheet, field: &Field) -> bool {
    field.how == How::Undecided && sheet.pick(field).is_none()
}

fn mark(sheet: &Sheet, field: &Field) -> &'static str {
    if is_open(sheet, field) { "!" } else { " " }
}

/// Where the result of a field comes from.
fn how(sheet: &Sheet, field: &Field) -> String {
    if sheet.three().is_some_and(|three| !three.readable) {
        return "?".to_owned();
    }
    let word = match (sheet.pick(field), field.how) {
        (Some(Pick::Mine), _) => "draft (chosen)",
        (Some(Pick::Theirs), _) => "theirs (chosen)",
        (Some(Pick::Base), _) => "base (chosen)",
        (Some(_), _) => "chosen",
        (None, How::OnlyMine) => "draft",
        (None, How::OnlyTheirs | How::Rule(FieldRule::ServerOwned)) => "theirs",
        (None, How::Same | How::Unchanged) => "same",
        (None, How::Merged) => "both",
        (None, How::Rule(rule)) => return format!("rule {}", rule.word()),
        (None, How::Undecided) => "choose",
    };
    word.to_owned()
}

fn show(value: Option<&Value>, room: usize) -> String {
    value.map_or_else(|| "(none)".to_owned(), |value| tree::preview(value, room.max(4)))
}

struct Columns {
    name: usize,
    value: usize,
}

impl Columns {
    fn of(width: usize) -> Self {
        let how = 15;
        let name = (width / 4).clamp(12, 32);
        Self { name, value: width.saturating_sub(name + how + 4) / 3 }
    }

    fn line(&self, [name, base, theirs, draft, how]: [String; 5], pen: &Pen<'_, '_>) -> String {
        let pad = |value: &str, room: usize| text::pad(value, room, pen.look.glyphs);
        format!(
            "{} {} {} {} {how}",
            pad(&name, self.name),
            pad(&base, self.value),
            pad(&theirs, self.value),
            pad(&draft, self.value)
        )
    }
}
