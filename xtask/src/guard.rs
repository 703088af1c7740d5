//! The regression guard: how many instructions the hot paths take, counted by callgrind, against what is written down.
//! Counts don't wander with what else the machine does, as times do.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde_json::Value;

use crate::process;
use crate::test::Tally;
use crate::tools::{self, Tool};

/// What is written down: instructions for each time that a path is gone.
const KNOWN: &str = "bridge/benches/hot_paths.json";

/// By how much a path may become dearer, and how much cheaper before that should be written down.
const ALLOWED: f64 = 0.05;

/// What to do with the counts.
#[derive(Args)]
pub(crate) struct Options {
    /// Writes down what is counted now, for others to be held against.
    #[arg(long)]
    accept: bool,
}

/// Counts and compares. Whether no path has become dearer.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    tools::ensure(&[Tool::Compiler, Tool::Valgrind])?;
    let counted = count()?;
    if options.accept {
        fs::write(KNOWN, format!("{}\n", serde_json::to_string_pretty(&counted)?))?;
        println!("{KNOWN} is written");
        return Ok(true);
    }
    Ok(compare(&counted)?.failed == 0)
}

/// One passed or failed for each path.
pub(crate) fn check() -> anyhow::Result<Tally> {
    compare(&count()?)
}

fn compare(counted: &BTreeMap<String, u64>) -> anyhow::Result<Tally> {
    let text = fs::read_to_string(KNOWN).context(KNOWN)?;
    let known: BTreeMap<String, u64> = serde_json::from_str(&text).context(KNOWN)?;
    let mut tally = Tally::default();
    for (path, &now) in counted {
        let Some(&before) = known.get(path) else {
            println!("{path:18} {now:>8} instructions; nothing is written down: run `cargo xtask guard --accept`");
            tally += Tally::FAILED;
            continue;
        };
        let change = now as f64 / before as f64 - 1.0;
        let verdict = match change {
            dearer if dearer > ALLOWED => "DEARER",
            cheaper if cheaper < -ALLOWED => "cheaper: `cargo xtask guard --accept` writes it down",
            _ => "as before",
        };
        println!("{path:18} {now:>8} instructions, {before} before: {:+.1} %, {verdict}", change * 100.0);
        tally += if change > ALLOWED { Tally::FAILED } else { Tally::PASSED };
    }
    Ok(tally)
}

fn count() -> anyhow::Result<BTreeMap<String, u64>> {
    let program = build()?;
    let paths = process::output(&program, &[]).context("the paths could not be run by themselves")?;
    let waiting = Mutex::new(paths.lines().filter_map(|line| line.split_once(' ')));
    let take = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> anyhow::Result<Vec<(String, u64)>> {
        let mut counted = Vec::new();
        while let Some((path, times)) = take() {
            let times: u64 = times.parse().with_context(|| format!("{path} says {times:?}"))?;
            counted.push((path.to_owned(), instructions(&program, path)? / times.max(1)));
        }
        Ok(counted)
    };
    // Instructions are the same, whatever else runs.
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let mut all = BTreeMap::new();
        for worker in workers {
            all.extend(worker.join().map_err(|_| anyhow::anyhow!("what counts instructions panicked"))??);
        }
        Ok(all)
    })
}

fn instructions(program: &PathBuf, path: &str) -> anyhow::Result<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*hot_paths::counted*"]);
    let output = command.arg(program).arg(path).output().context("valgrind could not be started")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind ended with {}: {said}", output.status);
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    let Some(count) = collected.and_then(|(_, count)| count.trim().parse().ok()) else {
        bail!("valgrind did not say how much it counted: {said}")
    };
    Ok(count)
}

/// Builds the paths: our own crates optimized, on the dependencies that tests have built already.
fn build() -> anyhow::Result<PathBuf> {
    let mut command = process::cargo();
    command.args(["bench", "--locked", "--profile", "dev", "--bench", "hot_paths", "--no-run"]);
    command.args(["--message-format", "json-render-diagnostics"]).env("CARGO_PROFILE_DEV_OPT_LEVEL", "3");
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the hot paths could not be built");
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut built = messages.filter(|message| message["target"]["name"] == "hot_paths");
    let program = built.find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.context("cargo did not say where the hot paths are")
}
