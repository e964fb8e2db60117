//! `doctor`: looks at everything that could be wrong on this computer. Without `--repair` it changes nothing; with it,
//! what is safe is repaired, and each repair says what it did (see `doctor::repair`).

mod repair;

use std::{fs::File, os::unix::fs::PermissionsExt, path::Path, process::ExitCode};

use clap::Args;
use serde_json::{Value, json};

use super::{
    DONE, Outcome,
    output::{self, Data, count},
    report::Failure,
    world::World,
};
use crate::{
    config::{self, Config},
    model::{
        ids::{RecordKey, Seq},
        op::{Op, OpState},
    },
    store::{Reader, Store, StoreError},
};

pub(super) const ABOUT: &str =
    "Check configuration, files, permissions, schema and invariants; --repair mends what is safe";

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Repair what can be repaired without a decision of yours, and say what was done
    #[arg(long)]
    pub repair: bool,
}

pub(super) const SHAPE: &str = "\
With --repair, and a line for each:
  a damaged journal is read row by row into a new one, the damaged file is kept
  derived tables are made anew
  edits and conflicts that lost each other are brought together; a text without a place goes to
  the vault
  text of an emergency file becomes a draft again, saves that were cut off are finished
  what was being sent when a run ended is marked in doubt
  half-made files go, files of yours are closed to others
Nothing of yours is thrown away.

Exit codes: 0 no problem found (warnings may be), 1 a problem found (or left).

JSON:
  {\"ok\": true where no problem was found,
   \"checks\": [{\"check\", \"result\": ok|repaired|warning|problem, \"detail\", \"hint\"}]}";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Ok,
    Repaired,
    Warning,
    Problem,
}

impl Grade {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Repaired => "repaired",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

struct Finding {
    check: &'static str,
    grade: Grade,
    detail: String,
    hint: Option<String>,
}

/// What was found so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, check: &'static str, detail: impl Into<String>) {
        self.0.push(Finding { check, grade: Grade::Ok, detail: detail.into(), hint: None });
    }

    fn add(&mut self, check: &'static str, grade: Grade, detail: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Finding { check, grade, detail: detail.into(), hint: Some(hint.into()) });
    }

    fn repaired(&mut self, check: &'static str, detail: impl Into<String>) {
        self.0.push(Finding { check, grade: Grade::Repaired, detail: detail.into(), hint: None });
    }

    fn is_ok(&self) -> bool {
        self.0.iter().all(|finding| finding.grade != Grade::Problem)
    }
}

pub(super) fn run(world: &World, args: &DoctorArgs) -> Outcome {
    if args.repair && world.is_read_only() {
        return Err(Failure::store("nothing can be repaired", StoreError::ReadOnly));
    }
    let mut findings = Findings::default();
    let config = check_config(world, &mut findings);
    if args.repair {
        repair::places(&world.paths.data_dir, &mut findings);
    }
    check_places(world, &mut findings);
    check_space(&world.paths.data_dir, &mut findings);
    check_leader(&world.paths.data_dir, &mut findings);
    if is_worth_opening(world, args, &mut findings) {
        if args.repair {
            repair::data(world, &mut findings);
        }
        check_opened(world, &config, &mut findings);
    }
    print(world, &findings)?;
    Ok(if findings.is_ok() { DONE } else { ExitCode::from(1) })
}

/// Opening saves what is left of a damaged journal: that is a repair.
fn is_worth_opening(world: &World, args: &DoctorArgs, findings: &mut Findings) -> bool {
    if args.repair {
        return true;
    }
    match Store::damage(&world.paths.data_dir) {
        Ok(None) | Err(_) => true,
        Ok(Some(detail)) => {
            findings.add(
                "data",
                Grade::Problem,
                format!("the journal is damaged: {detail}"),
                "the next start reads it row by row into a new one and keeps the damaged file; `ebbtide doctor --repair` \
                 does it now",
            );
            false
        }
    }
}

fn check_opened(world: &World, config: &Config, findings: &mut Findings) {
    match world.reader() {
        Err(failure) => {
            let (detail, hint) = failure.into_finding();
            findings.add("data", Grade::Problem, detail, hint);
        }
        Ok(mut reader) => {
            findings.ok("data", "opens, and its schema is known");
            let checked = check_pages(&mut reader, findings).and_then(|()| check_data(&mut reader, config, findings));
            if let Err(error) = checked {
                findings.add("data", Grade::Problem, error.to_string(), "the log in the data dir says more");
            }
        }
    }
}

