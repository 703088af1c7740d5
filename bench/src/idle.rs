//! Sessions that are open, subscribed, and have nothing to do.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use crate::connection::Connection;
use crate::load::Load;
use crate::process;
use crate::server::{Server, Who};

/// Sessions that come and go before, so that what the server makes once is not counted.
const REHEARSAL: usize = 200;

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    server: Server,
    /// Connections.
    #[arg(long)]
    connections: usize,
    /// Seconds to settle before memory is read.
    #[arg(long, default_value_t = 5.0)]
    settle: f64,
}

/// Runs it and prints what was measured.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let Options { server, connections, settle } = options;
    let open = |subject| -> anyhow::Result<Connection> { server.open(Who { tenant: 0, subject, role: "clerk" }) };
    let rehearsal = (0..REHEARSAL).map(open).collect::<anyhow::Result<Vec<_>>>()?;
    drop(rehearsal);
    std::thread::sleep(Duration::from_secs(2));
    let before = process::resident(server.pid)?;
    let opened_at = process::cpu_us(server.pid)?;
    let sessions = (0..*connections).map(open).collect::<anyhow::Result<Vec<_>>>()?;
    let opened = process::cpu_us(server.pid)? - opened_at;
    let mut load = Load::new(sessions)?;
    let began = Instant::now();
    let at = process::cpu_us(server.pid)?;
    while began.elapsed() < Duration::from_secs_f64(*settle) {
        load.turn(Duration::from_millis(100))?;
    }
    let pings = load.received.pings;
    let held = process::resident(server.pid)?.saturating_sub(before);
    let spent = process::cpu_us(server.pid)? - at;
    let measured = json!({
        "bytes_per_connection": held as f64 / *connections as f64,
        "cpu_us_per_connect": opened as f64 / *connections as f64,
        "server_core": spent as f64 / 1e6 / began.elapsed().as_secs_f64(),
        "cpu_us_per_heartbeat": (pings > 0).then(|| spent as f64 / pings as f64),
    });
    println!("{measured}");
    Ok(())
}
