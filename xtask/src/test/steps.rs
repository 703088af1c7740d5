//! The steps, quick ones first.
//!
//! Natively cargo is always asked for the workspace or its default members, and only the kinds of targets differ: what
//! a single package needs would unify other features, and build the heavy dependencies once more. The two sets have the
//! same features, for what only the workspace has depends on little else.

use std::process::Command;
use std::time::Duration;

use super::{Tally, end_to_end};
use crate::process;
use crate::tools::{Tool, Tools, find};
use crate::{assets, fuzz, guard, tidy};

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
        tools: end_to_end::TOOLS,
        run: end_to_end::together,
    },
    Step {
        name: "browser",
        about: "the bridge with real Kafka and real Chromium",
        quick: false,
        tools: &[Tool::Compiler, Tool::Wasm, Tool::Kafka, Tool::Node, Tool::Chromium, Tool::Kcat, Tool::Python],
        run: end_to_end::in_chromium,
    },
    Step {
        name: "storms",
        about: "the bridge under attack, with the machine to itself",
        quick: false,
        tools: end_to_end::TOOLS,
        run: end_to_end::alone,
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
    let mut tally = check(clippy().args(["--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    // Each as its module is built: they want the client with different features. What the compiler itself runs is then
    // built already when the modules are.
    let modules: [&[&str]; 2] = [&["tidegate-dashboard"], &["tidegate-client", "--features", "bus"]];
    for module in modules {
        let target = ["--target", "wasm32-unknown-unknown", "--profile", "wasm", "--package"];
        tally += check(clippy().args(target).args(module).args(["--", "-D", "warnings"]))?;
    }
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
    // Fuzz targets have a `main` of their own, and no tests.
    let targets = ["--workspace", "--exclude", "tidegate-fuzz", "--lib", "--bins"].map(String::from);
    cargo_test(tools, &[targets.to_vec(), end_to_end::arguments(&end_to_end::tests(false)?)].concat())
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
pub(super) fn node(tools: &Tools, program: &str, directory: &str) -> Command {
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
