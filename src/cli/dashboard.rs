//! No command, and `demo`: hands over to the screen.

use std::io::{IsTerminal, stdin, stdout};

use clap::Args;

use super::{Outcome, report::Failure, world::World};
use crate::{
    model::ids::SessionName,
    runtime::{
        dashboard::{self, DashboardOptions},
        demo::{self, DemoOptions},
    },
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Dashboard options")]
pub(super) struct DashboardArgs {
    /// Which saved screen to open [default: the one switched to last, else default]
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
    /// Begin with a fresh screen; drafts and the outbox stay
    #[arg(long)]
    pub fresh: bool,
}

/// Try it: an embedded backend, sample data and the dashboard, nothing to configure
///
/// What you change there is kept for the next time. In the dashboard, the palette (`:`) can cut the network and let
/// somebody else edit, so that offline work, the outbox, conflicts and recovery can be seen in a minute.
///
/// Its folder (`ebbtide paths` names it as `demo`) has a config.toml, so that other commands can look at it too:
/// `ebbtide --data-dir DEMO --config DEMO/config.toml outbox list`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Start over: the demo's data is removed first
    #[arg(long)]
    reset: bool,
    #[command(flatten)]
    screen: DashboardArgs,
}

impl DashboardArgs {
    fn name(&self) -> Result<Option<SessionName>, Failure> {
        self.session.as_deref().map(super::session::name).transpose()
    }
}

pub(super) fn run(world: &World, args: &DashboardArgs) -> Outcome {
    let session = args.name()?;
    let config = world.config()?;
    check_terminal(world)?;
    Ok(dashboard::run(DashboardOptions {
        paths: world.paths.clone(),
        config,
        session,
        fresh: args.fresh,
        read_only: world.is_read_only(),
        offline: world.offline,
    })?)
}

pub(super) fn demo(world: &World, args: &DemoArgs) -> Outcome {
    let session = args.screen.name()?;
    check_terminal(world)?;
    Ok(demo::run(DemoOptions {
        data_dir: world.paths.demo_dir(),
        reset: args.reset,
        session,
        fresh: args.screen.fresh,
        offline: world.offline,
    })?)
}

fn check_terminal(world: &World) -> Result<(), Failure> {
    if world.json {
        return Err(Failure::usage("the dashboard prints no JSON")
            .hint("scripts use commands such as `ebbtide status --json`; `ebbtide --help` lists them"));
    }
    if stdin().is_terminal() && stdout().is_terminal() { Ok(()) } else { Err(Failure::not_a_terminal()) }
}
