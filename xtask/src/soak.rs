//! `cargo xtask soak`: what is too slow for every change and finds what is too rare for it.

use clap::Args;

use crate::{process, test};

/// How long.
#[derive(Args)]
pub(crate) struct Options {
    /// Cases of each property test.
    #[arg(long, default_value_t = 50_000)]
    cases: u32,
    /// Rounds of the end-to-end tests.
    #[arg(long, default_value_t = 10)]
    rounds: u32,
}

/// Property tests first, then round after round end to end; the first failure ends it. Whether all passed.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let mut properties = process::cargo();
    properties.env("PROPTEST_CASES", options.cases.to_string());
    process::run(properties.args(["test", "--locked", "--lib", "--bins"]))?;
    for round in 1..=options.rounds {
        println!("\n== round {round} of {}", options.rounds);
        if !test::run_named(&["e2e", "browser"])? {
            return Ok(false);
        }
    }
    Ok(true)
}
