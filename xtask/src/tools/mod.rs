//! What the build and the tests need of the machine: found, installed where that can be done, else named in one line.

mod apt;
mod chromium;
mod kafka;
mod node;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use crate::process;

/// Something that a build or a test needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tool {
    /// A C compiler, make and perl: librdkafka, SQLite and OpenSSL are built from source.
    Compiler,
    /// The standard library for `wasm32-unknown-unknown`.
    Wasm,
    /// Java, and the jars of Apache Kafka fetched with Maven.
    Kafka,
    /// Node.js with npm.
    Node,
    /// A Chromium.
    Chromium,
    /// `kcat`.
    Kcat,
    /// `valgrind`.
    Valgrind,
    /// `python3`, able to make virtual environments.
    Python,
}

impl Tool {
    /// Whether something is built with it; the others only run.
    pub(crate) fn builds(self) -> bool {
        matches!(self, Self::Compiler | Self::Wasm)
    }
}

/// Where the tools were found, as the environment of the programs that use them.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    path: Vec<PathBuf>,
    variables: Vec<(&'static str, PathBuf)>,
}

impl Tools {
    /// Adds where others were found.
    pub(crate) fn extend(&mut self, others: Self) {
        self.path.extend(others.path);
        self.variables.extend(others.variables);
    }

    /// Lets a command find the tools.
    pub(crate) fn apply(&self, command: &mut Command) {
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let path = self.path.iter().cloned().chain(std::env::split_paths(&inherited));
        command.env("PATH", std::env::join_paths(path).unwrap_or(inherited));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
    }
}

/// Finds or installs all of them.
pub(crate) fn ensure(wanted: &[Tool]) -> anyhow::Result<Tools> {
    let packages: Vec<_> = wanted.iter().flat_map(|&tool| apt::missing(tool)).collect();
    apt::install(&packages)?;
    let mut tools = Tools::default();
    for tool in wanted {
        match tool {
            Tool::Wasm => wasm_target()?,
            Tool::Kafka => tools.variables.push(("TIDEGATE_KAFKA_LIBS", kafka::jars()?)),
            Tool::Node => tools.path.extend(node::ensure()?),
            Tool::Chromium => tools.variables.push(("CHROMIUM", chromium::ensure(&tools)?)),
            Tool::Compiler | Tool::Kcat | Tool::Python | Tool::Valgrind => {}
        }
    }
    Ok(tools)
}

/// Where `PATH` has a program.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// The directory of what was fetched for this tree alone.
fn fetched() -> &'static Path {
    Path::new("target/tools")
}

fn wasm_target() -> anyhow::Result<()> {
    const TARGET: &str = "wasm32-unknown-unknown";
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let installed = || {
        process::output(&rustc, &["--print", "target-libdir", "--target", TARGET])
            .is_some_and(|directory| Path::new(directory.trim()).is_dir())
    };
    if !installed() && find("rustup").is_some() {
        process::run(Command::new("rustup").args(["target", "add", TARGET]))?;
    }
    if !installed() {
        bail!("the Rust target {TARGET} is missing: run `rustup target add {TARGET}`");
    }
    Ok(())
}
