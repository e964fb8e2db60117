//! `init`: writes the configuration of a backend, or adds one to a configuration that is there.

use std::path::Path;

use clap::{Args, ValueEnum};
use serde_json::json;
use url::Url;

use super::{
    DONE, Outcome,
    output::{self, Data, talk},
    report::Failure,
    world::World,
};
use crate::{
    config::{self, EditError, NewSource},
    model::source::SourceKind,
    store::StoreError,
};

/// Write a configuration for a backend, or add a source to the one there is
#[derive(Debug, Args)]
#[command(after_long_help = SHAPE)]
pub(super) struct InitArgs {
    /// Where the backend is
    #[arg(value_name = "URL", required_unless_present = "example")]
    url: Option<String>,
    /// The protocol it speaks
    #[arg(long, value_name = "K", value_enum, default_value_t = Kind::Firebase)]
    kind: Kind,
    /// What to call it [default: from the URL]
    #[arg(long, value_name = "N")]
    name: Option<String>,
    /// A collection to mirror: a name, or a path such as teams/7/tasks; can be given several times
    #[arg(long, value_name = "C")]
    collection: Vec<String>,
    /// The environment variable that holds the token requests must carry
    #[arg(long, value_name = "VAR")]
    token_env: Option<String>,
    /// Allow plain http to another computer
    #[arg(long)]
    allow_plain: bool,
    /// Print a configuration that explains every key, and do nothing else
    #[arg(long)]
    example: bool,
}

/// Only kinds that work.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Firebase Realtime Database, REST and streaming (`ebbtide serve` speaks it too)
    Firebase,
}

const SHAPE: &str = "\
JSON:
  {\"config\": the file, \"source\": the name, \"collections\": [NAME]}";

pub(super) fn run(world: &World, args: &InitArgs) -> Outcome {
    if args.example {
        let mut data = Data::new();
        data.exact(config::EXAMPLE.trim_end())?;
        data.finish()?;
        return Ok(DONE);
    }
    if world.is_read_only() {
        return Err(Failure::store("no source was added", StoreError::ReadOnly));
    }
    let path = &world.paths.config;
    let existing = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::io(format!("could not read `{}`", path.display()), &error)),
    };
    let present = config::parse(&existing, path)?;
    let url = args.url.clone().expect("clap asks for it");
    let name = args.name.clone().unwrap_or_else(|| name_of(&url));
    let source = NewSource {
        name: name.clone(),
        kind: match args.kind {
            Kind::Firebase => SourceKind::Firebase,
        },
        url,
        token_env: args.token_env.clone(),
        allow_plain: args.allow_plain,
        collections: args.collection.clone(),
    };
    let text = config::add_source(&existing, &present, &source).map_err(|error| refused(error, path))?;
    // What is written is read first: names and paths are checked by the same rules as those of a file.
    let written = config::parse(&text, path).map_err(|errors| {
        let failure = Failure::usage("the source cannot be added as asked");
        errors
            .errors
            .iter()
            .fold(failure, |failure, error| failure.because(error.message.clone()))
            .hint("change the name, the URL or the collections; nothing was written")
    })?;
    config::replace(path, &text)
        .map_err(|error| Failure::io(format!("could not write `{}`", path.display()), &error))?;
    let source = written.sources.last().expect("one was added");
    if world.json {
        let names: Vec<&str> = source.collections.iter().map(|collection| collection.name.as_str()).collect();
        output::json(&json!({"config": path, "source": name, "collections": names}))?;
    }
    talk(&format!("added `{name}` to `{}`", path.display()));
    if source.collections.is_empty() {
        talk("it has no collection yet: add [[source.collection]] with a name to it");
    } else {
        talk("`ebbtide sync` fetches it, `ebbtide` opens the dashboard");
    }
    Ok(DONE)
}

pub(super) fn refused(error: EditError, path: &Path) -> Failure {
    let message = error.to_string();
    match error {
        EditError::Url { hint, .. } => Failure::usage(message).hint(hint),
        EditError::Duplicate(_) => Failure::usage(message).hint("choose another name with --name"),
        EditError::Inline => Failure::usage(message)
            .hint(format!("write them as [[source]] in `{}`, then run this again", path.display())),
        EditError::Unknown(_) | EditError::NoSource(_) | EditError::Syntax(_) => {
            Failure::usage(message).hint("correct the file, then run this again")
        }
    }
}

/// The first label of the host, unless that says nothing.
fn name_of(url: &str) -> String {
    let parsed = Url::parse(url).ok();
    match parsed.as_ref().and_then(Url::host) {
        Some(url::Host::Domain(host)) if host != "localhost" => {
            host.split('.').find(|label| *label != "www").unwrap_or("source").to_owned()
        }
        Some(_) => "local".to_owned(),
        None => "source".to_owned(),
    }
}
