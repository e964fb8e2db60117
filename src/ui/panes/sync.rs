//! Draws sync: progress per collection with true denominators, and the sending side.

use crate::{
    app::{
        App,
        geometry::{Area, Form, Place},
        pane::PaneName,
        panes::sync::Sync,
        words,
    },
    model::{
        ids::CollectionKey,
        sync_status::{CollectionStatus, ConnectivityState, GuardFound, GuardReason, PullPhase},
    },
    ui::{
        canvas::{Border, Canvas},
        panes::{is_focused, say, select},
        text,
        theme::Role,
    },
};

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    let focused = is_focused(app, PaneName::Sync);
    if place.form == Form::Line {
        return line(app, canvas, place.area, focused);
    }
    canvas.frame(place.area, &Border { title: "6 Sync", focused, ..Border::default() });
    let inner = place.area.inner();
    let cx = app.cx(PaneName::Sync);
    let order = Sync::order(&cx);
    if order.is_empty() {
        return say(canvas, inner, &["No collection is configured"]);
    }
    let selected = app.sync().selected(&cx);
    let push = pushes(app);
    let room = inner.height.saturating_sub(u16::try_from(push.len()).unwrap_or(1));
    let mut row = 0;
    let full = place.form == Form::Full;
    let width = usize::from(inner.width).saturating_sub(3);
    let cursor = order.iter().position(|key| Some(key) == selected.as_ref()).filter(|_| focused).unwrap_or(0);
    // As far as the one at the cursor is in sight with all there is to say of it.
    let rows = |key| 1 + detail(app, key, width, full, canvas).len();
    let from = match full || order.len() > usize::from(room) {
        true => {
            let fits = |from: &usize| order[*from..=cursor].iter().map(rows).sum::<usize>() <= usize::from(room);
            (0..cursor).find(fits).unwrap_or(cursor)
        }
        false => 0,
    };
    for key in order.iter().skip(from) {
        if row >= room {
            break;
        }
        let at = inner.row(row);
        let (word, role) = phase(app, key);
        let from = canvas.put_right(at.right(), at.y, &word, usize::from(at.width).saturating_sub(6), role);
        canvas.put(at.x + 1, at.y, key.collection.as_str(), usize::from(from.saturating_sub(at.x + 2)), Role::Text);
        if focused && Some(key) == selected.as_ref() {
            select(canvas, at, focused);
        }
        row += 1;
        for (line, role) in detail(app, key, width, full, canvas) {
            if row >= room {
                break;
            }
            let at = inner.row(row);
            canvas.put(at.x + 2, at.y, &line, usize::from(at.width.saturating_sub(3)), role);
            row += 1;
        }
    }
    for (index, (line, role)) in (0_u16..).zip(&push) {
        let at = inner.row(room + index);
        canvas.put(at.x + 1, at.y, line, usize::from(at.width.saturating_sub(1)), *role);
    }
}

/// The state of a collection in one or two words with the age of the last pull.
fn phase(app: &App, key: &CollectionKey) -> (String, Role) {
    let never = ("never synced".to_owned(), Role::Dim);
    let last = app.world().overview_of(key).and_then(|overview| overview.last_pull);
    let Some(status) = app.world().collection_status(key) else {
        return match last {
            Some(at) => (words::ago(app.now().wall, at), Role::Dim),
            None => never,
        };
    };
    let ago = status.last_pull.or(last).map(|at| words::ago(app.now().wall, at));
    match &status.phase {
        // The machine has not looked at its checkpoint yet where the way was never open: the mirror knows better.
        PullPhase::NeverSynced => ago.map_or(never, |ago| (ago, Role::Dim)),
        PullPhase::Waiting => waiting_since(ago),
        PullPhase::Backfill => (percent(status).unwrap_or_else(|| "pulling".to_owned()), Role::Sending),
        PullPhase::Sweep => ("sweeping".to_owned(), Role::Sending),
        PullPhase::Delta => ("updating".to_owned(), Role::Sending),
        PullPhase::Live => ("live".to_owned(), Role::Online),
        PullPhase::Settled => (format!("ok  {}", ago.unwrap_or_default()).trim_end().to_owned(), Role::Text),
        // Only the news waits: all of it was here once.
        PullPhase::Stalled if !is_in_parts(status) => waiting_since(ago),
        PullPhase::Stalled => {
            let percent = percent(status).map(|percent| format!("{percent}  ")).unwrap_or_default();
            match held_by_user(app, key) {
                Some(word) => (format!("{percent}{word}"), Role::Dim),
                None => (format!("{percent}STALLED"), Role::Degraded),
            }
        }
        PullPhase::Stopped(_) => ("STOPPED".to_owned(), Role::Problem),
        PullPhase::Detached => ("DETACHED".to_owned(), Role::Dim),
    }
}

fn waiting_since(ago: Option<String>) -> (String, Role) {
    (ago.map_or_else(|| "waiting".to_owned(), |ago| format!("waiting  {ago}")), Role::Dim)
}

