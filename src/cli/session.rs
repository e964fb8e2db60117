//! `session`: saved screens.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    DONE, Outcome,
    output::{self, Data, table, talk},
    report::Failure,
    shapes,
    world::World,
};
use crate::{
    config,
    model::{
        ids::SessionName,
        session::{Moment, SavedSession, SessionInfo},
        time,
    },
    store::{Lock, Store},
};

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// List the saved screens
    #[command(after_long_help = LIST_SHAPE)]
    List,
    Show(ShowArgs),
    History(HistoryArgs),
    Rename(RenameArgs),
    Copy(CopyArgs),
    Delete(DeleteArgs),
}

const LIST_SHAPE: &str = "\
JSON:
  [{\"name\", \"saved_at\", \"slices\": number of parts, \"moments\": earlier screens kept,
    \"open\": true while a dashboard uses it}]";

/// Show what a saved screen holds
#[derive(Debug, Args)]
#[command(after_long_help = SHOW_SHAPE)]
pub(super) struct ShowArgs {
    /// Its name, as `session list` shows it
    #[arg(value_name = "NAME")]
    name: String,
    /// An earlier screen of it, as `session history` numbers them
    #[arg(long, value_name = "N")]
    moment: Option<i64>,
}

/// List the earlier screens kept of a session; in the dashboard `g h` shows them and goes back to one
#[derive(Debug, Args)]
#[command(after_long_help = HISTORY_SHAPE)]
pub(super) struct HistoryArgs {
    /// Its name, as `session list` shows it; without one, the session that a start without a name opens
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

const HISTORY_SHAPE: &str = "\
JSON, newest first:
  [{\"moment\": number, \"kind\": start|pause|use|left|aside, \"kept_at\", \"saved_at\": when the screen last changed
    before that, \"slices\": number of parts}]";

/// Give a saved screen another name
#[derive(Debug, Args)]
#[command(after_long_help = "JSON:\n  {\"renamed\": OLD, \"to\": NEW}")]
pub(super) struct RenameArgs {
    /// Its name, as `session list` shows it
    #[arg(value_name = "OLD")]
    from: String,
    /// Its name from now on
    #[arg(value_name = "NEW")]
    to: String,
}

/// Make a second saved screen that begins as another one is
#[derive(Debug, Args)]
#[command(after_long_help = "JSON:\n  {\"copied\": FROM, \"to\": TO}")]
pub(super) struct CopyArgs {
    /// The screen to copy, as `session list` shows it; a dashboard may use it
    #[arg(value_name = "FROM")]
    from: String,
    /// The name of the copy
    #[arg(value_name = "TO")]
    to: String,
}

const SHOW_SHAPE: &str = "\
JSON:
  {\"name\", \"saved_at\", \"open\", \"closed_cleanly\", \"slices\": [{\"name\", \"version\", \"body\"}]}";

/// Delete a saved screen and its history; drafts and the outbox stay
#[derive(Debug, Args)]
#[command(after_long_help = DELETE_SHAPE)]
pub(super) struct DeleteArgs {
    /// Its name, as `session list` shows it
    #[arg(value_name = "NAME")]
    name: String,
}

const DELETE_SHAPE: &str = "\
JSON:
  {\"deleted\": NAME}";

pub(super) fn run(world: &World, command: &SessionCommand) -> Outcome {
    match command {
        SessionCommand::List => list(world),
        SessionCommand::Show(args) => show(world, args),
        SessionCommand::History(args) => history(world, args.name.as_deref()),
        SessionCommand::Rename(args) => rename(world, &args.from, &args.to),
        SessionCommand::Copy(args) => copy(world, &args.from, &args.to),
        SessionCommand::Delete(args) => delete(world, &args.name),
    }
}

fn list(world: &World) -> Outcome {
    let sessions = world.reader()?.sessions()?;
    if world.json {
        let shape = |info: &SessionInfo| json!({"name": info.name, "saved_at": shapes::time(info.saved_at), "slices": info.slices, "moments": info.moments, "open": info.open});
        output::json(&sessions.iter().map(shape).collect::<Vec<Value>>())?;
        return Ok(DONE);
    }
    if sessions.is_empty() {
        talk("no saved screens");
        return Ok(DONE);
    }
    let now = world.now();
    let row = |info: &SessionInfo| {
        let state = if info.open { "open" } else { "closed" };
        vec![info.name.to_string(), state.to_owned(), time::age(now.since(info.saved_at)), info.moments.to_string()]
    };
    let mut data = Data::new();
    for line in table(&["NAME", "STATE", "SAVED", "HISTORY"], &sessions.iter().map(row).collect::<Vec<_>>(), 60) {
        data.exact(&line)?;
    }
    data.finish()?;
    Ok(DONE)
}

fn show(world: &World, args: &ShowArgs) -> Outcome {
    let mut reader = world.reader()?;
    let sessions = reader.sessions()?;
    let info = find(&sessions, &args.name)?;
    let mut saved: SavedSession = reader.session(&info.name)?;
    if let Some(number) = args.moment {
        let moments = reader.moments(&info.name)?;
        let moment = moments.into_iter().find(|moment| moment.id == number).ok_or_else(|| {
            Failure::failed(format!("the session `{}` has no moment {number}", info.name))
                .hint(format!("`ebbtide session history {}` shows those there are", info.name))
        })?;
        (saved.slices, saved.saved_at) = (moment.slices, moment.saved_at);
    }
    let body = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    if world.json {
        let slices: Vec<Value> = saved
            .slices
            .iter()
            .map(|slice| json!({"name": slice.name, "version": slice.version, "body": body(&slice.body)}))
            .collect();
        output::json(&json!({
            "name": info.name,
            "saved_at": shapes::maybe_time(saved.saved_at),
            "open": info.open,
            "closed_cleanly": saved.closed_cleanly,
            "slices": slices,
        }))?;
        return Ok(DONE);
    }
    let mut data = Data::new();
    for slice in &saved.slices {
        data.line(&format!("{} (version {})", slice.name, slice.version))?;
        for line in serde_json::to_string_pretty(&body(&slice.body)).expect("a value is JSON").lines() {
            data.line(&format!("  {line}"))?;
        }
    }
    data.finish()?;
    Ok(DONE)
}

fn history(world: &World, name: Option<&str>) -> Outcome {
    let mut reader = world.reader()?;
    let sessions = reader.sessions()?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => reader.chosen_session()?.map_or_else(|| "default".to_owned(), |name| name.to_string()),
    };
    let moments = reader.moments(&find(&sessions, &name)?.name)?;
    if world.json {
        let shape = |moment: &Moment| {
            json!({
                "moment": moment.id,
                "kind": moment.kind.word(),
                "kept_at": shapes::time(moment.at),
                "saved_at": shapes::maybe_time(moment.saved_at),
                "slices": moment.slices.len(),
            })
        };
        output::json(&moments.iter().map(shape).collect::<Vec<Value>>())?;
        return Ok(DONE);
    }
    if moments.is_empty() {
        talk("no earlier screen is kept yet");
        return Ok(DONE);
    }
    let now = world.now();
    let row = |moment: &Moment| {
        vec![moment.id.to_string(), time::age(now.since(moment.when())), moment.kind.label().to_owned()]
    };
    let mut data = Data::new();
    for line in table(&["MOMENT", "AGE", "KEPT"], &moments.iter().map(row).collect::<Vec<_>>(), 60) {
        data.exact(&line)?;
    }
    data.finish()?;
    Ok(DONE)
}

/// A session's name as it is given on the command line.
pub(super) fn name(text: &str) -> Result<SessionName, Failure> {
    SessionName::parse(text)
        .ok_or_else(|| Failure::usage(format!("`{text}` cannot be the name of a session")).hint(SessionName::FORM))
}

/// The lock of a name, so that no dashboard opens it meanwhile.
fn hold(store: &Store, name: &SessionName) -> Result<Lock, Failure> {
    store.lock_session(name)?.ok_or_else(|| {
        Failure::failed(format!("the session `{name}` is open in a dashboard"))
            .hint("quit that dashboard first, nothing is lost by quitting; or use its sessions screen: `g s`")
    })
}

fn rename(world: &World, from: &str, to: &str) -> Outcome {
    let to = name(to)?;
    let store = world.store()?;
    let sessions = store.reader()?.sessions()?;
    let from = find(&sessions, from)?.name.clone();
    let _held = (hold(&store, &from)?, hold(&store, &to)?);
    if !store.rename_session(&from, &to).wait()? {
        return Err(taken(&to));
    }
    if world.json {
        output::json(&json!({"renamed": from, "to": to}))?;
    }
    talk(&format!("`{from}` is `{to}` now"));
    Ok(DONE)
}

fn copy(world: &World, from: &str, to: &str) -> Outcome {
    let to = name(to)?;
    let store = world.store()?;
    let sessions = store.reader()?.sessions()?;
    let from = find(&sessions, from)?.name.clone();
    let _held = hold(&store, &to)?;
    if !store.copy_session(&from, &to).wait()? {
        return Err(taken(&to));
    }
    if world.json {
        output::json(&json!({"copied": from, "to": to}))?;
    }
    talk(&format!("`{to}` begins as `{from}` is; open it with `ebbtide --session {to}`"));
    Ok(DONE)
}

fn taken(name: &SessionName) -> Failure {
    Failure::failed(format!("there is a session `{name}` already"))
        .hint("choose another name, or delete that one: `ebbtide session delete`")
}

fn delete(world: &World, name: &str) -> Outcome {
    let store = world.store()?;
    let sessions = store.reader()?.sessions()?;
    let info = find(&sessions, name)?;
    if info.open {
        return Err(Failure::failed(format!("the session `{name}` is open in a dashboard"))
            .hint("quit that dashboard first; nothing is lost by quitting"));
    }
    store
        .delete_session(&SessionName::from(name))
        .wait()
        .map_err(|error| Failure::store("the session was not deleted", error))?;
    if world.json {
        output::json(&json!({"deleted": name}))?;
    }
    talk(&format!("deleted `{name}`; drafts and the outbox stay"));
    Ok(DONE)
}

fn find<'s>(sessions: &'s [SessionInfo], name: &str) -> Result<&'s SessionInfo, Failure> {
    sessions.iter().find(|info| info.name.as_str() == name).ok_or_else(|| {
        let failure = Failure::failed(format!("there is no session `{name}`"));
        match config::nearest(name, sessions.iter().map(|info| info.name.as_str())) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint("`ebbtide session list` shows those there are"),
        }
    })
}