fn print(world: &World, findings: &Findings) -> std::io::Result<()> {
    if world.json {
        let shape = |finding: &Finding| {
            json!({
                "check": finding.check,
                "result": finding.grade.word(),
                "detail": finding.detail,
                "hint": finding.hint,
            })
        };
        let checks: Vec<Value> = findings.0.iter().map(shape).collect();
        return output::json(&json!({"ok": findings.is_ok(), "checks": checks}));
    }
    let mut data = Data::new();
    for finding in &findings.0 {
        data.line(&format!("{:<8} {:<12} {}", finding.grade.word(), finding.check, finding.detail))?;
        if let Some(hint) = &finding.hint {
            data.line(&format!("{:<21} hint: {hint}", ""))?;
        }
    }
    data.finish()
}

fn check_config(world: &World, findings: &mut Findings) -> Config {
    let path = &world.paths.config;
    match config::load(path) {
        Ok(config) if config.sources.is_empty() => {
            findings.add(
                "config",
                Grade::Warning,
                format!("`{}` names no source", path.display()),
                super::world::NOTHING_CONFIGURED,
            );
            config
        }
        Ok(config) => {
            let collections: usize = config.sources.iter().map(|source| source.collections.len()).sum();
            let (sources, collections) =
                (count(config.sources.len() as u64, "source"), count(collections as u64, "collection"));
            findings.ok("config", format!("`{}`: {sources}, {collections}", path.display()));
            config
        }
        Err(errors) => {
            for error in &errors.errors {
                let hint = error.hint.clone().unwrap_or_else(|| "`ebbtide init --example` prints every key".to_owned());
                findings.add("config", Grade::Problem, format!("`{}`: {error}", path.display()), hint);
            }
            Config::default()
        }
    }
}

/// Files that hold data are the user's own.
fn check_places(world: &World, findings: &mut Findings) {
    let dir = &world.paths.data_dir;
    if !dir.exists() {
        findings.ok("files", format!("`{}` is made when it is needed", dir.display()));
        return;
    }
    let mut open = Vec::new();
    let mut look = |path: &Path| {
        if let Ok(metadata) = std::fs::symlink_metadata(path)
            && !metadata.is_symlink()
            && metadata.permissions().mode() & 0o077 != 0
        {
            open.push(format!("`{}`", path.display()));
        }
    };
    look(dir);
    let mut files = 0_u64;
    for path in repair::contents(dir) {
        files += 1;
        look(&path);
    }
    match open.as_slice() {
        [] => findings.ok("files", format!("`{}`: {}, only for you", dir.display(), count(files, "file"))),
        some => findings.add(
            "files",
            Grade::Warning,
            format!("others on this computer may read {}", some.join(", ")),
            "`ebbtide doctor --repair` takes that right away",
        ),
    }
    match Store::leftovers(dir).as_slice() {
        [] => {}
        some => findings.add(
            "files",
            Grade::Warning,
            format!("{} of a run that was cut off", count(some.len() as u64, "half-made file")),
            "`ebbtide doctor --repair` removes them",
        ),
    }
    let kept = std::fs::read_dir(dir.join("emergency")).into_iter().flatten().flatten().count();
    if kept > 0 {
        findings.add(
            "emergency",
            Grade::Warning,
            format!("{} of text could not be saved in the journal", count(kept as u64, "piece")),
            format!(
                "the next dashboard brings it back, or `ebbtide doctor --repair`; the files are in `{}`",
                dir.join("emergency").display()
            ),
        );
    }
}

const LITTLE: u64 = 64 << 20;

fn check_space(dir: &Path, findings: &mut Findings) {
    let there = dir.ancestors().find(|dir| dir.exists()).unwrap_or(dir);
    match rustix::fs::statvfs(there) {
        Ok(stat) => match stat.f_bavail.saturating_mul(stat.f_frsize) {
            free if free < LITTLE => findings.add(
                "space",
                Grade::Problem,
                format!("{} MiB are free", free >> 20),
                "free some space; edits cannot be saved on a full disk",
            ),
            free => findings.ok("space", format!("{} MiB are free", output::grouped(free >> 20))),
        },
        Err(error) => findings.add("space", Grade::Warning, format!("not known: {error}"), "check the disk"),
    }
}

