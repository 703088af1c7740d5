//! Fan-out: shards that hand rounds of events to the sessions that may and want to see them.
//!
//! [`Shard`] is a pure machine: `(state, input, now) → effects`, and bytes in the sessions' outboxes. It never
//! waits, and knows neither sockets nor logs; [`crate::app`] wires it to them. One idea a file:
//! `live` (rounds to views), `behind` (feeding one subscription alone), `subscribe`, `publishing` (what becomes of an
//! event that is offered) for sessions (`publish`) and requests (`requests`),
//! `renew` (other grants, other rules), `clock` (heartbeats, expiry, idle topics), `observe` (`$ledger`).

mod batch;
mod behind;
mod by_tenant;
mod clock;
mod index;
mod keyed;
mod live;
mod observe;
mod position;
mod publish;
mod publishing;
mod reached;
mod renew;
mod requests;
mod revoke;
mod shard;
mod stretch;
mod subscribe;
mod undecided;
mod view;
mod window;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use slotmap::new_key_type;
use tidegate_gate::{Accounts, Policy, Principal, Rate, Revocation, Revocations, Seat, TokenError, Unanswered};
use tidegate_log::{AppendError, Appended, LogError, NewRecord, Offsets, ReadError, TopicId, TopicKey};
use tidegate_protocol::code::CloseCode;
use tidegate_protocol::frame::{ClientFrame, Failed, Limits};
use tidegate_protocol::timestamp::Millis;
use tokio::sync::mpsc;

use crate::feed::catch_up::{History, Part};
use crate::feed::{Round, TopicTable};
use crate::ledger::NodeSnapshot;
use crate::session::{Format, Outbox};

pub use batch::Pending;
pub use publishing::{Offering, Publisher, Receipt};
pub use requests::{Outcomes, Request};
pub use shard::Shard;
pub use undecided::Undecided;
pub use view::{Event, ViewKey, ViewRef};

new_key_type! {
    /// Names a session of one shard.
    pub struct SessionKey;

    /// Names a request to publish, until it is answered.
    pub struct Ticket;
}

/// A shard's configuration.
#[derive(Debug, Clone)]
pub struct Options {
    /// The node's name.
    pub node: Arc<str>,
    /// Which shard of the node this is, and of how many.
    pub shard: (u32, u32),
    /// What sessions must stay within.
    pub limits: Limits,
    /// Bytes beyond credit that may wait for a socket before its session is closed.
    pub outbox_bytes: usize,
    /// How often a session is pinged, in milliseconds.
    pub heartbeat_interval: i64,
    /// How long a pong may take.
    pub heartbeat_timeout: i64,
    /// How far in the future a publisher's timestamp may be.
    pub skew: i64,
    /// Bytes of recent rounds that are kept.
    pub window_bytes: usize,
    /// Events a session may publish.
    pub publish_events: Rate,
    /// Bytes a session may publish.
    pub publish_bytes: Rate,
    /// What each tenant takes of the node.
    pub accounts: Arc<Accounts>,
    /// What was revoked. Asked when a session opens or is renewed: its token was good when it was verified, and may have
    /// been revoked since.
    pub revocations: Arc<Revocations>,
}

/// The parts of the configuration that are shared and may be exchanged while running.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Who may do what.
    pub policy: Arc<Policy>,
    /// How each topic's records are read and written.
    pub topics: Arc<TopicTable>,
}

/// New rules for a shard that runs.
#[derive(Debug)]
pub struct Renewal {
    /// Who may do what, of which topics.
    pub rules: Rules,
    /// What new sessions must stay within. The rest of it is as it was when the shard was made.
    pub options: Options,
    /// Where each shard says what came of it.
    pub told: mpsc::Sender<Applied>,
}

/// What new rules came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Sessions that were told something.
    pub sessions: usize,
    /// Subscriptions that see other events from here on.
    pub moved: usize,
    /// Subscriptions that ended.
    pub ended: usize,
}

