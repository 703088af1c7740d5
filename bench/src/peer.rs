//! Servers beside the bridge that read no log: one publisher on TCP, subscribers on WebSockets.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::connection::Connection;
use crate::event::{Events, tenant};
use crate::load::Load;
use crate::process;

/// How long nothing may come before all that was sent counts as lost.
const QUIET: Duration = Duration::from_secs(10);

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// nats-server: a subject for each tenant.
    Nats,
    /// The naive server: everybody gets everything.
    Naive,
}

/// Where it is.
#[derive(Args, Clone, Copy)]
pub(crate) struct Peer {
    /// Which server it is.
    #[arg(long)]
    pub(crate) kind: Kind,
    /// Where it takes WebSockets.
    #[arg(long)]
    pub(crate) address: SocketAddr,
    /// Where it takes publishers.
    #[arg(long)]
    pub(crate) publish: SocketAddr,
    /// Its process.
    #[arg(long)]
    pub(crate) pid: u32,
}

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    peer: Peer,
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

impl Peer {
    /// A session that gets the events of this tenant.
    pub(crate) fn open(self, number: usize) -> anyhow::Result<Connection> {
        match self.kind {
            Kind::Nats => Connection::nats(self.address, &tenant(number)),
            Kind::Naive => Connection::upgraded(self.address),
        }
    }

    /// The one that publishes. Its socket does not block.
    pub(crate) fn publisher(self) -> anyhow::Result<Publisher> {
        let mut socket = TcpStream::connect(self.publish)?;
        socket.set_nodelay(true)?;
        if self.kind == Kind::Nats {
            socket.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n")?;
        }
        socket.set_nonblocking(true)?;
        Ok(Publisher { socket, kind: self.kind, events: Events::new(), waiting: Vec::new(), written: 0 })
    }
}

/// Publishes events.
pub(crate) struct Publisher {
    socket: TcpStream,
    kind: Kind,
    events: Events,
    waiting: Vec<u8>,
    written: usize,
}

impl Publisher {
    /// Makes the next event, to be sent by [`Self::send`].
    pub(crate) fn make(&mut self, number: usize, user: usize) -> anyhow::Result<()> {
        let (_, envelope) = self.events.next(number, user);
        match self.kind {
            Kind::Nats => {
                write!(self.waiting, "PUB {} {}\r\n{envelope}\r\n", tenant(number), envelope.len())?;
            }
            Kind::Naive => writeln!(self.waiting, "{envelope}")?,
        }
        Ok(())
    }

    /// Sends what the server takes. Whether that was all.
    pub(crate) fn send(&mut self) -> anyhow::Result<bool> {
        while self.written < self.waiting.len() {
            match self.socket.write(&self.waiting[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        self.waiting.clear();
        self.written = 0;
        Ok(true)
    }
}

/// Runs a backlog through it and prints what was measured.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let &Options { peer, sessions, tenants, events, bursts } = options;
    let open = |subject: usize| peer.open(subject % tenants);
    let mut load = Load::new((0..sessions).map(open).collect::<anyhow::Result<Vec<_>>>()?)?;
    let mut publisher = peer.publisher()?;
    let (mut server_us, mut own_us, mut time, mut entries, mut frames) = (0, 0, Duration::ZERO, 0, 0);
    for burst in 0..=bursts {
        for event in 0..events {
            publisher.make(event % tenants, event % sessions)?;
        }
        load.run_for(Duration::from_millis(200))?;
        let (cpu, own, began) = (process::cpu_us(peer.pid)?, process::own_cpu_us()?, Instant::now());
        let (before, frames_before) = (load.received.entries, load.received.frames);
        while !publisher.send()? {
            load.turn(Duration::from_millis(1))?;
        }
        let last = load.receive(before + (events * (sessions / tenants)) as u64, QUIET)?;
        if burst > 0 {
            server_us += process::cpu_us(peer.pid)? - cpu;
            own_us += process::own_cpu_us()? - own;
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
        "events_per_s": count / time.as_secs_f64(),
        "entries_per_frame": entries as f64 / frames as f64,
        "cpu_s": server_us as f64 / 1e6,
        "loader_core": own_us as f64 / 1e6 / time.as_secs_f64(),
    });
    println!("{measured}");
    Ok(())
}
