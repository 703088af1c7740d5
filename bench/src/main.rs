//! The load that `cargo xtask bench` puts on a bridge, and the bare loop that the bridge is compared with.
//!
//! One thread, one epoll: what is measured must be the server. Each run prints one line of JSON.

mod connection;
mod event;
mod idle;
mod paced;
mod process;
mod report;
mod source;
mod write_loop;

use clap::Parser;

/// Load for a bridge.
#[derive(Parser)]
enum Command {
    /// Events at a steady pace to many sessions: CPU of the server for each delivery, and latency.
    Paced(paced::Options),
    /// Sessions with nothing to do: memory of the server for each.
    Idle(idle::Options),
    /// The bare loop: one `write` for each delivery, and nothing else.
    WriteLoop(write_loop::Options),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Paced(options) => paced::run(&options),
        Command::Idle(options) => idle::run(&options),
        Command::WriteLoop(options) => write_loop::run(&options),
    }
}