/// What happens to a shard.
#[derive(Debug)]
pub enum Input {
    /// A session said something.
    Frame(SessionKey, ClientFrame),
    /// A session broke the protocol.
    Broken(SessionKey, tidegate_protocol::frame::BadFrame),
    /// A session did something that ends it.
    Refuse(SessionKey, Failed, CloseCode),
    /// A session's socket is gone.
    Gone(SessionKey),
    /// The connection of a session that does not report took so many bytes of its outbox, in all.
    Taken(SessionKey, u64),
    /// A session must end, for a reason that lies outside this shard.
    End(SessionKey, CloseCode),
    /// The feed follows a topic now, from these offsets on.
    Followed {
        /// Physical name.
        physical: Arc<str>,
        /// Its key.
        topic: TopicKey,
        /// Its identity; `None` while it does not exist.
        id: Option<TopicId>,
        /// The next offset to come of every partition.
        offsets: Offsets,
    },
    /// Partitions are read from here on.
    TopicOpened {
        /// Which topic.
        topic: TopicKey,
        /// Its identity.
        id: TopicId,
        /// The new partitions.
        offsets: Offsets,
    },
    /// A topic was deleted.
    TopicClosed(TopicKey),
    /// Events: all rounds that have come and not been handled, in their order.
    Rounds(Vec<Arc<Round>>),
    /// History that was asked for.
    History(HistoryKey, Result<History, ReadError>),
    /// Where a time lies, that was asked for.
    OffsetsAt(SessionKey, u32, Result<Offsets, LogError>),
    /// What the log said to a publish.
    Appended(PublishKey, Result<Appended, AppendError>),
    /// A refreshed token's verdict.
    Verified(SessionKey, u32, Result<Principal, TokenError>),
    /// Tokens or a session were revoked.
    Revoked(Arc<Revocation>),
    /// Whether the log can be reached.
    LogAvailable(bool),
    /// The node's newest totals.
    Ledger(Arc<NodeSnapshot>),
    /// The node is going away: tell everyone to come back, spread over this many milliseconds.
    Drain(u64),
    /// The node is gone now: end every session.
    EndAll(CloseCode),
}

/// What a shard wants done.
#[derive(Debug)]
pub enum Effect {
    /// Follow a topic.
    Follow(Arc<str>),
    /// No longer follow it.
    Unfollow(TopicKey),
    /// Read history, answered by [`Input::History`].
    Read(HistoryKey),
    /// Find out where a time lies, answered by [`Input::OffsetsAt`].
    FindTime(SessionKey, u32, Arc<str>, i64),
    /// What became of the events of a request: its answer.
    Published(Ticket, Outcomes),
    /// Append a record, answered by [`Input::Appended`].
    Append(PublishKey, NewRecord, Unanswered),
    /// Verify a token, answered by [`Input::Verified`].
    Verify(SessionKey, u32, String),
    /// Tell of events that a condition could not be decided about.
    Undecided(Undecided),
    /// Write the session's outbox to its socket.
    Flush(SessionKey),
    /// The same for all of these, of one tenant, when it is their turn: a view's batch has entered their outboxes.
    Deliver(Arc<str>, Vec<SessionKey>),
    /// A reader of one topic was granted what it asked for: an answer can begin.
    Accepted(SessionKey),
    /// It was refused before anything was said to it: this is the whole answer.
    Refused(SessionKey, Failed),
    /// Write what the outbox holds, then close the socket.
    Close(SessionKey),
}

/// A session that has said `hello`.
#[derive(Debug)]
pub struct Newcomer {
    /// Its id on the wire.
    pub id: Arc<str>,
    /// Who it is.
    pub principal: Principal,
    /// The client's own name for itself.
    pub client: Arc<str>,
    /// How it is spoken to.
    pub format: Format,
    /// Bytes on their way to its socket.
    pub outbox: Rc<RefCell<Outbox>>,
    /// Its room on its tenant's account.
    pub seat: Seat,
}

/// A part of history that a subscription waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryKey {
    /// Whose.
    pub session: SessionKey,
    /// Which subscription.
    pub subscription: u32,
    /// The topic's identity when it was asked for: another one may have its name when the answer comes.
    pub topic: Option<TopicId>,
    /// Which part.
    pub part: Part,
}

/// A publish that the log has not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishKey {
    /// Who is to be told.
    pub origin: Origin,
    /// What it is told.
    pub receipt: Receipt,
}

/// Where a publish came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A session's frame.
    Session {
        /// Whose.
        session: SessionKey,
        /// The frame's id.
        request: u32,
    },
    /// One event of a request.
    Request {
        /// Which request.
        ticket: Ticket,
        /// Which of its events.
        item: usize,
    },
}

/// A moment: what the clock says and what chance draws, both passed in.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Milliseconds since the epoch.
    pub now: Millis,
    /// Uniform in 0..1.
    pub random: f64,
    /// Random bytes for a new id.
    pub entropy: [u8; 10],
}

impl Moment {
    /// The same moment for the nth of many that come at once: no two of them draw the same id.
    fn nth(mut self, n: usize) -> Self {
        if let Some(last) = self.entropy.last_chunk_mut::<4>() {
            *last = u32::from_be_bytes(*last).wrapping_add(n as u32).to_be_bytes();
        }
        self
    }
}
