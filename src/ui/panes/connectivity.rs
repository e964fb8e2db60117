//! Draws connectivity: one block per source on a wide screen, one line on a narrow one.

use std::time::Duration;

use crate::{
    app::{
        App,
        geometry::{Area, Form, Place},
        pane::PaneName,
        words,
    },
    model::{
        source::SourceSpec,
        sync_status::{ConnectivityState, SourceStatus},
        time,
        wire::Link,
    },
    ui::{
        canvas::{Border, Canvas},
        chrome,
        panes::{is_focused, say, select},
        text,
        theme::Role,
    },
};

/// A difference of the clocks below this is not shown.
const CLOCK_OFF_MS: i64 = 2_000;

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    let focused = is_focused(app, PaneName::Connectivity);
    if place.form == Form::Line {
        return line(app, canvas, place.area, focused);
    }
    let selected = app.connectivity().selected(&app.cx(PaneName::Connectivity));
    canvas.frame(place.area, &Border { title: "5 Connectivity", focused, ..Border::default() });
    let inner = place.area.inner();
    if app.setup().sources.is_empty() {
        return say(canvas, inner, &["No source is configured"]);
    }
    let full = place.form == Form::Full;
    let mut row = 0;
    // The selected source first where not all fit: it must not be pushed out.
    for source in ordered(app, selected.as_ref(), inner.height) {
        if row >= inner.height {
            break;
        }
        let block = lines(app, source, usize::from(inner.width).saturating_sub(2), full, canvas);
        let at = inner.row(row);
        let (word, role) = chrome::connectivity(app, &source.name);
        let word = word.split(" (").next().unwrap_or_default().to_owned();
        let room = usize::from(at.width);
        let name_room = room.saturating_sub(text::width(&word) + 3).max(room / 3);
        canvas.put(at.x + 1, at.y, source.name.as_str(), name_room, Role::Title);
        canvas.put_right(at.right(), at.y, &word, room.saturating_sub(3), role);
        if Some(&source.name) == selected.as_ref() && focused {
            select(canvas, at, focused);
        }
        row += 1;
        for (line, role) in block {
            if row >= inner.height {
                break;
            }
            let at = inner.row(row);
            canvas.put(at.x + 2, at.y, &line, usize::from(at.width.saturating_sub(2)), role);
            row += 1;
        }
        row += u16::from(full);
    }
}

fn ordered<'a>(app: &'a App, selected: Option<&crate::model::ids::SourceName>, height: u16) -> Vec<&'a SourceSpec> {
    let sources: Vec<&SourceSpec> = app.setup().sources.iter().collect();
    if sources.len() * 4 <= usize::from(height) {
        return sources;
    }
    let from = sources.iter().position(|source| Some(&source.name) == selected).unwrap_or(0);
    sources.iter().cycle().skip(from).take(sources.len()).copied().collect()
}

fn lines(app: &App, source: &SourceSpec, room: usize, full: bool, canvas: &Canvas<'_>) -> Vec<(String, Role)> {
    let mut lines = Vec::new();
    if full {
        lines.push((source.url.clone(), Role::Dim));
    }
    let Some(status) = app.world().status_of(&source.name) else {
        if let Some(known) = app.connectivity().last_known(&source.name) {
            let age = known.since.map(|since| format!(" {}", words::age_of(app.now().wall, since)));
            lines.push((format!("was {}{}", known.state.label(), age.unwrap_or_default()), Role::Dim));
        }
        lines.push(("nothing was asked yet".to_owned(), Role::Dim));
        return lines;
    };
    let evidence = &status.connectivity.evidence;
    let zone = app.setup().zone_offset;
    let well = status.connectivity.state.is_usable();
    if full {
        lines.extend(chain(status));
    }
    let in_chain = full && evidence.chain.iter().any(|fact| !fact.ok);
    let unsteady = status.connectivity.state == ConnectivityState::Degraded;
    if (unsteady || !well && !in_chain) && !evidence.summary.is_empty() {
        // What is going on, then what broke last.
        lines.extend(evidence.summary.split("; ").map(|part| (part.to_owned(), Role::Text)));
    }
    if (unsteady || !well)
        && let Some(next) = evidence.next_probe.filter(|next| *next > app.now().wall && !status.paused)
    {
        let number = if evidence.failures_in_a_row > 0 {
            format!("probe #{} in ", evidence.failures_in_a_row + 1)
        } else {
            "probe in ".to_owned()
        };
        lines.push((format!("{number}{}", words::countdown(next.since(app.now().wall))), Role::Text));
    }
    if let Some(spark) = round_trips(status, room, canvas) {
        lines.push((spark, Role::Dim));
    }
    if let Some(last) = evidence.last_success.filter(|_| !well || full) {
        lines.push((format!("last ok {}", last.clock_time(zone)), Role::Dim));
    }
    if let Some(failed) = evidence.last_failure.filter(|_| full) {
        lines.push((format!("last failure {}", failed.clock_time(zone)), Role::Dim));
    }
    lines.extend(account(status, full));
    if let Some(offset) = evidence.clock_offset_ms.filter(|offset| offset.abs() > CLOCK_OFF_MS) {
        lines.push((clock_off(offset, evidence.clock_uncertainty_ms), Role::Degraded));
    }
    lines.extend(cost(status, full));
    lines
}

