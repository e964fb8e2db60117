//! Everything around the panes: header, message row, hints row, popups of the app itself, the screen that is too small.

use crate::{
    app::{
        App,
        action::Action,
        geometry::{Area, Class, centred},
        hints::place_hints,
        pane::PaneName,
        words::{self, age_of},
    },
    model::{
        activity::Severity,
        ids::SourceName,
        sync_status::{ConnectivityState, Leadership},
    },
    ui::{
        canvas::{Border, Canvas},
        text,
        theme::Role,
    },
};

/// The word for a source with its age, and its role: `OFFLINE 14m`.
pub fn connectivity(app: &App, source: &SourceName) -> (String, Role) {
    let Some(status) = app.world().status_of(source) else {
        return match app.connectivity().last_known(source) {
            Some(known) => {
                let age = known.since.map(|since| format!(" {}", age_of(app.now().wall, since))).unwrap_or_default();
                (format!("UNKNOWN (was {}{age})", known.state.label()), Role::Dim)
            }
            None => ("UNKNOWN".to_owned(), Role::Dim),
        };
    };
    if status.paused {
        return ("PAUSED".to_owned(), Role::Paused);
    }
    let state = status.connectivity.state;
    let role = match state {
        ConnectivityState::Online => Role::Online,
        ConnectivityState::Degraded => Role::Degraded,
        ConnectivityState::AuthRequired => Role::Auth,
        ConnectivityState::Unknown => Role::Dim,
        _ => Role::Offline,
    };
    let aged = !matches!(state, ConnectivityState::Online | ConnectivityState::Unknown);
    match status.connectivity.since.filter(|_| aged) {
        Some(since) => (format!("{} {}", state.label(), age_of(app.now().wall, since)), role),
        None => (state.label().to_owned(), role),
    }
}

/// The source the header speaks of: that of the collection on the screen.
fn source_of(app: &App) -> Option<SourceName> {
    let shown = app.collection().map(|key| key.source.clone());
    shown.or_else(|| app.setup().sources.first().map(|source| source.name.clone()))
}

/// What is true of local data.
fn saved(app: &App) -> (String, Role) {
    let world = app.world();
    if app.setup().read_only {
        return ("read only".to_owned(), Role::Problem);
    }
    if world.commit_failed.is_some() {
        return ("SAVING FAILED".to_owned(), Role::Problem);
    }
    if world.journal_locked {
        return ("JOURNAL LOCKED".to_owned(), Role::Problem);
    }
    if !world.saving.is_empty() {
        return ("saving".to_owned(), Role::Text);
    }
    if app.editor().sheet().is_some_and(|sheet| sheet.begun) {
        return ("draft saved".to_owned(), Role::Draft);
    }
    ("saved".to_owned(), Role::Text)
}

/// The facts at the right of the header, in their fixed order.
pub fn facts(app: &App) -> Vec<(String, Role)> {
    let mut facts = Vec::new();
    if app.setup().sources.is_empty() {
        return vec![("no data yet".to_owned(), Role::Dim)];
    }
    let (word, role) =
        source_of(app).map_or_else(|| ("UNKNOWN".to_owned(), Role::Dim), |name| connectivity(app, &name));
    facts.push((word, role));
    let counts = &app.world().counts;
    facts.push((format!("{} queued", words::grouped(counts.pending())), Role::Text));
    let conflicts = if counts.conflict > 0 { Role::Conflict } else { Role::Text };
    facts.push((words::count(counts.conflict, "conflict", "conflicts"), conflicts));
    facts.push(saved(app));
    facts
}

