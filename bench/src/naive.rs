//! The naive peer: tokio-tungstenite as one would begin, a task for each connection, all defaults. No log, no tokens,
//! no rules, no reports. What it sends it is told by one publisher on TCP, an event a line.

use clap::Args;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// Events that may wait for a session: so many that none is lost in what is measured.
const WAITING: usize = 1 << 17;

#[derive(Args)]
pub(crate) struct Options {}

/// Says where it takes WebSockets and where its publisher, and serves them until it is ended.
pub(crate) fn run(_: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (sockets, publisher) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        println!("{} {}", sockets.local_addr()?, publisher.local_addr()?);
        let (events, _) = broadcast::channel(WAITING);
        tokio::spawn(publish(publisher, events.clone()));
        loop {
            let (socket, _) = sockets.accept().await?;
            // Without it, Nagle's algorithm would be what is measured.
            socket.set_nodelay(true)?;
            tokio::spawn(serve(socket, events.subscribe()));
        }
    })
}

async fn publish(listener: TcpListener, events: broadcast::Sender<Utf8Bytes>) -> anyhow::Result<()> {
    let (socket, _) = listener.accept().await?;
    let mut lines = BufReader::new(socket).lines();
    while let Some(line) = lines.next_line().await? {
        let _ = events.send(line.into());
    }
    Ok(())
}

async fn serve(socket: TcpStream, mut events: broadcast::Receiver<Utf8Bytes>) -> anyhow::Result<()> {
    let mut socket = accept_async(socket).await?;
    loop {
        tokio::select! {
            event = events.recv() => {
                socket.feed(Message::Text(event?)).await?;
                // As `forward` does: what waits goes along, then all of it is flushed.
                while let Ok(event) = events.try_recv() {
                    socket.feed(Message::Text(event)).await?;
                }
                socket.flush().await?;
            }
            frame = socket.next() => {
                if !matches!(frame, Some(Ok(_))) {
                    return Ok(());
                }
            }
        }
    }
}
