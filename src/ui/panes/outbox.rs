//! Draws the outbox: the list on the main screen, list and inspector on the whole body.

use crate::{
    app::{
        App,
        geometry::{Area, Form, Place, outbox_split},
        pane::PaneName,
        panes::outbox::View,
        words,
    },
    model::{
        ids::Seq,
        op::{Op, OpState, OutboxCounts},
    },
    ui::{
        canvas::{Border, Canvas},
        panes::{is_focused, op, say, select},
        text,
        theme::Role,
    },
};

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    if place.form != Form::Full {
        return list(app, canvas, place.area, false);
    }
    let (left, right) = outbox_split(place.area);
    list(app, canvas, left, true);
    op::draw(app, canvas, right);
}

pub fn state_role(state: OpState) -> Role {
    match state {
        OpState::Queued => Role::Queued,
        OpState::Held => Role::Held,
        OpState::Blocked => Role::Blocked,
        OpState::InFlight => Role::Sending,
        OpState::InDoubt => Role::InDoubt,
        OpState::Auth => Role::AuthState,
        OpState::Conflict => Role::Conflict,
        OpState::Rejected => Role::Rejected,
        OpState::Acked | OpState::Superseded | OpState::Discarded => Role::Sent,
    }
}

/// `4 queued 1 held 1 rejected 1 conflict`: only what there is.
fn summary(counts: &OutboxCounts) -> String {
    let named = [
        (counts.queued, "queued"),
        (counts.in_flight, "sending"),
        (counts.in_doubt, "in doubt"),
        (counts.held, "held"),
        (counts.blocked, "blocked"),
        (counts.auth, "auth"),
        (counts.rejected, "rejected"),
        (counts.conflict, "conflict"),
    ];
    let there = named.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = there.map(|(count, word)| format!("{} {word}", words::grouped(*count))).collect();
    parts.join("  ")
}

fn list(app: &App, canvas: &mut Canvas<'_>, area: Area, full: bool) {
    let pane = app.outbox();
    let focused = is_focused(app, PaneName::Outbox);
    let counts = &app.world().counts;
    // On the main screen no line of views says why ops are missing.
    let view = match pane.view() {
        View::All => String::new(),
        view => format!(" [{}]", view.word()),
    };
    let title = format!("4 Outbox {}{}", words::grouped(counts.pending()), if full { "" } else { &view });
    let below = if full { "order kept per record".to_owned() } else { summary(counts) };
    let mut inner = area.inner();
    let in_sight = usize::from(inner.height) - usize::from(inner.height > 3);
    let past = pane.window(in_sight, full).0 + in_sight;
    let more = match in_view(counts, pane.view()).saturating_sub(past as u64) {
        more if more > 0 && !full && pane.is_loaded() => format!("{} more below", words::grouped(more)),
        _ => String::new(),
    };
    let border = Border { title: &title, title_right: &more, bottom_right: &below, focused, ..Border::default() };
    canvas.frame(area, &border);
    if full && inner.height > 6 {
        views(app, canvas, inner.row(0));
        inner = Area { y: inner.y + 1, height: inner.height - 1, ..inner };
    }
    let lines = pane.lines(full);
    let saving: Vec<&crate::model::ids::RecordKey> = app.world().saving.values().map(|saving| &saving.record).collect();
    if lines.is_empty() && saving.is_empty() {
        let sentence = match (pane.is_loaded(), pane.view()) {
            (false, _) => "Reading the outbox",
            (true, View::All) => "Empty: no edit waits for the server",
            (true, _) => "No op is in this state (v shows the others)",
        };
        return say(canvas, inner, &[sentence]);
    }
    let has_trouble =
        |op: &&Op| op.state == OpState::Queued && (op.next_attempt_at.is_some() || op.last_error.is_some());
    let has_notes = counts.pending() > counts.queued + counts.in_flight || lines.iter().any(has_trouble);
    let columns = Columns::fit(inner.width, has_notes);
    if inner.height > 3 {
        columns.heading(canvas, inner.row(0));
        inner = Area { y: inner.y + 1, height: inner.height - 1, ..inner };
    }
    let legend = if full && inner.height >= 15 { 5 } else { 0 };
    let height = inner.height - legend;
    let pending = pane.shown().len();
    let rows = usize::from(height);
    let (mut top, mut cursor) = pane.window(rows, full);
    // The heading of the settled ones takes two rows where it is in sight.
    if full && pending > 0 && (top..top + rows).contains(&pending) && pending < lines.len() {
        (top, cursor) = pane.window(rows.saturating_sub(2), full);
    }
    let mut row = 0;
    for (index, op) in lines.iter().enumerate().skip(top) {
        if full && index == pending && index > 0 {
            row += 1;
            if row + 1 < height {
                let at = inner.row(row);
                canvas.put(at.x, at.y, " Recently settled", usize::from(at.width), Role::Title);
            }
            row += 1;
        }
        if row >= height {
            break;
        }
        let at = inner.row(row);
        columns.op(app, canvas, at, op);
        if index == cursor {
            select(canvas, at, focused);
        }
        row += 1;
    }
    for record in saving {
        if row >= height {
            break;
        }
        columns.saving(canvas, inner.row(row), &record.to_string());
        row += 1;
    }
    if legend > 0 {
        states(canvas, Area { y: inner.y + height, height: legend, ..inner });
    }
}