pub fn header(app: &App, canvas: &mut Canvas<'_>, area: Area) {
    let wide = Class::of(app.setup().size) == Class::Wide;
    let mut facts = facts(app);
    let own = facts.len();
    if wide {
        facts.insert(0, (format!("session {}", app.setup().session), Role::Dim));
    }
    let width = |facts: &[(String, Role)]| facts.iter().map(|(text, _)| text::width(text) + 3).sum::<usize>();
    let plain = |fact: &mut (String, Role)| {
        if fact.0.starts_with("UNKNOWN (") {
            "UNKNOWN".clone_into(&mut fact.0);
        }
    };
    // The place is the same whatever the connectivity word, so that it does not jump when that changes.
    let mut reserved = facts.clone();
    for fact in &mut reserved {
        plain(fact);
        let is_word = matches!(fact.1, Role::Online | Role::Dim | Role::Paused) && !fact.0.starts_with("session");
        if is_word && text::width(&fact.0) < 12 {
            fact.0 = format!("{:<12}", fact.0);
        }
    }
    let room = usize::from(area.width).saturating_sub(width(&reserved) + 1);
    let places = places(app, wide);
    // Room beside the longest of the connectivity words: a name that is shortened is not to jump with them either.
    let word = reserved.get(facts.len() - own).map_or(0, |(word, _)| text::width(word));
    let steady = (room + word).saturating_sub(20);
    let fits = places.iter().find(|place| text::width(place) <= room);
    let place = match places.first().filter(|full| is_conflict(app) && fits != Some(*full)) {
        // A conflict is told by its record: the name is shortened before it is left out.
        Some(full) if steady >= 30 => text::cut(full, steady, canvas.glyphs),
        _ => {
            let place = fits.or(places.last());
            place.map(|place| text::cut(place, room.max(6), canvas.glyphs)).unwrap_or_default()
        }
    };
    // What a source was before the start is said here where there is room for it; pane 5 has it anyway.
    if width(&facts) + text::width(&place) + 2 > usize::from(area.width) {
        facts.iter_mut().for_each(plain);
    }
    let width = width(&facts).saturating_sub(2);
    let from = area.right().saturating_sub(u16::try_from(width).unwrap_or(0) + 1).max(area.x + 8);
    canvas.put(area.x + 1, area.y, &place, usize::from(area.width), Role::Title);
    let mut x = from;
    for (index, (fact, role)) in facts.iter().enumerate() {
        let room = |x: u16| usize::from(area.right().saturating_sub(x));
        if index > 0 {
            x += canvas.put(x, area.y, " | ", room(x), Role::Dim);
        }
        x += canvas.put(x, area.y, fact, room(x), *role);
    }
}

fn is_conflict(app: &App) -> bool {
    app.screen().full() == Some(PaneName::Conflicts)
}

/// Where the user is, in words: the fullest form first.
fn places(app: &App, wide: bool) -> Vec<String> {
    let name = if wide { "ebbtide | " } else { "" };
    let main = match app.screen().full() {
        Some(PaneName::Conflicts) if app.conflicts().selected().is_some() => {
            let (at, of) = app.conflicts().place();
            let record = app.conflicts().selected().map(|conflict| format!(" > {}", conflict.record));
            let short = format!("Conflict {at} of {of}");
            vec![format!("{short}{}", record.unwrap_or_default()), short]
        }
        Some(PaneName::Editor) => {
            let record = app.editor().sheet().map(|sheet| format!("Edit {}", sheet.record_key()));
            record.into_iter().chain(["Edit".to_owned()]).collect()
        }
        Some(PaneName::Outbox) => vec![format!("Outbox {}", words::grouped(app.world().counts.pending()))],
        Some(PaneName::Records | PaneName::Record | PaneName::Collections) | None => here(app, wide),
        Some(pane) => vec![pane.title().to_owned()],
    };
    main.into_iter().map(|place| format!("{name}{place}")).collect()
}

fn here(app: &App, wide: bool) -> Vec<String> {
    let Some(key) = app.collection() else { return vec!["no collection".to_owned()] };
    let (source, collection) = (&key.source, &key.collection);
    let mut places = vec![format!("{source} > {collection}"), collection.to_string()];
    if wide {
        let kind = app.setup().source(source).map(|source| format!(" ({})", source.kind.word())).unwrap_or_default();
        if let Some(record) = app.record().wanted() {
            places.insert(0, format!("{source} > {collection} > {}", record.id));
            places.insert(0, format!("{source}{kind} > {collection} > {}", record.id));
        } else {
            places.insert(0, format!("{source}{kind} > {collection}"));
        }
    }
    places
}

