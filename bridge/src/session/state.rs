//! A session's state. The shard moves it; nothing here does I/O.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_gate::{Observe, Place, Principal, Seat};
use tidegate_log::Offsets;
use tidegate_protocol::frame::Limits;
use tidegate_protocol::ledger::Column;
use tidegate_protocol::timestamp::Millis;

use super::{BatchRows, Format, InFlight, Outbox};
use crate::fanout::{Publisher, ViewKey, ViewRef};
use crate::feed::Round;

/// An authenticated connection.
#[derive(Debug)]
pub struct Session {
    /// Its id on the wire.
    pub id: Arc<str>,
    /// Its room on its tenant's account.
    pub seat: Seat,
    /// The client's own name for itself.
    pub client: Arc<str>,
    /// Who it is.
    pub principal: Principal,
    /// When it ends, unless its token is renewed.
    pub ends: Millis,
    /// How it is spoken to.
    pub format: Format,
    /// Bytes on their way to its socket.
    pub outbox: Rc<RefCell<Outbox>>,
    /// What it must stay within, as it was told.
    pub limits: Limits,
    /// Bytes that may wait for its socket.
    pub outbox_bytes: usize,
    /// Bytes of batches that may still be sent; below zero it is paused.
    pub credit: i64,
    /// Out of credit, or of room for unsettled deliveries.
    pub paused: bool,
    /// What was sent and is not settled.
    pub in_flight: InFlight,
    /// What it wants.
    pub subscriptions: Vec<Subscription>,
    /// Its subscriptions to `$ledger`.
    pub ledgers: Vec<LedgerSubscription>,
    /// The next subscription's id.
    pub next_subscription: u32,
    /// What it may publish.
    pub publisher: Publisher,
    /// A ping that is not answered was sent then.
    pub pinged: Option<Millis>,
    /// When the next ping is due.
    pub next_ping: Millis,
    /// What had left the outbox at the last ping, where pings are not answered.
    pub left_by_ping: u64,
    /// When it is ended because the node goes away, where it can not be asked to go.
    pub leaves: Option<Millis>,
    /// Its one subscription is not answered: nothing was said to it yet, and it may still be refused as a whole.
    pub unanswered: bool,
    /// The close frame is in the outbox: nothing more may be.
    pub closing: bool,
}

/// What one client wants of one topic.
#[derive(Debug)]
pub struct Subscription {
    /// Its id on the wire.
    pub id: u32,
    /// The id of the frame that asked for it.
    pub request: u32,
    /// Its room on its tenant's account.
    pub place: Arc<Place>,
    /// What makes it share a view: topic, access and filter.
    pub wants: ViewKey,
    /// How it is fed.
    pub state: SubscriptionState,
    /// The topic's version when the client last got a full cursor.
    pub told: u64,
}

/// How a subscription is fed.
#[derive(Debug)]
pub enum SubscriptionState {
    /// Not answered yet: where to begin is being found out.
    Opening(tidegate_protocol::frame::From, Millis),
    /// It takes its view's shared batches.
    Live(ViewRef),
    /// It is fed alone, from the window or the log.
    Behind(Box<Behind>),
}

/// A subscription that is fed alone.
#[derive(Debug)]
pub struct Behind {
    /// Its private view's id on the wire.
    pub view: u32,
    /// The next batch's number.
    pub seq: u64,
    /// The client knows of the private view.
    pub announced: bool,
    /// The next offset in every partition.
    pub position: Offsets,
    /// Partitions at whose position the reader never stood, so that a gap before the earliest record is none.
    pub unread: Vec<i32>,
    /// Partitions whose position, though the feed has not come so far, lies on the log.
    pub checked: Vec<i32>,
    /// Where the next event comes from.
    pub reading: Reading,
}

/// Where a subscription that is behind reads.
#[derive(Debug)]
pub enum Reading {
    /// To be found out.
    Undecided,
    /// The window: the number of the next entry.
    Window(u64),
    /// The log: a read is under way.
    Awaiting,
    /// The log: a part of one partition that was read.
    Chunk {
        /// The events.
        round: Arc<Round>,
        /// The next one.
        at: usize,
        /// Which partition.
        partition: i32,
        /// How far the part goes.
        next: i64,
    },
}

/// A subscription to `$ledger`.
#[derive(Debug)]
pub struct LedgerSubscription {
    /// Its id on the wire.
    pub id: u32,
    /// Its room on its tenant's account.
    pub place: Arc<Place>,
    /// Whose rows.
    pub observe: Observe,
    /// The columns to group by.
    pub group_by: Vec<Column>,
}

impl Session {
    /// When a session of this token ends: when the token expires. One that was let in after that, within the allowed
    /// skew, has until the skew is used up.
    pub fn end_of(principal: &Principal, now: Millis) -> Millis {
        if principal.expires > now { principal.expires } else { principal.ends }
    }

    /// A subscription by its id.
    pub fn subscription(&mut self, id: u32) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|subscription| subscription.id == id)
    }

    /// The place of the subscription with this id.
    pub fn position_of(&self, id: u32) -> Option<usize> {
        self.subscriptions.iter().position(|subscription| subscription.id == id)
    }

    /// A batch, in its parts, enters the outbox, and costs credit. Whether its socket has still to be told.
    pub fn send(&mut self, view: u32, seq: u64, parts: &[Rc<Bytes>], rows: &Rc<BatchRows>) -> bool {
        let mut outbox = self.outbox.borrow_mut();
        outbox.push_parts(parts);
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        self.in_flight.sent(view, seq, bytes as u32, outbox.pushed(), rows);
        self.credit -= bytes as i64;
        outbox.announce()
    }

    /// Whether it is out of credit, or of room for unsettled deliveries.
    pub fn is_exhausted(&self) -> bool {
        self.credit <= 0 || self.in_flight.unsettled() >= self.limits.unsettled
    }

    /// Whether it took nothing since the last ping, of what waited for it.
    pub fn is_stalled(&mut self) -> bool {
        let outbox = self.outbox.borrow();
        let before = std::mem::replace(&mut self.left_by_ping, outbox.left());
        !outbox.is_empty() && before == outbox.left()
    }

    /// Whether batches may be sent.
    pub fn may_receive(&self) -> bool {
        !self.paused && !self.closing
    }

    /// A new subscription id.
    pub fn subscription_id(&mut self) -> u32 {
        self.next_subscription += 1;
        self.next_subscription
    }
}
