//! The load that `cargo xtask bench` puts on a bridge, and the bare loop that the bridge is compared with.
//!
//! One thread, one epoll: what is measured must be the server. Each run prints one line of JSON.

mod backlog;
mod connection;
mod event;
mod fair;
mod idle;
mod load;
mod naive;
mod paced;
mod peer;
mod process;
mod reader;
mod report;
mod server;
mod source;
mod storm;
mod wire;
mod write_loop;

use clap::Parser;

/// Load for a bridge.
#[derive(Parser)]
enum Command {
    /// Events at a steady pace to many sessions: CPU of the server for each delivery, and latency.
    Paced(paced::Options),
    /// A backlog: CPU of the server for each event and delivery.
    Backlog(backlog::Options),
    /// Tenants side by side, one of which may storm: latency of the others.
    Fair(fair::Options),
    /// Events at a steady pace, for whoever reads them.
    Produce(source::Options),
    /// Makes topics.
    Topics(source::MakeOptions),
    /// librdkafka alone, reading.
    Reader(reader::Options),
    /// The same through a server that reads no log.
    Peer(peer::Options),
    /// The naive server.
    Naive(naive::Options),
    /// Everybody comes back at once.
    Storm(storm::Options),
    /// Makes a key pair for tokens, and a certificate.
    Keys(storm::KeyOptions),
    /// Waits until a bridge takes sessions.
    Ready(server::ReadyOptions),
    /// Sessions with nothing to do: memory of the server for each.
    Idle(idle::Options),
    /// The bare loop: one `write` for each delivery, and nothing else.
    WriteLoop(write_loop::Options),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Paced(options) => paced::run(&options),
        Command::Backlog(options) => backlog::run(&options),
        Command::Fair(options) => fair::run(&options),
        Command::Produce(options) => source::run(&options),
        Command::Topics(options) => source::make(&options),
        Command::Reader(options) => reader::run(&options),
        Command::Peer(options) => peer::run(&options),
        Command::Naive(options) => naive::run(&options),
        Command::Storm(options) => storm::run(&options),
        Command::Keys(options) => storm::keys(&options),
        Command::Ready(options) => server::await_ready(&options),
        Command::Idle(options) => idle::run(&options),
        Command::WriteLoop(options) => write_loop::run(&options),
    }
}