pub fn message(app: &App, canvas: &mut Canvas<'_>, area: Area) {
    let world = app.world();
    if let Some(reason) = &world.commit_failed {
        let kept = world.emergency_file.as_ref().map(|file| format!("what you type is also kept in {file}"));
        return line(canvas, area, Severity::Problem, &format!("Saving failed: {reason}"), kept.as_deref());
    }
    if world.journal_locked {
        let text = "The journal is locked by another program; trying again";
        return line(canvas, area, Severity::Problem, text, None);
    }
    if let Some(message) = app.message() {
        let hint = message.hint.as_deref().filter(|_| app.hint_apart().is_none());
        return line(canvas, area, message.severity, &message.text, hint);
    }
    if world.network_cut {
        let key = app.keymap().any_key(Action::RestoreNetwork).map(|key| format!("{key} restore network"));
        return line(canvas, area, Severity::Info, "Demo: the network is cut; edits are queued", key.as_deref());
    }
    if world.leadership == Leadership::Other {
        // At rest, and said without raising the voice; where the header has no room for the session's name, it is here.
        let text = format!("Session `{}`; another ebbtide carries the sync", app.setup().session);
        canvas.put(area.x + 4, area.y, &text, usize::from(area.width.saturating_sub(5)), Role::Dim);
    }
}

fn line(canvas: &mut Canvas<'_>, area: Area, severity: Severity, text: &str, hint: Option<&str>) {
    let role = match severity {
        Severity::Info => Role::Text,
        Severity::Draft => Role::Draft,
        Severity::Warning => Role::Degraded,
        Severity::Problem => Role::Problem,
    };
    canvas.put(area.x + 1, area.y, &severity.symbol().to_string(), 1, role);
    let mut right = area.right().saturating_sub(1);
    if let Some(hint) = hint {
        let room = usize::from(area.width).saturating_sub(6 + text::width(text)).max(usize::from(area.width) / 3);
        right = canvas.put_right(right, area.y, hint, room, Role::Hint).saturating_sub(2);
    }
    let room = usize::from(right.saturating_sub(area.x + 4));
    canvas.put(area.x + 4, area.y, text, room, role);
}

pub fn hints(app: &App, canvas: &mut Canvas<'_>, area: Area) {
    if let Some(hint) = app.hint_apart() {
        canvas.put(area.x + 4, area.y, hint, usize::from(area.width.saturating_sub(5)), Role::Hint);
        return;
    }
    for (x, hint) in place_hints(&app.hints(), area.width) {
        let x = area.x + x;
        let room = |x: u16| usize::from(area.right().saturating_sub(x));
        let used = canvas.put(x, area.y, &hint.keys, room(x), Role::HintKey);
        canvas.put(x + used + 1, area.y, &hint.words, room(x + used + 1), Role::Hint);
    }
}

/// How a begun key sequence may go on.
pub fn continuations(app: &App, canvas: &mut Canvas<'_>, body: Area) {
    let pending = &app.screen().pending;
    if pending.is_empty() {
        return;
    }
    let keys: Vec<keybinds::KeyInput> =
        pending.iter().filter_map(|text| crate::app::keymap::parse_key(text).ok()).collect();
    let choices = app.keymap().continuations(&app.scopes(), &keys);
    let height = u16::try_from(choices.len()).unwrap_or(8) + 2;
    let width = choices.iter().map(|(key, action)| text::width(key) + text::width(action.command().title)).max();
    let width = u16::try_from(width.unwrap_or(20) + 8).unwrap_or(40).min(body.width);
    let height = height.min(body.height);
    let area = Area::new(body.right() - width, body.bottom() - height, width, height);
    canvas.clear(area);
    let title = pending.join(" ");
    canvas.frame(area, &Border { title: &title, bottom_right: "esc cancels", focused: true, ..Border::default() });
    let inner = area.inner();
    let column = choices.iter().map(|(key, _)| text::width(key)).max().unwrap_or(1);
    for (row, (key, action)) in (0..inner.height).zip(&choices) {
        let line = inner.row(row);
        canvas.put(line.x + 1, line.y, key, column, Role::HintKey);
        let x = line.x + 3 + u16::try_from(column).unwrap_or(1);
        canvas.put(x, line.y, action.command().title, usize::from(line.right().saturating_sub(x)), Role::Text);
    }
}

