//! `serve`: the embedded backend alone, also useful as a local emulator.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
};

use clap::Args;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{
    DONE, Outcome,
    output::{Data, talk},
    report::Failure,
    signals::Stop,
    world::World,
};
use crate::server::{Options, Server};

/// Run the embedded backend alone
///
/// It speaks the REST and streaming protocol of Firebase Realtime Database. The first line on standard output is its
/// URL; ctrl-c or TERM stop it when open writes are on disk.
#[derive(Debug, Args)]
#[command(after_long_help = SHAPE)]
pub(super) struct ServeArgs {
    /// Where to listen; port 0 takes one that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: String,
    /// Keep the data in this file [default: in memory]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// JSON to begin with, where there is no data yet
    #[arg(long, value_name = "FILE.json")]
    seed: Option<PathBuf>,
    /// The environment variable that holds the token every request must carry
    #[arg(long, value_name = "VAR")]
    token_env: Option<String>,
}

const SHAPE: &str = "\
JSON:
  {\"url\", \"address\"} as the first line";

pub(super) fn run(world: &World, args: &ServeArgs) -> Outcome {
    let listen = address(&args.listen)?;
    let token = token(args.token_env.as_deref())?;
    if !listen.ip().is_loopback() && token.is_none() {
        return Err(Failure::usage(format!(
            "`{listen}` can be reached from other computers, and no token is asked for"
        ))
        .hint("put a secret into an environment variable and name it with --token-env, or listen on 127.0.0.1"));
    }
    let seed = args.seed.as_deref().map(seed).transpose()?;
    let options = Options { listen, data: args.data.clone(), seed, token, clock: world.clock.clone() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::io("could not start", &error))?;
    runtime.block_on(serve(world, options))
}

async fn serve(world: &World, options: Options) -> Outcome {
    let mut stop = Stop::listen().map_err(|error| Failure::io("could not listen for signals", &error))?;
    let server = Server::start(options).await?;
    let url = format!("http://{}/", server.address());
    {
        let mut data = Data::new();
        if world.json {
            data.exact(&json!({"url": url, "address": server.address().to_string()}).to_string())?;
        } else {
            data.exact(&url)?;
        }
        data.finish()?;
    }
    talk("ctrl-c stops it");
    stop.asked().await;
    let writes = server.writes_applied();
    server.stop().await;
    talk(&format!("stopped; {writes} writes applied"));
    Ok(DONE)
}

fn address(text: &str) -> Result<SocketAddr, Failure> {
    let found = text.to_socket_addrs().map(|mut addresses| addresses.next());
    let bad = || Failure::usage(format!("`{text}` is no address to listen on"));
    match found {
        Ok(Some(address)) => Ok(address),
        Ok(None) => Err(bad().hint("for example 127.0.0.1:9000")),
        Err(error) => Err(bad().because(error.to_string()).hint("for example 127.0.0.1:9000")),
    }
}

fn token(variable: Option<&str>) -> Result<Option<SecretString>, Failure> {
    let Some(variable) = variable else { return Ok(None) };
    match std::env::var(variable) {
        Ok(token) if !token.trim().is_empty() => Ok(Some(SecretString::from(token.trim().to_owned()))),
        _ => Err(Failure::usage(format!("the environment variable `{variable}` holds no token"))
            .hint(format!("set it first: export {variable}=…"))),
    }
}

fn seed(path: &std::path::Path) -> Result<Value, Failure> {
    let shown = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|error| Failure::io(format!("could not read `{shown}`"), &error))?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::usage(format!("`{shown}` is no JSON"))
            .because(error.to_string())
            .hint("the seed is one JSON object: collections, in them records by id")
    })
}
