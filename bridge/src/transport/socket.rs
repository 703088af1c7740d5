//! One connection's socket. All bytes to it pass its outbox, the only writer: tungstenite reads from here, and what
//! it would write (pongs, the closing handshake) is queued like everything else, so that nothing ever lands inside a
//! half-written frame.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use crate::session::Outbox;

/// A connection's way out and its outbox, within one shard's thread.
pub(super) struct Socket {
    tcp: OwnedWriteHalf,
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

/// How long what waits at the end may take to be written.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the last words may take, and the frame before them that is half written, of a session that was cut: then
/// the socket is shut without them.
const CUT_PATIENCE: Duration = Duration::from_millis(100);

impl Socket {
    /// Takes a connection apart: its way out, and what tungstenite takes for its stream. `early` came along with the
    /// upgrade.
    pub(super) fn new(tcp: TcpStream, early: Bytes) -> (Rc<Self>, SocketStream) {
        // Frames are written whole; waiting for more would only delay them.
        let _ = tcp.set_nodelay(true);
        let (read, write) = tcp.into_split();
        let socket = Rc::new(Self {
            tcp: write,
            outbox: Rc::default(),
            waiting: Cell::new(false),
            ending: Cell::new(false),
            ended: Notify::new(),
            abandoned: Notify::new(),
        });
        let mut stream = SocketStream { socket: Rc::clone(&socket), read, early };
        stream.forget_early();
        (socket, stream)
    }

    /// Writes what the socket takes now; the rest is written when it takes more.
    pub(super) fn flush(self: &Rc<Self>) {
        if self.waiting.get() {
            return;
        }
        match self.write() {
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
                    let _ = socket2::SockRef::from(AsRef::<TcpStream>::as_ref(&socket.tcp))
                        .shutdown(std::net::Shutdown::Write);
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
            match writable.and_then(|()| self.write()) {
                Ok(()) => break self.finish(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break self.ended.notify_one(),
            }
        }
        self.waiting.set(false);
    }

    fn write(&self) -> io::Result<()> {
        self.outbox.borrow_mut().flush(|slices| match slices {
            // `send` costs the kernel less than a `writev` of one, and one it is nearly always.
            [one] => self.tcp.try_write(one),
            many => self.tcp.try_write_vectored(many),
        })
    }

    fn finish(&self) {
        if self.ending.get() {
            let tcp: &TcpStream = self.tcp.as_ref();
            let _ = socket2::SockRef::from(tcp).shutdown(std::net::Shutdown::Write);
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
}

impl SocketStream {
    /// An empty slice still holds the buffer that it was cut from: all that HTTP read its request into.
    fn forget_early(&mut self) {
        if self.early.is_empty() {
            self.early = Bytes::new();
        }
    }
}

impl AsyncRead for SocketStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let count = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early[..count]);
            self.early.advance(count);
            self.forget_early();
            return Poll::Ready(Ok(()));
        }
        // Knows after a read that did not fill the buffer that there is no more, and does not ask again.
        Pin::new(&mut self.read).poll_read(cx, buffer)
    }
}

impl AsyncWrite for SocketStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.socket.outbox.borrow_mut().push(Bytes::copy_from_slice(bytes));
        self.socket.flush();
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
