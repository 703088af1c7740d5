//! End to end: the shipped bridge as a process, a real Kafka that all programs of a run share, and real Chromium.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::{Tally, counted, steps};
use crate::bench::kafka::Kafka;
use crate::tools::{Tool, Tools};
use crate::{assets, process, workspace};

/// What the machine must have for all but the browser.
pub(super) const TOOLS: &[Tool] = &[Tool::Compiler, Tool::Wasm, Tool::Kafka, Tool::Kcat, Tool::Python];

/// Tests that run at the same time: they mostly wait, and each keeps the cores busy for seconds only.
const SIDE_BY_SIDE: usize = 4;

/// Tests in which time itself is the subject: begun first, they end with the others.
const LONGEST: &[&str] = &["limits", "kafka", "resume", "revoke"];

/// Tests that take all of a machine, and would take it from others.
const ALONE: &[&str] = &["hostile_clients", "storms"];

/// The test of pages in Chromium.
const BROWSER: &str = "browser";

/// Builds what the tests run against, and the tests.
pub(super) fn build() -> anyhow::Result<()> {
    let mut tests = tests(true)?;
    tests.push(BROWSER.to_owned());
    assets::build()?;
    executables(&tests).map(|_| ())
}

/// All that can run side by side.
pub(super) fn together(tools: &Tools) -> anyhow::Result<Tally> {
    let mut tests = tests(true)?;
    tests.retain(|test| !ALONE.contains(&&**test));
    tests.sort_by_key(|test| LONGEST.iter().position(|long| long == test).unwrap_or(LONGEST.len()));
    let programs = programs(tools, &tests)?;
    // One broker for all of them: to start one for each would be most of the work.
    let kafka = Kafka::start();
    let given = |mut program: Command| {
        program.env("TIDEGATE_KAFKA", kafka.bootstrap());
        program
    };
    side_by_side(programs.into_iter().map(given).collect(), SIDE_BY_SIDE)
}

/// Each of those that want the machine for themselves.
pub(super) fn alone(tools: &Tools) -> anyhow::Result<Tally> {
    let tests: Vec<_> = ALONE.iter().map(ToString::to_string).collect();
    side_by_side(programs(tools, &tests)?, 1)
}

/// Pages in Chromium. What the tests within say is shown as they say it, and counted.
pub(super) fn in_chromium(tools: &Tools) -> anyhow::Result<Tally> {
    let directory = "tests/e2e";
    assets::node_modules(directory, steps::node(tools, "npm", directory))?;
    let mut tally = Tally::default();
    for mut program in programs(tools, &[BROWSER.to_owned()])? {
        tally += counted(&mut program)?;
    }
    Ok(tally)
}

/// Runs one of them, with these variables.
pub(crate) fn on_kafka(test: &str, variables: &[(&str, &str)]) -> anyhow::Result<Tally> {
    let tools = crate::tools::ensure(TOOLS)?;
    let mut tally = Tally::default();
    for mut program in programs(&tools, &[test.to_owned()])? {
        tally += counted(program.envs(variables.iter().copied()))?;
    }
    Ok(tally)
}

/// The integration tests that need what this file is about, or those that don't.
pub(super) fn tests(end_to_end: bool) -> anyhow::Result<Vec<String>> {
    let mut chosen = Vec::new();
    for package in workspace::packages()? {
        let needs_kafka = |test: &String| package.directory == "tests" || test.starts_with("kafka");
        let tests = package.tests.iter().filter(|test| needs_kafka(test) == end_to_end && *test != BROWSER);
        chosen.extend(tests.cloned());
    }
    Ok(chosen)
}

/// The arguments by which cargo is asked for tests.
pub(super) fn arguments(tests: &[String]) -> Vec<String> {
    tests.iter().flat_map(|test| ["--test".to_owned(), test.clone()]).collect()
}

/// Builds these tests and what they run against: the programs, in this order, told where everything is.
fn programs(tools: &Tools, tests: &[String]) -> anyhow::Result<Vec<Command>> {
    let assets = assets::build()?;
    let built = executables(tests)?;
    let find = |kind: &str, name: &str| {
        let is_it = |it: &&Value| it["target"]["kind"] == json!([kind]) && it["target"]["name"] == *name;
        let artifact = built.iter().find(is_it).with_context(|| format!("cargo did not say where {name} is"))?;
        let path = |member: &str| PathBuf::from(artifact[member].as_str().unwrap_or_default());
        anyhow::Ok((path("executable"), path("manifest_path")))
    };
    let (bridge, _) = find("bin", "tidegate")?;
    let program = |test: &String| {
        let (executable, manifest) = find("test", test)?;
        let mut command = Command::new(executable);
        tools.apply(&mut command);
        // Where cargo would run it.
        command.current_dir(manifest.with_file_name(""));
        command.env("TIDEGATE_BIN", &bridge).env("TIDEGATE_ASSETS", &assets);
        Ok(command)
    };
    tests.iter().map(program).collect()
}

/// Builds these tests and the bridge, and nothing twice: with tests cargo unifies what they need, and the bridge alone
/// would stand on other features than it does beside them. What cargo says of each executable.
fn executables(tests: &[String]) -> anyhow::Result<Vec<Value>> {
    let mut cargo = process::cargo();
    cargo.args(["build", "--locked", "--message-format", "json-render-diagnostics", "--bin", "tidegate"]);
    let output = cargo.args(arguments(tests)).stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the bridge and its tests could not be built");
    let text = String::from_utf8_lossy(&output.stdout);
    let said = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(said.filter(|artifact| artifact["executable"].is_string()).collect())
}

/// Runs test runners, some at a time; shows what each said when it is done.
fn side_by_side(commands: Vec<Command>, at_a_time: usize) -> anyhow::Result<Tally> {
    let waiting = Mutex::new(commands.into_iter());
    let take = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> anyhow::Result<Tally> {
        let mut tally = Tally::default();
        while let Some(mut command) = take() {
            let (status, output) = process::collect(&mut command)?;
            println!("$ {}\n{output}", process::shown(&command));
            tally += Tally::of(&output, status.success());
        }
        Ok(tally)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..at_a_time).map(|_| scope.spawn(work)).collect();
        let mut tally = Tally::default();
        for worker in workers {
            tally += worker.join().map_err(|_| anyhow::anyhow!("a test's runner panicked"))??;
        }
        Ok(tally)
    })
}
