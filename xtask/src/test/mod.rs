//! `cargo xtask test`: sets up what the tests need, runs all of them, counts what they say of themselves.

mod end_to_end;
mod steps;
mod tally;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;

use crate::tools::{self, Tool, Tools};
use crate::{assets, process};
pub(crate) use end_to_end::on_kafka;
pub(crate) use steps::counted;
use steps::{STEPS, Step};
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

/// Steps that mostly wait, for a broker or a browser: they run beside each other.
const BESIDE: [&str; 3] = ["client", "e2e", "browser"];

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
    let rows = std::thread::scope(|scope| -> anyhow::Result<Vec<Row>> {
        let wanted = |steps: &[&Step]| {
            let mut wanted: Vec<_> = steps.iter().flat_map(|step| step.tools).copied().collect();
            wanted.sort_unstable();
            wanted.dedup();
            wanted
        };
        // What builds is ensured first. Beside the first steps what only runs is fetched, and then the browser's modules are
        // made, which keeps one core busy for long at its end.
        let (builders, others): (Vec<Tool>, Vec<Tool>) = wanted(steps).into_iter().partition(|tool| tool.builds());
        let mut tools = tools::ensure(&builders)?;
        let mut beside = (!others.is_empty()).then(|| {
            scope.spawn(move || -> anyhow::Result<Tools> {
                let tools = tools::ensure(&others)?;
                if builders.contains(&Tool::Wasm) {
                    assets::build()?;
                }
                Ok(tools)
            })
        });
        let mut rows = Vec::new();
        for group in steps.chunk_by(|one, next| BESIDE.contains(&one.name) && BESIDE.contains(&next.name)) {
            let needed = wanted(group).iter().any(|tool| !tool.builds());
            // What is missing on this machine is said soon.
            if let Some(beside) = beside.take_if(|beside| needed || beside.is_finished()) {
                let panicked = |_| anyhow::anyhow!("what went on beside the first steps panicked");
                tools.extend(beside.join().map_err(panicked)??);
            }
            match group {
                [step] => rows.push(run_step(step, &tools)),
                _ => rows.extend(run_beside(group)),
            }
        }
        Ok(rows)
    })?;
    println!();
    let mut total = Tally::default();
    for row in &rows {
        println!("{}", row.line);
        total += row.tally;
    }
    println!("all of it took {}", seconds(began.elapsed()));
    println!("{total}");
    Ok(total.failed == 0)
}

/// What a step came to.
struct Row {
    tally: Tally,
    /// All of it in a line of the table.
    line: String,
}

impl Row {
    fn new(step: &Step, tally: Tally, took: Duration, work: Duration) -> Self {
        let failed = if tally.failed > 0 { "   <- failed" } else { "" };
        let (took, work) = (seconds(took), seconds(work));
        let line = format!(
            "{:10} {:5} passed {:3} failed {took:>9}, {work:>9} of CPU{failed}",
            step.name, tally.passed, tally.failed
        );
        Self { tally, line }
    }

    /// What a process that ran this step said at its end.
    fn told(step: &Step, output: &str) -> Option<Self> {
        let tally = output.lines().last()?.parse().ok()?;
        let line = output.lines().rev().find(|line| line.split(' ').next() == Some(step.name))?;
        Some(Self { tally, line: line.to_owned() })
    }
}

fn run_step(step: &Step, tools: &Tools) -> Row {
    println!("\n-- {}: {}", step.name, step.about);
    let (began, before) = (Instant::now(), process::work_of_children());
    let tally = (step.run)(tools).unwrap_or_else(|error| {
        println!("error: {error:#}");
        Tally::FAILED
    });
    let row = Row::new(step, tally, began.elapsed(), process::work_of_children().saturating_sub(before));
    println!("-- {}", row.line);
    row
}

/// Runs steps that mostly wait at the same time, each in a process of its own; shows what each said when it is done.
/// What they share is built before.
fn run_beside(steps: &[&Step]) -> Vec<Row> {
    let run = |step: &Step| -> anyhow::Result<Row> {
        let mut command = Command::new(std::env::current_exe()?);
        let (_, output) = process::collect(command.args(["test", "--only", step.name]))?;
        println!("{output}");
        Row::told(step, &output).with_context(|| format!("{} ended without a word", step.name))
    };
    let failed = |step: &Step, error: &anyhow::Error| {
        println!("error: {error:#}");
        Row::new(step, Tally::FAILED, Duration::ZERO, Duration::ZERO)
    };
    let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
    println!("\n-- {}: beside each other, each shown when it is done", names.join(", "));
    if let Err(error) = assets::tarball().and_then(|()| end_to_end::build()) {
        return steps.iter().map(|step| failed(step, &error)).collect();
    }
    std::thread::scope(|scope| {
        let running: Vec<_> = steps.iter().map(|step| scope.spawn(|| run(step))).collect();
        let panicked = || Err(anyhow::anyhow!("what ran the step panicked"));
        let ended = running.into_iter().map(|running| running.join().unwrap_or_else(|_| panicked()));
        steps.iter().zip(ended).map(|(step, row)| row.unwrap_or_else(|error| failed(step, &error))).collect()
    })
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_step_came_to_is_understood_from_another_process() {
        let step = STEPS.iter().find(|step| step.name == "e2e").expect("a step");
        let tally = Tally { passed: 107, failed: 1 };
        let row = Row::new(step, tally, Duration::from_millis(98_040), Duration::from_secs(87));
        assert_eq!(row.line, "e2e          107 passed   1 failed    98.0 s,    87.0 s of CPU   <- failed");
        let output = format!("-- {0}\n\n{0}\nall of it took 98.1 s\n{tally}\n", row.line);
        let told = Row::told(step, &output).expect("it is told");
        assert_eq!((told.tally, told.line), (tally, row.line));
        assert!(Row::told(step, "error: missing on this machine\n").is_none());
    }

    #[test]
    fn steps_that_run_beside_each_other_follow_each_other() {
        let at = BESIDE.map(|name| STEPS.iter().position(|step| step.name == name));
        assert_eq!(at, [at[0], at[0].map(|at| at + 1), at[0].map(|at| at + 2)]);
        assert!(at[0].is_some());
    }
}
