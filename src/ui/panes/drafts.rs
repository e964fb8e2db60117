//! Draws the drafts: their list, and the one at the cursor against what it was begun on.

use crate::{
    app::{
        App,
        geometry::{Area, Place, drafts_split},
        panes::drafts::{DraftRow, PreviewLine, what},
        panes::editor::{merging::Standing, name_of_key},
        words,
    },
    ui::{
        canvas::{Border, Canvas},
        panes::{say, select},
        text,
        theme::Role,
    },
};

const STATE: usize = 24;
const AGE: usize = 5;
const BYTES: usize = 8;

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    let (list, preview) = drafts_split(place.area);
    rows(app, canvas, list);
    one(app, canvas, preview);
}

fn rows(app: &App, canvas: &mut Canvas<'_>, area: Area) {
    let pane = app.draft_list();
    let count = words::count(pane.total(), "draft", "drafts");
    canvas.frame(area, &Border { title: "Drafts", bottom_right: &count, focused: true, ..Border::default() });
    let inner = area.inner();
    if pane.rows().is_empty() {
        let sentences: &[&str] = match pane.is_loaded() {
            false => &["Reading the drafts"],
            true => &["No draft", "What you type and do not queue is kept here, whatever becomes of its record"],
        };
        return say(canvas, inner, sentences);
    }
    let columns = Columns::of(usize::from(inner.width));
    let cells = ["RECORD", "WHAT", "AGE", "BYTES", "STATE"].map(str::to_owned);
    let line = columns.line(&cells, canvas);
    canvas.put(inner.x + 4, inner.y, &line, usize::from(inner.width.saturating_sub(4)), Role::Dim);
    let (top, cursor) = pane.window(usize::from(inner.height));
    for (row, (index, draft)) in (1..inner.height).zip(pane.rows().iter().enumerate().skip(top)) {
        let at = inner.row(row);
        draw_row(app, canvas, at, &columns, draft);
        if index == cursor {
            select(canvas, at, true);
        }
    }
}

struct Columns {
    record: usize,
    what: usize,
    has_bytes: bool,
}

impl Columns {
    fn of(width: usize) -> Self {
        let has_bytes = width >= 76;
        let fixed = 4 + STATE + 2 + AGE + 2 + if has_bytes { BYTES + 2 } else { 0 };
        let rest = width.saturating_sub(fixed + 1);
        let what = (rest * 2 / 5).clamp(if rest < 28 { 6 } else { 12 }, 24);
        Self { record: rest.saturating_sub(what + 1), what, has_bytes }
    }

    fn line(&self, [record, what, age, bytes, state]: &[String; 5], canvas: &Canvas<'_>) -> String {
        let mut line = format!(
            "{} {} {}",
            text::pad(record, self.record, canvas.glyphs),
            text::pad(what, self.what, canvas.glyphs),
            text::pad_left(age, AGE, canvas.glyphs)
        );
        if self.has_bytes {
            line += &format!("  {}", text::pad_left(bytes, BYTES, canvas.glyphs));
        }
        line + "  " + state
    }
}

fn draw_row(app: &App, canvas: &mut Canvas<'_>, at: Area, columns: &Columns, draft: &DraftRow) {
    let is_configured = app.setup().collection(&draft.key.record.collection).is_some();
    let (mark, role) = match draft.standing {
        Standing::Gone | Standing::Moved(_) => ("!", Role::Conflict),
        Standing::Steady if draft.op_is_gone || !is_configured => ("!", Role::Conflict),
        Standing::Steady if draft.problem.is_some() => ("x", Role::Problem),
        Standing::Steady => ("~", Role::Draft),
    };
    canvas.put(at.x + 2, at.y, mark, 1, role);
    let age = words::age_of(app.now().wall, draft.updated_at);
    let record = text::line(&draft.key.record.to_string()).into_owned();
    let state = draft.state(is_configured);
    let line = columns.line(&[record, what(&draft.key.target), age, words::bytes(draft.bytes), String::new()], canvas);
    let room = usize::from(at.width.saturating_sub(4));
    let used = canvas.put(at.x + 4, at.y, &line, room, Role::Text);
    let role = if mark == "~" { Role::Dim } else { role };
    canvas.put(at.x + 4 + used, at.y, &state, room.saturating_sub(usize::from(used)), role);
}

fn one(app: &App, canvas: &mut Canvas<'_>, area: Area) {
    let pane = app.draft_list();
    let Some(draft) = pane.selected() else {
        return canvas.frame(area, &Border { title: "Draft", ..Border::default() });
    };
    let title = format!("Draft of {}", text::line(&name_of_key(&draft.key)));
    let typed = format!("typed {}", words::ago(app.now().wall, draft.updated_at));
    let bytes = words::bytes(draft.bytes);
    canvas.frame(area, &Border { title: &title, bottom_left: &typed, bottom_right: &bytes, ..Border::default() });
    let inner = area.inner();
    let lines = &pane.preview().lines;
    if lines.is_empty() {
        return say(canvas, inner, &["Reading the draft"]);
    }
    let room = usize::from(inner.width.saturating_sub(2));
    let shown: Vec<(String, Role)> = lines.iter().flat_map(|line| drawn(line, room)).collect();
    let height = usize::from(inner.height);
    let from = pane.scroll().min(shown.len().saturating_sub(height));
    for (row, (line, role)) in (0..inner.height).zip(shown.iter().skip(from)) {
        let at = inner.row(row);
        canvas.put(at.x + 1, at.y, line, room, *role);
    }
}

pub(super) fn drawn(line: &PreviewLine, room: usize) -> Vec<(String, Role)> {
    let wrapped = |sign: &str, sentence: &str, role: Role| -> Vec<(String, Role)> {
        let parts = text::wrap(sentence, room.saturating_sub(2).max(8));
        let signed = |(number, part): (usize, String)| {
            let sign = if number == 0 { sign } else { " " };
            (format!("{sign} {part}"), role)
        };
        parts.into_iter().enumerate().map(signed).collect()
    };
    match line {
        PreviewLine::Warning(text) => wrapped("!", text, Role::Conflict),
        PreviewLine::Said(text) if text.is_empty() => vec![(String::new(), Role::Text)],
        PreviewLine::Said(text) => wrapped(" ", text, Role::Text),
        PreviewLine::Place(place) => vec![(format!("  {place}"), Role::Key)],
        PreviewLine::Theirs(text) => vec![(format!("    {text}"), Role::Text)],
        PreviewLine::Same(text) => vec![(format!("  {text}"), Role::Dim)],
        PreviewLine::Removed(text) => vec![(format!("- {text}"), Role::Deleted)],
        PreviewLine::Added(text) => vec![(format!("+ {text}"), Role::Created)],
        PreviewLine::Gap => vec![("  ...".to_owned(), Role::Dim)],
    }
}
