//! The bare loop: what the kernel takes for a delivery, and nothing else. One non-blocking `write` of the event, in a
//! WebSocket frame, to every socket in turn. No log, no tokens, no reports: nobody can be faster and write each
//! delivery by itself.

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::bail;
use clap::Args;

use crate::connection::header;
use crate::event::{Events, Pace};

#[derive(Args)]
pub(crate) struct Options {
    /// Sockets to wait for.
    #[arg(long)]
    sessions: usize,
    /// Events a second.
    #[arg(long)]
    rate: f64,
    /// Each event is for one socket, in turn, rather than for all.
    #[arg(long)]
    each: bool,
}

/// Says where it listens, takes its sockets, and writes until they are closed.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let mut sockets = Vec::with_capacity(options.sessions);
    for _ in 0..options.sessions {
        let (socket, _) = listener.accept()?;
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        sockets.push(socket);
    }
    let (mut events, mut pace) = (Events::new(), Pace::new(options.rate));
    let mut frame = Vec::new();
    loop {
        std::thread::sleep(pace.wait());
        while pace.take() {
            let (_, envelope) = events.next(0, 0);
            frame.clear();
            frame.push(0x81);
            header(&mut frame, envelope.len(), false);
            frame.extend_from_slice(envelope.as_bytes());
            let turn = pace.sent() as usize % sockets.len();
            let readers = if options.each { &mut sockets[turn..=turn] } else { &mut sockets[..] };
            for socket in readers {
                if !write(socket, &frame)? {
                    return Ok(());
                }
            }
        }
    }
}

/// Whether the socket is still there.
fn write(socket: &mut TcpStream, frame: &[u8]) -> anyhow::Result<bool> {
    match socket.write(frame) {
        Ok(count) if count == frame.len() => Ok(true),
        Ok(_) => bail!("a socket was full: the load does not read fast enough"),
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
