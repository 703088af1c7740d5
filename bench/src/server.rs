//! The server under load, and the sessions that are opened on it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use tidegate_gate::{Algorithm, ClaimMapping, Signer, TokenRequest};

use crate::connection::{self, Connection};
use crate::event;
use crate::wire::Trust;

/// Where it is and how to get in.
#[derive(Args, Clone)]
pub(crate) struct Server {
    /// Where it listens.
    #[arg(long)]
    pub(crate) address: SocketAddr,
    /// Its process.
    #[arg(long)]
    pub(crate) pid: u32,
    /// The secret that signs tokens.
    #[arg(long, default_value = "")]
    pub(crate) secret: String,
    /// Instead of a secret, the private key (ES256, PEM) that signs them.
    #[arg(long)]
    pub(crate) key: Option<PathBuf>,
    /// Speak TLS, and trust what this certificate (PEM) has signed.
    #[arg(long = "ca", value_name = "FILE", value_parser = Trust::read)]
    pub(crate) trust: Option<Trust>,
    #[command(flatten)]
    pub(crate) topics: Topics,
}

#[derive(Args)]
pub(crate) struct ReadyOptions {
    /// Where a bridge will listen.
    #[arg(long)]
    address: SocketAddr,
    /// Speak TLS, and trust what this certificate (PEM) has signed.
    #[arg(long = "ca", value_name = "FILE", value_parser = Trust::read)]
    trust: Option<Trust>,
}

/// How long a bridge may take to be ready.
const READY: Duration = Duration::from_secs(20);

/// Waits until a bridge takes sessions: it listens before it knows what was revoked.
pub(crate) fn await_ready(options: &ReadyOptions) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY;
    while !connection::is_ready(options.address, options.trust.as_ref()).unwrap_or(false) {
        ensure!(Instant::now() < deadline, "the bridge did not become ready on {}", options.address);
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Where the events are.
#[derive(Args, Clone)]
pub(crate) struct Topics {
    /// Their topic, by both its names; of many topics, the beginning of their names.
    #[arg(long, default_value = "orders")]
    topic: String,
    /// How many topics: sessions and events have them in turn.
    #[arg(long, default_value_t = 1)]
    pub(crate) topics: usize,
}

impl Topics {
    /// The topic of the session or event of this number.
    pub(crate) fn of(&self, number: usize) -> String {
        if self.topics == 1 { self.topic.clone() } else { format!("{}.{}", self.topic, number % self.topics) }
    }

    /// Each of them once.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        (0..self.topics).map(|number| self.of(number))
    }
}

/// Whose a session is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who<'a> {
    /// The number of its tenant.
    pub(crate) tenant: usize,
    /// The number of its subject, and of its client.
    pub(crate) subject: usize,
    /// Its one role.
    pub(crate) role: &'a str,
}

impl Server {
    /// Opens a session and subscribes.
    pub(crate) fn open(&self, who: Who<'_>) -> anyhow::Result<Connection> {
        Connection::open(
            self.address,
            self.trust.as_ref(),
            &self.token(who)?,
            who.subject,
            &self.topics.of(who.subject),
        )
    }

    /// Signs a token.
    pub(crate) fn token(&self, who: Who<'_>) -> anyhow::Result<String> {
        let request = TokenRequest {
            tenant: event::tenant(who.tenant),
            subject: event::user(who.subject),
            roles: vec![who.role.to_owned()],
            issued_at: event::epoch_ms().cast_signed(),
            lifetime_s: 3600,
            issuer: None,
            audience: None,
            claims: serde_json::Map::default(),
        };
        let signer = match &self.key {
            Some(file) => Signer::from_pem(Algorithm::Es256, &std::fs::read(file)?)?,
            None => Signer::hs256(self.secret.as_bytes()),
        };
        Ok(signer.token(&request, &ClaimMapping::default())?)
    }

    /// Stops the process where it stands, so that what comes meanwhile is a backlog, or lets it go on.
    pub(crate) fn freeze(&self, still: bool) -> anyhow::Result<()> {
        let signal = if still { "-STOP" } else { "-CONT" };
        let status = Command::new("kill").args([signal, &self.pid.to_string()]).status()?;
        ensure!(status.success(), "kill {signal} {}: {status}", self.pid);
        Ok(())
    }
}