/// Whether some process carries the sync. Asked of the lock itself, which is given back at once.
fn check_leader(dir: &Path, findings: &mut Findings) {
    let held = File::open(dir.join("leader.lock")).is_ok_and(|file| file.try_lock_shared().is_err());
    findings.ok("sync", if held { "a process carries the sync" } else { "no process carries the sync now" });
}

/// Reads every page, and checks the rules between the tables.
fn check_pages(reader: &mut Reader, findings: &mut Findings) -> Result<(), StoreError> {
    let wrong = reader.check()?;
    if wrong.is_empty() {
        findings.ok("pages", "every page can be read, and the tables agree");
    }
    for detail in wrong {
        let hint = "`ebbtide doctor --repair` mends what is derived; `ebbtide journal salvage` reads the journal row by \
                    row into a new one; a copy first: `ebbtide journal backup`";
        findings.add("pages", Grade::Problem, detail, hint);
    }
    Ok(())
}

fn check_data(reader: &mut Reader, config: &Config, findings: &mut Findings) -> Result<(), StoreError> {
    let pending: Vec<OpState> = OpState::ALL.into_iter().filter(|state| state.is_pending()).collect();
    let (mut edits, mut strangers, mut example) = (0, 0, None);
    each(reader, &pending, |op| {
        edits += 1;
        if !is_configured(config, &op.record) {
            strangers += 1;
            example.get_or_insert_with(|| op.record.collection.to_string());
        }
    })?;
    check_outbox(reader, edits, findings)?;
    if let Some(example) = example {
        findings.add(
            "outbox",
            Grade::Warning,
            format!("{} of collections that are not configured, such as `{example}`", count(strangers, "edit")),
            "configure the source again to send them, or discard them",
        );
    }
    let mut in_conflict = Vec::new();
    each(reader, &[OpState::Conflict], |op| in_conflict.push(op.seq))?;
    let conflicts = reader.conflicts(false)?;
    let lost: Vec<Seq> =
        in_conflict.into_iter().filter(|seq| !conflicts.iter().any(|conflict| conflict.seq == *seq)).collect();
    match lost.as_slice() {
        [] => findings.ok("conflicts", count(conflicts.len() as u64, "conflict")),
        some => findings.add(
            "conflicts",
            Grade::Problem,
            format!("{} in conflict without the conflict's row", count(some.len() as u64, "edit")),
            "`ebbtide doctor --repair` lets the server tell the conflict anew",
        ),
    }
    findings.ok("drafts", count(reader.drafts()?.len() as u64, "draft"));
    findings.ok("sessions", count(reader.sessions()?.len() as u64, "session"));
    Ok(())
}

fn is_configured(config: &Config, record: &RecordKey) -> bool {
    let key = &record.collection;
    config.sources.iter().any(|source| source.name == key.source && source.collection(&key.collection).is_some())
}

/// At most one edit of a record may be on the wire, and it is the oldest one.
fn check_outbox(reader: &mut Reader, edits: u64, findings: &mut Findings) -> Result<(), StoreError> {
    let mut sent = Vec::new();
    each(reader, &[OpState::InFlight, OpState::InDoubt], |op| sent.push((op.record.clone(), op.seq)))?;
    let mut broken = Vec::new();
    for (record, seq) in sent {
        if reader.shown(&record)?.ops.first().is_none_or(|oldest| oldest.seq != seq) {
            broken.push(seq.to_string());
        }
    }
    match broken.as_slice() {
        [] => findings.ok("outbox", format!("{}, in order", count(edits, "edit"))),
        some => findings.add(
            "outbox",
            Grade::Problem,
            format!("sent before an older edit of the same record: {}", some.join(", ")),
            "hold the later ones and look at them with `ebbtide outbox show`",
        ),
    }
    Ok(())
}

/// Walks the outbox in pages, so that a long one needs no memory.
fn each(reader: &mut Reader, states: &[OpState], mut take: impl FnMut(&Op)) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = reader.outbox(states, after, 200)?;
        page.iter().for_each(&mut take);
        match page.last() {
            Some(last) => after = Some(last.seq),
            None => return Ok(()),
        }
    }
}
