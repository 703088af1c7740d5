//! One connection's socket. All bytes to it pass its outbox, the only writer: tungstenite reads from here, and what
//! it would write (pongs, the closing handshake) is queued like everything else, so that nothing ever lands inside a
//! half-written frame.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use super::intake::Intake;
use super::tls::Records;
use crate::clock::Clock;
use crate::session::Outbox;

/// A socket that HTTP has been spoken over, on its way to a shard.
pub(super) struct Taken {
    pub(super) tcp: std::net::TcpStream,
    /// Where TLS ends here.
    pub(super) records: Option<Records>,
    /// What came along with the upgrade.
    pub(super) early: Bytes,
}

/// A connection's way out and its outbox, within one shard's thread.
pub(super) struct Socket {
    tcp: OwnedWriteHalf,
    /// What encrypts and decrypts them, where TLS ends here.
    records: Option<RefCell<Records>>,
    /// Bytes on their way out.
    pub(super) outbox: Rc<RefCell<Outbox>>,
    /// A task waits for the socket to take more.
    waiting: Cell<bool>,
    /// Nothing more will be queued: when the outbox is empty the socket is shut.
    ending: Cell<bool>,
    /// The outbox is empty after the end, or the socket is broken, or took too long to end.
    pub(super) ended: Notify,
    /// Nobody reads from it any more: whoever waits to write gives up.
    abandoned: Notify,
}

/// A socket that something waits for, and that takes it.
pub(super) struct Ready<'a> {
    socket: &'a Rc<Socket>,
    way: SockRef<'a>,
}

impl Ready<'_> {
    /// Writes what the socket takes now; the rest is written when it takes more.
    pub(super) fn flush(self) {
        self.socket.flush_by(&self.way);
    }
}

/// How long what waits at the end may take to be written.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the last words may take, and the frame before them that is half written, of a session that was cut: then
/// the socket is shut without them.
const CUT_PATIENCE: Duration = Duration::from_millis(100);

/// The first byte of a pong.
const PONG: u8 = 0x8A;

/// Pings are not answered while more than this waits to be taken: what is not taken does not pile up.
const PONGS: usize = 16 * 1024;

/// What is read and thrown away at the end, at the most.
const DISCARDED: usize = 1 << 20;

impl Socket {
    /// Takes a connection apart: its way out, and what tungstenite takes for its stream. `early` came along with the
    /// upgrade.
    pub(super) fn new(
        tcp: TcpStream,
        records: Option<Records>,
        early: Bytes,
        clock: Clock,
    ) -> (Rc<Self>, SocketStream) {
        // Frames are written whole; waiting for more would only delay them.
        let _ = tcp.set_nodelay(true);
        let (read, write) = tcp.into_split();
        let socket = Rc::new(Self {
            tcp: write,
            records: records.map(RefCell::new),
            outbox: Rc::default(),
            waiting: Cell::new(false),
            ending: Cell::new(false),
            ended: Notify::new(),
            abandoned: Notify::new(),
        });
        let mut stream = SocketStream { socket: Rc::clone(&socket), read, early, intake: Intake::new(clock) };
        stream.forget_early();
        (socket, stream)
    }

    /// Writes what the socket takes now; the rest is written when it takes more.
    pub(super) fn flush(self: &Rc<Self>) {
        self.flush_by(&self.way());
    }

