//! Events at a steady pace to many sessions that all want them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::json;

use crate::connection::{Connection, Received};
use crate::event::Pace;
use crate::load::Load;
use crate::peer::{self, Peer, Publisher};
use crate::process;
use crate::server::{Server, Who};
use crate::source::{AT_A_PACE, Source};

/// How long nothing may come before all that was sent counts as lost.
const QUIET: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    server: Server,
    /// Sessions.
    #[arg(long)]
    sessions: usize,
    /// Tenants: the sessions are theirs in turn, and so are the events.
    #[arg(long, default_value_t = 1)]
    tenants: usize,
    /// Events a second.
    #[arg(long)]
    rate: f64,
    /// The load never sleeps: nobody has to wake it, as nobody has to wake a browser far away.
    #[arg(long)]
    awake: bool,
    /// Seconds before the measurement.
    #[arg(long, default_value_t = 2.0)]
    warm: f64,
    /// Seconds of the measurement.
    #[arg(long, default_value_t = 6.0)]
    window: f64,
    /// Kafka, for a bridge that reads from it.
    #[arg(long)]
    bootstrap: Option<String>,
    /// Instead, where a server that reads no log takes publishers. Without either it is the bare loop, which makes
    /// its own events.
    #[arg(long, requires = "kind", conflicts_with = "bootstrap")]
    publish: Option<SocketAddr>,
    /// Which server that is.
    #[arg(long)]
    kind: Option<peer::Kind>,
}

impl Options {
    fn peer(&self) -> Option<Peer> {
        let &Self { server: Server { address, pid, .. }, publish, kind, .. } = self;
        Some(Peer { kind: kind?, address, publish: publish?, pid })
    }
}

/// Where the events come from.
enum Origin {
    Log(Source),
    Publisher(Publisher),
    /// The server makes them itself.
    Server,
}

impl Origin {
    fn of(options: &Options) -> anyhow::Result<Self> {
        Ok(match (&options.bootstrap, options.peer()) {
            (Some(kafka), _) => Self::Log(Source::new(kafka, &options.server.topics, AT_A_PACE)?),
            (None, Some(peer)) => Self::Publisher(peer.publisher()?),
            (None, None) => Self::Server,
        })
    }

    fn send(&mut self, number: usize, tenant: usize) -> anyhow::Result<()> {
        match self {
            Self::Log(source) => source.send(number, tenant, 0),
            Self::Publisher(publisher) => {
                publisher.make(tenant, 0)?;
                publisher.send().map(drop)
            }
            Self::Server => Ok(()),
        }
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
    wakeups: u64,
}

impl Mark {
    fn now(server: u32, received: &Received) -> anyhow::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            entries: received.entries,
            frames: received.frames,
            pings: received.pings,
            server_us: process::cpu_us(server)?,
            own_us: process::own_cpu_us()?,
            wakeups: process::own_wakeups()?,
        })
    }
}

/// Runs it and prints what was measured.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let server = &options.server;
    let tenants = options.tenants;
    let open = |subject| match (&options.bootstrap, options.peer()) {
        (Some(_), _) => server.open(Who { tenant: subject % tenants, subject, role: "clerk" }),
        (None, Some(peer)) => peer.open(subject % tenants),
        (None, None) => Connection::bare(server.address),
    };
    let connections = (0..options.sessions).map(open).collect::<anyhow::Result<Vec<_>>>()?;
    let mut load = Load::new(connections)?;
    load.awake = options.awake;
    let mut origin = Origin::of(options)?;
    let (warm, window) = (Duration::from_secs_f64(options.warm), Duration::from_secs_f64(options.window));
    let began = Instant::now();
    let mut pace = Pace::new(options.rate);
    let mut turn = |load: &mut Load, until: Instant| -> anyhow::Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        if matches!(origin, Origin::Server) {
            return load.turn(left);
        }
        while pace.take() {
            let number = pace.sent() as usize;
            origin.send(number, number % tenants)?;
        }
        load.turn(left.min(pace.wait()))
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

    if let Origin::Log(source) = &origin {
        source.finish()?;
    }
    if !matches!(origin, Origin::Server) {
        let sent = pace.sent() * (options.sessions / tenants) as u64;
        load.receive(sent, QUIET)?;
    }
    print(&first, &last, &load).context("nothing was measured")
}

fn print(first: &Mark, last: &Mark, load: &Load) -> anyhow::Result<()> {
    let received = &load.received;
    // One that never sleeps uses all of its core, whatever it has to do.
    let loader_core = |seconds: f64| (!load.awake).then(|| (last.own_us - first.own_us) as f64 / 1e6 / seconds);
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
        "cpu_s": (last.server_us - first.server_us) as f64 / 1e6,
        "pings_per_s": (last.pings - first.pings) as f64 / seconds,
        "server_core": (last.server_us - first.server_us) as f64 / 1e6 / seconds,
        "loader_core": loader_core(seconds),
        "loader_wakeups_per_s": (last.wakeups - first.wakeups) as f64 / seconds,
    });
    println!("{measured}");
    Ok(())
}