/// A part of the collection is here, and the rest of it is not.
fn is_in_parts(status: &CollectionStatus) -> bool {
    match status.total {
        Some(total) => status.done < total,
        None => status.done > 0,
    }
}

/// What the user did that keeps the source from going on.
fn held_by_user(app: &App, key: &CollectionKey) -> Option<&'static str> {
    let status = app.world().status_of(&key.source)?;
    match status.connectivity.state {
        _ if status.paused => Some("paused"),
        ConnectivityState::ForcedOffline => Some("forced offline"),
        _ => None,
    }
}

fn percent(status: &CollectionStatus) -> Option<String> {
    let total = status.total.filter(|total| *total > 0)?;
    Some(format!("{}%", (status.done.min(total) * 100) / total))
}

fn detail(app: &App, key: &CollectionKey, room: usize, full: bool, canvas: &Canvas<'_>) -> Vec<(String, Role)> {
    let Some(status) = app.world().collection_status(key) else { return Vec::new() };
    let mut lines = Vec::new();
    let is_stalled = status.phase == PullPhase::Stalled && is_in_parts(status);
    if status.phase == PullPhase::Backfill || is_stalled {
        if let Some(total) = status.total.filter(|total| *total > 0) {
            lines.push((canvas.bar(status.done as f64 / total as f64, room.min(42)), Role::Sending));
        }
        let of = status.total.map(|total| format!(" / {}", words::grouped(total))).unwrap_or_default();
        let rate = status.rate.filter(|rate| *rate >= 1.0).map(|rate| format!("  {}/s", words::grouped(rate as u64)));
        let counts = format!("{}{of}{}", words::grouped(status.done), rate.unwrap_or_default());
        let size = format!("  {}", words::bytes(status.bytes));
        let fits = text::width(&counts) + text::width(&size) <= room;
        lines.push((if fits { format!("{counts}{size}") } else { counts }, Role::Text));
    }
    if is_stalled {
        let goes_on = held_by_user(app, key).map(|word| format!("{word}: goes on when you end that"));
        lines.push((goes_on.unwrap_or_else(|| "goes on by itself".to_owned()), Role::Dim));
    }
    if let PullPhase::Stopped(found) = &status.phase {
        lines.extend(text::wrap(found, room).into_iter().map(|line| (line, Role::Problem)));
        let guard = status.guard.as_ref().filter(|_| full);
        lines.extend(guard.map_or_else(
            || {
                let answers = text::wrap("A accept  U upload  D detach", room);
                answers.into_iter().map(|line| (line, Role::Hint)).collect()
            },
            |guard| question(app, guard, room),
        ));
    }
    if status.phase == PullPhase::Detached {
        lines.push(("not pulled, by your choice".to_owned(), Role::Dim));
        lines.push(("D attach it again".to_owned(), Role::Hint));
    }
    if full {
        if let Some(at) = status.last_pull {
            lines.push((format!("last pull {}", at.clock_time(app.setup().zone_offset)), Role::Dim));
        }
        if let Some(verified) = &status.verified {
            let ago = words::ago(app.now().wall, verified.at);
            let (count, role) = match verified.count() {
                0 => ("0 differences".to_owned(), Role::Dim),
                n => {
                    let noun = if n == 1 { "difference" } else { "differences" };
                    let healed = if verified.healed == n {
                        "healed".to_owned()
                    } else {
                        format!("{} healed", words::grouped(verified.healed))
                    };
                    (format!("{} {noun}, {healed}", words::grouped(n)), Role::Text)
                }
            };
            lines.push((format!("verified {ago}, {count}"), role));
        }
        if let Some(next) = status.next_at.filter(|next| *next > app.now().wall) {
            lines.push((format!("next at {}", next.clock_time(app.setup().zone_offset)), Role::Dim));
        }
        if let Some(error) = &status.last_error {
            lines.push((error.clone(), Role::Degraded));
        }
    }
    lines
}

/// What a guard found, what each answer does, and what it would do to.
fn question(app: &App, guard: &GuardFound, room: usize) -> Vec<(String, Role)> {
    let since = guard.since.clock_time(app.setup().zone_offset);
    let mut lines = vec![(format!("stopped at {since}; nothing was changed here"), Role::Dim)];
    let accept = match guard.reason {
        GuardReason::MassDeletion => "A  accept: delete here what is gone there, the vault keeps it",
        GuardReason::OtherServer => "A  accept: go on with this server; you are asked before much is deleted",
        GuardReason::OlderRecords => "A  accept: take the older versions, the vault keeps what is here",
    };
    let answers = [
        accept,
        match guard.reason {
            GuardReason::OlderRecords => "U  upload again: queue what is here and older there as new edits",
            _ => "U  upload again: queue what is here and gone there as new edits",
        },
        match guard.reason {
            GuardReason::OtherServer => "D  detach: leave both as they are, pull it no more; edits wait",
            _ => "D  detach: leave both as they are, pull it no more; edits are still sent",
        },
    ];
    for answer in answers {
        lines.extend(text::wrap(answer, room).into_iter().map(|line| (line, Role::Hint)));
    }
    if guard.sample.is_empty() {
        return lines;
    }
    let counted = format!("{} of {} records here:", words::grouped(guard.affected), words::grouped(guard.rows));
    lines.push((counted, Role::Text));
    lines.extend(guard.sample.iter().take(8).map(|id| (format!("  {id}"), Role::Text)));
    let more = guard.affected.saturating_sub(8.min(guard.sample.len() as u64));
    if more > 0 {
        lines.push((format!("  and {} more", words::grouped(more)), Role::Dim));
    }
    lines
}

