//! Events at a steady pace to many sessions that all want them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use mio::{Events, Interest, Poll, Token};
use serde_json::json;

use crate::connection::{Connection, Received};
use crate::event::Pace;
use crate::process;
use crate::report::WITHIN;
use crate::source::Source;

/// Credit of a session, as the bridge has it unless configured.
const CREDIT: usize = 256 * 1024;

/// How long nothing may come before all that was sent counts as lost.
const QUIET: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    server: Server,
    /// Sessions.
    #[arg(long)]
    sessions: usize,
    /// Events a second.
    #[arg(long)]
    rate: f64,
    /// Seconds before the measurement.
    #[arg(long, default_value_t = 2.0)]
    warm: f64,
    /// Seconds of the measurement.
    #[arg(long, default_value_t = 6.0)]
    window: f64,
    /// Kafka, for a bridge that reads from it; left out: the bare loop, which makes its own events.
    #[arg(long)]
    bootstrap: Option<String>,
}

/// The server under load.
#[derive(Args)]
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
    /// The topic of the events, by both its names.
    #[arg(long, default_value = "orders")]
    pub(crate) topic: String,
}

impl Server {
    /// Opens the session of one subject.
    pub(crate) fn open(&self, subject: usize) -> anyhow::Result<Connection> {
        use tidegate_gate::{ClaimMapping, Signer, TokenRequest};
        let request = TokenRequest {
            tenant: crate::event::TENANT.to_owned(),
            subject: format!("user-{subject}"),
            roles: vec!["clerk".to_owned()],
            issued_at: (crate::event::now_ns() / 1_000_000).cast_signed(),
            lifetime_s: 3600,
            issuer: None,
            audience: None,
            claims: serde_json::Map::default(),
        };
        let token = Signer::hs256(self.secret.as_bytes()).token(&request, &ClaimMapping::default())?;
        Connection::open(self.address, &token, subject, &self.topic)
    }
}

/// Sessions, and where what they receive is counted.
pub(crate) struct Load {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    /// Who must report when, in order.
    due: VecDeque<(Instant, usize)>,
    buffer: Vec<u8>,
    pub(crate) received: Received,
}

impl Load {
    pub(crate) fn new(connections: Vec<Connection>) -> anyhow::Result<Self> {
        let mut load = Self {
            poll: Poll::new()?,
            // Few at once, so that the next event is sent in time.
            events: Events::with_capacity(128),
            connections,
            due: VecDeque::new(),
            buffer: vec![0; 256 * 1024],
            received: Received::new()?,
        };
        for (at, connection) in load.connections.iter_mut().enumerate() {
            load.poll.registry().register(&mut connection.socket, Token(at), Interest::READABLE)?;
        }
        Ok(load)
    }

    /// Waits at most so long for something to read, reads it, and reports what is due.
    pub(crate) fn turn(&mut self, wait: Duration) -> anyhow::Result<()> {
        let now = Instant::now();
        while let Some(&(at, connection)) = self.due.front().filter(|(at, _)| *at <= now) {
            self.due.pop_front();
            let connection = &mut self.connections[connection];
            // One that reported at half its credit meanwhile has an entry for its next report.
            if connection.unreported.is_due(now.max(at), CREDIT) {
                connection.report()?;
            }
        }
        let wait = self.due.front().map_or(wait, |(at, _)| wait.min(at.saturating_duration_since(now)));
        self.poll.poll(&mut self.events, Some(wait))?;
        for event in &self.events {
            let at = event.token().0;
            let connection = &mut self.connections[at];
            if connection.read(&mut self.buffer, &mut self.received)? {
                self.due.push_back((now + WITHIN, at));
            }
            if connection.unreported.is_due(now, CREDIT) {
                connection.report()?;
            }
            ensure!(!connection.closed, "the server closed a session");
        }
        Ok(())
    }
}

/// Where the readings of a window began or ended.
struct Mark {
    at: Instant,
    entries: u64,
    frames: u64,
    pings: u64,
    server_us: u64,
    own_us: u64,
}

impl Mark {
    fn now(server: u32, received: &Received) -> anyhow::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            entries: received.entries,
            frames: received.frames,
            pings: received.pings,
            server_us: process::cpu_us(server)?,
            own_us: process::cpu_us(std::process::id())?,
        })
    }
}

/// Runs it and prints what was measured.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let server = &options.server;
    let open = |subject| match options.bootstrap {
        Some(_) => server.open(subject),
        None => Connection::bare(server.address),
    };
    let connections = (0..options.sessions).map(open).collect::<anyhow::Result<Vec<_>>>()?;
    let mut load = Load::new(connections)?;
    let mut source = options.bootstrap.as_ref().map(|kafka| Source::new(kafka, &server.topic)).transpose()?;
    let (warm, window) = (Duration::from_secs_f64(options.warm), Duration::from_secs_f64(options.window));
    let began = Instant::now();
    let mut pace = Pace::new(options.rate);
    let mut turn = |load: &mut Load, until: Instant| -> anyhow::Result<()> {
        while let Some(source) = &mut source
            && pace.take()
        {
            source.send()?;
        }
        let left = until.saturating_duration_since(Instant::now());
        load.turn(if source.is_some() { left.min(pace.wait()) } else { left })
    };
    while Instant::now() < began + warm {
        turn(&mut load, began + warm)?;
    }
    load.received.measuring = true;
    let first = Mark::now(server.pid, &load.received)?;
    while Instant::now() < first.at + window {
        turn(&mut load, first.at + window)?;
    }
    let last = Mark::now(server.pid, &load.received)?;
    load.received.measuring = false;

    if let Some(source) = &source {
        source.finish()?;
        let sent = pace.sent() * options.sessions as u64;
        let mut moved = (Instant::now(), load.received.entries);
        while load.received.entries < sent && moved.0.elapsed() < QUIET {
            load.turn(Duration::from_millis(100))?;
            if load.received.entries > moved.1 {
                moved = (Instant::now(), load.received.entries);
            }
        }
        let received = load.received.entries;
        ensure!(received == sent, "{sent} deliveries were expected and {received} came");
    }
    print(&first, &last, &load.received).context("nothing was measured")
}

fn print(first: &Mark, last: &Mark, received: &Received) -> anyhow::Result<()> {
    let seconds = last.at.duration_since(first.at).as_secs_f64();
    let (entries, frames) = (last.entries - first.entries, last.frames - first.frames);
    ensure!(entries > 0, "no deliveries in the window");
    let ms = |quantile| received.latency.value_at_quantile(quantile) as f64 / 1e6;
    let measured = json!({
        "cpu_us_per_delivery": (last.server_us - first.server_us) as f64 / entries as f64,
        "cpu_us_per_frame": (last.server_us - first.server_us) as f64 / frames as f64,
        "p50_ms": ms(0.5),
        "p99_ms": ms(0.99),
        "entries_per_frame": entries as f64 / frames as f64,
        "deliveries_per_s": entries as f64 / seconds,
        "pings_per_s": (last.pings - first.pings) as f64 / seconds,
        "server_core": (last.server_us - first.server_us) as f64 / 1e6 / seconds,
        "loader_core": (last.own_us - first.own_us) as f64 / 1e6 / seconds,
    });
    println!("{measured}");
    Ok(())
}