/// A question before something that is not simply taken back.
pub fn question(app: &App, canvas: &mut Canvas<'_>, body: Area) {
    let Some(question) = app.confirm() else { return };
    let room = usize::from(body.width.saturating_sub(10)).min(72);
    let lines: Vec<String> = question.lines.iter().flat_map(|line| text::wrap(line, room)).collect();
    let yes = format!(" {}", question.yes);
    let answers = [
        ("y", Role::HintKey),
        (" or ", Role::Dim),
        ("enter", Role::HintKey),
        (&yes, Role::Text),
        ("     n", Role::HintKey),
        (" or ", Role::Dim),
        ("esc", Role::HintKey),
        (" leave it", Role::Text),
    ];
    let asked = answers.iter().map(|(text, _)| text::width(text)).sum();
    let widest = lines.iter().map(|line| text::width(line)).chain([text::width(&question.title), asked, 36]).max();
    let width = u16::try_from(widest.unwrap_or(40) + 6).unwrap_or(60);
    let height = u16::try_from(lines.len()).unwrap_or(6) + 6;
    let area = centred(body, width, height);
    canvas.clear(area);
    canvas.cursor = None;
    canvas.frame(area, &Border { title: &question.title, focused: true, ..Border::default() });
    let inner = area.inner();
    for (row, line) in (1..inner.height.saturating_sub(2)).zip(&lines) {
        let at = inner.row(row);
        canvas.put(at.x + 2, at.y, line, usize::from(at.width.saturating_sub(3)), Role::Text);
    }
    let at = inner.row(inner.height.saturating_sub(2));
    canvas.pieces(Area::new(at.x + 2, at.y, at.width.saturating_sub(2), 1), &answers);
}

pub fn too_small(app: &App, canvas: &mut Canvas<'_>, area: Area) {
    let facts: Vec<String> = facts(app).into_iter().take(3).map(|(text, _)| text).collect();
    let (saved, role) = saved(app);
    let lines = [
        (format!("This window is {} x {}.", area.width, area.height), Role::Text),
        ("ebbtide needs 60 x 16 to show its panes.".to_owned(), Role::Text),
        (String::new(), Role::Text),
        (if saved == "SAVING FAILED" { "SAVING FAILED".to_owned() } else { "Your work is saved.".to_owned() }, role),
        (facts.join(" | "), Role::Text),
    ];
    let top = u16::from(area.height > 6);
    let room = usize::from(area.width).saturating_sub(2);
    let wrapped = lines.iter().flat_map(|(line, role)| match line.is_empty() {
        // There is no room for a blank line where sentences do not fit into theirs.
        true => (area.width >= 44).then(|| (String::new(), *role)).into_iter().collect::<Vec<_>>(),
        false => text::wrap(line, room).into_iter().map(|line| (line, *role)).collect(),
    });
    for (row, (line, role)) in (top..area.height).zip(wrapped) {
        canvas.put(area.x + 1, area.y + row, &line, room, role);
    }
    if area.height > 7
        && let Some(key) = app.keymap().any_key(Action::Quit)
    {
        let row = area.row(area.height - 1);
        canvas.pieces(
            Area { x: row.x + 1, width: row.width.saturating_sub(1), ..row },
            &[(&key, Role::HintKey), (" quit", Role::Hint)],
        );
    }
}