/// One line per source that has something to send; at least one.
fn pushes(app: &App) -> Vec<(String, Role)> {
    let pending = app.world().counts.pending();
    let mut lines = Vec::new();
    for status in &app.world().sources {
        let push = &status.push;
        if push.total == 0 && push.waiting_for.is_none() {
            continue;
        }
        let waits = push.waiting_for.as_ref().filter(|_| push.in_flight == 0);
        if let (Some(why), [_]) = (waits, app.world().sources.as_slice()) {
            // While nothing goes, nothing is counted there: the outbox itself is.
            let text = match pending {
                0 => format!("push  {}", waiting(0)),
                _ => format!("push  {}: {why}", words::grouped(pending)),
            };
            lines.push((text, Role::Text));
            continue;
        }
        let rate = push.rate.filter(|rate| *rate >= 0.1).map(|rate| format!("  {rate:.0}/s")).unwrap_or_default();
        let busy = app.world().sources.iter().filter(|status| status.push.total > 0).count();
        let several = app.world().sources.len() > 1;
        let name = if busy > 1 || (several && push.total == 0) { format!(" {}", status.source) } else { String::new() };
        let waiting = push.waiting_for.as_ref().map(|why| format!("  {why}")).unwrap_or_default();
        let role = if push.in_flight > 0 { Role::Sending } else { Role::Text };
        let progress = match push.last_success {
            _ if push.total == 0 => String::new(),
            Some(at) if push.done == push.total && push.in_flight == 0 && pending == 0 => {
                format!("  all sent  {}", words::ago(app.now().wall, at))
            }
            // Held, in conflict, refused: nothing more goes by itself.
            Some(at) if push.done == push.total && push.in_flight == 0 => {
                format!("  {} waiting  last sent {}", words::grouped(pending), words::ago(app.now().wall, at))
            }
            _ => format!("  {} of {}", words::grouped(push.done), words::grouped(push.total)),
        };
        lines.push((format!("push{name}{progress}{rate}{waiting}"), role));
    }
    if lines.is_empty() {
        lines.push((format!("push  {}", waiting(pending)), Role::Dim));
    }
    lines.truncate(3);
    lines
}

fn waiting(pending: u64) -> String {
    if pending == 0 { "nothing to send".to_owned() } else { format!("{} waiting", words::grouped(pending)) }
}

fn line(app: &App, canvas: &mut Canvas<'_>, area: Area, focused: bool) {
    let mut x = area.x + 1;
    let role = if focused { Role::Title } else { Role::Dim };
    x += canvas.put(x, area.y, "6 Sync", 6, role) + 2;
    let room = |x: u16| usize::from(area.right().saturating_sub(x + 1));
    let cx = app.cx(PaneName::Sync);
    let first = Sync::order(&cx).into_iter().next();
    if let Some(key) = first {
        let (word, role) = phase(app, &key);
        x += canvas.put(x, area.y, key.collection.as_str(), room(x), Role::Text);
        x += canvas.put(x, area.y, " ", room(x), Role::Text);
        let status = app.world().collection_status(&key);
        let pulling = status.filter(|it| match it.phase {
            PullPhase::Backfill => true,
            PullPhase::Stalled => is_in_parts(it),
            _ => false,
        });
        if let Some(total) = pulling.and_then(|status| status.total).filter(|total| *total > 0) {
            let done = status.map_or(0, |status| status.done);
            let bar = canvas.bar(done as f64 / total as f64, 12);
            x += canvas.put(x, area.y, &format!("{bar} "), room(x), Role::Sending);
            x += canvas.put(x, area.y, &word, room(x), role);
            let counts = format!(" {}/{}", words::grouped(done), words::grouped(total));
            x += canvas.put(x, area.y, &counts, room(x), Role::Text);
        } else {
            x += canvas.put(x, area.y, &word, room(x), role);
        }
        let stopped = app.world().sources.iter().flat_map(|source| &source.collections);
        let others =
            stopped.filter(|status| matches!(status.phase, PullPhase::Stopped(_)) && status.key != key).count();
        if others > 0 {
            x += canvas.put(x, area.y, &format!(" +{others} stopped"), room(x), Role::Problem);
        }
    }
    x += canvas.put(x, area.y, " | ", room(x), Role::Dim);
    if let Some((push, role)) = pushes(app).first() {
        canvas.put(x, area.y, push, room(x), *role);
    }
    if focused {
        canvas.put(area.x, area.y, ">", 1, Role::Accent);
    }
}
