//! Everybody comes back at once, each with a token of their own: CPU of the server until all are subscribed.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use tidegate_gate::{Algorithm, Signer};

use crate::connection::Connection;
use crate::process;
use crate::server::{Server, Who};

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    server: Server,
    #[arg(long)]
    sessions: usize,
}

#[derive(Args)]
pub(crate) struct KeyOptions {
    /// Where `private.pem` and `public.pem` are written.
    #[arg(long)]
    directory: PathBuf,
}

/// Makes a key pair that signs and verifies tokens.
pub(crate) fn keys(options: &KeyOptions) -> anyhow::Result<()> {
    let (signer, private) = Signer::generate(Algorithm::Es256)?;
    let public = signer.public_pem().context("a key pair has a public key")?;
    std::fs::write(options.directory.join("private.pem"), private)?;
    Ok(std::fs::write(options.directory.join("public.pem"), public)?)
}

/// Runs it and prints what was measured.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let &Options { ref server, sessions } = options;
    let who = |subject| Who { tenant: 0, subject, role: "clerk" };
    let tokens = (0..sessions).map(|subject| server.token(who(subject))).collect::<anyhow::Result<Vec<_>>>()?;
    let (before, began) = (process::cpu_us(server.pid)?, Instant::now());
    let back = |(subject, token): (usize, &String)| Connection::open(server.address, token, subject, &server.topic);
    let opened = tokens.iter().enumerate().map(back).collect::<anyhow::Result<Vec<_>>>()?;
    let spent = process::cpu_us(server.pid)? - before;
    let measured = json!({
        "cpu_s": spent as f64 / 1e6,
        "cpu_us_per_connect": spent as f64 / opened.len() as f64,
        "seconds": began.elapsed().as_secs_f64(),
    });
    println!("{measured}");
    Ok(())
}
