//! Everybody comes back at once, each with a token of their own: CPU of the server until all are subscribed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use serde_json::json;
use tidegate_gate::{Algorithm, Signer};

use crate::connection::Connection;
use crate::process;
use crate::server::{Server, Who};
use crate::wire::Trust;

/// How long the server has to see that those who are to come back have gone.
const REST: Duration = Duration::from_secs(2);

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    server: Server,
    #[arg(long)]
    sessions: usize,
    /// They were there before, and come back with what TLS gave them then.
    #[arg(long, requires = "trust")]
    resume: bool,
}

#[derive(Args)]
pub(crate) struct KeyOptions {
    /// Where `private.pem`, `public.pem`, `certificate.pem` and `certificate_key.pem` are written.
    #[arg(long)]
    directory: PathBuf,
}

/// Makes a key pair that signs and verifies tokens, and a certificate of this machine with its key.
pub(crate) fn keys(options: &KeyOptions) -> anyhow::Result<()> {
    let (signer, private) = Signer::generate(Algorithm::Es256)?;
    let public = signer.public_pem().context("a key pair has a public key")?;
    let certificate = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let files = [
        ("private.pem", private),
        ("public.pem", public.to_owned()),
        ("certificate.pem", certificate.cert.pem()),
        ("certificate_key.pem", certificate.signing_key.serialize_pem()),
    ];
    files.into_iter().try_for_each(|(name, text)| Ok(std::fs::write(options.directory.join(name), text)?))
}

/// Runs it and prints what was measured.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let &Options { ref server, sessions, resume } = options;
    let who = |subject| Who { tenant: 0, subject, role: "clerk" };
    let tokens = (0..sessions).map(|subject| server.token(who(subject))).collect::<anyhow::Result<Vec<_>>>()?;
    let remembered = |trust: &Trust| if resume { trust.returning() } else { trust.clone() };
    let trusts: Vec<Option<Trust>> = (0..sessions).map(|_| server.trust.as_ref().map(remembered)).collect();
    let open = |subject: usize| {
        Connection::open(
            server.address,
            trusts[subject].as_ref(),
            &tokens[subject],
            subject,
            &server.topics.of(subject),
        )
    };
    if resume {
        drop((0..sessions).map(open).collect::<anyhow::Result<Vec<_>>>()?);
        std::thread::sleep(REST);
    }
    let (before, began) = (process::cpu_us(server.pid)?, Instant::now());
    let opened = (0..sessions).map(open).collect::<anyhow::Result<Vec<_>>>()?;
    let spent = process::cpu_us(server.pid)? - before;
    let measured = json!({
        "cpu_s": spent as f64 / 1e6,
        "cpu_us_per_connect": spent as f64 / opened.len() as f64,
        "seconds": began.elapsed().as_secs_f64(),
    });
    println!("{measured}");
    Ok(())
}
