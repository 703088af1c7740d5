//! What is measured.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde_json::Value;

use super::backlog;
use super::bridge::{self, PLAIN, Server, Setup, Tokens};
use super::browser;
use super::kafka::Kafka;
use super::paced;
use super::summary::Summary;
use super::{LOADER, load};
use crate::package;
use crate::process;
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
        run: paced::fanout_paced,
    },
    Scenario {
        name: "fanout_live",
        about: "2,000 events/s offered to 1,000 sessions that all want them",
        tools: &[Tool::Compiler, Tool::Kafka],
        run: paced::fanout_live,
    },
    Scenario {
        name: "fanout_backlog",
        about: "a backlog for 1,000 sessions that all want it",
        tools: &[Tool::Compiler, Tool::Kafka],
        run: backlog::fanout_backlog,
    },
    Scenario {
        name: "shards",
        about: "a backlog for 1,000 sessions: two shards on two cores, and one",
        tools: &[Tool::Compiler, Tool::Kafka],
        run: backlog::shards,
    },
    Scenario {
        name: "tls",
        about: "a backlog for 1,000 sessions over TLS, and over none",
        tools: &[Tool::Compiler, Tool::Kafka],
        run: backlog::tls,
    },
    Scenario {
        name: "tenants_paced",
        about: "1,000 tenants with a session each, 5,000 events/s in all",
        tools: &[Tool::Compiler, Tool::Kafka],
        run: paced::tenants_paced,
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
        name: "storm",
        about: "10,000 sessions come back, each with an ES256 token of its own",
        tools: &[Tool::Compiler, Tool::Kafka],
        run: storm,
    },
    Scenario {
        name: "idle",
        about: "subscribed sessions with nothing to do",
        tools: &[Tool::Compiler, Tool::Kafka],
        run: idle,
    },
    Scenario {
        name: "browser",
        about: "a backlog for one tab of Chromium, and what a page does with the same events by itself",
        tools: &[Tool::Compiler, Tool::Wasm, Tool::Kafka, Tool::Node, Tool::Chromium],
        run: browser::browser,
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
    pub(super) fn bridge(&mut self, setup: Setup) -> anyhow::Result<Server> {
        let (kafka, directory) = self.kafka()?;
        Server::bridge(kafka, directory, setup)
    }

    pub(super) fn kafka(&mut self) -> anyhow::Result<(&Kafka, &Path)> {
        if self.kafka.is_none() {
            let kafka = Kafka::start();
            bridge::make_topics(&kafka)?;
            let directory = tempfile::tempdir()?;
            process::run(Command::new(LOADER).args(["keys", "--directory"]).arg(directory.path()))?;
            self.kafka = Some((kafka, directory));
        }
        let (kafka, directory) = self.kafka.as_ref().context("started above")?;
        Ok((kafka, directory.path()))
    }
}

fn fairness(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    for round in 1..=bench.rounds(3, 5) {
        let mut p99 = [0.0; 2];
        for (at, (system, storm)) in [("calm", "1"), ("storm", "50")].into_iter().enumerate() {
            let server = bench.bridge(PLAIN)?;
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

fn storm(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    let sessions = if bench.quick { 2000 } else { 10_000 };
    let plain = Setup { tokens: Tokens::KeyPair, ..PLAIN };
    let tls = Setup { tls: true, ..plain };
    for round in 1..=bench.rounds(1, 3) {
        for (system, setup, resume) in [("tidegate", plain, false), ("tls", tls, false), ("tls_resumed", tls, true)] {
            let server = bench.bridge(setup)?;
            let mut arguments = vec!["storm".to_owned()];
            arguments.extend(server.arguments());
            arguments.extend(["--sessions".into(), sessions.to_string()]);
            arguments.extend(resume.then(|| "--resume".to_owned()));
            let measured = load(&arguments)?;
            take(summary, round, "storm", system, &measured);
        }
    }
    summary.at_most("storm", "cpu_us_per_connect", "tidegate", 500.0);
    Ok(())
}

fn idle(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    let (connections, settle) = if bench.quick { (3000, 5) } else { (15_000, 60) };
    for round in 1..=bench.rounds(1, 3) {
        for (system, setup) in [("tidegate", PLAIN), ("tls", Setup { tls: true, ..PLAIN })] {
            let server = bench.bridge(setup)?;
            let mut arguments = vec!["idle".to_owned()];
            arguments.extend(server.arguments());
            arguments.extend(["--connections".into(), connections.to_string(), "--settle".into(), settle.to_string()]);
            let measured = load(&arguments)?;
            take(summary, round, "idle", system, &measured);
        }
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
    let size = package::size(&out)?;
    for (system, bytes, kibibytes) in [("entry", size.entry, 24.0), ("all", size.all, 40.0)] {
        summary.add("client_size", "brotli_bytes", system, bytes as f64);
        summary.at_most("client_size", "brotli_bytes", system, kibibytes * 1024.0);
    }
    Ok(())
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
