//! The command line, one file a command.

mod bench;
mod check;
mod dev;
mod explain;
mod publish;
mod reload;
mod remote;
mod revoke;
mod serve;
mod tail;
mod token;
mod topics;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::config::{self, Config};

/// Federates the topics of a log out to browsers, and their events back in.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a bridge.
    Serve(serve::Serve),
    /// Runs a bridge on the embedded log, with a live demo and the dashboard.
    Dev(dev::Dev),
    /// Reads the configuration and says everything that is wrong with it.
    Check(check::Check),
    /// Says which grant lets a token's holder do something or see an event, and why.
    Explain(explain::Explain),
    /// Makes a token.
    Token(token::Token),
    /// Says what the configured topics come to on the log, and makes those that are missing.
    Topics(topics::Topics),
    /// Publishes events through a running bridge.
    Publish(publish::Publish),
    /// Prints a topic's events, through a running bridge.
    Tail(tail::Tail),
    /// Opens many sessions on a running bridge and measures what they get of a topic.
    Bench(bench::Bench),
    /// Refuses tokens before they expire and ends their sessions, on all bridges, through one's admin API.
    Revoke(revoke::Revoke),
    /// Lets a running bridge read its configuration again, through its admin API.
    Reload(reload::Reload),
}

/// Which configuration.
#[derive(Debug, Clone, clap::Args)]
struct ConfigFile {
    /// The configuration file. Without one, everything comes from the environment (`TIDEGATE_…`).
    #[arg(short, long, env = "TIDEGATE_CONFIG")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// Where it is.
    fn source(&self) -> config::Source {
        config::Source::new(self.config.clone())
    }

    /// Reads it; warnings go to standard error, and every problem is named.
    fn load(&self) -> anyhow::Result<Config> {
        let loaded = self.source().load();
        let loaded = loaded.map_err(|problems| anyhow::anyhow!("the configuration is not valid\n{problems}"))?;
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
        Ok(loaded.config)
    }
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = || runtime().context("can not start the runtime");
        match self.command {
            Command::Serve(serve) => runtime()?.block_on(serve.run()),
            Command::Dev(dev) => runtime()?.block_on(dev.run()),
            Command::Check(check) => check.run(),
            Command::Explain(explain) => runtime()?.block_on(explain.run()),
            Command::Token(token) => token.run(),
            Command::Topics(topics) => topics.run(),
            Command::Publish(publish) => runtime()?.block_on(publish.run()),
            Command::Tail(tail) => runtime()?.block_on(tail.run()),
            Command::Bench(bench) => bench.run(),
            Command::Revoke(revoke) => runtime()?.block_on(revoke.run()),
            Command::Reload(reload) => runtime()?.block_on(reload.run()),
        }
    }
}
