//! `cargo xtask`: the project's own commands. `cargo xtask help` lists them.

mod assets;
mod bench;
mod checksum;
mod dev;
mod fuzz;
mod guard;
mod package;
mod process;
mod soak;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = false)]
enum Task {
    /// Builds everything and starts a bridge with demo topics, tenants, pages and dashboard.
    Dev(dev::Options),
    /// Sets up what the tests need, then runs all of them.
    Test(test::Options),
    /// Builds what a bridge serves to browsers into target/assets.
    Assets,
    /// Builds the npm package into target/npm.
    Package,
    /// Measures the bridge beside what it is compared with: CPU, latency, memory, size.
    Bench(bench::Options),
    /// Counts the instructions of the hot paths, and compares them with what is written down.
    Guard(guard::Options),
    /// Checks the rules of this tree that compilers don't: import walls, file heads, documents.
    Tidy,
    /// Runs what is too slow for every change: fuzz targets, property tests with many more cases, and more.
    Soak(soak::Options),
}

fn main() -> ExitCode {
    let root = root();
    // Everything below, and every command it runs, works with paths from the workspace's root.
    let result = std::env::set_current_dir(&root).map_err(anyhow::Error::from).and_then(|()| match Task::parse() {
        Task::Dev(options) => dev::run(&options).map(|()| true),
        // Says itself what failed: its last line is the count.
        Task::Test(options) => test::run(&options),
        Task::Assets => {
            tools::ensure(&[tools::Tool::Wasm])?;
            assets::build().map(|_| true)
        }
        Task::Package => {
            tools::ensure(&[tools::Tool::Wasm, tools::Tool::Node])?;
            package::package(&root).map(|()| true)
        }
        // Says itself what is not reached.
        Task::Bench(options) => bench::run(&options),
        // Says itself what became dearer.
        Task::Guard(options) => guard::run(&options),
        Task::Tidy => tidy::run().map(|()| true),
        // Says itself what failed.
        Task::Soak(options) => Ok(soak::run(&options)),
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or_else(|| here.to_path_buf(), Path::to_path_buf)
}
