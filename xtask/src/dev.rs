//! `cargo xtask dev`: from a fresh clone to a running bridge with pages to open.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Instant;

use anyhow::Context;
use clap::Args;

use crate::tools::{self, Tool};
use crate::{assets, process};

/// What to start.
#[derive(Args)]
pub(crate) struct Options {
    /// Builds all that is needed, starts nothing.
    #[arg(long)]
    build_only: bool,
    /// Passed on to `tidegate dev`.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Builds, then becomes the bridge.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let began = Instant::now();
    tools::ensure(&[Tool::Compiler, Tool::Wasm])?;
    println!("[1/3] the bridge (the first time this takes some minutes)");
    let bridge = assets::bridge()?;
    println!("[2/3] client and dashboard for the browser");
    let assets = assets::build()?;
    println!("[3/3] built after {:.1} s", began.elapsed().as_secs_f64());
    if options.build_only {
        return Ok(());
    }
    let mut command = Command::new(bridge);
    command.arg("dev").arg("--assets").arg(assets).args(&options.arguments);
    // Replaces this process, so that signals and the terminal are the bridge's own.
    let error = command.exec();
    Err(error).with_context(|| format!("can't start {}", process::shown(&command)))
}