/// What it cost today; on a small pane only where that stops something.
fn cost(status: &SourceStatus, full: bool) -> Vec<(String, Role)> {
    let spent = &status.spent;
    let budget = spent.budget.map(words::bytes);
    let mut lines = Vec::new();
    if let Some(budget) = budget.as_ref().filter(|_| spent.is_used_up) {
        lines.push((format!("{budget} of today are used up: edits go, nothing is fetched"), Role::Degraded));
    }
    if full && spent.total.total() > 0 {
        let of = budget.as_ref().map(|budget| format!(" of {budget}")).unwrap_or_default();
        let (sent, received) = (words::bytes(spent.total.sent), words::bytes(spent.total.received));
        lines.push((format!("today {sent} sent, {received} received{of}"), Role::Dim));
    }
    if full {
        let mut collections: Vec<_> = spent.collections.iter().collect();
        collections.sort_by_key(|(_, cost)| std::cmp::Reverse(cost.total()));
        for (name, cost) in collections.into_iter().take(4).filter(|(_, cost)| cost.total() >= 1_000) {
            let (sent, received) = (words::bytes(cost.sent), words::bytes(cost.received));
            lines.push((format!("      {name} {sent} sent, {received} received"), Role::Dim));
        }
    }
    lines
}

/// Who is signed in, and whose edits wait for that.
fn account(status: &SourceStatus, full: bool) -> Vec<(String, Role)> {
    let account = &status.account;
    let Some(principal) = &account.principal else { return Vec::new() };
    let mut lines = Vec::new();
    for foreign in &account.foreign {
        let edits = words::count(foreign.ops, "edit", "edits");
        lines.push((format!("{edits} made as {} wait (A)", foreign.author), Role::Degraded));
    }
    if full {
        lines.push((format!("signed in as {principal}"), Role::Dim));
    }
    lines
}

/// `this clock is 93 s slow (±1 s)`
fn clock_off(offset_ms: i64, uncertainty_ms: Option<i64>) -> String {
    let way = if offset_ms > 0 { "slow" } else { "fast" };
    let span = Duration::from_millis(offset_ms.unsigned_abs());
    let span = match span.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        _ => time::age(span),
    };
    let about = uncertainty_ms.map(|ms| format!(" (±{} s)", ms.unsigned_abs().div_ceil(1_000).max(1)));
    format!("this clock is {span} {way}{}", about.unwrap_or_default())
}

/// Each link of the chain with what it met, as far as it was tried.
fn chain(status: &SourceStatus) -> Vec<(String, Role)> {
    let facts = &status.connectivity.evidence.chain;
    let mut lines = Vec::new();
    for link in Link::CHAIN {
        let Some(fact) = facts.iter().find(|fact| fact.link == link) else { continue };
        let (sign, role) = if fact.ok { ("ok", Role::Text) } else { ("x ", Role::Problem) };
        lines.push((format!("{sign}  {:<6}{}", link.word(), fact.detail), role));
    }
    lines
}

/// `rtt ▂▃▂▁▂▇▃ 31 ms  p95 60`; what was measured before the link broke is called so.
fn round_trips(status: &SourceStatus, room: usize, canvas: &Canvas<'_>) -> Option<String> {
    let all = &status.connectivity.evidence.round_trips_ms;
    let last = *all.last()?;
    let mut sorted = all.clone();
    sorted.sort_unstable();
    let p95 = sorted[(sorted.len() * 95 / 100).min(sorted.len() - 1)];
    let tail = format!("{last} ms  p95 {p95}");
    let is_now = matches!(status.connectivity.state, ConnectivityState::Online | ConnectivityState::Degraded);
    let name = if is_now { "rtt" } else { "rtt was" };
    let spark = canvas.sparkline(all, room.saturating_sub(3 + name.len() + tail.len()).min(16));
    Some(format!("{name} {spark} {tail}"))
}

fn line(app: &App, canvas: &mut Canvas<'_>, area: Area, focused: bool) {
    let role = if focused { Role::Title } else { Role::Dim };
    let mut x = area.x + 1;
    x += canvas.put(x, area.y, "5 Net", 5, role) + 3;
    for (index, source) in app.setup().sources.iter().enumerate() {
        let room = |x: u16| usize::from(area.right().saturating_sub(x + 1));
        if index > 0 {
            x += canvas.put(x, area.y, " | ", room(x), Role::Dim);
        }
        let (word, role) = chrome::connectivity(app, &source.name);
        x += canvas.put(x, area.y, source.name.as_str(), room(x), Role::Text);
        x += canvas.put(x, area.y, " ", room(x), Role::Text);
        x += canvas.put(x, area.y, &word, room(x), role);
        x += canvas.put(x, area.y, &brief(app, source), room(x), Role::Dim);
    }
    if focused {
        canvas.put(area.x, area.y, ">", 1, Role::Accent);
    }
}

/// ` dns, probe 0:21` or ` 31 ms`
fn brief(app: &App, source: &SourceSpec) -> String {
    let Some(status) = app.world().status_of(&source.name) else { return String::new() };
    let evidence = &status.connectivity.evidence;
    if status.connectivity.state == ConnectivityState::Online {
        return evidence.round_trips_ms.last().map(|last| format!(" {last} ms")).unwrap_or_default();
    }
    let broken = evidence.chain.iter().find(|fact| !fact.ok).map(|fact| format!(" {}", fact.link.word()));
    let next = evidence.next_probe.filter(|next| *next > app.now().wall && !status.paused);
    let probe = next.map(|next| format!(", probe {}", words::countdown(next.since(app.now().wall))));
    format!("{}{}", broken.unwrap_or_default(), probe.unwrap_or_default())
}
