//! `cargo xtask soak`: what is too slow for every change and finds what is too rare for it.
//!
//! One row of [`SOAKS`] for each; all of them run, even if one fails, and each says what it found.

use std::time::{Duration, Instant};

use clap::Args;

use crate::test::{self, Tally};
use crate::{fuzz, process};

/// Which, and how long.
#[derive(Args)]
pub(crate) struct Options {
    /// Only these.
    #[arg(long, value_name = "NAME", value_parser = names())]
    only: Vec<String>,
    /// Minutes of each fuzz target.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Only these fuzz targets.
    #[arg(long, value_name = "TARGET", value_parser = fuzz::names())]
    target: Vec<String>,
    /// Cases of each property test.
    #[arg(long, default_value_t = 50_000)]
    cases: u32,
    /// Rounds of the end-to-end tests.
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// Cases of the proof of entitlement, in process; on Kafka, one for every five hundred of these.
    #[arg(long, default_value_t = 100_000)]
    entitlement: u32,
}

/// Something that is run for long.
struct Soak {
    /// Its name on the command line.
    name: &'static str,
    /// What it does, in a few words.
    about: &'static str,
    /// Does it.
    run: fn(&Options) -> anyhow::Result<Tally>,
}

/// Everything that is run for long.
const SOAKS: &[Soak] = &[
    Soak { name: "fuzz", about: "every parser of what comes from outside, by its fuzz target", run: fuzzing },
    Soak { name: "properties", about: "every property test with many more cases", run: properties },
    Soak { name: "storms", about: "volume as a weapon, against a release build", run: storms },
    Soak {
        name: "entitlement",
        about: "every session gets exactly its own: in process, and on Kafka",
        run: entitlement,
    },
    Soak { name: "rounds", about: "the end-to-end tests again and again", run: rounds },
];

fn names() -> Vec<&'static str> {
    SOAKS.iter().map(|soak| soak.name).collect()
}

/// Runs what was asked for, and ends with what each came to. Whether all passed.
pub(crate) fn run(options: &Options) -> bool {
    let chosen =
        SOAKS.iter().filter(|soak| options.only.is_empty() || options.only.iter().any(|name| name == soak.name));
    let mut report = Vec::new();
    for soak in chosen {
        println!("\n== {}: {}", soak.name, soak.about);
        let began = Instant::now();
        let tally = (soak.run)(options).unwrap_or_else(|error| {
            println!("error: {error:#}");
            Tally::FAILED
        });
        report.push((soak.name, tally, began.elapsed()));
    }
    println!();
    let mut total = Tally::default();
    for (name, tally, took) in report {
        let failed = if tally.failed > 0 { "   <- failed" } else { "" };
        println!("{name:12} {:5} passed {:3} failed {:>9}{failed}", tally.passed, tally.failed, shown(took));
        total += tally;
    }
    println!("{total}");
    total.failed == 0
}

fn fuzzing(options: &Options) -> anyhow::Result<Tally> {
    fuzz::run(Duration::from_mins(options.minutes), &options.target)
}

fn properties(options: &Options) -> anyhow::Result<Tally> {
    let mut command = process::cargo();
    command.env("PROPTEST_CASES", options.cases.to_string());
    test::counted(command.args(["test", "--locked", "--no-fail-fast", "--lib", "--bins"]))
}

/// As long as it takes to send the session beside each storm so many events, 200 a second.
fn storms(_: &Options) -> anyhow::Result<Tally> {
    process::run(process::cargo().args(["build", "--locked", "--release", "--bin", "tidegate"]))?;
    let binary = std::env::current_dir()?.join("target/release/tidegate");
    let mut command = process::cargo();
    command.env("TIDEGATE_BIN", binary).env("TIDEGATE_STORM_EVENTS", "4000");
    test::counted(command.args(["test", "--locked", "--test", "storms", "--", "--nocapture"]))
}

fn entitlement(options: &Options) -> anyhow::Result<Tally> {
    let mut in_process = process::cargo();
    in_process.env("TIDEGATE_CASES", options.entitlement.to_string());
    // Optimized where the work is; what they stand on is already.
    for package in ["tidegate", "tidegate-gate", "tidegate-log", "tidegate-protocol"] {
        in_process.args(["--config", &format!("profile.dev.package.{package}.opt-level=2")]);
    }
    let mut tally = test::counted(in_process.args(["test", "--locked", "--test", "entitled"]))?;
    let cases = (options.entitlement / 500).max(1);
    tally += test::on_kafka("entitlement", &[("TIDEGATE_KAFKA_CASES", &cases.to_string())])?;
    Ok(tally)
}

fn rounds(options: &Options) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    for round in 1..=options.rounds {
        println!("\n== round {round} of {}", options.rounds);
        tally += if test::run_named(&["e2e", "browser", "storms"])? { Tally::PASSED } else { Tally::FAILED };
    }
    Ok(tally)
}

fn shown(took: Duration) -> String {
    format!("{}:{:02} min", took.as_secs() / 60, took.as_secs() % 60)
}