fn in_view(counts: &OutboxCounts, view: View) -> u64 {
    match view {
        View::All => counts.pending(),
        View::Queued => counts.queued + counts.in_flight + counts.in_doubt + counts.blocked,
        View::Held => counts.held,
        View::Rejected => counts.rejected,
        View::Conflict => counts.conflict,
    }
}

fn views(app: &App, canvas: &mut Canvas<'_>, line: Area) {
    let counts = &app.world().counts;
    let mut x = line.x + 1;
    let room = |x: u16| usize::from(line.right().saturating_sub(x));
    x += canvas.put(x, line.y, "VIEW ", 5, Role::Dim);
    for (index, view) in View::ALL.into_iter().enumerate() {
        let count = (view != View::All).then(|| in_view(counts, view));
        if index > 0 {
            x += 2;
        }
        let label = match count {
            Some(count) => format!("{} {}", view.word(), words::grouped(count)),
            None => view.word().to_owned(),
        };
        let role = if app.outbox().view() == view { Role::Accent } else { Role::Text };
        let label = if app.outbox().view() == view { format!("[{label}]") } else { label };
        x += canvas.put(x, line.y, &label, room(x), role);
    }
}

fn states(canvas: &mut Canvas<'_>, area: Area) {
    let at = area.row(1);
    canvas.put(at.x, at.y, " STATES", 8, Role::Title);
    for (row, line) in [
        "  . queued   > sending  ? in doubt  h held",
        "  x rejected ! conflict b blocked   a credentials",
        "  settled:   = synced   m superseded   d discarded",
    ]
    .into_iter()
    .enumerate()
    {
        let at = area.row(2 + u16::try_from(row).unwrap_or(0));
        canvas.put(at.x, at.y, line, usize::from(at.width), Role::Dim);
    }
}

/// Which columns a width has room for.
struct Columns {
    target: usize,
    note: usize,
}

/// `>` and a space, number, state, op.
const LEAD: usize = 2 + 6 + STATE + OP;
/// The longest of each and a blank.
const STATE: usize = 13;
const OP: usize = 7;
const TRY_AND_AGE: usize = 5 + 5;

impl Columns {
    /// `has_notes`: some ops are not simply waiting, which a note explains.
    fn fit(width: u16, has_notes: bool) -> Self {
        let free = usize::from(width).saturating_sub(LEAD + TRY_AND_AGE + 1);
        let target = match has_notes {
            true if free >= 34 => (free - 17).clamp(17, 36),
            true => free.min(24),
            false => free.min(36),
        };
        Self { target, note: free.saturating_sub(target + 1) }
    }

    fn heading(&self, canvas: &mut Canvas<'_>, line: Area) {
        let mut pieces = vec![(format!("  {:<6}{:<STATE$}{:<OP$}", "#", "STATE", "OP"), Role::Dim)];
        pieces.push((text::pad("TARGET", self.target, canvas.glyphs), Role::Dim));
        pieces.push((format!("{:>5}{:>5}", "TRY", "AGE"), Role::Dim));
        if self.note >= 6 {
            pieces.push(("  NOTE".to_owned(), Role::Dim));
        }
        let borrowed: Vec<(&str, Role)> = pieces.iter().map(|(text, role)| (text.as_str(), *role)).collect();
        canvas.pieces(line, &borrowed);
    }

