//! Many tenants at a calm pace, one of which may storm: what the others see of it. All publish through the bridge.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use crate::event::{Events, Pace};
use crate::load::Load;
use crate::process;
use crate::server::{Server, Who};

/// How long nothing may come before all that was sent counts as lost.
const QUIET: Duration = Duration::from_secs(10);

/// Before the measurement.
const WARM: Duration = Duration::from_secs(2);

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    server: Server,
    #[arg(long)]
    tenants: usize,
    /// Sessions of each tenant, which all receive what any of them publishes.
    #[arg(long)]
    sessions: usize,
    /// Events that a tenant publishes in a second.
    #[arg(long)]
    rate: f64,
    /// How many times that the first tenant publishes.
    #[arg(long, default_value_t = 1.0)]
    storm: f64,
    /// Seconds of the measurement.
    #[arg(long, default_value_t = 6.0)]
    window: f64,
}

/// Runs it and prints what was measured: latencies are those of the other tenants' events.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let &Options { ref server, tenants, sessions, rate, storm, window } = options;
    let mut connections = Vec::new();
    for subject in 0..tenants * sessions {
        let mut connection = server.open(Who { tenant: subject / sessions, subject, role: "clerk" })?;
        connection.timed = subject >= sessions;
        connections.push(connection);
    }
    let mut load = Load::new(connections)?;
    let (mut events, topic) = (Events::new(), server.topics.of(0));
    let (mut calm, mut first) = (Pace::new(rate * (tenants - 1) as f64), Pace::new(rate * storm));
    let mut turn = |load: &mut Load, until: Instant| -> anyhow::Result<()> {
        while first.take() {
            load.publish(first.sent() as usize % sessions, &topic, &mut events)?;
        }
        while calm.take() {
            // Tenants in turn, and the sessions of each in turn.
            let (turn, tenant) = (calm.sent() as usize / (tenants - 1), 1 + calm.sent() as usize % (tenants - 1));
            load.publish(tenant * sessions + turn % sessions, &topic, &mut events)?;
        }
        load.turn(until.saturating_duration_since(Instant::now()).min(calm.wait()).min(first.wait()))
    };
    let began = Instant::now();
    while began.elapsed() < WARM {
        turn(&mut load, began + WARM)?;
    }
    load.received.measuring = true;
    let (at, entries) = (Instant::now(), load.received.entries);
    let (server_us, own_us) = (process::cpu_us(server.pid)?, process::own_cpu_us()?);
    let until = at + Duration::from_secs_f64(window);
    while Instant::now() < until {
        turn(&mut load, until)?;
    }
    let seconds = at.elapsed().as_secs_f64();
    let core = |before: u64, now: u64| (now - before) as f64 / 1e6 / seconds;
    let server_core = core(server_us, process::cpu_us(server.pid)?);
    let loader_core = core(own_us, process::own_cpu_us()?);
    let deliveries = load.received.entries - entries;
    load.received.measuring = false;
    load.receive((calm.sent() + first.sent()) * sessions as u64, QUIET)?;
    let ms = |quantile| load.received.latency.value_at_quantile(quantile) as f64 / 1e6;
    let measured = json!({
        "p50_ms": ms(0.5),
        "p99_ms": ms(0.99),
        "deliveries_per_s": deliveries as f64 / seconds,
        "server_core": server_core,
        "loader_core": loader_core,
    });
    println!("{measured}");
    Ok(())
}
