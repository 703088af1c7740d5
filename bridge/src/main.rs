//! `tidegate`: the bridge and its tools.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match tidegate::cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidegate: {error:#}");
            ExitCode::FAILURE
        }
    }
}
