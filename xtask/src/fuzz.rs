//! Fuzzing: builds the targets of `fuzz/` with coverage, and lets each run for a while from the examples that the
//! tree has.
//!
//! What `cargo fuzz` does, on the toolchain that the tree pins: the layout is its layout, and it works too.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::process;
use crate::test::Tally;

/// A fuzz target.
struct Target {
    /// Its name, and that of its file in `fuzz/fuzz_targets`.
    name: &'static str,
    /// Longest input, in bytes: what is longer is slower and finds no more.
    longest: u32,
    /// The vectors of the protocol whose texts it begins with.
    vectors: &'static [&'static str],
}

/// Every parser that reads what comes from outside.
const TARGETS: &[Target] = &[
    Target { name: "client_frame", longest: 4096, vectors: &["client-frames", "bad-client-frames", "reports"] },
    Target { name: "server_frame", longest: 4096, vectors: &["server-frames", "bad-server-frames", "batches"] },
    Target { name: "envelope", longest: 4096, vectors: &["envelopes", "stamping"] },
    Target { name: "json", longest: 2048, vectors: &["envelopes", "client-frames", "bad-client-frames"] },
    Target { name: "token", longest: 2048, vectors: &[] },
    Target { name: "cursor", longest: 512, vectors: &["cursors"] },
    Target { name: "report", longest: 2048, vectors: &["reports"] },
    Target { name: "record", longest: 4096, vectors: &["envelopes"] },
    Target { name: "event_stream", longest: 512, vectors: &[] },
    Target { name: "condition", longest: 2200, vectors: &[] },
];

/// Where corpora and findings are kept from one run to the next.
const KEPT: &str = "target/fuzz";

/// The names of all targets.
pub(crate) fn names() -> Vec<&'static str> {
    TARGETS.iter().map(|target| target.name).collect()
}

/// Runs the targets, as many at a time as there are cores; all if none is named. One passed or failed for each.
pub(crate) fn run(long: Duration, only: &[String]) -> anyhow::Result<Tally> {
    build()?;
    let chosen = TARGETS.iter().filter(|target| only.is_empty() || only.iter().any(|name| name == target.name));
    let waiting = Mutex::new(chosen);
    let take = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut tally = Tally::default();
        while let Some(target) = take() {
            tally += target.run(long).unwrap_or_else(|error| {
                println!("{:14} {error:#}", target.name);
                Tally::FAILED
            });
        }
        tally
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let mut tally = Tally::default();
        for worker in workers {
            tally += worker.join().map_err(|_| anyhow::anyhow!("what runs a fuzz target panicked"))?;
        }
        Ok(tally)
    })
}

/// Only the workspace's own crates are built with coverage, by way of a wrapper around the compiler: what they depend
/// on is shared with every other build, because cargo is asked for the workspace (see `test::steps`).
fn build() -> anyhow::Result<()> {
    let wrapper = std::env::current_dir()?.join("fuzz/with-coverage");
    let mut cargo = process::cargo();
    cargo.env("RUSTC_WORKSPACE_WRAPPER", wrapper).args(["build", "--locked", "--workspace"]);
    process::run(cargo.args(TARGETS.iter().flat_map(|target| ["--bin", target.name])))
}

impl Target {
    fn run(&self, long: Duration) -> anyhow::Result<Tally> {
        let seeds = self.seeds()?;
        let corpus = Path::new(KEPT).join("corpus").join(self.name);
        std::fs::create_dir_all(&corpus)?;
        let committed = Path::new("fuzz/seeds").join(self.name);
        let dictionary = Path::new("fuzz/dictionaries").join(self.name);
        let findings = PathBuf::from(KEPT).join(format!("{}-", self.name));

        let mut command = Command::new(Path::new("target/debug").join(self.name));
        command.arg(corpus).arg(seeds);
        if committed.is_dir() {
            command.arg(committed);
        }
        if dictionary.is_file() {
            command.arg(format!("-dict={}", dictionary.display()));
        }
        command.arg(format!("-max_total_time={}", long.as_secs().max(1)));
        command.arg(format!("-max_len={}", self.longest));
        command.arg(format!("-artifact_prefix={}", findings.display()));
        // A single input that takes long is a finding too: by the clock on the wall, on a machine that may do much else.
        command.args(["-timeout=30", "-rss_limit_mb=1024", "-print_final_stats=1", "-use_value_profile=1"]);
        let (status, output) = process::collect(&mut command)?;
        if !status.success() {
            let from = output.lines().count().saturating_sub(60);
            let last: Vec<_> = output.lines().skip(from).collect();
            println!("{:14} FOUND SOMETHING\n{}", self.name, last.join("\n"));
            println!("to see it again: target/debug/{} FILE, then put FILE into fuzz/seeds/{0}", self.name);
            return Ok(Tally::FAILED);
        }
        let stat = |name: &str| {
            let line = output.lines().rev().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name));
            line.map_or("?", |line| line.trim_start_matches(':').trim())
        };
        let covered = output.lines().rev().find_map(|line| line.split_once("cov: ")?.1.split(' ').next());
        println!(
            "{:14} nothing found in {} s: {} executions, {} a second, {} places reached, {} MiB at most",
            self.name,
            long.as_secs(),
            stat("number_of_executed_units"),
            stat("average_exec_per_sec"),
            covered.unwrap_or("?"),
            stat("peak_rss_mb"),
        );
        Ok(Tally::PASSED)
    }

    /// Writes the texts of the protocol's vectors into a directory.
    fn seeds(&self) -> anyhow::Result<PathBuf> {
        let directory = Path::new(KEPT).join("seeds").join(self.name);
        std::fs::create_dir_all(&directory)?;
        for file in self.vectors {
            let path = format!("protocol/vectors/{file}.json");
            let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
            let vectors: Value = serde_json::from_str(&text).with_context(|| path.clone())?;
            let cases = vectors["cases"].as_array().with_context(|| format!("{path} has no cases"))?;
            for (n, case) in cases.iter().enumerate() {
                let bytes = match (case["text"].as_str(), case["hex"].as_str()) {
                    (Some(text), _) => text.as_bytes().to_vec(),
                    (None, Some(hex)) => bytes(hex),
                    (None, None) => continue,
                };
                std::fs::write(directory.join(format!("{file}-{n}")), bytes)?;
            }
        }
        Ok(directory)
    }
}

/// The bytes that hexadecimal digits stand for.
fn bytes(hex: &str) -> Vec<u8> {
    let pairs = (0..hex.len()).step_by(2).filter_map(|at| hex.get(at..at + 2));
    pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}
