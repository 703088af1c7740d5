//! The socket: dialled, read, and written by a task of its own, so that reading never waits for writing.

use std::future::pending;
use std::pin::Pin;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tidegate_protocol::SUBPROTOCOL;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Duration, timeout};
use tokio_tungstenite::tungstenite::error::UrlError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Error, Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::channel;

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Dialling = Pin<Box<dyn Future<Output = Result<Stream, Error>> + Send>>;

/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(2);
/// tungstenite's default of 128 KiB is too much for a bench with thousands of clients.
const READ_BUFFER: usize = 16 * 1024;

/// One socket at a time.
#[derive(Default)]
pub(super) struct Socket {
    dialling: Option<Dialling>,
    reading: Option<SplitStream<Stream>>,
    writing: Option<mpsc::UnboundedSender<Message>>,
    /// It may still have something to write when the socket is no longer ours.
    writer: Option<JoinHandle<()>>,
}

/// What happened to the socket.
#[derive(Debug)]
pub(super) enum Happening {
    Opened,
    Text(Utf8Bytes),
    /// Closed, broken, or never opened.
    Closed(u16, String),
}

impl Socket {
    /// Begins to open another socket.
    pub(super) fn dial(&mut self, url: String) {
        self.hang_up();
        self.dialling = Some(Box::pin(async move {
            let uri = url.parse().map_err(|_| Error::Url(UrlError::UnableToConnect(url)))?;
            let request = ClientRequestBuilder::new(uri).with_sub_protocol(SUBPROTOCOL);
            let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
            let (stream, _) = connect_async_with_config(request, Some(config), true).await?;
            Ok(stream)
        }));
    }

    /// The next happening; waits for ever while there is no socket. Safe to cancel.
    pub(super) async fn next(&mut self) -> Happening {
        if let Some(dialling) = &mut self.dialling {
            let dialled = dialling.await;
            self.dialling = None;
            return match dialled {
                Ok(stream) => self.opened(stream),
                Err(error) => Happening::Closed(1006, error.to_string()),
            };
        }
        let Some(reading) = &mut self.reading else { return pending().await };
        let (code, reason) = loop {
            match reading.next().await {
                Some(Ok(Message::Text(text))) => return Happening::Text(text),
                Some(Ok(Message::Close(frame))) => {
                    break frame.map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => break (1006, error.to_string()),
                None => break (1006, String::new()),
            }
        };
        self.hang_up();
        Happening::Closed(code, reason)
    }

    pub(super) fn send(&self, text: String) {
        self.write(Message::text(text));
    }

    /// Closes, after all that was sent is written.
    pub(super) fn close(&mut self, code: u16, reason: &'static str) {
        self.write(Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() })));
        self.hang_up();
    }

    /// Waits until all is written.
    pub(super) async fn finish(mut self) {
        self.hang_up();
        if let Some(mut writer) = self.writer.take()
            && timeout(CLOSE, &mut writer).await.is_err()
        {
            writer.abort();
        }
    }

    fn opened(&mut self, stream: Stream) -> Happening {
        let (sink, stream) = stream.split();
        let (writing, outbox) = channel();
        self.reading = Some(stream);
        self.writing = Some(writing);
        if let Some(earlier) = self.writer.replace(tokio::spawn(write(sink, outbox))) {
            earlier.abort();
        }
        Happening::Opened
    }

    fn hang_up(&mut self) {
        self.dialling = None;
        self.reading = None;
        self.writing = None;
    }

    fn write(&self, message: Message) {
        if let Some(writing) = &self.writing {
            let _ = writing.send(message);
        }
    }
}

/// Writes what waits, then flushes once.
async fn write(mut sink: SplitSink<Stream, Message>, mut outbox: mpsc::UnboundedReceiver<Message>) {
    while let Some(first) = outbox.recv().await {
        let mut next = Some(first);
        while let Some(message) = next {
            if sink.feed(message).await.is_err() {
                return;
            }
            next = outbox.try_recv().ok();
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
    let _ = sink.close().await;
}