    /// Whether something waits that nobody waits to write.
    pub(super) fn ready(self: &Rc<Self>) -> Option<Ready<'_>> {
        let ready = !self.waiting.get() && !self.outbox.borrow().is_empty();
        ready.then(|| Ready { socket: self, way: self.way() })
    }

    /// The socket itself.
    fn way(&self) -> SockRef<'_> {
        SockRef::from(AsRef::<TcpStream>::as_ref(&self.tcp))
    }

    fn flush_by(self: &Rc<Self>, way: &SockRef<'_>) {
        if self.waiting.get() {
            return;
        }
        match self.write(way) {
            Ok(()) => self.finish(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.waiting.set(true);
                tokio::task::spawn_local(Rc::clone(self).write_on());
            }
            // The reading side finds the same error, and ends the session.
            Err(_) => self.ended.notify_one(),
        }
    }

    /// Closes the socket when everything that waits is written.
    pub(super) fn end(self: &Rc<Self>) {
        if self.ending.replace(true) {
            return;
        }
        self.flush();
        if self.waiting.get() {
            let socket = Rc::clone(self);
            let cut = socket.outbox.borrow().is_cut();
            tokio::task::spawn_local(async move {
                tokio::time::sleep(if cut { CUT_PATIENCE } else { PATIENCE }).await;
                if cut {
                    socket.outbox.borrow_mut().clear();
                    let _ = socket.way().shutdown(std::net::Shutdown::Write);
                }
                socket.ended.notify_one();
            });
        }
    }

    /// Lets go of the socket, whatever still waits for it.
    pub(super) fn abandon(&self) {
        self.abandoned.notify_one();
    }

    async fn write_on(self: Rc<Self>) {
        loop {
            let writable = tokio::select! {
                writable = self.tcp.writable() => writable,
                () = self.abandoned.notified() => return,
            };
            match writable.and_then(|()| self.write(&self.way())) {
                Ok(()) => break self.finish(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break self.ended.notify_one(),
            }
        }
        self.waiting.set(false);
    }

    fn write(&self, way: &SockRef<'_>) -> io::Result<()> {
        let mut outbox = self.outbox.borrow_mut();
        let Some(records) = &self.records else { return outbox.flush(|slices| self.put(way, slices)) };
        let mut records = records.borrow_mut();
        outbox.flush(|slices| {
            records.send(|slices| self.put(way, slices))?;
            records.take(slices)
        })?;
        records.send(|slices| self.put(way, slices))
    }

    /// Gives the kernel what it takes.
    fn put(&self, way: &SockRef<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // `send` costs the kernel less than a `writev` of one, and one it is nearly always.
        let [one] = slices else { return self.tcp.try_write_vectored(slices) };
        match way.send(one) {
            // tokio sees for itself that the socket takes no more: else it would not wait until it does.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.tcp.try_write(one),
            outcome => outcome,
        }
    }

    fn finish(&self) {
        if self.ending.get() {
            if let Some(records) = &self.records {
                let mut records = records.borrow_mut();
                records.say_goodbye();
                // It is as good as said: who does not take it sees the socket's end.
                let _ = records.send(|slices| self.put(&self.way(), slices));
            }
            let _ = self.way().shutdown(std::net::Shutdown::Write);
            self.ended.notify_one();
        }
    }
}

/// What tungstenite takes for its stream.
pub(super) struct SocketStream {
    socket: Rc<Socket>,
    read: OwnedReadHalf,
    /// What came along with the upgrade.
    early: Bytes,
    /// What it may send.
    pub(super) intake: Intake,
}

impl SocketStream {
    /// Reads what still comes, and throws it away: else the kernel would answer it with a reset, which would take our last
    /// words with it.
    pub(super) async fn discard(&mut self) {
        let mut left = DISCARDED;
        while left > 0 && self.read.readable().await.is_ok() {
            match self.read.try_read(&mut [0; 4096]) {
                Ok(0) => return,
                Ok(count) => left = left.saturating_sub(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// An empty slice still holds the buffer that it was cut from: all that HTTP read its request into.
    fn forget_early(&mut self) {
        if self.early.is_empty() {
            self.early = Bytes::new();
        }
    }
}

impl AsyncRead for SocketStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.early.is_empty() {
            // Knows after a read that did not fill the buffer that there is no more, and does not ask again.
            let Self { socket, read, .. } = &mut *self;
            match &socket.records {
                None => std::task::ready!(Pin::new(read).poll_read(cx, buffer))?,
                Some(records) => {
                    let outcome = records.borrow_mut().poll_read(read, cx, buffer);
                    // Some of TLS's own messages are answered.
                    if records.borrow().has_more() {
                        socket.flush();
                    }
                    std::task::ready!(outcome)?;
                }
            }
        } else {
            let count = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early[..count]);
            self.early.advance(count);
            self.forget_early();
        }
        let taken = self.intake.take(&buffer.filled()[before..]);
        Poll::Ready(taken.map_err(io::Error::other))
    }
}

impl AsyncWrite for SocketStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let waits = self.socket.outbox.borrow().len();
        if bytes.first() != Some(&PONG) || waits <= PONGS {
            self.socket.outbox.borrow_mut().push(Bytes::copy_from_slice(bytes));
            self.socket.flush();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.end();
        Poll::Ready(Ok(()))
    }
}
