//! The same backlog through nats-server: one publisher on TCP, subscribers on WebSockets.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use crate::connection::Connection;
use crate::event::{Events, tenant};
use crate::load::Load;
use crate::process;

/// How long nothing may come before all that was sent counts as lost.
const QUIET: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct Options {
    /// Where it takes WebSockets.
    #[arg(long)]
    address: SocketAddr,
    /// Where it takes publishers.
    #[arg(long)]
    publish: SocketAddr,
    /// Its process.
    #[arg(long)]
    pid: u32,
    #[arg(long)]
    sessions: usize,
    /// Subjects: the sessions have them in turn, and so have the events.
    #[arg(long, default_value_t = 1)]
    tenants: usize,
    /// Events of one burst.
    #[arg(long)]
    events: usize,
    /// Bursts that are measured, after one that is not.
    #[arg(long, default_value_t = 3)]
    bursts: usize,
}

/// Runs it and prints what was measured.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let &Options { address, publish, pid, sessions, tenants, events, bursts } = options;
    let open = |subject: usize| Connection::nats(address, &tenant(subject % tenants));
    let mut load = Load::new((0..sessions).map(open).collect::<anyhow::Result<Vec<_>>>()?)?;
    let mut publisher = TcpStream::connect(publish)?;
    publisher.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n")?;
    publisher.set_nonblocking(true)?;
    let mut made = Events::new();
    let (mut server_us, mut time, mut entries, mut frames) = (0, Duration::ZERO, 0, 0);
    for burst in 0..=bursts {
        let mut backlog = Vec::new();
        for event in 0..events {
            let (_, envelope) = made.next(event % tenants, event % sessions);
            write!(backlog, "PUB {} {}\r\n{envelope}\r\n", tenant(event % tenants), envelope.len())?;
        }
        load.run_for(Duration::from_millis(200))?;
        let (cpu, began, before) = (process::cpu_us(pid)?, Instant::now(), load.received.entries);
        let frames_before = load.received.frames;
        let mut left = &backlog[..];
        while !left.is_empty() {
            match publisher.write(left) {
                Ok(count) => left = &left[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => load.turn(Duration::from_millis(1))?,
                Err(error) => return Err(error.into()),
            }
            load.turn(Duration::ZERO)?;
        }
        let last = load.receive(before + (events * (sessions / tenants)) as u64, QUIET)?;
        if burst > 0 {
            server_us += process::cpu_us(pid)? - cpu;
            time += last.duration_since(began);
            entries += load.received.entries - before;
            frames += load.received.frames - frames_before;
        }
    }
    let count = (events * bursts) as f64;
    let measured = json!({
        "cpu_us_per_delivery": server_us as f64 / entries as f64,
        "cpu_us_per_event": server_us as f64 / count,
        "deliveries_per_s": entries as f64 / time.as_secs_f64(),
        "entries_per_frame": entries as f64 / frames as f64,
    });
    println!("{measured}");
    Ok(())
}
