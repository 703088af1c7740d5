//! `cargo xtask bench`: the bridge and what it is compared with, side by side, one core for the server and one for
//! the load. Writes `target/bench/summary.json` and prints a table.

mod backlog;
mod bridge;
mod browser;
mod growth;
#[allow(dead_code, reason = "the tests stop, freeze and restart their broker; here it only runs")]
#[path = "../../../tests/src/kafka.rs"]
pub(crate) mod kafka;
mod machine;
mod paced;
mod peers;
mod scenarios;
mod summary;
mod target;

use std::process::Command;
use std::time::Instant;

use anyhow::{bail, ensure};
use clap::Args;

use crate::process;
use crate::tools::{self, Tool};
use machine::Machine;
use scenarios::{Bench, SCENARIOS, Scenario};
use summary::Summary;

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// An early alarm: fewer sessions and rounds, within 4 minutes once all is built.
    #[arg(long)]
    quick: bool,
    /// Only these scenarios.
    #[arg(long, value_name = "NAME", value_parser = SCENARIOS.iter().map(|scenario| scenario.name).collect::<Vec<_>>())]
    only: Vec<String>,
    /// How often each system is measured.
    #[arg(long)]
    rounds: Option<u32>,
}

/// Builds, measures, tells. Whether every figure is within what is meant to be reached.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let chosen: Vec<&Scenario> = SCENARIOS
        .iter()
        .filter(|scenario| options.only.is_empty() || options.only.iter().any(|name| name == scenario.name))
        .collect();
    let mut wanted: Vec<Tool> = chosen.iter().flat_map(|scenario| scenario.tools).copied().collect();
    wanted.sort_unstable();
    wanted.dedup();
    tools::ensure(&wanted)?;
    if wanted.contains(&Tool::Kafka) {
        // No `--package`: another set of packages would unify other features, and build everything once more.
        let mut build = process::cargo();
        process::run(build.args(["build", "--locked", "--release", "--bin", "tidegate", "--bin", "tidegate-bench"]))?;
    }
    let began = Instant::now();
    let machine = Machine::look();
    println!("{machine}");
    if wanted.contains(&Tool::Kafka) {
        machine.check()?;
        // Everything that is started from here on inherits it; servers are put on the other core.
        pin_self()?;
    }
    let mut summary = Summary::default();
    let mut bench = Bench::new(options.quick, options.rounds);
    for scenario in chosen {
        println!("\n== {}: {}", scenario.name, scenario.about);
        (scenario.run)(&mut bench, &mut summary)?;
    }
    summary.write(&machine)?;
    println!("\n{summary}");
    println!("target/bench/summary.json; measured within {:.0} s", began.elapsed().as_secs_f64());
    Ok(summary.within_targets())
}

/// The core of the load and of Kafka.
const LOAD_CORE: &str = "1";

/// The core of the server that is measured.
const SERVER_CORE: &str = "0";

fn pin_self() -> anyhow::Result<()> {
    let own = std::process::id().to_string();
    let Some(_) = process::output("taskset", &["--cpu-list", "--pid", LOAD_CORE, &own]) else {
        bail!("taskset could not bind the load to core {LOAD_CORE}: install util-linux, and have 2 cores or more")
    };
    // Whatever else runs should disturb little. Not everybody may ask for it, and nothing depends on it.
    let _ = process::output("renice", &["-n", "-15", "-p", &own]);
    // Where the kernel shares CPU among terminals first, the above only counts within ours.
    let _ = std::fs::write("/proc/self/autogroup", "-15");
    Ok(())
}

/// Where a server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cores {
    /// On the core of servers.
    Server,
    /// On the load's core, beside it.
    Load,
    /// On both.
    Both,
}

impl Cores {
    fn list(self) -> String {
        match self {
            Self::Server => SERVER_CORE.to_owned(),
            Self::Load => LOAD_CORE.to_owned(),
            Self::Both => format!("{SERVER_CORE},{LOAD_CORE}"),
        }
    }
}

/// A command on the core of servers.
fn on_server_core(program: &str) -> Command {
    on_cores(Cores::Server, program)
}

/// A command that is allowed as many sockets as the machine gives.
fn on_cores(cores: Cores, program: &str) -> Command {
    let mut command = Command::new("sh");
    let script = "ulimit -n \"$(ulimit -Hn)\"; exec taskset --cpu-list \"$0\" \"$@\"";
    command.args(["-c", script, &cores.list(), program]);
    command
}

/// The load generator, on the core of this process: what it printed, read as JSON.
fn load(arguments: &[String]) -> anyhow::Result<serde_json::Value> {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n \"$(ulimit -Hn)\"; exec \"$0\" \"$@\"", LOADER]).args(arguments);
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the load ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The load generator, built.
const LOADER: &str = "target/release/tidegate-bench";