    fn op(&self, app: &App, canvas: &mut Canvas<'_>, line: Area, op: &Op) {
        let retrying = op.state == OpState::Queued && op.attempts > 0 && op.next_attempt_at.is_some();
        let (state, role) = match held_before(app, op) {
            Some(held) => (format!("{} behind {held}", op.state.symbol()), Role::Held),
            None if retrying => ("r retry".to_owned(), Role::Retrying),
            None => (format!("{} {}", op.state.symbol(), op.state.label()), state_role(op.state)),
        };
        let age = words::age_of(app.now().wall, op.settled_at.unwrap_or(op.created_at));
        let note = match (op.is_old(app.now().wall), note(app, op)) {
            (true, note) if note.is_empty() => "old".to_owned(),
            (true, note) => format!("old, {note}"),
            (false, note) => note,
        };
        self.line(
            canvas,
            line,
            &op.seq.to_string(),
            (&state, role),
            op.kind.word(),
            &op.record.to_string(),
            &format!("{:>5}{:>5}{}", op.attempts, age, if op.is_old(app.now().wall) { "*" } else { "" }),
        );
        if self.note >= 3 {
            let x = line.x + u16::try_from(LEAD + self.target + TRY_AND_AGE + 2).unwrap_or(0);
            canvas.put(x, line.y, &note, usize::from(line.right().saturating_sub(x + 1)), role);
        }
    }

    fn saving(&self, canvas: &mut Canvas<'_>, line: Area, record: &str) {
        self.line(canvas, line, "", ("s saving", Role::Text), "", record, "");
    }

    #[expect(clippy::too_many_arguments, reason = "one line of a table: one argument per cell")]
    fn line(
        &self,
        canvas: &mut Canvas<'_>,
        line: Area,
        seq: &str,
        (state, role): (&str, Role),
        kind: &str,
        target: &str,
        tail: &str,
    ) {
        let glyphs = canvas.glyphs;
        let seq = format!("  {}", text::pad(seq, 6, glyphs));
        let state = text::pad(state, STATE, glyphs);
        let kind = text::pad(&kind.to_uppercase(), OP, glyphs);
        let target = text::pad(target, self.target, glyphs);
        canvas.pieces(
            line,
            &[(&seq, Role::Text), (&state, role), (&kind, Role::Text), (&target, Role::Text), (tail, Role::Dim)],
        );
    }
}

/// The op of the same record that is held and goes first.
fn held_before(app: &App, op: &Op) -> Option<Seq> {
    let ahead = app.outbox().ops().iter().take_while(|other| other.seq != op.seq);
    let mut held = ahead.filter(|other| other.state == OpState::Held && other.record == op.record);
    held.next().map(|other| other.seq).filter(|_| op.state == OpState::Queued)
}

/// The most useful thing to say about an op in a few words.
fn note(app: &App, op: &Op) -> String {
    match op.state {
        OpState::Conflict => "c to resolve".to_owned(),
        OpState::Held => "held by you".to_owned(),
        OpState::Blocked => op.after.map(|after| format!("behind op {after}")).unwrap_or_default(),
        OpState::Auth => "needs credentials".to_owned(),
        OpState::Queued | OpState::InFlight | OpState::InDoubt => {
            if held_before(app, op).is_some() {
                return "which you hold".to_owned();
            }
            let next = op.next_attempt_at.filter(|next| *next > app.now().wall);
            match (next, &op.last_error) {
                (Some(next), _) => format!("at {}", next.clock_time(app.setup().zone_offset)),
                (None, Some(error)) => error.message.clone(),
                (None, None) => String::new(),
            }
        }
        OpState::Rejected => match &op.last_error {
            Some(error) => match error.status {
                Some(status) => format!("{status} {}", error.message),
                None => error.message.clone(),
            },
            None => String::new(),
        },
        OpState::Acked | OpState::Superseded | OpState::Discarded => String::new(),
    }
}
