//! `cargo xtask test`: sets up what the tests need, runs all of them, counts what they say of themselves.

mod steps;
mod tally;

use std::time::{Duration, Instant};

use clap::Args;

use crate::tools::{self, Tools};
use steps::{STEPS, Step};
pub(crate) use steps::{counted, on_kafka};
pub(crate) use tally::Tally;

/// Which tests.
#[derive(Args)]
pub(crate) struct Options {
    /// Only what needs neither Kafka nor a browser: format, tidiness, unit tests.
    #[arg(long)]
    quick: bool,
    /// Only these steps.
    #[arg(long, value_name = "STEP", value_parser = steps::names(), conflicts_with = "quick")]
    only: Vec<String>,
}

/// Runs the steps, all of them even if one fails, and ends with one line of counts. Whether all passed.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let named = |step: &&Step| options.only.iter().any(|name| name == step.name);
    let chosen: Vec<&Step> = STEPS
        .iter()
        .filter(|step| !options.quick || step.quick)
        .filter(|step| if options.only.is_empty() { !JUDGES.contains(&step.name) || is_judged() } else { named(step) })
        .collect();
    run_steps(&chosen)
}

/// Steps that are run where every change is judged, and elsewhere when they are asked for: nobody waits for them.
const JUDGES: [&str; 1] = ["guard"];

/// Whether this is where every change is judged.
fn is_judged() -> bool {
    std::env::var_os("CI").is_some_and(|ci| !ci.is_empty())
}

/// Runs some steps by name.
pub(crate) fn run_named(names: &[&str]) -> anyhow::Result<bool> {
    run_steps(&STEPS.iter().filter(|step| names.contains(&step.name)).collect::<Vec<_>>())
}

fn run_steps(steps: &[&Step]) -> anyhow::Result<bool> {
    let began = Instant::now();
    let mut wanted: Vec<_> = steps.iter().flat_map(|step| step.tools).copied().collect();
    wanted.sort_unstable();
    wanted.dedup();
    let tools = tools::ensure(&wanted)?;
    if !wanted.is_empty() {
        println!("-- tools: ready after {}", seconds(began.elapsed()));
    }

    let mut report = Vec::new();
    for step in steps {
        report.push((step.name, run_step(step, &tools)));
    }
    println!();
    let mut total = Tally::default();
    for (name, (tally, took)) in &report {
        let failed = if tally.failed > 0 { "   <- failed" } else { "" };
        println!("{name:10} {:5} passed {:3} failed {:>9}{failed}", tally.passed, tally.failed, seconds(*took));
        total += *tally;
    }
    println!("all of it took {}", seconds(began.elapsed()));
    println!("{total}");
    Ok(total.failed == 0)
}

fn run_step(step: &Step, tools: &Tools) -> (Tally, Duration) {
    println!("\n-- {}: {}", step.name, step.about);
    let began = Instant::now();
    let tally = (step.run)(tools).unwrap_or_else(|error| {
        println!("error: {error:#}");
        Tally::FAILED
    });
    let took = began.elapsed();
    println!("-- {}: {tally}, {}", step.name, seconds(took));
    (tally, took)
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}
