//! The steps, quick ones first.
//!
//! Cargo is always asked for the same set of packages (the workspace's default members) and only the kinds of
//! targets differ: another set would unify other features, and build the heavy dependencies once more.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Tally;
use crate::process;
use crate::tools::{Tool, Tools, find};
use crate::{assets, fuzz, guard, tidy, workspace};

/// One step of the run.
pub(super) struct Step {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// What it does, in a few words.
    pub(super) about: &'static str,
    /// Whether it belongs to `--quick`.
    pub(super) quick: bool,
    /// What the machine must have for it.
    pub(super) tools: &'static [Tool],
    /// Does it.
    pub(super) run: fn(&Tools) -> anyhow::Result<Tally>,
}

/// Everything that is tested.
pub(super) const STEPS: &[Step] = &[
    Step { name: "fmt", about: "every Rust file is formatted", quick: true, tools: &[], run: fmt },
    Step { name: "tidy", about: "the tree keeps its own rules", quick: true, tools: &[], run: tidiness },
    Step { name: "deny", about: "licences, bans and sources of dependencies", quick: false, tools: &[], run: deny },
    Step {
        name: "clippy",
        about: "no warnings, natively and for the browser",
        quick: false,
        tools: &[Tool::Compiler, Tool::Wasm],
        run: clippy,
    },
    Step { name: "unit", about: "every crate by itself", quick: true, tools: &[Tool::Compiler], run: unit },
    Step {
        name: "doc",
        about: "examples in the documentation",
        quick: false,
        tools: &[Tool::Compiler],
        run: |tools| cargo_test(tools, &["--doc".into()]),
    },
    Step {
        name: "dashboard",
        about: "the dashboard's own logic, natively",
        quick: false,
        tools: &[Tool::Compiler],
        // Asked for alone: Leptos is not built for those who only touch the bridge.
        run: |tools| cargo_test(tools, &["--package".into(), "tidegate-dashboard".into()]),
    },
    Step {
        name: "rustdoc",
        about: "the documentation builds without warnings",
        quick: false,
        tools: &[Tool::Compiler],
        run: rustdoc,
    },
    Step { name: "fuzz", about: "every fuzz target for a while", quick: false, tools: &[Tool::Compiler], run: fuzzing },
    Step {
        name: "guard",
        about: "instructions of the hot paths (where every change is judged: CI, or --only guard)",
        quick: false,
        tools: &[Tool::Compiler, Tool::Valgrind],
        run: |_| guard::check(),
    },
    Step {
        name: "client",
        about: "the packed npm package in Chromium: a plain page, a bundler, its types",
        quick: false,
        tools: &[Tool::Compiler, Tool::Wasm, Tool::Node, Tool::Chromium],
        run: client,
    },
    Step {
        name: "e2e",
        about: "the bridge with real Kafka",
        quick: false,
        tools: &[Tool::Compiler, Tool::Wasm, Tool::Kafka, Tool::Kcat, Tool::Python],
        run: e2e,
    },
    Step {
        name: "browser",
        about: "the bridge with real Kafka and real Chromium",
        quick: false,
        tools: &[Tool::Compiler, Tool::Wasm, Tool::Kafka, Tool::Node, Tool::Chromium, Tool::Kcat, Tool::Python],
        run: browser,
    },
];

/// The names of all steps.
pub(super) fn names() -> Vec<&'static str> {
    STEPS.iter().map(|step| step.name).collect()
}

fn fmt(_: &Tools) -> anyhow::Result<Tally> {
    check(process::cargo().args(["fmt", "--all", "--check"]))
}

fn tidiness(_: &Tools) -> anyhow::Result<Tally> {
    tidy::run().map(|()| Tally::PASSED)
}

fn deny(_: &Tools) -> anyhow::Result<Tally> {
    if find("cargo-deny").is_none() {
        println!("skipped: cargo-deny is not installed (`cargo install --locked cargo-deny`)");
        return Ok(Tally::default());
    }
    // Advisories need a database from outside the package registries: they are asked for by hand.
    check(process::cargo().args(["deny", "--all-features", "check", "licenses", "bans", "sources"]))
}

fn clippy(_: &Tools) -> anyhow::Result<Tally> {
    let clippy = || {
        let mut command = process::cargo();
        command.args(["clippy", "--locked"]);
        command
    };
    let mut tally = check(clippy().args(["--all-targets", "--", "-D", "warnings"]))?;
    // Both in one call: the browser's crates share their dependencies.
    let packages = ["-p", "tidegate-dashboard", "-p", "tidegate-client"];
    let target = ["--target", "wasm32-unknown-unknown"];
    tally += check(clippy().args(packages).args(target).args([
        "--features",
        "tidegate-client/bus",
        "--",
        "-D",
        "warnings",
    ]))?;
    tally += check(clippy().args(["--package", "tidegate-fuzz", "--", "-D", "warnings"]))?;
    Ok(tally)
}

fn rustdoc(_: &Tools) -> anyhow::Result<Tally> {
    let mut command = process::cargo();
    command.args(["doc", "--locked", "--no-deps", "--document-private-items"]);
    check(command.env("RUSTDOCFLAGS", "-D warnings --allow rustdoc::private_intra_doc_links"))
}

