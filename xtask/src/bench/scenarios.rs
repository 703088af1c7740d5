//! What is measured.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use super::backlog;
use super::bridge::{self, Server};
use super::kafka::Kafka;
use super::load;
use super::summary::Summary;
use crate::package;
use crate::tools::Tool;

/// One scenario.
pub(super) struct Scenario {
    /// Its name, on the command line and in the summary.
    pub(super) name: &'static str,
    /// What it does, in a few words.
    pub(super) about: &'static str,
    /// What the machine must have for it.
    pub(super) tools: &'static [Tool],
    /// Does it.
    pub(super) run: fn(&mut Bench, &mut Summary) -> anyhow::Result<()>,
}

/// Everything that is measured.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "fanout_paced",
        about: "150 events/s to 1,000 sessions that all want them",
        tools: &[Tool::Compiler, Tool::Kafka],
        run: fanout_paced,
    },
    Scenario {
        name: "tenants_backlog",
        about: "1,000 tenants with a session each, and a backlog of all of them",
        tools: &[Tool::Compiler, Tool::Kafka],
        run: backlog::tenants_backlog,
    },
    Scenario {
        name: "rules",
        about: "ten conditions among the sessions of one tenant; a row rule for each session",
        tools: &[Tool::Compiler, Tool::Kafka],
        run: backlog::rules,
    },
    Scenario {
        name: "fairness",
        about: "20 tenants at a calm pace, one of which storms at 50 times it",
        tools: &[Tool::Compiler, Tool::Kafka],
        run: fairness,
    },
    Scenario {
        name: "idle",
        about: "subscribed sessions with nothing to do",
        tools: &[Tool::Compiler, Tool::Kafka],
        run: idle,
    },
    Scenario {
        name: "client_size",
        about: "what a page loads of the npm package, brotli 11",
        tools: &[Tool::Wasm],
        run: client_size,
    },
];

/// What the scenarios share.
pub(super) struct Bench {
    quick: bool,
    rounds: Option<u32>,
    kafka: Option<(Kafka, tempfile::TempDir)>,
}

impl Bench {
    pub(super) fn new(quick: bool, rounds: Option<u32>) -> Self {
        Self { quick, rounds, kafka: None }
    }

    pub(super) fn is_quick(&self) -> bool {
        self.quick
    }

    pub(super) fn rounds(&self, quick: u32, full: u32) -> u32 {
        self.rounds.unwrap_or(if self.quick { quick } else { full })
    }

    /// A bridge of its own before the one Kafka.
    pub(super) fn bridge(&mut self) -> anyhow::Result<Server> {
        let (kafka, directory) = self.kafka()?;
        Server::bridge(kafka, directory)
    }

    pub(super) fn kafka(&mut self) -> anyhow::Result<(&Kafka, &Path)> {
        if self.kafka.is_none() {
            let kafka = Kafka::start();
            bridge::make_topics(&kafka)?;
            self.kafka = Some((kafka, tempfile::tempdir()?));
        }
        let (kafka, directory) = self.kafka.as_ref().context("started above")?;
        Ok((kafka, directory.path()))
    }
}

fn fanout_paced(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    const SESSIONS: usize = 1000;
    const RATE: f64 = 150.0;
    let paced = |server: &Server, more: &[&str]| {
        let mut arguments = vec!["paced".to_owned()];
        arguments.extend(server.arguments());
        arguments.extend(["--sessions".into(), SESSIONS.to_string(), "--rate".into(), RATE.to_string()]);
        arguments.extend(more.iter().map(|&word| word.to_owned()));
        let measured = load(&arguments)?;
        check_pace(&measured, SESSIONS as f64 * RATE);
        anyhow::Ok(measured)
    };
    // One after the other, again and again: what the machine does meanwhile befalls both.
    for round in 1..=bench.rounds(5, 9) {
        let bare = paced(&Server::write_loop(SESSIONS, RATE)?, &[])?;
        take(summary, round, "fanout_paced", "write_loop", &bare);
        let server = bench.bridge()?;
        let bootstrap = bench.kafka()?.0.bootstrap();
        let tidegate = paced(&server, &["--bootstrap", &bootstrap])?;
        take(summary, round, "fanout_paced", "tidegate", &tidegate);
    }
    summary.ratio("fanout_paced", "cpu_us_per_delivery", "tidegate", "write_loop", 1.15);
    Ok(())
}

fn fairness(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    for round in 1..=bench.rounds(3, 5) {
        let mut p99 = [0.0; 2];
        for (at, (system, storm)) in [("calm", "1"), ("storm", "50")].into_iter().enumerate() {
            let server = bench.bridge()?;
            let mut arguments = vec!["fair".to_owned()];
            arguments.extend(server.arguments());
            let what = ["--topic", "desks", "--tenants", "20", "--sessions", "10", "--rate", "40", "--storm", storm];
            arguments.extend(what.map(str::to_owned));
            let measured = load(&arguments)?;
            p99[at] = measured["p99_ms"].as_f64().unwrap_or(f64::NAN);
            take(summary, round, "fairness", system, &measured);
        }
        let [calm, storm] = p99;
        summary.add("fairness", "p99_over_bound_ms", "tidegate", storm - (1.5 * calm).max(calm + 5.0));
    }
    summary.at_most("fairness", "p99_over_bound_ms", "tidegate", 0.0);
    Ok(())
}

fn idle(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    let (connections, settle) = if bench.quick { (3000, 5) } else { (15_000, 60) };
    for round in 1..=bench.rounds(3, 3) {
        let server = bench.bridge()?;
        let mut arguments = vec!["idle".to_owned()];
        arguments.extend(server.arguments());
        arguments.extend(["--connections".into(), connections.to_string(), "--settle".into(), settle.to_string()]);
        let measured = load(&arguments)?;
        take(summary, round, "idle", "tidegate", &measured);
    }
    summary.at_most("idle", "bytes_per_connection", "tidegate", 6.0 * 1024.0);
    Ok(())
}

fn client_size(_: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    let root = std::env::current_dir()?;
    let out = root.join("target/bench/client");
    if out.is_dir() {
        std::fs::remove_dir_all(&out)?;
    }
    std::fs::create_dir_all(&out)?;
    package::files(&root, &out)?;
    summary.add("client_size", "brotli_bytes", "tidegate", package::size(&out)? as f64);
    summary.at_most("client_size", "brotli_bytes", "tidegate", 24.0 * 1024.0);
    Ok(())
}

/// Says when a machine that had other work could not keep the pace: then a run tells of the machine.
fn check_pace(measured: &Value, offered: f64) {
    let kept = measured["deliveries_per_s"].as_f64().unwrap_or(0.0) / offered;
    if !(0.97..1.03).contains(&kept) {
        println!("   the pace was not kept ({:.0} % of it): is the machine busy with something else?", kept * 100.0);
    }
}

/// Notes all that one run measured.
pub(super) fn take(summary: &mut Summary, round: u32, scenario: &str, system: &str, measured: &Value) {
    println!("round {round} {system:>10}: {measured}");
    for (measure, value) in measured.as_object().into_iter().flatten() {
        if let Some(value) = value.as_f64() {
            summary.add(scenario, measure, system, value);
        }
    }
}
