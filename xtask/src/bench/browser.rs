//! One tab of Chromium: a backlog comes through the bridge to a listener, as fast as it can, and the same events are
//! parsed and dispatched by a plain page. The page is in `bench/browser/`.

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::bridge::{PLAIN, Server};
use super::scenarios::Bench;
use super::summary::Summary;
use super::target::Bound::{AtLeast, AtMost};
use super::target::Hold::EachRun;
use super::{LOAD_CORE, LOADER, SERVER_CORE};
use crate::assets;
use crate::tools::{self, Tool};

const NAME: &str = "browser";

/// Events a second that reach a listener by centrifuge-js, on a machine like the one this was first measured on.
const CENTRIFUGE: f64 = 55_000.0;

pub(super) fn browser(bench: &mut Bench, summary: &mut Summary) -> anyhow::Result<()> {
    let rounds = bench.rounds(3, 5);
    let (kafka, directory) = bench.kafka()?;
    // A directory of its own: other bridges serve no files.
    let directory = directory.join(NAME);
    let served = directory.join("assets");
    std::fs::create_dir_all(&served)?;
    symlink(assets::client()?, served.join("client"))?;
    symlink(std::path::absolute("bench/browser/page")?, served.join("bench"))?;
    let server = Server::bridge(kafka, &directory, PLAIN)?;

    let mut measure = Command::new("taskset");
    tools::ensure(&[Tool::Node, Tool::Chromium])?.apply(&mut measure);
    // A browser is one program of several busy threads: it is not kept off the bridge's core.
    measure.args(["--cpu-list", &format!("{SERVER_CORE},{LOAD_CORE}"), "node", "bench/browser/measure.js"]);
    measure.args(server.arguments()).args(["--bootstrap", &kafka.bootstrap(), "--produce", LOADER]);
    let output = measure.args(["--rounds", &rounds.to_string()]).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the page's driver ended with {}", output.status);

    let measured: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    for (round, systems) in measured.as_array().context("a list of rounds")?.iter().enumerate() {
        for (system, measured) in systems.as_object().into_iter().flatten() {
            summary.take(round as u32 + 1, NAME, system, measured);
        }
    }
    // At least half of what the page could do by itself.
    summary.ratio(NAME, "events_per_s", ["tidegate", "page"], EachRun, AtLeast(0.5));
    summary.expect(NAME, "events_per_s", "tidegate", EachRun, AtLeast(4.0 * CENTRIFUGE));
    summary.expect(NAME, "longest_task_ms", "tidegate", EachRun, AtMost(50.0));
    Ok(())
}
