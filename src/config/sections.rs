//! `[ui]` and `[sync]`.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use super::document::{Problems, Section};
use crate::{
    app::{
        keymap,
        settings::{Glyphs, Restore, UiSettings},
    },
    model::source::{SyncSettings, VaultSettings},
    ui::theme::Theme,
};

pub(super) fn ui(root: &mut Section<'_>, problems: &mut Problems<'_>) -> UiSettings {
    let mut settings = UiSettings::default();
    let Some(mut section) = root.table("ui", "[ui]", problems) else { return settings };
    let themes: Vec<(&'static str, &'static str)> = Theme::names().into_iter().map(|name| (name, name)).collect();
    settings.theme = section.choice("theme", &themes, problems).map_or(settings.theme, str::to_owned);
    settings.mouse = section.flag("mouse", problems).unwrap_or(settings.mouse);
    settings.confirm_quit = section.flag("confirm_quit", problems).unwrap_or(settings.confirm_quit);
    let glyphs = [("unicode", Glyphs::Unicode), ("ascii", Glyphs::Ascii)];
    settings.glyphs = section.choice("glyphs", &glyphs, problems).unwrap_or(settings.glyphs);
    let restore = [("all", Restore::All), ("drafts-only", Restore::DraftsOnly)];
    settings.restore = section.choice("restore", &restore, problems).unwrap_or(settings.restore);
    if let Some(mut keys) = section.table("keys", "[ui.keys]", problems) {
        for (name, sequences) in keys.entries(problems) {
            let sequences: Vec<String> = sequences.iter().map(|sequence| sequence.value.to_owned()).collect();
            let entry = BTreeMap::from([(name.value.to_owned(), sequences)]);
            for problem in keymap::check(&entry) {
                problems.add(&name.span, problem.message, problem.hint);
            }
            settings.keys.extend(entry);
        }
    }
    section.finish(problems);
    settings
}

pub(super) fn sync(root: &mut Section<'_>, problems: &mut Problems<'_>) -> SyncSettings {
    let mut settings = SyncSettings::default();
    let Some(mut section) = root.table("sync", "[sync]", problems) else { return settings };
    let wait = seconds(1)..seconds(86_400 + 1);
    if let Some(parallel) = section.integer("parallel", 1..65, problems) {
        settings.parallel = usize::try_from(parallel).expect("64 at most");
    }
    if let Some(page_size) = section.integer("page_size", 10..10_001, problems) {
        settings.page_size = usize::try_from(page_size).expect("10,000 at most");
    }
    settings.probe_every = section.duration("probe_every", wait.clone(), problems).unwrap_or(settings.probe_every);
    settings.sweep_every = section.duration("sweep_every", wait, problems).unwrap_or(settings.sweep_every);
    settings.stream_records =
        section.integer("stream_records", 0..1_000_001, problems).unwrap_or(settings.stream_records);
    settings.keep = section.duration("keep", KEEP, problems).unwrap_or(settings.keep);
    settings.watch_network = section.flag("watch_network", problems).unwrap_or(settings.watch_network);
    settings.daily_budget =
        section.integer("daily_budget_mb", 1..1_000_001, problems).map(|megabytes| megabytes * 1_000_000);
    if let Some(megabytes) = section.integer("audit_mb_per_hour", 0..100_001, problems) {
        settings.audit_budget = megabytes * 1_000_000;
    }
    settings.audit_every = section.duration("audit_every", AUDIT, problems).unwrap_or(settings.audit_every);
    let deadlines = &mut settings.deadlines;
    for (name, deadline) in [
        ("connect_timeout", &mut deadlines.connect),
        ("read_timeout", &mut deadlines.read),
        ("request_timeout", &mut deadlines.total),
        ("bulk_timeout", &mut deadlines.bulk),
        ("heartbeat", &mut deadlines.heartbeat),
    ] {
        *deadline = section.duration(name, DEADLINE, problems).unwrap_or(*deadline);
    }
    section.finish(problems);
    settings
}

pub(super) fn vault(root: &mut Section<'_>, problems: &mut Problems<'_>) -> VaultSettings {
    let mut settings = VaultSettings::default();
    let Some(mut section) = root.table("vault", "[vault]", problems) else { return settings };
    if let Some(days) = section.integer("keep_days", 1..3_651, problems) {
        settings.keep = Duration::from_secs(days * 86_400);
    }
    if let Some(megabytes) = section.integer("keep_mb", 1..1_048_577, problems) {
        settings.most = megabytes << 20;
    }
    section.finish(problems);
    settings
}

const DEADLINE: Range<Duration> = seconds(1)..seconds(3_600 + 1);
const AUDIT: Range<Duration> = seconds(1)..seconds(365 * 86_400);
const KEEP: Range<Duration> = seconds(3_600)..seconds(3_650 * 86_400);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
