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
        session::{SavedSession, SessionInfo},
        time,
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// List the saved screens
    #[command(after_long_help = LIST_SHAPE)]
    List,
    Show(ShowArgs),
    Delete(DeleteArgs),
}

const LIST_SHAPE: &str = "\
JSON:
  [{\"name\", \"saved_at\", \"slices\": number of parts, \"open\": true while a dashboard uses it}]";

/// Show what a saved screen holds
#[derive(Debug, Args)]
#[command(after_long_help = SHOW_SHAPE)]
pub(super) struct ShowArgs {
    /// Its name, as `session list` shows it
    #[arg(value_name = "NAME")]
    name: String,
}

const SHOW_SHAPE: &str = "\
JSON:
  {\"name\", \"saved_at\", \"open\", \"closed_cleanly\", \"slices\": [{\"name\", \"version\", \"body\"}]}";

/// Delete a saved screen; drafts and the outbox stay
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
        SessionCommand::Show(args) => show(world, &args.name),
        SessionCommand::Delete(args) => delete(world, &args.name),
    }
}

fn list(world: &World) -> Outcome {
    let sessions = world.reader()?.sessions()?;
    if world.json {
        let shape = |info: &SessionInfo| json!({"name": info.name, "saved_at": shapes::time(info.saved_at), "slices": info.slices, "open": info.open});
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
        vec![info.name.to_string(), state.to_owned(), time::age(now.since(info.saved_at))]
    };
    let mut data = Data::new();
    for line in table(&["NAME", "STATE", "SAVED"], &sessions.iter().map(row).collect::<Vec<_>>(), 60) {
        data.exact(&line)?;
    }
    data.finish()?;
    Ok(DONE)
}

fn show(world: &World, name: &str) -> Outcome {
    let mut reader = world.reader()?;
    let sessions = reader.sessions()?;
    let info = find(&sessions, name)?;
    let saved: SavedSession = reader.session(&info.name)?;
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
