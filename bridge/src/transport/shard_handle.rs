//! What reaches a shard's thread from others.

use std::sync::Arc;

use tidegate_gate::Revocation;
use tokio::sync::{mpsc, oneshot};

use super::pipe::Arrival;
use super::socket::Taken;
use crate::fanout::{Input, Outcomes, Request};

/// Revocations that a shard may lie behind.
const REVOCATIONS: usize = 1024;

/// Reaches a shard from other threads.
#[derive(Clone)]
pub struct ShardHandle {
    inbox: mpsc::UnboundedSender<Message>,
    revocations: mpsc::Sender<Arc<Revocation>>,
}

/// The receiving end of a [`ShardHandle`].
pub struct ShardInbox {
    pub(super) inbox: mpsc::UnboundedReceiver<Message>,
    pub(super) revocations: mpsc::Receiver<Arc<Revocation>>,
}

/// What reaches a shard from other threads, beside the feed.
pub(super) enum Message {
    Socket(Taken),
    Arrival(Box<Arrival>),
    Publish(Box<Request>, oneshot::Sender<Outcomes>),
    Input(Input),
    Stop,
}

impl ShardHandle {
    /// A handle, and the receiver to start the thread with.
    #[expect(
        clippy::disallowed_methods,
        reason = "holds answers to what the shard asked for, and sockets up to max_connections"
    )]
    pub fn new() -> (Self, ShardInbox) {
        let (inbox, receiver) = mpsc::unbounded_channel();
        let (revocations, revoked) = mpsc::channel(REVOCATIONS);
        (Self { inbox, revocations }, ShardInbox { inbox: receiver, revocations: revoked })
    }

    /// Hands a fresh WebSocket over, with what was read beyond the upgrade.
    pub(super) fn accept(&self, socket: Taken) {
        let _ = self.inbox.send(Message::Socket(socket));
    }

    /// Hands somebody over who asks for a session by a request.
    pub(super) fn arrive(&self, arrival: Arrival) {
        let _ = self.inbox.send(Message::Arrival(Box::new(arrival)));
    }

    /// Hands events over that are to be published.
    pub(super) fn publish(&self, request: Request, answer: oneshot::Sender<Outcomes>) {
        let _ = self.inbox.send(Message::Publish(Box::new(request), answer));
    }

    /// Tells the shard of something.
    pub fn input(&self, input: Input) {
        // A shard is gone only when the node goes.
        let _ = self.inbox.send(Message::Input(input));
    }

    /// Ends the sessions that a revocation speaks of, before any event that comes later. Waits, blocking, for a shard
    /// that has many to see to.
    pub fn revoke(&self, revocation: Arc<Revocation>) {
        let _ = self.revocations.blocking_send(revocation);
    }

    /// Ends the thread.
    pub fn stop(&self) {
        let _ = self.inbox.send(Message::Stop);
    }
}
