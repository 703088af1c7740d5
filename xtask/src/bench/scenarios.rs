//! What is measured.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::backlog;
use super::bridge::{self, PLAIN, Server, Setup, Tokens};
use super::browser;
use super::growth;
use super::kafka::Kafka;
use super::paced;
use super::summary::Summary;
use super::target::Bound::AtMost;
use super::target::Hold::{EachRun, Median};
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
        name: "growth",
        about: "more sessions, more topics, more sessions that want something else",
        tools: &[Tool::Compiler, Tool::Kafka],
        run: growth::growth,
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

    /// Seconds of a steady pace before it is measured.
    pub(super) fn warm(&self) -> f64 {
        if self.quick { 1.0 } else { 2.0 }
    }

    /// Seconds that a steady pace is measured for.
    pub(super) fn window(&self) -> f64 {
        if self.quick { 3.0 } else { 6.0 }
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
    let window = bench.window().to_string();
    let mut over = Vec::new();
    for round in 1..=bench.rounds(1, 5) {
        let mut p99 = [0.0; 2];
        for (at, (system, storm)) in [("calm", "1"), ("storm", "50")].into_iter().enumerate() {
            let server = bench.bridge(PLAIN)?;
            let mut arguments = vec!["fair".to_owned()];
            arguments.extend(server.arguments());
            let what = ["--topic", "desks", "--tenants", "20", "--sessions", "10", "--rate", "40", "--storm", storm];
            arguments.extend(what.map(str::to_owned));
            arguments.extend(["--window".to_owned(), window.clone()]);
            let measured = load(&arguments)?;
            p99[at] = measured["p99_ms"].as_f64().unwrap_or(f64::NAN);
            summary.take(round, "fairness", system, &measured);
        }
        let [calm, storm] = p99;
        over.push(storm - (1.5 * calm).max(calm + 5.0));
    }
    let what = "p99_ms of the others, beyond max(1.5 × calm, calm + 5)";
    summary.target("fairness", what, over, Median, AtMost(0.0));
    Ok(())
}

fn storm(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    const SESSIONS: usize = 10_000;
    let plain = Setup { tokens: Tokens::KeyPair, ..PLAIN };
    let tls = Setup { tls: true, ..plain };
    for round in 1..=bench.rounds(1, 3) {
        for (system, setup, resume) in [("tidegate", plain, false), ("tls", tls, false), ("tls_resumed", tls, true)] {
            // What TLS adds is reported, not judged.
            let sessions = if bench.quick && setup.tls { SESSIONS / 5 } else { SESSIONS };
            let server = bench.bridge(setup)?;
            let mut arguments = vec!["storm".to_owned()];
            arguments.extend(server.arguments());
            arguments.extend(["--sessions".into(), sessions.to_string()]);
            arguments.extend(resume.then(|| "--resume".to_owned()));
            let measured = load(&arguments)?;
            summary.take(round, "storm", system, &measured);
        }
    }
    summary.expect("storm", "cpu_s", "tidegate", EachRun, AtMost(5.0));
    Ok(())
}

fn idle(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    // Quickly: no time for heartbeats at the pace of every day, so more of them.
    let (connections, settle, heartbeat) = if bench.quick { (3000, 5, 2) } else { (15_000, 60, 25) };
    for round in 1..=bench.rounds(1, 3) {
        // What TLS adds is reported, not judged.
        let systems = [("tidegate", false), ("tls", true)];
        for (system, tls) in systems.into_iter().take(if bench.quick { 1 } else { 2 }) {
            let server = bench.bridge(Setup { tls, heartbeat, ..PLAIN })?;
            let mut arguments = vec!["idle".to_owned()];
            arguments.extend(server.arguments());
            arguments.extend(["--connections".into(), connections.to_string(), "--settle".into(), settle.to_string()]);
            let measured = load(&arguments)?;
            summary.take(round, "idle", system, &measured);
        }
    }
    summary.expect("idle", "bytes_per_connection", "tidegate", EachRun, AtMost(6.0 * 1024.0));
    let each = summary.runs("idle", "cpu_us_per_heartbeat", "tidegate");
    let core = each.iter().map(|us| us / 1e6 * 10_000.0 / f64::from(PLAIN.heartbeat)).collect();
    let what = "part of a core for the heartbeats of 10,000 connections";
    summary.target("idle", what, core, EachRun, AtMost(0.01));
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
        summary.expect("client_size", "brotli_bytes", system, EachRun, AtMost(kibibytes * 1024.0));
    }
    Ok(())
}