/// A minute each where every change is judged, and seconds where somebody waits: `cargo xtask soak` does it for long.
fn fuzzing(_: &Tools) -> anyhow::Result<Tally> {
    let judged = super::is_judged();
    fuzz::run(Duration::from_secs(if judged { 60 } else { 5 }), &[])
}

fn client(tools: &Tools) -> anyhow::Result<Tally> {
    assets::tarball()?;
    let directory = "wasm-client/npm/test";
    let mut tally = npm_test(tools, directory)?;
    tally += check(node(tools, "npm", directory).args(["run", "--silent", "types"]))?;
    Ok(tally)
}

fn unit(tools: &Tools) -> anyhow::Result<Tally> {
    cargo_test(tools, &[vec!["--lib".into(), "--bins".into()], integration_tests(false)?].concat())
}

fn e2e(tools: &Tools) -> anyhow::Result<Tally> {
    let environment = build()?;
    let tests = integration_tests(true)?;
    process::run(process::cargo().args(["test", "--locked", "--no-run"]).args(&tests))?;
    let runner = |test: &[String]| {
        let mut command = process::cargo();
        tools.apply(&mut command);
        command.envs(environment.clone()).args(["test", "--locked", "--no-fail-fast"]).args(test);
        command
    };
    let (alone, together): (Vec<_>, Vec<_>) = tests.chunks(2).partition(|test| ALONE.contains(&&*test[1]));
    // They mostly wait, each for a Kafka of its own: side by side they take a third of the time.
    let mut tally = side_by_side(together.into_iter().map(runner).collect(), E2E_SIDE_BY_SIDE)?;
    tally += side_by_side(alone.into_iter().map(runner).collect(), 1)?;
    Ok(tally)
}

/// End-to-end tests that take all of a machine, and would take it from others.
const ALONE: &[&str] = &["hostile_clients", "storms"];

/// Runs one end-to-end test, with these variables.
pub(crate) fn on_kafka(test: &str, variables: &[(&str, &str)]) -> anyhow::Result<Tally> {
    let tools = crate::tools::ensure(&[Tool::Compiler, Tool::Wasm, Tool::Kafka, Tool::Kcat, Tool::Python])?;
    let mut command = process::cargo();
    tools.apply(&mut command);
    command.envs(build()?).envs(variables.iter().copied());
    counted(command.args(["test", "--locked", "-p", "tidegate-tests", "--test", test]))
}

/// End-to-end tests that run at the same time: each keeps two cores busy for seconds only.
const E2E_SIDE_BY_SIDE: usize = 3;

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

/// The end-to-end test that is a step by itself.
const BROWSER: &str = "browser";

/// Arguments that choose the integration tests that need Kafka, or those that don't.
fn integration_tests(with_kafka: bool) -> anyhow::Result<Vec<String>> {
    let mut arguments = Vec::new();
    for package in workspace::packages()? {
        let needs_kafka = |test: &String| package.directory == "tests" || test.starts_with("kafka");
        let chosen = package.tests.iter().filter(|test| needs_kafka(test) == with_kafka && *test != BROWSER);
        arguments.extend(chosen.flat_map(|test| ["--test".into(), test.clone()]));
    }
    Ok(arguments)
}

fn browser(tools: &Tools) -> anyhow::Result<Tally> {
    let directory = "tests/e2e";
    assets::node_modules(directory, node(tools, "npm", directory))?;
    let mut command = process::cargo();
    tools.apply(&mut command);
    // What the tests within it say is shown as they say it, and counted.
    counted(command.envs(build()?).args(["test", "--locked", "--test", BROWSER]))
}

/// Builds what end-to-end tests run against; the variables that tell them where it is.
fn build() -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    Ok(vec![("TIDEGATE_BIN", assets::bridge()?), ("TIDEGATE_ASSETS", assets::build()?)])
}

/// `npm ci` and `node --test` in a directory.
fn npm_test(tools: &Tools, directory: &str) -> anyhow::Result<Tally> {
    assets::node_modules(directory, node(tools, "npm", directory))?;
    let mut tests: Vec<_> = std::fs::read_dir(directory)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".test.mjs") || name.ends_with(".test.js"))
        .collect();
    tests.sort_unstable();
    let mut command = node(tools, "node", directory);
    command.args(["--test", "--test-concurrency=1", "--test-reporter=spec"]).args(tests);
    counted(&mut command)
}

/// A program of Node.js's, in a directory.
fn node(tools: &Tools, program: &str, directory: &str) -> Command {
    let mut command = Command::new(program);
    tools.apply(&mut command);
    command.current_dir(directory).env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
    command
}

fn cargo_test(tools: &Tools, targets: &[String]) -> anyhow::Result<Tally> {
    let mut command = process::cargo();
    tools.apply(&mut command);
    counted(command.args(["test", "--locked", "--no-fail-fast"]).args(targets))
}

/// A command that either succeeds or fails: one check.
fn check(command: &mut Command) -> anyhow::Result<Tally> {
    process::run(command).map(|()| Tally::PASSED)
}

/// A test runner, whose own counts are taken.
pub(crate) fn counted(command: &mut Command) -> anyhow::Result<Tally> {
    println!("$ {}", process::shown(command));
    let (status, output) = process::watch(command)?;
    Ok(Tally::of(&output, status.success()))
}
